"""
httpx-ws's ways to open a WebSocket: `connect_ws(url, client)`, and `WebSocketClient`, a client with options.

Not here: sessions and how they are opened (`_websockets`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from ._client import AsyncClient, Client
from ._websockets import AsyncWebSocketSession, WebSocketSession


class WebSocketClient:
    """
    A client, and options for the WebSockets that it opens.

        with WebSocketClient(client, max_message_size_bytes=1_000_000).connect("wss://example.org/") as ws:
            ws.send_text("hello")

    Args:
        client: sends the opening handshakes; the caller closes it.
        options: of `Client.websocket`.
    """

    def __init__(self, client: Client, **options: Any) -> None:
        self.client = client
        self._options = options

    @contextmanager
    def connect(
        self, url: str, subprotocols: Sequence[str] | None = None, **options: Any
    ) -> Iterator[WebSocketSession]:
        """Return a context manager that opens a WebSocket; `options` take precedence. Raises as `Client.websocket`."""
        with self.client.websocket(url, subprotocols=subprotocols, **{**self._options, **options}) as session:
            yield session


@contextmanager
def connect_ws(url: str, client: Client | None = None, **options: Any) -> Iterator[WebSocketSession]:
    """Return a context manager that opens a WebSocket with a client, or with a new one; see `Client.websocket`."""
    if client is not None:
        with client.websocket(url, **options) as session:
            yield session
    else:
        with Client() as own, own.websocket(url, **options) as session:
            yield session


class AsyncWebSocketClient:
    """
    A client like `WebSocketClient`, for async code.

    Args:
        client: sends the opening handshakes; the caller closes it.
        options: of `AsyncClient.websocket`.
    """

    def __init__(self, client: AsyncClient, **options: Any) -> None:
        self.client = client
        self._options = options

    @asynccontextmanager
    async def connect(
        self, url: str, subprotocols: Sequence[str] | None = None, **options: Any
    ) -> AsyncIterator[AsyncWebSocketSession]:
        """Return a context manager that opens a WebSocket; `options` take precedence."""
        async with self.client.websocket(url, subprotocols=subprotocols, **{**self._options, **options}) as session:
            yield session


@asynccontextmanager
async def aconnect_ws(
    url: str, client: AsyncClient | None = None, **options: Any
) -> AsyncIterator[AsyncWebSocketSession]:
    """Return a context manager that opens a WebSocket with a client, or with a new one."""
    if client is not None:
        async with client.websocket(url, **options) as session:
            yield session
    else:
        async with AsyncClient() as own, own.websocket(url, **options) as session:
            yield session
