"""`_transports.latches`: waiting for a latch in threads, on asyncio and on trio, side by side."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, Callable

import pytest
import trio

from httpx._latch import Latch
from httpx._transports.latches import _release, _settle, await_for, wait_for

LONG = 30.0  # seconds that no test waits


def in_asyncio(latch: Latch, seconds: float | None) -> bool:
    return asyncio.run(await_for(latch, seconds))


def in_trio(latch: Latch, seconds: float | None) -> bool:
    return trio.run(await_for, latch, seconds)


WAITS: dict[str, Callable[[Latch, float | None], bool]] = {"thread": wait_for, "asyncio": in_asyncio, "trio": in_trio}


@pytest.mark.parametrize("name", WAITS)
def test_a_latch_that_is_set_is_not_waited_for(name: str):
    latch = Latch()
    latch.set()
    assert WAITS[name](latch, LONG)


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("seconds", [0.001, 0.0, -1.0])
def test_a_wait_ends_with_its_time(name: str, seconds: float):
    latch = Latch()
    assert not WAITS[name](latch, seconds)
    latch.set()  # a loop that has ended is no error


@pytest.mark.parametrize("seconds", [LONG, None])
def test_one_thread_wakes_threads_and_tasks_of_any_loop(seconds: float | None):
    latch, outcomes = Latch(), []
    ready = [threading.Event() for _ in WAITS]

    class Watched(Latch):
        __slots__ = ()

        def when_set(self, wake: Callable[[], object]) -> None:
            super().when_set(wake)
            next(event for event in ready if not event.is_set()).set()

    latch = Watched()
    threads = [
        threading.Thread(target=lambda wait=wait: outcomes.append(wait(latch, seconds))) for wait in WAITS.values()
    ]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for event in ready:
        assert event.wait(LONG)
    latch.set()
    for thread in threads:
        thread.join(LONG)
    assert outcomes == [True, True, True]


def test_a_task_wakes_another_of_its_loop():
    async def main(start: Any) -> None:
        latch = Latch()
        start(latch.set)
        assert await await_for(latch, LONG)

    async def with_asyncio() -> None:
        await main(asyncio.get_running_loop().call_soon)

    async def with_trio() -> None:
        async with trio.open_nursery() as nursery:

            async def later(function: Callable[[], None]) -> None:
                await trio.lowlevel.checkpoint()
                function()

            await main(lambda function: nursery.start_soon(later, function))

    asyncio.run(with_asyncio())
    trio.run(with_trio)


def test_a_wait_can_be_cancelled_and_the_latch_set_after_that():
    latch = Latch()

    async def with_asyncio() -> None:
        task = asyncio.ensure_future(await_for(latch, LONG))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def with_trio() -> None:
        with trio.move_on_after(0.001) as scope:
            await await_for(latch, LONG)
        assert scope.cancelled_caught

    asyncio.run(with_asyncio())
    trio.run(with_trio)
    latch.set()


def test_a_future_that_was_cancelled_is_left_as_it_is():
    async def main() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        _settle(future)
        assert future.cancelled()

    asyncio.run(main())


def test_a_thread_may_be_woken_twice():
    lock = threading.Lock()
    lock.acquire()
    _release(lock)
    _release(lock)
    assert not lock.locked()


def test_a_wait_is_bounded_by_what_a_lock_can_wait():
    latch = Latch()
    threading.Thread(target=lambda: (time.sleep(0.005), latch.set())).start()
    assert wait_for(latch, 1e300)
