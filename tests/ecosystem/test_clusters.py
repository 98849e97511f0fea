"""Dask: the block of docs/clusters.md, with two worker processes, and what `Client.map` relies on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

import httpx
from httpx._cli.echo_server import EchoServer

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"


@pytest.fixture(scope="module")
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


@pytest.fixture(scope="module")
def page(server: EchoServer) -> Iterator[dict[str, Any]]:
    """What the block has made, with its cluster still up."""
    (block,) = re.findall(r"^```py\n(import dask.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    exec(block.replace(":8000", f":{server.port}"), names)
    yield names
    names["engine"].close()
    names["cluster"].close()


def test_the_recipe_works(page: dict[str, Any]):
    assert page["statuses"] == [200] * 200
    assert [len(part) for part in page["found"]] == [50, 50]


def pid(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=str(os.getpid()))


def test_both_processes_send_and_none_of_them_is_this_one(page: dict[str, Any]):
    client = httpx.Client(transport=httpx.MockTransport(pid), base_url="http://example.org")
    engine = page["engine"].get_executor()
    found = {response.text for response in client.map(["/"] * 40, executor=engine, chunk=5)}
    assert 1 <= len(found) <= 2
    assert str(os.getpid()) not in found


def count_up(request: httpx.Request, seen: list[int] = []) -> httpx.Response:  # noqa: B006  # counts in a worker
    seen.append(1)
    return httpx.Response(200, text=f"{os.getpid()} {len(seen)}")


def test_equal_chunks_are_sent_each(page: dict[str, Any]):
    """Dask takes calls with the same arguments for one: every second request would have another's response."""
    client = httpx.Client(transport=httpx.MockTransport(count_up), base_url="http://example.org")
    responses = client.map(["/"] * 40, executor=page["engine"].get_executor(), chunk=1)
    assert len({response.text for response in responses}) == 40


def test_errors_come_back_with_their_requests(page: dict[str, Any], server: EchoServer):
    client = httpx.Client(base_url=server.url)
    urls = ["/get", "http://127.0.0.1:1/", "/get"]
    outcomes = list(client.map(urls, executor=page["engine"].get_executor(), errors="yield"))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Response", "ConnectError", "Response"]
    with pytest.raises(httpx.ConnectError) as caught:
        list(client.map(urls, executor=page["engine"].get_executor()))
    assert str(caught.value.request.url) == urls[1]
    assert distributed.__version__
