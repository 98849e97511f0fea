from __future__ import annotations

import pytest

from httpx._utils import LOWER, _LowerNames, primitive_to_str


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
