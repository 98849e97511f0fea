"""
A request that is cancelled leaves nothing behind, wherever it is cancelled: at every suspension of every task, in turn.

After each: the pool holds nothing that is in use, no task is left, no descriptor is open that was not there before,
nothing warns, and the next request of the same client gets its own answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

import pytest

import httpx
from support import certs
from support.drivers import Driver, missing
from support.peer import Peer, blackhole, counts_of, descriptors, engines_of, stalling_tls
from support.servers import ScriptedServer
from support.steps import Cancelled, Steps, in_trio, turns, until

SHORT = 0.03  # seconds: what never answers is given up then, so that the run that is not cancelled ends

ENGINES = ("asyncio", "asyncio-fallback", "uvloop", "trio")
WAYS = ("early", "late")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Driver:
    reason = missing(request.param)
    if reason is not None:
        pytest.skip(reason)
    return Driver(request.param)


@pytest.fixture(params=WAYS)
def late(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "late")


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """There are thousands of collections here: they should look at what the test made, and not at all of Python."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Fails if a descriptor is left open, or something warned, or an exception was lost."""
    before = descriptors()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert not caught, [str(warning.message) for warning in caught]
    left = descriptors() - before
    assert not left, f"left open: {left}"


async def settled(client: Any) -> None:
    """In a few turns of the loop everything that ended has told the pool; then nothing is in use."""
    for _ in range(20):
        opened, idle, dials, waiting = counts_of(client)
        if opened == idle and not dials and not waiting:
            return
        await turns()
    raise AssertionError(f"open, idle, dials, waiting: {counts_of(client)}")


def own_context() -> Any:
    """One for all: making it takes longer than a request."""
    if not hasattr(own_context, "made"):
        own_context.made = certs.client_context()  # type: ignore[attr-defined]
    return own_context.made  # type: ignore[attr-defined]


class Situation:
    """
    What a request is doing when it is cancelled.

    Args:
        request: makes it; gets the client and the peer.
        tls: also over TLS?
        traced: with an async trace callback that suspends, so that there are suspensions between all steps?
        options: for the client.
    """

    def __init__(
        self, request: Callable[[Any, Peer], Any], tls: bool = False, traced: bool = False, **options: Any
    ) -> None:
        self.request = request
        self.tls = tls
        self.traced = traced
        self.options = options


async def wait_for_head(client: Any, peer: Peer) -> None:
    await client.get(f"{peer.url}/silent")


async def wait_for_rest_of_head(client: Any, peer: Peer) -> None:
    await client.get(f"{peer.url}/half")


async def wait_for_rest_of_body(client: Any, peer: Peer) -> None:
    await client.get(f"{peer.url}/stall")


async def stream(client: Any, peer: Peer) -> None:
    received = b""
    async with client.stream("GET", f"{peer.url}/pieces") as response:
        peer.more()
        async for piece in response.aiter_bytes():
            received += piece
            peer.more()
    assert received == b"onetwothree"


async def leave_stream(client: Any, peer: Peer) -> None:
    async with client.stream("GET", f"{peer.url}/pieces") as response:
        peer.more()
        async for _ in response.aiter_bytes():
            break


async def upload(client: Any, peer: Peer) -> None:
    await client.post(f"{peer.url}/unread", content=bytes(8_000_000))


async def pieces_of_upload() -> AsyncIterator[bytes]:
    for _ in range(80):
        yield bytes(100_000)
        await turns()


async def upload_pieces(client: Any, peer: Peer) -> None:
    await client.post(f"{peer.url}/unread", content=pieces_of_upload())


async def upload_small_pieces(client: Any, peer: Peer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"piece"
            await turns()

    response = await client.post(f"{peer.url}/echo", content=pieces())
    assert response.text == "-piecepiecepiece"


async def ask_before_upload(client: Any, peer: Peer) -> None:
    await client.post(f"{peer.url}/silent", content=b"body", headers={"Expect": "100-continue"})


async def be_redirected(client: Any, peer: Peer) -> None:
    response = await client.get(f"{peer.url}/moved", follow_redirects=True, headers={"X-Id": "there"})
    assert response.text == "there"


async def resolve_name(client: Any, peer: Peer) -> None:
    # "localhost" is often ::1 first, where nobody listens: so this is a race of two attempts, too.
    response = await client.get(f"{peer.url}/echo".replace("127.0.0.1", "localhost"), headers={"X-Id": "named"})
    assert response.text == "named"


async def use_stale_connection(client: Any, peer: Peer) -> None:
    for number in range(2):
        response = await client.get(f"{peer.url}/end", headers={"X-Id": f"n{number}"})
        assert response.text == f"n{number}"


async def two_at_once(client: Any, peer: Peer) -> None:
    """One connection for two: the second waits in the queue, and is the one that is cancelled."""
    async with client.stream("GET", f"{peer.url}/stall") as response:
        engine = engines_of(client)[0]

        async def release_when_somebody_waits() -> None:
            await until(lambda: engine.pool.counts()[3] == 1)
            await response.aclose()

        if in_trio():
            import trio

            async with trio.open_nursery() as nursery:
                nursery.start_soon(release_when_somebody_waits)
                answer = await client.get(f"{peer.url}/echo", headers={"X-Id": "queued"})
        else:
            helper = asyncio.ensure_future(release_when_somebody_waits())
            try:
                answer = await client.get(f"{peer.url}/echo", headers={"X-Id": "queued"})
            finally:
                helper.cancel()
                await asyncio.wait([helper])
        assert answer.text == "queued"


SITUATIONS = {
    "waiting for the head": Situation(wait_for_head),
    "in the head": Situation(wait_for_rest_of_head),
    "in the body": Situation(wait_for_rest_of_body),
    "streaming": Situation(stream),
    "streaming, traced": Situation(stream, traced=True),
    "leaving a stream, traced": Situation(leave_stream, traced=True),
    "uploading": Situation(upload),
    "uploading pieces": Situation(upload_pieces),
    "uploading small pieces": Situation(upload_small_pieces, traced=True),
    "asking before the upload": Situation(ask_before_upload),
    "being redirected, traced": Situation(be_redirected, traced=True),
    "resolving, traced": Situation(resolve_name, traced=True),
    "on a stale connection": Situation(use_stale_connection),
    "in the queue": Situation(two_at_once, limits=httpx.Limits(max_connections=1)),
    "in the queue, traced": Situation(two_at_once, traced=True, limits=httpx.Limits(max_connections=1)),
}


async def suspending_trace(event: str, info: dict[str, Any]) -> None:
    await turns()


def attempt(
    engine: Driver,
    steps: Steps,
    request: Callable[[Any, Peer], Any],
    tls: bool = False,
    traced: bool = False,
    **options: Any,
) -> Any:
    """Run it once, cancelled at the step, and look around afterwards; what came of the request."""
    lost: list[Any] = []

    async def main() -> Any:
        if not in_trio():
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
        before = set() if in_trio() else asyncio.all_tasks()
        with Peer(tls=tls) as peer, steps.watching():
            timeout = httpx.Timeout(5, read=SHORT, write=SHORT, connect=options.pop("connect", 5))
            client = httpx.AsyncClient(verify=own_context(), timeout=timeout, trust_env=False, **options)

            async def victim() -> None:
                await request(client, peer)

            if traced:
                send = client._transport.handle_async_request

                async def with_trace(request: httpx.Request) -> httpx.Response:
                    request.extensions = {**request.extensions, "trace": suspending_trace}
                    return await send(request)

                client._transport.handle_async_request = with_trace  # type: ignore[method-assign]
            outcome = await steps.run(victim)
            peer.let_go()
            await settled(client)
            number = f"after{steps.at}"
            answer = await client.get(f"{peer.url}/echo", headers={"X-Id": number}, timeout=5)
            assert answer.text == number
            await settled(client)
            await client.aclose()
            for _ in range(20):
                left = steps.tasks if in_trio() else asyncio.all_tasks() - before
                if not left:
                    break
                await turns()
            assert not left, left
            return outcome

    with nothing_left():
        outcome = engine.run_bare(main)
        gc.collect()
    assert not lost, lost
    return outcome


def at_every_step(run: Callable[[int], Steps], most: int = 400) -> None:
    """Run it for step 1, 2, ... until it is not reached any more."""
    for number in range(1, most):
        steps = run(number)
        if not steps.reached:
            assert number > 1, "there was nothing to cancel"
            return
    raise AssertionError(f"still more steps after {most}")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", SITUATIONS)
def test_a_request_that_is_cancelled_leaves_nothing_behind(engine: Driver, name: str, tls: bool, late: bool):
    situation = SITUATIONS[name]

    def run(number: int) -> Steps:
        steps = Steps(number, late)
        outcome = attempt(engine, steps, situation.request, tls, situation.traced, **situation.options)
        if not steps.reached:
            assert outcome is None or isinstance(outcome, httpx.TimeoutException), outcome
        elif isinstance(outcome, Exception):
            # The step may have been the end of something that needed no waiting any more.
            assert isinstance(outcome, (Cancelled, httpx.TimeoutException)), repr(outcome)
        return steps

    at_every_step(run)
