"""
Compression of WebSocket messages: permessage-deflate (RFC 7692).

    Deflate(...)               what the caller wants
    offers(wanted)             the value of Sec-WebSocket-Extensions in the request
    agreed(wanted, params)     the codec that the response's parameters stand for; raises `BadAgreement`

    codec.compress(message)    the payload to send, None if the message must be sent as it is
    codec.expand(piece, room)  what a piece of a payload expands to; raises `BadCompression`
    codec.finish(piece, room)  the same for the last piece

Output is bounded: `expand` makes at most `room` + 1 bytes, however small the piece was. The codec keeps no more than
zlib's windows: 2^bits bytes to expand, four times as much and `mem_level`'s share to compress.

Off unless the caller asks for it. A window that both secrets and another party's text go through tells the secrets to
an observer who can choose the text (RFC 7692, section 8, and RFC 6455, section 10).

Not here: which message is compressed and when (`websocket`), the grammar of the field (`opening`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

Parameter = tuple[bytes, "bytes | None"]  # name in lower case, value without its quotes

NAME = b"permessage-deflate"

# What ends each flush of zlib; the sender removes it and the receiver puts it back (RFC 7692 7.2.1, 7.2.2).
_TAIL = b"\0\0\xff\xff"
# zlib compresses with no smaller window; it expands what was compressed with one.
_SMALLEST_WINDOW = 9
# Final blocks in one message, after each of which a new stream begins. Senders that have no other flush make one (RFC
# 7692 7.2.3.4). Each costs a new object and a copy of what is left: a payload of them alone would take quadratic time.
_MAX_FINAL_BLOCKS = 16


class BadAgreement(ValueError):
    """The response's parameters do not fit the offer; the text says which."""


class BadCompression(ValueError):
    """A payload is not valid DEFLATE data."""


class Deflate:
    """
    How messages are to be compressed.

    Args:
        window_bits: of our window, as a power of two, 9 to 15. The server can ask for a smaller one.
        peer_window_bits: of the server's window, 8 to 15; servers that cannot choose theirs use 15 all the same.
        context_takeover: our messages share one window. False costs compression and saves memory between messages.
        peer_context_takeover: the same for the server's messages.
        level: of zlib, 0 (none) to 9 (smallest), -1 for its default.
        mem_level: of zlib, 1 to 9: memory and speed of compressing.
        min_size: messages of fewer bytes are sent as they are.

    Raises:
        ValueError: a number is out of its range.
    """

    __slots__ = (
        *("context_takeover", "level", "mem_level", "min_size", "peer_context_takeover"),
        *("peer_window_bits", "window_bits"),
    )

    def __init__(
        self,
        *,
        window_bits: int = 12,
        peer_window_bits: int = 12,
        context_takeover: bool = True,
        peer_context_takeover: bool = True,
        level: int = 6,
        mem_level: int = 5,
        min_size: int = 128,
    ) -> None:
        _check("window_bits", window_bits, _SMALLEST_WINDOW, 15)
        _check("peer_window_bits", peer_window_bits, 8, 15)
        _check("level", level, -1, 9)
        _check("mem_level", mem_level, 1, 9)
        if min_size < 0:
            raise ValueError(f"min_size must be a number of bytes, got {min_size!r}")
        self.window_bits = window_bits
        self.peer_window_bits = peer_window_bits
        self.context_takeover = context_takeover
        self.peer_context_takeover = peer_context_takeover
        self.level = level
        self.mem_level = mem_level
        self.min_size = min_size

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"Deflate({values})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Deflate):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__slots__))


def _check(name: str, value: int, smallest: int, largest: int) -> None:
    if not smallest <= value <= largest:
        raise ValueError(f"{name} must be from {smallest} to {largest}, got {value!r}")


def offers(wanted: Deflate) -> bytes:
    """
    Return the value of Sec-WebSocket-Extensions in the request.

    The second offer is for servers that cannot choose the size of their window: those must decline the first (RFC 7692
    7.1.2.1).
    """
    common = b"; client_max_window_bits"
    if not wanted.context_takeover:
        common += b"; client_no_context_takeover"
    if not wanted.peer_context_takeover:
        common += b"; server_no_context_takeover"
    if wanted.peer_window_bits == 15:
        return NAME + common
    return b"%b; server_max_window_bits=%d%b, %b%b" % (NAME, wanted.peer_window_bits, common, NAME, common)


def agreed(wanted: Deflate, parameters: Sequence[Parameter]) -> Codec:
    """
    Return the codec that the response's parameters stand for.

    Args:
        wanted: what the offers were made from.
        parameters: of the extension in the response, in their order.

    Raises:
        BadAgreement: a parameter is unknown, comes twice, has a value that it must not have, or an offer's condition
            is not met. RFC 7692, sections 7 and 7.1.
    """
    found: dict[bytes, bytes | None] = {}
    for name, value in parameters:
        if name in found:
            raise BadAgreement(f"parameter {name[:20]!r} of permessage-deflate comes twice")
        found[name] = value
    unknown = next((name for name in found if name not in _PARAMETERS), None)
    if unknown is not None:
        raise BadAgreement(f"unknown parameter {unknown[:20]!r} of permessage-deflate")
    for name in (b"client_no_context_takeover", b"server_no_context_takeover"):
        if found.get(name) is not None:
            raise BadAgreement(f"parameter {name!r} of permessage-deflate must not have a value")
    if not wanted.peer_context_takeover and b"server_no_context_takeover" not in found:
        raise BadAgreement("server_no_context_takeover of permessage-deflate was asked for and is missing")
    return Codec(
        wanted,
        window_bits=min(wanted.window_bits, _bits(found, b"client_max_window_bits")),
        peer_window_bits=_bits(found, b"server_max_window_bits"),
        context_takeover=wanted.context_takeover and b"client_no_context_takeover" not in found,
        peer_context_takeover=b"server_no_context_takeover" not in found,
    )


_PARAMETERS = frozenset(
    (
        *(b"client_no_context_takeover", b"server_no_context_takeover"),
        *(b"client_max_window_bits", b"server_max_window_bits"),
    )
)
_BITS = {b"%d" % bits: bits for bits in range(8, 16)}  # without leading zeros: RFC 7692 7.1.2


def _bits(found: dict[bytes, bytes | None], name: bytes) -> int:
    if name not in found:
        return 15
    value = found[name]
    bits = None if value is None else _BITS.get(value)
    if bits is None:
        raise BadAgreement(
            f"parameter {name!r} of permessage-deflate must be from 8 to 15, got {(value or b'')[:20]!r}"
        )
    return bits


class Codec:
    """
    What was agreed on, with the windows of both directions.

    Attributes:
        window_bits, peer_window_bits, context_takeover, peer_context_takeover: as agreed.
        min_size: messages of fewer bytes are sent as they are.
    """

    __slots__ = (
        *("_compressor", "_expander", "_final_blocks", "_level", "_mem_level", "context_takeover"),
        *("min_size", "peer_context_takeover", "peer_window_bits", "window_bits"),
    )

    def __init__(
        self,
        wanted: Deflate,
        *,
        window_bits: int,
        peer_window_bits: int,
        context_takeover: bool,
        peer_context_takeover: bool,
    ) -> None:
        self.window_bits = window_bits
        self.peer_window_bits = peer_window_bits
        self.context_takeover = context_takeover
        self.peer_context_takeover = peer_context_takeover
        self.min_size = wanted.min_size
        self._level = wanted.level
        self._mem_level = wanted.mem_level
        # zlib's objects, of types that the module does not name; made when they are needed: most sessions send little.
        self._compressor: Any = None
        self._expander: Any = None
        self._final_blocks = 0  # of the message that is being expanded

    def compress(self, message: bytes | bytearray) -> bytes | None:
        """Return the payload for a whole message; None if it goes as it is: empty, or in a window that zlib has not."""
        if self.window_bits < _SMALLEST_WINDOW or not message:
            return None
        compressor = self._compressor
        if compressor is None:
            compressor = zlib.compressobj(self._level, zlib.DEFLATED, -self.window_bits, self._mem_level)
            if self.context_takeover:
                self._compressor = compressor
        payload: bytes = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return payload[:-4]

    def expand(self, piece: bytes, room: int | None) -> bytes:
        """
        Return what the next piece of a payload expands to.

        Args:
            piece: any number of bytes of the payload.
            room: bytes that the message may still have, None without a limit. One byte more in the output says that
                the message is too large; the rest of it is lost then.

        Raises:
            BadCompression: it is not valid DEFLATE data.
        """
        expander = self._expander
        if expander is None:
            expander = self._expander = self._new_expander()
        try:
            out: bytes = expander.decompress(piece, 0 if room is None else room + 1)
        except zlib.error as exc:
            raise BadCompression("a message is not valid DEFLATE data") from exc
        return self._after_final_block(out, room) if expander.eof else out

    def finish(self, piece: bytes, room: int | None) -> bytes:
        """
        Return what the last piece of a payload expands to; a whole payload may be given at once.

        Arguments and errors are those of `expand`. That the last block is complete is not checked: zlib does not tell.
        """
        out = self.expand(piece + _TAIL, room)
        self._final_blocks = 0
        if not self.peer_context_takeover:
            self._expander = None
        return out

    def _after_final_block(self, out: bytes, room: int | None) -> bytes:
        """Expand what came after a block that said it was the last: a new stream begins there."""
        while self._expander.eof:
            rest = self._expander.unused_data
            self._expander = self._new_expander()
            self._final_blocks += 1
            if self._final_blocks > _MAX_FINAL_BLOCKS:
                raise BadCompression(f"a message has more than {_MAX_FINAL_BLOCKS} final DEFLATE blocks")
            left = None if room is None else room - len(out)
            if left is not None and left < 0:
                break
            try:
                out += self._expander.decompress(rest, 0 if left is None else left + 1)
            except zlib.error as exc:
                raise BadCompression("a message is not valid DEFLATE data") from exc
        return out

    def _new_expander(self) -> Any:
        return zlib.decompressobj(-max(self.peer_window_bits, _SMALLEST_WINDOW))
