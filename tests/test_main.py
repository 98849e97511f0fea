"""The command `httpx` as people run it: a process of its own, the echo server, a pipe or a terminal."""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from httpx import _main
from httpx._cli.echo_server import EchoServer
from httpx._cli.options import OPTIONS
from support import certs
from support.asgi_servers import ASGIServer, missing
from support.commands import COMMAND, POSIX, environment, in_a_pipe, on_a_terminal, until
from support.servers import ScriptedServer, expect_end, expect_head, send
from support.servers import signal as signal_event

for _name in ("click", "rich", "pygments"):
    pytest.importorskip(_name)


def parts(output: bytes) -> tuple[list[str], bytes]:
    """Lines of the head, and the body."""
    head, _, body = output.partition(b"\n\n")
    return head.decode().splitlines(), body


def echoed(output: bytes) -> dict[str, object]:
    value = json.loads(output)
    assert isinstance(value, dict)
    return value


def test_a_pipe_gets_the_body_alone(echo_server: EchoServer):
    """`httpx URL | jq` failed at the head, and `httpx URL > file` was spoiled by it."""
    url = f"{echo_server.url}/bytes/20?seed=1"
    done = in_a_pipe(url)
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 20, b"")
    done = in_a_pipe(url, "-i")
    head, body = parts(done.stdout)
    assert head[0] == "HTTP/1.1 200 OK"
    assert "Content-Length: 20" in head
    assert len(body) == 20
    assert (done.returncode, done.stderr) == (0, b"")


@POSIX
def test_a_terminal_gets_json_indented_and_coloured(echo_server: EchoServer):
    code, shown = on_a_terminal(f"{echo_server.url}/json")
    assert code == 0
    assert "\x1b[32m 200 OK\x1b[0m" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert plain != shown
    assert '    "title": "Echo",\n    "numbers": [\n        1,' in plain


@POSIX
def test_no_color_leaves_the_indentation(echo_server: EchoServer):
    code, shown = on_a_terminal(f"{echo_server.url}/json", NO_COLOR="1")
    assert code == 0
    assert "\x1b" not in shown
    assert '    "title": "Echo",\n    "numbers": [\n        1,' in shown


@POSIX
def test_a_terminal_is_spared_binary_bodies(echo_server: EchoServer):
    _, shown = on_a_terminal(f"{echo_server.url}/bytes/3000?seed=1", NO_COLOR="1")
    assert shown.endswith("\n\n<3000 bytes of binary data>\n")


@POSIX
def test_a_terminal_shows_events_as_events(echo_server: EchoServer):
    body = b"id: 7\ndata: one\n\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 17\r\n\r\n"
    with ScriptedServer([expect_head(), send(head + body), expect_end()]) as server:
        code, shown = on_a_terminal(server.url, "--body", NO_COLOR="1")
    assert (code, shown) == (0, "message  7\n  one\n\n")


@POSIX
def test_a_terminal_shows_a_bar_for_a_download(echo_server: EchoServer, tmp_path: Path):
    code, shown = on_a_terminal(f"{echo_server.url}/bytes/3000", "--download", str(tmp_path / "file.bin"))
    assert code == 0
    assert "file.bin" in shown
    assert "3.0/3.0 kB" in shown
    assert (tmp_path / "file.bin").stat().st_size == 3000


@POSIX
def test_a_dash_asks_for_the_password_and_does_not_show_it(echo_server: EchoServer):
    code, shown = on_a_terminal(f"{echo_server.url}/basic-auth/ann/secret", "--auth", "ann", "-", typed=b"secret\n")
    assert code == 0
    assert "secret" not in shown


@POSIX
def test_ctrl_c_at_the_password_ends_quietly(echo_server: EchoServer):
    code, shown = on_a_terminal(f"{echo_server.url}/get", "--auth", "ann", "-", typed=b"\x03")
    assert code in (130, -signal.SIGINT)
    assert "Traceback" not in shown


def test_verbose_shows_connection_request_and_answer_as_on_the_wire(echo_server: EchoServer):
    args = [
        "-j",
        '{"a": 1}',
        "-h",
        "X-Id",
        "7",
        "-h",
        "X-Id",
        "8",
        "--cookies",
        "n",
        "v",
        "--auth",
        "u",
        "p",
        "-p",
        "q",
        "1",
    ]
    done = in_a_pipe(f"{echo_server.url}/status/204", *args, "-v")
    lines = done.stdout.decode().splitlines()
    port = echo_server.url.rpartition(":")[2]
    assert lines[:3] == [
        f"* Connecting to '127.0.0.1' on port {port}",
        f"* Connected to '127.0.0.1' on port {port}",
        "POST /status/204?q=1 HTTP/1.1",
    ]
    for line in ("X-Id: 7", "X-Id: 8", "Cookie: n=v", "Authorization: Basic dTpw", "Content-Type: application/json"):
        assert line in lines
    end = lines.index('{"a":1}')
    assert lines[end - 1 : end + 3] == ["", '{"a":1}', "", "HTTP/1.1 204 No Content"]


def test_verbose_shows_every_hop(echo_server: EchoServer):
    done = in_a_pipe(f"{echo_server.url}/redirect/2", "--follow-redirects", "-v")
    found = re.findall(r"^(?:GET \S+ HTTP/1.1|HTTP/1.1 \d+)", done.stdout.decode(), re.MULTILINE)
    assert found == [
        *("GET /redirect/2 HTTP/1.1", "HTTP/1.1 302", "GET /redirect/1 HTTP/1.1", "HTTP/1.1 302"),
        *("GET /get HTTP/1.1", "HTTP/1.1 200"),
    ]
    assert done.stdout.count(b"* Connecting") == 1


def test_verbose_shows_tls_and_certificate(tls_echo_server: EchoServer):
    done = in_a_pipe(f"{tls_echo_server.url}/get", "-v", SSL_CERT_FILE=str(certs.authority_file()))
    text = done.stdout.decode()
    assert done.returncode == 0
    assert re.search(r"^\* TLSv1\.\d with \w+", text, re.MULTILINE)
    assert "* Certificate of trustme" in text
    assert text.index("* Certificate") < text.index("GET /get HTTP/1.1") < text.index("HTTP/1.1 200 OK")


@pytest.mark.skipif(bool(missing("hypercorn")), reason="there is no hypercorn")
@pytest.mark.parametrize("version", ["--http2", "--http-version=2", "--http-version=2-prior-knowledge"])
def test_http2_is_spoken_and_shown_as_it_is(version: str):
    with ASGIServer("hypercorn") as server:
        url = server.url if version.endswith("knowledge") else server.tls_url
        done = in_a_pipe(
            f"{url}/id?id=7", version, "--ca", str(certs.authority_file()), "-v", "-w", " %{http_version}\\n"
        )
    text = done.stdout.decode()
    assert done.returncode == 0
    head, _, answer = text.partition("\n* Response on stream 1\n")
    assert "\nGET /id?id=7 HTTP/2\n:authority: " in head
    assert "\naccept: */*\n" in head
    assert "connection:" not in head
    assert answer.startswith("HTTP/2 200\n")
    assert answer.endswith("\n\n7 2\n")


def test_an_unknown_certificate_is_refused_unless_no_verify_is_given(tls_echo_server: EchoServer):
    refused = in_a_pipe(f"{tls_echo_server.url}/get")
    assert refused.returncode == 7
    assert b"certificate verify failed" in refused.stderr
    accepted = in_a_pipe(f"{tls_echo_server.url}/get", "--no-verify", "-v")
    assert accepted.returncode == 0
    assert b"* The server's certificate was not checked\n" in accepted.stdout


@pytest.mark.parametrize(
    ("path", "args", "code"),
    [
        ("/status/302", [], 0),
        ("/status/404", [], 4),
        ("/status/503", [], 5),
        ("/delay/5", ["--timeout", "0.1"], 6),
        ("/drip?numbytes=50&duration=8", ["--max-time", "0.3"], 6),
    ],
)
def test_the_exit_code_tells_how_it_went(echo_server: EchoServer, path: str, args: list[str], code: int):
    done = in_a_pipe(echo_server.url + path, *args)
    assert done.returncode == code
    assert done.stderr.count(b"\n") == (code >= 4)


def test_a_refused_connection_has_a_code_of_its_own():
    done = in_a_pipe("http://127.0.0.1:1/")
    assert done.returncode == 7
    assert done.stdout == b""
    assert done.stderr.startswith(b"httpx: ConnectError: ")


@POSIX
def test_ctrl_c_ends_quietly(echo_server: EchoServer):
    with subprocess.Popen(
        [*COMMAND, f"{echo_server.url}/delay/10", "-v"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while process.stdout.readline() != b"\n":
            pass  # the end of the request's head
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
        assert process.wait(60) == 130


@POSIX
def test_a_reader_that_leaves_ends_it_quietly(echo_server: EchoServer):
    with subprocess.Popen(
        [*COMMAND, f"{echo_server.url}/bytes/9000000", "-i"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_reported_in_one_line(echo_server: EchoServer):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, f"{echo_server.url}/get"], stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60
        )
    assert done.returncode == 1
    assert re.fullmatch(rb"httpx: \[Errno \d+\] No space left on device\n", done.stderr)


@POSIX
def test_closed_output_is_reported(echo_server: EchoServer):
    script = f'"{sys.executable}" -m httpx {echo_server.url}/get >&-'
    done = subprocess.run(["sh", "-c", script], stderr=subprocess.PIPE, env=environment(), timeout=60)
    assert (done.returncode, done.stderr) == (1, b"httpx: standard output is closed\n")


@POSIX
def test_a_terminal_shows_the_help_in_colours():
    code, shown = on_a_terminal("--help")
    assert code == 0
    assert "\x1b[36m-m, --method\x1b[0m\x1b[33m METHOD\x1b[0m" in shown
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()) <= 100


@pytest.mark.parametrize("columns", ["40", "80", "300", "x"])
def test_the_help_fits_the_terminal(columns: str):
    done = in_a_pipe("--help", COLUMNS=columns)
    width = min(int(columns) if columns.isdigit() else 80, 110)
    # What is to be typed is not broken.
    assert max(len(line) for line in done.stdout.decode().splitlines() if not line.startswith("  httpx ")) <= width


def test_standard_input_is_a_body_behind_its_method(echo_server: EchoServer):
    done = subprocess.run(
        [*COMMAND, "PUT", f"{echo_server.url}/anything"],
        input=b'{"a": "\xc3\xa9"}',
        capture_output=True,
        env=environment(),
        timeout=60,
    )
    assert done.returncode == 0
    assert echoed(done.stdout)["json"] == {"a": "é"}


def test_an_open_pipe_as_standard_input_is_no_reason_to_wait(echo_server: EchoServer):
    with subprocess.Popen(
        [*COMMAND, f"{echo_server.url}/get"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert b'"url"' in process.stdout.read()
        assert process.wait(60) == 0


@POSIX
def test_a_terminal_as_standard_input_is_no_body(echo_server: EchoServer):
    code, shown = on_a_terminal("POST", f"{echo_server.url}/anything", NO_COLOR="1")
    assert code == 0
    assert '"data": ""' in shown


@POSIX
def test_input_that_is_piped_and_not_sent_is_told_in_a_script(echo_server: EchoServer):
    """`echo '{}' | httpx URL` was a GET without a word."""
    done = subprocess.run(
        ["sh", "-c", f"(echo '{{}}'; echo) | {{ read -r _; '{sys.executable}' -m httpx {echo_server.url}/get; }}"],
        capture_output=True,
        env=environment(),
        timeout=60,
    )
    assert done.stderr.startswith(b"httpx: standard input is not sent: write POST before the URL")


@POSIX
def test_input_that_is_piped_and_not_sent_is_told_on_a_terminal(echo_server: EchoServer):
    # `read` returns when the text is there, and leaves its second line.
    script = (
        f'printf "one\\ntwo\\n" | {{ read -r _; "{sys.executable}" -m httpx {echo_server.url}/get --print "" "$@"; }}'
    )
    code, shown = on_a_terminal("-h", "X-A", "b", command=["sh", "-c", script, "sh"])
    assert code == 0
    assert shown.startswith("httpx: standard input is not sent: write POST before the URL")
    assert on_a_terminal("--ignore-stdin", command=["sh", "-c", script, "sh"]) == (0, "")


@POSIX
def test_items_and_timings_on_a_terminal(echo_server: EchoServer):
    code, shown = on_a_terminal(f"{echo_server.url}/anything", "name=Ann", "n:=1", "--timings", NO_COLOR="1")
    assert code == 0
    assert '"name": "Ann",' in shown
    assert re.search(r"POST \S+/anything  200  [\d.]+ ms\n  queue +[\d.]+ ms +\S+\n  connect", shown)
    assert re.search(r"\n  wait +[\d.]+ ms +█+\n", shown)


def test_timings_in_a_pipe_leave_standard_output_alone(echo_server: EchoServer):
    done = in_a_pipe(f"{echo_server.url}/bytes/20?seed=1", "--print", "b", "--timings")
    assert len(done.stdout) == 20
    assert b"\n  wait" in done.stderr


@POSIX
def test_a_download_by_the_name_of_the_server(echo_server: EchoServer, tmp_path: Path):
    url = f"{echo_server.url}/response-headers?Content-Disposition=attachment%3B%20filename%3Da.json"
    code, shown = on_a_terminal("--download", url, cwd=tmp_path)
    assert code == 0
    assert "a.json" in shown
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_an_interrupted_download_can_go_on(echo_server: EchoServer, tmp_path: Path):
    content = b"0123456789" * 100
    answers = [
        [expect_head(), send(b'HTTP/1.1 200 OK\r\nETag: "v"\r\nContent-Length: 1000\r\n\r\n' + content[:600])],
        [
            expect_head(),
            send(b'HTTP/1.1 206 Partial Content\r\nETag: "v"\r\nContent-Range: bytes 600-999/1000\r\n'),
            send(b"Content-Length: 400\r\n\r\n" + content[600:]),
        ],
    ]
    with ScriptedServer(*answers) as server:
        first = in_a_pipe(f"{server.url}/file.bin", "-o", str(tmp_path / "x"))
        assert first.returncode == 7
        assert (tmp_path / "x.part").stat().st_size == 600
        assert b"x.part' is kept; --continue continues it\n" in first.stderr
        digest = hashlib.sha256(content).hexdigest()
        second = in_a_pipe(
            f"{server.url}/file.bin", "-o", str(tmp_path / "x"), "--continue", "--check-digest", f"sha256:{digest}"
        )
        assert (second.returncode, second.stdout, second.stderr) == (0, b"", b"")
    assert (tmp_path / "x").read_bytes() == content
    assert os.listdir(tmp_path) == ["x"]
    assert b'\r\nRange: bytes=600-\r\nIf-Range: "v"\r\n' in server.received[1]


@POSIX
def test_ctrl_c_in_a_download_keeps_what_can_go_on(tmp_path: Path):
    arrived = threading.Event()
    answer = b'HTTP/1.1 200 OK\r\nETag: "v"\r\nContent-Length: 9000\r\n\r\n' + b"x" * 5000
    script = [expect_head(), send(answer), signal_event(arrived), expect_end()]
    with (
        ScriptedServer(script) as server,
        subprocess.Popen(
            [*COMMAND, server.url, "-o", str(tmp_path / "x")], stderr=subprocess.PIPE, env=environment()
        ) as process,
    ):
        assert process.stderr is not None
        assert arrived.wait(30)
        draft = tmp_path / "x.part"
        until(lambda: draft.exists() and draft.stat().st_size)
        process.send_signal(signal.SIGINT)
        assert (
            process.stderr.read() == f"httpx: {str(tmp_path / 'x.part')!r} is kept; --continue continues it\n".encode()
        )
        assert process.wait(60) == 130
    assert set(os.listdir(tmp_path)) == {"x.part", "x.part.json"}


@POSIX
def test_a_reader_that_leaves_the_help_ends_it_quietly():
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m httpx --help | exec true; echo done'],
        capture_output=True,
        env=environment(),
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (b"done\n", b"")


def test_a_wrong_digest_has_a_code_of_its_own(echo_server: EchoServer, tmp_path: Path):
    digest = "sha256:" + "0" * 64
    done = in_a_pipe(f"{echo_server.url}/bytes/10", "-o", str(tmp_path / "x"), "--check-digest", digest)
    assert done.returncode == 8
    assert done.stderr.startswith(b"httpx: the file has the digest sha256:")
    assert os.listdir(tmp_path) == []


def test_the_echo_server_is_an_option_away():
    with subprocess.Popen(
        [*COMMAND, "--serve", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        match = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert match is not None
        assert in_a_pipe(f"{match[0]}/get").returncode == 0
        process.send_signal(signal.SIGINT) if sys.platform != "win32" else process.terminate()
        try:
            assert process.wait(60) is not None
        finally:
            process.kill()  # leaving the block waits for it


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(shell: str, tmp_path: Path):
    done = in_a_pipe("--completion", shell)
    assert done.returncode == 0
    assert b"--write-out" in done.stdout or b"-l write-out" in done.stdout
    if shutil.which(shell):
        (tmp_path / "script").write_bytes(done.stdout)
        assert subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True, timeout=60).stderr == b""


def test_the_manual_in_a_pipe_is_a_page_for_man():
    done = in_a_pipe("--manual")
    assert done.returncode == 0
    assert done.stdout.startswith(b".TH HTTPX 1 ")
    if shutil.which("groff"):
        page = subprocess.run(
            ["groff", "-man", "-Tascii", "-ww"], input=done.stdout, capture_output=True, timeout=60, check=True
        )
        assert page.stderr == b""
        assert b"--check-digest" in page.stdout


@POSIX
@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man")
def test_the_manual_on_a_terminal_can_be_read():
    code, shown = on_a_terminal("--manual", MANPAGER="cat", PAGER="cat")
    assert code == 0
    assert "an HTTP client for the terminal" in shown


def test_the_help_lists_every_option():
    done = in_a_pipe("--help")
    assert done.returncode == 0
    for option in (
        *("-m, --method", "-p, --params", "-c, --content", "-d, --data", "-f, --files", "-j, --json", "-h, --headers"),
        *("--cookies", "--auth", "--proxy", "--timeout", "--follow-redirects", "--no-verify", "--http2", "--download"),
        *("-v, --verbose", "--help", "--bearer", "--max-time", *(option.names[-1] for option in OPTIONS)),
    ):
        assert option.encode() in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize("name", ["click", "rich", "pygments"])
def test_without_the_extra_one_line_says_how_to_get_it(name: str):
    code = f"import sys; sys.modules[{name!r}] = None; from httpx._main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), timeout=60)
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr == b"httpx: the command line client is not installed; run: pip install 'httpx[cli]'\n"


def test_importing_the_door_imports_nothing_behind_it():
    code = (
        "import sys, httpx._main; print([n for n in ('click', 'rich', 'pygments', 'httpx._cli') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), timeout=60)
    assert done.stdout == b"[]\n"


def test_main_ends_the_process_with_the_code_of_the_run(monkeypatch: pytest.MonkeyPatch):
    from httpx import _main
    from httpx._cli import command

    def interrupted(argv: list[str]) -> int:
        raise KeyboardInterrupt

    for function, code in ((len, 2), (interrupted, 130)):
        monkeypatch.setattr(command, "run", function)
        monkeypatch.setattr(sys, "argv", ["httpx", "a", "b"])
        with pytest.raises(SystemExit) as caught:
            _main.main()
        assert caught.value.code == code


def test_the_door_stays_shut_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from httpx import _main

    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(SystemExit) as caught:
        _main.main()
    assert caught.value.code == 1
    assert "pip install" in capsys.readouterr().err


def test_a_module_that_only_pretends_to_be_there_does_not_count(monkeypatch: pytest.MonkeyPatch):
    from httpx import _main

    monkeypatch.setitem(sys.modules, "rich", ModuleType("rich"))  # it has no spec, which makes `find_spec` raise
    with pytest.raises(SystemExit) as caught:
        _main.main()
    assert caught.value.code == 1


def test_importing_the_package_for_python_m_starts_nothing():
    assert importlib.import_module("httpx.__main__").main is importlib.import_module("httpx._main").main


def test_the_search_for_cycles_is_as_before_after_a_run(monkeypatch: pytest.MonkeyPatch):
    """A program that calls `httpx.main()` keeps its own setting; PyPy has none."""
    before = gc.get_threshold()
    monkeypatch.setattr(sys, "argv", ["httpx", "--version"])
    with pytest.raises(SystemExit):
        _main.main()
    assert gc.get_threshold() == before
    monkeypatch.delattr(gc, "get_threshold")
    with pytest.raises(SystemExit):
        _main.main()
