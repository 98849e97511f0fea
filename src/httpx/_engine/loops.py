"""
Waiting on whichever async library is running, for what both do alike and seldom.

    sleep(seconds)   wait
    now()            the time on the clock of the loop, in seconds
    Signals          tasks that wait until something happens

Not here: what is waited for on a path of every request, which the engines do each in its own way.
"""

from __future__ import annotations

import math
import sys
from typing import Any


def is_trio() -> bool:
    """Return whether trio is running here."""
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


async def sleep(seconds: float) -> None:
    """Wait."""
    if is_trio():
        import trio

        await trio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)


def now() -> float:
    """Return the time on the clock of the running loop, in seconds."""
    if is_trio():
        import trio

        return trio.current_time()
    import asyncio

    return asyncio.get_running_loop().time()


class Signals:
    """Tasks that wait until something happens: each is woken by the next `wake`, and looks for itself."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Any] = []

    def wake(self) -> None:
        """Wake all."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.set()

    async def wait(self, until: float | None = None) -> bool:
        """Wait for the next `wake`; False if it did not come before `until`, on the loop's clock."""
        if is_trio():
            import trio

            woken = trio.Event()
            self._waiting.append(woken)
            try:
                with trio.CancelScope(deadline=math.inf if until is None else until):
                    await woken.wait()
            finally:
                self._forget(woken)
            return bool(woken.is_set())
        import asyncio

        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        event = _Waiter(waiter)
        self._waiting.append(event)
        timer = None if until is None else waiter.get_loop().call_at(until, event.set, False)
        try:
            return await waiter
        finally:
            self._forget(event)
            if timer is not None:
                timer.cancel()

    def _forget(self, each: Any) -> None:
        if each in self._waiting:
            self._waiting.remove(each)


class _Waiter:
    """A task of asyncio that waits."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    def set(self, result: bool = True) -> None:
        if not self._future.done():
            self._future.set_result(result)
