"""
A request over HTTP/2 that is cancelled leaves nothing behind, wherever it is cancelled: at every suspension, in turn.

After each: its neighbour on the same connection gets its whole answer, no stream is open, no place in the pool is
taken, no task is left, no descriptor is open that was not there before, and the next request of the client is answered.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any, Callable

import pytest

import httpx
from httpx._engine import limits
from support.cancelling import at_every_step, bounded, in_background, make_client, no_task_left
from support.engines import EngineDriver, driver_named
from support.http2 import StreamServer, prior
from support.leaks import engines_of, no_lost_exceptions, nothing_left, settled
from support.steps import Cancelled, Steps, in_trio, turns, until

SHORT = 0.02  # seconds: what never answers is given up then, so that the run that is not cancelled ends
NEIGHBOUR = 3_000_000  # more than the window, so that it is still under way whenever the other one is cancelled


@pytest.fixture(params=["early", "late"])
def late(request: pytest.FixtureRequest) -> bool:
    """See `support.steps`."""
    return bool(request.param == "late")


async def wait_for_head(client: Any) -> None:
    await client.get("/silent", timeout=SHORT)


async def get(client: Any) -> None:
    assert (await client.get("/id", headers={"X-Id": "there"})).text == "there"


async def wait_for_rest_of_body(client: Any) -> None:
    await client.get("/stall", timeout=httpx.Timeout(5, read=SHORT))


async def stream(client: Any) -> None:
    async with client.stream("GET", "/bytes/40000") as response:
        assert len([byte async for chunk in response.aiter_bytes(10_000) for byte in chunk]) == 40_000


async def leave_stream(client: Any) -> None:
    async with client.stream("GET", "/bytes/4000000") as response:
        async for _ in response.aiter_bytes():
            break


async def pieces(number: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield bytes(size)
        await turns()


async def upload(client: Any) -> None:
    assert (await client.post("/digest", content=bytes(300_000))).text.startswith("300000 ")


async def upload_pieces(client: Any) -> None:
    assert (await client.post("/digest", content=pieces(4, 50_000))).text.startswith("200000 ")


async def upload_small_pieces(client: Any) -> None:
    assert (await client.post("/digest", content=pieces(3, 1))).text.startswith("3 ")


async def be_refused(client: Any) -> None:
    assert (await client.post("/refuse", content=pieces(5, 50_000))).status_code == 413


async def ask_before_upload(client: Any) -> None:
    response = await client.post("/id", content=b"body", headers={"Expect": "100-continue"})
    assert response.text == "-body"


async def be_redirected(client: Any) -> None:
    response = await client.get("/moved/1", follow_redirects=True, headers={"X-Id": "there"})
    assert response.text == "there"


SITUATIONS: dict[str, tuple[Callable[[Any], Any], type[Exception] | None, bool]] = {
    "waiting for the head": (wait_for_head, httpx.ReadTimeout, False),
    "a whole request, traced": (get, None, True),
    "in the body": (wait_for_rest_of_body, httpx.ReadTimeout, False),
    "streaming": (stream, None, False),
    "streaming, traced": (stream, None, True),
    "leaving a stream, traced": (leave_stream, None, True),
    "uploading": (upload, None, False),
    "uploading pieces": (upload_pieces, None, False),
    "uploading small pieces, traced": (upload_small_pieces, None, True),
    "being refused": (be_refused, None, False),
    "asking before the upload": (ask_before_upload, None, False),
    "being redirected, traced": (be_redirected, None, True),
}


def attempt(engine: EngineDriver, steps: Steps, request: Any, traced: bool, beside: bool, tls: bool) -> Any:
    """Run it once, cancelled at the step, and look around afterwards; what came of the request."""

    async def main() -> Any:
        before: set[Any] = set() if in_trio() else asyncio.all_tasks()
        with StreamServer(tls=tls) as server, no_lost_exceptions():
            client = make_client(traced, **prior(server.url))
            if beside:
                async with client.stream("GET", f"/bytes/{NEIGHBOUR}", extensions={}) as neighbour:
                    with steps.watching():
                        outcome = await bounded(steps.run(functools.partial(request, client)))
                    assert len(await bounded(neighbour.aread())) == NEIGHBOUR
            else:
                with steps.watching():
                    outcome = await bounded(steps.run(functools.partial(request, client)))
                    await turns(20)  # for what the dial left to do, which is watched, too
            await settled(client)
            assert (await bounded(client.get("/id", headers={"X-Id": f"after{steps.at}"}))).text == f"after{steps.at}"
            await settled(client)
            for connection in engines_of(client)[0].pool.connections:
                assert not connection.multiplexer.session.machine.streams
                assert not connection.multiplexer.waiting
            if beside:
                assert server.connections == 1
            await client.aclose()
            await no_task_left(steps, before)
            return outcome

    with nothing_left():
        return engine.run_bare(main)


CASES = [
    pytest.param(name, engine, tls, id=f"{engine}-{'tls' if tls else 'plain'}-{name}")
    for name in SITUATIONS
    for engine in ("asyncio", "asyncio-fallback", "trio")
    for tls in (False, True)
    if not tls or (engine != "asyncio-fallback" and name in ("streaming", "uploading pieces"))
]


@pytest.mark.parametrize(("name", "engine_name", "tls"), CASES)
def test_a_stream_that_is_cancelled_leaves_its_connection_to_the_others(
    name: str, engine_name: str, tls: bool, late: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "PATIENCE", 0.03)
    engine = driver_named(engine_name)
    request, fails, traced = SITUATIONS[name]

    def run(steps: Steps) -> Any:
        outcome = attempt(engine, steps, request, traced, True, tls)
        # The step may also have been the end of something that needed no waiting any more.
        assert type(outcome) in (Cancelled, fails or type(None)), repr(outcome)
        return outcome

    outcome = at_every_step(late, run)
    assert type(outcome) is (fails or type(None)), repr(outcome)


@pytest.mark.parametrize("engine_name", ["asyncio", "trio"])
def test_a_request_that_is_cancelled_while_its_connection_is_made_leaves_nothing(
    engine_name: str, tls: bool, late: bool
):
    engine = driver_named(engine_name)
    for traced in (False, True):
        outcome = at_every_step(late, lambda steps: attempt(engine, steps, get, traced, False, tls))  # noqa: B023
        assert outcome is None


@pytest.mark.parametrize("engine_name", ["asyncio", "trio"])
@pytest.mark.parametrize("victim", ["first", "second"])
def test_of_two_that_wait_for_one_dial_either_may_be_cancelled(engine_name: str, victim: str, late: bool):
    """The second one waits for the end of the first one's dial, and must not wait for ever when that is given up."""
    engine = driver_named(engine_name)

    def run(steps: Steps) -> Any:
        async def main() -> Any:
            with StreamServer() as server, no_lost_exceptions():
                client = make_client(**prior(server.url))
                texts: list[str] = []

                async def other() -> None:
                    texts.append((await client.get("/id", headers={"X-Id": "other"})).text)

                async with in_background(other if victim == "second" else (lambda: turns(1))):
                    if victim == "second":
                        await turns()
                    with steps.watching():
                        task = functools.partial(get, client)
                        if victim == "first":

                            async def both() -> Any:
                                async with in_background(other):
                                    await get(client)
                                    await until(lambda: bool(texts))

                            task = both  # type: ignore[assignment]
                        outcome = await bounded(steps.run(task))
                    if victim == "second":
                        await bounded(until(lambda: bool(texts)))
                assert texts in (["other"], []) if victim == "first" else texts == ["other"]
                await settled(client)
                assert (await bounded(client.get("/id"))).text == "-"
                await settled(client)
                await client.aclose()
                return outcome

        with nothing_left():
            return engine.run_bare(main)

    assert at_every_step(late, run) is None


@pytest.mark.parametrize("engine_name", ["asyncio", "trio"])
def test_who_waits_for_a_place_on_a_full_connection_may_be_cancelled(engine_name: str, late: bool):
    engine = driver_named(engine_name)

    def run(steps: Steps) -> Any:
        async def main() -> Any:
            with StreamServer(max_streams=1) as server, no_lost_exceptions():
                client = make_client(**prior(server.url, limits=httpx.Limits(max_connections=1)))
                await client.get("/id")
                async with client.stream("GET", "/stall") as response:

                    async def release_when_somebody_waits() -> None:
                        await until(lambda: engines_of(client)[0].pool.counts()[3] == 1)
                        await response.aclose()

                    with steps.watching():
                        async with in_background(release_when_somebody_waits):
                            outcome = await bounded(steps.run(functools.partial(get, client)))
                await settled(client)
                assert (await bounded(client.get("/id"))).text == "-"
                await settled(client)
                await client.aclose()
                return outcome

        with nothing_left():
            return engine.run_bare(main)

    assert at_every_step(late, run) is None


@pytest.mark.parametrize("engine_name", ["asyncio", "asyncio-fallback", "trio"])
@pytest.mark.parametrize("path", ["/silent", "/stall"])
def test_a_client_that_is_closed_at_any_step_ends_its_requests(engine_name: str, path: str):
    """The harm: a request that waited for ever, and a task or a descriptor that outlived its client."""
    engine = driver_named(engine_name)

    def run(steps: Steps) -> Any:
        async def main() -> Any:
            before: set[Any] = set() if in_trio() else asyncio.all_tasks()
            with StreamServer() as server, no_lost_exceptions():
                client = make_client(**prior(server.url, timeout=None))
                now: list[bool] = []
                steps._act = functools.partial(now.append, True)

                async def close() -> None:
                    # The last step is the one after which nothing happens: then all is quiet.
                    asked = functools.partial(len, server.asked)
                    for _ in range(2000):
                        if now:
                            break
                        await turns()
                    await until(lambda: bool(now) or asked() > 0)
                    await client.aclose()

                async with in_background(close):
                    with steps.watching():
                        outcome = await bounded(steps.run(functools.partial(client.get, path)))
                await client.aclose()
                assert all(engine.pool.counts() == (0, 0, 0, 0) for engine in engines_of(client))
                await no_task_left(steps, before)
                return outcome

        with nothing_left():
            outcome = engine.run_bare(main)
        assert isinstance(outcome, (httpx.NetworkError, httpx.RemoteProtocolError)) or "closed" in str(outcome), outcome
        return outcome

    at_every_step(False, run)
