"""
A stand-in for the package httpcore: as much of its interface as other packages patch, derive from or look at.

    core = fake_httpcore.module()
    monkeypatch.setitem(sys.modules, "httpcore", core)

Its functions have the module's dictionary as their globals, as those of the real package have, because that is how
`httpx._transports.compat` knows an original. Its pool asks `create_connection` for a connection and lets it answer; its
own connections answer without a network. Facts about names only: it shares no code with the package.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

SOURCE = '''
class NetworkError(Exception): ...
class ReadError(NetworkError): ...
class WriteError(NetworkError): ...
class ConnectError(NetworkError): ...
class TimeoutException(Exception): ...
class ReadTimeout(TimeoutException): ...
class WriteTimeout(TimeoutException): ...
class ConnectTimeout(TimeoutException): ...
class ConnectionNotAvailable(Exception): ...
class NetworkStream: ...
class AsyncNetworkStream: ...
class ConnectionInterface: ...
class AsyncConnectionInterface: ...


class URL:
    def __init__(self, *, scheme, host, port=None, target=b"/"):
        self.scheme, self.host, self.port, self.target = scheme, host, port, target

    @property
    def origin(self):
        return (self.scheme, self.host, self.port)


class Request:
    def __init__(self, method, url, *, headers=None, content=None, extensions=None):
        self.method = method if isinstance(method, bytes) else method.encode("ascii")
        self.url, self.headers, self.stream = url, list(headers or ()), content
        self.extensions = dict(extensions or {})


class Stream:
    """A body in memory."""

    def __init__(self, body):
        self.body, self.closed = body, False

    def __iter__(self):
        return iter([self.body])

    async def __aiter__(self):
        yield self.body

    def close(self):
        self.closed = True

    async def aclose(self):
        self.closed = True


class Response:
    def __init__(self, status, *, headers=None, content=None, extensions=None):
        self.status, self.headers = status, list(headers or ())
        self.stream = content if hasattr(content, "__iter__") and not isinstance(content, bytes) or hasattr(
            content, "__aiter__") else Stream(content or b"")
        self.extensions = dict(extensions or {})


class ConnectionPool:
    def __init__(self, ssl_context=None, proxy=None, max_connections=10):
        self.max_connections, self.used, self._requests = max_connections, [], []

    def create_connection(self, origin):
        return HTTPConnection(origin)

    def handle_request(self, request):
        assert not self._requests
        connection = self.create_connection(request.url.origin)
        assert not connection.is_closed() and not connection.is_idle() and connection.info()
        assert not connection.has_expired() and not connection.is_available()
        assert not connection.can_handle_request(request.url.origin)
        self.used.append(connection)
        return connection.handle_request(request)

    def close(self):
        self.closed = True


class HTTPProxy(ConnectionPool): ...
class SOCKSProxy(ConnectionPool): ...


class HTTPConnection:
    def __init__(self, origin, ssl_context=None, network_backend=None):
        self.origin, self.ssl_context, self.network_backend = origin, ssl_context, network_backend

    def handle_request(self, request):
        if self.network_backend is not None:
            self.network_backend.connect_tcp(request.url.host.decode(), 80, timeout=None)
        return Response(200, content=b"httpcore's own connection to " + request.url.host)

    def can_handle_request(self, origin): return False
    def is_available(self): return False
    def has_expired(self): return False
    def is_idle(self): return False
    def is_closed(self): return False
    def info(self): return "a connection"


class AsyncConnectionPool(ConnectionPool):
    handle_request = property()

    def create_connection(self, origin):
        return AsyncHTTPConnection(origin)

    async def handle_async_request(self, request):
        connection = self.create_connection(request.url.origin)
        self.used.append(connection)
        return await connection.handle_async_request(request)

    async def aclose(self):
        self.closed = True


class AsyncHTTPProxy(AsyncConnectionPool): ...
class AsyncSOCKSProxy(AsyncConnectionPool): ...


class AsyncHTTPConnection:
    def __init__(self, origin, ssl_context=None, network_backend=None):
        self.origin, self.ssl_context, self.network_backend = origin, ssl_context, network_backend

    async def handle_async_request(self, request):
        if self.network_backend is not None:
            await self.network_backend.connect_tcp(request.url.host.decode(), 80, timeout=None)
        return Response(200, content=b"httpcore's own connection to " + request.url.host)
'''


def module() -> Any:
    """A new one, so that what a test does to it ends with the test."""
    made = ModuleType("httpcore")
    exec(compile(SOURCE, "<fake httpcore>", "exec"), made.__dict__)
    return made


_real: dict[str, ModuleType] = {}


def real() -> dict[str, ModuleType]:
    """
    The modules of the real package by name, or nothing where it is not installed; none stays imported that was not.

    Harm otherwise: every other test would run with it, and those that count frames would fail.
    """
    if not _real:
        before = "httpcore" in sys.modules  # as in tests/ecosystem, by plugins of pytest's
        try:
            import httpcore  # noqa: F401  # for its entries in sys.modules
        except ImportError:
            return {}
        _real.update({name: module for name, module in sys.modules.items() if name.partition(".")[0] == "httpcore"})
        for name in () if before else _real:
            del sys.modules[name]
    return _real
