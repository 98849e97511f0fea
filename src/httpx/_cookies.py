"""
Cookies: a mapping of names to values in front of a standard `http.cookiejar.CookieJar`.

The jar only stores. What a `Set-Cookie` may store and what a request carries is decided here, after RFC 6265 and its
revision, draft-ietf-httpbis-rfc6265bis ("6265bis" below), because the standard library decides by older rules:

    Set-Cookie --> _parse --> _judge --> _store      extract_cookies(response)
    Cookie     <-- _chosen                           set_cookie_header(request)

The jar may be the user's. Its cookies have the standard library's form, so that it can be shared with `urllib` and
`requests`: a host without a dot gets ".local" ("localhost.local"), a domain cookie starts with a dot, a cookie for one
host alone has `domain_specified` false. A policy that the user gave to the jar is asked in addition, and a method
that the user overrode is called instead. `http.cookiejar` is imported with the first cookie, not before.

Not here: dropping the caller's own Cookie header on redirects (`_flow`); whether bytes may be sent (`_protocol`).
"""

from __future__ import annotations

import functools
import importlib
import itertools
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from ._exceptions import CookieConflict, LocalProtocolError
from ._forks import FORKS
from ._headers import Headers

if TYPE_CHECKING:
    import urllib.request
    from http.cookiejar import Cookie, CookieJar, CookiePolicy

    from ._models import Request, Response
    from ._types import CookieTypes
    from ._urls import URL

_MAX_PER_DOMAIN = 180  # cookies; the figure of browsers (6265bis, section 5.7)
_MAX_SIZE = 4096  # bytes of name and value together (6265bis, section 5.6)
_MAX_ATTRIBUTE = 1024  # bytes of an attribute's value (6265bis, section 5.6)
_MAX_ATTRIBUTES = 32  # of one cookie; what comes behind is not looked at, so that a long line cannot fill the jar
_MAX_TIME = 253402300799  # the end of the year 9999, in seconds: what every file format and datetime can hold

_CREATING = threading.Lock()  # two threads must not make two jars for one `Cookies`
_FOR_FOREIGN_JARS = threading.RLock()  # for a jar that is not derived from CookieJar and so has no lock
FORKS.renew(sys.modules[__name__], "_CREATING", threading.Lock)
FORKS.renew(sys.modules[__name__], "_FOR_FOREIGN_JARS", threading.RLock)


class Cookies(MutableMapping[str, str]):
    """
    A mapping of cookie names to values, and the jar behind it, which also knows domains and paths.

        cookies = Cookies({"theme": "dark"})
        cookies.set("id", "1", domain="example.org")
        cookies["theme"] == "dark"

    A cookie put in without a domain is sent to every host. The same name may occur for several domains and paths;
    where that leaves open which one is meant, reading it raises `CookieConflict`.

    May be used from several threads at once. Truth is whether there is any cookie. Pickles with its cookies.

    Args:
        cookies: `None`, another `Cookies`, a mapping or pairs of names and values, or an `http.cookiejar.CookieJar`,
            which is then used itself, not copied.

    Raises:
        TypeError: a value is not a str.
        ValueError: a name or value contains ";" or a control character.
    """

    __slots__ = ("__weakref__", "_jar")

    _jar: Optional[CookieJar]  # None until a cookie is stored or the user asks for the jar

    def __init__(self, cookies: Optional[CookieTypes] = None) -> None:
        self._jar = None
        # By its method, not by its class, which would mean to import http.cookiejar. The jar of `requests` is a
        # mapping too, so this comes first.
        if hasattr(cookies, "set_cookie"):
            jar: Any = cookies
            self._jar = _survives_forks(jar)
        elif cookies is not None:
            self.update(cookies)

    @property
    def jar(self) -> CookieJar:
        """The jar, an `http.cookiejar.CookieJar` unless another was given; made when it is first asked for."""
        if self._jar is None:
            with _CREATING:
                if self._jar is None:
                    self._jar = _survives_forks(_library().CookieJar())
        return self._jar

    @jar.setter
    def jar(self, jar: CookieJar) -> None:
        self._jar = _survives_forks(jar)

    def _all(self) -> list[Cookie]:
        jar = self._jar
        if jar is None:
            return []
        with _lock(jar):
            return list(jar)

    def _is_empty(self) -> bool:
        """Whether there is nothing to send: the client asks before each request."""
        return self._jar is None or not self

    # -- messages

    def extract_cookies(self, response: Response) -> None:
        """
        Store what the `Set-Cookie` fields of `response` say, as far as its `request` allows it.

        A field that is malformed, too large, or for a domain that is not the sender's is ignored. Needs
        `response.request` only if there is such a field.

        RFC 6265, sections 5.2 and 5.3, as revised by 6265bis, sections 5.6 and 5.7.
        """
        headers = response.headers if isinstance(response.headers, Headers) else Headers(response.headers)
        lines = headers._get_all(b"set-cookie")
        if not lines:
            return
        jar = self.jar
        url = response.request.url
        place = _Place.of(url)
        if _overrides(jar, "extract_cookies"):
            answer: Any = _UrllibAnswer(lines)
            jar.extract_cookies(answer, _urllib_request(url, place))
            return
        policy = _UsersPolicy.of(jar, url, place)
        now = int(time.time())
        with _lock(jar):
            for line in lines:
                cookie = _judge(_parse(line), place, now)
                if cookie is not None and (policy is None or policy.accepts(cookie)):
                    _store(jar, cookie, place, now)

    def set_cookie_header(self, request: Request) -> None:
        """
        Add a `Cookie` field to `request` with the cookies that belong there; without any, nothing is added.

        A `Cookie` field that is there already stays as it is, and wins. Expired cookies are removed on the way.

        Raises:
            LocalProtocolError: a cookie that somebody put into the jar contains ";" or a control character.

        RFC 6265, section 5.4.
        """
        jar = self._jar
        if jar is None or "cookie" in request.headers:
            return
        place = _Place.of(request.url)
        if _overrides(jar, "add_cookie_header"):
            view = _urllib_request(request.url, place)
            jar.add_cookie_header(view)
            line = view.get_header("Cookie")
            if line:
                request.headers["Cookie"] = line
            return
        with _lock(jar):
            chosen = _chosen(jar, place, int(time.time()))
        policy = _UsersPolicy.of(jar, request.url, place) if chosen else None
        if policy is not None:
            chosen = [cookie for cookie in chosen if policy.returns(cookie)]
        if chosen:
            # Bytes, because the setter takes them as they are: a server gets its octets back.
            request.headers["Cookie"] = b"; ".join([_pair(cookie) for cookie in chosen])

    # -- single cookies

    def set(self, name: str, value: str, domain: str = "", path: str = "/") -> None:
        """
        Put in a cookie, replacing one with the same name, domain and path.

        Args:
            value: sent as it is, in UTF-8 if it is not ASCII; `None` sends the name alone.
            domain: sent to this domain and everything below it, with or without a dot in front; "" is every host.
            path: sent to this path and everything below it.

        Raises:
            TypeError: one of them is not a str.
            ValueError: `name` or `value` contains ";" or a control character: a server would see another cookie.
        """
        if value is not None and not isinstance(value, str):
            raise TypeError(f"the value of cookie {name!r} must be a str, not {type(value).__name__}")
        for what, text in (("name", name), ("domain", domain), ("path", path)):
            if not isinstance(text, str):
                raise TypeError(f"the {what} of a cookie must be a str, not {type(text).__name__}")
        fault = _fault(name, value)
        if fault:
            raise ValueError(fault)
        cookie = _new_cookie(name, value, domain, path, domain_specified=bool(domain), rest={"HttpOnly": None})
        jar = self.jar
        with _lock(jar):
            jar.set_cookie(cookie)

    def get(  # type: ignore[override]  # the interface of 0.28.1 has two parameters more than a mapping
        self, name: str, default: Optional[str] = None, domain: Optional[str] = None, path: Optional[str] = None
    ) -> Optional[str]:
        """
        The value of the cookie called `name`, or `default`.

        Args:
            domain: only of this domain, as the jar has it (".example.org" where a server gave a domain); `None` is any.
            path: only of this path; `None` is any.

        Raises:
            CookieConflict: there are several.
        """
        found = [cookie for cookie in self._all() if cookie.name == name and _is_at(cookie, domain, path)]
        if len(found) > 1:
            places = ", ".join(sorted(f"{cookie.domain or '(every host)'}{cookie.path}" for cookie in found)[:4])
            raise CookieConflict(f"{len(found)} cookies are called {name!r}: give a domain or path of {places}")
        return found[0].value if found else default

    def delete(self, name: str, domain: Optional[str] = None, path: Optional[str] = None) -> None:
        """Remove all cookies called `name`, or only those of a domain, a path; without any, nothing happens."""
        self._remove([cookie for cookie in self._all() if cookie.name == name and _is_at(cookie, domain, path)])

    def clear(self, domain: Optional[str] = None, path: Optional[str] = None) -> None:
        """Remove all cookies, or only those of a domain, a path; without any, nothing happens."""
        self._remove([cookie for cookie in self._all() if _is_at(cookie, domain, path)])

    def _remove(self, cookies: list[Cookie]) -> None:
        if cookies:
            jar = self.jar
            with _lock(jar):
                for cookie in cookies:
                    _drop(jar, cookie)

    def update(self, cookies: Optional[CookieTypes] = None) -> None:  # type: ignore[override]  # no keywords: 0.28.1
        """Put in all of `cookies`, anything that `Cookies(...)` takes. Raises what the constructor raises."""
        if cookies is None:
            return
        if isinstance(cookies, (str, bytes)):
            raise TypeError(f"cookies must be a mapping, pairs, Cookies or a CookieJar, not {type(cookies).__name__}")
        if isinstance(cookies, Cookies) or hasattr(cookies, "set_cookie"):
            source = cookies if isinstance(cookies, Cookies) else Cookies(cookies)
            for cookie in source._all():
                self.jar.set_cookie(cookie)
            return
        pairs: Iterable[tuple[str, str]] = cookies.items() if isinstance(cookies, Mapping) else cookies
        for name, value in pairs:
            self.set(name, value)

    # -- the mapping

    def __getitem__(self, name: str) -> str:
        missing: Any = _Missing
        value = self.get(name, missing)
        if value is missing:
            raise KeyError(name)
        return value  # type: ignore[return-value]  # only a cookie that was sent without "=" has None

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        """Remove all cookies called `name`; as in 0.28.1, it is no error if there is none."""
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        return any(cookie.name == name for cookie in self._all())

    def __iter__(self) -> Iterator[str]:
        return iter([cookie.name for cookie in self._all()])

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        jar = self._jar
        if jar is None:
            return False
        with _lock(jar):
            return any(True for _ in jar)

    def __repr__(self) -> str:
        shown = [f"<Cookie {cookie.name}={cookie.value} for {cookie.domain} />" for cookie in self._all()]
        return f"<Cookies[{', '.join(shown)}]>"

    # CookieJar has a lock and cannot be pickled, so its cookies and policy are; a jar of another class must know how.

    def __getstate__(self) -> tuple[Any, ...]:
        jar = self._jar
        if jar is None or type(jar) is not _library().CookieJar:
            return None, None, jar
        return self._all(), _users_policy(jar), None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        cookies, policy, jar = state
        self._jar = None if jar is None else _survives_forks(jar)
        for cookie in cookies or ():
            self.jar.set_cookie(cookie)
        if policy is not None:
            self.jar.set_policy(policy)


class _Missing:
    """A default that no cookie can have as its value."""


# -- where a message goes


class _Place(NamedTuple):
    """What of a URL matters for cookies."""

    host: str
    hosts: tuple[str, ...]  # the host as a jar has it; behind it other spellings that a user may have put in
    is_ip: bool
    path: str
    is_secure: bool

    @classmethod
    def of(cls, url: URL) -> _Place:
        host = url.raw_host.decode("ascii").lower()
        path = url.raw_path.partition(b"?")[0].decode("ascii")
        last = host.rstrip(".").rpartition(".")[2]
        is_ip = ":" in host or last.isdigit() or last.startswith("0x")
        names = [_jar_host(host), host]
        if "xn--" in host:
            names.append(url.host.lower())
        is_secure = url.scheme in ("https", "wss") or _is_loopback(host)
        return cls(host, tuple(dict.fromkeys(names)), is_ip, path if path.startswith("/") else "/", is_secure)

    def domains(self) -> list[str]:
        """Every `domain` that a cookie for this place can have: the host, its parents, both with a dot, and ""."""
        found = [""]
        for host in self.hosts:
            found += (host, "." + host)
            while not self.is_ip and "." in host:
                host = host.partition(".")[2]
                found += (host, "." + host)
        return list(dict.fromkeys(found))


def _jar_host(host: str) -> str:
    """The host in the form in which `http.cookiejar` keeps it: a name without a dot ends in ".local"."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if "." in host else bracketed + ".local"


def _is_loopback(host: str) -> bool:
    """Whether a plain connection to `host` stays on this machine (Secure Contexts, section 3.1)."""
    name = host.rstrip(".")
    if name in ("localhost", "::1") or name.endswith(".localhost"):
        return True
    numbers = name.split(".")
    return numbers[0] == "127" and len(numbers) == 4 and all(number.isdigit() for number in numbers)


def _path_matches(path: str, asked: str) -> bool:
    """Whether a cookie for `path` goes to the path `asked` (RFC 6265, section 5.1.4)."""
    return asked.startswith(path) and (path.endswith("/") or asked[len(path) : len(path) + 1] in ("", "/"))


def _default_path(path: str) -> str:
    """The path of a cookie that names none: that of the request, up to its last slash (RFC 6265, section 5.1.4)."""
    return path.rpartition("/")[0] or "/"


# -- Set-Cookie: read, judge, store


class _Parsed(NamedTuple):
    name: str
    value: Optional[str]  # None if there was no "="
    attributes: list[tuple[str, Optional[str]]]
    charset: str


# Controls but the tab (6265bis, section 5.6).
_find_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_find_illegal = re.compile(r"[\x00-\x08\x0a-\x1f\x7f;]").search


def _parse(line: bytes) -> Optional[_Parsed]:
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
    if _find_control(text):
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


def _judge(parsed: Optional[_Parsed], place: _Place, now: int) -> Optional[Cookie]:
    """
    The cookie that `place` may set with this field, or `None` if it may not.

    6265bis, section 5.7. One rule is softer, as in 0.28.1: a Secure cookie from a plain http origin is kept, since
    it is never sent back over http; it may not replace one that came over https (see `_store`), nor have a prefix.
    """
    if parsed is None:
        return None
    known = {key.lower(): value or "" for key, value in parsed.attributes}  # the last of several counts
    domain = _judge_domain(known.get("domain", ""), place)
    if domain is None:
        return None
    path = known.get("path", "")
    secure = "secure" in known
    prefixed = parsed.name.lower()
    if prefixed.startswith(("__secure-", "__host-")) and not (secure and place.is_secure):
        return None
    if prefixed.startswith("__host-") and (domain or path != "/"):
        return None
    return _new_cookie(
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
        origin=_Origin(next(_serials), parsed.charset, place.is_secure, None if domain else place.host),
    )


def _judge_domain(attribute: str, place: _Place) -> Optional[str]:
    """
    The jar's domain for a Domain attribute: "" is the host alone, `None` is to refuse the cookie.

    A public suffix, `co.uk`, is nobody's to set cookies for, except that a host that is one may set its own.
    """
    domain = attribute[1:].lower() if attribute.startswith(".") else attribute.lower()
    if not domain:
        return ""
    host = place.hosts[0]
    if domain in place.hosts and (place.is_ip or _public_suffix(domain)):
        return ""
    if place.is_ip or not domain.isascii() or _public_suffix(domain):
        return None
    return "." + domain if host == domain or host.endswith("." + domain) else None


def _rest(attributes: list[tuple[str, Optional[str]]]) -> dict[str, Optional[str]]:
    """The attributes that a cookie object has no field for, the two known ones in their usual spelling."""
    spelling = {"httponly": "HttpOnly", "samesite": "SameSite"}
    own = ("domain", "path", "secure", "expires", "max-age")
    return {spelling.get(key.lower(), key): value for key, value in attributes if key.lower() not in own}


def _expiry(known: dict[str, str], now: int) -> Optional[int]:
    """When the cookie ends, in seconds since 1970; `None` is with the client. Max-Age wins over Expires."""
    age = known.get("max-age", "")
    if re.fullmatch(r"-?[0-9]+", age):
        digits = age.lstrip("0")
        if not digits or age.startswith("-"):
            return 0
        # int() refuses thousands of digits, and so many seconds are more than any calendar has.
        return min(now + int(digits), _MAX_TIME) if len(digits) < 12 else _MAX_TIME
    return _parse_date(known["expires"]) if "expires" in known else None


def _store(jar: CookieJar, cookie: Cookie, place: _Place, now: int) -> None:
    """Put a judged cookie into the jar, or take the one out that it ends. The caller holds the lock."""
    related = _stored(jar, place.domains())
    # A cookie for a domain is also in front of those of hosts below it, which `related` has not.
    if not place.is_secure and any(_is_overlaid(old, cookie) for old in (jar if cookie.domain_specified else related)):
        return
    for old in related:
        if _key(old) == _key(cookie):
            # An updated cookie keeps its age, and with it its place in the Cookie field.
            _set_origin(cookie, _origin(cookie)._replace(serial=_origin(old).serial))
    if cookie.is_expired(now):
        _drop(jar, cookie)
        return
    jar.set_cookie(cookie)
    same = [old for old in related if old.domain == cookie.domain]
    if len(same) >= _MAX_PER_DOMAIN:
        _evict(jar, cookie, now)


def _evict(jar: CookieJar, newest: Cookie, now: int) -> None:
    """Bring a domain back to its limit: first the expired ones go, then the oldest, Secure ones last."""
    present = _stored(jar, [newest.domain])
    leaving = sorted(present, key=lambda old: (not old.is_expired(now), old.secure, _origin(old).serial))
    for old in leaving[: len(present) - _MAX_PER_DOMAIN]:
        _drop(jar, old)


def _is_overlaid(old: Cookie, new: Cookie) -> bool:
    """
    Whether `new`, from a plain http origin, would stand in front of `old`, a Secure cookie from an https one.

    "Leave Secure cookies alone": somebody on the network can answer for http://example.org and would otherwise swap
    the session of https://example.org for his own (6265bis, section 5.7).
    """
    if not (old.secure and _origin(old).is_secure and old.name == new.name):
        return False
    mine, theirs = new.domain.lstrip("."), old.domain.lstrip(".")
    related = mine == theirs or mine.endswith("." + theirs) or theirs.endswith("." + mine)
    return related and _path_matches(old.path, new.path)


# -- Cookie: choose


def _chosen(jar: CookieJar, place: _Place, now: int) -> list[Cookie]:
    """The cookies for a request to `place`, in the order of RFC 6265, section 5.4. The caller holds the lock."""
    chosen = []
    for cookie in _stored(jar, place.domains()):
        if cookie.is_expired(now):
            _drop(jar, cookie)
        elif _belongs(cookie, place):
            chosen.append(cookie)
    if len(chosen) > 1:
        chosen.sort(key=lambda cookie: (-len(cookie.path), _origin(cookie).serial))
    return chosen


def _belongs(cookie: Cookie, place: _Place) -> bool:
    """Whether a cookie of one of the place's domains is for this host, path and scheme."""
    if cookie.domain and not cookie.domain_specified and cookie.domain not in place.hosts:
        return False
    if _origin(cookie).host not in (None, place.host):  # in a jar, "printer" and "printer.local" look the same
        return False
    return (place.is_secure or not cookie.secure) and _path_matches(cookie.path, place.path)


def _pair(cookie: Cookie) -> bytes:
    fault = _fault(cookie.name, cookie.value)
    if fault:
        raise LocalProtocolError(fault)
    text = cookie.name if cookie.value is None else f"{cookie.name}={cookie.value}"
    return text.encode(_origin(cookie).charset, "replace")


def _fault(name: str, value: Optional[str]) -> Optional[str]:
    """What is wrong with a cookie that is to be sent, or `None`. Never shows the value, which may be a secret."""
    for what, text in (("name", name), ("value", value)):
        found = _find_illegal(text) if isinstance(text, str) else None
        if found is not None:
            return f"the {what} of cookie {name!r} contains {found.group()!r} at position {found.start()}"
    return None


# -- cookie objects and the jar


class _Origin(NamedTuple):
    """What the standard cookie object has no field for; we hang it on as an attribute, so it stays with the cookie."""

    serial: int = 0  # rises with every new cookie; one from elsewhere counts as older than all of ours
    charset: str = "utf-8"
    is_secure: bool = True  # it came over https, or from somebody on this side
    host: Optional[str] = None  # the only host that it is for, where the jar's spelling leaves that open


_UNKNOWN = _Origin()
# Starting at the time, so that it also rises from one process to the next: cookies may be pickled.
_serials = itertools.count(time.time_ns())


def _origin(cookie: Cookie) -> _Origin:
    origin: _Origin = getattr(cookie, "_httpx_origin", _UNKNOWN)
    return origin


def _set_origin(cookie: Cookie, origin: _Origin) -> None:
    cookie._httpx_origin = origin  # type: ignore[attr-defined]  # ours; the class takes attributes


def _new_cookie(
    name: str,
    value: Optional[str],
    domain: str,
    path: str,
    *,
    domain_specified: bool,
    path_specified: bool = True,
    domain_initial_dot: Optional[bool] = None,
    secure: bool = False,
    expires: Optional[int] = None,
    rest: dict[str, Any],
    origin: Optional[_Origin] = None,
) -> Cookie:
    """A standard cookie object; what is left out is as for one that a user puts in."""
    cookie: Cookie = _library().Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=domain_specified,
        domain_initial_dot=domain.startswith(".") if domain_initial_dot is None else domain_initial_dot,
        path=path,
        path_specified=path_specified,
        secure=secure,
        expires=expires,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest=rest,
    )
    _set_origin(cookie, origin or _Origin(next(_serials)))
    return cookie


def _key(cookie: Cookie) -> tuple[str, str, str]:
    return cookie.domain, cookie.path, cookie.name


def _is_at(cookie: Cookie, domain: Optional[str], path: Optional[str]) -> bool:
    """Whether a cookie is of the domain and path that a user names; "localhost" is also its form in the jar."""
    if domain is not None:
        if not isinstance(domain, str):
            raise TypeError(f"the domain of a cookie must be a str, not {type(domain).__name__}")
        if cookie.domain not in (domain.lower(), _jar_host(domain.lower()) if domain else ""):
            return False
    return path is None or cookie.path == path


def _drop(jar: CookieJar, cookie: Cookie) -> None:
    try:
        jar.clear(*_key(cookie))
    except KeyError:
        pass  # somebody else was faster


def _stored(jar: CookieJar, domains: list[str]) -> list[Cookie]:
    """
    The jar's cookies of these domains.

    CookieJar keeps them by domain, under a private name that has not changed since Python 2.4; looking there costs
    3 µs however many cookies there are, where going over 1,000 of them costs 200. Other jars are gone over.
    """
    tree = getattr(jar, "_cookies", None)
    if not isinstance(tree, dict) or _overrides(jar, "__iter__"):
        return [cookie for cookie in jar if cookie.domain in domains]
    return [
        cookie
        for domain in domains
        if domain in tree
        for cookies in tree[domain].values()
        for cookie in cookies.values()
    ]


def _survives_forks(jar: CookieJar) -> CookieJar:
    """Return a jar whose lock is made anew in a forked child, where another thread may have held it."""
    if hasattr(jar, "_cookies_lock"):
        FORKS.renew(jar, "_cookies_lock", threading.RLock)
    return jar


def _lock(jar: CookieJar) -> Any:
    """
    Return the lock under which the jar is read and changed: its own, so that all users of the jar share it.

    CookieJar's methods take it too (it can be taken again by its holder), but going over the jar does not.
    """
    return getattr(jar, "_cookies_lock", _FOR_FOREIGN_JARS)


@functools.cache
def _library() -> Any:
    """The module `http.cookiejar`: 20 ms that only users of cookies pay."""
    return importlib.import_module("http.cookiejar")


def _overrides(jar: CookieJar, method: str) -> bool:
    """Whether the user's jar has a method of its own in place of CookieJar's."""
    return getattr(type(jar), method, None) not in (getattr(_library().CookieJar, method), None)


# -- policies and jars of the user's own, which speak urllib's language


def _users_policy(jar: CookieJar) -> Optional[CookiePolicy]:
    """The jar's policy, unless it is the default one as it comes, whose rules are covered by ours."""
    policy: Optional[CookiePolicy] = getattr(jar, "_policy", None)
    if type(policy) is not _library().DefaultCookiePolicy:
        return policy
    chosen = {key: value for key, value in vars(policy).items() if key != "_now"}
    return None if chosen == _default_policy() else policy


@functools.cache
def _default_policy() -> dict[str, Any]:
    settings: dict[str, Any] = vars(_library().DefaultCookiePolicy())
    return settings


class _UsersPolicy:
    """A policy that the user gave to a jar, to be asked about cookies of one request."""

    def __init__(self, policy: CookiePolicy, url: URL, place: _Place) -> None:
        self._policy = policy
        self._view = _urllib_request(url, place)
        policy._now = int(time.time())  # type: ignore[attr-defined]  # CookieJar sets it before it asks, too

    @classmethod
    def of(cls, jar: CookieJar, url: URL, place: _Place) -> Optional[_UsersPolicy]:
        policy = _users_policy(jar)
        return None if policy is None else cls(policy, url, place)

    def accepts(self, cookie: Cookie) -> bool:
        """Whether the cookie may be stored."""
        return self._policy.set_ok(cookie, self._view)

    def returns(self, cookie: Cookie) -> bool:
        """Whether the cookie may be sent."""
        return (
            self._policy.domain_return_ok(cookie.domain, self._view)
            and self._policy.path_return_ok(cookie.path, self._view)
            and self._policy.return_ok(cookie, self._view)
        )


def _urllib_request(url: URL, place: _Place) -> urllib.request.Request:
    """The request as a policy wants to see it. Secure by our rule, or the policy would refuse cookies on localhost."""
    from urllib.request import Request

    view = Request(str(url))
    view.type = "https" if place.is_secure else "http"
    return view


class _UrllibAnswer:
    """The answer as a jar's own `extract_cookies` wants to see it."""

    def __init__(self, lines: list[bytes]) -> None:
        from email.message import Message

        self._fields = Message()
        for line in lines:
            self._fields["Set-Cookie"] = line.decode("iso-8859-1")

    def info(self) -> Any:
        """The Set-Cookie fields, as an `email.message.Message`."""
        return self._fields


# -- dates

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@functools.cache
def _date_patterns() -> tuple[re.Pattern[str], ...]:
    """What tells the tokens, a time, a day, a year; compiled on first use, since it would double the import's time."""
    return (
        re.compile(r"[^\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+"),
        re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9]|$)"),
        re.compile(r"([0-9]{1,2})(?:[^0-9]|$)"),
        re.compile(r"([0-9]{2,4})(?:[^0-9]|$)"),
    )


def _parse_date(text: str) -> Optional[int]:
    """
    Seconds since 1970 of an Expires attribute in any of the forms that servers send, or `None`.

    The parts are told by their looks, in any order, each the first time only. A date before 1970 is 0.

    RFC 6265, section 5.1.1.
    """
    token_like, time_like, day_like, year_like = _date_patterns()
    clock = day = month = year = None
    for token in token_like.findall(text):
        if clock is None and (found := time_like.match(token)):
            clock = [int(part) for part in found.groups()]
        elif day is None and (found := day_like.match(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := year_like.match(token)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    return _seconds(year, month, day, clock)


def _seconds(year: int, month: int, day: int, clock: list[int]) -> Optional[int]:
    from datetime import datetime, timezone

    if year < 1601:
        return None
    hour, minute, second = clock
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:  # there is no such day or hour
        return None
    return max(0, int(moment.timestamp()))


# -- public suffixes

# Used when no package with the real list is installed. Only a small part of publicsuffix.org's list: the countries
# where people register below a second level, and the hosting names below which strangers share a domain.
_SECOND_LEVELS = {
    "ar": "com edu gob gov int mil net org tur",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "bd": "ac com edu gov info mil net org",
    "br": "adv art blog com eco edu eng gov ind inf jus leg med mil net nom org tv",
    "cn": "ac com edu gov mil net org",
    "co": "com edu gov mil net nom org",
    "cy": "ac com gov net org",
    "ec": "com edu fin gob gov info med mil net org",
    "eg": "com edu eun gov mil net org sci",
    "es": "com edu gob nom org",
    "fr": "asso com gouv nom prd tm",
    "gh": "com edu gov mil org",
    "gr": "com edu gov net org",
    "hk": "com edu gov idv net org",
    "hu": "co info org",
    "id": "ac biz co desa go mil my net or sch web",
    "il": "ac co gov idf k12 muni net org",
    "in": "ac co edu firm gen gov ind mil net nic org res",
    "it": "edu gov",
    "jp": "ac ad co ed go gr lg ne or",
    "ke": "ac co go info me mobi ne or sc",
    "kr": "ac co es go hs kg mil ms ne or pe re sc",
    "lk": "ac com edu gov net org sch",
    "mx": "com edu gob net org",
    "my": "com edu gov mil name net org",
    "ng": "com edu gov mil mobi name net org sch",
    "np": "com edu gov mil net org",
    "nz": "ac co cri geek gen govt health iwi kiwi maori mil net org parliament school",
    "pe": "com edu gob mil net nom org",
    "ph": "com edu gov mil net ngo org",
    "pk": "com edu fam gob gok gop gos gov net org web",
    "pl": "biz com edu gov info net org waw",
    "pt": "com edu gov int net nome org publ",
    "py": "com coop edu gov mil net org",
    "sa": "com edu gov med net org pub sch",
    "sg": "com edu gov net org per",
    "th": "ac co go in mi net or",
    "tr": "av bbs bel biz com dr edu gen gov info k12 mil name net org pol tel tv web",
    "tw": "com edu gov idv mil net org",
    "tz": "ac co go hotel info me mil mobi ne or sc tv",
    "ua": "com edu gov in kiev kyiv lviv net org",
    "ug": "ac co com go ne or org sc",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "us": "dni fed isa kids nsn",
    "uy": "com edu gub mil net org",
    "ve": "co com edu gob gov info mil net org web",
    "vn": "ac biz com edu gov health info int name net org pro",
    "za": "ac co edu gov law mil net nom org school web",
}
_SHARED_HOSTS = (
    "amplifyapp.com azurestaticapps.net azurewebsites.net blogspot.com cloudapp.net cloudfront.net deno.dev "
    "elasticbeanstalk.com firebaseapp.com fly.dev github.io gitlab.io glitch.me herokuapp.com hf.space "
    "myshopify.com netlify.app ngrok-free.app ngrok.app ngrok.io now.sh onrender.com pages.dev r2.dev "
    "readthedocs.io repl.co run.app a.run.app s3.amazonaws.com streamlit.app surge.sh up.railway.app vercel.app "
    "web.app workers.dev appspot.com trafficmanager.net translate.goog"
)
_suffix_of: Optional[Callable[[str], Optional[str]]] = None


def _public_suffix(domain: str) -> bool:
    """
    Whether `domain` is one below which strangers register their own: "com", "co.uk", "github.io".

    By the list of the package `publicsuffixlist` or `publicsuffix2` if one is installed, loaded on first use; else a
    name without a dot is one, and the common ones of two labels that are named above.
    """
    global _suffix_of
    if _suffix_of is None:
        _suffix_of = _load_suffixes()
    name = domain.strip(".")
    if "." not in name:
        return True
    try:
        return _suffix_of(name) == name
    except ValueError:  # a name that the package cannot read is nobody's
        return True


def _load_suffixes() -> Callable[[str], Optional[str]]:
    for package, method in (("publicsuffixlist", "publicsuffix"), ("publicsuffix2", "get_tld")):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        find: Callable[[str], Optional[str]] = getattr(module.PublicSuffixList(), method)
        return find
    built_in = {f"{second}.{country}" for country, seconds in _SECOND_LEVELS.items() for second in seconds.split()}
    built_in.update(_SHARED_HOSTS.split())
    return lambda name: name if name in built_in else None
