"""
The transports of the network.

    HTTPTransport        one `SyncEngine`, safe under threads
    AsyncHTTPTransport   one engine for each event loop that it is used from: connections belong to a loop

Not here: connections and protocols (`_engine`), and compatibility with packages that expect httpcore below these
classes (`compat`, which is loaded only if httpcore is, or if `_pool` is used).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

from .._config import DEFAULT_LIMITS, Limits, whole_number
from .._engine.guarding import check as check_guard
from .._engine.names import Names
from .._engine.settings import Settings
from .._engine.sync import SyncEngine
from .._forks import FORKS, unlock
from .._request import Request
from .._response import Response
from .._tls_context import in_state, out_of_state
from .._types import (
    CertTypes,
    GuardTypes,
    PinTypes,
    ProxyChoiceTypes,
    ResolverTypes,
    ResolveTypes,
    SocketOption,
    VerifyTypes,
)
from .base import AsyncBaseTransport, BaseTransport
from .choice import Choice, as_proxy

if TYPE_CHECKING:
    from .._engine.asyncio import AsyncioEngine
    from .._engine.trio import TrioEngine

AsyncEngine = Union["AsyncioEngine", "TrioEngine"]
T = TypeVar("T", bound="HTTPTransport")
A = TypeVar("A", bound="AsyncHTTPTransport")


class HTTPTransport(BaseTransport):
    """
    A transport that sends requests over the network, for sync clients, and keeps connections for later requests.

    Args:
        verify: True checks the server's certificate, False does not; or the authorities (a path, or PEM text),
            "system" for those of the operating system, or a context. See `httpx.create_ssl_context`.
        cert: the client's certificate, as paths or PEM: both in one, (certificate, key), (certificate, key, password).
        trust_env: read SSL_CERT_FILE and SSL_CERT_DIR from the environment.
        http1, http2: the versions to use.
        limits: of the connections.
        proxy: send all requests through this proxy; or a function that gets each request and returns its proxy or
            None. The extension "proxy" of a request overrides both.
        uds: path of a Unix domain socket to connect to, for every host.
        local_address: IP address to connect from.
        retries: how many times to retry a connection that cannot be made; a request that was sent is not repeated.
        socket_options: for `socket.setsockopt`, as tuples of its arguments.
        pins: certificates that hosts must have, in addition to `verify`: {host: pins}, or pins for every host.
            A pin is "sha256//" and the Base64 of the SHA-256 of the public key, or the SHA-256 of the whole certificate
            in hexadecimal digits; one of several must match. "*.example.org" matches all its subdomains.
        resolver: a function that looks up the addresses of a host, instead of the system: (host, port) -> IP
            addresses as text, or tuples as of `socket.getaddrinfo`. It may block; in async clients it may be an
            `async def`. Its exception becomes the cause of a `ConnectError`.
        resolve: addresses of hosts, without a look-up: {"example.org": "127.0.0.1", "host:443": ["::1", ...]}.
        dns_cache_ttl: seconds that the addresses of a name are cached, by default 2; 0 disables the cache.
        address_family: 4 or 6, to connect only with this version of IP.
        guard: a function of host, address and port that returns True if a connection may be made, such as
            `httpx.public_only`. It is asked about every address of a host before each new connection, in the thread
            or on the event loop that connects, so it must not block. If it returns anything else for one of them, or
            raises, the request fails with `DestinationRefused`. Not with `uds`, and with a proxy only if it has
            an attribute `proxies` that is True; then it is asked about the proxy.

    Raises:
        OSError, ssl.SSLError, ImportError: `verify` or `cert` cannot be loaded.
        TypeError, ValueError, InvalidURL: an argument is invalid.
    """

    def __init__(
        self,
        verify: VerifyTypes = True,
        cert: CertTypes | None = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        proxy: ProxyChoiceTypes | None = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Iterable[SocketOption] | None = None,
        *,
        pins: PinTypes | None = None,
        resolver: ResolverTypes | None = None,
        resolve: ResolveTypes | None = None,
        dns_cache_ttl: float | None = None,
        address_family: int | None = None,
        guard: GuardTypes | None = None,
    ) -> None:
        self._given: dict[str, Any] = {
            "verify": verify,
            "cert": cert,
            "trust_env": trust_env,
            "http1": http1,
            "http2": http2,
            "limits": limits,
            "proxy": proxy,
            "uds": uds,
            "local_address": local_address,
            "retries": retries,
            "socket_options": None if socket_options is None else list(socket_options),
            "pins": pins,
            "resolver": resolver,
            "resolve": resolve,
            "dns_cache_ttl": dns_cache_ttl,
            "address_family": address_family,
            "guard": guard,
        }
        self._settings = _settings(**self._given)
        if self._settings.names.is_awaited:
            raise TypeError("the resolver is an `async def`, which only an async transport can await")
        self._engine = SyncEngine(self._settings)
        self._choice = Choice(self._settings, proxy if callable(proxy) else None, SyncEngine, SyncEngine.close)
        self._chooses = callable(proxy)

    def __enter__(self: T) -> T:
        enter = getattr(self._engine, "enter", None)  # a pool of httpcore may have replaced it
        if enter is not None:
            enter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        leave = getattr(self._engine, "leave", None)
        if leave is None:
            self.close()
        else:
            leave(exc_type, exc_value, traceback)
            self._close_chosen()

    def handle_request(self, request: Request) -> Response:
        """Send one request; see `BaseTransport.handle_request`."""
        if "httpcore" in sys.modules:
            from . import compat

            replaced = compat.replaced(self)
            if replaced is not None:
                return compat.handle(replaced, request)
        if self._chooses or "proxy" in request.extensions:
            use = self._choice.use(request)
            if use is not None:
                with use as engine:
                    return engine.handle(request)  # type: ignore[no-any-return]  # a SyncEngine
        return self._engine.handle(request)

    def close(self) -> None:
        """Close all connections."""
        self._engine.close()
        self._close_chosen()

    def _close_chosen(self) -> None:
        for _, engine in self._choice.take_all():
            engine.close()

    @property
    def _pool(self) -> Any:
        """The pool as packages expect it of httpcore, to inspect or to replace: see `compat`."""
        from . import compat

        return compat.pool_of(self)

    @_pool.setter
    def _pool(self, pool: Any) -> None:
        from . import compat

        compat.use_pool(self, pool)

    def __getstate__(self) -> dict[str, Any]:
        return _configuration(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        HTTPTransport.__init__(self, **_given_in(state))
        self.__dict__.update(state)


class AsyncHTTPTransport(AsyncBaseTransport):
    """
    A transport that sends requests over the network, for async clients (asyncio or trio).

    Arguments as in `HTTPTransport`.

    It may be used from several event loops, one after the other or at once in several threads: each has its own
    connections and its own limits.
    """

    def __init__(
        self,
        verify: VerifyTypes = True,
        cert: CertTypes | None = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        proxy: ProxyChoiceTypes | None = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Iterable[SocketOption] | None = None,
        *,
        pins: PinTypes | None = None,
        resolver: ResolverTypes | None = None,
        resolve: ResolveTypes | None = None,
        dns_cache_ttl: float | None = None,
        address_family: int | None = None,
        guard: GuardTypes | None = None,
    ) -> None:
        self._given: dict[str, Any] = {
            "verify": verify,
            "cert": cert,
            "trust_env": trust_env,
            "http1": http1,
            "http2": http2,
            "limits": limits,
            "proxy": proxy,
            "uds": uds,
            "local_address": local_address,
            "retries": retries,
            "socket_options": None if socket_options is None else list(socket_options),
            "pins": pins,
            "resolver": resolver,
            "resolve": resolve,
            "dns_cache_ttl": dns_cache_ttl,
            "address_family": address_family,
            "guard": guard,
        }
        self._settings = _settings(**self._given)
        self._engines: dict[Any, AsyncEngine] = {}
        self._lock = RLock()
        FORKS.renew(self, "_lock", RLock)
        self._choice = Choice(
            self._settings, proxy if callable(proxy) else None, _engine_of_this_loop, _close_from_outside
        )
        self._chooses = callable(proxy)

    async def __aenter__(self: A) -> A:
        enter = getattr(self._engines, "enter", None)  # a pool of httpcore may have replaced them
        if enter is not None:
            await enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        leave = getattr(self._engines, "leave", None)
        if leave is None:
            await self.aclose()
        else:
            await leave(exc_type, exc_value, traceback)
            await self._close_own()

    async def handle_async_request(self, request: Request) -> Response:
        """Send one request; see `AsyncBaseTransport.handle_async_request`."""
        modules = sys.modules
        if "httpcore" in modules:
            from . import compat

            replaced = compat.replaced_async(self)
            if replaced is not None:
                return await compat.handle_async(replaced, request)
        if self._chooses or "proxy" in request.extensions:
            use = self._choice.use(request, _running())
            if use is not None:
                with use as chosen:
                    return await chosen.handle(request)  # type: ignore[no-any-return]  # an AsyncEngine
        # If only asyncio is imported, the running loop is found without a call of `_place`.
        running = modules["asyncio"].get_running_loop() if "trio" not in modules else _running()
        engine = self._engines.get(running)
        if engine is None:
            engine = self._new_engine()
        return await engine.handle(request)

    async def aclose(self) -> None:
        """Close all connections, including those of other event loops."""
        close = getattr(self._engines, "aclose", None)
        if close is not None:
            await close()
        await self._close_own()

    async def _close_own(self) -> None:
        """Close the engines of this transport, and those of chosen proxies."""
        try:
            with self._lock:
                if hasattr(self._engines, "replaced"):  # by a pool of httpcore, which stays
                    engines, self._engines.replaced = self._engines.replaced, {}
                else:
                    engines, self._engines = self._engines, {}
        except BaseException:
            unlock(self._lock)  # no `with` does, if an exception came just before its block, or after it
            raise
        here = _running()
        own: list[AsyncEngine] = []
        for place, engine in [*engines.items(), *self._choice.take_all()]:
            own.append(engine) if place is here else engine.close_from_outside()
        for engine in own:
            await engine.aclose()

    def __getstate__(self) -> dict[str, Any]:
        return _configuration(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        AsyncHTTPTransport.__init__(self, **_given_in(state))
        self.__dict__.update(state)

    @property
    def _pool(self) -> Any:
        """The pool as packages expect it of httpcore, see `HTTPTransport._pool`."""
        from . import compat

        return compat.pool_of(self)

    @_pool.setter
    def _pool(self, pool: Any) -> None:
        from . import compat

        compat.use_pool(self, pool)

    def _engine_here(self) -> AsyncEngine:
        return self._engines.get(_running()) or self._new_engine()

    def _new_engine(self) -> AsyncEngine:
        try:
            with self._lock:
                # Loops that have ended cannot close their connections any more.
                for ended in [loop for loop, engine in self._engines.items() if engine.has_ended()]:
                    self._engines.pop(ended).close_from_outside()
                for other in self._choice.take_ended():
                    other.close_from_outside()
                engine = _engine_of_this_loop(self._settings)
                # A new dictionary: other threads may be reading the old one.
                self._engines = {**self._engines, _running(): engine}
        except BaseException:
            unlock(self._lock)
            raise
        return engine


# Attributes that the constructors make. They are not copied or pickled with a transport: the copy makes its own.
_MADE = frozenset(("_settings", "_engine", "_engines", "_lock", "_choice", "_chooses"))


def _configuration(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a transport without its connections: its arguments, and attributes of a subclass."""
    state = {name: value for name, value in attributes.items() if name not in _MADE}
    state["_given"] = {name: in_state(value) for name, value in state["_given"].items()}
    return state


def _given_in(state: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the constructor, removed from a state."""
    return {name: out_of_state(value) for name, value in state.pop("_given").items()}


def guard_of(transport: object) -> GuardTypes | Literal[False] | None:
    """Return the guard of a transport of the network, None if it has none, or False if it is not of the network."""
    return transport._settings.guard if isinstance(transport, (HTTPTransport, AsyncHTTPTransport)) else False


def _running() -> Any:
    """Return the identity of the running event loop: trio's token, or an asyncio loop."""
    modules = sys.modules
    if "trio" in modules:
        # Checked first: trio may run as a guest on an asyncio loop.
        lowlevel = modules["trio"].lowlevel
        try:
            lowlevel.current_task()
            return lowlevel.current_trio_token()
        except RuntimeError:
            pass
    if "asyncio" not in modules:
        raise RuntimeError("an async client must be used on asyncio or trio, and neither is running")
    return modules["asyncio"].get_running_loop()


def _engine_of_this_loop(settings: Settings) -> AsyncEngine:
    if type(_running()).__module__.startswith("trio."):
        from .._engine.trio import TrioEngine

        return TrioEngine(settings)
    from .._engine.asyncio import AsyncioEngine

    return AsyncioEngine(settings)


def _settings(
    verify: VerifyTypes,
    cert: CertTypes | None,
    trust_env: bool,
    http1: bool,
    http2: bool,
    limits: Limits,
    proxy: ProxyChoiceTypes | None,
    uds: str | None,
    local_address: str | None,
    retries: int,
    socket_options: Iterable[SocketOption] | None,
    pins: PinTypes | None,
    guard: GuardTypes | None,
    **names: Any,
) -> Settings:
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be an httpx.Limits, got {type(limits).__name__}")
    if guard is not None:
        check_guard(guard, proxy is not None, uds)
    return Settings(
        verify=verify,
        cert=cert,
        trust_env=trust_env,
        http1=http1,
        http2=http2,
        limits=limits,
        uds=uds,
        local_address=local_address,
        retries=whole_number("retries", retries, 0),
        proxy=None if callable(proxy) else as_proxy(proxy),
        socket_options=socket_options,
        pins=pins,
        names=Names(**names),
        guard=guard,
    )


def _close_from_outside(engine: AsyncEngine) -> None:
    engine.close_from_outside()
