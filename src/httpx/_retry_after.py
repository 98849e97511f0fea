"""
How long a server asks a client to wait: the field Retry-After.

    retry_after(headers) -> seconds, or None without a usable field

A date is taken relative to the response's own Date, so that a wrong clock on this machine does no harm.
RFC 9110, section 10.2.3.

Not here: whether that is too long, and what a client does meanwhile (`_middleware`).
"""

from __future__ import annotations

from ._fields import parse_date
from ._headers import Headers

# Characters; the longest form of a date in use has 33. A longer value is ignored.
_LONGEST = 64


def retry_after(headers: Headers) -> float | None:
    """
    Return the seconds of the field Retry-After: 0.0 for a date in the past. A number may be enormous.

    None if there is no such field, if it is malformed, or if it is a date and the response has no valid Date.
    """
    value = headers.get("retry-after")
    if value is None or len(value) > _LONGEST:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    then, now = parse_date(value), parse_date(headers.get("date", "")[:_LONGEST])
    return None if then is None or now is None else float(max(0, then - now))
