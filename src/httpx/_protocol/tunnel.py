"""
The handshake with an HTTP proxy for a tunnel: CONNECT and its response, as a pure machine (RFC 9110 section 9.3.6).

    take() -> bytes     what to send now
    receive(data)       what arrived, in any split; b"" is the end
    done                the tunnel is established
    error               why there is no tunnel
    surplus             what arrived after the response's head: it belongs to the tunnel

SOCKS has a handshake with the same seam (`socks`).
"""

from __future__ import annotations

from .._exceptions import ProxyError
from .._secrets import printable
from .exchange import DEFAULT_HEAD_LIMITS, Fields, HeadLimits
from .http1 import HTTP1Exchange

# Bytes of a refusal's reason phrase that an error repeats: enough for every one that is registered.
_MAX_REASON = 100


class ConnectHandshake:
    """
    One handshake with an HTTP proxy.

    Args:
        authority: host and port of the origin, as the request's target.
        fields: for the proxy alone, such as Proxy-Authorization; Host and Accept among them replace the usual ones.
        limits: of the response's head.

    Raises:
        LocalProtocolError: authority or fields are not legal.
    """

    step = "proxy.connect_tunnel"

    def __init__(self, authority: bytes, fields: Fields, limits: HeadLimits = DEFAULT_HEAD_LIMITS) -> None:
        given = {name.lower() for name, _ in fields}
        usual = [(b"Host", authority), (b"Accept", b"*/*")]
        fields = [*(field for field in usual if field[0].lower() not in given), *fields]
        self._exchange = HTTP1Exchange(b"CONNECT", authority, fields, limits=limits)
        self.done = False
        self.error: Exception | None = None

    @property
    def surplus(self) -> bytes:
        """What arrived after the response's head."""
        return self._exchange.surplus if self.done else b""

    def take(self) -> bytes:
        """Remove and return what should be sent now."""
        return b"".join(iter(self._exchange.take, b""))

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived. Never raises: see `error`."""
        exchange = self._exchange
        exchange.receive(data)
        if exchange.upgraded:
            self.done = True
        elif exchange.head is not None:
            # Before anything that is wrong after the head: the body of a refusal is not read.
            status, reason, _, _ = exchange.head
            # An error is printed: no control character of the proxy's may reach a terminal.
            self.error = ProxyError(
                f"{status} {printable(reason[:_MAX_REASON].decode('ascii', 'replace'), _MAX_REASON)}".rstrip()
            )
        elif exchange.error is not None:
            self.error = ProxyError(f"the proxy's response to CONNECT: {exchange.error}")
