"""What the errors suggest to people who know other clients, and in terms of options."""

from __future__ import annotations

from pathlib import Path

import pytest

import httpx

click = pytest.importorskip("click")

# After the line above, because they import click.
from httpx._cli import exits  # noqa: E402
from httpx._cli.command import run  # noqa: E402
from httpx._cli.echo_server import EchoServer  # noqa: E402
from httpx._cli.hints import _OURS, explained, hint_for  # noqa: E402
from httpx._cli.options import OPTIONS  # noqa: E402
from support import certs  # noqa: E402
from support.servers import ScriptedServer, close, expect_head, send  # noqa: E402

Capture = pytest.CaptureFixture[bytes]


def test_hints_are_about_options_that_do_not_exist_here_and_name_some_that_do():
    known = {name for option in OPTIONS for name in option.opts}
    assert not known & set(_OURS)
    for hint in _OURS.values():
        named = [word.rstrip(",;") for word in hint.split() if word.startswith("-")]
        assert not [word for word in named if word not in known]


def test_other_errors_have_no_hint():
    assert hint_for(click.UsageError("x")) == ""
    assert hint_for(click.BadParameter("x")) == ""
    assert hint_for(click.BadOptionUsage("--proxy", "x")) == ""
    assert hint_for(click.NoSuchOption("--nothing")) == ""
    assert explained(httpx.ReadError("x")) == "x"
    assert explained(httpx.RemoteProtocolError("x")) == "x"


def told(capture: Capture, *argv: str, code: int) -> str:
    assert run(list(argv)) == code
    return capture.readouterr().err.decode()


def test_timeouts_name_their_options(echo_server: EchoServer, capfdbinary: Capture):
    url = f"{echo_server.url}/delay/9"
    assert "; --timeout SECONDS waits longer" in told(capfdbinary, url, "--timeout", "0.05", code=6)
    assert "; --max-time SECONDS allows more" in told(capfdbinary, url, "--max-time", "0.05", code=6)
    # Also where it is over before anything is sent, which had the hint of the other timeouts.
    assert "is over" in (line := told(capfdbinary, url, "--max-time", "1e-9", code=6))
    assert "; --max-time SECONDS allows more" in line


def test_errors_of_certificates_name_options(tls_echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path):
    text = told(capfdbinary, tls_echo_server.url, code=7)
    assert "--ca PATH trusts other authorities; --no-verify accepts any" in text
    assert "`verify`" not in text
    authority = str(certs.authority_file())
    text = told(capfdbinary, tls_echo_server.url, "--cert", authority, code=2)
    assert f"--cert {authority!r} has no private key: add it with --cert-key FILE" in text
    (tmp_path / "x").write_text("no certificate, but a PRIVATE KEY-----")
    assert "(from --cert)" in told(capfdbinary, tls_echo_server.url, "--cert", str(tmp_path / "x"), code=2)


def test_the_wrong_scheme_is_guessed(echo_server: EchoServer, capfdbinary: Capture):
    url = echo_server.url.replace("http:", "https:")
    assert "; if the server does not use TLS there, write http://" in told(capfdbinary, url, code=7)
    advice = "; if the server uses TLS there, write https://\n"
    with ScriptedServer(
        [expect_head(), send(b"\x15\x03\x03\x00\x02\x02\x0a"), close()], [expect_head(), close()]
    ) as server:
        assert told(capfdbinary, server.url, code=1).endswith(advice)
        assert told(capfdbinary, server.url, code=7).endswith(advice)


def test_a_peer_that_closes_too_early_is_a_broken_connection(capfdbinary: Capture):
    with ScriptedServer([expect_head(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), close()]) as server:
        assert "closed the connection" in told(capfdbinary, server.url, code=exits.NETWORK)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("::1:9100", "must be in brackets, such as [::1]:8000"),
        ("fe80::1/x", "must be in brackets"),
        ("file:///etc/passwd", "add the item @PATH"),
        ("ftp://a/", "the URL must be http or https"),
    ],
)
def test_urls_that_cannot_work_say_what_can(url: str, expected: str, capfdbinary: Capture):
    assert expected in told(capfdbinary, url, code=2)


def test_names_under_localhost_are_this_machine(echo_server: EchoServer, capfdbinary: Capture):
    """RFC 6761, 6.3: many resolvers do not know them."""
    assert run([f"app.localhost:{echo_server.port}/get"]) == 0
    assert f'"url": "http://app.localhost:{echo_server.port}/get"'.encode() in capfdbinary.readouterr().out


@pytest.mark.parametrize("item", ["x@missing", "@missing", "x=@missing"])
def test_a_missing_file_of_an_item_is_an_invalid_command(item: str, capfdbinary: Capture):
    assert "No such file or directory: 'missing'" in told(capfdbinary, "http://a.invalid/", item, code=2)
