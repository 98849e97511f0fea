"""
Is work in proportion to the size of the input?

    linear(lambda size: prepare(size))      `prepare` makes the input and returns a function that does the work

Not here: pytest.
"""

from __future__ import annotations

import time
from typing import Callable

SMALL, LARGE = 1 << 16, 1 << 18


def linear(prepare: Callable[[int], Callable[[], object]], small: int = SMALL, large: int = LARGE) -> None:
    """
    Check that four times the input takes less than eight times as long; quadratic work takes sixteen times.

    Time of this process's processor counts. Each size has a few attempts, and the fastest counts: a busy machine only
    ever adds to a measurement.

    Raises:
        AssertionError: it takes longer in all attempts.
    """

    def seconds(size: int) -> float:
        work = prepare(size)
        began = time.process_time()
        work()
        return time.process_time() - began

    fast, slow = [], []
    for _ in range(5):
        fast.append(seconds(small))
        slow.append(seconds(large))
        if min(slow) <= 8 * min(fast) + 0.01:
            return
    raise AssertionError(f"{small} bytes took {min(fast):.4f} s and {large} bytes {min(slow):.4f} s")
