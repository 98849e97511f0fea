"""
The handshake with an HTTP proxy for a tunnel: CONNECT and its answer, as a pure machine (RFC 9110 9.3.6).

    take() -> bytes     what to send now
    receive(data)       what arrived, in any split; b"" is the end
    done                the tunnel is there
    error               why there is none
    surplus             what came behind the answer

SOCKS has a handshake with the same seam (`socks`).
"""

from __future__ import annotations

from .._exceptions import ProxyError
from .exchange import DEFAULT_HEAD_LIMITS, Fields, HeadLimits
from .http1 import HTTP1Exchange

# Bytes of a refusal's reason phrase that an error repeats: enough for every one that is registered.
_MAX_REASON = 100


class ConnectHandshake:
    """
    One handshake.

    Args:
        authority: host and port of the origin, as the request's target.
        fields: for the proxy alone, such as Proxy-Authorization; Host and Accept among them replace the usual ones.
        limits: of the answer's head.

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
        self.surplus = b""
        self.error: Exception | None = None

    def take(self) -> bytes:
        """Remove and return what should be sent now."""
        return b"".join(iter(self._exchange.take, b""))

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived. Never raises: see `error`."""
        exchange = self._exchange
        exchange.receive(data)
        if exchange.upgraded:
            self.done = True
            self.surplus = exchange.surplus
        elif exchange.head is not None:
            # Before anything that is wrong behind the head: nobody reads the body of a refusal.
            status, reason, _, _ = exchange.head
            self.error = ProxyError(f"{status} {reason[:_MAX_REASON].decode('ascii', 'replace')}".rstrip())
        elif exchange.error is not None:
            self.error = ProxyError(f"the proxy's answer to CONNECT: {exchange.error}")
