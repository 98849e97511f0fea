"""
Frames of HTTP/2 one by one, for peers and tests that look at them; the machine itself reads them where they lie.
"""

from __future__ import annotations

from httpx._protocol import frames

Frame = tuple[int, int, int, bytes]  # type, flags, stream, payload


class FrameTooLarge(Exception):
    """
    A frame is larger than was allowed; the connection is lost (RFC 9113 4.2).

    Attributes:
        whole: the frames before it, which count as if they had come alone.
    """

    def __init__(self, message: str, whole: list[Frame]) -> None:
        super().__init__(message)
        self.whole = whole


def split(data: bytes, max_size: int) -> tuple[list[Frame], bytes]:
    """
    The whole frames at the beginning of `data`, and the rest.

    Raises:
        FrameTooLarge: the head of a frame announces more than `max_size` bytes.
    """
    found: list[Frame] = []
    position, end = 0, len(data)
    while end - position >= frames.HEAD_SIZE:
        high, low, kind, flags, stream = frames.FRAME_HEAD.unpack_from(data, position)
        size = high << 8 | low
        if size > max_size:
            raise FrameTooLarge(f"a frame of {size} bytes, more than the {max_size} that were allowed", found)
        following = position + frames.HEAD_SIZE + size
        if following > end:
            break
        found.append((kind, flags, stream & frames.MAX_WINDOW, data[position + frames.HEAD_SIZE : following]))
        position = following
    return found, data[position:] if position else data
