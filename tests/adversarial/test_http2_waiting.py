"""
How long a request of HTTP/2 waits, and what it makes of a peer that is silent: one deadline for each wait.

Not here: what else goes wrong (`test_http2_trouble.py`).
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Callable

import pytest

import httpx
from httpx._engine import limits
from httpx._protocol import frames
from support.at_once import get, options, until_true
from support.engines import EngineDriver
from support.http2 import FramePeer, data, frames_of, h2_context, trusted
from support.leaks import engines_of, settled
from support.servers import ScriptedServer

pytestmark = pytest.mark.usefixtures("leaves_nothing")

SHORT = 0.05  # seconds


def peer_of(*scripts: Callable[[FramePeer], object], tls: bool = False, **more: Any) -> ScriptedServer:
    return ScriptedServer(*[frames_of(script) for script in scripts], tls=h2_context("h2") if tls else None, **more)


# A peer that is silent.


@pytest.fixture
def go() -> Any:
    """Set at the end of a test; scripts of peers that hang wait for it."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(params=["reads on", "hangs"])
def vanishes(request: pytest.FixtureRequest, go: threading.Event) -> Callable[[FramePeer], None]:
    """Responds to one request and then never again: the process hangs, or its answers are lost on the way."""

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"first")
        if request.param == "hangs":
            go.wait(10)
        else:
            peer.rest()

    return script


@pytest.mark.parametrize("limit", [{"read": SHORT}, {"total": SHORT}], ids=["read", "total"])
def test_a_connection_whose_peer_vanished_is_left_after_one_timeout(
    any_engine: EngineDriver, vanishes: Any, limit: Any, go: threading.Event, tls: bool
):
    """Every later request on it timed out, for ever, and no new connection was made."""

    async def scenario(client: Any) -> None:
        assert (await client.get("/")).text == "first"
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=httpx.Timeout(5, **limit))
        for _ in range(3):
            assert (await client.post("/")).text == "ok"
        go.set()
        await settled(client)

    with peer_of(vanishes, FramePeer.serve, tls=tls) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 2


def test_a_peer_that_vanishes_in_the_middle_of_a_body_is_left(any_engine: EngineDriver):
    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.send(peer.head(asked.stream), data(asked.stream, b"half"))
        peer.rest()

    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/", timeout=httpx.Timeout(5, read=SHORT)) as response:
            with pytest.raises(httpx.ReadTimeout):
                await response.aread()
        assert (await client.get("/")).text == "ok"
        await settled(client)

    with peer_of(script, FramePeer.serve) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 2


@pytest.mark.parametrize("window", ["open", "shut"])
def test_a_peer_that_takes_nothing_is_left_after_one_write_timeout(
    any_engine: EngineDriver, go: threading.Event, window: str
):
    """The same harm by the other timeout: with a full socket not even a PING gets through."""

    def script(peer: FramePeer) -> None:
        if window == "open":
            peer.send(frames.window_update(0, 100_000_000), frames.settings({frames.INITIAL_WINDOW_SIZE: 100_000_000}))
        peer.answer(peer.request().stream, b"first")
        go.wait(10)

    async def scenario(client: Any) -> None:
        assert (await client.get("/")).text == "first"
        with pytest.raises(httpx.WriteTimeout):
            await client.post("/", content=bytes(20_000_000), timeout=httpx.Timeout(5, write=SHORT))
        assert (await client.get("/")).text == "ok"
        go.set()
        await settled(client)

    with peer_of(script, FramePeer.serve) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 2


def test_a_peer_that_answers_the_ping_keeps_its_connection(any_engine: EngineDriver, tls: bool):
    """It is only slow: a new connection after each timeout would make it slower."""

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        for _ in range(3):
            stream = peer.request().stream
            peer.pong(peer.expect(frames.PING))
            assert peer.resets() == [(stream, frames.CANCEL)]
        peer.serve()

    async def scenario(client: Any) -> None:
        await client.get("/")
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/", timeout=httpx.Timeout(5, read=SHORT))
            await trusted(client)
        assert (await client.get("/")).text == "ok"
        await settled(client)

    with peer_of(script, tls=tls) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 1


def test_a_timeout_while_others_progress_says_nothing_about_the_connection(several: Any):
    gone = threading.Event()

    def script(peer: FramePeer) -> None:
        streams = {bytes(asked[b":path"]): asked.stream for asked in peer.requests(2)}
        peer.send(peer.head(streams[b"/busy"]))
        while not gone.wait(0.01):
            peer.send(data(streams[b"/busy"], b"more"))
        peer.send(data(streams[b"/busy"], b"", True))
        while True:
            kind, _, stream, block = peer.frame()
            assert kind != frames.PING
            if kind == frames.HEADERS:
                peer._decoder.decode(block)
                peer.answer(stream, b"next")
                break
        peer.rest()

    async def late(client: Any) -> Any:
        try:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/late", timeout=httpx.Timeout(5, read=0.3))
        finally:
            gone.set()
        return (await client.get("/next")).text

    with peer_of(script) as server:
        busy, text = several(server).run(get("/busy"), late)
        assert server.connections == 1
    assert (text, set(busy.text)) == ("next", set("more"))


def test_those_who_still_wait_on_a_suspect_connection_get_their_responses(several: Any):
    """They keep their own deadlines, and what arrives for them makes the connection good again."""
    released = threading.Event()
    warm: list[bool] = []

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        streams = {bytes(each[b":path"]): each.stream for each in peer.requests(2)}
        assert released.wait(5)
        peer.answer(streams[b"/patient"], b"after all")
        peer.serve(b"first connection")

    async def patient(client: Any) -> Any:
        await until_true(lambda: bool(warm))
        return await client.get("/patient")

    async def impatient(client: Any) -> Any:
        await client.get("/warm")
        warm.append(True)
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/impatient", timeout=httpx.Timeout(5, read=0.2))
        text = (await client.get("/elsewhere")).text
        released.set()
        return text

    def second(peer: FramePeer) -> None:
        peer.serve(b"second connection")

    with peer_of(script, second) as server:
        response, text = several(server).run(patient, impatient)
        assert server.connections == 2
    assert (response.text, text) == ("after all", "second connection")


def test_a_suspect_connection_without_users_is_closed_when_the_next_request_finds_it_silent(any_engine: EngineDriver):
    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        peer.rest()

    async def scenario(client: Any) -> None:
        await client.get("/")
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=httpx.Timeout(5, read=SHORT))
        await client.get("/")
        (engine,) = engines_of(client)
        assert len(engine.pool.connections) == 1
        await settled(client)

    with peer_of(script, FramePeer.serve) as server:
        any_engine.run(scenario, **options(server))


# What does not move a deadline.

CHATTER = {
    "PING": lambda peer, stream: frames.frame(frames.PING, 0, 0, bytes(8)),
    "WINDOW_UPDATE": lambda peer, stream: frames.window_update(0, 1),
    "WINDOW_UPDATE of the stream": lambda peer, stream: frames.window_update(stream, 1),
    "SETTINGS": lambda peer, stream: frames.settings({}),
    "an unknown frame": lambda peer, stream: frames.frame(0xBB, 0, 0, b"grease"),
}


def chattering(chatter: Callable[[FramePeer, int], bytes], begin: Any = None) -> Callable[[FramePeer], None]:
    def script(peer: FramePeer) -> None:
        stream = peer.request().stream
        if begin is not None:
            peer.send(begin(peer, stream))
        try:
            for _ in range(100):
                peer.send(chatter(peer, stream))
                threading.Event().wait(0.02)
        except OSError:
            pass
        peer.rest()

    return script


async def lasts(expected: type[Exception], request: Any) -> None:
    """The request ends in that exception within a second, with a timeout of 0.2 and a peer that goes on for two."""
    begun = time.monotonic()
    with pytest.raises(expected):
        await request
    assert time.monotonic() - begun < 1.2


@pytest.mark.parametrize("chatter", [*CHATTER, "102"])
def test_chatter_does_not_extend_the_wait_for_a_head(any_engine: EngineDriver, chatter: str, tls: bool):
    """One frame of any kind every half second put the read timeout off for ever."""
    say = CHATTER.get(chatter, lambda peer, stream: peer.head(stream, 102))

    async def scenario(client: Any) -> None:
        await lasts(httpx.ReadTimeout, client.get("/", timeout=httpx.Timeout(5, read=0.2)))

    with peer_of(chattering(say), tls=tls) as server:
        any_engine.run(scenario, **options(server))


@pytest.mark.parametrize("chatter", [*CHATTER, "empty DATA"])
def test_chatter_does_not_extend_the_wait_for_more_of_a_body(any_engine: EngineDriver, chatter: str):
    """Empty DATA counted as a part of the body."""
    say = CHATTER.get(chatter, lambda peer, stream: data(stream, b""))
    half = lambda peer, stream: peer.head(stream) + data(stream, b"half")  # noqa: E731

    async def scenario(client: Any) -> None:
        await lasts(httpx.ReadTimeout, client.get("/", timeout=httpx.Timeout(5, read=0.2)))

    with peer_of(chattering(say, half)) as server:
        any_engine.run(scenario, **options(server))


@pytest.mark.parametrize("chatter", ["PING", "SETTINGS", "an unknown frame", "102", "WINDOW_UPDATE of another"])
@pytest.mark.parametrize("body", ["whole", "pieces"])
def test_chatter_does_not_extend_the_wait_for_the_peer_to_take_a_body(
    any_engine: EngineDriver, chatter: str, body: str
):
    say = {
        **CHATTER,
        "102": lambda peer, stream: peer.head(stream, 102),
        "WINDOW_UPDATE of another": lambda peer, stream: frames.window_update(0, 1),
    }[chatter]

    async def scenario(client: Any) -> None:
        content = bytes(300_000) if body == "whole" else any_engine.body([bytes(100_000)] * 3)
        timeout = httpx.Timeout(5, write=0.2)
        await lasts(httpx.WriteTimeout, client.post("/", content=content, timeout=timeout))

    with peer_of(chattering(say)) as server:
        any_engine.run(scenario, **options(server))


def test_data_of_other_streams_does_not_extend_a_wait(several: Any):
    ended = threading.Event()

    def script(peer: FramePeer) -> None:
        streams = {bytes(asked[b":path"]): asked.stream for asked in peer.requests(2)}
        peer.send(peer.head(streams[b"/busy"]))
        for _ in range(200):
            if ended.wait(0.01):
                break
            peer.send(data(streams[b"/busy"], b"more"))
        peer.send(data(streams[b"/busy"], b"", True))
        peer.rest()

    async def late(client: Any) -> None:
        try:
            await lasts(httpx.ReadTimeout, client.get("/late", timeout=httpx.Timeout(5, read=0.2)))
        finally:
            ended.set()

    with peer_of(script) as server:
        busy, _ = several(server).run(get("/busy"), late)
    assert busy.status_code == 200


def test_an_interim_response_does_not_buy_another_read_timeout(any_engine: EngineDriver):
    def script(peer: FramePeer) -> None:
        stream = peer.request().stream
        threading.Event().wait(0.4)
        peer.send(peer.head(stream, 103))
        peer.rest()

    async def scenario(client: Any) -> None:
        begun = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=httpx.Timeout(5, read=0.5))
        assert time.monotonic() - begun < 0.85

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))


# Expect: 100-continue.


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a request waits for 100 (Continue)."""
    monkeypatch.setattr(limits, "PATIENCE", 0.1)


@pytest.mark.usefixtures("patience")
def test_patience_for_consent_ends_although_interim_responses_come(any_engine: EngineDriver):
    """A 102 every half second kept the body back, and put every timeout off, for ever."""
    arrived = threading.Event()

    def script(peer: FramePeer) -> None:
        stream = peer.request().stream
        threading.Thread(target=listen, args=(peer, stream), daemon=True).start()
        for _ in range(100):
            if arrived.wait(0.02):
                break
            peer.send(peer.head(stream, 102))
        peer.answer(stream, b"thanks")
        finished.wait(5)

    def listen(peer: FramePeer, stream: int) -> None:
        if peer.body() == b"the body":
            arrived.set()

    finished = threading.Event()

    async def scenario(client: Any) -> None:
        try:
            response = await client.post("/", content=b"the body", headers={"Expect": "100-continue"})
            assert response.text == "thanks"
            assert arrived.is_set()
            assert len(response.extensions["informational"]) < 60
        finally:
            finished.set()

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("limit", [{"read": 0.2}, {"total": 0.3}], ids=["read", "total"])
def test_interim_responses_do_not_put_off_the_timeouts_of_a_request_that_asked_for_consent(
    any_engine: EngineDriver, limit: Any
):
    async def scenario(client: Any) -> None:
        headers = {"Expect": "100-continue"}
        timeout = httpx.Timeout(5, **limit)
        await lasts(httpx.ReadTimeout, client.post("/", content=b"body", headers=headers, timeout=timeout))

    with peer_of(chattering(lambda peer, stream: peer.head(stream, 102))) as server:
        any_engine.run(scenario, **options(server))


# Which timeout holds.


@pytest.mark.parametrize("body", ["whole", "pieces"])
def test_the_read_timeout_holds_when_the_body_has_left(any_engine: EngineDriver, body: str):
    """asyncio: the body left while the wait was being set up, and the write timeout ended the wait for the response."""

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        stream = peer.request().stream
        assert len(peer.body()) == 300_000
        threading.Event().wait(0.5)
        peer.answer(stream, b"late")
        peer.rest()

    async def scenario(client: Any) -> None:
        await client.get("/")
        content = bytes(300_000) if body == "whole" else any_engine.body([bytes(100_000)] * 3)
        timeout = httpx.Timeout(5, write=0.2)
        assert (await client.post("/", content=content, timeout=timeout)).text == "late"

    wide = {frames.INITIAL_WINDOW_SIZE: 1_000_000}

    def opened(peer: FramePeer) -> None:
        peer.send(frames.window_update(0, 10_000_000))
        script(peer)

    with ScriptedServer(frames_of(opened, wide)) as server:
        any_engine.run(scenario, **options(server))


def test_a_slow_peer_that_takes_some_bytes_again_and_again_is_not_timed_out(any_engine: EngineDriver):
    """What the socket takes is progress, also of bytes that left the stream long ago."""
    taken = threading.Event()

    def script(peer: FramePeer) -> None:
        peer.send(frames.window_update(0, 100_000_000), frames.settings({frames.INITIAL_WINDOW_SIZE: 100_000_000}))
        peer.answer(peer.request().stream, b"warm")
        stream = peer.request().stream
        received = 0
        while received < 8_000_000:
            kind, _, _, payload = peer.frame()
            if kind == frames.DATA:
                received += len(payload)
                if received % 10 == 0 and received < 6_000_000:
                    threading.Event().wait(0.004)
        taken.set()
        peer.answer(stream, b"thanks")
        peer.rest()

    async def scenario(client: Any) -> None:
        await client.get("/")
        timeout = httpx.Timeout(5, write=0.6)
        assert (await client.post("/", content=bytes(8_000_000), timeout=timeout)).text == "thanks"

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))


def test_the_write_timeout_holds_for_what_the_socket_does_not_take(any_engine: EngineDriver, go: threading.Event):
    """A body that was handed over whole, but not sent, waited for its response: without a read timeout, for ever."""

    def script(peer: FramePeer) -> None:
        peer.send(frames.window_update(0, 100_000_000), frames.settings({frames.INITIAL_WINDOW_SIZE: 100_000_000}))
        peer.answer(peer.request().stream, b"warm")
        go.wait(10)

    async def scenario(client: Any) -> None:
        await client.get("/")
        timeout = httpx.Timeout(None, write=0.3)
        with pytest.raises(httpx.WriteTimeout):
            await client.post("/", content=bytes(200_000), timeout=timeout)
        go.set()
        await settled(client)

    small = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)]
    with peer_of(script) as server:
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_608)
        kind = httpx.AsyncHTTPTransport if any_engine.is_async else httpx.HTTPTransport
        transport = kind(http1=False, http2=True, socket_options=small)
        any_engine.run(scenario, base_url=server.url, transport=transport, timeout=5)
