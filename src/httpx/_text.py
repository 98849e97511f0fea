"""
From the bytes of a body to chunks of one size, text and lines.

    ByteChunker, TextChunker, TextDecoder, LineDecoder
        .decode(piece), .flush()

Everything is incremental: the split of the input never changes the joined output. Time is linear.

Not here: decoding content codings (`_decoders`); the encoding of a body (`_response`).
"""

from __future__ import annotations

import codecs
import encodings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import StringIO
from typing import AnyStr, Generic, Optional

from ._exceptions import ResponseTooLarge
from ._utils import lazy_pattern

# Pieces that are joined before there are more of them: small ones take many times the memory of what they hold, and
# joining them one by one would copy all of them each time.
MANY = 1024


class _Chunker(Generic[AnyStr]):
    """
    A converter of pieces of any size into chunks of one size.

    Args:
        chunk_size: bytes or characters, at least 1; None passes the pieces on unchanged, without empty ones.

    Raises:
        ValueError: the size is less than 1.
    """

    def __init__(self, chunk_size: Optional[int] = None) -> None:
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
        self._chunk_size = chunk_size
        # Joined when they fill a chunk: appending each piece to a buffer would copy the buffer each time.
        self._blocks: list[AnyStr] = []  # of `MANY` parts
        self._parts: list[AnyStr] = []
        self._held = 0  # total length of blocks and parts, less than a chunk

    def decode(self, content: AnyStr) -> list[AnyStr]:
        """Return all chunks that are complete."""
        size = self._chunk_size
        if size is None:
            return [content] if content else []
        if content:
            self._parts.append(content)
            self._held += len(content)
        if self._held < size:
            if len(self._parts) == MANY:
                self._blocks.append(content[:0].join(self._parts))
                self._parts.clear()
            return []
        whole = content[:0].join(self._blocks + self._parts)
        end = len(whole) - len(whole) % size
        self._blocks = []
        self._parts = [whole[end:]] if end < len(whole) else []
        self._held = len(whole) - end
        return [whole[start : start + size] for start in range(0, end, size)]

    def flush(self) -> list[AnyStr]:
        """Return the rest, as a chunk of less than the size, or nothing."""
        parts = self._blocks + self._parts
        self._blocks, self._parts, self._held = [], [], 0
        return [parts[0][:0].join(parts)] if parts else []


class ByteChunker(_Chunker[bytes]):
    """A chunker for `chunk_size` bytes; the last chunk may be shorter."""


class TextChunker(_Chunker[str]):
    """A chunker for `chunk_size` characters; the last chunk may be shorter."""


# Python's text encodings that the web does not use: two raise on ordinary input, two are Python's own
# escapes (and warn), punycode is for host names.
_NOT_FOR_BODIES = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}


# Bytes of UTF-7 without an end of its Base64, which may come with the next ASCII character.
_SHORT_RUN, _LONGEST_RUN = 512, 1_048_576
# Characters; the longest label of a codec of Python's has 24.
_LONGEST_LABEL = 64


def is_text_encoding(label: str) -> bool:
    """Return whether `label` names an encoding for bodies; `hex`, `zlib`, `idna` and unknown names do not."""
    return len(label) <= _LONGEST_LABEL and label.isascii() and _is_text_encoding(label)


@lru_cache(maxsize=64)  # bounded: peers choose the labels
def _is_text_encoding(label: str) -> bool:
    try:
        codec = codecs.lookup(label)
    except (LookupError, ValueError):  # ValueError: a NUL in the label
        # Python remembers every name that it did not find, for ever.
        getattr(encodings, "_cache", {}).pop(encodings.normalize_encoding(label).lower(), None)
        return False
    # `bytes.decode` uses it, too; no public API distinguishes `hex` from `utf-8`.
    is_text: bool = getattr(codec, "_is_text_encoding", True)
    return is_text and codec.name not in _NOT_FOR_BODIES and codec.incrementaldecoder is not None


class TextDecoder:
    """
    A decoder from bytes to text, in pieces of any split. Never raises: invalid bytes become U+FFFD.

    Args:
        encoding: label of a text encoding; any other label means UTF-8. UTF-16 and UTF-32 without a byte order mark
            are little-endian, as in browsers.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._name = codecs.lookup(encoding).name if is_text_encoding(encoding) else "utf-8"
        self._decoder = codecs.getincrementaldecoder(self._name)(errors="replace")
        # Of UTF-7: what the decoder does not have yet, and how many bytes it holds.
        self._waiting = bytearray()
        self._held = 0

    def decode(self, data: bytes) -> str:
        """Return the text that is complete."""
        return self._decode_utf_7(data) if self._name == "utf-7" else self._decode(data, False)

    def flush(self) -> str:
        """Return the rest; an incomplete character becomes U+FFFD."""
        return self._decode(bytes(self._waiting), True)

    def _decode_utf_7(self, data: bytes) -> str:
        """
        Return the text that is complete, in linear time and bounded memory.

        Python's decoder holds a run of Base64 until it ends, and reads all of it again each time. So within a long one
        it gets the next bytes when these are as many; and a run that is longer than any text ends there.
        """
        self._waiting += data
        if _SHORT_RUN < self._held > len(self._waiting):
            return ""
        text = self._decode(bytes(self._waiting), False)
        self._waiting.clear()
        self._held = len(self._decoder.getstate()[0])
        if self._held > _LONGEST_RUN:
            text += self._decode(b"", True)
            self._held = 0
        return text

    def _decode(self, data: bytes, final: bool) -> str:
        try:
            return self._decoder.decode(data, final)
        except UnicodeError:
            # No byte order mark, which Python's decoders refuse even with "replace".
            held = self._decoder.getstate()[0]
            self._decoder = codecs.getincrementaldecoder(self._name + "-le")(errors="replace")
            return self._decoder.decode(held + data, final)


class LineDecoder:
    """
    A splitter of text into lines without their ends, as `str.splitlines`, in pieces of any split.

    A line is returned as soon as it ends. After a `\\r` a `\\n` may follow; the line is
    returned anyway, and the `\\n` is dropped.

    Args:
        max_length: maximum characters of a line, without its end; None for no limit: a line of any length is then
        kept in memory.
        any_end: whether all ends that `str.splitlines` knows count. If not, those of formats of lines do: CR LF, LF
        and CR; U+2028 and the like are text in JSON.

    Raises:
        TypeError, ValueError: `max_length` is not a positive int.
    """

    _ENDS = frozenset("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
    _NEWLINE = lazy_pattern(r"\r\n|\r|\n")

    def __init__(self, max_length: Optional[int] = None, any_end: bool = True) -> None:
        if max_length is not None and (isinstance(max_length, bool) or not isinstance(max_length, int)):
            raise TypeError(f"max_line_length must be an int or None, got {max_length!r}")
        if max_length is not None and max_length < 1:
            raise ValueError(f"max_line_length must be at least 1, got {max_length!r}")
        self._max_length = max_length
        self._any_end = any_end
        # The unfinished line; a buffer, because a long line in small pieces must not take quadratic time.
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
        self._is_after_cr = text[-1] == "\r"
        if self._any_end:
            lines = text.splitlines()
            rest = "" if text[-1] in self._ENDS else lines.pop()
        else:
            *lines, rest = self._NEWLINE.split(text)
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
