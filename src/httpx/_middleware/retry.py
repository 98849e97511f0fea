"""
Send a request again after a failure that may pass.

    Client(middleware=[Retry()])      a generator function of a request, as all middleware is
    Retry                             the settings, and a budget for each origin
    _Call                             what is known of one request once an attempt has failed
    _Budget                           how many retries in vain an origin is still worth

    send ─► failed? ─► safe to repeat? ─► attempts left? ─► body replayable? ─► pause short enough? ─► budget? ─┐
     ▲                                                                                                     pause
     └─────────────────────────────────────────────────────────────────────────────────────────────────────────┘

A request whose first attempt succeeds costs a generator, a look at the clock and two look-ups in sets. All else begins
with the first failure. In each case the caller gets the last attempt's own response or exception.

Not here: sending, sleeping, reading (the client, by `Step`), the date in Retry-After (`_retry_after`).
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Collection, Generator
from threading import RLock
from typing import Any, Callable, ClassVar, NamedTuple, Union

from .. import _clock
from .._exceptions import (
    ConnectError,
    ConnectTimeout,
    NetworkError,
    PoolTimeout,
    ProxyError,
    RemoteProtocolError,
    RequestError,
    StreamError,
    TimeoutException,
)
from .._flow import CLOSE, DRAIN
from .._forks import FORKS, unlock
from .._loggers import logger_of
from .._origins import may_keep_secrets
from .._request import Request
from .._response import Response, shown_reason
from .._retry_after import retry_after
from .._secrets import MAX_URL, printable, shortened
from .._steps import Step
from .._utils import TOKEN
from . import ORDER, BuiltIn, is_to_be_read

logger = logger_of("httpx.retry")

Outcome = Union[Response, RequestError]

# The connection was not made, so the request never left.
_NOT_SENT = (ConnectError, ConnectTimeout, PoolTimeout, ProxyError)
# It may have arrived, and may have had its effect.
_BROKEN = (NetworkError, TimeoutException, RemoteProtocolError)
# The server says that it has too much to do. It needs more time than one that made a mistake, and less protection by
# the budget: such a response costs it little. As the SDKs of AWS do since 2026.
_THROTTLED = frozenset((429, 503))
_THROTTLED_BACKOFF = 10  # times `backoff`
_THROTTLED_COST = 0.35

# What a retry takes from its origin's budget, and what a first attempt that succeeds adds to it. Simulated: up to 30 %
# of random failures the budget never ends, and in an outage 35 retries are all.
_COST = 1.0
_EARNED = 0.2
_MAX_ORIGINS = 1_024
# How far a sum of decimal fractions may be from what it should be.
_ROUNDING = 1e-9
# Retry-After is a minimum: at most so much of it is added by chance, so that not all clients come back at once.
_SPREAD = 0.1

# A status that is repeated once if the request has an idempotency key: the server is still at work on the first one
# (draft-ietf-httpapi-idempotency-key-header-07, section 2.7).
_CONFLICT = 409
_KEY_FIELD = "Idempotency-Key"
_KEYED_METHODS = frozenset(("POST", "PATCH"))
# The extension that tells a later hop of the call which key was made here, and for which URL.
_MADE = "idempotency_key"
_KEY = re.compile(r"[ -~]{1,255}")


class Attempt(NamedTuple):
    """
    One attempt to send a request.

    Attributes:
        number: 1 for the first.
        status: of the response, or None.
        error: the exception as text, such as "ReadTimeout: ...", or None. A response whose body broke has both.
        started: when, in seconds since 1970.
        seconds: how long it took, with its body if that was read.
        waited: seconds of the pause before it; 0.0 for the first.
        reason: why it was repeated ("not sent", "broken", "status", "when"), or why it is the last: "done", "attempts",
            "method" (not safe to repeat), "body" (cannot be sent again), "max_wait", "deadline", "budget", "final".
    """

    number: int
    status: int | None
    error: str | None
    started: float
    seconds: float
    waited: float
    reason: str


class Retry(BuiltIn):
    """
    Middleware that sends a request again after a failure that may pass.

        client = httpx.Client(middleware=[httpx.Retry()])

    What never left is repeated with any method. What may have arrived, and what got one of `statuses`, is repeated if
    its method is one of `methods`, if it has an idempotency key, or if its extension "idempotent" is True. A body that
    breaks counts, unless the caller streams. A request whose body cannot be sent again is sent once. The last response
    is returned, or the last exception raised, as it is; both have `attempts`.

    Never repeated: a certificate that does not verify, a name that does not exist, an address that a `guard` refuses.

    For one request: `extensions={"retry": False}` or `{"retry": Retry(5)}`, whose retries come out of this object's
    budget, unless its own is None.

    Args:
        attempts: how often a request is sent at most, at least 1.
        statuses: of responses that are worth another attempt.
        methods: those that are safe to repeat (RFC 9110 section 9.2.2).
        backoff: seconds; the pause before attempt n + 2 is a random part of `backoff * 2**n`. After 429 and 503 it is
            ten times that.
        max_backoff: seconds, the limit of that.
        max_wait: seconds; a response whose Retry-After asks for more is returned at once.
        budget: the number of retries in vain, for each origin, after which there are no more until requests succeed at
            the first attempt, which earn a fifth of a retry each. A retry that succeeds is free, and one after 429 or
            503 costs 0.35. None for no limit.
        idempotency_key: True sends POST and PATCH with a random `Idempotency-Key`, the same in each attempt, so that
            they are safe to repeat. A str is the name of another field for it. A function of the request returns the
            key, or None for none. A request that has the field keeps it.
        when: a function of the request and its response (unread) or exception that decides first: True to repeat it,
            False not to, None as usual. Attempts, budget and deadline hold all the same.

    Raises:
        TypeError, ValueError: an argument is not what it should be.

    May be shared by clients, threads, tasks and event loops. Pickled, it is its arguments; a copy and a forked child
    begin with full budgets.
    """

    rank: ClassVar[int] = ORDER.index("Retry")

    def __init__(
        self,
        attempts: int = 3,
        *,
        statuses: Collection[int] = (408, 425, 429, 500, 502, 503, 504),
        methods: Collection[str] = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"),
        backoff: float = 0.1,
        max_backoff: float = 20.0,
        max_wait: float = 60.0,
        budget: float | None = 35.0,
        idempotency_key: bool | str | Callable[[Request], str | None] = False,
        when: Callable[[Request, Response | RequestError], bool | None] | None = None,
    ) -> None:
        if isinstance(attempts, bool) or not isinstance(attempts, int):
            raise TypeError(f"attempts must be an int, got {type(attempts).__name__}")
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {attempts}")
        if when is not None and (not callable(when) or inspect.iscoroutinefunction(when)):
            raise TypeError(f"when must be a plain function of a request and its outcome, got {_kind(when)}")
        self._arguments: dict[str, Any] = {
            "attempts": attempts,
            "statuses": _statuses(statuses),
            "methods": _methods(methods),
            "backoff": _at_least_0("backoff", backoff),
            "max_backoff": _at_least_0("max_backoff", max_backoff),
            "max_wait": _at_least_0("max_wait", max_wait, math.inf),
            "budget": None if budget is None else _at_least_0("budget", budget, math.inf),
            "idempotency_key": _key_setting(idempotency_key),
            "when": when,
        }
        self._attempts = attempts
        self._statuses: frozenset[int] = frozenset(self._arguments["statuses"])
        self._methods: frozenset[str] = frozenset(self._arguments["methods"])
        self._backoff = float(backoff)
        self._max_backoff = float(max_backoff)
        self._max_wait = float(max_wait)
        self._key = idempotency_key
        self._key_field = idempotency_key if isinstance(idempotency_key, str) else _KEY_FIELD
        self._when = when
        self._budget = None if budget is None else _Budget(float(budget))
        # The statuses with which a response is more than returned.
        self._suspect = self._statuses | {_CONFLICT}

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in self._arguments.items() if value != _DEFAULTS[name]]
        return f"Retry({', '.join(given)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_arguments, (type(self), self._arguments)

    def __call__(self, request: Request) -> Generator[Request | Step, Any, Response]:
        """Send a request, and again where that helps; return the last response."""
        settings, budget = self, self._budget
        if "retry" in request.extensions:
            own = request.extensions["retry"]
            if own is False:
                only: Response = yield request
                return only
            if isinstance(own, Retry):
                settings = own
                budget = None if own._budget is None else budget or own._budget
            elif own is not True:
                raise TypeError(f"the extension 'retry' must be False, True or a Retry, got {type(own).__name__}")
        if settings._key is not False:
            settings._give_key(request)
        call: _Call | None = None
        while True:
            started = _clock.monotonic()
            pause: float | None = None
            response: Response | None = None
            try:
                response = yield request
            except RequestError as exc:
                call = call or _Call(settings, budget, request)
                pause = call.after_error(exc, started)
                if pause is None:
                    raise
            else:
                if settings._when is not None or response.status_code in settings._suspect:
                    call = call or _Call(settings, budget, request)
                    pause = call.after(response, started)
                if pause is None and response._whole is None and is_to_be_read(request, response):
                    try:
                        yield Step.read(response)
                    except RequestError as exc:
                        call = call or _Call(settings, budget, request)
                        pause = call.after_error(exc, started, response)
                        if pause is None:
                            raise
                if pause is None or call is None:
                    if call is not None:
                        call.finish(response, started)
                    elif budget is not None and budget.low:
                        budget.add(request.url._origin, _EARNED)
                    return response
            yield from call.waits(pause, response)

    def _give_key(self, request: Request) -> None:
        """Set an idempotency key if the request should have one; remove one that was made for another origin."""
        field, made = self._key_field, request.extensions.get(_MADE)
        if made is not None:
            value, url, number = made
            is_same = number == request._call
            is_home = request._keeps_secrets or may_keep_secrets(url, request.url)
            is_kept = is_same and is_home and request.method in _KEYED_METHODS
            if not is_kept and request.headers.get(field) == value:
                del request.headers[field]
            if is_same:
                return
        if request.method in _KEYED_METHODS and field not in request.headers:
            key = self._new_key(request)
            if key is not None:
                # In the caller's request: a redirect on the same origin takes it along.
                request.headers[field] = key
                request.extensions[_MADE] = key, request.url, request._call

    def _new_key(self, request: Request) -> str | None:
        """
        Return the value of the field, or None for none.

        The standard field is a string of RFC 9651; others are what their servers expect, which is no quotes.
        """
        if callable(self._key):
            key = self._key(request)
            if key is None:
                return None
            if not isinstance(key, str):
                raise TypeError(f"idempotency_key must return a str or None, got {type(key).__name__}")
            if _KEY.fullmatch(key) is None:
                raise ValueError("idempotency_key must return 1 to 255 printable ASCII characters")
        else:
            from uuid import uuid4  # few have keys

            key = str(uuid4())
        if self._key_field != _KEY_FIELD:
            return key
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    def _is_safe(self, request: Request) -> bool:
        """Return whether a request may have its effect twice."""
        idempotent = request.extensions.get("idempotent")
        if idempotent is not None:
            return bool(idempotent)
        return request.method in self._methods or self._has_key(request)

    def _has_key(self, request: Request) -> bool:
        return _KEY_FIELD in request.headers or self._key_field in request.headers

    def _tell(self, request: Request, what: str, number: int, pause: float) -> None:
        """Log a pause before attempt `number`."""
        logger.info(
            "%s %s: %s; attempt %d of %d in %.3g s",
            request.method,
            shortened(request.url._redacted()),
            what,
            number,
            self._attempts,
            pause,
        )


class _Call:
    """
    One request with an attempt that failed, or that `when` is asked about.

    Args:
        settings: what holds for this request.
        budget: of the client's `Retry`; None for no limit.
    """

    __slots__ = ("_budget", "_conflicts", "_cost", "_made", "_reason", "_request", "_settings", "_status", "_waited")

    def __init__(self, settings: Retry, budget: _Budget | None, request: Request) -> None:
        self._settings = settings
        self._budget = budget
        self._request = request
        self._made: list[Attempt] = []
        self._status: int | None = None  # of the response whose body broke
        self._waited = 0.0  # before it
        self._cost = 0.0  # of it, if it is a retry
        self._conflicts = 0
        self._reason = "done"  # of the attempt under way, unless `after` finds another

    def after(self, outcome: Outcome, started: float) -> float | None:
        """Return the seconds until the next attempt, after this outcome of one; None if it was the last."""
        is_again, self._reason = self._judged(outcome)
        if not is_again:
            return None
        reason, settings, number = self._reason, self._settings, len(self._made) + 1
        throttled = isinstance(outcome, Response) and outcome.status_code in _THROTTLED
        asked = retry_after(outcome.headers) if isinstance(outcome, Response) else None
        base = settings._backoff * (_THROTTLED_BACKOFF if throttled and asked is None else 1)
        pause = _clock.jitter() * min(settings._max_backoff, base * 2.0 ** min(number - 1, 64))
        if asked is not None:
            pause = max(pause, asked * (1 + _SPREAD * _clock.jitter()))
        deadline = self._request.extensions.get("deadline")
        cost = _THROTTLED_COST if throttled else _COST
        if number >= settings._attempts:
            self._reason = "attempts"
        elif not self._request.is_replayable:
            self._reason = "body"
        elif asked is not None and asked > settings._max_wait:
            self._reason = "max_wait"
        elif deadline is not None and _clock.monotonic() + pause >= deadline:
            self._reason = "deadline"
        elif self._budget is not None and not self._budget.take(self._request.url._origin, cost):
            self._reason = "budget"
        else:
            self._record(outcome, started, reason)
            self._waited, self._cost, self._reason = pause, cost, "done"
            settings._tell(self._request, _what(outcome), number + 1, pause)
            return pause
        return None

    def after_error(self, error: RequestError, started: float, response: Response | None = None) -> float | None:
        """Return the seconds until the next attempt, like `after`; the error of the last one gets its `attempts`."""
        self._status = None if response is None else response.status_code
        pause = self.after(error, started)
        if pause is None:
            self.finish(error, started)
        return pause

    def waits(self, pause: float, response: Response | None) -> Generator[Step, Any, None]:
        """Yield the steps between two attempts."""
        try:
            if response is not None:  # meanwhile its connection can be used
                began = _clock.monotonic()
                try:
                    yield Step._of(DRAIN, response)
                except (RequestError, StreamError):
                    yield Step._of(CLOSE, response)
                pause -= _clock.monotonic() - began
            yield Step.pause(pause)
        except BaseException as exc:
            if self._budget is not None:
                self._budget.add(self._request.url._origin, self._cost)  # nothing was sent for it
            if isinstance(exc, RequestError):  # the total timeout has passed meanwhile
                exc.attempts = tuple(self._made)
            raise

    def finish(self, outcome: Outcome, started: float) -> None:
        """Take the outcome of the last attempt: settle the budget, and give the outcome its `attempts`."""
        if self._budget is not None and self._is_success(outcome):
            self._budget.add(self._request.url._origin, self._cost if self._made else _EARNED)
        if not self._made:
            return
        self._record(outcome, started, self._reason)
        made = tuple(self._made)
        is_new = not outcome.attempts  # mocks raise the same one again, whose notes must not pile up
        outcome.attempts = made
        if is_new and isinstance(outcome, RequestError) and hasattr(outcome, "add_note"):
            outcome.add_note(f"{len(made)} attempts in {sum(one.waited + one.seconds for one in made):.3g} s")

    def _is_success(self, outcome: Outcome) -> bool:
        """Return whether the origin works: it does with a 404, too, unless `when` counts that as a failure."""
        is_response = isinstance(outcome, Response) and outcome.status_code not in self._settings._statuses
        return is_response and self._reason in ("done", "when")

    def _judged(self, outcome: Outcome) -> tuple[bool, str]:
        """Return whether an outcome is worth another attempt, and why or why not."""
        settings, request = self._settings, self._request
        if settings._when is not None:
            decided = settings._when(request, outcome)
            if decided is not None:
                if not isinstance(decided, bool):
                    raise TypeError(f"when must return True, False or None, got {type(decided).__name__}")
                return decided, "when"
        if isinstance(outcome, Response):
            if outcome.status_code == _CONFLICT and settings._has_key(request):
                self._conflicts += 1
                return self._conflicts == 1, "status" if self._conflicts == 1 else "done"
            if outcome.status_code not in settings._statuses:
                return False, "done"
            reason = "status"
        elif outcome._is_final:
            return False, "final"
        elif isinstance(outcome, _NOT_SENT) and self._status is None:
            return True, "not sent"
        elif isinstance(outcome, _BROKEN):
            reason = "broken"
        else:
            return False, "final"
        return (True, reason) if settings._is_safe(request) else (False, "method")

    def _record(self, outcome: Outcome, started: float, reason: str) -> None:
        error = None if isinstance(outcome, Response) else _what(outcome)
        seconds = _clock.monotonic() - started
        number = len(self._made) + 1
        status = outcome.status_code if isinstance(outcome, Response) else self._status
        self._made.append(Attempt(number, status, error, _clock.wall() - seconds, seconds, self._waited, reason))


class _Budget:
    """
    What each origin has left for retries in vain.

    An origin that is not known has all of it, so one that is full is forgotten; of the others the 1,024 that were used
    last are known.

    Attributes:
        low: {origin: what is left}, for origins that have less than all; the least recently used first.
    """

    def __init__(self, size: float) -> None:
        self._size = size
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Begin with full budgets: at first, and in a forked child."""
        self._lock = RLock()
        self.low: dict[tuple[Any, ...], float] = {}

    def take(self, origin: tuple[Any, ...], cost: float) -> bool:
        """Take the cost of a retry; return False if there is not that much left."""
        return self._change(origin, -cost)

    def add(self, origin: tuple[Any, ...], amount: float) -> None:
        """Add to what an origin has left, up to all of it."""
        if origin in self.low:
            self._change(origin, amount)

    def _change(self, origin: tuple[Any, ...], amount: float) -> bool:
        try:
            with self._lock:
                left = self.low.get(origin, self._size) + amount
                if left < -_ROUNDING:
                    return False
                self.low.pop(origin, None)
                if left < self._size - _ROUNDING:
                    self.low[origin] = left
                    if len(self.low) > _MAX_ORIGINS:
                        del self.low[next(iter(self.low))]
                return True
        except BaseException:
            unlock(self._lock)  # no `with` does, if the exception came between its block and its end
            raise


def _what(outcome: Outcome) -> str:
    """Return an outcome in a few words, for people."""
    if isinstance(outcome, Response):
        return f"{outcome.status_code} {shown_reason(outcome)}".rstrip()
    return f"{type(outcome).__name__}: {printable(str(outcome), MAX_URL)}"


def _with_arguments(cls: type[Retry], arguments: dict[str, Any]) -> Retry:
    return cls(**arguments)


def _at_least_0(name: str, value: Any, most: float = sys.float_info.max) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
    return value


def _statuses(statuses: Any) -> tuple[int, ...]:
    given = _collected("statuses", statuses)
    for status in given:
        if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 999:
            raise ValueError(f"statuses must be numbers from 100 to 999, got {status!r}")
    return given


def _methods(methods: Any) -> tuple[str, ...]:
    given = _collected("methods", methods)
    for method in given:
        if not isinstance(method, str):
            raise TypeError(f"methods must be str, got {type(method).__name__}")
    return tuple(method.upper() for method in given)


def _collected(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a list, a tuple or a set, got {type(value).__name__}")
    return tuple(value)


def _key_setting(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(TOKEN, value) is None:
        raise ValueError(f"idempotency_key must be the name of a header field, got {value[:20]!r}")
    if not isinstance(value, (bool, str)) and (not callable(value) or inspect.iscoroutinefunction(value)):
        raise TypeError(f"idempotency_key must be a bool, a str or a plain function, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return "an async function" if inspect.iscoroutinefunction(value) else type(value).__name__


_DEFAULTS: dict[str, Any] = Retry()._arguments
