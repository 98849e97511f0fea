"""
The engines against servers that others wrote in Python: uvicorn (on h11 and on httptools), hypercorn, and the standard
library's, which speaks HTTP/1.0.

What they add to nginx: upgrades to a websocket, answers before the body was read, bodies that end in the middle, and a
close_notify that comes long before the end of the connection.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

import pytest

import httpx
from support import certs
from support.asgi_servers import KINDS, PIECE, ASGIServer, missing
from support.drivers import Driver
from support.engines import ALL_NAMES, ASYNC_NAMES, driver_named
from support.leaks import settled, trusting_context
from support.servers import ScriptedServer, answer, close_notify, signal, wait
from support.together import together

BIG = random.Random("big").randbytes(2_000_003)


@pytest.fixture(params=ALL_NAMES)
def driver(request: pytest.FixtureRequest) -> Driver:
    return driver_named(request.param)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[ASGIServer]:
    absent = missing(request.param)
    if absent and os.environ.get("HTTPX_REQUIRE_SERVERS") != "1":
        pytest.skip(f"not installed: {', '.join(absent)}")
    with ASGIServer(request.param) as server:
        yield server


@pytest.fixture(params=["http", "https"])
def run(request: pytest.FixtureRequest, driver: Driver, server: ASGIServer, no_leaks: None) -> Callable[..., Any]:
    """Runs a scenario on the driver with a client for the server; nothing may be in use afterwards."""
    return functools.partial(run_on, driver, server.url if request.param == "http" else server.tls_url)


def run_on(driver: Driver, url: str, scenario: Callable[..., Any], **options: Any) -> Any:
    async def whole(client: Any) -> Any:
        result = await scenario(client)
        await settled(client)
        return result

    return driver.run(whole, base_url=url, verify=trusting_context(), trust_env=False, **options)


def digest(body: bytes) -> str:
    """As the server says it."""
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"


def test_small_answers_come_over_one_connection(run: Any):
    async def scenario(client: Any) -> None:
        responses = [await client.get("/id", params={"id": str(number)}) for number in range(5)]
        assert [response.text for response in responses] == [str(number) for number in range(5)]
        assert len({response.headers["X-Connection"] for response in responses}) == 1
        assert responses[0].http_version == "HTTP/1.1"

    run(scenario)


def test_answers_in_pieces(run: Any):
    async def scenario(client: Any) -> None:
        whole = await client.get("/pieces")
        assert whole.headers["Transfer-Encoding"] == "chunked"
        assert whole.content == PIECE * 20
        async with client.stream("GET", "/pieces") as streamed:
            lines = [line async for line in streamed.aiter_lines()]
        assert lines == [PIECE.decode("ascii").rstrip()] * 20
        head = await client.head("/pieces")
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.get("/id?id=after")).text == "after"

    run(scenario)


def test_uploads(run: Any, driver: Driver):
    async def scenario(client: Any) -> None:
        for size in (0, 1, 70_000, len(BIG)):
            response = await client.post("/digest", content=BIG[:size])
            assert response.text == digest(BIG[:size])
        halves = [BIG[:1_000_000], BIG[1_000_000:]]
        response = await client.put("/digest", content=driver.body(halves))
        assert response.text == digest(BIG)
        assert response.request.headers["Transfer-Encoding"] == "chunked"
        response = await client.post("/digest", content=driver.body([b"%d," % number for number in range(200)]))
        assert response.text == digest(b"".join(b"%d," % number for number in range(200)))
        response = await client.post("/digest", files={"file": ("name.bin", BIG)})
        assert response.text.split()[0] == response.request.headers["Content-Length"]

    run(scenario)


def test_an_upload_that_asks_first(run: Any, driver: Driver, server: ASGIServer):
    async def scenario(client: Any) -> None:
        for content in (BIG, driver.body([BIG])):
            response = await client.post("/digest", content=content, headers={"Expect": "100-continue"})
            assert response.text == digest(BIG)
            assert [status for status, _ in response.extensions["informational"]] == [100]
        refused = await client.post("/unread", content=BIG, headers={"Expect": "100-continue"})
        assert refused.text == "unread"
        if server.kind != "hypercorn":  # says 100 whether or not anybody wants the body
            assert "informational" not in refused.extensions
        assert (await client.get("/id?id=after")).text == "after"

    run(scenario)


def test_an_answer_before_the_body_was_read(run: Any, driver: Driver, server: ASGIServer):
    """Whether the rest is still sent is the client's choice; the answer and the next request are not to suffer."""

    async def scenario(client: Any) -> None:
        for content in (BIG, driver.body([BIG[:10_000]] * 200)):
            # hypercorn keeps a connection whose request it has not read, and answers nothing more on it.
            headers = {"Connection": "close"} if server.kind == "hypercorn" else {}
            response = await client.post("/unread", content=content, headers=headers)
            assert response.text == "unread"
            assert (await client.get("/id?id=after")).text == "after"

    run(scenario)


def test_a_body_that_ends_in_the_middle_is_an_error(run: Any):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/cut")
        async with client.stream("GET", "/cut") as response:
            assert response.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                await response.aread()
        assert (await client.get("/id?id=after")).text == "after"

    run(scenario)


def test_a_websocket(run: Any):
    """Everything behind the 101 belongs to whoever has the network stream."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }

    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/echo", headers=handshake) as response:
            assert response.status_code == 101
            assert response.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            stream = response.extensions["network_stream"]
            for message in (b"hello", b"again"):
                await called(stream.write, frame(1, message))
                assert await read_frame(stream) == (1, message.upper())
            await called(stream.write, frame(8, b"\x03\xe8"))
            assert (await read_frame(stream))[0] == 8
            assert await called(stream.read, 100, 5) == b""
        assert (await client.get("/id?id=after")).text == "after"

    run(scenario)


async def called(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a method that is async on async engines only."""
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


def frame(opcode: int, payload: bytes) -> bytes:
    """A websocket frame of a client (RFC 6455 5.2): small, whole, and masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def read_frame(stream: Any) -> tuple[int, bytes]:
    """Opcode and payload of a server's small frame, read byte by byte."""
    head = [(await called(stream.read, 1, 5))[0] for _ in range(2)]
    payload = b""
    while len(payload) < head[1]:
        payload += await called(stream.read, 1, 5)
    return head[0] & 0x0F, payload


@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_a_hundred_requests_at_once_get_their_own_answers(name: str, server: ASGIServer, no_leaks: None):
    async def scenario(client: Any) -> None:
        async def get(number: int) -> None:
            response = await client.get("/id", params={"id": f"n{number}"})
            assert response.text == f"n{number}"
            assert (await client.post("/digest", content=BIG[:number])).text == digest(BIG[:number])

        await together([functools.partial(get, number) for number in range(100)])

    run_on(driver_named(name), server.url, scenario, limits=httpx.Limits(max_connections=10))


# The standard library's server: HTTP/1.0 unless it is told otherwise.


class OldHandler(BaseHTTPRequestHandler):
    """Answers as HTTP/1.0: by the end of the connection, or with a length and `keep-alive`."""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/kept":
            self.send_header("Content-Length", "4")
            self.send_header("Connection", "keep-alive")
            self.close_connection = False
        self.send_header("X-Connection", str(self.client_address[1]))
        self.end_headers()
        self.wfile.write(b"kept" if self.path == "/kept" else BIG)

    def do_POST(self) -> None:
        received = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(digest(received).encode("ascii"))

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def old_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), OldHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_answers_of_http_1_0(driver: Driver, old_server: str, no_leaks: None):
    async def scenario(client: Any) -> None:
        ended = [await client.get("/") for _ in range(2)]
        assert {response.http_version for response in ended} == {"HTTP/1.0"}
        assert [response.content == BIG for response in ended] == [True, True]
        assert len({response.headers["X-Connection"] for response in ended}) == 2
        kept = [await client.get("/kept") for _ in range(3)]
        assert [response.text for response in kept] == ["kept"] * 3
        assert len({response.headers["X-Connection"] for response in kept}) == 1
        posted = await client.post("/", content=BIG)
        assert posted.text == digest(BIG)

    run_on(driver, old_server, scenario)


# What real servers do only sometimes, played by a script: their word over TLS that nothing more comes, right behind an
# answer, while the connection below stays open because they wait for ours.


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_whose_tls_session_ended_with_the_answer_is_not_used_again(
    driver: Driver, method: str, no_leaks: None
):
    """The harm: the next request waited for an answer until its read timeout, and a POST could not be sent again."""
    ended, over = threading.Event(), threading.Event()
    first = [answer(b"first"), close_notify(), signal(ended), wait(over)]

    def trace(event: str, info: dict[str, Any]) -> None:
        # Not before both have arrived, so that one look at the socket finds both.
        if event == "http11.receive_response_headers.started":
            assert ended.wait(5)

    async def async_trace(event: str, info: dict[str, Any]) -> None:
        trace(event, info)

    async def scenario(client: Any) -> None:
        try:
            traced = {"trace": async_trace if driver.is_async else trace}
            assert (await client.get("/", extensions=traced)).text == "first"
            assert (await client.request(method, "/", timeout=2)).text == "second"
        finally:
            over.set()

    with ScriptedServer(first, [answer(b"second")], tls=certs.server_context()) as server:
        run_on(driver, server.url, scenario)
        server.wait_until_idle(2)
