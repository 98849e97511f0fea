"""
Exchanges without their secrets, for output that people paste into tickets and chats.

    field("Authorization", "Bearer abc")      "Bearer ***"
    address(httpx.URL("http://ann:pw@a/?token=abc"))      "http://ann:***@a/?token=***"

What is a secret is known by its name, as where the library hides it in logs. A body is not looked into.
"""

from __future__ import annotations

import httpx

from .._secrets import ADDRESS_FIELDS, HIDDEN, is_secret_field

MASK = "***"
_WITH_SCHEME = frozenset(("authorization", "proxy-authorization"))


def field(name: str, value: str) -> str:
    """The value of a header field, or as much of it as is no secret."""
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
            return MASK  # nobody knows what is in it
    return value


def address(url: httpx.URL) -> str:
    """A URL without its password, and without the values of parameters whose names look secret."""
    # The library's own mark has brackets, which curl would take for a range.
    return url._redacted().replace(HIDDEN, MASK)
