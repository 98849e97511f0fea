"""
The shell for asyncio: a persistent reader callback on each non-blocking socket, and no transport, protocol or stream.

A connection's callback receives, feeds the exchange and wakes the task that waits: one future and one turn of the loop
for a small response. Time limits are one timer for each connection, set for the nearest deadline. When it fires, the
deadline is looked at again; a warm request usually finds the timer running and only notes its own deadline.

    AsyncioEngine      the connections of one transport on one loop
    Attempts           those of one dial to connect to an address

Bookkeeping is synchronous: between taking a connection or a slot from the pool and the `try` that gives it back there
is no `await`, and giving it back awaits nothing, so that a cancellation at any await leaves everything as it was.

Not here: sockets and their callbacks (`asyncio_connection`), what bytes mean (`_protocol`), who gets which connection
(`_pool`), addresses and schedules (`race`, `route`).
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any, Callable

from .._exceptions import (
    ConnectError,
    NetworkError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TransportError,
    WriteError,
    WriteTimeout,
)
from .._forks import FORKS
from .._models import Request, Response
from .._pool import Pool, Ticket
from .._protocol.exchange import BODY, INPUT, NOTHING, OUTPUT, PAUSE, Exchange
from .._protocol.http1 import FieldWriter, HTTP1Exchange
from .._protocol.tls import TLSFilter
from .._response import ArrivedStream
from .._sharing import SharingPool
from .._urlparse import PAGE_SCHEMES
from .async_body import AsyncBody
from .asyncio_connection import AsyncioConnection, FallbackIO, LoopIO, io_of
from .connecting import Dial
from .dialling.asyncio import AsyncioDialling, FallbackSockets, LoopSockets
from .job import CLOSED_HERE, NO_RESPONSE, REFUSALS, Job, Refusals, again, shown
from .route import proxy_fields
from .settings import Settings, new_pool
from .story import Event

CLOSED = "the transport was closed while the request waited for a connection"


class AsyncioEngine:
    """The connections of one async transport on one asyncio loop."""

    # Which kind of readiness; tests force the fallback here.
    io_factory: Callable[[asyncio.AbstractEventLoop], LoopIO | FallbackIO] = staticmethod(io_of)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = loop = asyncio.get_running_loop()
        self.io = self.io_factory(self.loop)
        self._sockets = FallbackSockets(loop) if isinstance(self.io, FallbackIO) else LoopSockets(loop)
        self._writer = FieldWriter()
        self._head_limits = settings.head_limits
        self._http2 = settings.http2
        self._refusals = Refusals()
        self._proxy_fields = [] if settings.proxy is None else proxy_fields(settings.proxy)
        self._dials: dict[Ticket[AsyncioConnection], asyncio.Task[None]] = {}
        self._expiry = settings.limits.keepalive_expiry
        self._closed = False
        self.pool: Pool[AsyncioConnection] = new_pool(settings, late_binding=True)
        FORKS.watch(self)

    def forget(self) -> None:
        """In a forked child: its copies of the descriptors are closed, without a word to the peer or to the loop."""
        for connection in self.pool.shut():
            connection.closed = True
            connection.wire.sock.close()

    def now(self) -> float:
        """Return the time on the loop's clock, which a test may replace while the loop runs."""
        return self.loop.time()

    def has_ended(self) -> bool:
        """Return whether the loop is closed."""
        return self.loop.is_closed()

    async def handle(self, request: Request) -> Response:
        """
        Send a request and return its response as soon as its head is there; small bodies are whole by then.

        Raises:
            TransportError: of the class that says what failed.

        Long because every part of it that had a function of its own would be one more frame for a warm request.
        """
        now = self.loop.time
        moment = now()
        job = Job(request, moment)
        if self.settings.forwards:
            job.forward(self._proxy_fields)
        pool = self.pool
        try:
            if (
                self._http2
                and "websocket" in request.extensions
                and (tunnel := await self._open_tunnel(job)) is not None
            ):
                return tunnel
            while not self._closed:
                # The machine first, if it is known which: it refuses what must not be sent, before anything is taken.
                exchange: HTTP1Exchange | None = None
                if not self._http2:
                    # One by one: a call with `*job.arguments` takes 0.13 us more.
                    method, target, fields, content, follows = job.arguments
                    exchange = HTTP1Exchange(method, target, fields, content, follows, self._head_limits, self._writer)
                connection = pool.acquire(job.key, moment, job)
                if isinstance(connection, Ticket):
                    connection = await self._redeem(connection, job)
                    moment = now()
                if pool.has_chores:
                    self.settle()
                if exchange is None:
                    if connection.multiplexer is not None:
                        response = await connection.multiplexer.handle(job, moment)
                        if response is None:
                            moment = job.note_acquired(now())
                            continue
                        return response
                    exchange = self._exchange_on(connection, job)
                # No await between the pool and the `try`: a cancellation there would leak the connection.
                # What a new connection says before it is asked is for later: see `receive`.
                if connection.closed or (connection.reused and connection.wire.poll(0) and not connection.is_quiet()):
                    self.release(connection, False, job)
                    moment = job.note_acquired(now())
                    continue
                if connection.reused:
                    connection.exchange = exchange
                connection.deadline = None
                until: float | None = None
                try:
                    if connection.reused and job.deadline is None and job.narrator is None:
                        # The first turn of `receive`, and nearly always the only one: 3 % of a warm request.
                        wire, data = connection.wire, exchange.take()
                        try:
                            rest = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
                            if rest:
                                connection.queue(rest)
                        except WriteError as exc:
                            stop_sending(connection, exchange, exc)
                        if exchange.need == INPUT and not (connection.unsent or connection.error or connection.closed):
                            until = None if job.read is None else moment + job.read  # there was no wait since then
                            if not await connection.wait(until):
                                raise job.timed_out(ReadTimeout, "read", now(), NO_RESPONSE)
                    if exchange.informational:
                        await self.hear(exchange, job)
                    if exchange.head is None:
                        await self.receive(connection, exchange, job, until)
                except BaseException as exc:
                    reused = connection.reused
                    job.note_failure(connection, exc)
                    self.release(connection, False, job)
                    if job.pieces is not None:
                        await job.aend_pieces()
                    if job.narrator is not None and isinstance(exc, Exception):
                        await self.tell(job, "failed", exc)
                    if not self._closed and job.may_replay(exchange, exc, reused):
                        moment = job.note_acquired(now())
                        continue
                    raise
                if exchange.finished and not exchange.upgraded:
                    chunks = exchange.chunks
                    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                    response = Response._from_wire(exchange.head, exchange.remarkable, body, connection)  # type: ignore[arg-type]  # there is a head
                    if len(chunks) > 1:
                        response._whole = ArrivedStream(body, chunks)
                    # What `release` does, inlined.
                    moment = now()
                    connection.exchange = None
                    connection.reused = True
                    connection.deadline = None if self._expiry is None else moment + self._expiry
                    reusable = exchange.reusable and not (connection.closed or connection.unsent)
                    pool.release(connection, reusable, moment, job)
                    if pool.has_chores:
                        self.settle()
                    if job.narrator is not None:
                        await self.tell(job, "body")
                        await self.tell(job, "closed")
                else:
                    response = self._stream(connection, exchange, job)
                if exchange.informational or exchange.trailers is not None or job.stamps is not None:
                    job.annotate(response, exchange)
                return response
            raise ConnectError(CLOSED)
        except BaseException as exc:
            job.leave_stamps(exc)
            self.recover(job, exc)
            raise

    async def _open_tunnel(self, job: Job) -> Response | None:
        """
        Return the response to a WebSocket over a connection of HTTP/2 that is there; None to go on with HTTP/1.1.

        Nothing is dialled for it: whether a server takes it is known only after its first SETTINGS.
        """
        assert isinstance(self.pool, SharingPool)
        key = (PAGE_SCHEMES.get(job.key[0], job.key[0]), *job.key[1:])
        if self._refusals.has(key, self.now()):
            return None
        connection = self.pool.find(key, self.now(), job)
        if connection is None:
            return None
        multiplexer = connection.multiplexer
        if multiplexer is None or not multiplexer.allows_protocols:
            self.release(connection, True, job)
            return None
        response: Response | None = None
        try:
            response = await multiplexer.handle(job, self.now())
        except (NetworkError, RemoteProtocolError):
            pass
        if response is None or response.status_code in REFUSALS:
            if multiplexer.allows_protocols:  # else the connection broke, which says nothing about the next one
                self._refusals.add(key, self.now())
            if response is not None:
                await response.aclose()
            return None
        if 200 <= response.status_code <= 299:
            multiplexer.make_tunnel(response)
        return response

    def _exchange_on(self, connection: AsyncioConnection, job: Job) -> HTTP1Exchange:
        """Return the machine for a request that has its connection already."""
        if job.narrator is not None:
            job.narrator.over_http1()  # it may have begun over HTTP/2, on another connection
        try:
            return HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
        except BaseException:
            self.release(connection, True, job)
            raise

    async def receive(
        self, connection: AsyncioConnection, exchange: Exchange, job: Job, until: float | None = None
    ) -> None:
        """
        Send what there is, and receive until there is something new: the head; after it a part of the body or its end.

        Args:
            until: when the wait ends that has begun, and brought no progress if it brought 1xx responses alone.

        Raises:
            ReadTimeout, WriteTimeout, ReadError, WriteError, RemoteProtocolError: no head came.
            Whatever the request's body raises.

        Long because all that a turn may do is to be seen in one place.
        """
        wire, now = connection.wire, self.loop.time
        has_head = exchange.head is not None
        is_new = not has_head and not connection.reused
        # Sends are noted from the second on; the first may have been before.
        is_first = is_new or job.deadline is not None or job.narrator is not None
        goes_on = until is not None and exchange.only_informational  # what came last was no progress
        if job.narrator is not None:
            await self.tell(job, "turn", exchange)
        while exchange.head is None or (has_head and not exchange.chunks):
            need = exchange.need
            if connection.unsent and need != NOTHING and not exchange.abandoned:
                await self._await_room(connection, exchange, job)
            elif need == OUTPUT:
                if job.deadline is not None and job.is_late(now()):
                    raise job.timed_out(WriteTimeout, "write", now(), "the request was not sent")
                data = exchange.take()
                try:
                    rest = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
                    if rest:
                        connection.queue(rest)
                except WriteError as exc:
                    stop_sending(connection, exchange, exc)
                if is_new:
                    is_new = False
                    connection.begin(exchange)
                if is_first:
                    is_first = False
                elif exchange.head is None:
                    job.note_sent(now())
            elif need == INPUT:
                if connection.error is not None or connection.closed:
                    raise why(connection)
                if goes_on:
                    pass
                elif job.deadline is not None:
                    until = job.limit("read", now())
                else:
                    until = None if job.read is None else now() + job.read
                if not await connection.wait(until) or (job.deadline is not None and job.is_late(now())):
                    raise job.timed_out(ReadTimeout, "read", now(), NO_RESPONSE)
                goes_on = exchange.only_informational
            elif need == BODY:
                await self._feed(connection, exchange, job)
            elif need == PAUSE:
                await self._await_consent(connection, exchange, job)
            else:
                break
            if job.narrator is not None and not has_head:
                await self.tell(job, "turn", exchange)
            if exchange.informational and not has_head:
                await self.hear(exchange, job)
        if job.narrator is not None and not has_head:
            await self.tell(job, "turn", exchange)  # the head may have come while the last events were told
        if job.pieces is not None and exchange.need >= INPUT:
            await job.aend_pieces()  # the upload is over
        # A response that breaks off after its head is a response still, and raises when it is read.
        if exchange.error is not None and exchange.head is None:
            raise why(connection, exchange.error)

    async def hear(self, exchange: Exchange, job: Job) -> None:
        """Call the request's function with each 1xx response, also with those that arrive during a call."""
        while (interim := job.next_interim(exchange)) is not None:
            result = job.request.extensions["informational"](interim)
            if result is not None:
                await result

    async def _feed(self, connection: AsyncioConnection, exchange: Exchange, job: Job) -> None:
        """Hand over the next piece of the request's body."""
        if job.should_rest():
            await asyncio.sleep(0)  # else nothing could arrive while there are pieces and room
        if exchange.need == BODY:
            piece = await job.anext_piece()
            if piece is None and job.request.trailers is not None:
                exchange.feed(None, job.trailers())
            else:
                exchange.feed(piece)

    async def _await_room(self, connection: AsyncioConnection, exchange: Exchange, job: Job) -> None:
        """Wait until the socket has taken what is unsent, or there is something for the reader."""
        now = self.loop.time
        until = job.limit("write", now())
        head, size = exchange.head, len(connection.unsent)
        while connection.unsent and exchange.head is head and not exchange.chunks:
            if exchange.abandoned or connection.error is not None or connection.closed:
                break
            ready = await connection.wait(until)
            if exchange.informational and head is None:
                await self.hear(exchange, job)
            if exchange.need == NOTHING:
                exchange.cut_short()  # the response is whole, and the request is not
                return
            if len(connection.unsent) < size:
                size, until = len(connection.unsent), job.limit("write", now())  # another wait begins
                if exchange.head is None:
                    job.note_sent(now())
            # The clock, too: where something always arrives, no wait is long enough to be ended.
            elif not ready or (until is not None and now() >= until):
                raise job.timed_out(WriteTimeout, "write", now(), "the peer did not take the request")
        if connection.write_error is not None:
            exchange.cut_short()
        elif (connection.error is not None or connection.closed) and exchange.head is head and not exchange.chunks:
            raise why(connection)

    async def _await_consent(self, connection: AsyncioConnection, exchange: Exchange, job: Job) -> None:
        """Wait for 100 (Continue) or the response; when patience ends the body goes out without."""
        now = self.loop.time
        until = job.consent_limit(now())
        while exchange.need == PAUSE:
            if connection.error is not None or connection.closed:
                raise why(connection)
            if not await connection.wait(until) or (until is not None and now() >= until):
                job.check_patience(now())
                exchange.proceed()
            if exchange.informational:
                await self.hear(exchange, job)

    def _stream(self, connection: AsyncioConnection, exchange: Exchange, job: Job) -> Response:
        """Return a response whose body is still to come, or whose connection was upgraded."""
        body = AsyncBody(self, connection, exchange, job)
        network_stream: Any = connection
        if exchange.upgraded:
            upgraded = connection.upgrade(exchange.surplus)
            upgraded.owner = body  # which gives the connection back when the response and this stream are dropped
            network_stream = shown(upgraded)
        assert exchange.head is not None
        response = Response._from_wire(exchange.head, exchange.remarkable, body, network_stream)
        if not exchange.upgraded:  # it has no trailers, and through its extensions the two would be a cycle
            body.extensions = response.extensions
        return response

    async def tell(self, job: Job, what: str, *args: Any, **info: Any) -> None:
        """Deliver the events of a step of `Narrator` to the trace callback of the request."""
        narrator = job.narrator
        if narrator is None:
            return
        events: list[Event] = getattr(narrator, what)(*args, **info)
        if narrator.callback is not None:
            for event in events:
                result = narrator.callback(*event)
                if result is not None:
                    await result

    # Connections.

    async def _redeem(self, ticket: Ticket[AsyncioConnection], job: Job) -> AsyncioConnection:
        """Wait for a ticket to be served: by its own dial, or by a connection that is given back."""
        self.settle()
        job.note_wait()
        timer: asyncio.TimerHandle | None = None
        begun = False  # the dial that the ticket may be told to make
        queues = not ticket.dial
        try:
            if queues:
                if job.narrator is not None:
                    await self.tell(job, "start", "pool.acquire_connection")
                until = job.queue_limit(self.now(), self.pool.awaits_dial(job.key))
                if until is not None:
                    timer = self.loop.call_at(until, self._queue_time_is_up, ticket)
            while not ticket.served:
                ticket.signal = self.loop.create_future()
                if ticket.dial and not begun:
                    if self._closed:
                        raise ConnectError(CLOSED)
                    begun = True
                    if timer is not None:
                        timer.cancel()
                    dial = self.loop.create_task(self._dial(ticket, job))
                    dial.add_done_callback(partial(self._end_dial, ticket))
                    self._dials[ticket] = dial  # last: what is in there reports its end
                if not await ticket.signal:
                    raise job.queue_timed_out(self.now())
                if queues and job.narrator is not None:
                    queues = False
                    await self.tell(job, "complete")
            if ticket.error is not None:
                error, ticket.error = ticket.error, None
                try:
                    raise error
                finally:
                    del error  # its traceback holds this frame
            assert ticket.connection is not None
            job.note_acquired(self.now())
            return ticket.connection
        except BaseException:
            self._abandon(ticket)
            raise
        finally:
            if ticket.dial and not begun:
                self.pool.dial_failed(ticket)
                self.settle()
            if timer is not None:
                timer.cancel()

    @staticmethod
    def _queue_time_is_up(ticket: Ticket[AsyncioConnection]) -> None:
        if ticket.signal is not None and not ticket.signal.done() and not ticket.dial:
            ticket.signal.set_result(False)

    def _abandon(self, ticket: Ticket[AsyncioConnection]) -> None:
        """No request waits for the ticket any more; a dial that only it wanted ends, too."""
        self.pool.abandon(ticket, self.now())
        dial = self._dials.get(ticket)
        if dial is not None and not self.loop.is_closed():
            dial.cancel()
        self.settle()

    def release(self, connection: AsyncioConnection, reusable: bool, job: Job) -> None:
        """Give the connection of a request back; it is closed unless it may be reused. Never waits."""
        now = self.now()
        connection.exchange = connection.incoming = None
        connection.buffered = 0
        connection.reused = True
        # A timer that is running looks again; there need not be one, because idle connections are also closed on use.
        connection.deadline = None if self._expiry is None else now + self._expiry
        try:
            self.pool.release(connection, reusable and not (connection.closed or connection.unsent), now, job)
            if self.pool.has_chores:
                self.settle()
        except BaseException as exc:
            self.recover(job, exc)
            raise

    def recover(self, job: Job, exc: BaseException) -> None:
        """
        Take back all that a request still has, after an exception at an unknown point: out of a signal handler, Ctrl-C.

        What it had is closed. Does next to nothing after a failure that has given back everything.
        """
        pool = self.pool
        claim = pool.claim_of(job)
        if pool.changing or claim is not None or not isinstance(exc, (TransportError, asyncio.CancelledError)):
            pool.give_up(job, self._dials)
            dial = self._dials.get(claim) if isinstance(claim, Ticket) else None
            if dial is not None:
                dial.cancel()
            self.settings.unlock()
        if pool.has_chores:
            self.settle()

    def later(self, function: Callable[[], None]) -> None:
        """Call `function` soon, on the loop. May be called from anywhere, also by the garbage collector."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # the loop is closed, and the next engine closes what this one has

    def lost(self, connection: AsyncioConnection) -> None:
        """An idle connection ended, spoke out of turn, or is too old."""
        connection.close()  # first: the pool may go on with one that is closed, and notices
        self.pool.remove(connection)
        self.settle()

    def settle(self) -> None:
        """Do what the pool asks for. After the loop's end there is no task left that could be woken."""
        pool = self.pool
        while pool.has_chores:
            try:
                connections, tickets = pool.take_chores()
                for connection in connections:
                    connection.close()
                if tickets and self.loop.is_closed():
                    continue
                for ticket in tickets:
                    if ticket.signal is not None and not ticket.signal.done():
                        ticket.signal.set_result(True)
            except BaseException:
                pool.changing = True  # so that tickets which were not woken yet are woken again
                raise

    async def aclose(self) -> None:
        """Close every connection, also those in use, and wait for dials to end."""
        self._closed = True
        dials = list(self._dials.values())
        for dial in dials:
            dial.cancel()
        self._close_connections()
        await asyncio.gather(*dials, return_exceptions=True)
        self._close_connections()

    def _close_connections(self) -> None:
        known = self.pool.connections
        try:
            for connection in self.pool.shut():
                connection.close()
            self.settle()
        except BaseException:
            for connection in known:
                connection.close()
            raise

    def close_from_outside(self) -> None:
        """Close everything from where this loop does not run: another loop, another thread, or after its end."""
        self._closed = True
        try:
            self.loop.call_soon_threadsafe(self._close_on_loop)
        except RuntimeError:  # the loop is closed
            self._close_connections()

    def _close_on_loop(self) -> None:
        for dial in self._dials.values():
            dial.cancel()
        self._close_connections()

    # Dialling.

    async def _dial(self, ticket: Ticket[AsyncioConnection], job: Job) -> None:
        """Serve a ticket, in a task of its own: it goes on also if the request is over meanwhile."""
        try:
            connection = await self._connect(job)
        except Exception as exc:
            self._end_dial(ticket, error=exc)
        else:
            try:
                if connection.multiplexer is None:
                    self.pool.dialled(ticket, connection, self.now())
                else:
                    connection.multiplexer.enter_pool(ticket)
                self._dials.pop(ticket, None)
            except BaseException:
                if not self.pool.knows(connection):
                    connection.close()  # `_end_dial` comes after that
                raise
            if ticket.connection is not connection:
                connection.was_left()  # another request has it now, or none has for a while
            self.settle()

    def _end_dial(
        self, ticket: Ticket[AsyncioConnection], task: asyncio.Task[None] | None = None, error: Exception | None = None
    ) -> None:
        """
        Report a dial that failed; or whose task ended without having said so.

        Such a task was cancelled, maybe before it began, or interrupted, maybe in the middle of its report.
        """
        pool = self.pool
        if task is not None and not task.cancelled() and task.exception() is not None:
            pool.changing = True  # so that everything is made anew, and tickets are woken again
            self.settings.unlock()
        if pool.changing or ticket in self._dials:
            pool.dial_failed(ticket, error or ConnectError(CLOSED))
            self._dials.pop(ticket, None)
            self.settle()

    async def _connect(self, job: Job) -> AsyncioConnection:
        """Return a new connection. Raises ConnectError, ConnectTimeout, ProxyError."""
        dial = Dial(job, self.settings, self.loop.time, self._new_connection, self._sockets.give_up)
        return await AsyncioDialling(self._sockets, self.loop, self.settings, job).run(dial.connect())

    def _new_connection(
        self, sock: socket.socket, tls: TLSFilter | None, early: bytes, is_http2: bool
    ) -> AsyncioConnection:
        """Return the connection that a dial has made; `early` are plain bytes that the peer has sent already."""
        connection = AsyncioConnection(self, sock)
        connection.wire.tls = tls
        connection.incoming = bytearray(early)  # and what else it says before the first request is out
        if is_http2:
            connection.wire.early, connection.incoming = early, None
            from .http2.asyncio import AsyncioMultiplexer  # loaded when it is needed first

            try:
                AsyncioMultiplexer(self, connection)
            except BaseException:
                connection.close()  # the loop does not watch the socket any more
                raise
        return connection


def stop_sending(connection: AsyncioConnection, exchange: Exchange, error: WriteError) -> None:
    """Note that sending failed. A server that closes while we send has often responded before."""
    connection.write_error = again(error)
    exchange.cut_short()


def why(connection: AsyncioConnection, error: Exception | None = None) -> Exception:
    """Return what to raise where nothing more can be received."""
    error = connection.error or error
    if connection.closed or error is None:
        return ReadError(CLOSED_HERE)
    # If the TLS handshake was refused, nothing could be sent either.
    return again(error if isinstance(error, ConnectError) else connection.write_error or error)
