"""
One stream of an HTTP/2 connection: an exchange that shares its connection with others (RFC 9113, sections 5 and 8).

                      IDLE
                        │ SEND_HEADERS
                        ▼
            ┌────────  OPEN  ────────┐
   SEND_END │                        │ RECEIVE_END
            ▼                        ▼
       LOCAL_DONE               REMOTE_DONE
            │ RECEIVE_END            │ SEND_END
            └────────► CLOSED ◄──────┘        a RESET, either way, leads from each of them to CLOSED

    HTTP2Stream     one request and its response
    ReceivedHead    a header block, judged once for all streams that it arrives on
    ResetStreams    what may still arrive on streams that we reset

`MOVES` says which events are legal in which state. Every change of a stream's state goes through `HTTP2Stream.move`.

Not here: frames, windows and settings of the connection (`http2`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._exceptions import LocalProtocolError, RemoteProtocolError
from . import frames
from .exchange import BODY, INPUT, NOTHING, PAUSE, Exchange, Fields
from .fields import legal_trailers, one_length

if TYPE_CHECKING:
    from .http2 import HTTP2Connection

IDLE, OPEN, LOCAL_DONE, REMOTE_DONE, CLOSED = range(5)
SEND_HEADERS, SEND_END, SEND_RESET, RECEIVE_HEADERS, RECEIVE_DATA, RECEIVE_END, RECEIVE_RESET = range(7)

# (state, event) -> state. An event that is missing here is not legal in that state, for us or for the peer.
MOVES = {
    (IDLE, SEND_HEADERS): OPEN,
    (OPEN, SEND_END): LOCAL_DONE,
    (OPEN, SEND_RESET): CLOSED,
    (OPEN, RECEIVE_HEADERS): OPEN,
    (OPEN, RECEIVE_DATA): OPEN,
    (OPEN, RECEIVE_END): REMOTE_DONE,
    (OPEN, RECEIVE_RESET): CLOSED,
    (LOCAL_DONE, SEND_RESET): CLOSED,
    (LOCAL_DONE, RECEIVE_HEADERS): LOCAL_DONE,
    (LOCAL_DONE, RECEIVE_DATA): LOCAL_DONE,
    (LOCAL_DONE, RECEIVE_END): CLOSED,
    (LOCAL_DONE, RECEIVE_RESET): CLOSED,
    (REMOTE_DONE, SEND_END): CLOSED,
    (REMOTE_DONE, SEND_RESET): CLOSED,
    (REMOTE_DONE, RECEIVE_RESET): CLOSED,
}
# States in which HEADERS and DATA may arrive. Neither changes the state, so one look-up per frame is enough.
RECEIVING = frozenset(state for state, event in MOVES if event == RECEIVE_DATA)
# Streams that `ResetStreams` knows one by one: 200 KiB at most, and more than an honest peer allows at once.
MAX_RESET_STREAMS = 1000

_LOWER_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_CONTENT_LENGTH, _REMARKABLE, _FORBIDDEN, _TE = range(1, 5)
_KINDS = {
    b"content-length": _CONTENT_LENGTH,
    b"set-cookie": _REMARKABLE,
    b"location": _REMARKABLE,
    b"content-encoding": _REMARKABLE,
    # Connection-specific fields make a message malformed (RFC 9113 8.2.2).
    b"connection": _FORBIDDEN,
    b"keep-alive": _FORBIDDEN,
    b"proxy-connection": _FORBIDDEN,
    b"transfer-encoding": _FORBIDDEN,
    b"upgrade": _FORBIDDEN,
    b"te": _TE,
}


class _ReceivedKinds(dict[bytes, int]):
    """Name of a response's field -> its kind: 0 for most, -1 for a name that is not legal. Bounded."""

    def __missing__(self, name: bytes) -> int:
        kind = _KINDS.get(name, 0) if _LOWER_TOKEN.fullmatch(name) else -1
        if len(name) <= 64:
            if len(self) >= 1024:
                self.clear()  # a full table that stays full would let one peer spoil it for all others
            self[name] = kind
        return kind


_KIND_OF = _ReceivedKinds()


_NUL, _TAB, _CR = b"\0\t\r"
_BAD_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]\Z")


def _fault_of(fields: Fields, head: ReceivedHead | None = None) -> str:
    """
    Return what is not legal about these fields of a response (RFC 9113 8.2), or "".

    Args:
        head: is told of the fields that concern it; None for trailers.
    """
    kind_of = _KIND_OF
    values = [b""]
    for name, value in fields:
        values.append(value)
        kind = kind_of[name]
        if kind:
            if kind < 0 or kind == _FORBIDDEN or (kind == _TE and value != b"trailers"):
                return f"a field named {name[:20]!r} is not allowed in a response"
            if head is not None:
                head.note(kind, value)
    # All values are judged at once, joined by line feeds: 0.8 us for eight fields instead of 3. Bytes are looked for as
    # numbers and by `find`: `b"\r" in text` takes six times as long, because it first tries to read b"\r" as a number.
    values.append(b"")
    text = b"\n".join(values)
    if (
        text.count(b"\n") != len(values) - 1
        or _CR in text
        or _NUL in text
        or text.find(b"\n ") >= 0
        or text.find(b" \n") >= 0
        or (_TAB in text and (text.find(b"\n\t") >= 0 or text.find(b"\t\n") >= 0))
    ):
        name = next(name for name, value in fields if _BAD_VALUE.search(value) is not None)
        return f"the value of field {name[:20]!r} has a character that is not allowed there"
    return ""


class ReceivedHead:
    """
    A header block as the head of a response, final or interim: judged once, the same for every stream.

    Attributes:
        fault: what is not legal about it, or "".
        length_fault: what is not legal about its Content-Length, or ""; only matters where there is a body.
        status: its number.
        fields: without the status; shared, so they must not be changed.
        length: the size of the body in bytes, by Content-Length or because the status has no body; None if unknown.
        remarkable: there are fields that a client acts on.
    """

    __slots__ = ("_repeats", "fault", "fields", "length", "length_fault", "remarkable", "status")

    def __init__(self, block: Fields) -> None:
        self.status = 0
        self.fields = block[1:]
        self.length: int | None = None
        self.length_fault = ""
        self._repeats = False  # there is more than one Content-Length
        self.remarkable = False
        name, status = block[0] if block else (b"", b"")
        if name != b":status" or len(status) != 3 or not status.isdigit() or status < b"100":
            self.fault = f"the response begins with {name[:20]!r}: {status[:20]!r}, expected :status with three digits"
        else:
            self.status = int(status)
            self.fault = _fault_of(self.fields, self)
            if self._repeats and not self.length_fault:
                self.fields = one_length(self.fields)
            if self.status in (204, 304):  # no body, also if the fields say so (RFC 9112 6.3)
                self.length = 0
                self.length_fault = ""

    def note(self, kind: int, value: bytes) -> None:
        """Remember what one field says."""
        if kind == _REMARKABLE:
            self.remarkable = True
        elif kind == _CONTENT_LENGTH and self.status >= 200:
            if not value.isdigit() or len(value) > 18:
                self.length_fault = f"Content-Length {value[:20]!r} is not a number of bytes"
            elif self.length is None:
                self.length = int(value)
            elif self.length != int(value):
                self.length_fault = f"Content-Length {value[:20]!r} differs from another one, {self.length}"
            else:
                self._repeats = True


class ResetStreams:
    """
    What may still arrive on streams that we reset: the peer sent it before it learned of that (RFC 9113 5.1).

    Such a stream may use the rest of the window that it was given, and the peer may finish its response or reset the
    stream as well. None of this is a flood. Anything more is: DATA beyond the window, or frames after the last one.

    Memory is bounded: of the streams that were reset first only the sums are kept.
    """

    def __init__(self) -> None:
        self._left: dict[int, list[int]] = {}  # stream -> bytes of its window, header blocks
        self._spare_window = 0  # of streams that were forgotten, all together
        self._spare_frames = 0  # their header blocks, and an end for each

    def __len__(self) -> int:
        return len(self._left)

    def add(self, stream: HTTP2Stream) -> None:
        """Note a stream that was reset by us while the peer could send on it."""
        if len(self._left) >= MAX_RESET_STREAMS:
            for window, blocks in self._left.values():
                self._spare_window += window
                self._spare_frames += max(0, blocks) + 1
            self._left.clear()
        self._left[stream.identifier] = [stream.receive_window - stream.ahead, 2 if stream.head is None else 1]

    def data(self, identifier: int, size: int, ends: bool) -> int | None:
        """
        Note a DATA frame.

        Args:
            size: bytes of the window that it takes, padding included.
            ends: it ends the stream.

        Returns:
            The bytes that are left of the window, below 0 if the peer exceeded it; None if no DATA was expected.
        """
        left = self._left.get(identifier)
        if left is None:
            if 0 < size <= self._spare_window:
                self._spare_window -= size
                return self._spare_window
            return 0 if ends and self._spend_frame() else None
        left[0] -= size
        if ends:
            del self._left[identifier]
        return left[0]

    def block(self, identifier: int, ends: bool) -> bool:
        """Note a header block; return False if none was expected."""
        left = self._left.get(identifier)
        if left is None:
            return self._spend_frame()
        left[1] -= 1
        if ends:
            del self._left[identifier]
        return left[1] >= 0

    def reset(self, identifier: int) -> bool:
        """Note that the peer reset the stream, too; return False if that was not expected."""
        return self._left.pop(identifier, None) is not None or self._spend_frame()

    def _spend_frame(self) -> bool:
        if self._spare_frames <= 0:
            return False
        self._spare_frames -= 1
        return True


class HTTP2Stream(Exchange):
    """
    One request and its response among others on a connection; made by `HTTP2Connection.open`.

    Bytes are sent and received by the connection: `take` and `receive` are called there. `need` is never OUTPUT; INPUT
    also stands for waiting until the peer opens a window.

    Attributes:
        code: the error code with which the peer reset the stream, or None.
        identifier: the number of the stream.
        spent: bytes of all header blocks of the response so far.
        unsent: pieces of the body that wait for a window, or for room in the output; None if there never were any.
        window: bytes of the body that the peer lets us send.
        receive_window: bytes that the peer may send ahead of the reader.
        ahead: bytes that the peer sent and that were not returned to its window yet.
        unread: of those, the bytes that the reader has taken.
    """

    # Class attributes for what few streams change; see `Exchange`.
    unsent: list[bytes | memoryview] | None = None
    code: int | None = None
    unread: int = 0
    is_tunnel: bool = False  # a CONNECT: the lengths in a 2xx response mean nothing (RFC 9110 9.3.6)
    _offset: int = 0  # bytes of the first chunk that were sent: cutting them off would copy the rest each time
    _body_ends: bool = False  # `feed` gives nothing more, or it is not wanted
    _dropped: bool = False  # the rest of the body is not sent
    _trailers: Fields | None = None  # of the request
    _held: bool = False  # the body waits for 100 (Continue)

    def __init__(self, connection: HTTP2Connection, identifier: int, is_head: bool, length: int | None) -> None:
        self._connection = connection
        self.identifier = identifier
        self.need = INPUT
        self.head = self.error = None
        self._to_receive: int | None = None
        self.chunks = []
        self.finished = self.reusable = self.only_informational = False
        self.untouched = True
        self.state = IDLE
        self.spent = self.ahead = 0
        self.window = connection.initial_window
        self.receive_window = connection.stream_window
        self._is_head = is_head
        self._to_send = length

    @property
    def uploading(self) -> bool:  # type: ignore[override]  # an attribute of `Exchange`, and computed here alone
        """True while part of the body is still to be sent."""
        return self.state in (OPEN, REMOTE_DONE) and not self._dropped

    def move(self, event: int) -> bool:
        """Change the state as `MOVES` says; return False if the event is not legal now."""
        following = MOVES.get((self.state, event))
        if following is None:
            return False
        self.state = following
        return True

    # Sending.

    def hold(self) -> None:
        """Keep the body back until 100 (Continue) arrives."""
        self._held = True
        self._update_need()

    def feed(self, chunk: bytes | None, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Give the next piece of the request's body; None ends it. See `Exchange.feed`."""
        self._held = False
        if trailers and not self._body_ends:
            self._trailers = [(name.lower(), value) for name, value in legal_trailers(trailers)]
        self.queue(chunk)
        self.flush()

    def queue(self, chunk: bytes | None) -> None:
        """Add a piece of the body to those that wait, without sending any."""
        if self._body_ends or self.state not in (OPEN, REMOTE_DONE):
            return
        if chunk:
            if self._to_send is not None:
                if len(chunk) > self._to_send:
                    raise LocalProtocolError("the request's body is longer than its Content-Length")
                self._to_send -= len(chunk)
            # A view where the chunk is sent in pieces: then the body is copied once, when the output is taken.
            piece = chunk if len(chunk) <= self._connection.max_frame_size else memoryview(chunk)
            if self.unsent is None:
                self.unsent = [piece]
            else:
                self.unsent.append(piece)
        elif chunk is None:
            if self._to_send:
                raise LocalProtocolError(f"the request's body is {self._to_send} bytes shorter than its Content-Length")
            self._body_ends = True

    def proceed(self) -> None:
        """Send the body although 100 (Continue) did not arrive."""
        if self._held:
            self._held = False
            self.flush()

    def flush(self, max_frames: int = 2**31) -> None:
        """Move as much of the body to the connection's output as the windows and the room there allow."""
        if self._held or self._dropped or self.state not in (OPEN, REMOTE_DONE):
            return
        connection = self._connection
        unsent = self.unsent
        while unsent and max_frames:
            room = min(self.window, connection.room)
            if room <= 0:
                break
            chunk, start = unsent[0], self._offset
            piece = chunk[start : start + room]
            self._offset = start + len(piece)
            if self._offset == len(chunk):
                del unsent[0]
                self._offset = 0
            self.window -= len(piece)
            max_frames -= 1
            ends = self._body_ends and not unsent and self._trailers is None
            connection.write_data(self.identifier, piece, ends)
            if ends:
                self._sent_end()
        if self._body_ends and not unsent and self.state in (OPEN, REMOTE_DONE):
            if self._trailers is None:
                connection.write_data(self.identifier, b"", True)
            else:
                connection.write_trailers(self.identifier, self._trailers)
            self._sent_end()
        # A stream that waits for its own window is flushed when that opens, not when the connection's does.
        connection.mark_blocked(self, bool(unsent) and self.window > 0)
        self._update_need()

    def _sent_end(self) -> None:
        self.move(SEND_END)
        if self.state == CLOSED:
            self._connection.forget(self)

    def _update_need(self) -> None:
        if self.finished or self.error is not None:
            self.need = NOTHING
        elif self._held:
            self.need = PAUSE
        elif self.unsent or self._body_ends or self.is_tunnel or self.state not in (OPEN, REMOTE_DONE):
            self.need = INPUT
        else:
            self.need = BODY

    def cut_short(self) -> None:
        """Send nothing more of the body. The response may still arrive; the stream is reset when it is complete."""
        if self.state in (OPEN, REMOTE_DONE):
            self._end_upload()
            self._update_need()

    def reset(self, error: int) -> None:
        """End the stream from our side; the others go on."""
        state, connection = self.state, self._connection
        if self.move(SEND_RESET):
            connection.write(frames.reset(self.identifier, error))
            self._end_upload()
            connection.forget(self)
            if state in RECEIVING and self.ahead <= self.receive_window:
                connection.reset_streams.add(self)

    def _end_upload(self) -> None:
        self.unsent = None
        self._held = False
        self._body_ends = self._dropped = True
        self._connection.mark_blocked(self, False)

    # Receiving; the connection calls these.

    def receive_head(self, head: ReceivedHead, ends: bool) -> None:
        """Take the head of a response, interim or final, while there is no final one."""
        self.untouched = False
        if self.state not in RECEIVING:
            self.fail("a header block arrived after the end of the stream", frames.STREAM_CLOSED)
        elif head.fault:
            self.fail(head.fault)
        elif head.length_fault and not self._is_head and not (self.is_tunnel and head.status < 300):
            self.fail(head.length_fault)
        elif head.status < 200:
            self._receive_interim(head, ends)
        else:
            self.only_informational = False
            self.head = (head.status, b"", head.fields.copy(), b"HTTP/2")
            if head.remarkable:
                self.remarkable = True
            if self._is_head:
                self._to_receive = 0
            elif not self.is_tunnel or head.status >= 300:
                self._to_receive = head.length
            if self.state == OPEN:
                self._receive_early_head(head.status)
            if ends:
                self.receive_end()

    def _receive_early_head(self, status: int) -> None:
        """Drop the rest of the request if the head makes it pointless: an error, or no 100 (Continue) before it."""
        if self._held or status >= 400:
            self.abandoned = True
            self._end_upload()
        self._update_need()

    def _receive_interim(self, head: ReceivedHead, ends: bool) -> None:
        if ends or head.status == 101:
            self.fail(f"the interim response {head.status} must not end the stream or be an upgrade")
            return
        interim = (head.status, head.fields.copy())
        if isinstance(self.informational, list):
            self.informational.append(interim)
        else:
            self.informational = [interim]
        self.only_informational = True
        if head.status == 100:
            self.proceed()

    def receive_trailers(self, fields: Fields, ends: bool) -> None:
        """Take a header block that follows the head."""
        self.only_informational = False
        fault = _fault_of(fields) if ends else "the trailers do not end their stream"
        if self.state not in RECEIVING:
            self.fail("a header block arrived after the end of the stream", frames.STREAM_CLOSED)
        elif fault:
            self.fail(fault)
        else:
            self.trailers = fields.copy() or None
            self.receive_end()

    def expect_data(self, size: int, padding: int) -> bool:
        """
        Return True if a DATA frame with `size` bytes of body and some padding may arrive now; fail the stream if not.

        The frame is judged by its size alone, so that its bytes can be handed on as they arrive.
        """
        self.ahead += size + padding
        if self.ahead > self.receive_window:
            self.fail("more data than the window allows", frames.FLOW_CONTROL_ERROR)
        elif self.head is None:
            self.fail("the body arrived before its head")
        elif self.state not in RECEIVING:
            self.fail("data arrived after the end of the stream", frames.STREAM_CLOSED)
        else:
            if self._to_receive is None:
                return True
            self._to_receive -= size
            if self._to_receive >= 0:
                return True
            self.fail("the body is longer than its Content-Length")
        return False

    @property
    def room(self) -> int:
        """Bytes of the body that may still arrive, by the window and by Content-Length."""
        room = self.receive_window - self.ahead
        return room if self._to_receive is None else min(room, self._to_receive)

    def got(self, size: int) -> None:
        """Count bytes that arrived and that there was room for."""
        self.ahead += size
        if self._to_receive is not None:
            self._to_receive -= size

    def receive_data(self, data: bytes) -> None:
        """Take a piece of the body that `expect_data` allowed; not empty."""
        chunks = self.chunks
        if len(data) < 256 and chunks and len(chunks[-1]) < 4096:
            chunks[-1] += data  # else a window of single bytes would be a million objects
        else:
            chunks.append(data)

    def receive_end(self) -> None:
        """Take the end of the response."""
        if self._to_receive:
            self.fail(f"the body is {self._to_receive} bytes shorter than its Content-Length")
            return
        if self._connection.joining is self:  # first: a response that is finished must be whole at every moment
            self._connection.hand_over()
        self.state = MOVES.get((self.state, RECEIVE_END), self.state)
        self.finished = True
        self.reusable = True
        self.need = NOTHING
        if self.state != REMOTE_DONE:
            self._connection.forget(self)
        elif not self.is_tunnel or self.head is None or self.head[0] >= 300:
            # A complete response ends the upload: the rest is not read (RFC 9113 8.1). In a tunnel it is.
            self.abandoned = True
            self.reset(frames.NO_ERROR)

    def receive_reset(self, code: int) -> None:
        """Take the end of the stream from the peer's side."""
        self.move(RECEIVE_RESET)
        self._end_upload()
        self._connection.forget(self)
        self.code = code
        if self.finished and code == frames.NO_ERROR:
            self.abandoned = True  # the response is complete, and the peer does not read the rest (RFC 9113 8.1)
            return
        self.refused = code == frames.REFUSED_STREAM and self.head is None
        self._set_error(f"the peer reset the stream: {frames.error_name(code)}")

    def fail(self, message: str, code: int = frames.PROTOCOL_ERROR) -> None:
        """End the stream because the peer sent something on it that is not legal; the others go on."""
        self._set_error(message)
        self.reset(code)

    def lose(self, error: Exception, processed: bool) -> None:
        """
        End the stream with its connection, or because the peer goes away.

        Args:
            error: belongs to this stream alone.
            processed: the peer may have acted on the request.
        """
        self.move(RECEIVE_RESET)
        self.unsent = None
        self._held = False
        self.refused = not processed and self.head is None
        self.error = error
        self.need = NOTHING

    def _set_error(self, message: str) -> None:
        if self.error is None:
            self.error = RemoteProtocolError(message)
        self.reusable = False
        self.need = NOTHING

    def took(self, size: int) -> None:
        """Count bytes of the body that the reader took: the peer may send as many more."""
        self.unread += size
        if self.unread >= self.receive_window // 2 and self.state in RECEIVING:
            self._open_window()

    def _open_window(self) -> None:
        connection = self._connection
        waiting = self.ahead - self.unread
        # A reader that keeps up may have more under way: 2 MiB are 20 MB/s at a round trip of 100 ms.
        growth = connection.lend(self) if waiting <= self.receive_window // 8 else 0
        connection.write(frames.window_update(self.identifier, self.unread + growth))
        self.receive_window += growth
        self.ahead = waiting
        self.unread = 0
