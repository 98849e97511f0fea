"""Virtual time: pauses take none of the real one, end in order, and are known afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any

import pytest
import trio

import httpx
import httpx.testing
from httpx import _clock
from httpx.testing import VirtualTime, virtual_time
from support.drivers import Driver

HOURS = 3600.0
ENGINES = pytest.mark.parametrize("engine", ["asyncio", "trio"])


def paused(request: httpx.Request) -> Generator[Any, Any, Any]:
    """Waits as long as the path says, before and after."""
    seconds = float(request.url.path[1:])
    yield httpx.Step.pause(seconds)
    response: httpx.Response = yield request
    yield httpx.Step.pause(seconds)
    return response


def mock(handler: Any = lambda request: httpx.Response(200)) -> httpx.MockTransport:
    return httpx.MockTransport(handler)


def test_a_pause_takes_no_time_and_is_remembered(driver: Driver):
    async def scenario(client: Any) -> tuple[list[float], float]:
        with virtual_time() as clock:
            began = clock.monotonic()
            await client.get("https://a/3600")
            return clock.slept, clock.monotonic() - began

    began = time.monotonic()
    slept, passed = driver.run(scenario, middleware=[paused], transport=mock())
    assert slept == [HOURS, HOURS]
    assert passed == pytest.approx(2 * HOURS)
    assert time.monotonic() - began < 60


def test_virtual_time_stands_still_by_itself():
    with virtual_time(wall=1000.0) as clock:
        moments = {(clock.monotonic(), _clock.monotonic(), clock.wall(), _clock.wall()) for _ in range(100)}
        assert len(moments) == 1
        clock.advance(2.5)
        assert _clock.wall() == clock.wall() == 1002.5
        assert clock.slept == []


def test_it_begins_with_the_real_time():
    before, wall = time.monotonic(), time.time()
    with virtual_time() as clock:
        assert before <= clock.monotonic() <= time.monotonic()
        assert wall <= clock.wall() <= time.time()


def test_jitter_is_what_was_asked_for():
    with virtual_time():
        assert _clock.jitter() == 1.0
    with virtual_time(jitter=0.25) as clock:
        assert _clock.jitter() == clock.jitter() == 0.25
    for jitter in (-0.1, 1.1):
        with pytest.raises(ValueError, match="jitter must be a number from 0 to 1"):
            virtual_time(jitter=jitter).__enter__()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_time_does_not_go_back(seconds: float):
    with virtual_time() as clock, pytest.raises(ValueError, match="time can be advanced by 0 to"):
        clock.advance(seconds)


def test_real_time_is_back_after_an_error():
    real = _clock.monotonic, _clock.wall, _clock.jitter
    with pytest.raises(ZeroDivisionError), virtual_time():
        1 / 0  # noqa: B018  # raises
    assert (_clock.monotonic, _clock.wall, _clock.jitter, _clock.virtual) == (*real, None)


def test_virtual_time_cannot_be_nested():
    with virtual_time() as outer, pytest.raises(RuntimeError, match="within virtual_time"):
        virtual_time().__enter__()
    assert isinstance(outer, VirtualTime)


def test_total_timeouts_use_virtual_time(driver: Driver):
    """A slow server is one that advances the clock."""
    with virtual_time() as clock:

        def slow(request: httpx.Request) -> httpx.Response:
            clock.advance(5)
            return httpx.Response(200)

        async def scenario(client: Any) -> None:
            assert (await client.get("https://a/", timeout=httpx.Timeout(1, total=6))).status_code == 200
            with pytest.raises(httpx.ReadTimeout, match="total timeout of 4 s"):
                await client.get("https://a/", timeout=httpx.Timeout(1, total=4))

        driver.run(scenario, transport=mock(slow))


async def side_by_side(engine: str, client: Any, seconds: tuple[float, ...], done: list[float]) -> None:
    async def get(number: float) -> None:
        await client.get(f"https://a/{number}")
        done.append(number)

    if engine == "asyncio":
        await asyncio.gather(*map(get, seconds))
        return
    async with trio.open_nursery() as nursery:
        for number in seconds:
            nursery.start_soon(get, number)


@ENGINES
def test_pauses_of_tasks_end_in_the_order_of_their_ends(engine: str):
    order: list[tuple[str, float]] = []
    done: list[float] = []

    def noted(request: httpx.Request) -> Generator[Any, Any, Any]:
        seconds = float(request.url.path[1:])
        yield httpx.Step.pause(seconds)
        order.append(("first", seconds))
        yield httpx.Step.pause(seconds)
        order.append(("second", seconds))
        return (yield request)

    async def scenario(client: Any) -> float:
        with virtual_time() as clock:
            began = clock.monotonic()
            await side_by_side(engine, client, (5, 3, 1), done)
            return clock.monotonic() - began

    passed = Driver(engine).run(scenario, middleware=[noted], transport=mock())
    assert [(name, seconds) for name, seconds in order] == [
        *(("first", 1.0), ("second", 1.0), ("first", 3.0), ("first", 5.0), ("second", 3.0), ("second", 5.0))
    ]
    assert done == [1, 3, 5]
    assert passed == pytest.approx(10)  # and not their sum


@ENGINES
def test_a_pause_that_begins_later_and_ends_before_goes_first(engine: str):
    done: list[float] = []

    def late(request: httpx.Request) -> Generator[Any, Any, Any]:
        if request.url.path == "/1":
            for _ in range(5):  # the other one is about to end its pause
                yield httpx.Step.call(turn)
        yield httpx.Step.pause(float(request.url.path[1:]))
        return (yield request)

    async def turn() -> None:
        if engine == "asyncio":
            await asyncio.sleep(0)
        else:
            await trio.lowlevel.checkpoint()

    async def scenario(client: Any) -> None:
        with virtual_time():
            await side_by_side(engine, client, (2, 1), done)

    Driver(engine).run(scenario, middleware=[late], transport=mock())
    assert done == [1, 2]


def test_a_pause_that_is_cancelled_holds_up_no_other():
    async def on_asyncio() -> list[float]:
        done: list[float] = []
        async with httpx.AsyncClient(middleware=[paused], transport=mock()) as client:
            with virtual_time() as clock:
                first, second, third = (
                    asyncio.ensure_future(side_by_side("asyncio", client, (seconds,), done)) for seconds in (1, 2, 3)
                )
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                first.cancel()
                third.cancel()
                await asyncio.gather(first, second, third, return_exceptions=True)
                assert clock._sleepers == {}
        return done

    async def on_trio() -> list[float]:
        done: list[float] = []
        async with httpx.AsyncClient(middleware=[paused], transport=mock()) as client:
            with virtual_time() as clock:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(side_by_side, "trio", client, (2,), done)
                    with trio.CancelScope() as scope:
                        nursery.start_soon(cancel_soon, scope)
                        await side_by_side("trio", client, (1,), done)
                assert clock._sleepers == {}
        return done

    async def cancel_soon(scope: trio.CancelScope) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    assert asyncio.run(on_asyncio()) == [2]
    assert trio.run(on_trio) == [2]


@ENGINES
def test_a_hundred_tasks_pause_a_hundred_times_in_little_time(engine: str):
    done: list[float] = []

    def ticking(request: httpx.Request) -> Generator[Any, Any, Any]:
        for _ in range(10):
            yield httpx.Step.pause(1)
        return (yield request)

    async def scenario(client: Any) -> list[float]:
        with virtual_time() as clock:
            await side_by_side(engine, client, tuple(range(100)), done)
            return clock.slept

    slept = Driver(engine).run(scenario, middleware=[ticking], transport=mock())
    assert slept == [1] * 1000
    assert len(done) == 100
