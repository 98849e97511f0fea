"""
The shell for asyncio: a persistent reader callback on each non-blocking socket, and no transport, protocol or stream.

A connection's callback receives, feeds the exchange and wakes whoever waits for it: one future and one turn of the loop
for a small answer. Time limits are one timer for each connection, set for the nearest deadline and looked at again when
it fires; a warm request usually finds it running and only notes its own deadline.

    LoopIO             how a socket becomes ready, on loops that have `add_reader` (all of asyncio's but one, uvloop)
    FallbackIO         the same through `loop.sock_recv` and its kind (Windows' proactor loop)
    AsyncioConnection  a wire, its callback, its timer; also the `network_stream` of a response
    AsyncioEngine      the connections of one transport on one loop

Bookkeeping is synchronous: between taking a connection or a slot from the pool and the `try` that gives it back there
is no `await`, and giving it back awaits nothing, so that a cancellation at any await leaves everything as it was.

Not here: what bytes mean (`_protocol`), who gets which connection (`_pool`), addresses and schedules (`dial`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable

from .._exceptions import (
    CloseError,
    ConnectError,
    ConnectTimeout,
    ProxyError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TransportError,
    WriteError,
    WriteTimeout,
)
from .._models import Request, Response
from .._pool import Pool, Ticket
from .._protocol.exchange import BODY, INPUT, NOTHING, OUTPUT, PATIENCE, PAUSE, Exchange
from .._protocol.http1 import FieldWriter, HTTP1Exchange
from .._protocol.tls import TLSFilter
from .async_body import AsyncBody
from .dial import (
    Handshake,
    Race,
    Route,
    Settings,
    backoff,
    is_in_progress,
    new_pool,
    new_socket,
    proxy_fields,
    unix_address,
)
from .job import FORKS, Event, Job, end_pieces, next_piece, shown
from .names import Address, resolve_error, texts
from .security import TLSHop
from .wire import EARLY, LARGE_READ, SMALL_READ, Wire

if TYPE_CHECKING:
    from .asyncio_http2 import AsyncioMultiplexer

# Bytes of a body that may wait for a slow reader before the socket is left alone: the peer then slows down, too.
HIGH_WATER = 4 * LARGE_READ

CLOSED = "the transport was closed while the request waited for a connection"


class LoopIO:
    """Readiness of sockets through `add_reader` and `add_writer`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def start_reading(self, connection: AsyncioConnection) -> None:
        """Call `connection.on_readable` whenever there is input."""
        self._loop.add_reader(connection.wire.sock, connection.on_readable)

    def stop_reading(self, connection: AsyncioConnection) -> None:
        """Leave the input where it is."""
        self._loop.remove_reader(connection.wire.sock)

    def start_writing(self, connection: AsyncioConnection) -> None:
        """Call `connection.on_writable` whenever the socket takes more."""
        self._loop.add_writer(connection.wire.sock, connection.on_writable)

    def stop_writing(self, connection: AsyncioConnection) -> None:
        """Nothing is left to be written, or nobody wants to write it."""
        self._loop.remove_writer(connection.wire.sock)

    def close(self, connection: AsyncioConnection) -> None:
        """Close the socket, which nobody watches any more."""
        connection.wire.close()

    def connect(self, sock: socket.socket, address: Address, done: Callable[[OSError | None], None]) -> None:
        """Begin to connect; `done` is told the outcome in a later turn of the loop."""
        code = sock.connect_ex(address[4])
        if is_in_progress(code):
            self._loop.add_writer(sock, lambda: self._connected(sock, done))
        else:
            self._loop.call_soon(done, OSError(code, "") if code else None)

    def _connected(self, sock: socket.socket, done: Callable[[OSError | None], None]) -> None:
        self._loop.remove_writer(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        done(OSError(code, "") if code else None)

    def give_up(self, sock: socket.socket) -> None:
        """End an attempt to connect and close its socket."""
        self._loop.remove_writer(sock)
        sock.close()


class FallbackIO:
    """The same on loops without `add_reader`: an operation is always under way, and its end is the readiness."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reading: dict[AsyncioConnection, asyncio.Task[None]] = {}
        self._writing: dict[AsyncioConnection, asyncio.Task[None]] = {}
        self._connecting: dict[socket.socket, asyncio.Task[None]] = {}

    def start_reading(self, connection: AsyncioConnection) -> None:
        self._reading[connection] = self._loop.create_task(self._read(connection))

    async def _read(self, connection: AsyncioConnection) -> None:
        sock = connection.wire.sock
        while connection in self._reading:
            try:
                data = await self._loop.sock_recv(sock, LARGE_READ)
            except OSError as exc:
                connection.on_broken(ReadError(f"receiving failed: {exc.strerror or exc}"))
                return
            except asyncio.CancelledError:
                if connection in self._reading:  # by somebody who ends all tasks: nobody would read any more
                    connection.on_broken(ReadError("the task that receives was cancelled"))
                raise
            connection.on_received(data)

    def stop_reading(self, connection: AsyncioConnection) -> None:
        self._cancel(self._reading.pop(connection, None))

    def start_writing(self, connection: AsyncioConnection) -> None:
        self._writing[connection] = self._loop.create_task(self._write(connection))

    async def _write(self, connection: AsyncioConnection) -> None:
        while connection.unsent:  # never empty while it is under way; more may be put behind it meanwhile
            rest = connection.unsent
            try:
                await self._loop.sock_sendall(connection.wire.sock, rest)
            except OSError as exc:
                connection.write_error = WriteError(f"sending failed: {exc.strerror or exc}")
                break
            connection.unsent = connection.unsent[len(rest) :]
        self._writing.pop(connection, None)
        connection.unsent = b""
        connection.wake()

    def stop_writing(self, connection: AsyncioConnection) -> None:
        self._cancel(self._writing.pop(connection, None))

    def connect(self, sock: socket.socket, address: Address, done: Callable[[OSError | None], None]) -> None:
        async def attempt() -> None:
            error: OSError | None = None
            try:
                await self._loop.sock_connect(sock, address[4])
            except OSError as exc:
                error = OSError(exc.errno, "") if exc.errno else exc  # asyncio's words repeat the address
            self._connecting.pop(sock, None)
            done(error)

        self._connecting[sock] = self._loop.create_task(attempt())

    def give_up(self, sock: socket.socket) -> None:
        task = self._connecting.pop(sock, None)
        if task is None or task.done():
            sock.close()
        else:
            # The loop still watches the socket until the task has seen its cancellation.
            task.add_done_callback(lambda _: sock.close())
            task.cancel()

    def close(self, connection: AsyncioConnection) -> None:
        # In the next turn: what was cancelled has let go of the descriptor then, and not of somebody else's.
        self._loop.call_soon(connection.wire.close)

    @staticmethod
    def _cancel(task: asyncio.Task[None] | None) -> None:
        if task is not None and not task.done():
            task.cancel()


def io_of(loop: asyncio.AbstractEventLoop) -> LoopIO | FallbackIO:
    """What fits the loop. Windows' proactor loop has the methods, too, but they raise NotImplementedError."""
    if type(loop).add_reader is asyncio.AbstractEventLoop.add_reader:
        return FallbackIO(loop)
    return LoopIO(loop)


class AsyncioConnection:
    """
    A wire in the pool, the callback that reads it, and the one waiting for it.

    What arrives goes to `exchange` while there is one, and into `incoming` while bytes are wanted as they are (TLS
    handshake, upgraded connections). Anything else ends the connection: nobody asked for it.
    """

    def __init__(self, engine: AsyncioEngine, sock: socket.socket) -> None:
        self.wire = Wire(sock)
        self.exchange: Exchange | None = None
        self.incoming: bytearray | None = bytearray()
        self.unsent = b""
        self.was_idle = False
        self.closed = False
        self.error: TransportError | None = None
        self.write_error: WriteError | None = None
        self._ended = False
        self._engine = engine
        self._loop = engine.loop
        self._now = engine.now
        self._reread = not isinstance(engine.loop, asyncio.BaseEventLoop)
        self._io = engine.io
        self._waiter: asyncio.Future[bool] | None = None
        self._writer: asyncio.Future[bool] | None = None
        self.deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.buffered = 0
        self._paused = False
        self.multiplexer: AsyncioMultiplexer | None = None  # for the streams of HTTP/2: bytes and events are its own
        self._io.start_reading(self)

    # What the loop calls.

    def on_readable(self) -> None:
        """There is input: receive once, so that other connections have their turn."""
        wire = self.wire
        try:
            data = wire.sock.recv(wire.size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self.on_broken(ReadError(f"receiving failed: {exc.strerror or exc}"))
            return
        exchange = self.exchange
        if data and wire.tls is None and exchange is not None and exchange.head is None:
            # The case of nearly every answer, in one frame; `on_received` comes to the same.
            exchange.receive(data)
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(True)
            if self._reread and not exchange.finished:
                self._loop.call_soon(self._on_maybe_readable)
            return
        if len(data) == SMALL_READ:
            wire.size = LARGE_READ
        self.on_received(data)
        if self._reread and data:
            self._loop.call_soon(self._on_maybe_readable)

    def _on_maybe_readable(self) -> None:
        """Look again: uvloop does not call back for a reset that came together with data."""
        if not self.closed and not self._ended and not self._paused:
            self.on_readable()

    def on_received(self, data: bytes) -> None:
        """Bytes of the socket, b"" at its end: through TLS, and on to whom they belong."""
        if not data:
            self._ended = True
            self._io.stop_reading(self)  # the end of a stream is readable for ever
        tls = self.wire.tls
        if tls is None:
            self._deliver(data)
            return
        try:
            data = tls.receive(data)
            pending = tls.pending()
            if pending:
                self._write(pending)
        except TransportError as exc:
            self.on_broken(exc)
            return
        if data:
            self._deliver(data)
        if tls.ended:
            self._deliver(b"")

    def _deliver(self, data: bytes) -> None:
        exchange = self.exchange
        if self.multiplexer is not None:
            self.multiplexer.on_received(data)
        elif exchange is not None:
            exchange.receive(data)
            if exchange.head is not None:
                self.buffered += len(data)
                if self.buffered > HIGH_WATER and not exchange.finished:
                    self._pause()
            self.wake()
        elif self.incoming is not None:
            self.incoming += data
            if not data and not self._ended:
                self._ended = True
                self._io.stop_reading(self)
            self.wake()
        else:
            self._engine.lost(self)

    def on_broken(self, error: TransportError) -> None:
        """The socket failed."""
        self.error = error
        if self.exchange is None and self.incoming is None and self.multiplexer is None:
            self._engine.lost(self)
        else:
            if not self._ended:
                self._ended = True
                self._io.stop_reading(self)
            self.wake()

    def on_writable(self) -> None:
        """The socket takes more of what is unsent."""
        try:
            self.unsent = self.wire.send(self.unsent)
        except WriteError as exc:
            self.unsent = b""
            self.write_error = exc
        if not self.unsent:
            self._io.stop_writing(self)
        self.wake()

    def on_time(self) -> None:
        """The timer fired: for the deadline of now, or for an earlier one that was met."""
        self._timer = None
        deadline = self.deadline
        if deadline is None:
            return
        # A loop may fire a timer early, by the resolution of its clock.
        if self._now() < deadline - 0.001:
            self._set_timer(deadline)
        elif self._waiter is None:
            self._engine.lost(self)  # idle for too long
        elif not self._waiter.done():
            self._waiter.set_result(False)

    # What the engine calls.

    async def wait(self, until: float | None) -> bool:
        """Until something happened: True; or until time is up: False."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiter = waiter
        self.deadline = until
        # A timer that fires earlier is left running: it will look again. So a warm request sets none.
        if until is not None and (self._timer is None or self._timer_at > until):
            self._set_timer(until)
        try:
            return await waiter
        finally:
            self._waiter = None
            self.deadline = None

    def wake(self) -> None:
        """Something happened."""
        if self.multiplexer is not None:
            self.multiplexer.on_event()
        for waiter in (self._waiter, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_result(True)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self.on_time)

    def send(self, data: bytes) -> None:
        """Send what the socket takes at once; the rest stays in `unsent` and follows by itself. Raises WriteError."""
        self._write(data if self.wire.tls is None else self.wire.tls.encrypt(data))

    def _write(self, data: bytes) -> None:
        """Like `send`, below TLS."""
        rest = data if self.unsent else self.wire.send(data)
        if rest:
            self.queue(rest)

    def queue(self, rest: bytes) -> None:
        """What the socket did not take: it is sent when it takes more."""
        if self.unsent:
            self.unsent += rest
        else:
            self.unsent = rest
            self._io.start_writing(self)

    def take_chunks(self, exchange: Exchange) -> list[bytes]:
        """The pieces of the body that have arrived; reading goes on if it had stopped for them."""
        chunks, exchange.chunks = exchange.chunks, []
        self.buffered = 0
        if self._paused and not self.closed and not self._ended:
            self._paused = False
            self._io.start_reading(self)
        return chunks

    def _pause(self) -> None:
        if not self._paused and not self._ended:
            self._paused = True
            self._io.stop_reading(self)

    def is_quiet(self) -> bool:
        """Has the peer neither closed nor said anything since the last exchange? Takes what it said."""
        if not self.closed:
            self.on_readable()
        return not self.closed

    def early_end(self) -> TransportError:
        """What to raise where the peer did not wait to be asked."""
        if isinstance(self.error, ConnectError):
            return self.error  # it spoke to refuse the TLS handshake
        return RemoteProtocolError("the peer closed the connection, or spoke, before it was asked anything")

    def close(self) -> None:
        """Close, at once and without waiting."""
        if self.closed:
            return
        if self.multiplexer is not None:
            self.multiplexer.say_goodbye()
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop.is_closed():
            self.wire.close()
            return
        if not self._ended and not self._paused:
            self._io.stop_reading(self)
        if self.unsent:
            self._io.stop_writing(self)
        self._io.close(self)
        self.wake()

    # `network_stream`.

    def upgrade(self, surplus: bytes) -> None:
        """From now on the bytes belong to whoever has the stream; `surplus` came already."""
        self.exchange = None
        self.incoming = bytearray(surplus)

    def _own(self) -> bytearray:
        if self.incoming is None:
            raise CloseError("the connection was not upgraded: its bytes belong to HTTP")
        return self.incoming

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """
        At most `max_bytes` of what the peer sent; b"" at its end. `timeout` in seconds.

        Raises:
            ReadTimeout, ReadError.
        """
        incoming = self._own()
        until = None if timeout is None else self._now() + timeout
        while not incoming:
            if self.error is not None:
                raise self.error
            if self._ended:
                return b""
            if self.closed:
                raise ReadError("the connection is closed")
            if not await self.wait(until):
                raise ReadTimeout(f"nothing arrived within {timeout:g} s")
        data = bytes(incoming[:max_bytes])
        del incoming[:max_bytes]
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """
        Send `buffer`. `timeout` in seconds.

        Raises:
            WriteTimeout, WriteError.
        """
        self._own()
        if self.closed:
            raise WriteError("the connection is closed")
        until = None if timeout is None else self._now() + timeout
        tls = self.wire.tls
        self._write(buffer if tls is None else tls.encrypt(buffer))
        while self.unsent:
            if not await self._wait_for_room(until):
                raise WriteTimeout(f"the peer took nothing for {timeout:g} s")
            if self.closed:
                raise WriteError("the connection was closed while it was written to")
        if self.write_error is not None:
            raise self.write_error

    async def _wait_for_room(self, until: float | None) -> bool:
        """Until something happened: True; or False. Beside `wait`, which a task that reads meanwhile is in."""
        self._writer = writer = self._loop.create_future()
        timeout = None if until is None else max(0.0, until - self._now())
        try:
            return bool((await asyncio.wait([writer], timeout=timeout))[0])
        finally:
            self._writer = None

    async def aclose(self) -> None:
        """Close the connection."""
        self.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncioConnection:
        """
        Begin TLS on an upgraded connection; returns the stream to use from now on.

        Raises:
            ConnectError, ConnectTimeout.
        """
        incoming = self._own()
        if incoming:
            raise ConnectError(EARLY)
        until = None if timeout is None else self._now() + timeout
        tls = TLSFilter(ssl_context, server_hostname, over=self.wire.tls)
        if not await self.shake_hands(tls, until):
            raise ConnectTimeout(f"the TLS handshake was not done within {timeout:g} s")
        incoming += tls.leftover()
        return self

    async def shake_hands(self, tls: TLSFilter, until: float | None) -> bool:
        """Do the TLS handshake; False if time is up. Raises ConnectError."""
        incoming = self._own()
        # Until the new filter is in place, bytes are wanted as they come from the socket.
        carrier, self.wire.tls = self.wire.tls, None
        try:
            data = tls.handshake()
            while True:
                if data:
                    self._write(data)
                if tls.established:
                    break
                while not incoming and not self._ended:
                    if not await self.wait(until):
                        return False
                    if self.error is not None:
                        raise self.error
                    if self.closed:
                        raise ReadError("the connection was closed")
                received, incoming[:] = bytes(incoming), b""
                data = tls.handshake(received)
        except (ReadError, WriteError) as exc:
            self.wire.tls = carrier
            raise ConnectError(f"TLS handshake with {tls.peer} failed: {exc}") from exc
        self.wire.tls = tls
        return True

    def get_extra_info(self, info: str) -> Any:
        """What is known of the connection: see `Wire.extra_info`."""
        return self.wire.extra_info(info)

    def take_early(self) -> bytes:
        """What the peer said before it was asked anything: a server of HTTP/2 begins with its settings."""
        early, self.incoming = self.incoming, None
        return bytes(early or b"") + self.wire.leftover()


class AsyncioEngine:
    """The connections of one async transport on one asyncio loop."""

    # Which kind of readiness; tests force the fallback here.
    io_factory: Callable[[asyncio.AbstractEventLoop], LoopIO | FallbackIO] = staticmethod(io_of)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = loop = asyncio.get_running_loop()
        # The loop's clock; asyncio's own is the monotonic one with a frame around it.
        self.now: Callable[[], float] = monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
        self.io = self.io_factory(self.loop)
        self._writer = FieldWriter()
        self._head_limits = settings.head_limits
        self._may_share = settings.http2
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

    def has_ended(self) -> bool:
        """Is the loop closed?"""
        return self.loop.is_closed()

    async def handle(self, request: Request) -> Response:
        """
        Send a request and return its response as soon as its head is there; small bodies are whole by then.

        Raises:
            TransportError: of the class that says what failed.
        """
        now = self.now
        job = Job(request, now())
        if self.settings.forwards:
            job.forward(self._proxy_fields)
        pool = self.pool
        while not self._closed:
            # The machine first, if it is known which: it refuses what must not be sent, before anything is taken.
            exchange = None if self._may_share else HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
            connection = pool.acquire(job.key, now())
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
            # No await between the pool and the `try`: a cancellation there would leak the connection.
            if (connection.closed or connection.wire.poll(0)) and not connection.is_quiet():
                was_idle = connection.was_idle
                self.release(connection, False)
                if was_idle or self._closed:
                    continue
                raise connection.early_end()
            connection.exchange = exchange
            connection.deadline = None
            try:
                await self._pump(connection, exchange, job)
            except BaseException as exc:
                was_idle = connection.was_idle
                self.release(connection, False)
                if job.narrator is not None and isinstance(exc, Exception):
                    await self.tell(job, "failed", exc)
                if job.may_replay(exchange, exc, was_idle):
                    continue
                raise
            if exchange.finished and not exchange.upgraded:
                chunks = exchange.chunks
                body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                response = Response._from_wire(exchange.head, exchange.remarkable, body, connection)  # type: ignore[arg-type]  # there is a head
                # What `release` does, without its frame.
                connection.exchange = connection.incoming = None
                connection.was_idle = True
                connection.deadline = None if self._expiry is None else now() + self._expiry
                pool.release(connection, exchange.reusable and not connection.closed, now())
                if pool.has_chores:
                    self.settle()
                if job.narrator is not None:
                    await self.tell(job, "body")
                    await self.tell(job, "closed")
            else:
                response = self._stream(connection, exchange, job)
            if exchange.informational or exchange.trailers is not None:
                job.annotate(response, exchange)
            return response
        raise ConnectError(CLOSED)

    def _exchange_on(self, connection: AsyncioConnection, job: Job) -> HTTP1Exchange:
        """The machine for a request that has its connection already."""
        try:
            return HTTP1Exchange(*job.arguments, self._head_limits, self._writer)
        except BaseException:
            self.release(connection, True)
            raise

    async def _pump(self, connection: AsyncioConnection, exchange: Exchange, job: Job) -> None:
        """Send the request, and wait until the head of the answer is there."""
        wire = connection.wire
        pieces: AsyncIterator[bytes] | None = None
        if job.narrator is not None:
            await self.tell(job, "turn", exchange)
        try:
            while exchange.head is None or exchange.need <= BODY:
                need = exchange.need
                if need == OUTPUT:
                    if job.deadline is not None and self._is_late(job):
                        raise job.timed_out(WriteTimeout, "write", self.now(), "the request was not sent")
                    data = exchange.take()
                    try:
                        rest = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
                        if rest:
                            connection.queue(rest)
                            await self._drain(connection, exchange, job)
                    except WriteError as exc:
                        connection.write_error = exc
                    if connection.write_error is not None:
                        exchange.cut_short()  # a server that closes while we send has often answered before
                elif need == INPUT:
                    if job.deadline is not None or connection.error is not None or connection.closed:
                        await self.receive(connection, exchange, job)
                    elif not await connection.wait(None if job.read is None else self.now() + job.read):
                        raise job.timed_out(ReadTimeout, "read", self.now(), "the answer did not arrive")
                    elif exchange.only_informational and exchange.need == INPUT:
                        await self.receive(connection, exchange, job)
                elif need == BODY:
                    if pieces is None:
                        pieces = job.async_pieces()
                    piece = await next_piece(pieces)
                    if piece is None:
                        pieces = None
                    exchange.feed(piece)
                elif need == PAUSE:
                    patience = self.now() + PATIENCE
                    until = patience if job.deadline is None else min(patience, job.deadline)
                    if not await connection.wait(until):
                        exchange.proceed()
                    if connection.error is not None:
                        raise connection.error
                else:
                    break
                if job.narrator is not None:
                    await self.tell(job, "turn", exchange)
            if job.narrator is not None and exchange.head is not None:
                await self.tell(job, "turn", exchange)  # the answer may have come while the last events were told
        finally:
            if pieces is not None:
                await end_pieces(pieces, job)
        # An answer that broke off behind its head is a response still, and raises when it is read.
        if exchange.error is not None and exchange.head is None:
            raise connection.write_error or exchange.error

    async def _drain(self, connection: AsyncioConnection, exchange: Exchange, job: Job) -> None:
        """Wait until the peer has taken what was sent; the callback listens meanwhile."""
        while connection.unsent and connection.error is None:
            if connection.closed:
                raise WriteError("the connection was closed while the request was sent")
            if not await connection.wait(job.limit("write", self.now())) or self._is_late(job):
                raise job.timed_out(WriteTimeout, "write", self.now(), "the peer did not take the request")
            if exchange.need == NOTHING or exchange.abandoned:
                exchange.cut_short()
                return

    async def receive(self, connection: AsyncioConnection, exchange: Exchange, job: Job) -> None:
        """
        Wait until the exchange has got something.

        Raises:
            ReadTimeout, ReadError.
        """
        until = job.limit("read", self.now())
        while True:
            if isinstance(connection.error, ConnectError):
                raise connection.error  # the handshake was refused, and so nothing could be written either
            if connection.error is not None:
                raise connection.write_error or connection.error
            if connection.closed:
                raise ReadError("the connection was closed while its answer was awaited")
            # Where something always arrives no timer comes to its turn.
            if not await connection.wait(until) or (job.deadline is not None and self._is_late(job)):
                raise job.timed_out(ReadTimeout, "read", self.now(), "the answer did not arrive")
            # Interim answers are no progress: the time to wait goes on.
            if not exchange.only_informational or exchange.need != INPUT:
                return

    def _is_late(self, job: Job) -> bool:
        """Is the total timeout over?"""
        return job.deadline is not None and self.now() >= job.deadline

    def _stream(self, connection: AsyncioConnection, exchange: Exchange, job: Job) -> Response:
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

    async def _redeem(self, ticket: Ticket[AsyncioConnection], job: Job) -> AsyncioConnection:
        """Wait for a ticket to be served: by its own dial, or by a connection that somebody gives back."""
        self.settle()
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
                    self._dials[ticket] = dial = self.loop.create_task(self._dial(ticket, job))
                    dial.add_done_callback(partial(self._end_dial, ticket))
                if not await ticket.signal:
                    raise job.queue_timed_out(self.now())
                if queues and job.narrator is not None:
                    queues = False
                    await self.tell(job, "complete")
            if ticket.error is not None:
                raise ticket.error
            assert ticket.connection is not None
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
        """Nobody waits for the ticket any more; a dial that only it wanted ends, too."""
        self.pool.abandon(ticket, self.now())
        dial = self._dials.get(ticket)
        if dial is not None:
            dial.cancel()
        self.settle()

    def release(self, connection: AsyncioConnection, reusable: bool) -> None:
        """Give a connection back; it is closed unless it may be reused. Never waits."""
        now = self.now()
        connection.exchange = connection.incoming = None
        connection.buffered = 0
        connection.was_idle = True
        # A timer that is running looks again; there need not be one, because idle connections are also closed on use.
        connection.deadline = None if self._expiry is None else now + self._expiry
        self.pool.release(connection, reusable and not connection.closed, now)
        if self.pool.has_chores:
            self.settle()

    def lost(self, connection: AsyncioConnection) -> None:
        """An idle connection ended, spoke out of turn, or is too old."""
        self.pool.remove(connection)
        connection.close()
        self.settle()

    def settle(self) -> None:
        """Do what the pool asks for."""
        while self.pool.has_chores:
            connections, tickets = self.pool.take_chores()
            for connection in connections:
                connection.close()
            for ticket in tickets:
                if ticket.signal is not None and not ticket.signal.done():
                    ticket.signal.set_result(True)

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
        for connection in self.pool.shut():
            connection.close()
        self.settle()

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
        """The task behind a ticket: it lives until it has a connection or an error, whoever wants it by then."""
        try:
            connection = await self._connect(job)
        except Exception as exc:
            self._end_dial(ticket, error=exc)
        else:
            del self._dials[ticket]
            if connection.multiplexer is None:
                self.pool.dialled(ticket, connection, self.now())
            else:
                connection.multiplexer.enter_pool(ticket)
            connection.was_idle = ticket.connection is not connection  # somebody else's now, or nobody's for a while
            self.settle()

    def _end_dial(self, ticket: Ticket[AsyncioConnection], _: object = None, error: Exception | None = None) -> None:
        """A dial failed; or its task ended without having said so, because it was cancelled, maybe before it began."""
        if self._dials.pop(ticket, None) is not None:
            self.pool.dial_failed(ticket, error or ConnectError(CLOSED))
            self.settle()

    async def _connect(self, job: Job) -> AsyncioConnection:
        """A new connection, tried again as often as the transport was told to."""
        job.begin_dial()
        attempt = 0
        while True:
            try:
                return await self._connect_once(job)
            except (ConnectError, ConnectTimeout):
                if attempt >= self.settings.retries or (job.deadline is not None and self.now() >= job.deadline):
                    raise
            pause = backoff(attempt)
            attempt += 1
            await self.tell(job, "start", "connection.retry")
            await asyncio.sleep(pause if job.deadline is None else max(0.0, min(pause, job.deadline - self.now())))
            await self.tell(job, "complete")

    async def _connect_once(self, job: Job) -> AsyncioConnection:
        until = job.limit("connect", self.now())
        route = Route(job.key, job.server_name(), self.settings)
        if route.unresolved is not None:
            route.resolved(await self._resolve(*route.unresolved, job, until))
        connection = AsyncioConnection(self, await self._connect_tcp(route, job, until))
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
            from .asyncio_http2 import AsyncioMultiplexer  # those who never meet it do not load it

            try:
                await self.tell(job, "start", "http2.send_connection_init", request=job.request)
                AsyncioMultiplexer(self, connection)
                await self.tell(job, "complete")
            except BaseException:
                connection.close()
                raise
        connection.incoming = None
        return connection

    async def _start_tls(self, connection: AsyncioConnection, hop: TLSHop, job: Job, until: float | None) -> None:
        name = hop.server_name
        await self.tell(job, "start", hop.step, server_hostname=name, timeout=job.timeout.get("connect"))
        if not await connection.shake_hands(hop.begin(connection.wire.tls), until):
            raise job.timed_out(ConnectTimeout, "connect", self.now(), f"no TLS session with {hop.peer}")
        await self.tell(job, "complete")

    async def _talk(self, connection: AsyncioConnection, handshake: Handshake, job: Job, until: float | None) -> None:
        """Speak with a proxy until there is a tunnel. Raises ProxyError, ConnectTimeout."""
        try:
            while not handshake.done:
                left = None if until is None else max(0.0, until - self.now())
                data = handshake.take()
                if data:
                    await connection.write(data, left)
                handshake.receive(await connection.read(sys.maxsize, left))  # all: nothing may stay behind unseen
                if handshake.error is not None:
                    raise handshake.error
        except (ReadTimeout, WriteTimeout) as exc:
            raise job.timed_out(ConnectTimeout, "connect", self.now(), "no tunnel through the proxy") from exc
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
                raise job.timed_out(ConnectTimeout, "connect", self.now(), f"the name {host!r} was not resolved")
        except Exception as exc:
            await self.tell(job, "failed", exc)
            raise
        await self.tell(job, "complete", texts(addresses))
        return addresses

    async def _look_up(self, host: str, port: int, until: float | None) -> list[Address] | None:
        """The answer to a question; None if there was none in time."""
        names = self.settings.names
        answered: Any
        look_up: Any = None
        if names.is_awaited:
            answered = asyncio.ensure_future(names.resolver(host, port))  # type: ignore[misc]  # there is one
        else:
            # Not `loop.getaddrinfo`: its threads are few, everybody's, and waited for when the loop ends.
            answered = self.loop.create_future()
            look_up = names.look_up(host, port)
            look_up.when_over(partial(_from_a_thread, self.loop, answered))
        try:
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with the result.
            await asyncio.wait([answered], timeout=None if until is None else max(0.0, until - self.now()))
        finally:
            if not answered.done():
                answered.cancel()
            elif not answered.cancelled():
                answered.exception()  # seen, also if this task is cancelled just now
        if not answered.done() or answered.cancelled():
            return None
        if look_up is not None:
            return look_up.addresses()  # type: ignore[no-any-return]  # a LookUp's
        try:
            return names.learn(host, port, answered.result())
        except ConnectError:
            raise
        except Exception as exc:
            raise resolve_error(host, exc) from exc

    async def _race(self, race: Race, job: Job, until: float | None) -> socket.socket:
        """Happy Eyeballs: overlapping attempts, until one succeeds, all have failed, or time is up."""
        attempts = Attempts(self, race)
        winner: socket.socket | None = None
        try:
            while True:
                attempts.begin_due()
                winner = attempts.winner()
                if winner is not None:
                    return winner
                if race.lost:
                    raise race.error()
                now = self.now()
                if until is not None and now >= until:
                    total = job.deadline is not None and now >= job.deadline
                    raise race.timeout(job.timeout["total" if total else "connect"] or 0.0, total)
                await attempts.wait(until)
        finally:
            attempts.drop_all_but(winner)


def _from_a_thread(loop: asyncio.AbstractEventLoop, future: asyncio.Future[bool]) -> None:
    """Wake whoever waits for the future, if the loop has not ended meanwhile."""
    try:
        loop.call_soon_threadsafe(_settle_once, future)
    except RuntimeError:
        pass  # nobody is there any more


def _settle_once(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(True)


class Attempts:
    """The attempts of one race: they report here, and wake the one who waits for them."""

    def __init__(self, engine: AsyncioEngine, race: Race) -> None:
        self._race = race
        self._io = engine.io
        self._loop = engine.loop
        self._now = engine.now
        self._settings = engine.settings
        self._sockets: dict[socket.socket, Address] = {}
        self._ended: list[tuple[socket.socket, OSError | None]] = []
        self._waiter: asyncio.Future[None] | None = None

    def begin_due(self) -> None:
        """Begin every attempt that is due."""
        while (address := self._race.next(self._now())) is not None:
            try:
                sock = new_socket(address, self._settings)
            except OSError as exc:
                self._race.failed(address, exc, self._now())
                continue
            self._sockets[sock] = address
            self._io.connect(sock, address, partial(self._report, sock))

    def _report(self, sock: socket.socket, error: OSError | None) -> None:
        if sock in self._sockets:
            self._ended.append((sock, error))
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def winner(self) -> socket.socket | None:
        """The first socket that is connected; those that failed are told to the race."""
        for sock, error in self._ended:
            if error is None:
                return sock
            self._race.failed(self._sockets.pop(sock), error, self._now())
            self._io.give_up(sock)
        self._ended.clear()
        return None

    async def wait(self, until: float | None) -> None:
        """Until an attempt ends, the next one is due, or time is up."""
        if self._ended:
            return
        times = [when for when in (self._race.due, until) if when is not None]
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(min(times), self._wake) if times else None
        try:
            await self._waiter
        finally:
            if timer is not None:
                timer.cancel()

    def drop_all_but(self, winner: socket.socket | None) -> None:
        """Close the sockets of all other attempts, whatever their state is."""
        for sock in self._sockets:
            if sock is not winner:
                self._io.give_up(sock)
        self._sockets.clear()
