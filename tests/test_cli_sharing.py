"""What the requests of one run share: by itself, with a server on this machine."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._cli.echo_server import EchoServer

click = pytest.importorskip("click")

# After the line above, because they import click.
from httpx._cli import exits  # noqa: E402
from httpx._cli.building import plan  # noqa: E402
from httpx._cli.parser import parse  # noqa: E402
from httpx._cli.sharing import Rate, Sessions, Shared, outcome_of  # noqa: E402


def options(*argv: str) -> dict[str, Any]:
    with parse(["http://a/", "--no-config", *argv]) as context:
        return context.params


@pytest.mark.parametrize("text", ["10/s", "0.5/s", "100/m", "1000/h", " 1/s "])
def test_a_rate_is_a_number_and_a_time(text: str):
    Rate(text)


@pytest.mark.parametrize("text", ["", "10", "0/s", "0.0/h", "-1/s", "1/d", "1/2s", "1e3/s", "/s", "1 /s"])
def test_anything_else_is_not_a_rate(text: str):
    with pytest.raises(click.UsageError, match="--rate must be"):
        Rate(text)


def test_turns_are_even_and_not_taken_in_a_burst():
    rate = Rate("50/s")
    began = time.monotonic()
    for _ in range(4):
        rate.turn()
    assert time.monotonic() - began >= 0.055


def sent_through(layer: Any, *statuses: int) -> list[float]:
    """Return when each request was sent, of a client with this middleware that follows redirects."""
    left, times = list(statuses), []

    def respond(request: httpx.Request) -> httpx.Response:
        times.append(time.monotonic())
        return httpx.Response(left.pop(0), headers={"Location": "/", "Retry-After": "1"})

    transport = httpx.MockTransport(respond)
    with httpx.Client(transport=transport, middleware=[layer], follow_redirects=True) as client:
        client.get("http://a/")
    return times


def test_a_redirect_has_a_turn_of_its_own():
    rate = Rate("20/s")
    first, second = sent_through(rate.turn(), 302, 200)
    assert second - first >= 0.02  # the first may be late for its turn


def test_a_refusal_delays_the_requests_after_it():
    rate = Rate("1000/s")
    (refused,) = sent_through(rate.turn(), 429)
    (after,) = sent_through(rate.turn(), 200)
    assert after - refused >= 0.99  # of Retry-After


def test_a_turn_that_is_not_used_holds_up_nothing():
    rate = Rate("1000/s")
    rate.turn()
    assert len(sent_through(rate.turn(), 200)) == 1


def test_pools_are_shared_by_what_they_depend_on(echo_server: EchoServer):
    given = options()
    with Shared(given) as shared:
        clients = [
            shared.transport(each, url)._client  # type: ignore[attr-defined]  # of `Lent`
            for each, url in [
                (given, "http://a/"),
                ({**given, "timeout": 3.0, "follow_redirects": True}, "https://b/"),
                ({**given, "no_verify": True}, "http://a/"),
                (given, "http://a.localhost/"),
                (given, "http://b.localhost/"),
            ]
        ]
    assert clients[0] is clients[1]
    assert clients[3] is clients[4]
    assert len(set(map(id, clients))) == 3


def test_requests_in_threads_end_when_they_are_interrupted(echo_server: EchoServer):
    given = options("--timeout", "0")
    with Shared(given, 2) as shared:
        intent = plan({**given, "words": (f"{echo_server.url}/delay/10",)})
        run = shared.run(dict(given), intent)
        errors: list[BaseException] = []

        def go() -> None:
            try:
                shared.go(run)
            except httpx.HTTPError as exc:
                errors.append(exc)

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        while not any(client._transport._engine.pool.connections for client in shared._clients.values()):  # type: ignore[attr-defined]  # private
            thread.join(0.01)
        thread.join(0.1)
        shared.interrupt()
        thread.join(5)
        assert not thread.is_alive()
    assert errors


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (click.UsageError("wrong"), (exits.USAGE, "wrong")),
        (httpx.ConnectError("refused"), (exits.NETWORK, "ConnectError: refused")),
        (httpx.InvalidURL("bad"), (exits.USAGE, "InvalidURL: bad")),
        (OSError("full"), (exits.FAILED, "full")),
    ],
)
def test_a_failure_has_a_code_and_a_message(error: Exception, outcome: tuple[int, str]):
    assert outcome_of(error) == outcome


@pytest.mark.parametrize("host", ["[::1]", "b\u00fccher.example", "printer", "b.example"])
def test_a_session_has_no_cookies_of_another_host_however_that_is_written(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A jar has other names for some hosts, so their cookies were written to the files of all hosts."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    cookies = httpx.Cookies()
    sessions = Sessions(cookies)
    options = {"session": "s", "session_read_only": None}
    kept = []
    for url in ("http://a.example/", f"http://{host}/"):
        session = sessions.of(options, url)
        assert session is not None
        response = httpx.Response(200, headers={"Set-Cookie": "n=1"}, request=httpx.Request("GET", url))
        cookies.extract_cookies(response)
        sessions.used(session)
        kept.append(session.path)
    sessions.save()
    domains = [[cookie["domain"] for cookie in json.loads(Path(path).read_text())["cookies"]] for path in kept]
    assert domains[0] == ["a.example"]
    assert len(domains[1]) == 1
