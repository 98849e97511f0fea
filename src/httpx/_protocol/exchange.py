"""
The seam between machines and shells: one request and its response.

A shell (threads, asyncio, trio) owns a wire and carries bytes. What can be decided without a wire is decided by the
exchange. `need` tells the shell what would make progress:

    OUTPUT   `take()` has bytes that must be sent
    BODY     `feed()` wants the next piece of the request's body, or None at its end
    PAUSE    like INPUT, but after `PATIENCE` seconds of silence, or as long as the request says, call `proceed()`
             (Expect: 100-continue)
    INPUT    `receive()` wants what the peer sends
    NOTHING  the response is complete, the connection was upgraded, or `error` is set

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

While a body is uploaded, input may arrive at any time: pass it to `receive()` when it does. A response may begin then,
and even end:

    need is OUTPUT or BODY     go on sending, also after `head` is known: the peer may respond while it reads (an echo),
                               so receive at the same time, and take `chunks` while the upload goes on
    `abandoned`                the response made the rest of the upload pointless; `need` is INPUT or NOTHING. Drop what
                               was taken and is not sent yet, and go on receiving
    sending fails              call `cut_short()` and go on receiving: the peer may have responded before it closed

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
    What a peer's head, all its interim responses and its trailers may take together.

    Args:
        max_fields: number of fields in one block.
        max_bytes: bytes of all blocks of one exchange.
    """

    __slots__ = ("max_bytes", "max_fields")

    def __init__(self, max_fields: int = 5_000, max_bytes: int = 262_144) -> None:
        self.max_fields = max_fields
        self.max_bytes = max_bytes


DEFAULT_HEAD_LIMITS = HeadLimits()


class Exchange:
    """
    What every protocol offers the shells for one request and its response.

    Attributes:
        need: what would make progress (above).
        head: None until the final response's head is complete.
        chunks: pieces of the body not yet taken, framing removed; the shell empties the list.
        informational: (status, fields) of each 1xx response so far.
        told: how many of them the shell has told the request's function of; the shell counts.
        trailers: the trailer fields, once `finished`; None if there were none.
        finished: the response is complete.
        upgraded: the bytes that follow belong to another protocol; `surplus` holds those that came already. The shell
            takes them then, and gives the exchange no more.
        reusable: the connection may carry another exchange.
        untouched: no byte of a response has arrived.
        refused: the peer said that it has not processed the request, so any request may be sent again (HTTP/2).
        uploading: part of the request has not been handed to the connection yet, maybe because the peer does not take
            it (HTTP/2).
        abandoned: the rest of the upload was dropped: a response made it pointless, or sending failed.
        remarkable: the head has fields that a client acts on: Set-Cookie, Location, Content-Encoding; or the request
            had an Expect, which a 417 makes the client repeat without.
        only_informational: the last `receive` brought only 1xx responses, so a read deadline must not restart.
        error: what the peer did wrong, as an exception of the public classes; None without a fault.
    """

    # The constructors of the two kinds set what every exchange changes: an attribute that the class has too takes 40 ns
    # to read instead of 5. What few exchanges change is an attribute of the class, which saves setting it.
    need: int
    head: Head | None
    chunks: list[bytes]
    finished: bool
    reusable: bool
    untouched: bool
    only_informational: bool
    error: Exception | None
    informational: Sequence[tuple[int, Fields]] = ()
    told: int = 0
    trailers: Fields | None = None
    remarkable: bool = False
    upgraded: bool = False
    refused: bool = False
    uploading: bool = False
    abandoned: bool = False

    @property
    def surplus(self) -> bytes:
        """What arrived after the end of the response."""
        return b""

    @property
    def is_unframed(self) -> bool:
        """
        Whether the bytes that come next are the body's alone, up to its end (HTTP/1.1, without chunks).

        `receive` may be given a view then, whose memory is used again once `chunks` was taken.
        """
        return False

    def take(self) -> bytes:
        """Remove and return what should be sent now, coalesced; b"" if there is nothing (`need` is not OUTPUT)."""
        raise NotImplementedError

    def feed(self, chunk: bytes | None, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """
        Give the next piece of the request's body; None ends it, and `trailers` follow it then.

        Ignored once the body has ended or the response has made it pointless. While `need` is PAUSE it means that the
        shell does not wait any longer, as `proceed` does.

        Raises:
            LocalProtocolError: the body does not have the length that the request announced; the trailers are not
                legal, or follow a body that HTTP/1.1 does not send in chunks.
        """
        raise NotImplementedError

    def cut_short(self) -> None:
        """Send nothing more: the shell could not send all that it took. The response may come; no exchange follows."""
        raise NotImplementedError

    def proceed(self) -> None:
        """Send the body without the peer's consent: it said nothing for `PATIENCE` seconds."""
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """
        Take bytes that arrived from the peer; any split is allowed, and the outcome does not depend on it.

        Never raises for what the peer did: it sets `error`.

        Args:
            data: 1 to any number of bytes; b"" means that the peer closed its side.
        """
        raise NotImplementedError

    def receive_incomplete_close(self) -> None:
        """
        Take the end of the peer's side under TLS without close_notify, which anyone on the path can forge.

        Like `receive(b"")`, but a body that only ends with the connection may be incomplete and is an error (RFC 9112
        section 9.8). A response that says itself where it ends is not in doubt, and many servers never send
        close_notify after one.
        """
        self.receive(b"")
