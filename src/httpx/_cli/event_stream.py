"""
`--stream`: show the body as it arrives, line by line; server-sent events one by one.

    show(response, screen)

A pipe gets the bytes unchanged, each line at once. A terminal gets text without control characters, with JSON in
colours: most server-sent events and lines are JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .._events import EventDecoder, ServerSentEvent
from .._exceptions import ResponseTooLarge
from .._fields import media_type_of
from .._text import LineDecoder, TextDecoder
from .exits import Failure
from .screen import Screen

if TYPE_CHECKING:
    import httpx

# Characters of one line, and bytes of one event: an endless one must not fill the memory.
MAX_LENGTH = 16 * 1024 * 1024


def lines(pieces: Iterable[bytes], charset: str = "utf-8", most: int = MAX_LENGTH) -> Iterator[str]:
    """
    Yield the lines of a body, each as soon as its end has arrived: CR LF, LF, or CR. The last one may lack its end.

    Args:
        pieces: of the body, cut anywhere.
        charset: bytes that are invalid in it become U+FFFD. One that is not known is UTF-8.
        most: characters in a line.

    Raises:
        Failure: a line is longer.
    """
    text, decoder = TextDecoder(charset), LineDecoder(most, any_end=False)
    for piece in pieces:
        yield from _bounded(decoder.decode(text.decode(piece)), most)
    yield from _bounded(decoder.decode(text.flush()), most)
    yield from decoder.flush()


def _bounded(found: Iterable[str], most: int) -> Iterator[str]:
    try:
        yield from found
    except ResponseTooLarge:
        raise Failure(f"a line of the stream has more than {most} characters") from None


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
        for line in lines(response.iter_bytes(), response.encoding or "utf-8"):
            screen.value(line)


def _show_event(event: ServerSentEvent, screen: Screen) -> None:
    screen.painted("field", event.event)
    if event.id:
        screen.painted("note", f"  {event.id}")
    screen.write("\n")
    if event.data:
        screen.value(event.data, "  ")
    screen.write("\n")
