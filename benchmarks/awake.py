"""
A server that never sleeps: it polls its sockets all the time and takes a whole core.

    awake.py HOST    prints its port, and serves until its standard input ends

Against a server that sleeps in the kernel until a request comes, each request pays for waking it: that is a part of the
client's `send`, and much of what a small request costs. Here nobody has to be woken there, and what is left is the
client's own work. Every request gets the same response (`origin.SMALL`); only GET and HTTP/1.1 without TLS.

It must not run while anything else is measured, so `run` starts it for the cases that want it (`Awake`).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from typing import Any, Optional

from origin import SMALL, Unavailable, pinned, stop

RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: awake\r\nDate: Sun, 01 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\nAccept-Ranges: bytes\r\n\r\n" % len(SMALL)
) + SMALL


class Awake:
    """
    A running server, as a context manager.

    Args:
        cpus: the cores that it may use; None for no pinning.

    Raises:
        Unavailable: it did not start.
    """

    def __init__(self, cpus: Optional[set[int]] = None) -> None:
        self.cpus = cpus
        self.url = ""

    def __enter__(self) -> Awake:
        with pinned(self.cpus):
            self.process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "127.0.0.1"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        if not port:
            stop(self.process)
            raise Unavailable("the server that never sleeps did not start")
        self.url = f"http://127.0.0.1:{port}/small"
        return self

    def __exit__(self, *unused: Any) -> None:
        stop(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Poller:
    """The sockets that can be read now, by the quickest means of the system; it never waits."""

    def __init__(self) -> None:
        self.by_number: dict[int, socket.socket] = {}
        self.poll: Any = select.epoll() if hasattr(select, "epoll") else None

    def add(self, sock: socket.socket) -> None:
        """Watch one more."""
        self.by_number[sock.fileno()] = sock
        if self.poll is not None:
            self.poll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """Watch one less, and close it."""
        del self.by_number[sock.fileno()]
        if self.poll is not None:
            self.poll.unregister(sock.fileno())
        sock.close()

    def readable(self) -> list[socket.socket]:
        """Those that have something to read, or have ended."""
        if self.poll is None:
            return select.select(list(self.by_number.values()), [], [], 0)[0]
        return [self.by_number[number] for number, _ in self.poll.poll(0)]


def serve(host: str) -> None:
    """Serve until standard input ends."""
    listener = socket.create_server((host, 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    poller = Poller()
    poller.add(listener)
    unread: dict[socket.socket, bytes] = {}
    looks = 0
    while True:
        looks += 1
        # The parent is looked for rarely: each look is a system call.
        if looks % 100_000 == 0 and select.select([sys.stdin], [], [], 0)[0]:
            return
        for sock in poller.readable():
            if sock is listener:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                poller.add(accepted)
                continue
            received = b""
            with contextlib.suppress(ConnectionError):
                received = sock.recv(65536)
            if not received:
                unread.pop(sock, None)
                poller.remove(sock)
                continue
            requests, separator, rest = (unread.pop(sock, b"") + received).rpartition(b"\r\n\r\n")
            if rest:
                unread[sock] = rest
            if separator:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(RESPONSE * (requests.count(separator) + 1))


if __name__ == "__main__":
    serve(sys.argv[1])
