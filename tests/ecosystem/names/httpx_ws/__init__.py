"""The names of httpx-ws, from httpx itself: its own tests are run with them (`scripts/test-ecosystem --suites`)."""

from httpx._websockets import JSONMode
from httpx.websockets import (
    AsyncWebSocketClient,
    AsyncWebSocketSession,
    HTTPXWSException,
    WebSocketClient,
    WebSocketDisconnect,
    WebSocketInvalidTypeReceived,
    WebSocketNetworkError,
    WebSocketSession,
    WebSocketUpgradeError,
    aconnect_ws,
    connect_ws,
)

__all__ = [
    "AsyncWebSocketClient",
    "AsyncWebSocketSession",
    "HTTPXWSException",
    "JSONMode",
    "WebSocketClient",
    "WebSocketDisconnect",
    "WebSocketInvalidTypeReceived",
    "WebSocketNetworkError",
    "WebSocketSession",
    "WebSocketUpgradeError",
    "aconnect_ws",
    "connect_ws",
]
