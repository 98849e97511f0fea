"""
The challenges of a WWW-Authenticate field (RFC 9110, 11.6.1).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Optional

from .._utils import TOKEN, lazy_pattern


class Challenge(NamedTuple):
    """One challenge of a WWW-Authenticate field; text has one character for each byte."""

    scheme: str
    """In lower case."""

    token68: Optional[str]
    """The single value that some schemes (Negotiate, NTLM) send instead of parameters."""

    params: dict[str, str]
    """Names in lower case; quotes and backslashes of quoted values are removed."""


# RFC 9110, 11.2 and 11.6.1. Each pattern is linear: adjacent parts never match the same character, except
# the unquoted value, which begins where "=" and spaces end. It is wider than a token, for old servers that send
# `domain=/` or an unquoted Base64 nonce.
_COMMAS = lazy_pattern(r"[ \t,]*")
_SCHEME = lazy_pattern(rf"({TOKEN})(?:[ \t]+|(?=,)|\Z)")
_TOKEN68 = lazy_pattern(r"([A-Za-z0-9\-._~+/]+=*)[ \t]*(?:,|\Z)")
_PARAM = lazy_pattern(
    rf"""({TOKEN}) [ \t]* = [ \t]*
    (?: "((?:[^"\\]|\\.)*)" | ([^\x00-\x20\x7f",]+) )
    [ \t]* (?:,|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = lazy_pattern(r"\\(.)", re.DOTALL)


def parse_challenges(field: str) -> list[Challenge]:
    """
    Return the challenges of one WWW-Authenticate field, in their order.

    Empty list elements are skipped, as everywhere in HTTP.

    Args:
        field: the value, decoded so that each byte is a character (ISO 8859-1).

    Raises:
        ValueError: it does not follow the grammar, or gives a parameter twice with different values; nothing else.

    RFC 9110, sections 5.6.1 and 11.6.1.
    """
    challenges: list[Challenge] = []
    position = _end(_COMMAS.match(field))
    while position < len(field):
        param = _PARAM.match(field, position)
        if param and challenges and challenges[-1].token68 is None:
            name, quoted, plain = param.groups()
            value = plain if quoted is None else _ESCAPE.sub(r"\1", quoted)
            if challenges[-1].params.setdefault(name.lower(), value) != value:
                raise ValueError(f"parameter {name[:20]!r} is given twice")
            position = param.end()
        else:
            challenge, position = _begin_challenge(field, position)
            challenges.append(challenge)
        position = _end(_COMMAS.match(field, position))
    return challenges


def _begin_challenge(field: str, position: int) -> tuple[Challenge, int]:
    """Return the challenge that begins at `position`, with its token68 if it has one, and the end of these."""
    scheme = _SCHEME.match(field, position)
    if scheme:
        name, after = scheme[1].lower(), scheme.end()
        if field[after : after + 1] in ("", ","):
            return Challenge(name, None, {}), after
        token68 = _TOKEN68.match(field, after)
        if token68:
            return Challenge(name, token68[1], {}), token68.end()
        if _PARAM.match(field, after):
            return Challenge(name, None, {}), after
        position = after
    raise ValueError(f"{field[position : position + 20]!r} is neither a scheme nor a parameter")


def _end(match: Any) -> int:
    return match.end()  # type: ignore[no-any-return]  # the pattern matches everywhere
