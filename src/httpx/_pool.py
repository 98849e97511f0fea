"""
Who gets which connection.

The pool is bookkeeping only: it never touches a socket, a clock or a lock. Callers pass `now` (seconds, any monotonic
clock) and carry out what they are told:

    acquire(key, now)   -> a connection        idle until now, the most recently used one of its key
                        -> a Ticket               with `dial` set: below the limit, connect and then call `dialled`;
                                               without: at the limit, wait until the ticket is served
    release(connection, reusable, now)         the exchange is over
    dialled(ticket, connection, now)           the dial that the ticket asked for succeeded
    dial_failed(ticket, error)                 ... or failed, or was cancelled, or never began
    abandon(ticket, now)                       whoever waits for the ticket gives up
    remove(connection)                         it died while it was idle

After each of them, `take_chores()` gives the connections that are to be closed and the tickets that were served
meanwhile, while `has_chores` is true. A ticket is served when it gets a `connection`, an `error`, or the order to
`dial`.

Rules:
- Tickets are served in the order in which they came; one whose key is at `max_per_key` keeps its place meanwhile. A
  waiter takes what comes first, its own dial or a connection that somebody else gives back; the dial that lost goes on
  and serves the next one (late binding).
- At the limit an idle connection of another origin, the one unused for longest, makes room.
- `max_keepalive` counts idle connections only; the ones unused for longest go first.
- Every operation takes the same steps however many connections and waiters there are. (One of the steps bisects a
  list with one entry for each key that waits.)

A key says which requests may share a connection: (scheme, host, port, ...); the pool only compares keys.

Not here: connections that carry several requests at once (`_sharing`), dialling (`_engine`), deciding whether a
connection is reusable (`_protocol`), waiting (the shells).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

Key = Hashable
C = TypeVar("C", bound=Hashable)  # a connection: opaque, told apart by identity

_FOREVER = float("inf")
_UNKNOWN = object()  # a key may be anything, also None


class Ticket(Generic[C]):
    """
    A place in the queue, for one request.

    Attributes:
        key: which connections would do.
        number: its place in the order of arrival.
        dial: the owner should connect now and then call `dialled` or `dial_failed`.
        connection: what the ticket was served with, or None.
        error: why its dial failed, or None.
        signal: for the shell: how the owner is woken (an event, a future); the pool ignores it.
    """

    __slots__ = ("connection", "dial", "error", "key", "number", "signal")

    def __init__(self, key: Key, number: int) -> None:
        self.key = key
        self.number = number
        self.dial = False
        self.connection: C | None = None
        self.error: BaseException | None = None
        self.signal: Any = None

    @property
    def served(self) -> bool:
        """Is there an answer: a connection or an error?"""
        return self.connection is not None or self.error is not None


class Pool(Generic[C]):
    """
    The connections of one transport.

    Args:
        max_connections: of all kinds together; None for no limit.
        max_keepalive: of those, how many may be idle; None for no limit.
        max_per_key: connections of one key; None for no limit.
        expiry: seconds that an idle connection stays usable; None for ever.
        late_binding: may a ticket with a dial in flight be served by somebody else's connection?
    """

    def __init__(
        self,
        max_connections: int | None = None,
        max_keepalive: int | None = None,
        max_per_key: int | None = None,
        expiry: float | None = None,
        late_binding: bool = True,
    ) -> None:
        self._max = _FOREVER if max_connections is None else max_connections
        self._max_idle = _FOREVER if max_keepalive is None else max_keepalive
        self._max_per_key = _FOREVER if max_per_key is None else max_per_key
        self._expiry = _FOREVER if expiry is None else expiry
        self._late_binding = late_binding
        self.has_chores = False
        self._close: list[C] = []
        self._wake: list[Ticket[C]] = []
        self._keys: dict[C, Key] = {}  # every open connection
        self._dials = 0  # dials in flight, each holding a slot
        self._per_key: dict[Key, int] = {}  # slots held by open connections and dials
        # Idle connections twice: oldest first over all keys (OrderedDict, because taking the first one of a plain dict
        # again and again is quadratic), and newest last for each key.
        self._idle: OrderedDict[C, float] = OrderedDict()
        self._idle_of: dict[Key, dict[C, float]] = {}
        # Tickets that have no answer yet, oldest first: with a dial in flight, and waiting for a slot.
        self._dialling: dict[Key, OrderedDict[Ticket[C], None]] = {}
        self._waiting: dict[Key, OrderedDict[Ticket[C], None]] = {}
        # (number, key) of the oldest waiting ticket of each key that is below `max_per_key`, sorted: who is next when a
        # slot becomes free. One entry for each key, so finding the next one does not depend on how many wait.
        self._line: list[tuple[int, Key]] = []
        self._place_of: dict[Key, int] = {}  # the same by key
        self._number = 0
        self._expiry_due = -_FOREVER  # no idle connection is too old before this moment

    # What the shells call.

    def acquire(self, key: Key, now: float) -> C | Ticket[C]:
        """An idle connection for `key`, now the caller's, or a ticket."""
        idle = self._idle_of.get(key)
        if idle:
            connection, expires = idle.popitem()
            del self._idle[connection]
            if expires > now:
                return connection
            self._drop(connection)
        self._expire(now)
        self._number += 1
        ticket: Ticket[C] = Ticket(key, self._number)
        self._place(ticket)
        return ticket

    def release(self, connection: C, reusable: bool, now: float) -> None:
        """
        Take back a connection whose exchange is over.

        Args:
            connection: from `acquire` or from a ticket.
            reusable: False if it is closed, or in a state in which another exchange must not begin.
            now: seconds.
        """
        key = self._keys.get(connection, _UNKNOWN)
        if key is _UNKNOWN:
            return  # `shut` gave it out to be closed, and closing it again could hit somebody else's descriptor
        if not reusable:
            self._drop(connection)
            return
        ticket = self._entitled(key) if self._dialling or self._waiting else None
        if ticket is not None:
            self._answer(ticket, connection)
        elif self._line:
            # The oldest waiter needs another origin, and there is no other room for it.
            self._drop(connection)
        else:
            expires = now + self._expiry
            self._idle[connection] = expires
            idle = self._idle_of.get(key)
            if idle is None:
                self._idle_of[key] = {connection: expires}
            else:
                idle[connection] = expires
            if len(self._idle) > self._max_idle:
                self._evict()
            if now >= self._expiry_due:
                self._expire(now)

    def dialled(self, ticket: Ticket[C], connection: C, now: float) -> None:
        """A new connection is there; if the ticket was served meanwhile, it goes to the next or becomes idle."""
        self._dials -= 1
        self._keys[connection] = ticket.key
        if discard(self._dialling, ticket):
            self._answer(ticket, connection)
        else:
            self.release(connection, True, now)

    def dial_failed(self, ticket: Ticket[C], error: BaseException | None = None) -> None:
        """The dial came to nothing; its slot is free again. `error` is for the ticket, if it still waits."""
        self._dials -= 1
        if discard(self._dialling, ticket):
            ticket.error = error
            if error is not None:
                self._wake.append(ticket)
                self.has_chores = True
        self._free(ticket.key)

    def abandon(self, ticket: Ticket[C], now: float) -> None:
        """
        Whoever waited gives up: cancelled or timed out.

        A connection that the ticket was just served with goes back. A dial in flight is the shell's to cancel; it
        reports the end by `dial_failed` as ever.
        """
        connection, ticket.connection = ticket.connection, None
        if connection is not None:
            self.release(connection, True, now)
        elif not discard(self._dialling, ticket) and discard(self._waiting, ticket):
            self._line_up(ticket.key)

    def remove(self, connection: C) -> bool:
        """Forget an idle connection that died. False if it is not idle: then its exchange will notice."""
        if self._idle.pop(connection, None) is None:
            return False
        self._idle_of[self._keys[connection]].pop(connection)
        self._drop(connection)
        return True

    def take_chores(self) -> tuple[list[C], list[Ticket[C]]]:
        """What is to be closed, and whose tickets were served, since the last call."""
        chores = self._close, self._wake
        self._close, self._wake = [], []
        self.has_chores = False
        return chores

    def shut(self) -> list[C]:
        """Forget every connection and return them all, to be closed; from now on none is kept for later."""
        self._idle.clear()
        self._idle_of.clear()
        self._max_idle = 0
        for connection in self.connections:
            self._drop(connection)
        # Also those that were to be closed before, and that nobody has taken as chores yet.
        connections, self._close = self._close, []
        return connections

    @property
    def connections(self) -> list[C]:
        """Every open connection, busy or idle."""
        return list(self._keys)

    def awaits_dial(self, key: Key) -> bool:
        """Do requests of that key wait for the end of another one's dial, which may be for all of them?"""
        return False

    def counts(self) -> tuple[int, int, int, int]:
        """How many connections are open, how many of them idle, how many dials are in flight, how many tickets wait."""
        waiting = sum(map(len, self._waiting.values())) + sum(map(len, self._dialling.values()))
        return len(self._keys), len(self._idle), self._dials, waiting

    def users(self) -> int:
        """How many requests are on a connection now."""
        return len(self._keys) - len(self._idle)

    # What they share.

    def _place(self, ticket: Ticket[C]) -> None:
        """Give a new ticket the order to dial if there is room, else a place among those that wait."""
        key = ticket.key
        if self._may_dial(key):
            if len(self._keys) + self._dials >= self._max and self._idle:
                # Nobody else takes this slot: whoever could use it would not have waited while there was an idle one.
                self._evict()
            if len(self._keys) + self._dials < self._max:
                self._grant(ticket)
                return
        self._waiting.setdefault(key, OrderedDict())[ticket] = None
        self._line_up(key)

    def _may_dial(self, key: Key) -> bool:
        """May one more connection of `key` be made, if there is room for it?"""
        return self._per_key.get(key, 0) < self._max_per_key

    def _line_up(self, key: Key) -> None:
        """Bring the entry of `key` in the line up to date: its oldest ticket, or none if it may not have a slot."""
        waiting = self._waiting.get(key)
        before = self._place_of.get(key)
        number = None
        if waiting and self._may_dial(key):
            number = next(iter(waiting)).number
        if number == before:
            return
        if before is not None:
            del self._line[bisect_left(self._line, (before,))]
            del self._place_of[key]
        if number is not None:
            insort(self._line, (number, key))  # numbers are unique, so keys are never compared
            self._place_of[key] = number

    def _grant(self, ticket: Ticket[C]) -> None:
        key = ticket.key
        self._dials += 1
        self._per_key[key] = self._per_key.get(key, 0) + 1
        self._dialling.setdefault(key, OrderedDict())[ticket] = None
        ticket.dial = True

    def _entitled(self, key: Key) -> Ticket[C] | None:
        """Remove and return the ticket that a connection of `key` belongs to: the oldest that can use it."""
        if self._late_binding and key in self._dialling:
            return pop_first(self._dialling, key)
        waiting = self._waiting.get(key)
        if not waiting or (self._line and self._line[0][0] < next(iter(waiting)).number):
            return None
        ticket = pop_first(self._waiting, key)
        self._line_up(key)
        return ticket

    def _answer(self, ticket: Ticket[C], connection: C) -> None:
        # `dial` stays as it is: where it is set, that dial is in flight and will serve somebody else.
        ticket.connection = connection
        self._wake.append(ticket)
        self.has_chores = True

    def _evict(self) -> None:
        """Close the idle connection that was unused for longest."""
        connection, _ = self._idle.popitem(last=False)
        del self._idle_of[self._keys[connection]][connection]
        self._drop(connection)

    def _expire(self, now: float) -> None:
        """Close idle connections that are too old: they stand first, so this costs nothing while there are none."""
        while self._idle:
            oldest = next(iter(self._idle.values()))
            if oldest > now:
                self._expiry_due = oldest
                return
            self._evict()
        self._expiry_due = now + self._expiry

    def _drop(self, connection: C) -> None:
        """Forget a connection that is not (any more) among the idle ones; the shell closes it."""
        key = self._keys.pop(connection)
        self._close.append(connection)
        self.has_chores = True
        self._free(key)

    def _free(self, key: Key) -> None:
        """A slot of `key` became free: the oldest ticket that may use it is told to dial."""
        count = self._per_key[key] - 1
        if count:
            self._per_key[key] = count
        else:
            del self._per_key[key]
            self._idle_of.pop(key, None)  # empty: an idle connection would hold a slot
        if key in self._waiting:
            self._line_up(key)
        if self._line and len(self._keys) + self._dials < self._max:
            self._grant_first()

    def _grant_first(self) -> None:
        """The first in the line is told to dial."""
        ticket = pop_first(self._waiting, self._line[0][1])
        self._grant(ticket)
        self._line_up(ticket.key)
        self._wake.append(ticket)
        self.has_chores = True


def discard(tickets: dict[Key, OrderedDict[Ticket[C], None]], ticket: Ticket[C]) -> bool:
    """Take `ticket` out of the queue of its key; False if it is not in there."""
    queue = tickets.get(ticket.key)
    if queue is None or ticket not in queue:
        return False
    del queue[ticket]
    if not queue:
        del tickets[ticket.key]
    return True


def pop_first(tickets: dict[Key, OrderedDict[Ticket[C], None]], key: Key) -> Ticket[C]:
    queue = tickets[key]
    ticket, _ = queue.popitem(last=False)
    if not queue:
        del tickets[key]
    return ticket
