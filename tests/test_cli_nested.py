"""Names of items as paths into JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._cli.nested import nested, steps


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], {}),
        ([("a", 1), ("a", 2)], {"a": 2}),
        ([("a[b]", 1), ("a[c]", 2)], {"a": {"b": 1, "c": 2}}),
        ([("a[b][]", 1), ("a[b][]", 2)], {"a": {"b": [1, 2]}}),
        ([("a[2]", "x"), ("a[0]", "y")], {"a": ["y", None, "x"]}),
        ([("a[][b]", 1), ("a[][b]", 2)], {"a": [{"b": 1}, {"b": 2}]}),
        ([("a[0][b]", 1), ("a[0][c]", 2)], {"a": [{"b": 1, "c": 2}]}),
        ([("[]", 1), ("[]", 2)], [1, 2]),
        ([("[0][a]", 1), ("[1][a]", 2)], [{"a": 1}, {"a": 2}]),
        ([("[a][b]", 1)], {"a": {"b": 1}}),
        ([("a", {"b": 1}), ("a[c]", 2)], {"a": {"b": 1, "c": 2}}),
        ([("a", [1]), ("a[]", 2)], {"a": [1, 2]}),
        ([(r"a\[b\]", 1)], {"a[b]": 1}),
        ([(r"a[\0]", 1)], {"a": {"0": 1}}),
        ([(r"a[b\]c]", 1)], {"a": {"b]c": 1}}),
        ([(r"a\b", 1), (r"c\\d", 2)], {r"a\b": 1, r"c\\d": 2}),
        ([("", 1)], {"": 1}),
        ([("a[ b ]", 1)], {"a": {" b ": 1}}),
    ],
)
def test_names_are_paths(pairs: list[tuple[str, Any]], expected: Any):
    assert nested(pairs) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a[b"], "'a\\[b' has a '\\[' without its '\\]'"),
        (["a[b[c]]"], "without its"),
        (["a]"], "'a\\]' has text or '\\]'"),
        (["a[b]c"], "'a\\[b\\]c' has text"),
        (["a[100001]"], "an index above 100000"),
        (["a[99999999999999999999]"], "an index above 100000"),
        (["a[b]", "a[]"], "'a\\[\\]' wants an item of an object"),
        (["a[]", "a[b]"], "'a\\[b\\]' wants the member 'b' of a list"),
        (["a", "a[b]"], "'a\\[b\\]' wants the member 'b' of text"),
        (["[]", "a"], "'a' wants the member 'a' of a list"),
        (["a", "[]"], "wants an item of an object"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_by_its_name(names: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        nested((name, "text") for name in names)


def test_a_path_into_a_number_is_refused():
    with pytest.raises(ValueError, match="of a number, a boolean, or null"):
        nested([("a", 1), ("a[b]", 2)])


@given(st.text())
def test_any_name_can_be_a_member(name: str):
    escaped = "".join("\\" + char if char in "[]\\" or char in "0123456789" else char for char in name)
    assert steps(f"a[{escaped}]")[1:] == ([name] if name else [None])


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [pair for key, inner in value.items() for pair in leaves(inner, f"{path}[{key}]" if path else key)]
    if isinstance(value, list) and value:
        return [pair for at, inner in enumerate(value) for pair in leaves(inner, f"{path}[{at}]")]
    return [(path, value)]


values = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, min_size=1)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1), values, min_size=1))
def test_every_value_can_be_built_from_its_leaves(value: Any):
    assert json.loads(json.dumps(nested(leaves(value)))) == value
