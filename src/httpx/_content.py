"""
The user's body -> the header fields that describe it, and a stream of its bytes.

    encode_request(content=, data=, files=, json=, boundary=)  -> ({"Content-Length": ..., ...}, stream)
    encode_response(content=, text=, html=, json=)             -> the same for `httpx.Response(...)`

    what was given                    stream                     length
    bytes, str, json, form data       ByteStream                 known
    file                              IteratorByteStream         what is left of it, if it can seek; else chunked
    iterable                          IteratorByteStream         chunked
    async iterable, async file        AsyncIteratorByteStream    chunked (trio's and anyio's files: as a file)
    files=                            MultipartStream            known if every file's is

The base classes of a stream tell where it can be iterated: `SyncByteStream`, `AsyncByteStream` or both. A sync stream
is used in async code through `in_async(stream)`: it is read on the event loop's thread while reads are quick, and in
other threads after the first slow read (`_files.Pace`). The reverse is not possible: an async stream in a sync client
is an error, which the client reports.

Nothing here is left suspended when a body is abandoned: streams are not async generators themselves, and `close` and
`aclose` end the caller's generator, so that its `finally` runs immediately.

Not here: files (`_files`), multipart bodies (`_multipart`), and which methods get `Content-Length: 0` (`_request`).
"""

from __future__ import annotations

import warnings
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._bytestreams import AsyncByteStream, SyncByteStream
from ._exceptions import LocalProtocolError, StreamClosed, StreamConsumed
from ._files import AsyncOver, FileSource, Pace, as_bytes, is_async_file, measure, refuse_text_mode, to_utf8
from ._utils import primitive_to_str

if TYPE_CHECKING:
    from ._multipart import MultipartStream
    from ._types import RequestContent, RequestData, RequestFiles, ResponseContent


# Streams


class ByteStream(AsyncByteStream, SyncByteStream):
    """
    A body in memory; can be iterated in sync and async code, any number of times.

    `body` is the whole of it: a transport takes it from there to send head and body in one go, without iterating.
    """

    def __init__(self, stream: bytes) -> None:
        self.body: bytes = stream

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in one piece."""
        return iter((self.body,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in one piece."""
        return AsyncOver(iter((self.body,)))


def _is_one_shot(source: Any, iterator: type, method: str) -> bool:
    """
    Return whether a second pass over `source` would find it empty.

    Generators and built-in iterators are consumed. An iterator written in Python is assumed to be repeatable:
    its `__iter__` may start again.
    """
    if isinstance(source, (Generator, AsyncGenerator)):
        return True
    return isinstance(source, iterator) and not isinstance(getattr(type(source), method, None), FunctionType)


class IteratorByteStream(SyncByteStream):
    """
    A body from any iterable of bytes, or from a file, which is read in pieces of 64 KiB.

    A list or an object with its own `__iter__` can be iterated again, and so can a file that can seek: it is rewound to
    its first position. For a generator the second pass raises `StreamConsumed`.

    May be combined with `AsyncIteratorByteStream` in one class: the two share no attribute.
    """

    def __init__(self, stream: Iterable[bytes]) -> None:
        self._sync_source = stream
        self._sync_file = FileSource(stream) if hasattr(stream, "read") else None
        self._sync_used = False
        self._sync_pieces: Optional[Iterator[bytes]] = None

    def __iter__(self) -> Iterator[bytes]:
        """
        Yield the pieces as they are given.

        Raises:
            StreamConsumed: the source can be iterated only once, and was.
            TypeError: a piece is not bytes.
        """
        pieces = self._sync_pieces = self._begin()
        try:
            for piece in pieces:
                yield piece if type(piece) is bytes else as_bytes(piece)
        finally:
            _close_generator(pieces)

    def close(self) -> None:
        """End a generator that was given and begun, so that its `finally` blocks run; a file is left open."""
        pieces, self._sync_pieces = self._sync_pieces, None
        _close_generator(pieces)

    def _can_begin(self) -> bool:
        """Return whether the body can be iterated (again); a transport asks before it sends the head."""
        if self._sync_file is not None:
            return self._sync_file.can_begin()
        return not (self._sync_used and _is_one_shot(self._sync_source, Iterator, "__iter__"))

    def _can_repeat(self) -> bool:
        """Return whether the body can be iterated any number of times."""
        if self._sync_file is not None:
            return self._sync_file.can_repeat()
        return not _is_one_shot(self._sync_source, Iterator, "__iter__")

    def _begin(self) -> Iterator[bytes]:
        if self._sync_file is not None:
            return self._sync_file.pieces()
        again, self._sync_used = self._sync_used, True
        if again and _is_one_shot(self._sync_source, Iterator, "__iter__"):
            raise StreamConsumed()
        return iter(self._sync_source)


def _close_generator(pieces: Optional[Iterator[bytes]]) -> None:
    """Close only generators: the caller closes other iterators that have `close` (such as an open connection)."""
    # While a thread runs it, no other thread can end it: see `Pace`.
    if isinstance(pieces, Generator) and not getattr(pieces, "gi_running", False):
        pieces.close()


class AsyncIteratorByteStream(AsyncByteStream):
    """
    A body from any async iterable of bytes, or from an async file; otherwise like `IteratorByteStream`.

    `async for` leaves nothing of this class suspended. When the loop is left early, `await stream.aclose()` ends the
    async generator that was given.
    """

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._async_source = stream
        self._async_file = FileSource(stream) if is_async_file(stream) else None
        self._async_used = False
        self._async_pieces: Optional[AsyncIterator[bytes]] = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Yield the pieces as they are given.

        Raises:
            StreamConsumed: the source can be iterated only once, and was.
            TypeError: a piece is not bytes.
        """
        return _AsyncPieces(self._async_begin)

    async def aclose(self) -> None:
        """End an async generator that was given and begun, so that its `finally` blocks run; a file is left open."""
        pieces, self._async_pieces = self._async_pieces, None
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()

    def _can_begin(self) -> bool:
        """Return whether the body can be iterated (again); a transport asks before it sends the head."""
        if self._async_file is not None:
            return self._async_file.can_begin()
        return not (self._async_used and _is_one_shot(self._async_source, AsyncIterator, "__aiter__"))

    def _can_repeat(self) -> bool:
        """Return whether the body can be iterated any number of times."""
        if self._async_file is not None:
            return self._async_file.can_repeat()
        return not _is_one_shot(self._async_source, AsyncIterator, "__aiter__")

    async def _async_begin(self) -> Callable[[], Awaitable[bytes]]:
        if self._async_file is not None:
            return await self._async_file.open()
        again, self._async_used = self._async_used, True
        if again and _is_one_shot(self._async_source, AsyncIterator, "__aiter__"):
            raise StreamConsumed()
        self._async_pieces = pieces = self._async_source.__aiter__()
        return pieces.__anext__


class _AsyncPieces:
    """One pass over an `AsyncIteratorByteStream`; a class and not a generator for the reason given at `AsyncOver`."""

    __slots__ = ("_begin", "_next")

    def __init__(self, begin: Callable[[], Awaitable[Callable[[], Awaitable[bytes]]]]) -> None:
        self._begin = begin
        self._next: Optional[Callable[[], Awaitable[bytes]]] = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._next is None:
            self._next = await self._begin()
        piece = await self._next()
        return piece if type(piece) is bytes else as_bytes(piece)


class UnattachedStream(AsyncByteStream, SyncByteStream):
    """The body of an unpickled request or response: it was not read before pickling, and is lost."""

    def __iter__(self) -> Iterator[bytes]:
        """
        Never yield.

        Raises:
            StreamClosed: always.
        """
        raise StreamClosed()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Never yield.

        Raises:
            StreamClosed: always.
        """
        raise StreamClosed()


class _InAsync(AsyncByteStream, SyncByteStream):
    """A sync stream that is iterated in async code."""

    def __init__(self, stream: SyncByteStream) -> None:
        self._stream = stream
        file: Optional[FileSource] = getattr(stream, "_sync_file", None)
        self._pace = Pace(file is not None and not file.is_async and file.may_wait())

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return AsyncOver(iter(self._stream), self._pace)

    def _can_begin(self) -> bool:
        check: Optional[Callable[[], bool]] = getattr(self._stream, "_can_begin", None)
        return check is None or check()

    def _can_repeat(self) -> bool:
        return is_repeatable(self._stream)

    def close(self) -> None:
        self._pace.close(self._stream.close)

    async def aclose(self) -> None:
        self._pace.close(self._stream.close)


def is_repeatable(stream: Any) -> bool:
    """Return whether a body can be sent any number of times. What is not known about a caller's own class is False."""
    if isinstance(stream, ByteStream):
        return True
    check: Optional[Callable[[], bool]] = getattr(stream, "_can_repeat", None)
    return check is not None and check()


def in_sync(stream: Any) -> SyncByteStream:
    """
    Return the same body for `for`: the stream itself if it is a `SyncByteStream`, else a view of it.

    Requests may hold a stream of other packages, such as httpcore's, which is an iterable of bytes.

    Raises:
        RuntimeError: only async code can iterate it.
    """
    if isinstance(stream, SyncByteStream):
        return stream
    if not isinstance(stream, Iterable):
        raise RuntimeError("the body of this request is an async stream: send it with an AsyncClient")
    return IteratorByteStream(stream) if not isinstance(stream, AsyncIterable) else _DualByteStream(stream)


def in_async(stream: Any) -> AsyncByteStream:
    """
    Return the same body for `async for`: the stream itself if it is an `AsyncByteStream`, else a view of it.

    Slow pieces are fetched in a thread; see `Pace`. Closing the view closes the stream.
    """
    if isinstance(stream, AsyncByteStream):
        return stream
    if isinstance(stream, AsyncIterable):
        return AsyncIteratorByteStream(stream) if not isinstance(stream, Iterable) else _DualByteStream(stream)
    return _InAsync(in_sync(stream))


# Encoders


def encode_content(content: RequestContent) -> tuple[dict[str, str], Union[SyncByteStream, AsyncByteStream]]:
    """
    Return the header fields and stream of a body given as it is.

    Args:
        content: bytes, str (sent as UTF-8), a file in binary mode (sent from where it stands), an iterable or an async
            iterable of bytes, an async file, or a byte stream of the caller's own, which is used as it is.

    Raises:
        TypeError: anything else, a mapping, or a file in text mode.
        LocalProtocolError: a str that has no UTF-8 form.

    `Content-Length` if the length is known (not for an empty bytes or str: the method decides whether that is a
    length of 0 or no body), else `Transfer-Encoding: chunked`. RFC 9112, sections 6.1 and 6.2.
    """
    if not isinstance(content, bytes):
        if isinstance(content, str):
            content = to_utf8(content, "content")
        elif isinstance(content, (bytearray, memoryview)):
            content = bytes(content)
        elif isinstance(content, ByteStream):
            content = content.body
    if isinstance(content, bytes):
        return ({"Content-Length": str(len(content))} if content else {}), ByteStream(content)
    if isinstance(content, (SyncByteStream, AsyncByteStream)):
        return {"Transfer-Encoding": "chunked"}, content
    return _encode_source(content)


def _encode_source(content: Any) -> tuple[dict[str, str], Union[SyncByteStream, AsyncByteStream]]:
    """Return the same as `encode_content`, for a body that is iterated or read."""
    is_async = isinstance(content, AsyncIterable)
    if is_async_file(content):
        refuse_text_mode(content, "content")
        return _length_header(content), AsyncIteratorByteStream(content)
    if hasattr(content, "read") and not is_async:
        refuse_text_mode(content, "content")
        return _length_header(content), IteratorByteStream(content)
    if isinstance(content, Iterable) and not isinstance(content, Mapping):
        stream = _DualByteStream(content) if is_async else IteratorByteStream(content)
        return {"Transfer-Encoding": "chunked"}, stream
    if is_async:
        return {"Transfer-Encoding": "chunked"}, AsyncIteratorByteStream(content)
    raise TypeError(f"content is {type(content).__name__}, expected bytes, str, a file or an iterable of bytes")


class _DualByteStream(AsyncIteratorByteStream, IteratorByteStream):
    """A body from an object that can be iterated both ways."""

    def __init__(self, stream: Any) -> None:
        AsyncIteratorByteStream.__init__(self, stream)
        IteratorByteStream.__init__(self, stream)

    def _can_begin(self) -> bool:
        return AsyncIteratorByteStream._can_begin(self) and IteratorByteStream._can_begin(self)

    def _can_repeat(self) -> bool:
        return AsyncIteratorByteStream._can_repeat(self) and IteratorByteStream._can_repeat(self)


def _length_header(file: Any) -> dict[str, str]:
    """Return the `Content-Length` of the rest of the file, or chunked if that is not known."""
    measured = measure(file)
    if measured is None:
        return {"Transfer-Encoding": "chunked"}
    position, size = measured
    return {"Content-Length": str(max(0, size - position))}


def encode_urlencoded_data(data: RequestData) -> tuple[dict[str, str], ByteStream]:
    """
    Return the header fields and stream of an HTML form.

    Args:
        data: a mapping, or a list of pairs. A value is str, int, float, bool ("true", "false"), None (empty), bytes or
            any other value, converted with `str()`; a list or a tuple of these makes one field for each.

    Raises:
        TypeError: a value is a mapping, a set, or a list in a list; the error names the key.
        LocalProtocolError: text that has no UTF-8 form.

    WHATWG URL, application/x-www-form-urlencoded.
    """
    from urllib.parse import urlencode  # only forms need it

    fields = []
    for key, value in flat_pairs(data):
        if isinstance(value, (Mapping, list, tuple, set, frozenset)):
            raise TypeError(nested_value(key, value))
        fields.append((key, value if isinstance(value, bytes) else primitive_to_str(value)))
    try:
        body = urlencode(fields).encode("ascii")
    except UnicodeEncodeError as exc:
        raise LocalProtocolError("data has a lone surrogate, so it is not text") from exc
    return _described(body, "application/x-www-form-urlencoded")


def flat_pairs(data: RequestData) -> Iterator[tuple[Any, Any]]:
    """Yield (key, value) of a mapping or a list of pairs, one for each item of a value that is a list or a tuple."""
    for key, value in data.items() if isinstance(data, Mapping) else data:
        if isinstance(value, (list, tuple)):
            for item in value:
                yield key, item
        else:
            yield key, value


def nested_value(key: Any, value: Any) -> str:
    """Return the message for a value that a form cannot hold."""
    return (
        f"data[{key!r}] holds a {type(value).__name__}, expected str, bytes, int, float, bool, None or a list of these "
        "(json= takes nested values)"
    )


def is_pairs(data: Any) -> bool:
    """Return whether `data` is a list or tuple of pairs, possibly empty."""
    return isinstance(data, (list, tuple)) and all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in data)


def encode_multipart_data(
    data: RequestData, files: RequestFiles, boundary: Optional[bytes]
) -> tuple[dict[str, str], MultipartStream]:
    """Return the header fields and stream of a form with files; arguments and errors as for `MultipartStream`."""
    from ._multipart import MultipartStream  # imported only when files are sent

    stream = MultipartStream(data=data, files=files, boundary=boundary)
    return stream.get_headers(), stream


def encode_text(text: str) -> tuple[dict[str, str], ByteStream]:
    """
    Return the header fields and stream of plain text, as UTF-8.

    Raises:
        TypeError: not a str.
        LocalProtocolError: text that has no UTF-8 form.
    """
    if not isinstance(text, str):
        raise TypeError(f"text of a body must be a str, got {type(text).__name__}")
    return _described(to_utf8(text, "text"), "text/plain; charset=utf-8")


def encode_html(html: str) -> tuple[dict[str, str], ByteStream]:
    """
    Return the header fields and stream of HTML, as UTF-8.

    Raises:
        TypeError: not a str.
        LocalProtocolError: text that has no UTF-8 form.
    """
    if not isinstance(html, str):
        raise TypeError(f"HTML must be a str, got {type(html).__name__}")
    return _described(to_utf8(html, "html"), "text/html; charset=utf-8")


@cache
def _json_encoder(ensure_ascii: bool) -> Callable[[Any], str]:
    """Return one encoder per process: `json.dumps` with options of one's own builds a new one each time (2 µs)."""
    from json import JSONEncoder

    return JSONEncoder(ensure_ascii=ensure_ascii, separators=(",", ":"), allow_nan=False).encode


def encode_json(json: Any) -> tuple[dict[str, str], ByteStream]:
    """
    Return the header fields and stream of a value as JSON: no spaces, UTF-8.

    A str with half of a surrogate pair has no UTF-8 form; such a body is written with `\\u` escapes throughout.

    Raises:
        TypeError: a value of a type that JSON does not have.
        ValueError: a float that is infinite or not a number, or a list or dict that contains itself.
    """
    try:
        body = _json_encoder(False)(json).encode("utf-8")
    except UnicodeEncodeError:
        body = _json_encoder(True)(json).encode("ascii")
    return _described(body, "application/json")


def _described(body: bytes, content_type: str) -> tuple[dict[str, str], ByteStream]:
    return {"Content-Length": str(len(body)), "Content-Type": content_type}, ByteStream(body)


def encode_request(
    content: Optional[RequestContent] = None,
    data: Optional[RequestData] = None,
    files: Optional[RequestFiles] = None,
    json: Optional[Any] = None,
    boundary: Optional[bytes] = None,
) -> tuple[dict[str, str], Union[SyncByteStream, AsyncByteStream]]:
    """
    Return the header fields and stream of a request's body: no fields and an empty stream if nothing was given.

    Args:
        content: see `encode_content`.
        data: see `encode_urlencoded_data`; together with `files`, `MultipartStream`. Empty is the same as None. Bytes,
            str and iterables are taken for `content`, with a DeprecationWarning.
        files: see `MultipartStream`. A false value is the same as None.
        json: see `encode_json`. None is the same as not given: JSON's null is `content="null"`.
        boundary: of a multipart body; None for a random one.

    Raises:
        TypeError: more than one of content, data or files, and json; or a value of a type that cannot be sent.
        ValueError: see `encode_json`.
        LocalProtocolError: text that has no UTF-8 form; see also `MultipartStream`.
    """
    if data is None and files is None and (content is None or json is None):  # most requests
        return _encode_content_or_json(content, json)
    is_form = data is None or isinstance(data, Mapping) or is_pairs(data)
    _refuse_two_bodies(content, data, files, json, is_form)
    if files:
        return encode_multipart_data(data if data and is_form else {}, files, boundary)
    if data and is_form:
        return encode_urlencoded_data(data)
    if not is_form and content is None and json is None:
        content = _deprecated_content(data)
    return _encode_content_or_json(content, json)


def _encode_content_or_json(
    content: Optional[RequestContent], json: Optional[Any]
) -> tuple[dict[str, str], Union[SyncByteStream, AsyncByteStream]]:
    if content is not None:
        return encode_content(content)
    if json is not None:
        return encode_json(json)
    return {}, ByteStream(b"")


def _refuse_two_bodies(content: Any, data: Any, files: Any, json: Any, is_form: bool) -> None:
    """Raise TypeError if there is more than one body; 0.28.1 sent one of them and silently dropped the others."""
    given = {"content": content is not None, "data": bool(data), "files": bool(files), "json": json is not None}
    names = [name for name, is_given in given.items() if is_given]
    if len(names) > 1 and not (names == ["data", "files"] and is_form):
        raise TypeError(
            f"{names[0]} and {names[-1]} are both given, but a request has one body: "
            "expected content, or data and files (data as a dict or a list of pairs), or json"
        )


def _deprecated_content(data: Any) -> Any:
    """
    Return `data` in its old role of `content`.

    The warning starts as it does in 0.28.1, because warning filters are matched against that.
    """
    message = "Use 'content=<...>' to upload raw bytes/text content, data= is for forms"
    warnings.warn(message, DeprecationWarning, stacklevel=4)  # above encode_request and Request
    return data


def encode_response(
    content: Optional[ResponseContent] = None,
    text: Optional[str] = None,
    html: Optional[str] = None,
    json: Optional[Any] = None,
) -> tuple[dict[str, str], Union[SyncByteStream, AsyncByteStream]]:
    """
    Return the header fields and stream of a response's body; the first argument that is given counts.

    Raises:
        TypeError, ValueError, LocalProtocolError: see `encode_content`, `encode_text`, `encode_json`.
    """
    if content is None and text is not None:
        return encode_text(text)
    if content is None and html is not None:
        return encode_html(html)
    return _encode_content_or_json(content, json)
