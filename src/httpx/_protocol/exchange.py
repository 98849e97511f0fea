"""
The seam between machines and shells: one request and its answer.

A shell (a thread, asyncio, trio) owns a wire and carries bytes; everything that can be decided without a wire is
decided by the exchange. `need` tells the shell what would make progress:

    OUTPUT   `take()` has bytes that must be sent
    BODY     `feed()` wants the next piece of the request's body, or None at its end
    PAUSE    like INPUT, but after `PATIENCE` seconds of silence call `proceed()` (Expect: 100-continue)
    INPUT    `receive()` wants what the peer sends
    NOTHING  the answer is complete, the connection was upgraded, or `error` is set

so that a pump is:

    while exchange.head is None:
        need = exchange.need
        if need is OUTPUT:
            wire.send(exchange.take())
        elif need is BODY:
            exchange.feed(next(body, None))
        elif need is NOTHING:
            raise exchange.error
        else:
            exchange.receive(wire.receive())

While a body is uploaded, input may arrive at any time: pass it to `receive()` when it does. An answer that makes the
rest of the upload pointless turns `need` away from OUTPUT and BODY, and the shell drops what it still wanted to send.

Not here: retries, redirects, meaning of fields (`_flow`, `_models`); which connection is used (`_pool`).
"""

from __future__ import annotations

from collections.abc import Sequence

OUTPUT = 0
BODY = 1
INPUT = 2
PAUSE = 3
NOTHING = 4

PATIENCE = 1.0  # seconds; RFC 9110 10.1.1 asks not to wait forever, curl waits as long

Fields = list[tuple[bytes, bytes]]
Head = tuple[int, bytes, Fields, bytes]  # status, reason, fields, version ("HTTP/1.1")


class HeadLimits:
    """
    What a peer's head, all its interim answers and its trailers may take together.

    Args:
        max_fields: number of field lines in one block.
        max_bytes: bytes of all blocks of one exchange.
    """

    __slots__ = ("max_bytes", "max_fields")

    def __init__(self, max_fields: int = 100, max_bytes: int = 65_536) -> None:
        self.max_fields = max_fields
        self.max_bytes = max_bytes


DEFAULT_HEAD_LIMITS = HeadLimits()


class Exchange:
    """
    What every protocol offers the shells for one request and its answer.

    Attributes:
        need: what would make progress (above).
        head: None until the final answer's head is complete.
        chunks: pieces of the body not yet taken, framing removed; the shell empties the list.
        informational: (status, fields) of each 1xx answer so far.
        trailers: the trailer fields, once `finished`.
        finished: the answer is complete.
        upgraded: the bytes that follow belong to another protocol; `surplus` holds those that came already.
        reusable: the connection may carry another exchange.
        untouched: no byte of an answer has arrived.
        refused: the peer said that it has not processed the request, so it may be sent again, whatever it is (HTTP/2).
        uploading: part of the request has not been handed to the connection yet, maybe because the peer does not take
            it (HTTP/2).
        abandoned: the answer made the rest of the upload pointless, and it was dropped.
        remarkable: the head has fields that a client acts on: Set-Cookie, Location, Content-Encoding.
        only_informational: the last `receive` brought nothing but 1xx answers, so a read deadline should not restart.
        error: what the peer did wrong, as an exception of the public classes; None while all is well.
    """

    # What every exchange changes is set by the constructors of the two kinds, because an attribute that is the class's,
    # too, is reached the long way: 40 ns and not 5. What few change is the class's, which saves setting it.
    need: int
    head: Head | None
    chunks: list[bytes]
    finished: bool
    reusable: bool
    untouched: bool
    only_informational: bool
    error: Exception | None
    informational: Sequence[tuple[int, Fields]] = ()
    trailers: Fields | None = None
    remarkable: bool = False
    upgraded: bool = False
    refused: bool = False
    uploading: bool = False
    abandoned: bool = False
    surplus: bytes = b""

    def take(self) -> bytes:
        """Remove and return what should be sent now, coalesced; b"" if there is nothing (`need` is not OUTPUT)."""
        raise NotImplementedError

    def feed(self, chunk: bytes | None) -> None:
        """
        Give the next piece of the request's body; None ends it.

        Ignored once the body has ended or the answer has made it pointless. While `need` is PAUSE it means that the
        shell does not wait any longer, as `proceed` does.

        Raises:
            LocalProtocolError: the body does not have the length that the request announced.
        """
        raise NotImplementedError

    def cut_short(self) -> None:
        """The shell could not send all that it took: the connection is good for this answer and no other exchange."""
        raise NotImplementedError

    def proceed(self) -> None:
        """The peer said nothing for `PATIENCE` seconds: send the body without its consent."""
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """
        Take bytes that arrived from the peer; any split is allowed, and the outcome does not depend on it.

        Never raises for what the peer did: it sets `error`.

        Args:
            data: 1 to any number of bytes; b"" means that the peer closed its side.
        """
        raise NotImplementedError
