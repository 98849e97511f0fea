"""
A connection that the server has closed, or on which it said something that nobody asked for.

A request is sent again by itself only where that is safe: on a reused connection, before any byte of an answer, with
an idempotent method and a body that can be sent again. A second answer sent early never reaches the next request.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from support import certs
from support.engines import EngineDriver
from support.leaks import counts_of, no_lost_exceptions, nothing_left, settled, trusting_context, wait_for
from support.peer import is_gone
from support.servers import Conn, ScriptedServer
from support.steps import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
ONE = httpx.Limits(max_connections=1)


def answer_with_id(conn: Conn) -> None:
    """Answer a request with its own X-Id, five characters."""
    head, _ = conn.read_request()
    conn.sendall(OK + head.split(b"X-Id: ")[1][:5])


class Stale(ScriptedServer):
    """
    Serves one request on each connection, reads a second one and closes; the third connection serves for good.

    Args:
        before: what of an answer it sends before it closes.
        closing: "close", "reset" or "early": before the second request is sent.
    """

    def __init__(self, closing: str = "close", before: bytes = b"", tls: bool = False, stale: int = 1) -> None:
        self.stale = stale
        self.requests = 0
        self.lock = threading.Lock()
        self.closing = closing
        self.before = before
        self.ended = threading.Event()
        super().__init__(self._serve, tls=certs.server_context() if tls else None)

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        with self.lock:
            stale, self.stale = self.stale > 0, self.stale - 1
        while True:
            if is_gone_for_good(conn):
                return
            answer_with_id(conn)
            self.requests += 1
            if stale:
                break
        if self.closing != "early":
            if is_gone_for_good(conn):
                return
            conn.read_head()
            self.requests += 1
            conn.sendall(self.before)
        if self.closing == "reset":
            conn.reset()
        else:
            conn.close()
        self.ended.set()


def is_gone_for_good(conn: Conn) -> bool:
    first = conn.recv(1)
    conn._unread = first + conn._unread
    return not first


async def twice(client: Any, server: Stale, method: str, content: Any = None, **options: Any) -> Any:
    """The answer to the second request, or its error."""
    first = await client.get(server.url, headers={"X-Id": "first"})
    assert first.text == "first"
    if server.closing == "early":
        wait_for(server.ended.is_set)
    try:
        second = await client.request(method, server.url, headers={"X-Id": "again"}, content=content, **options)
    except httpx.TransportError as exc:
        return exc
    return second


def run(engine: EngineDriver, server: Stale, *args: Any, **options: Any) -> Any:
    async def main() -> Any:
        with no_lost_exceptions():
            async with engine.client(verify=trusting_context(), trust_env=False, limits=ONE, timeout=3) as client:
                outcome = await twice(client, server, *args, **options)
                await settled(client)
                last = await client.get(server.url, headers={"X-Id": "third"})
                assert last.text == "third"
                assert counts_of(client) == (1, 1, 0, 0)
            return outcome

    with nothing_left(), server:
        return engine.run_bare(main)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_ended_before_is_seen_and_not_used(any_engine: EngineDriver, tls: bool, method: str):
    """The harm, besides the error: on asyncio the pool went on counting the connection, until no slot was left."""
    server = Stale("early", tls=tls)
    assert run(any_engine, server, method, b"body").text == "again"
    assert server.requests == 3
    assert server.connections == 2


@pytest.mark.parametrize("closing", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_request_is_sent_again_if_the_server_closes_without_an_answer(
    any_engine: EngineDriver, method: str, closing: str, tls: bool
):
    server = Stale(closing, tls=tls)
    outcome = run(any_engine, server, method, b"body" if method == "PUT" else None)
    assert outcome.text == "again"
    assert server.connections == 2


@pytest.mark.parametrize("closing", ["close", "reset"])
def test_a_post_is_not_sent_again(any_engine: EngineDriver, closing: str):
    """The harm would be an order that is placed twice."""
    server = Stale(closing)
    outcome = run(any_engine, server, "POST", b"body")
    assert isinstance(outcome, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError))
    assert outcome.request.method == "POST"
    assert server.requests == 3  # the last one is that of `run`


@pytest.mark.parametrize("before", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_request_is_not_sent_again_after_a_byte_of_an_answer(any_engine: EngineDriver, before: bytes):
    server = Stale(before=before)
    assert isinstance(run(any_engine, server, "GET"), httpx.RemoteProtocolError)
    assert server.requests == 3


def test_a_streamed_body_is_not_sent_again(any_engine: EngineDriver):
    def pieces() -> Iterator[bytes]:
        yield b"only once"

    server = Stale()
    outcome = run(any_engine, server, "PUT", pieces())
    assert isinstance(outcome, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError))
    assert server.requests == 3


@pytest.mark.parametrize("closing", ["close", "reset"])
def test_a_request_on_a_fresh_connection_is_not_sent_again(any_engine: EngineDriver, closing: str):
    """The harm: a server that closes every connection was asked for ever, as fast as it could close them."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.reset() if closing == "reset" else conn.close()

    async def scenario(client: Any) -> None:
        with ScriptedServer(serve) as server:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await client.get(server.url)
            assert server.connections == 1
            assert counts_of(client) == (0, 0, 0, 0)

    with nothing_left():
        any_engine.run(scenario, trust_env=False)


def test_several_stale_connections_are_gone_through_until_one_works(engine: EngineDriver):
    server = Stale(stale=3)

    async def scenario(client: Any) -> None:
        gathered: list[str] = []

        async def get(name: str) -> None:
            response = await client.get(server.url, headers={"X-Id": name})
            gathered.append(response.text)

        await together(engine, [lambda name=name: get(name) for name in ("one__", "two__", "three")])
        assert sorted(gathered) == ["one__", "three", "two__"]
        await get("again")
        assert gathered[-1] == "again"
        await settled(client)

    with nothing_left(), server:
        engine.run(scenario, trust_env=False)


async def together(engine: EngineDriver, functions: list[Any]) -> None:
    if engine.name == "trio":
        import trio

        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(function)
    else:
        import asyncio

        await asyncio.gather(*(function() for function in functions))


def test_an_error_before_the_first_byte_is_not_hidden_by_a_closed_client(engine: EngineDriver):
    """A replay is a new request as far as closing is concerned."""
    server = Stale()

    async def scenario(client: Any) -> None:
        assert (await client.get(server.url, headers={"X-Id": "first"})).text == "first"
        own = client._transport
        engine_ = next(iter(own._engines.values()))
        engine_._closed = True
        with pytest.raises(httpx.ConnectError, match="closed"):
            await client.get(server.url, headers={"X-Id": "again"})
        engine_._closed = False

    with nothing_left(), server:
        engine.run(scenario, trust_env=False)


# A second answer that nobody asked for.

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

FIRST = {
    "length": OK + b"first",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nA: b\r\n\r\n",
}


class Poisoner(ScriptedServer):
    """
    Sends an answer too many on its first connection.

    Args:
        first: the answer that was asked for.
        when: "same": in one piece with it; "next": in a segment of its own; "told": when the test says so.
    """

    def __init__(self, first: bytes, when: str, tls: bool = False) -> None:
        self.first = first
        self.when = when
        self.now = threading.Event()
        self.poisoned = threading.Event()
        super().__init__(self._poison, self._serve, tls=certs.server_context() if tls else None)

    def _poison(self, conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        if self.when == "same":
            conn.sendall(self.first + POISON)
        else:
            conn.sendall(self.first)
            if self.when == "told":
                assert self.now.wait(5)
            conn.sendall(POISON)
        self.poisoned.set()
        conn.read_to_end()

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        while not is_gone_for_good(conn):
            answer_with_id(conn)


@pytest.mark.parametrize("when", ["same", "next", "told"])
@pytest.mark.parametrize("first", FIRST)
def test_a_second_answer_sent_early_never_reaches_the_next_request(
    any_engine: EngineDriver, first: str, when: str, tls: bool
):
    """The harm: one user gets what was meant for another, or what an attacker put there."""
    server = Poisoner(FIRST[first], when, tls)

    async def scenario(client: Any) -> None:
        await client.get(server.url, headers={"X-Id": "first"})
        server.now.set()
        wait_for(server.poisoned.is_set)
        await until_arrived(any_engine, client)
        second = await client.get(server.url, headers={"X-Id": "again"})
        assert second.text == "again"
        assert counts_of(client) == (1, 1, 0, 0)

    with nothing_left(), server:
        any_engine.run(scenario, verify=trusting_context(), trust_env=False, limits=ONE)
    assert server.connections == 2


async def until_arrived(engine: EngineDriver, client: Any) -> None:
    """What was sent has arrived at the client's socket, if that is still open; the loop has not looked yet."""
    from support.leaks import engines_of

    for connection in engines_of(client)[0].pool.connections:
        sock = connection.wire.sock
        wait_for(lambda sock=sock: sock.fileno() < 0 or is_gone(sock))


def test_a_second_answer_to_a_head_request_never_reaches_the_next_one(any_engine: EngineDriver):
    server = Poisoner(OK, "same")

    async def scenario(client: Any) -> None:
        assert (await client.head(server.url)).status_code == 200
        assert (await client.get(server.url, headers={"X-Id": "again"})).text == "again"

    with nothing_left(), server:
        any_engine.run(scenario, trust_env=False, limits=ONE)


def test_a_second_answer_never_reaches_a_request_that_waited_for_the_connection(engine: EngineDriver):
    """
    The harm: handed from one request to the next within one turn of the loop, the connection was not looked at, and
    what lay in its socket was taken for the answer to the second.
    """
    server = Poisoner(FIRST["length"], "told")

    async def scenario(client: Any) -> None:
        texts: dict[str, str] = {}

        async def first() -> None:
            response = await client.get(server.url, headers={"X-Id": "first"})
            # The connection belongs to the second request already, which has not run since.
            server.now.set()
            wait_for(server.poisoned.is_set)
            await until_arrived(engine, client)
            texts["first"] = response.text

        async def second() -> None:
            await until(lambda: counts_of(client)[0] == 1)
            response = await client.get(server.url, headers={"X-Id": "again"})
            texts["again"] = response.text

        await together(engine, [first, second])
        assert texts == {"first": "first", "again": "again"}
        await settled(client)

    with nothing_left(), server:
        engine.run(scenario, trust_env=False, limits=ONE)


@pytest.mark.parametrize("when", ["same", "next"])
def test_a_second_answer_behind_a_streamed_body_never_reaches_the_next_request(any_engine: EngineDriver, when: str):
    server = Poisoner(FIRST["chunked"], when)

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url) as response:
            body = b"".join([piece async for piece in response.aiter_raw()])
        assert body == b"first"
        wait_for(server.poisoned.is_set)
        await until_arrived(any_engine, client)
        assert (await client.get(server.url, headers={"X-Id": "again"})).text == "again"

    with nothing_left(), server:
        any_engine.run(scenario, trust_env=False, limits=ONE)
