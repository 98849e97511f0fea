"""
The engine for asyncio, where its scenarios need a hand inside; what a user can see is in tests/adversarial.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

import pytest

import httpx
from httpx._engine.asyncio import AsyncioEngine
from httpx._engine.asyncio_connection import AsyncioConnection, FallbackIO, LoopIO, io_of
from httpx._pool import Ticket
from httpx._protocol.tls import TLSFilter
from support.engines import driver_named
from support.leaks import counts_of, engines_of, nothing_left, trusting_context, wait_for
from support.peer import Peer
from support.servers import Conn, ScriptedServer
from support.steps import turns, until

pytestmark = pytest.mark.usefixtures("no_leaks")

NAMES = ("asyncio", "asyncio-fallback", "uvloop")


@pytest.fixture(params=NAMES)
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Run an async function on each kind of loop."""
    return driver_named(request.param).run_bare


def new_engine(**options: Any) -> AsyncioEngine:
    engine: Any = httpx.AsyncHTTPTransport(**options)._engine_here()
    return engine  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def connected(engine: AsyncioEngine) -> AsyncIterator[tuple[AsyncioConnection, socket.socket]]:
    """A connection of the engine, and the socket at its other end, which does not block."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    connection = AsyncioConnection(engine, ours)
    try:
        yield connection, theirs
    finally:
        connection.close()
        theirs.close()
        await turns(3)  # where a loop has no readers, tasks end


def received_by(sock: socket.socket) -> Iterator[bytes]:
    """What there is now."""
    try:
        while data := sock.recv(1_000_000):
            yield data
    except BlockingIOError:
        pass


# Loops.


def test_readiness_fits_the_loop():
    kinds = {}
    for name in NAMES:

        async def main(name: str = name) -> None:
            kinds[name] = io_of(asyncio.get_running_loop())

        driver_named(name).run_bare(main)
    assert isinstance(kinds["asyncio"], LoopIO)
    assert isinstance(kinds["uvloop"], LoopIO)
    assert isinstance(kinds["asyncio-fallback"], FallbackIO)


def test_idle_connections_survive_nothing_but_are_never_trusted_after_all_tasks_were_cancelled():
    """
    Without readers a task receives. Who cancels all tasks ends that one, too.

    The harm: the connection stayed in the pool although nobody read it, and the next request on it hung.
    """

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=3) as client:
            await client.get(f"{peer.url}/echo")
            assert counts_of(client) == (1, 1, 0, 0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await turns(2)
            assert counts_of(client) == (0, 0, 0, 0)
            assert (await client.get(f"{peer.url}/echo", headers={"X-Id": "next"})).text == "next"

    with nothing_left(), Peer() as peer:
        driver_named("asyncio-fallback").run_bare(main)


def test_the_fallback_keeps_nothing_of_connections_that_are_over():
    """The harm: one socket and one task for each connection that was ever made."""

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=3) as client:
            for _ in range(3):
                await client.get(f"{peer.url}/close")
            engine = engines_of(client)[0]
            await turns(3)
            assert (engine.io._reading, engine.io._writing, engine._sockets._connecting) == ({}, {}, {})

    with nothing_left(), Peer() as peer:
        driver_named("asyncio-fallback").run_bare(main)


# Connections.


def test_what_is_written_behind_unsent_bytes_follows_them(run: Callable[..., Any]):
    """The harm: without readers, what TLS wanted to say during a large write was lost, and the session with it."""

    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):
            connection.send(b"a" * 5_000_000)
            assert connection.unsent
            connection._write(b"b" * 10)
            got = bytearray()

            def all_there() -> bool:
                got.extend(b"".join(received_by(peer)))
                return len(got) == 5_000_010

            await until(all_there)
            assert got == b"a" * 5_000_000 + b"b" * 10
            await until(lambda: not connection.unsent)

    run(main)


def test_a_write_that_breaks_half_way_is_noted(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):
            connection.send(bytes(5_000_000))
            assert connection.unsent
            peer.close()
            await until(lambda: connection.write_error is not None)
            assert not connection.unsent
            connection.upgrade(b"")
            with pytest.raises(httpx.WriteError):
                await connection.write(b"more")

    run(main)


def test_a_write_that_breaks_while_it_waits_raises(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):

            async def write() -> None:
                with pytest.raises(httpx.WriteError):
                    await connection.write(bytes(5_000_000))

            task = asyncio.ensure_future(write())
            await until(lambda: bool(connection.unsent))
            peer.close()
            await task

    run(main)


def test_a_timer_that_was_set_for_an_earlier_wait_does_not_end_a_later_one(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):
            now = connection._now
            for later in (None, now() + 30):
                waiting = asyncio.ensure_future(connection.wait(now() + 0.02))
                await turns()
                peer.send(b"x")
                assert await waiting
                timer = connection._timer
                assert timer is not None
                waiting = asyncio.ensure_future(connection.wait(later))
                await until(lambda timer=timer: connection._timer is not timer)  # it fired
                assert not waiting.done()
                peer.send(b"x")
                assert await waiting

    run(main)


def test_a_timer_for_a_nearer_deadline_takes_the_place_of_a_later_one(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):
            waiting = asyncio.ensure_future(connection.wait(connection._now() + 30))
            await turns()
            peer.send(b"x")
            assert await waiting
            assert not await connection.wait(connection._now() + 0.01)

    run(main)


def test_time_that_is_up_at_the_moment_of_an_arrival_is_not(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, _):
            waiting = asyncio.ensure_future(connection.wait(connection._now() - 1))
            await turns()
            connection.wake()
            connection.on_time()
            connection.wake()
            assert await waiting

    run(main)


def test_reading_is_not_stopped_twice(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):
            peer.close()
            await until(lambda: connection._ended)
            connection._pause()
            assert not connection._paused
            connection.on_broken(httpx.ReadError("again"))
            assert connection.error is not None

    run(main)


def test_the_end_of_a_tls_session_is_the_end_even_if_the_socket_stays_open(run: Callable[..., Any]):
    async def main() -> None:
        from support import certs

        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = certs.server_context().wrap_bio(incoming, outgoing, server_side=True)

        async with connected(new_engine()) as (connection, peer):

            async def serve() -> None:
                while True:
                    incoming.write(b"".join(received_by(peer)))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        server.do_handshake()
                        break
                    peer.sendall(outgoing.read() or b"")
                    await asyncio.sleep(0)
                with contextlib.suppress(ssl.SSLError):
                    server.unwrap()
                peer.sendall(outgoing.read())

            serving = asyncio.ensure_future(serve())
            assert await connection.shake_hands(TLSFilter(trusting_context(), "localhost"), None)
            await serving
            assert await connection.read(10, timeout=3) == b""
            assert await connection.read(10, timeout=3) == b""

    run(main)


def test_a_closed_connection_gives_and_takes_nothing(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, _):
            connection.close()
            connection.close()
            with pytest.raises(httpx.ReadError):
                await connection.read(1)
            with pytest.raises(httpx.WriteError):
                await connection.write(b"x")

    run(main)


# The engine.


def test_forgetting_touches_neither_the_loop_nor_the_peer(run: Callable[..., Any]):
    async def main() -> None:
        client = httpx.AsyncClient(trust_env=False, verify=trusting_context())
        await client.get(f"{peer.url}/echo")
        (engine,) = engines_of(client)
        (connection,) = engine.pool.connections
        engine.io.stop_reading(connection)  # only this test's loop goes on; that of a child would not
        await turns()
        engine.forget()
        assert connection.closed
        assert connection.wire.sock.fileno() < 0
        assert counts_of(client) == (0, 0, 0, 0)
        await client.aclose()

    with nothing_left(), Peer(tls=True) as peer:
        run(main)


def test_a_dial_that_is_cancelled_before_its_first_step_ends_its_request(run: Callable[..., Any]):
    """The harm: such a task never runs at all, so nobody told the request, which waited for ever."""

    async def main() -> None:
        client = httpx.AsyncClient(trust_env=False, timeout=None)
        request = asyncio.ensure_future(client.get(f"{peer.url}/echo"))
        await asyncio.sleep(0)  # the request has begun, and its dial has not
        (engine,) = engines_of(client)
        assert engine.pool.counts() == (0, 0, 1, 1)
        await client._transport.aclose()
        with pytest.raises(httpx.ConnectError, match="closed"):
            await asyncio.wait_for(request, 3)
        assert engine.pool.counts() == (0, 0, 0, 0)
        assert not engine._dials

    with nothing_left(), Peer() as peer:
        run(main)


def slow_to_begin(client: Any) -> None:
    """Let every dial last until the peer has said or done something on the connection."""
    engine = client._transport._engine_here()
    connect = engine._connect

    async def slow(job: Any) -> AsyncioConnection:
        connection: AsyncioConnection = await connect(job)
        wait_for(lambda: bool(connection.wire.poll(0)))
        return connection

    engine._connect = slow


def test_a_new_connection_that_ends_before_it_is_used_is_an_error_and_no_loop(run: Callable[..., Any]):
    """A server that closes at once is not asked again and again."""

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=3) as client:
            slow_to_begin(client)
            with pytest.raises((httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError)):
                await client.get(server.url)
            assert counts_of(client) == (0, 0, 0, 0)

    with nothing_left(), ScriptedServer(lambda conn, recorded: None) as server:
        run(main)
        assert server.connections == 1


@pytest.mark.parametrize("ending", ["stays", "closes"])
def test_what_a_new_connection_says_before_it_is_asked_is_the_response(run: Callable[..., Any], ending: str):
    """
    The harm: the 503 of a load balancer that is full, which is sent as soon as a connection is accepted, was an error
    of the protocol. In sync code it was a response.
    """

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=3) as client:
            slow_to_begin(client)
            response = await client.get(server.url)
            assert (response.status_code, response.text) == (503, "full")

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.sendall(b"HTTP/1.1 503 Full\r\nContent-Length: 4\r\n\r\nfull")
        if ending == "stays":
            conn.read_to_end()

    with nothing_left(), ScriptedServer(serve) as server:
        run(main)


def test_what_is_not_watched_need_not_be_left_alone():
    async def main() -> None:
        async with connected(new_engine()) as (connection, _):
            for _ in range(2):
                connection._io.stop_reading(connection)
            connection._ended = True

    driver_named("asyncio-fallback").run_bare(main)


def test_time_in_the_queue_that_is_up_too_late_is_not(run: Callable[..., Any]):
    async def main() -> None:
        engine = new_engine()
        ticket: Ticket[AsyncioConnection] = Ticket("key", 1)
        ticket.signal = asyncio.get_running_loop().create_future()
        ticket.dial = True
        engine._queue_time_is_up(ticket)
        assert not ticket.signal.done()
        ticket.signal.set_result(True)
        engine._queue_time_is_up(ticket)

    run(main)


@pytest.mark.parametrize("offset", [1000.0, -1000.0])
def test_a_clock_that_is_set_while_the_loop_runs_makes_no_timer_spin(offset: float):
    """The harm: where a test sets the time, timers were set anew without end: 1.5 s of work in a wait of 2 s."""
    timers = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        real, call_at = loop.time, loop.call_at

        def counting_call_at(when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return call_at(when, *args, **options)

        async with httpx.AsyncClient(trust_env=False, timeout=0.05) as client:
            await client.get(f"{peer.url}/echo")
            loop.time = lambda: real() + offset  # type: ignore[method-assign]
            loop.call_at = counting_call_at  # type: ignore[method-assign]
            for path in ("silent", "silent"):
                with pytest.raises(httpx.ReadTimeout):
                    await asyncio.wait_for(client.get(f"{peer.url}/{path}"), 2)

    with Peer() as peer:
        driver_named("asyncio").run_bare(main)
    assert len(timers) < 15
