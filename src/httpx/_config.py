"""
The configuration values of a client: timeouts, limits and proxies.

Plain values, read by the client and its transports.
Not here: TLS contexts (`_tls_context`), the environment's proxies (`_proxies`).
"""

from __future__ import annotations

import ssl
from math import inf
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union

from ._headers import Headers, without_secrets
from ._tls_context import create_ssl_context, in_state, out_of_state
from ._urls import URL

if TYPE_CHECKING:
    from ._types import HeaderTypes, TimeoutTypes

__all__ = ["Limits", "Proxy", "Timeout", "create_ssl_context"]


class UnsetType:
    """The type of `UNSET`: an argument that was not given, where `None` means something else."""

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        return "UNSET"  # by name, so that a pickle gives back the one object that `is UNSET`


UNSET = UnsetType()

_DEFAULT_SECONDS = 5.0
_PHASES = ("connect timeout", "read timeout", "write timeout", "pool timeout")


def _seconds(name: str, value: Any) -> Optional[float]:
    """
    Return `value` if it is a time to wait: a non-negative number, or None for no limit; infinity becomes None.

    Raises:
        TypeError: not a number. True and False are refused: `timeout=False` would mean "give up at once".
        ValueError: negative, or NaN.
    """
    if value is None:
        return None
    kind = type(value)
    if kind is not float and kind is not int:
        if kind is bool or not hasattr(kind, "__float__"):
            # A list or a dictionary means a time for each phase, as in other libraries.
            hint = "; for several, use httpx.Timeout(10, connect=3)" if isinstance(value, (list, dict)) else ""
            raise TypeError(f"{name} must be a number of seconds or None, got {kind.__name__}{hint}")
        value = float(value)
    if not value >= 0:  # written so that NaN is refused as well
        raise ValueError(f"{name} must not be negative or NaN, got {value!r}")
    # Sockets and event loops raise OverflowError for infinity.
    return None if value == inf else value


def whole_number(name: str, value: Any, least: int) -> int:
    """
    Return `value` as an int.

    Raises:
        TypeError: it is not an int. True and False are refused: they are never meant as a number.
        ValueError: it is less than `least`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, got {value!r:.40}")
    number = index(value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def _number_or_none(name: str, value: Any, least: int) -> Optional[int]:
    """Return the same as `whole_number`; None means no limit, and so does infinity, which 0.28.1 accepted."""
    return None if value is None or value == inf else whole_number(name, value, least)


class Timeout:
    """
    A limit in seconds for each phase of a request, and for the whole call.

        Timeout(10)                      10 s for each phase
        Timeout(10, connect=60)          10 s, but 60 s to connect
        Timeout(connect=5, read=30)      the others are 5 s
        Timeout(None)                    no limit
        Timeout((5, 30, 30, None))       connect, read, write, pool
        Timeout(5, total=60)             and never more than 60 s for the whole call

    Args:
        timeout: for each phase not given separately: seconds, `None` to wait without limit, a tuple of connect,
            read, write, pool (the last two may be missing, which is `None`), or another `Timeout`. Default: 5 s.
        connect: name lookup, TCP, TLS and proxy handshakes.
        read: for the peer to send something; it restarts with each piece that arrives.
        write: for the peer to take something; it restarts with each piece.
        pool: for a connection of the pool to become free.
        total: for the whole call: the queue, redirects, authentication and the body included. Default: no bound, or
            that of the `Timeout` given as `timeout`.

    0 gives up unless the phase needs no waiting. Infinity is the same as `None`.

    Raises:
        TypeError: a value is not a number.
        ValueError: a negative number, NaN, or a tuple that is too short or too long.
    """

    # As in 0.28.1: equal by value and not to be used as a key.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # how Python spells "unhashable"; object's is a method

    connect: Optional[float]
    read: Optional[float]
    write: Optional[float]
    pool: Optional[float]
    # On the instance only where it is set, so that an instance's attributes equal those of `as_dict`.
    total: Optional[float] = None

    def __init__(
        self,
        timeout: Union[TimeoutTypes, UnsetType] = UNSET,
        *,
        connect: Union[float, UnsetType, None] = UNSET,
        read: Union[float, UnsetType, None] = UNSET,
        write: Union[float, UnsetType, None] = UNSET,
        pool: Union[float, UnsetType, None] = UNSET,
        total: Optional[float] = None,
    ) -> None:
        if isinstance(timeout, (Timeout, tuple)):
            self._start_from(timeout)
        else:
            seconds = _DEFAULT_SECONDS if timeout is UNSET else _seconds("timeout", timeout)
            self.connect = self.read = self.write = self.pool = seconds
        if connect is not UNSET:
            self.connect = _seconds("connect timeout", connect)
        if read is not UNSET:
            self.read = _seconds("read timeout", read)
        if write is not UNSET:
            self.write = _seconds("write timeout", write)
        if pool is not UNSET:
            self.pool = _seconds("pool timeout", pool)
        if total is not None:
            self.total = _seconds("total timeout", total)

    def _start_from(self, timeout: Union[Timeout, tuple[Any, ...]]) -> None:
        if isinstance(timeout, Timeout):
            self.__dict__.update(timeout.as_dict())
            return
        if not 2 <= len(timeout) <= 4:
            raise ValueError(
                f"a timeout tuple is (connect, read, write, pool), got {len(timeout)} items; "
                "did you mean httpx.Timeout(10, connect=3)?"
            )
        given = (*timeout, None, None)[:4]
        self.connect, self.read, self.write, self.pool = map(_seconds, _PHASES, given)

    def as_dict(self) -> dict[str, Optional[float]]:
        """
        Return the seconds of connect, read, write and pool, and of total only if it is set.

        A new dictionary each time: it becomes `request.extensions["timeout"]`. Clients, for whom every frame counts,
        copy `__dict__` themselves if it has only the four keys. It may have more: openai's package sets `__module__`
        on the instances that it exports.
        """
        seconds = {"connect": self.connect, "read": self.read, "write": self.write, "pool": self.pool}
        if self.total is not None:
            seconds["total"] = self.total
        return seconds

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Timeout) and self.as_dict() == other.as_dict()

    def __repr__(self) -> str:
        if self.connect == self.read == self.write == self.pool:
            shown = f"timeout={self.connect}"
        else:
            shown = f"connect={self.connect}, read={self.read}, write={self.write}, pool={self.pool}"
        total = "" if self.total is None else f", total={self.total}"
        return f"{type(self).__name__}({shown}{total})"


# The defaults of the limits that 0.28.1 did not have, in the order of the attributes.
_ADDED_LIMITS = (None, 5_000, 262_144, None)


class Limits:
    """
    Limits on the connections that a client opens and keeps, and on the size of a response's head.

    Args:
        max_connections: open at the same time; a request beyond it waits, at most for the pool timeout. None: any
            number.
        max_keepalive_connections: idle ones that are kept for later requests. None: all, 0: none.
        keepalive_expiry: seconds after which an idle connection is closed. None: never.
        max_connections_per_host: like `max_connections`, for each host by itself. None: any number.
        max_header_fields: header fields of one response, or trailers; more are a `RemoteProtocolError`.
        max_header_bytes: what the heads of a response, interim ones included, and its trailers may take together.
        ping_interval: HTTP/2 only: seconds of silence, while requests wait, after which the client sends a PING. If
        nothing arrives for as many seconds more, the requests raise `ReadError`. None: never.

    A client without `limits` has 100, 20 and 5 s. With one of the first three given here, or none at all, the others of
    them are no limit and 5 s, as in 0.28.1. With one of the last four, they stay those of a client, unless they are
    given, too: `Limits(max_connections_per_host=10)` does not lift the total of 100.

    Raises:
        TypeError: a number is not an int, or a time not a number.
        ValueError: a number is too small, or a time negative.
    """

    # As in 0.28.1: equal by value and not to be used as a key.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # how Python spells "unhashable"; object's is a method

    max_connections: Optional[int]
    max_keepalive_connections: Optional[int]
    keepalive_expiry: Optional[float]
    max_connections_per_host: Optional[int]
    max_header_fields: int
    max_header_bytes: int
    ping_interval: Optional[float]

    def __init__(
        self,
        *,
        max_connections: Union[int, UnsetType, None] = UNSET,
        max_keepalive_connections: Union[int, UnsetType, None] = UNSET,
        keepalive_expiry: Optional[float] = 5.0,
        max_connections_per_host: Optional[int] = None,
        max_header_fields: int = 5_000,
        max_header_bytes: int = 262_144,
        ping_interval: Optional[float] = None,
    ) -> None:
        added = max_connections_per_host, max_header_fields, max_header_bytes, ping_interval
        total, idle = (None, None) if added == _ADDED_LIMITS else (100, 20)
        total = total if isinstance(max_connections, UnsetType) else max_connections
        idle = idle if isinstance(max_keepalive_connections, UnsetType) else max_keepalive_connections
        self.max_connections = _number_or_none("max_connections", total, 1)
        self.max_keepalive_connections = _number_or_none("max_keepalive_connections", idle, 0)
        self.keepalive_expiry = _seconds("keepalive_expiry", keepalive_expiry)
        self.max_connections_per_host = _number_or_none("max_connections_per_host", max_connections_per_host, 1)
        self.max_header_fields = whole_number("max_header_fields", max_header_fields, 1)
        self.max_header_bytes = whole_number("max_header_bytes", max_header_bytes, 1)
        self.ping_interval = _seconds("ping_interval", ping_interval)
        if self.ping_interval == 0:
            raise ValueError("ping_interval must be a positive number of seconds or None, got 0")

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Limits) and vars(self) == vars(other)

    def __repr__(self) -> str:
        # Limits that 0.28.1 did not have are shown only if they were set.
        fields = vars(self)
        shown = [f"{name}={fields[name]}" for name in list(fields)[:3]]
        shown += [f"{n}={v}" for (n, v), plain in zip(list(fields.items())[3:], _ADDED_LIMITS) if v != plain]
        return f"{type(self).__name__}({', '.join(shown)})"


_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def _escaped(url: str) -> str:
    """Return the URL with backslashes of its user name and password escaped; Windows puts a domain in front."""
    scheme, separator, rest = url.partition("://")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    userinfo, at, host = rest[:end].rpartition("@")
    return f"{scheme}{separator}{userinfo.replace(chr(92), '%5C')}{at}{host}{rest[end:]}"


class Proxy:
    """
    A proxy, and how to speak to it.

        Proxy("http://user:password@proxy.example.org:3128")
        Proxy("https://proxy.example.org", auth=("user", "password"), headers={"X-Team": "blue"})

    Args:
        url: its scheme is http, https, socks4, socks4a, socks5 or socks5h. Credentials in it become `auth`, instead
            of the argument, and are not in the attribute `url`. The user name may be `DOMAIN\\user`.
        ssl_context: for TLS to the proxy itself, not to the origin; a default one when `None`.
        auth: user name and password.
        headers: sent to an http or https proxy with CONNECT, or with each plain http request.

    Raises:
        InvalidURL: `url` cannot be parsed.
        TypeError: `url` is neither a str nor a `URL`.
        ValueError: it has another scheme, or none, or it has no host.
    """

    url: URL
    auth: Optional[tuple[str, str]]
    headers: Headers
    ssl_context: Optional[ssl.SSLContext]

    def __init__(
        self,
        url: Union[URL, str],
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        auth: Optional[tuple[str, str]] = None,
        headers: Optional[HeaderTypes] = None,
    ) -> None:
        parsed = URL(_escaped(url) if isinstance(url, str) else url)
        if parsed.scheme not in _PROXY_SCHEMES:
            # The scheme and no more of it: the rest may hold a password.
            expected = ", ".join(_PROXY_SCHEMES)
            raise ValueError(f"unknown scheme {parsed.scheme[:20]!r} in a proxy URL, expected one of {expected}")
        if not parsed.host:
            raise ValueError("a proxy URL must have a host, such as http://127.0.0.1:3128")
        if parsed.username or parsed.password:
            auth = parsed.username, parsed.password
            parsed = parsed.copy_with(username=None, password=None)
        self.url = parsed
        self.auth = auth
        self.headers = Headers(headers)
        self.ssl_context = ssl_context

    @property
    def raw_auth(self) -> Optional[tuple[bytes, bytes]]:
        """Return user name and password as UTF-8, or `None`."""
        if self.auth is None:
            return None
        username, password = self.auth
        return username.encode(), password.encode()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ssl_context": in_state(self.ssl_context)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, ssl_context=out_of_state(state["ssl_context"]))

    def __repr__(self) -> str:
        shown = [repr(str(self.url))]
        if self.auth is not None:
            shown.append(f"auth=({self.auth[0]!r}, '********')")
        if self.headers:
            fields = {k: without_secrets(k, v) for k, v in self.headers.items()}
            shown.append(f"headers={fields!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


DEFAULT_TIMEOUT_CONFIG = Timeout(timeout=5.0)
DEFAULT_LIMITS = Limits(max_connections=100, max_keepalive_connections=20)
DEFAULT_MAX_REDIRECTS = 20
