"""
Several things at once, on whatever concurrency the driver has: tasks, a nursery, or threads.

Not here: one scenario for all engines (`drivers`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Iterable
from typing import Any, Callable, TypeVar

T = TypeVar("T")


async def together(functions: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of the async functions, in their order; all run at once, on asyncio or trio."""
    from .steps import in_trio

    if not in_trio():
        return list(await asyncio.gather(*(function() for function in functions)))
    import trio

    results: dict[int, T] = {}

    async def keep(number: int, function: Callable[[], Awaitable[T]]) -> None:
        results[number] = await function()

    async with trio.open_nursery() as nursery:
        for number, function in enumerate(functions):
            nursery.start_soon(keep, number, function)
    return [results[number] for number in sorted(results)]


def in_threads(functions: Iterable[Callable[[], T]]) -> list[T]:
    """The results of the functions, in their order, each run in a thread of its own; raises what failed first."""
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def keep(number: int, function: Callable[[], T]) -> None:
        try:
            results[number] = function()
        except BaseException as exc:  # to be raised in the test's own thread
            errors.append(exc)

    threads: list[Any] = [threading.Thread(target=keep, args=each, daemon=True) for each in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a thread did not end"
    if errors:
        raise errors[0]
    return [results[number] for number in sorted(results)]
