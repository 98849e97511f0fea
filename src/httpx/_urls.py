"""
`URL` and `QueryParams`: immutable values around the parts from `_urlparse`.

A client often requests the same few URLs, so the parts that a request needs are computed once:

    url_of(text)        -> URL                 the same object for the same text, from a bounded cache
    url._target         -> bytes               path and query, for the request line (as `raw_path`)
    url._host_field     -> (bytes, bytes)      the Host field: its name, host and port
    url._origin         -> (str, str, int)     scheme, ASCII host without brackets, port: where to connect
    url._userinfo       -> str                 user and password, still encoded, or "": the credentials
    url._redacted()     -> str                 the text without secrets, for logs and messages

The attributes are slots that stay empty until the first access: Python then calls `__getattr__`, which fills them, and
later accesses cost the same as any attribute (0.02 µs). Two threads with a simultaneous first access
compute the same value twice, which is harmless.

**Secrets.** `repr(url)`, `repr(params)` and `url._redacted()` show `[secure]` for the password and for the value of
each parameter in the query and the fragment whose name looks secret (`_secrets`): OAuth's implicit flow returns
tokens in the fragment. `str(url)` is the full text.

Not here: the grammar (`_urlparse`), a client's `base_url` (`_base_client`).
"""

from __future__ import annotations

import warnings
from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from ._exceptions import InvalidURL
from ._secrets import HIDDEN, hide_in_address, hide_parameters, looks_secret
from ._urlparse import (
    DEFAULT_PORTS,
    ParseResult,
    decode_name,
    encode_credential,
    encode_form,
    replace,
    resolve,
    urlparse,
)
from ._utils import percent_decoded, primitive_to_str

if TYPE_CHECKING:
    from ._origins import Origin
    from ._types import PrimitiveData, QueryParamTypes


def _hide(parts: ParseResult) -> ParseResult:
    username, colon, _ = parts.userinfo.partition(":")
    return parts._replace(
        userinfo=f"{username}:{HIDDEN}" if colon else username,
        query=None if parts.query is None else hide_parameters(parts.query),
        fragment=None if parts.fragment is None else hide_parameters(parts.fragment),
    )


def redacted_address(text: str) -> str:
    """Return the text of a header field that should contain a URL, valid or not, without its secrets."""
    try:
        return url_of(text)._redacted()
    except InvalidURL:
        return hide_in_address(text)


def _origin_of(parts: ParseResult) -> tuple[str, str, int]:
    port = DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    # A zone is written `%25eth0` in a URL (RFC 6874) and `%eth0` everywhere else.
    host = parts.host.replace("%25", "%", 1) if ":" in parts.host else parts.host
    return parts.scheme, host, port


class RawURL(NamedTuple):
    """The value of the deprecated `URL.raw`."""

    raw_scheme: bytes
    raw_host: bytes
    port: Optional[int]
    raw_path: bytes


_COMPONENT_TYPES: Mapping[str, type] = {
    "scheme": str,
    "username": str,
    "password": str,
    "userinfo": bytes,
    "host": str,
    "port": int,
    "netloc": bytes,
    "path": str,
    "query": bytes,
    "raw_path": bytes,
    "fragment": str,
    "params": object,
}


def _check_types(components: Mapping[str, Any]) -> None:
    for name, value in components.items():
        expected = _COMPONENT_TYPES.get(name)
        if expected is None:
            raise TypeError(f"URL() has no component {name[:20]!r}, expected one of {', '.join(_COMPONENT_TYPES)}")
        if value is not None and not isinstance(value, expected):
            raise TypeError(f"component {name!r} must be {expected.__name__}, got {type(value).__name__}")


def _text(value: bytes | None) -> str | None:
    """Return the bytes of a component as text, non-ASCII bytes percent-encoded, so that the same bytes are sent."""
    if value is None or value.isascii():
        return None if value is None else value.decode("ascii")
    return "".join([chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in value])


def _netloc_text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError as exc:
        raise InvalidURL(f"netloc is not UTF-8 at position {exc.start}") from None


def _given(components: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the caller's components under the names of `_urlparse.replace`.

    Where components overlap, 0.28.1's precedence: username and password before userinfo, netloc before host and port,
    raw_path before params before path and query.
    """
    _check_types(components)
    given = {name: components[name] for name in ("scheme", "host", "port", "path", "fragment") if name in components}
    if "netloc" in components:
        given["netloc"] = _netloc_text(components["netloc"])  # after host and port: the later one wins
    if "username" in components or "password" in components:
        username = encode_credential(components.get("username") or "", "username")
        password = encode_credential(components.get("password") or "", "password")
        given["userinfo"] = f"{username}:{password}" if password else username
    elif "userinfo" in components:
        given["userinfo"] = _text(components["userinfo"])
    if "query" in components:
        given["query"] = _text(components["query"])
    if "params" in components:
        given["query"] = str(QueryParams(components["params"])) or None
    if "raw_path" in components:
        path, mark, query = (_text(components["raw_path"]) or "").partition("?")
        given["path"], given["query"] = path, query if mark else None
    return given


class URL:
    """
    A URL, or a relative reference to one. Immutable, hashable, equal to its string form.

        url = httpx.URL("https://jo%40example.com:secret@müller.example:8443/päth?q=a b#end")

        url.scheme      "https"                       lower case
        url.username    "jo@example.com"              decoded
        url.password    "secret"                      decoded
        url.userinfo    b"jo%40example.com:secret"
        url.host        "müller.example"              lower case, international names decoded, IPv6 without brackets
        url.raw_host    b"xn--mller-kva.example"
        url.port        8443                          None if absent or the default of the scheme
        url.netloc      b"xn--mller-kva.example:8443" the value of a Host field
        url.path        "/päth"                       decoded, "/" if empty
        url.query       b"q=a%20b"                    b"" if there is none
        url.params      QueryParams("q=a+b")
        url.raw_path    b"/p%C3%A4th?q=a%20b"         path and query, as in the request line
        url.fragment    "end"                         decoded, "" if there is none
        url.origin      Origin(scheme="https", host="müller.example", port=8443)

    Args:
        url: up to 65,536 characters, or another URL.
        **kwargs: components that replace those of `url`, under the names above, and `params` as `QueryParams` takes
            them. `None` removes one. A component must have the type that it has in the list above.

    Raises:
        InvalidURL: the text or a component is invalid; the message says where and why.
        TypeError: `url` is neither a string nor a URL, a component has the wrong type or an unknown name.

    RFC 3986 with the WHATWG percent-encode sets; see `_urlparse`.
    """

    __slots__ = (
        "__weakref__",
        "_host",
        "_host_field",
        "_origin",
        "_params",
        "_safe_text",
        "_target",
        "_text",
        "_uri_reference",
        "_userinfo",
    )

    _uri_reference: ParseResult
    _text: str
    _target: bytes
    _host_field: tuple[bytes, bytes]
    _origin: tuple[str, str, int]
    _userinfo: str
    _host: str
    _params: QueryParams
    _safe_text: str

    def __init__(self, url: URL | str = "", **kwargs: Any) -> None:
        if isinstance(url, str):
            parts = urlparse(url)
        elif isinstance(url, URL):
            parts = url._uri_reference
        else:
            raise TypeError(f"url must be str or httpx.URL, got {type(url).__name__}")
        self._uri_reference = replace(parts, _given(kwargs)) if kwargs else parts

    if not TYPE_CHECKING:  # otherwise a type checker would accept every name as an attribute

        def __getattr__(self, name: str) -> Any:
            """Fill an empty slot; see the module's docstring."""
            make = _LAZY.get(name)
            if make is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = make(self._uri_reference)
            setattr(self, name, value)
            return value

    def _redacted(self) -> str:
        """Return the text without password and without the values of parameters whose names look secret. Cached."""
        return self._safe_text

    @property
    def scheme(self) -> str:
        """Return lower case; `""` for a relative URL."""
        return self._uri_reference.scheme

    @property
    def raw_scheme(self) -> bytes:
        """Return the scheme as bytes."""
        return self._uri_reference.scheme.encode("ascii")

    @property
    def userinfo(self) -> bytes:
        """Return the text before the `@`, percent-encoded; `b""` if there is none."""
        return self._uri_reference.userinfo.encode("ascii")

    @property
    def username(self) -> str:
        """Return the user name, decoded; `""` if there is none."""
        return percent_decoded(self._uri_reference.userinfo.partition(":")[0])

    @property
    def password(self) -> str:
        """Return the password, decoded; `""` if there is none."""
        return percent_decoded(self._uri_reference.userinfo.partition(":")[2])

    @property
    def host(self) -> str:
        """Return the name or address, lower case; IDNA names in Unicode, IPv6 without brackets; `""` if absent."""
        return self._host

    @property
    def raw_host(self) -> bytes:
        """Return the host as it goes over the wire: international names encoded, IPv6 without brackets."""
        return self._uri_reference.host.encode("ascii")

    @property
    def port(self) -> int | None:
        """Return the port; `None` if none is given or it is the default of http, https, ws, wss or ftp."""
        return self._uri_reference.port

    @property
    def netloc(self) -> bytes:
        """`host[:port]` without userinfo, IPv6 in brackets."""
        return self._uri_reference.netloc.encode("ascii")

    @property
    def path(self) -> str:
        """Return the path, decoded; `/` if it is empty. `%2F` is decoded too, so splitting needs `raw_path`."""
        return percent_decoded(self._uri_reference.path or "/")

    @property
    def query(self) -> bytes:
        """Return the text after the `?`, percent-encoded; `b""` if there is none."""
        return (self._uri_reference.query or "").encode("ascii")

    @property
    def params(self) -> QueryParams:
        """Return the query as a multi-dict."""
        return self._params

    @property
    def raw_path(self) -> bytes:
        """Return the path and query as in the request line, percent-encoded; at least `b"/"`."""
        return self._target

    @property
    def fragment(self) -> str:
        """Return the text after the `#`, decoded; `""` if there is none. It is never sent."""
        return percent_decoded(self._uri_reference.fragment or "")

    @property
    def raw(self) -> RawURL:
        """Return (raw_scheme, raw_host, port, raw_path); deprecated."""
        warnings.warn("URL.raw is deprecated, use raw_scheme, raw_host, port and raw_path", DeprecationWarning, 2)
        return RawURL(self.raw_scheme, self.raw_host, self.port, self.raw_path)

    @property
    def is_absolute_url(self) -> bool:
        """Return whether it has a scheme and a host."""
        return bool(self._uri_reference.scheme and self._uri_reference.host)

    @property
    def is_relative_url(self) -> bool:
        """Return whether it needs a base to be requested."""
        return not self.is_absolute_url

    @property
    def origin(self) -> Origin:
        """
        Return scheme, host and port.

        Raises:
            ValueError: it has no scheme or no host.
        """
        from ._origins import Origin  # few programs ask, and it needs this module

        return Origin(self)

    def copy_with(self, **kwargs: Any) -> URL:
        """
        Return a URL with some components replaced: `url.copy_with(username="jo", password="x")`.

        Args:
            **kwargs: as for `URL`. The port goes with `port=None`, the query with `query=None`.

        Raises:
            InvalidURL, TypeError: as for `URL`.
        """
        return type(self)(self, **kwargs)

    def copy_set_param(self, key: str, value: Any = None) -> URL:
        """Return a URL whose query has this value of `key` and no other."""
        return self.copy_with(params=self.params.set(key, value))

    def copy_add_param(self, key: str, value: Any = None) -> URL:
        """Return a URL whose query has this value of `key` in addition."""
        return self.copy_with(params=self.params.add(key, value))

    def copy_remove_param(self, key: str) -> URL:
        """Return a URL without `key` in its query."""
        return self.copy_with(params=self.params.remove(key))

    def copy_merge_params(self, params: QueryParamTypes) -> URL:
        """Return a URL whose query has all of `params`; they replace parameters of the same name."""
        return self.copy_with(params=self.params.merge(params))

    def join(self, url: URL | str) -> URL:
        """
        Return the absolute form of `url` in a document at this URL.

            httpx.URL("https://example.com/a/b").join("../c")  # https://example.com/c

        Raises:
            InvalidURL, TypeError: as for `URL`.

        RFC 3986, section 5.2, with the leniency described at `_urlparse.resolve`.
        """
        joined = object.__new__(type(self))
        joined._uri_reference = resolve(self._uri_reference, url_of(url)._uri_reference)
        return joined

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._safe_text!r})"

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                other = url_of(other)
            except InvalidURL:
                return False
        if isinstance(other, URL):
            return self._text == other._text
        return NotImplemented

    def __reduce__(self) -> tuple[Callable[..., URL], tuple[Any, ...]]:
        # Parts, not text: encoding can make a URL longer than the parser accepts.
        return _restore, (type(self), *self._uri_reference)


def _restore(cls: type[URL], *parts: Any) -> URL:
    """Return a URL from its pickle."""
    url = object.__new__(cls)
    url._uri_reference = ParseResult(*parts)
    return url


def _make_safe_text(parts: ParseResult) -> str:
    if not parts.userinfo and parts.query is None and parts.fragment is None:
        return str(parts)
    return str(_hide(parts))


_LAZY: Mapping[str, Callable[[ParseResult], Any]] = {
    "_text": str,
    "_target": lambda parts: parts.target.encode("ascii"),
    "_host_field": lambda parts: (b"Host", parts.host_field.encode("ascii")),
    "_origin": _origin_of,
    "_userinfo": lambda parts: parts.userinfo,
    "_host": lambda parts: decode_name(parts.host),
    "_params": lambda parts: QueryParams(parts.query),
    "_safe_text": _make_safe_text,
}

_CACHE_SIZE = 1024  # URLs; with their parts about 1 KiB each
_CACHED_LENGTH = 2048  # characters; longer URLs are seldom used twice
_cache: dict[str, URL] = {}


def url_of(url: URL | str) -> URL:
    """
    Return the URL of a string: the same object for the same string, while it is in the cache.

    Returns:
        `url` itself if it is a URL. The cache has at most 1,024 URLs of up to 2,048 characters and is cleared
        when it is full: dropping the oldest is as simple, but finding the first key of a dict that loses
        one at each call gets slower and slower.

    Raises:
        InvalidURL: as for `URL`.
        TypeError: neither a string nor a URL.
    """
    if type(url) is str:
        found = _cache.get(url)
        if found is not None:
            return found
        found = URL(url)
        if len(url) <= _CACHED_LENGTH:
            if len(_cache) >= _CACHE_SIZE:
                _cache.clear()
            _cache[url] = found
        return found
    return url if isinstance(url, URL) else URL(url)


def _field_text(value: Any) -> str:
    """Return the text of a name or of one value. Bytes are decoded as UTF-8; `str` would give their repr."""
    if isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else primitive_to_str(value)


def _field_texts(value: Any) -> list[str]:
    """Return the texts of one value, or of each in a list or tuple."""
    return [_field_text(item) for item in value] if isinstance(value, (list, tuple)) else [_field_text(value)]


def _parse_fields(text: str) -> dict[str, list[str]]:
    """Return the names and values of a form-urlencoded text, with blank values (WHATWG URL, section 5.1)."""
    fields: dict[str, list[str]] = {}
    for field in text.split("&"):
        if field:
            name, _, value = field.partition("=")
            fields.setdefault(percent_decoded(name.replace("+", " ")), []).append(
                percent_decoded(value.replace("+", " "))
            )
    return fields


def _fields_of(params: Any) -> dict[str, list[str]]:
    """Return any of the `QueryParamTypes` as a new dict of lists."""
    if params is None:
        return {}
    if isinstance(params, (str, bytes)):
        return _parse_fields(_field_text(params))
    if isinstance(params, QueryParams):
        return {name: list(values) for name, values in params._dict.items()}
    pairs = params.items() if hasattr(params, "items") else params
    if pairs is params and not isinstance(params, Sequence):
        raise TypeError(f"params must be a str, bytes, a mapping or a list of pairs, got {type(params).__name__}")
    fields: dict[str, list[str]] = {}
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise TypeError(f"params as a list must hold pairs of name and value, got {type(pair).__name__}")
        # A name with an empty list of values is omitted, as in 0.28.1.
        for value in _field_texts(pair[1]):
            fields.setdefault(_name_text(pair[0]), []).append(value)
    return fields


def _name_text(name: Any) -> str:
    """Return a name as text: `None` is "None" (0.28.1), unlike in a value."""
    return _field_text(name) if isinstance(name, (str, bytes)) else str(name)


class QueryParams(Mapping[str, str]):
    """
    An immutable mapping of query parameters, in which a name may have several values.

        params = httpx.QueryParams("a=1&b=2&a=3")
        params["a"]             "1", the first
        params.get_list("a")    ["1", "3"]
        str(params)             "a=1&a=3&b=2"
        params.set("b", None)   QueryParams("a=1&a=3&b=")

    Args:
        *args: nothing, or one of: a query string (a leading `?` is part of the first name), bytes, a mapping whose
            values may be lists or tuples, a list or tuple of pairs, other QueryParams, `None`.
        **kwargs: names and values, instead of *args.

    Values become text: `True` is `true`, `False` is `false`, `None` is empty, bytes are UTF-8, others `str()`. Values
    of the same name are grouped, in the order of the names' first appearance. Two objects are equal if they have the
    same pairs in any order.

    Raises:
        TypeError: more than one argument, or one of another type.
    """

    def __init__(self, *args: QueryParamTypes | None, **kwargs: Any) -> None:
        if len(args) > 1 or (args and kwargs):
            raise TypeError("QueryParams() takes one argument or keywords, not both")
        self._dict = _fields_of(args[0] if args else kwargs)

    def keys(self) -> KeysView[str]:
        """Return the names, each once."""
        return self._dict.keys()

    def values(self) -> ValuesView[str]:
        """Return the first value of each name."""
        return {name: values[0] for name, values in self._dict.items()}.values()

    def items(self) -> ItemsView[str, str]:
        """Return each name with its first value."""
        return {name: values[0] for name, values in self._dict.items()}.items()

    def multi_items(self) -> list[tuple[str, str]]:
        """Return all pairs."""
        return [(name, value) for name, values in self._dict.items() for value in values]

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the first value of `key`, or `default`."""
        values = self._dict.get(key)
        return default if values is None else values[0]

    def get_list(self, key: str) -> list[str]:
        """Return all values of `key`, in order; `[]` if there are none."""
        return list(self._dict.get(key, ()))

    def set(self, key: str, value: PrimitiveData | list[PrimitiveData] = None) -> QueryParams:
        """Return a copy with this value of `key`, or these, and no other."""
        return self._with(key, _field_texts(value))

    def add(self, key: str, value: PrimitiveData | list[PrimitiveData] = None) -> QueryParams:
        """Return a copy with this value of `key`, or these, in addition."""
        return self._with(key, self.get_list(_name_text(key)) + _field_texts(value))

    def remove(self, key: str) -> QueryParams:
        """Return a copy without `key`, which may be absent."""
        return self._with(key, [])

    def merge(self, params: QueryParamTypes | None = None) -> QueryParams:
        """Return a copy with all of `params`, which replace values of the same name."""
        merged = QueryParams()
        merged._dict = {**self._dict, **_fields_of(params)}
        return merged

    def _with(self, key: Any, values: list[str]) -> QueryParams:
        changed = QueryParams()
        changed._dict = {**self._dict, _name_text(key): values}
        if not values:
            del changed._dict[_name_text(key)]
        return changed

    def update(self, params: QueryParamTypes | None = None) -> None:
        """
        Raise RuntimeError: QueryParams cannot be changed.

        Raises:
            RuntimeError: always; the message says what to write instead.
        """
        raise RuntimeError("QueryParams cannot be changed; write `params = params.merge(...)`")

    def __setitem__(self, key: str, value: str) -> None:
        raise RuntimeError("QueryParams cannot be changed; write `params = params.set(name, value)`")

    def __getitem__(self, key: Any) -> str:
        return self._dict[key][0]

    def __contains__(self, key: Any) -> bool:
        return key in self._dict

    def __iter__(self) -> Iterator[Any]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __bool__(self) -> bool:
        return bool(self._dict)

    def __hash__(self) -> int:
        return hash(frozenset(self.multi_items()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QueryParams):
            return False
        return self._dict == other._dict or sorted(self.multi_items()) == sorted(other.multi_items())

    def __str__(self) -> str:
        """
            Return the parameters as application/x-www-form-urlencoded.

        Raises:
            InvalidURL: a name or value holds a lone surrogate.
        """
        return "&".join([f"{encode_form(name)}={encode_form(value)}" for name, value in self.multi_items()])

    def __repr__(self) -> str:
        # Surrogates are replaced: a repr must show the fault, not raise.
        pairs = [(_printable(name), _printable(value)) for name, value in self.multi_items()]
        fields = [f"{encode_form(n)}={HIDDEN if looks_secret(n) else encode_form(v)}" for n, v in pairs]
        return f"QueryParams({'&'.join(fields)!r})"


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
