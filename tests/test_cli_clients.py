"""The options about network, TLS, time and authentication, as arguments of a client."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import httpx
from httpx._cli import exits
from httpx._cli.echo_server import EchoServer
from support import certs

click = pytest.importorskip("click")

# Behind the line above, because they import click.
from httpx._cli.clients import auth_of, client_for, overrides  # noqa: E402
from httpx._cli.command import run  # noqa: E402
from httpx._cli.parser import parse  # noqa: E402

Capture = pytest.CaptureFixture[bytes]


def told(capture: Capture) -> str:
    captured = capture.readouterr()
    assert captured.out == b""
    return captured.err.decode()


@pytest.mark.parametrize(
    "argv",
    [
        ["--auth", "u", "p", "--bearer", "t"],
        ["--digest"],
        ["--ca", "x", "--no-verify"],
        ["--ca", "no/such/file"],
        ["--cert", "no/such/file"],
        ["--cert-key", "x"],
        ["--http2", "--http-version", "1.1"],
        ["-4", "-6"],
        ["--resolve", "a"],
        ["--http-version", "3"],
        ["--unix-socket", "x", "--proxy", "http://b/"],
        ["--max-redirects", "-1"],
        ["--retry", "x"],
        ["--print", "x"],
        ["--pretty", "x"],
        ["--download", "x", "-o", "y"],
    ],
)
def test_options_that_make_no_sense_are_told_in_a_line(argv: list[str], capfdbinary: Capture):
    assert run(["http://a.invalid/", *argv]) == exits.USAGE
    message = told(capfdbinary)
    assert message.startswith("httpx: ")
    assert message.count("\n") == 2


def test_digest_answers_the_challenge(echo_server: EchoServer, capfdbinary: Capture):
    url = f"{echo_server.url}/digest-auth/auth/ann/secret"
    assert run([url, "--auth", "ann", "secret"]) == exits.CLIENT_ERROR
    assert run([url, "--auth", "ann", "secret", "--digest"]) == exits.OK


@pytest.mark.parametrize(("most", "code"), [("1", exits.FAILED), ("2", exits.OK)])
def test_max_redirects_follows_that_many(echo_server: EchoServer, capfdbinary: Capture, most: str, code: int):
    assert run([f"{echo_server.url}/redirect/2", "--max-redirects", most]) == code


def test_authorities_and_a_client_certificate_come_from_files(tmp_path: Path, capfdbinary: Capture):
    client = certs.leaf("client")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in client.cert_chain_pems))
    (tmp_path / "key.pem").write_bytes(client.private_key_pem.bytes())
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    with EchoServer(ssl_context=certs.server_context(client_cert=True)) as server:
        common = [f"{server.url}/get", "--ca", str(certs.authority_file())]
        assert run([*common, "--cert", str(both)]) == exits.OK
        assert run([*common, "--cert", str(tmp_path / "cert.pem"), "--cert-key", str(tmp_path / "key.pem")]) == exits.OK
        assert run(common) == exits.NETWORK


@pytest.mark.skipif(sys.platform == "win32", reason="sockets of the machine are a thing of POSIX")
def test_a_unix_socket_takes_the_place_of_the_host(tmp_path: Path, capfdbinary: Capture):
    import socket
    import threading

    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            asked = connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(asked), asked))

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        assert run(["/containers", "--unix-socket", path, "-v"]) == exits.OK
        thread.join()
    out = capfdbinary.readouterr().out.decode()
    assert f"* Connected to the socket {path!r}\n" in out
    assert out.partition("200 OK")[2].count("GET /containers HTTP/1.1\r\nHost: localhost\r\n") == 1


def test_an_address_can_be_given_for_a_name(echo_server: EchoServer, capfdbinary: Capture):
    url = f"http://name.invalid:{echo_server.port}/get"
    assert run([url, "--resolve", f"name.invalid:{echo_server.port}:127.0.0.1"]) == exits.OK
    assert f'"url": "{url}"' in capfdbinary.readouterr().out.decode()
    assert run([url, "--resolve", "name.invalid:1:127.0.0.1"]) == exits.NETWORK


def test_a_version_of_ip_can_be_chosen(echo_server: EchoServer, capfdbinary: Capture):
    url = f"{echo_server.url}/get"
    assert run([url, "-4"]) == exits.OK
    assert run([url, "-6"]) == exits.NETWORK


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("Example.org:443:127.0.0.1",), {"example.org:443": ["127.0.0.1"]}),
        (("a:80:[::1],127.0.0.1", "b:81:::1"), {"a:80": ["::1", "127.0.0.1"], "b:81": ["::1"]}),
    ],
)
def test_overrides_name_host_port_and_address(given: tuple[str, ...], expected: dict[str, list[str]]):
    assert overrides(given) == expected


@pytest.mark.parametrize("text", ["a", "a:80", "a:x:127.0.0.1", ":80:127.0.0.1", "a:0:127.0.0.1", "a:80:b"])
def test_an_override_of_another_form_is_refused(text: str):
    with pytest.raises(click.UsageError, match="HOST:PORT:ADDRESS"):
        overrides((text,))


@pytest.mark.parametrize(
    ("argv", "read", "connect"),
    [
        ([], 5.0, 5.0),
        (["--timeout", "2"], 2.0, 2.0),
        (["--timeout", "0"], None, None),
        (["--stream"], None, 5.0),
        (["--stream", "--timeout", "2"], 2.0, 2.0),
    ],
)
def test_a_stream_may_pause_as_long_as_it_likes(argv: list[str], read: float | None, connect: float | None):
    """`--stream` ended after 5 s without an event."""
    with parse(["http://a/", *argv, "--max-time", "9"]) as context, client_for(context.params) as client:
        timeout = client.timeout
        assert (timeout.read, timeout.connect, timeout.total) == (read, connect, 9.0)


@pytest.mark.parametrize("more", [[], ["--offline"]])
def test_a_body_can_be_compressed(more: list[str], echo_server: EchoServer, capfdbinary: Capture):
    argv = [f"{echo_server.url}/anything", "-c", "x" * 5000, "--compress", "gzip", "--print", "H", *more]
    assert run(argv) == exits.OK
    assert b"Content-Encoding: gzip\n" in capfdbinary.readouterr().out
    assert run(["http://a.invalid/", "--compress", "lzma"]) == exits.USAGE


def test_a_coding_without_its_library_says_what_to_install(capfdbinary: Capture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("httpx._encoders._library", lambda coding: None)
    for more in ([], ["--offline"]):
        assert run(["http://a.invalid/", "-c", "x", "--compress", "br", *more]) == exits.USAGE
        assert told(capfdbinary).startswith("httpx: --compress br needs a library: pip install 'httpx[")


def test_credentials_may_come_from_netrc(
    echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    argv = [f"{echo_server.url}/headers", "--netrc"]
    assert run(argv) == exits.USAGE
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    (tmp_path / ".netrc").chmod(0o600)
    capfdbinary.readouterr()
    assert run(argv) == exits.OK
    assert b"Basic dTpw" in capfdbinary.readouterr().out
    assert run([*argv, "--bearer", "x"]) == exits.USAGE
    (tmp_path / ".netrc").write_text("nonsense\n")
    assert run(argv) == exits.USAGE


@pytest.mark.parametrize("argv", [["--bearer", "a b"], ["--auth", "a:b", "c"], ["--auth", "a\ud800", "b"]])
def test_credentials_that_cannot_be_sent_are_an_invalid_command(argv: list[str]):
    """A space in a token was a traceback."""
    with pytest.raises(click.UsageError), parse(["http://a/", *argv]) as context:
        auth_of(context.params)


def test_credentials_that_are_not_utf_8_go_out_as_they_were_typed():
    with parse(["http://a/", "--auth", "\udcff", "b"]) as context:
        request = next(auth_of(context.params).auth_flow(httpx.Request("GET", "http://a/")))
    assert request.headers["Authorization"] == "Basic /zpi"
