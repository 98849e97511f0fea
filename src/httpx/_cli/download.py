"""
Saving a body: whole or not at all.

The body goes to a file beside the target, which takes the target's place when the last byte is there; a failure
leaves the target as it was. A device or a named pipe is written to directly: it must not be replaced by a file.
On a terminal, standard error shows a bar with size, speed and time left.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from httpx import Response


def save(response: Response, target: str) -> None:
    """
    Write the body of a response that is still to be read to the file `target`; "-" is standard output.

    Raises:
        OSError: the file cannot be written.
        RequestError: the body did not arrive whole.
    """
    with _opened(target) as file, _progress(response, target) as advance:
        for piece in response.iter_bytes():
            file.write(piece)
            advance()
        file.flush()


@contextmanager
def _opened(target: str) -> Iterator[IO[bytes]]:
    if target == "-":
        yield sys.stdout.buffer
        return
    path = os.path.realpath(target)  # a link stays a link
    if os.path.lexists(path) and not os.path.isfile(path):
        with open(path, "wb") as device:
            yield device
        return
    folder, name = os.path.split(path)
    descriptor, draft = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".part", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.chmod(draft, _mode(path))
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _mode(path: str) -> int:
    """The permissions of the file that is replaced, or those of a new file: `mkstemp` gives only the owner any."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


@contextmanager
def _progress(response: Response, target: str) -> Iterator[Any]:
    """A function to call after each piece, which moves the bar."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    length = response.headers.get("content-length", "")
    with Progress(*columns, console=Console(stderr=True)) as progress:
        # Content-Length counts the bytes on the wire, so that is what is compared with it: not the decoded ones.
        task = progress.add_task(os.path.basename(target), total=int(length) if length.isdigit() else None)
        yield lambda: progress.update(task, completed=response.num_bytes_downloaded)
