"""
Trailers, in both directions: one scenario, run by every engine, over HTTP/1.1 and HTTP/2.

What a machine makes of them is in `test_http1` and `test_stream2`, what an ASGI app sends in `test_asgi_transport`.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import pickle
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import httpx
from httpx._protocol import frames
from httpx._protocol.exchange import INPUT, OUTPUT
from httpx._protocol.http1 import HTTP1Exchange
from httpx._protocol.http2 import HTTP2Connection
from httpx._protocol.stream2 import LOCAL_DONE
from support.drivers import Driver
from support.frame_reader import split
from support.http2 import FramePeer, data, frames_of, prior
from support.leaks import settled
from support.servers import Conn, ScriptedServer, answer, close, expect_head, send

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


def test_a_body_in_chunks_without_trailers_leaves_none_in_the_extensions(driver: Driver):
    """Each had an empty list there, so that programs which ask whether there are any found some."""

    async def scenario(client: Any) -> None:
        response = await client.get("/")
        assert (response.text, "trailers" in response.extensions) == ("ab", False)

    with ScriptedServer([expect_head(), send(CHUNKED + b"\r\n", chunk(b"ab"), b"0\r\n\r\n")]) as server:
        driver.run(scenario, base_url=server.url)


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


# Of a request.


class Uploads:
    """A server that notes the body and the trailers of each request, over as many connections as there are."""

    def __init__(self, protocol: str, *answers: bytes) -> None:
        self.heads: list[dict[bytes, bytes]] = []
        self.got: list[tuple[bytes, list[tuple[bytes, bytes]]]] = []
        self.answers = list(answers)
        self.protocol = protocol

    def __enter__(self) -> dict[str, Any]:
        self.server = ScriptedServer(self.serve if self.protocol == "HTTP/1.1" else frames_of(self._serve_streams))
        self.server.__enter__()
        return options(self.protocol, self.server.url)

    def __exit__(self, *exc_info: Any) -> None:
        self.server.__exit__(*exc_info)

    def serve(self, conn: Conn, recorded: list[bytes]) -> None:
        """By h11, another reader of HTTP/1.1."""
        peer = h11.Connection(h11.SERVER)
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA:
                received = conn.recv()
                if not received:
                    return
                peer.receive_data(received)
            elif isinstance(event, h11.Request):
                self.heads.append(dict(event.headers))
                body = b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.got.append((body, [(bytes(name), bytes(value)) for name, value in event.headers]))
                location = self.answers.pop(0) if self.answers else b""
                fields = [("Location", location), ("Content-Length", "0")] if location else [("Content-Length", "0")]
                conn.sendall(peer.send(h11.Response(status_code=307 if location else 200, headers=fields)) or b"")
                conn.sendall(peer.send(h11.EndOfMessage()) or b"")
                peer.start_next_cycle()
            else:
                return

    def _serve_streams(self, peer: FramePeer) -> None:
        bodies: dict[int, bytes] = {}
        with contextlib.suppress(AssertionError):  # the client's end
            while True:
                kind, flags, stream, payload = peer.frame()
                trailers: list[tuple[bytes, bytes]] = []
                if kind == frames.HEADERS:
                    fields = [(bytes(name), bytes(value)) for name, value in peer._decoder.decode(payload, raw=True)]
                    if stream in bodies:
                        assert flags & frames.END_STREAM
                        trailers = fields
                    else:
                        self.heads.append(dict(fields))
                        bodies[stream] = b""
                elif kind == frames.DATA:
                    bodies[stream] += payload
                    if payload:
                        size = len(payload)
                        peer.send(frames.window_update(0, size), frames.window_update(stream, size))
                if kind in (frames.HEADERS, frames.DATA) and flags & frames.END_STREAM:
                    self.got.append((bodies[stream], trailers))
                    location = self.answers.pop(0) if self.answers else b""
                    peer.answer(stream, b"", 307 if location else 200, *([(b"location", location)] if location else []))


def summing(driver: Driver, sums: Any, *pieces: bytes) -> Any:
    """A body that is in chunks, and puts its sum into the trailers at its end."""

    def body() -> Iterator[bytes]:
        crc = 0
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
            yield piece
        sums["X-Checksum-CRC32"] = f"{crc:08x}"

    async def later() -> AsyncIterator[bytes]:
        for piece in body():
            await driver.pause()
            yield piece

    return later() if driver.is_async else body()


@protocols
@pytest.mark.parametrize("size", [3, 70_000, 300_000])
def test_trailers_are_read_when_the_body_was_sent(driver: Driver, protocol: str, size: int):
    uploads = Uploads(protocol)
    pieces = [b"abc"[:size], bytes(size)]

    async def scenario(client: Any) -> None:
        sums = httpx.Headers()
        response = await client.put("/", content=summing(driver, sums, *pieces), trailers=sums)
        assert response.status_code == 200
        assert response.request.trailers is sums

    with uploads as options:
        driver.run(scenario, **options)
    crc = b"%08x" % zlib.crc32(b"".join(pieces))
    assert uploads.got == [(b"".join(pieces), [(b"x-checksum-crc32", crc)])]
    assert b"trailer" not in uploads.heads[0]  # nothing was known yet


@protocols
def test_trailers_of_each_method_that_has_a_body(driver: Driver, protocol: str):
    uploads = Uploads(protocol)

    async def scenario(client: Any) -> None:
        for send_one in (client.post, client.put, client.patch):
            await send_one("/", content=b"body", trailers={"X-A": "1"})
        await client.request("POST", "/", json=[], trailers=[("X-A", "1"), ("X-A", "2")])
        async with client.stream("POST", "/", data={"a": "b"}, trailers={b"X-A": b" 1 "}):
            pass
        await client.send(client.build_request("POST", "/", content=b"", trailers={"X-A": "1"}))

    with uploads as options:
        driver.run(scenario, **options)
    one = [(b"x-a", b"1")]
    assert uploads.got[:3] == [(b"body", one)] * 3
    assert uploads.got[3:] == [(b"[]", [*one, (b"x-a", b"2")]), (b"a=b", one), (b"", one)]
    for head in uploads.heads:
        assert head[b"trailer"].lower() == b"x-a"
        assert b"content-length" not in head
        assert head.get(b"transfer-encoding") == (b"chunked" if protocol == "HTTP/1.1" else None)


@protocols
def test_trailers_that_stay_empty_are_not_sent(driver: Driver, protocol: str):
    uploads = Uploads(protocol)

    async def scenario(client: Any) -> None:
        await client.post("/", content=driver.body([b"a"]), trailers={})

    with uploads as options:
        driver.run(scenario, **options)
    assert uploads.got == [(b"a", [])]


@protocols
@pytest.mark.parametrize(
    ("trailers", "message"),
    [
        ({"Content-Length": "1"}, "'Content-Length' cannot be a trailer"),
        ({"transfer-encoding": "chunked"}, "cannot be a trailer"),
        ({"HOST": "example.org"}, "cannot be a trailer"),
        ({"Authorization": "Basic x"}, "cannot be a trailer"),
        ({"Content-Encoding": "gzip"}, "cannot be a trailer"),
        ({"Content-Type": "text/plain"}, "cannot be a trailer"),
        ({"Trailer": "X"}, "cannot be a trailer"),
        ({"TE": "trailers"}, "cannot be a trailer"),
        ({"X A": "1"}, "is not a token"),
    ],
)
def test_a_trailer_that_is_not_legal_ends_the_request(driver: Driver, protocol: str, trailers: Any, message: str):
    uploads = Uploads(protocol)

    async def scenario(client: Any) -> None:
        filled: dict[str, str] = {}

        def body() -> Iterator[bytes]:
            yield b"a"
            filled.update(trailers)

        with pytest.raises(httpx.LocalProtocolError, match=message):
            await client.post("/", content=body(), trailers=filled)
        await settled(client)

    with uploads as options:
        driver.run(scenario, **options)
    assert uploads.got == []


def test_a_body_with_a_length_or_no_body_has_no_trailers():
    for headers in ({"Content-Length": "1"}, [(b"content-length", b"1")]):
        with pytest.raises(httpx.LocalProtocolError, match="trailers cannot follow a body with a Content-Length"):
            httpx.Request("POST", "http://example.org/", content=iter([b"a"]), headers=headers, trailers={})
    with httpx.Client() as client, pytest.raises(TypeError, match="trailers need a body"):
        client.build_request("GET", "http://example.org/", trailers={"X": "1"})
    with pytest.raises(TypeError, match="trailers need a body"):
        httpx.Request("GET", "http://example.org/", trailers={})


@protocols
def test_a_redirect_that_repeats_the_body_reads_the_trailers_again(driver: Driver, protocol: str):
    uploads = Uploads(protocol, b"/there")
    trailers: dict[str, str] = {}
    passes = 0

    class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal passes
            passes += 1
            yield b"a"
            trailers["x-pass"] = str(passes)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self:
                yield piece

    async def scenario(client: Any) -> None:
        response = await client.post("/", content=Body(), trailers=trailers, follow_redirects=True)
        assert response.request.trailers is trailers

    with uploads as options:
        driver.run(scenario, **options)
    assert uploads.got == [(b"a", [(b"x-pass", b"1")]), (b"a", [(b"x-pass", b"2")])]


def test_a_request_that_is_sent_again_on_another_connection_has_its_trailers_again(driver: Driver):
    uploads = Uploads("HTTP/1.1")
    first = [answer(), expect_head(), close()]

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        steps, first[:] = [*first], []
        for step in steps:
            step(conn)
        if not steps:
            uploads.serve(conn, recorded)

    async def scenario(client: Any) -> None:
        await client.get("/")
        assert (await client.put("/", content=b"body", trailers={"X-A": "1"})).status_code == 200

    with ScriptedServer(serve) as server:
        driver.run(scenario, base_url=server.url)
    assert uploads.got == [(b"body", [(b"x-a", b"1")])]


def test_copies_keep_the_trailers_with_the_body_and_drop_them_with_it():
    request = httpx.Request("POST", "http://example.org/", content=b"a", trailers={"X-A": "1"})
    assert request.read() == b"a"
    for same in (pickle.loads(pickle.dumps(request)), request.copy_with(url="/there")):
        assert same.trailers == {"X-A": "1"}
        assert same.headers["transfer-encoding"] == "chunked"
    other = request.copy_with(content=b"b")
    assert (other.trailers, other.headers.get("trailer"), other.headers["content-length"]) == (None, None, "1")
    assert request.copy_with(method="GET").trailers is None
    moved = httpx.Response(303, headers={"Location": "/there"}, request=request)
    with httpx.Client() as client:
        assert client._build_redirect_request(request, moved).trailers is None


# The machines, by what other software reads.

NAMES = st.from_regex(r"[xX]-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,10}", fullmatch=True).map(str.encode)
VALUES = st.binary(max_size=20).map(lambda value: bytes(byte for byte in value if 0x20 < byte < 0x7F))
TRAILERS = st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=5)
BODIES = st.lists(st.binary(max_size=200), max_size=5)
LIMITED = settings(max_examples=60, deadline=None)
FIELDS = [(b"Host", b"example.org"), (b"Transfer-Encoding", b"chunked")]


def lowered(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in fields]


@LIMITED
@given(BODIES, TRAILERS)
def test_h11_reads_what_the_machine_of_http1_writes(bodies: list[bytes], trailers: list[tuple[bytes, bytes]]):
    exchange = HTTP1Exchange(b"POST", b"/", FIELDS, b"", True)
    for body in bodies:
        exchange.feed(body)
    exchange.feed(None, trailers)
    peer = h11.Connection(h11.SERVER)
    while exchange.need == OUTPUT:
        peer.receive_data(exchange.take())
    events = list(iter(peer.next_event, h11.NEED_DATA))[1:]
    assert b"".join(bytes(event.data) for event in events[:-1]) == b"".join(bodies)
    assert [(bytes(name), bytes(value)) for name, value in events[-1].headers] == lowered(trailers)
    assert exchange.need == INPUT


@LIMITED
@given(BODIES, TRAILERS, st.integers(1, 3))
def test_h2_reads_what_the_machine_of_http2_writes(
    bodies: list[bytes], trailers: list[tuple[bytes, bytes]], requests: int
):
    connection = HTTP2Connection()
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    peer.initiate_connection()
    for _ in range(requests):  # the tables of both sides go on from one to the next
        stream = connection.open(b"https", b"POST", b"/", FIELDS, b"", True)
        for body in bodies:
            stream.feed(body)
        stream.feed(None, trailers)
        assert stream.need == INPUT
        events = peer.receive_data(connection.take())
        ((seen,),) = [[event for event in events if isinstance(event, h2.events.TrailersReceived)]]
        assert [(bytes(name), bytes(value)) for name, value in seen.headers] == lowered(trailers)
        assert b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived)) == b"".join(bodies)
        assert seen.stream_ended is not None


def test_trailers_wait_until_the_windows_have_let_all_of_the_body_out():
    connection = HTTP2Connection()
    stream = connection.open(b"https", b"POST", b"/", FIELDS, b"", True)
    connection.take()
    stream.feed(bytes(100_000))
    stream.feed(None, [(b"X-A", b"1")])
    sent = b""
    while connection.output:
        sent += connection.take()
    assert [kind for kind, *_ in split(sent, frames.LARGEST_FRAME_SIZE)[0]] == [frames.DATA] * 4
    connection.receive(frames.settings({}) + frames.window_update(0, 100_000) + frames.window_update(1, 100_000))
    last = [frame for frame in split(connection.take(), frames.LARGEST_FRAME_SIZE)[0] if frame[2] == 1]
    assert [(kind, bool(flags & frames.END_STREAM)) for kind, flags, _, _ in last] == [
        *[(frames.DATA, False)] * (len(last) - 1),
        (frames.HEADERS, True),
    ]
    assert stream.state == LOCAL_DONE


def test_trailers_after_the_end_or_after_an_early_response_are_dropped():
    connection = HTTP2Connection()
    stream = connection.open(b"https", b"POST", b"/", FIELDS, b"", True)
    connection.take()
    stream.cut_short()
    stream.feed(None, [(b"X-A", b"1")])
    assert connection.take() == b""
    exchange = HTTP1Exchange(b"POST", b"/", FIELDS, b"", True)
    exchange.take()
    exchange.feed(None)
    exchange.take()
    exchange.feed(None, [(b"X-A", b"1")])
    assert exchange.need == INPUT


def test_the_machine_of_http1_needs_chunks_for_trailers():
    exchange = HTTP1Exchange(b"POST", b"/", [(b"Host", b"example.org"), (b"Content-Length", b"1")], b"", True)
    exchange.feed(b"a")
    with pytest.raises(httpx.LocalProtocolError, match="trailers need a request with Transfer-Encoding: chunked"):
        exchange.feed(None, [(b"X-A", b"1")])


@pytest.mark.parametrize("value", [b"a\r\nX-B: 1", b"a\nb", b"a\0"])
def test_a_trailer_cannot_bring_other_lines(value: bytes):
    for make in (lambda: HTTP1Exchange(b"POST", b"/", FIELDS, b"", True), _stream):
        exchange: Any = make()
        with pytest.raises(httpx.LocalProtocolError, match="'X-A' contains a"):
            exchange.feed(None, [(b"X-A", value)])


def _stream() -> Any:
    return HTTP2Connection().open(b"https", b"POST", b"/", FIELDS, b"", True)
