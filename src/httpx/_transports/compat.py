"""
Compatibility with packages that patch httpcore or inspect it through our transports.

httpx 0.28.1 sent its requests through the pools of httpcore, so packages of the ecosystem (respx, pytest-httpx,
httpx-ws, SDKs in their tests) import that package and patch or inspect its classes. httpx has its own engines and
never imports it. Once a process has imported it, though:

    replaced pool          a package replaced `handle_request` of httpcore's `ConnectionPool`,
                           `HTTPProxy`, `SOCKSProxy` or `HTTPConnection`: the replacement gets our requests, and
                           what it returns becomes our response; so respx works
    handed through         the replacement calls the original: the request goes to our own engine, through `_Door`
    `transport._pool`      passes `isinstance(..., httpcore.ConnectionPool)`, and shows the state of the engine
    `transport._pool = x`  every request goes to x, a pool of httpcore
    `network_stream`       of an upgraded connection is also one of httpcore; its errors are of both packages

Classes that derive from httpcore's are made on demand (`_both`), because httpcore may not be imported before.

Not here: the check of each request, which is one look-up in `sys.modules` (`default`).
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Union

from .. import _exceptions
from .._config import Proxy
from .._content import AsyncIteratorByteStream, IteratorByteStream
from .._exceptions import DestinationRefused, HTTPError, TransportError
from .._request import Request
from .._response import Response
from .._types import AsyncByteStream, SyncByteStream
from .._urls import URL

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from .._engine.settings import Settings
    from .default import AsyncHTTPTransport, HTTPTransport

Transport = Union["HTTPTransport", "AsyncHTTPTransport"]

# For exceptions without a class of the same name in the other package.
_NEAREST = {"CloseError": "NetworkError", "DestinationRefused": "ConnectError"}


@lru_cache(maxsize=64)
def _both(ours: type, theirs: type) -> type:
    """Return a class that behaves as ours and also passes `isinstance` for httpcore's."""
    return type(ours.__name__, (ours, theirs), {"__module__": ours.__module__, "__doc__": ours.__doc__})


# Errors.


def theirs_too(error: TransportError) -> TransportError:
    """Return the same error as an instance of its own class and of httpcore's class of that name."""
    core = sys.modules.get("httpcore")
    name = type(error).__name__
    base = getattr(core, _NEAREST.get(name, name), None)
    if base is None or isinstance(error, base):
        return error
    ours: Any = type(error)
    both: TransportError = _both_errors(ours, base)(*error.args, request=error._request)
    return both


@lru_cache(maxsize=64)
def _both_errors(ours: Any, theirs: type) -> Any:
    def reduce(self: TransportError) -> Any:
        # A pickle holds our class: httpcore may not be installed where it is read.
        return _exceptions._rebuild, (ours, self.args, self.__dict__.copy())

    return type(ours.__name__, (ours, theirs), {"__module__": ours.__module__, "__reduce__": reduce})


@contextmanager
def _as_theirs() -> Iterator[None]:
    """Raise our errors from the `with` block as instances of httpcore's classes, too."""
    try:
        yield
    except TransportError as exc:
        raise theirs_too(exc) from exc


@contextmanager
def _as_ours() -> Iterator[None]:
    """Raise httpcore's errors from the `with` block as ours; others pass through, such as those that a mock raises."""
    try:
        yield
    except Exception as exc:
        if isinstance(exc, HTTPError):
            raise
        for kind in type(exc).__mro__:
            if kind.__module__.partition(".")[0] == "httpcore" and hasattr(_exceptions, kind.__name__):
                raise getattr(_exceptions, kind.__name__)(str(exc)) from exc
        raise


# `network_stream`.


class _Stream:
    """The stream of an upgraded sync connection, with errors that are also httpcore's."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as_theirs():
            return self._connection.read(max_bytes, timeout)  # type: ignore[no-any-return]  # any engine's

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as_theirs():
            self._connection.write(buffer, timeout)

    def close(self) -> None:
        self._connection.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        with _as_theirs():
            return network_stream(self._connection.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._connection.get_extra_info(info)


class _AsyncStream:
    """The stream of an upgraded async connection, with errors that are also httpcore's."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as_theirs():
            return await self._connection.read(max_bytes, timeout)  # type: ignore[no-any-return]  # any engine's

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as_theirs():
            await self._connection.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> Any:
        with _as_theirs():
            return network_stream(await self._connection.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._connection.get_extra_info(info)


def network_stream(connection: Any) -> Any:
    """Return the stream of an upgraded connection for the user: itself, or a view of it if httpcore is imported."""
    is_async = hasattr(connection, "aclose")
    base = getattr(sys.modules.get("httpcore"), "AsyncNetworkStream" if is_async else "NetworkStream", None)
    if base is None:
        return connection
    return _both(_AsyncStream if is_async else _Stream, base)(connection)


# Replaced pools.

# Functions that are known to be httpcore's own, by `id`: proxies such as wrapt's compare equal to what they wrap.
_originals: dict[int, Any] = {}


def _is_original(function: Any) -> bool:
    """
    Return whether httpcore defined this function.

    Its globals tell. Its name and module do not: `functools.wraps` copies them to a replacement.
    """
    if id(function) in _originals:
        return True
    if type(function) is not FunctionType or function.__globals__.get("__name__", "").partition(".")[0] != "httpcore":
        return False
    _originals[id(function)] = function
    return True


def _pool_class(core: Any, transport: Transport) -> Any:
    """Return the pool class of httpcore that 0.28.1 would have used for this transport; None if there is none (yet)."""
    prefix = "Async" if _is_async(transport) else ""
    pool, proxy = getattr(core, f"{prefix}ConnectionPool", None), transport._settings.proxy
    if pool is None or proxy is None:
        return pool
    kind = getattr(core, prefix + ("SOCKSProxy" if proxy.url.scheme.startswith("socks") else "HTTPProxy"), pool)
    # Without the package socksio, httpcore has an unusable class of this name.
    return kind if issubclass(kind, pool) else pool


def replaced(transport: HTTPTransport) -> Any:
    """
    Return the method that gets the transport's requests instead of its engine, with httpcore's types; None without.

    It is None unless `handle_request` was replaced on httpcore's classes.
    """
    return _replaced(transport, "HTTPConnection", "handle_request")


def replaced_async(transport: AsyncHTTPTransport) -> Any:
    """Like `replaced`, for `handle_async_request`."""
    return _replaced(transport, "AsyncHTTPConnection", "handle_async_request")


def _replaced(transport: Transport, connection: str, method: str) -> Any:
    core = sys.modules["httpcore"]
    pool_class, connection_class = _pool_class(core, transport), getattr(core, connection, None)
    if pool_class is None or connection_class is None:
        return None  # only half of it is imported yet
    if not _is_original(getattr(pool_class, method)):
        return getattr(_passage(core, transport), method)
    if not _is_original(getattr(connection_class, method)):
        return partial(_on_connection, transport._settings, connection_class, method)
    return None


def _on_connection(settings: Settings, kind: Any, method: str, request: Any) -> Any:
    """
    Return the response of httpcore's connection class, whose method was replaced.

    If the replacement calls the original, httpcore itself connects: our engine cannot be put below its connection.
    With a guard it cannot connect, because it would not ask the guard.
    """
    context = settings.ssl_context if request.url.scheme == b"https" else None
    backend = {} if settings.guard is None else {"network_backend": _NoNetwork()}
    return getattr(kind(request.url.origin, ssl_context=context, **backend), method)(request)


class _NoNetwork:
    """A network backend for httpcore's connections, sync or async, that makes none."""

    def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> Any:
        raise DestinationRefused(f"the guard cannot judge what httpcore itself connects to for {host!r}")

    def connect_unix_socket(self, path: str, *args: Any, **options: Any) -> Any:
        raise DestinationRefused("the guard cannot judge a Unix socket, which has no address")


def handle(handler: Any, request: Request) -> Response:
    """
    Send a request through a pool of httpcore, or its replacement.

    Args:
        handler: takes an `httpcore.Request`, returns an `httpcore.Response`.

    Raises:
        TransportError: for httpcore's error of the same name. Other exceptions pass through.
    """
    with _as_ours():
        theirs = handler(_to_theirs(request))
    return _to_ours(theirs, _Body(theirs.stream))


async def handle_async(handler: Any, request: Request) -> Response:
    """Send a request like `handle`, with a handler that is awaited."""
    with _as_ours():
        theirs = await handler(_to_theirs(request))
    return _to_ours(theirs, _AsyncBody(theirs.stream))


def _to_theirs(request: Request) -> Any:
    core = sys.modules["httpcore"]
    url = request.url
    return core.Request(
        method=request.method,
        url=core.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _to_ours(theirs: Any, stream: SyncByteStream | AsyncByteStream) -> Response:
    return Response(theirs.status, headers=theirs.headers, stream=stream, extensions=theirs.extensions)


class _Body(SyncByteStream):
    """A body from httpcore, or from a mock of it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_ours():
            yield from self._stream

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()


class _AsyncBody(AsyncByteStream):
    """Like `_Body`, in async code."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_ours():
            async for piece in self._stream:
                yield piece

    async def aclose(self) -> None:
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()


# Handing through: httpcore's pool gets a connection from us, whose one request goes to our engine.


def _passage(core: Any, transport: Transport) -> Any:
    """
    Return a working pool of httpcore, whose connections pass requests to the transport's engine.

    A replacement that calls the original function passes it this pool, so the original code runs on it.
    """
    if _is_async(transport):
        pool, door = core.AsyncConnectionPool, _both(_AsyncDoor, core.AsyncConnectionInterface)
    else:
        pool, door = core.ConnectionPool, _both(_Door, core.ConnectionInterface)
    kind: Any = _both(_Passage, _pool_class(core, transport))
    passage = kind.__new__(kind)
    # The constructor of the plain pool, also for a proxy: our engine connects to the proxy and enforces the limits.
    pool.__init__(passage, max_connections=None)
    passage.make = partial(door, transport)
    return passage


class _Passage:
    """The change to httpcore's pool: where its connections come from."""

    make: Any

    def create_connection(self, origin: object) -> Any:
        return self.make()


class _OneRequest:
    """The state that httpcore's pool reads, for a connection that takes only one request."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._over = False

    def can_handle_request(self, origin: object) -> bool:
        return False

    def is_available(self) -> bool:
        return False

    def has_expired(self) -> bool:
        return False

    def is_idle(self) -> bool:
        return self._over

    def is_closed(self) -> bool:
        return self._over

    def info(self) -> str:
        return "one request to httpx's own engine"


class _Door(_OneRequest):
    """A connection for httpcore that sends through our engine."""

    def handle_request(self, request: Any) -> Any:
        with _as_theirs():
            response = self._transport._engine.handle(_from_theirs(request, IteratorByteStream))
        return _response_for_core(response, _DoorBody(self, response.stream))

    def close(self) -> None:
        self._over = True


class _AsyncDoor(_OneRequest):
    """Like `_Door`, in async code."""

    async def handle_async_request(self, request: Any) -> Any:
        with _as_theirs():
            response = await self._transport._engine_here().handle(_from_theirs(request, AsyncIteratorByteStream))
        return _response_for_core(response, _AsyncDoorBody(self, response.stream))

    async def aclose(self) -> None:
        self._over = True


class _DoorBody(_Body):
    """A body from our engine; closing it closes its door."""

    def __init__(self, door: _Door, stream: Any) -> None:
        super().__init__(stream)
        self._door = door

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        self._stream.close()
        self._door.close()


class _AsyncDoorBody(_AsyncBody):
    """Like `_DoorBody`, in async code."""

    def __init__(self, door: _AsyncDoor, stream: Any) -> None:
        super().__init__(stream)
        self._door = door

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()  # type: ignore[no-any-return]  # an AsyncByteStream

    async def aclose(self) -> None:
        await self._stream.aclose()
        await self._door.aclose()


def _from_theirs(request: Any, kind: Any) -> Request:
    url = request.url
    stream = request.stream
    if not isinstance(stream, (SyncByteStream, AsyncByteStream)):
        stream = kind(stream)
    return Request(
        request.method.decode("ascii"),
        URL(scheme=url.scheme.decode("ascii"), host=url.host.decode("ascii"), port=url.port, raw_path=url.target),
        headers=request.headers,
        stream=stream,
        extensions=request.extensions,
    )


def _response_for_core(response: Response, stream: Any) -> Any:
    core = sys.modules["httpcore"]
    return core.Response(
        status=response.status_code,
        headers=response.headers.raw,
        content=stream,
        extensions=response.extensions,
    )


# `transport._pool`.


def pool_of(transport: Transport) -> Any:
    """Return the value of `transport._pool`: a pool that was set, or a view of the engine."""
    engine: Any = transport._engines if _is_async(transport) else transport._engine
    if isinstance(engine, (_Borrowed, _Everywhere)):
        return engine.pool
    base = _pool_class(sys.modules.get("httpcore"), transport)
    kind: Any = _PoolView if base is None else _both(_PoolView, base)
    view = kind.__new__(kind)
    view.transport = transport
    return view


def _is_async(transport: Transport) -> TypeIs[AsyncHTTPTransport]:
    return hasattr(transport, "_engines")


class _PoolView:
    """
    A view of the engine with the attributes of httpcore's pools that packages read.

    `_requests` are those that wait for a connection or whose response is not closed, `_connections` the open ones.
    """

    transport: Any

    def _pools(self) -> list[Any]:
        transport = self.transport
        engines = list(transport._engines.values()) if _is_async(transport) else [transport._engine]
        return [engine.pool for engine in engines]

    @property
    def _requests(self) -> list[Any]:
        found: list[Any] = []
        for pool in self._pools():
            # The pool knows only their number; packages need no more.
            found += ["active"] * pool.users() + ["waiting"] * pool.counts()[3]
        return found

    @property
    def _connections(self) -> list[Any]:
        return [connection for pool in self._pools() for connection in pool.connections]

    connections = _connections

    @property
    def _ssl_context(self) -> Any:
        return self.transport._settings.ssl_context

    def __getattr__(self, name: str) -> Any:
        """Return the transport's settings, under the names that httpcore uses."""
        if "transport" not in self.__dict__:
            raise AttributeError(name)  # a copy that is being made
        given = self.transport._given
        limits = given["limits"]
        if name in ("_max_connections", "_max_keepalive_connections", "_keepalive_expiry"):
            value = getattr(limits, name[1:])
            return sys.maxsize if value is None and name != "_keepalive_expiry" else value
        if name in ("_http1", "_http2", "_retries", "_local_address", "_uds", "_socket_options"):
            return given[name[1:]]
        proxy = self.transport._settings.proxy
        if name.startswith("_proxy") and proxy is not None:
            return _of_proxy(proxy, name)
        raise AttributeError(f"{type(self).__name__!r} of httpx has no attribute {name!r}")

    def handle_request(self, request: Any) -> Any:
        """Send a request of httpcore, and return a response of httpcore."""
        return _passage(sys.modules["httpcore"], self.transport).handle_request(request)

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request like `handle_request`, in async code."""
        return await _passage(sys.modules["httpcore"], self.transport).handle_async_request(request)

    def close(self) -> None:
        """Close all connections."""
        self.transport.close()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.transport.aclose()

    def __repr__(self) -> str:
        open_requests = len(self._requests)
        return f"<{type(self).__name__} [{open_requests} requests, {len(self._connections)} connections]>"


def _of_proxy(proxy: Proxy, name: str) -> Any:
    if name == "_proxy_url":
        url, core = proxy.url, sys.modules.get("httpcore")
        parts = {"scheme": url.raw_scheme, "host": url.raw_host, "port": url.port, "target": url.raw_path}
        return url if core is None else core.URL(**parts)
    known = {"_proxy_auth": proxy.raw_auth, "_proxy_ssl_context": proxy.ssl_context}
    return _proxy_headers(proxy) if name == "_proxy_headers" else known.get(name)


def _proxy_headers(proxy: Proxy) -> list[tuple[bytes, bytes]]:
    """Return the header fields for a proxy, its credentials first."""
    from .._auth import BasicAuth

    fields = list(proxy.headers.raw)
    if proxy.raw_auth is None:
        return fields
    request = Request("GET", "http://proxy")
    signed = next(BasicAuth(*proxy.raw_auth).sync_auth_flow(request))
    return [(b"Proxy-Authorization", signed.headers["Authorization"].encode("ascii")), *fields]


class _Borrowed:
    """
    A pool of httpcore in the place of an engine. As in 0.28.1 it is entered, left and closed with the transport.

    Args:
        pool: an object with the interface of httpcore's pools.
        replaced: the transport's own engine, which is closed, too.
    """

    def __init__(self, pool: Any, replaced: Any = None) -> None:
        self.pool = pool
        self.replaced = replaced

    def handle(self, request: Request) -> Any:
        if hasattr(self.pool, "handle_async_request"):
            return handle_async(self.pool.handle_async_request, request)
        return handle(self.pool.handle_request, request)

    def enter(self) -> None:
        if hasattr(self.pool, "__enter__"):
            self.pool.__enter__()

    def leave(self, *exc_info: Any) -> None:
        if hasattr(self.pool, "__exit__"):
            self.replaced.close()
            self.pool.__exit__(*exc_info)
        else:
            self.close()

    def close(self) -> None:
        self.replaced.close()
        self.pool.close()


class _Everywhere(dict[Any, Any]):
    """
    A mapping from event loops to engines that has the same engine for all.

    Args:
        engine: with the pool.
        replaced: the transport's own engines.
    """

    def __init__(self, engine: _Borrowed, replaced: dict[Any, Any]) -> None:
        super().__init__()
        self._engine = engine
        self.pool = engine.pool
        self.replaced = replaced

    def get(self, key: Any, default: Any = None) -> Any:
        return self._engine

    pop = get

    async def enter(self) -> None:
        if hasattr(self.pool, "__aenter__"):
            await self.pool.__aenter__()

    async def leave(self, *exc_info: Any) -> None:
        if hasattr(self.pool, "__aexit__"):
            await self.pool.__aexit__(*exc_info)
        else:
            await self.aclose()

    async def aclose(self) -> None:
        await self.pool.aclose()


def use_pool(transport: Transport, pool: Any) -> None:
    """
    Send a transport's requests through a pool of httpcore, or an object with its interface.

    Users do this with `transport._pool = httpcore.ConnectionPool(network_backend=...)`.

    Raises:
        ValueError: the transport has a guard, which such a pool would not ask.
    """
    if transport._settings.guard is not None:
        raise ValueError("a transport with guard= cannot use another pool, which would not ask the guard")
    if _is_async(transport):
        engines: Any = transport._engines
        own = engines.replaced if isinstance(engines, _Everywhere) else engines
        transport._engines = _Everywhere(_Borrowed(pool), own)
    else:
        engine: Any = transport._engine
        own = engine.replaced if isinstance(engine, _Borrowed) else engine
        engine = _Borrowed(pool, own)
        transport._engine = engine
