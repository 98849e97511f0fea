"""
Write and format output, for terminals, pipes and files.

A terminal gets colours and indented JSON, but no control characters: they are shown as escapes, and binary bodies as
their size. A pipe or a file gets the same text without colours, and bodies as unchanged bytes. NO_COLOR
(https://no-color.org) and TERM=dumb turn colours off; `pretty` overrides all of that but the protection of the
terminal.

JSON gets its colours token by token (`json_text`); pygments, which takes longer to import than a request takes, colours
markup only.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO

from .._fields import media_type_of
from .._reading import lend_pieces
from .._utils import lazy_pattern
from .json_text import indented, with_paint
from .palette import has_true_colour, palette_of

if TYPE_CHECKING:
    from httpx import Response

Fields = Iterable[tuple[bytes, bytes]]

# Colours of what has no kind in a palette.
GREY, RED, GREEN, YELLOW, CYAN, BLUE = "2", "31", "32", "33", "36", "94"
_STATUS_KINDS = {"2": "success", "3": "redirect"}

# Bytes. Larger bodies are not formatted, but shown as they arrive: a megabyte takes half a second and 30 MB of memory.
MAX_FORMATTED = 4 * 1024 * 1024
_TEXT = lazy_pattern(r"text/", re.I)
_JSON = lazy_pattern(r"(?:application|text)/(?:[^;]*\+)?json\s*(?:;|$)", re.I)
_MARKUP = lazy_pattern(r"(?:application|text)/(?:html|xml|css|javascript|[^;]*\+xml)\s*(?:;|$)", re.I)

# C0 and C1 except tab, line feed and carriage return: they move cursors, set titles, and send input as if typed.
_CONTROL = lazy_pattern("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BINARY = lazy_pattern(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def text_of(value: bytes) -> str:
    """Return the text of a field's value: UTF-8 if it is valid, else Latin-1 (RFC 9110, 5.5, leaves it open)."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def harmless(text: str) -> str:
    """Return text that is safe for a terminal: control characters are escaped."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class Screen:
    """
    An output stream with formatting: standard output or standard error.

    Args:
        stream: a text stream over a binary one.
        pretty: "all", "colors", "format" or "none"; None decides by the type of the stream.
        style: of pygments; None and "auto" are the terminal's own colours.
        sorts: put header fields, and the members of JSON that is indented, in the order of their names.

    Attributes:
        block: the character for bars.
        formats: whether bodies are indented.
        has_colours: whether there are colours.
    """

    def __init__(
        self, stream: TextIO, pretty: str | None = None, style: str | None = None, sorts: bool = False
    ) -> None:
        self._out = stream.buffer
        self._encoding = stream.encoding or "utf-8"
        self.is_terminal = stream.isatty()
        self.block = "\u2588" if self._encoding.lower().replace("-", "") in ("utf8", "cp65001") else "#"
        self.formats = self.is_terminal if pretty is None else pretty in ("all", "format")
        self.has_colours = _wants_colours(self.is_terminal) if pretty is None else pretty in ("all", "colors")
        self._style = style
        self._palette = palette_of(style if self.has_colours else None)
        self._sorts = sorts

    def write(self, text: str) -> None:
        """Write text, made safe for a terminal; characters that the encoding lacks are escaped."""
        self._put(self._safe(text))

    def write_bytes(self, data: bytes) -> None:
        """Write bytes at once."""
        self._out.write(data)
        self._out.flush()

    def note(self, text: str) -> None:
        """Write a line about an event, not part of the exchange."""
        self.painted("note", f"* {text}")
        self._put("\n")

    def request(self, method: bytes, target: bytes, version: bytes, fields: Fields) -> None:
        """Write the head of a request."""
        self.painted("method", method.decode("latin-1"))
        self.painted("target", f" {target.decode('latin-1')} ")
        self.painted("version", version.decode("latin-1"))
        self._fields(fields)

    def response(self, version: bytes, status: int, reason: bytes, fields: Fields) -> None:
        """Write the head of a response."""
        self.painted("version", version.decode("latin-1"))
        phrase = f" {status} {reason.decode('latin-1')}".rstrip()
        self.painted(_STATUS_KINDS.get(str(status)[0], "error"), phrase)
        self._fields(fields)

    def trailers(self, fields: Fields) -> None:
        """Write the trailer fields."""
        self._fields(fields)

    def body(self, response: Response) -> None:
        """Write the unread body of a response: formatted, or piece by piece as it arrives."""
        content_type = response.headers.get("content-type", "")
        if (self.formats or self.has_colours) and _is_structured(content_type):
            self._bounded(response, content_type)
        elif self.is_terminal:
            self.pieces(response.iter_bytes(), response.encoding, is_text=_TEXT.match(content_type) is not None)
        else:
            lend_pieces(response)
            for piece in response.iter_bytes():
                self.write_bytes(piece)

    def _bounded(self, response: Response, content_type: str) -> None:
        """Write a body formatted, or as it arrives if it is too large for that."""
        pieces = response.iter_bytes()
        taken: list[bytes] = []
        size = 0
        for piece in pieces:
            taken.append(piece)
            size += len(piece)
            if size > MAX_FORMATTED:
                break
        else:
            self._formatted(b"".join(taken), content_type, response.encoding)
            return
        if self.is_terminal:
            self.pieces(chain(taken, pieces), response.encoding, is_text=True)
            return
        for piece in chain(taken, pieces):
            self.write_bytes(piece)

    def sent(self, content: bytes, content_type: str = "") -> None:
        """Write the body of a request."""
        if (self.formats or self.has_colours) and _is_structured(content_type):
            self._formatted(content, content_type, "utf-8", end="")
        elif not self.is_terminal:
            self.write_bytes(content)
        elif _is_binary(content):
            self._binary(len(content))
        else:
            self.write(content.decode("utf-8"))

    def value(self, text: str, indent: str = "") -> None:
        """Write lines of text that may be JSON: an object or a list is formatted like a body."""
        shown = self.json(text) if text[:1] in ("{", "[") else self._safe(text)
        for line in shown.split("\n"):
            self._put(f"{indent}{line}\n")

    def stand_in(self, what: str) -> None:
        """Write a note in place of content that is not shown."""
        self.painted("note", f"<{what}>")

    def _binary(self, size: int) -> None:
        self.stand_in(f"{size} bytes of binary data")

    def _formatted(self, content: bytes, content_type: str, charset: str | None, end: str = "\n") -> None:
        charset = _charset_for(content, charset, is_text=True)
        if _is_binary(content, charset):
            if self.is_terminal:
                self._binary(len(content))
                self._put(end)
            else:
                self.write_bytes(content)
            return
        text = content.decode(charset or "utf-8", "replace").removeprefix("\ufeff")
        if _JSON.match(content_type):
            text = self.json(text)
        else:
            text = self._safe(text)
            text = coloured(text, media_type_of(content_type), self._style) if self.has_colours else text
        self._put(text if text.endswith(end) else text + end)

    def json(self, text: str) -> str:
        """Return JSON with this screen's indentation and colours; the same text if it is not JSON."""
        if len(text) > MAX_FORMATTED:
            return self._safe(text)
        if self.formats:
            done = indented(text, self._token, self._sorts)
            return self._safe(text) if done is text else done
        return with_paint(self._safe(text), self._token) if self.has_colours else self._safe(text)

    def _token(self, kind: str, token: str) -> str:
        return _paint(self._palette[kind], self._safe(token)) if self.has_colours else self._safe(token)

    def _safe(self, text: str) -> str:
        return harmless(text) if self.is_terminal else text

    def pieces(self, pieces: Iterator[bytes], charset: str | None, is_text: bool = False) -> None:
        """Write a body on a terminal as it arrives: text, or the size of binary data."""
        first = next(pieces, b"")
        charset = _charset_for(first, charset, is_text)
        # The first piece decides: a body may be endless, and its beginning must not wait for its end.
        if _is_binary(first, charset, cut=True):
            self._binary(len(first) + sum(len(piece) for piece in pieces))
            self._put("\n")
            return
        decode = codecs.getincrementaldecoder(charset or "utf-8")("replace").decode
        last = ""
        for piece in chain([first], pieces, [None]):
            text = decode(piece or b"", piece is None)
            self.write(text)
            last = text or last
        self._put(("" if last.endswith("\n") else "\n") if last else "")

    def _fields(self, fields: Fields) -> None:
        self._put("\n")
        for name, value in sorted(fields, key=_by_name) if self._sorts else fields:
            self.painted("field", name.decode("latin-1"))
            self.write(f": {text_of(value)}\n")
        self._put("\n")

    def painted(self, colour: str, text: str) -> None:
        """Write text in the colour of its kind in the palette, or one given as the digits of its escape sequence."""
        text = self._safe(text)
        self._put(_paint(self._palette.get(colour, colour), text) if self.has_colours and text else text)

    def _put(self, text: str) -> None:
        self.write_bytes(text.encode(self._encoding, "backslashreplace"))


def _wants_colours(is_terminal: bool) -> bool:
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("dumb", "unknown")


def _is_structured(content_type: str) -> bool:
    return bool(_JSON.match(content_type) or _MARKUP.match(content_type))


def _paint(colour: str, text: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _by_name(field: tuple[bytes, bytes]) -> bytes:
    return field[0].lower()


def screen_for(stream: TextIO, options: dict[str, Any]) -> Screen:
    """Return a screen with the format that the options ask for."""
    return Screen(stream, options["pretty"], options["style"], options["sorted"])


def coloured(text: str, mime_type: str, style: str | None = None) -> str:
    """Return text with the colours of its language; the same text if the language is unknown."""
    from pygments import formatters, highlight, lexers, util  # type: ignore[import-untyped]  # pygments has no types

    try:
        lexer: Any = lexers.get_lexer_for_mimetype(mime_type, stripnl=False, ensurenl=False)
    except util.ClassNotFound:
        return text
    if style is None or style == "auto":
        formatter: Any = formatters.TerminalFormatter()
    elif has_true_colour():
        formatter = formatters.TerminalTrueColorFormatter(style=style)
    else:
        formatter = formatters.Terminal256Formatter(style=style)
    return str(highlight(text, lexer, formatter))


def _charset_for(content: bytes, charset: str | None, is_text: bool) -> str | None:
    """Return the charset of a body; windows-1252, as browsers do, for text that is not UTF-8 and has no controls."""
    if not is_text or b"\0" in content or not _is_binary(content, charset, cut=True):
        return charset
    return charset if _BINARY.search(content) else "windows-1252"


def _is_binary(content: bytes, charset: str | None = None, cut: bool = False) -> bool:
    """Return whether bytes are binary: they have a NUL, or are not UTF-8 and no other charset was given."""
    if charset is not None and charset.lower().replace("_", "-") not in ("utf-8", "utf8"):
        return False
    if b"\0" in content:
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, not cut)
    except UnicodeDecodeError:
        return True
    return False
