"""
What a middleware can ask for besides sending a request.

    yield Step.pause(seconds)          -> None
    yield Step.read(response)          -> bytes
    yield Step.call(function, *args)   -> the result

A step is a kind and a value, which a driver (`Client`, `AsyncClient`) carries out: so one text serves threads, asyncio
and trio, and is tested without any of them. The kinds continue those of `_flow`.

Not here: who runs a middleware (`_flow.through`).
"""

from __future__ import annotations

import math
from typing import Any, Callable

from ._response import Response

# The values are: seconds; a response; (function, arguments, whether it blocks); (a `Latch`, seconds), whose outcome is
# whether it is set, and which is for the package's own middleware.
PAUSE, READ, CALL, WAIT = range(8, 12)

# Seconds, 30 years: more than some systems' clocks accept is the same as for ever.
MAX_PAUSE = 1e9


class Step:
    """
    What a middleware yields to wait, to read a body or to call a function; see `Client(middleware=...)`.

        def patient(request):
            response = yield request
            if response.status_code == 503:
                yield httpx.Step.pause(1.0)
                response = yield request
            return response
    """

    __slots__ = ("_kind", "_value")

    _kind: int
    _value: Any

    @classmethod
    def _of(cls, kind: int, value: Any) -> Step:
        """Return a step of any kind that the drivers carry out; for the package's own middleware."""
        step = cls()
        step._kind = kind
        step._value = value
        return step

    @staticmethod
    def pause(seconds: float) -> Step:
        """
        Wait. The result is None.

        A pause that would end after the total timeout raises `ReadTimeout` at once.

        Args:
            seconds: below 0 is like 0, which lets other tasks run.

        Raises:
            TypeError: not a number.
            ValueError: not a finite number.
        """
        if not isinstance(seconds, (int, float)):
            raise TypeError(f"a pause must be a number of seconds, got {type(seconds).__name__}")
        if not math.isfinite(seconds):
            raise ValueError(f"a pause must be a finite number of seconds, got {seconds!r}")
        return Step._of(PAUSE, min(max(seconds, 0), MAX_PAUSE))

    @staticmethod
    def read(response: Response) -> Step:
        """
        Read the body of a response. The result is the body, decoded, which `response.content` is from then on.

        Raises:
            TypeError: not a response.
        """
        if not isinstance(response, Response):
            raise TypeError(f"Step.read takes a response, got {type(response).__name__}")
        return Step._of(READ, response)

    @staticmethod
    def call(function: Callable[..., Any], *args: Any, blocking: bool = False) -> Step:
        """
        Call a function. The result is what it returns, or raises.

        In an `AsyncClient` an awaitable that it returns is awaited; in a `Client` that is a TypeError.

        Args:
            args: for the function; for keyword arguments use `functools.partial`.
            blocking: in an `AsyncClient`, call it in a thread, so that the event loop goes on. A cancellation does not
                wait for the thread.

        Raises:
            TypeError: not a function.
        """
        if not callable(function):
            raise TypeError(f"Step.call takes a function and its arguments, got {type(function).__name__}")
        return Step._of(CALL, (function, args, blocking))

    def __repr__(self) -> str:
        if self._kind == CALL:
            return f"<Step call {name_of(self._value[0])}>"
        name = {PAUSE: "pause", READ: "read"}.get(self._kind, self._kind)
        return f"<Step {name} {self._value!r}>"


def called(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """
    Return what the function of a `Step.call` returns.

    Raises:
        RuntimeError: it raised StopIteration, which ends a generator or a coroutine that it passes through.
    """
    try:
        return function(*args)
    except StopIteration as exc:
        raise RuntimeError(f"{name_of(function)} raised StopIteration in Step.call") from exc


def not_awaited(function: Any, result: Any) -> Any:
    """
    Return the result of a `Step.call` in a sync client.

    Raises:
        TypeError: it is awaitable.
    """
    if hasattr(result, "__await__"):
        close = getattr(result, "close", None)  # or Python warns that it was never awaited
        if close is not None:
            close()
        raise TypeError(f"Step.call({name_of(function)}) returned an awaitable, which only an AsyncClient can await")
    return result


def name_of(function: Any) -> str:
    """Return the name of a function, or of the class of another object, for messages."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__qualname__
