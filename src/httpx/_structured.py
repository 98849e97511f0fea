"""
Structured fields (RFC 9651): the text of a field to values, and back.

    parse_item(text)        -> Item
    parse_list(text)        -> [Item, ...]
    parse_dictionary(text)  -> {key: Item, ...}
    serialise(value)        -> text; of an Item, a bare item, a list or a dictionary

    Integer int · Decimal float · String str · Token Token · Byte Sequence bytes · Boolean bool · Date Date ·
    Display String DisplayString · Inner List a list of Items as the value of an Item

Several lines of a field are joined with ", " before they are parsed. A field that is not valid is refused as a whole
(section 4.2), with a ValueError that says where. Time is linear: the reader only goes forward, and nothing nests deeper
than an inner list.

Not here: what a field means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union

__all__ = [
    "BareItem",
    "Date",
    "DisplayString",
    "Item",
    "Token",
    "parse_dictionary",
    "parse_item",
    "parse_list",
    "serialise",
]

_MAX_INTEGER = 999_999_999_999_999  # section 3.3.1: 15 digits

_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]*))?")
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)=*:")
# What may stand in the texts between two characters that mean something.
_STRING_RUN = re.compile(r"[ !#-\[\]-~]*")
_DISPLAY_RUN = re.compile(r"[ !#$&-~]*")
_ESCAPED_BYTE = re.compile(r"%([0-9a-f]{2})")
_BLANKS = re.compile(r"[ \t]*")
_SPACES = re.compile(r" *")


class Token(str):
    """A short word, such as `gzip`; written without quotes."""

    __slots__ = ()


class DisplayString(str):
    """A text for people, of any characters of Unicode."""

    __slots__ = ()


class Date(int):
    """Seconds since 1970 in UTC; may be negative."""

    __slots__ = ()


BareItem = Union[int, float, str, bytes]  # with their subclasses: bool, Date, Token, DisplayString


class Item(NamedTuple):
    """A value with its parameters; an inner list if the value is a list of Items."""

    value: Any
    parameters: Mapping[str, BareItem] = {}  # nothing changes it


def parse_item(text: str) -> Item:
    """
    Return the value of a field that is an Item.

    Raises:
        ValueError: the text is not valid; the message says where.

    RFC 9651, section 4.2.
    """
    reader = _Reader(text)
    item = reader.item()
    reader.end()
    return item


def parse_list(text: str) -> list[Item]:
    """
    Return the members of a field that is a List; none if the text is empty.

    Raises:
        ValueError: the text is not valid; the message says where.

    RFC 9651, section 4.2.1.
    """
    reader = _Reader(text)
    members: list[Item] = []
    while reader.next_member(is_first=not members):
        members.append(reader.item_or_inner_list())
    return members


def parse_dictionary(text: str) -> dict[str, Item]:
    """
    Return the members of a field that is a Dictionary, in order; of a key that comes twice the last value.

    Raises:
        ValueError: the text is not valid; the message says where.

    RFC 9651, section 4.2.2.
    """
    reader = _Reader(text)
    members: dict[str, Item] = {}
    is_first = True
    while reader.next_member(is_first=is_first):
        is_first = False
        key = reader.key()
        members[key] = reader.item_or_inner_list() if reader.take("=") else Item(True, reader.parameters())
    return members


class _Reader:
    """A text and a position in it, which only moves forward."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text.rstrip(" ")
        self.at = _end(_SPACES, self.text, 0)

    def error(self, expected: str) -> ValueError:
        if self.at >= len(self.text):
            return ValueError(f"structured field ends at position {self.at}, expected {expected}")
        return ValueError(f"structured field has {self.text[self.at]!r} at position {self.at}, expected {expected}")

    def take(self, character: str) -> bool:
        """Go past this character if it comes next; return whether it did."""
        if self.text.startswith(character, self.at):
            self.at += len(character)
            return True
        return False

    def match(self, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.error(expected)
        self.at = found.end()
        return found

    def end(self) -> None:
        if self.at < len(self.text):
            raise self.error("the end")

    def next_member(self, is_first: bool) -> bool:
        """Go to the next member of a list or dictionary, past a comma; return whether there is one."""
        if is_first:
            return self.at < len(self.text)
        self.at = _end(_BLANKS, self.text, self.at)
        if self.at >= len(self.text):
            return False
        if not self.take(","):
            raise self.error("','")
        self.at = _end(_BLANKS, self.text, self.at)
        if self.at >= len(self.text):
            raise self.error("a member after ','")
        return True

    def item_or_inner_list(self) -> Item:
        return self.inner_list() if self.take("(") else self.item()

    def inner_list(self) -> Item:
        items: list[Item] = []
        while True:
            had_space = not items or self.text.startswith(" ", self.at)
            self.at = _end(_SPACES, self.text, self.at)
            if self.take(")"):
                return Item(items, self.parameters())
            if not had_space:
                raise self.error("' ' or ')'")
            items.append(self.item())

    def item(self) -> Item:
        return Item(self.bare_item(), self.parameters())

    def parameters(self) -> dict[str, BareItem]:
        found: dict[str, BareItem] = {}
        while self.take(";"):
            self.at = _end(_SPACES, self.text, self.at)
            key = self.key()
            found[key] = self.bare_item() if self.take("=") else True
        return found

    def key(self) -> str:
        return self.match(_KEY, "a key").group()

    def bare_item(self) -> BareItem:
        """Return the value that comes next; its first character says of which type it is (section 4.2.3.1)."""
        first = self.text[self.at : self.at + 1]
        if first in _DIGITS:
            return self.number()
        if first == '"':
            return self.string()
        if first == ":":
            return self.byte_sequence()
        if first == "?":
            return self.boolean()
        if first == "@":
            return self.date()
        if first == "%":
            return self.display_string()
        return Token(self.match(_TOKEN, "an item").group())

    def number(self) -> int | float:
        sign, whole, fraction = self.match(_NUMBER, "a number").groups()
        if fraction is None:
            if len(whole) > 15:
                raise self.error("an integer of at most 15 digits")
            return int(sign + whole)
        if len(whole) > 12 or not 1 <= len(fraction) <= 3:
            raise self.error("a decimal of at most 12 and 1 to 3 digits")
        return float(f"{sign}{whole}.{fraction}")

    def string(self) -> str:
        self.at += 1
        pieces: list[str] = []
        while True:
            pieces.append(self.match(_STRING_RUN, "text").group())
            if self.take('"'):
                return "".join(pieces)
            if not self.take("\\") or self.text[self.at : self.at + 1] not in ('"', "\\"):
                raise self.error("a printable ASCII character, an escaped one, or '\"'")
            pieces.append(self.text[self.at])
            self.at += 1

    def byte_sequence(self) -> bytes:
        from binascii import a2b_base64  # few fields have one

        self.at += 1
        encoded = self.match(_BASE64, "base64 up to ':'").group(1)
        if len(encoded) % 4 == 1:
            raise self.error("whole bytes in base64")
        return a2b_base64(encoded + "=" * (-len(encoded) % 4))

    def boolean(self) -> bool:
        self.at += 1
        if self.take("1"):
            return True
        if self.take("0"):
            return False
        raise self.error("0 or 1 after '?'")

    def date(self) -> Date:
        self.at += 1
        seconds = self.number()
        if isinstance(seconds, float):
            raise self.error("whole seconds after '@'")
        return Date(seconds)

    def display_string(self) -> DisplayString:
        self.at += 1
        if not self.take('"'):
            raise self.error("'\"' after '%'")
        pieces: list[bytes] = []
        while True:
            pieces.append(self.match(_DISPLAY_RUN, "text").group().encode("ascii"))
            if self.take('"'):
                break
            pieces.append(bytes.fromhex(self.match(_ESCAPED_BYTE, "printable ASCII, %xx or '\"'").group(1)))
        try:
            return DisplayString(b"".join(pieces).decode("utf-8"))
        except UnicodeDecodeError:
            raise self.error("UTF-8 in a display string") from None


_DIGITS = frozenset("-0123456789")


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the end of what a pattern that may be empty matches."""
    found = pattern.match(text, at)
    return at if found is None else found.end()


def serialise(value: Any) -> str:
    """
    Return the text of a field: of an Item, a bare item, a list of Items (or bare items), or a mapping of keys to them.

    An empty list or mapping gives "": such a field is not sent. Decimals are rounded to three digits, half to even.

    Raises:
        ValueError, TypeError: the value cannot be written, such as a number out of range or a list in an inner list.

    RFC 9651, section 4.1.
    """
    if isinstance(value, Mapping):
        return ", ".join(_write_member(key, member) for key, member in value.items())
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, Item)):
        return ", ".join(_write_item_or_inner_list(member) for member in value)
    return _write_item(value)


def _write_member(key: str, member: Any) -> str:
    value, parameters = member if isinstance(member, Item) else (member, {})
    if value is True:
        return _write_key(key) + _write_parameters(parameters)
    return f"{_write_key(key)}={_write_item_or_inner_list(member)}"


def _write_item_or_inner_list(member: Any) -> str:
    value, parameters = member if isinstance(member, Item) else (member, {})
    if not isinstance(value, (list, tuple)):
        return _write_item(member)
    return f"({' '.join(map(_write_item, value))}){_write_parameters(parameters)}"


def _write_item(item: Any) -> str:
    if isinstance(item, Item):
        return _write_bare_item(item.value) + _write_parameters(item.parameters)
    return _write_bare_item(item)


def _write_parameters(parameters: Mapping[str, BareItem]) -> str:
    return "".join(
        f";{_write_key(key)}" if value is True else f";{_write_key(key)}={_write_bare_item(value)}"
        for key, value in parameters.items()
    )


def _write_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key[:20]!r} is not a key of a structured field, expected a-z, 0-9, '_', '-', '.', '*'")
    return key


def _write_bare_item(value: Any) -> str:
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        if not -_MAX_INTEGER <= value <= _MAX_INTEGER:
            raise ValueError("an integer of a structured field has at most 15 digits")
        return f"@{int(value)}" if isinstance(value, Date) else str(int(value))
    if isinstance(value, float):
        return _write_decimal(value)
    if isinstance(value, str):
        return _write_text(value)
    if isinstance(value, (bytes, bytearray)):
        from binascii import b2a_base64

        return f":{b2a_base64(value, newline=False).decode('ascii')}:"
    raise TypeError(f"a structured field has no items of type {type(value).__name__}")


def _write_decimal(value: float) -> str:
    from decimal import ROUND_HALF_EVEN, Decimal  # few fields have one

    # The digits that are shown count, not those of the binary fraction: 0.0025 is half, and becomes 0.002.
    exact = Decimal(repr(float(value)))
    if not exact.is_finite() or abs(exact) >= 10**13:
        raise ValueError("a decimal of a structured field has at most 12 digits before its point")
    rounded = exact.quantize(Decimal("0.001"), ROUND_HALF_EVEN)
    if abs(rounded) >= 10**12:
        raise ValueError("a decimal of a structured field has at most 12 digits before its point")
    text = f"{rounded:f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _write_text(value: str) -> str:
    if isinstance(value, Token):
        if not _TOKEN.fullmatch(value):
            raise ValueError("a token of a structured field has a character that cannot be written")
        return str(value)
    if isinstance(value, DisplayString):
        written = (
            chr(byte) if 0x20 <= byte < 0x7F and byte not in b'%"' else f"%{byte:02x}"
            for byte in value.encode("utf-8")  # of a lone surrogate a UnicodeEncodeError, which is a ValueError
        )
        return f'%"{"".join(written)}"'
    if not value.isascii() or not value.isprintable():
        raise ValueError("a string of a structured field is printable ASCII; others are a DisplayString")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
