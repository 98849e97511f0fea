"""`_middleware.rate_fields`: what responses say about limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._headers import Headers
from httpx._middleware.rate_fields import FIELDS, Limit, read_limits

NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 GMT
DATE = ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")


def read(*fields: tuple[str, str], now: float = NOW) -> list[Limit]:
    return read_limits(Headers(fields), now)


def test_policy_and_rest_belong_together_by_name():
    found = read(
        ("RateLimit-Policy", '"burst";q=100;w=60'),
        ("RateLimit-Policy", '"daily";q=1000;w=86400;pk=:YQ==:'),
        ("RateLimit", '"daily";r=999;t=50000, "burst";r=3;t=7'),
    )
    assert found == [
        Limit("daily", b"a", 1000, 86400, 999, 50000),
        Limit("burst", None, 100, 60, 3, 7),
    ]


def test_either_may_be_missing():
    assert read(("RateLimit", '"default";r=50;t=30')) == [Limit("default", remaining=50, reset=30)]
    assert read(("RateLimit", '"default";r=50')) == [Limit("default", remaining=50)]
    assert read(("RateLimit-Policy", '"default";q=100;w=60')) == [Limit("default", None, 100, 60)]
    assert read(("RateLimit-Policy", '"default";q=100')) == [Limit("default", None, 100)]


def test_a_partition_may_be_said_in_either():
    policy = ("RateLimit-Policy", '"a";q=100;w=60')
    assert read(policy, ("RateLimit", '"a";r=1;t=2;pk=:Yg==:')) == [Limit("a", b"b", 100, 60, 1, 2)]
    assert read(("RateLimit", '"a";r=1;pk=:Yg==:'))[0].partition == b"b"


def test_bytes_are_not_requests():
    assert read(("RateLimit-Policy", '"b";q=1000;w=60;qu="content-bytes"'), ("RateLimit", '"b";r=0;t=60')) == []


def test_requests_at_the_same_time_are_a_limit_of_their_own():
    found = read(
        ("RateLimit-Policy", '"c";q=16;qu="concurrent-requests", "r";q=5;w=1;qu="requests"'),
        ("RateLimit", '"c";r=0;t=9'),
    )
    assert found == [Limit("c", quota=16, is_concurrency=True), Limit("r", None, 5, 1)]


def test_the_form_of_draft_7_is_a_dictionary():
    assert read(("RateLimit", "limit=100, remaining=50, reset=30")) == [Limit(quota=100, remaining=50, reset=30)]
    assert read(("RateLimit", "remaining=50")) == [Limit(remaining=50)]


def test_three_fields_say_the_same():
    fields = [("RateLimit-Limit", "100"), ("RateLimit-Remaining", "50"), ("RateLimit-Reset", "30")]
    assert read(*fields) == [Limit(quota=100, remaining=50, reset=30)]
    assert read(("RateLimit-Limit", "100, 100;w=60, 1000;w=3600"), *fields[1:]) == [
        Limit(quota=100, window=60, remaining=50, reset=30)
    ]
    assert read(fields[1]) == [Limit(remaining=50)]


def test_fields_with_an_x_may_have_a_date_or_seconds():
    def reset(value: str, *more: tuple[str, str], now: float = NOW) -> Any:
        return read(("X-RateLimit-Remaining", "5"), ("X-RateLimit-Reset", value), *more, now=now)[0].reset

    assert reset("30") == 30
    assert reset("30.5") == 30.5
    assert reset(str(int(NOW) + 42)) == 42
    assert reset(str(int(NOW + 42) * 1000)) == 42
    assert reset(str(int(NOW) - 42)) == 0
    # The server's own clock counts, and not this machine's.
    assert reset(str(int(NOW) + 42), DATE, now=0.0) == 42
    assert reset(str(int(NOW) + 42), ("Date", "yesterday")) == 42
    assert read(("X-RateLimit-Remaining", "599.0"), ("X-RateLimit-Limit", "600"))[0] == Limit(quota=600, remaining=599)


def test_the_first_convention_that_is_valid_counts():
    old = [("X-RateLimit-Remaining", "5"), ("X-RateLimit-Reset", "30")]
    new = ("RateLimit", '"a";r=7;t=8')
    assert read(*old, new) == [Limit("a", remaining=7, reset=8)]
    assert read(*old, ("RateLimit", "broken")) == [Limit(remaining=5, reset=30)]
    assert read(*old, ("RateLimit-Remaining", "broken")) == [Limit(remaining=5, reset=30)]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("RateLimit", "")],
        [("RateLimit", '"a"')],
        [("RateLimit", '"a";r=-1')],
        [("RateLimit", '"a";r=1.5;t=1')],
        [("RateLimit", '"a";r')],
        [("RateLimit", "5;r=1;t=1")],
        [("RateLimit", "remaining=-1")],
        [("RateLimit", "remaining=1, reset=-1")],
        [("RateLimit", 'remaining="1"')],
        [("RateLimit", "(((")],
        [("RateLimit", '"a";r=1;t=1' + " " * 3000 + ",")],
        [("RateLimit-Policy", '"a";w=60')],
        [("RateLimit-Policy", "7;q=60")],
        [("RateLimit-Policy", "é")],
        [("RateLimit-Remaining", "many")],
        [("X-RateLimit-Remaining", "-1")],
        [("X-RateLimit-Remaining", "1e5")],
        [("X-RateLimit-Limit", "5"), ("X-RateLimit-Reset", "5")],
    ],
)
def test_what_is_malformed_or_missing_is_ignored(fields: list[tuple[str, str]]):
    assert read(*[(name, value.encode("latin-1")) for name, value in fields]) == []


def test_of_many_limits_the_first_few_are_read():
    text = ", ".join(f'"{n}";r=1;t=1' for n in range(100))
    assert len(read(("RateLimit", text))) == 8


def test_every_field_that_begins_a_convention_is_one_that_is_looked_for():
    for name in FIELDS:
        assert name == name.lower()
    for fields in ([("RateLimit", '"a";r=1')], [("RateLimit-Policy", '"a";q=1')], [("X-RateLimit-Remaining", "1")]):
        assert read(*fields)
        assert FIELDS & {name.lower().encode() for name, _ in fields}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["RateLimit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Limit", "X-RateLimit-Reset"]
            ),
            st.text(st.sampled_from('"a;=rtqwp:,() 0159.-é'), max_size=40).map(lambda text: text.encode("latin-1")),
        ),
        max_size=4,
    )
)
def test_no_text_is_an_error_and_what_is_read_is_usable(fields: list[tuple[str, bytes]]):
    for limit in read_limits(Headers([*fields, ("X-RateLimit-Remaining", "1")]), NOW):
        for number in (limit.quota, limit.window, limit.remaining, limit.reset):
            assert number is None or number >= 0
        assert limit.window != 0
