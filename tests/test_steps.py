"""The steps that a middleware can ask for: what they take, what they refuse, and what they say about themselves."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

import httpx
from httpx import Step
from httpx._steps import CALL, MAX_PAUSE, PAUSE, READ, called, name_of, not_awaited


def test_a_pause_has_seconds():
    assert (Step.pause(1.5)._kind, Step.pause(1.5)._value) == (PAUSE, 1.5)


def test_a_pause_of_less_than_nothing_is_none():
    """A computed wait may be over already."""
    assert Step.pause(-0.1)._value == 0


def test_a_pause_is_no_longer_than_clocks_can_count():
    assert Step.pause(1e300)._value == MAX_PAUSE


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan])
def test_a_pause_is_finite(seconds: float):
    with pytest.raises(ValueError, match="finite number of seconds"):
        Step.pause(seconds)


@pytest.mark.parametrize("seconds", [None, "1", b"1"])
def test_a_pause_is_a_number(seconds: Any):
    with pytest.raises(TypeError, match=f"number of seconds, got {type(seconds).__name__}"):
        Step.pause(seconds)


def test_read_takes_a_response():
    response = httpx.Response(200)
    assert (Step.read(response)._kind, Step.read(response)._value) == (READ, response)
    with pytest.raises(TypeError, match="takes a response, got Request"):
        Step.read(httpx.Request("GET", "https://a/"))  # type: ignore[arg-type]  # wrong on purpose


def test_call_takes_a_function_and_its_arguments():
    assert (Step.call(max, 1, 2)._kind, Step.call(max, 1, 2)._value) == (CALL, (max, (1, 2), False))
    assert Step.call(max, blocking=True)._value == (max, (), True)
    with pytest.raises(TypeError, match="takes a function and its arguments, got int"):
        Step.call(1)  # type: ignore[arg-type]  # wrong on purpose


def test_steps_can_be_recognised():
    assert repr(Step.pause(2)) == "<Step pause 2>"
    assert repr(Step.call(max, "secret")) == "<Step call max>"
    assert repr(Step.read(httpx.Response(200))) == "<Step read <Response [200 OK]>>"
    assert repr(Step._of(99, None)) == "<Step 99 None>"


def test_a_function_is_called_with_its_arguments():
    assert called(max, (1, 2)) == 2


def test_an_exception_of_a_function_comes_through():
    with pytest.raises(ZeroDivisionError):
        called(divmod, (1, 0))


def test_stop_iteration_becomes_an_error():
    """It would end the generator or the coroutine that it passes through."""
    with pytest.raises(RuntimeError, match=r"next raised StopIteration in Step.call") as caught:
        called(next, (iter(()),))
    assert isinstance(caught.value.__cause__, StopIteration)


def test_an_awaitable_is_refused_in_sync_code():
    async def load() -> None:
        raise AssertionError("it was awaited")

    class Awaitable:
        def __await__(self) -> Any:
            raise AssertionError("it was awaited")

    assert not_awaited(max, 3) == 3
    for result in (load(), Awaitable()):
        with pytest.raises(TypeError, match=r"Step.call\(.*load\) returned an awaitable.*AsyncClient"):
            not_awaited(load, result)


def test_names_are_those_of_functions_or_of_classes():
    class Named:
        __name__ = 3

    assert name_of(max) == "max"
    assert name_of(functools.partial(max)) == "partial"
    assert name_of(Step.pause) == "Step.pause"
    assert name_of(Named()).endswith("Named")
