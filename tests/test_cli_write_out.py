"""The variables of curl."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from httpx._cli import exits
from httpx._cli.echo_server import EchoServer
from httpx._cli.write_out import VARIABLES, check, write_out

click = pytest.importorskip("click")

# Behind the line above, because it imports click.
from httpx._cli.command import run  # noqa: E402

Capture = pytest.CaptureFixture[bytes]

FACTS = {
    "http_code": 7,
    "time_total": 0.0123456,
    "url": "http://a/",
    "size_download": 5,
    "headers": [("Content-Type", "text/x"), ("Set-Cookie", "a"), ("set-cookie", "b")],
}


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("%{http_code}", "007"),
        ("%{time_total}s", "0.012346s"),
        (r"%{url}\n\t\r\\", "http://a/\n\t\r\\"),
        ("100%%, %{size_download} b", "100%, 5 b"),
        ("%header{content-type}|%header{x-none}|", "text/x||"),
        ("%{remote_ip}|", "|"),
        ("%{header_json}", '{"content-type": ["text/x"], "set-cookie": ["a", "b"]}'),
        ("%{http_code", "%{http_code"),
    ],
)
def test_variables_are_filled_in(format: str, text: str):
    check(format)
    assert write_out(format, FACTS) == text


def test_all_of_them_come_as_json():
    value = json.loads(write_out("%{json}", FACTS))
    assert value["http_code"] == 7
    assert value["remote_ip"] is None
    assert set(value) == set(VARIABLES) - {"json", "header_json"}


def test_a_variable_that_there_is_not_is_told_before_anything_is_sent(capfdbinary: Capture):
    assert run(["http://a.invalid/", "-w", "%{nonsense}"]) == exits.USAGE
    assert b"unknown variable 'nonsense'" in capfdbinary.readouterr().err


def figures(url: str, *argv: str, capture: Capture) -> Any:
    assert run([url, "--print", "", "-w", "%{json}", *argv]) == exits.OK
    return json.loads(capture.readouterr().out)


def test_figures_are_those_of_the_exchange(echo_server: EchoServer, capfdbinary: Capture):
    url = f"{echo_server.url}/redirect/2"
    value = figures(url, "--follow-redirects", capture=capfdbinary)
    assert (value["url"], value["url_effective"]) == (url, f"{echo_server.url}/get")
    assert (value["http_code"], value["num_redirects"], value["num_connects"]) == (200, 2, 1)
    assert (value["remote_ip"], value["remote_port"]) == ("127.0.0.1", echo_server.port)
    assert (value["http_version"], value["method"], value["scheme"]) == ("1.1", "GET", "http")
    assert value["content_type"] == "application/json"
    order = ["time_namelookup", "time_connect", "time_pretransfer", "time_starttransfer", "time_total"]
    times = [value[name] for name in order]
    assert times == sorted(times)
    assert 0 < value["time_redirect"] < value["time_total"]


def test_figures_of_a_single_exchange(echo_server: EchoServer, capfdbinary: Capture):
    value = figures(f"{echo_server.url}/redirect-to?url=/x", "-c", "12345", capture=capfdbinary)
    assert (value["http_code"], value["redirect_url"]) == (302, f"{echo_server.url}/x")
    assert value["size_upload"] == 5
    assert value["time_redirect"] == 0
    assert value["num_retries"] == 0


def test_the_file_is_named(echo_server: EchoServer, capfdbinary: Capture, tmp_path: Any):
    value = figures(f"{echo_server.url}/bytes/1000", "-o", str(tmp_path / "x"), capture=capfdbinary)
    assert value["filename_effective"] == str(tmp_path / "x")
    assert value["size_download"] == 1000


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_fills_in_the_same(echo_server: EchoServer, capfdbinary: Capture):
    format = r"%{http_code} %{content_type} %{size_download} %{num_redirects} %{method} %{scheme} %{http_version}\n"
    url = f"{echo_server.url}/bytes/321"
    assert run([url, "--print", "", "-w", format]) == exits.OK
    ours = capfdbinary.readouterr().out
    theirs = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", format, url], capture_output=True, check=True
    ).stdout
    assert ours.lower() == theirs.lower()  # older releases write the scheme in capitals


def test_an_exchange_that_failed_has_figures_too(capfdbinary: Capture):
    format = "%{http_code} %{exitcode} %{errormsg} %{size_download} %{url}|%{remote_ip}|"
    assert run(["http://127.0.0.1:1/", "-w", format]) == exits.NETWORK
    out = capfdbinary.readouterr().out.decode()
    assert out.startswith(f"000 {exits.NETWORK} ")
    assert "127.0.0.1" in out
    assert out.endswith(" 0 http://127.0.0.1:1/||")


def test_an_answer_that_breaks_off_is_a_failure(echo_server: EchoServer, capfdbinary: Capture):
    url = f"{echo_server.url}/drip?numbytes=50&duration=9"
    assert run([url, "--max-time", "0.3", "--print", "", "-w", "%{http_code} %{exitcode}"]) == exits.TIMED_OUT
    assert capfdbinary.readouterr().out.decode() == f"200 {exits.TIMED_OUT}"


def test_a_file_with_another_digest_is_a_failure(echo_server: EchoServer, capfdbinary: Capture, tmp_path: Any):
    argv = ["-o", str(tmp_path / "x"), "--check-digest", f"sha256:{'0' * 64}", "-w", "%{exitcode} %{errormsg}"]
    assert run([f"{echo_server.url}/bytes/10", *argv]) == exits.OTHER_DIGEST
    assert capfdbinary.readouterr().out.decode().startswith(f"{exits.OTHER_DIGEST} the file has the digest sha256:")


def test_the_check_of_the_certificate_is_told(tls_echo_server: EchoServer, ca: Any, capfdbinary: Capture):
    url = f"{tls_echo_server.url}/get"
    assert figures(url, "--ca", str(ca.authority_file()), capture=capfdbinary)["ssl_verify_result"] == 0
    value = figures(url, "--no-verify", capture=capfdbinary)
    assert value["ssl_verify_result"] is None
    assert 0 < value["time_connect"] <= value["time_appconnect"] <= value["time_pretransfer"]


def test_a_connection_without_tls_has_nothing_to_check(echo_server: EchoServer, capfdbinary: Capture):
    value = figures(f"{echo_server.url}/get", capture=capfdbinary)
    assert (value["ssl_verify_result"], value["time_appconnect"]) == (0, 0)
