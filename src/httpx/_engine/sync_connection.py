"""
A connection in threads: blocking calls on a non-blocking socket.

    SyncWire         a socket, maybe under TLS: send, receive, is it quiet
    SyncConnection   a wire in the pool

Not here: which request has the connection, and how it is made (`sync`); the streams of HTTP/2 (`http2.sync`); the
stream of an upgraded connection (`sync_stream`).
"""

from __future__ import annotations

import socket
import ssl
from time import monotonic
from typing import Any

from .._exceptions import ReadError, TransportError, WriteError
from .._protocol.exchange import Exchange
from .._protocol.tls import SLACK
from .multiplexing import SyncMultiplexing
from .raw import Buffer, not_upgraded
from .sockets import wait_for
from .sync_stream import SyncStream
from .wire import LARGE_READ, LENT_READ, SMALL_READ, Wire


class SyncWire(Wire):
    """A wire that a thread waits on."""

    __slots__ = ("lent", "raw")

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        # What `receive_lent` fills, once a body has turned out to be large; under TLS, what the socket fills, too.
        self.lent: memoryview | None = None
        self.raw: memoryview | None = None

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

    def receive_lent(self, until: float | None) -> Any:
        """
        Do what `receive` does, but return a view of a buffer, which the next call fills again.

        A large body arrives in larger pieces, and no piece costs memory of its own: 500 MB to a file take two thirds of
        the CPU time.
        """
        if self.size == SMALL_READ:
            return self.receive(until)
        if self.lent is None:
            self.lent = memoryview(bytearray(LENT_READ + SLACK))
        tls, lent = self.tls, self.lent
        if tls is None:
            raw = lent
        else:
            if self.raw is None:
                self.raw = memoryview(bytearray(LENT_READ))
            raw = self.raw
        while True:
            if tls is not None and tls.ended:
                return b""
            left = None if until is None else (until - monotonic()) * 1000.0
            if not self.poll(left if left is None or left > 0.0 else 0.0):
                return None
            try:
                size = self.sock.recv_into(raw)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as exc:
                raise ReadError(f"receiving failed: {exc.strerror or exc}") from exc
            if tls is None:
                return raw[:size]
            data = tls.receive(raw[:size], lent)  # type: ignore[arg-type]  # whose bytes are copied
            if tls.due:
                self.queue(tls.pending())
            if data or tls.ended:
                return data
            if until is not None and monotonic() >= until:
                return None  # as in `receive`

    def take_back(self) -> None:
        """Free the buffer of `receive_lent`."""
        self.lent = self.raw = None

    def is_quiet(self) -> bool:
        """
        Return whether the peer has neither closed nor sent anything since the last exchange.

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


class SyncConnection:
    """
    A wire in the pool. It is the `network_stream` of a response whose connection was not upgraded.

    Attributes:
        reused: it has served a request before.
        closed: it was closed, or is to be closed by the request that is using it.
        interrupted: the client was closed while a request was using it.
    """

    def __init__(self, wire: SyncWire) -> None:
        self.wire = wire
        self.reused = False
        self.closed = False
        self.interrupted = False
        self.write_error: WriteError | None = None
        self.multiplexer: SyncMultiplexing | None = None  # for the streams of HTTP/2

    def wait_for_either(self, until: float | None) -> bool:
        """Wait until the socket takes or has bytes; False if time is up."""
        sock = self.wire.sock
        return bool(wait_for([sock], [sock], until))

    def upgrade(self, surplus: bytes) -> SyncStream:
        """Return the stream of the connection, whose bytes are its user's from now on; `surplus` came already."""
        return SyncStream(self.wire, surplus)

    def interrupt(self) -> None:
        """Wake the threads that wait for the connection. The last request that is using it will close it."""
        self.interrupted = True
        if self.multiplexer is not None:
            self.close()  # the requests of HTTP/2 announce themselves to the wire
            return
        self.closed = True
        self.wire.interrupt()

    def close(self) -> None:
        """Close the connection, or leave the descriptor to a thread that is using it, which is woken."""
        try:
            if self.multiplexer is not None:
                self.multiplexer.say_goodbye()
        finally:
            self.closed = True
            self.wire.close()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Raise CloseError: only an upgraded connection gives its bytes."""
        raise not_upgraded()

    def write(self, buffer: Buffer, timeout: float | None = None) -> None:
        """Raise CloseError, as `read` does."""
        raise not_upgraded()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> SyncStream:
        """Raise CloseError, as `read` does."""
        raise not_upgraded()

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection: see `Wire.extra_info`."""
        return self.wire.extra_info(info)

    @staticmethod
    def take_chunks(exchange: Exchange) -> list[bytes]:
        """Remove and return the pieces of the body that have arrived."""
        chunks, exchange.chunks = exchange.chunks, []
        return chunks
