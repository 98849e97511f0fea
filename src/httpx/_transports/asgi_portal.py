"""
The thread with an event loop on which an ASGI app runs for a sync client.

Not here: what runs there (`asgi_run`), the transport (`asgi`).
"""

from __future__ import annotations

import weakref
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from threading import Lock, Thread, current_thread
from typing import Any, Callable, TypeVar

from .._engine.forks import FORKS
from .._exceptions import ReadError
from .asgi_run import Run, Server

T = TypeVar("T")


class Worker:
    """
    A thread with an asyncio loop.

    A daemon, so that a program may end without closing it.
    """

    def __init__(self) -> None:
        self.ended = False
        self._lock = Lock()
        self._pending: set[Future[Any]] = set()
        ready: Future[tuple[Any, Any]] = Future()
        self._thread = Thread(target=self._live, args=(ready,), name="httpx.ASGITransport", daemon=True)
        self._thread.start()
        self.loop, self._stop = ready.result()

    def _live(self, ready: Future[tuple[Any, Any]]) -> None:
        """What the thread does."""
        import asyncio

        async def main() -> None:
            stop = asyncio.Event()
            ready.set_result((asyncio.get_running_loop(), stop))
            try:
                await stop.wait()
            finally:
                with self._lock:
                    self.ended = True

        try:
            asyncio.run(main())
        except BaseException as exc:
            # A task of the app's own that raises SystemExit ends the loop.
            if not ready.done():
                ready.set_exception(exc)
        for future in list(self._pending):
            # What was begun too late for `asyncio.run` to cancel it.
            if not future.done():
                future.set_exception(CancelledError())

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """
        The result of an async function, in the caller's context.

        Raises:
            RuntimeError: this is the thread itself, which cannot wait for itself.
            ReadError: the loop has ended, or ends.
            Whatever the function raises.
        """
        import asyncio

        if self._thread is current_thread():
            raise RuntimeError("the ASGI app waits for a request to itself on the event loop that it runs on")
        with self._lock:
            if self.ended:
                raise ReadError("the event loop of the ASGI app has ended")
            coroutine = function(*args)
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
            self._pending.add(future)
        try:
            return future.result()
        except CancelledError:
            raise ReadError("the event loop of the ASGI app ended before the app had answered") from None
        except BaseException:
            future.cancel()  # does nothing if the exception is its own
            raise
        finally:
            self._pending.discard(future)

    def end(self) -> None:
        """End the thread, and wait for that."""
        with self._lock:
            if not self.ended:
                self.ended = True
                self.loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not current_thread():  # the garbage collector may call this anywhere
            self._thread.join()


class Portal:
    """
    A worker, started when it is needed, and ended with the portal at the latest, also when nobody closes that.

    A forked child, which has no such thread, gets another one.
    """

    def __init__(self) -> None:
        self.server = Server()
        self._lock = Lock()
        self._worker: Worker | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        FORKS.watch(self)

    @property
    def started(self) -> bool:
        """Is there a worker?"""
        return self._worker is not None and not self._worker.ended

    def start(self) -> None:
        """Begin a worker, unless there is one."""
        with self._lock:
            if not self.started:
                self._worker = Worker()
                self._finalizer = weakref.finalize(self, self._worker.end)

    def owns(self, run: Run) -> bool:
        """Is this a run of the worker that there is now?"""
        worker = self._worker
        return worker is not None and not worker.ended and run.host.home is worker.loop

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """See `Worker.run`."""
        worker = self._worker
        if worker is None:
            raise ReadError("the transport was closed")
        return worker.run(function, *args)

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            finalizer, self._finalizer, self._worker = self._finalizer, None, None
        if finalizer is not None:
            finalizer()

    def forget(self) -> None:
        """In a forked child."""
        if self._worker is not None and self._finalizer is not None:
            self._finalizer.detach()
            _FORGOTTEN.append(self._worker)
        self._worker = self._finalizer = None
        self._lock = Lock()
        self.server = Server()


# In a forked child: their loops cannot be closed, as they seem to run, and would complain when they are collected.
_FORGOTTEN: list[Worker] = []
