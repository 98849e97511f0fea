"""Lines and server-sent events, as they come."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._cli import clients, exits
from httpx._cli.echo_server import EchoServer
from httpx._cli.event_stream import events, lines, show
from httpx._cli.screen import Screen
from support.http2 import FramePeer, data, frames_of
from support.servers import Conn, ScriptedServer

pytest.importorskip("click")

# Behind the line above, because it imports click.
from httpx._cli.command import run


def test_events_come_from_pieces_that_are_cut_anywhere():
    pieces = [b"\xef\xbb\xbfdata: a\r", b"\n\r\nid: 1\ndata:", b"b\n\n: comment\n\ndata: cut short"]
    assert [event[:3] for event in events(pieces)] == [("message", "a", ""), ("message", "b", "1")]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"a\r\nb\nc\rd"], ["a", "b", "c", "d"]),
        ([b"a\r", b"\nb\n"], ["a", "b"]),
        ([b"a\r", b"", b"\n", b"\n"], ["a", ""]),
        ([b"\n\r\n\r"], ["", "", ""]),
        (["a\u2028b\x85\x0cc\n".encode()], ["a\u2028b\x85\x0cc"]),
        ([b"\xc3", b"\xa9\n\xff"], ["é", "\ufffd"]),
    ],
)
def test_only_cr_and_lf_end_a_line(pieces: list[bytes], expected: list[str]):
    assert list(lines(pieces)) == expected


@given(st.lists(st.text(st.sampled_from("aé\u2028\r\n"), max_size=8)), st.integers(1, 3))
def test_lines_do_not_depend_on_how_the_body_is_cut(texts: list[str], size: int):
    whole = "".join(texts).encode()
    assert list(lines([whole])) == list(lines(whole[at : at + size] for at in range(0, len(whole), size)))


def test_a_line_goes_out_with_its_end_and_not_with_the_next_piece():
    seen: list[str] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"a\r", b"\nb\n", b"c"):
            yield piece
            seen.append(piece.decode())

    read = lines(pieces())
    assert (next(read), seen) == ("a", [])
    assert (next(read), seen) == ("b", ["a\r"])
    assert list(read) == ["c"]


def test_neither_a_line_nor_an_event_may_be_endless():
    assert list(lines([b"abc", b"de\n"], most=5)) == ["abcde"]
    with pytest.raises(exits.Failure, match="a line of the stream has more than 5 characters"):
        list(lines([b"abc", b"def"], most=5))
    with pytest.raises(exits.Failure, match="more than 5"):
        list(lines([b"abc", b"def\n"], most=5))
    assert len(list(events([b"data:a\n", b"\n"], most=8))) == 1
    with pytest.raises(exits.Failure, match="an event of the stream has more than 8 bytes"):
        list(events([b"data:a\ndata", b":b\n\n"], most=8))


def test_a_separator_of_unicode_stays_in_the_data():
    assert shown(["data: a\u2028b\n\n".encode()], "text/event-stream; charset=latin-1") == "message\n  a\u2028b\n\n"
    assert shown(['{"a":"\u2028"}\n'.encode()], "application/x-ndjson", pretty="none") == '{"a":"\u2028"}\n'
    assert shown([b"\xe9\n"], "text/plain; charset=latin-1") == "é\n"
    assert shown([b"a\n"], "text/plain; charset=nothing") == "a\n"


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
        '{\x1b[94m"a"\x1b[0m:\x1b[36m1\x1b[0m}\n[\x1b[36m2\x1b[0m]\nx\n'
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


# Silence.

_SILENCE = 1.0  # seconds that the server says nothing
_SHORT = 0.5  # seconds of the timeout, in which a head must come on a busy machine
_EVENTS = b"data: one\n\n", b"data: two\n\n"


def in_http1(kind: bytes) -> Any:
    def script(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_request()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nConnection: close\r\n\r\n%b" % (kind, _EVENTS[0]))
        time.sleep(_SILENCE)
        conn.sendall(_EVENTS[1])

    return script


def in_http2(kind: bytes) -> Any:
    def script(peer: FramePeer) -> None:
        stream = peer.request().stream
        peer.send(peer.head(stream, 200, (b"content-type", kind)), data(stream, _EVENTS[0]))
        time.sleep(_SILENCE)
        peer.send(data(stream, _EVENTS[1], True))
        peer.rest()

    return frames_of(script)


@pytest.mark.parametrize("more", [[], ["--retry", "1"], ["-o", "-"]])
@pytest.mark.parametrize("version", ["1.1", "2-prior-knowledge"])
def test_an_event_stream_may_be_silent(
    version: str, more: list[str], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
):
    """Without --stream it ended after 5 s of silence, although an event stream is silent for most of its time."""
    monkeypatch.setattr(clients, "_TIMEOUT", _SHORT)
    script = (in_http1 if version == "1.1" else in_http2)(b"Text/Event-Stream; charset=utf-8")
    with ScriptedServer(script) as server:
        assert run([server.url, "--http-version", version, *more]) == exits.OK
        assert server.connections == 1
    assert b"two" in capfdbinary.readouterr().out


@pytest.mark.parametrize(("kind", "more"), [(b"text/plain", []), (b"text/event-stream", ["--timeout", "0.5"])])
@pytest.mark.parametrize("version", ["1.1", "2-prior-knowledge"])
def test_other_bodies_and_a_given_timeout_end_in_silence(
    version: str,
    kind: bytes,
    more: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
):
    monkeypatch.setattr(clients, "_TIMEOUT", _SHORT)
    with ScriptedServer((in_http1 if version == "1.1" else in_http2)(kind)) as server:
        assert run([server.url, "--http-version", version, *more]) == exits.TIMED_OUT
    assert b"within the read timeout of 0.5 s" in capfdbinary.readouterr().err
