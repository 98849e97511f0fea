"""
The server's side of a WebSocket, for tests of the client's: frames made and read with a few plain lines.

Not here: judgement. `frame` makes any frame, also one that no server may send.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple

from .servers import Conn, Step

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """A frame that the client sent, unmasked."""

    opcode: int
    payload: bytes
    final: bool = True
    reserved: int = 0  # RSV1 to RSV3 as they stand in the first byte


def frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0, length: int | None = None
) -> bytes:
    """
    Return a frame of a server.

    Args:
        reserved: RSV bits as they stand in the first byte, such as 0x40 for a compressed message.
        length: what the head says, if that is not the payload's length.
    """
    first = (0x80 if final else 0) | reserved | opcode
    length = len(payload) if length is None else length
    if length < 126:
        head = bytes((first, length))
    elif length < 65_536:
        head = bytes((first, 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 127)) + length.to_bytes(8, "big")
    return head + payload


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a Close frame of a server."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def sent_frames(data: bytes) -> list[Frame]:
    """
    Return the frames in what a client sent.

    Raises:
        AssertionError: one is not masked, does not have the shortest length, or is not complete.
    """
    found = []
    while data:
        first, second = data[0], data[1]
        assert second & 0x80, "a client's frame must be masked"
        length, at = second & 0x7F, 2
        if length == 126:
            length, at = int.from_bytes(data[2:4], "big"), 4
            assert length > 125
        elif length == 127:
            length, at = int.from_bytes(data[2:10], "big"), 10
            assert length > 65_535
        key, payload = data[at : at + 4], data[at + 4 : at + 4 + length]
        assert len(payload) == length, "the last frame is not complete"
        mask = int.from_bytes((key * (length // 4 + 1))[:length], "little")
        unmasked = (int.from_bytes(payload, "little") ^ mask).to_bytes(length, "little")
        found.append(Frame(first & 0x0F, unmasked, bool(first & 0x80), first & 0x70))
        data = data[at + 4 + length :]
    return found


# A server, as steps of a `ScriptedServer`.

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(head: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept for the head of a request."""
    found = re.search(rb"\r\nsec-websocket-key:[ \t]*(\S+)", head, re.IGNORECASE)
    assert found, f"no Sec-WebSocket-Key in {head!r}"
    return base64.b64encode(hashlib.sha1(found[1] + GUID).digest())


def opened(*fields: bytes, then: bytes = b"") -> Step:
    """Read the request of an opening handshake and accept it; `then` leaves in one piece with the response."""

    def step(conn: Conn) -> None:
        head = conn.read_head()
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        conn.sendall(b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + accept_of(head), *fields, b"", b""]) + then)

    return step


def read_frame(conn: Conn) -> Frame:
    """Return the next frame of the client."""
    data = conn.read_exactly(2)
    length = data[1] & 0x7F
    if length > 125:
        data += conn.read_exactly(2 if length == 126 else 8)
        length = int.from_bytes(data[2:], "big")
    (found,) = sent_frames(data + conn.read_exactly(4 + length))
    return found


def expect_frame(opcode: int, payload: bytes | None = None) -> Step:
    """The client's next frame is of this kind, with this payload."""

    def step(conn: Conn) -> None:
        found = read_frame(conn)
        assert found.opcode == opcode, f"received {found}"
        assert payload is None or found.payload == payload, f"received {found}"

    return step


def expect_close(code: int | None = 1000) -> Step:
    """The client's next frame is a Close with this code, which is answered."""

    def step(conn: Conn) -> None:
        found = read_frame(conn)
        assert found.opcode == CLOSE, f"received {found}"
        assert found.payload[:2] == (b"" if code is None else code.to_bytes(2, "big")), f"received {found}"
        conn.sendall(frame(CLOSE, found.payload[:2]))

    return step


def echo(conn: Conn) -> None:
    """Send messages back until the client closes, whose Close is answered."""
    while True:
        found = read_frame(conn)
        if found.opcode == PING:
            conn.sendall(frame(PONG, found.payload))
        elif found.opcode == CLOSE:
            conn.sendall(frame(CLOSE, found.payload[:2]))
            return
        elif found.opcode != PONG:
            conn.sendall(frame(found.opcode, found.payload))
