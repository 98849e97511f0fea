"""
The "1xx" hooks and the extension "informational": one scenario, run by every engine, over HTTP/1.1 and HTTP/2.

What an interim response is, and how many a peer may send, is in `test_http1`, `test_stream2` and `adversarial/`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

import httpx
from support.answering import PROTOCOLS, Answerer, head_of, serving
from support.drivers import Driver
from support.leaks import settled
from support.servers import TIMEOUT, Conn, ScriptedServer
from support.steps import until

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=PROTOCOLS)
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], dict[str, Any]]]:
    """Make a server that does this on each connection; the options of a client for it."""
    with contextlib.ExitStack() as servers:
        yield lambda act: servers.enter_context(serving(request.param, act))


class Seen:
    """A hook that notes what it sees, and lets the server go on."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.responses: list[tuple[int, str, str]] = []
        self.happened = threading.Event()
        self.goes_on: Callable[[], bool] = lambda: True
        self.error: Optional[BaseException] = None
        self.function = self.later if driver.is_async else self.note

    def note(self, response: httpx.Response) -> None:
        link = response.headers.get("link", "")
        self.responses.append((response.status_code, link, response.request.url.path))
        assert (response.content, response.is_closed) == (b"", True)
        self.happened.set()
        if self.error is not None:
            raise self.error
        deadline = time.monotonic() + TIMEOUT
        while not self.driver.is_async and not self.goes_on():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    async def later(self, response: httpx.Response) -> None:
        await self.driver.pause()
        self.note(response)
        deadline = time.monotonic() + TIMEOUT
        while not self.goes_on():
            assert time.monotonic() < deadline
            await self.driver.pause(0.001)

    def wait(self) -> None:
        assert self.happened.wait(TIMEOUT), "the hook was not called before the final response"
        self.happened.clear()


def test_a_hook_is_called_when_an_interim_response_arrives(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        server.take()
        server.interim(103, link="</a.css>")
        seen.wait()
        server.interim(102)
        seen.wait()
        server.final()

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        response = await client.get("/path")
        assert response.status_code == 200
        assert [status for status, _ in response.extensions["informational"]] == [103, 102]
        assert "informational" not in response.request.extensions

    driver.run(scenario, **serve(act))
    assert seen.responses == [(103, "</a.css>", "/path"), (102, "", "/path")]


def test_an_interim_response_in_one_piece_with_the_final_one_is_told_first(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        for _ in range(2):  # a connection that is new, and one that is not
            server.take()
            server.interim(103, 199, then=204)

    def look(response: httpx.Response) -> None:
        assert len(seen.responses) == 2 * number

    number = 1

    async def scenario(client: Any) -> None:
        nonlocal number
        client.event_hooks = {"1xx": [seen.function], "response": [driver.hook(look)]}
        await client.get("/a")
        number = 2
        await client.get("/b")

    driver.run(scenario, **serve(act))
    assert seen.responses == [(103, "", "/a"), (199, "", "/a"), (103, "", "/b"), (199, "", "/b")]


def test_the_extension_is_called_and_without_it_nothing_is(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        for _ in range(2):
            server.take()
            server.interim(103, link="</a>")
            if seen.responses == []:
                seen.wait()
            server.final()

    async def scenario(client: Any) -> None:
        extensions = {"informational": seen.function}
        async with client.stream("GET", "/a", extensions=extensions) as response:
            assert response.request.extensions["informational"] == seen.function
        await client.get("/b", extensions={"informational": None})

    driver.run(scenario, **serve(act))
    assert seen.responses == [(103, "</a>", "/a")]


def test_hooks_and_the_extension_are_both_called_and_the_extension_stays(driver: Driver, serve: Any):
    first, second = Seen(driver), Seen(driver)

    def act(server: Answerer) -> None:
        for _ in range(2):
            server.take()
            server.interim(103)
            second.wait()
            server.final()

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(first.function)
        request = client.build_request("GET", "/a", extensions={"informational": second.function})
        await client.send(request)
        await client.send(request)
        assert request.extensions["informational"] == second.function

    driver.run(scenario, **serve(act))
    assert first.responses == second.responses == [(103, "", "/a")] * 2


def test_a_plain_function_as_the_extension_does_in_an_async_client(driver: Driver, serve: Any):
    seen: list[int] = []

    def act(server: Answerer) -> None:
        server.take()
        server.interim(103, then=200)

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(driver.hook(lambda response: seen.append(1)))
        await client.get("/", extensions={"informational": lambda response: seen.append(2)})

    driver.run(scenario, **serve(act))
    assert seen == [1, 2]


def test_what_arrives_during_a_hook_is_not_lost(driver: Driver, serve: Any):
    """The task that waits is in the hook then, so nothing wakes it."""
    seen = Seen(driver)
    sent = threading.Event()
    seen.goes_on = sent.is_set

    def act(server: Answerer) -> None:
        server.take()
        server.interim(103)
        seen.wait()
        server.interim(102)
        server.final()
        sent.set()

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        assert (await client.get("/")).status_code == 200

    driver.run(scenario, **serve(act))
    assert [status for status, _, _ in seen.responses] == [103, 102]


def test_neither_100_nor_101_is_told(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        server.take(whole=False)
        server.interim(100)
        server.body_follows()
        server.interim(103, then=200)

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        response = await client.post("/", content=driver.body([b"a"]), headers={"Expect": "100-continue"})
        assert [status for status, _ in response.extensions["informational"]] == [100, 103]

    driver.run(scenario, **serve(act))
    assert [status for status, _, _ in seen.responses] == [103]


def test_an_upgrade_is_not_told(driver: Driver):
    seen = Seen(driver)

    def act(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(head_of(101, [(b"upgrade", b"x"), (b"connection", b"upgrade")]))
        conn.read_to_end()

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        async with client.stream("GET", "/", headers={"Upgrade": "x", "Connection": "upgrade"}) as response:
            assert response.status_code == 101

    with ScriptedServer(act) as server:
        driver.run(scenario, base_url=server.url)
    assert seen.responses == []


def test_a_hook_is_called_while_consent_is_awaited(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        server.take(whole=False)
        server.interim(103)
        seen.wait()
        server.interim(100)
        server.body_follows()
        server.final()

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        await client.post("/", content=driver.body([b"a"]), headers={"Expect": "100-continue"})

    driver.run(scenario, **serve(act))
    assert [status for status, _, _ in seen.responses] == [103]


def test_a_hook_is_called_during_an_upload(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        server.take(whole=False)
        server.interim(103)
        server.body_follows()
        server.final()

    def pieces() -> Iterator[bytes]:
        deadline = time.monotonic() + TIMEOUT
        while not seen.responses:
            assert time.monotonic() < deadline, "the hook was not called before the end of the upload"
            yield b"x"

    async def later() -> Any:
        for piece in pieces():
            await driver.pause(0.0005)
            yield piece

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        assert (await client.post("/", content=later() if driver.is_async else pieces())).status_code == 200

    driver.run(scenario, **serve(act))
    assert [status for status, _, _ in seen.responses] == [103]


def test_a_hook_is_called_while_the_peer_takes_nothing(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        server.take(whole=False)
        server.interim(103)
        seen.wait()
        server.final(413)
        if server.peer is None:
            server.conn.read_to_end()

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        assert (await client.post("/", content=bytes(20_000_000))).status_code == 413

    driver.run(scenario, **serve(act))
    assert [status for status, _, _ in seen.responses] == [103]


@pytest.mark.parametrize("error", [ValueError("a bug"), httpx.ReadError("of another request"), KeyboardInterrupt()])
@pytest.mark.parametrize("with_final", [False, True])
def test_an_exception_of_a_hook_ends_the_request_and_nothing_else(
    driver: Driver, serve: Any, error: BaseException, with_final: bool
):
    """The connection is not left in the middle of a response, and the request is not sent again."""
    if isinstance(error, KeyboardInterrupt) and driver.is_async:
        error = ValueError("what ends a loop is another test's")
    seen = Seen(driver)
    seen.error = error

    def act(server: Answerer) -> None:
        server.take()
        server.interim(103, then=200 if with_final else None)
        if server.peer is None:
            server.conn.read_to_end()

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        request = client.build_request("GET", "/")
        with pytest.raises(type(error)) as caught:
            await client.send(request)
        assert caught.value is error
        assert "informational" not in request.extensions
        await settled(client)
        await client.aclose()

    driver.run(scenario, **serve(act))
    assert len(seen.responses) == 1


def test_a_cancelled_hook_ends_the_request_and_nothing_else(driver: Driver, serve: Any):
    if not driver.is_async:
        pytest.skip("threads are not cancelled")
    began = []

    def act(server: Answerer) -> None:
        server.take()
        server.interim(103)
        if server.peer is None:
            server.conn.read_to_end()

    async def never(response: httpx.Response) -> None:
        began.append(response.status_code)
        await driver.pause(60)

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(never)
        assert await _is_cancelled_when(driver, lambda: bool(began), lambda: client.get("/"))
        await settled(client)

    driver.run(scenario, **serve(act))
    assert began == [103]


async def _is_cancelled_when(driver: Driver, condition: Callable[[], bool], call: Callable[[], Any]) -> bool:
    """Cancel a call once the condition holds; return whether it ended in that."""
    if driver.name == "trio":
        import trio

        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await call()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await until(condition)
            scope.cancel()
        return scope.cancelled_caught
    import asyncio

    task = asyncio.ensure_future(call())
    await until(condition)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return True


def test_interim_responses_of_the_hops_of_a_redirect_come_with_their_hop(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        for number, (status, *fields) in enumerate(((302, (b"location", b"/b")), (302, (b"location", b"/c")), (200,))):
            server.take()
            server.interim(103, link=f"<{number}>")
            seen.wait()
            server.final(status, *fields)

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        response = await client.get("/a", follow_redirects=True)
        assert [one.status_code for one in response.history] == [302, 302]
        for one in (*response.history, response):
            assert "informational" not in one.request.extensions

    driver.run(scenario, **serve(act))
    assert seen.responses == [(103, "<0>", "/a"), (103, "<1>", "/b"), (103, "<2>", "/c")]


def test_a_request_that_a_middleware_repeats_is_told_each_time(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        for status in (503, 200):
            server.take()
            server.interim(103, then=status)

    def again(request: httpx.Request) -> Any:
        yield request
        return (yield request)

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        assert (await client.get("/a")).status_code == 200

    driver.run(scenario, **serve(act), middleware=[again])
    assert seen.responses == [(103, "", "/a")] * 2


def test_a_hook_may_send_a_request_of_the_same_client(driver: Driver, serve: Any):
    """The use of 103: to fetch what the page will need."""
    fetched = []

    def act(server: Answerer) -> None:
        server.take()
        if server.peer is None:
            if recorded_path(server.conn) == b"/style":
                server.final()
                return
            server.interim(103)
            assert done.wait(TIMEOUT)
            server.final()
            return
        first = server.stream
        server.interim(103)
        server.take()
        server.final()
        server.stream = first
        server.final()

    def recorded_path(conn: Conn) -> bytes:
        return b"".join(conn.recorded).split()[1]

    done = threading.Event()

    def fetch(response: httpx.Response) -> Any:
        if response.request.url.path == "/style":
            return None
        return later() if driver.is_async else fetched.append(client.get("/style").status_code) or done.set()

    async def later() -> None:
        fetched.append((await client.get("/style")).status_code)
        done.set()

    client: Any = None

    async def scenario(front: Any) -> None:
        nonlocal client
        client = front if driver.is_async else front.inner
        front.event_hooks["1xx"].append(fetch)
        await front.get("/page")

    driver.run(scenario, **serve(act))
    assert fetched == [200]


@pytest.mark.parametrize("where", ["hook", "extension"])
def test_an_async_function_in_a_sync_client_is_an_error(serve: Any, where: str):
    async def later(response: httpx.Response) -> None:
        raise AssertionError("never awaited")

    def act(server: Answerer) -> None:
        server.take()
        server.interim(103)
        if server.peer is None:
            server.conn.read_to_end()

    hooks = {"1xx": [later]} if where == "hook" else {}
    extensions = {"informational": later} if where == "extension" else {}
    with (
        httpx.Client(**serve(act), event_hooks=hooks) as client,
        pytest.raises(TypeError, match="sync client cannot await" if where == "extension" else "Client hooks must"),
    ):
        client.get("/", extensions=extensions)


def test_transports_that_tell_only_at_the_end_have_their_hooks_called_then(driver: Driver):
    seen = Seen(driver)
    informational = [(100, []), (103, [(b"Link", b"</a>")])]

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, extensions={"informational": informational})

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        await client.get("/a")

    driver.run(scenario, transport=httpx.MockTransport(respond), base_url="http://example.org")
    assert seen.responses == [(103, "</a>", "/a")]


def test_a_hook_does_not_move_the_read_timeout(driver: Driver, serve: Any):
    seen = Seen(driver)

    def act(server: Answerer) -> None:
        server.take()
        try:
            for _ in range(1000):
                server.interim(103)
                seen.wait()
                time.sleep(0.02)
        except (OSError, AssertionError):
            return  # the client has gone
        raise AssertionError("the read timeout did not end the request")

    async def scenario(client: Any) -> None:
        client.event_hooks["1xx"].append(seen.function)
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=httpx.Timeout(5, read=0.2))

    options = serve(act)
    driver.run(scenario, **options)
    seen.happened.set()
    assert 1 <= len(seen.responses) < 60
