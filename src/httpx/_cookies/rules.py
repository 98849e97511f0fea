"""
What a Set-Cookie may store, and what a request carries: RFC 6265 and its revision, 6265bis.

Not here: the jar (`storage`), the user's policies (`urllib_views`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from .._exceptions import LocalProtocolError
from .._utils import lazy_pattern
from .dates import parse_date
from .storage import Origin, drop, jar_host, key_of, new_cookie, origin_of, serials, set_origin, stored
from .suffixes import is_public_suffix

if TYPE_CHECKING:
    from http.cookiejar import Cookie, CookieJar

    from .._urls import URL

_MAX_PER_DOMAIN = 180  # cookies; the figure of browsers (6265bis, section 5.7)
_MAX_SIZE = 4096  # bytes of name and value together (6265bis, section 5.6)
_MAX_ATTRIBUTE = 1024  # bytes of an attribute's value (6265bis, section 5.6)
_MAX_ATTRIBUTES = 32  # of one cookie; what comes behind is not looked at, so that a long line cannot fill the jar
_MAX_LIFE = 400 * 86_400  # seconds that a server may have a cookie kept (6265bis, section 5.5)
_MAX_HOST = 260  # characters: 253 of a name, and what a jar adds
_MAX_TIME = 253402300799  # the end of the year 9999, in seconds: what every file format and datetime can hold


class Place(NamedTuple):
    """What of a URL matters for cookies."""

    host: str
    hosts: tuple[str, ...]  # the host as a jar has it; behind it other spellings that a user may have put in
    is_ip: bool
    path: str
    is_secure: bool

    @classmethod
    def of(cls, url: URL) -> Place:
        host = url.raw_host.decode("ascii").lower()
        path = url.raw_path.partition(b"?")[0].decode("ascii")
        last = host.rstrip(".").rpartition(".")[2]
        is_ip = ":" in host or last.isdigit() or last.startswith("0x")
        names = [jar_host(host), host]
        if "xn--" in host:
            names.append(url.host.lower())
        is_secure = url.scheme in ("https", "wss") or _is_loopback(host)
        return cls(host, tuple(dict.fromkeys(names)), is_ip, path if path.startswith("/") else "/", is_secure)

    def domains(self) -> list[str]:
        """Return every `domain` that a cookie for this place can have: the host, its parents, both with a dot, and ""."""
        found = [""]
        for host in self.hosts:
            found += (host, "." + host)
            # A longer host is in no name service, and its parents together are quadratic in its length.
            while not self.is_ip and "." in host and len(host) <= _MAX_HOST:
                host = host.partition(".")[2]
                found += (host, "." + host)
        return list(dict.fromkeys(found))


def _is_loopback(host: str) -> bool:
    """Return whether a plain connection to `host` stays on this machine (Secure Contexts, section 3.1)."""
    name = host.rstrip(".")
    if name in ("localhost", "::1") or name.endswith(".localhost"):
        return True
    numbers = name.split(".")
    return numbers[0] == "127" and len(numbers) == 4 and all(number.isdigit() for number in numbers)


def _path_matches(path: str, asked: str) -> bool:
    """Return whether a cookie for `path` goes to the path `asked` (RFC 6265, section 5.1.4)."""
    return asked.startswith(path) and (path.endswith("/") or asked[len(path) : len(path) + 1] in ("", "/"))


def _default_path(path: str) -> str:
    """Return the path of a cookie that names none: that of the request, up to its last slash (RFC 6265, section 5.1.4)."""
    return path.rpartition("/")[0] or "/"


# -- Set-Cookie: read, judge, store


class _Parsed(NamedTuple):
    name: str
    value: Optional[str]  # None if there was no "="
    attributes: list[tuple[str, Optional[str]]]
    charset: str


# Controls but the tab (6265bis, section 5.6).
_CONTROL = lazy_pattern(r"[\x00-\x08\x0a-\x1f\x7f]")
_ILLEGAL = lazy_pattern(r"[\x00-\x08\x0a-\x1f\x7f;]")


_SECONDS = lazy_pattern(r"-?[0-9]+")


def parse(line: bytes) -> Optional[_Parsed]:
    """
    Name, value and attributes of one Set-Cookie field, or `None` if it is to be ignored.

    Text is UTF-8, or else ISO-8859-1, which reads anything; the charset is kept, to send the same octets back.

    6265bis, section 5.6, with what 0.28.1 did for pairs that lack a part: without a name they are ignored, without
    "=" the value is `None`.
    """
    try:
        text, charset = line.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, charset = line.decode("iso-8859-1"), "iso-8859-1"
    if _CONTROL.search(text):
        return None
    pair, *rest = text.split(";", _MAX_ATTRIBUTES + 1)[: _MAX_ATTRIBUTES + 1]
    name, value = _split(pair)
    if not name or len(name.encode(charset)) + len((value or "").encode(charset)) > _MAX_SIZE:
        return None
    attributes = [_split(part) for part in rest]
    short = [(key, text) for key, text in attributes if key and len(key) + len(text or "") <= _MAX_ATTRIBUTE]
    return _Parsed(name, value, short, charset)


def _split(pair: str) -> tuple[str, Optional[str]]:
    name, equals, value = pair.partition("=")
    return name.strip(" \t"), value.strip(" \t") if equals else None


def judge(parsed: Optional[_Parsed], place: Place, now: int) -> Optional[Cookie]:
    """
    Return the cookie that `place` may set with this field, or `None` if it may not.

    6265bis, section 5.7.
    """
    if parsed is None:
        return None
    known = _known(parsed.attributes)
    domain = _judge_domain(known.get("domain", ""), place)
    if domain is None:
        return None
    path = known.get("path", "")
    secure = "secure" in known
    if secure and not place.is_secure:
        return None  # else a plain response could plant what later goes out over https
    prefixed = parsed.name.lower()
    if prefixed.startswith(("__secure-", "__host-")) and not secure:
        return None
    if prefixed.startswith("__host-") and (domain or path != "/"):
        return None
    return new_cookie(
        parsed.name,
        parsed.value,
        domain or place.hosts[0],
        path if path.startswith("/") else _default_path(place.path),
        domain_specified=bool(domain),
        path_specified=path.startswith("/"),
        domain_initial_dot=known.get("domain", "").startswith("."),
        secure=secure,
        expires=_expiry(known, now),
        rest=_rest(parsed.attributes),
        origin=Origin(next(serials), parsed.charset, place.is_secure, None if domain else place.host),
    )


def _judge_domain(attribute: str, place: Place) -> Optional[str]:
    """
    Return the jar's domain for a Domain attribute: "" is the host alone, `None` is to refuse the cookie.

    A public suffix, `co.uk`, is nobody's to set cookies for, except that a host that is one may set its own.
    """
    domain = attribute[1:].lower() if attribute.startswith(".") else attribute.lower()
    if not domain:
        return ""
    host = place.hosts[0]
    if domain in place.hosts and (place.is_ip or is_public_suffix(domain)):
        return ""
    if place.is_ip or not domain.isascii() or is_public_suffix(domain):
        return None
    return "." + domain if host == domain or host.endswith("." + domain) else None


def _rest(attributes: list[tuple[str, Optional[str]]]) -> dict[str, Optional[str]]:
    """Return the attributes that a cookie object has no field for, the two known ones in their usual spelling."""
    spelling = {"httponly": "HttpOnly", "samesite": "SameSite"}
    own = ("domain", "path", "secure", "expires", "max-age")
    return {spelling.get(key.lower(), key): value for key, value in attributes if key.lower() not in own}


def _known(attributes: list[tuple[str, Optional[str]]]) -> dict[str, str]:
    """
    Return the attributes by lower-case name, the last of several, without the times that are invalid.

    6265bis, sections 5.6.1 and 5.6.2: an invalid Expires or Max-Age is ignored, and does not void a valid one before.
    """
    known: dict[str, str] = {}
    for key, value in attributes:
        name, text = key.lower(), value or ""
        if name == "max-age" and not _SECONDS.fullmatch(text):
            continue
        if name == "expires" and parse_date(text) is None:
            continue
        known[name] = text
    return known


def _expiry(known: dict[str, str], now: int) -> Optional[int]:
    """Return when the cookie ends, in seconds since 1970; `None` is with the client. Max-Age wins over Expires."""
    latest = min(now + _MAX_LIFE, _MAX_TIME)
    age = known.get("max-age")
    if age is not None:
        digits = age.lstrip("0")
        if not digits or age.startswith("-"):
            return 0
        # int() refuses thousands of digits, and so many seconds are more than any calendar has.
        return min(now + int(digits), latest) if len(digits) < 12 else latest
    date = parse_date(known["expires"]) if "expires" in known else None
    return None if date is None else min(date, latest)


def store(jar: CookieJar, cookie: Cookie, place: Place, now: int) -> None:
    """Put a judged cookie into the jar, or take the one out that it ends. The caller holds the lock."""
    related = stored(jar, place.domains())
    # A cookie for a domain is also in front of those of hosts below it, which `related` has not.
    if not place.is_secure and any(_is_overlaid(old, cookie) for old in (jar if cookie.domain_specified else related)):
        return
    for old in related:
        if key_of(old) == key_of(cookie):
            # An updated cookie keeps its age, and with it its place in the Cookie field.
            set_origin(cookie, origin_of(cookie)._replace(serial=origin_of(old).serial))
    if cookie.is_expired(now):
        drop(jar, cookie)
        return
    jar.set_cookie(cookie)
    same = [old for old in related if old.domain == cookie.domain]
    if len(same) >= _MAX_PER_DOMAIN:
        _evict(jar, cookie, now)


def _evict(jar: CookieJar, newest: Cookie, now: int) -> None:
    """Bring a domain back to its limit: first the expired ones go, then the oldest, Secure ones last."""
    present = stored(jar, [newest.domain])
    leaving = sorted(present, key=lambda old: (not old.is_expired(now), old.secure, origin_of(old).serial))
    for old in leaving[: len(present) - _MAX_PER_DOMAIN]:
        drop(jar, old)


def _is_overlaid(old: Cookie, new: Cookie) -> bool:
    """
    Return whether `new`, from a plain http origin, would stand in front of `old`, a Secure cookie from an https one.

    "Leave Secure cookies alone": somebody on the network can answer for http://example.org and would otherwise swap
    the session of https://example.org for his own (6265bis, section 5.7).
    """
    if not (old.secure and origin_of(old).is_secure and old.name == new.name):
        return False
    mine, theirs = new.domain.lstrip("."), old.domain.lstrip(".")
    related = mine == theirs or mine.endswith("." + theirs) or theirs.endswith("." + mine)
    return related and _path_matches(old.path, new.path)


# -- Cookie: choose


def chosen_for(jar: CookieJar, place: Place, now: int, everywhere: bool = True) -> list[Cookie]:
    """
    Return the cookies for a request to `place`, in the order of RFC 6265, section 5.4. The caller holds the lock.

    Args:
        everywhere: also those without a domain, which a user put in.
    """
    chosen = []
    for cookie in stored(jar, place.domains() if everywhere else place.domains()[1:]):
        if cookie.is_expired(now):
            drop(jar, cookie)
        elif _belongs(cookie, place):
            chosen.append(cookie)
    return in_order(chosen)


def in_order(cookies: list[Cookie]) -> list[Cookie]:
    """Return cookies as they stand in the field: longer paths first, then older ones; the last of several with one key."""
    if len(cookies) < 2:
        return cookies
    unique = {key_of(cookie): cookie for cookie in cookies}
    return sorted(unique.values(), key=lambda cookie: (-len(cookie.path), origin_of(cookie).serial))


def _belongs(cookie: Cookie, place: Place) -> bool:
    """Return whether a cookie of one of the place's domains is for this host, path and scheme."""
    if cookie.domain and not cookie.domain_specified and cookie.domain not in place.hosts:
        return False
    if origin_of(cookie).host not in (None, place.host):  # in a jar, "printer" and "printer.local" look the same
        return False
    return (place.is_secure or not cookie.secure) and _path_matches(cookie.path, place.path)


def pair(cookie: Cookie) -> bytes:
    fault = fault_in(cookie.name, cookie.value)
    if fault:
        raise LocalProtocolError(fault)
    text = cookie.name if cookie.value is None else f"{cookie.name}={cookie.value}"
    return text.encode(origin_of(cookie).charset, "replace")


def fault_in(name: str, value: Optional[str]) -> Optional[str]:
    """Return what is wrong with a cookie that is to be sent, or `None`. Never shows the value, which may be a secret."""
    for what, text in (("name", name), ("value", value)):
        found = _ILLEGAL.search(text) if isinstance(text, str) else None
        if found is not None:
            return f"the {what} of cookie {name!r} contains {found.group()!r} at position {found.start()}"
    return None
