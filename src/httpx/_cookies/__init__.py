"""
Cookies.

    mapping.py       `Cookies`: a mapping of names to values around a standard cookie jar
    rules.py         which cookies are stored, and which are sent (RFC 6265, 6265bis)
    storage.py       cookie objects and the jar that holds them
    urllib_views.py  the user's own policies and jars, which have urllib's interface
    dates.py         the dates of Expires
    suffixes.py      public suffixes, such as "co.uk"
"""

from __future__ import annotations

from .mapping import Cookies

__all__ = ["Cookies"]
