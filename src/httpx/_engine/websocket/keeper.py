"""
What attends to WebSockets that nothing is received from, so that their peers do not give them up.

    KEEPER     for threads: one daemon thread while any session is open, however many there are

It wakes a few times in the shortest interval of their pings, and calls `attend` of each channel. Without it a program
that computes for a minute between two messages would not answer a ping, and servers close after 20 seconds.

Where no daemon thread may be started (isolated subinterpreters, the end of the program) there is none, and sessions
work as long as they are used.

Not here: what `attend` does (`sync`).
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from ..._forks import FORKS, unlock


class Keeper:
    """The thread that attends to the channels of all sync sessions. They are not kept alive by being known."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._begin()
        FORKS.renew(self, "_lock", threading.RLock)
        FORKS.watch(self)

    def forget(self) -> None:
        """In a forked child, which has no such thread, and whose sessions are its parent's: begin anew."""
        for channel in self._channels:
            channel.forget()
        self._begin()

    def _begin(self) -> None:
        self._channels: weakref.WeakSet[Any] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._seconds = 0.0  # of the wait of now

    def add(self, channel: Any) -> None:
        """Attend to a channel from now on."""
        try:
            with self._lock:
                self._channels.add(channel)
                if self._thread is None:
                    self._start()
                elif channel.tick < self._seconds:
                    self._hurry.set()
        except BaseException:  # out of a signal handler: the lock is for all sessions of the process
            unlock(self._lock)
            raise

    def _start(self) -> None:
        try:
            thread = threading.Thread(target=self._live, name="httpx.websockets", daemon=True)
            thread.start()
        except RuntimeError:
            return
        self._thread = thread  # not before: one that was not started would never be

    def remove(self, channel: Any) -> None:
        """Do not attend to a channel any more."""
        try:
            with self._lock:
                self._channels.discard(channel)
        except BaseException:
            unlock(self._lock)
            raise

    def _live(self) -> None:
        """Attend to the channels until there are none; the thread's function."""
        while True:
            with self._lock:
                self._seconds = min((channel.tick for channel in self._channels), default=0.0)
                if not self._seconds:
                    # Only now, and not when the last session ended: one session after the other shares a thread.
                    self._thread = None
                    return
                self._hurry.clear()
            if not self._hurry.wait(self._seconds):
                self._attend()

    def _attend(self) -> None:
        with self._lock:
            channels = list(self._channels)
        for channel in channels:
            channel.attend()


KEEPER = Keeper()
