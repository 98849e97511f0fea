"""
How a connection is made, written once for every shell: generators that yield the operations of `operations`.

    shake_hands(tls, until)   the TLS handshake on a connection that exists
"""

from __future__ import annotations

from .._exceptions import ConnectError, ReadError, WriteError
from .._protocol.tls import TLSFilter
from .operations import Receive, Send, Steps


def shake_hands(tls: TLSFilter, until: float | None) -> Steps[bool]:
    """
    Do the TLS handshake; return False if `until` has passed.

    Afterwards `tls.leftover()` has what the peer sent in one piece with the end of the handshake, and the caller puts
    the filter in place.

    Raises:
        ConnectError: the handshake or the connection failed.
    """
    try:
        data = tls.handshake()
        while True:
            if data and not (yield Send(data, until)):
                return False
            if tls.established:
                return True
            received: bytes | None = yield Receive(until)
            if received is None:
                return False
            data = tls.handshake(received)
    except (ReadError, WriteError) as exc:
        raise ConnectError(f"TLS handshake with {tls.peer} failed: {exc}") from exc
