"""The transport of httpx-ws; its classes below the transport are not ours, so tests of them fail."""

from typing import Any

from httpx.websockets import ASGIWebSocketTransport

__all__ = ["ASGIWebSocketTransport"]

Scope = Any
ASGIWebSocketAsyncNetworkStream: Any = None
UnhandledASGIMessageType: Any = None
UnhandledWebSocketEvent: Any = None
