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
from collections.abc import Iterator
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from .._exceptions import (
    ConnectError,
    ConnectTimeout,
    ProxyError,
    ReadError,
    ReadTimeout,
    WriteError,
    WriteTimeout,
)
from .._models import Request, Response
from .._pool import Pool, Ticket
from .._protocol.exchange import BODY, INPUT, NOTHING, OUTPUT, PATIENCE, PAUSE, Exchange
from .._protocol.http1 import FieldWriter, HTTP1Exchange
from .._types import SyncByteStream
from .forks import FORKS
from .job import Job, shown
from .names import Address, texts
from .race import Race, backoff
from .route import Handshake, Route, proxy_fields
from .security import TLSHop
from .settings import Settings, new_pool
from .sockets import is_in_progress, new_socket, unix_address, wait_for
from .story import Event
from .sync_connection import SyncConnection, SyncWire, shake_hands
from .wire import Data

if TYPE_CHECKING:
    from .http2.sync import SyncLane

CLOSED = "the transport was closed while the request waited for a connection"


class SyncBody(SyncByteStream):
    """The rest of a response's body, read from its connection while it is iterated."""

    def __init__(
        self, engine: SyncEngine | SyncLane, connection: SyncConnection | SyncLane, exchange: Exchange, job: Job
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._exchange = exchange
        self._job = job
        self._over = False
        self.extensions: Any = None

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
        if exchange.trailers is not None and self.extensions is not None:
            self.extensions["trailers"] = exchange.trailers
        if not exchange.upgraded:
            self._release(exchange.reusable)

    def _receive(self) -> None:
        try:
            self._engine.receive(self._connection, self._exchange, self._job)  # type: ignore[arg-type]  # they fit
        except BaseException:
            self._release(False)
            raise

    def close(self) -> None:
        """Free the connection; it stays usable only if the whole answer has arrived."""
        self._release(self._exchange.reusable)

    def _release(self, reusable: bool) -> None:
        if not self._over:
            self._over = True
            self._engine.release(self._connection, reusable)  # type: ignore[arg-type]  # they fit
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
                if not connection.closed and job.may_replay(exchange, exc, reused):
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
                if connection.closed:
                    connection.close()
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

    def _send_rest(self, rest: Data, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
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
                exchange.receive(data)
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
                exchange.receive(data)
        return data

    def _listen(self, connection: SyncConnection, exchange: Exchange) -> None:
        """Take what has arrived during an upload; under TLS that may be nothing that is meant for us."""
        data = connection.wire.receive(0)
        if data is not None:
            exchange.receive(data)

    def _await_consent(self, connection: SyncConnection, exchange: Exchange, job: Job) -> None:
        data = connection.wire.receive(PATIENCE, job.deadline)
        if data is None:
            exchange.proceed()
        else:
            exchange.receive(data)

    def _stream(self, connection: SyncConnection, exchange: Exchange, job: Job) -> Response:
        """A response whose body is still to come, or whose connection was upgraded."""
        network_stream: Any = connection
        if exchange.upgraded:
            network_stream = shown(connection.upgrade(exchange.surplus))
        stream = SyncBody(self, connection, exchange, job)
        assert exchange.head is not None
        response = Response._from_wire(exchange.head, exchange.remarkable, stream, network_stream)
        stream.extensions = response.extensions
        return response

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
        """Do what the pool asks for, outside its lock."""
        if not self.pool.has_chores:
            return
        with self.lock:
            connections, tickets = self.pool.take_chores()
        for connection in connections:
            connection.close()
        for ticket in tickets:
            if ticket.signal is not None:
                ticket.signal.set()

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
        if connection.closed:
            connection.close()  # `close` left that to the request that was using it

    def close(self) -> None:
        """
        Close every connection, and end the requests that use one or wait for one.

        A connection in use is only shut down, which wakes the thread that waits for it. That thread closes it: before
        that, its descriptor must not become another socket's.
        """
        self._closings += 1
        with self.lock:
            idle = {connection for connection in self.pool.connections if self.pool.remove(connection)}
            connections = self.pool.shut()
        for connection in connections:
            if connection in idle or connection.multiplexer is not None:
                connection.close()  # the requests of HTTP/2 announce themselves to the wire
            else:
                connection.interrupt()
        self.do_chores()

    # Dialling.

    def _connect(self, job: Job) -> SyncConnection:
        """A new connection, tried again as often as the transport was told to."""
        job.begin_dial()
        attempt = 0
        while True:
            try:
                return self._connect_once(job)
            except (ConnectError, ConnectTimeout):
                if attempt >= self.settings.retries or (job.deadline is not None and monotonic() >= job.deadline):
                    raise
            pause = backoff(attempt)
            attempt += 1
            self.tell(job, "start", "connection.retry")
            sleep(pause if job.deadline is None else max(0.0, min(pause, job.deadline - monotonic())))
            self.tell(job, "complete")

    def _connect_once(self, job: Job) -> SyncConnection:
        until = job.limit("connect", monotonic())
        route = Route(job.key, job.server_name(), self.settings)
        if route.unresolved is not None:
            route.resolved(self._resolve(*route.unresolved, job, until))
        wire = SyncWire(self._connect_tcp(route, job, until))
        try:
            for hop in route.hops():
                if isinstance(hop, TLSHop):
                    self._start_tls(wire, hop, job, until)
                else:
                    self.tell(job, "start", hop.step)
                    self._talk(wire, hop, job, until)
                    self.tell(job, "complete")
        except BaseException as exc:
            wire.sock.close()
            self.tell(job, "failed", exc)
            raise
        connection = SyncConnection(wire)
        if self.settings.speaks_http2(job.key, wire.alpn):
            from .http2.sync import SyncMultiplexer  # those who never meet it do not load it

            try:
                self.tell(job, "start", "http2.send_connection_init", request=job.request)
                SyncMultiplexer(self, connection)
                self.tell(job, "complete")
            except BaseException:
                wire.sock.close()
                raise
        return connection

    def _start_tls(self, wire: SyncWire, hop: TLSHop, job: Job, until: float | None) -> None:
        name = hop.server_name
        self.tell(job, "start", hop.step, server_hostname=name, timeout=job.timeout.get("connect"))
        if not shake_hands(wire, hop.begin(wire.tls), until):
            raise job.timed_out(ConnectTimeout, "connect", monotonic(), f"no TLS session with {hop.peer}")
        self.tell(job, "complete")

    def _talk(self, wire: SyncWire, handshake: Handshake, job: Job, until: float | None) -> None:
        """Speak with a proxy until there is a tunnel. Raises ProxyError, ConnectTimeout."""
        try:
            while not handshake.done:
                data = handshake.take()
                sent = wire.send_all(data if wire.tls is None else wire.tls.encrypt(data), until)
                received = wire.receive(None, until) if sent else None
                if received is None:
                    raise job.timed_out(ConnectTimeout, "connect", monotonic(), "no tunnel through the proxy")
                handshake.receive(received)
                if handshake.error is not None:
                    raise handshake.error
        except (ReadError, WriteError) as exc:
            raise ProxyError(f"the proxy broke the connection: {exc}") from exc

    def _connect_tcp(self, route: Route, job: Job, until: float | None) -> socket.socket:
        host, port = route.host, route.port
        uds = self.settings.uds
        seconds = job.timeout.get("connect")
        addresses = self._resolve(host, port, job, until) if uds is None else []
        try:
            if uds is not None:
                self.tell(job, "start", "connection.connect_unix_socket", path=uds, timeout=seconds)
                addresses = [unix_address(uds)]
            else:
                self.tell(job, "start", "connection.connect_tcp", host=host, port=port, timeout=seconds)
            sock = self._race(Race(uds or host, port, addresses), job, until)
        except BaseException as exc:
            self.settings.names.distrust(host, port)
            self.tell(job, "failed", exc)
            raise
        try:
            self.tell(job, "complete")
        except BaseException:
            sock.close()
            raise
        return sock

    def _resolve(self, host: str, port: int, job: Job, until: float | None) -> list[Address]:
        """The addresses of a host. Raises ConnectError, ConnectTimeout."""
        names = self.settings.names
        addresses = names.known(host, port)
        if addresses is not None:
            return addresses
        self.tell(job, "start", "connection.resolve_host", host=host, port=port)
        try:
            look_up = names.look_up(host, port, wait=until is None)
            if not look_up.wait(None if until is None else max(0.0, until - monotonic())):
                raise job.timed_out(ConnectTimeout, "connect", monotonic(), f"the name {host!r} was not resolved")
            addresses = look_up.addresses()
        except BaseException as exc:
            self.tell(job, "failed", exc)
            raise
        self.tell(job, "complete", texts(addresses))
        return addresses

    def _race(self, race: Race, job: Job, until: float | None) -> socket.socket:
        """Happy Eyeballs in one thread: attempts on non-blocking sockets, and one wait for all of them."""
        attempts: dict[socket.socket, Address] = {}
        winner: socket.socket | None = None
        try:
            while winner is None:
                winner = self._begin_attempts(race, attempts)
                if winner is not None:
                    break
                if race.lost:
                    raise race.error()
                now = monotonic()
                if until is not None and now >= until:
                    total = job.deadline is not None and now >= job.deadline
                    raise race.timeout(job.timeout["total" if total else "connect"] or 0.0, total)
                due = until if race.due is None else race.due if until is None else min(race.due, until)
                for sock in wait_for([], list(attempts), due):
                    winner = self._finish_attempt(race, attempts, sock) or winner
            return winner
        finally:
            for sock in attempts:
                if sock is not winner:
                    sock.close()

    def _begin_attempts(self, race: Race, attempts: dict[socket.socket, Address]) -> socket.socket | None:
        """Begin what is due; the socket, if one connects at once."""
        while (address := race.next(monotonic())) is not None:
            try:
                sock = new_socket(address, self.settings)
            except OSError as exc:
                race.failed(address, exc, monotonic())
                continue
            attempts[sock] = address
            code = sock.connect_ex(address[4])
            if code == 0:
                return sock
            if not is_in_progress(code):
                self._drop_attempt(race, attempts, sock, OSError(code, ""))
        return None

    def _finish_attempt(
        self, race: Race, attempts: dict[socket.socket, Address], sock: socket.socket
    ) -> socket.socket | None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            return sock
        self._drop_attempt(race, attempts, sock, OSError(code, ""))
        return None

    def _drop_attempt(
        self, race: Race, attempts: dict[socket.socket, Address], sock: socket.socket, error: OSError
    ) -> None:
        race.failed(attempts.pop(sock), error, monotonic())
        sock.close()
