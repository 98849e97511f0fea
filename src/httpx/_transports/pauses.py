"""
Let time pass and call functions, for the steps of a middleware: in threads, on asyncio and on trio.

    pause(seconds), await apause(seconds)
    call(function, args, blocking), await acall(function, args, blocking)

In `httpx.testing.virtual_time` a pause takes no time.

Not here: whether a pause is allowed (`_base_client`).
"""

from __future__ import annotations

from contextvars import copy_context
from time import sleep
from typing import Any, Callable

from .. import _clock
from .._steps import called, not_awaited
from .default import _running
from .threads import in_thread


def pause(seconds: float) -> None:
    """Wait in this thread."""
    if _clock.virtual is not None:
        _clock.virtual._pause(seconds)
    else:
        sleep(seconds)


async def apause(seconds: float) -> None:
    """Wait in this task."""
    if _clock.virtual is not None:
        await _clock.virtual._apause(seconds)
    elif type(_running()).__module__.startswith("trio."):
        import trio

        await trio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)


def call(function: Callable[..., Any], args: tuple[Any, ...], blocking: bool) -> Any:
    """
    Return the result of a function; every one may block here.

    Raises:
        TypeError: the result is awaitable.
        Any exception of the function.
    """
    return not_awaited(function, called(function, args))


async def acall(function: Callable[..., Any], args: tuple[Any, ...], blocking: bool) -> Any:
    """
    Return the result of a function, awaited if it is awaitable. One that blocks is called in a thread.

    Raises:
        Any exception of the function.
    """
    if blocking:
        context = copy_context()
        result = await in_thread(lambda: context.run(called, function, args))
    else:
        result = called(function, args)
    return await result if hasattr(result, "__await__") else result
