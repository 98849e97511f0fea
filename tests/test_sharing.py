"""
The pool of connections that carry several requests at once: each rule of its docstring as a sentence, then all of them
against a model, then its cost.

What it has in common with the pool of HTTP/1.1 is in `test_pool.py`; here it is only checked that it still holds.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Union

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from httpx import _sharing
from httpx._pool import Ticket
from httpx._protocol.frames import ASSUMED_STREAMS
from httpx._sharing import UNKNOWN, SharingPool
from support.counting import calls_of

A, B, C = ("https", "a.example", 443), ("https", "b.example", 443), ("https", "c.example", 443)
PLAIN = ("http", "a.example", 80)  # of a kind that cannot be shared


class Connection:
    """A connection: opaque to the pool, told apart by identity."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Shell:
    """A pool, and what became of its connections."""

    def __init__(self, **limits: Any) -> None:
        options = {"max_connections": None, "max_keepalive": None, "max_per_key": None, "expiry": None}
        self.pool: SharingPool[Connection] = SharingPool(
            **{**options, "late_binding": True, **limits}, may_share=lambda key: key != PLAIN
        )
        self.closed: list[Connection] = []
        self.made = 0

    def acquire(self, key: Any = A, now: float = 0) -> Union[Connection, Ticket[Connection]]:
        got = self.pool.acquire(key, now)
        self.settle()
        return got

    def ticket(self, key: Any = A) -> Ticket[Connection]:
        got = self.acquire(key)
        assert isinstance(got, Ticket)
        assert not got.served
        return got

    def waiting(self, key: Any = A) -> Ticket[Connection]:
        """A ticket that has to wait."""
        ticket = self.ticket(key)
        assert not ticket.dial
        return ticket

    def dialling(self, key: Any = A) -> Ticket[Connection]:
        """A ticket that has the order to dial."""
        ticket = self.ticket(key)
        assert ticket.dial
        return ticket

    def dial(self, ticket: Ticket[Connection], capacity: Optional[int], now: float = 0) -> Connection:
        """The dial of a ticket succeeds."""
        self.made += 1
        connection = Connection(f"{ticket.key[1]} {self.made}")
        self.pool.dialled(ticket, connection, now, capacity)
        self.settle()
        return connection

    def shared(self, capacity: int, key: Any = A) -> Connection:
        """A new connection that is shared, with one user."""
        ticket = self.dialling(key)
        connection = self.dial(ticket, capacity)
        assert ticket.connection is connection
        return connection

    def release(self, connection: Connection, reusable: bool = True, now: float = 0) -> list[Ticket[Connection]]:
        self.pool.release(connection, reusable, now)
        return self.settle()

    def resize(self, connection: Connection, capacity: int) -> list[Ticket[Connection]]:
        self.pool.resize(connection, capacity, 0)
        return self.settle()

    def settle(self) -> list[Ticket[Connection]]:
        """Close what the pool wants closed; the tickets that it wants woken."""
        closing, woken = self.pool.take_chores()
        assert not self.pool.has_chores
        for connection in closing:
            assert connection not in self.closed, "closed twice"
            self.closed.append(connection)
        return woken


# Sharing.


def test_a_connection_with_room_is_given_to_as_many_as_fit():
    shell = Shell()
    connection = shell.shared(3)
    assert [shell.acquire(), shell.acquire()] == [connection, connection]
    assert shell.dialling(), "the fourth needs another one"


def test_a_connection_that_is_not_shared_is_for_one():
    shell = Shell()
    ticket = shell.dialling()
    connection = shell.dial(ticket, None)
    assert ticket.connection is connection
    other = shell.dialling()
    assert shell.release(connection) == [other], "a dial in flight is no reason to wait"
    assert other.connection is connection


def test_whoever_leaves_makes_room():
    shell = Shell(max_connections=1)
    connection = shell.shared(2)
    assert shell.acquire() is connection
    first, second = shell.waiting(), shell.waiting()
    assert shell.release(connection) == [first]
    assert first.connection is connection
    assert shell.release(connection) == [second]
    assert shell.release(connection) == []
    assert shell.acquire() is connection
    assert shell.closed == []


def test_a_connection_that_nobody_uses_is_idle_and_used_again():
    shell = Shell(expiry=5)
    connection = shell.shared(2)
    shell.release(connection, now=1)
    assert shell.pool.counts() == (1, 1, 0, 0)
    assert shell.acquire(now=5.9) is connection
    assert shell.acquire(now=5.9) is connection
    shell.release(connection, now=6)
    assert shell.pool.counts() == (1, 0, 0, 0), "one uses it still"
    shell.release(connection, now=6)
    assert isinstance(shell.acquire(now=11), Ticket)
    assert shell.closed == [connection]


def test_a_connection_is_shared_only_by_those_of_its_key():
    shell = Shell()
    connection = shell.shared(10, A)
    assert shell.dialling(B)
    assert shell.acquire(A) is connection


def test_the_place_of_who_gave_up_after_it_was_served_goes_to_the_next():
    shell = Shell(max_connections=1)
    connection = shell.shared(1)
    first, second = shell.waiting(), shell.waiting()
    assert shell.release(connection) == [first]
    shell.pool.abandon(first, 0)
    assert shell.settle() == [second]
    assert second.connection is connection


def test_a_place_on_a_connection_is_no_slot_so_an_older_waiter_of_another_key_is_not_passed_over():
    shell = Shell(max_connections=1)
    connection = shell.shared(2, A)
    assert shell.acquire(A) is connection
    other, same = shell.waiting(B), shell.waiting(A)
    assert shell.release(connection) == [same], "the other could not have used it"
    assert shell.release(connection) == []
    assert shell.release(connection) == [other], "now the connection makes room"
    assert shell.closed == [connection]
    assert other.dial


# The first dial of a key.


def test_while_the_first_dial_is_in_flight_the_others_wait_and_then_all_fit_on_its_connection():
    shell = Shell()
    first, others = shell.dialling(), [shell.waiting() for _ in range(20)]
    connection = shell.dial(first, 100)
    assert first.connection is connection
    assert all(ticket.connection is connection for ticket in others)
    assert shell.pool.counts() == (1, 0, 0, 0)


def test_those_who_do_not_fit_on_the_first_connection_wait_for_the_second_one_together():
    """Not one dial for each: the second connection has as much room."""
    shell = Shell()
    first, *others = shell.dialling(), *[shell.waiting() for _ in range(5)]
    shell.dial(first, 2)
    assert [ticket.served for ticket in others] == [True, False, False, False, False]
    assert [ticket.dial for ticket in others] == [False, True, False, False, False]
    shell.dial(others[1], 2)
    assert [ticket.served for ticket in others] == [True, True, True, False, False]
    assert [ticket.dial for ticket in others] == [False, True, False, True, False]


def test_if_the_connection_turns_out_to_be_for_one_the_others_dial_side_by_side():
    shell = Shell()
    first, *others = shell.dialling(), *[shell.waiting() for _ in range(3)]
    shell.dial(first, None)
    assert all(ticket.dial and not ticket.served for ticket in others)
    assert shell.dialling(), "and so does whoever comes later"


def test_with_the_limit_of_connections_as_many_dial_side_by_side_as_may():
    shell = Shell(max_connections=3)
    first, *others = shell.dialling(), *[shell.waiting() for _ in range(4)]
    shell.dial(first, None)
    assert [ticket.dial for ticket in others] == [True, True, False, False]


def test_if_the_first_dial_fails_the_others_dial_side_by_side():
    shell = Shell()
    first, *others = shell.dialling(), *[shell.waiting() for _ in range(3)]
    error = OSError("refused")
    shell.pool.dial_failed(first, error)
    assert shell.settle() == [first, *others]
    assert first.error is error
    assert all(ticket.dial and not ticket.served for ticket in others)


def test_if_the_first_dial_is_given_up_the_next_one_takes_its_place():
    """That somebody was cancelled says nothing about the server."""
    shell = Shell()
    first, second, third = shell.dialling(), shell.waiting(), shell.waiting()
    shell.pool.abandon(first, 0)
    shell.pool.dial_failed(first)
    assert shell.settle() == [second]
    assert (second.dial, third.dial) == (True, False)


def test_a_dial_that_ends_after_its_owner_gave_up_serves_the_others():
    shell = Shell()
    first, second, third = shell.dialling(), shell.waiting(), shell.waiting()
    shell.pool.abandon(first, 0)
    connection = shell.dial(first, 2)
    assert second.connection is connection
    assert third.connection is connection


def test_a_dial_that_ends_after_everybody_gave_up_leaves_an_idle_connection():
    shell = Shell()
    first = shell.dialling()
    shell.pool.abandon(first, 0)
    connection = shell.dial(first, 2)
    assert shell.pool.counts() == (1, 1, 0, 0)
    assert [shell.acquire(), shell.acquire()] == [connection, connection]


def test_a_server_that_begins_to_share_is_believed():
    shell = Shell()
    first, second = shell.dialling(), shell.waiting()
    shell.dial(first, None)
    assert second.dial
    shell.dial(second, 2)
    assert isinstance(shell.acquire(), Connection)
    assert shell.dialling()
    shell.waiting()  # for that dial


def test_a_key_whose_connections_cannot_be_shared_waits_for_no_dial():
    shell = Shell()
    assert [shell.dialling(PLAIN), shell.dialling(PLAIN)]


def test_it_is_known_whether_one_waits_for_a_dial_or_for_room():
    shell = Shell(max_connections=1)
    ticket = shell.dialling()
    assert shell.pool.awaits_dial(A)
    assert not shell.pool.awaits_dial(B)
    shell.waiting()
    shell.dial(ticket, 1)
    assert not shell.pool.awaits_dial(A)


def test_other_keys_do_not_wait_for_the_first_dial_of_one():
    shell = Shell()
    assert [shell.dialling(A), shell.dialling(B), shell.dialling(C)]


def test_how_many_servers_are_remembered_is_limited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_sharing, "_MAX_REMEMBERED", 3)
    shell = Shell()
    for number in range(10):
        shell.pool.dial_failed(shell.dialling(("https", f"{number}.example", 443)), OSError())
    assert len(shell.pool._exclusive) <= 3


def test_who_waits_for_a_dial_and_gives_up_is_forgotten():
    shell = Shell()
    first, quitter, patient = shell.dialling(), shell.waiting(), shell.waiting()
    shell.pool.abandon(quitter, 0)
    connection = shell.dial(first, 2)
    assert patient.connection is connection
    assert not quitter.served


# What the peer changes.


def test_more_capacity_is_given_to_those_who_wait():
    shell = Shell(max_connections=1)
    connection = shell.shared(1)
    tickets = [shell.waiting() for _ in range(3)]
    assert shell.resize(connection, 3) == tickets[:2]
    assert shell.resize(connection, 100) == tickets[2:]
    assert shell.acquire() is connection


def test_less_capacity_takes_nothing_from_those_who_have_it():
    shell = Shell(max_connections=1)
    connection = shell.shared(3)
    assert [shell.acquire(), shell.acquire()] == [connection] * 2
    shell.resize(connection, 1)
    waiter = shell.waiting()
    assert shell.release(connection) == []
    assert shell.release(connection) == []
    assert shell.release(connection) == [waiter]


def test_a_connection_that_takes_no_more_is_closed_when_its_last_user_leaves():
    shell = Shell()
    connection = shell.shared(3)
    assert shell.acquire() is connection
    shell.resize(connection, 0)
    other = shell.shared(3)
    assert other is not connection
    shell.release(connection)
    assert shell.closed == []
    shell.release(connection)
    assert shell.closed == [connection]
    assert shell.pool.connections == [other]


def test_a_connection_that_takes_no_more_lets_a_waiter_dial_once_its_users_have_left():
    shell = Shell(max_connections=1)
    connection = shell.shared(1)
    waiter = shell.waiting()
    assert shell.resize(connection, 0) == []
    assert shell.release(connection) == [waiter]
    assert shell.closed == [connection]
    assert waiter.dial


def test_an_idle_connection_that_takes_no_more_is_closed_at_once():
    shell = Shell()
    connection = shell.shared(3)
    shell.release(connection)
    shell.resize(connection, 0)
    assert shell.closed == [connection]
    assert shell.pool.counts() == (0, 0, 0, 0)


def test_an_idle_connection_that_takes_more_or_fewer_stays():
    shell = Shell()
    connection = shell.shared(3)
    shell.release(connection)
    shell.resize(connection, 1)
    assert shell.acquire() is connection
    assert shell.dialling()


def test_a_connection_that_broke_for_one_is_not_given_to_others_and_closed_after_the_last():
    shell = Shell()
    connection = shell.shared(10)
    assert shell.acquire() is connection
    shell.release(connection, reusable=False)
    assert shell.dialling()
    assert shell.closed == []
    shell.release(connection)
    assert shell.closed == [connection]


def test_the_size_of_a_connection_that_is_not_there_is_nothing():
    shell = Shell()
    connection = shell.shared(2)
    shell.pool.shut()
    shell.resize(connection, 5)
    shell.release(connection)
    assert shell.closed == []
    ticket = shell.dialling()
    exclusive = shell.dial(ticket, None)
    shell.resize(exclusive, 5)
    assert shell.dialling()


# The limits.


def test_at_the_limit_an_idle_shared_connection_of_another_key_makes_room():
    shell = Shell(max_connections=1)
    connection = shell.shared(5, A)
    shell.release(connection)
    assert shell.dialling(B)
    assert shell.closed == [connection]


def test_those_who_waited_for_a_dial_make_room_for_their_own_ones():
    shell = Shell(max_connections=3)
    idle = shell.shared(5, B)
    shell.release(idle)
    first, second, third = shell.dialling(A), shell.waiting(A), shell.waiting(A)
    shell.dial(first, None)
    assert (second.dial, third.dial) == (True, True)
    assert shell.closed == [idle]


def test_with_a_limit_for_each_key_the_others_wait_for_room():
    shell = Shell(max_per_key=1)
    connection = shell.shared(1)
    waiter = shell.waiting()
    assert shell.dialling(B)
    assert shell.release(connection) == [waiter]


def test_without_keepalive_a_connection_lives_as_long_as_it_is_used():
    shell = Shell(max_keepalive=0)
    connection = shell.shared(2)
    assert shell.acquire() is connection
    shell.release(connection)
    assert shell.closed == []
    shell.release(connection)
    assert shell.closed == [connection]
    assert not shell.pool._shares


def test_shutting_forgets_connections_in_use_and_their_users_find_nothing():
    shell = Shell()
    connection = shell.shared(5)
    assert shell.acquire() is connection
    assert shell.pool.shut() == [connection]
    shell.release(connection)
    shell.release(connection)
    assert shell.closed == []
    assert not shell.pool._shares
    assert not shell.pool._roomy


# Everything at once, against a model.


class SharingAgainstModel(RuleBasedStateMachine):
    """
    An engine with any number of tasks. The model knows who uses what; the rules are checked as what always holds.

    The tasks are slow on purpose: between a ticket's being served and its owner's taking note, anything may happen.
    """

    @initialize(
        max_connections=st.sampled_from([None, 1, 2, 3]),
        max_keepalive=st.sampled_from([None, 0, 1]),
        max_per_key=st.sampled_from([None, None, 1, 2]),
        expiry=st.sampled_from([None, 3.0]),
        late_binding=st.booleans(),
    )
    def begin(self, **limits: Any) -> None:
        self.pool: SharingPool[Connection] = SharingPool(**limits, may_share=lambda key: key != "P")
        self.max = limits["max_connections"] or 10**9
        self.max_idle = 10**9 if limits["max_keepalive"] is None else limits["max_keepalive"]
        self.max_per_key = limits["max_per_key"] or 10**9
        self.late_binding = limits["late_binding"]
        self.now = 0.0
        self.keys: dict[Connection, str] = {}  # of every open connection
        self.capacity: dict[Connection, Optional[int]] = {}
        self.users: list[Connection] = []  # once for each use
        self.tickets: list[Ticket[Connection]] = []  # without an answer, oldest first
        self.served: list[Ticket[Connection]] = []  # answered, and the owner does not know yet
        self.dials: list[Ticket[Connection]] = []
        self.closed: list[Connection] = []
        self.made: list[Connection] = []
        self.is_shut = False

    def uses(self, connection: Connection) -> int:
        return self.users.count(connection)

    def room(self, connection: Connection) -> int:
        capacity = self.capacity[connection]
        return (1 if capacity is None else capacity) - self.uses(connection)

    def slots(self, key: Optional[str] = None) -> int:
        held = list(self.keys.values()) + [ticket.key for ticket in self.dials]
        return len(held) if key is None else held.count(key)

    def waiting(self) -> list[Ticket[Connection]]:
        return [ticket for ticket in self.tickets if not ticket.dial]

    def idle(self) -> list[Connection]:
        return [connection for connection in self.keys if not self.uses(connection)]

    def use(self, connection: Connection, key: str) -> None:
        assert self.keys[connection] == key
        assert self.room(connection) > 0, "given to more than it takes"
        self.users.append(connection)

    def settle(self) -> None:
        """Carry out the chores."""
        if not self.pool.has_chores:
            assert self.pool.take_chores() == ([], [])
            return
        closing, woken = self.pool.take_chores()
        for ticket in woken:
            older = [one for one in self.waiting() if one.key == ticket.key and one.number < ticket.number]
            assert not older or ticket in self.dials, "overtaken by one of its own key"
            if ticket.served:
                self.tickets.remove(ticket)
                self.served.append(ticket)
                if ticket.connection is not None:
                    self.use(ticket.connection, ticket.key)
            else:
                assert ticket.dial
                self.dials.append(ticket)
        for connection in closing:
            assert connection not in self.closed, "closed twice"
            assert not self.uses(connection), "closed while it is used"
            self.closed.append(connection)
            del self.keys[connection]

    # What may happen.

    @rule(key=st.sampled_from("ABP"))
    def acquire(self, key: str) -> None:
        got = self.pool.acquire(key, self.now)
        if isinstance(got, Connection):
            self.use(got, key)
            self.settle()
            return
        self.settle()
        self.tickets.append(got)
        if got.dial:
            self.dials.append(got)

    @precondition(lambda self: self.users)
    @rule(data=st.data(), reusable=st.sampled_from([True, True, True, False]))
    def release(self, data: st.DataObject, reusable: bool) -> None:
        known = list(self.users)
        for ticket in self.served:
            if ticket.connection in known:
                known.remove(ticket.connection)
        if known:
            connection = data.draw(st.sampled_from(known))
            self.users.remove(connection)
            if not reusable:
                self.capacity[connection] = 0
            self.pool.release(connection, reusable, self.now)
            self.settle()

    @precondition(lambda self: self.dials)
    @rule(data=st.data(), capacity=st.sampled_from([None, 0, 1, 2, 3, 100]))
    def dial_succeeds(self, data: st.DataObject, capacity: Optional[int]) -> None:
        ticket = data.draw(st.sampled_from(self.dials))
        if ticket.key == "P":
            capacity = None
        elif capacity == 0 and ticket not in self.tickets:
            capacity = 1  # a connection that takes nobody serves its own ticket alone, which says why
        connection = Connection(f"{ticket.key} {len(self.made)}")
        self.made.append(connection)
        self.keys[connection] = ticket.key
        self.capacity[connection] = max(1, capacity) if capacity is not None else None
        self.dials.remove(ticket)
        waits = ticket in self.tickets
        self.pool.dialled(ticket, connection, self.now, capacity)
        self.settle()
        assert (ticket.connection is connection) == waits
        if capacity is not None and connection in self.keys:
            self.capacity[connection] = capacity

    @precondition(lambda self: self.dials)
    @rule(data=st.data(), known=st.booleans())
    def dial_fails(self, data: st.DataObject, known: bool) -> None:
        ticket = data.draw(st.sampled_from(self.dials))
        waits = ticket in self.tickets
        if waits and not known:
            self.tickets.remove(ticket)
            self.pool.abandon(ticket, self.now)
            self.settle()
        self.dials.remove(ticket)
        self.pool.dial_failed(ticket, OSError("refused") if known else None)
        self.settle()
        assert (ticket.error is not None) == (waits and known)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.tickets))
        self.tickets.remove(ticket)
        self.pool.abandon(ticket, self.now)
        self.settle()

    @precondition(lambda self: self.served)
    @rule(data=st.data(), gives_up=st.booleans())
    def take_note(self, data: st.DataObject, gives_up: bool) -> None:
        """The owner of a served ticket runs again: with its connection, or only to learn that it is cancelled."""
        ticket = data.draw(st.sampled_from(self.served))
        self.served.remove(ticket)
        if gives_up and ticket.connection is not None:
            self.users.remove(ticket.connection)
            self.pool.abandon(ticket, self.now)
            self.settle()

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), capacity=st.sampled_from([0, 0, 1, 2, 3, 100]))
    def resize(self, data: st.DataObject, capacity: int) -> None:
        connection = data.draw(st.sampled_from(list(self.keys)))
        if self.capacity[connection] not in (None, 0):
            self.capacity[connection] = capacity
        elif self.capacity[connection] == 0:
            return  # who said that it takes no more does not change its mind
        self.pool.resize(connection, capacity, self.now)
        self.settle()

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def connection_dies(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(list(self.keys)))
        was_idle = not self.uses(connection)
        assert self.pool.remove(connection) == was_idle
        self.settle()
        assert (connection in self.closed) == was_idle

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.is_shut)
    @rule(really=st.sampled_from([False] * 9 + [True]))
    def shut(self, really: bool) -> None:
        if not really:
            return
        self.is_shut = True
        self.max_idle = 0
        for connection in self.pool.shut():
            assert connection not in self.closed
            self.closed.append(connection)
            del self.keys[connection]
        # Whoever used one has lost it, also who does not know of it yet; giving it back does nothing.
        gone, self.users = self.users, []
        for ticket in [ticket for ticket in self.served if ticket.connection in gone]:
            self.served.remove(ticket)
        for connection in gone:
            self.pool.release(connection, True, self.now)
        self.settle()

    # What always holds.

    @invariant()
    def counts_agree(self) -> None:
        assert self.pool.counts() == (len(self.keys), len(self.idle()), len(self.dials), len(self.tickets))

    @invariant()
    def limits_hold(self) -> None:
        assert self.slots() <= self.max
        assert all(self.slots(key) <= self.max_per_key for key in "ABP")
        assert len(self.idle()) <= self.max_idle

    @invariant()
    def nobody_waits_beside_room(self) -> None:
        for ticket in self.tickets:
            if self.late_binding or not ticket.dial:
                assert not [one for one, key in self.keys.items() if key == ticket.key and self.room(one) > 0]

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        dialled = {ticket.key for ticket in self.dials}
        for ticket in self.waiting():
            if self.slots(ticket.key) < self.max_per_key and ticket.key not in dialled:
                assert self.slots() >= self.max, "waits beside a free slot"
                assert not self.idle(), "waits beside an idle connection that could make room"

    @invariant()
    def a_connection_that_takes_no_more_is_used_still(self) -> None:
        assert all(self.uses(one) for one in self.keys if self.capacity[one] == 0)

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for ticket in self.tickets + self.served:
            self.pool.abandon(ticket, self.now)
        for ticket in self.dials:
            self.pool.dial_failed(ticket)
        for ticket in self.pool.take_chores()[1]:
            assert not ticket.dial
        closed = self.closed + self.pool.shut()
        assert self.pool.counts()[:3] == (0, 0, 0)
        for name in ("_keys", "_per_key", "_idle", "_idle_of", "_dialling", "_waiting", "_line", "_place_of"):
            assert not getattr(self.pool, name), f"{name} is not empty"
        for name in ("_shares", "_roomy", "_probing"):
            assert not getattr(self.pool, name), f"{name} is not empty"
        assert len(set(closed)) == len(closed)
        assert set(closed) <= set(self.made)


SharingAgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
test_the_sharing_pool_keeps_its_promises = SharingAgainstModel.TestCase


# What it costs.


def many_users(size: int) -> Callable[[], Any]:
    shell = Shell()
    shell.shared(size + 1)
    for _ in range(size - 1):
        shell.acquire()
    return lambda: shell.pool.release(shell.pool.acquire(A, 0), True, 0)  # type: ignore[arg-type]


def many_waiters(size: int) -> Callable[[], Any]:
    shell = Shell(max_connections=1)
    connection = shell.shared(1)
    for _ in range(size):
        shell.waiting()
    return lambda: shell.pool.release(connection, True, 0)


def many_waiters_of_as_many_keys(size: int) -> Callable[[], Any]:
    shell = Shell(max_connections=1)
    connection = shell.shared(2)
    shell.acquire()
    for number in range(size):
        shell.waiting(("https", f"{number}.example", 443))
    shell.waiting(A)
    return lambda: shell.pool.release(connection, True, 0)


def many_full_connections(size: int) -> Callable[[], Any]:
    shell = Shell()
    connections = [shell.shared(1) for _ in range(size)]
    return lambda: shell.pool.resize(connections[size // 2], 2, 0)


def many_who_wait_for_a_dial(size: int) -> Callable[[], Any]:
    shell = Shell()
    shell.dialling()
    tickets = [shell.waiting() for _ in range(size)]
    return lambda: shell.pool.abandon(tickets[size // 2], 0)


def one_more_who_waits_for_a_dial(size: int) -> Callable[[], Any]:
    shell = Shell()
    shell.dialling()
    for _ in range(size):
        shell.waiting()
    return lambda: shell.pool.acquire(A, 0)


@pytest.mark.parametrize(
    "situation",
    [
        many_users,
        many_waiters,
        many_waiters_of_as_many_keys,
        many_full_connections,
        many_who_wait_for_a_dial,
        one_more_who_waits_for_a_dial,
    ],
)
def test_an_operation_costs_the_same_with_ten_and_with_ten_thousand(situation):
    few, many = (calls_of(situation(size)) for size in (10, 10_000))
    assert few == many
    assert many < 60


# Before the peer has said how many it takes.


def test_a_connection_of_unknown_capacity_takes_one_and_the_others_wait_for_what_the_peer_says():
    """All of a burst went to a connection that took 8 at once, and the others were refused for good."""
    shell = Shell()
    first = shell.dialling()
    others = [shell.waiting() for _ in range(3)]
    connection = shell.dial(first, UNKNOWN)
    assert first.connection is connection
    assert not any(ticket.served or ticket.dial for ticket in others)
    assert shell.pool.awaits_dial(A)
    late = shell.waiting()
    assert shell.resize(connection, 3) == others, "two fit, and the third dials"
    assert [ticket.connection for ticket in others] == [connection, connection, None]
    assert others[2].dial
    assert not late.dial, "what is dialled may be for it, too"
    assert not shell.pool.awaits_dial(B)


def test_what_a_key_allowed_last_is_what_its_next_connection_begins_with():
    shell = Shell(max_connections=1)
    connection = shell.shared(5)
    shell.release(connection, reusable=False)
    first = shell.dialling()
    others = [shell.waiting() for _ in range(7)]
    again = shell.dial(first, UNKNOWN)
    assert [ticket.connection for ticket in others] == [again] * 4 + [None] * 3
    shell.resize(again, 6)
    assert [ticket.connection for ticket in others] == [again] * 5 + [None] * 2


def test_a_connection_of_unknown_capacity_gets_no_more_than_http2_assumes():
    """Those beyond it found no room there, were given a place there again, and so on without end."""
    shell = Shell(max_connections=1)
    connection = shell.shared(200)
    shell.release(connection, reusable=False)
    first = shell.dialling()
    others = [shell.waiting() for _ in range(150)]
    again = shell.dial(first, UNKNOWN)
    assert [ticket.connection for ticket in others].count(again) == ASSUMED_STREAMS - 1
    shell.resize(again, 200)
    assert [ticket.connection for ticket in others].count(again) == 150


def test_unknown_is_nothing_new():
    shell = Shell()
    connection = shell.shared(2)
    assert shell.resize(connection, UNKNOWN) == []
    assert shell.acquire() is connection


@pytest.mark.parametrize("how", ["released", "removed", "said to take none"])
def test_those_that_wait_for_a_peer_that_never_says_it_dial_when_its_connection_is_gone(how: str):
    shell = Shell()
    first = shell.dialling()
    connection = shell.dial(first, UNKNOWN)
    waiting = shell.waiting()
    if how == "released":
        shell.release(connection, reusable=False)
    elif how == "said to take none":
        shell.resize(connection, 0)
    else:
        shell.pool.abandon(waiting, 0)
        shell.release(connection)
        assert shell.pool.remove(connection)
        waiting = shell.ticket()
    assert waiting.dial
    assert not waiting.served


def test_the_next_request_uses_a_connection_of_unknown_capacity_that_is_free():
    shell = Shell()
    connection = shell.dial(shell.dialling(), UNKNOWN)
    waiting = shell.waiting()
    assert shell.release(connection) == [waiting]
    assert waiting.connection is connection


def test_what_is_remembered_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_sharing, "_MAX_REMEMBERED", 3)
    shell = Shell()
    for port in range(10):
        shell.shared(5, ("https", "a", port))
    assert len(shell.pool._allowed) == 3
