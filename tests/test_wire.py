"""A socket and its TLS filter, on pairs of connected sockets."""

from __future__ import annotations

import errno
import itertools
import select
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from httpx._engine.http2 import session as http2
from httpx._engine.http2.carrier import Carrier
from httpx._engine.wire import LARGE_READ, SMALL_READ, Wire
from httpx._exceptions import ReadError, WriteError
from httpx._protocol.tls import TLSFilter
from support import certs
from support.interrupts import Interrupted, interrupt


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


@pytest.fixture
def pair(no_leaks: None) -> Iterator[tuple[Wire, socket.socket]]:
    """A wire, and the socket at its other end, which blocks."""
    near, far = tcp_pair()
    near.setblocking(False)
    far.settimeout(5)
    with near, far:
        yield Wire(near), far


def receive(wire: Wire) -> bytes:
    """What arrives next; waits for it."""
    assert wire.poll(5000)
    data = wire.receive_raw()
    assert data is not None
    return data


def test_bytes_go_both_ways(pair):
    wire, far = pair
    assert wire.send(b"ping") == b""
    assert far.recv(100) == b"ping"
    far.sendall(b"pong")
    assert receive(wire) == b"pong"


def test_where_there_is_nothing_to_receive_there_is_none(pair):
    wire, far = pair
    assert wire.receive_raw() is None
    assert not wire.poll(0)
    far.close()
    assert receive(wire) == b""


def test_what_the_socket_does_not_take_is_returned(pair):
    wire, far = pair
    data = b"x" * 20_000_000
    rest = wire.send(data)
    assert 0 < len(rest) < len(data)
    while len(left := wire.send(rest)) < len(rest):
        rest = left
    assert left == rest  # full: nothing was taken at all
    sent = len(data) - len(rest)
    received = 0
    while received < sent:
        received += len(far.recv(1_000_000))
    assert received == sent
    assert select.select([], [wire.sock], [], 5)[1]
    assert len(wire.send(rest)) < len(rest)


def test_a_large_body_is_received_in_larger_pieces(pair):
    wire, far = pair
    assert wire.size == SMALL_READ
    thread = threading.Thread(target=far.sendall, args=(b"x" * 2_000_000,))
    thread.start()
    received = 0
    while received < 2_000_000:
        size = len(receive(wire))
        assert size <= wire.size
        received += size
    thread.join()
    # Whether a whole buffer came at once is the network's choice; that the size follows it is ours.
    wire.size = SMALL_READ
    wire.sock = FullSocket()
    assert len(wire.receive_raw() or b"") == SMALL_READ
    assert wire.size == LARGE_READ
    wire.sock = None


class FullSocket:
    """Always has as much as is asked for."""

    def recv(self, size: int) -> bytes:
        return b"x" * size


class BrokenSocket:
    """Fails with an error, whatever one does."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def send(self, data: bytes) -> int:
        raise self._error

    recv: Any = send


@pytest.mark.parametrize("error", [BlockingIOError(errno.EAGAIN, ""), InterruptedError(errno.EINTR, "")])
def test_a_socket_that_is_not_ready_is_no_error(pair, error):
    wire = pair[0]
    wire.sock = BrokenSocket(error)
    assert wire.send(b"data") == b"data"
    assert wire.receive_raw() is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer"),
        (OSError("?"), "?"),
    ],
)
def test_a_socket_that_fails_is_an_error_with_its_reason(pair, error, reason):
    wire = pair[0]
    wire.sock = BrokenSocket(error)
    with pytest.raises(WriteError) as caught:
        wire.send(b"data")
    assert str(caught.value) == f"sending failed: {reason}"
    with pytest.raises(ReadError) as caught_too:
        wire.receive_raw()
    assert str(caught_too.value) == f"receiving failed: {reason}"


def test_a_peer_that_resets_is_a_read_error_and_then_a_write_error(pair):
    wire, far = pair
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    assert wire.poll(5000)
    with pytest.raises(ReadError, match="receiving failed: Connection reset"):
        wire.receive_raw()
    with pytest.raises(WriteError, match="sending failed: Broken pipe"):
        wire.send(b"data")


def test_a_closed_wire_neither_sends_nor_receives(pair):
    wire, far = pair
    wire.close()
    wire.close()
    assert far.recv(100) == b""
    with pytest.raises(WriteError):
        wire.send(b"data")
    with pytest.raises(ReadError):
        wire.receive_raw()


def secured(wire: Wire, far: socket.socket) -> Any:
    """Do a TLS handshake over the pair; the server's end."""
    ends = []
    context, tls = certs.server_context(), TLSFilter(certs.client_context(), "localhost")
    thread = threading.Thread(target=lambda: ends.append(context.wrap_socket(far, server_side=True)))
    thread.start()
    wire.send(tls.handshake())
    while not tls.established:
        wire.send(tls.handshake(receive(wire)))
    thread.join()
    wire.tls = tls
    return ends[0]


def test_closing_says_goodbye_under_tls(pair):
    wire, far = pair
    with secured(wire, far) as server:
        wire.close()
        assert server.recv(100) == b""  # a proper end: a ragged one raises
        assert wire.sock.fileno() == -1


def test_closing_does_not_mind_a_peer_that_is_gone(pair):
    wire, far = pair
    with secured(wire, far) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert wire.poll(5000)
    wire.close()
    assert wire.sock.fileno() == -1


def test_what_is_known_of_a_connection(pair):
    wire, far = pair
    assert wire.extra_info("socket") is wire.sock
    assert wire.extra_info("client_addr") == far.getpeername()
    assert wire.extra_info("server_addr") == far.getsockname()
    assert wire.extra_info("ssl_object") is None
    assert wire.extra_info("anything else") is None
    with secured(wire, far):
        tls = wire.extra_info("ssl_object")
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
        assert wire.extra_info("tls_version") == tls.version()
        assert wire.extra_info("cipher") == tls.cipher()
        assert wire.extra_info("peercert") == tls.getpeercert()
        assert wire.extra_info("peercert_der") == tls.getpeercert(True)
        assert wire.extra_info("alpn_protocol") == tls.selected_alpn_protocol()
        assert wire.extra_info("session_reused") is False
        wire.close()


def test_a_connection_is_readable_when_something_came_or_it_ended(pair):
    wire, far = pair
    assert wire.extra_info("is_readable") is False
    far.sendall(b"x")
    assert wire.poll(5000)
    assert wire.extra_info("is_readable") is True
    assert receive(wire) == b"x"
    far.close()
    assert wire.poll(5000)
    assert wire.extra_info("is_readable") is True


def test_a_thread_that_waits_does_not_keep_another_from_asking(pair):
    """One poll object serves one thread at a time; a second one got a RuntimeError."""
    wire, far = pair
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        wire.poll(5000)

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    for _ in range(100):
        assert wire.extra_info("is_readable") is False
    far.sendall(b"x")
    thread.join()


def test_of_a_closed_connection_nothing_is_known(pair):
    wire, _ = pair
    wire.close()
    assert wire.extra_info("is_readable") is True
    assert wire.extra_info("client_addr") is None
    assert wire.extra_info("server_addr") is None


# What is unsent.


def test_what_is_left_is_a_view_of_the_data_and_not_a_copy(pair):
    """Harm: each piece that the socket took cost a copy of all the others."""
    wire, _ = pair
    data = b"x" * 20_000_000
    rest = wire.send(data)
    assert isinstance(rest, memoryview)
    assert rest.obj is data
    wire.sock = HalfSocket()
    assert wire.send(rest).obj is data
    wire.sock = None


class HalfSocket:
    """Takes a half of what it is given."""

    def send(self, data: bytes) -> int:
        return len(data) // 2


def test_what_is_queued_follows_what_is_unsent(pair):
    wire, far = pair
    wire.queue(b"a" * 20_000_000)
    left = len(wire.unsent)
    assert left
    wire.queue(b"b")
    assert len(wire.unsent) == left + 1
    received = 0
    last = b""
    while received < 20_000_001:
        if wire.unsent:
            wire.flush()
        last = far.recv(1_000_000)
        received += len(last)
    assert last.endswith(b"ab")


# Several users.


def test_the_last_user_closes_the_descriptor(pair):
    """Harm: a thread that was about to use the descriptor used somebody else's socket."""
    wire, far = pair
    for _ in range(2):
        wire.users.append(None)
    wire.close()
    assert wire.closed
    assert far.recv(100) == b""  # who waits is woken
    assert wire.sock.fileno() >= 0
    wire.leave()
    assert wire.sock.fileno() >= 0
    wire.leave()
    assert wire.sock.fileno() == -1


@pytest.mark.parametrize("shared", [False, True])
def test_a_close_that_was_interrupted_can_be_repeated(shared: bool):
    """The wire counted as closed, or as used, and its descriptor stayed open for ever."""
    files = (sys.modules[Wire.__module__].__file__ or "",)
    for number in itertools.count(1):
        near, far = tcp_pair()
        with far, near:
            wire = Wire(near)
            if shared:
                wire.share()
            try:
                interrupt(wire.close, files, number)
            except Interrupted:
                wire.close()
                assert near.fileno() == -1, number
            else:
                break
    assert number > 20


def test_asking_for_readiness_is_a_use(pair):
    wire, _ = pair
    wire.users.append(None)
    wire.interrupt()
    assert wire.extra_info("is_readable") is True
    assert wire.sock.fileno() >= 0
    wire.leave()
    assert wire.sock.fileno() >= 0  # its owner closes it
    wire.close()
    assert wire.sock.fileno() == -1


class Session:
    """A TLS session that says goodbye."""

    def __init__(self) -> None:
        self.goodbyes = 0

    def close(self) -> bytes:
        self.goodbyes += 1
        return b"goodbye"


@pytest.mark.parametrize("what", ["nothing", "unsent bytes", "another thread's lock", "another user"])
def test_closing_says_goodbye_unless_that_would_be_in_the_middle_of_something(pair, what):
    """Within a record the peer would take it for an attack, and TLS serves one thread at a time."""
    wire, far = pair
    wire.tls = session = Session()
    if what != "another user":
        wire.share()
        lock = wire.lock
        wire.share()
        assert wire.lock is lock
    if what == "unsent bytes":
        wire.unsent = b"half a record"
    elif what == "another thread's lock":
        wire.lock.acquire()  # by a thread that a signal has interrupted, and this is its handler
    elif what == "another user":
        wire.users.append(None)
    wire.close()
    assert session.goodbyes == (what == "nothing")
    assert far.recv(100) == (b"goodbye" if what == "nothing" else b"")
    if what == "another user":
        wire.leave()
    assert wire.sock.fileno() == -1


def test_the_streams_of_http2_do_not_let_goodbye_be_said_within_a_record(pair):
    """The harm: in threads and on trio the peer was told of a record that had been tampered with."""
    wire, far = pair
    wire.tls = session = Session()
    carrier = Carrier(wire, http2.Session(httpx.HTTPTransport()._engine.settings, lambda: 0.0), (), lambda: None)
    carrier.unsent = b"half a record"
    carrier.say_goodbye()
    wire.close()
    assert session.goodbyes == 0
    assert far.recv(100) == b""
