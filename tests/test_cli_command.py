"""What the arguments become: requests, files, exit codes. In this process; `test_main` runs the command itself."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._cli import exits
from httpx._cli.echo_server import EchoServer

click = pytest.importorskip("click")

# Behind the line above, because they import click.
from httpx._cli import command  # noqa: E402
from httpx._cli.building import address  # noqa: E402
from httpx._cli.command import run  # noqa: E402
from httpx._cli.parser import normalised  # noqa: E402
from httpx._cli.screen import Screen  # noqa: E402
from httpx._cli.wiretap import Wiretap, certificate_lines  # noqa: E402

Capture = pytest.CaptureFixture[bytes]


@pytest.fixture
def echo(echo_server: EchoServer, capfdbinary: Capture) -> Any:
    """Runs arguments against /anything, and returns what the server says that it was sent."""

    def echoed(*args: str) -> Any:
        assert run([f"{echo_server.url}/anything", *args]) == 0
        return json.loads(capfdbinary.readouterr().out)

    return echoed


def test_without_a_body_the_method_is_get(echo: Any):
    assert echo()["method"] == "GET"


@pytest.mark.parametrize(
    ("args", "key", "value"),
    [
        (["-c", "é"], "data", "é"),
        (["--content", ""], "data", ""),
        (["-d", "a", "1", "-d", "a", "2", "--data", "b", ""], "form", {"a": ["1", "2"], "b": ""}),
        (["-d", "a=1", "-d", "a=2"], "form", {"a": ["1", "2"]}),
        (["-d", "a=b", "c"], "form", {"a=b": "c"}),
        (["-j", '{"a": [1, null]}'], "json", {"a": [1, None]}),
        (["--json", "0"], "data", "0"),
        (["-j", "null"], "data", "null"),
    ],
)
def test_with_a_body_the_method_is_post(echo: Any, args: list[str], key: str, value: Any):
    sent = echo(*args)
    assert sent[key] == value
    assert sent["method"] == "POST"


def test_json_null_has_the_type_of_json_unless_another_is_given(echo: Any):
    assert echo("-j", "null")["headers"]["Content-Type"] == "application/json"
    assert echo("-j", "null", "-h", "content-type", "text/x")["headers"]["content-type"] == "text/x"


def test_values_of_headers_beyond_ascii_are_utf_8(echo: Any, echo_server: EchoServer, capfdbinary: Capture):
    assert echo("X-A:é", "-h", "X-B", "☕")["headers"]["X-B"] == "☕"
    assert run(["http://a.invalid/", "X-A:é", "--offline"]) == 0
    assert "X-A: é\n".encode() in capfdbinary.readouterr().out


def test_files_are_uploaded_with_their_names(echo: Any, tmp_path: Path):
    (tmp_path / "a.txt").write_text("one")
    sent = echo("-f", "x", str(tmp_path / "a.txt"), "--files", "y", str(tmp_path / "a.txt"), "-d", "n", "v")
    assert sent["files"] == {"x": "one", "y": "one"}
    assert sent["form"] == {"n": "v"}


def test_the_method_is_an_option_or_stands_before_the_url(echo: Any, echo_server: EchoServer, capfdbinary: Capture):
    assert echo("-m", "put", "-c", "x")["method"] == "PUT"
    assert run(["delete", f"{echo_server.url}/anything"]) == 0
    assert b'"method": "DELETE"' in capfdbinary.readouterr().out


def test_queries_headers_cookies_and_credentials_are_sent(echo: Any):
    sent = echo("-p", "a", "1", "-p", "a", "2", "-h", "X-A", "b", "--cookies", "n", "v", "--auth", "u", "p")
    assert sent["args"] == {"a": ["1", "2"]}
    headers = sent["headers"]
    assert (headers["X-A"], headers["Cookie"], headers["Authorization"]) == ("b", "n=v", "Basic dTpw")
    assert echo("--bearer", "token", "--http2")["headers"]["Authorization"] == "Bearer token"


def test_a_proxy_gets_the_whole_url(echo_server: EchoServer, capfdbinary: Capture):
    assert run(["http://origin.invalid/anything", "--proxy", echo_server.url]) == 0
    assert b'"url": "http://origin.invalid/anything"' in capfdbinary.readouterr().out


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["http://a/", "-j", "{"],
        ["http://a/", "-c", "x", "-j", "1"],
        ["http://a/", "-c", "x", "-j", "null"],
        ["http://a/", "--unknown"],
        ["http://a/", "-f", "x", "no/such/file"],
        ["http://a/", "--timeout", "-1"],
        ["http://a/", "--timeout", "nan"],
        ["http://a/", "--max-time", "0"],
        ["http://a/", "--auth", "u", "p", "--bearer", "t"],
        ["http://a/", "--proxy", "foo://b"],
        ["http://a/", "-h", "X-A", "a\nb"],
        ["http://a/", "-h", "\u2615", "x"],
        ["http://a/", "-m", "A B"],
        ["GET", "http://a/", "-m", "POST"],
        ["GET", "PUT", "http://a/"],
        ["http://a/", "a"],
        ["http://a/", "a/b"],
        ["http://a/[3-1]"],
        ["foo://a/"],
        ["http://[a"],
        ["http://"],
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(args: list[str], capfdbinary: Capture):
    assert run(args) == exits.USAGE
    captured = capfdbinary.readouterr()
    assert captured.out == b""
    assert captured.err.startswith(b"httpx: ")
    assert captured.err.count(b"\n") <= 2


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://a/", "http://a/"),
        (":8000/path", "http://localhost:8000/path"),
        ("localhost/x", "http://localhost/x"),
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("localhost.example.org", "https://localhost.example.org"),
        ("127.0.0.1.example.org", "https://127.0.0.1.example.org"),
        ("example.org?u=http://b", "https://example.org?u=http://b"),
        ("//example.org/", "https://example.org/"),
        ("//localhost/", "http://localhost/"),
    ],
)
def test_a_url_without_a_scheme_is_encrypted_unless_it_stays_on_the_machine(given: str, url: str):
    assert address(given) == url


@pytest.mark.parametrize(
    ("given", "split"),
    [
        (["-d", "a=1", "http://b/"], ["-d", "a", "1", "http://b/"]),
        (["-d", "a=1=2"], ["-d", "a", "1=2"]),
        (["-h", "-d", "a=1", "-d", "b", "c"], ["-h", "-d", "a=1", "-d", "b", "c"]),
        (["-d", "a"], ["-d", "a"]),
        (["-v", "-d"], ["-v", "-d"]),
    ],
)
def test_a_pair_in_one_word_is_split_where_no_value_follows(given: list[str], split: list[str]):
    assert normalised(given) == split


def test_a_download_replaces_the_file_and_keeps_its_mode(echo_server: EchoServer, tmp_path: Path):
    target = tmp_path / "file"
    target.write_text("old")
    target.chmod(0o640)
    assert run([f"{echo_server.url}/bytes/5000", "--download", str(target)]) == 0
    assert target.stat().st_size == 5000
    assert os.listdir(tmp_path) == ["file"]
    if sys.platform != "win32":
        assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_failed_download_leaves_the_file_as_it_was(echo_server: EchoServer, tmp_path: Path):
    target = tmp_path / "file"
    target.write_text("old")
    url = f"{echo_server.url}/drip?numbytes=50&duration=9"
    assert run([url, "--max-time", "0.3", "--download", str(target)]) == exits.TIMED_OUT
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("option", ["--download", "-o"])
def test_an_error_is_saved_on_request_only(echo_server: EchoServer, tmp_path: Path, capfdbinary: Capture, option: str):
    """A script that goes on would take the error page for its data; a good file of an earlier run would be lost."""
    target = tmp_path / "file"
    target.write_text("good")
    argv = [f"{echo_server.url}/nothing", option, str(target)]
    assert run(argv) == exits.CLIENT_ERROR
    assert target.read_text() == "good"
    assert capfdbinary.readouterr().err == b"httpx: 404 Not Found: nothing was saved (--no-fail saves it)\n"
    assert run([*argv, "--no-fail"]) == exits.CLIENT_ERROR
    assert "error" in target.read_text()
    assert os.listdir(tmp_path) == ["file"]


def test_a_redirect_that_is_not_followed_is_not_the_file(echo_server: EchoServer, tmp_path: Path, capfdbinary: Capture):
    assert run([f"{echo_server.url}/redirect/1", "-o", str(tmp_path / "file")]) == exits.FAILED
    assert b"302 Found: nothing was saved (--follow-redirects follows it)" in capfdbinary.readouterr().err
    assert run([f"{echo_server.url}/redirect/1", "-o", str(tmp_path / "file"), "-L"]) == exits.OK
    assert run([f"{echo_server.url}/status/304", "-o", str(tmp_path / "file")]) == exits.OK
    assert b'"url"' in (tmp_path / "file").read_bytes()


def test_an_error_is_named_unless_its_status_is_shown(echo_server: EchoServer, capfdbinary: Capture):
    url = f"{echo_server.url}/status/503"
    told = b"httpx: 503 Service Unavailable\n"
    for argv, expected in (
        ([], told),
        (["-w", "%{method}"], told),
        (["-o", "-"], told),
        (["-i"], b""),
        (["-w", "%{http_code}"], b""),
        (["--output-json"], b""),
        (["-o", os.devnull], told),
    ):
        assert run([url, *argv]) == exits.SERVER_ERROR
        assert capfdbinary.readouterr().err == expected, argv


def test_parameters_are_added_to_the_query_of_the_url(echo_server: EchoServer, capfdbinary: Capture):
    """They replaced it, and the server answered another question than the one in the URL."""
    url = f"{echo_server.url}/get?x=1&y=%2F+%20"
    for argv in ([url, "q==2"], [url, "-p", "q", "2"], ["--from-curl", f"curl '{url}'", "q==2"]):
        assert run(argv) == exits.OK
        assert json.loads(capfdbinary.readouterr().out)["url"] == f"{url}&q=2"
    assert run([url, "q==2", "--curl"]) == exits.OK
    assert f"{url}&q=2".encode() in capfdbinary.readouterr().out
    assert run([url, "q==2", "--offline", "--print", "H"]) == exits.OK
    assert b"GET /get?x=1&y=%2F+%20&q=2 HTTP/1.1\n" in capfdbinary.readouterr().out


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["-d", "a=1", "b=2"], b"--data takes two words, NAME VALUE, so the word after 'a=...' would be its value"),
        (["-p", "q=1", "r=2"], b"--params q=VALUE --params ..."),
        (["--cookies", "a=1", "X-A:b"], b"--cookies takes two words"),
        (["-h", "X-A:1", "X-B:2"], b"-h 'X-A: VALUE' -h ..."),
        (["--auth", "ann:pw", "X-A:1"], b"for USER:PASS in one word write -u USER:PASS"),
    ],
)
def test_the_next_word_is_not_swallowed(argv: list[str], told: bytes, capfdbinary: Capture):
    """`-d a=1 b=2` sent the one field `a=1` with the value `b=2`."""
    assert run(["http://a.invalid/", *argv, "-v"]) == exits.USAGE
    shown = capfdbinary.readouterr().err
    assert told in shown
    assert b"pw" not in shown


def test_two_values_may_be_one_word_where_none_can_follow(echo: Any):
    sent = echo("-h", "X-A: b", "-p", "q=1", "--cookies", "n=v", "--auth", "u:p")
    assert (sent["args"], sent["headers"]["X-A"], sent["headers"]["Cookie"]) == ({"q": "1"}, "b", "n=v")
    assert sent["headers"]["Authorization"] == "Basic dTpw"


def test_options_of_curl_are_known_where_their_letters_are_free(
    echo: Any, echo_server: EchoServer, capfdbinary: Capture
):
    sent = echo("-X", "PUT", "-u", "u:p", "-H", "X-A: @b", "-H", "Accept:", "-HX-B;", "-kL")
    headers = sent["headers"]
    assert (sent["method"], headers["X-A"], headers["X-B"]) == ("PUT", "@b", "")
    assert headers["Authorization"] == "Basic dTpw"
    assert "Accept" not in headers
    assert run([f"{echo_server.url}/get", "-I"]) == 0
    assert run(["HEAD", f"{echo_server.url}/get"]) == 0
    assert capfdbinary.readouterr().out.count(b"HTTP/1.1 200 OK\n") == 2
    assert run([f"{echo_server.url}/bytes/4?seed=1", "-i", "--body"]) == 0
    assert run([f"{echo_server.url}/bytes/4?seed=1", "-v", "--body"]) == 0
    for argv in (["-I", "-X", "GET"], ["-u", "a:b", "--auth", "a", "b"], ["-H", "no header"]):
        assert run(["http://a.invalid/", *argv]) == exits.USAGE


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["-b"], b"; here: --print b shows the body alone"),
        (["--fail"], b"not needed: the exit code is 4 or 5"),
        (["--cacert", "x"], b"here: --ca PATH"),
        (["-f"], b"(a form of fields is --form"),
        (["-f", "http://a.invalid/", "-v"], b"(a form of fields is --form"),
        (["--headers"], b"the head alone is --print h"),
        (["--no-such"], b"--no-such"),
        (["--timeout", "x"], b"Try 'httpx --help'"),
    ],
)
def test_habits_of_other_clients_get_a_hint(argv: list[str], told: bytes, capfdbinary: Capture):
    assert run([*argv, "http://a.invalid/"] if argv[-1] != "-v" else argv) == exits.USAGE
    assert told in capfdbinary.readouterr().err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["-d", "a=1", "www.example.org"], b"the URL is missing: --data took 'www.example.org' as its value"),
        (["POST", "-c", "https://example.org/"], b"the URL is missing: --content took 'https://example.org/'"),
        (["--unix-socket", ":8000/x"], b"the URL is missing: --unix-socket took ':8000/x'"),
        (["--bearer", "a.bc.de"], b"the URL is missing\n"),
        (["-v"], b"the URL is missing\n"),
    ],
)
def test_a_missing_url_is_looked_for(argv: list[str], told: bytes, capfdbinary: Capture):
    assert run(argv) == exits.USAGE
    assert told in capfdbinary.readouterr().err


@pytest.mark.parametrize("before", [["--download"], ["GET", "--download"]])
@pytest.mark.parametrize("after", [[], ["X-A:1"], ["-v"]])
def test_the_example_of_the_help_works(
    echo_server: EchoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[str], after: list[str]
):
    """`httpx --download www.example.org/a.zip` took the URL for the name of the file."""
    monkeypatch.chdir(tmp_path)
    assert run([*before, f"localhost:{echo_server.port}/get", *after]) == exits.OK
    assert os.listdir(tmp_path) == ["get"]


def test_a_command_of_curl_may_stand_where_it_was_pasted(
    echo_server: EchoServer, capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch
):
    url = f"{echo_server.url}/anything"
    assert run(["curl", "-H", "X-A: it's", url, "--data", "a b"]) == exits.OK
    sent = json.loads(capfdbinary.readouterr().out)
    assert (sent["headers"]["X-A"], sent["form"]) == ("it's", {"a b": ""})
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"curl -H 'X-A: b' \\\n  {url}\n"))
    assert run(["--from-curl", "-", "--print", "b"]) == exits.OK
    assert json.loads(capfdbinary.readouterr().out)["headers"]["X-A"] == "b"
    monkeypatch.setattr(sys, "stdin", None)
    assert run(["--from-curl", "-"]) == exits.USAGE


@pytest.mark.skipif(sys.platform == "win32", reason="devices are files on POSIX")
def test_a_device_is_written_to_and_not_replaced(echo_server: EchoServer, tmp_path: Path):
    """As root, a download to /dev/null would otherwise turn it into a file for everybody."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run([f"{echo_server.url}/bytes/10", "--download", str(tmp_path / "pipe")]) == 0
        assert len(os.read(reader, 100)) == 10
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_download_to_standard_output_is_the_body_alone(echo_server: EchoServer, capfdbinary: Capture):
    assert run([f"{echo_server.url}/bytes/10", "--download", "-", "-v"]) == 0
    captured = capfdbinary.readouterr()
    assert len(captured.out) == 10
    assert b"HTTP/1.1 200 OK" in captured.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ConnectTimeout("x"), exits.TIMED_OUT),
        (httpx.ReadError("x"), exits.NETWORK),
        (httpx.ProxyError("x"), exits.NETWORK),
        (httpx.RemoteProtocolError("x"), exits.FAILED),
        (httpx.DecodingError("x"), exits.FAILED),
        (httpx.TooManyRedirects("x"), exits.FAILED),
        (httpx.LocalProtocolError("x"), exits.USAGE),
        (httpx.InvalidURL("x"), exits.USAGE),
    ],
)
def test_every_error_has_its_code(error: Exception, code: int):
    assert exits.of_error(error) == code


@pytest.mark.parametrize(("status", "code"), [(101, 0), (204, 0), (304, 0), (404, 4), (499, 4), (500, 5), (999, 5)])
def test_every_status_has_its_code(status: int, code: int):
    assert exits.of_status(status) == code


@pytest.fixture
def peer() -> Iterator[str]:
    """A server for one request: an early hint, then an answer with trailers."""
    answer = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nX-End: yes\r\n\r\n"
    )

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


def test_verbose_shows_interim_answers_and_trailers(peer: str, capfdbinary: Capture):
    assert run([peer, "-v"]) == 0
    assert capfdbinary.readouterr().out.endswith(
        b"HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\na\nX-End: yes\n\n"
    )


def test_verbose_says_how_much_comes_from_files(
    echo: Any, tmp_path: Path, echo_server: EchoServer, capfdbinary: Capture
):
    (tmp_path / "a.txt").write_text("one")
    assert run([f"{echo_server.url}/get", "-m", "GET", "-f", "x", str(tmp_path / "a.txt"), "-v"]) == 0
    assert b" bytes from files>\n\nHTTP/1.1 200 OK\n" in capfdbinary.readouterr().out


def test_verbose_shows_a_request_that_was_never_answered(tls_echo_server: EchoServer, capfdbinary: Capture):
    url = f"{tls_echo_server.url}/delay/9"
    assert run([url, "-v", "--no-verify", "--timeout", "0.5"]) == exits.TIMED_OUT
    assert b"\nGET /delay/9 HTTP/1.1\nHost: " in capfdbinary.readouterr().out


def test_verbose_tells_the_addresses_of_a_name(capfdbinary: Capture):
    tap = Wiretap(Screen(sys.stdout))
    tap.event("connection.resolve_host.started", {"host": "a.example", "port": 80})
    tap.event("connection.resolve_host.complete", {"return_value": ["192.0.2.1", "2001:db8::1"]})
    assert capfdbinary.readouterr().out == b"* 'a.example' is 192.0.2.1, 2001:db8::1\n"


def test_a_connection_without_details_of_tls_is_shown_without_them(capfdbinary: Capture):
    tap = Wiretap(Screen(sys.stdout))
    tap.event("connection.start_tls.complete", {})
    tap.response(httpx.Response(200))
    assert capfdbinary.readouterr().out == b"HTTP/1.1 200\n\n"


def test_a_target_that_was_set_by_hand_is_shown(capfdbinary: Capture):
    for target in ("*", b"*"):
        request = httpx.Request("OPTIONS", "http://a/", extensions={"target": target})
        Wiretap(Screen(sys.stdout)).event("http2.send_request_headers.started", {"request": request})
        assert capfdbinary.readouterr().out.startswith(b"OPTIONS * HTTP/2\n:authority: a\n\n")


def test_ctrl_c_and_broken_output_have_their_codes(monkeypatch: pytest.MonkeyPatch):
    for error, code in ((KeyboardInterrupt(), 130), (click.Abort(), 130), (BrokenPipeError(), 141), (OSError("x"), 1)):
        monkeypatch.setattr(command, "_run", raising(error))
        monkeypatch.setattr(command, "_forget_output", lambda: None)
        assert run([]) == code


def test_closed_streams_are_no_crash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run(["http://a/"]) == exits.FAILED


def raising(error: BaseException) -> Any:
    def function(argv: list[str]) -> int:
        raise error

    return function


def test_a_certificate_in_four_lines():
    names = tuple(("DNS", f"{number}.example.org") for number in range(10))
    subject = ((("commonName", "example.org"),), (("organizationName", "Example"),))
    lines = certificate_lines({"subject": subject, "notAfter": "Jan  1 00:00:00 2030 GMT", "subjectAltName": names})
    assert lines[0] == "Certificate of example.org, Example"
    assert lines[1] == "  issued by an unnamed party"
    assert lines[2] == "  valid from ? to 2030-01-01"
    assert lines[3].endswith("7.example.org and 2 more")
