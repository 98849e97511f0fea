"""
A connected non-blocking socket with the TLS filter on it, as far as it needs no waiting; the same for every shell.

Not here: receiving with a time limit, which is what the shells differ in.
"""

from __future__ import annotations

import select
import socket
import ssl
from typing import Any, Callable

from .._exceptions import ReadError, WriteError
from .._protocol.exchange import Exchange
from .._protocol.tls import TLSFilter

# Bytes asked for at once: enough for nearly every answer, then more for bodies that turn out to be large. Not 128 KiB:
# from there on glibc takes memory from the system each time, and gives it back. With 256 KiB a download of 100 MB over
# HTTP/2 and TLS cost 169 ms, with this 138.
SMALL_READ = 65_536
LARGE_READ = 114_688

# Who could put bytes before TLS could put them where they pass for the peer's (CVE-2011-0411).
EARLY = "TLS cannot begin: the peer has sent bytes that were not read yet"

# What is asked of a connection -> the answer of its SSLObject.
_TLS_INFO: dict[str, Callable[[ssl.SSLObject], Any]] = {
    "ssl_object": lambda tls: tls,
    "tls_version": lambda tls: tls.version(),
    "cipher": lambda tls: tls.cipher(),
    "peercert": lambda tls: tls.getpeercert(),
    "peercert_der": lambda tls: tls.getpeercert(True),
    "alpn_protocol": lambda tls: tls.selected_alpn_protocol(),
    "session_reused": lambda tls: tls.session_reused,
}


class Wire:
    """
    A socket and its TLS filter, None for plain TCP.

    Sending never waits: what the socket does not take at once is returned.
    """

    __slots__ = ("early", "poll", "size", "sock", "tls", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tls: TLSFilter | None = None
        # What the socket did not take, as it goes through it; what is sent next must come after it.
        self.unsent = b""
        # Plain bytes that the peer sent before the connection was made, such as those that came in one piece with the
        # end of the TLS handshake. They are received first.
        self.early = b""
        self.size = SMALL_READ
        # Milliseconds (None: for ever) -> is there input, or its end? One poll object for the life of the socket:
        # making one, or a timeout on the socket, costs more than a whole send.
        self.poll = _poller(sock)

    def deliver_end(self, exchange: Exchange) -> None:
        """Tell the exchange that the peer's side has ended, and whether TLS was ended properly."""
        if self.tls is not None and self.tls.incomplete_close:
            exchange.receive_incomplete_close()
        else:
            exchange.receive(b"")

    def send(self, data: bytes) -> bytes:
        """
        Send what the socket takes at once, and return the rest.

        `data` is as it goes through the socket: where there is TLS, what `tls.encrypt` gave.

        Raises:
            WriteError: the connection broke.
        """
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return data
        except OSError as exc:
            raise WriteError(f"sending failed: {exc.strerror or exc}") from exc
        return b"" if sent == len(data) else data[sent:]

    def queue(self, data: bytes) -> None:
        """Send `data`, which is as for `send`, after what is unsent; what the socket does not take is unsent, too."""
        self.unsent = b"".join((self.unsent, data)) if self.unsent else self.send(data)

    def flush(self) -> None:
        """Send of what is unsent as much as the socket takes at once. Raises WriteError."""
        self.unsent = self.send(self.unsent)

    def receive_now(self) -> bytes | None:
        """
        Return what has arrived, without waiting: b"" at the peer's end, None if there is nothing, or nothing for us.

        Raises:
            ReadError, ConnectError: the connection broke.
        """
        tls = self.tls
        if tls is not None and tls.ended:
            return b""  # the end came in one piece with what was received last
        data = self.receive_raw()
        if tls is None or data is None:
            return data
        data = tls.receive(data)
        if tls.due:
            self.queue(tls.pending())
        return data if data or tls.ended else None

    def receive_raw(self) -> bytes | None:
        """
        What the socket has, below TLS: b"" at its end, None if there is nothing now.

        Raises:
            ReadError: the connection broke.
        """
        try:
            data = self.sock.recv(self.size)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as exc:
            raise ReadError(f"receiving failed: {exc.strerror or exc}") from exc
        if len(data) == SMALL_READ:
            self.size = LARGE_READ
        return data

    @property
    def alpn(self) -> str | None:
        """The protocol that TLS agreed on; None without TLS, or without agreement."""
        return None if self.tls is None else self.tls.alpn

    def take_early(self) -> bytes:
        """Remove and return what the peer sent before the connection was made: maybe nothing."""
        early, self.early = self.early, b""
        return early

    def close(self) -> None:
        """Say goodbye if that needs no waiting, and close the socket."""
        try:
            if self.tls is not None:
                self.sock.send(self.tls.close())
        except OSError:
            pass  # the peer is gone already
        self.sock.close()

    def extra_info(self, info: str) -> Any:
        """
        What is known of the connection; None for anything else, and for what there is not.

        "socket", "client_addr", "server_addr", "is_readable"; and of TLS, the innermost if there are two: "ssl_object",
        "tls_version" ("TLSv1.3"), "cipher" (name, protocol, secret bits), "peercert" (the peer's certificate as
        `ssl.SSLSocket.getpeercert` describes it, empty if it was not verified), "peercert_der" (the same in DER),
        "alpn_protocol" and "session_reused".
        """
        tls_info = _TLS_INFO.get(info)
        if tls_info is not None:
            return None if self.tls is None else tls_info(self.tls.ssl_object)
        if info == "socket":
            return self.sock
        if info == "is_readable":
            # Not `self.poll`: another thread may be waiting in it, and one poll object serves one at a time.
            return self.sock.fileno() < 0 or bool(_poller(self.sock)(0))
        try:
            if info == "client_addr":
                return self.sock.getsockname()
            if info == "server_addr":
                return self.sock.getpeername()
        except OSError:
            pass  # closed
        return None


def _poller(sock: socket.socket) -> Callable[[float | None], Any]:
    if not hasattr(select, "poll"):  # pragma: no cover - Windows
        return lambda milliseconds: select.select(
            [sock], [], [], None if milliseconds is None else milliseconds / 1000
        )[0]
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll
