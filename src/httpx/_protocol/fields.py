"""
Which names and values may stand in a message: the one gate for every protocol, both ways (RFC 9110, section 5).

    legal_trailers(fields)  the trailers of a request, checked
    WrittenFields(fields)   the field block of a request, and what it says about framing; refuses what is not legal
    FIELD_OF[line]          the (name, value) of a received field line; `BadFieldLine` for one that is not legal
    unfolded(lines)         received lines without folds (obs-fold)
    KIND_OF[name]           the part that a field of this name has in framing, 0 for none

Not here: where a message ends (`http1`), header compression (`hpack`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import _utils
from .._exceptions import LocalProtocolError
from .exchange import Fields

# Larger than any body, and small enough for every 64-bit counter.
MAX_BODY = 2**63 - 1

TOKEN = re.compile(_utils.TOKEN.encode())
_NOT_IN_VALUE = re.compile(rb"[\r\n\0]")
# VT and FF end lines in some programs, so they are refused like CR and NUL. The value must not begin with a blank:
# that keeps the search linear on hostile input.
_FIELD_LINE = re.compile(rb"(%b):[ \t]*([^\0\r\n\v\f \t][^\0\r\n\v\f]*)?" % TOKEN.pattern)
_NOT_IN_TRAILERS = frozenset(
    b"authorization cache-control connection content-encoding content-length content-range content-type cookie expect "
    b"host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive max-forwards pragma "
    b"proxy-authorization proxy-connection range te trailer transfer-encoding upgrade".split()
)
_FRAMING_NAMES = (b"content-length", b"transfer-encoding")
_FRAMING_LINE = re.compile(rb"(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)

CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, _HOST, _EXPECT, REMARKABLE = range(1, 7)
_KINDS = {
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"host": _HOST,
    b"expect": _EXPECT,
    b"set-cookie": REMARKABLE,
    b"location": REMARKABLE,
    b"content-encoding": REMARKABLE,
}


class BadFieldLine(ValueError):
    """A line of a response is not a legal field line; the text says what is wrong with it."""


class _FieldKinds(dict[bytes, int]):
    """
    Field name as written -> its part in framing, 0 for none.

    Both directions use few names, so a known one costs one look-up. Bounded.

    Raises:
        LocalProtocolError: the name is not a token.
    """

    def __missing__(self, name: bytes) -> int:
        if TOKEN.fullmatch(name) is None:
            raise LocalProtocolError(f"header name {name[:20]!r} is not a token (letters, digits and !#$%&'*+-.^_`|~)")
        kind = _KINDS.get(name.lower(), 0)
        if len(name) <= 64:
            if len(self) >= 1024:
                self.clear()  # instead of keeping the first ones: one peer could fill it for all others
            self[name] = kind
        return kind


KIND_OF = _FieldKinds()

# Fields that say the same in one response after another, and nothing about a person.
_COMMON = frozenset(
    b"accept-ranges age alt-svc cache-control connection content-encoding content-language content-length content-type "
    b"date etag expires keep-alive last-modified pragma server strict-transport-security transfer-encoding vary via "
    b"x-content-type-options x-frame-options x-powered-by".split()
)


class _FieldLines(dict[bytes, tuple[bytes, bytes]]):
    """
    Field line without its line end -> (name, value).

    Servers repeat their lines, so common ones are remembered: 1.0 us for a head of eight fields instead of 2.9 us by
    a regular expression over the block, 7 % of a request's whole cost. Bounded; nothing that could be private is kept.

    Raises:
        BadFieldLine: the line is folded, or is not a legal field line.
    """

    def __missing__(self, line: bytes) -> tuple[bytes, bytes]:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise BadFieldLine(_what_is_wrong(line))
        name, value = match.groups(b"")
        field = (name, value.rstrip(b" \t"))
        if len(line) <= 128 and name.lower() in _COMMON:
            if len(self) >= 512:
                self.clear()
            self[line] = field
        return field


FIELD_OF = _FieldLines()


class WrittenFields:
    """
    The field block of a request as it is sent, and what it says about framing: every request passes this gate.

    Raises:
        LocalProtocolError: a name is not a token, a value holds CR, LF or NUL, or the framing fields disagree.
    """

    __slots__ = ("asked_close", "asked_upgrade", "block", "chunked", "expects_continue", "fields", "length")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields.copy()  # the caller's list belongs to a request, which may change
        self.length: int | None = None
        self.chunked = self.asked_close = self.asked_upgrade = self.expects_continue = False
        lines = []
        hosts = 0
        for name, value in fields:
            kind = KIND_OF[name]
            if kind == _HOST:
                hosts += 1
            elif kind:
                self._note(kind, value)
            lines.append(b"%b: %b\r\n" % (name, value))
        lines.append(b"\r\n")
        self.block = block = b"".join(lines)
        # Names are tokens, so a CR, LF or NUL beyond those written here can only be part of a value.
        count = len(lines)
        if block.count(b"\n") != count or block.count(b"\r") != count or 0 in block:
            raise _bad_value(fields)
        if hosts != 1:
            raise LocalProtocolError(f"a request needs exactly one Host header, this one has {hosts}")
        if self.chunked and self.length is not None:
            raise LocalProtocolError("a request cannot have both Content-Length and Transfer-Encoding")

    def _note(self, kind: int, value: bytes) -> None:
        """Remember what one field says about framing and the connection."""
        if kind == CONTENT_LENGTH:
            if self.length is not None:
                raise LocalProtocolError("a request cannot have more than one Content-Length header")
            if not value.isdigit() or len(value) > 19 or int(value) > MAX_BODY:
                raise LocalProtocolError(f"Content-Length {value[:20]!r} of the request is not a number of bytes")
            self.length = int(value)
        elif kind == TRANSFER_ENCODING:
            if self.chunked:
                raise LocalProtocolError("a request cannot have more than one Transfer-Encoding header")
            if value.lower() != b"chunked":
                raise LocalProtocolError(f"Transfer-Encoding {value[:20]!r} of the request is not 'chunked'")
            self.chunked = True
        elif kind == CONNECTION:
            options = options_of(value)
            self.asked_close = self.asked_close or b"close" in options
            self.asked_upgrade = self.asked_upgrade or b"upgrade" in options
        elif kind == _EXPECT:
            self.expects_continue = value.lower() == b"100-continue"


def legal_trailers(fields: Sequence[tuple[bytes, bytes]]) -> Fields:
    """
    Return the trailers of a request, without blanks around their values.

    Raises:
        LocalProtocolError: a name is not a token, or one that a receiver must know before the body (RFC 9110 6.5.1):
            framing, routing, controls, conditions, credentials, and how the content is to be read; a value holds CR, LF
            or NUL.
    """
    for name, value in fields:
        KIND_OF[name]  # refuses what is not a token
        if name.lower() in _NOT_IN_TRAILERS:
            raise LocalProtocolError(
                f"header {name.decode('ascii')!r} cannot be a trailer: it is needed before the body"
            )
        if _NOT_IN_VALUE.search(value) is not None:
            raise _bad_value([(name, value)])
    return [(name, value.strip(b" \t")) for name, value in fields]


def unfolded(lines: list[bytes]) -> list[bytes]:
    """
    Return the field lines of a block with each fold replaced by one space (obs-fold, RFC 9112 section 5.2).

    Linear in the bytes of the block, however many folds one field has. A reader that does not know folds would read a
    continuation as a line of its own, so a fold that could move the end of the message is refused.

    Raises:
        BadFieldLine: the first line is a continuation; a continuation is blank, which some readers take for the end of
            the head; the field is a framing field, or the continuation looks like one.
    """
    fields: list[list[bytes]] = []
    for line in lines:
        if line[:1] not in (b" ", b"\t"):
            fields.append([line])
            continue
        text = line.strip(b" \t")
        if not fields:
            raise BadFieldLine(f"the first header line of the response is folded: {line[:20]!r}")
        if not text:
            raise BadFieldLine("a header line of the response is blank, but not empty")
        parts = fields[-1]
        if len(parts) == 1:
            parts[0] = parts[0].rstrip(b" \t")
            if parts[0].partition(b":")[0].lower() in _FRAMING_NAMES:
                raise BadFieldLine(f"a framing header of the response is folded: {parts[0][:20]!r}")
        if _FRAMING_LINE.match(text) is not None:
            raise BadFieldLine(f"another reader could take the folded header line {text[:20]!r} for framing")
        parts.append(text)
    return [b" ".join(parts) for parts in fields]


def options_of(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list in lower case, empty ones left out (RFC 9110 section 5.6.1)."""
    if b"," not in value:
        option = value.strip(b" \t").lower()
        return [option] if option else []
    return [option for option in (part.strip(b" \t").lower() for part in value.split(b",")) if option]


def content_length(value: bytes) -> int | None:
    """Return the number in a Content-Length, or None; a list of equal numbers counts as one (RFC 9110 section 8.6)."""
    if value.isdigit() and len(value) <= 19:
        length = int(value)
        return length if length <= MAX_BODY else None
    if b"," in value:
        numbers = {part.strip(b" \t") for part in value.split(b",")}
        if len(numbers) == 1 and b"," not in (number := numbers.pop()):
            return content_length(number)
    return None


def one_length(fields: Fields) -> Fields:
    """Return the fields with one Content-Length, with one number, for several that are equal (RFC 9110 section 8.6)."""
    kept: Fields = []
    is_there = False
    for name, value in fields:
        if name.lower() != b"content-length":
            kept.append((name, value))
        elif not is_there:
            is_there = True
            kept.append((name, value.partition(b",")[0].rstrip(b" \t")))
    return kept


def bad_length(value: bytes, number: int | None, length: int | None) -> str:
    """Return what is wrong with a Content-Length that is `number`, or not one; `length` is that of an earlier line."""
    if number is not None:
        return f"the response has two Content-Length headers that differ: {length} and {number}"
    what = "does not repeat one number of bytes" if b"," in value else "is not a number of bytes"
    return f"Content-Length {value[:20]!r} of the response {what}"


def bad_coding(codings: list[bytes]) -> str:
    """Return what is wrong with the Transfer-Encoding headers of a response that are not one 'chunked'."""
    if len(codings) > 1:
        return f"the response has {len(codings)} Transfer-Encoding headers, expected one"
    return f"Transfer-Encoding {codings[0][:20]!r} of the response is not supported, expected 'chunked'"


def _bad_value(fields: Fields) -> LocalProtocolError:
    """Return the error that names the field with a CR, LF or NUL in its value, and the position."""
    for name, value in fields:
        match = _NOT_IN_VALUE.search(value)
        if match is not None:
            what = "a NUL" if match.group() == b"\0" else "a newline"
            return LocalProtocolError(f"header {name.decode('ascii')!r} contains {what} at position {match.start()}")
    raise AssertionError("the block is legal")  # pragma: no cover - the caller found a fault


def _what_is_wrong(line: bytes) -> str:
    if line[:1] in (b" ", b"\t"):
        return f"a header line of the response is folded: {line[:20]!r}"
    name, colon, _ = line.partition(b":")
    if colon and TOKEN.fullmatch(name):
        return f"the value of the response's header {name[:20]!r} contains a control character"
    return f"{line[:20]!r} is not a header line of the form 'name: value'"
