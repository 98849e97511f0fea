"""What of an exchange appears, and where: `--print`, `--pretty`, `--offline`, and the like. In this process."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from httpx._cli import exits
from httpx._cli.echo_server import EchoServer

pytest.importorskip("click")

# Behind the line above, because they import click.
from httpx._cli.command import run

Capture = pytest.CaptureFixture[bytes]


def out(capture: Capture, *argv: str) -> str:
    assert run([*argv]) == exits.OK
    return capture.readouterr().out.decode()


def test_print_chooses_the_parts(echo_server: EchoServer, capfdbinary: Capture):
    url, body = f"{echo_server.url}/anything", ["-c", "some text"]
    head = "POST /anything HTTP/1.1\nHost: "
    assert out(capfdbinary, url, *body, "--print", "").count("") == 1
    assert out(capfdbinary, url, *body, "--print", "H").startswith(head)
    assert out(capfdbinary, url, *body, "--print", "B") == "some text"
    assert out(capfdbinary, url, *body, "--print", "h").startswith("HTTP/1.1 200 OK\n")
    assert json.loads(out(capfdbinary, url, *body, "--print", "b"))["data"] == "some text"
    everything = out(capfdbinary, url, *body, "--print", "HBhb")
    assert everything.startswith(head)
    assert "\n\nsome text\n\nHTTP/1.1 200 OK\n" in everything
    assert everything.endswith("}\n")


def test_verbose_tells_of_connections_whatever_is_printed(echo_server: EchoServer, capfdbinary: Capture):
    url = echo_server.url.replace("127.0.0.1", "localhost")
    lines = out(capfdbinary, f"{url}/redirect/1", "--follow-redirects", "-v", "--print", "h").splitlines()
    assert re.fullmatch(r"\* 'localhost' is \S.*", lines[0])
    assert lines[1:3] == [f"* Connec{how} to 'localhost' on port {echo_server.port}" for how in ("ting", "ted")]
    assert [line for line in lines if line.startswith("HTTP/1.1")] == ["HTTP/1.1 302 Found", "HTTP/1.1 200 OK"]
    assert not [line for line in lines if line.startswith("GET")]


def test_print_shows_figures(echo_server: EchoServer, capfdbinary: Capture):
    figures = out(capfdbinary, f"{echo_server.url}/bytes/300", "--print", "m")
    assert figures.startswith("* HTTP/1.1, 300 bytes in 0.")
    assert figures.endswith(" s\n")


def test_print_shows_the_last_of_several_exchanges(echo_server: EchoServer, capfdbinary: Capture):
    shown = out(capfdbinary, f"{echo_server.url}/redirect/2", "--follow-redirects", "--print", "Hh")
    assert shown.startswith("GET /get HTTP/1.1\n")
    assert shown.count("HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", b'{"a":[1,"x\xc3\xa9",null]}'),
        ("format", '{\n    "a": [\n        1,\n        "xé",\n        null\n    ]\n}'.encode()),
        ("colors", '{\x1b[94m"a"\x1b[0m:[\x1b[36m1\x1b[0m,\x1b[32m"xé"\x1b[0m,\x1b[33mnull\x1b[0m]}'.encode()),
        (
            "all",
            '{\n    \x1b[94m"a"\x1b[0m: [\n        \x1b[36m1\x1b[0m,\n        \x1b[32m"xé"\x1b[0m,\n'
            "        \x1b[33mnull\x1b[0m\n    ]\n}".encode(),
        ),
    ],
)
def test_pretty_decides_about_indentation_and_colours(capfdbinary: Capture, how: str, expected: bytes):
    argv = ["http://a.invalid/", "-j", '{"a": [1, "x\u00e9", null]}', "--offline", "--print", "B", "--pretty", how]
    assert run(argv) == exits.OK
    assert capfdbinary.readouterr().out == expected


def test_pretty_holds_for_the_head_too(echo_server: EchoServer, capfdbinary: Capture):
    shown = out(capfdbinary, f"{echo_server.url}/get", "--print", "h", "--pretty", "colors")
    assert shown.startswith("\x1b[94mHTTP/1.1\x1b[0m\x1b[32m 200 OK\x1b[0m\n")


def test_what_claims_to_be_json_and_is_not_stays_as_it_is(
    echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path
):
    argv = ["http://a.invalid/", "-c", "\x00[1", "-h", "Content-Type", "application/json", "--offline", "--print", "B"]
    assert out(capfdbinary, *argv, "--pretty", "format") == "\x00[1"


def test_offline_shows_the_request_and_sends_nothing(capfdbinary: Capture, tmp_path: Path):
    (tmp_path / "a.txt").write_text("one")
    shown = out(
        capfdbinary,
        *("put", "a.invalid/x", "-p", "q", "1", "-f", "up", str(tmp_path / "a.txt"), "--auth", "u", "p", "--offline"),
    )
    head, _, body = shown.partition("\n\n")
    assert head.splitlines()[:2] == ["PUT /x?q=1 HTTP/1.1", "Host: a.invalid"]
    assert "Authorization: Basic dTpw" in head.splitlines()
    assert 'name="up"; filename="a.txt"' in body
    assert "\r\none\r\n" in body


def test_output_takes_the_body_alone(echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path):
    url = f"{echo_server.url}/bytes/20?seed=1"
    assert run([url, "-o", str(tmp_path / "file")]) == exits.OK
    assert capfdbinary.readouterr() == (b"", b"")
    assert run([url, "--output", "-"]) == exits.OK
    captured = capfdbinary.readouterr()
    assert captured.out == (tmp_path / "file").read_bytes()
    assert len(captured.out) == 20
    assert captured.err == b""


def test_a_form_of_fields_is_shown_although_it_is_multipart(capfdbinary: Capture):
    shown = out(capfdbinary, "http://a.invalid/", "--multipart", "a=1", "--offline", "--print", "B")
    assert 'form-data; name="a"\r\n\r\n1\r\n' in shown


def test_a_form_of_fields_is_shown_when_it_is_sent(echo_server: EchoServer, capfdbinary: Capture):
    shown = out(capfdbinary, f"{echo_server.url}/anything", "--multipart", "a=1", "--print", "B")
    assert 'form-data; name="a"\r\n\r\n1\r\n' in shown


def test_write_out_may_come_from_a_file_and_go_to_standard_error(
    echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "format").write_text("%{http_code}%{stderr}%{method}%%{stdout}%{stdout} end\\n")
    url = f"{echo_server.url}/bytes/0"
    assert run([url, "-w", f"@{tmp_path / 'format'}"]) == exits.OK
    assert capfdbinary.readouterr() == (b"200 end\n", b"GET%{stdout}")
    monkeypatch.setattr(sys, "stdin", io.StringIO("%{method}"))
    assert out(capfdbinary, url, "-w", "@-") == "GET"
    monkeypatch.setattr(sys, "stdin", None)
    assert out(capfdbinary, url, "-w", "@-") == ""
    assert run([url, "-w", "@no/such/file"]) == exits.USAGE
    (tmp_path / "format").write_bytes(b"\xff")
    assert run([url, "-w", f"@{tmp_path / 'format'}"]) == exits.USAGE


def test_write_out_shows_the_certificates(tls_echo_server: EchoServer, capfdbinary: Capture):
    shown = out(capfdbinary, f"{tls_echo_server.url}/bytes/0", "--no-verify", "-w", "%{num_certs} %{certs}")
    assert re.match(r"[12] -----BEGIN CERTIFICATE-----\n", shown)
    assert shown.count("-----END") == int(shown[0])


def test_the_version_names_what_it_runs_on(capfdbinary: Capture):
    import httpx

    assert out(capfdbinary, "--version").startswith(f"httpx {httpx.__version__}, Python 3.")


def test_a_session_can_be_left_as_it_is(
    echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    url = [f"{echo_server.url}/headers", "--print", "b"]
    out(capfdbinary, *url, "--session", "work", "X-A:1")
    assert '"X-A": "1"' in out(capfdbinary, *url, "--session-read-only", "work", "X-B:2")
    assert "X-B" not in out(capfdbinary, *url, "--session", "work")
    assert run([*url, "--session", "a", "--session-read-only", "b"]) == exits.USAGE
