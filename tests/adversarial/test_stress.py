"""
Threads, signals, tasks, cancellation, all protocols, all ways to read a body, and WebSockets at once, on one client.

HTTPX_STRESS_SECONDS says how long all of it takes together; 4 by default. CI runs it for a minute by itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
SECONDS = float(os.environ.get("HTTPX_STRESS_SECONDS", "4"))
SESSIONS = {f"WebSocket: {kind}" for kind in ("echo", "flood", "bye", "torn", "cut", "ruin")}


def outcome_of(seconds: float, *command: str) -> dict[str, Any]:
    """Run a program of `support`; fail if it does, with what it says. Return what it has done."""
    command = (sys.executable, "-m", *command, "--seconds", str(seconds))
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=seconds + 150, check=False)
    assert done.stdout, done.stderr
    outcome = json.loads(done.stdout)
    failures = "\n".join(f"{count} times: {what}" for what, count in outcome["failures"].items())
    assert done.returncode == 0, f"seed {outcome['seed']}, {outcome['done']}\n{failures}\n{done.stderr}"
    found: dict[str, Any] = outcome["done"]
    return found


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that send signals")
def test_sixteen_threads_and_exceptions_from_signals_get_their_own_responses_and_leave_nothing():
    """
    The harms: a body over HTTP/2 lost its last piece in silence; an upgraded connection over TLS broke when one
    thread read it while another wrote; an exception from a signal handler cost a place in the pool for good, and one
    that came while a WebSocket was writing on a stream stopped all requests of the connection until they timed out.

    To repeat it: `cd tests && python -m support.stress --seconds 60 --seed N`.
    """
    done = outcome_of(SECONDS / 2, "support.stress")
    # Else it says nothing.
    assert {"whole", "upload", "streamed", "left", "upgraded", "websocket", "interrupted"} <= set(done)
    assert done["WebSocket over HTTP/2"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals for one thread")
@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_tasks_that_are_cancelled_lose_no_message_and_leave_nothing(library: str):
    """To repeat it: `cd tests && python -m support.stress_tasks asyncio --seconds 60 --seed N`."""
    done = outcome_of(SECONDS / 4, "support.stress_tasks", library)
    assert done["cancelled"]
    assert done["request"]
    assert len(SESSIONS & set(done)) > 3
