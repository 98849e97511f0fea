"""
One server for everything that may go wrong with a request: what it does is said by the path.

    /echo          200, the body is the request's X-Id and then its body
    /silent        reads the request and says nothing
    /half          half of a head, and then nothing
    /stall         a head and half of a body, and then nothing
    /pieces        a chunked body in `PIECES`, each when the test calls `more()`
    /unread        does not read the body, until the test calls `let_go()`
    /refuse        413 and the end, without having read the body
    /moved         302 to /echo
    /events        an event stream with one event
    /hinted        103, and then like /echo
    /close         like /echo, with Connection: close
    /end           like /echo, and the end, which was not announced

It waits for tests by events and never sleeps; every wait is bounded, and ends when the client is gone.

`blackhole()` is an address that never answers a connection attempt, without a network. `StallingTLS` stops in the
middle of a TLS handshake.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import threading
from collections.abc import Iterator

from . import certs
from .servers import TIMEOUT, Conn, ScriptedServer

PIECES = [b"one", b"two", b"three"]


class Peer(ScriptedServer):
    """
    The server.

    Args:
        tls: speak TLS, with a certificate of `certs.authority`.
        timeout: seconds that one wait may take.
    """

    def __init__(self, tls: bool = False, timeout: float = TIMEOUT, host: str = "127.0.0.1") -> None:
        self._more = threading.Semaphore(0)
        self._go = threading.Event()
        super().__init__(self._serve, tls=certs.server_context() if tls else None, timeout=timeout, host=host)

    def more(self) -> None:
        """Send the next piece of /pieces."""
        self._more.release()

    def let_go(self) -> None:
        """End the connections of /unread."""
        self._go.set()

    def close(self) -> None:
        """Stop; see `ScriptedServer.close`."""
        self.let_go()
        super().close()

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        while True:
            first = conn.recv(1)
            if not first:
                return
            conn._unread = first + conn._unread
            head = conn.read_head()
            path = head.split(b" ", 2)[1].lstrip(b"/").decode("ascii")
            if not getattr(self, f"_{path}")(conn, head):
                return

    def _echo(self, conn: Conn, head: bytes, fields: bytes = b"") -> bool:
        match = re.search(rb"\r\nx-id: (\w+)", head, re.IGNORECASE)
        conn._unread = head + conn._unread
        try:
            body = (match.group(1) if match else b"-") + conn.read_request()[1]
        except AssertionError:  # the client ended in the middle
            return False
        conn.sendall(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body))
        return True

    def _hinted(self, conn: Conn, head: bytes) -> bool:
        conn.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        return self._echo(conn, head)

    def _close(self, conn: Conn, head: bytes) -> bool:
        return not self._echo(conn, head, b"Connection: close\r\n")

    def _end(self, conn: Conn, head: bytes) -> bool:
        return not self._echo(conn, head)

    def _silent(self, conn: Conn, head: bytes, begun: bytes = b"") -> bool:
        conn.sendall(begun)
        conn.read_to_end()
        return False

    def _half(self, conn: Conn, head: bytes) -> bool:
        return self._silent(conn, head, b"HTTP/1.1 200 OK\r\nContent-")

    def _stall(self, conn: Conn, head: bytes) -> bool:
        return self._silent(conn, head, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")

    def _moved(self, conn: Conn, head: bytes) -> bool:
        conn.sendall(b"HTTP/1.1 302 Found\r\nLocation: /echo\r\nContent-Length: 4\r\n\r\nover")
        return True

    def _events(self, conn: Conn, head: bytes) -> bool:
        conn.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 16\r\n\r\nid: 1\ndata: 1\n\n\n"
        )
        return True

    def _pieces(self, conn: Conn, head: bytes) -> bool:
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in [*PIECES, b""]:
            while not self._more.acquire(timeout=0.001):
                if self._stopping or is_gone(conn.sock):
                    return False
            conn.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    def _unread(self, conn: Conn, head: bytes) -> bool:
        # The client's end stays unseen behind all that it has sent, so only the test can say that it is over.
        assert self._go.wait(self.timeout)
        return False

    def _refuse(self, conn: Conn, head: bytes) -> bool:
        conn.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
        return False


def is_gone(sock: socket.socket) -> bool:
    """Did the client close its side, or say something (of which TLS says one more at the end)?"""
    # Not with MSG_DONTWAIT: Python waits for a socket with a timeout before it asks at all.
    return bool(select.select([sock], [], [], 0)[0])


@contextlib.contextmanager
def blackhole() -> Iterator[tuple[str, int]]:
    """An address where nobody accepts and the queue of connections is full, so that attempts to connect hang."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.02)
            try:
                filler.connect(address)
            except OSError:  # the queue is full
                break
        yield address


@contextlib.contextmanager
def stalling_tls(share: float) -> Iterator[ScriptedServer]:
    """
    A server that sends only a part of its side of the TLS handshake, and then nothing.

    Args:
        share: of its first flight, from 0 (nothing) to 1 (all of it; then it does not answer the client's).
    """

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certs.server_context().wrap_bio(incoming, outgoing, server_side=True)
        while not outgoing.pending:
            data = conn.recv()
            if not data:
                return
            incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
        flight = outgoing.read()
        conn.sendall(flight[: int(len(flight) * share)])
        conn.read_to_end()

    with ScriptedServer(serve) as server:
        yield server
