"""
Threads, signals, all protocols and all ways to read a body at once, on one sync client (`support.stress`).

HTTPX_STRESS_SECONDS says how long; 3 by default. CI runs it for a minute by itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that send signals")
def test_sixteen_threads_and_exceptions_from_signals_get_their_own_responses_and_leave_nothing():
    """
    The harms: a body over HTTP/2 lost its last piece in silence; an upgraded connection over TLS broke when one
    thread read it while another wrote; an exception from a signal handler cost a place in the pool for good.

    To repeat it: `cd tests && python -m support.stress --seconds 60 --seed N`.
    """
    seconds = float(os.environ.get("HTTPX_STRESS_SECONDS", "3"))
    command = [sys.executable, "-m", "support.stress", "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=seconds + 150, check=False)
    assert done.stdout, done.stderr
    outcome = json.loads(done.stdout)
    failures = "\n".join(f"{count} times: {what}" for what, count in outcome["failures"].items())
    assert done.returncode == 0, f"seed {outcome['seed']}, {outcome['done']}\n{failures}\n{done.stderr}"
    # Else it says nothing.
    assert {"whole", "upload", "streamed", "left", "upgraded", "interrupted"} <= set(outcome["done"])
