"""
The course of a subscription to an event stream, as a generator without I/O: what ends it, and when it is opened again.

`subscription` yields the next step and is sent its outcome; a driver (`_event_source`) carries it out:

    step    value       outcome
    READ    response    - when its body is over; an exception that ended it is thrown in
    CLOSE   response    -
    WAIT    seconds     whether the time has passed: False if the source was closed meanwhile
    OPEN    last id     the next response; None if there is to be none
    END     -           (the iteration is over)

What the driver knows better stands in `Progress`, which both of them have.

    READ ─► lost? ─► CLOSE ─► WAIT ─► OPEN ─► an event stream? READ
                               ▲        │ failed, or a status that passes
                               └────────┘

HTML Living Standard, section 9.2.3. More patient with errors than the standard, which gives up after the first one:
services restart. Less patient with servers that accept and say nothing: only an event proves that all is well.

Not here: requests, sockets, clocks, chance.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from socket import gaierror
from typing import Any, Callable

from ._config import _seconds, whole_number
from ._events import SSEError
from ._exceptions import (
    DecodingError,
    HTTPStatusError,
    NetworkError,
    ProxyError,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    TimeoutException,
    with_host,
)
from ._fields import media_type_of
from ._request import Request
from ._response import Response
from ._retry_after import retry_after
from ._secrets import printable

READ, CLOSE, WAIT, OPEN, END = range(5)

Step = tuple[int, Any]

# Seconds. A `retry: 0` must not become a busy loop.
LEAST_WAIT = 0.1
# Seconds. What a server may ask for, by `retry` or Retry-After.
LONGEST_ASKED = 300.0
# The largest part of a server's `retry` that is waited in addition, so that its clients do not all come at once.
_SPREAD = 0.25
# Doublings of the wait; by then it is as long as it may be.
_MAX_DOUBLINGS = 20
# Seconds by which a timer may fire early.
_SLACK = 0.002

# How a stream is lost that is worth another connection.
_LOST = (NetworkError, TimeoutException, RemoteProtocolError, DecodingError)
# How a connection fails that may not fail the next time.
_PASSING = (NetworkError, TimeoutException, RemoteProtocolError, ProxyError)


class Reconnect:
    """
    How a lost event stream is opened again.

    The wait before a connection is `delay`, or what the server gave as `retry`. It doubles with each failure in a row
    up to `max_delay`, and is spread by chance. A Retry-After that is longer takes precedence, up to five minutes.

    Args:
        delay: seconds, unless the server gives a `retry`.
        max_delay: seconds at most, unless the server asks for more.
        max_failures: of this many failed connections in a row, the last one raises its error. None for no limit. A
            connection that ends without an event has failed.
        statuses: of responses that count as such a failure. Any other status but 200 and 204 raises.
        prepare: called with each request but the first, before it is sent; returns that or another one, or None to
            stop.

    Raises:
        TypeError, ValueError: an argument of the wrong type, or out of range.
    """

    __slots__ = ("delay", "max_delay", "max_failures", "prepare", "statuses")

    delay: float
    max_delay: float
    max_failures: int | None
    statuses: frozenset[int]
    prepare: Callable[[Request], Request | None] | None

    def __init__(
        self,
        *,
        delay: float = 3.0,
        max_delay: float = 60.0,
        max_failures: int | None = None,
        statuses: Collection[int] = (429, 502, 503, 504),
        prepare: Callable[[Request], Request | None] | None = None,
    ) -> None:
        self.delay = _not_none("delay", delay)
        self.max_delay = _not_none("max_delay", max_delay)
        self.max_failures = None if max_failures is None else whole_number("max_failures", max_failures, 1)
        self.statuses = frozenset(whole_number("a status", status, 100) for status in statuses)
        if prepare is not None and not callable(prepare):
            raise TypeError(f"prepare must be a function of a request, got {prepare!r:.40}")
        self.prepare = prepare

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in ("delay", "max_delay", "max_failures"))
        return f"{type(self).__name__}({shown}, statuses={sorted(self.statuses)!r}, prepare={self.prepare!r})"


def _not_none(name: str, value: Any) -> float:
    """Return a finite number of seconds. Raises TypeError, ValueError."""
    seconds = _seconds(name, value)
    if seconds is None:
        raise ValueError(f"{name} must be a finite number of seconds, got {value!r:.40}")
    return seconds


class Progress:
    """
    What is known of a subscription, over all its connections.

    Attributes:
        last_event_id: of the last event that the caller got.
        retry: milliseconds, as the server gave them last; None before.
        failures: in a row.
        has_events: whether the connection of now has brought one.
    """

    __slots__ = ("failures", "has_events", "last_event_id", "retry")

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self.failures = 0
        self.has_events = False

    def note_events(self) -> None:
        """Note that the connection has brought events."""
        self.has_events = True
        self.failures = 0


def reading(response: Response) -> Generator[Step, Any, None]:
    """Yield the steps for one response, which is not opened again. Raises SSEError if it is not an event stream."""
    check_type(response)
    yield READ, response
    yield END, None


def subscription(
    progress: Progress,
    policy: Reconnect,
    response: Response,
    deadline: float | None,
    now: Callable[[], float],
    chance: Callable[[], float],
) -> Generator[Step, Any, None]:
    """
    Yield the steps of a subscription.

    Args:
        progress: shared with the driver.
        policy: what the caller wants.
        response: to the first request.
        deadline: by `now`, of the total timeout; None if there is none.
        now: the time in seconds, of any clock.
        chance: a random number from 0 to 1.

    Raises (from the generator):
        SSEError: a response that is not an event stream, or too many streams without an event.
        HTTPStatusError: a status that does not pass.
        ReadTimeout: the total timeout.
        Any exception that is thrown in and that another connection would not help, or not in time.
    """
    if response.status_code == 204:
        yield END, None
        return
    _check(response)
    is_first = True
    while True:
        progress.has_events = False
        try:
            yield READ, response
        except _LOST:
            if _is_over(deadline, now) or (not is_first and _has_failed_for_good(progress, policy)):
                raise
        else:
            if not is_first and _has_failed_for_good(progress, policy):
                raise SSEError(
                    f"the event stream ended {progress.failures} times in a row without an event",
                    request=response._request,
                )
        is_first = False
        yield CLOSE, response
        following = yield from _reopened(progress, policy, response.request, deadline, now, chance)
        if following is None:
            yield END, None
            return
        response = following


def _reopened(
    progress: Progress,
    policy: Reconnect,
    request: Request,
    deadline: float | None,
    now: Callable[[], float],
    chance: Callable[[], float],
) -> Generator[Step, Any, Response | None]:
    """Yield the steps to the next stream, and return its response; None if there is to be none."""
    asked = 0.0
    while True:
        seconds = max(wait(progress, policy, chance()), min(asked, LONGEST_ASKED))
        if deadline is not None and now() + seconds >= deadline:
            raise ReadTimeout(
                with_host("the total timeout is over before the next connection", request), request=request
            )
        if not (yield WAIT, seconds):
            return None
        progress.has_events = False
        asked = 0.0
        try:
            response: Response | None = yield OPEN, progress.last_event_id
        except RequestError as exc:
            if not _may_pass(exc) or _is_over(deadline, now) or _has_failed_for_good(progress, policy):
                raise
            continue
        except HTTPStatusError as exc:  # of a hook that calls `raise_for_status`
            if exc.response.status_code not in policy.statuses or _has_failed_for_good(progress, policy):
                raise
            asked = retry_after(exc.response.headers) or 0.0
            continue
        if response is None:
            return None
        if response.status_code == 204:
            yield CLOSE, response
            return None
        if response.status_code not in policy.statuses:
            _check(response)
            return response
        if _has_failed_for_good(progress, policy):
            raise _status_error(response)
        asked = retry_after(response.headers) or 0.0
        yield CLOSE, response


def wait(progress: Progress, policy: Reconnect, chance: float) -> float:
    """
    Return the seconds until the next connection.

    Never less than a `retry` of the server, as the standard says. Doubled with each failure, so that a server that is
    down, or that accepts and says nothing, is not asked by all its clients all the time.
    """
    if progress.retry is None:
        base, least = policy.delay, 0.0
    else:
        base = least = min(progress.retry / 1000, LONGEST_ASKED)
        if not progress.failures:
            return max(LEAST_WAIT, base * (1 + _SPREAD * chance))
    doubled = base * 2.0 ** min(progress.failures, _MAX_DOUBLINGS)
    seconds = min(max(policy.max_delay, least), doubled) * (0.5 + chance / 2)
    return max(LEAST_WAIT, least, seconds)


def _has_failed_for_good(progress: Progress, policy: Reconnect) -> bool:
    """Count a connection that brought no event; return whether it was one too many."""
    if progress.has_events:
        return False
    progress.failures += 1
    return policy.max_failures is not None and progress.failures >= policy.max_failures


def _is_over(deadline: float | None, now: Callable[[], float]) -> bool:
    return deadline is not None and now() >= deadline - _SLACK


def _may_pass(exc: RequestError) -> bool:
    """
    Return whether an error of opening may be another one the next time: not a wrong certificate, not a guard's.

    A name that is not known may be known again: a machine without a network knows none.
    """
    is_final = exc._is_final and not isinstance(exc.__cause__, gaierror)
    return isinstance(exc, _PASSING) and not is_final


def _check(response: Response) -> None:
    """Raise HTTPStatusError or SSEError unless the response is an event stream that may be opened again."""
    if response.status_code != 200:
        raise _status_error(response)
    check_type(response)


def check_type(response: Response) -> None:
    """Raise SSEError unless the Content-Type is that of an event stream."""
    kind = response.headers.get("content-type", "")
    if media_type_of(kind) != "text/event-stream":
        got = f"Content-Type {printable(kind)!r}" if kind else "no Content-Type"
        raise SSEError(
            f"the response is not an event stream: expected Content-Type 'text/event-stream', got {got} "
            f"with status {response.status_code}",
            request=response._request,
        )


def _status_error(response: Response) -> HTTPStatusError:
    request = response.request
    return HTTPStatusError(response._status_message(request), request=request, response=response)


Reconnect.__module__ = "httpx"  # as `httpx` does for modules that it loads at once
