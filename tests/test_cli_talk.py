"""`_cli/talk.py`: `httpx ws URL`, lines out and messages in."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from httpx._cli import command, exits, talk
from httpx._cli.echo_server import EchoServer
from support.servers import ScriptedServer, answer, close
from support.websocket import BINARY, CLOSE, TEXT, close_frame, echo, expect_frame, frame, opened

pytestmark = pytest.mark.usefixtures("no_leaks")


class Input:
    """A standard input that holds some bytes, and stays open if it is a terminal."""

    def __init__(self, data: bytes = b"", terminal: bool = False) -> None:
        self._read, self._write = os.pipe()
        os.write(self._write, data)
        self._is_open = True
        self._terminal = terminal

    def fileno(self) -> int:
        return self._read

    def isatty(self) -> bool:
        return self._terminal

    def end(self) -> None:
        if self._is_open:
            os.close(self._write)
            self._is_open = False

    def close(self) -> None:
        self.end()
        os.close(self._read)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that makes standard input of bytes."""
    inputs: list[Input] = []

    def give(data: bytes = b"", terminal: bool = False, ends: bool = True) -> Input:
        inputs.append(Input(data, terminal))
        if ends:
            inputs[-1].end()
        monkeypatch.setattr(sys, "stdin", inputs[-1])
        return inputs[-1]

    monkeypatch.setattr(talk, "_TURN", 0.01)
    yield give
    for each in inputs:
        each.close()


def run(capfdbinary: Any, *argv: str) -> tuple[int, str, str]:
    code = command.run(list(argv))
    out, err = capfdbinary.readouterr()
    return code, out.decode(), err.decode()


def test_lines_go_out_and_messages_come_in(given: Any, capfdbinary: Any):
    given(b"hello\r\nworld\nlast")
    with ScriptedServer([opened(b"Sec-WebSocket-Protocol: b"), echo]) as server:
        arguments = (
            "ws",
            server.url,
            "--timeout",
            "0.1",
            "--subprotocol",
            "a",
            "--subprotocol",
            "b",
            "X-Own:1",
            "q==2",
        )
        assert run(capfdbinary, *arguments) == (exits.OK, "hello\nworld\nlast\n", "")
        head = bytes(server.received[0]).lower()
    assert b"x-own: 1" in head
    assert b"get /?q=2 " in head
    assert b"sec-websocket-protocol: a, b" in head


def test_quiet_shows_no_messages_but_what_went_wrong(given: Any, capfdbinary: Any):
    for more, told in (["-q"], True), (["-qq"], False):
        given(b"hello\n")
        with ScriptedServer([opened(), echo]) as server:
            assert run(capfdbinary, "ws", server.url, "--timeout", "0.1", *more) == (exits.OK, "", "")
        given(b"")
        with ScriptedServer([answer(b"no", status=b"403 Forbidden"), close()]) as server:
            code, out, err = run(capfdbinary, "ws", server.url, *more)
        assert (code, out, "403" in err) == (exits.CLIENT_ERROR, "", told)


@pytest.mark.parametrize("words", [["ws"], ["--ws"]])
def test_the_url_may_have_the_scheme_of_websockets(words: list[str], given: Any, capfdbinary: Any):
    """`httpx ws wss://...`, as the documentation shows it, said that ws:// and wss:// are not supported."""
    given(b"hello")
    with ScriptedServer([opened(), echo]) as server:
        url = server.url.replace("http", "WS")
        assert run(capfdbinary, *words, url, "--timeout", "0.1")[:2] == (exits.OK, "hello\n")


@pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("tomllib", "tomli")), reason="there is no reader of TOML"
)
def test_the_settings_of_a_host_are_for_its_websockets_too(
    given: Any, capfdbinary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The word `ws` counted as the host, so that options and headers of the configuration file were left out."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    given()
    with ScriptedServer([opened(), echo]) as server:
        host = server.url.partition("://")[2]
        (tmp_path / "httpx").mkdir(mode=0o700)
        file = tmp_path / "httpx" / "config.toml"
        file.write_text(f'[host."{host}"]\noptions = ["--subprotocol", "a"]\nheaders = {{ X-Team = "blue" }}\n')
        file.chmod(0o600)
        assert run(capfdbinary, "ws", f"ws://{host}/", "--timeout", "0.1")[0] == exits.OK
        head = bytes(server.received[0]).lower()
    assert b"x-team: blue" in head
    assert b"sec-websocket-protocol: a" in head


def test_the_server_may_close_while_the_input_is_open(given: Any, capfdbinary: Any):
    waiting = given(ends=False)
    with ScriptedServer([opened(then=frame(TEXT, b"bye") + close_frame(1000)), expect_frame(CLOSE)]) as server:
        assert run(capfdbinary, "--ws", server.url) == (exits.OK, "bye\n", "")
    waiting.end()


def test_the_end_of_a_terminals_input_closes(given: Any, capfdbinary: Any):
    given(b"hello\n", terminal=True)
    with ScriptedServer([opened(), echo]) as server:
        assert run(capfdbinary, "--ws", server.url)[0] == exits.OK


def test_binary_messages_go_to_a_pipe_as_they_are(given: Any, capfdbinary: Any):
    given()
    with ScriptedServer([opened(then=frame(BINARY, b"\0\xff") + close_frame()), expect_frame(CLOSE)]) as server:
        assert command.run(["ws", server.url]) == exits.OK
    assert capfdbinary.readouterr().out == b"\0\xff\n"


def test_a_terminal_is_told_of_binary_messages_and_gets_no_control_characters(
    monkeypatch: pytest.MonkeyPatch, given: Any
):
    from httpx._cli.screen import Screen

    shown: list[bytes] = []
    out = SimpleNamespace(
        buffer=SimpleNamespace(write=shown.append, flush=lambda: None), encoding="utf-8", isatty=lambda: True
    )
    one = talk.Talk.__new__(talk.Talk)
    one._is_json = False
    one._shows = True
    one._screen = Screen(out, "none")  # type: ignore[arg-type]  # what it uses of a stream
    one._lock = talk.threading.Lock()
    one._show(b"\0" * 5)
    one._show("a\x1b[2Jb")
    text = b"".join(shown).decode()
    assert "5 bytes of binary data" in text
    assert "\x1b" not in text


def test_events_are_json_lines(given: Any, capfdbinary: Any):
    given(b"x\n")
    with ScriptedServer([opened(), expect_frame(TEXT), lambda conn: conn.sendall(frame(BINARY, b"y")), echo]) as server:
        url = server.url.replace("//", "//me:secret@")
        code, out, _ = run(capfdbinary, "ws", url, "--output-json", "--timeout", "0.1")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == exits.OK
    assert [event["event"] for event in events] == ["open", "sent", "received", "close"]
    assert (events[0]["status"], events[0]["http_version"], events[0]["subprotocol"]) == (101, "HTTP/1.1", None)
    assert "secret" not in events[0]["url"]
    assert (events[1]["text"], events[2]["base64"]) == ("x", "eQ==")
    assert (events[3]["code"], events[3]["by_peer"], events[3]["error"]) == (1000, False, None)
    assert all(event["seconds"] >= 0 for event in events)


def test_the_times_are_those_of_the_opening(given: Any, capfdbinary: Any):
    given()
    with ScriptedServer([opened(then=close_frame(1000)), expect_frame(CLOSE)]) as server:
        code, out, err = run(capfdbinary, "ws", server.url, "--timings", "--verbose")
    assert code == exits.OK
    assert "101" in out
    assert "connect" in err
    assert "wait" in err


def test_a_refusal_shows_the_response_and_its_code(given: Any, capfdbinary: Any):
    given()
    with ScriptedServer([answer(b"closed today", status=b"403 Forbidden")]) as server:
        code, out, err = run(capfdbinary, "ws", server.url, "--timings")
    assert code == exits.CLIENT_ERROR
    assert out == "closed today"
    assert "httpx: WebSocketUpgradeError: the response is 403, expected 101 (Switching Protocols)\n" in err
    given()
    with ScriptedServer([answer(b"no", status=b"200 OK")]) as server:
        code, out, _ = run(capfdbinary, "ws", server.url, "--output-json")
    assert code == exits.FAILED
    assert json.loads(out)["status"] == 200


def test_another_close_and_a_lost_connection_are_failures(given: Any, capfdbinary: Any):
    given()
    with ScriptedServer([opened(then=close_frame(1011, b"why")), expect_frame(CLOSE)]) as server:
        code, _, err = run(capfdbinary, "ws", server.url)
    assert (code, "code 1011: why" in err) == (exits.FAILED, True)
    given()
    with ScriptedServer([opened(), close()]) as server:
        code, out, _ = run(capfdbinary, "ws", server.url, "--output-json")
    assert code == exits.NETWORK
    assert json.loads(out.splitlines()[-1])["error"] == "the connection ended without a Close frame"


@pytest.mark.parametrize(
    "argv",
    [
        ["--ws", "POST", "http://127.0.0.1:9/"],
        ["--ws", "http://127.0.0.1:9/", "a=b"],
        ["ws", "http://127.0.0.1:9/", "--output", "x"],
        ["ws", "http://127.0.0.1:9/", "--har", "x"],
        ["ws", "http://127.0.0.1:9/", "--parallel", "2"],
        ["ws", "http://127.0.0.1:9/", "--urls", "x"],
        ["ws", "http://127.0.0.1:9/", "--download", "x", "--continue"],
        ["--ws"],
    ],
)
def test_what_a_websocket_does_not_have_is_refused(argv: list[str], given: Any, capfdbinary: Any):
    given()
    code, _, err = run(capfdbinary, *argv)
    assert code == exits.USAGE
    assert err.startswith("httpx: ")


@pytest.mark.parametrize(
    "argv", [["ws", "ws:{}"], ["--ws", "WS:{}"], ["ws:{}"], ["GET", "ws:{}"], ["ws", "http:{}"], ["ws", "{}"]]
)
def test_a_url_may_have_the_scheme_of_a_websocket(
    argv: list[str], echo_server: EchoServer, given: Any, capfdbinary: Any
):
    """The URL of the first example in the documentation was refused."""
    given(b"hello\n")
    address = f"//127.0.0.1:{echo_server.port}/websocket"
    code, out, err = run(capfdbinary, *(word.format(address) for word in argv), "--timeout", "0.5")
    assert (code, out, err) == (exits.OK, "hello\n", "")


def test_tls_is_spoken_with_wss(tls_echo_server: EchoServer, given: Any, capfdbinary: Any):
    given(b"hello\n")
    url = tls_echo_server.url.replace("https:", "wss:")
    assert run(capfdbinary, f"{url}/websocket", "--no-verify", "--timeout", "0.5") == (exits.OK, "hello\n", "")


def test_the_configuration_counts_for_websockets(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, given: Any, capfdbinary: Any
):
    """Credentials of the host were not sent, and a default such as --retry was an error."""
    pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    monkeypatch.setenv("TOKEN", "t-1")
    (tmp_path / "httpx").mkdir()
    given()
    with ScriptedServer([opened(then=close_frame(1000))]) as server:
        path = tmp_path / "httpx" / "config.toml"
        host = server.url.partition("//")[2].rstrip("/")
        path.write_text(f'options = ["--retry", "2"]\n[host."{host}"]\nbearer = {{ env = "TOKEN" }}\n')
        path.chmod(0o600)
        assert run(capfdbinary, server.url.replace("http:", "ws:")) == (exits.OK, "", "")
        assert b"Authorization: Bearer t-1\r\n" in bytes(server.received[0])


def test_a_long_line_is_read_in_linear_time(monkeypatch: pytest.MonkeyPatch):
    pieces = [b"a" * 9, b"b\r", b"\nc", b"\n", b"\n", b"d"]
    monkeypatch.setattr(talk.os, "read", lambda descriptor, size: pieces.pop(0) if pieces else b"")
    assert list(talk.lines_of(SimpleNamespace(fileno=lambda: 0))) == ["a" * 9 + "b", "c", "", "d"]


def test_a_closed_standard_input_is_an_empty_one():
    assert list(talk.lines_of(None)) == []


def test_an_application_has_websockets_and_what_it_prints_is_no_message(
    given: Any, capfdbinary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What the application printed was mixed with its messages."""
    (tmp_path / "talking_app.py").write_text(
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'websocket'\n"
        "    print('printed')\n"
        "    await receive()\n"
        "    await send({'type': 'websocket.accept'})\n"
        "    message = await receive()\n"
        "    await send({'type': 'websocket.send', 'text': scope['path'] + ' ' + message['text']})\n"
        "    await send({'type': 'websocket.close'})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    given(b"hello\n")
    code, out, err = run(capfdbinary, "ws", "--app", "talking_app:app", "/chat")
    assert (code, out) == (exits.OK, "/chat hello\n")
    assert err == "printed\n"
