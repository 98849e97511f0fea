"""
A server of event streams that are lost and opened again, over HTTP/1.1, TLS and HTTP/2.

    with EventServer(Answer(b"data: 1\\n\\n"), Answer(status=204)) as server:
        with httpx.Client() as client, client.sse(server.url, reconnect=True) as source:
            assert [event.data for event in source] == ["1"]
    assert server.asked[1].fields["last-event-id"] == ...

Requests get the answers in their order, whatever connection they come on, and the last answer again after that.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, NamedTuple

from httpx._protocol import frames

from . import certs
from .http2 import FramePeer, data, h2_context
from .servers import TIMEOUT, Conn, ScriptedServer

PROTOCOLS = ("http1", "tls", "http2")


class Answer(NamedTuple):
    """
    What a request gets.

    Attributes:
        body: of the response, as far as it comes.
        status, fields: of the response; without a Content-Type of its own, a 200 is an event stream.
        end: "whole": the body ends; "cut": it breaks off, and so does the connection or stream; "reset": the connection
            is reset; "stay": nothing more comes; "none": there is no response at all, only the end.
    """

    body: bytes = b""
    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    end: str = "whole"

    def head(self) -> list[tuple[bytes, bytes]]:
        fields = {"content-type": "text/event-stream", **dict(self.fields)} if self.status == 200 else dict(self.fields)
        return [(name.lower().encode(), value.encode()) for name, value in fields.items() if value]


class Asked(NamedTuple):
    """A request, its body excepted."""

    method: str
    path: str
    fields: dict[str, str]
    body: bytes


class EventServer(ScriptedServer):
    """
    The server.

    Args:
        answers: to the requests.
        protocol: one of `PROTOCOLS`.

    Attributes:
        asked: the requests so far.
        arrived: released once for each of them.
    """

    def __init__(self, *answers: Answer, protocol: str = "http1") -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.arrived = threading.Semaphore(0)
        self._turn = threading.Lock()
        tls = {"http1": None, "tls": certs.server_context(), "http2": h2_context()}[protocol]
        super().__init__(self._serve_streams if protocol == "http2" else self._serve_requests, tls=tls)

    def wait(self, number: int = 1) -> None:
        """Wait until so many more requests have arrived."""
        for _ in range(number):
            assert self.arrived.acquire(timeout=TIMEOUT)

    def _answer(self, asked: Asked) -> Answer:
        with self._turn:
            self.asked.append(asked)
            answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        self.arrived.release()
        return answer

    def _serve_requests(self, conn: Conn, recorded: list[bytes]) -> None:
        while True:
            first = conn.recv(1)
            if not first:
                return
            conn._unread = first + conn._unread
            head, body = conn.read_request()
            lines = head.decode("utf-8").split("\r\n")
            method, path, _ = lines[0].split(" ")
            pairs = [line.split(": ", 1) for line in lines[1:] if line]
            answer = self._answer(Asked(method, path, {name.lower(): value for name, value in pairs}, body))
            if answer.end == "none" or not self._respond(conn, answer):
                return

    def _respond(self, conn: Conn, answer: Answer) -> bool:
        fields = b"".join(b"%b: %b\r\n" % field for field in answer.head())
        has_body = answer.status != 204
        fields += b"transfer-encoding: chunked\r\n" if has_body else b""
        chunk = b"%x\r\n%b\r\n" % (len(answer.body), answer.body) if answer.body else b""
        conn.sendall(b"HTTP/1.1 %d X\r\n%b\r\n%b" % (answer.status, fields, chunk))
        if answer.end == "whole":
            conn.sendall(b"0\r\n\r\n" if has_body else b"")
            return True
        if answer.end == "stay":
            conn.read_to_end()
        if answer.end == "reset":
            conn.reset()
        return False

    def _serve_streams(self, conn: Conn, recorded: list[bytes]) -> None:
        peer = FramePeer(conn)
        with contextlib.suppress(AssertionError):  # the client's end
            while True:
                kind, flags, stream, payload = peer.frame()
                if kind == frames.PING and not flags & frames.ACK:
                    peer.send(frames.frame(frames.PING, frames.ACK, 0, payload))
                if kind == frames.HEADERS:
                    fields = {name.decode(): value.decode() for name, value in peer._decoder.decode(payload, raw=True)}
                    body = b"" if flags & frames.END_STREAM else peer.body()
                    asked = Asked(fields[":method"], fields[":path"], fields, body)
                    if not self._respond_on(peer, stream, self._answer(asked)):
                        return

    def _respond_on(self, peer: Any, stream: int, answer: Answer) -> bool:
        if answer.end == "none":
            return False
        ends = answer.end == "whole"
        if not answer.body:
            peer.send(peer.head(stream, answer.status, *answer.head(), ends=ends))
        else:
            peer.send(peer.head(stream, answer.status, *answer.head()), data(stream, answer.body, ends))
        if answer.end == "cut":
            peer.send(frames.reset(stream, 2))
        if answer.end == "reset":
            peer.conn.reset()
            return False
        return True
