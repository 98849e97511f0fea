"""
JSON Lines: the bytes of a body to the values in its lines.

    decoder = JSONLinesDecoder()
    for piece in pieces:
        for value in decoder.decode(piece):
            ...
        if decoder.error is not None:
            raise decoder.error
    the same with decoder.flush() at the end of the body

Any cut of the body gives the same values. Lines end with LF or CR LF and with nothing else: U+2028 and the others that
`str.splitlines` knows may stand in JSON. Blank lines are skipped, and the last line may lack its end. The text is
UTF-8 (RFC 8259 8.1), also if the response has another charset. Memory is bounded by `max_line_size`, and work is linear
however a line is cut.

Not here: content types, where the bytes come from.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Callable

from ._exceptions import DecodingError

if TYPE_CHECKING:
    from ._request import Request

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANKS = " \t\r"
_RECORD_SEPARATOR = "\x1e"  # RFC 7464 2.2
_MAX_SHOWN = 20  # bytes of a line in a message

# What `json.loads` comes to, without two frames and two searches for blanks: 1.1 us a line of 60 bytes instead of 1.9.
_READ = json.JSONDecoder().raw_decode


class JSONLinesDecoder:
    """
    Bytes of JSON Lines in pieces, to the values of the lines.

    Args:
        max_line_size: bytes of a line without its LF; None without a limit.
        loads: makes a value from the text of a line; its ValueError means that the text is not JSON.
        is_sequence: the body is a JSON text sequence (RFC 7464), so a record separator before a value is dropped.

    Attributes:
        error: set for a line that is too long or not JSON, with `__cause__`; nothing is decoded after that.
    """

    __slots__ = ("_has_begun", "_held", "_is_sequence", "_line_number", "_loads", "_max_size", "error")

    def __init__(
        self,
        max_line_size: int | None = 16_777_216,
        loads: Callable[[str], Any] = json.loads,
        *,
        is_sequence: bool = False,
    ) -> None:
        self.error: DecodingError | None = None
        self._max_size = max_line_size
        self._loads = loads
        self._is_sequence = is_sequence
        self._has_begun = False  # a byte order mark can come no more
        self._line_number = 0  # of the last line that was decoded
        # The line that is not complete. Not a list of pieces, of which tiny ones take thirty times the memory.
        self._held = bytearray()

    def decode(self, piece: bytes) -> list[Any]:
        """
        Return the values of the lines that end in `piece`, in their order; look at `error` after them.

        Args:
            piece: any number of bytes.
        """
        if self.error is not None:
            return []
        end = piece.rfind(b"\n") + 1
        if not end:
            self._hold(piece)
            return []
        lines = self._with_held(piece[:end])
        values = self._decode_lines(lines)
        if end < len(piece):
            self._hold(piece[end:])
        return values

    def flush(self) -> list[Any]:
        """Return the value of the last line, if that has no end; look at `error` after it."""
        if self.error is not None or not self._held:
            return []
        return self._decode_lines(self._with_held(b"\n"))

    def new_error(self, request: Request | None) -> DecodingError:
        """Return an exception like `error`, to raise: `error` itself would then refer to frames that have this."""
        new = DecodingError("" if self.error is None else str(self.error), request=request)
        new.__cause__ = None if self.error is None else self.error.__cause__
        return new

    def _with_held(self, lines: bytes) -> bytes:
        if self._held:
            lines = b"".join((self._held, lines))
            self._held.clear()
        if not self._has_begun:
            self._has_begun = True
            lines = lines[3:] if lines.startswith(_BYTE_ORDER_MARK) else lines
        return lines

    def _hold(self, piece: bytes) -> None:
        """Keep a piece of the line that is not complete."""
        if piece and self.error is None:
            self._held += piece
            # A byte order mark may be among them.
            if self._max_size is not None and len(self._held) > self._max_size + 3 * (not self._has_begun):
                self._fail_too_long()

    def _decode_lines(self, lines: bytes) -> list[Any]:
        """Return the values of complete lines."""
        limit = self._max_size
        if limit is None or len(lines) <= limit:
            try:
                return self._loaded(lines.decode().split("\n"))
            except UnicodeDecodeError:
                pass
        # One by one: a line is too long or not UTF-8, and the ones before it have values.
        values: list[Any] = []
        for line in lines.split(b"\n")[:-1]:
            if limit is not None and len(line) > limit:
                self._fail_too_long()
                break
            try:
                text = line.decode()
            except UnicodeDecodeError as exc:
                self._line_number += 1
                self._fail(f"is not UTF-8 at byte {exc.start}", line, exc)
                break
            values += self._loaded([text, ""])
            if self.error is not None:
                break
        return values

    def _loaded(self, lines: list[str]) -> list[Any]:
        """Return the values of lines, the last of which is empty: what stands after the last line's end."""
        values: list[Any] = []
        loads, number = self._loads, self._line_number
        is_default = loads is json.loads
        for line in lines[:-1]:
            number += 1
            text = line.strip(_BLANKS)
            if self._is_sequence:
                text = text.lstrip(_RECORD_SEPARATOR).strip(_BLANKS)
            if text:
                try:
                    if is_default:
                        value, end = _READ(text)
                        values.append(value if end == len(text) else loads(text))  # which says what is too much
                    else:
                        values.append(loads(text))
                except (ValueError, RecursionError) as exc:
                    self._line_number = number
                    self._fail("is not JSON", line.encode(), exc)
                    break
        self._line_number = number
        return values

    def _fail(self, problem: str, line: bytes, cause: Exception) -> None:
        self.error = DecodingError(f"line {self._line_number} {problem}: {line[:_MAX_SHOWN]!r}")
        self.error.__cause__ = cause
        # Their frames refer to this decoder, and it to them.
        link: BaseException | None = cause
        while link is not None:
            link.__traceback__ = link.__context__ = None
            link = link.__cause__

    def _fail_too_long(self) -> None:
        self.error = DecodingError(f"line {self._line_number + 1} has more than {self._max_size} bytes")
        self._held.clear()
