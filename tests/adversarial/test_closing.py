"""
A client or a response that is closed in the middle of a request, in every phase, on all engines.

The end of a connection that is made here is not the peer's: a body is not whole by it, and an error does not blame the
peer.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

import pytest

import httpx
from support import certs
from support.drivers import run_without_loop
from support.engines import EngineDriver
from support.http2 import data, frames_of, h2_context
from support.leaks import counts_of, no_lost_exceptions, settled, trusting_context
from support.servers import Conn, ScriptedServer
from support.together import in_threads, together

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ONE = httpx.Limits(max_connections=1)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CLOSED = "the client or the response was closed before the response was received"


def run(engine: EngineDriver, scenario: Any, **options: Any) -> Any:
    async def main() -> Any:
        with no_lost_exceptions():
            async with engine.client(
                **{"verify": trusting_context(), "trust_env": False, "limits": ONE, "timeout": 3, **options}
            ) as client:
                outcome = await scenario(client)
                await settled(client)
            return outcome

    return engine.run_bare(main)


async def at_once(engine: EngineDriver, *functions: Callable[[], Any]) -> Any:
    """Run the async functions at once: in tasks, or in threads in sync code."""
    if engine.is_async:
        return await together(functions)
    return in_threads([lambda function=function: run_without_loop(function()) for function in functions])


async def wait_for_event(engine: EngineDriver, event: threading.Event) -> None:
    """Wait until the event is set, and a moment longer: nothing tells when a thread waits in the kernel."""
    if not engine.is_async:
        assert event.wait(3)
        event = threading.Event()
        event.wait(0.03)
        return
    for _ in range(3000):
        if event.is_set():
            break
        await engine.pause(0.001)
    await engine.pause(0.03)


async def take(pieces: Any, got: list[bytes], event: threading.Event | None = None) -> None:
    """Keep the pieces in `got`, and set the event at each."""
    async for piece in pieces:
        got.append(piece)
        if event is not None:
            event.set()


class Own(Exception):
    """An error of the caller's code."""


class Body:
    """
    A request body from a generator that waits in the middle.

    Args:
        fails: it raises `Own` then.

    Attributes:
        may_wait: until this is set it yields.
        waits: it waits for `go_on`.
        ended: how often it was ended.
    """

    def __init__(self, engine: EngineDriver, fails: bool = False) -> None:
        self.may_wait, self.waits, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self.ended = 0
        self._engine, self._fails = engine, fails
        self.content: Any = self._async() if engine.is_async else self._sync()

    def _sync(self) -> Iterator[bytes]:
        try:
            yield b"a"
            while not self.may_wait.wait(0.001):
                yield b"a"
            self.waits.set()
            assert self.go_on.wait(3)
            if self._fails:
                raise Own
            yield b"b"
            yield b"c"
        finally:
            self.ended += 1

    async def _async(self) -> AsyncIterator[bytes]:
        try:
            yield b"a"
            while not self.may_wait.is_set():
                await self._engine.pause(0.001)
                yield b"a"
            self.waits.set()
            while not self.go_on.is_set():
                await self._engine.pause(0.001)
            if self._fails:
                raise Own
            yield b"b"
            yield b"c"
        finally:
            self.ended += 1


@pytest.mark.parametrize("phase", ["head", "consent", "upload", "generator", "body by length", "body to the end"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
def test_a_request_whose_client_is_closed_says_so(any_engine: EngineDriver, phase: str, reused: bool, tls: bool):
    """The harm: "the peer closed the connection", or "Bad file descriptor", as it came."""
    arrived, over = threading.Event(), threading.Event()

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        if reused:
            conn.read_request()
            conn.sendall(EMPTY)
        conn.read_head()
        if phase == "body by length":
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsome")
        elif phase == "body to the end":
            conn.sendall(b"HTTP/1.1 200 OK\r\n\r\nsome")
        arrived.set()
        assert over.wait(5)

    async def scenario(client: Any) -> None:
        async def ask() -> None:
            with pytest.raises(httpx.ReadError) as caught:
                await client.request("POST" if options else "GET", server.url, **options)
            assert str(caught.value) == CLOSED

        async def close() -> None:
            await wait_for_event(any_engine, body.waits if phase == "generator" else arrived)
            await client.aclose()
            body.go_on.set()

        body = Body(any_engine)
        body.may_wait.set()
        options: dict[str, Any] = {}
        if phase == "consent":
            options = {"content": b"x", "headers": {"Expect": "100-continue"}}
        elif phase == "upload":
            options = {"content": bytes(20_000_000)}
        elif phase == "generator":
            options = {"content": body.content}
        try:
            if reused:
                await client.get(server.url)
            await at_once(any_engine, ask, close)
            assert body.ended == (phase == "generator")
        finally:
            over.set()

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


@pytest.mark.parametrize("http", ["1.1", "2"])
@pytest.mark.parametrize("then", ["piece", "error"])
def test_a_response_may_be_closed_while_a_piece_of_the_request_is_awaited(
    any_engine: EngineDriver, http: str, then: str
):
    """
    The harm: `response.close()` raised "generator already executing", and "asynchronous generator is already running".

    The reader ends the generator when it gets the piece.
    """

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsome")
        conn.read_to_end()

    def serve_frames(peer: Any) -> None:
        asked = peer.request()
        peer.send(peer.head(asked.stream), data(asked.stream, b"some"))
        peer.rest()

    async def scenario(client: Any) -> None:
        body = Body(any_engine, fails=then == "error")
        got: list[bytes] = []

        async def read() -> None:
            with pytest.raises(Own if then == "error" else httpx.TransportError):
                await take(response.aiter_raw(), got)
            assert body.ended == 1

        async def close() -> None:
            await wait_for_event(any_engine, body.waits)
            await response.aclose()
            assert counts_of(client)[0] <= (http == "2")  # connections that are open
            body.go_on.set()

        request = client.build_request("POST", server.url, content=body.content)
        response = await client.send(request, stream=True)
        body.may_wait.set()
        await at_once(any_engine, read, close)
        assert b"some".startswith(b"".join(got))

    tls: ssl.SSLContext | None = h2_context("h2") if http == "2" else None
    with ScriptedServer(frames_of(serve_frames) if http == "2" else serve, tls=tls) as server:
        run(any_engine, scenario, http2=http == "2")


@pytest.mark.parametrize("framing", ["length", "to the end"])
def test_a_response_may_be_closed_while_its_reader_waits(any_engine: EngineDriver, framing: str, tls: bool):
    """The reader does not take the end that this makes for the end of the body."""
    sent, over = threading.Event(), threading.Event()

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        length = b"Content-Length: 10\r\n" if framing == "length" else b""
        conn.sendall(b"HTTP/1.1 200 OK\r\n%b\r\nsome" % length)
        assert over.wait(5)

    async def scenario(client: Any) -> None:
        got: list[bytes] = []

        async def read() -> None:
            with pytest.raises(httpx.ReadError, match=CLOSED):
                await take(response.aiter_raw(), got, sent)

        async def close() -> None:
            await wait_for_event(any_engine, sent)
            await response.aclose()

        try:
            response = await client.send(client.build_request("GET", server.url), stream=True)
            await at_once(any_engine, read, close)
            assert got == [b"some"]
        finally:
            over.set()

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)
