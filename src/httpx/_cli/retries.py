"""
`--retry N`: retry after a temporary failure of a request that is safe to repeat.

    with_retries(send, request, most=3, sleep=time.sleep, tell=print) -> response

A request that never left is always safe to send again; one that may have arrived only if its method is idempotent
(RFC 9110, 9.2.2). The pause between attempts is that of the response's Retry-After, or 1, 2, 4, ... seconds plus
a random part of up to a quarter, so that clients which failed together do not retry together.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"))
# Statuses of temporary failures, as in curl.
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
# Errors before the first byte of a request was sent.
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_BROKE = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)

# Seconds. A person at a terminal does not wait longer.
_MAX_PAUSE = 60.0
# The largest random part, relative to the pause.
_JITTER = 0.25


def next_delay(
    attempt: int,
    outcome: httpx.Response | Exception,
    request: httpx.Request,
    chance: Callable[[], float] = random.random,
) -> float | None:
    """
    Return the seconds until a request should be sent again, or None if it should not be.

    Args:
        attempt: the number of attempts before this one.
        outcome: of this attempt.
        chance: a random number from 0 to 1.
    """
    safe = request.method in _IDEMPOTENT
    pause = min(2.0 ** min(attempt, 10) * (1 + _JITTER * chance()), _MAX_PAUSE)
    if isinstance(outcome, Exception):
        again = isinstance(outcome, _NEVER_LEFT) or (safe and isinstance(outcome, _BROKE))
        return pause if again else None
    if not safe or outcome.status_code not in _PASSING:
        return None
    pause = _asked_for(outcome, pause)
    return pause if pause <= _MAX_PAUSE else None


def with_retries(
    send: Callable[[httpx.Request], httpx.Response],
    request: httpx.Request,
    most: int,
    *,
    until: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
    tell: Callable[[str], None] = lambda text: None,
) -> httpx.Response:
    """
    Return the first good response to a request or its repetitions, or else the last one.

    Args:
        send: sends a request, returns the response with its body unread.
        most: the number of retries.
        until: the time, by the clock, after which no retry may begin; None for no limit.
        clock, sleep: functions of seconds, as in `time`.
        chance: a random number from 0 to 1, for the pauses.
        tell: called with a line before each pause.

    Raises:
        The exception of the last attempt.
    """
    if most:
        request.read()  # a file could not be sent a second time
    attempt = 0
    while True:
        outcome: httpx.Response | httpx.TransportError
        try:
            outcome = send(request)
        except httpx.TransportError as exc:
            outcome = exc
        pause = None if attempt == most else next_delay(attempt, outcome, request, chance)
        if pause is None or (until is not None and clock() + pause > until):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        attempt += 1
        tell(f"{_why(outcome)}; retrying in {pause:.3g} s ({attempt} of {most})")
        if isinstance(outcome, httpx.Response):
            outcome.close()
        sleep(pause)


def _why(outcome: httpx.Response | Exception) -> str:
    if isinstance(outcome, Exception):
        return f"{type(outcome).__name__}: {outcome}"
    return f"{outcome.status_code} {outcome.reason_phrase}".rstrip()


def _asked_for(response: httpx.Response, otherwise: float) -> float:
    """
    Return the seconds to wait from Retry-After (RFC 9110, 10.2.3), a number or a date.

    A date is relative to the response's Date, so that a wrong local clock does no harm.
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
