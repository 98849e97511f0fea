"""
Waits that end early: the pause before a connection is opened again.

    sleeper.sleep(seconds)    -> whether the time has passed; False if it was woken meanwhile, or before
    sleeper.wake()               from any thread or task, once and for all

`Sleeper` is for threads, `AsyncSleeper` for asyncio and trio, whose clocks it uses: a test that stops them stops this.
One thread or task sleeps at a time. In `httpx.testing.virtual_time` nothing waits.

Not here: how long (`_subscription`); pauses that nothing ends early (`_transports.pauses`).
"""

from __future__ import annotations

import threading
from typing import Callable

from .. import _clock
from .._transports.default import _running


class Sleeper:
    """Waits of a thread."""

    def __init__(self) -> None:
        self._is_awake = False
        self._signal: threading.Lock | None = None

    def sleep(self, seconds: float) -> bool:
        """Wait so many seconds, and return True; return False at once if `wake` is, or was, called."""
        if _clock.virtual is not None:
            if not self._is_awake:
                _clock.virtual._pause(seconds)
            return not self._is_awake
        # Not an Event: an exception between its bytecodes would leave its own lock locked.
        signal = self._signal = threading.Lock()
        signal.acquire()
        # After the signal is there: `wake` sets this first, so one of the two sees the other.
        if self._is_awake:
            return False
        return not signal.acquire(timeout=seconds)

    def wake(self) -> None:
        """Let the thread go on that sleeps, and let none sleep from now on."""
        self._is_awake = True
        signal = self._signal
        if signal is not None:
            try:
                signal.release()
            except RuntimeError:
                pass  # nothing sleeps there any more


class AsyncSleeper:
    """Waits of a task, on asyncio or trio."""

    def __init__(self) -> None:
        self._is_awake = False
        self._rouse: Callable[[], None] | None = None

    async def sleep(self, seconds: float) -> bool:
        """Wait so many seconds, and return True; return False at once if `wake` is, or was, called."""
        if _clock.virtual is not None:
            if not self._is_awake:
                await _clock.virtual._apause(seconds)
            return not self._is_awake
        sleep = self._sleep_on_trio if type(_running()).__module__.startswith("trio.") else self._sleep_on_asyncio
        try:
            return await sleep(seconds)
        finally:
            self._rouse = None

    async def _sleep_on_asyncio(self, seconds: float) -> bool:
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()

        def settle(has_passed: bool) -> None:
            if not future.done():
                future.set_result(has_passed)

        self._rouse = lambda: _unless_ended(lambda: loop.call_soon_threadsafe(settle, False))
        if self._is_awake:
            return False
        timer = loop.call_later(seconds, settle, True)
        try:
            return await future
        finally:
            timer.cancel()

    async def _sleep_on_trio(self, seconds: float) -> bool:
        import trio

        token = trio.lowlevel.current_trio_token()
        woken = trio.Event()
        self._rouse = lambda: _unless_ended(lambda: token.run_sync_soon(woken.set))
        if self._is_awake:
            return False
        with trio.move_on_after(seconds):
            await woken.wait()
        return not woken.is_set()

    def wake(self) -> None:
        """Let the task go on that sleeps, and let none sleep from now on."""
        self._is_awake = True
        rouse = self._rouse
        if rouse is not None:
            rouse()


def _unless_ended(call: Callable[[], object]) -> None:
    """Call a function of a loop that may have ended, which is an error of it, and then nothing sleeps on it."""
    try:
        call()
    except RuntimeError:
        pass
