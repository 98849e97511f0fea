"""
The pool: each rule of its docstring as a sentence, then all of them at once against a model, then its cost.

`Shell` does what an engine does with a pool, without sockets: it carries out the chores, and fails the test when a
connection is closed twice, or one that it never had.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Optional, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from httpx._pool import Pool, Ticket
from httpx._sharing import SharingPool
from support.counting import calls_of
from support.interrupts import POOL, Interrupted, interrupt
from support.pools import check_pool

A, B, C = ("https", "a.example", 443), ("https", "b.example", 443), ("https", "c.example", 443)


class Connection:
    """A connection: opaque to the pool, told apart by identity."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Shell:
    """A pool, and what became of its connections."""

    def __init__(self, **limits: Any) -> None:
        self.pool: Pool[Connection] = Pool(**limits)
        self.closed: list[Connection] = []
        self.made = 0

    def acquire(self, key: Any = A, now: float = 0) -> Union[Connection, Ticket[Connection]]:
        got = self.pool.acquire(key, now)
        self.settle()
        return got

    def ticket(self, key: Any = A, now: float = 0) -> Ticket[Connection]:
        """A ticket that must not have been served at once."""
        got = self.acquire(key, now)
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

    def dial(self, ticket: Ticket[Connection], now: float = 0) -> Connection:
        """The dial of a ticket succeeds."""
        self.made += 1
        connection = Connection(f"{ticket.key[1]} {self.made}")
        self.pool.dialled(ticket, connection, now)
        self.settle()
        return connection

    def lease(self, key: Any = A, now: float = 0) -> Connection:
        """A connection in use: idle before, or new."""
        got = self.acquire(key, now)
        if isinstance(got, Connection):
            return got
        assert got.dial
        connection = self.dial(got, now)
        assert got.connection is connection
        return connection

    def release(self, connection: Connection, reusable: bool = True, now: float = 0) -> list[Ticket[Connection]]:
        self.pool.release(connection, reusable, now)
        return self.settle()

    def settle(self) -> list[Ticket[Connection]]:
        """Close what the pool wants closed; the tickets that it wants woken."""
        assert self.pool.has_chores or self.pool.take_chores() == ([], [])
        closing, woken = self.pool.take_chores()
        assert not self.pool.has_chores
        for connection in closing:
            assert connection not in self.closed, "closed twice"
            self.closed.append(connection)
        return woken


# Idle connections.


def test_the_first_request_is_told_to_dial():
    shell = Shell()
    ticket = shell.dialling()
    assert shell.pool.counts() == (0, 0, 1, 1)
    connection = shell.dial(ticket)
    assert ticket.connection is connection
    assert ticket.served
    assert shell.pool.counts() == (1, 0, 0, 0)
    assert shell.pool.connections == [connection]


def test_a_connection_that_was_given_back_is_used_again():
    shell = Shell()
    connection = shell.lease()
    shell.release(connection)
    assert shell.pool.counts() == (1, 1, 0, 0)
    assert shell.lease() is connection
    assert shell.pool.counts() == (1, 0, 0, 0)


def test_of_several_idle_connections_the_newest_is_used_first():
    shell = Shell()
    first, second, third = [shell.lease() for _ in range(3)]
    for connection in (second, third, first):
        shell.release(connection)
    assert [shell.lease() for _ in range(3)] == [first, third, second]


def test_a_connection_is_only_used_for_its_own_key():
    shell = Shell()
    connection = shell.lease(A)
    shell.release(connection)
    assert shell.dialling(B)
    assert shell.lease(A) is connection


@pytest.mark.parametrize("key", [None, "x", 0, ("https", "a.example", 443, "sni")])
def test_a_key_may_be_anything_that_compares(key):
    pool: Pool[Connection] = Pool()
    ticket, connection = pool.acquire(key, 0), Connection("any")
    assert isinstance(ticket, Ticket)
    pool.dialled(ticket, connection, 0)
    pool.release(connection, True, 0)
    assert pool.acquire(key, 0) is connection


def test_a_connection_that_cannot_be_used_again_is_closed():
    shell = Shell()
    connection = shell.lease()
    shell.release(connection, reusable=False)
    assert shell.closed == [connection]
    assert shell.pool.counts() == (0, 0, 0, 0)
    assert shell.dialling()


def test_an_idle_connection_is_usable_until_it_expires():
    shell = Shell(expiry=5)
    connection = shell.lease(now=10)
    shell.release(connection, now=10)
    assert shell.lease(now=14.9) is connection
    shell.release(connection, now=20)
    assert isinstance(shell.acquire(now=25), Ticket)
    assert shell.closed == [connection]


def test_without_an_expiry_an_idle_connection_is_usable_for_ever():
    shell = Shell()
    connection = shell.lease()
    shell.release(connection)
    assert shell.lease(now=1e12) is connection


@pytest.mark.parametrize("expiry", [0, -1])
def test_with_an_expiry_of_nothing_no_connection_is_kept(expiry):
    shell = Shell(expiry=expiry)
    connection = shell.lease()
    shell.release(connection)
    assert shell.closed == [connection]


def test_expired_connections_of_all_keys_are_closed_when_a_connection_is_given_back_or_a_new_one_wanted():
    shell = Shell(expiry=5)
    first, second, third = shell.lease(A), shell.lease(A), shell.lease(B)
    shell.release(first, now=0)
    shell.release(second, now=1)
    shell.release(third, now=5.5)
    assert shell.closed == [first]
    shell.ticket(C, now=7)
    assert shell.closed == [first, second]


def test_the_keepalive_limit_counts_idle_connections_only_and_the_oldest_goes():
    """In 0.28.1 busy connections counted, too, so that at a load above the limit none was ever kept."""
    shell = Shell(max_keepalive=2)
    connections = [shell.lease() for _ in range(5)]
    for connection in connections[:2]:
        shell.release(connection)
    assert shell.closed == []
    shell.release(connections[2])
    assert shell.closed == connections[:1]
    assert shell.pool.counts() == (4, 2, 0, 0)


def test_with_a_keepalive_limit_of_nothing_no_connection_is_kept():
    shell = Shell(max_keepalive=0)
    connection = shell.lease()
    shell.release(connection)
    assert shell.closed == [connection]
    assert shell.pool.counts() == (0, 0, 0, 0)


# The limits.


def test_at_the_limit_requests_wait_and_are_served_in_their_order():
    shell = Shell(max_connections=1)
    connection = shell.lease()
    waiters = [shell.waiting() for _ in range(3)]
    assert shell.pool.counts() == (1, 0, 0, 3)
    for waiter in waiters:
        assert shell.release(connection) == [waiter]
        assert waiter.connection is connection
    assert shell.release(connection) == []
    assert shell.pool.counts() == (1, 1, 0, 0)


def test_a_dial_in_flight_counts_as_a_connection():
    shell = Shell(max_connections=1)
    shell.dialling(A)
    shell.waiting(B)


def test_a_connection_that_breaks_lets_the_oldest_waiter_dial():
    shell = Shell(max_connections=1)
    connection = shell.lease()
    waiter, other = shell.waiting(), shell.waiting()
    assert shell.release(connection, reusable=False) == [waiter]
    assert waiter.dial
    assert not waiter.served
    assert not other.dial
    shell.dial(waiter)
    assert shell.pool.counts() == (1, 0, 0, 1)


def test_at_the_limit_the_idle_connection_unused_for_longest_makes_room():
    shell = Shell(max_connections=2)
    first, second = shell.lease(A), shell.lease(B)
    shell.release(second)
    shell.release(first)
    assert shell.dialling(C)
    assert shell.closed == [second]
    assert shell.dialling(C)
    assert shell.closed == [second, first]
    assert shell.waiting(C)


def test_a_connection_is_given_up_for_an_older_waiter_of_another_key():
    """Otherwise one busy host could keep all others waiting for ever."""
    shell = Shell(max_connections=1)
    connection = shell.lease(A)
    other, same = shell.waiting(B), shell.waiting(A)
    assert shell.release(connection) == [other]
    assert shell.closed == [connection]
    assert other.dial
    new = shell.dial(other)
    assert shell.release(new) == [same]
    assert same.dial


def test_a_connection_goes_to_an_older_waiter_of_its_own_key():
    shell = Shell(max_connections=1)
    connection = shell.lease(A)
    same, other = shell.waiting(A), shell.waiting(B)
    assert shell.release(connection) == [same]
    assert same.connection is connection
    assert not other.dial


def test_a_limit_for_each_key_leaves_room_for_the_others():
    shell = Shell(max_connections=3, max_per_key=1)
    first = shell.lease(A)
    waiter = shell.waiting(A)
    second = shell.lease(B)
    assert shell.release(second) == []
    assert shell.release(first) == [waiter]
    assert waiter.connection is first


def test_a_waiter_at_the_limit_of_its_key_dials_when_a_connection_of_the_key_breaks():
    shell = Shell(max_per_key=1)
    connection = shell.lease(A)
    waiter = shell.waiting(A)
    assert shell.release(connection, reusable=False) == [waiter]
    assert waiter.dial


def test_at_the_limit_of_a_key_an_idle_connection_of_another_key_is_left_alone():
    shell = Shell(max_connections=2, max_per_key=1)
    shell.lease(A)
    idle = shell.lease(B)
    shell.release(idle)
    shell.waiting(A)
    assert shell.lease(B) is idle


def test_a_waiter_whose_key_was_at_its_limit_keeps_its_place():
    """It was put at the end of the queue, where requests that came later overtook it again and again."""
    shell = Shell(max_connections=3, max_per_key=1)
    first, second, third = shell.lease(A), shell.lease(B), shell.lease(C)
    oldest = shell.waiting(("https", "d.example", 443))
    blocked = shell.waiting(A)
    youngest = shell.waiting(("https", "e.example", 443))
    assert shell.release(first, reusable=False) == [oldest]
    assert shell.release(second, reusable=False) == [blocked]
    assert shell.release(third, reusable=False) == [youngest]


def test_a_waiter_that_gives_up_does_not_take_the_next_ones_chance_along():
    """The slot of a key was announced to one waiter only; when that one gave up, the next waited for ever."""
    shell = Shell(max_connections=2, max_per_key=1)
    first, second = shell.lease(A), shell.lease(B)
    other = shell.waiting(C)
    quitter, patient = shell.waiting(A), shell.waiting(A)
    assert shell.release(first, reusable=False) == [other]
    shell.pool.abandon(quitter, 0)
    assert shell.release(second) == [patient]
    assert patient.dial


def test_new_requests_do_not_overtake_those_of_their_key_that_waited_at_its_limit():
    shell = Shell(max_connections=2, max_per_key=1)
    first, second = shell.lease(A), shell.lease(B)
    other = shell.waiting(C)
    waiters = [shell.waiting(A), shell.waiting(A)]
    assert shell.release(first, reusable=False) == [other]
    waiters.append(shell.waiting(A))  # there is room for the key now, but not for all
    assert shell.release(second, reusable=False) == waiters[:1]
    connection = shell.dial(waiters[0])
    assert shell.release(connection) == waiters[1:2]
    assert shell.release(connection) == waiters[2:]


@pytest.mark.parametrize("limits", [{"max_connections": 0}, {"max_per_key": 0}])
def test_where_no_connection_is_allowed_every_request_waits(limits):
    shell = Shell(**limits)
    waiter = shell.waiting()
    shell.pool.abandon(waiter, 0)
    assert shell.pool.counts() == (0, 0, 0, 0)


# Late binding.


def test_a_request_that_dials_takes_a_connection_that_is_given_back_meanwhile():
    shell = Shell()
    connection = shell.lease()
    ticket = shell.dialling()
    assert shell.release(connection) == [ticket]
    assert ticket.connection is connection
    assert ticket.dial  # and it is still in flight


def test_the_dial_that_lost_serves_the_next_waiter():
    shell = Shell(max_connections=2)
    connection = shell.lease()
    winner, waiter = shell.dialling(), shell.waiting()
    shell.release(connection)
    assert winner.connection is connection
    late = Connection("late")
    shell.pool.dialled(winner, late, 0)
    assert shell.settle() == [waiter]
    assert waiter.connection is late
    assert winner.connection is connection


def test_the_dial_that_lost_becomes_idle_when_nobody_waits():
    shell = Shell()
    connection = shell.lease()
    winner = shell.dialling()
    shell.release(connection)
    late = shell.dial(winner)
    assert shell.pool.counts() == (2, 1, 0, 0)
    assert shell.lease() is late


def test_the_dial_that_lost_and_then_fails_frees_its_slot_for_the_next_and_bothers_nobody():
    shell = Shell(max_connections=2)
    connection = shell.lease()
    winner, waiter = shell.dialling(), shell.waiting()
    shell.release(connection)
    shell.pool.dial_failed(winner, OSError("refused"))
    assert shell.settle() == [waiter]
    assert waiter.dial
    assert winner.error is None


def test_of_several_requests_that_dial_the_oldest_takes_what_is_given_back():
    shell = Shell()
    connection = shell.lease()
    first, second = shell.dialling(), shell.dialling()
    assert shell.release(connection) == [first]
    assert shell.release(connection) == [second]


def test_a_dial_of_another_key_is_not_served_by_it():
    shell = Shell()
    connection = shell.lease(A)
    ticket = shell.dialling(B)
    assert shell.release(connection) == []
    assert not ticket.served


def test_without_late_binding_a_dial_serves_the_request_that_made_it():
    shell = Shell(max_connections=2, late_binding=False)
    connection = shell.lease()
    dialling, waiter = shell.dialling(), shell.waiting()
    assert shell.release(connection) == [waiter]
    assert not dialling.served
    own = shell.dial(dialling)
    assert dialling.connection is own


def test_without_late_binding_a_connection_becomes_idle_beside_a_dial():
    shell = Shell(late_binding=False)
    connection = shell.lease()
    shell.dialling()
    assert shell.release(connection) == []
    assert shell.lease() is connection


# Giving up, failing, dying.


def test_a_waiter_that_gives_up_leaves_the_queue():
    shell = Shell(max_connections=1)
    connection = shell.lease()
    first, second = shell.waiting(), shell.waiting()
    shell.pool.abandon(first, 0)
    assert shell.pool.counts() == (1, 0, 0, 1)
    assert shell.release(connection) == [second]


def test_a_waiter_may_give_up_twice():
    shell = Shell(max_connections=1)
    shell.lease()
    waiter = shell.waiting()
    shell.pool.abandon(waiter, 0)
    shell.pool.abandon(waiter, 0)
    assert shell.pool.counts() == (1, 0, 0, 0)


def test_a_request_that_gives_up_while_it_dials_leaves_its_dial_to_the_next():
    shell = Shell(max_connections=1)
    quitter, waiter = shell.dialling(), shell.waiting()
    shell.pool.abandon(quitter, 0)
    assert shell.pool.counts() == (0, 0, 1, 1)
    connection = shell.dial(quitter)
    assert waiter.connection is connection
    assert not quitter.served


def test_a_request_that_gives_up_and_cancels_its_dial_frees_the_slot():
    shell = Shell(max_connections=1)
    quitter, waiter = shell.dialling(), shell.waiting()
    shell.pool.abandon(quitter, 0)
    shell.pool.dial_failed(quitter)
    assert shell.settle() == [waiter]
    assert waiter.dial


def test_a_request_that_gives_up_when_it_was_just_served_passes_the_connection_on():
    """A cancellation that arrives together with the connection lost it in well-known pools, one slot each time."""
    shell = Shell(max_connections=1)
    connection = shell.lease()
    quitter, waiter = shell.waiting(), shell.waiting()
    shell.release(connection)
    assert quitter.connection is connection
    shell.pool.abandon(quitter, 0)
    assert shell.settle() == [waiter]
    assert quitter.connection is None
    assert waiter.connection is connection


def test_a_request_that_gives_up_when_it_was_just_told_to_dial_passes_the_slot_on():
    shell = Shell(max_connections=1)
    connection = shell.lease()
    quitter, waiter = shell.waiting(), shell.waiting()
    shell.release(connection, reusable=False)
    assert quitter.dial
    shell.pool.abandon(quitter, 0)
    shell.pool.dial_failed(quitter)
    assert shell.settle() == [waiter]
    assert waiter.dial


def test_a_request_that_gives_up_after_an_error_changes_nothing():
    shell = Shell()
    ticket = shell.dialling()
    shell.pool.dial_failed(ticket, OSError("refused"))
    shell.pool.abandon(ticket, 0)
    assert shell.settle() == [ticket]
    assert shell.pool.counts() == (0, 0, 0, 0)


def test_a_dial_that_fails_tells_its_request_why():
    shell = Shell()
    ticket, error = shell.dialling(), OSError("refused")
    shell.pool.dial_failed(ticket, error)
    assert shell.settle() == [ticket]
    assert ticket.error is error
    assert ticket.served
    assert shell.pool.counts() == (0, 0, 0, 0)


def test_a_dial_that_never_began_frees_its_slot_and_wakes_nobody():
    shell = Shell()
    shell.pool.dial_failed(shell.dialling())
    assert shell.settle() == []
    assert shell.pool.counts() == (0, 0, 0, 0)


def test_an_idle_connection_that_died_is_forgotten():
    shell = Shell()
    connection, other = shell.lease(), shell.lease()
    shell.release(other)
    shell.release(connection)
    assert shell.pool.remove(connection)
    shell.settle()
    assert shell.closed == [connection]
    assert shell.lease() is other
    assert not shell.pool.remove(connection)


def test_a_busy_connection_that_died_is_left_to_its_exchange():
    shell = Shell()
    connection = shell.lease()
    assert not shell.pool.remove(connection)
    assert shell.pool.counts() == (1, 0, 0, 0)


# The end.


def test_shutting_gives_out_every_connection_busy_or_idle():
    shell = Shell()
    busy, idle = shell.lease(A), shell.lease(B)
    shell.release(idle)
    assert shell.pool.shut() == [busy, idle]
    assert shell.pool.counts() == (0, 0, 0, 0)
    assert shell.settle() == []
    assert shell.pool.shut() == []


def test_shutting_gives_out_connections_that_were_to_be_closed_before():
    """They were forgotten: descriptors that stayed open until the garbage collector found them."""
    shell = Shell()
    connection = shell.lease()
    shell.pool.release(connection, False, 0)
    assert shell.pool.shut() == [connection]
    assert shell.settle() == []


def test_a_connection_given_back_after_shutting_is_not_closed_a_second_time():
    shell = Shell()
    connection = shell.lease()
    assert shell.pool.shut() == [connection]
    shell.release(connection)
    assert shell.closed == []
    assert shell.pool.counts() == (0, 0, 0, 0)


def test_a_dial_that_ends_after_shutting_serves_who_waits_and_is_not_kept():
    shell = Shell()
    ticket = shell.dialling()
    assert shell.pool.shut() == []
    connection = shell.dial(ticket)
    assert ticket.connection is connection
    shell.release(connection)
    assert shell.closed == [connection]


def test_a_dial_that_ends_after_shutting_and_was_given_up_is_closed():
    shell = Shell()
    ticket = shell.dialling()
    shell.pool.abandon(ticket, 0)
    shell.pool.shut()
    connection = shell.dial(ticket)
    assert shell.closed == [connection]


def test_waiters_are_told_to_dial_when_shutting_frees_their_slot():
    shell = Shell(max_connections=1)
    connection = shell.lease()
    waiter = shell.waiting()
    assert shell.pool.shut() == [connection]
    assert shell.settle() == [waiter]
    assert waiter.dial


# Everything at once, against a model.


class PoolAgainstModel(RuleBasedStateMachine):
    """
    An engine with any number of tasks, and beside the pool a model of lists that are searched from end to end.

    The tasks are slow on purpose: between a ticket's being served and its owner's taking note, anything may happen.
    """

    @initialize(
        max_connections=st.sampled_from([None, 1, 2, 3, 5]),
        max_keepalive=st.sampled_from([None, 0, 1, 2]),
        max_per_key=st.sampled_from([None, None, 1, 2]),
        expiry=st.sampled_from([None, 3.0]),
        late_binding=st.booleans(),
    )
    def begin(self, **limits: Any) -> None:
        self.pool: Pool[Connection] = Pool(**limits)
        self.max = limits["max_connections"] or 10**9
        self.max_idle = 10**9 if limits["max_keepalive"] is None else limits["max_keepalive"]
        self.max_per_key = limits["max_per_key"] or 10**9
        self.expiry = limits["expiry"] or 10**9
        self.late_binding = limits["late_binding"]
        self.now = 0.0
        self.keys: dict[Connection, str] = {}  # of every open connection
        self.idle: dict[Connection, float] = {}  # oldest first -> when it expires
        self.leased: list[Connection] = []
        self.tickets: list[Ticket[Connection]] = []  # without an answer, oldest first
        self.served: list[Ticket[Connection]] = []  # answered, and the owner does not know yet
        self.dials: list[Ticket[Connection]] = []
        self.closed: list[Connection] = []
        self.made: list[Connection] = []

    # What the model knows.

    def slots(self, key: Optional[str] = None) -> int:
        held = list(self.keys.values()) + [ticket.key for ticket in self.dials]
        return len(held) if key is None else held.count(key)

    def waiting(self) -> list[Ticket[Connection]]:
        return [ticket for ticket in self.tickets if not ticket.dial]

    def claims(self, key: str) -> tuple[bool, bool]:
        """Does a ticket want a connection of `key`? Does one of another key want its slot?"""
        wanted = any(t.key == key and (self.late_binding or not t.dial) for t in self.tickets)
        others = [t.key for t in self.waiting() if t.key != key]
        return wanted, any(self.slots(other) < self.max_per_key for other in others)

    def settle(self, may_close: Optional[Connection] = None) -> None:
        """Carry out the chores, and check that each is one that the rules ask for."""
        if not self.pool.has_chores:
            assert self.pool.take_chores() == ([], [])
            return
        closing, woken = self.pool.take_chores()
        for connection in closing:
            assert connection not in self.closed, "closed twice"
            assert connection not in self.leased, "closed while it is used"
            if connection is not may_close and self.idle[connection] > self.now:
                assert connection == next(iter(self.idle)), "not the one unused for longest"
                assert len(self.idle) > self.max_idle or self.slots() >= self.max, "closed without need"
            self.closed.append(connection)
            del self.keys[connection]
            self.idle.pop(connection, None)
        for ticket in woken:
            self.note(ticket)

    def note(self, ticket: Ticket[Connection]) -> None:
        """A ticket was served, or told to dial: it must have been its turn."""
        own_dial = ticket in self.dials
        for older in self.waiting():
            if older.number < ticket.number and not own_dial:
                assert older.key != ticket.key, "overtaken by one of its own key"
                assert self.slots(older.key) >= self.max_per_key, "overtaken by one of another key"
        if ticket.served:
            self.tickets.remove(ticket)
            self.served.append(ticket)
            if ticket.connection is not None:
                assert ticket.connection not in self.idle
                assert ticket.connection not in self.leased
                assert self.keys[ticket.connection] == ticket.key
                self.leased.append(ticket.connection)
        else:
            assert ticket.dial
            self.dials.append(ticket)

    # What may happen.

    @rule(key=st.sampled_from("ABC"))
    def acquire(self, key: str) -> None:
        usable = [one for one, expires in self.idle.items() if self.keys[one] == key and expires > self.now]
        got = self.pool.acquire(key, self.now)
        if isinstance(got, Connection):
            assert got is usable[-1], "not the newest idle one"
            del self.idle[got]
            self.settle()
            self.leased.append(got)
            return
        assert not usable, "told to dial or to wait beside an idle connection"
        self.settle()
        self.tickets.append(got)
        if got.dial:
            self.dials.append(got)

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), reusable=st.booleans())
    def release(self, data: st.DataObject, reusable: bool) -> None:
        known = [one for one in self.leased if all(ticket.connection is not one for ticket in self.served)]
        if known:
            connection = data.draw(st.sampled_from(known))
            self.leased.remove(connection)
            self.give_back(connection, reusable, lambda: self.pool.release(connection, reusable, self.now))

    def give_back(self, connection: Connection, reusable: bool, operation: Callable[[], None]) -> None:
        """Do what gives the pool a connection that nobody has; it goes to a ticket, becomes idle, or is closed."""
        wanted, in_the_way = self.claims(self.keys[connection])
        operation()
        if reusable and not wanted and not in_the_way:
            self.idle[connection] = self.now + self.expiry
        self.settle(may_close=connection)
        if not reusable or (in_the_way and not wanted):
            assert connection in self.closed
        elif wanted and not in_the_way:
            assert connection in self.leased
        elif wanted:
            assert connection in self.leased or connection in self.closed
        else:
            assert connection in self.idle or self.max_idle == 0

    @precondition(lambda self: self.dials)
    @rule(data=st.data())
    def dial_succeeds(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.dials))
        connection = Connection(f"{ticket.key} {len(self.made)}")
        self.made.append(connection)
        self.keys[connection] = ticket.key
        if ticket in self.tickets:
            self.pool.dialled(ticket, connection, self.now)
            assert ticket.connection is connection
            self.settle()
            self.dials.remove(ticket)
        else:
            self.dials.remove(ticket)
            self.give_back(connection, True, lambda: self.pool.dialled(ticket, connection, self.now))

    @precondition(lambda self: self.dials)
    @rule(data=st.data(), known=st.booleans())
    def dial_fails(self, data: st.DataObject, known: bool) -> None:
        ticket = data.draw(st.sampled_from(self.dials))
        waits = ticket in self.tickets
        if waits and not known:
            # Cancelled with its owner.
            self.tickets.remove(ticket)
            self.pool.abandon(ticket, self.now)
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
        connection = ticket.connection
        if gives_up and connection is not None:
            self.leased.remove(connection)
            self.give_back(connection, True, lambda: self.pool.abandon(ticket, self.now))

    @precondition(lambda self: self.idle)
    @rule(data=st.data())
    def idle_connection_dies(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(list(self.idle)))
        assert self.pool.remove(connection)
        self.settle(may_close=connection)
        assert connection in self.closed

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def busy_connection_is_not_removed(self, data: st.DataObject) -> None:
        assert not self.pool.remove(data.draw(st.sampled_from(self.leased)))

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # What always holds.

    @invariant()
    def counts_agree(self) -> None:
        assert self.pool.counts() == (len(self.keys), len(self.idle), len(self.dials), len(self.tickets))

    @invariant()
    def limits_hold(self) -> None:
        assert self.slots() <= self.max
        assert all(self.slots(key) <= self.max_per_key for key in "ABC")
        assert len(self.idle) <= self.max_idle

    @invariant()
    def a_connection_is_idle_or_leased(self) -> None:
        assert sorted(map(repr, [*self.idle, *self.leased])) == sorted(map(repr, self.keys))

    @invariant()
    def nobody_waits_without_need(self) -> None:
        for ticket in self.tickets:
            if self.late_binding or not ticket.dial:
                assert all(self.keys[one] != ticket.key for one in self.idle), "waits beside a usable connection"
        for ticket in self.waiting():
            if self.slots(ticket.key) < self.max_per_key:
                assert self.slots() >= self.max, "waits beside a free slot"
                assert not self.idle, "waits beside an idle connection that could make room"

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for ticket in self.tickets + self.served:
            self.pool.abandon(ticket, self.now)
            self.leased = [one for one in self.leased if one is not ticket.connection]
        for ticket in self.dials:
            self.pool.dial_failed(ticket)
        closed = self.closed + self.pool.shut() + self.pool.take_chores()[0]
        assert sorted(map(repr, closed)) == sorted(map(repr, self.made)), "each connection is closed exactly once"
        assert self.pool.counts() == (0, 0, 0, 0)
        for name in ("_keys", "_per_key", "_idle", "_idle_of", "_dialling", "_waiting", "_line", "_place_of"):
            assert not getattr(self.pool, name), f"{name} is not empty"


PoolAgainstModel.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
test_the_pool_agrees_with_a_model = PoolAgainstModel.TestCase


# What it costs.


def idle_connections(size: int, shell: Shell) -> Callable[[], Any]:
    connections = [shell.lease(A) for _ in range(size)]
    for connection in connections:
        shell.release(connection)
    return lambda: shell.pool.release(shell.pool.acquire(A, 0), True, 0)


def idle_connections_of_as_many_keys(size: int, shell: Shell) -> Callable[[], Any]:
    for connection in [shell.lease(("http", f"{index}.example", 80)) for index in range(size)]:
        shell.release(connection)
    return lambda: shell.pool.remove(next(iter(shell.pool._idle)))


def busy_connections(size: int, shell: Shell) -> Callable[[], Any]:
    connections = [shell.lease(A) for _ in range(size)]
    return lambda: shell.pool.release(connections[size // 2], True, 0)


def waiters(size: int, shell: Shell) -> Callable[[], Any]:
    shell = Shell(max_connections=1)
    connection = shell.lease(A)
    for _ in range(size):
        shell.waiting(A)
    return lambda: shell.pool.release(connection, True, 0)


def waiters_of_as_many_keys(size: int, shell: Shell) -> Callable[[], Any]:
    shell = Shell(max_connections=1)
    connection = shell.lease(A)
    for index in range(size):
        shell.waiting(("http", f"{index}.example", 80))
    return lambda: shell.pool.release(connection, True, 0)


def waiters_at_the_limit_of_their_key(size: int, shell: Shell) -> Callable[[], Any]:
    shell = Shell(max_connections=2, max_per_key=1)
    shell.lease(A)
    connection = shell.lease(B)
    for _ in range(size):
        shell.waiting(A)
    shell.waiting(C)
    return lambda: shell.pool.release(connection, True, 0)


def a_waiter_in_the_middle_gives_up(size: int, shell: Shell) -> Callable[[], Any]:
    shell = Shell(max_connections=1)
    shell.lease(A)
    tickets = [shell.waiting(A) for _ in range(size)]
    return lambda: shell.pool.abandon(tickets[size // 2], 0)


def one_more_waiter(size: int, shell: Shell) -> Callable[[], Any]:
    shell = Shell(max_connections=1)
    shell.lease(A)
    for _ in range(size):
        shell.waiting(A)
    return lambda: shell.pool.acquire(A, 0)


def dials_in_flight(size: int, shell: Shell) -> Callable[[], Any]:
    connection = shell.lease(A)
    for _ in range(size):
        shell.dialling(A)
    return lambda: shell.pool.release(connection, True, 0)


def a_dial_fails_beside_waiters(size: int, shell: Shell) -> Callable[[], Any]:
    shell = Shell(max_connections=1)
    ticket = shell.dialling(A)
    for _ in range(size):
        shell.waiting(A)
    return lambda: shell.pool.dial_failed(ticket, OSError())


@pytest.mark.parametrize(
    "situation",
    [
        idle_connections,
        idle_connections_of_as_many_keys,
        busy_connections,
        waiters,
        waiters_of_as_many_keys,
        waiters_at_the_limit_of_their_key,
        a_waiter_in_the_middle_gives_up,
        one_more_waiter,
        dials_in_flight,
        a_dial_fails_beside_waiters,
    ],
)
def test_an_operation_costs_the_same_with_ten_and_with_ten_thousand(situation):
    """A pass over all connections for each request made 0.28.1 ten times slower at 500 concurrent than at 50."""
    few, many = (calls_of(situation(size, Shell())) for size in (10, 10_000))
    assert few == many
    assert many < 60


# Interrupted after any bytecode.


class Requests:
    """
    Requests that use a pool as engines do, one of whose operations is interrupted.

    Args:
        pool: with at most two connections.
        in_tasks: dials go on in tasks of their own, which report their end, as on asyncio and trio.
    """

    def __init__(self, pool: Pool[Connection], in_tasks: bool) -> None:
        self.pool = pool
        self.in_tasks = in_tasks
        self.now = 0.0
        self.live: dict[object, Union[Connection, Ticket[Connection]]] = {}
        self.dials: list[Ticket[Connection]] = []
        self.closed: list[Connection] = []
        self.woken: set[Ticket[Connection]] = set()
        self.number = 0  # of the bytecode of the next operation that is interrupted
        self.other_first = False

    def call(self, holder: object, operation: Callable[[], Any]) -> Any:
        """Do an operation; if it is interrupted, another request comes first, and then its own is given up."""
        if not self.number:
            return operation()
        number, self.number = self.number, 0
        passed: list[int] = []
        try:
            return interrupt(operation, POOL, number, passed=passed)
        except Interrupted:
            INTERRUPTED.append(number)
            if self.other_first:
                self.acquire("A")
            if holder is not None:
                ticket = self.live.pop(holder, None)
                self.pool.give_up(holder, self.dials if self.in_tasks else ())
                if not self.in_tasks:
                    self.dials = [dial for dial in self.dials if dial is not ticket]
            return None

    def acquire(self, key: str) -> None:
        holder = object()
        self.live[holder] = Ticket(key, 0)  # nothing is known of it as yet
        got = self.call(holder, lambda: self.pool.acquire(key, self.now, holder))
        if got is None:
            self.live.pop(holder, None)
            return
        self.live[holder] = got
        if isinstance(got, Ticket) and got.dial:
            self.dials.append(got)

    def using(self) -> list[tuple[object, Connection]]:
        """Who has a connection, and which."""
        pairs = ((holder, got.connection if isinstance(got, Ticket) else got) for holder, got in self.live.items())
        return [(holder, connection) for holder, connection in pairs if connection is not None]

    def step(self, what: str, choice: int, flag: bool) -> None:
        self.now += choice
        using = self.using()
        waiting = [(one, got) for one, got in self.live.items() if isinstance(got, Ticket) and not got.served]
        if what == "acquire":
            self.acquire("AAB"[choice])
        elif what == "release" and using:
            holder, connection = using[choice % len(using)]
            self.call(holder, lambda: self.pool.release(connection, flag, self.now, holder))
            self.live.pop(holder, None)
        elif what == "dialled" and self.dials:
            self.end_dial(self.dials[choice % len(self.dials)], flag)
        elif what == "abandon" and waiting:
            holder, ticket = waiting[choice % len(waiting)]
            self.call(holder, lambda: self.pool.abandon(ticket, self.now))
            self.live.pop(holder, None)
            if not self.in_tasks and ticket in self.dials:
                self.dials.remove(ticket)
                self.pool.dial_failed(ticket)
        elif what == "remove" and self.pool._idle:
            connection = list(self.pool._idle)[choice % len(self.pool._idle)]
            self.call(None, lambda: self.pool.remove(connection))
        elif what == "resize" and isinstance(self.pool, SharingPool) and self.pool._keys:
            connection = list(self.pool._keys)[choice % len(self.pool._keys)]
            pool = self.pool
            self.call(None, lambda: pool.resize(connection, 2 * choice, self.now))
        self.settle()

    def end_dial(self, ticket: Ticket[Connection], succeeds: bool) -> None:
        holder = None if self.in_tasks else next((one for one, got in self.live.items() if got is ticket), None)
        connection = Connection(ticket.key)
        if not succeeds:
            self.call(holder, lambda: self.pool.dial_failed(ticket, OSError()))
        elif isinstance(self.pool, SharingPool):
            pool, capacity = self.pool, 2 if ticket.key == "A" else None
            self.call(holder, lambda: pool.dialled(ticket, connection, self.now, capacity))
        else:
            self.call(holder, lambda: self.pool.dialled(ticket, connection, self.now))
        if ticket in self.dials:
            self.dials.remove(ticket)
        self.pool.dial_failed(ticket, OSError())  # the end of a task; and it does no harm elsewhere

    def settle(self) -> None:
        closing, woken = self.pool.take_chores()
        for connection in closing:
            assert connection not in self.closed, "closed twice"
            self.closed.append(connection)
        self.woken.update(woken)
        for ticket in woken:
            if ticket.dial and not ticket.served and ticket not in self.dials and ticket in self.pool._dials:
                self.dials.append(ticket)
        for holder, got in list(self.live.items()):
            if isinstance(got, Ticket) and got.error is not None:
                self.pool.abandon(got, self.now)
                del self.live[holder]

    def check(self) -> None:
        """What holds when no operation runs."""
        pool = self.pool
        if pool.changing:
            pool.rebuild()
            self.settle()
        check_pool(pool)
        using = self.using()
        assert not {connection for _, connection in using} & set(self.closed), "closed while it is used"
        assert not {connection for _, connection in using} & set(pool._idle), "idle while it is used"
        if not isinstance(pool, SharingPool):
            assert len(using) == len({connection for _, connection in using}), "used by two requests"
        assert set(pool._keys) == set(pool._idle) | {connection for _, connection in using}, "a slot is lost"
        assert set(pool._dials) == set(self.dials), "the slot of a dial is lost"
        assert set(pool._claims) == set(self.live)
        assert len(pool._keys) + len(pool._dials) <= 2
        for holder, got in self.live.items():
            assert pool._claims[holder] is got
            if isinstance(got, Ticket) and got.connection is not None:
                assert got in self.woken, "served, and never woken"
        waiting = [got for got in self.live.values() if isinstance(got, Ticket) and not got.served and not got.dial]
        if waiting and not isinstance(pool, SharingPool):
            assert not pool._idle, "waits beside an idle connection"
            assert len(pool._keys) + len(pool._dials) == 2, "waits beside a free slot"

    def end(self) -> None:
        """Every request ends; nothing may be left, and every slot can be had."""
        while self.live or self.dials:
            holder, got = next(iter(self.live.items()), (None, None))
            if self.dials:
                self.end_dial(self.dials[0], False)
            elif isinstance(got, Ticket):
                self.pool.abandon(got, self.now)
                del self.live[holder]
            else:
                assert got is not None
                self.pool.release(got, True, self.now, holder)
                del self.live[holder]
            self.settle()
        self.check()
        assert self.pool.counts()[2:] == (0, 0)
        self.pool.shut()
        for key in ("C", "D"):
            got = self.pool.acquire(key, self.now, object())
            assert isinstance(got, Ticket)
            assert got.dial, "a slot is lost for good"


OPERATIONS = st.tuples(
    st.sampled_from([*["acquire"] * 3, *["release"] * 2, *["dialled"] * 2, "abandon", "remove", "resize"]),
    st.integers(0, 2),
    st.booleans(),
)


INTERRUPTED: list[int] = []  # how far the operations came


@pytest.mark.parametrize("in_tasks", [False, True], ids=["threads", "tasks"])
@pytest.mark.parametrize("sharing", [False, True], ids=["exclusive", "sharing"])
@settings(max_examples=120, deadline=None)
@given(steps=st.lists(OPERATIONS, min_size=1, max_size=14), data=st.data())
def test_the_pool_is_consistent_after_an_exception_at_any_bytecode(sharing, in_tasks, steps, data):
    """Ctrl-C or a soft time limit lost a slot for good, or left a raw KeyError for every later request."""
    where = data.draw(st.integers(0, len(steps) - 1))
    number = data.draw(st.integers(1, 250))
    pool: Pool[Connection]
    if sharing:
        pool = SharingPool(2, 1, None, 3.0, in_tasks, lambda key: key == "A")
    else:
        pool = Pool(2, 1, None, 3.0, in_tasks)
    requests = Requests(pool, in_tasks)
    requests.other_first = data.draw(st.booleans())
    for index, step in enumerate(steps):
        requests.number = number if index == where else 0
        requests.step(*step)
        requests.number = 0
        requests.check()
    requests.end()


def test_operations_were_interrupted():
    """The property above is not about nothing."""
    assert not INTERRUPTED or len(set(INTERRUPTED)) > 20  # none if this runs alone


def test_an_operation_after_an_interrupted_one_makes_everything_anew():
    """The mark is what other threads see before the interrupted one has given up what it had."""
    pool, holders = Pool[Connection](1), [object(), object()]
    ticket = pool.acquire(A, 0, holders[0])
    assert isinstance(ticket, Ticket)
    connection = Connection("one")
    pool.dialled(ticket, connection, 0)
    pool.release(connection, True, 0, holders[0])
    assert pool.acquire(A, 0, holders[0]) is connection
    outcomes, number = set(), 0
    while True:
        number += 1
        try:
            interrupt(partial(pool.release, connection, True, 0, holders[0]), POOL, number)
            break
        except Interrupted:
            pass
        has_claim = pool.claim_of(holders[0]) is not None
        got = pool.acquire(A, 0, holders[1])
        outcomes.add((type(got), isinstance(got, Ticket) and got.dial))
        if not has_claim:
            assert not isinstance(got, Ticket) or got.dial, "waits for a slot that no request has"
        pool.give_up(holders[0])
        pool.take_chores()
        if isinstance(got, Ticket):
            assert got.dial
            connection = Connection("another")
            pool.dialled(got, connection, 0)
        else:
            assert got is connection
        pool.release(connection, True, 0, holders[1])
        assert pool.counts() == (1, 1, 0, 0)
        assert pool.acquire(A, 0, holders[0]) is connection
    assert outcomes == {(Ticket, False), (Ticket, True), (Connection, False)}
