"""
A pool of connections: which request gets which connection.

The pool is bookkeeping only: it never touches a socket, a clock or a lock. Callers pass `now` (seconds, any monotonic
clock) and carry out what the pool returns:

    acquire(key, now, holder) -> a connection  idle until now, the most recently used one of its key
                              -> a Ticket         with `dial` set: below the limit, connect and then call `dialled`;
                                                  without: at the limit, wait until the ticket is served
    release(connection, reusable, now, holder) the exchange is over
    dialled(ticket, connection, now)           the dial that the ticket asked for succeeded
    dial_failed(ticket, error)                 ... or failed, or was cancelled, or never began
    abandon(ticket, now)                       the request stops waiting for the ticket
    remove(connection)                         the connection died while it was idle
    give_up(holder)                            the request was interrupted at an unknown point

After each of them, `take_chores()` returns the connections to close and the tickets that were served meanwhile, while
`has_chores` is true. A ticket is served when it gets a `connection`, an `error`, or the order to `dial`.

Rules:
- Tickets are served in the order in which they came; one whose key is at `max_per_key` keeps its place meanwhile. A
  waiting request takes what comes first, its own dial or a connection that another request gives back; the dial that
  lost goes on and serves the next one (late binding).
- At the limit the least recently used idle connection of another origin makes room.
- `max_keepalive` counts idle connections only; the least recently used ones are closed first.
- Every operation takes the same steps however many connections and waiting requests there are. (One of the steps
  bisects a list with one entry for each key that waits.)

An exception may come out of a signal handler, or as Ctrl-C, after any bytecode of an operation. So there is one record
from which everything else can be made again, and each step on it is one call into C:

    _keys     the open connections
    _idle     those of them that are idle
    _claims   what each holder has: a connection, or a ticket, whose `connection` it has once it is served
    _dials    the tickets whose dial is in flight

An operation sets `changing` first and clears it last. An operation that finds it set calls `rebuild`: O(n), and rare.
An open connection that is neither idle nor claimed belonged to the operation that was interrupted, and is closed.

A key says which requests may share a connection: (scheme, host, port, ...); the pool only compares keys.

Not here: connections that carry several requests at once (`_sharing`), dialling (`_engine`), deciding whether a
connection is reusable (`_protocol`), waiting (the shells).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Container, Hashable
from typing import Any, Generic, TypeVar

Key = Hashable
Holder = Hashable  # a request: opaque, told apart by identity
C = TypeVar("C", bound=Hashable)  # a connection: opaque, told apart by identity

_FOREVER = float("inf")
_UNKNOWN = object()  # a key may be anything, also None


class Ticket(Generic[C]):
    """
    A place in the queue, for one request.

    Attributes:
        key: which connections would do.
        number: its place in the order of arrival.
        holder: the request, as `acquire` was told; None if it is unknown.
        dial: the owner should connect now and then call `dialled` or `dial_failed`.
        connection: what the ticket was served with, or None.
        error: why its dial failed, or None.
        signal: for the shell: how the owner is woken (an event, a future); the pool ignores it.
    """

    __slots__ = ("connection", "dial", "error", "holder", "key", "number", "signal")

    def __init__(self, key: Key, number: int, holder: Holder | None = None) -> None:
        self.key = key
        self.number = number
        self.holder = holder
        self.dial = False
        self.connection: C | None = None
        self.error: BaseException | None = None
        self.signal: Any = None

    @property
    def served(self) -> bool:
        """Return whether there is an outcome: a connection or an error."""
        return self.connection is not None or self.error is not None


class Pool(Generic[C]):
    """
    The connections of one transport.

    Args:
        max_connections: of all kinds together; None for no limit.
        max_keepalive: of those, how many may be idle; None for no limit.
        max_per_key: connections of one key; None for no limit.
        expiry: seconds that an idle connection stays usable; None for ever.
        late_binding: may a ticket with a dial in flight be served by a connection that another request gives back?
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
        self.changing = False  # an operation runs, or did not get to its end
        self._close: list[C] = []
        self._wake: list[Ticket[C]] = []
        # The record.
        self._keys: dict[C, Key] = {}  # every open connection
        # When each idle connection expires, the least recently used one first. (Taking the first one of a plain dict
        # again and again is quadratic.)
        self._idle: OrderedDict[C, float] = OrderedDict()
        self._claims: dict[Holder, C | Ticket[C]] = {}
        self._dials: dict[Ticket[C], None] = {}  # each holds a slot
        # What follows from the record.
        self._idle_of: dict[Key, dict[C, None]] = {}  # idle connections of each key, the most recently used one last
        self._per_key: dict[Key, int] = {}  # slots held by open connections and dials
        # Tickets without an outcome, oldest first: with a dial in flight, and waiting for a slot.
        self._dialling: dict[Key, OrderedDict[Ticket[C], None]] = {}
        self._waiting: dict[Key, OrderedDict[Ticket[C], None]] = {}
        # (number, key) of the oldest waiting ticket of each key that is below `max_per_key`, sorted: which one is next
        # when a slot becomes free. One entry for each key, so finding the next one does not depend on how many wait.
        self._line: list[tuple[int, Key]] = []
        self._place_of: dict[Key, int] = {}  # the same by key
        self._number = 0
        self._expiry_due = -_FOREVER  # no idle connection is too old before this moment

    # What the shells call.

    def acquire(self, key: Key, now: float, holder: Holder | None = None) -> C | Ticket[C]:
        """
        Return an idle connection for `key`, or a ticket.

        Args:
            key: which connections would do.
            now: seconds.
            holder: the request, which has one connection or ticket at a time; what it has is its own until `release`,
                `abandon` or `give_up`. A connection whose holder is None does not outlive an interrupted operation.
        """
        if self.changing:
            self.rebuild()
        self.changing = True
        idle = self._idle_of.get(key)
        while idle:
            connection, _ = idle.popitem()
            expires = self._idle.pop(connection, None)
            if expires is None:
                continue
            if expires > now:
                if holder is not None:
                    self._claims[holder] = connection
                self.changing = False
                return connection
            self._drop(connection)
            break
        ticket = self._queue(key, now, holder)
        self.changing = False
        return ticket

    def release(self, connection: C, reusable: bool, now: float, holder: Holder | None = None) -> None:
        """
        Take back a connection whose exchange is over.

        A holder that has given it back already does nothing by that: the connection may be another one's by then.

        Args:
            connection: from `acquire` or from a ticket.
            reusable: False if it is closed, or in a state in which another exchange must not begin.
            now: seconds.
            holder: as for `acquire`.
        """
        if self.changing:
            self.rebuild()
        self.changing = True
        key = self._keys.get(connection, _UNKNOWN)
        if holder is not None and self._claims.pop(holder, None) is None:
            pass
        elif key is _UNKNOWN:
            pass  # `shut` returned it to be closed, and closing it again could hit another socket's descriptor
        elif not reusable:
            self._drop(connection)
        elif self._dialling or self._waiting:
            self._put(connection, key, now)
        else:  # `_rest`, inlined
            expires = now + self._expiry
            self._idle[connection] = expires
            idle = self._idle_of.get(key)
            if idle is None:
                self._idle_of[key] = {connection: None}
            else:
                idle[connection] = None
            if len(self._idle) > self._max_idle:
                self._evict()
            if now >= self._expiry_due:
                self._expire(now)
        self.changing = False

    def dialled(self, ticket: Ticket[C], connection: C, now: float) -> None:
        """Take a new connection; if the ticket was served meanwhile, it goes to the next or becomes idle."""
        if self.changing:
            self.rebuild()
        self.changing = True
        self._keys[connection] = ticket.key
        self._end_dial(ticket)
        if discard(self._dialling, ticket):
            self._serve(ticket, connection)
        else:
            self._put(connection, ticket.key, now)
        self.changing = False

    def dial_failed(self, ticket: Ticket[C], error: BaseException | None = None) -> None:
        """Free the slot of a dial that failed. `error` is for the ticket, if it still waits."""
        if self.changing:
            self.rebuild()
        self.changing = True
        self._fail_dial(ticket, error)
        self.changing = False

    def abandon(self, ticket: Ticket[C], now: float) -> None:
        """
        Take back a ticket whose request stops waiting: it was cancelled, or its time is up.

        A connection that the ticket was just served with goes back. A dial in flight is the shell's to cancel; it
        reports the end by `dial_failed` as ever.
        """
        if self.changing:
            self.rebuild()
        self.changing = True
        self._unclaim(ticket)
        connection, ticket.connection = ticket.connection, None
        if connection is not None:
            self._give_back(connection, now)
        elif not discard(self._dialling, ticket) and discard(self._waiting, ticket):
            self._line_up(ticket.key)
        self.changing = False

    def remove(self, connection: C) -> bool:
        """Forget an idle connection that died. False if it is not idle: then its exchange will notice."""
        if self.changing:
            self.rebuild()
        if connection not in self._idle:
            return False
        self.changing = True
        del self._idle[connection]
        self._idle_of[self._keys[connection]].pop(connection, None)
        self._drop(connection)
        self.changing = False
        return True

    def give_up(self, holder: Holder, running: Container[Ticket[C]] = ()) -> None:
        """
        Take back what a request has, which an exception interrupted at an unknown point.

        Nothing is known of the state of its connection, which is closed. Does no harm if the request has nothing.

        Args:
            holder: as for `acquire`.
            running: the tickets whose dials go on by themselves, and whose end will be reported.
        """
        self.changing = True
        claim = self._claims.get(holder)
        connection: C | None = claim.connection if isinstance(claim, Ticket) else claim
        if connection is not None:
            self._spoil(connection)
        self._claims.pop(holder, None)
        for dial in list(self._dials):
            if dial.holder is holder and dial not in running:
                self._dials.pop(dial, None)
        self.rebuild()

    def claim_of(self, holder: Holder) -> C | Ticket[C] | None:
        """Return what a request has: a connection, a ticket, or None."""
        return self._claims.get(holder)

    def rebuild(self) -> None:
        """
        Make everything anew from the record, after an operation that was interrupted.

        Tickets with an outcome are to be woken again: it is not known which of them were.
        """
        self.changing = True
        for connection in self._close:
            self._keys.pop(connection, None)
        tickets = sorted(self._tickets(), key=lambda ticket: ticket.number)
        used = self.used()
        for connection in list(self._keys):
            if connection in used:
                self._idle.pop(connection, None)
            elif connection not in self._idle:
                self._close.append(connection)
                del self._keys[connection]
        self._idle_of, self._per_key = {}, {}
        for connection in list(self._idle):
            if connection in self._keys:
                self._idle_of.setdefault(self._keys[connection], {})[connection] = None
            else:
                del self._idle[connection]
        for key in [*self._keys.values(), *(ticket.key for ticket in self._dials)]:
            self._per_key[key] = self._per_key.get(key, 0) + 1
        for ticket in self._dials:
            ticket.dial = True
        self._dialling, self._waiting = {}, {}
        for ticket in tickets:
            if not ticket.served:
                queues = self._dialling if ticket.dial else self._waiting
                queues.setdefault(ticket.key, OrderedDict())[ticket] = None
        self._expiry_due = -_FOREVER
        self._line, self._place_of = [], {}
        self._restore(used)
        for key in self._waiting:
            self._line_up(key)
        while len(self._idle) > self._max_idle:
            self._evict()
        self._wake = [ticket for ticket in tickets if ticket.served or ticket.dial]
        self._grant_waiting()
        self.has_chores = True
        self.changing = False

    def take_chores(self) -> tuple[list[C], list[Ticket[C]]]:
        """Return what is to be closed, and whose tickets were served, since the last call."""
        chores = self._close, self._wake
        self.has_chores = False
        self._close, self._wake = [], []
        return chores

    def shut(self) -> list[C]:
        """Forget every connection and return them all, to be closed; from now on none is kept for later."""
        if self.changing:
            self.rebuild()
        self.changing = True
        self._max_idle = 0
        self._idle.clear()
        self._idle_of.clear()
        for connection in self.connections:
            self._drop(connection)
        # Also those that were to be closed before, and were not taken as chores yet.
        connections = self._close
        self.changing = False
        self._close = []
        return connections

    @property
    def connections(self) -> list[C]:
        """Every open connection, busy or idle."""
        return list(self._keys)

    def knows(self, connection: C) -> bool:
        """Return whether the pool has the connection, which others may be using then."""
        return connection in self._keys

    def awaits_dial(self, key: Key) -> bool:
        """Return whether requests of that key wait for the end of another one's dial, which may be for all of them."""
        return False

    def counts(self) -> tuple[int, int, int, int]:
        """Return how many connections are open, and idle, how many dials are in flight, and how many tickets wait."""
        waiting = sum(map(len, self._waiting.values())) + sum(map(len, self._dialling.values()))
        return len(self._keys), len(self._idle), len(self._dials), waiting

    def users(self) -> int:
        """Return how many requests are on a connection now."""
        return len(self._keys) - len(self._idle)

    # What they share.

    def _tickets(self) -> list[Ticket[C]]:
        """Return every ticket that a request has."""
        return [claim for claim in self._claims.values() if isinstance(claim, Ticket)]

    def used(self) -> dict[C, int]:
        """Return how many requests have each connection that is in use."""
        users: dict[C, int] = {}
        for claim in self._claims.values():
            connection = claim.connection if isinstance(claim, Ticket) else claim
            if connection is not None:
                users[connection] = users.get(connection, 0) + 1
        return users

    def _spoil(self, connection: C) -> None:
        """Let no request begin on a connection that others use as well; for `SharingPool`."""

    def _restore(self, users: dict[C, int]) -> None:
        """Make anew what a subclass keeps; `users` is how many requests have each connection. For `SharingPool`."""

    def _unclaim(self, ticket: Ticket[C]) -> None:
        """Forget the claim of a ticket, if it is still its holder's."""
        if self._claims.get(ticket.holder) is ticket:
            del self._claims[ticket.holder]

    def _queue(self, key: Key, now: float, holder: Holder | None) -> Ticket[C]:
        """Return a new ticket: with the order to dial if there is room, else with a place among those that wait."""
        self._expire(now)
        self._number += 1
        ticket: Ticket[C] = Ticket(key, self._number, holder)
        if holder is not None:
            self._claims[holder] = ticket
        if self._may_dial(key):
            if len(self._keys) + len(self._dials) >= self._max and self._idle:
                # No other ticket takes this slot: one that could use it would not have waited beside an idle one.
                self._evict()
            if len(self._keys) + len(self._dials) < self._max:
                self._grant(ticket)
                return ticket
        self._waiting.setdefault(key, OrderedDict())[ticket] = None
        self._line_up(key)
        return ticket

    def _give_back(self, connection: C, now: float) -> None:
        """Take back a connection that a ticket was served with and that was not used."""
        key = self._keys.get(connection, _UNKNOWN)
        if key is not _UNKNOWN:
            self._put(connection, key, now)

    def _put(self, connection: C, key: Key, now: float) -> None:
        """Give a connection that no request has to a ticket, or keep it as idle, or drop it."""
        ticket = self._entitled(key) if self._dialling or self._waiting else None
        if ticket is not None:
            self._serve(ticket, connection)
        elif self._line:
            # The oldest ticket in the line needs another origin, and there is no other room for it.
            self._drop(connection)
        else:
            self._idle[connection] = now + self._expiry
            self._idle_of.setdefault(key, {})[connection] = None
            if len(self._idle) > self._max_idle:
                self._evict()
            if now >= self._expiry_due:
                self._expire(now)

    def _end_dial(self, ticket: Ticket[C]) -> None:
        """Move the slot of a dial to the connection that it has made, which is in `_keys` already."""
        if self._dials.pop(ticket, _UNKNOWN) is _UNKNOWN:  # an interrupted operation has freed the slot
            self._per_key[ticket.key] = self._per_key.get(ticket.key, 0) + 1

    def _fail_dial(self, ticket: Ticket[C], error: BaseException | None) -> None:
        held_slot = self._dials.pop(ticket, _UNKNOWN) is not _UNKNOWN
        if discard(self._dialling, ticket):
            ticket.error = error
            if error is not None:
                self._wake.append(ticket)
                self.has_chores = True
        if held_slot:
            self._free(ticket.key)

    def _may_dial(self, key: Key) -> bool:
        """Return whether one more connection of `key` may be made, if there is room for it."""
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
        """Tell a ticket to dial."""
        key = ticket.key
        self._dials[ticket] = None
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

    def _serve(self, ticket: Ticket[C], connection: C) -> None:
        """Serve a ticket. Its `dial` stays: where it is set, that dial is in flight and will serve another ticket."""
        ticket.connection = connection
        self._wake.append(ticket)
        self.has_chores = True

    def _evict(self) -> None:
        """Close the least recently used idle connection."""
        connection, _ = self._idle.popitem(last=False)
        self._idle_of[self._keys[connection]].pop(connection, None)
        self._drop(connection)

    def _expire(self, now: float) -> None:
        """Close idle connections that are too old: they come first, so this costs nothing while there are none."""
        while self._idle:
            oldest = next(iter(self._idle.values()))
            if oldest > now:
                self._expiry_due = oldest
                return
            self._evict()
        self._expiry_due = now + self._expiry

    def _drop(self, connection: C) -> None:
        """Forget a connection that is not (any more) among the idle ones; the shell closes it."""
        self._close.append(connection)
        self.has_chores = True
        self._free(self._keys.pop(connection))

    def _free(self, key: Key) -> None:
        """Free a slot of `key`: the oldest ticket that may use it is told to dial."""
        count = self._per_key[key] - 1
        if count:
            self._per_key[key] = count
        else:
            del self._per_key[key]
            self._idle_of.pop(key, None)  # empty: an idle connection would hold a slot
        if key in self._waiting:
            self._line_up(key)
        if self._line and len(self._keys) + len(self._dials) < self._max:
            self._grant_first()

    def _grant_first(self) -> None:
        """Tell the first ticket in the line to dial."""
        ticket = pop_first(self._waiting, self._line[0][1])
        self._grant(ticket)
        self._line_up(ticket.key)
        self._wake.append(ticket)
        self.has_chores = True

    def _grant_waiting(self) -> None:
        """Tell the tickets in the line to dial, as far as there is room."""
        while self._line:
            if len(self._keys) + len(self._dials) < self._max:
                self._grant_first()
            elif self._idle:
                self._evict()  # and its slot goes to the first in the line
            else:
                return


def discard(tickets: dict[Key, OrderedDict[Ticket[C], None]], ticket: Ticket[C]) -> bool:
    """Remove `ticket` from the queue of its key; False if it is not in there."""
    queue = tickets.get(ticket.key)
    if queue is None or ticket not in queue:
        return False
    del queue[ticket]
    if not queue:
        del tickets[ticket.key]
    return True


def pop_first(tickets: dict[Key, OrderedDict[Ticket[C], None]], key: Key) -> Ticket[C]:
    """Remove and return the oldest ticket of `key`."""
    queue = tickets[key]
    ticket, _ = queue.popitem(last=False)
    if not queue:
        del tickets[key]
    return ticket
