"""Jobs in threads, whose output appears in their order: by themselves, without requests."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from httpx._cli import turns
from httpx._cli.turns import AHEAD, Interrupted, Outlet, Spooled, Turns

WAIT = 30  # seconds, for what should happen at once


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")


class Shown:
    """A sink that keeps what is shown."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, bytes]] = []

    def __call__(self, stream: int, data: bytes) -> None:
        self.parts.append((stream, data))

    @property
    def text(self) -> str:
        return b"".join(data for _, data in self.parts).decode()


def test_output_is_in_the_order_of_the_jobs_and_never_mixed():
    shown, last_is_done = Shown(), threading.Event()

    def work(job: int) -> None:
        if job == 0:
            assert last_is_done.wait(WAIT)
        for _ in range(3):
            say(f"out {job}")
            sys.stderr.write(f"err {job}\n")
        if job == 9:
            last_is_done.set()

    Turns(iter(range(10)), work, 4, shown).run()
    assert shown.text == "".join(f"out {job}\nerr {job}\n" * 3 for job in range(10))
    assert {stream for stream, data in shown.parts if b"err" in data} == {2}


def test_the_job_whose_turn_it_is_shows_at_once():
    shown, seen = Shown(), threading.Event()

    def work(job: int) -> None:
        say(f"begun {job}")
        if job == 0:
            assert shown.text == "begun 0\n"
            seen.set()
        assert seen.wait(WAIT)

    Turns(iter(range(2)), work, 2, shown).run()
    assert shown.text == "begun 0\nbegun 1\n"


def test_no_more_than_the_width_run_at_the_same_time():
    lock, now, most = threading.Lock(), 0, 0
    together = threading.Barrier(3)

    def work(job: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(WAIT)
        with lock:
            now -= 1

    Turns(iter(range(9)), work, 3, Shown()).run()
    assert most == 3


def test_few_jobs_begin_few_threads():
    names = set()

    def work(job: int) -> None:
        names.add(threading.get_ident())

    Turns(iter(range(1)), work, 50, Shown()).run()
    assert len(names) == 1


def test_jobs_are_read_only_so_far_ahead_of_what_is_shown():
    """A slow first URL must not have all others read, sent and kept."""
    taken = []
    go_on = threading.Event()

    def jobs() -> Iterator[int]:
        for job in itertools.count():
            if job == AHEAD:
                go_on.set()
            if job == 2 * AHEAD:
                return
            taken.append(job)
            yield job

    def work(job: int) -> None:
        if job == 0:
            wait_for(lambda: len(taken) == AHEAD)
            assert not go_on.wait(0.05)  # the input is not asked for one more

    Turns(jobs(), work, 2, Shown()).run()
    assert len(taken) == 2 * AHEAD


def wait_for(condition: Any) -> None:
    moment = threading.Event()
    for _ in range(WAIT * 100):
        if condition():
            return
        moment.wait(0.01)
    raise AssertionError("it did not happen")


def test_an_input_that_blocks_delays_nothing_that_is_under_way():
    shown, is_shown = Shown(), threading.Event()

    def jobs() -> Iterator[int]:
        yield 0
        assert is_shown.wait(WAIT)
        yield 1

    def work(job: int) -> None:
        say(job)
        is_shown.set()

    Turns(jobs(), work, 2, shown).run()
    assert shown.text == "0\n1\n"


def test_after_stop_nothing_begins_and_what_was_begun_is_shown():
    shown = Shown()
    together = threading.Barrier(2)

    def work(job: int) -> None:
        if job < 2:
            together.wait(WAIT)
        if job == 1:
            runs.stop()
        say(job)

    def jobs() -> Iterator[int]:
        yield from (0, 1)
        wait_for(lambda: runs._is_over)
        yield 2

    runs = Turns(jobs(), work, 2, shown)
    runs.run()
    assert shown.text == "0\n1\n"


def test_the_exception_of_a_job_ends_the_others():
    interrupted = threading.Event()

    def work(job: int) -> None:
        if job == 1:
            raise BrokenPipeError
        assert interrupted.wait(WAIT)
        say("not shown")

    shown = Shown()
    with pytest.raises(BrokenPipeError):
        Turns(iter(range(9)), work, 2, shown).run(interrupted.set)
    assert interrupted.is_set()
    assert shown.text == ""


def test_an_input_that_fails_is_an_error():
    def jobs() -> Iterator[int]:
        yield 0
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        Turns(jobs(), lambda job: None, 2, Shown()).run()


def test_the_streams_of_the_process_are_back_at_the_end():
    before = sys.stdout, sys.stderr
    with pytest.raises(ZeroDivisionError):
        Turns(iter([0]), lambda job: 1 // job, 2, Shown()).run()  # type: ignore[arg-type, return-value]  # nothing is returned
    assert (sys.stdout, sys.stderr) == before


def test_other_threads_write_where_they_did(capfd: pytest.CaptureFixture[str]):
    shown = Shown()

    def work(job: int) -> None:
        other = threading.Thread(target=say, args=("from the side",))
        other.start()
        other.join()
        say("in turn")

    Turns(iter([0]), work, 2, shown).run()
    assert shown.text == "in turn\n"
    assert capfd.readouterr().out == "from the side\n"


def test_an_application_may_print_to_standard_error():
    shown = Shown()

    def work(job: int) -> None:
        with runs.redirect_output():
            say("printed")
        say("body")

    runs = Turns(iter([0]), work, 2, shown)
    runs.run()
    assert shown.parts[0][0] == 2
    assert shown.text == "printed\nbody\n"


def test_what_an_application_prints_is_never_in_a_response(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Without a standard error, what applications print was mixed with what they respond."""
    monkeypatch.setattr(sys, "stderr", None)
    shown = Shown()

    def work(job: int) -> None:
        with runs.redirect_output():
            say("printed")
        say("body")

    runs = Turns(iter([0]), work, 2, shown)
    runs.run()
    assert (shown.text, capfd.readouterr().out) == ("body\n", "")


def test_much_output_waits_in_a_file_and_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch):
    """Bodies that wait for their turn filled the memory, and an endless one would fill the disk."""
    monkeypatch.setattr(turns, "MAX_SPOOL", 1000)
    shown = Shown()
    spooled = Spooled()
    other, outlet = Outlet(Shown(), spooled), Outlet(shown, spooled)
    other.put(1, b"x" * 500)
    outlet.put(1, b"a" * 501)
    writer = threading.Thread(target=outlet.put, args=(2, b"b"), daemon=True)
    writer.start()
    writer.join(0.05)
    assert writer.is_alive()
    outlet.open()
    writer.join(WAIT)
    assert shown.text == "a" * 501 + "b"
    assert spooled.size == 500
    other.drop()
    assert spooled.size == 0


def test_a_large_spool_is_on_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "IN_MEMORY", 10)
    shown = Shown()
    outlet = Outlet(shown, Spooled())
    for number in range(100):
        outlet.put(1 + number % 2, b"%02d" % number)
    outlet.open()
    outlet.put(1, b"end")
    assert shown.text == "".join(f"{number:02}" for number in range(100)) + "end"


def test_what_was_dropped_takes_no_output():
    outlet = Outlet(Shown(), Spooled())
    outlet.put(1, b"kept")
    outlet.drop()
    with pytest.raises(Interrupted):
        outlet.put(1, b"more")


def test_fewer_threads_do_it_where_no_more_can_be_started(monkeypatch: pytest.MonkeyPatch):
    shown = Shown()
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def only_one(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", only_one)
    Turns(iter(range(5)), say, 3, shown).run()
    assert shown.text == "0\n1\n2\n3\n4\n"


def test_without_any_thread_it_is_an_error(monkeypatch: pytest.MonkeyPatch):
    def never(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", never)
    with pytest.raises(RuntimeError):
        Turns(iter(range(5)), say, 3, Shown()).run()


def test_the_streams_of_the_process_are_written_to_by_default(capfd: pytest.CaptureFixture[str]):
    Turns(iter(range(2)), say, 2).run()
    assert capfd.readouterr().out == "0\n1\n"
