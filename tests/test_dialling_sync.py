"""The operations of a dial in a thread, one by one; what a user can see is in tests/adversarial/test_connections.py."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from httpx._engine import race as race_module
from httpx._engine import sockets
from httpx._engine.dialling import sync
from httpx._engine.dialling.sync import SyncDialling
from httpx._engine.operations import Connect, Steps
from httpx._engine.race import Race
from support.peer import blackhole, is_gone

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY: Any = None  # what an operation does not look at


@pytest.fixture
def pair() -> Iterator[tuple[SyncDialling, socket.socket]]:
    """A dial that has its socket, and the socket at the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        dial = SyncDialling(ANY, ANY)
        dial._sock = ours
        yield dial, theirs


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> float:
    """A clock that stands still, as a test's may."""
    now = time.monotonic()
    for module in (sync, sockets):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    return now


def settings() -> Any:
    from test_race import settings as settings_of_a_transport

    return settings_of_a_transport()


def test_receiving_ends_with_bytes_or_the_end_or_its_time(pair: tuple[SyncDialling, socket.socket]):
    dial, theirs = pair
    assert dial._receive(time.monotonic() + 0.01) is None
    assert dial._receive(time.monotonic() - 1) is None
    theirs.send(b"abc")
    assert dial._receive(time.monotonic() + 5) == b"abc"
    theirs.close()
    assert dial._receive(None) == b""


def test_what_always_has_something_to_say_does_not_outlast_its_time(pair: tuple[SyncDialling, socket.socket]):
    dial, theirs = pair
    until = give_up = time.monotonic() + 0.02
    theirs.send(b"x")
    while dial._receive(until) is not None:
        theirs.send(b"x")
        assert time.monotonic() < give_up + 5


def test_sending_to_a_peer_that_takes_nothing_ends_with_its_time(pair: tuple[SyncDialling, socket.socket]):
    dial, _ = pair
    assert not dial._send(bytes(10_000_000), time.monotonic() + 0.01)


def test_a_wait_ends_by_itself_where_the_clock_stands_still(pair: tuple[SyncDialling, socket.socket], frozen: float):
    """The harm: under a test's frozen time a race waited for ever."""
    dial, _ = pair
    assert dial._receive(frozen + 0.01) is None
    assert not dial._send(bytes(10_000_000), frozen + 0.01)


def test_a_race_ends_where_the_clock_stands_still(frozen: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(race_module, "ATTEMPT_DELAY", 0.01)
    dial = SyncDialling(settings(), ANY)
    with blackhole() as one, blackhole() as two:
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", hole) for hole in (one, two)]
        race = Race("host", 80, addresses)
        assert dial._connect(race, frozen + 0.03) is None
        assert not race.lost
        assert "2 of 2 addresses tried" in str(race.timeout(0.03))


class Interrupt(BaseException):
    """What a signal handler may raise."""


def test_what_a_signal_handler_raises_between_two_operations_leaves_no_socket(monkeypatch: pytest.MonkeyPatch):
    dial = SyncDialling(settings(), ANY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())

        def steps() -> Steps[None]:
            yield Connect(Race("host", 80, [address]), None)
            raise Interrupt  # before the socket is anything to the generator

        with pytest.raises(Interrupt):
            dial.run(steps())
        with listener.accept()[0] as server:
            assert is_gone(server)
