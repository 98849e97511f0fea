"""
HTTP/2 for a client: one connection and its streams as a pure machine (RFC 9113).

    open(...)       -> HTTP2Stream     one request begins; its header block is in the output at once, in one step with
                                       its encoding, so that nothing can come between the two
    take()          -> bytes           what to send now, of all streams; again until `has_output` is False
    receive(data)                      what arrived; `progressed` then has the streams for which something changed
    capacity        -> int             how many more streams may begin now
    error                              why the connection is lost; each of its streams has the same

The peer is not trusted: frames of the wrong size, order, stream or state end the connection or the stream as the RFC
says, and frames that bring nothing (PING, SETTINGS, empty DATA, resets, unknown ones) are counted, so that a flood ends
it, too.

Windows: a stream may send `STREAM_WINDOW` bytes ahead of its reader, which bounds what waits in memory; the
connection's own window is given back on receipt, so that a slow reader does not stop the others.

Not here: one stream's rules (`stream2`), time and sockets (`_engine`).
"""

from __future__ import annotations

import re

from .._exceptions import LocalProtocolError, RemoteProtocolError
from . import frames, hpack
from .exchange import DEFAULT_HEAD_LIMITS, INPUT, Fields, HeadLimits
from .http1 import WrittenFields
from .stream2 import SEND_END, SEND_HEADERS, HTTP2Stream

STREAM_WINDOW = 2_097_152
CONNECTION_WINDOW = 16_777_216
# Frames without progress that are put up with in a row, done in 30 ms. More than an honest server sends: a PING every
# ten seconds, while a stream is silent, for a day.
MAX_IDLE_FRAMES = 10_000
# Bytes of bodies that wait in the output. The rest stays in the streams, where an early answer can drop it and where
# they take turns; also the largest frame, whatever the peer allows.
MAX_QUEUED = 262_144
# What the peer's limit is taken for before it has said it (RFC 9113 6.5.2 recommends at least 100).
ASSUMED_STREAMS = 100
_LAST_STREAM = 2**31 - 1

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_TARGET = re.compile(rb"[^\x21-\x7e]")
# Fields of the connection and not of the message: HTTP/2 has no place for them (RFC 9113 8.2.2).
_OF_HTTP1 = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"host"))


class HTTP2Fields:
    """A request's fields as HTTP/2 has them, through the same gate as those of HTTP/1.1; remembered for the next."""

    __slots__ = ("authority", "fields", "source", "written")

    def __init__(self, source: Fields) -> None:
        self.written = WrittenFields(source)
        self.source = self.written.fields
        self.authority = b""
        self.fields: Fields = []
        for name, value in source:
            lower = name.lower()
            if lower == b"host":
                self.authority = value.strip(b" \t")
            elif lower not in _OF_HTTP1 and (lower != b"te" or value.strip(b" \t") == b"trailers"):
                self.fields.append((lower, value.strip(b" \t")))


class HTTP2Connection:
    """
    The client's side of one connection; its preface is in the output at once.

    Args:
        limits: of each answer's head and trailers.
    """

    def __init__(self, limits: HeadLimits = DEFAULT_HEAD_LIMITS) -> None:
        self.limits = limits
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder(max_list_size=limits.max_bytes)
        self._last_fields: HTTP2Fields | None = None
        self.streams: dict[int, HTTP2Stream] = {}
        self._blocked: dict[HTTP2Stream, None] = {}  # streams with a body that waits for a window
        self._next_id = 1
        self._buffer = b""
        # Stream, flags, fragments of an unfinished header block.
        self._block: tuple[int, int, list[bytes]] | None = None
        self._block_size = 0
        self._idle_frames = 0
        self._answers = 0  # to PING and SETTINGS, since the output was last taken
        self._queued = 0  # bytes of bodies in the output
        self._received = 0  # bytes of DATA since the connection's window was last given back
        self._settled = False  # has the peer sent its SETTINGS?
        self._max_streams = ASSUMED_STREAMS
        self.going_away = False
        self.stream_window = STREAM_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        self.window = frames.DEFAULT_WINDOW  # what the peer lets us send
        self.max_frame_size = frames.DEFAULT_FRAME_SIZE
        self.progressed: list[HTTP2Stream] = []
        self.pongs = 0
        self.error: Exception | None = None
        self._out = [
            frames.PREFACE,
            frames.settings(
                {
                    frames.ENABLE_PUSH: 0,
                    frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                    frames.MAX_HEADER_LIST_SIZE: limits.max_bytes,
                }
            ),
            frames.window_update(0, CONNECTION_WINDOW - frames.DEFAULT_WINDOW),
        ]

    # What the shells call.

    @property
    def max_streams(self) -> int:
        """How many streams the peer takes at once; 0 also when it takes no more for another reason."""
        return 0 if self.going_away or self.error is not None or self._next_id > _LAST_STREAM else self._max_streams

    @property
    def capacity(self) -> int:
        """How many more streams may begin now."""
        return max(0, self.max_streams - len(self.streams))

    @property
    def room(self) -> int:
        """The most that a DATA frame may hold now, for the connection's part."""
        return min(self.window, self.max_frame_size) if self._queued < MAX_QUEUED else 0

    @property
    def has_output(self) -> bool:
        """Is there anything to send?"""
        return bool(self._out)

    def open(
        self,
        scheme: bytes,
        method: bytes,
        target: bytes,
        fields: Fields,
        body: bytes = b"",
        streaming: bool = False,
    ) -> HTTP2Stream:
        """
        Begin a request; arguments as those of `HTTP1Exchange`, and the URL's scheme.

        Raises:
            LocalProtocolError: the request is not legal HTTP, or `capacity` is 0; nothing of it is in the output.
        """
        known = self._last_fields
        if known is None or known.source != fields:
            known = self._last_fields = HTTP2Fields(fields)
        if _TOKEN.fullmatch(method) is None or method == b"CONNECT":
            raise LocalProtocolError(f"method {method[:20]!r} is no token, or means nothing on a shared connection")
        if not target or _NOT_TARGET.search(target) is not None:
            raise LocalProtocolError(f"request target {target[:20]!r} has a character that is not visible ASCII")
        if not self.capacity:
            raise LocalProtocolError("the connection takes no more streams now")
        written = known.written
        length = written.length
        if length is None and not streaming and body and not written.chunked:
            raise LocalProtocolError("a request with a body needs Content-Length or Transfer-Encoding: chunked")
        if length is not None and (length < len(body) or (length > len(body) and not streaming)):
            raise LocalProtocolError(f"the request's body has {len(body)} bytes, and its Content-Length says {length}")
        stream = HTTP2Stream(self, self._next_id, method == b"HEAD", length)
        self._next_id += 2
        pseudo = [(b":method", method), (b":scheme", scheme), (b":authority", known.authority), (b":path", target)]
        ends = not body and not streaming
        block = self._encoder.encode(pseudo + known.fields)
        self._out.append(frames.header_block(stream.identifier, block, ends, self.max_frame_size))
        self.streams[stream.identifier] = stream
        self._progress()
        stream.move(SEND_HEADERS)
        if ends:
            stream.move(SEND_END)
            stream.need = INPUT
        else:
            self._begin_upload(stream, body, streaming, written.expects_continue)
        return stream

    @staticmethod
    def _begin_upload(stream: HTTP2Stream, body: bytes, streaming: bool, expects_continue: bool) -> None:
        stream.queue(body)
        if not streaming:
            stream.queue(None)
        if expects_continue:
            stream.hold()
        else:
            stream.flush()

    def take(self) -> bytes:
        """
        Remove and return what should be sent now.

        Bodies that waited for room in the output follow at once: `has_output` says so, and `progressed` whose they are.
        """
        out, self._out = self._out, []
        was_full = self._queued >= MAX_QUEUED
        self._queued = self._answers = 0
        if was_full:
            self._flush_blocked()
        return out[0] if len(out) == 1 else b"".join(out)

    def ping(self) -> None:
        """Ask the peer for a sign of life; `pongs` counts its answers."""
        self._out.append(frames.frame(frames.PING, 0, 0, b"\0" * 8))

    def close(self) -> bytes:
        """What to send before the connection is closed."""
        if self.error is None:
            self._out.append(frames.goaway(0, frames.NO_ERROR))
        return self.take() if self._out else b""

    # What the streams call.

    def write(self, frame: bytes) -> None:
        """Queue a frame."""
        self._out.append(frame)

    def write_data(self, identifier: int, data: bytes, ends: bool) -> None:
        """Queue a DATA frame."""
        self.window -= len(data)
        self._queued += len(data)
        # What goes out comes back as WINDOW_UPDATE, for the stream and for the connection, per frame or per KiB: such
        # updates are not idle, also when nothing waits for them.
        self._idle_frames -= 2 + len(data) // 1024
        self._out.append(frames.frame(frames.DATA, frames.END_STREAM if ends else 0, identifier, data))

    def mark_blocked(self, stream: HTTP2Stream, blocked: bool) -> None:
        """Note whether a stream waits for a window; who had a turn waits behind the others."""
        self._blocked.pop(stream, None)
        if blocked:
            self._blocked[stream] = None

    def forget(self, stream: HTTP2Stream) -> None:
        """A stream is closed."""
        self.streams.pop(stream.identifier, None)
        self.progressed.append(stream)

    # Receiving.

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived, in any split; b"" is the end of the peer's side. Never raises: see `error`."""
        if self.error is not None:
            return
        if not data:
            self._lose("the peer closed the connection")
            return
        too_large = ""
        try:
            arrived, self._buffer = frames.split(
                self._buffer + data if self._buffer else data, frames.DEFAULT_FRAME_SIZE
            )
        except frames.FrameTooLarge as exc:
            arrived, too_large = exc.whole, str(exc)
        for kind, flags, identifier, payload in arrived:
            if self._block is not None and (kind != frames.CONTINUATION or identifier != self._block[0]):
                self._fail("a header block was interrupted by another frame")
            elif not self._settled and kind != frames.SETTINGS:
                self._fail("the peer's first frame is not SETTINGS: it does not speak HTTP/2")
            elif kind <= frames.CONTINUATION:
                _RECEIVERS[kind](self, flags, identifier, payload)
            else:
                self._idle()
            if self.error is not None:
                return
        if too_large:
            self._fail(too_large, frames.FRAME_SIZE_ERROR)
        elif self._received >= CONNECTION_WINDOW // 4:
            self._out.append(frames.window_update(0, self._received))
            self._received = 0

    def _idle(self, count: int = 1) -> None:
        """A frame that brought nothing, or one that is as much work as `count` of them."""
        self._idle_frames += count
        if self._idle_frames > MAX_IDLE_FRAMES:
            self._fail("the peer floods the connection with frames that bring nothing", frames.ENHANCE_YOUR_CALM)

    def _progress(self) -> None:
        """Something came, or was asked for: what was idle before is forgotten."""
        if self._idle_frames > 0:
            self._idle_frames = 0

    def _answer(self, frame: bytes) -> None:
        """Queue what the peer made us say; it must not fill the output of a connection whose peer does not read."""
        self._answers += 1
        if self._answers > MAX_IDLE_FRAMES:
            self._fail("the peer asks for answers and does not read them", frames.ENHANCE_YOUR_CALM)
        elif self.error is None:
            self._out.append(frame)

    def _stream_for(self, identifier: int, what: str) -> HTTP2Stream | None:
        """The stream that a frame is for; None if it is closed already, or the frame is an error."""
        stream = self.streams.get(identifier)
        if stream is None and (identifier == 0 or not identifier & 1 or identifier >= self._next_id):
            self._fail(f"{what} on stream {identifier}, which was never opened")
        return stream

    def _receive_data(self, flags: int, identifier: int, payload: bytes) -> None:
        stream = self._stream_for(identifier, "DATA")
        data = frames.unpadded(flags, payload)
        if self.error is not None:
            return
        if data is None:
            self._fail("the padding is larger than its frame")
            return
        self._received += len(payload)
        ends = bool(flags & frames.END_STREAM)
        if stream is None:
            self._idle()  # it was reset: what was under way is only counted
            return
        if not data and not ends:
            self._idle()
        else:
            self._progress()
        stream.ahead += len(payload)
        if stream.ahead > self.stream_window:
            stream.fail("more data than the window allows", frames.FLOW_CONTROL_ERROR)
        else:
            if len(payload) > len(data):
                stream.took(len(payload) - len(data))  # padding is used up at once
            stream.receive_data(data)
        if ends and stream.error is None:
            stream.receive_end()
        self.progressed.append(stream)

    def _receive_headers(self, flags: int, identifier: int, payload: bytes) -> None:
        fragment = frames.unpadded(flags, payload)
        if fragment is not None and flags & frames.PRIORITY_FLAG:
            fragment = fragment[5:] if len(fragment) >= 5 else None
        if fragment is None:
            self._fail("the padding or priority of a header block is larger than its frame")
            return
        if identifier == 0 or not identifier & 1 or identifier >= self._next_id:
            self._fail(f"HEADERS on stream {identifier}, which was never opened")
            return
        self._block = (identifier, flags, [])
        self._block_size = 0
        self._add_fragment(fragment, flags)

    def _receive_continuation(self, flags: int, identifier: int, payload: bytes) -> None:
        if self._block is None:
            self._fail("CONTINUATION without a header block")
            return
        if not payload:
            self._idle()
        if self.error is None:
            self._add_fragment(payload, flags)

    def _add_fragment(self, fragment: bytes, flags: int) -> None:
        assert self._block is not None
        identifier, first_flags, fragments = self._block
        self._block_size += len(fragment)
        if self._block_size > self.limits.max_bytes:
            self._fail(f"a header block is longer than {self.limits.max_bytes} bytes", frames.ENHANCE_YOUR_CALM)
            return
        fragments.append(fragment)
        if not flags & frames.END_HEADERS:
            return
        self._block = None
        try:
            # Also a block for a stream that is closed must be decoded: the table changes with it.
            fields = self._decoder.decode(b"".join(fragments))
        except hpack.HPACKError as exc:
            self._fail(f"a header block cannot be decoded: {exc}", frames.COMPRESSION_ERROR)
            return
        stream = self.streams.get(identifier)
        if stream is None:
            self._idle()
            return
        stream.budget -= self._decoder.list_size
        if len(fields) > self.limits.max_fields + 1:
            stream.fail(f"the answer has more than {self.limits.max_fields} header fields", frames.ENHANCE_YOUR_CALM)
        elif stream.budget < 0:
            stream.fail(f"the answer's heads have more than {self.limits.max_bytes} bytes", frames.ENHANCE_YOUR_CALM)
        else:
            stream.receive_headers(fields, bool(first_flags & frames.END_STREAM))
            if stream.only_informational:
                self._idle()
            else:
                self._progress()
        self.progressed.append(stream)

    def _receive_priority(self, flags: int, identifier: int, payload: bytes) -> None:
        if not identifier:
            self._fail("PRIORITY on no stream")
        elif self._check_size(payload, 5):
            self._idle()

    def _receive_reset(self, flags: int, identifier: int, payload: bytes) -> None:
        if not self._check_size(payload, 4):
            return
        stream = self._stream_for(identifier, "RST_STREAM")
        if stream is None:
            self._idle()
        else:
            stream.receive_reset(frames.number(payload))

    def _receive_settings(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier:
            self._fail("SETTINGS on a stream")
            return
        if flags & frames.ACK:
            if not self._settled:
                self._fail("the peer acknowledged SETTINGS before it sent its own")
            elif self._check_size(payload, 0):
                self._idle()
            return
        if len(payload) % 6:
            self._fail("SETTINGS of a size that is no multiple of six", frames.FRAME_SIZE_ERROR)
            return
        if self._settled:
            self._idle(1 + len(payload) // 60)
        self._settled = True
        before = self.initial_window
        for setting, value in frames.parsed_settings(payload):
            if self.error is None:
                self._apply(setting, value)
        # First the acknowledgement and then what the new values let out: there are peers (h2) for which they are not
        # in force before it.
        self._answer(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if self.error is not None:
            return
        if before != self.initial_window:
            self._change_windows(self.initial_window - before)
        self.progressed.extend(self.streams.values())

    def _apply(self, setting: int, value: int) -> None:
        if setting == frames.HEADER_TABLE_SIZE:
            self._encoder.set_max_size(value)
        elif setting == frames.ENABLE_PUSH:
            if value:
                self._fail("a server cannot enable push")
        elif setting == frames.MAX_CONCURRENT_STREAMS:
            self._max_streams = value
        elif setting == frames.INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW:
                self._fail(f"INITIAL_WINDOW_SIZE {value} is out of its range", frames.FLOW_CONTROL_ERROR)
            self.initial_window = value
        elif setting == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_SIZE <= value <= frames.LARGEST_FRAME_SIZE:
                self._fail(f"MAX_FRAME_SIZE {value} is out of its range")
            self.max_frame_size = min(value, MAX_QUEUED)

    def _change_windows(self, difference: int) -> None:
        """A new initial window changes that of every live stream, maybe to less than nothing (RFC 9113 6.9.2)."""
        for stream in list(self.streams.values()):
            stream.window += difference
            if stream.window > frames.MAX_WINDOW:
                self._fail("a window became too large", frames.FLOW_CONTROL_ERROR)
                return
        self._flush_blocked()

    def _receive_push(self, flags: int, identifier: int, payload: bytes) -> None:
        self._fail("PUSH_PROMISE, which was not enabled")

    def _receive_ping(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier:
            self._fail("PING on a stream")
        elif self._check_size(payload, 8):
            self._idle()
            if flags & frames.ACK:
                self.pongs += 1
            else:
                self._answer(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _receive_goaway(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier or len(payload) < 8:
            self._fail(
                "GOAWAY on a stream, or too short", frames.PROTOCOL_ERROR if identifier else frames.FRAME_SIZE_ERROR
            )
            return
        last, code = frames.number(payload) & frames.MAX_WINDOW, frames.number(payload[4:])
        self.going_away = True
        self._idle()
        for stream in [stream for number, stream in self.streams.items() if number > last]:
            # The peer has not processed these and will not (RFC 9113 6.8).
            stream.lose(RemoteProtocolError(f"the peer goes away: {frames.error_name(code)}"), processed=False)
            self.mark_blocked(stream, False)
            self.forget(stream)

    def _receive_window_update(self, flags: int, identifier: int, payload: bytes) -> None:
        if not self._check_size(payload, 4):
            return
        increment = frames.number(payload) & frames.MAX_WINDOW
        code = frames.FLOW_CONTROL_ERROR if increment else frames.PROTOCOL_ERROR
        if identifier == 0:
            self.window += increment
            if not increment or self.window > frames.MAX_WINDOW:
                self._fail("the connection's window was changed by nothing, or too much", code)
            elif not self._flush_blocked():
                self._idle()
            return
        stream = self._stream_for(identifier, "WINDOW_UPDATE")
        if stream is not None:
            stream.window += increment
            if not increment or stream.window > frames.MAX_WINDOW:
                stream.fail("the window was changed by nothing, or too much", code)
            elif stream in self._blocked and stream.window > 0 and self.room > 0:
                stream.flush()
                self.progressed.append(stream)
                return
        self._idle()

    def _flush_blocked(self) -> bool:
        """Send what waits for a window, a frame of each stream in turn; True if anything moved."""
        moved: list[HTTP2Stream] = []
        waiting = list(self._blocked)
        while waiting and self.room > 0:
            more = []
            for stream in waiting:
                if self.room <= 0:
                    break  # and not on: who is asked goes to the end of the line, and the rest had nothing yet
                before = stream.window
                stream.flush(max_frames=1)
                if stream.window != before:
                    moved.append(stream)
                    more.append(stream)
            waiting = [stream for stream in more if stream in self._blocked]
        self.progressed.extend(dict.fromkeys(moved))
        return bool(moved)

    def _check_size(self, payload: bytes, size: int) -> bool:
        if len(payload) != size:
            self._fail(f"a frame has {len(payload)} bytes and should have {size}", frames.FRAME_SIZE_ERROR)
            return False
        return True

    # Errors.

    def _fail(self, message: str, code: int = frames.PROTOCOL_ERROR) -> None:
        """The peer broke the rules of the connection: say so, and lose it."""
        if self.error is None:
            self._out.append(frames.goaway(0, code, message.encode("ascii", "replace")[:100]))
            self._lose(message)

    def _lose(self, message: str) -> None:
        self.error = RemoteProtocolError(message)
        for stream in list(self.streams.values()):
            stream.lose(RemoteProtocolError(message), processed=True)
            self.progressed.append(stream)
        self.streams.clear()
        self._blocked.clear()


_RECEIVERS = {
    frames.DATA: HTTP2Connection._receive_data,
    frames.HEADERS: HTTP2Connection._receive_headers,
    frames.PRIORITY: HTTP2Connection._receive_priority,
    frames.RST_STREAM: HTTP2Connection._receive_reset,
    frames.SETTINGS: HTTP2Connection._receive_settings,
    frames.PUSH_PROMISE: HTTP2Connection._receive_push,
    frames.PING: HTTP2Connection._receive_ping,
    frames.GOAWAY: HTTP2Connection._receive_goaway,
    frames.WINDOW_UPDATE: HTTP2Connection._receive_window_update,
    frames.CONTINUATION: HTTP2Connection._receive_continuation,
}
