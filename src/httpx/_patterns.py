"""
URL patterns of mounted transports.

    all://                    everything
    https://                  one scheme
    all://example.org         one host
    all://*.example.org       its subdomains, but not itself
    all://*example.org        both
    all://*                   every host
    http://localhost:1234     one port; `all://*:1234` works, too
    ://example.org            the same as all://example.org

More specific patterns are tried first: port before host before scheme, longer hosts before shorter ones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._urls import URL

if TYPE_CHECKING:
    from ._types import URLTypes


class URLPattern:
    """
    A pattern; patterns are ordered by how specific they are.

    Args:
        pattern: as above; "" means everything.

    Attributes:
        scheme, host, port, host_regex: the required values; "" and None where any value matches.

    Raises:
        ValueError: it is not of the form "scheme://...".
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        # A URL's host cannot hold a wildcard, which is at the beginning only: elsewhere it matches nothing.
        url = URL(pattern.replace("://*.", "://any-subdomain.", 1).replace("://*", "://", 1))
        if pattern and not url.scheme and not (pattern.startswith("://") and url.host):
            raise ValueError(f"invalid URL pattern {pattern!r}, expected the form 'scheme://host' or 'all://host'")
        self.scheme = "" if url.scheme == "all" else url.scheme
        self.port = url.port
        self.host = _host_of(pattern, url)
        self.host_regex = _host_matcher(self.host)

    def matches(self, url: URLTypes) -> bool:
        """Return whether the pattern matches this URL."""
        other = URL(url) if isinstance(url, str) else url
        return (
            (not self.scheme or self.scheme == other.scheme)
            and (self.host_regex is None or self.host_regex.fullmatch(other.host) is not None)
            # The effective port: "all://example.org:443" matches "https://example.org", too.
            and (self.port is None or self.port == other._origin[2])
        )

    @property
    def priority(self) -> tuple[int, int, int]:
        """Return the sort key: patterns with a lower one are tried first."""
        return (0 if self.port is not None else 1, -len(self.host), -len(self.scheme))

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __lt__(self, other: URLPattern) -> bool:
        return self.priority < other.priority

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URLPattern) and self.pattern == other.pattern

    def __repr__(self) -> str:
        return f"URLPattern({self.pattern!r})"


def _host_of(pattern: str, url: URL) -> str:
    """Return the host part, with its wildcard; "" if any host matches."""
    if "://*." in pattern:
        return "*." + url.host.partition(".")[2]
    if "://*" in pattern:
        return "*" + url.host if url.host else ""
    return url.host


def _host_matcher(host: str) -> re.Pattern[str] | None:
    if not host:
        return None
    if host.startswith("*."):
        return re.compile(rf".+\.{re.escape(host[2:])}")
    if host.startswith("*"):
        return re.compile(rf"(.+\.)?{re.escape(host[1:])}")
    return re.compile(re.escape(host))
