"""What only asyncio has: a callback that reads although nobody waits, one send in a turn of the loop, one timer."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from typing import Any

import pytest

import httpx
from httpx._engine import wire
from httpx._engine.dialling import asyncio as asyncio_dialling
from httpx._engine.http2.asyncio import AsyncioMultiplexer
from httpx._protocol import frames
from support.counting import CountingLoop, CountingSelect, CountingSocket, Counts
from support.counting import frames as entered_frames
from support.drivers import run_on_loop
from support.engines import EngineDriver, driver_named
from support.http2 import FramePeer, StreamServer, frames_of, prior
from support.leaks import counts_of, engines_of, settled
from support.servers import SMALL, ScriptedServer
from support.steps import turns, until
from support.together import together

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=["asyncio", "asyncio-fallback", "uvloop"])
def engine(request: pytest.FixtureRequest) -> EngineDriver:
    return driver_named(request.param)


def multiplexer_of(client: httpx.AsyncClient) -> AsyncioMultiplexer:
    (connection,) = engines_of(client)[0].pool.connections
    multiplexer: AsyncioMultiplexer = connection.multiplexer
    return multiplexer


def test_a_ping_is_answered_while_nobody_waits(engine: EngineDriver):
    pongs: list[bytes] = []

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        peer.send(frames.frame(frames.PING, 0, 0, b"8 bytes."))
        pongs.append(peer.expect(frames.PING)[3])
        peer.rest()

    async def scenario(client: Any) -> None:
        await client.get("/")
        await until(lambda: bool(pongs))

    with ScriptedServer(frames_of(script)) as server:
        engine.run(scenario, **prior(server.url))
    assert pongs == [b"8 bytes."]


@pytest.mark.parametrize("farewell", ["goaway", "end"])
def test_an_idle_connection_that_the_peer_ends_is_closed_at_once(engine: EngineDriver, farewell: str):
    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        if farewell == "goaway":
            peer.send(frames.goaway(1, 0))
            peer.rest()

    async def scenario(client: Any) -> None:
        await client.get("/")
        await until(lambda: counts_of(client) == (0, 0, 0, 0))

    with ScriptedServer(frames_of(script)) as server:
        engine.run(scenario, **prior(server.url))


def test_an_idle_connection_is_closed_when_it_expires(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        await client.get("/id", timeout=httpx.Timeout(0.05))
        await until(lambda: counts_of(client) == (0, 0, 0, 0))

    with StreamServer() as server:
        engine.run(scenario, limits=httpx.Limits(keepalive_expiry=0.02), **prior(server.url))


def test_requests_that_begin_while_a_connection_is_about_to_expire_keep_it(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        for number in range(20):
            response = await client.get("/id", headers={"X-Id": str(number)}, timeout=httpx.Timeout(1, read=0.5))
            assert response.text == str(number)
            await asyncio.sleep(0.004)
        await settled(client)

    with StreamServer() as server:
        engine.run(scenario, limits=httpx.Limits(keepalive_expiry=0.005), **prior(server.url))


def test_one_timer_serves_many_deadlines(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        await client.get("/id")

        async def impatient(seconds: float) -> float:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/silent", timeout=httpx.Timeout(5, read=seconds))
            return loop.time() - begun

        deadlines = [0.15, 0.02, 0.1, 0.05, 0.02]
        waited = await together([lambda seconds=seconds: impatient(seconds) for seconds in deadlines])
        for seconds, needed in zip(deadlines, waited):
            assert seconds - 0.003 <= needed < seconds + 0.2
        await settled(client)

    with StreamServer() as server:
        engine.run(scenario, **prior(server.url))
    assert [code for _, code in server.resets] == [frames.CANCEL] * 5


def test_a_download_that_nobody_reads_holds_no_more_than_a_window(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/bytes/20000000") as response:
            multiplexer = multiplexer_of(client)
            stream = multiplexer.session.machine.streams[1]
            size, before = 1, 0
            while size != before:
                before = size
                await asyncio.sleep(0.03)
                size = sum(map(len, stream.chunks))
            assert 1_000_000 < size <= 2_097_152
            assert len(await response.aread()) == 20_000_000

    with StreamServer() as server:
        engine.run(scenario, **prior(server.url))


def test_requests_of_many_tasks_that_are_cancelled_together_leave_nothing(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        await client.get("/id")
        tasks = [asyncio.ensure_future(client.get("/silent")) for _ in range(50)]
        await until(lambda: len(server.asked) == 51)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert not multiplexer_of(client).session.machine.streams
        assert (await client.get("/id")).text == "-"
        await settled(client)

    with StreamServer() as server:
        engine.run(scenario, **prior(server.url))
    assert sorted(server.resets) == [(stream, frames.CANCEL) for stream in range(3, 103, 2)]


def test_a_connection_that_broke_between_the_queue_and_its_request_is_not_used():
    """It was lost after a waiter was served with it, and before that one ran: a POST, too, is safe elsewhere."""
    go = threading.Event()

    def first(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        peer.answer(peer.request().stream, b"held")
        assert go.wait(5)
        peer.conn.reset()

    async def scenario(client: Any) -> None:
        await client.get("/")
        engine = engines_of(client)[0]
        (connection,) = engine.pool.connections
        release = engine.pool.release

        def release_and_break(released: Any, *args: Any) -> None:
            release(released, *args)
            if released is connection and not go.is_set():
                go.set()
                connection.on_broken(httpx.ReadError("reset"))

        engine.pool.release = release_and_break
        held = asyncio.ensure_future(client.get("/held"))
        await turns(2)
        responses = await asyncio.gather(held, client.post("/", content=b"once"))
        assert [response.text for response in responses] == ["held", "ok"]
        await settled(client)

    limit = {frames.MAX_CONCURRENT_STREAMS: 1}
    with ScriptedServer(frames_of(first, limit), frames_of(FramePeer.serve)) as server:
        limits = httpx.Limits(max_connections=1)
        driver_named("asyncio").run(scenario, limits=limits, **prior(server.url))
        assert server.connections == 2


# What it costs.


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts[str]:
    """Counts what goes through the sockets that are made from now on."""
    counts: Counts[str] = Counter()
    new_socket = asyncio_dialling.new_socket  # type: ignore[attr-defined]
    monkeypatch.setattr(asyncio_dialling, "new_socket", lambda *args: CountingSocket(new_socket(*args), counts))
    monkeypatch.setattr(wire, "select", CountingSelect(counts))
    monkeypatch.delitem(sys.modules, "trio", raising=False)
    return counts


def answering(peer: FramePeer) -> None:
    peer.serve(SMALL.encode("ascii"))


def run_counting(scenario: Any, counts: Counts[str]) -> Any:
    async def main() -> Any:
        async with httpx.AsyncClient(**prior(server.url)) as client:
            return await scenario(client)

    with ScriptedServer(frames_of(answering)) as server:
        return run_on_loop(CountingLoop(counts), main())


def test_a_warm_get_sends_once_receives_once_and_sets_one_timer_at_most(counts: Counts[str]):
    async def scenario(client: Any) -> Counts[str]:
        for _ in range(3):
            assert (await client.get("/")).text == SMALL
        counts.clear()
        await client.get("/")
        return counts.copy()

    done = run_counting(scenario, counts)
    assert done["send"] == 1
    assert done["receive"] == 1
    assert done["poll"] <= 1
    assert done["wait"] == 0
    assert done["timer"] <= 1
    assert done["future"] == 1


FRAMES = 51 + (sys.version_info < (3, 12))  # before 3.12 a list comprehension is a frame, too


def test_a_warm_get_enters_few_frames(counts: Counts[str]):
    async def scenario(client: Any) -> list[str]:
        for _ in range(3):
            await client.get("/")
        with entered_frames() as entered:
            await client.get("/")
        return [frame for frame in entered if frame.startswith("httpx")]

    ours = run_counting(scenario, counts)
    assert 10 < len(ours) <= FRAMES, f"{len(ours)} frames:\n" + "\n".join(ours)


def test_fifty_requests_that_begin_in_one_turn_leave_in_one_send(counts: Counts[str]):
    async def scenario(client: Any) -> Counts[str]:
        for _ in range(2):
            await client.get("/")
        await turns(3)  # the acknowledgement of the server's settings has left
        counts.clear()
        tasks = [asyncio.ensure_future(client.get("/")) for _ in range(50)]
        await asyncio.sleep(0)  # each has begun
        await asyncio.sleep(0)  # and the turn is over
        begun = counts.copy()
        assert [response.text for response in await asyncio.gather(*tasks)] == [SMALL] * 50
        return begun

    # The first one cannot know that others follow.
    assert run_counting(scenario, counts)["send"] <= 2


def test_answers_that_come_together_are_received_together(counts: Counts[str]):
    """And so are the next requests sent: fifty workers do not make fifty system calls a round."""

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        for _ in range(4):
            peer.send(b"".join(peer.whole(asked.stream, b"ok") for asked in peer.requests(50)))
        peer.rest()

    async def worker(client: Any) -> None:
        for _ in range(4):
            assert (await client.get("/")).text == "ok"

    async def main() -> None:
        async with httpx.AsyncClient(**prior(server.url)) as client:
            await client.get("/")
            counts.clear()
            await asyncio.gather(*[worker(client) for _ in range(50)])

    with ScriptedServer(frames_of(script)) as server:
        run_on_loop(CountingLoop(counts), main())
    assert counts["send"] <= 16, counts
    assert counts["receive"] <= 40, counts
