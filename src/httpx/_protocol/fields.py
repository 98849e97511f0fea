"""
Which names and values may stand in a message: the one gate for every protocol, both ways (RFC 9110, section 5).

    WrittenFields(fields)   the field block of a request, and what it says about framing
    FIELD_OF[line]          the (name, value) of a received field line
    KIND_OF[name]           the part of a name in framing

Not here: where a message ends (`http1`), header compression (`hpack`).
"""

from __future__ import annotations

import re

from .._exceptions import LocalProtocolError
from .exchange import Fields

# Larger than any body, and small enough for every 64-bit counter.
MAX_LENGTH = 2**63 - 1

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_VALUE = re.compile(rb"[\r\n\0]")
# VT and FF end lines in some programs, so they are refused like CR and NUL.
# A value that starts with no blank keeps the search linear on hostile input.
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\0\r\n\v\f \t][^\0\r\n\v\f]*)?")

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


class _FieldKinds(dict[bytes, int]):
    """
    Field name as written -> its part in framing, 0 for none; a name that is no token is refused.

    Both directions use few names, so that a look-up is all that a known one costs. Bounded.
    """

    def __missing__(self, name: bytes) -> int:
        if TOKEN.fullmatch(name) is None:
            raise LocalProtocolError(f"header name {name[:20]!r} is not a token (letters, digits and !#$%&'*+-.^_`|~)")
        kind = _KINDS.get(name.lower(), 0)
        if len(name) <= 64:
            if len(self) >= 1024:
                self.clear()  # and not "remember no more": one peer could fill it for all others
            self[name] = kind
        return kind


KIND_OF = _FieldKinds()

# Fields that say the same in answer after answer, and nothing about anybody.
_COMMON = frozenset(
    b"accept-ranges age alt-svc cache-control connection content-encoding content-language content-length content-type "
    b"date etag expires keep-alive last-modified pragma server strict-transport-security transfer-encoding vary via "
    b"x-content-type-options x-frame-options x-powered-by".split()
)


class _FieldLines(dict[bytes, tuple[bytes, bytes]]):
    """
    Field line without its line end -> (name, value), or ValueError.

    Servers repeat their lines, so common ones are remembered: 1.0 us for a head of eight fields instead of 2.9 us by
    a regular expression over the block, 7 % of a request's whole cost. Bounded; nothing that could be private stays.
    """

    def __missing__(self, line: bytes) -> tuple[bytes, bytes]:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise ValueError(line)
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
    The field block of a request as it goes out, and what it says about framing: the gate that everything passes.

    Raises:
        LocalProtocolError: a name is no token, a value holds CR, LF or NUL, or the framing fields disagree.
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
            if not value.isdigit() or len(value) > 19 or int(value) > MAX_LENGTH:
                raise LocalProtocolError(f"Content-Length {value[:20]!r} of the request is not a number of bytes")
            self.length = int(value)
        elif kind == TRANSFER_ENCODING:
            if self.chunked or value.lower() != b"chunked":
                raise LocalProtocolError(f"Transfer-Encoding {value[:20]!r} of the request is not 'chunked'")
            self.chunked = True
        elif kind == CONNECTION:
            options = options_of(value)
            self.asked_close = self.asked_close or b"close" in options
            self.asked_upgrade = self.asked_upgrade or b"upgrade" in options
        elif kind == _EXPECT:
            self.expects_continue = value.lower() == b"100-continue"


def options_of(value: bytes) -> list[bytes]:
    """The members of a comma-separated list, in lower case, empty ones left out (RFC 9110 5.6.1)."""
    if b"," not in value:
        option = value.strip(b" \t").lower()
        return [option] if option else []
    return [option for option in (part.strip(b" \t").lower() for part in value.split(b",")) if option]


def content_length(value: bytes) -> int | None:
    """The number in a Content-Length, or None; a list of equal numbers counts as one (RFC 9110 8.6)."""
    if value.isdigit() and len(value) <= 19:
        length = int(value)
        return length if length <= MAX_LENGTH else None
    if b"," in value:
        numbers = {part.strip(b" \t") for part in value.split(b",")}
        if len(numbers) == 1 and b"," not in (number := numbers.pop()):
            return content_length(number)
    return None


def _bad_value(fields: Fields) -> LocalProtocolError:
    """Which field it is that has a CR, LF or NUL in its value, and where."""
    for name, value in fields:
        match = _NOT_VALUE.search(value)
        if match is not None:
            what = "a NUL" if match.group() == b"\0" else "a newline"
            return LocalProtocolError(f"header {name.decode('ascii')!r} contains {what} at position {match.start()}")
    raise AssertionError("the head is clean")  # pragma: no cover - the caller found a fault


def bad_line(line: bytes) -> str:
    """Say what is wrong with a line that is no field."""
    if line[:1] in (b" ", b"\t"):
        return f"a header line of the answer is folded: {line[:20]!r}"
    name, colon, _ = line.partition(b":")
    if colon and TOKEN.fullmatch(name):
        return f"the value of the answer's header {name[:20]!r} contains a control character"
    return f"{line[:20]!r} is not a header line of the form 'name: value'"
