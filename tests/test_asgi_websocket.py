"""`_transports/asgi_websocket.py`: WebSockets of ASGI applications, for threads, asyncio and trio."""

from __future__ import annotations

import contextlib
import gc
from typing import Any, Callable

import pytest

import httpx
from httpx.websockets import (
    ASGIWebSocketTransport,
    WebSocketDisconnect,
    WebSocketNetworkError,
    WebSocketTimeout,
    WebSocketUpgradeError,
)
from support.drivers import Driver
from support.steps import turns

Message = dict[str, Any]


@pytest.fixture(params=("sync", "asyncio", "trio"))
def driver(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


class App:
    """An app that plays a function (scope, receive, send) and records what it is told."""

    def __init__(self, play: Callable[..., Any]) -> None:
        self.play = play
        self.scope: Message = {}
        self.told: list[Message] = []
        self.ended = False

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        self.scope = scope

        async def noted() -> Message:
            message: Message = await receive()
            self.told.append(message)
            return message

        try:
            await self.play(noted, send)
        finally:
            self.ended = True


async def shout(receive: Any, send: Any) -> None:
    """Accept, and send every text back in capitals."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if "text" in message:
            await send({"type": "websocket.send", "text": message["text"].upper()})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"], "text": None})


def run(driver: Driver, play: Any, talk: Any, transport: Any = None, **options: Any) -> App:
    """The app, after `talk(session)` over a session with it."""
    app = App(play)

    async def scenario(client: Any) -> None:
        async with client.websocket("ws://test/chat?a=b", **options) as ws:
            await talk(ws)

    driver.run(scenario, transport=transport(app) if transport else httpx.ASGITransport(app))
    return app


async def nothing(ws: Any) -> None:
    raise AssertionError("it was opened")


def test_messages_go_both_ways(driver: Driver):
    async def talk(ws: Any) -> None:
        await ws.send("hello")
        await ws.send(b"bytes")
        await ws.send_text("x")
        assert [await ws.receive(), await ws.receive(), await ws.receive_text(timeout=5)] == ["HELLO", b"bytes", "X"]
        with pytest.raises(WebSocketTimeout):
            await ws.receive(timeout=0.01)
        pong = await ws.ping()
        assert await pong.wait()
        assert not ws.closed
        assert ws.close_code is None
        with pytest.raises(TypeError):
            await ws.send(1)

    app = run(driver, shout, talk)
    assert app.ended
    assert app.told[-1] == {"type": "websocket.disconnect", "code": 1000, "reason": ""}


def test_the_scope_is_that_of_a_websocket(driver: Driver):
    async def accept(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-own", b"1")]})
        await receive()

    async def talk(ws: Any) -> None:
        assert (ws.subprotocol, ws.response.headers["x-own"], ws.compression) == ("b", "1", False)

    scope = run(driver, accept, talk, subprotocols=["a", "b"], compression=True).scope
    assert (scope["type"], scope["scheme"], scope["path"], scope["query_string"]) == (
        "websocket",
        "ws",
        "/chat",
        b"a=b",
    )
    assert (scope["subprotocols"], scope["http_version"]) == (["a", "b"], "1.1")
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert "method" not in scope
    assert (b"host", b"test") in scope["headers"]


def test_an_app_may_close(driver: Driver):
    async def close(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last"})
        await send({"type": "websocket.close", "code": 3000, "reason": "enough"})
        await send({"type": "websocket.send", "text": "ignored"})
        assert (await receive())["type"] == "websocket.disconnect"

    async def talk(ws: Any) -> None:
        assert await ws.receive() == "last"
        with pytest.raises(WebSocketDisconnect, match="by the peer with code 3000: enough"):
            await ws.receive()
        with pytest.raises(WebSocketDisconnect):
            await ws.send("x")
        with pytest.raises(WebSocketDisconnect):
            await ws.ping()
        assert (ws.close_code, ws.close_reason) == (3000, "enough")

    run(driver, close, talk)


def test_an_app_that_closes_without_a_code_ends_an_iteration(driver: Driver):
    async def close(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": b"x"})
        await send({"type": "websocket.close"})

    async def talk(ws: Any) -> None:
        assert [message async for message in ws] == [b"x"]

    run(driver, close, talk)


def test_a_close_before_accept_is_a_403(driver: Driver):
    async def refuse(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    with pytest.raises(WebSocketUpgradeError, match="403") as caught:
        run(driver, refuse, nothing)
    assert caught.value.response.status_code == 403


def test_a_denial_is_the_response(driver: Driver):
    async def deny(receive: Any, send: Any) -> None:
        await receive()
        start = {"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-why", b"tea")]}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"tea", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"pot"})

    with pytest.raises(WebSocketUpgradeError) as caught:
        run(driver, deny, nothing)
    response = caught.value.response
    assert (response.status_code, response.text, response.headers["x-why"]) == (418, "teapot", "tea")


def test_a_subprotocol_that_was_not_offered_opens_nothing(driver: Driver):
    async def accept(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "b"})
        await receive()

    with pytest.raises(WebSocketUpgradeError, match="not offered"):
        run(driver, accept, nothing, subprotocols=["a"])


@pytest.mark.parametrize("raising", [True, False])
def test_an_app_that_fails_before_it_accepts(driver: Driver, raising: bool):
    async def fail(receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError if raising else WebSocketNetworkError):
        run(driver, fail, nothing, lambda app: httpx.ASGITransport(app, raise_app_exceptions=raising))


@pytest.mark.parametrize("raising", [True, False])
def test_an_app_that_fails_later(driver: Driver, raising: bool):
    async def fail(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        raise ZeroDivisionError

    async def talk(ws: Any) -> None:
        await ws.send("x")
        with pytest.raises(ZeroDivisionError if raising else WebSocketNetworkError):
            await ws.receive()
        assert ws.close_code == 1006

    run(driver, fail, talk, lambda app: httpx.ASGITransport(app, raise_app_exceptions=raising))


def test_an_app_that_returns_without_a_close(driver: Driver):
    async def leave(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    async def talk(ws: Any) -> None:
        with pytest.raises(WebSocketNetworkError, match=r"returned without a websocket\.close"):
            await ws.receive()

    run(driver, leave, talk)
    with pytest.raises(WebSocketNetworkError, match="returned"):
        run(driver, lambda receive, send: receive(), nothing)


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "websocket.send", "text": "x"}],
        [{"type": "websocket.accept"}, {"type": "websocket.accept"}],
        [{"type": "websocket.accept"}, {"type": "websocket.send"}],
        [{"type": "websocket.http.response.body"}],
        [{"type": "http.response.start"}],
    ],
)
def test_messages_in_the_wrong_order_are_an_error_in_the_app(driver: Driver, messages: list[Message]):
    async def wrong(receive: Any, send: Any) -> None:
        await receive()
        for message in messages[:-1]:
            await send(message)
        with pytest.raises(RuntimeError, match="the app sent"):
            await send(messages[-1])
        await send({"type": "websocket.close"})

    with contextlib.suppress(WebSocketUpgradeError):
        run(driver, wrong, lambda ws: turns() if driver.is_async else _done())


async def _done() -> None:
    pass


def test_an_app_that_does_not_accept_is_not_waited_for_for_ever(driver: Driver):
    async def wait(receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    def transport(app: Any) -> Any:
        return ASGIWebSocketTransport(app, initial_receive_timeout=0.02)

    with pytest.raises(httpx.ReadTimeout, match="did not accept"):
        run(driver, wait, nothing, transport)
    with pytest.raises(httpx.ReadTimeout):
        run(driver, wait, nothing, timeout=httpx.Timeout(5, total=0.02))


def test_an_app_is_at_most_a_queue_ahead(driver: Driver):
    sent: list[int] = []

    async def flood(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for number in range(1200):
            await send({"type": "websocket.send", "text": str(number)})
            sent.append(number)
        await send({"type": "websocket.send", "bytes": bytes(2_000_000)})
        await send({"type": "websocket.close"})

    async def talk(ws: Any) -> None:
        assert await ws.receive() == "0"
        assert len(sent) < 600
        rest = [message async for message in ws]
        assert rest[:-1] == [str(number) for number in range(1, 1200)]
        assert len(rest[-1]) == 2_000_000

    run(driver, flood, talk)


def test_a_session_is_at_most_a_queue_ahead_of_the_app(driver: Driver):
    async def slow(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        count = 0
        while (await receive())["type"] == "websocket.receive":
            count += 1
            if count == 1000:
                await send({"type": "websocket.send", "text": "all"})

    async def talk(ws: Any) -> None:
        for _ in range(1000):
            await ws.send("x")
        assert await ws.receive() == "all"

    run(driver, slow, talk)


def test_an_app_that_does_not_notice_the_end_is_cancelled(driver: Driver):
    async def deaf(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await turns()

    async def talk(ws: Any) -> None:
        pass

    assert run(driver, deaf, talk).ended


def test_an_interrupt_ends_the_app(driver: Driver):
    async def talk(ws: Any) -> None:
        raise KeyboardInterrupt

    app = App(shout)

    async def scenario(client: Any) -> None:
        async with client.websocket("ws://test/") as ws:
            await talk(ws)

    with pytest.raises(KeyboardInterrupt):
        driver.run(scenario, transport=httpx.ASGITransport(app))
    assert app.ended
    gc.collect()


def test_one_task_receives_at_a_time():
    import asyncio

    async def main() -> None:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(App(shout)))
        async with client, client.websocket("ws://test/") as ws:
            first = asyncio.ensure_future(ws.receive())
            await turns()
            with pytest.raises(RuntimeError, match="another task"):
                await ws.receive()
            await ws.send("x")
            assert await first == "X"

    asyncio.run(main())


def test_the_lifespan_is_shared_with_websockets(driver: Driver):
    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["key"] = "value"
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": scope["state"]["key"]})
            await receive()

    async def scenario(client: Any) -> Any:
        async with client.websocket("wss://test/") as ws:
            return await ws.receive()

    assert driver.run(scenario, transport=httpx.ASGITransport(app, lifespan=True)) == "value"
