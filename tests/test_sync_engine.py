"""
The engine for threads, where its scenarios need a hand inside; what a user can see is in tests/adversarial.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import httpx
from httpx._engine import sync
from httpx._engine.sync import SyncEngine
from httpx._engine.sync_connection import SyncConnection, SyncWire
from httpx._protocol.tls import TLSFilter
from support.leaks import counts_of, nothing_left, trusting_context, wait_for
from support.peer import Peer

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
