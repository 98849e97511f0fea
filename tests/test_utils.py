from __future__ import annotations

import copy
import re

import pytest

from httpx._utils import LOWER, _LazyPattern, _LowerNames, lazy_pattern, primitive_to_str


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, ""),
        (1, "1"),
        (0, "0"),
        (1.5, "1.5"),
        ("", ""),
        ("True", "True"),
        ("é", "é"),
    ],
)
def test_values_of_queries_and_forms_become_text_as_json_would_write_them(value: object, text: str):
    assert primitive_to_str(value) == text  # type: ignore[arg-type]


def test_names_are_lowered_once_and_remembered():
    names = _LowerNames()
    first = names[b"X-Thing"]
    assert first == b"x-thing"
    assert names[b"X-Thing"] is first


def test_what_a_peer_makes_up_does_not_fill_the_memory():
    """Harm: a server that sends new field names with each answer would grow a table that lives as long as we do."""
    names = _LowerNames()
    for number in range(3000):
        assert names[b"X-%d" % number] == b"x-%d" % number
    assert len(names) == 1024
    assert names[b"X-2999"] == b"x-2999"
    assert len(_LowerNames()) == 0
    long = _LowerNames()
    assert long[b"A" * 65] == b"a" * 65
    assert long[b"A" * 64] == b"a" * 64
    assert list(long) == [b"A" * 64]


def test_the_shared_table_lowers_ascii_only():
    assert LOWER[b"Content-Type"] == b"content-type"
    assert LOWER["É".encode("latin-1")] == "É".encode("latin-1")


def test_a_pattern_is_compiled_when_it_is_first_used():
    pattern = lazy_pattern("a+", re.IGNORECASE)
    compiled = re.compile("a+", re.IGNORECASE)
    assert "search" not in vars(pattern)
    for _ in range(2):
        assert pattern.search("bAab").span() == (1, 3)  # type: ignore[union-attr]
        assert pattern.fullmatch("aA") is not None
        assert pattern.sub("x", "bab") == "bxb"
    assert pattern.pattern == compiled.pattern
    assert vars(pattern)["search"] == compiled.search
    assert not hasattr(pattern, "nonsense")
    assert copy.copy(pattern).match("a") is not None


def test_a_pattern_that_cannot_be_compiled_says_so_when_it_is_used():
    """One that nobody uses would never be noticed, so all are compiled here."""
    import importlib
    import pkgutil

    import httpx

    with pytest.raises(re.error):
        lazy_pattern("(").search("")
    found = 0
    for module in pkgutil.walk_packages(httpx.__path__, "httpx."):
        if "._cli" in module.name or module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, _LazyPattern):
                assert value.search is not None
                found += 1
    assert found >= 30
