"""
Two ends of a WebSocket without a connection: what one sends, the other receives. For tests, where a handler of a
`MockTransport` keeps one end and gives the other to the client.

    sync_ends()    two channels for threads
    async_ends()   two channels for tasks

Messages are not bounded: in a test both ends are often used by one thread, which would wait for itself.

Not here: frames, compression and limits, which only bytes have.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import Any

from ..._exceptions import LocalProtocolError
from ..._protocol.websocket import ABNORMAL, Message, WebSocketMachine
from ..._websocket_exceptions import WebSocketDisconnect, WebSocketException, WebSocketNetworkError, WebSocketTimeout
from ..loops import Signals, now
from .common import until_of


class End:
    """
    One end, without waiting.

    Attributes:
        messages: sent by the other end, and not received yet.
    """

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.close_code: int | None = None
        self.close_reason = ""
        self._by_peer = False
        self._other: Any = None

    @property
    def is_over(self) -> bool:
        """Return whether one end has closed the WebSocket."""
        return self.close_code is not None

    def outcome(self) -> WebSocketException:
        """Return a new exception that says how the WebSocket ended."""
        assert self.close_code is not None
        if self.close_code == ABNORMAL and self._by_peer:
            return WebSocketNetworkError("the other end was dropped without a Close")
        return WebSocketDisconnect(self.close_code, self.close_reason, by_peer=self._by_peer)

    def pass_on(self, message: Any) -> None:
        """Give a message to the other end. Raises WebSocketDisconnect, TypeError, LocalProtocolError."""
        if self.is_over:
            raise self.outcome()
        self._other.messages.append(checked_message(message))

    def end(self, code: int, reason: str, by_peer: bool = False) -> None:
        """Note that an end has closed the WebSocket."""
        if not self.is_over:
            self.close_code, self.close_reason, self._by_peer = code, reason, by_peer
            self._other.end(code, reason, by_peer=True)


def checked_message(message: Any) -> Message:
    """Return a message as its receiver gets it. Raises TypeError, and LocalProtocolError for a surrogate."""
    if isinstance(message, str):
        try:
            message.encode()
        except UnicodeEncodeError as exc:
            raise LocalProtocolError(f"cannot send a message with a surrogate at position {exc.start}") from None
        return message
    if isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message)
    raise TypeError(f"a message must be str, bytes, bytearray or memoryview, got {type(message).__name__}")


def checked_close(code: int, reason: str | None) -> None:
    """Raise LocalProtocolError for a code or a reason that is not legal."""
    WebSocketMachine().close(code, reason or "")


class AnsweredPong:
    """The answer to a ping, which is there at once."""

    latency = 0.0

    @staticmethod
    def is_set() -> bool:
        """Return True."""
        return True


class SyncAnsweredPong(AnsweredPong):
    """The answer to a ping, for threads."""

    @staticmethod
    def wait(timeout: float | None = None) -> bool:
        """Return True."""
        return True


class AsyncAnsweredPong(AnsweredPong):
    """The answer to a ping, for tasks."""

    @staticmethod
    async def wait(timeout: float | None = None) -> bool:
        """Return True."""
        return True


class SyncEnd(End):
    """
    One end, for threads.

    Args:
        changed: of both ends.
    """

    def __init__(self, changed: threading.Condition) -> None:
        super().__init__()
        self._changed = changed

    def send(self, message: Any) -> None:
        """Give a message to the other end."""
        with self._changed:
            self.pass_on(message)
            self._changed.notify_all()

    def receive(self, timeout: float | None = None) -> Message:
        """Return the next message; see `SyncChannel.receive`."""
        until = until_of(timeout, monotonic())
        with self._changed:
            while not self.messages:
                if self.is_over:
                    raise self.outcome()
                if not self._changed.wait(None if until is None else max(0.0, until - monotonic())):
                    raise WebSocketTimeout(f"no message arrived within {timeout or 0:g} s")
            return self.messages.popleft()

    def ping(self, payload: bytes) -> SyncAnsweredPong:
        """Return a pong. Raises WebSocketDisconnect."""
        if self.is_over:
            raise self.outcome()
        return SyncAnsweredPong()

    def close(self, code: int, reason: str | None) -> None:
        """Close the WebSocket. Raises LocalProtocolError."""
        checked_close(code, reason)
        with self._changed:
            self.end(code, reason or "")
            self._changed.notify_all()

    def give_up(self, code: int) -> None:
        """Close the WebSocket."""
        self.close(code, "")


class AsyncEnd(End):
    """
    One end, for tasks.

    Args:
        changed: of both ends.
    """

    def __init__(self, changed: Signals) -> None:
        super().__init__()
        self._changed = changed
        self._receives = False

    async def send(self, message: Any) -> None:
        """Give a message to the other end."""
        self.pass_on(message)
        self._changed.wake()

    async def receive(self, timeout: float | None = None) -> Message:
        """Return the next message; see `AsyncioChannel.receive`."""
        if self._receives:
            raise RuntimeError("another task is receiving from this WebSocket")
        until = until_of(timeout, now())
        self._receives = True
        try:
            while not self.messages:
                if self.is_over:
                    raise self.outcome()
                if not await self._changed.wait(until):
                    raise WebSocketTimeout(f"no message arrived within {timeout or 0:g} s")
        finally:
            self._receives = False
        return self.messages.popleft()

    async def ping(self, payload: bytes) -> AsyncAnsweredPong:
        """Return a pong. Raises WebSocketDisconnect."""
        if self.is_over:
            raise self.outcome()
        return AsyncAnsweredPong()

    async def close(self, code: int, reason: str | None) -> None:
        """Close the WebSocket. Raises LocalProtocolError."""
        checked_close(code, reason)
        self.give_up(code, reason or "")

    def give_up(self, code: int, reason: str = "") -> None:
        """Close the WebSocket, without waiting."""
        self.end(code, reason)
        self._changed.wake()


def sync_ends() -> tuple[SyncEnd, SyncEnd]:
    """Return two ends that are connected with each other, for threads."""
    changed = threading.Condition()
    here, there = SyncEnd(changed), SyncEnd(changed)
    here._other, there._other = there, here
    return here, there


def async_ends() -> tuple[AsyncEnd, AsyncEnd]:
    """Return two ends that are connected with each other, for tasks."""
    changed = Signals()
    here, there = AsyncEnd(changed), AsyncEnd(changed)
    here._other, there._other = there, here
    return here, there
