"""
The time and the chance that policy uses: pauses, deadlines of calls, ages.

    monotonic()     seconds of a clock that only goes forward, for deadlines
    wall()          seconds since 1970, for dates in headers
    jitter()        a random number from 0 up to but not including 1, to spread out retries
    virtual         None, or the `httpx.testing.VirtualTime` that carries out pauses

`httpx.testing.virtual_time` replaces them, so every user calls them through the module: `_clock.monotonic()`.

Not here: waiting (`_transports.pauses`), the clocks of the engines, which stay real.
"""

from __future__ import annotations

import time
from typing import Any, Callable


def _random() -> float:
    from random import random  # imports hashlib, which few programs need

    return random()


monotonic: Callable[[], float] = time.monotonic
wall: Callable[[], float] = time.time
jitter: Callable[[], float] = _random
virtual: Any = None
