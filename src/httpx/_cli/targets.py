"""
Where a body is saved: in a file that appears when it is complete, or directly.

    target_for("a.zip", url)            Download: beside the file first, then in its place
    target_for("/dev/stdout", url)      Direct: standard output, devices, pipes, and files that cannot be replaced

A file cannot be replaced if its folder is not writable, or if it is mounted by itself, as containers do. It is then
written in place. `target_for` also finds out what cannot be written at all, before a request is sent.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._transfer import parse_digest
from .download import Download, OtherDigest
from .screen import Screen

if TYPE_CHECKING:
    import httpx

# Names of descriptors of this process; bash writes `>(command)` as /dev/fd/63.
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")
_STANDARD = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_STICKY = stat.S_ISVTX


def target_for(
    path: str,
    url: str,
    *,
    resume: bool = False,
    digest: str | None = None,
    skips: bool = False,
    present: Container[str] | None = None,
) -> Download | Direct:
    """
    Return what saves a body to a path.

    Args:
        path: a file, a folder, "" for the current folder, or "-" for standard output.
        url, resume, digest, skips, present: as for `Download`.

    Raises:
        ValueError: as for `Download`; or a direct target cannot be continued.
        OSError: the path cannot be written to.
    """
    if skips and os.path.isfile(path):  # nothing will be written
        return Download(path, url, digest=digest, skips=True)
    if not is_direct(path):
        folder = path if not path or path.endswith(("/", os.sep)) or os.path.isdir(path) else _parent_of(path)
        _check_folder(folder or ".", path or ".")
        return Download(path, url, resume=resume, digest=digest, skips=skips, present=present)
    if resume:
        raise ValueError("--continue needs a file that can be replaced, not standard output, a device or a pipe")
    _check(path)
    return Direct(path, digest)


def is_direct(path: str) -> bool:
    """Return whether a path has to be written to in place."""
    if descriptor_of(path) is not None:
        return True
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    if stat.S_ISDIR(status.st_mode):
        return False
    return not stat.S_ISREG(status.st_mode) or not _is_replaceable(os.path.realpath(path), status)


def descriptor_of(path: str) -> int | None:
    """Return the descriptor that a path names; None if it is not one of this process's."""
    match = _DESCRIPTOR.fullmatch(path)
    return int(match[1]) if match is not None else _STANDARD.get(path)


def _is_replaceable(path: str, status: os.stat_result) -> bool:
    folder = os.path.dirname(path)
    if not os.access(folder, os.W_OK | os.X_OK) or _is_mounted(path):
        return False
    if sys.platform == "win32":
        return True
    above, user = os.stat(folder), os.geteuid()
    # In a sticky folder, such as /tmp, only the owner of a file can rename it.
    return not above.st_mode & _STICKY or user in (0, status.st_uid, above.st_uid)


def _is_mounted(path: str) -> bool:
    """Return whether a file is a mount point; `os.path.ismount` does not see one of the same file system."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            points = [line.split(" ", 5)[4] for line in file]
    except (OSError, IndexError):
        return False
    return re.sub(r"[ \t\n\\]", lambda match: f"\\{ord(match[0]):03o}", path) in points


def _parent_of(path: str) -> str:
    return os.path.dirname(os.path.realpath(path))  # a link stays a link


def _check_folder(folder: str, path: str) -> None:
    code = 0
    if not os.path.isdir(folder):
        code = errno.ENOENT
    elif not os.access(folder, os.W_OK | os.X_OK):
        code = errno.EACCES
    if code:
        raise OSError(code, os.strerror(code), path)


def _check(path: str) -> None:
    descriptor = descriptor_of(path)
    if descriptor is not None and descriptor > 2:
        try:
            os.fstat(descriptor)
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, path) from None
    elif descriptor is None and not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)


class Direct:
    """
    A target that is written in place, once.

    Args:
        path: of an existing file that is not a folder, or "-".
        digest: as for `Download`.

    Attributes:
        is_output: whether it is standard output.
    """

    is_repeatable = makes_file = was_skipped = False
    kept = None
    existing = None

    def __init__(self, path: str, digest: str | None = None) -> None:
        self._path = path
        self._digest = None if digest is None else parse_digest(digest)
        self._descriptor = descriptor_of(path)
        self.is_output = self._descriptor == 1
        self._stream = sys.stderr if self._descriptor == 2 else sys.stdout

    def headers(self) -> dict[str, str]:
        """Return header fields for the request."""
        return {} if self.is_output else {"Accept-Encoding": "identity"}

    def save(self, response: httpx.Response) -> str:
        """
        Write an unread body; return the path. A terminal gets no control characters, and no binary data.

        Raises:
            OSError: it cannot be written.
            RequestError: the body did not arrive completely.
            OtherDigest: the body has another digest.
        """
        import hashlib

        hasher = None if self._digest is None else hashlib.new(self._digest.name)
        pieces = _hashed(response, hasher)
        if self._descriptor in (1, 2) and self._stream.isatty():
            Screen(self._stream, "none").pieces(pieces, response.encoding)
        else:
            with self._opened() as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
        if self._digest is not None and hasher is not None and hasher.digest() != self._digest.value:
            name, wanted = self._digest.name, self._digest.value.hex()
            raise OtherDigest(f"the body has the digest {name}:{hasher.hexdigest()}, and not {name}:{wanted}")
        return self._path

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        if self._descriptor in (1, 2):
            yield self._stream.buffer
            return
        source: str | int = self._path if self._descriptor is None else os.dup(self._descriptor)
        with open(source, "wb") as file:
            yield file


def _hashed(response: httpx.Response, hasher: Any) -> Iterator[bytes]:
    for piece in response.iter_bytes():
        if hasher is not None:
            hasher.update(piece)
        yield piece
