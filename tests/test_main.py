"""The command `httpx` as people run it: a process of its own, the echo server, a pipe or a terminal."""

from __future__ import annotations

import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Optional

import pytest

from httpx._cli.echo_server import EchoServer
from support import certs

for _name in ("click", "rich", "pygments"):
    pytest.importorskip(_name)

SOURCE = Path(__file__).parent.parent / "src"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")
COMMAND = [sys.executable, "-m", "httpx"]


def environment(more: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "COLUMNS": "100",
        "TERM": "xterm",
        **(more or {}),
    }


def in_a_pipe(*args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with its output in pipes."""
    return subprocess.run(
        [*COMMAND, *args], capture_output=True, stdin=subprocess.DEVNULL, env=environment(env), timeout=60
    )


def own_terminal() -> None:
    """In the child: its standard input becomes the terminal that Ctrl-C and password prompts belong to."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def until_nothing_is_echoed(master: int) -> None:
    """The prompt appears before the terminal is told to hide what is typed, which throws away what was typed before."""
    import termios

    for _ in range(6000):
        if not termios.tcgetattr(master)[3] & termios.ECHO:
            return
        time.sleep(0.01)
    raise AssertionError("the terminal goes on showing what is typed")


def on_a_terminal(*args: str, typed: bytes = b"", **env: str) -> tuple[int, str]:
    """Run the command on a terminal of its own; returns its exit code and everything that appeared."""
    master, terminal = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, *args],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(env),
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        if not select.select([master], [], [], 60)[0]:
            process.kill()
            raise AssertionError(f"the command waits for something after {shown!r}")
        try:
            data = os.read(master, 65536)
        except OSError:  # how Linux reports that nobody has the terminal open any more
            break
        if not data:
            break
        shown += data
        if typed and b"Password" in shown:
            until_nothing_is_echoed(master)
            os.write(master, typed)
            typed = b""
    os.close(master)
    return process.wait(60), shown.decode().replace("\r\n", "\n")


def parts(output: bytes) -> tuple[list[str], bytes]:
    """Lines of the head, and the body."""
    head, _, body = output.partition(b"\n\n")
    return head.decode().splitlines(), body


def echoed(output: bytes) -> dict[str, object]:
    value = json.loads(parts(output)[1])
    assert isinstance(value, dict)
    return value


def test_a_pipe_gets_the_head_and_then_the_bytes_of_the_body(echo_server: EchoServer):
    done = in_a_pipe(f"{echo_server.url}/bytes/20?seed=1")
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
    assert done.stderr.count(b"\n") == (code == 6)


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
        [*COMMAND, f"{echo_server.url}/bytes/9000000"],
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


def test_the_help_lists_every_option():
    done = in_a_pipe("--help")
    assert done.returncode == 0
    for option in (
        *("-m, --method", "-p, --params", "-c, --content", "-d, --data", "-f, --files", "-j, --json", "-h, --headers"),
        *("--cookies", "--auth", "--proxy", "--timeout", "--follow-redirects", "--no-verify", "--http2", "--download"),
        *("-v, --verbose", "--help", "--bearer", "--max-time"),
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
