"""
The start of the command line client: Ctrl-C while it is imported ends it at once, and no time goes into garbage.

    restore = silence_interrupts()
    ...                                 imports
    restore()

`httpx/__init__.py` uses it, only in a process that is the command. Python's own handler would raise KeyboardInterrupt
in the middle of an import, where no code of ours could catch it.
"""

from __future__ import annotations

import gc
import signal
from typing import Callable

# Allocations between two searches for cycles: a start makes hardly any, and searching takes 8 ms of it.
_RARELY = 50_000


def silence_interrupts() -> Callable[[], None]:
    """Let SIGINT end the process; return a function that sets Python's handler again. Another handler stays."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return _nothing
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # not in the main thread
        return _nothing
    return _restore


def collect_rarely() -> Callable[[], None]:
    """Let cycles be searched for rarely; return a function that sets what was before."""
    if not hasattr(gc, "get_threshold"):  # PyPy
        return _nothing
    before = gc.get_threshold()
    gc.set_threshold(_RARELY)
    return lambda: gc.set_threshold(*before)


def _restore() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _nothing() -> None:
    pass
