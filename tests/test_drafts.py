"""The draft of a download, its record, and what else may lie where they belong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._transports import drafts
from httpx._transports.drafts import Part, Target
from support.ranged import Ranged, RangedServer

URL = "http://a.invalid/files/book.bin?key=secret"
posix = pytest.mark.skipif(os.name == "nt", reason="about POSIX")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def left(path: str = "file", url: str = URL, content: bytes = b"abc", **how: Any) -> None:
    """Leave a draft, as a download that broke does."""
    target = Target(path, url, **how)
    target.begin("book.bin", '"v1"', 10)
    target.write(0, [content])
    target.leave(keep=True)


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def test_a_draft_becomes_the_file(folder: Path):
    target = Target("file", URL)
    target.begin("ignored", None, None)
    target.write(0, [b"ab", b"cd"])
    assert names(folder) == {"file.part", "file.part.json"}
    assert target.size() == 4
    assert target.digest("sha256") == hashlib.sha256(b"abcd").digest()
    assert target.digest("md5", 1, 3) == hashlib.md5(b"bc").digest()
    assert target.finish(5) == (folder / "file").resolve()
    assert names(folder) == {"file"}
    assert (folder / "file").stat().st_mtime == 5


def test_a_record_knows_the_file_and_no_secret(folder: Path):
    left(url="http://ann:pw@a.invalid/x?key=secret")
    text = (folder / "file.part.json").read_text()
    assert "secret" not in text
    assert "pw" not in text
    assert json.loads(text).keys() == {"url", "validator", "length", "query"}
    if os.name != "nt":
        assert stat.S_IMODE((folder / "file.part.json").stat().st_mode) == 0o600


def test_a_draft_is_found_by_its_target_and_url(folder: Path):
    left()
    assert Target("file", "http://a.invalid/other").find() is None
    assert Target("other", URL).find() is None
    assert Target("file", URL, resume=False).find() is None
    target = Target("file", URL)
    assert target.find() == Part(3, '"v1"', 10, None)
    assert target.draft == str((folder / "file.part").resolve())


def test_a_draft_is_found_under_the_name_that_the_server_chose(folder: Path):
    target = Target("", URL)
    target.begin("chosen.bin", '"v1"', 10)
    target.write(0, [b"abc"])
    target.leave(keep=True)
    found = Target("", URL)
    assert found.find() == Part(3, '"v1"', 10, None)
    assert found.path.name == "chosen.bin"


@posix
def test_a_link_under_the_name_that_the_server_chose_is_not_followed(folder: Path):
    (folder / "outside").mkdir()
    left("outside/book.bin")
    (folder / "inside").mkdir()
    (folder / "inside/book.bin").symlink_to("../outside/book.bin")
    assert Target("inside/", URL).find() is None


def test_only_some_records_of_a_folder_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drafts, "_MAX_READ", 3)
    read: list[str] = []
    monkeypatch.setattr(drafts, "_record_of", lambda path: read.append(path))
    for number in range(9):
        (folder / f"{number}.part.json").write_text("{}")
    assert Target("", URL).find() is None
    assert len(read) == 4  # that of the name in the URL, too


def test_another_query_may_be_another_file(folder: Path):
    """Two files of one address with a different query were joined, if both were changed in the same second."""
    other = "http://a.invalid/files/book.bin?key=other"
    left()
    found = Target("file", other)
    assert found.find() is not None  # the user says that it is the same file, and the entity tag tells
    found.leave(keep=True)
    left("")
    assert Target("", other).find() is None
    dated = Target("file", URL)
    dated.begin("", "Mon, 01 Jan 2024 00:00:00 GMT", None)
    dated.write(0, [b"abc"])
    dated.leave(keep=True)
    assert Target("file", other).find() is None


def test_only_one_works_on_a_draft(folder: Path):
    """Two programs that wrote into one draft would make a file of both."""
    first, second = Target("file", URL), Target("file", URL)
    first.begin("", '"v1"', 4)
    first.write(0, [b"first"])
    assert second.find() is None
    second.begin("", '"v2"', 4)
    second.write(0, [b"second"])
    assert len(names(folder)) == 3
    second.finish()
    assert (folder / "file").read_bytes() == b"second"
    first.finish()
    assert (folder / "file").read_bytes() == b"first"
    assert names(folder) == {"file"}


def test_a_private_draft_is_not_kept(folder: Path):
    first, second = Target("file", URL), Target("file", URL, keep=False)
    second.begin("", '"v1"', 4)
    second.write(0, [b"x"])
    assert [name for name in names(folder) if name.startswith(".file.")]
    second.leave(keep=True)
    assert names(folder) == set()
    first.leave(keep=True)


@pytest.mark.parametrize("foreign", ["file.part", "file.part.json"])
def test_a_file_that_is_not_ours_is_left_alone(folder: Path, foreign: str):
    """Other programs name their drafts like this, too."""
    (folder / foreign).write_text('{"mine": 1}')
    left()
    assert (folder / foreign).read_text() == '{"mine": 1}'
    assert names(folder) == {foreign}
    target = Target("file", URL)
    assert target.find() is None
    target.begin("", '"v1"', None)
    target.finish()
    assert names(folder) == {foreign, "file"}


def test_an_empty_draft_without_a_record_is_taken_over(folder: Path):
    """So is what a process leaves that was killed between the two."""
    (folder / "file.part").write_bytes(b"")
    left()
    assert names(folder) == {"file.part", "file.part.json"}


@posix
@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo"])
def test_a_draft_that_leads_elsewhere_is_not_written_to(folder: Path, kind: str):
    """In a folder that all may write to, another user could have a file of ours overwritten."""
    left()
    (folder / "precious").write_bytes(b"precious")
    (folder / "file.part").unlink()
    if kind == "symlink":
        (folder / "file.part").symlink_to("precious")
    elif kind == "fifo":
        os.mkfifo(folder / "file.part")
    else:
        os.link(folder / "precious", folder / "file.part")
    target = Target("file", URL)
    assert target.find() is None
    target.begin("", '"v1"', None)
    target.write(0, [b"new"])
    target.finish()
    assert (folder / "precious").read_bytes() == b"precious"
    assert (folder / "file").read_bytes() == b"new"


@posix
def test_what_others_own_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch):
    left()
    monkeypatch.setattr(drafts.os, "geteuid", lambda: 12345)
    assert Target("file", URL).find() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"url": 1},
        {"validator": None},
        {"validator": "a\nb"},
        {"length": 2},
        {"length": -1},
        {"length": True},
        {"length": "10"},
        {"segments": []},
        {"segments": [[0, 3]], "length": 4},
        {"segments": [[0]], "length": 3},
        {"segments": [[2, 1]], "length": 3},
        {"segments": [[0, 2], [1, 3]], "length": 3},
        {"segments": [[0, 9]], "length": 3},
        {"segments": {"0": 1}, "length": 3},
        {"segments": [[0, 1]] * 99, "length": 3},
    ],
)
def test_a_record_that_makes_no_sense_is_not_used(folder: Path, changes: dict[str, Any]):
    left()
    record = json.loads((folder / "file.part.json").read_text())
    (folder / "file.part.json").write_text(json.dumps({**record, **changes}))
    assert Target("file", URL).find() is None


@pytest.mark.parametrize("text", ["", "[]", "1", '{"url": "' + "x" * 70_000 + '"}', "[" * 50_000])
def test_a_record_that_cannot_be_read_is_not_ours(folder: Path, text: str):
    (folder / "file.part.json").write_text(text)
    assert Target("file", URL).find() is None


def test_segments_are_filled_in_any_order(folder: Path):
    target = Target("file", URL)
    target.begin("", '"v1"', 8)
    segments = [[0, 4], [4, 8]]
    target.hash(["sha256"])
    target.split(segments)
    target.write(4, [b"56"], segments[1], target.epoch)
    target.write(0, [b"1234"], segments[0], target.epoch)
    target.leave(keep=True)
    found = Target("file", URL)
    assert found.find() == Part(0, '"v1"', 8, [[4, 4], [6, 8]])
    assert found.digest("sha256") == hashlib.sha256(b"123456\0\0").digest()
    found.leave(keep=False)
    assert names(folder) == set()


def test_what_is_late_is_not_written(folder: Path):
    """A thread that still had bytes of the version before wrote them into the new draft."""
    target = Target("file", URL)
    target.begin("", '"v1"', 8)
    before = target.epoch
    target.begin("", '"v2"', 8)
    target.write(0, [b"old"], None, before)
    target.write(0, [b"new"], None, target.epoch)
    assert target.finish().read_bytes() == b"new"


def test_what_is_late_does_not_touch_the_draft_of_the_next_download(folder: Path):
    """Harm: a thread that came after the end of its download moved the unfinished draft of the next to the target."""
    (folder / "file").write_bytes(b"old")
    cancelled, following = Target("file", URL), Target("file", URL)
    cancelled.begin("", '"v1"', 3)
    cancelled.write(0, [b"abc"])
    cancelled.leave(keep=True)
    following.begin("", '"v2"', 3)
    following.write(0, [b"x"])
    for late in (
        cancelled.finish,
        cancelled.find,
        lambda: cancelled.begin("", '"v1"', 3),
        lambda: cancelled.split([[0, 3]]),
    ):
        with pytest.raises(RuntimeError, match="has ended"):
            late()
    cancelled.write(0, [b"abc"])
    assert (folder / "file").read_bytes() == b"old"
    assert (folder / "file.part").read_bytes() == b"x"
    assert following.finish().read_bytes() == b"x"
    assert names(folder) == {"file"}


def test_who_writes_closes_what_was_left_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A descriptor that is closed while another thread writes may be another file by then."""
    target = Target("file", URL)
    target.begin("", '"v1"', 8)
    writing, go_on = threading.Event(), threading.Event()
    write = os.write

    def slow(file: int, piece: Any) -> int:
        writing.set()
        assert go_on.wait(5)
        return write(file, piece)

    monkeypatch.setattr(drafts.os, "write", slow)
    thread = threading.Thread(target=target.write, args=(0, [b"abc"], None, target.epoch))
    thread.start()
    assert writing.wait(5)
    target.leave(keep=True)  # does not wait
    go_on.set()
    thread.join()
    assert Target("file", URL).find() == Part(3, '"v1"', 8, None)
    target.write(3, [b"d"], None, target.epoch)  # nothing


def test_a_full_disk_keeps_what_was_written(folder: Path, monkeypatch: pytest.MonkeyPatch):
    server = Ranged(bytes(100_000))
    write, room = os.write, 5500

    def limited(file: int, piece: Any) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(file, piece[:room])
        room -= done
        return done

    with httpx.Client(transport=httpx.MockTransport(server)) as client:
        with monkeypatch.context() as patched:
            patched.setattr(drafts.os, "write", limited)
            with pytest.raises(OSError, match="No space"):
                client.download(URL, "file")
        assert (folder / "file.part").stat().st_size == 5500
        assert client.download(URL, "file").read_bytes() == server.content
    assert server.ranges == [None, "bytes=5500-"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_device_is_written_to(folder: Path):
    server = Ranged(bytes(100_000))
    with httpx.Client(transport=httpx.MockTransport(server)) as client:
        with pytest.raises(OSError, match="space"):
            client.download(URL, "/dev/full")
        digest = "sha256:" + hashlib.sha256(server.content).hexdigest()
        assert client.download(URL, "/dev/null", digest=digest) == Path("/dev/null")
    assert not os.path.isfile("/dev/null")


@posix
def test_permissions_are_those_of_the_file_that_is_replaced(folder: Path):
    (folder / "file").write_bytes(b"old")
    (folder / "file").chmod(0o640)
    mask = os.umask(0o022)
    try:
        target = Target("file", URL)
        target.begin("", None, None)
        assert stat.S_IMODE((folder / "file.part").stat().st_mode) & 0o027 == 0
        assert stat.S_IMODE(target.finish().stat().st_mode) == 0o640
        target = Target("new", URL)
        target.begin("", None, None)
        assert stat.S_IMODE(target.finish().stat().st_mode) == 0o644
    finally:
        os.umask(mask)


@posix
def test_a_link_stays_a_link(folder: Path):
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real/file")
    left("link")
    assert names(folder / "real") == {"file.part", "file.part.json"}
    target = Target("link", URL)
    target.begin("", None, None)
    assert target.finish() == (folder / "real/file").resolve()
    assert (folder / "link").is_symlink()


def test_a_file_that_came_meanwhile_is_not_replaced_by_the_choice_of_a_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    for has_links in (True, False):
        if not has_links:
            monkeypatch.setattr(drafts.os, "link", lambda *args: (_ for _ in ()).throw(OSError(errno.EPERM, "no")))
        target = Target("", URL)
        target.begin("a.bin", None, None)
        taken = target.path
        taken.write_bytes(b"theirs")
        target.finish()
        assert taken.read_bytes() == b"theirs"
        assert target.path != taken


def test_another_name_from_the_server_leaves_no_draft(folder: Path):
    left("")
    target = Target("", URL)
    assert target.find() is not None
    target.begin("renamed.bin", '"v2"', None)
    target.finish()
    assert names(folder) == {"renamed.bin"}


def test_a_long_name_has_room_for_its_draft(folder: Path):
    name = "x" * 250
    target = Target(name, URL)
    target.begin("", '"v1"', None)
    target.finish()
    assert names(folder) == {name}


def test_a_file_system_without_locks_is_used_without(folder: Path, monkeypatch: pytest.MonkeyPatch):
    fcntl = pytest.importorskip("fcntl")

    def none(*args: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    left()
    assert names(folder) == {"file.part", "file.part.json"}


def test_a_draft_that_another_process_takes_first_is_its(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drafts, "lock", lambda file: False)
    target = Target("file", URL)
    target.begin("", '"v1"', None)
    target.write(0, [b"abc"])
    assert target.finish().read_bytes() == b"abc"


@posix
def test_a_draft_that_another_one_takes_and_finishes_is_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Of two downloads of one name at the same time, the second emptied the file that the first had completed."""
    lock, others = drafts.lock, []

    def lock_too_late(file: int) -> bool:
        if not others:
            others.append(Target("", URL))
            others[0].begin("book.bin", None, 4)  # it takes the draft that was made and not locked
            others[0].write(0, [b"done"])
            others[0].finish()
        return lock(file)

    monkeypatch.setattr(drafts, "lock", lock_too_late)
    target = Target("", URL)
    target.begin("book.bin", None, 5)
    target.write(0, [b"later"])
    assert target.finish() == (folder / "book-1.bin").resolve()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"book.bin": b"done", "book-1.bin": b"later"}


def test_a_download_whose_record_another_one_removes_can_be_continued(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """One that ends moves its draft, then removes its record: it was that of the next one of this name."""
    replace, others = os.replace, []

    def replace_and_begin(old: str, new: str) -> None:
        replace(old, new)
        if not others and old.endswith(".part"):
            others.append(Target("file", URL))
            others[0].begin("book.bin", '"v2"', 10)
            others[0].write(0, [b"abc"])

    target = Target("file", URL)
    target.begin("book.bin", '"v1"', 4)
    target.write(0, [b"done"])
    monkeypatch.setattr(os, "replace", replace_and_begin)
    assert target.finish().read_bytes() == b"done"
    others[0].leave(keep=True)
    assert names(folder) == {"file", "file.part", "file.part.json"}
    assert Target("file", URL).find() == Part(3, '"v2"', 10, None)


def test_a_draft_that_comes_between_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Target, "_take", lambda *args, **how: False)
    (folder / "file.part").write_bytes(b"theirs")
    target = Target("file", URL)
    target.begin("", '"v1"', None)
    target.finish()
    assert (folder / "file.part").read_bytes() == b"theirs"


def test_a_folder_that_is_not_there_is_an_error(folder: Path):
    with httpx.Client(transport=httpx.MockTransport(Ranged(b"x"))) as client:
        with pytest.raises(OSError, match="absent"):
            client.download(URL, "absent/")
        with pytest.raises(OSError, match="absent"):
            client.download(URL, "absent/file")


def test_a_record_that_cannot_be_replaced_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*args: Any) -> None:
        raise PermissionError("no")

    target = Target("file", URL)
    with monkeypatch.context() as patched:
        patched.setattr(drafts.os, "replace", refused)
        with pytest.raises(PermissionError):
            target.begin("", '"v1"', None)
    target.leave(keep=True)
    assert names(folder) == set()


# Real processes and sockets.

CHILD = """
import sys, httpx

def sync():
    httpx.Client(timeout=20).download(sys.argv[1], "file", parts=int(sys.argv[2]))

async def main():
    async with httpx.AsyncClient(timeout=20) as client:
        await client.download(sys.argv[1], "file", parts=int(sys.argv[2]))

if sys.argv[3] == "sync":
    sync()
elif sys.argv[3] == "asyncio":
    import asyncio
    asyncio.run(main())
else:
    import trio
    trio.run(main)
"""


@pytest.mark.parametrize("interrupted", ["_write_record", "ftruncate"])
def test_a_draft_that_was_to_be_split_is_never_taken_for_a_complete_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str
):
    """Harm: a process that was killed in between left a draft of full length, and the next run made a file of zeros."""
    target = Target("file", URL)
    target.begin("book.bin", '"v1"', 10)
    target.write(0, [b"abc"])

    def kill(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Target if interrupted == "_write_record" else os, interrupted, kill)
        with pytest.raises(KeyboardInterrupt):
            target.split([[3, 5], [5, 10]])
    os.close(target._file)
    found = Target("file", URL).find()
    assert found is None or (found.segments is None and found.size == 3)


@posix
@pytest.mark.parametrize(
    ("engine", "name", "parts"),
    [
        *[("sync", name, 1) for name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")],
        *[(engine, name, 2) for engine in ("sync", "asyncio", "trio") for name in ("SIGKILL", "SIGINT")],
        ("asyncio", "SIGKILL", 1),
        ("trio", "SIGKILL", 1),
    ],
)
def test_a_process_that_is_ended_leaves_what_it_has(folder: Path, engine: str, name: str, parts: int):
    if engine == "trio":
        pytest.importorskip("trio")
    server = Ranged(os.urandom((8 << 20) * parts + 100_000))
    server.piece = 100_000
    (folder / "file").write_bytes(b"old")
    environment = {**os.environ, "PYTHONPATH": str(Path(httpx.__file__).parent.parent)}
    with RangedServer(server) as served:
        served.stall = 5_000_000
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, served.url, str(parts), engine],
            env=environment,
            stderr=subprocess.DEVNULL,
            # Below `nohup` it would be ignored.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        try:
            assert served.stalled.wait(20)
            for _ in range(2000):
                if sum(sizes_of_parts(folder)) >= 4_000_000:
                    break
                threading.Event().wait(0.005)
            child.send_signal(getattr(signal, name))
            assert child.wait(20) != 0
        finally:
            child.kill()
            child.wait()
        assert (folder / "file").read_bytes() == b"old"
        # The third one, if it was killed while it wrote the record anew: the next run does that again.
        assert names(folder) - {"file.part.json.new"} == {"file", "file.part", "file.part.json"}
        served.stall = None
        served.go_on.set()
        before = len(server.asked)
        with httpx.Client() as client:
            content = client.download(served.url, "file").read_bytes()
        assert first_difference(content, server.content) is None
        assert None not in server.ranges[before:]
    assert names(folder) == {"file"}


def first_difference(content: bytes, expected: bytes) -> tuple[int, int] | None:
    """Return where two contents differ, and the length of the first, or None: pytest's own diff takes hours."""
    if content == expected:
        return None
    return next((at for at, (a, b) in enumerate(zip(content, expected)) if a != b), -1), len(content)


def sizes_of_parts(folder: Path) -> list[int]:
    """Return the bytes that are in a draft, as its size or record say."""
    try:
        record = json.loads((folder / "file.part.json").read_text())
        if "segments" in record:
            bounds = [record["length"] * n // len(record["segments"]) for n in range(len(record["segments"]))]
            return [at - start for (at, _), start in zip(record["segments"], bounds)]
        return [(folder / "file.part").stat().st_size]
    except (OSError, ValueError):
        return [0]
