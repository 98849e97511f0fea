"""The URLs of a run: words, patterns and lines, read when they are asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

click = pytest.importorskip("click")

# After the line above, because they import click.
from httpx._cli.addresses import MAX_LINE, Address, check_saved, from_file, from_words, lines  # noqa: E402


def test_words_come_in_their_order_with_the_values_of_their_patterns():
    found = list(from_words(["http://a/[1-2]", "http://b/"], literal=False))
    assert found == [Address("http://a/1", ("1",)), Address("http://a/2", ("2",)), Address("http://b/")]
    assert list(from_words(["http://a/[1-2]"], literal=True)) == [Address("http://a/[1-2]")]


def test_a_file_has_a_url_in_each_line(tmp_path: Path):
    path = tmp_path / "urls.txt"
    path.write_bytes(b"\xef\xbb\xbf# list\n\n  http://a/ \r\nhttp://b/[1-2]\n \nexample.org")
    assert [(each.url, each.where.rpartition(":")[2]) for each in from_file(str(path))] == [
        ("http://a/", "3"),
        ("http://b/[1-2]", "4"),  # a pattern is for people
        ("example.org", "6"),
    ]


def test_a_bad_line_has_its_place_and_the_others_go_on(tmp_path: Path):
    path = tmp_path / "urls.txt"
    path.write_bytes(b"http://a/ http://b/\n\xff\nhttp://a/\x1b[0m\n" + b"x" * (MAX_LINE + 1) + b"\nhttp://c/\n")
    found = list(from_file(str(path)))
    assert [bool(each.problem) for each in found] == [True, True, True, True, False]
    assert [each.where for each in found] == [f"{path}:{number}" for number in range(1, 6)]
    assert found[-1].url == "http://c/"


def test_standard_input_may_be_any_stream(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"http://a/\nhttp://b/")))
    assert [each.url for each in from_file("-")] == ["http://a/", "http://b/"]
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(click.UsageError, match="standard input is closed"):
        from_file("-")


@pytest.mark.parametrize("path", ["no/such/file", ""])
def test_a_file_that_cannot_be_read_is_known_at_once(path: str):
    with pytest.raises(click.UsageError, match="--urls"):
        from_file(path)


def test_lines_are_read_no_further_than_asked_for():
    """`tail -f` never ends."""
    pieces = iter([b"a\nb", b"b\n", b"c"])

    def read() -> bytes:
        return next(pieces)

    assert list(islice(lines(read), 2)) == [b"a", b"bb"]
    assert next(pieces) == b"c"


def test_a_line_without_an_end_is_bounded():
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * MAX_LINE
        yield b"\nok\n"
        yield b""

    assert list(lines(endless().__next__)) == [None, b"ok"]


@given(st.lists(st.binary(max_size=5)))
def test_lines_do_not_depend_on_the_pieces(pieces: list[bytes]):
    rest = iter([*filter(None, pieces), b""])
    whole = b"".join(pieces)
    expected = whole.split(b"\n")
    assert list(lines(rest.__next__)) == (expected if expected[-1] else expected[:-1])


@pytest.mark.parametrize(
    ("words", "template"),
    [
        (["http://a/[1-2]"], "x.html"),
        (["http://a/[1-2]/{a,b}"], "#1.html"),
        (["http://a/", "http://b/"], "x.html"),
        (["http://a/[1-2]", "http://b/[2-3]"], "#1"),
        (["http://a/[1-11][1-11]"], "#1#2"),  # 1 and 11, 11 and 1
        (["http://a/[1-2]", "http://b/[3-4]"], "#2"),
        (["http://a/[1-6000]", "http://b/[6001-12000]"], "#1"),
    ],
)
def test_no_file_is_written_twice(words: list[str], template: str):
    """The last body replaced the others."""
    with pytest.raises(click.UsageError):
        check_saved(words, template, literal=False, is_list=False)


@pytest.mark.parametrize(
    ("words", "template"),
    [
        (["http://a/[1-2]"], "#1.html"),
        (["http://a/[1-2]/[7-7]"], "#1.html"),
        (["http://a/[1-2]/{a,b}"], "#1/#2"),
        (["http://a/[1-2]", "http://b/[3-4]"], "#1"),
        (["http://a/[1-1000000000]"], "#1"),
        (["http://a/"], "x"),
    ],
)
def test_files_of_their_own_are_fine(words: list[str], template: str):
    check_saved(words, template, literal=False, is_list=False)


def test_the_lines_of_a_file_have_no_values_for_names():
    with pytest.raises(click.UsageError, match="--download FOLDER/"):
        check_saved([], "#1", literal=False, is_list=True)
