"""
The body of a response that has not arrived whole, on asyncio and on trio.

Not here: receiving, which is the engines' (`asyncio`, `trio`; for HTTP/2 `http2.async_common`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from .._protocol.exchange import NOTHING, Exchange
from .._types import AsyncByteStream
from .job import Job


class AsyncBody(AsyncByteStream):
    """
    The rest of a response's body, received while it is iterated.

    Args:
        engine: has `receive(connection, exchange, job)` and `tell(job, what)`, which wait, and `release(connection,
            reusable)`, which does not.
        connection: has `take_chunks(exchange)`.
        exchange: whose head is there.
        job: of the request.
    """

    def __init__(self, engine: Any, connection: Any, exchange: Exchange, job: Job) -> None:
        self._engine = engine
        self._connection = connection
        self._exchange = exchange
        self._job = job
        self._chunks: Iterator[bytes] = iter(())
        self._over = False
        self._begun = False
        self.extensions: Any = None

    def __aiter__(self) -> AsyncIterator[bytes]:
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
                self._chunks = iter(self._connection.take_chunks(exchange))
            elif exchange.need == NOTHING:
                await self._finish()
                raise StopAsyncIteration
            else:
                await self._receive()

    async def _receive(self) -> None:
        try:
            await self._engine.receive(self._connection, self._exchange, self._job)
        except BaseException as exc:
            if isinstance(exc, Exception):
                await self._close(False)
            else:
                self._release(False)
            raise

    async def _finish(self) -> None:
        exchange = self._exchange
        if exchange.error is not None:
            await self._close(False)
            raise exchange.error
        if exchange.trailers is not None and self.extensions is not None:
            self.extensions["trailers"] = exchange.trailers
        if not exchange.upgraded:
            await self.aclose()

    async def aclose(self) -> None:
        """Free the connection; it stays usable only if the whole answer has arrived."""
        await self._close(self._exchange.reusable)

    async def _close(self, reusable: bool) -> None:
        if self._release(reusable) and self._job.narrator is not None:
            await self._engine.tell(self._job, "closed")

    def _release(self, reusable: bool) -> bool:
        if self._over:
            return False
        self._over = True
        self._engine.release(self._connection, reusable)
        return True
