"""
A thread with an event loop, on which an ASGI app runs for a sync client.

Not here: the calls of the app (`asgi_run`), the transport (`asgi`).
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TimeIsUp
from threading import RLock, Thread, current_thread
from time import monotonic
from typing import Any, Callable, TypeVar

from .._exceptions import ReadError, ReadTimeout
from .._forks import FORKS, unlock
from .asgi_run import Run, Server

T = TypeVar("T")


class Worker:
    """
    A thread with an asyncio loop, from `start` on.

    A daemon: a program that ends without closing it waits one second for it, see `_end_all`. Isolated subinterpreters
    do not allow daemons: there it is an ordinary thread, which is ended before the interpreter waits for it.
    """

    def __init__(self) -> None:
        self.ended = False
        self._lock = RLock()
        self._pending: set[Future[Any]] = set()
        self.loop: Any = None
        self._stop: Any = None  # an event of the loop
        self._ready: Future[None] = Future()
        options: dict[str, Any] = {"target": self._live, "name": "httpx.ASGITransport"}
        try:
            self._thread = Thread(**options, daemon=True)
        except RuntimeError:
            self._thread = Thread(**options, daemon=False)

    def start(self) -> None:
        """
        Start the thread, and wait until its loop runs. If this raises, the thread ends.

        Raises:
            RuntimeError: no thread can be started.
            OSError: no loop can be made.
        """
        try:
            if not self._thread.daemon:
                _end_with_interpreter(self)
            self._thread.start()
            self._ready.result()
        except BaseException:
            self.stop()  # as soon as there is a loop
            raise

    def _live(self) -> None:
        """Run the event loop; the function of the thread."""
        import asyncio

        _note(self)

        async def main() -> None:
            with self._lock:
                self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
                if self.ended:
                    self._stop.set()
            self._ready.set_result(None)
            try:
                await self._stop.wait()
            finally:
                with self._lock:
                    self.ended = True

        try:
            asyncio.run(main())
        except BaseException as exc:
            # A task that the app started and that raises SystemExit ends the loop.
            if not self._ready.done():
                self._ready.set_exception(exc)
        _WORKERS.discard(self)
        for future in list(self._pending):
            # Calls that began too late for `asyncio.run` to cancel them.
            if not future.done():
                future.set_exception(CancelledError())

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, deadline: float | None = None) -> T:
        """
        Return the result of an async function, in the caller's context.

        Args:
            deadline: in the time of `time.monotonic`; the function is then cancelled, and not awaited.

        Raises:
            ReadTimeout: the deadline came first.
            RuntimeError: called in this thread, which cannot wait for itself.
            ReadError: the loop has ended or is ending.
            Any exception of the function.
        """
        import asyncio

        if self._thread is current_thread():
            raise RuntimeError("the ASGI app waits for a request to itself on the event loop that it runs on")
        future: Future[T] | None = None
        try:
            with self._lock:
                if self.ended:
                    raise ReadError("the event loop of the ASGI app has ended")
                future = asyncio.run_coroutine_threadsafe(function(*args), self.loop)
                self._pending.add(future)
            return future.result(None if deadline is None else max(0.0, deadline - monotonic()))
        except TimeIsUp:
            assert future is not None  # or its time could not be up
            if future.done():  # an exception of the app's own, or just in time
                return future.result()
            future.cancel()
            raise ReadTimeout("no whole response of the ASGI app within the total timeout") from None
        except CancelledError:
            raise ReadError("the event loop of the ASGI app ended before the app had responded") from None
        except BaseException:
            unlock(self._lock)  # no `with` does, if an exception came just before its block, or after it
            if future is not None:
                future.cancel()  # does nothing if the exception is its own
            raise
        finally:
            if future is not None:
                self._pending.discard(future)

    def end(self, patience: float | None = None) -> None:
        """
        End the thread, and wait until it has ended.

        Args:
            patience: seconds to wait at most; None for no limit. An app that swallows its cancellation, or blocks
                the loop, never ends.
        """
        self.stop()
        # The garbage collector may call this anywhere.
        if self._thread is not current_thread() and self._thread.ident is not None:
            self._thread.join(patience)

    def stop(self) -> None:
        """Tell the thread to end, without waiting for it."""
        try:
            with self._lock:
                if not self.ended:
                    if self.loop is not None:
                        self.loop.call_soon_threadsafe(self._stop.set)
                    self.ended = True  # last: who is interrupted before this tells it again
        except BaseException:
            unlock(self._lock)
            raise

    def is_alive(self) -> bool:
        """Return whether the thread runs in this process."""
        return self._thread.is_alive()

    def silence(self) -> None:
        """Keep asyncio from reporting the tasks that end with the interpreter."""
        import asyncio

        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # not in its stubs


def _end_with_interpreter(worker: Worker) -> None:
    """End the worker when its interpreter ends, before it waits for threads; `atexit` is later."""
    reference = weakref.ref(worker)

    def end() -> None:
        found = reference()
        if found is not None:
            found.end(PATIENCE)

    threading._register_atexit(end)  # type: ignore[attr-defined]  # as `concurrent.futures` does


# The workers whose threads run, so that the end of the program can wait for all of them at once.
_WORKERS: set[Worker] = set()
PATIENCE = (
    1.0  # seconds for an app to clean up if its client was not closed: at the end of the program, or when collected
)
_registered = False


def _note(worker: Worker) -> None:
    global _registered
    _WORKERS.add(worker)
    if not _registered:
        # At the first use, so that exit handlers of the program that close a client run before this one.
        _registered = True
        atexit.register(_end_all)


def _end_all() -> None:
    """End the threads of clients that were not closed, in one second for all together: an app may never end."""
    workers = [worker for worker in list(_WORKERS) if worker.is_alive()]
    for worker in workers:
        worker.stop()
    deadline = monotonic() + PATIENCE
    for worker in workers:
        worker.end(max(0.0, deadline - monotonic()))
        if worker.is_alive():
            worker.silence()


class Portal:
    """
    A portal to a worker, which is started on first use and ended with the portal, even if it is never closed.

    A forked child does not have the thread, and starts another.
    """

    def __init__(self) -> None:
        self.server = Server()
        self._lock = RLock()
        self._worker: Worker | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        FORKS.watch(self)

    @property
    def started(self) -> bool:
        """Return whether there is a worker."""
        return self._worker is not None and not self._worker.ended

    def start(self) -> None:
        """Start a worker, unless there is one."""
        worker: Worker | None = None
        try:
            with self._lock:
                if not self.started:
                    # Known before it is started, so that it can be ended if this is interrupted anywhere.
                    worker = self._worker = Worker()
                    if self._finalizer is not None:
                        self._finalizer.detach()  # its worker has ended
                    self._finalizer = weakref.finalize(self, worker.end, PATIENCE)
                    self._finalizer.atexit = False  # see `_end_all`
                    worker.start()
        except BaseException:
            unlock(self._lock)
            if worker is not None:
                worker.stop()
            raise

    def owns(self, run: Run) -> bool:
        """Return whether this is a run of the current worker."""
        worker = self._worker
        return worker is not None and not worker.ended and run.host.home is worker.loop

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, deadline: float | None = None) -> T:
        """Return the result of an async function, see `Worker.run`."""
        worker = self._worker
        if worker is None:
            raise ReadError("the transport was closed")
        return worker.run(function, *args, deadline=deadline)

    def close(self) -> None:
        """End the worker."""
        worker: Worker | None = None
        try:
            with self._lock:
                finalizer, self._finalizer, worker, self._worker = self._finalizer, None, self._worker, None
            if finalizer is not None:
                finalizer.detach()
            if worker is not None:  # also one whose start was interrupted
                worker.end()
        except BaseException:
            unlock(self._lock)
            if worker is not None:
                worker.stop()  # no other call can do it any more
            raise

    def forget(self) -> None:
        """Forget the worker, in a forked child."""
        if self._worker is not None and self._finalizer is not None:
            self._finalizer.detach()
            _WORKERS.discard(self._worker)
            _FORGOTTEN.append(self._worker)
        self._worker = self._finalizer = None
        self._lock = RLock()
        self.server = Server()


# In a forked child: their loops seem to run, so they cannot be closed, and would warn when they are collected.
_FORGOTTEN: list[Worker] = []
