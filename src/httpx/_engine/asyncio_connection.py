"""
A connection on asyncio: its socket, the persistent callback that reads it, and the one that waits for it.

    LoopIO             how a socket becomes ready, on loops that have `add_reader` (all of asyncio's but one, uvloop)
    FallbackIO         the same through `loop.sock_recv` and its kind (Windows' proactor loop)
    AsyncioConnection  a wire, its callback, its timer; also the `network_stream` of a response

Not here: which request has the connection, and how it is made (`asyncio`); the streams of HTTP/2 (`http2.asyncio`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

from .._exceptions import (
    CloseError,
    ConnectError,
    ConnectTimeout,
    ReadError,
    ReadTimeout,
    TransportError,
    WriteError,
    WriteTimeout,
)
from .._protocol.exchange import Exchange
from .._protocol.tls import TLSFilter
from .job import again
from .multiplexing import AsyncioMultiplexing
from .wire import EARLY, LARGE_READ, SMALL_READ, Wire

if TYPE_CHECKING:
    from .asyncio import AsyncioEngine

# Bytes of a body that may wait for a slow reader before the socket is left alone: the peer then slows down, too.
HIGH_WATER = 1_048_576


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


class FallbackIO:
    """The same on loops without `add_reader`: an operation is always under way, and its end is the readiness."""

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
    handshake, upgraded connections, and before the first request). Anything else ends the connection: nobody asked for
    it.

    Attributes:
        reused: it has served others before, or was idle.
    """

    def __init__(self, engine: AsyncioEngine, sock: socket.socket) -> None:
        self.wire = Wire(sock)
        self.exchange: Exchange | None = None
        self.incoming: bytearray | None = bytearray()
        self.unsent = b""
        self.reused = False
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
            if tls.due:
                self._write(tls.pending())
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
            exchange.receive(data) if data else self.wire.deliver_end(exchange)
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
        self.error = again(error)
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

    def begin(self, exchange: Exchange) -> None:
        """
        Give the first exchange what has arrived by now; its request is out.

        A server that is full may respond before it was asked, and close: on a new connection that is the response.
        """
        early, self.incoming, self.exchange = self.incoming, None, exchange
        if early:
            exchange.receive(bytes(early))
        if self._ended or (self.wire.tls is not None and self.wire.tls.ended):
            self.wire.deliver_end(exchange)

    def was_left(self) -> None:
        """The request that the connection was made for has another one: what was said early is for nobody."""
        self.reused = True
        if self.multiplexer is not None:
            return
        early, self.incoming = self.incoming, None
        if early or self._ended:
            self._engine.lost(self)

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
