"""
The file of a download: a draft beside the target, its record, and the move to the target.

    target = Target(path, url, resume)
    part = target.find()                        the draft of an earlier run, now ours; None if there is none
    target.begin(name, validator, length)       an empty draft
    target.write(at, pieces)
    path = target.finish(modified)              the draft replaces the target
    target.leave(keep)                          or it does not

    <target>.part          what has arrived. The lock on it says that a process is at work.
    <target>.part.json     whose draft it is: {"url", "validator", "length", "query", "segments"}

The record is written before the draft has its first byte, so that a process may end at any time: what is in the draft
is the beginning of the file that the record names, or its segments are. A draft that another process works on, and a
file that is not ours but has the name of the draft, are left alone: then the draft is a hidden file with a random name,
which cannot be continued. A device or a named pipe is written to directly: a file must not replace it.

Every method may be called in a thread; `leave` never waits. A descriptor is closed by its last user.

Not here: what is requested and compared (`_transfer`), which names are safe (`_filenames`).
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Optional

from .._filenames import fit_name, name_in, place_of, query_of

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# Bytes of a record; one of ours with 64 segments has less than 4 KiB and the URL.
_MAX_RECORD = 65_536
# Files of a folder that are looked at to find the draft of a URL.
_MAX_SCANNED = 10_000
_MAX_READ = 256
# Bytes that a file is read by.
_BLOCK = 1 << 20
# Bytes of a segment after which the record is written again.
_RECORD_EVERY = 4 << 20
_MAX_SEGMENTS = 64
# Bytes of a file's name that leave room for ".part.json" and the random part of a new one.
_MAX_STEM = 236
_MAX_SIZE = 1 << 62


class Part(NamedTuple):
    """
    A draft of an earlier run.

    Attributes:
        size: bytes that are there from the start on; 0 if there are segments.
        validator: of the file that it is a part of.
        length: of that file, or None.
        segments: [[position, end], ...] of what is missing; None if it grows at its end.
    """

    size: int
    validator: str
    length: int | None
    segments: list[list[int]] | None


class Target:
    """
    Where a download goes.

    Args:
        path: a file, or a folder ("" for the current one), in which the server chooses the name.
        url: of the request.
        resume: continue the draft of an earlier run, and return a file that is complete.
        keep: leave the draft to a later run.
    """

    def __init__(self, path: str | os.PathLike[str], url: str, *, resume: bool = True, keep: bool = True) -> None:
        given = os.fspath(path)
        if not isinstance(given, str):
            raise TypeError(f"path must be a str or a pathlib.Path, got {type(given).__name__}")
        self._folder = folder_of(given)
        self._given = given
        self._url = url
        self._resume = resume
        self._keep = keep
        self._lock = Lock()
        # The path of the target (a link stays a link), of the draft, and whether the draft can be continued.
        self._path = "" if self._folder is not None else os.path.realpath(given)
        self._draft = ""
        self._is_private = False
        self._is_device = False
        self._file = -1
        self._position = -1  # of the descriptor; -1 if it is not known
        self._record: dict[str, Any] = {}
        self._unrecorded = 0
        self._hashers: dict[str, Any] = {}
        self._hashed = 0
        self.epoch = 0  # what was to be written in an earlier one is not any more
        self._outcome: Optional[bool] = None  # whether the draft is to be kept, once `leave` was called

    @property
    def path(self) -> Path:
        """The file; known once `begin` was called, or `find` has found a draft."""
        return Path(self._path)

    @property
    def draft(self) -> str:
        """The path of the draft."""
        return self._draft

    @property
    def is_device(self) -> bool:
        """Whether what is written goes to a device or a pipe, which cannot be read back."""
        return self._is_device

    @contextmanager
    def _held(self) -> Iterator[None]:
        """
        Keep others out; at the end do what `leave` could not do meanwhile.

        Raises:
            RuntimeError: it was left before, so the draft may be another download's by now. Nobody hears of this.
        """
        try:
            with self._lock:
                if self._outcome is not None:
                    raise RuntimeError("the download has ended")
                yield
        finally:
            if self._outcome is not None:
                self.leave(self._outcome)

    # The draft.

    def find(self) -> Part | None:
        """Return the draft that can be continued; None if there is none, or another process has it."""
        if not self._resume:
            return None
        with self._held():
            return self._find()

    def _find(self) -> Part | None:
        if self._folder is None:
            candidates: Iterable[str] = [self._path]
        else:
            first = os.path.join(self._folder, fit_name(name_in(self._url)) or "index")
            candidates = [first, *self._recorded_in(self._folder)]
        for path in candidates:
            if self._folder is not None and os.path.islink(path):
                continue  # a name that the server chooses does not lead out of the folder
            path = os.path.realpath(path)
            record = _record_of(path)
            if record is None or not self._is_same(record) or not self._take(path):
                continue
            part = _part_of(record, os.fstat(self._file).st_size)
            if part is not None:
                self._path, self._record = path, record
                return part
            self._drop()
        return None

    def _recorded_in(self, folder: str) -> Iterator[str]:
        """Yield the targets of a folder that have a record of this URL: the server chose their names."""
        read = 0
        with suppress(OSError), os.scandir(folder) as entries:
            for _, entry in zip(range(_MAX_SCANNED), entries):
                if entry.name.endswith(".part.json"):
                    path = os.path.join(folder, entry.name[: -len(".part.json")])
                    record = _record_of(path)
                    if record is not None and record.get("url") == place_of(self._url):
                        yield path
                    read += 1
                    if read == _MAX_READ:
                        return

    def _is_same(self, record: dict[str, Any]) -> bool:
        """
        Return whether a record is of this URL.

        Another query may mean another file, or just a new signature. Then the user must have named the file, and only
        an entity tag can tell: two files may well have been changed in the same second.
        """
        if record.get("url") != place_of(self._url):
            return False
        is_exact = record.get("query") == _hashed(query_of(self._url))
        return is_exact or (self._folder is None and str(record.get("validator")).startswith('"'))

    def begin(self, name: str, validator: str | None, length: int | None) -> None:
        """
        Begin an empty draft.

        Args:
            name: of the file, where the target is a folder.
            validator: with which the rest can be requested later; None if it cannot.
            length: of the file, if it is known.

        Raises:
            OSError: the draft cannot be created or written to.
        """
        with self._held():
            path = self._path
            if self._folder is not None:
                path = os.path.realpath(unused(os.path.join(self._folder, name)))
            self._hashers, self._hashed, self._position = {}, 0, -1
            self.epoch += 1
            if self._folder is None and _is_device(path):
                self._drop()
                self._is_device = True
                self._file = os.open(path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
                return
            if self._file >= 0 and path != self._path:
                self._remove()  # the server has another name for it now
            self._path = path
            self._record = {"url": place_of(self._url), "validator": validator, "length": length}
            self._record["query"] = _hashed(query_of(self._url))
            if self._file >= 0 or self._can_be_public(path):
                os.ftruncate(self._file, 0)
                self._write_record()
            else:
                self._make_private(path)

    def _can_be_public(self, path: str) -> bool:
        """Take over or make the draft that a later run can find; return False if it cannot or must not be used."""
        if not self._keep or len(os.fsencode(os.path.basename(path))) > _MAX_STEM:
            return False
        has_record = _record_of(path) is not None
        if not has_record and os.path.lexists(f"{path}.part.json"):
            return False
        return self._take(path, any_size=has_record) or self._make(path)

    def _make(self, path: str) -> bool:
        try:
            file = os.open(f"{path}.part", os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, _mode(path))
        except FileExistsError:
            return False
        # Another process may have been faster and have taken it over. If it is done, this is its complete file by now.
        with suppress(OSError):
            if lock(file) and os.path.samestat(os.fstat(file), os.lstat(f"{path}.part")):
                self._file, self._draft, self._is_private = file, f"{path}.part", False
                return True
        os.close(file)
        return False

    def _make_private(self, path: str) -> None:
        folder, name = os.path.split(path)
        self._is_private = True
        while self._file < 0:
            self._draft = os.path.join(folder, f".{name[:40]}.{os.urandom(4).hex()}.part")
            with suppress(FileExistsError):
                self._file = os.open(self._draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, _mode(path))

    def _take(self, path: str, any_size: bool = True) -> bool:
        """
        Open and lock the draft of a target; return whether it is there, ours and free.

        Whether it is ours: no other user can write to it or have it elsewhere, as in a folder that all may write to.
        One without a record must be empty: its process ended before it wrote the record.
        """
        draft = f"{path}.part"
        try:
            file = os.open(draft, os.O_RDWR | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return False
        found = os.fstat(file)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and _is_own(found)
        # Its process may have moved it to its target between our look and the lock, or written to it.
        with suppress(OSError):
            is_same = is_ours and lock(file) and os.path.samestat(found, os.lstat(draft))
            if is_same and (any_size or not os.fstat(file).st_size):
                self._file, self._draft, self._is_private = file, draft, False
                return True
        os.close(file)
        return False

    def split(self, segments: Sequence[list[int]]) -> None:
        """Record which segments are missing; what is written into them moves their positions."""
        with self._held():
            self._record["segments"] = segments
            # The record first: a draft of full length whose record has no segments would count as complete, and a
            # process may be killed between the two. One that is shorter than its segments is begun anew.
            self._write_record()
            os.ftruncate(self._file, self._record["length"])

    def _write_record(self) -> None:
        """Replace the record; a process that ends meanwhile leaves the old one or the new one."""
        if self._is_private:
            return
        path = f"{self._path}.part.json"
        new = f"{path}.new"  # always the same, so that a process that is killed here leaves it to the next one
        _unlink(new)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600)
        try:
            with os.fdopen(file, "w", encoding="utf-8") as written:
                # Not `dump`, which leaves a reference cycle.
                written.write(json.dumps({name: value for name, value in self._record.items() if value is not None}))
            os.replace(new, path)
        except BaseException:
            _unlink(new)
            raise
        self._unrecorded = 0

    # Its content.

    def write(
        self, at: int, pieces: Sequence[bytes], segment: list[int] | None = None, epoch: int | None = None
    ) -> None:
        """
        Write pieces from a position on, and move the segment's position.

        Raises:
            OSError: such as a full disk.
        """
        try:
            with self._lock:  # `_held`, inlined: this is done for each piece
                if self._outcome is None and epoch in (None, self.epoch):
                    self._write(at, pieces, segment)
        finally:
            if self._outcome is not None:
                self.leave(self._outcome)

    def _write(self, at: int, pieces: Sequence[bytes], segment: list[int] | None) -> None:
        if at != self._position and not self._is_device:
            os.lseek(self._file, at, os.SEEK_SET)
        self._position = -1  # not known, if the rest fails
        for piece in pieces:
            done = os.write(self._file, piece)
            while done < len(piece):
                done += os.write(self._file, memoryview(piece)[done:])
            if at == self._hashed:
                self._hashed += len(piece)
                for hasher in self._hashers.values():
                    hasher.update(piece)
            at += len(piece)
        self._position = at
        if segment is not None:
            self._unrecorded += at - segment[0]
            segment[0] = at
            if self._unrecorded >= _RECORD_EVERY or at >= segment[1]:
                self._write_record()

    def hash(self, names: Iterable[str]) -> None:
        """Compute digests of what is written from now on; called before the first byte."""
        from hashlib import new

        self._hashers = {name: new(name) for name in names}

    def digest(self, name: str, start: int = 0, end: int = _MAX_SIZE) -> bytes:
        """
        Return the digest of what was written between two positions; if it is not known yet, the draft is read.

        Args:
            name: such as "sha256".
        """
        with self._held():
            if start == 0 and name in self._hashers and self._outcome is None and not self._is_partly_hashed(end):
                return self._hashers[name].digest()  # type: ignore[no-any-return]  # hashlib has no type for them
        return _digest_of(self._draft, name, start, end)

    def _is_partly_hashed(self, end: int) -> bool:
        return not self._is_device and self._hashed != min(end, os.fstat(self._file).st_size)

    def size(self) -> int:
        """Return the bytes of the draft."""
        return os.fstat(self._file).st_size

    def complete(self, name: str, length: int | None, modified: int | None, digests: dict[str, bytes]) -> Path | None:
        """
        Return the target if it is the whole file already, else None.

        By a digest, else by length and time of change: `finish` gives a file the server's.

        Args:
            name: of the file, where the target is a folder.
            modified: seconds since 1970, if that identifies the file.
        """
        path = self._path if self._folder is None else os.path.realpath(os.path.join(self._folder, name))
        try:
            found = os.stat(path)
        except OSError:
            return None
        if not self._resume or not stat.S_ISREG(found.st_mode) or (length is not None and found.st_size != length):
            return None
        if digests:
            is_same = all(_digest_of(path, name) == digest for name, digest in digests.items())
        else:
            is_same = None not in (length, modified) and int(found.st_mtime) == modified
        if not is_same:
            return None
        self._path = path
        return Path(path)

    # The end.

    def finish(self, modified: int | None = None) -> Path:
        """
        Move the draft to the target; return its path.

        Args:
            modified: seconds since 1970, when the server's file was changed; None leaves the time of writing.

        Raises:
            OSError: the target cannot be replaced.
        """
        with self._held():
            if self._is_device:
                self._drop()
                return Path(self._path)
            if os.path.exists(self._path) and self._folder is None:
                os.chmod(self._draft, _mode(self._path, 0o777))
            if modified is not None:
                with suppress(OSError, OverflowError, ValueError):
                    os.utime(self._draft, (modified, modified))
            if os.name == "nt":  # pragma: no cover  # Windows cannot move open files
                self._drop()
            if self._folder is None:
                os.replace(self._draft, self._path)
            else:
                self._place()
            if not self._is_private:
                # The record belongs to the name of the draft, which a server's choice may have left meanwhile.
                _unlink(f"{self._draft}.json")
            self._drop()
            return Path(self._path)

    def _place(self) -> None:
        """Give the draft a name that no file has."""
        while True:
            self._path = unused(self._path)
            try:
                os.link(self._draft, self._path)
            except FileExistsError:
                continue  # it came between
            except OSError:  # a file system without links
                os.replace(self._draft, self._path)
            else:
                os.unlink(self._draft)
            return

    def wait(self) -> None:
        """Wait for a thread that still writes."""
        with self._held():
            self.epoch += 1

    def leave(self, keep: bool) -> None:
        """
        End without a file. Never waits: if a thread still writes, it does the rest.

        Args:
            keep: the draft is kept if it can be continued.
        """
        self._outcome = keep
        if self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def _end(self) -> None:
        if self._file < 0:
            return
        if self._is_device:
            self._drop()
        elif (
            self._outcome
            and not self._is_private
            and self._record.get("validator") is not None
            and os.fstat(self._file).st_size
        ):
            # Another download that has just moved its draft of this name away may have removed this one's record.
            if "segments" in self._record or not os.path.lexists(f"{self._path}.part.json"):
                with suppress(OSError):  # the one before is valid, too
                    self._write_record()
            self._drop()
        else:
            self._remove()

    def _remove(self) -> None:
        if os.name == "nt":  # pragma: no cover  # Windows cannot remove open files
            self._drop()
        with suppress(OSError):
            _unlink(self._draft)
            if not self._is_private:
                _unlink(f"{self._draft}.json")
        self._drop()

    def _drop(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def folder_of(target: str) -> str | None:
    """Return the folder that a target means; None if it is a file."""
    if not target:
        return "."
    return target if os.path.isdir(target) or target.endswith(("/", os.sep)) else None


def unused(path: str) -> str:
    """Return a path, with a number if such a file exists."""
    stem, suffix = os.path.splitext(path)
    number = 0
    while os.path.lexists(path):
        number += 1
        path = f"{stem}-{number}{suffix}"
    return path


def lock(file: int) -> bool:
    """Lock an open file for as long as it is open; return False if another has locked it."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover  # Windows
        return _lock_on_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def _lock_on_windows(file: int) -> bool:  # pragma: no cover
    import msvcrt

    lock: Any = getattr(msvcrt, "locking")  # noqa: B009  # its type is known on Windows only
    try:
        os.lseek(file, 1 << 40, os.SEEK_SET)  # a byte that no file has
        lock(file, 2, 1)  # LK_NBLCK
    except OSError:
        return False
    return True


def _record_of(path: str) -> dict[str, Any] | None:
    """Return the record of the draft of a target; None if there is none of ours."""
    try:
        file = os.open(f"{path}.part.json", os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(file, "rb") as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or not _is_own(found):
                return None
            record = json.loads(opened.read(_MAX_RECORD + 1)[:_MAX_RECORD])
        return record if isinstance(record["url"], str) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _part_of(record: dict[str, Any], size: int) -> Part | None:
    """Return what a record says of a draft of this size; None if it cannot be continued."""
    validator, length, segments = record.get("validator"), record.get("length"), record.get("segments")
    if not isinstance(validator, str) or not validator.isprintable() or not validator.isascii():
        return None
    if length is not None and (not _is_count(length) or size > length):
        return None
    if segments is None:
        return Part(size, validator, length, None) if size else None
    if not isinstance(segments, list) or not 0 < len(segments) <= _MAX_SEGMENTS or size != length:
        return None
    last = 0
    for one in segments:
        if not isinstance(one, list) or len(one) != 2 or not all(map(_is_count, one)):
            return None
        if not last <= one[0] <= one[1] <= size:
            return None
        last = one[1]
    return Part(0, validator, length, segments)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_SIZE


def _hashed(query: str | None) -> str | None:
    """Return what a query is recognised by; it may be a secret."""
    if query is None:
        return None
    from hashlib import sha256

    return sha256(query.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _digest_of(path: str, name: str, start: int = 0, end: int = _MAX_SIZE) -> bytes:
    from hashlib import new

    hasher = new(name)
    with open(path, "rb") as file:
        file.seek(start)
        while start < end:
            piece = file.read(min(_BLOCK, end - start))
            if not piece:
                break
            hasher.update(piece)
            start += len(piece)
    return hasher.digest()


def _is_own(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def _is_device(path: str) -> bool:
    return os.path.lexists(path) and not os.path.isfile(path)


def _mode(path: str, otherwise: int = 0o666) -> int:
    """Return the permissions of the replaced file; `otherwise` for a new one, from which the system takes the umask."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return otherwise


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
