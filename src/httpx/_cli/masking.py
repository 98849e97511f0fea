"""
Mask secrets in output that people paste into tickets and chats.

    field("Authorization", "Bearer abc")      "Bearer ***"
    address(httpx.URL("http://ann:pw@a/?token=abc"))      "http://ann:***@a/?token=***"

Secrets are recognized by name, as in the library's logs. Bodies are not masked.
"""

from __future__ import annotations

import httpx

from .._secrets import ADDRESS_FIELDS, HIDDEN, is_secret_field

MASK = "***"
_WITH_SCHEME = frozenset(("authorization", "proxy-authorization"))


def field(name: str, value: str) -> str:
    """Return the value of a header field, or the part of it that is not secret."""
    lower = name.lower()
    if lower in _WITH_SCHEME:
        scheme, space, _ = value.partition(" ")
        return f"{scheme} {MASK}" if space else MASK
    if is_secret_field(name):
        return MASK
    if lower in ADDRESS_FIELDS:
        try:
            return address(httpx.URL(value))
        except (httpx.InvalidURL, ValueError):
            return MASK  # its content is unknown
    return value


def address(url: httpx.URL) -> str:
    """Return a URL without its password and without the values of parameters whose names look secret."""
    # The library's mask has brackets, which curl would read as a range.
    return url._redacted().replace(HIDDEN, MASK)
