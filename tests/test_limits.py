"""Until when each wait of a request lasts."""

from __future__ import annotations

from typing import Optional

import pytest

from httpx._engine.limits import FOREVER, LONG_DRAIN, SHORT_DRAIN, Limits
from httpx._protocol.exchange import PATIENCE


def limits(**timeout: Optional[float]) -> Limits:
    return Limits(timeout, 1000)


def test_a_phase_lasts_its_own_timeout_from_its_begin():
    assert limits(read=5, write=6, connect=7).limit("read", 2000) == 2005
    assert limits(read=5, write=6, connect=7).limit("write", 2000) == 2006


def test_a_phase_without_a_timeout_lasts_for_ever():
    assert limits().limit("read", 2000) is None
    assert limits(read=None).limit("read", 2000) is None
    assert limits().read is None
    assert limits().deadline is None


@pytest.mark.parametrize("seconds", [FOREVER, float("inf")])
def test_a_timeout_beyond_what_the_system_can_count_is_none(seconds: float):
    endless = limits(read=seconds, total=seconds)
    assert (endless.read, endless.deadline, endless.limit("read", 0)) == (None, None, None)


def test_the_total_timeout_counts_from_the_begin_of_the_request_and_bounds_every_phase():
    bounded = limits(read=5, total=8)
    assert bounded.deadline == 1008
    assert bounded.limit("read", 1001) == 1006
    assert bounded.limit("read", 1004) == 1008
    assert bounded.limit("write", 1004) == 1008
    assert [bounded.is_late(now) for now in (1007.9, 1008)] == [False, True]
    assert not limits(read=5).is_late(10**9)


def test_patience_has_an_end_that_the_total_timeout_may_bring_nearer():
    assert limits().patience(2000) == 2000 + PATIENCE
    assert limits(total=PATIENCE / 2).patience(1000) == 1000 + PATIENCE / 2


def test_the_request_may_say_how_long_it_waits_for_consent_within_its_read_timeout():
    assert limits().patience(2000, {"expect_timeout": 7}) == 2007
    assert limits(read=5).patience(2000, {"expect_timeout": 7}) == 2005
    assert limits(read=PATIENCE / 2).patience(2000) == 2000 + PATIENCE / 2
    for endless in (None, FOREVER, float("inf")):
        assert limits().patience(2000, {"expect_timeout": endless}) is None
        assert limits(read=5).patience(2000, {"expect_timeout": endless}) == 2005
        assert Limits.insists({"expect_timeout": endless})
    assert not Limits.insists({"expect_timeout": 7})
    assert not Limits.insists({})


@pytest.mark.parametrize(
    ("timeout", "ends_by_itself", "until"),
    [
        ({"read": 3}, True, 1010 + 3),
        ({}, True, 1010 + LONG_DRAIN),
        ({"read": 3}, False, 1010 + SHORT_DRAIN),
        ({"read": 3, "total": 11}, True, 1011),
    ],
)
def test_a_body_that_nobody_asked_for_has_to_hurry(timeout, ends_by_itself, until):
    hurried = limits(**timeout)
    hurried.hurry(1010, ends_by_itself)
    assert hurried.deadline == until
    assert hurried.limit("read", 1010) == until


def test_an_idle_timeout_takes_the_place_of_the_read_timeout_and_not_of_the_total_one():
    idle = limits(read=3, total=100)
    idle.idle(50)
    assert (idle.read, idle.limit("read", 1010), idle.limit("read", 1090)) == (50, 1060, 1100)
    idle.idle(None)
    assert (idle.read, idle.limit("read", 1010)) == (None, 1100)
    endless = limits(read=3)
    endless.idle(FOREVER)
    assert (endless.read, endless.limit("read", 1010)) == (None, None)


def test_a_body_that_nobody_asked_for_does_not_get_the_idle_timeout():
    """A redirect that does not end would be waited for as long as an event."""
    hurried = limits(read=3)
    hurried.idle(300)
    hurried.hurry(1010, True)
    assert hurried.deadline == 1013


def test_a_body_that_is_begun_twice_does_not_take_its_idle_timeout_for_the_read_timeout():
    hurried = limits(read=3)
    hurried.idle(300)
    hurried.idle(300)
    hurried.hurry(1010, True)
    assert hurried.deadline == 1013


def test_the_queue_has_the_pool_timeout():
    assert limits(pool=2, connect=3).queue_limit(1000, awaits_dial=False) == 1002


def test_who_waits_for_the_end_of_another_dial_has_the_time_of_a_dial_as_well():
    assert limits(pool=2, connect=3).queue_limit(1000, awaits_dial=True) == 1005
    assert limits(pool=2).queue_limit(1000, awaits_dial=True) is None
