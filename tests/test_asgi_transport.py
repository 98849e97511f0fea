"""
An ASGI application in place of the network.

Apps here use no async library of their own: they wait by `receive`, or by letting everything else run.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any, Callable, Optional

import pytest

import httpx
from httpx._transports import asgi_portal, asgi_run, hosts
from httpx._transports.asgi_portal import Portal, Worker
from support.drivers import Driver, run_without_loop
from support.steps import Cancelled, Steps, in_trio, turns, until

URL = "http://example.org/"
START = {"type": "http.response.start", "status": 200, "headers": []}
THREAD = "httpx.ASGITransport"

App = Callable[[Any, Any, Any], Any]

on_any_loop = pytest.mark.parametrize("name", ["asyncio", "trio"])


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test: no thread is left. Tasks on asyncio are looked for by the driver, system tasks on trio by `run`."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == THREAD] == []


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def sending(*messages: Any) -> App:
    """An app that sends these messages; exceptions among them are raised."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            if isinstance(message, BaseException):
                raise message
            await send(message)

    return app


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends every piece of the request back, as it comes."""
    await send(START)
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send(body(message["body"], more))


class Log(list[Any]):
    """What happened to an app that stays until it is told, or forced, to go."""

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"a", True))
        await self.linger(receive)

    async def linger(self, receive: Any) -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.append("disconnect")
            await turns(3)
            self.append("cleaned up")
        except BaseException as exc:
            self.append(type(exc).__name__)
            raise


async def together(*functions: Callable[[], Any]) -> None:
    """Run async functions at the same time."""
    if in_trio():
        import trio

        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(function)
    else:
        await asyncio.gather(*(function() for function in functions))


def run(driver: Driver, scenario: Any, app: App, **options: Any) -> Any:
    """The scenario's result, with a client for the app; afterwards the app must be gone."""

    async def main() -> Any:
        transport = httpx.ASGITransport(app, **options)
        async with driver.client(transport=transport) as client:
            result = await scenario(client)
        assert not transport._server._alive
        assert not transport._portal.server._alive
        if driver.name == "trio":
            assert "TrioHost" not in tasks_of_trio()
        return result

    return driver.run_bare(main)


def tasks_of_trio() -> str:
    import trio

    names, tasks = [], [trio.lowlevel.current_root_task()]
    while tasks:
        task = tasks.pop()
        names.append(task.name)
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return " ".join(names)


def get(driver: Driver, app: App, method: str = "GET", url: str = URL, **options: Any) -> httpx.Response:
    async def scenario(client: Any) -> Any:
        return await client.request(method, url)

    response = run(driver, scenario, app, **options)
    return response if driver.is_async else response.inner


def scope_of(driver: Driver, method: str = "GET", url: str = URL, headers: Any = None, **options: Any) -> Any:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await sending(START, body())(scope, receive, send)

    async def scenario(client: Any) -> None:
        await client.request(method, url, headers=headers)

    run(driver, scenario, app, **options)
    return scopes[0]


async def wait_for(driver: Driver, condition: Callable[[], Any]) -> None:
    """Let the app run until the condition holds."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        await driver.pause()
        yield_to_threads()  # the app of a sync client has one of its own


def yield_to_threads() -> None:
    time.sleep(0)


# What comes back.


def test_the_app_answers(driver: Driver):
    start = {"type": "http.response.start", "status": 201, "headers": [(b"X-A", b"1"), [b"x-a", b"2"]]}
    response = get(driver, sending(start, body(b"Hello, ", True), body(b"World!")))
    assert (response.status_code, response.reason_phrase, response.content) == (201, "Created", b"Hello, World!")
    assert response.headers.raw == [(b"X-A", b"1"), (b"x-a", b"2")]


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"type": "http.response.body"}, b""),
        (body(b""), b""),
        (body(bytearray(b"abc")), b"abc"),
        (body(memoryview(b"abc")), b"abc"),
    ],
)
def test_any_form_of_body_will_do(driver: Driver, message: Any, content: bytes):
    assert get(driver, sending({"type": "http.response.start", "status": 200}, message)).content == content


def test_a_head_request_gets_no_body(driver: Driver):
    start = {**START, "headers": [(b"content-length", b"3")]}
    response = get(driver, sending(start, body(b"abc")), "HEAD")
    assert (response.content, response.headers["content-length"]) == (b"", "3")


def test_messages_for_others_are_ignored(driver: Driver):
    debug, trailers = {"type": "http.response.debug"}, {"type": "http.response.trailers", "headers": []}
    assert get(driver, sending(debug, START, body(b"a"), trailers)).content == b"a"


def trailed(*fields: Any, more: bool = False) -> Any:
    return {"type": "http.response.trailers", "headers": fields, "more_trailers": more}


ANNOUNCED = {**START, "trailers": True}


def test_an_app_sends_trailers_after_the_body(driver: Driver):
    app = sending(
        ANNOUNCED, body(b"a", True), body(b"b"), trailed((b"x-sum", b"1"), more=True), trailed([b"x-b", b"2"])
    )
    response = get(driver, app)
    assert (response.content, response.trailers.raw) == (b"ab", [(b"x-sum", b"1"), (b"x-b", b"2")])
    assert "x-sum" not in response.headers

    async def scenario(client: Any) -> None:
        async with client.stream("GET", URL) as streamed:
            assert streamed.trailers.raw == []
            assert [piece async for piece in streamed.aiter_bytes()] == [b"a", b"b"]
            assert streamed.trailers["x-sum"] == "1"

    run(driver, scenario, app)


def test_trailers_that_are_none_are_not_in_the_extensions(driver: Driver):
    """Programs ask whether they are there."""
    assert "trailers" not in get(driver, sending(ANNOUNCED, body(b"a"), trailed())).extensions


def test_trailers_that_an_app_did_not_announce_or_sends_late_are_ignored(driver: Driver):
    assert get(driver, sending(START, body(b"a"), trailed((b"x", b"1")))).trailers.raw == []
    late = sending(ANNOUNCED, body(b"a"), trailed((b"x", b"1")), trailed((b"x", b"2")))
    assert get(driver, late).trailers.raw == [(b"x", b"1")]


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([ANNOUNCED, trailed()], (RuntimeError, "before the end of the body")),
        ([ANNOUNCED, body(b"a"), body(b"b")], (RuntimeError, "after the end of the body")),
        ([ANNOUNCED, body(b"a")], (httpx.RemoteProtocolError, "before its response was complete")),
        ([ANNOUNCED, body(b"a"), trailed(more=True)], (httpx.RemoteProtocolError, "before its response was complete")),
    ],
)
def test_trailers_in_the_wrong_place_or_missing_are_an_error(driver: Driver, messages: Any, error: Any):
    with pytest.raises(error[0], match=error[1]):
        get(driver, sending(*messages))


# The scope.


def test_the_scope_is_as_in_0_28_1_and_offers_trailers(driver: Driver):
    scope = scope_of(driver, "PUT", "https://example.org:8443/p%C3%A4th%2Fx?q=a%20b#f", headers=[("X-Y", "1")] * 2)
    headers = scope.pop("headers")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "https",
        "path": "/päth/x",
        "raw_path": b"/p%C3%A4th%2Fx",
        "query_string": b"q=a%20b",
        "server": ("example.org", 8443),
        "client": ("127.0.0.1", 123),
        "root_path": "",
        "extensions": {"http.response.trailers": {}},
    }
    assert headers[0] == (b"host", b"example.org:8443")
    assert headers[-2:] == [(b"x-y", b"1"), (b"x-y", b"1")]


def test_where_the_app_is_mounted_and_who_asks_can_be_set(driver: Driver):
    scope = scope_of(driver, root_path="/app", client=("10.0.0.1", 1))
    assert (scope["root_path"], scope["client"], scope["server"]) == ("/app", ("10.0.0.1", 1), ("example.org", None))


# The request's body.


def messages_of(driver: Driver, content: Any) -> list[Any]:
    messages = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while not messages or messages[-1]["more_body"]:
            messages.append(await receive())
        await sending(START, body())(scope, receive, send)
        messages.append(await receive())

    async def scenario(client: Any) -> None:
        await client.post(URL, content=content)

    run(driver, scenario, app)
    assert [message.pop("type") for message in messages] == ["http.request"] * (len(messages) - 1) + ["http.disconnect"]
    return [tuple(message.values()) for message in messages[:-1]]


def test_a_request_comes_in_the_messages_of_0_28_1(driver: Driver):
    """Piece by piece, then an empty one that ends it, then the disconnect."""
    assert messages_of(driver, None) == [(b"", True), (b"", False)]
    assert messages_of(driver, b"abc") == [(b"abc", True), (b"", False)]
    assert messages_of(driver, driver.body([b"a", b"bc"])) == [(b"a", True), (b"bc", True), (b"", False)]


def test_an_async_client_may_send_a_sync_body():
    assert messages_of(Driver("asyncio"), iter([b"a", b"b"])) == [(b"a", True), (b"b", True), (b"", False)]


def test_a_body_in_memory_is_there_although_nobody_reads_the_response(driver: Driver):
    got = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        got.append(await receive())
        got.append(await receive())
        await send(body())

    async def scenario(client: Any) -> None:
        async with client.stream("POST", URL, content=b"abc"):
            await wait_for(driver, lambda: len(got) == 2)

    run(driver, scenario, app)


def test_a_request_may_be_sent_while_its_response_is_read(driver: Driver):
    pieces = [b"a", b"b", b"c"]

    async def scenario(client: Any) -> list[bytes]:
        async with client.stream("POST", URL, content=driver.body(pieces)) as response:
            return [piece async for piece in response.aiter_raw()]

    assert run(driver, scenario, echo) == pieces


class Source:
    """A request's body, sync or async, that knows whether it was closed, and in which thread it was made."""

    def __init__(self, error: Optional[BaseException] = None) -> None:
        self.closed = False
        self.thread: Any = None
        self._error = error

    def content(self, driver: Driver) -> Any:
        return self._async() if driver.is_async else self._sync()

    def _sync(self) -> Iterator[bytes]:
        self.thread = threading.current_thread()
        try:
            yield b"a"
            if self._error is not None:
                raise self._error
            yield b"b"
        finally:
            self.closed = True

    async def _async(self) -> AsyncIterator[bytes]:
        pieces = self._sync()
        try:
            for piece in pieces:
                yield piece
        finally:
            pieces.close()


def test_a_body_is_made_in_the_thread_that_it_came_from(driver: Driver):
    source = Source()

    async def scenario(client: Any) -> bytes:
        return (await client.post(URL, content=source.content(driver))).content

    assert run(driver, scenario, echo) == b"ab"
    assert source.thread is threading.current_thread()


@pytest.mark.parametrize("answer", ["whole", "500", "left"])
def test_a_body_that_the_app_does_not_read_to_its_end_is_closed(driver: Driver, answer: str):
    source = Source()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if answer == "500":
            raise ZeroDivisionError
        await sending(START, body(b"x", answer == "left"))(scope, receive, send)
        if answer == "left":
            await until(lambda: False)

    async def scenario(client: Any) -> int:
        async with client.stream("POST", URL, content=source.content(driver)) as response:
            if answer != "left":
                await response.aread()
        return response.status_code

    assert run(driver, scenario, app, raise_app_exceptions=False) == (500 if answer == "500" else 200)
    assert source.closed


@pytest.mark.parametrize("late", [False, True])
def test_what_a_body_raises_reaches_its_owner_and_never_the_app(driver: Driver, late: bool):
    """Harm otherwise: the app answers with a page about somebody else's bug."""
    log = Log()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if late:
            await send(START)
        await log.linger(receive)

    async def scenario(client: Any) -> None:
        with pytest.raises(ZeroDivisionError):
            await client.post(URL, content=Source(ZeroDivisionError()).content(driver))

    run(driver, scenario, app, raise_app_exceptions=False)
    assert log == ["disconnect", "cleaned up"]


def test_an_interrupted_body_ends_the_app_too(driver: Driver):
    log = Log()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await log.linger(receive)

    async def scenario(client: Any) -> None:
        with pytest.raises(KeyboardInterrupt):
            await client.post(URL, content=Source(KeyboardInterrupt()).content(driver))

    run(driver, scenario, app)
    assert log[-1] in ("CancelledError", "Cancelled", "cleaned up")


def test_two_may_receive_at_once(driver: Driver):
    """Middleware listens for the disconnect while the endpoint reads."""
    pieces: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def one() -> None:
            pieces.append((await receive())["body"])

        await together(one, one)
        await sending(START, body())(scope, receive, send)

    async def scenario(client: Any) -> None:
        await client.post(URL, content=driver.body([b"a", b"b", b"c"]))

    run(driver, scenario, app)
    assert sorted(pieces) == [b"a", b"b"]


@on_any_loop
def test_an_async_stream_of_ones_own_is_closed_if_it_is_given_up(name: str):
    """Its iterator is, too: trio warns of generators that are left behind."""
    log: list[str] = []

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                yield b"a"
                yield b"b"
            finally:
                log.append("generator")

        async def aclose(self) -> None:
            log.append("stream")

    async def once(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await sending(START, body())(scope, receive, send)

    async def scenario(client: Any) -> None:
        await client.post(URL, content=Body())

    run(Driver(name), scenario, once)
    assert log == ["generator", "stream"]


# Streaming.


def test_the_head_is_there_before_the_body(driver: Driver):
    go: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await until(lambda: go)
        await send(body(b"a"))

    async def scenario(client: Any) -> bytes:
        async with client.stream("GET", URL) as response:
            assert response.status_code == 200
            go.append(True)
            content: bytes = await response.aread()
            return content

    assert run(driver, scenario, app) == b"a"


def test_pieces_arrive_as_they_are_sent(driver: Driver):
    """0.28.1 kept them until the app had returned."""
    read: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for number in range(3):
            await until(lambda number=number: len(read) == number)
            await send(body(b"%d" % number, True))
        await send(body())

    async def scenario(client: Any) -> None:
        async with client.stream("GET", URL) as response:
            async for piece in response.aiter_raw():
                read.append(piece)

    run(driver, scenario, app)
    assert read == [b"0", b"1", b"2"]


@pytest.mark.parametrize(("size", "most"), [(1, 1024), (1024, 64), (65_536, 1), (1_000_000, 1)])
def test_an_endless_app_is_held_back_read_for_a_while_and_left(driver: Driver, size: int, most: int):
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        while True:
            sent.append(size)
            await send(body(b"x" * size, True))

    async def scenario(client: Any) -> int:
        async with client.stream("GET", URL) as response:
            pieces = response.aiter_raw()
            for _ in range(3):
                assert len(await pieces.__anext__()) == size
            await wait_for(driver, lambda: len(sent) == most + 3)
            for _ in range(5):
                await driver.pause()
            return len(sent)

    assert run(driver, scenario, app) == most + 3
    assert len(sent) <= most + 3 + asgi_run._TURNS + 1


def test_an_app_that_sends_nothing_endlessly_stops_nobody(driver: Driver):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        while True:
            await send(body(b"", True))

    async def scenario(client: Any) -> int:
        async with client.stream("GET", URL) as response:
            return response.status_code

    assert run(driver, scenario, app) == 200


def test_the_end_of_the_body_is_the_end_of_the_app(driver: Driver):
    """Test suites look at what background tasks have done as soon as the client returns."""
    done = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sending(START, body(b"a"))(scope, receive, send)
        await turns(20)
        done.append(True)

    async def scenario(client: Any) -> None:
        await client.get(URL)
        assert done == [True]

    run(driver, scenario, app)


def test_the_app_is_told_of_the_end_of_its_response(driver: Driver):
    """Even if it has not read the request: it may wait for that only."""
    log = Log()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def answer() -> None:
            await sending(START, body(b"a"))(scope, receive, send)

        await together(lambda: log.linger(receive), answer)

    assert get(driver, app).content == b"a"
    assert log == ["disconnect", "cleaned up"]


# Leaving.


async def leave_early(client: Any) -> bytes:
    async with client.stream("GET", URL) as response:
        piece: bytes = await response.aiter_raw().__anext__()
        return piece


def test_an_app_that_is_left_is_told_and_may_clean_up(driver: Driver):
    log = Log()
    assert run(driver, leave_early, log.app) == b"a"
    assert log == ["disconnect", "cleaned up"]


def test_an_app_that_has_read_its_request_waits_for_the_disconnect(driver: Driver):
    log = Log()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await log.app(scope, receive, send)

    run(driver, leave_early, app)
    assert log == ["disconnect", "cleaned up"]


def test_an_app_that_is_told_has_more_than_a_few_turns(driver: Driver):
    done = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Log().app(scope, receive, send)
        await turns(10 * asgi_run._TURNS)
        done.append(True)

    run(driver, leave_early, app)
    assert done == [True]


def test_an_app_that_has_sent_all_has_more_than_a_few_turns(driver: Driver):
    done = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sending(START, body(b"a"))(scope, receive, send)
        await turns(10 * asgi_run._TURNS)
        done.append(True)

    run(driver, leave_early, app)
    assert done == [True]


@pytest.mark.parametrize("told", [False, True])
def test_an_app_that_stays_is_cancelled(driver: Driver, told: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asgi_run, "_GRACE", 0.001)
    log: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await (Log().app if told else sending(START, body(b"a", True)))(scope, receive, send)
            await until(lambda: False)
        except BaseException as exc:
            log.append(type(exc).__name__)
            raise

    run(driver, leave_early, app)
    assert log == ["Cancelled" if driver.name == "trio" else "CancelledError"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), asyncio.CancelledError()])
def test_what_an_app_raises_that_is_left_goes_nowhere(driver: Driver, error: BaseException):
    """As with a server: there is nobody whom it could reach."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Log().app(scope, receive, send)
        raise error

    assert run(driver, leave_early, app) == b"a"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_is_meant_for_the_whole_program_is_never_lost(driver: Driver, error: BaseException):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Log().app(scope, receive, send)
        raise error

    async def scenario(client: Any) -> None:
        with pytest.raises(type(error)):
            await leave_early(client)

    run(driver, scenario, app)


def test_reading_on_after_closing_is_an_error(driver: Driver):
    """Harm otherwise: half a body passes for a whole one."""

    async def scenario(client: Any) -> None:
        async with client.stream("GET", URL) as response:
            pieces = response.aiter_raw()
            await pieces.__anext__()
            await response.aclose()
            with pytest.raises(httpx.StreamClosed, match="closed before its body was read"):
                await pieces.__anext__()

    run(driver, scenario, Log().app)


def test_closing_the_transport_ends_what_is_open(driver: Driver):
    log = Log()

    async def scenario(client: Any) -> None:
        request = client.build_request("GET", URL)
        response = await client.send(request, stream=True)
        pieces = response.aiter_raw()
        await pieces.__anext__()
        await client.aclose()
        assert log == ["disconnect", "cleaned up"]
        with pytest.raises(httpx.ReadError):
            await pieces.__anext__()
        await response.aclose()

    run(driver, scenario, log.app)


def test_closing_the_transport_fails_a_request_that_waits(driver: Driver):
    log = Log()
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.append("begun")
        await log.linger(receive)

    async def scenario(client: Any) -> None:
        async def wait() -> None:
            try:
                await client.get(URL)
            except httpx.ReadError as exc:
                errors.append(exc)

        async def close() -> None:
            await wait_for(driver, lambda: log)
            await client.aclose()

        if driver.is_async:
            await together(wait, close)
        else:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(wait().send, None)
                await close()
                with pytest.raises(StopIteration):
                    waiting.result(5)

    run(driver, scenario, app)
    assert log == ["begun", "disconnect", "cleaned up"]
    assert len(errors) == 1


# Cancelling (async only: a sync caller cannot be).


@pytest.mark.parametrize("late", [False, True])
@on_any_loop
def test_a_request_may_be_cancelled_at_any_step(name: str, late: bool):
    """Harm otherwise: an app that goes on for nobody, and holds what it holds."""
    for at in range(1, 60):
        steps = Steps(at, late)
        log = Log()

        async def app(scope: Any, receive: Any, send: Any, log: Log = log) -> None:
            try:
                while (await receive())["more_body"]:
                    pass
                await turns(2)
                await sending(START, body(b"a", True), body(b"b"))(scope, receive, send)
                await turns(2)
            except BaseException:
                await turns(0 if in_trio() else 2)
                raise
            finally:
                log.append("ended")

        async def scenario(client: Any, steps: Steps = steps, log: Log = log) -> Any:
            with steps.watching():
                return await steps.run(lambda: client.post(URL, content=_pieces()))

        outcome = run(Driver(name), scenario, app)
        assert log in ([], ["ended"])
        if not steps.reached:
            break
        assert isinstance(outcome, Cancelled) or outcome.content == b"ab"
    else:
        raise AssertionError("the request never ends")
    assert at > 5


async def _pieces() -> AsyncIterator[bytes]:
    yield b"a"
    await turns()
    yield b"b"


def test_an_app_that_takes_its_time_to_end_is_waited_for_however_often_the_caller_is_cancelled():
    log = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await until(lambda: False)
        finally:
            await turns(10)
            log.append("ended")

    async def scenario(client: Any) -> None:
        task = asyncio.ensure_future(client.send(client.build_request("GET", URL), stream=True))
        await turns(3)
        for _ in range(3):
            task.cancel()
            await turns(2)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["ended"]

    run(Driver("asyncio"), scenario, app)


# In the caller's task: an answer that is not streamed, to a request without a streamed body.


@on_any_loop
def test_an_answer_that_is_not_streamed_is_made_in_the_callers_task(name: str):
    """fastapi's own tests cancel requests: scopes and shields of anyio's in the app count, as on 0.28.1."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(this_task())
        await sending(START, body(b"a", True), body(b"b"))(scope, receive, send)

    async def scenario(client: Any) -> None:
        assert (await client.get(URL)).content == (await client.post(URL, content=b"x")).content == b"ab"
        async with client.stream("GET", URL) as response:
            assert await response.aread() == b"ab"
        assert (await client.post(URL, content=_pieces())).content == b"ab"
        assert [task is this_task() for task in tasks] == [True, True, False, False]

    tasks: list[Any] = []
    run(Driver(name), scenario, app)


@on_any_loop
def test_hops_of_a_stream_are_streams(name: str):
    log = Log()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/moved":
            start = {"type": "http.response.start", "status": 302, "headers": [(b"location", b"/")]}
            await sending(start, body())(scope, receive, send)
        else:
            await log.app(scope, receive, send)

    async def scenario(client: Any) -> None:
        async with client.stream("GET", URL + "/moved", follow_redirects=True) as response:
            assert response.status_code == 200
            assert await response.aiter_raw().__anext__()

    run(Driver(name), scenario, app)
    assert log == ["disconnect", "cleaned up"]


def test_a_cancellation_that_the_app_causes_at_its_end_comes_after_its_answer():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await sending(START, body(b"a", True), body(b"b"))(scope, receive, send)

    async def scenario(client: Any) -> None:
        assert (await client.get(URL)).content == b"ab"
        with pytest.raises(asyncio.CancelledError):
            await turns()

    run(Driver("asyncio"), scenario, app)


def test_a_cancellation_that_the_app_causes_at_its_end_comes_after_its_answer_on_trio():
    import trio

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cancel.cancel()
        await sending(START, body(b"a", True), body(b"b"))(scope, receive, send)

    async def scenario(client: Any) -> None:
        with cancel:
            response = await client.get(URL)
        assert response.content == b"ab"
        assert not cancel.cancelled_caught

    cancel = trio.CancelScope()
    run(Driver("trio"), scenario, app)


@on_any_loop
def test_what_the_app_raises_when_it_is_cancelled_is_raised(name: str):
    """fastapi's own tests: the clean-up of a dependency may fail, and says so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.append("begun")
        try:
            await until(lambda: False)
        finally:
            raise RuntimeError("the clean-up failed")

    async def scenario(client: Any) -> None:
        with pytest.raises(RuntimeError, match="the clean-up failed"):
            await cut_off(client.get(URL))

    log: list[str] = []
    run(Driver(name), scenario, app)
    assert log == ["begun"]


@on_any_loop
def test_an_endless_answer_can_be_cancelled(name: str):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        while True:
            await send(body(b"x" * 1000, True))

    async def scenario(client: Any) -> None:
        with pytest.raises(TimeoutError):
            await cut_off(client.get(URL))

    run(Driver(name), scenario, app)


@pytest.mark.parametrize("complete", [False, True])
def test_what_the_app_raises_behind_the_head_need_not_be_raised(complete: bool):
    app = sending(START, body(b"a", True), *([body(b"b")] if complete else []), ValueError("mine"))

    async def scenario(client: Any) -> bytes:
        content: bytes = (await client.get(URL)).content
        return content

    if complete:
        assert run(Driver("asyncio"), scenario, app, raise_app_exceptions=False) == b"ab"
    else:
        with pytest.raises(httpx.RemoteProtocolError):
            run(Driver("asyncio"), scenario, app, raise_app_exceptions=False)
    with pytest.raises(ValueError, match="mine"):
        run(Driver("asyncio"), scenario, app)


async def cut_off(waiting: Any) -> None:
    """Cancel a call after a moment; TimeoutError if it is cancelled then."""
    if in_trio():
        import trio

        with trio.move_on_after(0.05) as scope:
            await waiting
        if scope.cancelled_caught:
            raise TimeoutError
        return
    try:
        await asyncio.wait_for(waiting, 0.05)
    except asyncio.TimeoutError as exc:  # another class before Python 3.11
        raise TimeoutError from exc


def this_task() -> Any:
    if in_trio():
        import trio

        return trio.lowlevel.current_task()
    return asyncio.current_task()


def test_a_cancelled_close_waits_too():
    """On trio: leaving `stream` because of a timeout."""
    import trio

    log = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await sending(START, body(b"a", True))(scope, receive, send)
            await until(lambda: False)
        finally:
            with trio.CancelScope(shield=True):
                await turns(10)
            log.append("ended")

    async def scenario(client: Any) -> None:
        with trio.CancelScope() as scope:
            async with client.stream("GET", URL) as response:
                scope.cancel()
                await response.aread()
        assert scope.cancelled_caught
        assert log == ["ended"]

    run(Driver("trio"), scenario, app)


@on_any_loop
def test_a_cancelled_close_of_the_transport_ends_everything(name: str):
    """Harm otherwise: the first app that takes its time keeps the others alive."""
    log: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await Lifespan(UP, DOWN)(scope, receive, send)
        await Log().app(scope, receive, send)
        await until(lambda: False)

    async def scenario(client: Any) -> None:
        for _ in range(3):
            await client.send(client.build_request("GET", URL), stream=True)
        steps = Steps(20, late=False)
        with steps.watching():
            assert isinstance(await steps.run(client.aclose), Cancelled)
        assert steps.reached
        log.append("closed")

    run(Driver(name), scenario, app, lifespan=True)
    assert log == ["closed"]


def test_an_app_that_is_cancelled_before_its_first_step_is_over_too():
    """On asyncio such a task never begins; harm otherwise: a close that never ends."""

    async def main() -> None:
        exchange = asgi_run.Exchange(echo, {"method": "GET"}, httpx.ByteStream(b""))
        exchange.host.spawn(exchange)
        await exchange.end()
        assert exchange.over
        await exchange.end()
        await exchange.leave()

    asyncio.run(main())


@on_any_loop
def test_a_response_that_is_dropped_is_ended_with_the_transport(name: str):
    """Its task waits for a reader who never comes, and must not be collected, which would be a warning."""
    log = Log()

    async def scenario(client: Any) -> None:
        await client.send(client.build_request("GET", URL), stream=True)
        await turns(5)
        gc.collect()
        assert log == []

    run(Driver(name), scenario, log.app)
    assert log == ["disconnect", "cleaned up"]


@on_any_loop
def test_a_transport_may_be_used_in_one_event_loop_after_the_other(name: str):
    """A response that the first one left open is no business of the second."""
    transport = httpx.ASGITransport(echo)
    log = Log()

    async def first() -> None:
        transport.app = log.app
        await httpx.AsyncClient(transport=transport).send(httpx.Request("GET", URL), stream=True)
        await turns(3)

    async def second() -> bytes:
        transport.app = echo
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.post(URL, content=b"abc")).content

    if name == "trio":
        import trio

        trio.run(first)
        assert trio.run(second) == b"abc"
    else:
        asyncio.run(first())
        assert asyncio.run(second()) == b"abc"
    assert log in (["Cancelled"], ["CancelledError"])


def test_a_run_of_another_event_loop_is_left_alone():
    async def main() -> None:
        transport = httpx.ASGITransport(Log().app)
        run = transport._server._alive
        run.add(Elsewhere())
        await transport.aclose()
        transport._server.lifespan = Elsewhere()
        await transport.aclose()
        assert transport._server.lifespan is not None

    class Elsewhere:
        host = hosts.AsyncioHost(None)

    asyncio.run(main())


# When the app fails.


class Fatal(BaseException):
    """Such as what `pytest.fail` raises."""


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), Fatal()])
@pytest.mark.parametrize(
    "messages", [[], [START], [START, body(b"a", True)], [START, body(b"a")]], ids=["at once", "head", "body", "end"]
)
def test_what_the_app_raises_is_raised(driver: Driver, messages: list[Any], error: BaseException):
    with pytest.raises(type(error)):
        get(driver, sending(*messages, error))


@pytest.mark.parametrize("messages", [[], [START], [START, body(b"a")]])
def test_what_is_no_exception_is_always_raised(driver: Driver, messages: list[Any]):
    with pytest.raises(Fatal):
        get(driver, sending(*messages, Fatal()), raise_app_exceptions=False)


def test_what_the_app_raises_becomes_a_500_on_request(driver: Driver):
    response = get(driver, sending(ZeroDivisionError()), raise_app_exceptions=False)
    assert (response.status_code, response.headers.raw, response.content) == (500, [], b"")


def test_a_failure_behind_a_whole_response_does_not_matter_then(driver: Driver):
    """Starlette sends its page with status 500, and raises the exception afterwards."""
    response = get(driver, sending(START, body(b"sorry"), ZeroDivisionError()), raise_app_exceptions=False)
    assert response.content == b"sorry"


@pytest.mark.parametrize("messages", [[START], [START, body(b"a", True)]])
def test_a_failure_in_the_middle_of_a_response_reaches_the_reader(driver: Driver, messages: list[Any]):
    """0.28.1 passed half a body for a whole one."""
    with pytest.raises(httpx.RemoteProtocolError, match="ended before its response was complete") as caught:
        get(driver, sending(*messages, ZeroDivisionError()), raise_app_exceptions=False)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.request.url == URL


def test_pieces_before_a_failure_are_read(driver: Driver):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", URL) as response:
            pieces = response.aiter_raw()
            assert [await pieces.__anext__(), await pieces.__anext__()] == [b"a", b"b"]
            with pytest.raises(ZeroDivisionError):
                await pieces.__anext__()

    run(driver, scenario, sending(START, body(b"a", True), body(b"b", True), ZeroDivisionError()))


@pytest.mark.parametrize("messages", [[], [START], [START, body(b"a", True)]])
def test_an_app_must_answer(driver: Driver, messages: list[Any]):
    with pytest.raises(httpx.RemoteProtocolError, match="ended before its response was complete"):
        get(driver, sending(*messages))


def test_an_app_that_does_not_answer_is_a_500_on_request(driver: Driver):
    assert get(driver, sending(), raise_app_exceptions=False).status_code == 500


@pytest.mark.parametrize(
    ("messages", "error", "words"),
    [
        ([body()], RuntimeError, "http.response.body before http.response.start"),
        ([{**START, "status": 99999}], ValueError, "status 99999, expected a number from 100 to 999"),
        ([START, START], RuntimeError, "http.response.start a second time"),
        ([START, body(), body()], RuntimeError, "after the end of the body"),
        ([START, body("text")], TypeError, "sent str as a body, expected bytes"),
        ([START, body(3)], TypeError, "sent int as a body"),
        ([{**START, "headers": [(b"a", b"1\r\n2")]}], httpx.LocalProtocolError, "'a'"),
        ([{**START, "status": "OK"}], ValueError, "OK"),
    ],
)
def test_wrong_messages_are_errors_in_the_app(driver: Driver, messages: list[Any], error: Any, words: str):
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await sending(*messages)(scope, receive, send)
        except Exception as exc:
            raised.append(exc)
            raise

    with pytest.raises(error, match=words) as caught:
        get(driver, app)
    assert raised == [caught.value]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
@pytest.mark.parametrize("late", [False, True])
def test_a_failure_leaves_no_cycle_behind(driver: Driver, late: bool):
    """Harm otherwise: what the app's frames hold is freed whenever the garbage collector comes."""

    class Held:
        pass

    held = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        local = Held()
        held.append(weakref.ref(local))
        if late:
            await send(START)
        raise ZeroDivisionError

    async def scenario(client: Any) -> list[Any]:
        try:
            await client.get(URL)
        except ZeroDivisionError:
            pass
        return [reference() for reference in held]

    gc.collect()
    gc.disable()
    try:
        assert run(driver, scenario, app) == [None]
    finally:
        gc.enable()


# Context variables.

variable: ContextVar[str] = ContextVar("variable")


def test_the_app_sees_the_callers_context_and_the_async_caller_the_apps(driver: Driver):
    """In 0.28.1 the app ran inline, so that they were the same."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        variable.set("app's")
        if scope["path"] == "/":
            await sending(START, body())(scope, receive, send)

    async def scenario(client: Any) -> list[str]:
        values = []
        for path in ("", "nothing"):
            variable.set("caller's")
            try:
                await client.get(URL + path)
            except httpx.RemoteProtocolError:
                pass
            values.append(variable.get())
        return values

    assert run(driver, scenario, app) == (["app's"] if driver.is_async else ["caller's"]) * 2
    assert seen == ["caller's"] * 2


# Lifespan.


class Lifespan:
    """An app with a startup and a shutdown, which notes what is said; `answers` are sent, or raised."""

    def __init__(self, *answers: Any) -> None:
        self.log: list[str] = []
        self.answers = answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.log.append(f"request with {scope['state']}")
            scope["state"]["own"] = True
            await sending(START, body())(scope, receive, send)
            return
        assert scope["asgi"] == {"version": "3.0"}
        scope["state"]["db"] = 1
        for answer in self.answers:
            self.log.append((await receive())["type"])
            await sending(answer)(scope, receive, send)
        self.log.append("returned")


UP = {"type": "lifespan.startup.complete"}
DOWN = {"type": "lifespan.shutdown.complete"}
NOT_UP = {"type": "lifespan.startup.failed", "message": "no database"}
NOT_DOWN = {"type": "lifespan.shutdown.failed"}


async def two_requests(client: Any) -> None:
    await client.get(URL)
    await client.get(URL)


def test_the_apps_lifespan_is_that_of_the_client(driver: Driver):
    app = Lifespan(UP, DOWN)
    run(driver, two_requests, app, lifespan=True)
    request = "request with {'db': 1}"
    assert app.log == ["lifespan.startup", request, request, "lifespan.shutdown", "returned"]


def test_there_is_none_unless_it_is_asked_for(driver: Driver):
    assert "state" not in scope_of(driver)


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ([NOT_UP], RuntimeError, "the startup of the ASGI app failed: no database"),
        ([NOT_UP, DOWN], RuntimeError, "no database"),
        ([ZeroDivisionError()], ZeroDivisionError, None),
        ([Fatal()], Fatal, None),
        ([{"type": "nonsense"}], ValueError, None),
    ],
)
def test_a_failed_startup_is_raised(driver: Driver, answers: list[Any], error: Any, words: str):
    with pytest.raises(error, match=words):
        run(driver, two_requests, Lifespan(*answers), lifespan=True)


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ([UP, NOT_DOWN], RuntimeError, "the shutdown of the ASGI app failed: "),
        ([UP, ZeroDivisionError()], ZeroDivisionError, None),
    ],
)
def test_a_failed_shutdown_is_raised(driver: Driver, answers: list[Any], error: Any, words: str):
    app = Lifespan(*answers)
    with pytest.raises(error, match=words):
        run(driver, two_requests, app, lifespan=True)
    assert app.log[:1] + app.log[3:4] == ["lifespan.startup", "lifespan.shutdown"]


def test_an_app_without_lifespan_that_says_nothing_is_fine(driver: Driver):
    app = Lifespan()
    run(driver, two_requests, app, lifespan=True)
    assert app.log == ["returned"] + ["request with {'db': 1}"] * 2


def test_an_app_that_stays_after_its_shutdown_is_cancelled(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asgi_run, "_GRACE", 0.001)
    app = Lifespan(UP, DOWN, DOWN)
    with pytest.raises(BaseException) as caught:
        run(driver, two_requests, app, lifespan=True)
    assert "returned" not in app.log
    assert caught.type.__name__ in ("CancelledError", "Cancelled")


def test_a_client_that_is_not_opened_has_no_lifespan(driver: Driver):
    """Harm otherwise: an app that runs without what it has not opened."""

    async def main() -> None:
        client = driver.client(transport=httpx.ASGITransport(Lifespan(UP, DOWN), lifespan=True))
        with pytest.raises(RuntimeError, match="lifespan was not started: open the client"):
            await client.get(URL)
        await client.aclose()

    driver.run_bare(main)


def test_two_clients_share_the_lifespan_of_their_transport(driver: Driver):
    app = Lifespan(UP, DOWN)

    async def main() -> None:
        transport = httpx.ASGITransport(app, lifespan=True)
        async with driver.client(transport=transport) as one, driver.client(transport=transport) as two:
            await one.get(URL)
            await two.get(URL)

    driver.run_bare(main)
    assert app.log.count("lifespan.startup") == app.log.count("lifespan.shutdown") == 1


def test_a_lifespan_may_begin_again(driver: Driver):
    app = Lifespan(UP, DOWN)

    async def main() -> None:
        transport = httpx.ASGITransport(app, lifespan=True)
        for _ in range(2):
            async with driver.client(transport=transport) as client:
                await client.get(URL)

    driver.run_bare(main)
    assert app.log.count("returned") == 2


@on_any_loop
def test_a_startup_may_be_cancelled(name: str):
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await until(lambda: False)
        finally:
            ended.append(True)

    async def main() -> Any:
        steps = Steps(3, late=False)
        transport = httpx.ASGITransport(app, lifespan=True)
        with steps.watching():
            outcome = await steps.run(transport.__aenter__)
        assert not transport._server._alive
        return outcome

    assert isinstance(Driver(name).run_bare(main), Cancelled)
    assert ended == [True]


def test_a_transport_is_a_context_manager_by_itself(driver: Driver):
    app = Lifespan(UP, DOWN)

    async def main() -> None:
        transport = httpx.ASGITransport(app, lifespan=True)
        if driver.is_async:
            async with transport as entered:
                assert entered is transport
        else:
            with transport as entered:
                assert entered is transport

    driver.run_bare(main)
    assert app.log == ["lifespan.startup", "lifespan.shutdown", "returned"]


# The thread behind a sync client.


def sync_client(app: App, **options: Any) -> httpx.Client:
    return httpx.Client(transport=httpx.ASGITransport(app, **options))


def test_a_sync_client_works_where_an_event_loop_runs():
    async def main() -> bytes:
        with sync_client(echo) as client:
            return client.post(URL, content=b"abc").content

    assert asyncio.run(main()) == b"abc"


def test_there_is_no_thread_before_the_first_request_and_one_for_all():
    threads = set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        threads.add(threading.current_thread())
        await sending(START, body())(scope, receive, send)

    with sync_client(app) as client:
        assert THREAD not in [thread.name for thread in threading.enumerate()]
        client.get(URL)
        client.get(URL)
    assert len(threads) == 1
    assert not threads.pop().is_alive()


def test_a_transport_that_was_closed_may_be_used_again():
    transport = httpx.ASGITransport(echo)
    for _ in range(2):
        assert transport.handle_request(httpx.Request("POST", URL, content=b"abc")).read() == b"abc"
        transport.close()
    transport.close()


def test_several_threads_may_share_a_sync_client():
    together = threading.Barrier(4)

    def one(number: int) -> bytes:
        together.wait()
        return b"".join(client.post(URL, content=b"%d" % number).content for _ in range(5))

    with sync_client(echo) as client, concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [b"%d" % number * 5 for number in range(4)]


def test_an_app_that_waits_for_itself_is_told_so():
    """Harm otherwise: a deadlock."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        client.get(URL)

    with sync_client(app) as client, pytest.raises(RuntimeError, match="waits for a request to itself"):
        client.get(URL)


def test_a_sync_client_refuses_an_async_body():
    async def content() -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(RuntimeError, match="async stream, which a sync client cannot send"):
        httpx.ASGITransport(echo).handle_request(httpx.Request("POST", URL, content=content()))


@pytest.mark.parametrize("whole", [True, False])
def test_a_stream_of_ones_own_is_closed_if_it_is_given_up(whole: bool):
    """One that was read may be sent again, after a redirect."""
    closed = []

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"b"])

        def close(self) -> None:
            closed.append(True)

    async def once(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await sending(START, body())(scope, receive, send)

    with sync_client(echo if whole else once) as client:
        assert client.post(URL, content=Body()).content == (b"ab" if whole else b"")
    assert closed == ([] if whole else [True])


def test_the_thread_ends_with_a_transport_that_nobody_closes():
    transport: Optional[httpx.ASGITransport] = httpx.ASGITransport(echo)
    response = transport.handle_request(httpx.Request("POST", URL, content=b"abc"))
    transport = None
    gc.collect()
    assert response.read() == b"abc"  # a response keeps what it needs
    del response
    gc.collect()
    assert THREAD not in [thread.name for thread in threading.enumerate()]


def test_the_thread_may_be_ended_from_within():
    """The garbage collector runs in any thread."""
    portal = Portal()
    portal.start()
    worker = portal._worker

    async def close() -> None:
        portal.close()

    portal.run(close)
    worker._thread.join(5)
    assert not worker._thread.is_alive()


def test_an_app_that_ends_its_event_loop_is_an_error_and_the_next_request_has_a_new_one():
    """A SystemExit in a task of the app's own ends asyncio's loop."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def leave() -> None:
            raise SystemExit

        if scope["path"] == "/leave":
            # Whoever looks at the exception of a task keeps asyncio from logging it.
            asyncio.ensure_future(leave()).add_done_callback(lambda task: task.exception())
            await until(lambda: False)
        await (Log().app if scope["path"] == "/open" else echo)(scope, receive, send)

    with sync_client(app) as client:
        first = client.send(client.build_request("GET", URL + "open"), stream=True)
        with pytest.raises(httpx.ReadError, match="ended before"):
            client.get(URL + "leave")
        with pytest.raises((httpx.ReadError, asyncio.CancelledError)):
            first.read()
        assert client.post(URL, content=b"abc").content == b"abc"


def test_a_worker_that_has_ended_is_an_error():
    portal = Portal()
    portal.start()
    worker = portal._worker
    worker.end()
    with pytest.raises(httpx.ReadError, match="event loop of the ASGI app has ended"):
        portal.run(portal.server.aclose)
    worker.end()
    portal.close()
    with pytest.raises(httpx.ReadError, match="the transport was closed"):
        portal.run(portal.server.aclose)


def test_a_portal_that_forgets_its_worker_gets_another_one():
    """What happens in a forked child, where no coverage is measured."""
    portal = Portal()
    portal.forget()
    portal.start()
    worker = portal._worker
    portal.forget()
    assert not portal.started
    assert asgi_portal._FORGOTTEN[-1] is worker
    portal.start()
    assert portal._worker not in (None, worker)
    portal.close()
    asgi_portal._FORGOTTEN.pop().end()


def test_what_is_begun_while_the_loop_ends_is_an_error():
    """Harm otherwise: whoever waits for it waits for ever."""
    worker = Worker()
    worker.start()
    late: concurrent.futures.Future[Any] = concurrent.futures.Future()
    done: concurrent.futures.Future[Any] = concurrent.futures.Future()
    done.set_result(None)
    worker._pending.update([late, done])
    worker.end()
    with pytest.raises(concurrent.futures.CancelledError):
        late.result(0)


def test_a_loop_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch):
    def fail(main: Any) -> None:
        main.close()
        raise OSError("too many open files")

    monkeypatch.setattr(asyncio, "run", fail)
    with sync_client(echo) as client, pytest.raises(OSError, match="too many open files"):
        client.get(URL)


def test_an_interrupted_wait_ends_the_app(monkeypatch: pytest.MonkeyPatch):
    """Control-C while the app works."""
    log = Log()

    class Interrupted(concurrent.futures.Future):  # type: ignore[type-arg]
        def result(self, timeout: Optional[float] = None) -> Any:
            while not self.done():
                yield_to_threads()
                if "waits" in log:
                    log.remove("waits")
                    raise KeyboardInterrupt
            return super().result(timeout)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            await send(START)
            await until(lambda: "go" in log)
            log.clear()
        log.append("waits")
        try:
            await until(lambda: False)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    monkeypatch.setattr(concurrent.futures, "Future", Interrupted)
    with sync_client(app) as client:
        with pytest.raises(KeyboardInterrupt):
            client.get(URL)
        run_without_loop(wait_for(Driver("sync"), lambda: log == ["cancelled"]))
        response = client.send(client.build_request("GET", URL + "late"), stream=True)
        log.append("go")
        with pytest.raises(KeyboardInterrupt):
            response.read()
        response.close()
    assert log == ["cancelled"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_a_thread_of_its_own():
    """Harm otherwise: the child waits for ever for a thread that only its parent has. In a process of its own."""
    program = """
        import os, httpx

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"abc", "more_body": scope["path"] == "/open"})
            await receive(); await receive(); await receive()

        client = httpx.Client(transport=httpx.ASGITransport(app), base_url="http://example.org")
        unused = httpx.ASGITransport(app)
        with client.stream("GET", "/open") as response:
            pieces = response.iter_raw()
            next(pieces)
            if os.fork() == 0:
                assert client.get("/").content == b"abc"
                try:
                    next(pieces)
                except httpx.ReadError:
                    response.close()
                    client.close()
                    os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
            assert client.get("/").content == b"abc"
        client.close()
    """
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(httpx.__file__))}
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# The transport itself.


def test_the_arguments_are_attributes_which_subclasses_use():
    """httpx-ws reads `app`, `root_path` and `client`, and overrides `handle_async_request`."""
    transport = httpx.ASGITransport(echo, False, "/app", ("10.0.0.1", 1), lifespan=True)
    assert (transport.app, transport.raise_app_exceptions, transport.root_path) == (echo, False, "/app")
    assert (transport.client, transport.lifespan) == (("10.0.0.1", 1), True)
    assert isinstance(transport, httpx.AsyncBaseTransport)
    assert isinstance(transport, httpx.BaseTransport)


def test_a_transport_comes_back_from_a_pickle(driver: Driver):
    copy = pickle.loads(pickle.dumps(httpx.ASGITransport(echo, root_path="/app")))
    assert copy.root_path == "/app"

    async def scenario(client: Any) -> bytes:
        return (await client.post(URL, content=b"abc")).content

    assert driver.run(scenario, transport=copy) == b"abc"


def test_eager_tasks_are_fine():
    """Python 3.12 can run a task's first step before anybody has seen the task."""
    if sys.version_info < (3, 12):
        pytest.skip("no eager tasks before Python 3.12")

    async def main() -> tuple[bytes, bytes]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(echo)) as client:
            content = (await client.post(URL, content=b"abc")).content
        async with httpx.AsyncClient(transport=httpx.ASGITransport(Log().app)) as client:
            return content, await leave_early(client)

    assert asyncio.run(main()) == (b"abc", b"a")


def test_it_needs_an_event_loop():
    with pytest.raises(RuntimeError):
        httpx.ASGITransport(echo).handle_async_request(httpx.Request("GET", URL)).send(None)


@pytest.mark.parametrize("streams", [False, True])
def test_a_cancelled_anyio_scope_does_not_spin_while_the_app_cleans_up(streams: bool):
    """
    Harm: anyio cancels the waiting task at every turn of the loop, so a processor is busy until the app is done.

    Where the app runs in the task of the request, anyio's next cancellation ends the cleaning, too, as in 0.28.1.
    """
    anyio = pytest.importorskip("anyio")

    async def main() -> tuple[bool, bool]:
        begun, cleaning, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cleaning.set()
                await release.wait()

        async def ask(scope: Any) -> None:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
                with scope:
                    await client.send(client.build_request("GET", "http://app/"), stream=streams)

        scope = anyio.CancelScope()
        asking = asyncio.create_task(ask(scope))
        await begun.wait()
        scope.cancel()
        await cleaning.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        is_idle = not asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # how else to see that it is
        waits = not asking.done()
        release.set()
        await asking
        return is_idle, waits

    assert asyncio.run(main()) == (True, streams)
