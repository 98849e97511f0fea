"""
The network stream of an upgraded connection on trio.

Not here: what a stream promises (`raw`), the socket and waiting for it (`trio_connection`).
"""

from __future__ import annotations

import math
import ssl
from typing import Protocol

import trio

from .._exceptions import ConnectTimeout, TransportError, WriteError
from .._protocol.tls import TLSFilter
from . import raw
from .connecting import shake_hands
from .operations import Receive, Send
from .raw import Buffer, RawStream, as_data, moment
from .wire import Data, Wire

now = trio.current_time


class Carrier(Protocol):
    """What a stream needs of its connection."""

    wire: Wire
    closed: bool

    async def receive_raw(self, until: float | None) -> bytes | None:
        """Return what the socket receives next; None if time is up."""
        ...

    async def wait_for_room(self, until: float | None) -> bool:
        """Wait until the socket takes bytes; False if time is up."""
        ...

    async def wait_for_either(self, until: float | None) -> bool:
        """Wait until the socket takes or has bytes; False if time is up."""
        ...

    def close(self) -> None:
        """Close the connection and wake its waiters."""
        ...


class TrioStream(RawStream):
    """The bytes of an upgraded connection, for tasks of trio."""

    __slots__ = ("_connection", "_is_read", "_is_written", "_writers")

    def __init__(self, connection: Carrier, surplus: bytes) -> None:
        super().__init__(connection.wire, surplus)
        self._connection = connection
        self._is_read = False
        self._is_written = False
        self._writers: list[trio.Event] = []  # tasks that wait for their turn to write; an empty deque takes 0.7 KiB

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
            until = moment(timeout, now())
            self._is_read = True
            try:
                data = await self._receive(until)
            finally:
                self._is_read = False
            if data is None:
                raise raw.read_timed_out(timeout)
            if len(data) <= max_bytes:
                return data
            self._unread = data
        else:
            await trio.lowlevel.checkpoint()
        return self._take(max_bytes)

    async def _receive(self, until: float | None) -> bytes | None:
        """Wait for input; None if time is up."""
        connection, wire = self._connection, self.wire
        tls = wire.tls
        while True:
            if tls is not None and tls.ended:
                await trio.lowlevel.checkpoint()
                return b""
            data = await connection.receive_raw(until)
            if tls is None or data is None:
                return data
            data = tls.receive(data)
            if tls.due:
                try:
                    wire.queue(tls.pending())  # the rest goes before what is written next
                except WriteError:
                    pass  # the next write will notice; there may be input still
                self._check_chatter()
            if data or tls.ended:
                return data
            # Where parts of a record always arrive no wait is long enough to be ended.
            if until is not None and now() >= until:
                return None

    async def write(self, buffer: Buffer, timeout: float | None = None) -> None:
        """
        Send `buffer`.

        Args:
            timeout: seconds for all of it, and for writes of other tasks that come first; None for ever.

        Raises:
            WriteTimeout: the peer did not take all of it in time.
            WriteError: the connection broke, or was closed here.
        """
        until = moment(timeout, now())
        data = as_data(buffer)
        await trio.lowlevel.checkpoint_if_cancelled()
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
            # No checkpoint after it: that would cost a quarter of a small message, and a loop that writes has to wait
            # as soon as the socket is full.
            del data
            self._pass_turn()

    async def _await_turn(self, until: float | None) -> bool:
        """Wait for the turn to write; False if time is up."""
        turn = trio.Event()
        self._writers.append(turn)
        try:
            with trio.CancelScope(deadline=math.inf if until is None else until):
                await turn.wait()
        except BaseException:
            if turn.is_set():  # it came together with the cancellation
                self._pass_turn()
            else:
                self._writers.remove(turn)
            raise
        if not turn.is_set():
            self._writers.remove(turn)
        return turn.is_set()

    def _pass_turn(self) -> None:
        if self._writers:
            self._writers.pop(0).set()
        else:
            self._is_written = False

    async def _send(self, data: Data, until: float | None, timeout: float | None) -> None:
        """Send all of `data`; what is left when that fails is kept for the next write."""
        connection, wire = self._connection, self.wire
        tls = wire.tls
        piece: Data = b""
        if tls is not None and len(data) > raw.PIECE:
            data = memoryview(data)  # whose pieces are not copies
        try:
            while True:
                if connection.closed:
                    raise raw.closed_for_writing()
                if wire.unsent:
                    wire.flush()
                elif not data:
                    return
                elif tls is None:
                    data = wire.send(data)
                    if not data:
                        return
                else:
                    piece, data = data[: raw.PIECE], data[raw.PIECE :]
                    wire.queue(tls.encrypt(piece))
                if wire.unsent or tls is None:
                    if not await connection.wait_for_room(until) or (until is not None and now() >= until):
                        raise raw.write_timed_out(timeout)
                elif data:
                    await trio.lowlevel.checkpoint()  # fair to other tasks during a fast upload
        except WriteError:
            raise
        except BaseException:
            self._kept = bytes(data)  # the caller may change its buffer
            data = piece = b""  # which the traceback would keep from being resized
            raise

    def write_now(self, data: Data = b"") -> int:
        """
        Send as much of `data` as the socket takes at once. Return how many bytes are left, which go first.

        For a user that keeps its tasks apart itself, as `websocket.trio` does, in place of `write`: takes no turn.

        Raises:
            WriteError: the connection broke, or was closed here.
        """
        wire = self.wire
        tls = wire.tls
        if self._kept:
            data = b"".join((self._kept, data)) if data else self._kept
            self._kept = b""
        if self._connection.closed:
            raise raw.closed_for_writing()
        if tls is None:
            rest = wire.send(data) if data else b""
            if rest:
                self._kept = rest
            return len(rest)
        if wire.unsent:
            wire.flush()
        if len(data) > raw.PIECE:
            data = memoryview(data)  # whose pieces are not copies
        while data and not wire.unsent:
            piece, data = data[: raw.PIECE], data[raw.PIECE :]
            wire.queue(tls.encrypt(piece))
        self._kept = data
        return len(data) + len(wire.unsent)

    async def wait_for_either(self, until: float | None, reads: bool) -> bool:
        """
        Wait until the socket takes bytes, or, if `reads`, has some; False if time is up.

        Raises:
            WriteError: the connection was closed here.
        """
        if self._connection.closed:
            raise raw.closed_for_writing()
        if reads:
            return await self._connection.wait_for_either(until)
        return await self._connection.wait_for_room(until)

    def close_now(self) -> None:
        """Close the connection, without a checkpoint."""
        self._connection.close()

    async def aclose(self) -> None:
        """Close the connection. A task that reads or writes gets a ReadError or a WriteError."""
        self._connection.close()
        await trio.lowlevel.checkpoint()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> TrioStream:
        """
        Begin TLS; return the stream to use from now on.

        Raises:
            ConnectError: the handshake failed, or the peer has sent bytes already.
            ConnectTimeout: it did not end in time.
            RuntimeError: another task is reading or writing.
        """
        until = moment(timeout, now())
        if self._is_read:
            raise raw.busy("read")
        if self._is_written:
            raise raw.busy("written to")
        self._check_tls()
        tls = TLSFilter(ssl_context, server_hostname, over=self.wire.tls)
        self._is_read = self._is_written = True
        try:
            done = await self._shake_hands(tls, until)
        finally:
            self._is_read = False
            self._pass_turn()
        if not done:
            raise ConnectTimeout(raw.tls_timed_out(timeout))
        self.wire.tls = tls
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
                        result = await self._connection.receive_raw(operation.until)
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
        self.wire.queue(data)
        while self.wire.unsent:
            if not await self._connection.wait_for_room(until):
                return False
            self.wire.flush()
        return True
