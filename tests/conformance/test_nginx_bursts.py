"""
Many requests at once against an nginx that takes few streams at once and ends each connection after a few requests.

Not here: servers made for it (`adversarial/test_http2_bursts.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from support.at_once import Together
from support.engines import driver_named
from support.http2 import prior
from support.running import started
from support.servers import NginxServer

SITE = "listen 127.0.0.1:PORT http2; keepalive_requests 20; http2_max_concurrent_streams 8; " + (
    "location = /id { return 200 $arg_id; }"
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with started(lambda: NginxServer(sites={"few": SITE})) as server:
        yield f"http://127.0.0.1:{server.ports['few']}"


@pytest.mark.parametrize("name", ["sync", "asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("connections", [1, 3, None])
def test_a_burst_against_a_server_that_ends_each_connection_after_a_few_requests(
    name: str, connections: int | None, url: str
):
    """Of 400 requests 160 failed: each GOAWAY refused those that were under way, and that counted as a retry."""
    marks = [f"n{number}" for number in range(300)]

    def ask(mark: str) -> Any:
        async def asks(client: Any) -> str:
            return str((await client.get(f"/id?id={mark}")).text)

        return asks

    limits = httpx.Limits(max_connections=connections)
    run = Together(driver_named(name), **prior(url, limits=limits, timeout=20))
    assert run.run(*[ask(mark) for mark in marks]) == marks
