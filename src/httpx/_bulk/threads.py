"""
The threads of `Client.map`.

The consumer (the thread that iterates) puts calls into `_pending`; threads take them out, send, and put them into
`_done`:

    begin(call)  ─► _pending ─► a thread: send ─► _done ─► is_ready, wait ─► queue ─► take

Both are `SimpleQueue`s: no lock can be left locked by an exception out of a signal handler, and `stop` may come
from a destructor. The threads are daemons: the end of the process does not wait for a server. They refer to this crew
and not to the iterator, so that an iterator that is dropped ends them.

Not here: reading the input (`Bulk`).
"""

from __future__ import annotations

import threading
from contextvars import copy_context
from math import inf
from queue import SimpleQueue
from typing import Any

from .._forks import FORKS
from .calls import Call, Crew


class ThreadCrew(Crew):
    """Threads that send, at most `concurrency`; see `Crew`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._pending: SimpleQueue[Call | None] = SimpleQueue()
        self._done: SimpleQueue[Call | None] = SimpleQueue()
        self._unfinished = 0  # calls whose end the consumer has not seen
        self._threads = 0
        # Calls with a higher number are not begun any more.
        self._last: float = inf
        self._is_forked = False
        FORKS.watch(self)

    def forget(self) -> None:
        """Note that this is a forked child, which has none of the threads."""
        self._is_forked = True

    def begin(self, call: Call) -> None:
        """Have a call sent by the next thread that is free; begin a thread if there may be one more."""
        self._check_process()
        self.enlist(call)
        self._unfinished += 1
        self._pending.put(call)
        if self._threads < self._concurrency and self._unfinished > self._threads:
            self._begin_thread()

    def _begin_thread(self) -> None:
        self._threads += 1
        try:
            threading.Thread(target=copy_context().run, args=(self._work,), name="httpx.map", daemon=True).start()
        except RuntimeError:
            # Too many threads, the end of the process, or a subinterpreter without daemons: fewer do it, or this one.
            self._threads -= 1
            if not self._threads:
                self._work(once=True)

    def _work(self, once: bool = False) -> None:
        """Send what is pending, in a thread until `stop`, or one call."""
        is_over = False
        while not is_over:
            is_over = once
            call = self._pending.get()
            if call is None:
                # One is for all threads: an exception out of a signal handler may have come before one was counted.
                self._pending.put(None)
                return
            # One that began before the call that failed is wanted: its outcome comes first.
            if call.number <= self._last:
                try:
                    if call.options is None:
                        call.outcome = self._send(call.request)
                    else:
                        call.outcome = self._send(call.request, **call.options)
                except BaseException as exc:
                    call.fail(exc)
                    if self._is_fatal(exc):
                        self._last = min(self._last, call.number if self._ordered else -1)
                call.is_done = True
            self._hand_over(call)
            del call  # not kept while the thread waits for the next one

    def _hand_over(self, call: Call) -> None:
        """Give a call to the consumer; called in other threads."""
        if self._is_stopped:
            # Only its end is of interest. The traceback of an error holds frames that hold this crew.
            call.outcome = call.error = None
        self._done.put(call)

    def is_ready(self) -> bool:
        """Return whether there is something to take."""
        done = self._done
        while not done.empty():
            self._note(done.get())
        return super().is_ready()

    def wait(self) -> None:
        """Wait for the end of a call."""
        self._check_process()
        self._note(self._done.get())

    def _note(self, call: Call | None) -> None:
        if call is None:  # `stop` was called by another thread
            return
        self._unfinished -= 1
        if self._last < inf:
            self.most = 0
        if not self._ordered and call.is_done and not self._is_stopped:
            self._queue.append(call)

    def stop(self) -> None:
        """Begin nothing any more, and let the threads end with what they are at."""
        self._discard()
        self._last = -1
        self._dismiss()
        self._done.put(None)  # if another thread waits

    def _dismiss(self) -> None:
        """Let the threads end."""
        self._pending.put(None)

    def abandon(self) -> None:
        """Stop, and let `join` wait for nothing: a call may have been lost by an exception out of a signal handler."""
        self.stop()
        self._unfinished = 0

    def join(self) -> None:
        """Wait until the calls that were begun have ended."""
        while self._unfinished and not self._is_forked:
            try:
                self._note(self._done.get())
            except BaseException:
                self._unfinished = 0
                raise

    def drop(self) -> None:
        """Stop, from a destructor."""
        self.stop()

    def _check_process(self) -> None:
        if self._is_forked:
            raise RuntimeError("this iterator of Client.map was begun in another process: call map in this one")
