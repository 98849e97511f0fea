"""Compression of request bodies: `compress=`, by our decoders and by the libraries."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import sys
import threading
import types
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import brotli  # type: ignore[import-untyped]  # has no stubs
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import httpx
from httpx import _decoders, _encoders
from httpx._bytestreams import AsyncByteStream, SyncByteStream
from httpx._content import in_async
from httpx._decoders import get_decoder
from httpx._encoders import CODINGS, MIN_SIZE, STEP, Encoder, compressed
from support.answering import PROTOCOLS, Answerer, serving
from support.drivers import Driver, run_on_loop

URL = "http://example.org/"
TEXT = b"the same again and again, " * 100
NOISE = random.Random("noise").randbytes(5_000)
EMPTY = b""

codings = pytest.mark.parametrize("coding", CODINGS)


def by_library(coding: str, data: bytes) -> bytes:
    """The content, by the library's own function."""
    if coding == "gzip":
        return gzip.decompress(data)
    if coding == "deflate":
        return zlib.decompress(data)
    return (
        bytes(brotli.decompress(data))
        if coding == "br"
        else zstandard.ZstdDecompressor().decompressobj().decompress(data)
    )


def by_decoder(coding: str, data: bytes) -> bytes:
    """The content, by the decoder of a response."""
    decoder = get_decoder([coding])
    assert decoder is not None
    return b"".join([*decoder.decode(data), *decoder.flush()])


def content_of(request: httpx.Request) -> bytes:
    """What the body of a request says; both readers must agree."""
    coding, data = request.headers["content-encoding"], request.read()
    content = by_library(coding, data)
    assert by_decoder(coding, data) == content
    return content


def build(**options: Any) -> httpx.Request:
    with httpx.Client() as client:
        return client.build_request("POST", URL, **options)


# Bodies in memory.


@codings
def test_a_body_in_memory_is_compressed_when_the_request_is_built(coding: str):
    request = build(content=TEXT, compress=coding)
    assert request.headers["content-encoding"] == coding
    assert request.headers["content-length"] == str(len(request.content))
    assert len(request.content) < len(TEXT) / 5
    assert content_of(request) == TEXT
    assert request.is_replayable
    assert content_of(pickle.loads(pickle.dumps(request))) == TEXT


@pytest.mark.parametrize(
    "options",
    [{"json": ["text"] * 300}, {"data": {"a": "b" * 2000}}, {"content": TEXT.decode()}],
    ids=["json", "form", "text"],
)
def test_every_kind_of_body_is_compressed(options: Any):
    request, plain = build(**options, compress="gzip"), build(**options)
    assert content_of(request) == plain.content
    assert request.headers.get("content-type") == plain.headers.get("content-type")


@codings
@pytest.mark.parametrize("content", [b"", b"a", b"a" * (MIN_SIZE - 1), NOISE], ids=["empty", "one", "small", "noise"])
def test_a_body_that_is_small_or_would_not_become_smaller_stays_as_it_is(coding: str, content: bytes):
    request = build(content=content, compress=coding)
    assert "content-encoding" not in request.headers
    assert (request.content, request.headers["content-length"]) == (content, str(len(content)))
    assert "content-encoding" in build(content=b"a" * MIN_SIZE, compress=coding).headers


def test_a_request_without_a_body_is_left_alone():
    with httpx.Client(compress="gzip") as client:
        for method in ("GET", "POST"):
            assert "content-encoding" not in client.build_request(method, URL, params={"a": "b"}).headers


# Streams.


@codings
def test_a_stream_is_compressed_while_it_is_sent(coding: str):
    request = build(content=iter([TEXT, b"", bytearray(b"x"), TEXT]), compress=coding)
    assert (request.headers["content-encoding"], request.headers["transfer-encoding"]) == (coding, "chunked")
    with pytest.raises(httpx.RequestNotRead):
        request.content  # noqa: B018
    assert not request.is_replayable
    assert content_of(request) == TEXT + b"x" + TEXT


def test_a_file_loses_its_length_and_can_be_sent_again():
    request = build(content=io.BytesIO(TEXT), compress="gzip")
    assert "content-length" not in request.headers
    assert request.is_replayable
    assert isinstance(request.stream, SyncByteStream)
    assert gzip.decompress(b"".join(request.stream)) == gzip.decompress(b"".join(request.stream)) == TEXT


def test_a_length_that_the_caller_gives_a_stream_is_not_that_of_the_compressed_one():
    request = build(content=iter([TEXT]), headers={"Content-Length": str(len(TEXT))}, compress="gzip")
    assert "content-length" not in request.headers
    assert request.headers["transfer-encoding"] == "chunked"


def test_a_multipart_body_is_compressed_as_a_whole():
    request = build(files={"f": ("a.txt", TEXT)}, data={"a": "b"}, compress="zstd")
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    content = content_of(request)
    assert content.startswith(b"--" + boundary)
    assert TEXT in content


@codings
@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 3 * STEP).map(bytes)), max_size=6))
def test_however_a_body_is_cut_its_content_is_the_same(coding: str, pieces: list[bytes]):
    stream = compressed(_Both(pieces), coding)
    assert isinstance(stream, SyncByteStream)
    assert isinstance(stream, AsyncByteStream)
    packed = b"".join(stream)
    assert by_library(coding, packed) == by_decoder(coding, packed) == b"".join(pieces)

    async def main() -> bytes:
        return b"".join([piece async for piece in stream])

    assert run_on_loop_of_its_own(main) == packed


def run_on_loop_of_its_own(main: Any) -> Any:
    import asyncio

    return run_on_loop(asyncio.new_event_loop(), main())


class _Both(SyncByteStream, AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 10


@pytest.mark.parametrize("kind", ["sync", "async", "both"])
def test_a_large_piece_is_taken_in_steps_that_let_a_loop_go_on(kind: str):
    """A piece of 100 MB would otherwise hold the event loop for seconds."""
    pieces = [bytes(10 * STEP + 1)]
    stream: Any = {
        "sync": httpx.Request("POST", URL, content=iter(pieces)).stream,
        "async": httpx.Request("POST", URL, content=_Both(pieces).__aiter__()).stream,
        "both": _Both(pieces),
    }[kind]

    async def main() -> list[bytes]:
        return [piece async for piece in in_async(compressed(stream, "gzip"))]

    steps = run_on_loop_of_its_own(main)
    assert len(steps) == 12
    assert EMPTY in steps
    assert gzip.decompress(b"".join(steps)) == pieces[0]


def test_a_pipe_is_read_beside_the_event_loop_from_its_beginning(driver: Driver):
    """Its first read may wait without limit, and held the loop."""
    if not driver.is_async:
        pytest.skip("a thread may wait")
    reader, writer = os.pipe()
    turns: list[int] = []

    async def scenario(client: Any) -> None:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            stream = client.build_request("POST", "/", content=pipe, compress="gzip").stream
            pieces = in_async(stream).__aiter__()
            thread = threading.Thread(target=write)
            thread.start()
            packed = b"".join([piece async for piece in pieces])
            thread.join()
        assert gzip.decompress(packed) == b"at last"

    def write() -> None:
        assert loop_runs.wait(5), "the loop did not run while the pipe was read"
        os.write(writer, b"at last")
        os.close(writer)

    loop_runs = threading.Event()

    async def beside(client: Any) -> None:
        if driver.name == "trio":
            import trio

            async with trio.open_nursery() as nursery:
                nursery.start_soon(scenario, client)
                await trio.sleep(0.01)
                loop_runs.set()
        else:
            import asyncio

            task = asyncio.ensure_future(scenario(client))
            await asyncio.sleep(0.01)
            loop_runs.set()
            await task
        turns.append(1)

    driver.run(beside, base_url=URL)
    assert turns == [1]


def test_a_piece_that_is_not_bytes_is_refused():
    with pytest.raises(TypeError, match="a body yields int, expected bytes"):
        build(content=iter([1]), compress="gzip").read()


def test_an_abandoned_body_ends_the_generator_that_it_is_made_of(driver: Driver):
    ended: list[int] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield NOISE * 20
            yield NOISE
        finally:
            ended.append(1)

    async def later() -> AsyncIterator[bytes]:
        try:
            yield NOISE * 20
            yield NOISE
        finally:
            ended.append(1)

    async def scenario() -> None:
        stream: Any = compressed(
            httpx.Request("POST", URL, content=later() if driver.is_async else pieces()).stream, "br"
        )
        if driver.is_async:
            await stream.__aiter__().__anext__()
            await stream.aclose()
        else:
            iterator = iter(stream)
            next(iterator)
            iterator.close()
            stream.close()

    driver.run_bare(scenario)
    assert ended == [1]


def test_iterators_of_other_kinds_than_generators_will_do():
    class Plain(SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter([TEXT])

    plain = compressed(Plain(), "gzip")
    assert isinstance(plain, SyncByteStream)
    assert gzip.decompress(b"".join(plain)) == TEXT
    pieces = compressed(_Both([TEXT]), "gzip").__aiter__()  # type: ignore[union-attr]  # it has both

    async def main() -> bytes:
        return b"".join([piece async for piece in pieces])  # an iterator by itself

    assert gzip.decompress(run_on_loop_of_its_own(main)) == TEXT


def test_closing_and_repeating_are_those_of_the_body():
    source = _Both([b"a"])
    stream: Any = compressed(source, "gzip")
    stream.close()
    assert (source.closed, stream._can_begin(), stream._can_repeat()) == (1, True, False)
    once: Any = compressed(httpx.Request("POST", URL, content=iter([b"a"])).stream, "gzip")
    assert once._can_begin()
    assert b"".join(once)
    assert not once._can_begin()
    assert compressed(httpx.Request("POST", URL, content=[b"a"]).stream, "gzip")._can_repeat()  # type: ignore[union-attr]


# Through clients.


@pytest.fixture(params=PROTOCOLS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Options for a server that takes three requests, and the Content-Encoding and body of each."""
    got: list[Any] = []

    def act(server: Answerer) -> None:
        for _ in range(3):
            server.take(whole=False)
            server.body_follows()
            body, coding = server.body, server.fields.get(b"content-encoding", b"").decode()
            if server.fields.get(b"transfer-encoding") == b"chunked":
                body = _unchunked(body)
            got.append((coding, by_library(coding, body) if coding else body))
            server.final()

    with serving(request.param, act) as options:
        yield options, got


def _unchunked(body: bytes) -> bytes:
    content, rest = b"", body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return content
        content += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]


@codings
def test_bodies_arrive_compressed(driver: Driver, server: Any, coding: str):
    options, got = server

    async def scenario(client: Any) -> None:
        await client.post("/", content=TEXT, compress=coding)
        await client.put("/", content=driver.body([TEXT] * 3), compress=coding)
        async with client.stream("PATCH", "/", content=[TEXT, NOISE], compress=coding) as response:
            assert response.status_code == 200

    driver.run(scenario, **options)
    assert got == [(coding, TEXT), (coding, TEXT * 3), (coding, TEXT + NOISE)]


def test_the_client_has_a_coding_for_all_its_requests(driver: Driver, server: Any):
    options, got = server

    async def scenario(client: Any) -> None:
        await client.post("/", content=TEXT)
        await client.request("POST", "/", content=TEXT, compress=None)
        packed = gzip.compress(TEXT)
        await client.patch("/", content=packed, headers={"Content-Encoding": "gzip"})  # compressed already

    driver.run(scenario, **options, compress="zstd")
    assert got == [("zstd", TEXT), ("", TEXT), ("gzip", TEXT)]


def test_a_redirect_sends_the_compressed_body_again_or_drops_its_coding(driver: Driver):
    def respond(request: httpx.Request) -> httpx.Response:
        status = {"/307": 307, "/303": 303}.get(request.url.path)
        if status:
            return httpx.Response(status, headers={"Location": "/there"})
        fields = request.headers
        return httpx.Response(200, json=[request.method, fields.get("content-encoding"), len(request.content)])

    async def scenario(client: Any) -> None:
        size = len(client.build_request("POST", "/", content=TEXT).content)
        for status, expected in (("307", ["POST", "gzip", size]), ("303", ["GET", None, 0])):
            response = await client.post(f"/{status}", content=TEXT, follow_redirects=True)
            assert response.json() == expected

    transport = httpx.MockTransport(respond)
    driver.run(scenario, transport=transport, base_url=URL, compress="gzip")


def test_an_auth_flow_sees_the_bytes_that_are_sent(driver: Driver):
    """auth-int hashes the body: that of the plain one would be refused."""
    bodies: list[bytes] = []

    class Signing(httpx.Auth):
        requires_request_body = True

        def auth_flow(self, request: httpx.Request) -> Any:
            bodies.append(request.content)
            yield request

    async def scenario(client: Any) -> None:
        for content in (TEXT, driver.body([TEXT])):
            response = await client.post("/", content=content, auth=Signing())
            assert gzip.decompress(response.content) == TEXT

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=request.content))
    driver.run(scenario, transport=transport, base_url=URL, compress="gzip")
    assert [gzip.decompress(body) for body in bodies] == [TEXT, TEXT]


def test_trailers_follow_a_compressed_body():
    request = build(content=TEXT, compress="gzip", trailers={"X-A": "1"})
    assert "content-length" not in request.headers
    assert request.headers["transfer-encoding"] == "chunked"
    assert content_of(request) == TEXT


def test_apps_get_the_compressed_body(driver: Driver):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})

    async def scenario(client: Any) -> None:
        for content in (TEXT, driver.body([TEXT])):
            assert gzip.decompress((await client.post("/", content=content)).content) == TEXT

    driver.run(scenario, transport=httpx.ASGITransport(app), base_url=URL, compress="gzip")


def test_wsgi_apps_get_the_compressed_body():
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    with httpx.Client(transport=httpx.WSGITransport(app), compress="gzip") as client:
        assert gzip.decompress(client.post(URL, content=iter([bytes(STEP), TEXT])).content) == bytes(STEP) + TEXT


# What is refused.


@pytest.mark.parametrize(
    ("compress", "error"), [("lzma", ValueError), ("GZIP", ValueError), (True, TypeError), (b"gzip", TypeError)]
)
def test_an_unknown_coding_is_refused(compress: Any, error: Any):
    with pytest.raises(error, match="compress must be"):
        httpx.Client(compress=compress)
    with pytest.raises(error, match="compress must be"):
        build(content=b"a", compress=compress)


def test_a_coding_of_the_caller_cannot_be_had_beside_another():
    with pytest.raises(TypeError, match="compress= and a Content-Encoding header are both given"):
        build(content=TEXT, compress="gzip", headers={"Content-Encoding": "gzip"})
    assert build(content=TEXT, compress=None, headers={"Content-Encoding": "x"}).content == TEXT


@pytest.mark.parametrize(("coding", "extra"), [("br", "brotli"), ("zstd", "zstd")])
def test_a_library_that_is_missing_is_named(coding: str, extra: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_encoders, "_library", lambda coding: None)
    with pytest.raises(ImportError, match=rf"pip install 'httpx\[{extra}\]'"):
        httpx.Client(compress=coding)
    httpx.Client(compress="gzip").close()


# Other libraries for the same.


def test_the_other_package_of_brotli_serves_as_well(monkeypatch: pytest.MonkeyPatch):
    class Compressor:
        def __init__(self, quality: int) -> None:
            made = brotli.Compressor(quality=quality)
            self.compress, self.finish = made.process, made.finish

    monkeypatch.setitem(sys.modules, "brotlicffi", types.SimpleNamespace(Compressor=Compressor))
    monkeypatch.setattr(_encoders, "_library", lambda coding: "brotlicffi")
    encoder = Encoder("br")
    assert brotli.decompress(encoder.encode(TEXT) + encoder.finish()) == TEXT


def test_the_zstd_of_the_standard_library_serves_as_well(monkeypatch: pytest.MonkeyPatch):
    class ZstdCompressor:
        def __init__(self, level: int) -> None:
            made = zstandard.ZstdCompressor(level=level).compressobj()
            self.compress, self.flush = made.compress, made.flush

    monkeypatch.setitem(sys.modules, "a_zstd", types.SimpleNamespace(ZstdCompressor=ZstdCompressor))
    monkeypatch.setattr(_encoders, "_library", lambda coding: "a_zstd")
    encoder = Encoder("zstd")
    assert by_library("zstd", encoder.encode(TEXT) + encoder.finish()) == TEXT


def test_the_libraries_are_those_of_the_decoders():
    assert _encoders._library is _decoders._library
