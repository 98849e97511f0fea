"""
What other packages reach for below the public surface of httpx 0.28.1; each test says who.

The names are those of section 1 of the ecosystem notes: they must exist, and patching, deleting or setting them must do
what it did. Whatever concerns httpcore runs with a stand-in for it (`support.fake_httpcore`) and, where that is
installed, with the real one. The packages themselves are in tests/ecosystem.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import inspect
import pickle
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from httpx._cli.echo_server import EchoServer
from httpx._sharing import SharingPool
from httpx._transports import compat
from support import fake_httpcore
from support.drivers import Driver
from support.servers import ScriptedServer, answer, expect, expect_head, send, shut, silence
from support.steps import turns
from support.together import together

# Modules, and attributes of them.


def test_private_modules_are_attributes_of_the_package():
    """starlette, litestar, respx and vcrpy write `httpx._client.Client` after a plain `import httpx`."""
    names = ["_client", "_exceptions", "_content", "_config", "_types", "_multipart", "_utils", "_models", "_urls"]
    program = "import httpx\n" + "\n".join(f"httpx.{name}" for name in names)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_client_module_has_what_frameworks_import():
    """starlette evaluates these in signatures when it is imported, and litestar derives from them."""
    client = httpx._client
    assert client.Client is httpx.Client
    assert client.AsyncClient is httpx.AsyncClient
    assert issubclass(httpx.Client, client.BaseClient)
    assert issubclass(httpx.AsyncClient, client.BaseClient)
    assert isinstance(client.USE_CLIENT_DEFAULT, client.UseClientDefault)
    assert client.USE_CLIENT_DEFAULT is httpx.USE_CLIENT_DEFAULT


@pytest.mark.parametrize(
    "name",
    [
        *(
            "CookieTypes",
            "HeaderTypes",
            "QueryParamTypes",
            "RequestContent",
            "RequestFiles",
            "RequestData",
            "CertTypes",
        ),
        *("TimeoutTypes", "URLTypes", "AuthTypes", "FileTypes", "ProxyTypes", "ResponseContent", "RequestExtensions"),
        *("SyncByteStream", "AsyncByteStream"),
    ],
)
def test_the_types_of_signatures_are_there(name: str):
    """starlette, litestar and httpx-cache import them."""
    assert hasattr(httpx._types, name)


def test_the_defaults_are_there():
    """openai, anthropic and httpx-cache."""
    config = httpx._config
    assert httpx.Timeout(5.0) == config.DEFAULT_TIMEOUT_CONFIG
    assert httpx.Limits(max_connections=100, max_keepalive_connections=20) == config.DEFAULT_LIMITS
    assert config.DEFAULT_MAX_REDIRECTS == 20


def test_a_timeout_that_was_marked_stays_four_numbers():
    """openai and anthropic set `__module__` on every object they export: on an instance of `Timeout`, too."""
    timeout = httpx.Timeout(7, connect=1)
    timeout.__module__ = "openai"
    four = {"connect": 1, "read": 7, "write": 7, "pool": 7}
    with httpx.Client(timeout=timeout) as client:
        assert client.build_request("GET", "http://x").extensions["timeout"] == four
        assert client.build_request("GET", "http://x", timeout=timeout).extensions["timeout"] == four
    with httpx.Client(timeout=httpx.Timeout(timeout, total=9)) as client:
        assert client.build_request("GET", "http://x").extensions["timeout"] == {**four, "total": 9}


def test_request_context_attaches_the_request():
    """vcrpy uses it around every recorded response."""
    request = httpx.Request("GET", "http://x")
    with pytest.raises(httpx.ReadError) as caught, httpx._exceptions.request_context(request=request):
        raise httpx.ReadError("no")
    assert caught.value.request is request


def test_byte_streams_may_be_combined():
    """pytest_httpx derives from both when it is imported; where it cannot, every run of pytest ends there."""

    class Both(httpx._content.AsyncIteratorByteStream, httpx._content.IteratorByteStream):
        def __init__(self, stream: Any) -> None:
            class Source:
                def __iter__(self) -> Iterator[bytes]:
                    yield from stream

                async def __aiter__(self) -> Any:
                    for piece in stream:
                        yield piece

            httpx._content.AsyncIteratorByteStream.__init__(self, stream=Source())
            httpx._content.IteratorByteStream.__init__(self, stream=Source())

    async def read() -> list[bytes]:
        return [piece async for piece in Both([b"a", b"b"])]

    assert list(Both([b"a", b"b"])) == [b"a", b"b"]
    assert asyncio.run(read()) == [b"a", b"b"]


def test_the_encoders_give_headers_and_a_stream():
    """litestar's test client makes its bodies with them."""
    content = httpx._content
    headers, stream = content.encode_json({"a": 1})
    assert (headers["Content-Type"], b"".join(stream)) == ("application/json", b'{"a":1}')
    headers, stream = content.encode_urlencoded_data({"a": "b c"})
    assert (headers["Content-Type"], b"".join(stream)) == ("application/x-www-form-urlencoded", b"a=b+c")
    headers, parts = content.encode_multipart_data({"a": "1"}, {"f": b"x"}, b"boundary")
    assert headers["Content-Type"] == "multipart/form-data; boundary=boundary"
    assert b'name="a"' in b"".join(parts)


def test_a_multipart_stream_can_be_made_by_hand():
    """pytest_httpx, for `match_files`."""
    stream = httpx._multipart.MultipartStream(data={"a": "1"}, files={"f": ("n", b"x")}, boundary=b"b")
    assert b"".join(stream).endswith(b"--b--\r\n")


# Attributes.


def test_a_transport_of_the_client_can_be_wrapped_in_place():
    """opentelemetry wraps `handle_request` of `client._transport` and of what is in `client._mounts`."""
    calls = []
    with httpx.Client(
        transport=httpx.MockTransport(lambda request: httpx.Response(200)), mounts={"all://x": None}
    ) as c:
        real = c._transport.handle_request

        def wrapper(request: httpx.Request) -> httpx.Response:
            calls.append(str(request.url))
            return real(request)

        c._transport.handle_request = wrapper  # type: ignore[method-assign]  # the point
        c.get("http://a/")
        del c._transport.handle_request
        c.get("http://b/")
    assert calls == ["http://a/"]


def test_a_transport_of_an_async_client_can_be_wrapped_in_place():
    """opentelemetry, and `openai` and `anthropic` in their tests; httpx-retries takes what stands there."""
    calls = []

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as client:
            real = client._transport.handle_async_request

            async def wrapper(request: httpx.Request) -> httpx.Response:
                calls.append(str(request.url))
                return await real(request)

            client._transport.handle_async_request = wrapper  # type: ignore[method-assign]  # the point
            await client.get("http://a/")
            del client._transport.handle_async_request
            await client.get("http://b/")

    asyncio.run(main())
    assert calls == ["http://a/"]


def test_handle_request_is_looked_up_on_the_class_of_every_transport(monkeypatch: pytest.MonkeyPatch):
    """vcrpy replaces it on those of applications and on the mock, too."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was asked")

    async def handle(self: object, request: httpx.Request) -> httpx.Response:
        return httpx.Response(202)

    wsgi, asgi, mock = httpx.WSGITransport(app), httpx.ASGITransport(app), httpx.MockTransport(app)
    for kind in (httpx.WSGITransport, httpx.ASGITransport, httpx.MockTransport):
        monkeypatch.setattr(kind, "handle_request", lambda self, request: httpx.Response(201))
    for kind in (httpx.ASGITransport, httpx.MockTransport):
        monkeypatch.setattr(kind, "handle_async_request", handle)
    for transport in (wsgi, asgi, mock):
        with httpx.Client(transport=transport) as client:
            assert client.get("http://x/").status_code == 201

    async def main(transport: Any) -> int:
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get("http://x/")).status_code

    assert [asyncio.run(main(transport)) for transport in (asgi, mock)] == [202, 202]


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_subclasses_can_make_the_transports(kind: Any):
    """httpx-cache 0.13 puts its own transport around what these two methods of its parent return."""

    class Caching(kind):  # type: ignore[misc]  # any of the two
        def _init_transport(self, **options: Any) -> Any:
            made.append("transport")
            return super()._init_transport(**options)

        def _init_proxy_transport(self, proxy: Any, **options: Any) -> Any:
            made.append(f"proxy {proxy.url if isinstance(proxy, httpx.Proxy) else proxy}")
            return super()._init_proxy_transport(proxy, **options)

    made: list[str] = []
    client = Caching(proxy="http://proxy.example:3128")
    assert isinstance(client._transport, httpx.HTTPTransport if kind is httpx.Client else httpx.AsyncHTTPTransport)
    assert made == ["transport", "proxy http://proxy.example:3128"]


def test_handle_request_is_looked_up_on_the_class(monkeypatch: pytest.MonkeyPatch):
    """pytest_httpx, vcrpy and opentelemetry replace it on `HTTPTransport` and `AsyncHTTPTransport`."""
    with httpx.Client() as client:
        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda self, request: httpx.Response(201))
        assert client.get("http://nowhere.invalid/").status_code == 201

    async def handle(self: object, request: httpx.Request) -> httpx.Response:
        return httpx.Response(202)

    async def main() -> int:
        async with httpx.AsyncClient() as client:
            monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
            return (await client.get("http://nowhere.invalid/")).status_code

    assert asyncio.run(main()) == 202


def test_send_is_looked_up_on_the_class(monkeypatch: pytest.MonkeyPatch):
    """sentry-sdk replaces `Client.send`; requests, streams and verbs must pass through it."""
    seen = []
    real = httpx.Client.send

    def send(self: httpx.Client, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        seen.append(request.method)
        return real(self, request, **kwargs)

    monkeypatch.setattr(httpx.Client, "send", send)
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as client:
        client.get("http://x")
        client.request("PUT", "http://x")
        with client.stream("POST", "http://x"):
            pass
    assert seen == ["GET", "PUT", "POST"]


def test_mounts_are_a_dict_in_order_of_priority():
    """openai, anthropic and huggingface_hub read `mounts[0][0].pattern`; httpx-retries and opentelemetry the values."""
    first, second = (httpx.MockTransport(lambda request: httpx.Response(200)) for _ in "12")
    with httpx.Client(mounts={"all://": first, "https://example.org": second}) as client:
        assert [(pattern.pattern, transport) for pattern, transport in client._mounts.items()] == [
            ("https://example.org", second),
            ("all://", first),
        ]


def test_no_proxy_counts_for_what_was_mounted(monkeypatch: pytest.MonkeyPatch):
    """opentelemetry's own tests count it among the mounts, where there is no proxy in the environment either."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "inside.example")
    mounted, direct = (httpx.MockTransport(lambda request, n=n: httpx.Response(n)) for n in (201, 202))
    with httpx.Client(mounts={"http://": mounted}) as client:
        assert len(client._mounts) == 2
        client._transport = direct
        assert client.get("http://inside.example/").status_code == 202
        assert client.get("http://outside.example/").status_code == 201
    with httpx.Client() as client:
        assert client._mounts == {}


def test_every_request_asks_transport_for_url(monkeypatch: pytest.MonkeyPatch):
    """respx with `using="httpx"` replaces it on the class, and asks whether `request` is a coroutine function."""
    mock = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))
    monkeypatch.setattr(httpx._client.Client, "_transport_for_url", lambda self, url: mock)
    with httpx.Client() as client:
        assert client.get("http://x/").text == "http://x/"
        assert not inspect.iscoroutinefunction(client.request)
    assert inspect.iscoroutinefunction(httpx.AsyncClient.request)


def test_merge_url_is_called_by_name():
    """starlette's TestClient."""
    with httpx.Client(base_url="http://x/base/") as client:
        assert client._merge_url("/path") == "http://x/base/path"


@pytest.mark.parametrize(("url", "path"), [("http://x", ""), ("http://x/", "/"), ("http://x/a%20b", "/a%20b")])
def test_the_path_as_given_is_known(url: str, path: str):
    """respx compares it for every pattern and request."""
    assert httpx.URL(url)._uri_reference.path == path


def test_a_response_knows_whether_it_was_read():
    """pytest_httpx's `_unread` deletes `_content` and resets the flags, so that a response can be given out again."""
    response = httpx.Response(200, content=b"abc")
    assert response._request is None
    assert response.read() == b"abc"
    assert hasattr(response, "_content")
    del response._content
    response.is_closed = response.is_stream_consumed = False
    assert b"".join(response.iter_bytes()) == b"abc"


def test_the_body_of_a_response_can_be_set():
    """huggingface_hub's tests, and httpx-cache."""
    response = httpx.Response(200)
    response._content = b'{"a": 1}'
    assert response.json() == {"a": 1}
    assert response.text == '{"a": 1}'


def test_parts_of_messages_can_be_set():
    """pytest_httpx, vcrpy, respx, authlib and opentelemetry."""
    request, response = httpx.Request("GET", "http://x"), httpx.Response(200)
    request.stream, request.headers, request.extensions = httpx.ByteStream(b"a"), httpx.Headers(), {"a": 1}
    request.url, request.method = httpx.URL("http://y"), "PUT"
    response.stream, response.request, response.extensions = httpx.ByteStream(b"a"), request, {"b": 2}
    assert response.url == "http://y"
    assert response._request is request


def test_headers_show_their_triples():
    """pytest_httpx, in its messages."""
    assert httpx.Headers([("X-A", "1")])._list == [(b"X-A", b"x-a", b"1")]


def test_public_classes_say_where_they_are_public():
    """openai's tests read `type(response).__module__`."""
    assert httpx.Response.__module__ == httpx.Client.__module__ == httpx.ReadError.__module__ == "httpx"


# `transport._pool`.


def _no_httpcore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "httpcore", raising=False)


@pytest.fixture(params=["fake", "real"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """httpcore as a process has it that has imported it."""
    if request.param == "fake":
        modules = {"httpcore": fake_httpcore.module()}
    else:
        modules = fake_httpcore.real()
        if not modules:
            pytest.skip("httpcore is not installed")
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules["httpcore"]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_httpcore(monkeypatch)


def test_importing_httpx_and_sending_requests_does_not_import_httpcore(echo_server: EchoServer):
    """httpx's own `test_httpcore_lazy_loading`, taken further: without httpcore, the seam is not even loaded."""
    program = (
        "import sys, httpx\nhttpx.get(sys.argv[1])\n"
        "assert not [name for name in sys.modules if 'httpcore' in name or name.endswith('.compat')]"
    )
    done = subprocess.run([sys.executable, "-c", program, echo_server.url + "/get"], check=False, timeout=60)
    assert done.returncode == 0


# A body that does not arrive whole.
HALF = [expect_head(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), silence()]


@pytest.mark.parametrize("present", [False, True])
def test_open_requests_are_counted(driver: Driver, present: bool, monkeypatch: pytest.MonkeyPatch):
    """openai and anthropic: `len(client._transport._pool._requests)` is 0 after all is closed, or something leaks."""
    _no_httpcore(monkeypatch)
    if present:
        monkeypatch.setitem(sys.modules, "httpcore", fake_httpcore.module())

    async def scenario(client: Any) -> list[int]:
        transport = client._transport
        counts = [len(transport._pool._requests)]
        async with client.stream("GET", "/"):
            counts.append(len(transport._pool._requests))
            assert len(transport._pool.connections) == len(transport._pool._connections) == 1
            assert "1 requests, 1 connections" in repr(transport._pool)
        return [*counts, len(transport._pool._requests)]

    with ScriptedServer(HALF) as server:
        assert driver.run(scenario, base_url=server.url) == [0, 1, 0]


def test_requests_that_wait_are_open(without: None):
    """Those count for httpcore, too."""

    async def main(url: str) -> tuple[int, int]:
        async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=1)) as client:
            async with client.stream("GET", "/"):
                waiting = asyncio.create_task(client.get("/"))
                for _ in range(5):
                    await asyncio.sleep(0)
                during = len(client._transport._pool._requests)  # type: ignore[attr-defined]  # the seam
            await waiting
            return during, len(client._transport._pool._requests)  # type: ignore[attr-defined]  # the seam

    with ScriptedServer(HALF, [answer()]) as server:
        assert asyncio.run(main(server.url)) == (2, 0)


def test_requests_that_share_a_connection_are_counted_each(without: None):
    """The same leak test on HTTP/2."""
    transport = httpx.HTTPTransport(http2=True)
    pool, key, connection = transport._engine.pool, ("https", "a.example", 443), object()
    assert isinstance(pool, SharingPool)
    ticket = pool.acquire(key, 0)
    pool.dialled(ticket, connection, 0, 3)
    counts = [len(transport._pool._requests)]
    assert [pool.acquire(key, 0), pool.acquire(key, 0)] == [connection] * 2
    counts.append(len(transport._pool._requests))
    waiting = pool.acquire(key, 0)
    counts.append(len(transport._pool._requests))
    pool.abandon(waiting, 0)
    for _ in range(3):
        pool.release(connection, True, 0)
        counts.append(len(transport._pool._requests))
    assert counts == [1, 3, 4, 2, 1, 0]


def test_the_tls_context_is_the_one_that_was_given(without: None):
    """elastic-transport's tests: `_pool._ssl_context is context`."""
    context = ssl.create_default_context()
    assert httpx.HTTPTransport(verify=context)._pool._ssl_context is context
    assert httpx.AsyncHTTPTransport(verify=context)._pool._ssl_context is context


@pytest.mark.parametrize("kind", ["HTTPTransport", "AsyncHTTPTransport"])
def test_the_pool_is_one_of_httpcores(kind: str, core: Any):
    """pytest_httpx asks `isinstance(transport._pool, httpcore.HTTPProxy)`."""
    prefix = "Async" if kind.startswith("Async") else ""
    classes = {name: getattr(core, prefix + name) for name in ("ConnectionPool", "HTTPProxy", "SOCKSProxy")}
    for options, name in (
        ({}, "ConnectionPool"),
        ({"proxy": "http://p:1"}, "HTTPProxy"),
        ({"proxy": httpx.Proxy("https://p:1")}, "HTTPProxy"),
        ({"proxy": "socks5://p:1"}, "SOCKSProxy"),
    ):
        pool = getattr(httpx, kind)(**options)._pool
        assert isinstance(pool, classes["ConnectionPool"])
        # Without socksio, httpcore's class for SOCKS is none that could be derived from.
        assert isinstance(pool, classes[name]) or not issubclass(classes[name], classes["ConnectionPool"])
        assert isinstance(pool, classes["HTTPProxy"]) == (name == "HTTPProxy")


def test_the_proxy_of_a_pool_is_known(core: Any):
    """pytest_httpx makes the proxy's URL for `match_proxy_url` of these."""
    pool = httpx.HTTPTransport(proxy=httpx.Proxy("http://u:p@proxy:3128", headers={"X-A": "1"}))._pool
    url = pool._proxy_url
    assert isinstance(url, core.URL)
    assert (url.scheme, url.host, url.port, url.target) == (b"http", b"proxy", 3128, b"/")
    assert pool._proxy_headers == [(b"Proxy-Authorization", b"Basic dTpw"), (b"X-A", b"1")]
    assert pool._proxy_auth == (b"u", b"p")
    assert httpx.HTTPTransport(proxy="http://proxy")._pool._proxy_headers == []


def test_the_pool_shows_what_the_transport_was_given(without: None):
    limits = httpx.Limits(max_connections=3, max_keepalive_connections=None, keepalive_expiry=None)
    pool = httpx.HTTPTransport(retries=2, uds="/x", limits=limits, proxy="http://p")._pool
    assert (pool._retries, pool._uds, pool._http1, pool._http2) == (2, "/x", True, False)
    assert (pool._max_connections, pool._max_keepalive_connections, pool._keepalive_expiry) == (3, sys.maxsize, None)
    assert pool._proxy_url == "http://p"
    with pytest.raises(AttributeError, match="_nothing"):
        _ = pool._nothing
    with pytest.raises(AttributeError, match="_proxy_url"):
        _ = httpx.HTTPTransport()._pool._proxy_url
    assert copy.copy(pool)._retries == 2


def test_closing_the_pool_closes_the_connections(driver: Driver, echo_server: EchoServer, without: None):
    async def scenario(client: Any) -> int:
        await client.get("/get")
        pool = client._transport._pool
        if driver.is_async:
            await pool.aclose()
        else:
            pool.close()
        return len(pool._connections)

    assert driver.run(scenario, base_url=echo_server.url) == 0


def test_a_pool_of_ones_own_takes_the_requests(driver: Driver, core: Any, without_names: None):
    """`transport._pool = httpcore.ConnectionPool(network_backend=...)` is how users reach what httpx does not offer."""

    class Mine:
        closed = False

        def handle_request(self, request: Any) -> Any:
            return core.Response(200, headers=[(b"X-A", b"1")], content=b"mine " + request.url.target)

        def close(self) -> None:
            self.closed = True

    class AsyncMine(Mine):
        async def handle_async_request(self, request: Any) -> Any:
            return self.handle_request(request)

        async def aclose(self) -> None:
            self.closed = True

    pool = AsyncMine() if driver.is_async else Mine()

    async def scenario(client: Any) -> bytes:
        client._transport._pool = pool
        assert client._transport._pool is pool
        response = await client.get("http://nowhere.invalid/path?q=1")
        assert response.headers["X-A"] == "1"
        return response.content

    assert driver.run(scenario) == b"mine /path?q=1"
    assert pool.closed


def test_a_pool_of_ones_own_does_not_take_the_place_of_a_guard(driver: Driver):
    transport = driver.transport(guard=httpx.public_only)
    with pytest.raises(ValueError, match="a transport with guard= cannot use another pool"):
        transport._pool = object()


@pytest.mark.parametrize("name", ["ConnectionPool", "HTTPConnection"])
def test_what_is_handed_through_is_asked_about_or_not_sent(
    driver: Driver, core: Any, monkeypatch: pytest.MonkeyPatch, name: str
):
    """Harm: httpcore's own connections look up names by themselves, and ask no guard."""

    async def scenario(client: Any) -> str:
        patch(monkeypatch, owner_of(core, driver, name), lambda original, self, request: original(self, request))
        with pytest.raises(httpx.DestinationRefused) as caught:
            await client.get("http://127.0.0.1:9/")
        if name == "ConnectionPool":
            assert isinstance(caught.value, core.ConnectError), "httpcore's pools catch their own errors"
        return str(caught.value)

    words = driver.run(scenario, guard=httpx.public_only)
    if name == "ConnectionPool":
        assert words == "the guard refused '127.0.0.1' at 127.0.0.1:9 (loopback, RFC 1122)"
    else:
        assert words == "the guard cannot judge what httpcore itself connects to for '127.0.0.1'"


def test_httpcore_makes_no_connection_of_any_kind_for_a_guarded_transport():
    for call in (compat._NoNetwork().connect_tcp, compat._NoNetwork().connect_unix_socket):
        with pytest.raises(httpx.DestinationRefused):
            call("a.example", 80)


def test_a_mock_of_httpcore_responds_for_a_guarded_transport_as_well(
    driver: Driver, core: Any, monkeypatch: pytest.MonkeyPatch, without_names: None
):
    async def scenario(client: Any) -> int:
        respond = lambda original, self, request: core.Response(299)  # noqa: E731  # as short as the others
        patch(monkeypatch, owner_of(core, driver, "HTTPConnection"), respond)
        return int((await client.get("http://127.0.0.1:9/")).status_code)

    assert driver.run(scenario, guard=httpx.public_only) == 299


@pytest.mark.parametrize("how", ["with", "close"])
def test_a_pool_of_ones_own_is_entered_left_and_closed_with_its_transport(driver: Driver, core: Any, how: str):
    """Harm: the connections of an async pool stayed open for ever, and what its `__aenter__` sets up was missing."""
    calls: list[str] = []

    class Mine:
        def handle_request(self, request: Any) -> Any:
            return core.Response(200, content=b"mine")

        def __enter__(self) -> None:
            calls.append("enter")

        def __exit__(self, *exc_info: Any) -> None:
            calls.append(f"exit {exc_info[0] and exc_info[0].__name__}")

        def close(self) -> None:
            calls.append("close")

    class AsyncMine:
        async def handle_async_request(self, request: Any) -> Any:
            return core.Response(200, content=b"mine")

        async def __aenter__(self) -> None:
            calls.append("enter")

        async def __aexit__(self, *exc_info: Any) -> None:
            calls.append(f"exit {exc_info[0] and exc_info[0].__name__}")

        async def aclose(self) -> None:
            calls.append("close")

    async def main() -> None:
        transport = driver.transport()
        transport._pool = Mine()  # replaced again, so never used
        transport._pool = pool = AsyncMine() if driver.is_async else Mine()
        request = httpx.Request("GET", "http://nowhere.invalid/")
        if how == "close":
            await transport.aclose() if driver.is_async else transport.close()
        else:
            with contextlib.suppress(KeyError):
                if driver.is_async:
                    async with transport:
                        await transport.handle_async_request(request)
                        raise KeyError
                with transport:
                    transport.handle_request(request)
                    raise KeyError
        assert transport._pool is pool

    driver.run_bare(main)
    assert calls == (["close"] if how == "close" else ["enter", "exit KeyError"])


def test_connections_from_before_a_pool_of_ones_own_are_closed_with_the_transport(
    driver: Driver, core: Any, echo_server: Any
):
    async def scenario(client: Any) -> Any:
        response = await client.get("/get")
        assert response.status_code == 200
        sock = response.extensions["network_stream"].get_extra_info("socket")
        transport = client._transport
        transport._pool = core.AsyncConnectionPool() if driver.is_async else core.ConnectionPool()
        await transport.aclose() if driver.is_async else transport.close()
        await driver.pause()
        return sock

    assert driver.run(scenario, base_url=echo_server.url, trust_env=False).fileno() == -1


@pytest.fixture
def without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is resolved: whoever asks the network in this test fails."""

    def getaddrinfo(*args: object, **kwargs: object) -> Any:
        raise OSError(-2, "no names here")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# Patched pools.


def patch(monkeypatch: pytest.MonkeyPatch, owner: type, function: Any) -> Any:
    """Replace `handle_request` or `handle_async_request` of a class by a function of the original, self and request."""
    is_async = "Async" in owner.__name__
    method = "handle_async_request" if is_async else "handle_request"
    original = getattr(owner, method)

    @functools.wraps(original)
    def replacement(self: Any, request: Any) -> Any:
        return function(original, self, request)

    @functools.wraps(original)
    async def async_replacement(self: Any, request: Any) -> Any:
        answered = function(original, self, request)
        return await answered if inspect.isawaitable(answered) else answered

    monkeypatch.setattr(owner, method, async_replacement if is_async else replacement)
    return original


def owner_of(core: Any, driver: Driver, name: str) -> Any:
    return getattr(core, ("Async" if driver.is_async else "") + name)


@pytest.mark.parametrize(
    ("name", "options"),
    [("ConnectionPool", {}), ("HTTPProxy", {"proxy": "http://p:1"}), ("HTTPConnection", {})],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_replaced_method_answers(
    driver: Driver, core: Any, monkeypatch: pytest.MonkeyPatch, without_names: None, name: str, options: dict[str, Any]
):
    """respx, by default: it replaces the method on the classes of httpcore, also after clients were made."""
    seen: list[Any] = []

    def respond(original: Any, self: Any, request: Any) -> Any:
        assert list(inspect.signature(original).parameters) == ["self", "request"]
        assert isinstance(self, owner_of(core, driver, name))
        url = request.url
        seen.extend([request.method, url.scheme, url.host, url.port, url.target, request.extensions["timeout"]])
        assert (b"X-A", b"1") in request.headers
        return core.Response(status=201, headers=[(b"X-B", b"2")], content=b"mocked", extensions={"a": 1})

    async def scenario(client: Any) -> Any:
        patch(monkeypatch, owner_of(core, driver, name), respond)
        return await client.post("http://example.invalid:81/a%20b?c=d", headers={"X-A": "1"}, content=b"body")

    response = driver.run(scenario, timeout=3, **options)
    assert (response.status_code, response.headers["X-B"], response.content) == (201, "2", b"mocked")
    assert response.extensions["a"] == 1
    timeout = {"connect": 3, "read": 3, "write": 3, "pool": 3}
    assert seen == [b"POST", b"http", b"example.invalid", 81, b"/a%20b?c=d", timeout]


def test_after_the_mock_the_network_is_back(driver: Driver, core: Any, echo_server: EchoServer):
    """respx stops at the end of a test, while the client lives on."""

    async def scenario(client: Any) -> list[int]:
        with pytest.MonkeyPatch.context() as monkeypatch:
            owner = owner_of(core, driver, "ConnectionPool")
            patch(monkeypatch, owner, lambda original, self, request: core.Response(299))
            mocked = await client.get("/get")
        return [mocked.status_code, (await client.get("/get")).status_code]

    assert driver.run(scenario, base_url=echo_server.url) == [299, 200]


@pytest.mark.parametrize("path", ["/get?a=1", "/stream-bytes/70000"])
def test_a_request_can_be_handed_through(
    driver: Driver, core: Any, monkeypatch: pytest.MonkeyPatch, echo_server: EchoServer, path: str
):
    """respx's `pass_through` calls the original with `request=`; it is our engine that sends it."""
    calls = []

    def through(original: Any, self: Any, request: Any) -> Any:
        calls.append(request.url.target)
        return original(self, request=request)

    async def scenario(client: Any) -> Any:
        patch(monkeypatch, owner_of(core, driver, "ConnectionPool"), through)
        first, second = [await client.get(path) for _ in range(2)]
        assert len(client._transport._pool._connections) == 1, "the second should have used the connection of the first"
        assert client._transport._pool._requests == []
        posted = await client.post("/post", content=driver.body([b"a", b"b"]))
        return first, second, posted

    first, second, posted = driver.run(scenario, base_url=echo_server.url)
    assert first.status_code == second.status_code == 200
    assert len(first.content) > 20
    assert posted.json()["data"] == "ab"
    assert calls == [path.encode()] * 2 + [b"/post"]


def test_a_request_that_was_changed_is_handed_through_as_it_is(
    core: Any, monkeypatch: pytest.MonkeyPatch, echo_server: EchoServer
):
    """A replacement may hand on a request of its own, whose body is bytes as httpcore has them."""

    def through(original: Any, self: Any, request: Any) -> Any:
        body = fake_httpcore.module().Stream(b"other")
        headers = [(b"Host", b"x"), (b"Content-Length", b"5")]
        changed = core.Request(b"PUT", request.url, headers=headers, content=body)
        return original(self, request=changed)

    for name in ("ConnectionPool", "AsyncConnectionPool"):
        patch(monkeypatch, getattr(core, name), through)
    with httpx.Client() as client:
        assert client.get(echo_server.url + "/put").json()["data"] == "other"

    async def main() -> Any:
        async with httpx.AsyncClient() as client:
            return (await client.get(echo_server.url + "/put")).json()

    assert asyncio.run(main())["data"] == "other"


def test_an_error_of_a_request_that_was_handed_through_is_both(
    driver: Driver, core: Any, monkeypatch: pytest.MonkeyPatch
):
    def through(original: Any, self: Any, request: Any) -> Any:
        return original(self, request=request)

    async def scenario(client: Any) -> None:
        patch(monkeypatch, owner_of(core, driver, "ConnectionPool"), through)
        await client.get("http://127.0.0.1:1/")

    with pytest.raises(httpx.ConnectError) as caught:
        driver.run(scenario)
    assert isinstance(caught.value, core.ConnectError)
    assert caught.value.request.url == "http://127.0.0.1:1/"


def test_errors_of_httpcore_become_ours(driver: Driver, core: Any, monkeypatch: pytest.MonkeyPatch):
    """A mock may raise what httpcore raises; respx raises what it was told to, which is left alone."""
    raised: list[Exception] = []

    def fail(original: Any, self: Any, request: Any) -> Any:
        raise raised[0]

    async def scenario(client: Any) -> None:
        patch(monkeypatch, owner_of(core, driver, "ConnectionPool"), fail)
        await client.get("http://x/")

    for error, kind in [
        (core.ReadTimeout("slow"), httpx.ReadTimeout),
        (core.ConnectError("no"), httpx.ConnectError),
        (type("Special", (core.WriteError,), {})("no"), httpx.WriteError),
        (httpx.PoolTimeout("full"), httpx.PoolTimeout),
        (KeyError("mine"), KeyError),
    ]:
        raised[:] = [error]
        with pytest.raises(kind) as caught:
            driver.run(scenario)
        if isinstance(caught.value, httpx.RequestError):
            assert caught.value.request.url == "http://x/"


def test_a_body_that_fails_fails_with_our_error(driver: Driver, core: Any, monkeypatch: pytest.MonkeyPatch):
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            raise core.ReadError("broken")

        async def __aiter__(self) -> Any:
            yield b"a"
            raise core.ReadError("broken")

        def close(self) -> None:
            closed.append(1)

        async def aclose(self) -> None:
            closed.append(1)

    async def scenario(client: Any) -> None:
        respond = lambda original, self, request: core.Response(200, content=Body())  # noqa: E731  # short
        patch(monkeypatch, owner_of(core, driver, "ConnectionPool"), respond)
        await client.get("http://x/")

    with pytest.raises(httpx.ReadError, match="broken"):
        driver.run(scenario)
    assert closed == [1]


def test_a_body_need_not_be_closable(driver: Driver, core: Any, monkeypatch: pytest.MonkeyPatch):
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"abc"

        async def __aiter__(self) -> Any:
            yield b"abc"

    async def scenario(client: Any) -> bytes:
        respond = lambda original, self, request: core.Response(200, content=Body())  # noqa: E731  # short
        patch(monkeypatch, owner_of(core, driver, "ConnectionPool"), respond)
        return (await client.get("http://x/")).content

    assert driver.run(scenario) == b"abc"


def test_the_pool_itself_can_be_asked(core: Any, echo_server: EchoServer):
    """It is one of httpcore's, so its `handle_request` takes and gives what theirs does."""
    host, port = echo_server.url.removeprefix("http://").split(":")
    url = core.URL(scheme=b"http", host=host.encode(), port=int(port), target=b"/get")
    request = core.Request(b"GET", url, headers=[(b"Host", b"x")], content=httpx.ByteStream(b""))
    with httpx.HTTPTransport() as transport:
        response = transport._pool.handle_request(request)
        assert response.status == 200
        assert b'"url"' in b"".join(response.stream)
        response.stream.close()

    async def main() -> int:
        async with httpx.AsyncHTTPTransport() as transport:
            response = await transport._pool.handle_async_request(request)
            await response.stream.aclose()
            status: int = response.status
            return status

    assert asyncio.run(main()) == 200


def test_half_an_httpcore_is_none(driver: Driver, echo_server: EchoServer, monkeypatch: pytest.MonkeyPatch):
    """While another thread imports it, it is in `sys.modules` and has nothing yet."""
    monkeypatch.setitem(sys.modules, "httpcore", type(sys)("httpcore"))

    async def scenario(client: Any) -> int:
        assert client._transport._pool._requests == []
        status: int = (await client.get("/get")).status_code
        return status

    assert driver.run(scenario, base_url=echo_server.url) == 200


def test_an_original_is_known_by_where_it_was_defined(core: Any):
    """`functools.wraps`, as mocks use it, copies names; a proxy such as wrapt's is equal to what it stands for."""
    original = core.ConnectionPool.handle_request
    assert compat._is_original(original)
    assert compat._is_original(original)

    @functools.wraps(original)
    def wrapped() -> None: ...

    class Proxy:
        def __eq__(self, other: object) -> bool:
            return original == other

        def __hash__(self) -> int:
            return hash(original)

    assert not compat._is_original(wrapped)
    assert not compat._is_original(Proxy())


# `network_stream`.

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "x"}


def test_an_upgraded_stream_is_one_of_httpcores_and_so_are_its_errors(driver: Driver, core: Any):
    """httpx-ws catches `httpcore.ReadError` and `httpcore.WriteError`."""

    async def call(stream: Any, name: str, *args: Any) -> Any:
        result = getattr(stream, name)(*args)
        return await result if driver.is_async else result

    async def scenario(client: Any) -> tuple[bytes, list[BaseException]]:
        errors: list[BaseException] = []
        async with client.stream("GET", "/", headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            assert isinstance(stream, core.AsyncNetworkStream if driver.is_async else core.NetworkStream)
            assert stream.get_extra_info("server_addr") is not None
            await call(stream, "write", b"ping")
            data = await call(stream, "read", 100)
            try:
                await call(stream, "read", 100, 0.01)
            except Exception as exc:
                errors.append(exc)
            await call(stream, "aclose" if driver.is_async else "close")
            for name, argument in (("read", 100), ("write", b"x")):
                try:
                    await call(stream, name, argument)
                except Exception as exc:
                    errors.append(exc)
        return data, errors

    with ScriptedServer([expect_head(b"Upgrade: x"), send(UPGRADED), expect(b"ping"), send(b"pong")]) as server:
        # The server's script ends with `pong`, so what is read after it may be its end.
        data, errors = driver.run(scenario, base_url=server.url)
    assert data == b"pong"
    assert errors
    for error in errors:
        assert isinstance(error, (httpx.ReadTimeout, httpx.ReadError, httpx.WriteError))
        assert isinstance(error, (core.ReadTimeout, core.ReadError, core.WriteError))


@pytest.mark.parametrize("tls", [False, True])
def test_a_thread_that_reads_an_upgraded_stream_notices_that_it_is_closed(tls: bool, ca: Any):
    """httpx-ws reads in a thread of its own and closes in another: it hung where the peer stayed silent."""
    script, context = [expect_head(), send(UPGRADED), silence()], ca.server_context() if tls else None
    with ScriptedServer(script, tls=context) as server, httpx.Client(verify=ca.client_context()) as client:
        response = client.send(client.build_request("GET", server.url, headers=UPGRADE), stream=True)
        stream = response.extensions["network_stream"]
        # What the kernel tells whoever waits for the connection, and would not tell of `close` alone.
        with stream.get_extra_info("socket").dup() as waiting:
            stream.close()
            while waiting.recv(65_536):  # what TLS has sent, and then the end
                pass
        with pytest.raises(httpx.ReadError):
            stream.read(100)
        response.close()


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_a_task_that_reads_an_upgraded_stream_notices_that_it_is_closed(name: str):
    """The same in async code."""

    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/", headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]

            async def read() -> None:
                with pytest.raises(httpx.ReadError):
                    await stream.read(100)

            await together([read, lambda: later(stream.aclose)])

    with ScriptedServer([expect_head(), send(UPGRADED), silence()]) as server:
        Driver(name).run(scenario, base_url=server.url)


async def later(function: Any) -> None:
    await turns(5)
    await function()


def test_tls_can_begin_on_an_upgraded_stream(driver: Driver, core: Any, ca: Any):
    context, name = ca.client_context(), "localhost"

    def serve(conn: Any, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(UPGRADED)
        with ca.server_context().wrap_socket(conn.sock, server_side=True) as encrypted:
            encrypted.sendall(encrypted.recv(100))
            encrypted.recv(100)

    async def scenario(client: Any) -> bytes:
        async with client.stream("GET", "/", headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            secure = stream.start_tls(context, name)
            if driver.is_async:
                secure = await secure
            assert type(secure) is type(stream)
            first, second = secure.write(b"ping"), None
            if driver.is_async:
                await first
            second = secure.read(100)
            data: bytes = (await second) if driver.is_async else second
            return data

    with ScriptedServer(serve) as server:
        assert driver.run(scenario, base_url=server.url) == b"ping"


def test_without_httpcore_the_stream_is_our_own(driver: Driver, without: None):
    async def scenario(client: Any) -> str:
        async with client.stream("GET", "/", headers=UPGRADE) as response:
            return type(response.extensions["network_stream"]).__name__

    with ScriptedServer([expect_head(), send(UPGRADED), shut()]) as server:
        assert driver.run(scenario, base_url=server.url).endswith("Stream")
    assert compat.network_stream(connection := object()) is connection


def test_an_error_that_is_both_pickles_as_ours(core: Any):
    """Where the pickle is read there may be no httpcore."""
    request = httpx.Request("GET", "http://x/")
    error = compat.theirs_too(httpx.ReadError("broken", request=request))
    assert isinstance(error, core.ReadError)
    assert compat.theirs_too(error) is error
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is httpx.ReadError
    assert str(copied) == "broken"
    assert copied.request.url == "http://x/"


def test_an_error_without_a_counterpart_gets_the_nearest(core: Any, monkeypatch: pytest.MonkeyPatch):
    assert isinstance(compat.theirs_too(httpx.CloseError("no")), core.NetworkError)
    _no_httpcore(monkeypatch)
    alone = httpx.ReadError("no")
    assert compat.theirs_too(alone) is alone
