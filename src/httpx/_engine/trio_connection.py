"""
A connection on trio: try at once, else wait for readiness under a cancel scope.

    TrioConnection   a wire in the pool

Not here: which request has the connection, and how it is made (`trio`); the streams of HTTP/2 (`http2.trio`); the
stream of an upgraded connection (`trio_stream`).
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Awaitable
from typing import Any, Callable

import trio

from .._exceptions import ReadError, TransportError, WriteError
from .._protocol.exchange import Exchange
from .multiplexing import AsyncMultiplexing
from .raw import Buffer, closed_for_reading, closed_for_writing, not_upgraded
from .trio_stream import TrioStream
from .wire import Wire

now = trio.current_time


def scope_until(until: float | None) -> trio.CancelScope:
    return trio.CancelScope(deadline=math.inf if until is None else until)


class TrioConnection:
    """
    A wire in the pool. It is the `network_stream` of a response whose connection was not upgraded.

    Attributes:
        reused: it has served a request before.
        closed: it was closed.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.wire = Wire(sock)
        self.reused = False
        self.closed = False
        self.write_error: WriteError | None = None
        self.multiplexer: AsyncMultiplexing | None = None  # for the streams of HTTP/2

    # Waiting. A socket that is closed meanwhile, by `aclose` of the client, wakes its waiters with ClosedResourceError.

    async def receive(self, until: float | None) -> bytes | None:
        """
        Return what the peer sent next: b"" at its end, None if nothing came until then.

        Raises:
            ReadError: the connection broke.
        """
        while True:
            if self.closed:
                raise closed_for_reading()
            # Before anything is taken: a peer that always has something to say must not keep us from being cancelled.
            await trio.lowlevel.checkpoint_if_cancelled()
            data = self.wire.receive_now()
            if data is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()  # fair to other tasks during a fast download
                return data
            # The clock, too: where parts of a record always arrive, no wait is long enough to be ended.
            if (until is not None and now() >= until) or not await self._ready(trio.lowlevel.wait_readable, until):
                return None

    async def receive_raw(self, until: float | None) -> bytes | None:
        """Like `receive`, below TLS."""
        while True:
            if self.closed:
                raise closed_for_reading()
            # Before anything is taken: a peer that always has something to say must not keep us from being cancelled.
            await trio.lowlevel.checkpoint_if_cancelled()
            data = self.wire.receive_raw()
            if data is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()  # fair to other tasks during a fast download
                return data
            if not await self._ready(trio.lowlevel.wait_readable, until):
                return None

    async def _ready(self, wait: Callable[[socket.socket], Awaitable[None]], until: float | None) -> bool:
        with scope_until(until) as scope:
            try:
                await wait(self.wire.sock)
            except trio.ClosedResourceError:
                raise closed_for_reading() from None
        return not scope.cancelled_caught

    async def wait_for_room(self, until: float | None) -> bool:
        """
        Wait until the socket takes bytes; False if time is up.

        Raises:
            WriteError: the connection was closed.
        """
        try:
            return await self._ready(trio.lowlevel.wait_writable, until)
        except ReadError:
            raise closed_for_writing() from None

    async def wait_for_either(self, until: float | None) -> bool:
        """Wait until the socket takes or has bytes; False if time is up."""
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = math.inf if until is None else until
            done = []

            @trio.lowlevel.enable_ki_protection  # else a Ctrl-C would come out in a group
            async def one(wait: Callable[[socket.socket], Awaitable[None]]) -> None:
                try:
                    if not self.closed:
                        await wait(self.wire.sock)
                except trio.ClosedResourceError:
                    pass  # the next use of the socket raises it; from here it would come out in a group
                done.append(wait)
                nursery.cancel_scope.cancel()

            nursery.start_soon(one, trio.lowlevel.wait_readable)
            nursery.start_soon(one, trio.lowlevel.wait_writable)
        return bool(done)

    def is_quiet(self) -> bool:
        """
        Return whether the peer has neither closed nor sent anything since the last exchange.

        Under TLS it may have sent session tickets, which are taken here.
        """
        wire = self.wire
        if self.closed or (wire.tls is not None and wire.tls.ended):
            return False
        if not wire.poll(0):
            return True
        if wire.tls is None:
            return False
        try:
            return not wire.tls.receive(wire.receive_raw() or b"") and not wire.tls.ended
        except TransportError:
            return False

    def close(self) -> None:
        """Close, at once and without waiting."""
        if not self.closed:
            if self.multiplexer is not None:
                self.multiplexer.say_goodbye()
            self.closed = True
            trio.lowlevel.notify_closing(self.wire.sock)
            self.wire.close()

    # `network_stream`.

    def upgrade(self, surplus: bytes) -> TrioStream:
        """Return the stream of the connection, whose bytes are its user's from now on; `surplus` came already."""
        return TrioStream(self, surplus)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Raise CloseError: only an upgraded connection gives its bytes."""
        raise not_upgraded()

    async def write(self, buffer: Buffer, timeout: float | None = None) -> None:
        """Raise CloseError, as `read` does."""
        raise not_upgraded()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> TrioStream:
        """Raise CloseError, as `read` does."""
        raise not_upgraded()

    async def aclose(self) -> None:
        """Close the connection."""
        self.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection: see `Wire.extra_info`."""
        return self.wire.extra_info(info)

    @staticmethod
    def take_chunks(exchange: Exchange) -> list[bytes]:
        """Remove and return the pieces of the body that have arrived."""
        chunks, exchange.chunks = exchange.chunks, []
        return chunks
