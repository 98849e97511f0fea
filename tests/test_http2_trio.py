"""What only trio has: tasks that take turns in receiving, and cancel scopes around them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import httpx
from httpx._protocol import frames
from httpx._protocol.frames import CANCEL
from support.engines import driver_named
from support.http2 import FramePeer, StreamServer, frames_of, prior
from support.leaks import engines_of, settled
from support.servers import ScriptedServer
from support.steps import until

trio = pytest.importorskip("trio")

pytestmark = pytest.mark.usefixtures("no_leaks")


def multiplexer_of(client: httpx.AsyncClient) -> Any:
    (connection,) = engines_of(client)[0].pool.connections
    return connection.multiplexer


def run(scenario: Any, server: ScriptedServer, **options: Any) -> None:
    async def bounded(client: Any) -> None:
        with trio.fail_after(10):
            await scenario(client)
            await settled(client)
            for connection in engines_of(client)[0].pool.connections:
                multiplexer = connection.multiplexer
                assert not multiplexer.session.machine.streams
                assert not multiplexer.waiting
                assert not multiplexer.session.news
                assert multiplexer._turn is None

    driver_named("trio").run(bounded, **prior(server.url, **{"timeout": 8, **options}))


@pytest.mark.parametrize("how", ["cancelled", "timed out", "answered"])
def test_a_task_that_leaves_passes_the_turn_on(how: str):
    async def scenario(client: Any) -> None:
        await client.get("/id")
        multiplexer = multiplexer_of(client)
        texts: list[str] = []
        scope = trio.CancelScope()

        async def first() -> None:
            with scope:
                if how == "timed out":
                    with pytest.raises(httpx.ReadTimeout):
                        await client.get("/silent", timeout=httpx.Timeout(8, read=0.05))
                else:
                    await client.get("/bytes/300000" if how == "answered" else "/silent")

        async def second() -> None:
            texts.append((await client.get("/held")).text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            if how != "answered":
                await until(lambda: multiplexer._turn is not None)
            nursery.start_soon(second)
            await until(lambda: len(server.asked) == 3)
            if how == "cancelled":
                scope.cancel()
            await until(lambda: len(multiplexer.session.machine.streams) == 1)
            server.let_go()
        assert texts == ["-"]

    with StreamServer() as server:
        run(scenario, server)
    assert server.connections == 1


def test_the_one_who_receives_looks_again_when_somebody_has_more_to_send():
    """It waits for input only; what the socket did not take of another one's upload would stay where it is."""

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        peer.send(frames.window_update(0, 100_000_000), frames.settings({frames.INITIAL_WINDOW_SIZE: 100_000_000}))
        waiting = peer.request()
        stalled.wait(5)
        while True:
            kind, flags, stream, block = peer.frame()
            if kind == frames.HEADERS:
                peer._decoder.decode(block)
            if kind in (frames.HEADERS, frames.DATA) and flags & frames.END_STREAM:
                peer.answer(stream, b"sent")
                break
        peer.answer(waiting.stream, b"held")
        peer.rest()

    stalled = threading.Event()

    async def scenario(client: Any) -> None:
        await client.get("/")
        multiplexer = multiplexer_of(client)
        texts: list[str] = []

        async def get() -> None:
            texts.append((await client.get("/")).text)

        async def post() -> None:
            texts.append((await client.post("/", content=bytes(20_000_000))).text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(get)
            await until(lambda: multiplexer._turn is not None)
            nursery.start_soon(post)
            await until(lambda: bool(multiplexer.carrier.unsent))
            stalled.set()
        assert sorted(texts) == ["held", "sent"]

    with ScriptedServer(frames_of(script), timeout=8) as server:
        run(scenario, server)


def test_what_a_task_leaves_unsent_when_it_gives_up_is_sent_by_others():
    read_on = threading.Event()

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        peer.send(frames.window_update(0, 100_000_000), frames.settings({frames.INITIAL_WINDOW_SIZE: 100_000_000}))
        waiting = peer.request()
        read_on.wait(5)
        while True:
            kind, flags, stream, block = peer.frame()
            if kind == frames.HEADERS:
                peer._decoder.decode(block)
                if flags & frames.END_STREAM:
                    peer.send(peer.whole(stream, b"behind"), peer.whole(waiting.stream, b"held"))
                    break
        peer.rest()

    async def scenario(client: Any) -> None:
        await client.get("/")
        multiplexer = multiplexer_of(client)
        texts: list[str] = []

        async def get() -> None:
            texts.append((await client.get("/")).text)

        async def give_up() -> None:
            with pytest.raises(httpx.WriteTimeout):
                await client.post("/", content=bytes(20_000_000), timeout=httpx.Timeout(8, write=0.1))
            read_on.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(get)
            await until(lambda: multiplexer._turn is not None)
            nursery.start_soon(give_up)
            await until(lambda: bool(multiplexer.carrier.unsent))
            nursery.start_soon(get)
        assert sorted(texts) == ["behind", "held"]

    with ScriptedServer(frames_of(script), timeout=8) as server:
        run(scenario, server)


def test_many_tasks_that_are_cancelled_together_leave_nothing():
    async def scenario(client: Any) -> None:
        await client.get("/id")
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(client.get, "/silent")
            await until(lambda: len(server.asked) == 51)
            nursery.cancel_scope.cancel()
        assert not multiplexer_of(client).session.machine.streams
        assert (await client.get("/id")).text == "-"

    with StreamServer() as server:
        run(scenario, server)
    assert sorted(server.resets) == [(stream, CANCEL) for stream in range(3, 103, 2)]


def test_a_fast_download_lets_other_tasks_run_and_can_be_cancelled():
    async def scenario(client: Any) -> None:
        ran = 0

        async def other() -> None:
            nonlocal ran
            while True:
                ran += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            assert len((await client.get("/bytes/10000000")).content) == 10_000_000
            nursery.cancel_scope.cancel()
        assert ran > 20
        with trio.move_on_after(0.02) as scope:
            while True:
                await client.get("/bytes/1000000")
        assert scope.cancelled_caught

    with StreamServer() as server:
        run(scenario, server)
