"""
Uploads that meet an early answer, 100-continue, and connections that are upgraded: on all engines.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from support import certs
from support.engines import EngineDriver
from support.leaks import counts_of, no_lost_exceptions, settled, trusting_context
from support.peer import Peer
from support.servers import Conn, ScriptedServer, expect_head, send
from support.steps import until
from support.together import together

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ONE = httpx.Limits(max_connections=1)
LARGE = 8_000_000


def run(engine: EngineDriver, scenario: Any, **options: Any) -> Any:
    async def main() -> Any:
        with no_lost_exceptions():
            async with engine.client(verify=trusting_context(), trust_env=False, limits=ONE, timeout=3, **options) as c:
                outcome = await scenario(c)
                await settled(c)
            return outcome

    return engine.run_bare(main)


def pieces(count: int = 80, size: int = 100_000) -> Iterator[bytes]:
    for _ in range(count):
        yield bytes(size)


@pytest.mark.parametrize("piece", [None, "text", 7], ids=repr)
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_stream_of_the_caller_that_yields_something_else_than_bytes_is_an_error(
    any_engine: EngineDriver, piece: Any, framing: str
):
    """The harm: None passed for the end of the body, and the server got a body that was cut as a whole one."""

    class Stream(httpx.AsyncByteStream, httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from (b"one", piece, b"two")

        async def __aiter__(self) -> Any:
            for each in self:
                yield each

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        assert b"\r\n0\r\n" not in conn.read_to_end()

    async def scenario(client: Any) -> None:
        field = ("Transfer-Encoding", "chunked") if framing == "chunked" else ("Content-Length", "3")
        request = httpx.Request("POST", server.url, stream=Stream(), headers=[("Host", "x"), field])
        with pytest.raises(TypeError, match=r"a body yields .*, expected bytes"):
            await client.send(request)
        assert counts_of(client) == (0, 0, 0, 0)

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


@pytest.mark.parametrize("content", ["bytes", "pieces"])
@pytest.mark.parametrize("ending", ["close", "stay", "linger"])
def test_an_answer_in_the_middle_of_an_upload_is_delivered(
    any_engine: EngineDriver, content: str, ending: str, tls: bool
):
    """The harm: a server that said 413 and why was reported as a broken connection."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.recv(1000)
        conn.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        if ending == "linger":
            conn.read_to_end()
        elif ending == "stay":
            assert done.wait(5)

    async def scenario(client: Any) -> None:
        body = bytes(LARGE) if content == "bytes" else any_engine.body(pieces())
        response = await client.post(server.url, content=body)
        assert (response.status_code, response.text) == (413, "large")
        if ending != "linger":  # there it may have been taken whole before the answer was seen
            assert counts_of(client) == (0, 0, 0, 0)
        done.set()

    done = threading.Event()
    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_a_connection_that_breaks_in_an_upload_is_an_error(any_engine: EngineDriver, tls: bool):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.reset()

    async def scenario(client: Any) -> None:
        for body in (bytes(LARGE), any_engine.body(pieces())):
            with pytest.raises((httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError)):
                await client.post(server.url, content=body)

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_an_upload_in_pieces_over_tls_is_not_stopped_by_session_tickets(any_engine: EngineDriver):
    """
    The harm: a server sends session tickets right after the handshake. The upload took them for the beginning of an
    answer, waited for the rest of it, and the server waited for the rest of the upload, until the read timeout.
    """

    async def scenario(client: Any) -> None:
        for size in (1, 100_000):
            body = any_engine.body(pieces(20, size))
            response = await client.post(f"{peer.url}/echo", content=body)
            assert len(response.content) == 1 + 20 * size

    with Peer(tls=True) as peer:
        run(any_engine, scenario)


def test_a_large_upload_is_read_whole(any_engine: EngineDriver, tls: bool):
    async def scenario(client: Any) -> None:
        body = bytes(range(256)) * 20_000
        response = await client.post(f"{peer.url}/echo", content=body)
        assert response.content == b"-" + body

    with Peer(tls=tls) as peer:
        run(any_engine, scenario)


# 100-continue.

EXPECT = {"Expect": "100-continue"}


def test_a_body_is_sent_after_100(any_engine: EngineDriver):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert conn.read_exactly(4) == b"body"
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def scenario(client: Any) -> None:
        response = await client.post(server.url, content=b"body", headers=EXPECT)
        assert response.text == "ok"

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


def test_a_body_is_sent_without_100_when_patience_ends(any_engine: EngineDriver, short_patience: float):
    async def scenario(client: Any) -> None:
        response = await client.post(f"{peer.url}/echo", content=b"body", headers=EXPECT)
        assert response.text == "-body"
        response = await client.post(f"{peer.url}/echo", content=any_engine.body([b"bo", b"dy"]), headers=EXPECT)
        assert response.text == "-body"

    with Peer() as peer:
        run(any_engine, scenario)


def test_a_body_is_not_sent_after_a_refusal(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        response = await client.post(server.url, content=b"body", headers=EXPECT)
        assert response.status_code == 417

    with ScriptedServer(
        [expect_head(), send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"), lambda conn: conn.read_to_end()]
    ) as server:
        run(any_engine, scenario)
        assert not server.received[0].endswith(b"body")


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_ends_while_consent_is_awaited_is_an_error(any_engine: EngineDriver, reset: bool):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.reset() if reset else conn.close()

    async def scenario(client: Any) -> None:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await client.post(server.url, content=b"body", headers=EXPECT)

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


# Upgrade.

UPGRADE = {"Connection": "Upgrade", "Upgrade": "echo"}
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def echo(conn: Conn, recorded: list[bytes]) -> None:
    """Upgrade, and then send everything back."""
    conn.read_head()
    conn.sendall(SWITCHED + b"surplus")
    while data := conn.recv():
        conn.sendall(data)


async def call(stream: Any, name: str, *args: Any, **options: Any) -> Any:
    """A method of a network stream, which is sync or async as the engine is."""
    result = getattr(stream, name)(*args, **options)
    return await result if hasattr(result, "__await__") else result


async def close_stream(stream: Any) -> None:
    await call(stream, "aclose" if hasattr(stream, "aclose") else "close")


def test_an_upgraded_connection_carries_bytes_both_ways(any_engine: EngineDriver, tls: bool):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            assert response.status_code == 101
            stream = response.extensions["network_stream"]
            assert await call(stream, "read", 3) == b"sur"
            assert await call(stream, "read", 100, timeout=3) == b"plus"
            with pytest.raises(httpx.ReadTimeout):
                await call(stream, "read", 100, timeout=0.01)
            await call(stream, "write", b"hello")
            assert await call(stream, "read", 100) == b"hello"
            await call(stream, "write", b"again", timeout=3)
            assert await call(stream, "read", 100, timeout=3) == b"again"
            await close_stream(stream)
            with pytest.raises((httpx.ReadError, httpx.CloseError)):
                await call(stream, "read", 100, timeout=1)
            with pytest.raises((httpx.WriteError, httpx.CloseError)):
                await call(stream, "write", b"more")
        assert counts_of(client) == (0, 0, 0, 0)
        assert (await client.get(f"{peer.url}/echo", headers={"X-Id": "next"})).text == "next"

    with Peer() as peer, ScriptedServer(echo, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_an_upgraded_connection_tells_its_end(any_engine: EngineDriver, tls: bool):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED)
        conn.read_exactly(1)

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            await call(stream, "write", b"x")
            assert await call(stream, "read", 100, timeout=3) == b""
            assert await call(stream, "read", 100, timeout=3) == b""

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_an_upgraded_connection_that_breaks_raises(any_engine: EngineDriver):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED)
        conn.read_exactly(1)
        conn.reset()

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            await call(stream, "write", b"x")
            with pytest.raises(httpx.ReadError):
                await call(stream, "read", 100, timeout=3)
            with pytest.raises(httpx.WriteError):
                await call(stream, "write", bytes(1_000_000), timeout=3)

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


def test_the_body_of_an_upgrade_is_empty_and_closes_the_connection(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        response = await client.get(server.url, headers=UPGRADE)
        assert (response.status_code, response.content) == (101, b"")
        assert counts_of(client) == (0, 0, 0, 0)

    with ScriptedServer(echo) as server:
        run(any_engine, scenario)


def test_connect_gives_a_tunnel_and_tls_can_begin_in_it(any_engine: EngineDriver, tls: bool):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        assert conn.read_head().startswith(b"CONNECT example.org:443 HTTP/1.1\r\n")
        conn.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        tunnel(conn)

    async def scenario(client: Any) -> None:
        extensions = {"target": b"example.org:443"}
        async with client.stream("CONNECT", server.url, extensions=extensions) as response:
            assert response.status_code == 200
            stream = response.extensions["network_stream"]
            assert (stream.get_extra_info("ssl_object") is not None) == tls
            inner = await call(stream, "start_tls", trusting_context(), server_hostname="example.org", timeout=3)
            assert inner.get_extra_info("ssl_object").server_hostname == "example.org"
            await call(inner, "write", b"hello", timeout=3)
            assert await call(inner, "read", 100, timeout=3) == b"hello"
            await close_stream(inner)

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def tunnel(conn: Conn) -> None:
    """Speak TLS within the connection, and send everything back."""
    import ssl

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = certs.server_context().wrap_bio(incoming, outgoing, server_side=True)
    shaken = False
    while data := conn.recv():
        incoming.write(data)
        try:
            if not shaken:
                inner.do_handshake()
                shaken = True
            while True:
                plain = inner.read(65536)
                if not plain:
                    return
                inner.write(plain)
        except ssl.SSLWantReadError:
            pass
        finally:
            if outgoing.pending:
                conn.sendall(outgoing.read())


@pytest.mark.parametrize("ending", ["silence", "end", "garbage"])
def test_tls_that_does_not_begin_in_a_tunnel_is_an_error(any_engine: EngineDriver, ending: str):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        conn.recv(1)
        if ending == "silence":
            conn.read_to_end()
        elif ending == "garbage":
            conn.sendall(b"this is no TLS at all")
            conn.read_to_end()

    async def scenario(client: Any) -> None:
        extensions = {"target": b"example.org:443"}
        async with client.stream("CONNECT", server.url, extensions=extensions) as response:
            stream = response.extensions["network_stream"]
            kind = httpx.ConnectTimeout if ending == "silence" else httpx.ConnectError
            with pytest.raises(kind):
                await call(stream, "start_tls", trusting_context(), server_hostname="example.org", timeout=0.05)
            await close_stream(stream)

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


def test_what_came_before_tls_is_not_taken_for_what_comes_within_it(any_engine: EngineDriver):
    """
    The harm: somebody between, who cannot break TLS, put words before it, and they were read as the peer's own
    (CVE-2011-0411).
    """

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED + b"250 go on\r\n")
        tunnel(conn)

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            with pytest.raises(httpx.ConnectError, match="the peer has sent bytes that were not read yet"):
                await call(stream, "start_tls", trusting_context(), server_hostname="example.org", timeout=3)
            # Whoever expects them reads them first.
            assert await call(stream, "read", 100, timeout=3) == b"250 go on\r\n"
            inner = await call(stream, "start_tls", trusting_context(), server_hostname="example.org", timeout=3)
            await call(inner, "write", b"hello", timeout=3)
            assert await call(inner, "read", 100, timeout=3) == b"hello"

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_peer_that_speaks_first_within_tls_is_heard(any_engine: EngineDriver, version: str):
    """
    The harm: with TLS 1.2 the server ends the handshake, and its first words come in the same segment. They lay in
    OpenSSL's buffer, and the reader waited for the socket.
    """
    import ssl

    context = certs.server_context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inner = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            incoming.write(conn.recv())
            try:
                inner.do_handshake()
                inner.write(b"220 welcome")
                break
            except ssl.SSLWantReadError:
                conn.sendall(outgoing.read())
        conn.sendall(outgoing.read())
        conn.read_to_end()

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            inner = await call(stream, "start_tls", trusting_context(), server_hostname="example.org", timeout=3)
            assert inner.get_extra_info("tls_version") == version.replace("_", ".")
            assert await call(inner, "read", 4, timeout=3) == b"220 "
            assert await call(inner, "read", 100, timeout=3) == b"welcome"

    with ScriptedServer(serve) as server:
        run(any_engine, scenario)


def test_tls_that_fails_in_a_tunnel_says_why(any_engine: EngineDriver, tls: bool):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        tunnel(conn)

    async def scenario(client: Any) -> None:
        extensions = {"target": b"wrong.example:443"}
        async with client.stream("CONNECT", server.url, extensions=extensions) as response:
            stream = response.extensions["network_stream"]
            with pytest.raises(httpx.ConnectError, match=r"TLS handshake with 'wrong\.example' failed: .* mismatch"):
                await call(stream, "start_tls", trusting_context(), server_hostname="wrong.example", timeout=3)

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_a_request_by_hand_goes_through_a_tunnel_to_a_server_of_the_real_kind(any_engine: EngineDriver, tls: bool):
    """CONNECT as its user sends it, to a proxy that makes a tunnel to another server, which speaks TLS."""
    from support.proxies import ScriptedProxy

    async def scenario(client: Any) -> None:
        extensions = {"target": f"localhost:{peer.port}"}
        async with client.stream("CONNECT", proxy.url, extensions=extensions) as response:
            assert (response.status_code, response.reason_phrase) == (200, "Connection established")
            stream = response.extensions["network_stream"]
            inner = await call(stream, "start_tls", trusting_context(), server_hostname="localhost", timeout=3)
            await call(inner, "write", b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX-Id: hand\r\n\r\n", timeout=3)
            received = b""
            while b"hand" not in received:
                piece = await call(inner, "read", 100, timeout=3)
                assert piece, received
                received += piece
            assert received.startswith(b"HTTP/1.1 200 ")
            with pytest.raises(httpx.ReadTimeout):
                await call(inner, "read", 100, timeout=0.01)
            await close_stream(inner)
        assert counts_of(client) == (0, 0, 0, 0)

    with Peer(tls=True) as peer, ScriptedProxy(tls=certs.server_context() if tls else None) as proxy:
        run(any_engine, scenario)


def test_websocket_messages_pass_over_an_upgraded_connection(any_engine: EngineDriver, tls: bool):
    """A greeting comes in one piece with the server's head; then messages go both ways, and both sides say goodbye."""
    from wsproto.connection import Connection, ConnectionType
    from wsproto.events import CloseConnection, TextMessage

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        protocol = Connection(ConnectionType.SERVER)
        conn.read_head()
        # In one piece with the head: it is part of what the stream gives.
        conn.sendall(SWITCHED + protocol.send(TextMessage("welcome")))
        while True:
            protocol.receive_data(conn.recv() or None)
            for event in protocol.events():
                if isinstance(event, TextMessage):
                    conn.sendall(protocol.send(TextMessage(event.data.upper())))
                if isinstance(event, CloseConnection):
                    conn.sendall(protocol.send(event.response()))
                    return

    async def scenario(client: Any) -> None:
        protocol = Connection(ConnectionType.CLIENT)

        async def next_event() -> Any:
            while True:
                for event in protocol.events():
                    return event
                protocol.receive_data(await call(stream, "read", 4096, timeout=3) or None)

        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            assert response.status_code == 101
            stream = response.extensions["network_stream"]
            assert (await next_event()).data == "welcome"
            for text in ("hello", "x" * 70_000):
                await call(stream, "write", protocol.send(TextMessage(text)), timeout=3)
                received = ""
                while len(received) < len(text):
                    received += (await next_event()).data
                assert received == text.upper()
            await call(stream, "write", protocol.send(CloseConnection(1000)), timeout=3)
            assert isinstance(await next_event(), CloseConnection)
        assert counts_of(client) == (0, 0, 0, 0)

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_a_connection_that_was_not_upgraded_gives_its_bytes_to_nobody(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", f"{peer.url}/stall") as response:
            stream = response.extensions["network_stream"]
            for name, *args in (("read", 10), ("write", b"x"), ("start_tls", trusting_context())):
                with pytest.raises(httpx.CloseError):
                    await call(stream, name, *args)
            assert stream.get_extra_info("socket").fileno() >= 0
            assert stream.get_extra_info("server_addr") == (peer.host, peer.port)
            assert stream.get_extra_info("client_addr")[0] == "127.0.0.1"
            assert stream.get_extra_info("is_readable") in (True, False)
            assert stream.get_extra_info("anything") is None

    with Peer() as peer:
        run(any_engine, scenario)


def test_a_write_that_is_not_taken_times_out(any_engine: EngineDriver, tls: bool):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED)
        assert done.wait(5)

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            with pytest.raises(httpx.WriteTimeout):
                await call(stream, "write", bytes(LARGE), timeout=0.02)
        done.set()

    done = threading.Event()
    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(any_engine, scenario)


def test_one_task_reads_an_upgraded_connection_while_another_writes(engine: EngineDriver, tls: bool):
    """
    The harm: on asyncio a write that had to wait took the reader's place, and the reader was never woken again: a
    WebSocket that went deaf.
    """

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED)
        assert writing.wait(5)
        read = 0
        while read < LARGE:
            read += len(conn.recv(1_000_000))
        conn.sendall(b"thanks")
        conn.read_to_end()

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]

            async def read() -> bytes:
                received: bytes = await stream.read(100, timeout=3)
                return received

            async def write() -> bytes:
                writing.set()
                await stream.write(bytes(LARGE), timeout=3)
                return b""

            assert (await together([read, write]))[0] == b"thanks"

    writing = threading.Event()
    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        run(engine, scenario)


@pytest.mark.parametrize("what", ["read", "write", "start_tls"])
def test_closing_the_client_ends_what_an_upgraded_connection_is_doing(engine: EngineDriver, what: str):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED)
        assert done.wait(5)

    async def scenario(client: Any) -> None:
        begun = []
        async with client.stream("GET", server.url, headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]

            arguments = {"read": [10], "write": [bytes(LARGE)], "start_tls": [trusting_context(), "localhost"]}

            async def use() -> None:
                begun.append(True)
                with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.ConnectError)):
                    await getattr(stream, what)(*arguments[what])

            async def close_client() -> None:
                await until(lambda: bool(begun))
                await engine.pause(0.01)
                await client._transport.aclose()

            await together([use, close_client])
        done.set()

    done = threading.Event()
    with ScriptedServer(serve) as server:
        run(engine, scenario)
