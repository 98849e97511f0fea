"""
What is told on standard error beside the output, as far as `--quiet` allows it.

    be_quiet(1)                             -q: errors only; 2 is -qq: not even errors
    note("retrying in 2 s")                 something that is good to know
    complain("404 Not Found")               an error
    shows_progress()                        whether there may be a bar

How quiet it is belongs to the process, as standard error does. Prompts and what an option asks for (`--timings`) do not
go this way.
"""

from __future__ import annotations

import sys

from .screen import Screen

_quietness = 0


def be_quiet(times: int) -> None:
    """Set how often --quiet was given."""
    global _quietness
    _quietness = times


def note(text: str, mark: str = "httpx:") -> None:
    """Write a line that is not an error, unless -q is given."""
    if not _quietness:
        _write(text, mark)


def complain(text: str) -> None:
    """Write an error, unless -qq is given."""
    if complains():
        _write(text)


def complains() -> bool:
    """Return whether errors are shown."""
    return _quietness < 2


def shows_progress() -> bool:
    """Return whether there may be a bar: standard error is a terminal, and -q is not given."""
    return not _quietness and sys.stderr is not None and sys.stderr.isatty()


def _write(text: str, mark: str = "httpx:") -> None:
    if sys.stderr is not None:
        Screen(sys.stderr).write(f"{mark} {text}\n")
