"""
Do something at the N-th step of a scenario: cancel it, close its client, whatever the test wants.

A step is a suspension of any task that the scenario started (also of dials and of readers in the background, which the
library starts). Each can be met in two ways:

    early   the moment the task suspends
    late    when what it waits for has happened, and the task has not run yet

`Steps` counts on asyncio (also uvloop) and on trio:

    steps = Steps(5, late=False)
    async def main():
        with steps.watching():                    # from here on, tasks are counted
            outcome = await steps.run(request)    # request(): a coroutine, cancelled at the fifth step

Not here: what must be true afterwards (`tests/adversarial`).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Coroutine, Generator, Iterator
from typing import Any, Callable, Optional


class Cancelled(Exception):
    """What `Steps.run` returns when the scenario was cancelled."""


class Steps:
    """
    Args:
        at: which step, from 1.
        late: see above.
        act: what to do there instead of cancelling; a plain function.

    Attributes:
        count: steps so far.
        reached: did it come to step `at`?
    """

    def __init__(self, at: int, late: bool, act: Optional[Callable[[], None]] = None) -> None:
        self.at = at
        self.late = late
        self.count = 0
        self.reached = False
        self._act = act
        self._cancel: Callable[[], None] = lambda: None
        self.tasks: set[Any] = set()  # trio's tasks that are alive; on asyncio the loop can be asked

    def act(self) -> None:
        """What was to be done at the step."""
        self._cancel() if self._act is None else self._act()

    def step(self) -> bool:
        """Count one; is it the one?"""
        self.count += 1
        if self.count != self.at:
            return False
        self.reached = True
        return True

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count the steps of all tasks that are started from now on, in the event loop that runs here."""
        if in_trio():
            import trio

            instrument = _instrument(self)
            trio.lowlevel.add_instrument(instrument)
            yield
            trio.lowlevel.remove_instrument(instrument)
        else:
            loop = asyncio.get_running_loop()
            loop.set_task_factory(self._new_task)  # type: ignore[arg-type]
            yield
            loop.set_task_factory(None)

    def _new_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(_Counted(self, coro, loop), loop=loop, **options)

    async def run(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What the function returns or raises, as a value; `Cancelled` if it was cancelled."""
        return await (self._run_trio(function) if in_trio() else self._run_asyncio(function))

    async def _run_asyncio(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        task = asyncio.ensure_future(_outcome(function))
        self._cancel = task.cancel  # type: ignore[assignment]  # nobody wants its result
        # Not `await task`: the task that waits here would be cancelled as well.
        await asyncio.wait([task])
        return Cancelled() if task.cancelled() else task.result()

    async def _run_trio(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        import trio

        outcomes: list[Any] = []
        scope = trio.CancelScope()
        self._cancel = scope.cancel

        async def child() -> None:
            with scope:
                outcomes.append(await _outcome(function))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        return outcomes[0] if outcomes else Cancelled()


async def _outcome(function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    try:
        return await function()
    except Exception as exc:
        return exc


class _Counted(Coroutine[Any, Any, Any]):
    """A coroutine that reports each suspension. Written by hand, so that one that never began stays unbegun."""

    def __init__(self, steps: Steps, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._steps = steps
        self._inner = inner
        self._loop = loop

    def send(self, value: Any) -> Any:
        return self._suspended(self._inner.send(value))

    def throw(self, *exc: Any) -> Any:
        return self._suspended(self._inner.throw(*exc))

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError

    def _suspended(self, waited_for: Any) -> Any:
        steps = self._steps
        if steps.step():
            if not steps.late:
                # Not at once: a task that is running cannot be told to do it now.
                steps.act()
            elif waited_for is None:  # sleep(0)
                self._loop.call_soon(steps.act)
            else:
                # Before the task has added its own callback, so it comes first.
                waited_for.add_done_callback(lambda _: steps.act())
        return waited_for


def _instrument(steps: Steps) -> Any:
    import trio

    class Instrument(trio.abc.Instrument):
        def task_spawned(self, task: Any) -> None:
            steps.tasks.add(task)

        def task_exited(self, task: Any) -> None:
            steps.tasks.discard(task)

        def before_task_step(self, task: Any) -> None:
            if steps.late and task in steps.tasks and steps.step():
                steps.act()

        def after_task_step(self, task: Any) -> None:
            if not steps.late and task in steps.tasks and steps.step():
                steps.act()

    return Instrument()


def in_trio() -> bool:
    """Is it trio that runs here?"""
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


async def turns(number: int = 1) -> None:
    """Let everything else run so many times."""
    for _ in range(number):
        if in_trio():
            import trio

            await trio.lowlevel.checkpoint()
        else:
            await asyncio.sleep(0)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let everything else run until the condition holds; AssertionError if it never does."""
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        await turns()
