"""
A flag that is set once, for which threads and tasks of any loop wait.

    latch.set()             from any thread; wakes all that wait
    latch.when_set(wake)    calls `wake` when it is set, or now; from the thread that sets it

Policy makes one and yields it (`_steps.wait`); it does not wait itself, so it needs no thread and no loop.

Not here: waiting (`_transports.latches`).
"""

from __future__ import annotations

import threading
from typing import Callable

from ._forks import FORKS


class Latch:
    """A flag that is set once; safe under threads."""

    __slots__ = ("__weakref__", "_lock", "_wakes", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        # Re-entrant: a garbage collection within it may end another request, which sets a latch.
        self._lock = threading.RLock()
        self._wakes: list[Callable[[], object]] = []
        FORKS.renew(self, "_lock", threading.RLock)

    def set(self) -> None:
        """
        Set the flag, and call what waits for it. Setting it again does nothing.

        After an interruption it may be set again, so that nothing waits in vain; one may be called twice then.
        """
        with self._lock:
            self.is_set = True
            while self._wakes:
                self._wakes[0]()
                del self._wakes[0]

    def when_set(self, wake: Callable[[], object]) -> None:
        """Call `wake` when the flag is set: in the thread that sets it, or now. It must not raise or block."""
        with self._lock:
            if not self.is_set:
                self._wakes.append(wake)
                return
        wake()
