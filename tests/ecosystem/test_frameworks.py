"""Starlette 0.52, FastAPI and Litestar: their test clients derive from ours, and apps run in ASGITransport."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import fastapi
import fastapi.testclient
import litestar
import litestar.testing
import pytest
from litestar.datastructures import UploadFile as LitestarFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import httpx

# Starlette.


async def show(request: Request) -> JSONResponse:
    form = await request.form() if "form" in request.headers.get("content-type", "") else {}
    files = {name: (await value.read()).decode() for name, value in form.items() if not isinstance(value, str)}
    response = JSONResponse(
        {
            "method": request.method,
            "query": dict(request.query_params),
            "cookies": request.cookies,
            "agent": request.headers["user-agent"],
            "body": (await request.body()).decode() if not form else "",
            "form": {name: value for name, value in form.items() if isinstance(value, str)},
            "files": files,
            "state": getattr(request.app.state, "word", ""),
        }
    )
    response.set_cookie("seen", "yes")
    return response


async def stream(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number

    return StreamingResponse(pieces())


async def fail(request: Request) -> PlainTextResponse:
    raise ValueError("on purpose")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json(await websocket.receive_json())
    await websocket.close()


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.word = "started"
    yield
    app.state.word = "ended"


starlette_app = Starlette(
    routes=[
        Route("/", show, methods=["GET", "POST", "PUT"]),
        Route("/moved", lambda request: RedirectResponse("/?from=moved")),
        Route("/stream", stream),
        Route("/fail", fail),
        WebSocketRoute("/ws", echo),
    ],
    lifespan=lifespan,
)


def test_starlettes_client_sends_all_kinds_of_bodies():
    client = TestClient(starlette_app)
    assert client.get("/", params={"a": "1"}).json()["query"] == {"a": "1"}
    assert client.post("/", json={"a": 1}).json()["body"] == '{"a":1}'
    assert client.put("/", content=b"raw").json()["body"] == "raw"
    assert client.post("/", data={"a": "1"}).json()["form"] == {"a": "1"}
    shown = client.post("/", data={"a": "1"}, files={"f": ("n.txt", b"text")}).json()
    assert (shown["form"], shown["files"]) == ({"a": "1"}, {"f": "text"})
    assert shown["agent"] == "testclient"


def test_starlettes_client_keeps_cookies_and_follows_redirects():
    client = TestClient(starlette_app)
    client.get("/")
    assert client.get("/").json()["cookies"] == {"seen": "yes"}
    response = client.get("/moved")
    assert response.json()["query"] == {"from": "moved"}
    assert [each.status_code for each in response.history] == [307]
    assert client.get("/moved", follow_redirects=False).status_code == 307


def test_starlettes_client_raises_what_the_app_raises():
    with pytest.raises(ValueError, match="on purpose"):
        TestClient(starlette_app).get("/fail")
    assert TestClient(starlette_app, raise_server_exceptions=False).get("/fail").status_code == 500


def test_starlettes_client_streams_and_runs_the_lifespan():
    with TestClient(starlette_app) as client:
        assert client.get("/").json()["state"] == "started"
        with client.stream("GET", "/stream") as response:
            assert list(response.iter_lines()) == ["0", "1", "2"]
    assert starlette_app.state.word == "ended"


def test_starlettes_client_opens_websockets():
    with TestClient(starlette_app).websocket_connect("/ws") as socket:
        socket.send_json({"a": 1})
        assert socket.receive_json() == {"a": 1}


def test_an_app_answers_through_the_asgi_transport():
    async def main() -> tuple[Any, list[str]]:
        transport = httpx.ASGITransport(app=starlette_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            shown = (await client.post("/?a=1", json=[1])).json()
            async with client.stream("GET", "/stream") as response:
                return shown, [line async for line in response.aiter_lines()]

    shown, lines = asyncio.run(main())
    assert (shown["query"], shown["body"], lines) == ({"a": "1"}, "[1]", ["0", "1", "2"])


# FastAPI.


class Item(BaseModel):
    name: str
    price: float


fastapi_app = fastapi.FastAPI()
background: list[str] = []


def token(authorization: str = fastapi.Header()) -> str:
    return authorization.removeprefix("Bearer ")


@fastapi_app.post("/items", status_code=201)
async def make(item: Item, tasks: fastapi.BackgroundTasks, who: str = fastapi.Depends(token)) -> dict[str, Any]:
    tasks.add_task(background.append, item.name)
    return {"item": item, "who": who}


@fastapi_app.post("/files")
def sizes(files: list[fastapi.UploadFile], note: str = fastapi.Form()) -> dict[str, Any]:
    return {"sizes": [len(file.file.read()) for file in files], "note": note}


def test_fastapis_client_posts_models_and_files():
    client = fastapi.testclient.TestClient(fastapi_app, headers={"Authorization": "Bearer me"})
    response = client.post("/items", json={"name": "a", "price": 1.5})
    assert (response.status_code, response.json()) == (201, {"item": {"name": "a", "price": 1.5}, "who": "me"})
    assert background == ["a"]
    assert client.post("/items", json={"name": "a"}).status_code == 422
    files = [("files", ("a.txt", b"12")), ("files", ("b.txt", b"123"))]
    assert client.post("/files", files=files, data={"note": "n"}).json() == {"sizes": [2, 3], "note": "n"}


def test_fastapi_answers_in_async_tests():
    async def main() -> int:
        transport = httpx.ASGITransport(app=fastapi_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            sent = [client.post("/items", json={"name": str(n), "price": n}, auth=bearer) for n in range(20)]
            return sum(response.status_code for response in await asyncio.gather(*sent))

    def bearer(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = "Bearer me"
        return request

    assert asyncio.run(main()) == 20 * 201


# Litestar.


@litestar.post("/json")
async def litestar_json(data: dict[str, Any]) -> dict[str, Any]:
    return {"got": data}


@litestar.post("/file")
async def litestar_file(data: LitestarFile = Body(media_type=RequestEncodingType.MULTI_PART)) -> str:  # noqa: B008  # its way
    return f"{data.filename}: {(await data.read()).decode()}"


@litestar.get("/cookie")
async def litestar_cookie(request: litestar.Request[Any, Any, Any]) -> dict[str, str]:
    return dict(request.cookies)


@litestar.websocket("/ws")
async def litestar_ws(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text((await socket.receive_text()).upper())
    await socket.close()


HANDLERS = [litestar_json, litestar_file, litestar_cookie, litestar_ws]


def test_litestars_client_works():
    with litestar.testing.create_test_client(HANDLERS) as client:
        response = client.post("/json", json={"a": 1})
        assert (response.status_code, response.json()) == (201, {"got": {"a": 1}})
        assert client.post("/file", files={"data": ("n.txt", b"text")}).text == "n.txt: text"
        client.cookies.set("a", "b")
        assert client.get("/cookie").json() == {"a": "b"}
        with client.websocket_connect("/ws") as socket:
            socket.send_text("hello")
            assert socket.receive_text() == "HELLO"


def test_litestars_async_client_works():
    async def main() -> Any:
        async with litestar.testing.create_async_test_client(HANDLERS) as client:
            return (await client.post("/json", json={"a": 1})).json()

    assert asyncio.run(main()) == {"got": {"a": 1}}


def test_litestars_request_factory_encodes_bodies():
    factory = litestar.testing.RequestFactory()

    async def bodies() -> list[bytes]:
        made = [
            factory.post("/", data={"a": 1}),
            factory.post("/", data={"a": "b c"}, request_media_type=RequestEncodingType.URL_ENCODED),
            factory.put("/", data={"f": "x"}, request_media_type=RequestEncodingType.MULTI_PART),
        ]
        return [await request.body() for request in made]

    json, form, multipart = asyncio.run(bodies())
    assert (json, form) == (b'{"a":1}', b"a=b+c")
    assert b'name="f"' in multipart
