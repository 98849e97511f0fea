"""Lines and server-sent events, as they come."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

import httpx
from httpx._cli import exits
from httpx._cli.echo_server import EchoServer
from httpx._cli.event_stream import Event, events, show
from httpx._cli.screen import Screen

pytest.importorskip("click")

# Behind the line above, because it imports click.
from httpx._cli.command import run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: a\n\n", [Event("message", "a", "")]),
        ("data:a\ndata:  b\ndata\n\n", [Event("message", "a\n b\n", "")]),
        ("event: x\nid: 1\ndata: a\n\ndata: b\n\n", [Event("x", "a", "1"), Event("message", "b", "1")]),
        ("\ufeffdata: a\n\n", [Event("message", "a", "")]),
        (": comment\nretry: 5\nnothing: x\n\n", []),
        ("event: x\n\ndata: a\n\n", [Event("message", "a", "")]),
        ("id: a\0b\ndata: a\n\n", [Event("message", "a", "")]),
        ("data: cut short", []),
    ],
)
def test_events_are_read_as_the_standard_says(text: str, expected: list[Event]):
    assert list(events(iter(text.split("\n")))) == expected


class Stream(io.TextIOWrapper):
    def __init__(self, terminal: bool) -> None:
        self.written = io.BytesIO()
        self.terminal = terminal
        super().__init__(self.written, encoding="utf-8")

    def isatty(self) -> bool:
        return self.terminal


def shown(pieces: list[bytes], kind: str, terminal: bool = True, pretty: str | None = "none") -> str:
    stream = Stream(terminal)
    show(httpx.Response(200, content=iter(pieces), headers={"Content-Type": kind}), Screen(stream, pretty))
    return stream.written.getvalue().decode()


def test_a_terminal_gets_event_by_event():
    text = shown(
        [b"event: tick\nid: 7\ndata: plain\x1b\n", b'\ndata: {"a": 1}\n\n'], "text/event-stream; charset=utf-8"
    )
    assert text == 'tick  7\n  plain\\x1b\n\nmessage  7\n  {"a": 1}\n\n'


def test_json_in_events_and_lines_is_formatted():
    assert shown([b'data: {"a":1}\n\n'], "text/event-stream", pretty="format") == 'message\n  {\n      "a": 1\n  }\n\n'
    assert shown([b'{"a":1}\n[2', b"]\nx\n"], "application/x-ndjson", pretty="colors") == (
        '{\x1b[34m"a"\x1b[0m:\x1b[36m1\x1b[0m}\n[\x1b[36m2\x1b[0m]\nx\n'
    )


def test_a_pipe_gets_the_bytes():
    assert shown([b"data: a\r\n", b"\r\n"], "text/event-stream", terminal=False) == "data: a\r\n\r\n"


def test_each_piece_appears_before_the_next_is_asked_for():
    stream = Stream(terminal=True)
    seen: list[bytes] = []

    def body() -> Iterator[bytes]:
        for number in range(3):
            yield b"data: %d\n\n" % number
            seen.append(stream.written.getvalue())

    show(httpx.Response(200, content=body(), headers={"Content-Type": "text/event-stream"}), Screen(stream, "none"))
    assert [text.count(b"message") for text in seen] == [1, 2, 3]


def test_the_command_shows_events(echo_server: EchoServer, capfdbinary: pytest.CaptureFixture[bytes]):
    assert run([f"{echo_server.url}/events?count=2", "--stream", "--print", "b", "--pretty", "format"]) == exits.OK
    out = capfdbinary.readouterr().out.decode()
    assert out.startswith('tick  0\n  {\n      "index": 0\n  }\n\ntick  1\n')
