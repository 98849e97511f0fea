"""The uses that the guide shows, with its outputs."""

# ruff: noqa: RET504
# The code has the shape that it has in the document, whatever shorter ones there are.
from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

import httpx
from support.local import LocalApi, with_json

# Common usage patterns.


def test_pattern_1_a_synchronous_api_client_wrapper(api: LocalApi):
    class APIClient:
        def __init__(self, base_url: str, api_key: str):
            self.client = httpx.Client(
                base_url=base_url,
                headers={"Authorization": f"Bearer {api_key}"},
                timeout=30.0,
            )

        def get_resource(self, resource_id: str) -> Any:
            response = self.client.get(f"/resources/{resource_id}")
            response.raise_for_status()
            return response.json()

    api.answer = lambda asked: {"path": asked.path, "token": asked.bearer()}
    wrapper = APIClient(f"{api.url}/v1", "k3y")
    assert wrapper.get_resource("42") == {"path": "/v1/resources/42", "token": "k3y"}
    api.answer = lambda asked: with_json({}, 404)
    with pytest.raises(httpx.HTTPStatusError):
        wrapper.get_resource("43")
    assert api.connections == 1
    wrapper.client.close()


def test_pattern_2_async_concurrent_requests(echo: str):
    async def fetch_all(urls: list[str]) -> list[Any]:
        async with httpx.AsyncClient() as client:
            tasks = [client.get(url) for url in urls]
            responses = await asyncio.gather(*tasks)
            return [r.json() for r in responses]

    shown = asyncio.run(fetch_all([f"{echo}/get?n={number}" for number in range(20)]))
    assert [one["args"]["n"] for one in shown] == [str(number) for number in range(20)]


def test_pattern_4_a_client_that_may_speak_http2_with_connection_pooling(api: LocalApi):
    api.answer = lambda asked: {"path": asked.path}
    client = httpx.Client(http2=True)
    try:
        for i in range(10):
            response = client.get(f"{api.url}/data/{i}")
            assert response.json() == {"path": f"/data/{i}"}
    finally:
        client.close()
    assert api.connections == 1


def test_pattern_5_streaming_large_downloads_with_progress(echo: str, here: Path):
    progress = []
    with httpx.stream("GET", f"{echo}/bytes/100000?seed=1") as response:
        total = int(response.headers["Content-Length"])
        downloaded = 0

        with open("output.zip", "wb") as f:
            for chunk in response.iter_bytes(chunk_size=8192):
                f.write(chunk)
                downloaded += len(chunk)
                progress.append(f"Progress: {downloaded}/{total} bytes")

    assert progress[0] == "Progress: 8192/100000 bytes"
    assert progress[-1] == "Progress: 100000/100000 bytes"
    assert (here / "output.zip").read_bytes() == httpx.get(f"{echo}/bytes/100000?seed=1").content


# Integration patterns.


def test_a_fastapi_application_proxies_with_one_client_of_its_own(api: LocalApi):
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    @app.get("/proxy/{path:path}")
    async def proxy_request(path: str) -> Any:
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{api.url}/{path}")
            return response.json()

    async def main() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return (await client.get("/proxy/some/path")).json()

    assert asyncio.run(main()) == {"path": "/some/path"}


def test_a_starlette_application_without_network_in_the_sync_client():
    starlette = pytest.importorskip("starlette.applications")
    routing, responses = pytest.importorskip("starlette.routing"), pytest.importorskip("starlette.responses")

    async def homepage(request: Any) -> Any:
        return responses.JSONResponse({"message": "Hello, world"})

    app = starlette.Starlette(routes=[routing.Route("/", homepage)])
    with httpx.Client(transport=httpx.ASGITransport(app=app)) as client:
        response = client.get("http://testserver/")
        assert response.status_code == 200


def test_any_asgi_application_without_network_in_the_sync_client():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"message": "Hello, world"}'})

    with httpx.Client(transport=httpx.ASGITransport(app=app)) as client:
        response = client.get("http://testserver/")
        assert response.status_code == 200
        assert response.json() == {"message": "Hello, world"}


def test_an_application_keeps_one_async_client_from_start_to_shutdown(api: LocalApi):
    class State:
        http_client: httpx.AsyncClient

    async def main() -> list[Any]:
        State.http_client = httpx.AsyncClient()
        try:
            return [(await State.http_client.get(f"{api.url}/data")).json() for _ in range(3)]
        finally:
            await State.http_client.aclose()

    assert asyncio.run(main()) == [{"path": "/data"}] * 3
    assert State.http_client.is_closed
    assert api.connections == 1


def test_the_trio_backend_is_found_by_itself(echo: str):
    trio = pytest.importorskip("trio")

    async def main() -> httpx.Response:
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{echo}/html")
            return response

    response = trio.run(main)
    assert repr(response) == "<Response [200 OK]>"
    assert "It works" in response.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_works_under_anyio(echo: str, backend: str):
    anyio = pytest.importorskip("anyio")
    pytest.importorskip(backend)

    async def main() -> list[int]:
        statuses: list[int] = []

        async def fetch(client: httpx.AsyncClient, number: int) -> None:
            statuses.append((await client.get(f"{echo}/get?n={number}")).status_code)

        async with httpx.AsyncClient() as client, anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(fetch, client, number)
        return statuses

    assert anyio.run(main, backend=backend) == [200] * 5


# Usage examples.


def test_basic_synchronous_requests(echo: str):
    response = httpx.get(f"{echo}/get")
    assert response.status_code == 200
    assert response.json()["url"] == f"{echo}/get"

    response = httpx.post(f"{echo}/post", data={"key": "value"})
    assert response.json()["form"] == {"key": "value"}

    headers = {"user-agent": "my-app/0.0.1"}
    response = httpx.get(f"{echo}/headers", headers=headers)
    assert response.json()["headers"]["user-agent"] == "my-app/0.0.1"

    params = {"key1": "value1", "key2": "value2"}
    response = httpx.get(f"{echo}/get", params=params)
    assert response.json()["args"] == params
    assert str(response.url) == f"{echo}/get?key1=value1&key2=value2"


def test_asynchronous_requests(echo: str):
    async def fetch_data() -> Any:
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{echo}/json")
            assert response.status_code == 200
            return response.json()

    assert asyncio.run(fetch_data())["title"] == "Echo"

    async def fetch_multiple() -> list[Any]:
        async with httpx.AsyncClient() as client:
            tasks = [client.get(f"{echo}/get"), client.get(f"{echo}/headers"), client.get(f"{echo}/user-agent")]
            responses = await asyncio.gather(*tasks)
            return [r.json() for r in responses]

    first, second, third = asyncio.run(fetch_multiple())
    assert first["url"] == f"{echo}/get"
    assert second["headers"]["Accept"] == "*/*"
    assert third["user-agent"] == f"python-httpx/{httpx.__version__}"


def test_a_client_instance_with_configuration(echo: str):
    client = httpx.Client(
        base_url=f"{echo}/anything",
        headers={"Authorization": "Bearer token123"},
        timeout=30.0,
        follow_redirects=True,
    )

    try:
        response = client.get("/users/me")
        response.raise_for_status()
        shown = response.json()
    finally:
        client.close()
    assert shown["url"] == f"{echo}/anything/users/me"
    assert shown["headers"]["Authorization"] == "Bearer token123"

    with httpx.Client(base_url=echo) as client:
        response = client.get("/get")
    assert client.is_closed
    assert response.json()["url"] == f"{echo}/get"


def test_http2_is_offered_and_http1_is_the_fallback(tls_echo_server: Any, trusting: Any):
    client = httpx.Client(http2=True, verify=trusting)
    try:
        response = client.get(f"{tls_echo_server.url}/get")
        assert response.extensions["http_version"] == b"HTTP/1.1"
    finally:
        client.close()


def test_http2_is_spoken_with_a_server_that_knows_it(http2_url: str, trusting: Any):
    client = httpx.Client(http2=True, verify=trusting)
    try:
        response = client.get(http2_url)
        assert response.extensions["http_version"] == b"HTTP/2"
    finally:
        client.close()


def test_http2_is_spoken_in_async_code(http2_url: str, trusting: Any):
    async def main() -> Any:
        async with httpx.AsyncClient(http2=True, verify=trusting) as client:
            response = await client.get(http2_url)
            return response.extensions["http_version"]

    assert asyncio.run(main()) == b"HTTP/2"


def test_streaming_responses_as_bytes_as_lines_and_read_on_a_condition(echo: str):
    chunks = []
    with httpx.stream("GET", f"{echo}/stream-bytes/50000") as response:
        for chunk in response.iter_bytes(chunk_size=8192):
            chunks.append(chunk)
    assert [len(chunk) for chunk in chunks] == [8192] * 6 + [50000 - 6 * 8192]

    with httpx.stream("GET", f"{echo}/stream/3") as response:
        lines = list(response.iter_lines())
    assert len(lines) == 3
    assert not any("\n" in line for line in lines)

    with httpx.stream("GET", f"{echo}/bytes/1000") as response:
        if int(response.headers["Content-Length"]) < 10_000_000:
            content = response.read()
    assert len(content) == 1000


@pytest.mark.parametrize(
    ("path", "printed"),
    [
        ("/get", ""),
        ("/status/404", "HTTP error 404: {echo}/status/404"),
        ("/status/500", "HTTP error 500: {echo}/status/500"),
        ("", "Network error: http://127.0.0.1:{port}"),
    ],
)
def test_error_handling(echo: str, path: str, printed: str):
    from support.servers import free_ports

    [port] = free_ports(1)
    said = ""
    try:
        response = httpx.get(f"{echo}{path}" if path else f"http://127.0.0.1:{port}")
        response.raise_for_status()
    except httpx.RequestError as exc:
        said = f"Network error: {exc.request.url}"
    except httpx.HTTPStatusError as exc:
        said = f"HTTP error {exc.response.status_code}: {exc.request.url}"
    except httpx.HTTPError as exc:
        said = f"General HTTP error: {exc}"
    assert said == printed.format(echo=echo, port=port)


def test_basic_digest_and_bearer_authentication(echo: str):
    response = httpx.get(f"{echo}/basic-auth/username/password", auth=("username", "password"))
    assert response.json() == {"authenticated": True, "user": "username"}

    auth = httpx.DigestAuth("username", "password")
    response = httpx.get(f"{echo}/digest-auth/auth/username/password", auth=auth)
    assert response.json() == {"authenticated": True, "user": "username"}

    headers = {"Authorization": "Bearer token123"}
    response = httpx.get(f"{echo}/bearer", headers=headers)
    assert response.json() == {"authenticated": True, "token": "token123"}


# Key differences from requests.


def test_redirects_are_followed_only_on_request(echo: str):
    assert httpx.get(f"{echo}/redirect/1").status_code == 302
    assert httpx.get(f"{echo}/redirect/1", follow_redirects=True).status_code == 200


def test_timeouts_are_five_seconds_by_default():
    with httpx.Client() as client:
        assert client.timeout == httpx.Timeout(5.0)
        assert client.build_request("GET", "https://example.com").extensions["timeout"] == {
            "connect": 5.0,
            "read": 5.0,
            "write": 5.0,
            "pool": 5.0,
        }


def test_the_package_says_that_it_is_typed():
    spec = importlib.util.find_spec("httpx")
    assert spec is not None
    assert spec.origin is not None
    assert (Path(spec.origin).parent / "py.typed").exists()


# Testing and mocking (the packages' own features are tested in tests/ecosystem).


def test_respx_mocks_routes():
    respx = pytest.importorskip("respx")

    @respx.mock
    async def test_api_call() -> None:
        async with httpx.AsyncClient() as client:
            route = respx.get("https://example.org/")
            response = await client.get("https://example.org/")
            assert route.called
            assert response.status_code == 200

    asyncio.run(test_api_call())


def test_pytest_httpx_mocks_responses(request: pytest.FixtureRequest):
    pytest.importorskip("pytest_httpx")
    httpx_mock = request.getfixturevalue("httpx_mock")
    httpx_mock.add_response(url="https://example.com/", json={"status": "ok"})

    response = httpx.get("https://example.com/")
    assert response.json() == {"status": "ok"}


# Performance considerations.


def test_a_hundred_requests_use_one_connection(api: LocalApi):
    client = httpx.Client()
    for i in range(100):
        client.get(f"{api.url}/item/{i}")
    client.close()
    assert api.connections == 1
    assert len(api.asked) == 100


def test_an_async_client_with_connection_limits(api: LocalApi):
    async def main() -> list[httpx.Response]:
        async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=20, max_connections=10)) as client:
            tasks = [client.get(f"{api.url}/item/{i}") for i in range(60)]
            return await asyncio.gather(*tasks)

    assert [response.json()["path"] for response in asyncio.run(main())] == [f"/item/{i}" for i in range(60)]
    assert api.connections <= 10


def test_timeout_configuration_phase_by_phase():
    timeout = httpx.Timeout(
        connect=5.0,
        read=10.0,
        write=10.0,
        pool=None,
    )

    with httpx.Client(timeout=timeout) as client:
        assert client.timeout.as_dict() == {"connect": 5.0, "read": 10.0, "write": 10.0, "pool": None}
