"""
HTTP/2 on asyncio: the connection's reader callback receives for all its streams and wakes those that got something.

    AsyncioMultiplexer   the requests on one connection; `handle` carries one of them out
    AsyncioLane          what a body that has not arrived whole sees of it

Requests that begin in the same turn of the loop leave in one send, at the turn's end. One timer serves all streams: it
is set for the nearest deadline and looks at all of them when it fires, so a request usually finds it running.

Not here: what bytes mean (`_protocol.http2`), the socket and its callback (`asyncio`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from .._exceptions import ReadError, TransportError, WriteError
from .._models import Response
from .._pool import Ticket
from .._protocol.exchange import BODY, INPUT, PATIENCE, PAUSE, Exchange
from .._protocol.frames import CANCEL
from .._protocol.stream2 import CLOSED, LOCAL_DONE, HTTP2Stream
from .._sharing import SharingPool
from .asyncio import AsyncioBody, AsyncioConnection, AsyncioEngine
from .job import Job, end_pieces, next_piece
from .multiplex import Multiplexer


class AsyncioMultiplexer(Multiplexer):
    """The requests on one connection of `engine`."""

    connection: AsyncioConnection

    def __init__(self, engine: AsyncioEngine, connection: AsyncioConnection) -> None:
        super().__init__(connection, engine.settings, engine.now)
        self._engine = engine
        assert isinstance(engine.pool, SharingPool)
        self._pool = engine.pool
        self._loop = engine.loop
        self._now = engine.now
        self._expiry = engine.settings.limits.keepalive_expiry
        self._waiting: dict[HTTP2Stream, tuple[asyncio.Future[bool], float | None]] = {}
        self._flush_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._idle_until: float | None = None
        early = connection.take_early()
        connection.multiplexer = self
        if early:
            self.on_received(early)
        self.flush()

    def enter_pool(self, ticket: Ticket[AsyncioConnection]) -> None:
        """The dial that the ticket asked for is done."""
        self._pool.dialled(ticket, self.connection, self._now(), self._capacity)

    # What the connection calls.

    def on_received(self, data: bytes) -> None:
        """The peer sent something; b"" is its end."""
        self.received(data)
        if self.machine.has_output:
            self._flush_soon()
        self._tell_pool()

    @property
    def failure(self) -> TransportError | None:
        return self.connection.error or self.connection.write_error

    def lose(self, error: TransportError) -> None:
        self.connection.on_broken(error)

    def begin(self, job: Job) -> HTTP2Stream | None:
        # What an idle connection's peer said is not known yet where the loop was busy: maybe that it closed.
        connection = self.connection
        if self.has_served and not self.machine.streams and not connection.closed and connection.wire.poll(0):
            connection.on_readable()
        return super().begin(job)

    def feed(self, stream: HTTP2Stream, piece: bytes | None, job: Job) -> None:
        super().feed(stream, piece, job)
        if not self._flush_is_due:
            self._flush_soon()
        if self.is_broken:
            stream.cut_short()  # a server that closes while we send has often answered before

    def on_event(self) -> None:
        """The socket took what was unsent, or it failed, or it was closed."""
        connection = self.connection
        if connection.closed or connection.error is not None or connection.write_error is not None:
            self.is_broken = True
            self._tell_pool()
            self._wake_all()
        else:
            self.flush()

    def note_progress(self) -> None:
        machine = self.machine
        if machine.progressed:
            waiting = self._waiting
            for stream in machine.progressed:
                entry = waiting.get(stream)
                if entry is not None and not entry[0].done():
                    entry[0].set_result(True)
            machine.progressed.clear()

    def _wake_all(self) -> None:
        for waiter, _ in self._waiting.values():
            if not waiter.done():
                waiter.set_result(True)

    def _tell_pool(self) -> None:
        capacity = self.new_capacity()
        if capacity is not None:
            self._pool.resize(self.connection, capacity, self._now())
            self._engine.settle()

    # Sending.

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what there is, as long as the socket takes it at once; the rest follows when it takes more."""
        self._flush_is_due = False
        connection, machine = self.connection, self.machine
        while machine.has_output and not connection.unsent and not connection.closed:
            # One step, with nothing between its parts that could fail half-way: the peer's header tables follow ours.
            data = machine.take()
            try:
                connection.send(data)
            except WriteError as exc:
                connection.write_error = exc
                self.on_event()
                return
            self.note_progress()

    def say_goodbye(self) -> None:
        """The connection is about to be closed: tell the peer, if that needs no waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.connection.unsent:
            try:
                self.connection.send(self.machine.close())
            except WriteError:
                pass

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
        # No await before the `try`: a cancellation there would leak the connection.
        try:
            stream = self.begin(job)
            if stream is None:
                self.retire()
                return None
            self._idle_until = None
            if job.narrator is not None:
                job.narrator.over_http2(stream.identifier)
                await self._engine.tell(job, "turn", stream)
            if len(self.machine.streams) == 1:
                self.flush()  # nobody else could begin in this turn but newcomers
            elif not self._flush_is_due:
                self._flush_soon()
            await self._pump(stream, job)
        except BaseException as exc:
            self.leave(stream)
            if job.narrator is not None and isinstance(exc, Exception):
                await self._engine.tell(job, "failed", exc)
            if stream is not None and job.may_replay(stream, exc, reused):
                return None
            raise
        if not stream.finished:
            lane = AsyncioLane(self, stream)
            body = AsyncioBody(lane, lane, stream, job)
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
        connection = self.connection
        pieces: AsyncIterator[bytes] | None = None
        try:
            if job.narrator is not None:
                await self._engine.tell(job, "turn", stream)  # what was sent at once
            while stream.head is None or stream.need == BODY:
                need = stream.need
                if need == INPUT:
                    if job.deadline is not None or stream.state != LOCAL_DONE or connection.error or connection.closed:
                        await self.receive(stream, job)
                    elif not await self._wait(stream, None if job.read is None else self._now() + job.read):
                        raise self.timed_out(stream, job, self._now())
                    elif stream.only_informational and stream.need == INPUT:
                        await self.receive(stream, job)
                elif need == BODY:
                    if pieces is None:
                        pieces = job.async_pieces()
                    piece = await next_piece(pieces)
                    if piece is None:
                        pieces = None
                    self.feed(stream, piece, job)
                elif need == PAUSE:
                    patience = self._now() + PATIENCE
                    if not await self._wait(stream, patience if job.deadline is None else min(patience, job.deadline)):
                        stream.proceed()
                else:
                    break
                if job.narrator is not None:
                    await self._engine.tell(job, "turn", stream)
        finally:
            if pieces is not None:
                await end_pieces(pieces, job)
        # An answer that broke off behind its head is a response still, and raises when it is read.
        if stream.error is not None and stream.head is None:
            raise connection.write_error or stream.error

    async def receive(self, stream: HTTP2Stream, job: Job) -> None:
        """
        Wait until the stream has got something, or was rid of something.

        Raises:
            ReadTimeout, WriteTimeout, ReadError, WriteError.
        """
        connection = self.connection
        until = self.limit(stream, job, self._now())
        while True:
            if connection.error is not None:
                raise connection.error
            if connection.closed:
                raise connection.write_error or ReadError("the connection was closed while its answer was awaited")
            happened = await self._wait(stream, until)
            # Where something always arrives no timer comes to its turn.
            if not happened or (job.deadline is not None and self._now() >= job.deadline):
                raise self.timed_out(stream, job, self._now())
            if self.is_progress(stream):
                return

    async def _wait(self, stream: HTTP2Stream, until: float | None) -> bool:
        """Until something happened to the stream: True; or until time is up: False."""
        if self.machine.has_output:
            self._flush_soon()
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[stream] = waiter, until
        if self.ping_interval is not None and (
            self._timer is None or self._timer_at > self._now() + self.ping_interval
        ):
            self._set_timer(self._now() + self.ping_interval)
        if until is not None and (self._timer is None or self._timer_at > until):
            self._set_timer(until)
        try:
            return await waiter
        finally:
            del self._waiting[stream]

    def leave(self, stream: HTTP2Stream | None) -> None:
        """A request is over, or given up: its place is free. Never waits."""
        if stream is not None:
            if stream.finished:
                self.has_served = True
            if stream.state != CLOSED:
                stream.reset(CANCEL)
                if not self._loop.is_closed():
                    self._flush_soon()  # with what others begin in this turn
        connection, now = self.connection, self._now()
        if not self.machine.streams and self._expiry is not None:
            self._idle_until = now + self._expiry
        self._pool.release(connection, not connection.closed and connection.error is None, now)
        if self._pool.has_chores:
            self._engine.settle()

    def retire(self) -> None:
        """The peer takes no more here: give the place back that the pool gave for nothing."""
        usable = self.machine.max_streams > 0 and not self.is_broken
        self._pool.release(self.connection, usable, self._now())
        self._engine.settle()

    # Time.

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._on_time)

    def _on_time(self) -> None:
        """The timer fired: for a deadline of now, or for one that was met."""
        self._timer = None
        if self.connection.closed:
            return
        # A loop may fire a timer early, by the resolution of its clock.
        late = self._now() + 0.001
        nearest = self._idle_until if not self.machine.streams else None
        if nearest is not None and nearest <= late:
            self._engine.lost(self.connection)  # idle for too long
            return
        for waiter, until in self._waiting.values():
            if until is None or waiter.done():
                continue
            if until <= late:
                waiter.set_result(False)
            elif nearest is None or until < nearest:
                nearest = until
        again = self.look_after() if self._waiting else None
        if again is not None:
            self._flush_soon()
            nearest = again if nearest is None else min(again, nearest)
        if nearest is not None:
            self._set_timer(nearest)


class AsyncioLane:
    """One stream of a multiplexer, in the place of the engine and the connection of an `AsyncioBody`."""

    def __init__(self, multiplexer: AsyncioMultiplexer, stream: HTTP2Stream) -> None:
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
        """As `AsyncioEngine.tell`."""
        await self._multiplexer._engine.tell(job, what, *args, **info)
