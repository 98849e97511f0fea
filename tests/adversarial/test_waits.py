"""
Peers that are never silent and bring nothing: each wait has one deadline, which what they send does not move.

On all engines, plain and under TLS. Silence is the subject of `test_timeouts`.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import httpx
from support import certs
from support.engines import EngineDriver
from support.leaks import nothing_left, trusting_context
from support.servers import Conn, ScriptedServer

SHORT = 0.1  # seconds
WHOLE = 0.5  # seconds of a total timeout: a TLS handshake on a busy machine is a part of it
LONG = 10.0  # seconds; never waited for
TOO_LONG = 3.0  # seconds
TICK = 0.01  # seconds between two bytes that bring nothing

INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"
EXPECT = {"Expect": "100-continue"}


def only(phase: str) -> httpx.Timeout:
    return httpx.Timeout(LONG, **{phase: WHOLE if phase == "total" else SHORT})


def ends(engine: EngineDriver, request: Callable[[Any], Any]) -> httpx.TransportError:
    """The error that the request ends with, in time."""

    async def scenario(client: Any) -> Any:
        with pytest.raises(httpx.TransportError) as caught:
            await request(client)
        return caught.value

    with nothing_left():
        started = time.monotonic()
        error: httpx.TransportError = engine.run(scenario, verify=trusting_context(), trust_env=False)
        assert time.monotonic() - started < TOO_LONG
    return error


def tick(conn: Any, data: bytes, each: int = 1) -> None:
    """Send so many bytes after the other, until the client is gone."""
    with contextlib.suppress(OSError):
        for start in range(0, len(data), each):
            conn.sendall(data[start : start + each])
            time.sleep(TICK)


def is_readable(conn: Conn, seconds: float) -> bool:
    return bool(select.select([conn.sock], [], [], seconds)[0])


class Records:
    """The server's side of TLS, whose records can be sent in any way."""

    def __init__(self, conn: Conn) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = certs.server_context().wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._conn = conn
        self._until_done(self._tls.do_handshake)
        conn.sendall(self._outgoing.read())

    def _until_done(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._conn.sendall(self._outgoing.read())
                data = self._conn.recv()
                assert data
                self._incoming.write(data)

    def read(self) -> bytes:
        data: bytes = self._until_done(lambda: self._tls.read(65536))
        return data

    def record(self, data: bytes) -> bytes:
        """Return the record that carries the data."""
        self._tls.write(data)
        return self._outgoing.read()


@pytest.mark.parametrize("where", ["head", "body", "consent"])
def test_parts_of_a_tls_record_do_not_put_the_read_timeout_off(any_engine: EngineDriver, where: str):
    """The harm: one byte of a record every 0.4 s put a read timeout of 1 s off for ever, in threads."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        records = Records(conn)
        records.read()
        if where == "body":
            conn.sendall(records.record(b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n"))
        tick(conn, records.record(bytes(16_000)))

    async def request(client: Any) -> None:
        url = f"https://127.0.0.1:{server.port}/"
        if where == "consent":
            await client.post(url, content=b"x", headers=EXPECT, timeout=only("total"))
        else:
            await client.get(url, timeout=only("read"))

    with ScriptedServer(serve) as server:
        error = ends(any_engine, request)
    assert type(error) is (httpx.WriteTimeout if where == "consent" else httpx.ReadTimeout)


@pytest.mark.parametrize("patient", [False, True], ids=["before-patience-ends", "after"])
def test_interim_responses_put_off_neither_the_body_nor_the_read_timeout(
    any_engine: EngineDriver, patient: bool, tls: bool, short_patience: float
):
    """The harm: with `Expect: 100-continue`, a 102 every half second put every timeout off for ever."""
    arrived = threading.Event()

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        if patient:
            assert conn.read_exactly(4) == b"body"
            arrived.set()
        with contextlib.suppress(OSError):
            while True:
                conn.sendall(INTERIM)
                if not is_readable(conn, TICK):
                    continue
                if arrived.is_set():
                    return
                assert conn.read_exactly(4) == b"body"
                arrived.set()

    async def request(client: Any) -> None:
        await client.post(server.url, content=b"body", headers=EXPECT, timeout=only("read"))

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        error = ends(any_engine, request)
    assert type(error) is httpx.ReadTimeout
    assert arrived.is_set()


def test_interim_responses_without_end_end_the_wait_for_consent(any_engine: EngineDriver):
    """They are an error when they are too many; nobody waits for more."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        with contextlib.suppress(OSError):
            while True:
                conn.sendall(INTERIM * 1000)

    async def request(client: Any) -> None:
        await client.post(server.url, content=b"body", headers=EXPECT, timeout=LONG)

    with ScriptedServer(serve) as server:
        error = ends(any_engine, request)
    assert type(error) is httpx.RemoteProtocolError


@pytest.mark.parametrize("content", ["bytes", "pieces"])
@pytest.mark.parametrize("phase", ["write", "total"])
def test_what_arrives_does_not_put_the_write_timeout_off(any_engine: EngineDriver, content: str, phase: str, tls: bool):
    """The harm: where something arrived all the time, an upload that was stuck never ended."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        tick(conn, INTERIM * 200, len(INTERIM))

    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(100_000)

    async def request(client: Any) -> None:
        body: Any = bytes(20_000_000) if content == "bytes" else any_engine.body(pieces())
        await client.post(server.url, content=body, timeout=only(phase))

    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        error = ends(any_engine, request)
    assert type(error) is httpx.WriteTimeout
    assert f"{phase} timeout" in str(error)


def test_parts_of_a_tls_record_do_not_put_the_write_timeout_off(any_engine: EngineDriver):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        records = Records(conn)
        records.read()
        tick(conn, records.record(bytes(16_000)))

    async def request(client: Any) -> None:
        url = f"https://127.0.0.1:{server.port}/"
        await client.post(url, content=bytes(20_000_000), timeout=only("write"))

    with ScriptedServer(serve) as server:
        assert type(ends(any_engine, request)) is httpx.WriteTimeout


def test_a_reader_whose_upload_is_stuck_waits_for_the_write_timeout(any_engine: EngineDriver, tls: bool):
    """While something is unsent, a wait is a write, also for who reads the response."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nsome")
        assert done.wait(5)

    async def request(client: Any) -> None:
        try:
            await client.post(server.url, content=bytes(20_000_000), timeout=only("write"))
        finally:
            done.set()

    done = threading.Event()
    with ScriptedServer(serve, tls=certs.server_context() if tls else None) as server:
        assert type(ends(any_engine, request)) is httpx.WriteTimeout


def test_an_upload_that_is_taken_slowly_may_take_the_write_timeout_for_each_part(any_engine: EngineDriver):
    """A write timeout is the longest standstill, not the longest upload."""
    size = 6_000_000

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        left = size - len(conn.recv(1_000_000).split(b"\r\n\r\n", 1)[1])
        while left > 0:
            left -= len(conn.sock.recv(1_000_000))
            time.sleep(0.02)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def scenario(client: Any) -> str:
        response = await client.post(server.url, content=bytes(size), timeout=httpx.Timeout(LONG, write=0.3))
        return str(response.text)

    with nothing_left(), ScriptedServer(serve) as server:
        assert any_engine.run(scenario, trust_env=False) == "ok"
