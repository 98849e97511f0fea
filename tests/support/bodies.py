"""Requests' and responses' bodies in many forms, and one way to read them in sync and async code."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from httpx._response import Response

URL = "http://example.org/path?x=1"
HOST = (b"Host", b"example.org")
CHUNKED = (b"Transfer-Encoding", b"chunked")
JSON = (b"Content-Type", b"application/json")
LENGTH = (b"Content-Length", b"3")


def pieces() -> Iterator[bytes]:
    yield b"Hello, "
    yield b"world!"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"Hello, "
    yield b"world!"


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body both ways, that knows whether it was closed."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


class OnlySync(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        return pieces()


class OnlyAsync(httpx.AsyncByteStream):
    def __aiter__(self) -> AsyncIterator[bytes]:
        return async_pieces()


def reader(response: Response, is_async: bool) -> Any:
    """`read`, whichever way."""
    return response.aread if is_async else response.read


async def collect(response: Response, is_async: bool, method: str, *args: Any) -> list[Any]:
    """What one of the iterators yields, whichever way."""
    if is_async:
        return [item async for item in getattr(response, "a" + method)(*args)]
    return list(getattr(response, method)(*args))


async def read(response: Response, is_async: bool) -> bytes:
    return await response.aread() if is_async else response.read()


async def close(response: Response, is_async: bool) -> None:
    if is_async:
        await response.aclose()
    else:
        response.close()


TEXT = b"Hello, world!\nsecond line\r\nthird"
GZIPPED = gzip.compress(TEXT)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def bodies() -> dict[str, Response]:
    """The same text in many forms."""
    coded = {"Content-Encoding": "gzip"}
    already = Response(200, stream=Stream(*cut(TEXT, 4)))
    already.read()
    return {
        "in memory": Response(200, content=TEXT),
        "in memory, gzip": Response(200, content=GZIPPED, headers=coded),
        "already read": already,
        "one piece": Response(200, stream=Stream(TEXT)),
        "many pieces": Response(200, stream=Stream(*cut(TEXT, 3))),
        "empty pieces": Response(200, stream=Stream(b"", TEXT, b"")),
        "gzip": Response(200, stream=Stream(GZIPPED), headers=coded),
        "gzip, byte by byte": Response(200, stream=Stream(*cut(GZIPPED, 1)), headers=coded),
        "unknown coding": Response(200, stream=Stream(TEXT), headers={"Content-Encoding": "x-unknown"}),
        "stacked": Response(
            200,
            stream=Stream(*cut(gzip.compress(zlib.compress(TEXT)), 5)),
            headers={"Content-Encoding": "deflate, gzip"},
        ),
        "from the wire": from_wire(TEXT),
        "gzip from the wire": from_wire(GZIPPED, (b"Content-Encoding", b"gzip")),
    }


def from_wire(body: Any, *fields: tuple[bytes, bytes]) -> Response:
    """As the engines make it."""
    return Response._from_wire((200, b"OK", list(fields), b"HTTP/1.1"), bool(fields), body, None)


KNOWN = tuple(bodies())
