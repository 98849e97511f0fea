"""
The server's side of a WebSocket, for tests of the client's: frames made and read with a few plain lines.

Not here: judgement. `frame` makes any frame, also one that no server may send.
"""

from __future__ import annotations

from typing import NamedTuple

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
        unmasked = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
        found.append(Frame(first & 0x0F, unmasked, bool(first & 0x80), first & 0x70))
        data = data[at + 4 + length :]
    return found
