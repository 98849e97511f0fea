"""The generators that make a connection, driven in memory: no socket, no clock, no loop."""

from __future__ import annotations

import ssl
from typing import Any, Optional

import pytest

from httpx._engine.connecting import shake_hands
from httpx._engine.operations import Operation, Receive, Send, Steps
from httpx._exceptions import ConnectError, ReadError, WriteError
from httpx._protocol.tls import TLSFilter
from support import certs


class TLSServer:
    """The server's side of TLS, in memory."""

    def __init__(self) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = certs.server_context().wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.early = b""  # sent in one piece with the end of the handshake

    def talk(self, data: bytes) -> bytes:
        """Take bytes of the client, and return what the server sends."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read()
        self._tls.write(self.early)
        return self._outgoing.read()


def run(steps: Steps[Any], results: list[Any]) -> tuple[Any, list[Operation]]:
    """Drive a generator with the results of its operations, exceptions among them; its result and its operations."""
    operations = []
    try:
        operation = next(steps)
        while True:
            operations.append(operation)
            result = results.pop(0)
            operation = steps.throw(result) if isinstance(result, BaseException) else steps.send(result)
    except StopIteration as stop:
        return stop.value, operations


def client() -> TLSFilter:
    return TLSFilter(certs.client_context(), "localhost")


def shake(tls: TLSFilter, server: TLSServer, size: Optional[int] = None) -> bool:
    """Do the handshake with a server, whose bytes arrive in pieces of `size`."""
    steps, arrived = shake_hands(tls, 5.0), b""
    result: Any = None
    try:
        while True:
            operation = steps.send(result)
            assert operation[-1] == 5.0  # one deadline for all of it
            if isinstance(operation, Send):
                arrived += server.talk(operation.data)
                result = True
            else:
                assert isinstance(operation, Receive)
                result, arrived = arrived[:size], b"" if size is None else arrived[size:]
    except StopIteration as stop:
        return bool(stop.value)


@pytest.mark.parametrize("size", [None, 1, 100])
def test_a_handshake_succeeds_however_its_bytes_are_cut(size):
    tls = client()
    assert shake(tls, TLSServer(), size) is True
    assert tls.established
    assert tls.leftover() == b""


def test_bytes_in_one_piece_with_the_end_of_the_handshake_are_left_in_the_filter():
    server, tls = TLSServer(), client()
    server.early = b"SETTINGS"
    context = certs.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the server speaks last
    server._tls = context.wrap_bio(server._incoming, server._outgoing, server_side=True)
    assert shake(tls, server) is True
    assert tls.leftover() == b"SETTINGS"


def test_a_handshake_ends_when_time_is_up():
    result, operations = run(shake_hands(client(), 3.0), [False])
    assert result is False
    assert [type(operation) for operation in operations] == [Send]
    result, operations = run(shake_hands(client(), 3.0), [True, None])
    assert result is False
    assert operations[1:] == [Receive(3.0)]


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([WriteError("sending failed: Broken pipe")], "sending failed: Broken pipe"),
        ([True, ReadError("receiving failed: reset")], "receiving failed: reset"),
    ],
)
def test_a_connection_that_breaks_in_a_handshake_is_a_connect_error(results, reason):
    with pytest.raises(ConnectError, match=f"^TLS handshake with 'localhost' failed: {reason}$"):
        run(shake_hands(client(), None), results)


def test_a_peer_that_ends_the_connection_in_a_handshake_is_a_connect_error():
    with pytest.raises(ConnectError, match="TLS handshake with 'localhost' failed"):
        run(shake_hands(client(), None), [True, b""])
