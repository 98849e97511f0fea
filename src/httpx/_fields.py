"""
The values of header fields, read once: parameters, media types, links, file names and dates.

    media_type_of(value)     "text/html" of a Content-Type
    parameters(value)        its `;name=value` pairs, also those of a Link or a Content-Disposition
    charset_of(value)        the charset of a Content-Type
    links_in(value)          the links of a Link field
    filename_in(value)       the file name of a Content-Disposition
    parse_date(text)         a date in any common form

Peers write these values: every reader here takes linear time, and ignores what it cannot read.

Not here: challenges of WWW-Authenticate, which commas separate (`_auth.challenges`); cookies, which have no quoted
strings (`_cookies.rules`); structured fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ._utils import lazy_pattern, percent_decoded

# RFC 9110, 5.6.6, and what is seen besides: blanks around "=", and values that are neither token nor quoted string.
_PARAMETER = lazy_pattern(r""";\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"\s][^;]*|(?!["\s])))""")
# The RFC does not allow single quotes, but some servers send them, and httpx always removed them.
_SINGLE_QUOTED = lazy_pattern(
    r""";\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^;"'\s][^;]*|(?!["'\s])))"""
)
# Only what must be escaped: a backslash before anything else is a part of a path of Windows.
_ESCAPED = lazy_pattern(r'\\(["\\])')


def media_type_of(value: str) -> str:
    """Return the media type of a Content-Type without its parameters, in lower case; "" if there is none."""
    return value.partition(";")[0].strip().lower()


def parameters(value: str, *, single_quotes: bool = False) -> Iterator[tuple[str, str]]:
    """
    Yield the name and the value of each `;name=value`, as they are written, without quotes.

    Args:
        single_quotes: whether these are quotes, too.

    RFC 9110, section 5.6.6.
    """
    for match in (_SINGLE_QUOTED if single_quotes else _PARAMETER).finditer(value):
        name, quoted, *others = match.groups()
        if quoted is not None:
            yield name, _ESCAPED.sub(r"\1", quoted)
        else:
            yield name, next((text for text in others if text), "").strip()


def charset_of(content_type: str) -> Optional[str]:
    """
    Return the charset parameter of a Content-Type, unquoted and in lower case, or None (RFC 9110 8.3.2).

    Also accepts `charset=utf-8` alone, which some servers send as Content-Type.
    """
    for name, value in parameters(";" + content_type, single_quotes=True):
        if name.lower() == "charset" and value.strip():
            return value.split()[0].lower()
    return None


def links_in(header: str) -> Iterator[dict[str, str]]:
    """Yield each link of a Link header as its parameters and "url" (RFC 8288 section 3)."""
    for target, rest in _targets(header):
        link = {"url": target.strip()}
        for name, value in parameters(rest, single_quotes=True):
            # Names ignore case; the others keep theirs, because programs look them up as servers write them.
            link.setdefault("rel" if name.lower() == "rel" else name, value)
        yield link


_UNQUOTED = lazy_pattern(r'[^,"]*')
_QUOTED = lazy_pattern(r'"(?:[^"\\]|\\.)*"')


def _targets(header: str) -> Iterator[tuple[str, str]]:
    """
    Yield the text between `<` and `>`, and the text after it up to a comma outside quotes, or through a quote that has
    no end.

    Linear: a single expression would search for a missing `>` or `"` again at each possible start.
    """
    end = 0
    closes = True  # whether a string that begins here may have an end
    while True:
        start = header.find("<", end)
        bracket = header.find(">", start)
        if start < 0 or bracket < 0:
            return
        end = bracket + 1
        while True:
            end = _UNQUOTED.match(header, end).end()  # type: ignore[union-attr]  # it matches everywhere
            quoted = _QUOTED.match(header, end) if closes and header.startswith('"', end) else None
            if quoted is None:
                break
            end = quoted.end()
        # If a string has no end, later ones have none either: their end would have ended the first.
        is_open = header.startswith('"', end)
        closes = closes and not is_open
        yield header[start + 1 : bracket], header[bracket + 1 : end + is_open]


# RFC 8187, which allows only these two charsets.
_EXTENDED = lazy_pattern(r"(?i)(utf-8|iso-8859-1)'[^']*'(\S+)")


def filename_in(disposition: str) -> str:
    """
    Return the file name of a Content-Disposition; "" if there is none. `filename*` is preferred to `filename`.

    It is the server's: it may hold folders and control characters.

    RFC 6266, section 4.3.
    """
    plain = ""
    for name, value in parameters(disposition):
        extended = _EXTENDED.fullmatch(value) if name.lower() == "filename*" else None
        if extended is not None:
            return percent_decoded(extended[2], "latin-1" if extended[1].lower() == "iso-8859-1" else "utf-8")
        if name.lower() == "filename":
            plain = plain or value
    return plain


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


# The parts of a date.
_TOKEN = lazy_pattern(r"[^\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = lazy_pattern(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9]|$)")
_DAY = lazy_pattern(r"([0-9]{1,2})(?:[^0-9]|$)")
_YEAR = lazy_pattern(r"([0-9]{2,4})(?:[^0-9]|$)")


def parse_date(text: str) -> Optional[int]:
    """
    Return seconds since 1970 of a date in any common form, or None.

    The parts are recognised by their form, in any order, each only once. A date before 1970 is 0.

    RFC 6265, section 5.1.1, which reads the three forms of RFC 9110, 5.6.7, as well.
    """
    clock = day = month = year = None
    for token in _TOKEN.findall(text):
        if clock is None and (found := _TIME.match(token)):
            clock = [int(part) for part in found.groups()]
        elif day is None and (found := _DAY.match(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR.match(token)):
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
