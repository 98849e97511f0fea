"""
The shell for trio: try at once, else wait for readiness under a cancel scope.

    TrioEngine       the connections of one transport in one trio run

A dial runs in a system task, because it may outlive the request that asked for it: somebody else takes the connection
then. Its cancel scope is kept, so that a dial that nobody waits for ends.

Bookkeeping is synchronous: between taking a connection or a slot from the pool and the `try` that gives it back there
is no checkpoint, and giving it back has none, so that a cancellation anywhere leaves everything as it was.

Not here: what bytes mean (`_protocol`), who gets which connection (`_pool`), addresses and schedules (`race`, `route`),
sockets and how a task waits for them (`trio_connection`).
"""

from __future__ import annotations

import contextvars
import socket
from collections.abc import AsyncIterator
from typing import Any, Callable

import trio

from .._exceptions import (
    ConnectError,
    ReadError,
    ReadTimeout,
    WriteError,
    WriteTimeout,
)
from .._models import Request, Response
from .._pool import Pool, Ticket
from .._protocol.exchange import BODY, INPUT, NOTHING, OUTPUT, PATIENCE, PAUSE, Exchange
from .._protocol.http1 import FieldWriter, HTTP1Exchange
from .._protocol.tls import TLSFilter
from .async_body import AsyncBody
from .connecting import Dial
from .dialling.trio import TrioDialling
from .forks import FORKS
from .job import Job, end_pieces, next_piece, shown
from .route import proxy_fields
from .settings import Settings, new_pool
from .story import Event
from .trio_connection import TrioConnection, now, scope_until

CLOSED = "the transport was closed while the request waited for a connection"


class TrioEngine:
    """The connections of one async transport in one trio run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._token = trio.lowlevel.current_trio_token()
        self._ended = False
        self._closed = False
        self._writer = FieldWriter()
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
        """Is the trio run over?"""
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
        """
        job = Job(request, now())
        if self.settings.forwards:
            job.forward(self._proxy_fields)
        while not self._closed:
            # The machine first, if it is known which: it refuses what must not be sent, before anything is taken.
            exchange = None if self.settings.http2 else self._new_exchange(job)
            connection = self.pool.acquire(job.key, now())
            if isinstance(connection, Ticket):
                connection = await self._redeem(connection, job)
            if self.pool.has_chores:
                self.settle()
            if exchange is None:
                if connection.multiplexer is not None:
                    answer = await connection.multiplexer.handle(job)
                    if answer is None:
                        continue
                    return answer
                exchange = self._exchange_on(connection, job)
            # No checkpoint between the pool and the `try`: a cancellation there would leak the connection.
            if connection.reused and not connection.is_quiet():
                self.release(connection, False)
                continue
            try:
                await self._pump(connection, exchange, job)
            except BaseException as exc:
                reused = connection.reused
                self.release(connection, False)
                if job.narrator is not None and isinstance(exc, Exception):
                    await self.tell(job, "failed", exc)
                if job.may_replay(exchange, exc, reused):
                    continue
                raise
            if exchange.finished and not exchange.upgraded:
                chunks = exchange.chunks
                body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                response = Response._from_wire(exchange.head, exchange.remarkable, body, connection)  # type: ignore[arg-type]  # there is a head
                self.release(connection, exchange.reusable)
                if job.narrator is not None:
                    await self.tell(job, "body")
                    await self.tell(job, "closed")
            else:
                response = self._stream(connection, exchange, job)
            if exchange.informational or exchange.trailers is not None:
                job.annotate(response, exchange)
            return response
        raise ConnectError(CLOSED)

    def _new_exchange(self, job: Job) -> HTTP1Exchange:
        return HTTP1Exchange(*job.arguments, self.settings.head_limits, self._writer)

    def _exchange_on(self, connection: TrioConnection, job: Job) -> HTTP1Exchange:
        """The machine for a request that has its connection already."""
        if job.narrator is not None:
            job.narrator.over_http1()  # it may have begun over HTTP/2, on another connection
        try:
            return self._new_exchange(job)
        except BaseException:
            self.release(connection, True)
            raise

    async def _pump(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """Send the request, and receive until the head of the answer is there."""
        wire = connection.wire
        pieces: AsyncIterator[bytes] | None = None
        if job.narrator is not None:
            await self.tell(job, "turn", exchange)
        try:
            while exchange.head is None or exchange.need <= BODY:
                need = exchange.need
                if need == OUTPUT:
                    if job.deadline is not None and now() >= job.deadline:
                        raise job.timed_out(WriteTimeout, "write", now(), "the request was not sent")
                    data = exchange.take()
                    try:
                        rest = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
                        if rest:
                            await self._send_rest(rest, connection, exchange, job)
                    except WriteError as exc:
                        connection.write_error = exc
                        exchange.cut_short()  # a server that closes while we send has often answered before
                elif need == INPUT:
                    await self.receive(connection, exchange, job)
                elif need == BODY:
                    if pieces is None:
                        pieces = job.async_pieces()
                    piece = await next_piece(pieces)
                    if piece is None:
                        pieces = None
                    exchange.feed(piece)
                    if wire.poll(0):
                        await self._listen(connection, exchange)
                elif need == PAUSE:
                    await self._await_consent(connection, exchange, job)
                else:
                    break
                if job.narrator is not None:
                    await self.tell(job, "turn", exchange)
        finally:
            if pieces is not None:
                await end_pieces(pieces, job)
        # An answer that broke off behind its head is a response still, and raises when it is read.
        if exchange.error is not None and exchange.head is None:
            raise connection.write_error or exchange.error

    async def _send_rest(self, rest: bytes, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        wire = connection.wire
        while rest:
            ready = await connection.wait_for_either(job.limit("write", now()))
            if not ready or (job.deadline is not None and now() >= job.deadline):
                raise job.timed_out(WriteTimeout, "write", now(), "the peer did not take the request")
            if wire.poll(0):
                await self._listen(connection, exchange)
                if exchange.need == NOTHING or exchange.abandoned:
                    exchange.cut_short()
                    return
            rest = wire.send(rest)

    async def receive(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """
        Receive once and feed the exchange.

        Raises:
            ReadTimeout, ReadError.
        """
        until = job.limit("read", now())
        while True:
            try:
                data = await connection.receive(until)
            except ReadError as exc:
                raise connection.write_error or exc from None
            # Where something always arrives no wait is long enough to be ended.
            if data is None or (job.deadline is not None and now() >= job.deadline):
                raise job.timed_out(ReadTimeout, "read", now(), "the answer did not arrive")
            exchange.receive(data) if data else connection.wire.deliver_end(exchange)
            # Interim answers are no progress: the time to wait goes on.
            if not exchange.only_informational or exchange.need != INPUT:
                return

    async def _listen(self, connection: TrioConnection, exchange: Exchange) -> None:
        """Take what has arrived during an upload; under TLS that may be nothing that is meant for us."""
        data = await connection.receive(now())
        if data is not None:
            exchange.receive(data) if data else connection.wire.deliver_end(exchange)

    async def _await_consent(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        until = now() + PATIENCE
        data = await connection.receive(until if job.deadline is None else min(until, job.deadline))
        if data is None:
            exchange.proceed()
        else:
            exchange.receive(data) if data else connection.wire.deliver_end(exchange)

    def _stream(self, connection: TrioConnection, exchange: Exchange, job: Job) -> Response:
        """A response whose body is still to come, or whose connection was upgraded."""
        network_stream: Any = connection
        if exchange.upgraded:
            connection.upgrade(exchange.surplus)
            network_stream = shown(connection)
        stream = AsyncBody(self, connection, exchange, job)
        assert exchange.head is not None
        stream.response = Response._from_wire(exchange.head, exchange.remarkable, stream, network_stream)
        return stream.response

    async def tell(self, job: Job, what: str, *args: Any, **info: Any) -> None:
        """Deliver the events of a step of `Narrator` to whoever traces the request."""
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
        """Wait for a ticket to be served: by its own dial, or by a connection that somebody gives back."""
        self.settle()
        begun = False  # the dial that the ticket may be told to make
        try:
            if not ticket.dial:
                await self._wait_in_queue(ticket, job)
            if ticket.connection is None:
                if self._closed:
                    raise ConnectError(CLOSED)
                ticket.signal = trio.Event()
                begun = True
                self._begin_dial(ticket, job)
                await ticket.signal.wait()
            if ticket.error is not None:
                error, ticket.error = ticket.error, None
                try:
                    raise error
                finally:
                    del error  # its traceback holds this frame
            connection: TrioConnection | None = ticket.connection
            assert connection is not None
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
        """Nobody waits for the ticket any more; a dial that only it wanted ends, too."""
        self.pool.abandon(ticket, now())
        dial = self._dials.get(ticket)
        if dial is not None:
            dial.cancel()
        self.settle()

    def release(self, connection: TrioConnection, reusable: bool) -> None:
        """Give a connection back; it is closed unless it may be reused. Has no checkpoint."""
        connection.reused = True
        tls = connection.wire.tls
        if tls is not None and tls.ended:
            reusable = False
        self.pool.release(connection, reusable and not connection.closed, now())
        if self.pool.has_chores:
            self.settle()

    def settle(self) -> None:
        """Do what the pool asks for."""
        while self.pool.has_chores:
            connections, tickets = self.pool.take_chores()
            for connection in connections:
                connection.close()
            for ticket in tickets:
                if ticket.signal is not None:
                    ticket.signal.set()

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
        for connection in self.pool.shut():
            connection.close()
        self.settle()

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
        """The task behind a ticket: it lives until it has a connection or an error, whoever wants it by then."""
        connection: TrioConnection | None = None
        error: Exception | None = None
        try:
            with scope:
                connection = await self._connect(job)
        except Exception as exc:
            error = exc
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
                # Somebody else's now, or nobody's for a while: to be looked at before it is used.
                connection.reused = ticket.connection is not connection
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
            from .http2.trio import TrioMultiplexer  # those who never meet it do not load it

            TrioMultiplexer(self, connection)
        return connection


def _nothing() -> None:
    """For `run_sync_soon`, which tells whether the run is over."""
