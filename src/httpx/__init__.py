"""
A fast and trustworthy HTTP client for Python, sync and async.

    import httpx

    response = httpx.get("https://www.example.org/")
    response.status_code, response.headers["content-type"], response.text

`Client` and `AsyncClient` keep connections and cookies between requests.
"""

from __future__ import annotations as _annotations

import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

# In the command (`python -m` has not replaced argv[0] yet), Ctrl-C during the imports below must not show a traceback,
# and they must not take longer than they need.
if (getattr(_sys, "argv", None) or [""])[0].endswith(("-m", "httpx", "httpx.exe")):
    from ._quiet import collect_rarely as _collect_rarely
    from ._quiet import silence_interrupts as _silence

    _restore: _Any = (_silence(), _collect_rarely())
else:
    _restore = ()

from .__version__ import __description__, __title__, __version__
from ._api import delete, get, head, options, patch, post, put, query, request, sse, stream, websocket
from ._auth import Auth, BasicAuth, BearerAuth, DigestAuth, FunctionAuth, NetRCAuth
from ._base_client import USE_CLIENT_DEFAULT
from ._bytestreams import AsyncByteStream, SyncByteStream
from ._client import AsyncClient, Client
from ._config import Limits, Proxy, Timeout
from ._content import ByteStream
from ._cookies import Cookies
from ._exceptions import (
    CloseError,
    ConnectError,
    ConnectTimeout,
    ContentMismatch,
    CookieConflict,
    DecodingError,
    DestinationRefused,
    HTTPError,
    HTTPStatusError,
    InvalidURL,
    LocalProtocolError,
    NetworkError,
    PoolTimeout,
    ProtocolError,
    ProxyError,
    RateLimitTimeout,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    RequestNotRead,
    ResponseNotRead,
    ResponseTooLarge,
    StreamClosed,
    StreamConsumed,
    StreamError,
    TimeoutException,
    TooManyRedirects,
    TransportError,
    UnsupportedProtocol,
    WriteError,
    WriteTimeout,
)
from ._headers import Headers
from ._main import main
from ._request import Request
from ._response import Response
from ._status_codes import codes
from ._steps import Step
from ._tls_context import create_ssl_context
from ._transports.base import AsyncBaseTransport, BaseTransport
from ._transports.default import AsyncHTTPTransport, HTTPTransport
from ._transports.mock import MockTransport
from ._transports.wsgi import WSGITransport
from ._urls import URL, QueryParams
from ._utils import install_old_names as _install_old_names

if _TYPE_CHECKING:
    from . import websockets as websockets
    from ._alias import alias_httpx, alias_httpx2
    from ._destinations import public_only
    from ._event_source import EventSource
    from ._events import ServerSentEvent, SSEError
    from ._middleware.rate import RateLimit
    from ._middleware.retry import Retry
    from ._origins import Origin
    from ._subscription import Reconnect
    from ._timings import Timings
    from ._transports.asgi import ASGITransport

__all__ = [  # noqa: RUF022 - in the order of 0.28.1, which does not regard case
    "__description__",
    "__title__",
    "__version__",
    "alias_httpx",
    "alias_httpx2",
    "ASGITransport",
    "AsyncBaseTransport",
    "AsyncByteStream",
    "AsyncClient",
    "AsyncHTTPTransport",
    "Auth",
    "BaseTransport",
    "BasicAuth",
    "BearerAuth",
    "ByteStream",
    "Client",
    "CloseError",
    "codes",
    "ConnectError",
    "ConnectTimeout",
    "ContentMismatch",
    "CookieConflict",
    "Cookies",
    "create_ssl_context",
    "DecodingError",
    "delete",
    "DestinationRefused",
    "DigestAuth",
    "EventSource",
    "FunctionAuth",
    "get",
    "head",
    "Headers",
    "HTTPError",
    "HTTPStatusError",
    "HTTPTransport",
    "InvalidURL",
    "Limits",
    "LocalProtocolError",
    "main",
    "MockTransport",
    "NetRCAuth",
    "NetworkError",
    "options",
    "Origin",
    "patch",
    "PoolTimeout",
    "post",
    "ProtocolError",
    "Proxy",
    "ProxyError",
    "public_only",
    "put",
    "query",
    "QueryParams",
    "RateLimit",
    "RateLimitTimeout",
    "ReadError",
    "ReadTimeout",
    "Reconnect",
    "RemoteProtocolError",
    "request",
    "Request",
    "RequestError",
    "RequestNotRead",
    "Response",
    "ResponseNotRead",
    "ResponseTooLarge",
    "Retry",
    "ServerSentEvent",
    "sse",
    "SSEError",
    "Step",
    "stream",
    "StreamClosed",
    "StreamConsumed",
    "StreamError",
    "SyncByteStream",
    "Timeout",
    "TimeoutException",
    "Timings",
    "TooManyRedirects",
    "TransportError",
    "UnsupportedProtocol",
    "URL",
    "USE_CLIENT_DEFAULT",
    "websocket",
    "WriteError",
    "WriteTimeout",
    "WSGITransport",
]

if not _TYPE_CHECKING:  # which would let any name pass
    # Loaded on first use: most programs have no application to call, no guard, and no middleware.
    _LAZY = {
        "ASGITransport": "_transports.asgi",
        "EventSource": "_event_source",
        "Origin": "_origins",
        "RateLimit": "_middleware.rate",
        "Reconnect": "_subscription",
        "Retry": "_middleware.retry",
        "SSEError": "_events",
        "ServerSentEvent": "_events",
        "Timings": "_timings",
        "alias_httpx": "_alias",
        "alias_httpx2": "_alias",
        "public_only": "_destinations",
    }

    def __getattr__(name: str) -> _Any:
        if name in _LAZY:
            from importlib import import_module

            found = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
            found.__module__ = __name__
            globals()[name] = found
            return found
        if name == "websockets":
            from importlib import import_module

            return import_module(f"{__name__}.websockets")  # which makes it an attribute of this module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


# Public objects say where they are public: in reprs, in pickles, and in `__module__`.
for _name in set(__all__) & set(globals()):
    if not _name.startswith("__") and hasattr(globals()[_name], "__module__"):
        try:
            globals()[_name].__module__ = "httpx"
        except AttributeError:
            pass  # an instance
del _name

_install_old_names()
for _each in _restore:
    _each()
