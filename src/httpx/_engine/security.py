"""
TLS as a transport does it: whose certificates it takes, what it offers, and which sessions it can go on with.

    Security    what a transport was told about TLS; makes the hops of a route
    TLSHop      one handshake that is to be done: with a proxy, or with an origin
    Sessions    sessions of connections that were there before, so that the next handshake is a short one

A session stands for a check of the peer's certificate that was made when it began. So it is kept for the very same
peer, name, route and settings only, for one transport, and not for long; pins are checked again each time.

Not here: the handshake (`_protocol.tls`), what is in a certificate (`_protocol.certificate`), contexts (`_config`).
"""

from __future__ import annotations

import ssl
import threading
from collections import OrderedDict
from collections.abc import Hashable
from functools import partial
from time import monotonic
from typing import Any, Callable

from .._config import Proxy, create_ssl_context, default_ssl_context
from .._exceptions import ConnectError
from .._protocol.certificate import Pins
from .._protocol.tls import TLSFilter
from .._types import CertTypes, PinTypes, VerifyTypes
from .job import FORKS

# What a transport remembers: of so many peers, so many sessions each (a session is for one connection), some kilobytes
# apiece.
MAX_PEERS = 64
MAX_PER_PEER = 4
# Seconds until the certificate is checked again, by a whole handshake. Servers offer up to seven days (RFC 8446 section
# 4.6.1), which is long for a certificate that may expire or be revoked meanwhile.
MAX_AGE = 3600.0

_HTTP1 = ("http/1.1",)

# Called with an SSLObject and whether it is closed.
Keep = Callable[[Any, bool], None]


class Sessions:
    """
    TLS sessions by peer, each given out once, as RFC 8446 appendix C.4 wants it; safe under threads.

    Copying a session out of OpenSSL takes a third of a millisecond, which many clients would pay for nothing: they make
    one connection to a host. So the first connection to a peer is left alone until it is closed, and even then what is
    kept is its `SSLObject`; the copy is made when somebody connects again. Later connections to the peer give theirs as
    soon as they are in use, until there are enough.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[Hashable, list[tuple[float, Any]]] = OrderedDict()
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Begin anew, also in a forked child: it should use neither its parent's tickets nor a lock of lost threads."""
        self._lock = threading.Lock()
        self._of.clear()

    def begin(self, key: Hashable) -> tuple[ssl.SSLSession | None, Keep]:
        """A connection to this peer begins: a session that it may go on with, and what it should tell about its own."""
        now = monotonic()
        since, found = now, None
        with self._lock:
            first = key not in self._of
            kept = self._of.setdefault(key, [])
            self._of.move_to_end(key)
            while kept and found is None:
                since, found = kept.pop()
                if since + MAX_AGE < now:
                    found = None
            if len(self._of) > MAX_PEERS:
                self._of.popitem(last=False)
        session = _session_of(found) if isinstance(found, ssl.SSLObject) else found
        return session, partial(self._keep, key, first, now, since)

    def _keep(self, key: Hashable, at_end: bool, now: float, since: float, tls: Any, ended: bool) -> None:
        """
        Remember the session of a connection.

        Args:
            at_end: only once the connection is closed, when nobody else uses it.
            now, since: when the connection began, and the session that it was offered: what it has taken over from
                that one was last checked then.
            tls: its SSLObject.
            ended: is it closed?
        """
        if at_end is not ended:
            return
        if getattr(tls, "session_reused", False):
            now = since
        with self._lock:
            kept = self._of.get(key)
            if kept is None or (len(kept) >= MAX_PER_PEER and kept[0][0] + MAX_AGE >= monotonic()):
                return
        session = tls if ended else _session_of(tls)
        if session is not None:
            with self._lock:
                kept.append((now, session))
                del kept[:-MAX_PER_PEER]


def _session_of(tls: Any) -> ssl.SSLSession | None:
    """A copy of the session, or None if the server gave nothing to find it by."""
    session: ssl.SSLSession | None = getattr(tls, "session", None)
    return session if session is not None and (session.has_ticket or session.id) else None


class _Offering:
    """
    Makes filters with contexts of the user's, each of which other clients may use as well.

    A context has one list of protocols for ALPN, which OpenSSL copies when a connection begins. So the list is set just
    before, every time: a context that two clients share, one with HTTP/2 and one without, serves both.
    """

    def __init__(self) -> None:
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Have a new lock: in a forked child a thread of the parent's may hold the old one for ever."""
        self._lock = threading.Lock()

    def begin(self, alpn: tuple[str, ...], context: ssl.SSLContext, *args: Any, **options: Any) -> TLSFilter:
        with self._lock:
            context.set_alpn_protocols(list(alpn))
            return TLSFilter(context, *args, **options)


_OFFERING = _Offering()


class TLSHop:
    """
    One TLS handshake on the way of a connection.

    Attributes:
        context: whom to trust, and what to offer.
        name: of the server, for SNI and for the check of its certificate.
        peer: who that is, for error messages.
    """

    __slots__ = ("_alpn", "_check", "_key", "_sessions", "context", "name", "peer")

    def __init__(
        self,
        context: ssl.SSLContext,
        name: str,
        peer: str,
        *,
        alpn: tuple[str, ...] | None,
        key: Hashable,
        sessions: Sessions,
        check: Any = None,
    ) -> None:
        self.context = context
        self.name = name
        self.peer = peer
        self._alpn = alpn  # None: the context offers it already, and nobody else changes that
        # Also what the user may change on a context between two connections, and a short handshake would not notice.
        self._key = (key, id(context), getattr(context, "verify_mode", None), getattr(context, "check_hostname", None))
        self._sessions = sessions
        self._check = check

    def begin(self, over: TLSFilter | None) -> TLSFilter:
        """
        The filter that does the handshake; `over` is the one that carries it, if there is one.

        Raises:
            ConnectError: the context and the server's name do not fit.
        """
        name = self.name[:-1] if self.name.endswith(".") else self.name  # RFC 6066 section 3: without the last dot
        session, keep = self._sessions.begin(self._key)
        options = {"peer": self.peer, "check": self._check, "session": session, "keep": keep}
        if self._alpn is None:
            return TLSFilter(self.context, name, over, **options)
        return _OFFERING.begin(self._alpn, self.context, name, over, **options)


class Security:
    """
    What a transport was told about TLS.

    Args:
        verify, cert, trust_env, pins: as those of `httpx.HTTPTransport`.
        alpn: protocols to offer to origins, the preferred one first.

    Raises:
        OSError, ssl.SSLError, TypeError, ValueError: as for `create_ssl_context` and `Pins`.
    """

    def __init__(
        self,
        verify: VerifyTypes,
        cert: CertTypes | None,
        trust_env: bool,
        alpn: tuple[str, ...],
        pins: PinTypes | None = None,
    ) -> None:
        self._alpn = alpn
        self._trust_env = trust_env
        self._pins = None if pins is None else Pins(pins)
        self._sessions = Sessions()
        # The shared context takes 10 ms to make the first time: not before the first https request needs it.
        self._context: ssl.SSLContext | None = None
        self._is_ours = True
        if cert is not None or (verify is not True and verify is not None):
            # A path that does not exist should be an error here, where it is given.
            self._context = create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
            self._is_ours = self._context is not verify
            if self._is_ours:
                self._context.set_alpn_protocols(list(alpn))

    @property
    def context(self) -> ssl.SSLContext:
        """
        The context for origins, made on first use.

        Raises:
            ConnectError: SSL_CERT_FILE or SSL_CERT_DIR names nothing usable.
        """
        if self._context is None:
            self._context = _default_context(self._alpn, self._trust_env)
        return self._context

    def with_origin(self, key: tuple[Any, ...], name: str) -> TLSHop:
        """
        The handshake with the origin of a request.

        Args:
            key: of the connection in the pool: scheme, host and port of the origin, and what else tells routes apart.
            name: of the server, as TLS knows it.

        Raises:
            ConnectError: as for `context`.
        """
        # Both names: the one in the URL is what the user pinned, the other is who answers.
        check = None if self._pins is None else partial(self._pins.check, (key[1], name))
        return TLSHop(
            self.context,
            name,
            repr(name),
            alpn=None if self._is_ours else self._alpn,
            key=(key, name),
            sessions=self._sessions,
            check=check,
        )

    def with_proxy(self, proxy: Proxy) -> TLSHop:
        """
        The handshake with a proxy itself: `verify`, `cert` and `pins` are about origins, and do not change it.

        Raises:
            ConnectError: as for `context`.
        """
        origin = proxy.url._origin
        context = proxy.ssl_context
        if context is None:
            context, alpn = _default_context(_HTTP1, self._trust_env), None
        else:
            alpn = _HTTP1
        return TLSHop(
            context,
            origin[1],
            f"the proxy {origin[1]!r}",
            alpn=alpn,
            key=("proxy", origin),
            sessions=self._sessions,
        )


def _default_context(alpn: tuple[str, ...], trust_env: bool) -> ssl.SSLContext:
    try:
        return default_ssl_context(alpn, trust_env)
    except OSError as exc:  # also ssl.SSLError
        raise ConnectError(f"TLS cannot begin: {exc}") from exc
