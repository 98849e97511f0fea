"""Where the time went: the hops of a run, and their picture."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

import httpx
from httpx._cli.screen import Screen
from httpx._cli.timings import Hop, Hops, show

REQUEST = httpx.Request("GET", "http://ann:secret@a/x?token=secret")
NEW = httpx.Timings(0.001, 0.002, 0.004, 0.008, 0.002, 0.016, 0.032, 0.065, False, ("192.0.2.1", 80), "HTTP/1.1")
WARM = httpx.Timings(0.0, None, None, None, 0.002, 0.016, 0.032, 0.05, True, ("192.0.2.1", 80), "HTTP/1.1")
REFUSED = httpx.Timings(0.0, None, 0.05, None, None, None, None, 0.05, None, None, None)


def run(*hops: tuple[int | None, httpx.Timings]) -> Hops:
    made, start = Hops(), 0.0
    for status, timings in hops:
        made.hops.append(Hop(REQUEST, status, start, timings))
        start += timings.total
    made.total = start
    return made


def milliseconds(hop: Hop) -> dict[str, int]:
    return {phase: round(span.seconds * 1000) for phase, span in hop.spans.items()}


def test_every_phase_has_its_time_and_its_place():
    hops = run((200, NEW))
    assert milliseconds(hops.hops[0]) == {
        "queue": 1,
        "DNS": 2,
        "connect": 4,
        "TLS": 8,
        "send": 2,
        "wait": 16,
        "receive": 32,
    }
    assert [round(span.start * 1000) for span in hops.hops[0].spans.values()] == [0, 1, 3, 7, 15, 17, 33]
    assert hops.connections == 1
    assert (hops.hops[0].title, hops.hops[0].status) == ("GET http://ann:***@a/x", 200)


def test_a_redirect_makes_a_further_hop():
    hops = run((302, NEW), (200, WARM))
    assert milliseconds(hops.hops[1]) == {"queue": 0, "send": 2, "wait": 16, "receive": 32}
    assert round(hops.hops[1].start * 1000) == 65
    assert round(hops.until("wait") * 1000) == 65 + 18
    assert hops.until("TLS") == 0.0
    assert hops.connections == 1


def test_a_run_takes_what_the_client_tells_it():
    hops = Hops()
    responses = iter([httpx.Response(302, headers={"Location": "/y"}), httpx.Response(200, text="ok")])

    def respond(request: httpx.Request) -> httpx.Response:
        return next(responses)

    with httpx.Client(transport=httpx.MockTransport(respond), follow_redirects=True, middleware=[hops.watch]) as client:
        hops.begin()
        client.get("http://a/x")
        hops.finish()
    assert [(hop.title, hop.status) for hop in hops.hops] == [("GET http://a/x", 302), ("GET http://a/y", 200)]
    assert [list(hop.spans) for hop in hops.hops] == [["wait", "receive"]] * 2
    assert 0 <= hops.hops[0].start <= hops.hops[1].start <= hops.total
    assert hops.connections == 0


def test_a_request_that_fails_is_a_hop():
    hops = Hops()

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with httpx.Client(transport=httpx.MockTransport(refuse), middleware=[hops.watch]) as client:
        hops.begin()
        with pytest.raises(httpx.ConnectError):
            client.get("http://a/x")
        hops.finish()
    assert [(hop.title, hop.status, list(hop.spans)) for hop in hops.hops] == [("GET http://a/x", None, ["wait"])]
    assert hops.hops[0].start + hops.hops[0].total <= hops.total


def test_an_error_that_knows_no_times_is_not_a_hop():
    hops = Hops()
    steps = hops.watch(REQUEST)
    assert next(steps) is REQUEST
    with pytest.raises(httpx.ConnectError):
        steps.throw(httpx.ConnectError("refused"))
    hops.finish()
    assert hops.hops == []


def test_every_attempt_is_a_hop():
    hops = Hops()
    responses = iter([httpx.Response(503), httpx.Response(200)])
    transport = httpx.MockTransport(lambda request: next(responses))
    layers = [httpx.Retry(2, backoff=0.0, statuses=[503]), hops.watch]
    with httpx.Client(transport=transport, middleware=layers) as client:
        client.get("http://a/")
        hops.finish()
    assert [hop.status for hop in hops.hops] == [503, 200]


def test_a_run_that_sends_nothing_has_no_hops():
    hops = run()
    hops.total = 0.005
    assert drawn(hops) == "  total           5.0 ms\n"
    assert hops.until("wait") == 0.0


def drawn(hops: Hops, width: int = 80, encoding: str = "utf-8") -> str:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    show(hops, Screen(stream), width)
    return written.getvalue().decode()


def test_the_picture_is_a_waterfall():
    lines = drawn(run((200, NEW))).splitlines()
    assert lines[0] == "GET http://ann:***@a/x  200  65.0 ms"
    bars = [re.fullmatch(r"  (\S+) +(\S+ ms)  ( *)(█+)", line) for line in lines[1:]]
    assert all(bars)
    assert [bar[1] for bar in bars if bar] == ["queue", "DNS", "connect", "TLS", "send", "wait", "receive"]
    assert [bar[2] for bar in bars if bar][-1] == "32.0 ms"
    starts = [len(bar[3]) for bar in bars if bar]
    assert starts == sorted(starts)
    assert [len(bar[4]) for bar in bars if bar][-2:] == [13, 26]  # of 53 columns
    assert max(map(len, lines)) <= 80


def test_the_picture_of_several_hops_has_a_sum():
    text = drawn(run((302, NEW), (404, WARM)))
    assert text.count("GET http://ann:***@a/x") == 2
    assert text.endswith("  total         115.0 ms\n")


@pytest.mark.parametrize("hops", [[(200, WARM)], [(None, REFUSED)]])
def test_a_narrow_or_plain_terminal_gets_a_picture_too(hops: Any):
    text = drawn(run(*hops), width=10, encoding="ascii")
    assert "█" not in text
    assert "#" in text


def test_a_run_that_took_no_time_has_bars_too():
    nothing = httpx.Timings(0.0, None, None, None, 0.0, 0.0, 0.0, 0.0, True, None, None)
    assert drawn(run((200, nothing))).count("█") == 4


def test_hops_become_json():
    first, second = run((302, NEW), (200, WARM)).as_list()
    assert list(first["phases"]) == ["queue", "dns", "connect", "tls", "send", "wait", "receive"]
    assert (first["title"], first["status"], first["start"]) == ("GET http://ann:***@a/x", 302, 0)
    assert second["start"] == pytest.approx(0.065)
    assert second["total"] == pytest.approx(0.050)
    assert second["phases"]["wait"] == {"start": pytest.approx(0.067), "seconds": pytest.approx(0.016)}
