"""
TLS as a transport does it: whose certificates it takes, what it offers, and which sessions it can go on with.

    Security    what a transport was told about TLS; makes the hops of a route
    TLSHop      one handshake that is to be done: with a proxy, or with an origin
    Sessions    sessions of connections that were there before, so that the next handshake is a short one

A session stands for a check of the peer's certificate that was made when it began. So it is kept for the very same
peer, name, route and settings only, for one transport, and not for long; pins are checked again each time.

Not here: the handshake (`_protocol.tls`), what is in a certificate (`_protocol.certificate`), contexts
(`_tls_context`).
"""

from __future__ import annotations

import ssl
import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from functools import partial
from time import monotonic
from typing import Any, Callable

from .. import _tls_context
from .._config import Proxy
from .._exceptions import ConnectError, InvalidURL, final
from .._forks import FORKS, unlock
from .._protocol.certificate import Pins
from .._protocol.tls import TLSFilter
from .._tls_context import create_ssl_context, default_ssl_context
from .._types import CertTypes, PinTypes, VerifyTypes
from .._urls import URL

# What a transport remembers: of so many peers, so many sessions each (a session is for one connection), some kilobytes
# apiece.
MAX_PEERS = 64
MAX_PER_PEER = 4
# Seconds until the certificate is checked again, by a whole handshake. Servers offer up to seven days (RFC 8446 section
# 4.6.1), which is long for a certificate that may expire or be revoked meanwhile.
MAX_AGE = 3600.0

_HTTP1_ONLY = ("http/1.1",)

# Called with an SSLObject and whether it is closed.
Keep = Callable[[Any, bool], None]


class Sessions:
    """
    TLS sessions by peer, each given out once, as RFC 8446 appendix C.4 wants it; safe under threads.

    Copying a session out of OpenSSL takes a third of a millisecond, which many clients would pay for nothing: they make
    one connection to a host. So the first connection to a peer is left alone until it is closed, and even then what is
    kept is its `SSLObject`; the copy is made for the next connection. Later connections to the peer give theirs as
    soon as they are in use, until there are enough.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[Hashable, list[tuple[float, Any]]] = OrderedDict()
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Begin anew, also in a forked child: it should use neither its parent's tickets nor a lock of lost threads."""
        self._lock = threading.RLock()
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
            at_end: only after the connection was closed, when nothing else uses it.
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


class TLSHop:
    """
    One TLS handshake on the way of a connection.

    Attributes:
        context: what is trusted.
        server_name: for SNI and the check of the certificate.
        offered: the protocols to offer (ALPN), the preferred one first.
        peer: who that is, for error messages.
        step: its name in trace events and log lines.
    """

    __slots__ = ("_check", "_key", "_sessions", "context", "offered", "peer", "server_name", "step")

    def __init__(
        self,
        context: ssl.SSLContext,
        server_name: str,
        offered: tuple[str, ...],
        *,
        peer: str,
        key: Hashable,
        sessions: Sessions,
        check: Any = None,
        step: str = "connection.start_tls",
    ) -> None:
        self.step = step
        self.context = context
        self.server_name = server_name
        self.offered = offered
        self.peer = peer
        # Also what the user may change on a context between two connections, and a short handshake would not notice.
        checks = getattr(context, "verify_mode", None), getattr(context, "check_hostname", None)
        self._key = (key, server_name, id(context), checks)
        self._sessions = sessions
        self._check = check

    def begin(self, over: TLSFilter | None) -> TLSFilter:
        """
        The session that begins here; `over` carries it, for TLS within TLS.

        Raises:
            ConnectError: the context and the name do not fit.
        """
        name = self.server_name
        if isinstance(name, str) and name.endswith(
            "."
        ):  # RFC 6066 section 3: without the dot that ends a complete name
            name = name[:-1]
        session, keep = self._sessions.begin(self._key) if _checks_by_itself(self.context) else (None, None)
        # One context serves clients that offer different protocols, and a session takes over what its context says
        # when it begins. So the context is told each time, and no other session may begin in between.
        with _offering:
            self.context.set_alpn_protocols(list(self.offered))
            return TLSFilter(self.context, name, over, peer=self.peer, check=self._check, session=session, keep=keep)


def _checks_by_itself(context: Any) -> bool:
    """
    Return whether OpenSSL checks certificates.

    A context of another kind, such as truststore's, may do it after the handshake, with certificates that a session
    does not have.
    """
    return type(context).__module__ == "ssl" and context.sslobject_class.__module__ == "ssl"


_offering = threading.RLock()
FORKS.renew(sys.modules[__name__], "_offering", threading.RLock)


class Security:
    """
    What a transport was told about TLS.

    Args:
        verify, cert, trust_env, pins: as those of `httpx.HTTPTransport`.

    Raises:
        OSError, ssl.SSLError, TypeError, ValueError: as for `create_ssl_context` and `Pins`.
    """

    def __init__(
        self,
        verify: VerifyTypes,
        cert: CertTypes | None,
        trust_env: bool,
        pins: PinTypes | None = None,
    ) -> None:
        self._trust_env = trust_env
        self._pins = None if pins is None else Pins(_by_plain_host(pins))
        self._sessions = Sessions()
        # The shared context takes 10 ms to make the first time: not before the first https request needs it.
        self._context: ssl.SSLContext | None = None
        if cert is not None or (verify is not True and verify is not None):
            # A path that does not exist should be an error here, where it is given.
            self._context = create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)

    def unlock(self) -> None:
        """Release the locks that this thread has, after an exception at an unknown point."""
        for lock in (self._sessions._lock, _offering, _tls_context._making_default):
            unlock(lock)

    @property
    def context(self) -> ssl.SSLContext:
        """
        The context for origins, made on first use.

        Raises:
            ConnectError: SSL_CERT_FILE or SSL_CERT_DIR names nothing usable.
        """
        if self._context is None:
            self._context = _default_context(self._trust_env)
        return self._context

    def with_origin(
        self, key: tuple[Any, ...], name: str, offered: tuple[str, ...], proxy: Proxy | None = None
    ) -> TLSHop:
        """
        The handshake with the origin of a request.

        Args:
            key: of the connection in the pool: begins with scheme, host and port of the origin.
            name: of the server, as TLS knows it.
            offered: the protocols to offer (ALPN).
            proxy: by which the connection goes. A session tells the server who was there before, so it stays there.

        Raises:
            ConnectError: as for `context`.
        """
        name = _ascii_name(name)
        # Both names: the user pinned the one in the URL, the other one is who responds.
        check = None if self._pins is None else partial(self._pins.check, (key[1], name))
        way = None if proxy is None else (str(proxy.url), proxy.auth)
        return TLSHop(
            self.context,
            name,
            offered,
            peer=repr(name),
            key=(key, way),
            sessions=self._sessions,
            check=check,
            step=f"{_family(proxy)}.start_tls",
        )

    def with_proxy(self, proxy: Proxy) -> TLSHop:
        """
        The handshake with a proxy itself: `verify`, `cert` and `pins` are about origins, and do not change it.

        Raises:
            ConnectError: as for `context`.
        """
        origin = proxy.url._origin
        context = _default_context(self._trust_env) if proxy.ssl_context is None else proxy.ssl_context
        peer = f"the proxy {origin[1]!r}"
        return TLSHop(context, origin[1], _HTTP1_ONLY, peer=peer, key=("proxy", origin), sessions=self._sessions)


def _family(proxy: Proxy | None) -> str:
    """Where 0.28.1 puts the steps of a connection that goes by way of this proxy."""
    if proxy is None:
        return "connection"
    return "socks" if proxy.url.scheme.startswith("socks") else "proxy"


def _by_plain_host(pins: PinTypes) -> PinTypes:
    """
    `pins` with hosts as parsed URLs have them.

    Raises:
        ValueError: what should be a host is something else, and would fit no URL: the host would not be pinned.
    """
    if not isinstance(pins, Mapping):
        return pins
    return {_plain_host(host) if isinstance(host, str) else host: several for host, several in pins.items()}


def _ascii_name(name: Any) -> Any:
    """A name from `sni_hostname` in the form of hosts of URLs, so that pins know it; what is none is left alone."""
    if isinstance(name, bytes):
        name = name.decode("ascii", "replace")
    if isinstance(name, str) and not name.isascii():
        try:
            return _plain_host(name)
        except ValueError:
            pass
    return name


def _plain_host(host: str) -> str:
    below, name = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    try:
        url = URL(f"tls://{name}")  # no scheme of HTTP: a port that is its default would not be seen
        plain = url._origin[1]
    except InvalidURL as exc:
        raise ValueError(f"a pinned host is a name or an address, and {host!r} is none: {exc}") from exc
    beside = url.port is not None or url.userinfo or url.raw_path not in (b"", b"/") or url.fragment
    if beside or not plain or not plain.isascii() or any(character in plain for character in "*% "):
        raise ValueError(f"a pinned host is a name or an address, and no more than that: {host!r}")
    return below + plain


def _default_context(trust_env: bool) -> ssl.SSLContext:
    try:
        return default_ssl_context(trust_env)
    except OSError as exc:  # also ssl.SSLError
        raise final(ConnectError(f"TLS cannot begin: {exc}")) from exc
