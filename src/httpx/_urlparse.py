"""
From a string to the validated parts of a URL, and from parts to a string.

    urlparse(text)           -> ParseResult    the whole string, checked, encoded, normalised
    replace(parts, given)    -> ParseResult    some components replaced, checked as strictly
    resolve(base, reference) -> ParseResult    RFC 3986, section 5.2
    str(parts)               -> text           parsing it again gives equal parts

The grammar is RFC 3986, read as in its appendix B, so that nearly every string has parts. The characters of a part come
from the WHATWG URL standard's percent-encode sets: other characters are encoded as UTF-8; escapes stay, and so does
a `%` that does not start one. Hosts are IPv4, IPv6 in brackets, or names; names that are not ASCII go through IDNA 2008
and, where that refuses a name that browsers accept, through UTS 46.

`urlparse` has a fast path. Nearly all URLs that programs write are lower-case, encoded and complete, and one regular
expression both splits and validates them (`_PLAIN`). All others take the slow path, which is the definition;
the tests compare the two.

Refused with `InvalidURL`, which names reason and position (counted from 0, in the string or in the component): control
characters, lone surrogates, a backslash in the authority (browsers read it as a slash, so two programs would see two
hosts), an escaped delimiter in a host, ports above 65535, invalid addresses, names longer than 253 characters or with a
label longer than 63, and strings longer than 65,536 characters.
The messages never quote the authority, which may contain a mistyped password.

Not here: the public classes, types of components, secrets (`_urls`); supported schemes (transports).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional, Union

from ._exceptions import InvalidURL
from ._utils import lazy_pattern

MAX_LENGTH = 65_536  # characters, of the string and of each component; 0.28.1's limit
DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
# The scheme of a WebSocket (RFC 6455 3) beside that of the same origin's pages, and back.
WEBSOCKET_SCHEMES: Mapping[str, str] = {"http": "ws", "https": "wss"}
PAGE_SCHEMES: Mapping[str, str] = {"ws": "http", "wss": "https"}

# The WHATWG percent-encode sets, printable ASCII only: controls are refused (or encoded, in a user name), and non-ASCII
# characters are encoded everywhere. `^` in a path and `'` in a query stay, as in 0.28.1: both sides of a signature
# must see the same text.
_QUERY_SET = ' "#<>'
_FRAGMENT_SET = ' "<>`'
_PATH_SET = _QUERY_SET + "?`{}"
_USERINFO_SET = _PATH_SET + "/;=@[\\]^|"
_CREDENTIAL_SET = _USERINFO_SET + ":%"  # one half of the userinfo as plain text: a colon would end it
_HOST_SET = " <>^"  # the other delimiters are refused there


def _needs_encoding(encode_set: str) -> str:
    """Return a pattern for characters to encode: those of the set, controls and non-ASCII."""
    # A negated class of the few characters that stay: a class with all of Unicode takes 3 ms to compile.
    plain = "".join(re.escape(chr(code)) for code in range(0x20, 0x7F) if chr(code) not in encode_set)
    return rf"[^{plain}]+"


def _encoded(encode_set: str) -> str:
    """Return a pattern for text that needs no encoding."""
    return "[" + "".join(re.escape(chr(code)) for code in range(0x21, 0x7F) if chr(code) not in encode_set) + "]*"


_IN_QUERY = lazy_pattern(_needs_encoding(_QUERY_SET))
_IN_FRAGMENT = lazy_pattern(_needs_encoding(_FRAGMENT_SET))
_IN_PATH = lazy_pattern(_needs_encoding(_PATH_SET))
_IN_USERINFO = lazy_pattern(_needs_encoding(_USERINFO_SET))
_IN_CREDENTIAL = lazy_pattern(_needs_encoding(_CREDENTIAL_SET))
# In a host a `%` that does not start an escape is encoded: a host is decoded and compared, and must have one meaning.
_IN_HOST = lazy_pattern(_needs_encoding(_HOST_SET) + "|%(?![0-9A-Fa-f]{2})")
_IN_FORM = lazy_pattern(r"[^A-Za-z0-9_.~-]+")

# The fast path: a scheme with a known port, a lower-case name or IPv4 address, everything already encoded.
_PLAIN = lazy_pattern(
    r"(https?|wss?|ftp)://([a-z0-9_][a-z0-9._-]*)(?::([1-9][0-9]{0,4}))?"
    rf"((?:/{_encoded(_PATH_SET)})?)(?:\?({_encoded(_QUERY_SET)}))?(?:#({_encoded(_FRAGMENT_SET)}))?"
)
# The slow path: RFC 3986, appendix B, with the scheme held to its grammar. It matches every string. An empty scheme
# before "://" is read as no scheme, as in 0.28.1.
_SPLIT = lazy_pattern(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):|:(?=//))?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?",
    re.DOTALL,
)
_SCHEME = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.-]*")
_SCHEME_LIKE = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.-]*:")
_FORBIDDEN = lazy_pattern("[\x00-\x1f\x7f\ud800-\udfff]")
_SURROGATE = lazy_pattern("[\ud800-\udfff]")
_NOT_IN_HOST = lazy_pattern(r"[\\/?#@:\[\]]")
# The same and controls, escaped: a proxy that decodes them would see another host. Names that need them belong to
# other schemes only (`http+unix://%2Frun%2Fdocker.sock/`).
_HIDDEN_IN_HOST = lazy_pattern(r"%(?:[01][0-9A-Fa-f]|2[3Ff]|3[AaFf]|40|5[BbCcDd]|7[Ff])")
_IPV4_SHAPE = lazy_pattern(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = lazy_pattern(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_ZONE = lazy_pattern(r"%(?:25|(?!25))[A-Za-z0-9._~-]+")  # RFC 6874, and the bare `%` that users write
_DIGITS = lazy_pattern(r"[0-9]+")
_ASCII_NOT_IN_LABEL = lazy_pattern(r"[\x00-,./:-^`{-\x7f]")

_MAX_NAME = 253  # RFC 1035, 2.3.4, written with dots and without the last one
_MAX_LABEL = 63


class ParseResult(NamedTuple):
    """
    The parts of a URL, each encoded and normalised, all of them ASCII.

    `userinfo` has no `@`, `host` no brackets; both are `""` when absent. `port` is `None` when absent or the scheme's
    default. `path` is as given, `""` when empty. `query` and `fragment` tell `None` (absent) from `""` (a `?` or `#`
    with nothing after it).
    """

    scheme: str
    userinfo: str
    host: str
    port: Optional[int]
    path: str
    query: Optional[str]
    fragment: Optional[str]

    @property
    def netloc(self) -> str:
        """`host[:port]`, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def host_field(self) -> str:
        """Return the value of a Host field: `netloc` without the zone of an IPv6 address (RFC 6874, section 1)."""
        if ":" not in self.host or "%" not in self.host:
            return self.netloc
        return self._replace(host=self.host.partition("%")[0]).netloc

    @property
    def authority(self) -> str:
        """`[userinfo@]host[:port]`."""
        return f"{self.userinfo}@{self.netloc}" if self.userinfo else self.netloc

    @property
    def target(self) -> str:
        """Return path and query, as in an HTTP request line; `/` for an empty path."""
        path = self.path or "/"
        return path if self.query is None else f"{path}?{self.query}"

    def __str__(self) -> str:
        authority = self.authority
        text = f"{self.scheme}:" if self.scheme else ""
        # After an empty authority a path `//x` would itself be read as an authority.
        if authority or self.path.startswith("//"):
            text += f"//{authority}"
        text += self.path
        if self.query is not None:
            text += f"?{self.query}"
        if self.fragment is not None:
            text += f"#{self.fragment}"
        return text


def urlparse(url: str) -> ParseResult:
    """
    Return the parts of a URL or of a relative reference.

    Args:
        url: at most 65,536 characters. `""` is a legal (relative) reference.

    Raises:
        InvalidURL: for the reasons in this module's docstring only.

    RFC 3986, sections 3 and 4.1; default ports are dropped (6.2.3), dot segments of rooted paths are resolved
    (6.2.2.3).
    """
    match = _PLAIN.fullmatch(url) if len(url) <= MAX_LENGTH else None
    if match is None:
        return _parse(url)
    scheme, host, port, path, query, fragment = match.groups()
    number = None
    if port is not None:
        number = _port(port, match.start(3))
        if number == DEFAULT_PORTS[scheme]:
            number = None
    if "/." in path:
        path = remove_dot_segments(path)
    if host[-1] <= "9":  # a digit (or a dot): it could be an address
        _check_ipv4(host, match.start(2))
    if len(host) > _MAX_LABEL:
        _check_lengths(host)
    return ParseResult(scheme, "", host, number, path, query, fragment)


def _parse(url: str) -> ParseResult:
    """Return the result of `urlparse` by the slow path, which accepts every string."""
    _check_text(url, "url")
    match = _SPLIT.fullmatch(url)
    assert match is not None  # matches always: every part may be empty, and together they allow every character
    scheme, authority, path, query, fragment = match.groups()
    userinfo, host, port = _parse_authority(authority, match.start(2)) if authority else ("", "", None)
    return _assemble(
        scheme.lower() if scheme else "",
        userinfo,
        host,
        port,
        _encode(path, _IN_PATH),
        None if query is None else _encode(query, _IN_QUERY),
        None if fragment is None else _encode(fragment, _IN_FRAGMENT),
    )


def replace(parts: ParseResult, given: Mapping[str, Any]) -> ParseResult:
    """
    Return `parts` with some components replaced.

    Args:
        given: component -> text (`port`: an int), `None` for none. The components are those of `ParseResult` and
            `netloc`, which sets host and port; if two set the same part, the later one wins.

    Raises:
        InvalidURL: a component is invalid, alone or together with the others.
    """
    values = parts._asdict()
    for name, value in given.items():
        if name == "netloc":
            values["host"], values["port"] = _netloc_component(value)
        else:
            values[name] = _COMPONENTS[name](value)
    if "path" in given and values["path"].startswith(":") and not (values["scheme"] or values["host"]):
        raise InvalidURL("the path of a relative url cannot begin with ':' (RFC 3986, section 4.2)")
    return _assemble(**values)


def resolve(base: ParseResult, reference: ParseResult) -> ParseResult:
    """
    Return the URL of `reference` in a document at `base`.

    A reference that repeats the scheme of the base without an authority (`http:page`) is read as relative, as browsers
    do and section 5.2.2 permits. Where the base is relative, which the RFC leaves open, `..` stops at its start.

    Raises:
        InvalidURL: both are relative and the result would begin with `//`.

    RFC 3986, section 5.2.
    """
    if reference.scheme and (reference.scheme != base.scheme or reference.authority):
        return reference
    authority = base
    path, query = reference.path, reference.query
    if reference.authority:
        authority = reference
    elif not path:
        path = base.path
        query = base.query if query is None else query
    else:
        path = remove_dot_segments(path if path.startswith("/") else _merge(base, path))
    return _assemble(base.scheme, authority.userinfo, authority.host, authority.port, path, query, reference.fragment)


def _merge(base: ParseResult, path: str) -> str:
    """Return the base's path up to its last slash, then `path` (RFC 3986, section 5.2.3)."""
    if not base.path and base.authority:
        return f"/{path}"
    return base.path[: base.path.rfind("/") + 1] + path


def remove_dot_segments(path: str) -> str:
    """
    Return `path` without `.` and `..` segments; the result ends in a slash if the last segment named a directory.

    RFC 3986, section 5.2.4. A path without a leading slash does not get one, unlike in the RFC's algorithm.
    """
    rooted = path.startswith("/")
    segments = path[rooted:].split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return ("/" if rooted else "") + "/".join(kept)


def _assemble(
    scheme: str,
    userinfo: str,
    host: str,
    port: int | None,
    path: str,
    query: str | None,
    fragment: str | None,
) -> ParseResult:
    """Return parts from valid components, after checking the rules that concern several of them."""
    if port is not None and port == DEFAULT_PORTS.get(scheme):
        port = None
    has_authority = bool(userinfo or host or port is not None)
    rooted = path.startswith("/")
    if "%" in host and ":" not in host and scheme in DEFAULT_PORTS and _HIDDEN_IN_HOST.search(host):
        raise InvalidURL("the host of the url holds an escaped control character or delimiter")
    if len(host) > _MAX_LABEL and ":" not in host and scheme in DEFAULT_PORTS:
        _check_lengths(host)
    if has_authority and path and not rooted:
        raise InvalidURL("the path of a url with a host must be empty or begin with '/' (RFC 3986, section 3.3)")
    if not scheme and not has_authority:
        if path.startswith("//"):
            raise InvalidURL("the path of a relative url cannot begin with '//' (RFC 3986, section 4.2)")
        if _SCHEME_LIKE.match(path):
            path = f"./{path}"  # RFC 3986, section 4.2: or its first segment would be read as a scheme
    elif rooted and "/." in path:
        # Without a leading slash the path is opaque (`mailto:`), or relative in disguise (`http:../x`).
        path = remove_dot_segments(path)
    return ParseResult(scheme, userinfo, host, port, path, query, fragment)


def _check_text(text: str, where: str) -> None:
    """Refuse text that is not allowed in any part of a URL."""
    if len(text) > MAX_LENGTH:
        raise InvalidURL(f"{where} is {len(text)} characters long, at most {MAX_LENGTH} are allowed")
    found = _FORBIDDEN.search(text)
    if found is not None:
        kind = "a lone surrogate" if found[0] >= "\ud800" else "a non-printable ASCII character"
        raise InvalidURL(f"{where} holds {kind}, {found[0]!a}, at position {found.start()}")


def _escape(match: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in match[0].encode()])


def _encode(text: str, unsafe: re.Pattern[str]) -> str:
    return unsafe.sub(_escape, text)


def encode_credential(text: str, where: str) -> str:
    """
    Return a user name or a password as written in a URL: each delimiter, control character and `%` encoded.

    Raises:
        InvalidURL: too long, or a lone surrogate; the message does not quote the text.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidURL(f"{where} is {len(text)} characters long, at most {MAX_LENGTH} are allowed")
    found = _SURROGATE.search(text)
    if found is not None:
        raise InvalidURL(f"{where} holds a lone surrogate at position {found.start()}")
    return _encode(text, _IN_CREDENTIAL)


def encode_form(text: str) -> str:
    """
    Return `text` as a name or value of application/x-www-form-urlencoded: a space is `+`, `%` is always encoded.

    Raises:
        InvalidURL: a lone surrogate, which has no UTF-8 form.

    Like `urllib.parse.quote_plus`, four times as fast for text that needs no encoding.
    """
    if _IN_FORM.search(text) is None:
        return text
    found = _SURROGATE.search(text)
    if found is not None:
        raise InvalidURL(f"a query parameter holds a lone surrogate at position {found.start()}")
    return _IN_FORM.sub(_escape, text).replace("%20", "+")


def _parse_authority(text: str, at: int) -> tuple[str, str, int | None]:
    """Return (userinfo, host, port) of an authority at position `at`."""
    backslash = text.find("\\")
    if backslash >= 0:
        raise InvalidURL(f"url has a backslash in its authority at position {at + backslash}")
    userinfo, _, rest = text.rpartition("@")
    host, port = _parse_netloc(rest, at + len(text) - len(rest))
    return _encode(userinfo, _IN_USERINFO), host, port


def _parse_netloc(text: str, at: int) -> tuple[str, int | None]:
    """Return (host, port) of `host[:port]`."""
    if text.startswith("["):
        end = text.find("]")
        host, rest = text[: end + 1], text[end + 1 :]
        if end < 0 or (rest and not rest.startswith(":")):
            raise InvalidURL(f"url has an IPv6 address that is not closed, or not followed by a port, at position {at}")
        port = _port(rest[1:], at + end + 2)  # before the host, as below
        return _check_ipv6(host[1:-1], at), port
    host, _, rest = text.partition(":")
    # The port first: in `http://user:pass/word@host` the port is invalid, and the message does not quote the host.
    number = _port(rest, at + len(host) + 1)
    return _check_host(host, at), number


def _port(text: str, at: int) -> int | None:
    """Return a port number, `None` for the empty string. Never quoted: it may be a password that contains a slash."""
    if not text:
        return None
    if _DIGITS.fullmatch(text):
        digits = text.lstrip("0") or "0"
        # The length first: int() raises ValueError for thousands of digits.
        if len(digits) <= 5 and int(digits) <= 65535:
            return int(digits)
    raise InvalidURL(f"invalid port at position {at}, expected a number from 0 to 65535")


def _check_host(host: str, at: int) -> str:
    """Return a name or an IPv4 address: lower case, ASCII, encoded."""
    if not host.isascii():
        host = _encode_name(host, at)
    found = _NOT_IN_HOST.search(host)
    if found is not None:
        raise InvalidURL(f"host holds {found[0]!r} at position {at + found.start()}")
    host = _encode(host, _IN_HOST).lower()
    _check_ipv4(host, at)
    return host


def _check_ipv4(host: str, at: int) -> None:
    """Refuse four numbers that are not an address. Other spellings of addresses (`0x7f.1`) are names, as in 0.28.1."""
    if _IPV4_SHAPE.fullmatch(host) and not _IPV4.fullmatch(host):
        raise InvalidURL(
            f"invalid IPv4 address at position {at}, expected four numbers from 0 to 255 without leading zeros"
        )


def _check_lengths(host: str) -> None:
    """Refuse a name that is too long for the DNS. Hosts of other schemes may be longer, such as paths of sockets."""
    name = host[:-1] if host.endswith(".") else host
    if len(name) > _MAX_NAME:
        raise InvalidURL(f"the host of the url is {len(name)} characters long, at most {_MAX_NAME} are allowed")
    longest = max(map(len, name.split(".")))
    if longest > _MAX_LABEL:
        raise InvalidURL(
            f"a label of the url's host is {longest} characters long, at most {_MAX_LABEL} are allowed between two dots"
        )


def _check_ipv6(address: str, at: int) -> str:
    """Return the text between the brackets, unchanged, if it is an address, maybe with a zone (RFC 6874)."""
    import ipaddress  # most URLs have no IPv6 address

    plain, percent, zone = address.partition("%")
    try:
        ipaddress.IPv6Address(plain)
    except ValueError:
        raise InvalidURL(f"invalid IPv6 address at position {at}") from None
    if percent and not _ZONE.fullmatch(percent + zone):
        raise InvalidURL(f"invalid zone of an IPv6 address at position {at}")
    return address


def _encode_name(host: str, at: int) -> str:
    """
    Return the ASCII form of an international domain name.

    IDNA 2008 first, for the same results as 0.28.1; UTS 46 (non-transitional, as in browsers) only for names that
    it refuses: capital and wide letters, symbols such as emoji, underscores.
    """
    if len(host) > _MAX_NAME:  # before `idna`, whose checks are not linear in time
        raise InvalidURL(f"host at position {at} is longer than {_MAX_NAME} characters")
    import idna  # importing its tables takes milliseconds, and few hosts need them

    try:
        return idna.encode(host.lower()).decode("ascii")
    except ValueError:  # IDNAError is a UnicodeError, which is a ValueError
        pass
    try:
        return _encode_name_uts46(host)
    except ValueError:
        raise InvalidURL(
            f"invalid international domain name {host[:20]!r} at position {at} (refused by IDNA 2008 and UTS 46)"
        ) from None


def _encode_name_uts46(host: str) -> str:
    """
    Return UTS 46 ToASCII with the flags of the WHATWG standard, except that empty labels are refused.

    Raises:
        ValueError: the name is invalid; `idna.IDNAError` is a ValueError, too.
    """
    import idna

    mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
    labels = mapped.split(".")
    dot = "." if len(labels) > 1 and not labels[-1] else ""
    if dot:
        del labels[-1]
    name = ".".join(map(_encode_label, labels))
    if len(name) > _MAX_NAME:
        raise ValueError("name too long")
    return name + dot


def _encode_label(label: str) -> str:
    """Return one label that `uts46_remap` has mapped, as ASCII. Raises ValueError like `_encode_name_uts46`."""
    import idna

    # Mapping can produce delimiters: U+2100 becomes `a/c`.
    if not label or _ASCII_NOT_IN_LABEL.search(label):
        raise ValueError("empty label, or a character that is not allowed in a host")
    encoded = label
    if not label.isascii():
        if label.startswith("xn--"):
            raise ValueError("looks encoded, but is not ASCII")
        idna.check_initial_combiner(label)
        idna.check_bidi(label)
        if any(char in "\u200c\u200d" and not idna.valid_contextj(label, i) for i, char in enumerate(label)):
            raise ValueError("joiner out of context")
        encoded = "xn--" + label.encode("punycode").decode("ascii")
    if len(encoded) > _MAX_LABEL:
        raise ValueError("label too long")
    return encoded


def decode_name(host: str) -> str:
    """
    Return `host` for display: labels encoded by IDNA in their Unicode form.

    A label is decoded only if it encodes to the same text again, alone and in the whole host, so that two hosts never
    look the same and `copy_with(host=url.host)` changes nothing. Never raises.
    """
    if "xn--" not in host:
        return host
    labels = [_decode_label(label) if label.startswith("xn--") else label for label in host.split(".")]
    return ".".join(labels) if _encodes_to(".".join(labels), host) else host


def _decode_label(label: str) -> str:
    if len(label) > _MAX_LABEL:  # decoding is quadratic in time
        return label
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
    except ValueError:
        return label
    return decoded if _encodes_to(decoded, label) else label


def _encodes_to(decoded: str, encoded: str) -> bool:
    try:
        return not decoded.isascii() and _encode_name(decoded, 0) == encoded
    except InvalidURL:
        return False


def _scheme_component(value: str | None) -> str:
    if not value:
        return ""
    _check_text(value, "scheme")
    if not _SCHEME.fullmatch(value):
        raise InvalidURL("scheme must be a letter followed by letters, digits, '+', '-' or '.'")
    return value.lower()


def _userinfo_component(value: str | None) -> str:
    _check_text(value or "", "userinfo")
    if "@" in (value or ""):
        raise InvalidURL("userinfo cannot hold '@', write it as '%40'")
    return _encode(value or "", _IN_USERINFO)


def _host_component(value: str | None) -> str:
    _check_text(value or "", "host")
    if not value:
        return ""
    if value.startswith("[") and value.endswith("]"):
        return _check_ipv6(value[1:-1], 0)
    return _check_ipv6(value, 0) if ":" in value else _check_host(value, 0)


def _port_component(value: int | None) -> int | None:
    if value is None:
        return None
    if value is True or value is False or not 0 <= value <= 65535:
        # The repr of a number with thousands of digits raises ValueError.
        if abs(value) >= 10**9:
            raise InvalidURL("port is too large, expected a number from 0 to 65535")
        raise InvalidURL(f"invalid port {value!r}, expected a number from 0 to 65535")
    return int(value)


def _netloc_component(value: str | None) -> tuple[str, int | None]:
    _check_text(value or "", "netloc")
    return _parse_netloc(value or "", 0)


def _path_component(value: str | None) -> str:
    _check_text(value or "", "path")
    if "?" in (value or "") or "#" in (value or ""):
        raise InvalidURL("path cannot hold '?' or '#', write them as '%3F' and '%23'")
    return _encode(value or "", _IN_PATH)


def _query_component(value: str | None) -> str | None:
    if value is None:
        return None
    _check_text(value, "query")
    if "#" in value:
        raise InvalidURL("query cannot hold '#', write it as '%23'")
    return _encode(value, _IN_QUERY)


def _fragment_component(value: str | None) -> str | None:
    if value is None:
        return None
    _check_text(value, "fragment")
    return _encode(value, _IN_FRAGMENT)


_COMPONENTS: Mapping[str, Callable[[Any], Union[str, int, None]]] = {
    "scheme": _scheme_component,
    "userinfo": _userinfo_component,
    "host": _host_component,
    "port": _port_component,
    "path": _path_component,
    "query": _query_component,
    "fragment": _fragment_component,
}
