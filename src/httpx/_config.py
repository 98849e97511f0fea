"""
The configuration values of a client: timeouts, limits, proxies, and TLS contexts.

`Timeout`, `Limits` and `Proxy` are plain values, read by the client and its transports. TLS contexts come from two
functions: `create_ssl_context` makes a new one, and `default_ssl_context` returns the one that all clients
with default settings share, because loading the certificate authorities takes milliseconds.

Importing this module loads no certificates and reads no environment variable; the first TLS connection does.
Not here: the environment's proxies (`_proxies`), ALPN for a context that the user made (`_transports`).
"""

from __future__ import annotations

import errno
import os
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union

from ._forks import FORKS
from ._headers import Headers, without_secrets
from ._urls import URL
from ._utils import lazy_pattern

if TYPE_CHECKING:
    from ._types import CertTypes, HeaderTypes, TimeoutTypes, VerifyTypes

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


# TLS

# Distinguishes PEM in a str from a path: a path does not contain it.
_PEM_BEGIN = "-----BEGIN "
_PEM_CERTIFICATE = lazy_pattern("-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\\s]+-----END CERTIFICATE-----")


class _KeptContext:
    """
    A TLS context in the state of an object that is copied: copies share it, and pickling raises an error that says why.

    The error is raised here and not where the state is made, because copying within the process uses the state, too.
    """

    def __init__(self, context: Any) -> None:
        self.context = context

    def __deepcopy__(self, memo: dict[int, Any]) -> _KeptContext:
        return self

    def __reduce__(self) -> str:
        raise TypeError(
            f"a TLS context ({type(self.context).__name__}) cannot be pickled: pass `verify` and `cert` as paths, "
            "or make the client in the process that uses it"
        )


def in_state(value: Any) -> Any:
    """Return `value` as it is stored in the state of an object; see `_KeptContext`."""
    return _KeptContext(value) if hasattr(value, "wrap_bio") else value


def out_of_state(value: Any) -> Any:
    """Return the value that `in_state` was given."""
    return value.context if isinstance(value, _KeptContext) else value


def create_ssl_context(
    verify: VerifyTypes = True,
    cert: Optional[CertTypes] = None,
    trust_env: bool = True,
) -> ssl.SSLContext:
    """
    Return a new TLS context for clients, TLS 1.2 or newer, that offers no ALPN protocols yet.

    Args:
        verify: `True` trusts the authorities of the package certifi, or with `trust_env` those in the file
            SSL_CERT_FILE or the directories SSL_CERT_DIR. A str or path is such a file or directory; a str or bytes
            with a line "-----BEGIN CERTIFICATE-----" are the authorities themselves. "system" trusts the authorities of
            the operating system, through the package truststore. `False` checks neither certificate nor host name. An
            `ssl.SSLContext` is returned itself.
        cert: the client's own certificate: a PEM file with certificate and key, or (certificate, key) or
            (certificate, key, password). Each of the first two is a path, or str or bytes with a line "-----BEGIN".
        trust_env: whether SSL_CERT_FILE and SSL_CERT_DIR are used. SSLKEYLOGFILE is read by the standard library,
        always, unless Python ignores its environment.

    Raises:
        TypeError: `verify` or `cert` is none of these.
        ImportError: `verify` is "system", and truststore is not installed.
        OSError: a file cannot be read (`FileNotFoundError` if it is missing), with its path as `filename`.
        ssl.SSLError: a file has other contents, or the password is wrong. An `OSError` too; the message has the path.
    """
    context = _verifying_context(verify, trust_env)
    if cert is not None:
        _load_cert(context, cert)
        if context is not verify:
            # A server may ask for the certificate later, when it knows what is requested (RFC 8446 section 4.6.2).
            context.post_handshake_auth = True
    return context


def _verifying_context(verify: Any, trust_env: bool) -> ssl.SSLContext:
    # 0.28.1 let `None` through to where it became the default, so it has always meant "verify".
    if verify is True or verify is None:
        return _trusting_default(trust_env)
    if verify is False:
        return _unverifying()
    pem = _pem_text(verify)
    if pem is not None:
        return _trusting_pem(pem)
    if verify == "system":
        return _trusting_system()
    if isinstance(verify, (str, os.PathLike)):
        path = os.fspath(verify)
        return _trusting_directories(path) if os.path.isdir(path) else _trusting_file(path)
    # Duck-typed, so that the contexts of truststore and of tests are accepted.
    if hasattr(verify, "wrap_bio"):
        return verify  # type: ignore[no-any-return]  # duck-typed on purpose
    raise TypeError(f"verify must be a bool, a path, PEM or an ssl.SSLContext, got {type(verify).__name__}")


def _trusting_default(trust_env: bool) -> ssl.SSLContext:
    if trust_env:
        # An empty variable counts as unset.
        file, directories = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if file:
            return _trusting_file(file, " from SSL_CERT_FILE")
        if directories:
            return _trusting_directories(directories, " from SSL_CERT_DIR")
    import certifi

    return _trusting_file(certifi.where())


def _pem_text(given: Any) -> Optional[str]:
    """Return PEM that was given as text and not as a path; else None. Its text may be a secret."""
    if isinstance(given, (bytes, bytearray)):
        given = given.decode("utf-8", "replace")  # non-ASCII text can only be a comment
    return given if isinstance(given, str) and _PEM_BEGIN in given else None


def _trusting_pem(pem: str) -> ssl.SSLContext:
    # Only the certificates: comments around them must be ASCII for the standard library.
    certificates = "\n".join(_PEM_CERTIFICATE.findall(pem))
    try:
        if not certificates:
            raise ssl.SSLError(0, "NO_CERTIFICATE")
        return _strict(ssl.create_default_context(cadata=certificates))
    except (ssl.SSLError, ValueError) as exc:
        raise ssl.SSLError(getattr(exc, "errno", 0), "no usable certificates in the PEM given as verify") from exc


def _trusting_system() -> ssl.SSLContext:
    try:
        import truststore
    except ImportError as exc:
        raise ImportError(
            "verify='system' needs the package truststore (Python 3.10 or newer): pip install 'httpx[truststore]'"
        ) from exc
    return _strict(truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def _trusting_file(path: str, source: str = "") -> ssl.SSLContext:
    """Return a context that trusts the authorities in this PEM file; `source` names the path's origin in errors."""
    try:
        if not path:
            # The standard library treats it as "not given" and would trust the system's authorities instead.
            raise FileNotFoundError(errno.ENOENT, "no path")
        context = ssl.create_default_context(cafile=path)
    except ssl.SSLError as exc:
        raise ssl.SSLError(exc.errno, f"no usable certificate file{source}: {path!r} ({_reason(exc)})") from exc
    except OSError as exc:
        if exc.filename is not None:
            raise  # about SSLKEYLOGFILE, which the standard library opens too; the error names only that file
        raise OSError(exc.errno, f"no usable certificate file{source}", path) from exc
    return _strict(context)


def _trusting_directories(path: str, source: str = "") -> ssl.SSLContext:
    """Return a context that trusts the authorities in these directories, separated by ":" (Windows: ";")."""
    # OpenSSL does not report a missing directory; then every handshake would fail for no visible reason.
    if not any(os.path.isdir(part) for part in path.split(os.pathsep)):
        raise FileNotFoundError(errno.ENOENT, f"no such certificate directory{source}", path)
    return _strict(ssl.create_default_context(capath=path))


def _unverifying() -> ssl.SSLContext:
    # Not `create_default_context`: it would load the system's authorities only to ignore them, which takes 20 ms.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # first: otherwise the next line is an error
    context.verify_mode = ssl.CERT_NONE
    key_log = os.environ.get("SSLKEYLOGFILE")
    if key_log and not sys.flags.ignore_environment:
        context.keylog_filename = key_log
    return _strict(context)


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    # Never lowered: the system's OpenSSL configuration may ask for TLS 1.3. The default since Python 3.10.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    # Python 3.9 sets it, and a body that somebody cut would pass for the whole.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


def _load_cert(context: ssl.SSLContext, cert: Any) -> None:
    chain = (cert,) if isinstance(cert, (str, bytes, os.PathLike)) else cert
    if not isinstance(chain, (tuple, list)) or not 1 <= len(chain) <= 3 or not _names_files(chain):
        raise TypeError("cert must be a path, PEM, (certificate, key) or (certificate, key, password)")
    # The password is last and never in a message, and neither is a key in memory.
    pems = [_pem_text(part) for part in chain[:2]]
    parts = [part for part in zip(chain, pems) if part[0] is not None]
    named = " with key ".join(repr(os.fspath(path)) if pem is None else "PEM in memory" for path, pem in parts)
    paths = [os.fspath(path) for path, pem in parts if pem is None]
    try:
        with ExitStack() as files:
            found = [path if pem is None else files.enter_context(_as_file(pem)) for path, pem in zip(chain, pems)]
            context.load_cert_chain(*found, *chain[2:])
    except ssl.SSLError as exc:
        raise ssl.SSLError(exc.errno, f"no usable client certificate: {named} ({_reason(exc)})") from exc
    except OSError as exc:
        # OpenSSL does not say which of the two is wrong.
        missing = next((path for path in paths if not os.path.exists(path)), paths[0] if paths else None)
        raise OSError(exc.errno, "no usable client certificate", missing) from exc


def _names_files(chain: Any) -> bool:
    """Return whether certificate and key are paths or PEM. Bytes must be PEM: a path in bytes is likely a mistake."""
    return chain[0] is not None and all(
        part is None or isinstance(part, (str, os.PathLike)) or _pem_text(part) is not None for part in chain[:2]
    )


@contextmanager
def _as_file(pem: str) -> Iterator[str]:
    """
    Return the path of a file with this text, maybe a private key: OpenSSL reads client certificates only from files.

    The file is in memory where the system supports it, else only this user may read it. It is removed afterwards.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("httpx-pem", os.MFD_CLOEXEC)
        path, on_disk = f"/proc/self/fd/{descriptor}", False
    else:
        import tempfile

        descriptor, path = tempfile.mkstemp(prefix="httpx-", suffix=".pem")  # its mode is 0600
        on_disk = True
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(pem)
            file.flush()
            if on_disk:
                file.close()  # Windows does not open a file twice at a time
            yield path
    finally:
        if on_disk:
            os.unlink(path)


def _reason(exc: ssl.SSLError) -> str:
    """Return OpenSSL's reason. It has none for a key in an unknown format."""
    return getattr(exc, "reason", None) or "not a certificate, or the wrong password"


_DefaultKey = tuple[bool, Optional[str], Optional[str], Optional[str]]

# A few entries: clients with and without HTTP/2, and tests that change the environment.
_MAX_DEFAULT_CONTEXTS = 16
_default_contexts: dict[_DefaultKey, ssl.SSLContext] = {}
_making_default = threading.RLock()  # released by `unlock` if an exception arrives in between


def default_ssl_context(trust_env: bool = True) -> ssl.SSLContext:
    """
    Return the context that all clients with `verify=True` and no `cert` share; made on first use.

    One for each state of the environment variables that it depends on. It must not be changed.

    Args:
        trust_env: as for `create_ssl_context`, which also says what is raised.
    """
    environ = os.environ
    key = trust_env, environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR"), environ.get("SSLKEYLOGFILE")
    context = _default_contexts.get(key)
    if context is not None:
        return context
    # Under a lock because it takes milliseconds: fifty threads at the start would load fifty times.
    with _making_default:
        context = _default_contexts.get(key)
        if context is None:
            context = create_ssl_context(trust_env=trust_env)
            while len(_default_contexts) >= _MAX_DEFAULT_CONTEXTS:
                del _default_contexts[next(iter(_default_contexts))]
            _default_contexts[key] = context
    return context


FORKS.renew(sys.modules[__name__], "_making_default", threading.RLock)
