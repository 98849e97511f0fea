"""
Start and end the tasks of an ASGI application, on asyncio or on trio.

Not here: the code of these tasks (`asgi_run`).
"""

from __future__ import annotations

import contextlib
import sys
from contextvars import copy_context
from typing import TYPE_CHECKING

from .default import _running

if TYPE_CHECKING:
    from typing import Any

    from .asgi_run import Run


class AsyncioHost:
    """Tasks on asyncio."""

    def __init__(self, home: Any) -> None:
        self.home = home

    def new_event(self) -> Any:
        import asyncio

        return asyncio.Event()

    async def checkpoint(self) -> None:
        import asyncio

        await asyncio.sleep(0)

    def spawn(self, run: Run) -> None:
        """Start a run in a copy of the caller's context."""
        run.task = self.home.create_task(run.run())
        # A task that is cancelled before its first step never enters `run`.
        run.task.add_done_callback(lambda _: run.finish())

    async def wait(self, run: Run, seconds: float) -> None:
        """Wait until a run has ended."""
        import asyncio

        await asyncio.wait([run.task], timeout=seconds)

    async def end(self, run: Run) -> None:
        """Cancel a run and wait until it has ended."""
        import asyncio

        run.task.cancel()
        cancelled: BaseException | None = None
        anyio = sys.modules.get("anyio")
        # A cancelled scope of anyio cancels the task again in each turn of the loop, until the app has ended.
        with contextlib.nullcontext() if anyio is None else anyio.CancelScope(shield=True):
            while not run.task.done():
                try:
                    await asyncio.wait([run.task])
                except asyncio.CancelledError as exc:
                    cancelled = exc
        run.finish()
        if cancelled is not None:
            raise cancelled


class TrioHost:
    """Tasks on trio: system tasks, each in a cancel scope."""

    def __init__(self, home: Any) -> None:
        self.home = home

    def new_event(self) -> Any:
        import trio

        return trio.Event()

    async def checkpoint(self) -> None:
        import trio

        await trio.lowlevel.checkpoint()

    def spawn(self, run: Run) -> None:
        """Start a run in a copy of the caller's context."""
        import trio

        run.task = trio.CancelScope()
        trio.lowlevel.spawn_system_task(self._main, run, context=copy_context())

    async def _main(self, run: Run) -> None:
        with run.task:
            await run.run()

    async def wait(self, run: Run, seconds: float) -> None:
        """Wait until a run has ended."""
        import trio

        with trio.move_on_after(seconds):
            await run.until(lambda: run.over)

    async def end(self, run: Run) -> None:
        """Cancel a run and wait until it has ended."""
        import trio

        run.task.cancel()
        with trio.CancelScope(shield=True):
            await run.until(lambda: run.over)


def host_here() -> AsyncioHost | TrioHost:
    """Return the host for the running event loop."""
    home = _running()
    return TrioHost(home) if type(home).__module__.startswith("trio.") else AsyncioHost(home)
