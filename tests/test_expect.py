"""
Expect: 100-continue through whole clients: one scenario, run by every engine, over HTTP/1.1 and HTTP/2.

When the machines hold a body back is in `test_http1` and `test_http2`.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import httpx
from httpx._engine import limits
from httpx._protocol import frames
from support.answering import PROTOCOLS, Answerer, serving
from support.drivers import Driver
from support.leaks import settled

pytestmark = pytest.mark.usefixtures("no_leaks")

EXPECT = {"Expect": "100-continue"}
URL = "http://example.org/"


@pytest.fixture(params=PROTOCOLS)
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], dict[str, Any]]]:
    """Make a server that does this on each connection; the options of a client for it."""
    with contextlib.ExitStack() as servers:
        yield lambda act: servers.enter_context(serving(request.param, act))


class Refusing:
    """A server that answers 417 to Expect, and 200 to what comes without."""

    def __init__(self, always: bool = False) -> None:
        self.bodies: list[bytes] = []
        self.asked: list[bool] = []
        self.always = always

    def __call__(self, server: Answerer) -> None:
        with contextlib.suppress(AssertionError):  # the client's end
            while True:
                server.take(whole=False)
                expects = b"expect" in server.fields
                self.asked.append(expects)
                if not expects and (b"content-length" in server.fields or b"transfer-encoding" in server.fields):
                    server.body_follows()
                    self.bodies.append(server.body)
                server.final(417 if expects or self.always else 200)
                if expects and server.peer is None:
                    server.conn.read_to_end()  # a body that was held back cannot follow any more
                    return


# 417.


def test_a_refused_expectation_is_dropped_and_the_request_repeated(driver: Driver, serve: Any):
    refusing = Refusing()

    async def scenario(client: Any) -> None:
        response = await client.post("/a", content=b"the body", headers={**EXPECT, "X-A": "1"})
        assert (response.status_code, response.history) == (200, [])
        assert "expect" not in response.request.headers
        assert response.request.headers["x-a"] == "1"
        await settled(client)

    driver.run(scenario, **serve(refusing))
    assert refusing.asked == [True, False]
    assert refusing.bodies == [b"the body"]


def test_a_generator_that_was_not_begun_is_sent_with_the_second_request(driver: Driver, serve: Any):
    refusing = Refusing()

    async def scenario(client: Any) -> None:
        body = driver.body([b"the ", b"body"])
        async with client.stream("PUT", "/", content=body, headers={**EXPECT, "Content-Length": "8"}) as response:
            assert response.status_code == 200

    driver.run(scenario, **serve(refusing))
    assert refusing.asked == [True, False]
    assert refusing.bodies == [b"the body"]


def test_it_is_repeated_once(driver: Driver, serve: Any):
    refusing = Refusing(always=True)

    async def scenario(client: Any) -> None:
        assert (await client.post("/", content=b"body", headers=EXPECT)).status_code == 417
        assert (await client.post("/", content=b"body")).status_code == 417

    driver.run(scenario, **serve(refusing))
    assert refusing.asked == [True, False, False]


def test_a_body_that_has_begun_and_cannot_be_sent_again_is_not_repeated(driver: Driver, serve: Any):
    statuses = []

    def act(server: Answerer) -> None:
        with contextlib.suppress(AssertionError):  # the client's end
            while True:
                server.take()
                statuses.append(417 if b"expect" in server.fields else 200)
                server.final(statuses[-1])

    async def scenario(client: Any) -> None:
        options: dict[str, Any] = {"headers": EXPECT, "extensions": {"expect_timeout": 0}}
        assert (await client.post("/", content=driver.body([b"a"]), **options)).status_code == 417
        assert (await client.post("/", content=b"a", **options)).status_code == 200

    driver.run(scenario, **serve(act))
    assert statuses == [417, 417, 200]


def test_hooks_and_middleware_see_both_requests(driver: Driver, serve: Any):
    seen: list[Any] = []

    def layer(request: httpx.Request) -> Any:
        response = yield request
        seen.append(("layer", "expect" in request.headers, response.status_code))
        return response

    async def scenario(client: Any) -> None:
        client.event_hooks = {
            "request": [driver.hook(lambda request: seen.append("expect" in request.headers))],
            "response": [driver.hook(lambda response: seen.append(response.status_code))],
        }
        await client.post("/", content=b"body", headers=EXPECT, auth=httpx.BasicAuth("user", "password"))

    driver.run(scenario, **serve(Refusing()), middleware=[layer])
    assert seen == [True, ("layer", True, 417), 417, False, ("layer", False, 200), 200]


def test_a_hop_of_a_redirect_is_repeated_too(driver: Driver):
    def respond(request: httpx.Request) -> httpx.Response:
        if "expect" in request.headers and request.url.path == "/b":
            return httpx.Response(417)
        return httpx.Response(307, headers={"Location": "/b"}) if request.url.path == "/a" else httpx.Response(200)

    async def scenario(client: Any) -> None:
        response = await client.post("/a", content=b"body", headers=EXPECT, follow_redirects=True)
        assert (response.status_code, [one.status_code for one in response.history]) == (200, [307])

    driver.run(scenario, transport=httpx.MockTransport(respond), base_url=URL)


@pytest.mark.parametrize("headers", [{}, {"Expect": "other"}])
def test_a_417_for_another_reason_is_the_response(headers: dict[str, str]):
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(417))) as client:
        response = client.post(URL, content=b"body", headers=headers)
        assert (response.status_code, response.request.headers.get("expect")) == (417, headers.get("Expect"))


def test_digest_goes_on_with_the_request_that_was_repeated(driver: Driver):
    asked: list[tuple[bool, bool]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(("expect" in request.headers, "authorization" in request.headers))
        if asked[-1][0]:
            return httpx.Response(417)
        if asked[-1][1]:
            return httpx.Response(200, text=request.content.decode())
        return httpx.Response(401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})

    async def scenario(client: Any) -> None:
        response = await client.post("/", content=b"body", headers=EXPECT)
        assert (response.status_code, response.text) == (200, "body")

    auth = httpx.DigestAuth("user", "password")
    driver.run(scenario, transport=httpx.MockTransport(respond), base_url=URL, auth=auth)
    assert asked[:2] == [(True, False), (False, False)]


# How long it waits.


def holding(server: Answerer, *, seconds: float, consents: bool) -> None:
    """Take a head, look whether the body comes by itself, and answer."""
    server.take(whole=False)
    sock = server.peer.conn.sock if server.peer is not None else server.conn.sock
    if consents:
        while select.select([sock], [], [], seconds)[0]:
            assert server.peer is not None, "the body did not wait"
            assert server.peer.frame()[0] == frames.SETTINGS
        server.interim(100)
    server.body_follows()
    assert server.body == b"body"
    server.final()


def test_a_longer_wait_can_be_asked_for(driver: Driver, serve: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PATIENCE", 0.0)

    async def scenario(client: Any) -> None:
        for seconds in (5, 5.0, None, float("inf")):
            async with driver.client(**options) as other:
                extensions = {"expect_timeout": seconds}
                response = await other.post("/", content=b"body", headers=EXPECT, extensions=extensions)
                assert response.status_code == 200

    def act(server: Answerer) -> None:
        holding(server, seconds=0.02, consents=True)

    options = serve(act)
    driver.run(scenario, **options)


@pytest.mark.parametrize("how", ["no patience", "read", "read, forever"])
def test_a_short_wait_ends_with_the_body(driver: Driver, serve: Any, monkeypatch: pytest.MonkeyPatch, how: str):
    """The read timeout bounds the wait for consent, too: the server may not know what Expect is."""
    monkeypatch.setattr(limits, "PATIENCE", 3600.0 if how == "read" else 0.01)

    async def scenario(client: Any) -> None:
        extensions = {"expect_timeout": 0} if how == "no patience" else {}
        timeout = httpx.Timeout(5, read=0.02) if how == "read" else httpx.Timeout(None)
        body = driver.body([b"bo", b"dy"])
        options = {"headers": {**EXPECT, "Content-Length": "4"}, "extensions": extensions, "timeout": timeout}
        with contextlib.suppress(httpx.ReadTimeout):  # a server that is slow to answer on a busy machine
            await client.post("/", content=body, **options)

    def act(server: Answerer) -> None:
        holding(server, seconds=0, consents=False)

    driver.run(scenario, **serve(act))


@pytest.mark.parametrize("timeout", [httpx.Timeout(5, read=0.05), httpx.Timeout(5, total=0.05)], ids=["read", "total"])
@pytest.mark.parametrize("talks", [False, True], ids=["silent", "talking"])
def test_a_wait_without_an_end_of_its_own_ends_with_the_timeouts(
    driver: Driver, serve: Any, timeout: httpx.Timeout, talks: bool
):
    """aiohttp waits for ever; 102s do not put the end off either. The body is not sent."""

    def act(server: Answerer) -> None:
        server.take(whole=False)
        with contextlib.suppress(OSError):
            for _ in range(200 if talks else 0):
                server.interim(102)
                select.select([], [], [], 0.005)
        if server.peer is None:
            assert server.conn.read_to_end() == b""

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ReadTimeout, match=r"neither 100 \(Continue\) nor a response arrived within"):
            await client.post(
                "/", content=b"body", headers=EXPECT, timeout=timeout, extensions={"expect_timeout": None}
            )
        await settled(client)

    driver.run(scenario, **serve(act))


def test_the_total_timeout_bounds_the_usual_wait(driver: Driver, serve: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PATIENCE", 3600.0)

    def act(server: Answerer) -> None:
        server.take(whole=False)
        if server.peer is None:
            server.conn.read_to_end()

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.TimeoutException, match="total timeout"):
            await client.post("/", content=b"body", headers=EXPECT, timeout=httpx.Timeout(None, total=0.05))
        await settled(client)

    driver.run(scenario, **serve(act))


@pytest.mark.parametrize(
    ("seconds", "error"),
    [("1", TypeError), (True, TypeError), (b"", TypeError), (-1, ValueError), (float("nan"), ValueError)],
)
def test_what_is_no_number_of_seconds_is_refused(seconds: Any, error: Any):
    with pytest.raises(error, match="expect_timeout"):
        httpx.Request("POST", URL, content=b"a", extensions={"expect_timeout": seconds})


# Requests without content.


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_a_request_without_content_has_no_expectation(value: str):
    """The server of botocore#3755 waits for a body that never comes, and the next request is taken for it."""
    headers = {"Expect": value, "X-A": "1"}
    with httpx.Client(headers=headers) as client:
        for request in (
            client.build_request("GET", URL),
            client.build_request("POST", URL),
            client.build_request("POST", URL, params={"a": "b"}),
            client.build_request("POST", URL, content=b""),
            client.build_request("POST", URL, content=""),
            client.build_request("POST", URL, data={}),
            httpx.Request("POST", URL, headers=headers),
            httpx.Request("PUT", URL, headers=headers, content=b"a").copy_with(content=None),
            httpx.Request("PUT", URL, headers=headers, content=b"a").copy_with(content=b""),
        ):
            assert "expect" not in request.headers
            assert request.headers["x-a"] == "1" or request.url.params
        assert client.headers["expect"] == value
        for request in (
            client.build_request("POST", URL, content=b"a"),
            client.build_request("POST", URL, content=iter([b"a"])),
            client.build_request("POST", URL, json=[]),
            client.build_request("POST", URL, content=b"a").copy_with(content=b"b"),
        ):
            assert request.headers["expect"] == value


def test_another_expectation_is_left_alone():
    with httpx.Client(headers={"Expect": "something"}) as client:
        assert client.build_request("GET", URL).headers["expect"] == "something"
