"""
The shell for trio: try at once, else wait for readiness under a cancel scope.

    TrioEngine       the connections of one transport in one trio run

A dial runs in a system task, because it may outlive the request that asked for it: another one takes the connection
then. Its cancel scope is kept, so that a dial ends that no request waits for.

Bookkeeping is synchronous: between taking a connection or a slot from the pool and the `try` that gives it back there
is no checkpoint, and giving it back has none, so that a cancellation anywhere leaves everything as it was.

Not here: what bytes mean (`_protocol`), who gets which connection (`_pool`), addresses and schedules (`race`, `route`),
sockets and how a task waits for them (`trio_connection`).
"""

from __future__ import annotations

import contextvars
import socket
from typing import Any, Callable

import trio

from .._exceptions import (
    ConnectError,
    NetworkError,
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
from .connecting import Dial
from .dialling.trio import TrioDialling
from .job import NO_RESPONSE, REFUSALS, Job, Refusals, hear_early, listen, shown, stop_sending, why
from .route import proxy_fields
from .settings import Settings, new_pool
from .story import Event
from .trio_connection import TrioConnection, now, scope_until

CLOSED = "the transport was closed while the request waited for a connection"


class TrioEngine:
    """The connections of one async transport in one trio run."""

    now = staticmethod(now)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._token = trio.lowlevel.current_trio_token()
        self._ended = False
        self._closed = False
        self._writer = FieldWriter()
        self._head_limits = settings.head_limits
        self._http2 = settings.http2
        self._refusals = Refusals()
        self._proxy_fields = [] if settings.proxy is None else proxy_fields(settings.proxy)
        self._dials: dict[Ticket[TrioConnection], trio.CancelScope] = {}
        self._no_dials = trio.Event()
        self.pool: Pool[TrioConnection] = new_pool(settings, late_binding=True)
        FORKS.watch(self)

    def forget(self) -> None:
        """In a forked child: its copies of the descriptors are closed, without a word to the peer."""
        for connection in self.pool.shut():
            connection.closed = True
            connection.wire.sock.close()

    def has_ended(self) -> bool:
        """Return whether the trio run is over."""
        try:
            self._token.run_sync_soon(_nothing, idempotent=True)
        except trio.RunFinishedError:
            return True
        return False

    async def handle(self, request: Request) -> Response:
        """
        Send a request and return its response as soon as its head is there; small bodies are whole by then.

        Raises:
            TransportError: of the class that says what failed.

        Long because every part of it that had a function of its own would be one more frame for a warm request.
        """
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
                # No checkpoint between the pool and the `try`: a cancellation there would leak the connection.
                if connection.closed or (connection.reused and not connection.is_quiet()):
                    self.release(connection, False, job)
                    moment = job.note_acquired(now())
                    continue
                until: float | None = None
                try:
                    if connection.reused and job.deadline is None and job.narrator is None:
                        # The first turn of `receive`, and nearly always the only one.
                        wire, data = connection.wire, exchange.take()
                        try:
                            wire.unsent = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
                        except WriteError as exc:
                            stop_sending(connection, exchange, exc)
                        if exchange.need == INPUT and not wire.unsent:
                            until = None if job.read is None else moment + job.read  # there was no wait since then
                            try:
                                received = await connection.receive(until)
                            except TransportError as exc:
                                raise why(connection, exc) from None
                            if received is None:
                                raise job.timed_out(ReadTimeout, "read", now(), NO_RESPONSE)
                            exchange.receive(received) if received else wire.deliver_end(exchange)
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
                    self.release(connection, exchange.reusable, job)
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
        if self._refusals.has(key, now()):
            return None
        connection = self.pool.find(key, now(), job)
        if connection is None:
            return None
        multiplexer = connection.multiplexer
        if multiplexer is None or not multiplexer.allows_protocols:
            self.release(connection, True, job)
            return None
        response: Response | None = None
        try:
            response = await multiplexer.handle(job, now())
        except (NetworkError, RemoteProtocolError):
            pass
        if response is None or response.status_code in REFUSALS:
            if multiplexer.allows_protocols:  # else the connection broke, which says nothing about the next one
                self._refusals.add(key, now())
            if response is not None:
                await response.aclose()
            return None
        if 200 <= response.status_code <= 299:
            multiplexer.make_tunnel(response)
        return response

    def _exchange_on(self, connection: TrioConnection, job: Job) -> HTTP1Exchange:
        """Return the machine for a request that has its connection already."""
        if job.narrator is not None:
            job.narrator.over_http1()  # it may have begun over HTTP/2, on another connection
        try:
            return HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
        except BaseException:
            self.release(connection, True, job)
            raise

    async def receive(
        self, connection: TrioConnection, exchange: Exchange, job: Job, until: float | None = None
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
        wire = connection.wire
        has_head = exchange.head is not None
        is_new = not has_head and not connection.reused
        # Sends are noted from the second on; the first may have been before.
        is_first = is_new or job.deadline is not None or job.narrator is not None
        goes_on = until is not None and exchange.only_informational  # what came last was no progress
        if job.narrator is not None:
            await self.tell(job, "turn", exchange)
        while exchange.head is None or (has_head and not exchange.chunks):
            need = exchange.need
            if wire.unsent and need != NOTHING and not exchange.abandoned:
                await self._await_room(connection, exchange, job)
            elif need == OUTPUT:
                if job.deadline is not None and job.is_late(now()):
                    raise job.timed_out(WriteTimeout, "write", now(), "the request was not sent")
                data = exchange.take()
                try:
                    wire.unsent = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
                except WriteError as exc:
                    stop_sending(connection, exchange, exc)
                if is_new:
                    is_new = False
                    hear_early(connection, exchange)
                if is_first:
                    is_first = False
                elif exchange.head is None:
                    job.note_sent(now())
            elif need == INPUT:
                if goes_on:
                    pass
                elif job.deadline is not None:
                    until = job.limit("read", now())
                else:
                    until = None if job.read is None else now() + job.read
                try:
                    received = await connection.receive(until)
                except TransportError as exc:
                    raise why(connection, exc) from None
                if received is None or (job.deadline is not None and job.is_late(now())):
                    raise job.timed_out(ReadTimeout, "read", now(), NO_RESPONSE)
                exchange.receive(received) if received else wire.deliver_end(exchange)
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

    async def _feed(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """Hand over the next piece of the request's body."""
        if job.should_rest():
            await trio.lowlevel.checkpoint()  # else pieces that are there at once could not be cancelled
        # What has arrived comes first: it may be for a reader, or may make the rest of the body pointless.
        if not (connection.wire.poll(0) and listen(connection, exchange)):
            piece = await job.anext_piece()
            if piece is None and job.request.trailers is not None:
                exchange.feed(None, job.trailers())
            else:
                exchange.feed(piece)

    async def _await_room(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """Wait until the socket has taken what is unsent, or there is something for the reader."""
        wire = connection.wire
        until = job.limit("write", now())
        head, size = exchange.head, len(wire.unsent)
        while wire.unsent and exchange.head is head and not exchange.chunks and not exchange.abandoned:
            ready = await connection.wait_for_either(until)
            if ready and wire.poll(0):
                listen(connection, exchange)
                if exchange.informational and head is None:
                    await self.hear(exchange, job)
                if exchange.need == NOTHING:
                    exchange.cut_short()  # the response is whole, and the request is not
                    return
            try:
                wire.flush()
            except WriteError as exc:
                stop_sending(connection, exchange, exc)
                return
            if len(wire.unsent) < size:
                size, until = len(wire.unsent), job.limit("write", now())  # another wait begins
                if exchange.head is None:
                    job.note_sent(now())
            # The clock, too: where something always arrives, no wait is long enough to be ended.
            elif not ready or (until is not None and now() >= until):
                raise job.timed_out(WriteTimeout, "write", now(), "the peer did not take the request")

    async def _await_consent(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """Wait for 100 (Continue) or the response; when patience ends the body goes out without."""
        until = job.consent_limit(now())
        while exchange.need == PAUSE:
            try:
                data = await connection.receive(until)
            except TransportError as exc:
                raise why(connection, exc) from None
            if data is not None:
                exchange.receive(data) if data else connection.wire.deliver_end(exchange)
            if data is None or (until is not None and now() >= until):
                job.check_patience(now())
                exchange.proceed()
            if exchange.informational:
                await self.hear(exchange, job)

    def _stream(self, connection: TrioConnection, exchange: Exchange, job: Job) -> Response:
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

    async def _redeem(self, ticket: Ticket[TrioConnection], job: Job) -> TrioConnection:
        """Wait for a ticket to be served: by its own dial, or by a connection that is given back."""
        self.settle()
        job.note_wait()
        begun = False  # the dial that the ticket may be told to make
        try:
            if not ticket.dial:
                await self._wait_in_queue(ticket, job)
            if ticket.connection is None:
                if self._closed:
                    raise ConnectError(CLOSED)
                begun = True
                self._begin_dial(ticket, job)
                while not ticket.served:
                    ticket.signal = trio.Event()
                    await ticket.signal.wait()
            if ticket.error is not None:
                error, ticket.error = ticket.error, None
                try:
                    raise error
                finally:
                    del error  # its traceback holds this frame
            connection: TrioConnection | None = ticket.connection
            assert connection is not None
            job.note_acquired(now())
            return connection
        except BaseException:
            self._abandon(ticket)
            raise
        finally:
            if ticket.dial and not begun:
                self.pool.dial_failed(ticket)
                self.settle()

    async def _wait_in_queue(self, ticket: Ticket[TrioConnection], job: Job) -> None:
        ticket.signal = trio.Event()
        await self.tell(job, "start", "pool.acquire_connection")
        with scope_until(job.queue_limit(now(), self.pool.awaits_dial(job.key))) as scope:
            await ticket.signal.wait()
        if scope.cancelled_caught and not ticket.served and not ticket.dial:
            raise job.queue_timed_out(now())
        await self.tell(job, "complete")

    def _abandon(self, ticket: Ticket[TrioConnection]) -> None:
        """No request waits for the ticket any more; a dial that only it wanted ends, too."""
        self.pool.abandon(ticket, now())
        dial = self._dials.get(ticket)
        if dial is not None:
            dial.cancel()
        self.settle()

    def release(self, connection: TrioConnection, reusable: bool, job: Job) -> None:
        """Give the connection of a request back; it is closed unless it may be reused. Has no checkpoint."""
        connection.reused = True
        wire = connection.wire
        if wire.unsent or (wire.tls is not None and wire.tls.ended):
            reusable = False
        try:
            self.pool.release(connection, reusable and not connection.closed, now(), job)
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
        if pool.changing or claim is not None or not isinstance(exc, (TransportError, trio.Cancelled)):
            pool.give_up(job, self._dials)
            dial = self._dials.get(claim) if isinstance(claim, Ticket) else None
            if dial is not None:
                dial.cancel()
            self.settings.unlock()
        if pool.has_chores:
            self.settle()

    def settle(self) -> None:
        """Do what the pool asks for."""
        pool = self.pool
        while pool.has_chores:
            try:
                connections, tickets = pool.take_chores()
                for connection in connections:
                    connection.close()
                for ticket in tickets:
                    if ticket.signal is not None:
                        ticket.signal.set()
            except BaseException:
                pool.changing = True  # so that tickets which were not woken yet are woken again
                raise

    def later(self, function: Callable[[], None]) -> None:
        """Call `function` soon, in the trio run. May be called from anywhere, also by the garbage collector."""
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            pass  # the next engine closes what this one has

    async def aclose(self) -> None:
        """Close every connection, also those in use, and wait for dials to end."""
        self.close_now()
        if self._dials:
            self._no_dials = trio.Event()
            await self._no_dials.wait()

    def close_now(self) -> None:
        """The part of `aclose` that does not wait."""
        self._closed = True
        for scope in self._dials.values():
            scope.cancel()
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
        """Close everything from where this trio run is not: another thread, or after its end."""
        self._closed = True
        try:
            self._token.run_sync_soon(self.close_now)
        except trio.RunFinishedError:
            for connection in self.pool.shut():
                connection.closed = True
                connection.wire.close()

    # Dialling.

    def _begin_dial(self, ticket: Ticket[TrioConnection], job: Job) -> None:
        scope = self._dials[ticket] = trio.CancelScope()
        trio.lowlevel.spawn_system_task(self._dial, ticket, job, scope, context=contextvars.copy_context())

    async def _dial(self, ticket: Ticket[TrioConnection], job: Job, scope: trio.CancelScope) -> None:
        """Serve a ticket, in a task of its own: it goes on also if the request is over meanwhile."""
        connection: TrioConnection | None = None
        error: Exception | None = None
        try:
            with scope:
                connection = await self._connect(job)
        except Exception as exc:
            error = exc
        except BaseException:
            self.settings.unlock()
            raise
        finally:
            del self._dials[ticket]
            if connection is not None and self._closed:  # the cancellation came too late to be noticed
                connection.close()
                connection = None
            if connection is not None:
                if connection.multiplexer is None:
                    self.pool.dialled(ticket, connection, now())
                else:
                    connection.multiplexer.enter_pool(ticket)
                # Another request has it now, or none has for a while: it must be looked at before it is used.
                connection.reused = ticket.connection is not connection
                if connection.reused and connection.multiplexer is not None:
                    connection.multiplexer.was_left()
            else:
                self.pool.dial_failed(ticket, error or ConnectError(CLOSED))
                error = None  # its traceback holds this frame
            self.settle()
            if not self._dials:
                self._no_dials.set()

    async def _connect(self, job: Job) -> TrioConnection:
        """Return a new connection. Raises ConnectError, ConnectTimeout, ProxyError."""
        dial = Dial(job, self.settings, now, self._new_connection)
        return await TrioDialling(self.settings, job).run(dial.connect())

    def _new_connection(
        self, sock: socket.socket, tls: TLSFilter | None, early: bytes, is_http2: bool
    ) -> TrioConnection:
        """Return the connection that a dial has made; `early` are plain bytes that the peer has sent already."""
        connection = TrioConnection(sock)
        connection.wire.tls, connection.wire.early = tls, early
        if is_http2:
            from .http2.trio import TrioMultiplexer  # loaded when it is needed first

            TrioMultiplexer(self, connection)
        return connection


def _nothing() -> None:
    """For `run_sync_soon`, which tells whether the run is over."""
