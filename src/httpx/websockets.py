"""
WebSockets: sessions, their exceptions, and what tests need.

    with httpx.Client() as client, client.websocket("wss://example.org/chat") as ws:
        ws.send_text("hello")
        for message in ws:
            print(message)

`Client.websocket`, `AsyncClient.websocket` and `httpx.websocket` open sessions. The names are those of httpx2 and
httpx-ws, so code for those runs after a change of its import.
"""

from __future__ import annotations as _annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ._protocol.deflate import Deflate
from ._websocket_clients import AsyncWebSocketClient, WebSocketClient, aconnect_ws, connect_ws
from ._websocket_exceptions import (
    WebSocketDisconnect,
    WebSocketException,
    WebSocketInvalidTypeReceived,
    WebSocketNetworkError,
    WebSocketTimeout,
    WebSocketUpgradeError,
)
from ._websockets import (
    AsyncWebSocketConnector,
    AsyncWebSocketSession,
    WebSocketConnector,
    WebSocketSession,
    async_pair,
    pair,
)

if _TYPE_CHECKING:
    from ._transports.asgi_websocket import ASGIWebSocketTransport

# httpx-ws's name.
HTTPXWSException = WebSocketException

__all__ = [
    "ASGIWebSocketTransport",
    "AsyncWebSocketClient",
    "AsyncWebSocketConnector",
    "AsyncWebSocketSession",
    "Deflate",
    "HTTPXWSException",
    "WebSocketClient",
    "WebSocketConnector",
    "WebSocketDisconnect",
    "WebSocketException",
    "WebSocketInvalidTypeReceived",
    "WebSocketNetworkError",
    "WebSocketSession",
    "WebSocketTimeout",
    "WebSocketUpgradeError",
    "aconnect_ws",
    "async_pair",
    "connect_ws",
    "pair",
]

for _name in set(__all__) & set(globals()):
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = __name__
del _name

if not _TYPE_CHECKING:  # which would let any name pass

    def __getattr__(name: str) -> _Any:
        # Loaded on first use: most programs have no application to call.
        if name == "ASGIWebSocketTransport":
            from ._transports.asgi_websocket import ASGIWebSocketTransport

            ASGIWebSocketTransport.__module__ = __name__
            globals()[name] = ASGIWebSocketTransport
            return ASGIWebSocketTransport
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
