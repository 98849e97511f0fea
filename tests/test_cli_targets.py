"""Targets that are written in place: standard output, devices, pipes, and files that cannot be replaced."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import httpx

pytest.importorskip("click")

# After the line above, because they import click.
from httpx._cli import targets
from httpx._cli.command import run
from httpx._cli.download import Download, OtherDigest
from httpx._cli.echo_server import EchoServer
from httpx._cli.targets import Direct, is_direct, target_for
from support.commands import POSIX, environment, on_a_terminal
from support.servers import ScriptedServer, expect_end, expect_head, send

URL = "http://a.invalid/file"
Capture = pytest.CaptureFixture[bytes]


def response_of(content: bytes) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(content))


def test_a_file_or_a_folder_is_replaced_in_one_step(tmp_path: Path):
    (tmp_path / "file").write_text("old")
    for path in (str(tmp_path / "file"), str(tmp_path / "new"), str(tmp_path), f"{tmp_path}/", ""):
        assert not is_direct(path)
        assert isinstance(target_for(path, URL), Download)


@POSIX
@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1", "/dev/stderr", "/dev/null"])
def test_streams_and_devices_are_written_in_place(path: str):
    target = target_for(path, URL)
    assert isinstance(target, Direct)
    assert target.is_output == (path in ("-", "/dev/stdout", "/dev/fd/1"))
    assert target.headers() == ({} if target.is_output else {"Accept-Encoding": "identity"})
    assert not target.is_repeatable


@POSIX
def test_a_descriptor_of_the_shell_is_written_to():
    """`-o >(cat)` is `-o /dev/fd/63`; its real path is not in the file system."""
    reader, writer = os.pipe()
    try:
        target_for(f"/dev/fd/{writer}", URL).save(response_of(b"body"))
        assert os.read(reader, 10) == b"body"
    finally:
        os.close(reader)
        os.close(writer)
    with pytest.raises(OSError, match=f"'/dev/fd/{writer}'"):
        target_for(f"/dev/fd/{writer}", URL)


@POSIX
def test_a_file_that_cannot_be_replaced_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that a container mounts by itself, and one in the folder of another user."""
    file = tmp_path / "file"
    file.write_text("a longer text")
    before = file.stat().st_ino
    monkeypatch.setattr(targets, "_is_mounted", lambda path: True)
    target = target_for(str(file), URL)
    assert target.save(response_of(b"new")) == str(file)
    assert (file.read_text(), file.stat().st_ino, os.listdir(tmp_path)) == ("new", before, ["file"])
    monkeypatch.undo()
    monkeypatch.setattr(targets.os, "access", lambda path, mode: not os.path.isdir(path))
    assert is_direct(str(file))
    with pytest.raises(PermissionError, match="new"):
        target_for(str(tmp_path / "new"), URL)
    monkeypatch.setattr(targets, "is_direct", lambda path: True)
    monkeypatch.setattr(targets.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="file"):
        target_for(str(file), URL)


@POSIX
def test_in_a_sticky_folder_only_the_owner_of_a_file_replaces_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    tmp_path.chmod(0o1777)
    owner = (tmp_path / "file").stat().st_uid
    for user, direct in ((owner, False), (0, False), (owner + 1, True)):
        monkeypatch.setattr(targets.os, "geteuid", lambda user=user: user)
        assert is_direct(str(tmp_path / "file")) == direct


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="there is no list of mounts")
def test_mount_points_are_known(tmp_path: Path):
    assert targets._is_mounted("/proc")
    assert not targets._is_mounted(str(tmp_path / "a b"))


def test_without_a_list_of_mounts_there_are_none(monkeypatch: pytest.MonkeyPatch):
    def missing(*args: object, **more: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(targets, "open", missing, raising=False)
    assert not targets._is_mounted("/proc")


@pytest.mark.parametrize("path", ["missing/x", "missing/"])
def test_a_target_that_cannot_be_written_is_found_before_the_request(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture
):
    """The order was sent, and its confirmation lost."""
    monkeypatch.chdir(tmp_path)
    # Sent, the request would fail with another code: nothing listens on this port.
    assert run(["POST", "http://127.0.0.1:1/", "-c", "order", "-o", path]) == 1
    assert capfdbinary.readouterr().err.decode().startswith("httpx: [Errno 2] ")
    assert not list(tmp_path.iterdir())


def test_what_is_written_in_place_cannot_be_continued():
    with pytest.raises(ValueError, match="--continue"):
        target_for("-", URL, resume=True)


@pytest.mark.parametrize("name", ["sha256", "SHA-256"])
def test_the_digest_of_standard_output_is_checked(name: str, monkeypatch: pytest.MonkeyPatch):
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    right = hashlib.sha256(b"body").hexdigest()
    assert target_for("-", URL, digest=f"{name}:{right}").save(response_of(b"body")) == "-"
    with pytest.raises(OtherDigest, match=right):
        target_for("-", URL, digest=f"{name}:{'0' * 64}").save(response_of(b"body"))
    with pytest.raises(ValueError, match="digest"):
        target_for("-", URL, digest="sha256:1")


@POSIX
@pytest.mark.parametrize("target", ["-", "/dev/stderr"])
def test_a_terminal_gets_no_escape_sequences_by_output(target: str):
    """A response could set the title, move the cursor, or have text typed."""
    body = b"a\x1b]0;title\x07b\n"
    with ScriptedServer(
        [expect_head(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + body), expect_end()]
    ) as server:
        assert on_a_terminal(server.url, "-o", target) == (0, "a\\x1b]0;title\\x07b\n")


@POSIX
def test_a_terminal_gets_no_binary_data_by_output(echo_server: EchoServer):
    assert on_a_terminal(f"{echo_server.url}/bytes/30?seed=1", "-o", "-") == (0, "<30 bytes of binary data>\n")


@POSIX
@pytest.mark.parametrize(
    "script", ["{} -o /dev/stdout | cat", "{} -o >(cat) | cat", "{} -o /dev/stdout > file; cat file"]
)
def test_output_of_the_shell_is_written_to(script: str, echo_server: EchoServer, tmp_path: Path):
    command = f"'{sys.executable}' -m httpx {echo_server.url}/bytes/5000?seed=1"
    done = subprocess.run(
        ["bash", "-c", script.format(command)], capture_output=True, env=environment(), timeout=60, cwd=tmp_path
    )
    assert (done.stderr, len(done.stdout)) == (b"", 5000)
    assert not [name for name in os.listdir(tmp_path) if name != "file"]
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
