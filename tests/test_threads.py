"""
Sync sources of bodies in async code: the event loop goes on while a slow one is read. And workers, which call one
function after the other in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import httpx
from httpx import _content, _files
from httpx._transports import threads
from support.drivers import Driver
from support.servers import ScriptedServer, expect_request, repeat, send

PIECE = 0.1  # seconds that a slow source takes for each of its pieces
COUNT = 5
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=["asyncio", "trio"])
def on_loop(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([repeat(expect_request(), send(RESPONSE))]) as server:
        yield server


@pytest.fixture
def sink() -> Iterator[ScriptedServer]:
    """Reads whatever it is sent, and does not respond."""
    with ScriptedServer([lambda conn: conn.read_to_end()]) as server:
        yield server


def slow() -> Iterator[bytes]:
    for _ in range(COUNT):
        time.sleep(PIECE)
        yield b"a" * 1000


class SlowFile(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(PIECE)
        return super().read(min(size or 0, 1000) if size and size > 0 else size)


class SlowStream(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        return slow()


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "a generator": lambda: {"content": slow()},
    "a file": lambda: {"content": SlowFile(b"a" * (COUNT - 1) * 1000)},
    "parts of a form": lambda: {"files": [("a", SlowFile(b"a" * 2000)), ("b", SlowFile(b"b" * 2000))]},
    "a stream of the user's": lambda: {"content": SlowStream()},
}


async def longest_stall(driver: Driver, work: Callable[[], Any]) -> float:
    """The longest time between two turns of the event loop while `work` runs."""
    longest = 0.0

    async def watch(sleep: Any) -> None:
        nonlocal longest
        before = time.perf_counter()
        while True:
            await sleep(0.001)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now

    if driver.name == "trio":
        import trio

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, trio.sleep)
            await work()
            nursery.cancel_scope.cancel()
    else:
        task = asyncio.ensure_future(watch(asyncio.sleep))
        await work()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return longest


@pytest.mark.parametrize("name", BODIES)
def test_a_slow_source_stops_the_loop_for_one_read_at_most(on_loop: Driver, server: ScriptedServer, name: str):
    """Harm: while a slow disk or a generator was read nothing else in the program went on: 855 ms for one upload."""

    async def scenario(client: Any) -> None:
        async def work() -> None:
            assert (await client.post(server.url, **BODIES[name]())).text == "ok"

        assert await longest_stall(on_loop, work) < PIECE * 2

    on_loop.run(scenario, timeout=30)


def test_a_pipe_does_not_stop_the_loop_at_all(on_loop: Driver, server: ScriptedServer):
    """What cannot seek may have nothing to read for any time, so not even the first read is in place."""

    async def scenario(client: Any) -> None:
        reading, writing = os.pipe()

        def feed() -> None:
            for _ in range(3):
                time.sleep(PIECE)
                os.write(writing, b"abc")
            os.close(writing)

        thread = threading.Thread(target=feed)
        thread.start()
        with os.fdopen(reading, "rb", buffering=0) as pipe:

            async def work() -> None:
                await client.post(server.url, content=pipe)

            assert await longest_stall(on_loop, work) < PIECE * 0.9
        thread.join()

    on_loop.run(scenario, timeout=30)
    assert b"abc" in b"".join(server.received)


@pytest.mark.parametrize("name", ["bytes", "a list", "a file", "a quick generator"])
def test_quick_sources_need_no_thread(
    on_loop: Driver, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, name: str
):
    def refuse(**options: Any) -> threading.Thread:
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threads, "Thread", refuse)
    monkeypatch.setattr(_files, "SLOW_READ", 5.0)  # for a busy machine

    async def scenario(client: Any) -> None:
        bodies: dict[str, Any] = {
            "bytes": b"abc",
            "a list": [b"abc", b"def"],
            "a file": io.BytesIO(b"abc"),
            "a quick generator": (b"abc" for _ in range(3)),
        }
        await client.post(server.url, content=bodies[name])
        await client.post(server.url, files={"a": io.BytesIO(b"abc")})

    on_loop.run(scenario)


def test_where_no_thread_can_be_started_the_source_is_read_in_place(
    on_loop: Driver, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "Thread", Refused)
    monkeypatch.setattr(_files, "SLOW_READ", 0.0)

    async def scenario(client: Any) -> None:
        await client.post(server.url, content=(b"abc" for _ in range(3)))

    on_loop.run(scenario)
    assert b"".join(server.received).count(b"abc") == 3


def test_what_a_source_raises_in_a_thread_is_raised_to_the_caller(
    on_loop: Driver, sink: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_files, "SLOW_READ", 0.0)

    def fails() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        raise ZeroDivisionError

    async def scenario(client: Any) -> None:
        with pytest.raises(ZeroDivisionError):
            await client.post(sink.url, content=fails())

    on_loop.run(scenario)


def test_a_generator_keeps_its_context_and_its_thread_does_not_matter(
    on_loop: Driver, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_files, "SLOW_READ", 0.0)
    variable: ContextVar[str] = ContextVar("variable")
    seen: list[Any] = []

    def source() -> Iterator[bytes]:
        for number in range(4):
            seen.append((variable.get(), threading.current_thread() is threading.main_thread()))
            variable.set(f"of the source {number}")
            yield b"abc"

    async def scenario(client: Any) -> None:
        variable.set("of the caller")
        await client.post(server.url, content=source())

    on_loop.run(scenario)
    # The first is read in place, where what a generator sets is its caller's.
    assert seen == [
        ("of the caller", True),
        ("of the source 0", False),
        ("of the source 1", False),
        ("of the source 2", False),
    ]


def test_a_cancelled_upload_does_not_wait_for_the_read_and_still_closes_the_source(
    on_loop: Driver, sink: ScriptedServer
):
    go, reads, closed = threading.Event(), threading.Event(), threading.Event()

    def source() -> Iterator[bytes]:
        try:
            time.sleep(_files.SLOW_READ * 2)
            yield b"a"
            reads.set()
            assert go.wait(10)
            yield b"b"
            raise AssertionError("it was read on")
        finally:
            closed.set()

    async def until(sleep: Any) -> None:
        # A thread sets it, so there is no event of the loop's to wait for.
        while not reads.is_set():
            await sleep(0.001)

    async def cancelled(call: Callable[[], Any]) -> None:
        if on_loop.name == "trio":
            import trio

            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                await until(trio.sleep)
                nursery.cancel_scope.cancel()
        else:
            task = asyncio.ensure_future(call())
            await until(asyncio.sleep)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def scenario(client: Any) -> None:
        await cancelled(lambda: client.post(sink.url, content=source()))
        assert not closed.is_set()
        go.set()

    on_loop.run(scenario)
    assert closed.wait(10)
    gc.collect()


def test_a_stuck_pipe_does_not_keep_a_program_from_ending():
    """Harm: threads of asyncio's executor are waited for, so one that reads a silent pipe would hold up the end."""
    program = """
import asyncio, os, httpx

async def main():
    reading, writing = os.pipe()
    async def app(scope, receive, send):
        while (await receive())["type"] == "http.request":
            pass
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
        try:
            with open(reading, "rb", buffering=0, closefd=False) as pipe:
                await client.post("http://a/", content=pipe, timeout=httpx.Timeout(5, total=0.05))
        except httpx.ReadTimeout:
            print("timed out")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "timed out\n", "")


def test_a_slow_body_that_a_mock_reads_does_not_stop_the_loop(on_loop: Driver):
    async def scenario(client: Any) -> None:
        async def work() -> None:
            assert (await client.post("http://a/", content=slow())).content == b"a" * 1000 * COUNT

        assert await longest_stall(on_loop, work) < PIECE * 2

    echo = httpx.MockTransport(lambda request: httpx.Response(200, content=request.content))
    on_loop.run(scenario, transport=echo)


def test_without_threads_everything_is_read_in_place(on_loop: Driver, monkeypatch: pytest.MonkeyPatch):
    """As in a program that uses the values alone."""
    monkeypatch.setattr(_files, "_in_thread", None)
    monkeypatch.setattr(_files, "SLOW_READ", 0.0)

    async def main() -> None:
        stream = _content.in_async(_content.IteratorByteStream([b"a", b"b"]))
        assert [piece async for piece in stream] == [b"a", b"b"]

    on_loop.run_bare(main)


# Workers.


async def turns(driver: Driver, condition: Callable[[], bool]) -> None:
    """Let the loop go round until a thread has done something."""
    if driver.name == "trio":
        from trio import sleep
    else:
        from asyncio import sleep

    while not condition():  # noqa: ASYNC110 - a thread does it
        await sleep(0.001)


def test_a_worker_calls_one_function_after_the_other_in_one_thread(on_loop: Driver):
    seen: list[tuple[int, int]] = []

    async def main() -> None:
        worker = threads.Worker()
        for number in range(50):
            await worker.begin(lambda number=number: seen.append((number, threading.get_ident())))  # type: ignore[misc]
        assert await worker.call(lambda: len(seen)) == 50
        worker.end()
        await turns(on_loop, lambda: threading.active_count() == before)

    before = threading.active_count()
    on_loop.run_bare(main)
    assert [number for number, _ in seen] == list(range(50))
    assert len({thread for _, thread in seen} | {threading.get_ident()}) == 2


def test_a_worker_has_one_function_that_is_not_over(on_loop: Driver):
    """Harm: what was to be written piled up in memory while the disk was slow."""
    go, begun = threading.Event(), []

    def first() -> None:
        begun.append(1)
        assert go.wait(10)

    async def main() -> None:
        worker = threads.Worker()
        await worker.begin(first)  # does not wait for it
        await turns(on_loop, lambda: begun == [1])

        async def second() -> None:
            await worker.begin(lambda: begun.append(3))
            begun.append(4)

        async def let_go() -> None:
            begun.append(2)
            go.set()

        if on_loop.name == "trio":
            import trio

            async with trio.open_nursery() as nursery:
                nursery.start_soon(second)
                await trio.sleep(0.01)
                nursery.start_soon(let_go)
        else:
            task = asyncio.ensure_future(second())
            await asyncio.sleep(0.01)
            await let_go()
            await task
        await worker.call(lambda: None)
        worker.end()

    on_loop.run_bare(main)
    assert begun.index(2) < begun.index(3)
    assert begun.index(2) < begun.index(4)


@pytest.mark.parametrize("has_threads", [True, False])
def test_what_a_function_of_a_worker_raises_is_raised_next_and_once(
    on_loop: Driver, has_threads: bool, monkeypatch: pytest.MonkeyPatch
):
    """Harm: a full disk was not noticed, or hidden by what was done after it."""
    called: list[int] = []

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        worker = threads.Worker()
        await worker.begin(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            await worker.begin(lambda: called.append(1))
        await worker.begin([].pop)
        with pytest.raises(IndexError):
            await worker.call(lambda: called.append(2))
        with pytest.raises(KeyError):
            await worker.call({}.popitem)
        assert await worker.call(lambda: 5) == 5
        worker.end()

    if not has_threads:
        monkeypatch.setattr(threading.Thread, "start", refused)
    on_loop.run_bare(main)
    assert called == []


def test_a_worker_that_is_left_ends_after_what_it_is_at(on_loop: Driver):
    """A cancellation does not wait for a disk."""
    go, done = threading.Event(), threading.Event()

    def block() -> None:
        assert go.wait(10)
        done.set()
        raise ZeroDivisionError  # nobody hears of it

    async def main() -> None:
        worker = threads.Worker()
        if on_loop.name == "trio":
            import trio

            with trio.move_on_after(0.01) as scope:
                await worker.call(block)
            assert scope.cancelled_caught
        else:
            task = asyncio.ensure_future(worker.call(block))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        worker.end()
        assert not done.is_set()
        go.set()
        await turns(on_loop, lambda: threading.active_count() == before)
        assert done.is_set()

    before = threading.active_count()
    on_loop.run_bare(main)


def test_a_worker_whose_thread_is_interrupted_as_it_starts_leaves_none(
    on_loop: Driver, monkeypatch: pytest.MonkeyPatch
):
    """Harm: a thread waited for calls until the program ended."""
    start = threading.Thread.start

    class Interrupted(BaseException):
        pass

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "httpx.body":
            raise Interrupted

    async def main() -> None:
        worker = threads.Worker()
        with pytest.raises(Interrupted):
            await worker.begin(lambda: None)
        worker.end()
        await turns(on_loop, lambda: threading.active_count() == before)

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    on_loop.run_bare(main)
