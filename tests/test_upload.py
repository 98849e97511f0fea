"""Uploads: what arrives is the file, in whatever parts and after whatever trouble, or there is an error."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import pytest

import httpx
import httpx.testing
from support.depth import QUICK
from support.drivers import Driver
from support.resumable import Trouble, Uploads

CONTENT = bytes(range(256)) * 800  # 200 KiB
URL = "http://up.invalid/files"


@pytest.fixture(params=["tus", "ietf"])
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def sync() -> Driver:
    return Driver("sync")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "naïve.bin"
    path.write_bytes(CONTENT)
    return path


def send(driver: Driver, server: Any, source: Any, url: str = URL, **how: Any) -> httpx.Response:
    async def scenario(client: Any) -> httpx.Response:
        if driver.is_async:
            return await client.upload(url, source, **how)  # type: ignore[no-any-return]
        return client.inner.upload(url, source, **how)  # type: ignore[no-any-return]

    transport = server.transport(driver.is_async) if isinstance(server, Uploads) else server
    with httpx.testing.virtual_time():
        return driver.run(scenario, transport=transport)


# In one request.


def echo(driver: Driver) -> Any:
    async def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=await request.aread(), headers={"X-Sent": request.headers["content-length"]})

    if driver.is_async:
        return httpx.MockTransport(respond)
    return httpx.MockTransport(
        lambda request: httpx.Response(
            200, content=request.read(), headers={"X-Sent": request.headers["content-length"]}
        )
    )


def test_a_file_is_sent_in_one_request(driver: Driver, path: Path):
    seen: list[tuple[int, int | None]] = []
    response = send(driver, echo(driver), path, progress=lambda *told: seen.append(told))
    assert response.content == CONTENT
    assert response.headers["x-sent"] == str(len(CONTENT))
    assert "transfer-encoding" not in response.request.headers
    assert seen[0] == (65536, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize(("start", "end"), [(0, 10), (5, None), (100, 100), (None, 7)])
def test_a_slice_of_a_file_is_sent(driver: Driver, path: Path, start: int | None, end: int | None):
    expected = CONTENT[start or 0 : end]
    assert send(driver, echo(driver), str(path), start=start, end=end).content == expected
    with open(path, "rb") as file:
        file.seek(3)
        expected = CONTENT[3 if start is None else start : end]
        assert send(driver, echo(driver), file, start=start, end=end).content == expected
        assert not file.closed


def test_a_status_from_400_is_an_error(driver: Driver, path: Path):
    with pytest.raises(httpx.HTTPStatusError):
        send(driver, httpx.MockTransport(lambda request: httpx.Response(413)), path)


def test_a_body_is_sent_again_after_a_redirect(sync: Driver, path: Path):
    def server(request: httpx.Request) -> httpx.Response:
        content = request.read()
        if request.url.path == "/files":
            return httpx.Response(307, headers={"Location": "/there"})
        return httpx.Response(200, content=content)

    assert send(sync, httpx.MockTransport(server), path, follow_redirects=True).content == CONTENT


def test_a_large_file_is_sent_over_a_socket_in_little_memory(driver: Driver, echo_server: Any, tmp_path: Path):
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(3_000_000)

    async def scenario(client: Any) -> Any:
        client = client if driver.is_async else client.inner
        sent = client.upload("/upload", path, method="POST")
        return (await sent if driver.is_async else sent).json()["size"]

    assert driver.run(scenario, base_url=echo_server.url) == 3_000_000


# Resumable.


def test_an_upload_is_created_and_filled(driver: Driver, protocol: str, path: Path):
    server = Uploads(protocol)
    response = send(driver, server, path, resumable=protocol, headers={"Authorization": "Bearer x"})
    assert response.is_success
    assert (server.taken, server.done, server.methods) == (CONTENT, True, ["POST", "PATCH"])
    assert all(fields["authorization"] == "Bearer x" for _, fields in server.asked)
    if protocol == "tus":
        assert server.asked[0][1]["upload-metadata"] == "filename bmHDr3ZlLmJpbg=="


def test_chunks_are_requests_of_their_own(driver: Driver, protocol: str, path: Path):
    server = Uploads(protocol)
    seen: list[int] = []
    send(driver, server, path, resumable=protocol, chunk=50_000, progress=lambda done, total: seen.append(done))
    assert server.methods == ["POST"] + ["PATCH"] * 5
    assert server.taken == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)


@pytest.mark.parametrize("kind", ["lost", "late"])
def test_an_upload_goes_on_from_where_the_server_says(driver: Driver, protocol: str, path: Path, kind: str):
    server = Uploads(protocol)
    server.plan = [Trouble("fine"), Trouble(kind, 70_000), Trouble("fine"), Trouble(kind, 70_000)]
    send(driver, server, path, resumable=protocol)
    assert (server.taken, server.done) == (CONTENT, True)
    assert server.methods[:3] == ["POST", "PATCH", "HEAD"]


def test_an_empty_file_is_an_upload_too(driver: Driver, protocol: str, tmp_path: Path):
    (tmp_path / "empty").write_bytes(b"")
    server = Uploads(protocol)
    send(driver, server, tmp_path / "empty", resumable=protocol)
    assert server.done
    assert server.methods == (["POST"] if protocol == "tus" else ["POST", "PATCH"])


@pytest.mark.parametrize("status", [409, 423, 503])
def test_a_passing_status_is_asked_about(driver: Driver, protocol: str, path: Path, status: int):
    server = Uploads(protocol)
    server.plan = [Trouble("fine"), Trouble("status", status), Trouble("fine"), Trouble("fine")]
    send(driver, server, path, resumable=protocol)
    assert server.methods == ["POST", "PATCH", "HEAD", "PATCH"]
    assert server.taken == CONTENT


def test_attempts_end(driver: Driver, protocol: str, path: Path):
    server = Uploads(protocol)
    server.plan = [Trouble("fine"), Trouble("lost", 100), Trouble("late"), Trouble("status", 503)]
    with pytest.raises(httpx.RemoteProtocolError, match="no more of the upload in 3 attempts, last status 503"):
        send(driver, server, path, resumable=protocol)
    server.plan = [Trouble("fine"), *[Trouble("lost", 0), Trouble("fine")] * 3]
    server.taken = b""
    with pytest.raises(httpx.WriteError):
        send(driver, server, path, resumable=protocol)


def test_a_server_that_takes_a_byte_each_time_is_given_up(sync: Driver, protocol: str, path: Path):
    server = Uploads(protocol)
    server.plan = [Trouble("fine"), *[Trouble("some", 1)] * 1000]
    with pytest.raises(httpx.HTTPError):
        send(sync, server, path, resumable=protocol)
    assert len(server.asked) < 10


def test_a_server_that_forgets_is_given_up(sync: Driver, path: Path):
    """One that took everything again and again had the client send for ever."""
    server = Uploads("tus")
    server.plan = [Trouble("fine"), *[Trouble("fine"), Trouble("forgets"), Trouble("fine")] * 1000]
    with pytest.raises(httpx.HTTPError):
        send(sync, server, path, resumable="tus", chunk=100_000)
    assert len(server.asked) < 20


def test_an_answer_without_an_offset_is_asked_about(sync: Driver, protocol: str, path: Path):
    server = Uploads(protocol)
    server.plan = [Trouble("fine"), Trouble("silent")]
    send(sync, server, path, resumable=protocol, chunk=150_000)
    assert server.methods[:3] == ["POST", "PATCH", "HEAD"]
    assert server.taken == CONTENT


@pytest.mark.parametrize("status", [403, 404, 410])
def test_another_status_is_an_error(driver: Driver, protocol: str, path: Path, status: int):
    for before in range(2):
        server = Uploads(protocol)
        server.plan = [*[Trouble("fine")] * before, Trouble("status", status)]
        with pytest.raises(httpx.HTTPStatusError):
            send(driver, server, path, resumable=protocol)
        assert len(server.asked) == before + 1


def test_an_invalid_offset_is_an_error(sync: Driver, protocol: str, path: Path):
    server = Uploads(protocol)
    server.plan = [Trouble("fine"), *[Trouble("number")] * 9]
    with pytest.raises(httpx.RemoteProtocolError, match="Upload-Offset '-1'"):
        send(sync, server, path, resumable=protocol, chunk=1000)


@pytest.mark.parametrize(
    "location", ["http://evil.invalid/uploads/1", "https://up.invalid/uploads/1", "//up.invalid:81/uploads/1", ""]
)
def test_an_upload_elsewhere_gets_nothing(driver: Driver, protocol: str, path: Path, location: str):
    """It would have got the Authorization that is meant for the target."""
    server = Uploads(protocol)
    server.location = location
    with pytest.raises(httpx.RemoteProtocolError):
        send(driver, server, path, resumable=protocol)
    assert len(server.asked) == 1


def test_limits_are_heeded(driver: Driver, path: Path):
    server = Uploads("ietf", **{"Upload-Limit": "max-size=1000000, max-append-size=100000;x=1, min-size=5"})
    send(driver, server, path, resumable="ietf")
    assert server.methods == ["POST", "PATCH", "PATCH", "PATCH"]
    assert server.taken == CONTENT
    server = Uploads("ietf", **{"Upload-Limit": "max-size=1000"})
    with pytest.raises(httpx.RemoteProtocolError, match="at most 1000 bytes"):
        send(driver, server, path, resumable="ietf")


def test_params_are_those_of_the_creation(sync: Driver, path: Path):
    seen: list[str] = []
    server = Uploads("tus")

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.query.decode())
        return server.respond(request, request.read())

    send(sync, httpx.MockTransport(respond), path, resumable="tus", params={"a": "1"})
    assert seen == ["a=1", ""]


def test_a_total_timeout_is_for_all_of_it(path: Path):
    server, seconds = Uploads("tus"), []
    with httpx.testing.virtual_time() as time:

        def slow(request: httpx.Request) -> httpx.Response:
            seconds.append(request.extensions["timeout"]["total"])
            time.advance(3)
            return server.respond(request, request.read())

        over = pytest.raises(httpx.ReadTimeout, match="total timeout of 7 s")
        with httpx.Client(transport=httpx.MockTransport(slow)) as client, over:
            client.upload(URL, path, resumable="tus", chunk=50_000, timeout=httpx.Timeout(5, total=7))
    assert len(server.asked) == 3
    assert seconds == pytest.approx([7, 4, 1])


# Arguments.


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"source": b"bytes"}, TypeError),
        ({"source": io.StringIO("text")}, TypeError),
        ({"source": "absent"}, OSError),
        ({"start": -1}, ValueError),
        ({"start": 5, "end": 4}, ValueError),
        ({"end": 10**9}, ValueError),
        ({"chunk": 5}, ValueError),
        ({"chunk": 0, "resumable": "tus"}, ValueError),
        ({"resumable": "s3"}, ValueError),
        ({"progress": 1}, TypeError),
    ],
)
def test_arguments_are_checked(driver: Driver, path: Path, how: dict[str, Any], error: type[Exception]):
    arguments = {"source": path, **how}
    with pytest.raises(error):
        send(driver, echo(driver), **arguments)


def test_a_pipe_is_not_a_file_that_can_be_sent_again(sync: Driver):
    ours, theirs = os.pipe()
    os.close(theirs)
    with open(ours, "rb") as file, pytest.raises(TypeError, match="seek"):
        send(sync, echo(sync), file)


# Hundreds of servers.


@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
def test_whatever_happens_the_upload_is_the_file_or_there_is_an_error(protocol: str, path: Path, name: str):
    driver = Driver(name)
    chance = random.Random(int(os.environ.get("HTTPX_SEED", 1)))
    content = CONTENT[:5000]
    path.write_bytes(content)
    kinds = ("fine", "fine", "lost", "lost", "late", "status", "some", "forgets", "number", "silent")
    for number in range((400 if name == "sync" else 60) // (5 if QUICK else 1)):
        server = Uploads(protocol)
        for _ in range(chance.randrange(8)):
            kind = chance.choice(kinds)
            size = chance.choice((404, 409, 423, 503)) if kind == "status" else chance.randrange(6000)
            server.plan.append(Trouble(kind, size))
        chunk = chance.choice((None, None, 1000, 4999))
        try:
            send(driver, server, path, resumable=protocol, chunk=chunk)
        except httpx.HTTPError:
            assert content.startswith(server.taken), number
        else:
            assert server.taken == content, (number, server.methods)
            assert server.done, number
