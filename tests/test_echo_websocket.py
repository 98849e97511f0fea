"""`/websocket` of the echo server: frames without sockets, then through the clients and the command."""

from __future__ import annotations

import io
from typing import Any

import pytest

import httpx
from httpx._cli import echo_websocket as module
from httpx._cli.echo_server import EchoServer
from httpx._cli.echo_websocket import MAX_MESSAGE, accept_of, echo


def sent(opcode: int, payload: bytes = b"", final: bool = True, bits: int = 0) -> bytes:
    """Return a frame of a client."""
    key = b"\x01\x02\x03\x04"
    size = len(payload)
    first = (0x80 if final else 0) | bits | opcode
    head = bytes([first, 0x80 | (size if size < 126 else 126 if size < 1 << 16 else 127)])
    head += b"" if size < 126 else size.to_bytes(2 if size < 1 << 16 else 8, "big")
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def echoed(*frames: bytes) -> bytes:
    out: list[bytes] = []
    echo(io.BytesIO(b"".join(frames)).read, out.append)
    return b"".join(out)


def test_the_key_of_the_rfc_has_the_accept_of_the_rfc():
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65535, 65536])
def test_a_message_of_any_size_comes_back(size: int):
    payload = bytes(range(256)) * 256 + b"x"
    assert echoed(sent(2, payload[:size])) == module._made(2, payload[:size])


def test_pieces_come_back_as_one_message_and_pings_between_them_are_answered():
    assert echoed(sent(1, b"a", final=False), sent(9, b"p"), sent(10), sent(0, b"b")) == b"\x8a\x01p\x81\x02ab"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"\x81\x01a"], 1002),  # not masked
        ([sent(0, b"a")], 1002),  # nothing to continue
        ([sent(1, b"a", final=False), sent(1, b"b")], 1002),
        ([sent(3, b"a")], 1002),
        ([sent(1, b"a", bits=0x40)], 1002),
        ([sent(9, b"", final=False)], 1002),
        ([sent(9, bytes(126))], 1002),
        ([sent(1, b"\xff")], 1007),
        ([b"\x82\xff" + (MAX_MESSAGE + 1).to_bytes(8, "big")], 1009),
        ([sent(2, bytes(9), final=False), b"\x80\xff" + MAX_MESSAGE.to_bytes(8, "big")], 1009),
        ([sent(8, b"x")], 1002),
        ([sent(8)], 1000),
        ([sent(8, (4000).to_bytes(2, "big") + b"bye"), sent(1, b"not read")], 4000),
    ],
)
def test_it_ends_with_the_right_code(frames: list[bytes], code: int):
    assert echoed(*frames) == b"\x88\x02" + code.to_bytes(2, "big")


def test_a_connection_that_ends_at_any_byte_ends_the_session():
    frame = sent(1, b"hello")
    assert [echoed(frame[:size]) for size in range(len(frame))] == [b""] * len(frame)


def test_the_client_gets_its_messages_back(echo_server: EchoServer, no_leaks: Any):
    with httpx.Client() as client, client.websocket(f"{echo_server.url}/websocket") as ws:
        ws.send("Grüße")
        ws.send(b"\x00\xff" * 50_000)
        assert ws.receive() == "Grüße"
        assert ws.receive() == b"\x00\xff" * 50_000


def test_a_plain_request_is_told_to_upgrade(echo_server: EchoServer):
    response = httpx.get(f"{echo_server.url}/websocket")
    assert (response.status_code, response.headers["upgrade"]) == (426, "websocket")
