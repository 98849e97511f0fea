"""The operations of a dial on asyncio, one by one; what a user can see is in tests/adversarial/test_connections.py."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Callable

import pytest

from httpx._engine.dialling.asyncio import Attempts, FallbackSockets, LoopSockets, Sockets
from httpx._engine.race import Race
from support.engines import driver_named
from support.steps import turns

pytestmark = pytest.mark.usefixtures("no_leaks")

NAMES = ("asyncio", "asyncio-fallback", "uvloop")
SETTINGS: Any = None  # not used where no attempt begins


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Each kind of loop."""
    return str(request.param)


@pytest.fixture
def run(name: str) -> Callable[..., Any]:
    """Run an async function on the loop."""
    return driver_named(name).run_bare


@pytest.fixture
def pair() -> Any:
    """Two connected sockets that do not block."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def sockets_of(name: str) -> Sockets:
    loop = asyncio.get_running_loop()
    return FallbackSockets(loop) if name == "asyncio-fallback" else LoopSockets(loop)


def test_what_an_attempt_says_after_the_race_is_not_heard(run: Callable[..., Any], name: str):
    async def main() -> None:
        attempts = Attempts(sockets_of(name), asyncio.get_running_loop(), SETTINGS, Race("host", 1, []))
        with socket.socket() as sock:
            attempts._report(sock, None)
            assert attempts.winner(0.0) is None
            attempts._sockets[sock] = (0, 0, 0, "", None)
            waiting = asyncio.ensure_future(attempts.wait(None))
            await turns()
            attempts._report(sock, None)
            attempts._wake()
            await waiting
            await attempts.wait(None)  # there is something to be looked at already
            assert attempts.winner(0.0) is sock

    run(main)


def test_receiving_ends_with_bytes_or_the_end_or_its_time(run: Callable[..., Any], name: str, pair: Any):
    ours, theirs = pair

    async def main() -> None:
        sockets, now = sockets_of(name), asyncio.get_running_loop().time
        assert await sockets.receive(ours, now() + 0.01) is None
        theirs.send(b"abc")
        assert await sockets.receive(ours, now() + 5) == b"abc"
        theirs.send(b"def")
        assert await sockets.receive(ours, None) == b"def"
        theirs.close()
        assert await sockets.receive(ours, None) == b""

    run(main)


def test_sending_is_over_when_the_socket_has_taken_all_of_it(run: Callable[..., Any], name: str, pair: Any):
    """The harm: a request overtook what was queued of the TLS handshake before it."""
    ours, theirs = pair

    async def main() -> None:
        sockets, now = sockets_of(name), asyncio.get_running_loop().time
        data = bytes(range(256)) * 20_000
        received = bytearray()

        async def take() -> None:
            while len(received) < len(data) + 3:
                received.extend(await sockets.receive(theirs, now() + 5) or b"")

        taking = asyncio.ensure_future(take())
        assert await sockets.send(ours, data, now() + 5)
        assert await sockets.send(ours, b"end", now() + 5)
        await taking
        assert bytes(received) == data + b"end"
        assert not await sockets.send(ours, data, now() + 0.01)

    run(main)


@pytest.mark.parametrize("operation", ["send", "receive"])
@pytest.mark.parametrize("cancellations", [1, 2])
def test_an_operation_that_was_cancelled_does_not_watch_the_socket(
    run: Callable[..., Any], name: str, pair: Any, operation: str, cancellations: int
):
    """The harm: the descriptor is closed next, and a loop that watches it would take another socket for it."""
    ours, _ = pair

    async def main() -> None:
        sockets, loop = sockets_of(name), asyncio.get_running_loop()
        waits = sockets.send(ours, bytes(10_000_000), None) if operation == "send" else sockets.receive(ours, None)
        task = asyncio.ensure_future(waits)
        await turns(3)
        for _ in range(cancellations):
            task.cancel()
            await turns()
        await asyncio.wait([task])
        assert task.cancelled()
        if name != "asyncio-fallback":
            assert not loop.remove_reader(ours)
            assert not loop.remove_writer(ours)
        else:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main)


def test_a_cancellation_while_an_operation_is_ended_for_lack_of_time_is_not_lost():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main() -> None:
        sockets = FallbackSockets(asyncio.get_running_loop())
        waits = sockets.receive(ours, asyncio.get_running_loop().time() + 0.01)
        task = asyncio.ensure_future(waits)
        end = sockets._end

        async def then_cancel(inner: Any) -> Any:
            asyncio.get_running_loop().call_soon(task.cancel)
            return await end(inner)

        sockets._end = then_cancel  # type: ignore[method-assign]
        await asyncio.wait([task])
        assert task.cancelled()

    with ours, theirs:
        driver_named("asyncio-fallback").run_bare(main)
