"""
Compression of a request's body, for `compress=`: gzip, deflate, br and zstd.

    check_coding(coding)             that a coding is known and its library is installed
    compress_body(request, coding)   the request's body becomes a compressed one, and its headers say so

A body in memory is compressed when the request is built, so that all that looks at the request, an auth flow for
instance, sees the bytes that are sent. A stream is compressed while it is sent, in steps of 64 KiB, which may yield
nothing: an empty piece lets an event loop go on where a long input becomes a few bytes.

Not here: the libraries' names (`_decoders`), framing (`_protocol`).
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Generator, Iterator
from importlib import import_module
from typing import Any, Callable

from ._bytestreams import AsyncByteStream, SyncByteStream
from ._content import ByteStream, in_async, is_repeatable
from ._decoders import _library
from ._files import FileSource, as_bytes
from ._request import Request

CODINGS = ("gzip", "deflate", "br", "zstd")
# The middle of what each library offers: the highest levels take seconds for a megabyte (br 11), and save a tenth.
GZIP_LEVEL, BR_QUALITY, ZSTD_LEVEL = 6, 4, 3
# Bytes of a body in memory from which on it is compressed: below, a response takes no fewer packets.
MIN_SIZE = 1_024
STEP = 65_536  # bytes of input at a time: two milliseconds of gzip

_PACKAGES = {"br": "brotli", "zstd": "zstd"}  # the extras that install a library


def check_coding(coding: Any) -> None:
    """
    Check that bodies can be compressed by a coding.

    Raises:
        TypeError: not a str.
        ValueError: not one of `CODINGS`.
        ImportError: its library is not installed.
    """
    if not isinstance(coding, str):
        raise TypeError(f"compress must be the name of a coding or None, got {type(coding).__name__}")
    if coding not in CODINGS:
        raise ValueError(f"compress must be 'gzip', 'deflate', 'br' or 'zstd', got {coding[:20]!r}")
    if coding in _PACKAGES and _library(coding) is None:
        raise ImportError(f"compress={coding!r} needs a library: pip install 'httpx[{_PACKAGES[coding]}]'")


class Encoder:
    """
    One compressed body in the making.

    Attributes:
        encode: takes a piece of the body and returns compressed bytes, maybe none yet.
        finish: returns the rest.
    """

    __slots__ = ("encode", "finish")

    encode: Callable[[bytes], bytes]
    finish: Callable[[], bytes]

    def __init__(self, coding: str) -> None:
        if coding in ("gzip", "deflate"):
            # "deflate" is in the format of zlib (RFC 9110 8.4.1.2).
            of_zlib = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31 if coding == "gzip" else 15)
            self.encode, self.finish = of_zlib.compress, of_zlib.flush
            return
        library: Any = import_module(_library(coding) or coding)
        if coding == "br":
            made = library.Compressor(quality=BR_QUALITY)
            # The two packages agree on `finish` alone.
            self.encode, self.finish = getattr(made, "process", None) or made.compress, made.finish
        else:
            # Python's own compressor is an object; the package zstandard makes one for each body.
            made = library.ZstdCompressor(level=ZSTD_LEVEL)
            made = made.compressobj() if hasattr(made, "compressobj") else made
            self.encode, self.finish = made.compress, made.flush


def compress_body(request: Request, coding: str) -> None:
    """
    Replace the body of a request by a compressed one, and the fields about it.

    A body in memory stays as it is if it is small, or would not become smaller.
    """
    stream, headers = request.stream, request.headers
    if isinstance(stream, ByteStream):
        body = stream.body
        encoder = Encoder(coding)
        packed = b"" if len(body) < MIN_SIZE else encoder.encode(body) + encoder.finish()
        if len(packed) >= len(body) or not packed:
            return
        request.stream, request._content = ByteStream(packed), packed
        if not headers._has(b"transfer-encoding"):  # as with trailers
            headers["Content-Length"] = str(len(packed))
    else:
        request.stream = compressed(stream, coding)
        if headers._has(b"content-length"):
            del headers["Content-Length"]
        headers["Transfer-Encoding"] = "chunked"
    headers["Content-Encoding"] = coding


def compressed(stream: Any, coding: str) -> SyncByteStream | AsyncByteStream:
    """Return a stream that can be iterated where the given one can, and yields its bytes compressed."""
    if not isinstance(stream, AsyncByteStream):
        return CompressedStream(stream, coding)
    return (_DualCompressed if isinstance(stream, SyncByteStream) else AsyncCompressedStream)(stream, coding)


class _Compressed:
    """What the streams have in common: they can be sent as often as what they are made of."""

    def __init__(self, stream: Any, coding: str) -> None:
        self._stream = stream
        self._coding = coding

    def _can_begin(self) -> bool:
        check: Callable[[], bool] | None = getattr(self._stream, "_can_begin", None)
        return check is None or check()

    def _can_repeat(self) -> bool:
        return is_repeatable(self._stream)


class CompressedStream(_Compressed, SyncByteStream):
    """A sync body, compressed while it is iterated."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the compressed bytes, and empty pieces where there are none yet."""
        encoder = Encoder(self._coding)
        pieces = iter(self._stream)
        try:
            for piece in pieces:
                given = piece if type(piece) is bytes else as_bytes(piece)
                for start in range(0, len(given), STEP):
                    yield encoder.encode(given[start : start + STEP])
            yield encoder.finish()
        finally:
            if isinstance(pieces, Generator):
                pieces.close()

    @property
    def _sync_file(self) -> FileSource | None:
        """The file that is the body, if it is one: how it is read in async code depends on it."""
        return getattr(self._stream, "_sync_file", None)

    def close(self) -> None:
        """Free the source of the body."""
        self._stream.close()


class AsyncCompressedStream(_Compressed, AsyncByteStream):
    """An async body, compressed while it is iterated."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return an iterator like that of `CompressedStream`; a class, as an abandoned generator needs its loop."""
        return _AsyncPieces(in_async(self._stream).__aiter__(), Encoder(self._coding))

    async def aclose(self) -> None:
        """Free the source of the body."""
        await self._stream.aclose()


class _DualCompressed(AsyncCompressedStream, CompressedStream):
    """A body that can be iterated both ways."""


class _AsyncPieces:
    """One pass over an async body; `rest` is what is left of the piece that was taken last."""

    __slots__ = ("_encoder", "_pieces", "_rest")

    def __init__(self, pieces: AsyncIterator[bytes], encoder: Encoder) -> None:
        self._pieces = pieces
        self._encoder: Encoder | None = encoder
        self._rest = memoryview(b"")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        encoder = self._encoder
        if encoder is None:
            raise StopAsyncIteration
        if not self._rest:
            try:
                piece = await self._pieces.__anext__()
            except StopAsyncIteration:
                self._encoder = None
                return encoder.finish()
            self._rest = memoryview(piece if type(piece) is bytes else as_bytes(piece))
        step, self._rest = self._rest[:STEP], self._rest[STEP:]
        return encoder.encode(bytes(step))
