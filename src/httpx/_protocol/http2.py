"""
HTTP/2 for a client: one connection and its streams as a pure machine (RFC 9113).

    open(...)       -> HTTP2Stream     begin a request; its header block is in the output at once
    take()          -> bytes           what to send now, for all streams; again until `output` is empty
    receive(data)                      what arrived; `progressed` then holds the streams for which something changed
    capacity        -> int             how many more streams may begin now
    retired         -> bool            whether no stream can begin here any more
    error                              why the connection is lost; each of its streams has an exception of its own

The peer is not trusted. A frame of the wrong size, order, stream or state ends the connection or the stream, as the RFC
says. Frames that bring nothing (PING, SETTINGS, empty DATA, resets, unknown ones) are counted: a flood ends the
connection.

Windows: a stream may receive `STREAM_WINDOW` bytes ahead of its reader, which bounds memory, and more if the reader
keeps up. The window of the connection is returned on receipt, so that a slow reader does not stop other streams.

Not here: one stream (`stream2`), header blocks of requests (`request_block`), time and sockets (`_engine`).

Longer than 700 lines because every frame passes through few functions, which share the state of the connection.
"""

from __future__ import annotations

from collections import OrderedDict

from .._exceptions import LocalProtocolError, RemoteProtocolError
from . import frames, hpack
from .exchange import DEFAULT_HEAD_LIMITS, Fields, HeadLimits
from .frames import (
    ASSUMED_STREAMS,
    CONTINUATION,
    DATA,
    DEFAULT_FRAME_SIZE,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    HEAD_SIZE,
    HEADERS,
    MAX_WINDOW,
    PADDED,
    PRIORITY_FLAG,
)
from .request_block import RequestBlocks, check_body, check_connect, check_request_line
from .stream2 import IDLE, MOVES, RECEIVING, SEND_END, SEND_HEADERS, HTTP2Stream, ReceivedHead, ResetStreams

STREAM_WINDOW = 2_097_152
# A stream whose reader keeps up gets more step by step, up to the first; all streams together, up to the second.
MAX_STREAM_WINDOW = 8_388_608
MAX_LENT = 33_554_432
CONNECTION_WINDOW = 16_777_216
# Useless frames in a row: 30 ms of work. An honest server sends fewer, such as a PING every ten seconds for a day.
MAX_USELESS_FRAMES = 10_000
# Bytes of bodies that wait in the output. The rest waits in the streams, where an early response can drop it and where
# uploads take turns. Also the largest frame that is sent, even if the peer allows more.
MAX_QUEUED = 262_144
# The smallest DATA frame, in bytes, that is worth joining with others.
JOINED = 2048
_LAST_STREAM = 2**31 - 1
_NO_VIEW = memoryview(b"")
_ENDS_BOTH = END_HEADERS | END_STREAM  # of a request without a body, in one frame
_REQUESTED = MOVES[MOVES[IDLE, SEND_HEADERS], SEND_END]  # the state after a request without a body


class HTTP2Connection:
    """
    The client's side of one connection; its preface is in the output at once.

    Args:
        limits: of the head and trailers of each response.

    Attributes:
        streams: number -> stream, those that are not closed.
        progressed: streams for which something changed; the shell empties the list.
        max_streams: how many streams may be open at once: the peer's limit, or 0 if the connection is `retired`.
        output: frames that wait for `take`.
        going_away: the peer sent GOAWAY and takes no more streams.
        code: the error code of that GOAWAY, or None.
        pings, pongs: how many PINGs were sent, and how many were acknowledged.
        allows_protocols: the peer takes CONNECT with a `protocol` (RFC 8441).
        window: bytes of bodies that the peer lets us send on all streams together.
        initial_window, max_frame_size: the peer's settings.
        settings: name -> value, all settings of the peer that have a name, as it sent them.
        settings_frames: how many SETTINGS frames the peer sent, without acknowledgements.
        stream_window: bytes that the peer may send on a new stream ahead of its reader.
        reset_streams: what may still arrive on streams that we reset.
        error: why the connection is lost, or None.
    """

    def __init__(self, limits: HeadLimits = DEFAULT_HEAD_LIMITS) -> None:
        self.limits = limits
        self._blocks = RequestBlocks()
        self._paths = self._blocks.paths
        self._encoder = self._blocks.encoder
        self._decoder = hpack.Decoder(max_list_size=limits.max_bytes)
        self.streams: dict[int, HTTP2Stream] = {}
        self.reset_streams = ResetStreams()
        # Streams with a body that waits for the connection's window or for room, in the order of their turns.
        self._blocked: OrderedDict[HTTP2Stream, None] = OrderedDict()
        self._next_id = 1
        self._buffer = b""  # the beginning of a frame
        # Of a DATA frame whose end has not arrived: the bytes that are missing, whether it ends its stream, and the
        # stream; None if its bytes are discarded.
        self._missing = 0
        self._data_ends = False
        self._data_stream: HTTP2Stream | None = None
        # Pieces of a body that arrived in a row, and their stream; empty outside of `receive`.
        self.joining: HTTP2Stream | None = None
        self._pieces: list[memoryview] = []
        self._view = _NO_VIEW
        # The only kind of frame that may arrive now: SETTINGS at first, CONTINUATION within a header block.
        self._only: int | None = frames.SETTINGS
        # Stream, flags and bytes of an unfinished header block.
        self._block: tuple[int, int, bytearray] | None = None
        self._useless_frames = 0
        self._acknowledgements = 0  # acknowledgements of PING and SETTINGS since the output was last taken
        self._queued = 0  # bytes of bodies in the output
        self._received = 0  # bytes of DATA since the connection's window was last returned
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

    # For the shells.

    @property
    def capacity(self) -> int:
        """How many more streams may begin now; if there are none, `open` raises."""
        return max(0, self.max_streams - len(self.streams))

    @property
    def retired(self) -> bool:
        """
        True if no stream can begin here any more: after GOAWAY, the last stream number, or the loss of the connection.

        A limit of 0 streams alone does not retire a connection: the peer may raise it (RFC 9113 6.5.2).
        """
        return self.going_away or self._next_id > _LAST_STREAM or self.error is not None

    @property
    def room(self) -> int:
        """Bytes that a DATA frame may have now, as far as the connection limits it."""
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
        Begin a request and return its stream; the header block is in the output, and nothing can come before it.

        A CONNECT opens a tunnel: `target` is the authority that it leads to, `feed` and `chunks` carry its bytes. With
        a `protocol` (`b"websocket"`) it has a target like any other request (RFC 8441).

        Args:
            scheme: of the URL. The other arguments are those of `HTTP1Exchange`.

        Raises:
            LocalProtocolError: the request is not legal HTTP, or `capacity` is 0; nothing of it is in the output.
        """
        blocks = self._blocks
        known = blocks.last
        if known is None or known.source != fields:
            known = blocks.fields_of(fields)
        written = known.written
        around, path = known.blocks.get((scheme, method)), self._paths.get(target)
        if around is None or path is None:  # else both were checked when they were sent first: 0.7 us of 2.5
            check_request_line(method, target)
        ends = not body and not streaming
        is_connect = True if protocol else method == b"CONNECT"
        if is_connect:
            if protocol and not self.allows_protocols:
                raise LocalProtocolError(f"the peer does not take the protocol {protocol[:20]!r}")
            check_connect(method, written, streaming, protocol)
        elif not ends or written.length:
            check_body(written, body, streaming)
        identifier = self._next_id
        if len(self.streams) >= self.max_streams:
            raise LocalProtocolError(f"the connection takes no more than {self.max_streams} streams now")
        self._next_id = identifier + 2
        if self._next_id > _LAST_STREAM:
            self.max_streams = 0
        if around is not None and path is not None and around[0] == self._encoder.version:
            block = around[1] + path + around[2]
        elif is_connect:
            block = blocks.encode_connect(known, scheme, target, protocol)
        else:
            block = blocks.encode(known, scheme, method, target)
        size = len(block)
        if ends and size <= self.max_frame_size:  # what `header_block` does, inlined
            self.output.append(FRAME_HEAD.pack(size >> 8, size & 0xFF, HEADERS, _ENDS_BOTH, identifier) + block)
        else:
            self.output.append(frames.header_block(identifier, block, ends, self.max_frame_size))
        stream = self.streams[identifier] = HTTP2Stream(self, identifier, method == b"HEAD", written.length)
        if self._useless_frames > 0:
            self._useless_frames = 0
        if ends:
            stream.state = _REQUESTED
        else:
            stream.is_tunnel = is_connect
            self._begin_upload(stream, body, streaming, written.expects_continue)
        return stream

    @staticmethod
    def _begin_upload(stream: HTTP2Stream, body: bytes, streaming: bool, expects_continue: bool) -> None:
        stream.move(SEND_HEADERS)
        stream.queue(body)
        if not streaming:
            stream.queue(None)
        if expects_continue:
            stream.remarkable = True
            stream.hold()
        else:
            stream.flush()

    def take(self) -> bytes:
        """
        Remove and return what should be sent now.

        Bodies that waited for room move to the output at once; `progressed` then holds their streams.
        """
        out, self.output = self.output, []
        was_full = self._queued >= MAX_QUEUED
        self._queued = self._acknowledgements = 0
        if was_full:
            self._flush_blocked()
        return b"".join(out)

    def ping(self) -> None:
        """Ask the peer for a sign of life; `pings` and `pongs` differ until it is there."""
        self.pings += 1
        self.output.append(frames.frame(frames.PING, 0, 0, bytes(8)))

    def close(self) -> bytes:
        """Return what to send before the connection is closed."""
        if self.error is None:
            self.output.append(frames.goaway(0, frames.NO_ERROR))
        return self.take() if self.output else b""

    # For the streams.

    def write(self, frame: bytes) -> None:
        """Queue a frame."""
        self.output.append(frame)

    def write_data(self, identifier: int, data: bytes | memoryview, ends: bool) -> None:
        """Queue a DATA frame."""
        size = len(data)
        self.window -= size
        self._queued += size
        # What is sent comes back as WINDOW_UPDATE, for the stream and for the connection, per frame or per KiB. Such
        # updates are expected, also if nothing waits for them.
        self._useless_frames -= 2 + size // 1024
        self.output += (FRAME_HEAD.pack(size >> 8, size & 0xFF, DATA, END_STREAM if ends else 0, identifier), data)

    def write_trailers(self, identifier: int, fields: Fields) -> None:
        """Queue the trailers of a request, which end it. Their names are in lower case."""
        block = self._encoder.encode(fields)
        self._queued += len(block)
        self.output.append(frames.header_block(identifier, block, True, self.max_frame_size))

    def mark_blocked(self, stream: HTTP2Stream, blocked: bool) -> None:
        """Note whether a stream waits for the connection's window or room; it is then the last in the line."""
        self._blocked.pop(stream, None)
        if blocked:
            self._blocked[stream] = None

    def lend(self, stream: HTTP2Stream) -> int:
        """Return by how many bytes the window of a stream grows now."""
        growth = max(0, min(stream.receive_window, MAX_STREAM_WINDOW - stream.receive_window, MAX_LENT - self._lent))
        self._lent += growth
        return growth

    def forget(self, stream: HTTP2Stream) -> None:
        """Let go of a stream that is closed."""
        self.streams.pop(stream.identifier, None)
        self._lent -= stream.receive_window - self.stream_window
        if stream is self._data_stream:
            self._data_stream = None
        progressed = self.progressed
        if not progressed or progressed[-1] is not stream:
            progressed.append(stream)

    def _note(self, stream: HTTP2Stream) -> None:
        """Note that something changed for a stream."""
        progressed = self.progressed
        if not progressed or progressed[-1] is not stream:
            progressed.append(stream)

    # Receiving.

    def receive(self, data: bytes) -> None:
        """
        Take bytes that arrived, in any split; never raises, see `error`.

        Args:
            data: 1 to any number of bytes; b"" means that the peer closed its side.
        """
        if self.error is not None:
            return
        if not data:
            reason = "" if self.code is None else f" after GOAWAY: {frames.error_name(self.code)}"
            self._lose(f"the peer closed the connection{reason}")
            return
        position = self._continue_data(data) if self._missing else 0
        if self._buffer:
            data = self._buffer + data
        self._buffer = data[self._receive_frames(data, position) :]
        if self.joining is not None:
            self.hand_over()
        if self._received > CONNECTION_WINDOW:
            self._fail("more data than the connection's window allows", frames.FLOW_CONTROL_ERROR)
        elif self._received >= CONNECTION_WINDOW // 4 and self.error is None:
            self.output.append(frames.window_update(0, self._received))
            self._received = 0

    def _receive_frames(self, data: bytes, position: int) -> int:
        """Take the frames from `position` on; return where one begins that is not complete."""
        end = len(data)
        unpack = FRAME_HEAD.unpack_from
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
                # Its bytes go to the stream as they arrive, so that they are copied once.
                self._receive_data(flags, identifier, data, start, following)
                if following > end:
                    return end
                if self.joining is not None and self.joining.state in RECEIVING:
                    following = self._receive_run(data, following, self.joining)
            elif following > end:
                break
            elif kind == HEADERS and flags & (END_HEADERS | PADDED | PRIORITY_FLAG) == END_HEADERS:
                self._receive_block(identifier, flags, data[start:following])  # the fast path of nearly all
            elif kind == DATA:
                self._receive_padded_data(flags, identifier, data, start, following)
            elif kind <= CONTINUATION:
                _RECEIVERS[kind](self, flags, identifier, data[start:following])
            else:
                self._count_useless()
            position = following
        return position

    def _check_frame(self, kind: int, identifier: int, size: int) -> None:
        """Lose the connection if a frame of this size and kind may not arrive now."""
        if self._block is None and self._only is not None and kind != self._only:
            # Checked first: a response of HTTP/1.1 ("HTTP/") would be a frame of 4,740,180 bytes.
            self._fail("the peer's first frame is not SETTINGS: it does not speak HTTP/2")
        elif size > DEFAULT_FRAME_SIZE:
            self._fail(
                f"a frame has {size} bytes, at most {DEFAULT_FRAME_SIZE} are allowed",
                frames.FRAME_SIZE_ERROR,
            )
        elif self._block is not None and (kind != CONTINUATION or identifier != self._block[0]):
            self._fail("a header block was interrupted by another frame")

    def _count_useless(self, count: int = 1) -> None:
        """Count a frame that brings nothing, or one that is as much work as `count` such frames."""
        self._useless_frames += count
        if self._useless_frames > MAX_USELESS_FRAMES:
            self._fail("the peer floods the connection with frames that bring nothing", frames.ENHANCE_YOUR_CALM)

    def _acknowledge(self, frame: bytes) -> None:
        """Queue an acknowledgement; a peer that does not read must not fill the output with them."""
        self._acknowledgements += 1
        if self._acknowledgements > MAX_USELESS_FRAMES:
            self._fail("the peer asks for acknowledgements and does not read them", frames.ENHANCE_YOUR_CALM)
        elif self.error is None:
            self.output.append(frame)

    def _check_opened(self, identifier: int, what: str) -> bool:
        """Lose the connection, and return False, if a frame is for a stream that was never opened."""
        if identifier & 1 and identifier < self._next_id:
            return True
        self._fail(f"{what} on stream {identifier}, which was never opened")
        return False

    def _receive_data(
        self, flags: int, identifier: int, data: bytes, start: int, following: int, padding: int = 0
    ) -> None:
        """Take a DATA frame whose bytes are those from `start` to `following`, as far as they are there."""
        size = following - start
        self._received += size + padding
        stream = self.streams.get(identifier)
        if stream is None:
            self._receive_late_data(flags, identifier, size, padding)
        else:
            if not size and not flags & END_STREAM:
                self._count_useless()
            elif self._useless_frames > 0:
                self._useless_frames = 0
            progressed = self.progressed
            if not progressed or progressed[-1] is not stream:
                progressed.append(stream)
            if not stream.expect_data(size, padding):
                stream = None
            elif size and start < len(data):
                if stream is not self.joining and size < JOINED:
                    if stream.chunks:
                        stream.receive_data(data[start:following])
                    else:
                        stream.chunks.append(data[start:following])
                else:
                    if stream is not self.joining:
                        self._join(stream, data)
                    self._pieces.append(self._view[start:following])
        if following > len(data):
            self._missing, self._data_stream = following - len(data), stream
            self._data_ends = flags & END_STREAM != 0
        elif flags & END_STREAM and stream is not None:
            stream.receive_end()

    def _receive_late_data(self, flags: int, identifier: int, size: int, padding: int) -> None:
        """Judge a DATA frame for a closed stream; its bytes are discarded."""
        if not self._check_opened(identifier, "DATA"):
            return
        ends = flags & END_STREAM != 0
        left = self.reset_streams.data(identifier, size + padding, ends)
        if left is not None and left < 0:
            self._fail(
                f"more data than the window of stream {identifier} allows, which was reset", frames.FLOW_CONTROL_ERROR
            )
        elif left is None or not (size or ends):
            self._count_useless()

    def _receive_run(self, data: bytes, position: int, stream: HTTP2Stream) -> int:
        """
        Take more DATA for the stream whose pieces are joined; return where something else begins.

        The loop does what `_receive_data` does for complete frames within all limits, at a third of the time. Nearly
        all of a download is of this kind.
        """
        end, identifier, room = len(data), stream.identifier, stream.room
        unpack, append, view = FRAME_HEAD.unpack_from, self._pieces.append, self._view
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
        """Take the rest of a DATA frame, or more of it; return where its bytes end."""
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
        Begin to collect the pieces of a stream's body that arrive in a row.

        They become one chunk with one copy, for frames of any size. That costs no more here, and half as much in the
        shell, which handles chunks one by one.
        """
        if self.joining is not None:
            self.hand_over()
        self.joining = stream
        self._view = memoryview(data)

    def hand_over(self) -> None:
        """Make one chunk of the collected pieces, for the stream that is `joining`."""
        assert self.joining is not None
        self.joining.chunks.append(b"".join(self._pieces))
        self.joining = None
        self._pieces.clear()
        self._view = _NO_VIEW

    def _receive_padded_data(self, flags: int, identifier: int, data: bytes, start: int, following: int) -> None:
        """Take a complete DATA frame with padding."""
        if start == following or data[start] >= following - start:
            self._fail("the padding is larger than its frame")
            return
        padding = 1 + data[start]
        stream = self.streams.get(identifier)
        self._receive_data(flags, identifier, data, start + 1, following - data[start], padding)
        if stream is not None:
            stream.took(padding)  # padding is not read, so it is returned at once

    def _receive_headers(self, flags: int, identifier: int, payload: bytes) -> None:
        """Take a header block that has padding or a priority, or continues in other frames."""
        fragment = frames.unpadded(flags, payload)
        if fragment is not None and flags & PRIORITY_FLAG:
            fragment = fragment[5:] if len(fragment) >= 5 else None
        if fragment is None:
            self._fail("the padding or priority of a header block is larger than its frame")
        elif identifier in self.streams or self._check_opened(identifier, "HEADERS"):
            self._block = (identifier, flags, bytearray())
            self._only = CONTINUATION
            self._add_fragment(fragment, flags)

    def _receive_continuation(self, flags: int, identifier: int, payload: bytes) -> None:
        if self._block is None:
            self._fail("CONTINUATION without a header block")
            return
        if not payload:
            self._count_useless()
        if self.error is None:
            self._add_fragment(payload, flags)

    def _add_fragment(self, fragment: bytes, flags: int) -> None:
        assert self._block is not None
        identifier, first_flags, block = self._block
        block += fragment
        if len(block) > self.limits.max_bytes:
            self._fail(f"a header block is longer than {self.limits.max_bytes} bytes", frames.ENHANCE_YOUR_CALM)
        elif flags & END_HEADERS:
            self._block = self._only = None
            self._receive_block(identifier, first_flags, bytes(block))

    def _receive_block(self, identifier: int, flags: int, block: bytes) -> None:
        """Take a complete header block."""
        try:
            # A block for a closed stream must be decoded as well: the table changes with it.
            decoded = self._decoder.decode(block)
        except hpack.HPACKError as exc:
            self._fail(f"a header block cannot be decoded: {exc}", frames.COMPRESSION_ERROR)
            return
        stream, ends = self.streams.get(identifier), flags & END_STREAM != 0
        if stream is None:
            if self._check_opened(identifier, "HEADERS") and not self.reset_streams.block(identifier, ends):
                self._count_useless(1 + decoded.size // 1024)
            return
        limits = self.limits
        stream.spent += decoded.size
        if len(decoded.fields) > limits.max_fields + 1:
            stream.fail(f"the response has more than {limits.max_fields} header fields", frames.ENHANCE_YOUR_CALM)
        elif stream.spent > limits.max_bytes:
            stream.fail(
                f"the header blocks of the response have more than {limits.max_bytes} bytes", frames.ENHANCE_YOUR_CALM
            )
        elif stream.head is not None:
            stream.receive_trailers(decoded.fields, ends)
        else:
            if decoded.meaning is None:
                decoded.meaning = ReceivedHead(decoded.fields)
            stream.receive_head(decoded.meaning, ends)
        if stream.only_informational:
            self._count_useless()
        elif self._useless_frames > 0:
            self._useless_frames = 0
        progressed = self.progressed
        if not progressed or progressed[-1] is not stream:
            progressed.append(stream)

    def _receive_priority(self, flags: int, identifier: int, payload: bytes) -> None:
        if not identifier:
            self._fail("PRIORITY on no stream")
        elif self._check_size(payload, 5):
            self._count_useless()

    def _receive_reset(self, flags: int, identifier: int, payload: bytes) -> None:
        if not self._check_size(payload, 4):
            return
        stream = self.streams.get(identifier)
        if stream is not None:
            stream.receive_reset(frames.number(payload))
        elif self._check_opened(identifier, "RST_STREAM") and not self.reset_streams.reset(identifier):
            self._count_useless()

    def _receive_settings(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier:
            self._fail("SETTINGS on a stream")
            return
        is_first = self._only == frames.SETTINGS
        if flags & frames.ACK:
            if is_first:
                self._fail("the peer acknowledged SETTINGS before it sent its own")
            elif self._check_size(payload, 0):
                self._count_useless()
            return
        if len(payload) % 6:
            self._fail(f"SETTINGS has {len(payload)} bytes, expected a multiple of six", frames.FRAME_SIZE_ERROR)
            return
        if is_first:
            self._only = None
        else:
            self._count_useless(1 + len(payload) // 60)
        before = self.initial_window
        self.settings_frames += 1
        for setting, value in frames.parsed_settings(payload):
            if self.error is None:
                self._apply(setting, value)
            name = frames.SETTING_NAMES.get(setting)
            if name is not None:
                self.settings[name] = value
        # The acknowledgement goes first, then what the new values allow: for some peers (h2) they are in force only
        # after it.
        self._acknowledge(frames.frame(frames.SETTINGS, frames.ACK, 0))
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
            self.max_streams = 0 if self.retired else value
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
                self._fail(f"ENABLE_CONNECT_PROTOCOL {value} is out of its range, or withdrawn")
            self.allows_protocols = value == 1

    def _change_windows(self, difference: int) -> None:
        """Change the window of every open stream with the initial one; it may become negative (RFC 9113 6.9.2)."""
        self._count_useless(len(self.streams) // 8)
        for stream in list(self.streams.values()):
            stream.window += difference
            if stream.window > MAX_WINDOW:
                self._fail("a window became too large", frames.FLOW_CONTROL_ERROR)
            if self.error is not None:
                return
            stream.flush(max_frames=0)  # sends nothing yet: streams that may send now line up
        self._flush_blocked()

    def _receive_push(self, flags: int, identifier: int, payload: bytes) -> None:
        self._fail("PUSH_PROMISE, but push was disabled")

    def _receive_ping(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier:
            self._fail("PING on a stream")
        elif self._check_size(payload, 8):
            self._count_useless()
            if not flags & frames.ACK:
                self._acknowledge(frames.frame(frames.PING, frames.ACK, 0, payload))
            elif self.pongs < self.pings:
                self.pongs += 1

    def _receive_goaway(self, flags: int, identifier: int, payload: bytes) -> None:
        if identifier or len(payload) < 8:
            self._fail(
                "GOAWAY on a stream, or shorter than 8 bytes",
                frames.PROTOCOL_ERROR if identifier else frames.FRAME_SIZE_ERROR,
            )
            return
        last, self.code = frames.number(payload) & MAX_WINDOW, frames.number(payload[4:])
        self.going_away = True
        self.max_streams = 0
        self._count_useless()
        for stream in [stream for number, stream in self.streams.items() if number > last]:
            # The peer did not process these and will not (RFC 9113 6.8).
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
                self._fail(f"the connection's window cannot grow by {increment} bytes", code)
            elif not self._flush_blocked():
                self._count_useless()
            return
        stream = self.streams.get(identifier)
        if stream is None:
            if self._check_opened(identifier, "WINDOW_UPDATE"):
                self._count_useless()
            return
        stream.window += increment
        if not increment or stream.window > MAX_WINDOW:
            stream.fail(f"the window cannot grow by {increment} bytes", code)
        elif stream.unsent:
            before = stream.window
            stream.flush()
            if stream.window != before:
                self._note(stream)
                return
        self._count_useless()

    def _flush_blocked(self) -> bool:
        """Move what waits to the output, a frame of each stream in turn; return True if anything moved."""
        moved: dict[HTTP2Stream, None] = {}
        while self._blocked and self.room > 0:
            stream, _ = self._blocked.popitem(last=False)
            stream.flush(max_frames=1)  # if it has more, it goes to the end of the line
            moved[stream] = None
        self.progressed.extend(moved)
        return bool(moved)

    def _check_size(self, payload: bytes, size: int) -> bool:
        if len(payload) != size:
            self._fail(f"a frame has {len(payload)} bytes, expected {size}", frames.FRAME_SIZE_ERROR)
            return False
        return True

    # Errors.

    def _fail(self, message: str, code: int = frames.PROTOCOL_ERROR) -> None:
        """Lose the connection because the peer broke its rules, and tell the peer."""
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
