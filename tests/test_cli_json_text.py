"""JSON as text: indented and sorted, and otherwise as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._cli import json_text
from httpx._cli.json_text import indented, with_paint
from support.counting import calls_of
from support.linear import linear

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_indented_json_is_the_same_value(value: Any):
    text = json.dumps(value)
    assert json.loads(indented(text)) == value
    assert indented(json.dumps(value, indent=4)) == json.dumps(value, indent=4)
    assert indented(text) == json.dumps(value, indent=4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1.10,"a":1e400}', '{\n    "a": 1.10,\n    "a": 1e400\n}'),
        (r'["\u00e9\"]"]', '[\n    "\\u00e9\\"]"\n]'),
        ("[1,", "[1,"),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=["digits and repeated names", "escapes", "no json", "too deep"],
)
def test_indentation_keeps_the_text(text: str, expected: str):
    assert indented(text) == expected


@given(values)
def test_sorted_json_is_the_same_value_in_the_order_of_its_names(value: Any):
    done = indented(json.dumps(value), sorts=True)
    assert done == json.dumps(value, indent=4, sort_keys=True)
    assert indented(done, sorts=True) == done


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b":1.10,"a":1e400}', '{"a":1e400,"b":1.10}'),
        ('{"a":2,"b":0,"a":1}', '{"a":2,"a":1,"b":0}'),
        (r'{"c":1,"\u0062":2,"a":"\u00e9\"}{"}', r'{"a":"\u00e9\"}{","\u0062":2,"c":1}'),
        ('{"B":1,"a":2,"":3}', '{"":3,"B":1,"a":2}'),
        ('[{"b":{"d":[],"c":{}},"a":[2,1]},3]', '[{"a":[2,1],"b":{"c":{},"d":[]}},3]'),
        ("{}", "{}"),
        ("7", "7"),
        ("[1,", "[1,"),
        ('{"a": NaN}', '{"a":NaN}'),
    ],
)
def test_sorting_keeps_the_text(text: str, expected: str):
    assert indented(text, sorts=True) == indented(expected)


def test_depth_is_no_obstacle_and_costs_no_more_than_width():
    """Tokens that are moved at each level would take the square of the depth."""
    depth = 900
    deep = '{"b":' * depth + "[" + "1," * 2000 + "1]" + ',"a":0}' * depth
    done = indented(deep, sorts=True)
    assert done.startswith('{\n    "a": 0,\n    "b": {')
    flat = "[" + '{"b":1,"a":0},' * depth + "1," * 2000 + "1]"
    assert calls_of(lambda: indented(deep, sorts=True)) < 1.5 * calls_of(lambda: indented(flat, sorts=True)) + 100


def test_each_token_is_painted_with_its_kind():
    def paint(kind: str, token: str) -> str:
        return f"<{kind} {token}>"

    expected = '{<name "a">:[<number 1>, <string "b">, <constant null>]}'
    assert with_paint('{"a":[1, "b", null]}', paint) == expected
    lines = indented('{"a":[1, "b", null]}', paint).split("\n")
    assert "".join(line.strip() for line in lines) == expected.replace(":", ": ").replace(", ", ",")


@pytest.mark.parametrize("piece", ['\\"', '"a\\', '"', "\\"])
def test_quotes_without_an_end_are_painted_in_linear_time(piece: str):
    """With `--pretty colors`, a body of 40 KB kept the command busy for 6 s, and one of 4 MB for days."""

    def prepare(size: int) -> Any:
        text = '"' + piece * (size // len(piece))
        return lambda: with_paint(text, lambda kind, token: token)

    linear(prepare, 1 << 14, 1 << 16)


def test_a_string_without_an_end_is_painted_up_to_the_end_of_the_text():
    seen: list[tuple[str, str]] = []

    def paint(kind: str, token: str) -> str:
        seen.append((kind, token))
        return token

    text = '{"a": "b\\" 1, \n"}'
    assert with_paint(text, paint) == text
    assert seen == [("name", '"a"'), ("string", '"b\\" 1, \n"')]
    seen.clear()
    assert with_paint('["b\\"c]', paint) == '["b\\"c]'
    assert seen == [("string", '"b\\"c]')]


def test_a_text_that_would_be_mostly_indentation_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch):
    """4 MB of JSON, deep and with many values, became 7 GB."""
    monkeypatch.setattr(json_text, "MAX_INDENTATION", 1000)
    deep = "[" * 10 + "1," * 30 + "1" + "]" * 10
    assert indented(deep) == deep
    assert indented("[1,2]") == "[\n    1,\n    2\n]"
