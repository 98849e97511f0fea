"""The operations of a dial on trio, one by one; what a user can see is in tests/adversarial/test_connections.py."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from httpx._engine.race import Race
from support.leaks import counts_of, engines_of, nothing_left
from support.peer import Peer
from support.steps import turns

trio = pytest.importorskip("trio")

from httpx._engine.dialling import trio as dialling  # noqa: E402  # after the skip
from httpx._engine.dialling.trio import TrioDialling  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY: Any = None  # what an operation does not look at


@pytest.fixture
def pair() -> Iterator[tuple[TrioDialling, socket.socket]]:
    """A dial that has its socket, and the socket at the other end."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    with ours, theirs:
        dial = TrioDialling(ANY, ANY)
        dial._sock = ours
        yield dial, theirs


def test_a_winner_of_a_race_that_is_cancelled_is_closed(monkeypatch: pytest.MonkeyPatch):
    """The harm: the descriptor of a connection that nobody knew of any more."""

    async def main() -> None:
        client = httpx.AsyncClient(trust_env=False)
        original = dialling._Attempts._attempt

        async def then_cancel(self: Any, *args: Any) -> None:
            await original(self, *args)
            for engine in engines_of(client):
                for scope in engine._dials.values():
                    scope.cancel()
            await trio.lowlevel.checkpoint_if_cancelled()

        monkeypatch.setattr(dialling._Attempts, "_attempt", then_cancel)
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{peer.url}/echo")
        assert counts_of(client) == (0, 0, 0, 0)
        await client.aclose()

    with nothing_left(), Peer() as peer:
        trio.run(main)


def test_two_attempts_that_succeed_at_once_leave_one_socket():
    async def main() -> None:
        engine: Any = httpx.AsyncHTTPTransport()._engine_here()
        attempts = dialling._Attempts(engine.settings, Race("host", 1, []))
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (peer.host, peer.port))
        with socket.socket() as first:
            attempts.winner = first
            async with trio.open_nursery() as nursery:
                await attempts._attempt(address, nursery)
            assert attempts.winner is first

    with nothing_left(), Peer() as peer:
        trio.run(main)


def test_receiving_ends_with_bytes_or_the_end_or_its_time(pair: tuple[TrioDialling, socket.socket]):
    dial, theirs = pair

    async def main() -> None:
        assert await dial._receive(trio.current_time() + 0.01) is None
        theirs.send(b"abc")
        assert await dial._receive(trio.current_time() + 5) == b"abc"
        theirs.close()
        assert await dial._receive(None) == b""

    trio.run(main)


def test_what_always_has_something_to_say_does_not_outlast_its_time(pair: tuple[TrioDialling, socket.socket]):
    dial, theirs = pair

    async def main() -> None:
        until = trio.current_time() + 0.02
        with trio.fail_after(5):
            while (await dial._receive(until)) is not None:
                theirs.send(b"x")

    theirs.send(b"x")
    trio.run(main)


def test_sending_is_over_when_the_socket_has_taken_all_of_it(pair: tuple[TrioDialling, socket.socket]):
    dial, theirs = pair
    data = bytes(range(256)) * 20_000

    async def main() -> None:
        received = bytearray()
        other = TrioDialling(ANY, ANY)
        other._sock = theirs

        async def take() -> None:
            while len(received) < len(data) + 3:
                received.extend(await other._receive(trio.current_time() + 5) or b"")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            assert await dial._send(data, trio.current_time() + 5)
            assert await dial._send(b"end", trio.current_time() + 5)
        assert bytes(received) == data + b"end"
        assert not await dial._send(data, trio.current_time() + 0.01)
        await turns()

    trio.run(main)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals as on Unix")
def test_ctrl_c_while_a_connection_is_made_is_a_keyboard_interrupt(monkeypatch: pytest.MonkeyPatch):
    """It was trio's TrioInternalError, with the request to report a bug of trio: a dial runs in a system task."""
    original = dialling.new_socket

    def press_ctrl_c(*args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return original(*args)

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"{peer.url}/echo")

    monkeypatch.setattr(dialling, "new_socket", press_ctrl_c)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which trio replaces with its own
    try:
        with nothing_left(), Peer() as peer, pytest.raises(KeyboardInterrupt):
            trio.run(main)
    finally:
        signal.signal(signal.SIGINT, before)
