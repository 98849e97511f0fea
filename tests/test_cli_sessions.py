"""What is kept between runs: for each host apart, and for the owner's eyes only."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._cli import exits, sessions
from httpx._cli.echo_server import EchoServer
from httpx._cli.sessions import Session

click = pytest.importorskip("click")

# Behind the line above, because it imports click.
from httpx._cli.command import run  # noqa: E402

Capture = pytest.CaptureFixture[bytes]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path / "httpx" / "sessions"


@pytest.fixture
def headers(echo_server: EchoServer, capfdbinary: Capture) -> Any:
    """Runs arguments, and returns the header that the server says it got."""

    def sent(*argv: str) -> Any:
        assert run([f"{echo_server.url}/headers", *argv, "--print", "b"]) == exits.OK
        return json.loads(capfdbinary.readouterr().out)["headers"]

    return sent


def test_headers_and_credentials_are_sent_again(headers: Any):
    headers("--session", "work", "X-A:1", "-h", "X-B", "2", "--auth", "ann", "secret")
    again = headers("--session", "work", "X-B:3")
    assert (again["X-A"], again["X-B"], again["Authorization"]) == ("1", "3", "Basic YW5uOnNlY3JldA==")
    assert headers("--session", "work")["X-B"] == "3"
    assert "X-A" not in headers("--session", "work", "X-A:")
    assert headers("--session", "work", "--bearer", "t")["Authorization"] == "Bearer t"
    assert headers("--session", "work")["Authorization"] == "Bearer t"
    for other in (headers(), headers("--session", "play")):
        assert "X-A" not in other
        assert "Authorization" not in other


def test_what_belongs_to_one_request_is_not_kept(headers: Any):
    headers("--session", "work", "Content-Type:text/x", "If-Match:a", "Range:bytes=0-", "Host:b", "Authorization:c")
    again = headers("--session", "work")
    assert not {"Content-Type", "If-Match", "Range", "Authorization"} & set(again)
    assert again["Host"].startswith("127.0.0.1")


def test_cookies_of_the_server_and_of_the_command_come_back(
    echo_server: EchoServer, headers: Any, capfdbinary: Capture
):
    common = ["--session", "work", "--print", ""]
    assert run([f"{echo_server.url}/cookies/set?a=b", *common]) == exits.OK
    assert run([f"{echo_server.url}/get", *common, "--cookies", "c", "d"]) == exits.OK
    assert headers("--session", "work")["Cookie"] == "a=b; c=d"
    assert run([f"{echo_server.url}/cookies/delete?a=", *common]) == exits.OK
    assert headers("--session", "work")["Cookie"] == "c=d"


def test_a_cookie_header_goes_with_the_cookies_of_the_session(
    echo_server: EchoServer, headers: Any, capfdbinary: Capture
):
    """It replaced them, for this request, without a word."""
    assert run([f"{echo_server.url}/cookies/set?a=b", "--session", "work", "--print", ""]) == exits.OK
    assert headers("--session", "work", "Cookie:c=d; e=f=g")["Cookie"] == "a=b; c=d; e=f=g"
    assert headers("--session", "work")["Cookie"] == "a=b; c=d; e=f=g"
    assert headers("--session", "work", "Cookie:odd")["Cookie"] == "odd"


def test_two_runs_at_the_same_time_keep_the_cookies_of_both(tmp_path: Path):
    """The one that ended last replaced the cookies of the other."""

    def cookies(**values: str) -> httpx.Cookies:
        jar = httpx.Cookies()
        for name, value in values.items():
            jar.set(name, value, domain="a")
        return jar

    def kept(session: Session) -> dict[str, str | None]:
        jar = httpx.Cookies()
        session.restore(jar)
        return dict(jar)

    path = str(tmp_path / "session")
    first = Session.load(path, "a")
    first.keep(cookies(old="1", same="1"))
    first.save()
    one, other = Session.load(path, "a"), Session.load(path, "a")
    one.keep(cookies(same="1", new="1"))
    other.keep(cookies(old="1", same="2"))
    one.save()
    other.save()
    assert kept(Session.load(path, "a")) == {"same": "2", "new": "1"}


def test_a_session_holds_for_one_host(echo_server: EchoServer, headers: Any, home: Path):
    headers("--session", "work", "X-A:1")
    with EchoServer() as other:
        assert Session.load("work", f"127.0.0.1:{other.port}").headers == []
    assert os.listdir(home) == [f"127.0.0.1_{echo_server.port}"]


@POSIX
def test_nobody_else_can_read_it(headers: Any, home: Path):
    headers("--session", "work", "X-A:1")
    (folder,) = home.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


def test_offline_shows_the_session_and_changes_nothing(headers: Any, echo_server: EchoServer, capfdbinary: Capture):
    headers("--session", "work", "X-A:1")
    assert run([f"{echo_server.url}/get", "--session", "work", "X-B:2", "--offline"]) == exits.OK
    shown = capfdbinary.readouterr().out
    assert b"X-A: 1\n" in shown
    assert b"X-B: 2\n" in shown
    assert "X-B" not in headers("--session", "work")


@pytest.mark.parametrize("name", ["", "..", "a b", ".hidden", "a" * 101])
def test_a_name_is_letters_and_digits(name: str, capfdbinary: Capture):
    assert run(["http://a.invalid/", "--session", name]) == exits.USAGE
    assert b"the name of a session" in capfdbinary.readouterr().err


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"headers": 5}', '{"cookies": [{}]}', '{"cookies": [1]}', '{"auth": 1}']
)
def test_a_broken_file_is_told_and_kept(home: Path, content: str, capfdbinary: Capture):
    (home / "a.invalid").mkdir(parents=True)
    file = home / "a.invalid" / "work.json"
    file.write_text(content)
    assert run(["http://a.invalid/", "--session", "work"]) == exits.USAGE
    assert b"is broken" in capfdbinary.readouterr().err
    assert file.read_text() == content


def test_cookies_keep_all_that_they_are():
    fields = [
        ("Set-Cookie", "a=1; Domain=example.org; Path=/x; Max-Age=1000; HttpOnly; Secure"),
        ("Set-Cookie", "b=2"),
        ("Set-Cookie", "c=3; Max-Age=0"),
    ]
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, headers=fields))) as client:
        client.get("https://www.example.org/x/y")
        session = Session.load("work", "www.example.org")
        session.keep(client.cookies)
    session.save()

    def told(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=request.headers.get("cookie", ""))

    with httpx.Client(transport=httpx.MockTransport(told)) as again:
        Session.load("work", "www.example.org").restore(again.cookies)
        assert set(again.get("https://www.example.org/x/y").text.split("; ")) == {"a=1", "b=2"}
        assert again.get("https://other.example.org/x/").text == "a=1"
        assert again.get("http://www.example.org/x/y").text == "b=2"
        assert again.get("https://www.example.org/z").text == ""


def test_two_writers_leave_the_file_of_one(home: Path):
    made = [Session.load("work", "a") for _ in range(8)]
    for number, session in enumerate(made):
        session.remember([(f"X-{number}", "x" * 10_000)])
    threads = [threading.Thread(target=session.save) for session in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Session.load("work", "a").headers) == 1
    assert os.listdir(home / "a") == ["work.json"]


def test_a_draft_that_cannot_take_its_place_is_removed(home: Path):
    session = Session.load("work", "a")
    (home / "a" / "work.json" / "x").mkdir(parents=True)
    with pytest.raises(OSError):
        session.save()
    assert os.listdir(home / "a") == ["work.json"]


def test_the_folder_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setattr(sys, "platform", "linux")
    assert sessions.folder() == os.path.join("/home/ann", ".config", "httpx", "sessions")
    monkeypatch.setenv("APPDATA", "/app")
    monkeypatch.setattr(sys, "platform", "win32")
    assert sessions.folder() == os.path.join("/app", "httpx", "sessions")


def test_a_path_is_the_file_itself_and_belongs_to_one_host(home: Path, tmp_path: Path):
    path = f"{tmp_path}/deep/er/file"
    session = Session.load(path, "a.invalid")
    session.remember([("X-A", "1")])
    session.save()
    assert Session.load(path, "a.invalid").headers == [("X-A", "1")]
    assert not home.exists()
    with pytest.raises(ValueError, match=r"belongs to 'a\.invalid', not to 'b\.invalid:8000'"):
        Session.load(path, "b.invalid:8000")
    with pytest.raises(ValueError, match="expected the file of a session"):
        Session.load(f"{tmp_path}/", "a.invalid")


def test_a_file_in_this_folder_can_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Session.load("./here.json", "a.invalid").save()
    assert os.listdir(tmp_path) == ["here.json"]


def test_a_session_can_be_left_as_it_is():
    session = Session.load("work", "a.invalid", read_only=True)
    session.remember([("X-A", "1")])
    session.save()
    assert not os.path.exists(session.path)


def test_no_two_hosts_share_a_folder(home: Path):
    hosts = ["a:80", "a_80", "a__80", "a%3A80", "[::1]:80", "..", "_..", "a/../b"]
    paths = {Path(Session.load("work", host).path) for host in hosts}
    assert len(paths) == len(hosts)
    assert {path.resolve().parent.parent for path in paths} == {home.resolve()}


@POSIX
def test_each_folder_that_is_made_is_private(home: Path):
    Session.load("work", "a.invalid").save()
    for path in (home.parent, home, home / "a.invalid"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("auth", [[], {"auth": ["a"]}, {"auth": [{}, "b"]}, {"auth": "ab"}, {"bearer": 1}])
def test_credentials_of_another_shape_are_a_broken_file(auth: object, tmp_path: Path):
    """They were a traceback; and options of other kinds in a file counted as if they were typed."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"auth": auth}))
    with pytest.raises(ValueError, match="is broken: 'auth'"):
        Session.load(str(path), "a")
    path.write_text(json.dumps({"auth": {"auth": ["a", "b"], "digest": True, "app": "evil:app"}}))
    assert Session.load(str(path), "a").auth == {"auth": ["a", "b"], "bearer": None, "digest": True}
