"""What appears on a terminal and in a pipe, without either."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._cli.screen import Screen, coloured, harmless

pytest.importorskip("click")


class Stream(io.TextIOWrapper):
    def __init__(self, terminal: bool, encoding: str = "utf-8") -> None:
        self.written = io.BytesIO()
        self.terminal = terminal
        super().__init__(self.written, encoding=encoding)

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """A terminal without colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    return Stream(terminal=True)


def shown(stream: Stream, content: Any, content_type: str = "text/plain") -> str:
    with httpx.Client(transport=httpx.MockTransport(lambda request: response_of(content, content_type))) as client:
        Screen(stream).body(client.send(client.build_request("GET", "http://a/"), stream=True))
    return stream.written.getvalue().decode(stream.encoding)


def response_of(content: Any, content_type: str) -> httpx.Response:
    return httpx.Response(200, content=content, headers={"Content-Type": content_type})


@given(st.text())
def test_nothing_that_could_drive_a_terminal_is_left(text: str):
    assert all(char in "\t\n\r" or (ord(char) >= 32 and not 127 <= ord(char) < 160) for char in harmless(text))


def test_headers_and_bodies_of_a_peer_cannot_drive_the_terminal(terminal: Stream):
    screen = Screen(terminal)
    screen.response(b"HTTP/1.1", 200, b"O\x1bK", [(b"X", b"\x1b]0;title\x07")])
    assert shown(terminal, b"a\x1b[2Jb") == "HTTP/1.1 200 O\\x1bK\nX: \\x1b]0;title\\x07\n\na\\x1b[2Jb\n"


def test_a_pipe_gets_the_bytes():
    assert shown(Stream(terminal=False), b'{"a":\x1b 1}', "application/json") == '{"a":\x1b 1}'


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (b'{"a":1}', "application/problem+json", '{\n    "a": 1\n}\n'),
        (b"<p>\n", "text/html", "<p>\n"),
        (b"\0\1", "application/json", "<2 bytes of binary data>\n"),
        (b"\xff\xfe\xfd", "image/png", "<3 bytes of binary data>\n"),
        (b"", "text/plain", ""),
        ("é\n".encode(), "text/plain", "é\n"),
        (b"\xe9", "text/plain; charset=latin-1", "é\n"),
        (b"na\xefve \x93x\x94\n", "text/plain", "naïve “x”\n"),
        (b"<p>na\xefve</p>", "text/html", "<p>naïve</p>\n"),
        (b"na\xefve\x01", "text/plain", "<6 bytes of binary data>\n"),
        (b'\xef\xbb\xbf{"a":1}', "application/json", '{\n    "a": 1\n}\n'),
        (b"\xe9a", "text/plain; charset=hex", "éa\n"),
        (b"\xc3", "text/plain; charset=utf-8", "\ufffd\n"),
    ],
)
def test_a_terminal_gets_what_can_be_read(terminal: Stream, content: bytes, content_type: str, expected: str):
    assert shown(terminal, content, content_type) == expected


def test_values_of_fields_are_utf_8_or_latin_1(terminal: Stream):
    Screen(terminal).trailers([(b"A", "é".encode()), (b"B", b"\xe9")])
    assert terminal.written.getvalue().decode() == "\nA: é\nB: é\n\n"


def test_a_body_that_is_too_large_to_be_formatted_is_shown_as_it_arrives(
    terminal: Stream, monkeypatch: pytest.MonkeyPatch
):
    """67 MB of JSON took 23 seconds and 2.2 GB."""
    monkeypatch.setattr("httpx._cli.screen.MAX_FORMATTED", 5)
    for content, expected in ((b"[1,2]", "[\n    1,\n    2\n]\n"), (b"[1,2,3]", "[1,2,3]\n")):
        stream = Stream(terminal=True)
        assert shown(stream, iter([content[:4], content[4:]]), "application/json") == expected
    pipe = Stream(terminal=False)
    with httpx.Client(
        transport=httpx.MockTransport(lambda request: response_of(iter([b"[1,", b"2,", b"3]"]), "application/json"))
    ) as client:
        Screen(pipe, "all").body(client.send(client.build_request("GET", "http://a/"), stream=True))
    assert pipe.written.getvalue() == b"[1,2,3]"
    assert Screen(pipe, "all").json("[1,2,3]") == "[1,2,3]"


def test_text_appears_piece_by_piece_even_when_a_character_is_cut(terminal: Stream):
    pieces = ["é".encode()[:1], "é".encode()[1:], b"", b"b"]
    assert shown(terminal, iter(pieces)) == "éb\n"


def test_binary_pieces_are_counted(terminal: Stream):
    assert shown(terminal, iter([b"\0", b"12"])) == "<3 bytes of binary data>\n"


def test_what_was_sent_is_shown_or_named(terminal: Stream):
    Screen(terminal).sent(b"a=1")
    Screen(terminal).sent(b"\0")
    assert terminal.written.getvalue() == b"a=1<1 bytes of binary data>"
    pipe = Stream(terminal=False)
    Screen(pipe).sent(b"\0")
    assert pipe.written.getvalue() == b"\0"


def test_what_the_encoding_lacks_is_escaped():
    stream = Stream(terminal=False, encoding="ascii")
    Screen(stream).write("é")
    assert stream.written.getvalue() == b"\\xe9"


def test_trailers_are_shown_as_fields(terminal: Stream):
    Screen(terminal).trailers([(b"Digest", b"x")])
    assert terminal.written.getvalue() == b"\nDigest: x\n\n"


def test_colours_are_for_terminals_that_have_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Screen(Stream(terminal=True)).has_colours
    assert not Screen(Stream(terminal=False)).has_colours
    stream = Stream(terminal=True)
    assert "\x1b[" in shown(stream, b"[1]", "application/json")
    Screen(stream).request(b"GET", b"/", b"HTTP/1.1", [(b"A", b"b")])
    assert b"\x1b[36mA\x1b[0m: b" in stream.written.getvalue()
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen(Stream(terminal=True)).has_colours


def test_an_unknown_language_has_no_colours():
    assert coloured("text", "application/x-nothing") == "text"


# Order.


FIELDS = [(b"X-B", b"1"), (b"set-cookie", b"b"), (b"Set-Cookie", b"a"), (b"Accept", b"*/*")]


def test_fields_are_sorted_by_name_and_those_of_one_name_stay_in_order(terminal: Stream):
    screen = Screen(terminal, sorts=True)
    screen.response(b"HTTP/1.1", 200, b"OK", FIELDS)
    screen.trailers(iter(FIELDS[:1]))
    lines = terminal.written.getvalue().decode().split("\n")
    assert lines == [
        "HTTP/1.1 200 OK",
        "Accept: */*",
        "set-cookie: b",
        "Set-Cookie: a",
        "X-B: 1",
        "",
        "",
        "X-B: 1",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("pretty", "expected"), [("none", '{"b":1,"a":2}'), ("format", '{\n    "a": 2,\n    "b": 1\n}\n')]
)
def test_json_is_sorted_where_it_is_indented(pretty: str, expected: str):
    pipe = Stream(terminal=False)
    response = response_of(b'{"b":1,"a":2}', "application/json")
    Screen(pipe, pretty, sorts=True).body(response)
    assert pipe.written.getvalue().decode() == expected


def test_json_that_is_too_large_to_be_indented_is_not_sorted_either(terminal: Stream, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("httpx._cli.screen.MAX_FORMATTED", 12)
    Screen(terminal, sorts=True).body(response_of(b'{"b":1,"a":2}', "application/json"))
    assert terminal.written.getvalue() == b'{"b":1,"a":2}\n'


# Styles.


@pytest.mark.parametrize(("colorterm", "string"), [("", "38;5;186"), ("truecolor", "38;2;230;219;116")])
def test_head_and_body_have_the_colours_of_a_style(monkeypatch: pytest.MonkeyPatch, colorterm: str, string: str):
    monkeypatch.setenv("COLORTERM", colorterm)
    pipe = Stream(terminal=False)
    screen = Screen(pipe, "all", "monokai")
    screen.request(b"GET", b"/", b"HTTP/1.1", [(b"A", b"b")])
    screen.response(b"HTTP/1.1", 404, b"Not Found", [(b"A", b"b")])
    screen.body(response_of(b'{"a":"b"}', "application/json"))
    screen.body(response_of(b'<p class="x">', "text/html"))
    shown = pipe.written.getvalue().decode()
    assert f'\x1b[{string}m"b"\x1b[0m' in shown
    assert f'\x1b[{string}m"x"\x1b[39m' in shown
    assert not re.search(r"\x1b\[(3[0-7]|9[0-7])m", shown)  # none of the terminal's own


def test_without_colours_a_style_does_nothing(terminal: Stream):
    assert Screen(terminal, style="monokai").json('{"a":1}') == '{\n    "a": 1\n}'


def test_a_style_without_colours_writes_no_escapes():
    assert Screen(Stream(terminal=False), "colors", "bw").json("[1]") == "[1]"
