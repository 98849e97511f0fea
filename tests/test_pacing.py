"""`_middleware.pacing`: slots, turns, places and paces, with the time passed in."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._middleware.pacing import AUTO, FIXED, START, Pace, Places, Schedule, Turn, earliest

# Slots.


def turns(schedule: Schedule, *moments: float) -> list[float]:
    """When requests that come at these times may be sent."""
    return [turn([schedule], now).due() for now in moments]


def turn(schedules: list[Schedule], now: float) -> Turn:
    return Turn(schedules, earliest(schedules, now))


def test_slots_are_an_interval_apart():
    assert turns(Schedule(0.5), 10, 10, 10, 12, 12.1) == [10, 10.5, 11, 12, 12.5]


def test_a_burst_is_sent_at_once():
    assert turns(Schedule(1.0, burst=3), 10, 10, 10, 10, 10) == [10, 10, 10, 11, 12]
    assert turns(Schedule(1.0, burst=3), 10, 10, 10, 20, 20, 20, 20) == [10, 10, 10, 20, 20, 20, 21]


def test_without_an_interval_nothing_waits():
    assert turns(Schedule(), 10, 10, 11) == [10, 10, 11]


@given(st.integers(1, 5), st.lists(st.integers(0, 10), min_size=1, max_size=30), st.integers(1, 8).map(lambda n: n / 4))
def test_slots_are_those_of_a_token_bucket(burst: int, gaps: list[int], interval: float):
    """The oracle counts tokens, one request after the other. All numbers are exact as floats."""
    schedule = Schedule(interval, burst)
    now, tokens, last = 0.0, float(burst), 0.0
    for gap in gaps:
        now += gap / 4
        moment = max(now, last)
        tokens = min(burst, tokens + (moment - last) / interval)
        if tokens < 1:
            moment += (1 - tokens) * interval
            tokens = 1
        tokens, last = tokens - 1, moment
        assert turns(schedule, now) == [pytest.approx(moment, abs=1e-6)]


@given(st.integers(1, 6), st.lists(st.floats(0, 5), min_size=1, max_size=40))
def test_no_time_has_more_than_the_burst_and_the_rate_allow(burst: int, gaps: list[float]):
    schedule, now, sent = Schedule(0.5, burst), 0.0, []
    for gap in gaps:
        now += gap
        sent += turns(schedule, now)
    assert sent == sorted(sent)  # first come, first served
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            assert last - first + 1 <= burst + (sent[last] - sent[first]) / 0.5 + 1e-6


@given(st.lists(st.tuples(st.integers(0, 32), st.booleans()), min_size=1, max_size=40))
def test_a_slot_is_taken_at_once_as_it_would_be_with_a_turn(gaps: list[tuple[int, bool]]):
    one, other, now = Schedule(0.4, 2), Schedule(0.4, 2), 0.0
    for gap, at_once in gaps:
        now += gap / 32
        free = turn([other], now)
        if free.due() > now + 1e-6:
            free.give_back()
            assert not one.take_now(now)
        else:
            assert one.take_now(now) if at_once else turns(one, now) == [pytest.approx(now, abs=1e-5)]


def test_the_last_slot_is_given_back_as_if_it_had_not_been_taken():
    schedule = Schedule(1.0)
    first, second = turn([schedule], 10), turn([schedule], 10)
    second.give_back()
    first.give_back()
    assert turns(schedule, 10, 10) == [10, 11]


def test_a_slot_in_the_middle_goes_to_the_next_that_asks():
    schedule = Schedule(1.0)
    held = [turn([schedule], 10) for _ in range(4)]
    held[2].give_back()
    held[1].give_back()
    assert not schedule.take_now(10.0)
    assert turns(schedule, 10, 10, 10) == [11, 12, 14]


def test_a_slot_that_was_given_back_too_late_is_lost():
    schedule = Schedule(1.0)
    held = [turn([schedule], 10) for _ in range(3)]
    held[1].give_back()
    assert turns(schedule, 11.5) == [13]


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), min_size=1, max_size=40))
def test_slots_that_are_given_back_keep_the_distance(steps: list[tuple[float, bool]]):
    schedule, now, held = Schedule(0.5), 0.0, []
    for gap, gives_back in steps:
        now += gap
        waiting = [one for one in held if one.due() > now]
        if gives_back and waiting:
            waiting[len(waiting) // 2].give_back()
            held.remove(waiting[len(waiting) // 2])
        else:
            held.append(turn([schedule], now))
    due = sorted(one.due() for one in held)
    assert all(later - earlier > 0.5 - 1e-6 for earlier, later in zip(due, due[1:]))


def test_a_pause_moves_all_that_wait():
    schedule = Schedule(1.0)
    held = [turn([schedule], 10) for _ in range(3)]
    schedule.pause(10.5, 15)
    assert [one.due() for one in held] == [14.5, 15.5, 16.5]
    assert turns(schedule, 11) == [17.5]


def test_a_longer_pause_goes_on_and_a_shorter_one_changes_nothing():
    schedule = Schedule()
    held = turn([schedule], 10)
    schedule.pause(10, 15)
    schedule.pause(11, 14)
    schedule.pause(12, 20)
    assert held.due() == 20
    assert schedule.earliest(13) == 20
    assert not schedule.take_now(19.0)
    assert schedule.take_now(20.0)


def test_after_a_pause_there_is_no_burst_unless_it_is_full_again():
    for is_full, expected in [(False, [15, 16, 17]), (True, [15, 15, 15])]:
        schedule = Schedule(1.0, burst=3)
        schedule.pause(10, 15, is_full)
        assert turns(schedule, 12, 12, 12) == expected


def test_a_pause_in_which_none_waits_counts_as_waiting():
    schedule = Schedule(10.0)
    assert turns(schedule, 10) == [10]
    schedule.pause(10.5, 15)
    assert turns(schedule, 11) == [20]
    schedule.pause(21, 50)
    assert turns(schedule, 30) == [50]


def test_a_pause_moves_what_was_given_back():
    schedule = Schedule(1.0)
    held = [turn([schedule], 10) for _ in range(4)]
    held[1].give_back()
    schedule.pause(10, 12)
    held[2].give_back()
    assert turns(schedule, 10, 10, 10) == [13, 14, 16]


def test_a_rate_may_change_and_what_was_used_before_may_be_noted():
    schedule = Schedule()
    schedule.set_rate(1.0, burst=2)
    schedule.owe(10, 5)
    assert turns(schedule, 10, 10) == [14, 15]
    schedule.owe(10, 1)
    schedule.set_rate(0.25)
    assert turns(schedule, 10, 10) == [17, 17.25]


def test_a_turn_is_the_same_time_in_all_schedules():
    fast, slow = Schedule(0.5), Schedule(2.0)
    assert [turn([fast, slow], 10).due() for _ in range(3)] == [10, 12, 14]
    slow.pause(10, 20)
    held = turn([fast, slow], 10)
    assert held.due() == 26
    held.give_back()
    assert turn([fast], 10).due() == 14.5
    assert turn([], 10).due() == 10


# Places.


def crowd(places: Places, *holders: object) -> list[bool]:
    """Let these come, and return which have a place."""
    for holder in holders:
        places.take(holder)
    return [holder in places.holders for holder in holders]


def test_places_are_given_in_the_order_of_coming():
    places = Places(2)
    assert crowd(places, 1, 2, 3, 4) == [True, True, False, False]
    latches = list(places.waiting.values())
    places.leave(2)
    assert (places.holders, [latch.is_set for latch in latches]) == ({1, 3}, [True, False])
    places.leave(1)
    assert (places.holders, [latch.is_set for latch in latches]) == ({3, 4}, [True, True])
    places.leave(3)
    places.leave(4)
    assert (places.holders, places.waiting) == (set(), {})


def test_who_leaves_loses_no_place_and_may_leave_twice():
    places = Places(1)
    crowd(places, 1, 2, 3, 4)
    places.leave(3)
    places.leave(1)
    # It was given its place, and was cancelled before it knew.
    places.leave(2)
    places.leave(2)
    assert (places.holders, places.waiting) == ({4}, {})


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=80))
def test_no_order_of_events_loses_a_place_or_gives_one_too_many(limit: int, events: list[tuple[bool, int]]):
    places, coming = Places(limit), 100
    order: list[int] = []  # of those that have not left, as they came
    for comes, which in events:
        if comes:
            coming += 1
            places.take(coming)
            order.append(coming)
        elif order:
            places.leave(order.pop(which % len(order)))
        assert places.holders == set(order[:limit])
        assert list(places.waiting) == order[limit:]


def auto(limit: float) -> Places:
    return Places(limit, AUTO)


def filled(places: Places) -> Places:
    while len(places.holders) < int(places.limit):
        places.take(object())
    return places


def trip(places: Places, now: float) -> None:
    """One response for each place."""
    for _ in range(int(places.limit)):
        places.accepted(now)


def test_a_fixed_number_stays():
    places = filled(Places(4))
    trip(places, 0)
    assert not places.refused(0, 1)
    assert places.limit == 4


def test_auto_grows_by_one_each_round_trip_where_it_limits():
    places = filled(auto(8))
    trip(places, 0)
    assert 8.9 < places.limit < 9
    idle = auto(8)
    trip(idle, 0)
    assert idle.limit == 8


def test_auto_shrinks_once_each_round_trip():
    places = auto(10)
    assert places.refused(sent=0, now=1)
    assert places.limit == pytest.approx(7)
    assert places.refused(sent=0.5, now=1.1)  # sent before the other refusal came
    assert places.limit == pytest.approx(7)
    places.refused(sent=1, now=2)
    assert places.limit == pytest.approx(4.9)
    for n in range(20):
        places.refused(sent=10 + n, now=10 + n)
    assert places.limit == 1


def test_auto_returns_fast_and_tries_one_more_slowly():
    places = filled(auto(17))
    places.refused(0, 1)
    trips = 0
    while places.limit < 16:
        trip(filled(places), 2)
        trips += 1
    assert trips <= 3
    while places.limit < 17:
        trip(filled(places), 2)
        trips += 1
    assert 7 <= trips <= 12
    before = places.limit
    trip(filled(places), 2)
    assert places.limit > before + 0.9  # beyond what was refused: it grows as at first


def test_auto_does_not_try_one_more_soon_after_a_refusal_that_cost_a_pause():
    places = auto(17)
    places.refused(0, 1, seconds=2)
    for _ in range(50):
        trip(filled(places), 20)
    assert places.limit < 17
    for _ in range(50):
        trip(filled(places), 22)
    assert places.limit > 17


def test_a_refusal_at_a_number_that_was_accepted_has_another_reason():
    places = auto(17)
    assert places.refused(0, 1)
    assert not places.refused(2, 3)


def test_a_number_that_the_server_declares_is_the_most():
    places = filled(auto(8))
    places.cap(4)
    assert places.limit == 4
    trip(places, 0)
    assert places.limit == 4
    fixed = Places(10, FIXED)
    fixed.cap(0.5)
    assert fixed.limit == 1


def test_the_first_places_double_and_end():
    places = Places(2, START)
    assert crowd(places, 1, 2, 3, 4, 5, 6, 7) == [True] * 2 + [False] * 5
    places.accepted(0)
    places.leave(1)
    assert places.holders == {2, 3, 4}
    places.end()
    assert places.holders == {2, 3, 4, 5, 6, 7}
    assert places.take(8) is None


# Paces.


def paced(pace: Pace, now: float) -> float:
    """The rate for now; infinite without one."""
    schedule = pace.scheduled(now)
    return math.inf if schedule is None else 1 / schedule.interval


def send(pace: Pace, begin: float, end: float, rate: float) -> None:
    for n in range(int((end - begin) * rate)):
        pace.accepted(begin + n / rate)


def test_a_pace_is_what_was_accepted_between_two_refusals():
    pace = Pace()
    send(pace, 100, 101, 20)
    assert paced(pace, 101) == math.inf
    pace.refused(101, 101, seconds=1)
    assert paced(pace, 102) == pytest.approx(20 / 1.5, rel=0.02)
    send(pace, 102, 202, 10)
    pace.refused(202, 202, seconds=1)
    # Down by no more than a fiftieth of the pace, which has grown meanwhile.
    assert 15 < paced(pace, 203) < 16.5
    for n in range(30):
        pace.refused(203 + n, 203 + n, seconds=1)
    assert paced(pace, 240) == pytest.approx(1, rel=0.01)


def test_a_pace_grows_slowly_and_then_faster_and_is_forgotten():
    pace = Pace()
    send(pace, 0.1, 10.1, 10)
    pace.refused(10, 10, seconds=0.5)
    rate = paced(pace, 10.5)
    assert paced(pace, 40) < rate * 1.01
    assert paced(pace, 71) == pytest.approx(rate * 1.05, rel=0.01)
    assert paced(pace, 130.5) == pytest.approx(rate * 1.4, rel=0.01)
    assert paced(pace, 1000) == math.inf
    assert pace.schedule is None


def test_what_was_accepted_before_an_idle_time_does_not_count():
    pace = Pace()
    send(pace, 0, 100, 1)
    send(pace, 200, 201, 30)
    pace.refused(201, 201, seconds=1)
    assert paced(pace, 202) == pytest.approx(20, rel=0.1)


def test_a_slow_pace_is_no_idle_time():
    pace = Pace()
    send(pace, 0, 10, 1)
    pace.refused(10, 10, seconds=90)
    assert paced(pace, 100) == pytest.approx(10 / 55)
    for n in range(10):
        pace.accepted(100 + 10 * n)
    assert pace._accepted == 10


def test_a_few_that_were_accepted_make_no_pace():
    """They may be the last ones of a quota that others have used up: a pace of them was one request in 20 s."""
    pace = Pace()
    pace.accepted(1)
    pace.refused(1, 1, seconds=20)
    assert paced(pace, 21) == math.inf
    pace.refused(21, 21, seconds=20)
    assert paced(pace, 41) == math.inf
    pace.accepted(41)
    pace.refused(42, 42, seconds=20)
    assert paced(pace, 62) < 1


def test_a_pace_with_a_given_rate_begins_below_that():
    pace = Pace(10)
    send(pace, 0, 1, 8)
    pace.refused(1, 1, seconds=1)
    assert paced(pace, 2) == pytest.approx(9.8)
    assert paced(pace, 1000) == pytest.approx(9.9)
    again: list[Any] = []
    for n in range(4):
        pace.refused(1000 + n, 1000 + n, seconds=1)
        again.append(paced(pace, 1000 + n))
    assert again == sorted(again, reverse=True)
    assert again[-1] < 9
