"""What the tests of httpx-ws replace."""

from httpx.websockets import AsyncWebSocketClient, WebSocketClient

__all__ = ["AsyncWebSocketClient", "WebSocketClient"]
