"""
Bodies of HTTP/2 that go both ways at once, that are left or dropped, and what each of them leaves behind.

Not here: bodies that arrive as they should (`test_http2_session.py`).
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import httpx
from httpx._protocol import frames
from httpx._protocol.stream2 import HTTP2Stream
from support.at_once import options, until_true
from support.drivers import SyncAdapter
from support.engines import EngineDriver, driver_named
from support.http2 import FramePeer, StreamServer, data, frames_of, prior
from support.interrupts import is_locked
from support.leaks import engines_of, settled, wait_for
from support.servers import ScriptedServer
from support.steps import in_trio, turns
from support.together import together

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def peer_of(*scripts: Callable[[FramePeer], object], **more: Any) -> ScriptedServer:
    return ScriptedServer(*[frames_of(script) for script in scripts], **more)


# A response that begins before the request has ended.


def echo(peer: FramePeer) -> None:
    """Sends back what it gets as far as the client's windows allow, and takes no more before that is done."""
    stream = peer.request().stream
    peer.send(peer.head(stream))
    room = {0: 65_535, stream: 65_535}
    room[stream] = 2_097_152  # as our SETTINGS say
    room[0] = 65_535 + 16_777_216 - 65_535
    kept, ended = b"", False
    while True:
        size = min(room[0], room[stream], len(kept))
        if size:
            piece, kept = kept[:size], kept[size:]
            room[0] -= size
            room[stream] -= size
            opened = [] if ended else [frames.window_update(0, size), frames.window_update(stream, size)]
            peer.send(data(stream, piece), *opened)
        if ended and not kept:
            peer.send(data(stream, b"", True))
            break
        kind, flags, number, payload = peer.frame()
        if kind == frames.DATA:
            kept += payload
            ended = bool(flags & frames.END_STREAM)
        elif kind == frames.WINDOW_UPDATE and number in room:
            room[number] += frames.number(payload)
    peer.rest()


SIZE = 30_000_000
PIECE = bytes(range(256)) * 390  # 99,840 bytes


@pytest.mark.parametrize("body", ["whole", "pieces"])
def test_an_echo_of_thirty_megabytes(any_engine: EngineDriver, body: str, tls: bool):
    """The response and the request go on together; before, the pump took all of the request first."""
    number = SIZE // len(PIECE)

    async def scenario(client: Any) -> None:
        content = PIECE * number if body == "whole" else any_engine.body([PIECE] * number)
        response = await client.post("/", content=content, timeout=20)
        assert response.content == PIECE * number

    from support.http2 import h2_context

    with peer_of(echo, tls=h2_context("h2") if tls else None, timeout=20) as server:
        any_engine.run(scenario, **options(server))


def test_a_response_is_there_at_its_head_while_the_request_goes_on(any_engine: EngineDriver):
    """What is not read is not sent for either: memory is bounded by the windows."""
    made = [0]

    def pieces() -> Iterator[bytes]:
        while made[0] < 300:
            made[0] += 1
            yield PIECE

    async def later() -> Any:
        for piece in pieces():
            await turns()
            yield piece

    async def scenario(client: Any) -> None:
        content = later() if any_engine.is_async else pieces()
        received = 0
        async with client.stream("POST", "/", content=content, timeout=20) as response:
            assert made[0] < 300, "the whole request was sent before the response was returned"
            async for piece in response.aiter_raw():
                received += len(piece)
                assert made[0] * len(PIECE) - received < 10_000_000
        assert received == 300 * len(PIECE)

    with peer_of(echo, timeout=20) as server:
        any_engine.run(scenario, **options(server))


@pytest.mark.parametrize("how", ["left", "read in part", "fails"])
def test_the_iteration_of_a_request_ends_with_its_response(any_engine: EngineDriver, how: str):
    """A generator would stay suspended, with whatever it holds open."""
    ended: list[str] = []

    def script(peer: FramePeer) -> None:
        stream = peer.request().stream
        peer.send(peer.head(stream), data(stream, b"some"))
        if how == "fails":
            peer.send(frames.reset(stream, frames.INTERNAL_ERROR))
        peer.rest()

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield PIECE
        finally:
            ended.append("ended")

    async def later() -> Any:
        try:
            while True:
                await turns()
                yield PIECE
        finally:
            ended.append("ended")

    async def scenario(client: Any) -> None:
        content = later() if any_engine.is_async else pieces()
        async with client.stream("POST", "/", content=content) as response:
            if how == "read in part":
                async for _ in response.aiter_raw():
                    break
            elif how == "fails":
                with pytest.raises(httpx.RemoteProtocolError):
                    await response.aread()
        assert ended == ["ended"]
        await settled(client)

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))


def test_pieces_that_are_there_at_once_let_other_tasks_run(engine: EngineDriver):
    """An upload that never had to wait could not be cancelled, and stopped the loop: on trio for as long as it took."""
    made = [0]
    seen: set[int] = set()

    def pieces() -> Iterator[bytes]:
        while made[0] < 2000:
            made[0] += 1
            yield b"x" * 100

    async def scenario(client: Any) -> None:
        async def watch() -> None:
            while made[0] < 2000:
                seen.add(made[0])
                await turns(1)

        async def upload() -> None:
            assert (await client.post("/digest", content=pieces())).text.startswith("200000 ")

        await client.get("/id")
        await together([upload, watch])

    with StreamServer(window=10_000_000) as server:
        engine.run(scenario, **options(server))
    assert len(seen) > 100


# Bodies that are dropped.


async def freed(client: Any) -> None:
    """Let go of what only the collector finds, and let loops do what was left for later."""
    gc.collect()
    if not isinstance(client, SyncAdapter):
        await turns(5)


@pytest.mark.parametrize("how", ["begun", "not begun", "in a cycle"])
def test_a_response_that_is_dropped_frees_its_place(any_engine: EngineDriver, how: str):
    """Its place was taken for ever: a limit of two connections or streams was a PoolTimeout at the third."""

    async def drop(client: Any) -> None:
        response = await client.send(client.build_request("GET", "/bytes/20000000"), stream=True)
        if how != "not begun":
            async for _ in response.aiter_raw():
                break
        if how == "in a cycle":
            response.extensions["itself"] = response

    async def scenario(client: Any) -> None:
        for _ in range(5):
            await drop(client)
            await freed(client)
        assert (await client.get("/id")).text == "-"
        await until_true(lambda: len(server.resets) == 5)
        await settled(client)

    with StreamServer(max_streams=2) as server:
        limits = httpx.Limits(max_connections=1)
        any_engine.run(scenario, **options(server, limits=limits, timeout=httpx.Timeout(5, pool=0.5)))
        assert server.connections == 1
    assert [code for _, code in server.resets] == [frames.CANCEL] * 5


@pytest.mark.parametrize("how", ["dropped", "closed"])
def test_an_iterator_that_is_dropped_frees_the_place_of_a_response_that_is_kept(any_engine: EngineDriver, how: str):
    """On asyncio and trio its place was taken for as long as the response lived."""
    kept: list[Any] = []

    async def begin(client: Any) -> None:
        response = await client.send(client.build_request("GET", "/bytes/20000000"), stream=True)
        kept.append(response)
        pieces = response.aiter_raw()
        assert await pieces.__anext__()
        if how == "closed":
            await pieces.aclose()

    async def scenario(client: Any) -> None:
        for _ in range(5):
            await begin(client)
            await freed(client)
        assert (await client.get("/id")).text == "-"
        await until_true(lambda: len(server.resets) == 5)
        await kept[0].aclose()  # does nothing any more
        await settled(client)

    with StreamServer(max_streams=2) as server:
        limits = httpx.Limits(max_connections=1)
        any_engine.run(scenario, **options(server, limits=limits, timeout=httpx.Timeout(5, pool=0.5)))
        assert server.connections == 1


def test_the_collector_may_find_a_response_within_our_own_locks():
    """A destructor that took a lock would wait for the thread that it runs in."""
    with StreamServer() as server, httpx.Client(**prior(server.url, timeout=5)) as client:
        client.get("/id")
        multiplexer = engines_of(client)[0].pool.connections[0].multiplexer
        machine = multiplexer.session.machine
        opened = machine.open
        locked: list[bool] = []

        def open_and_collect(*args: Any) -> Any:
            locked.append(is_locked(multiplexer._lock))
            gc.collect()
            return opened(*args)

        for _ in range(3):
            response = client.send(client.build_request("GET", "/bytes/20000000"), stream=True)
            next(response.iter_raw())
            response.extensions["itself"] = response
            del response
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(machine, "open", open_and_collect)
                assert client.get("/id").text == "-"
        client.get("/id")
        assert locked == [True] * 3
        wait_for(lambda: len(server.resets) == 3)
        assert not machine.streams


def test_a_thread_may_drop_what_another_one_made():
    with StreamServer() as server, httpx.Client(**prior(server.url, timeout=5)) as client:
        kept = [client.send(client.build_request("GET", "/bytes/20000000"), stream=True) for _ in range(3)]
        thread = threading.Thread(target=kept.clear)
        thread.start()
        thread.join(5)
        assert client.get("/id").text == "-"
        wait_for(lambda: len(server.resets) == 3)


def test_a_response_that_outlives_its_loop_is_dropped_in_silence():
    """asyncio: the loop is closed by then."""
    kept: list[Any] = []

    async def main() -> None:
        async with httpx.AsyncClient(**prior(server.url)) as client:
            response = await client.send(client.build_request("GET", "/bytes/20000000"), stream=True)
            kept.append(response)

    with StreamServer() as server:
        asyncio.run(main())
        kept.clear()
        gc.collect()


@pytest.mark.parametrize("turn", ["its own", "another's"])
def test_closing_a_response_elsewhere_wakes_its_reader(several: Any, turn: str, tls: bool):
    """It waited for its read timeout, on asyncio for ever: the one who closes took the reader's place away from it."""
    others = threading.Event()  # a request that waits already, and receives for all

    async def other(client: Any) -> str:
        others.set()
        return str((await client.get("/held")).text)

    async def read_and_close(client: Any) -> str:
        if turn != "its own":
            await until_true(lambda: others.is_set() and len(server.asked) == 1)
        response = await client.send(client.build_request("GET", "/stall"), stream=True)
        pieces = response.aiter_raw()
        assert await pieces.__anext__() == b"hello"

        async def read() -> None:
            with pytest.raises(httpx.ReadError, match="the response was closed while its body was read"):
                await pieces.__anext__()

        async def close() -> None:
            await turns(5)
            await response.aclose()

        if isinstance(client, SyncAdapter):
            timer = threading.Timer(0.05, response.close)
            timer.start()
            await read()
            timer.join()
        else:
            await together([read, close])
        server.let_go()
        return str((await client.get("/id")).text)

    async def nothing(client: Any) -> str:
        return "-"

    with StreamServer(tls=tls) as server:
        run = several(server, timeout=httpx.Timeout(5, read=3))
        assert run.run(nothing if turn == "its own" else other, read_and_close) == ["-", "-"]
        assert server.connections == 1
        wait_for(lambda: [code for _, code in server.resets] == [frames.CANCEL])


# The last part of a body.


def test_a_body_does_not_lose_its_last_part_to_another_thread(monkeypatch: pytest.MonkeyPatch):
    """What had arrived and whether the body was over were read apart: another thread came between the two."""
    go = threading.Event()

    def script(peer: FramePeer) -> None:
        stream = peer.request().stream
        peer.send(peer.head(stream), data(stream, b"first"))
        assert go.wait(5)
        peer.send(data(stream, b"last", True))
        peer.rest()

    with peer_of(script) as server, httpx.Client(**options(server)) as client, client.stream("GET", "/") as response:
        pieces = response.iter_raw()
        assert next(pieces) == b"first"
        multiplexer = engines_of(client)[0].pool.connections[0].multiplexer
        machine = multiplexer.session.machine
        needs: dict[HTTP2Stream, int] = {stream: stream.need for stream in machine.streams.values()}

        def need_of(stream: HTTP2Stream) -> int:
            # As another thread would that receives: when the lock is free, between two reads.
            if not is_locked(multiplexer._lock) and stream.identifier in machine.streams and not go.is_set():
                machine.receive(data(stream.identifier, b"last", True))
            return needs[stream]

        def note(stream: HTTP2Stream, need: int) -> None:
            needs[stream] = need

        monkeypatch.setattr(HTTP2Stream, "need", property(need_of, note), raising=False)
        timer = threading.Timer(0.1, go.set)
        timer.start()
        assert b"".join(pieces) == b"last"
        timer.join()
        monkeypatch.undo()


# Errors.


def test_each_request_of_a_broken_connection_has_an_exception_of_its_own(several: Any):
    """One object was raised in all of them, and its request was the last one's."""

    def script(peer: FramePeer) -> None:
        peer.requests(3)
        peer.conn.reset()

    def ask(path: str) -> Any:
        async def asks(client: Any) -> Any:
            try:
                await client.post(path)
            except httpx.TransportError as exc:
                return exc.request.url.path == path, exc

        return asks

    with peer_of(script) as server:
        results = several(server).run(*[ask(path) for path in ("/a", "/b", "/c")])
    assert [fits for fits, _ in results] == [True] * 3
    assert len({id(exc) for _, exc in results}) == 3


# What an outcome leaves to the collector.


async def whole(client: Any) -> None:
    await client.get("/id")


async def streamed(client: Any) -> None:
    async with client.stream("GET", "/bytes/300000") as response:
        async for _ in response.aiter_raw():
            pass


async def left_early(client: Any) -> None:
    async with client.stream("GET", "/bytes/3000000") as response:
        async for _ in response.aiter_raw():
            break


async def not_read(client: Any) -> None:
    async with client.stream("GET", "/bytes/3000000"):
        pass


async def timed_out(client: Any) -> None:
    try:
        await client.get("/silent", timeout=httpx.Timeout(5, read=0.02))
    except httpx.ReadTimeout:
        pass


async def timed_out_later(client: Any) -> None:
    try:
        await client.get("/stall", timeout=httpx.Timeout(5, read=0.02))
    except httpx.ReadTimeout:
        pass


async def closed(client: Any) -> None:
    await client.get("/close")


async def refused(client: Any) -> None:
    await client.post("/refuse", content=bytes(1_000_000))


async def cancelled(client: Any) -> None:
    if in_trio():
        import trio

        with trio.move_on_after(0.02):
            await client.get("/silent")
        return
    try:
        await asyncio.wait_for(client.get("/silent"), 0.02)
    except (TimeoutError, asyncio.TimeoutError):
        pass


OUTCOMES = [whole, streamed, left_early, not_read, timed_out, timed_out_later, closed, refused, cancelled]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.__name__)
@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
def test_no_outcome_leaves_anything_of_ours_to_the_collector(name: str, outcome: Any):
    """Six downloads of 100 MB in a row, of which nothing was kept, took 725 MB."""
    if name == "sync" and outcome is cancelled:
        return
    found: list[str] = []

    async def scenario(client: Any) -> None:
        for _ in range(2):
            await outcome(client)
        await freed(client)
        gc.disable()
        try:
            for _ in range(3):
                await outcome(client)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found.extend(type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("httpx"))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    with StreamServer() as server:
        driver_named(name).run(scenario, **prior(server.url))
    assert not found
