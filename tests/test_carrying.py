"""Transfers in threads and tasks: what fails or is cancelled ends the rest and leaves nothing, and the loop goes on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import httpx
import httpx.testing
from httpx import _transfer
from httpx._transports import carrying, drafts
from support.drivers import Driver
from support.garbage import Garbage
from support.ranged import Event, Ranged, RangedServer, transport
from support.resumable import Trouble, Uploads
from support.steps import turns

CONTENT = bytes(range(256)) * 40
URL = "http://a.invalid/files/book.bin"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfer, "MIN_PART", 2000)


def run(driver: Driver, method: str, *args: Any, client: dict[str, Any], **how: Any) -> Any:
    async def scenario(given: Any) -> Any:
        if driver.is_async:
            return await getattr(given, method)(*args, **how)
        return getattr(given.inner, method)(*args, **how)

    return driver.run(scenario, **client)


def outcome(driver: Driver, method: str, *args: Any, client: dict[str, Any], **how: Any) -> None:
    """Let something happen; its result or error does not reach the loop, which would keep it."""

    async def scenario(given: Any) -> None:
        try:
            if driver.is_async:
                await getattr(given, method)(*args, **how)
            else:
                getattr(given.inner, method)(*args, **how)
        except httpx.HTTPError:
            pass

    driver.run(scenario, **client)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def wait_until(condition: Any) -> None:
    """For threads that finish what they were at."""
    for _ in range(4000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come to that")


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_fails_ends_those_that_wait(driver: Driver, folder: Path):
    """The others waited for their servers, without a timeout for ever."""
    server = Ranged(CONTENT)
    server.plan = [Event("fine"), Event("status", 404)]
    with RangedServer(server) as served:
        served.stall = 1000
        with pytest.raises(httpx.HTTPStatusError):
            run(driver, "download", served.url, "file", parts=2, client={"timeout": None})


@pytest.mark.usefixtures("small_parts")
def test_parts_over_sockets_are_one_file(driver: Driver, folder: Path):
    server = Ranged(CONTENT)
    server.plan = [Event("cut", 100), Event("cut", 1000)]
    with RangedServer(server) as served:
        digest = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
        path = run(driver, "download", served.url, "file", parts=4, digest=digest, client={})
        assert path.read_bytes() == CONTENT


@pytest.mark.usefixtures("small_parts")
def test_without_threads_parts_follow_each_other(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(carrying.Thread, "start", refused)
    server = Ranged(CONTENT)
    assert run(Driver("sync"), "download", URL, "file", parts=4, client={"transport": transport(server)}).is_file()
    assert server.ranges == [None, "bytes=2560-5119", "bytes=5120-7679", "bytes=7680-10239"]


@pytest.mark.usefixtures("small_parts")
def test_an_interrupt_in_a_part_ends_all(folder: Path):
    """Ctrl-C reaches the main thread, in whatever part that is."""

    def interrupted(done: int, length: int | None) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    server = Ranged(CONTENT)
    with pytest.raises(KeyboardInterrupt):
        run(
            Driver("sync"),
            "download",
            URL,
            "file",
            parts=4,
            progress=interrupted,
            client={"transport": transport(server)},
        )
    assert set(os.listdir(folder)) == {"file.part", "file.part.json"}
    assert run(Driver("sync"), "download", URL, "file", client={"transport": transport(server)}).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_the_loop_goes_on_while_a_file_is_written(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    go_on = threading.Event()
    write = os.write

    def slow(file: int, piece: Any) -> int:
        assert go_on.wait(5), "the loop stood still"
        return write(file, piece)

    monkeypatch.setattr(drafts.os, "write", slow)
    driver = Driver(name)

    async def let_go() -> None:
        await turns()
        go_on.set()

    async def main() -> Any:
        async with httpx.AsyncClient(transport=transport(Ranged(CONTENT))) as client:
            if name == "asyncio":
                task = asyncio.ensure_future(let_go())
                path = await client.download(URL, "file")
                await task
                return path
            import trio

            async with trio.open_nursery() as nursery:
                nursery.start_soon(let_go)
                return await client.download(URL, "file")

    if name == "trio":
        import trio as library

        # What writes to the loop's own pipe must not wait.
        monkeypatch.setattr(
            drafts.os, "write", lambda file, piece: slow(file, piece) if len(piece) > 99 else write(file, piece)
        )
        assert library.run(main).read_bytes() == CONTENT
    else:
        assert driver.run_bare(main).read_bytes() == CONTENT


def served(pieces: Any) -> dict[str, Any]:
    """The options of a client to which a file arrives in these pieces."""

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in pieces():
                yield piece

    async def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"ETag": '"1"', "Content-Length": "10000000"}, stream=Pieces())

    return {"transport": Direct(respond)}


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_while_a_batch_is_written_two_more_arrive_and_then_the_network_waits(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    """Harm: the network waited for the disk, or a slow disk let all of the file pile up in memory."""
    arrived, waiting = [0], []
    write, batch = os.write, carrying._BATCH

    def slow(file: int, piece: Any) -> int:
        if len(piece) > 99 and not waiting:  # not the loop's own pipe
            wait_until(lambda: arrived[0] >= 3 * batch - 50_000)
            threading.Event().wait(0.02)  # in which all of the rest could arrive
            waiting.append(arrived[0])
        return write(file, piece)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 50_000
            await turns(1)
            arrived[0] += 50_000

    monkeypatch.setattr(_transfer, "_BATCH_SECONDS", 1e9)
    monkeypatch.setattr(drafts.os, "write", slow)
    assert run(Driver(name), "download", URL, "file", client=served(pieces)).stat().st_size == 10_000_000
    assert waiting[0] <= 3 * batch + 100_000


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_an_error_of_the_disk_is_told_also_when_the_network_fails_first(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    """Harm: the download went on after a hole, because nobody looked at what became of the batch before the error."""
    broken = threading.Event()
    write = os.write

    def full(file: int, piece: Any) -> int:
        if len(piece) < 100:
            return write(file, piece)
        assert broken.wait(5)
        raise OSError(28, "No space left on device")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(8):  # six are a batch
            await turns(1)
            yield b"x" * 100_000
        broken.set()
        raise httpx.ReadError("broken")

    monkeypatch.setattr(_transfer, "_BATCH_SECONDS", 1e9)
    monkeypatch.setattr(drafts.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        run(Driver(name), "download", URL, "file", client=served(pieces))
    assert not (folder / "file").exists()


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_a_download_in_batches_that_breaks_goes_on_where_it_was(folder: Path, name: str):
    content = os.urandom(2_000_000)
    server = Ranged(content)
    server.plan = [Event("cut", 700_000), Event("cut", 500_000), Event("cut", 1), Event("cut", 600_001)]
    with httpx.testing.virtual_time():
        path = run(Driver(name), "download", URL, "file", client={"transport": transport(server)})
    assert path.read_bytes() == content
    assert [asked for asked in server.ranges if asked] == [
        f"bytes={start}-" for start in (700_000, 1_200_000, 1_200_001, 1_800_002)
    ]


@pytest.mark.parametrize("method", ["download", "upload"])
@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
def test_a_transfer_takes_little_memory(folder: Path, name: str, method: str):
    """A file of 300 MB took as much memory."""
    driver = Driver(name)
    size = 30_000_000

    class Zeros(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(0, size, 100_000):
                yield bytes(100_000)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self:
                yield piece

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert sum(map(len, request.stream)) == size  # type: ignore[arg-type]
            return httpx.Response(204)
        return httpx.Response(200, stream=Zeros())

    async def arespond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert sum([len(piece) async for piece in request.stream]) == size  # type: ignore[union-attr]
            return httpx.Response(204)
        return httpx.Response(200, stream=Zeros())

    client = {"transport": Direct(arespond) if driver.is_async else SyncDirect(respond)}
    if method == "upload":
        with open("file", "wb") as file:
            file.truncate(size)
    tracemalloc.start()
    try:
        outcome(driver, method, URL, "file", client=client)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert (folder / "file").stat().st_size == size


class Direct(httpx.AsyncBaseTransport):
    """A transport that leaves the body of a request unread."""

    def __init__(self, function: Any) -> None:
        self.handle_async_request = function


class SyncDirect(httpx.BaseTransport):
    """The same."""

    def __init__(self, function: Any) -> None:
        self.handle_request = function


class Slow(httpx.AsyncByteStream):
    """A body whose pieces come in turns of the loop."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 1000):
            await turns(1)
            yield self._content[start : start + 1000]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_a_cancelled_download_leaves_the_target_and_no_descriptor(folder: Path, name: str, parts: int):
    server = Ranged(CONTENT)

    async def respond(request: httpx.Request) -> httpx.Response:
        await turns(1)
        response = server(request)
        content = b"".join(response.stream)  # type: ignore[arg-type]
        headers = dict(response.headers.items())
        return httpx.Response(response.status_code, headers=headers, stream=Slow(content))

    async def cancelled_after(client: httpx.AsyncClient, count: int) -> bool:
        """Whether it was over before."""
        if name == "trio":
            import trio

            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def cancel() -> None:
                        await turns(count)
                        scope.cancel()

                    nursery.start_soon(cancel)
                    await client.download(URL, "file", parts=parts)
                    nursery.cancel_scope.cancel()
            return not scope.cancelled_caught
        task = asyncio.ensure_future(client.download(URL, "file", parts=parts))
        await turns(count)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return False
        return True

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
            before = descriptors()
            for count in range(0, 160, 4):
                put(folder / "file", b"old")
                if not await cancelled_after(client, count):
                    assert content_of(folder / "file") in (b"old", CONTENT)  # a thread may just give it its name
                wait_until(lambda: descriptors() <= before)
                wait_until(lambda: set(os.listdir(folder)) <= {"file", "file.part", "file.part.json"})
            assert (await client.download(URL, "file")).read_bytes() == CONTENT
            wait_until(lambda: set(os.listdir(folder)) == {"file"})

    Driver(name).run_bare(main)


def outcomes() -> Iterator[tuple[str, Any]]:
    """Each with what it does to a client's method."""
    wrong = "sha256:" + "0" * 64
    yield "whole", ([], {})
    yield "resumed", ([Event("cut", 1000)], {})
    yield "broken", ([Event("cut", 1000)] * 3, {})
    yield "mismatch", ([], {"digest": wrong})
    yield "too large", ([], {"max_size": 5})
    yield "status", ([Event("status", 404)], {})
    yield "parts", ([], {"parts": 3})
    yield "broken parts", ([Event("fine"), *[Event("cut", 0)] * 20], {"parts": 3})
    yield "refused parts", ([Event("fine"), Event("status", 404)], {"parts": 3})
    yield "fallen back", ([Event("fine"), Event("ignore")], {"parts": 3})


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize(("plan", "how"), [what for _, what in outcomes()], ids=[title for title, _ in outcomes()])
def test_a_download_leaves_nothing_to_the_garbage_collector(
    folder: Path, name: str, plan: list[Event], how: dict[str, Any]
):
    driver = Driver(name)
    server = Ranged(CONTENT)
    garbage = Garbage()

    def once() -> None:
        server.plan = list(plan)
        with httpx.testing.virtual_time():
            outcome(driver, "download", URL, "file", client={"transport": transport(server)}, **how)
        server.asked.clear()

    once()
    with garbage.watched():
        once()
    assert not garbage.ours, garbage.story()


@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("trouble", [[], [Trouble("lost", 5)], [Trouble("lost", 0), Trouble("lost")] * 9])
def test_an_upload_leaves_nothing_to_the_garbage_collector(folder: Path, name: str, trouble: list[Trouble]):
    driver = Driver(name)
    (folder / "file").write_bytes(CONTENT)
    garbage = Garbage()

    def once() -> None:
        server = Uploads("tus")
        server.plan = [Trouble("fine"), *trouble]
        with httpx.testing.virtual_time():
            client = {"transport": server.transport(driver.is_async)}
            outcome(driver, "upload", URL, folder / "file", resumable="tus", client=client)
        server.asked.clear()

    once()
    with garbage.watched():
        once()
    assert not garbage.ours, garbage.story()
