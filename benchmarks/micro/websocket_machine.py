"""
What does a WebSocket message cost without a network, in our machine, in websockets' and in wsproto's?

Echo: one message is sent, one is received. Flood: 500 messages arrive at once. The size is that of the text. All three
check UTF-8; websockets masks in C.
"""

from __future__ import annotations

import time
from typing import Any, Callable

from websockets.protocol import OPEN, Protocol, Side
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from httpx._protocol.websocket import WebSocketMachine

BATCH = 500


def frame(payload: bytes) -> bytes:
    """Return a server's frame with a text."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def ours() -> tuple[Callable[[str], Any], Callable[[bytes], None]]:
    machine = WebSocketMachine()

    def send(text: str) -> None:
        machine.send(text)
        machine.take()

    def receive(data: bytes) -> None:
        machine.receive(data)
        while machine.messages:
            machine.take_message()
        machine.resume()

    return send, receive


def websockets() -> tuple[Callable[[str], Any], Callable[[bytes], None]]:
    protocol = Protocol(Side.CLIENT, state=OPEN, max_size=None)

    def send(text: str) -> None:
        protocol.send_text(text.encode())
        protocol.data_to_send()

    def receive(data: bytes) -> None:
        protocol.receive_data(data)
        for event in protocol.events_received():
            event.data.decode()

    return send, receive


def wsproto() -> tuple[Callable[[str], Any], Callable[[bytes], None]]:
    connection = Connection(ConnectionType.CLIENT)

    def receive(data: bytes) -> None:
        connection.receive_data(data)
        for event in connection.events():
            _ = event.data

    return lambda text: connection.send(TextMessage(text)), receive


def microseconds(act: Callable[[], object], count: int) -> float:
    best = float("inf")
    for _ in range(15):
        began = time.process_time()
        for _ in range(count):
            act()
        best = min(best, time.process_time() - began)
    return best / count * 1e6


def echo(size: int, make: Callable[[], Any]) -> float:
    (send, receive), text = make(), "x" * size
    data = frame(text.encode())

    def act() -> None:
        send(text)
        receive(data)

    return microseconds(act, max(4, 200_000 // (size + 100)))


def flood(size: int, make: Callable[[], Any]) -> float:
    (_, receive), data = make(), frame(b"x" * size) * BATCH
    return microseconds(lambda: receive(data), 4) / BATCH


if __name__ == "__main__":
    for kind, size in ((echo, 32), (echo, 1024), (echo, 1 << 20), (flood, 64), (flood, 1024)):
        costs = [kind(size, make) for make in (ours, websockets, wsproto)]
        shares = [f"{costs[0] / cost:.2f}" for cost in costs[1:]]
        print(
            f"{kind.__name__:5} {size:8} B  ours {costs[0]:8.2f} µs, of websockets {shares[0]}, of wsproto {shares[1]}"
        )
