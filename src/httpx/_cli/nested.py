"""
Names of items as paths into JSON.

    nested([("a[b][]", 1), ("a[b][]", 2), ("a[c]", "x")])      {"a": {"b": [1, 2], "c": "x"}}
    nested([("[]", 1), ("[]", 2)])                             [1, 2]

    a[b]      member b of an object          a[0]      item of a list; those before it become null
    a[]       one more item of a list        a\\[b     the name `a[b]`, not a path

Within brackets, digits are an index, and `a[\\0]` is the member "0". If a name is a path, a backslash removes
the meaning of a bracket, a digit and a backslash. A name given twice has the last value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Union

# The largest index of a list, because items before it are filled with null.
MAX_INDEX = 100_000

# A step into an object, into a list, or (None) to a new item of a list.
Step = Union[str, int, None]

_TOKEN = re.compile(r"\\[\[\]\\0-9]|[\[\]]|[^\[\]\\]+|\\", re.S)


class _Missing:
    """The mark of a place without a value."""


_MISSING = _Missing()


def nested(pairs: Iterable[tuple[str, Any]]) -> Any:
    """
    Return the object or list that the names and values describe.

    Raises:
        ValueError: brackets do not match, an index is too large, or two names need different types in one place. The
            message has the name.
    """
    root: Any = _MISSING
    for name, value in pairs:
        root = _put(root, steps(name), value, name)
    return {} if root is _MISSING else _filled(root)


def steps(name: str) -> list[Step]:
    """
    Return the path that a name means.

    Raises:
        ValueError: a bracket is not closed, not opened, or followed by text.
    """
    if "[" not in name and "]" not in name:
        return [name]
    tokens = _TOKEN.findall(name)
    head: list[str] = []
    while tokens and tokens[0] not in "[]":
        head.append(_plain(tokens.pop(0)))
    # `[]` and `[0]` at the beginning: the whole body is a list.
    out: list[Step] = ["".join(head)] if head else []
    while tokens:
        if tokens.pop(0) != "[":
            raise ValueError(
                f"{name!r} has text or ']' where '[' was expected; '\\\\[' and '\\\\]' stand for themselves"
            )
        inner: list[str] = []
        while tokens and tokens[0] not in "[]":
            inner.append(tokens.pop(0))
        if not tokens or tokens.pop(0) != "]":
            raise ValueError(f"{name!r} has a '[' without its ']'")
        out.append(_step("".join(inner), "".join(map(_plain, inner)), name))
    return out


def _step(raw: str, text: str, name: str) -> Step:
    if not raw:
        return None
    if not (raw.isascii() and raw.isdigit()):
        return text
    if len(raw) > 9 or int(raw) > MAX_INDEX:
        raise ValueError(f"{name!r} has an index above {MAX_INDEX}")
    return int(raw)


def _plain(token: str) -> str:
    return token[1:] if len(token) == 2 and token[0] == "\\" else token


def _put(root: Any, path: list[Step], value: Any, name: str) -> Any:
    """Put a value at a path; return the root, which may be a new one."""
    holder: list[Any] = [root]
    place: Any = holder
    key: Any = 0
    for step in path:
        inside = place[key]
        if inside is _MISSING:
            inside = place[key] = {} if isinstance(step, str) else []
        place, key = inside, _enter(inside, step, name)
    place[key] = value
    return holder[0]


def _enter(inside: Any, step: Step, name: str) -> Any:
    """Return the key of a step in an object or list, where the place exists afterwards."""
    if isinstance(step, str):
        if not isinstance(inside, dict):
            raise ValueError(f"{name!r} wants the member {step!r} of {_kind(inside)}")
        inside.setdefault(step, _MISSING)
        return step
    if not isinstance(inside, list):
        raise ValueError(f"{name!r} wants an item of {_kind(inside)}, which is not a list")
    index = len(inside) if step is None else step
    inside.extend([_MISSING] * (index + 1 - len(inside)))
    return index


def _kind(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return "text" if isinstance(value, str) else "a number, a boolean, or null"


def _filled(value: Any) -> Any:
    """Return the value with null where a list was not filled."""
    if isinstance(value, dict):
        return {key: _filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner) for inner in value]
    return None if value is _MISSING else value
