"""
The header fields of a message.

`Headers` keeps what goes over the wire and looks things up beside it:

    _raw    [(b"Content-Type", b"text/html"), ...]   name and value as given: order, casing and repetitions are kept
    _index  {b"content-type": b"text/html", ...}     lower-case name -> first value; built on first use, thrown away by
                                                     every change, and never changed itself, so copies share it

Text is made only for whoever asks for text. A response's fields come from the wire through `Headers._from_raw`, which
neither copies nor looks at them; the rest of the package asks in lower-case bytes, with `_has`, `_get` and `_get_all`.

What a user puts in is checked at once for CR, LF and NUL, so that the error names the header where it was given. The
other rules for what may be sent (names are tokens, one framing field) are the gate's in `_protocol`, below every API.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._exceptions import LocalProtocolError
from ._secrets import ADDRESS_FIELDS, HIDDEN, is_secret_field
from ._utils import LOWER

if TYPE_CHECKING:
    from ._types import HeaderTypes

_find_forbidden = re.compile(rb"[\r\n\x00]").search

# How many names the two caches below keep, and how long a name may be to be kept: bounds, far above what programs use.
_MAX_NAMES, _MAX_LENGTH = 1024, 64


class _SentNames(dict[str, bytes]):
    """
    Field name as a user writes it -> the bytes to send, checked.

    One look-up (0.04 µs) instead of an encoding and a search (0.3 µs) for names that were seen before.
    """

    def __missing__(self, name: str) -> bytes:
        encoded = name.encode("ascii")
        _refuse_forbidden("name ", name, encoded)
        if len(self) < _MAX_NAMES and len(name) <= _MAX_LENGTH:
            self[name] = encoded
        return encoded


class _AskedNames(dict[str, bytes]):
    """Field name as a user asks for it -> the lower-case bytes of the index. Not checked: asking does no harm."""

    def __missing__(self, name: str) -> bytes:
        lower = name.encode("ascii").lower()
        if len(self) < _MAX_NAMES and len(name) <= _MAX_LENGTH:
            self[name] = lower
        return lower


_SENT = _SentNames()
_ASKED = _AskedNames()


def _refuse_forbidden(kind: str, name: Union[str, bytes], encoded: bytes) -> None:
    found = _find_forbidden(encoded)
    if found is not None:
        what = "a NUL" if found.group() == b"\0" else "a newline"
        raise LocalProtocolError(f"header {kind}{name!r} contains {what} at position {found.start()}")


def _encode(kind: str, name: Union[str, bytes], text: object, encoding: Optional[str]) -> bytes:
    """
    The bytes of a name or value, whatever it is.

    Args:
        kind: "name " or "", for messages.
        name: the header that they are about.
        text: str, which is encoded, or bytes, which are taken as they are.
        encoding: `None` is ASCII.

    Raises:
        TypeError: `text` is neither str nor bytes.
        LocalProtocolError: it cannot be encoded, or contains CR, LF or NUL.
    """
    if isinstance(text, str):
        try:
            encoded = text.encode(encoding or "ascii")
        except UnicodeError as exc:
            where = f" at position {exc.start}" if isinstance(exc, UnicodeEncodeError) else ""
            raise LocalProtocolError(
                f"header {kind}{name!r} cannot be encoded as {encoding or 'ascii'}{where}: give an encoding, or bytes"
            ) from None
    elif isinstance(text, bytes):
        encoded = text
    else:
        raise TypeError(f"header {kind}{name!r} must be str or bytes, not {type(text).__name__}")
    _refuse_forbidden(kind, name, encoded)
    return encoded


def _encode_name(name: Union[str, bytes], encoding: Optional[str]) -> bytes:
    if type(name) is str and name.isascii():
        return _SENT[name]
    return _encode("name ", name, name, encoding)


def _encode_value(name: Union[str, bytes], value: Union[str, bytes], encoding: Optional[str]) -> bytes:
    # Printable ASCII, which is nearly every value, needs no search: 0.1 µs instead of 0.4. An encoding of the user's
    # own (UTF-16, for instance) may make a newline out of innocent text, so there the search is for the bytes.
    if encoding is None and type(value) is str and value.isascii() and value.isprintable():
        return value.encode()
    return _encode("", name, value, encoding)


def _encode_fields(headers: HeaderTypes, encoding: Optional[str]) -> list[tuple[bytes, bytes]]:
    """Name and value bytes of whatever `Headers` may be made from; always a new list."""
    if isinstance(headers, Headers):
        return headers._raw.copy()
    pairs: Iterable[Any] = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, (str, bytes)):
        if not pairs:  # taken for none, as in 0.28.1
            return []
        raise TypeError(f"headers must be a mapping or an iterable of pairs, got {type(pairs).__name__}")
    try:
        return [(_encode_name(name, encoding), _encode_value(name, value, encoding)) for name, value in pairs]
    except ValueError as exc:  # of the unpacking; the rest of it raises other kinds
        raise TypeError("headers as an iterable hold pairs of name and value") from exc


def _check_encoding(encoding: str) -> None:
    """Raise LookupError for a name that is no encoding of text; some fail only at what they are used for."""
    try:
        "a".encode(encoding)
        b"\xff".decode(encoding, "replace")  # before Python 3.13 `punycode` raises, whatever is said about errors
    except ValueError:  # UnicodeError, too: `idna` and `undefined`
        raise LookupError(f"{encoding!a} is no encoding that header fields can be read in") from None


class Headers(MutableMapping[str, str]):
    """
    A mapping of header fields that ignores the case of names and knows fields that occur several times.

        headers = Headers([("Accept", "text/html"), ("accept", "text/plain")])
        headers["ACCEPT"] == "text/html, text/plain"
        headers.get_list("accept") == ["text/html", "text/plain"]
        headers.raw == [(b"Accept", b"text/html"), (b"accept", b"text/plain")]

    As a mapping it has each name once, in lower case, with the values of repeated fields joined by ", " (RFC 9110,
    section 5.3); only `len()` counts every field. `multi_items()` and `raw` show them one by one.

    Args:
        headers: `None`, another `Headers`, a mapping, or an iterable of pairs; names and values are str or bytes.
        encoding: for text that goes in or comes out. By default text goes in as ASCII, and comes out as described
            at `encoding`.

    Raises:
        TypeError: a name or a value is neither str nor bytes, or `headers` is of none of these forms.
        LocalProtocolError: a name or value contains CR, LF or NUL, or cannot be encoded.
        LookupError: Python knows no such encoding of text.
    """

    __slots__ = ("__weakref__", "_encoding", "_index", "_raw")

    _raw: list[tuple[bytes, bytes]]
    _index: Optional[dict[bytes, bytes]]
    _encoding: Optional[str]  # what the user asked for; what is found in the fields is not kept: they change

    def __init__(self, headers: Optional[HeaderTypes] = None, encoding: Optional[str] = None) -> None:
        if encoding is not None:
            _check_encoding(encoding)  # an unknown name fails here, not at the first look-up
        self._raw = [] if headers is None else _encode_fields(headers, encoding)
        self._index = None
        self._encoding = encoding

    # -- for the rest of the package: bytes in, bytes out

    @classmethod
    def _from_raw(cls, raw: list[tuple[bytes, bytes]], encoding: Optional[str] = None) -> Headers:
        """
        Headers around `raw`, which becomes theirs: it is neither copied nor checked, and neither is `encoding`.

        For fields that came from the wire and passed its parser, and for ones that we made ourselves.
        """
        self = _new(cls)
        self._raw = raw
        self._index = None
        self._encoding = encoding
        return self

    def _has(self, name: bytes) -> bool:
        """Whether there is a field of this name, given in lower case."""
        return name in (self._index or self._make_index())

    def _get(self, name: bytes) -> Optional[bytes]:
        """The value of the first field of this name, given in lower case, or `None`."""
        return (self._index or self._make_index()).get(name)

    def _get_all(self, name: bytes) -> list[bytes]:
        """The values of all fields of this name, given in lower case, in their order."""
        index = self._index or self._make_index()
        if name not in index:
            return []
        if len(index) == len(self._raw):
            return [index[name]]
        return [value for field, value in self._raw if LOWER[field] == name]

    @property
    def _list(self) -> list[tuple[bytes, bytes, bytes]]:
        """`(name as given, lower-case name, value)` of every field; pytest_httpx reads it."""
        return [(name, LOWER[name], value) for name, value in self._raw]

    def _make_index(self) -> dict[bytes, bytes]:
        # Backwards, so that of several fields with one name the first stays.
        self._index = index = {LOWER[name]: value for name, value in reversed(self._raw)}
        return index

    # -- text

    @property
    def encoding(self) -> str:
        """
        The encoding in which names and values are shown.

        What was given or set; else "ascii", "utf-8" or "iso-8859-1", the first in which all fields can be read. Set it
        to `None` to go back to that. Setting one that Python does not know raises `LookupError`. Bytes that do not fit
        an encoding that was set are shown as U+FFFD.
        """
        if self._encoding is not None:
            return self._encoding
        # Joined by a newline, which is part of no UTF-8 sequence, so that none can reach over the end of a value.
        everything = b"\n".join([part for field in self._raw for part in field])
        if everything.isascii():
            return "ascii"
        try:
            everything.decode("utf-8")
        except UnicodeDecodeError:
            return "iso-8859-1"
        return "utf-8"

    @encoding.setter
    def encoding(self, value: Optional[str]) -> None:
        if value is not None:
            _check_encoding(value)
        self._encoding = value

    def _text(self, raw: bytes) -> str:
        if self._encoding is None and raw.isascii():
            return raw.decode()
        return raw.decode(self.encoding, "replace")

    def _reader(self) -> Callable[[bytes], str]:
        """Return `_text` for many fields: it looks for the encoding once, and not in all fields for each of them."""
        if self._encoding is None and all(name.isascii() and value.isascii() for name, value in self._raw):
            return bytes.decode
        encoding = self.encoding
        return lambda raw: raw.decode(encoding, "replace")

    def _lower(self, key: object) -> Optional[bytes]:
        """The index's name for `key`, or `None` if no field can have such a name."""
        if isinstance(key, str):
            try:
                return _ASKED[key]
            except UnicodeEncodeError:
                pass
            try:
                return key.encode(self._encoding or "utf-8").lower()
            except UnicodeEncodeError:
                return None
        return key.lower() if isinstance(key, bytes) else None

    # -- reading

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """Name and value of every field, as they are sent or were received; a list of its own."""
        return self._raw.copy()

    def __getitem__(self, key: str) -> str:
        index = self._index or self._make_index()
        name = self._lower(key)
        if name is None or name not in index:
            raise KeyError(key)
        if len(index) == len(self._raw):
            return self._text(index[name])
        return ", ".join(map(self._reader(), self._get_all(name)))

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, several joined by ", "; `default` if there is none."""
        try:
            return self[key]
        except KeyError:
            return default

    def get_list(self, key: str, split_commas: bool = False) -> list[str]:
        """
        The values of all fields named `key`, one by one; empty if there is none.

        Args:
            split_commas: also split each value at its commas and strip the parts; for fields that are lists. Quoted
                commas are not recognised.
        """
        name = self._lower(key)
        values = [] if name is None else list(map(self._reader(), self._get_all(name)))
        if not split_commas:
            return values
        return [part.strip() for value in values for part in value.split(",")]

    def __contains__(self, key: Any) -> bool:
        name = self._lower(key)
        return name is not None and self._has(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._raw)

    def _merged(self) -> dict[str, str]:
        merged: dict[str, list[str]] = {}
        for name, value in self.multi_items():
            merged.setdefault(name, []).append(value)
        return {name: ", ".join(values) for name, values in merged.items()}

    def keys(self) -> KeysView[str]:
        """The names in lower case, each once."""
        text = self._reader()
        return dict.fromkeys([text(LOWER[name]) for name, _ in self._raw]).keys()

    def values(self) -> ValuesView[str]:
        """The values, those of repeated fields joined by ", "."""
        return self._merged().values()

    def items(self) -> ItemsView[str, str]:
        """Lower-case names with their values, those of repeated fields joined by ", "."""
        return self._merged().items()

    def multi_items(self) -> list[tuple[str, str]]:
        """Lower-case name and value of every field; repeated names are repeated."""
        text = self._reader()
        return [(text(LOWER[name]), text(value)) for name, value in self._raw]

    # -- changing

    def __setitem__(self, key: Union[str, bytes], value: Union[str, bytes]) -> None:
        """
        Make `value` the only one under `key`.

        It takes the place of the first field of that name, or the end. Text that is not ASCII is sent as UTF-8 unless
        an encoding was given. Raises what the constructor raises.
        """
        pair = _encode_name(key, self._encoding or "utf-8"), _encode_value(key, value, self._encoding or "utf-8")
        name = LOWER[pair[0]]
        if not self._has(name):
            self._raw.append(pair)
        else:
            first = next(at for at, field in enumerate(self._raw) if LOWER[field[0]] == name)
            rest = [field for field in self._raw[first + 1 :] if LOWER[field[0]] != name]
            self._raw[first:] = [pair, *rest]
        self._index = None

    def __delitem__(self, key: str) -> None:
        """Remove every field named `key`; `KeyError` if there is none."""
        name = self._lower(key)
        if name is None or not self._has(name):
            raise KeyError(key)
        self._raw = [field for field in self._raw if LOWER[field[0]] != name]
        self._index = None

    def update(self, headers: Optional[HeaderTypes] = None) -> None:  # type: ignore[override]  # no keywords: 0.28.1
        """
        Put in all of `headers`, anything that `Headers(...)` takes.

        Fields of the same names are removed and the new ones go to the end, repetitions included. Raises what the
        constructor raises, and then changes nothing.
        """
        if headers is None:
            return
        added = _encode_fields(headers, self._encoding)
        names = {LOWER[name] for name, _ in added}
        self._raw = [field for field in self._raw if LOWER[field[0]] not in names] + added
        self._index = None

    # -- the object itself

    def copy(self) -> Headers:
        """Headers with the same fields and encoding, to be changed apart from these."""
        new = _new(Headers)
        new._raw = self._raw.copy()
        new._index = self._index
        new._encoding = self._encoding
        return new

    def __eq__(self, other: object) -> bool:
        """Equal: the same fields in any order and any case of names, with anything that `Headers(...)` takes."""
        if other is None:
            return NotImplemented
        try:
            fields = _encode_fields(other, self.encoding)  # type: ignore[arg-type]  # what is not fit fails
        except (TypeError, ValueError, LocalProtocolError):
            return NotImplemented
        mine = sorted([(LOWER[name], value) for name, value in self._raw])
        return mine == sorted([(LOWER[name], value) for name, value in fields])

    # No __hash__: headers change.

    def __repr__(self) -> str:
        shown = [(name, without_secrets(name, value)) for name, value in self.multi_items()]
        distinct = dict(shown)
        encoding = self.encoding
        suffix = "" if encoding == "ascii" else f", encoding={encoding!r}"
        return f"{type(self).__name__}({distinct if len(distinct) == len(shown) else shown}{suffix})"

    def __reduce__(self) -> tuple[Any, ...]:
        # `copy.copy` comes here too: with a shared list, one object's changes would spoil the other's index.
        return _rebuild, (type(self), self._raw.copy(), self._encoding), getattr(self, "__dict__", None)


def without_secrets(name: str, value: str) -> str:
    """What `repr` shows of a value: it ends up in logs and in the tracebacks that test runners print."""
    if is_secret_field(name):
        return HIDDEN
    if name in ADDRESS_FIELDS:
        from ._urls import redacted_address  # only where headers are shown

        return redacted_address(value)
    return value


def _rebuild(cls: type[Headers], raw: list[tuple[bytes, bytes]], encoding: Optional[str]) -> Headers:
    return cls._from_raw(raw, encoding)


_new = Headers.__new__  # a global: one attribute look-up less for each response
