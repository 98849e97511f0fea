"""
Certificates for tests, from an authority that exists only while the tests run.

Everything is made on first use and kept: making a key takes milliseconds, and a test run has thousands of tests.
"""

from __future__ import annotations

import datetime
import functools
import ssl
import tempfile
from pathlib import Path
from typing import Optional

import trustme

NAMES = ("localhost", "127.0.0.1", "::1", "example.org", "*.example.com")


@functools.cache
def authority() -> trustme.CA:
    """The certificate authority that clients in tests trust."""
    return trustme.CA()


@functools.cache
def stranger() -> trustme.CA:
    """An authority that nobody trusts."""
    return trustme.CA()


@functools.cache
def leaf(kind: str = "good") -> trustme.LeafCert:
    """
    A certificate.

    Args:
        kind: "good" (for all of `NAMES`), "expired", "early" (not valid yet), "other-name" (for other.example only),
            "stranger" (from an authority that nobody trusts) or "client".
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    if kind == "expired":
        return authority().issue_cert(*NAMES, not_before=now - 10 * day, not_after=now - day)
    if kind == "early":
        return authority().issue_cert(*NAMES, not_before=now + day, not_after=now + 10 * day)
    if kind == "other-name":
        return authority().issue_cert("other.example")
    if kind == "stranger":
        return stranger().issue_cert(*NAMES)
    if kind == "client":
        return authority().issue_cert("client@example.org")
    assert kind == "good", kind
    return authority().issue_cert(*NAMES)


def server_context(
    kind: str = "good", *, alpn: tuple[str, ...] = ("http/1.1",), client_cert: bool = False
) -> ssl.SSLContext:
    """
    A context for a server.

    Args:
        kind: see `leaf`.
        alpn: protocols that the server offers; none means that it does not answer ALPN.
        client_cert: refuse clients without a certificate of `authority`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf(kind).configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client_cert:
        context.verify_mode = ssl.CERT_REQUIRED
        authority().configure_trust(context)
    return context


def client_context(*, client_cert: bool = False, alpn: Optional[tuple[str, ...]] = None) -> ssl.SSLContext:
    """A context for a client that trusts `authority` and nobody else; a new one on each call."""
    context = ssl.create_default_context(cadata=authority_pem().decode("ascii"))
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # set on Python 3.9; httpx's own contexts unset it
    if client_cert:
        leaf("client").configure_cert(context)
    if alpn is not None:
        context.set_alpn_protocols(list(alpn))
    return context


def authority_pem() -> bytes:
    """The authority's own certificate as PEM, for `verify="/path"` and SSL_CERT_FILE."""
    return authority().cert_pem.bytes()


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="httpx-test-certs-")


def authority_file() -> Path:
    """A file with the authority's certificate; gone when the process ends."""
    path = Path(_folder().name, "authority.pem")
    if not path.exists():
        path.write_bytes(authority_pem())
    return path


def leaf_files(kind: str = "good") -> tuple[Path, Path]:
    """Two files, certificate chain and private key, for servers that want paths and for `cert=(...)`."""
    chain, key = Path(_folder().name, f"{kind}.chain.pem"), Path(_folder().name, f"{kind}.key.pem")
    if not key.exists():
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf(kind).cert_chain_pems))
        key.write_bytes(leaf(kind).private_key_pem.bytes())
    return chain, key
