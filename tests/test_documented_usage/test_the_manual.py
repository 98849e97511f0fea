"""The uses that the manual shows, with its outputs."""

# ruff: noqa: SIM117
# The code has the shape that it has in the document, whatever shorter ones there are.
from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generator  # noqa: UP035  # as the document has it

import pytest

import httpx
from support.local import Asked, LocalApi, SocksServer, with_json
from support.peer import Peer, blackhole

# The top-level functions and the response object.


def test_a_function_for_each_method(echo: str):
    url = f"{echo}/anything"
    assert httpx.get(url).json()["method"] == "GET"
    assert httpx.get(url, params={"key": "value", "page": 2}).json()["args"] == {"key": "value", "page": "2"}
    assert httpx.post(url, json={"username": "alice", "active": True}).json()["json"] == {
        "username": "alice",
        "active": True,
    }
    assert httpx.post(url, data={"username": "alice"}).json()["form"] == {"username": "alice"}
    assert httpx.put(url, json={"id": 1, "name": "updated"}).json()["method"] == "PUT"
    assert httpx.patch(url, json={"name": "patched"}).json()["method"] == "PATCH"
    assert httpx.delete(url).json()["method"] == "DELETE"
    assert httpx.head(url).content == b""
    assert httpx.head(url).headers["Content-Type"] == "application/json"
    assert httpx.options(url).json()["method"] == "OPTIONS"


def test_all_keyword_arguments_of_the_top_level_functions(echo: str):
    shown = httpx.request(
        "POST",
        f"{echo}/anything",
        params=[("a", "1"), ("a", "2")],
        headers={"X-One": "1"},
        cookies={"flavour": "oat"},
        content="text",
        timeout=10.0,
        auth=("user", "pass"),
        follow_redirects=True,
        verify=True,
    ).json()
    assert shown["args"] == {"a": ["1", "2"]}
    assert shown["headers"]["X-One"] == "1"
    assert shown["headers"]["Cookie"] == "flavour=oat"
    assert shown["headers"]["Authorization"] == "Basic dXNlcjpwYXNz"
    assert shown["data"] == "text"
    assert httpx.get(f"{echo}/get", params="a=1&b=2").json()["args"] == {"a": "1", "b": "2"}
    assert httpx.get(f"{echo}/get", cookies=httpx.Cookies({"a": "1"})).json()["headers"]["Cookie"] == "a=1"
    assert httpx.post(f"{echo}/post", content=iter([b"a", b"b"])).json()["data"] == "ab"


def test_authentication_may_be_a_function(echo: str):
    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["X-Signed"] = "yes"
        return request

    assert httpx.get(f"{echo}/headers", auth=sign).json()["headers"]["X-Signed"] == "yes"


def test_the_response_object(echo: str):
    response = httpx.get(f"{echo}/get")
    assert response.status_code == 200
    assert response.reason_phrase == "OK"
    assert response.is_success is True
    assert response.is_redirect is False
    assert response.is_client_error is False
    assert response.is_server_error is False
    assert response.text == response.content.decode()
    assert response.json()["url"] == f"{echo}/get"
    assert response.read() == response.content
    assert isinstance(response.headers, httpx.Headers)
    assert response.headers["content-type"] == "application/json"
    assert response.url == httpx.URL(f"{echo}/get")
    assert repr(response.url) == f"URL('{echo}/get')"
    assert dict(response.cookies) == {}
    assert datetime.timedelta() < response.elapsed < datetime.timedelta(seconds=5)
    assert response.encoding == "utf-8"
    assert response.http_version == "HTTP/1.1"
    assert isinstance(response.request, httpx.Request)
    assert (response.request.method, response.request.url) == ("GET", response.url)
    assert response.raise_for_status() is response


def test_status_codes_are_checked(echo: str):
    response = httpx.get(f"{echo}/status/404")
    assert response.status_code != 200
    assert (response.is_success, response.is_redirect, response.is_client_error, response.is_server_error) == (
        False,
        False,
        True,
        False,
    )
    said = ""
    try:
        response.raise_for_status()
    except httpx.HTTPStatusError as e:
        said = f"Error: {e.response.status_code} for URL {e.request.url}"
    assert said == f"Error: 404 for URL {echo}/status/404"


# Clients.


def test_a_client_reuses_its_connection(api: LocalApi):
    with httpx.Client() as client:
        r1 = client.get(f"{api.url}/get")
        r2 = client.post(f"{api.url}/post", json={"key": "value"})
        r3 = client.get(f"{api.url}/get")
    assert [r.status_code for r in (r1, r2, r3)] == [200, 200, 200]
    assert api.connections == 1


def test_an_async_client(echo: str):
    async def main() -> Any:
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{echo}/get")
            return response.json()

    assert asyncio.run(main())["url"] == f"{echo}/get"


def test_a_base_url_with_a_path(echo: str):
    base = f"{echo}/anything/v2"
    with httpx.Client(base_url=base) as client:
        assert client.get("/users").json()["url"] == f"{base}/users"
        assert client.get("/users/42").json()["url"] == f"{base}/users/42"
        r = client.post(
            "/users",
            json={
                "name": "Alice",
            },
        )
    assert (r.json()["url"], r.json()["json"]) == (f"{base}/users", {"name": "Alice"})


def test_default_headers_params_and_authentication(echo: str):
    with httpx.Client(
        base_url=f"{echo}/anything",
        headers={"User-Agent": "my-app/1.0", "Accept": "application/json"},
        params={"api_key": "secret123"},
        auth=("username", "password"),
        timeout=30.0,
    ) as client:
        r = client.get("/data")
        assert str(r.url) == f"{echo}/anything/data?api_key=secret123"
        sent = r.json()["headers"]
        assert (sent["User-Agent"], sent["Accept"]) == ("my-app/1.0", "application/json")
        assert sent["Authorization"] == "Basic dXNlcm5hbWU6cGFzc3dvcmQ="

        r = client.get("/data", params={"extra": "param"})
        assert str(r.url) == f"{echo}/anything/data?api_key=secret123&extra=param"

        r = client.get("/data", headers={"Accept": "text/plain"})
        assert r.json()["headers"]["Accept"] == "text/plain"
        assert client.get("/data").json()["headers"]["Accept"] == "application/json"


def test_event_hooks(echo: str, capsys: pytest.CaptureFixture[str]):
    def log_request(request: httpx.Request) -> None:
        print(f"-> {request.method} {request.url}")  # noqa: T201  # as the document has it

    def log_response(response: httpx.Response) -> None:
        seconds = response.elapsed.total_seconds()
        print(f"<- {response.status_code} {response.url} ({seconds:.2f}s)")  # noqa: T201

    def raise_on_4xx_5xx(response: httpx.Response) -> None:
        response.raise_for_status()

    with httpx.Client(
        event_hooks={
            "request": [log_request],
            "response": [log_response, raise_on_4xx_5xx],
        }
    ) as client:
        client.get(f"{echo}/get")
        with pytest.raises(httpx.HTTPStatusError):
            client.get(f"{echo}/status/500")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"-> GET {echo}/get"
    assert lines[1].startswith(f"<- 200 {echo}/get (0.")
    assert lines[3].startswith(f"<- 500 {echo}/status/500 (0.")


def test_async_event_hooks(echo: str):
    lines = []

    async def log_request(request: httpx.Request) -> None:
        lines.append(f"-> {request.method} {request.url}")

    async def log_response(response: httpx.Response) -> None:
        request = response.request
        lines.append(f"<- {response.status_code} {request.method} {request.url}")

    async def main() -> None:
        async with httpx.AsyncClient(event_hooks={"request": [log_request], "response": [log_response]}) as client:
            await client.get(f"{echo}/get")

    asyncio.run(main())
    assert lines == [f"-> GET {echo}/get", f"<- 200 GET {echo}/get"]


def test_a_transport_with_retries_and_a_local_address(echo: str):
    transport = httpx.HTTPTransport(
        retries=3,
        local_address="0.0.0.0",
    )

    with httpx.Client(transport=transport) as client:
        assert client.get(f"{echo}/get").status_code == 200


@pytest.mark.parametrize("numbers", [(100, 20), (200, 50)])
def test_connection_pool_limits(echo: str, numbers: tuple[int, int]):
    limits = httpx.Limits(
        max_connections=numbers[0],
        max_keepalive_connections=numbers[1],
    )

    with httpx.Client(limits=limits) as client:
        assert client.get(f"{echo}/get").status_code == 200


# Authentication.


def test_basic_authentication_three_ways(echo: str):
    url = f"{echo}/basic-auth/user/pass"
    response = httpx.get(
        url,
        auth=("user", "pass"),
    )
    assert response.status_code == 200
    auth = httpx.BasicAuth(username="user", password="pass")
    assert httpx.get(url, auth=auth).status_code == 200
    with httpx.Client(auth=("user", "pass")) as client:
        assert client.get(url).status_code == 200


def test_digest_authentication(echo: str):
    auth = httpx.DigestAuth(username="user", password="pass")
    response = httpx.get(f"{echo}/digest-auth/auth/user/pass", auth=auth)
    assert response.status_code == 200


def test_a_bearer_token_as_a_header(echo: str):
    response = httpx.get(
        f"{echo}/bearer",
        headers={"Authorization": "Bearer eyJhbGciOiJIUzI1NiIs..."},
    )
    assert response.json()["token"] == "eyJhbGciOiJIUzI1NiIs..."
    with httpx.Client(headers={"Authorization": "Bearer eyJhbGciOiJIUzI1NiIs..."}) as client:
        assert client.get(f"{echo}/bearer").status_code == 200


# fmt: off
class BearerAuth(httpx.Auth):
    """Custom auth that adds a Bearer token to every request."""

    def __init__(self, token: str):
        self.token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


class TokenRefreshAuth(httpx.Auth):
    """Auth that automatically refreshes an expired token."""

    def __init__(self, access_token: str, refresh_token: str, token_url: str):
        self.access_token = access_token
        self.refresh_token = refresh_token
        self.token_url = token_url

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        # Try the request with the current token
        request.headers["Authorization"] = f"Bearer {self.access_token}"
        response = yield request

        # If we get a 401, refresh and retry
        if response.status_code == 401:
            # Build a token refresh request
            refresh_request = httpx.Request(
                "POST",
                self.token_url,
                data={"grant_type": "refresh_token", "refresh_token": self.refresh_token},
            )
            refresh_response = yield refresh_request

            # Parse the new token
            data = refresh_response.json()
            self.access_token = data["access_token"]
            self.refresh_token = data.get("refresh_token", self.refresh_token)

            # Retry the original request with the new token
            request.headers["Authorization"] = f"Bearer {self.access_token}"
            yield request


class OAuth2ClientCredentials(httpx.Auth):
    """OAuth2 client credentials flow with automatic token caching and refresh."""

    def __init__(self, token_url: str, client_id: str, client_secret: str):
        self.token_url = token_url
        self.client_id = client_id
        self.client_secret = client_secret
        self._access_token: str | None = None
        self._expires_at: float = 0

    @property
    def _token_is_valid(self) -> bool:
        return self._access_token is not None and time.time() < self._expires_at

    def auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        if not self._token_is_valid:
            # Fetch a new token
            token_request = httpx.Request(
                "POST",
                self.token_url,
                data={
                    "grant_type": "client_credentials",
                    "client_id": self.client_id,
                    "client_secret": self.client_secret,
                },
            )
            token_response = yield token_request
            token_data = token_response.json()
            self._access_token = token_data["access_token"]
            self._expires_at = time.time() + token_data.get("expires_in", 3600) - 30

        request.headers["Authorization"] = f"Bearer {self._access_token}"
        response = yield request

        # If token was rejected, clear cache and retry once
        if response.status_code == 401:
            self._access_token = None
            self._expires_at = 0

            token_request = httpx.Request(
                "POST",
                self.token_url,
                data={
                    "grant_type": "client_credentials",
                    "client_id": self.client_id,
                    "client_secret": self.client_secret,
                },
            )
            token_response = yield token_request
            token_data = token_response.json()
            self._access_token = token_data["access_token"]
            self._expires_at = time.time() + token_data.get("expires_in", 3600) - 30

            request.headers["Authorization"] = f"Bearer {self._access_token}"
            yield request
# fmt: on


class Issuer:
    """
    The answers of an API with a token endpoint: whoever has one of the tokens that were given out is let in.

    Attributes:
        issued: how many tokens were given out.
    """

    def __init__(self, grants: dict[str, str]) -> None:
        self.grants = grants
        self.tokens: set[str] = set()
        self.issued = 0
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Any:
        if asked.path == "/token":
            assert asked.form() == self.grants
            with self._lock:
                self.issued += 1
                self.tokens.add(f"token-{self.issued}")
                return {"access_token": f"token-{self.issued}", "expires_in": 3600}
        if asked.bearer() in self.tokens:
            return {"path": asked.path, "sent": asked.body.decode()}
        return with_json({"error": "token expired"}, 401)


@pytest.fixture
def refreshing(api: LocalApi) -> Issuer:
    issuer = Issuer({"grant_type": "refresh_token", "refresh_token": "my-refresh-token"})
    api.answer = issuer
    return issuer


def expired(api: LocalApi) -> TokenRefreshAuth:
    return TokenRefreshAuth(
        access_token="expired-token",
        refresh_token="my-refresh-token",
        token_url=f"{api.url}/token",
    )


@pytest.fixture
def credentials(api: LocalApi) -> Issuer:
    issuer = Issuer(
        {"grant_type": "client_credentials", "client_id": "my-client-id", "client_secret": "my-client-secret"}
    )
    api.answer = issuer
    return issuer


def client_credentials(api: LocalApi) -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(
        token_url=f"{api.url}/token",
        client_id="my-client-id",
        client_secret="my-client-secret",
    )


def test_a_custom_authentication_class(echo: str):
    assert httpx.get(f"{echo}/bearer", auth=BearerAuth("t0k3n")).json()["token"] == "t0k3n"


def test_an_expired_token_is_refreshed(api: LocalApi, refreshing: Issuer):
    with httpx.Client(auth=expired(api)) as client:
        r = client.get(f"{api.url}/protected")
        assert r.json() == {"path": "/protected", "sent": ""}
        client.get(f"{api.url}/protected")
    assert refreshing.issued == 1
    assert api.connections == 1, "the answers in between are read, so that one connection is enough"


def test_an_expired_token_is_refreshed_in_async_code(api: LocalApi, refreshing: Issuer):
    async def main() -> httpx.Response:
        async with httpx.AsyncClient(auth=expired(api)) as client:
            return await client.post(f"{api.url}/protected", content=b"body")

    assert asyncio.run(main()).json() == {"path": "/protected", "sent": "body"}
    assert refreshing.issued == 1


def test_an_expired_token_is_refreshed_on_trio(api: LocalApi, refreshing: Issuer):
    trio = pytest.importorskip("trio")

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(auth=expired(api)) as client:
            return await client.get(f"{api.url}/protected")

    assert trio.run(main).status_code == 200


def test_sixteen_threads_share_a_client_that_refreshes_its_token(api: LocalApi, refreshing: Issuer):
    with httpx.Client(auth=expired(api)) as client, ThreadPoolExecutor(16) as threads:
        start = threading.Barrier(16)

        def work(number: int) -> list[Any]:
            start.wait(5)
            return [client.post(f"{api.url}/protected", content=f"{number}-{i}").json() for i in range(5)]

        results = list(threads.map(work, range(16)))
    assert [[one["sent"] for one in of] for of in results] == [[f"{n}-{i}" for i in range(5)] for n in range(16)]
    assert 1 <= refreshing.issued <= 16


def test_fifty_tasks_share_a_client_that_refreshes_its_token(api: LocalApi, refreshing: Issuer):
    async def main() -> list[httpx.Response]:
        async with httpx.AsyncClient(auth=expired(api)) as client:
            return await asyncio.gather(*(client.post(f"{api.url}/protected", content=str(n)) for n in range(50)))

    assert [response.json()["sent"] for response in asyncio.run(main())] == [str(n) for n in range(50)]
    assert 1 <= refreshing.issued <= 50


def test_client_credentials_fetch_a_token_once(api: LocalApi, credentials: Issuer):
    with httpx.Client(auth=client_credentials(api)) as client:
        response = client.get(f"{api.url}/protected/resource")
        assert response.json() == {"path": "/protected/resource", "sent": ""}
        assert client.get(f"{api.url}/protected/other").status_code == 200
    assert credentials.issued == 1


def test_client_credentials_fetch_another_token_when_theirs_is_rejected(api: LocalApi, credentials: Issuer):
    with httpx.Client(auth=client_credentials(api)) as client:
        client.get(f"{api.url}/protected/resource")
        credentials.tokens.clear()
        response = client.post(f"{api.url}/protected/resource", json={"a": 1})
        assert response.json() == {"path": "/protected/resource", "sent": '{"a":1}'}
    assert credentials.issued == 2


def test_sixteen_threads_share_client_credentials(api: LocalApi, credentials: Issuer):
    with httpx.Client(auth=client_credentials(api)) as client, ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(lambda n: client.get(f"{api.url}/protected/{n}").status_code, range(64)))
    assert statuses == [200] * 64
    assert 1 <= credentials.issued <= 16


def test_fifty_tasks_share_client_credentials(api: LocalApi, credentials: Issuer):
    async def main() -> list[httpx.Response]:
        async with httpx.AsyncClient(auth=client_credentials(api)) as client:
            await client.get(f"{api.url}/protected/first")
            credentials.tokens.clear()
            return await asyncio.gather(*(client.get(f"{api.url}/protected/{n}") for n in range(50)))

    assert [response.json()["path"] for response in asyncio.run(main())] == [f"/protected/{n}" for n in range(50)]


# Timeouts.


def test_a_simple_timeout(echo: str):
    assert httpx.get(f"{echo}/delay/0.02", timeout=10.0).status_code == 200
    assert httpx.get(f"{echo}/delay/0.02", timeout=None).status_code == 200


def test_a_granular_timeout(echo: str):
    timeout = httpx.Timeout(
        connect=5.0,
        read=30.0,
        write=10.0,
        pool=5.0,
    )
    assert httpx.get(f"{echo}/delay/0", timeout=timeout).request.extensions["timeout"] == timeout.as_dict()
    with httpx.Client(timeout=timeout) as client:
        r = client.get(f"{echo}/delay/0")
        assert r.request.extensions["timeout"]["read"] == 30.0
        r = client.get(
            f"{echo}/delay/0",
            timeout=httpx.Timeout(connect=5.0, read=60.0, write=10.0, pool=5.0),
        )
        assert r.request.extensions["timeout"]["read"] == 60.0


def timed_out(function: Any, *args: Any, **options: Any) -> str:
    """The arm of the manual's `try` that is taken."""
    try:
        function(*args, **options)
    except httpx.ConnectTimeout:
        return "Connection establishment timed out"
    except httpx.ReadTimeout:
        return "Reading the response timed out"
    except httpx.WriteTimeout:
        return "Sending the request body timed out"
    except httpx.PoolTimeout:
        return "Timed out waiting for a connection from the pool"
    except httpx.TimeoutException:
        return "Some timeout occurred (base class for all timeout errors)"
    return "in time"


def test_the_four_timeout_exceptions(echo: str):
    assert timed_out(httpx.get, f"{echo}/get", timeout=2.0) == "in time"
    assert timed_out(httpx.get, f"{echo}/delay/10", timeout=0.05) == "Reading the response timed out"
    with blackhole() as (host, port):
        url = f"http://{host}:{port}"
        assert timed_out(httpx.get, url, timeout=0.05) == "Connection establishment timed out"
    with Peer() as peer:
        body = b"x" * 20_000_000
        late = httpx.Timeout(5, write=0.05)
        assert (
            timed_out(httpx.post, f"{peer.url}/unread", content=body, timeout=late)
            == "Sending the request body timed out"
        )
    with httpx.Client(limits=httpx.Limits(max_connections=1), timeout=httpx.Timeout(5, pool=0.05)) as client:
        with client.stream("GET", f"{echo}/stream-bytes/1000000"):
            said = timed_out(client.get, f"{echo}/get")
    assert said == "Timed out waiting for a connection from the pool"


# Streaming.


def test_a_streaming_download_with_progress(echo: str, here: Path):
    shown = []
    with httpx.stream("GET", f"{echo}/bytes/100000") as response:
        response.raise_for_status()
        total = int(response.headers.get("content-length", 0))
        downloaded = 0
        with open("large-file.zip", "wb") as f:
            for chunk in response.iter_bytes(chunk_size=8192):
                f.write(chunk)
                downloaded += len(chunk)
                if total:
                    shown.append(f"\rProgress: {downloaded / total:.1%}")
    assert shown[-1] == "\rProgress: 100.0%"
    assert (here / "large-file.zip").stat().st_size == 100_000


def test_lines_and_raw_bytes_of_a_stream(echo: str):
    with httpx.stream("GET", f"{echo}/encoding/utf8") as response:
        lines = list(response.iter_lines())
    assert lines[0] == "English: peace"
    assert lines[-1] == "Emoji: 🕊️"
    with httpx.stream("GET", f"{echo}/gzip") as response:
        raw = b"".join(response.iter_raw())
    assert raw.startswith(b"\x1f\x8b")


def test_streaming_with_a_client(echo: str):
    size = 0
    with httpx.Client() as client, client.stream("GET", f"{echo}/stream-bytes/70000") as response:
        for chunk in response.iter_bytes():
            size += len(chunk)
    assert size == 70_000


def test_an_async_streaming_download(echo: str, here: Path):
    async def download_file(url: str, path: str) -> None:
        async with httpx.AsyncClient() as client:
            async with client.stream("GET", url) as response:
                response.raise_for_status()
                with open(path, "wb") as f:  # noqa: ASYNC230  # as the document has it
                    async for chunk in response.aiter_bytes(chunk_size=8192):
                        f.write(chunk)

    asyncio.run(download_file(f"{echo}/bytes/100000?seed=3", "file.zip"))
    assert (here / "file.zip").read_bytes() == httpx.get(f"{echo}/bytes/100000?seed=3").content


def test_a_generator_is_uploaded_in_chunks(echo: str):
    def upload_chunks() -> Any:
        """Generator that yields chunks of data to upload."""
        for i in range(100):
            yield f"chunk-{i}\n".encode()

    response = httpx.post(f"{echo}/post", content=upload_chunks())
    assert response.json()["data"] == "".join(f"chunk-{i}\n" for i in range(100))
    assert response.json()["headers"]["Transfer-Encoding"] == "chunked"


# HTTP/2.


def test_http2_if_the_server_supports_it_else_http1(tls_echo_server: Any, trusting: Any):
    with httpx.Client(http2=True, verify=trusting) as client:
        response = client.get(f"{tls_echo_server.url}/get")
        assert response.http_version == "HTTP/1.1"


def test_http2_is_seen_in_the_version(http2_url: str, trusting: Any):
    async def main() -> str:
        async with httpx.AsyncClient(http2=True, verify=trusting) as client:
            response = await client.get(http2_url)
            return response.http_version

    with httpx.Client(http2=True, verify=trusting) as client:
        assert client.get(http2_url).http_version == "HTTP/2"
    assert asyncio.run(main()) == "HTTP/2"


def test_http2_is_not_spoken_unless_it_is_asked_for(http2_url: str, trusting: Any):
    with httpx.Client(verify=trusting) as client:
        assert client.get(http2_url).http_version == "HTTP/1.1"


# Proxies.


def test_a_proxy_for_all_traffic(echo: str):
    with httpx.Client(proxy=echo) as client:
        r = client.get("http://example.invalid/get")
    assert r.json()["url"] == "http://example.invalid/get"


def test_a_proxy_with_credentials(api: LocalApi):
    api.answer = lambda asked: {"who": asked.headers.get("Proxy-Authorization")}
    with httpx.Client(proxy=api.url.replace("http://", "http://user:pass@")) as client:
        assert client.get("http://example.invalid/").json() == {"who": "Basic dXNlcjpwYXNz"}


def test_an_async_client_with_a_proxy(echo: str):
    async def main() -> httpx.Response:
        async with httpx.AsyncClient(proxy=echo) as client:
            return await client.get("http://example.invalid/get")

    assert asyncio.run(main()).json()["url"] == "http://example.invalid/get"


def test_a_socks_proxy():
    with SocksServer() as socks:
        with httpx.Client(proxy=f"socks5://127.0.0.1:{socks.port}") as client:
            assert client.get("http://example.invalid/get").text == "/get"
        assert socks.asked == [("example.invalid", 80)]


def test_a_socks_proxy_with_credentials():
    with SocksServer(("user", "pass")) as socks:
        with httpx.Client(proxy=f"socks5://user:pass@127.0.0.1:{socks.port}") as client:
            assert client.get("http://example.invalid/get").text == "/get"


# MockTransport.


def mock_handler(request: httpx.Request) -> httpx.Response:
    """A mock transport handler that simulates an API."""
    if request.url.path == "/users" and request.method == "GET":
        return httpx.Response(
            200,
            json=[
                {"id": 1, "name": "Alice"},
                {"id": 2, "name": "Bob"},
            ],
        )
    elif request.url.path == "/users" and request.method == "POST":
        body = request.content.decode()
        assert json.loads(body) == {"name": "Carol"}
        return httpx.Response(201, json={"id": 3, "name": "Carol"})
    elif request.url.path == "/error":
        return httpx.Response(500, text="Internal Server Error")
    else:
        return httpx.Response(404, json={"error": "not found"})


def test_a_simulated_api():
    transport = httpx.MockTransport(mock_handler)

    with httpx.Client(transport=transport, base_url="https://api.test") as client:
        # Test GET /users
        response = client.get("/users")
        assert response.status_code == 200
        assert len(response.json()) == 2

        # Test POST /users
        response = client.post("/users", json={"name": "Carol"})
        assert response.status_code == 201

        # Test 404
        response = client.get("/nonexistent")
        assert response.status_code == 404

        # Test error
        response = client.get("/error")
        assert response.status_code == 500


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_handler(backend: str):
    run: Any = asyncio.run if backend == "asyncio" else pytest.importorskip("trio").run

    async def async_mock_handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/data":
            return httpx.Response(200, json={"result": "ok"})
        return httpx.Response(404)

    async def test_async_api() -> None:
        transport = httpx.MockTransport(async_mock_handler)
        async with httpx.AsyncClient(transport=transport, base_url="https://api.test") as client:
            response = await client.get("/data")
            assert response.status_code == 200
            assert response.json() == {"result": "ok"}

    run(test_async_api() if backend == "asyncio" else test_async_api)


def test_a_client_is_injected_into_an_application():
    @dataclass
    class ApiClient:
        """Application-level API client that wraps httpx."""

        client: httpx.Client

        def get_user(self, user_id: int) -> Any:
            response = self.client.get(f"/users/{user_id}")
            response.raise_for_status()
            return response.json()

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/users/42"
        return httpx.Response(200, json={"id": 42, "name": "Alice"})

    transport = httpx.MockTransport(handler)
    client = httpx.Client(transport=transport, base_url="https://api.test")
    api = ApiClient(client=client)

    user = api.get_user(42)
    assert user == {"id": 42, "name": "Alice"}

    client.close()


# Async usage.


def test_sequential_and_concurrent_requests(echo: str):
    async def fetch_url(client: httpx.AsyncClient, url: str) -> Any:
        response = await client.get(url)
        response.raise_for_status()
        return response.json()

    async def main() -> str:
        async with httpx.AsyncClient() as client:
            data1 = await fetch_url(client, f"{echo}/get")
            data2 = await fetch_url(client, f"{echo}/get")
            assert data1 == data2
            results = await asyncio.gather(
                fetch_url(client, f"{echo}/get"),
                fetch_url(client, f"{echo}/get"),
                fetch_url(client, f"{echo}/get"),
            )
            return f"Fetched {len(results)} responses concurrently"

    assert asyncio.run(main()) == "Fetched 3 responses concurrently"


def test_fifty_requests_ten_at_a_time(echo: str):
    async def fetch_with_semaphore(
        client: httpx.AsyncClient,
        url: str,
        semaphore: asyncio.Semaphore,
    ) -> httpx.Response:
        async with semaphore:
            return await client.get(url)

    async def main() -> str:
        urls = [f"{echo}/get?id={i}" for i in range(50)]
        semaphore = asyncio.Semaphore(10)

        async with httpx.AsyncClient() as client:
            tasks = [fetch_with_semaphore(client, url, semaphore) for url in urls]
            responses = await asyncio.gather(*tasks)
            assert [response.json()["args"]["id"] for response in responses] == [str(i) for i in range(50)]
            return f"Fetched {len(responses)} URLs"

    assert asyncio.run(main()) == "Fetched 50 URLs"


# Gotchas.


def test_clients_are_closed_by_with_and_by_close(echo: str):
    with httpx.Client() as client:
        client.get(f"{echo}/get")
    assert client.is_closed
    client = httpx.Client()
    try:
        client.get(f"{echo}/get")
    finally:
        client.close()
    assert client.is_closed


def test_redirects_are_not_followed_by_default(echo: str):
    response = httpx.get(f"{echo}/redirect/3")
    assert response.status_code == 302
    assert response.is_redirect is True

    response = httpx.get(f"{echo}/redirect/3", follow_redirects=True)
    assert response.status_code == 200
    assert len(response.history) == 3

    with httpx.Client(follow_redirects=True) as client:
        response = client.get(f"{echo}/redirect/3")
        assert response.status_code == 200


def test_the_encoding_is_the_declared_one_else_utf8_else_what_is_set(echo: str):
    assert httpx.get(f"{echo}/html").encoding == "utf-8"
    assert httpx.Response(200, content="ü".encode()).text == "ü"
    response = httpx.Response(200, content="ü".encode("latin-1"))
    response.encoding = "latin-1"
    assert response.text == "ü"


def test_async_with_is_no_syntax_of_sync_functions():
    with pytest.raises(SyntaxError):
        compile("def also_bad():\n    async with httpx.AsyncClient() as client:\n        pass\n", "x", "exec")


def test_each_kind_of_body_by_itself_and_no_two_together(echo: str, here: Path):
    (here / "report.pdf").write_bytes(b"%PDF")
    url = f"{echo}/post"
    assert httpx.post(url, content=b"raw bytes").json()["data"] == "raw bytes"
    assert httpx.post(url, content="raw string").json()["data"] == "raw string"
    response = httpx.post(url, data={"field": "value"})
    assert response.request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert response.json()["form"] == {"field": "value"}
    response = httpx.post(url, json={"key": "value"})
    assert response.request.headers["Content-Type"] == "application/json"
    with open("report.pdf", "rb") as f:
        response = httpx.post(url, files={"file": f})
    assert response.request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert response.json()["files"] == {"file": "%PDF"}
    for bodies in (
        {"data": {"x": 1}, "json": {"y": 2}},
        {"content": b"x", "json": {"y": 2}},
        {"content": b"x", "data": {"y": 2}},
        {"files": {"f": b"x"}, "json": {"y": 2}},
    ):
        with pytest.raises(TypeError):
            httpx.post(url, **bodies)  # type: ignore[arg-type]  # what the test is about


# Migration.


def test_prepared_requests(echo: str):
    with httpx.Client(headers={"Authorization": "Bearer token"}, follow_redirects=True) as client:
        req = client.build_request("GET", f"{echo}/bearer")
        r = client.send(req)
        r.raise_for_status()
        assert r.json()["token"] == "token"


def test_text_is_streamed_as_text(echo: str):
    with httpx.stream("GET", f"{echo}/encoding/utf8") as response:
        assert "".join(response.iter_text()).endswith("🕊️\n")


# Complete examples.


def test_example_1_basic_get_and_post(echo: str):
    response = httpx.get(f"{echo}/get", params={"search": "python"})
    assert response.status_code == 200
    assert response.json()["args"] == {"search": "python"}

    response = httpx.post(
        f"{echo}/post",
        json={"name": "Alice", "email": "alice@example.com"},
    )
    assert response.status_code == 200
    assert response.json()["json"] == {"name": "Alice", "email": "alice@example.com"}

    response = httpx.post(
        f"{echo}/post",
        data={"username": "alice", "password": "secret"},
    )
    assert response.json()["form"] == {"username": "alice", "password": "secret"}


def test_example_2_a_client_with_connection_pooling(api: LocalApi):
    users = [{"id": 1, "name": "Leanne"}, {"id": 2, "name": "Ervin"}]
    posts = [{"userId": 1, "id": 1}, {"userId": 1, "id": 2}, {"userId": 2, "id": 3}]

    def placeholder(asked: Asked) -> Any:
        if asked.method == "POST":
            return with_json({"id": 101, **asked.json()}, 201)
        if asked.path == "/users":
            return users
        if asked.path.startswith("/users/"):
            return users[int(asked.path.rpartition("/")[2]) - 1]
        return [post for post in posts if post["userId"] == int(asked.query["userId"])]

    api.answer = placeholder
    with httpx.Client(
        base_url=api.url,
        headers={"Accept": "application/json"},
        timeout=10.0,
        follow_redirects=True,
    ) as client:
        users = client.get("/users").json()
        assert f"Found {len(users)} users" == "Found 2 users"

        first_user = client.get(f"/users/{users[0]['id']}").json()
        assert f"First user: {first_user['name']}" == "First user: Leanne"

        posts = client.get("/posts", params={"userId": first_user["id"]}).json()
        assert f"User has {len(posts)} posts" == "User has 2 posts"

        new_post = client.post(
            "/posts",
            json={
                "title": "New Post",
                "body": "This is the body.",
                "userId": first_user["id"],
            },
        )
        new_post.raise_for_status()
        assert f"Created post with id: {new_post.json()['id']}" == "Created post with id: 101"
    assert api.connections == 1


def test_example_3_file_uploads(echo: str, here: Path):
    for name, content in {"report.pdf": b"%PDF", "photo1.jpg": b"1", "photo2.jpg": b"22", "data.csv": b"a,b"}.items():
        (here / name).write_bytes(content)

    with open("report.pdf", "rb") as f:
        response = httpx.post(
            f"{echo}/post",
            files={"file": ("report.pdf", f, "application/pdf")},
        )
    assert response.status_code == 200

    with open("photo1.jpg", "rb") as f1, open("photo2.jpg", "rb") as f2:
        response = httpx.post(
            f"{echo}/upload",
            files=[
                ("images", ("photo1.jpg", f1, "image/jpeg")),
                ("images", ("photo2.jpg", f2, "image/jpeg")),
            ],
        )
    assert [(part["filename"], part["size"]) for part in response.json()["parts"]] == [
        ("photo1.jpg", 1),
        ("photo2.jpg", 2),
    ]

    with open("data.csv", "rb") as f:
        response = httpx.post(
            f"{echo}/post",
            data={"description": "Monthly report", "format": "csv"},
            files={"file": ("data.csv", f, "text/csv")},
        )
    assert response.json()["form"] == {"description": "Monthly report", "format": "csv"}
    assert response.json()["files"] == {"file": "a,b"}

    response = httpx.post(
        f"{echo}/post",
        files={"file": ("hello.txt", b"Hello, World!", "text/plain")},
    )
    assert response.json()["files"] == {"file": "Hello, World!"}


def test_example_4_a_download_with_progress_and_checksum(echo: str, here: Path, capsys: pytest.CaptureFixture[str]):
    def download_with_progress(url: str, filepath: str) -> str:
        """Download a file with progress reporting and checksum verification."""
        sha256 = hashlib.sha256()

        with httpx.stream("GET", url, follow_redirects=True) as response:
            response.raise_for_status()
            total = int(response.headers.get("content-length", 0))
            downloaded = 0

            with open(filepath, "wb") as f:
                for chunk in response.iter_bytes(chunk_size=65536):
                    f.write(chunk)
                    sha256.update(chunk)
                    downloaded += len(chunk)
                    if total:
                        pct = downloaded / total * 100
                        print(f"\rDownloading: {pct:.1f}% ({downloaded}/{total})", end="")  # noqa: T201

        print()  # noqa: T201  # newline after progress
        return sha256.hexdigest()

    url = f"{echo}/redirect-to?url=/bytes/200000%3Fseed=4"
    checksum = download_with_progress(url, "large-file.zip")
    assert checksum == hashlib.sha256((here / "large-file.zip").read_bytes()).hexdigest()
    assert capsys.readouterr().out.endswith("\rDownloading: 100.0% (200000/200000)\n")


def test_example_5_pages_of_an_api(api: LocalApi):
    async def fetch_all_pages(
        client: httpx.AsyncClient,
        base_url: str,
        max_pages: int = 10,
    ) -> list[dict[str, Any]]:
        """Fetch multiple pages of a paginated API concurrently."""
        # First, get page 1 to discover total pages
        first = await client.get(base_url, params={"page": 1})
        first.raise_for_status()
        results = [first.json()]

        # Fetch remaining pages concurrently
        total_pages = min(first.json().get("total_pages", 1), max_pages)
        if total_pages > 1:
            tasks = [client.get(base_url, params={"page": page}) for page in range(2, total_pages + 1)]
            responses = await asyncio.gather(*tasks)
            for resp in responses:
                resp.raise_for_status()
                results.append(resp.json())

        return results

    async def main() -> str:
        async with httpx.AsyncClient(
            base_url=api.url,
            headers={"Authorization": "Bearer my-token"},
            timeout=30.0,
            follow_redirects=True,
        ) as client:
            pages = await fetch_all_pages(client, "/api/items")
            all_items = [item for page in pages for item in page.get("items", [])]
            assert all_items == [f"item {page}" for page in range(1, 8)]
            return f"Fetched {len(all_items)} items across {len(pages)} pages"

    api.answer = lambda asked: {"total_pages": 7, "items": [f"item {asked.query['page']}"]}
    assert asyncio.run(main()) == "Fetched 7 items across 7 pages"


# fmt: off
# Define a realistic mock API
def create_mock_api() -> httpx.MockTransport:
    """Create a mock transport simulating a REST API."""
    users_db = {
        1: {"id": 1, "name": "Alice", "email": "alice@example.com"},
        2: {"id": 2, "name": "Bob", "email": "bob@example.com"},
    }
    next_id = 3

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal next_id
        path = request.url.path
        method = request.method

        # GET /users
        if path == "/users" and method == "GET":
            return httpx.Response(200, json=list(users_db.values()))

        # GET /users/:id
        if path.startswith("/users/") and method == "GET":
            user_id = int(path.split("/")[-1])
            if user_id in users_db:
                return httpx.Response(200, json=users_db[user_id])
            return httpx.Response(404, json={"error": "User not found"})

        # POST /users
        if path == "/users" and method == "POST":
            body = json.loads(request.content)
            new_user = {"id": next_id, **body}
            users_db[next_id] = new_user
            next_id += 1
            return httpx.Response(201, json=new_user)

        # DELETE /users/:id
        if path.startswith("/users/") and method == "DELETE":
            user_id = int(path.split("/")[-1])
            if user_id in users_db:
                del users_db[user_id]
                return httpx.Response(204)
            return httpx.Response(404, json={"error": "User not found"})

        return httpx.Response(404, json={"error": "Not found"})

    return httpx.MockTransport(handler)


def test_user_crud():
    """Test full CRUD operations against the mock API."""
    transport = create_mock_api()

    with httpx.Client(transport=transport, base_url="https://api.test") as client:
        # List users
        response = client.get("/users")
        assert response.status_code == 200
        users = response.json()
        assert len(users) == 2

        # Get single user
        response = client.get("/users/1")
        assert response.status_code == 200
        assert response.json()["name"] == "Alice"

        # Create user
        response = client.post("/users", json={"name": "Carol", "email": "carol@test.com"})
        assert response.status_code == 201
        carol = response.json()
        assert carol["id"] == 3
        assert carol["name"] == "Carol"

        # Verify user was added
        response = client.get("/users")
        assert len(response.json()) == 3

        # Delete user
        response = client.delete(f"/users/{carol['id']}")
        assert response.status_code == 204

        # Verify user was removed
        response = client.get(f"/users/{carol['id']}")
        assert response.status_code == 404
# fmt: on


# Exceptions.

TREE = """
httpx.HTTPError
    httpx.HTTPStatusError
    httpx.RequestError
        httpx.TransportError
            httpx.TimeoutException
                httpx.ConnectTimeout
                httpx.ReadTimeout
                httpx.WriteTimeout
                httpx.PoolTimeout
            httpx.NetworkError
                httpx.ConnectError
                httpx.ReadError
                httpx.WriteError
                httpx.CloseError
            httpx.ProtocolError
                httpx.LocalProtocolError
                httpx.RemoteProtocolError
        httpx.DecodingError
        httpx.TooManyRedirects
"""


def test_the_hierarchy_of_exceptions():
    above: list[type] = []
    for line in TREE.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        kind = getattr(httpx, line.strip().partition(".")[2])
        del above[depth:]
        if above:
            assert kind.__bases__ == (above[-1],)
        above.append(kind)


@pytest.mark.parametrize(
    ("path", "printed"),
    [
        ("/get", "data"),
        ("/status/404", "HTTP error 404: "),
        ("/redirect/30", "Too many redirects"),
        ("/delay/5", "Server did not send response in time (read timed out)"),
        ("closed", "Network error (DNS failure, refused connection, etc.)"),
        ("unanswered", "Could not connect to server (connection timed out)"),
        ("garbage", "HTTP error: "),
    ],
)
def test_the_recommended_error_handling(echo: str, path: str, printed: str):
    from support.servers import ScriptedServer, expect_request, free_ports, send

    garbage = ScriptedServer([expect_request(), send(b"this is no HTTP\r\n\r\n")])
    with garbage, blackhole() as (host, port):
        url = {
            "closed": f"http://127.0.0.1:{free_ports(1)[0]}/",
            "unanswered": f"http://{host}:{port}/",
            "garbage": garbage.url,
        }.get(path, f"{echo}{path}")
        said = ""
        try:
            with httpx.Client(timeout=0.5) as client:
                response = client.get(url, follow_redirects=True)
                response.raise_for_status()
                said = "data" if response.json() else ""
        except httpx.HTTPStatusError as e:
            said = f"HTTP error {e.response.status_code}: {e.response.text}"
        except httpx.ConnectTimeout:
            said = "Could not connect to server (connection timed out)"
        except httpx.ReadTimeout:
            said = "Server did not send response in time (read timed out)"
        except httpx.TimeoutException:
            said = "Request timed out"
        except httpx.NetworkError:
            said = "Network error (DNS failure, refused connection, etc.)"
        except httpx.TooManyRedirects:
            said = "Too many redirects"
        except httpx.HTTPError as e:
            said = f"HTTP error: {e}"
    assert said.startswith(printed)
