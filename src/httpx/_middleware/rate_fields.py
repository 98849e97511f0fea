"""
What a response says about the limits of its server: the fields of four conventions, as `Limit`s.

    RateLimit-Policy: "default";q=100;w=60         RateLimit: "default";r=50;t=30       (draft -08 to -11)
    RateLimit: limit=100, remaining=50, reset=30                                        (draft -07)
    RateLimit-Limit: 100, RateLimit-Remaining: 50, RateLimit-Reset: 30                  (up to draft -06)
    X-RateLimit-Limit: 100, X-RateLimit-Remaining: 50, X-RateLimit-Reset: 1767225600    (common)

The Reset of the last is seconds, or a date in seconds since 1970. The first of them that is there and valid is read.
What is malformed is ignored: these fields are advice.

Not here: what follows from a limit (`rate`), Retry-After (`_retry_after`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .._fields import parse_date
from .._headers import Headers
from .._structured import Item, parse_dictionary, parse_list

# The fields that begin a convention: without any of them a response says nothing.
FIELDS = frozenset((b"ratelimit", b"ratelimit-policy", b"ratelimit-remaining", b"x-ratelimit-remaining"))

_MAX_LIMITS = 8  # of one response; a server has few, and each costs work for every request
_MAX_TEXT = 2048  # bytes of a field; a hostile one is not worth reading
_EPOCH = 1e9  # an X-RateLimit-Reset above it is a date, in seconds since 1970
_MILLISECONDS = 1e11  # and above this in milliseconds

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")


class Limit(NamedTuple):
    """
    One limit of a server, and what is left of it. Unknown parts are None.

    Attributes:
        name: of the policy; "" in the older conventions.
        partition: what the server counts for by itself, such as one user (`pk`).
        quota: requests in each window.
        window: seconds.
        remaining: requests until the window ends.
        reset: seconds until then.
        is_concurrency: the quota is of requests at the same time, and the other parts mean nothing.
    """

    name: str = ""
    partition: bytes | None = None
    quota: float | None = None
    window: float | None = None
    remaining: float | None = None
    reset: float | None = None
    is_concurrency: bool = False


def read_limits(headers: Headers, now: float) -> list[Limit]:
    """
    Return what the fields of a response say; nothing if they are malformed.

    Args:
        now: seconds since 1970, for a response without a Date.
    """
    if headers._has(b"ratelimit") or headers._has(b"ratelimit-policy"):
        found = _structured(headers)
        if found:
            return found
    for prefix in (b"ratelimit-", b"x-ratelimit-"):
        if headers._has(prefix + b"remaining"):
            limit = _separate(headers, prefix, now)
            if limit is not None:
                return [limit]
    return []


def _text(headers: Headers, name: bytes) -> str:
    text = b", ".join(headers._get_all(name))
    return text.decode("latin-1") if len(text) <= _MAX_TEXT else ""


def _structured(headers: Headers) -> list[Limit]:
    text = _text(headers, b"ratelimit")
    try:
        policies = [_policy(item) for item in parse_list(_text(headers, b"ratelimit-policy"))]
    except ValueError:
        policies = []
    known = {policy.name: policy for policy in policies if policy is not None}
    try:
        said = parse_list(text)
    except ValueError:
        return _dictionary(text)
    limits: dict[str, Limit] = {}
    for item in said[:_MAX_LIMITS]:
        limit = _remaining(item, known)
        if limit is not None:
            limits[limit.name] = limit
    for name, policy in list(known.items())[:_MAX_LIMITS]:
        limits.setdefault(name, policy)
    return [limit for limit in limits.values() if limit.quota is not None or limit.remaining is not None]


def _policy(item: Item) -> Limit | None:
    """Return a member of RateLimit-Policy; None if it is malformed or about something else than requests."""
    unit = item.parameters.get("qu", "requests")
    quota, window = _count(item, "q"), _count(item, "w")
    if not isinstance(item.value, str) or quota is None:
        return None
    if unit == "concurrent-requests":
        return Limit(item.value, _partition(item), quota, is_concurrency=True)
    if unit != "requests":
        return Limit(item.value)  # content-bytes: known, so that what is left of it is not read as requests
    return Limit(item.value, _partition(item), quota, window or None)


def _remaining(item: Item, known: dict[str, Limit]) -> Limit | None:
    remaining = _count(item, "r")
    if not isinstance(item.value, str) or remaining is None:
        return None
    policy = known.get(item.value)
    if policy is None:
        return Limit(item.value, _partition(item), remaining=remaining, reset=_count(item, "t"))
    if policy.quota is None or policy.is_concurrency:
        return policy
    partition = policy.partition if _partition(item) is None else _partition(item)
    return policy._replace(partition=partition, remaining=remaining, reset=_count(item, "t"))


def _count(item: Item, key: str) -> int | None:
    value = item.parameters.get(key)
    return value if type(value) is int and value >= 0 else None


def _partition(item: Item) -> bytes | None:
    value = item.parameters.get("pk")
    return value if isinstance(value, bytes) else None


def _dictionary(text: str) -> list[Limit]:
    """Read the form of draft -07."""
    try:
        members = parse_dictionary(text)
    except ValueError:
        return []
    limit, remaining, reset = (
        member.value if (member := members.get(key)) is not None and type(member.value) is int else None
        for key in ("limit", "remaining", "reset")
    )
    if remaining is None or remaining < 0 or (reset or 0) < 0:
        return []
    return [Limit(quota=limit, remaining=remaining, reset=reset)]


def _separate(headers: Headers, prefix: bytes, now: float) -> Limit | None:
    """Read a field for each part."""
    remaining = _number(headers._get(prefix + b"remaining"))
    if remaining is None:
        return None
    reset = _number(headers._get(prefix + b"reset"))
    if reset is not None and reset > _EPOCH:
        reset = max(0.0, (reset / 1000 if reset > _MILLISECONDS else reset) - _server_time(headers, now))
    # Early drafts have the policies after the limit: `100, 100;w=60`.
    limit, _, window = (headers._get(prefix + b"limit") or b"")[:_MAX_TEXT].partition(b";w=")
    return Limit(
        quota=_number(limit.partition(b",")[0]),
        window=_number(window.partition(b",")[0]) or None,
        remaining=remaining,
        reset=reset,
    )


def _number(value: bytes | None) -> float | None:
    if value is None:
        return None
    text = value[:64].decode("latin-1").strip(" \t")
    return float(text) if _NUMBER.fullmatch(text) else None


def _server_time(headers: Headers, now: float) -> float:
    """Return the seconds since 1970 of the response's Date, or `now` if it is missing or invalid."""
    value = headers._get(b"date")
    date = None if value is None else parse_date(value[:64].decode("latin-1"))
    return now if date is None else float(date)
