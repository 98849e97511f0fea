"""
When a request may be sent, and how many at the same time: arithmetic of `RateLimit`.

    Schedule     slots in time at a rate, with a burst (GCRA: one float says when the next slot is)
    Turn         the slots of one request in several schedules
    Places       requests at the same time; a number, or one that is found ("auto")
    Pace         the rate that a server was seen to accept, after it refused some

Nothing here asks a clock, takes a lock or waits: `now` is passed in (seconds, monotonic), callers hold a lock.

    slots   |  |  |  |  |          |  |  |      one each `interval`, reserved on arrival, so first come first served
                        └─ pause ──┘            a pause moves all slots after it; requests see that when they wake

Not here: what a server says (`rate_fields`), keys, waiting, the clock (`rate`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from .._latch import Latch

# Seconds that are not worth a pause: sums of floats are off by less.
SLACK = 1e-6

FIXED, AUTO, START = range(3)  # kinds of `Places`

# The number of requests at the same time that "auto" begins with, and the factor after a refusal.
FIRST_PLACES = 8
_DECREASE = 0.7
_MAX_PLACES = 1_000.0
# How fast "auto" returns to the number that was refused last, and how slowly it tries one more: in places each round
# trip. Plain +1 leaves an eighth of a server unused (16 places: 11, 12, ... 17, and again), and 1.4 % are refused.
_RETURN, _PROBE, _EXPLORE = 4.0, 1 / 8, 1.0
# One more is not tried for so many times the pause that the last refusal cost.
_PATIENCE = 10.0

# After a pace was found it grows by 5 % in this time, by 40 % in twice that and so on, with the third power: it stays
# close to what was accepted for long, and yet finds a limit that was raised.
_PACE_TIME = 60.0
_PACE_GROWTH = 0.05
_PACE_FORGOTTEN = 10.0  # when it has grown to so many times what was accepted, the refusal was a passing one
# A refusal lowers the pace to what was accepted, but by no more than this: the time between two refusals is short, and
# how much of a pause a server wasted is not known. By more if one follows another.
_STEP, _STEP_AGAIN, _WASTED = 0.98, 0.9, 0.7
# So many must have been accepted before the first refusal for a pace.
_ENOUGH = 10
# Of the rate that the user gave, once that was refused: a window of the server's may get one more than it allows.
_BELOW_MOST = 0.99
# An idle time of a key after which what was accepted before says nothing about a rate. Seconds.
_IDLE = 2.0


class Schedule:
    """
    Slots at a rate. One float is the state: when the slots that were taken are used up (GCRA).

    Attributes:
        interval: seconds between two slots; 0.0 for no limit.
        resume: until when there are none.
        delay: seconds by which pauses have moved the slots, all together.
    """

    __slots__ = ("_freed", "_until", "delay", "interval", "resume", "tolerance")

    def __init__(self, interval: float = 0.0, burst: float = 1.0) -> None:
        self.interval = interval
        self.tolerance = interval * (burst - 1)
        self._until = 0.0
        self.resume = 0.0
        self.delay = 0.0
        self._freed: list[float] = []  # a heap of slots that were given back

    def earliest(self, now: float) -> float:
        """Return when the next slot is."""
        freed = self._freed
        if freed:
            while freed and freed[0] < now:
                heappop(freed)
            if freed:
                return max(freed[0], self.resume)
        return max(now, self.resume, self._until - self.tolerance)

    def take_now(self, now: float) -> bool:
        """Take a slot if there is one now; return whether there was. For the many requests that nothing limits."""
        if self.resume > now or self._freed:
            return False
        interval = self.interval
        if interval:
            until = self._until
            if until - self.tolerance > now + SLACK:
                return False
            self._until = (until if until > now else now) + interval
        return True

    def take(self, at: float) -> tuple[float, float]:
        """Take the slot at this time, not before the earliest. Returns what `give_back` wants to know."""
        before = self._until
        if self._freed and self._freed[0] <= at:
            heappop(self._freed)
            return before, math.nan
        self._until = max(before, at) + self.interval
        return before, self._until

    def give_back(self, at: float, taken: tuple[float, float]) -> None:
        """Give back a slot that was not used; the next request that asks gets it, if its time has not passed."""
        before, after = taken
        if after == self._until:  # nothing has happened since
            self._until = before
        elif self.interval:
            heappush(self._freed, at)

    def set_rate(self, interval: float, burst: float = 1.0) -> None:
        """Change the rate for slots that are not taken yet."""
        self.interval = interval
        self.tolerance = interval * (burst - 1)

    def owe(self, now: float, slots: float) -> None:
        """Take note of slots that were used elsewhere, or before the rate was known."""
        self._until = max(self._until, now + slots * self.interval)

    def pause(self, now: float, until: float, is_full: bool = False) -> None:
        """
        Allow no slot until then, and move those that were taken by as much.

        Args:
            is_full: a burst is allowed after it.
        """
        shift = until - max(now, self.resume)
        if shift <= 0:
            return
        self.delay += shift
        self.resume = until
        if is_full:
            self._until = until
        elif self._until - self.tolerance <= now + self.interval + SLACK:  # none of its slots is to come
            self._until = max(self._until, until + self.tolerance)
        else:
            self._until += shift
        if self._freed:
            self._freed = [at + shift for at in self._freed]
            heapify(self._freed)


def earliest(schedules: Iterable[Schedule], now: float) -> float:
    """Return the first time from now on at which all have a slot."""
    return max([schedule.earliest(now) for schedule in schedules], default=now)


class Turn:
    """
    The slots of one request: the same time in several schedules.

    Args:
        at: the time, not before `earliest`. Pauses may move it.
    """

    __slots__ = ("_taken", "at")

    def __init__(self, schedules: Iterable[Schedule], at: float) -> None:
        self.at = at
        self._taken = [(schedule, schedule.take(at), schedule.delay) for schedule in schedules]

    def due(self) -> float:
        """Return when the request may be sent."""
        return self.at + max([schedule.delay - delay for schedule, _, delay in self._taken], default=0.0)

    def give_back(self) -> None:
        for schedule, taken, delay in self._taken:
            schedule.give_back(self.at + schedule.delay - delay, taken)


class Places:
    """
    Requests at the same time, first come first served.

    Who has a place and who waits is one record each, by holder, which only single calls change: so a request that was
    interrupted anywhere can `leave`, once or twice.

    Args:
        limit: how many now; its whole part counts.
        kind: `FIXED`; `AUTO` finds the limit; `START` is for a server that nothing is known of, and ends soon.

    Attributes:
        holders: of the places that are taken.
        waiting: those who wait, with the latches that are set when they have a place.
    """

    __slots__ = ("_ceiling", "_decreased", "_most", "_patient_until", "holders", "kind", "limit", "waiting")

    def __init__(self, limit: float, kind: int = FIXED) -> None:
        self.limit = float(limit)
        self.kind = kind
        self.holders: set[object] = set()
        self.waiting: dict[object, Latch] = {}
        self._most = _MAX_PLACES
        self._ceiling: float | None = None  # the most that were accepted before the last refusal
        self._decreased = -math.inf
        self._patient_until = -math.inf

    def take(self, holder: object) -> Latch | None:
        """Take a place: None if there is one, else a latch that is set when this holder has one."""
        if len(self.holders) < int(self.limit) and not self.waiting:
            self.holders.add(holder)
            return None
        latch = self.waiting[holder] = Latch()
        return latch

    def leave(self, holder: object) -> None:
        """Give back a place, or wait for one no longer, whichever it is; the next ones get theirs."""
        self.waiting.pop(holder, None)
        self.holders.discard(holder)
        self._serve()

    def _serve(self) -> None:
        while self.waiting and len(self.holders) < int(self.limit):
            holder, latch = next(iter(self.waiting.items()))
            self.holders.add(holder)
            latch.set()
            self.waiting.pop(holder, None)

    def cap(self, most: float) -> None:
        """Take note of the number that the server declared."""
        self._most = max(1.0, most)
        self.limit = min(self.limit, self._most)

    def accepted(self, now: float) -> None:
        """Take note of a response, while its place is taken: the limit grows if it is what limits."""
        if self.kind == START:
            self.limit += 1
        elif self.kind == AUTO and len(self.holders) * 2 >= self.limit:
            ceiling = self._ceiling
            if ceiling is None or self.limit >= ceiling + 1:
                step = _EXPLORE
            elif self.limit < ceiling:
                step = _RETURN
            else:
                step = _PROBE if now >= self._patient_until else 0.0
            self.limit = min(self._most, self.limit + step / self.limit)

    def refused(self, sent: float, now: float, seconds: float = 0.0) -> bool:
        """
        Take note of a refusal, with a pause of so many seconds, of a request that was sent then.

        Those of one round trip count once. Returns whether there may have been too many requests at the same time.
        """
        if self.kind != AUTO or sent < self._decreased:
            return self.kind == AUTO
        explains = self._ceiling is None or self.limit >= self._ceiling + 1
        self._decreased = now
        self._patient_until = now + seconds * _PATIENCE
        self._ceiling = max(1.0, math.floor(self.limit) - 1.0)
        self.limit = max(1.0, self.limit * _DECREASE)
        return explains

    def end(self) -> None:
        """Limit nothing any more."""
        self.limit = 1e9
        self._serve()


class Pace:
    """
    The rate that a server was seen to accept: what it accepted between two refusals, by the time between them.

    Args:
        most: the rate that the user gave.

    Attributes:
        schedule: has the rate once there was a refusal.
    """

    __slots__ = (
        "_accepted",
        "_begun",
        "_found",
        "_is_busy_since_refusal",
        "_last",
        "_most",
        "_rate",
        "_time",
        "schedule",
    )

    def __init__(self, most: float = float("inf")) -> None:
        self.schedule: Schedule | None = None
        self._most = most
        self._accepted = 0
        self._begun = 0.0  # since when they are counted
        self._is_busy_since_refusal = False
        self._last = float("-inf")  # when a request was sent last
        self._rate = 0.0
        self._found = 0.0  # when the rate was
        self._time = _PACE_TIME

    def accepted(self, sent: float) -> None:
        """Take note of a response that is not a refusal, to a request that was sent then."""
        if sent - self._last > _IDLE:
            self._notice_idleness(sent)
        self._last = sent
        self._accepted += 1

    def _notice_idleness(self, sent: float) -> None:
        interval = 0.0 if self.schedule is None else self.schedule.interval
        if sent - self._last > _IDLE + 2 * interval:
            # The server's bucket may be full again: what follows is not to be counted from the refusal on.
            self._begun, self._accepted, self._is_busy_since_refusal = sent, 0, False

    def refused(self, sent: float, now: float, seconds: float) -> None:
        """Take note of a refusal now, with a pause of so many seconds, of a request sent after the refusal before."""
        self._notice_idleness(sent)
        is_again = self._is_busy_since_refusal and now - self._begun < 10 * max(seconds, 1.0)
        # From the first refusal on the server is known to have had nothing left. Before that it may have had a burst,
        # and it has something again within the pause, which is told in whole seconds.
        span = now - self._begun + (-_WASTED if self._is_busy_since_refusal else 0.5) * seconds
        seen = self._accepted / max(span, 1e-3)
        current = self._most if self.schedule is None else self._current(now)
        # Few that were accepted may be the last ones of a quota that others have used up.
        is_known = self._accepted >= (1 if self._is_busy_since_refusal else _ENOUGH)
        self._found = self._last = now + seconds
        self._begun, self._accepted, self._is_busy_since_refusal = now, 0, True
        if current < math.inf:
            seen = min(max(seen, current * (_STEP_AGAIN if is_again else _STEP)), current * _STEP)
        elif not is_known:
            return
        self._rate = max(seen, 1 / max(seconds, 1.0))
        self._time = max(_PACE_TIME, 5 * seconds)
        self.schedule = self.schedule or Schedule()
        self.schedule.set_rate(1 / self._rate)

    def _current(self, now: float) -> float:
        grown = self._rate * (1 + _PACE_GROWTH * (max(0.0, now - self._found) / self._time) ** 3)
        return min(grown, self._most * _BELOW_MOST)

    def scheduled(self, now: float) -> Schedule | None:
        """Return the schedule at its rate of now; None if no refusal is worth remembering."""
        if self.schedule is not None:
            rate = self._current(now)
            if rate > self._rate * _PACE_FORGOTTEN:
                self.schedule = None
            else:
                self.schedule.set_rate(1 / rate)
        return self.schedule
