"""
Servers of HTTP/2: one that is made of frames, and one that answers many streams at once.

    FramePeer     a connection as a script sees it, frame by frame; for what no well-behaved server does
    frames_of     makes a script of `ScriptedServer` from a function that gets a `FramePeer`
    StreamServer  a whole server, built on the package h2; what it does is said by the path (see there)

Both speak over plain TCP (for clients with http1=False) and over TLS, and wait for tests by events, never by sleeping.

Not here: what our own machine makes of frames without a network (`tests/test_http2.py`).
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import random
import select
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack

from httpx._protocol import frames
from httpx._protocol.frames import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE

from . import certs
from .frame_reader import Frame, split
from .leaks import engines_of, wait_for
from .servers import TIMEOUT, Conn, Script, ScriptedServer, close_notify
from .steps import until
from .websocket_side import Side

Fields = list[tuple[bytes, bytes]]


def h2_context(*alpn: str) -> ssl.SSLContext:
    """A server's TLS context that prefers HTTP/2, or speaks what is given."""
    return certs.server_context(alpn=alpn or ("h2", "http/1.1"))


class Asked:
    """A request as `FramePeer` got it, without its body."""

    def __init__(self, stream: int, fields: Fields, ended: bool) -> None:
        self.stream = stream
        self.fields = fields
        self.ended = ended

    def __getitem__(self, name: bytes) -> bytes:
        return dict(self.fields)[name]

    def __repr__(self) -> str:
        return f"<{self.stream}: {self[b':method']!r} {self[b':path']!r}>"


class FramePeer:
    """
    The server's side of one connection.

    Args:
        conn: the connection; its preface is read here, and SETTINGS are sent.
        values: what the SETTINGS say.
    """

    def __init__(self, conn: Conn, values: Optional[dict[int, int]] = None) -> None:
        self.conn = conn
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self.send(frames.settings(values or {}))
        assert conn.read_exactly(len(frames.PREFACE)) == frames.PREFACE

    def send(self, *pieces: bytes) -> None:
        """Send frames in one piece."""
        self.conn.sendall(b"".join(pieces))

    def frame(self) -> Frame:
        """The next frame, whatever it is."""
        head = self.conn.read_exactly(frames.HEAD_SIZE)
        payload = self.conn.read_exactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def expect(self, kind: int) -> Frame:
        """The next frame of that kind; SETTINGS and WINDOW_UPDATE before it are dropped, anything else fails."""
        while True:
            frame = self.frame()
            if frame[0] == kind:
                return frame
            assert frame[0] in (SETTINGS, WINDOW_UPDATE), f"{frame} came, and a frame of kind {kind} was expected"

    def request(self) -> Asked:
        """The next request's head."""
        _, flags, stream, block = self.expect(HEADERS)
        assert flags & END_HEADERS
        fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        return Asked(stream, fields, bool(flags & END_STREAM))

    def requests(self, number: int) -> list[Asked]:
        """So many requests without a body."""
        return [self.request() for _ in range(number)]

    def body(self) -> bytes:
        """The rest of the only upload that is under way; its windows are not touched."""
        received = b""
        while True:
            _, flags, _, data = self.expect(DATA)
            received += data
            if flags & END_STREAM:
                return received

    def head(self, stream: int, status: int = 200, *fields: tuple[bytes, bytes], ends: bool = False) -> bytes:
        """A head as bytes."""
        block = self._encoder.encode([(b":status", b"%d" % status), *fields])
        return frames.header_block(stream, block, ends, frames.DEFAULT_FRAME_SIZE)

    def trailers(self, stream: int, *fields: tuple[bytes, bytes]) -> bytes:
        """Trailers as bytes."""
        return frames.header_block(stream, self._encoder.encode(fields), True, frames.DEFAULT_FRAME_SIZE)

    def whole(self, stream: int, body: bytes = b"", status: int = 200, *fields: tuple[bytes, bytes]) -> bytes:
        """A whole answer as bytes."""
        if not body:
            return self.head(stream, status, *fields, ends=True)
        return self.head(stream, status, *fields) + data(stream, body, True)

    def answer(self, stream: int, body: bytes = b"", status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        """Send a whole answer."""
        self.send(self.whole(stream, body, status, *fields))

    def serve(self, body: bytes = b"ok") -> None:
        """Answer everything alike until the client goes away."""
        try:
            while True:
                frame = self.frame()
                self.pong(frame)
                kind, flags, stream, block = frame
                if kind == HEADERS:
                    self._decoder.decode(block)
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    self.answer(stream, body)
        except AssertionError:  # the end
            pass

    def rest(self) -> list[Frame]:
        """All frames up to the end of the connection."""
        return split(self.conn.read_to_end(), frames.LARGEST_FRAME_SIZE)[0]

    def pong(self, frame: Frame) -> None:
        """Answer a frame if it is a PING."""
        kind, flags, _, payload = frame
        if kind == frames.PING and not flags & ACK:
            self.send(frames.frame(frames.PING, ACK, 0, payload))

    def resets(self, number: int = 1) -> list[tuple[int, int]]:
        """The (stream, code) of the next RST_STREAM frames; all else is dropped, and PING answered."""
        found = []
        while len(found) < number:
            frame = self.frame()
            self.pong(frame)
            kind, _, stream, payload = frame
            if kind == HEADERS:
                self._decoder.decode(payload)
            elif kind == RST_STREAM:
                found.append((stream, frames.number(payload)))
        return found


def data(stream: int, body: bytes, ends: bool = False) -> bytes:
    """A body as DATA frames."""
    pieces = [body[start : start + 16_384] for start in range(0, len(body), 16_384)] or [b""]
    flags = [0] * (len(pieces) - 1) + [END_STREAM if ends else 0]
    return b"".join(frames.frame(DATA, flag, stream, piece) for flag, piece in zip(flags, pieces))


async def trusted(client: Any) -> None:
    """Until the peers of connections where a wait was in vain have answered the PING that they got for it."""
    for engine in engines_of(client):
        for connection in engine.pool.connections:
            await _trusted(connection.multiplexer)


async def _trusted(multiplexer: Any) -> None:
    def is_trusted() -> bool:
        carrier = getattr(multiplexer, "carrier", None)
        if carrier is not None:  # nobody listens where nobody waits
            with getattr(multiplexer, "_lock", contextlib.nullcontext()):
                carrier.catch_up()
        return not multiplexer.session.is_suspect

    if hasattr(multiplexer, "_lock"):
        wait_for(is_trusted)
    else:
        await until(is_trusted)


def settings_ack() -> bytes:
    """The answer to SETTINGS."""
    return frames.frame(SETTINGS, ACK, 0)


def frames_of(script: Callable[[FramePeer], object], values: Optional[dict[int, int]] = None) -> Script:
    """A script for `ScriptedServer`; it ends properly, over TLS too, when the function returns."""

    def play(conn: Conn, recorded: list[bytes]) -> None:
        script(FramePeer(conn, values))
        if isinstance(conn.sock, ssl.SSLSocket):
            close_notify()(conn)

    return play


class StreamServer(ScriptedServer):
    """
    A server that answers many streams, in an order that has nothing to do with the requests'.

    /id           200, the body is the request's X-Id and then its body
    /digest       length and SHA-256 of the body
    /bytes/<n>    so many bytes
    /status/<n>   that status, without a body
    /moved/<n>    302 to /id, with Set-Cookie: n=<n>
    /cookies      the request's Cookie fields, joined
    /gzip         compressed
    /trailers     a body and the trailer X-Sum
    /hints        103 with Link, then 200
    /refuse       413 as soon as the head is there, and RST_STREAM (NO_ERROR) as RFC 9113 8.1 has it
    /silent       nothing
    /stall        a head and half of a body, and then nothing
    /held         answered when the test calls `let_go`
    /close        200, and GOAWAY, and the end

    Args:
        max_streams: how many at once, as SETTINGS say.
        refuses: requests that were sent before the client knew that they are too many; else they are served.
        window: of each stream and of the connection, for what clients upload.
        websockets: take WebSockets on streams (RFC 8441).

    Attributes:
        faults: what clients of WebSockets did against the rules.
        asked: (connection, stream, path, X-Id) of each request but those that were one too many and refused.
        too_many: how many those were.
        resets: (stream, code) of each stream that a client reset.
        most: how many streams were open at once on one connection, at most.
    """

    def __init__(
        self,
        tls: bool = False,
        max_streams: int = 100,
        window: int = 65_535,
        refuses: bool = True,
        timeout: float = TIMEOUT,
        uds: Optional[str] = None,
        websockets: bool = False,
        **options: Any,
    ) -> None:
        self.websockets = websockets
        self.faults: list[str] = []
        self.max_streams = max_streams
        self.window = window
        self.refuses = refuses
        self.asked: list[tuple[int, int, str, str]] = []
        self.resets: list[tuple[int, int]] = []
        self.too_many = 0
        self.most = 0
        self._go = threading.Event()
        self._dice = random.Random("streams")
        super().__init__(self._serve, tls=h2_context("h2") if tls else None, timeout=timeout, uds=uds, **options)

    def let_go(self) -> None:
        """Answer what is held."""
        self._go.set()

    def close(self) -> None:
        """Stop; see `ScriptedServer.close`."""
        self.let_go()
        super().close()

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        try:
            _StreamConnection(self, conn, self.connections).serve()
        except h2.exceptions.ProtocolError as exc:
            raise AssertionError(f"the client broke the rules: {exc!r}") from exc


class _StreamConnection:
    """One connection of a `StreamServer`."""

    def __init__(self, server: StreamServer, conn: Conn, number: int) -> None:
        self.server = server
        self.conn = conn
        self.number = number
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.heads: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytearray] = {}
        self.sending: dict[int, tuple[memoryview, Optional[list[tuple[str, str]]]]] = {}
        self.held: list[int] = []
        self.unread = b""
        self.closing = False
        self.sides: dict[int, Side] = {}

    def serve(self) -> None:
        self.h2.initiate_connection()
        # Not the first ones, which h2 takes to be in force before the client has seen them.
        self.h2.update_settings(self.settings())
        if self.server.window > 65_535:
            self.h2.increment_flow_control_window(self.server.window - 65_535)
        while True:
            self.conn.sendall(self.h2.data_to_send())
            ready: list[int] = []
            if self.held and self.server._go.is_set():
                ready, self.held = self.held, []
            elif self.closing:
                self.end()
                return
            elif not self.held or self.may_receive():
                received = self.conn.recv()
                if not received:
                    return
                for piece in self.frames_in(received):
                    events = self.h2.receive_data(piece)
                    self.closing |= any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
                    for event in events:
                        # A stream or the connection may be closed, and a window gone, by what came right behind.
                        gone = h2.exceptions.ProtocolError if self.closing else h2.exceptions.StreamClosedError
                        with contextlib.suppress(gone, KeyError):
                            self.take(event, ready)
            if self.closing:
                continue
            self.server._dice.shuffle(ready)
            for stream in ready:
                if stream in self.heads and not self.closing:
                    self.answer(stream)
            self.send_bodies()
            self.send_sides()

    def settings(self) -> dict[h2.settings.SettingCodes, int]:
        codes = h2.settings.SettingCodes
        values = {codes.MAX_CONCURRENT_STREAMS: self.server.max_streams, codes.INITIAL_WINDOW_SIZE: self.server.window}
        return {**values, codes.ENABLE_CONNECT_PROTOCOL: 1} if self.server.websockets else values

    def frames_in(self, received: bytes) -> Iterator[bytes]:
        """
        What the client sent, one whole frame at a time, so that its windows are opened again after each.

        For h2 the empty DATA that ends a body is too much while the stream's window is negative, as it may well be
        after our settings (RFC 9113 6.9.1 allows it).
        """
        self.unread += received
        while True:
            if self.unread[:3] == frames.PREFACE[:3]:  # else the size of a frame, and never so large
                size = len(frames.PREFACE)
            else:
                size = frames.HEAD_SIZE + int.from_bytes(self.unread[:3], "big")
            if len(self.unread) < size:
                return
            piece, self.unread = self.unread[:size], self.unread[size:]
            yield piece

    def end(self) -> None:
        """Nothing more is answered; what the client still says must not make the kernel drop what was."""
        if isinstance(self.conn.sock, ssl.SSLSocket):
            self.conn.close_notify()
        else:
            try:
                self.conn.shutdown(socket.SHUT_WR)
            except OSError:  # the client is gone
                return
            self.conn.read_to_end()

    def may_receive(self) -> bool:
        """Is there input? Waits a moment."""
        sock = self.conn.sock
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        return bool(select.select([sock], [], [], 0.002)[0])

    def take(self, event: Any, ready: list[int]) -> None:
        if isinstance(event, h2.events.RequestReceived):
            head = self.heads[event.stream_id] = {}
            for name, value in event.headers:
                head[str(name)] = f"{head[name]}; {value}" if name in head else str(value)
            self.bodies[event.stream_id] = bytearray()
            if self.server.refuses and len(self.heads) > self.server.max_streams:  # it did not know the limit yet
                self.server.too_many += 1
                self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
                self.forget(event.stream_id)
                return
            self.server.asked.append((self.number, event.stream_id, head[":path"], head.get("x-id", "-")))
            self.server.most = max(self.server.most, len(self.heads))
            if head[":path"] == "/refuse":
                self.refuse(event.stream_id)
            elif head[":method"] == "CONNECT":
                self.sides[event.stream_id] = Side(head[":path"])
                self.h2.send_headers(event.stream_id, [(":status", "200")])
        elif isinstance(event, h2.events.DataReceived):
            # Not by `acknowledge_received_data`, which opens no window that became negative by our settings.
            size = max(1, event.flow_controlled_length)
            self.h2.increment_flow_control_window(size)
            if event.stream_id in self.heads:
                if event.stream_id in self.sides:
                    self.sides[event.stream_id].receive(event.data)
                else:
                    self.bodies[event.stream_id] += event.data
                if event.stream_ended is None:
                    self.h2.increment_flow_control_window(size, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            if event.stream_id in self.sides:
                self.sides[event.stream_id].end = "shut"
            elif event.stream_id in self.heads:
                ready.append(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.server.resets.append((event.stream_id, int(event.error_code)))
            self.forget(event.stream_id)

    def forget(self, stream: int) -> None:
        for known in (self.heads, self.bodies, self.sending):
            known.pop(stream, None)  # type: ignore[attr-defined]
        if stream in self.held:
            self.held.remove(stream)
        side = self.sides.pop(stream, None)
        self.server.faults += side.faults if side else ()

    def refuse(self, stream: int) -> None:
        self.forget(stream)
        self.h2.send_headers(stream, [(":status", "413")], end_stream=True)
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)

    def answer(self, stream: int) -> None:
        head, body = self.heads[stream], bytes(self.bodies[stream])
        _, name, *more = head[":path"].partition("?")[0].split("/")
        status, fields, content = "200", [("content-type", "text/plain")], head.get("x-id", "-").encode() + body
        trailers: Optional[list[tuple[str, str]]] = None
        if name == "silent":
            return
        if name == "stall":
            self.h2.send_headers(stream, [(":status", "200"), ("content-length", "10")])
            self.h2.send_data(stream, b"hello")
            return
        if name == "held" and not self.server._go.is_set():
            self.held.append(stream)
            return
        if name == "digest":
            content = b"%d %s" % (len(body), hashlib.sha256(body).hexdigest().encode())
        elif name == "bytes":
            content = bytes(range(256)) * (int(more[0]) // 256 + 1)
            content = content[: int(more[0])]
        elif name == "status":
            status, content = more[0], b""
        elif name == "moved":
            status, content = "302", b"over"
            fields += [("location", "/id"), ("set-cookie", f"n={more[0]}; Path=/")]
        elif name == "cookies":
            content = head.get("cookie", "").encode()
        elif name == "gzip":
            content = gzip.compress(content)
            fields.append(("content-encoding", "gzip"))
        elif name == "trailers":
            trailers = [("x-sum", hashlib.sha256(content).hexdigest())]
        elif name == "hints":
            self.h2.send_headers(stream, [(":status", "103"), ("link", "</style.css>")])
        if trailers is None and status == "200":
            fields.append(("content-length", str(len(content))))
        if head[":method"] == "HEAD":
            content = b""
        self.h2.send_headers(stream, [(":status", status), *fields], end_stream=not content)
        if content:
            self.sending[stream] = memoryview(content), trailers
        else:
            self.forget(stream)
        if name == "close":
            self.send_bodies()
            self.h2.close_connection()
            self.closing = True

    def send_bodies(self) -> None:
        """What the windows allow, in pieces of all streams by turns."""
        moved = True
        while moved and self.sending:
            moved = False
            for stream in list(self.sending):
                rest, trailers = self.sending[stream]
                size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(rest))
                if size <= 0:
                    continue
                moved = True
                ends = size == len(rest)
                self.h2.send_data(stream, bytes(rest[:size]), end_stream=ends and trailers is None)
                if not ends:
                    self.sending[stream] = rest[size:], trailers
                    continue
                if trailers is not None:
                    self.h2.send_headers(stream, trailers, end_stream=True)
                self.forget(stream)

    def send_sides(self) -> None:
        """What the windows allow of WebSockets; end what has come to its end."""
        for stream, side in list(self.sides.items()):
            while (
                size := min(
                    self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(side.output)
                )
            ) > 0:
                self.h2.send_data(stream, side.take(size))
            if side.end is None or side.output:
                continue
            self.forget(stream)
            if side.kind == "ruin":
                self.conn.sendall(self.h2.data_to_send())
                self.conn.reset() if side.end == "reset" else self.conn.close()
                raise ConnectionError("the connection was ruined on purpose")
            if side.end == "shut":
                self.h2.end_stream(stream)
            else:
                self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)


def prior(url: str, **options: Any) -> dict[str, Any]:
    """Options for a client that speaks HTTP/2 with that server, over TLS by agreement, else by prior knowledge."""
    from .leaks import trusting_context

    given = {"base_url": url, "http2": True, "http1": url.startswith("https"), "trust_env": False}
    return {**given, "verify": trusting_context(), **options}


def numbered(count: int) -> Iterable[str]:
    """Ids of requests, each unlike all others."""
    return [f"request-{number}" for number in range(count)]
