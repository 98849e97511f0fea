"""
HTTP/1.1 for a client: one request and its response as a pure machine (RFC 9112).

Sending                                     Receiving

    HELD ──100, proceed()──► STREAMING      IN_HEAD ──1xx──► IN_HEAD
      │                        │              ├─ no body ───────────────────────────────────────► COMPLETE
      └──final response────┐   │ feed(None)   ├─ length ──► IN_LENGTH ──────────────────────────► COMPLETE
                           ▼   ▼              ├─ chunked ─► IN_SIZE ─► IN_DATA ─► AFTER_DATA
                           SENT ◄── no body   │               │▲───────────────────────┘
                                              │               └─ 0 ─► IN_TRAILERS ────────────► COMPLETE
                                              ├─ neither ─► UNTIL_CLOSE ── end ─────────────────► COMPLETE
                                              └─ 101, 2xx to CONNECT ───────────────────────────► SWITCHED

An exchange carries nothing over to the next one on its connection. Bytes after the end of the response make the
connection unusable (`reusable` is False): they could only be the response to a request that was not sent yet.

Strict where two parties could disagree on where a message ends. Lenient where it is safe:
  - lines of a head may end in a bare LF (RFC 9112 section 2.2), and field lines may be folded (5.2, see `fields`)
  - blanks are skipped after a chunk size and before its extensions (7.1.1), but not before or inside the size
  - Content-Length beside chunked: chunked wins, and the connection is not used again (6.3)
  - a response that has no body ends with its fields, also if these speak of framing (6.3)

Not here: which names and values are legal, in both directions (`fields`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._exceptions import LocalProtocolError, RemoteProtocolError
from .exchange import BODY, DEFAULT_HEAD_LIMITS, INPUT, NOTHING, OUTPUT, PAUSE, Exchange, Fields, HeadLimits
from .fields import (
    CONNECTION,
    CONTENT_LENGTH,
    FIELD_OF,
    KIND_OF,
    MAX_BODY,
    REMARKABLE,
    TOKEN,
    TRANSFER_ENCODING,
    BadFieldLine,
    WrittenFields,
    bad_coding,
    bad_length,
    content_length,
    legal_trailers,
    one_length,
    options_of,
    unfolded,
)

# Receiving states.
IN_HEAD, IN_LENGTH, IN_SIZE, IN_DATA, AFTER_DATA, IN_TRAILERS, UNTIL_CLOSE, COMPLETE, SWITCHED = range(9)
# Sending states.
SENT, STREAMING, HELD = range(3)
# What is needed in each of them once there is nothing to send, as long as the response is not complete.
_NEED_WHEN = (INPUT, BODY, PAUSE)

# A body up to this size leaves in the same piece as the head; copying more costs more than a second send call.
COALESCE = 65_536
# The most that is handed out at once of a larger body.
PIECE = 262_144
# The longest chunk-size line, and what all chunk extensions of a body may add up to. Extensions are not used in
# practice, and they must not be a way to send without end.
MAX_SIZE_LINE = 4_096
MAX_EXTENSIONS = 65_536

# Final responses without a body; fields about framing do not count.
_NO_BODY = (101, 204, 304)
_NOT_IN_TARGET = re.compile(rb"[^\x21-\x7e]")
# VT and FF end lines in some programs, so they are refused like CR and NUL.
_STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9]) ([1-9][0-9][0-9])(?: ([^\0\r\n\v\f]*))?")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_BLANK_LINE = re.compile(rb"\n\r?\n")  # the end of a line is its beginning
_BARE_LF = re.compile(rb"(?<!\r)\n")

_COMMON_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))


class _StatusLines(dict[bytes, tuple[int, bytes, bytes]]):
    """Status line without its line end -> (status, reason, version), or KeyError. Remembered, bounded."""

    def __missing__(self, line: bytes) -> tuple[int, bytes, bytes]:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise KeyError(line)
        version, status, reason = match.groups(b"")
        start = (int(status), reason, version)
        if len(line) <= 64:
            if len(self) >= 128:
                self.clear()
            self[line] = start
        return start


_START_OF = _StatusLines()


class FieldWriter:
    """
    The last field block that was written: a client that sends the same fields again checks them once (0.1 us, not 2.5).

    One for each transport, so that what it remembers lives no longer than the client whose headers these are.
    Threads may share it: the one reference is replaced as a whole.
    """

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last: WrittenFields | None = None


class HTTP1Exchange(Exchange):
    """
    One request and its response on a connection that is idle.

    Args:
        method: such as b"GET"; a token.
        target: the request target as it is sent: b"/path?query", a whole URL for a proxy, or b"host:port".
        fields: the request's fields in their order, exactly one Host among them.
        body: what of the body is known now; it leaves together with the head when it is small.
        streaming: more of the body comes through `feed`; otherwise `body` is all of it.
        limits: of the response's head, interim responses and trailers.

    Raises:
        LocalProtocolError: the request is not legal HTTP; nothing of it was sent.

    RFC 9112; RFC 9110 sections 5.1 (names), 5.5 (values), 10.1.1 (Expect), 15.2 (1xx).
    """

    # Class attributes for what few exchanges change; see `Exchange`.
    _sending = SENT
    _held: Sequence[bytes] = ()
    _taken = 0
    # What has arrived of a block or line that is not complete, and at the end the surplus. Blocks and surplus grow in
    # place, as a bytearray.
    _buffer: bytes | bytearray = b""
    _streaming = False
    _to_send: int | None = None
    _extensions = MAX_EXTENSIONS

    def __init__(
        self,
        method: bytes,
        target: bytes,
        fields: Fields,
        body: bytes = b"",
        streaming: bool = False,
        limits: HeadLimits = DEFAULT_HEAD_LIMITS,
        writer: FieldWriter | None = None,
    ) -> None:
        last = None if writer is None else writer.last
        if last is None or last.fields != fields:
            last = WrittenFields(fields)
            if writer is not None:
                writer.last = last
        self._written = written = last
        self._method = method
        self._limits = limits
        self._budget = limits.max_bytes
        self.need = OUTPUT
        self.head = self.error = None
        self.chunks = []
        self.finished = self.reusable = self.only_informational = self._asked = False
        self.untouched = self._keep_alive = True
        self._receiving = IN_HEAD
        self._scanned = self._remaining = 0
        if method not in _COMMON_METHODS and TOKEN.fullmatch(method) is None:
            raise LocalProtocolError(f"method {method[:20]!r} is not a token (letters, digits and !#$%&'*+-.^_`|~)")
        if not target or _NOT_IN_TARGET.search(target) is not None:
            raise LocalProtocolError(f"request target {target[:20]!r} has a character that is not visible ASCII")
        self._out = [b"%b %b HTTP/1.1\r\n%b" % (method, target, written.block)]
        if body or streaming or written.length or written.chunked:
            self._begin_upload(body, streaming)

    # Sending.

    def _begin_upload(self, body: bytes, streaming: bool) -> None:
        """Queue what of the body is known when the exchange begins, or hold it back until the peer consents."""
        self._to_send = self._written.length
        self._streaming = streaming
        self._sending = STREAMING
        # Written now even if it is held back: a fault in it must show before the head has left.
        if body:
            self._write_chunk(body)
        if not streaming:
            self._end_body()
        if self._written.expects_continue:
            self.remarkable = True
            self._sending = HELD
            self._held = self._out[1:]
            del self._out[1:]
        else:
            self._join_output()

    def _write_chunk(self, chunk: bytes) -> None:
        if self._written.chunked:
            self._out += [b"%x\r\n" % len(chunk), chunk, b"\r\n"]
        elif self._to_send is None:
            raise LocalProtocolError("a request with a body needs Content-Length or Transfer-Encoding: chunked")
        elif len(chunk) > self._to_send:
            raise LocalProtocolError("the request's body is longer than its Content-Length")
        else:
            self._to_send -= len(chunk)
            self._out.append(chunk)

    def _end_body(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        if trailers and not self._written.chunked:
            raise LocalProtocolError("trailers need a request with Transfer-Encoding: chunked")
        if self._written.chunked:
            lines = [b"%b: %b\r\n" % field for field in legal_trailers(trailers)] if trailers else ()
            self._out.append(b"0\r\n%b\r\n" % b"".join(lines))
        elif self._to_send:
            raise LocalProtocolError(f"the request's body is {self._to_send} bytes shorter than its Content-Length")
        self._sending = SENT

    def _join_output(self) -> None:
        """Join small pieces; a large chunk stays a piece of its own and is never copied."""
        pieces: list[bytes] = []
        small: list[bytes] = []
        for piece in self._out:
            if len(piece) > COALESCE:
                if small:
                    pieces.append(b"".join(small))
                    small = []
                pieces.append(piece)
            else:
                small.append(piece)
        if small:
            pieces.append(b"".join(small))
        self._out = pieces

    def take(self) -> bytes:
        """Remove and return what should be sent now, `PIECE` bytes at most; `need` stays OUTPUT until all is taken."""
        out = self._out
        if not out:
            return b""
        self._asked = True
        data = out[0]
        if len(data) > PIECE:
            # A slice: when a response ends the upload early, the rest has not left the machine yet.
            start = self._taken
            self._taken = end = start + PIECE
            if end < len(data):
                return data[start:end]
            data = data[start:]
            self._taken = 0
        del out[0]
        if not out:
            self.need = _NEED_WHEN[self._sending]
        return data

    def _update_need(self) -> None:
        """Sending comes before waiting; called when what there is to send has changed."""
        self.need = OUTPUT if self._out else _NEED_WHEN[self._sending]

    def feed(self, chunk: bytes | None, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Give the next piece of the request's body; None ends it. See `Exchange.feed`."""
        if self._sending == HELD:
            self.proceed()
        if self._sending != STREAMING:
            return
        if chunk is None:
            self._end_body(trailers)
        elif chunk:
            self._write_chunk(chunk)
        self._join_output()
        self._update_need()

    def cut_short(self) -> None:
        """Send nothing more: what was taken was not sent whole. The response may still come."""
        self._keep_alive = self.reusable = False
        if self._sending != SENT or self._out:
            self._drop_output()
            self._update_need()

    def proceed(self) -> None:
        """Send the body although no 100 (Continue) came."""
        if self._sending == HELD:
            self._sending = STREAMING if self._streaming else SENT
            self._out += self._held
            self._held = ()
            self._join_output()
            self._update_need()

    def _is_sent(self) -> bool:
        """Has the request left the machine? One of known length has with its last byte, before `feed(None)`."""
        return not self._out and (self._sending == SENT or (self._sending == STREAMING and self._to_send == 0))

    def _drop_output(self) -> None:
        self._sending = SENT
        self._out = []
        self._held = ()
        self.abandoned = True
        self._keep_alive = False

    # Receiving.

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived; b"" is the end of the peer's side. See `Exchange.receive`."""
        if self.error is not None:
            return
        if not data:
            self._receive_end()
            return
        receiving = self._receiving
        if receiving == IN_LENGTH:
            self._receive_length(data)
        elif receiving == UNTIL_CLOSE:
            self.chunks.append(data)
        elif receiving in (COMPLETE, SWITCHED):
            self._keep_surplus(data)
        elif receiving != IN_HEAD:
            self._receive_chunked(data)
        elif not self._asked:
            # It is not a response to our request. `untouched` stays: the request may use another connection.
            self._fail(f"the peer sent {data[:20]!r} before the request was sent")
        else:
            self.untouched = False
            if self._buffer:
                data = self._with_buffer(data)
                if not data:
                    return
            # A head, after the interim heads that come before it; then what follows it.
            start = 0
            while self.head is None and self.error is None:
                end = self._parse_head(data, start)
                if end < 0:
                    self._keep_part(data[start:], start > 0)
                    return
                start = end
            self.only_informational = False
            if self._remaining and self._remaining == len(data) - start and self._sending == SENT and not self._out:
                # The whole body came with the head, as that of most responses does. `_finish`, inlined: 1.4 % of an
                # exchange, and one of the frames that a warm GET may have.
                self.chunks.append(data[start:])
                self._receiving = COMPLETE
                self._remaining = 0
                self.finished = True
                self.reusable = self._keep_alive and not self._written.asked_close
                self.need = NOTHING
            elif start < len(data) and self.error is None:
                self.receive(data[start:])

    def receive_incomplete_close(self) -> None:
        """Take the end of the peer's side under TLS without close_notify. See `Exchange.receive_incomplete_close`."""
        if self._receiving == UNTIL_CLOSE and self.error is None:
            self._fail(
                "the peer closed the connection without TLS close_notify in a body that ends with the connection: "
                "the body may be incomplete"
            )
        else:
            self.receive(b"")

    def _with_buffer(self, data: bytes) -> bytes:
        """
        Append to the part of a head that has arrived. Return all of it if a blank line is there, else b"".

        The part grows in place and only what is new is searched: a head that arrives byte by byte costs linear time.
        """
        buffer = self._buffer
        buffer += data
        if _BLANK_LINE.search(buffer, self._scanned) is None:
            self._keep_part(buffer, False)
            return b""
        self._buffer = b""
        return bytes(buffer)

    def _keep_part(self, part: bytes | bytearray, after_interim: bool) -> None:
        """Keep what has arrived of a head, unless it is certain already that it is not legal."""
        if not b"HTTP/1.".startswith(part[:7]):
            # Another protocol, whose blank line may never come.
            self._fail(_bad_start(part))
            return
        if len(part) > self._budget:
            self._fail(f"the heads of the response are longer than {self._limits.max_bytes} bytes")
            return
        if part is not self._buffer:
            self._buffer = bytearray(part)
        self._scanned = max(0, len(part) - 3)  # three bytes may be the beginning of the blank line
        status = part[9:12]
        self.only_informational = status.startswith(b"1") and status != b"101" if status else after_interim

    def _parse_head(self, data: bytes, start: int) -> int:
        """Read the head that begins at `start`, interim or final. Return where it ends, or -1 if it is not complete."""
        # CRLF at the ends of all lines is the usual case, at half the cost. For the first head of a segment only: this
        # looks beyond heads that end in a bare LF, and many small ones in one segment would make that quadratic.
        end = data.find(b"\r\n\r\n", self._scanned, self._budget) if not start else -1
        lines = data[:end].split(b"\r\n") if end >= 0 else []
        if lines and data.count(b"\n", 0, end) == len(lines) - 1:
            end += 4
        else:
            # No blank line yet; or a line before it ends in a bare LF, and then the blank line may be an earlier one.
            blank = _BLANK_LINE.search(data, start + self._scanned, start + self._budget)
            if blank is None:
                return -1
            end = blank.end()
            lines = data[start:end].replace(b"\r\n", b"\n").split(b"\n")[:-2]
        self._scanned = 0
        self._budget -= end - start
        try:
            status, reason, version = _START_OF[lines[0]]
            fields = [FIELD_OF[line] for line in lines[1:]]
        except KeyError:
            self._fail(_bad_start(lines[0]))
            return end
        except BadFieldLine:
            folded = self._read_folded(lines[1:])
            if folded is None:
                return end
            fields = folded
        if len(fields) > self._limits.max_fields:
            self._fail(f"the response has {len(fields)} header fields, the limit is {self._limits.max_fields}")
        elif status < 200 and status != 101:
            self._receive_interim(status, fields)
        elif status == 101 and not self._written.asked_upgrade:
            self._fail("the response is 101 (Switching Protocols), but the request asked for no upgrade")
        else:
            self._begin_body(status, fields, version != b"HTTP/1.0")
            if self.error is None:
                self.head = (status, reason, fields, version)
        return end

    def _read_folded(self, lines: list[bytes]) -> Fields | None:
        """Return the fields of lines that may be folded; None, and an error, if one of them is not legal."""
        try:
            return [FIELD_OF[line] for line in unfolded(lines)]
        except BadFieldLine as exc:
            self._fail(str(exc))
            return None

    def _receive_interim(self, status: int, fields: Fields) -> None:
        if isinstance(self.informational, list):
            self.informational.append((status, fields))
        else:
            self.informational = [(status, fields)]
        if status == 100:
            self.proceed()

    def _begin_body(self, status: int, fields: Fields, persistent: bool) -> None:
        """Decide how the body is framed and whether the connection may be kept (RFC 9112 sections 6.3 and 9.3)."""
        length: int | None = None
        codings: list[bytes] = []
        fault = ""
        repeated = False
        current = persistent
        for name, value in fields:
            kind = KIND_OF[name]
            if not kind:
                continue
            if kind == CONTENT_LENGTH:
                if length is None and value.isdigit() and len(value) < 19:
                    length = int(value)
                    continue
                number = content_length(value)
                if number is None or (length is not None and number != length):
                    fault = fault or bad_length(value, number, length)
                repeated = True
                length = number
            elif kind == CONNECTION:
                options = options_of(value) if value != b"keep-alive" else [value]
                if b"close" in options:
                    self._keep_alive = False
                persistent = persistent or b"keep-alive" in options
            elif kind == TRANSFER_ENCODING:
                codings.append(value)
            elif kind == REMARKABLE:
                self.remarkable = True
        if repeated and not fault:
            fields[:] = one_length(fields)
        # Chunks from HTTP/1.0: a relay of that version may see their end elsewhere (RFC 9112 section 6.1).
        self._keep_alive = self._keep_alive and persistent and (current or not codings)
        if self._sending != SENT or self._out:
            self._end_upload(status)
        method = self._method
        if (
            length
            and not fault
            and not codings
            and status not in _NO_BODY
            and method != b"HEAD"
            and (method != b"CONNECT" or status >= 300)
        ):
            self._receiving = IN_LENGTH
            self._remaining = length
            if self._sending == SENT and not self._out:
                self.need = INPUT
        else:
            self._choose_framing(status, length, codings, fault)

    def _end_upload(self, status: int) -> None:
        """
        Drop the rest of the upload if the response that came before its end makes it pointless.

        An error or a redirect does (RFC 9112 section 9.5), and a final response where consent was awaited. A success
        does not, with or without `Connection: close`: a server that responds while it reads, such as an echo, needs the
        rest. If it does not read, sending fails, the shell calls `cut_short`, and the response still arrives.
        """
        if (status >= 300 or self._sending == HELD) and not self._is_sent():
            self._drop_output()

    def _choose_framing(self, status: int, length: int | None, codings: list[bytes], fault: str) -> None:
        """
        Begin a body that is not framed by its length alone, or end the response without one.

        Args:
            length: the Content-Length, if there is one and it is legal.
            codings: the values of Transfer-Encoding.
            fault: what is wrong with the Content-Length; it matters only if there is a body to frame.
        """
        if status == 101 or (self._method == b"CONNECT" and status < 300):
            if self.abandoned or not self._is_sent():
                self._fail(f"the response {status} switches protocols before the request was sent completely")
                return
            self._receiving = SWITCHED
            self._sending = SENT
            self.upgraded = self.finished = True
            self.need = NOTHING
        elif self._method == b"HEAD" or status == 204 or status == 304:
            self._finish()
        elif fault:
            self._fail(fault)
        elif codings:
            if len(codings) != 1 or codings[0].lower() != b"chunked":
                self._fail(bad_coding(codings))
                return
            if length is not None:
                self._keep_alive = False  # a party that goes by the length sees another end (RFC 9112 section 6.3)
            self._receiving = IN_SIZE
        elif length is not None:
            self._finish()
        else:
            self._receiving = UNTIL_CLOSE
            self._keep_alive = False
        if not self.finished and self.error is None and self._sending == SENT and not self._out:
            self.need = INPUT

    def _finish(self) -> None:
        """End the exchange: the response is complete, and an upload that is still going on has become pointless."""
        self._receiving = COMPLETE
        self._remaining = 0
        self.finished = True
        if self._sending != SENT or self._out:
            if self._is_sent():
                self._sending = SENT
            else:
                self._drop_output()
        self.reusable = self._keep_alive and not self._written.asked_close
        self.need = NOTHING

    def _receive_length(self, data: bytes) -> None:
        size = len(data)
        remaining = self._remaining
        if size < remaining:
            self._remaining = remaining - size
            self.chunks.append(data)
            return
        self.chunks.append(data if size == remaining else data[:remaining])
        self._finish()
        if size > remaining:
            self._keep_surplus(data[remaining:])

    def _receive_chunked(self, data: bytes) -> None:
        """Read as many chunks as `data` holds; only an incomplete line is kept for the next time."""
        if self._receiving == IN_TRAILERS:
            self._receive_trailers(data)
            return
        if self._buffer:
            data = bytes(self._buffer) + data
            self._buffer = b""
        position, size = 0, len(data)
        while position < size:
            receiving = self._receiving
            if receiving == IN_DATA:
                end = min(size, position + self._remaining)
                self.chunks.append(data[position:end])
                self._remaining -= end - position
                position = end
                if not self._remaining:
                    self._receiving = AFTER_DATA
                continue
            if receiving == IN_SIZE:
                following = self._receive_size(data, position)
            elif receiving == AFTER_DATA:
                following = self._receive_data_end(data, position)
            else:
                self._receive_trailers(data[position:])
                return
            if self.error is not None:
                return
            if following < 0:
                self._buffer = data[position:]
                return
            position = following

    def _receive_size(self, data: bytes, position: int) -> int:
        """Return where the line with a chunk's size ends, or -1 if it has not arrived whole."""
        end = data.find(b"\n", position, position + MAX_SIZE_LINE)
        if end < 0:
            if len(data) - position >= MAX_SIZE_LINE:
                self._fail(f"a chunk-size line is longer than {MAX_SIZE_LINE} bytes")
            return -1
        line = data[position : end - 1]
        match = _SIZE_LINE.fullmatch(line)
        if match is None or data[end - 1 : end] != b"\r":
            self._fail(f"{data[position : end + 1][:20]!r} is not a chunk size, which is hex digits and CRLF")
            return -1
        digits = match.group(1)
        self._extensions -= len(line) - len(digits)
        self._remaining = int(digits, 16)
        if self._extensions < 0 or self._remaining > MAX_BODY:
            self._fail("a chunk is too large" if self._extensions >= 0 else "the chunk extensions are too long")
            return -1
        self._receiving = IN_DATA if self._remaining else IN_TRAILERS
        return end + 1

    def _receive_data_end(self, data: bytes, position: int) -> int:
        """Return where the CRLF after a chunk's data ends, or -1 if it has not arrived whole."""
        line_end = data[position : position + 2]
        if line_end == b"\r\n":
            self._receiving = IN_SIZE
            return position + 2
        if line_end != b"\r":
            self._fail(f"a chunk is followed by {line_end!r} instead of CRLF: its size was wrong")
        return -1

    def _receive_trailers(self, data: bytes) -> None:
        """Take more of the trailer fields and the blank line that ends the body; see `_with_buffer` for the cost."""
        buffer: bytes | bytearray = data
        if self._buffer:
            buffer = self._buffer
            buffer += data
        if buffer.startswith(b"\r\n"):
            self._finish_trailers([], buffer, 2)
            return
        end = buffer.find(b"\r\n\r\n", self._scanned, self._budget)
        used = end + 4 if end >= 0 else len(buffer)
        if _BARE_LF.search(buffer, self._scanned, used) is not None:
            self._fail("a line of the trailers does not end in CRLF")
        elif used > self._budget:
            self._fail(f"the head and trailers of the response are longer than {self._limits.max_bytes} bytes")
        elif end >= 0:
            self._finish_trailers(bytes(buffer[:end]).split(b"\r\n"), buffer, used)
        else:
            if buffer is data:
                self._buffer = bytearray(data)
            self._scanned = max(0, used - 3)

    def _finish_trailers(self, lines: list[bytes], block: bytes | bytearray, end: int) -> None:
        """Read the lines of the trailers and end the response; `block` is surplus from `end` on."""
        self._buffer = b""
        fields = self._read_folded(lines)
        if fields is None:
            return
        if len(fields) > self._limits.max_fields:
            self._fail(f"the response has {len(fields)} trailer fields, the limit is {self._limits.max_fields}")
            return
        self.trailers = fields or None
        self._finish()
        if end < len(block):
            self._keep_surplus(block[end:])

    @property
    def surplus(self) -> bytes:
        """What arrived after the end of the response."""
        return bytes(self._buffer) if self._receiving in (COMPLETE, SWITCHED) else b""

    @property
    def is_unframed(self) -> bool:
        """Whether the bytes that come next are the body's alone. See `Exchange.is_unframed`."""
        return self._receiving in (IN_LENGTH, UNTIL_CLOSE)

    def _keep_surplus(self, data: bytes | bytearray) -> None:
        if self._buffer:
            self._buffer += data
        else:
            self._buffer = bytearray(data)
        self.reusable = False

    def _receive_end(self) -> None:
        """Take the end of the peer's side."""
        receiving = self._receiving
        self._keep_alive = self.reusable = False
        if receiving == UNTIL_CLOSE:
            self._finish()
        elif receiving == IN_HEAD:
            if self._buffer or self.informational:
                self._fail("the peer closed the connection within the head of its response")
            else:
                self._fail("the peer closed the connection without a response")
        elif receiving == IN_LENGTH:
            self._fail(f"the peer closed the connection {self._remaining} bytes before the end of the body")
        elif receiving != COMPLETE and receiving != SWITCHED:
            self._fail("the peer closed the connection before the end of the chunked body")

    def _fail(self, message: str) -> None:
        """Enter the error state: the only way in. It is never left."""
        self.error = RemoteProtocolError(message)
        self._keep_alive = self.reusable = False
        self._sending = SENT
        self._out = []
        self._held = ()
        self._buffer = b""
        self.need = NOTHING


def _bad_start(line: bytes | bytearray) -> str:
    return f"the response begins with {bytes(line[:20])!r} instead of an HTTP/1.x status line"
