"""
Uses of the interface of 0.28.1 that a strict type checker accepts there, and therefore here. Never run.

`scripts/check` gives it to mypy: code of users that passed keeps passing, and what is returned has the type it had.
"""

from __future__ import annotations

import io
import pathlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from http.cookiejar import CookieJar
from types import MappingProxyType
from typing import Any, Optional, Union

import httpx
import httpx.testing
from httpx import USE_CLIENT_DEFAULT
from httpx._client import UseClientDefault
from httpx._types import AuthTypes, CookieTypes, HeaderTypes, QueryParamTypes, RequestFiles, TimeoutTypes


class Flow(httpx.Auth):
    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.status_code == 401:
            yield request


class BothFlows(httpx.Auth):
    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        yield request


class Transport(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        stream = httpx.ByteStream(b"")
        return httpx.Response(200, stream=stream, extensions={"a": 1}, headers=[(b"a", b"b")])


class AsyncTransport(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for piece in request.stream:
            piece.decode()
        return httpx.Response(200, request=request, json={"a": 1})


def layer(request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
    response = yield request
    return response if request.is_replayable else (yield request.copy_with(url="/other", content=None))


def layer_with_steps(request: httpx.Request) -> Generator[httpx.Request | httpx.Step, Any, httpx.Response]:
    yield httpx.Step.pause(1)
    response: httpx.Response = yield request
    body: bytes = yield httpx.Step.read(response)
    yield httpx.Step.call(print, body, blocking=True)
    return response


class Layer:
    def __call__(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
        return (yield request)


def layers() -> None:
    httpx.Client(middleware=[layer, layer_with_steps, Layer()])
    one = [layer]
    httpx.AsyncClient(middleware=one)
    with httpx.testing.virtual_time() as clock:
        clock.advance(1.5)
        slept: list[float] = clock.slept
        print(slept, clock.monotonic())


class Body(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b""

    def close(self) -> None: ...


class AsyncBody(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""

    async def aclose(self) -> None: ...


def request_hook(request: httpx.Request) -> None: ...
def response_hook(response: httpx.Response) -> None: ...
async def async_hook(response: httpx.Response) -> None: ...
async def async_handler(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


async def pieces() -> AsyncIterator[bytes]:
    yield b""


def clients() -> httpx.Client:
    client = httpx.Client(
        auth=("a", "b"),
        params={"a": 1, "b": [1, "2"]},
        headers={"a": "b"},
        cookies={"a": "b"},
        timeout=httpx.Timeout(5, connect=1),
        limits=httpx.Limits(max_connections=1),
        event_hooks={"request": [request_hook], "response": [response_hook]},
        base_url="http://example.org",
        transport=Transport(),
        mounts={"all://": Transport(), "http://example.org": None},
        verify=ssl.create_default_context(),
        trust_env=False,
        default_encoding=lambda body: "utf-8",
        proxy="http://127.0.0.1",
        http2=True,
        follow_redirects=True,
        max_redirects=3,
        cert=("a", "b"),
    )
    httpx.AsyncClient(
        transport=AsyncTransport(),
        event_hooks={"response": [async_hook]},
        auth=Flow(),
        mounts={"http://": AsyncTransport()},
    )
    httpx.HTTPTransport(
        retries=1,
        local_address="0.0.0.0",
        uds="x",
        socket_options=[(1, 2, 3)],
        proxy=httpx.Proxy("http://127.0.0.1", auth=("a", "b"), headers={"a": "b"}),
    )
    httpx.WSGITransport(app=wsgi)
    httpx.ASGITransport(app=asgi, client=("a", 1))
    httpx.MockTransport(lambda request: httpx.Response(200))
    httpx.MockTransport(async_handler)
    return client


def requests(client: httpx.Client) -> None:
    response: httpx.Response = client.get(
        "/x",
        params=[("a", "b"), ("c", 1)],
        headers=[("a", "b")],
        cookies=httpx.Cookies(),
        auth=lambda request: request,
        follow_redirects=USE_CLIENT_DEFAULT,
        timeout=None,
        extensions={"trace": print},
    )
    response.elapsed.total_seconds()
    with open("x", "rb") as file:
        client.post(httpx.URL("/x"), data={"a": ["b"]}, files={"f": file})
    client.post("/x", files=[("f", ("n", b"x", "t/p")), ("g", (None, "x"))], content=None)
    client.post("/x", files={"f": ("n", io.BytesIO(b""), "a/b", {"X": "y"})}, timeout=(1, 2, 3, 4))
    client.put("/x", content=(piece for piece in [b"a"]), json=None)
    client.patch("/x", json={"a": 1})
    client.query("/x", json={"a": 1})
    origin: httpx.Origin = httpx.URL("http://a/").origin
    print(origin.port)
    headers: httpx.Headers = httpx.Headers() | {"a": "b"}
    headers = {"a": "b"} | headers
    headers |= {"a": "b"}
    httpx.alias_httpx2()
    request: httpx.Request = client.build_request("GET", "/x")
    client.send(request, stream=True, auth=None)
    with client.stream("GET", "/x") as streamed:
        for piece in streamed.iter_bytes(10):
            piece.decode()
        for line in streamed.iter_lines():
            line.encode()
        count: int = streamed.num_bytes_downloaded
    print(count)
    try:
        client.get("x").raise_for_status().json()
    except httpx.HTTPStatusError as exc:
        print(exc.response.status_code, exc.request.url)
    except httpx.RequestError as exc:
        print(exc.request)


def transfers(client: httpx.Client) -> None:
    path: pathlib.Path = client.download("/x")
    client.download(
        "/x", path, parts=4, digest="sha256:00", max_size=5, progress=lambda done, length: print(done, length)
    )
    client.download("/x", "folder/", resume=False, headers={"a": "b"}, timeout=5)
    sent: httpx.Response = client.upload("/x", path, progress=lambda done, length: None)
    with open("x", "rb") as file:
        client.upload("/x", file, start=1, end=2, method="PUT", resumable="tus", chunk=5)
    print(sent.status_code)


def wrapper(
    client: httpx.Client,
    auth: Optional[Union[AuthTypes, UseClientDefault]] = USE_CLIENT_DEFAULT,
    timeout: Union[TimeoutTypes, UseClientDefault] = USE_CLIENT_DEFAULT,
    headers: Optional[HeaderTypes] = None,
    params: Optional[QueryParamTypes] = None,
    files: Optional[RequestFiles] = None,
    cookies: Optional[CookieTypes] = None,
) -> httpx.Response:
    return client.request(
        "GET", "/", auth=auth, timeout=timeout, headers=headers, params=params, files=files, cookies=cookies
    )


async def async_requests() -> None:
    async with httpx.AsyncClient() as client:
        path: pathlib.Path = await client.download("x")
        await client.upload("x", path, resumable="ietf")
        response = await client.get("x")
        text: str = response.text
        encoding: Optional[str] = response.encoding
        print(text, encoding)
        async with client.stream("POST", "x", content=pieces()) as streamed:
            async for line in streamed.aiter_lines():
                line.encode()
            await streamed.aread()
        client.event_hooks["request"].append(async_hook)
        async with client.stream("GET", "x") as streamed, aclosing(streamed.aiter_bytes()) as chunks:
            async for chunk in chunks:
                chunk.decode()
        async with client.stream("GET", "x") as streamed, aclosing(streamed.aiter_lines()) as lines:
            found: list[str] = [line async for line in lines]
        iterator: AsyncIterator[bytes] = streamed.aiter_raw()
        print(found, iterator)


def many_requests(client: httpx.Client) -> None:
    for response in client.map(f"/{n}" for n in range(3)):
        response.raise_for_status()
    request = httpx.Request("GET", "http://example.org")
    with client.map([httpx.URL("/"), request, {"url": "/", "json": [1]}, "/"], errors="yield") as outcomes:
        for outcome in outcomes:
            found = str(outcome) if isinstance(outcome, httpx.HTTPError) else outcome.text
            found.encode()
    iterator: Iterator[httpx.Response] = client.map([], executor=ThreadPoolExecutor(2), chunk=5)
    print(iterator)


async def many_async_requests(client: httpx.AsyncClient) -> None:
    async def names() -> AsyncIterator[str]:
        yield "/"

    async for response in client.map(names(), concurrency=3):
        response.raise_for_status()
    async with client.map(["/"], errors="yield") as outcomes:
        async for outcome in outcomes:
            print(outcome.request)
    await client.map(["/"]).aclose()


def more_requests(client: httpx.Client) -> None:
    pairs = [("a", "1"), ("b", "2")]
    client.get("/", params=pairs, headers=pairs, cookies=pairs)
    numbers = [("a", 1)]
    client.get("/", params=numbers)
    client.get("/", params=tuple(numbers), cookies=MappingProxyType({"a": "b"}))
    named = {"a": "1"}
    client.get("/", params=named, headers=named, cookies=named)
    client.post("/", content=bytearray(b"a"))
    client.post("/", content=memoryview(b"a"))
    httpx.Response(200, content=bytearray(b"a"))
    client.auth = ("a", "b")
    client.auth = None
    client.cookies = {"a": "b"}
    client.timeout = 5
    client.headers = {"a": "b"}
    client.params = pairs
    client.base_url = "http://example.org"
    client.cookies = CookieJar()
    httpx.Client(credentials_for="origin", base_url="http://example.org")
    httpx.Limits(max_connections=None, max_connections_per_host=3)
    if client.get("/").status_code == httpx.codes.ok:
        code: int = httpx.codes.not_found
        print(code)


def values() -> None:
    headers = httpx.Headers({"a": "b"})
    headers["c"] = "d"
    value: str = headers["a"]
    listed: list[str] = headers.get_list("a", split_commas=True)
    url = httpx.URL("http://example.org").copy_with(path="/x", port=1).join("y")
    port: Optional[int] = url.port
    params: httpx.QueryParams = url.params.set("a", 1)
    cookies = httpx.Cookies()
    cookies.set("a", "b", domain="x")
    found: Optional[str] = cookies.get("a")
    reason: str = httpx.codes.get_reason_phrase(200)
    error = httpx.ConnectError("x", request=httpx.Request("GET", url))
    error.request = httpx.Request("GET", url)
    timeout = httpx.Timeout(httpx.Timeout(5.0, read=None))
    assert isinstance(httpx.codes(200), int)
    print(value, listed, port, params, found, reason, timeout.connect, httpx.codes.OK)
