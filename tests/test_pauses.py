"""Pausing and calling for a middleware: in threads, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any, Callable

import pytest

from httpx._transports import pauses
from httpx.testing import virtual_time
from support.drivers import Driver

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def paused(driver: Driver, seconds: float) -> None:
    async def main() -> None:
        if driver.is_async:
            await pauses.apause(seconds)
        else:
            pauses.pause(seconds)

    driver.run_bare(main)


def result_of(driver: Driver, function: Callable[..., Any], *args: Any, blocking: bool = False) -> Any:
    async def main() -> Any:
        VARIABLE.set("mine")
        if driver.is_async:
            return await pauses.acall(function, args, blocking)
        return pauses.call(function, args, blocking)

    return driver.run_bare(main)


def test_a_pause_ends(driver: Driver):
    paused(driver, 0)
    paused(driver, 0.001)


def test_a_pause_in_virtual_time_is_written_down(driver: Driver):
    with virtual_time() as clock:
        paused(driver, 1e9)
    assert clock.slept == [1e9]


@pytest.mark.parametrize("blocking", [False, True])
def test_a_call_gives_the_result_or_the_exception(driver: Driver, blocking: bool):
    assert result_of(driver, max, 1, 2, blocking=blocking) == 2
    with pytest.raises(ZeroDivisionError):
        result_of(driver, divmod, 1, 0, blocking=blocking)


@pytest.mark.parametrize("blocking", [False, True])
def test_stop_iteration_does_not_end_anything(driver: Driver, blocking: bool):
    """A future does not take it: the call would never have ended."""
    with pytest.raises(RuntimeError, match=r"next raised StopIteration in Step.call"):
        result_of(driver, next, iter(()), blocking=blocking)


@pytest.mark.parametrize("blocking", [False, True])
def test_an_awaitable_is_awaited_in_async_code_only(driver: Driver, blocking: bool):
    async def double(number: int) -> int:
        return 2 * number

    if driver.is_async:
        assert result_of(driver, double, 2, blocking=blocking) == 4
    else:
        with pytest.raises(TypeError, match="returned an awaitable"):
            result_of(driver, double, 2, blocking=blocking)


def test_what_blocks_has_a_thread_of_its_own_in_async_code(driver: Driver):
    here = threading.get_ident()
    assert (result_of(driver, threading.get_ident, blocking=True) != here) is driver.is_async
    assert result_of(driver, threading.get_ident) == here


def test_a_thread_sees_the_context_of_its_task(driver: Driver):
    assert result_of(driver, VARIABLE.get, blocking=True) == "mine"


def test_what_blocks_is_called_in_place_where_no_thread_can_be_started(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert result_of(driver, threading.get_ident, blocking=True) == threading.get_ident()


@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_whose_task_was_cancelled_ends_in_silence(fails: bool):
    """What it gives comes when nobody waits for it any more."""
    may_go, is_over = threading.Event(), threading.Event()

    def block() -> None:
        assert may_go.wait(5)
        is_over.set()
        if fails:
            raise ZeroDivisionError

    async def main() -> list[Any]:
        lost: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: lost.append(context))
        task = asyncio.ensure_future(pauses.acall(block, (), True))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_go.set()
        while not is_over.is_set() or threading.active_count() > before:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return lost

    before = threading.active_count()
    assert asyncio.run(main()) == []
