"""
Who gets which connection, where a connection may carry several requests at once (HTTP/2).

`SharingPool` is a `Pool` with three things more:

    acquire(key, now)                           also gives a connection that others use, while it has room for more
    dialled(ticket, connection, now, capacity)  `capacity` says how many may use it at once; None: one, as in HTTP/1.1;
                                                `UNKNOWN`: the peer has not said it yet
    resize(connection, capacity, now)           the peer has said it, or something else; 0: it takes no new ones

Rules, besides those of `_pool`:
- Whether a connection can be shared is known only when it is there. So while the first dial of a key is in flight the
  others wait for its end instead of dialling too: either all of them fit on the new connection, or it turns out to be
  for one at a time (or the dial fails), and then they dial at once, until a connection can be shared again.
- How many may share it is known a moment later. Until then it takes as many as the last connection of its key did, or
  one if there was none, and the others still wait: what is too much for the peer it refuses, and not all of that can be
  sent again. So only the second and later requests of a burst wait for a round trip, once for each origin.
- Another connection is made only when those that are there are full.
- A connection whose capacity is 0 is closed when its last user gives it back.

Not here: what the peer's limit is (`_protocol.http2`), dialling and waiting (`_engine`).
"""

from __future__ import annotations

from typing import Callable

from ._pool import C, Holder, Key, Pool, Ticket, discard, pop_first
from ._protocol.frames import ASSUMED_STREAMS

# The capacity of a connection whose peer has not said yet how many requests it takes at once.
UNKNOWN = -1

# Keys remembered as those of servers that do not share. Forgetting them costs the next burst to such a server the wait
# for one dial. Also the number of keys whose last limit is remembered; forgetting one costs a burst a round trip.
_MAX_REMEMBERED = 1000


class _Share:
    """A connection's users: how many there are, and how many there may be."""

    __slots__ = ("capacity", "has_room", "is_known", "uses")

    def __init__(self, capacity: int, is_known: bool) -> None:
        self.capacity = capacity
        self.is_known = is_known  # the peer has said how many there may be
        self.uses = 0
        # In use, and not by as many as it takes. Then no ticket waits for its key.
        self.has_room = False


class SharingPool(Pool[C]):
    """
    The connections of one transport that speaks HTTP/2.

    Args:
        max_connections, max_keepalive, max_per_key, expiry, late_binding: as for `Pool`.
        may_share: could a connection of this key turn out to be one that is shared?
    """

    def __init__(
        self,
        max_connections: int | None,
        max_keepalive: int | None,
        max_per_key: int | None,
        expiry: float | None,
        late_binding: bool,
        may_share: Callable[[Key], bool],
    ) -> None:
        super().__init__(max_connections, max_keepalive, max_per_key, expiry, late_binding)
        self._may_share = may_share
        self._shares: dict[C, _Share] = {}
        self._roomy: dict[Key, dict[C, _Share]] = {}  # connections that have room, by key
        # Keys with a dial in flight whose end the others wait for, or with a connection whose capacity they wait for.
        self._probing: set[Key] = set()
        self._allowed: dict[Key, int] = {}  # the capacity of the last connection of a key, oldest first
        self._exclusive: dict[Key, None] = {}  # keys that this was in vain for

    # What the shells call.

    def acquire(self, key: Key, now: float, holder: Holder | None = None) -> C | Ticket[C]:
        """Return a connection with room for one more, an idle one, or a ticket; see `Pool.acquire`."""
        if self.changing:
            self.rebuild()
        roomy = self._roomy.get(key)
        if roomy:
            self.changing = True
            connection, share = next(iter(roomy.items()))
            if holder is not None:
                self._claims[holder] = connection
            share.uses += 1
            if share.uses >= share.capacity:
                self._note_room(connection, share)
            self.changing = False
            return connection
        got = super().acquire(key, now, holder)
        if not isinstance(got, Ticket) and got in self._shares:
            self.changing = True
            share = self._shares[got]
            share.uses += 1
            self._note_room(got, share)
            self.changing = False
        return got

    def find(self, key: Key, now: float, holder: Holder | None = None) -> C | None:
        """Return a shared connection that is there and has room for one more, as `acquire` does; else None."""
        if self.changing:
            self.rebuild()
        idle = self._idle_of.get(key)
        if not self._roomy.get(key) and not (idle and any(connection in self._shares for connection in idle)):
            return None
        got = self.acquire(key, now, holder)
        if isinstance(got, Ticket):
            self.abandon(got, now)  # the idle one has just expired
            if got.dial:
                self.dial_failed(got)
            return None
        return got

    def release(self, connection: C, reusable: bool, now: float, holder: Holder | None = None) -> None:
        """
        Take a connection back from one of its users; see `Pool.release`.

        Args:
            reusable: False also ends a shared connection, as soon as its other users have given it back.
        """
        if self.changing:
            self.rebuild()
        share = self._shares.get(connection)
        if share is None:
            super().release(connection, reusable, now, holder)
            return
        self.changing = True
        if holder is None or self._claims.pop(holder, None) is not None:
            share.uses -= 1
            if not reusable:
                share.capacity = 0
                self._offer(connection, share, now)
            elif not share.uses or not share.has_room:
                self._offer(connection, share, now)
        self.changing = False

    def dialled(self, ticket: Ticket[C], connection: C, now: float, capacity: int | None = None) -> None:
        """
        Take a new connection; see `Pool.dialled`.

        Args:
            capacity: how many requests may use it at once; `UNKNOWN` if `resize` is going to say it; None for a
                connection that is not shared.
        """
        if self.changing:
            self.rebuild()
        self.changing = True
        key = ticket.key
        self._probing.discard(key)
        self._keys[connection] = key
        self._end_dial(ticket)
        if capacity is None:
            self._note_exclusive(key)
            if discard(self._dialling, ticket):
                self._serve(ticket, connection)
            else:
                self._put(connection, key, now)
        else:
            self._exclusive.pop(key, None)
            if capacity == UNKNOWN:
                # Not more than the machine lets begin before it knows: a request that the pool gives a place, and the
                # machine none, would be given the same place again and again.
                share = _Share(min(self._allowed.get(key, 1), ASSUMED_STREAMS), False)
                self._probing.add(key)
            else:
                share = _Share(capacity, True)
                self._remember(key, capacity)
            self._shares[connection] = share
            if discard(self._dialling, ticket):
                self._serve(ticket, connection)
            self._offer(connection, share, now)
        self._line_up(key)
        self._grant_waiting()
        self.changing = False

    def dial_failed(self, ticket: Ticket[C], error: BaseException | None = None) -> None:
        """See `Pool.dial_failed`. Those that waited for the dial's end make their own."""
        if self.changing:
            self.rebuild()
        self.changing = True
        key = ticket.key
        self._probing.discard(key)
        # Not if the ticket was given up: that says nothing about the server, and the next one takes its place.
        if key in self._dialling and ticket in self._dialling[key]:
            self._note_exclusive(key)
        self._fail_dial(ticket, error)
        self._line_up(key)
        self._grant_waiting()
        self.changing = False

    def resize(self, connection: C, capacity: int, now: float) -> None:
        """
        Note how many requests the peer takes at once from now on.

        Args:
            connection: one that is shared, or any other, which is ignored.
            capacity: 0: it takes no new ones, and those that run may end. `UNKNOWN` changes nothing.
            now: seconds.
        """
        if self.changing:
            self.rebuild()
        share = self._shares.get(connection)
        if share is None or capacity == UNKNOWN:
            return
        key = self._keys[connection]
        is_first, share.is_known = not share.is_known, True
        share.capacity = capacity
        self._remember(key, capacity)
        if share.uses:
            self.changing = True
            self._offer(connection, share, now)
            self.changing = False
        elif capacity <= 0:
            self.remove(connection)
        if is_first:
            self.changing = True
            self._probing.discard(key)
            self._line_up(key)
            self._grant_waiting()
            self.changing = False

    def users(self) -> int:
        """Return how many requests are on a connection now; a shared one has several."""
        return super().users() + sum(share.uses - 1 for share in self._shares.values() if share.uses)

    def awaits_dial(self, key: Key) -> bool:
        """See `Pool.awaits_dial`."""
        return key in self._probing

    # What they share.

    def _offer(self, connection: C, share: _Share, now: float) -> None:
        """Give the connection to tickets that wait and fit on it; without a user it becomes idle, or is closed."""
        if share.capacity <= 0:
            self._note_room(connection, share)
            if not share.uses:
                self._drop(connection)
            return
        if not share.uses:
            self._put(connection, self._keys[connection], now)
        while 0 < share.uses < share.capacity:
            ticket = self._next(self._keys[connection])
            if ticket is None:
                break
            self._serve(ticket, connection)
        self._note_room(connection, share)

    def _next(self, key: Key) -> Ticket[C] | None:
        """
        Remove and return the oldest ticket of `key` that can be served.

        Tickets of other keys have no claim: a place on a connection that is in use is not a slot.
        """
        if self._late_binding and key in self._dialling:
            return pop_first(self._dialling, key)
        if key not in self._waiting:
            return None
        ticket = pop_first(self._waiting, key)
        self._line_up(key)
        return ticket

    def _note_room(self, connection: C, share: _Share) -> None:
        """Bring `_roomy` up to date with a connection's numbers."""
        has_room = 0 < share.uses < share.capacity
        if has_room == share.has_room:
            return
        share.has_room = has_room
        key = self._keys[connection]
        if has_room:
            self._roomy.setdefault(key, {})[connection] = share
            return
        roomy = self._roomy[key]
        del roomy[connection]
        if not roomy:
            del self._roomy[key]

    def _remember(self, key: Key, capacity: int) -> None:
        """Remember what a peer allowed, for the next connection to it."""
        if capacity > 0 and self._allowed.get(key) != capacity:
            if len(self._allowed) >= _MAX_REMEMBERED:
                del self._allowed[next(iter(self._allowed))]
            self._allowed[key] = capacity

    def _note_exclusive(self, key: Key) -> None:
        if self._may_share(key):
            if len(self._exclusive) >= _MAX_REMEMBERED:
                self._exclusive.clear()
            self._exclusive[key] = None

    def _give_back(self, connection: C, now: float) -> None:
        share = self._shares.get(connection)
        if share is None:
            super()._give_back(connection, now)
        else:
            share.uses -= 1
            if not share.uses or not share.has_room:
                self._offer(connection, share, now)

    def _spoil(self, connection: C) -> None:
        share = self._shares.get(connection)
        if share is not None:
            share.capacity = 0

    def _restore(self, users: dict[C, int]) -> None:
        self._probing = {
            ticket.key for ticket in self._dials if ticket.key not in self._exclusive and self._may_share(ticket.key)
        }
        self._roomy = {}
        self._shares = {connection: self._shares[connection] for connection in self._shares if connection in self._keys}
        for connection, share in self._shares.items():
            if not share.is_known:
                self._probing.add(self._keys[connection])
            share.uses, share.has_room = users.get(connection, 0), False
            while 0 < share.uses < share.capacity:
                ticket = self._next(self._keys[connection])
                if ticket is None:
                    break
                self._serve(ticket, connection)
            self._note_room(connection, share)

    def _may_dial(self, key: Key) -> bool:
        return key not in self._probing and super()._may_dial(key)

    def _grant(self, ticket: Ticket[C]) -> None:
        super()._grant(ticket)
        if ticket.key not in self._exclusive and self._may_share(ticket.key):
            self._probing.add(ticket.key)

    def _serve(self, ticket: Ticket[C], connection: C) -> None:
        share = self._shares.get(connection)
        if share is not None:
            share.uses += 1
        super()._serve(ticket, connection)

    def _drop(self, connection: C) -> None:
        share = self._shares.pop(connection, None)
        if share is not None:
            if share.has_room:
                share.uses = 0
                self._note_room(connection, share)
            if not share.is_known:
                self._probing.discard(self._keys[connection])
        super()._drop(connection)
