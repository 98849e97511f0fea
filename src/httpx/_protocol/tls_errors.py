"""
What OpenSSL says when TLS fails, in words that help: its reason, and what can be done about it.

OpenSSL's sentences differ from version to version. The hints depend on what does not differ: the code of a failed check
(`verify_code`), the name of a reason (RFC 8446 section 6 lists the alerts), and the first bytes that the peer sent.

Not here: which exception is raised (`tls`).
"""

from __future__ import annotations

from .certificate import NotACertificate, names_of

# OpenSSL's X509_V_ERR_...: the outcome of a check of a certificate.
_EXPIRED, _TOO_EARLY = 10, 9
_OTHER_HOST = frozenset((62, 64))  # a name, an IP address
_SELF_SIGNED, _SELF_SIGNED_ROOT = 18, 19
_NO_ISSUER = frozenset((2, 20, 21))
_TOO_WEAK = frozenset((66, 67, 68))

# How many names of a certificate are shown, and how many characters of each. More than of other things that a peer
# sends: only a whole name helps.
_MAX_NAMES = 5
_MAX_NAME = 60

# Types of TLS records (RFC 8446 section 5.1): the first byte of all that is TLS.
_RECORD_TYPES = range(20, 25)

_HINTS = {
    "CERTIFICATE_REQUIRED": "the server requires a client certificate: give one as `cert`",
    "PROTOCOL_VERSION": "the two sides have no version of TLS in common",
    "HANDSHAKE_FAILURE": "no cipher in common, or the server requires a client certificate (`cert`)",
    "UNRECOGNIZED_NAME": "the server does not know a host of this name",
    "NO_APPLICATION_PROTOCOL": "the server does not speak a protocol that was offered by ALPN",
    "INSUFFICIENT_SECURITY": "the server requires stronger ciphers than were offered",
}
_REFUSED = "the server does not accept the client certificate"
# Alerts about a certificate: a server can only mean ours.
_ABOUT_OURS = (
    *("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED"),
    *("CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR"),
)
# What OpenSSL itself says when there is no version in common; the name depends on its own version.
_NO_VERSION = frozenset(("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "WRONG_SSL_VERSION"))


def explain(exc: Exception, first: bytes = b"", chain: list[bytes] | None = None) -> str:
    """
    Return the reason of a failed handshake, and a hint where there is one.

    Args:
        exc: what the standard library raised.
        first: the first bytes that the peer sent.
        chain: the certificates that the peer showed, as DER and unverified, if they are known.
    """
    if first and first[0] not in _RECORD_TYPES:
        return f"{reason(exc)}; {_not_tls(first)}"
    code = getattr(exc, "verify_code", None)
    hint = _hint(_name(exc)) if code is None else _verify_hint(code, chain or [])
    return f"{reason(exc)}; {hint}" if hint else reason(exc)


def reason(exc: Exception) -> str:
    """Return OpenSSL's words, without the file and line of its source."""
    verify = getattr(exc, "verify_message", None)
    if verify:
        return f"certificate verify failed: {verify}"
    if _is_end(exc):
        return "the peer closed the connection"
    name = getattr(exc, "reason", None)
    return name.replace("_", " ").lower() if name else str(exc).partition(" (_ssl.c:")[0]


def refusal(exc: Exception) -> str | None:
    """
    Return why the server refused the client's side of the handshake, if `exc` says that it did; else None.

    With TLS 1.3 the client is done first. The server's refusal of its certificate, or of a client without one, arrives
    when the client reads for the first time.
    """
    name = _name(exc)
    if "ALERT_" not in name:
        return None
    hint = _hint(name)
    return f"{reason(exc)}; {hint}" if hint in (_REFUSED, _HINTS["CERTIFICATE_REQUIRED"]) else None


def _name(exc: Exception) -> str:
    """Return the name of the reason, such as TLSV1_ALERT_UNKNOWN_CA, made of OpenSSL's words where Python has none."""
    return (getattr(exc, "reason", None) or "").replace(" ", "_").upper()


def _is_end(exc: Exception) -> bool:
    return type(exc).__name__ in ("SSLEOFError", "SSLZeroReturnError") or "EOF" in _name(exc)


def _hint(name: str) -> str | None:
    if name in _NO_VERSION:
        return _HINTS["PROTOCOL_VERSION"]
    for ending, hint in _HINTS.items():
        if name.endswith(ending):
            return hint
    return _REFUSED if "ALERT_" in name and name.endswith(_ABOUT_OURS) else None


def _verify_hint(code: int, chain: list[bytes]) -> str | None:
    if code in _OTHER_HOST:
        return _names(chain)
    if code == _EXPIRED:
        return "the server must renew it, unless the clock of this machine is wrong"
    if code == _TOO_EARLY:
        return "is the clock of this machine right?"
    if code == _SELF_SIGNED:
        return "if it is the right one, give it as `verify`"
    if code == _SELF_SIGNED_ROOT or code in _NO_ISSUER:
        return (
            "it is not signed by a trusted authority, or the server does not send the intermediate certificates; "
            "give other authorities as `verify`"
        )
    return "its key or signature is too weak for this machine's OpenSSL" if code in _TOO_WEAK else None


def _names(chain: list[bytes]) -> str | None:
    try:
        names = names_of(chain[0]) if chain else None
    except NotACertificate:
        return None
    if names is None:
        return None
    if not names:
        return "the certificate does not name a host"
    shown = ", ".join(repr(name[:_MAX_NAME]) for name in names[:_MAX_NAMES])
    more = len(names) - _MAX_NAMES
    return f"the certificate is for {shown}" + (f" and {more} more" if more > 0 else "")


def _not_tls(first: bytes) -> str:
    if first.startswith(b"HTTP/"[: len(first)]):
        return "the peer responded in plain HTTP: the URL should begin with http://, or have another port"
    return "the peer sent something that is not TLS"
