"""The total timeout over transports that do not know of it: in-process apps, mocks, and those of users."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pickle
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import httpx
from httpx._engine.limits import total_of
from httpx._transports import deadlines
from httpx._transports.deadlines import AsyncBound, Remaining, Rest, TimeLeft, bounds_itself
from httpx.testing import virtual_time
from support.backlog import FullBacklog
from support.drivers import Driver
from support.http2 import FramePeer, data, frames_of
from support.servers import ScriptedServer, answer, expect_head, repeat, send, silence

TOTAL = 0.1
TIMEOUT = httpx.Timeout(5, total=TOTAL)
LONG = 30.0  # seconds that nothing here waits for
SLOW = 4.0  # seconds that a call may take here at most, on a busy machine
WORDS = "within the total timeout of 0.1 s"
URL = "http://testserver/"


@pytest.fixture(params=["asyncio", "trio"])
def on_loop(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


async def pause(seconds: float) -> None:
    """Sleep on whichever loop runs."""
    if "trio" in sys.modules and type(deadlines._running()).__module__.startswith("trio."):
        import trio

        await trio.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


@contextlib.contextmanager
def at_the_deadline(words: str = WORDS) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(httpx.ReadTimeout, match=words) as caught:
        yield
    assert TOTAL - 0.02 <= time.monotonic() - began < SLOW
    assert caught.value.request.url == URL


# What goes on, and is cancelled.


async def never_responds(scope: Any, receive: Any, send: Any) -> None:
    await pause(LONG)


async def never_ends(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await pause(LONG)


async def drips(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await pause(0.005)


async def handler(request: httpx.Request) -> httpx.Response:
    await pause(LONG)
    raise AssertionError("it was waited for")


class Endless(httpx.AsyncByteStream):
    def __init__(self, closed: list[str]) -> None:
        self.closed = closed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a"
                await pause(0.005)
        finally:
            self.closed.append("generator")

    async def aclose(self) -> None:
        self.closed.append("stream")


class Custom(httpx.AsyncBaseTransport):
    """Waits for ever for a response, or has one whose body never ends."""

    def __init__(self, closed: list[str], streams: bool) -> None:
        self.closed, self.streams = closed, streams

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.streams:
            return httpx.Response(200, stream=Endless(self.closed))
        try:
            await pause(LONG)
        finally:
            self.closed.append("transport")
        raise AssertionError("it was waited for")


TRANSPORTS: dict[str, Callable[[], Any]] = {
    "an app without a response": lambda: httpx.ASGITransport(app=never_responds),
    "an app whose response never ends": lambda: httpx.ASGITransport(app=never_ends),
    "an app that drips": lambda: httpx.ASGITransport(app=drips),
    "a handler of a mock": lambda: httpx.MockTransport(handler),
    "a custom transport": lambda: Custom([], False),
    "a custom stream": lambda: Custom([], True),
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_call_ends_at_the_deadline_on_every_transport(on_loop: Driver, name: str, streams: bool):
    """Harm: 0.2 s were set and 1.5 s taken: only the network knew of a total timeout."""

    async def scenario(client: Any) -> None:
        with at_the_deadline():
            if not streams:
                await client.get(URL)
            else:
                async with client.stream("GET", URL) as response:
                    async for _ in response.aiter_bytes():
                        pass

    on_loop.run(scenario, transport=TRANSPORTS[name](), timeout=TIMEOUT)


def test_what_is_cancelled_at_the_deadline_cleans_up(on_loop: Driver):
    async def scenario(client: Any) -> None:
        with at_the_deadline():
            await client.get(URL)

    closed: list[str] = []
    on_loop.run(scenario, transport=Custom(closed, False), timeout=TIMEOUT)
    assert closed == ["transport"]
    closed = []
    on_loop.run(scenario, transport=Custom(closed, True), timeout=TIMEOUT)
    gc.collect()
    assert closed == ["generator", "stream"]


@pytest.mark.parametrize("name", ["an app without a response", "an app whose response never ends", "an app that drips"])
def test_a_sync_call_of_an_app_ends_at_the_deadline(name: str):
    """The app runs in another thread, so a sync call need not wait for it."""
    with httpx.Client(transport=TRANSPORTS[name](), timeout=TIMEOUT) as client:
        with at_the_deadline():
            client.get(URL)
        with at_the_deadline(), client.stream("GET", URL) as response:
            for _ in response.iter_bytes():
                pass


def test_a_sync_call_of_an_app_that_blocks_its_loop_ends_soon_after_the_deadline():
    go = threading.Event()

    async def blocks(scope: Any, receive: Any, send: Any) -> None:
        go.wait(LONG)

    with httpx.Client(transport=httpx.ASGITransport(app=blocks), timeout=TIMEOUT) as client:
        with at_the_deadline():
            client.get(URL)
        go.set()


# What blocks, and is bounded between its calls.


class Blocking(httpx.BaseTransport):
    def __init__(self, pieces: int) -> None:
        self.closed = 0
        self.pieces = pieces

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self.pieces:
            time.sleep(TOTAL + 0.01)
        transport = self

        class Body(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                for _ in range(transport.pieces):
                    time.sleep(TOTAL / 4)
                    yield b"a"

            def close(self) -> None:
                transport.closed += 1

        return httpx.Response(200, stream=Body())


@pytest.mark.parametrize("pieces", [0, 500])
@pytest.mark.parametrize("streams", [False, True])
def test_a_transport_that_blocks_is_bounded_between_its_calls(pieces: int, streams: bool):
    transport = Blocking(pieces)
    with httpx.Client(transport=transport, timeout=TIMEOUT) as client, at_the_deadline():
        if not streams:
            client.get(URL)
        else:
            with client.stream("GET", URL) as response:
                for _ in response.iter_bytes():
                    pass
    assert transport.closed == 1


def test_a_handler_and_a_wsgi_app_that_block_are_late():
    def late(*_: Any) -> Any:
        time.sleep(TOTAL + 0.01)
        return httpx.Response(200)

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(500):
            time.sleep(TOTAL / 4)
            yield b"a"

    for transport in (httpx.MockTransport(late), httpx.WSGITransport(app=app)):
        with httpx.Client(transport=transport, timeout=TIMEOUT) as client, at_the_deadline():
            client.get(URL)


# Around the network.


class Retrying(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Sends a request again, as packages do."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.seconds: list[float] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(100):
            self.seconds.append(request.extensions["timeout"]["total"])
            with contextlib.suppress(httpx.TimeoutException):
                return self.inner.handle_request(request)  # type: ignore[no-any-return]
            if self.seconds[-1] == 0:
                break
        raise httpx.ReadTimeout("it was sent again, and again: total timeout of 0 s")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        while True:
            self.seconds.append(request.extensions["timeout"]["total"])
            with contextlib.suppress(httpx.TimeoutException):
                return await self.inner.handle_async_request(request)  # type: ignore[no-any-return]
            await pause(0)

    def close(self) -> None:
        self.inner.close()

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_a_layer_that_sends_a_request_again_does_not_get_the_whole_time_again(driver: Driver, no_leaks: None):
    """Harm: 0.5 s were set and 1.5 s taken by three attempts, each of which was given all of the time."""
    retrying = Retrying(httpx.AsyncHTTPTransport() if driver.is_async else httpx.HTTPTransport())

    async def scenario(client: Any, url: str) -> None:
        began = time.monotonic()
        with pytest.raises(httpx.TimeoutException, match=r"total timeout of 0\.1 s"):
            await client.get(url)
        assert time.monotonic() - began < SLOW

    with ScriptedServer([silence()]) as server:
        driver.run(scenario, server.url, transport=retrying, timeout=httpx.Timeout(5, read=0.04, total=TOTAL))
    assert retrying.seconds[0] <= TOTAL
    assert sorted(set(retrying.seconds), reverse=True) == retrying.seconds


def test_the_network_bounds_itself(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    """No second deadline beside the engine's, and no stream around its body."""
    monkeypatch.delitem(sys.modules, "httpcore", raising=False)

    async def scenario(client: Any, url: str) -> None:
        async with client.stream("GET", url) as response:
            assert "deadlines" not in type(response.stream).__module__
            assert await response.aread() == b"ok"

    with ScriptedServer([repeat(answer())]) as server:
        driver.run(scenario, server.url, timeout=httpx.Timeout(5, total=60))


def test_what_replaces_the_network_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "httpcore", raising=False)

    class Mine(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200)

    assert bounds_itself(httpx.HTTPTransport())
    assert bounds_itself(httpx.AsyncHTTPTransport())
    assert not bounds_itself(Mine())
    assert not bounds_itself(httpx.MockTransport(lambda request: httpx.Response(200)))
    wrapped = httpx.AsyncHTTPTransport()
    monkeypatch.setattr(wrapped, "handle_async_request", handler)
    assert not bounds_itself(wrapped)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", Mine.handle_request)
    assert not bounds_itself(httpx.HTTPTransport())


# Bodies that are there, redirects, and the user's own cancellation.


def test_a_body_that_is_there_is_not_wrapped(on_loop: Driver):
    async def scenario(client: Any) -> None:
        response = await client.get(URL)
        assert response.text == "abc"
        assert isinstance(response.stream, httpx.ByteStream)

    mock = httpx.MockTransport(lambda request: httpx.Response(200, text="abc"))
    on_loop.run(scenario, transport=mock, timeout=httpx.Timeout(5, total=60))
    with httpx.Client(transport=mock, timeout=httpx.Timeout(5, total=60)) as client:
        assert isinstance(client.get(URL).stream, httpx.ByteStream)


def test_a_redirect_that_comes_back_does_not_begin_anew(on_loop: Driver):
    async def moves(request: httpx.Request) -> httpx.Response:
        await pause(TOTAL / 3)
        return httpx.Response(302, headers={"Location": URL})

    async def scenario(client: Any) -> None:
        with at_the_deadline("total timeout"):
            await client.get(URL, follow_redirects=True)

    on_loop.run(scenario, transport=httpx.MockTransport(moves), timeout=TIMEOUT)


@pytest.mark.parametrize("name", ["a handler of a mock", "a custom stream", "an app without a response"])
def test_a_cancellation_from_outside_stays_one(name: str):
    async def main() -> None:
        async with httpx.AsyncClient(transport=TRANSPORTS[name](), timeout=httpx.Timeout(5, total=60)) as client:
            task = asyncio.ensure_future(client.get(URL))
            for _ in range(10):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before, nothing tells two cancellations apart")
def test_a_cancellation_at_the_same_time_as_the_deadline_is_not_lost():
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def cancelled_twice() -> None:
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                task.cancel()
                raise

        request = httpx.Request("GET", URL, extensions={"timeout": {"total": 0.01}})
        bound = AsyncBound(request, time.monotonic() + 0.01, {"total": 0.01})
        with pytest.raises(asyncio.CancelledError):
            await bound.run(cancelled_twice)
        assert task.uncancel() == 0
        # Before Python 3.13 the task's second cancellation is still to be delivered.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_transport_that_swallows_the_cancellation_is_late_all_the_same(on_loop: Driver):
    class Stubborn(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            with contextlib.suppress(BaseException):
                await pause(LONG)
            return httpx.Response(200)

    class Converts(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                await pause(LONG)
            except asyncio.CancelledError:
                raise ValueError("of the transport") from None
            raise AssertionError

    async def scenario(client: Any, error: Any) -> None:
        with pytest.raises(error):
            await client.get(URL)
        if on_loop.name == "asyncio" and sys.version_info >= (3, 11):
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    if on_loop.name == "asyncio":  # trio's cancellation cannot be swallowed
        on_loop.run(scenario, httpx.ReadTimeout, transport=Stubborn(), timeout=TIMEOUT)
        on_loop.run(scenario, ValueError, transport=Converts(), timeout=TIMEOUT)


# The seconds that a transport is told.


def test_what_is_left_is_less_each_time():
    given = {"read": 5.0, "total": 60}
    left = Remaining(given, time.monotonic() + 60, given)
    first = left["total"]
    assert 59 < first <= 60
    assert left.get("total") <= first
    assert (left["read"], left.get("read"), left.get("pool"), left.get("pool", 3)) == (5.0, 5.0, None, 3)
    assert left == {"read": 5.0, "total": 60}
    assert Remaining({}, time.monotonic() - 1, given)["total"] == 0.0


def test_a_pickle_has_what_was_left():
    given = {"read": 5.0, "total": 60}
    left = TimeLeft(TimeLeft(given, 9.0, given), 7.0, given)
    for one in (left, pickle.loads(pickle.dumps(left))):
        assert one == {"read": 5.0, "total": 7.0}
        assert (one.whole, type(one.whole), total_of(one)) == (given, dict, 60)
    rest = Rest(given, 9.0, Rest(given, 20.0, given))
    for one in (rest, pickle.loads(pickle.dumps(rest))):
        assert one == {"read": 5.0, "total": 9.0}
        assert (type(one), type(one.given), total_of(one)) == (Rest, dict, 60)


class Nested(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Sends the request that it gets once more, in the midst of the first call; the first time it gets a 503."""

    def __init__(self) -> None:
        self.client: Any = None
        self.seconds: list[float] = []

    def _note(self, request: httpx.Request) -> bool:
        self.seconds.append(request.extensions["timeout"]["total"])
        return len(self.seconds) == 2

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._note(request):
            self.client.send(request)
        return httpx.Response(503 if len(self.seconds) == 1 else 200)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._note(request):
            await self.client.send(request)
        return httpx.Response(503 if len(self.seconds) == 1 else 200)


def test_two_calls_with_one_request_have_all_of_their_time_each(driver: Driver):
    """The harm: the second call began with what the first had left, and so did each call after it."""
    transport = Nested()

    async def scenario(client: Any) -> None:
        transport.client = getattr(client, "inner", client)
        request = client.build_request("GET", URL)
        with virtual_time():
            assert (await client.send(request)).status_code == 200
        assert transport.seconds == pytest.approx([60.0, 59.0, 60.0])
        assert request.extensions["timeout"] == httpx.Timeout(5, total=60).as_dict()

    retry = httpx.Retry(backoff=0.1)
    driver.run(scenario, transport=transport, middleware=[retry], timeout=httpx.Timeout(5, total=60))


def test_a_redirect_that_is_followed_by_hand_has_all_of_its_time(driver: Driver):
    seconds: list[float] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seconds.append(request.extensions["timeout"]["total"])
        if len(seconds) == 1:
            return httpx.Response(503)
        return httpx.Response(302, headers={"Location": "/next"}) if len(seconds) == 2 else httpx.Response(200)

    async def scenario(client: Any) -> None:
        with virtual_time():
            response = await client.get(URL)
            assert (await client.send(response.next_request)).status_code == 200
        assert seconds == pytest.approx([60.0, 59.0, 60.0])

    options = {"middleware": [httpx.Retry()], "timeout": httpx.Timeout(5, total=60)}
    driver.run(scenario, transport=httpx.MockTransport(respond), **options)


def test_time_that_the_reader_takes_counts(on_loop: Driver):
    async def scenario(client: Any) -> None:
        with at_the_deadline():
            async with client.stream("GET", URL) as response:
                async for _ in response.aiter_bytes():
                    await pause(TOTAL + 0.01)

    on_loop.run(scenario, transport=Custom([], True), timeout=TIMEOUT)


# The number that an error names.

# Virtual seconds that pass before the request is sent, of the total timeout. The network has real time, and so 0.1 s.
_BEFORE, _WHOLE = 29.9, 30.0
_NUMBER = r"within the total timeout of 30 s\b"


def _late(request: httpx.Request) -> Any:
    yield httpx.Step.pause(_BEFORE)
    return (yield request)


def _named(driver: Driver, url: str, scenario: Callable[..., Any], **options: Any) -> None:
    """Run a scenario that times out, and look at the number: it was what was left, 0.1 s."""

    async def ends(client: Any) -> None:
        with pytest.raises(httpx.TimeoutException, match=_NUMBER):
            await scenario(client)

    given = {"timeout": httpx.Timeout(60, total=_WHOLE), "middleware": [_late], "trust_env": False, **options}
    with virtual_time():
        driver.run(ends, base_url=url, **given)


async def _get(client: Any) -> None:
    await client.get("/")


def _half(peer: FramePeer) -> None:
    stream = peer.request().stream
    peer.send(peer.head(stream), data(stream, b"a"))
    peer.rest()


SILENT: dict[str, tuple[Any, dict[str, Any]]] = {
    "the head": ([silence()], {}),
    "the body": ([expect_head(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"), silence()], {}),
    "the head, HTTP/2": (frames_of(lambda peer: peer.rest()), {"http1": False, "http2": True}),
    "the body, HTTP/2": (frames_of(_half), {"http1": False, "http2": True}),
}


@pytest.mark.parametrize("has_idle_timeout", [False, True])
@pytest.mark.parametrize("name", SILENT)
def test_silence_is_told_with_the_number_of_the_caller(driver: Driver, name: str, has_idle_timeout: bool):
    """Harm: "the total timeout of 0.0969 s" to one who had asked for 0.1, or for 30 of which others had used most."""
    script, options = SILENT[name]

    async def get(client: Any) -> None:
        await client.get("/", extensions={"idle_timeout": 60.0} if has_idle_timeout else {})

    with ScriptedServer(script) as server:
        _named(driver, server.url, get, **options)


class Passing(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A layer that does nothing, and copies what it does not know."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "timeout": dict(request.extensions["timeout"])}
        return self.inner.handle_request(request)  # type: ignore[no-any-return]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "timeout": dict(request.extensions["timeout"])}
        return await self.inner.handle_async_request(request)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.inner.close()

    async def aclose(self) -> None:
        await self.inner.aclose()


@pytest.mark.parametrize("name", ["the head", "the body"])
def test_a_layer_around_the_network_tells_the_number_of_the_caller(driver: Driver, name: str):
    with ScriptedServer(SILENT[name][0]) as server:
        _named(driver, server.url, _get, transport=Passing(driver.transport()))


def test_a_connection_that_is_not_made_is_told_with_the_number_of_the_caller(driver: Driver):
    if sys.platform != "linux":
        pytest.skip("other systems refuse the connection")
    with tempfile.TemporaryDirectory() as folder, FullBacklog(os.path.join(folder, "socket")) as full:
        transport = driver.transport(uds=full.path)
        _named(driver, "http://localhost", _get, transport=transport)


def test_a_handshake_that_is_not_answered_is_told_with_the_number_of_the_caller(driver: Driver):
    with ScriptedServer([silence()]) as server:
        _named(driver, server.url.replace("http:", "https:"), _get)


def test_a_wait_for_a_connection_is_told_with_the_number_of_the_caller(driver: Driver):
    async def second(client: Any) -> None:
        async with client.stream("GET", "/", timeout=60):
            await client.get("/")

    with ScriptedServer(SILENT["the body"][0]) as server:
        _named(driver, server.url, second, limits=httpx.Limits(max_connections=1))


@pytest.mark.parametrize("pauses", [[29, 2], [31]])
def test_a_pause_that_is_too_long_is_told_with_the_number_of_the_caller(driver: Driver, pauses: list[float]):
    def busy(request: httpx.Request) -> Any:
        for seconds in pauses:
            response = yield request
            yield httpx.Step.pause(seconds)
        return response

    async def get(client: Any) -> None:
        with pytest.raises(httpx.ReadTimeout, match="the total timeout of 30 s would be over within a pause of"):
            await client.get(URL)

    with virtual_time():
        transport = httpx.MockTransport(lambda request: httpx.Response(503))
        driver.run(get, transport=transport, middleware=[busy], timeout=httpx.Timeout(5, total=_WHOLE))
