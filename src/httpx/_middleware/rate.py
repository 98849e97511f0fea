"""
Send no faster than a server allows: by what the user knows, and by what the server says.

    Client(middleware=[RateLimit("10/s")])
    RateLimit        the settings, and a bucket for each key (an origin, by default)
    _Bucket          what limits a key: a rate, quotas that were learned, a pace, places, pauses
    _Quota           one limit that the server declared

    place (concurrency) ─► turn (rate, quotas, pace, pauses) ─► send ─► learn ─► body ─► the place goes to the next

A request that nothing limits costs a generator, a look at the clock and one at the fields of its response. Turns are
reserved on arrival and then slept for, so requests are served in the order in which they came, and a pause that the
server asks for moves all of them at once.

Not here: the arithmetic of slots and places (`pacing`), the fields of responses (`rate_fields`), sleeping and waiting
(the client, by steps).
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Hashable
from functools import partial
from threading import RLock
from typing import Any, Callable, ClassVar, Literal

from .. import _clock
from .._exceptions import ConnectTimeout, PoolTimeout, RateLimitTimeout
from .._forks import FORKS, unlock
from .._latch import Latch
from .._request import Request
from .._response import Response
from .._retry_after import retry_after
from .._steps import WAIT, Step
from . import ORDER, BuiltIn, is_to_be_read
from .pacing import AUTO, FIRST_PLACES, SLACK, START, Pace, Places, Schedule, Turn, earliest
from .rate_fields import FIELDS, Limit, read_limits

_MAX_KEYS = 1_024  # a hostile chain of redirects names many origins
_MAX_QUOTAS = 16  # of a key: names and partitions are the server's choice
# Seconds. A server that asks for more is asked again after this: one request finds out for all.
_MAX_PAUSE = 3_600.0
_DEFAULT_PAUSE = 1.0  # after a 429 that does not say how long

# A server that nothing is known of gets so many requests at first, and one more for each response: what it declares is
# known before hundreds are under way. From `_KNOWN` on there is no limit of this kind, and nothing waits longer for it
# than `_START_PATIENCE` seconds: the responses may be slow ones.
_START, _KNOWN, _START_PATIENCE = 10, 100, 1.0

_TOO_MANY = 429
_REFUSALS = frozenset((_TOO_MANY, 503))

# What is left of a quota is spread over the rest of its window below this share of it.
_SCARCE = 0.2
# Windows up to so many seconds are used evenly from the start: they are told in whole seconds, so that what is left and
# when it ends is known too late to spread anything, and to wait evenly costs no more than a window.
_SHORT = 10.0
_MARGIN = 1.01  # a little slower, so that no window of the server's ever has one more
_KEPT = 60.0  # seconds that the rate of a short window is remembered, at least

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*([0-9]+(?:\.[0-9]+)?)?\s*([a-z]+)", re.ASCII)
_UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
}


class RateLimit(BuiltIn):
    """
    Middleware that sends requests no faster than a rate, and no faster than the server says.

        client = httpx.Client(middleware=[httpx.Retry(), httpx.RateLimit("10/s")])

    Requests wait for their turn in the order in which they came. Each attempt of a `Retry` takes a turn, so `Retry`
    stands before it.

    Args:
        rate: requests in a time, such as "10/s", "600/min", "100/15min", "5000/h"; a number is for a second. None: only
            what is learned.
        burst: how many may be sent at once after a quiet time; by default what the rate allows in a second, at least 1.
        concurrency: how many requests of a key are under way at the same time. "auto" finds it: it grows while the
            server responds, and shrinks after 429, 503, `ConnectTimeout` and `PoolTimeout`. A request counts until its
            body was read, a streamed one until its head is there. None for no limit.
        learn: heed `RateLimit`, `RateLimit-Policy`, `RateLimit-Remaining` and `X-RateLimit-Remaining` of responses, and
            after a 429 the rate at which the server accepted requests. Without it, too, a 429, or a 503 with
            Retry-After, stops all requests of its key for the time that it asks for, 1 s if it does not say, and at
            most an hour.
        key: a function of a request; those with the same key share the limits. By default the origin: scheme, host and
            port. 1,024 keys are remembered.
        max_wait: seconds; a request that would wait longer, or past its total timeout, raises `RateLimitTimeout`: at
            once, unless it waits for another one to end.

    Raises:
        TypeError, ValueError: an argument is not what it should be.

    May be shared by clients, threads, tasks and event loops. Pickled, it is its arguments; a copy and a forked child
    begin with nothing learned, so divide a rate by the number of processes.
    draft-ietf-httpapi-ratelimit-headers-11; RFC 6585, section 4; RFC 9110, section 10.2.3.
    """

    rank: ClassVar[int] = ORDER.index("RateLimit")

    def __init__(
        self,
        rate: str | float | None = None,
        *,
        burst: int | None = None,
        concurrency: int | Literal["auto"] | None = None,
        learn: bool = True,
        key: Callable[[Request], Hashable] | None = None,
        max_wait: float = 60.0,
    ) -> None:
        if key is not None and not callable(key):
            raise TypeError(f"key must be a function of a request, got {type(key).__name__}")
        self._per_second = None if rate is None else _per_second(rate)
        self._burst = _burst(burst, self._per_second)
        self._concurrency = _concurrency(concurrency)
        self._learn = bool(learn)
        self._key = key
        self._max_wait = _max_wait(max_wait)
        self._arguments: dict[str, Any] = {
            "rate": rate,
            "burst": burst,
            "concurrency": concurrency,
            "learn": learn,
            "key": key,
            "max_wait": max_wait,
        }
        self._forget()
        # A child has none of the threads that wait.
        for name, make in (("_lock", RLock), ("_buckets", dict), ("_latest", type(None))):
            FORKS.renew(self, name, make)

    def _forget(self) -> None:
        # Re-entrant: a garbage collection within it may end a generator of this object.
        self._lock = RLock()
        self._buckets: dict[Hashable, _Bucket] = {}
        self._latest: _Bucket | None = None

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in self._arguments.items() if value != _DEFAULTS[name]]
        return f"RateLimit({', '.join(given)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._arguments), ()

    def __call__(self, request: Request) -> Generator[Request | Step, Any, Response]:
        """Send a request when it is its turn; return the response."""
        bucket: _Bucket | None = None
        try:
            key: Hashable = request.url._origin if self._key is None else self._key(request)
            now = _clock.monotonic()
            bucket = self._latest
            # What is only read, and what is counted to estimate, needs no lock, which costs a third of all this.
            if bucket is None or bucket.key != key:
                with self._lock:
                    bucket = self._bucket(key)
            places, base = bucket.places, bucket.base
            if places is not None:
                return (yield from self._in_place(request, bucket, places, now))
            has_turn = not bucket.quotas and bucket.pace.schedule is None
            if has_turn and (base.interval or base.resume > now):
                with self._lock:
                    has_turn = base.take_now(now)
            if not has_turn:
                return (yield from self._in_turn(request, bucket, None, now))
            response: Response = yield request
            headers = response.headers
            if response.status_code in _REFUSALS or not FIELDS.isdisjoint(headers._index or headers._make_index()):
                with self._lock:
                    self._heed(request, response, bucket, None, now, now)
            else:
                bucket.pace.accepted(now)
            return response
        except GeneratorExit:
            raise  # maybe out of a garbage collection within a locked section
        except BaseException:
            # One out of a signal handler may have come between taking the lock and the block that releases it, or
            # before something was given back.
            unlock(self._lock)
            if bucket is not None:
                bucket.under_way.discard(request)
            raise

    def _bucket(self, key: Hashable) -> _Bucket:
        """Return the bucket of a key, a new one if there is none; under the lock."""
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            bucket = _Bucket(self, key)
            if len(self._buckets) >= _MAX_KEYS:
                del self._buckets[next(iter(self._buckets))]  # the least recently used
        self._buckets[key] = self._latest = bucket
        return bucket

    def _in_place(
        self, request: Request, bucket: _Bucket, places: Places, began: float
    ) -> Generator[Request | Step, Any, Response]:
        """Send a request when it has a place, which it keeps until its body was read."""
        holder = object()
        try:
            with self._lock:
                latch = places.take(holder)
            if latch is not None:
                yield from self._wait_for_place(request, places, holder, latch, began)
            response = yield from self._in_turn(request, bucket, places, began)
            if places.kind != START and response._whole is None and is_to_be_read(request, response):
                yield Step.read(response)
            self._leave(bucket, places, holder)
            return response
        except BaseException:
            self._leave(bucket, places, holder)  # a second time if the first one was interrupted
            raise

    def _leave(self, bucket: _Bucket, places: Places, holder: object) -> None:
        with self._lock:
            places.leave(holder)
            if places.kind == START and places.limit >= _KNOWN:
                places.end()
                if bucket.places is places:
                    bucket.places = None

    def _wait_for_place(
        self, request: Request, places: Places, holder: object, latch: Latch, began: float
    ) -> Generator[Step, Any, None]:
        """Wait for a place, or at first, for a moment, and then go without."""
        patience = self._patience(request, began)
        if places.kind == START:
            yield Step._of(WAIT, (latch, min(patience, _START_PATIENCE)))
            with self._lock:
                places.waiting.pop(holder, None)
        elif not (yield Step._of(WAIT, (latch, patience))):
            raise self._timeout(request, None, f"{int(places.limit)} requests are under way")

    def _in_turn(
        self, request: Request, bucket: _Bucket, places: Places | None, began: float
    ) -> Generator[Request | Step, Any, Response]:
        """Send a request when it is its turn, and learn from the response."""
        sent = yield from self._wait(request, bucket, began)
        try:
            bucket.under_way.add(request)
            response: Response = yield request
        except (ConnectTimeout, PoolTimeout):
            if places is not None:
                with self._lock:
                    places.refused(sent, _clock.monotonic())
            raise
        finally:
            bucket.under_way.discard(request)
        with self._lock:
            self._heed(request, response, bucket, places, began, sent)
        return response

    def _wait(self, request: Request, bucket: _Bucket, began: float) -> Generator[Step, Any, float]:
        """Wait for the turn of a request, and return when it is sent."""
        now = _clock.monotonic()
        with self._lock:
            if not bucket.quotas and bucket.pace.schedule is None and bucket.base.take_now(now):
                return now
            stages = bucket.stages(now, request)
        until = began + self._patience(request, began)
        for schedules in stages:
            with self._lock:
                at = earliest(schedules, now)
                turn = None if at > until else Turn(schedules, at)
            if turn is None:
                raise self._timeout(request, at - now, f"its turn is in {at - now:.3g} s")
            try:
                while (wait := turn.due() - now) > SLACK:
                    if now + wait > until:  # a pause has moved it
                        raise self._timeout(request, wait, f"its turn is in {wait:.3g} s")
                    yield Step.pause(wait)
                    now = _clock.monotonic()
            except BaseException:
                with self._lock:
                    turn.give_back()
                raise
        return now

    def _patience(self, request: Request, began: float) -> float:
        """Return the seconds that a request may wait, all in all."""
        deadline = request.extensions.get("deadline")
        return self._max_wait if deadline is None else min(self._max_wait, deadline - began)

    def _timeout(self, request: Request, wait: float | None, why: str) -> RateLimitTimeout:
        deadline = request.extensions.get("deadline")
        limit = f"max_wait is {self._max_wait:g} s" + ("" if deadline is None else ", and the total timeout is near")
        host = request.url.netloc.decode("ascii")[:100]
        return RateLimitTimeout(f"rate limit of {host}: {why}, and {limit}", wait=wait, request=request)

    def _heed(
        self,
        request: Request,
        response: Response,
        bucket: _Bucket,
        places: Places | None,
        began: float,
        sent: float,
    ) -> None:
        """Take note of what a response says about limits, to a request that came and was sent then; under the lock."""
        now = _clock.monotonic()
        limits: list[Limit] = []
        if self._learn and not FIELDS.isdisjoint(response.headers._index or response.headers._make_index()):
            limits = read_limits(response.headers, _clock.wall())
        was_declared = bucket.declared < sent
        is_refusal = response.status_code in _REFUSALS
        asked = retry_after(response.headers) if is_refusal else None
        for limit in limits:
            bucket.learn(limit, request, now, asked)
        if not is_refusal:
            bucket.pace.accepted(sent)
            if places is not None:
                places.accepted(now)
            return
        seconds = asked
        if asked is None and response.status_code == _TOO_MANY:
            seconds = max([limit.reset for limit in limits if limit.reset is not None], default=None)
            if seconds is None and (places is None or places.kind != AUTO):
                seconds = _DEFAULT_PAUSE
        explained = places is not None and places.refused(sent, now, seconds or 0.0)
        if seconds is not None:
            # What the server declared is followed first; a pace is for what it did not, or not well enough.
            is_paced = self._learn and response.status_code == _TOO_MANY and seconds > 0 and not explained
            bucket.refuse(began, sent, now, min(seconds, _MAX_PAUSE), is_paced and (was_declared or not limits))


class _Bucket:
    """
    What limits the requests of a key. Calls are made under the lock.

    Attributes:
        base: the rate that the user gave, and the pauses for all.
        key: whose bucket it is.
        places: of requests at the same time; None for no limit.
        quotas: what the server declared, by (name, partition, who).
        is_partitioned: the server counts some by user, so each request belongs to its credentials.
        declared: when the server declared a limit first.
        under_way: requests that waited for a turn and have no response yet; unlimited ones are not counted.
    """

    __slots__ = (
        *("_refused", "base", "declared", "is_partitioned", "key", "pace"),
        *("places", "quotas", "under_way"),
    )

    def __init__(self, settings: RateLimit, key: Hashable) -> None:
        per_second, concurrency = settings._per_second, settings._concurrency
        self.key = key
        self.base = Schedule() if per_second is None else Schedule(1 / per_second, settings._burst)
        self.pace = Pace() if per_second is None else Pace(per_second)
        self.places: Places | None = None
        if concurrency == "auto":
            self.places = Places(FIRST_PLACES, AUTO)
        elif concurrency is not None:
            self.places = Places(concurrency)
        elif per_second is None and settings._learn:
            self.places = Places(_START, START)
        self.quotas: dict[tuple[str, bytes | None, int | None], _Quota] = {}
        self.is_partitioned = False
        self.under_way: set[Request] = set()
        self.declared = math.inf
        self._refused = -math.inf

    def who(self, request: Request) -> int | None:
        """Return whose request it is, if the server counts some by user: the credentials tell."""
        return hash(request.headers._get(b"authorization")) if self.is_partitioned else None

    def stages(self, now: float, request: Request) -> list[list[Schedule]]:
        """
        Return what a request needs a slot in, one group after the other.

        First what the server counts by user, so that one whose quota is used up does not hold up the others.
        """
        shared, own, who = [self.base], [], self.who(request)
        for key, quota in list(self.quotas.items()):
            if quota.expires <= now:
                del self.quotas[key]
            elif key[2] is None:
                shared.append(quota.schedule)
            elif key[2] == who:
                own.append(quota.schedule)
        paced = self.pace.scheduled(now)
        if paced is not None:
            shared.append(paced)
        return [own, shared] if own else [shared]

    def learn(self, limit: Limit, request: Request, now: float, asked: float | None) -> None:
        """Take note of a limit that a response to this request declared, whose Retry-After asks for so many seconds."""
        if limit.is_concurrency:
            if limit.quota:
                if self.places is None or self.places.kind == START:
                    self.places = Places(limit.quota)
                self.places.cap(limit.quota)
            return
        self.declared = min(self.declared, now)
        who = None
        if limit.partition is not None:
            self.is_partitioned = True
            who = self.who(request)
        key = limit.name, limit.partition, who
        quota = self.quotas.get(key)
        if quota is None:
            if len(self.quotas) >= _MAX_QUOTAS:
                del self.quotas[next(iter(self.quotas))]
            quota = self.quotas[key] = _Quota()
        until = quota.learn(limit, now, len(self.under_way))
        if until is not None:
            # Retry-After precedes the end of a window (section 5 of the draft).
            until = until if asked is None else now + min(asked, _MAX_PAUSE)
            quota.schedule.pause(now, until, is_full=True)
            if who is None:
                self._pause(now, until)

    def refuse(self, began: float, sent: float, now: float, seconds: float, is_paced: bool) -> None:
        """Stop all for some seconds, since a request that came and was sent then was refused."""
        self._pause(now, now + seconds)
        if began >= self._refused:  # those that were under way or had their turn already say nothing new
            self._refused = now
            if is_paced:
                self.pace.refused(sent, now, seconds)

    def _pause(self, now: float, until: float) -> None:
        """Stop all until then. All schedules together: slots of one that did not move would be given twice."""
        self.base.pause(now, until)
        if self.pace.schedule is not None:
            self.pace.schedule.pause(now, until)
        for key, quota in self.quotas.items():
            if key[2] is None:
                quota.schedule.pause(now, until)


class _Quota:
    """
    One limit that the server declared.

    Attributes:
        schedule: the slots that follow from it; without an interval it limits nothing for now.
        expires: when it says nothing any more.
    """

    __slots__ = ("_is_even", "_most", "_window", "expires", "schedule")

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.expires = 0.0
        self._most = 0.0  # requests in a window, as declared or as many as were ever left
        self._window = 0.0  # seconds, as declared or the longest until an end that was seen
        self._is_even = False

    def learn(self, limit: Limit, now: float, under_way: int) -> float | None:
        """
        Take note of what a response says, while so many other requests are under way.

        Returns until when there is to be a pause, if there is.
        """
        remaining, reset = limit.remaining, limit.reset
        self._most = limit.quota or max(self._most, remaining or 0.0)
        self._window = limit.window or max(self._window, reset or 0.0)
        self.expires = now + max(_KEPT, self._window)
        if self._most and limit.quota and 0 < self._window <= _SHORT:
            self._use_evenly(remaining, now, under_way)
            is_too_late = reset is None or reset <= 1 + self._window / 10  # to say in whole seconds when it ends
            if remaining != 0 or is_too_late:
                return None
        self._is_even = False
        if remaining == 0:
            return self._end_of(reset or self._window, now)
        if remaining is not None and reset and remaining < self._most * _SCARCE:
            # Those that are under way come off it.
            self.schedule.set_rate(reset / max(1.0, remaining - under_way))
            self.expires = now + reset
        else:
            self.schedule.set_rate(0.0)
        return None

    def _use_evenly(self, remaining: float | None, now: float, under_way: int) -> None:
        self.schedule.set_rate(self._window / self._most * _MARGIN)
        self.expires = now + max(_KEPT, 10 * self._window)
        if not self._is_even:
            # What is used already, also by others, and what is under way had no turn of this schedule.
            self._is_even = True
            used = 1.0 if remaining is None else self._most - remaining
            self.schedule.owe(now, min(self._most, used + under_way))

    def _end_of(self, seconds: float, now: float) -> float:
        """Return when the next window begins, which has all of the quota again; nothing is left of this one."""
        seconds = min(seconds, _MAX_PAUSE)
        if self._most and self._window:
            self.schedule.set_rate(self._window / self._most, burst=self._most)
        self.expires = max(self.expires, now + seconds + self._window)
        return now + seconds


# Arguments.

_DEFAULTS: dict[str, Any] = {
    "rate": None,
    "burst": None,
    "concurrency": None,
    "learn": True,
    "key": None,
    "max_wait": 60.0,
}


def _per_second(rate: str | float) -> float:
    """Return a rate as requests a second."""
    if isinstance(rate, str):
        found = _RATE.fullmatch(rate.strip())
        unit = None if found is None else _UNITS.get(found[3])
        if found is None or unit is None:
            raise ValueError(f"rate must be a number in a time, such as '10/s', '600/min' or '100/15min', got {rate!r}")
        seconds = float(found[2] or 1) * unit
        value = float(found[1]) / seconds if seconds else 0.0
    elif isinstance(rate, (int, float)) and not isinstance(rate, bool):
        value = float(rate)
    else:
        raise TypeError(f"rate must be a str such as '10/s', or a number of requests a second, got {_name(rate)}")
    if not 0 < value < math.inf:
        raise ValueError(f"rate must be above 0, got {rate!r}")
    return value


def _burst(burst: int | None, per_second: float | None) -> float:
    if burst is None:
        return max(1.0, float(int(per_second or 1)))
    if isinstance(burst, bool) or not isinstance(burst, int):
        raise TypeError(f"burst must be an int or None, got {_name(burst)}")
    if burst < 1:
        raise ValueError(f"burst must be at least 1, got {burst}")
    if per_second is None:
        raise ValueError("burst needs a rate: without one nothing limits a burst")
    return float(burst)


def _concurrency(concurrency: int | str | None) -> int | Literal["auto"] | None:
    if concurrency is None or concurrency == "auto":
        return concurrency  # type: ignore[return-value]  # mypy does not narrow a str by comparing it
    if isinstance(concurrency, bool) or not isinstance(concurrency, int):
        raise TypeError(f"concurrency must be an int, 'auto' or None, got {concurrency!r:.30}")
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, got {concurrency}")
    return concurrency


def _max_wait(max_wait: float) -> float:
    if isinstance(max_wait, bool) or not isinstance(max_wait, (int, float)):
        raise TypeError(f"max_wait must be a number of seconds, got {_name(max_wait)}")
    if not 0 <= max_wait < math.inf:
        raise ValueError(f"max_wait must be a finite number of seconds, at least 0, got {max_wait!r}")
    return float(max_wait)


def _name(value: object) -> str:
    return type(value).__name__
