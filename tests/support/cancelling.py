"""
Cancelling a request at every step in turn, and what must be true afterwards.

Not here: counting the steps (`steps`), what the request is (`tests/adversarial`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Callable

import httpx

from .leaks import trusting_context
from .steps import Steps, in_trio, turns


async def suspending_trace(event: str, info: dict[str, Any]) -> None:
    """A trace callback that suspends, so that there are suspensions between all steps."""
    await turns()


def make_client(traced: bool = False, **options: Any) -> httpx.AsyncClient:
    """A client; `traced`: whose requests all have `suspending_trace`."""
    client = httpx.AsyncClient(**{"verify": trusting_context(), "trust_env": False, **options})
    send = client._transport.handle_async_request

    async def with_trace(request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "trace": suspending_trace}
        return await send(request)

    if traced:
        client._transport.handle_async_request = with_trace  # type: ignore[method-assign]
    return client


async def no_task_left(steps: Steps, before: set[Any]) -> None:
    """Every task that was begun since then has ended, in a few turns."""
    for _ in range(20):
        left = steps.tasks if in_trio() else asyncio.all_tasks() - before
        if not left:
            return
        await turns()
    raise AssertionError(f"tasks left behind: {left}")


def at_every_step(late: bool, run: Callable[[Steps], Any], most: int = 400, act: Any = None) -> Any:
    """Run it for step 1, 2, ... until that is not reached any more; what came of the last run."""
    for number in range(1, most):
        steps = Steps(number, late, act)
        outcome = run(steps)
        if not steps.reached:
            assert number > 1, "there was nothing to cancel"
            return outcome
    raise AssertionError(f"still more steps after {most}")


@contextlib.asynccontextmanager
async def in_background(function: Callable[[], Any]) -> AsyncIterator[None]:
    """Run an async function beside the block, and end it with the block."""
    if in_trio():
        import trio

        async with trio.open_nursery() as nursery:
            nursery.start_soon(function)
            yield
            nursery.cancel_scope.cancel()
    else:
        task = asyncio.ensure_future(function())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def bounded(awaitable: Any, seconds: float = 3.0) -> Any:
    """The outcome, or an AssertionError."""
    if in_trio():
        import trio

        with trio.move_on_after(seconds):
            return await awaitable
        raise AssertionError("it hangs")
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except asyncio.TimeoutError:
        raise AssertionError("it hangs") from None
