"""
`--stream`: the body as it comes, line by line; server-sent events one by one.

    show(response, screen)

A pipe gets the bytes as they are, each line at once. A terminal gets text that cannot drive it, with JSON coloured: the
values of server-sent events and of JSON lines are JSON more often than not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from .screen import CYAN, GREY, Screen

if TYPE_CHECKING:
    import httpx

_EVENTS = re.compile(r"text/event-stream\s*(?:;|$)", re.I)


class Event(NamedTuple):
    """
    A server-sent event.

    Attributes:
        event: its name, "message" unless the server says otherwise.
        data: its lines, joined.
        id: the last that was given; "" for none.
    """

    event: str
    data: str
    id: str


def events(lines: Iterator[str]) -> Iterator[Event]:
    """
    The events in the lines of an event stream; the last one only if an empty line ends it.

    HTML Living Standard, section 9.2.6.
    """
    name, last_id = "", ""
    data: list[str] = []
    first = True
    for line in lines:
        if first:
            line, first = line.removeprefix("\ufeff"), False
        if not line:
            if data:
                yield Event(name or "message", "\n".join(data), last_id)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value


def show(response: httpx.Response, screen: Screen) -> None:
    """Show a body that is still to be read."""
    if not (screen.is_terminal or screen.formats or screen.has_colours):
        for piece in response.iter_bytes():
            screen.write_bytes(piece)
    elif _EVENTS.match(response.headers.get("content-type", "")):
        for event in events(response.iter_lines()):
            _show_event(event, screen)
    else:
        for line in response.iter_lines():
            screen.value(line)


def _show_event(event: Event, screen: Screen) -> None:
    screen.painted(CYAN, event.event)
    if event.id:
        screen.painted(GREY, f"  {event.id}")
    screen.write("\n")
    screen.value(event.data, "  ")
    screen.write("\n")
