"""
Non-blocking sockets that are ready to connect, and how a thread waits for them.

Not here: connecting them (`dialling`), what goes over them (`wire`).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from time import monotonic

from .._exceptions import ConnectError
from .names import Address
from .settings import Settings

# Bytes of `sun_path`, with the NUL at its end.
MAX_UNIX_PATH = 108 if sys.platform == "linux" else 104


def new_socket(address: Address, settings: Settings) -> socket.socket:
    """
    Return a non-blocking socket that is ready to connect to `address`.

    Raises:
        OSError: an option or the local address is refused, or the path of a Unix socket is too long.
    """
    is_unix = address[0] == getattr(socket, "AF_UNIX", None)
    if is_unix and len(os.fsencode(address[4])) >= MAX_UNIX_PATH:
        # Here, because `connect_ex` raises it instead of returning its number.
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    sock = socket.socket(address[0], address[1], address[2])
    try:
        sock.setblocking(False)
        if not is_unix:
            # A request is written in one piece, so waiting for more to send only delays it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option in settings.socket_options:
            sock.setsockopt(*option)
        if settings.local_address is not None and not is_unix:
            sock.bind((settings.local_address, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def unix_address(path: str) -> Address:
    """Return the address of a Unix domain socket. Raises ConnectError on platforms without them."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise ConnectError("this platform has no Unix domain sockets")
    return (family, socket.SOCK_STREAM, 0, "", path)


# What `connect_ex` returns for an attempt that is under way. Not EAGAIN: with it Linux refuses an attempt at a Unix
# socket whose backlog is full, and the socket would look connected afterwards.
_IN_PROGRESS = frozenset(
    (errno.EINPROGRESS, errno.EALREADY, errno.EINTR, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS))
)


def is_in_progress(code: int) -> bool:
    """Return whether this result of `connect_ex` means that the attempt is under way."""
    return code in _IN_PROGRESS


def wait_for(reading: list[socket.socket], writing: list[socket.socket], until: float | None) -> set[socket.socket]:
    """
    Block until a socket is ready; return the ready ones, none if `until` (on the monotonic clock) has passed.

    For the rare waits: dialling, and uploads that stall.
    """
    timeout = None if until is None else max(0.0, until - monotonic())
    if hasattr(select, "poll"):
        poll = select.poll()  # unlike `select`, it takes descriptors above 1,023
        sockets = {sock.fileno(): sock for sock in [*reading, *writing]}
        if -1 in sockets:
            return {sockets[-1]}  # another thread has closed it: its user will see
        for fd, sock in sockets.items():
            poll.register(fd, (select.POLLIN if sock in reading else 0) | (select.POLLOUT if sock in writing else 0))
        return {sockets[fd] for fd, _ in poll.poll(None if timeout is None else timeout * 1000)}
    ready = select.select(reading, writing, writing, timeout)  # pragma: no cover - Windows
    return {sock for group in ready for sock in group}  # pragma: no cover - Windows
