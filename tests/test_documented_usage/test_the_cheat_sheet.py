"""The uses that the cheat sheet shows, with its outputs."""

# ruff: noqa: RET503, SIM117
# The code has the shape that it has in the document, whatever shorter ones there are.
from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import httpx
from support.local import Asked, LocalApi, with_json
from support.peer import Peer, blackhole
from support.together import in_threads

try:
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential
except ImportError:
    # Enough of it to run the snippets as they are written.
    def stop_after_attempt(attempts: int) -> Any:
        return attempts

    def wait_exponential(**options: float) -> Any:
        return None

    def retry_if_exception_type(kinds: Any) -> Any:
        return kinds

    def retry(stop: Any, wait: Any, retry: Any = Exception, reraise: bool = False) -> Any:
        def decorate(function: Any) -> Any:
            def again(*args: Any) -> Any:
                for attempt in range(1, stop + 1):
                    try:
                        return function(*args)
                    except retry:
                        if attempt == stop:
                            raise

            return again

        return decorate


log = logging.getLogger(__name__)

# Quick example, async example, POST with retry.


def test_the_quick_example(echo: str):
    resp = httpx.get(f"{echo}/get", params={"tool": "httpx"})
    resp.raise_for_status()
    assert resp.status_code == 200
    assert resp.json()["args"] == {"tool": "httpx"}


def test_the_async_example(echo: str):
    async def fetch_all(urls: list[str]) -> list[Any]:
        async with httpx.AsyncClient(timeout=10) as client:
            tasks = [client.get(url) for url in urls]
            responses = await asyncio.gather(*tasks)
            return [r.json() for r in responses]

    urls = [
        f"{echo}/get?n=1",
        f"{echo}/get?n=2",
        f"{echo}/get?n=3",
    ]
    results = asyncio.run(fetch_all(urls))
    assert [r["args"] for r in results] == [{"n": "1"}, {"n": "2"}, {"n": "3"}]


def test_a_post_with_authorization_and_retry(echo: str):
    @retry(stop=stop_after_attempt(3), wait=wait_exponential(multiplier=0.5))
    def post_event(payload: Any) -> Any:
        with httpx.Client(timeout=10) as client:
            resp = client.post(
                f"{echo}/post",
                json=payload,
                headers={"Authorization": "Bearer my-token"},
            )
            resp.raise_for_status()
            return resp.json()["json"]

    result = post_event({"event": "page_view", "user": "alice"})
    assert result == {"event": "page_view", "user": "alice"}


# Common pitfalls.


def test_the_error_of_raise_for_status_is_one_of_httpx(echo: str):
    with pytest.raises(httpx.HTTPStatusError):
        httpx.get(f"{echo}/status/500").raise_for_status()


def test_the_default_timeout_can_be_raised_or_taken_away(echo: str):
    for timeout in (httpx.Timeout(30.0), None):
        assert httpx.get(f"{echo}/get", timeout=timeout).status_code == 200


# Sync or async.


def test_both_clients_and_one_off_calls(api: LocalApi):
    api.answer = lambda asked: {"path": asked.path, "query": asked.query}
    with httpx.Client(base_url=api.url, timeout=10) as client:
        r = client.get("/users", params={"page": 1})

    async def fetch() -> Any:
        async with httpx.AsyncClient(base_url=api.url, timeout=10) as client:
            r = await client.get("/users", params={"page": 1})
            return r.json()

    assert r.json() == asyncio.run(fetch()) == {"path": "/users", "query": {"page": "1"}}

    before = api.connections
    httpx.get(f"{api.url}/get")
    httpx.post(f"{api.url}/post", json={"k": "v"})
    assert api.connections == before + 2
    assert api.asked[-1].json() == {"k": "v"}


# HTTP/2.


def test_http2_over_tls(http2_url: str, trusting: ssl.SSLContext):
    with httpx.Client(http2=True, timeout=10, verify=trusting) as client:
        r = client.get(http2_url)
        assert r.http_version == "HTTP/2"
        assert r.json() == {"protocol": "HTTP/2.0"}


def test_http2_fans_out_over_one_connection(http2_url: str, trusting: ssl.SSLContext):
    async def fan_out(urls: list[str]) -> Any:
        async with httpx.AsyncClient(http2=True, timeout=10, verify=trusting) as client:
            rs = await asyncio.gather(*(client.get(u) for u in urls))
            addresses = {r.extensions["network_stream"].get_extra_info("client_addr") for r in rs}
            return [r.json() for r in rs], len(addresses)

    shown, connections = asyncio.run(fan_out([f"{http2_url}/{number}" for number in range(20)]))
    assert shown == [{"protocol": "HTTP/2.0"}] * 20
    assert connections == 1


def test_without_http2_at_the_server_the_client_falls_back(tls_echo_server: Any, trusting: ssl.SSLContext):
    with httpx.Client(http2=True, timeout=10, verify=trusting) as client:
        assert client.get(f"{tls_echo_server.url}/get").http_version == "HTTP/1.1"


# Timeouts.


def test_granular_timeouts(echo: str):
    url = f"{echo}/get"
    with httpx.Client(timeout=10) as client:
        assert client.timeout == httpx.Timeout(10)

    with httpx.Client(
        timeout=httpx.Timeout(
            connect=5.0,
            read=30.0,
            write=10.0,
            pool=5.0,
        )
    ) as client:
        r = client.get(url, timeout=httpx.Timeout(60))
        assert set(r.request.extensions["timeout"].values()) == {60}

    with httpx.Client(timeout=None) as client:
        assert client.get(url).status_code == 200

    assert httpx.Timeout(5.0).as_dict() == {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}


def test_a_slow_answer_is_a_read_timeout(echo: str):
    with httpx.Client(timeout=0.05) as client, pytest.raises(httpx.ReadTimeout):
        client.get(f"{echo}/delay/5")


# Limits.


def test_connection_pooling_and_limits(api: LocalApi):
    limits = httpx.Limits(
        max_keepalive_connections=20,
        max_connections=100,
        keepalive_expiry=10.0,
    )
    with httpx.Client(limits=limits, timeout=10) as client:
        threads = [threading.Thread(target=client.get, args=(api.url,)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        transport = client._transport
        assert isinstance(transport, httpx.HTTPTransport)
    assert len(api.asked) == 10
    assert api.connections <= 10


def test_connections_can_be_limited_per_host(api: LocalApi):
    async def main() -> None:
        limits = httpx.Limits(max_connections=100, max_connections_per_host=2)
        async with httpx.AsyncClient(limits=limits) as client:
            await asyncio.gather(*(client.get(api.url) for _ in range(20)))

    asyncio.run(main())
    assert api.connections <= 2


# Retries.


def test_the_transport_retries_connections_and_not_statuses(api: LocalApi):
    transport = httpx.HTTPTransport(retries=3)
    api.answer = lambda asked: with_json({}, 503)
    with httpx.Client(transport=transport, timeout=10) as client:
        assert client.get(api.url).status_code == 503
    assert len(api.asked) == 1


def test_a_hook_waits_as_the_server_asks(api: LocalApi):
    waited = []

    def retry_on_429(response: httpx.Response) -> None:
        if response.status_code == 429:
            waited.append(float(response.headers.get("Retry-After", 1)))

    api.answer = lambda asked: with_json({}, 429, Retry_After="0.01")
    with httpx.Client(event_hooks={"response": [retry_on_429]}, timeout=10) as client:
        client.get(api.url)
    assert waited == [0.01]


def test_a_policy_around_the_call_retries_what_it_is_told(api: LocalApi):
    @retry(
        stop=stop_after_attempt(5),
        wait=wait_exponential(multiplier=0.001, min=0, max=0.001),
        retry=retry_if_exception_type((httpx.TimeoutException, httpx.HTTPStatusError)),
        reraise=True,
    )
    def fetch(url: str) -> Any:
        with httpx.Client(timeout=10) as client:
            r = client.get(url)
            r.raise_for_status()
            return r.json()

    api.answer = lambda asked: with_json({"ok": True}, 200 if len(api.asked) == 3 else 503)
    assert fetch(api.url) == {"ok": True}
    assert len(api.asked) == 3
    api.answer = lambda asked: with_json({}, 500)
    with pytest.raises(httpx.HTTPStatusError):
        fetch(api.url)
    assert len(api.asked) == 8


# Event hooks.


def test_hooks_log_and_raise(echo: str, caplog: pytest.LogCaptureFixture):
    def log_request(request: httpx.Request) -> None:
        log.info("→ %s %s", request.method, request.url)

    def log_response(response: httpx.Response) -> None:
        request = response.request
        log.info(
            "← %s %s -> %d %dms",
            request.method,
            request.url,
            response.status_code,
            int(response.elapsed.total_seconds() * 1000),
        )

    def raise_on_4xx_5xx(response: httpx.Response) -> None:
        response.raise_for_status()

    client = httpx.Client(
        event_hooks={
            "request": [log_request],
            "response": [log_response, raise_on_4xx_5xx],
        },
    )
    caplog.set_level(logging.INFO, logger=__name__)
    with client:
        client.get(f"{echo}/get")
        with pytest.raises(httpx.HTTPStatusError):
            client.get(f"{echo}/status/404")
    messages = [record.getMessage() for record in caplog.records if record.name == __name__]
    assert messages[0] == f"→ GET {echo}/get"
    assert messages[1].startswith(f"← GET {echo}/get -> 200 ")
    assert messages[1].endswith("ms")
    assert messages[3].startswith(f"← GET {echo}/status/404 -> 404 ")


def test_hooks_of_an_async_client_are_async(echo: str):
    seen = []

    async def alog_response(response: httpx.Response) -> None:
        seen.append((response.status_code, str(response.request.url)))

    async def main() -> None:
        async with httpx.AsyncClient(event_hooks={"response": [alog_response]}) as client:
            await client.get(f"{echo}/get")

    asyncio.run(main())
    assert seen == [(200, f"{echo}/get")]


# Files.


def test_one_file_with_a_field_and_several_files_under_one_name(echo: str, here: Path):
    for name in ("photo.jpg", "a.jpg", "b.jpg"):
        (here / name).write_bytes(b"\xff\xd8" + name.encode())
    with httpx.Client() as client:
        with open("photo.jpg", "rb") as f:
            r = client.post(
                f"{echo}/post",
                files={"photo": ("photo.jpg", f, "image/jpeg")},
                data={"caption": "Sunset"},
            )
        assert r.json()["form"] == {"caption": "Sunset"}
        assert list(r.json()["files"]) == ["photo"]

        with open("a.jpg", "rb") as a, open("b.jpg", "rb") as b:
            files = [
                ("photos", ("a.jpg", a, "image/jpeg")),
                ("photos", ("b.jpg", b, "image/jpeg")),
            ]
            r = client.post(f"{echo}/upload", files=files)
    parts = r.json()["parts"]
    assert [(part["name"], part["filename"], part["content_type"], part["size"]) for part in parts] == [
        ("photos", "a.jpg", "image/jpeg", 7),
        ("photos", "b.jpg", "image/jpeg", 7),
    ]


def test_an_upload_is_read_while_it_is_sent(echo: str):
    class Large:
        """A file of 8 MB that nobody has in memory, and that says how much was asked for at once."""

        def __init__(self) -> None:
            self.position, self.largest = 0, 0

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            self.largest = max(self.largest, size)
            piece = b"x" * min(size, 8_000_000 - self.position)
            self.position += len(piece)
            return piece

        def tell(self) -> int:
            return self.position

        def seek(self, offset: int, whence: int = 0) -> int:
            self.position = offset if whence == 0 else 8_000_000 + offset
            return self.position

    large: Any = Large()
    [part] = httpx.post(f"{echo}/upload", files={"f": large}, timeout=30).json()["parts"]
    assert part["size"] == 8_000_000
    assert large.largest <= 1_000_000


# Streaming.


def test_a_sync_streaming_download(echo: str, here: Path):
    with httpx.Client() as client, client.stream("GET", f"{echo}/bytes/300000?seed=2") as resp:
        resp.raise_for_status()
        with open("large.zip", "wb") as f:
            for chunk in resp.iter_bytes(chunk_size=64 * 1024):
                f.write(chunk)
    assert (here / "large.zip").stat().st_size == 300_000


def test_an_async_stream_of_json_lines(echo: str):
    async def consume_events() -> AsyncIterator[Any]:
        async with httpx.AsyncClient(timeout=None) as client:
            async with client.stream("GET", f"{echo}/stream/4") as r:
                r.raise_for_status()
                async for line in r.aiter_lines():
                    if line:
                        yield json.loads(line)

    async def main() -> list[int]:
        return [event["id"] async for event in consume_events()]

    assert asyncio.run(main()) == [0, 1, 2, 3]


def test_a_streaming_response_has_no_content_until_it_is_read(echo: str):
    with httpx.Client() as client, client.stream("GET", f"{echo}/get") as resp:
        for use in (lambda: resp.text, lambda: resp.content, resp.json):
            with pytest.raises(httpx.ResponseNotRead):
                use()
        resp.read()
        assert resp.json()["args"] == {}
        assert resp.text.encode() == resp.content


# Authentication.


# fmt: off
class BearerAuth(httpx.Auth):
    def __init__(self, token: str):
        self.token = token
    def auth_flow(self, request):  # type: ignore[no-untyped-def]  # as it stands in the document
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


# OAuth2 — refresh on 401, retry the original request
class OAuth2Auth(httpx.Auth):
    requires_response_body = True

    def __init__(self, access_token: str, refresh_token: str, token_url: str):
        self.access_token = access_token
        self.refresh_token = refresh_token
        self.token_url = token_url

    def auth_flow(self, request):  # type: ignore[no-untyped-def]  # as it stands in the document
        request.headers["Authorization"] = f"Bearer {self.access_token}"
        response = yield request
        if response.status_code == 401:
            # Refresh and retry once
            refresh_req = httpx.Request("POST", self.token_url, data={
                "grant_type": "refresh_token",
                "refresh_token": self.refresh_token,
            })
            refresh_resp = yield refresh_req
            tokens = refresh_resp.json()
            self.access_token = tokens["access_token"]
            request.headers["Authorization"] = f"Bearer {self.access_token}"
            yield request
# fmt: on


def test_a_bearer_token_of_ones_own_class(echo: str):
    with httpx.Client(auth=BearerAuth("t0k3n")) as client:
        assert client.get(f"{echo}/bearer").json() == {"authenticated": True, "token": "t0k3n"}


def test_a_bearer_token_of_ours(echo: str):
    assert httpx.get(f"{echo}/bearer", auth=httpx.BearerAuth("t0k3n")).json()["token"] == "t0k3n"


def tokens(asked: Asked) -> Any:
    """An API that wants the token "new", and gives it for the refresh token "refresh"."""
    if asked.path == "/token":
        assert asked.form() == {"grant_type": "refresh_token", "refresh_token": "refresh"}
        return {"access_token": "new"}
    return {"me": "alice"} if asked.bearer() == "new" else with_json({"error": "expired"}, 401)


def test_a_token_is_refreshed_and_the_request_sent_again(api: LocalApi):
    api.answer = tokens
    access, refresh = "old", "refresh"
    with httpx.Client(auth=OAuth2Auth(access, refresh, f"{api.url}/token")) as c:
        r = c.get(f"{api.url}/me")
        assert r.json() == {"me": "alice"}
        assert c.get(f"{api.url}/me").json() == {"me": "alice"}
    assert [asked.path for asked in api.asked] == ["/me", "/token", "/me", "/me"]


def test_a_token_is_refreshed_under_fifty_tasks(api: LocalApi):
    api.answer = tokens

    async def main() -> list[httpx.Response]:
        async with httpx.AsyncClient(auth=OAuth2Auth("old", "refresh", f"{api.url}/token")) as client:
            return await asyncio.gather(*(client.post(f"{api.url}/me", json={"n": n}) for n in range(50)))

    assert [response.json() for response in asyncio.run(main())] == [{"me": "alice"}] * 50


def test_a_token_is_refreshed_under_sixteen_threads(api: LocalApi):
    api.answer = tokens
    with httpx.Client(auth=OAuth2Auth("old", "refresh", f"{api.url}/token")) as client:
        answers = in_threads(partial(client.post, f"{api.url}/me", json={"n": n}) for n in range(16))
    assert [response.json() for response in answers] == [{"me": "alice"}] * 16


# TLS and proxies.


def test_a_custom_authority(tls_echo_server: Any, ca: Any):
    with httpx.Client(verify=str(ca.authority_file())) as client:
        assert client.get(f"{tls_echo_server.url}/get").status_code == 200
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get(f"{tls_echo_server.url}/get")
    with httpx.Client(verify=False) as client:
        assert client.get(f"{tls_echo_server.url}/get").status_code == 200


def test_a_client_certificate_from_files(ca: Any, here: Path):
    from support.servers import ScriptedServer, answer

    chain, key = ca.leaf_files("client")
    (here / "client.crt").write_bytes(chain.read_bytes())
    (here / "client.key").write_bytes(key.read_bytes())
    with ScriptedServer([answer(b"welcome")], tls=ca.server_context(client_cert=True)) as server:
        with httpx.Client(cert=("client.crt", "client.key"), verify=str(ca.authority_file())) as client:
            assert client.get(server.url.replace("127.0.0.1", "localhost")).text == "welcome"


def test_a_proxy_for_each_protocol(echo: str):
    with pytest.warns(DeprecationWarning, match="proxies"):
        client = httpx.Client(
            proxies={
                "http://": echo,
                "https://": echo,
            }
        )
    with client:
        assert client.get("http://example.invalid/get").json()["url"] == "http://example.invalid/get"


@pytest.mark.parametrize("key", ["http", "http://", "all://"])
def test_the_keys_of_proxies_work_with_and_without_slashes(echo: str, key: str):
    with pytest.warns(DeprecationWarning, match="proxies"):
        client = httpx.Client(proxies={key: echo})
    with client:
        assert client.get("http://example.invalid/get").json()["url"] == "http://example.invalid/get"


def test_a_tls_context_of_ones_own(tls_echo_server: Any, ca: Any):
    ctx = ssl.create_default_context(cafile=str(ca.authority_file()))
    ctx.minimum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=ctx) as client:
        assert client.get(f"{tls_echo_server.url}/get").status_code == 200


# Testing.


def test_a_mock_transport():
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/users/1":
            return httpx.Response(200, json={"id": 1, "name": "Alice Dev"})
        return httpx.Response(404, json={"error": "not found"})

    transport = httpx.MockTransport(handler)
    with httpx.Client(transport=transport, base_url="https://api.example.com") as client:
        r = client.get("/users/1")
        assert r.json()["name"] == "Alice Dev"

        r = client.get("/users/999")
        assert r.status_code == 404


def test_an_asgi_application_in_the_same_process():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b'{"ok": true}' if scope["path"] == "/health" else b"{}"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    transport = httpx.ASGITransport(app=app)
    with httpx.Client(transport=transport, base_url="http://testserver") as client:
        assert client.get("/health").json() == {"ok": True}


def test_a_fastapi_application_in_the_same_process():
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    @app.get("/health")
    def health() -> Any:
        return {"ok": True}

    transport = httpx.ASGITransport(app=app)
    with httpx.Client(transport=transport, base_url="http://testserver") as client:
        assert client.get("/health").json() == {"ok": True}


# Porting from requests.


def test_a_ported_session(api: LocalApi):
    api.answer = lambda asked: {"token": asked.bearer()}
    with httpx.Client(headers={"Authorization": "Bearer t"}, timeout=10) as s:
        r = s.get(f"{api.url}/me")
        r.raise_for_status()
        assert r.json() == {"token": "t"}


def test_cookies_persist_in_a_client(echo: str):
    with httpx.Client(base_url=echo) as client:
        client.get("/cookies/set?flavour=oat")
        assert client.get("/cookies").json() == {"cookies": {"flavour": "oat"}}


def test_a_base_url_is_joined_with_paths():
    with httpx.Client(base_url="https://api.example.com/v2/") as client:
        assert client.build_request("GET", "users").url == "https://api.example.com/v2/users"


# Exceptions.


def raised_by(function: Any, *args: Any, **options: Any) -> str:
    """The arm of the cheat sheet's `try` that is taken."""
    try:
        r = function(*args, **options)
        r.raise_for_status()
    except httpx.ConnectTimeout:
        return "Could not connect — network or DNS issue"
    except httpx.ReadTimeout:
        return "Server stalled mid-response"
    except httpx.HTTPStatusError as e:
        return f"HTTP {e.response.status_code}: {e.response.text[:200]}"
    except httpx.RequestError as e:
        return f"Transport error: {type(e).__name__}"
    return "fine"


def test_the_arms_of_a_try_around_a_request(echo: str):
    with httpx.Client() as client, Peer() as peer, blackhole() as (host, port):
        assert raised_by(client.get, f"{echo}/get", timeout=5) == "fine"
        assert raised_by(client.get, f"{echo}/status/404") == "HTTP 404: "
        unanswered = f"http://{host}:{port}/"
        assert raised_by(client.get, unanswered, timeout=0.05) == "Could not connect — network or DNS issue"
        assert raised_by(client.get, f"{peer.url}/stall", timeout=0.05) == "Server stalled mid-response"
        assert raised_by(client.get, "ftp://example.org") == "Transport error: UnsupportedProtocol"


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("RequestError", "HTTPError"),
        ("TransportError", "RequestError"),
        ("ConnectError", "NetworkError"),
        ("ConnectTimeout", "TimeoutException"),
        ("ReadTimeout", "TimeoutException"),
        ("WriteTimeout", "TimeoutException"),
        ("PoolTimeout", "TimeoutException"),
        ("NetworkError", "TransportError"),
        ("HTTPStatusError", "HTTPError"),
        ("DecodingError", "RequestError"),
        ("TooManyRedirects", "RequestError"),
    ],
)
def test_the_tree_of_exceptions(kind: str, base: str):
    assert issubclass(getattr(httpx, kind), getattr(httpx, base))


def test_no_free_connection_in_time_is_a_pool_timeout(echo: str):
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(limits=limits, timeout=httpx.Timeout(5, pool=0.05)) as client:
        with client.stream("GET", f"{echo}/stream-bytes/1000000"), pytest.raises(httpx.PoolTimeout):
            client.get(f"{echo}/get")


# Pitfalls.


def test_an_async_client_may_be_used_from_one_loop_after_another(echo: str):
    client = httpx.AsyncClient()

    async def fetch() -> int:
        return (await client.get(f"{echo}/get")).status_code

    assert [asyncio.run(fetch()) for _ in range(3)] == [200, 200, 200]
    asyncio.run(client.aclose())


def test_a_request_can_be_signed_before_it_is_sent(echo: str):
    import hashlib
    import hmac

    with httpx.Client(base_url=echo) as client:
        request = client.build_request("POST", "/post", json={"amount": 1})
        signature = hmac.new(b"key", request.content, hashlib.sha256).hexdigest()
        request.headers["X-Signature"] = signature
        shown = client.send(request).json()
    assert shown["headers"]["X-Signature"] == hmac.new(b"key", b'{"amount":1}', hashlib.sha256).hexdigest()


# Recipes.


def test_a_fan_out_with_bounded_parallelism(api: LocalApi):
    running, most, lock = 0, 0, threading.Lock()

    def count(asked: Asked) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.0005)
        with lock:
            running -= 1
        return {"path": asked.path}

    api.answer = count

    async def fetch_all(urls: list[str], *, concurrency: int = 20) -> list[Any]:
        sem = asyncio.Semaphore(concurrency)
        async with httpx.AsyncClient(timeout=10, http2=True) as client:

            async def fetch(url: str) -> Any:
                async with sem:
                    r = await client.get(url)
                    r.raise_for_status()
                    return r.json()

            return await asyncio.gather(*(fetch(u) for u in urls))

    urls = [f"{api.url}/items/{i}" for i in range(200)]
    results = asyncio.run(fetch_all(urls, concurrency=10))
    assert [result["path"] for result in results] == [f"/items/{i}" for i in range(200)]
    assert most <= 10


def test_a_reusable_api_client_class(api: LocalApi):
    class GitHubClient:
        def __init__(self, token: str, *, timeout: float = 10.0):
            self._client = httpx.Client(
                base_url=api.url,
                headers={
                    "Accept": "application/vnd.github+json",
                    "Authorization": f"Bearer {token}",
                    "X-GitHub-Api-Version": "2022-11-28",
                },
                timeout=timeout,
                event_hooks={"response": [self._raise_for_status]},
            )

        @staticmethod
        def _raise_for_status(r: httpx.Response) -> None:
            r.raise_for_status()

        def close(self) -> None:
            self._client.close()

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *exc: Any) -> None:
            self.close()

        def list_repos(self, user: str, *, per_page: int = 100) -> Any:
            return self._client.get(f"/users/{user}/repos", params={"per_page": per_page}).json()

    def repositories(asked: Asked) -> Any:
        if asked.path != "/users/python/repos":
            return with_json({"message": "Not Found"}, 404)
        assert asked.query == {"per_page": "100"}
        assert asked.headers["Accept"] == "application/vnd.github+json"
        return [{"full_name": "python/cpython"}, {"full_name": "python/mypy"}]

    api.answer = repositories
    with GitHubClient(token="t0k3n") as gh:
        assert [r["full_name"] for r in gh.list_repos("python")] == ["python/cpython", "python/mypy"]
        with pytest.raises(httpx.HTTPStatusError):
            gh.list_repos("nobody")


def test_server_sent_events(echo: str):
    async def sse_consume(url: str) -> AsyncIterator[Any]:
        async with httpx.AsyncClient(timeout=None) as client:
            async with client.stream("GET", url, headers={"Accept": "text/event-stream"}) as r:
                event = {}
                async for line in r.aiter_lines():
                    if line == "":
                        if event:
                            yield event
                            event = {}
                        continue
                    if line.startswith(":"):
                        continue
                    k, _, v = line.partition(":")
                    event[k.strip()] = v.lstrip()

    async def main() -> list[Any]:
        return [event async for event in sse_consume(f"{echo}/events?count=2")]

    assert asyncio.run(main()) == [
        {"id": "0", "event": "tick", "data": '{"index": 0}'},
        {"id": "1", "event": "tick", "data": '{"index": 1}'},
        {"event": "end", "data": ""},
    ]


def test_events_arrive_when_they_are_sent(echo: str):
    """Not when the stream ends: the reader would wait for ever for an answer that never does."""

    async def main() -> Any:
        async with httpx.AsyncClient(timeout=5) as client:
            async with client.stream("GET", f"{echo}/events?count=50&interval=5") as r:
                async for line in r.aiter_lines():
                    return line

    started = time.monotonic()
    assert asyncio.run(main()) == "id: 0"
    assert time.monotonic() - started < 3


# Quick reference.


def test_every_line_of_the_quick_reference(echo: str, here: Path):
    url = f"{echo}/anything"
    (here / "a.png").write_bytes(b"png")
    assert httpx.get(url, timeout=10).json()["method"] == "GET"
    with httpx.Client(base_url=echo, timeout=10) as c, open("a.png", "rb") as image:
        assert c.post(url, json={"k": "v"}).json()["json"] == {"k": "v"}
        assert c.post(url, data={"k": "v"}).json()["form"] == {"k": "v"}
        assert c.post(url, files={"f": image}).json()["files"] == {"f": "png"}
        assert c.get(url, params={"q": "x"}).json()["args"] == {"q": "x"}
        assert c.get(url, headers={"Auth": "Bearer t"}).json()["headers"]["Auth"] == "Bearer t"
        assert c.get(url, cookies={"k": "v"}).json()["headers"]["Cookie"] == "k=v"
        with c.stream("GET", url) as r:
            assert json.loads(b"".join(r.iter_bytes()))["method"] == "GET"
        with c.stream("GET", "/stream/2") as r:
            assert [json.loads(line)["id"] for line in r.iter_lines()] == [0, 1]
        resp = c.get(url)
        resp.raise_for_status()
        assert (resp.status_code, resp.http_version) == (200, "HTTP/1.1")
        assert resp.json() == json.loads(resp.text) == json.loads(resp.content)

    async def main() -> bytes:
        async with httpx.AsyncClient(timeout=10) as c:
            async with c.stream("GET", url) as r:
                return b"".join([chunk async for chunk in r.aiter_bytes()])

    assert json.loads(asyncio.run(main()))["method"] == "GET"


def test_phases_that_are_not_named_have_the_default_timeout():
    assert httpx.Timeout(connect=5, read=30).as_dict() == {"connect": 5, "read": 30, "write": 5.0, "pool": 5.0}
