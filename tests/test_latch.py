"""`_latch`: a flag that is set once."""

from __future__ import annotations

import threading
from functools import partial

from httpx._latch import Latch


def test_what_waits_is_called_once_when_it_is_set():
    latch, called = Latch(), []
    latch.when_set(lambda: called.append(1))
    latch.when_set(lambda: called.append(2))
    assert (latch.is_set, called) == (False, [])
    latch.set()
    latch.set()
    assert (latch.is_set, called) == (True, [1, 2])


def test_who_comes_later_is_called_at_once():
    latch, called = Latch(), []
    latch.set()
    latch.when_set(lambda: called.append(1))
    assert called == [1]


def test_no_waiter_is_missed_by_threads():
    for _ in range(200):
        latch, called = Latch(), []
        threads = [threading.Thread(target=latch.set)]
        threads += [threading.Thread(target=latch.when_set, args=(partial(called.append, 1),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert called == [1, 1, 1]
