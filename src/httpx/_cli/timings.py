"""
Measure the phases of each hop of a run, from the library's trace events.

    timings = Timings()                     hop = one request and its response; a redirect makes another hop
    request.extensions["trace"] = timings.event
    ...
    timings.finish()
    show(timings, screen)

The clock is passed in. Not here: the request of the events (`exchange`), curl's names for the figures (`write_out`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .. import _redaction as redaction
from .screen import BLUE, CYAN, GREEN, GREY, RED, YELLOW, Screen

# In the order of an exchange.
PHASES = ("queue", "DNS", "connect", "TLS", "send", "wait", "receive")
_COLOURS = {
    "queue": GREY,
    "DNS": CYAN,
    "connect": BLUE,
    "TLS": "35",
    "send": YELLOW,
    "wait": GREEN,
    "receive": "32;1",
}

# The phase that an event begins, by its name without ".started"; ".complete" or ".failed" ends the phase.
_PHASE_OF = {
    "pool.acquire_connection": "queue",
    "connection.resolve_host": "DNS",
    "connection.connect_tcp": "connect",
    "connection.connect_unix_socket": "connect",
    "connection.start_tls": "TLS",
    "proxy.connect_tunnel": "connect",
    "proxy.start_tls": "TLS",
    "socks.setup_socks4_connection": "connect",
    "socks.setup_socks5_connection": "connect",
    "socks.start_tls": "TLS",
    "send_request_headers": "send",
    "send_request_body": "send",
    "receive_response_headers": "wait",
}

_MIN_BAR = 10
_MAX_BAR = 60
# Indentation, name of the phase and milliseconds in front of the bar.
_LEFT = 26


class Span:
    """A span of time, in seconds from the beginning of the run; `end` is None until it ends."""

    __slots__ = ("end", "start")

    def __init__(self, start: float, end: float | None = None) -> None:
        self.start = start
        self.end = end

    @property
    def seconds(self) -> float:
        """Return the duration."""
        return 0.0 if self.end is None else self.end - self.start


class Hop:
    """
    A request and its response.

    Attributes:
        title: method and URL.
        status: of the response; None without one.
        start, end: seconds from the beginning of the run.
        spans: phase -> span. A repeated phase (a tunnel's TLS, a second address) is one span over both.
    """

    def __init__(self, start: float) -> None:
        self.title = ""
        self.status: int | None = None
        self.start = start
        self.end: float | None = None
        self.spans: dict[str, Span] = {}

    def begin(self, phase: str, now: float) -> None:
        """Begin or continue a phase."""
        span = self.spans.setdefault(phase, Span(now))
        span.end = None

    def stop(self, phase: str, now: float) -> None:
        """End a phase, which a later event may continue."""
        span = self.spans.get(phase)
        if span is not None:
            span.end = now


class Timings:
    """
    A collector of the times of hops.

    Args:
        clock: returns seconds, with any zero.

    Attributes:
        hops: the hops so far.
        connections: the number of connections that were made.
        total: seconds, set by `finish`.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._zero = clock()
        self.hops: list[Hop] = []
        self.connections = 0
        self.total = 0.0

    def begin(self) -> None:
        """Begin to measure now."""
        self._zero = self._clock()

    def event(self, name: str, info: dict[str, Any]) -> None:
        """Take an event of the extension `trace`."""
        now = self._clock() - self._zero
        what, _, state = name.rpartition(".")
        short = what.partition(".")[2] if what.startswith("http") else what
        hop = self._hop(short, state, now)
        if short == "send_request_headers" and state == "started":
            request = info.get("request")
            hop.title = "" if request is None else _title(request)
        if short in ("connection.connect_tcp", "connection.connect_unix_socket") and state == "complete":
            self.connections += 1
        phase = _PHASE_OF.get(short)
        if phase is not None:
            if state == "started":
                self._end_of_queue(hop, phase, now)
                hop.begin(phase, now)
            else:
                hop.stop(phase, now)
        if short == "receive_response_headers" and state == "complete":
            hop.status = _status_in(info.get("return_value"))
            hop.begin("receive", now)
        elif short in ("receive_response_body", "response_closed") and state != "started":
            hop.stop("receive", now)
            hop.end = now

    def _hop(self, short: str, state: str, now: float) -> Hop:
        """Return the hop of an event; a new one for the first event after a response's head."""
        if not self.hops:
            self.hops.append(Hop(0.0))
        hop = self.hops[-1]
        has_head = "receive" in hop.spans or (hop.spans.get("wait") is not None and hop.spans["wait"].end is not None)
        if has_head and state == "started" and short in _PHASE_OF and short != "receive_response_headers":
            hop.stop("receive", hop.end if hop.end is not None else now)
            hop.end = hop.end if hop.end is not None else now
            hop = Hop(now)
            self.hops.append(hop)
        return hop

    def _end_of_queue(self, hop: Hop, phase: str, now: float) -> None:
        """Count the time before the first event of a hop as queue, too."""
        if phase != "queue" and not hop.spans:
            hop.spans["queue"] = Span(hop.start, now)

    def finish(self) -> None:
        """End the run; may be called again."""
        self.total = self._clock() - self._zero
        for hop in self.hops[-1:]:
            if hop.end is None:
                hop.end = self.total
            for span in hop.spans.values():
                if span.end is None:
                    span.end = self.total

    def as_list(self) -> list[dict[str, Any]]:
        """Return the hops for JSON: times in seconds; each `start` counts from the beginning of the run."""
        return [
            {
                "title": hop.title,
                "status": hop.status,
                "start": hop.start,
                "total": (self.total if hop.end is None else hop.end) - hop.start,
                "phases": {
                    phase.lower(): {"start": hop.spans[phase].start, "seconds": hop.spans[phase].seconds}
                    for phase in PHASES
                    if phase in hop.spans
                },
            }
            for hop in self.hops
        ]

    def until(self, phase: str) -> float:
        """Return the seconds from the beginning of the run to the end of a phase of the last hop, or 0.0."""
        span = self.hops[-1].spans.get(phase) if self.hops else None
        return 0.0 if span is None or span.end is None else span.end


def _title(request: Any) -> str:
    return f"{request.method} {redaction.address(request.url.copy_with(query=None))}"


def _status_in(head: Any) -> int | None:
    """Return the status of a head: (version, status, ...) of HTTP/1.1, or (status, fields) of HTTP/2."""
    return next((part for part in head if isinstance(part, int)), None) if isinstance(head, tuple) else None


def show(timings: Timings, screen: Screen, width: int) -> None:
    """Draw the hops, one below the other, on one time axis."""
    room = max(_MIN_BAR, min(width - _LEFT - 1, _MAX_BAR))
    for hop in timings.hops:
        end = timings.total if hop.end is None else hop.end
        screen.painted("1", hop.title or "(no request was sent)")
        if hop.status is not None:
            screen.painted(GREEN if hop.status < 400 else RED, f"  {hop.status}")
        screen.painted(GREY, f"  {_milliseconds(end - hop.start)}\n")
        for phase in PHASES:
            span = hop.spans.get(phase)
            if span is None:
                continue
            screen.write(f"  {phase:<8}")
            screen.write(f"{_milliseconds(span.seconds):>14}  ")
            blank, bar = _bar(span, timings.total, room)
            screen.write(" " * blank)
            screen.painted(_COLOURS[phase], screen.block * bar)
            screen.write("\n")
    if len(timings.hops) != 1:  # none with an application in this process
        screen.write(f"  {'total':<8}{_milliseconds(timings.total):>14}\n")


def _bar(span: Span, total: float, room: int) -> tuple[int, int]:
    """Return the number of blank columns before a bar, and its width: at least one."""
    if total <= 0:
        return 0, 1
    blank = min(int(span.start / total * room), room - 1)
    return blank, max(1, min(round(span.seconds / total * room), room - blank))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
