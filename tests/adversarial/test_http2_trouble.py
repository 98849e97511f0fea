"""
What goes wrong on a connection of HTTP/2 that several requests share: who suffers, who goes on, who is sent again.

Frames that no peer may send are in `test_http2_hostile.py`, against the machine alone; a few of them are here, to see
that what it says comes out of each engine.
"""

from __future__ import annotations

import threading
from typing import Any, Callable

import pytest

import httpx
from httpx._protocol import frames
from httpx._protocol.frames import CANCEL, NO_ERROR, REFUSED_STREAM
from support.at_once import get, options, post, until_true
from support.engines import EngineDriver, driver_named
from support.http2 import Asked, FramePeer, StreamServer, data, frames_of, h2_context, trusted
from support.leaks import counts_of, engines_of, nothing_left, settled
from support.peer import blackhole
from support.servers import ScriptedServer

pytestmark = pytest.mark.usefixtures("leaves_nothing")

SHORT = 0.03  # seconds


def peer_of(*scripts: Callable[[FramePeer], object], **options: Any) -> ScriptedServer:
    return ScriptedServer(*[frames_of(script) for script in scripts], **options)


# Timeouts.


def read_timeout(path: str, **timeout: Any) -> Callable[[Any], Any]:
    return get(path, timeout=httpx.Timeout(5, read=SHORT, **timeout))


def test_a_read_timeout_resets_its_stream_and_nothing_else(any_engine: EngineDriver, tls: bool):
    async def scenario(client: Any) -> None:
        await client.get("/id")
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/silent", timeout=httpx.Timeout(5, read=SHORT))
        await trusted(client)
        assert (await client.get("/id", headers={"X-Id": "next"})).text == "next"
        await settled(client)

    with StreamServer(tls=tls) as server:
        any_engine.run(scenario, **options(server))
    assert server.connections == 1
    assert server.resets == [(3, CANCEL)]


def test_a_total_timeout_says_so(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ReadTimeout, match=r"total timeout of 0\.03"):
            await client.get("/silent", timeout=httpx.Timeout(5, total=SHORT))
        await settled(client)

    with StreamServer() as server:
        any_engine.run(scenario, **options(server))
    assert server.resets == [(1, CANCEL)]


def test_a_total_timeout_ends_an_answer_that_never_ends(any_engine: EngineDriver):
    """Each piece is progress for the read timeout."""

    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.send(peer.head(asked.stream))
        try:
            while True:
                peer.send(data(asked.stream, b"more"))
                threading.Event().wait(0.001)
        except OSError:
            pass

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ReadTimeout, match="total"):
            await client.get("/", timeout=httpx.Timeout(5, total=0.1))

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))


def test_a_total_timeout_ends_an_upload_whose_producer_never_ends(any_engine: EngineDriver):
    def pieces() -> Any:
        while True:
            threading.Event().wait(0.001)
            yield b"x"

    async def later() -> Any:
        for piece in pieces():
            yield piece

    async def scenario(client: Any) -> None:
        content = later() if any_engine.is_async else pieces()
        with pytest.raises(httpx.WriteTimeout, match="total"):
            await client.post("/digest", content=content, timeout=httpx.Timeout(5, total=0.1))
        await settled(client)

    with StreamServer() as server:
        any_engine.run(scenario, **options(server))


def test_interim_answers_do_not_extend_the_time_to_wait(any_engine: EngineDriver):
    def script(peer: FramePeer) -> None:
        asked = peer.request()
        try:
            while True:
                peer.send(peer.head(asked.stream, 102))
                threading.Event().wait(0.005)
        except OSError:
            pass

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=httpx.Timeout(5, read=0.1))
        await settled(client)

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))


def test_a_write_timeout_is_one_of_a_peer_that_opens_no_window(any_engine: EngineDriver, tls: bool):
    def script(peer: FramePeer) -> None:
        asked = peer.request()
        assert peer.resets() == [(asked.stream, CANCEL)]
        peer.serve()

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.WriteTimeout):
            await client.post("/", content=bytes(1_000_000), timeout=httpx.Timeout(5, write=SHORT))
        await trusted(client)
        assert (await client.get("/")).text == "ok"
        await settled(client)

    with ScriptedServer(frames_of(script), tls=h2_context("h2") if tls else None) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 1


def test_a_write_timeout_is_one_of_a_peer_that_does_not_read(any_engine: EngineDriver):
    """Then not even RST_STREAM gets through, and the connection is of no use to anybody."""
    go = threading.Event()

    def script(peer: FramePeer) -> None:
        peer.send(frames.window_update(0, 100_000_000), frames.window_update(1, 100_000_000))
        go.wait(5)

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.WriteTimeout):
            await client.post("/", content=bytes(30_000_000), timeout=httpx.Timeout(5, write=0.1))
        await settled(client)
        go.set()

    def open_first(peer: FramePeer) -> None:
        peer.request()
        script(peer)

    with peer_of(open_first) as server:
        any_engine.run(scenario, **options(server))


def test_a_pool_timeout_is_one_of_a_full_connection(several: Any):
    async def hold(client: Any) -> Any:
        response = await client.get("/held")
        return response.text

    async def wait(client: Any) -> Any:
        await until_held(server)
        # Before the server's limit is known, a request waits as for a dial.
        await until_true(lambda: not any(engine.pool._probing for engine in engines_of(client)))
        try:
            return await client.get("/id", timeout=httpx.Timeout(5, pool=SHORT))
        finally:
            server.let_go()

    with StreamServer(max_streams=1) as server:
        held, timed_out = several(server, limits=httpx.Limits(max_connections=1)).run(hold, wait)
    assert held == "-"
    assert isinstance(timed_out, httpx.PoolTimeout)


async def until_held(server: StreamServer, number: int = 1) -> None:
    """Until the server holds so many requests."""
    await until_true(lambda: held_count(server) == number)


def test_who_waits_for_a_dial_that_hangs_does_not_blame_the_pool(several: Any):
    """It was a PoolTimeout as soon as the pool timeout was over, although there was all the room in the world."""
    with blackhole() as (host, port):

        class Nowhere:
            url = f"https://{host}:{port}"

        timeout = httpx.Timeout(0.2, pool=0.05)
        results = several(Nowhere, timeout=timeout).run(*[get()] * 3)
    assert [type(result) for result in results] == [httpx.ConnectTimeout] * 3


# The peer goes away.


def test_after_goaway_what_was_begun_ends_and_what_comes_next_goes_elsewhere(any_engine: EngineDriver, tls: bool):
    async def scenario(client: Any) -> None:
        for number in range(3):
            response = await client.get("/close", headers={"X-Id": str(number)})
            assert response.text == str(number)
        await settled(client)

    with StreamServer(tls=tls) as server:
        any_engine.run(scenario, **options(server))
        assert [number for number, *_ in server.asked] == [1, 2, 3]


@pytest.mark.parametrize("send", [get(), post()], ids=["GET", "POST"])
def test_goaway_replays_exactly_what_was_not_processed(several: Any, send: Callable[[Any], Any]):
    """Three streams, the last one processed is the first: the two others are sent again, whatever they are."""
    first_asked: list[Asked] = []
    again: list[Asked] = []

    def script(peer: FramePeer) -> None:
        while len(first_asked) < 3:
            kind, _, stream, block = peer.frame()
            if kind == frames.HEADERS:
                first_asked.append(Asked(stream, peer._decoder.decode(block, raw=True), False))
        peer.send(frames.goaway(1, NO_ERROR), peer.whole(1, b"first connection"))
        peer.rest()

    def second(peer: FramePeer) -> None:
        for _ in range(2):
            asked = peer.request()
            again.append(asked)
            if not asked.ended:
                assert peer.body() == b"body"
            peer.answer(asked.stream, b"second connection")
        peer.rest()

    with peer_of(script, second) as server:
        responses = several(server).run(send, send, send)
        assert server.connections == 2
    assert sorted(response.text for response in responses) == ["first connection"] + ["second connection"] * 2
    assert len(again) == 2


def test_goaway_does_not_replay_a_body_that_is_gone(any_engine: EngineDriver):
    def script(peer: FramePeer) -> None:
        peer.request()
        peer.send(frames.goaway(0, NO_ERROR))
        peer.rest()

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError, match="goes away"):
            await client.post("/", content=any_engine.body([b"once"]))
        await settled(client)

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 1


@pytest.mark.parametrize("how", ["goaway", "refused"])
def test_replays_end_where_every_connection_refuses(any_engine: EngineDriver, how: str):
    def script(peer: FramePeer) -> None:
        while True:
            try:
                asked = peer.request()
            except AssertionError:
                return
            if how == "goaway":
                peer.send(frames.goaway(0, NO_ERROR))
            else:
                peer.send(frames.reset(asked.stream, REFUSED_STREAM))

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError, match=r"goes away|REFUSED_STREAM"):
            await client.get("/")
        await settled(client)

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == (4 if how == "goaway" else 1)


@pytest.mark.parametrize("send", [get(), post()], ids=["GET", "POST"])
def test_a_refused_stream_is_sent_again(any_engine: EngineDriver, send: Callable[[Any], Any]):
    def script(peer: FramePeer) -> None:
        peer.send(frames.reset(peer.request().stream, REFUSED_STREAM))
        peer.serve(b"second try")

    async def scenario(client: Any) -> None:
        assert (await send(client)).text == "second try"
        await settled(client)

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))


def test_a_stream_that_was_reset_for_another_reason_is_not_sent_again(any_engine: EngineDriver):
    seen = []

    def script(peer: FramePeer) -> None:
        asked = peer.request()
        seen.append(asked)
        peer.send(frames.reset(asked.stream, frames.INTERNAL_ERROR))
        peer.serve()

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError, match="INTERNAL_ERROR"):
            await client.get("/")
        assert (await client.get("/")).text == "ok"
        await settled(client)

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 1
    assert len(seen) == 1


def test_a_reset_in_the_middle_of_a_body_is_an_error_of_that_response(any_engine: EngineDriver):
    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.send(
            peer.head(asked.stream), data(asked.stream, b"half"), frames.reset(asked.stream, frames.INTERNAL_ERROR)
        )
        peer.serve()

    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/") as response:
            with pytest.raises(httpx.RemoteProtocolError, match="INTERNAL_ERROR"):
                await response.aread()
        assert (await client.get("/")).text == "ok"
        await settled(client)

    with peer_of(script) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 1


def lose_ten(peer: FramePeer, warm: bool, hard: bool) -> None:
    if warm:
        peer.answer(peer.request().stream, b"warm")
    asked = []
    while len(asked) < 10:
        kind, _, stream, _ = peer.frame()
        if kind == frames.HEADERS:
            asked.append(stream)
    peer.send(peer.head(asked[0]), data(asked[0], b"half"))
    if hard:
        peer.conn.reset()


@pytest.mark.parametrize("hard", [False, True], ids=["closed", "reset"])
def test_of_ten_requests_on_a_connection_that_is_lost_only_those_that_did_nothing_are_sent_again(
    several: Any, hard: bool
):
    """It had served others before, so a lost connection says nothing about these."""
    warmed = threading.Event()

    async def warm_up(client: Any) -> Any:
        response = await client.get("/")
        warmed.set()
        return response

    def warm(send: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def whole(client: Any) -> Any:
            await until_true(warmed.is_set)
            return await send(client)

        return whole

    with peer_of(lambda peer: lose_ten(peer, True, hard), FramePeer.serve) as server:
        warm_response, *results = several(server).run(warm_up, *[warm(get())] * 5, *[warm(post())] * 5)
        assert server.connections == 2
    assert warm_response.text == "warm"
    gets, posts = results[:5], results[5:]
    errors = [one for one in results if isinstance(one, Exception)]
    assert all(isinstance(one, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)) for one in errors)
    # One of the ten had half of its answer, and is an error, too.
    assert [isinstance(one, Exception) for one in posts] == [True] * 5
    assert sum(isinstance(one, Exception) for one in gets) in (0, 1)
    assert {one.text for one in gets if not isinstance(one, Exception)} == {"ok"}


def test_on_a_new_connection_that_is_lost_nothing_is_sent_again(several: Any):
    with peer_of(lambda peer: lose_ten(peer, False, False), FramePeer.serve) as server:
        results = several(server).run(*[get()] * 10)
        assert server.connections == 1
    assert all(isinstance(one, (httpx.RemoteProtocolError, httpx.ReadError)) for one in results)


# How many at once.


def test_three_hundred_requests_share_one_connection_with_a_limit(several: Any):
    with StreamServer(max_streams=7) as server:
        run = several(server, limits=httpx.Limits(max_connections=1), timeout=30)
        count = 300 if run.driver.is_async else 40
        responses = run.run(*[get("/id", headers={"X-Id": f"n{number}"}) for number in range(count)])
        assert [response.text for response in responses] == [f"n{number}" for number in range(count)]
        assert server.connections == 1


# The ninth may be on the second connection as well, before its server has said how many it takes there.
@pytest.mark.parametrize(("number", "connections"), [(4, {1}), (5, {2}), (9, {2, 3})])
def test_another_connection_is_made_only_when_those_there_are_full(several: Any, number: int, connections: set[int]):
    warmed = threading.Event()

    async def warm_up(client: Any) -> None:
        await client.get("/id")  # the server says how many it takes
        warmed.set()
        await until_held(server, number)
        server.let_go()

    async def hold(client: Any) -> Any:
        await until_true(warmed.is_set)
        return await client.get("/held")

    with StreamServer(max_streams=4) as server:
        results = several(server).run(warm_up, *[hold] * number)
        assert [response.text for response in results[1:]] == ["-"] * number
        assert server.connections in connections


def held_count(server: StreamServer) -> int:
    return sum(path == "/held" for _, _, path, _ in server.asked)


def test_a_limit_that_rises_lets_those_go_on_who_wait(several: Any):
    """While the first request is answered late: nobody but its own thread listens, and that one has no use for it."""
    raised = frames.settings({frames.MAX_CONCURRENT_STREAMS: 10})

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        first = peer.request()
        peer.send(raised)
        for _ in range(3):
            peer.answer(peer.request().stream, b"went on")
        peer.answer(first.stream, b"late")
        peer.rest()

    with ScriptedServer(frames_of(script, {frames.MAX_CONCURRENT_STREAMS: 1})) as server:
        run = several(server, limits=httpx.Limits(max_connections=1), timeout=5)
        results = run.run(*[get()] * 5)
        assert server.connections == 1
    assert sorted(response.text for response in results) == ["late", "warm", *["went on"] * 3]


def test_a_limit_that_falls_lets_those_end_who_have_begun(several: Any):
    lowered = frames.settings({frames.MAX_CONCURRENT_STREAMS: 1})

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        begun = peer.requests(3)
        peer.send(lowered)
        for asked in begun:
            peer.answer(asked.stream, b"begun")
        for _ in range(2):
            peer.answer(peer.request().stream, b"after")
        peer.rest()

    with ScriptedServer(frames_of(script, {frames.MAX_CONCURRENT_STREAMS: 3})) as server:
        run = several(server, limits=httpx.Limits(max_connections=1), timeout=5)
        results = run.run(*[get()] * 6)
        assert server.connections == 1
    assert all(isinstance(each, httpx.Response) or each.text for each in results)


def test_more_begin_than_a_new_server_takes_and_those_that_it_refuses_are_sent_again(several: Any):
    """Requests do not wait for the server's first SETTINGS; what they say comes too late for some."""
    with StreamServer(max_streams=3) as server:
        run = several(server, limits=httpx.Limits(max_connections=1), timeout=10)
        responses = run.run(*[get("/id", headers={"X-Id": f"n{number}"}) for number in range(20)])
        assert [response.text for response in responses] == [f"n{number}" for number in range(20)]
        assert server.connections == 1
        assert server.too_many <= 17


def test_where_http1_is_agreed_requests_dial_side_by_side(several: Any):
    """They wait for the first dial, which might have been for all of them, and not for each other's."""
    barrier = threading.Barrier(5, timeout=5)

    def script(conn: Any, _: Any) -> None:
        conn.read_request()
        barrier.wait()  # all are there at once
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        conn.read_to_end()

    from support import certs

    with ScriptedServer(script, tls=certs.server_context()) as server:
        responses = several(server).run(*[get()] * 5)
        assert [(response.text, response.http_version) for response in responses] == [("ok", "HTTP/1.1")] * 5
        assert server.connections == 5


# Hostile frames, through the engines.

HOSTILE = {
    "a flood of pings": lambda stream: frames.frame(frames.PING, 0, 0, bytes(8)) * 20_000,
    "a flood of settings": lambda stream: frames.settings({}) * 20_000,
    "a flood of empty data": lambda stream: (
        frames.header_block(stream, b"\x88", False, 16_384) + frames.frame(frames.DATA, 0, stream) * 20_000
    ),
    "a frame that is too large": lambda stream: frames.frame(frames.DATA, 0, stream, bytes(16_385)),
    "a push": lambda stream: frames.frame(frames.PUSH_PROMISE, 4, stream, b"\0\0\0\2\x88"),
    "a window that overflows": lambda stream: frames.window_update(0, 2**31 - 1) * 2,
    "a header block that cannot be decoded": lambda stream: frames.frame(frames.HEADERS, 4, stream, b"\xff" * 20),
    "a stream that was never opened": lambda stream: frames.frame(frames.DATA, 0, stream + 2, b"x"),
    "headers in upper case": lambda stream: frames.frame(frames.HEADERS, 5, stream, b"\x88\x00\x01A\x01b"),
    "no status": lambda stream: frames.frame(frames.HEADERS, 5, stream, b"\x00\x01a\x01b"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_peer_ends_in_a_protocol_error(any_engine: EngineDriver, attack: str):
    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.send(HOSTILE[attack](asked.stream))
        peer.rest()

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")
        await settled(client)
        opened, idle, *_ = counts_of(client)
        assert opened == idle

    with peer_of(script, timeout=10) as server:
        any_engine.run(scenario, **options(server))


def test_a_peer_that_speaks_while_the_connection_is_idle_is_heard(any_engine: EngineDriver):
    """SETTINGS and PING between requests, and GOAWAY: the next request knows of them."""

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"first")
        peer.send(frames.settings({frames.MAX_FRAME_SIZE: 20_000}), frames.frame(frames.PING, 0, 0, bytes(8)))
        peer.send(frames.goaway(1, NO_ERROR))
        spoke.set()
        peer.rest()

    spoke = threading.Event()

    async def scenario(client: Any) -> None:
        assert (await client.get("/")).text == "first"
        assert spoke.wait(5)
        assert (await client.post("/")).text == "ok"
        await settled(client)

    with peer_of(script, FramePeer.serve) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 2


# Closing.


def test_a_client_that_is_closed_ends_the_requests_in_flight(several: Any):
    async def close(client: Any) -> Any:
        await until_held(server, 4)
        await client.aclose()

    with StreamServer() as server:
        run = several(server, timeout=5)
        _, *results = run.run(close, *[get("/held")] * 4)
    for result in results:
        assert isinstance(result, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)), result


def test_a_connection_of_http2_in_two_loops_is_two(tls: bool):
    async def scenario(client: Any) -> None:
        assert (await client.get("/id")).http_version == "HTTP/2"

    with StreamServer(tls=tls) as server:
        transport = httpx.AsyncHTTPTransport(
            **{key: value for key, value in options(server).items() if key in ("http1", "http2", "verify")}
        )

        class Kept(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return await transport.handle_async_request(request)

        for _ in range(2):
            driver_named("asyncio").run(scenario, base_url=server.url, transport=Kept())
        assert server.connections == 2

        async def end() -> None:
            await transport.aclose()

        driver_named("asyncio").run_bare(end)


def test_nothing_of_a_broken_upload_is_left_in_the_engine(any_engine: EngineDriver):
    """The multiplexer forgets streams that are over, however they ended."""

    async def scenario(client: Any) -> None:
        for _ in range(5):
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/silent", timeout=httpx.Timeout(5, read=0.005))
            async with client.stream("GET", "/bytes/5000000") as response:
                async for _ in response.aiter_raw():
                    break
            await client.get("/id")
        (engine,) = engines_of(client)
        (connection,) = engine.pool.connections
        multiplexer = connection.multiplexer
        assert not multiplexer.session.machine.streams
        assert not multiplexer.waiting
        assert not multiplexer.session.news
        await settled(client)

    with nothing_left(), StreamServer() as server:
        any_engine.run(scenario, **options(server))
