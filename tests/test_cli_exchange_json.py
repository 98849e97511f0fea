"""The exchange as one object, for scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from httpx._cli import exits
from httpx._cli.echo_server import EchoServer

pytest.importorskip("click")

# Behind the line above, because it imports click.
from httpx._cli.command import run

Capture = pytest.CaptureFixture[bytes]


def exchanged(capture: Capture, *argv: str, code: int = exits.OK) -> Any:
    assert run([*argv, "--output-json"]) == code
    return json.loads(capture.readouterr().out)


def test_it_has_request_answer_redirects_and_times(echo_server: EchoServer, capfdbinary: Capture):
    value = exchanged(capfdbinary, f"{echo_server.url}/redirect/1", "--follow-redirects", "X-A:1")
    assert value["request"]["method"] == "GET"
    assert value["request"]["url"] == f"{echo_server.url}/get"
    assert ["X-A", "1"] in value["request"]["headers"]
    assert value["request"]["body"] is None
    answer = value["response"]
    assert (answer["status"], answer["reason"], answer["http_version"]) == (200, "OK", "HTTP/1.1")
    assert ["Content-Type", "application/json"] in answer["headers"]
    assert json.loads(answer["body"])["url"] == f"{echo_server.url}/get"
    assert [one["status"] for one in value["redirects"]] == [302]
    assert value["error"] is None
    assert [hop["status"] for hop in value["hops"]] == [302, 200]
    assert 0 < value["timings"]["wait"] <= value["timings"]["total"]


def test_bodies_are_text_or_base64(echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path):
    assert exchanged(capfdbinary, f"{echo_server.url}/encoding/utf8")["response"]["body"].startswith("English: peace")
    (tmp_path / "x").write_bytes(b"\xff\0")
    value = exchanged(capfdbinary, f"{echo_server.url}/anything", f"@{tmp_path / 'x'}")
    assert value["request"]["body"] == {"base64": "/wA="}
    assert set(exchanged(capfdbinary, f"{echo_server.url}/bytes/100?seed=1")["response"]["body"]) == {"base64"}
    assert exchanged(capfdbinary, f"{echo_server.url}/anything", f"x@{tmp_path / 'x'}")["request"]["body"] is None


def test_secrets_are_hidden_unless_they_are_asked_for(echo_server: EchoServer, capfdbinary: Capture):
    url = echo_server.url.replace("://", "://ann:secret1@") + "/cookies/set?a=secret2"
    argv = [url, "--cookies", "b", "secret3"]
    text = json.dumps(exchanged(capfdbinary, *argv)["request"]) + json.dumps(
        exchanged(capfdbinary, *argv)["response"]["headers"]
    )
    assert "secret1" not in text
    assert "secret3" not in text
    assert ["Set-Cookie", "***"] in exchanged(capfdbinary, *argv)["response"]["headers"]
    assert ["Cookie", "b=secret3"] in exchanged(capfdbinary, *argv, "--with-secrets")["request"]["headers"]


def test_an_error_is_an_exchange_too(capfdbinary: Capture):
    value = exchanged(capfdbinary, "http://127.0.0.1:1/", code=exits.NETWORK)
    assert value["response"] is None
    assert value["error"]["type"] == "ConnectError"
    assert "127.0.0.1" in value["error"]["message"]


def test_a_body_that_breaks_off_is_an_error(echo_server: EchoServer, capfdbinary: Capture):
    url = f"{echo_server.url}/drip?numbytes=50&duration=9"
    value = exchanged(capfdbinary, url, "--max-time", "0.3", code=exits.TIMED_OUT)
    assert value["error"]["type"] == "ReadTimeout"


@pytest.mark.parametrize("argv", [["-v"], ["--print", "HBhbm"], ["-v", "--print", "h"]])
def test_nothing_stands_beside_it(echo_server: EchoServer, capfdbinary: Capture, argv: list[str]):
    assert exchanged(capfdbinary, f"{echo_server.url}/get", *argv)["response"]["status"] == 200


def test_a_file_for_the_body_is_another_thing(capfdbinary: Capture):
    assert run(["http://a.invalid/", "--output-json", "-o", "x"]) == exits.USAGE


def test_a_tls_connection_is_described(tls_echo_server: EchoServer, ca: Any, capfdbinary: Capture):
    url = f"{tls_echo_server.url}/get"
    tls = exchanged(capfdbinary, url, "--ca", str(ca.authority_file()))["tls"]
    assert tls["version"].startswith("TLSv1.")
    assert tls["cipher"]
    assert "localhost" in tls["certificate"]["names"]
    assert tls["certificate"]["not_after"].endswith("GMT")
    assert exchanged(capfdbinary, url, "--no-verify")["tls"]["certificate"] is None


def test_a_plain_connection_has_no_tls(echo_server: EchoServer, capfdbinary: Capture):
    assert exchanged(capfdbinary, f"{echo_server.url}/get")["tls"] is None


def test_secrets_in_the_query_and_in_other_fields_are_hidden(echo_server: EchoServer, capfdbinary: Capture):
    argv = [f"{echo_server.url}/status/204?access_token=secret1&a=b", "X-Api-Key:secret2"]
    value = exchanged(capfdbinary, *argv)
    assert "secret" not in json.dumps(value)
    assert value["request"]["url"].endswith("?access_token=***&a=b")
    assert "secret1" in json.dumps(exchanged(capfdbinary, *argv, "--with-secrets"))
