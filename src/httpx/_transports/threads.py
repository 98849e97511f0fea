"""
Call functions in a thread of its own while the event loop goes on.

    await in_thread(function)       its result

    worker = Worker()               one thread for several functions, called one after the other
    await worker.begin(function)    does not wait for this one
    await worker.call(function)     its result
    worker.end()

For sync sources of request bodies that are read in async code, and for the files of transfers. `_files` does not know
of event loops; it gets `in_thread` when the package is imported.

Rejected: asyncio's executor, because its few threads are shared with the program, and `asyncio.run` waits for them at
the end, so that a silent pipe would keep a program from ending; `trio.to_thread` counts such threads, too. Starting a
thread costs 60 us, and 250 where other threads are running, so what calls several functions has a `Worker`.

Not here: the decision which calls get a thread (`_files.Pace`).
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread
from typing import Any, Callable, Optional

from .. import _files
from .._latch import Latch
from .latches import await_for


async def in_thread(function: Callable[[], Any]) -> Any:
    """
    Return the result of a function that runs in a thread, or in the caller's if no thread can be started.

    A cancellation does not wait for the function: the thread ends by itself, and its outcome is dropped.
    """
    worker = Worker()
    try:
        return await worker.call(function)
    finally:
        worker.end()


class Worker:
    """
    A thread that calls one function after the other; the functions are called here if it cannot be started.

    At most one of them is not over. A cancellation does not wait for it: its outcome is dropped.
    """

    def __init__(self) -> None:
        self._calls: Optional[SimpleQueue[Optional[_Call]]] = None  # to the thread, if there is one; None ends it
        self._last: Optional[_Call] = None  # whose outcome nobody has seen

    @property
    def is_free(self) -> bool:
        """Return whether the last function is over, so that `begin` does not wait."""
        return self._last is None or self._last.is_over.is_set

    async def begin(self, function: Callable[[], Any]) -> None:
        """
        Let a function be called; return when it is under way.

        Raises:
            What the one before has raised: it is over then, and this one is not called.
        """
        await self._outcome()
        self._last = call = _Call(function)
        if self._calls is None:
            calls: SimpleQueue[Optional[_Call]] = SimpleQueue()
            try:
                # At the end of a process, in some subinterpreters and on some platforms no thread can be started.
                Thread(target=_work, args=(calls,), name="httpx.body", daemon=True).start()
                self._calls = calls
            except RuntimeError:
                _make(call)
                return
            except BaseException:  # out of a signal handler: the thread would wait for a call until the process ends
                calls.put(None)
                raise
        self._calls.put(call)

    async def call(self, function: Callable[[], Any]) -> Any:
        """Return the result of a function; what the one before has raised is raised here."""
        await self.begin(function)
        return await self._outcome()

    async def _outcome(self) -> Any:
        """Return or raise the outcome of the last call, once."""
        call, self._last = self._last, None
        if call is None:
            return None
        await await_for(call.is_over, None)
        result, error = call.result, call.error
        call.error = None
        try:
            if error is not None:
                raise error
            return result
        finally:
            del error  # a traceback that holds its own frame lives until the next garbage collection

    def end(self) -> None:
        """Let the thread end when it has done what it is at."""
        if self._calls is not None:
            self._calls.put(None)


class _Call:
    """A function, and what came of it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function: Optional[Callable[[], Any]] = function
        self.is_over = Latch()
        self.result: Any = None
        self.error: Optional[BaseException] = None


def _work(calls: SimpleQueue[Optional[_Call]]) -> None:
    """Make calls until there is None."""
    while True:
        call = calls.get()
        if call is None:
            return
        _make(call)
        del call  # with its result, before it waits


def _make(call: _Call) -> None:
    function, call.function = call.function, None  # which may hold a piece of a file
    try:
        call.result = function()  # type: ignore[misc]  # it is made once
    except BaseException as exc:
        call.error = exc
    del function
    call.is_over.set()
    del call  # its error has a traceback that holds this frame


_files.use_threads(in_thread)
