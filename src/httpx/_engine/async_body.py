"""
The body of a response that has not arrived whole, on asyncio and on trio.

Not here: receiving, which is the engines' (`asyncio`, `trio`; for HTTP/2 `http2.async_common`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable, Protocol

from .._protocol.exchange import NOTHING, Exchange
from .._types import AsyncByteStream
from .job import Job, again


class Source(Protocol):
    """What a body asks of an engine, or of one stream of HTTP/2; `connection` is what the body was given as such."""

    async def receive(self, connection: Any, exchange: Any, job: Job) -> None: ...
    def release(self, connection: Any, reusable: bool, job: Job) -> None: ...
    async def tell(self, job: Job, what: str) -> None: ...
    def later(self, function: Callable[[], None]) -> None: ...
    @property
    def now(self) -> Callable[[], float]: ...


class Chunks(Protocol):
    """What a body asks of a connection, or of one stream of HTTP/2."""

    def take_chunks(self, exchange: Any) -> list[bytes]: ...


class AsyncBody(AsyncByteStream):
    """
    The rest of a response's body, received while it is iterated. The upload goes on meanwhile, if it is not over.

    Args:
        engine: receives, and takes the connection back.
        connection: has the chunks that were received.
        exchange: its head is there.
        job: of the request.

    Attributes:
        extensions: of the response, for the trailers. Not the response itself, which refers to this.
        merges: whether chunks that have arrived together are one piece: half the time of an event in a small chunk.
    """

    merges = False

    def __init__(self, engine: Source, connection: Chunks, exchange: Exchange, job: Job) -> None:
        self._engine = engine
        self._connection = connection
        self._exchange = exchange
        self._job = job
        self._chunks: Iterator[bytes] = iter(())
        self._over = False
        self._begun = False
        self.extensions: dict[str, Any] = {}

    def __aiter__(self) -> AsyncIterator[bytes]:
        # Not earlier: a middleware may set it when it has seen the head.
        if "idle_timeout" in self._job.request.extensions:
            self._job.idle(self._job.request.extensions["idle_timeout"])
        return self

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        if self._job.narrator is not None and not self._begun:
            self._begun = True
            await self._engine.tell(self._job, "body")
        while True:
            for chunk in self._chunks:
                return chunk
            if exchange.chunks:
                chunks = self._connection.take_chunks(exchange)
                self._chunks = iter((b"".join(chunks),) if self.merges else chunks)
            elif exchange.need == NOTHING:
                break
            else:
                await self._receive()
        if exchange.error is not None:
            await self._close(False)
            raise again(exchange.error)
        if exchange.trailers is not None:
            self.extensions["trailers"] = exchange.trailers
        if not exchange.upgraded:
            await self.aclose()
        raise StopAsyncIteration

    async def _receive(self) -> None:
        try:
            await self._engine.receive(self._connection, self._exchange, self._job)
        except BaseException as exc:
            if not isinstance(exc, Exception):
                self._job.narrator = None  # whose functions would have to wait
            await self._close(False)
            raise

    def hurry(self, ends_by_itself: bool) -> None:
        """Let the rest of the body end soon, or fail: it was not asked for. See `Limits.hurry`."""
        self._job.hurry(self._engine.now(), ends_by_itself)

    async def aclose(self) -> None:
        """Free the connection; it stays usable only if the whole response has arrived."""
        await self._close(self._exchange.reusable)

    async def _close(self, reusable: bool) -> None:
        if not self._over:
            self._engine.release(self._connection, reusable, self._job)
            self._over = True
            if self._job.pieces is not None:
                await self._job.aend_pieces()
            if self._job.narrator is not None:
                await self._engine.tell(self._job, "closed")

    def left(self) -> None:
        """Free the connection soon: the iteration was dropped. May be called from anywhere, as by a destructor."""
        if not self._over and not self._exchange.upgraded:
            self._engine.later(self._drop)

    def _drop(self) -> None:
        """Free the connection of a body whose reader is gone, unless it was closed."""
        if not self._over:
            self._engine.release(self._connection, self._exchange.reusable, self._job)
            self._over = True

    def __del__(self) -> None:
        # The stream of an upgraded connection refers to this: it is not in use any more.
        if not getattr(self, "_over", True):  # absent: an interruption left the constructor
            self._engine.later(self._drop)
