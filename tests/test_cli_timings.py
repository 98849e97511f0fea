"""Where the time went: phases from events on a clock that the test sets, and their picture."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

import httpx
from httpx._cli.screen import Screen
from httpx._cli.timings import Timings, show


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# Event and milliseconds after the one before.
CONNECTED = [
    ("pool.acquire_connection.started", 0),
    ("pool.acquire_connection.complete", 1),
    ("connection.resolve_host.started", 0),
    ("connection.resolve_host.complete", 2),
    ("connection.connect_tcp.started", 0),
    ("connection.connect_tcp.complete", 4),
    ("connection.start_tls.started", 0),
    ("connection.start_tls.complete", 8),
]


def answered(status: int, family: str = "http11") -> list[Any]:
    head = (b"HTTP/1.1", status, b"", []) if family == "http11" else (status, [])
    return [
        (f"{family}.send_request_headers.started", 0),
        (f"{family}.send_request_headers.complete", 1),
        (f"{family}.send_request_body.started", 0),
        (f"{family}.send_request_body.complete", 1),
        (f"{family}.receive_response_headers.started", 0),
        (f"{family}.receive_response_headers.complete", 16, {"return_value": head}),
        (f"{family}.receive_response_body.started", 0),
        (f"{family}.receive_response_body.complete", 32),
        (f"{family}.response_closed.started", 0),
        (f"{family}.response_closed.complete", 0),
    ]


def told(events: list[Any], rest: float = 0) -> Timings:
    clock = Clock()
    timings = Timings(clock)
    request = httpx.Request("GET", "http://a/x?token=secret")
    for name, after, *info in events:
        clock.now += after / 1000
        timings.event(name, info[0] if info else {"request": request})
    clock.now += rest / 1000
    timings.finish()
    return timings


def milliseconds(timings: Timings, hop: int = 0) -> dict[str, int]:
    return {phase: round(span.seconds * 1000) for phase, span in timings.hops[hop].spans.items()}


@pytest.mark.parametrize("family", ["http11", "http2"])
def test_every_phase_has_its_time(family: str):
    timings = told(CONNECTED + answered(200, family))
    assert milliseconds(timings) == {"queue": 1, "DNS": 2, "connect": 4, "TLS": 8, "send": 2, "wait": 16, "receive": 32}
    assert round(timings.total * 1000) == 65
    assert timings.connections == 1
    assert (timings.hops[0].title, timings.hops[0].status) == ("GET http://a/x", 200)


def test_without_events_of_the_pool_the_queue_is_what_comes_before():
    timings = told([("connection.connect_tcp.started", 3), ("connection.connect_tcp.complete", 4), *answered(200)])
    assert milliseconds(timings)["queue"] == 3


def test_preparation_does_not_count():
    clock = Clock()
    timings = Timings(clock)
    clock.now += 5
    timings.begin()
    clock.now += 0.25
    timings.finish()
    assert timings.total == 0.25


def test_a_redirect_makes_a_further_hop():
    timings = told(CONNECTED + answered(302) + answered(200))
    assert [hop.status for hop in timings.hops] == [302, 200]
    assert milliseconds(timings, 1) == {"queue": 0, "send": 2, "wait": 16, "receive": 32}
    assert round(timings.hops[1].start * 1000) == 65
    assert round(timings.until("wait") * 1000) == 65 + 18
    assert timings.until("TLS") == 0.0


def test_an_answer_that_is_dropped_unread_ends_where_the_next_hop_begins():
    timings = told([*answered(401)[:6], ("pool.acquire_connection.started", 5), *answered(200)])
    assert milliseconds(timings)["receive"] == 5
    assert [hop.status for hop in timings.hops] == [401, 200]


def test_a_second_address_and_a_tunnel_prolong_their_phase():
    timings = told(
        [
            ("connection.connect_tcp.started", 0),
            ("connection.connect_tcp.failed", 10),
            ("connection.connect_tcp.started", 0),
            ("connection.connect_tcp.complete", 5),
            ("connection.start_tls.started", 0),
            ("connection.start_tls.complete", 1),
            ("connection.start_tls.started", 7),
            ("connection.start_tls.complete", 2),
        ]
    )
    assert milliseconds(timings) == {"queue": 0, "connect": 15, "TLS": 10}
    assert timings.connections == 1


def test_what_was_going_on_ends_with_the_run():
    timings = told([("connection.connect_tcp.started", 0)], rest=50)
    assert milliseconds(timings) == {"queue": 0, "connect": 50}
    assert timings.hops[0].status is None


def test_a_run_without_events_is_none():
    timings = told([], rest=5)
    assert timings.hops == []
    assert drawn(timings) == "  total           5.0 ms\n"
    assert timings.until("wait") == 0.0


def drawn(timings: Timings, width: int = 80, encoding: str = "utf-8") -> str:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    show(timings, Screen(stream), width)
    return written.getvalue().decode()


def test_the_picture_is_a_waterfall():
    lines = drawn(told(CONNECTED + answered(200))).splitlines()
    assert lines[0] == "GET http://a/x  200  65.0 ms"
    bars = [re.fullmatch(r"  (\S+) +(\S+ ms)  ( *)(█+)", line) for line in lines[1:]]
    assert all(bars)
    assert [bar[1] for bar in bars if bar] == ["queue", "DNS", "connect", "TLS", "send", "wait", "receive"]
    assert [bar[2] for bar in bars if bar][-1] == "32.0 ms"
    starts = [len(bar[3]) for bar in bars if bar]
    assert starts == sorted(starts)
    assert [len(bar[4]) for bar in bars if bar][-2:] == [13, 26]  # of 53 columns
    assert max(map(len, lines)) <= 80


def test_the_picture_of_several_hops_has_a_sum():
    text = drawn(told(CONNECTED + answered(302) + answered(404)))
    assert text.count("GET http://a/x") == 2
    assert text.endswith("  total         115.0 ms\n")


def test_a_narrow_or_plain_terminal_gets_a_picture_too():
    text = drawn(told(answered(200)), width=10, encoding="ascii")
    assert "█" not in text
    assert "  wait           16.0 ms  ##" in text.replace("   #", "  ##")
    assert "(no request was sent)" in drawn(told([("connection.connect_tcp.started", 0)]))


def test_hops_become_json():
    first, second = told(CONNECTED + answered(302) + answered(200)).as_list()
    assert list(first["phases"]) == ["queue", "dns", "connect", "tls", "send", "wait", "receive"]
    assert (first["title"], first["status"], first["start"]) == ("GET http://a/x", 302, 0)
    assert second["start"] == pytest.approx(0.065)
    assert second["total"] == pytest.approx(0.050)
    assert second["phases"]["wait"] == {"start": pytest.approx(0.067), "seconds": pytest.approx(0.016)}


def test_a_title_has_no_password():
    timings = Timings(Clock())
    request = httpx.Request("GET", "http://ann:secret@a/?b=c")
    timings.event("http11.send_request_headers.started", {"request": request})
    assert timings.hops[0].title == "GET http://ann:***@a/"
