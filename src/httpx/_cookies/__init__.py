"""
Cookies.

    mapping.py       `Cookies`: names and values in front of a standard cookie jar
    rules.py         what a Set-Cookie may store, and what a request carries (RFC 6265, 6265bis)
    storage.py       cookie objects and the jar that holds them
    urllib_views.py  policies and jars of the user's own, which speak urllib's language
    dates.py         the dates of Expires
    suffixes.py      names below which strangers register their own: "co.uk"
"""

from __future__ import annotations

from .mapping import Cookies

__all__ = ["Cookies"]
