"""
The user's own policies and jars, which have urllib's interface.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Optional

from .storage import library

if TYPE_CHECKING:
    import urllib.request
    from http.cookiejar import Cookie, CookieJar, CookiePolicy

    from .._urls import URL
    from .rules import Place


def users_policy(jar: CookieJar) -> Optional[CookiePolicy]:
    """Return the jar's policy, unless it is the unchanged default one, whose rules are covered by ours."""
    policy: Optional[CookiePolicy] = getattr(jar, "_policy", None)
    if type(policy) is not library().DefaultCookiePolicy:
        return policy
    chosen = {key: value for key, value in vars(policy).items() if key != "_now"}
    return None if chosen == _default_policy() else policy


@functools.cache
def _default_policy() -> dict[str, Any]:
    settings: dict[str, Any] = vars(library().DefaultCookiePolicy())
    return settings


class UsersPolicy:
    """A user's policy of a jar, to be consulted about cookies of one request."""

    def __init__(self, policy: CookiePolicy, url: URL, place: Place) -> None:
        self._policy = policy
        self._view = urllib_request(url, place)
        policy._now = int(time.time())  # type: ignore[attr-defined]  # CookieJar also sets it before its calls

    @classmethod
    def of(cls, jar: CookieJar, url: URL, place: Place) -> Optional[UsersPolicy]:
        policy = users_policy(jar)
        return None if policy is None else cls(policy, url, place)

    def accepts(self, cookie: Cookie) -> bool:
        """Return whether the cookie may be stored."""
        return self._policy.set_ok(cookie, self._view)

    def returns(self, cookie: Cookie) -> bool:
        """Return whether the cookie may be sent."""
        return (
            self._policy.domain_return_ok(cookie.domain, self._view)
            and self._policy.path_return_ok(cookie.path, self._view)
            and self._policy.return_ok(cookie, self._view)
        )


def urllib_request(url: URL, place: Place) -> urllib.request.Request:
    """Return the request in a policy's form. Secure by our rule: else the policy would refuse cookies on localhost."""
    from urllib.request import Request

    view = Request(str(url))
    view.type = "https" if place.is_secure else "http"
    return view


class UrllibResponse:
    """The response in the form for a jar's own `extract_cookies`."""

    def __init__(self, lines: list[bytes]) -> None:
        from email.message import Message

        self._fields = Message()
        for line in lines:
            self._fields["Set-Cookie"] = line.decode("iso-8859-1")

    def info(self) -> Any:
        """Return the Set-Cookie fields, as an `email.message.Message`."""
        return self._fields
