"""
`--retry N`: trying again what may be sent twice and met a failure that may pass.

    with_retries(send, request, most=3, sleep=time.sleep, tell=print) -> response

A request that never left is always safe to send again; one that may have arrived only if its method is idempotent
(RFC 9110, 9.2.2). Between the tries passes 1, 2, 4, ... seconds, or what the answer's Retry-After says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"))
# Statuses that say "not now": as curl takes them.
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
# Errors before the first byte of a request left.
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_BROKE = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)

# Seconds. Longer waits are for programs that run by themselves.
_MAX_PAUSE = 60.0


def with_retries(
    send: Callable[[httpx.Request], httpx.Response],
    request: httpx.Request,
    most: int,
    *,
    until: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda text: None,
) -> httpx.Response:
    """
    The answer to a request, or to one of its repetitions: the last answer if none is good.

    Args:
        send: sends a request, returns the answer with its body unread.
        most: how many more tries.
        until: when no further try may begin, by the clock; None for no limit.
        clock, sleep: seconds, and how to let them pass.
        tell: called with a line before each pause.

    Raises:
        Whatever the last try raised.
    """
    if most:
        request.read()  # a file could not be sent a second time
    for tried in range(most + 1):
        last = tried == most
        try:
            response = send(request)
        except _BROKE as exc:
            safe = isinstance(exc, _NEVER_LEFT) or request.method in _IDEMPOTENT
            if last or not safe:
                raise
            pause, why = 2.0**tried, f"{type(exc).__name__}: {exc}"
            if until is not None and clock() + pause > until:
                raise
        else:
            if last or response.status_code not in _PASSING or request.method not in _IDEMPOTENT:
                return response
            pause = _asked_for(response, 2.0**tried)
            why = f"{response.status_code} {response.reason_phrase}".rstrip()
            if pause > _MAX_PAUSE or (until is not None and clock() + pause > until):
                return response
            response.close()
        tell(f"{why}; trying again in {pause:g} s ({tried + 1} of {most})")
        sleep(pause)
    raise AssertionError("unreachable: the last try returns or raises")


def _asked_for(response: httpx.Response, otherwise: float) -> float:
    """
    Seconds to wait: those of Retry-After (RFC 9110, 10.2.3), a number or a date.

    A date is taken relative to the answer's own Date, so that a wrong clock on this side does no harm.
    """
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        then = parsedate_to_datetime(value).timestamp()
        now = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return otherwise
    return max(0.0, then - now)
