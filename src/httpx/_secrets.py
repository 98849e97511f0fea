"""
Hiding secrets and bounding length in logs, reprs and messages.

    looks_secret("X-Amz-Signature")      -> True           by the name of a query parameter, form field or header field
    is_secret_field("Set-Cookie")        -> True           the same for a header field, cookies included
    hide_parameters("a=1&token=abc")     -> "a=1&token=[secure]"
    hide_in_address("http://a:b@c d")    -> "http://[secure]@c d"     for text that is not a valid URL
    printable("OK\x07")                  -> "OK\\x07"      no control character reaches a terminal or a log
    shortened(url)                       -> at most 200 characters of a URL

A name is compared in lower case and without punctuation (`X-Api-Key` is `xapikey`). It looks secret if it is one of
`_NAMES` or ends in one of `_ENDINGS`. Hiding too much is an annoyance, hiding too little is a leak: paging tokens
are hidden, too.

All functions are linear in the length of their text, and work on text only. Not here: splitting a valid URL
(`_urls`), the header fields that a redirect drops (`_redirects`).
"""

from __future__ import annotations

from functools import lru_cache

from ._utils import lazy_pattern, percent_decoded

HIDDEN = "[secure]"
MAX_EXCERPT = 20  # bytes of a peer's data in a message: enough to identify it
MAX_URL = 200  # characters of a URL in a message

# Lower-case names of the header fields that authenticate a request: no redirect carries them to another origin.
CREDENTIALS = (b"authorization", b"cookie", b"proxy-authorization")
# Non-standard header fields that do the same.
CUSTOM_CREDENTIALS = ("X-Api-Key", "X-Auth-Token")

_SECRET_FIELDS = frozenset(("authorization", "cookie", "proxy-authorization", "set-cookie", "set-cookie2"))
# Header fields whose value is a URL, which may contain secrets.
ADDRESS_FIELDS = frozenset(("location", "content-location", "referer", "refresh"))

_NAMES = frozenset(
    (
        *("key", "code", "codeverifier", "sig", "hmac", "auth", "bearer", "session", "sid", "pass", "pin", "otp"),
        *("totp", "awsaccesskeyid", "samlrequest", "samlresponse"),
    )
)
_ENDINGS = (
    *("token", "secret", "password", "passwd", "passphrase", "pwd", "credential", "credentials"),
    *("apikey", "accesskey", "secretkey", "privatekey", "authkey", "appkey", "subscriptionkey", "sessionkey"),
    *("signature", "authorization", "jwt", "assertion", "sessionid", "sessid", "authcode"),
)
# For header compression, which checks every new name: a false positive costs little (RFC 7541 7.1.3), so any
# name that contains one of these words matches. Not pseudo-header fields (`:authority`).
NEVER_INDEXED = lazy_pattern(rb"(?<!:)(?:auth|cookie|token|secret|passw|session|credential|signature|key)")
_PUNCTUATION = lazy_pattern(r"[\W_]+")
# Parameters follow `?` and `#`; in text that is not a valid URL these may occur anywhere.
_SEPARATORS = lazy_pattern(r"([?#&;])")
_SCHEME = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.\-]{0,30}:/{0,2}|/{2}")
# Of a longer name only the end is looked at: a peer may write one of any length.
_LONGEST_NAME = 256


def looks_secret(name: str) -> bool:
    """Return whether the value under a name, as written in a query, is likely to be a secret."""
    word = _PUNCTUATION.sub("", percent_decoded(name[-_LONGEST_NAME:].replace("+", " "))).lower()
    return word in _NAMES or word.endswith(_ENDINGS)


def is_secret_field(name: str) -> bool:
    """Return whether the value of a header field is likely to be a secret."""
    return _is_secret_field(name[-_LONGEST_NAME:])  # so that what is remembered is bounded in bytes, too


@lru_cache(maxsize=1024)
def _is_secret_field(name: str) -> bool:
    return name.lower() in _SECRET_FIELDS or looks_secret(name)


def hide_parameters(text: str) -> str:
    """Return a query or a fragment without the values of the parameters whose names look secret."""
    return "&".join(map(_hide_parameter, text.split("&")))


def _hide_parameter(parameter: str) -> str:
    """Return `name=value`, hidden from the first secret on: the value may hold more parameters after `;`."""
    start = 0
    for part in parameter.split(";"):
        name, equals, _ = part.partition("=")
        if equals and looks_secret(name):
            # To the end: the secret may contain a semicolon.
            return parameter[: start + len(name) + 1] + HIDDEN
        start += len(part) + 1
    return parameter


def hide_in_address(text: str) -> str:
    """
    Return the text of an invalid URL without possible passwords and secret parameters.

    The ends of its parts are not known, so everything from the scheme to the last `@` is hidden.
    """
    before, at, after = text.rpartition("@")
    if at:
        scheme = _SCHEME.match(before)
        text = f"{scheme[0] if scheme else ''}{HIDDEN}@{after}"
    parts = _SEPARATORS.split(text)
    for number in range(2, len(parts), 2):
        name, equals, _ = parts[number].partition("=")
        if equals and looks_secret(name):
            # To the end: the secret may contain a separator.
            return "".join(parts[:number]) + f"{name}={HIDDEN}"
    return text


def printable(text: str, most: int = MAX_EXCERPT) -> str:
    """Return at most `most` characters of `text`, with control characters escaped for a terminal or a log."""
    shown = text[:most] + ("..." if len(text) > most else "")
    if shown.isprintable():
        return shown
    return "".join([char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown])


def shortened(url: str) -> str:
    """Return the beginning of the text of a URL, from which secrets were removed before."""
    return url if len(url) <= MAX_URL else url[: MAX_URL - 3] + "..."
