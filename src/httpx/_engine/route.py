"""
How a connection gets to its origin: which host to dial, and which hops follow on the connection.

Not here: the order of addresses (`race`), TLS (`security`), the handshakes with proxies (`_protocol.tunnel`,
`_protocol.socks`), taking the hops (`connecting`).
"""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Union

from .._config import Proxy
from .._exceptions import ConnectError, ProxyError
from .._protocol.tunnel import ConnectHandshake
from .names import Address
from .security import TLSHop
from .settings import SECURE_SCHEMES, Settings

_SOCKS_PORT = 1080


class Handshake(Protocol):
    """A machine that speaks with a proxy until there is a tunnel: `tunnel.ConnectHandshake`, `socks.SocksHandshake`."""

    @property
    def done(self) -> bool:
        """Is the tunnel there?"""
        ...

    @property
    def error(self) -> Exception | None:
        """Why there is no tunnel, or None."""
        ...

    @property
    def surplus(self) -> bytes:
        """The bytes that arrived after the proxy's response."""
        ...

    @property
    def step(self) -> str:
        """The name of the step in trace events and log lines."""
        ...

    def take(self) -> bytes:
        """Remove and return what should be sent now."""
        ...

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived; b"" is the end of the peer's side."""
        ...


# One step on a connection: begin TLS, or ask a proxy for a tunnel.
Hop = Union[TLSHop, Handshake]


class Route:
    """
    How a connection gets to its origin: which host to dial, and which hops follow.

    Args:
        key: begins with scheme, host and port of the origin.
        server_name: for TLS with the origin.
        settings: of the transport; the route depends on its proxy.

    Attributes:
        unresolved: the host and port that have to be looked up and told to `resolved` before `hops`, because SOCKS 4
            takes no names; or None.
        early: what the origin sent together with the end of the proxy's response.
    """

    def __init__(self, key: tuple[Any, ...], server_name: str, settings: Settings) -> None:
        scheme, host, port = key[:3]
        self._settings = settings
        self._key = key
        self._origin = (scheme, host, port, server_name)
        self.early = b""
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
        """Take the addresses of `unresolved`. Raises ConnectError if none of them is an IPv4 address."""
        scheme, host, port, server_name = self._origin
        for address in addresses:
            if address[0] == socket.AF_INET:
                self._origin = scheme, address[4][0], port, server_name
                return
        raise ConnectError(f"{host!r} has no IPv4 address, and a socks4 proxy reaches no other")

    def hops(self) -> Iterator[Hop]:
        """
        Yield the hops in order; each is made when the one before is done.

        Raises:
            ConnectError, ProxyError, LocalProtocolError: the route is impossible.
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
                    # Before TLS, or from a server of HTTP/1.1, which speaks after us, they cannot be the origin's
                    # (CVE-2011-0411). A server of HTTP/2 begins with its SETTINGS.
                    if scheme in SECURE_SCHEMES or not self._settings.speaks_http2(self._key, None):
                        raise ProxyError("the proxy sent more than its response")
                    self.early = handshake.surplus
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
    """Return the fields that are meant for an HTTP proxy alone."""
    fields = list(proxy.headers._raw)
    if proxy.raw_auth is not None and not proxy.headers._has(b"proxy-authorization"):
        fields.append((b"Proxy-Authorization", b"Basic " + b64encode(b":".join(proxy.raw_auth))))
    return fields
