"""
Slow readers, fast downloads, bodies that are given up, and what traces and logs tell.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

import httpx
from httpx._engine import asyncio_connection
from support.engines import EngineDriver, driver_named
from support.leaks import counts_of, no_lost_exceptions, settled, trusting_context
from support.peer import PIECES, Peer, blackhole, stalling_tls
from support.servers import Conn, ScriptedServer
from support.steps import turns, until
from support.together import together

pytestmark = pytest.mark.usefixtures("leaves_nothing")

LOOPS = ("asyncio", "asyncio-fallback", "uvloop")


def run(engine: EngineDriver, scenario: Any, **options: Any) -> Any:
    async def main() -> Any:
        with no_lost_exceptions():
            options.setdefault("timeout", 5)
            async with engine.client(verify=trusting_context(), trust_env=False, **options) as client:
                outcome = await scenario(client)
                await settled(client)
            return outcome

    return engine.run_bare(main)


def large(size: int, chunked: bool = False) -> Any:
    """A script that answers with so many bytes, as fast as they are taken."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        if chunked:
            conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(size // 100_000):
                conn.sendall(b"186a0\r\n" + bytes(100_000) + b"\r\n")
            conn.sendall(b"0\r\n\r\n")
        else:
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        conn.read_to_end()

    return serve


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("chunked", [False, True])
def test_what_a_slow_reader_does_not_take_stays_with_the_peer(name: str, tls: bool, chunked: bool):
    """The harm: a consumer slower than the network filled the memory with the whole body."""
    from support import certs

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url) as response:
            connection = response.extensions["network_stream"]
            # Nobody reads, until nothing more is received.
            await until(lambda: connection._paused)
            await turns(50)
            body = response.stream
            held = sum(map(len, body._exchange.chunks))
            assert held <= asyncio_connection.HIGH_WATER + 2 * asyncio_connection.LARGE_READ
            size = 0
            async for piece in response.aiter_raw():
                size += len(piece)
            assert size == total
        assert counts_of(client) == (1, 1, 0, 0)

    total = 20_000_000
    with ScriptedServer(large(total, chunked), tls=certs.server_context() if tls else None) as server:
        run(driver_named(name), scenario)


def test_a_fast_download_lets_other_tasks_run(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        ticks = 0
        pieces = 0
        done = False

        async def tick() -> None:
            nonlocal ticks
            while not done:
                await turns()
                ticks += 1

        async def download() -> None:
            nonlocal pieces, done
            async with client.stream("GET", server.url) as response:
                async for _ in response.aiter_raw():
                    pieces += 1
            done = True

        await together([tick, download])
        assert ticks >= pieces / 4, (ticks, pieces)

    with ScriptedServer(large(30_000_000)) as server:
        run(engine, scenario)


def test_a_body_that_is_given_up_closes_its_connection(any_engine: EngineDriver, tls: bool):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", f"{peer.url}/stall") as response:
            async for _ in response.aiter_bytes():
                break
        assert counts_of(client) == (0, 0, 0, 0)
        async with client.stream("GET", f"{peer.url}/stall") as response:
            pass
        assert counts_of(client) == (0, 0, 0, 0)
        async with client.stream("GET", f"{peer.url}/echo"):
            pass  # it was there already, so nothing has to be given up
        assert counts_of(client)[0] <= 1

    with Peer(tls=tls) as peer:
        run(any_engine, scenario)


def test_a_response_that_was_closed_has_no_more_to_give(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", f"{peer.url}/pieces") as response:
            peer.more()
            pieces = response.aiter_raw()
            assert await pieces.__anext__() == PIECES[0]
            await response.aclose()
            with pytest.raises((httpx.StreamError, httpx.TransportError, StopAsyncIteration)):
                await pieces.__anext__()
        assert (await client.get(f"{peer.url}/echo", headers={"X-Id": "own"})).text == "own"

    with Peer() as peer:
        run(any_engine, scenario)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_is_cut_off_or_no_http_is_an_error(any_engine: EngineDriver, answer: bytes, tls: bool):
    from support import certs

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(answer)

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await client.get(server.url)
        assert caught.value.request.url == server.url
        assert counts_of(client) == (0, 0, 0, 0)

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_a_reset_in_the_middle_of_a_body_is_an_error(any_engine: EngineDriver):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        if conn.recv(1):
            conn.reset()

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url) as response:
            pieces = response.aiter_raw()
            assert await pieces.__anext__() == b"hello"
            response.extensions["network_stream"].wire.sock.send(b"x")
            with pytest.raises(httpx.ReadError) as caught:
                await pieces.__anext__()
            assert caught.value.request.url == server.url

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


def test_a_body_up_to_the_end_of_the_connection_and_trailers_arrive(any_engine: EngineDriver, tls: bool):
    from support import certs

    answers = [
        b"HTTP/1.1 200 OK\r\n\r\nall of it",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nall of it\r\n0\r\nX-Sum: 1\r\n\r\n",
    ]
    more = iter(answers * 2)

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        answer = next(more)
        head = answer.index(b"\r\n\r\n") + 4
        conn.sendall(answer[:head])
        conn.sendall(answer[head:])
        if tls:
            conn.close_notify()  # without it the body up to the end could be incomplete

    async def scenario(client: Any) -> None:
        for number in range(4):
            if number < 2:
                response = await client.get(server.url)
            else:
                async with client.stream("GET", server.url) as response:
                    await response.aread()
            assert response.text == "all of it"
            if number % 2:
                assert response.extensions["trailers"] == [(b"X-Sum", b"1")]

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_interim_answers_are_kept(any_engine: EngineDriver):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        conn.sendall(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")

    async def scenario(client: Any) -> None:
        response = await client.get(server.url)
        assert response.status_code == 204
        assert response.extensions["informational"] == [(103, [(b"Link", b"</a>")]), (102, [])]

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


# Errors of the caller touch no connection, or give it back.


def test_what_is_no_legal_request_takes_no_connection(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.LocalProtocolError):
            await client.get(f"{peer.url}/echo", extensions={"target": b"/with space"})
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://localhost/")
        assert counts_of(client) == (0, 0, 0, 0)

    with Peer() as peer:
        run(any_engine, scenario)


def test_a_body_that_fails_gives_its_connection_up(any_engine: EngineDriver):
    class Broken(Exception):
        pass

    async def scenario(client: Any) -> None:
        def broken() -> Any:
            yield b"one"
            raise Broken

        with pytest.raises(Broken):
            await client.post(f"{peer.url}/echo", content=broken())
        with pytest.raises(httpx.LocalProtocolError, match="longer"):
            await client.post(f"{peer.url}/echo", content=any_engine.body([b"abc"]), headers={"Content-Length": "1"})
        with pytest.raises(httpx.LocalProtocolError, match="shorter"):
            await client.post(f"{peer.url}/echo", content=any_engine.body([b"a"]), headers={"Content-Length": "3"})
        assert counts_of(client) == (0, 0, 0, 0)

    with Peer() as peer:
        run(any_engine, scenario)


def test_a_trace_callback_that_fails_gives_the_connection_up(any_engine: EngineDriver):
    class Broken(Exception):
        pass

    async def scenario(client: Any) -> None:
        names: list[str] = []

        def learn(event: str, info: Any) -> None:
            names.append(event)

        await client.get(f"{peer.url}/echo", extensions={"trace": learn})
        for name in list(names):

            def fail(event: str, info: Any, name: str = name) -> None:
                if event == name:
                    raise Broken

            async with any_engine.client(verify=trusting_context(), trust_env=False) as other:
                with pytest.raises(Broken):
                    await other.get(f"{peer.url}/echo", extensions={"trace": fail})
                opened, idle, dials, waiting = counts_of(other)
                assert (opened, dials, waiting) == (idle, 0, 0), name

    with Peer(tls=True) as peer:
        run(any_engine, scenario)


# What is told.

EVENTS = [
    "connection.connect_tcp.started",
    "connection.connect_tcp.complete",
    "http11.send_request_headers.started",
    "http11.send_request_headers.complete",
    "http11.send_request_body.started",
    "http11.send_request_body.complete",
    "http11.receive_response_headers.started",
    "http11.receive_response_headers.complete",
    "http11.receive_response_body.started",
    "http11.receive_response_body.complete",
    "http11.response_closed.started",
    "http11.response_closed.complete",
]
TLS_EVENTS = [*EVENTS[:2], "connection.start_tls.started", "connection.start_tls.complete", *EVENTS[2:]]


@pytest.mark.parametrize("kind", ["get", "stream", "post", "pieces"])
def test_a_trace_tells_every_step_in_its_order(any_engine: EngineDriver, tls: bool, kind: str):
    async def scenario(client: Any) -> None:
        told: list[str] = []

        def trace(event: str, info: dict[str, Any]) -> None:
            told.append(event)
            if event.endswith("receive_response_headers.complete"):
                version, status, reason, fields = info["return_value"]
                assert (version, status, reason) == (b"HTTP/1.1", 200, b"OK")
                assert isinstance(fields, list)

        async def later(event: str, info: dict[str, Any]) -> None:
            trace(event, info)
            await turns()

        for callback in (trace, later) if any_engine.is_async else (trace,):
            told.clear()
            options: dict[str, Any] = {"extensions": {"trace": callback}}
            if kind == "get":
                await client.get(f"{peer.url}/close", **options)
            elif kind == "post":
                await client.post(f"{peer.url}/close", content=b"abc", **options)
            elif kind == "pieces":
                await client.post(f"{peer.url}/close", content=any_engine.body([b"a", b"b"]), **options)
            else:
                for _ in range(4):
                    peer.more()
                async with client.stream("GET", f"{peer.url}/pieces", **options) as response:
                    await response.aread()
                await client.get(f"{peer.url}/close")
            assert told == (TLS_EVENTS if tls else EVENTS)

    with Peer(tls=tls) as peer:
        run(any_engine, scenario)


@pytest.mark.parametrize(
    ("path", "failed"),
    [("silent", "receive_response_headers"), ("stall", "receive_response_body"), ("unread", "send_request_body")],
)
def test_a_trace_tells_what_failed(any_engine: EngineDriver, path: str, failed: str):
    async def scenario(client: Any) -> None:
        told: dict[str, Any] = {}
        with pytest.raises(httpx.TimeoutException) as caught:
            await client.post(
                f"{peer.url}/{path}",
                content=any_engine.body([bytes(8_000_000)]) if path == "unread" else b"",
                timeout=httpx.Timeout(5, read=0.03, write=0.03),
                extensions={"trace": told.__setitem__},
            )
        assert f"http11.{failed}.failed" in told
        assert isinstance(told[f"http11.{failed}.failed"]["exception"], (type(caught.value), GeneratorExit))
        peer.let_go()

    with Peer() as peer:
        run(any_engine, scenario)


@pytest.mark.parametrize("what", ["connect_tcp", "start_tls"])
def test_a_trace_tells_of_a_connection_that_was_not_made(any_engine: EngineDriver, what: str):
    async def scenario(client: Any) -> None:
        told: dict[str, Any] = {}
        options: dict[str, Any] = {"timeout": 0.03, "extensions": {"trace": told.__setitem__}}
        with blackhole() as (host, port), stalling_tls(0) as peer:
            url = f"http://{host}:{port}/" if what == "connect_tcp" else f"https://127.0.0.1:{peer.port}/"
            with pytest.raises((httpx.ConnectTimeout, httpx.ConnectError)):
                await client.get(url, **options)
        assert f"connection.{what}.failed" in told
        assert f"connection.{what}.complete" not in told

    run(any_engine, scenario)


def test_the_loggers_of_0_28_tell_the_same(any_engine: EngineDriver, tls: bool, caplog: pytest.LogCaptureFixture):
    secret = "s3cr3t"

    async def scenario(client: Any) -> None:
        await client.get(f"{peer.url}/close", headers={"Authorization": secret})

    with Peer(tls=tls) as peer, caplog.at_level(logging.DEBUG, "httpcore"):
        run(any_engine, scenario)
    told = [
        f"{record.name.partition('.')[2]}.{record.getMessage().split(' ')[0]}"
        for record in caplog.records
        if record.name.startswith("httpcore.")
    ]
    assert told == (TLS_EVENTS if tls else EVENTS)
    assert secret not in caplog.text


def test_a_logger_for_connections_only_tells_of_connections_only(
    any_engine: EngineDriver, caplog: pytest.LogCaptureFixture
):
    async def scenario(client: Any) -> None:
        await client.get(f"{peer.url}/echo")
        await client.get(f"{peer.url}/echo")

    with Peer() as peer, caplog.at_level(logging.DEBUG, "httpcore.connection"):
        run(any_engine, scenario)
    assert [record.getMessage().split(" ")[0] for record in caplog.records if record.name.startswith("httpcore")] == [
        "connect_tcp.started",
        "connect_tcp.complete",
    ]


def test_what_is_no_tls_in_the_middle_of_an_answer_is_an_error(any_engine: EngineDriver):
    import socket

    from support import certs

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        assert more.wait(5)
        socket.socket.sendall(conn.sock, b"this is no TLS record at all")
        conn.read_to_end()

    async def scenario(client: Any) -> None:
        more.clear()
        async with client.stream("GET", server.url) as response:
            pieces = response.aiter_raw()
            assert await pieces.__anext__() == b"hello"
            more.set()
            with pytest.raises(httpx.ReadError):
                await pieces.__anext__()
        assert counts_of(client) == (0, 0, 0, 0)

    import threading

    more = threading.Event()
    with ScriptedServer(serve, tls=certs.server_context()) as server:
        run(any_engine, scenario)


def test_a_stream_of_the_callers_own_is_closed_when_it_is_given_up(engine: EngineDriver):
    """As `AsyncByteStream` says: `aclose` is called once the body is given up, and its generator is ended before."""
    ended: list[str] = []

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            try:
                while True:
                    yield bytes(100_000)
            finally:
                ended.append("generator")

        async def aclose(self) -> None:
            ended.append("stream")

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.WriteTimeout):
            await client.post(f"{peer.url}/unread", content=Body(), timeout=httpx.Timeout(5, write=0.02))
        assert ended == ["generator", "stream"]
        peer.let_go()

    with Peer() as peer:
        run(engine, scenario)
