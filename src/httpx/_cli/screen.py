"""
Where the output goes, and what it looks like there.

A terminal gets colours, indented JSON, and nothing that could drive it: control characters are shown as escapes,
binary bodies as their size. A pipe or a file gets the same text without colours, and bodies as the bytes they are.
NO_COLOR (https://no-color.org) and TERM=dumb turn colours off.

pygments is imported for a body with colours only.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from httpx import Response

Fields = Iterable[tuple[bytes, bytes]]

_GREY, _RED, _GREEN, _YELLOW, _BLUE, _CYAN = "2", "31", "32", "33", "34", "36"
_STATUS_COLOURS = {"2": _GREEN, "3": _YELLOW}

# Bodies that are shown whole and formatted; everything else is shown as it comes.
_JSON = re.compile(r"(?:application|text)/(?:[^;]*\+)?json\s*(?:;|$)", re.I)
_MARKUP = re.compile(r"(?:application|text)/(?:html|xml|css|javascript|[^;]*\+xml)\s*(?:;|$)", re.I)

# C0 and C1 but for tab, line feed and carriage return: they move cursors, set titles, and answer back as if typed.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_INDENT = "    "


def indented(text: str) -> str:
    """
    JSON with one member per line; the same text if it is no JSON.

    Works on the text and not on its values: numbers keep their digits, strings their escapes, objects their repeated
    names.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    out: list[str] = []
    depth, before = 0, ""
    for token in _TOKEN.findall(text):
        if token in "}]":
            depth -= 1
            if before not in ("{", "["):
                out.append("\n" + _INDENT * depth)
        elif before in ("{", "[", ","):
            out.append("\n" + _INDENT * depth)
        if token in "{[":
            depth += 1
        out.append(": " if token == ":" else token)
        before = token
    return "".join(out)


def harmless(text: str) -> str:
    """Text that does nothing to a terminal but appear on it."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class Screen:
    """
    A stream to write to: standard output, or standard error.

    Args:
        stream: a text stream over a binary one.
    """

    def __init__(self, stream: TextIO) -> None:
        self._out = stream.buffer
        self._encoding = stream.encoding or "utf-8"
        self.is_terminal = stream.isatty()
        self.has_colours = (
            self.is_terminal
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM", "") not in ("dumb", "unknown")
        )

    def write(self, text: str) -> None:
        """Write text, with a terminal in mind or as it is; what the encoding lacks appears as an escape."""
        self._put(harmless(text) if self.is_terminal else text)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes at once."""
        self._out.write(data)
        self._out.flush()

    def note(self, text: str) -> None:
        """A line about what happens, not part of the exchange."""
        self._painted(_GREY, f"* {text}")
        self._put("\n")

    def request(self, method: bytes, target: bytes, version: bytes, fields: Fields) -> None:
        """The head of a request."""
        self._painted(_GREEN, method.decode("latin-1"))
        self._painted(_CYAN, f" {target.decode('latin-1')} ")
        self._painted(_BLUE, version.decode("latin-1"))
        self._fields(fields)

    def response(self, version: bytes, status: int, reason: bytes, fields: Fields) -> None:
        """The head of a response."""
        self._painted(_BLUE, version.decode("latin-1"))
        phrase = f" {status} {reason.decode('latin-1')}".rstrip()
        self._painted(_STATUS_COLOURS.get(str(status)[0], _RED), phrase)
        self._fields(fields)

    def trailers(self, fields: Fields) -> None:
        """The fields behind a body."""
        self._fields(fields)

    def body(self, response: Response) -> None:
        """The body of a response that is still to be read: formatted, or piece by piece as it arrives."""
        if not self.is_terminal:
            for piece in response.iter_bytes():
                self.write_bytes(piece)
            return
        content_type = response.headers.get("content-type", "")
        if _JSON.match(content_type) or _MARKUP.match(content_type):
            response.read()
            self._formatted(response, content_type)
        else:
            self._as_it_comes(response)

    def sent(self, content: bytes) -> None:
        """The body of a request."""
        if not self.is_terminal:
            self.write_bytes(content)
        elif _is_binary(content):
            self._binary(len(content))
        else:
            self.write(content.decode("utf-8"))

    def stand_in(self, what: str) -> None:
        """Appears in place of something that is not shown."""
        self._painted(_GREY, f"<{what}>")

    def _binary(self, size: int) -> None:
        self.stand_in(f"{size} bytes of binary data")

    def _formatted(self, response: Response, content_type: str) -> None:
        if _is_binary(response.content, response.encoding):
            self._binary(len(response.content))
            self._put("\n")
            return
        is_json = _JSON.match(content_type)
        text = harmless(indented(response.text) if is_json else response.text)
        if self.has_colours:
            text = coloured(text, "application/json" if is_json else content_type.partition(";")[0].strip())
        self._put(text if text.endswith("\n") else text + "\n")

    def _as_it_comes(self, response: Response) -> None:
        pieces = response.iter_bytes()
        first = next(pieces, b"")
        # The first piece decides: a body may be endless, and its beginning should not wait for its end.
        if _is_binary(first, response.encoding, cut=True):
            self._binary(len(first) + sum(len(piece) for piece in pieces))
            self._put("\n")
            return
        decode = codecs.getincrementaldecoder(response.encoding or "utf-8")("replace").decode
        last = ""
        for piece in chain([first], pieces, [None]):
            text = decode(piece or b"", piece is None)
            self.write(text)
            last = text or last
        self._put(("" if last.endswith("\n") else "\n") if last else "")

    def _fields(self, fields: Fields) -> None:
        self._put("\n")
        for name, value in fields:
            self._painted(_CYAN, name.decode("latin-1"))
            self.write(f": {value.decode('latin-1')}\n")
        self._put("\n")

    def _painted(self, colour: str, text: str) -> None:
        text = harmless(text) if self.is_terminal else text
        self._put(f"\x1b[{colour}m{text}\x1b[0m" if self.has_colours else text)

    def _put(self, text: str) -> None:
        self.write_bytes(text.encode(self._encoding, "backslashreplace"))


def coloured(text: str, mime_type: str) -> str:
    """Text with the colours of its language; the same text if the language is unknown."""
    from pygments import formatters, highlight, lexers, util  # type: ignore[import-untyped]  # it has no types

    try:
        lexer: Any = lexers.get_lexer_for_mimetype(mime_type, stripnl=False, ensurenl=False)
    except util.ClassNotFound:
        return text
    return str(highlight(text, lexer, formatters.TerminalFormatter()))


def _is_binary(content: bytes, charset: str | None = None, cut: bool = False) -> bool:
    """Whether bytes are no text: they hold a NUL, or are not UTF-8 though no other charset was named."""
    if charset is not None and charset.lower().replace("_", "-") not in ("utf-8", "utf8"):
        return False
    if b"\0" in content:
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, not cut)
    except UnicodeDecodeError:
        return True
    return False
