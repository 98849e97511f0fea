"""The bar of an upload, and that it changes nothing of what is sent."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import httpx

pytest.importorskip("click")
pytest.importorskip("rich")

# After the lines above, because it imports click.
from httpx._cli import sending
from httpx._cli.sending import Watched
from support.commands import COMMAND, POSIX, in_a_pipe, on_a_terminal
from support.local import Asked, LocalApi, with_json
from support.servers import Conn, ScriptedServer, expect_head, reset

SIZE = 4 * 1024 * 1024 + 100_000


@pytest.fixture
def api() -> Iterator[LocalApi]:
    """Answer with the size of the body and how it was framed."""
    api = LocalApi()
    api.answer = described
    yield api
    api.close()


def described(asked: Asked) -> Any:
    framing = asked.headers.get("Content-Length") or asked.headers.get("Transfer-Encoding")
    return with_json([len(asked.body), framing])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(SIZE))
    return path


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n")


@POSIX
def test_a_large_file_has_a_bar_with_its_size(api: LocalApi, path: Path):
    code, shown = on_a_terminal(f"{api.url}/", f"@{path}", "--body", "--pretty", "none")
    assert code == 0
    assert re.search(r"^large\.bin .* 4\.3/4\.3 MB", plain(shown), re.MULTILINE)
    assert plain(shown).endswith(f'[{SIZE}, "{SIZE}"]\n')
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is there again


@POSIX
def test_standard_input_has_a_running_count():
    piped = ("sh", "-c", f'head -c {SIZE} /dev/zero | "$@"', "sh", *COMMAND)

    def script(conn: Conn, recorded: list[bytes]) -> None:
        head, body = conn.read_request()
        assert b"transfer-encoding: chunked" in head.lower()
        assert body == bytes(SIZE)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with ScriptedServer(script) as server:
        code, shown = on_a_terminal("POST", f"{server.url}/", "--body", command=piped)
    assert code == 0
    assert re.search(r"^standard input .* 4\.3/\? MB", plain(shown), re.MULTILINE)
    assert shown.endswith("ok\n")


@POSIX
def test_files_of_a_form_have_one_bar(api: LocalApi, path: Path, tmp_path: Path):
    (tmp_path / "small").write_bytes(b"x")
    code, shown = on_a_terminal(f"{api.url}/", f"a@{path}", f"b@{tmp_path / 'small'}", "--body", COLUMNS="100")
    assert code == 0
    assert re.search(r"^large\.bin, small .* 4\.3/4\.3 MB", plain(shown), re.MULTILINE)


@POSIX
@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_small_bodies_and_quiet_runs_have_none(api: LocalApi, path: Path, quiet: list[str]):
    if not quiet:
        path.write_bytes(bytes(4 * 1024 * 1024 - 1000))  # a form has some bytes around its file
    for item in (f"@{path}", f"a@{path}"):
        assert "\x1b[?25l" not in on_a_terminal(f"{api.url}/", item, "--body", *quiet)[1]


def test_a_pipe_has_none(api: LocalApi, path: Path):
    done = in_a_pipe(f"{api.url}/", f"@{path}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == f'[{SIZE}, "{SIZE}"]'.encode()


@POSIX
@pytest.mark.parametrize("why", ["retry", "redirect", "challenge"])
def test_a_body_that_is_sent_again_has_a_bar_again(api: LocalApi, path: Path, why: str):
    asked: list[int] = []

    def answer(one: Asked) -> Any:
        asked.append(len(one.body))
        if len(asked) > 1:
            return described(one)
        if why == "redirect":
            return 307, {"Location": "/there"}, b""
        if why == "challenge":
            return 401, {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}, b""
        return with_json({}, 503, Retry_After="0")

    api.answer = answer
    options = {"retry": ["--retry", "1"], "redirect": ["-L"], "challenge": ["-u", "a:b", "--digest"]}[why]
    code, shown = on_a_terminal("PUT", f"{api.url}/", f"@{path}", "--body", *options)
    assert (code, asked) == (0, [SIZE, SIZE])
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 2


@POSIX
def test_an_upload_that_fails_ends_its_bar(path: Path):
    with ScriptedServer([expect_head(), reset()]) as server:
        code, shown = on_a_terminal(f"{server.url}/", f"@{path}")
    assert code == 7
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")


# In this process.


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """What each bar was told, and None at its end."""
    told: list[list[Any]] = []

    @contextmanager
    def bar(name: str) -> Iterator[Callable[[int, Any], None]]:
        mine: list[Any] = []
        told.append(mine)
        try:
            yield lambda done, total: mine.append((done, total))
        finally:
            mine.append(None)

    monkeypatch.setattr(sending, "bar", bar)
    monkeypatch.setattr(sending, "MAX_IN_MEMORY", 5)
    return told


def stream_of(content: Any) -> httpx.SyncByteStream:
    stream = httpx.Request("POST", "http://a/", content=content).stream
    assert isinstance(stream, httpx.SyncByteStream)
    return stream


def test_what_was_taken_is_told(bars: list[list[Any]]):
    assert list(Watched(stream_of([b"abc", b"def"]), "a", 6)) == [b"abc", b"def"]
    assert bars == [[(0, 6), (3, 6), (6, 6), None]]


def test_without_a_length_a_bar_begins_when_much_was_sent(bars: list[list[Any]]):
    assert b"".join(Watched(stream_of([b"abc"] * 3), "a", None)) == b"abc" * 3
    assert bars == [[(6, None), (9, None), None]]
    bars.clear()
    list(Watched(stream_of([b"abc", b"de"]), "a", None))
    assert bars == []


def test_a_bar_ends_with_the_stream(bars: list[list[Any]]):
    stream = Watched(stream_of(iter([b"abc", b"def"])), "a", 6)
    stream.close()
    next(iter(stream))
    stream.close()
    assert bars == [[(0, 6), None]]


def test_it_says_of_itself_what_the_stream_says(tmp_path: Path):
    once = Watched(stream_of(iter([b"abc"])), "a", 6)
    assert (once._can_begin(), once._can_repeat()) == (True, False)
    list(once)
    assert not once._can_begin()
    request = httpx.Request("POST", "http://a/", content=[b"a"])
    request.stream = Watched(stream_of([b"abc"]), "a", 6)
    assert request.is_replayable

    class Own(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"

    assert (Watched(Own(), "a", None)._can_begin(), Watched(Own(), "a", None)._can_repeat()) == (True, False)


@POSIX
def test_memory_does_not_grow_with_the_body(api: LocalApi, tmp_path: Path):
    """The body is streamed with a bar, too."""
    size = 64 << 20
    with open(tmp_path / "huge", "wb") as file:
        os.truncate(file.fileno(), size)
    api.answer = lambda asked: {"size": len(asked.body)}
    # Not by the system's count: that of a new process begins with what the old one had.
    measured = (
        "import sys, tracemalloc; from httpx._cli.command import run; tracemalloc.start(); code = run(sys.argv[1:]); "
        "print(tracemalloc.get_traced_memory()[1]); sys.exit(code)"
    )
    command = (sys.executable, "-c", measured)
    code, shown = on_a_terminal(f"{api.url}/", f"@{tmp_path / 'huge'}", "--body", command=command)
    assert code == 0
    assert f"{size}" in shown
    # A body of 4 MiB would be kept, to be shown; click, rich and the like are a part of the rest.
    assert int(shown.split()[-1]) < size // 2
