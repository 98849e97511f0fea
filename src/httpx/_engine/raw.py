"""
The network stream of an upgraded connection (101, or 2xx to CONNECT): what is the same for every shell.

    RawStream   unread input, what a write has left, the messages of errors
    moment      a time limit in seconds -> a moment on the shell's clock

What a stream promises on every shell:

- `read` returns what has arrived, at most `max_bytes`; b"" when the peer has ended its side, again and again. Writing
  goes on then.
- One reader at a time. A second `read` while one waits is a RuntimeError: which of them would get what is chance.
- Any number of writers. Each write leaves whole before the next begins; on asyncio and trio in the order of the calls.
- A write that ends early, by its time limit or by cancellation, has sent a part of its bytes. The rest is sent before
  those of the next write, because half a message, or half a TLS record, would make everything after it worthless. A
  write that ends before its turn came has sent nothing.
- Input that is not read stays with the peer: a stream keeps no more than a fixed number of bytes.
- `close` wakes the reader and the writers, with ReadError and WriteError.

The shells' `read` and `write` are written by hand. They are what the loops of a WebSocket call for each frame, and a
generator that yields operations would cost each of them about as much as the system call. What is rare, the TLS
handshake, is such a generator (`connecting.shake_hands`).

Not here: waiting (`sync_stream`, `asyncio_stream`, `trio_stream`).
"""

from __future__ import annotations

import math
from typing import Any, Union

from .._exceptions import CloseError, ConnectError, ReadError, ReadTimeout, WriteError, WriteTimeout
from .limits import FOREVER
from .wire import Data, Wire

# What can be written.
Buffer = Union[bytes, bytearray, memoryview]

# Bytes that TLS encrypts at a time: so much more memory does a large write need.
PIECE = 131_072

# Bytes that may wait for a peer which does not receive when TLS adds some of its own, in response to key updates. More
# than a piece and this means that the peer asks without end.
MAX_CHATTER = 4 * PIECE


def moment(timeout: float | None, now: float) -> float | None:
    """
    Return when a wait that begins now has to end, None for never.

    Args:
        timeout: seconds. None, infinity and everything longer than 23 days is for ever; what is not positive does not
            wait at all.
        now: on the shell's clock.

    Raises:
        ValueError: it is NaN.
        TypeError: it is not a number.
    """
    if timeout is None or timeout >= FOREVER:
        return None
    if timeout > 0:
        return now + timeout
    if math.isnan(timeout):
        raise ValueError(f"timeout must be a number of seconds or None, got {timeout!r}")
    return now


def not_upgraded() -> CloseError:
    """Return what to raise where the bytes of a connection are not the caller's."""
    return CloseError("the connection was not upgraded: its bytes belong to HTTP")


class RawStream:
    """
    The bookkeeping of an upgraded connection.

    Args:
        wire: the connection's.
        surplus: bytes of the peer that arrived after the head of the response.

    Attributes:
        owner: gives the connection back when it is collected: the body of the response.
    """

    __slots__ = ("__weakref__", "_kept", "_position", "_unread", "owner", "wire")

    def __init__(self, wire: Wire, surplus: bytes) -> None:
        self.wire = wire
        self.owner: object = None
        self._unread = surplus
        self._position = 0  # of the first byte in `_unread` that was not read
        self._kept: Data = b""  # what a write that ended early has left, before TLS

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection: see `Wire.extra_info`."""
        return self.wire.extra_info(info)

    def _take(self, max_bytes: int) -> bytes:
        """Remove and return at most `max_bytes` of the unread input. Takes no longer if there is more."""
        unread, begin = self._unread, self._position
        end = begin + max_bytes
        if end < len(unread):
            self._position = end
            return unread[begin:end]
        self._unread, self._position = b"", 0
        return unread[begin:] if begin else unread

    def _check_chatter(self) -> None:
        if len(self.wire.unsent) > MAX_CHATTER:
            raise ReadError("TLS: the peer asks for more responses to its key updates than it receives")

    def _check_tls(self) -> None:
        """Raise if TLS cannot begin here."""
        if self._unread:
            # An attacker who puts bytes before TLS could make them pass for the peer's (CVE-2011-0411).
            raise ConnectError("TLS cannot begin: the peer has sent bytes that were not read yet")


def as_data(buffer: Buffer) -> Data:
    """Return bytes, or a view of bytes, that can be sent in pieces."""
    if type(buffer) is bytes:
        return buffer
    view = memoryview(buffer)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


# What to raise.


def read_timed_out(timeout: float | None) -> ReadTimeout:
    return ReadTimeout(f"nothing arrived within {timeout or 0:g} s")


def write_timed_out(timeout: float | None) -> WriteTimeout:
    return WriteTimeout(f"the peer did not take everything within {timeout or 0:g} s")


def tls_timed_out(timeout: float | None) -> str:
    return f"the TLS handshake did not end within {timeout or 0:g} s"


def closed_for_reading() -> ReadError:
    return ReadError("the connection was closed")


def closed_for_writing() -> WriteError:
    return WriteError("the connection was closed")


def busy(what: str) -> RuntimeError:
    return RuntimeError(f"the stream is already being {what}")
