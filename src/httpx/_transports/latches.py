"""
Wait for a `Latch`: in threads, on asyncio and on trio.

    wait_for(latch, seconds), await await_for(latch, seconds)      -> whether it is set

A wait that is over, for any reason, leaves the latch as it is: what it stands for is the caller's to give back. In
`httpx.testing.virtual_time` the seconds are real ones: what sets the latch may be in a thread that really works.

Not here: who sets it (`_middleware`).
"""

from __future__ import annotations

import threading
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from .._latch import Latch
from .default import _running

if TYPE_CHECKING:
    import asyncio


def wait_for(latch: Latch, seconds: float | None) -> bool:
    """Wait in this thread, at most for some seconds; None for no limit."""
    if not latch.is_set:
        # A lock that is released to wake this thread; an Event costs ten times that.
        over = threading.Lock()
        over.acquire()
        latch.when_set(partial(_release, over))
        over.acquire(timeout=-1 if seconds is None else min(max(seconds, 0.0), threading.TIMEOUT_MAX))
    return latch.is_set


def _release(lock: threading.Lock) -> None:
    if lock.locked():  # not after an interruption
        lock.release()


async def await_for(latch: Latch, seconds: float | None) -> bool:
    """Wait in this task, at most for some seconds; None for no limit."""
    if not latch.is_set:
        if type(_running()).__module__.startswith("trio."):
            await _on_trio(latch, seconds)
        else:
            await _on_asyncio(latch, seconds)
    return latch.is_set


async def _on_trio(latch: Latch, seconds: float | None) -> None:
    import trio

    over = trio.Event()
    token = trio.lowlevel.current_trio_token()
    latch.when_set(partial(_in_loop, token.run_sync_soon, over.set))
    with trio.move_on_after(inf if seconds is None else max(seconds, 0.0)):
        await over.wait()


async def _on_asyncio(latch: Latch, seconds: float | None) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    latch.when_set(partial(_in_loop, loop.call_soon_threadsafe, partial(_settle, over)))
    try:
        if seconds is None:
            await over
        else:
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with the result.
            await asyncio.wait([over], timeout=max(seconds, 0.0))
    finally:
        over.cancel()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _in_loop(call: Any, wake: Any) -> None:
    """Call `wake` in a loop, unless that has ended meanwhile."""
    try:
        call(wake)
    except RuntimeError:  # trio's RunFinishedError is one
        pass  # nothing waits any more
