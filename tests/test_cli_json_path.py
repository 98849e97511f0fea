"""Paths to one value of JSON."""

from __future__ import annotations

import re
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._cli.json_path import find, steps_of
from support.linear import linear

VALUE = {"a": {"b": [1, {"c d": 2}]}, "x.y": 3, "list": [[4]], "": 5, "it's": 6}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", VALUE),
        ("", VALUE),
        ("$.a.b[0]", 1),
        ("a.b[0]", 1),
        ("$.a.b[-1]['c d']", 2),
        ('$["x.y"]', 3),
        ("$.['x.y']", 3),
        ("$['list'][0][0]", 4),
        ("$['']", 5),
        ('$["it\'s"]', 6),
    ],
)
def test_a_path_leads_to_a_value(path: str, expected: Any):
    assert find(VALUE, path) == expected


@pytest.mark.parametrize(
    "path", ["$.*", "$..a", "$.a[*]", "$.a[0:2]", "$.a[?(@.b)]", "$.", "$a", "$[", "$.a b", "@", "$['a"]
)
def test_what_selects_several_values_is_refused(path: str):
    with pytest.raises(ValueError, match=r"is not a path to one value at position \d"):
        steps_of(path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$.b", "there is no member 'b' of '$.b'"),
        ("$.a.b.c", "there is no member 'c' of '$.a.b.c'"),
        ("$.a[0]", "[0] of '$.a[0]' needs a list"),
        ("$.list[1]", "there is no element [1] of '$.list[1]'"),
        ("$.list[-2]", "there is no element [-2]"),
    ],
)
def test_a_missing_value_is_named(path: str, message: str):
    with pytest.raises(LookupError, match=re.escape(message)):
        find(VALUE, path)


@given(st.lists(st.one_of(st.integers(0, 3), st.text("ab.[] ", max_size=3)), max_size=6))
def test_steps_that_are_written_are_read(steps: list[Any]):
    assert steps_of("$" + "".join(f"[{step}]" if isinstance(step, int) else f"['{step}']" for step in steps)) == steps


@pytest.mark.parametrize("piece", ["[", "[0]", "['", ".a", "a", "[' ", "$"])
def test_work_is_linear(piece: str):
    def prepare(size: int) -> Callable[[], object]:
        path = "$.a" + piece * (size // len(piece))

        def work() -> object:
            try:
                return steps_of(path)
            except ValueError:
                return None

        return work

    linear(prepare, 1 << 14, 1 << 16)
