"""
Until when each wait of a request lasts, and what ends it before.

    wait       lasts until                                              ended by
    pool       `queue_limit`, from its begin                            a connection, or the order to dial
    connect    `limit("connect")`, from the begin of the dial           a connection that takes a request
    write      `limit("write")`, from when the socket took bytes last   bytes that the socket takes; a head, or bytes of
                                                                        a body for its reader
    read       `limit("read")`, from when the response went on last     bytes of the final response
    idle       the same for a body, if the extension "idle_timeout" is given in place of the read timeout
    patience   `patience`, from when the request's head was sent;       100 (Continue), or the final response
               the read timeout bounds it
    total      the total timeout, from the begin of the request         nothing

A wait has one deadline, which is computed when it begins. What arrives and brings no progress does not move it: 1xx
responses, parts of a TLS record, a PING, and during a write the bytes of a response that was not asked for yet. While
something is unsent a wait is a write, also if it is for something else as well.

Not here: clocks and waiting, which are the shells'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._protocol.exchange import PATIENCE

# Seconds from which on a timeout counts as none: poll() counts milliseconds in 32 bits, which is 24 days.
FOREVER = 2_000_000.0
# Seconds by which a loop's timer may fire early.
TIMER_SLACK = 0.002
# Seconds in which a body that was not asked for, and that only the end of the connection would end, must be whole.
SHORT_DRAIN = 0.5
# Seconds in which such a body with a known end must be whole where there is no read timeout.
LONG_DRAIN = 5.0

NO_TIMEOUT: Mapping[str, float | None] = {}
NO_EXTENSIONS: Mapping[str, Any] = {}


def total_of(timeout: Mapping[str, Any]) -> float:
    """
    Return the total timeout that the caller gave, in seconds, for a message; 0.0 without one.

    In the midst of a call, or of one that is a part of a download, "total" is only what was left of it:
    `_transports.deadlines.Rest`, whose `given` is what it is the rest of.
    """
    return getattr(timeout, "given", timeout).get("total") or 0.0


class Limits:
    """
    The time limits of one request.

    Args:
        timeout: seconds for connect, read, write, pool and total; what is missing or None has no limit.
        now: when the request began, on the shell's clock.

    Attributes:
        deadline: when the total timeout ends, on the shell's clock; None if there is none.
        read: seconds of the read timeout; None if there is none.
    """

    __slots__ = ("deadline", "read", "timeout")

    def __init__(self, timeout: Mapping[str, float | None], now: float) -> None:
        self.timeout = timeout
        read, total = timeout.get("read"), timeout.get("total")
        self.read = read if read is None or read < FOREVER else None
        self.deadline = None if total is None or total >= FOREVER else now + total

    def seconds(self, phase: str) -> float:
        """Return the timeout of a phase, or the total one, as the caller gave it, for a message."""
        return total_of(self.timeout) if phase == "total" else self.timeout.get(phase) or 0.0

    def limit(self, phase: str, now: float) -> float | None:
        """Return until when the phase that begins now may last: its own timeout or the total one, the earlier one."""
        seconds = self.timeout.get(phase)
        if seconds is None or seconds >= FOREVER:
            return self.deadline
        own = now + seconds
        return own if self.deadline is None or own < self.deadline else self.deadline

    def patience(self, now: float, extensions: Mapping[str, Any] = NO_EXTENSIONS) -> float | None:
        """
        Return until when a 100 (Continue) is waited for, from now on; None for ever.

        Args:
            extensions: of the request. "expect_timeout" has the seconds in place of `PATIENCE`; None for no limit of
                its own.
        """
        seconds = extensions.get("expect_timeout", PATIENCE)
        until = self.limit("read", now)
        if seconds is None or seconds >= FOREVER:
            return until
        own: float = now + seconds
        return own if until is None or own < until else until

    @staticmethod
    def insists(extensions: Mapping[str, Any]) -> bool:
        """Return whether the body must not be sent without 100 (Continue): then the end of the wait is an error."""
        seconds = extensions.get("expect_timeout", PATIENCE)
        return seconds is None or seconds >= FOREVER

    def is_late(self, now: float) -> bool:
        """Return whether the total timeout is over. Where something always arrives, no wait would notice."""
        return self.deadline is not None and now >= self.deadline

    def hurry(self, now: float, ends_by_itself: bool) -> None:
        """
        Let the rest of the request end soon: the body that is still to come was not asked for.

        Args:
            now: on the shell's clock.
            ends_by_itself: the body has a known end, and is not ended by the end of the connection.
        """
        read = self.timeout.get("head", self.read)  # `idle` has kept it
        seconds = SHORT_DRAIN if not ends_by_itself else LONG_DRAIN if read is None else read
        until = now + seconds
        if self.deadline is None or until < self.deadline:
            self.deadline = until

    def idle(self, seconds: float | None) -> None:
        """Bound the waits for the rest of the body, each by so many seconds, in place of the read timeout."""
        more = {"read": seconds, "idle": seconds, "head": self.timeout.get("head", self.read)}  # a body may begin twice
        # The deadline is set, so that "total" is for messages only from now on.
        self.timeout = {**self.timeout, **more, "total": total_of(self.timeout) or None}
        self.read = seconds if seconds is None or seconds < FOREVER else None

    def queue_limit(self, now: float, awaits_dial: bool) -> float | None:
        """
        Return until when the request may wait for a connection that others have, or make.

        Args:
            now: on the shell's clock.
            awaits_dial: it waits for the end of another request's dial, and not because there is no room (HTTP/2). That
                takes as long as a dial may, and should not look like a pool that is full.
        """
        if not awaits_dial:
            return self.limit("pool", now)
        connected = self.limit("connect", now)
        return None if connected is None else self.limit("pool", connected)
