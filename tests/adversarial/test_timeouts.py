"""
Time runs out in every phase of a request: the right exception, with the request, and nothing left behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import httpx
from support.engines import EngineDriver
from support.leaks import counts_of, no_lost_exceptions, nothing_left, settled, trusting_context
from support.peer import Peer, blackhole, stalling_tls
from support.servers import Conn, ScriptedServer

SHORT = 0.03  # seconds
LONG = 5.0  # seconds; never waited for
FAR_TOO_LONG = 2.0  # seconds

ONE = httpx.Limits(max_connections=1)


def client_of(engine: EngineDriver, **options: Any) -> Any:
    if "transport" not in options:
        options["verify"] = trusting_context()
    return engine.client(trust_env=False, **options)


def run(engine: EngineDriver, scenario: Callable[[Any, Peer], Any], tls: bool = False, **options: Any) -> Any:
    """What the scenario raises; and afterwards nothing is in use, and the client goes on working."""

    async def main() -> Any:
        with Peer(tls=tls) as peer, no_lost_exceptions():
            async with client_of(engine, **options) as client:
                error: Any = None
                try:
                    await scenario(client, peer)
                except httpx.TransportError as exc:
                    error = exc
                assert error is not None, "it did not time out"
                assert isinstance(error.request, httpx.Request)
                peer.let_go()
                await settled(client)
                answer = await client.get(f"{peer.url}/echo", headers={"X-Id": "after"}, timeout=LONG)
                assert answer.text == "after"
                assert counts_of(client) == (1, 1, 0, 0)
            return error

    with nothing_left():
        started = time.monotonic()
        error = engine.run_bare(main)
        assert time.monotonic() - started < FAR_TOO_LONG
    return error


def only(phase: str) -> httpx.Timeout:
    """A short timeout for one phase, and a long one for all others."""
    return httpx.Timeout(LONG, total=SHORT) if phase == "total" else httpx.Timeout(LONG, **{phase: SHORT})


PHASES = {
    "silent": ("read", httpx.ReadTimeout),
    "half": ("read", httpx.ReadTimeout),
    "stall": ("read", httpx.ReadTimeout),
    "unread": ("write", httpx.WriteTimeout),
}


@pytest.mark.parametrize("total", [False, True], ids=["own", "total"])
@pytest.mark.parametrize("path", PHASES)
def test_a_peer_that_stops_is_given_up(any_engine: EngineDriver, path: str, total: bool, tls: bool):
    phase, kind = PHASES[path]

    async def request(client: Any, peer: Peer) -> None:
        content = bytes(8_000_000) if path == "unread" else None
        await client.request("POST", f"{peer.url}/{path}", content=content, timeout=only("total" if total else phase))

    error = run(any_engine, request, tls)
    assert type(error) is kind
    assert ("total timeout" if total else f"{phase} timeout") in str(error)


@pytest.mark.parametrize("total", [False, True], ids=["own", "total"])
def test_a_body_of_pieces_that_is_not_taken_is_given_up(any_engine: EngineDriver, total: bool, tls: bool):
    """The harm: a timed-out upload left the caller's generator suspended, with whatever it held open."""
    ended = []

    def pieces() -> Iterator[bytes]:
        try:
            for _ in range(80):
                yield bytes(100_000)
        finally:
            ended.append("sync")

    async def async_pieces() -> Any:
        try:
            for piece in pieces():
                yield piece
        finally:
            ended.append("async")

    async def request(client: Any, peer: Peer) -> None:
        content = async_pieces() if any_engine.is_async else pieces()
        await client.post(f"{peer.url}/unread", content=content, timeout=only("total" if total else "write"))

    assert type(run(any_engine, request, tls)) is httpx.WriteTimeout
    assert ("async" if any_engine.is_async else "sync") in ended


@pytest.mark.parametrize("phase", ["connect", "total"])
def test_an_address_that_never_answers_is_given_up(any_engine: EngineDriver, phase: str):
    with blackhole() as (host, port):

        async def request(client: Any, peer: Peer) -> None:
            await client.get(f"http://{host}:{port}/", timeout=only(phase))

        error = run(any_engine, request)
    assert type(error) is httpx.ConnectTimeout
    assert "1 of 1 addresses tried" in str(error)


@pytest.mark.parametrize("phase", ["connect", "total"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_tls_handshake_that_stops_is_given_up(any_engine: EngineDriver, phase: str, share: float):
    async def request(client: Any, peer: Peer) -> None:
        with stalling_tls(share) as server:
            await client.get(f"https://127.0.0.1:{server.port}/", timeout=only(phase))

    error = run(any_engine, request)
    assert type(error) is httpx.ConnectTimeout
    assert "TLS" in str(error)


@pytest.mark.parametrize("phase", ["pool", "total"])
def test_a_connection_that_does_not_become_free_is_not_waited_for(any_engine: EngineDriver, phase: str):
    async def request(client: Any, peer: Peer) -> None:
        async with client.stream("GET", f"{peer.url}/stall"):
            await client.get(f"{peer.url}/echo", timeout=only(phase))

    error = run(any_engine, request, limits=ONE)
    assert type(error) is httpx.PoolTimeout
    assert f"{phase} timeout" in str(error)


def test_the_total_timeout_ends_the_pause_between_attempts_to_connect(any_engine: EngineDriver):
    async def request(client: Any, peer: Peer) -> None:
        transport = any_engine.transport(retries=10)
        async with client_of(any_engine, transport=transport) as other:
            await other.get("http://127.0.0.1:9/", timeout=only("total"))

    error = run(any_engine, request)
    assert isinstance(error, (httpx.ConnectTimeout, httpx.ConnectError))


def test_the_total_timeout_is_shorter_than_the_patience_for_a_100(any_engine: EngineDriver):
    async def request(client: Any, peer: Peer) -> None:
        await client.post(f"{peer.url}/silent", content=b"x", headers={"Expect": "100-continue"}, timeout=only("total"))

    started = time.monotonic()
    assert isinstance(run(any_engine, request), httpx.TimeoutException)
    assert time.monotonic() - started < 0.5


# Peers that never stop.


def dripping(data: bytes, head: bytes = b"") -> ScriptedServer:
    """A peer that sends its answer byte by byte, faster than any read timeout."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(head)
        for number in range(len(data)):
            conn.sendall(data[number : number + 1])
            time.sleep(0.005)

    return ScriptedServer(serve)


DRIPS = {
    "head": (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 2000, b""),
    "body": (b"x" * 2000, b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"),
    "chunks": (b"1\r\nx\r\n" * 2000, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "interim": (b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" * 20, b""),
}


@pytest.mark.parametrize("where", DRIPS)
def test_a_peer_that_drips_cannot_exceed_the_total_timeout(any_engine: EngineDriver, where: str):
    data, head = DRIPS[where]

    async def request(client: Any, peer: Peer) -> None:
        with dripping(data, head) as server:
            await client.get(server.url, timeout=httpx.Timeout(LONG, total=0.08))

    error = run(any_engine, request)
    assert type(error) is httpx.ReadTimeout
    assert "total timeout" in str(error)


def flood(head: bytes, piece: bytes) -> ScriptedServer:
    """A peer that sends without end, as fast as it is read."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(head)
        while True:
            conn.sendall(piece)

    return ScriptedServer(serve)


def test_a_body_without_end_cannot_exceed_the_total_timeout(any_engine: EngineDriver):
    """
    The harm: where there was always something to receive, nothing was ever waited for, so nothing timed out, and a
    download without end filled the memory.
    """

    async def request(client: Any, peer: Peer) -> None:
        with flood(b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536)) as server:
            async with client.stream("GET", server.url, timeout=httpx.Timeout(LONG, total=0.08)) as response:
                async for _ in response.aiter_raw():
                    pass

    assert type(run(any_engine, request)) is httpx.ReadTimeout


def test_an_upload_without_end_cannot_exceed_the_total_timeout(any_engine: EngineDriver):
    def swallow(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        while conn.sock.recv(1_000_000):
            pass

    def pieces() -> Iterator[bytes]:
        while True:
            yield bytes(65536)

    async def request(client: Any, peer: Peer) -> None:
        with ScriptedServer(swallow) as server:
            await client.post(server.url, content=pieces(), timeout=httpx.Timeout(LONG, total=0.08))

    assert type(run(any_engine, request)) is httpx.WriteTimeout


def is_over(conn: Conn) -> bool:
    """Did the client end the connection, where a request might begin?"""
    conn._unread = conn.recv(1)
    return not conn._unread


def test_redirects_share_one_total_timeout(any_engine: EngineDriver):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        while not is_over(conn):
            conn.read_head()
            time.sleep(0.03)
            conn.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    async def request(client: Any, peer: Peer) -> None:
        with ScriptedServer(serve) as server:
            await client.get(server.url, timeout=httpx.Timeout(LONG, total=0.1), follow_redirects=True)

    # If time was up between two hops, the connection had nothing to do with it, and stays until another one is idle.
    limits = httpx.Limits(max_keepalive_connections=1)
    assert isinstance(run(any_engine, request, limits=limits), httpx.TimeoutException)


def test_interim_answers_do_not_extend_the_read_timeout(any_engine: EngineDriver):
    async def request(client: Any, peer: Peer) -> None:
        def serve(conn: Conn, recorded: list[bytes]) -> None:
            conn.read_head()
            for _ in range(400):
                conn.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
                time.sleep(0.005)

        with ScriptedServer(serve) as server:
            await client.get(server.url, timeout=httpx.Timeout(LONG, read=0.08))

    assert type(run(any_engine, request)) is httpx.ReadTimeout


def test_a_head_that_comes_in_parts_may_take_the_read_timeout_for_each(any_engine: EngineDriver):
    """As in 0.28.1: a read timeout is the longest silence, not the longest answer."""
    head = b"HTTP/1.1 200 OK\r\nX-Part: 1\r\nContent-Length: 2\r\n\r\nok"

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        for start in range(0, len(head), 9):
            conn.sendall(head[start : start + 9])
            time.sleep(0.05)

    async def scenario(client: Any) -> str:
        with ScriptedServer(serve) as server:
            response = await client.get(server.url, timeout=0.2)
            return str(response.text)

    with nothing_left():
        assert any_engine.run(scenario, trust_env=False) == "ok"


@pytest.mark.parametrize("seconds", [10_000_000, float("inf")])
def test_timeouts_beyond_what_the_system_can_count_are_none(any_engine: EngineDriver, seconds: float):
    timeout = httpx.Timeout(seconds, total=seconds)

    async def scenario(client: Any) -> str:
        with Peer() as peer:
            async with client.stream("GET", f"{peer.url}/stall", timeout=timeout):
                pass
            response = await client.post(f"{peer.url}/echo", content=any_engine.body([b"a", b"b"]), timeout=timeout)
            return str(response.text)

    with nothing_left():
        assert any_engine.run(scenario, trust_env=False, limits=ONE) == "-ab"


def test_a_fast_download_can_be_cancelled(engine: EngineDriver):
    """The harm: on trio, what never waited could not be cancelled, and `move_on_after` was without effect."""

    async def scenario(client: Any) -> str:
        with flood(b"HTTP/1.1 200 OK\r\n\r\n", bytes(262_144)) as server:

            async def download() -> None:
                async with client.stream("GET", server.url) as response:
                    async for _ in response.aiter_raw():
                        pass

            if engine.name == "trio":
                import trio

                with trio.move_on_after(0.05) as scope:
                    await download()
                return "cancelled" if scope.cancelled_caught else "?"
            import asyncio

            try:
                await asyncio.wait_for(download(), 0.05)
            except asyncio.TimeoutError:
                return "cancelled"
            return "?"

    with nothing_left():
        assert engine.run(scenario, trust_env=False) == "cancelled"
