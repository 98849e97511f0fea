"""
What a request may have left behind: descriptors, tasks, slots of the pool, warnings.

Not here: what the request was (`tests/adversarial`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, Optional

from . import certs
from .steps import in_trio, turns


@functools.cache
def trusting_context() -> ssl.SSLContext:
    """A client's TLS context, one for all: making it takes longer than a request."""
    return certs.client_context()


def descriptors() -> set[tuple[int, str]]:
    """This process's open descriptors, and what each stands for; empty where there is no /proc."""
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):  # the one that listed them
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return found


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Fails if a descriptor is left open, or something warned."""
    before = descriptors()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert not caught, [str(warning.message) for warning in caught]
    # A server in this process may need a moment to see that its client is gone.
    deadline = time.monotonic() + 1
    left = descriptors() - before
    while left and time.monotonic() < deadline:
        time.sleep(0.001)
        left = descriptors() - before  # looked at once: a late `accept` may come between two looks
    assert not left, f"left open: {left}"


@contextlib.contextmanager
def no_lost_exceptions() -> Iterator[None]:
    """On asyncio: fails if the loop was told of an exception that nobody handled."""
    lost: list[Any] = []
    if not in_trio():
        with contextlib.suppress(RuntimeError):  # no loop: the scenario is a sync one
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
    yield
    gc.collect()
    assert not lost, lost


def engines_of(client: Any) -> list[Any]:
    """The engines behind a client's own transport."""
    transport = client._transport
    engine: Optional[Any] = getattr(transport, "_engine", None)
    return list(transport._engines.values()) if engine is None else [engine]


def counts_of(client: Any) -> tuple[int, int, int, int]:
    """What the pools behind a client hold: open and idle connections, dials, waiting tickets."""
    counts = [(0, 0, 0, 0), *(engine.pool.counts() for engine in engines_of(client))]
    opened, idle, dials, waiting = (sum(column) for column in zip(*counts))
    return opened, idle, dials, waiting


async def settled(client: Any, most: int = 20) -> None:
    """In a few turns of the loop everything that ended has told the pool; then nothing is in use."""
    for _ in range(most):
        opened, idle, dials, waiting = counts_of(client)
        if opened == idle and not dials and not waiting:
            return
        with contextlib.suppress(RuntimeError):  # no loop: nothing can change
            await turns()
    raise AssertionError(f"open, idle, dials, waiting: {counts_of(client)}")


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    """In a thread: until the condition holds; AssertionError if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.001)


def left_over(before: set[tuple[int, str]]) -> list[str]:
    """Return the threads and descriptors that are still there a moment after the end of the work."""
    deadline = time.monotonic() + 5
    left: list[str] = []
    while time.monotonic() < deadline:
        left = [f"thread {thread.name}" for thread in threading.enumerate() if thread is not threading.main_thread()]
        left += [f"descriptor {number}: {what}" for number, what in descriptors() - before]
        if not left:
            break
        time.sleep(0.01)
    return left
