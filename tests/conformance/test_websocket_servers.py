"""
WebSockets with servers of the field: uvicorn with both of its implementations, hypercorn, and nginx as a proxy.

Autobahn's cases are run by `scripts/autobahn`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from httpx.websockets import WebSocketDisconnect
from support.asgi_servers import KINDS, ASGIServer, missing
from support.drivers import Driver
from support.running import started
from support.servers import NginxServer

pytestmark = pytest.mark.usefixtures("no_leaks")

FRONT = """
    listen 127.0.0.1:PORT;
    location / {
        proxy_pass TARGET;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }
"""


@pytest.fixture(scope="module", params=sorted(KINDS))
def server(request: pytest.FixtureRequest) -> Iterator[ASGIServer]:
    absent = missing(request.param)
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    with ASGIServer(request.param) as running:
        yield running


@pytest.fixture(params=("sync", "asyncio", "trio"))
def driver(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


async def talk(client: Any, url: str, **options: Any) -> Any:
    async with client.websocket(f"{url}/echo", **options) as ws:
        await ws.send("hello")
        await ws.send("x" * 100_000)
        pong = await ws.ping()
        found = [await ws.receive(timeout=5), len(await ws.receive(timeout=5)), await pong.wait(timeout=5)]
        await ws.close(1000)
        with pytest.raises(WebSocketDisconnect):
            await ws.receive()
        return [*found, ws.close_code]


def test_messages_go_both_ways_and_the_closing_handshake_is_whole(driver: Driver, server: ASGIServer):
    assert driver.run(talk, server.url) == ["HELLO", 100_000, True, 1000]


def test_over_tls(driver: Driver, server: ASGIServer, trusting: Any):
    assert driver.run(talk, server.tls_url, verify=trusting) == ["HELLO", 100_000, True, 1000]


def test_over_http_2(driver: Driver, server: ASGIServer, trusting: Any):
    if server.kind != "hypercorn":
        pytest.skip("uvicorn does not speak HTTP/2")

    async def scenario(client: Any, url: str) -> Any:
        await client.get(f"{url}/id?id=1")  # so that there is a connection
        async with client.websocket(f"{url}/echo") as ws:
            assert ws.http_version == "HTTP/2"
        return await talk(client, url)

    assert driver.run(scenario, server.tls_url, http2=True, verify=trusting) == ["HELLO", 100_000, True, 1000]


def test_with_compression(driver: Driver, server: ASGIServer):
    assert driver.run(partial(talk, compression=True), server.url) == ["HELLO", 100_000, True, 1000]


def test_through_nginx(driver: Driver, server: ASGIServer):
    with started(lambda: NginxServer(sites={"front": FRONT.replace("TARGET", server.url)})) as nginx:
        assert driver.run(talk, f"http://127.0.0.1:{nginx.ports['front']}") == ["HELLO", 100_000, True, 1000]
