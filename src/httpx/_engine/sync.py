"""
The shell for threads: blocking calls on non-blocking sockets, each wait bounded by its timeout.

    SyncBody         the body of a response that has not arrived whole
    SyncEngine       the connections of one transport; any number of threads may call `handle`

One lock guards the pool. It is held for bookkeeping only, never while anything waits. The thread that dials is
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
from typing import Any, Callable, Protocol

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
from .._forks import FORKS, unlock
from .._models import Request, Response
from .._pool import Pool, Ticket
from .._protocol.exchange import BODY, INPUT, NOTHING, OUTPUT, PAUSE, Exchange
from .._protocol.http1 import FieldWriter, HTTP1Exchange
from .._protocol.tls import TLSFilter
from .._response import ArrivedStream
from .._sharing import SharingPool
from .._types import SyncByteStream
from .._urlparse import PAGE_SCHEMES
from .connecting import Dial
from .dialling.sync import SyncDialling
from .job import (
    CLOSED_HERE,
    NO_RESPONSE,
    REFUSALS,
    Job,
    Refusals,
    again,
    hear_early,
    listen,
    refuse_awaitable,
    shown,
    stop_sending,
    why,
)
from .route import proxy_fields
from .settings import Settings, new_pool
from .story import Event
from .sync_connection import SyncConnection, SyncWire
from .wire import Wire

# Seconds after which a thread that waits for a connection looks whether a response was dropped.
LOOK_UP = 0.25

CLOSED = "the transport was closed while the request waited for a connection"


def wake(signal: threading.Lock) -> None:
    """Let the thread go on that waits until it gets `signal`."""
    try:
        signal.release()
    except RuntimeError:
        pass  # another thread has done it meanwhile


class Source(Protocol):
    """What a body asks of an engine, or of one stream of HTTP/2; `connection` is what the body was given as such."""

    def receive(self, connection: Any, exchange: Any, job: Job) -> None: ...
    def release(self, connection: Any, reusable: bool, job: Job) -> None: ...
    def tell(self, job: Job, what: str) -> None: ...
    def later(self, function: Callable[[], None]) -> None: ...
    def now(self) -> float: ...


class Chunks(Protocol):
    """What a body asks of a connection, or of one stream of HTTP/2."""

    @property
    def wire(self) -> Wire: ...
    @property
    def closed(self) -> bool: ...
    def take_chunks(self, exchange: Any) -> list[bytes]: ...


class SyncBody(SyncByteStream):
    """
    The rest of a response's body, received while it is iterated. The upload goes on meanwhile, if it is not over.

    Args:
        engine: receives, and takes the connection back.
        connection: has the chunks that have arrived.
        exchange: its head is there.
        job: of the request.

    Attributes:
        extensions: of the response, for the trailers. Not the response itself, which refers to this.
        merges: whether chunks that have arrived together are one piece: half the time of an event in a small chunk.
        lends: whether pieces may be views that are valid until the next one is asked for.
    """

    merges = False
    lends = False

    def __init__(self, engine: Source, connection: Chunks, exchange: Exchange, job: Job) -> None:
        self._engine = engine
        self._connection = connection
        self._exchange = exchange
        self._job = job
        self._over = False
        self.extensions: dict[str, Any] = {}

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        # Not earlier: a middleware may set it when it has seen the head.
        if "idle_timeout" in self._job.request.extensions:
            self._job.idle(self._job.request.extensions["idle_timeout"])
        if self._job.narrator is not None:
            self._engine.tell(self._job, "body")
        try:
            while True:
                if exchange.chunks:
                    chunks = self._connection.take_chunks(exchange)
                    # One chunk stays as it is: joining would copy a view.
                    yield from (b"".join(chunks),) if self.merges and len(chunks) > 1 else chunks
                elif exchange.need == NOTHING:
                    break
                else:
                    self._receive_as_user()
        except GeneratorExit:
            self._engine.later(self._drop)  # it may be the garbage collector that ends the iteration
            raise
        if exchange.error is not None:
            self._close(False)
            raise again(exchange.error)
        if exchange.trailers is not None:
            self.extensions["trailers"] = exchange.trailers
        if not exchange.upgraded:
            self.close()

    def _receive_as_user(self) -> None:
        """
        Receive as one of the users of the wire: another thread may close the body, or the client, meanwhile.

        Raises:
            ReadError: that happened. The end that it makes is not the peer's.
        """
        connection, wire = self._connection, self._connection.wire
        wire.users.append(None)
        try:
            if not connection.closed:
                self._receive()
            if connection.closed:
                self._close(False)
                raise ReadError(CLOSED_HERE)
        finally:
            wire.leave()

    def _receive(self) -> None:
        try:
            self._job.lends = self.lends and self._exchange.is_unframed
            self._engine.receive(self._connection, self._exchange, self._job)
        except BaseException as exc:
            if not isinstance(exc, Exception):
                self._job.narrator = None  # whose functions would have to wait
            self._close(False)
            raise

    def hurry(self, ends_by_itself: bool) -> None:
        """Let the rest of the body end soon, or fail: it was not asked for. See `Limits.hurry`."""
        self._job.hurry(self._engine.now(), ends_by_itself)

    def close(self) -> None:
        """Free the connection; it stays usable only if the whole response has arrived."""
        self._close(self._exchange.reusable)

    def _close(self, reusable: bool) -> None:
        if not self._over:
            if self._job.lends:
                self._connection.wire.take_back()  # type: ignore[attr-defined]  # it has lent
            self._engine.release(self._connection, reusable, self._job)
            self._over = True
            if self._job.pieces is not None:
                self._job.end_pieces()
            if self._job.narrator is not None:
                self._engine.tell(self._job, "closed")

    def _drop(self) -> None:
        """Free the connection of a body whose reader is gone, unless it was closed."""
        if not self._over:
            if self._job.lends:
                self._connection.wire.take_back()  # type: ignore[attr-defined]  # the same
            self._engine.release(self._connection, self._exchange.reusable, self._job)
            self._over = True

    def __del__(self) -> None:
        # The stream of an upgraded connection refers to this: it is not in use any more.
        if not getattr(self, "_over", True):  # absent: an interruption left the constructor
            self._engine.later(self._drop)


class SyncEngine:
    """The connections of one sync transport. Threads may share it."""

    now = staticmethod(monotonic)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closings = 0
        self._writer = FieldWriter()
        self._head_limits = settings.head_limits
        self._http2 = settings.http2
        self._refusals = Refusals()
        self._proxy_fields = [] if settings.proxy is None else proxy_fields(settings.proxy)
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Begin anew without any connection: at first, and in a forked child, where they are the parent's."""
        for connection in self.pool.connections if hasattr(self, "pool") else ():
            connection.wire.sock.close()  # the child's descriptor only, and no word to the peer
        self.lock = threading.RLock()
        self._later: deque[Callable[[], None]] = deque()
        self.pool: Pool[SyncConnection] = new_pool(self.settings, late_binding=False)

    def handle(self, request: Request) -> Response:
        """
        Send a request and return its response as soon as its head is there; small bodies are whole by then.

        Raises:
            TransportError: of the class that says what failed.

        Long because every part of it that had a function of its own would be one more frame for a warm request.
        """
        moment = monotonic()
        job = Job(request, moment)
        if self.settings.forwards:
            job.forward(self._proxy_fields)
        pool = self.pool
        try:
            if self._http2 and "websocket" in request.extensions and (tunnel := self._open_tunnel(job)) is not None:
                return tunnel
            while True:
                # The machine first, if it is known which: it refuses what must not be sent, before anything is taken.
                exchange: HTTP1Exchange | None = None
                if not self._http2:
                    # One by one: a call with `*job.arguments` takes 0.13 us more.
                    method, target, fields, content, follows = job.arguments
                    exchange = HTTP1Exchange(method, target, fields, content, follows, self._head_limits, self._writer)
                with self.lock:
                    connection = pool.acquire(job.key, moment, job)
                # The multiplexer of a connection watches it: another thread may be waiting in the poll.
                if (
                    isinstance(connection, Ticket)
                    or pool.has_chores
                    or (connection.multiplexer is None and connection.wire.poll(0))
                ):
                    connection = self._acquire(connection, job)
                    moment = monotonic()
                if exchange is None:
                    if connection.multiplexer is not None:
                        response = connection.multiplexer.handle(job, moment)
                        if response is None:
                            moment = job.note_acquired(monotonic())
                            continue
                        return response
                    exchange = self._exchange_on(connection, job)
                until: float | None = None
                try:
                    if connection.reused and job.deadline is None and job.narrator is None:
                        # The first turn of `receive`, and nearly always the only one: 2 % of a warm request.
                        wire, data = connection.wire, exchange.take()
                        try:
                            wire.unsent = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
                        except WriteError as exc:
                            stop_sending(connection, exchange, exc)
                        if exchange.need == INPUT and not wire.unsent:
                            until = None if job.read is None else moment + job.read  # there was no wait since then
                            try:
                                received = wire.receive(until)
                            except TransportError as exc:
                                raise why(connection, exc) from None
                            if received is None:
                                raise job.timed_out(ReadTimeout, "read", monotonic(), NO_RESPONSE)
                            exchange.receive(received) if received else wire.deliver_end(exchange)
                    if exchange.informational:
                        self.hear(exchange, job)
                    if exchange.head is None:
                        self.receive(connection, exchange, job, until)
                except BaseException as exc:
                    reused = connection.reused
                    job.note_failure(connection, exc)
                    self.release(connection, False, job)
                    if job.pieces is not None:
                        job.end_pieces()
                    if job.narrator is not None and isinstance(exc, Exception):
                        self.tell(job, "failed", exc)
                    if not connection.interrupted and job.may_replay(exchange, exc, reused):
                        moment = job.note_acquired(monotonic())
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
                        self.tell(job, "body")
                        self.tell(job, "closed")
                else:
                    response = self._stream(connection, exchange, job)
                if exchange.informational or exchange.trailers is not None or job.stamps is not None:
                    job.annotate(response, exchange)
                return response
        except BaseException as exc:
            job.leave_stamps(exc)
            self.recover(job, exc)
            raise

    def _open_tunnel(self, job: Job) -> Response | None:
        """
        Return the response to a WebSocket over a connection of HTTP/2 that is there; None to go on with HTTP/1.1.

        Nothing is dialled for it: whether a server takes it is known only after its first SETTINGS.
        """
        assert isinstance(self.pool, SharingPool)
        key = (PAGE_SCHEMES.get(job.key[0], job.key[0]), *job.key[1:])
        if self._refusals.has(key, monotonic()):
            return None
        with self.lock:
            connection = self.pool.find(key, monotonic(), job)
        if connection is None:
            return None
        multiplexer = connection.multiplexer
        if multiplexer is None or not multiplexer.allows_protocols:
            self.release(connection, True, job)
            return None
        response: Response | None = None
        try:
            response = multiplexer.handle(job, monotonic())
        except (NetworkError, RemoteProtocolError):
            pass
        if response is None or response.status_code in REFUSALS:
            if multiplexer.allows_protocols:  # else the connection broke, which says nothing about the next one
                self._refusals.add(key, monotonic())
            if response is not None:
                response.close()
            return None
        if 200 <= response.status_code <= 299:
            multiplexer.make_tunnel(response)
        return response

    def _exchange_on(self, connection: SyncConnection, job: Job) -> HTTP1Exchange:
        """Return the machine for a request that has its connection already."""
        if job.narrator is not None:
            job.narrator.over_http1()  # it may have begun over HTTP/2, on another connection
        try:
            return HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
        except BaseException:
            self.release(connection, True, job)
            raise

    def receive(self, connection: SyncConnection, exchange: Exchange, job: Job, until: float | None = None) -> None:
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
            self.tell(job, "turn", exchange)
        while exchange.head is None or (has_head and not exchange.chunks):
            need = exchange.need
            if wire.unsent and need != NOTHING and not exchange.abandoned:
                self._await_room(connection, exchange, job)
            elif need == OUTPUT:
                if job.deadline is not None and job.is_late(monotonic()):
                    raise job.timed_out(WriteTimeout, "write", monotonic(), "the request was not sent")
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
                    job.note_sent(monotonic())
            elif need == INPUT:
                if goes_on:
                    pass
                elif job.deadline is not None:
                    until = job.limit("read", monotonic())
                else:
                    until = None if job.read is None else monotonic() + job.read
                try:
                    received = wire.receive_lent(until) if has_head and job.lends else wire.receive(until)
                except TransportError as exc:
                    raise why(connection, exc) from None
                if received is None or (job.deadline is not None and job.is_late(monotonic())):
                    raise job.timed_out(ReadTimeout, "read", monotonic(), NO_RESPONSE)
                exchange.receive(received) if received else wire.deliver_end(exchange)
                goes_on = exchange.only_informational
            elif need == BODY:
                self._feed(connection, exchange, job)
            elif need == PAUSE:
                self._await_consent(connection, exchange, job)
            else:
                break
            if job.narrator is not None and not has_head:
                self.tell(job, "turn", exchange)
            if exchange.informational and not has_head:
                self.hear(exchange, job)
        if job.narrator is not None and not has_head:
            self.tell(job, "turn", exchange)  # the head may have come while the last events were told
        if job.pieces is not None and exchange.need >= INPUT:
            job.end_pieces()  # the upload is over
        # A response that breaks off after its head is a response still, and raises when it is read.
        if exchange.error is not None and exchange.head is None:
            raise why(connection, exchange.error)

    def hear(self, exchange: Exchange, job: Job) -> None:
        """Call the request's function with each 1xx response, also with those that arrive during a call."""
        while (interim := job.next_interim(exchange)) is not None:
            refuse_awaitable(job.request.extensions["informational"](interim))

    def _feed(self, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        """Hand over the next piece of the request's body."""
        # What has arrived comes first: it may be for a reader, or may make the rest of the body pointless.
        if not (connection.wire.poll(0) and listen(connection, exchange)):
            piece = job.next_piece()
            if piece is None and job.request.trailers is not None:
                exchange.feed(None, job.trailers())
            else:
                exchange.feed(piece)

    def _await_room(self, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        """Wait until the socket has taken what is unsent, or there is something for the reader."""
        wire = connection.wire
        until = job.limit("write", monotonic())
        head, size = exchange.head, len(wire.unsent)
        while wire.unsent and exchange.head is head and not exchange.chunks and not exchange.abandoned:
            ready = connection.wait_for_either(until)
            if ready and wire.poll(0):
                listen(connection, exchange)
                if exchange.informational and head is None:
                    self.hear(exchange, job)
                if exchange.need == NOTHING:
                    exchange.cut_short()  # the response is whole, and the request is not
                    return
            try:
                wire.flush()
            except WriteError as exc:
                stop_sending(connection, exchange, exc)
                return
            if len(wire.unsent) < size:
                size, until = len(wire.unsent), job.limit("write", monotonic())  # another wait begins
                if exchange.head is None:
                    job.note_sent(monotonic())
            # The clock, too: where something always arrives, no wait is long enough to be ended.
            elif not ready or (until is not None and monotonic() >= until):
                raise job.timed_out(WriteTimeout, "write", monotonic(), "the peer did not take the request")

    def _await_consent(self, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        """Wait for 100 (Continue) or the response; when patience ends the body goes out without."""
        until = job.consent_limit(monotonic())
        while exchange.need == PAUSE:
            try:
                data = connection.wire.receive(until)
            except TransportError as exc:
                raise why(connection, exc) from None
            if data is not None:
                exchange.receive(data) if data else connection.wire.deliver_end(exchange)
            if data is None or (until is not None and monotonic() >= until):
                job.check_patience(monotonic())
                exchange.proceed()
            if exchange.informational:
                self.hear(exchange, job)

    def _stream(self, connection: SyncConnection, exchange: Exchange, job: Job) -> Response:
        """Return a response whose body is still to come, or whose connection was upgraded."""
        body = SyncBody(self, connection, exchange, job)
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

    def tell(self, job: Job, what: str, *args: Any, **info: Any) -> None:
        """Deliver the events of a step of `Narrator` to the trace callback of the request."""
        narrator = job.narrator
        if narrator is None:
            return
        events: list[Event] = getattr(narrator, what)(*args, **info)
        if narrator.callback is not None:
            for event in events:
                narrator.callback(*event)

    # Connections.

    def _acquire(self, got: SyncConnection | Ticket[SyncConnection], job: Job) -> SyncConnection:
        """Return what the pool gave, or will give, as a connection that can be used."""
        while True:
            self.do_chores()
            connection = self._redeem(got, job) if isinstance(got, Ticket) else got
            if not connection.reused or connection.multiplexer is not None or connection.wire.is_quiet():
                return connection
            self.release(connection, False, job)
            with self.lock:
                got = self.pool.acquire(job.key, monotonic(), job)

    def do_chores(self) -> None:
        """Do what the pool asks for, and what was left for later, outside the lock."""
        pool = self.pool
        while pool.has_chores:
            try:
                with self.lock:
                    connections, tickets = pool.take_chores()
                for connection in connections:
                    connection.close()
                for ticket in tickets:
                    if ticket.signal is not None and ticket.signal.locked():
                        wake(ticket.signal)
                while (function := next_of(self._later)) is not None:
                    function()
            except BaseException:
                pool.changing = True  # so that tickets which were not woken yet are woken again
                raise

    def recover(self, job: Job, exc: BaseException) -> None:
        """
        Take back all that a request still has, after an exception at an unknown point: out of a signal handler, Ctrl-C.

        What it had is closed. Does next to nothing after a failure that has given back everything.
        """
        pool, lock = self.pool, self.lock
        try:
            with lock:
                if pool.changing or pool.claim_of(job) is not None or not isinstance(exc, TransportError):
                    pool.give_up(job)
        finally:
            unlock(lock)
        self.settings.unlock()
        if pool.has_chores:
            self.do_chores()

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
        job.note_wait()
        if not ticket.dial:
            self._wait_in_queue(ticket, job)
        if ticket.connection is not None:
            job.note_acquired(monotonic())
            return ticket.connection
        connection: SyncConnection | None = None
        try:
            self._check_open(closings)
            connection = self._connect(job)
            self._check_open(closings)
            with self.lock:
                if connection.multiplexer is None:
                    self.pool.dialled(ticket, connection, monotonic())
                else:
                    connection.multiplexer.enter_pool(ticket)
            self.do_chores()
            job.note_acquired(monotonic())
            return connection
        except BaseException as exc:
            if connection is not None and not self.pool.knows(connection):
                connection.close()
            if isinstance(exc, TransportError):  # others say nothing about the server, and are for `recover`
                with self.lock:
                    self.pool.dial_failed(ticket)
                    self.pool.abandon(ticket, monotonic())
                self.do_chores()
            raise

    def _check_open(self, closings: int) -> None:
        """Raise ConnectError if the transport was closed meanwhile: what waited then must not go on."""
        if self._closings != closings:
            raise ConnectError(CLOSED)

    def _wait_in_queue(self, ticket: Ticket[SyncConnection], job: Job) -> None:
        now = monotonic()
        until = job.queue_limit(now, self.pool.awaits_dial(job.key))
        with self.lock:
            served = ticket.connection is not None or ticket.dial
            # Not an Event: an exception between its bytecodes would leave its own lock locked.
            ticket.signal = threading.Lock()
            ticket.signal.acquire()
        try:
            self.tell(job, "start", "pool.acquire_connection")
            if not served:
                while True:
                    seconds = LOOK_UP if until is None else max(0.0, min(LOOK_UP, until - now))
                    if ticket.signal.acquire(timeout=seconds):
                        break
                    self.do_chores()  # a response may have been dropped, which wakes no thread
                    now = monotonic()
                    if until is not None and now >= until:
                        break
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

    def release(self, connection: SyncConnection, reusable: bool, job: Job) -> None:
        """Give the connection of a request back; it is closed unless it may be reused."""
        connection.reused = True
        wire = connection.wire
        if wire.unsent or (wire.tls is not None and wire.tls.ended):
            reusable = False
        pool = self.pool
        try:
            with self.lock:
                pool.release(connection, reusable, monotonic(), job)
            if pool.has_chores:
                self.do_chores()
            if connection.closed:
                connection.close()  # `close` left that to the request that was using it
        except BaseException as exc:
            self.recover(job, exc)
            raise

    def close(self) -> None:
        """
        Close every connection, and end the requests that use one or wait for one.

        A connection in use is only shut down, which wakes the thread that waits for it. That thread closes it: before
        that, its descriptor must not become another socket's.
        """
        self._closings += 1
        known: list[SyncConnection] = []
        idle: set[SyncConnection] = set()
        try:
            self.do_chores()  # a response that was dropped is not in use, and nothing else would close its connection
            with self.lock:
                known = self.pool.connections
                idle.update(filter(self.pool.remove, known))
                connections = self.pool.shut()
            for connection in connections:
                if connection in idle:
                    connection.close()
                else:
                    connection.interrupt()
            self.do_chores()
        except BaseException:
            unlock(self.lock)
            with self.lock:
                used = self.pool.used()
                rest = self.pool.shut()
            for connection in {*known, *rest}:
                if connection in used:
                    connection.interrupt()
                else:
                    connection.wire.sock.close()  # below `close`, which may have been interrupted half-way
            raise

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
            from .http2.sync import SyncMultiplexer  # loaded when it is needed first

            SyncMultiplexer(self, connection)
        return connection


def next_of(functions: deque[Callable[[], None]]) -> Callable[[], None] | None:
    """Remove and return the oldest, or None; other threads may do the same."""
    try:
        return functions.popleft()
    except IndexError:
        return None
