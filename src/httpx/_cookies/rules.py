"""
The cookies that are stored and those that are sent: RFC 6265 and its revision, 6265bis.

Not here: the jar (`storage`), what leaves it (`eviction`), the user's policies (`urllib_views`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from .._exceptions import LocalProtocolError
from .._fields import parse_date
from .._utils import lazy_pattern
from .eviction import make_room, site_of
from .storage import (
    Origin,
    domains_below,
    drop,
    found,
    jar_host,
    key_of,
    new_cookie,
    origin_of,
    serials,
    set_origin,
    stored,
)
from .suffixes import is_public_suffix

if TYPE_CHECKING:
    from http.cookiejar import Cookie, CookieJar

    from .._urls import URL

_MAX_SIZE = 4096  # bytes of name and value together (6265bis, section 5.6)
_MAX_ATTRIBUTE = 1024  # bytes of an attribute's value (6265bis, section 5.6)
_MAX_ATTRIBUTES = 32  # of one cookie; later ones are ignored, so that a long line cannot fill the jar
_MAX_LIFE = 400 * 86_400  # the maximum lifetime of a cookie, in seconds (6265bis, section 5.5)
MAX_FIELDS = 1000  # Set-Cookie fields of one response; later ones are ignored
_MAX_HOST = 260  # characters: 253 of a name, and the additions of a jar
_MAX_TIME = 253402300799  # the end of the year 9999, in seconds: the limit of file formats and datetime


class Place(NamedTuple):
    """The parts of a URL that matter for cookies."""

    host: str
    hosts: tuple[str, ...]  # the host in the jar's form; after it other spellings that a user may have set
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
        """Return each possible `domain` of a cookie for this place: the host, its parents, both with a dot, and ""."""
        found = [""]
        for host in self.hosts:
            found += (host, "." + host)
            # A longer host is not in the DNS, and its parents together are quadratic in its length.
            while not self.is_ip and "." in host and len(host) <= _MAX_HOST:
                host = host.partition(".")[2]
                found += (host, "." + host)
        return list(dict.fromkeys(found))


def _is_loopback(host: str) -> bool:
    """Return whether an unencrypted connection to `host` stays on this machine (Secure Contexts, section 3.1)."""
    name = host.rstrip(".")
    if name in ("localhost", "::1") or name.endswith(".localhost"):
        return True
    numbers = name.split(".")
    return numbers[0] == "127" and len(numbers) == 4 and all(number.isdigit() for number in numbers)


def _path_matches(path: str, asked: str) -> bool:
    """Return whether a cookie for `path` is sent to the path `asked` (RFC 6265, section 5.1.4)."""
    return asked.startswith(path) and (path.endswith("/") or asked[len(path) : len(path) + 1] in ("", "/"))


def _default_path(path: str) -> str:
    """Return the default path of a cookie: the request's, up to its last slash (RFC 6265, section 5.1.4)."""
    return path.rpartition("/")[0] or "/"


# -- Set-Cookie: read, judge, store


class _Parsed(NamedTuple):
    name: str
    value: Optional[str]  # None if there was no "="
    attributes: list[tuple[str, Optional[str]]]
    charset: str


# Control characters except the tab (6265bis, section 5.6).
_CONTROL = lazy_pattern(r"[\x00-\x08\x0a-\x1f\x7f]")
_ILLEGAL = lazy_pattern(r"[\x00-\x08\x0a-\x1f\x7f;]")


_SECONDS = lazy_pattern(r"-?[0-9]+")


def parse(line: bytes) -> Optional[_Parsed]:
    """
    Return name, value and attributes of one Set-Cookie field, or `None` if it must be ignored.

    Text is UTF-8, or else ISO-8859-1, which decodes anything; the charset is kept, to send the same octets back.

    6265bis, section 5.6, and as in 0.28.1 for incomplete pairs: without a name they are ignored, without
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
        return None  # otherwise an http response could set a cookie that is later sent over https
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
    Return the jar's domain for a Domain attribute: "" is the host alone, `None` means that the cookie is refused.

    Cookies for a public suffix, `co.uk`, are refused, except that a host that is one may set its own.
    """
    domain = attribute[1:].lower() if attribute.startswith(".") else attribute.lower()
    if not domain:
        return ""
    host = place.host
    if domain in place.hosts and (place.is_ip or is_public_suffix(domain)):
        return ""
    if place.is_ip or not domain.isascii() or is_public_suffix(domain):
        return None
    return "." + domain if host == domain or host.endswith("." + domain) else None


def _rest(attributes: list[tuple[str, Optional[str]]]) -> dict[str, Optional[str]]:
    """Return the attributes without a field in a cookie object, the two known ones in their usual spelling."""
    spelling = {"httponly": "HttpOnly", "samesite": "SameSite"}
    own = ("domain", "path", "secure", "expires", "max-age")
    return {spelling.get(key.lower(), key): value for key, value in attributes if key.lower() not in own}


def _known(attributes: list[tuple[str, Optional[str]]]) -> dict[str, str]:
    """
    Return the attributes by lower-case name, the last of several, without invalid times.

    6265bis, sections 5.6.1 and 5.6.2: an invalid Expires or Max-Age is ignored, and an earlier valid one stays.
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
    """Return when the cookie ends, in seconds since 1970; `None` means with the client. Max-Age wins over Expires."""
    latest = min(now + _MAX_LIFE, _MAX_TIME)
    age = known.get("max-age")
    if age is not None:
        digits = age.lstrip("0")
        if not digits or age.startswith("-"):
            return 0
        # int() refuses thousands of digits, and so many seconds exceed any calendar.
        return min(now + int(digits), latest) if len(digits) < 12 else latest
    date = parse_date(known["expires"]) if "expires" in known else None
    return None if date is None else min(date, latest)


def store(jar: CookieJar, cookies: list[Cookie], place: Place, now: int) -> None:
    """Store the accepted cookies of a response, or remove those that they expire. The caller holds the lock."""
    guarded = {} if place.is_secure else _guarded(jar, place, any(cookie.domain_specified for cookie in cookies))
    added: dict[str, int] = {}
    for cookie in cookies:
        if any(_is_overlaid(old, cookie) for old in guarded.get(cookie.name, ())):
            continue
        old = found(jar, cookie)
        if old is not None:
            # An updated cookie keeps its age, and with it its place in the Cookie field.
            set_origin(cookie, origin_of(cookie)._replace(serial=origin_of(old).serial))
        if cookie.is_expired(now):
            drop(jar, cookie)
        else:
            jar.set_cookie(cookie)
            added[cookie.domain] = added.get(cookie.domain, 0) + 1
    # Once a response: that takes as long as a domain has cookies, and a response may have many.
    for domain, number in added.items():
        make_room(jar, domain, number, now)


def _guarded(jar: CookieJar, place: Place, is_wide: bool) -> dict[str, list[Cookie]]:
    """
    Return by name the Secure cookies from https that a response over http must leave alone.

    Looked for once a response: a jar may be large, and a response may have many cookies. An http response adds none.

    Args:
        is_wide: whether one of its cookies is for a domain: it would also hide those of subdomains, which are not among
            the place's domains.
    """
    below = domains_below(jar, site_of(place.hosts[0])) if is_wide else ()
    guarded: dict[str, list[Cookie]] = {}
    for old in stored(jar, list(dict.fromkeys([*place.domains(), *below]))):
        if old.secure and origin_of(old).is_secure:
            guarded.setdefault(old.name, []).append(old)
    return guarded


def _is_overlaid(old: Cookie, new: Cookie) -> bool:
    """
    Return whether `new`, from an http origin, would hide `old`, a Secure cookie of the same name from an https origin.

    "Leave Secure cookies alone": an attacker on the network can respond for http://example.org and would otherwise
    replace the session of https://example.org (6265bis, section 5.7).
    """
    mine, theirs = new.domain.lstrip("."), old.domain.lstrip(".")
    related = mine == theirs or mine.endswith("." + theirs) or theirs.endswith("." + mine)
    return related and _path_matches(old.path, new.path)


# -- Cookie: choose


def chosen_for(jar: CookieJar, place: Place, now: int, everywhere: bool = True) -> list[Cookie]:
    """
    Return the cookies for a request to `place`, in the order of RFC 6265, section 5.4. The caller holds the lock.

    Args:
        everywhere: also those without a domain, which a user set.
    """
    chosen = []
    for cookie in stored(jar, place.domains() if everywhere else place.domains()[1:]):
        if cookie.is_expired(now):
            drop(jar, cookie)
        elif _belongs(cookie, place):
            chosen.append(cookie)
    return in_order(chosen)


def in_order(cookies: list[Cookie]) -> list[Cookie]:
    """
    Return the cookies in the field's order: longer paths first, then older ones.

    Of several per key the last one, in the place of the first: a cookie of a request stands where the client's stood.
    """
    if len(cookies) < 2:
        return cookies
    unique = {key_of(cookie): cookie for cookie in cookies}
    serials: dict[tuple[str, str, str], int] = {}
    for cookie in cookies:
        serials.setdefault(key_of(cookie), origin_of(cookie).serial)
    return sorted(unique.values(), key=lambda cookie: (-len(cookie.path), serials[key_of(cookie)]))


def _belongs(cookie: Cookie, place: Place) -> bool:
    """Return whether a cookie of one of the place's domains is for this host, path and scheme."""
    if cookie.domain and not cookie.domain_specified and cookie.domain not in place.hosts:
        return False
    if origin_of(cookie).host not in (None, place.host):  # in a jar, "printer" and "printer.local" are the same
        return False
    return (place.is_secure or not cookie.secure) and _path_matches(cookie.path, place.path)


def pair(cookie: Cookie) -> bytes:
    fault = fault_in(cookie.name, cookie.value)
    if fault:
        raise LocalProtocolError(fault)
    text = cookie.name if cookie.value is None else f"{cookie.name}={cookie.value}"
    return text.encode(origin_of(cookie).charset, "replace")


def fault_in(name: str, value: Optional[str]) -> Optional[str]:
    """Return the error in a cookie to be sent, or `None`. Never quotes the value, which may be a secret."""
    for what, text in (("name", name), ("value", value)):
        found = _ILLEGAL.search(text) if isinstance(text, str) else None
        if found is not None:
            return f"the {what} of cookie {name!r} contains {found.group()!r} at position {found.start()}"
    return None
