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

_LOWER_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]$")
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


class HTTP2Stream(Exchange):
    """
    One request and its answer among others on a connection; made by `HTTP2Connection.open`.

    Its output is the connection's: `take` is called there. `need` is never OUTPUT; INPUT also stands for waiting until
    the peer opens its window.

    Attributes:
        identifier: the stream's number on its connection.
        budget: bytes that the heads and trailers that are still to come may take, all together.
    """

    def __init__(self, connection: HTTP2Connection, identifier: int, is_head: bool, length: int | None) -> None:
        self._connection = connection
        self.budget = connection.limits.max_bytes
        self.identifier = identifier
        self.state = IDLE
        self.chunks = []
        self.window = connection.initial_window  # what the peer lets us send
        self.ahead = 0  # bytes that the peer sent and that were not returned to its window yet
        self.unread = 0  # of those, what the reader has taken
        self._is_head = is_head
        self._to_send = length
        self._to_receive: int | None = None
        self._unsent: list[bytes] = []
        self._offset = 0  # of the first chunk, what was sent: cutting it off each time would copy the rest each time
        self._body_ends = False  # nothing more comes from `feed`, or nobody wants it
        self._dropped = False  # nothing more of the body is sent
        self._held = False

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
            self._unsent.append(chunk)
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
        unsent = self._unsent
        while unsent and max_frames:
            room = min(self.window, connection.room)
            if room <= 0:
                break
            self._send_piece(room)
            max_frames -= 1
        if self._body_ends and not unsent and self.state in (OPEN, REMOTE_DONE):
            connection.write_data(self.identifier, b"", True)
            self._sent_end()
        connection.mark_blocked(self, bool(unsent))
        self._update_need()

    def _send_piece(self, room: int) -> None:
        """One DATA frame of the first chunk."""
        chunk, start = self._unsent[0], self._offset
        piece = chunk[start : start + room]
        self._offset = start + len(piece)
        if self._offset == len(chunk):
            del self._unsent[0]
            self._offset = 0
        self.window -= len(piece)
        ends = self._body_ends and not self._unsent
        self._connection.write_data(self.identifier, piece, ends)
        if ends:
            self._sent_end()

    def _sent_end(self) -> None:
        self.move(SEND_END)
        if self.state == CLOSED:
            self._connection.forget(self)

    def _update_need(self) -> None:
        if self.finished or self.error is not None:
            self.need = NOTHING
        elif self._held:
            self.need = PAUSE
        elif self._unsent or self._body_ends or self.state not in (OPEN, REMOTE_DONE):
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
        self._unsent.clear()
        self._held = False
        self._body_ends = self._dropped = True
        self._connection.mark_blocked(self, False)

    # Receiving; the connection calls these.

    def receive_headers(self, fields: Fields, ends: bool) -> None:
        """A header block: an interim answer, the final head, or trailers."""
        self.untouched = False
        self.only_informational = False
        if not self.move(RECEIVE_HEADERS):
            self.fail("a header block came where none may", frames.STREAM_CLOSED)
        elif self.head is not None:
            self._receive_trailers(fields, ends)
        else:
            self._receive_head(fields, ends)

    def _receive_head(self, fields: Fields, ends: bool) -> None:
        name, status = fields[0] if fields else (b"", b"")
        if name != b":status" or len(status) != 3 or not status.isdigit() or status < b"100":
            self.fail(f"the answer begins with {name[:20]!r}: {status[:20]!r} and not with a :status of three digits")
            return
        code = int(status)
        fields = fields[1:]
        if not self._check_fields(fields, final=code >= 200):
            return
        if code < 200:
            if ends or code == 101:
                self.fail(f"an interim answer {code} cannot be the end of a stream, or an upgrade")
                return
            self.informational = [*self.informational, (code, fields)]
            self.only_informational = True
            if code == 100:
                self.proceed()
            return
        self.head = (code, b"", fields, b"HTTP/2")
        if self._is_head or code in (204, 304):
            self._to_receive = 0
        if self._held or (code >= 400 and self.state == OPEN):
            # An answer without consent, or an error, makes the rest of the upload pointless.
            self.abandoned = True
            self._end_upload()
        if ends:
            self.receive_end()
        else:
            self._update_need()

    def _receive_trailers(self, fields: Fields, ends: bool) -> None:
        if not ends:
            self.fail("trailers do not end their stream")
        elif self._check_fields(fields, final=False):
            self.trailers = fields
            self.receive_end()

    def _check_fields(self, fields: Fields, final: bool) -> bool:
        """Are these fields that an answer may have (RFC 9113 8.2)? Fails the stream if not."""
        for name, value in fields:
            kind = _KIND_OF[name]
            if kind < 0 or kind == _FORBIDDEN or (kind == _TE and value != b"trailers"):
                self.fail(f"a field named {name[:20]!r} is not allowed in an answer")
                return False
            if _BAD_VALUE.search(value) is not None:
                self.fail(f"the value of field {name[:20]!r} has a character that is not allowed there")
                return False
            if kind == _REMARKABLE:
                self.remarkable = True
            elif kind == _CONTENT_LENGTH and final:
                if not value.isdigit() or len(value) > 18 or self._to_receive not in (None, int(value)):
                    self.fail(f"Content-Length {value[:20]!r} is not one number of bytes")
                    return False
                self._to_receive = int(value)
        return True

    def receive_data(self, data: bytes) -> None:
        """A piece of the body."""
        self.only_informational = False
        if self.head is None:
            self.fail("the body came before its head")
        elif not self.move(RECEIVE_DATA):
            self.fail("data came after the end of the stream", frames.STREAM_CLOSED)
        elif data:
            if self._to_receive is not None:
                self._to_receive -= len(data)
                if self._to_receive < 0:
                    self.fail("the body is longer than its Content-Length")
                    return
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
        self.move(RECEIVE_END)
        self.finished = True
        self.reusable = True
        if self.state == REMOTE_DONE:
            # A complete answer ends the upload: nobody reads the rest (RFC 9113 8.1).
            self.abandoned = True
            self.reset(frames.NO_ERROR)
        else:
            self._connection.forget(self)
        self.need = NOTHING

    def receive_reset(self, code: int) -> None:
        """The peer gave the stream up."""
        self.move(RECEIVE_RESET)
        self._end_upload()
        self._connection.forget(self)
        self.refused = code == frames.REFUSED_STREAM and self.head is None
        self._set_error(f"the peer reset the stream: {frames.error_name(code)}")

    def fail(self, message: str, code: int = frames.PROTOCOL_ERROR) -> None:
        """What the peer sent on this stream is not legal: end it, and leave the others alone."""
        self._set_error(message)
        self.reset(code)

    def lose(self, error: Exception, processed: bool) -> None:
        """The connection is lost, or the peer goes away before it came to this stream."""
        self.move(RECEIVE_RESET)
        self._unsent.clear()
        self._held = False
        self.refused = not processed
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
        if self.unread >= self._connection.stream_window // 2 and self.state in (OPEN, LOCAL_DONE):
            self._connection.write(frames.window_update(self.identifier, self.unread))
            self.ahead -= self.unread
            self.unread = 0
