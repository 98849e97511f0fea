"""
What can be sent to another process: values, messages, exceptions, and the configuration of clients and transports.

Used by multiprocessing, Dask, Ray and Celery, which pickle the arguments and the results of what they run elsewhere.
"""

from __future__ import annotations

import asyncio
import copy
import http.cookiejar
import multiprocessing
import pickle
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import httpx
from httpx._base_client import ClientState

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def again(value: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


# Values.


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        httpx.URL("https://ada:secret@www.example.org:8443/a%20b?q=1#end"),
        httpx.QueryParams([("a", "1"), ("a", "2"), ("b", "")]),
        httpx.Headers([("X-One", "1"), ("x-one", "2")]),
        httpx.Timeout(3, connect=1, total=20),
        httpx.Timeout(None),
        httpx.Limits(max_connections=3, keepalive_expiry=None, max_connections_per_host=2),
        httpx.codes.NOT_FOUND,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_come_back_equal(value: Any, protocol: int):
    copied = again(value, protocol)
    assert copied == value
    assert type(copied) is type(value)


def test_the_case_and_the_order_of_header_fields_survive():
    headers = httpx.Headers([("X-b", "2"), ("X-A", "1"), ("x-B", "3")])
    assert again(headers).raw == headers.raw


def test_cookies_come_back_with_domain_and_path():
    cookies = httpx.Cookies({"anywhere": "1"})
    cookies.set("id", "2", domain="example.org", path="/deep")
    copied = again(cookies)
    assert dict(copied) == {"anywhere": "1", "id": "2"}
    assert copied.get("id", domain="example.org", path="/deep") == "2"
    assert isinstance(copied.jar, http.cookiejar.CookieJar)


def test_a_proxy_comes_back_with_its_credentials():
    proxy = again(httpx.Proxy("http://ada:secret@127.0.0.1:3128", headers={"X-Team": "blue"}))
    assert str(proxy.url) == "http://127.0.0.1:3128"
    assert proxy.auth == ("ada", "secret")
    assert proxy.headers == {"X-Team": "blue"}
    assert proxy.ssl_context is None


def test_sentinels_stay_what_they_are():
    """`is` decides what an argument means, so a copy of a sentinel would mean something else."""
    assert again(httpx.USE_CLIENT_DEFAULT) is httpx.USE_CLIENT_DEFAULT


def test_a_byte_stream_comes_back():
    assert b"".join(again(httpx.ByteStream(b"body"))) == b"body"


@pytest.mark.parametrize(
    "auth",
    [httpx.BasicAuth("ada", "secret"), httpx.BearerAuth("t0k3n"), httpx.DigestAuth("ada", "secret")],
    ids=lambda auth: type(auth).__name__,
)
def test_authentication_comes_back_and_works(auth: httpx.Auth, echo_server: Any):
    path = {"BasicAuth": "/basic-auth/ada/secret", "BearerAuth": "/bearer"}.get(
        type(auth).__name__, "/digest-auth/auth/ada/secret"
    )
    assert httpx.get(echo_server.url + path, auth=again(auth)).status_code == 200


def test_a_digest_that_was_used_comes_back_and_goes_on(echo_server: Any):
    auth = httpx.DigestAuth("ada", "secret")
    url = f"{echo_server.url}/digest-auth/auth/ada/secret"
    assert httpx.get(url, auth=auth).status_code == 200
    assert httpx.get(url, auth=again(auth)).status_code == 200


# Requests and responses.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_comes_back_ready_to_be_sent(protocol: int, echo_server: Any):
    request = httpx.Request("POST", f"{echo_server.url}/post?a=1", headers={"X-One": "1"}, json={"b": 2})
    copied = again(request, protocol)
    assert (copied.method, copied.url, copied.content) == ("POST", request.url, b'{"b":2}')
    assert copied.headers.raw == request.headers.raw
    assert copied.extensions == {}
    with httpx.Client() as client:
        shown = client.send(copied).json()
    assert (shown["args"], shown["json"], shown["headers"]["X-One"]) == ({"a": "1"}, {"b": 2}, "1")


def test_extensions_of_a_request_stay_behind():
    """They may hold functions and sockets, which belong to one process."""
    request = httpx.Request("GET", "https://www.example.org", extensions={"trace": lambda *args: None})
    assert again(request).extensions == {}


def test_a_streaming_request_body_stays_behind_unless_it_was_read():
    def pieces() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    request = httpx.Request("POST", "https://www.example.org", content=pieces())
    copied = again(request)
    with pytest.raises(httpx.RequestNotRead):
        copied.content  # noqa: B018  # raises
    with pytest.raises(httpx.StreamClosed):
        copied.read()
    with pytest.raises(httpx.StreamClosed):
        asyncio.run(copied.aread())
    request.read()
    assert again(request).content == b"onetwo"


def test_a_multipart_request_comes_back_once_it_was_read():
    request = httpx.Request("POST", "https://www.example.org", files={"note": ("a.txt", b"text")})
    with pytest.raises(httpx.RequestNotRead):
        again(request).content  # noqa: B018  # raises
    request.read()
    assert again(request).content == request.content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_response_comes_back_with_its_request_and_history(protocol: int, echo_server: Any):
    with httpx.Client(base_url=echo_server.url, follow_redirects=True) as client:
        response = client.get("/redirect/2")
    copied = again(response, protocol)
    assert copied.status_code == 200
    assert copied.content == response.content
    assert copied.json() == response.json()
    assert copied.headers == response.headers
    assert copied.url == response.url
    assert copied.http_version == "HTTP/1.1"
    assert copied.reason_phrase == "OK"
    assert copied.elapsed == response.elapsed
    assert copied.num_bytes_downloaded == response.num_bytes_downloaded
    assert [earlier.status_code for earlier in copied.history] == [302, 302]
    assert [str(earlier.url) for earlier in copied.history] == [str(earlier.url) for earlier in response.history]
    assert (copied.is_closed, copied.is_stream_consumed) == (True, True)
    assert copied.raise_for_status() is copied


def test_a_response_that_was_used_comes_back_with_what_was_made_of_it(echo_server: Any):
    response = httpx.get(f"{echo_server.url}/cookies/set?flavour=oat")
    text, cookies, following = response.text, dict(response.cookies), response.next_request
    copied = again(response)
    assert (copied.text, dict(copied.cookies)) == (text, cookies)
    assert following is not None
    assert copied.next_request.url == following.url


def test_the_connection_of_a_response_stays_behind(echo_server: Any):
    response = httpx.get(f"{echo_server.url}/get")
    assert "network_stream" in response.extensions
    assert "network_stream" not in again(response).extensions


def test_a_body_that_was_not_read_is_gone_in_the_copy(echo_server: Any):
    with httpx.stream("GET", f"{echo_server.url}/stream-bytes/50000") as response:
        copied = again(response)
        with pytest.raises(httpx.ResponseNotRead):
            copied.content  # noqa: B018  # raises
        with pytest.raises(httpx.StreamClosed):
            copied.read()
        with pytest.raises(httpx.StreamClosed):
            asyncio.run(copied.aread())
        copied.close()
        assert len(response.read()) == 50_000
    assert len(again(response).content) == 50_000


def test_a_response_of_an_async_client_comes_back(echo_server: Any):
    async def fetch() -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(f"{echo_server.url}/json")

    assert again(asyncio.run(fetch())).json()["title"] == "Echo"


def test_a_response_made_by_hand_comes_back():
    async def pieces() -> AsyncIterator[bytes]:
        yield b"late"

    assert again(httpx.Response(201, text="made", headers={"X-One": "1"})).text == "made"
    with pytest.raises(httpx.ResponseNotRead):
        again(httpx.Response(200, content=pieces())).content  # noqa: B018  # raises
    with pytest.raises(RuntimeError, match="no request"):
        again(httpx.Response(200)).request  # noqa: B018  # raises


# Exceptions.

EXCEPTIONS = sorted(
    (value for value in vars(httpx).values() if isinstance(value, type) and issubclass(value, Exception)),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_every_exception_comes_back_with_request_and_response(kind: Any):
    """One that does not takes the whole pool of worker processes down with it."""
    request = httpx.Request("GET", "https://www.example.org/")
    made = made_with_what_it_needs(kind, request)
    for protocol in PROTOCOLS:
        copied = again(made, protocol)
        assert type(copied) is kind
        assert copied.args == made.args
        assert str(copied) == str(made)
        if issubclass(kind, httpx.HTTPError):
            assert copied.request.url == request.url
        if kind is httpx.HTTPStatusError:
            assert copied.response.status_code == 404


def made_with_what_it_needs(kind: Any, request: httpx.Request) -> Any:
    if kind is httpx.HTTPStatusError:
        return kind("not there", request=request, response=httpx.Response(404, request=request))
    if issubclass(kind, httpx.RequestError):
        return kind("went wrong", request=request)
    if kind in (httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead):
        return kind()
    made = kind("went wrong")
    if kind is httpx.HTTPError:
        made.request = request
    return made


def test_an_exception_that_a_client_raised_comes_back(echo_server: Any):
    with pytest.raises(httpx.HTTPStatusError) as caught:
        httpx.get(f"{echo_server.url}/status/503").raise_for_status()
    copied = again(caught.value)
    assert copied.response.status_code == 503
    assert str(copied.request.url).endswith("/status/503")


# Clients.


def mark(request: httpx.Request) -> None:
    request.headers["X-Marked"] = "yes"


async def amark(request: httpx.Request) -> None:
    mark(request)


def answer(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"marked": request.headers.get("X-Marked"), "url": str(request.url)})


def resolver(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


class Numbered(httpx.HTTPTransport):
    """A transport with an attribute of its own."""

    def __init__(self, number: int, **options: Any) -> None:
        super().__init__(**options)
        self.number = number


def configured(kind: Any, base_url: str, **more: Any) -> Any:
    return kind(
        base_url=base_url,
        auth=("ada", "secret"),
        params={"key": "1"},
        headers={"X-Team": "blue"},
        cookies={"flavour": "oat"},
        timeout=httpx.Timeout(7, connect=2),
        follow_redirects=True,
        max_redirects=3,
        limits=httpx.Limits(max_connections=5, max_keepalive_connections=4),
        event_hooks={"request": [mark if kind is httpx.Client else amark]},
        trust_env=False,
        default_encoding="latin-1",
        max_response_size=1_000_000,
        **more,
    )


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient], ids=["sync", "async"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_comes_back_with_its_configuration(kind: Any, protocol: int):
    client = configured(kind, "https://www.example.org/v1")
    copied = again(client, protocol)
    assert type(copied) is kind
    for name in ("base_url", "params", "headers", "timeout", "event_hooks", "trust_env"):
        assert getattr(copied, name) == getattr(client, name), name
    assert (copied.follow_redirects, copied.max_redirects) == (True, 3)
    assert dict(copied.cookies) == {"flavour": "oat"}
    assert copied.auth._auth_header == client.auth._auth_header
    assert copied._transport._given["limits"] == client._transport._given["limits"]
    assert vars(copied).keys() == vars(client).keys()
    assert vars(copied._transport).keys() == vars(client._transport).keys()


def test_the_copy_of_a_client_makes_its_own_connections(echo_server: Any):
    with configured(httpx.Client, echo_server.url) as client:
        client.get("/get")
        copied = again(client)
        assert copied._transport is not client._transport
        assert copied._transport._engine is not client._transport._engine
        with copied:
            shown = copied.get("/headers").json()["headers"]
        assert client.get("/get").status_code == 200, "the copy was closed, not this one"
    assert (shown["X-Marked"], shown["X-Team"], shown["Cookie"]) == ("yes", "blue", "flavour=oat")


def test_the_copy_of_an_async_client_makes_its_own_connections(echo_server: Any):
    async def main() -> Any:
        async with configured(httpx.AsyncClient, echo_server.url) as client:
            await client.get("/get")
            async with again(client) as copied:
                shown = (await copied.get("/headers")).json()["headers"]
            assert (await client.get("/get")).status_code == 200
        return shown

    shown = asyncio.run(main())
    assert (shown["X-Marked"], shown["X-Team"]) == ("yes", "blue")


def test_the_copy_of_an_open_or_closed_client_was_never_opened():
    with httpx.Client() as client:
        assert again(client)._state is ClientState.UNOPENED
    assert client.is_closed
    with again(client) as copied:
        assert not copied.is_closed


def test_a_client_comes_back_with_its_mounts_in_their_order():
    client = httpx.Client(
        mounts={
            "all://": httpx.MockTransport(answer),
            "https://": None,
            "all://*.example.org": httpx.MockTransport(answer),
        }
    )
    copied = again(client)
    assert [pattern.pattern for pattern in copied._mounts] == [pattern.pattern for pattern in client._mounts]
    assert copied.get("http://a.example.org/x").json()["url"] == "http://a.example.org/x"


def test_a_client_with_a_mock_transport_comes_back():
    client = httpx.Client(transport=httpx.MockTransport(answer), event_hooks={"request": [mark]})
    assert again(client).get("https://www.example.org/").json()["marked"] == "yes"


class Api(httpx.Client):
    """A client with arguments of its own."""

    def __init__(self, token: str) -> None:
        super().__init__(headers={"X-Token": token}, transport=httpx.MockTransport(answer))
        self.token = token


def test_a_subclass_of_a_client_comes_back_without_its_constructor_being_called():
    copied = again(Api("t0k3n"))
    assert type(copied) is Api
    assert copied.token == copied.headers["X-Token"] == "t0k3n"


def test_a_subclass_of_a_transport_comes_back(echo_server: Any):
    transport = again(Numbered(7, retries=2))
    assert type(transport) is Numbered
    assert transport.number == 7
    assert transport._given["retries"] == 2
    with httpx.Client(transport=transport) as client:
        assert client.get(f"{echo_server.url}/get").status_code == 200


@pytest.mark.parametrize("kind", [httpx.HTTPTransport, httpx.AsyncHTTPTransport], ids=["sync", "async"])
def test_a_transport_comes_back_with_all_its_arguments(kind: Any, ca: Any):
    given = {
        "verify": str(ca.authority_file()),
        "cert": tuple(map(str, ca.leaf_files())),
        "trust_env": False,
        "http1": True,
        "http2": True,
        "limits": httpx.Limits(max_connections=1),
        "proxy": None,
        "uds": "/run/app.sock",
        "local_address": "127.0.0.1",
        "retries": 2,
        "socket_options": [(6, 1, 1)],
        "pins": {"example.org": "ab" * 32},
        "resolver": resolver,
        "resolve": {"example.org": "127.0.0.1"},
        "dns_cache_ttl": 0.0,
        "address_family": 4,
        "guard": None,
    }
    copied = again(kind(**{**given, "socket_options": iter(given["socket_options"])}))
    assert copied._given == given
    assert copied._settings.socket_options == [(6, 1, 1)]


@pytest.mark.parametrize("kind", [httpx.HTTPTransport, httpx.AsyncHTTPTransport], ids=["sync", "async"])
def test_a_transport_with_a_guard_comes_back_with_it(kind: Any):
    copied = again(kind(guard=httpx.public_only))
    assert copied._settings.guard is copied._given["guard"] is httpx.public_only


@pytest.mark.parametrize("copied", [again, copy.copy, copy.deepcopy])
def test_the_guard_of_a_copied_client_is_asked(copied: Any):
    with copied(httpx.Client(guard=httpx.public_only)) as client, pytest.raises(httpx.DestinationRefused):
        client.get("http://127.0.0.1:9/")


def test_a_client_whose_guard_cannot_be_pickled_cannot_be_pickled():
    """It must not come back without its guard."""
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(httpx.Client(guard=lambda host, address, port: False))


def test_a_client_with_a_proxy_comes_back_with_it(echo_server: Any):
    for proxy in (echo_server.url, httpx.Proxy(echo_server.url, headers={"X-Team": "blue"})):
        with again(httpx.Client(proxy=proxy)) as client:
            assert client.get("http://example.invalid/get").json()["url"] == "http://example.invalid/get"


def test_a_tls_client_whose_authorities_are_a_file_works_in_the_copy(tls_echo_server: Any, ca: Any):
    with again(httpx.Client(verify=str(ca.authority_file()))) as client:
        assert client.get(f"{tls_echo_server.url}/get").status_code == 200


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient], ids=["sync", "async"])
def test_a_client_with_a_tls_context_says_why_it_cannot_be_pickled(kind: Any, trusting: ssl.SSLContext):
    with pytest.raises(TypeError, match=r"TLS context \(SSLContext\) cannot be pickled: pass `verify`"):
        pickle.dumps(kind(verify=trusting))
    with pytest.raises(TypeError, match="TLS context"):
        pickle.dumps(httpx.Proxy("https://127.0.0.1", ssl_context=trusting))


def test_copies_within_a_process_share_a_tls_context(tls_echo_server: Any, trusting: ssl.SSLContext):
    client = httpx.Client(verify=trusting)
    for copied in (copy.deepcopy(client), copy.copy(client)):
        with copied:
            assert copied.get(f"{tls_echo_server.url}/get").status_code == 200
    assert copy.deepcopy(httpx.Proxy("https://127.0.0.1", ssl_context=trusting)).ssl_context is trusting


def test_hooks_that_are_no_functions_of_a_module_say_so():
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(httpx.Client(event_hooks={"request": [lambda request: None]}))


def in_worker(client: httpx.Client, path: str) -> Any:
    with client:
        response = client.get(path)
        return response.raise_for_status()


def in_async_worker(client: httpx.AsyncClient, path: str) -> Any:
    async def main() -> httpx.Response:
        async with client:
            return await client.get(path)

    return asyncio.run(main())


def test_a_worker_process_uses_the_clients_that_it_is_sent_and_sends_back_what_came_of_it(echo_server: Any):
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        client = configured(httpx.Client, echo_server.url)
        client.get("/get")
        response = pool.apply(in_worker, (client, "/headers"))
        assert response.json()["headers"]["X-Marked"] == "yes"
        aclient = configured(httpx.AsyncClient, echo_server.url)
        assert pool.apply(in_async_worker, (aclient, "/headers")).json()["headers"]["X-Team"] == "blue"
        with pytest.raises(httpx.HTTPStatusError) as caught:
            pool.apply(in_worker, (configured(httpx.Client, echo_server.url), "/status/418"))
        assert caught.value.response.status_code == 418
        pool.close()
        pool.join()
    client.close()
