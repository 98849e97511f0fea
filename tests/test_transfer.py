"""Downloads: whatever a server does, the file is right or there is an error, and what is left can be continued."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

import httpx
import httpx.testing
from httpx import _clock, _transfer
from httpx._transfer import parse_digest
from support.depth import QUICK
from support.drivers import Driver
from support.ranged import Body, Event, Ranged, transport

CONTENT = bytes(range(256)) * 40
URL = "http://a.invalid/files/book.bin"
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def fetch(driver: Driver, server: Any, path: Any = "file", url: str = URL, client: Any = None, **how: Any) -> Path:
    """Download with a client of the driver, in virtual time."""

    async def scenario(given: Any) -> Path:
        if driver.is_async:
            return await given.download(url, path, **how)  # type: ignore[no-any-return]
        return given.inner.download(url, path, **how)  # type: ignore[no-any-return]

    with httpx.testing.virtual_time():
        return driver.run(scenario, transport=transport(server), **(client or {}))


@pytest.fixture
def sync() -> Driver:
    return Driver("sync")


def test_a_file_is_downloaded_under_the_name_of_the_server(driver: Driver, folder: Path):
    server = Ranged(CONTENT, {"Content-Disposition": 'attachment; filename="../-a b.bin"'})
    path = fetch(driver, server, "")
    assert path == folder.resolve() / "a b.bin"
    assert path.read_bytes() == CONTENT
    assert files(folder) == {"a b.bin"}
    assert server.asked[0].headers["accept-encoding"] == "identity"
    assert server.asked[0].headers["want-repr-digest"] == "sha-256=10"


@pytest.mark.parametrize("ending", ["", ".PART"])
def test_a_server_cannot_choose_the_name_of_a_draft(driver: Driver, folder: Path, ending: str):
    """
    A server could leave a draft and its record for the URL of another one, by their names.

    The next download from there went on where the foreign bytes ended, and gave a file that was a mixture.
    """
    record = {"url": URL, "validator": '"v1"', "length": len(CONTENT)}
    forged = {"book.bin.part.json": json.dumps(record).encode(), "book.bin.part": b"EVIL" * 100}
    for name, content in forged.items():
        given = name.replace(".part", ending or ".part")
        server = Ranged(content, {"Content-Disposition": f'attachment; filename="{given}"'})
        assert fetch(driver, server, "", url="https://evil.invalid/x").name == f"{given}_"
    server = Ranged(CONTENT)
    path = fetch(driver, server, "")
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_body_that_breaks_is_resumed_inside_the_call(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000), Event("cut", 2000)]
    assert fetch(driver, server, digest=SHA).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=3000-"]
    assert {request.headers.get("if-range") for request in server.asked[1:]} == {'"v1"'}
    assert files(folder) == {"file"}


def test_attempts_end_and_what_came_is_kept_for_the_next_call(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000)] * 3
    with pytest.raises(httpx.ReadError):
        fetch(driver, server)
    assert files(folder) == {"file.part", "file.part.json"}
    assert (folder / "file.part").read_bytes() == CONTENT[:3000]
    fetch(driver, server)
    assert server.ranges[-1] == "bytes=3000-"
    assert (folder / "file").read_bytes() == CONTENT
    assert files(folder) == {"file"}


def test_an_attempt_that_brought_much_does_not_count(sync: Driver, folder: Path):
    server = Ranged(os.urandom(700_000))
    server.piece = 65_536
    server.plan = [Event("cut", 70_000)] * 9
    assert fetch(sync, server).read_bytes() == server.content


def test_a_server_that_sends_a_byte_each_time_is_given_up(sync: Driver, folder: Path):
    """A hundred thousand requests for a hundred kilobytes would be work without bounds."""
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1)] * 100
    with pytest.raises(httpx.ReadError):
        fetch(sync, server)
    assert len(server.asked) == 3


@pytest.mark.parametrize("validator", [{}, {"ETag": 'W/"weak"'}, {"ETag": '"a"', "Accept-Ranges": "none"}])
def test_without_a_strong_validator_it_begins_anew(driver: Driver, folder: Path, validator: dict[str, str]):
    server = Ranged(CONTENT, validator)
    server.plan = [Event("cut", 1000)] * 2
    assert fetch(driver, server).read_bytes() == CONTENT
    assert server.ranges == [None] * 3
    server.plan = [Event("cut", 1000)] * 3
    (folder / "file").write_bytes(b"old")
    with pytest.raises(httpx.ReadError):
        fetch(driver, server)
    assert files(folder) == {"file"}
    assert (folder / "file").read_bytes() == b"old"


def test_a_file_that_changed_meanwhile_begins_anew(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000), Event("changed")]
    assert fetch(driver, server).read_bytes() == CONTENT[::-1] + b"!"


@pytest.mark.parametrize("lie", ["start", "end", "total", "tag", "short", "long"])
def test_what_does_not_fit_to_the_draft_begins_anew(driver: Driver, folder: Path, lie: str):
    """Bytes of another version, or of another place, would make a file that never existed."""
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000), Event(lie)]
    assert fetch(driver, server).read_bytes() == CONTENT


def test_a_body_of_another_length_is_not_the_file(sync: Driver, folder: Path):
    for lie in ("short", "long"):
        server = Ranged(CONTENT, {})
        server.plan = [Event(lie)] * 3
        with pytest.raises(httpx.RemoteProtocolError):
            fetch(sync, server)
        assert files(folder) == set()


def test_a_draft_that_is_the_whole_file_needs_no_more(driver: Driver, folder: Path):
    server = Ranged(CONTENT, has_length=False)
    server.plan = [Event("cut", len(CONTENT))]
    assert fetch(driver, server).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT)}-"]


def test_a_416_of_another_length_begins_anew(sync: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000), Event("whole")]
    assert fetch(sync, server).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", None]


def test_statuses_are_errors_and_a_passing_one_is_repeated_after_a_break(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("status", 404)]
    with pytest.raises(httpx.HTTPStatusError) as caught:
        fetch(driver, server)
    assert caught.value.response.text == "an error page"
    server.plan = [Event("status", 503)]
    with pytest.raises(httpx.HTTPStatusError):  # which is the business of `Retry`
        fetch(driver, server)
    assert len(server.asked) == 2
    server.plan = [Event("cut", 1000), Event("status", 503)]
    assert fetch(driver, server).read_bytes() == CONTENT
    server.plan = [Event("cut", 1000), Event("status", 403)]
    with pytest.raises(httpx.HTTPStatusError):
        fetch(driver, server, "other")
    assert files(folder) == {"file", "other.part", "other.part.json"}


def test_a_file_that_is_not_sent_is_not_an_empty_file(driver: Driver, folder: Path):
    (folder / "file").write_bytes(b"old")
    server = httpx.MockTransport(lambda request: httpx.Response(304))

    async def scenario(client: Any) -> None:
        how: dict[str, Any] = {"headers": {"If-None-Match": '"v1"'}}
        with pytest.raises(httpx.HTTPStatusError, match=r"a\.invalid/files/book\.bin, got status 304"):
            await client.download(URL, "file", **how) if driver.is_async else client.inner.download(URL, "file", **how)

    driver.run(scenario, transport=server)
    assert (folder / "file").read_bytes() == b"old"


def test_an_error_page_that_breaks_is_still_the_error(driver: Driver, folder: Path):
    server = httpx.MockTransport(lambda request: httpx.Response(404, stream=Body(b"x", error="the connection broke")))

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.HTTPStatusError):
            await client.download(URL) if driver.is_async else client.inner.download(URL)

    driver.run(scenario, transport=server)


def test_the_first_request_is_not_repeated(sync: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("connect")]
    with pytest.raises(httpx.ConnectError):
        fetch(sync, server)
    server.plan = [Event("cut", 500), Event("connect")]
    assert fetch(sync, server).read_bytes() == CONTENT


def test_a_part_that_was_not_requested_is_not_a_file(sync: Driver, folder: Path):
    with pytest.raises(httpx.RemoteProtocolError, match="not requested"):
        fetch(sync, lambda request: httpx.Response(206, content=b"x"))
    assert files(folder) == set()


# Digests.


def field(content: bytes, name: str = "sha-256") -> str:
    digest = hashlib.new(name.replace("-", ""), content).digest()
    return f"{name}=:{base64.b64encode(digest).decode()}:"


def test_the_digest_that_was_given_is_checked(driver: Driver, folder: Path):
    (folder / "file").write_bytes(b"old")
    wrong = "sha256:" + "0" * 64
    with pytest.raises(httpx.ContentMismatch, match=SHA):
        fetch(driver, Ranged(CONTENT), digest=wrong)
    assert files(folder) == {"file"}
    assert (folder / "file").read_bytes() == b"old"


def test_a_file_with_the_digest_is_not_requested(driver: Driver, folder: Path):
    (folder / "file").write_bytes(CONTENT)
    server = Ranged(CONTENT)
    assert fetch(driver, server, digest=SHA) == (folder / "file").resolve()
    assert server.asked == []
    (folder / "book.bin").write_bytes(CONTENT)
    assert fetch(driver, server, "", digest=SHA) == (folder / "book.bin").resolve()
    assert server.asked == []
    fetch(driver, server, digest=SHA, resume=False)
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", ["repr-digest", "content-digest"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
@pytest.mark.parametrize("trailers", [False, True])
def test_digests_of_the_server_are_checked(driver: Driver, folder: Path, name: str, algorithm: str, trailers: bool):
    def server(request: httpx.Request) -> httpx.Response:
        stream = Body(CONTENT)
        if trailers:
            return httpx.Response(200, stream=stream, extensions={"trailers": [(name.encode(), value.encode())]})
        return httpx.Response(200, headers={name: value}, stream=stream)

    value = f"md5=:AAAA:, {field(CONTENT, algorithm)}; a=1"
    assert fetch(driver, server).read_bytes() == CONTENT
    value = field(b"another", algorithm)
    with pytest.raises(httpx.ContentMismatch):
        fetch(driver, server, "other")
    assert files(folder) == {"file"}


def test_a_digest_that_cannot_be_read_is_ignored(sync: Driver, folder: Path):
    for value in ("sha-256=AAAA", "sha-256=:AAAA:", "sha-256=:" + "A" * 85 + ":", "x", "sha-256=:" + "=" * 44 + ":"):
        assert fetch(sync, Ranged(CONTENT, {"Repr-Digest": value})).read_bytes() == CONTENT


def test_the_digest_of_a_part_is_of_the_part(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000), Event("digest")]
    with pytest.raises(httpx.ContentMismatch, match="the body"):
        fetch(driver, server)
    assert files(folder) == set()

    def right(request: httpx.Request) -> httpx.Response:
        response = server(request)
        if response.status_code == 206:
            response.headers["Content-Digest"] = field(CONTENT[1000:])
            response.headers["Repr-Digest"] = field(CONTENT)
        return response

    server.plan = [Event("cut", 1000)]
    assert fetch(driver, right).read_bytes() == CONTENT


def test_another_digest_of_the_whole_file_is_another_version(sync: Driver, folder: Path):
    server = Ranged(CONTENT)
    digests = [field(CONTENT), field(b"x"), field(CONTENT)]

    def changing(request: httpx.Request) -> httpx.Response:
        response = server(request)
        response.headers["Repr-Digest"] = digests.pop(0)
        return response

    server.plan = [Event("cut", 1000)]
    assert fetch(sync, changing).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", None]


@pytest.mark.parametrize("digest", ["sha256", "sha256:abc", "nothing:00", "sha256:" + "g" * 64, "shake_128:00"])
def test_a_digest_of_another_form_is_refused(digest: str):
    with pytest.raises(ValueError, match="digest"):
        parse_digest(digest)


# Complete files, and their times.


DATED = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": "Mon, 01 Jan 2024 00:00:05 GMT"}


def test_a_complete_file_is_recognised_by_its_length_and_time(driver: Driver, folder: Path):
    server = Ranged(CONTENT, DATED)
    path = fetch(driver, server)
    assert path.stat().st_mtime == 1704067200
    server.plan = [Event("cut", 0)] * 3  # of whose body nothing is read
    assert fetch(driver, server) == path
    server.plan = []
    for changed in (CONTENT[:-1], CONTENT[::-1]):  # whose times are others, too
        path.write_bytes(changed)
        assert fetch(driver, server).read_bytes() == CONTENT
    path.write_bytes(b"y" * len(CONTENT))
    os.utime(path, (1704067200, 1704067200))
    assert fetch(driver, server, resume=False).read_bytes() == CONTENT
    assert path.stat().st_mtime != 1704067200


def test_a_complete_file_is_recognised_by_the_digest_of_the_server(driver: Driver, folder: Path):
    server = Ranged(CONTENT, {"Repr-Digest": field(CONTENT)})
    fetch(driver, server, "")
    server.plan = [Event("cut", 0)] * 3
    assert fetch(driver, server, "").name == "book.bin"
    assert files(folder) == {"book.bin"}


def test_a_file_is_not_replaced_by_the_choice_of_a_server(driver: Driver, folder: Path):
    assert [fetch(driver, Ranged(CONTENT), "").name for _ in range(3)] == ["book.bin", "book-1.bin", "book-2.bin"]


# Sizes.


def test_a_file_that_is_too_large_is_an_error(driver: Driver, folder: Path):
    for has_length in (True, False):
        server = Ranged(CONTENT, has_length=has_length)
        with pytest.raises(httpx.ResponseTooLarge, match="max_size, 5000 bytes"):
            fetch(driver, server, max_size=5000)
        assert len(server.asked) == 1
        assert files(folder) == set()
    assert fetch(driver, Ranged(CONTENT), max_size=len(CONTENT)).read_bytes() == CONTENT


def test_what_is_resumed_counts_for_the_size(sync: Driver, folder: Path):
    server = Ranged(CONTENT, has_length=False)
    server.plan = [Event("cut", 1000)]
    with pytest.raises(httpx.ResponseTooLarge):
        fetch(sync, server, max_size=5000)
    assert server.ranges == [None, "bytes=1000-"]
    assert files(folder) == set()


def test_a_body_that_grows_when_it_is_decoded_is_bounded(sync: Driver, folder: Path):
    bomb = Ranged(gzip.compress(bytes(10_000_000)), {"Content-Encoding": "gzip"})
    with pytest.raises(httpx.ResponseTooLarge):
        fetch(sync, bomb, max_size=100_000)
    assert files(folder) == set()


# Content-Encoding.


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.svgz"])
def test_a_coded_file_is_stored_as_its_name_says(driver: Driver, folder: Path, name: str):
    """Decoded, "a.tar.gz" was not what its checksum is of, and `tar xzf` refused it."""
    coded = gzip.compress(CONTENT)
    server = Ranged(coded, {"Content-Encoding": "gzip", "Repr-Digest": field(coded)})
    assert fetch(driver, server, "", f"http://a.invalid/{name}").read_bytes() == coded


def test_a_file_whose_name_does_not_say_so_is_decoded(driver: Driver, folder: Path):
    coded = gzip.compress(CONTENT)
    server = Ranged(coded, {"Content-Encoding": "gzip", "ETag": '"a"', "Repr-Digest": field(coded)})
    server.plan = [Event("cut", 50)]
    assert fetch(driver, server, "", digest=SHA).read_bytes() == CONTENT
    assert server.ranges == [None, None]
    double = Ranged(gzip.compress(coded), {"Content-Encoding": "gzip, gzip"})
    assert fetch(driver, double, "", "http://a.invalid/x.gz").read_bytes() == CONTENT


def test_a_response_that_was_read_already_is_saved(sync: Driver, folder: Path):
    coded = gzip.compress(CONTENT)
    headers = {"Content-Encoding": "gzip"}
    path = fetch(sync, lambda request: httpx.Response(200, headers=headers, content=coded), "", URL + ".gz")
    assert path.read_bytes() == CONTENT


# Progress.


def test_progress_is_told_in_bytes(driver: Driver, folder: Path):
    seen: list[tuple[int, int | None]] = []
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 3000)]
    fetch(driver, server, progress=lambda done, length: seen.append((done, length)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[0] == (1000, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    seen.clear()
    fetch(driver, Ranged(CONTENT, has_length=False), "x", progress=lambda done, length: seen.append((done, length)))
    assert seen[-1] == (len(CONTENT), None)


def test_an_error_of_progress_ends_the_download(driver: Driver, folder: Path):
    def fail(done: int, length: int | None) -> None:
        if done > 2000:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch(driver, Ranged(CONTENT), progress=fail)
    assert files(folder) == {"file.part", "file.part.json"}
    assert (folder / "file.part").stat().st_size <= 3000


# Arguments.


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"parts": 0}, ValueError),
        ({"parts": 1.5}, TypeError),
        ({"max_size": -1}, ValueError),
        ({"max_size": True}, TypeError),
        ({"progress": 1}, TypeError),
        ({"headers": {"Range": "bytes=0-1"}}, ValueError),
        ({"digest": "x"}, ValueError),
        ({"path": b"file"}, TypeError),
    ],
)
def test_arguments_are_checked(driver: Driver, folder: Path, how: dict[str, Any], error: type[Exception]):
    with pytest.raises(error):
        fetch(driver, Ranged(CONTENT), **how)


def test_an_async_progress_is_refused(sync: Driver, folder: Path):
    async def tell(done: int, length: int | None) -> None: ...

    with pytest.raises(TypeError, match="async function"):
        fetch(sync, Ranged(CONTENT), progress=tell)


def test_header_fields_of_the_caller_win(sync: Driver, folder: Path):
    server = Ranged(CONTENT)
    fetch(sync, server, headers={"Accept-Encoding": "br", "X-A": "1"}, params={"q": "1"}, auth=("ann", "pw"))
    request = server.asked[0]
    assert (request.headers["accept-encoding"], request.headers["x-a"]) == ("br", "1")
    assert request.url.query == b"q=1"
    assert "authorization" in request.headers


def test_redirects_are_followed(driver: Driver, folder: Path):
    server = Ranged(CONTENT)

    def redirecting(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/files/book.bin":
            return httpx.Response(302, headers={"Location": "/elsewhere"})
        return server(request)

    server.plan = [Event("cut", 1000)]
    assert fetch(driver, redirecting).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]
    with pytest.raises(httpx.HTTPStatusError):
        fetch(driver, redirecting, follow_redirects=False)


def test_a_total_timeout_is_for_all_of_it(sync: Driver, folder: Path):
    server = Ranged(CONTENT)
    with httpx.testing.virtual_time(jitter=1) as time:
        server.plan = [Event("cut", 1000)] * 2

        def slow(request: httpx.Request) -> httpx.Response:
            time.advance(4)
            return server(request)

        with httpx.Client(transport=httpx.MockTransport(slow)) as client, pytest.raises(httpx.RequestError):
            client.download(URL, "file", timeout=httpx.Timeout(5, total=4.05))
    assert len(server.asked) == 1
    assert files(folder) == {"file.part", "file.part.json"}


def test_a_later_attempt_has_what_is_left_of_the_total_timeout(driver: Driver, folder: Path):
    """The harm: each attempt had all of the time again. 1.5 s were set, and 2.4 s taken."""
    server, seconds = Ranged(CONTENT), []
    server.plan = [Event("cut", 1000)]

    def slow(request: httpx.Request) -> httpx.Response:
        seconds.append(request.extensions["timeout"]["total"])
        _clock.virtual.advance(4)
        return server(request)

    fetch(driver, slow, timeout=httpx.Timeout(5, total=30))
    assert seconds == pytest.approx([30, 26 - 0.1])


def test_a_retry_of_the_client_says_how_often(sync: Driver, folder: Path):
    def other(request: httpx.Request) -> Any:
        return (yield request)

    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000)] * 5
    fetch(sync, server, client={"middleware": [other, httpx.Retry(6)]})
    assert len(server.asked) == 6
    server.plan = [Event("cut", 1000)] * 3
    with pytest.raises(httpx.ReadError):
        fetch(sync, server, "other", client={"middleware": [other]})


def test_a_server_that_is_busy_says_how_long_to_wait(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    waits = ["7", "61"]

    def busy(request: httpx.Request) -> httpx.Response:
        response = server(request)
        if response.status_code == 503:
            response.headers["Retry-After"] = waits.pop(0)
        return response

    async def scenario(client: Any) -> Path:
        if driver.is_async:
            return await client.download(URL, "file")  # type: ignore[no-any-return]
        return client.inner.download(URL, "file")  # type: ignore[no-any-return]

    with httpx.testing.virtual_time(jitter=0) as time:
        server.plan = [Event("cut", 1000), Event("status", 503)]
        driver.run(scenario, transport=transport(busy))
        assert time.slept == [0, 7.0]
        server.plan = [Event("cut", 1000), Event("status", 503)]
        with pytest.raises(httpx.HTTPStatusError):
            driver.run(scenario, transport=transport(busy))
        assert time.slept == [0, 7.0, 0]


# Parts.


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfer, "MIN_PART", 2000)


@pytest.mark.usefixtures("small_parts")
def test_parts_are_requested_at_once(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    seen: list[int] = []
    path = fetch(driver, server, parts=4, digest=SHA, progress=lambda done, length: seen.append(done))
    assert path.read_bytes() == CONTENT
    assert set(server.ranges) == {None, "bytes=2560-5119", "bytes=5120-7679", "bytes=7680-10239"}
    assert files(folder) == {"file"}
    assert max(seen) <= len(CONTENT)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("headers", [{"Accept-Ranges": "bytes"}, {"ETag": '"v1"'}])
def test_one_stream_is_enough_where_parts_cannot_be_requested(driver: Driver, folder: Path, headers: dict[str, str]):
    server = Ranged(CONTENT, headers)
    assert fetch(driver, server, parts=4).read_bytes() == CONTENT
    assert server.ranges == [None]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind", ["ignore", "changed", "tag", "total", "start"])
def test_parts_fall_back_to_one_stream(driver: Driver, folder: Path, kind: str):
    server = Ranged(CONTENT)
    server.plan = [Event("fine"), Event(kind)]
    assert fetch(driver, server, parts=3).read_bytes() == server.content
    assert server.ranges[-1] is None


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("events", [[Event("status", 503)], [Event("status", 429)], [Event("connect")] * 3])
def test_a_server_that_refuses_many_requests_gets_one_after_the_other(
    driver: Driver, folder: Path, events: list[Event]
):
    server = Ranged(CONTENT)
    server.plan = [Event("fine"), *events]
    assert fetch(driver, server, parts=3).read_bytes() == CONTENT
    assert server.ranges.count(None) == 1


@pytest.mark.usefixtures("small_parts")
def test_each_part_is_resumed(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000)] * 5
    assert fetch(driver, server, parts=3).read_bytes() == CONTENT


@pytest.mark.usefixtures("small_parts")
def test_a_later_call_goes_on_with_the_parts(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 1000)] * 3 + [Event("status", 404)] * 5
    with pytest.raises(httpx.HTTPStatusError):
        fetch(driver, server, parts=2)
    assert files(folder) == {"file.part", "file.part.json"}
    server.plan = []
    before = len(server.asked)
    assert fetch(driver, server).read_bytes() == CONTENT
    assert None not in server.ranges[before:]
    assert files(folder) == {"file"}


@pytest.mark.usefixtures("small_parts")
def test_a_wrong_digest_of_a_part_is_an_error(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("fine"), Event("digest")]
    with pytest.raises(httpx.ContentMismatch):
        fetch(driver, server, parts=2)
    assert files(folder) == set()


# Thousands of servers.

_KINDS = (
    *("cut", "cut", "cut", "fine", "status", "connect", "ignore", "changed"),
    *("total", "start", "end", "tag", "short", "long", "whole", "digest"),
)


def events(chance: random.Random, has_length: bool, has_digest: bool) -> list[Event]:
    found = []
    for _ in range(chance.randrange(6)):
        kind = chance.choice((*_KINDS, "garbled", "garbled") if has_digest else _KINDS)
        if not has_length and not has_digest and kind in ("short", "long", "whole"):
            continue  # nothing tells then where the file ends
        size = chance.choice((403, 416, 429, 500, 503)) if kind == "status" else chance.randrange(len(CONTENT))
        found.append(Event(kind, size))
    return found


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
def test_whatever_happens_the_file_is_right_or_there_is_an_error(folder: Path, name: str):
    driver = Driver(name)
    errors = (httpx.RequestError, httpx.HTTPStatusError)
    chance = random.Random(int(os.environ.get("HTTPX_SEED", 1)))
    right = 0
    for number in range((700 if name == "sync" else 150) // (5 if QUICK else 1)):
        server = Ranged(CONTENT, has_length=chance.random() < 0.7)
        server.piece = chance.choice((100, 1000, 5000, 20_000))
        parts = chance.choice((1, 1, 2, 4))
        digest = chance.choice((None, None, SHA))
        target = folder / "file"
        target.write_bytes(b"old")
        for _ in range(4):
            server.plan = events(chance, server.has_length, digest is not None)
            try:
                path = fetch(driver, server, parts=parts, digest=digest)
            except errors:
                assert target.read_bytes() == b"old", number
                assert files(folder) <= {"file", "file.part", "file.part.json"}, number
            else:
                assert digest is None or path.read_bytes() == CONTENT, number
                # A version that there was: what was complete when the file changed is a file.
                assert path.read_bytes() in server.versions, (number, server.ranges)
                assert files(folder) == {"file"}, number
                right += 1
                break
        for left in folder.iterdir():
            left.unlink()
    assert right > number / 2
