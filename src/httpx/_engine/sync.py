"""
The shell for threads: blocking calls on non-blocking sockets, each wait bounded by its timeout.

    SyncBody         the body of a response that has not arrived whole
    SyncEngine       the connections of one transport; any number of threads may call `handle`

The pool is behind one lock that is held for bookkeeping only, never while anything waits. The thread that dials is
the one that waits, so here a dial is not overtaken by a released connection as it is on asyncio and trio: waking a
thread out of `connect` would take a socket pair for every dial.

Not here: what bytes mean (`_protocol`), who gets which connection (`_pool`), addresses and schedules (`race`, `route`),
sockets and how a thread waits for them (`sync_connection`).
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Any, Callable

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
from .._types import SyncByteStream
from .connecting import Dial
from .dialling.sync import SyncDialling
from .forks import FORKS
from .job import Job, shown
from .route import proxy_fields
from .settings import Settings, new_pool
from .sockets import wait_for
from .story import Event
from .sync_connection import SyncConnection, SyncWire

CLOSED = "the transport was closed while the request waited for a connection"


class SyncBody(SyncByteStream):
    """The rest of a response's body, read from its connection while it is iterated."""

    def __init__(self, engine: SyncEngine, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        self._engine = engine
        self._connection = connection
        self._exchange = exchange
        self._job = job
        self._over = False
        self.response: Response | None = None

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        if self._job.narrator is not None:
            self._engine.tell(self._job, "body")
        while True:
            if exchange.chunks:
                yield from self._connection.take_chunks(exchange)
            elif exchange.need == NOTHING:
                break
            else:
                self._receive()
        if exchange.error is not None:
            self._release(False)
            raise exchange.error
        if exchange.trailers is not None and self.response is not None:
            self.response.extensions["trailers"] = exchange.trailers
        if not exchange.upgraded:
            self._release(exchange.reusable)

    def _receive(self) -> None:
        try:
            self._engine.receive(self._connection, self._exchange, self._job)
        except BaseException:
            self._release(False)
            raise

    def close(self) -> None:
        """Free the connection; it stays usable only if the whole answer has arrived."""
        self._release(self._exchange.reusable)

    def _release(self, reusable: bool) -> None:
        if not self._over:
            self._over = True
            self._engine.release(self._connection, reusable)
            if self._job.narrator is not None:
                self._engine.tell(self._job, "closed")


class SyncEngine:
    """The connections of one sync transport. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closings = 0
        self._writer = FieldWriter()
        self._head_limits = settings.head_limits
        self._may_share = settings.http2
        self._later: deque[Callable[[], None]] = deque()
        self._proxy_fields = [] if settings.proxy is None else proxy_fields(settings.proxy)
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Begin anew without any connection: at first, and in a forked child, where they are the parent's."""
        for connection in self.pool.connections if hasattr(self, "pool") else ():
            connection.wire.sock.close()  # the child's descriptor only, and no word to the peer
        self.lock = threading.Lock()
        self.pool: Pool[SyncConnection] = new_pool(self.settings, late_binding=False)

    def handle(self, request: Request) -> Response:
        """
        Send a request and return its response as soon as its head is there; small bodies are whole by then.

        Raises:
            TransportError: of the class that says what failed.
        """
        job = Job(request, monotonic())
        if self.settings.forwards:
            job.forward(self._proxy_fields)
        pool = self.pool
        while True:
            # The machine first, if it is known which: it refuses what must not be sent, before anything is taken.
            exchange = None if self._may_share else HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
            with self.lock:
                connection = pool.acquire(job.key, monotonic())
            # Who has a multiplexer is watched by it: another thread may be waiting in the poll.
            if (
                isinstance(connection, Ticket)
                or pool.has_chores
                or (connection.multiplexer is None and connection.wire.poll(0))
            ):
                connection = self._acquire(connection, job)
            if exchange is None:
                if connection.multiplexer is not None:
                    answer = connection.multiplexer.handle(job)
                    if answer is None:
                        continue
                    return answer
                exchange = self._exchange_on(connection, job)
            try:
                self._pump(connection, exchange, job)
            except BaseException as exc:
                reused = connection.reused
                self.release(connection, False)
                self.tell(job, "failed", exc)
                if not connection.aborted and job.may_replay(exchange, exc, reused):
                    continue
                raise
            if exchange.finished and not exchange.upgraded:
                chunks = exchange.chunks
                body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                response = Response._from_wire(exchange.head, exchange.remarkable, body, connection)  # type: ignore[arg-type]  # there is a head
                # What `release` does, without its frame.
                connection.reused = True
                tls = connection.wire.tls
                with self.lock:
                    pool.release(connection, exchange.reusable and (tls is None or not tls.ended), monotonic())
                if pool.has_chores:
                    self.do_chores()
                if job.narrator is not None:
                    self.tell(job, "body")
                    self.tell(job, "closed")
            else:
                response = self._stream(connection, exchange, job)
            if exchange.informational or exchange.trailers is not None:
                job.annotate(response, exchange)
            return response

    def _exchange_on(self, connection: SyncConnection, job: Job) -> HTTP1Exchange:
        """The machine for a request that has its connection already."""
        if job.narrator is not None:
            job.narrator.over_http1()  # it may have begun over HTTP/2, on another connection
        try:
            return HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
        except BaseException:
            self.release(connection, True)
            raise

    def _pump(self, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        """Send the request, and receive until the head of the answer is there."""
        wire = connection.wire
        pieces: Iterator[bytes] | None = None
        if job.narrator is not None:
            self.tell(job, "turn", exchange)
        try:
            while exchange.head is None or exchange.need <= BODY:
                need = exchange.need
                if need == OUTPUT:
                    if job.deadline is not None and monotonic() >= job.deadline:
                        raise job.timed_out(WriteTimeout, "write", monotonic(), "the request was not sent")
                    data = exchange.take()
                    try:
                        rest = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
                        if rest:
                            self._send_rest(rest, connection, exchange, job)
                    except WriteError as exc:
                        connection.write_error = exc
                        exchange.cut_short()  # a server that closes while we send has often answered before
                elif need == INPUT:
                    self.receive(connection, exchange, job)
                elif need == BODY:
                    if pieces is None:
                        pieces = job.sync_pieces()
                    exchange.feed(next(pieces, None))
                    if wire.poll(0):
                        self._listen(connection, exchange)
                elif need == PAUSE:
                    self._await_consent(connection, exchange, job)
                else:
                    break
                if job.narrator is not None:
                    self.tell(job, "turn", exchange)
        finally:
            # A generator that is not used up would stay suspended, with whatever it holds open.
            if pieces is not None and hasattr(pieces, "close"):
                pieces.close()
        # An answer that broke off behind its head is a response still, and raises when it is read.
        if exchange.error is not None and exchange.head is None:
            raise connection.write_error or exchange.error

    def _send_rest(self, rest: bytes, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        wire = connection.wire
        while rest:
            ready = wait_for([wire.sock], [wire.sock], job.limit("write", monotonic()))
            if not ready or (job.deadline is not None and monotonic() >= job.deadline):
                raise job.timed_out(WriteTimeout, "write", monotonic(), "the peer did not take the request")
            if wire.poll(0):
                self._listen(connection, exchange)
                if exchange.need == NOTHING or exchange.abandoned:
                    exchange.cut_short()
                    return
            rest = wire.send(rest)

    def receive(self, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        """
        Receive once and feed the exchange.

        Raises:
            ReadTimeout, ReadError.
        """
        try:
            data = connection.wire.receive(job.read, job.deadline)
            if data is not None:
                exchange.receive(data) if data else connection.wire.deliver_end(exchange)
                if exchange.only_informational:
                    data = self._receive_on(connection, exchange, job)
        except ReadError as exc:
            raise connection.write_error or exc from None
        # Where something always arrives no wait is long enough to be ended.
        if data is None or (job.deadline is not None and monotonic() >= job.deadline):
            raise job.timed_out(ReadTimeout, "read", monotonic(), "the answer did not arrive")

    def _receive_on(self, connection: SyncConnection, exchange: Exchange, job: Job) -> bytes | None:
        """After an interim answer: those are no progress, so the time to wait goes on through all that follow."""
        until = job.limit("read", monotonic())
        data: bytes | None = b""
        while data is not None and exchange.only_informational and exchange.need == INPUT:
            data = connection.wire.receive(None, until)
            if data is not None:
                exchange.receive(data) if data else connection.wire.deliver_end(exchange)
        return data

    def _listen(self, connection: SyncConnection, exchange: Exchange) -> None:
        """Take what has arrived during an upload; under TLS that may be nothing that is meant for us."""
        data = connection.wire.receive(0)
        if data is not None:
            exchange.receive(data) if data else connection.wire.deliver_end(exchange)

    def _await_consent(self, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        data = connection.wire.receive(PATIENCE, job.deadline)
        if data is None:
            exchange.proceed()
        else:
            exchange.receive(data) if data else connection.wire.deliver_end(exchange)

    def _stream(self, connection: SyncConnection, exchange: Exchange, job: Job) -> Response:
        """A response whose body is still to come, or whose connection was upgraded."""
        network_stream: Any = connection
        if exchange.upgraded:
            connection.upgrade(exchange.surplus)
            network_stream = shown(connection)
        stream = SyncBody(self, connection, exchange, job)
        assert exchange.head is not None
        stream.response = Response._from_wire(exchange.head, exchange.remarkable, stream, network_stream)
        return stream.response

    def tell(self, job: Job, what: str, *args: Any, **info: Any) -> None:
        """Deliver the events of a step of `Narrator` to whoever traces the request."""
        narrator = job.narrator
        if narrator is None:
            return
        events: list[Event] = getattr(narrator, what)(*args, **info)
        if narrator.callback is not None:
            for event in events:
                narrator.callback(*event)

    # Connections.

    def _acquire(self, got: SyncConnection | Ticket[SyncConnection], job: Job) -> SyncConnection:
        """What the pool gave, or will give, as a connection that is fit for use."""
        while True:
            self.do_chores()
            connection = self._redeem(got, job) if isinstance(got, Ticket) else got
            if not connection.reused or connection.multiplexer is not None or connection.wire.is_quiet():
                return connection
            self.release(connection, False)
            with self.lock:
                got = self.pool.acquire(job.key, monotonic())

    def do_chores(self) -> None:
        """Do what the pool asks for, and what was left for later, outside the lock."""
        while self.pool.has_chores:
            with self.lock:
                connections, tickets = self.pool.take_chores()
            for connection in connections:
                connection.close()
            for ticket in tickets:
                if ticket.signal is not None:
                    ticket.signal.set()
            while (function := next_of(self._later)) is not None:
                function()

    def later(self, function: Callable[[], None]) -> None:
        """
        Let the next thread that looks at the pool call `function`. Takes no lock.

        For the garbage collector, which may come within any of our own locked sections.
        """
        self._later.append(function)
        self.pool.has_chores = True

    def _redeem(self, ticket: Ticket[SyncConnection], job: Job) -> SyncConnection:
        """Wait for a ticket to be served, and dial if that is how."""
        closings = self._closings
        if not ticket.dial:
            self._wait_in_queue(ticket, job)
        if ticket.connection is not None:
            return ticket.connection
        try:
            self._check_open(closings)
            connection = self._connect(job)
            self._check_open(closings, connection)
        except BaseException as exc:
            with self.lock:
                if not isinstance(exc, Exception):
                    self.pool.abandon(ticket, monotonic())  # that says nothing about the server
                self.pool.dial_failed(ticket, exc)
                ticket.error = None  # it is raised here, and would keep its own frames alive
            self.do_chores()
            raise
        with self.lock:
            if connection.multiplexer is None:
                self.pool.dialled(ticket, connection, monotonic())
            else:
                connection.multiplexer.enter_pool(ticket)
        self.do_chores()
        return connection

    def _check_open(self, closings: int, connection: SyncConnection | None = None) -> None:
        """What was waiting when the transport was closed must not go on; `connection` is its own, and new."""
        if self._closings != closings:
            if connection is not None:
                connection.close()
            raise ConnectError(CLOSED)

    def _wait_in_queue(self, ticket: Ticket[SyncConnection], job: Job) -> None:
        now = monotonic()
        until = job.queue_limit(now, self.pool.awaits_dial(job.key))
        with self.lock:
            served = ticket.connection is not None or ticket.dial
            ticket.signal = threading.Event()
        try:
            self.tell(job, "start", "pool.acquire_connection")
            if not served:
                ticket.signal.wait(None if until is None else max(0.0, until - now))
            with self.lock:
                served = ticket.connection is not None or ticket.dial
                if not served:
                    raise job.queue_timed_out(monotonic())
            self.tell(job, "complete")
        except BaseException:
            with self.lock:
                self.pool.abandon(ticket, monotonic())
                if ticket.dial:
                    self.pool.dial_failed(ticket)
            self.do_chores()
            raise

    def release(self, connection: SyncConnection, reusable: bool) -> None:
        """Give a connection back; it is closed unless it may be reused."""
        connection.reused = True
        tls = connection.wire.tls
        if tls is not None and tls.ended:
            reusable = False
        pool = self.pool
        with self.lock:
            pool.release(connection, reusable, monotonic())
        if pool.has_chores:
            self.do_chores()

    def close(self) -> None:
        """Close every connection, also those in use, and let nobody who waits for one go on."""
        self._closings += 1
        with self.lock:
            idle = {connection for connection in self.pool.connections if self.pool.remove(connection)}
            connections = self.pool.shut()
        for connection in connections:
            if connection in idle:
                connection.close()
                continue
            connection.aborted = True
            # A thread that waits for one in use is woken; TLS is left to that thread, since it serves one at a time.
            if connection.multiplexer is not None:
                connection.multiplexer.say_goodbye()
            connection.wire.abort()
        self.do_chores()

    # Dialling.

    def _connect(self, job: Job) -> SyncConnection:
        """Return a new connection. Raises ConnectError, ConnectTimeout, ProxyError."""
        dial = Dial(job, self.settings, monotonic, self._new_connection)
        return SyncDialling(self.settings, job).run(dial.connect())

    def _new_connection(
        self, sock: socket.socket, tls: TLSFilter | None, early: bytes, is_http2: bool
    ) -> SyncConnection:
        """Return the connection that a dial has made; `early` are plain bytes that the peer has sent already."""
        wire = SyncWire(sock)
        wire.tls, wire.early = tls, early
        connection = SyncConnection(wire)
        if is_http2:
            from .http2.sync import SyncMultiplexer  # those who never meet it do not load it

            SyncMultiplexer(self, connection)
        return connection


def next_of(functions: deque[Callable[[], None]]) -> Callable[[], None] | None:
    """Remove and return the oldest, or None; other threads may do the same."""
    try:
        return functions.popleft()
    except IndexError:
        return None
