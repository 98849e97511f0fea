"""
The handshake with an HTTP proxy for a tunnel: CONNECT and its answer, as a pure machine (RFC 9110 9.3.6).

    take() -> bytes     what to send now
    receive(data)       what arrived, in any split; b"" is the end
    done                the tunnel is there
    error               why there is none

SOCKS has a handshake with the same seam (`socks`).
"""

from __future__ import annotations

from .._exceptions import ProxyError
from .exchange import DEFAULT_HEAD_LIMITS, OUTPUT, Fields, HeadLimits
from .http1 import HTTP1Exchange


class ConnectHandshake:
    """
    Args:
        authority: host and port of the origin, as the request's target.
        fields: for the proxy alone, such as Proxy-Authorization.
        limits: of the answer's head.

    Raises:
        LocalProtocolError: authority or fields are not legal.
    """

    def __init__(self, authority: bytes, fields: Fields, limits: HeadLimits = DEFAULT_HEAD_LIMITS) -> None:
        self._exchange = HTTP1Exchange(
            b"CONNECT", authority, [(b"Host", authority), (b"Accept", b"*/*"), *fields], limits=limits
        )
        self.done = False
        self.error: Exception | None = None

    def take(self) -> bytes:
        """Remove and return what should be sent now."""
        return self._exchange.take() if self._exchange.need == OUTPUT else b""

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived. Never raises: see `error`."""
        exchange = self._exchange
        exchange.receive(data)
        if exchange.error is not None:
            self.error = ProxyError(f"the proxy's answer to CONNECT: {exchange.error}")
        elif exchange.surplus:
            # Whoever sent these wants them taken for the origin's, which speaks after us.
            self.error = ProxyError("the proxy sent more than its answer to CONNECT")
        elif exchange.upgraded:
            self.done = True
        elif exchange.head is not None:
            status, reason, _, _ = exchange.head
            self.error = ProxyError(f"{status} {reason.decode('ascii', 'replace')}")
