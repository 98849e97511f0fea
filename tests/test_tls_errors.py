"""The words and hints for what OpenSSL says, which differ from version to version: so the errors are made here."""

from __future__ import annotations

import ssl
from typing import Any, Optional

import pytest

from httpx._protocol.tls_errors import explain, reason, refusal
from support import certs


def ssl_error(name: Optional[str] = None, text: str = "[SSL: X] x (_ssl.c:1020)", kind: Any = ssl.SSLError) -> Any:
    """An error as the standard library raises it; `name` is OpenSSL's reason."""
    error = kind(1, text)
    error.reason = name
    return error


def verify_error(code: int, message: str = "no good") -> Any:
    error = ssl_error("CERTIFICATE_VERIFY_FAILED", kind=ssl.SSLCertVerificationError)
    error.verify_code, error.verify_message = code, message
    return error


def chain(kind: str = "good") -> list[bytes]:
    return [ssl.PEM_cert_to_DER_cert(certs.leaf(kind).cert_chain_pems[0].bytes().decode())]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (10, "renew it"),
        (9, "clock"),
        (18, "if it is the right one, give it as `verify`"),
        (19, "not signed by a trusted authority"),
        (20, "not signed by a trusted authority"),
        (21, "not signed by a trusted authority"),
        (2, "not signed by a trusted authority"),
        (66, "too weak"),
        (67, "too weak"),
        (68, "too weak"),
    ],
)
def test_a_failed_check_has_a_hint_by_its_code(code: int, hint: str):
    said = explain(verify_error(code))
    assert said.startswith("certificate verify failed: no good; ")
    assert hint in said


def test_a_code_that_is_not_known_has_openssls_words():
    assert explain(verify_error(1)) == "certificate verify failed: no good"


@pytest.mark.parametrize("code", [62, 64])
def test_a_certificate_of_another_host_is_named(code: int):
    said = explain(verify_error(code, "Hostname mismatch"), chain=chain())
    assert said == (
        "certificate verify failed: Hostname mismatch; the certificate is for "
        "'localhost', '127.0.0.1', '::1', 'example.org', '*.example.com'"
    )
    assert explain(verify_error(code), chain=chain("client")).endswith("; the certificate does not name a host")


def test_many_and_long_names_are_cut():
    leaf = certs.authority().issue_cert(*(f"{'x' * 60}.host-{number}.example" for number in range(8)))
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    said = explain(verify_error(62), chain=[der])
    assert said.endswith(" and 3 more")
    assert said.count("x" * 60) == 5
    assert len(said) < 450


@pytest.mark.parametrize("unknown", [None, [], [b"nonsense"]])
def test_where_the_names_are_not_known_there_is_no_hint(unknown: Any):
    """Python tells what the peer showed from 3.13 on."""
    assert explain(verify_error(62), chain=unknown) == "certificate verify failed: no good"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "TLSV1_ALERT_PROTOCOL_VERSION",
            "tlsv1 alert protocol version; the two sides have no version of TLS in common",
        ),
        ("UNSUPPORTED_PROTOCOL", "unsupported protocol; the two sides have no version of TLS in common"),
        ("NO_PROTOCOLS_AVAILABLE", "no protocols available; the two sides have no version of TLS in common"),
        (
            "TLSV13_ALERT_CERTIFICATE_REQUIRED",
            "tlsv13 alert certificate required; the server requires a client certificate: give one as `cert`",
        ),
        (
            "tlsv13 alert certificate required",  # as of an OpenSSL that is newer than Python's table of its reasons
            "tlsv13 alert certificate required; the server requires a client certificate: give one as `cert`",
        ),
        (
            "SSLV3_ALERT_HANDSHAKE_FAILURE",
            "sslv3 alert handshake failure; no cipher in common, or the server requires a client certificate (`cert`)",
        ),
        (
            "TLSV1_ALERT_UNKNOWN_CA",
            "tlsv1 alert unknown ca; the server does not accept the client certificate",
        ),
        ("TLSV1_UNRECOGNIZED_NAME", "tlsv1 unrecognized name; the server does not know a host of this name"),
        ("DH_KEY_TOO_SMALL", "dh key too small"),
        ("UNEXPECTED_EOF_WHILE_READING", "the peer closed the connection"),
        (None, "[SSL: X] x"),
    ],
)
def test_a_reason_is_told_in_plain_words(name: Optional[str], said: str):
    assert explain(ssl_error(name)) == said


@pytest.mark.parametrize("kind", [ssl.SSLEOFError, ssl.SSLZeroReturnError])
def test_an_end_is_an_end(kind: Any):
    assert reason(ssl_error(kind=kind)) == "the peer closed the connection"


@pytest.mark.parametrize("first", [b"H", b"HTTP/1.1", b"HTTP/1.0 400 Bad"])
def test_plain_http_is_known_by_its_first_bytes(first: bytes):
    """OpenSSL calls it a wrong version number, or a packet that is too long."""
    said = explain(ssl_error("WRONG_VERSION_NUMBER"), first)
    assert said.startswith("wrong version number; the peer responded in plain HTTP: the URL should begin with http://")


@pytest.mark.parametrize("first", [b"SSH-2.0-", b"\0\0\0", b"220 mail"])
def test_what_is_no_tls_is_called_so(first: bytes):
    assert explain(ssl_error("WRONG_VERSION_NUMBER"), first).endswith("; the peer sent something that is not TLS")


def test_what_begins_like_tls_is_not_called_something_else():
    assert explain(ssl_error("DECODE_ERROR"), b"\x16\3\3") == "decode error"


@pytest.mark.parametrize(
    "name", ["TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_EXPIRED"]
)
def test_a_refusal_of_this_side_is_known_after_the_handshake_too(name: str):
    said = refusal(ssl_error(name))
    assert said is not None
    assert "client certificate" in said


@pytest.mark.parametrize(
    "name",
    [None, "TLSV1_ALERT_INTERNAL_ERROR", "SSLV3_ALERT_HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "WRONG_VERSION_NUMBER"],
)
def test_other_errors_are_no_refusals(name: Optional[str]):
    assert refusal(ssl_error(name)) is None
