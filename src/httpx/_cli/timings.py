"""
Show how long the phases of each hop of a run took, from what the library knows: `httpx.Timings`.

    hops = Hops()                           hop = one request and its response; a redirect makes another hop
    hops.begin()
    ...                                     hops.watch is the innermost middleware of the client
    hops.finish()
    show(hops, screen, width)

Not here: measuring, but for when the run began and ended; curl's names for the figures (`write_out`).
"""

from __future__ import annotations

from collections.abc import Generator
from time import perf_counter
from typing import Any

import httpx

from .. import _redaction as redaction
from .screen import BLUE, CYAN, GREEN, GREY, RED, YELLOW, Screen

# What a phase is called on the screen -> its name in `httpx.Timings`, in the order of an exchange.
PHASES = {
    "queue": "queue",
    "DNS": "resolve",
    "connect": "connect",
    "TLS": "tls",
    "send": "send",
    "wait": "wait",
    "receive": "receive",
}
_COLOURS = {
    "queue": GREY,
    "DNS": CYAN,
    "connect": BLUE,
    "TLS": "35",
    "send": YELLOW,
    "wait": GREEN,
    "receive": "32;1",
}

_MIN_BAR = 10
_MAX_BAR = 60
# Indentation, name of the phase and milliseconds in front of the bar.
_LEFT = 26


class Span:
    """A span of time, in seconds from the beginning of the run."""

    __slots__ = ("seconds", "start")

    def __init__(self, start: float, seconds: float) -> None:
        self.start = start
        self.seconds = seconds


class Hop:
    """
    A request and its response.

    Attributes:
        title: method and URL.
        status: of the response; None without one.
        start: seconds from the beginning of the run.
        total: seconds.
        spans: phase -> span, one after the other.
        connected: a connection was made for it.
    """

    def __init__(self, request: httpx.Request, status: int | None, start: float, timings: httpx.Timings) -> None:
        self.title = f"{request.method} {redaction.address(request.url.copy_with(query=None))}"
        self.status = status
        self.start = start
        self.total = timings.total
        self.connected = timings.reused is False
        self.spans: dict[str, Span] = {}
        for phase, name in PHASES.items():
            seconds = getattr(timings, name)
            if seconds is not None:
                self.spans[phase] = Span(start, seconds)
                start += seconds


class Hops:
    """
    The hops of a run.

    Attributes:
        hops: set by `finish`.
        total: seconds, set by `finish`.
    """

    def __init__(self) -> None:
        self._zero = perf_counter()
        self._ended: list[httpx.Response | Hop] = []
        self.hops: list[Hop] = []
        self.total = 0.0

    def begin(self) -> None:
        """Begin to measure now."""
        self._zero = perf_counter()

    def watch(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
        """Note each response, whose timings are looked at when the run ends, and each failure. A middleware."""
        try:
            response = yield request
        except httpx.HTTPError as exc:
            timings = exc.timings
            if timings is not None:
                self._ended.append(Hop(request, None, perf_counter() - self._zero - timings.total, timings))
            raise
        self._ended.append(response)
        return response

    def finish(self) -> None:
        """End the run."""
        self.total = perf_counter() - self._zero
        self.hops = [one if isinstance(one, Hop) else self._hop_of(one) for one in self._ended]

    def _hop_of(self, response: httpx.Response) -> Hop:
        start = self._zero if response._started is None else response._started
        return Hop(response.request, response.status_code, start - self._zero, response.timings)

    @property
    def connections(self) -> int:
        """Return the number of connections that were made."""
        return sum(hop.connected for hop in self.hops)

    def as_list(self) -> list[dict[str, Any]]:
        """Return the hops for JSON: times in seconds; each `start` counts from the beginning of the run."""
        return [
            {
                "title": hop.title,
                "status": hop.status,
                "start": hop.start,
                "total": hop.total,
                "phases": {
                    phase.lower(): {"start": span.start, "seconds": span.seconds} for phase, span in hop.spans.items()
                },
            }
            for hop in self.hops
        ]

    def until(self, phase: str) -> float:
        """Return the seconds from the beginning of the run to the end of a phase of the last hop, or 0.0."""
        span = self.hops[-1].spans.get(phase) if self.hops else None
        return 0.0 if span is None else span.start + span.seconds


def show(timings: Hops, screen: Screen, width: int) -> None:
    """Draw the hops, one below the other, on one time axis."""
    room = max(_MIN_BAR, min(width - _LEFT - 1, _MAX_BAR))
    for hop in timings.hops:
        screen.painted("1", hop.title)
        if hop.status is not None:
            screen.painted(GREEN if hop.status < 400 else RED, f"  {hop.status}")
        screen.painted(GREY, f"  {_milliseconds(hop.total)}\n")
        for phase, span in hop.spans.items():
            screen.write(f"  {phase:<8}")
            screen.write(f"{_milliseconds(span.seconds):>14}  ")
            blank, bar = _bar(span, timings.total, room)
            screen.write(" " * blank)
            screen.painted(_COLOURS[phase], screen.block * bar)
            screen.write("\n")
    if len(timings.hops) != 1:  # none if nothing could be sent
        screen.write(f"  {'total':<8}{_milliseconds(timings.total):>14}\n")


def _bar(span: Span, total: float, room: int) -> tuple[int, int]:
    """Return the number of blank columns before a bar, and its width: at least one."""
    if total <= 0:
        return 0, 1
    blank = min(int(span.start / total * room), room - 1)
    return blank, max(1, min(round(span.seconds / total * room), room - blank))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
