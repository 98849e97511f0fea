"""Several URLs in one run of the command: order, failures, files, what they share, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional

import pytest

from httpx._cli import exits
from httpx._cli.echo_server import EchoServer

pytest.importorskip("click")

# After the line above, because they import click.
from httpx._cli import many
from httpx._cli.command import run
from support.commands import COMMAND, POSIX, Done, environment, in_a_pipe, on_a_terminal, until

Sent = Callable[..., Done]


@pytest.fixture
def sent(
    capfdbinary: pytest.CaptureFixture[bytes],
    echo_server: EchoServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Sent:
    """Runs the command in this process, in an empty folder; a word that begins with a slash is on the echo server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run_with(*argv: str) -> Done:
        code = run([echo_server.url + word if word.startswith("/") else word for word in argv])
        out, err = capfdbinary.readouterr()
        return Done(code, out.decode(), err.decode().replace(echo_server.url, "URL"))

    return run_with


class Server(ThreadingHTTPServer):
    """
    A server whose responses can wait for each other.

    Attributes:
        asked: method and target of the requests, in the order in which they came.
        most: requests at the same time, so far.
        gate: requests below /wait go on when it is set.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.gate = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: many of these tests end a connection."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each response takes 40 ms
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        if self.path.startswith("/wait"):
            self.server.gate.wait(60)
        body = self.path.encode() + b"\n"
        if self.path.startswith("/named"):
            self.send_response(200)
            self.send_header("Content-Disposition", f"attachment; filename={self.path[6:]}")
        elif self.path.startswith("/part"):
            self.send_response(200)
            self.send_header("ETag", '"v"')
            self.send_header("Content-Length", "900000")
            self.end_headers()
            self.wfile.write(b"x" * 500000)
            self.server.gate.wait(60)
            self.close_connection = True
            return
        else:
            self.send_response(404 if self.path.startswith("/no") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield made
        finally:
            made.gate.set()
            made.shutdown()


# Which URLs.


@pytest.mark.parametrize("width", ["1", "3"])
def test_items_and_options_count_for_every_url(sent: Sent, width: str):
    done = sent("PUT", "/anything/a", "x=1", "/anything/[1-2]", "X-A:b", "-p", "q=1", "--parallel", width)
    assert done.code == exits.OK
    assert done.err == "httpx: 3 requests, 0 failed\n"
    assert [body["url"].rpartition("/")[2] for body in done.bodies] == ["a?q=1", "1?q=1", "2?q=1"]
    for body in done.bodies:
        assert (body["method"], body["json"], body["headers"]["X-A"]) == ("PUT", {"x": "1"}, "b")


def test_a_header_and_a_field_that_look_like_hosts_stay_items(sent: Sent):
    """`x-id:7` would have been sent to a host of this name."""
    (body,) = sent("/anything", "x-id:7", "a/b==1", "c.d==2").bodies
    assert body["headers"]["x-id"] == "7"
    assert body["args"] == {"a/b": "1", "c.d": "2"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["http://a/", "foo"], "'foo' is not an item"),
        (["http://a/", "foo/bar"], "'foo/bar' is not an item"),
        (["http://a/", "http://b/", "foo"], "'foo' is not an item"),
        (["http://a/", "http://b/", "-w", "@no-file"], "[Errno 2]"),
        (["http://a/", "http://b/", "-f", "a", "-"], "cannot be standard input"),
        (["GET", "PUT", "http://a/"], "the URL is missing: 'PUT' is a method"),
        (["http://a/", "http://b/", "--check-digest", "sha256:00", "-o", "x"], "--check-digest is the digest of one"),
        (["http://a/", "http://b/", "-o", "x"], "'x' would get the bodies of two URLs"),
        (["http://a/", "http://b/", "--parallel", "0"], "--parallel must be from 1 to 100, got 0"),
        (["http://a/", "http://b/", "--print", "z"], "--print must have only the letters"),
        (["http://a/", "http://b/", "--rate", "10"], "--rate must be a number and a time, such as 10/s"),
        (["http://a/", "--rate", "0/s"], "--rate must be"),
        (["http://a/", "--skip-existing"], "--skip-existing needs --download or --output"),
        (["http://a/", "http://["], "InvalidURL"),
        (["http://a/[3-1]"], "goes down"),
        (["http://a/", "http://b/", "file@-"], "cannot be standard input"),
        (["http://a/", "http://b/", "--ws"], "is a second URL"),
        (["--urls", "no-file"], "--urls: [Errno 2]"),
        (["--urls", "-", "@-"], "which is the list of URLs"),
        (["--urls", "-", "-w", "@-"], "which is the list of URLs"),
        (["http://a/", "http://b/", "--auth", "a", "b", "--bearer", "c"], "exclude each other"),
        (["http://a/", "http://b/", "--ca", "no-file"], "--ca 'no-file' does not exist"),
    ],
)
def test_what_makes_no_sense_is_said_once_before_anything_is_sent(sent: Sent, words: list[str], message: str):
    done = sent(*words)
    assert (done.code, done.out) == (exits.USAGE, "")
    assert message in done.err
    assert done.err.count("\n") <= 2


def test_a_file_of_this_name_is_not_taken_for_a_host(sent: Sent, tmp_path: Path):
    """Without its @, the name of a file would be a host, which would get the request."""
    (tmp_path / "me.json").write_text("{}")
    done = sent("POST", "/anything", "me.json")
    assert done.code == exits.USAGE
    assert "'me.json' is a file: @me.json sends it" in done.err


def test_globoff_sends_a_pattern_as_it_is(sent: Sent):
    (body,) = sent("/anything?q=[1-2]", "-g").bodies
    assert body["args"] == {"q": "[1-2]"}


def test_lines_of_a_file_come_after_the_words(sent: Sent, tmp_path: Path, echo_server: EchoServer):
    (tmp_path / "urls.txt").write_text(
        f"# two\n{echo_server.url}/anything/1\n\nbad url\n{echo_server.url}/anything/2\n"
    )
    done = sent("/anything/0", "--urls", "urls.txt", "x==1")
    assert [body["url"].rpartition("/")[2] for body in done.bodies] == ["0?x=1", "1?x=1", "2?x=1"]
    assert done.code == exits.USAGE
    assert done.err == (
        "httpx: urls.txt:4: expected one URL in a line, without spaces and control characters\n"
        "httpx: 4 requests, 1 failed\n"
    )


def test_a_method_may_be_before_the_items_of_a_list(sent: Sent, tmp_path: Path, echo_server: EchoServer):
    (tmp_path / "urls.txt").write_text(f"{echo_server.url}/anything\n")
    assert [body["method"] for body in sent("delete", "--urls", "urls.txt").bodies] == ["DELETE"]
    assert [body["json"] for body in sent("a=1", "--urls", "urls.txt").bodies] == [{"a": "1"}]


def test_download_of_a_list_has_its_folder(sent: Sent, tmp_path: Path, echo_server: EchoServer):
    """The folder was taken for the URL."""
    (tmp_path / "urls.txt").write_text(f"{echo_server.url}/bytes/3\n")
    (tmp_path / "folder").mkdir()
    assert sent("--urls", "urls.txt", "--download", "folder/", "--print", "").code == exits.OK
    assert os.listdir(tmp_path / "folder") == ["3"]


# The order, and how many at the same time.


@pytest.mark.parametrize("width", ["1", "4"])
def test_output_has_the_order_of_the_urls_with_nothing_between(server: Server, sent: Sent, width: str):
    server.gate.set()
    done = sent(f"{server.url}/[1-30]", "--parallel", width)
    assert done.out == "".join(f"/{number}\n" for number in range(1, 31))
    assert server.connections <= int(width)


def test_a_slow_first_url_delays_no_request(server: Server, sent: Sent):
    def open_when_all_others_came() -> None:
        until(lambda: len(server.asked) == 21)
        server.gate.set()

    threading.Thread(target=open_when_all_others_came, daemon=True).start()
    done = sent(f"{server.url}/wait", f"{server.url}/[1-20]", "--parallel", "3")
    assert done.out == "/wait\n" + "".join(f"/{number}\n" for number in range(1, 21))
    assert server.connections <= 3


def test_one_after_another_is_the_default(server: Server, sent: Sent):
    server.gate.set()
    sent(f"{server.url}/{{a,wait,c}}")
    assert server.asked == ["/a", "/wait", "/c"]
    assert server.connections == 1


def test_requests_share_cookies(sent: Sent):
    done = sent("/cookies/set?a=1", "/cookies", "--follow-redirects")
    assert [body["cookies"] for body in done.bodies] == [{"a": "1"}, {"a": "1"}]


def test_a_rate_holds_for_all(sent: Sent):
    began = time.monotonic()
    assert sent("/anything/[1-4]", "--rate", "20/s", "--parallel", "4", "--print", "", "--max-time", "5").code == 0
    assert time.monotonic() - began >= 0.15


def test_waiting_for_a_turn_does_not_count_for_max_time(sent: Sent):
    """From the second on, requests failed: their turn was later than their time."""
    assert sent("/anything/[1-2]", "--rate", "0.7/s", "--print", "", "--max-time", "1.4").code == exits.OK


def test_redirects_and_retries_take_turns(sent: Sent):
    began = time.monotonic()
    assert sent("/redirect/2", "/get", "--rate", "20/s", "-L", "--print", "").code == exits.OK
    assert time.monotonic() - began >= 0.15


# Failures.


@pytest.mark.parametrize("width", ["1", "2"])
def test_a_failure_stops_nothing_and_the_exit_code_is_the_worst(sent: Sent, width: str):
    done = sent("/status/404", "http://u:secret@127.0.0.1:1/x?token=7", "/get", "--print", "", "--parallel", width)
    assert done.code == exits.NETWORK
    first, second, last = done.err.splitlines()
    assert first == "httpx: URL/status/404: 404 Not Found"
    assert second.startswith("httpx: http://127.0.0.1:1/x: ConnectError: ")
    assert last == "httpx: 3 requests, 2 failed"
    assert "secret" not in done.err
    assert "token" not in done.err


@pytest.mark.parametrize("width", ["1", "2"])
def test_fail_early_begins_nothing_after_a_failure(server: Server, sent: Sent, width: str):
    server.gate.set()
    done = sent(f"{server.url}/no", f"{server.url}/[1-500]", "--fail-early", "--parallel", width, "--print", "")
    assert done.code == exits.CLIENT_ERROR
    assert done.err.splitlines()[1] == "httpx: stopped after the first failure"
    assert len(server.asked) == 1 if width == "1" else len(server.asked) < 500


def test_a_websocket_is_no_part_of_several_requests(server: Server, sent: Sent, tmp_path: Path):
    """It was sent a plain request."""
    socket = server.url.replace("http", "ws") + "/a"
    server.gate.set()
    told = "a WebSocket is opened alone: httpx ws URL"
    done = sent(f"{server.url}/a", f"{server.url}/b", socket)
    assert (done.code, server.asked) == (exits.USAGE, [])
    assert told in done.err
    (tmp_path / "urls.txt").write_text(socket)
    assert f"urls.txt:1: {socket}: {told}" in sent("--urls", "urls.txt").err
    (tmp_path / "a.http").write_text(f"GET {socket}\n")
    assert told in sent("run", "a.http").err
    assert server.asked == []


@pytest.mark.parametrize("width", ["1", "2"])
def test_a_run_whose_last_url_fails_was_not_stopped(server: Server, sent: Sent, width: str):
    """Somebody would look for the URLs that were left out."""
    server.gate.set()
    done = sent(f"{server.url}/a", f"{server.url}/no", "--fail-early", "--parallel", width, "--print", "")
    assert done.err.splitlines()[1:] == ["httpx: 2 requests, 1 failed"]


def test_fail_early_shows_nothing_after_a_failure_where_nothing_is_sent(sent: Sent, tmp_path: Path):
    """The message said that the run was stopped, and the others were shown before it."""
    (tmp_path / "urls.txt").write_text("not one\nhttp://a/\n")
    done = sent("--urls", "urls.txt", "--fail-early", "--offline")
    assert done.out == ""
    assert done.err.splitlines()[-1] == "httpx: stopped after the first failure"
    assert done.code == exits.USAGE


def test_a_file_that_cannot_be_written_is_a_failure_of_its_url(sent: Sent, tmp_path: Path):
    (tmp_path / "1").mkdir()
    done = sent("/bytes/[1-2]", "-o", "#1/x")
    assert done.code == exits.FAILED
    assert "httpx: URL/bytes/2: [Errno 2]" in done.err
    assert (tmp_path / "1" / "x").stat().st_size == 1


# Files.


@pytest.mark.parametrize("width", ["1", "3"])
def test_a_file_for_each_value(sent: Sent, tmp_path: Path, width: str):
    done = sent("/bytes/[08-10]", "-o", "f_#1.bin", "--parallel", width)
    assert done.code == exits.OK
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {
        "f_08.bin": 8,
        "f_09.bin": 9,
        "f_10.bin": 10,
    }
    lines = (
        [f"httpx: URL/bytes/{n}: saved to {str(tmp_path / f'f_{n}.bin')!r}" for n in ("08", "09", "10")]
        if width == "3"
        else []
    )
    assert done.err.splitlines() == [*lines, "httpx: 3 requests, 0 failed"]


def test_bodies_may_all_go_to_standard_output_or_nowhere(server: Server, sent: Sent):
    server.gate.set()
    assert sent(f"{server.url}/[1-9]", "-o", "-", "--parallel", "3").out == "".join(f"/{n}\n" for n in range(1, 10))
    assert sent(f"{server.url}/[1-9]", "-o", os.devnull, "--parallel", "3").out == ""


@POSIX
def test_bodies_are_not_mixed_in_a_pipe(sent: Sent, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    done = sent("/bytes/[1-2]", "-o", "pipe", "--parallel", "2")
    assert done.code == exits.USAGE
    assert "--parallel would mix several bodies in 'pipe'" in done.err


@pytest.mark.parametrize("width", ["1", "3"])
def test_what_is_there_already_is_not_requested(server: Server, sent: Sent, tmp_path: Path, width: str):
    server.gate.set()
    (tmp_path / "2.txt").write_text("old")
    argv = [f"{server.url}/[1-3]", "-o", "#1.txt", "--skip-existing", "--parallel", width]
    done = sent(*argv)
    assert done.code == exits.OK
    assert sorted(server.asked) == ["/1", "/3"]
    assert f"httpx: {server.url}/2: '2.txt' is there already, nothing was requested\n" in done.err
    assert done.err.endswith("httpx: 2 requests, 0 failed, 1 skipped\n")
    assert (tmp_path / "2.txt").read_text() == "old"
    assert sent(*argv).err.endswith("httpx: 0 requests, 0 failed, 3 skipped\n")


@pytest.mark.parametrize("more", [[], ["--retry", "1"]])
def test_the_name_of_the_server_is_known_after_the_head(server: Server, sent: Sent, tmp_path: Path, more: list[str]):
    server.gate.set()
    (tmp_path / "b").write_text("old")
    done = sent(f"{server.url}/named{{a,b}}", "--download", ".", "--skip-existing", "--print", "", *more)
    assert done.code == exits.OK
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert (tmp_path / "b").read_text() == "old"
    assert "'./b' is there already, its body was not read" in done.err
    again = sent(f"{server.url}/b", "--download", ".", "--skip-existing", "--print", "")
    assert (again.code, again.err) == (0, "httpx: './b' is there already, nothing was requested\n")


@pytest.mark.parametrize("width", ["1", "3"])
def test_files_of_one_name_in_a_run_do_not_skip_each_other(server: Server, sent: Sent, tmp_path: Path, width: str):
    """All but the first page of `list?page=[1-3]` would have been skipped."""
    server.gate.set()
    sent(f"{server.url}/list?page=[1-3]", "--download", ".", "--skip-existing", "--print", "", "--parallel", width)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}  # the numbers depend on who comes first
    assert sorted(kept.values()) == [f"/list?page={page}\n" for page in (1, 2, 3)]
    assert min(kept) == "list"


def test_a_body_from_standard_input_goes_to_each_url(echo_server: EchoServer):
    argv = [*COMMAND, "POST", f"{echo_server.url}/anything/[1-3]", "--parallel", "2"]
    done = subprocess.run(argv, input=b"text", capture_output=True, env=environment(), timeout=60)
    assert [body["data"] for body in Done(0, done.stdout.decode(), "").bodies] == ["text"] * 3


def test_a_large_body_from_standard_input_is_refused(echo_server: EchoServer):
    argv = [*COMMAND, "POST", f"{echo_server.url}/anything/[1-3]"]
    done = subprocess.run(argv, input=b"x" * (5 << 20), capture_output=True, env=environment(), timeout=60)
    assert done.returncode == exits.USAGE
    assert done.stdout == b""
    assert b"save it to a file, and send that with @FILE" in done.stderr


@pytest.mark.parametrize("width", ["1", "3"])
def test_files_are_sent_to_each_url(sent: Sent, tmp_path: Path, width: str):
    (tmp_path / "me.txt").write_text("me")
    (tmp_path / "large").write_bytes(b"x" * (5 << 20))
    for words in (["-f", "a", "me.txt"], ["a@me.txt"]):
        bodies = sent("/anything/[1-3]", *words, "--parallel", width).bodies
        assert [body["files"] for body in bodies] == [{"a": "me"}] * 3
    done = sent("POST", "/anything/[1-3]", "@large", "-w", "%{size_upload}\n", "--print", "", "--parallel", width)
    assert done.out == f"{5 << 20}\n" * 3


# What of one request works for several.


@pytest.mark.parametrize("width", ["1", "2"])
def test_figures_and_objects_are_one_for_each(sent: Sent, width: str):
    done = sent("/anything/[1-2]", "--print", "", "-w", "%{urlnum} %{http_code}\\n", "--parallel", width)
    assert done.out == "0 200\n1 200\n"
    done = sent("/anything/[1-2]", "http://127.0.0.1:1/", "--output-json", "--parallel", width)
    objects = [json.loads(line) for line in done.out.splitlines()]
    assert [each["request"]["url"].rpartition("/")[2] for each in objects] == ["1", "2", ""]
    assert objects[2]["error"]["type"] == "ConnectError"


def test_a_format_from_standard_input_is_read_once(echo_server: EchoServer):
    argv = [*COMMAND, f"{echo_server.url}/anything/[1-2]", "-w", "@-", "--print", ""]
    done = subprocess.run(argv, input=b"@%{http_code} ", capture_output=True, env=environment(), timeout=60)
    assert done.stdout == b"@200 @200 "


@pytest.mark.parametrize("width", ["1", "3"])
def test_a_recording_has_all_of_them(sent: Sent, tmp_path: Path, width: str):
    done = sent("/anything/[1-3]", "http://127.0.0.1:1/", "--har", "a.har", "--print", "", "--parallel", width)
    assert done.code == exits.NETWORK
    entries = json.loads((tmp_path / "a.har").read_text())["log"]["entries"]
    assert sorted(entry["request"]["url"][-2:] for entry in entries) == ["/1", "/2", "/3", "1/"]


@pytest.mark.parametrize("width", ["1", "2"])
def test_a_session_is_read_and_written_once(sent: Sent, tmp_path: Path, width: str):
    sent("/cookies/set?a=1", "/anything", "X-A:1", "--session", "s", "--print", "", "--parallel", width)
    (path,) = (tmp_path / "config").rglob("s.json")
    kept = json.loads(path.read_text())
    assert [(each["name"], each["value"]) for each in kept["cookies"]] == [("a", "1")]
    assert kept["headers"] == [["X-A", "1"]]
    done = sent("/anything/[1-2]", "--session", "s", "--parallel", width)
    assert [body["headers"]["Cookie"] for body in done.bodies] == ["a=1"] * 2


def test_a_session_has_no_cookies_of_another_host(sent: Sent, tmp_path: Path, echo_server: EchoServer):
    there = echo_server.url.replace("127.0.0.1", "localhost")
    sent("/cookies/set?a=1", f"{there}/cookies/set?b=2", "--session", "s", "--print", "")
    kept = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "config").rglob("s.json")}
    names = {folder.partition("_")[0]: [each["name"] for each in found["cookies"]] for folder, found in kept.items()}
    assert names == {"127.0.0.1": ["a"], "localhost": ["b"]}


def test_one_file_is_not_the_session_of_two_hosts(sent: Sent, echo_server: EchoServer):
    there = echo_server.url.replace("127.0.0.1", "localhost")
    done = sent("/get", f"{there}/get", "--session", "./s.json", "--print", "")
    assert done.code == exits.USAGE
    assert "belongs to another host of this run" in done.err


def test_requests_are_shown_without_being_sent(sent: Sent):
    done = sent("http://a.invalid/[1-2]", "http://b.invalid/", "--curl")
    assert done == Done(0, "curl http://a.invalid/1\ncurl http://a.invalid/2\ncurl http://b.invalid/\n", "")
    done = sent("http://a.invalid/[1-2]", "--offline", "--print", "H")
    assert done.out.count("Host: a.invalid\n") == 2


def test_timings_and_verbose_are_shown_for_each(sent: Sent):
    done = sent("/anything/[1-2]", "--timings", "-v", "--parallel", "2")
    assert done.err.count("wait") == 2
    assert [line for line in done.out.splitlines() if line.startswith("GET")] == [
        "GET /anything/1 HTTP/1.1",
        "GET /anything/2 HTTP/1.1",
    ]


def test_credentials_of_the_command_go_to_all_urls(sent: Sent):
    bodies = sent("/anything/[1-2]", "--auth", "u", "p", "--parallel", "2").bodies
    assert [body["headers"]["Authorization"] for body in bodies] == ["Basic dTpw"] * 2


CONFIG = """
options = ["-h", "X-All", "1"]
[host."127.0.0.1:{port}"]
options = ["-h", "X-First", "1"]
headers = {{ X-Own = "1" }}
bearer = {{ command = {command} }}
[host."localhost:{port}"]
options = ["-L"]
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs a reader of TOML")
@pytest.mark.parametrize("width", ["1", "3"])
@pytest.mark.parametrize("turned", [False, True])
def test_settings_of_a_host_are_for_its_urls_only(
    sent: Sent, tmp_path: Path, echo_server: EchoServer, width: str, turned: bool
):
    """The options of the first host, and its credentials, would have been those of all."""
    program = f"import sys; open({str(tmp_path / 'runs')!r}, 'a').write('x'); print('secret')"
    (tmp_path / "config" / "httpx").mkdir(parents=True)
    path = tmp_path / "config" / "httpx" / "config.toml"
    path.write_text(CONFIG.format(port=echo_server.port, command=json.dumps([sys.executable, "-c", program])))
    path.chmod(0o600)
    there = echo_server.url.replace("127.0.0.1", "localhost")
    urls = ["/anything/[1-2]", f"{there}/redirect-to?url=/anything/3"]
    found = sent(*(urls[::-1] if turned else urls), "--parallel", width).bodies
    for body in found:
        headers = {name: value for name, value in body["headers"].items() if name[:2] == "X-" or name[0] == "A"}
        own = {"X-First", "X-Own", "Authorization"}
        assert own & set(headers) == (set() if body["url"].endswith("3") else own)
        assert headers["X-All"] == "1"
    assert len(found) == 3
    assert (tmp_path / "runs").read_text() == "x"  # it may ask for a password


@pytest.mark.parametrize("width", ["1", "2"])
def test_an_application_gets_all_requests(sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: str):
    (tmp_path / "shop.py").write_text(
        "def app(environ, start):\n"
        "    print('printed')\n"
        "    start('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [environ['PATH_INFO'].encode() + b'\\n']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    done = in_process(sent, "--app", "shop:app", "/[1-3]", "--parallel", width)
    assert done.out == "/1\n/2\n/3\n"
    assert done.err == "printed\n" * 3 + "httpx: 3 requests, 0 failed\n"
    sys.modules.pop("shop", None)


def in_process(sent: Sent, *argv: str) -> Done:
    return sent(*(f"http://localhost{word}" if word.startswith("/") else word for word in argv))


def test_names_of_this_machine_have_one_pool(server: Server, sent: Sent):
    server.gate.set()
    port = server.server_port
    done = sent(f"http://a.localhost:{port}/[1-2]", f"http://b.localhost:{port}/", "--print", "b")
    assert done.out == "/1\n/2\n/\n"
    assert [each["Host"] for each in server.headers] == [f"a.localhost:{port}"] * 2 + [f"b.localhost:{port}"]


def test_a_recorded_url_has_no_patterns(server: Server, sent: Sent, tmp_path: Path):
    server.gate.set()
    sent(f"{server.url}/?q=[1-2]", "-g", "--har", "a.har")
    done = sent("--from-har", "a.har", "1")
    assert (done.code, len(server.asked)) == (exits.OK, 2)


def test_a_command_of_curl_keeps_its_patterns(sent: Sent, echo_server: EchoServer, tmp_path: Path):
    done = sent("--from-curl", f"curl -f -o 'f#1' '{echo_server.url}/bytes/[1-2]'")
    assert done.code == exits.OK
    assert sorted(os.listdir(tmp_path)) == ["f1", "f2"]


# As people run it.


@POSIX
def test_a_terminal_has_a_heading_for_each(echo_server: EchoServer):
    code, shown = on_a_terminal(f"{echo_server.url}/bytes/[2-3]?token=7", "--body", NO_COLOR="1")
    assert code == 0
    lines = shown.splitlines()
    assert [line for line in lines if line.startswith("###")] == [
        f"### GET {echo_server.url}/bytes/2",
        f"### GET {echo_server.url}/bytes/3",
    ]
    assert lines[-1] == "httpx: 2 requests, 0 failed"


@POSIX
@pytest.mark.parametrize("width", ["40", "100"])
def test_a_terminal_has_one_table_for_all_downloads(echo_server: EchoServer, tmp_path: Path, width: str):
    code, shown = on_a_terminal(
        f"{echo_server.url}/drip?numbytes=[3-8]&duration=0.3",
        *("-o", str(tmp_path / "#1.bin"), "--parallel", "3"),
        COLUMNS=width,
    )
    assert code == 0
    assert len(os.listdir(tmp_path)) == 6
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n").splitlines()
    rows = [line for line in lines if not line.startswith(("###", "httpx:"))]
    assert max(map(len, rows)) <= int(width)
    assert any(line.startswith("3.bin") for line in rows)
    assert any("done" in line for line in rows)
    assert [line.partition(":")[0] for line in lines if line.startswith(("###", "httpx:"))].count("httpx") == 7


@POSIX
@pytest.mark.parametrize("width", ["1", "3"])
def test_a_reader_that_leaves_ends_it_at_once(server: Server, width: str):
    """`| head -1`"""
    with subprocess.Popen(
        [*COMMAND, f"{server.url}/1", f"{server.url}/wait[1-1000]", f"{server.url}/x", "--parallel", width],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"/1\n"
        process.stdout.close()
        server.gate.set()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
    assert len(server.asked) < 200


@POSIX
@pytest.mark.parametrize("width", ["1", "3"])
def test_ctrl_c_ends_all_and_keeps_the_drafts(server: Server, tmp_path: Path, width: str):
    with subprocess.Popen(
        [*COMMAND, f"{server.url}/part[1-9]", "--download", f"{tmp_path}/", "--print", "", "--parallel", width],
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        drafts = [tmp_path / f"part{number}.part" for number in range(1, int(width) + 1)]
        until(lambda: all(draft.exists() and draft.stat().st_size for draft in drafts))
        process.send_signal(signal.SIGINT)
        lines = process.stderr.read().decode().splitlines()
        assert process.wait(60) == 130
    assert sorted(lines) == [f"httpx: {str(draft)!r} is kept; --continue continues it" for draft in drafts]
    assert sorted(os.listdir(tmp_path)) == sorted(
        name for draft in drafts for name in (draft.name, f"{draft.name}.json")
    )


@POSIX
def test_what_is_kept_is_said_below_the_table(server: Server, tmp_path: Path):
    """The end of the table erased lines that were written after it."""
    master, terminal = os.openpty()
    with subprocess.Popen(
        [*COMMAND, f"{server.url}/part[1-3]", "--download", f"{tmp_path}/", "--print", "", "--parallel", "3"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(),
    ) as process:
        os.close(terminal)
        drafts = [tmp_path / f"part{number}.part" for number in range(1, 4)]
        until(lambda: all(draft.exists() and draft.stat().st_size for draft in drafts))
        process.send_signal(signal.SIGINT)
        shown = b""
        try:
            while data := os.read(master, 65536):
                shown += data
        except OSError:  # how Linux reports that the terminal is closed
            pass
        assert process.wait(60) == 130
    os.close(master)
    end = shown[shown.rindex(b"\x1b[2K") + 4 :]  # after the last line that was erased
    assert end.decode().splitlines() == [f"httpx: {str(draft)!r} is kept; --continue continues it" for draft in drafts]


@POSIX
@pytest.mark.parametrize("more", [[], ["--rate", "4/s"]])
def test_ctrl_c_waits_neither_for_servers_nor_for_turns(server: Server, more: list[str]):
    with subprocess.Popen(
        [*COMMAND, f"{server.url}/wait[1-9]", "--parallel", "4", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        until(lambda: len(server.asked) == (2 if more else 4))
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
        assert process.wait(20) == 130


def lines_of_a_pipe(server: Server, *argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "--urls", "-", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )


@pytest.mark.parametrize("width", ["1", "3"])
def test_lines_of_a_pipe_are_sent_as_they_come(server: Server, width: str):
    """A list that is written slowly, and a response that would wait for the next line."""
    server.gate.set()
    with lines_of_a_pipe(server, "--parallel", width) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for number in range(3):
            process.stdin.write(f"{server.url}/{number}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline() == f"/{number}\n".encode()
        process.stdin.close()
        assert process.stderr.read() == b"httpx: 3 requests, 0 failed\n"
        assert process.wait(60) == 0


@pytest.mark.parametrize("width", ["1", "3"])
def test_a_failure_does_not_wait_for_the_next_line(server: Server, width: str):
    with lines_of_a_pipe(server, "--parallel", width, "--fail-early") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(f"{server.url}/no\n".encode())
        process.stdin.flush()
        assert process.stderr.readline() == f"httpx: {server.url}/no: 404 Not Found\n".encode()
        assert process.wait(60) == exits.CLIENT_ERROR  # standard input is still open


def peak_of(*argv: str) -> int:
    """Return the memory of a run, in KiB."""
    code = (
        "import os, resource, sys; from httpx._cli.command import run; code = run(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, env=environment(), timeout=120)
    assert done.returncode == 0
    return int(done.stderr.split()[-1]) // (1024 if sys.platform == "darwin" else 1)


@POSIX
@pytest.mark.parametrize("width", ["1", "8"])
def test_a_thousand_urls_need_no_more_memory_than_a_few(server: Server, width: str):
    server.gate.set()
    few = peak_of(f"{server.url}/[1-100]", "--parallel", width)
    assert peak_of(f"{server.url}/[1-1000]", "--parallel", width) - few < 4096


def test_a_billion_urls_begin_at_once(server: Server, sent: Sent):
    server.gate.set()
    done = sent(f"{server.url}/{{no,b}}[1-1000000000]", "--fail-early", "--print", "")
    assert (done.code, server.asked) == (exits.CLIENT_ERROR, ["/no1"])


def test_one_request_does_not_load_what_several_need(echo_server: EchoServer):
    code = (
        "import sys; from httpx._cli.command import run; run(sys.argv[1:]); "
        "print([name for name in ('many', 'turns', 'patterns', 'addresses', 'sharing') "
        "if f'httpx._cli.{name}' in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"{echo_server.url}/get", "a==1"],
        capture_output=True,
        env=environment(),
        timeout=60,
    )
    assert done.stderr == b"[]\n"


def test_names_in_messages_are_short_and_have_no_secrets():
    assert many._name_of("https://u:p@h/a?b=c#d") == "https://h/a"
    assert many._name_of("http://u:p@[bad/x?token=1") == "http://[bad/x"
    assert len(many._name_of("http://h/" + "x" * 1000)) == 203
    assert many._name_of("") == ""


def test_a_pipe_gets_no_headings(echo_server: EchoServer):
    done = in_a_pipe(f"{echo_server.url}/bytes/[2-3]?x=1")
    assert len(done.stdout) == 5
    assert done.stderr == b"httpx: 2 requests, 0 failed\n"


def run_file(sent: Sent, tmp_path: Path, server: Server, *argv: str) -> Optional[Done]:
    (tmp_path / "a.http").write_text("\n###\n".join(f"GET {server.url}/{name}" for name in ("a", "no", "b")))
    return sent("run", "a.http", *argv, "--print", "")


def test_a_file_of_requests_has_a_rate_and_may_fail_early(server: Server, sent: Sent, tmp_path: Path):
    server.gate.set()
    began = time.monotonic()
    assert run_file(sent, tmp_path, server, "--rate", "20/s")
    assert time.monotonic() - began >= 0.1
    assert server.asked == ["/a", "/no", "/b"]
    done = run_file(sent, tmp_path, server, "--fail-early")
    assert done is not None
    assert done.err.splitlines()[-2:] == ["httpx: stopped after the first failure", "httpx: 2 requests, 1 failed"]
    for option in (["--parallel", "2"], ["--urls", "x"]):
        done = run_file(sent, tmp_path, server, *option)
        assert done is not None
        assert done.code == exits.USAGE


def test_a_recorded_request_goes_to_no_second_url(server: Server, sent: Sent):
    """It would have got the header fields that were recorded for the first one."""
    server.gate.set()
    sent(f"{server.url}/a", "--har", "a.har")
    for more in ([f"{server.url}/b"], ["--urls", "a.har"]):
        assert sent("--from-har", "a.har", "1", *more).code == exits.USAGE
    assert server.asked == ["/a"]


def test_the_name_of_a_file_of_requests_has_no_patterns(server: Server, sent: Sent, tmp_path: Path):
    server.gate.set()
    (tmp_path / "a[3-1].http").write_text(f"GET {server.url}/[1-2]")
    assert sent("run", "a[3-1].http").code == exits.OK
    assert server.asked == ["/[1-2]"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs a reader of TOML")
def test_globoff_may_be_in_the_configuration(server: Server, sent: Sent, tmp_path: Path):
    server.gate.set()
    (tmp_path / "config" / "httpx").mkdir(parents=True)
    path = tmp_path / "config" / "httpx" / "config.toml"
    path.write_text(
        f'options = ["--globoff"]\n[host."127.0.0.1:{server.server_port}"]\noptions = ["-h", "X-Own", "1"]\n'
    )
    path.chmod(0o600)
    sent(f"{server.url}/[1-2]", "--print", "")
    assert [each.get("X-Own") for each in server.headers] == ["1"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs a reader of TOML")
def test_bodies_do_not_replace_each_other_by_the_settings_of_their_host(server: Server, sent: Sent, tmp_path: Path):
    """A file that a host's settings name had the body of the last URL alone, and the exit code was 0."""
    server.gate.set()
    (tmp_path / "config" / "httpx").mkdir(parents=True)
    path = tmp_path / "config" / "httpx" / "config.toml"
    path.write_text(f'[host."127.0.0.1:{server.server_port}"]\noptions = ["--output", "x"]\n')
    path.chmod(0o600)
    done = sent(f"{server.url}/[1-2]")
    assert (done.code, server.asked, (tmp_path / "x").exists()) == (exits.USAGE, [], False)
    assert "--output of a host in the configuration is not for several URLs" in done.err
    assert sent(f"{server.url}/[1-2]", "-o", "#1.txt").code == exits.OK
    assert (tmp_path / "2.txt").exists()


def test_names_of_this_machine_may_lead_to_others(server: Server, sent: Sent, echo_server: EchoServer):
    there = f"http://localhost:{server.server_port}/x"
    server.gate.set()
    first = echo_server.url.replace("127.0.0.1", "a.localhost")
    done = sent(f"{first}/redirect-to?url={there}", f"{first}/status/204", "-L")
    assert (done.code, done.out) == (exits.OK, "/x\n")


def test_the_settings_of_many_hosts_are_not_all_remembered(sent: Sent, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(many, "_MAX_HOSTS", 1)
    done = sent("http://a{1,2,1}.invalid/", "--offline", "--print", "H")
    assert re.findall("Host: (.*)", done.out) == ["a1.invalid", "a2.invalid", "a1.invalid"]
    assert sent("http://a{1,2}.invalid/", "--offline", "--no-config").out.count("Host") == 2


@pytest.mark.parametrize("width", ["1", "2"])
def test_errors_may_have_nowhere_to_go(
    server: Server, sent: Sent, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], width: str
):
    server.gate.set()
    monkeypatch.setattr(sys, "stderr", None)
    assert run([f"{server.url}/[1-2]", "foo://x", "--parallel", width]) == exits.USAGE
    assert capfdbinary.readouterr() == (b"/1\n/2\n", b"")


@POSIX
def test_uploads_at_the_same_time_have_no_bars(echo_server: EchoServer, tmp_path: Path):
    """Each drew over the others, and into the output of its request."""
    (tmp_path / "large").write_bytes(b"x" * (5 << 20))
    code, shown = on_a_terminal(
        *("PUT", f"{echo_server.url}/upload?[1-4]", f"@{tmp_path / 'large'}", "--parallel", "4", "--print", "")
    )
    assert code == 0
    assert shown.splitlines() == [f"### PUT {echo_server.url}/upload"] * 4 + ["httpx: 4 requests, 0 failed"]


@pytest.mark.parametrize(("quiet", "shown"), [("-q", "httpx: URL/status/404: 404 Not Found\n"), ("-qq", "")])
def test_quiet_hides_all_but_errors(sent: Sent, quiet: str, shown: str):
    done = sent("/status/404", "/bytes/[1-2]", "--print", "", "--parallel", "2", quiet)
    assert (done.code, done.err) == (exits.CLIENT_ERROR, shown)
