"""
Small functions and classes of 0.28.1's private modules, for packages that import them from there.

httpx itself does not use them, and this module is loaded when one of them is first used; see `_old_names`. They
behave as in 0.28.1; where that was a bug (`unquote("")`), they do the obvious.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, dropwhile
from time import perf_counter
from typing import Any, AnyStr, Optional, TypeVar, Union

from . import _decoders, _exceptions, _multipart, _urlparse
from ._bytestreams import AsyncByteStream, SyncByteStream
from ._exceptions import InvalidURL
from ._fields import charset_of, links_in
from ._files import measure
from ._response import Response
from ._urls import URL
from ._utils import primitive_to_str

T = TypeVar("T")
_ESCAPED = re.compile("(%[0-9A-Fa-f]{2})")

# Text.


def to_bytes(value: Union[str, bytes], encoding: str = "utf-8") -> bytes:
    """Return `value`, encoded if it is a str."""
    return value.encode(encoding) if isinstance(value, str) else value


def to_str(value: Union[str, bytes], encoding: str = "utf-8") -> str:
    """Return `value`, decoded if it is bytes."""
    return value if isinstance(value, str) else value.decode(encoding)


def to_bytes_or_str(value: str, match_type_of: AnyStr) -> AnyStr:
    """Return `value` as the type of the second argument, str or bytes."""
    return value if isinstance(match_type_of, str) else value.encode()


def unquote(value: str) -> str:
    """Return `value` without the double quotes around it, if there are any."""
    return value[1:-1] if value[:1] == value[-1:] == '"' else value


def is_ipv4_hostname(hostname: str) -> bool:
    """Return whether it is an IPv4 address, or one with something after a slash."""
    return _is_address(hostname, 4)


def is_ipv6_hostname(hostname: str) -> bool:
    """Return whether it is an IPv6 address without brackets, or one with something after a slash."""
    return _is_address(hostname, 6)


def _is_address(hostname: str, version: int) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(hostname.partition("/")[0]).version == version
    except ValueError:
        return False


# Headers.

SENSITIVE_HEADERS = {"authorization", "proxy-authorization"}


def _is_known_encoding(encoding: str) -> bool:
    """Return whether Python has an encoding of this name."""
    import codecs

    try:
        codecs.lookup(encoding)
    except LookupError:
        return False
    return True


def _normalize_header_key(key: Union[str, bytes], encoding: Optional[str] = None) -> bytes:
    return key if isinstance(key, bytes) else key.encode(encoding or "ascii")


def _normalize_header_value(value: Union[str, bytes], encoding: Optional[str] = None) -> bytes:
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"header value must be str or bytes, got {type(value).__name__}")
    return value if isinstance(value, bytes) else value.encode(encoding or "ascii")


def _obfuscate_sensitive_headers(items: Iterable[tuple[AnyStr, AnyStr]]) -> Iterator[tuple[AnyStr, AnyStr]]:
    """Yield the same fields, with "[secure]" as the value of those that hold credentials."""
    for name, value in items:
        hidden = to_str(name).lower() in SENSITIVE_HEADERS
        yield name, to_bytes_or_str("[secure]", match_type_of=value) if hidden else value


def _parse_content_type_charset(content_type: str) -> Optional[str]:
    return charset_of(content_type)


def _parse_header_links(value: str) -> list[dict[str, str]]:
    """Return the links of a Link header, each as its parameters and "url"."""
    return list(links_in(value))


# Bodies.


def peek_filelike_length(stream: Any) -> Optional[int]:
    """Return the size of a file in bytes; None if it is not known without reading."""
    measured = measure(stream)
    return None if measured is None else measured[1]


_HTML5_FORM_ENCODING_REPLACEMENTS = {chr(code): text for code, text in _multipart._ESCAPES.items()}
_HTML5_FORM_ENCODING_REPLACEMENTS["\0"] = "%00"


def _format_form_param(name: str, value: str) -> bytes:
    """Return a parameter of Content-Disposition."""
    escaped = "".join(_HTML5_FORM_ENCODING_REPLACEMENTS.get(char, char) for char in value)
    return f'{name}="{escaped}"'.encode()


def _guess_content_type(filename: Optional[str]) -> Optional[str]:
    return _multipart._guessed_type(filename)


class DataField:
    """
    A field of a multipart form.

    Raises:
        TypeError: the name is not a str, or the value has a type that a form cannot hold.
    """

    def __init__(self, name: str, value: Union[str, bytes, int, float, None]) -> None:
        self._head = _multipart._part_head(name, "data", None, {})[2:]
        self._body = _multipart._field_value(name, value)
        self.name = name
        self.value = value if isinstance(value, bytes) else primitive_to_str(value)

    def render_headers(self) -> bytes:
        """Return the header fields of the part and the empty line after them."""
        return self._head

    def render_data(self) -> bytes:
        """Return the content of the part."""
        return self._body

    def get_length(self) -> int:
        """Return the length of headers and content in bytes."""
        return len(self._head) + len(self._body)

    def render(self) -> Iterator[bytes]:
        """Yield headers and content."""
        yield self._head
        yield self._body


class FileField:
    """
    A file of a multipart form; `value` is one of the forms that `files=` takes.

    Raises:
        TypeError: it is another type.
    """

    CHUNK_SIZE = 65_536

    def __init__(self, name: str, value: Any) -> None:
        filename, self._content, headers = _multipart._file_part(name, value)
        self._head = _multipart._part_head(name, "files", filename, headers)[2:]
        self.name = name
        self.filename = filename
        self.headers = dict(headers)
        self.file = value[1] if isinstance(value, tuple) else value

    def get_length(self) -> Optional[int]:
        """Return the length of headers and content in bytes; None if that of the content is not known."""
        size = len(self._content) if isinstance(self._content, bytes) else self._content.size
        return None if size is None else len(self._head) + size

    def render_headers(self) -> bytes:
        """Return the header fields of the part and the empty line after them."""
        return self._head

    def render_data(self) -> Iterator[bytes]:
        """Yield the content of the part."""
        return iter((self._content,)) if isinstance(self._content, bytes) else self._content.source.pieces()

    def render(self) -> Iterator[bytes]:
        """Yield headers and content."""
        return chain((self._head,), self.render_data())


# Decoders. Responses use this same dictionary, so adding, replacing or removing a decoder here has an
# effect. Codings whose library is not installed are not in it, as in 0.28.1.

SUPPORTED_DECODERS = _decoders._DECODERS
SUPPORTED_DECODERS.setdefault("identity", _decoders.IdentityDecoder)
for _coding in _decoders._LIBRARIES:
    if _decoders._library(_coding) is None:
        SUPPORTED_DECODERS.pop(_coding, None)


class WholeDecoder:
    """A decoder as `Response._get_content_decoder` returns it: its methods return bytes, where ours yield pieces."""

    def __init__(self, decoders: list[Any]) -> None:
        self._decoders = decoders

    def decode(self, data: bytes) -> bytes:
        """Return the decoded bytes of `data`."""
        for decoder in self._decoders:
            data = b"".join(decoder.decode(data))
        return data

    def flush(self) -> bytes:
        """End the body. Raises DecodingError if it was cut short."""
        data = b""
        for decoder in self._decoders:
            data = (b"".join(decoder.decode(data)) if data else b"") + b"".join(decoder.flush())
        return data


ACCEPT_ENCODING = _decoders.accept_encoding()


# Streams.


class BoundSyncStream(SyncByteStream):
    """The body of a response; closing it sets `elapsed` to the time since `start` (`perf_counter`)."""

    def __init__(self, stream: SyncByteStream, response: Response, start: float) -> None:
        self._stream = stream
        self._response = response
        self._start = start

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces of the body."""
        yield from self._stream

    def close(self) -> None:
        """Close the body, and set `response.elapsed`."""
        _set_elapsed(self._response, self._start)
        self._stream.close()


class BoundAsyncStream(AsyncByteStream):
    """Like `BoundSyncStream`, for a body that is iterated in async code."""

    def __init__(self, stream: AsyncByteStream, response: Response, start: float) -> None:
        self._stream = stream
        self._response = response
        self._start = start

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the body."""
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        """Close the body, and set `response.elapsed`."""
        _set_elapsed(self._response, self._start)
        await self._stream.aclose()


def _set_elapsed(response: Response, start: float) -> None:
    from datetime import timedelta

    response.elapsed = timedelta(seconds=perf_counter() - start)


class ResponseStream(SyncByteStream):
    """The body of a response of httpcore, whose errors become those of httpx."""

    def __init__(self, httpcore_stream: Iterable[bytes]) -> None:
        self._httpcore_stream = httpcore_stream

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces of the body."""
        with map_httpcore_exceptions():
            yield from self._httpcore_stream

    def close(self) -> None:
        """Close the body, if it can be closed."""
        if hasattr(self._httpcore_stream, "close"):
            self._httpcore_stream.close()


class AsyncResponseStream(AsyncByteStream):
    """Like `ResponseStream`, for async code."""

    def __init__(self, httpcore_stream: AsyncIterable[bytes]) -> None:
        self._httpcore_stream = httpcore_stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the body."""
        with map_httpcore_exceptions():
            async for piece in self._httpcore_stream:
                yield piece

    async def aclose(self) -> None:
        """Close the body, if it can be closed."""
        if hasattr(self._httpcore_stream, "aclose"):
            await self._httpcore_stream.aclose()


class ASGIResponseStream(AsyncByteStream):
    """A body in one piece."""

    def __init__(self, body: list[bytes]) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in one piece."""
        yield b"".join(self._body)


class WSGIByteStream(SyncByteStream):
    """The iterable that a WSGI application returned."""

    def __init__(self, result: Iterable[bytes]) -> None:
        self._result = _skip_leading_empty_chunks(result)
        self._close = getattr(result, "close", None)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces of the iterable."""
        yield from self._result

    def close(self) -> None:
        """Close the iterable, if it has a `close` method."""
        if self._close is not None:
            self._close()


def _skip_leading_empty_chunks(body: Iterable[T]) -> Iterable[T]:
    """Return the pieces from the first one that is not empty."""
    return dropwhile(lambda piece: not piece, body)


def is_running_trio() -> bool:
    """Return whether the caller runs in a trio task."""
    if "trio" not in sys.modules:
        return False
    try:
        sys.modules["trio"].lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def create_event() -> Any:
    """Return a new event of the async library that is running."""
    from importlib import import_module

    return import_module("trio" if is_running_trio() else "asyncio").Event()


# httpcore.

# Filled when an error of httpcore is first mapped, because httpx does not import it.
HTTPCORE_EXC_MAP: dict[type[Exception], type[_exceptions.HTTPError]] = {}

_MAPPED = (
    *("TimeoutException", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "NetworkError"),
    *("ConnectError", "ReadError", "WriteError", "ProxyError", "UnsupportedProtocol", "ProtocolError"),
    *("LocalProtocolError", "RemoteProtocolError"),
)


def _load_httpcore_exceptions() -> dict[type[Exception], type[_exceptions.HTTPError]]:
    """Return a mapping from httpcore's exceptions to those of httpx. Raises ImportError without httpcore."""
    from importlib import import_module

    httpcore = import_module("httpcore")
    return {getattr(httpcore, name): getattr(_exceptions, name) for name in _MAPPED}


@contextmanager
def map_httpcore_exceptions() -> Generator[None, None, None]:
    """Raise exceptions of httpcore as those of httpx; for transports that are built on httpcore."""
    try:
        yield
    except Exception as exc:
        if "httpcore" not in sys.modules:
            raise
        if not HTTPCORE_EXC_MAP:
            HTTPCORE_EXC_MAP.update(_load_httpcore_exceptions())
        fitting = next((HTTPCORE_EXC_MAP[kind] for kind in type(exc).__mro__ if kind in HTTPCORE_EXC_MAP), None)
        if fitting is None:
            raise
        raise fitting(str(exc)) from exc


# URLs.

UNRESERVED_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
SUB_DELIMS = "!$&'()*+,;="


def _safe(encode_set: str) -> str:
    """The characters that are not in the set to encode."""
    return "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in encode_set)


FRAG_SAFE = _safe(_urlparse._FRAGMENT_SET)
QUERY_SAFE = _safe(_urlparse._QUERY_SET)
PATH_SAFE = _safe(_urlparse._PATH_SET)
USERNAME_SAFE = PASSWORD_SAFE = _safe(_urlparse._USERINFO_SET + ":")
USERINFO_SAFE = _safe(_urlparse._USERINFO_SET)


def PERCENT(string: str) -> str:
    """Return the text with every byte of its UTF-8 form escaped."""
    return "".join(f"%{byte:02X}" for byte in string.encode())


def percent_encoded(string: str, safe: str) -> str:
    """Return the text with all characters escaped that are neither unreserved nor in `safe`."""
    kept = UNRESERVED_CHARACTERS + safe
    return "".join(char if char in kept else PERCENT(char) for char in string)


def quote(string: str, safe: str) -> str:
    """Like `percent_encoded`, but escapes in the text stay as they are."""
    parts = _ESCAPED.split(string)  # every second part is an escape
    return "".join(part if index % 2 else percent_encoded(part, safe) for index, part in enumerate(parts))


def encode_host(host: str) -> str:
    """Return a host as it is written in a URL, an IPv6 address without brackets. Raises InvalidURL if it is invalid."""
    return URL(scheme="http", host=host).raw_host.decode("ascii") if host else ""


def normalize_port(port: Union[str, int, None], scheme: str) -> Optional[int]:
    """Return a port as a number; None for the scheme's default and for no port. Raises InvalidURL if it is invalid."""
    if port is None or port == "":
        return None
    try:
        number = int(port)
    except ValueError:
        raise InvalidURL(f"invalid port {str(port)[:20]!r}") from None
    return None if number == _urlparse.DEFAULT_PORTS.get(scheme) else number


def normalize_path(path: str) -> str:
    """Return a path without "." and ".." segments."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept and kept != [""]:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)


def validate_path(path: str, has_scheme: bool, has_authority: bool) -> None:
    """
    Check a path against the other parts of a URL.

    Raises:
        InvalidURL: the path would be parsed as another part of the URL.
    """
    if has_authority:
        if path and not path.startswith("/"):
            raise InvalidURL("the path of an absolute URL must be empty or start with '/'")
    elif not has_scheme and path.startswith("//"):
        raise InvalidURL("the path of a relative URL cannot start with '//'")
    elif not has_scheme and path.startswith(":"):
        raise InvalidURL("the path of a relative URL cannot start with ':'")


def _same_origin(url: URL, other: URL) -> bool:
    """Return whether both have the same scheme, host and port."""
    return url._origin == other._origin


def _port_or_default(url: URL) -> Optional[int]:
    return url.port if url.port is not None else {"http": 80, "https": 443}.get(url.scheme)


def _is_https_redirect(url: URL, location: URL) -> bool:
    """Return whether it goes from http to https on the same host, both on their default ports."""
    here, there = url._origin, location._origin
    return here[1] == there[1] and here[::2] == ("http", 80) and there[::2] == ("https", 443)
