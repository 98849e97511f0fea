"""
One stream of an HTTP/2 connection: an exchange whose bytes travel between those of others (RFC 9113, sections 5 and 8).

                      IDLE
                        │ SEND_HEADERS
                        ▼
            ┌────────  OPEN  ────────┐
   SEND_END │                        │ RECEIVE_END
            ▼                        ▼
       LOCAL_DONE               REMOTE_DONE
            │ RECEIVE_END            │ SEND_END
            └────────► CLOSED ◄──────┘        a RESET, either way, leads from each of them to CLOSED

What may happen in which state stands in `MOVES`; whatever changes a stream's state goes through `HTTP2Stream.move`.

Not here: frames, windows and settings of the connection (`http2`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._exceptions import LocalProtocolError, RemoteProtocolError
from . import frames
from .exchange import BODY, INPUT, NOTHING, PAUSE, Exchange, Fields

if TYPE_CHECKING:
    from .http2 import HTTP2Connection

IDLE, OPEN, LOCAL_DONE, REMOTE_DONE, CLOSED = range(5)
SEND_HEADERS, SEND_END, SEND_RESET, RECEIVE_HEADERS, RECEIVE_DATA, RECEIVE_END, RECEIVE_RESET = range(7)

# (state, event) -> state. What is not here is not legal: for us to do, or for the peer.
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
# States in which headers and data may come, neither of which changes the state: asked once for each frame.
RECEIVING = frozenset(state for state, event in MOVES if event == RECEIVE_DATA)

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
    """Field name of an answer -> what it is to us; -1 for one that is not legal. Remembered, bounded."""

    def __missing__(self, name: bytes) -> int:
        kind = _KINDS.get(name, 0) if _LOWER_TOKEN.fullmatch(name) else -1
        if len(name) <= 64:
            if len(self) >= 1024:
                self.clear()  # and not "remember no more": one peer could fill it for all others
            self[name] = kind
        return kind


_KIND_OF = _ReceivedKinds()


_NUL, _TAB, _CR = b"\0\t\r"
_BAD_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]\Z")


def _fault_of(fields: Fields, head: ReceivedHead | None = None) -> str:
    """What is not legal about these fields of an answer (RFC 9113 8.2), or ""; `head` is told what it should know."""
    kind_of = _KIND_OF
    values = [b""]
    for name, value in fields:
        values.append(value)
        kind = kind_of[name]
        if kind:
            if kind < 0 or kind == _FORBIDDEN or (kind == _TE and value != b"trailers"):
                return f"a field named {name[:20]!r} is not allowed in an answer"
            if head is not None and not head.note(kind, value):
                return f"Content-Length {value[:20]!r} is not one number of bytes"
    # All values at once, between line feeds: 0.8 us for eight fields, where a look at each took 3. Bytes are sought as
    # numbers and by `find`, because `b"\r" in text` first tries to take the one for the other: six times as slow.
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
    A header block as the head of an answer, or of an interim one: checked, the same for every stream that it comes on.

    Attributes:
        fault: what is not legal about it, or "".
        status: its number.
        fields: without the status; shared, so not to be changed.
        length: bytes that the body must have, by Content-Length or because there is none, or None.
        remarkable: there are fields that a client acts on.
    """

    __slots__ = ("fault", "fields", "length", "remarkable", "status")

    def __init__(self, block: Fields) -> None:
        self.status = 0
        self.fields = block[1:]
        self.length: int | None = None
        self.remarkable = False
        name, status = block[0] if block else (b"", b"")
        if name != b":status" or len(status) != 3 or not status.isdigit() or status < b"100":
            self.fault = f"the answer begins with {name[:20]!r}: {status[:20]!r} and not with a :status of three digits"
        else:
            self.status = int(status)
            self.fault = _fault_of(self.fields, self)
            if self.status in (204, 304):
                self.length = 0

    def note(self, kind: int, value: bytes) -> bool:
        """Remember what one field says; False if it is a Content-Length that is no number, or not the same again."""
        if kind == _REMARKABLE:
            self.remarkable = True
        elif kind == _CONTENT_LENGTH and self.status >= 200:
            if not value.isdigit() or len(value) > 18 or self.length not in (None, int(value)):
                return False
            self.length = int(value)
        return True


class HTTP2Stream(Exchange):
    """
    One request and its answer among others on a connection; made by `HTTP2Connection.open`.

    Its output is the connection's: `take` is called there. `need` is never OUTPUT; INPUT also stands for waiting until
    the peer opens its window.

    Attributes:
        code: the error code with which the peer reset the stream, or None.
        identifier: the stream's number on its connection.
        spent: bytes that its heads and trailers took so far, all together.
        unsent: pieces of the body that wait for a window, or for room in the output; None if there are none.
        window: bytes that the peer lets us send.
        receive_window: bytes that the peer may send ahead of the reader.
        ahead: bytes that the peer sent and that were not returned to its window yet.
        unread: of those, what the reader has taken.
    """

    # Class attributes for what few streams change; see `Exchange`.
    unsent: list[bytes | memoryview] | None = None
    code: int | None = None
    unread: int = 0
    is_tunnel: bool = False  # a CONNECT: what a 2xx answer says about lengths means nothing (RFC 9110 9.3.6)
    _offset: int = 0  # of the first chunk, what was sent: cutting it off each time would copy the rest each time
    _body_ends: bool = False  # nothing more comes from `feed`, or nobody wants it
    _dropped: bool = False  # nothing more of the body is sent
    _held: bool = False

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
    def uploading(self) -> bool:  # type: ignore[override]  # an attribute there, because nothing else has to look
        """Is part of the body still to be sent?"""
        return self.state in (OPEN, REMOTE_DONE) and not self._dropped

    def move(self, event: int) -> bool:
        """Change the state as an event of `MOVES` says; False if that is not legal now."""
        following = MOVES.get((self.state, event))
        if following is None:
            return False
        self.state = following
        return True

    # Sending.

    def hold(self) -> None:
        """Keep the body back until the peer consents (Expect: 100-continue)."""
        self._held = True
        self._update_need()

    def feed(self, chunk: bytes | None) -> None:
        """Give the next piece of the request's body; None ends it. See `Exchange.feed`."""
        self._held = False
        self.queue(chunk)
        self.flush()

    def queue(self, chunk: bytes | None) -> None:
        """What `feed` does, without sending anything yet."""
        if self._body_ends or self.state not in (OPEN, REMOTE_DONE):
            return
        if chunk:
            if self._to_send is not None:
                if len(chunk) > self._to_send:
                    raise LocalProtocolError("the request's body is longer than its Content-Length")
                self._to_send -= len(chunk)
            # A view, where the chunk goes in pieces: the one copy of the body is made when the output is taken.
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
        """Send the body although no 100 (Continue) came."""
        if self._held:
            self._held = False
            self.flush()

    def flush(self, max_frames: int = 2**31) -> None:
        """Move as much of the body into the connection's output as its windows and its room allow."""
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
            ends = self._body_ends and not unsent
            connection.write_data(self.identifier, piece, ends)
            if ends:
                self._sent_end()
        if self._body_ends and not unsent and self.state in (OPEN, REMOTE_DONE):
            connection.write_data(self.identifier, b"", True)
            self._sent_end()
        # Who waits for its own window is flushed when that opens, and need not be asked when the connection's does.
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
        elif self.unsent or self._body_ends or self.state not in (OPEN, REMOTE_DONE):
            self.need = INPUT
        else:
            self.need = BODY

    def take(self) -> bytes:
        """The connection's output, that of this stream among it."""
        return self._connection.take()

    def cut_short(self) -> None:
        """Nothing more of the body is sent, and the answer may still come; the stream is reset when it is complete."""
        if self.state in (OPEN, REMOTE_DONE):
            self._end_upload()
            self._update_need()

    def reset(self, error: int) -> None:
        """End the stream from our side, and nothing else of the connection."""
        if self.move(SEND_RESET):
            self._connection.write(frames.reset(self.identifier, error))
            self._end_upload()
            self._connection.forget(self)

    def _end_upload(self) -> None:
        self.unsent = None
        self._held = False
        self._body_ends = self._dropped = True
        self._connection.mark_blocked(self, False)

    # Receiving; the connection calls these.

    def receive_head(self, head: ReceivedHead, ends: bool) -> None:
        """The head of an answer, interim or final, while there is no final one."""
        self.untouched = False
        if self.state not in RECEIVING:
            self.fail("a header block came where none may", frames.STREAM_CLOSED)
        elif head.fault:
            self.fail(head.fault)
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
        """The head came while the request is not sent: without consent, or with an error, the rest is pointless."""
        if self._held or status >= 400:
            self.abandoned = True
            self._end_upload()
        self._update_need()

    def _receive_interim(self, head: ReceivedHead, ends: bool) -> None:
        if ends or head.status == 101:
            self.fail(f"an interim answer {head.status} cannot be the end of a stream, or an upgrade")
            return
        self.informational = [*self.informational, (head.status, head.fields.copy())]
        self.only_informational = True
        if head.status == 100:
            self.proceed()

    def receive_trailers(self, fields: Fields, ends: bool) -> None:
        """A header block after the head."""
        self.only_informational = False
        fault = "trailers do not end their stream" if not ends else _fault_of(fields)
        if self.state not in RECEIVING:
            self.fail("a header block came where none may", frames.STREAM_CLOSED)
        elif fault:
            self.fail(fault)
        else:
            self.trailers = fields.copy()
            self.receive_end()

    def expect_data(self, size: int, padding: int) -> bool:
        """
        May a DATA frame of `size` bytes of body and some padding come now? Fails the stream if not.

        It is judged by its size, before its bytes are there, so that these can be handed on as they arrive.
        """
        self.ahead += size + padding
        if self.ahead > self.receive_window:
            self.fail("more data than the window allows", frames.FLOW_CONTROL_ERROR)
        elif self.head is None:
            self.fail("the body came before its head")
        elif self.state not in RECEIVING:
            self.fail("data came after the end of the stream", frames.STREAM_CLOSED)
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
        """Bytes of body that may still come: as many as its window and its length allow."""
        room = self.receive_window - self.ahead
        return room if self._to_receive is None else min(room, self._to_receive)

    def got(self, size: int) -> None:
        """So many bytes came, which there was room for."""
        self.ahead += size
        if self._to_receive is not None:
            self._to_receive -= size

    def receive_data(self, data: bytes) -> None:
        """A piece of the body that `expect_data` has allowed; not empty."""
        chunks = self.chunks
        if len(data) < 256 and chunks and len(chunks[-1]) < 4096:
            chunks[-1] += data  # a window full of single bytes must not become a million objects
        else:
            chunks.append(data)

    def receive_end(self) -> None:
        """The peer has said everything."""
        if self._to_receive and not self._is_head:
            self.fail(f"the body is {self._to_receive} bytes shorter than its Content-Length")
            return
        if self.state == LOCAL_DONE:
            self.state = CLOSED  # what `move` does, without its frame
        else:
            self.move(RECEIVE_END)
        self.finished = True
        self.reusable = True
        self.need = NOTHING
        if self.state != REMOTE_DONE:
            self._connection.forget(self)
        elif not self.is_tunnel or self.head is None or self.head[0] >= 300:
            # A complete answer ends the upload: nobody reads the rest (RFC 9113 8.1). The other end of a tunnel does.
            self.abandoned = True
            self.reset(frames.NO_ERROR)

    def receive_reset(self, code: int) -> None:
        """The peer gave the stream up."""
        self.move(RECEIVE_RESET)
        self._end_upload()
        self._connection.forget(self)
        self.code = code
        self.refused = code == frames.REFUSED_STREAM and self.head is None
        self._set_error(f"the peer reset the stream: {frames.error_name(code)}")

    def fail(self, message: str, code: int = frames.PROTOCOL_ERROR) -> None:
        """What the peer sent on this stream is not legal: end it, and leave the others alone."""
        self._set_error(message)
        self.reset(code)

    def lose(self, error: Exception, processed: bool) -> None:
        """The connection is lost, or the peer goes away before it came to this stream."""
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

    def receive(self, data: bytes) -> None:
        """Bytes belong to the connection: see `HTTP2Connection.receive`."""
        self._connection.receive(data)

    def took(self, size: int) -> None:
        """The reader took that many bytes of the body: the peer may send as many more."""
        self.unread += size
        if self.unread >= self.receive_window // 2 and self.state in RECEIVING:
            self._open_window()

    def _open_window(self) -> None:
        connection = self._connection
        waiting = self.ahead - self.unread
        # Who reads as fast as it comes may have more under way: 2 MiB are 20 MB/s over a line of 100 ms.
        growth = connection.lend(self) if waiting <= self.receive_window // 8 else 0
        connection.write(frames.window_update(self.identifier, self.unread + growth))
        self.receive_window += growth
        self.ahead = waiting
        self.unread = 0
