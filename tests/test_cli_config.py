"""The configuration file: what it sets, for which host, and what is never shown or sent."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Callable

import pytest

click = pytest.importorskip("click")

# After the line above, because they import click.
from httpx._cli import config, exits  # noqa: E402
from httpx._cli.command import run  # noqa: E402
from httpx._cli.echo_server import EchoServer  # noqa: E402
from httpx._cli.parser import parse  # noqa: E402
from support.commands import POSIX  # noqa: E402

Capture = pytest.CaptureFixture[bytes]
Write = Callable[[str], Path]

if not any(importlib.util.find_spec(name) for name in ("tomllib", "tomli")):
    pytest.skip("there is no reader of TOML", allow_module_level=True)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    (tmp_path / "httpx").mkdir()

    def write(text: str) -> Path:
        path = tmp_path / "httpx" / "config.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write


def printing(text: str) -> str:
    return json.dumps([sys.executable, "-c", f"print({text!r})"])


def out(capture: Capture, *argv: str) -> bytes:
    assert run(list(argv)) == exits.OK
    return capture.readouterr().out


def told(capture: Capture, *argv: str) -> str:
    assert run(list(argv)) == exits.USAGE
    return capture.readouterr().err.decode()


def test_options_are_those_of_every_request(write: Write, echo_server: EchoServer, capfdbinary: Capture):
    write('options = ["--print", "h", "-h", "X-A: b"]')
    url = f"{echo_server.url}/headers"
    assert out(capfdbinary, url).startswith(b"HTTP/1.1 200 OK\n")
    assert b'"X-A": "b"' in out(capfdbinary, url, "--print", "b")
    shown = out(capfdbinary, url, "--no-config")
    assert b"HTTP/1.1" not in shown
    assert b"X-A" not in shown


def test_a_command_of_curl_is_read_once(write: Write, echo_server: EchoServer, capfdbinary: Capture):
    write('options = ["-h", "X-A: b"]')
    assert b'"X-A": "b"' in out(capfdbinary, "curl", f"{echo_server.url}/headers", "-H", "X-B: c")


def test_settings_of_a_host_are_for_this_host(write: Write, echo_server: EchoServer, capfdbinary: Capture):
    """Header fields and credentials must not go to another server."""
    host = f"127.0.0.1:{echo_server.port}"
    write(
        f'[host."{host}"]\nheaders = {{ X-A = "b", Accept = "text/x" }}\noptions = ["-h", "X-C: d"]\n'
        'bearer = { env = "SOME_TOKEN" }'
    )
    os.environ["SOME_TOKEN"] = "secret"
    try:
        sent = json.loads(out(capfdbinary, f"http://{host}/headers", "accept:text/y"))["headers"]
        assert (sent["X-A"], sent["X-C"], sent["Authorization"]) == ("b", "d", "Bearer secret")
        assert {key: value for key, value in sent.items() if key.lower() == "accept"} == {"accept": "text/y"}
        sent = json.loads(out(capfdbinary, f"http://localhost:{echo_server.port}/headers"))["headers"]
        assert not {"X-A", "X-C", "Authorization"} & set(sent)
    finally:
        del os.environ["SOME_TOKEN"]


def test_credentials_of_the_command_line_win(write: Write, echo_server: EchoServer, capfdbinary: Capture):
    url = f"{echo_server.url}/headers"
    write(f'[host."127.0.0.1:{echo_server.port}"]\nbearer = {{ env = "NOT_SET_ANYWHERE" }}')
    for argv, expected in (
        (["--bearer", "mine"], "Bearer mine"),
        (["-u", "u:p"], "Basic dTpw"),
        (["Authorization:x"], "x"),
        (["Authorization:"], None),
    ):
        assert json.loads(out(capfdbinary, url, *argv))["headers"].get("Authorization") == expected
    assert "NOT_SET_ANYWHERE for host" in told(capfdbinary, url)


def test_a_secret_may_be_what_a_command_prints_and_is_not_shown(
    write: Write, echo_server: EchoServer, capfdbinary: Capture
):
    url = f"{echo_server.url}/headers"
    password = f"{{ command = {printing('secret')} }}"
    write(f'[host."127.0.0.1:{echo_server.port}"]\nauth = {{ user = "ann", password = {password} }}')
    assert b'"Authorization": "Basic YW5uOnNlY3JldA=="' in out(capfdbinary, url)
    for argv in (["-v", "--print", "H"], ["--offline"], ["--curl"], ["--output-json", "--print", "b"]):
        head = out(capfdbinary, url, *argv).partition(b'"response"')[0]
        assert b"***" in head
        assert b"YW5u" not in head
    assert b"YW5u" in out(capfdbinary, url, "--offline", "--with-secrets")


def test_credentials_are_not_sent_in_the_clear(write: Write, capfdbinary: Capture):
    write('[host."a.invalid"]\nbearer = { env = "HOME" }')
    assert "sent with https only" in told(capfdbinary, "http://a.invalid/")
    assert b"Bearer ***" in out(capfdbinary, "https://a.invalid/", "--offline")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("options = 5", "'options' must be a list"),
        ("options = [5]", "'options' must be a list of text"),
        ('options = ["--no-such"]', "--no-such"),
        ('options = ["word"]', "a word that is not an option: 'word'"),
        ("option = []", "unknown setting 'option'; known are host, options"),
        ("host = 5", "'host' must be a table"),
        ("[host]\na = 5", "'a' must be a table"),
        ("[host.b]\ntoken = 5", "unknown setting 'token' of host 'b'"),
        ("[host.'a.invalid'.headers]\na = 5", "the values of 'headers' must be text"),
        ("[host.'a.invalid']\nbearer = 'secret'", "'bearer' must be a table"),
        ("[host.'a.invalid']\nbearer = {}\nauth = {}", "exclude each other"),
        ("[host.'a.invalid']\nbearer = {}", "must be { env"),
        ("[host.'a.invalid']\nbearer = { command = 'ls' }", "must be { env"),
        ("[host.'a.invalid']\nauth = {}", "must have 'user' and 'password'"),
        ("[host.'a.invalid']\nbearer = { command = ['no-such-command'] }", "failed: FileNotFoundError"),
        ("[host.'a.invalid']\nbearer = { command = ['false'] }", "failed: exit code"),
        ("[host.'a.invalid']\nbearer = { command = ['true'] }", "it printed nothing"),
        ("[", "config.toml: "),
    ],
)
@POSIX
def test_an_invalid_file_is_an_error_that_names_it(write: Write, text: str, expected: str, capfdbinary: Capture):
    path = write(text)
    shown = told(capfdbinary, "https://a.invalid/", "--offline")
    assert expected in shown
    assert str(path) in shown or "option" in shown


@POSIX
def test_a_file_that_others_can_write_is_refused(write: Write, capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch):
    """It names commands that are run."""
    path = write("")
    path.chmod(0o622)
    assert "chmod 600" in told(capfdbinary, "https://a.invalid/", "--offline")
    path.chmod(0o644)
    out(capfdbinary, "https://a.invalid/", "--offline")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid:
        assert "chmod 600" in told(capfdbinary, "https://a.invalid/", "--offline")
    path.unlink()
    path.mkdir()
    assert "config.toml" in told(capfdbinary, "https://a.invalid/", "--offline")


def test_a_url_that_is_invalid_has_its_own_error(write: Write, capfdbinary: Capture):
    write("options = ['-v']")
    assert "InvalidURL" in told(capfdbinary, "http://[a/")


def test_without_a_reader_the_message_says_what_to_install(
    write: Write, capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch
):
    write("")
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    assert "pip install tomli" in told(capfdbinary, "https://a.invalid/")


def test_the_folder_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(config.sys, "platform", "linux")
    assert config.folder() == os.path.join(os.path.expanduser("~"), ".config", "httpx")
    monkeypatch.setattr(config.sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", "roaming")
    assert config.folder() == os.path.join("roaming", "httpx")
    config._check_owner("x", os.stat("/"))


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("a", False),
        ("127.a.example", False),
    ],
)
def test_this_machine_is_local(host: str, local: bool):
    assert config._is_local(host) == local


def test_without_a_file_there_are_no_settings(write: Write):
    assert config.load("a") is None


@pytest.mark.parametrize(
    ("options", "argv"),
    [
        (["--http2"], ["--http-version", "1.1"]),
        (["--http-version", "1.1"], ["--http2"]),
        (["-6"], ["-4"]),
        (["--auth", "ann", "old"], ["-u", "ann:pw"]),
        (["-u", "ann:old"], ["--auth", "ann", "pw"]),
        (["--bearer", "old"], ["-u", "ann:pw"]),
        (["--output-json"], ["--output", "-"]),
        (["--ca", "missing.pem"], ["--no-verify"]),
    ],
)
def test_an_option_of_the_command_line_wins_over_one_that_it_excludes(
    options: list[str], argv: list[str], write: Write, echo_server: EchoServer, capfdbinary: Capture
):
    """`--http2` in the file made `--http-version 1.1` an error in every command."""
    write(f"options = {json.dumps(options)}")
    sent = json.loads(out(capfdbinary, f"{echo_server.url}/get", *argv))["headers"].get("Authorization")
    assert sent in (None, "Basic YW5uOnB3")
    assert (sent is None) == ("ann" not in str(argv))


@pytest.mark.parametrize(
    ("options", "argv"),
    [(["--print", "h"], ["--body"]), (["-q"], ["--print", "b"]), (["-q"], ["--body"]), (["-qq", "-i"], ["--body"])],
)
def test_what_the_command_line_shows_wins_over_what_the_configuration_shows(
    options: list[str], argv: list[str], write: Write, echo_server: EchoServer, capfdbinary: Capture
):
    """`--print h` in the file hid the body from `--body`, and `-q` everything, whatever was asked for."""
    write(f"options = {json.dumps(options)}")
    assert json.loads(out(capfdbinary, f"{echo_server.url}/get", *argv))["args"] == {}


def test_verbose_of_the_command_line_wins_over_quiet_of_the_configuration(
    write: Write, echo_server: EchoServer, capfdbinary: Capture
):
    write('options = ["-q"]')
    assert out(capfdbinary, f"{echo_server.url}/get", "-v").startswith(b"*")


def test_options_of_the_configuration_count_where_they_make_sense(
    write: Write, echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path
):
    """`--continue` in the file made all commands an error that save nothing, and `--parallel` those with a file."""
    write('options = ["--continue", "--skip-existing", "--parallel", "4", "--form"]')
    assert json.loads(out(capfdbinary, f"{echo_server.url}/get"))["args"] == {}
    file = tmp_path / "a.http"
    file.write_text(f"POST {echo_server.url}/post\nContent-Type: application/json\n\n[1]\n")
    assert json.loads(out(capfdbinary, "run", str(file)))["json"] == [1]
    assert "--continue needs" in told(capfdbinary, f"{echo_server.url}/get", "--continue")


def test_options_that_exclude_each_other_in_one_place_are_still_an_error(write: Write, capfdbinary: Capture):
    write('options = ["--http2"]')
    assert "exclude each other" in told(capfdbinary, "http://a.invalid/", "-4", "-6")
    assert "is not an option: 'word'" in (write('options = ["word"]'), told(capfdbinary, "http://a.invalid/"))[1]


def test_a_number_that_is_not_given_is_not_taken_for_one_of_the_command_line():
    """`--retry` in the file was taken for one of the command line, which `httpx ws` refuses."""
    for words, expected in ([], {"retry", "quiet"}), (["--retry", "1"], {"quiet"}):
        with parse(["a.example", *words], defaults=lambda options: ["--retry", "3", "-q"]) as context:
            assert context.params["from_config"] == expected
