"""Files: their names, that they are whole or not there, and going on with what was cut short."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._cli.download import Download, NotResumed, OtherDigest
from httpx._filenames import fit_name, server_name
from httpx._transfer import validator_of
from support.ranged import Ranged, RangedServer

CONTENT = bytes(range(256)) * 40
URL = "http://a.invalid/files/book.bin"
TAG = {"ETag": '"v1"'}


class Broken(httpx.SyncByteStream):
    """A body that ends with an error."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Any:
        yield self._content
        raise httpx.ReadError("the connection broke")


class Server:
    """
    Answers with `content`, as a server does that knows ranges.

    Attributes:
        limit: break off behind so many bytes; None for never.
        asked: the requests.
    """

    def __init__(self, content: bytes = CONTENT, headers: dict[str, str] = TAG) -> None:
        self.content = content
        self.headers = headers
        self.limit: int | None = None
        self.status: int | None = None
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        content, status, more = self.content, self.status or 200, {}
        given = request.headers.get("range")
        if given and request.headers.get("if-range") == self.headers.get("ETag") and not self.status:
            start = int(given[len("bytes=") : -1])
            if start >= len(content):
                return httpx.Response(416, headers={"Content-Range": f"bytes */{len(content)}"})
            more = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            content, status = content[start:], 206
        stream = None if self.limit is None else Broken(content[: self.limit])
        if stream is not None:
            return httpx.Response(status, headers={**self.headers, **more}, stream=stream)
        return httpx.Response(status, headers={**self.headers, **more}, content=content)


def fetch(server: Any, target: str, url: str = URL, **how: Any) -> str:
    download = Download(target, url, **how)
    with httpx.Client(transport=httpx.MockTransport(server)) as client:
        request = client.build_request("GET", url, headers=download.headers())
        return download.save(client.send(request, stream=True))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return set(os.listdir(folder))


@pytest.mark.parametrize("target", ["", ".", "sub/"])
def test_a_folder_leaves_the_name_to_the_server(folder: Path, target: str):
    (folder / "sub").mkdir()
    path = fetch(Server(headers={"Content-Disposition": 'attachment; filename="a b.bin"'}), target)
    assert path == str((folder / target / "a b.bin").resolve())
    assert Path(path).read_bytes() == CONTENT


def test_no_file_is_replaced_by_the_choice_of_a_server(folder: Path):
    for expected in ("book.bin", "book-1.bin", "book-2.bin"):
        assert os.path.basename(fetch(Server(), "")) == expected


def test_bytes_are_asked_for_uncompressed(folder: Path):
    server = Server()
    fetch(server, "x")
    assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("disposition", "url", "kind", "name"),
    [
        ("attachment; filename=plain.txt", URL, "", "plain.txt"),
        ("attachment; filename*=UTF-8''na%C3%AFve.txt; filename=x", URL, "", "naïve.txt"),
        ('inline; filename="../../etc/passwd"', URL, "", "passwd"),
        ('inline; filename="C:\\\\autoexec.bat"', URL, "", "autoexec.bat"),
        ("inline; filename=.bashrc", URL, "", "bashrc"),
        ("inline; filename=..", URL, "", "book.bin"),
        ("inline", URL, "", "book.bin"),
        ("", "http://a/x%20y.txt?z=/q", "", "x y.txt"),
        ("", "a/x.txt#y", "", "x.txt"),
        ("", "http://a/", "text/html; charset=utf-8", "index.html"),
        ("", "http://a", "application/x-nothing", "index"),
        ("", "http://a/%2e%2e%2fx", "", "x"),
        ("", "http://a/a%00b%1b%0a", "", "a_b__"),
    ],
)
def test_a_name_has_no_folder_and_nothing_hidden(disposition: str, url: str, kind: str, name: str):
    headers = {"Content-Disposition": disposition, "Content-Type": kind}
    assert server_name(httpx.Headers(headers), url) == name


@pytest.mark.parametrize(
    ("name", "fit"), [("nul", "_nul"), ("COM1.txt", "_COM1.txt"), ("a.", "a"), ("...", ""), ("a:b?", "a_b_")]
)
def test_names_that_a_system_refuses_are_changed(name: str, fit: str):
    assert fit_name(name) == fit


def test_long_names_keep_their_extension():
    assert len(fit_name("ü" * 300 + ".tar").encode()) <= 200
    assert fit_name("ü" * 300 + ".tar").endswith(".tar")
    assert len(fit_name("." * 3 + "x" + "." + "y" * 400).encode()) <= 200


def test_a_download_that_fails_leaves_nothing_where_it_cannot_go_on(folder: Path):
    (folder / "file").write_bytes(b"old")
    for headers in ({}, {"ETag": 'W/"weak"'}, {**TAG, "Accept-Ranges": "none"}):
        server = Server(headers=headers)
        server.limit = 100
        with pytest.raises(httpx.ReadError):
            fetch(server, "file")
        assert files(folder) == {"file"}
        assert (folder / "file").read_bytes() == b"old"


def test_a_download_that_fails_early_leaves_nothing(folder: Path):
    server = Server()
    server.limit = 0
    with pytest.raises(httpx.ReadError):
        fetch(server, "file")
    assert files(folder) == set()


def test_a_download_goes_on_where_it_was_cut_short(folder: Path):
    server = Server()
    server.limit = 100
    with pytest.raises(httpx.ReadError):
        fetch(server, "file")
    assert files(folder) == {"file.part", "file.part.json"}
    assert (folder / "file.part").read_bytes() == CONTENT[:100]
    with pytest.raises(httpx.ReadError):
        fetch(server, "file", resume=True)
    assert (folder / "file.part").read_bytes() == CONTENT[:200]
    server.limit = None
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert fetch(server, "file", resume=True, digest=f"sha256:{digest}") == str(folder / "file")
    assert (folder / "file").read_bytes() == CONTENT
    assert files(folder) == {"file"}
    assert [(r.headers.get("range"), r.headers.get("if-range")) for r in server.asked] == [
        (None, None),
        ("bytes=100-", '"v1"'),
        ("bytes=200-", '"v1"'),
    ]


def test_going_on_works_by_the_name_in_the_url(folder: Path):
    server = Server()
    server.limit = 100
    with pytest.raises(httpx.ReadError):
        fetch(server, "")
    server.limit = None
    fetch(server, "", resume=True)
    assert files(folder) == {"book.bin"}


def test_a_file_that_has_changed_is_loaded_anew(folder: Path):
    """Appending to the beginning of an older version would make a file that never existed."""
    server = Server()
    server.limit = 100
    with pytest.raises(httpx.ReadError):
        fetch(server, "file")
    fetch(Server(b"new", {"ETag": '"v2"'}), "file", resume=True)
    assert (folder / "file").read_bytes() == b"new"
    assert files(folder) == {"file"}


def test_a_draft_that_is_whole_needs_no_more_bytes(folder: Path):
    server = Server()
    server.limit = len(CONTENT)
    with pytest.raises(httpx.ReadError):
        fetch(server, "file")
    server.limit = None
    fetch(server, "file", resume=True)
    assert (folder / "file").read_bytes() == CONTENT
    assert files(folder) == {"file"}


def test_a_refusal_of_the_rest_keeps_the_draft(folder: Path):
    server = Server()
    server.limit = 100
    with pytest.raises(httpx.ReadError):
        fetch(server, "file")
    server.limit, server.status = None, 503
    with pytest.raises(NotResumed, match="503"):
        fetch(server, "file", resume=True)
    wrong = {"Content-Range": "bytes 5-9/10"}
    with pytest.raises(NotResumed, match="the part that is missing"):
        fetch(lambda request: httpx.Response(206, headers=wrong, content=b"x"), "file", resume=True)
    assert files(folder) == {"file.part", "file.part.json"}


def test_a_part_that_nobody_asked_for_is_no_file(folder: Path):
    with pytest.raises(NotResumed, match="not requested"):
        fetch(lambda request: httpx.Response(206, content=b"x"), "file")
    assert files(folder) == set()


@pytest.mark.parametrize("known", ["", "{}", "[]", '{"validator": "x"}'])
def test_going_on_with_what_is_not_there_starts_anew(folder: Path, known: str):
    (folder / "file.part.json").write_text(known)
    server = Server()
    fetch(server, "file", resume=True)
    assert (folder / "file").read_bytes() == CONTENT
    assert "range" not in server.asked[0].headers


def test_what_is_known_of_a_draft_has_no_password(folder: Path):
    server = Server()
    server.limit = 10
    with pytest.raises(httpx.ReadError):
        fetch(server, "file", "http://ann:secret@a.invalid/x")
    assert json.loads((folder / "file.part.json").read_text()) == {"url": "http://a.invalid/x", "validator": '"v1"'}


@pytest.mark.parametrize("name", ["sha256", "SHA-256", "md5"])
def test_the_right_digest_is_needed(folder: Path, name: str):
    right = hashlib.new(name.lower().replace("-", ""), CONTENT).hexdigest()
    fetch(Server(), "file", digest=f"{name}:{right.upper()}")
    wrong = right.replace(right[0], "0" if right[0] != "0" else "1")
    with pytest.raises(OtherDigest, match=right):
        fetch(Server(), "other", digest=f"{name}:{wrong}")
    assert files(folder) == {"file"}


@pytest.mark.parametrize("digest", ["sha256", "sha256:abc", "nothing:00", "sha256:" + "g" * 64, "shake_128:00"])
def test_a_digest_that_is_none_is_refused(digest: str):
    with pytest.raises(ValueError, match="digest"):
        Download("x", URL, digest=digest)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ETag": '"a"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, '"a"'),
        (
            {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": "Mon, 01 Jan 2024 00:00:01 GMT"},
            "Mon, 01 Jan 2024 00:00:00 GMT",
        ),
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, None),
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, None),
        ({"Last-Modified": "yesterday", "Date": "today"}, None),
        ({"ETag": '"a"', "Content-Encoding": "gzip"}, None),
        ({}, None),
    ],
)
def test_a_validator_is_strong(headers: dict[str, str], expected: str | None):
    assert validator_of(httpx.Response(200, headers=headers, stream=httpx.ByteStream(b""))) == expected


def test_an_error_has_no_validator():
    assert validator_of(httpx.Response(404, headers=TAG)) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 100-199/1000"},
        {"Content-Range": "bytes 100-999/1000", "ETag": '"v2"'},
        {"Content-Range": "bytes 100-999/1000", "Content-Encoding": "gzip"},
        {"Content-Range": "bytes */1000"},
        {"Content-Range": "bytes 100-999/1000x"},
        {},
    ],
)
def test_only_the_whole_rest_of_the_same_file_is_appended(folder: Path, headers: dict[str, str]):
    """A part of the rest, put in place of the file, would be a file that never existed."""
    server = Server()
    server.limit = 100
    with pytest.raises(httpx.ReadError):
        fetch(server, "file")
    stream = Broken(b"x" * 100)
    with pytest.raises(NotResumed, match="the part that is missing"):
        fetch(lambda request: httpx.Response(206, headers=headers, stream=stream), "file", resume=True)
    assert files(folder) == {"file.part", "file.part.json"}
    assert (folder / "file.part").read_bytes() == CONTENT[:100]


def test_the_draft_of_another_address_is_not_gone_on_with(folder: Path):
    server = Server()
    server.limit = 100
    with pytest.raises(httpx.ReadError):
        fetch(server, "file", "http://a.invalid/one?key=1")
    assert "key" not in (folder / "file.part.json").read_text()
    assert Download("file", "http://b@a.invalid/one?key=2", resume=True).headers()["Range"] == "bytes=100-"
    assert "Range" not in Download("file", "http://a.invalid/two", resume=True).headers()


@pytest.mark.skipif(os.name == "nt", reason="about signals of POSIX")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_run_that_was_killed_can_be_continued(folder: Path, name: str):
    """What it had was lost, and stayed behind in hidden files."""
    server = Ranged(os.urandom(2_000_000))
    environment = {**os.environ, "PYTHONPATH": str(Path(httpx.__file__).parent.parent)}
    with RangedServer(server) as served:
        served.stall = 1_000_000
        command = [sys.executable, "-m", "httpx", served.url, "--download", "file"]
        run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            assert served.stalled.wait(20)
            while not (folder / "file.part").exists() or (folder / "file.part").stat().st_size < 900_000:
                assert run.poll() is None
            run.send_signal(getattr(signal, name))
            assert run.wait(20) != 0
        finally:
            run.kill()
            run.wait()
        assert files(folder) == {"file.part", "file.part.json"}
        served.stall = None
        served.go_on.set()
        done = subprocess.run(
            [*command, "--continue"], env=environment, stdout=subprocess.DEVNULL, timeout=20, check=False
        )
    assert done.returncode == 0
    assert (folder / "file").read_bytes() == server.content
    assert files(folder) == {"file"}
    assert server.ranges[-1] is not None


def test_a_coded_file_is_stored_as_its_name_says(folder: Path):
    coded = gzip.compress(CONTENT)
    headers = {"Content-Encoding": "gzip"}
    fetch(Ranged(coded, headers), "", "http://a.invalid/a.tar.gz")
    fetch(Ranged(coded, headers), "", "http://a.invalid/a.html")
    assert (folder / "a.tar.gz").read_bytes() == coded
    assert (folder / "a.html").read_bytes() == CONTENT
