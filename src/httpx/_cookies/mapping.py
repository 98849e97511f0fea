"""
Cookies: a mapping of names to values around a standard `http.cookiejar.CookieJar`.

The jar only stores. This package decides which cookies are stored and sent, by RFC 6265 and its revision,
draft-ietf-httpbis-rfc6265bis ("6265bis" below), because the standard library follows older rules:

    Set-Cookie --> parse --> judge --> store      extract_cookies(response)
    Cookie     <-- chosen_for                           set_cookie_header(request)

The jar may be the user's. Its cookies have the standard library's form, so that the jar can be shared with `urllib` and
`requests`: a host without a dot gets ".local" ("localhost.local"), a domain cookie starts with a dot, a cookie for one
host alone has `domain_specified` false. The user's policy of the jar is consulted in addition, and a method
that the user overrode is called instead. `http.cookiejar` is imported with the first cookie, not before.

Not here: dropping the caller's own Cookie header on redirects (`_flow`); whether bytes may be sent (`_protocol`).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, Optional, Union

from .._exceptions import CookieConflict
from .._forks import FORKS, unlock
from .._headers import Headers
from .._secrets import MAX_URL, printable
from .rules import MAX_FIELDS, Place, chosen_for, fault_in, in_order, judge, pair, parse, store
from .storage import drop, is_at, key_of, library, locked, new_cookie, overrides, survives_forks
from .urllib_views import UrllibResponse, UsersPolicy, urllib_request, users_policy

if TYPE_CHECKING:
    from http.cookiejar import Cookie, CookieJar

    from .._request import Request
    from .._response import Response
    from .._types import CookieTypes
    from .._urls import URL

_CREATING = threading.RLock()  # two threads must not make two jars for one `Cookies`
FORKS.renew(sys.modules[__name__], "_CREATING", threading.RLock)


class Cookies(MutableMapping[str, str]):
    """
    A mapping of cookie names to values, around a jar that also has domains and paths.

        cookies = Cookies({"theme": "dark"})
        cookies.set("id", "1", domain="example.org")
        cookies["theme"] == "dark"

    A cookie set without a domain is sent to the host of every request, but a redirect does not carry it to another
    origin. The same name may occur for several domains and paths; reading it raises `CookieConflict` then.

    May be used from several threads at once. True if there is any cookie. A pickle includes the cookies.

    Args:
        cookies: `None`, another `Cookies`, a mapping or pairs of names and values, or an `http.cookiejar.CookieJar`,
            which is then used itself, not copied.

    Raises:
        TypeError: a value is not a str.
        ValueError: a name or value contains ";" or a control character.
    """

    __slots__ = ("__weakref__", "_jar", "_learns")

    _jar: Optional[CookieJar]  # None until a cookie is stored or the user asks for the jar
    _learns: bool  # Whether cookies of responses are stored; False if the client has `cookies=False`.

    def __init__(self, cookies: Optional[CookieTypes] = None) -> None:
        self._jar = None
        self._learns = True
        # By its method, not by its class, which would import http.cookiejar. The jar of `requests` is a
        # mapping too, so this check comes first.
        if hasattr(cookies, "set_cookie"):
            jar: Any = cookies
            self._jar = survives_forks(jar)
        elif cookies is not None:
            self.update(cookies)

    @classmethod
    def _of_client(cls, cookies: Union[CookieTypes, Literal[False], None]) -> Cookies:
        """Return the cookies of a client; `False` gives empty ones that ignore responses."""
        if cookies is not False:
            return cls(cookies)
        switched_off = cls()
        switched_off._learns = False
        return switched_off

    @property
    def jar(self) -> CookieJar:
        """Return the jar, an `http.cookiejar.CookieJar` unless another was given; made on first use."""
        if self._jar is None:
            try:
                with _CREATING:
                    if self._jar is None:
                        self._jar = survives_forks(library().CookieJar())
            except BaseException:
                unlock(_CREATING)  # no `with` does, if an exception came just before its block, or after it
                raise
        return self._jar

    @jar.setter
    def jar(self, jar: CookieJar) -> None:
        self._jar = survives_forks(jar)

    def _all(self) -> list[Cookie]:
        jar = self._jar
        if jar is None:
            return []
        return locked(jar, list, jar)

    def _is_empty(self) -> bool:
        """Return whether there is nothing to send; called by the client before each request."""
        return self._jar is None or not self

    # -- messages

    def extract_cookies(self, response: Response) -> None:
        """
        Store the cookies of the `Set-Cookie` fields of `response` that its `request` allows.

        A field that is malformed, too large, or for a domain other than the sender's is ignored. Needs
        `response.request` only if there is such a field.

        RFC 6265, sections 5.2 and 5.3, as revised by 6265bis, sections 5.6 and 5.7.
        """
        if self._learns:
            self._extract(response)

    def _extract(self, response: Response, shown: bool = False) -> None:
        """
        Store cookies as `extract_cookies` does.

        Args:
            shown: the cookies are only shown, never sent: a Secure cookie is stored even if it came over http.
        """
        headers = response.headers if isinstance(response.headers, Headers) else Headers(response.headers)
        lines = headers._get_all(b"set-cookie")
        if not lines:
            return
        jar = self.jar
        url = response.request.url
        place = Place.of(url)
        if shown:
            place = place._replace(is_secure=True)
        if overrides(jar, "extract_cookies"):
            view: Any = UrllibResponse(lines)
            jar.extract_cookies(view, urllib_request(url, place))
            return
        locked(jar, _store_all, jar, lines, UsersPolicy.of(jar, url, place), place)

    def set_cookie_header(self, request: Request) -> None:
        """
        Add a `Cookie` field to `request` with the cookies for its URL, if there are any.

        An existing `Cookie` field stays unchanged, and wins. Expired cookies are removed from the jar.

        Raises:
            LocalProtocolError: a cookie that the user put into the jar contains ";" or a control character.

        RFC 6265, section 5.4.
        """
        if "cookie" not in request.headers:
            line = self._line_for(request.url)
            if line is not None:
                request.headers["Cookie"] = line

    def _line_for(self, url: URL, added: Optional[Cookies] = None, everywhere: bool = True) -> Union[bytes, str, None]:
        """
        Return the value of the Cookie field of a request to `url`, or None if no cookie is for it.

        Args:
            added: the cookies of the request alone; they replace cookies of the same name, domain and path.
            everywhere: also send this object's cookies without a domain. False for a redirect to another origin.

        Raises: as `set_cookie_header`.
        """
        place = Place.of(url)
        jar = self._jar
        own = None if added is None else added._jar
        if jar is not None and overrides(jar, "add_cookie_header"):
            view = urllib_request(url, place)
            jar.add_cookie_header(view)
            line: Optional[str] = view.get_header("Cookie")
            rest = b"; ".join(pair(cookie) for cookie in _chosen_from(own, url, place, True))
            return b"; ".join([line.encode(), rest]) if line and rest else rest or line
        chosen = _chosen_from(jar, url, place, everywhere)
        if own is not None:
            chosen = in_order([*chosen, *_chosen_from(own, url, place, True)])
        # Bytes, because the setter does not change them: a server gets its octets back.
        return b"; ".join([pair(cookie) for cookie in chosen]) if chosen else None

    def _line_of(self, response: Response, url: URL) -> bytes:
        """Return the value of the Cookie field with those that a response has set and that are kept here; maybe b""."""
        its_own = {(key_of(cookie), cookie.value) for cookie in response.cookies._all()}
        chosen = _chosen_from(self._jar, url, Place.of(url), True)
        return b"; ".join([pair(cookie) for cookie in chosen if (key_of(cookie), cookie.value) in its_own])

    # -- single cookies

    def set(self, name: str, value: str, domain: str = "", path: str = "/") -> None:
        """
        Set a cookie, replacing one with the same name, domain and path.

        Args:
            value: sent unchanged, in UTF-8 if it is not ASCII; `None` sends the name alone.
            domain: sent to this domain and its subdomains, with or without a leading dot; "" is every host.

        Raises:
            TypeError: one of them is not a str.
            ValueError: `name` or `value` contains ";" or a control character: the server would see another cookie.
        """
        if value is not None and not isinstance(value, str):
            raise TypeError(f"the value of cookie {name!r} must be a str, got {type(value).__name__}")
        for what, text in (("name", name), ("domain", domain), ("path", path)):
            if not isinstance(text, str):
                raise TypeError(f"the {what} of a cookie must be a str, got {type(text).__name__}")
        fault = fault_in(name, value)
        if fault:
            raise ValueError(fault)
        cookie = new_cookie(name, value, domain, path, domain_specified=bool(domain), rest={"HttpOnly": None})
        jar = self.jar
        locked(jar, jar.set_cookie, cookie)

    def get(  # type: ignore[override]  # 0.28.1's interface has two more parameters than a mapping
        self, name: str, default: Optional[str] = None, domain: Optional[str] = None, path: Optional[str] = None
    ) -> Optional[str]:
        """
        Return the value of the cookie called `name`, or `default`.

        Args:
            domain: only of this domain, as in the jar (".example.org" if a server gave a domain); `None` is any.
            path: only of this path; `None` is any.

        Raises:
            CookieConflict: there are several.
        """
        found = [cookie for cookie in self._all() if cookie.name == name and is_at(cookie, domain, path)]
        if len(found) > 1:
            # The user chose the hosts; a server chooses the path.
            places = ", ".join(
                sorted(f"{cookie.domain or '(every host)'}{printable(cookie.path)}" for cookie in found)[:4]
            )
            raise CookieConflict(f"{len(found)} cookies are called {name!r}: give a domain or path of {places}")
        return found[0].value if found else default

    def delete(self, name: str, domain: Optional[str] = None, path: Optional[str] = None) -> None:
        """Remove all cookies called `name`, or only those of a domain, a path; does nothing if there are none."""
        self._remove([cookie for cookie in self._all() if cookie.name == name and is_at(cookie, domain, path)])

    def clear(self, domain: Optional[str] = None, path: Optional[str] = None) -> None:
        """Remove all cookies, or only those of a domain, a path; does nothing if there are none."""
        self._remove([cookie for cookie in self._all() if is_at(cookie, domain, path)])

    def _remove(self, cookies: list[Cookie]) -> None:
        if cookies:
            jar = self.jar
            locked(jar, _drop_all, jar, cookies)

    def update(self, cookies: Optional[CookieTypes] = None) -> None:  # type: ignore[override]  # no keywords: 0.28.1
        """Add all of `cookies`, any argument of `Cookies(...)`. Raises what the constructor raises."""
        if cookies is None:
            return
        if isinstance(cookies, (str, bytes)):
            if not cookies:  # treated as none, as in 0.28.1
                return
            raise TypeError(f"cookies must be a mapping, pairs, Cookies or a CookieJar, got {type(cookies).__name__}")
        if isinstance(cookies, Cookies) or hasattr(cookies, "set_cookie"):
            source = cookies if isinstance(cookies, Cookies) else Cookies(cookies)
            for cookie in source._all():
                locked(self.jar, self.jar.set_cookie, cookie)
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
        """Remove all cookies called `name`; as in 0.28.1, it is not an error if there are none."""
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
        return locked(jar, any, (True for _ in jar))

    def __repr__(self) -> str:
        # Without the values, which are mostly sessions and tokens.
        shown = [f"<Cookie {printable(cookie.name, MAX_URL)} for {cookie.domain} />" for cookie in self._all()]
        return f"<Cookies[{', '.join(shown)}]>"

    # CookieJar has a lock and cannot be pickled, so its cookies and policy are; another class must support pickling.

    def __getstate__(self) -> tuple[Any, ...]:
        jar = self._jar
        if jar is None or type(jar) is not library().CookieJar:
            return None, None, jar, self._learns
        return self._all(), users_policy(jar), None, self._learns

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        cookies, policy, jar, self._learns = state
        self._jar = None if jar is None else survives_forks(jar)
        for cookie in cookies or ():
            self.jar.set_cookie(cookie)
        if policy is not None:
            self.jar.set_policy(policy)


def _store_all(jar: CookieJar, lines: list[bytes], policy: Optional[UsersPolicy], place: Place) -> None:
    """Store the cookies of Set-Cookie fields that `place` may set and the user's policy accepts."""
    now = int(time.time())
    judged = (judge(parse(line), place, now) for line in lines[:MAX_FIELDS])
    accepted = [each for each in judged if each is not None and (policy is None or policy.accepts(each))]
    store(jar, accepted, place, now)


def _drop_all(jar: CookieJar, cookies: list[Cookie]) -> None:
    for cookie in cookies:
        drop(jar, cookie)


class _Missing:
    """A default that is never the value of a cookie."""


def _chosen_from(jar: Optional[CookieJar], url: URL, place: Place, everywhere: bool) -> list[Cookie]:
    """Return the cookies of a jar for a request, without those that the user's policy refuses."""
    if jar is None:
        return []
    chosen = locked(jar, chosen_for, jar, place, int(time.time()), everywhere)
    policy = UsersPolicy.of(jar, url, place) if chosen else None
    return chosen if policy is None else [cookie for cookie in chosen if policy.returns(cookie)]
