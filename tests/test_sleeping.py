"""`_engine/sleeping.py`: waits that end early, in threads, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from httpx._engine.sleeping import AsyncSleeper, Sleeper
from httpx.testing import virtual_time
from support.engines import driver_named
from support.steps import in_trio, until
from support.together import in_threads, together

LONG = 1000.0


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def run(request: pytest.FixtureRequest) -> Any:
    """Runs an async function on a loop."""
    return driver_named(request.param).run_bare


def test_in_virtual_time_nothing_waits(run: Any):
    with virtual_time() as time:
        sleeper = Sleeper()
        assert sleeper.sleep(LONG)
        sleeper.wake()
        assert not sleeper.sleep(LONG)

        async def main() -> None:
            sleeper = AsyncSleeper()
            assert await sleeper.sleep(LONG)
            sleeper.wake()
            assert not await sleeper.sleep(LONG)

        run(main)
        assert time.slept == [LONG, LONG]


# Threads.


def test_a_thread_waits_for_the_whole_time():
    sleeper = Sleeper()
    assert sleeper.sleep(0.001)
    assert sleeper.sleep(0)


def test_a_thread_is_woken_by_another():
    sleeper = Sleeper()

    def wake() -> None:
        while sleeper._signal is None:
            pass
        sleeper.wake()

    assert in_threads([lambda: sleeper.sleep(LONG), wake])[0] is False


def test_a_thread_that_was_woken_does_not_wait_again():
    sleeper = Sleeper()
    sleeper.wake()
    assert not sleeper.sleep(LONG)
    sleeper.wake()
    assert not sleeper.sleep(LONG)


def test_a_thread_is_woken_once_by_several():
    sleeper = Sleeper()
    sleeper.sleep(0)
    in_threads([sleeper.wake] * 3)
    assert not sleeper.sleep(LONG)


# Tasks.


def test_a_task_waits_for_the_whole_time(run: Any):
    async def main() -> None:
        sleeper = AsyncSleeper()
        assert await sleeper.sleep(0.001)
        assert sleeper._rouse is None

    run(main)


def test_a_task_is_woken_by_another(run: Any):
    async def main() -> None:
        sleeper = AsyncSleeper()

        async def wake() -> bool:
            await until(lambda: sleeper._rouse is not None)
            sleeper.wake()
            sleeper.wake()
            return True

        assert await together([lambda: sleeper.sleep(LONG), wake]) == [False, True]
        assert not await sleeper.sleep(LONG)

    run(main)


def test_a_task_is_woken_by_a_thread(run: Any):
    async def main() -> None:
        sleeper = AsyncSleeper()

        def wake() -> None:
            while sleeper._rouse is None:
                pass
            sleeper.wake()

        thread = threading.Thread(target=wake)
        thread.start()
        assert not await sleeper.sleep(LONG)
        thread.join()

    run(main)


def test_a_cancelled_wait_leaves_no_timer(run: Any):
    async def main() -> None:
        sleeper = AsyncSleeper()
        if in_trio():
            import trio

            with trio.move_on_after(0.001) as scope:
                await sleeper.sleep(LONG)
            assert scope.cancelled_caught
        else:
            task = asyncio.ensure_future(sleeper.sleep(LONG))
            await until(lambda: sleeper._rouse is not None)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert not getattr(asyncio.get_running_loop(), "_scheduled", None) or all(
                timer.cancelled()
                for timer in asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # its timers
            )
        assert sleeper._rouse is None

    run(main)


def test_waking_after_the_loop_has_ended_does_nothing(run: Any):
    sleeper = AsyncSleeper()
    kept: list[Any] = []

    async def main() -> None:
        async def keep() -> None:
            await until(lambda: sleeper._rouse is not None)
            kept.append(sleeper._rouse)
            sleeper.wake()

        await together([lambda: sleeper.sleep(LONG), keep])

    run(main)
    kept[0]()
