"""
Help for testing programs that use httpx; loaded only by those that import it.

    with httpx.testing.virtual_time() as time:
        client.get("/flaky")            # waits between its attempts, in no time
    assert time.slept == [0.1, 0.2]

`virtual_time` replaces what `_clock` offers. A pause on asyncio or trio is over when nothing else has moved for a few
turns of the loop and no other pause ends before; then the clock is at its end.

Not here: mock transports (`httpx.MockTransport`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from itertools import count
from threading import Lock
from typing import Any, Callable

from . import _clock
from ._forks import FORKS
from ._steps import MAX_PAUSE
from ._transports.default import _running

__all__ = ["VirtualTime", "virtual_time"]

# Turns of an event loop after which its other tasks are taken to have nothing to do.
_QUIET = 10


class _Sleeper:
    """
    A pause of a task.

    Attributes:
        until: when it ends, and its number among those that end at the same time.
        event: set when no pause of this loop ends before.
    """

    __slots__ = ("event", "until")

    def __init__(self, until: tuple[float, int], event: Any) -> None:
        self.until = until
        self.event = event

    def __lt__(self, other: _Sleeper) -> bool:
        return self.until < other.until


class VirtualTime:
    """
    The time in a `virtual_time` block, which only pauses and `advance` move.

    Attributes:
        slept: the seconds of all pauses, in the order in which they began.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._lock = Lock()
        FORKS.renew(self, "_lock", Lock)
        self._monotonic = time.monotonic()
        self._wall = time.time()
        self._jitter = 1.0
        self._sleepers: dict[Any, list[_Sleeper]] = {}  # by event loop
        self._numbers = count()
        self._changes = 0

    def monotonic(self) -> float:
        """Return seconds, on the clock of `request.extensions["deadline"]`."""
        return self._monotonic

    def wall(self) -> float:
        """Return seconds since 1970."""
        return self._wall

    def jitter(self) -> float:
        """Return the number that stands for all random ones in pauses."""
        return self._jitter

    def advance(self, seconds: float) -> None:
        """
        Move the clock forward, as a slow server does.

        Raises:
            ValueError: less than 0, or not a number.
        """
        if not 0 <= seconds <= MAX_PAUSE:
            raise ValueError(f"time can be advanced by 0 to {MAX_PAUSE:g} seconds, got {seconds!r}")
        with self._lock:
            self._monotonic += seconds
            self._wall += seconds

    def _reach(self, moment: float) -> None:
        with self._lock:
            seconds = max(0.0, moment - self._monotonic)
            # Not their sum, which would be off by a rounding error.
            self._monotonic = max(moment, self._monotonic)
            self._wall += seconds

    def _pause(self, seconds: float) -> None:
        """Let time pass in a thread."""
        self.slept.append(seconds)
        self._reach(self._monotonic + seconds)

    async def _apause(self, seconds: float) -> None:
        """Let time pass in a task, after the pauses of other tasks that end before."""
        self.slept.append(seconds)
        loop = _running()
        checkpoint, new_event = _tools_of(loop)
        sleepers = self._sleepers.setdefault(loop, [])
        sleeper = _Sleeper((self._monotonic + seconds, next(self._numbers)), new_event())
        heappush(sleepers, sleeper)
        self._changes += 1
        try:
            quiet = 0
            while quiet < _QUIET:
                if sleepers[0] is not sleeper:
                    sleeper.event = new_event()
                    await sleeper.event.wait()
                    quiet = 0
                before = self._changes
                await checkpoint()
                quiet = quiet + 1 if self._changes == before and sleepers[0] is sleeper else 0
            self._reach(sleeper.until[0])
        finally:
            self._changes += 1
            self._end(loop, sleepers, sleeper)

    def _end(self, loop: Any, sleepers: list[_Sleeper], sleeper: _Sleeper) -> None:
        """Forget a pause, which need not be over, and let the next one go on."""
        if sleepers[0] is sleeper:
            heappop(sleepers)
        else:
            sleepers.remove(sleeper)
            heapify(sleepers)
        if sleepers:
            sleepers[0].event.set()
        else:
            self._sleepers.pop(loop, None)


def _tools_of(loop: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return an async function that lets other tasks run, and a class of events."""
    if type(loop).__module__.startswith("trio."):
        import trio

        return trio.lowlevel.checkpoint, trio.Event
    import asyncio

    return _turn, asyncio.Event


async def _turn() -> None:
    import asyncio

    await asyncio.sleep(0)


@contextmanager
def virtual_time(*, wall: float | None = None, jitter: float = 1.0) -> Iterator[VirtualTime]:
    """
    Return a context manager in which the pauses of middleware take no time; it gives a `VirtualTime`.

        with httpx.testing.virtual_time() as time:
            ...
        assert time.slept == [1.0]

    Pauses, total timeouts and ages use the virtual time. The network keeps real time, and so do the other timeouts.
    Works in threads, on asyncio and on trio, for all clients of the process.

    Args:
        wall: the time when it begins, in seconds since 1970; by default the real one.
        jitter: what random parts of pauses are multiplied by, from 0 to 1; by default the longest ones.

    Raises:
        RuntimeError: the time is virtual already.
    """
    if _clock.virtual is not None:
        raise RuntimeError("virtual_time cannot be used within virtual_time")
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter must be a number from 0 to 1, got {jitter!r}")
    clock = VirtualTime()
    clock._jitter = jitter
    if wall is not None:
        clock._wall = wall
    before = _clock.monotonic, _clock.wall, _clock.jitter
    _clock.virtual = clock
    _clock.monotonic, _clock.wall, _clock.jitter = clock.monotonic, clock.wall, clock.jitter
    try:
        yield clock
    finally:
        _clock.virtual = None
        _clock.monotonic, _clock.wall, _clock.jitter = before
