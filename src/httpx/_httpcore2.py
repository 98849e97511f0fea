"""
What `import httpcore2` gives after `alias_httpx2` where there is no httpcore: exceptions, which are those of httpx.

httpcore2 is what httpx2 sends requests with, and this package does without it. Packages that import it beside httpx2
name its exceptions in `except`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ._exceptions import (
    ConnectError,
    ConnectTimeout,
    LocalProtocolError,
    NetworkError,
    PoolTimeout,
    ProtocolError,
    ProxyError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TimeoutException,
    UnsupportedProtocol,
    WriteError,
    WriteTimeout,
)

__all__ = [
    "ConnectError",
    "ConnectTimeout",
    "LocalProtocolError",
    "NetworkError",
    "PoolTimeout",
    "ProtocolError",
    "ProxyError",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "TimeoutException",
    "UnsupportedProtocol",
    "WriteError",
    "WriteTimeout",
]

if not TYPE_CHECKING:  # which would let any name pass

    def __getattr__(name: str) -> NoReturn:
        hint = "" if name.startswith("__") else "; after httpx.alias_httpx2() it has only the exceptions of httpx"
        raise AttributeError(f"module 'httpcore2' has no attribute {name!r}{hint}")
