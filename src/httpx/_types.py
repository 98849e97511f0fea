"""
The types that signatures name, and the two interfaces for bodies.

Aliases say what callers may pass; every public function converts at its border, so the inside sees one type only.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Callable, Optional, Union

if TYPE_CHECKING:
    from http.cookiejar import CookieJar as CookieJarType

    from ._auth import Auth
    from ._config import Proxy, Timeout
    from ._cookies import Cookies
    from ._headers import Headers
    from ._request import Request
    from ._urls import URL, QueryParams

else:
    CookieJarType = Any  # http.cookiejar is imported only when cookies are used

PrimitiveData = Optional[Union[str, int, float, bool]]

URLTypes = Union["URL", str]

QueryParamTypes = Union[
    "QueryParams",
    Mapping[str, Union[PrimitiveData, Sequence[PrimitiveData]]],
    list[tuple[str, PrimitiveData]],
    tuple[tuple[str, PrimitiveData], ...],
    str,
    bytes,
]

HeaderTypes = Union[
    "Headers",
    Mapping[str, str],
    Mapping[bytes, bytes],
    Sequence[tuple[str, str]],
    Sequence[tuple[bytes, bytes]],
]

CookieTypes = Union["Cookies", "CookieJarType", dict[str, str], list[tuple[str, str]]]

TimeoutTypes = Union[
    Optional[float],
    tuple[Optional[float], Optional[float], Optional[float], Optional[float]],
    "Timeout",
]
ProxyTypes = Union["URL", str, "Proxy"]
# What `proxy=` takes: a proxy, or a function that says for each request which one, or None for none.
ProxyChoiceTypes = Union[ProxyTypes, Callable[["Request"], Optional[ProxyTypes]]]
# (host, port) -> IP addresses as text, or tuples as of `socket.getaddrinfo`; an `async def` in async clients.
ResolverTypes = Callable[[str, int], Any]
# "host" or "host:port" -> one IP address or several.
ResolveTypes = Mapping[str, Union[str, Sequence[str]]]
# Text or bytes are PEM if they have a line "-----BEGIN"; other text is a path.
_Pem = Union[str, bytes, os.PathLike[str]]
CertTypes = Union[_Pem, tuple[_Pem, _Pem], tuple[_Pem, _Pem, str]]
VerifyTypes = Union[ssl.SSLContext, str, bytes, os.PathLike[str], bool]
# For every host, or by host: "sha256//" and Base64 for a public key, hexadecimal digits for a whole certificate.
PinTypes = Union[str, Sequence[str], Mapping[str, Union[str, Sequence[str]]]]

AuthTypes = Union[
    tuple[Union[str, bytes], Union[str, bytes]],
    Callable[["Request"], "Request"],
    "Auth",
]

RequestContent = Union[str, bytes, Iterable[bytes], AsyncIterable[bytes]]
ResponseContent = Union[str, bytes, Iterable[bytes], AsyncIterable[bytes]]
RequestExtensions = Mapping[str, Any]
ResponseExtensions = Mapping[str, Any]
RequestData = Union[Mapping[str, Any], Sequence[tuple[str, Any]]]

FileContent = Union[IO[bytes], bytes, str]
FileTypes = Union[
    FileContent,
    tuple[Optional[str], FileContent],
    tuple[Optional[str], FileContent, Optional[str]],
    tuple[Optional[str], FileContent, Optional[str], Mapping[str, str]],
]
RequestFiles = Union[Mapping[str, FileTypes], Sequence[tuple[str, FileTypes]]]

SocketOption = Union[tuple[int, int, int], tuple[int, int, Union[bytes, bytearray]], tuple[int, int, None, int]]


class SyncByteStream:
    """
    A body that is iterated in sync code.

    Subclass it to give a request or a response a body of your own: `__iter__` yields pieces of any size, and `close`
    frees what stands behind them. `close` is called once the body is read or given up.
    """

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces of the body."""
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def close(self) -> None:
        """Free what stands behind the body. Does nothing by default."""


class AsyncByteStream:
    """A body that is iterated in async code; like `SyncByteStream`, with `__aiter__` and `aclose`."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the body."""
        raise NotImplementedError(f"{type(self).__name__} must define __aiter__")
        yield b""  # an unreachable yield makes this a generator, so that subclasses are typed as ones

    async def aclose(self) -> None:
        """Free what stands behind the body. Does nothing by default."""
