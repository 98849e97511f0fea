"""
The dates of a cookie's Expires.
"""

from __future__ import annotations

import functools
import re
from typing import Optional

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@functools.cache
def _date_patterns() -> tuple[re.Pattern[str], ...]:
    """Return the patterns of a token, a time, a day and a year; compiled on first use, to halve the import time."""
    return (
        re.compile(r"[^\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+"),
        re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9]|$)"),
        re.compile(r"([0-9]{1,2})(?:[^0-9]|$)"),
        re.compile(r"([0-9]{2,4})(?:[^0-9]|$)"),
    )


def parse_date(text: str) -> Optional[int]:
    """
    Return seconds since 1970 of an Expires attribute in any common form, or `None`.

    The parts are recognised by their form, in any order, each only once. A date before 1970 is 0.

    RFC 6265, section 5.1.1.
    """
    token_like, time_like, day_like, year_like = _date_patterns()
    clock = day = month = year = None
    for token in token_like.findall(text):
        if clock is None and (found := time_like.match(token)):
            clock = [int(part) for part in found.groups()]
        elif day is None and (found := day_like.match(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := year_like.match(token)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    return _seconds(year, month, day, clock)


def _seconds(year: int, month: int, day: int, clock: list[int]) -> Optional[int]:
    from datetime import datetime, timezone

    if year < 1601:
        return None
    hour, minute, second = clock
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:  # the day or the hour does not exist
        return None
    return max(0, int(moment.timestamp()))
