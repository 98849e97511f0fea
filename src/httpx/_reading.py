"""
The iteration over a body, for sync and async alike.

Pieces of the stream go through stages (`Pipeline`); raw iteration has none. Every stage works lazily, piece by
piece:

    stream ─► Content-Encoding decoded ─► text ─► lines, or pieces of equal size

Not here: the response that has the body (`_response`), the decoders of a coding (`_decoders`), text and lines
(`_text`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import chain
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._exceptions import RequestError, ResponseTooLarge, StreamClosed
from ._text import MANY, ByteChunker, TextDecoder, is_text_encoding
from ._types import AsyncByteStream

if TYPE_CHECKING:
    from ._jsonl import JSONLinesDecoder
    from ._response import Response

# The number of bytes that a compressed body may be larger on the wire than its content: framing, and incompressible
# blocks. Without it, empty members of gzip would be an endless body without any content.
CODING_SLACK = 65_536

# The most of a body that is read only to reuse the connection; beyond it a new connection costs less.
MAX_DRAIN = 1_048_576

Piece = TypeVar("Piece", bytes, str)


class Pipeline:
    """
    The stages of a body, each with `decode(piece)` and `flush()`, which yield pieces for the next stage.

    Lazy all the way: a piece leaves the last stage before the first one makes another.
    """

    __slots__ = ("_stages",)

    def __init__(self, stages: list[Any]) -> None:
        self._stages = stages

    def feed(self, piece: Any, start: int = 0) -> Iterator[Any]:
        """Yield the output for one piece that enters stage `start`; never empty bytes, but maybe an empty line."""
        if start == len(self._stages):
            if piece or type(piece) is str:
                yield piece
            return
        for following in self._stages[start].decode(piece):
            yield from self.feed(following, start + 1)

    def flush(self) -> Iterator[Any]:
        """Yield the output at the end of the body. Raises DecodingError if the body was truncated."""
        for number, stage in enumerate(self._stages, 1):
            for piece in stage.flush():
                yield from self.feed(piece, number)


class SizeLimit:
    """A stage that raises if a body is too large, and passes bytes on unchanged."""

    __slots__ = ("_left", "_limit")

    def __init__(self, limit: int, slack: int = 0) -> None:
        self._limit = limit
        self._left = limit + slack

    def decode(self, data: bytes) -> tuple[bytes, ...]:
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._limit)
        return (data,)

    def flush(self) -> tuple[bytes, ...]:
        return ()


def too_large(limit: int) -> ResponseTooLarge:
    """Return the error of a body that is larger than `limit` bytes."""
    return ResponseTooLarge(f"the body of the response is larger than max_response_size, {limit} bytes")


class Gathered:
    """
    Pieces of a body, to be one.

    Not in a list: the peer chooses their size, and one of two bytes takes 56 there.
    """

    __slots__ = ("_blocks", "_pieces")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """Add a piece."""
        self._pieces.append(piece)
        if len(self._pieces) == MANY:
            self._blocks.append(b"".join(self._pieces))
            self._pieces.clear()

    def whole(self) -> bytes:
        """Return all of them as one."""
        return b"".join([*self._blocks, *self._pieces])


class TextStage:
    """A stage from bytes to text; the encoding is looked up at the first bytes, so that it can be set until then."""

    __slots__ = ("_decoder", "_response")

    def __init__(self, response: Response) -> None:
        self._response = response
        self._decoder: TextDecoder | None = None

    def decode(self, data: bytes) -> list[str]:
        if self._decoder is None:
            encoding = self._response.encoding or "utf-8"
            self._decoder = TextDecoder(encoding if is_text_encoding(encoding) else "utf-8")
        text = self._decoder.decode(data)
        return [text] if text else []

    def flush(self) -> list[str]:
        text = "" if self._decoder is None else self._decoder.flush()
        return [text] if text else []


class AsyncPieces(Generic[Piece]):
    """
    A response's body, piece by piece through a pipeline, as returned by `aiter_...`.

    A class and not an async generator: an abandoned generator needs its event loop to be finished, and trio warns of
    it; an abandoned object needs nothing. `aclose` exists for `contextlib.aclosing`.
    """

    __slots__ = ("_pieces", "_pipeline", "_raw", "_response", "_source")

    def __init__(self, response: Response, pipeline: Pipeline, raw: bool = False) -> None:
        self._response = response
        self._pipeline = pipeline
        self._raw = raw
        self._source: AsyncIterator[bytes] | None = None
        self._pieces: Iterator[Any] | None = None

    def __aiter__(self) -> AsyncPieces[Piece]:
        return self

    async def __anext__(self) -> Piece:
        response = self._response
        if self._pieces is None:
            self._begin()
        while True:
            try:
                for piece in self._pieces or ():
                    return piece  # type: ignore[no-any-return]  # the pipeline's output: bytes or str
                if self._source is None:
                    raise StopAsyncIteration
                await self._advance(self._source)
            except RequestError as exc:
                response._fail(exc)
                raise

    def _begin(self) -> None:
        response = self._response
        if not self._raw and hasattr(response, "_content"):
            content = [response._content] if response._content else []
            self._pieces = chain(chain.from_iterable(map(self._pipeline.feed, content)), self._pipeline.flush())
            return
        stream = response._begin_streaming(AsyncByteStream)
        self._source = response._source = stream.__aiter__()
        self._pieces = iter(())

    async def _advance(self, source: AsyncIterator[bytes]) -> None:
        """Take the next piece of the stream, or finish it."""
        if self._response.is_closed and self._response._whole is None:
            raise StreamClosed()  # during the iteration, so this is not all of the body
        try:
            piece = await source.__anext__()
        except StopAsyncIteration:
            self._source = None
            self._pieces = self._pipeline.flush()
            await self._response.aclose()
        else:
            self._response._num_bytes_downloaded += len(piece)
            self._pieces = self._pipeline.feed(piece)

    async def aclose(self) -> None:
        """Stop iterating: abandon the rest of the body and free its connection."""
        self.__del__()
        self._pieces, self._source = iter(()), None

    def __del__(self) -> None:
        # Dropped in the middle, maybe by the garbage collector and in any thread: the rest can no longer be read.
        left = getattr(getattr(self, "_source", None), "left", None)
        if left is not None:
            left()


class AsyncValues:
    """The values of JSON Lines, as returned by `aiter_jsonl`; a class, as `AsyncPieces` is."""

    __slots__ = ("_decoder", "_pieces", "_response", "_values")

    def __init__(self, response: Response, decoder: JSONLinesDecoder) -> None:
        self._response = response
        self._decoder = decoder
        self._pieces: AsyncPieces[bytes] | None = response.aiter_bytes()
        self._values: Iterator[Any] = iter(())

    def __aiter__(self) -> AsyncValues:
        return self

    async def __anext__(self) -> Any:
        while True:
            for value in self._values:
                return value
            await self._receive()

    async def _receive(self) -> None:
        """Take the values in the next piece of the body. Raises StopAsyncIteration, DecodingError."""
        pieces, decoder = self._pieces, self._decoder
        if decoder.error is not None:
            await self.aclose()
            raise decoder.new_error(self._response._request)
        if pieces is None:
            raise StopAsyncIteration
        async for piece in pieces:
            self._values = iter(decoder.decode(piece))
            return
        self._pieces = None
        self._values = iter(decoder.flush())

    async def aclose(self) -> None:
        """Stop iterating: abandon the rest of the body and free its connection."""
        pieces, self._pieces = self._pieces, None
        self._values = iter(())
        if pieces is not None:
            await pieces.aclose()


def merge_chunks(response: Response) -> None:
    """Let the body of a response come in pieces as large as possible without waiting, for readers of small records."""
    stream = response.stream
    if hasattr(stream, "merges"):
        stream.merges = True


def lend_pieces(response: Response) -> None:
    """
    Let the pieces of a body be views of a buffer that is filled again, where that saves time.

    For readers that are done with a piece before they ask for the next one, and need no `bytes`.
    """
    stream = response.stream
    if hasattr(stream, "lends") and "content-encoding" not in response.headers:
        stream.lends = True


async def end_generator(pieces: AsyncIterator[bytes] | None) -> None:
    """
    Finish an async generator that iterates over a body, unless a task is in it.

    A stream whose `__aiter__` is one would leave it suspended when it is abandoned, and trio warns about that.
    """
    if isinstance(pieces, AsyncGeneratorType) and not pieces.ag_running:
        await pieces.aclose()


def chunkers(chunk_size: int | None) -> list[Any]:
    return [] if chunk_size is None else [ByteChunker(chunk_size)]
