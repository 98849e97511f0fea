"""
HTTP/2 on trio: whoever waits and finds nobody receiving does it for all streams, and passes that turn on when it goes.

    TrioMultiplexer   the requests on one connection; `handle` carries one of them out
    TrioLane          what a body that has not arrived whole sees of it

No task runs in the background: a connection that nobody waits on is not read, and is looked at when it is used next.

Not here: what bytes mean (`_protocol.http2`), sockets (`trio`).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable
from typing import Any

import trio

from .._models import Response
from .._pool import Ticket
from .._protocol.exchange import BODY, INPUT, PATIENCE, PAUSE, Exchange
from .._protocol.stream2 import HTTP2Stream
from .._sharing import SharingPool
from .job import Job, end_pieces, next_piece
from .multiplex import TurnTaking
from .trio import TrioBody, TrioConnection, TrioEngine

now = trio.current_time


class TrioMultiplexer(TurnTaking):
    """The requests on one connection of `engine`."""

    connection: TrioConnection

    def __init__(self, engine: TrioEngine, connection: TrioConnection) -> None:
        self._engine = engine
        assert isinstance(engine.pool, SharingPool)
        self._pool = engine.pool
        self._waiting: dict[HTTP2Stream, trio.Event] = {}
        self._turn: trio.CancelScope | None = None  # of the task that waits for the socket on behalf of all
        super().__init__(connection, engine.settings, now)
        self.flush()

    def enter_pool(self, ticket: Ticket[TrioConnection]) -> None:
        """The dial that the ticket asked for is done."""
        self._pool.dialled(ticket, self.connection, now(), self._capacity)

    def tell_pool(self) -> None:
        capacity = self.new_capacity()
        if capacity is not None:
            self._pool.resize(self.connection, capacity, now())
            self._engine.settle()

    def wake(self, streams: Iterable[HTTP2Stream]) -> None:
        for stream in streams:
            event = self._waiting.get(stream)
            if event is not None:
                event.set()

    def flush(self) -> None:
        super().flush()
        if self.unsent and self._turn is not None:
            self._turn.cancel()  # it waits for input only, and should look again

    def catch_up(self) -> None:
        if self._turn is None and self.error is None and self.wire.poll(0):
            self.take_input()

    # Waiting.

    async def receive(self, stream: HTTP2Stream, job: Job) -> None:
        """
        Wait until the stream has got something, or was rid of something.

        Raises:
            ReadTimeout, WriteTimeout, ReadError, WriteError.
        """
        until = self.limit(stream, job, now())
        while True:
            happened = await self._wait(stream, until)
            # Where something always arrives no wait is long enough to be ended.
            if not happened or (job.deadline is not None and now() >= job.deadline):
                raise self.timed_out(stream, job, now())
            if self.is_progress(stream):
                return

    async def _wait(self, stream: HTTP2Stream, until: float | None) -> bool:
        """
        Until something happened to the stream: True; or until time is up: False.

        Raises:
            ReadError, WriteError: the connection broke or was closed.
        """
        try:
            while stream not in self.news:
                if self.error is not None:
                    raise self.write_error or self.error
                if until is not None and now() >= until:
                    await trio.lowlevel.checkpoint()
                    return False
                if self._turn is None:
                    await self._take_turn(until)
                else:
                    await self._wait_for_others(stream, until)
            self.news.discard(stream)
            return True
        finally:
            if self._turn is None and self._waiting:
                next(iter(self._waiting.values())).set()  # the turn is free: somebody must take it

    async def _take_turn(self, until: float | None) -> None:
        """Receive for everybody, once; wait for it if nothing is there."""
        # Before anything is taken: a peer that always has something to say must not keep us from being cancelled.
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.take_input():
            await trio.lowlevel.cancel_shielded_checkpoint()  # fair to other tasks during a fast download
            return
        again = self.look_after()
        if self.error is not None:
            return
        if again is not None:
            self.flush()
            until = again if until is None else min(again, until)
        with trio.CancelScope(deadline=math.inf if until is None else until) as self._turn:
            try:
                if self.unsent:
                    await self.connection.wait_for_either(until)
                else:
                    await trio.lowlevel.wait_readable(self.connection.wire.sock)
            except trio.ClosedResourceError:
                pass  # `_wait` says so
            finally:
                self._turn = None
        self.flush()

    async def _wait_for_others(self, stream: HTTP2Stream, until: float | None) -> None:
        event = self._waiting[stream] = trio.Event()
        try:
            with trio.CancelScope(deadline=math.inf if until is None else until):
                await event.wait()
        finally:
            del self._waiting[stream]

    # One request.

    async def handle(self, job: Job) -> Response | None:
        """
        Send a request on a connection that the pool gave for it, and return the response as soon as its head is there.

        None means that it did not happen, and may be tried again on what the pool gives then.

        Raises:
            TransportError: of the class that says what failed.
        """
        reused = self.has_served
        stream: HTTP2Stream | None = None
        # No checkpoint before the `try`: a cancellation there would leak the connection.
        try:
            self.catch_up()
            stream = self.begin(job)
            if stream is None:
                self._pool.release(self.connection, self.is_usable, now())
                self._engine.settle()
                return None
            if job.narrator is not None:
                job.narrator.over_http2(stream.identifier)
                await self._engine.tell(job, "turn", stream)
            self.flush()
            await self._pump(stream, job)
        except BaseException as exc:
            self.leave(stream)
            if job.narrator is not None and isinstance(exc, Exception):
                await self._engine.tell(job, "failed", exc)
            if stream is not None and job.may_replay(stream, exc, reused):
                return None
            raise
        if not stream.finished:
            lane = TrioLane(self, stream)
            body = TrioBody(lane, lane, stream, job)
            body.response = self.answer(stream, job, body)
            return body.response
        chunks = stream.chunks
        response = self.answer(stream, job, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        self.leave(stream)
        if job.narrator is not None:
            await self._engine.tell(job, "body")
            await self._engine.tell(job, "closed")
        return response

    async def _pump(self, stream: HTTP2Stream, job: Job) -> None:
        """Hand over the request's body, and wait until the head of the answer is there."""
        pieces: AsyncIterator[bytes] | None = None
        try:
            if job.narrator is not None:
                await self._engine.tell(job, "turn", stream)  # what was sent at once
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
                    patience = now() + PATIENCE
                    if not await self._wait(stream, patience if job.deadline is None else min(patience, job.deadline)):
                        stream.proceed()
                        self.flush()
                else:
                    break
                if job.narrator is not None:
                    await self._engine.tell(job, "turn", stream)
        finally:
            if pieces is not None:
                await end_pieces(pieces, job)
        # An answer that broke off behind its head is a response still, and raises when it is read.
        if stream.error is not None and stream.head is None:
            raise self.write_error or stream.error

    def leave(self, stream: HTTP2Stream | None) -> None:
        """A request is over, or given up: its place is free. Has no checkpoint."""
        self.settle_with(stream)
        self._pool.release(self.connection, self.is_usable, now())
        if self._pool.has_chores:
            self._engine.settle()


class TrioLane:
    """One stream of a multiplexer, in the place of the engine and the connection of a `TrioBody`."""

    def __init__(self, multiplexer: TrioMultiplexer, stream: HTTP2Stream) -> None:
        self._multiplexer = multiplexer
        self._stream = stream

    def take_chunks(self, exchange: Exchange) -> list[bytes]:
        """The pieces of the body that have arrived; the peer may send as many more."""
        return self._multiplexer.take_chunks(self._stream)

    async def receive(self, connection: Any, exchange: Exchange, job: Job) -> None:
        """Wait until more has arrived."""
        await self._multiplexer.receive(self._stream, job)

    def release(self, connection: Any, reusable: bool) -> None:
        """The body was read, or nobody wants it."""
        self._multiplexer.leave(self._stream)

    async def tell(self, job: Job, what: str, *args: Any, **info: Any) -> None:
        """As `TrioEngine.tell`."""
        await self._multiplexer._engine.tell(job, what, *args, **info)
