"""`_reconnect.py`, and iterations over `client.websocket()`: one session after the other."""

from __future__ import annotations

import contextlib
import ssl
from socket import gaierror
from typing import Any

import pytest

import httpx
from httpx import Reconnect, _websockets
from httpx._reconnect import Attempts
from httpx.websockets import WebSocketNetworkError, WebSocketUpgradeError
from support.drivers import Driver
from support.servers import ScriptedServer, answer, close
from support.websocket import CLOSE, TEXT, close_frame, echo, expect_close, expect_frame, frame, opened

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=("sync", "asyncio", "trio"))
def driver(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between sessions, which are not waited for; the clock stands still."""
    waited: list[float] = []

    async def asleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(_websockets, "sleep", waited.append)
    monkeypatch.setattr(_websockets, "asleep", asleep)
    monkeypatch.setattr(_websockets, "random", lambda: 1.0)
    monkeypatch.setattr(_websockets, "monotonic", lambda: 0.0)
    return waited


def refusal(status: int, *fields: bytes) -> Any:
    return answer(b"", *fields, status=b"%d No" % status)


def test_a_ticker_goes_on_after_it_was_lost(driver: Driver, waits: list[float]):
    async def scenario(client: Any, url: str) -> Any:
        found: list[Any] = []
        async for ws in client.websocket(url):
            with contextlib.suppress(WebSocketNetworkError):
                await ws.send("subscribe")
                async for message in ws:
                    found.append(message)
            if len(found) == 3:
                await ws.close()
                break
        return found

    lost = [opened(), expect_frame(TEXT, b"subscribe")]
    tick = [*lost, lambda conn: conn.sendall(frame(TEXT, b"tick")), close()]
    last = [*lost, lambda conn: conn.sendall(frame(TEXT, b"last") + close_frame(1000)), expect_frame(CLOSE)]
    with ScriptedServer(tick, tick, last) as server:
        assert driver.run(scenario, server.url) == ["tick", "tick", "last"]
    assert waits == [0.0, 3.0, 6.0]


def test_the_session_before_is_closed_when_the_next_begins(driver: Driver, waits: list[float]):
    async def scenario(client: Any, url: str) -> None:
        sessions: list[Any] = []
        async for ws in client.websocket(url):
            assert all(before.closed for before in sessions)
            sessions.append(ws)
            if len(sessions) == 2:
                await ws.close()
                break

    with ScriptedServer([opened(), expect_close(1000)], [opened(), echo]) as server:
        driver.run(scenario, server.url)


def test_what_may_pass_is_waited_for_and_retry_after_is_heard(driver: Driver, waits: list[float]):
    async def scenario(client: Any, url: str) -> Any:
        async for ws in client.websocket(url):
            await ws.close()
            break
        return True

    scripts = [[refusal(503)], [refusal(429, b"Retry-After: 90")], [refusal(503, b"Retry-After: 9999")], [close()]]
    with ScriptedServer(*scripts, [opened(), echo]) as server:
        assert driver.run(scenario, server.url)
    assert waits == [0.0, 3.0, 90.0, 300.0, 24.0]


def test_what_would_not_pass_is_raised(driver: Driver, waits: list[float]):
    async def scenario(client: Any, url: str) -> None:
        async for _ in client.websocket(url):
            raise AssertionError

    with ScriptedServer([refusal(403)]) as server, pytest.raises(WebSocketUpgradeError, match="403"):
        driver.run(scenario, server.url)
    with pytest.raises(httpx.UnsupportedProtocol):
        driver.run(scenario, "ftp://example.org/")
    assert waits == [0.0, 0.0]


def test_after_enough_failures_the_last_one_is_raised(driver: Driver, waits: list[float]):
    async def scenario(client: Any, url: str) -> None:
        async for _ in client.websocket(url, reconnect=Reconnect(max_failures=3, delay=1)):
            raise AssertionError

    with ScriptedServer([refusal(503)]) as server, pytest.raises(WebSocketUpgradeError, match="503"):
        driver.run(scenario, server.url)
    assert waits == [0.0, 1.0, 2.0]
    assert server.connections == 3


def test_a_request_is_prepared_and_may_end_the_iteration(driver: Driver, waits: list[float]):
    seen: list[str] = []

    def prepare(request: httpx.Request) -> Any:
        seen.append(request.headers["authorization"])
        if len(seen) == 2:
            return None
        request.headers["authorization"] = "new"
        return request

    async def scenario(client: Any, url: str) -> Any:
        count = 0
        async for _ in client.websocket(url, reconnect=Reconnect(prepare=prepare), headers={"authorization": "old"}):
            count += 1
        return count

    with ScriptedServer([opened(), echo]) as server:
        assert driver.run(scenario, server.url) == 2
    assert seen == ["old", "old"]
    assert b"authorization: new" in server.received[1].lower()


def test_only_a_reconnect_is_a_policy(driver: Driver):
    async def scenario(client: Any) -> None:
        async for _ in client.websocket("ws://127.0.0.1:9/", reconnect=True):
            pass

    with pytest.raises(TypeError, match="reconnect must be a Reconnect, got bool"):
        driver.run(scenario)


# The values.


def test_the_wait_doubles_up_to_its_limit_and_is_short_again_after_a_healthy_session():
    attempts = Attempts(Reconnect(delay=1.0, max_delay=10.0))
    assert attempts.is_first
    waited = []
    for _ in range(7):
        waited.append(attempts.wait(1.0))
        attempts.ended(1.0)
    assert waited == [0.0, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    attempts.ended(30.0)
    assert (attempts.wait(1.0), attempts.is_first) == (1.0, False)


def test_the_wait_is_spread_by_chance_and_is_never_nothing():
    attempts = Attempts(Reconnect(delay=1.0))
    attempts.wait(0.0)
    attempts.ended(0.0)
    assert [attempts.wait(chance) for chance in (0.0, 0.5, 1.0)] == [0.1, 0.5, 1.0]
    attempts.ended(0.0)
    assert [attempts.wait(chance) for chance in (0.0, 0.5, 1.0)] == [1.0, 1.5, 2.0]


def test_which_failures_are_worth_another_try():
    def may(exc: Any, cause: Any = None) -> bool:
        exc.__cause__ = cause
        return Attempts(Reconnect()).may_retry(exc)

    for passing in (httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.ProxyError("x"), httpx.PoolTimeout("x")):
        assert may(passing)
    assert may(httpx.ConnectError("x"), gaierror())
    for final in (httpx.UnsupportedProtocol("x"), httpx.LocalProtocolError("x")):
        assert not may(final)
    wrong = httpx.ConnectError("certificate")
    wrong._is_final = True
    assert not may(wrong, ssl.SSLCertVerificationError())
