"""
When to ping a silent peer, and when to give it up.

    heartbeat = Heartbeat(interval, timeout, now)
    heartbeat.look(now, heard, is_reading)      NOTHING, PING or GONE; call it every `heartbeat.tick` seconds

Any byte of the peer is a sign of life, and answers a ping. Time counts only while we read: where the caller is slow and
we have stopped reading, silence says nothing about the peer. And each look counts for two ticks at most: a program that
did nothing for a minute, such as a blocked event loop or a suspended machine, has to read first.

Not here: clocks, and what sends the ping.
"""

from __future__ import annotations

NOTHING, PING, GONE = range(3)

# Seconds between two looks: servers give up after 20 seconds without an answer, so this is often enough to answer them.
LONGEST_TICK = 5.0
_LOOKS = 4  # in an interval


class Heartbeat:
    """
    The silence of one peer.

    Args:
        interval: seconds of silence after which to ping; None for never.
        timeout: seconds after the ping in which something must arrive; None for ever.
        now: seconds, any monotonic clock.

    Attributes:
        tick: seconds between two calls of `look`.
        silence: seconds for which the peer has sent nothing while we were reading.
        pinged: a ping was sent since the peer was heard last.
    """

    __slots__ = ("_heard", "_interval", "_seen", "_timeout", "pinged", "silence", "tick")

    def __init__(self, interval: float | None, timeout: float | None, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self.tick = LONGEST_TICK
        if interval is not None:
            self.tick = min(self.tick, interval / _LOOKS)
            if timeout is not None:
                self.tick = min(self.tick, timeout / _LOOKS)
        self._seen = now
        self._heard = 0
        self.silence = 0.0
        self.pinged = False

    def look(self, now: float, heard: int, is_reading: bool = True) -> int:
        """
        Return what is due: PING, GONE, or NOTHING.

        Args:
            heard: a number that grows with everything that arrives.
            is_reading: whether we have read since the last look.
        """
        elapsed, self._seen = now - self._seen, now
        if heard != self._heard:
            self._heard = heard
            self.silence = 0.0
            self.pinged = False
        elif is_reading:
            self.silence += min(elapsed, 2 * self.tick)
        # A look may come a little early.
        silence = self.silence + self.tick / 8
        if self._interval is None or silence < self._interval:
            return NOTHING
        if not self.pinged:
            self.pinged = True
            return PING
        return GONE if self._timeout is not None and silence >= self._interval + self._timeout else NOTHING

    def problem(self) -> str:
        """Return the text of the error after GONE."""
        return (
            f"the peer sent nothing for {self._interval or 0:g} s, and did not answer a ping within "
            f"{self._timeout or 0:g} s"
        )
