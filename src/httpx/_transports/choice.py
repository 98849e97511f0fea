"""
Which proxy a request goes through, where that is not the same for all requests.

    request.extensions["proxy"]     a URL, a Proxy, or None for no proxy: for this request
    proxy=function                  function(request) -> the same: for each request of a transport
    proxy=...                       for all others

The transport has an engine for its own proxy, and one more for each other proxy that requests ask for: connections
are kept by proxy, its credentials and fields included. At most `MAX_ENGINES` of these are kept. Where there are more,
unused ones are closed, the least recently used one first; one in use is never closed for that.

Not here: what is said to a proxy (`_engine.route`), which proxy the environment wants (`_proxies`).
"""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable

from .._config import Proxy
from .._engine.settings import Settings
from .._forks import FORKS
from .._urls import URL

if TYPE_CHECKING:
    from .._request import Request

# Each has its own limits, of 100 connections by default: enough for a few proxies that take turns.
MAX_ENGINES = 16
# Texts of proxies that are remembered as what they mean.
_MAX_TEXTS = 64

Function = Callable[["Request"], Any]


def as_proxy(proxy: Any) -> Proxy | None:
    """
    Return a proxy that was given as a URL, a `Proxy` or None as a `Proxy` or None.

    Raises:
        InvalidURL, TypeError, ValueError: it is not a proxy.
    """
    if proxy is None or isinstance(proxy, Proxy):
        return proxy
    if isinstance(proxy, (str, URL)):
        return Proxy(proxy)
    raise TypeError(f"a proxy is a URL, an httpx.Proxy or None, not {type(proxy).__name__}")


def _identity(proxy: Proxy | None) -> Hashable:
    """Requests may share connections if this is the same."""
    if proxy is None:
        return None
    return str(proxy.url), proxy.auth, tuple(proxy.headers.raw), proxy.ssl_context


class _Entry:
    """An engine, and how many requests are in its `handle` now."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.users = 0

    def is_busy(self) -> bool:
        """Return whether requests use the engine. Those of an event loop that has ended do not go on."""
        has_ended = getattr(self.engine, "has_ended", None)  # engines for threads have none
        if has_ended is not None and has_ended():
            return False
        opened, idle, dials, waiting = self.engine.pool.counts()
        return bool(self.users or opened > idle or dials or waiting)


class Choice:
    """
    The engines of one transport besides its own. Threads and event loops may share it.

    Args:
        settings: the transport's.
        function: what was given as `proxy=`, if it chooses; else None.
        make: an engine, for settings.
        close: closes an engine, from wherever it is called.
    """

    def __init__(
        self,
        settings: Settings,
        function: Function | None,
        make: Callable[[Settings], Any],
        close: Callable[[Any], None],
    ) -> None:
        self.function = function
        self._settings = settings
        self._make = make
        self._close = close
        self._own = _identity(settings.proxy)
        self._lock = Lock()
        self._entries: dict[tuple[Hashable, Hashable], _Entry] = {}  # least recently used first
        # In a forked child the requests that use an engine do not go on.
        FORKS.renew(self, "_lock", Lock)
        FORKS.renew(self, "_entries", dict)
        self._texts: dict[str, Proxy] = {}

    def use(self, request: Request, place: Hashable = None) -> Use | None:
        """
        Return the engine for this request, for the time of a `with`; None if it is the transport's own.

        Args:
            request: it has the extension "proxy", or there is a function.
            place: engines of different places are different ones: the event loop.

        Raises:
            InvalidURL, TypeError, ValueError: what was chosen is not a proxy.
        """
        proxy = self._chosen(request)
        identity = _identity(proxy)
        if identity == self._own:
            return None
        key = place, identity
        with self._lock:
            entry = self._entries.pop(key, None)
            surplus = [] if entry is not None else self._take_surplus()
            if entry is None:
                entry = _Entry(self._make(self._settings.by_way_of(proxy)))
            self._entries[key] = entry
            entry.users += 1
        for engine in surplus:
            self._close(engine)
        return Use(self, entry)

    def _chosen(self, request: Request) -> Proxy | None:
        extensions = request.extensions
        if "proxy" in extensions:
            chosen = extensions["proxy"]
        else:
            assert self.function is not None
            chosen = self.function(request)
        if type(chosen) is not str:
            return as_proxy(chosen)
        proxy = self._texts.get(chosen)
        if proxy is None:
            proxy = Proxy(chosen)
            if len(self._texts) >= _MAX_TEXTS:
                self._texts.clear()
            self._texts[chosen] = proxy
        return proxy

    def _take_surplus(self) -> list[Any]:
        """Remove and return unused engines, to make room for one more."""
        surplus = []
        for key, entry in list(self._entries.items()):
            if len(self._entries) < MAX_ENGINES:
                break
            if not entry.is_busy():
                surplus.append(self._entries.pop(key).engine)
        return surplus

    def leave(self, entry: _Entry) -> None:
        """Note that a request has left `handle`."""
        with self._lock:
            entry.users -= 1

    def take_all(self) -> list[tuple[Hashable, Any]]:
        """Forget every engine, and return them with their places, to be closed."""
        with self._lock:
            entries, self._entries = self._entries, {}
        return [(place, entry.engine) for (place, _), entry in entries.items()]

    def take_ended(self) -> list[Any]:
        """Forget the engines of event loops that have ended, and return them."""
        with self._lock:
            ended = [key for key, entry in self._entries.items() if entry.engine.has_ended()]
            return [self._entries.pop(key).engine for key in ended]


class Use:
    """The time in which a request is in an engine's `handle`: the engine is not closed then for lack of room."""

    __slots__ = ("_choice", "_entry")

    def __init__(self, choice: Choice, entry: _Entry) -> None:
        self._choice = choice
        self._entry = entry

    def __enter__(self) -> Any:
        return self._entry.engine

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._choice.leave(self._entry)
