"""
The network stream of an upgraded connection in threads: one of them may read while others write, or close it.

Not here: what a stream promises (`raw`), how threads agree on a descriptor (`wire`).
"""

from __future__ import annotations

import ssl
import threading
from time import monotonic, sleep

from .._exceptions import ConnectTimeout, TransportError, WriteError
from .._forks import FORKS
from .._protocol.tls import TLSFilter
from . import raw
from .connecting import shake_hands
from .operations import Receive, Send
from .raw import Buffer, RawStream, as_data, moment
from .sockets import wait_for
from .wire import Data, Wire


class SyncStream(RawStream):
    """The bytes of an upgraded connection, for threads."""

    __slots__ = ("_read_turn", "_wants_lock", "_write_turn")

    def __init__(self, wire: Wire, surplus: bytes) -> None:
        super().__init__(wire, surplus)
        wire.share()
        self._read_turn = threading.Lock()
        self._write_turn = threading.Lock()
        FORKS.watch(self)
        self._wants_lock = False  # a thread has something to decrypt

    def forget(self) -> None:
        """Make the locks anew, in a forked child: another thread may have had them."""
        self.wire.forget()
        self._read_turn = threading.Lock()
        self._write_turn = threading.Lock()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """
        Return at most `max_bytes` of what the peer sent; b"" at its end.

        Args:
            max_bytes: 1 or more.
            timeout: seconds to wait if nothing has arrived; None for ever.

        Raises:
            ReadTimeout: nothing arrived in time.
            ReadError: the connection broke, or was closed here.
            RuntimeError: another thread is reading.
        """
        if not self._read_turn.acquire(False):
            raise raw.busy("read")
        try:
            if self.wire.closed:
                raise raw.closed_for_reading()
            if not self._unread:
                data = self._receive(None if timeout is None else moment(timeout, monotonic()))
                if data is None:
                    raise raw.read_timed_out(timeout)
                if len(data) <= max_bytes:
                    return data
                self._unread = data
            return self._take(max_bytes)
        finally:
            self._read_turn.release()

    def _receive(self, until: float | None) -> bytes | None:
        """Wait for input; None if time is up."""
        wire = self.wire
        tls = wire.tls
        wire.users.append(None)
        try:
            while True:
                if wire.closed:
                    raise raw.closed_for_reading()
                if tls is not None and tls.ended:
                    return b""
                if not wire.poll(None if until is None else max(0.0, until - monotonic()) * 1000.0):
                    return None
                data = wire.receive_raw()
                if wire.closed:  # maybe after the poll: the end that this makes is not the peer's
                    raise raw.closed_for_reading()
                if tls is None:
                    if data is not None:
                        return data
                elif data is not None:
                    data = self._decrypt(tls, data)
                    if data or tls.ended:
                        return data
                # Where something always arrives, such as parts of a record, no poll is long enough to be ended.
                if until is not None and monotonic() >= until:
                    return None
        finally:
            wire.leave()

    def _decrypt(self, tls: TLSFilter, data: bytes) -> bytes:
        wire = self.wire
        self._wants_lock = True
        with wire.lock:  # type: ignore[union-attr]  # it is shared
            self._wants_lock = False
            data = tls.receive(data)
            if tls.due:
                try:
                    wire.queue(tls.pending())  # the rest goes before what is written next
                except WriteError:
                    pass  # the next write will notice; there may be input still
                self._check_chatter()
        return data

    def write(self, buffer: Buffer, timeout: float | None = None) -> None:
        """
        Send `buffer`.

        Args:
            timeout: seconds for all of it, and for writes of other threads that come first; None for ever.

        Raises:
            WriteTimeout: the peer did not take all of it in time.
            WriteError: the connection broke, or was closed here.
        """
        until = moment(timeout, monotonic())
        data = as_data(buffer)
        if not self._write_turn.acquire(False):
            self._await_turn(until, timeout)
        try:
            if self._kept:
                kept, self._kept = self._kept, b""
                self._send(kept, until, timeout)
            self._send(data, until, timeout)
        finally:
            del data
            self._write_turn.release()

    def _await_turn(self, until: float | None, timeout: float | None) -> None:
        seconds = -1 if until is None else min(max(0.0, until - monotonic()), threading.TIMEOUT_MAX)
        if not self._write_turn.acquire(timeout=seconds):
            raise raw.write_timed_out(timeout)

    def _send(self, data: Data, until: float | None, timeout: float | None) -> None:
        """Send all of `data`; what is left when that fails is kept for the next write."""
        wire = self.wire
        tls = wire.tls
        piece: Data = b""
        if tls is not None and len(data) > raw.PIECE:
            data = memoryview(data)  # whose pieces are not copies
        wire.users.append(None)
        try:
            while True:
                if wire.closed:
                    raise raw.closed_for_writing()
                if tls is None:
                    data = wire.send(data) if data else b""
                    if not data:
                        return
                else:
                    with wire.lock:  # type: ignore[union-attr]  # it is shared
                        if wire.unsent:
                            wire.flush()
                        if data and not wire.unsent:
                            piece, data = data[: raw.PIECE], data[raw.PIECE :]
                            wire.queue(tls.encrypt(piece))
                        is_full = bool(wire.unsent)
                    if not is_full:
                        if not data:
                            return
                        if self._wants_lock:
                            sleep(0)  # or this thread would have taken the lock again before the other one runs
                        continue
                if not wait_for([], [wire.sock], until) or (until is not None and monotonic() >= until):
                    raise raw.write_timed_out(timeout)
        except WriteError:
            if wire.closed:  # which was seen by the socket first
                raise raw.closed_for_writing() from None
            raise
        except BaseException:
            self._kept = bytes(data)  # the caller may change its buffer
            data = piece = b""  # which the traceback would keep from being resized
            raise
        finally:
            wire.leave()

    def write_now(self, data: Data = b"") -> int:
        """
        Send as much of `data` as the socket takes at once. Return how many bytes are left, which go first.

        For a user that keeps its threads apart itself, as `websocket.sync` does, in place of `write`: takes no turn.

        Raises:
            WriteError: the connection broke, or was closed here.
        """
        wire = self.wire
        tls = wire.tls
        if self._kept:
            data = b"".join((self._kept, data)) if data else self._kept
            self._kept = b""
        wire.users.append(None)
        try:
            if wire.closed:
                raise raw.closed_for_writing()
            if tls is None:
                rest = wire.send(data) if data else b""
                if rest:
                    self._kept = rest
                return len(rest)
            with wire.lock:  # type: ignore[union-attr]  # it is shared
                if wire.unsent:
                    wire.flush()
                if len(data) > raw.PIECE:
                    data = memoryview(data)  # whose pieces are not copies
                while data and not wire.unsent:
                    piece, data = data[: raw.PIECE], data[raw.PIECE :]
                    wire.queue(tls.encrypt(piece))
                self._kept = data
                return len(data) + len(wire.unsent)
        finally:
            wire.leave()

    def wait_for_either(self, until: float | None, reads: bool) -> bool:
        """
        Wait until the socket takes bytes, or, if `reads`, has some; False if time is up.

        Raises:
            WriteError: the connection was closed here.
        """
        wire = self.wire
        wire.users.append(None)
        try:
            if wire.closed:
                raise raw.closed_for_writing()
            return bool(wait_for([wire.sock] if reads else [], [wire.sock], until))
        finally:
            wire.leave()

    def close(self) -> None:
        """Close the connection. A thread that reads or writes gets a ReadError or a WriteError."""
        self.wire.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> SyncStream:
        """
        Begin TLS; return the stream to use from now on.

        Raises:
            ConnectError: the handshake failed, or the peer has sent bytes already.
            ConnectTimeout: it did not end in time.
            RuntimeError: another thread is reading or writing.
        """
        until = moment(timeout, monotonic())
        if not self._read_turn.acquire(False):
            raise raw.busy("read")
        try:
            if not self._write_turn.acquire(False):
                raise raw.busy("written to")
            try:
                self._check_tls()
                tls = TLSFilter(ssl_context, server_hostname, over=self.wire.tls)
                if not self._shake_hands(tls, until):
                    raise ConnectTimeout(raw.tls_timed_out(timeout))
                self.wire.tls = tls
                self._unread = tls.leftover()
            finally:
                self._write_turn.release()
        finally:
            self._read_turn.release()
        return self

    def _shake_hands(self, tls: TLSFilter, until: float | None) -> bool:
        wire = self.wire
        steps = shake_hands(tls, until)
        wire.users.append(None)
        try:
            operation = next(steps)
            while True:
                try:
                    if isinstance(operation, Send):
                        result: bool | bytes | None = self._send_below(operation.data, operation.until)
                    else:
                        assert isinstance(operation, Receive)
                        result = self._receive_below(operation.until)
                except TransportError as exc:
                    operation = steps.throw(exc)
                else:
                    operation = steps.send(result)
        except StopIteration as stop:
            return bool(stop.value)
        finally:
            steps.close()
            wire.leave()

    def _send_below(self, data: bytes, until: float | None) -> bool:
        """Send bytes as they go through the socket; False if time is up."""
        wire = self.wire
        wire.queue(data)
        while wire.unsent:
            if wire.closed:
                raise raw.closed_for_writing()
            if not wait_for([], [wire.sock], until):
                return False
            wire.flush()
        return True

    def _receive_below(self, until: float | None) -> bytes | None:
        """Receive bytes as they come through the socket; None if time is up."""
        wire = self.wire
        while True:
            if wire.closed:
                raise raw.closed_for_reading()
            if not wire.poll(None if until is None else max(0.0, until - monotonic()) * 1000.0):
                return None
            data = wire.receive_raw()
            if data is not None or (until is not None and monotonic() >= until):
                return data
