"""
Content codings: from the bytes of a body as received to the decoded bytes.

    get_decoder(["gzip", "br"]) -> ContentDecoder, or None if there is nothing to decode
        .decode(data)  yields pieces of at most 256 KiB, on demand
        .flush()       the body is over; DecodingError if it was truncated

Everything is incremental: the split of the input never changes the joined output. Memory is bounded by the pieces, not
by the body: only one piece of a decompressed body exists at a time (CVE-2025-66471), and the window, which the
format itself needs, is limited too. Time is linear in input plus output.

A compressed body that ends early raises, even if only its checksum is missing: truncation may be an attack or an
accident, and is never a success. A body of zero bytes is not an error.

After the end of the compressed data: more gzip members and zstd frames are decoded; anything else is ignored for gzip
and deflate, as in gzip(1), browsers and 0.28.1, and is an error for br and zstd, as in those.

Not here: text, lines, pieces of a size (`_text`); which fields name the coding, and limits on the whole body
(`_response`).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any, Callable, Optional

from ._exceptions import DecodingError
from ._text import ByteChunker, LineDecoder, TextChunker, TextDecoder

# From `_text`, under their names in 0.28.1.
__all__ = ["ByteChunker", "LineDecoder", "TextChunker", "TextDecoder"]

MAX_PIECE = 262_144  # bytes that a decoder yields at a time
MAX_CODINGS = 5  # stacked on one body; each could multiply the work by a thousand
MAX_ZSTD_WINDOW = 8_388_608  # bytes; the maximum for this content coding (RFC 9659, section 3)

_STEP = 65_536  # bytes of input given to a library at a time, because the rest is copied each time

# Of stacked codings, what the inner one may take without content, and how many times its content. An honest one takes
# next to nothing more; but a kilobyte of the outer one can be gigabytes of empty gzip members, which would take hours.
_SLACK = 1_048_576
_MOST_FOR_CONTENT = 8

# The libraries that know a coding, in order of preference. All optional, and none imported before a body needs it.
_LIBRARIES = {"br": ("brotli", "brotlicffi"), "zstd": ("zstandard", "compression.zstd")}
# The module that must exist for another to be importable, where they differ: the standard library's
# zstd exists from Python 3.14 on, if the interpreter was built with it.
_NEEDS = {"compression.zstd": ("compression", "_zstd")}


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None  # None in sys.modules blocks an import
    from importlib.util import find_spec

    return find_spec(module) is not None


@cache
def _library(coding: str) -> Optional[str]:
    """Return name of the module that decodes `coding`; None if none is installed. Cached: 0.1 ms for each name."""
    for module in _LIBRARIES[coding]:
        if all(_is_installed(name) for name in _NEEDS.get(module, (module,))):
            return module
    return None


def _load(coding: str) -> Any:
    """
    Return the module that decodes `coding`. Any: each has another interface, and only some of them have type stubs.

    Raises:
        DecodingError: it is installed but cannot be imported.
    """
    module = _library(coding) or _LIBRARIES[coding][0]
    try:
        return import_module(module)
    except ImportError as exc:
        raise DecodingError(f"cannot decode a {coding} body: {module} cannot be imported") from exc


@cache
def accept_encoding() -> str:
    """Return the value of Accept-Encoding: all codings that can be decoded, without importing the decoders."""
    return ", ".join(["gzip", "deflate", *(coding for coding in _LIBRARIES if _library(coding))])


def _steps(data: bytes) -> Iterator[bytes]:
    if len(data) <= _STEP:
        yield data
        return
    for start in range(0, len(data), _STEP):
        yield data[start : start + _STEP]


class ContentDecoder:
    """
    A decoder of one content coding, incremental.

    Raises (both methods):
        DecodingError: the body is not in this coding, or ended too early. The decoder cannot be used after that.
    """

    coding = "identity"

    def decode(self, data: bytes) -> Iterator[bytes]:
        """
        Yield the output for `data`, in pieces of 1 to `MAX_PIECE` bytes.

        Lazy. The iterator must be exhausted before the next call.
        """
        raise NotImplementedError

    def flush(self) -> Iterator[bytes]:
        """
        End the body and check it, at once and not when iterated. The result is empty: `decode` has yielded everything.
        """
        if not self._is_complete():
            raise DecodingError(f"the body ended before its {self.coding} data did")
        return iter(())

    def _is_complete(self) -> bool:
        """Return whether the body may end here."""
        raise NotImplementedError


class IdentityDecoder(ContentDecoder):
    """A decoder of nothing: `identity`."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield `data` as it is."""
        if data:
            yield data

    def _is_complete(self) -> bool:
        return True


class _ZlibDecoder(ContentDecoder):
    """A base of gzip and deflate: zlib in bounded pieces."""

    _stream: Any = None  # a zlib decompressor, whose type has no public name before Python 3.12; None between two

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        """Yield the output of the current zlib stream for `data`."""
        stream = self._stream
        while True:
            try:
                piece = stream.decompress(data, MAX_PIECE)
            except zlib.error as exc:
                raise DecodingError(f"invalid {self.coding} data in the body: {exc}") from exc
            if piece:
                yield piece
            data = stream.unconsumed_tail
            # A full piece may leave more inside, even if all input was taken.
            if stream.eof or (not data and len(piece) < MAX_PIECE):
                return


class GZipDecoder(_ZlibDecoder):
    """A decoder of gzip: one member or several, each with its checksum. RFC 1952."""

    coding = "gzip"

    def __init__(self) -> None:
        self._held = b""  # the first byte of what may be the next member
        self._is_first = True
        self._is_over = False  # the rest is not a member

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the output for `data`."""
        for rest in _steps(data):
            while rest and not self._is_over:
                if self._stream is None:
                    rest = self._begin_member(rest)
                    continue
                yield from self._inflate(rest)
                if not self._stream.eof:
                    break
                rest = self._stream.unused_data
                self._stream = None

    def _begin_member(self, data: bytes) -> bytes:
        """Start a member if `data` starts one, and return the rest of `data`."""
        if not self._is_first:
            # Zeros are padding, from tapes and block devices; two bytes identify a member.
            data = self._held + data if self._held else data.lstrip(b"\0")
            self._held = data if data == b"\x1f" else b""
            if not data or self._held:
                return b""
            self._is_over = not data.startswith(b"\x1f\x8b")
        self._is_first = False
        self._stream = None if self._is_over else zlib.decompressobj(31)
        return data

    def _is_complete(self) -> bool:
        return self._stream is None and not self._held


class DeflateDecoder(_ZlibDecoder):
    """
    A decoder of deflate: with the zlib wrapper, as the standard says, or without, as some servers send it.

    The first two bytes decide: a zlib header is a multiple of 31 with method 8, and compressors do not begin a raw
    stream like that. RFC 9110, section 8.4.1.2; RFC 1950; RFC 1951.
    """

    coding = "deflate"

    def __init__(self) -> None:
        self._head = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the output for `data`."""
        for step in _steps(data):
            if self._stream is None:
                step = self._head + step
                if len(step) < 2:
                    self._head = step
                    return
                is_zlib = step[0] & 0x8F == 8 and (step[0] << 8 | step[1]) % 31 == 0
                self._stream = zlib.decompressobj(15 if is_zlib else -15)
            if not self._stream.eof:
                yield from self._inflate(step)

    def _is_complete(self) -> bool:
        return not self._head if self._stream is None else bool(self._stream.eof)


class BrotliDecoder(ContentDecoder):
    """
    A decoder of br, through the package brotli or brotlicffi. RFC 7932.

    Version 1.2 of either can limit its output. Older ones get a few bytes at a time, which bounds ordinary bodies;
    a hostile one can produce a single piece of up to 16 MiB.
    """

    coding = "br"
    _LIMIT = 131_072  # brotli may return nearly twice its limit
    _OLD_STEP = 64  # bytes of input

    def __init__(self) -> None:
        brotli = _load("br")
        self._error: type[Exception] = brotli.error
        self._stream = brotli.Decompressor()
        self._is_empty = True

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the output for `data`."""
        self._is_empty = self._is_empty and not data
        pieces = self._limited if hasattr(self._stream, "can_accept_more_data") else self._unlimited
        for step in _steps(data):
            try:
                yield from pieces(step)
            except self._error as exc:
                raise DecodingError(f"invalid br data in the body: {exc}") from exc

    def _limited(self, data: bytes) -> Iterator[bytes]:
        # An empty input asks for the buffered output. The result may be shorter than the limit and not the last.
        piece = self._stream.process(data, output_buffer_limit=self._LIMIT)
        while piece:
            yield piece
            piece = self._stream.process(b"", output_buffer_limit=self._LIMIT)

    def _unlimited(self, data: bytes) -> Iterator[bytes]:
        process = getattr(self._stream, "process", None) or self._stream.decompress
        for start in range(0, len(data), self._OLD_STEP):
            output = process(data[start : start + self._OLD_STEP])
            for at in range(0, len(output), MAX_PIECE):
                yield output[at : at + MAX_PIECE]

    def _is_complete(self) -> bool:
        return self._is_empty or bool(self._stream.is_finished())


class ZStandardDecoder(ContentDecoder):
    """
    A decoder of zstd, through the package zstandard or Python 3.14's compression.zstd. RFC 8878, RFC 9659.

    Neither library is sufficient: zstandard does not limit its output, and its reader cannot wait for input. So the
    frames are parsed here, and the library gets one block at a time, which is at most 128 KiB of content:

        magic -> descriptor -> header -> block header -> block --(last)--> checksum -> magic
                                              ^------------'  '--(none)------------------^
        magic -> skippable size -> skipped -> magic
    """

    coding = "zstd"
    _MAX_BLOCK = 131_072  # bytes, compressed or not; RFC 8878, section 3.1.1.2.3

    def __init__(self) -> None:
        self._new_frame, self._error = _zstd_library()
        self._input = bytearray()
        # The function, not the bound method: a reference to itself would keep the decoder until the next collection.
        self._part: Callable[[ZStandardDecoder, bytes], bytes] = ZStandardDecoder._magic
        self._size = 4  # bytes that `_part` waits for
        self._unfed = b""  # bytes of the frame not yet given to the library: it is called once for each block
        self._frame: Any = None
        self._flags = 0  # the descriptor of the frame
        self._is_last = False
        self._skipped = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the output for `data`."""
        for step in _steps(data):
            self._input += step
            at = 0
            while len(self._input) - at >= self._size:
                part = bytes(self._input[at : at + self._size])
                at += self._size
                piece = self._part(self, part)
                if piece:
                    yield piece
            del self._input[:at]

    def _is_complete(self) -> bool:
        return self._part is ZStandardDecoder._magic and not self._input

    def _next(self, part: Callable[[ZStandardDecoder, bytes], bytes], size: int, unfed: bytes = b"") -> bytes:
        """Wait for another part; `unfed` is the part of this one that the library needs. Returns no output."""
        self._part, self._size = part, size
        self._unfed += unfed
        return b""

    def _magic(self, data: bytes) -> bytes:
        if data == b"\x28\xb5\x2f\xfd":
            self._frame = self._new_frame()
            return self._next(ZStandardDecoder._descriptor, 1, data)
        if data[0] & 0xF0 == 0x50 and data[1:] == b"\x2a\x4d\x18":
            return self._next(ZStandardDecoder._skippable_size, 4)
        raise DecodingError(f"invalid zstd data in the body: a frame begins with {data!r}")

    def _skippable_size(self, data: bytes) -> bytes:
        self._skipped = int.from_bytes(data, "little")
        return self._skip(b"")

    def _skip(self, data: bytes) -> bytes:
        # In steps: the size may be 4 GiB, and the awaited bytes are kept in memory.
        self._skipped -= len(data)
        if self._skipped:
            return self._next(ZStandardDecoder._skip, min(self._skipped, _STEP))
        return self._next(ZStandardDecoder._magic, 4)

    def _descriptor(self, data: bytes) -> bytes:
        self._flags = flags = data[0]
        window_size = 0 if flags & 0x20 else 1
        dictionary_size = (0, 1, 2, 4)[flags & 0x03]
        content_size = (0 if window_size else 1, 2, 4, 8)[flags >> 6]
        return self._next(ZStandardDecoder._header, window_size + dictionary_size + content_size, data)

    def _header(self, data: bytes) -> bytes:
        if self._flags & 0x20:  # single segment: the window is the content size
            dictionary_size = (0, 1, 2, 4)[self._flags & 0x03]
            window = int.from_bytes(data[dictionary_size:], "little") + (256 if self._flags >> 6 == 1 else 0)
        else:
            base = 1 << (10 + (data[0] >> 3))
            window = base + (base >> 3) * (data[0] & 0x07)
        if window > MAX_ZSTD_WINDOW:
            raise DecodingError(f"the zstd body needs a window of {window} bytes, at most {MAX_ZSTD_WINDOW} allowed")
        return self._next(ZStandardDecoder._block_header, 3, data)

    def _block_header(self, data: bytes) -> bytes:
        fields = int.from_bytes(data, "little")
        self._is_last = bool(fields & 1)
        kind, size = fields >> 1 & 3, fields >> 3
        if kind == 3 or size > self._MAX_BLOCK:
            raise DecodingError(f"invalid zstd data in the body: a block of type {kind} and {size} bytes")
        # In a block of type 1 one byte is repeated `size` times.
        return self._next(ZStandardDecoder._block, 1 if kind == 1 else size, data)

    def _block(self, data: bytes) -> bytes:
        output = self._feed(data)
        if not self._is_last:
            self._next(ZStandardDecoder._block_header, 3)
        elif self._flags & 0x04:
            self._next(ZStandardDecoder._checksum, 4)
        else:
            self._end_frame()
        return output

    def _checksum(self, data: bytes) -> bytes:
        output = self._feed(data)
        self._end_frame()
        return output

    def _end_frame(self) -> None:
        # The library must agree about where the frame ends.
        if not self._frame.eof:
            raise DecodingError("invalid zstd data in the body: a frame ends too early")
        self._frame = None
        self._next(ZStandardDecoder._magic, 4)

    def _feed(self, data: bytes) -> bytes:
        data, self._unfed = self._unfed + data, b""
        try:
            output: bytes = self._frame.decompress(data)
        except self._error as exc:
            raise DecodingError(f"invalid zstd data in the body: {exc}") from exc
        return output


def _zstd_library() -> tuple[Callable[[], Any], type[Exception]]:
    """Return the factory of decompressors for one frame, and the exception that they raise."""
    zstd = _load("zstd")
    if hasattr(zstd, "DecompressionParameter"):  # compression.zstd
        options = {zstd.DecompressionParameter.window_log_max: MAX_ZSTD_WINDOW.bit_length() - 1}
        return lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError
    return zstd.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW).decompressobj, zstd.ZstdError


class MultiDecoder(ContentDecoder):
    """
    A decoder of several stacked codings.

    The work is bounded by the output: what an inner coding takes without giving any content is counted.

    Args:
        children: in the order in which they were applied, as in the header; the last is decoded first.
    """

    def __init__(self, children: list[ContentDecoder]) -> None:
        self._children = children[::-1]
        # For each of them, bytes that it has taken in excess of what its output is worth.
        self._excess = [0] * len(children)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the output for `data`."""
        return self._through(0, data)

    def _through(self, index: int, data: bytes) -> Iterator[bytes]:
        if index == len(self._children):
            yield data
            return
        child, excess = self._children[index], self._excess
        excess[index] += len(data)
        for piece in child.decode(data):
            excess[index] -= _MOST_FOR_CONTENT * len(piece)
            yield from self._through(index + 1, piece)
        # Not of the first one, whose input comes from the wire, nor of a program's own, which may give all at its end.
        if index and excess[index] > _SLACK and not isinstance(child, _WholePieces):
            raise DecodingError(f"the body has more than {_SLACK} bytes of {child.coding} data with next to no content")

    def flush(self) -> Iterator[bytes]:
        """End the body, for every coding. Only decoders that a program registered yield output then."""
        pieces: list[bytes] = []
        for index, child in enumerate(self._children):
            for piece in child.flush():
                pieces += self._through(index + 1, piece)
        return iter(pieces)


_DECODERS: dict[str, type[ContentDecoder]] = {
    "gzip": GZipDecoder,
    "x-gzip": GZipDecoder,  # RFC 9110, section 8.4.1.3
    "deflate": DeflateDecoder,
    "br": BrotliDecoder,
    "zstd": ZStandardDecoder,
}


def _is_usable(name: str) -> bool:
    """Return whether this coding is not `identity` and has a decoder."""
    decoder = _DECODERS.get(name)
    if decoder is None or decoder is IdentityDecoder:
        return False
    # A library is required only if the class is ours; a registered decoder brings its own.
    return decoder.__module__ != __name__ or name not in _LIBRARIES or bool(_library(name))


class _WholePieces(ContentDecoder):
    """A decoder that yields pieces, around one of 0.28.1's form, whose methods return bytes."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the output for `data`, in one piece."""
        piece = self._decoder.decode(data)
        return iter((piece,) if isinstance(piece, bytes) and piece else piece)

    def flush(self) -> Iterator[bytes]:
        """End the body, and yield the rest of the decoder's output."""
        piece = self._decoder.flush()
        return iter((piece,) if isinstance(piece, bytes) and piece else piece)


def _adapted(decoder: ContentDecoder) -> ContentDecoder:
    """Return the decoder if it is ours, else an adapter for one that may return bytes."""
    return decoder if type(decoder).__module__ == __name__ else _WholePieces(decoder)


def get_decoder(content_encoding_values: list[str]) -> Optional[ContentDecoder]:
    """
    Return the decoder of a body's codings; None if there is nothing to decode.

    Args:
        content_encoding_values: of all Content-Encoding fields, in order, each possibly a comma-separated list. Unknown
            codings, and those whose library is not installed, are ignored: the caller gets the bytes as they are.

    Raises:
        DecodingError: more than `MAX_CODINGS` are stacked, or the library is installed but broken.

    RFC 9110, section 8.4.
    """
    names = [name.strip().lower() for value in content_encoding_values for name in value.split(",")]
    names = [name for name in names if _is_usable(name)]
    if len(names) > MAX_CODINGS:
        raise DecodingError(f"the body has {len(names)} content codings, at most {MAX_CODINGS} allowed")
    children = [_adapted(_DECODERS[name]()) for name in names]
    if len(children) > 1:
        return MultiDecoder(children)
    return children[0] if children else None
