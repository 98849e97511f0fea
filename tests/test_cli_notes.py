"""`--quiet`: what is told on standard error, and what is not shown at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import httpx.testing
from httpx._cli import exits, notes
from httpx._cli.echo_server import EchoServer
from support.commands import POSIX, in_a_pipe, on_a_terminal
from support.local import LocalApi, with_json
from support.servers import ScriptedServer, close, expect_head, send

pytest.importorskip("click")

# After the line above, because it imports click.
from httpx._cli.command import run

Capture = pytest.CaptureFixture[bytes]
Shown = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def shown(capfdbinary: Capture) -> Shown:
    """Run the arguments; the exit code, standard output, and standard error."""

    def shown(*argv: str) -> tuple[int, str, str]:
        code = run([*argv])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return shown


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    yield
    notes.be_quiet(0)


def test_each_time_more_is_left_out(capfd: pytest.CaptureFixture[str]):
    for times, told in enumerate(("httpx: a note\nhttpx: an error\n", "httpx: an error\n", "", "")):
        notes.be_quiet(times)
        notes.note("a note")
        notes.complain("an error")
        assert capfd.readouterr() == ("", told)


@POSIX
@pytest.mark.parametrize("more", [[], ["-v"], ["-i"], ["--stream"], ["--print", "HBhbm"], ["--http2"]])
def test_a_success_shows_nothing(more: list[str], echo_server: EchoServer):
    assert on_a_terminal(f"{echo_server.url}/json", "-q", *more) == (0, "")
    done = in_a_pipe(f"{echo_server.url}/json", "--quiet", *more)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@POSIX
def test_a_failure_is_told_once_and_with_two_not_at_all(echo_server: EchoServer):
    url = f"{echo_server.url}/status/503"
    assert on_a_terminal(url, "-q") == (exits.SERVER_ERROR, "httpx: 503 Service Unavailable\n")
    assert on_a_terminal(url, "-qq") == (exits.SERVER_ERROR, "")
    assert on_a_terminal(url, "--quiet", "-q") == (exits.SERVER_ERROR, "")


@pytest.mark.parametrize("quiet", ["-q", "-qq"])
def test_no_connection_is_an_error(quiet: str, shown: Shown):
    code, out, err = shown("http://127.0.0.1:1/", quiet)
    assert (code, out) == (exits.NETWORK, "")
    assert err.startswith("httpx: ConnectError: ") is (quiet == "-q")
    assert (err == "") is (quiet == "-qq")


def test_a_body_that_breaks_is_an_error_although_it_is_not_shown(shown: Shown):
    head = send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    with ScriptedServer([expect_head(), head, close()]) as server:
        code, out, err = shown(server.url, "-q")
    assert (code, out) == (exits.NETWORK, "")
    assert "RemoteProtocolError" in err
    gzip = send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
    with ScriptedServer([expect_head(), gzip, close()]) as server:
        assert shown(server.url, "-qq") == (exits.FAILED, "", "")


def test_an_invalid_value_of_an_option_that_was_read_is_an_error(shown: Shown):
    for quiet, told in (("-q", True), ("-qq", False)):
        code, _, err = shown("http://a.invalid/", quiet, "--ca", "absent")
        assert (code, bool(err)) == (exits.USAGE, told)


@POSIX
@pytest.mark.parametrize("option", ["-o", "--download"])
def test_files_are_written_without_a_bar(option: str, echo_server: EchoServer, tmp_path: Path):
    url = f"{echo_server.url}/bytes/3000"
    assert on_a_terminal(url, "-q", option, str(tmp_path / "file")) == (0, "")
    assert os.path.getsize(tmp_path / "file") == 3000
    assert on_a_terminal(url, "-qq", option, str(tmp_path / "file"), "--check-digest", "md5:" + "0" * 32) == (8, "")


def test_standard_output_is_a_file_too(echo_server: EchoServer, shown: Shown):
    assert shown(f"{echo_server.url}/anything", "-q", "-c", "x", "-o", "-")[1].startswith("{")


def test_what_is_asked_for_is_shown(echo_server: EchoServer, shown: Shown):
    url = f"{echo_server.url}/status/404"
    assert shown(url, "-q", "-w", "%{http_code}") == (exits.CLIENT_ERROR, "404", "")
    assert shown(url, "-qq", "-w", "%{stderr}%{http_code}") == (exits.CLIENT_ERROR, "", "404")
    assert json.loads(shown(url, "-qq", "--output-json")[1])["response"]["status"] == 404
    code, out, err = shown(url, "-qq", "--timings")
    assert (code, out) == (exits.CLIENT_ERROR, "")
    assert "wait" in err
    assert shown(url, "-q", "--offline", "--print", "H")[1].startswith("GET /status/404 HTTP/1.1\n")
    assert shown(url, "-q", "--curl")[1].startswith("curl ")


def test_notes_are_not_told(shown: Shown, tmp_path: Path):
    api = LocalApi()
    statuses = [503, 200, 304]
    api.answer = lambda asked: with_json({}, statuses.pop(0), Retry_After="0")
    try:
        with httpx.testing.virtual_time(jitter=0):
            assert shown(api.url, "-q", "--retry", "1") == (0, "", "")
        assert shown(api.url, "-q", "-o", str(tmp_path / "file")) == (0, "", "")
    finally:
        api.close()


def test_a_file_of_requests_tells_only_what_failed(echo_server: EchoServer, shown: Shown, tmp_path: Path):
    path = tmp_path / "a.http"
    get = f"GET {echo_server.url}/get\n"
    path.write_text(f"### one\n{get}> {{% ignored %}}\n### two\n{get}# @expect status 201\n")
    code, out, err = shown("run", str(path), "-q")
    assert (code, out) == (exits.UNEXPECTED, "")
    assert err == f"httpx: {path}:6: expected status 201, got 200\n"
    assert shown("run", str(path), "-qq") == (exits.UNEXPECTED, "", "")


def test_the_configuration_may_ask_for_it(
    echo_server: EchoServer, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "httpx").mkdir()
    (tmp_path / "httpx" / "config.toml").write_text('options = ["--quiet"]\n')
    (tmp_path / "httpx" / "config.toml").chmod(0o600)
    assert shown(f"{echo_server.url}/get") == (0, "", "")
    assert shown(f"{echo_server.url}/get", "--no-config")[1] != ""


@POSIX
def test_a_password_is_asked_for_all_the_same(echo_server: EchoServer):
    url = f"{echo_server.url}/basic-auth/ann/secret"
    code, seen = on_a_terminal(url, "-qq", "-u", "ann", typed=b"secret\n")
    assert code == 0
    assert "Password" in seen
