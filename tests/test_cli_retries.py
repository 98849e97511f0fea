"""Trying again: what, how often, and how long after."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import httpx
from httpx._cli import exits
from httpx._cli.retries import next_delay, with_retries
from support.local import Asked, LocalApi, with_json
from support.servers import ScriptedServer, close, drip, expect_end, expect_head

click = pytest.importorskip("click")

# Behind the line above, because it imports click.
from httpx._cli.command import run  # noqa: E402


class Peer:
    """Answers or raises what it was given, one after the other; the clock moves by what is slept."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[httpx.Request] = []
        self.slept: list[float] = []
        self.told: list[str] = []

    def send(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, httpx.Response) else httpx.Response(outcome)

    def ask(self, method: str = "GET", most: int = 3, **more: Any) -> httpx.Response:
        request = httpx.Request(method, "http://a/", content=b"body" if method == "POST" else None)
        return with_retries(
            self.send,
            request,
            most,
            clock=lambda: 100 + sum(self.slept),
            sleep=self.slept.append,
            chance=lambda: 0.0,
            tell=self.told.append,
            **more,
        )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_says_not_now_is_asked_for_again(status: int):
    peer = Peer(status, status, 200)
    assert peer.ask().status_code == 200
    assert peer.slept == [1, 2]
    assert peer.told[0].endswith("; retrying in 1 s (1 of 3)")
    assert peer.told[0].startswith(str(status))


@pytest.mark.parametrize("status", [200, 301, 400, 404, 501])
def test_any_other_answer_is_taken(status: int):
    peer = Peer(status)
    assert peer.ask().status_code == status
    assert peer.slept == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY"])
def test_a_connection_that_breaks_is_made_again_for_what_may_be_sent_twice(method: str):
    peer = Peer(httpx.ReadError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), 200)
    assert peer.ask(method).status_code == 200
    assert peer.slept == [1, 2, 4]


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
def test_what_may_have_had_an_effect_is_not_sent_again(method: str):
    with pytest.raises(httpx.ReadError):
        Peer(httpx.ReadError("x"), 200).ask(method)
    assert Peer(503, 200).ask(method).status_code == 503
    peer = Peer(httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x"), 200)
    assert peer.ask(method).status_code == 200  # it never left


def test_an_error_of_ones_own_is_not_repeated():
    peer = Peer(httpx.UnsupportedProtocol("x"))
    with pytest.raises(httpx.UnsupportedProtocol):
        peer.ask()


def test_the_last_outcome_is_the_result():
    assert Peer(503, 503, 502).ask(most=2).status_code == 502
    with pytest.raises(httpx.ReadError, match="last"):
        Peer(httpx.ReadError("first"), httpx.ReadError("last")).ask(most=1)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:30 GMT", "Date": "Mon, 01 Jan 2024 00:00:10 GMT"}, 20),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": "Mon, 01 Jan 2024 00:00:10 GMT"}, 0),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:30 GMT"}, 1),
        ({"Retry-After": "soon"}, 1),
        ({"Retry-After": "-5"}, 1),
    ],
)
def test_the_server_says_how_long_to_wait(headers: dict[str, str], pause: float):
    peer = Peer(httpx.Response(503, headers=headers), 200)
    assert peer.ask().status_code == 200
    assert peer.slept == [pause]


def test_nobody_waits_longer_than_a_minute_or_the_time_there_is():
    assert Peer(httpx.Response(503, headers={"Retry-After": "61"})).ask().status_code == 503
    assert Peer(503, 503, 200).ask(until=102.5).status_code == 503
    with pytest.raises(httpx.ReadError):
        Peer(httpx.ReadError("x"), httpx.ReadError("x"), 200).ask(until=102.5)


def test_max_time_is_for_all_tries_together(capfdbinary: pytest.CaptureFixture[bytes]):
    """The second try would otherwise have the whole time again."""
    # It takes half a second and more.
    refusal = drip(b"HTTP/1.1 503 Not Now\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 0.006)
    with ScriptedServer([expect_head(), refusal, close()], [expect_head(), expect_end()]) as server:
        assert run([server.url, "--retry", "1", "--max-time", "1.2", "--timeout", "9"]) == exits.TIMED_OUT
    (limit,) = re.findall(rb"ReadTimeout: .* total timeout of ([\d.]+) s", capfdbinary.readouterr().err)
    assert float(limit) < 0.8


@pytest.mark.parametrize(
    ("attempt", "chance", "pause"), [(0, 0.0, 1.0), (0, 1.0, 1.25), (3, 0.5, 9.0), (6, 0.0, 60.0), (5000, 1.0, 60.0)]
)
def test_pauses_grow_by_chance_and_to_a_minute(attempt: int, chance: float, pause: float):
    request = httpx.Request("GET", "http://a/")
    for outcome in (httpx.Response(503), httpx.ReadError("x")):
        assert next_delay(attempt, outcome, request, lambda: chance) == pause


def test_chance_adds_nothing_to_what_the_server_asks_for():
    asked = httpx.Response(429, headers={"Retry-After": "7"})
    assert next_delay(0, asked, httpx.Request("GET", "http://a/"), lambda: 1.0) == 7
    assert next_delay(0, asked, httpx.Request("POST", "http://a/"), lambda: 1.0) is None


def flaky(*statuses: int) -> Callable[[Asked], Any]:
    rest = list(statuses)
    return lambda asked: with_json({"body": asked.body.decode()}, rest.pop(0), Retry_After="0")


def test_the_command_tries_again_and_says_so(capfdbinary: pytest.CaptureFixture[bytes]):
    api = LocalApi()
    try:
        api.answer = flaky(503, 429, 200, 503, 503)
        assert (
            run([f"{api.url}/", "--retry", "2", "-m", "PUT", "-c", "text", "-w", "%{num_retries}", "--print", "b"]) == 0
        )
        captured = capfdbinary.readouterr()
        assert captured.out == b'{"body": "text"}2'
        assert captured.err.splitlines() == [
            b"httpx: 503 Service Unavailable; retrying in 0 s (1 of 2)",
            b"httpx: 429 Too Many Requests; retrying in 0 s (2 of 2)",
        ]
        assert run([f"{api.url}/", "--retry", "1"]) == exits.SERVER_ERROR
        assert [asked.method for asked in api.asked] == ["PUT", "PUT", "PUT", "GET", "GET"]
    finally:
        api.close()
