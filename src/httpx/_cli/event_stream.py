"""
`--stream`: show the body as it arrives, line by line; server-sent events one by one.

    show(response, screen)

A pipe gets the bytes unchanged, each line at once. A terminal gets text without control characters, with JSON in
colours: most server-sent events and lines are JSON.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .._events import EventDecoder, ServerSentEvent
from .._fields import media_type_of
from .exits import Failure
from .screen import Screen

if TYPE_CHECKING:
    import httpx

# Fewer than `str.splitlines` has: U+2028 and similar characters are text in events and in JSON.
_END = re.compile(r"\r\n|\r|\n")

# Characters of one line, and bytes of one event: an endless one must not fill the memory.
MAX_LENGTH = 16 * 1024 * 1024


def lines(pieces: Iterable[bytes], charset: str = "utf-8", most: int = MAX_LENGTH) -> Iterator[str]:
    """
    Yield the lines of a body, each as soon as its end has arrived: CR LF, LF, or CR. The last one may lack its end.

    Args:
        pieces: of the body, cut anywhere.
        charset: bytes that are invalid in it become U+FFFD.
        most: characters in a line.

    Raises:
        Failure: a line is longer.
    """
    decode = codecs.getincrementaldecoder(charset)("replace").decode
    rest: list[str] = []  # of a line without its end
    size, after_cr = 0, False
    for piece in pieces:
        text = decode(piece)
        if after_cr and text:
            text, after_cr = text.removeprefix("\n"), False  # the line was yielded at its CR
        if not text:
            continue
        *whole, tail = _END.split(text)
        after_cr = text.endswith("\r")
        for line in whole:
            _check_length(size + len(line), most)
            yield "".join([*rest, line])
            rest, size = [], 0
        rest.append(tail)
        size += len(tail)
        _check_length(size, most)
    last = "".join([*rest, decode(b"", True)])
    if last:
        yield last


def _check_length(size: int, most: int) -> None:
    if size > most:
        raise Failure(f"a line of the stream has more than {most} characters")


def events(pieces: Iterable[bytes], most: int = MAX_LENGTH) -> Iterator[ServerSentEvent]:
    """
    Yield the events of an event stream, each as soon as its end has arrived.

    Args:
        pieces: of the body, cut anywhere.
        most: bytes of an event.

    Raises:
        Failure: an event has more, or an id is too long.
    """
    decoder = EventDecoder(most)
    for piece in pieces:
        yield from decoder.decode(piece)
        if decoder.error is not None:
            raise Failure(str(decoder.error))


def show(response: httpx.Response, screen: Screen) -> None:
    """Show an unread body."""
    if not (screen.is_terminal or screen.formats or screen.has_colours):
        for piece in response.iter_bytes():
            screen.write_bytes(piece)
    elif media_type_of(response.headers.get("content-type", "")) == "text/event-stream":
        # Events are UTF-8; the charset of the header does not count.
        for event in events(response.iter_bytes()):
            _show_event(event, screen)
    else:
        for line in lines(response.iter_bytes(), _charset_of(response)):
            screen.value(line)


def _charset_of(response: httpx.Response) -> str:
    try:
        return codecs.lookup(response.encoding or "utf-8").name
    except LookupError:
        return "utf-8"


def _show_event(event: ServerSentEvent, screen: Screen) -> None:
    screen.painted("field", event.event)
    if event.id:
        screen.painted("note", f"  {event.id}")
    screen.write("\n")
    if event.data:
        screen.value(event.data, "  ")
    screen.write("\n")
