"""
Which cookies leave a jar that is full.

A domain has at most `MAX_PER_DOMAIN` cookies, a jar at most about `MAX_TOTAL`: a program that calls many hosts with one
client would else keep all that they ever sent. The total is counted only now and then, because counting takes as long
as the jar is large. Cookies without a domain, which a user set for all hosts, stay.

Not here: which cookies are accepted (`rules`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .storage import drop, origin_of, stored

if TYPE_CHECKING:
    from http.cookiejar import Cookie, CookieJar

MAX_PER_DOMAIN = 180  # cookies; the limit of browsers (6265bis, section 5.7)
MAX_TOTAL = 10_000  # cookies; three times that of browsers (RFC 6265, section 6.1, asks for at least 3,000)
# A full jar is reduced to this, and can take as many again before it is counted anew.
_KEPT = MAX_TOTAL * 3 // 4


def make_room(jar: CookieJar, domain: str, added: int, now: int) -> None:
    """Remove what is too much after so many cookies were stored for `domain`. The caller holds the lock."""
    present = stored(jar, [domain])
    if len(present) > MAX_PER_DOMAIN:
        for old in _in_order_of_leaving(present, now)[:-MAX_PER_DOMAIN]:
            drop(jar, old)
    # On the jar, because several objects may share it.
    count = getattr(jar, "_httpx_stored", 0) + added
    if count > MAX_TOTAL - _KEPT:
        count = 0
        _reduce(jar, now)
    try:
        jar._httpx_stored = count  # type: ignore[attr-defined]  # ours; the class accepts attributes
    except AttributeError:  # a jar of the user with __slots__ is the user's to bound
        pass


def _reduce(jar: CookieJar, now: int) -> None:
    """Reduce a full jar: the sites with the most lose theirs, so that one cannot displace all others."""
    sites: dict[str, list[Cookie]] = {}
    for cookie in jar:
        if cookie.domain:
            sites.setdefault(site_of(cookie.domain), []).append(cookie)
    if sum(map(len, sites.values())) <= _KEPT:
        return
    share = max(1, _share(map(len, sites.values()), _KEPT))
    ordered = [_in_order_of_leaving(cookies, now) for cookies in sites.values()]
    kept = [cookie for cookies in ordered for cookie in cookies[-share:]]
    leaving = [cookie for cookies in ordered for cookie in cookies[:-share]]
    # There may be more sites than cookies that can stay.
    leaving += _in_order_of_leaving(kept, now)[: max(0, len(kept) - _KEPT)]
    for old in leaving:
        drop(jar, old)


def _in_order_of_leaving(cookies: list[Cookie], now: int) -> list[Cookie]:
    """Return cookies in another order: first expired ones, then the oldest, Secure ones last."""
    return sorted(cookies, key=lambda old: (not old.is_expired(now), old.secure, origin_of(old).serial))


def site_of(domain: str) -> str:
    """Return the last two labels of a domain. For names below a longer public suffix, that groups several sites."""
    return ".".join(domain.lstrip(".").rsplit(".", 2)[-2:])


def _share(sizes: Iterable[int], total: int) -> int:
    """Return how many each group may keep, so that together they have at most `total`."""
    ascending = sorted(sizes)
    for at, size in enumerate(ascending):
        share = total // (len(ascending) - at)
        if size > share:
            return share
        total -= size
    return max(ascending, default=0)
