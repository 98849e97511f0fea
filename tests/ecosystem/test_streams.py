"""httpx-sse 0.4 and httpx-ws 0.9: server-sent events, and websockets on the bytes of an upgraded connection."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import queue
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx_sse
import httpx_ws
import httpx_ws.transport
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import httpx


def test_events_are_read(echo_server: Any):
    with (
        httpx.Client(base_url=echo_server.url) as client,
        httpx_sse.connect_sse(client, "GET", "/events?count=2") as source,
    ):
        events = list(source.iter_sse())
    assert [(event.event, event.id) for event in events][:2] == [("tick", "0"), ("tick", "1")]
    assert events[1].json() == {"index": 1}


def test_events_are_read_in_async_code(echo_server: Any):
    async def main() -> list[str]:
        async with (
            httpx.AsyncClient(base_url=echo_server.url) as client,
            httpx_sse.aconnect_sse(client, "GET", "/events?count=3") as source,
        ):
            return [event.event async for event in source.aiter_sse()]

    assert asyncio.run(main())[:3] == ["tick"] * 3


def test_other_content_is_an_error(echo_server: Any):
    with (
        httpx.Client(base_url=echo_server.url) as client,
        httpx_sse.connect_sse(client, "GET", "/get") as source,
        pytest.raises(httpx_sse.SSEError),
    ):
        list(source.iter_sse())


async def shout(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="shout" if "shout" in websocket.scope["subprotocols"] else None)
    with contextlib.suppress(Exception):
        while True:
            await websocket.send_text((await websocket.receive_text()).upper())


async def hang_up(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(code=1001, reason="bye")


app = Starlette(routes=[WebSocketRoute("/shout", shout), WebSocketRoute("/hang-up", hang_up)])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="wsproto", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join(5)


def test_a_websocket_talks(server: str):
    with httpx.Client() as client, httpx_ws.connect_ws(f"{server}/shout", client, subprotocols=["shout"]) as socket:
        assert socket.subprotocol == "shout"
        socket.send_text("hello")
        assert socket.receive_text(timeout=5) == "HELLO"
        with pytest.raises(queue.Empty):
            socket.receive_text(timeout=0.01)
        socket.send_text("x" * 300_000)
        assert socket.receive_text(timeout=5) == "X" * 300_000


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_websocket_talks_in_async_code(server: str, scheme: str):
    async def main() -> list[str]:
        url = server.replace("http", scheme) + "/shout"
        async with httpx.AsyncClient() as client, httpx_ws.aconnect_ws(url, client) as socket:
            received = []
            for text in ("a", "b" * 100_000):
                await socket.send_text(text)
                received.append(await socket.receive_text(timeout=5))
            return received

    assert asyncio.run(main()) == ["A", "B" * 100_000]


def test_the_end_of_a_websocket_is_seen(server: str):
    with httpx.Client() as client, httpx_ws.connect_ws(f"{server}/hang-up", client) as socket:
        with pytest.raises(httpx_ws.WebSocketDisconnect) as caught:
            socket.receive(timeout=5)
        assert (caught.value.code, caught.value.reason) == (1001, "bye")


def test_the_end_of_a_websocket_is_seen_in_async_code(server: str):
    async def main() -> tuple[int, str | None]:
        async with httpx.AsyncClient() as client, httpx_ws.aconnect_ws(f"{server}/hang-up", client) as socket:
            with pytest.raises(httpx_ws.WebSocketDisconnect) as caught:
                await socket.receive(timeout=5)
            return caught.value.code, caught.value.reason

    assert asyncio.run(main()) == (1001, "bye")


class Gone(socketserver.StreamRequestHandler):
    """Accepts a websocket, then goes away without a word: its frames will not be read."""

    def handle(self) -> None:
        fields = {}
        self.rfile.readline()
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b": ")
            fields[name.lower()] = value
        digest = hashlib.sha1(fields[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        # Closed with a reset.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture
def gone() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gone) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_errors_of_the_network_are_those_that_httpx_ws_knows(gone: str):
    """It catches `httpcore.ReadError` and `httpcore.WriteError`, of the stream of our engine."""
    with httpx.Client() as client, pytest.raises(httpx_ws.WebSocketNetworkError):  # noqa: SIM117  # the order matters
        with httpx_ws.connect_ws(gone, client) as websocket:
            websocket.receive(timeout=5)


def test_errors_of_the_network_are_those_that_httpx_ws_knows_in_async_code(gone: str):
    async def main() -> None:
        async with httpx.AsyncClient() as client, httpx_ws.aconnect_ws(gone, client) as websocket:
            await websocket.receive(timeout=5)

    with pytest.RaisesGroup(httpx_ws.WebSocketNetworkError):
        asyncio.run(main())


def test_a_refused_upgrade_is_an_error(echo_server: Any):
    with (
        httpx.Client() as client,
        pytest.raises(httpx_ws.WebSocketUpgradeError),
        httpx_ws.connect_ws(echo_server.url + "/get", client),
    ):
        pass


def test_a_websocket_of_an_app_needs_no_server():
    async def main() -> str:
        transport = httpx_ws.transport.ASGIWebSocketTransport(app)
        async with (
            httpx.AsyncClient(transport=transport) as client,
            httpx_ws.aconnect_ws("http://server/shout", client) as socket,
        ):
            await socket.send_text("hello")
            return await socket.receive_text()

    assert asyncio.run(main()) == "HELLO"
