"""
The bytes of a tunnel through HTTP/2: a WebSocket on one stream of a shared connection (RFC 8441).

    tunnel_arguments   the request that opens one
    SyncTunnel         for threads, as a channel of `websocket.sync` needs it
    AsyncTunnel        for tasks of asyncio and trio, as `websocket.foreign` needs it

A tunnel holds a place on the connection like a request. What the peer sends stays within the stream's window until
it is read. END_STREAM is the end of the bytes, RST_STREAM breaks them.

Not here: which connections may be tried (the engines), frames of WebSockets (`_protocol.websocket`).
"""

from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import Any

from ..._exceptions import ReadError, ReadTimeout, TransportError, WriteError, WriteTimeout
from ..._forks import is_owned, unlock
from ..._protocol.exchange import NOTHING
from ..._protocol.opening import OWN_NAMES, Opening
from ..._protocol.stream2 import HTTP2Stream
from ..job import Arguments, Job
from ..loops import Signals
from ..raw import moment
from .session import take_chunk

# Seconds after which a thread that writes looks again while another one waits for the stream, which has one waiter.
LOOK_UP = 0.01


def tunnel_arguments(arguments: Arguments, opening: Opening) -> Arguments:
    """Return the arguments of the CONNECT for those of a GET over HTTP/1.1."""
    _, target, fields, _, _ = arguments
    kept = [field for field in fields if field[0].lower() not in OWN_NAMES]
    return b"CONNECT", target, [*kept, *opening.tunnel_fields], b"", True


def unsent_bytes(stream: HTTP2Stream) -> int:
    """Return how many bytes wait for a window, or for room in the connection's output."""
    unsent = stream.unsent
    return sum(map(len, unsent)) - stream._offset if unsent else 0


def end_of(stream: HTTP2Stream) -> bytes:
    """Return b"" after the peer's END_STREAM. Raises ReadError after a reset, or if the connection broke."""
    if stream.error is not None:
        raise ReadError(str(stream.error))
    return b""


def write_error_of(session: Any, stream: HTTP2Stream) -> WriteError:
    """Return the exception for what cannot be sent any more; it says why the connection or the stream ended."""
    reason = session.write_error or session.error or stream.error
    return WriteError("the stream of HTTP/2 was ended" if reason is None else str(reason))


class SyncTunnel:
    """
    The bytes of a tunnel, for threads.

    Args:
        multiplexer: of the connection.
        body: of the response that opened the tunnel, which frees the place on the connection.
    """

    # Seconds that the peer has to end the stream after both have sent a Close. With TCP it should be first, so that
    # the wait for stray segments is not ours; a stream has none.
    linger = 0.0

    def __init__(self, multiplexer: Any, body: Any) -> None:
        self._multiplexer = multiplexer
        self._body = body
        self._stream: HTTP2Stream = body._stream
        self._job: Job = body._job

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return all that has arrived; b"" at the end. Raises ReadTimeout, ReadError."""
        until = None if timeout is None else moment(timeout, monotonic())
        multiplexer, stream = self._multiplexer, self._stream
        lock: threading.RLock = multiplexer._lock
        try:
            while True:
                lock.acquire()
                if stream.chunks:
                    chunk = take_chunk(stream)
                    if multiplexer.session.machine.output:
                        multiplexer.carrier.flush()
                    lock.release()
                    return chunk
                is_over = stream.need == NOTHING
                lock.release()
                if is_over:
                    return end_of(stream)
                if not multiplexer._wait(stream, until):
                    raise ReadTimeout(f"nothing arrived within {timeout or 0:g} s")
        except TransportError:
            raise
        except BaseException as exc:  # out of a signal handler
            multiplexer.recover(stream, self._job, exc)
            raise
        finally:
            unlock(lock)

    def write_now(self, data: Any = b"") -> int:
        """Send as much as the windows allow; return how many bytes are left, which go first. Raises WriteError."""
        multiplexer, stream = self._multiplexer, self._stream
        lock: threading.RLock = multiplexer._lock
        try:
            lock.acquire()
            if multiplexer.session.is_broken or not stream.uploading:
                raise write_error_of(multiplexer.session, stream)
            if data:
                stream.feed(bytes(data))
            multiplexer.carrier.flush()
            left = unsent_bytes(stream)
            lock.release()
            return left
        except TransportError:
            unlock(lock)
            raise
        except BaseException as exc:  # out of a signal handler
            multiplexer.recover(stream, self._job, exc)
            raise

    def wait_for_either(self, until: float | None, reads: bool) -> bool:
        """Wait a moment for a window, and for input if `reads`."""
        if reads:
            multiplexer = self._multiplexer
            try:
                multiplexer._wait(self._stream, monotonic() + LOOK_UP)
            except TransportError:
                unlock(multiplexer._lock)
                raise
            except BaseException as exc:  # out of a signal handler
                multiplexer.recover(self._stream, self._job, exc)
                raise
        else:
            sleep(LOOK_UP)  # another thread waits for the stream, and takes what opens the window
        return True

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection; see `Wire.extra_info`."""
        return self._multiplexer.carrier.wire.extra_info(info)

    def close(self) -> None:
        """Reset the stream, and free its place."""
        if is_owned(self._multiplexer._lock):  # an exception out of a signal handler came while another one was raised
            self._multiplexer.recover(self._stream, self._job, InterruptedError())
        self._body.close()


class AsyncTunnel:
    """
    The bytes of a tunnel, for tasks.

    Args:
        multiplexer: of the connection.
        body: of the response that opened the tunnel, which frees the place on the connection.
    """

    def __init__(self, multiplexer: Any, body: Any) -> None:
        self._multiplexer = multiplexer
        self._body = body
        self._stream: HTTP2Stream = body._stream
        self._waits = False  # a task waits for the stream, which has one waiter
        self._happened = Signals()  # for the others

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return all that has arrived; b"" at the end. Raises ReadTimeout, ReadError."""
        multiplexer, stream = self._multiplexer, self._stream
        until = None if timeout is None else moment(timeout, multiplexer.session.clock())
        while not stream.chunks:
            if stream.need == NOTHING:
                return end_of(stream)
            if not await self._wait(until):
                raise ReadTimeout(f"nothing arrived within {timeout or 0:g} s")
        chunk = take_chunk(stream)
        if multiplexer.session.machine.output:
            multiplexer.flush()
        return chunk

    async def _wait(self, until: float | None) -> bool:
        """Wait until something happened; False if time is up."""
        if self._waits:
            return await self._happened.wait(until)
        self._waits = True
        try:
            happened: bool = await self._multiplexer.wait(self._stream, until)
        finally:
            self._waits = False
            self._happened.wake()
        return happened

    def take_now(self) -> bytes:
        """Return what has arrived, without waiting: b"" if that is nothing. For where no task receives."""
        multiplexer, stream = self._multiplexer, self._stream
        if not multiplexer.listens:
            multiplexer.catch_up()
        return take_chunk(stream) if stream.chunks else b""

    def write_now(self, data: bytes = b"") -> int:
        """Send as much as the windows allow; return how many bytes are left, which go first. Raises WriteError."""
        multiplexer, stream = self._multiplexer, self._stream
        if multiplexer.session.is_broken or not stream.uploading:
            raise write_error_of(multiplexer.session, stream)
        if data:
            stream.feed(data)
        multiplexer.flush()
        return unsent_bytes(stream)

    def close_now(self) -> None:
        """Reset the stream, and free its place."""
        self._body._release()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send `buffer`. Raises WriteTimeout, WriteError."""
        clock = self._multiplexer.session.clock
        until = None if timeout is None else moment(timeout, clock())
        left = self.write_now(buffer)
        while left:
            if until is not None and clock() >= until:
                raise WriteTimeout(f"the peer did not take everything within {timeout or 0:g} s")
            await self._wait(until)
            left = self.write_now()

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection; see `Wire.extra_info`."""
        connection = self._multiplexer.connection
        return None if connection is None else connection.wire.extra_info(info)

    async def aclose(self) -> None:
        """Reset the stream, and free its place."""
        await self._body.aclose()
