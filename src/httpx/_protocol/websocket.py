"""
The client's side of one WebSocket connection (RFC 6455) after its opening handshake: bytes in, messages out.

                  close()                      peer's Close
        OPEN ----------------> CLOSING ------------------------------> CLOSED ----> finished, at the end of the stream
          |                       |                                       ^
          |   peer's Close, which is answered                             |
          +---------------------------------------------------------------+
          |                       |
          +-----------------------+---- fault of the peer, or the end of the stream: finished, with `error`

    receive(data)       what arrived; b"" is the end of the stream
    take()              everything to send now
    send(message)       queue a message: text for str, else binary
    ping(), close()     queue a control frame
    take_message()      the oldest of `messages`

A shell sends what `take` returns after every call, and waits for a message like this:

    while not machine.messages:
        if machine.full:
            machine.resume()
        elif machine.need is NOTHING or machine.closed:
            raise ...
        else:
            machine.receive(wire.receive())

It closes the connection once `finished`, or a little after `closed`: the peer should close first (RFC 6455 7.1.1).

Bounded, whatever the peer sends:
- A message has at most `max_message_size` bytes, after decompression. What the head of a frame announces is checked
  before a byte of its payload is kept.
- When `max_messages` or `max_waiting` bytes of complete messages wait, frames are left as they came until all of them
  are taken. A shell that stops receiving while `full` keeps at most one more message than that, plus one `receive`.
- Fragments go into one buffer, so tiny ones take no more than their bytes. Of fragments without bytes, 10,000 in a row
  are too many.
- At most 64 pongs wait for `take`. The oldest are dropped, which RFC 6455 5.5.3 allows.

What the peer did wrong ends the connection after the messages before it were taken, so that they can be answered. It
makes no difference whether they arrived together.

After our Close nothing else is sent, pongs included: a peer that has closed the connection would respond to them with a
reset, and the reset can destroy its Close on the way. Messages that arrive then are skipped.

Not here: the opening handshake (`opening`), compression (`deflate`), time (when to ping, how long to wait).
"""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Iterator
from typing import Any, Callable, Union

from .._exceptions import LocalProtocolError, RemoteProtocolError
from .deflate import BadCompression, Codec
from .exchange import INPUT, NOTHING, Head
from .masking import Payload, keys, masked

Message = Union[str, bytes]

CONTINUATION, TEXT, BINARY = range(3)
CLOSE, PING, PONG = range(8, 11)

_FINAL = 0x80
_COMPRESSED = 0x40  # RSV1, RFC 7692 6
_FINAL_TEXT, _FINAL_BINARY = _FINAL | TEXT, _FINAL | BINARY

# Codes of a Close (RFC 6455 7.4.1). The last two are never sent.
NORMAL, GOING_AWAY, PROTOCOL_ERROR = 1000, 1001, 1002
INVALID_DATA, POLICY_VIOLATION, TOO_LARGE = 1007, 1008, 1009
NO_CODE, ABNORMAL = 1005, 1006

MAX_CONTROL = 125  # bytes of a control frame's payload (RFC 6455 5.5)
_MAX_REASON = MAX_CONTROL - 2
_MAX_PONGS = 64
_MAX_PINGS = 64
_MAX_EMPTY = 10_000
_MAX_LENGTH = 2**63 - 1

# Heads of final frames with at most 125 bytes, up to the key.
_SHORT_HEADS = {
    first: [bytes((first, 0x80 | size)) for size in range(126)]
    for first in (_FINAL_TEXT, _FINAL_BINARY, _FINAL | CLOSE, _FINAL | PING, _FINAL | PONG)
}

_NOT_UTF_8 = "a text message is not valid UTF-8"


def is_close_code(code: int) -> bool:
    """Return whether a Close may carry this code (RFC 6455 7.4, and the registry)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


class WebSocketMachine:
    """
    One WebSocket connection, of a client.

    Args:
        codec: what compresses messages, None for none.
        max_message_size: bytes of a message that the peer sends; None without a limit.
        max_messages, max_waiting: number and bytes of complete messages after which `full` is set.
        random: returns as many bytes as it is asked for, for the keys of masks.

    Attributes:
        messages: complete ones, oldest first. Taking one changes nothing else, so any thread may do it: a count to be
            lowered for each would need a lock for each.
        waiting_bytes: of the messages since there were none, text as UTF-8.
        output, pongs: frames for `take`; nothing is to be sent while both are empty.
        full: give no more input before `resume`, which waits until all messages are taken. What is given is kept.
        closing: our Close is sent or queued, so nothing else can be sent.
        closed: the peer's Close came, so no message will follow.
        closed_by_peer: the peer's Close came before ours.
        close_code: of the peer's Close, 1005 if it had none, 1006 if the connection ended without one; None before.
        close_reason: of the peer's Close.
        finished: nothing more is expected.
        error: what was wrong with the connection's end or the peer's frames; None without a fault.
        pings_answered: number of the last ping that the peer answered, 0 before the first.
    """

    __slots__ = (
        *("close_code", "close_reason", "closed", "closed_by_peer", "closing", "error", "finished", "full", "messages"),
        *("output", "pings_answered", "pongs", "waiting_bytes"),
        *("_codec", "_limit", "_max_messages", "_max_waiting", "_random"),
        *("_keys", "_pings", "_pings_sent"),
        *("_ended", "_fault", "_later", "_missing", "_quick", "_rest", "_rest_at"),
        *("_assembly", "_compressed", "_compressed_size", "_empty", "_final", "_kind", "_utf_8"),
    )

    # What a shell for exchanges looks at: the response that opened the connection is over.
    head: Head = (101, b"Switching Protocols", [], b"HTTP/1.1")

    def __init__(
        self,
        codec: Codec | None = None,
        *,
        max_message_size: int | None = 16_777_216,
        max_messages: int = 512,
        max_waiting: int = 1_048_576,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.messages: deque[Message] = deque()
        self.waiting_bytes = 0
        self.full = self.closing = self.closed = self.closed_by_peer = self.finished = False
        self.close_code: int | None = None
        self.close_reason = ""
        self.error: RemoteProtocolError | None = None
        self.pings_answered = 0

        self._codec = codec
        self._limit = max_message_size
        self._max_messages = max_messages
        self._max_waiting = max_waiting

        # Sending.
        self._random = random
        self._keys: Iterator[tuple[bytes]] = iter(())
        self.output: list[Payload] = []
        # Lists, of at most 64: an empty deque takes 0.7 KiB.
        self.pongs: list[Payload] = []
        self._pings: tuple[tuple[bytes, int], ...] = ()  # payload and number, not answered yet
        self._pings_sent = 0

        # Receiving. Frames: a frame that is not complete is in `_rest` while that is its head or a control frame, so at
        # most 127 bytes; of one with data, the payload goes on at once and `_missing` says how much is still to come.
        self._rest = b""
        self._rest_at = 0  # where it begins
        # What came while `full`, and the message so far: bytearrays where there is something, and empty ones take room.
        self._later: bytes | bytearray = b""
        self._missing = 0
        self._ended = False
        self._fault: tuple[int, str] | None = None  # what the peer did wrong: code of our Close, text of the error
        # Messages: the one that is not complete. `_kind` is TEXT or BINARY, 0 for none.
        self._kind = 0
        self._final = self._compressed = False
        self._assembly: bytes | bytearray = b""
        self._utf_8: Any = None  # made when it is needed: most messages are one frame
        self._compressed_size = self._empty = 0
        # Longest payload that the fast path takes; -1 inside a message and when messages are skipped.
        self._set_quick()

    @property
    def need(self) -> int:
        """INPUT, or NOTHING when `finished`; see `exchange`."""
        return NOTHING if self.finished else INPUT

    # Sending.

    def take(self) -> Payload:
        """Remove and return what should be sent now, coalesced, for large messages as a bytearray; b"" for nothing."""
        out = self.output
        if self.pongs:
            out[:0] = self.pongs  # before a Close
            self.pongs.clear()
        if len(out) == 1:
            return out.pop()
        data = b"".join(out)
        out.clear()
        return data

    def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """
        Queue a message, as one frame: text for str, else binary.

        Raises:
            LocalProtocolError: the connection is closing, or text has a surrogate, which UTF-8 cannot express.
            TypeError: it is something else.
        """
        if self.closing:
            raise LocalProtocolError("cannot send a message: the WebSocket is closing")
        payload: Payload
        if isinstance(message, str):
            first = _FINAL_TEXT
            try:
                payload = message.encode()
            except UnicodeEncodeError as exc:
                raise LocalProtocolError(f"cannot send a message with a surrogate at position {exc.start}") from None
        elif isinstance(message, (bytes, bytearray)):
            first, payload = _FINAL_BINARY, message
        elif isinstance(message, memoryview):
            first, payload = _FINAL_BINARY, bytes(message)
        else:
            raise TypeError(f"a message must be str, bytes, bytearray or memoryview, got {type(message).__name__}")
        codec = self._codec
        if codec is not None and len(payload) >= codec.min_size:
            compressed = codec.compress(payload)
            if compressed is not None:
                first, payload = first | _COMPRESSED, compressed
        size = len(payload)
        key = self._new_key()
        if size <= MAX_CONTROL and not first & _COMPRESSED:
            # The frame of a short message in one step: with `masked` and `_head` it takes 1.2 us instead of 1.0.
            mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
            body = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
            self.output.append(_SHORT_HEADS[first][size] + key + body)
        else:
            self.output.append(masked(payload, key, _head(first, size) + key))

    def ping(self, payload: bytes | None = None) -> int:
        """
        Queue a ping. Return its number, which `pings_answered` reaches when the peer has answered this or a later one.

        Args:
            payload: at most 125 bytes; None for one that no other ping of the connection has.

        Raises:
            LocalProtocolError: the connection is closing, or the payload is too long.
        """
        if self.closing:
            raise LocalProtocolError("cannot send a ping: the WebSocket is closing")
        self._pings_sent += 1
        number = self._pings_sent
        if payload is None:
            payload = number.to_bytes(8, "big")
        elif len(payload) > MAX_CONTROL:
            self._pings_sent -= 1
            raise LocalProtocolError(f"a ping can have at most {MAX_CONTROL} bytes, got {len(payload)}")
        self._pings = (*self._pings[-_MAX_PINGS + 1 :], (payload, number))
        self.output.append(self._control_frame(PING, payload))
        return number

    def close(self, code: int | None = NORMAL, reason: str = "") -> None:
        """
        Queue a Close; messages that arrive from now on are skipped. Nothing happens if one was sent already.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999; None for a Close without a code.
            reason: at most 123 bytes as UTF-8.

        Raises:
            LocalProtocolError: code or reason are not legal.
        """
        if code is None:
            if reason:
                raise LocalProtocolError("a Close with a reason must have a code")
            payload = b""
        else:
            if not is_close_code(code):
                raise LocalProtocolError(f"a Close must have a code of 1000-1003, 1007-1014 or 3000-4999, got {code}")
            encoded = reason.encode("utf-8", "replace")
            if len(encoded) > _MAX_REASON:
                raise LocalProtocolError(f"a Close's reason can have at most {_MAX_REASON} bytes, got {len(encoded)}")
            payload = code.to_bytes(2, "big") + encoded
        if self.closing or self.finished:
            return
        self._queue_close(payload)
        self._assembly = b""
        self.resume()

    def forget_keys(self) -> None:
        """Use new keys from now on: a forked child must not mask with the keys that its parent uses."""
        self._keys = iter(())

    def _new_key(self) -> bytes:
        for (key,) in self._keys:
            return key
        self._keys = keys(self._random)
        return next(self._keys)[0]

    def _control_frame(self, opcode: int, payload: bytes) -> Payload:
        key = self._new_key()
        return masked(payload, key, _SHORT_HEADS[_FINAL | opcode][len(payload)] + key)

    def _queue_close(self, payload: bytes) -> None:
        self.output.append(self._control_frame(CLOSE, payload))
        self.closing = True
        self._quick = -1

    # Receiving.

    def receive(self, data: bytes) -> None:
        """
        Take bytes that arrived from the peer; any split is allowed, and the outcome does not depend on it.

        Never raises for what the peer did: it sets `error`.

        Args:
            data: 1 to any number of bytes; b"" means that the peer closed its side.

        Raises:
            RuntimeError: called again after b"" (a bug in the caller).
        """
        if self._ended:
            raise RuntimeError("receive() was called after the end of the stream")
        if not data:
            self._ended = True
            if not self.full:
                self._end()
        elif self.closed or self._fault is not None:
            pass
        elif self.full:
            if self._later:
                self._later += data
            else:
                self._later = bytearray(data)
        elif self._rest:
            rest, self._rest = self._rest, b""
            self._read_frames(rest + data, 0)
        else:
            self._read_frames(data, 0)

    def receive_incomplete_close(self) -> None:
        """Take the end of the peer's side under TLS without close_notify: only the peer's Close ends a WebSocket."""
        self.receive(b"")

    def take_message(self) -> Message:
        """
        Remove and return the oldest message.

        Raises:
            IndexError: there is none.
        """
        return self.messages.popleft()

    def resume(self) -> None:
        """
        Go on with what came while `full`, if all messages were taken.

        Not a part of `take_message`: what comes next may end the connection, and the caller may want to respond to the
        last message before that.
        """
        if not self.full or (self.messages and not self.closing):
            return
        self.full = False
        if self._fault is not None:
            self._fail(*self._fault)
            return
        rest, at = self._rest, self._rest_at
        self._rest, self._rest_at = b"", 0
        self._read_frames(rest, at)
        if self._later and not self.full:
            later, self._later = bytes(self._later), b""
            rest, self._rest = self._rest, b""
            if not self.closed and self._fault is None:
                self._read_frames(rest + later, 0)
        if self._ended and not self.full:
            self._end()

    def _end(self) -> None:
        """Note the end of the stream, after all that came before it."""
        if not self.closed and self.error is None:
            self.error = RemoteProtocolError("the connection ended without a Close frame")
            self.close_code = ABNORMAL
        self._stop()

    def _fail(self, code: int, problem: str) -> None:
        """
        End the connection for a fault of the peer; nothing that follows is looked at (RFC 6455 7.1.7).

        While messages wait only the fault is noted, for `resume`.
        """
        self._fault = code, problem
        if self.messages and not self.closing:
            self.full = True
            self._drop_input()
            return
        self.error = RemoteProtocolError(problem)
        self.close_code = ABNORMAL
        if not self.closing:
            self._queue_close(code.to_bytes(2, "big") + problem.encode("ascii", "replace")[:_MAX_REASON])
        self._stop()

    def _stop(self) -> None:
        self.finished = self.closing = True
        self._drop_input()

    def _drop_input(self) -> None:
        self._quick = -1
        self._rest, self._rest_at, self._later, self._assembly = b"", 0, b"", b""

    def _read_frames(self, data: bytes, at: int) -> None:
        """Take frames from `at` until the input ends, or enough messages wait."""
        size = len(data)
        last = size - 1  # a frame has two bytes at least
        messages = self.messages
        if not messages:
            self.waiting_bytes = 0
        try:
            if self._missing and at < size:
                at = self._read_payload(data, at, size)
                if self._fault is not None:
                    return
            while at < last and not self.full:
                first, length, start = data[at], data[at + 1], at + 2
                if length > MAX_CONTROL:
                    start += 2
                    length = data[at + 2] << 8 | data[at + 3] if length == 126 and start <= size else 0
                    length = length if length > MAX_CONTROL else _MAX_LENGTH  # which is left to `_read_frame`
                end = start + length
                if length <= self._quick and end <= size and _FINAL < first <= _FINAL_BINARY:
                    # Nearly all frames are whole messages: a third of the cost of `_read_frame` here.
                    payload = data[start:end]
                    messages.append(payload.decode() if first == _FINAL_TEXT else payload)
                    self.waiting_bytes += length
                    if self.waiting_bytes >= self._max_waiting or len(messages) >= self._max_messages:
                        self.full = True
                else:
                    end = self._read_frame(data, at, size)
                    if end < 0:
                        break
                at = end
        except UnicodeDecodeError:
            self._fail(INVALID_DATA, _NOT_UTF_8)
        except BadCompression as exc:
            self._fail(INVALID_DATA, str(exc))
        if self._fault is not None or self.closed:
            return
        if self.full:
            self._rest, self._rest_at = data, at  # without a copy: there may be many more messages in it
        elif at < size:
            self._rest = data[at:]

    def _read_frame(self, data: bytes, at: int, size: int) -> int:
        """
        Take a frame, as far as it is there. Return where the next one begins; -1 if there is none.

        Of a frame whose head is not complete, and of a control frame that is not, nothing is taken.
        """
        first, length = data[at], data[at + 1]
        opcode = first & 0x0F
        problem = self._problem(first, opcode, length)
        if problem:
            self._fail(PROTOCOL_ERROR, problem)
            return -1
        start = at + 2
        if opcode >= CLOSE:
            end = start + length
            if end > size:
                return -1
            self._read_control(opcode, data[start:end])
            return -1 if self.closed or self._fault is not None else end
        if length >= 126:
            start = at + (4 if length == 126 else 10)
            if start > size:
                return -1
            length = int.from_bytes(data[at + 2 : start], "big")
            if length < (126 if start == at + 4 else 65_536):
                self._fail(PROTOCOL_ERROR, f"a frame's length of {length} does not have its shortest form")
                return -1
            if length > _MAX_LENGTH:
                self._fail(PROTOCOL_ERROR, "a frame's length has its highest bit set")
                return -1
        if opcode:
            self._kind, self._compressed = opcode, first & _COMPRESSED != 0
            self._compressed_size = 0
        self._final = first & _FINAL != 0
        self._quick = -1
        if not self.closing and not self._is_welcome(length):
            return -1
        self._missing = length
        return self._read_payload(data, start, size)

    def _problem(self, first: int, opcode: int, length: int) -> str:
        """Return what is wrong with the first two bytes of a frame; "" if nothing is."""
        if first & 0x70 and (first & 0x70 != _COMPRESSED or self._codec is None or opcode not in (TEXT, BINARY)):
            return f"a frame has reserved bits set: first byte {first:#04x}"
        if length & 0x80:
            return "a frame of the server is masked"
        if opcode >= CLOSE:
            if opcode > PONG:
                return f"a frame has the unknown opcode {opcode}"
            if not first & _FINAL:
                return "a control frame is fragmented"
            if length > MAX_CONTROL:
                return f"a control frame has more than {MAX_CONTROL} bytes"
        elif opcode > BINARY:
            return f"a frame has the unknown opcode {opcode}"
        elif opcode and self._kind:
            return "a message begins before the one before it has ended"
        elif not opcode and not self._kind:
            return "a continuation frame follows no fragment"
        return ""

    def _is_welcome(self, length: int) -> bool:
        """Return whether a frame of a message may have this many bytes. If not, the connection has failed."""
        limit = self._limit
        if limit is not None:
            if self._compressed:
                # Its output is bounded elsewhere. No compressor doubles its input; blocks without output would go on
                # for ever.
                self._compressed_size += length
                is_too_large = self._compressed_size > 2 * limit + 1024
            else:
                is_too_large = len(self._assembly) + length > limit
            if is_too_large:
                self._fail(TOO_LARGE, f"a message has more than {limit} bytes")
                return False
        if length or self._final:
            self._empty = 0
        else:
            self._empty += 1
            if self._empty > _MAX_EMPTY:
                self._fail(POLICY_VIOLATION, f"{self._empty} fragments in a row are empty")
                return False
        return True

    def _read_payload(self, data: bytes, start: int, size: int) -> int:
        """Take what is there of a message's frame, `_missing` bytes of it. Return where it ends."""
        end = min(start + self._missing, size)
        self._missing -= end - start
        is_last = self._final and not self._missing
        if not self.closing and (end > start or is_last):
            self._read_piece(data[start:end], is_last)
        if self._fault is not None:
            return -1
        if is_last:
            self._kind = 0
            self._set_quick()
        return end

    def _read_piece(self, piece: bytes, is_last: bool) -> None:
        """Take a piece of a message's payload; `is_last` is the end of the message."""
        limit = self._limit
        room = None if limit is None else limit - len(self._assembly)
        if self._compressed:
            assert self._codec is not None
            piece = self._codec.finish(piece, room) if is_last else self._codec.expand(piece, room)
        is_too_large = room is not None and len(piece) > room
        if is_last and not self._assembly and not is_too_large:
            self._deliver(piece)
            return
        if self._kind == TEXT:
            if self._utf_8 is None:
                self._utf_8 = getincrementaldecoder("utf-8")()
            self._utf_8.decode(piece, is_last and not is_too_large)
        if is_too_large:
            self._fail(TOO_LARGE, f"a message has more than {limit} bytes")
            return
        if self._assembly:
            self._assembly += piece
        else:
            self._assembly = bytearray(piece)
        if is_last:
            whole, self._assembly = self._assembly, b""
            self._deliver(whole)

    def _deliver(self, payload: bytes | bytearray) -> None:
        self.messages.append(payload.decode() if self._kind == TEXT else bytes(payload))
        self.waiting_bytes += len(payload)
        if self.waiting_bytes >= self._max_waiting or len(self.messages) >= self._max_messages:
            self.full = True

    def _set_quick(self) -> None:
        if not self.closing:
            self._quick = 0xFFFF if self._limit is None else min(0xFFFF, self._limit)

    def _read_control(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._read_close(payload)
        elif opcode == PONG:
            self._read_pong(payload)
        elif not self.closing:
            self.pongs.append(self._control_frame(PONG, payload))
            del self.pongs[:-_MAX_PONGS]

    def _read_pong(self, payload: bytes) -> None:
        """Note which ping was answered, and with it all before it; a pong may also come by itself (RFC 6455 5.5.3)."""
        for index, (sent, number) in enumerate(self._pings):
            if sent == payload:
                self.pings_answered = number
                self._pings = self._pings[index + 1 :]
                return

    def _read_close(self, payload: bytes) -> None:
        code, reason = NO_CODE, ""
        if len(payload) == 1:
            self._fail(PROTOCOL_ERROR, "a Close frame has half a code")
            return
        if payload:
            code = int.from_bytes(payload[:2], "big")
            if not is_close_code(code):
                self._fail(PROTOCOL_ERROR, f"a Close frame has the code {code}, which must not be sent")
                return
            try:
                reason = payload[2:].decode()
            except UnicodeDecodeError:
                self._fail(INVALID_DATA, "the reason of a Close frame is not valid UTF-8")
                return
        self.closed = True
        self.close_code, self.close_reason = code, reason
        self._assembly = b""
        if not self.closing:
            self.closed_by_peer = True
            self._queue_close(payload[:2])


def _head(first: int, size: int) -> bytes:
    """Return the head of a masked frame, up to its key (RFC 6455 5.2)."""
    if size <= MAX_CONTROL:
        return bytes((first, 0x80 | size))
    if size <= 0xFFFF:
        return bytes((first, 0xFE)) + size.to_bytes(2, "big")
    return bytes((first, 0xFF)) + size.to_bytes(8, "big")
