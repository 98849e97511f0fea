"""
Any number of requests of HTTP/2 at once, against any limit of the server, cold and warm: all succeed.

Not here: the bookkeeping (`test_sharing.py`), servers that others wrote (`conformance/test_nginx_bursts.py`).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any, Callable

import hpack
import pytest

import httpx
from httpx._protocol import frames
from httpx._protocol.frames import REFUSED_STREAM
from support import certs
from support.at_once import get, options, post, until_true
from support.depth import depth
from support.engines import EngineDriver, driver_named
from support.frame_reader import split
from support.http2 import FramePeer, StreamServer, frames_of, h2_context, prior
from support.leaks import counts_of, engines_of, settled
from support.servers import Conn, ScriptedServer
from support.steps import until
from support.together import together

pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.mark.parametrize("limit", depth((1, 3, 8, 32, 100), (1, 8, 100)))
@pytest.mark.parametrize("connections", [1, None])
def test_a_burst_against_a_limit(several: Any, limit: int, connections: int | None, tls: bool):
    """Until the server's limit was known 100 were sent: against a limit of 8 most of them were refused for good."""
    marks = [str(number) for number in range(120)]

    async def ask(client: Any) -> list[str]:
        return [(await client.get("/id", headers={"X-Id": mark})).text for mark in ("warm", "again")]

    with StreamServer(max_streams=limit, tls=tls, timeout=20) as server:
        run = several(server, limits=httpx.Limits(max_connections=connections), timeout=20)
        responses = run.run(*[get("/id", headers={"X-Id": mark}) for mark in marks], ask)
        assert server.most <= limit
        assert server.too_many == 0
    assert [getattr(each, "text", each) for each in responses] == [*marks, ["warm", "again"]]


@pytest.mark.parametrize("limit", [1, 8])
def test_a_burst_of_bodies_that_can_be_read_once(several: Any, limit: int):
    """What was refused for the limit could not be sent again."""
    driver = several(type("Nowhere", (), {"url": "http://localhost"})).driver
    bodies = [driver.body([b"%d" % number]) for number in range(40)]
    with StreamServer(max_streams=limit) as server:
        responses = several(server, timeout=20).run(*[post("/id", content=body) for body in bodies])
    assert [getattr(each, "text", each) for each in responses] == [f"-{number}" for number in range(40)]


class LatePeer(FramePeer):
    """A peer that says nothing before it has got so many requests; then it takes fewer, and refuses the others."""

    def __init__(self, conn: Conn, expected: int, limit: int) -> None:
        self.conn = conn
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        assert conn.read_exactly(len(frames.PREFACE)) == frames.PREFACE
        asked = self.requests(expected)
        self.send(
            frames.settings({frames.MAX_CONCURRENT_STREAMS: limit}),
            *[frames.reset(each.stream, REFUSED_STREAM) for each in asked[limit:]],
            *[self.whole(each.stream, b"ok") for each in asked[:limit]],
        )


def test_a_limit_that_became_lower_since_the_last_connection(several: Any):
    """What was remembered of the origin is too much by now: the refusals are free, and all are served in the end."""
    warm: list[bool] = []

    def first(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        stream = peer.request().stream
        peer.send(frames.goaway(stream, 0), peer.whole(stream, b"ok"))
        peer.rest()

    def second(conn: Conn, _: Any) -> None:
        LatePeer(conn, 10, 2).serve()

    async def ask(client: Any) -> str:
        if not warm:
            warm.append(False)
            for _ in range(2):
                await client.get("/")
            warm.append(True)
        await until_true(lambda: len(warm) == 2)
        return str((await client.get("/")).text)

    with ScriptedServer(frames_of(first), second) as server:
        run = several(server, limits=httpx.Limits(max_connections=1))
        assert run.run(*[ask] * 10) == ["ok"] * 10
        assert server.connections == 2


def test_a_burst_on_the_second_connection_to_a_server_that_takes_more_than_a_hundred(several: Any):
    """The pool gave 150 places and the machine 100: the next request tried without end, and the loop stood still."""
    warm: list[bool] = []

    def first(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        stream = peer.request().stream
        peer.send(frames.goaway(stream, 0), peer.whole(stream, b"ok"))
        peer.rest()

    def second(conn: Conn, _: Any) -> None:
        LatePeer(conn, 1, 200).serve()

    async def ask(client: Any) -> str:
        if not warm:
            warm.append(False)
            for _ in range(2):
                await client.get("/")
            warm.append(True)
        await until_true(lambda: len(warm) == 2)
        return str((await client.get("/")).text)

    values = {frames.MAX_CONCURRENT_STREAMS: 200}
    with ScriptedServer(frames_of(first, values), second) as server:
        run = several(server, limits=httpx.Limits(max_connections=1))
        assert run.run(*[ask] * 150) == ["ok"] * 150


def test_the_first_request_does_not_wait_for_settings(any_engine: EngineDriver):
    """A server may say nothing before it is asked."""

    def script(conn: Conn, _: Any) -> None:
        LatePeer(conn, 1, 1).serve()

    async def scenario(client: Any) -> None:
        for _ in range(2):
            assert (await client.get("/")).text == "ok"
        await settled(client)

    with ScriptedServer(script) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 1


# SETTINGS in one piece with something else.


def settings_with_finished(limit: int, handshakes: list[int]) -> Callable[[Conn, Any], None]:
    """A server of TLS 1.2 whose Finished and SETTINGS leave in one send; it refuses what is too much."""
    context = certs.server_context(alpn=("h2",))
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def script(conn: Conn, _: Any) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        def more() -> None:
            received = conn.recv()
            if not received:
                raise EOFError
            incoming.write(received)

        def say(*pieces: bytes) -> None:
            tls.write(b"".join(pieces))
            conn.sendall(outgoing.read())

        try:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    conn.sendall(outgoing.read())
                    more()
            say(frames.settings({frames.MAX_CONCURRENT_STREAMS: limit}))
            handshakes.append(1)
            unread, encoder = b"", hpack.Encoder()
            while True:
                try:
                    received = tls.read(65_536)
                except ssl.SSLWantReadError:
                    more()
                    continue
                if not received:
                    return
                unread += received
                unread = unread[len(frames.PREFACE) :] if unread.startswith(b"PRI") else unread
                found, unread = split(unread, 16_384)
                asked = [stream for kind, _, stream, _ in found if kind == frames.HEADERS]
                for stream in asked[limit:]:
                    say(frames.reset(stream, REFUSED_STREAM))
                for stream in asked[:limit]:
                    block = encoder.encode([(b":status", b"204")])
                    say(frames.header_block(stream, block, True, 16_384))
        except (EOFError, ssl.SSLError, OSError):
            pass

    return script


def test_settings_that_come_with_the_end_of_the_handshake_count(several: Any):
    """The pool went on believing 100: with a limit of 8, 8 of 16 requests were a LocalProtocolError."""
    handshakes: list[int] = []

    class Secure(ScriptedServer):
        url = property(lambda self: f"https://localhost:{self.port}")  # type: ignore[assignment]

    with Secure(settings_with_finished(8, handshakes)) as server:
        responses = several(server, limits=httpx.Limits(max_connections=1)).run(*[get()] * 32)
    assert [getattr(each, "status_code", each) for each in responses] == [204] * 32
    assert len(handshakes) == 1


# The end of a connection.


def test_after_the_last_stream_number_a_new_connection_is_made(several: Any):
    """It was a LocalProtocolError."""

    async def ask(client: Any) -> str:
        return str((await client.get("/id", headers={"X-Id": "x"})).text)

    async def exhaust(client: Any) -> str:
        await client.get("/id")
        (connection,) = engines_of(client)[0].pool.connections
        connection.multiplexer.session.machine._next_id = 2**31 - 1
        return " ".join([await ask(client), await ask(client), await ask(client)])

    with StreamServer() as server:
        assert several(server).run(exhaust) == ["x x x"]
        assert server.connections == 2


@pytest.mark.parametrize("says", ["nothing", "GOAWAY"])
def test_a_connection_that_ended_while_it_was_idle_is_replaced_if_it_never_took_a_request(
    any_engine: EngineDriver, says: str, tls: bool
):
    """Its first request was not legal, and the next one failed because the connection counted as a new one."""
    go, gone = threading.Event(), threading.Event()

    def idle(conn: Conn, _: Any) -> None:
        peer = FramePeer(conn)
        assert go.wait(5)
        if says == "GOAWAY":
            peer.send(frames.goaway(0, 0))
        conn.shutdown(socket.SHUT_WR)
        gone.set()
        peer.rest()

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.LocalProtocolError):
            await client.post("/", content=b"abc", headers={"Content-Length": "5"})
        go.set()
        assert gone.wait(5)
        assert (await client.post("/", content=b"once")).text == "ok"
        await settled(client)

    with ScriptedServer(idle, frames_of(FramePeer.serve), tls=h2_context("h2") if tls else None) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 2


def test_a_dial_that_was_overtaken_leaves_a_connection_that_may_end_while_it_is_idle(engine: EngineDriver):
    """It counted as a new one for ever: its end, long ago, was the error of the request that got it."""
    held, resolved, gone = threading.Event(), threading.Event(), threading.Event()
    lookups: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        lookups.append(host)
        if len(lookups) == 2:
            await until(resolved.is_set)
        return ["127.0.0.1"]

    def first(peer: FramePeer) -> None:
        stream = peer.request().stream
        assert held.wait(5)
        peer.answer(stream, b"first")
        peer.serve(b"second")

    def second(conn: Conn, _: Any) -> None:
        peer = FramePeer(conn)
        conn.shutdown(socket.SHUT_WR)
        gone.set()
        peer.rest()

    async def scenario(client: Any) -> None:
        async def overtake() -> str:
            await until(lambda: len(lookups) == 1 and len(engines_of(client)[0].pool.connections) == 1)
            return str((await client.post("/", content=b"2")).text)

        async def ask() -> str:
            return str((await client.post("/", content=b"1")).text)

        async def let_go() -> str:
            await until(lambda: len(lookups) == 2)
            held.set()
            return "-"

        assert await together([ask, overtake, let_go]) == ["first", "second", "-"]
        resolved.set()
        await until(lambda: not counts_of(client)[2] and gone.is_set())
        assert (await client.post("/", content=b"3")).text in ("second", "ok")
        await settled(client)

    values = {frames.MAX_CONCURRENT_STREAMS: 1}
    scripts = frames_of(first, values), second, frames_of(FramePeer.serve)
    with ScriptedServer(*scripts) as server:
        given = options(server, timeout=5)
        transport = engine.transport(http1=False, http2=True, resolver=resolver, dns_cache_ttl=0)
        url = server.url.replace("127.0.0.1", "localhost")
        engine.run(scenario, base_url=url, transport=transport, timeout=given["timeout"], trust_env=False)


@pytest.mark.parametrize("times", [1, 9])
def test_a_new_connection_that_says_goodbye_before_its_request_is_tried_again_a_few_times(
    any_engine: EngineDriver, times: int
):
    """The same GOAWAY a moment later, after the request was sent, was no error."""

    def away(peer: FramePeer) -> None:
        peer.send(frames.goaway(0, 0))
        peer.rest()

    async def scenario(client: Any) -> None:
        if times > 4:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/", content=b"once")
        else:
            assert (await client.post("/", content=b"once")).text == "ok"
        await settled(client)

    with ScriptedServer(*[frames_of(away)] * times, frames_of(FramePeer.serve)) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == min(times + 1, 4)


def test_what_an_idle_peer_said_and_its_end_are_both_seen_before_a_request_is_written(
    any_engine: EngineDriver, tls: bool
):
    """PING and FIN in one look: the connection was taken for good, and a POST failed on it."""
    spoke = threading.Event()

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"first")
        for _ in range(3):
            peer.send(frames.frame(frames.PING, 0, 0, bytes(8)))
            threading.Event().wait(0.01)

    def end(conn: Conn, recorded: Any) -> None:
        frames_of(script)(conn, recorded)
        conn.shutdown(socket.SHUT_WR)
        spoke.set()
        # A peer that is gone would reset the connection, and writing would fail.
        with contextlib.suppress(OSError):
            conn.sock.settimeout(5)
            conn.read_to_end()

    async def scenario(client: Any) -> None:
        assert (await client.get("/")).text == "first"
        assert spoke.wait(5)
        assert (await client.post("/", content=b"once")).text == "ok"
        await settled(client)

    with ScriptedServer(end, frames_of(FramePeer.serve), tls=h2_context("h2") if tls else None) as server:
        any_engine.run(scenario, **options(server))
        assert server.connections == 2


def test_a_connection_that_a_request_has_is_not_closed_for_having_been_idle():
    """asyncio: a stale idle time closed it under a request that had it and had not begun."""

    async def scenario(client: Any) -> None:
        await client.get("/id")
        (engine,) = engines_of(client)
        (connection,) = engine.pool.connections
        key = engine.pool._keys[connection]
        assert engine.pool.acquire(key, engine.now()) is connection
        multiplexer = connection.multiplexer
        await until(lambda: multiplexer._timer is None or multiplexer._idle_until is None)
        assert not connection.closed
        engine.pool.release(connection, True, engine.now())
        assert (await client.get("/id")).text == "-"

    with StreamServer() as server:
        limits = httpx.Limits(keepalive_expiry=0.05)
        driver_named("asyncio").run(scenario, **prior(server.url, limits=limits, timeout=0.2))
        assert server.connections == 1
