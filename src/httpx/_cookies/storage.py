"""
Cookie objects, and the jar that holds them.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar

from .._forks import FORKS, unlock

if TYPE_CHECKING:
    from http.cookiejar import Cookie, CookieJar

T = TypeVar("T")

_FOR_FOREIGN_JARS = threading.RLock()  # for a jar that is not derived from CookieJar and has no lock
FORKS.renew(sys.modules[__name__], "_FOR_FOREIGN_JARS", threading.RLock)


class Origin(NamedTuple):
    """Properties without a field in the standard cookie object; kept as an attribute of the cookie."""

    serial: int = 0  # increases with every new cookie; one from elsewhere counts as older than all of ours
    charset: str = "utf-8"
    is_secure: bool = True  # it came over https, or from the user
    host: Optional[str] = None  # its only host, where the jar's spelling is ambiguous


_UNKNOWN = Origin()
# Starts at the current time, so that it also increases from one process to the next: cookies may be pickled.
serials = itertools.count(time.time_ns())


def origin_of(cookie: Cookie) -> Origin:
    origin: Origin = getattr(cookie, "_httpx_origin", _UNKNOWN)
    return origin


def set_origin(cookie: Cookie, origin: Origin) -> None:
    cookie._httpx_origin = origin  # type: ignore[attr-defined]  # ours; the class accepts attributes


def new_cookie(
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
    origin: Optional[Origin] = None,
) -> Cookie:
    """Return a standard cookie object; the defaults are those of a cookie that a user sets."""
    cookie: Cookie = library().Cookie(
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
    set_origin(cookie, origin or Origin(next(serials)))
    return cookie


def key_of(cookie: Cookie) -> tuple[str, str, str]:
    return cookie.domain, cookie.path, cookie.name


def is_at(cookie: Cookie, domain: Optional[str], path: Optional[str]) -> bool:
    """Return whether a cookie has the user's domain and path; "localhost" also matches its form in the jar."""
    if domain is not None:
        if not isinstance(domain, str):
            raise TypeError(f"the domain of a cookie must be a str, got {type(domain).__name__}")
        if cookie.domain not in (domain.lower(), jar_host(domain.lower()) if domain else ""):
            return False
    return path is None or cookie.path == path


def drop(jar: CookieJar, cookie: Cookie) -> None:
    try:
        jar.clear(*key_of(cookie))
    except KeyError:
        pass  # another thread was faster


def stored(jar: CookieJar, domains: list[str]) -> list[Cookie]:
    """
    Return the jar's cookies of these domains.

    CookieJar keeps them by domain, under a private name that has not changed since Python 2.4; a look-up there costs
    3 µs however many cookies there are, where iterating over 1,000 of them costs 200. Other jars are iterated over.
    """
    tree = _tree_of(jar)
    if tree is None:
        return [cookie for cookie in jar if cookie.domain in domains]
    return [
        cookie
        for domain in domains
        if domain in tree
        for cookies in tree[domain].values()
        for cookie in cookies.values()
    ]


def found(jar: CookieJar, cookie: Cookie) -> Optional[Cookie]:
    """Return the jar's cookie with the name, domain and path of this one; as fast as `stored`."""
    tree = _tree_of(jar)
    if tree is None:
        return next((old for old in jar if key_of(old) == key_of(cookie)), None)
    there: Optional[Cookie] = tree.get(cookie.domain, {}).get(cookie.path, {}).get(cookie.name)
    return there


def domains_below(jar: CookieJar, suffix: str) -> list[str]:
    """Return the domains of the jar's cookies that end with a suffix."""
    tree = _tree_of(jar)
    return [
        domain for domain in ({cookie.domain for cookie in jar} if tree is None else tree) if domain.endswith(suffix)
    ]


def _tree_of(jar: CookieJar) -> Optional[dict[str, Any]]:
    tree = getattr(jar, "_cookies", None)
    return tree if isinstance(tree, dict) and not overrides(jar, "__iter__") else None


def survives_forks(jar: CookieJar) -> CookieJar:
    """Return a jar whose lock is replaced in a forked child, where another thread may have held it."""
    if hasattr(jar, "_cookies_lock"):
        FORKS.renew(jar, "_cookies_lock", threading.RLock)
    return jar


def lock_of(jar: CookieJar) -> Any:
    """
    Return the lock under which the jar is read and changed: its own, so that all users of the jar share it.

    CookieJar's methods take it too (it is reentrant), but iterating over the jar does not.
    """
    return getattr(jar, "_cookies_lock", _FOR_FOREIGN_JARS)


def locked(jar: CookieJar, function: Callable[..., T], *args: Any) -> T:
    """
    Return the result of a function that is called under the jar's lock.

    The lock is released whatever interrupts that: an exception out of a signal handler may come just before a `with`
    block begins, or after it has ended.
    """
    lock = lock_of(jar)
    is_owned = getattr(lock, "_is_owned", None)
    is_ours = is_owned is not None and not is_owned()
    try:
        with lock:
            return function(*args)
    except BaseException:
        if is_ours:
            unlock(lock)
        raise


@functools.cache
def library() -> Any:
    """Return the module `http.cookiejar`, imported on first use: it takes 20 ms."""
    return importlib.import_module("http.cookiejar")


def overrides(jar: CookieJar, method: str) -> bool:
    """Return whether the user's jar overrides this method of CookieJar."""
    return getattr(type(jar), method, None) not in (getattr(library().CookieJar, method), None)


def jar_host(host: str) -> str:
    """Return the host in the form in which `http.cookiejar` keeps it: a name without a dot ends in ".local"."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if "." in host else bracketed + ".local"
