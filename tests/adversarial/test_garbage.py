"""
No outcome of a request leaves anything to the garbage collector.

What is in a reference cycle is freed when the collector runs, which may be long after: the body of a response that
nobody has any more stays in memory, a connection stays open, a `ResourceWarning` comes from nowhere. So with the
collector off each outcome happens a few times, and then the collector must find no object of ours.

asyncio and trio may leave cycles of their own, and so may the servers of these tests; those do not count
(`support.garbage`). That the runtimes keep nothing of *ours* in such cycles is shown by the controls: the same
skeletons around a coroutine that has nothing to do with httpx.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any, Callable, NamedTuple

import pytest

import httpx
from httpx._protocol import frames
from support import certs
from support.engines import EngineDriver, driver_named
from support.garbage import Garbage
from support.http2 import Asked, FramePeer, StreamServer, data, h2_context
from support.leaks import trusting_context
from support.peer import blackhole, stalling_tls
from support.proxies import ScriptedProxy
from support.servers import TIMEOUT, Conn, ScriptedServer, expect_head, repeat, send
from support.steps import in_trio, turns, until

pytestmark = pytest.mark.skipif(not hasattr(gc, "DEBUG_SAVEALL"), reason="another kind of garbage collector")

TIMES = 3
ENGINES = ("sync", "asyncio", "trio")
LOOPS = ("asyncio", "trio")
ALL = ("http1", "tls", "http2")
ONE = ("http1", "tls")

LARGE = b"0123456789abcdef" * 20_000  # does not arrive in one piece with its head
TOO_LONG = bytes(16_000_000)  # more than all buffers between client and server
SHORT = 0.02  # seconds


class Origin(ScriptedServer):
    """
    A server whose paths are the outcomes: `whole`, `large`, `stall`, `reset`, and so on.

    Attributes:
        asked: how many requests have arrived.
    """

    def __init__(self, protocol: str, max_streams: int = 100) -> None:
        self.asked = 0
        self._max_streams = max_streams
        self._go = threading.Semaphore(0)
        self._over = threading.Event()
        tls = {"http1": None, "tls": certs.server_context(), "http2": h2_context()}[protocol]
        super().__init__(self._serve_streams if protocol == "http2" else self._serve_requests, tls=tls)

    def go(self) -> None:
        """Let the script go on that waits for the client."""
        self._go.release()

    def close(self) -> None:
        """Stop; see `ScriptedServer.close`."""
        self._go.release(100)
        self._over.set()
        super().close()

    # HTTP/1.1.

    def _serve_requests(self, conn: Conn, recorded: list[bytes]) -> None:
        while True:
            first = conn.recv(1)
            if not first:
                return
            conn._unread = first + conn._unread
            head = conn.read_head()
            name = head.split(b" ", 2)[1].lstrip(b"/").decode("ascii")
            if name == "whole":
                conn._unread = head + conn._unread
                conn.read_request()
            self.asked += 1
            if not self._respond(conn, name, b"\r\nauthorization: digest" in head.lower()):
                return

    def _respond(self, conn: Conn, name: str, knows: bool) -> bool:
        """Whether the connection goes on after it."""
        if name == "upgrade":
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello")
            conn.sendall(conn.recv())
        if name in ("silent", "upgrade", "unread"):
            self._over.wait(TIMEOUT) if name == "unread" else conn.read_to_end()
            return False
        if name == "reset":
            conn.reset()
            return False
        if name == "hinted":
            conn.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        status, fields, body = RESPONSES.get(name, (200, [], LARGE))
        if name == "login" and knows:
            status, fields, body = RESPONSES["whole"]
        lines = [b"%b: %b" % field for field in [*fields, (b"content-length", b"%d" % len(body))]]
        conn.sendall(b"\r\n".join([b"HTTP/1.1 %d X" % status, *lines, b"", b""]) + (b"" if name in ENDLESS else body))
        if name in ENDLESS:
            conn.sendall(body[:1000])
            self._break_off(conn, name)
            return False
        return True

    def _break_off(self, conn: Conn, name: str) -> None:
        if name in ("stall", "events-stall"):
            conn.read_to_end()
        else:
            self._go.acquire(timeout=TIMEOUT)
            if name in ("broken", "events-broken"):
                conn.reset()

    # HTTP/2.

    def _serve_streams(self, conn: Conn, recorded: list[bytes]) -> None:
        peer = FramePeer(conn, {frames.MAX_CONCURRENT_STREAMS: self._max_streams})
        with contextlib.suppress(AssertionError):  # the client's end
            while True:
                kind, flags, stream, payload = peer.frame()
                if kind == frames.PING and not flags & frames.ACK:
                    peer.send(frames.frame(frames.PING, frames.ACK, 0, payload))
                if kind == frames.HEADERS:
                    fields = [(bytes(name), bytes(value)) for name, value in peer._decoder.decode(payload, raw=True)]
                    self.asked += 1
                    if not self._respond_on(peer, Asked(stream, fields, bool(flags & frames.END_STREAM))):
                        return

    def _respond_on(self, peer: FramePeer, asked: Asked) -> bool:
        name, stream = asked[b":path"].lstrip(b"/").decode("ascii"), asked.stream
        if name in ("silent", "unread"):
            return True
        if name == "reset":
            peer.conn.reset()
            return False
        if name == "reset-stream":
            peer.send(frames.reset(stream, 2))
            return True
        if name == "hinted":
            peer.send(peer.head(stream, 103, (b"link", b"</a.css>")))
        status, fields, body = RESPONSES.get(name, (200, [], LARGE))
        if name == "login" and b"authorization" in dict(asked.fields):
            status, fields, body = RESPONSES["whole"]
        if name not in ENDLESS:
            head, rest = peer.head(stream, status, *fields), data(stream, body, True)
            # A large body does not come with its head.
            for piece in [head, rest] if len(body) == len(LARGE) else [head + rest]:
                peer.send(piece)
            return True
        peer.send(peer.head(stream, status, *fields), data(stream, body[:1000]))
        if name in ("stall", "events-stall"):
            return True
        self._go.acquire(timeout=TIMEOUT)
        if name == "broken-stream":
            peer.send(frames.reset(stream, 2))
            return True
        if name in ("broken", "events-broken"):
            peer.conn.reset()
        return False


# What is neither here nor said by the code above is 200 with `LARGE`.
RESPONSES: dict[str, tuple[int, list[tuple[bytes, bytes]], bytes]] = {
    "whole": (200, [], b"ok"),
    "moved": (302, [(b"location", b"/whole")], b"over"),
    "moved-large": (302, [(b"location", b"/large")], LARGE),
    "moved-for-ever": (302, [(b"location", b"/moved-for-ever")], LARGE),
    "moved-nowhere": (302, [(b"location", b"http://[")], LARGE),
    "login": (401, [(b"www-authenticate", b'Digest realm="r", nonce="n", qop="auth", algorithm=MD5')], LARGE),
    "missing": (404, [], b"missing"),
    "missing-large": (404, [], LARGE),
    "not-gzip": (200, [(b"content-encoding", b"gzip")], b"not gzip"),
    "not-gzip-large": (200, [(b"content-encoding", b"gzip")], LARGE),
    "events": (200, [(b"content-type", b"text/event-stream")], b"id: 1\ndata: one\n\n"),
    "events-stall": (200, [(b"content-type", b"text/event-stream")], b"id: 1\ndata: one\n\n" * 1000),
    "events-broken": (200, [(b"content-type", b"text/event-stream")], b"id: 1\ndata: one\n\n" * 1000),
    "bad-head": (200, [(b"x", b"a\x00b")], b"ok"),
}
ENDLESS = ("stall", "broken", "broken-stream", "cut", "events-stall", "events-broken")


class World:
    """What an outcome needs: the driver, its client, and the server."""

    def __init__(self, driver: EngineDriver, protocol: str, origin: Origin) -> None:
        self.driver = driver
        self.protocol = protocol
        self.origin = origin
        self.client: Any = None

    @property
    def options(self) -> dict[str, Any]:
        """For a client."""
        return {
            "verify": trusting_context(),
            "trust_env": False,
            "timeout": TIMEOUT,
            "http2": self.protocol == "http2",
            "base_url": self.origin.url,
        }

    async def fails(self, kind: Any, *args: Any, **options: Any) -> None:
        """The request raises this. Not by `pytest.raises`, which keeps the exception."""
        try:
            await self.client.request(*args, **options)
        except kind:
            return
        raise AssertionError(f"{args}: no {kind}")

    async def cancelled(self, function: Callable[[], Any], condition: Callable[[], bool]) -> None:
        """Run the function in a task of its own, and cancel it when the condition holds."""
        if not in_trio():
            task = asyncio.ensure_future(function())
            await until(condition)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            return
        import trio

        scope = trio.CancelScope()

        async def child() -> None:
            with scope:
                await function()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            await until(condition)
            scope.cancel()
        assert scope.cancelled_caught


class Outcome(NamedTuple):
    """What happens to a request, and for whom."""

    name: str
    run: Callable[[World], Any]
    engines: tuple[str, ...]
    protocols: tuple[str, ...]
    options: dict[str, Any]
    max_streams: int


OUTCOMES: list[Outcome] = []


def outcome(
    engines: tuple[str, ...] = ENGINES, protocols: tuple[str, ...] = ALL, max_streams: int = 100, **options: Any
) -> Callable[[Any], Any]:
    """The function is an outcome, of a client with these options."""

    def register(function: Any) -> Any:
        name = function.__name__.replace("_", " ")
        OUTCOMES.append(Outcome(name, function, engines, protocols, options, max_streams))
        return function

    return register


# Well.


@outcome()
async def whole(world: World) -> None:
    assert (await world.client.get("/whole")).text == "ok"


@outcome()
async def read_in_parts(world: World) -> None:
    assert len((await world.client.get("/large")).content) == len(LARGE)


@outcome()
async def streamed_to_the_end(world: World) -> None:
    async with world.client.stream("GET", "/large") as response:
        assert sum([len(piece) async for piece in response.aiter_bytes()]) == len(LARGE)


@outcome()
async def streamed_raw_and_as_lines(world: World) -> None:
    async with world.client.stream("GET", "/large") as response:
        assert sum([len(piece) async for piece in response.aiter_raw()]) == len(LARGE)
    async with world.client.stream("GET", "/large") as response:
        assert sum([len(piece) async for piece in response.aiter_lines()]) == len(LARGE)


@outcome()
async def read_within_stream(world: World) -> None:
    async with world.client.stream("GET", "/large") as response:
        assert len(await response.aread()) == len(LARGE)


@outcome()
async def streamed_and_left_early(world: World) -> None:
    async with world.client.stream("GET", "/stall") as response:
        async for _ in response.aiter_bytes():
            break


@outcome()
async def streamed_and_left_at_once(world: World) -> None:
    async with world.client.stream("GET", "/stall"):
        pass


@outcome()
async def closed_with_its_iterator_alive(world: World) -> None:
    async with world.client.stream("GET", "/stall") as response:
        pieces = response.aiter_raw()
        assert len(await pieces.__anext__()) > 0
        await response.aclose()
        with contextlib.suppress(httpx.StreamError, httpx.TransportError, StopAsyncIteration):
            await pieces.__anext__()


@outcome()
async def dropped_unread(world: World) -> None:
    client = world.client
    response = await client.send(client.build_request("GET", "/large"), stream=True)
    assert response.status_code == 200


@outcome()
async def dropped_half_read(world: World) -> None:
    client = world.client
    response = await client.send(client.build_request("GET", "/large"), stream=True)
    await response.aiter_raw().__anext__()


@outcome()
async def uploaded(world: World) -> None:
    body = world.driver.body([b"one", b"two"])
    assert (await world.client.post("/whole", content=body)).status_code == 200


@outcome()
async def redirected(world: World) -> None:
    assert len((await world.client.get("/moved", follow_redirects=True)).history) == 1
    assert len((await world.client.get("/moved-large", follow_redirects=True)).history) == 1


@outcome()
async def redirected_and_not_followed(world: World) -> None:
    assert (await world.client.get("/moved-large")).next_request is not None


@outcome(auth=httpx.DigestAuth("user", "password"))
async def logged_in_by_digest(world: World) -> None:
    assert (await world.client.get("/login")).status_code == 200


@outcome(protocols=ONE)
async def upgraded_used_and_closed(world: World) -> None:
    headers = {"Upgrade": "echo", "Connection": "Upgrade"}
    async with world.client.stream("GET", "/upgrade", headers=headers) as response:
        stream = response.extensions["network_stream"]
        if world.driver.is_async:
            assert await stream.read(100) == b"hello"
            await stream.write(b"x")
            assert await stream.read(1) == b"x"
        else:
            assert stream.read(100) == b"hello"
            stream.write(b"x")
            assert stream.read(1) == b"x"


@outcome(protocols=ONE)
async def upgraded_and_left(world: World) -> None:
    headers = {"Upgrade": "echo", "Connection": "Upgrade"}
    async with world.client.stream("GET", "/upgrade", headers=headers) as response:
        assert response.status_code == 101


@outcome()
async def from_a_client_of_its_own(world: World) -> None:
    async with world.driver.client(**world.options) as client:
        await client.get("/large")


@outcome()
async def closed_with_the_client(world: World) -> None:
    async with world.driver.client(**world.options) as client:
        response = await client.send(client.build_request("GET", "/stall"), stream=True)
        await response.aiter_raw().__anext__()


@outcome()
async def hinted(world: World) -> None:
    seen: list[int] = []
    options = {**world.options, "event_hooks": {"1xx": [world.driver.hook(lambda hint: seen.append(hint.status_code))]}}
    async with world.driver.client(**options) as client:
        await client.get("/hinted")
        await client.get("/hinted", extensions={"informational": lambda hint: seen.append(hint.status_code)})
    assert seen == [103] * 3


# Broken by the peer.


@outcome()
async def ended_by_a_hook_for_interim_responses(world: World) -> None:
    def refuse(hint: httpx.Response) -> None:
        raise ValueError(hint.status_code)

    await world.fails(ValueError, "GET", "/hinted", extensions={"informational": world.driver.hook(refuse)})


@outcome(engines=LOOPS)
async def cancelled_in_a_hook_for_interim_responses(world: World) -> None:
    began: list[int] = []

    async def wait(hint: httpx.Response) -> None:
        began.append(hint.status_code)
        await world.driver.pause(TIMEOUT)

    extensions = {"informational": wait}
    await world.cancelled(lambda: world.client.get("/hinted", extensions=extensions), lambda: bool(began))


@outcome()
async def reset_in_the_head(world: World) -> None:
    await world.fails(httpx.TransportError, "POST", "/reset")


@outcome(protocols=("http2",))
async def stream_reset_in_the_head(world: World) -> None:
    await world.fails(httpx.RemoteProtocolError, "POST", "/reset-stream")


async def _broken(world: World, path: str) -> None:
    async with world.client.stream("GET", path) as response:
        try:
            async for _ in response.aiter_raw():
                world.origin.go()
        except httpx.TransportError:
            return
        raise AssertionError("the body was whole")


@outcome()
async def reset_in_the_body(world: World) -> None:
    await _broken(world, "/broken")


@outcome(protocols=("http2",))
async def stream_reset_in_the_body(world: World) -> None:
    await _broken(world, "/broken-stream")


@outcome()
async def ended_in_the_body(world: World) -> None:
    await _broken(world, "/cut")


@outcome()
async def ended_in_the_body_while_it_was_read(world: World) -> None:
    world.origin.go()
    await world.fails(httpx.TransportError, "GET", "/cut")


@outcome()
async def malformed_head(world: World) -> None:
    await world.fails(httpx.RemoteProtocolError, "GET", "/bad-head")


@outcome()
async def invalid_gzip(world: World) -> None:
    await world.fails(httpx.DecodingError, "GET", "/not-gzip")
    await world.fails(httpx.DecodingError, "GET", "/not-gzip-large")


@outcome()
async def invalid_gzip_in_a_stream(world: World) -> None:
    async with world.client.stream("GET", "/not-gzip-large") as response:
        try:
            await response.aread()
        except httpx.DecodingError:
            return
        raise AssertionError("it was gzip")


# No connection.


@outcome()
async def connection_refused(world: World) -> None:
    await world.fails(httpx.ConnectError, "GET", _refusing(world))


def _refusing(world: World) -> str:
    """A URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"{world.origin.url.partition(':')[0]}://127.0.0.1:{sock.getsockname()[1]}/"


@outcome()
async def name_not_resolved(world: World) -> None:
    await world.fails(httpx.ConnectError, "GET", f"{world.origin.url.partition(':')[0]}://no-such-name.test/")


@outcome()
async def connect_timeout(world: World) -> None:
    if world.protocol == "http1":
        with blackhole() as (host, port):
            await world.fails(httpx.ConnectTimeout, "GET", f"http://{host}:{port}/", timeout=SHORT)
    else:
        with stalling_tls(0) as peer:
            await world.fails(httpx.ConnectTimeout, "GET", f"https://127.0.0.1:{peer.port}/", timeout=SHORT)


@functools.cache
def _distrusting() -> ssl.SSLContext:
    return ssl.create_default_context()


@outcome(protocols=("tls", "http2"))
async def certificate_refused(world: World) -> None:
    async with world.driver.client(**{**world.options, "verify": _distrusting()}) as client:
        try:
            await client.get("/whole")
        except httpx.ConnectError:
            return
        raise AssertionError("the certificate was trusted")


@outcome(guard=httpx.public_only)
async def refused_by_the_guard(world: World) -> None:
    await world.fails(httpx.DestinationRefused, "GET", "/whole")


def _fails(host: str, address: str, port: int) -> bool:
    raise ValueError(address)


@outcome(guard=_fails)
async def guard_that_failed(world: World) -> None:
    await world.fails(httpx.DestinationRefused, "GET", "/whole")


@outcome()
async def proxy_refused(world: World) -> None:
    async with world.driver.client(**{**world.options, "proxy": _refusing(world)}) as client:
        try:
            await client.get("/whole")
        except (httpx.ConnectError, httpx.ProxyError):
            return
        raise AssertionError("there was a proxy")


@outcome(protocols=("tls", "http2"))
async def tunnel_refused(world: World) -> None:
    with ScriptedProxy(login="x") as proxy:
        async with world.driver.client(**{**world.options, "proxy": proxy.url}) as client:
            try:
                await client.get("/whole")
            except httpx.ProxyError:
                return
            raise AssertionError("the tunnel was made")


# Time.


@outcome()
async def read_timeout_in_the_head(world: World) -> None:
    await world.fails(httpx.ReadTimeout, "GET", "/silent", timeout=httpx.Timeout(TIMEOUT, read=SHORT))


@outcome()
async def read_timeout_in_the_body(world: World) -> None:
    await world.fails(httpx.ReadTimeout, "GET", "/stall", timeout=httpx.Timeout(TIMEOUT, read=SHORT))


@outcome()
async def write_timeout(world: World) -> None:
    timeout = httpx.Timeout(TIMEOUT, write=SHORT)
    await world.fails(httpx.WriteTimeout, "POST", "/unread", content=TOO_LONG, timeout=timeout)


@outcome(limits=httpx.Limits(max_connections=1), max_streams=1)
async def pool_timeout(world: World) -> None:
    async with world.client.stream("GET", "/stall"):
        await world.fails(httpx.PoolTimeout, "GET", "/whole", timeout=httpx.Timeout(TIMEOUT, pool=SHORT))


# Cancelled.


@outcome(engines=LOOPS)
async def cancelled_in_the_head(world: World) -> None:
    asked = world.origin.asked
    await world.cancelled(lambda: world.client.get("/silent"), lambda: world.origin.asked > asked)


@outcome(engines=LOOPS)
async def cancelled_in_the_body(world: World) -> None:
    begun = False

    async def read() -> None:
        # Not in `client.stream`: before Python 3.11, contextlib puts a CancelledError into a cycle.
        nonlocal begun
        response = await world.client.send(world.client.build_request("GET", "/stall"), stream=True)
        try:
            async for _ in response.aiter_raw():
                begun = True
        finally:
            await response.aclose()

    await world.cancelled(read, lambda: begun)


@outcome(engines=LOOPS)
async def cancelled_in_a_dial(world: World) -> None:
    if world.protocol == "http1":
        with blackhole() as (host, port):
            await world.cancelled(lambda: world.client.get(f"http://{host}:{port}/"), _after(10))
    else:
        with stalling_tls(0) as peer:
            url = f"https://127.0.0.1:{peer.port}/"
            await world.cancelled(lambda: world.client.get(url), lambda: peer.connections > 0)


@outcome(engines=LOOPS, limits=httpx.Limits(max_connections=1), max_streams=1)
async def cancelled_in_the_queue(world: World) -> None:
    async with world.client.stream("GET", "/stall"):
        await world.cancelled(lambda: world.client.get("/whole"), _after(10))


@outcome(engines=LOOPS)
async def cancelled_in_an_upload(world: World) -> None:
    asked = world.origin.asked
    await world.cancelled(lambda: world.client.post("/unread", content=TOO_LONG), lambda: world.origin.asked > asked)


def _after(number: int) -> Callable[[], bool]:
    """A condition that holds when it was asked so many times."""
    times = iter(range(number))
    return lambda: next(times, None) is None


# Errors of the caller.


class Own(Exception):
    """An error of the caller's code."""


def _raise(*unused: Any) -> None:
    raise Own


@outcome()
async def error_in_the_request_body(world: World) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise Own

    await world.fails(Own, "POST", "/silent", content=pieces())
    await world.fails(
        httpx.LocalProtocolError,
        "POST",
        "/silent",
        content=world.driver.body([b"one"]),
        headers={"Content-Length": "5"},
    )


@outcome()
async def error_in_a_hook(world: World) -> None:
    client = world.client
    for kind in ("request", "response"):
        client.event_hooks = {kind: [world.driver.hook(_raise)]}
        await world.fails(Own, "GET", "/large")
    client.event_hooks = {}


@outcome()
async def error_in_a_trace(world: World) -> None:
    for wanted in ("send_request_headers.complete", "receive_response_body.complete"):

        def trace(event: str, info: Any, wanted: str = wanted) -> None:
            if event.endswith(wanted):
                raise Own

        await world.fails(Own, "GET", "/large", extensions={"trace": trace})


@outcome()
async def error_status_raised(world: World) -> None:
    for path in ("/missing", "/missing-large"):
        try:
            (await world.client.get(path)).raise_for_status()
        except httpx.HTTPStatusError:
            continue
        raise AssertionError("it was not missing")


@outcome()
async def error_status_raised_in_a_stream(world: World) -> None:
    try:
        async with world.client.stream("GET", "/missing-large") as response:
            response.raise_for_status()
    except httpx.HTTPStatusError:
        return
    raise AssertionError("it was not missing")


@outcome()
async def error_within_a_stream(world: World) -> None:
    try:
        async with world.client.stream("GET", "/stall") as response:
            async for _ in response.aiter_bytes():
                raise Own
    except Own:
        pass


@outcome(max_response_size=1000)
async def response_too_large(world: World) -> None:
    await world.fails(httpx.ResponseTooLarge, "GET", "/large")


@outcome()
async def too_many_redirects(world: World) -> None:
    world.client.max_redirects = 2
    await world.fails(httpx.TooManyRedirects, "GET", "/moved-for-ever", follow_redirects=True)
    await world.fails(httpx.RemoteProtocolError, "GET", "/moved-nowhere", follow_redirects=True)


@outcome()
async def unsupported_scheme(world: World) -> None:
    await world.fails(httpx.UnsupportedProtocol, "GET", "ftp://localhost/")


# Through middleware.


def plain(request: httpx.Request) -> Generator[Any, Any, Any]:
    try:
        return (yield request)
    finally:
        request.extensions["seen"] = True


def repeating(request: httpx.Request) -> Generator[Any, Any, Any]:
    yield request
    response = yield request
    yield httpx.Step.read(response)
    yield httpx.Step.pause(0)
    return response


@outcome(protocols=ONE, middleware=[plain, repeating, plain])
async def sent_twice_and_read_inside(world: World) -> None:
    assert len((await world.client.get("/large")).content) == len(LARGE)


def replacing(request: httpx.Request) -> Generator[Any, Any, Any]:
    yield request
    return httpx.Response(200, text="other")


@outcome(protocols=ONE, middleware=[plain, replacing])
async def replaced(world: World) -> None:
    assert (await world.client.get("/large")).text == "other"


def failing(request: httpx.Request) -> Generator[Any, Any, Any]:
    yield request
    raise httpx.HTTPError("too odd")


@outcome(protocols=ONE, middleware=[plain, failing, plain])
async def error_in_a_middleware(world: World) -> None:
    await world.fails(httpx.HTTPError, "GET", "/large")


def wrong(request: httpx.Request) -> Generator[Any, Any, Any]:
    yield request
    yield 3


@outcome(protocols=("http1",), middleware=[plain, wrong, plain])
async def wrong_middleware(world: World) -> None:
    await world.fails(TypeError, "GET", "/large")


def calling(request: httpx.Request) -> Generator[Any, Any, Any]:
    for blocking in (False, True):
        try:
            yield httpx.Step.call(divmod, 1, 0, blocking=blocking)
        except ZeroDivisionError:
            pass
    yield httpx.Step.call(divmod, 1, 0, blocking=request.url.path == "/blocking")


@outcome(protocols=("http1",), middleware=[plain, calling])
async def error_in_a_call(world: World) -> None:
    await world.fails(ZeroDivisionError, "GET", "/whole")
    await world.fails(ZeroDivisionError, "GET", "/blocking")


def persisting(request: httpx.Request) -> Generator[Any, Any, Any]:
    for _ in range(3):
        try:
            yield request
        except httpx.TransportError:
            yield httpx.Step.pause(0)
    return (yield request)


@outcome(protocols=ONE, middleware=[plain, persisting, plain])
async def reset_again_and_again(world: World) -> None:
    await world.fails(httpx.TransportError, "POST", "/reset")


@outcome(protocols=ALL, middleware=[httpx.Retry(statuses=[200], backoff=0, budget=None)])
async def three_attempts(world: World) -> None:
    assert len((await world.client.get("/large")).attempts) == 3


@outcome(protocols=ALL, middleware=[httpx.Retry(backoff=0, budget=None), plain])
async def three_attempts_that_break(world: World) -> None:
    await world.fails(httpx.TransportError, "GET", "/reset")


def waiting(request: httpx.Request) -> Generator[Any, Any, Any]:
    response = yield request
    request.extensions["waits"].append(response.status_code)
    yield httpx.Step.pause(TIMEOUT)
    return response


@outcome(LOOPS, ONE, middleware=[plain, waiting, plain])
async def cancelled_in_a_pause(world: World) -> None:
    waits: list[int] = []
    request = functools.partial(world.client.get, "/large", extensions={"waits": waits})
    await world.cancelled(request, lambda: bool(waits))


@outcome(LOOPS, ONE, middleware=[plain, repeating, plain])
async def cancelled_within_middleware(world: World) -> None:
    asked = world.origin.asked
    await world.cancelled(lambda: world.client.get("/silent"), lambda: world.origin.asked > asked)


@outcome(protocols=("http1",), middleware=[plain, waiting, plain])
async def pause_beyond_the_total_timeout(world: World) -> None:
    timeout = httpx.Timeout(TIMEOUT, total=TIMEOUT / 2)
    await world.fails(httpx.ReadTimeout, "GET", "/large", timeout=timeout, extensions={"waits": []})


LATE = httpx.RateLimit("1/h")
CROWDED = httpx.RateLimit(concurrency=1)


@outcome(protocols=("http1",), middleware=[plain, LATE, plain])
async def a_turn_that_would_come_too_late(world: World) -> None:
    LATE._forget()
    await world.client.get("/whole")
    await world.fails(httpx.RateLimitTimeout, "GET", "/whole")


@outcome(LOOPS, ("http1",), middleware=[plain, CROWDED, plain])
async def cancelled_in_the_wait_for_a_place(world: World) -> None:
    CROWDED._forget()
    holder = CROWDED(world.client.build_request("GET", "/whole"))
    next(holder)
    places = next(iter(CROWDED._buckets.values())).places
    assert places is not None
    await world.cancelled(lambda: world.client.get("/whole"), lambda: bool(places.waiting))
    holder.close()
    assert (await world.client.get("/whole")).text == "ok"


# Event streams and JSON Lines.


def _to(path: str) -> httpx.Reconnect:
    """Reconnect to another path, once."""

    def prepare(request: httpx.Request) -> httpx.Request | None:
        return None if path == "" else httpx.Request("GET", request.url.join(path))

    return httpx.Reconnect(delay=0, max_failures=2, prepare=prepare)


async def _subscribed(world: World, path: str, kind: Any = None, **options: Any) -> int:
    """How many events came before the end, which is an error of this kind. Not by `pytest.raises`, which keeps it."""
    count = 0
    try:
        async with world.client.sse(path, **options) as source:
            async for _ in source:
                count += 1
    except Exception as exc:
        if kind is None or not isinstance(exc, kind):
            raise
        return count
    assert kind is None, f"{path}: no {kind}"
    return count


@outcome()
async def events_to_the_end(world: World) -> None:
    assert await _subscribed(world, "/events") == 1
    assert await _subscribed(world, "/events", reconnect=_to("")) == 1


@outcome()
async def events_left_in_the_middle(world: World) -> None:
    for reconnect in (False, True):
        async with world.client.sse("/events-stall", reconnect=reconnect) as source:
            async for _ in source:
                break


@outcome()
async def events_that_are_too_large(world: World) -> None:
    await _subscribed(world, "/events", httpx.SSEError, max_event_size=5, reconnect=True)


@outcome()
async def events_of_another_kind(world: World) -> None:
    await _subscribed(world, "/large", httpx.SSEError)
    await _subscribed(world, "/missing-large", httpx.HTTPStatusError, reconnect=True)


@outcome()
async def events_opened_again_in_vain(world: World) -> None:
    assert await _subscribed(world, "/events", httpx.HTTPStatusError, reconnect=_to("/missing-large")) == 1
    assert await _subscribed(world, "/events", httpx.SSEError, reconnect=_to("/large")) == 1
    assert await _subscribed(world, "/events", httpx.TransportError, reconnect=_to("/reset")) == 1
    assert await _subscribed(world, "/events", httpx.UnsupportedProtocol, reconnect=_to("ftp://x/")) == 1


@outcome()
async def events_that_break_off(world: World) -> None:
    world.origin.go()
    assert await _subscribed(world, "/events-broken", httpx.TransportError) > 0
    world.origin.go()
    assert await _subscribed(world, "/events-broken", reconnect=_to("")) > 0


@outcome(engines=LOOPS)
async def cancelled_between_events(world: World) -> None:
    count = 0

    async def read() -> None:
        nonlocal count
        async with world.client.sse("/events-stall", reconnect=True) as source:
            async for _ in source:
                count += 1

    await world.cancelled(read, lambda: count > 10)


@outcome(engines=LOOPS)
async def cancelled_before_a_reconnection(world: World) -> None:
    sources: list[Any] = []

    async def read() -> None:
        async with world.client.sse("/events", reconnect=httpx.Reconnect(delay=1000, max_delay=1000)) as source:
            sources.append(source)
            async for _ in source:
                pass

    await world.cancelled(read, lambda: bool(sources) and sources[0]._sleeper._rouse is not None)


@outcome()
async def json_lines_that_are_none(world: World) -> None:
    try:
        async with world.client.stream("GET", "/large") as response:
            async for _ in response.aiter_jsonl(max_line_size=1000):
                pass
    except httpx.DecodingError:
        pass
    try:
        async with world.client.stream("GET", "/missing") as response:
            async for _ in response.aiter_jsonl():
                pass
    except httpx.DecodingError:
        return
    raise AssertionError("no error")


CASES = [
    pytest.param(name, protocol, each, id=f"{each.name.replace(' ', '-')}-{protocol}-{name}")
    for each in OUTCOMES
    for protocol in each.protocols
    for name in each.engines
]


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """One name that does not resolve, without a network."""
    real = socket.getaddrinfo

    def found(host: Any, *args: Any, **kwargs: Any) -> Any:
        if "no-such-name" in str(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httpx._subscription.LEAST_WAIT", 0.0)


@pytest.mark.parametrize(("name", "protocol", "case"), CASES)
def test_no_outcome_of_a_request_leaves_anything_to_the_collector(name: str, protocol: str, case: Outcome):
    """
    The harm: what a request held stayed in memory until the collector ran.

    Every body that did not arrive whole with its head stayed so, with its connection; six downloads of 100 MB in a row
    of which nothing was kept took 725 MB.
    """
    driver = driver_named(name)
    garbage = Garbage()

    async def scenario() -> None:
        async with driver.client(**{**world.options, **case.options}) as client:
            world.client = client
            await case.run(world)  # fills caches, and opens connections
            await rest(driver)
            with garbage.watched():
                for _ in range(TIMES):
                    await case.run(world)
                await rest(driver)

    with Origin(protocol, case.max_streams) as origin:
        world = World(driver, protocol, origin)
        driver.run_bare(scenario)
    assert not garbage.ours, garbage.story()


async def rest(driver: EngineDriver) -> None:
    """Let tasks in the background end."""
    if driver.is_async:
        await turns(20)


# Controls.


class Foreign:
    """An object that a coroutine holds which knows nothing of httpx."""


@pytest.mark.parametrize("name", LOOPS)
def test_the_runtimes_leave_nothing_of_a_coroutine_that_is_cancelled_or_fails(name: str):
    """Else cycles would be found above that are not ours."""
    driver = driver_named(name)
    garbage = Garbage(lambda each: isinstance(each, Foreign))

    async def wait() -> None:
        held = Foreign()
        await driver.pause(TIMEOUT)
        assert held

    async def fail() -> None:
        held = Foreign()
        await driver.pause()
        if held:
            raise Own

    async def scenario() -> None:
        world: Any = World(driver, "http1", None)  # type: ignore[arg-type]  # there is no server
        with garbage.watched():
            for _ in range(TIMES):
                await World.cancelled(world, wait, _after(5))
                with contextlib.suppress(Own):
                    await fail()
            await rest(driver)

    driver.run_bare(scenario)
    assert not garbage.ours, garbage.story()


def test_a_cycle_is_found_and_told():
    response = httpx.Response(200)
    garbage = Garbage()
    with garbage.watched():
        response.extensions["itself"] = response
        del response
    assert [type(each) for each in garbage.ours if isinstance(each, httpx.Response)] == [httpx.Response]
    assert "Response .extensions -> dict" in garbage.story()
    assert "dict .['itself'] -> Response" in garbage.story()
    assert gc.isenabled()


# The same, as memory.

DOWNLOADS = """
import asyncio, gc, json, ssl, sys, tracemalloc
import httpx, trio

url, authority, http2 = json.loads(sys.argv[1])
options = {"verify": ssl.create_default_context(cafile=authority), "http2": http2, "trust_env": False, "timeout": 30}

def in_threads():
    with httpx.Client(**options) as client:
        for _ in range(6):
            client.get(url)

async def in_loop():
    async with httpx.AsyncClient(**options) as client:
        for _ in range(6):
            await client.get(url)

def peak(run, *args):
    gc.collect()
    gc.disable()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    run(*args)
    return tracemalloc.get_traced_memory()[1] - before

tracemalloc.start()
print(json.dumps({
    "sync": peak(in_threads),
    "asyncio": peak(lambda: asyncio.run(in_loop())),
    "trio": peak(trio.run, in_loop),
}))
"""


@pytest.mark.parametrize("protocol", ALL)
def test_six_large_bodies_one_after_the_other_take_the_memory_of_one(protocol: str):
    """
    The harm: six downloads of 100 MB, of which nothing was kept, grew to 725 MB: each waited for the collector.

    A body is there twice for a moment: in the pieces that arrived, and put together.
    """
    pytest.importorskip("trio")
    size = 8_000_000
    with StreamServer(tls=True) if protocol == "http2" else BodyServer(size, protocol == "tls") as server:
        arguments = json.dumps([f"{server.url}/bytes/{size}", str(certs.authority_file()), protocol == "http2"])
        done = subprocess.run(
            [sys.executable, "-c", DOWNLOADS, arguments], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    peaks = json.loads(done.stdout)
    assert all(size <= peak <= 2.5 * size for peak in peaks.values()), {
        name: f"{peak / size:.1f} bodies" for name, peak in peaks.items()
    }


class BodyServer(ScriptedServer):
    """A server over HTTP/1.1 whose every response is a body of that size."""

    def __init__(self, size: int, tls: bool) -> None:
        response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
        super().__init__([repeat(expect_head(), send(response))], tls=certs.server_context() if tls else None)
