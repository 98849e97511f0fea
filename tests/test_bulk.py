"""`Client.map` and `AsyncClient.map`: order, bounds, errors, and all the ways in which an iteration ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._bulk import processes
from httpx._bulk.processes import KEPT, WORDS, KeptClients
from httpx._bulk.tasks import Worker
from support.cancelling import at_every_step, bounded
from support.drivers import Driver
from support.engines import driver_named
from support.garbage import Garbage
from support.interrupts import Interrupted, interrupt, opcodes_of
from support.leaks import wait_for
from support.servers import Conn, ScriptedServer
from support.steps import Steps, in_trio, turns

LOOPS = ("asyncio", "trio")


class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """
    Responds without a network, in threads and on event loops.

    The last part of the path says how: a number is returned, `fail-1` raises, `hold-1` waits until `go` is set,
    `meet-1` waits until `meeting` requests are under way.
    """

    def __init__(self, meeting: int = 0) -> None:
        self.meeting = meeting
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.peak = 0
        self.going = False
        self._lock = threading.Lock()

    def _begin(self, request: httpx.Request) -> str:
        name = request.url.path.rpartition("/")[2]
        with self._lock:
            self.begun.append(name)
            self.peak = max(self.peak, len(self.begun) - len(self.ended))
        return name

    def _may_go(self, name: str) -> bool:
        return self.going if name.startswith("hold") else not name.startswith("meet") or self.peak >= self.meeting

    def _respond(self, name: str, request: httpx.Request) -> httpx.Response:
        if name.startswith("fail"):
            raise httpx.ReadError(name)
        if name.startswith("bug"):
            raise ValueError(name)
        return httpx.Response(404 if name.startswith("missing") else 200, text=name)

    def _end(self, name: str) -> None:
        with self._lock:
            self.ended.append(name)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        name = self._begin(request)
        try:
            wait_for(lambda: self._may_go(name))
            return self._respond(name, request)
        finally:
            self._end(name)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = self._begin(request)
        try:
            await turns(1)
            while not self._may_go(name):
                await turns(1)
            return self._respond(name, request)
        finally:
            self._end(name)


def paths(*names: Any) -> list[str]:
    return [f"/{name}" for name in names]


def client_of(driver: Driver, transport: Any, **options: Any) -> Any:
    return driver.client(transport=transport, base_url="http://example.org", **options)


async def texts(responses: Any) -> list[str]:
    """The texts of responses, and the messages of errors."""
    return [one.text if isinstance(one, httpx.Response) else str(one) async for one in responses]


async def until_error(responses: Any) -> tuple[list[str], Exception]:
    """The texts of the responses, and the error that ended them."""
    found = []
    try:
        async for response in responses:
            found.append(response.text)
    except Exception as exc:
        return found, exc
    raise AssertionError("there was no error")


def thread_count() -> int:
    return sum(thread.name == "httpx.map" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    wait_for(lambda: thread_count() == 0)


# Order and bounds.


@pytest.mark.parametrize("concurrency", [1, 3, 100])
def test_responses_come_in_the_order_of_the_requests(driver: Driver, concurrency: int):
    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            assert await texts(client.map(paths(*range(40)), concurrency=concurrency)) == [str(n) for n in range(40)]
            assert await texts(client.map([])) == []

    driver.run_bare(scenario)


def test_responses_come_as_they_complete(driver: Driver):
    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            responses = client.map(paths("hold-1", 2, 3), ordered=False)
            first = {(await responses.__anext__()).text for _ in range(2)}
            transport.going = True
            assert first == {"2", "3"}
            assert await texts(responses) == ["hold-1"]

    driver.run_bare(scenario)


@pytest.mark.parametrize("ordered", [True, False])
def test_as_many_as_asked_for_are_under_way_and_no_more(driver: Driver, ordered: bool):
    """And at most twice as many are read from the input and not returned."""

    async def scenario() -> None:
        transport = Transport(meeting=5)
        read, returned, most = 0, 0, 0

        def names() -> Iterator[str]:
            nonlocal read, most
            for number in range(50):
                read += 1
                most = max(most, read - returned)
                yield f"/meet-{number}"

        async with client_of(driver, transport) as client:
            async for _ in client.map(names(), concurrency=5, ordered=ordered):
                returned += 1
        assert returned == 50
        assert transport.peak == 5
        assert most == 10

    driver.run_bare(scenario)


def test_a_slow_first_response_stops_the_rest_after_twice_the_concurrency(driver: Driver):
    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            if driver.is_async:
                async with client.map(paths("hold", *range(100)), concurrency=3) as responses:
                    waiting = responses.__anext__()
                    with contextlib.suppress(AssertionError):
                        await bounded(waiting, 0.05)
            else:
                responses = client.inner.map(paths("hold", *range(100)), concurrency=3)
                thread = threading.Thread(target=next, args=[responses])
                thread.start()
                wait_for(lambda: len(transport.begun) == 6)
                transport.going = True
                thread.join()
                responses.close()
        assert 6 <= len(transport.begun) <= 7

    driver.run_bare(scenario)


def test_nothing_is_read_or_sent_before_a_response_is_asked_for(driver: Driver):
    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            source = iter(paths(1, 2))
            async with client.map(source):
                pass
            assert list(source) == paths(1, 2)
            assert transport.begun == []

    driver.run_bare(scenario)


def test_memory_does_not_grow_with_the_input(driver: Driver):
    """The benchmark (benchmarks/bulk.py) does the same with a million."""
    alive, peak = 0, 0

    class Counted(httpx.Response):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def respond(request: httpx.Request) -> httpx.Response:
        nonlocal alive, peak
        alive += 1
        peak = max(peak, alive)
        return Counted(200)

    async def scenario() -> int:
        async with client_of(driver, httpx.MockTransport(respond)) as client:
            return len([None async for _ in client.map((f"/{n}" for n in range(3000)), concurrency=5)])

    assert driver.run_bare(scenario) == 3000
    assert peak <= 2 * 5 + 3


# Input.


def test_an_item_is_a_request_a_url_or_arguments(driver: Driver):
    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/moved":
            return httpx.Response(302, headers={"Location": "/there"})
        parts = [request.method, request.url.path, request.headers.get("authorization", "-"), request.content.decode()]
        return httpx.Response(200, text=" ".join(parts))

    async def scenario() -> None:
        async with client_of(driver, httpx.MockTransport(respond)) as client:
            items = [
                "/a",
                httpx.URL("/b"),
                client.build_request("PUT", "/c", content=b"x"),
                {"url": "/d"},
                {"method": "POST", "url": "/e", "json": [1]},
                {"url": "/f", "auth": ("u", "p")},
                {"url": "/moved", "follow_redirects": True},
                {"url": "/moved"},
            ]
            assert await texts(client.map(items)) == [
                *("GET /a - ", "GET /b - ", "PUT /c - x", "GET /d - ", "POST /e - [1]"),
                *("GET /f Basic dTpw ", "GET /there - ", ""),
            ]
            assert "method" not in items[3], "a mapping is not changed"

    driver.run_bare(scenario)


def test_a_request_that_comes_twice_at_once_is_two_requests(driver: Driver):
    """The harm: the second call put its idempotency key into the first one's retry, and its rest of the time."""

    class Busy(Transport):
        def __init__(self) -> None:
            super().__init__(meeting=2)
            self.keys: list[str] = []

        def _begin(self, request: httpx.Request) -> str:
            self.keys.append(request.headers["Idempotency-Key"])
            return super()._begin(request)

        def _respond(self, name: str, request: httpx.Request) -> httpx.Response:
            return httpx.Response(503 if self.keys.count(request.headers["Idempotency-Key"]) == 1 else 200, text=name)

    async def scenario() -> None:
        transport = Busy()
        retry = httpx.Retry(backoff=0, idempotency_key=True)
        timeout = httpx.Timeout(5, total=30)
        async with client_of(driver, transport, middleware=[retry], timeout=timeout) as client:
            request = client.build_request("POST", "/meet-1", json={"amount": 1})
            responses = [one async for one in client.map([request, request], concurrency=2)]
            assert [one.status_code for one in responses] == [200, 200]
            assert sorted(map(transport.keys.count, set(transport.keys))) == [2, 2]
            assert responses[0].request is request
            assert responses[1].request.content == request.content
            assert request.extensions["timeout"]["total"] == 30

    driver.run_bare(scenario)


def test_the_input_of_an_async_client_may_be_async(driver: Driver):
    async def names() -> AsyncIterator[str]:
        for number in range(20):
            await turns(1)
            yield f"/{number}"

    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            if driver.is_async:
                assert await texts(client.map(names(), concurrency=3)) == [str(n) for n in range(20)]
            else:
                with pytest.raises(TypeError, match=r"only AsyncClient\.map reads async iterables"):
                    client.map(names())

    driver.run_bare(scenario)


@pytest.mark.parametrize("one", ["/a", b"/a", httpx.URL("/a"), {"url": "/a"}, httpx.Request("GET", "http://a/"), 7])
def test_one_request_is_not_an_input(driver: Driver, one: Any):
    """A str would be taken for as many requests as it has letters."""

    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            with pytest.raises(TypeError, match=f"must be an iterable of requests, .*got (one )?{type(one).__name__}"):
                client.map(one)

    driver.run_bare(scenario)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"concurrency": 0}, ValueError, "concurrency must be at least 1, got 0"),
        ({"concurrency": 1.5}, TypeError, "concurrency must be an int"),
        ({"errors": "ignore"}, ValueError, "errors must be 'raise' or 'yield', got 'ignore'"),
    ],
)
def test_wrong_arguments_are_refused_at_once(driver: Driver, options: Any, error: Any, message: str):
    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            with pytest.raises(error, match=message):
                client.map([], **options)

    driver.run_bare(scenario)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("errors", ["raise", "yield"])
@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        (7, TypeError, "expected a Request, a URL, a str, or a mapping .*, got int"),
        ({"json": 1}, TypeError, "the mapping has no 'url'"),
        ({"url": "/", "colour": "red"}, TypeError, "colour"),
        ("http://[", httpx.InvalidURL, "port|IPv6|address|URL"),
        (ZeroDivisionError("input"), ZeroDivisionError, "input"),
    ],
    ids=str,
)
def test_an_error_of_the_input_comes_after_what_was_read_before(
    driver: Driver, bad: Any, kind: Any, message: str, errors: str, ordered: bool
):
    def items() -> Iterator[Any]:
        yield from paths(1, 2, 3)
        if isinstance(bad, Exception):
            raise bad
        yield bad
        raise AssertionError("nothing is read after an error")

    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            responses = client.map(items(), errors=errors, ordered=ordered)
            found, error = await until_error(responses)
            assert sorted(found) == ["1", "2", "3"]
            assert isinstance(error, kind)
            assert re.search(message, str(error))
            assert await texts(responses) == []

    driver.run_bare(scenario)


# Errors.


def test_an_error_is_raised_in_its_place_and_ends_the_iteration(driver: Driver):
    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            responses = client.map(paths(0, 1, "fail", *range(3, 100)), concurrency=2)
            found, error = await until_error(responses)
            assert found == ["0", "1"]
            assert isinstance(error, httpx.ReadError)
            assert error.request.url == "http://example.org/fail"
            assert await texts(responses) == []
        assert len(transport.begun) <= 3 + 3, "requests began after the error"
        assert sorted(transport.begun) == sorted(transport.ended)

    driver.run_bare(scenario)


def test_an_error_is_raised_when_it_comes_if_the_order_does_not_matter(driver: Driver):
    """What is under way is cancelled, or waited for in threads."""

    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            if not driver.is_async:
                threading.Timer(0.05, lambda: setattr(transport, "going", True)).start()
            with pytest.raises(httpx.ReadError):
                await texts(client.map(paths("hold", "fail", *["hold"] * 20), ordered=False, concurrency=3))
        assert len(transport.begun) <= 5
        assert sorted(transport.begun) == sorted(transport.ended)

    driver.run_bare(scenario)


def test_what_comes_before_a_failed_request_is_still_returned(driver: Driver):
    """Also if it ends after the failure, and fails later itself: the first in order is raised."""

    async def scenario() -> None:
        for first, expected in (("1", ["0", "1"]), ("fail-1", ["0"])):
            transport = SlowFirst(first)
            async with client_of(driver, transport) as client:
                responses = client.map(paths(0, first, "fail-2", *range(3, 50)), concurrency=3)
                found, error = await until_error(responses)
            assert found == expected
            assert str(error) == ("fail-2" if first == "1" else "fail-1")

    driver.run_bare(scenario)


class SlowFirst(Transport):
    """Holds one request until `fail-2` has ended."""

    def __init__(self, slow: str) -> None:
        super().__init__()
        self._slow = slow

    def _may_go(self, name: str) -> bool:
        return name != self._slow or "fail-2" in self.ended


def test_errors_may_be_returned_in_the_place_of_responses(driver: Driver):
    async def check_status(response: httpx.Response) -> None:
        response.raise_for_status()

    def check_status_in_threads(response: httpx.Response) -> None:
        response.raise_for_status()

    async def scenario() -> None:
        hook = check_status if driver.is_async else check_status_in_threads
        async with client_of(driver, Transport(), event_hooks={"response": [hook]}) as client:
            outcomes = [one async for one in client.map(paths(0, "fail-1", "missing-2", 3), errors="yield")]
        assert [type(one).__name__ for one in outcomes] == ["Response", "ReadError", "HTTPStatusError", "Response"]
        assert [one.request.url.path for one in outcomes] == paths(0, "fail-1", "missing-2", 3)

    driver.run_bare(scenario)


def test_an_error_that_does_not_know_its_request_is_told(driver: Driver):
    def hook(request: httpx.Request) -> None:
        raise httpx.ConnectError("from a hook")

    async def ahook(request: httpx.Request) -> None:
        hook(request)

    async def scenario() -> None:
        hooks = {"request": [ahook if driver.is_async else hook]}
        async with client_of(driver, Transport(), event_hooks=hooks) as client:
            outcomes = [one async for one in client.map(paths(1), errors="yield")]
        assert outcomes[0].request.url.path == "/1"

    driver.run_bare(scenario)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_without_a_request_is_always_raised(driver: Driver, ordered: bool):
    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            with pytest.raises(ValueError, match="bug"):
                await texts(client.map(paths(1, "bug", 3), errors="yield", ordered=ordered))
        with pytest.raises(RuntimeError, match="the client is closed"):
            await texts(client.map(paths(1), errors="yield"))

    driver.run_bare(scenario)


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_transport_that_raises_the_end_of_an_iteration_does_not_end_it_silently(driver: Driver, kind: Any):
    """The rest of the requests was not sent, and nobody was told."""

    def respond(request: httpx.Request) -> httpx.Response:
        raise kind

    async def scenario() -> None:
        async with client_of(driver, httpx.MockTransport(respond)) as client:
            with pytest.raises(RuntimeError, match=f"raised {kind.__name__}"):
                await texts(client.map(paths(1, 2)))

    driver.run_bare(scenario)


# The end.


def test_leaving_the_loop_ends_it(driver: Driver):
    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            async for response in client.map((f"/{n}" for n in range(1000)), concurrency=3):
                assert response.text == "0"
                break
            await driver.pause()
            await driver.pause()
            wait_for(lambda: thread_count() == 0)
        assert len(transport.begun) <= 6
        assert sorted(transport.begun) == sorted(transport.ended)

    driver.run_bare(scenario)


def test_a_block_is_left_when_nothing_is_under_way_any_more(driver: Driver):
    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            async with client.map(paths(1, *["hold"] * 20), concurrency=3) as responses:
                assert (await responses.__anext__()).text == "1"
                transport.going = not driver.is_async
            assert sorted(transport.begun) == sorted(transport.ended)
            assert await texts(responses) == []
            await responses.aclose()

    driver.run_bare(scenario)


def test_an_iterator_that_was_never_used_can_be_closed_and_dropped(driver: Driver):
    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            responses = client.map(paths(1))
            await responses.aclose()
            assert await texts(responses) == []
            client.map(paths(1))

    driver.run_bare(scenario)


def test_an_iterator_has_one_consumer(driver: Driver):
    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            responses: Any = None

            def names() -> Iterator[str]:
                with pytest.raises(RuntimeError, match="only one thread or task"):
                    next(responses._iterator) if not driver.is_async else responses.__anext__().send(None)
                yield "/1"

            responses = client.map(names())
            assert await texts(responses) == ["1"]

    driver.run_bare(scenario)


def test_an_input_that_closes_its_own_iterator_ends_it(driver: Driver):
    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:

            def names() -> Iterator[str]:
                yield "/1"
                if driver.is_async:
                    with pytest.raises(StopIteration):
                        responses.aclose().send(None)
                else:
                    responses._iterator.close()
                yield "/2"

            responses = client.map(names(), concurrency=1)
            assert await texts(responses) in ([], ["1"])
        assert "2" not in transport.begun

    driver.run_bare(scenario)


def test_requests_run_in_the_context_of_the_consumer(driver: Driver):
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="-")

    async def scenario() -> None:
        variable.set("seen")
        transport = httpx.MockTransport(lambda request: httpx.Response(200, text=variable.get()))
        async with client_of(driver, transport) as client:
            assert await texts(client.map(paths(1, 2))) == ["seen", "seen"]

    driver.run_bare(scenario)


def test_the_signatures_are_the_same_but_for_executors():
    sync = inspect.signature(httpx.Client.map).parameters
    asynchronous = inspect.signature(httpx.AsyncClient.map).parameters
    assert [name for name in sync if name not in ("executor", "chunk")] == list(asynchronous)
    for name, parameter in asynchronous.items():
        assert sync[name].default == parameter.default
        assert sync[name].kind == parameter.kind


GARBAGE = ["all", "left", "left failing", "closed", "raised", "returned", "input"]


@pytest.mark.parametrize("engine", ["sync", *LOOPS])
@pytest.mark.parametrize("outcome", GARBAGE)
def test_nothing_is_left_to_the_garbage_collector(engine: str, outcome: str):
    driver = driver_named(engine)

    def items(last: Any) -> Iterator[Any]:
        yield "/0"
        yield from paths(*["fail" if outcome == "left failing" else 1] * 7)
        yield last

    async def end(client: Any) -> None:
        last = {"raised": "/fail", "returned": "/fail", "input": 7}.get(outcome, "/last")
        errors = "yield" if outcome in ("returned", "left failing") else "raise"
        responses = client.map(items(last), concurrency=3, errors=errors)
        try:
            async for _ in responses:
                if outcome in ("left", "left failing", "closed"):
                    break
            if outcome == "closed":
                await responses.aclose()
        except (httpx.ReadError, TypeError):
            pass
        del responses
        await driver.pause()
        await driver.pause()

    async def scenario() -> None:
        async with client_of(driver, Transport()) as client:
            await end(client)
            wait_for(lambda: thread_count() == 0)
            garbage = Garbage()
            with garbage.watched():
                for _ in range(3):
                    await end(client)
                wait_for(lambda: thread_count() == 0)
            assert not garbage.ours, garbage.story()

    driver.run_bare(scenario)


@pytest.mark.parametrize("outcome", ["all", "left", "left failing", "closed", "raised", "input"])
def test_nothing_is_left_to_the_garbage_collector_with_workers(outcome: str):
    def end() -> None:
        last: Any = {"raised": "/fail", "input": 7}.get(outcome, "/last")
        failing = outcome == "left failing"
        items = [*paths(0, *["fail" if failing else 1] * 7), last]
        responses = client.map(items, executor=pool, chunk=1, errors="yield" if failing else "raise")
        try:
            for _ in responses:
                if outcome in ("left", "left failing", "closed"):
                    break
            if outcome == "closed":
                responses.close()
        except (httpx.ReadError, TypeError):
            pass
        crew = weakref.ref(responses._crew)
        del responses
        wait_for(lambda: crew() is None)

    with worker_client() as client, ThreadPoolExecutor(2) as pool:
        end()
        garbage = Garbage()
        with garbage.watched():
            for _ in range(3):
                end()
        assert not garbage.ours, garbage.story()


# Threads.


def test_threads_are_begun_as_needed():
    transport = Transport()
    with httpx.Client(transport=transport, base_url="http://example.org") as client:
        responses = client.map((f"/{n}" for n in range(3)), concurrency=50)
        next(responses)
        assert thread_count() <= 3
        list(responses)


def test_without_threads_the_consumer_sends(monkeypatch: pytest.MonkeyPatch):
    """At the end of a process, and in some subinterpreters, no thread can be started."""
    start = threading.Thread.start
    allowed: list[bool] = []

    def refuse(thread: threading.Thread) -> None:
        if not allowed:
            raise RuntimeError("can't start new thread")
        allowed.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with httpx.Client(transport=Transport(), base_url="http://example.org") as client:
        for _ in range(2):
            assert [one.text for one in client.map(paths(*range(30)))] == [str(n) for n in range(30)]
            allowed.append(True)


def test_ctrl_c_in_the_input_ends_the_iteration_at_once():
    def names() -> Iterator[str]:
        yield from paths("hold", "hold")
        raise KeyboardInterrupt

    transport = Transport()
    with httpx.Client(transport=transport, base_url="http://example.org") as client:
        responses = client.map(names())
        with pytest.raises(KeyboardInterrupt):
            next(responses)
        assert list(responses) == []
        assert transport.ended == []
        responses.close()
        transport.going = True


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals for threads")
def test_ctrl_c_ends_a_wait_at_once():
    main = threading.get_ident()

    class Signalling(Transport):
        def _may_go(self, name: str) -> bool:
            if name == "signal" and not self.ended:
                signal.pthread_kill(main, signal.SIGINT)
                self._end(name)
            return self.going

    transport = Signalling()
    with httpx.Client(transport=transport, base_url="http://example.org") as client:
        with pytest.raises(KeyboardInterrupt), client.map(paths("hold", "signal")) as responses:
            next(responses)
        assert transport.ended == ["signal"]
        assert list(responses) == []
        transport.going = True


def test_ctrl_c_while_a_block_is_left_ends_the_wait(monkeypatch: pytest.MonkeyPatch):
    transport = Transport()
    with httpx.Client(transport=transport, base_url="http://example.org") as client:
        responses = client.map(paths("hold", 1), ordered=False)
        next(responses)
        crew = responses._crew
        assert crew is not None

        class Interrupted:
            def put(self, call: Any) -> None: ...
            def get(self) -> None:
                raise KeyboardInterrupt

        monkeypatch.setattr(crew, "_done", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            responses.close()
        responses.close()
        transport.going = True
        wait_for(lambda: thread_count() == 0)


def test_another_thread_may_close_the_iterator():
    transport = Transport()
    with httpx.Client(transport=transport, base_url="http://example.org") as client:
        responses = client.map(paths("hold", "hold"), concurrency=1)
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.extend(responses))
        thread.start()
        wait_for(lambda: transport.begun)
        responses.close()
        thread.join(5)
        assert not thread.is_alive()
        assert found == []
        transport.going = True


BULK = (str(Path(httpx.__file__).parent / "_bulk"),)


def test_an_interrupt_at_any_bytecode_leaves_no_thread_and_nothing_to_wait_for():
    """A thread that was begun and not counted waited for ever, and so did `close` for a call that was lost."""
    client = httpx.Client(transport=Transport(), base_url="http://example.org")

    def iterate() -> None:
        with client.map(paths(0, "fail", 2), concurrency=2, errors="yield") as responses:
            kept.append(responses)
            list(responses)

    kept: list[Any] = []
    for number in range(1, opcodes_of(iterate, BULK)):
        kept.clear()
        with contextlib.suppress(Interrupted):
            interrupt(iterate, BULK, number)
        if kept:
            kept[0].close()
            with contextlib.suppress(RuntimeError):  # it may not have noted that it waits no more
                assert list(kept[0]) == []
        kept.clear()
        wait_for(lambda: thread_count() == 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_an_iterator_belongs_to_the_process_that_began_it():
    """A child has none of the threads, and would wait for ever. A new call of map works there."""
    program = r"""
        import os, signal, sys
        import httpx

        client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(204)), base_url="http://a")
        responses = client.map((f"/{n}" for n in range(100)), concurrency=2)
        next(responses)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            code = 1
            try:
                list(responses)
            except RuntimeError as exc:
                if "begun in another process" in str(exc):
                    code = 42 if len(list(client.map(["/1", "/2"]))) == 2 else 2
            responses.close()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.WEXITSTATUS(status), len(list(responses)))
    """
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == ["42", "99"], done.stderr


def test_a_crew_whose_process_was_forked_refuses_and_waits_for_nothing():
    with httpx.Client(transport=Transport(), base_url="http://example.org") as client:
        responses = client.map(paths(*range(50)), concurrency=1)
        next(responses)
        assert responses._crew is not None
        responses._crew.forget()
        with pytest.raises(RuntimeError, match="call map in this one"):
            list(responses)


# Tasks.


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("engine", LOOPS)
def test_a_consumer_may_be_cancelled_at_every_step(engine: str, late: bool):
    """Also while it waits for an async input, and while it ends after an error. Nothing is left."""
    driver = driver_named(engine)

    def run(steps: Steps) -> None:
        async def names() -> AsyncIterator[str]:
            for name in (0, 1, 2, 3, "fail", 5, 6):
                await turns(1)
                yield f"/{name}"

        async def scenario() -> None:
            transport = Transport()
            async with client_of(driver, transport) as client:

                async def consume() -> None:
                    source = names()
                    try:
                        async with client.map(source, concurrency=2) as responses:
                            with contextlib.suppress(httpx.ReadError):
                                await texts(responses)
                    finally:
                        await source.aclose()

                with steps.watching():
                    await bounded(steps.run(consume))
                await turns()
                assert sorted(transport.begun) == sorted(transport.ended)
                if in_trio():
                    assert not steps.tasks
                assert len(await texts(client.map(paths(1, 2)))) == 2

        driver.run_bare(scenario)

    at_every_step(late, run)


@pytest.mark.parametrize("engine", LOOPS)
def test_a_cancelled_consumer_ends_what_is_under_way(engine: str):
    driver = driver_named(engine)

    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            responses = client.map(paths(*["hold"] * 9), concurrency=3)
            with contextlib.suppress(AssertionError):
                await bounded(responses.__anext__(), 0.02)
            assert len(transport.begun) == len(transport.ended) == 3
            assert await texts(responses) == []

    driver.run_bare(scenario)


@pytest.mark.parametrize("engine", LOOPS)
def test_another_task_may_close_the_iterator(engine: str):
    driver = driver_named(engine)

    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:
            responses = client.map(paths("hold", "hold"), concurrency=1)

            async def close() -> None:
                while not transport.begun:
                    await turns(1)
                await responses.aclose()

            if in_trio():
                import trio

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(close)
                    assert await texts(responses) == []
            else:
                assert (await asyncio.gather(texts(responses), close()))[0] == []
            await turns()
        assert transport.begun == transport.ended == ["hold"]

    driver.run_bare(scenario)


@pytest.mark.parametrize("engine", LOOPS)
def test_an_iterator_that_is_dropped_after_its_loop_has_ended_is_silent(engine: str):
    kept: list[Any] = []

    async def scenario() -> None:
        client = httpx.AsyncClient(transport=Transport(), base_url="http://example.org")
        kept.append(client.map(paths(1, *["hold"] * 5), concurrency=2))
        await kept[0].__anext__()

    if engine == "trio":
        pytest.importorskip("trio").run(scenario)
    else:
        asyncio.run(scenario())
    kept.clear()


@pytest.mark.parametrize("engine", LOOPS)
def test_workers_that_outlive_their_loop_are_not_stopped(engine: str):
    driver = driver_named(engine)
    kept: list[Any] = []

    async def scenario() -> None:
        kept.append(client_of(driver, Transport()).map(paths(1)))
        await kept[0].__anext__()

    driver.run_bare(scenario)
    kept[0]._crew._workers.add(Worker())
    kept.clear()


def test_without_a_loop_there_is_an_error():
    client = httpx.AsyncClient(transport=Transport(), base_url="http://example.org")
    with pytest.raises(RuntimeError):
        client.map(paths(1)).__anext__().send(None)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12")
@pytest.mark.parametrize("ordered", [True, False])
def test_tasks_may_begin_at_once(ordered: bool):
    """With an eager task factory a worker runs, and may end, before `create_task` returns."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        transport = httpx.MockTransport(lambda request: httpx.Response(200, text=request.url.path[1:]))
        for one in (transport, Transport()):
            async with httpx.AsyncClient(transport=one, base_url="http://example.org") as client:
                found = await texts(client.map(paths(*range(50)), concurrency=3, ordered=ordered))
                assert sorted(found, key=int) == [str(n) for n in range(50)]
                with pytest.raises(httpx.UnsupportedProtocol):
                    await texts(httpx.AsyncClient().map(["x://y/"], ordered=ordered))

    asyncio.run(main())


@pytest.mark.parametrize("engine", LOOPS)
def test_a_worker_that_is_cancelled_before_it_begins_is_not_waited_for(engine: str):
    driver = driver_named(engine)

    async def scenario() -> None:
        transport = Transport()
        async with client_of(driver, transport) as client:

            def names() -> Iterator[str]:
                yield "/1"
                raise Interrupted

            responses = client.map(names())
            with pytest.raises(Interrupted):
                await responses.__anext__()
            assert not responses._crew._workers
        assert transport.begun == []

    driver.run_bare(scenario)


def test_ctrl_c_in_a_request_ends_the_loop():
    def respond(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
            await texts(client.map(["http://example.org/"]))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


def test_system_exit_in_a_request_reaches_the_consumer_on_trio():
    """In a system task it would be an internal error of trio."""
    trio = pytest.importorskip("trio")

    def respond(request: httpx.Request) -> httpx.Response:
        raise SystemExit(3)

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
            with pytest.raises(SystemExit):
                await texts(client.map(["http://example.org/"], errors="yield"))

    trio.run(main)


def test_a_hook_that_raises_a_cancellation_ends_the_iteration():
    """Not a request that never ends: nobody cancelled the worker's task."""

    async def hook(request: httpx.Request) -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        async with httpx.AsyncClient(transport=Transport(), event_hooks={"request": [hook]}) as client:
            with pytest.raises(asyncio.CancelledError):
                await texts(client.map(["http://example.org/"]))

    asyncio.run(main())


# Executors: a pool of threads stands for worker processes, since everything is pickled all the same.


def respond_in_worker(request: httpx.Request) -> httpx.Response:
    name = request.url.path.rpartition("/")[2]
    if name.startswith("fail"):
        raise httpx.ReadError(name)
    if name == "odd":
        raise OddError(lambda: None)
    headers = [("Set-Cookie", "seen=yes")] if name == "login" else []
    shown = f"{request.headers.get('cookie', '-')} {sorted(request.extensions)}" if name == "show" else name
    return httpx.Response(200, text=shown, headers=headers)


class OddError(Exception):
    """Cannot be pickled."""


def worker_client(**options: Any) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(respond_in_worker), base_url="http://example.org", **options)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    KEPT.forget()
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_workers_send_chunks_and_the_order_is_kept(pool: ThreadPoolExecutor, chunk: int):
    with worker_client() as client:
        responses = client.map((f"/{n}" for n in range(50)), executor=pool, chunk=chunk)
        assert [one.text for one in responses] == [str(n) for n in range(50)]
        assert list(responses) == []
        with client.map(paths(*range(9)), executor=pool, chunk=2, ordered=False) as responses:
            assert sorted(one.text for one in responses) == [str(n) for n in range(9)]
        assert list(client.map([], executor=pool)) == []
    assert len(KEPT._clients) == 1


def test_workers_get_requests_whole(pool: ThreadPoolExecutor):
    """The pickle of a request has no extensions: its timeout and its target would be lost."""
    with worker_client() as client:
        request = client.build_request("POST", "/show", content=b"x", extensions={"target": b"/t"})
        items = [request, {"url": "/show", "timeout": 3}, httpx.URL("/5")]
        assert [one.text for one in client.map(items, executor=pool)] == [
            "- ['target', 'timeout']",
            "- ['timeout']",
            "5",
        ]


def test_input_for_workers_is_read_as_needed(pool: ThreadPoolExecutor):
    read = 0

    def names() -> Iterator[str]:
        nonlocal read
        for number in range(1000):
            read += 1
            yield f"/{number}"

    with worker_client() as client:
        responses = client.map(names(), executor=pool, chunk=10)
        next(responses)
        assert read <= 2 * 2 * 10
        responses.close()
        assert list(responses) == []


def test_thousands_of_requests_make_few_connections():
    """A pool of processes with a client for each call made a connection for nearly every request."""
    connections = 0

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        nonlocal connections
        connections += 1
        received = b""
        while True:
            piece = conn.sock.recv(65536)
            if not piece:
                return
            received += piece
            while b"\r\n\r\n" in received:
                received = received.partition(b"\r\n\r\n")[2]
                conn.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    context = multiprocessing.get_context("spawn")
    with ScriptedServer(serve) as server, ProcessPoolExecutor(2, mp_context=context) as workers:
        client = httpx.Client(base_url=server.url, trust_env=False)
        for _ in range(2):
            responses = client.map((f"/{n}" for n in range(2000)), executor=workers, concurrency=4)
            assert sum(response.text == "ok" for response in responses) == 2000
    assert 2 <= connections <= 2 * 2 * 4


def test_errors_come_back_with_their_requests(pool: ThreadPoolExecutor):
    with worker_client() as client:
        outcomes = list(client.map(paths(1, "fail-2", 3), executor=pool, errors="yield"))
        assert [type(one).__name__ for one in outcomes] == ["Response", "ReadError", "Response"]
        assert [one.request.url.path for one in outcomes] == paths(1, "fail-2", 3)
        for ordered in (True, False):
            responses = client.map(paths(*range(5), "fail", *range(100)), executor=pool, chunk=3, ordered=ordered)
            with pytest.raises(httpx.ReadError) as caught:
                list(responses)
            assert caught.value.request.url.path == "/fail"
            assert list(responses) == []


def test_the_responses_before_an_error_in_a_chunk_are_returned(pool: ThreadPoolExecutor):
    with worker_client() as client:
        responses = client.map(paths(1, 2, "fail", 4), executor=pool)
        assert [next(responses).text for _ in range(2)] == ["1", "2"]
        with pytest.raises(httpx.ReadError):
            next(responses)
        assert list(responses) == []


def test_what_cannot_be_sent_back_is_an_error_that_says_so(pool: ThreadPoolExecutor):
    with worker_client() as client:
        responses = client.map(paths(1, "odd", 3), executor=pool)
        assert next(responses).text == "1"
        with pytest.raises(RuntimeError, match=r"OddError \(.*cannot be sent back from a worker process"):
            next(responses)


def test_what_cannot_be_unpickled_here_ends_the_iteration(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch):
    with worker_client() as client:
        responses = client.map(paths(1, 2), executor=pool)
        monkeypatch.setattr(processes, "run_chunk", lambda job: (False, b"not a pickle"))
        with pytest.raises(pickle.UnpicklingError):
            next(responses)
        assert list(responses) == []


def test_what_cannot_be_pickled_is_refused_before_it_is_sent(pool: ThreadPoolExecutor):
    source = iter(paths(1))
    with httpx.Client(event_hooks={"request": [lambda request: None]}) as client:
        with pytest.raises(TypeError, match=r"the client cannot be sent to worker processes: .*lambda"):
            client.map(source, executor=pool)
        assert list(source) == paths(1)
    with worker_client() as client:
        streamed = client.build_request("POST", "/1", content=iter([b"x"]))
        for bad, message in (
            (streamed, r"the body of <Request.* is a stream: call its read\(\)"),
            ({"url": "/1", "content": iter([b"x"]), "extensions": {"trace": lambda *args: None}}, "item 1 of requests"),
            (7, "expected a Request"),
        ):
            responses = client.map([*paths(0), bad], executor=pool, chunk=1)
            assert next(responses).text == "0"
            with pytest.raises(TypeError, match=message):
                next(responses)
        streamed.read()
        assert len(list(client.map([streamed], executor=pool))) == 1
        with pytest.raises(TypeError, match="executor must have a method submit, got int"):
            client.map([], executor=7)  # type: ignore[call-overload]  # wrong on purpose
        with pytest.raises(ValueError, match="chunk must be at least 1"):
            client.map([], executor=pool, chunk=0)
        with pytest.raises(ValueError, match="errors must be"):
            client.map([], executor=pool, errors="x")  # type: ignore[call-overload]  # wrong on purpose


def test_an_error_of_the_input_comes_after_what_was_read_before_it_in_chunks(pool: ThreadPoolExecutor):
    def names() -> Iterator[str]:
        yield from paths(*range(5))
        raise ZeroDivisionError

    with worker_client() as client:
        responses = client.map(names(), executor=pool, chunk=2)
        assert [next(responses).text for _ in range(5)] == ["0", "1", "2", "3", "4"]
        with pytest.raises(ZeroDivisionError):
            next(responses)
        responses = client.map([*paths(0, 1), {"url": "/2", "json": lambda: 1}, *paths(3)], executor=pool, chunk=4)
        assert [next(responses).text for _ in range(2)] == ["0", "1"]
        with pytest.raises(TypeError, match="item 2 of requests"):
            next(responses)
        assert list(responses) == []


def test_an_input_that_closes_its_own_iterator_over_workers_ends_it(pool: ThreadPoolExecutor):
    def names() -> Iterator[str]:
        yield "/1"
        responses.close()
        yield "/2"

    with worker_client() as client:
        responses: Any = client.map(names(), executor=pool)
        assert list(responses) == []


def test_a_worker_keeps_the_client_of_each_client_and_configuration(pool: ThreadPoolExecutor):
    """With the cookies that its servers set. Two clients with the same configuration do not share them."""
    with worker_client() as one, worker_client() as other:
        assert next(one.map(paths("login"), executor=pool)).text == "login"
        assert next(one.map(paths("show"), executor=pool)).text.startswith("seen=yes")
        assert next(other.map(paths("show"), executor=pool)).text.startswith("-")
        assert len(KEPT._clients) == 2
        one.headers["X-Changed"] = "yes"
        assert next(one.map(paths("show"), executor=pool)).text.startswith("-")
        assert len(KEPT._clients) == 3


def test_kept_clients_are_bounded_and_closed_when_they_are_not_in_use():
    kept = KeptClients()
    pickled = pickle.dumps(worker_client())
    clients = []
    with kept.borrowed(b"used", pickled) as used:
        for number in range(20):
            with kept.borrowed(b"%d" % number, pickled) as client:
                client.get("/1")
                clients.append(client)
        assert [client.is_closed for client in clients] == [number < 13 for number in range(20)]
        assert not used.is_closed
        with kept.borrowed(b"used", pickled) as same:
            assert same is used
        kept.forget()
    assert not kept._clients


def test_a_forked_child_has_clients_of_its_own():
    client = worker_client()
    before = WORDS.of(client)
    assert WORDS.of(client) == before
    WORDS.forget()
    assert WORDS.of(client) != before


class Broken:
    """An executor that says nothing of its size, whose futures end as they are told."""

    def __init__(self, breaks: bool = True) -> None:
        self.futures: list[Future[Any]] = []
        self._breaks = breaks

    def submit(self, function: Any, job: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.futures.append(future)
        if self._breaks and len(self.futures) == 3:
            self.futures[0].set_exception(OSError("a process died"))
        return future


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_of_the_executor_is_raised_and_the_other_chunks_are_cancelled(ordered: bool):
    executor = Broken()
    with worker_client() as client:
        responses = client.map(paths(*range(100)), executor=executor, chunk=1, ordered=ordered)  # type: ignore[call-overload]  # not an Executor
        with pytest.raises(OSError, match="a process died"):
            next(responses)
    assert len(executor.futures) == 3
    assert all(future.cancelled() for future in executor.futures[1:])
    assert list(responses) == []


def test_an_executor_that_is_shut_down_is_an_error():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with worker_client() as client, pytest.raises(RuntimeError, match="shutdown"):
        next(client.map(paths(1), executor=executor))


def test_the_size_of_an_executor_is_taken_from_where_it_says_it():
    class Dask:
        class _client:
            @staticmethod
            def nthreads() -> dict[str, int]:
                return {"tcp://a": 2, "tcp://b": 3}

    class MPI:
        num_workers = 7

    with ThreadPoolExecutor(3) as pool:
        assert [processes._workers_of(one) for one in (pool, MPI(), Dask(), object())] == [3, 7, 5, 16]


def test_an_iterator_over_workers_that_is_closed_cancels_their_chunks():
    executor = Broken(breaks=False)
    with worker_client() as client:
        responses: Any = client.map(paths(*range(9)), executor=executor, chunk=1)  # type: ignore[call-overload]  # not an Executor
        thread = threading.Thread(target=list, args=[responses])
        thread.start()
        wait_for(lambda: len(executor.futures) >= 2)
        responses.close()
        thread.join(5)
        assert not thread.is_alive()
    assert all(future.done() for future in executor.futures)
