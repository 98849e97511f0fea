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
import math
import socket
from functools import partial
from typing import Any, Callable

import trio

from .._exceptions import (
    ConnectError,
    ConnectTimeout,
    ProxyError,
    ReadError,
    ReadTimeout,
    TransportError,
    WriteError,
    WriteTimeout,
)
from .._forks import FORKS
from .._models import Request, Response
from .._pool import Pool, Ticket
from .._protocol.exchange import BODY, INPUT, NOTHING, OUTPUT, PAUSE, Exchange
from .._protocol.http1 import FieldWriter, HTTP1Exchange
from .async_body import AsyncBody
from .job import Job, hear_early, listen, shown, stop_sending, why
from .names import Address, resolve_error, texts
from .race import Race, backoff
from .route import Handshake, Route, proxy_fields
from .security import TLSHop
from .settings import Settings, new_pool
from .sockets import is_in_progress, new_socket, unix_address
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
        pool = self.pool
        try:
            while not self._closed:
                # The machine first, if it is known which: it refuses what must not be sent, before anything is taken.
                exchange = None if self._http2 else HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
                connection = pool.acquire(job.key, now(), job)
                if isinstance(connection, Ticket):
                    connection = await self._redeem(connection, job)
                if pool.has_chores:
                    self.settle()
                if exchange is None:
                    if connection.multiplexer is not None:
                        answer = await connection.multiplexer.handle(job)
                        if answer is None:
                            continue
                        return answer
                    exchange = self._exchange_on(connection, job)
                # No checkpoint between the pool and the `try`: a cancellation there would leak the connection.
                if connection.closed or (connection.reused and not connection.is_quiet()):
                    self.release(connection, False, job)
                    continue
                try:
                    await self.receive(connection, exchange, job)
                except BaseException as exc:
                    reused = connection.reused
                    self.release(connection, False, job)
                    if job.pieces is not None:
                        await job.aend_pieces()
                    if job.narrator is not None and isinstance(exc, Exception):
                        await self.tell(job, "failed", exc)
                    if job.may_replay(exchange, exc, reused):
                        continue
                    raise
                if exchange.finished and not exchange.upgraded:
                    chunks = exchange.chunks
                    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                    response = Response._from_wire(exchange.head, exchange.remarkable, body, connection)  # type: ignore[arg-type]  # there is a head
                    self.release(connection, exchange.reusable, job)
                    if job.narrator is not None:
                        await self.tell(job, "body")
                        await self.tell(job, "closed")
                else:
                    response = self._stream(connection, exchange, job)
                if exchange.informational or exchange.trailers is not None:
                    job.annotate(response, exchange)
                return response
            raise ConnectError(CLOSED)
        except BaseException as exc:
            self.recover(job, exc)
            raise

    def _exchange_on(self, connection: TrioConnection, job: Job) -> HTTP1Exchange:
        """The machine for a request that has its connection already."""
        if job.narrator is not None:
            job.narrator.over_http1()  # it may have begun over HTTP/2, on another connection
        try:
            return HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
        except BaseException:
            self.release(connection, True, job)
            raise

    async def receive(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """
        Send what there is, and receive until there is something new: the head; after it a part of the body or its end.

        Raises:
            ReadTimeout, WriteTimeout, ReadError, WriteError, RemoteProtocolError: no head came.
            Whatever the request's body raises.
        """
        wire = connection.wire
        has_head = exchange.head is not None
        is_new = not has_head and not connection.reused
        until: float | None = None
        goes_on = False  # the wait that ends at `until`: what came last was no progress
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
                    raise job.timed_out(ReadTimeout, "read", now(), "the response did not arrive")
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
        if job.narrator is not None and not has_head:
            await self.tell(job, "turn", exchange)  # the head may have come while the last events were told
        if job.pieces is not None and exchange.need >= INPUT:
            await job.aend_pieces()  # the upload is over
        # A response that breaks off after its head is a response still, and raises when it is read.
        if exchange.error is not None and exchange.head is None:
            raise why(connection, exchange.error)

    async def _feed(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """Hand over the next piece of the request's body."""
        if job.should_rest():
            await trio.lowlevel.checkpoint()  # else pieces that are there at once could not be cancelled
        # What has arrived comes first: it may be for a reader, or may make the rest of the body pointless.
        if not (connection.wire.poll(0) and listen(connection, exchange)):
            exchange.feed(await job.anext_piece())

    async def _await_room(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """Wait until the socket takes some of what is unsent, or there is something for the reader."""
        wire = connection.wire
        until = job.limit("write", now())
        head, size = exchange.head, len(wire.unsent)
        while len(wire.unsent) == size and exchange.head is head and not exchange.chunks and not exchange.abandoned:
            ready = await connection.wait_for_either(until)
            if ready and wire.poll(0):
                listen(connection, exchange)
                if exchange.need == NOTHING:
                    exchange.cut_short()  # the response is whole, and the request is not
                    return
            try:
                wire.flush()
            except WriteError as exc:
                stop_sending(connection, exchange, exc)
                return
            # The clock, too: where something always arrives, no wait is long enough to be ended.
            if not ready or (len(wire.unsent) == size and until is not None and now() >= until):
                raise job.timed_out(WriteTimeout, "write", now(), "the peer did not take the request")

    async def _await_consent(self, connection: TrioConnection, exchange: Exchange, job: Job) -> None:
        """Wait for 100 (Continue) or the response; when patience ends the body goes out without."""
        until = job.patience(now())
        while exchange.need == PAUSE:
            try:
                data = await connection.receive(until)
            except TransportError as exc:
                raise why(connection, exc) from None
            if data is not None:
                exchange.receive(data) if data else connection.wire.deliver_end(exchange)
            if data is None or now() >= until:
                exchange.proceed()

    def _stream(self, connection: TrioConnection, exchange: Exchange, job: Job) -> Response:
        """A response whose body is still to come, or whose connection was upgraded."""
        network_stream: Any = connection
        if exchange.upgraded:
            network_stream = shown(connection.upgrade(exchange.surplus))
        stream = AsyncBody(self, connection, exchange, job)
        assert exchange.head is not None
        response = Response._from_wire(exchange.head, exchange.remarkable, stream, network_stream)
        stream.extensions = response.extensions
        return response

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
                begun = True
                self._begin_dial(ticket, job)
                while not ticket.served:
                    ticket.signal = trio.Event()
                    await ticket.signal.wait()
            if ticket.error is not None:
                raise ticket.error
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
            self.settle()
            if not self._dials:
                self._no_dials.set()

    async def _connect(self, job: Job) -> TrioConnection:
        """A new connection, tried again as often as the transport was told to."""
        job.begin_dial()
        attempt = 0
        while True:
            try:
                return await self._connect_once(job)
            except (ConnectError, ConnectTimeout):
                if attempt >= self.settings.retries or (job.deadline is not None and now() >= job.deadline):
                    raise
            pause = backoff(attempt)
            attempt += 1
            await self.tell(job, "start", "connection.retry")
            await trio.sleep(pause if job.deadline is None else max(0.0, min(pause, job.deadline - now())))
            await self.tell(job, "complete")

    async def _connect_once(self, job: Job) -> TrioConnection:
        until = job.limit("connect", now())
        route = Route(job.key, job.server_name(), self.settings)
        if route.unresolved is not None:
            route.resolved(await self._resolve(*route.unresolved, job, until))
        connection = TrioConnection(await self._connect_tcp(route, job, until))
        try:
            for hop in route.hops():
                if isinstance(hop, TLSHop):
                    await self._start_tls(connection, hop, job, until)
                else:
                    await self.tell(job, "start", hop.step)
                    await self._talk(connection, hop, job, until)
                    await self.tell(job, "complete")
        except BaseException as exc:
            connection.close()
            if isinstance(exc, Exception):
                await self.tell(job, "failed", exc)
            raise
        if self.settings.speaks_http2(job.key, connection.wire.alpn):
            from .http2.trio import TrioMultiplexer  # those who never meet it do not load it

            try:
                await self.tell(job, "start", "http2.send_connection_init", request=job.request)
                TrioMultiplexer(self, connection)
                await self.tell(job, "complete")
            except BaseException:
                connection.close()
                raise
        return connection

    async def _start_tls(self, connection: TrioConnection, hop: TLSHop, job: Job, until: float | None) -> None:
        name = hop.server_name
        await self.tell(job, "start", hop.step, server_hostname=name, timeout=job.timeout.get("connect"))
        if not await connection.shake_hands(hop.begin(connection.wire.tls), until):
            raise job.timed_out(ConnectTimeout, "connect", now(), f"no TLS session with {hop.peer}")
        await self.tell(job, "complete")

    async def _talk(self, connection: TrioConnection, handshake: Handshake, job: Job, until: float | None) -> None:
        """Speak with a proxy until there is a tunnel. Raises ProxyError, ConnectTimeout."""
        tls = connection.wire.tls
        try:
            while not handshake.done:
                data = handshake.take()
                sent = await connection.send_all(data if tls is None else tls.encrypt(data), until)
                received = await connection.receive(until) if sent else None
                if received is None:
                    raise job.timed_out(ConnectTimeout, "connect", now(), "no tunnel through the proxy")
                handshake.receive(received)
                if handshake.error is not None:
                    raise handshake.error
        except (ReadError, WriteError) as exc:
            raise ProxyError(f"the proxy broke the connection: {exc}") from exc

    async def _connect_tcp(self, route: Route, job: Job, until: float | None) -> socket.socket:
        host, port = route.host, route.port
        uds = self.settings.uds
        seconds = job.timeout.get("connect")
        addresses = await self._resolve(host, port, job, until) if uds is None else []
        try:
            if uds is not None:
                await self.tell(job, "start", "connection.connect_unix_socket", path=uds, timeout=seconds)
                addresses = [unix_address(uds)]
            else:
                await self.tell(job, "start", "connection.connect_tcp", host=host, port=port, timeout=seconds)
            sock = await self._race(Race(uds or host, port, addresses), job, until)
        except Exception as exc:
            self.settings.names.distrust(host, port)
            await self.tell(job, "failed", exc)
            raise
        try:
            await self.tell(job, "complete")
        except BaseException:
            sock.close()
            raise
        return sock

    async def _resolve(self, host: str, port: int, job: Job, until: float | None) -> list[Address]:
        """The addresses of a host. Raises ConnectError, ConnectTimeout."""
        addresses = self.settings.names.known(host, port)
        if addresses is not None:
            return addresses
        await self.tell(job, "start", "connection.resolve_host", host=host, port=port)
        try:
            addresses = await self._look_up(host, port, until)
            if addresses is None:
                raise job.timed_out(ConnectTimeout, "connect", now(), f"the name {host!r} was not resolved")
        except Exception as exc:
            await self.tell(job, "failed", exc)
            raise
        await self.tell(job, "complete", texts(addresses))
        return addresses

    async def _look_up(self, host: str, port: int, until: float | None) -> list[Address] | None:
        """The answer to a question; None if there was none in time."""
        names = self.settings.names
        with scope_until(until):
            try:
                if names.is_awaited:
                    return names.learn(host, port, await names.resolver(host, port))  # type: ignore[misc]  # there is one
                if names.resolver is None and _has_custom_resolver():
                    # It decides about names everywhere in this trio run: that is what tests set it for.
                    answer = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                    return names.learn(host, port, answer)
            except ConnectError:
                raise
            except Exception as exc:
                raise resolve_error(host, exc) from exc
            # Not `trio.to_thread`: its threads are few, and a look-up that hangs would keep one from everybody.
            look_up, over = names.look_up(host, port), trio.Event()
            look_up.when_over(partial(_from_a_thread, self._token, over))
            await over.wait()
            return look_up.addresses()
        return None

    async def _race(self, race: Race, job: Job, until: float | None) -> socket.socket:
        """Happy Eyeballs: overlapping attempts, each a task, until one succeeds, all have failed, or time is up."""
        winners: list[socket.socket] = []
        broken: list[Exception] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.cancel_scope.deadline = math.inf if until is None else until
                nursery.start_soon(self._begin_attempts, race, nursery, winners, broken)
        except BaseException:
            for sock in winners:
                sock.close()  # cancelled after it had won
            raise
        if winners:
            return winners[0]
        if broken:
            raise broken[0]
        if race.lost:
            raise race.error()
        total = job.deadline is not None and now() >= job.deadline
        raise race.timeout(job.timeout["total" if total else "connect"] or 0.0, total)

    async def _begin_attempts(
        self, race: Race, nursery: trio.Nursery, winners: list[socket.socket], broken: list[Exception]
    ) -> None:
        """Begin every attempt that is due, and sleep until the next one is, or until one has failed."""
        while True:
            while (address := race.next(now())) is not None:
                nursery.start_soon(self._attempt, race, address, nursery, winners, broken)
            if race.due is None:
                return
            race.changed = trio.Event()
            with scope_until(race.due):
                await race.changed.wait()

    async def _attempt(
        self,
        race: Race,
        address: Address,
        nursery: trio.Nursery,
        winners: list[socket.socket],
        broken: list[Exception],
    ) -> None:
        sock: socket.socket | None = None
        try:
            sock = new_socket(address, self.settings)
            code = sock.connect_ex(address[4])
            if is_in_progress(code):
                await trio.lowlevel.wait_writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, "")
            if not winners:
                winners.append(sock)
                sock = None
                nursery.cancel_scope.cancel()
        except OSError as exc:
            race.failed(address, exc, now())
            if race.changed is not None:
                race.changed.set()
        except Exception as exc:  # a socket option that is none; out of here it would come as a group of exceptions
            broken.append(exc)
            nursery.cancel_scope.cancel()
        finally:
            if sock is not None:
                trio.lowlevel.notify_closing(sock)
                sock.close()


def _from_a_thread(token: trio.lowlevel.TrioToken, event: trio.Event) -> None:
    """Wake whoever waits for the event, if the run has not ended meanwhile."""
    try:
        token.run_sync_soon(event.set)
    except trio.RunFinishedError:
        pass  # nobody is there any more


def _has_custom_resolver() -> bool:
    """Was `trio.socket.set_custom_hostname_resolver` called? Only calling it again tells."""
    custom = trio.socket.set_custom_hostname_resolver(None)
    trio.socket.set_custom_hostname_resolver(custom)
    return custom is not None


def _nothing() -> None:
    """For `run_sync_soon`, which tells whether the run is over."""
