"""
Responses that begin before the request is sent whole, on all engines and over TLS.

A response is returned when its head is there; the upload goes on while its body is read, so neither side waits for the
other, and nothing is received that the reader did not ask for.
"""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import httpx
from support import certs
from support.engines import EngineDriver
from support.leaks import counts_of, no_lost_exceptions, settled, trusting_context
from support.servers import Conn, ScriptedServer

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ONE = httpx.Limits(max_connections=1)
PIECE = bytes(range(256)) * 400  # 102,400 bytes
MANY = 100  # pieces: more than all buffers between client and server


class Own(Exception):
    """An error of the caller's code."""


class Upload:
    """
    A request body in one of its forms, which notes that its generator was ended.

    Args:
        form: "bytes", "file", "generator" or "own", which is an async generator in async code.
        fails_after: so many pieces of a generator it raises `Own`.
    """

    def __init__(self, engine: EngineDriver, form: str, pieces: int = MANY, fails_after: int = -1) -> None:
        self.begun = self.ended = self.raised = 0
        self._pieces, self._fails_after = pieces, fails_after
        if form == "bytes":
            self.content: Any = PIECE * pieces
        elif form == "file":
            self.content = tempfile.TemporaryFile()  # noqa: SIM115  # see `close`
            self.content.write(PIECE * pieces)
            self.content.seek(0)
        else:
            self.content = self._async() if form == "own" and engine.is_async else self._sync()

    def _sync(self) -> Iterator[bytes]:
        self.begun += 1
        try:
            for number in range(self._pieces):
                if number == self._fails_after:
                    self.raised += 1
                    raise Own
                yield PIECE
        finally:
            self.ended += 1

    async def _async(self) -> AsyncIterator[bytes]:
        inner = self._sync()
        try:
            for piece in inner:
                yield piece
        finally:
            inner.close()

    def close(self) -> None:
        """Close a file."""
        if hasattr(self.content, "fileno"):
            self.content.close()


FORMS = ["bytes", "file", "generator", "own"]


def run(engine: EngineDriver, scenario: Any, **options: Any) -> Any:
    async def main() -> Any:
        with no_lost_exceptions():
            async with engine.client(
                **{"verify": trusting_context(), "trust_env": False, "limits": ONE, "timeout": 3, **options}
            ) as client:
                outcome = await scenario(client)
                await settled(client)
            return outcome

    return engine.run_bare(main)


def server(serve: Any, tls: bool) -> ScriptedServer:
    return ScriptedServer(lambda conn, recorded: serve(conn), tls=certs.server_context() if tls else None)


def body_of(conn: Conn, head: bytes) -> Iterator[bytes]:
    """The pieces of the request's body as they come, without their framing."""
    if b"content-length: " in head.lower():
        left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while left:
            piece = conn.recv(min(left, 65536))
            assert piece
            left -= len(piece)
            yield piece
        return
    while True:
        size = int(conn.read_until(b"\r\n"), 16)
        piece = conn.read_exactly(size + 2)
        if not size:
            return
        yield piece[:-2]


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_sends_back_what_it_receives_is_read_while_it_is_sent_to(
    any_engine: EngineDriver, form: str, tls: bool
):
    """The harm: on asyncio the reader stopped at 1 MiB and the upload at the server, and each waited for the other."""

    def echo(conn: Conn) -> None:
        head = conn.read_head()
        left = MANY * len(PIECE)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
        for piece in body_of(conn, head):
            conn.sendall(piece)
            left -= len(piece)
            if not left:
                conn.read_to_end()  # the response is complete, and the client need not send the last chunk any more
                return

    async def scenario(client: Any) -> None:
        upload = Upload(any_engine, form)
        response = await client.post(peer.url, content=upload.content)
        assert response.content == PIECE * MANY
        assert upload.ended == (form in ("generator", "own"))
        upload.close()

    with server(echo, tls) as peer:
        run(any_engine, scenario)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("status", "close"), [(b"200 OK", False), (b"413 Too Large", True), (b"503 Full", False)])
def test_a_large_response_arrives_though_the_server_reads_nothing(
    any_engine: EngineDriver, form: str, status: bytes, close: bool
):
    """The harm: it was collected in memory while the upload was stuck, and then thrown away for a write timeout."""
    body = PIECE * 40
    done = threading.Event()

    def refuse(conn: Conn) -> None:
        conn.read_head()
        fields = b"Connection: close\r\n" * close
        conn.sendall(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n" % (status, fields, len(body)))
        conn.sendall(body)
        assert done.wait(5)

    async def scenario(client: Any) -> None:
        upload = Upload(any_engine, form)
        response = await client.post(peer.url, content=upload.content)
        done.set()
        assert f"{response.status_code}".encode() == status[:3]
        assert response.content == body
        assert upload.ended == upload.begun  # the response may have come before anything was asked for
        assert counts_of(client) == (0, 0, 0, 0)  # the rest of the request is still owed
        upload.close()

    with server(refuse, False) as peer:
        run(any_engine, scenario)


def test_a_head_that_comes_early_is_returned_and_the_rest_is_sent_while_the_body_is_read(
    any_engine: EngineDriver, tls: bool
):
    going_on = threading.Event()

    def serve(conn: Conn) -> None:
        head = conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        assert going_on.wait(5)
        received = sum(map(len, body_of(conn, head)))
        conn.sendall(b"whole" if received == MANY * len(PIECE) else b"short")

    async def scenario(client: Any) -> None:
        upload = Upload(any_engine, "own")
        async with client.stream("POST", peer.url, content=upload.content) as response:
            assert (response.status_code, upload.ended) == (200, 0)
            going_on.set()
            assert await response.aread() == b"whole"
            assert upload.ended == 1
        # Both are whole, so the connection is good for more; where a task sends, it may not have noticed its end yet.
        if any_engine.name != "asyncio-fallback":
            assert counts_of(client) == (1, 1, 0, 0)

    with server(serve, tls) as peer:
        run(any_engine, scenario)


def test_what_nobody_reads_of_an_early_response_is_not_received(any_engine: EngineDriver, tls: bool):
    """The harm: 790 MiB of a response without end were collected during an upload that the server did not take."""
    stuck = threading.Event()
    sent = []

    def serve(conn: Conn) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        conn.settimeout(0.3)
        try:
            while sum(sent) < 100_000_000:
                sent.append(conn.send(bytes(262_144)))
        except (TimeoutError, socket.timeout):
            pass
        stuck.set()

    async def scenario(client: Any) -> None:
        async with client.stream("POST", peer.url, content=PIECE * MANY) as response:
            for _ in range(1000):
                if stuck.wait(0.005):
                    break
                await any_engine.pause()
            assert response.status_code == 200
            assert stuck.is_set()
            assert sum(sent) < 20_000_000  # what the system's buffers hold, and one mebibyte

    with server(serve, tls) as peer:
        run(any_engine, scenario)


def test_what_follows_a_response_that_nobody_reads_is_not_received(any_engine: EngineDriver, tls: bool):
    """The harm: on asyncio a server that went on sending after the end of its response filled the memory."""
    stuck = threading.Event()
    sent = []

    def serve(conn: Conn) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + bytes(900_000))
        conn.settimeout(0.3)
        try:
            while sum(sent) < 100_000_000:
                sent.append(conn.send(bytes(262_144)))
        except OSError:  # time is up, or the response had arrived whole and the connection was closed
            pass
        stuck.set()

    # So much is received before it is asked for, and not in one piece with the head.
    async def scenario(client: Any) -> None:
        async with client.stream("GET", peer.url) as response:
            for _ in range(1000):
                if stuck.wait(0.005):
                    break
                await any_engine.pause()
            assert stuck.is_set()
            assert sum(sent) < 20_000_000  # what the system's buffers hold, and one mebibyte
            assert len(await response.aread()) == 900_000
        assert counts_of(client) == (0, 0, 0, 0)

    with server(serve, tls) as peer:
        run(any_engine, scenario)


def test_a_response_that_is_left_ends_the_upload(any_engine: EngineDriver, tls: bool):
    """The harm: a generator stayed suspended, with whatever it held open."""

    def serve(conn: Conn) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nsome")
        conn.read_to_end()

    async def scenario(client: Any) -> None:
        for begins in (False, True):
            upload = Upload(any_engine, "own", pieces=1_000_000)
            async with client.stream("POST", peer.url, content=upload.content) as response:
                if begins:
                    async for piece in response.aiter_raw():
                        assert piece == b"some"
                        break
            assert upload.ended == upload.begun
            assert counts_of(client) == (0, 0, 0, 0)

    with server(serve, tls) as peer:
        run(any_engine, scenario)


def test_an_error_of_the_body_after_the_head_comes_to_the_reader_once(any_engine: EngineDriver):
    def serve(conn: Conn) -> None:
        head = conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
        with pytest.raises(AssertionError):  # the connection ends within it
            for _ in body_of(conn, head):
                pass

    async def scenario(client: Any) -> None:
        upload = Upload(any_engine, "own", fails_after=60)
        async with client.stream("POST", peer.url, content=upload.content) as response:
            with pytest.raises(Own):
                await response.aread()
        assert (upload.raised, upload.ended) == (1, 1)
        assert counts_of(client) == (0, 0, 0, 0)

    with server(serve, False) as peer:
        run(any_engine, scenario)


def test_an_upload_that_never_waits_notices_a_refusal(any_engine: EngineDriver):
    """The harm: on asyncio nothing could arrive while a sync iterator had pieces and the socket had room."""

    def serve(conn: Conn) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        while conn.sock.recv(1_000_000):
            pass

    def without_end() -> Iterator[bytes]:
        while True:
            yield b"x"

    async def scenario(client: Any) -> None:
        response = await client.post(peer.url, content=without_end(), timeout=httpx.Timeout(3, total=3))
        assert (response.status_code, response.text) == (413, "large")

    with server(serve, False) as peer:
        run(any_engine, scenario)


@pytest.mark.parametrize("ending", ["stays", "closes"])
def test_a_response_that_comes_before_the_request_is_one_on_a_new_connection(
    any_engine: EngineDriver, ending: str, tls: bool
):
    """The harm: of 20 responses of a load balancer that was full, 8 arrived on asyncio."""

    def full(conn: Conn) -> None:
        conn.sendall(b"HTTP/1.1 503 Full\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull")
        if ending == "stays":
            conn.read_to_end()
        else:
            conn.shutdown(socket.SHUT_WR)
            conn.read_to_end()

    async def scenario(client: Any) -> None:
        for _ in range(10):
            response = await client.get(peer.url)
            assert (response.status_code, response.text) == (503, "full")

    with server(full, tls) as peer:
        run(any_engine, scenario)


def test_a_response_that_comes_with_the_end_of_the_tls_handshake_is_read(any_engine: EngineDriver):
    """The harm: in threads and on trio it was waited for, although it was there, until the read timeout."""
    import ssl

    context = certs.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                conn.sendall(outgoing.read())
                incoming.write(conn.recv())
        tls.write(b"HTTP/1.1 503 Full\r\nContent-Length: 4\r\n\r\nfull")
        conn.sendall(outgoing.read())  # the end of the handshake and the response, in one segment
        conn.read_to_end()

    async def scenario(client: Any) -> None:
        response = await client.get(f"https://127.0.0.1:{peer.port}/")
        assert (response.status_code, response.text) == (503, "full")

    with ScriptedServer(serve) as peer:
        run(any_engine, scenario)


@pytest.mark.parametrize("form", ["bytes", "own"])
def test_a_response_before_a_reset_is_delivered_as_far_as_it_came(any_engine: EngineDriver, form: str):
    """The server that refuses an upload and closes sends a reset, because it has not read everything."""

    def serve(conn: Conn) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 50\r\n\r\nsome")
        assert seen.wait(5)
        conn.reset()

    async def scenario(client: Any) -> None:
        upload = Upload(any_engine, form)
        async with client.stream("POST", peer.url, content=upload.content) as response:
            assert response.status_code == 413
            pieces = response.aiter_raw()
            assert await pieces.__anext__() == b"some"
            seen.set()
            with pytest.raises(httpx.TransportError):
                await pieces.__anext__()
        assert upload.ended == upload.begun

    seen = threading.Event()
    with server(serve, False) as peer:
        run(any_engine, scenario)
