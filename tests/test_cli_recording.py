"""`--har` and `--from-har`, through the command."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from httpx._cli import exits
from httpx._cli.echo_server import EchoServer
from support.servers import ScriptedServer, expect_head, send

pytest.importorskip("click")

# After the line above, because they import click.
from httpx._cli import recording
from httpx._cli.command import run
from test_cli_har import check_har

Capture = pytest.CaptureFixture[bytes]


def recorded(path: Path) -> list[Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    check_har(value)
    return list(value["log"]["entries"])


@pytest.fixture
def har(tmp_path: Path) -> Path:
    return tmp_path / "a.har"


def test_every_redirect_is_an_entry_and_the_output_is_as_without(
    echo_server: EchoServer, har: Path, capfdbinary: Capture
):
    url = f"{echo_server.url}/redirect/2"
    args = [url, "--follow-redirects", "--print", "b"]
    assert run(args) == exits.OK
    plain = capfdbinary.readouterr().out
    assert run([*args, "--har", str(har)]) == exits.OK
    assert capfdbinary.readouterr() == (plain, b"")
    entries = recorded(har)
    assert [entry["response"]["status"] for entry in entries] == [302, 302, 200]
    assert entries[0]["response"]["redirectURL"] == f"{echo_server.url}/redirect/1"
    assert entries[0]["timings"]["connect"] > 0
    assert entries[1]["timings"]["connect"] == -1  # on the same connection
    assert entries[0]["serverIPAddress"] == "127.0.0.1"
    assert json.loads(entries[2]["response"]["content"]["text"]) == json.loads(plain)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_only_the_owner_can_read_the_file(echo_server: EchoServer, har: Path):
    har.write_text("old")
    har.chmod(0o644)
    assert run([f"{echo_server.url}/get", "--print", "", "--har", str(har)]) == exits.OK
    assert stat.S_IMODE(har.stat().st_mode) == 0o600
    assert os.listdir(har.parent) == ["a.har"]


def test_every_attempt_is_an_entry(echo_server: EchoServer, har: Path, monkeypatch: pytest.MonkeyPatch):
    from httpx._cli import retries

    monkeypatch.setattr(retries, "_BACKOFF", 0.0)
    args = ["--retry", "2", "--print", "", "--har", str(har)]
    assert run([f"{echo_server.url}/status/502", *args]) == exits.SERVER_ERROR
    assert [entry["response"]["status"] for entry in recorded(har)] == [502, 502, 502]


def test_a_failure_is_an_entry(har: Path, capfdbinary: Capture):
    assert run(["http://127.0.0.1:1/", "--har", str(har)]) == exits.NETWORK
    (entry,) = recorded(har)
    assert (entry["response"]["status"], entry["_error"]) == (0, "ConnectError")


def test_a_body_that_breaks_is_kept_as_far_as_it_came(har: Path, capfdbinary: Capture):
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with ScriptedServer([expect_head(), send(response)]) as server:
        assert run([f"{server.url}/", "--print", "b", "--har", str(har)]) != exits.OK
    (entry,) = recorded(har)
    assert entry["response"]["content"]["text"] == "half"


@pytest.mark.parametrize(
    "option", [["--print", "b"], ["--print", ""], ["--output-json"], ["--stream"], ["-o", "saved"]]
)
def test_a_coded_body_is_decoded_however_it_is_shown(
    echo_server: EchoServer, har: Path, option: list[str], monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture
):
    monkeypatch.chdir(har.parent)
    fields = ["-h", "Accept-Encoding", "gzip"]
    assert run([f"{echo_server.url}/gzip", *fields, *option, "--har", str(har)]) == exits.OK
    (entry,) = recorded(har)
    content = entry["response"]["content"]
    assert json.loads(content["text"])["gzipped"] is True
    assert content["size"] == len(content["text"])


def test_a_large_body_is_not_kept(
    echo_server: EchoServer, har: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture
):
    monkeypatch.setattr(recording, "MAX_BODY", 100)
    for option in (["--print", "b"], ["--output-json"]):
        assert run([f"{echo_server.url}/bytes/300000", *option, "--har", str(har)]) == exits.OK
        content = recorded(har)[0]["response"]["content"]
        assert (content["size"], "text" in content) == (300000, False)
        assert content["comment"].endswith("is not recorded")


def test_a_body_that_is_large_only_when_it_is_decoded_is_not_kept(
    har: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture
):
    import gzip

    monkeypatch.setattr(recording, "MAX_BODY", 1000)
    for body in (gzip.compress(b"x" * 5000), b"not gzip"):
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        with ScriptedServer([expect_head(), send(head + body)]) as server:
            run([f"{server.url}/", "--print", "b", "--har", str(har)])
        content = recorded(har)[0]["response"]["content"]
        assert "text" not in content
        assert content["comment"].endswith("is not recorded")


def test_secrets_are_masked_unless_asked_for(echo_server: EchoServer, har: Path, capfdbinary: Capture):
    url = f"{echo_server.url}/status/200?token=s3cret"
    args = [
        url,
        "--auth",
        "ann",
        "s3cret",
        "--cookies",
        "a",
        "s3cret",
        "-j",
        '{"password": "s3cret"}',
        "--har",
        str(har),
    ]
    assert run(args) == exits.OK
    text = har.read_text()
    assert "s3cret" not in text
    assert "YW5u" not in text
    assert run([*args, "--with-secrets"]) == exits.OK
    assert har.read_text().count("s3cret") >= 4


def test_a_token_that_the_server_repeats_is_masked(echo_server: EchoServer, har: Path, capfdbinary: Capture):
    """It was in the file: under another name, and as JSON in a text of JSON."""
    body = '{"token": "s3cret-token"}'
    assert run([f"{echo_server.url}/anything", "-j", body, "--bearer", "other-s3cret", "--har", str(har)]) == exits.OK
    (entry,) = recorded(har)
    assert "s3cret" in capfdbinary.readouterr().out.decode()
    assert "s3cret" not in json.dumps(entry)


@pytest.mark.parametrize("path", ["no/a.har", "."])
def test_a_file_that_cannot_be_written_is_known_before_anything_is_sent(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture
):
    monkeypatch.chdir(tmp_path)
    assert run(["http://127.0.0.1:1/", "--har", path]) == exits.USAGE
    assert b"must be a file in a folder that exists" in capfdbinary.readouterr().err
    monkeypatch.setattr(os, "access", lambda *args: False)
    assert run(["http://127.0.0.1:1/", "--har", "a.har"]) == exits.USAGE
    assert b"--har 'a.har' cannot be written" in capfdbinary.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices")
def test_a_device_is_written_to(echo_server: EchoServer):
    assert run([f"{echo_server.url}/get", "--print", "", "--har", os.devnull]) == exits.OK
    assert not os.path.isfile(os.devnull)


def test_a_file_that_cannot_be_replaced_stays(
    echo_server: EchoServer, har: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture
):
    har.write_text("old")

    def refused(*args: Any) -> None:
        raise OSError("refused")

    monkeypatch.setattr(os, "replace", refused)
    assert run([f"{echo_server.url}/get", "--print", "", "--har", str(har)]) == exits.FAILED
    assert f"httpx: --har {str(har)!r} was not written: refused\n".encode() in capfdbinary.readouterr().err
    assert (har.read_text(), os.listdir(har.parent)) == ("old", ["a.har"])


# Replay.


def test_an_entry_is_sent_again(echo_server: EchoServer, har: Path, capfdbinary: Capture):
    url = f"{echo_server.url}/anything?a=1"
    assert (
        run(
            [
                "PUT",
                url,
                "X-A:b",
                "-c",
                "\xff body",
                "--bearer",
                "s3cret",
                "--har",
                str(har),
                "--with-secrets",
                "--print",
                "",
            ]
        )
        == 0
    )
    assert run(["--from-har", str(har), "1", "X-C:d", "--print", "b"]) == exits.OK
    body = json.loads(capfdbinary.readouterr().out)
    assert (body["method"], body["args"], body["data"]) == ("PUT", {"a": "1"}, "\xff body")
    assert [body["headers"][name] for name in ("X-A", "X-C", "Authorization")] == ["b", "d", "Bearer s3cret"]


def test_other_fields_and_another_body_and_method_win(echo_server: EchoServer, har: Path, capfdbinary: Capture):
    url = f"{echo_server.url}/anything"
    assert run([url, "X-A:b", "X-B:b", "-c", "body", "--har", str(har), "--print", ""]) == exits.OK
    args = ["X-A:c", "-h", "X-B", "c", "-m", "PATCH", "-j", '{"a": 1}', "--print", "b"]
    assert run(["--from-har", str(har), "1", *args]) == exits.OK
    body = json.loads(capfdbinary.readouterr().out)
    assert (body["method"], body["json"], body["headers"]["X-A"], body["headers"]["X-B"]) == (
        "PATCH",
        {"a": 1},
        "c",
        "c",
    )


def test_masked_fields_are_left_out_and_told(echo_server: EchoServer, har: Path, capfdbinary: Capture):
    assert run([f"{echo_server.url}/anything", "--bearer", "s3cret", "--har", str(har), "--print", ""]) == exits.OK
    assert run(["--from-har", str(har), "1", "--print", "b"]) == exits.OK
    out, err = capfdbinary.readouterr()
    assert "Authorization" not in json.loads(out)["headers"]
    assert f"httpx: left out, because their values are masked in {str(har)!r}: Authorization\n" == err.decode()
    assert run(["--from-har", str(har), "1", "-h", "Authorization", "Bearer new", "--print", "b"]) == exits.OK
    out, err = capfdbinary.readouterr()
    assert (json.loads(out)["headers"]["Authorization"], err) == ("Bearer new", b"")


def test_without_a_number_the_entries_are_listed(echo_server: EchoServer, har: Path, capfdbinary: Capture):
    url = f"{echo_server.url}/redirect/1"
    assert run([url, "-p", "token", "s3cret", "--follow-redirects", "--har", str(har), "--print", ""]) == exits.OK
    for words in ([], ["1", "--list"]):
        assert run(["--from-har", str(har), *words]) == exits.OK
        assert capfdbinary.readouterr().out.decode().splitlines() == [
            f"   1  302  GET {url}?token=***",
            f"   2  200  GET {echo_server.url}/get",
        ]


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (None, [], "--from-har: [Errno 2] No such file or directory"),
        ("{", [], "--from-har 'a.har': Expecting property name"),
        ("[" * 100_000, [], "--from-har 'a.har': "),
        ("{}", [], "--from-har 'a.har': not a HAR file"),
        ('{"log": {"entries": [{}]}}', [], "entry 1 of 'a.har': the entry has no request"),
        ('{"log": {"entries": [{}]}}', ["1"], "entry 1 of 'a.har': the entry has no request"),
        ('{"log": {"entries": [{}]}}', ["2"], "'a.har' has entries 1 to 1, got '2'"),
        ('{"log": {"entries": [{}]}}', ["x"], "'a.har' has entries 1 to 1, got 'x'"),
        ('{"log": {"entries": []}}' + " " * 2000, [], "--from-har 'a.har': it has more than 0 MiB"),
    ],
)
def test_a_file_or_number_that_cannot_be_used_is_told(
    har: Path, content: Any, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture
):
    monkeypatch.chdir(har.parent)
    if content is not None:
        har.write_text(content)
    monkeypatch.setattr(recording, "MAX_FILE", 1000 if "entries" in (content or "") else 1 << 20)
    assert run(["--from-har", "a.har", *words]) == exits.USAGE
    assert message in capfdbinary.readouterr().err.decode()
