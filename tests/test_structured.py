"""`_structured`: the public vectors of the HTTP working group, and what they leave out."""

from __future__ import annotations

import json
import math
from base64 import b32decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._structured import (
    Date,
    DisplayString,
    Item,
    Token,
    parse_dictionary,
    parse_item,
    parse_list,
    serialise,
)

# Public vectors with their licence, beside the project; they are not part of it.
VECTORS = Path(__file__).parents[2] / "shared" / "data" / "structured-fields"
PARSERS: dict[str, Any] = {"item": parse_item, "list": parse_list, "dictionary": parse_dictionary}


def cases(folder: Path) -> list[dict[str, Any]]:
    return [case for path in sorted(folder.glob("*.json")) for case in json.loads(path.read_text(encoding="utf-8"))]


# The vectors' form of a value: parameters are lists of pairs, and other types than JSON's are objects.


def bare(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    made = {"token": Token, "date": Date, "displaystring": DisplayString, "binary": b32decode}
    return made[value["__type"]](value["value"])


def item(value: Any) -> Item:
    inner, parameters = value
    read = [item(each) for each in inner] if isinstance(inner, list) else bare(inner)
    return Item(read, {key: bare(each) for key, each in parameters})


def meant(kind: str, value: Any) -> Any:
    if kind == "dictionary":
        return {key: item(member) for key, member in value}
    return [item(member) for member in value] if kind == "list" else item(value)


def typed(value: Any) -> Any:
    """A value with the types of all in it, since 1, 1.0 and True are equal."""
    if isinstance(value, Item):
        return typed(value.value), [(key, typed(each)) for key, each in value.parameters.items()]
    if isinstance(value, dict):
        return [(key, typed(each)) for key, each in value.items()]
    return [typed(each) for each in value] if isinstance(value, list) else (type(value), value)


def outcome(function: Any, value: Any) -> Any:
    try:
        return function(value)
    except ValueError:
        return ValueError


@pytest.mark.skipif(not VECTORS.is_dir(), reason="the vectors are not there")
def test_the_vectors_are_parsed_as_they_say():
    wrong = []
    every = cases(VECTORS)
    for case in every:
        kind = case["header_type"]
        found = outcome(PARSERS[kind], ", ".join(case["raw"]))
        allowed: list[Any] = [ValueError] if case.get("must_fail") or case.get("can_fail") else []
        if not case.get("must_fail"):
            allowed.append(meant(kind, case["expected"]))
        if typed(found) not in [typed(each) for each in allowed]:
            wrong.append((case["name"], found))
    assert wrong == []
    assert len(every) >= 1591


@pytest.mark.skipif(not VECTORS.is_dir(), reason="the vectors are not there")
def test_the_vectors_are_serialised_as_they_say():
    wrong = []
    every = cases(VECTORS / "serialisation-tests")
    for case in [*every, *cases(VECTORS)]:
        if "expected" not in case:
            continue
        written = outcome(serialise, meant(case["header_type"], case["expected"]))
        canonical = case.get("canonical", case.get("raw"))
        expected = ValueError if case.get("must_fail") else ", ".join(canonical)
        if written != expected:
            wrong.append((case["name"], written))
    assert wrong == []
    assert len(every) >= 544


# What does not need the vectors.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-0.5", -0.5),
        ("999999999999.999", 999999999999.999),
        (r'"a \"b\" \\"', r'a "b" \ '[:-1]),
        ("*a/b:c", Token("*a/b:c")),
        (":aGVsbG8=:", b"hello"),
        ("?1", True),
        ("?0", False),
        ("@-1659578233", Date(-1659578233)),
        ('%"f%c3%bc %25"', DisplayString("fü %")),
    ],
)
def test_a_bare_item_is_parsed_and_written_again(text: str, value: Any):
    parsed = parse_item(text)
    assert typed(parsed) == typed(Item(value, {}))
    assert serialise(parsed) == serialise(value) == text


def test_parameters_and_inner_lists_are_parsed():
    members = parse_list(' "a";q=5;w , ( b  1;x );y=?0 ')
    assert typed(members) == typed(
        [Item("a", {"q": 5, "w": True}), Item([Item(Token("b"), {}), Item(1, {"x": True})], {"y": False})]
    )
    assert serialise(members) == '"a";q=5;w, (b 1;x);y=?0'


def test_a_dictionary_keeps_its_order_and_the_last_of_a_key():
    members = parse_dictionary("b=1, a;x=1,\tc=(1 2), b=?0")
    assert members == {"b": Item(False), "a": Item(True, {"x": 1}), "c": Item([Item(1), Item(2)])}
    assert serialise(members) == "b=?0, a;x=1, c=(1 2)"


def test_what_is_empty_is_an_empty_list_and_no_item():
    assert parse_list("") == parse_list("  ") == []
    assert parse_dictionary("") == {}
    assert serialise([]) == serialise({}) == ""
    with pytest.raises(ValueError, match="ends at position 0, expected an item"):
        parse_item("")


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_item, "a b", "' ' at position 1, expected the end"),
        (parse_item, "1.", "1 to 3 digits"),
        (parse_item, "-", "expected a number"),
        (parse_item, "1234567890123456", "at most 15 digits"),
        (parse_item, "1234567890123.1", "at most 12"),
        (parse_item, '"a', "ends at position 2"),
        (parse_item, '"\\a"', "expected a printable ASCII character"),
        (parse_item, '"é"', "'é' at position 1"),
        (parse_item, ":a:", "whole bytes"),
        (parse_item, ":a=b:", "base64"),
        (parse_item, "?2", "0 or 1"),
        (parse_item, "@1.5", "whole seconds"),
        (parse_item, "%a", "after '%'"),
        (parse_item, '%"%zz"', "%xx"),
        (parse_item, '%"%ff"', "UTF-8"),
        (parse_item, "(1)", "expected an item"),
        (parse_item, "1;A", "expected a key"),
        (parse_item, "1;a=", "expected an item"),
        (parse_list, "1,", "a member after ','"),
        (parse_list, "1 2", "expected ','"),
        (parse_list, "(1", "' ' or '\\)'"),
        (parse_list, "(1,2)", "' ' or '\\)'"),
        (parse_list, "((1))", "expected an item"),
        (parse_dictionary, "=1", "expected a key"),
        (parse_dictionary, "a=1 b", "expected ','"),
    ],
)
def test_what_is_not_valid_is_refused_with_its_place(parse: Any, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0015, "0.002"), (0.0025, "0.002"), (-0.0005, "-0.0"), (9.9995, "10.0"), (1e11, "100000000000.0"), (True, "?1")],
)
def test_values_are_written_as_the_standard_says(value: Any, text: str):
    assert serialise(value) == text


def test_a_token_in_a_list_needs_no_item():
    assert serialise([Token("a"), "b", (1, 2), bytearray(b"c")]) == 'a, "b", (1 2), :Yw==:'
    assert serialise({"a": True, "b": Item(True, {"x": True}), "c": [1]}) == "a, b;x, c=(1)"


@pytest.mark.parametrize(
    "value",
    [
        *(10**15, -(10**15), 1e12, 999999999999.9999, 1e300, math.inf, math.nan),
        *("é", "a\n", Token("1a"), Token(""), DisplayString("\ud800"), Date(10**15)),
        *({"A": 1}, {"": 1}, Item(1, {"é": 1}), {"a\n": 1}),
    ],
)
def test_what_cannot_be_written_is_a_value_error(value: Any):
    with pytest.raises(ValueError):  # each has a message of its own
        serialise(value)


@pytest.mark.parametrize("value", [None, object(), [[[1]]], Item([[1]], {})])
def test_a_type_that_no_item_has_is_a_type_error(value: Any):
    with pytest.raises(TypeError, match="no items of type"):
        serialise(value)


KEYS = st.from_regex(r"[a-z*][a-z0-9_\-.*]{0,5}", fullmatch=True)
BARE = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.integers(-(10**15) + 1, 10**15 - 1).map(lambda n: n / 1000),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)),
    st.from_regex(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*", fullmatch=True).map(Token),
    st.binary(),
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1).map(Date),
    st.text(st.characters(exclude_categories=["Cs"])).map(DisplayString),
)
ITEMS = st.builds(Item, BARE, st.dictionaries(KEYS, BARE, max_size=3))
MEMBERS = st.one_of(ITEMS, st.builds(Item, st.lists(ITEMS, max_size=3), st.dictionaries(KEYS, BARE, max_size=3)))


@given(st.one_of(st.lists(MEMBERS, max_size=4), st.dictionaries(KEYS, MEMBERS, max_size=4)))
def test_what_was_written_is_read_as_the_same(value: Any):
    parse = parse_dictionary if isinstance(value, dict) else parse_list
    assert typed(parse(serialise(value))) == typed(value)


@given(st.text(st.sampled_from('aA1-."\\:=;,()?@%*c3 \té'), max_size=30))
def test_any_text_is_a_value_or_a_value_error_and_what_is_read_is_written_the_same_each_time(text: str):
    for parse in PARSERS.values():
        found = outcome(parse, text)
        if found is not ValueError:
            written = serialise(found)
            assert typed(parse(written)) == typed(found)
            assert serialise(parse(written)) == written
