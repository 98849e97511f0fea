"""Sockets that are ready to connect."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

import pytest

from httpx._config import Limits
from httpx._engine.names import Address
from httpx._engine.settings import Settings
from httpx._engine.sockets import MAX_UNIX_PATH, is_in_progress, new_socket, unix_address
from httpx._exceptions import ConnectError

LOOPBACK: Address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 9))

HAS_UNIX = hasattr(socket, "AF_UNIX")


def v4(last: int) -> Address:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{last}", 80))


def v6(last: int) -> Address:
    return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2001:db8::{last}", 80, 0, 0))


def settings(**changes: Any) -> Settings:
    options: dict[str, Any] = {
        "verify": True,
        "cert": None,
        "trust_env": True,
        "http1": True,
        "http2": False,
        "limits": Limits(),
        "uds": None,
        "local_address": None,
        "retries": 0,
        "socket_options": None,
    }
    return Settings(**{**options, **changes})


# The order of addresses.


def test_a_unix_address_is_its_path(monkeypatch):
    if HAS_UNIX:
        assert unix_address("/run/app.sock") == (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/run/app.sock")
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    with pytest.raises(ConnectError, match="no Unix domain sockets"):
        unix_address("/run/app.sock")


# Sockets.


def test_a_new_socket_does_not_block_and_does_not_delay():
    with new_socket(LOOPBACK, settings()) as sock:
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.family == socket.AF_INET


def test_a_new_socket_has_its_options():
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\7\0\0\0"),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0),
    ]
    with new_socket(LOOPBACK, settings(socket_options=options)) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\7\0\0\0"
        assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # the caller has the last word


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_an_option_may_be_a_null_pointer():
    with pytest.raises(OSError):  # which Linux refuses for this one; what counts is that it was passed on
        new_socket(LOOPBACK, settings(socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, None, 4)]))


def test_a_new_socket_has_its_local_address():
    with new_socket(LOOPBACK, settings(local_address="127.0.0.1")) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockname()[1] != 0


@pytest.mark.parametrize(
    "refused",
    [
        {"local_address": "192.0.2.1"},
        {"local_address": "::1"},
        {"local_address": "not an address"},
        {"socket_options": [(socket.SOL_SOCKET, 12345, 1)]},
    ],
)
def test_what_the_system_refuses_leaves_no_socket_open(refused, no_leaks):
    with pytest.raises(OSError):
        new_socket(LOOPBACK, settings(**refused))


@pytest.mark.skipif(not HAS_UNIX, reason="no Unix domain sockets")
def test_a_unix_socket_has_neither_delay_nor_local_address():
    """Binding one to an address of the network was a TypeError."""
    with new_socket(unix_address("/run/app.sock"), settings(local_address="127.0.0.1")) as sock:
        assert sock.family == socket.AF_UNIX
        assert sock.getsockname() == ""


@pytest.mark.skipif(not HAS_UNIX, reason="no Unix domain sockets")
def test_a_unix_path_that_is_too_long_is_found_before_it_is_used(no_leaks):
    """`connect_ex` raises it where all else is a number, so that it left as a plain OSError."""
    longest = "/" + "x" * (MAX_UNIX_PATH - 2)
    with new_socket(unix_address(longest), settings()) as sock:
        assert sock.connect_ex(longest) == errno.ENOENT
    with pytest.raises(OSError) as caught:
        new_socket(unix_address(longest + "x"), settings())
    assert caught.value.errno == errno.ENAMETOOLONG


def test_an_attempt_under_way_is_told_from_one_that_failed():
    assert is_in_progress(errno.EINPROGRESS)
    assert is_in_progress(errno.EALREADY)
    assert is_in_progress(errno.EINTR)
    assert is_in_progress(getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS))
    assert not is_in_progress(errno.ECONNREFUSED)
    # What Linux says of a Unix socket whose backlog is full: such a socket looks connected afterwards, and is not.
    assert not is_in_progress(errno.EAGAIN)
    assert not is_in_progress(0)
