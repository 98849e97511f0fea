"""
Ctrl-C while the command line client is imported: the process ends at once, without a traceback.

    restore = silence_interrupts()
    ...                                 imports
    restore()

Only `httpx/__init__.py` uses it, and only in a process that is the command. Python's own handler would raise
KeyboardInterrupt in the middle of an import, where no code of ours could catch it.
"""

from __future__ import annotations

import signal
from typing import Callable


def silence_interrupts() -> Callable[[], None]:
    """Let SIGINT end the process; return a function that sets Python's handler again. Another handler stays."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return _nothing
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # not in the main thread
        return _nothing
    return _restore


def _restore() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _nothing() -> None:
    pass
