"""starlette 1, authlib and mcp 2, which import httpx2."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import mcp
import pytest
import uvicorn
from authlib.integrations import httpx_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import httpx

# Starlette.


async def show(request: Request) -> JSONResponse:
    body = (await request.body()).decode()
    response = JSONResponse({"method": request.method, "query": dict(request.query_params), "body": body})
    response.set_cookie("seen", "yes")
    return response


async def pieces(request: Request) -> StreamingResponse:
    async def numbers() -> Any:
        for number in range(3):
            yield b"%d\n" % number

    return StreamingResponse(numbers())


async def away(request: Request) -> RedirectResponse:
    return RedirectResponse("/show?from=away")


async def fail(request: Request) -> JSONResponse:
    raise ValueError("on purpose")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(f"got {await websocket.receive_text()}")
    await websocket.close()


APP = Starlette(
    routes=[
        Route("/show", show, methods=["GET", "POST", "QUERY"]),
        Route("/pieces", pieces),
        Route("/away", away),
        Route("/fail", fail),
        WebSocketRoute("/echo", echo),
    ]
)


def test_the_test_client_of_starlette_is_a_client():
    with TestClient(APP) as client:
        assert isinstance(client, httpx.Client)
        response = client.post("/show?a=1", content="body")
        assert type(response) is httpx.Response
        assert response.json() == {"method": "POST", "query": {"a": "1"}, "body": "body"}
        assert client.cookies["seen"] == "yes"
        assert client.get("/away").json()["query"] == {"from": "away"}
        assert client.request("QUERY", "/show", content="q").json()["method"] == "QUERY"
        with client.stream("GET", "/pieces") as streamed:
            assert list(streamed.iter_lines()) == ["0", "1", "2"]
        with pytest.raises(ValueError, match="on purpose"):
            client.get("/fail")


def test_the_test_client_of_starlette_speaks_websockets():
    with TestClient(APP).websocket_connect("/echo") as websocket:
        websocket.send_text("this")
        assert websocket.receive_text() == "got this"


def test_starlette_runs_in_an_asgi_transport():
    with httpx.Client(transport=httpx.ASGITransport(app=APP), base_url="http://testserver") as client:
        assert client.query("/show", json={"a": 1}).json()["body"] == '{"a":1}'


# Authlib.

TOKEN_URL = "https://id.example/token"
TOKEN = {"access_token": "abc", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "again"}


class Provider:
    """Gives tokens at `TOKEN_URL`, and shows the Authorization of any other request."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url == TOKEN_URL:
            self.forms.append(parse_qs(request.content.decode()))
            return httpx.Response(200, json={**TOKEN, "access_token": f"abc{len(self.forms)}"})
        return httpx.Response(200, text=request.headers.get("Authorization", "-"))

    async def in_async(self, request: httpx.Request) -> httpx.Response:
        return self(request)


def test_authlib_fetches_and_sends_a_token():
    provider = Provider()
    client = httpx_client.OAuth2Client("id", "secret", transport=httpx.MockTransport(provider))
    assert isinstance(client, httpx.Client)
    assert client.fetch_token(TOKEN_URL, grant_type="client_credentials")["access_token"] == "abc1"
    assert provider.forms == [{"grant_type": ["client_credentials"]}]
    assert client.get("https://api.example/").text == "Bearer abc1"


def test_authlib_refreshes_a_token_that_has_expired():
    provider = Provider()

    async def main() -> str:
        client = httpx_client.AsyncOAuth2Client(
            *("id", "secret"),
            token={**TOKEN, "expires_at": int(time.time()) - 10},
            token_endpoint=TOKEN_URL,
            transport=httpx.MockTransport(provider.in_async),
        )
        async with client:
            return (await client.get("https://api.example/")).text

    assert asyncio.run(main()) == "Bearer abc1"
    assert [form["grant_type"] for form in provider.forms] == [["refresh_token"]]


# MCP.


@pytest.fixture(scope="module")
def mcp_server() -> Iterator[str]:
    """A server of MCP on a port of its own, with both of its transports over HTTP."""
    server = MCPServer("numbers")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    app = Starlette(
        routes=[*server.streamable_http_app().routes, *server.sse_app().routes],
        lifespan=lambda app: server.session_manager.run(),
    )
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run)
    thread.start()
    end = time.monotonic() + 20
    while not running.started:
        assert thread.is_alive()
        assert time.monotonic() < end
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(20)


async def use(streams: Any) -> dict[str, Any]:
    async with streams as (read, write), mcp.ClientSession(read, write) as session:
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        result = await session.call_tool("add", {"a": 2, "b": 3})
        return {"tools": tools, "text": result.content[0].text}


def test_mcp_calls_tools_over_streamable_http(mcp_server: str):
    async def main() -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=httpx.Timeout(10, total=30)) as client:
            return await use(streamable_http_client(f"{mcp_server}/mcp", http_client=client))

    assert asyncio.run(main()) == {"tools": ["add"], "text": "5"}


def test_mcp_calls_tools_with_a_client_of_its_own(mcp_server: str):
    assert asyncio.run(use(streamable_http_client(f"{mcp_server}/mcp")))["text"] == "5"


def test_mcp_calls_tools_over_event_streams(mcp_server: str):
    assert asyncio.run(use(sse_client(f"{mcp_server}/sse"))) == {"tools": ["add"], "text": "5"}


def test_mcp_reads_events_with_our_client(mcp_server: str):
    """The endpoint that mcp's own client posts to comes as the first event."""
    with httpx.Client() as client, client.sse(f"{mcp_server}/sse") as source:
        event = next(iter(source))
    assert event.event == "endpoint"
    assert json.dumps(event.data).startswith('"/messages/')
