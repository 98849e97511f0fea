"""
Trailers, in both directions: one scenario, run by every engine, over HTTP/1.1 and HTTP/2.

What a machine makes of them is in `test_http1` and `test_stream2`, what an ASGI app sends in `test_asgi_transport`.
"""

from __future__ import annotations

import copy
import gzip
import pickle
from typing import Any

import pytest

import httpx
from support.drivers import Driver
from support.http2 import FramePeer, data, frames_of, prior
from support.servers import ScriptedServer, expect_head, send

pytestmark = pytest.mark.usefixtures("no_leaks")

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Sum: head\r\n"
END = b"0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


# Of a response.


def server_of(protocol: str, *bodies: bytes, coding: bytes = b"") -> ScriptedServer:
    """A server that sends a response with trailers, over as many connections as one test makes."""
    if protocol == "HTTP/1.1":
        field = b"Content-Encoding: %b\r\n" % coding if coding else b""
        pieces = [CHUNKED + field + b"\r\n", *map(chunk, bodies), END]
        return ScriptedServer([expect_head(), send(*pieces)])

    def script(peer: FramePeer) -> None:
        asked = peer.request()
        fields = [(b"x-sum", b"head"), *([(b"content-encoding", coding)] if coding else [])]
        peer.send(peer.head(asked.stream, 200, *fields))
        for body in bodies:
            peer.send(data(asked.stream, body))
        peer.send(peer.trailers(asked.stream, (b"x-sum", b"1"), (b"x-sum", b"2")))
        peer.rest()

    return ScriptedServer(frames_of(script))


def options(protocol: str, url: str) -> dict[str, Any]:
    return {"base_url": url} if protocol == "HTTP/1.1" else prior(url)


protocols = pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])


@protocols
def test_a_response_has_its_trailers_when_it_was_read(driver: Driver, protocol: str):
    async def scenario(client: Any) -> None:
        response = await client.get("/")
        assert (response.http_version, response.text) == (protocol, "ab")
        assert response.trailers.get_list("X-Sum") == ["1", "2"]
        assert response.trailers is response.trailers
        assert response.headers.get_list("x-sum") == ["head"]

    with server_of(protocol, b"a", b"b") as server:
        driver.run(scenario, **options(protocol, server.url))


@protocols
def test_trailers_are_empty_until_a_streamed_body_is_read_to_its_end(driver: Driver, protocol: str):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/") as response:
            assert response.trailers == httpx.Headers()
            body = b""
            async for piece in response.aiter_bytes():
                assert response.trailers == httpx.Headers()
                body += piece
            assert (body, response.trailers["x-sum"]) == (b"abc", "1, 2")

    with server_of(protocol, b"a", b"b", b"c") as server:
        driver.run(scenario, **options(protocol, server.url))


@protocols
@pytest.mark.parametrize("streams", [False, True])
def test_trailers_follow_a_body_that_is_decoded(driver: Driver, protocol: str, streams: bool):
    packed = gzip.compress(b"text" * 100)

    async def scenario(client: Any) -> None:
        if streams:
            async with client.stream("GET", "/") as response:
                await response.aread()
        else:
            response = await client.get("/")
        assert (response.text, response.trailers["x-sum"]) == ("text" * 100, "1, 2")

    with server_of(protocol, packed[:20], packed[20:], coding=b"gzip") as server:
        driver.run(scenario, **options(protocol, server.url))


@protocols
def test_a_response_that_was_closed_unread_has_no_trailers(driver: Driver, protocol: str):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/") as response:
            pass
        assert response.trailers == httpx.Headers()

    with server_of(protocol, b"a") as server:
        driver.run(scenario, **options(protocol, server.url))


def test_a_response_without_trailers_has_none(driver: Driver):
    async def scenario(client: Any) -> None:
        assert (await client.get("/")).trailers == httpx.Headers()

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"a"))
    driver.run(scenario, transport=transport, base_url="http://example.org")


def test_trailers_of_a_drained_redirect_are_kept(driver: Driver):
    moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def scenario(client: Any) -> None:
        response = await client.get("/", follow_redirects=True)
        assert response.trailers == httpx.Headers()
        assert response.history[0].trailers["x-sum"] == "1, 2"

    final = b"HTTP/1.1 204 No Content\r\n\r\n"
    with ScriptedServer([expect_head(), send(moved + chunk(b"a"), END), expect_head(), send(final)]) as server:
        driver.run(scenario, base_url=server.url)


def test_a_response_made_by_hand_may_have_trailers_which_copies_keep():
    response = httpx.Response(200, content=b"a", extensions={"trailers": {"X-Sum": "1"}})
    assert response.trailers["x-sum"] == "1"
    for same in (pickle.loads(pickle.dumps(response)), copy.copy(response)):
        assert same.trailers["x-sum"] == "1"
