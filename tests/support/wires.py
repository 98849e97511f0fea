"""
Byte strings in pieces, and wires without a network: for tests of the machines.

What a machine makes of its input must not depend on where the network cut it, so every test of one goes through
`cuts`. No sockets, no clock, no randomness without a seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence


def cuts(data: bytes, *, rounds: int = 5, seed: int = 0) -> Iterator[list[bytes]]:
    """
    Ways to cut `data` into pieces: whole, byte by byte, then `rounds` random ones, the same in every run.

        for pieces in cuts(b"HTTP/1.1 200 OK\\r\\n\\r\\n"):
            ...

    The pieces of one way always join to `data`; none is empty, because an empty piece means the end of the stream.
    """
    yield [data] if data else []
    yield [data[index : index + 1] for index in range(len(data))]
    dice = random.Random(f"{seed}:{len(data)}")
    for _ in range(rounds):
        yield cut_at(
            data, sorted(dice.sample(range(1, len(data)), min(len(data) - 1, dice.randint(1, 8)))) if data[1:] else []
        )


def cut_at(data: bytes, positions: Sequence[int]) -> list[bytes]:
    """The pieces of `data` between the positions, which are in order."""
    edges = [0, *positions, len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:]) if start < end]


CUT_NAMES = ("whole", "bytes", "random-1", "random-2", "random-3")


def cut(data: bytes, name: str) -> list[bytes]:
    """
    One way to cut `data`, by its name, for a parametrised fixture (see `conftest.cut`).

    Args:
        name: one of `CUT_NAMES`.
    """
    return list(cuts(data, rounds=3))[CUT_NAMES.index(name)]


class FakeWire:
    """
    A byte stream whose peer is a list.

    Args:
        arriving: what `receive` returns, one piece at a time, then `b""`. An exception among them is raised.

    Attributes:
        sent: all pieces that were sent, in order.
        closed: whether `close` was called.
    """

    def __init__(self, arriving: Iterable[bytes | Exception] = ()) -> None:
        self._arriving = iter(arriving)
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        assert not self.closed, "sent on a closed wire"
        self.sent.append(bytes(data))

    def receive(self) -> bytes:
        assert not self.closed, "received on a closed wire"
        piece = next(self._arriving, b"")
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True
