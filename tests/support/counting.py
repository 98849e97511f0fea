"""
What a piece of code costs, in counts that are the same on every machine: frames, system calls, timers.

    with frames() as entered:
        client.get(url)
    assert len(entered) <= 25, entered

Not here: times (`benchmarks/`), and what the limits are (`tests/test_hot_path.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import select
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Callable, Optional


@contextlib.contextmanager
def frames() -> Iterator[list[str]]:
    """
    Fills a list with the Python frames that this thread enters, each as "module:line function", in order.

    A generator or coroutine counts when it begins, and not when it is resumed.
    """
    entered: list[str] = []
    with (_monitored if sys.version_info >= (3, 12) else _profiled)(entered.append):
        yield entered
    # What the end of the block itself entered.
    while entered and entered[-1].split(":")[0] in ("contextlib", __name__):
        entered.pop()


def calls_of(function: Callable[[], Any]) -> int:
    """
    How many calls, of Python and of C functions, `function` makes.

    Without the garbage collector, which may come at any time and calls whoever asked to know, as hypothesis did.
    """
    count = 0

    def profile(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    was_enabled = gc.isenabled()
    gc.disable()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
        if was_enabled:
            gc.enable()
    return count


def _described(frame: FrameType, code: CodeType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}:{code.co_firstlineno} {getattr(code, 'co_qualname', code.co_name)}"


@contextlib.contextmanager
def _monitored(note: Callable[[str], None]) -> Iterator[None]:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]  # since 3.12
    here = threading.get_ident()

    def started(code: CodeType, offset: int) -> None:
        if threading.get_ident() == here:  # it counts in all threads, unlike a profiler
            note(_described(sys._getframe(1), code))

    monitoring.use_tool_id(monitoring.PROFILER_ID, "httpx tests")
    monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.PY_START, started)
    monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_START)
    try:
        yield
    finally:
        monitoring.set_events(monitoring.PROFILER_ID, 0)
        monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.PY_START, None)
        monitoring.free_tool_id(monitoring.PROFILER_ID)


@contextlib.contextmanager
def _profiled(note: Callable[[str], None]) -> Iterator[None]:
    begun: set[FrameType] = set()

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        # A frame that is resumed has the event again; the set keeps frames alive, so that no other can have its place.
        if event == "call" and frame not in begun:
            begun.add(frame)
            note(_described(frame, frame.f_code))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


# What was done, by kind: "send", "receive", "poll" (a look that waits for nothing), "wait", "timer", "future".
Counts = Counter


class CountingSocket(socket.socket):
    """A socket that counts what is sent and received through it; made of another one, which it replaces."""

    def __init__(self, replaced: socket.socket, counts: Counts[str]) -> None:
        timeout = replaced.gettimeout()
        super().__init__(replaced.family, replaced.type, replaced.proto, fileno=replaced.detach())
        self.settimeout(timeout)
        self._counts = counts

    def send(self, *args: Any) -> int:
        self._counts["send"] += 1
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self._counts["send"] += 1
        super().sendall(*args)

    def sendmsg(self, *args: Any) -> int:
        self._counts["send"] += 1
        return super().sendmsg(*args)

    def recv(self, *args: Any) -> bytes:
        self._counts["receive"] += 1
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self._counts["receive"] += 1
        return super().recv_into(*args)


class CountingPoll:
    """A poll object that counts how often it is asked."""

    def __init__(self, counts: Counts[str]) -> None:
        self._counts = counts
        self._poll = select.poll()

    def register(self, *args: Any) -> None:
        self._poll.register(*args)

    def poll(self, timeout: Optional[float] = None) -> list[tuple[int, int]]:
        self._counts["poll" if timeout == 0 else "wait"] += 1
        return self._poll.poll(timeout)


class CountingSelect:
    """The module `select`, whose poll objects count."""

    def __init__(self, counts: Counts[str]) -> None:
        self._counts = counts

    def poll(self) -> CountingPoll:
        return CountingPoll(self._counts)

    def __getattr__(self, name: str) -> Any:
        return getattr(select, name)


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that counts the timers and futures that are made."""

    def __init__(self, counts: Counts[str]) -> None:
        self.counts = counts
        super().__init__()

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:  # `call_later` comes here too
        self.counts["timer"] += 1
        return super().call_at(*args, **kwargs)

    def create_future(self) -> asyncio.Future[Any]:
        self.counts["future"] += 1
        return super().create_future()
