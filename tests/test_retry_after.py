"""How long a server asks a client to wait."""

from __future__ import annotations

from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._retry_after import retry_after

DATE = "Mon, 01 Jan 2024 00:00:10 GMT"


def after(value: str | None, date: str | None = DATE) -> float | None:
    fields = {"Retry-After": value, "Date": date}
    return retry_after(httpx.Headers({name: text for name, text in fields.items() if text is not None}))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        (" 7 ", 7),
        ("007", 7),
        ("9" * 64, 1e64),
        ("Mon, 01 Jan 2024 00:00:30 GMT", 20),
        ("Monday, 01-Jan-24 00:00:30 GMT", 20),
        ("Mon Jan  1 00:00:30 2024", 20),
        ("Mon, 01 Jan 2024 00:00:10 GMT", 0),
        ("Sun, 31 Dec 2023 00:00:00 GMT", 0),
    ],
)
def test_a_number_or_a_date(value: str, seconds: float):
    assert after(value) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "+5", "1.5", "1e3", "0x10", "5 s", "5,6", "9" * 65])
def test_anything_else_is_ignored(value: str | None):
    assert after(value) is None


@pytest.mark.parametrize("date", [None, "", "today", "Mon, 99 Jan 2024 00:00:10 GMT", "x" * 100_000])
def test_a_date_means_nothing_without_a_date_to_compare_it_with(date: str | None):
    """The local clock may be wrong by hours."""
    assert after("Mon, 01 Jan 2024 00:00:30 GMT", date) is None
    assert after("7", date) == 7


def test_two_fields_contradict_each_other():
    headers = httpx.Headers([("Retry-After", "1"), ("Retry-After", "2")])
    assert retry_after(headers) is None


@given(st.integers(0, 4_000_000_000), st.integers(0, 4_000_000_000))
def test_dates_are_compared_to_the_second(then: int, now: int):
    assert after(formatdate(then, usegmt=True), formatdate(now, usegmt=True)) == max(0, then - now)


@given(st.datetimes(), st.text(max_size=60))
def test_no_text_is_an_error(date: object, text: str):
    for value in (text.encode(), format_datetime(date).encode()):  # type: ignore[arg-type]
        seconds = retry_after(httpx.Headers._from_raw([(b"Retry-After", value), (b"Date", value)]))
        assert seconds is None or seconds >= 0
