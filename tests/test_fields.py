"""The values of header fields that peers write."""

from __future__ import annotations

from datetime import datetime, timezone
from email.message import Message
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx._fields import charset_of, filename_in, links_in, media_type_of, parameters, parse_date


@pytest.mark.parametrize(
    ("value", "media_type"),
    [("", ""), ("text/html", "text/html"), (" Text/HTML ; charset=x", "text/html"), (";charset=x", "")],
)
def test_a_media_type_has_no_parameters(value: str, media_type: str) -> None:
    assert media_type_of(value) == media_type


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ("text/html", []),
        ("a=b", []),
        (";a=b", [("a", "b")]),
        ("x ; A = b ;c=d e ", [("A", "b"), ("c", "d e")]),
        (';a="b;c";d="e\\"f"', [("a", "b;c"), ("d", 'e"f')]),
        (';a="C:\\x\\\\y"', [("a", "C:\\x\\y")]),
        (";a=;b", [("a", "")]),
        (';a="b;c=d', [("c", "d")]),
        (";a='b'", [("a", "'b'")]),
    ],
)
def test_parameters_are_read_with_and_without_quotes(value: str, pairs: list[tuple[str, str]]) -> None:
    assert list(parameters(value)) == pairs


def test_single_quotes_are_quotes_where_they_are_asked_for() -> None:
    assert list(parameters(";a='b;c';d=e", single_quotes=True)) == [("a", "b;c"), ("d", "e")]
    assert list(parameters(";a='b;c=", single_quotes=True)) == [("c", "")]


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(st.characters(codec="latin-1")))))
def test_what_is_quoted_correctly_is_read_as_it_was(pairs: list[tuple[str, str]]) -> None:
    value = "x/y"
    for name, text in pairs:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        value += f'; {name}="{escaped}"'
    assert list(parameters(value)) == pairs


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/html", None),
        ("text/html; charset=UTF-8", "utf-8"),
        ('text/html; x="; charset=a"; charset="b"', "b"),
        ("text/html; charset='utf-8'", "utf-8"),
        ("charset=utf-8", "utf-8"),
        ("text/html; charset=", None),
        ('text/html; charset="', None),
        ("text/html; xcharset=a", None),
    ],
)
def test_the_charset_of_a_content_type(content_type: str, charset: str | None) -> None:
    assert charset_of(content_type) == charset


def test_a_link_has_its_parameters_and_its_address() -> None:
    assert list(links_in('<https://a/?x=1,2>; rel="next"; title="a, b", </b>; REL=prev')) == [
        {"url": "https://a/?x=1,2", "rel": "next", "title": "a, b"},
        {"url": "/b", "rel": "prev"},
    ]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("", ""),
        ("attachment", ""),
        ("attachment; filename=a.txt", "a.txt"),
        ('attachment; filename="a b.txt"', "a b.txt"),
        ('attachment; FileName="a;b.txt"', "a;b.txt"),
        ("attachment; filename=\"a\"; filename*=UTF-8''%e2%82%ac", "\u20ac"),
        ("attachment; filename*=iso-8859-1'en'%a3; filename=a", "\xa3"),
        ("attachment; filename*=koi8-r''%a3; filename=a", "a"),
        ("attachment; filename*=a; filename=b; filename=c", "b"),
        ('attachment; filename="C:\\x\\y.txt"', "C:\\x\\y.txt"),
    ],
)
def test_the_file_name_of_a_content_disposition(disposition: str, name: str) -> None:
    assert filename_in(disposition) == name


@settings(max_examples=100)
@given(st.text("abc ;.=_-", min_size=1).map(str.strip).filter(bool))
def test_the_standard_library_reads_the_same_name(name: str) -> None:
    message = Message()
    message["Content-Disposition"] = f'attachment; filename="{name}"'
    assert filename_in(message["Content-Disposition"]) == message.get_filename()


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06-Nov-1994 08:49:37 UTC",
        "06 november 1994 8:49:37",
        "1994 Nov 6th 08:49:37",
        "08:49:37x,6,NOVx,94",
        "Sun, 06 Nov 1994 08:49:37 GMT; 07 Dec 2000 11:11:11",
    ],
)
def test_dates_are_read_in_every_form_that_servers_send(text: str) -> None:
    assert parse_date(text) == 784111777


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "Sun, 06 Nov 1994",
        "06 Nov 08:49:37",
        "Nov 1994 08:49:37",
        "06 1994 08:49:37",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1600 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, 06 Nov 1994 008:49:37 GMT",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_date(text) is None


def test_two_digit_years_and_years_before_the_epoch() -> None:
    assert parse_date("01 Jan 70 00:00:01") == 1
    assert parse_date("01 Jan 69 00:00:00") == datetime(2069, 1, 1, tzinfo=timezone.utc).timestamp()
    assert parse_date("01 Jan 1601 00:00:00") == 0
    assert parse_date("31 Dec 9999 23:59:59") == 253402300799


@settings(max_examples=100)
@given(st.text(max_size=50) | st.text("0123456789: janfebGMT,-", max_size=40))
def test_any_text_is_a_date_or_none(text: str) -> None:
    moment = parse_date(text)
    assert moment is None or 0 <= moment <= 253402300799


@settings(max_examples=100)
@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))
def test_a_date_in_the_usual_form_is_read_exactly(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=timezone.utc)
    text = f"{moment:%a, %d %b} {moment.year:04} {moment:%H:%M:%S} GMT"
    assert parse_date(text) == moment.timestamp() == parsedate_to_datetime(text).timestamp()
