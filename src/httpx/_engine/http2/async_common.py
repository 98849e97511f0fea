"""
One request of HTTP/2 on asyncio or trio: what is the same on both.

    AsyncMultiplexer   `handle` carries a request out; the shells say how it is sent and waited for
    AsyncLane          what a body that has not arrived whole sees of its multiplexer

Not here: the socket, turns and timers (`http2.asyncio`, `http2.trio`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Callable

from ..._models import Response
from ..._pool import Ticket
from ..._protocol.exchange import BODY, INPUT, PATIENCE, PAUSE, Exchange
from ..._protocol.stream2 import LOCAL_DONE, HTTP2Stream
from ..._sharing import SharingPool
from ..async_body import AsyncBody
from ..job import Job, end_pieces, next_piece
from .session import Multiplexer


class AsyncMultiplexer(Multiplexer):
    """
    The requests on one connection of an engine.

    Attributes:
        engine: `AsyncioEngine` or `TrioEngine`.
        pool: the engine's.
    """

    engine: Any
    pool: SharingPool[Any]

    # For the shells.

    def wait(self, stream: HTTP2Stream, until: float | None) -> Awaitable[bool]:
        """
        Until something happened to the stream: True; or until time is up: False. What is in the output is sent first,
        at once or with what others begin in this turn.

        Raises, now or when it is awaited:
            ReadError, WriteError, ConnectError: the connection broke or was closed.
        """
        raise NotImplementedError

    def leave(self, stream: HTTP2Stream | None, job: Job) -> None:
        """A request is over, or given up: its place is free. Never waits."""
        raise NotImplementedError

    # What they share.

    def enter_pool(self, ticket: Ticket[Any]) -> None:
        """The dial that the ticket asked for is done."""
        self.pool.dialled(ticket, self.connection, self.clock(), self.capacity)

    def tell_pool(self) -> None:
        """Tell the pool of a new capacity, if there is one."""
        capacity = self.new_capacity()
        if capacity is not None:
            self.pool.resize(self.connection, capacity, self.clock())
            self.engine.settle()

    async def handle(self, job: Job) -> Response | None:
        """
        Send a request on a connection that the pool gave for it, and return the response as soon as its head is there.

        None means that it did not happen, and may be tried again on what the pool gives then.

        Raises:
            TransportError: of the class that says what failed.
        """
        reused = self.has_served
        stream: HTTP2Stream | None = None
        # No await before the `try`: a cancellation there would leak the connection.
        try:
            stream = self.begin(job)
            if stream is None:  # give back what the pool gave for nothing
                self.pool.release(self.connection, self.is_usable, self.clock(), job)
                self.engine.settle()
                return None
            if job.narrator is not None:
                self.begin_story(job, stream)
                await self.engine.tell(job, "turn", stream)
            elif (
                stream.state == LOCAL_DONE
                and job.deadline is None
                # The first turn of `_pump`, and for nearly all the only one, without its frame.
                and not await self.wait(stream, None if job.read is None else self.clock() + job.read)
            ):
                raise self.timed_out(stream, job, self.clock())
            if stream.head is None or stream.need == BODY:
                await self._pump(stream, job)
        except BaseException as exc:
            self.leave(stream, job)
            if job.narrator is not None and isinstance(exc, Exception):
                await self.engine.tell(job, "failed", exc)
            if stream is not None and job.may_replay(stream, exc, reused):
                return None
            raise
        if not stream.finished:
            lane = AsyncLane(self, stream)
            body = AsyncBody(lane, lane, stream, job)
            response = self.answer(stream, job, body)
            body.extensions = response.extensions
            return response
        chunks = stream.chunks
        response = self.answer(stream, job, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        self.leave(stream, job)
        if job.narrator is not None:
            await self.engine.tell(job, "body")
            await self.engine.tell(job, "closed")
        return response

    async def _pump(self, stream: HTTP2Stream, job: Job) -> None:
        """Hand over the request's body, and wait until the head of the answer is there."""
        pieces: AsyncIterator[bytes] | None = None
        try:
            if job.narrator is not None:
                await self.engine.tell(job, "turn", stream)  # what was sent at once
            while stream.head is None or stream.need == BODY:
                need = stream.need
                if need == INPUT:
                    await self.receive(stream, job)
                elif need == BODY:
                    if pieces is None:
                        pieces = job.async_pieces()
                    piece = await next_piece(pieces)
                    if piece is None:
                        pieces = None
                    self.feed(stream, piece, job)
                elif need == PAUSE:
                    patience = self.clock() + PATIENCE
                    if not await self.wait(stream, patience if job.deadline is None else min(patience, job.deadline)):
                        self.proceed(stream)
                else:
                    break
                if job.narrator is not None:
                    await self.engine.tell(job, "turn", stream, self.new_settings())
        finally:
            if pieces is not None:
                await end_pieces(pieces, job)
        # An answer that broke off behind its head is a response still, and raises when it is read.
        if stream.error is not None and stream.head is None:
            raise self.write_failure or stream.error

    async def receive(self, stream: HTTP2Stream, job: Job) -> None:
        """
        Wait until the stream has got something, or was rid of something.

        Raises:
            ReadTimeout, WriteTimeout, ReadError, WriteError, ConnectError.
        """
        until = self.limit(stream, job, self.clock())
        while True:
            happened = await self.wait(stream, until)
            # Where something always arrives no wait is long enough to be ended.
            if not happened or (job.deadline is not None and self.clock() >= job.deadline):
                raise self.timed_out(stream, job, self.clock())
            if self.is_progress(stream):
                return


class AsyncLane:
    """One stream of a multiplexer, in the place of the engine and the connection of an `AsyncBody`."""

    def __init__(self, multiplexer: AsyncMultiplexer, stream: HTTP2Stream) -> None:
        self._multiplexer = multiplexer
        self._stream = stream

    def take_chunks(self, exchange: Exchange) -> list[bytes]:
        """The pieces of the body that have arrived; the peer may send as many more."""
        return self._multiplexer.take_chunks(self._stream)

    async def receive(self, connection: Any, exchange: Exchange, job: Job) -> None:
        """Wait until more has arrived."""
        await self._multiplexer.receive(self._stream, job)

    def release(self, connection: Any, reusable: bool, job: Job) -> None:
        """The body was read, or nobody wants it."""
        self._multiplexer.leave(self._stream, job)

    async def tell(self, job: Job, what: str, *args: Any, **info: Any) -> None:
        """As the engine's `tell`."""
        await self._multiplexer.engine.tell(job, what, *args, **info)

    def now(self) -> float:
        """Return the time on the shell's clock."""
        return self._multiplexer.clock()

    def later(self, function: Callable[[], None]) -> None:
        """As the engine's `later`."""
        self._multiplexer.engine.later(function)
