"""
A plugin of pytest's for the suite of httpx-ws: a transport for a Unix socket waits until somebody listens there.

The suite's server says that it has started before its socket is bound. httpx 0.28.1 takes so long to make a transport,
because it reads the certificate authorities each time, that the socket is there by then; this package does not.
"""

from __future__ import annotations

import socket
import time
from typing import Any

import httpx


def _wait(path: str) -> None:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(path)
                return
            except OSError:
                time.sleep(0.005)


def _patient(kind: Any) -> None:
    original = kind.__init__

    def __init__(self: Any, *args: Any, uds: str | None = None, **kwargs: Any) -> None:
        if uds is not None:
            _wait(uds)
        original(self, *args, uds=uds, **kwargs)

    kind.__init__ = __init__


_patient(httpx.HTTPTransport)
_patient(httpx.AsyncHTTPTransport)
