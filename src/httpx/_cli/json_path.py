"""
Paths into JSON: the part of JSONPath that names one value.

    find({"a": [{"b": 1}]}, "$.a[0].b")      1

`$` is the whole, `.name` and `['name']` a member, `[0]` an element, `[-1]` the last one. `$` may be left out.
Wildcards, slices and filters, which select several values, are errors (RFC 9535 has them all).
"""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(r"\.?\[(-?\d{1,9})\]|\.?\['([^']*)'\]|\.?\[\"([^\"]*)\"\]|\.([^.\[\]\s*?@]+)")
_FIRST = re.compile(r"[^.\[\]\s*?@$][^.\[\]\s*?@]*")


def steps_of(path: str) -> list[str | int]:
    """
    Return the names and indexes of a path.

    Raises:
        ValueError: it is not a path to one value.
    """
    steps: list[str | int] = []
    at = 1 if path.startswith("$") else 0
    first = None if at else _FIRST.match(path)
    if first is not None:
        steps.append(first[0])
        at = first.end()
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise ValueError(
                f"{path[:60]!r} is not a path to one value at position {at}: expected .name, ['name'] or [0]"
            )
        index = match[1]
        steps.append(int(index) if index is not None else next(name for name in match.groups()[1:] if name is not None))
        at = match.end()
    return steps


def find(value: Any, path: str) -> Any:
    """
    Return the value at a path.

    Raises:
        ValueError: it is not a path to one value.
        LookupError: there is no value.
    """
    for step in steps_of(path):
        if isinstance(step, int):
            if not isinstance(value, list):
                raise LookupError(f"[{step}] of {path[:60]!r} needs a list")
            if not -len(value) <= step < len(value):
                raise LookupError(f"there is no element [{step}] of {path[:60]!r}")
        elif not isinstance(value, dict) or step not in value:
            raise LookupError(f"there is no member {step[:40]!r} of {path[:60]!r}")
        value = value[step]
    return value
