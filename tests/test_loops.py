"""`_engine/loops.py`: waiting on whichever async library is running."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from httpx._engine.loops import Signals, is_trio, now, sleep
from support.drivers import Driver
from support.steps import Steps, turns


@pytest.fixture(params=("asyncio", "uvloop", "trio"))
def driver(request: pytest.FixtureRequest) -> Driver:
    pytest.importorskip(request.param)
    return Driver(request.param)


async def beside(function: Any, signals: Signals) -> Any:
    """What an async function returns that waits for signals, which are given when it waits."""
    found: list[Any] = []

    async def waiter() -> None:
        found.append(await function())

    if is_trio():
        import trio

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            while not signals._waiting:
                await turns()
            signals.wake()
    else:
        task = asyncio.ensure_future(waiter())
        while not signals._waiting:
            await turns()
        signals.wake()
        await task
    return found[0]


def test_the_library_is_found(driver: Driver):
    async def main() -> bool:
        return is_trio()

    assert driver.run_bare(main) == (driver.name == "trio")
    assert not is_trio()


def test_time_passes_while_one_sleeps(driver: Driver):
    async def main() -> bool:
        before = now()
        await sleep(0.002)
        return now() > before

    assert driver.run_bare(main)


@pytest.mark.parametrize("limited", [False, True])
def test_a_signal_wakes_those_that_wait(driver: Driver, limited: bool):
    async def main() -> Any:
        signals = Signals()
        return await beside(lambda: signals.wait(now() + 60 if limited else None), signals), signals._waiting

    assert driver.run_bare(main) == (True, [])


def test_a_signal_that_does_not_come_in_time(driver: Driver):
    async def main() -> Any:
        signals = Signals()
        return await signals.wait(now() + 0.002), await signals.wait(now() - 1), signals._waiting

    assert driver.run_bare(main) == (False, False, [])


@pytest.mark.parametrize("late", [False, True])
def test_a_wait_that_is_cancelled_leaves_nothing(driver: Driver, late: bool):
    async def main() -> Any:
        signals = Signals()
        steps = Steps(1, late)

        async def one() -> Any:
            return await signals.wait()

        with steps.watching():
            if late:
                await beside(lambda: steps.run(one), signals)
            else:
                await steps.run(one)
        return steps.reached, signals._waiting

    assert driver.run_bare(main) == (True, [])
