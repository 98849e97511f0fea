"""
The bar of a download or an upload: name, bar, size, speed and time left, in one line that fits the terminal.

    with bar("a.zip") as tell:
        tell(65536, 1000000)        bytes so far, and all of them or None

    with table() as rows:               for several at the same time: until its end, each `bar` is a row of it
        rows.write(2, b"...")           bytes for standard output (1) or standard error (2), above the table
    with no_bars():                     for several at the same time without a table: until its end, there is no bar

On a narrow terminal, the time left, the speed and the bar are left out, in this order. Long names are shortened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any, Callable, Optional

from .notes import shows_progress

# Columns of a line with everything, and of one without time left, and without speed.
_ALL, _WITHOUT_TIME, _WITHOUT_SPEED = 76, 64, 50
# Columns for the name: a third of the line, within these.
_LEAST, _MOST = 10, 40

Tell = Callable[[int, "int | None"], None]
# What makes the bars of several requests at the same time; None while there is one request.
_row: Optional[Callable[[str], AbstractContextManager[Tell]]] = None


@contextmanager
def bar(name: str) -> Iterator[Tell]:
    """Yield a function that moves the bar; it does nothing if standard error is not a terminal, and with --quiet."""
    if not shows_progress():
        yield _nothing
        return
    if _row is not None:
        with _row(name) as tell:
            yield tell
        return
    from rich.console import Console
    from rich.progress import Progress

    from .manual import columns

    width = columns(sys.stderr)
    with Progress(*parts(width), console=Console(stderr=True, width=width)) as progress:
        task = progress.add_task(shortened(name, max(_LEAST, min(width // 3, _MOST))), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class Table:
    """
    A row for each download that is under way, and one for all. Any thread may use it.

    Args:
        progress: of rich, which redraws the table.
        streams: 1 and 2 -> binary streams, for what is written above it.
        width: of the terminal.
    """

    def __init__(self, progress: Any, streams: dict[int, Any], width: int) -> None:
        self._progress = progress
        self._streams = streams
        self._name_width = max(_LEAST, min(width // 3, _MOST))
        self._lock = Lock()
        self._done = 0
        self._finished = 0
        self._total = progress.add_task(self._summary(), total=None)

    def _summary(self) -> str:
        return f"total, {self._finished} done"

    @contextmanager
    def row(self, name: str) -> Iterator[Tell]:
        """Yield a function that moves the bar of a new row, which is removed at the end."""
        task = self._progress.add_task(shortened(name, self._name_width), total=None)
        before = 0

        def tell(done: int, total: int | None) -> None:
            nonlocal before
            with self._lock:
                self._done += done - before
                before = done
                self._progress.update(task, completed=done, total=total)
                self._progress.update(self._total, completed=self._done)

        try:
            yield tell
        finally:
            with self._lock:
                self._finished += 1
                self._progress.remove_task(task)
                self._progress.update(self._total, description=self._summary())

    def write(self, stream: int, data: bytes) -> None:
        """Write above the table, which is taken away for what goes to a terminal."""
        out = self._streams[stream]
        with self._lock:
            if not out.isatty():
                out.write(data)
                out.flush()
                return
            self._progress.stop()
            try:
                out.write(data)
                out.flush()
            finally:
                self._progress.start()


@contextmanager
def table() -> Iterator[Table]:
    """Yield the table of all downloads of this process until the end of the block; standard error is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from .manual import columns

    global _row
    width = columns(sys.stderr)
    console = Console(file=sys.stderr, width=width)
    with Progress(
        *parts(width), console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        rows = Table(progress, {1: sys.stdout.buffer, 2: sys.stderr.buffer}, width)
        _row = rows.row
        try:
            yield rows
        finally:
            _row = None


@contextmanager
def no_bars() -> Iterator[None]:
    """Let `bar` show nothing until the end of the block."""
    global _row
    _row = _no_row
    try:
        yield
    finally:
        _row = None


def _no_row(name: str) -> AbstractContextManager[Tell]:
    return nullcontext(_nothing)


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
