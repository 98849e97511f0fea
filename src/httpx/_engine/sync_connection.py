"""
A connection in threads: blocking calls on a non-blocking socket.

    SyncWire         a socket, maybe under TLS: send, receive, is it quiet
    SyncConnection   a wire and the stream that `network_stream` gives out

Not here: which request has the connection, and how it is made (`sync`); the streams of HTTP/2 (`http2.sync`).
"""

from __future__ import annotations

import socket
import ssl
import threading
from time import monotonic
from typing import Any

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
from .._forks import FORKS
from .._protocol.exchange import Exchange
from .._protocol.tls import TLSFilter
from .multiplexing import SyncMultiplexing
from .sockets import wait_for
from .wire import EARLY, LARGE_READ, SMALL_READ, Wire


class SyncWire(Wire):
    """A wire that a thread waits on."""

    __slots__ = ()

    def receive(self, until: float | None) -> bytes | None:
        """
        Return what the peer sends next: b"" at its end, None if nothing came in time.

        Args:
            until: how long to wait, on the monotonic clock; None for ever. Parts of a TLS record do not move it.

        Raises:
            ReadError, ConnectError: the connection broke.
        """
        tls = self.tls
        while True:
            if tls is not None and tls.ended:
                return b""  # the end came in one piece with what was received last
            left = None if until is None else (until - monotonic()) * 1000.0
            if not self.poll(left if left is None or left > 0.0 else 0.0):  # less than nothing would be for ever
                return None
            if tls is not None:
                data = self.receive_now()
                if data is not None:
                    return data
                if until is not None and monotonic() >= until:
                    return None  # where something always arrives, the poll never ends the wait
                continue
            try:
                data = self.sock.recv(self.size)
            except (BlockingIOError, InterruptedError):  # pragma: no cover - the poll was wrong
                continue
            except OSError as exc:
                raise ReadError(f"receiving failed: {exc.strerror or exc}") from exc
            if len(data) == SMALL_READ:
                self.size = LARGE_READ
            return data

    def await_raw(self, until: float | None) -> bytes | None:
        """What the socket receives next, below TLS; None if nothing came until then."""
        while True:
            if not self.poll(None if until is None else max(0.0, until - monotonic()) * 1000.0):
                return None
            data = self.receive_raw()
            if data is not None:
                return data

    def abort(self) -> None:
        """Close without a word to the peer; a thread that waits here notices, as it would not notice `close`."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was first
        self.sock.close()

    def hang_up(self) -> None:
        """End the connection as `close` does, so that a thread that waits here notices, but keep the descriptor."""
        try:
            if self.tls is not None:
                self.sock.send(self.tls.close())
        except OSError:
            pass  # the peer takes nothing, or is gone
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was first

    def is_quiet(self) -> bool:
        """
        Has the peer neither closed nor said anything since the last exchange?

        Under TLS it may have sent session tickets, which are taken here.
        """
        if not self.poll(0):
            return True
        tls = self.tls
        if tls is None:
            return False
        try:
            return not tls.receive(self.receive_raw() or b"") and not tls.ended
        except TransportError:
            return False

    def send_all(self, data: bytes, until: float | None) -> bool:
        """Send `data`, which is below TLS already; False if time is up. Raises WriteError."""
        self.queue(data)
        while self.unsent:
            if not wait_for([], [self.sock], until):
                return False
            self.flush()
        return True


class SyncConnection:
    """
    A wire in the pool, and what `response.extensions["network_stream"]` is.

    As a network stream it offers the raw bytes of an upgraded connection (101, or 2xx to CONNECT).
    """

    def __init__(self, wire: SyncWire) -> None:
        self.wire = wire
        self.reused = False
        self.aborted = False  # the client was closed while it was in use
        self.write_error: WriteError | None = None
        self.multiplexer: SyncMultiplexing | None = None  # for the streams of HTTP/2
        self._upgraded: bytes | None = None
        # Of an upgraded connection, which one thread may read while another closes it.
        self._lock: threading.Lock | None = None
        self._readers = 0
        self._closed = False

    def wait_for_either(self, until: float | None) -> bool:
        """Wait until the socket takes or has bytes; False if time is up."""
        sock = self.wire.sock
        return bool(wait_for([sock], [sock], until))

    def upgrade(self, surplus: bytes) -> None:
        """From now on the bytes belong to whoever has the stream; `surplus` came already."""
        self._upgraded = surplus
        self._lock = threading.Lock()
        FORKS.renew(self, "_lock", threading.Lock)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """
        At most `max_bytes` of what the peer sent; b"" at its end. `timeout` in seconds.

        Raises:
            ReadTimeout, ReadError.
        """
        if not self._own():
            data = self._receive(timeout)
            if data is None:
                raise ReadTimeout(f"nothing arrived within {timeout:g} s")
            self._upgraded = data
        data, self._upgraded = (self._upgraded or b"")[:max_bytes], (self._upgraded or b"")[max_bytes:]
        return data

    def _receive(self, timeout: float | None) -> bytes | None:
        assert self._lock is not None
        with self._lock:
            if self._closed or self.aborted:
                raise ReadError("the connection was closed")
            self._readers += 1
        try:
            return self.wire.receive(None if timeout is None else monotonic() + timeout)
        finally:
            with self._lock:
                self._readers -= 1
                is_last = self._closed and not self._readers
            if is_last:
                self.wire.sock.close()

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """
        Send `buffer`. `timeout` in seconds.

        Raises:
            WriteTimeout, WriteError.
        """
        self._own()
        wire = self.wire
        data = buffer if wire.tls is None else wire.tls.encrypt(buffer)
        if not wire.send_all(data, None if timeout is None else monotonic() + timeout):
            raise WriteTimeout(f"the peer took nothing for {timeout:g} s")

    def _own(self) -> bytes:
        if self._upgraded is None:
            raise CloseError("the connection was not upgraded: its bytes belong to HTTP")
        return self._upgraded

    def close(self) -> None:
        """Close the connection. A thread that reads an upgraded one, as in httpx-ws, gets its end or a ReadError."""
        if self.multiplexer is not None:
            self.multiplexer.say_goodbye()
        if self._lock is None:
            self.wire.close()
            return
        with self._lock:
            self._closed = True
            is_read = self._readers > 0
        self.wire.hang_up()
        # A thread that reads closes it when it has noticed. Before that, the descriptor must not become another
        # socket's: the thread would wait for what that one receives.
        if not is_read:
            self.wire.sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> SyncConnection:
        """
        Begin TLS on an upgraded connection; returns the stream to use from now on.

        Raises:
            ConnectError, ConnectTimeout.
        """
        if self._own():
            raise ConnectError(EARLY)
        until = None if timeout is None else monotonic() + timeout
        tls = TLSFilter(ssl_context, server_hostname, over=self.wire.tls)
        if not shake_hands(self.wire, tls, until):
            raise ConnectTimeout(f"the TLS handshake was not done within {timeout:g} s")
        self._upgraded = tls.leftover()
        return self

    def get_extra_info(self, info: str) -> Any:
        """What is known of the connection: see `Wire.extra_info`."""
        return self.wire.extra_info(info)

    @staticmethod
    def take_chunks(exchange: Exchange) -> list[bytes]:
        """The pieces of the body that have arrived."""
        chunks, exchange.chunks = exchange.chunks, []
        return chunks


def shake_hands(wire: SyncWire, tls: TLSFilter, until: float | None) -> bool:
    """Do the TLS handshake on `wire`; False if time is up. Raises ConnectError."""
    try:
        data = tls.handshake()
        while True:
            if data and not wire.send_all(data, until):
                return False
            if tls.established:
                wire.tls = tls
                return True
            received = wire.await_raw(until)
            if received is None:
                return False
            data = tls.handshake(received)
    except (ReadError, WriteError) as exc:
        raise ConnectError(f"TLS handshake with {tls.peer} failed: {exc}") from exc
