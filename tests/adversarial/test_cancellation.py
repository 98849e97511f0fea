"""
A request that is cancelled leaves nothing behind, wherever it is cancelled: at every suspension of every task, in turn.

After each: the pool holds nothing that is in use, no task is left, no descriptor is open that was not there before,
nothing warns, and the next request of the same client gets its own answer.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Generator
from typing import Any, Callable

import pytest

import httpx
from support.cancelling import at_every_step, bounded, in_background, make_client, no_task_left
from support.engines import ASYNC_NAMES, EngineDriver, driver_named
from support.leaks import engines_of, no_lost_exceptions, nothing_left, settled
from support.peer import Peer, blackhole, stalling_tls
from support.steps import Cancelled, Steps, in_trio, turns, until

SHORT = 0.02  # seconds: what never answers is given up then, so that the run that is not cancelled ends


@pytest.fixture(params=["early", "late"])
def late(request: pytest.FixtureRequest) -> bool:
    """See `support.steps`."""
    return bool(request.param == "late")


class Situation:
    """
    What a request is doing when it is cancelled.

    Args:
        request: makes it; gets the client and the peer.
        fails: with what, when it is not cancelled; None if it succeeds.
        traced: with an async trace callback that suspends, so that there are suspensions between all steps?
        options: for the client.
    """

    def __init__(
        self,
        request: Callable[[Any, Peer], Any],
        fails: type[Exception] | None = None,
        traced: bool = False,
        **options: Any,
    ) -> None:
        self.request = request
        self.fails = fails
        self.traced = traced
        self.options = options


async def wait_for_head(client: Any, peer: Peer) -> None:
    await client.get(f"{peer.url}/silent", timeout=SHORT)


async def wait_for_rest_of_head(client: Any, peer: Peer) -> None:
    await client.get(f"{peer.url}/half", timeout=httpx.Timeout(5, read=SHORT))


async def wait_for_rest_of_body(client: Any, peer: Peer) -> None:
    await client.get(f"{peer.url}/stall", timeout=httpx.Timeout(5, read=SHORT))


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
    await client.post(f"{peer.url}/unread", content=bytes(8_000_000), timeout=httpx.Timeout(5, write=SHORT))


async def pieces_of_upload(number: int = 40, size: int = 200_000) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield bytes(size)
        await turns()


async def upload_pieces(client: Any, peer: Peer) -> None:
    await client.post(f"{peer.url}/unread", content=pieces_of_upload(), timeout=httpx.Timeout(5, write=SHORT))


async def upload_small_pieces(client: Any, peer: Peer) -> None:
    response = await client.post(f"{peer.url}/echo", content=pieces_of_upload(3, 1))
    assert response.content == b"-\0\0\0"


async def ask_before_upload(client: Any, peer: Peer) -> None:
    headers = {"Expect": "100-continue"}
    response = await client.post(f"{peer.url}/echo", content=b"body", headers=headers)
    assert response.text == "-body"


async def be_told(client: Any, peer: Peer) -> None:
    async def hook(hint: httpx.Response) -> None:
        assert hint.headers["link"] == "</a.css>"
        await turns()

    response = await client.get(f"{peer.url}/hinted", extensions={"informational": hook}, headers={"X-Id": "told"})
    assert response.text == "told"


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


async def wait_in_queue(client: Any, peer: Peer) -> None:
    """One connection for two: the second waits in the queue, until the first is released."""
    async with client.stream("GET", f"{peer.url}/stall") as response:

        async def release_when_somebody_waits() -> None:
            await until(lambda: engines_of(client)[0].pool.counts()[3] == 1)
            await response.aclose()

        async with in_background(release_when_somebody_waits):
            answer = await client.get(f"{peer.url}/echo", headers={"X-Id": "queued"})
        assert answer.text == "queued"


class Outer:
    """
    A middleware that pauses, calls and counts.

    Attributes:
        open: how many requests are in it.
    """

    def __init__(self) -> None:
        self.open = 0

    def __call__(self, request: httpx.Request) -> Generator[Any, Any, Any]:
        self.open += 1
        try:
            yield httpx.Step.pause(0)
            yield httpx.Step.call(turns)
            yield httpx.Step.call(len, b"", blocking=True)
            return (yield request)
        finally:
            self.open -= 1


def again(request: httpx.Request) -> Generator[Any, Any, Any]:
    """A middleware that sends twice, drops the first response, and reads the second."""
    yield request
    yield httpx.Step.pause(0.001)
    response = yield request
    yield httpx.Step.read(response)
    return response


OUTER = Outer()
THREE = [OUTER, again, OUTER]


async def through_middleware(client: Any, peer: Peer) -> None:
    try:
        response = await client.get(f"{peer.url}/echo", headers={"X-Id": "again"})
        assert response.text == "again"
    finally:
        assert OUTER.open == 0


async def silence_through_middleware(client: Any, peer: Peer) -> None:
    try:
        await client.get(f"{peer.url}/stall", timeout=httpx.Timeout(5, read=SHORT))
    finally:
        assert OUTER.open == 0


async def subscribe(client: Any, peer: Peer) -> None:
    """Read an event stream that is lost and opened again, once."""
    seen = []

    def prepare(request: httpx.Request) -> httpx.Request | None:
        return request if len(seen) < 2 else None

    reconnect = httpx.Reconnect(delay=0, prepare=prepare)
    async with client.sse(f"{peer.url}/events", reconnect=reconnect) as source:
        async for event in source:
            seen.append(event.data)
    assert seen == ["1", "1"]


async def be_sent_again(client: Any, peer: Peer) -> None:
    response = await client.get(f"{peer.url}/echo", headers={"X-Id": "again"})
    assert response.text == "again"
    assert len(response.attempts) == 2


# Always a pause and a second attempt.
RETRY = httpx.Retry(2, statuses=[200], backoff=0.001, budget=None)

ONE = httpx.Limits(max_connections=1)

SITUATIONS = {
    "waiting for the head": Situation(wait_for_head, httpx.ReadTimeout),
    "in the head": Situation(wait_for_rest_of_head, httpx.ReadTimeout),
    "in the body": Situation(wait_for_rest_of_body, httpx.ReadTimeout),
    "streaming": Situation(stream),
    "streaming, traced": Situation(stream, traced=True),
    "leaving a stream, traced": Situation(leave_stream, traced=True),
    "uploading": Situation(upload, httpx.WriteTimeout),
    "uploading pieces": Situation(upload_pieces, httpx.WriteTimeout),
    "uploading small pieces, traced": Situation(upload_small_pieces, traced=True),
    "asking before the upload": Situation(ask_before_upload),
    "being told of interim responses": Situation(be_told),
    "being redirected, traced": Situation(be_redirected, traced=True),
    "resolving, traced": Situation(resolve_name, traced=True),
    "on a stale connection": Situation(use_stale_connection),
    "through middleware, traced": Situation(through_middleware, traced=True, middleware=THREE),
    "through middleware, in the body": Situation(silence_through_middleware, httpx.ReadTimeout, middleware=THREE),
    "reading events": Situation(subscribe),
    "reading events, traced": Situation(subscribe, traced=True),
    "sent again by middleware": Situation(be_sent_again, middleware=[RETRY]),
    "sent again by middleware, in the body": Situation(wait_for_rest_of_body, httpx.ReadTimeout, middleware=[RETRY]),
    "in the queue": Situation(wait_in_queue, limits=ONE),
    "in the queue, traced": Situation(wait_in_queue, traced=True, limits=ONE),
}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the connections of an event stream."""
    monkeypatch.setattr("httpx._subscription.LEAST_WAIT", 0.001)


def attempt(
    engine: EngineDriver, steps: Steps, *, request: Callable[[Any, Peer], Any], tls: bool = False, **options: Any
) -> Any:
    """Run it once, cancelled at the step, and look around afterwards; what came of the request."""

    async def main() -> Any:
        before: set[Any] = set() if in_trio() else asyncio.all_tasks()
        with Peer(tls=tls) as peer, steps.watching(), no_lost_exceptions():
            client = make_client(**options)
            outcome = await steps.run(functools.partial(request, client, peer))
            peer.let_go()
            await settled(client)
            answer = await client.get(f"{peer.url}/echo", headers={"X-Id": f"after{steps.at}"})
            assert answer.text == f"after{steps.at}"
            await settled(client)
            await client.aclose()
            await no_task_left(steps, before)
            return outcome

    with nothing_left():
        return engine.run_bare(main)


# TLS where it makes a difference, and uvloop, which runs the same code as asyncio, where the loop does.
OVER_TLS = ("in the body", "streaming", "uploading pieces", "uploading small pieces, traced", "on a stale connection")
ON_UVLOOP = ("streaming, traced", "uploading", "resolving, traced", "in the queue")
CASES = [
    pytest.param(name, engine, tls, id=f"{engine}-{'tls' if tls else 'plain'}-{name}")
    for name in SITUATIONS
    for engine in ASYNC_NAMES
    for tls in (False, True)
    if not (tls and (name not in OVER_TLS or engine not in ("asyncio", "trio")))
    and not (engine == "uvloop" and name not in ON_UVLOOP)
    and not (engine == "asyncio-fallback" and "middleware" in name)
]


@pytest.mark.parametrize(("name", "engine_name", "tls"), CASES)
def test_a_request_that_is_cancelled_leaves_nothing_behind(
    name: str, engine_name: str, tls: bool, late: bool, short_patience: float
):
    engine = driver_named(engine_name)
    situation = SITUATIONS[name]

    def run(steps: Steps) -> Any:
        outcome = attempt(
            engine, steps, request=situation.request, tls=tls, traced=situation.traced, **situation.options
        )
        # The step may also have been the end of something that needed no waiting any more.
        assert type(outcome) in (Cancelled, situation.fails or type(None)), repr(outcome)
        return outcome

    outcome = at_every_step(late, run)
    assert type(outcome) is (situation.fails or type(None)), repr(outcome)


def test_a_request_that_is_cancelled_while_it_connects_leaves_nothing_behind(engine: EngineDriver, late: bool):
    with blackhole() as (host, port):

        async def connect(client: Any, peer: Peer) -> None:
            await client.get(f"http://{host}:{port}/", timeout=SHORT)

        for traced in (False, True):
            outcome = at_every_step(late, functools.partial(attempt, engine, request=connect, traced=traced))
            assert type(outcome) is httpx.ConnectTimeout


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_request_that_is_cancelled_in_a_tls_handshake_leaves_nothing_behind(
    engine: EngineDriver, late: bool, share: float
):
    # After the whole flight the client has a session, and it is the answer that does not come.
    timeout = httpx.Timeout(5, **{"read" if share == 1 else "connect": SHORT})

    async def connect(client: Any, peer: Peer) -> None:
        with stalling_tls(share) as server:
            await client.get(f"https://127.0.0.1:{server.port}/", timeout=timeout)

    outcome = at_every_step(late, functools.partial(attempt, engine, request=connect))
    assert type(outcome) is (httpx.ReadTimeout if share == 1 else httpx.ConnectTimeout)


@pytest.mark.parametrize("name", ["dial", "queue", "silence", "upload", "body"])
@pytest.mark.parametrize(
    ("engine_name", "kind"),
    [
        (engine, kind)
        for engine in ("asyncio", "asyncio-fallback", "trio")
        for kind in ("plain", "tls", "traced")
        if kind == "plain" or engine != "asyncio-fallback"
    ],
)
def test_a_client_that_is_closed_in_the_middle_ends_its_requests(engine_name: str, name: str, kind: str):
    """The harm: a request that waited for ever, and a task or a descriptor that outlived its client."""
    engine = driver_named(engine_name)
    tls, traced = kind == "tls", kind == "traced"

    async def request(client: Any, peer: Peer, address: tuple[str, int]) -> None:
        if name == "dial":
            await client.get("http://{}:{}/".format(*address))
        elif name == "queue":
            async with client.stream("GET", f"{peer.url}/stall"):
                await client.get(f"{peer.url}/echo")
        elif name == "silence":
            await client.get(f"{peer.url}/silent")
        elif name == "body":
            await client.get(f"{peer.url}/stall")
        else:
            await client.post(f"{peer.url}/unread", content=bytes(8_000_000))

    def run(steps: Steps) -> Any:
        async def main() -> Any:
            before: set[Any] = set() if in_trio() else asyncio.all_tasks()
            with Peer(tls=tls) as peer, blackhole() as address, no_lost_exceptions():
                # Nothing times out here: what does not end by itself hangs, and the test finds that.
                client = make_client(traced, timeout=None, limits=ONE)
                now: list[bool] = []
                steps._act = functools.partial(now.append, True)

                async def close() -> None:
                    # Where nothing happens any more there is no step, so the last run closes when all is quiet.
                    count, since = -1, time.monotonic()
                    while not now and time.monotonic() - since < SHORT:
                        if steps.count != count:
                            count, since = steps.count, time.monotonic()
                        await turns()
                    await client.aclose()

                async with in_background(close):
                    with steps.watching():
                        outcome = await bounded(steps.run(functools.partial(request, client, peer, address)))
                    peer.let_go()
                await client.aclose()
                assert all(engine.pool.counts() == (0, 0, 0, 0) for engine in engines_of(client))
                await no_task_left(steps, before)
                return outcome

        with nothing_left():
            outcome = engine.run_bare(main)
        assert isinstance(outcome, (httpx.NetworkError, httpx.RemoteProtocolError)) or "closed" in str(outcome), outcome
        return outcome

    at_every_step(False, run)
