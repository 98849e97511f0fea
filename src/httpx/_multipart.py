"""
A form with files: `multipart/form-data` as a stream, never completely in memory.

    MultipartStream(data, files, boundary)
        -> segments: bytes (delimiters, part headers, small values, joined) and files, in the order of the wire
        -> `get_headers()`: exact Content-Length if the size of every file is known, else chunked
        -> `for`, `async for`: the pieces; files 64 KiB at a time

Files are sent whole, from their beginning and not from their position: a buffer that was just written needs no
`seek(0)`. They are rewound for each pass, so a redirect sends the same again; a file that cannot seek raises
`StreamConsumed` then.

RFC 7578 (multipart/form-data), RFC 2046, section 5.1.1 (boundaries), WHATWG HTML, "multipart/form-data encoding
algorithm" (how names are escaped).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._bytestreams import AsyncByteStream, SyncByteStream
from ._content import flat_pairs, is_pairs, nested_value
from ._exceptions import LocalProtocolError
from ._fields import media_type_of, parameters
from ._files import FileSource, Pace, is_async_file, measure, refuse_text_mode, to_utf8
from ._utils import TOKEN, lazy_pattern, primitive_to_str

if TYPE_CHECKING:
    from ._types import RequestData, RequestFiles

# Contents up to this many bytes are joined with their neighbours: one piece is one system call.
_SMALL = 16_384

# Escapes in a quoted name: `"` would end it and a line break would end the header. The other control characters
# (but ESC) and the doubled backslash are escaped as in 0.28.1, which servers expect. NUL is refused before.
_ESCAPES = {code: f"%{code:02X}" for code in range(0x20) if code != 0x1B}
_ESCAPES.update({ord('"'): "%22", ord("\\"): "\\\\"})

_TOKEN = lazy_pattern(TOKEN)


def get_multipart_boundary_from_content_type(content_type: Optional[bytes]) -> Optional[bytes]:
    """
    Return the boundary that a Content-Type header names.

    None without a header, if it is not `multipart/form-data` (in any case), or if it has no boundary.
    RFC 9110, section 5.6.6 (parameters, quoted strings).
    """
    if content_type is None:
        return None
    text = content_type.decode("latin-1")
    if media_type_of(text) != "multipart/form-data":
        return None
    for name, value in parameters(text):
        if name.lower() == "boundary":
            return bytes(value, "latin-1")
    return None


class _File:
    """A file as a segment of the body."""

    __slots__ = ("size", "source")

    def __init__(self, file: Any) -> None:
        measured = measure(file)
        self.source = FileSource(file, start=0)
        self.size: Optional[int] = None if measured is None else measured[1]


_Segment = Union[bytes, _File]


class MultipartStream(SyncByteStream, AsyncByteStream):
    """
    A multipart body; can be iterated in sync and async code, repeatedly if its files can seek.

    Args:
        data: a mapping or a list of pairs. A value is str, bytes, int, float, bool ("true", "false") or None (empty),
            or a list or tuple of these, which makes one part for each.
        files: a mapping or a list of pairs of a name and

            * bytes, str or a file opened in binary mode: sent under the name of the file, or as `upload`;
            * `(filename, content)`: without a filename (None or empty) it is an ordinary field;
            * `(filename, content, content_type)`: None means guessed from the filename;
            * `(filename, content, content_type, headers)`: `Content-Type` in the headers takes precedence.

            A file may be an async one (`await file.read(size)`); then only async code can iterate.
        boundary: 1 or more bytes, see RFC 2046, section 5.1.1; None for a random one of 128 bits.

    Raises:
        TypeError: data or files of another form, a name that is not str, a value of another type, a file
            in text mode. The message names the field.
        LocalProtocolError: CR, LF or NUL in a content type or a part's header, NUL in a name or filename, a boundary
            that is empty or breaks the header, text that has no UTF-8 form.

    CR and LF in a name or filename are percent-encoded, as browsers do.
    """

    def __init__(self, data: RequestData, files: RequestFiles, boundary: Optional[bytes] = None) -> None:
        if boundary is None:
            boundary = os.urandom(16).hex().encode("ascii")
        elif not boundary or any(byte < 0x20 or byte > 0x7E for byte in boundary):
            raise LocalProtocolError(f"multipart boundary {boundary[:20]!r} is empty or not printable ASCII")
        self.boundary = boundary
        text = boundary.decode("ascii")
        value = text if _TOKEN.fullmatch(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        self.content_type = f"multipart/form-data; boundary={value}"
        self._segments = list(_joined(_body(data, files, b"--" + boundary)))

    def get_content_length(self) -> Optional[int]:
        """Return the size of the body in bytes; None if that of a file is not known."""
        length = 0
        for segment in self._segments:
            size = len(segment) if isinstance(segment, bytes) else segment.size
            if size is None:
                return None
            length += size
        return length

    def get_headers(self) -> dict[str, str]:
        """Return the header fields that describe the body: its length or `Transfer-Encoding: chunked`, and its type."""
        length = self.get_content_length()
        framing = {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        return {**framing, "Content-Type": self.content_type}

    def __iter__(self) -> Iterator[bytes]:
        """
        Yield the pieces of the body.

        Raises:
            StreamConsumed: this is not the first pass, and a file cannot seek.
            RuntimeError: one of the files is async; found before the first piece.
        """
        for segment in self._segments:
            if isinstance(segment, _File) and segment.source.is_async:
                yield from segment.source.pieces()  # raises the error
        for segment in self._segments:
            if isinstance(segment, bytes):
                yield segment
            else:
                yield from segment.source.pieces()

    def _can_begin(self) -> bool:
        """Return whether the body can be iterated (again); a transport asks before it sends the head."""
        return all(isinstance(segment, bytes) or segment.source.can_begin() for segment in self._segments)

    def _can_repeat(self) -> bool:
        """Return whether the body can be iterated any number of times."""
        return all(isinstance(segment, bytes) or segment.source.can_repeat() for segment in self._segments)

    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Yield the pieces of the body. Sync files are read in threads if that is slow.

        Raises:
            StreamConsumed: this is not the first pass, and a file cannot seek.
        """
        return _AsyncSegments(self._segments)


class _AsyncSegments:
    """One async pass; a class, because an abandoned async generator stays suspended."""

    __slots__ = ("_next", "_pace", "_segments")

    def __init__(self, segments: list[_Segment]) -> None:
        self._segments = iter(segments)
        self._next: Optional[Callable[[], Awaitable[bytes]]] = None  # of the file that is being read
        self._pace = Pace()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._next is not None:
                try:
                    return await self._next()
                except StopAsyncIteration:
                    self._next = None
            segment = next(self._segments, None)
            if segment is None:
                raise StopAsyncIteration
            if isinstance(segment, bytes):
                return segment
            self._next = await segment.source.open(self._pace)


def _joined(segments: Iterator[_Segment]) -> Iterator[_Segment]:
    """Yield the same segments, with adjacent small ones joined."""
    pending: list[bytes] = []
    for segment in segments:
        if isinstance(segment, bytes) and len(segment) <= _SMALL:
            pending.append(segment)
            continue
        if pending:
            yield b"".join(pending)
            pending.clear()
        yield segment
    yield b"".join(pending)


def _body(data: RequestData, files: RequestFiles, delimiter: bytes) -> Iterator[_Segment]:
    """Yield all of the body: fields, then files, each after a delimiter, and the last delimiter."""
    data, files = data or {}, files or {}
    if not isinstance(data, Mapping) and not is_pairs(data):
        raise TypeError(f"data is {type(data).__name__}, expected a mapping or a list of pairs when files are given")
    if not isinstance(files, Mapping) and not is_pairs(files):
        raise TypeError(f"files is {type(files).__name__}, expected a mapping or a list of pairs")
    for name, value in flat_pairs(data):
        yield delimiter + _part_head(name, "data", None, {})
        yield _field_value(name, value)
        yield b"\r\n"
    for name, value in files.items() if isinstance(files, Mapping) else files:
        filename, content, headers = _file_part(name, value)
        yield delimiter + _part_head(name, "files", filename, headers)
        yield content
        yield b"\r\n"
    yield delimiter + b"--\r\n"


def _field_value(name: Any, value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if value is not None and not isinstance(value, (str, int, float)):
        raise TypeError(nested_value(name, value))
    return to_utf8(primitive_to_str(value), f"data[{name!r}]")


def _file_part(name: Any, value: Any) -> tuple[Optional[str], _Segment, Mapping[str, str]]:
    """Return the filename, content and headers of one value of `files=`, in any of its forms."""
    content_type: Optional[str] = None
    headers: Mapping[str, str] = {}
    if isinstance(value, tuple):
        if not 2 <= len(value) <= 4:
            raise TypeError(
                f"files[{name!r}] is a tuple of {len(value)}, expected (filename, content[, content_type[, headers]])"
            )
        filename, content, content_type, given_headers = (*value, None, None)[:4]
        headers = given_headers or {}
    else:
        filename, content = _name_of(value), value
    if filename is not None and not isinstance(filename, str):
        raise TypeError(f"files[{name!r}] has a filename of type {type(filename).__name__}, expected str or None")
    if not any(key.lower() == "content-type" for key in headers):
        content_type = content_type or _guessed_type(filename)
        headers = {**headers, "Content-Type": content_type} if content_type else headers
    return filename, _content_segment(name, content), headers


def _name_of(file: Any) -> str:
    """Return the last part of a file's path, or `upload`: servers recognise files by their filename."""
    path = getattr(file, "name", None) or "upload"
    return os.path.basename(os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else str(path)) or "upload"


def _guessed_type(filename: Optional[str]) -> Optional[str]:
    if not filename:
        return None
    from mimetypes import guess_type  # reads the system's tables when first used

    return guess_type(filename)[0] or "application/octet-stream"


def _content_segment(name: Any, content: Any) -> _Segment:
    if isinstance(content, str):
        return to_utf8(content, f"files[{name!r}]")
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    refuse_text_mode(content, f"files[{name!r}]")
    if hasattr(content, "read") or is_async_file(content):
        return _File(content)
    raise TypeError(
        f"files[{name!r}] is {type(content).__name__}, expected bytes, str, a file opened in binary mode, or a tuple "
        "of a filename and one of these"
    )


def _part_head(name: Any, argument: str, filename: Optional[str], headers: Mapping[str, str]) -> bytes:
    """Return the bytes between a delimiter and the content of a part. An empty filename counts as absent."""
    if not isinstance(name, str):
        raise TypeError(f"{argument} has a name of type {type(name).__name__} ({name!r}), expected str")
    head = f'\r\nContent-Disposition: form-data; name="{_escaped(name, "name")}"'
    if filename:
        head += f'; filename="{_escaped(filename, "filename")}"'
    for key, value in headers.items():
        field = f"{key}: {value}"
        if "\r" in field or "\n" in field or "\0" in field:
            raise LocalProtocolError(f"header {key!r} of multipart field {name!r} contains CR, LF or NUL")
        head += "\r\n" + field
    return to_utf8(head + "\r\n\r\n", f"the header of multipart field {name!r}")


def _escaped(text: str, what: str) -> str:
    if "\0" in text:
        raise LocalProtocolError(f"multipart {what} {text!r} contains NUL")
    return text.translate(_ESCAPES)
