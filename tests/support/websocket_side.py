"""
The server's side of a WebSocket that judges and misbehaves, as a machine: bytes in, bytes out. For `support.stress`.

The path of the handshake says what it does, /ws/KIND/NUMBER/NAME:

    echo     sends every message back, in random fragments, some only after the client has answered a ping
    flood    sends NUMBER messages at once, and a Close
    bye      sends NUMBER messages back, and a Close with the code 4000
    cut      like echo, but its output ends after NUMBER bytes of anything, with or without a reset
    ruin     like cut, and the connection ends and not only the stream, where that is a difference

Every message of a client has to be `text(NAME, sender, number)`, each sender's numbers in order. The reason of the last
Close is how many have arrived. What the client does against that is in `faults`.

Not here: sockets and streams (`support.stress`).
"""

from __future__ import annotations

import random
from typing import Optional

from .websocket import CLOSE, CONTINUATION, PING, PONG, TEXT, frame

FAREWELL = 4000  # the code of the Close of `bye`


def text(name: str, sender: str, number: int, size: int = 1) -> str:
    """Return a message of about `size` characters that belongs to one place of one session."""
    unit = f"{name}/{sender}/{number} "
    return unit * (size // len(unit) + 1)


class Side:
    """
    Args:
        path: of the request that opened it.
        head: bytes of the response that has opened it, which count for `cut`.

    Attributes:
        output: what is to be sent; the caller takes it.
        end: None, or how the stream ends after the output: "shut" or "reset".
        faults: what the client did against the rules.
    """

    def __init__(self, path: str, head: bytes = b"") -> None:
        _, _, self.kind, number, self.name = path.split("/")
        self.number = int(number)
        self.output = bytearray()
        self.end: Optional[str] = None
        self.faults: list[str] = []
        self._dice = random.Random(path)
        self._input = bytearray()
        self._message = bytearray()
        self._count = 0
        self._next: dict[str, int] = {}  # sender -> number of its next message
        self._pings = 0
        self._waiting: list[str] = []  # to be sent after the pong
        self._closed = False
        self._left = self.number if self.kind in ("cut", "ruin") else None
        self._send(head)
        if self.kind == "flood":
            for each in range(self.number):
                self._send(frame(TEXT, text(self.name, "flood", each).encode()))
            self._close(1000, str(self.number))

    def take(self, size: int) -> bytes:
        """Take so many bytes of the output, at most."""
        taken = bytes(self.output[:size])
        del self.output[:size]
        return taken

    def receive(self, data: bytes) -> None:
        """Take what has arrived."""
        self._input += data
        while self.end is None and (size := self._size()) and len(self._input) >= size:
            one, self._input = self._input[:size], self._input[size:]
            self._take_frame(one)

    def _size(self) -> int:
        """Return the size of the next frame, 0 if it is not known yet."""
        if len(self._input) < 2:
            return 0
        length = self._input[1] & 0x7F
        extended = {126: 2, 127: 8}.get(length, 0)
        if len(self._input) < 2 + extended:
            return 0
        return 6 + extended + (int.from_bytes(self._input[2 : 2 + extended], "big") if extended else length)

    def _take_frame(self, one: bytearray) -> None:
        at = 2 + {126: 2, 127: 8}.get(one[1] & 0x7F, 0)
        if not one[1] & 0x80:
            self.faults.append(f"{self.name}: a frame without a mask")
        payload = bytes(one[at + 4 :])
        key = bytes(one[at : at + 4]) * (len(payload) // 4 + 1)
        mask = int.from_bytes(key[: len(payload)], "little")
        payload = (int.from_bytes(payload, "little") ^ mask).to_bytes(len(payload), "little")
        opcode = one[0] & 0x0F
        if self._closed and opcode != CLOSE:
            return  # it has not seen our Close yet
        if opcode == CLOSE:
            self._close(int.from_bytes(payload[:2], "big"), str(self._count))
            self.end = self.end or "shut"
        elif opcode == PING:
            self._send(frame(PONG, payload))
        elif opcode == PONG:
            self._take_pong(payload)
        else:
            self._message += payload
            if one[0] & 0x80:
                message, self._message = bytes(self._message), bytearray()
                self._take_message(message.decode())

    def _take_pong(self, payload: bytes) -> None:
        if payload != f"{self.name} {self._pings}".encode():  # one ping is under way at most
            self.faults.append(f"{self.name}: pong {payload!r} after ping {self._pings}")
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._send_message(each)
        self._say_farewell()

    def _take_message(self, message: str) -> None:
        name, _, rest = message.partition("/")
        sender, _, rest = rest.partition("/")
        number, _, _ = rest.partition(" ")
        expected = self._next.get(sender, 0)
        if (name, number) != (self.name, str(expected)) or message != text(name, sender, expected, len(message) - 1):
            self.faults.append(f"{self.name}: {message[:60]!r} of {len(message)}, not {sender} {expected}")
        self._next[sender] = expected + 1
        self._count += 1
        if self._waiting:
            self._waiting.append(message)
        elif self._dice.random() < 0.1:
            self._pings += 1
            self._waiting.append(message)
            self._send(frame(PING, f"{self.name} {self._pings}".encode()))
        else:
            self._send_message(message)
        self._say_farewell()

    def _say_farewell(self) -> None:
        if self.kind == "bye" and self._count >= self.number and not self._waiting:
            self._close(FAREWELL, str(self._count))

    def _send_message(self, message: str) -> None:
        data = message.encode()
        cuts = sorted(self._dice.randrange(len(data) + 1) for _ in range(self._dice.choice((0, 0, 0, 1, 3))))
        pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)])]
        for index, piece in enumerate(pieces):
            self._send(frame(CONTINUATION if index else TEXT, piece, final=index == len(pieces) - 1))
            if self._dice.random() < 0.1:
                self._send(frame(PONG, b"unasked"))  # allowed, RFC 6455 5.5.3

    def _close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._send(frame(CLOSE, code.to_bytes(2, "big") + reason.encode()))

    def _send(self, data: bytes) -> None:
        if self.end is not None:
            return
        if self._left is not None:
            data, self._left = data[: self._left], self._left - len(data)
            if self._left <= 0:
                self.end = "shut" if self.number % 2 else "reset"
        self.output += data
