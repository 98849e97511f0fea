"""
HTTP/2 for a client: one connection and its streams as a pure machine (RFC 9113).

    open(...)       -> HTTP2Stream     one request begins; its header block is in the output at once, in one step with
                                       its encoding, so that nothing can come between the two
    take()          -> bytes           what to send now, of all streams; again until `output` is empty
    receive(data)                      what arrived; `progressed` then has the streams for which something changed
    capacity        -> int             how many more streams may begin now
    error                              why the connection is lost; each of its streams has the same

The peer is not trusted: frames of the wrong size, order, stream or state end the connection or the stream as the RFC
says, and frames that bring nothing (PING, SETTINGS, empty DATA, resets, unknown ones) are counted, so that a flood ends
it, too.

Windows: a stream may send `STREAM_WINDOW` bytes ahead of its reader, which bounds what waits in memory, and more if the
reader keeps up; the connection's own window is given back on receipt, so that a slow reader does not stop the others.

Not here: one stream's rules (`stream2`), time and sockets (`_engine`).
"""

from __future__ import annotations

from .._exceptions import LocalProtocolError, RemoteProtocolError
from . import frames, hpack
from .exchange import DEFAULT_HEAD_LIMITS, Fields, HeadLimits
from .frames import (
    CONTINUATION,
    DATA,
    DEFAULT_FRAME_SIZE,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEAD_SIZE,
    HEADERS,
    MAX_WINDOW,
    PADDED,
    PRIORITY_FLAG,
)
from .http1 import WrittenFields
from .request_block import (
    _TOKEN,
    MAX_REMEMBERED_TARGET,
    MAX_TARGETS,
    HTTP2Fields,
    _check_body,
    _check_request_line,
)
from .stream2 import IDLE, MOVES, RECEIVING, SEND_END, SEND_HEADERS, HTTP2Stream, ReceivedHead

STREAM_WINDOW = 2_097_152
# A stream whose reader keeps up gets more, step by step, as long as all of them together have not got more than that.
MAX_STREAM_WINDOW = 8_388_608
MAX_LENT = 33_554_432
CONNECTION_WINDOW = 16_777_216
# Frames without progress that are put up with in a row, done in 30 ms. More than an honest server sends: a PING every
# ten seconds, while a stream is silent, for a day.
MAX_IDLE_FRAMES = 10_000
# Bytes of bodies that wait in the output. The rest stays in the streams, where an early answer can drop it and where
# they take turns; also the largest frame, whatever the peer allows.
MAX_QUEUED = 262_144
# Bytes of a DATA frame from which on it is worth to join it with others.
JOINED = 2048
# What the peer's limit is taken for before it has said it (RFC 9113 6.5.2 recommends at least 100).
ASSUMED_STREAMS = 100
_LAST_STREAM = 2**31 - 1
_NO_VIEW = memoryview(b"")
_ASKED = MOVES[MOVES[IDLE, SEND_HEADERS], SEND_END]  # the state after a request without a body


class HTTP2Connection:
    """
    The client's side of one connection; its preface is in the output at once.

    Args:
        limits: of each answer's head and trailers.

    Attributes:
        streams: those that are not over, by their numbers.
        progressed: streams for which something changed; the shell empties the list.
        max_streams: how many streams the peer takes at once; 0 also when it takes no more for another reason.
        output: frames that wait for `take`.
        going_away: the peer takes no more streams.
        code: the error code with which it said so, or None.
        pings, pongs: how many `ping` has sent, and how many of those were answered.
        allows_protocols: the peer takes CONNECT with a `protocol` (RFC 8441).
        window: bytes of bodies that the peer lets us send, on all streams together.
        initial_window, max_frame_size: the peer's settings.
        settings: all that it has sent of those that have a name, as it sent them: name -> value.
        settings_frames: how many frames they came in.
        stream_window: bytes that the peer may send on a new stream ahead of its reader.
        error: why the connection is lost, or None.
    """

    def __init__(self, limits: HeadLimits = DEFAULT_HEAD_LIMITS) -> None:
        self.limits = limits
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder(max_list_size=limits.max_bytes)
        self._last_fields: HTTP2Fields | None = None
        # Pseudo-fields of the last request but its path -> state of the encoder's table, how they are encoded in it.
        self._starts: dict[tuple[tuple[bytes, bytes], ...], tuple[int, bytes]] = {}
        self._paths: dict[bytes, bytes] = {}  # targets of the last requests, checked -> as they stand in a block
        self.streams: dict[int, HTTP2Stream] = {}
        self._blocked: dict[HTTP2Stream, None] = {}  # streams with a body that waits for the connection's
        self._next_id = 1
        self._buffer = b""  # the beginning of a frame
        # Of a DATA frame whose end has not arrived: the bytes that are missing, whether it ends its stream, and whose
        # it is; None if nobody wants it any more.
        self._missing = 0
        self._data_ends = False
        self._data_stream: HTTP2Stream | None = None
        # Pieces of a body that arrived in a row, and whose they are; empty outside of `receive`.
        self._joining: HTTP2Stream | None = None
        self._pieces: list[memoryview] = []
        self._view = _NO_VIEW
        # The only kind of frame that may come now: SETTINGS at first, CONTINUATION within a header block.
        self._only: int | None = frames.SETTINGS
        # Stream, flags, fragments of an unfinished header block.
        self._block: tuple[int, int, list[bytes]] | None = None
        self._block_size = 0
        self._idle_frames = 0
        self._answers = 0  # to PING and SETTINGS, since the output was last taken
        self._queued = 0  # bytes of bodies in the output
        self._received = 0  # bytes of DATA since the connection's window was last given back
        self._lent = 0  # bytes by which the windows of all streams have grown
        self.max_streams = ASSUMED_STREAMS
        self.going_away = False
        self.code: int | None = None
        self.allows_protocols = False
        self.settings: dict[str, int] = {}
        self.settings_frames = 0
        self.stream_window = STREAM_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        self.window = frames.DEFAULT_WINDOW
        self.max_frame_size = DEFAULT_FRAME_SIZE
        self.progressed: list[HTTP2Stream] = []
        self.pings = self.pongs = 0
        self.error: Exception | None = None
        self.output: list[bytes | memoryview] = [
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
    def capacity(self) -> int:
        """How many more streams may begin now."""
        return max(0, self.max_streams - len(self.streams))

    @property
    def room(self) -> int:
        """The most that a DATA frame may hold now, for the connection's part."""
        return min(self.window, self.max_frame_size) if self._queued < MAX_QUEUED else 0

    def open(
        self,
        scheme: bytes,
        method: bytes,
        target: bytes,
        fields: Fields,
        body: bytes = b"",
        streaming: bool = False,
        *,
        protocol: bytes = b"",
    ) -> HTTP2Stream:
        """
        Begin a request; arguments as those of `HTTP1Exchange`, and the URL's scheme.

        A CONNECT opens a tunnel: `target` is the authority that it leads to, and what `feed` is given and `chunks`
        hold are its bytes. With a `protocol` (`b"websocket"`) it has a target like any other request (RFC 8441).

        Raises:
            LocalProtocolError: the request is not legal HTTP, or `capacity` is 0; nothing of it is in the output.
        """
        known = self._last_fields
        if known is None or known.source != fields:
            known = self._last_fields = HTTP2Fields(fields)
        written = known.written
        around, path = known.blocks.get((scheme, method)), self._paths.get(target)
        if around is None or path is None:  # else both were sent before, and checked before: 0.7 us of 2.5
            _check_request_line(method, target)
        is_connect = protocol != b"" or method == b"CONNECT"
        if is_connect:
            self._check_connect(method, written, streaming, protocol)
        elif body or streaming or written.length:
            _check_body(written, body, streaming)
        identifier = self._next_id
        if len(self.streams) >= self.max_streams:
            raise LocalProtocolError("the connection takes no more streams now")
        self._next_id = identifier + 2
        if self._next_id > _LAST_STREAM:
            self.max_streams = 0
        if around is not None and path is not None and around[0] == self._encoder.version:
            block = around[1] + path + around[2]
        elif is_connect:
            block = self._encode_connect(known, scheme, target, protocol)
        else:
            block = self._encode(known, scheme, method, target)
        ends = not body and not streaming
        size = len(block)
        if ends and size <= self.max_frame_size:
            # What `header_block` gives for nearly every request.
            self.output += (HEAD.pack(size >> 8, size & 0xFF, HEADERS, END_HEADERS | END_STREAM, identifier), block)
        else:
            self.output.append(frames.header_block(identifier, block, ends, self.max_frame_size))
        stream = self.streams[identifier] = HTTP2Stream(self, identifier, method == b"HEAD", written.length)
        if self._idle_frames > 0:
            self._idle_frames = 0
        if ends:
            stream.state = _ASKED
        else:
            stream.is_tunnel = is_connect
            self._begin_upload(stream, body, streaming, written.expects_continue)
        return stream

    def _check_connect(self, method: bytes, written: WrittenFields, streaming: bool, protocol: bytes) -> None:
        if protocol and not self.allows_protocols:
            raise LocalProtocolError(f"the peer does not take the protocol {protocol[:20]!r}")
        if method != b"CONNECT" or _TOKEN.fullmatch(protocol or b"none") is None:
            raise LocalProtocolError(f"protocol {protocol[:20]!r} is no token, or the method is not CONNECT")
        if not streaming or written.length is not None or written.chunked:
            raise LocalProtocolError("a CONNECT has bytes that come and go, and no body of a length")

    def _encode(self, known: HTTP2Fields, scheme: bytes, method: bytes, target: bytes) -> bytes:
        """The header block of a request; what stands around its path is remembered while the table is the same."""
        encoder = self._encoder
        around = known.blocks.get((scheme, method))
        if around is None or around[0] != encoder.version:
            version = encoder.version
            start = (b":method", method), (b":scheme", scheme), (b":authority", known.authority)
            before = self._starts.get(start)
            if before is None or before[0] != version:
                before = (version, encoder.encode([*start]))
                if encoder.version == version:
                    self._starts = {start: before}  # one is enough: it is for those who send other fields each time
            around = (version, before[1], encoder.encode(known.fields))
            if encoder.version == version:
                known.blocks[scheme, method] = around
        path = self._paths.get(target)
        if path is None:
            path = hpack.path_field(target)
            if len(self._paths) >= MAX_TARGETS:
                self._paths.clear()
            if len(target) <= MAX_REMEMBERED_TARGET:
                self._paths[target] = path
        return around[1] + path + around[2]

    def _encode_connect(self, known: HTTP2Fields, scheme: bytes, target: bytes, protocol: bytes) -> bytes:
        """The header block of a CONNECT (RFC 9113 8.5, RFC 8441 4)."""
        if protocol:
            pseudo = [
                (b":method", b"CONNECT"),
                (b":protocol", protocol),
                (b":scheme", scheme),
                (b":authority", known.authority),
                (b":path", target),
            ]
        else:
            pseudo = [(b":method", b"CONNECT"), (b":authority", target)]
        return self._encoder.encode(pseudo + known.fields)

    @staticmethod
    def _begin_upload(stream: HTTP2Stream, body: bytes, streaming: bool, expects_continue: bool) -> None:
        stream.move(SEND_HEADERS)
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

        Bodies that waited for room in the output follow at once: `output` says so, and `progressed` whose they are.
        """
        out, self.output = self.output, []
        was_full = self._queued >= MAX_QUEUED
        self._queued = self._answers = 0
        if was_full:
            self._flush_blocked()
        return b"".join(out)

    def ping(self) -> None:
        """
        Ask the peer for a sign of life.

        `pings` and `pongs` count: while they differ an answer is missing. How long to wait for it, the shell says.
        """
        self.pings += 1
        self.output.append(frames.frame(frames.PING, 0, 0, bytes(8)))

    def close(self) -> bytes:
        """What to send before the connection is closed."""
        if self.error is None:
            self.output.append(frames.goaway(0, frames.NO_ERROR))
        return self.take() if self.output else b""

    # What the streams call.

    def write(self, frame: bytes) -> None:
        """Queue a frame."""
        self.output.append(frame)

    def write_data(self, identifier: int, data: bytes | memoryview, ends: bool) -> None:
        """Queue a DATA frame."""
        size = len(data)
        self.window -= size
        self._queued += size
        # What goes out comes back as WINDOW_UPDATE, for the stream and for the connection, per frame or per KiB: such
        # updates are not idle, also when nothing waits for them.
        self._idle_frames -= 2 + size // 1024
        self.output += (HEAD.pack(size >> 8, size & 0xFF, DATA, END_STREAM if ends else 0, identifier), data)

    def mark_blocked(self, stream: HTTP2Stream, blocked: bool) -> None:
        """Note whether a stream waits for the connection's window or room; who had a turn waits behind the others."""
        self._blocked.pop(stream, None)
        if blocked:
            self._blocked[stream] = None

    def lend(self, stream: HTTP2Stream) -> int:
        """By how many bytes the window of a stream may grow."""
        growth = max(0, min(stream.receive_window, MAX_STREAM_WINDOW - stream.receive_window, MAX_LENT - self._lent))
        self._lent += growth
        return growth

    def forget(self, stream: HTTP2Stream) -> None:
        """A stream is closed."""
        self.streams.pop(stream.identifier, None)
        self._lent -= stream.receive_window - self.stream_window
        if stream is self._data_stream:
            self._data_stream = None
        progressed = self.progressed
        if not progressed or progressed[-1] is not stream:
            progressed.append(stream)

    def _note(self, stream: HTTP2Stream) -> None:
        """Something changed for a stream."""
        progressed = self.progressed
        if not progressed or progressed[-1] is not stream:
            progressed.append(stream)

    # Receiving.

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived, in any split; b"" is the end of the peer's side. Never raises: see `error`."""
        if self.error is not None:
            return
        if not data:
            reason = "" if self.code is None else f" after it said that it goes away: {frames.error_name(self.code)}"
            self._lose(f"the peer closed the connection{reason}")
            return
        position = self._continue_data(data) if self._missing else 0
        if self._buffer:
            data = self._buffer + data
        self._buffer = data[self._receive_frames(data, position) :]
        if self._joining is not None:
            self._hand_over()
        if self._received > CONNECTION_WINDOW:
            self._fail("more data than the connection's window allows", frames.FLOW_CONTROL_ERROR)
        elif self._received >= CONNECTION_WINDOW // 4 and self.error is None:
            self.output.append(frames.window_update(0, self._received))
            self._received = 0

    def _receive_frames(self, data: bytes, position: int) -> int:
        """The frames that begin at `position`; where the one begins that is not whole."""
        end = len(data)
        unpack = HEAD.unpack_from
        while end - position >= HEAD_SIZE and self.error is None:
            high, low, kind, flags, identifier = unpack(data, position)
            size = high << 8 | low
            start = position + HEAD_SIZE
            following = start + size
            identifier &= MAX_WINDOW
            if size > DEFAULT_FRAME_SIZE or self._only is not None:
                self._check_frame(kind, identifier, size)
                if self.error is not None:
                    break
            if kind == DATA and not flags & PADDED:
                # As far as it is there: it goes to its stream as it arrives, and so is copied once.
                self._receive_data(flags, identifier, data, start, following)
                if following > end:
                    return end
                if self._joining is not None and self._joining.state in RECEIVING:
                    following = self._receive_run(data, following, self._joining)
            elif following > end:
                break
            elif kind == HEADERS and flags & (END_HEADERS | PADDED | PRIORITY_FLAG) == END_HEADERS:
                self._receive_block(identifier, flags, data[start:following])  # the short way of nearly all
            elif kind == DATA:
                self._receive_padded_data(flags, identifier, data, start, following)
            elif kind <= CONTINUATION:
                _RECEIVERS[kind](self, flags, identifier, data[start:following])
            else:
                self._idle()
            position = following
        return position

    def _check_frame(self, kind: int, identifier: int, size: int) -> None:
        """May a frame of this size and kind come now?"""
        if self._block is None and self._only is not None and kind != self._only:
            # First, because an answer of HTTP/1.1 ("HTTP/") would be a frame of 4,740,180 bytes.
            self._fail("the peer's first frame is not SETTINGS: it does not speak HTTP/2")
        elif size > DEFAULT_FRAME_SIZE:
            self._fail(
                f"a frame of {size} bytes, more than the {DEFAULT_FRAME_SIZE} that were allowed",
                frames.FRAME_SIZE_ERROR,
            )
        elif self._block is not None and (kind != CONTINUATION or identifier != self._block[0]):
            self._fail("a header block was interrupted by another frame")

    def _idle(self, count: int = 1) -> None:
        """A frame that brought nothing, or one that is as much work as `count` of them."""
        self._idle_frames += count
        if self._idle_frames > MAX_IDLE_FRAMES:
            self._fail("the peer floods the connection with frames that bring nothing", frames.ENHANCE_YOUR_CALM)

    def _answer(self, frame: bytes) -> None:
        """Queue what the peer made us say; it must not fill the output of a connection whose peer does not read."""
        self._answers += 1
        if self._answers > MAX_IDLE_FRAMES:
            self._fail("the peer asks for answers and does not read them", frames.ENHANCE_YOUR_CALM)
        elif self.error is None:
            self.output.append(frame)

    def _missed(self, identifier: int, what: str, count: int = 1) -> None:
        """A frame is for a stream that is not there: it is over, and the frame only counted; or it never was."""
        if identifier == 0 or not identifier & 1 or identifier >= self._next_id:
            self._fail(f"{what} on stream {identifier}, which was never opened")
        else:
            self._idle(count)

    def _receive_data(
        self, flags: int, identifier: int, data: bytes, start: int, following: int, padding: int = 0
    ) -> None:
        """A DATA frame whose bytes begin at `start` and end before `following`, or would, if all were there."""
        size = following - start
        self._received += size + padding
        stream = self.streams.get(identifier)
        if stream is None:
            self._missed(identifier, "DATA")  # after a reset such frames are still under way
        else:
            if not size and not flags & END_STREAM:
                self._idle()
            elif self._idle_frames > 0:
                self._idle_frames = 0
            progressed = self.progressed
            if not progressed or progressed[-1] is not stream:
                progressed.append(stream)
            if not stream.expect_data(size, padding):
                stream = None
            elif size and start < len(data):
                if stream is not self._joining and size < JOINED:
                    if stream.chunks:
                        stream.receive_data(data[start:following])
                    else:
                        stream.chunks.append(data[start:following])  # the same for a first piece, without a frame
                else:
                    if stream is not self._joining:
                        self._join(stream, data)
                    self._pieces.append(self._view[start:following])
        if following > len(data):
            self._missing, self._data_stream = following - len(data), stream
            self._data_ends = flags & END_STREAM != 0
        elif flags & END_STREAM and stream is not None:
            stream.receive_end()

    def _receive_run(self, data: bytes, position: int, stream: HTTP2Stream) -> int:
        """
        More DATA for the stream whose pieces are being joined; where something else begins.

        What `_receive_data` does, for whole frames that are within all limits, in a loop of its own: these are
        nearly all of a download, and each costs a third.
        """
        end, identifier, room = len(data), stream.identifier, stream.room
        unpack, append, view = HEAD.unpack_from, self._pieces.append, self._view
        total, largest = 0, DEFAULT_FRAME_SIZE
        while end - position >= HEAD_SIZE:
            high, low, kind, flags, number = unpack(data, position)
            size = high << 8 | low
            start = position + HEAD_SIZE
            following = start + size
            if (
                kind != DATA
                or flags
                or number != identifier
                or following > end
                or not 0 < size <= room
                or size > largest
            ):
                break
            append(view[start:following])
            total += size
            room -= size
            position = following
        self._received += total
        stream.got(total)
        return position

    def _continue_data(self, data: bytes) -> int:
        """The rest of a DATA frame, or more of it; where what follows it begins."""
        size = min(self._missing, len(data))
        self._missing -= size
        stream = self._data_stream
        if stream is not None:
            if size == len(data):
                stream.receive_data(data)
            elif size >= JOINED:
                self._join(stream, data)
                self._pieces.append(self._view[:size])
            else:
                stream.receive_data(data[:size])
            progressed = self.progressed
            if not progressed or progressed[-1] is not stream:
                progressed.append(stream)
            if not self._missing and self._data_ends:
                stream.receive_end()
        if not self._missing:
            self._data_stream = None
        return size

    def _join(self, stream: HTTP2Stream, data: bytes) -> None:
        """
        Collect the pieces that a stream gets from these bytes, as long as they come in a row.

        One copy and one chunk, however small the frames are and wherever they were cut: costs no more here, and half as
        much above, where each chunk goes its way.
        """
        if self._joining is not None:
            self._hand_over()
        self._joining = stream
        self._view = memoryview(data)

    def _hand_over(self) -> None:
        """Make a chunk of what was collected."""
        assert self._joining is not None
        self._joining.chunks.append(b"".join(self._pieces))
        self._joining = None
        self._pieces.clear()
        self._view = _NO_VIEW

    def _receive_padded_data(self, flags: int, identifier: int, data: bytes, start: int, following: int) -> None:
        """A whole DATA frame with padding."""
        if start == following or data[start] >= following - start:
            self._fail("the padding is larger than its frame")
            return
        padding = 1 + data[start]
        stream = self.streams.get(identifier)
        self._receive_data(flags, identifier, data, start + 1, following - data[start], padding)
        if stream is not None:
            stream.took(padding)  # it is used up at once

    def _receive_headers(self, flags: int, identifier: int, payload: bytes) -> None:
        """A header block that has padding or a priority, or goes on in other frames."""
        fragment = frames.unpadded(flags, payload)
        if fragment is not None and flags & PRIORITY_FLAG:
            fragment = fragment[5:] if len(fragment) >= 5 else None
        if fragment is None:
            self._fail("the padding or priority of a header block is larger than its frame")
            return
        if identifier not in self.streams:
            self._missed(identifier, "HEADERS", 0)
            if self.error is not None:
                return
        self._block = (identifier, flags, [])
        self._block_size = 0
        self._only = CONTINUATION
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
        if flags & END_HEADERS:
            self._block = self._only = None
            self._receive_block(identifier, first_flags, b"".join(fragments))

    def _receive_block(self, identifier: int, flags: int, block: bytes) -> None:
        """A whole header block."""
        try:
            # Also a block for a stream that is closed must be decoded: the table changes with it.
            decoded = self._decoder.decode(block)
        except hpack.HPACKError as exc:
            self._fail(f"a header block cannot be decoded: {exc}", frames.COMPRESSION_ERROR)
            return
        stream = self.streams.get(identifier)
        if stream is None:
            self._missed(identifier, "HEADERS", 1 + decoded.size // 1024)
            return
        limits, ends = self.limits, bool(flags & END_STREAM)
        stream.spent += decoded.size
        if len(decoded.fields) > limits.max_fields + 1:
            stream.fail(f"the answer has more than {limits.max_fields} header fields", frames.ENHANCE_YOUR_CALM)
        elif stream.spent > limits.max_bytes:
            stream.fail(f"the answer's heads have more than {limits.max_bytes} bytes", frames.ENHANCE_YOUR_CALM)
        elif stream.head is not None:
            stream.receive_trailers(decoded.fields, ends)
        else:
            if decoded.meaning is None:
                decoded.meaning = ReceivedHead(decoded.fields)
            stream.receive_head(decoded.meaning, ends)
        if stream.only_informational:
            self._idle()
        elif self._idle_frames > 0:
            self._idle_frames = 0
        progressed = self.progressed
        if not progressed or progressed[-1] is not stream:
            progressed.append(stream)

    def _receive_priority(self, flags: int, identifier: int, payload: bytes) -> None:
        if not identifier:
            self._fail("PRIORITY on no stream")
        elif self._check_size(payload, 5):
            self._idle()

    def _receive_reset(self, flags: int, identifier: int, payload: bytes) -> None:
        if not self._check_size(payload, 4):
            return
        stream = self.streams.get(identifier)
        if stream is None:
            self._missed(identifier, "RST_STREAM")
        else:
            stream.receive_reset(frames.number(payload))

    def _receive_settings(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier:
            self._fail("SETTINGS on a stream")
            return
        is_first = self._only == frames.SETTINGS
        if flags & frames.ACK:
            if is_first:
                self._fail("the peer acknowledged SETTINGS before it sent its own")
            elif self._check_size(payload, 0):
                self._idle()
            return
        if len(payload) % 6:
            self._fail("SETTINGS of a size that is no multiple of six", frames.FRAME_SIZE_ERROR)
            return
        if is_first:
            self._only = None
        else:
            self._idle(1 + len(payload) // 60)
        before = self.initial_window
        self.settings_frames += 1
        for setting, value in frames.parsed_settings(payload):
            if self.error is None:
                self._apply(setting, value)
            name = frames.SETTING_NAMES.get(setting)
            if name is not None:
                self.settings[name] = value
        # First the acknowledgement and then what the new values let out: there are peers (h2) for which they are not
        # in force before it.
        self._answer(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if self.error is not None:
            return
        if before != self.initial_window:
            self._change_windows(self.initial_window - before)

    def _apply(self, setting: int, value: int) -> None:
        if setting == frames.HEADER_TABLE_SIZE:
            self._encoder.set_max_size(value)
        elif setting == frames.ENABLE_PUSH:
            if value:
                self._fail("a server cannot enable push")
        elif setting == frames.MAX_CONCURRENT_STREAMS:
            self.max_streams = 0 if self.going_away or self._next_id > _LAST_STREAM else value
        elif setting == frames.INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                self._fail(f"INITIAL_WINDOW_SIZE {value} is out of its range", frames.FLOW_CONTROL_ERROR)
            self.initial_window = value
        elif setting == frames.MAX_FRAME_SIZE:
            if not DEFAULT_FRAME_SIZE <= value <= frames.LARGEST_FRAME_SIZE:
                self._fail(f"MAX_FRAME_SIZE {value} is out of its range")
            self.max_frame_size = min(value, MAX_QUEUED)
        elif setting == frames.ENABLE_CONNECT_PROTOCOL:
            if value > 1 or value < self.allows_protocols:
                self._fail(f"ENABLE_CONNECT_PROTOCOL {value} is out of its range, or taken back")
            self.allows_protocols = value == 1

    def _change_windows(self, difference: int) -> None:
        """A new initial window changes that of every live stream, maybe to less than nothing (RFC 9113 6.9.2)."""
        self._idle(len(self.streams) // 8)
        for stream in list(self.streams.values()):
            stream.window += difference
            if stream.window > MAX_WINDOW:
                self._fail("a window became too large", frames.FLOW_CONTROL_ERROR)
            if self.error is not None:
                return
            stream.flush(max_frames=0)  # nothing yet, but those who may send now line up
        self._flush_blocked()

    def _receive_push(self, flags: int, identifier: int, payload: bytes) -> None:
        self._fail("PUSH_PROMISE, which was not enabled")

    def _receive_ping(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier:
            self._fail("PING on a stream")
        elif self._check_size(payload, 8):
            self._idle()
            if not flags & frames.ACK:
                self._answer(frames.frame(frames.PING, frames.ACK, 0, payload))
            elif self.pongs < self.pings:
                self.pongs += 1

    def _receive_goaway(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier or len(payload) < 8:
            self._fail(
                "GOAWAY on a stream, or too short", frames.PROTOCOL_ERROR if identifier else frames.FRAME_SIZE_ERROR
            )
            return
        last, self.code = frames.number(payload) & MAX_WINDOW, frames.number(payload[4:])
        self.going_away = True
        self.max_streams = 0
        self._idle()
        for stream in [stream for number, stream in self.streams.items() if number > last]:
            # The peer has not processed these and will not (RFC 9113 6.8).
            stream.lose(RemoteProtocolError(f"the peer goes away: {frames.error_name(self.code)}"), processed=False)
            self.mark_blocked(stream, False)
            self.forget(stream)

    def _receive_window_update(self, flags: int, identifier: int, payload: bytes) -> None:
        if not self._check_size(payload, 4):
            return
        increment = frames.number(payload) & MAX_WINDOW
        code = frames.FLOW_CONTROL_ERROR if increment else frames.PROTOCOL_ERROR
        if identifier == 0:
            self.window += increment
            if not increment or self.window > MAX_WINDOW:
                self._fail("the connection's window was changed by nothing, or too much", code)
            elif not self._flush_blocked():
                self._idle()
            return
        stream = self.streams.get(identifier)
        if stream is None:
            self._missed(identifier, "WINDOW_UPDATE")
            return
        stream.window += increment
        if not increment or stream.window > MAX_WINDOW:
            stream.fail("the window was changed by nothing, or too much", code)
        elif stream.unsent:
            before = stream.window
            stream.flush()
            if stream.window != before:
                self._note(stream)
                return
        self._idle()

    def _flush_blocked(self) -> bool:
        """Send what waits for a window, a frame of each stream in turn; True if anything moved."""
        moved: dict[HTTP2Stream, None] = {}
        while self._blocked and self.room > 0:
            stream = next(iter(self._blocked))
            del self._blocked[stream]  # if it has more, it goes to the end of the line
            stream.flush(max_frames=1)
            moved[stream] = None
        self.progressed.extend(moved)
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
            self.output.append(frames.goaway(0, code, message.encode("ascii", "replace")[:100]))
            self._lose(message)

    def _lose(self, message: str) -> None:
        self.error = RemoteProtocolError(message)
        self.max_streams = 0
        for stream in list(self.streams.values()):
            stream.lose(RemoteProtocolError(message), processed=True)
            self.progressed.append(stream)
        self.streams.clear()
        self._blocked.clear()


_RECEIVERS = {
    frames.HEADERS: HTTP2Connection._receive_headers,
    frames.PRIORITY: HTTP2Connection._receive_priority,
    frames.RST_STREAM: HTTP2Connection._receive_reset,
    frames.SETTINGS: HTTP2Connection._receive_settings,
    frames.PUSH_PROMISE: HTTP2Connection._receive_push,
    frames.PING: HTTP2Connection._receive_ping,
    frames.GOAWAY: HTTP2Connection._receive_goaway,
    frames.WINDOW_UPDATE: HTTP2Connection._receive_window_update,
    CONTINUATION: HTTP2Connection._receive_continuation,
}
