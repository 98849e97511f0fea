"""
A connected non-blocking socket with the TLS filter on it, as far as it needs no waiting; the same for every shell.
It is closed when its last user has left.

Not here: waiting for input or for room, which is what the shells differ in.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Callable, Union

from .._exceptions import ReadError, WriteError
from .._protocol.exchange import Exchange
from .._protocol.tls import TLSFilter

if TYPE_CHECKING:
    from .._timings import Dialled

# Bytes asked for at once: enough for nearly every response, then more for bodies that turn out to be large. Not 128
# KiB: from there on glibc takes memory from the system each time, and gives it back. With 256 KiB a download of 100 MB
# over HTTP/2 and TLS cost 169 ms, with this 138.
SMALL_READ = 65_536
LARGE_READ = 114_688
# Bytes asked for at once where the memory is used again and again: a few of them fit into the cache of a core.
LENT_READ = 524_288

# What can be sent: `bytes`, or a view of what is left of them.
Data = Union[bytes, memoryview]

# What `get_extra_info` is asked for -> how to ask the SSLObject.
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

    A descriptor must not be touched after it was closed, because by then it may belong to another socket. So a wire is
    closed by its last user. Where several threads use one wire, each announces itself:

        wire.users.append(None)     atomic, unlike a counter
        try:
            if wire.closed: raise ...
            ...                     the descriptor stays open here
        finally:
            wire.leave()

    `close` marks the wire and shuts the socket down, which wakes the users. A user either sees the mark after it has
    announced itself, or is seen by `close`, which then leaves the descriptor to it.

    Attributes:
        closed: no thread may begin to use the wire.
        released: it may be closed by its last user.
        users: one entry for each thread that is using the wire now: None, or the job of a request of HTTP/2.
        dial: how the connection was made, once it is.
        lock: once the wire is used by several threads at once (`share`): held while TLS encrypts or decrypts and while
            its bytes are handed to the socket, so that they leave in the order in which they were encrypted. Never
            held while something waits.
        unsent: what the socket did not take, as it goes through it; what is sent next must come after it.
    """

    __slots__ = (
        *("__weakref__", "closed", "dial", "early", "lock", "poll", "released", "size", "sock", "tls", "unsent"),
        "users",
    )

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tls: TLSFilter | None = None
        self.dial: Dialled | None = None
        # Plain bytes that the peer sent before the connection was made, such as those that came in one piece with the
        # end of the TLS handshake. They are received first.
        self.early = b""
        self.unsent: Data = b""
        self.size = SMALL_READ
        self.closed = self.released = False
        self.users: list[object] = []
        self.lock: threading.Lock | None = None
        # Milliseconds (None: for ever) -> is there input, or its end? One poll object for the life of the socket:
        # making one, or a timeout on the socket, costs more than a whole send.
        self.poll = _poller(sock)

    def share(self) -> None:
        """Prepare for several threads that use the wire at once."""
        if self.lock is None:
            self.lock = threading.Lock()

    def forget(self) -> None:
        """
        In a forked child: make what threads agree by anew, for those that had it are not there.

        Called by the one that shares the wire, which watches forks for both: an entry there takes half a KiB.
        """
        self.lock = threading.Lock()
        self.users = []

    def deliver_end(self, exchange: Exchange) -> None:
        """Tell the exchange that the peer's side has ended, and whether TLS was ended properly."""
        if self.tls is not None and self.tls.incomplete_close:
            exchange.receive_incomplete_close()
        else:
            exchange.receive(b"")

    def leave(self) -> None:
        """End the use of the wire that `users.append(None)` began; the last user of a closed wire closes it."""
        self.users.remove(None)
        if self.released and not self.users:
            self.sock.close()

    def send(self, data: Data) -> Data:
        """
        Send what the socket takes at once, and return the rest: b"" if there is none, else a view, not a copy.

        `data` is as it goes through the socket: under TLS it is what `tls.encrypt` returned.

        Raises:
            WriteError: the connection broke.
        """
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return data
        except OSError as exc:
            raise WriteError(f"sending failed: {exc.strerror or exc}") from exc
        return b"" if sent == len(data) else memoryview(data)[sent:]

    def queue(self, data: Data) -> None:
        """
        Send `data`, which is as for `send`, after what is unsent; what the socket does not take is unsent, too.

        Raises:
            WriteError: the connection broke.
        """
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
        Return what the socket has, below TLS: b"" at its end, None if there is nothing now.

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
        """
        Send close_notify if that needs no waiting, and close the socket, or leave that to the last user.

        Threads that wait for the socket wake up. Calling it again does what an interrupted call left undone, if any.
        """
        me = threading.get_ident()  # not None: what an interrupted call left is taken back by the next one
        try:
            self.users.append(me)  # shutting down is a use, too
            already, self.closed, self.released = self.closed, True, True
            try:
                # Not in the middle of a record: the peer would take that for an attack.
                if not already and self.tls is not None and not self.unsent:
                    self.sock.send(self._goodbye(self.tls))
                if self.lock is not None or len(self.users) > 1:
                    self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the peer is gone, or takes nothing
        finally:
            while me in self.users:
                self.users.remove(me)
            if self.released and not self.users:
                self.sock.close()

    def _goodbye(self, tls: TLSFilter) -> bytes:
        """Return close_notify; b"" if another thread is in the middle of something with TLS."""
        lock = self.lock
        if lock is None:
            # A thread that uses the wire may be in TLS now, and only wires that are shared have a lock.
            return b"" if len(self.users) > 1 else tls.close()
        # Others hold it for moments only. But this may run in a signal handler, on top of the one that holds it.
        if not lock.acquire(timeout=1):
            return b""
        try:
            return tls.close()
        finally:
            lock.release()

    def interrupt(self) -> None:
        """
        Mark the wire as closed and wake the threads that wait for it; the descriptor stays open until `close`.

        For a connection that a request is using, which does not announce itself: it closes the wire when it ends.
        """
        self.users.append(None)
        try:
            already, self.closed = self.closed, True
            if not already:
                self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was first
        finally:
            self.leave()

    def extra_info(self, info: str) -> Any:
        """
        Return what is known of the connection; None for an unknown name, and for what there is not.

        "socket", "client_addr", "server_addr", "is_readable"; and of TLS, the innermost if there are two: "ssl_object",
        "tls_version" ("TLSv1.3"), "cipher" (name, protocol, secret bits), "peercert" (the peer's certificate as
        `ssl.SSLSocket.getpeercert` describes it, empty if it was not verified), "peercert_der" (the same in DER),
        "alpn_protocol" and "session_reused". For `Response.timings`: "dial".
        """
        tls_info = _TLS_INFO.get(info)
        if tls_info is not None:
            if self.tls is None:
                return None
            if self.lock is None:
                return tls_info(self.tls.ssl_object)
            with self.lock:
                return tls_info(self.tls.ssl_object)
        if info == "socket":
            return self.sock
        if info == "dial":
            return self.dial
        if info == "is_readable":
            return self._is_readable()
        try:
            if info == "client_addr":
                return self.sock.getsockname()
            if info == "server_addr":
                return self.sock.getpeername()
        except OSError:
            pass  # closed
        return None

    def _is_readable(self) -> bool:
        self.users.append(None)
        try:
            if self.closed or self.sock.fileno() < 0:
                return True
            # Not `self.poll`: another thread may be waiting in it, and one poll object serves one at a time.
            return bool(_poller(self.sock)(0))
        finally:
            self.leave()


def _poller(sock: socket.socket) -> Callable[[float | None], Any]:
    if not hasattr(select, "poll"):  # pragma: no cover - Windows
        return lambda milliseconds: select.select(
            [sock], [], [], None if milliseconds is None else milliseconds / 1000
        )[0]
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll
