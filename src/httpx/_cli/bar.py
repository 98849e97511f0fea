"""
The bar of a download or an upload: name, bar, size, speed and time left, in one line that fits the terminal.

    with bar("a.zip") as tell:
        tell(65536, 1000000)        bytes so far, and all of them or None

On a narrow terminal, the time left, the speed and the bar are left out, in this order. Long names are shortened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

from .notes import shows_progress

# Columns of a line with everything, and of one without time left, and without speed.
_ALL, _WITHOUT_TIME, _WITHOUT_SPEED = 76, 64, 50
# Columns for the name: a third of the line, within these.
_LEAST, _MOST = 10, 40

Tell = Callable[[int, "int | None"], None]


@contextmanager
def bar(name: str) -> Iterator[Tell]:
    """Yield a function that moves the bar; it does nothing if standard error is not a terminal, and with --quiet."""
    if not shows_progress():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import Progress

    from .manual import columns

    width = columns(sys.stderr)
    with Progress(*parts(width), console=Console(stderr=True, width=width)) as progress:
        task = progress.add_task(shortened(name, max(_LEAST, min(width // 3, _MOST))), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def parts(width: int) -> list[Any]:
    """Return the columns of rich for a terminal of this width."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    out: list[Any] = [TextColumn("{task.description}", markup=False)]
    if width >= _WITHOUT_SPEED:
        out.append(BarColumn(bar_width=None if width < _ALL else 40))
    out.append(DownloadColumn())
    if width >= _WITHOUT_TIME:
        out.append(TransferSpeedColumn())
    if width >= _ALL:
        out.append(TimeRemainingColumn())
    return out


def shortened(name: str, most: int) -> str:
    """Return a name with its middle replaced by "...", so that it has at most so many characters."""
    if len(name) <= most:
        return name
    end = (most - 3) // 2
    return f"{name[: most - 3 - end]}...{name[len(name) - end :]}"


def _nothing(done: int, total: int | None) -> None:
    pass
