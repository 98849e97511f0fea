"""
An exception out of a signal handler, as Ctrl-C and soft time limits are, after any bytecode of a request.

Whatever it interrupts: each slot of the pool is free or held by a connection that is known, no lock stays locked, no
connection serves two requests, and the next request works.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import random
import signal
import sys
import threading
import types
from collections.abc import Generator, Iterator
from typing import Any, Callable

import pytest

import httpx
from httpx._cookies import mapping
from httpx._engine.async_body import AsyncBody
from httpx._engine.http2.async_common import AsyncStreamBody
from httpx._engine.http2.sync import SyncStreamBody
from httpx._engine.sync import SyncBody
from httpx._engine.websocket.keeper import KEEPER
from httpx._reading import AsyncPieces
from httpx._transports import asgi_portal
from support.depth import QUICK
from support.http2 import StreamServer, prior
from support.interrupts import ENGINE, ON_LOOPS, PACKAGE, Interrupted, interrupt, is_locked, opcodes_of
from support.leaks import counts_of, engines_of, trusting_context, wait_for
from support.peer import Peer
from support.pools import check_pool
from support.servers import Conn, ScriptedServer
from support.websocket import echo as echo_messages
from support.websocket import opened
from support.websocket_side import text

# So many bytecodes of each scenario are tried, spread over it; which ones differs from run to run.
TRIED = 40 if QUICK else 120
SIGNALS = 60 if QUICK else 200
LARGE = b"x" * 300_000  # does not arrive with its head

pytestmark = [
    # A socket that nothing refers to any more is closed by the interpreter, which is as good here.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What was interrupted may be in cycles: it goes here, and warns nobody else."""
    yield
    gc.collect()


class Soft(Exception):
    """As the soft time limits of task queues: an exception that `except Exception` catches."""


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the connections of an event stream."""
    monkeypatch.setattr("httpx._subscription.LEAST_WAIT", 0.001)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer(tls=request.param, timeout=30) as peer:
        yield peer


def client_of(peer: Any, **options: Any) -> httpx.Client:
    limits = httpx.Limits(max_connections=2)
    return httpx.Client(timeout=httpx.Timeout(10, pool=5), limits=limits, verify=trusting_context(), **options)


def echo(client: httpx.Client, url: str, name: str) -> None:
    assert client.get(f"{url}/echo", headers={"X-Id": name}).text == name


def get(client: httpx.Client, url: str) -> None:
    echo(client, url, "interrupted")


LIMITED = (
    *(str(PACKAGE / "_middleware" / f"{name}.py") for name in ("rate", "pacing", "rate_fields")),
    *(str(PACKAGE / name) for name in ("_latch.py", "_structured.py", "_transports/latches.py")),
)


@pytest.mark.parametrize(
    "options", [{"rate": 1e6, "burst": 1}, {"concurrency": 1}, {"concurrency": "auto", "rate": 1e9}, {}], ids=str
)
def test_an_interrupted_request_leaves_its_rate_limit_whole(options: dict[str, Any]):
    """Harm: a place that no request has and none gets, or a lock that stays locked for all other threads."""
    layer = httpx.RateLimit(**options)
    fields = {"RateLimit-Policy": '"a";q=1000000;w=1', "RateLimit": '"a";r=1000000;t=1'}

    def finish(flow: Any, asked: Any) -> None:
        """Go on until the response is returned."""
        with contextlib.suppress(StopIteration):
            while True:
                is_sent = isinstance(asked, httpx.Request)
                asked = flow.send(httpx.Response(200, headers=fields) if is_sent else True)

    def two_requests() -> None:
        first, second = (layer(httpx.Request("GET", "http://www.example.org/")) for _ in range(2))
        try:
            asked = next(first)
            later = next(second)  # with one place it waits
            finish(first, asked)
            finish(second, later)
        finally:
            first.close()
            second.close()

    count = opcodes_of(two_requests, LIMITED)
    for number in sorted(random.sample(range(1, count + 1), min(TRIED, count))):
        layer._forget()
        with contextlib.suppress(Interrupted):
            interrupt(two_requests, LIMITED, number)
        assert not is_locked(layer._lock), number
        for bucket in layer._buckets.values():
            assert bucket.places is None or (not bucket.places.holders and not bucket.places.waiting), number
            assert not bucket.under_way, number
        two_requests()


BELOW_CLIENTS = tuple(str(PACKAGE / name) for name in ("_cookies", "_auth", "_transports/choice.py"))


def test_an_interrupted_request_leaves_no_lock_of_cookies_digests_and_proxies_locked(peer: Peer):
    """Harm: all other threads wait for ever for a jar, a nonce or a proxy; or an engine counts as in use for ever."""
    digest = httpx.DigestAuth("ann", "secret")
    client = httpx.Client(verify=trusting_context(), auth=digest, cookies={"a": "b"})
    challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n"', "Set-Cookie": "sid=1"}
    transport = client._transport_for_url(httpx.URL(peer.url))
    handle = transport.handle_request

    def challenging(request: httpx.Request) -> httpx.Response:
        if "authorization" not in request.headers:
            return httpx.Response(401, headers=challenge)
        return handle(request)

    transport.handle_request = challenging

    def scenario() -> None:
        digest._begin_anew()
        client.get(f"{peer.url}/echo", extensions={"proxy": None})
        other = httpx.Cookies()
        other.set("a", "1")
        other.update(client.cookies)
        with contextlib.suppress(httpx.TransportError):
            client.get(f"{peer.url}/echo", auth=None, extensions={"proxy": "http://127.0.0.1:9"})

    choice = transport._choice
    count = opcodes_of(scenario, BELOW_CLIENTS)
    for number in sorted(random.sample(range(1, count + 1), min(TRIED, count))):
        with contextlib.suppress(Interrupted):
            interrupt(scenario, BELOW_CLIENTS, number)
        gc.collect()
        assert not is_locked(client.cookies.jar._cookies_lock), number  # type: ignore[attr-defined]  # not in typeshed
        assert not is_locked(choice._lock), number
        assert not is_locked(mapping._CREATING), number
        assert not any(entry.is_busy() for entry in choice._entries.values()), number
    scenario()
    client.close()


def test_an_interrupted_first_request_on_a_loop_leaves_the_transport_unlocked():
    """Harm: the next event loop, or `aclose`, waited for ever."""
    files = (str(PACKAGE / "_transports" / "default.py"), str(PACKAGE / "_transports" / "choice.py"))

    async def use(transport: httpx.AsyncHTTPTransport) -> None:
        transport._new_engine()
        await transport.aclose()

    def scenario() -> None:
        coroutine = use(httpx.AsyncHTTPTransport() if made is None else made)
        try:
            with contextlib.suppress(StopIteration):
                coroutine.send(None)
        finally:
            coroutine.close()

    async def main() -> None:
        nonlocal made
        count = opcodes_of(scenario, files)
        for number in sorted(random.sample(range(1, count + 1), min(TRIED, count))):
            made = httpx.AsyncHTTPTransport()
            with contextlib.suppress(Interrupted):
                interrupt(scenario, files, number)
            assert not is_locked(made._lock), number
            assert not is_locked(made._choice._lock), number
            await made.aclose()

    made: httpx.AsyncHTTPTransport | None = None
    asyncio.run(main())


def test_an_interrupted_request_to_an_app_leaves_its_thread_to_be_ended(plain_app: Any):
    """Harm: `close` waited for ever for a lock, or the thread of the app lived on."""
    files = (str(PACKAGE / "_transports" / "asgi_portal.py"),)
    made: list[httpx.ASGITransport] = []

    def scenario() -> None:
        made.append(httpx.ASGITransport(plain_app))
        with httpx.Client(transport=made[-1]) as client:
            assert client.get("http://app/").text == "ok"

    count = opcodes_of(scenario, files)
    for number in sorted(random.sample(range(1, count + 1), min(TRIED, count))):
        with contextlib.suppress(Interrupted):
            interrupt(scenario, files, number)
        portal = made[-1]._portal
        worker = portal._worker
        assert not is_locked(portal._lock), number
        made[-1].close()
        if worker is not None:
            assert not is_locked(worker._lock), number
            worker._thread.join(10)
            assert not worker.is_alive(), number
    # Nor does one live on that nothing refers to.
    wait_for(lambda: not asgi_portal._WORKERS)


@pytest.fixture
def plain_app() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def post_pieces(client: httpx.Client, url: str) -> None:
    assert client.post(f"{url}/echo", content=iter([b"a", b"b"])).text == "-ab"


def stream(client: httpx.Client, url: str) -> None:
    with client.stream("POST", f"{url}/echo", content=LARGE) as response:
        assert sum(map(len, response.iter_raw())) == len(LARGE) + 1


def leave_early(client: httpx.Client, url: str) -> None:
    with client.stream("POST", f"{url}/echo", content=LARGE) as response:
        next(response.iter_raw())


def fail(client: httpx.Client, url: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"{url}/silent", timeout=httpx.Timeout(10, read=0.001))


def again(request: httpx.Request) -> Generator[Any, Any, Any]:
    """A middleware that sends twice, drops the first response, and reads the second."""
    yield request
    response = yield request
    yield httpx.Step.read(response)
    return response


def through_middleware(client: httpx.Client, url: str) -> None:
    client._layers = (again, again)
    try:
        get(client, url)
    finally:
        client._layers = ()


def subscribe(client: httpx.Client, url: str) -> None:
    """Read an event stream that is lost and opened again, once."""
    seen: list[str] = []
    reconnect = httpx.Reconnect(delay=0, prepare=lambda request: request if len(seen) < 2 else None)
    with client.sse(f"{url}/events", reconnect=reconnect) as source:
        for event in source:
            seen.append(event.data)  # one by one: `prepare` looks at it
    assert seen == ["1", "1"]


def queue(client: httpx.Client, url: str) -> None:
    """Both slots are taken by another thread, which gives one back as soon as this one waits."""
    pool = engines_of(client)[0].pool
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with client.stream("POST", f"{url}/echo", content=LARGE), client.stream("POST", f"{url}/echo", content=LARGE):
            taken.set()
            while not over.is_set() and not pool.counts()[3]:
                over.wait(0.0005)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        taken.wait()
        get(client, url)
    finally:
        over.set()
        thread.join()


def check(client: httpx.Client, url: str, where: str) -> None:
    """The client is as good as new."""
    (engine,) = engines_of(client)
    pool = engine.pool
    free: list[bool] = []

    def look() -> None:
        free.append(engine.lock.acquire(timeout=5))
        engine.lock.release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert free == [True], f"the lock stays locked: {where}"
    echo(client, url, "next")
    assert pool._claims == {}, where
    assert not pool.changing
    check_pool(pool)
    opened, idle, dials, waiting = pool.counts()
    assert (opened, dials, waiting) == (idle, 0, 0), where
    assert opened <= 2
    options: dict[str, Any] = {"content": LARGE, "timeout": httpx.Timeout(10, pool=1)}
    with client.stream("POST", f"{url}/echo", **options) as one, client.stream("POST", f"{url}/echo", **options) as two:
        assert (len(one.read()), len(two.read())) == (len(LARGE) + 1, len(LARGE) + 1)


def points(count: int, tried: int = TRIED) -> list[int]:
    """Bytecodes to be interrupted, spread over all of them."""
    step = max(1, count // tried)
    return list(range(1 + random.randrange(step), count + 1, step))


@pytest.mark.parametrize("error", [Interrupted, Soft])
@pytest.mark.parametrize(
    "scenario", [get, post_pieces, stream, leave_early, fail, through_middleware, subscribe, queue]
)
def test_an_interrupted_request_loses_no_slot(peer: Peer, scenario: Callable[..., None], error: type[BaseException]):
    """Of 300 requests 42 lost their slot for good, and 11 left a raw KeyError to all that came after them."""
    with client_of(peer) as client:
        get(client, peer.url)
        for _ in range(2):
            count = opcodes_of(lambda: scenario(client, peer.url), ENGINE)
        interrupted = 0
        for number in points(count):
            try:
                interrupt(lambda: scenario(client, peer.url), ENGINE, number, error)
                where = "nowhere"
            except error as exc:
                where = str(exc)
                interrupted += 1
            check(client, peer.url, f"{where}, {number} of {count}")
        assert interrupted > 5


def test_an_interrupted_first_request_loses_no_slot(peer: Peer):
    with client_of(peer) as client:
        count = opcodes_of(lambda: get(client, peer.url), ENGINE)
    for number in points(count):
        with client_of(peer) as client:
            with contextlib.suppress(Interrupted):
                interrupt(lambda: get(client, peer.url), ENGINE, number)
            check(client, peer.url, str(number))


def test_an_interrupted_close_closes_everything(peer: Peer):
    def used() -> httpx.Client:
        client = client_of(peer)
        get(client, peer.url)
        return client

    count = opcodes_of(used().close, ENGINE)
    for number in points(count):
        client = used()
        (engine,) = engines_of(client)
        (connection,) = engine.pool.connections
        with contextlib.suppress(Interrupted):
            interrupt(client.close, ENGINE, number)
        client.close()
        engine.close()
        assert connection.wire.sock.fileno() == -1, number


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Sets the timer whose signal raises `Soft`."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("no setitimer")

    def handler(*_: Any) -> None:
        raise Soft("time is up")

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("scenario", [get, stream])
def test_real_signals_lose_no_slot(peer: Peer, scenario: Callable[..., None], alarm: Callable[[float], None]):
    dice = random.Random()
    interrupted = tries = 0
    with client_of(peer) as client:
        get(client, peer.url)
        while interrupted < SIGNALS and tries < 50 * SIGNALS:
            tries += 1
            try:
                alarm(dice.uniform(0.00002, 0.001))
                scenario(client, peer.url)
                alarm(0)
            except BaseException as exc:
                alarm(0)
                if not isinstance(exc, Soft):
                    raise
                interrupted += 1
        check(client, peer.url, f"after {interrupted} signals")
    assert interrupted > SIGNALS // 4


# WebSockets.

CHANNEL = tuple(str(PACKAGE / "_engine" / "websocket" / f"{name}.py") for name in ("sync", "keeper"))


@pytest.mark.parametrize("error", [Interrupted, Soft])
def test_an_interrupted_session_leaves_no_turn_taken(error: type[BaseException]):
    """
    The turn to send stayed taken: a close waited for it until its timeout, and other threads' sends for ever.

    With the lock of the keeper, which all sessions share, no WebSocket of the process could be opened or closed again.
    """
    channels: list[Any] = []

    def serve(conn: Conn) -> None:
        with contextlib.suppress(AssertionError):  # the client may go anywhere
            echo_messages(conn)

    def exchange(client: httpx.Client, url: str) -> None:
        with client.websocket(url) as ws:
            channels.append(ws._channel)
            ws.send("x")
            assert ws.receive(timeout=10) == "x"
            assert ws.ping().wait(10)

    with ScriptedServer([opened(), serve], timeout=30) as server, httpx.Client(timeout=10) as client:
        for _ in range(2):
            count = opcodes_of(lambda: exchange(client, server.url), CHANNEL)
        for number in points(count):
            with contextlib.suppress(error):
                interrupt(lambda: exchange(client, server.url), CHANNEL, number, error)
            locks = [KEEPER._lock, *(getattr(channels[-1], name) for name in ("_lock", "_read_turn", "_write_turn"))]
            assert not any(map(is_locked, locks)), number
            assert counts_of(client) == (0, 0, 0, 0), number
        exchange(client, server.url)


# HTTP/2, whose connection others use as well.


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def streams(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    with StreamServer(tls=request.param, timeout=30, websockets=True) as server:
        yield server


def get_id(client: httpx.Client) -> None:
    assert client.get("/id", headers={"X-Id": "a"}).text == "a"


def stream_bytes(client: httpx.Client) -> None:
    with client.stream("GET", "/bytes/300000") as response:
        assert len(response.read()) == 300_000


def leave_bytes(client: httpx.Client) -> None:
    with client.stream("GET", "/bytes/300000") as response:
        next(response.iter_raw())


def upload_pieces(client: httpx.Client) -> None:
    assert len(client.post("/id", content=iter([b"a" * 100_000, b"b"])).content) > 100_000


def time_out(client: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.get("/silent", timeout=httpx.Timeout(10, read=0.001))


def talk(client: httpx.Client) -> None:
    """A WebSocket on a stream, whose messages need more than a window."""
    with client.websocket("/ws/echo/0/a") as ws:
        assert ws.http_version == "HTTP/2"
        for number, size in enumerate((1, 100_000)):
            ws.send(text("a", "a", number, size))
            assert ws.receive(timeout=10) == text("a", "a", number, size)
        assert ws.ping().wait(10)


def check_streams(client: httpx.Client, where: str) -> None:
    """The client is as good as new."""
    (engine,) = engines_of(client)
    multiplexers = [connection.multiplexer for connection in engine.pool.connections]
    locks = [engine.lock, *(multiplexer._lock for multiplexer in multiplexers)]
    assert not any(map(is_locked, locks)), f"a lock stays locked: {where}"
    for multiplexer in multiplexers:
        assert multiplexer._reader is multiplexer._writer is None, where
        assert not multiplexer.waiting, where
    get_id(client)
    assert engine.pool._claims == {}, where
    assert not engine.pool.changing, where
    check_pool(engine.pool)
    assert engine.pool.users() == 0, where
    assert [connection.wire.users for connection in engine.pool.connections] == [[]], where


@pytest.mark.parametrize("error", [Interrupted, Soft])
@pytest.mark.parametrize("scenario", [get_id, stream_bytes, leave_bytes, upload_pieces, time_out, talk])
def test_an_interrupted_request_of_http2_loses_no_place(
    streams: StreamServer, scenario: Callable[..., None], error: type[BaseException]
):
    """
    The lock was released by a thread that did not have it, or never.

    The turn to receive stayed taken, and every request after it was a ReadTimeout. What a WebSocket was writing went on
    as if nothing had happened, on a connection that others use.
    """
    with httpx.Client(**prior(streams.url, timeout=10)) as client:
        get_id(client)
        for _ in range(2):
            count = opcodes_of(lambda: scenario(client), ENGINE)
        interrupted = 0
        for number in points(count, TRIED // 2):
            where = "nowhere"
            try:
                interrupt(lambda: scenario(client), ENGINE, number, error)
            except error as exc:
                where = str(exc)
                interrupted += 1
            check_streams(client, f"{where}, {number} of {count}")
        assert interrupted > 5


def test_a_wait_that_is_interrupted_breaks_no_connection_of_others(streams: StreamServer, alarm: Callable[..., Any]):
    """Nothing was moved, so nothing is unknown: the requests of other threads go on."""
    with httpx.Client(**prior(streams.url, timeout=20)) as client:
        get_id(client)
        others: list[str] = []
        threads = [threading.Thread(target=lambda: others.append(client.get("/held").text)) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: sum(path == "/held" for _, _, path, _ in streams.asked) == 3)
        for _ in range(10):
            # Long enough for a request to be waiting on a busy machine.
            alarm(0.05)
            with pytest.raises(Soft):
                client.get("/silent")
        streams.let_go()
        for thread in threads:
            thread.join()
        assert others == ["-"] * 3
        check_streams(client, "at the end")
    assert streams.connections == 1


@pytest.mark.parametrize("error", [Interrupted, Soft])
def test_what_is_half_changed_ends_the_requests_of_other_threads(
    streams: StreamServer, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
):
    """They would have waited for ever, or have read what was meant for something else."""
    with httpx.Client(**prior(streams.url, timeout=20)) as client:
        get_id(client)
        (connection,) = engines_of(client)[0].pool.connections
        failures: list[str] = []

        def wait() -> None:
            try:
                client.post("/silent")
            except httpx.TransportError as exc:
                failures.append(str(exc))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: sum(path == "/silent" for _, _, path, _ in streams.asked) == 3)

        def half_opened(*args: Any) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(connection.multiplexer.session.machine, "open", half_opened)
            with pytest.raises(error):
                get_id(client)
        for thread in threads:
            thread.join(5)
        assert failures == [f"the connection was interrupted, by {error.__name__} in another request"] * 3
        check_streams(client, "afterwards")
    assert streams.connections == 2


def test_an_interrupted_dial_leaves_its_connection_to_those_who_have_it(streams: StreamServer):
    """The connection was in the pool already, and was closed under the requests of other threads."""
    with httpx.Client(**prior(streams.url, timeout=20)) as client:
        get_id(client)
        (engine,) = engines_of(client)
        pool = engine.pool
        (first,) = pool.connections
        key = pool._keys[first]
        pool.remove(first)
        shared: list[Any] = []
        do_chores = engine.do_chores

        def interrupted() -> None:
            do_chores()
            if pool.connections:
                (connection,) = pool.connections
                pool.resize(connection, 100, 0)
                shared.append(pool.acquire(key, 0, "another request"))
                assert shared == [connection]
                engine.do_chores = do_chores
                raise Interrupted

        engine.do_chores = interrupted
        with pytest.raises(Interrupted):
            get_id(client)
        assert not shared[0].closed
        pool.release(shared[0], True, 0, "another request")
        check_streams(client, "afterwards")


# Event loops: Ctrl-C comes in the middle of what runs on the loop's thread.


async def aget(client: httpx.AsyncClient, url: str) -> None:
    assert (await client.get(f"{url}/echo", headers={"X-Id": "a"})).text == "a"


async def astream(client: httpx.AsyncClient, url: str) -> None:
    async with client.stream("POST", f"{url}/echo", content=LARGE) as response:
        assert len(await response.aread()) == len(LARGE) + 1


async def aleave(client: httpx.AsyncClient, url: str) -> None:
    async with client.stream("POST", f"{url}/echo", content=LARGE) as response:
        async for _ in response.aiter_raw():
            break


async def acheck(client: httpx.AsyncClient, url: str, where: str) -> None:
    for _ in range(3):
        gc.collect()  # a traceback refers to the task that it comes from, and to what that had
        await asyncio.sleep(0)  # what was dropped is given back, after generators were closed
    await aget(client, url)
    (engine,) = engines_of(client)
    pool = engine.pool
    assert pool._claims == {}, where
    check_pool(pool)
    opened, idle, dials, waiting = pool.counts()
    assert (opened, dials, waiting) == (idle, 0, 0), where
    options: dict[str, Any] = {"content": LARGE, "timeout": httpx.Timeout(10, pool=1)}
    both = client.stream("POST", f"{url}/echo", **options), client.stream("POST", f"{url}/echo", **options)
    async with both[0] as one, both[1] as two:
        assert (len(await one.aread()), len(await two.aread())) == (len(LARGE) + 1, len(LARGE) + 1)


@pytest.mark.parametrize("scenario", [aget, astream, aleave])
def test_an_interrupted_request_on_asyncio_loses_no_slot(peer: Peer, scenario: Callable[..., Any]):
    """The loop may go on after KeyboardInterrupt, as in a notebook."""
    options: dict[str, Any] = {"limits": httpx.Limits(max_connections=2), "verify": trusting_context()}
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)

    def run(client: httpx.AsyncClient) -> None:
        task = loop.create_task(scenario(client, peer.url))
        try:
            loop.run_until_complete(task)
        except KeyboardInterrupt:
            # The loop goes on, and what it ran does, too.
            for _ in range(2):  # what ends the first run may be due still, and end the second one
                with contextlib.suppress(KeyboardInterrupt, RuntimeError):
                    loop.run_until_complete(asyncio.wait([task], timeout=5))
            if not task.done():
                raise AssertionError("the request hangs") from None
            with contextlib.suppress(KeyboardInterrupt, httpx.TransportError):
                task.result()
            raise

    try:
        client = httpx.AsyncClient(timeout=httpx.Timeout(0.5, pool=1), **options)
        loop.run_until_complete(aget(client, peer.url))
        count = opcodes_of(lambda: run(client), ON_LOOPS)
        for number in points(count, TRIED // 2):
            where = "nowhere"
            try:
                interrupt(lambda: run(client), ON_LOOPS, number, KeyboardInterrupt)
            except KeyboardInterrupt as exc:
                where = str(exc)
            except httpx.TransportError:
                pass
            except AssertionError as exc:
                raise AssertionError(f"{exc} after {exc.__context__}, {number} of {count}") from None
            loop.run_until_complete(acheck(client, peer.url, f"{where}, {number} of {count}"))
        loop.run_until_complete(client.aclose())
    finally:
        loop.close()


@pytest.mark.parametrize("scenario", [aget, astream, aleave])
def test_an_interrupted_request_on_trio_loses_no_slot(peer: Peer, scenario: Callable[..., Any]):
    """trio raises KeyboardInterrupt in the task that runs, and the program may catch it there."""
    trio = pytest.importorskip("trio")

    async def main() -> None:
        limits, timeout = httpx.Limits(max_connections=2), httpx.Timeout(5, pool=1)
        async with httpx.AsyncClient(limits=limits, timeout=timeout, verify=trusting_context()) as client:
            await aget(client, peer.url)
            (engine,) = engines_of(client)

            for number in points(900, TRIED // 2):
                try:
                    await interrupted_in_task(scenario(client, peer.url), number)
                except KeyboardInterrupt:
                    interrupted.append(number)
                for _ in range(3):
                    gc.collect()
                    await trio.lowlevel.checkpoint()
                await aget(client, peer.url)
                assert engine.pool._claims == {}, number
                check_pool(engine.pool)
                assert engine.pool.users() == 0

    interrupted: list[int] = []
    trio.run(main)
    assert len(interrupted) > 10


def test_an_interrupted_dial_on_asyncio_leaves_no_socket_registered(peer: Peer):
    """The socket was closed while the loop watched it: the next one with its number was a FileNotFoundError."""
    files = (ENGINE[0],)
    options: dict[str, Any] = {"limits": httpx.Limits(max_connections=2), "verify": trusting_context()}
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)

    async def cold() -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(5, pool=1), **options) as client:
            await aget(client, peer.url)

    def run() -> None:
        task = loop.create_task(cold())
        try:
            loop.run_until_complete(task)
        except KeyboardInterrupt:
            for _ in range(2):  # what ends the first run may be due still, and end the second one
                with contextlib.suppress(KeyboardInterrupt, RuntimeError):
                    loop.run_until_complete(asyncio.wait([task], timeout=10))
            assert task.done()
            with contextlib.suppress(KeyboardInterrupt, httpx.TransportError, asyncio.CancelledError):
                task.result()
            raise

    def registered() -> list[int]:
        selector = loop._selector  # type: ignore[attr-defined]  # of every loop with a selector
        return [key.fd for key in selector.get_map().values()]

    try:
        for _ in range(2):
            count = opcodes_of(run, files)
        for number in points(count, TRIED // 3):
            with contextlib.suppress(KeyboardInterrupt, httpx.TransportError):
                interrupt(run, files, number, KeyboardInterrupt)
            for fd in registered():
                os.fstat(fd)  # it is open
            loop.run_until_complete(cold())
    finally:
        loop.close()


@types.coroutine
def interrupted_in_task(coroutine: Any, number: int) -> Any:
    """Await a coroutine, and raise KeyboardInterrupt before a bytecode of its own."""
    left, value, error = number, None, None
    while True:
        passed: list[int] = []
        try:
            if error is not None:
                step = functools.partial(coroutine.throw, error)
            else:
                step = functools.partial(coroutine.send, value)
            traps = interrupt(step, ON_LOOPS, left, KeyboardInterrupt, passed)
        except StopIteration as exc:
            return exc.value
        left = left - passed[0] if left > passed[0] else -1
        value = error = None
        try:
            value = yield traps
        except BaseException as exc:
            error = exc


@pytest.mark.parametrize("kind", [SyncBody, SyncStreamBody, AsyncBody, AsyncStreamBody, AsyncPieces])
def test_what_an_interruption_left_before_its_constructor_ended_goes_in_silence(kind: type) -> None:
    failures: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, failures.append
    try:
        kind.__new__(kind)
        gc.collect()
    finally:
        sys.unraisablehook = hook
    assert failures == []
