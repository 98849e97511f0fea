"""
What a transport was told about connections.

Not here: where a connection leads (`route`), TLS (`security`), names (`names`).
"""

from __future__ import annotations

import copy
import ssl
from collections.abc import Iterable
from typing import Any

from .._config import Limits, Proxy
from .._pool import Pool
from .._protocol.exchange import HeadLimits
from .._sharing import SharingPool
from .._types import CertTypes, GuardTypes, PinTypes, SocketOption, VerifyTypes
from .names import Names
from .security import Security

SECURE_SCHEMES = frozenset(("https", "wss"))
_HTTP1_ONLY = ("http/1.1",)


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
        guard: GuardTypes | None = None,
    ) -> None:
        self.names = Names() if names is None else names
        self.guard = guard
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

    def unlock(self) -> None:
        """Release the locks that this thread has, after an exception at an unknown point."""
        self.names.unlock()
        self.security.unlock()

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
