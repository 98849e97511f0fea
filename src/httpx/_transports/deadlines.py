"""
The total timeout of a call, for transports that do not enforce it: in-process apps, mocks, and those of users.

    bounds_itself(transport)                   -> bool     the network: its engine has its own deadline
    AsyncBound(request, deadline, timeout).run(send, request) -> the response; cancelled at the deadline
    Bound(request, deadline, timeout).run(send, request)      -> the same between calls: a call that blocks is not
                                                                 interrupted, and its response is dropped if it is late
    .over(response)                            -> the same response, whose body is bounded, too

A transport around another one finds the seconds in `request.extensions["timeout"]`, which is a `Remaining`: on a
second attempt it passes the time that is left to the network. Errors name the number that the caller gave, and not what
was left of it: see `Rest`.

Not here: which requests have a total timeout (`_base_client`), the deadlines of the network (`_engine`).
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from typing import Any, Callable, TypeVar

from .. import _clock
from .._engine.limits import total_of
from .._exceptions import ReadTimeout, TimeoutException, with_host
from .._reading import end_generator
from .._request import Request
from .._response import Response
from .._types import AsyncByteStream, SyncByteStream
from .default import AsyncHTTPTransport, HTTPTransport, _running

T = TypeVar("T")

# As they were when this module was imported: packages replace them on the class with functions without a deadline.
_NETWORK = HTTPTransport.handle_request
_ASYNC_NETWORK = AsyncHTTPTransport.handle_async_request

_TOTAL = re.compile(r"total timeout(?: of [\d.e+-]+ s)?")


def bounds_itself(transport: Any) -> bool:
    """Return whether a transport enforces the total timeout by itself."""
    kind = type(transport)
    name = "handle_request" if issubclass(kind, HTTPTransport) else "handle_async_request"
    if getattr(kind, name, None) not in (_NETWORK, _ASYNC_NETWORK):
        return False
    # Wrapped on the instance (opentelemetry), or handed to a pool of httpcore that was replaced (respx).
    return name not in vars(transport) and "httpcore" not in sys.modules


class Rest(dict[str, Any]):
    """
    The timeouts of a call that is a part of something longer, whose "total" is the rest of the longer one's.

    Args:
        timeout: of the request.
        total: seconds that are left.
        given: the timeouts that this is the rest of.

    Attributes:
        given: the same as the caller gave them. Errors name the total timeout in them (`limits.total_of`).
    """

    def __init__(self, timeout: Mapping[str, Any], total: float, given: Mapping[str, Any]) -> None:
        super().__init__(timeout, total=total)
        self.given: Mapping[str, Any] = given.given if isinstance(given, Rest) else given

    def __reduce__(self) -> tuple[Any, ...]:
        return Rest, (dict(self), self["total"], {"total": total_of(self.given)})


class TimeLeft(Rest):
    """
    The timeouts of a request in the midst of a call, whose "total" is what is left of the call's.

    Attributes:
        whole: the request's own, from which another call with the same request begins.
    """

    def __init__(self, timeout: Mapping[str, Any], total: float, given: Mapping[str, Any]) -> None:
        super().__init__(timeout, total, given)
        self.whole: Mapping[str, Any] = timeout.whole if isinstance(timeout, TimeLeft) else timeout

    def __reduce__(self) -> tuple[Any, ...]:
        return TimeLeft, (dict(self.whole), self["total"], {"total": total_of(self.given)})


class Remaining(TimeLeft):
    """The same, in which "total" is the time that is left when it is read."""

    def __init__(self, timeout: Mapping[str, Any], deadline: float, given: Mapping[str, Any]) -> None:
        super().__init__(timeout, timeout.get("total", 0.0), given)
        self._deadline = deadline

    def __getitem__(self, name: str) -> Any:
        return max(0.0, self._deadline - _clock.monotonic()) if name == "total" else super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        return self[name] if name == "total" else super().get(name, default)


class _Deadline:
    """The deadline of a call, and the error that is raised at it."""

    def __init__(self, request: Request, deadline: float, timeout: Mapping[str, Any]) -> None:
        self._request = request
        self._deadline = deadline
        self._timeout = timeout
        self._began = _clock.monotonic()
        request.extensions["timeout"] = Remaining(request.extensions["timeout"], deadline, timeout)

    def left(self) -> float:
        """
        Return the seconds that are left.

        Raises:
            ReadTimeout: no time is left.
        """
        left = self._deadline - _clock.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> ReadTimeout:
        """Return the exception to raise at the deadline."""
        from .._timings import of_failure

        text = f"no whole response within the total timeout of {total_of(self._timeout):g} s"
        error = ReadTimeout(with_host(text, self._request), request=self._request)
        error._timings = of_failure(error, _clock.monotonic() - self._began)
        return error

    def explain(self, exc: TimeoutException) -> None:
        """Put the caller's timeout into the error of a transport that knows only the time that was left, or no time."""
        exc.args = (_TOTAL.sub(f"total timeout of {total_of(self._timeout):g} s", str(exc)),)


class Bound(_Deadline):
    """The deadline of a sync client's call, checked before and after everything that may block."""

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """
        Return what the function returns.

        Raises:
            ReadTimeout: the deadline has passed, before or after.
            Any exception of the function.
        """
        self.left()
        try:
            result = function(*args)
        except TimeoutException as exc:
            self.explain(exc)
            raise
        if _clock.monotonic() >= self._deadline:
            if isinstance(result, Response):
                with contextlib.suppress(RuntimeError):  # its body is an async one
                    result.close()
            raise self.error()
        return result

    def over(self, response: Response) -> Response:
        """Bound the body, too, unless it was read."""
        if _streams(response, SyncByteStream):
            response.stream = _BoundedStream(response.stream, self)  # type: ignore[arg-type]  # by the check above
        return response


class AsyncBound(_Deadline):
    """The deadline of an async client's call, at which the call is cancelled."""

    async def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """
        Return what the function returns.

        Raises:
            ReadTimeout: the deadline came first.
            Any exception of the function.
        """
        left = self.left()
        scope = _trio_scope if type(_running()).__module__.startswith("trio.") else _asyncio_scope
        try:
            expired, result = await scope(left, function, args)
        except TimeoutException as exc:
            self.explain(exc)
            raise
        if expired or _clock.monotonic() >= self._deadline:
            if isinstance(result, Response):  # the cancellation was swallowed, or the timer had no turn
                with contextlib.suppress(RuntimeError):  # its body is a sync one
                    await result.aclose()
            raise self.error()
        return result  # type: ignore[return-value]  # None only if it expired

    def over(self, response: Response) -> Response:
        """Bound the body, too, unless it was read."""
        if _streams(response, AsyncByteStream):
            response.stream = _AsyncBoundedStream(response.stream, self)  # type: ignore[arg-type]  # as in `Bound`
        return response


def _streams(response: Response, kind: type) -> bool:
    """Return whether the body is of this kind and still unread."""
    return not hasattr(response, "_content") and response._whole is None and isinstance(response.stream, kind)


async def _trio_scope(seconds: float, function: Callable[..., Awaitable[T]], args: Any) -> tuple[bool, T | None]:
    """Call a function on trio; return whether it was cancelled at the deadline, and its result."""
    import trio

    result: T | None = None
    with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
        result = await function(*args)
    return scope.cancelled_caught, result


async def _asyncio_scope(seconds: float, function: Callable[..., Awaitable[T]], args: Any) -> tuple[bool, T | None]:
    """Call a function like `_trio_scope`, on asyncio, as `asyncio.timeout` of Python 3.11."""
    import asyncio

    task: Any = asyncio.current_task()
    requests = task.cancelling() if hasattr(task, "cancelling") else 0  # of cancellations that other code requested
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    result: T | None = None
    try:
        result = await function(*args)
    except asyncio.CancelledError:
        if not expired or (hasattr(task, "uncancel") and task.uncancel() > requests):
            raise
    except BaseException:
        if expired and hasattr(task, "uncancel"):
            task.uncancel()
        raise
    else:
        if expired and hasattr(task, "uncancel"):
            task.uncancel()
    finally:
        timer.cancel()
    return expired, result


class _BoundedStream(SyncByteStream):
    """A body with a deadline, in a sync client."""

    def __init__(self, stream: SyncByteStream, bound: Bound) -> None:
        self._stream = stream
        self._bound = bound

    def __iter__(self) -> Iterator[bytes]:
        pieces = iter(self._stream)
        while True:
            piece = self._bound.run(next, pieces, None)
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        self._stream.close()


class _AsyncBoundedStream(AsyncByteStream):
    """A body with a deadline, in an async client."""

    def __init__(self, stream: AsyncByteStream, bound: AsyncBound) -> None:
        self._stream = stream
        self._bound = bound
        self._pieces: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._pieces = pieces = self._stream.__aiter__()
        return _BoundedPieces(pieces, self._bound)

    async def aclose(self) -> None:
        try:
            await end_generator(self._pieces)
        finally:
            await self._stream.aclose()


class _BoundedPieces:
    """An iterator of such a body; a class, because an abandoned async generator stays suspended."""

    def __init__(self, pieces: AsyncIterator[bytes], bound: AsyncBound) -> None:
        self._pieces = pieces
        self._bound = bound

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._bound.run(self._pieces.__anext__)

    def left(self) -> None:
        """Tell the network's body, if it is one, that the reader stopped in the middle."""
        left = getattr(self._pieces, "left", None)
        if left is not None:
            left()
