"""
The engine for threads, where its scenarios need a hand inside; what a user can see is in tests/adversarial.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import httpx
from httpx._engine import sync
from httpx._engine.sync import SyncEngine
from httpx._engine.sync_connection import SyncConnection, SyncWire
from httpx._protocol.tls import TLSFilter
from httpx._reading import lend_pieces
from httpx._transfer import Copy
from support import certs
from support.leaks import counts_of, nothing_left, trusting_context, wait_for
from support.peer import Peer
from support.servers import ScriptedServer, Step, close, close_notify, expect_head, reset, send, silence

pytestmark = pytest.mark.usefixtures("no_leaks")

ONE = httpx.Limits(max_connections=1)


@pytest.fixture
def pair() -> Iterator[tuple[SyncWire, socket.socket]]:
    """A wire, and the socket at its other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    with ours, theirs:
        yield SyncWire(ours), theirs


def engine_of(client: httpx.Client) -> SyncEngine:
    engine: SyncEngine = client._transport._engine  # type: ignore[attr-defined]
    return engine


class Signal:
    """What a thread in the queue waits for: a lock, whose waiting is the test's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self._lock.acquire(blocking, timeout) if timeout < 0 else self.wait()

    def wait(self) -> bool:
        raise NotImplementedError

    def locked(self) -> bool:
        return self._lock.locked()

    def release(self) -> None:
        self._lock.release()


def with_signal(kind: type[Signal]) -> Any:
    """The module `threading` as the engine sees it."""
    return SimpleNamespace(Lock=kind)


@pytest.mark.parametrize("served", ["not", "dial", "connection"])
def test_a_thread_that_is_interrupted_in_the_queue_leaves_it(served: str, monkeypatch: pytest.MonkeyPatch):
    """The harm: Ctrl-C while a request waited took a slot of the pool for ever."""

    class Interrupted(Signal):
        def wait(self) -> bool:
            if served == "dial":
                held.close()  # in the middle of its body, so the slot becomes free, and not the connection
            elif served == "connection":
                held.read()
            raise KeyboardInterrupt

    with nothing_left(), Peer() as peer, httpx.Client(limits=ONE, trust_env=False) as client:
        held = client.send(client.build_request("GET", f"{peer.url}/pieces"), stream=True)
        for _ in range(4):
            peer.more()
        with monkeypatch.context() as patch:
            patch.setattr(sync, "threading", with_signal(Interrupted))
            with pytest.raises(KeyboardInterrupt):
                client.get(f"{peer.url}/echo")
        held.close()
        opened, idle, dials, waiting = counts_of(client)
        assert (opened - idle, dials, waiting) == (0, 0, 0)
        assert client.get(f"{peer.url}/echo", headers={"X-Id": "next"}).text == "next"


def test_a_ticket_that_is_served_while_the_timeout_fires_is_used(monkeypatch: pytest.MonkeyPatch):
    class Late(Signal):
        def wait(self) -> bool:
            held.close()  # in the moment in which the waiter gives up
            return False

    timeout = httpx.Timeout(5, pool=0.1)
    with nothing_left(), Peer() as peer, httpx.Client(limits=ONE, trust_env=False, timeout=timeout) as client:
        held = client.send(client.build_request("GET", f"{peer.url}/stall"), stream=True)
        with monkeypatch.context() as patch:
            patch.setattr(sync, "threading", with_signal(Late))
            assert client.get(f"{peer.url}/echo", headers={"X-Id": "next"}).text == "next"


def test_a_ticket_that_was_served_before_its_owner_waits_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    with nothing_left(), Peer() as peer, httpx.Client(limits=ONE, trust_env=False) as client:
        engine = engine_of(client)
        held = client.send(client.build_request("GET", f"{peer.url}/stall"), stream=True)
        wait_in_queue = engine._wait_in_queue

        def late(ticket: Any, job: Any) -> None:
            held.close()
            wait_in_queue(ticket, job)

        monkeypatch.setattr(engine, "_wait_in_queue", late)
        assert client.get(f"{peer.url}/echo", headers={"X-Id": "next"}).text == "next"


def test_requests_that_wait_for_a_connection_end_with_the_transport():
    """The harm: a client that was closed went on dialling for each request in its queue."""
    raised: list[BaseException] = []

    def ask(client: httpx.Client, url: str) -> None:
        try:
            client.get(url)
        except BaseException as exc:
            raised.append(exc)

    with nothing_left(), Peer() as peer, httpx.Client(limits=ONE, timeout=5, trust_env=False) as client:
        held = client.send(client.build_request("GET", f"{peer.url}/stall"), stream=True)
        threads = [threading.Thread(target=ask, args=(client, f"{peer.url}/echo")) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: counts_of(client)[3] == 3)
        client.close()
        for thread in threads:
            thread.join(5)
        held.close()
        assert [type(exc) for exc in raised] == [httpx.ConnectError] * 3
        assert "closed" in str(raised[0])
        assert counts_of(client) == (0, 0, 0, 0)
        assert peer.connections == 1


def test_a_dial_that_ends_after_the_transport_was_closed_is_not_used():
    def close_and_answer(host: str, port: int) -> list[str]:
        transport.close()
        return ["127.0.0.1"]

    with nothing_left(), Peer() as peer:
        transport = httpx.HTTPTransport(resolver=close_and_answer)
        with httpx.Client(transport=transport) as client, pytest.raises(httpx.ConnectError, match="closed"):
            client.get(f"http://name.example:{peer.port}/echo")
        assert not any(peer.received)
        assert transport._engine.pool.counts() == (0, 0, 0, 0)


def test_a_transport_that_was_closed_can_be_used_again():
    with nothing_left(), Peer() as peer:
        transport = httpx.HTTPTransport()
        for _ in range(2):
            response = transport.handle_request(httpx.Request("GET", f"{peer.url}/echo", headers={"X-Id": "1"}))
            assert response.read() == b"1"
            transport.close()


def test_forgetting_closes_the_descriptors_without_a_word_to_the_peer():
    with nothing_left(), Peer(tls=True) as peer, httpx.Client(verify=trusting_context(), trust_env=False) as client:
        client.get(f"{peer.url}/echo")
        engine = engine_of(client)
        (connection,) = engine.pool.connections
        raw = connection.wire.sock.dup()
        engine.forget()
        assert connection.wire.sock.fileno() < 0
        assert counts_of(client) == (0, 0, 0, 0)
        assert client.get(f"{peer.url}/echo", headers={"X-Id": "next"}).text == "next"
        raw.close()


def test_a_wire_waits_no_longer_than_it_may(pair: tuple[SyncWire, socket.socket]):
    wire, peer = pair
    assert wire.receive(sync.monotonic() + 0.001) is None
    assert wire.receive(sync.monotonic() - 1) is None
    peer.send(b"abc")
    assert wire.receive(None) == b"abc"


def test_a_wire_that_is_interrupted_keeps_its_descriptor_until_it_is_closed(pair: tuple[SyncWire, socket.socket]):
    wire, peer = pair
    wire.interrupt()
    wire.interrupt()
    assert peer.recv(1) == b""
    assert wire.sock.fileno() >= 0
    wire.close()
    assert wire.sock.fileno() < 0


def test_a_handshake_that_cannot_even_be_sent_runs_out_of_time(pair: tuple[SyncWire, socket.socket]):
    wire, _ = pair
    while not wire.send(bytes(100_000)):
        pass
    with pytest.raises(httpx.ConnectTimeout):
        SyncConnection(wire).upgrade(b"").start_tls(trusting_context(), "localhost", timeout=0.01)


def test_what_is_no_tls_on_an_idle_connection_makes_it_unfit(pair: tuple[SyncWire, socket.socket]):
    wire, peer = pair
    wire.tls = TLSFilter(trusting_context(), "localhost")
    assert wire.is_quiet()
    peer.send(b"this is no TLS")
    assert not wire.is_quiet()


def test_a_network_stream_gives_at_most_what_is_asked_for(pair: tuple[SyncWire, socket.socket]):
    wire, peer = pair
    stream = SyncConnection(wire).upgrade(b"")
    peer.send(b"abcdef")
    assert [stream.read(4), stream.read(4)] == [b"abcd", b"ef"]


def test_a_large_write_goes_out_whole(pair: tuple[SyncWire, socket.socket]):
    wire, peer = pair
    received = bytearray()

    def read() -> None:
        while len(received) < 5_000_000:
            received.extend(peer.recv(1_000_000))

    reader = threading.Thread(target=read)
    reader.start()
    stream = SyncConnection(wire).upgrade(b"")
    stream.write(b"x" * 5_000_000)
    reader.join(5)
    assert received == b"x" * 5_000_000


def test_the_descriptor_of_an_upgraded_connection_stays_until_its_reader_is_gone(pair: tuple[SyncWire, socket.socket]):
    """Harm otherwise: the next socket gets its number, and the reader, in httpx-ws a thread, waits for that one."""
    wire, _ = pair
    reads, may_wait = threading.Event(), threading.Event()
    poll = wire.poll
    wire.poll = lambda milliseconds: reads.set() or (may_wait.wait(5) and poll(milliseconds))
    stream = SyncConnection(wire).upgrade(b"")
    received: list[str] = []

    def read() -> None:
        try:
            stream.read(10)
        except httpx.ReadError as exc:
            received.append(type(exc).__name__)

    reader = threading.Thread(target=read)
    reader.start()
    assert reads.wait(5)
    stream.close()
    assert wire.sock.fileno() != -1
    may_wait.set()
    reader.join(5)
    assert received == ["ReadError"]
    assert wire.sock.fileno() == -1
    with pytest.raises(httpx.ReadError, match="closed"):
        stream.read(10)
    stream.close()


def test_a_body_that_is_async_cannot_be_sent_by_a_sync_transport():
    class Body(httpx.AsyncByteStream):
        pass

    with nothing_left(), Peer() as peer, httpx.HTTPTransport() as transport:
        headers = {"Host": "localhost", "Transfer-Encoding": "chunked"}
        request = httpx.Request("POST", f"{peer.url}/echo", stream=Body(), headers=headers)
        with pytest.raises(RuntimeError, match="async"):
            transport.handle_request(request)
        assert transport._engine.pool.counts() == (0, 0, 0, 0)


# Pieces of a buffer that is filled again.

LARGE = bytes(range(256)) * 16_384  # 4 MiB
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE)


def borrowing(server: ScriptedServer, timeout: float = 5) -> tuple[httpx.Client, Any]:
    """A client, and the context of a response whose pieces are lent."""
    context = certs.client_context() if server.tls else None
    client = httpx.Client(verify=context or False, timeout=timeout)
    return client, client.stream("GET", server.url.replace("127.0.0.1", "localhost"))


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    ("head", "tail", "is_lent"),
    [
        (SIZED, b"", True),
        (SIZED, b"surplus", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n", b"\r\n0\r\n\r\n", False),
        (SIZED[:-2] + b"Content-Encoding: gzip\r\n\r\n", b"", False),
    ],
    ids=["length", "surplus", "until close", "chunked", "coded"],
)
def test_a_large_body_comes_in_views_of_one_buffer_if_its_reader_wants(
    is_tls: bool, head: bytes, tail: bytes, is_lent: bool
):
    """With memory of its own for each piece, a download cost half as much again as it does."""
    closing = [close_notify(), close()] if is_tls else [close()]
    end: list[Step] = [silence()] if b"Length" in head or tail else closing
    with ScriptedServer(
        [expect_head(), send(head + LARGE + tail), *end], tls=certs.server_context() if is_tls else None
    ) as server:
        client, stream = borrowing(server)
        with client, stream as response:
            lend_pieces(response)
            wire = response.stream._connection.wire
            pieces, kinds, owners = [], set(), set()
            for piece in response.iter_raw():
                kinds.add(type(piece))
                owners.add(id(piece.obj) if isinstance(piece, memoryview) else 0)
                pieces.append(bytes(piece))
            assert b"".join(pieces) == LARGE
            assert kinds == ({bytes, memoryview} if is_lent else {bytes})
            assert len(owners) == (2 if is_lent else 1)
            assert response.num_bytes_downloaded == len(LARGE)
            assert wire.lent is wire.raw is None, "an idle connection keeps no buffer"


def test_a_download_gets_views_although_it_merges_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each view was copied by a join of one piece, so that downloads in threads had nothing of the buffer."""
    kinds = set()

    def take(self: Copy, piece: bytes, batch: int) -> bool:
        kinds.add(type(piece))
        return real_take(self, piece, batch)

    real_take = Copy.take
    monkeypatch.setattr(Copy, "take", take)
    with ScriptedServer([expect_head(), send(SIZED + LARGE), close()]) as server, httpx.Client() as client:
        path = client.download(server.url, tmp_path / "file")
    assert path.read_bytes() == LARGE
    assert kinds == {bytes, memoryview}


def test_the_buffer_is_freed_when_the_reader_leaves_early():
    with ScriptedServer([expect_head(), send(SIZED + LARGE[:-1]), silence()]) as server:
        client, stream = borrowing(server)
        with client:
            with stream as response:
                lend_pieces(response)
                wire = response.stream._connection.wire
                pieces = response.iter_raw()
                while not isinstance(next(pieces), memoryview):
                    pass
                assert wire.lent is not None
            assert wire.lent is None
            pieces.close()


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    ("end", "error"),
    [(close(), httpx.RemoteProtocolError), (reset(), httpx.ReadError), (silence(), httpx.ReadTimeout)],
    ids=["closed", "reset", "silent"],
)
def test_a_lent_body_that_breaks_is_an_error(end: Step, error: type[Exception], is_tls: bool):
    context = certs.server_context() if is_tls else None
    with ScriptedServer([expect_head(), send(SIZED + LARGE[:-1]), end], tls=context) as server:
        client, stream = borrowing(server, timeout=0.5 if error is httpx.ReadTimeout else 5)
        sizes: list[int] = []
        with client, stream as response:
            lend_pieces(response)
            with pytest.raises((error, httpx.ReadError)):
                sizes.extend(map(len, response.iter_raw()))
        size = sum(sizes)
        assert size <= len(LARGE) - 1
        assert size == len(LARGE) - 1 or error is httpx.ReadError


def test_the_total_timeout_ends_a_lent_body():
    with ScriptedServer([expect_head(), send(SIZED + LARGE[:-1]), silence()]) as server:
        client, _ = borrowing(server)
        with client, client.stream("GET", server.url, timeout=httpx.Timeout(5, total=0.3)) as response:
            lend_pieces(response)
            with pytest.raises(httpx.ReadTimeout, match="total timeout"):
                list(response.iter_raw())
