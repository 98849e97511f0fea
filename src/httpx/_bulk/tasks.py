"""
The tasks of `AsyncClient.map`, on asyncio and on trio.

    begin(call)  ─► _pending ─► a worker: await send ─► queue ─► take

A worker is a task that sends one call after the other and ends when none is pending; `begin` makes another one. On
trio it is a system task, because the nursery of a caller is not open as long as an iterator lives. Workers refer to
their crew and not to the iterator, so that an iterator that is dropped ends them.

Not here: reading the input (`AsyncBulk`).
"""

from __future__ import annotations

from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Callable

from .._transports.default import _running
from .calls import Call, Crew

if TYPE_CHECKING:
    import asyncio

    import trio


class Worker:
    """
    A task of a crew.

    Attributes:
        call: what it is at.
        cancel: what cancels it.
        was_cancelled: by its crew.
    """

    __slots__ = ("call", "cancel", "was_cancelled")

    def __init__(self) -> None:
        self.call: Call | None = None
        self.cancel: Callable[[], Any] | None = None
        self.was_cancelled = False


class TaskCrew(Crew):
    """What the crews of both libraries have in common; at most `concurrency` workers. See `Crew`."""

    # Whether a worker ends with KeyboardInterrupt and the like, which the consumer gets as well.
    _raises = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._pending: deque[Call] = deque()
        self._workers: set[Worker] = set()

    def _spawn(self, worker: Worker) -> None:
        """Run `_work` in a task."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Let `wait` return."""
        raise NotImplementedError

    async def wait(self) -> None:
        """Wait until there may be something to take, or nothing to wait for."""
        raise NotImplementedError

    def begin(self, call: Call) -> None:
        """Have a call sent by the next worker that is free; begin a worker if there may be one more."""
        self.enlist(call)
        self._pending.append(call)
        if len(self._workers) < self._concurrency:
            worker = Worker()
            self._workers.add(worker)
            self._spawn(worker)

    async def _work(self, worker: Worker, cancelled: type[BaseException]) -> None:
        """
        Send what is pending. `cancelled` is the exception by which the library cancels.

        Between finding nothing pending and not being a worker any more there is no await: `begin` counts on it.
        """
        pending, send = self._pending, self._send
        try:
            while pending:
                call = worker.call = pending.popleft()
                try:
                    if call.options is None:
                        call.outcome = await send(call.request)
                    else:
                        call.outcome = await send(call.request, **call.options)
                except cancelled as exc:
                    if not worker.was_cancelled:  # by the end of the loop, or by a hook
                        call.fail(exc)
                        self._settle(call)
                    raise
                except BaseException as exc:
                    call.fail(exc)
                    self._settle(call)
                    if self._raises and not isinstance(exc, Exception):
                        raise
                else:
                    self._settle(call)
                finally:
                    worker.call = None
                    del call
        finally:
            self._ended(worker)

    def _settle(self, call: Call) -> None:
        call.is_done = True
        if self._is_stopped:
            return  # its end came before its cancellation
        if not self._ordered:
            self._queue.append(call)
        if call.error is not None and self._is_fatal(call.error):
            self._halt(call)
        if self._queue and self._queue[0].is_done:
            self._wake()

    def _halt(self, failed: Call) -> None:
        """Begin nothing any more, and cancel what comes after a call that failed."""
        self.most = 0
        self._pending.clear()
        for worker in list(self._workers):
            call = worker.call
            if call is not None and call is not failed and (not self._ordered or call.number > failed.number):
                self._cancel(worker)

    @staticmethod
    def _cancel(worker: Worker) -> None:
        worker.was_cancelled = True
        if worker.cancel is not None:
            worker.cancel()

    def _ended(self, worker: Worker) -> None:
        worker.cancel = None  # it refers to the task, and the task's cancellation to the worker
        self._workers.discard(worker)
        if not self._workers:
            self._wake()

    def stop(self) -> None:
        """Begin nothing any more, and cancel all workers."""
        self._discard()
        self._pending.clear()
        for worker in list(self._workers):
            self._cancel(worker)
        self._wake()

    async def join(self) -> None:
        """Wait until all workers have ended."""
        while self._workers:
            await self.wait()


class AsyncioCrew(TaskCrew):
    """Tasks of the running loop of asyncio."""

    _raises = True  # so that the loop ends at once

    def __init__(self, *args: Any) -> None:
        import asyncio

        super().__init__(*args)
        self._loop = asyncio.get_running_loop()
        self._cancelled_error = asyncio.CancelledError
        self._waiter: asyncio.Future[None] | None = None

    def _spawn(self, worker: Worker) -> None:
        task = self._loop.create_task(self._work(worker, self._cancelled_error))
        worker.cancel = task.cancel
        # A coroutine that is cancelled before it begins never gets to its end.
        task.add_done_callback(lambda task: self._ended(worker))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until there may be something to take, or nothing to wait for."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def drop(self) -> None:
        """Stop, from a destructor, in any thread."""
        self._discard()
        if self._workers:
            try:
                self._loop.call_soon_threadsafe(self.stop)
            except RuntimeError:
                pass  # the loop is closed


class TrioCrew(TaskCrew):
    """System tasks of trio."""

    def __init__(self, *args: Any) -> None:
        import trio

        super().__init__(*args)
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()
        self._waiter: trio.Event | None = None

    def _spawn(self, worker: Worker) -> None:
        scope = self._trio.CancelScope()
        worker.cancel = scope.cancel
        self._trio.lowlevel.spawn_system_task(self._work_in, scope, worker, name="httpx.map", context=copy_context())

    async def _work_in(self, scope: trio.CancelScope, worker: Worker) -> None:
        with scope:
            await self._work(worker, self._trio.Cancelled)

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.set()

    async def wait(self) -> None:
        """Wait until there may be something to take, or nothing to wait for."""
        self._waiter = self._trio.Event()
        try:
            await self._waiter.wait()
        finally:
            self._waiter = None

    async def join(self) -> None:
        """Wait until all workers have ended, also if the consumer was cancelled: they are cancelled, too."""
        with self._trio.CancelScope(shield=True):
            await super().join()

    def drop(self) -> None:
        """Stop, from a destructor, in any thread."""
        self._discard()
        if self._workers:
            try:
                self._token.run_sync_soon(self.stop)
            except self._trio.RunFinishedError:
                pass


def crew_of_this_loop(*args: Any) -> TaskCrew:
    """Return a crew for the library that runs; arguments as for `Crew`."""
    return (TrioCrew if type(_running()).__module__.startswith("trio.") else AsyncioCrew)(*args)
