"""`_engine/http2/tunnel.py`: WebSockets on a stream of HTTP/2 (RFC 8441), on threads, asyncio and trio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from typing import Any, Callable

import pytest

import httpx
from httpx._engine.job import Refusals
from httpx._protocol import frames
from httpx.websockets import WebSocketDisconnect, WebSocketNetworkError, WebSocketTimeout
from support.drivers import Driver
from support.http2 import FramePeer, StreamServer, data, frames_of, h2_context, prior
from support.leaks import engines_of
from support.servers import ScriptedServer
from support.steps import turns
from support.websocket import CLOSE, PING, PONG, TEXT, Frame, close_frame, echo, frame, opened, sent_frames

pytestmark = pytest.mark.usefixtures("no_leaks")

ENABLE_CONNECT_PROTOCOL = {8: 1}


@pytest.fixture(params=("sync", "asyncio", "trio"))
def driver(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


class Tunnel:
    """The server's side of a WebSocket on a stream, after its request."""

    def __init__(self, peer: FramePeer, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        self.peer = peer
        self.asked = peer.request()
        self.stream = self.asked.stream
        self._received = b""
        self.reset: Any = None
        peer.send(peer.head(self.stream, status, *fields))

    def send(self, *pieces: bytes, ends: bool = False) -> None:
        self.peer.send(data(self.stream, b"".join(pieces), ends))

    def frame(self) -> Frame:
        """The client's next frame; windows are opened meanwhile."""
        while True:
            with contextlib.suppress(AssertionError, IndexError):
                size = self._size()
                found = sent_frames(self._received[:size])[0]
                self._received = self._received[size:]
                return found
            kind, _, stream, payload = self.peer.frame()
            if kind == frames.DATA and stream == self.stream:
                self._received += payload
                size = len(payload)
                if size:
                    self.peer.send(frames.window_update(0, size), frames.window_update(stream, size))
            elif kind == frames.RST_STREAM:
                raise AssertionError(f"the stream was reset: {payload!r}")

    def _size(self) -> int:
        length, head = self._received[1] & 0x7F, 6
        if length > 125:
            size = 2 if length == 126 else 8
            length, head = int.from_bytes(self._received[2 : 2 + size], "big"), head + size
        assert len(self._received) >= head + length
        return head + length

    def echo(self) -> None:
        """Send messages back until the client closes; then end the stream."""
        while True:
            found = self.frame()
            if found.opcode == CLOSE:
                self.send(frame(CLOSE, found.payload[:2]), ends=True)
                return
            self.send(frame(PONG if found.opcode == PING else found.opcode, found.payload))


def server_of(play: Callable[[FramePeer], Any], values: Any = None) -> ScriptedServer:
    """A server whose first request is a GET, so that there is a connection; then it plays."""

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"ok")
        play(peer)

    return ScriptedServer(frames_of(script, ENABLE_CONNECT_PROTOCOL if values is None else values))


def run(driver: Driver, server: ScriptedServer, talk: Any, **options: Any) -> Any:
    """What `talk(session)` returns, over the connection of an earlier request."""

    async def scenario(client: Any) -> Any:
        await client.get(server.url)
        async with client.websocket(server.url + "/chat", **options) as ws:
            assert ws.http_version == "HTTP/2"
            return await talk(ws)

    return driver.run(scenario, http2=True, http1=False)


def test_messages_go_both_ways_on_a_stream(driver: Driver):
    async def talk(ws: Any) -> Any:
        await ws.send("hello")
        found = [await ws.receive()]
        await ws.send(b"x" * 300_000)
        found.append(len(await ws.receive(timeout=5)))
        with pytest.raises(WebSocketTimeout):
            await ws.receive(timeout=0.01)
        pong = await ws.ping()
        assert await pong.wait(timeout=5)
        stream = ws.response.extensions["network_stream"]
        assert stream.get_extra_info("server_addr")[1] == server.port
        return [*found, ws.subprotocol, ws.response.status_code]

    tunnels: list[Tunnel] = []

    def play(peer: FramePeer) -> None:
        tunnels.append(Tunnel(peer, 200, (b"sec-websocket-protocol", b"a")))
        tunnels[0].echo()

    with server_of(play) as server:
        assert run(driver, server, talk, subprotocols=["a"], headers={"x-own": "1"}) == ["hello", 300_000, "a", 200]
    asked = tunnels[0].asked
    assert (asked[b":method"], asked[b":protocol"], asked[b":path"]) == (b"CONNECT", b"websocket", b"/chat")
    assert (asked[b":scheme"], asked[b"x-own"], asked[b"sec-websocket-version"]) == (b"http", b"1", b"13")
    assert not {b"upgrade", b"connection", b"sec-websocket-key"} & set(dict(asked.fields))


def test_a_connection_is_shared_with_requests(driver: Driver):
    async def scenario(client: Any, url: str) -> Any:
        await client.get(url)
        async with client.websocket(url) as ws:
            other = await client.get(url)
            await ws.send("x")
            return other.text, await ws.receive()

    def play(peer: FramePeer) -> None:
        tunnel = Tunnel(peer)
        peer.answer(peer.request().stream, b"other")
        tunnel.echo()

    with server_of(play) as server:
        assert driver.run(scenario, server.url, http2=True, http1=False) == ("other", "x")
        assert server.connections == 1


def test_the_peers_close_and_the_end_of_the_stream(driver: Driver):
    async def talk(ws: Any) -> Any:
        with pytest.raises(WebSocketDisconnect, match="3000"):
            await ws.receive()
        return ws.close_code

    def play(peer: FramePeer) -> None:
        tunnel = Tunnel(peer)
        tunnel.send(close_frame(3000), ends=True)
        assert tunnel.frame().opcode == CLOSE

    with server_of(play) as server:
        assert run(driver, server, talk) == 3000


@pytest.mark.parametrize("how", ["end", "reset", "connection"])
def test_an_end_without_a_close_is_an_error(driver: Driver, how: str):
    async def talk(ws: Any) -> Any:
        assert await ws.receive() == "x"
        with pytest.raises(WebSocketNetworkError):
            await ws.receive()
        with pytest.raises(WebSocketNetworkError):
            await ws.send("x")

    def play(peer: FramePeer) -> None:
        tunnel = Tunnel(peer)
        tunnel.send(frame(TEXT, b"x"), ends=how == "end")
        if how == "reset":
            peer.send(frames.reset(tunnel.stream, 8))

    with server_of(play) as server:
        run(driver, server, talk)


def test_a_peer_whose_window_stays_shut_ends_the_session(driver: Driver):
    async def talk(ws: Any) -> None:
        with pytest.raises(WebSocketNetworkError):
            await ws.send(b"x" * 200_000)

    def play(peer: FramePeer) -> None:
        Tunnel(peer)
        peer.conn.read_to_end()

    with server_of(play) as server:
        run(driver, server, talk, timeout=httpx.Timeout(5, write=0.05), close_timeout=0.05)


def test_while_a_send_waits_for_a_window_another_receives(driver: Driver):
    if driver.name == "sync":
        pytest.skip("one thread does one thing at a time")

    async def talk(ws: Any) -> Any:
        from test_websocket_channels import all_of

        return await all_of(lambda: ws.send(b"x" * 200_000), ws.receive)

    def play(peer: FramePeer) -> None:
        tunnel = Tunnel(peer)
        assert len(tunnel.frame().payload) == 200_000
        tunnel.send(frame(TEXT, b"got it"))
        tunnel.echo()

    with server_of(play) as server:
        assert run(driver, server, talk) == [None, "got it"]


def test_pings_are_answered_while_nothing_is_received(driver: Driver):
    async def talk(ws: Any) -> Any:
        await driver.pause(0.3)
        if driver.name == "sync":
            assert answered.wait(5)
        assert answered.is_set()
        return await ws.receive(timeout=5)

    import threading

    answered = threading.Event()

    def play(peer: FramePeer) -> None:
        tunnel = Tunnel(peer)
        tunnel.send(frame(PING, b"p"))
        assert tunnel.frame() == Frame(PONG, b"p")
        answered.set()
        assert tunnel.frame().opcode == PING  # ours, after the silence
        tunnel.send(frame(TEXT, b"x"))
        tunnel.echo()

    with server_of(play) as server:
        assert run(driver, server, talk, keepalive_ping_interval_seconds=0.1) == "x"


def test_a_silent_peer_is_given_up(driver: Driver):
    async def talk(ws: Any) -> None:
        with pytest.raises(WebSocketNetworkError, match="did not answer a ping"):
            await ws.receive(timeout=5)

    def play(peer: FramePeer) -> None:
        Tunnel(peer)
        peer.conn.read_to_end()

    with server_of(play) as server:
        run(driver, server, talk, keepalive_ping_interval_seconds=0.04, keepalive_ping_timeout_seconds=0.04)


def test_a_session_that_is_left_by_an_interrupt_frees_its_place(driver: Driver):
    async def scenario(client: Any, url: str) -> Any:
        await client.get(url)
        with pytest.raises(KeyboardInterrupt):
            async with client.websocket(url):
                raise KeyboardInterrupt
        return (await client.get(url)).text

    def play(peer: FramePeer) -> None:
        Tunnel(peer)
        peer.serve(b"next")

    with server_of(play) as server:
        assert driver.run(scenario, server.url, http2=True, http1=False) == "next"


# Where HTTP/2 is not possible.


def tls_server(*scripts: Any) -> ScriptedServer:
    return ScriptedServer(*scripts, tls=h2_context("h2", "http/1.1"), host="localhost")


def fall_back(driver: Driver, trusting: Any, first: Any) -> ScriptedServer:
    """A server that is asked over HTTP/2 first, and then over HTTP/1.1, three times over."""

    async def scenario(client: Any, url: str) -> None:
        await client.get(url)
        for _ in range(2):
            async with client.websocket(url) as ws:
                assert ws.http_version == "HTTP/1.1"
                await ws.send("x")
                assert await ws.receive() == "x"

    with tls_server(first, [opened(), echo]) as server:
        driver.run(scenario, server.url, http2=True, verify=trusting)
        return server


def test_a_peer_that_does_not_allow_it_is_not_asked(driver: Driver, trusting: Any):
    """jetty#13375, undici#4966: WebSockets failed where HTTP/2 was tried on servers that do not take it."""
    seen: list[Any] = []

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"ok")
        seen.extend(frame[0] for frame in peer.rest())

    server = fall_back(driver, trusting, frames_of(script))
    assert server.connections == 3
    assert frames.HEADERS not in seen


@pytest.mark.parametrize("how", [405, 421, 501, "reset"])
def test_a_refusal_over_http_2_leads_to_http_1_1_and_is_remembered(driver: Driver, trusting: Any, how: Any):
    asked: list[Any] = []

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"ok")
        request = peer.request()
        asked.append(request)
        if how == "reset":
            peer.send(frames.reset(request.stream, 1))
        else:
            peer.answer(request.stream, b"", how)
        with contextlib.suppress(AssertionError):
            asked.append(peer.request())

    assert fall_back(driver, trusting, frames_of(script, ENABLE_CONNECT_PROTOCOL)).connections == 3
    assert len(asked) == 1


def test_another_status_is_the_response(driver: Driver):
    async def talk(ws: Any) -> None:
        raise AssertionError

    def play(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"no", 403)
        with contextlib.suppress(AssertionError):
            peer.frame()

    with server_of(play) as server, pytest.raises(httpx.websockets.WebSocketUpgradeError, match="403") as caught:
        run(driver, server, talk)
    assert caught.value.response.text == "no"


def test_without_a_connection_nothing_is_dialled_for_http_2(driver: Driver, trusting: Any):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url) as ws:
            return ws.http_version

    with tls_server([opened(), echo]) as server:
        assert driver.run(scenario, server.url, http2=True, verify=trusting) == "HTTP/1.1"


def test_refusals_are_forgotten():
    refusals = Refusals()
    assert not refusals.has("key", 0.0)
    for number in range(1500):
        refusals.add(number, 0.0)
    refusals.add("key", 10.0)
    assert refusals.has("key", 309.0)
    assert not refusals.has("key", 311.0)
    assert len(refusals._until) <= 1000


def test_a_pong_that_the_peer_does_not_take_holds_up_no_receiver(driver: Driver):
    """The receiver waited for the window, past its timeout, and a cancellation meanwhile ended the session."""

    async def talk(ws: Any) -> Any:
        with pytest.raises(WebSocketTimeout):
            await ws.receive(timeout=0.05)
        go.set()
        return await ws.receive(timeout=5)

    go = threading.Event()
    pongs: list[Frame] = []

    def play(peer: FramePeer) -> None:
        tunnel = Tunnel(peer)
        tunnel.send(frame(PING, b"1"))
        assert go.wait(5)
        peer.send(frames.window_update(tunnel.stream, 1000))
        tunnel.send(frame(TEXT, b"after"))
        pongs.append(tunnel.frame())
        tunnel.echo()

    with server_of(play, {**ENABLE_CONNECT_PROTOCOL, frames.INITIAL_WINDOW_SIZE: 0}) as server:
        assert run(driver, server, talk) == "after"
    assert pongs == [Frame(PONG, b"1")]


def test_a_send_that_is_cancelled_while_it_waits_for_a_window_leaves_the_session_open():
    """What is left of the message goes first, so nothing is broken; the session was ended all the same."""

    async def scenario(url: str) -> Any:
        async with httpx.AsyncClient(http2=True, http1=False) as client:
            await client.get(url)
            async with client.websocket(url) as ws:
                sending = asyncio.ensure_future(ws.send("one"))
                await turns(5)
                sending.cancel()
                await asyncio.wait([sending])
                go.set()
                await ws.send("two")
                return [await ws.receive(timeout=5), await ws.receive(timeout=5)]

    go = threading.Event()

    def play(peer: FramePeer) -> None:
        tunnel = Tunnel(peer)
        assert go.wait(5)
        peer.send(frames.window_update(tunnel.stream, 1000))
        tunnel.echo()

    with server_of(play, {**ENABLE_CONNECT_PROTOCOL, frames.INITIAL_WINDOW_SIZE: 0}) as server:
        assert asyncio.run(scenario(server.url)) == ["one", "two"]


def test_a_session_that_is_dropped_frees_its_place_at_once(driver: Driver):
    """Its stream and its response were a cycle, so the place was taken until the garbage collector came by."""

    async def scenario(client: Any) -> None:
        await client.get("/id")
        session = await client.websocket("/ws/echo/0/a").__aenter__()
        version = session.http_version
        del session
        for _ in range(2):  # the first one frees the place, perhaps after it has got its own
            await client.get("/id")
        assert (version, engines_of(client)[0].pool.users()) == ("HTTP/2", 0)

    gc.collect()
    gc.disable()
    try:
        with StreamServer(websockets=True) as server:
            driver.run(scenario, **prior(server.url))
    finally:
        gc.enable()
