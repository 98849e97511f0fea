"""
Workers and a server with limits, in simulated time: for tests of `RateLimit`.

    outcome = simulate(RateLimit("10/s"), TokenBucket(10), total=1000, workers=50)
    assert outcome.statuses[429] == 0 and outcome.rate > 9.5

Each worker drives the generators of the middleware by hand, one request after another. Time passes only between events,
so 1,000 requests at 10 a second take a moment. Every order is the same in each run.

Not here: clients, threads and loops.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any, Callable, Optional, Protocol

import pytest

import httpx
from httpx import Request, Response, _clock
from httpx._steps import PAUSE, READ, WAIT

URL = "https://api.example.org/"
WALL = 1_700_000_000.0  # seconds since 1970, when simulated time is 0
LATENCY = 0.05  # seconds, there and back


class Time:
    """A clock that stands still, for `_clock`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now


@contextlib.contextmanager
def simulated_time() -> Iterator[Time]:
    time = Time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_clock, "monotonic", time.monotonic)
        patch.setattr(_clock, "wall", time.wall)
        yield time


class Server(Protocol):
    """A server: what it responds, and how many seconds it works on that."""

    def respond(self, now: float) -> tuple[Response, float]: ...

    def finish(self) -> None:
        """The work of one request that was not refused is over."""


class _Fields:
    """The fields with which a server says what is left."""

    def __init__(self, form: Optional[str], retry_after: bool) -> None:
        self.form = form
        self.retry_after = retry_after

    def response(
        self, accepted: bool, now: float, quota: int, window: float, left: int, reset: float, wait: float
    ) -> Response:
        seconds = math.ceil(reset)  # all of them are whole seconds
        fields = {"Date": formatdate(WALL + now, usegmt=True)}
        if self.form == "structured":
            fields["RateLimit-Policy"] = f'"default";q={quota};w={math.ceil(window)}'
            fields["RateLimit"] = f'"default";r={left};t={seconds}'
        elif self.form == "dictionary":
            fields["RateLimit"] = f"limit={quota}, remaining={left}, reset={seconds}"
        elif self.form is not None:
            date = int(WALL + now) + seconds if self.form == "X-RateLimit" else seconds
            fields.update({f"{self.form}-Limit": str(quota), f"{self.form}-Remaining": str(left)})
            fields[f"{self.form}-Reset"] = str(date)
        if not accepted and self.retry_after:
            fields["Retry-After"] = str(max(1, math.ceil(wait)))
        return Response(200 if accepted else 429, headers=fields)


class Windows:
    """A server that accepts so many requests in each window, the first of which begins with the first request."""

    def __init__(self, quota: int, window: float = 1.0, form: Optional[str] = None, retry_after: bool = True) -> None:
        self.quota, self.window = quota, window
        self.fields = _Fields(form, retry_after)
        self.began: Optional[float] = None
        self.used = 0

    def respond(self, now: float) -> tuple[Response, float]:
        if self.began is None:
            self.began = now
        if now >= self.began + self.window:
            self.began += self.window * ((now - self.began) // self.window)
            self.used = 0
        accepted = self.used < self.quota
        self.used += accepted
        left, reset = self.quota - self.used, self.began + self.window - now
        return self.fields.response(accepted, now, self.quota, self.window, left, reset, reset), 0.0

    def finish(self) -> None:
        pass


class TokenBucket:
    """A server that accepts requests at a rate, with a burst of a second's worth."""

    def __init__(self, rate: float, form: Optional[str] = None, retry_after: bool = True) -> None:
        self.rate = self.tokens = self.most = rate
        self.fields = _Fields(form, retry_after)
        self.last = 0.0

    def respond(self, now: float) -> tuple[Response, float]:
        self.tokens = min(self.most, self.tokens + (now - self.last) * self.rate)
        self.last = now
        accepted = self.tokens >= 1 - 1e-9
        self.tokens -= accepted
        left = int(self.tokens + 1e-9)
        wait = (1 - self.tokens) / self.rate
        reset = (self.most - self.tokens) / self.rate if left else wait
        return self.fields.response(accepted, now, int(self.most), 1.0, left, reset, wait), 0.0

    def finish(self) -> None:
        pass


class Crowd:
    """A server that works on so many requests at the same time, and refuses more."""

    def __init__(self, most: int, work: float, retry_after: Optional[int] = None, status: int = 429) -> None:
        self.most, self.work, self.status = most, work, status
        self.fields = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.active = 0

    def respond(self, now: float) -> tuple[Response, float]:
        if self.active >= self.most:
            return Response(self.status, headers=self.fields), 0.0
        self.active += 1
        return Response(200), self.work

    def finish(self) -> None:
        self.active -= 1


class Outcome:
    """What came of a simulation: how many of each status (0: given up), and in how many seconds."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds = 0.0

    @property
    def rate(self) -> float:
        """Accepted requests a second."""
        return self.statuses[200] / self.seconds

    def __repr__(self) -> str:
        return f"<{dict(self.statuses)} in {self.seconds:.1f} s: {self.rate:.2f}/s>"


class _Simulation:
    """Events in the order of their time."""

    def __init__(self, time: Time, server: Server, layer: Any, total: int, latency: float) -> None:
        self.time, self.server, self.layer, self.latency = time, server, layer, latency
        self.outcome = Outcome()
        self._left = total
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.time.now + seconds, next(self._numbers), event))

    def run(self) -> None:
        while self._events:
            moment, _, event = heapq.heappop(self._events)
            self.time.now = max(self.time.now, moment)
            event()

    def work(self) -> None:
        """A worker begins its next request."""
        if self._left:
            self._left -= 1
            flow = self.layer(Request("GET", URL))
            self.go_on(flow, lambda: next(flow))

    def go_on(self, flow: Any, step: Callable[[], Any]) -> None:
        try:
            asked = step()
        except (StopIteration, httpx.RateLimitTimeout) as stop:
            status = stop.value.status_code if isinstance(stop, StopIteration) else 0
            self.outcome.statuses[status] += 1
            self.outcome.seconds = self.time.now
            self.work()
            return
        if isinstance(asked, Request):
            self.after(self.latency / 2, lambda: self._arrive(flow))
        elif asked._kind == PAUSE:
            self.after(asked._value, lambda: self.go_on(flow, lambda: flow.send(None)))
        elif asked._kind == WAIT:
            self._wait(flow, *asked._value)
        else:
            assert asked._kind == READ
            self.go_on(flow, lambda: flow.send(b""))

    def _arrive(self, flow: Any) -> None:
        response, seconds = self.server.respond(self.time.now)

        def finish() -> None:
            if response.status_code == 200:
                self.server.finish()
            self.after(self.latency / 2, lambda: self.go_on(flow, lambda: flow.send(response)))

        self.after(seconds, finish)

    def _wait(self, flow: Any, latch: Any, seconds: float) -> None:
        woken: list[bool] = []

        def wake() -> None:
            if not woken:
                woken.append(True)
                self.after(0.0, lambda: self.go_on(flow, lambda: flow.send(latch.is_set)))

        latch.when_set(wake)
        self.after(seconds, wake)


def simulate(layer: Any, server: Server, *, total: int = 1000, workers: int = 10, latency: float = LATENCY) -> Outcome:
    """Send so many requests through a middleware to a server, by so many workers that never rest."""
    with simulated_time() as time:
        simulation = _Simulation(time, server, layer, total, latency)
        for _ in range(workers):
            simulation.after(0.0, simulation.work)
        simulation.run()
    return simulation.outcome
