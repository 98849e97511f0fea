"""Patterns in URLs: what is one, and what it stands for."""

from __future__ import annotations

import re
import time
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._cli.patterns import filled, parse, places, without_patterns


def urls(text: str) -> list[str]:
    return [url for url, _ in parse(text).urls()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1-3]", ["1", "2", "3"]),
        ("[08-10]", ["08", "09", "10"]),
        ("[0-1]", ["0", "1"]),
        ("[001-200:100]", ["001", "101"]),
        ("[1-10:4]", ["1", "5", "9"]),
        ("[7-7]", ["7"]),
        ("[a-d:2]", ["a", "c"]),
        ("[X-Z]", ["X", "Y", "Z"]),
        ("{one,two,3}", ["one", "two", "3"]),
        ("{2024-01,%20,a/b}", ["2024-01", "%20", "a/b"]),
        ("http://{a,b}.example.org/[1-2]", [f"http://{host}.example.org/{page}" for host in "ab" for page in "12"]),
        ("[1-2]{x,y}[a-b]", [f"{n}{w}{c}" for n in "12" for w in "xy" for c in "ab"]),
        ("plain", ["plain"]),
        ("", [""]),
    ],
)
def test_a_pattern_stands_for_urls_in_the_order_of_curl(text: str, expected: list[str]):
    assert urls(text) == expected
    assert parse(text).size == len(expected)


@pytest.mark.parametrize(
    "text",
    [
        "http://[::1]:8000/",
        "http://[fe80::1-2]/",
        'http://a/?filter={"a":1,"b":2}',
        "http://a/?filter={a:1,b:2}",
        "http://a/{id}",
        "http://a/{?q,page}",
        "http://a{/path,name}",
        "http://a/{+x,y}",
        "http://a/{,b}",
        "http://a/{a,}",
        "http://a/?fields[a]=1&x[]=2",
        "http://a/[1-]",
        "http://a/[a-Z]",
        "http://a/[a-zz]",
        "http://a/[1-3:]",
        "http://a/[1-3:-1]",
        "http://a/[-3-1]",
        "http://a/{a b,c}",
        "http://a/[1-9999999999999999999]",
    ],
)
def test_what_0_28_1_sent_as_it_was_stays(text: str):
    """A URL with brackets of its own would have become other URLs."""
    assert urls(text) == [text]
    assert without_patterns(text) == text


@pytest.mark.parametrize(("text", "message"), [("[3-1]", "goes down"), ("[c-a]", "goes down"), ("[1-3:0]", "step")])
def test_a_range_that_can_only_be_a_mistake_is_an_error(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse(f"http://a/{text}")


def test_a_long_range_begins_at_once():
    """A list of all values would have filled the memory."""
    began = time.perf_counter()
    pattern = parse("http://a/[1-1000000000][1-1000000000]")
    assert pattern.size == 10**18
    assert [values for _, values in islice(pattern.urls(), 2)] == [("1", "1"), ("1", "2")]
    assert pattern.values(10**18 - 1) == ("1000000000", "1000000000")
    assert time.perf_counter() - began < 5  # a list would need minutes


WORDS = st.lists(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,5}", fullmatch=True), min_size=2, max_size=4)
TEXTS = st.from_regex(r"[a-z/.?=&%-]{0,6}", fullmatch=True)


@given(st.lists(st.tuples(TEXTS, WORDS), max_size=3), TEXTS)
def test_lists_multiply(parts: list[tuple[str, list[str]]], end: str):
    text = "".join(before + "{" + ",".join(words) + "}" for before, words in parts) + end
    expected = [""]
    for before, words in parts:
        expected = [url + before + word for url in expected for word in words]
    assert urls(text) == [url + end for url in expected]
    for url, values in parse(text).urls():
        rest = url
        for (before, _), value in zip(parts, values):
            assert rest.startswith(before + value)
            rest = rest[len(before + value) :]
        assert rest == end


@given(st.integers(0, 10**18 - 1), st.integers(0, 200), st.integers(1, 50), st.integers(0, 3))
def test_a_range_has_its_ends_and_its_step(start: int, length: int, step: int, zeros: int):
    end = min(start + length, 10**18 - 1)
    first = ("0" * zeros + str(start))[:18] if zeros and start < 10**14 else str(start)
    found = urls(f"[{first}-{end}:{step}]")
    assert [int(value) for value in found] == list(range(start, end + 1, step))
    if first.startswith("0"):
        assert min(map(len, found)) >= len(first)


@given(st.text(st.sampled_from('[]{}-,:019azAZ"% #'), max_size=40))
def test_any_text_is_cut_and_put_together_again(text: str):
    try:
        pattern = parse(text)
    except ValueError:
        return
    assert len(pattern.texts) == len(pattern.choices) + 1
    if not pattern.choices:
        assert urls(text) == [text]
    first = pattern.url(pattern.values(0))
    assert len(re.findall(r"[\[{]", first)) <= len(re.findall(r"[\[{]", text))


@pytest.mark.parametrize(
    ("template", "expected"),
    [("p_#1.json", "p_07.json"), ("#2/#1", "x/07"), ("#3 #0 #", "#3 #0 #"), ("#1#1", "0707"), ("##2", "#x")],
)
def test_a_number_sign_stands_for_the_value_of_a_pattern(template: str, expected: str):
    assert filled(template, ("07", "x")) == expected


def test_the_values_of_patterns_are_not_read_again():
    assert filled("#1#2", ("#2", "x")) == "#2x"
    assert places("a#1b#12#") == {1, 12}
