"""
A file, or a slice of one, as the body of uploads: read while it is sent, in pieces, as often as it takes.

    source = Source("video.mp4", start=0, end=None)
    size = source.measure()                     bytes of the slice
    content = source.body(0, size, tell)        an iterable of bytes

Not here: which parts are sent (`_upload`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any, Callable, Optional, Union

from .._files import measure, refuse_text_mode

# Bytes.
_PIECE = 1 << 16

SourceTypes = Union[str, "os.PathLike[str]", IO[bytes]]
Progress = Callable[[int, Optional[int]], object]


class Source:
    """
    What is uploaded.

    Args:
        source: a path, or a file in binary mode that can seek.
        start: in bytes; None for the beginning, of an open file its position.
        end: in bytes, exclusive; None for the end.

    Raises:
        TypeError, ValueError: it is something else.
    """

    def __init__(self, source: SourceTypes, start: int | None = None, end: int | None = None) -> None:
        self._path: str | None = None
        self._file: Any = None
        if hasattr(source, "read"):
            refuse_text_mode(source, "source")
            self._file = source
        elif isinstance(source, (str, os.PathLike)):
            self._path = os.fspath(source)
        else:
            raise TypeError(f"source must be a path or a binary file, got {type(source).__name__}; for others use post")
        if (start or 0) < 0 or (end is not None and end < (start or 0)):
            raise ValueError(f"start and end must be positions in a file, got {start} and {end}")
        self._start = start
        self._end = end
        self._size = 0

    @property
    def name(self) -> str | None:
        """The name of the file, without its folder; None if it has none."""
        path = self._path if self._path is not None else getattr(self._file, "name", None)
        return os.path.basename(path) or None if isinstance(path, str) else None

    def measure(self) -> int:
        """
        Return the size of the slice in bytes.

        Raises:
            OSError: the file cannot be opened.
            TypeError: it cannot seek.
            ValueError: it ends before the slice.
        """
        if self._path is not None:
            with open(self._path, "rb") as file:
                position, size = 0, measure(file)
        else:
            size = measure(self._file)
            position = 0 if size is None else size[0]
        if size is None:
            raise TypeError("source must be a file that can seek, and be read without await; for others use post")
        if self._start is None:
            self._start = position
        end = size[1] if self._end is None else self._end
        if end > size[1]:
            raise ValueError(f"the file has {size[1]} bytes, which is less than end, {end}")
        self._size = max(0, end - self._start)
        return self._size

    def body(self, start: int, end: int, tell: Progress | None) -> Body:
        """Return the bytes between two positions of the slice, as an iterable that can be iterated again."""
        return Body(self, start, end, tell)

    def _pieces(self, start: int, end: int, tell: Progress | None) -> Iterator[bytes]:
        assert self._start is not None  # `measure` has set it
        file: Any = open(self._path, "rb") if self._path is not None else self._file  # noqa: SIM115  # closed below
        try:
            while start < end:
                file.seek(self._start + start)  # others may move it while a piece is sent
                piece = file.read(min(_PIECE, end - start))
                if not piece:
                    return  # shorter than before: the transport says so
                start += len(piece)
                if tell is not None:
                    tell(start, self._size)  # now: after the last piece there may be no other
                yield piece
        finally:
            if self._path is not None:
                file.close()


class Body:
    """A part of a file; each iteration begins anew."""

    def __init__(self, source: Source, start: int, end: int, tell: Progress | None) -> None:
        self._source = source
        self._range = start, end
        self._tell = tell

    def __iter__(self) -> Iterator[bytes]:
        return self._source._pieces(*self._range, self._tell)
