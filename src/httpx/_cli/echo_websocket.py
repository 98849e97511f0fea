"""
`/websocket` of the test server: every message comes back (RFC 6455).

    accept_of("dGhlIHNhbXBsZSBub25jZQ==")       "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    echo(rfile.read, wfile.write)               returns when the session has ended

Like `echo_server`, it uses only the standard library, so that it cannot share a bug with the client that it tests.
Not here: subprotocols and extensions; the server agrees to none.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Callable

# RFC 6455, 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _CLOSE, _PING, _PONG = 0, 1, 8, 9, 10
_NORMAL, _PROTOCOL_ERROR, _INVALID_TEXT, _TOO_BIG = 1000, 1002, 1007, 1009
# Bytes of a message: it is kept in memory.
MAX_MESSAGE = 1 << 20


def accept_of(key: str) -> str:
    """Return the value of Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1", "replace") + _GUID).digest()).decode("ascii")


class _End(Exception):
    """The session has to end with this code."""

    def __init__(self, code: int) -> None:
        self.code = code


def echo(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> None:
    """
    Send back each message until the client closes, or the connection ends.

    Args:
        read: returns as many bytes as it is told, fewer at the end of the connection.
        write: sends bytes.
    """
    message, opcode = bytearray(), 0  # of a message in pieces
    try:
        while True:
            first, payload = _frame(read, MAX_MESSAGE - len(message))
            kind = first & 0x0F
            if kind == _CLOSE:
                write(_closing(payload))
                return
            if kind == _PING:
                write(_made(_PONG, payload))
            elif kind != _PONG:
                # A message begins exactly where none is under way.
                if first & 0x70 or kind > 2 or bool(opcode) != (kind == _CONTINUATION):
                    raise _End(_PROTOCOL_ERROR)
                opcode = opcode or kind
                message += payload
                if first & 0x80:
                    write(_made(opcode, _checked(opcode, bytes(message))))
                    message, opcode = bytearray(), 0
    except _End as exc:
        write(_made(_CLOSE, exc.code.to_bytes(2, "big")))
    except EOFError:
        pass


def _frame(read: Callable[[int], bytes], most: int) -> tuple[int, bytes]:
    """Return the first byte and the payload of the next frame."""
    first, second = _exactly(read, 2)
    size = second & 0x7F
    is_control = bool(first & 0x08)
    if not second & 0x80 or (is_control and (size > 125 or not first & 0x80)):
        raise _End(_PROTOCOL_ERROR)
    if size > 125:
        size = int.from_bytes(_exactly(read, 2 if size == 126 else 8), "big")
    if size > most and not is_control:
        raise _End(_TOO_BIG)
    key = _exactly(read, 4)
    payload = _exactly(read, size)
    # One number as long as the payload: a loop over bytes would be slow.
    mask = (key * (size // 4 + 1))[:size]
    return first, (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    content = read(size)
    if len(content) < size:
        raise EOFError
    return content


def _checked(opcode: int, message: bytes) -> bytes:
    if opcode == _TEXT:
        try:
            message.decode()
        except UnicodeDecodeError:
            raise _End(_INVALID_TEXT) from None
    return message


def _closing(payload: bytes) -> bytes:
    """Return the Close frame that is sent back for one, with its code."""
    if len(payload) == 1:
        return _made(_CLOSE, _PROTOCOL_ERROR.to_bytes(2, "big"))
    return _made(_CLOSE, payload[:2] or _NORMAL.to_bytes(2, "big"))


def _made(opcode: int, payload: bytes) -> bytes:
    """Return a frame of a server, which is not masked."""
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, size])
    elif size < 1 << 16:
        head = bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 127]) + size.to_bytes(8, "big")
    return head + payload
