"""
The header fields of a message.

`Headers` keeps the fields as sent over the wire, and an index for look-ups:

    _raw    [(b"Content-Type", b"text/html"), ...]   name and value as given: order, casing and repetitions are kept
    _index  {b"content-type": b"text/html", ...}     lower-case name -> first value; built on first use, discarded by
    every change, and immutable, so copies share it

Text is made only when it is asked for. A response's fields come from the wire through `Headers._from_raw`, which
neither copies nor checks them; the rest of the package asks in lower-case bytes, with `_has`, `_get` and `_get_all`.

A user's fields are checked at once for CR, LF and NUL, so that the error is raised where the header was given. The
other rules for sending (names are tokens, one framing field) are checked in `_protocol`, below every API.
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

# Bounds of the two caches below, in names and in characters of a name: far above the needs of programs.
_MAX_NAMES, _MAX_LENGTH = 1024, 64


class _SentNames(dict[str, bytes]):
    """
    A cache: field name as a user writes it -> the bytes to send, checked.

    One look-up (0.04 µs) instead of an encoding and a search (0.3 µs) for known names.
    """

    def __missing__(self, name: str) -> bytes:
        encoded = name.encode("ascii")
        _refuse_forbidden("name ", name, encoded)
        if len(self) < _MAX_NAMES and len(name) <= _MAX_LENGTH:
            self[name] = encoded
        return encoded


class _AskedNames(dict[str, bytes]):
    """A cache: field name of a look-up -> the lower-case bytes of the index. Not checked: a look-up is harmless."""

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
    Return the bytes of a name or value, str or bytes.

    Args:
        kind: "name " or "", for messages.
        name: the header, for messages.
        text: str, which is encoded, or bytes, which are used as they are.
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
                f"header {kind}{name!r} cannot be encoded as {encoding or 'ascii'}{where}: pass an encoding, or bytes"
            ) from None
    elif isinstance(text, bytes):
        encoded = text
    else:
        raise TypeError(f"header {kind}{name!r} must be str or bytes, got {type(text).__name__}")
    _refuse_forbidden(kind, name, encoded)
    return encoded


def _encode_name(name: Union[str, bytes], encoding: Optional[str]) -> bytes:
    if type(name) is str and name.isascii():
        return _SENT[name]
    return _encode("name ", name, name, encoding)


def _encode_value(name: Union[str, bytes], value: Union[str, bytes], encoding: Optional[str]) -> bytes:
    # Printable ASCII, which is nearly every value, needs no search: 0.1 µs instead of 0.4. The user's
    # encoding (UTF-16, for instance) may turn harmless text into a newline, so the search is for the bytes.
    if encoding is None and type(value) is str and value.isascii() and value.isprintable():
        return value.encode()
    return _encode("", name, value, encoding)


def _encode_fields(headers: HeaderTypes, encoding: Optional[str]) -> list[tuple[bytes, bytes]]:
    """Return the name and value bytes of any argument of `Headers`; always a new list."""
    if isinstance(headers, Headers):
        return headers._raw.copy()
    pairs: Iterable[Any] = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, (str, bytes)):
        if not pairs:  # treated as none, as in 0.28.1
            return []
        raise TypeError(f"headers must be a mapping or an iterable of pairs, got {type(pairs).__name__}")
    try:
        return [(_encode_name(name, encoding), _encode_value(name, value, encoding)) for name, value in pairs]
    except ValueError as exc:  # from the unpacking; the rest raises other exceptions
        raise TypeError("headers as an iterable must hold pairs of name and value") from exc


def _check_encoding(encoding: str) -> None:
    """Raise LookupError for a name that is not a text encoding; some fail only when they are used."""
    try:
        "a".encode(encoding)
        b"\xff".decode(encoding, "replace")  # before Python 3.13 `punycode` raises, even with "replace"
    except ValueError:  # UnicodeError, too: `idna` and `undefined`
        raise LookupError(f"encoding must be a text encoding that can decode header fields, got {encoding!a}") from None


class Headers(MutableMapping[str, str]):
    """
    A mapping of header fields that ignores the case of names and keeps repeated fields.

        headers = Headers([("Accept", "text/html"), ("accept", "text/plain")])
        headers["ACCEPT"] == "text/html, text/plain"
        headers.get_list("accept") == ["text/html", "text/plain"]
        headers.raw == [(b"Accept", b"text/html"), (b"accept", b"text/plain")]

    As a mapping it has each name once, in lower case, with the values of repeated fields joined by ", " (RFC 9110,
    section 5.3); only `len()` counts every field. `multi_items()` and `raw` show them one by one.

    Args:
        headers: `None`, another `Headers`, a mapping, or an iterable of pairs; names and values are str or bytes.
        encoding: of str arguments and results. By default arguments are ASCII, and results are decoded as described
        at `encoding`.

    Raises:
        TypeError: a name or a value is neither str nor bytes, or `headers` has another form.
        LocalProtocolError: a name or value contains CR, LF or NUL, or cannot be encoded.
        LookupError: Python does not have this text encoding.
    """

    __slots__ = ("__weakref__", "_encoding", "_index", "_raw")

    _raw: list[tuple[bytes, bytes]]
    _index: Optional[dict[bytes, bytes]]
    _encoding: Optional[str]  # the user's choice; one found from the fields is not kept, because they change

    def __init__(self, headers: Optional[HeaderTypes] = None, encoding: Optional[str] = None) -> None:
        if encoding is not None:
            _check_encoding(encoding)  # an unknown name raises here, not at the first look-up
        self._raw = [] if headers is None else _encode_fields(headers, encoding)
        self._index = None
        self._encoding = encoding

    # -- for the rest of the package, in bytes

    @classmethod
    def _from_raw(cls, raw: list[tuple[bytes, bytes]], encoding: Optional[str] = None) -> Headers:
        """
        Return headers that own `raw` afterwards: neither it nor `encoding` is copied or checked.

        For fields that passed the parser of the wire, and for fields made by this package.
        """
        self = _new(cls)
        self._raw = raw
        self._index = None
        self._encoding = encoding
        return self

    def _has(self, name: bytes) -> bool:
        """Return whether there is a field of this name, given in lower case."""
        return name in (self._index or self._make_index())

    def _get(self, name: bytes) -> Optional[bytes]:
        """Return the value of the first field of this name, given in lower case, or `None`."""
        return (self._index or self._make_index()).get(name)

    def _get_all(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of this name, given in lower case, in their order."""
        index = self._index or self._make_index()
        if name not in index:
            return []
        if len(index) == len(self._raw):
            return [index[name]]
        return [value for field, value in self._raw if LOWER[field] == name]

    @property
    def _list(self) -> list[tuple[bytes, bytes, bytes]]:
        """Return `(name as given, lower-case name, value)` of every field; pytest_httpx reads it."""
        return [(name, LOWER[name], value) for name, value in self._raw]

    def _make_index(self) -> dict[bytes, bytes]:
        # Backwards, so that of several fields with one name the first stays.
        self._index = index = {LOWER[name]: value for name, value in reversed(self._raw)}
        return index

    # -- text

    @property
    def encoding(self) -> str:
        """
        Return the encoding in which names and values are shown.

        The encoding that was given or set; else "ascii", "utf-8" or "iso-8859-1", the first that can decode all fields.
        Set it to `None` to go back to that. An unknown encoding raises `LookupError`. Bytes that are invalid in an
        encoding that was set are shown as U+FFFD.
        """
        if self._encoding is not None:
            return self._encoding
        # Joined by a newline, which is never part of a UTF-8 sequence, so that a sequence cannot cross two values.
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
        """Return `_text` for many fields: it looks for the encoding once, not once for each field."""
        if self._encoding is None and all(name.isascii() and value.isascii() for name, value in self._raw):
            return bytes.decode
        encoding = self.encoding
        return lambda raw: raw.decode(encoding, "replace")

    def _lower(self, key: object) -> Optional[bytes]:
        """Return the index's name for `key`, or `None` if a field cannot have this name."""
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
        """Return the name and value of every field, as sent or received, in a new list."""
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
        """Return the value under `key`, several joined by ", "; `default` if there is none."""
        try:
            return self[key]
        except KeyError:
            return default

    def get_list(self, key: str, split_commas: bool = False) -> list[str]:
        """
        Return the values of all fields named `key`, one by one; empty if there is none.

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
        """Return the names in lower case, each once."""
        text = self._reader()
        return dict.fromkeys([text(LOWER[name]) for name, _ in self._raw]).keys()

    def values(self) -> ValuesView[str]:
        """Return the values, those of repeated fields joined by ", "."""
        return self._merged().values()

    def items(self) -> ItemsView[str, str]:
        """Return lower-case names with their values, those of repeated fields joined by ", "."""
        return self._merged().items()

    def multi_items(self) -> list[tuple[str, str]]:
        """Return lower-case name and value of every field; repeated names are repeated."""
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
        Add all of `headers`, any argument that `Headers(...)` accepts.

        Fields of the same names are removed and the new ones go to the end, repetitions included. Raises what the
        constructor raises, and changes nothing then.
        """
        if headers is None:
            return
        added = _encode_fields(headers, self._encoding)
        names = {LOWER[name] for name, _ in added}
        self._raw = [field for field in self._raw if LOWER[field[0]] not in names] + added
        self._index = None

    # Operators, as those of dictionaries.

    def __or__(self, other: Mapping[str, str]) -> Headers:
        """Return a copy that is updated with `other`, a mapping."""
        if not isinstance(other, Mapping):
            return NotImplemented
        merged = self.copy()
        merged.update(other)
        return merged

    def __ror__(self, other: Mapping[str, str]) -> Headers:
        """Return headers of the mapping `other`, updated with these."""
        if not isinstance(other, Mapping):
            return NotImplemented
        merged = Headers(other, self._encoding)
        merged.update(self)
        return merged

    def __ior__(self, other: Optional[HeaderTypes]) -> Headers:
        """Update these headers, and return them."""
        self.update(other)
        return self

    # -- the object itself

    def copy(self) -> Headers:
        """Return an independent copy with the same fields and encoding."""
        new = _new(Headers)
        new._raw = self._raw.copy()
        new._index = self._index
        new._encoding = self._encoding
        return new

    def __eq__(self, other: object) -> bool:
        """Return whether `other`, any argument of `Headers(...)`, has the same fields; order and case are ignored."""
        if other is None:
            return NotImplemented
        try:
            fields = _encode_fields(other, self.encoding)  # type: ignore[arg-type]  # other types raise
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
        # `copy.copy` uses it too: with a shared list, changes of one object would break the other's index.
        return _rebuild, (type(self), self._raw.copy(), self._encoding), getattr(self, "__dict__", None)


def without_secrets(name: str, value: str) -> str:
    """Return the text of a value for `repr`, which ends up in logs and in the tracebacks of test runners."""
    if is_secret_field(name):
        return HIDDEN
    if name in ADDRESS_FIELDS:
        from ._urls import redacted_address  # only where headers are shown

        return redacted_address(value)
    return value


def _rebuild(cls: type[Headers], raw: list[tuple[bytes, bytes]], encoding: Optional[str]) -> Headers:
    return cls._from_raw(raw, encoding)


_new = Headers.__new__  # a global saves one attribute look-up for each response
