"""
The two clients: that a journey is carried out, and what can be seen of it from outside.

Most tests send to a function (`MockTransport`) with the sync client, asyncio and trio; what goes over a wire is tested
on every engine, against the echo server. Where httpx 0.28.1 does something else, the test's docstring says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import gzip
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

import httpx
from httpx._cli.echo_server import EchoServer
from httpx._client import Client
from support.drivers import Driver, SyncAdapter
from support.servers import ScriptedServer, answer, expect_head, repeat, send, silence

URL = "http://example.org/path"

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def mocked(request: pytest.FixtureRequest) -> Driver:
    """One driver of each kind, for what has no wire."""
    return Driver(request.param)


def ok(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


def echo(request: httpx.Request) -> httpx.Response:
    fields = [[name.decode(), value.decode()] for name, value in request.headers.raw]
    body = request.content.decode()
    return httpx.Response(
        200, json={"method": request.method, "url": str(request.url), "headers": fields, "body": body}
    )


def mock(handler: Handler = ok) -> httpx.MockTransport:
    return httpx.MockTransport(handler)


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body both ways that counts how often it was closed, and may fail in the middle."""

    def __init__(self, *parts: bytes, error: Exception | None = None) -> None:
        self.parts = parts
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


# Verbs, requests and streams over the wire.


@pytest.mark.parametrize("method", ["get", "options", "delete", "post", "put", "patch", "query"])
def test_each_verb_sends_its_method(driver: Driver, echo_server: EchoServer, no_leaks: None, method: str):
    async def scenario(client: Any) -> None:
        response = await getattr(client, method)(
            "/anything", params={"a": "1"}, headers={"X-Thing": "2"}, cookies={"c": "3"}, auth=("jo", "secret")
        )
        seen = response.json()
        assert seen["method"] == method.upper()
        assert seen["args"] == {"a": "1"}
        assert seen["headers"]["X-Thing"] == "2"
        assert seen["headers"]["Cookie"] == "c=3"
        assert seen["headers"]["Authorization"] == "Basic am86c2VjcmV0"
        assert response.http_version == "HTTP/1.1"
        assert response.is_closed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        driver.run(scenario, base_url=echo_server.url)


def test_head_gets_a_length_and_no_body(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        response = await client.head("/get")
        assert (response.status_code, response.content) == (200, b"")
        assert int(response.headers["content-length"]) > 0

    driver.run(scenario, base_url=echo_server.url)


@pytest.mark.parametrize("method", ["post", "put", "patch", "query"])
@pytest.mark.parametrize(
    ("body", "key", "value"),
    [
        ({"content": b"abc"}, "data", "abc"),
        ({"content": "äbc"}, "data", "äbc"),
        ({"data": {"a": ["1", "2"]}}, "form", {"a": ["1", "2"]}),
        ({"json": {"a": 1}}, "json", {"a": 1}),
        ({"files": {"f": ("name.txt", b"x")}, "data": {"a": "1"}}, "files", {"f": "x"}),
    ],
)
def test_bodies_arrive(
    driver: Driver, echo_server: EchoServer, method: str, body: dict[str, Any], key: str, value: Any
):
    async def scenario(client: Any) -> Any:
        return (await getattr(client, method)("/anything", **body)).json()[key]

    assert driver.run(scenario, base_url=echo_server.url) == value


def test_a_body_can_be_streamed_to_the_server(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        seen = (await client.post("/anything", content=driver.body([b"ab", b"c"]))).json()
        assert seen["data"] == "abc"
        assert seen["headers"]["Transfer-Encoding"] == "chunked"

    driver.run(scenario, base_url=echo_server.url)


def test_a_body_can_be_streamed_from_the_server(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/stream-bytes/100000", params={"seed": "1"}) as response:
            assert not response.is_closed
            size = 0
            async for piece in response.aiter_bytes():
                size += len(piece)
        assert size == response.num_bytes_downloaded == 100_000
        assert response.is_closed
        async with client.stream("GET", "/gzip") as response:
            assert b"gzip" in b"".join([piece async for piece in response.aiter_bytes()])
        async with client.stream("GET", "/stream/3") as response:
            assert len([line async for line in response.aiter_lines()]) == 3

    driver.run(scenario, base_url=echo_server.url)


def test_a_stream_that_is_left_or_abandoned_gives_its_connection_back(
    driver: Driver, echo_server: EchoServer, no_leaks: None
):
    """Harm: with one connection allowed, the next request would wait for ever."""

    async def scenario(client: Any) -> None:
        for _ in range(3):
            async with client.stream("GET", "/stream-bytes/1000000") as response:
                async for _ in response.aiter_bytes():
                    break
        with pytest.raises(KeyError):
            async with client.stream("GET", "/stream-bytes/1000000"):
                raise KeyError
        request = client.build_request("GET", "/stream-bytes/1000000")
        response = await client.send(request, stream=True)
        assert not response.is_closed
        await response.aclose()
        assert (await client.get("/get")).status_code == 200

    driver.run(scenario, base_url=echo_server.url, limits=httpx.Limits(max_connections=1), timeout=3)


def test_a_request_that_was_built_is_sent_as_it_is(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        request = client.build_request("POST", "/anything", json=[1], headers={"X-Thing": "1"})
        request.headers["X-Later"] = "2"
        seen = (await client.send(request)).json()
        assert seen["json"] == [1]
        assert (seen["headers"]["X-Thing"], seen["headers"]["X-Later"]) == ("1", "2")
        by_hand = httpx.Request("GET", f"{echo_server.url}/headers?raw=1")
        response = await client.send(by_hand)
        assert [name for name, _ in response.json()["headers"]] == ["Host"]
        assert response.request is by_hand
        assert by_hand.extensions["timeout"] == client.timeout.as_dict()

    driver.run(scenario, base_url=echo_server.url)


def test_the_head_of_a_request_is_that_of_0_28_1(driver: Driver, no_leaks: None):
    """Harm: servers, signatures and recorded tests know the order of the fields and their casing."""

    async def scenario(client: Any, url: str) -> None:
        await client.get(f"{url}/path?q=1", headers={"x-MIXED": "1", "Host": "other.example"})
        await client.post(url, json={"a": 1}, cookies={"c": "2"})
        await client.put(url)

    with ScriptedServer([repeat(answer())]) as server:
        driver.run(scenario, server.url, headers={"Accept-Encoding": "gzip"})
        head = (
            b"Accept: */*\r\nConnection: keep-alive\r\nUser-Agent: python-httpx/%b\r\n"
            b"Accept-Encoding: gzip\r\n" % httpx.__version__.encode()
        )
        host = b"Host: 127.0.0.1:%d\r\n" % server.port
        assert b"".join(server.received) == (
            b"GET /path?q=1 HTTP/1.1\r\nHost: other.example\r\n" + head + b"x-MIXED: 1\r\n\r\n"
            b"POST / HTTP/1.1\r\n"
            + host
            + head
            + b"Cookie: c=2\r\nContent-Length: 7\r\nContent-Type: application/json\r\n\r\n"
            + b'{"a":1}PUT / HTTP/1.1\r\n'
            + host
            + b"Content-Length: 0\r\n"
            + head
            + b"\r\n"
        )


def test_a_body_in_chunks_is_sent_so_when_the_caller_says_so(driver: Driver, no_leaks: None):
    async def scenario(client: Any, url: str) -> None:
        await client.post(url, content=b"abc", headers={"Transfer-Encoding": "chunked"})
        with pytest.raises(httpx.LocalProtocolError):
            await client.post(url, content=b"", headers={"Transfer-Encoding": "chunked", "Content-Length": "0"})

    with ScriptedServer([repeat(answer())]) as server:
        driver.run(scenario, server.url)
        assert server.received[0].endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert b"Content-Length" not in server.received[0]


def test_a_sync_body_is_sent_by_an_async_client(driver: Driver, echo_server: EchoServer, no_leaks: None):
    """0.28.1 raised for a generator, and blocked the loop with files anyway."""

    async def scenario(client: Any) -> None:
        assert (await client.post("/anything", content=iter([b"ab", b"c"]))).json()["data"] == "abc"

    driver.run(scenario, base_url=echo_server.url)


def test_an_async_body_cannot_be_sent_by_a_sync_client():
    async def body() -> AsyncIterator[bytes]:
        yield b"abc"

    with httpx.Client(transport=mock()) as client, pytest.raises(RuntimeError, match="send it with an AsyncClient"):
        client.post(URL, content=body())


# Redirects.


def test_redirects_are_followed_when_asked(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        response = await client.get("/redirect/3")
        assert response.status_code == 302
        assert response.history == []
        assert response.next_request.url.path == "/redirect/2"
        response = await client.get("/relative-redirect/3", follow_redirects=True)
        assert (response.status_code, response.url.path) == (200, "/get")
        assert [each.status_code for each in response.history] == [302, 302, 302]
        assert [len(each.history) for each in response.history] == [0, 1, 2]
        assert all(each.is_closed and each.next_request is None for each in response.history)
        assert all(isinstance(each.content, bytes) for each in response.history)
        async with client.stream("GET", "/redirect/1", follow_redirects=True) as streamed:
            assert len(streamed.history) == 1
            assert not streamed.is_closed
            assert await streamed.aread()

    driver.run(scenario, base_url=echo_server.url)


def moving(*locations: str, status: int = 302, body: Any = None) -> Handler:
    """Answers `/0` with a redirect to the first location, and so on; then 200."""

    def answer(request: httpx.Request) -> httpx.Response:
        index = int(request.url.params.get("n", "0"))
        if index < len(locations):
            return httpx.Response(status, headers={"Location": locations[index]}, content=body and body())
        return echo(request)

    return answer


def test_a_client_can_follow_by_default(mocked: Driver):
    async def scenario(client: Any) -> None:
        assert (await client.get("http://a.example/")).status_code == 200
        assert (await client.get("http://a.example/", follow_redirects=False)).status_code == 302
        client.follow_redirects = False
        assert (await client.get("http://a.example/", follow_redirects=httpx.USE_CLIENT_DEFAULT)).status_code == 302

    driver_options = {"transport": mock(moving("/?n=1")), "follow_redirects": True}
    mocked.run(scenario, **driver_options)


def test_a_redirect_can_be_followed_by_hand(mocked: Driver):
    async def scenario(client: Any) -> None:
        response = await client.post("http://a.example/", content=b"abc")
        urls = []
        while response.next_request is not None:
            urls.append(str(response.next_request.url))
            response = await client.send(response.next_request)
        assert urls == ["http://a.example/?n=1", "http://b.example/?n=2"]
        assert response.json()["body"] == "abc"
        assert response.history == []

    mocked.run(scenario, transport=mock(moving("/?n=1", "http://b.example/?n=2", status=307)))


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_there_is_an_end_to_redirects(mocked: Driver, limit: int):
    sent = []

    def forever(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(302, headers={"Location": f"/{len(sent)}"})

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.TooManyRedirects, match=f"more than {limit} redirects") as caught:
            await client.get(URL)
        assert caught.value.request.url.path == f"/{limit + 1}"
        assert len(sent) == limit + 1

    mocked.run(scenario, transport=mock(forever), follow_redirects=True, max_redirects=limit)


def test_the_body_of_a_redirect_can_be_read_afterwards(mocked: Driver):
    streams = []

    def body() -> httpx.ByteStream:
        streams.append(Body(b"mov", b"ed"))
        return streams[-1]  # type: ignore[return-value]

    async def scenario(client: Any) -> None:
        response = await client.get("http://a.example/")
        assert [(each.content, each.text, each.is_closed) for each in response.history] == [(b"moved", "moved", True)]
        assert [stream.closed for stream in streams] == [1]

    mocked.run(scenario, transport=mock(moving("/?n=1", body=body)), follow_redirects=True)


def test_a_body_that_can_be_sent_once_cannot_follow_a_redirect(mocked: Driver):
    """Harm otherwise: the second request would be sent with an empty body, as if that had been asked for."""

    def unread(request: httpx.Request) -> Body:
        return httpx.Response(307, headers={"Location": "/"}, stream=Body(b"x"))  # type: ignore[return-value]

    class Reader(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            b"".join(request.stream)  # type: ignore[arg-type]
            return unread(request)  # type: ignore[return-value]

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            [piece async for piece in request.stream]  # type: ignore[union-attr]
            return unread(request)  # type: ignore[return-value]

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.StreamConsumed):
            await client.post(URL, content=mocked.body([b"abc"]))

    mocked.run(scenario, transport=Reader(), follow_redirects=True)


# Cookies.


def test_cookies_are_kept_and_sent_back(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        response = await client.get("/cookies/set", params={"a": "1"})
        assert response.cookies["a"] == "1"
        assert client.cookies["a"] == "1"
        assert (await client.get("/cookies")).json()["cookies"] == {"a": "1"}
        assert (await client.get("/cookies", cookies={"b": "2"})).json()["cookies"] == {"a": "1", "b": "2"}
        assert dict(client.cookies) == {"a": "1"}
        client.cookies.delete("a")
        assert (await client.get("/cookies")).json()["cookies"] == {}
        response = await client.get("/cookies/set", params={"c": "3"}, follow_redirects=True)
        assert response.json()["cookies"] == {"c": "3"}

    driver.run(scenario, base_url=echo_server.url)


# Authentication.


def test_credentials_answer_a_challenge(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        assert (await client.get("/basic-auth/jo/secret")).status_code == 401
        assert (await client.get("/basic-auth/jo/secret", auth=("jo", "secret"))).status_code == 200
        response = await client.get("/digest-auth/auth/jo/secret", auth=httpx.DigestAuth("jo", "secret"))
        assert response.status_code == 200
        assert [each.status_code for each in response.history] == [401]
        url = str(client.base_url.copy_with(username="jo", password="secret", path="/basic-auth/jo/secret"))
        assert (await client.get(url)).status_code == 200

    driver.run(scenario, base_url=echo_server.url)


def test_a_function_may_be_the_auth(mocked: Driver):
    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["X-Signature"] = "signed"
        return request

    async def scenario(client: Any) -> None:
        assert ["X-Signature", "signed"] in (await client.get(URL)).json()["headers"]
        assert ["X-Signature", "signed"] not in (await client.get(URL, auth=None)).json()["headers"]
        client.auth = ("jo", "secret")
        assert ["Authorization", "Basic am86c2VjcmV0"] in (await client.get(URL)).json()["headers"]

    mocked.run(scenario, transport=mock(echo), auth=sign)


class TokenAuth(httpx.Auth):
    """Asks for a token first."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield httpx.Request("POST", "http://id.example/token")
        request.headers["Authorization"] = response.json()["token"]
        yield request


def with_token(request: httpx.Request) -> httpx.Response:
    if request.url.host == "id.example":
        return httpx.Response(200, stream=Body(b'{"token":', b'"t0k3n"}'))
    return echo(request)


def test_a_flow_may_make_requests_of_its_own(mocked: Driver):
    """In 0.28.1 such a request had no timeout at all, and its answer could not be read without asking for it."""
    timeouts = []

    def handler(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"])
        return with_token(request)

    async def scenario(client: Any) -> None:
        response = await client.get(URL)
        assert ["Authorization", "t0k3n"] in response.json()["headers"]
        assert [str(each.url) for each in response.history] == ["http://id.example/token"]

    mocked.run(scenario, transport=mock(handler), auth=TokenAuth(), timeout=7)
    assert timeouts == [httpx.Timeout(7).as_dict()] * 2


def test_an_unknown_kind_of_auth_is_a_type_error(mocked: Driver):
    async def scenario(client: Any) -> None:
        with pytest.raises(TypeError):
            await client.get(URL, auth="jo:secret")

    mocked.run(scenario, transport=mock())


def test_a_flow_is_ended_when_something_goes_wrong(mocked: Driver):
    ended = []

    class Flow(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            try:
                yield request
            finally:
                ended.append(True)

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ReadError):
            await client.get(URL)

    mocked.run(scenario, transport=mock(failing(httpx.ReadError("gone"))), auth=Flow())
    gc.collect()
    assert ended == [True]


# Event hooks.


def test_hooks_see_each_request_and_each_response(mocked: Driver):
    seen: list[Any] = []

    def before(request: httpx.Request) -> None:
        seen.append((request.method, request.url.path, "authorization" in request.headers))
        request.headers["X-Hook"] = "1"

    def after(response: httpx.Response) -> None:
        seen.append((response.status_code, response.request.url.path, response.elapsed > datetime.timedelta(0)))

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/path":
            return httpx.Response(302, headers={"Location": "/other"})
        return echo(request)

    async def scenario(client: Any) -> None:
        response = await client.get(URL)
        assert ["X-Hook", "1"] in response.json()["headers"]

    hooks = {"request": [mocked.hook(before)], "response": [mocked.hook(after)]}
    mocked.run(scenario, transport=mock(handler), event_hooks=hooks, follow_redirects=True, auth=("jo", "secret"))
    assert seen == [("GET", "/path", True), (302, "/path", True), ("GET", "/other", True), (200, "/other", True)]


def test_a_hook_gets_a_response_that_is_not_read_and_may_read_it(mocked: Driver):
    read = []

    def look(response: httpx.Response) -> None:
        assert not response.is_closed
        read.append(response.status_code)

    async def reading(response: httpx.Response) -> None:
        read.append(await response.aread())

    def reading_sync(response: httpx.Response) -> None:
        read.append(response.read())

    async def scenario(client: Any) -> None:
        assert (await client.get(URL)).content == b"abc"

    hooks = {"response": [mocked.hook(look), reading if mocked.is_async else reading_sync]}
    answer = mock(lambda request: httpx.Response(200, stream=Body(b"abc")))
    mocked.run(scenario, transport=answer, event_hooks=hooks)
    assert read == [200, b"abc"]


def test_hooks_can_be_added_and_replaced(mocked: Driver):
    seen: list[str] = []

    async def scenario(client: Any) -> None:
        client.event_hooks["request"].append(mocked.hook(lambda request: seen.append("added")))
        await client.get(URL)
        client.event_hooks = {"request": [mocked.hook(lambda request: seen.append("replaced"))]}
        await client.get(URL)
        client.event_hooks = {}
        await client.get(URL)

    mocked.run(scenario, transport=mock())
    assert seen == ["added", "replaced"]


@pytest.mark.parametrize("event", ["request", "response"])
def test_a_hook_of_the_other_kind_is_a_type_error_and_no_warning(event: str):
    """Harm otherwise: a hook that checks statuses never runs, and all that is seen is a warning."""

    async def asynchronous(subject: Any) -> None:
        raise AssertionError("nobody awaits it")

    class Later:
        def __await__(self) -> Any:
            raise AssertionError("nobody awaits it")

    with httpx.Client(transport=mock(), event_hooks={event: [asynchronous]}) as client:
        with pytest.raises(TypeError, match="Client hooks must not be async"):
            client.get(URL)
        client.event_hooks[event] = [lambda subject: Later()]
        with pytest.raises(TypeError):
            client.get(URL)

    async def main() -> None:
        async with httpx.AsyncClient(transport=mock(), event_hooks={event: [lambda subject: None]}) as client:
            with pytest.raises(TypeError, match="AsyncClient hooks must be async functions"):
                await client.get(URL)

    asyncio.run(main())


def test_a_hook_that_fails_closes_the_response(mocked: Driver):
    """Harm: `response.raise_for_status` as a hook, the usual one, would leak a connection with each error."""
    streams: list[Body] = []

    def handler(request: httpx.Request) -> httpx.Response:
        streams.append(Body(b"abc"))
        return httpx.Response(500, stream=streams[-1])

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.HTTPStatusError):
            await client.get(URL)
        with pytest.raises(httpx.HTTPStatusError):
            async with client.stream("GET", URL):
                raise AssertionError("not reached")

    hooks = {"response": [mocked.hook(lambda response: response.raise_for_status())]}
    mocked.run(scenario, transport=mock(handler), event_hooks=hooks)
    assert [stream.closed for stream in streams] == [1, 1]


def test_a_hook_that_fails_before_the_request_keeps_it_from_being_sent(mocked: Driver):
    def fail(request: httpx.Request) -> None:
        raise KeyError("no")

    async def scenario(client: Any) -> None:
        with pytest.raises(KeyError):
            await client.get(URL)

    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("not reached")

    mocked.run(scenario, transport=mock(handler), event_hooks={"request": [mocked.hook(fail)]})


def test_interim_answers_have_a_hook(driver: Driver, no_leaks: None):
    seen: list[Any] = []

    def look(response: httpx.Response) -> None:
        seen.append((response.status_code, response.headers.get("link"), response.request.url.path))

    async def scenario(client: Any, url: str) -> None:
        client.event_hooks["1xx"].append(driver.hook(look))
        assert (await client.get(f"{url}/path")).text == "ok"

    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    with ScriptedServer([expect_head(), send(early, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]) as server:
        driver.run(scenario, server.url)
    assert seen == [(103, "</style.css>", "/path"), (102, None, "/path")]


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_subclasses_that_override_what_builds_a_request_need_not_know_newer_arguments(kind: Any):
    """Starlette's TestClient overrides `request` with the arguments of 0.28.1: `post` must not give it others."""
    called: list[str] = []

    class Old(kind):  # type: ignore[misc]  # one of two classes
        def request(self, method: Any, url: Any, *, content: Any = None, data: Any = None, files: Any = None,
                    json: Any = None, params: Any = None, headers: Any = None, cookies: Any = None, auth: Any = None,
                    follow_redirects: Any = None, timeout: Any = None, extensions: Any = None) -> Any:  # fmt: skip
            called.append("request")
            return super().request(method, url, content=content)

        def build_request(self, method: Any, url: Any, *, content: Any = None, data: Any = None, files: Any = None,
                          json: Any = None, params: Any = None, headers: Any = None, cookies: Any = None,
                          timeout: Any = None, extensions: Any = None) -> httpx.Request:  # fmt: skip
            called.append("build_request")
            return super().build_request(method, url, content=content)  # type: ignore[no-any-return]  # as above

    driver = Driver("asyncio" if kind is httpx.AsyncClient else "sync")

    async def scenario() -> None:
        client: Any = Old(transport=httpx.MockTransport(lambda request: httpx.Response(200)))
        if not driver.is_async:
            client = SyncAdapter(client)
        async with client:
            for send_one in (client.post, client.put, client.patch, client.get):
                await send_one("http://example.org/")
            async with client.stream("POST", "http://example.org/", content=b"a"):
                pass

    driver.run_bare(scenario)
    assert called == ["request", "build_request"] * 4 + ["build_request"]


# Mounts, transports and states.


class Counting(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Counts how often it was entered and closed."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.events: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status)

    def __enter__(self) -> Counting:
        self.events.append("enter")
        return self

    async def __aenter__(self) -> Counting:
        return self.__enter__()

    def close(self) -> None:
        self.events.append("close")

    async def aclose(self) -> None:
        self.close()


def test_mounted_transports_are_used_entered_and_closed_with_the_client(mocked: Driver):
    default, mounted, other = Counting(200), Counting(201), Counting(202)

    async def scenario(client: Any) -> None:
        assert (await client.get("http://a.example/")).status_code == 201
        assert (await client.get("https://a.example/")).status_code == 202
        assert (await client.get("http://c.example/")).status_code == 200
        assert (await client.get("http://b.example/")).status_code == 200
        assert default.events == mounted.events == other.events == ["enter"]

    mounts = {"http://a.example": mounted, "https://": other, "all://b.example": None}
    mocked.run(scenario, transport=default, mounts=mounts)
    assert default.events == mounted.events == other.events == ["enter", "close"]


class Failing(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Fails when it is opened, or when it is closed; notes what is done to it."""

    def __init__(self, notes: list[str], name: str, *fails: str) -> None:
        self.notes, self.name, self.fails = notes, name, fails

    def note(self, what: str) -> None:
        self.notes.append(f"{what} {self.name}")
        if what in self.fails:
            raise OSError(f"cannot {what} {self.name}")

    def __enter__(self) -> Any:
        self.note("open")
        return self

    async def __aenter__(self) -> Any:
        self.note("open")
        return self

    def close(self) -> None:
        self.note("close")

    async def aclose(self) -> None:
        self.note("close")


@pytest.mark.parametrize("by", ["close", "with", "with, by an exception"])
def test_a_transport_that_fails_to_close_does_not_keep_the_others_open(mocked: Driver, by: str):
    """Harm: the connections, threads and apps of all transports after the one that failed were left behind."""
    notes: list[str] = []
    transports = [Failing(notes, name, *fails) for name, *fails in [("a", "close"), ("b",), ("c", "close"), ("d",)]]
    mounts = {"all://b": transports[1], "all://c": transports[2], "all://x": None, "all://d": transports[3]}
    contexts: list[Any] = []

    async def main() -> None:
        client: Any = mocked.client(transport=transports[0], mounts=mounts)
        try:
            if by == "close":
                await client.aclose()
            else:
                async with client:
                    if by != "with":
                        raise ValueError("of the block")
        except OSError as exc:
            contexts.append(exc.__context__)  # a loop raises it again, and the context may be another one then
            raise

    with pytest.raises(OSError, match="cannot close a"):
        mocked.run_bare(main)
    assert (type(contexts[0]) is ValueError) == (by == "with, by an exception")
    assert [note for note in notes if note.startswith("close")] == ["close a", "close b", "close c", "close d"]


def test_a_transport_that_fails_to_open_does_not_keep_the_others_open(mocked: Driver):
    """Harm: nothing calls `__exit__` when `__enter__` fails, so what was open by then stayed open."""
    notes: list[str] = []
    transports = [Failing(notes, name, *fails) for name, *fails in [("a", "close"), ("b",), ("c", "open"), ("d",)]]
    mounts = {"all://b": transports[1], "all://c": transports[2], "all://d": transports[3]}
    clients: list[Any] = []

    async def main() -> None:
        clients.append(mocked.client(transport=transports[0], mounts=mounts))
        async with clients[0]:
            raise AssertionError("it was opened")

    with pytest.raises(OSError, match="cannot open c"):
        mocked.run_bare(main)
    assert notes == ["open a", "open b", "open c", "close a", "close b"]
    assert getattr(clients[0], "client", clients[0]).is_closed


def test_a_redirect_goes_through_the_transport_of_its_new_url(mocked: Driver):
    async def scenario(client: Any) -> None:
        assert (await client.get("http://a.example/")).status_code == 201

    moved = mock(lambda request: httpx.Response(302, headers={"Location": "http://b.example/"}))
    mocked.run(scenario, transport=moved, mounts={"all://b.example": Counting(201)}, follow_redirects=True)


def test_a_client_need_not_be_opened_but_should_be_closed(mocked: Driver):
    async def main() -> None:
        transport, mounted = Counting(), Counting()
        client = mocked.client(transport=transport, mounts={"all://a.example": mounted, "all://b.example": None})
        assert not client.is_closed
        await client.get(URL)
        for _ in range(2):
            await client.aclose()
        assert client.is_closed
        assert transport.events == mounted.events == ["close"]

    mocked.run_bare(main)


def test_a_client_is_opened_once(mocked: Driver):
    async def main() -> None:
        client = mocked.client(transport=mock())
        async with client:
            with pytest.raises(RuntimeError, match="opened twice"):
                async with client:
                    pass
        with pytest.raises(RuntimeError, match="opened again after it was closed"):
            async with client:
                pass
        used = mocked.client(transport=mock())
        await used.get(URL)
        with pytest.raises(RuntimeError, match="opened twice"):
            async with used:
                pass
        await used.aclose()

    mocked.run_bare(main)


def test_a_closed_client_sends_nothing(mocked: Driver):
    async def main() -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            raise AssertionError("not reached")

        client = mocked.client(transport=mock(handler))
        async with client:
            await client.aclose()
        for send_it in (
            lambda: client.get(URL),
            lambda: client.send(client.build_request("GET", URL)),
            lambda: client.stream("GET", URL).__aenter__(),
        ):
            with pytest.raises(RuntimeError, match="the client is closed"):
                await send_it()

    mocked.run_bare(main)


def test_a_client_closes_what_is_open_when_its_block_fails(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        await client.send(client.build_request("GET", "/stream-bytes/1000000"), stream=True)
        raise KeyError

    with pytest.raises(KeyError):
        driver.run(scenario, base_url=echo_server.url)


def test_the_transport_of_a_client_is_that_of_the_network_unless_one_is_given():
    given = mock()
    assert httpx.Client(transport=given)._transport is given
    assert httpx.AsyncClient(transport=given)._transport is given
    assert isinstance(httpx.Client()._transport, httpx.HTTPTransport)
    assert isinstance(httpx.AsyncClient()._transport, httpx.AsyncHTTPTransport)
    assert httpx.Client()._mounts == {}


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_a_proxy_is_given_to_the_transport_that_a_subclass_makes_for_it(kind: Any):
    made: list[Any] = []

    class Own(kind):  # type: ignore[misc]
        def _init_proxy_transport(self, proxy: Any, **network: Any) -> Any:
            made.append((proxy, sorted(network)))
            return Counting()

    names = ["cert", "http1", "http2", "limits", "trust_env", "verify"]
    client = Own(proxy="http://proxy.example")
    assert isinstance(client._transport, Counting)
    with pytest.warns(DeprecationWarning, match="`proxies`"):
        client = Own(proxies={"http": "http://proxy.example", "https": None})
    assert isinstance(client._transport_for_url(httpx.URL("http://a.example")), Counting)
    assert client._transport_for_url(httpx.URL("https://a.example")) is client._transport
    assert made == [("http://proxy.example", names)] * 2


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_a_proxy_is_given_to_the_transport_of_the_network(monkeypatch: pytest.MonkeyPatch, kind: str):
    made: list[Any] = []
    name = "HTTPTransport" if kind == "Client" else "AsyncHTTPTransport"
    monkeypatch.setattr(f"httpx._client.{name}", lambda **options: made.append(options.get("proxy")))
    getattr(httpx, kind)(proxy="http://proxy.example")
    getattr(httpx, kind)()
    assert made == ["http://proxy.example", None]


# What other packages do to clients.


def test_every_request_passes_send_and_transport_for_url(mocked: Driver, monkeypatch: pytest.MonkeyPatch):
    """sentry-sdk replaces the one on the class, respx the other."""
    passed: list[str] = []
    kind: Any = httpx.AsyncClient if mocked.is_async else httpx.Client
    original_send, original_transport = kind.send, kind._transport_for_url

    def send(self: Any, request: httpx.Request, **kwargs: Any) -> Any:
        passed.append(f"send {request.method} {request.url.path}")
        return original_send(self, request, **kwargs)

    def transport_for_url(self: Any, url: httpx.URL) -> Any:
        passed.append(f"transport {url.path}")
        return original_transport(self, url)

    monkeypatch.setattr(kind, "send", send)
    monkeypatch.setattr(kind, "_transport_for_url", transport_for_url)

    async def scenario(client: Any) -> None:
        await client.get("http://a.example/1")
        await client.request("PUT", "http://a.example/2")
        async with client.stream("POST", "http://a.example/3"):
            pass

    mocked.run(scenario, transport=mock())
    assert passed == [
        *("send GET /1", "transport /1", "send PUT /2", "transport /2", "send POST /3", "transport /3"),
    ]


def test_a_handler_that_is_replaced_on_a_transport_is_called(mocked: Driver):
    """opentelemetry wraps it on the instance, pytest_httpx and vcrpy on the class."""
    name = "handle_async_request" if mocked.is_async else "handle_request"

    async def later(request: httpx.Request) -> httpx.Response:
        return httpx.Response(299)

    async def scenario(client: Any) -> None:
        setattr(client._transport, name, later if mocked.is_async else lambda request: httpx.Response(299))
        assert (await client.get(URL)).status_code == 299

    mocked.run(scenario)


def test_a_subclass_may_override_what_starlette_overrides():
    class TestClient(Client):
        __test__ = False

        def request(self, method: str, url: Any, **kwargs: Any) -> httpx.Response:  # type: ignore[override]
            return super().request(method, self._merge_url(url), **kwargs)

    with TestClient(base_url="http://testserver", transport=mock(echo)) as client:
        assert client.get("/path").json()["url"] == "http://testserver/path"


# Errors.


def failing(error: BaseException) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ProxyError])
def test_an_error_of_the_transport_knows_its_request(mocked: Driver, kind: Any):
    async def scenario(client: Any) -> None:
        request = client.build_request("GET", URL)
        with pytest.raises(kind, match="bad") as caught:
            await client.send(request)
        assert caught.value.request is request

    mocked.run(scenario, transport=mock(failing(kind("bad"))))


def test_other_errors_of_a_transport_come_through_as_they_are(mocked: Driver):
    error = ZeroDivisionError()

    async def scenario(client: Any) -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            await client.get(URL)
        assert caught.value is error

    mocked.run(scenario, transport=mock(failing(error)))


def test_an_error_after_a_redirect_knows_the_request_that_failed(mocked: Driver):
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/path":
            return httpx.Response(302, headers={"Location": "/other"})
        raise httpx.ReadError("gone")

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ReadError) as caught:
            await client.get(URL)
        assert caught.value.request.url.path == "/other"

    mocked.run(scenario, transport=mock(handler), follow_redirects=True)


def test_a_body_that_breaks_off_closes_the_response(mocked: Driver):
    """Harm: a connection leaks with each answer that is cut short."""
    for error in (httpx.ReadError("gone"), ZeroDivisionError()):
        stream = Body(b"abc", error=error)

        async def scenario(client: Any, error: Exception) -> None:
            with pytest.raises(type(error)) as caught:
                await client.get(URL)
            if isinstance(caught.value, httpx.RequestError):
                assert caught.value.request.url == URL

        def answer(request: httpx.Request, stream: Body = stream) -> httpx.Response:
            return httpx.Response(200, stream=stream)

        mocked.run(scenario, error, transport=mock(answer))
        assert stream.closed == 1


def test_a_body_that_does_not_decode_closes_the_response(mocked: Driver):
    stream = Body(b"no gzip at all")

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.DecodingError) as caught:
            await client.get(URL)
        assert caught.value.request.url == URL

    handler = mock(lambda request: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=stream))
    mocked.run(scenario, transport=handler)
    assert stream.closed == 1


@pytest.mark.parametrize("url", ["/path", "", "example.org", "ftp://example.org/", "http://", "https:///x", "://x"])
def test_a_url_that_leads_nowhere_is_an_error_that_knows_its_request(driver: Driver, url: str):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.UnsupportedProtocol) as caught:
            await client.get(url)
        assert caught.value.request.method == "GET"

    driver.run(scenario)


def test_a_server_that_is_not_there_is_a_connect_error(driver: Driver, no_leaks: None):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get("http://127.0.0.1:1/path")
        assert caught.value.request.url.path == "/path"

    driver.run(scenario)


def test_a_sync_client_refuses_the_answer_of_an_async_transport():
    class OnlyAsync(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"abc"

    client = httpx.Client(transport=mock(lambda request: httpx.Response(200, stream=OnlyAsync())))
    with pytest.raises(RuntimeError, match="async"):
        client.get(URL)


# Timeouts.


def test_a_timeout_is_the_requests_the_clients_or_none(driver: Driver, no_leaks: None):
    async def scenario(client: Any, url: str) -> None:
        for timeout in (0.03, httpx.Timeout(5, read=0.03), (5, 0.03, 5, 5), httpx.Timeout(5, total=0.03)):
            with pytest.raises(httpx.ReadTimeout) as caught:
                await client.get(url, timeout=timeout)
            assert caught.value.request.url == url
        with pytest.raises(httpx.ReadTimeout):
            await client.get(url)
        client.timeout = 0.02
        with pytest.raises(httpx.ReadTimeout):
            await client.get(url, timeout=httpx.USE_CLIENT_DEFAULT)

    with ScriptedServer([silence()]) as server:
        driver.run(scenario, server.url, timeout=0.03)
    with ScriptedServer([answer()]) as server:
        driver.run(lambda client: client.get(server.url, timeout=None), timeout=0.001)


def test_the_total_timeout_covers_the_whole_journey(driver: Driver, no_leaks: None):
    """Harm: a service that redirects slowly holds a worker for as long as it likes, whatever the timeout."""
    go = threading.Event()

    def slow(conn: Any) -> None:
        conn.read_head()
        go.wait(0.04)
        conn.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    async def scenario(client: Any, url: str) -> None:
        request = client.build_request("GET", url)
        with pytest.raises(httpx.TimeoutException):
            await client.send(request)
        # All of the time is there again for whoever sends the same request once more.
        assert request.extensions["timeout"]["total"] == 0.1

    with ScriptedServer([repeat(slow)]) as server:
        timeout = httpx.Timeout(5, total=0.1)
        driver.run(scenario, server.url, timeout=timeout, follow_redirects=True, max_redirects=100)
        go.set()


def test_what_an_auth_flow_took_is_taken_from_the_total_timeout(mocked: Driver):
    left: list[float] = []

    class Slow(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            yield request
            yield request

    def handler(request: httpx.Request) -> httpx.Response:
        left.append(request.extensions["timeout"]["total"])
        threading.Event().wait(0.01)
        return httpx.Response(200)

    async def scenario(client: Any) -> None:
        request = client.build_request("GET", URL)
        await client.send(request)
        await client.send(request)

    mocked.run(scenario, transport=mock(handler), auth=Slow(), timeout=httpx.Timeout(5, total=60))
    for first, second in (left[:2], left[2:]):
        assert 50 < second < first - 0.005 < 60


def test_a_hook_may_use_the_time_up(mocked: Driver):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ReadTimeout, match="total timeout"):
            await client.get(URL)

    hooks = {"request": [mocked.hook(lambda request: threading.Event().wait(0.02) and None)]}
    mocked.run(scenario, transport=mock(), event_hooks=hooks, timeout=httpx.Timeout(5, total=0.01))


# What comes with a response.


def test_the_time_is_that_to_the_head_and_then_to_the_end(driver: Driver, no_leaks: None):
    """0.28.1 raised until the body was closed."""
    go = threading.Event()

    def handler(conn: Any, recorded: Any) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        assert go.wait(5)
        conn.sendall(b"k")

    async def scenario(client: Any, url: str) -> None:
        async with client.stream("GET", url) as response:
            to_the_head = response.elapsed
            assert datetime.timedelta(0) < to_the_head
            await driver.pause(0.01)
            assert response.elapsed == to_the_head
            go.set()
            await response.aread()
        to_the_end = response.elapsed
        assert to_the_end > to_the_head
        await driver.pause(0.01)
        assert response.elapsed == to_the_end

    with ScriptedServer(handler) as server:
        driver.run(scenario, server.url)


def test_extensions_tell_of_the_wire(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/get") as response:
            assert response.extensions["http_version"] == b"HTTP/1.1"
            assert response.extensions["reason_phrase"] == b"OK"
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("server_addr")[1] == echo_server.port
            assert stream.get_extra_info("socket") is not None

    driver.run(scenario, base_url=echo_server.url)


def test_each_answer_is_logged_in_one_line(driver: Driver, echo_server: EchoServer, caplog: pytest.LogCaptureFixture):
    async def scenario(client: Any) -> None:
        await client.get("/status/404")
        await client.get("/relative-redirect/1", follow_redirects=True)

    with caplog.at_level(logging.INFO, "httpx"):
        driver.run(scenario, base_url=echo_server.url)
    assert [message for message in caplog.messages if message.startswith("HTTP Request")] == [
        f'HTTP Request: GET {echo_server.url}/status/404 "HTTP/1.1 404 Not Found"',
        f'HTTP Request: GET {echo_server.url}/relative-redirect/1 "HTTP/1.1 302 Found"',
        f'HTTP Request: GET {echo_server.url}/get "HTTP/1.1 200 OK"',
    ]


def test_the_default_encoding_is_handed_to_responses(driver: Driver, no_leaks: None):
    async def scenario(client: Any, url: str) -> None:
        assert (await client.get(url)).text == "é"

    with ScriptedServer([repeat(answer(b"\xe9", b"Content-Type: text/plain"))]) as server:
        driver.run(scenario, server.url, default_encoding="latin-1")
        driver.run(scenario, server.url, default_encoding=lambda content: "latin-1")


def test_a_large_answer_is_not_kept(driver: Driver, echo_server: EchoServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        for path in ("/bytes/1001", "/stream-bytes/1001", "/bytes/200000", "/stream-bytes/200000"):
            with pytest.raises(httpx.ResponseTooLarge, match="max_response_size, 1000 bytes") as caught:
                await client.get(path)
            assert caught.value.request.url.path == path
        assert len((await client.get("/bytes/1000")).content) == 1000

    driver.run(scenario, base_url=echo_server.url, max_response_size=1000, limits=httpx.Limits(max_connections=1))


def test_a_large_answer_is_not_streamed_either(driver: Driver, no_leaks: None):
    """Harm: a program that streams a body into memory or onto a disk was not protected by the limit that it set."""
    grown = gzip.compress(b"a" * 1_000_000)
    empty = gzip.compress(b"") * 20_000
    bodies = {
        "/plain": answer(b"a\n" * 501),
        "/grows": answer(grown, b"Content-Encoding: gzip"),
        "/empty": answer(empty, b"Content-Encoding: gzip"),
    }

    async def scenario(client: Any, path: str, method: str) -> None:
        count = 0

        async def read() -> None:
            nonlocal count
            async with client.stream("GET", path) as response:
                async for piece in getattr(response, method)():
                    count += len(piece)

        with pytest.raises(httpx.ResponseTooLarge, match="max_response_size, 1000 bytes") as caught:
            await read()
        assert count <= 1000
        assert caught.value.request.url.path == path
        assert not isinstance(caught.value, httpx.TransportError)

    for path, body in bodies.items():
        for method in ("aiter_raw", "aiter_bytes", "aiter_text", "aiter_lines"):
            if (path, method) != ("/grows", "aiter_raw") or len(grown) > 1000:
                with ScriptedServer([body]) as server:
                    driver.run(scenario, path, method, base_url=server.url, max_response_size=1000)


def test_a_small_limit_leaves_room_for_the_frame_of_a_compressed_body(driver: Driver, no_leaks: None):
    async def scenario(client: Any) -> None:
        assert (await client.get("/")).text == "abc"

    with ScriptedServer([answer(gzip.compress(b"abc"), b"Content-Encoding: gzip")]) as server:
        driver.run(scenario, base_url=server.url, max_response_size=3)


def test_the_body_of_a_redirect_may_be_larger_than_the_limit(driver: Driver, no_leaks: None):
    """Nobody reads it, so it is not kept from anybody."""

    async def scenario(client: Any) -> None:
        response = await client.get("/", follow_redirects=True)
        assert response.text == "ok"
        with pytest.raises(httpx.ResponseTooLarge):
            _ = response.history[0].content

    script = [answer(b"a" * 2000, b"Location: /there", status=b"302 Found"), answer(b"ok")]
    with ScriptedServer(script) as server:
        driver.run(scenario, base_url=server.url, max_response_size=10)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_a_response_that_is_abandoned_makes_no_noise(name: str, echo_server: EchoServer):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/stream-bytes/1000000") as response:
            async for _ in response.aiter_text():
                break
        response = await client.send(client.build_request("GET", "/stream-bytes/1000000"), stream=True)
        async for _ in response.aiter_lines():
            break
        del response
        gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Driver(name).run(scenario, base_url=echo_server.url)
        gc.collect()


# Concurrency.


def test_a_sync_client_may_be_used_by_many_threads(echo_server: EchoServer, no_leaks: None):
    wrong: list[str] = []

    def work(client: httpx.Client, name: int) -> None:
        for count in range(10):
            seen = client.get("/anything", params={"id": f"{name}-{count}"}).json()["args"]["id"]
            if seen != f"{name}-{count}":
                wrong.append(seen)

    with httpx.Client(base_url=echo_server.url) as client:
        threads = [threading.Thread(target=work, args=(client, name)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_an_async_client_sends_many_requests_at_once(echo_server: EchoServer, no_leaks: None):
    async def main() -> None:
        async with httpx.AsyncClient(base_url=echo_server.url) as client:
            answers = await asyncio.gather(*[client.get("/anything", params={"id": str(i)}) for i in range(30)])
            assert [answer.json()["args"]["id"] for answer in answers] == [str(i) for i in range(30)]

    asyncio.run(main())


def test_a_request_that_is_cancelled_closes_its_response():
    """Harm: what an auth flow or a hook waits for when it is cancelled must not keep the connection."""

    async def main() -> None:
        stream = Body(b"abc")

        async def hang(response: httpx.Response) -> None:
            await asyncio.Event().wait()

        transport = mock(lambda request: httpx.Response(200, stream=stream))
        async with httpx.AsyncClient(transport=transport, event_hooks={"response": [hang]}) as client:
            task = asyncio.ensure_future(client.get(URL))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert task.cancelled()
        assert stream.closed == 1

    asyncio.run(main())


class BothWays:
    """A stream of another package, such as httpcore's: sync and async, and of no class of ours."""

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"ab", b"c")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class OneWay:
    def __iter__(self) -> Iterator[bytes]:
        yield from (b"ab", b"c")


class OnlyAsync:
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"abc"


def given(stream: Any, url: str = "http://example.org/") -> httpx.Request:
    host = httpx.URL(url).netloc.decode()
    return httpx.Request("POST", url, stream=stream, headers={"Host": host, "Content-Length": "3"})


@pytest.mark.parametrize("stream", [BothWays, OneWay])
def test_a_stream_of_another_package_can_be_read(mocked: Driver, stream: Any):
    """Harm: respx hands httpcore's streams to `httpx.Request`, whose `read` took them for async ones."""

    async def scenario() -> bytes:
        request = given(stream())
        assert request.read() == b"abc"
        return await given(stream()).aread()

    assert mocked.run_bare(scenario) == b"abc"


@pytest.mark.parametrize("stream", [BothWays, OneWay])
def test_a_stream_of_another_package_can_be_sent(driver: Driver, echo_server: EchoServer, no_leaks: None, stream: Any):
    async def scenario(client: Any) -> Any:
        return (await client.send(given(stream(), f"{echo_server.url}/anything"))).json()["data"]

    assert driver.run(scenario) == "abc"


def test_an_async_stream_of_another_package_is_for_async_clients(
    driver: Driver, echo_server: EchoServer, no_leaks: None
):
    async def scenario(client: Any) -> Any:
        with pytest.raises(RuntimeError, match=r"is an async stream: use `await request\.aread"):
            given(OnlyAsync()).read()
        if not driver.is_async:
            with pytest.raises(RuntimeError, match="is an async stream: send it with an AsyncClient"):
                await client.send(given(OnlyAsync(), f"{echo_server.url}/anything"))
            return "abc"
        assert await given(OnlyAsync()).aread() == b"abc"
        return (await client.send(given(OnlyAsync(), f"{echo_server.url}/anything"))).json()["data"]

    assert driver.run(scenario) == "abc"
