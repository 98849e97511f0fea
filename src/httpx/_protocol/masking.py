"""
Masking of what a WebSocket client sends (RFC 6455, section 5.3): each byte XOR the byte of the key at its place.

    masked(payload, key)     the payload as it is sent
    keys(random)             an iterator of 32 keys

The mask keeps a script from choosing the bytes on the wire, which some proxies would take for a request of HTTP. So a
key must come from a strong source, and no two payloads share one except by chance.

There is no fast XOR of two byte strings in Python. Measured, for each way, CPython 3.13:

    bytes                   32     512   1 KiB   4 KiB   64 KiB   1 MiB
    one large int XOR      0.4     1.4     2.5     8.2      204   3,460  us
    four `translate`s      1.5     2.0     2.6     6.5       85   1,270  us
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import iter_unpack
from typing import Callable, Union

Payload = Union[bytes, bytearray]

# Bytes of the longest payload that the integers mask.
_MAX_FOR_INTEGERS = 1024
# Bytes: 0.03 us a key, where a system call for each would cost 0.75. An iterator over them keeps nothing else.
_BATCH = 128

_EVERY_BYTE = int.from_bytes(bytes(range(256)), "little")


class _Tables(dict[int, bytes]):
    """Byte of a key -> what each byte becomes, as a table for `bytes.translate`. At most 256, 64 KiB."""

    def __missing__(self, byte: int) -> bytes:
        table = (_EVERY_BYTE ^ int.from_bytes(bytes((byte,)) * 256, "little")).to_bytes(256, "little")
        self[byte] = table
        return table


_TABLES = _Tables()


def masked(payload: Payload, key: bytes, head: bytes = b"") -> Payload:
    """
    Return `head`, and after it `payload` masked, or unmasked: it is the same.

    Args:
        payload: any number of bytes.
        key: four bytes.
        head: what stands before the payload, as it is: to put it there later would copy the payload once more.
    """
    size = len(payload)
    if size <= _MAX_FOR_INTEGERS:
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
        return head + (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
    start = len(head)
    out = bytearray(start + size)
    out[:start] = head
    for lane in range(4):
        out[start + lane :: 4] = payload[lane::4].translate(_TABLES[key[lane]])
    return out


def keys(random: Callable[[int], bytes]) -> Iterator[tuple[bytes]]:
    """
    Return an iterator of 32 new keys, each in a tuple.

    Args:
        random: returns as many bytes as it is asked for, which the peer cannot foresee, such as `os.urandom`.
    """
    return iter_unpack("4s", random(_BATCH))
