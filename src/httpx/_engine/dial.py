"""
Connecting, as far as it needs no waiting: which addresses in which order at which moment, and what the errors say.

`Race` is RFC 8305 (Happy Eyeballs) as bookkeeping; the shells make the attempts that it asks for. `Settings` is what a
transport was told about connections.

Not here: sockets in motion (`sync`, `asyncio`, `trio`), TLS (`security`), which request gets what (`_pool`).
"""

from __future__ import annotations

import copy
import errno
import os
import socket
import ssl
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, Union

from .._config import Limits, Proxy
from .._exceptions import ConnectError, ConnectTimeout, ProxyError
from .._pool import Pool
from .._protocol.exchange import HeadLimits
from .._protocol.tunnel import ConnectHandshake
from .._sharing import SharingPool
from .._types import CertTypes, PinTypes, SocketOption, VerifyTypes
from .names import Address, Names
from .security import Security, TLSHop

# RFC 8305 section 5: how long an attempt may be alone before the next address is tried too.
ATTEMPT_DELAY = 0.25
SECURE_SCHEMES = frozenset(("https", "wss"))
_SOCKS_PORT = 1080
_HTTP1_ONLY = ("http/1.1",)
# Bytes of `sun_path`, with the NUL at its end.
MAX_UNIX_PATH = 108 if sys.platform == "linux" else 104


class Settings:
    """
    What a transport was told about connections; the same for every one of its requests.

    Args: as those of `httpx.HTTPTransport`; what those say about names is in `names`.
    """

    def __init__(
        self,
        *,
        verify: VerifyTypes,
        cert: CertTypes | None,
        trust_env: bool,
        http1: bool,
        http2: bool,
        limits: Limits,
        uds: str | None,
        local_address: str | None,
        retries: int,
        proxy: Proxy | None = None,
        socket_options: Iterable[SocketOption] | None,
        pins: PinTypes | None = None,
        names: Names | None = None,
    ) -> None:
        self.names = Names() if names is None else names
        self.limits = limits
        self.uds = uds
        self.local_address = local_address
        self.retries = retries
        self.proxy = proxy
        # A plain http request is sent to an HTTP proxy itself, with the whole URL as its target (RFC 9112 3.2.2).
        self.forwards = proxy is not None and proxy.url.scheme in ("http", "https")
        self.socket_options = list(socket_options or ())
        self.head_limits = HeadLimits(limits.max_header_fields, limits.max_header_bytes)
        if not http1 and not http2:
            raise ValueError("`http1` and `http2` are both False, which leaves no version of HTTP to speak")
        self.http1 = http1
        self.http2 = http2
        self.security = Security(verify, cert, trust_env, pins)

    def by_way_of(self, proxy: Proxy | None) -> Settings:
        """The same with another proxy, or with none; what belongs to both (TLS, names) is shared."""
        settings = copy.copy(self)
        if proxy is not None:  # a copy, for its owner may change it, and connections are kept by what it was
            proxy = Proxy(proxy.url, ssl_context=proxy.ssl_context, auth=proxy.auth, headers=proxy.headers)
        settings.proxy = proxy
        settings.forwards = proxy is not None and proxy.url.scheme in ("http", "https")
        return settings

    def may_share(self, key: Any) -> bool:
        """
        Could a connection of the pool's key turn out to be one of HTTP/2?

        Not those of WebSockets, which need HTTP/1.1; and not those of plain http, unless the server is known to speak
        HTTP/2 (`http1=False`): there is nothing on such a connection that both sides could agree by.
        """
        scheme = key[0]
        return self.http2 and (scheme == "https" or (scheme == "http" and not self.http1 and not self.forwards))

    def speaks_http2(self, key: Any, agreed: str | None) -> bool:
        """Is a new connection one of HTTP/2? `agreed`: the protocol that TLS agreed on, or None."""
        return self.may_share(key) and (agreed == "h2" or not self.http1)

    def offered(self, scheme: str) -> tuple[str, ...]:
        """The protocols to offer in TLS with an origin (ALPN), the preferred one first."""
        if scheme != "https" or not self.http2:
            return _HTTP1_ONLY
        return ("h2", "http/1.1") if self.http1 else ("h2",)

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """The TLS context for origins; see `Security.context`."""
        return self.security.context


def new_pool(settings: Settings, late_binding: bool) -> Pool[Any]:
    """The pool of an engine: a `SharingPool` if connections may turn out to be of HTTP/2."""
    limits = settings.limits
    numbers = (
        limits.max_connections,
        limits.max_keepalive_connections,
        limits.max_connections_per_host,
        limits.keepalive_expiry,
        late_binding,
    )
    return SharingPool(*numbers, settings.may_share) if settings.http2 else Pool(*numbers)


class Handshake(Protocol):
    """A machine that speaks with a proxy until there is a tunnel: `tunnel.ConnectHandshake`, `socks.SocksHandshake`."""

    @property
    def done(self) -> bool:
        """Is the tunnel there?"""
        ...

    @property
    def error(self) -> Exception | None:
        """Why there is none."""
        ...

    @property
    def surplus(self) -> bytes:
        """What came behind the proxy's answer."""
        ...

    @property
    def step(self) -> str:
        """What whoever traces the request knows it by."""
        ...

    def take(self) -> bytes:
        """Remove and return what should be sent now."""
        ...

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived; b"" is the end of the peer's side."""
        ...


# What is to be done on a connection, in order: begin TLS, or speak with a proxy.
Hop = Union[TLSHop, Handshake]


class Route:
    """
    How a connection gets to its origin: whom to dial, and what to do then.

    Args:
        key: begins with scheme, host and port of the origin.
        server_name: for TLS with the origin.
        settings: of the transport; its proxy decides the way.
    """

    def __init__(self, key: tuple[Any, ...], server_name: str, settings: Settings) -> None:
        scheme, host, port = key[:3]
        self._settings = settings
        self._key = key
        self._origin = (scheme, host, port, server_name)
        # What the shell has to look up and tell `resolved` before `hops`: SOCKS 4 takes no names.
        self.unresolved: tuple[str, int] | None = None
        proxy = settings.proxy
        if proxy is None:
            self.host, self.port = host, port
        else:
            _, self.host, self.port = proxy.url._origin
            self.port = self.port or _SOCKS_PORT
            if proxy.url.scheme == "socks4":
                self.unresolved = host, port

    def resolved(self, addresses: Sequence[Address]) -> None:
        """Take the addresses of `unresolved`. Raises ConnectError: none of them is one of IPv4."""
        scheme, host, port, server_name = self._origin
        for address in addresses:
            if address[0] == socket.AF_INET:
                self._origin = scheme, address[4][0], port, server_name
                return
        raise ConnectError(f"{host!r} has no IPv4 address, and a socks4 proxy reaches no other")

    def hops(self) -> Iterator[Hop]:
        """
        What to do on the connection, one by one: each is made when the one before is done.

        Raises:
            ConnectError, ProxyError, LocalProtocolError: the way cannot be gone.
        """
        scheme, host, port, server_name = self._origin
        proxy = self._settings.proxy
        if proxy is not None:
            if proxy.url.scheme == "https":
                yield self._settings.security.with_proxy(proxy)
            if scheme != "http" or not self._settings.forwards:
                handshake = self._handshake(proxy, host, port)
                yield handshake
                if handshake.surplus:
                    # Whoever sent these wants them taken for the origin's, which speaks after us.
                    raise ProxyError("the proxy sent more than its answer")
        if scheme in SECURE_SCHEMES:
            offered = self._settings.offered(scheme)
            yield self._settings.security.with_origin(self._key, server_name, offered, proxy)

    def _handshake(self, proxy: Proxy, host: str, port: int) -> Handshake:
        if self._settings.forwards:
            authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            return ConnectHandshake(authority.encode("ascii"), proxy_fields(proxy), self._settings.head_limits)
        from .._protocol.socks import SocksHandshake  # few have such a proxy

        username, password = proxy.raw_auth or (None, None)
        return SocksHandshake(proxy.url.scheme, host, port, username, password)


def proxy_fields(proxy: Proxy) -> list[tuple[bytes, bytes]]:
    """The fields that are for an HTTP proxy and nobody else."""
    fields = list(proxy.headers._raw)
    if proxy.raw_auth is not None and not proxy.headers._has(b"proxy-authorization"):
        fields.append((b"Proxy-Authorization", b"Basic " + b64encode(b":".join(proxy.raw_auth))))
    return fields


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """The resolver's order, but with the families taking turns (RFC 8305 section 4), and nothing twice."""
    families: dict[int, list[Address]] = {}
    seen = set()
    for address in addresses:
        if (address[0], address[4]) not in seen:
            seen.add((address[0], address[4]))
            families.setdefault(address[0], []).append(address)
    queues = list(families.values())
    return [queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)]


class Race:
    """
    Attempts to connect to the addresses of one host, overlapping in time; the first that succeeds wins.

        while (address := race.next(now)) is not None: begin an attempt
        wait until an attempt ends, at most until race.due
        race.failed(address, error, now), or the winner is found: drop the others

    Args:
        host, port: for error messages.
        addresses: in the resolver's order.
    """

    def __init__(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        self._name = f"{host}:{port}"
        self._waiting = interleaved(addresses)[::-1]
        self._total = len(self._waiting)
        self._running = 0
        self._errors: list[str] = []
        self._last_error: OSError | None = None
        # When the next attempt should begin, on the shell's clock; None once there is none.
        self.due: float | None = float("-inf") if self._waiting else None
        self.changed: Any = None  # for the shell: how whoever waits for `due` is woken when it changes

    def next(self, now: float) -> Address | None:
        """The address that an attempt should begin with now, or None."""
        if self.due is None or now < self.due:
            return None
        address = self._waiting.pop()
        self._running += 1
        self.due = now + ATTEMPT_DELAY if self._waiting else None
        return address

    def failed(self, address: Address, error: OSError, now: float) -> None:
        """An attempt failed: the next one, if there is any, need not wait any longer."""
        self._running -= 1
        text = error.strerror or (os.strerror(error.errno) if error.errno else str(error) or type(error).__name__)
        self._errors.append(f"{_readable(address)}: {text}")
        self._last_error = error
        if self._waiting:
            self.due = now

    @property
    def lost(self) -> bool:
        """Every address was tried, and none answered."""
        return not self._running and not self._waiting

    def error(self) -> ConnectError:
        """What to raise when the race is lost: every address with its reason."""
        if not self._errors:
            return ConnectError(f"no address is known for {self._name}")
        lost = ConnectError(f"no connection to {self._name}: {'; '.join(self._errors)}")
        lost.__cause__ = self._last_error  # whoever looks for an errno finds it there
        return lost

    def timeout(self, seconds: float, total: bool = False) -> ConnectTimeout:
        """What to raise when time is up: how many were tried, and the reasons of those that failed before."""
        tried = self._total - len(self._waiting)
        what = "total timeout" if total else "timeout"
        failed = "".join(f"; {error}" for error in self._errors)
        return ConnectTimeout(
            f"no connection to {self._name} within the {what} of {seconds:g} s "
            f"({tried} of {self._total} addresses tried{failed})"
        )


def _readable(address: Address) -> str:
    where = address[4]
    return str(where[0]) if isinstance(where, tuple) else str(where)


def new_socket(address: Address, settings: Settings) -> socket.socket:
    """
    A non-blocking socket, ready to connect to `address`.

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
    """The address of a Unix domain socket. Raises ConnectError where the platform has none."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise ConnectError("this platform has no Unix domain sockets")
    return (family, socket.SOCK_STREAM, 0, "", path)


def is_in_progress(code: int) -> bool:
    """Does this result of `connect_ex` mean that the attempt is under way?"""
    return code in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY, getattr(errno, "WSAEWOULDBLOCK", -1))


def backoff(attempt: int) -> float:
    """Seconds to wait before retry number `attempt` (0, 1, 2, ...): none, then 0.5, 1, 2, ..."""
    return 0.0 if attempt == 0 else 0.5 * 2 ** (attempt - 1)
