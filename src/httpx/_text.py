"""
From the bytes of a body to pieces of a size, text and lines.

    ByteChunker, TextChunker, TextDecoder, LineDecoder
        .decode(piece), .flush()

Everything is incremental: the split of the input never changes the joined output. Time is linear.

Not here: undoing content codings (`_decoders`); which encoding a body is in (`_response`).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import StringIO
from typing import AnyStr, Generic, Optional

from ._exceptions import ResponseTooLarge


class _Chunker(Generic[AnyStr]):
    """
    Pieces of any size, cut anew into chunks of one size.

    Args:
        chunk_size: bytes or characters, at least 1; None passes the pieces on as they are, but for empty ones.

    Raises:
        ValueError: the size is less than 1.
    """

    def __init__(self, chunk_size: Optional[int] = None) -> None:
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size is {chunk_size}, expected at least 1")
        self._chunk_size = chunk_size
        # Joined only when they fill a chunk: adding each piece to a buffer would copy the buffer each time.
        self._parts: list[AnyStr] = []
        self._held = 0  # total length of the parts, less than a chunk

    def decode(self, content: AnyStr) -> list[AnyStr]:
        """Return all chunks that are full now."""
        size = self._chunk_size
        if size is None:
            return [content] if content else []
        if content:
            self._parts.append(content)
            self._held += len(content)
        if self._held < size:
            return []
        whole = content[:0].join(self._parts)
        end = len(whole) - len(whole) % size
        self._parts = [whole[end:]] if end < len(whole) else []
        self._held = len(whole) - end
        return [whole[start : start + size] for start in range(0, end, size)]

    def flush(self) -> list[AnyStr]:
        """Return what is left, as a chunk of less than the size, or nothing."""
        parts, self._parts, self._held = self._parts, [], 0
        return [parts[0][:0].join(parts)] if parts else []


class ByteChunker(_Chunker[bytes]):
    """Chunks of `chunk_size` bytes; the last may be shorter."""


class TextChunker(_Chunker[str]):
    """Chunks of `chunk_size` characters; the last may be shorter."""


# Text encodings by Python's account that are none of the web's: two raise on ordinary input, two are Python's own
# escapes (and warn), punycode is for names of hosts.
_NOT_FOR_BODIES = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}


@lru_cache(maxsize=64)  # peers choose the labels
def is_text_encoding(label: str) -> bool:
    """Return whether `label` names an encoding that a body may be in; `hex`, `zlib`, `idna` and unknown names do not."""
    try:
        codec = codecs.lookup(label)
    except (LookupError, ValueError):  # ValueError: a NUL in the label
        return False
    # `bytes.decode` asks this, too; nothing public tells `hex` from `utf-8`.
    is_text: bool = getattr(codec, "_is_text_encoding", True)
    return is_text and codec.name not in _NOT_FOR_BODIES and codec.incrementaldecoder is not None


class TextDecoder:
    """
    Bytes to text, in pieces of any split. Never raises: what cannot be decoded becomes U+FFFD.

    Args:
        encoding: label of a text encoding; UTF-8 is taken for any other. UTF-16 and UTF-32 without a byte order mark
            are little-endian, as in browsers.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._name = codecs.lookup(encoding).name if is_text_encoding(encoding) else "utf-8"
        self._decoder = codecs.getincrementaldecoder(self._name)(errors="replace")

    def decode(self, data: bytes) -> str:
        """Return the text that is complete now."""
        return self._decode(data, False)

    def flush(self) -> str:
        """Return what is left; half a character becomes U+FFFD."""
        return self._decode(b"", True)

    def _decode(self, data: bytes, final: bool) -> str:
        try:
            return self._decoder.decode(data, final)
        except UnicodeError:
            # No byte order mark, the one thing that Python's decoders refuse even so.
            held = self._decoder.getstate()[0]
            self._decoder = codecs.getincrementaldecoder(self._name + "-le")(errors="replace")
            return self._decoder.decode(held + data, final)


class LineDecoder:
    """
    Text to lines without their ends, as `str.splitlines` cuts them, in pieces of any split.

    A line is given as soon as it ends. After a `\\r` it is not known yet whether a `\\n` belongs to it; the line is
    given anyway, and a `\\n` that comes next is dropped.

    Args:
        max_length: the most characters of a line, without its end; None for no limit, which holds a line in memory
            however long it is.

    Raises:
        TypeError, ValueError: `max_length` is not a positive int.
    """

    _ENDS = frozenset("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")

    def __init__(self, max_length: Optional[int] = None) -> None:
        if max_length is not None and (isinstance(max_length, bool) or not isinstance(max_length, int)):
            raise TypeError(f"max_line_length must be an int or None, got {max_length!r}")
        if max_length is not None and max_length < 1:
            raise ValueError(f"max_line_length must be at least 1, got {max_length!r}")
        self._max_length = max_length
        # The line that has not ended; a buffer, because a long line in small pieces must not cost quadratic time.
        self._line = StringIO()
        self._held = 0  # its length
        self._is_after_cr = False

    def decode(self, text: str) -> Iterable[str]:
        """
        Return all lines that end in `text`.

        Raises:
            ResponseTooLarge: a line is longer than `max_length`, whether it has ended or not. From the iterator, after
                the lines before that one.
        """
        lines = self._cut(text)
        return lines if self._max_length is None else self._limited(lines, self._max_length)

    def _limited(self, lines: list[str], limit: int) -> Iterator[str]:
        for line in lines:
            if len(line) > limit:
                break
            yield line
        else:
            if self._held <= limit:
                return
        raise ResponseTooLarge(f"a line of the response is longer than max_line_length, {limit} characters")

    def _cut(self, text: str) -> list[str]:
        if self._is_after_cr and text:
            self._is_after_cr = False
            if text[0] == "\n":
                text = text[1:]
        if not text:
            return []
        lines = text.splitlines()
        self._is_after_cr = text[-1] == "\r"
        rest = "" if text[-1] in self._ENDS else lines.pop()
        if lines and self._held:
            lines[0] = self._take() + lines[0]
        if rest:
            self._line.write(rest)
            self._held += len(rest)
        return lines

    def _take(self) -> str:
        line, self._line, self._held = self._line.getvalue(), StringIO(), 0
        return line

    def flush(self) -> list[str]:
        """Return the last line, if it has no end."""
        return [self._take()] if self._held else []
