"""
A server that does the same over HTTP/1.1 and HTTP/2, step by step: heads, interim responses, bodies.

    def act(server):
        server.take()
        server.interim(103, link="</a.css>")
        server.final(200)

    with serving("HTTP/2", act) as options, httpx.Client(**options) as client:
        client.get("/")

Not here: what only one protocol can do (`servers`, `http2`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Callable, Optional

from httpx._protocol import frames

from .http2 import Asked, FramePeer, frames_of, prior
from .servers import Conn, ScriptedServer

PROTOCOLS = ("HTTP/1.1", "HTTP/2")

Act = Callable[["Answerer"], None]


class Answerer:
    """
    What a server does with one request, in either protocol.

    Attributes:
        fields: of the request that was taken, by lower-case name.
        body: of it.
    """

    fields: dict[bytes, bytes]
    body: bytes
    stream: int

    def __init__(self, conn: Any = None, peer: Optional[FramePeer] = None) -> None:
        self.conn = conn
        self.peer = peer

    def take(self, whole: bool = True) -> None:
        """Take a request, or only its head."""
        self.body = b""
        if self.peer is not None:
            asked = self._next_request(self.peer)
            self.stream, self.fields = asked.stream, dict(asked.fields)
            if whole and not asked.ended:
                self.body = self.peer.body()
        elif whole:
            head, self.body = self.conn.read_request()
            self._note(head)
        else:
            self._note(self.conn.read_head())

    @staticmethod
    def _next_request(peer: FramePeer) -> Asked:
        while True:
            kind, flags, stream, block = peer.frame()
            if kind == frames.HEADERS:
                fields = [(bytes(name), bytes(value)) for name, value in peer._decoder.decode(block, raw=True)]
                return Asked(stream, fields, bool(flags & frames.END_STREAM))
            assert kind != frames.DATA, "a body came, and a head was expected"

    def _note(self, head: bytes) -> None:
        lines = head.split(b"\r\n")[1:-2]
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}

    def interim(self, *statuses: int, link: str = "", then: Optional[int] = None, fields: Any = ()) -> None:
        """Send interim responses in one piece, and in the same one maybe the final response."""
        links = [(b"link", link.encode())] if link else []
        if self.peer is not None:
            pieces = [self.peer.head(self.stream, status, *links) for status in statuses]
            if then is not None:
                pieces.append(self.peer.head(self.stream, then, *fields, ends=True))
            self.peer.send(b"".join(pieces))
            return
        lines = [head_of(status, links) for status in statuses]
        if then is not None:
            lines.append(head_of(then, [*fields, (b"content-length", b"0")]))
        self.conn.sendall(b"".join(lines))

    def final(self, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        self.interim(then=status, fields=fields)

    def body_follows(self) -> None:
        """Take the body of a request whose head was taken."""
        if self.peer is not None:
            self.body = self.peer.body()
        elif b"content-length" in self.fields:
            self.body = self.conn.read_exactly(int(self.fields[b"content-length"]))
        else:
            while not self.body.endswith(b"0\r\n\r\n"):
                self.body += self.conn.recv()


def head_of(status: int, fields: Any) -> bytes:
    """The head of a response of HTTP/1.1."""
    lines = [b"HTTP/1.1 %d X" % status, *(b"%b: %b" % field for field in fields), b"", b""]
    return b"\r\n".join(lines)


@contextlib.contextmanager
def serving(protocol: str, act: Act) -> Iterator[dict[str, Any]]:
    """Serve each connection by `act`; the options of a client for that."""

    def over_http1(conn: Conn, recorded: list[bytes]) -> None:
        act(Answerer(conn))

    def over_http2(peer: FramePeer) -> None:
        act(Answerer(peer=peer))
        peer.rest()

    with ScriptedServer(over_http1 if protocol == "HTTP/1.1" else frames_of(over_http2)) as server:
        yield {"base_url": server.url} if protocol == "HTTP/1.1" else prior(server.url)
