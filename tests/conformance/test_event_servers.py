"""
Event streams of sse-starlette, as it is deployed: on uvicorn and hypercorn, over HTTP/1.1, TLS and HTTP/2, and with
nginx before it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from support.asgi_servers import KINDS, ASGIServer, missing
from support.drivers import Driver
from support.leaks import settled, trusting_context
from support.running import started
from support.servers import NginxServer

pytestmark = [
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.skipif(importlib.util.find_spec("sse_starlette") is None, reason="sse-starlette is not installed"),
]

# (server, how it is reached)
WAYS = [
    *((kind, way) for kind in KINDS for way in ("plain", "tls")),
    ("hypercorn", "http2"),
    ("uvicorn-httptools", "nginx"),
    ("uvicorn-httptools", "nginx over tls"),
]

PASSED_ON = """
    listen 127.0.0.1:PORT;
    listen unix:FOLDER/events;
    location / {
        proxy_pass http://127.0.0.1:UPSTREAM;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_buffering off;
    }
"""
TLS = """
    listen 127.0.0.1:PORT ssl http2;
    ssl_certificate CHAIN;
    ssl_certificate_key KEY;
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, ASGIServer]]:
    """Each kind of server, once."""
    running: dict[str, ASGIServer] = {}
    try:
        for kind in KINDS:
            if not missing(kind):
                running[kind] = ASGIServer(kind)
        yield running
    finally:
        for server in running.values():
            server.close()


@pytest.fixture(scope="module")
def proxy(servers: dict[str, ASGIServer]) -> Iterator[NginxServer]:
    """Nginx before one of them."""
    from support import certs

    chain, key = certs.leaf_files()
    plain = PASSED_ON.replace("UPSTREAM", str(servers["uvicorn-httptools"].port))
    location = plain[plain.index("    location") :]
    secure = TLS.replace("CHAIN", str(chain)).replace("KEY", str(key)) + location
    with started(lambda: NginxServer(sites={"events": plain, "secure": secure})) as nginx:
        yield nginx


@pytest.fixture(params=WAYS, ids=lambda way: " ".join(way).replace(" ", "-"))
def url(request: pytest.FixtureRequest, servers: dict[str, ASGIServer]) -> str:
    """Where the events are."""
    kind, way = request.param
    if kind not in servers:
        pytest.skip(f"{kind} is not installed")
    if way == "plain":
        return servers[kind].url
    if way in ("tls", "http2"):
        return servers[kind].tls_url
    ports = request.getfixturevalue("proxy").ports
    return f"http://127.0.0.1:{ports['events']}" if way == "nginx" else f"https://localhost:{ports['secure']}"


@pytest.fixture
def run(driver: Driver, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a scenario with a client; nothing is in use after it."""
    monkeypatch.setattr("httpx._subscription.LEAST_WAIT", 0.001)
    is_http2 = "http2" in request.node.callspec.id or "over-tls" in request.node.callspec.id

    def run(scenario: Any) -> Any:
        async def whole(client: Any) -> Any:
            result = await scenario(client)
            await settled(client)
            return result

        return driver.run(whole, verify=trusting_context(), trust_env=False, http2=is_http2)

    return run


def test_every_event_comes_once_over_connections_that_end(url: str, run: Any):
    async def scenario(client: Any) -> None:
        async with client.sse(f"{url}/feed?count=7&each=3", reconnect=httpx.Reconnect(delay=0)) as source:
            events = [event async for event in source]
        assert [(event.event, event.id, event.data) for event in events] == [
            ("tick", str(number), f"{number}\u2028é\nsecond line") for number in range(7)
        ]
        assert (source.response.status_code, source.last_event_id, source.reconnection_time) == (204, "6", 0.001)

    run(scenario)


def test_an_event_is_there_before_the_stream_ends(url: str, run: Any):
    async def scenario(client: Any) -> None:
        async with client.sse(f"{url}/feed?count=2&hold=1", last_event_id="0") as source:
            assert source.response.http_version == ("HTTP/2" if client_speaks_http2(client) else "HTTP/1.1")
            async for event in source:
                assert event.id == "1"
                break

    def client_speaks_http2(client: Any) -> bool:
        transport = client._transport
        return bool(transport._given["http2"])

    run(scenario)
