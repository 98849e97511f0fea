"""
A connection on trio: try at once, else wait for readiness under a cancel scope.

    TrioConnection   a wire in the pool; also the `network_stream` of a response

Not here: which request has the connection, and how it is made (`trio`); the streams of HTTP/2 (`http2.trio`).
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Awaitable
from typing import Any, Callable

import trio

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
from .multiplexing import AsyncMultiplexing
from .wire import EARLY, Wire

now = trio.current_time


def scope_until(until: float | None) -> trio.CancelScope:
    return trio.CancelScope(deadline=math.inf if until is None else until)


class TrioConnection:
    """
    A wire in the pool, and what `response.extensions["network_stream"]` is.

    As a network stream it offers the raw bytes of an upgraded connection (101, or 2xx to CONNECT).
    """

    def __init__(self, sock: socket.socket) -> None:
        self.wire = Wire(sock)
        self.reused = False
        self.closed = False
        self.write_error: WriteError | None = None
        self.multiplexer: AsyncMultiplexing | None = None  # for the streams of HTTP/2
        self._upgraded: bytes | None = None

    # Waiting. A socket that is closed meanwhile, by `aclose` of the client, wakes its waiters with ClosedResourceError.

    async def receive(self, until: float | None) -> bytes | None:
        """
        What the peer sent next: b"" at its end, None if nothing came until then.

        Raises:
            ReadError: the connection broke.
        """
        while True:
            if self.closed:
                raise ReadError("the connection was closed while a response was awaited")
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
                raise ReadError("the connection is closed")
            # Before anything is taken: a peer that always has something to say must not keep us from being cancelled.
            await trio.lowlevel.checkpoint_if_cancelled()
            data = self.wire.receive_raw()
            if data is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()  # fair to other tasks during a fast download
                return data
            if not await self._ready(trio.lowlevel.wait_readable, until):
                return None

    async def send_all(self, data: bytes, until: float | None) -> bool:
        """Send `data`, which is below TLS already; False if time is up. Raises WriteError."""
        wire = self.wire
        wire.queue(data)
        while wire.unsent:
            if not await self._ready(trio.lowlevel.wait_writable, until):
                return False
            wire.flush()
        return True

    async def _ready(self, wait: Callable[[socket.socket], Awaitable[None]], until: float | None) -> bool:
        with scope_until(until) as scope:
            try:
                await wait(self.wire.sock)
            except trio.ClosedResourceError:
                raise ReadError("the connection was closed while its answer was awaited") from None
        return not scope.cancelled_caught

    async def wait_for_either(self, until: float | None) -> bool:
        """Until the socket takes or has bytes; False if time is up."""
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = math.inf if until is None else until
            done = []

            async def one(wait: Callable[[socket.socket], Awaitable[None]]) -> None:
                try:
                    if not self.closed:
                        await wait(self.wire.sock)
                except trio.ClosedResourceError:
                    pass  # whoever uses the socket next is told; raised here it would come out in a group
                done.append(wait)
                nursery.cancel_scope.cancel()

            nursery.start_soon(one, trio.lowlevel.wait_readable)
            nursery.start_soon(one, trio.lowlevel.wait_writable)
        return bool(done)

    def is_quiet(self) -> bool:
        """
        Has the peer neither closed nor said anything since the last exchange?

        Under TLS it may have sent session tickets, which are taken here.
        """
        wire = self.wire
        if self.closed or not wire.poll(0):
            return not self.closed
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

    def upgrade(self, surplus: bytes) -> None:
        """From now on the bytes belong to whoever has the stream; `surplus` came already."""
        self._upgraded = surplus

    def _own(self) -> bytes:
        if self._upgraded is None:
            raise CloseError("the connection was not upgraded: its bytes belong to HTTP")
        return self._upgraded

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """
        At most `max_bytes` of what the peer sent; b"" at its end. `timeout` in seconds.

        Raises:
            ReadTimeout, ReadError.
        """
        data = self._own()
        if not data:
            received = await self.receive(None if timeout is None else now() + timeout)
            if received is None:
                raise ReadTimeout(f"nothing arrived within {timeout:g} s")
            data = received
        self._upgraded = data[max_bytes:]
        return data[:max_bytes]

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """
        Send `buffer`. `timeout` in seconds.

        Raises:
            WriteTimeout, WriteError.
        """
        self._own()
        if self.closed:
            raise WriteError("the connection is closed")
        tls = self.wire.tls
        data = buffer if tls is None else tls.encrypt(buffer)
        if not await self.send_all(data, None if timeout is None else now() + timeout):
            raise WriteTimeout(f"the peer took nothing for {timeout:g} s")

    async def aclose(self) -> None:
        """Close the connection."""
        self.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> TrioConnection:
        """
        Begin TLS on an upgraded connection; returns the stream to use from now on.

        Raises:
            ConnectError, ConnectTimeout.
        """
        if self._own():
            raise ConnectError(EARLY)
        tls = TLSFilter(ssl_context, server_hostname, over=self.wire.tls)
        if not await self.shake_hands(tls, None if timeout is None else now() + timeout):
            raise ConnectTimeout(f"the TLS handshake was not done within {timeout:g} s")
        self._upgraded = tls.leftover()
        return self

    async def shake_hands(self, tls: TLSFilter, until: float | None) -> bool:
        """Do the TLS handshake; False if time is up. Raises ConnectError."""
        try:
            data = tls.handshake()
            while True:
                if data and not await self.send_all(data, until):
                    return False
                if tls.established:
                    self.wire.tls = tls
                    return True
                received = await self.receive_raw(until)
                if received is None:
                    return False
                data = tls.handshake(received)
        except (ReadError, WriteError) as exc:
            raise ConnectError(f"TLS handshake with {tls.peer} failed: {exc}") from exc

    def get_extra_info(self, info: str) -> Any:
        """What is known of the connection: see `Wire.extra_info`."""
        return self.wire.extra_info(info)

    @staticmethod
    def take_chunks(exchange: Exchange) -> list[bytes]:
        """The pieces of the body that have arrived."""
        chunks, exchange.chunks = exchange.chunks, []
        return chunks
