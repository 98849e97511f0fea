"""
TLS contexts.

    create_ssl_context(...)    a new one
    default_ssl_context(...)   the one that all clients with default settings share: loading the certificate
                               authorities takes milliseconds
    in_state, out_of_state     how a context goes into a copy or a pickle of what holds it

Importing this module loads no certificates and reads no environment variable; the first TLS connection does.
Not here: ALPN for a context that the user made (`_transports`), handshakes (`_engine.security`, `_protocol.tls`).
"""

from __future__ import annotations

import errno
import os
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Optional

from ._forks import FORKS
from ._utils import lazy_pattern

if TYPE_CHECKING:
    from ._types import CertTypes, VerifyTypes

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
    # Python 3.9 sets it, and a body that was cut would pass for the whole.
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
