"""
Exceptions at a chosen bytecode, as out of a signal handler.

    count = opcodes_of(function, files)
    with pytest.raises(Interrupted):
        interrupt(function, files, number)

A real signal is noticed at fewer points (calls, and backward jumps), but which ones differs between versions of Python.
"""

from __future__ import annotations

import dis
import functools
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Callable, Optional, TypeVar

import httpx

T = TypeVar("T")

# Where the interpreter notices no signal: the NOP of an inner `try:`, which is in no outer one; what takes a coroutine
# from one `await` to the next, where an exception would pass by the coroutine that it awaits; and what begins and ends
# an `except` block, where one would leave the exception that is handled to the thread for good, as the context of all
# later ones.
QUIET = frozenset(
    dis.opmap[name]
    for name in (
        *("NOP", "SEND", "YIELD_FROM", "YIELD_VALUE", "JUMP_BACKWARD_NO_INTERRUPT", "END_SEND", "RESUME"),
        *("PUSH_EXC_INFO", "POP_EXCEPT", "RERAISE", "COPY"),
    )
    if name in dis.opmap
)

PACKAGE = Path(httpx.__file__).parent
# What a request passes through from the engine down.
ENGINE = (str(PACKAGE / "_engine"), str(PACKAGE / "_pool.py"), str(PACKAGE / "_sharing.py"))
POOL = ENGINE[1:]
# What is done with the pool on an event loop's thread.
ON_LOOPS = (*POOL, *(str(PACKAGE / "_engine" / f"{name}.py") for name in ("asyncio", "trio", "async_body", "job")))


class Interrupted(BaseException):
    """As KeyboardInterrupt, which pytest would take for itself."""


@functools.cache
def _bytecode(code: CodeType) -> bytes:
    return code.co_code


def interrupt(
    function: Callable[[], T],
    files: Sequence[str],
    number: int,
    error: type[BaseException] = Interrupted,
    passed: Optional[list[int]] = None,
) -> T:
    """
    Call `function` and raise `error` before the bytecode `number` (from 1) of code in `files`, which begin paths.

    Args:
        passed: gets the number of bytecodes that were passed; by default it is not told.
    """
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(tuple(files)):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and _bytecode(frame.f_code)[frame.f_lasti] not in QUIET:
            count += 1
            if count == number:
                where.append(f"{frame.f_code.co_name} in line {frame.f_lineno}")
                raise error(where[0])  # that ends the tracing, too
        return trace

    where: list[str] = []
    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks at this when tracing begins, and not again
    sys.settrace(trace)
    try:
        return function()
    finally:
        sys.settrace(before)
        if passed is not None:
            passed.append(count)


def opcodes_of(function: Callable[[], Any], files: Sequence[str]) -> int:
    """How many bytecodes of code in `files` a call of `function` passes."""
    passed: list[int] = []
    interrupt(function, files, 0, passed=passed)
    return passed[0]


def is_locked(lock: threading.RLock) -> bool:
    """Return whether a thread has the lock: this one, or another one at this moment."""
    if lock._is_owned():  # type: ignore[attr-defined]  # not in typeshed
        return True
    if lock.acquire(blocking=False):
        lock.release()
        return False
    return True
