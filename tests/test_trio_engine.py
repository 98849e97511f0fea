"""
The engine for trio, where its scenarios need a hand inside; what a user can see is in tests/adversarial.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

import httpx
from support.leaks import counts_of, engines_of, nothing_left, trusting_context
from support.peer import Peer
from support.steps import turns, until

trio = pytest.importorskip("trio")

from httpx._engine.trio import TrioEngine  # noqa: E402  # after the skip
from httpx._engine.trio_connection import TrioConnection  # noqa: E402
from httpx._protocol.tls import TLSFilter  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_leaks")


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[TrioConnection, socket.socket]]:
    """A connection, and the socket at its other end, which does not block."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    connection = TrioConnection(ours)
    try:
        yield connection, theirs
    finally:
        connection.close()
        theirs.close()


def test_what_always_has_something_to_say_can_be_cancelled(monkeypatch: pytest.MonkeyPatch):
    """The harm: a download that never had to wait could not be cancelled, by a timeout or by anything."""

    async def main() -> None:
        async with connected() as (connection, _):
            monkeypatch.setattr(type(connection.wire), "receive_raw", lambda self: b"x")
            with trio.move_on_after(0.02) as scope:
                while True:
                    assert await connection.receive_raw(None) == b"x"
            assert scope.cancelled_caught

    trio.run(main)


def test_receiving_lets_other_tasks_run(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        async with connected() as (connection, _):
            monkeypatch.setattr(type(connection.wire), "receive_raw", lambda self: b"x")
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await turns()
                    ticks += 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(tick)
                for _ in range(50):
                    await connection.receive_raw(None)
                nursery.cancel_scope.cancel()
            assert ticks >= 40

    trio.run(main)


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_connection_that_is_closed_wakes_whoever_waits_for_either_side(when: str):
    """The harm: it came out as a group of exceptions, which nobody catches."""

    async def main() -> None:
        async with connected() as (connection, _):
            while not connection.wire.send(bytes(100_000)):
                pass
            if when == "before":
                connection.close()
                assert await connection.wait_for_either(None)
                return

            async def wait() -> None:
                assert await connection.wait_for_either(None)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                connection.close()

    trio.run(main)


def test_waiting_for_either_side_ends_with_its_time():
    async def main() -> None:
        async with connected() as (connection, peer):
            while not connection.wire.send(bytes(100_000)):
                pass
            assert not await connection.wait_for_either(trio.current_time() + 0.01)
            peer.send(b"x")
            assert await connection.wait_for_either(None)

    trio.run(main)


def test_a_handshake_that_cannot_even_be_sent_runs_out_of_time():
    async def main() -> None:
        async with connected() as (connection, _):
            while not connection.wire.send(bytes(100_000)):
                pass
            with pytest.raises(httpx.ConnectTimeout):
                await connection.upgrade(b"").start_tls(trusting_context(), "localhost", timeout=0.01)

    trio.run(main)


def test_what_is_no_tls_on_an_idle_connection_makes_it_unfit():
    async def main() -> None:
        async with connected() as (connection, peer):
            connection.wire.tls = TLSFilter(trusting_context(), "localhost")
            assert connection.is_quiet()
            peer.send(b"this is no TLS")
            assert not connection.is_quiet()
            connection.close()
            assert not connection.is_quiet()
            connection.close()

    trio.run(main)


def test_a_tls_session_that_the_peer_has_ended_already_makes_a_connection_unfit():
    """The harm: a POST went out on it, and could not be sent again."""

    async def main() -> None:
        async with connected() as (connection, _):
            connection.wire.tls = TLSFilter(trusting_context(), "localhost")
            connection.wire.tls.ended = True  # its close_notify came with the end of the handshake
            assert not connection.is_quiet()

    trio.run(main)


def test_a_network_stream_gives_at_most_what_is_asked_for():
    async def main() -> None:
        async with connected() as (connection, peer):
            stream = connection.upgrade(b"")
            peer.send(b"abcdef")
            assert await stream.read(4) == b"abcd"
            assert await stream.read(4) == b"ef"

    trio.run(main)


def test_forgetting_touches_neither_the_loop_nor_the_peer():
    async def main() -> None:
        client = httpx.AsyncClient(trust_env=False, verify=trusting_context())
        await client.get(f"{peer.url}/echo")
        (engine,) = engines_of(client)
        (connection,) = engine.pool.connections
        engine.forget()
        assert connection.closed
        assert connection.wire.sock.fileno() < 0
        assert counts_of(client) == (0, 0, 0, 0)
        await client.aclose()

    with nothing_left(), Peer(tls=True) as peer:
        trio.run(main)


def test_an_engine_of_a_run_that_is_over_is_closed_by_whoever_closes_the_client():
    clients = []

    async def use() -> None:
        clients.append(httpx.AsyncClient(trust_env=False, verify=trusting_context()))
        await clients[0].get(f"{peer.url}/echo")

    async def close() -> None:
        (engine,) = engines_of(clients[0])
        assert engine.has_ended()
        await clients[0].aclose()
        assert engine.pool.counts() == (0, 0, 0, 0)

    with nothing_left(), Peer(tls=True) as peer:
        trio.run(use)
        trio.run(close)


def test_a_dial_that_succeeds_although_it_was_cancelled_is_closed(monkeypatch: pytest.MonkeyPatch):
    """The harm: a request that went on with a connection of a closed client, without a timeout for ever."""

    async def main() -> None:
        client = httpx.AsyncClient(trust_env=False, timeout=None)
        original = TrioEngine._connect

        async def unstoppable(self: TrioEngine, job: Any) -> Any:
            with trio.CancelScope(shield=True):
                connection = await original(self, job)
                await until(lambda: self._closed)
            return connection

        monkeypatch.setattr(TrioEngine, "_connect", unstoppable)

        async def request() -> None:
            with pytest.raises(httpx.ConnectError, match="closed"):
                await client.get(f"{peer.url}/silent")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(request)
            await until(lambda: counts_of(client)[2] == 1)
            await client._transport.aclose()
        assert engines_of(client) == []

    with nothing_left(), Peer() as peer:
        trio.run(main)


def test_the_pool_timeout_that_comes_with_a_ticket_at_once_gives_the_ticket():
    """A waiter that was served in the moment of its timeout goes on."""

    async def main() -> None:
        client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=1))
        async with client, client.stream("GET", f"{peer.url}/stall") as response:
            (engine,) = engines_of(client)
            original = engine._wait_in_queue

            async def wait(ticket: Any, job: Any) -> None:
                job.timeout = {**job.timeout, "pool": 0}
                await response.aclose()
                await original(ticket, job)

            engine._wait_in_queue = wait
            answer = await client.get(f"{peer.url}/echo", headers={"X-Id": "next"})
            assert answer.text == "next"

    with nothing_left(), Peer() as peer:
        trio.run(main)
