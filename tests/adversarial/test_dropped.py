"""
Streamed responses that are dropped without being closed: their connections come free, wherever and whenever that is.

Not here: responses that are closed or read to their end.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from typing import Any

import pytest

import httpx
from support import certs
from support.drivers import run_on_loop
from support.engines import EngineDriver
from support.leaks import counts_of, engines_of, no_lost_exceptions, settled, trusting_context, wait_for
from support.servers import Conn, ScriptedServer

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ONE = httpx.Limits(max_connections=1)


def serve(conn: Conn, recorded: list[bytes]) -> None:
    """Respond with part of a body, again and again."""
    while True:
        first = conn.recv(1)
        if not first:
            return
        conn._unread = first + conn._unread
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(1000))


def run(engine: EngineDriver, scenario: Any, tls: bool = False) -> None:
    async def main() -> None:
        with no_lost_exceptions():
            async with engine.client(verify=trusting_context(), trust_env=False, limits=ONE, timeout=2) as client:
                await scenario(client, server.url)
                await engine.pause()
                for each in engines_of(client):
                    getattr(each, "do_chores", lambda: None)()
                await settled(client)

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        engine.run_bare(main)


async def streamed(client: Any, url: str) -> Any:
    return await client.send(client.build_request("GET", url), stream=True)


async def first_piece(pieces: Any) -> bytes:
    async for piece in pieces:
        return bytes(piece)
    raise AssertionError("there was none")


@pytest.mark.parametrize("begun", ["untouched", "iterated", "decoded"])
def test_a_response_that_is_dropped_frees_its_connection(any_engine: EngineDriver, begun: str, tls: bool):
    """The harm: its place in the pool was lost for ever, and in the end every request was a `PoolTimeout`."""

    async def scenario(client: Any, url: str) -> None:
        for _ in range(4):
            response = await streamed(client, url)
            if begun == "iterated":
                assert await first_piece(response.aiter_raw())
            elif begun == "decoded":
                assert await first_piece(response.aiter_bytes())
            del response

    run(any_engine, scenario, tls)


@pytest.mark.parametrize("how", ["dropped", "closed"])
def test_an_iterator_that_is_dropped_frees_the_connection_of_a_response_that_is_kept(
    any_engine: EngineDriver, how: str
):
    kept = []

    async def scenario(client: Any, url: str) -> None:
        for _ in range(4):
            response = await streamed(client, url)
            kept.append(response)
            pieces = response.aiter_raw()
            assert await first_piece(pieces)
            if how == "closed":
                await pieces.aclose()
            del pieces
        await response.aclose()  # does nothing any more
        with pytest.raises(httpx.StreamError):
            await response.aread()

    run(any_engine, scenario)


def test_a_response_in_a_cycle_frees_its_connection_when_it_is_collected(any_engine: EngineDriver):
    async def scenario(client: Any, url: str) -> None:
        for _ in range(4):
            response = await streamed(client, url)
            holder = [getattr(response, "inner", response)]
            holder.append(holder)  # type: ignore[arg-type]  # a cycle
            del response, holder
            gc.collect()

    run(any_engine, scenario)


def test_a_response_may_be_dropped_in_another_thread(any_engine: EngineDriver):
    async def scenario(client: Any, url: str) -> None:
        for _ in range(4):
            held = [await streamed(client, url)]
            thread = threading.Thread(target=held.clear)
            thread.start()
            thread.join()

    run(any_engine, scenario)


def test_a_response_may_be_dropped_while_the_pool_is_locked():
    """The collector may come within our own locked sections: waiting for the lock would be waiting for ourselves."""
    with ScriptedServer(serve) as server, httpx.Client(trust_env=False, limits=ONE, timeout=2) as client:
        (engine,) = engines_of(client)
        for _ in range(3):
            held = [client.send(client.build_request("GET", server.url), stream=True)]
            with engine.lock:
                held.clear()
        engine.do_chores()
        assert engine.pool.counts() == (0, 0, 0, 0)


def test_a_thread_that_waits_for_a_connection_gets_that_of_a_response_that_is_dropped():
    with ScriptedServer(serve) as server, httpx.Client(trust_env=False, limits=ONE, timeout=5) as client:
        (engine,) = engines_of(client)
        held = [client.send(client.build_request("GET", server.url), stream=True)]
        statuses = []

        def ask() -> None:
            with client.stream("GET", server.url) as response:
                statuses.append(response.status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: engine.pool.counts()[3] == 1)
        held.clear()
        thread.join(4)
        assert statuses == [200]


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_response_may_be_dropped_after_its_event_loop_has_ended(library: str):
    held: list[Any] = []

    async def main() -> None:
        client = httpx.AsyncClient(trust_env=False, limits=ONE, timeout=2)
        response = await client.send(client.build_request("GET", server.url), stream=True)
        await response.aiter_raw().__anext__()
        held[:] = [client, response]

    async def close() -> None:
        await held[0].aclose()

    with ScriptedServer(serve) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        if library == "trio":
            trio = pytest.importorskip("trio")
            trio.run(main)
            held.pop()
            trio.run(close)
        else:
            run_on_loop(asyncio.SelectorEventLoop(), main())
            held.pop()
            run_on_loop(asyncio.SelectorEventLoop(), close())


@pytest.mark.parametrize("kept", ["nothing", "stream", "closed stream"])
def test_an_upgraded_connection_that_is_dropped_frees_its_place(any_engine: EngineDriver, kept: str, tls: bool):
    """The harm: its place in the pool was lost for good, also where the stream was closed and the response was not."""

    def switch(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        conn.read_to_end()

    async def main() -> None:
        async with any_engine.client(verify=trusting_context(), trust_env=False, limits=ONE, timeout=2) as client:
            headers = {"Connection": "upgrade", "Upgrade": "x"}
            for _ in range(2):
                response = await client.send(client.build_request("GET", server.url, headers=headers), stream=True)
                stream = response.extensions["network_stream"] if kept != "nothing" else None
                del response  # which is not in a cycle
                await any_engine.pause(0.01)
                if stream is not None:
                    assert counts_of(client) == (1, 0, 0, 0)
                    if kept == "closed stream":
                        await stream.aclose() if any_engine.is_async else stream.close()
                del stream
                await any_engine.pause(0.01)
                if any_engine.is_async:  # a thread looks when it needs a connection
                    assert counts_of(client) == (0, 0, 0, 0)

    with ScriptedServer(switch, tls=certs.server_context() if tls else None) as server:
        any_engine.run_bare(main)


def test_the_stream_of_an_upgraded_connection_outlives_its_response(any_engine: EngineDriver):
    """Who has the stream has the connection."""

    def switch(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        conn.sendall(conn.recv())
        conn.read_to_end()

    async def main() -> None:
        async with any_engine.client(trust_env=False, limits=ONE, timeout=2) as client:
            headers = {"Connection": "upgrade", "Upgrade": "x"}
            response = await client.send(client.build_request("GET", server.url, headers=headers), stream=True)
            stream = response.extensions["network_stream"]
            del response
            gc.collect()
            await any_engine.pause()
            if any_engine.is_async:
                await stream.write(b"hello")
                assert await stream.read(100, 2) == b"hello"
                await stream.aclose()
            else:
                stream.write(b"hello")
                assert stream.read(100, 2) == b"hello"
                stream.close()

    with ScriptedServer(switch) as server:
        any_engine.run_bare(main)
