"""
A connection on asyncio: its socket, the persistent callback that reads it, and the one that waits for it.

    LoopIO             how a socket becomes ready, on loops that have `add_reader` (all of asyncio's but one, uvloop)
    FallbackIO         the same through `loop.sock_recv` and its kind (Windows' proactor loop)
    AsyncioConnection  a wire, its callback, its timer

Not here: which request has the connection, and how it is made (`asyncio`); the streams of HTTP/2 (`http2.asyncio`);
the stream of an upgraded connection (`asyncio_stream`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, Protocol, Union

from .._exceptions import ReadError, TransportError, WriteError
from .._protocol.exchange import Exchange
from .asyncio_stream import AsyncioStream, settle
from .job import again
from .multiplexing import AsyncioMultiplexing
from .raw import MAX_CHATTER, Buffer, not_upgraded
from .wire import LARGE_READ, SMALL_READ, Data, Wire

# Bytes that may wait for a slow reader before the socket is left alone: the peer then slows down, too.
HIGH_WATER = 1_048_576


class LoopIO:
    """Readiness of sockets through `add_reader` and `add_writer`."""

    may_look = True  # the socket may also be read between two calls of the loop

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
        """Nothing is left to be written, or it is given up."""
        self._loop.remove_writer(connection.wire.sock)

    def close(self, connection: AsyncioConnection) -> None:
        """Close the socket, which the loop watches no more: its number may be another one's at once."""
        sock = connection.wire.sock
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
        connection.wire.close()


class FallbackIO:
    """The same on loops without `add_reader`: an operation is always under way, and its end is the readiness."""

    may_look = False  # the operation may have bytes that the loop has not delivered yet: later ones would overtake them

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reading: dict[AsyncioConnection, asyncio.Task[None]] = {}
        self._writing: dict[AsyncioConnection, asyncio.Task[None]] = {}

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
                if connection in self._reading:  # by code that ends all tasks: nothing would read any more
                    connection.on_broken(ReadError("the task that receives was cancelled"))
                raise
            connection.on_received(data)

    def stop_reading(self, connection: AsyncioConnection) -> None:
        self._cancel(self._reading.pop(connection, None))

    def start_writing(self, connection: AsyncioConnection) -> None:
        self._writing[connection] = self._loop.create_task(self._write(connection))

    async def _write(self, connection: AsyncioConnection) -> None:
        while connection.unsent:  # never empty while it is under way; more may be appended meanwhile
            rest = connection.unsent
            try:
                await self._loop.sock_sendall(connection.wire.sock, rest)
            except OSError as exc:
                connection.write_error = WriteError(f"sending failed: {exc.strerror or exc}")
                break
            connection.unsent = connection.unsent[len(rest) :]  # nothing, but for what came meanwhile
        self._writing.pop(connection, None)
        connection.unsent = b""
        connection.wake()

    def stop_writing(self, connection: AsyncioConnection) -> None:
        self._cancel(self._writing.pop(connection, None))

    def close(self, connection: AsyncioConnection) -> None:
        # In the next turn: what was cancelled has let go of the descriptor then, before it can be another socket's.
        self._loop.call_soon(connection.wire.close)

    @staticmethod
    def _cancel(task: asyncio.Task[None] | None) -> None:
        if task is not None and not task.done():
            task.cancel()


def io_of(loop: asyncio.AbstractEventLoop) -> LoopIO | FallbackIO:
    """Return what fits the loop. Windows' proactor loop has the methods, too, but they raise NotImplementedError."""
    if type(loop).add_reader is asyncio.AbstractEventLoop.add_reader:
        return FallbackIO(loop)
    return LoopIO(loop)


class Owner(Protocol):
    """What a connection needs of its engine."""

    loop: asyncio.AbstractEventLoop
    io: Union[LoopIO, FallbackIO]

    def now(self) -> float:
        """The time on the loop's clock, in seconds."""
        ...

    def lost(self, connection: AsyncioConnection) -> None:
        """An idle connection ended, spoke out of turn, or is too old."""
        ...


class AsyncioConnection:
    """
    A wire in the pool, the callback that reads it, and the one waiting for it. It is the `network_stream` of a response
    whose connection was not upgraded.

    What arrives goes to `exchange` while there is one, and into `incoming` while bytes are wanted as they are (TLS
    handshake, upgraded connections, and before the first request). Anything else ends the connection: it was not
    asked for.

    Attributes:
        reused: it has served others before, or was idle.
    """

    def __init__(self, engine: Owner, sock: socket.socket) -> None:
        self.wire = Wire(sock)
        self.exchange: Exchange | None = None
        self.incoming: bytearray | None = bytearray()
        self.unsent: Data = b""
        self.reused = False
        self.closed = False
        self.error: TransportError | None = None
        self.write_error: WriteError | None = None
        self.has_ended = False
        self._engine = engine
        self.loop = engine.loop
        self.now = engine.now
        self._reread = not isinstance(engine.loop, asyncio.BaseEventLoop)
        self._io = engine.io
        self._waiter: asyncio.Future[bool] | None = None
        self._writer: asyncio.Future[bool] | None = None
        self.deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._chatter = 0  # bytes that TLS has added to what is unsent
        self.buffered = 0
        self._paused = False
        self.multiplexer: AsyncioMultiplexing | None = None  # for the streams of HTTP/2: bytes and events are its own
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
            # The case of nearly every response, in one frame; `on_received` comes to the same.
            exchange.receive(data)
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(True)
            if self._reread and not exchange.finished:
                self.loop.call_soon(self._on_maybe_readable)
            return
        if len(data) == SMALL_READ:
            wire.size = LARGE_READ
        self.on_received(data)
        if self._reread and data:
            self.loop.call_soon(self._on_maybe_readable)

    def _on_maybe_readable(self) -> None:
        """Look again: uvloop does not call back for a reset that came together with data."""
        if not self.closed and not self.has_ended and not self._paused:
            self.on_readable()

    def on_received(self, data: bytes) -> None:
        """Bytes of the socket, b"" at its end: through TLS, and on to whom they belong."""
        if not data:
            self.has_ended = True
            self._io.stop_reading(self)  # the end of a stream is readable for ever
        tls = self.wire.tls
        if tls is None:
            self._deliver(data)
            return
        try:
            data = tls.receive(data)
            if tls.due:
                self._respond(tls.pending())
        except TransportError as exc:
            self.on_broken(exc)
            return
        if data:
            self._deliver(data)
        if tls.ended:
            self._deliver(b"")

    def _respond(self, data: bytes) -> None:
        """Send what TLS wants to say in response to the peer, as far as that is finite."""
        self._chatter = self._chatter + len(data) if self.unsent else 0
        if self._chatter > MAX_CHATTER:
            raise ReadError("TLS: the peer asks for more responses to its key updates than it receives")
        self.send_below(data)

    def _deliver(self, data: bytes) -> None:
        exchange = self.exchange
        if self.multiplexer is not None:
            self.multiplexer.on_received(data)
        elif exchange is not None:
            exchange.receive(data) if data else self.wire.deliver_end(exchange)
            if exchange.head is not None:
                self.buffered += len(data)
                # A connection that can be used again goes on reading: the next request relies on it.
                if self.buffered > HIGH_WATER and not exchange.reusable:
                    self._pause()
            self.wake()
        elif self.incoming is not None:
            self.incoming += data
            if len(self.incoming) > HIGH_WATER:
                self._pause()
            if not data and not self.has_ended:
                self._stop_at_end()
            self.wake()
        else:
            self._engine.lost(self)

    def _stop_at_end(self) -> None:
        self.has_ended = True
        if not self._paused:
            self._io.stop_reading(self)

    def on_broken(self, error: TransportError) -> None:
        """The socket failed."""
        self.error = again(error)
        if self.exchange is None and self.incoming is None and self.multiplexer is None:
            self._engine.lost(self)
        else:
            if not self.has_ended:
                self.has_ended = True
                self._io.stop_reading(self)
            self.wake()

    def on_writable(self) -> None:
        """The socket takes more of what is unsent."""
        try:
            self.unsent = self.wire.send(self.unsent)
        except WriteError as exc:
            self.unsent = b""
            self.write_error = again(exc)
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
        if self.now() < deadline - 0.001:
            self._set_timer(deadline)
        elif self.exchange is None and self.incoming is None:
            self._engine.lost(self)  # idle for too long
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)

    # What the engine calls.

    def wait(self, until: float | None) -> asyncio.Future[bool]:
        """
        Return a future of what happens next: True for anything, False if time is up.

        A coroutine around it would cost each request one more frame, twice: it stays in `_waiter` when it is over.
        """
        waiter: asyncio.Future[bool] = self.loop.create_future()
        self._waiter = waiter
        self.deadline = until
        # A timer that fires earlier is left running: it will look again. So a warm request sets none.
        if until is not None and (self._timer is None or self._timer_at > until):
            self._set_timer(until)
        return waiter

    def wake(self) -> None:
        """Something happened."""
        if self.multiplexer is not None:
            self.multiplexer.on_event()
        for waiter in (self._waiter, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_result(True)

    async def wait_for_room(self, until: float | None) -> bool:
        """Wait until something happened; False if time is up. Beside `wait`, which a reader may be in."""
        writer: asyncio.Future[bool] = self.loop.create_future()
        self._writer = writer
        timer = None if until is None else self.loop.call_at(until, settle, writer, False)
        try:
            return await writer
        finally:
            self._writer = None
            if timer is not None:
                timer.cancel()

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self.loop.call_at(when, self.on_time)

    def send(self, data: bytes) -> None:
        """Send what the socket takes at once; the rest stays in `unsent` and follows by itself. Raises WriteError."""
        self.send_below(data if self.wire.tls is None else self.wire.tls.encrypt(data))

    def send_below(self, data: bytes) -> None:
        """Like `send`, below TLS."""
        rest = data if self.unsent else self.wire.send(data)
        if rest:
            self.queue(rest)

    def queue(self, rest: Data) -> None:
        """Send when the socket takes more what it did not take now."""
        if self.unsent:
            self.unsent = b"".join((self.unsent, rest))
        else:
            self.unsent = rest
            self._io.start_writing(self)

    def take_chunks(self, exchange: Exchange) -> list[bytes]:
        """Remove and return the pieces of the body that have arrived; reading goes on if it had stopped for them."""
        chunks, exchange.chunks = exchange.chunks, []
        self.buffered = 0
        if self._paused:
            self._resume()
        return chunks

    def take_incoming(self) -> bytes:
        """Remove and return the bytes that have arrived; reading goes on if it had stopped for them."""
        incoming = self.incoming
        data = bytes(incoming or b"")
        if incoming:
            incoming.clear()
        if self._paused:
            self._resume()
        return data

    def _pause(self) -> None:
        if not self._paused and not self.has_ended:
            self._paused = True
            self._io.stop_reading(self)

    def _resume(self) -> None:
        if not self.closed and not self.has_ended:
            self._paused = False
            self._io.start_reading(self)

    def is_quiet(self) -> bool:
        """Return whether the peer has neither closed nor sent anything since the last exchange. Takes what it sent."""
        if not self.closed:
            self.on_readable()
        return not self.closed

    def begin(self, exchange: Exchange) -> None:
        """
        Give the first exchange what has arrived by now; its request is out.

        A server that is full may respond before it was asked, and close: on a new connection that is the response.
        """
        early, self.incoming, self.exchange = self.incoming, None, exchange
        if early:
            exchange.receive(bytes(early))
        if self.has_ended or (self.wire.tls is not None and self.wire.tls.ended):
            self.wire.deliver_end(exchange)

    def was_left(self) -> None:
        """The request that the connection was made for has another one: what was said early belongs to no request."""
        self.reused = True
        if self.multiplexer is not None:
            self.multiplexer.was_left()
            return
        early, self.incoming = self.incoming, None
        tls = self.wire.tls
        if early or self.has_ended or (tls is not None and tls.ended):
            self._engine.lost(self)

    def close(self) -> None:
        """Close, at once and without waiting."""
        if self.closed:
            return
        if self.loop.is_closed():  # its timers and tasks have ended with it
            self.closed = True
            self.wire.close()
            return
        try:
            if self.multiplexer is not None:
                self.multiplexer.say_goodbye()
            self.closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self.has_ended and not self._paused:
                self._io.stop_reading(self)
            if self.unsent:
                self._io.stop_writing(self)
                self.wire.unsent = self.unsent  # it may end within a record, and then close_notify must not follow
            self._io.close(self)
        except BaseException:  # out of a signal handler
            self.closed = True
            self._io.close(self)
            raise
        finally:
            self.wake()

    # `network_stream`.

    def upgrade(self, surplus: bytes) -> AsyncioStream:
        """Return the stream of the connection, whose bytes are its user's from now on; `surplus` came already."""
        self.exchange = None
        self.incoming = bytearray(surplus)
        tls = self.wire.tls
        if tls is not None and tls.ended and not self.has_ended:
            self._stop_at_end()  # the end came in one piece with the head
        return AsyncioStream(self)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Raise CloseError: only an upgraded connection gives its bytes."""
        raise not_upgraded()

    async def write(self, buffer: Buffer, timeout: float | None = None) -> None:
        """Raise CloseError, as `read` does."""
        raise not_upgraded()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncioStream:
        """Raise CloseError, as `read` does."""
        raise not_upgraded()

    async def aclose(self) -> None:
        """Close the connection."""
        self.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection: see `Wire.extra_info`."""
        return self.wire.extra_info(info)
