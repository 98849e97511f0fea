"""
The engine for asyncio, where its scenarios need a hand inside; what a user can see is in tests/adversarial.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import subprocess
import sys
import threading
import warnings
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
            connection.send_below(b"b" * 10)
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
            with pytest.raises(httpx.WriteError):
                await connection.upgrade(b"").write(b"more")

    run(main)


def test_a_write_that_breaks_while_it_waits_raises(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):

            async def write() -> None:
                with pytest.raises(httpx.WriteError):
                    await connection.upgrade(b"").write(bytes(5_000_000))

            task = asyncio.ensure_future(write())
            await until(lambda: bool(connection.unsent))
            peer.close()
            await task

    run(main)


def test_a_timer_that_was_set_for_an_earlier_wait_does_not_end_a_later_one(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):
            now = connection.now
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
            waiting = asyncio.ensure_future(connection.wait(connection.now() + 30))
            await turns()
            peer.send(b"x")
            assert await waiting
            assert not await connection.wait(connection.now() + 0.01)

    run(main)


def test_time_that_is_up_at_the_moment_of_an_arrival_is_not(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, _):
            waiting = connection.wait(connection.now() + 60)
            connection.wake()
            connection.deadline = connection.now() - 1
            connection.on_time()
            connection.wake()
            assert await waiting

    run(main)


def test_reading_is_not_stopped_twice(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, peer):
            peer.close()
            await until(lambda: connection.has_ended)
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
            stream = connection.upgrade(b"")
            await stream.start_tls(trusting_context(), "localhost")
            await serving
            stream = connection.upgrade(b"")
            assert await stream.read(10, timeout=3) == b""
            assert await stream.read(10, timeout=3) == b""

    run(main)


def test_a_connection_whose_tls_has_ended_before_it_was_used_does_not_become_idle(run: Callable[..., Any]):
    """
    Its close_notify came with the end of the handshake, and the request that it was made for has another connection.

    The harm: the next request on it waited until its read timeout.
    """

    async def main() -> None:
        async with connected(new_engine()) as (connection, _):
            connection.wire.tls = TLSFilter(trusting_context(), "localhost")
            connection.wire.tls.ended = True
            connection.was_left()
            assert connection.closed

    run(main)


def test_closing_says_no_goodbye_within_a_tls_record(run: Callable[..., Any]):
    """The harm: the peer might take the rest of the record for one that had been tampered with."""

    class Session:
        def close(self) -> bytes:
            return b"goodbye"

    async def main() -> None:
        for unsent in (b"", b"half a record"):
            async with connected(new_engine()) as (connection, peer):
                connection.wire.tls = Session()  # type: ignore[assignment]  # enough of one
                if unsent:
                    connection.queue(unsent)
                connection.close()
                await turns()
                assert b"".join(received_by(peer)) == (b"" if unsent else b"goodbye")

    run(main)


def test_a_closed_connection_gives_and_takes_nothing(run: Callable[..., Any]):
    async def main() -> None:
        async with connected(new_engine()) as (connection, _):
            stream = connection.upgrade(b"")
            connection.close()
            connection.close()
            with pytest.raises(httpx.ReadError):
                await stream.read(1)
            with pytest.raises(httpx.WriteError):
                await stream.write(b"x")

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
            connection.has_ended = True

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


FROZEN = """
import asyncio, sys, time

real = time.monotonic

def frozen():
    return 1_000_000.0

if sys.argv[1] == "before":
    time.monotonic = frozen

class Loop(asyncio.SelectorEventLoop):
    time = staticmethod(real)

import httpx, httpx._engine.asyncio, httpx._engine.asyncio_connection

if sys.argv[1] == "after":  # as freezegun does: in every module that has imported it
    time.monotonic = frozen
    for module in list(sys.modules.values()):
        if getattr(module, "monotonic", None) is real:
            module.monotonic = frozen

async def main():
    async with httpx.AsyncClient(trust_env=False, timeout=0.4) as client:
        before = time.process_time(), real()
        for read in (lambda: client.get(sys.argv[2]), lambda: upgraded(client)):
            try:
                await read()
            except httpx.ReadTimeout:
                print(round(real() - before[1], 1))
        print(time.process_time() - before[0] < 0.3)

async def upgraded(client):
    headers = {"Connection": "Upgrade", "Upgrade": "x"}
    async with client.stream("GET", sys.argv[3], headers=headers) as response:
        await response.extensions["network_stream"].read(10, timeout=0.4)

loop = Loop()
loop.run_until_complete(main())
loop.close()
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_time_limits_go_by_the_clock_of_the_loop_when_another_one_stands_still(when: str):
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(upgrade)
        conn.read_to_end()

    with Peer() as peer, ScriptedServer(serve) as server:
        command = [sys.executable, "-c", FROZEN, when, f"{peer.url}/silent", server.url]
        result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    first, second, idle = result.stdout.split() or (result.stderr, "", "")
    assert 0.4 <= float(first) < 1.5
    assert 0.8 <= float(second) < 3
    assert idle == "True"


STANDING = """
import asyncio, sys, time

import httpx

async def main():
    limits = httpx.Limits(keepalive_expiry=None)
    async with httpx.AsyncClient(trust_env=False, timeout=5, limits=limits) as client:
        await client.get(sys.argv[1])
        questions = []
        time.monotonic = lambda: questions.append(None) or 1_700_000_000.0  # which the loop asks, too
        print((await client.get(sys.argv[1])).text)
        print(len(questions) < 200)

asyncio.run(main())
"""


def test_nothing_spins_when_the_clock_of_the_loop_stands_still():
    """Harm: timers that were set by one clock were due at once by the other, again and again."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        for pause in (0, 0.8):
            conn.read_head()
            over.wait(pause)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        conn.read_to_end()

    over = threading.Event()
    with ScriptedServer(serve) as server:
        command = [sys.executable, "-c", STANDING, server.url]
        result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert result.stdout.split() == ["ok", "True"], result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_what_waits_for_an_upgraded_stream_when_its_loop_is_closed_ends_quietly(name: str):
    """Harm: an error from within the garbage collector, "Event loop is closed"."""
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(upgrade)
        assert over.wait(5)

    async def begin() -> Any:
        client = httpx.AsyncClient(trust_env=False)
        request = client.build_request("GET", server.url, headers={"Connection": "Upgrade", "Upgrade": "x"})
        response = await client.send(request, stream=True)
        stream = response.extensions["network_stream"]
        calls = [stream.read(10), *(stream.write(bytes(20_000_000), timeout=60) for _ in range(3))]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await until(lambda: len(stream._writers) == 2)
        return client, tasks

    over = threading.Event()
    with ScriptedServer(serve) as server:
        loop = driver_named(name)._loop()
        client, tasks = loop.run_until_complete(begin())
        loop.close()
        for task in tasks:
            task._log_destroy_pending = False
            task.get_coro().close()  # as the garbage collector does
        asyncio.run(client.aclose())
        over.set()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the task with which a loop without readers receives
            del task, tasks
            gc.collect()


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
