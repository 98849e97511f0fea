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
from typing import TYPE_CHECKING, NamedTuple

from .exits import Failure
from .screen import CYAN, GREY, Screen

if TYPE_CHECKING:
    import httpx

_EVENTS = re.compile(r"text/event-stream\s*(?:;|$)", re.I)
# Fewer than `str.splitlines` has: U+2028 and similar characters are text in events and in JSON.
_END = re.compile(r"\r\n|\r|\n")

# Characters of one line, and of the data of one event: an endless one must not fill the memory.
MAX_LENGTH = 16 * 1024 * 1024


class Event(NamedTuple):
    """
    A server-sent event.

    Attributes:
        event: its name, "message" unless the server says otherwise.
        data: its lines, joined.
        id: the last one that was given; "" for none.
    """

    event: str
    data: str
    id: str


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
            _check_length(size + len(line), most, "line")
            yield "".join([*rest, line])
            rest, size = [], 0
        rest.append(tail)
        size += len(tail)
        _check_length(size, most, "line")
    last = "".join([*rest, decode(b"", True)])
    if last:
        yield last


def _check_length(size: int, most: int, what: str) -> None:
    if size > most:
        raise Failure(f"a {what} of the stream has more than {most} characters")


def events(lines: Iterable[str], most: int = MAX_LENGTH) -> Iterator[Event]:
    """
    Yield the events in the lines of an event stream; the last one only if an empty line ends it.

    Args:
        lines: without their ends.
        most: characters in the data of an event.

    Raises:
        Failure: an event has more.

    HTML Living Standard, section 9.2.6.
    """
    name, last_id = "", ""
    data: list[str] = []
    size = 0
    first = True
    for line in lines:
        if first:
            line, first = line.removeprefix("\ufeff"), False
        if not line:
            if data:
                yield Event(name or "message", "\n".join(data), last_id)
            name, data, size = "", [], 0
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
            size += len(value) + 1
            _check_length(size, most, "server-sent event")
        elif field == "id" and "\0" not in value:
            last_id = value


def show(response: httpx.Response, screen: Screen) -> None:
    """Show an unread body."""
    if not (screen.is_terminal or screen.formats or screen.has_colours):
        for piece in response.iter_bytes():
            screen.write_bytes(piece)
    elif _EVENTS.match(response.headers.get("content-type", "")):
        # Events are UTF-8; the charset of the header does not count.
        for event in events(lines(response.iter_bytes())):
            _show_event(event, screen)
    else:
        for line in lines(response.iter_bytes(), _charset_of(response)):
            screen.value(line)


def _charset_of(response: httpx.Response) -> str:
    try:
        return codecs.lookup(response.encoding or "utf-8").name
    except LookupError:
        return "utf-8"


def _show_event(event: Event, screen: Screen) -> None:
    screen.painted(CYAN, event.event)
    if event.id:
        screen.painted(GREY, f"  {event.id}")
    screen.write("\n")
    screen.value(event.data, "  ")
    screen.write("\n")
