"""
The types of signatures. The two interfaces for bodies (`_bytestreams`) can be imported from here, as in 0.28.1.

Aliases are the types that callers may pass; public functions convert them, so that internal code has one type.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterable, Generator, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Callable, Optional, Union

from ._bytestreams import AsyncByteStream as AsyncByteStream
from ._bytestreams import SyncByteStream as SyncByteStream

if TYPE_CHECKING:
    from http.cookiejar import CookieJar as CookieJarType

    from ._auth import Auth
    from ._config import Proxy, Timeout
    from ._cookies import Cookies
    from ._headers import Headers
    from ._request import Request
    from ._response import Response
    from ._steps import Step
    from ._urls import URL, QueryParams

else:
    CookieJarType = Any  # http.cookiejar is imported only when cookies are used

PrimitiveData = Optional[Union[str, int, float, bool]]

URLTypes = Union["URL", str]

QueryParamTypes = Union[
    "QueryParams",
    Mapping[str, Union[PrimitiveData, Sequence[PrimitiveData]]],
    # A sequence and not a list: a list of pairs of str, held in a variable, is not a list of pairs of the union.
    Sequence[tuple[str, PrimitiveData]],
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

CookieTypes = Union["Cookies", "CookieJarType", Mapping[str, str], Sequence[tuple[str, str]]]

TimeoutTypes = Union[
    Optional[float],
    tuple[Optional[float], Optional[float], Optional[float], Optional[float]],
    "Timeout",
]
ProxyTypes = Union["URL", str, "Proxy"]
# The argument `proxy=`: a proxy, or a function that returns one or None for each request.
ProxyChoiceTypes = Union[ProxyTypes, Callable[["Request"], Optional[ProxyTypes]]]
# (host, port) -> IP addresses as text, or tuples as of `socket.getaddrinfo`; an `async def` in async clients.
ResolverTypes = Callable[[str, int], Any]
# "host" or "host:port" -> one IP address or several.
ResolveTypes = Mapping[str, Union[str, Sequence[str]]]
# (host, address, port) -> whether a connection may be made.
GuardTypes = Callable[[str, str, int], bool]
# Text or bytes are PEM if they contain a line "-----BEGIN"; other text is a path.
_Pem = Union[str, bytes, os.PathLike[str]]
CertTypes = Union[_Pem, tuple[_Pem, _Pem], tuple[_Pem, _Pem, str]]
VerifyTypes = Union[ssl.SSLContext, str, bytes, os.PathLike[str], bool]
# For all hosts, or by host: "sha256//" and Base64 for a public key, hexadecimal digits for a whole certificate.
PinTypes = Union[str, Sequence[str], Mapping[str, Union[str, Sequence[str]]]]

AuthTypes = Union[
    tuple[Union[str, bytes], Union[str, bytes]],
    Callable[["Request"], "Request"],
    "Auth",
]

# Generator functions of a request, outermost first.
MiddlewareTypes = Sequence[Callable[["Request"], "Generator[Union[Request, Step], Any, Response]"]]

RequestContent = Union[str, bytes, bytearray, memoryview, Iterable[bytes], AsyncIterable[bytes]]
ResponseContent = Union[str, bytes, bytearray, memoryview, Iterable[bytes], AsyncIterable[bytes]]
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
