"""
Choose the proxy of each request, if it is not the same for all.

    request.extensions["proxy"]     a URL, a Proxy, or None for no proxy: for this request
    proxy=function                  function(request) -> the same: for each request of a transport
    proxy=...                       for all others

The transport has an engine for its own proxy (or none), and one more for each other proxy that requests choose:
connections are kept by proxy, its credentials and header fields included. At most `MAX_ENGINES` of these are kept.
Above that, engines that are not in use are closed, the least recently used first; engines in use never are.

Not here: the proxy protocols (`_engine.route`), the proxies of the environment (`_proxies`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable
from weakref import WeakSet

from .._config import Proxy
from .._engine.settings import Settings
from .._forks import FORKS, unlock
from .._urls import URL

if TYPE_CHECKING:
    from .._request import Request

# Each has its own limits, of 100 connections by default: enough for a few proxies that take turns.
MAX_ENGINES = 16
# How many proxies given as text are kept in parsed form.
_MAX_TEXTS = 64

Function = Callable[["Request"], Any]


def as_proxy(proxy: Any) -> Proxy | None:
    """
    Return the value that was given as a proxy, as a `Proxy`.

    Raises:
        InvalidURL, TypeError, ValueError: it is not a valid proxy.
    """
    if proxy is None or isinstance(proxy, Proxy):
        return proxy
    if isinstance(proxy, (str, URL)):
        return Proxy(proxy)
    raise TypeError(f"a proxy must be a URL, an httpx.Proxy or None, got {type(proxy).__name__}")


def _identity(proxy: Proxy | None) -> Hashable:
    """Return a key of a proxy: requests with the same key may share connections."""
    if proxy is None:
        return None
    return str(proxy.url), proxy.auth, tuple(proxy.headers.raw), proxy.ssl_context


class _Entry:
    """
    An engine and the requests that are in its `handle` now.

    Weakly: what an exception out of a signal handler interrupts before its `with` is not there for ever.
    """

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.users: WeakSet[Use] = WeakSet()

    def is_busy(self) -> bool:
        """Return whether it is in use. On an event loop that has ended it is not, even if something is open there."""
        has_ended = getattr(self.engine, "has_ended", None)  # engines for threads have none
        if has_ended is not None and has_ended():
            return False
        opened, idle, dials, waiting = self.engine.pool.counts()
        return bool(len(self.users) or opened > idle or dials or waiting)


class Choice:
    """
    The engines of a transport for chosen proxies. Threads and event loops may share it.

    Args:
        settings: those of the transport.
        function: the function that was given as `proxy=`; None if it was not a function.
        make: returns an engine for settings.
        close: closes an engine; may be called on any thread or event loop.
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
        self._lock = RLock()
        # The least recently used one first.
        self._entries: OrderedDict[tuple[Hashable, Hashable], _Entry] = OrderedDict()
        # In a forked child, requests that were in an engine are not continued.
        FORKS.renew(self, "_lock", RLock)
        FORKS.renew(self, "_entries", OrderedDict)
        self._texts: dict[str, Proxy] = {}

    def use(self, request: Request, place: Hashable = None) -> Use | None:
        """
        Return a context manager that yields the engine for this request; None if it is the transport's own.

        Args:
            request: has the extension "proxy", unless there is a function.
            place: the event loop; each has its own engines.

        Raises:
            InvalidURL, TypeError, ValueError: the chosen value is not a valid proxy.
        """
        proxy = self._chosen(request)
        identity = _identity(proxy)
        if identity == self._own:
            return None
        surplus: list[Any] = []
        try:
            with self._lock:
                use = self._enter((place, identity), proxy, surplus)
        except BaseException:
            unlock(self._lock)  # no `with` does, if an exception came just before its block, or after it
            raise
        finally:
            for engine in surplus:
                self._close(engine)
        return use

    def _enter(self, key: tuple[Hashable, Hashable], proxy: Proxy | None, surplus: list[Any]) -> Use:
        """Return the use of an engine, a new one if there is none; `surplus` gets those that are to be closed."""
        entry = self._entries.get(key)
        if entry is None:
            self._take_surplus(surplus)
            entry = _Entry(self._make(self._settings.by_way_of(proxy)))
        self._entries[key] = entry
        self._entries.move_to_end(key)
        use = Use(entry)
        entry.users.add(use)
        return use

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

    def _take_surplus(self, surplus: list[Any]) -> None:
        """Take engines that are not in use, to be closed, until there is room for one more."""
        for key, entry in list(self._entries.items()):
            if len(self._entries) < MAX_ENGINES:
                break
            if not entry.is_busy():
                surplus.append(entry.engine)
                self._entries.pop(key, None)

    def take_all(self) -> list[tuple[Hashable, Any]]:
        """Forget every engine, and return them with their places, to be closed."""
        try:
            with self._lock:
                entries, self._entries = self._entries, OrderedDict()
        except BaseException:
            unlock(self._lock)
            raise
        return [(place, entry.engine) for (place, _), entry in entries.items()]

    def take_ended(self) -> list[Any]:
        """Forget the engines of event loops that have ended, and return them with their places, to be closed."""
        try:
            with self._lock:
                ended = [key for key, entry in self._entries.items() if entry.engine.has_ended()]
                return [self._entries.pop(key).engine for key in ended]
        except BaseException:
            unlock(self._lock)
            raise


class Use:
    """A context in which a request is in an engine's `handle`: the engine is not closed for lack of room meanwhile."""

    __slots__ = ("__weakref__", "_entry")

    def __init__(self, entry: _Entry) -> None:
        self._entry = entry

    def __enter__(self) -> Any:
        return self._entry.engine

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._entry.users.discard(self)
