"""
The network stream of an upgraded connection on asyncio.

Not here: what a stream promises (`raw`), the callbacks that move its bytes (`asyncio_connection`).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Callable, Protocol

from .._exceptions import ConnectTimeout, TransportError, WriteError
from .._protocol.tls import TLSFilter
from . import raw
from .connecting import shake_hands
from .job import again
from .operations import Receive, Send
from .raw import Buffer, RawStream, as_data, moment
from .wire import Data, Wire


class Carrier(Protocol):
    """What a stream needs of its connection."""

    wire: Wire
    closed: bool
    incoming: bytearray | None
    unsent: Data
    error: TransportError | None
    write_error: WriteError | None
    has_ended: bool
    loop: asyncio.AbstractEventLoop
    now: Callable[[], float]

    def wait(self, until: float | None) -> asyncio.Future[bool]:
        """Wait until something happened; False if time is up."""
        ...

    async def wait_for_room(self, until: float | None) -> bool:
        """Wait until something happened, beside `wait`; False if time is up."""
        ...

    def take_incoming(self) -> bytes:
        """Remove and return all that has arrived."""
        ...

    def send(self, data: bytes) -> None:
        """Send `data` through TLS; what the socket does not take is `unsent`, and follows by itself."""
        ...

    def send_below(self, data: bytes) -> None:
        """Send `data` as `send` does, below TLS."""
        ...

    def close(self) -> None:
        """Close the connection and wake its waiters."""
        ...


class AsyncioStream(RawStream):
    """The bytes of an upgraded connection, for tasks of asyncio."""

    __slots__ = ("_connection", "_is_read", "_is_written", "_writers")

    def __init__(self, connection: Carrier) -> None:
        super().__init__(connection.wire, b"")
        self._connection = connection
        self._is_read = False
        self._is_written = False
        self._writers: list[
            asyncio.Future[bool]
        ] = []  # tasks that wait for their turn to write; an empty deque takes 0.7 KiB

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """
        Return at most `max_bytes` of what the peer sent; b"" at its end.

        Args:
            max_bytes: 1 or more.
            timeout: seconds to wait if nothing has arrived; None for ever.

        Raises:
            ReadTimeout: nothing arrived in time.
            ReadError: the connection broke, or was closed here.
            RuntimeError: another task is reading.
        """
        if self._is_read:
            raise raw.busy("read")
        connection = self._connection
        if connection.closed:
            raise raw.closed_for_reading()
        if not self._unread:
            if not connection.incoming:
                until = moment(timeout, connection.now())
                if not await self._receive(until):
                    raise raw.read_timed_out(timeout)
            data = connection.take_incoming()
            if len(data) <= max_bytes:
                return data
            self._unread = data
        return self._take(max_bytes)

    async def _receive(self, until: float | None) -> bool:
        """Wait for input or its end; False if time is up."""
        connection = self._connection
        self._is_read = True
        try:
            while not connection.incoming:
                if connection.error is not None:
                    raise again(connection.error)
                if connection.closed:
                    raise raw.closed_for_reading()
                if connection.has_ended:
                    return True
                if not await connection.wait(until):
                    return False
            return True
        finally:
            self._is_read = False

    async def write(self, buffer: Buffer, timeout: float | None = None) -> None:
        """
        Send `buffer`.

        Args:
            timeout: seconds for all of it, and for writes of other tasks that come first; None for ever.

        Raises:
            WriteTimeout: the peer did not take all of it in time.
            WriteError: the connection broke, or was closed here.
        """
        connection = self._connection
        if (
            type(buffer) is bytes
            and len(buffer) <= raw.PIECE
            and not (self._is_written or self._kept or connection.unsent or connection.closed or connection.write_error)
            and timeout == timeout  # it is not NaN, which `moment` refuses
        ):
            # Nearly every write goes out at once. What follows comes to the same, for twice the time.
            connection.send(buffer)
            if not connection.unsent:
                return
            buffer = b""
        until = moment(timeout, connection.now())
        data = as_data(buffer)
        if not self._is_written:
            self._is_written = True
        elif not await self._await_turn(until):
            raise raw.write_timed_out(timeout)
        try:
            if self._kept:
                kept, self._kept = self._kept, b""
                await self._send(kept, until, timeout)
            await self._send(data, until, timeout)
        finally:
            del data
            self._pass_turn()

    async def _await_turn(self, until: float | None) -> bool:
        """Wait for the turn to write; False if time is up."""
        turn: asyncio.Future[bool] = self._connection.loop.create_future()
        self._writers.append(turn)
        timer = None if until is None else self._connection.loop.call_at(until, settle, turn, False)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():  # it came together with the cancellation
                self._pass_turn()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _pass_turn(self) -> None:
        if self._connection.loop.is_closed():
            return  # the tasks that waited have ended with it
        while self._writers:
            turn = self._writers.pop(0)
            if not turn.done():
                settle(turn, True)
                return
        self._is_written = False

    async def _send(self, data: Data, until: float | None, timeout: float | None) -> None:
        """Send all of `data`; what is left when that fails is kept for the next write."""
        connection = self._connection
        piece: Data = b""
        if len(data) > raw.PIECE:
            data = memoryview(data)  # whose pieces are not copies
        try:
            while True:
                if connection.closed:
                    raise raw.closed_for_writing()
                if connection.write_error is not None:
                    raise again(connection.write_error)
                if connection.unsent:
                    if not await connection.wait_for_room(until):
                        raise raw.write_timed_out(timeout)
                elif data:
                    piece, data = data[: raw.PIECE], data[raw.PIECE :]
                    # The loop may have to send the end of it when the caller is free to change its buffer.
                    connection.send(piece if isinstance(piece, bytes) else bytes(piece))
                else:
                    return
        except WriteError:
            raise  # nothing more can be sent
        except BaseException:
            self._kept = bytes(data)  # the caller may change its buffer
            data = piece = b""  # which the traceback would keep from being resized
            raise

    async def aclose(self) -> None:
        """Close the connection. A task that reads or writes gets a ReadError or a WriteError."""
        self._connection.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncioStream:
        """
        Begin TLS; return the stream to use from now on.

        Raises:
            ConnectError: the handshake failed, or the peer has sent bytes already.
            ConnectTimeout: it did not end in time.
            RuntimeError: another task is reading or writing.
        """
        connection = self._connection
        until = moment(timeout, connection.now())
        if self._is_read:
            raise raw.busy("read")
        if self._is_written:
            raise raw.busy("written to")
        if connection.incoming:
            self._unread += connection.take_incoming()
        self._check_tls()
        carrier = connection.wire.tls
        tls = TLSFilter(ssl_context, server_hostname, over=carrier)
        self._is_written = True
        # Until the new filter is in place, bytes are wanted as they come from the socket.
        connection.wire.tls = None
        try:
            done = await self._shake_hands(tls, until)
        except BaseException:
            connection.wire.tls = carrier
            raise
        finally:
            self._pass_turn()
        connection.wire.tls = tls if done else carrier
        if not done:
            raise ConnectTimeout(raw.tls_timed_out(timeout))
        self._unread = tls.leftover()
        return self

    async def _shake_hands(self, tls: TLSFilter, until: float | None) -> bool:
        steps = shake_hands(tls, until)
        try:
            operation = next(steps)
            while True:
                try:
                    if isinstance(operation, Send):
                        result: bool | bytes | None = await self._send_below(operation.data, operation.until)
                    else:
                        assert isinstance(operation, Receive)
                        arrived = await self._receive(operation.until)
                        result = self._connection.take_incoming() if arrived else None
                except TransportError as exc:
                    operation = steps.throw(exc)
                else:
                    operation = steps.send(result)
        except StopIteration as stop:
            return bool(stop.value)
        finally:
            steps.close()

    async def _send_below(self, data: bytes, until: float | None) -> bool:
        """Send bytes as they go through the socket; False if time is up."""
        connection = self._connection
        connection.send_below(data)
        while connection.unsent:
            if not await connection.wait_for_room(until):
                return False
            if connection.closed:
                raise raw.closed_for_writing()
        if connection.write_error is not None:
            raise again(connection.write_error)
        return True


def settle(future: asyncio.Future[bool], result: bool) -> None:
    """Give a future its result, unless it is done."""
    if not future.done():
        future.set_result(result)
