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
- Tickets are served in the order in which they came. A waiter takes what comes first, its own dial or a connection that
  somebody else gives back; the dial that lost goes on and serves the next one (late binding).
- At the limit an idle connection of another origin, the one unused for longest, makes room.
- `max_keepalive` counts idle connections only; the ones unused for longest go first.
- Every operation is O(1) in the number of connections and waiters.

A key says which requests may share a connection: (scheme, host, port, ...); the pool only compares keys.

Not here: dialling (`_engine`), deciding whether a connection is reusable (`_protocol`), waiting (the shells).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

Key = Hashable
C = TypeVar("C", bound=Hashable)  # a connection: opaque, told apart by identity

_FOREVER = float("inf")


class Ticket(Generic[C]):
    """
    A place in the queue, for one request.

    Attributes:
        key: which connections would do.
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
        # Tickets that have no answer yet: waiting for any slot, waiting for a slot of their key, with a dial in flight.
        self._queue: OrderedDict[Ticket[C], None] = OrderedDict()
        self._blocked: dict[Key, OrderedDict[Ticket[C], None]] = {}
        self._dialling: dict[Key, OrderedDict[Ticket[C], None]] = {}
        self._number = 0

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
        key = self._keys.get(connection)
        if key is None:
            # The pool was shut meanwhile.
            self._close.append(connection)
            self.has_chores = True
            return
        if not reusable:
            self._drop(connection)
            return
        ticket = self._entitled(key)
        if ticket is not None:
            self._answer(ticket, connection)
        elif self._queue:
            # The oldest waiter needs another origin, and there is no other room for it.
            self._drop(connection)
        else:
            self._rest(connection, key, now)

    def dialled(self, ticket: Ticket[C], connection: C, now: float) -> None:
        """A new connection is there; if the ticket was served meanwhile, it goes to the next or becomes idle."""
        self._dials -= 1
        self._keys[connection] = ticket.key
        if _discard(self._dialling, ticket):
            self._answer(ticket, connection)
        else:
            self.release(connection, True, now)

    def dial_failed(self, ticket: Ticket[C], error: BaseException | None = None) -> None:
        """The dial came to nothing; its slot is free again. `error` is for the ticket, if it still waits."""
        self._dials -= 1
        if _discard(self._dialling, ticket):
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
        elif not _discard(self._dialling, ticket) and not _discard(self._blocked, ticket):
            self._queue.pop(ticket, None)

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
        connections = list(self._keys)
        self._idle.clear()
        self._idle_of.clear()
        self._max_idle = 0
        for connection in connections:
            self._drop(connection)
        self._close.clear()
        return connections

    @property
    def connections(self) -> list[C]:
        """Every open connection, busy or idle."""
        return list(self._keys)

    def counts(self) -> tuple[int, int, int, int]:
        """How many connections are open, how many of them idle, how many dials are in flight, how many tickets wait."""
        blocked = sum(map(len, self._blocked.values()))
        dialling = sum(map(len, self._dialling.values()))
        return len(self._keys), len(self._idle), self._dials, len(self._queue) + blocked + dialling

    # What they share.

    def _place(self, ticket: Ticket[C]) -> None:
        """Give a ticket the order to dial if there is room, else a place in the queue."""
        key = ticket.key
        if self._per_key.get(key, 0) >= self._max_per_key:
            self._blocked.setdefault(key, OrderedDict())[ticket] = None
            return
        if len(self._keys) + self._dials >= self._max:
            if not self._idle:
                self._queue[ticket] = None
                return
            # Freeing the slot of an idle connection cannot serve somebody else: with anybody waiting none was idle.
            self._evict()
        self._grant(ticket)

    def _grant(self, ticket: Ticket[C]) -> None:
        key = ticket.key
        self._dials += 1
        self._per_key[key] = self._per_key.get(key, 0) + 1
        self._dialling.setdefault(key, OrderedDict())[ticket] = None
        ticket.dial = True

    def _entitled(self, key: Key) -> Ticket[C] | None:
        """Remove and return the ticket that a connection of `key` belongs to: the oldest that can use it."""
        dialling = self._dialling.get(key)
        if dialling and self._late_binding:
            return _pop_first(self._dialling, key)
        first = next(iter(self._queue), None)
        blocked = self._blocked.get(key)
        if blocked and (first is None or next(iter(blocked)).number < first.number):
            return _pop_first(self._blocked, key)
        if first is not None and first.key == key:
            del self._queue[first]
            return first
        return None

    def _answer(self, ticket: Ticket[C], connection: C) -> None:
        # `dial` stays as it is: where it is set, that dial is in flight and will serve somebody else.
        ticket.connection = connection
        self._wake.append(ticket)
        self.has_chores = True

    def _rest(self, connection: C, key: Key, now: float) -> None:
        """Make a connection idle, and close what is then too old or too much."""
        if self._max_idle < 1 or self._expiry <= 0:
            self._drop(connection)
            return
        expires = now + self._expiry
        self._idle[connection] = expires
        idle = self._idle_of.get(key)
        if idle is None:
            idle = self._idle_of[key] = {}
        idle[connection] = expires
        if len(self._idle) > self._max_idle:
            self._evict()
        self._expire(now)

    def _evict(self) -> None:
        """Close the idle connection that was unused for longest."""
        connection, _ = self._idle.popitem(last=False)
        del self._idle_of[self._keys[connection]][connection]
        self._drop(connection)

    def _expire(self, now: float) -> None:
        """Close idle connections that are too old: they stand first, so this costs nothing while there are none."""
        while self._idle and next(iter(self._idle.values())) <= now:
            self._evict()

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
            if not self._idle_of.get(key, True):
                del self._idle_of[key]
        blocked = self._blocked.get(key)
        if blocked:
            first = next(iter(self._queue), None)
            ticket = _pop_first(self._blocked, key)
            self._queue[ticket] = None
            if first is None or ticket.number < first.number:
                self._queue.move_to_end(ticket, last=False)
        while self._queue and len(self._keys) + self._dials < self._max:
            ticket, _ = self._queue.popitem(last=False)
            self._place(ticket)
            if ticket.dial:
                self._wake.append(ticket)
                self.has_chores = True


def _discard(tickets: dict[Key, OrderedDict[Ticket[C], None]], ticket: Ticket[C]) -> bool:
    """Take `ticket` out of the queue of its key; False if it is not in there."""
    queue = tickets.get(ticket.key)
    if queue is None or ticket not in queue:
        return False
    del queue[ticket]
    if not queue:
        del tickets[ticket.key]
    return True


def _pop_first(tickets: dict[Key, OrderedDict[Ticket[C], None]], key: Key) -> Ticket[C]:
    queue = tickets[key]
    ticket, _ = queue.popitem(last=False)
    if not queue:
        del tickets[key]
    return ticket
