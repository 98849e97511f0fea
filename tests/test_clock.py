"""The clock of policy: the real one by default, asked through its module each time."""

from __future__ import annotations

import subprocess
import sys
import time

from httpx import _clock
from support.programs import unmeasured


def test_the_clocks_are_the_systems():
    assert _clock.virtual is None
    before, after = time.monotonic(), _clock.monotonic()
    assert before <= after <= time.monotonic()
    assert abs(_clock.wall() - time.time()) < 10


def test_jitter_is_random_and_less_than_one():
    numbers = {_clock.jitter() for _ in range(20)}
    assert len(numbers) > 1
    assert all(0 <= number < 1 for number in numbers)


def test_importing_the_clock_does_not_import_random():
    """It imports hashlib, which takes longer than most of httpx."""
    program = "import sys, httpx; from httpx import _clock; assert 'random' not in sys.modules; _clock.jitter()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=unmeasured())
