"""
Files as bodies: what a file is, how it is read, and how a slow source is read in async code.

    is_async_file(source)   whether it is read with `await`
    measure(file)           its position and size, if it can seek
    FileSource(file)        its bytes in pieces, again and again if it can seek
    to_utf8, as_bytes       text and pieces of bodies as bytes
    Pace                    a sync source in async code: in place while reads are quick, then in threads

Not here: streams and their header fields (`_content`), the threads (`_transports.threads`).
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextvars import Context, copy_context
from functools import partial
from threading import Lock
from time import perf_counter
from typing import Any, Callable, Optional

from ._exceptions import LocalProtocolError, StreamConsumed

FILE_PIECE = 65_536  # bytes per read: large enough to make system calls rare, small enough to hold many at once

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE; importing inspect costs more than the rest of this module

# Raised by a file that cannot tell, seek or be measured: no such method, not seekable, a pipe, closed.
_NOT_SEEKABLE = (AttributeError, OSError, ValueError)


def to_utf8(text: str, what: str) -> bytes:
    """
    Return the UTF-8 of `text`; `what` names it in the error.

    Raises:
        LocalProtocolError: the text holds half of a surrogate pair, which UTF-8 cannot encode.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise LocalProtocolError(f"{what} has a lone surrogate at position {exc.start}, so it is not text") from exc


def as_bytes(piece: Any) -> bytes:
    """Return one piece of a body as bytes. Another type is the caller's mistake, found before it is sent."""
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a body yields {type(piece).__name__}, expected bytes")


def is_async_file(source: Any) -> bool:
    """Return whether `source` is read with `await source.read(size)` or `aread`: files of anyio, trio, aiofiles."""
    code = getattr(getattr(source, "read", None), "__code__", None)
    return hasattr(source, "aread") or (code is not None and bool(code.co_flags & _CO_COROUTINE))


def refuse_text_mode(file: Any, what: str) -> None:
    """
    Refuse a file that yields text; `what` names it in the error.

    Raises:
        TypeError: `file` was opened in text mode, so its positions and sizes are not those of its bytes.
    """
    if isinstance(getattr(file, "wrapped", file), io.TextIOBase):
        raise TypeError(f"{what} is a file opened in text mode, expected binary mode ('rb', or io.BytesIO)")


def measure(file: Any) -> Optional[tuple[int, int]]:
    """
    Return the position and size of a file in bytes; None if it cannot seek.

    By seeking to the end and back. `os.fstat` was rejected: `fileno()` of gzip, bz2 and lzma files is the
    descriptor of the compressed file, files under /proc claim a size of 0, and SpooledTemporaryFile moves to disk.
    """
    file = getattr(file, "wrapped", file)  # the sync file inside trio's and anyio's
    if is_async_file(file):
        return None
    try:
        position = file.tell()
        file.seek(0, os.SEEK_END)
        size = file.tell()
        file.seek(position)
    except _NOT_SEEKABLE:
        return None
    return position, size


async def _resolved(value: Any) -> Any:
    """Return the value of something that may have to be awaited: `seek` and `tell` of an async file may be either."""
    return await value if isinstance(value, Awaitable) else value


class FileSource:
    """
    A file as a body: read in pieces of 64 KiB, and again if it can be rewound.

    Args:
        file: anything with `read(size)`, sync or async. It is never closed: it is the caller's.
        start: where every pass begins, in bytes; None means the file's position when the first pass begins. A file
        that cannot seek is read from its position, once.
    """

    __slots__ = ("_file", "_start", "_used", "is_async")

    def __init__(self, file: Any, start: Optional[int] = None) -> None:
        self._file = file
        self._start = start
        self._used = False
        self.is_async = is_async_file(file)

    def pieces(self) -> Iterator[bytes]:
        """
        Yield the file's bytes.

        Raises:
            StreamConsumed: it was read before and cannot seek.
            RuntimeError: it is an async file.
        """
        if self.is_async:
            raise RuntimeError(
                "cannot send an async file with a sync client; open the file with open(), in binary mode"
            )
        self._rewind()
        while True:
            piece = self._file.read(FILE_PIECE)
            if not piece:
                return
            yield _from_file(piece)

    def may_wait(self) -> bool:
        """Return whether the file is a pipe or similar, where a read may wait without limit."""
        return not isinstance(self._file, io.BytesIO) and measure(self._file) is None

    async def open(self, pace: Optional[Pace] = None) -> Callable[[], Awaitable[bytes]]:
        """
        Return a function like `__anext__`: it returns the next piece when awaited. Sync files work too, at this pace.

        Raises:
            StreamConsumed: it was read before and cannot seek.
        """
        if not self.is_async:
            if pace is not None:
                pace.hurry(self.may_wait())
            return AsyncOver(self.pieces(), pace).__anext__
        await self._rewind_async()
        read = getattr(self._file, "aread", None) or self._file.read

        async def next_piece() -> bytes:
            piece = await read(FILE_PIECE)
            if not piece:
                raise StopAsyncIteration
            return _from_file(piece)

        return next_piece

    def can_begin(self) -> bool:
        """Return whether `pieces` or `open` can begin, as far as can be known without waiting."""
        if not self._used or self._start is None:
            return not self._used
        try:
            file = self._sync_file()  # an unknown wrapper is found out when it is read
            return file is None or bool(file.seekable())
        except _NOT_SEEKABLE:
            return not self.is_async and hasattr(self._file, "seek") and self._can_seek(self._start)

    def can_repeat(self) -> bool:
        """Return whether the file can be read any number of times, as far as can be known without waiting."""
        if self._used and self._start is None:
            return False
        file = self._sync_file()
        if file is None:
            return hasattr(self._file, "seek")
        try:
            return bool(file.seekable())
        except AttributeError:
            return hasattr(file, "seek") and self._can_seek(file.tell() if self._start is None else self._start)
        except _NOT_SEEKABLE:  # closed
            return False

    def _sync_file(self) -> Any:
        """Return the file, or the sync one inside trio's, anyio's and aiofiles', or None if that is not known."""
        return getattr(self._file, "wrapped", getattr(self._file, "_file", None)) if self.is_async else self._file

    def _can_seek(self, position: int) -> bool:
        """Return whether the file can seek, by trying: a file need not have `seekable`."""
        try:
            self._file.seek(position)
        except _NOT_SEEKABLE:
            return False
        return True

    def _rewind(self) -> None:
        again, self._used = self._used, True
        try:
            if self._start is None:
                self._start = self._file.tell()
            else:
                self._file.seek(self._start)
        except _NOT_SEEKABLE as exc:
            if again:
                raise StreamConsumed() from exc

    async def _rewind_async(self) -> None:
        again, self._used = self._used, True
        try:
            if self._start is None:
                self._start = await _resolved(self._file.tell())
            else:
                await _resolved(self._file.seek(self._start))
        except _NOT_SEEKABLE as exc:
            if again:
                raise StreamConsumed() from exc


def _from_file(piece: Any) -> bytes:
    """Return the result of a file's `read` as bytes; text is encoded, since file-like objects may return it."""
    return to_utf8(piece, "a file") if isinstance(piece, str) else as_bytes(piece)


# Runs a function in a thread while the event loop goes on. Set by the shells: this module knows no event loops.
_in_thread: Optional[Callable[[Callable[[], Any]], Awaitable[Any]]] = None

SLOW_READ = 0.005  # seconds: longer than a disk read, and short enough for a loop that serves other tasks


def use_threads(in_thread: Optional[Callable[[Callable[[], Any]], Awaitable[Any]]]) -> None:
    """Set `in_thread`, which calls a function in a thread and returns its result, for slow reads in async code."""
    global _in_thread
    _in_thread = in_thread


class Pace:
    """
    A way to read a sync source in async code: in place, and in threads after a read took longer than `SLOW_READ`.

    A thread costs more than a read of a file in the disk's cache, so the first read is in place, and the loop
    is blocked while it takes. A source that cannot seek is a pipe, a socket or similar, and a read may wait without
    limit: it is read in threads from the beginning.

    An abandoned read goes on in its thread; the source is closed after it.
    """

    __slots__ = ("_context", "_lock", "_reads", "_slow", "_then")

    def __init__(self, slow: bool = False) -> None:
        self._slow = slow
        self._lock = Lock()
        self._reads = 0  # in threads, and not over
        self._then: Optional[Callable[[], None]] = None  # what to do after them
        self._context: Optional[Context] = None  # for a generator, one for all of its pieces

    def hurry(self, slow: bool) -> None:
        """Read the next source in threads from its beginning, if it is slow."""
        self._slow = self._slow or slow

    async def next(self, pieces: Iterator[bytes]) -> Optional[bytes]:
        """Return the next piece, or None at the end."""
        if not self._slow or _in_thread is None:
            began = perf_counter()
            piece = next(pieces, None)
            if perf_counter() - began > SLOW_READ:
                self._slow = True
            return piece
        if self._context is None:
            self._context = copy_context()
        with self._lock:
            self._reads += 1
        return await _in_thread(partial(self._read, self._context, pieces))  # type: ignore[no-any-return]  # of `_read`

    def _read(self, context: Context, pieces: Iterator[bytes]) -> Optional[bytes]:
        """Make one read, in the thread."""
        try:
            return context.run(next, pieces, None)
        finally:
            then = None
            with self._lock:
                self._reads -= 1
                if not self._reads:
                    then, self._then = self._then, None
            if then is not None:
                then()

    def close(self, close: Callable[[], None]) -> None:
        """Call `close` when no thread is reading: now, or in the last of them."""
        with self._lock:
            if self._reads:
                self._then = close
                return
        close()


class AsyncOver:
    """
    A sync iterator for `async for`.

    A class and not an async generator: an abandoned async generator stays suspended until the event
    loop's hooks find it, and trio warns about that.

    Args:
        pace: how it is read; None if it is in memory.
    """

    __slots__ = ("_pace", "_pieces")

    def __init__(self, pieces: Iterator[bytes], pace: Optional[Pace] = None) -> None:
        self._pieces = pieces
        self._pace = pace

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._pieces, None) if self._pace is None else await self._pace.next(self._pieces)
        if piece is None:
            raise StopAsyncIteration
        return piece
