"""
The exceptions of WebSockets; public in `httpx.websockets`.

    TransportError
    └── WebSocketException
        ├── WebSocketUpgradeError           the response does not open a WebSocket; has `.response`
        ├── WebSocketDisconnect             the WebSocket was closed; has `.code`, `.reason`, `.by_peer`
        ├── WebSocketNetworkError           it ended without being closed; also a NetworkError
        └── WebSocketInvalidTypeReceived    a message is not of the expected kind; has `.message`
    ReadTimeout
    └── WebSocketTimeout                    `receive(timeout=)`; also a TimeoutError
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._exceptions import NetworkError, ReadTimeout, TransportError
from ._secrets import printable

if TYPE_CHECKING:
    from ._response import Response


class WebSocketException(TransportError):
    """The base class of errors of a WebSocket."""


class WebSocketUpgradeError(WebSocketException):
    """
    The response to the opening handshake does not open a WebSocket; the message says why.

    Attributes:
        response: what the server sent instead. At most 64 KiB of its body are read.
    """

    def __init__(self, response: Response, message: str = "") -> None:
        super().__init__(message or f"the response {response.status_code} does not open a WebSocket")
        self.response = response
        self._request = response._request


class WebSocketDisconnect(WebSocketException):
    """
    The WebSocket was closed, so there is no further message.

    Attributes:
        code: of the peer's Close: 1000 for a normal end, 1005 if it had none, 1006 if it did not come.
        reason: of the peer's Close, "" if it had none.
        by_peer: whether the peer closed first.
    """

    def __init__(self, code: int = 1000, reason: str | None = None, *, by_peer: bool = True) -> None:
        who = "the peer" if by_peer else "this side"
        super().__init__(
            f"the WebSocket was closed by {who} with code {code}" + (f": {printable(reason, 123)}" if reason else "")
        )
        self.code = code
        self.reason: str = reason or ""
        self.by_peer = by_peer


class WebSocketNetworkError(WebSocketException, NetworkError):
    """
    The connection broke, fell silent, or the peer violated the protocol. `__cause__` is the error below, if any.

    Attributes:
        code: 1006.
    """

    code: int = 1006


class WebSocketInvalidTypeReceived(WebSocketException):
    """
    The message is text where bytes were expected, or the other way round.

    Attributes:
        message: what was received.
    """

    def __init__(self, message: str | bytes) -> None:
        kinds = ("bytes", "text") if isinstance(message, str) else ("text", "bytes")
        super().__init__(f"expected a message of {kinds[0]}, received {kinds[1]}")
        self.message: str | bytes = message


class WebSocketTimeout(ReadTimeout, TimeoutError):
    """No message arrived in time. The WebSocket stays open, and no message is lost."""
