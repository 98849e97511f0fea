"""
Server-Sent Events: the bytes of an event stream to its events (HTML Living Standard, sections 9.2.5 and 9.2.6).

    decoder = EventDecoder()
    for piece in pieces:
        for event in decoder.decode(piece):
            ...
        if decoder.error is not None:
            raise decoder.error

Any cut of the stream gives the same events. Lines end with LF, CR or CR LF and with nothing else: U+2028 and the others
that `str.splitlines` knows are text in events. An event is complete with its blank line; one without, at the end of the
stream, is dropped. Memory is bounded by `max_event_size`, and work is linear however a line is cut.

Unlike the standard, and like other clients in Python, a block without data is an event with empty data if it gives a
type, an id or a time to retry: servers send `event: done` like that.

Not here: content types, where the bytes come from (`_event_source`), reconnecting (`_subscription`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ._exceptions import TransportError

if TYPE_CHECKING:
    from ._request import Request

# Bytes. The id comes back in a header of the next request.
MAX_ID_SIZE = 8_192
_SURELY_SHORT = MAX_ID_SIZE // 4  # characters, whatever they are
# Digits of `retry`, leading zeros aside; more is not a time, and would take long to convert.
_MAX_RETRY_DIGITS = 15
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """
    One event of a stream.

    Attributes:
        event: its type, "message" unless the server names one.
        data: its lines, joined with newlines.
        id: the last id that the stream gave, with this event or before it; "" for none.
        retry: milliseconds to wait before a reconnection, if given with this event.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None

    def json(self, **options: Any) -> Any:
        """
        Return `data` parsed as JSON.

        Args:
            options: for `json.loads`.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.data, **options)


class SSEError(TransportError):
    """The response is not an event stream, or one of its events is too large."""


class EventDecoder:
    """
    Bytes of an event stream in pieces, to its events.

    Args:
        max_event_size: bytes of one event, its comments, field names and line ends (each as one byte) included; None
            without a limit.
        last_event_id: of the stream that this one goes on with.

    Attributes:
        last_event_id: the last id of a complete event.
        retry: milliseconds, the last that the stream gave; None before the first.
        error: set when an event or its id is too large; nothing is decoded after that.
    """

    __slots__ = (
        *(
            "_after_cr",
            "_data",
            "_event",
            "_has_begun",
            "_held",
            "_id",
            "_has_id",
            "_max_size",
            "_retry",
        ),
        *("_size", "error", "last_event_id", "retry"),
    )

    def __init__(self, max_event_size: int | None = 1_048_576, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self.error: SSEError | None = None
        self._max_size = max_event_size
        self._has_begun = False  # a byte order mark can come no more
        self._after_cr = False
        # The line that is not complete. Not a list of pieces, of which tiny ones take thirty times the memory.
        self._held = bytearray()
        # The event that is not complete.
        self._size = 0  # bytes of its complete lines
        self._event = ""
        self._data: list[str] = []
        self._id = last_event_id
        self._retry: int | None = None
        self._has_id = False  # the event itself has one

    def decode(self, piece: bytes) -> list[ServerSentEvent]:
        """
        Return the events that end in `piece`, in their order; look at `error` after them.

        Args:
            piece: any number of bytes.
        """
        if self.error is not None:
            return []
        if self._after_cr and piece:
            self._after_cr = False
            if piece[0] == 10:
                piece = piece[1:]  # of a CR LF: the line has ended with its CR
        if b"\r" in piece:
            self._after_cr = piece[-1] == 13
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = piece.rfind(b"\n") + 1
        if not end:
            self._hold(piece)
            return []
        lines = piece[:end]
        if self._held:
            lines = b"".join((self._held, lines))
            self._held.clear()
        events = self._decode_lines(lines)
        if end < len(piece):
            self._hold(piece[end:])
        return events

    def new_error(self, request: Request | None) -> SSEError:
        """Return an exception like `error`, to raise: `error` itself would then refer to frames that have this."""
        return SSEError("" if self.error is None else str(self.error), request=request)

    def _hold(self, piece: bytes) -> None:
        """Keep a piece of the line that is not complete."""
        if piece and self.error is None:
            self._held += piece
            if self._max_size is not None and self._size + len(self._held) > self._max_size:
                self._fail(self._too_large)

    def _fail(self, problem: str) -> None:
        self.error = SSEError(problem)
        self._held.clear()
        self._data.clear()

    @property
    def _too_large(self) -> str:
        return f"an event of the stream has more than {self._max_size} bytes"

    def _decode_lines(self, lines: bytes) -> list[ServerSentEvent]:
        """Return the events that end in complete lines."""
        limit = self._max_size
        is_too_large = False
        if limit is not None and self._size + len(lines) > limit:
            end = self._end_of_fitting(lines, limit)
            is_too_large = end < len(lines)
            lines = lines[:end]
        last = lines.rfind(b"\n\n")
        if last >= 0:
            self._size = len(lines) - last - 2
        else:
            self._size = len(lines) - 1 if lines[:1] == b"\n" else self._size + len(lines)
        if not self._has_begun:
            self._has_begun = True
            lines = lines[3:] if lines.startswith(_BYTE_ORDER_MARK) else lines
        events = self._read_lines(lines.decode("utf-8", "replace").split("\n"))
        if is_too_large and self.error is None:
            self._fail(self._too_large)
        return events

    def _end_of_fitting(self, lines: bytes, limit: int) -> int:
        """Return where the first event begins that is too large; the length of `lines` if none is."""
        start, size = 0, self._size
        while start < len(lines):
            # A block ends with a blank line: at its beginning, or after another line.
            end = start + 1 if lines[start] == 10 else lines.find(b"\n\n", start) + 2
            if end < 2 and lines[start] != 10:
                end = len(lines)
            if size + end - start > limit:
                return start
            start, size = end, 0
        return start

    def _read_lines(self, lines: list[str]) -> list[ServerSentEvent]:
        """Return the events of lines, the last of which is empty: what stands after the last line's end."""
        lines.pop()
        events: list[ServerSentEvent] = []
        data, new = self._data, tuple.__new__
        for line in lines:
            if line:
                # The usual form of a field, here; all else in `_read_field`, whose frame is a third of an event's cost.
                name, _, value = line.partition(": ")
                if name == "data":
                    data.append(value)
                elif name == "event":
                    self._event = value
                elif name == "id" and 0 < len(value) <= _SURELY_SHORT and "\0" not in value:
                    self._id = value
                    self._has_id = True
                else:
                    self._read_field(line)
                    if self.error is not None:
                        break
            else:
                if data or self._event or self._has_id or self._retry is not None:
                    # Without the named tuple's constructor, which is a frame of 0.2 us.
                    values = (self._event or "message", "\n".join(data), self._id, self._retry)
                    events.append(new(ServerSentEvent, values))
                    data.clear()
                    self._event, self._retry, self._has_id = "", None, False
                self.last_event_id = self._id
        return events

    def _read_field(self, line: str) -> None:
        """Take a line that is not blank: a field in any form, or a comment."""
        name, _, value = line.partition(":")
        if value[:1] == " ":
            value = value[1:]
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            if "\0" not in value:
                if len(value) > MAX_ID_SIZE or len(value.encode()) > MAX_ID_SIZE:
                    self._fail(f"an id of the stream has more than {MAX_ID_SIZE} bytes")
                    return
                self._id = value
                self._has_id = value != ""
        elif name == "retry" and value.isascii() and value.isdigit():
            digits = value.lstrip("0") or "0"
            if len(digits) <= _MAX_RETRY_DIGITS:
                self.retry = self._retry = int(digits)


# As `httpx` does for modules that it loads at once.
ServerSentEvent.__module__ = SSEError.__module__ = "httpx"
