"""`--retry`: a user of `httpx.Retry`, which says so on the terminal, and repeats a response whose body broke."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import httpx
import httpx.testing
from httpx._cli import exits
from httpx._cli.download import Download
from httpx._cli.retries import Retries, saving, showing
from support.local import Asked, LocalApi, with_json
from support.scripted import Clock, Player, Script
from support.servers import ScriptedServer, answer, close, drip, expect_end, expect_head, send

click = pytest.importorskip("click")

# After the line above, because it imports click.
from httpx._cli.command import run  # noqa: E402

TAG = b'ETag: "v1"'
BROKEN = send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" + TAG + b"\r\n\r\nbegin")


def flaky(*statuses: int) -> Callable[[Asked], Any]:
    rest = list(statuses)
    return lambda asked: with_json({"body": asked.body.decode()}, rest.pop(0), Retry_After="0")


def test_the_settings_are_those_of_a_person_who_waits(monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    retries = Retries(3, told.append)
    player = Player("503 ReadError 200!ReadError 200", Clock(monkeypatch, 1.0))
    request = httpx.Request("GET", "http://a.example/")
    request._is_read = True
    assert player.play(retries, request).status_code == 200
    assert player.paused == [2.0, 0.4, 0.8]
    assert retries.count == 3
    assert told == [
        "503 Service Unavailable; retrying in 2 s (1 of 3)",
        "ReadError: it failed; retrying in 0.4 s (2 of 3)",
        "ReadError: the body broke; retrying in 0.8 s (3 of 3)",
    ]


def test_no_pause_is_longer_than_a_minute():
    told: list[str] = []
    with httpx.testing.virtual_time() as time:
        for script in ("503;Retry-After=61", "POST 503"):
            transport = httpx.MockTransport(Script(script.split()[-1]))
            with httpx.Client(transport=transport, middleware=[Retries(3, told.append)]) as client:
                assert client.request(script.split()[0] if "POST" in script else "GET", "http://a/").status_code == 503
    assert told == []
    assert time.slept == []


def test_the_command_tries_again_and_says_so(capfdbinary: pytest.CaptureFixture[bytes]):
    api = LocalApi()
    try:
        api.answer = flaky(503, 429, 200, 503, 503)
        with httpx.testing.virtual_time(jitter=0):
            arguments = ["--retry", "2", "-m", "PUT", "-c", "text", "-w", "%{num_retries}", "--print", "b"]
            assert run([f"{api.url}/", *arguments]) == 0
            captured = capfdbinary.readouterr()
            assert captured.out == b'{"body": "text"}2'
            assert captured.err.splitlines() == [
                b"httpx: 503 Service Unavailable; retrying in 0 s (1 of 2)",
                b"httpx: 429 Too Many Requests; retrying in 0 s (2 of 2)",
            ]
            assert run([f"{api.url}/", "--retry", "1"]) == exits.SERVER_ERROR
        assert [asked.method for asked in api.asked] == ["PUT", "PUT", "PUT", "GET", "GET"]
    finally:
        api.close()


def test_a_file_is_sent_whole_each_time(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path):
    api = LocalApi()
    (tmp_path / "input").write_bytes(b"from a file")
    try:
        api.answer = flaky(503, 200)
        with httpx.testing.virtual_time(jitter=0):
            assert run(["PUT", f"{api.url}/", f"@{tmp_path / 'input'}", "--retry", "1"]) == 0
        assert [asked.body for asked in api.asked] == [b"from a file"] * 2
    finally:
        api.close()


def test_max_time_is_for_all_tries_together(capfdbinary: pytest.CaptureFixture[bytes]):
    """The second try would otherwise have the whole time again."""
    # It takes half a second and more.
    refusal = drip(b"HTTP/1.1 503 Not Now\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 0.006)
    with ScriptedServer([expect_head(), refusal, close()], [expect_head(), expect_end()]) as server:
        assert run([server.url, "--retry", "1", "--max-time", "1.2", "--timeout", "9"]) == exits.TIMED_OUT
    assert re.search(rb"ReadTimeout: .* total timeout of 1\.2 s", capfdbinary.readouterr().err)


@pytest.mark.parametrize("options", [[], ["-v"], ["--output-json"], ["-w", "%{num_retries}", "--print", "b"]])
def test_a_response_whose_body_breaks_is_requested_again(options: list[str], capfdbinary: pytest.CaptureFixture[bytes]):
    """Before, what had arrived was shown, and then an error."""
    scripts = [expect_head(), BROKEN, close()], [answer(b"0123456789"), expect_end()]
    with ScriptedServer(*scripts) as server, httpx.testing.virtual_time(jitter=0):
        assert run([server.url, "--retry", "1", *options]) == 0
    captured = capfdbinary.readouterr()
    assert b"0123456789" in captured.out
    assert b"begin" not in captured.out
    assert b"; retrying in 0 s (1 of 1)" in captured.err
    # Each head that arrived is shown with --verbose.
    assert captured.out.count(b"200 OK") == (2 if "-v" in options else captured.out.count(b"200 OK"))
    if "-w" in options:
        assert captured.out == b"01234567891"


def test_a_body_that_always_breaks_is_an_error(capfdbinary: pytest.CaptureFixture[bytes]):
    with ScriptedServer([expect_head(), BROKEN, close()]) as server, httpx.testing.virtual_time(jitter=0):
        assert run([server.url, "--retry", "2", "--output-json"]) != 0
        assert server.connections == 3
    value = json.loads(capfdbinary.readouterr().out)
    assert "error" in value


def test_what_is_shown_as_it_comes_is_not_repeated(capfdbinary: pytest.CaptureFixture[bytes]):
    event = b"data: one\n\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\n"
    with ScriptedServer([expect_head(), send(head + event), close()]) as server:
        assert run([server.url, "--retry", "2", "--stream"]) != 0
        assert server.connections == 1
    assert b"one" in capfdbinary.readouterr().out


def test_timings_do_not_need_the_body_twice(capfdbinary: pytest.CaptureFixture[bytes]):
    with ScriptedServer([answer(b"0123456789"), expect_end()]) as server:
        assert run([server.url, "--retry", "1", "--print", "m"]) == 0
    assert b"10 bytes" in capfdbinary.readouterr().out


# Downloads.


def rest_of(body: bytes, start: int) -> Any:
    """Expect a request for the rest, and send it."""
    fields = b"Content-Range: bytes %d-%d/%d\r\n" % (start, len(body) - 1, len(body)) + TAG
    rest = b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n%b\r\n\r\n%b" % (
        len(body) - start,
        fields,
        body[start:],
    )
    return [expect_head(b"Range: bytes=%d-" % start, b'If-Range: "v1"'), send(rest), expect_end()]


@pytest.mark.parametrize("target", ["file", ""])
def test_a_download_that_breaks_goes_on_where_it_was(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    scripts = [expect_head(), BROKEN, close()], rest_of(b"begin+rest", 5)
    option = "--output" if target else "--download"
    with ScriptedServer(*scripts) as server, httpx.testing.virtual_time(jitter=0):
        assert run([f"{server.url}/file", "--retry", "1", option, target or "."]) == 0
    assert (tmp_path / "file").read_bytes() == b"begin+rest"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_download_that_cannot_go_on_begins_anew(tmp_path: Path):
    broken = send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin")
    with ScriptedServer([expect_head(), broken, close()], [answer(b"0123456789"), expect_end()]) as server:
        with httpx.testing.virtual_time(jitter=0):
            assert run([server.url, "--retry", "1", "-o", str(tmp_path / "file")]) == 0
        assert b"Range" not in server.received[1]
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_download_that_has_changed_meanwhile_begins_anew(tmp_path: Path):
    changed = [expect_head(b"Range: bytes=5-"), send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"), expect_end()]
    with ScriptedServer([expect_head(), BROKEN, close()], changed) as server, httpx.testing.virtual_time(jitter=0):
        assert run([server.url, "--retry", "1", "-o", str(tmp_path / "file")]) == 0
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_is_saved_with_no_fail_only(tmp_path: Path):
    for more in ([], ["--no-fail"]):
        with ScriptedServer([answer(b"gone", status=b"404 Not Found"), expect_end()]) as server:
            assert run([server.url, "--retry", "1", "-o", str(tmp_path / "file"), *more]) == exits.CLIENT_ERROR
        assert (tmp_path / "file").exists() == bool(more)
    assert (tmp_path / "file").read_bytes() == b"gone"


def test_what_was_written_for_good_is_not_repeated(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]):
    with ScriptedServer([expect_head(), BROKEN, close()]) as server:
        assert run([server.url, "--retry", "1", "-o", "-"]) != 0
        assert server.connections == 1
    assert capfdbinary.readouterr().out == b"begin"


@pytest.mark.parametrize(
    ("target", "is_repeatable"),
    [("", True), ("new", True), ("file", True), ("folder", True), ("/dev/null", False)],
)
def test_which_files_can_be_saved_again(
    target: str, is_repeatable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert Download(target, "http://a/").is_repeatable == is_repeatable


def test_a_range_of_the_users_own_is_left_alone(tmp_path: Path):
    request = httpx.Request("GET", "http://a/", headers={"Range": "bytes=7-"})
    download = Download(str(tmp_path / "file"), "http://a/")
    saved: list[str] = []
    player = Player("500 200")
    for _ in range(2):
        player.play(saving(download, saved.append), request)
    assert [sent.headers["Range"] for sent in player.sent] == ["bytes=7-"] * 2
    assert saved == [str(tmp_path / "file")]


def test_each_head_is_shown():
    shown: list[int] = []
    player = Player("503 200")
    for _ in range(2):
        player.play(showing(lambda response: shown.append(response.status_code)), httpx.Request("GET", "http://a/"))
    assert shown == [503, 200]
