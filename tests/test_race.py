"""The order and the schedule of a host's addresses."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._config import Limits
from httpx._engine.names import Address
from httpx._engine.race import ATTEMPT_DELAY, Race, backoff, interleaved
from httpx._engine.settings import Settings
from httpx._exceptions import ConnectError, ConnectTimeout

HAS_UNIX = hasattr(socket, "AF_UNIX")


def v4(last: int) -> Address:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{last}", 80))


def v6(last: int) -> Address:
    return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2001:db8::{last}", 80, 0, 0))


def settings(**changes: Any) -> Settings:
    options: dict[str, Any] = {
        "verify": True,
        "cert": None,
        "trust_env": True,
        "http1": True,
        "http2": False,
        "limits": Limits(),
        "uds": None,
        "local_address": None,
        "retries": 0,
        "socket_options": None,
    }
    return Settings(**{**options, **changes})


# The order of addresses.


def test_the_families_take_turns_beginning_with_the_resolvers_first():
    assert interleaved([v6(1), v6(2), v6(3), v4(1), v4(2)]) == [v6(1), v4(1), v6(2), v4(2), v6(3)]
    assert interleaved([v4(1), v4(2), v6(1)]) == [v4(1), v6(1), v4(2)]
    assert interleaved([]) == []


def test_no_address_is_tried_twice():
    assert interleaved([v4(1), v4(1), v6(1), v4(2), v6(1)]) == [v4(1), v6(1), v4(2)]


@given(st.lists(st.one_of(st.integers(0, 9).map(v4), st.integers(0, 9).map(v6))))
def test_every_address_has_its_place_and_each_family_keeps_its_order(addresses):
    order = interleaved(addresses)
    assert len(order) == len(set(order))
    assert set(order) == set(addresses)
    for family in (socket.AF_INET, socket.AF_INET6):
        asked = list(dict.fromkeys(address for address in addresses if address[0] == family))
        assert [address for address in order if address[0] == family] == asked


# The race.


def test_the_first_attempt_begins_at_once_and_each_other_250_ms_later():
    race = Race("example.org", 80, [v6(1), v4(1), v6(2)])
    assert race.next(1000.0) == v6(1)
    assert race.next(1000.0) is None
    assert race.due == 1000.0 + ATTEMPT_DELAY == 1000.25
    assert race.next(1000.2) is None
    assert race.next(1000.25) == v4(1)
    assert race.due == 1000.5
    assert race.next(1001.0) == v6(2)
    assert race.due is None
    assert race.next(2000.0) is None
    assert not race.lost


def test_a_failure_lets_the_next_attempt_begin_at_once():
    race = Race("example.org", 80, [v6(1), v4(1), v6(2)])
    assert race.next(0) == v6(1)
    race.failed(v6(1), OSError(errno.ENETUNREACH, "Network is unreachable"), 0.01)
    assert race.due == 0.01
    assert race.next(0.01) == v4(1)
    assert race.next(0.02) is None
    assert race.due == pytest.approx(0.26)


def test_a_race_is_lost_when_every_attempt_has_failed():
    race = Race("example.org", 80, [v6(1), v4(1)])
    race.next(0)
    race.failed(v6(1), OSError(errno.ECONNREFUSED, ""), 0)
    assert not race.lost
    race.next(0)
    assert not race.lost
    race.failed(v4(1), OSError(errno.EHOSTUNREACH, ""), 0.1)
    assert race.lost
    assert race.due is None
    assert race.next(0.1) is None


def test_a_race_without_addresses_is_lost_from_the_start():
    race = Race("example.org", 80, [])
    assert race.lost
    assert race.due is None
    assert race.next(0) is None
    assert str(race.error()) == "no address is known for example.org:80"


def test_the_error_has_every_address_with_its_reason():
    race = Race("example.org", 443, [v6(1), v4(1), v4(2), v4(3)])
    for address, error in (
        (v6(1), OSError(errno.ENETUNREACH, "Network is unreachable")),
        (v4(1), OSError(errno.ECONNREFUSED, "")),  # as it is made from the number that `connect_ex` returns
        (v4(2), OSError("AF_UNIX path too long")),
        (v4(3), OSError()),
    ):
        assert race.next(0) == address
        race.failed(address, error, 0)
    assert str(race.error()) == (
        "no connection to example.org:443: 2001:db8::1: Network is unreachable; "
        f"192.0.2.1: {os.strerror(errno.ECONNREFUSED)}; 192.0.2.2: AF_UNIX path too long; 192.0.2.3: OSError"
    )
    assert type(race.error()) is ConnectError


def test_a_timeout_says_how_far_the_race_came():
    race = Race("example.org", 80, [v6(1), v4(1), v6(2)])
    race.next(0)
    race.next(0.25)
    error = race.timeout(0.3)
    assert type(error) is ConnectTimeout
    assert str(error) == "no connection to example.org:80 within the timeout of 0.3 s (2 of 3 addresses tried)"
    assert "within the total timeout of 2 s" in str(race.timeout(2, total=True))


def test_a_timeout_has_the_reasons_of_those_that_failed_before():
    race = Race("example.org", 80, [v4(1), v4(2), v4(3)])
    race.failed(race.next(0), OSError(errno.ECONNREFUSED, ""), 0.1)
    race.next(0.1)
    assert str(race.timeout(0.3)).endswith("(2 of 3 addresses tried; 192.0.2.1: Connection refused)")


@given(outcomes=st.lists(st.sampled_from(["fails", "hangs"]), max_size=6), pause=st.floats(0.01, 0.6))
def test_every_address_is_tried_once_and_none_earlier_than_it_may(outcomes, pause):
    """Whatever fails, and whenever the shell looks."""
    race = Race("example.org", 80, [v4(index) for index in range(len(outcomes))])
    now, earliest, tried = 0.0, 0.0, []
    while len(tried) < len(outcomes):
        address = race.next(now)
        if address is None:
            now += pause
            continue
        assert now >= earliest
        outcome = outcomes[len(tried)]
        tried.append(address)
        earliest = now + ATTEMPT_DELAY
        if outcome == "fails":
            now += 0.001
            race.failed(address, OSError(errno.ECONNREFUSED, ""), now)
            earliest = now
    assert tried == [v4(index) for index in range(len(outcomes))]
    assert race.lost == all(outcome == "fails" for outcome in outcomes)


def test_a_unix_socket_is_named_by_its_path():
    race = Race("/run/app.sock", 80, [(1, 1, 0, "", "/run/app.sock")])
    address = race.next(0)
    assert address is not None
    race.failed(address, FileNotFoundError(errno.ENOENT, "No such file or directory"), 0)
    assert str(race.error()).endswith(": /run/app.sock: No such file or directory")


# Settings.


def test_retries_wait_longer_and_longer():
    assert [backoff(attempt) for attempt in range(6)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]


# Routes.
