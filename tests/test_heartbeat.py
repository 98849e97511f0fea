"""`_protocol/heartbeat.py`: when a silent peer gets a ping, and when it is given up."""

from __future__ import annotations

import pytest

from httpx._protocol.heartbeat import GONE, NOTHING, PING, Heartbeat


def looks(
    heartbeat: Heartbeat, seconds: float, heard: int = 0, start: float = 0.0, is_reading: bool = True
) -> list[int]:
    """What is due at each tick of so many seconds."""
    number = round(seconds / heartbeat.tick)
    return [heartbeat.look(start + (i + 1) * heartbeat.tick, heard, is_reading) for i in range(number)]


def test_a_silent_peer_gets_one_ping_and_is_then_given_up():
    assert looks(Heartbeat(20.0, 20.0, 0.0), 40) == [NOTHING] * 3 + [PING] + [NOTHING] * 3 + [GONE]


def test_the_text_says_how_long_the_peer_was_silent():
    expected = "the peer sent nothing for 20 s, and did not answer a ping within 10 s"
    assert Heartbeat(20.0, 10.0, 0.0).problem() == expected


def test_anything_that_arrives_is_a_sign_of_life():
    heartbeat = Heartbeat(20.0, 20.0, 0.0)
    for number in range(1, 100):
        assert heartbeat.look(number * 5.0, number) == NOTHING


def test_anything_that_arrives_answers_a_ping():
    heartbeat = Heartbeat(20.0, 20.0, 0.0)
    assert looks(heartbeat, 20)[-1] == PING
    assert heartbeat.look(25.0, 1) == NOTHING
    assert looks(heartbeat, 20, 1, 25.0)[-1] == PING


def test_time_stands_still_while_we_do_not_read():
    """A healthy session must not end because its caller was slow: nothing is read while messages wait."""
    heartbeat = Heartbeat(20.0, 20.0, 0.0)
    assert looks(heartbeat, 15) == [NOTHING] * 3
    assert looks(heartbeat, 1000, start=15.0, is_reading=False) == [NOTHING] * 200
    assert looks(heartbeat, 5, start=1015.0) == [PING]


def test_a_program_that_did_nothing_for_an_hour_reads_first():
    """A laptop that slept, or a blocked event loop, must not give up a peer whose bytes it has not read."""
    heartbeat = Heartbeat(20.0, 20.0, 0.0)
    assert looks(heartbeat, 15) == [NOTHING] * 3
    assert heartbeat.look(3600.0, 0) == PING
    assert heartbeat.look(7200.0, 0) == NOTHING


def test_a_timer_that_fires_a_little_early_counts():
    heartbeat = Heartbeat(20.0, 20.0, 0.0)
    assert [heartbeat.look(at, 0) for at in (4.999, 9.998, 14.997, 19.996)][-1] == PING


@pytest.mark.parametrize(
    ("interval", "timeout", "tick"), [(20.0, 20.0, 5.0), (400.0, 4.0, 1.0), (0.4, None, 0.1), (None, 1.0, 5.0)]
)
def test_the_ticks_fit_the_limits(interval: float, timeout: float, tick: float):
    assert Heartbeat(interval, timeout, 0.0).tick == pytest.approx(tick)


def test_without_an_interval_nothing_is_ever_due():
    assert set(looks(Heartbeat(None, 20.0, 0.0), 1000)) == {NOTHING}


def test_without_a_timeout_no_peer_is_given_up():
    assert looks(Heartbeat(20.0, None, 0.0), 200).count(PING) == 1
    assert GONE not in looks(Heartbeat(20.0, None, 0.0), 1000)
