"""The grammar of the words behind the URL."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._cli.items import Items, parse, split


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "text").write_text("one\n")
    (tmp_path / "lines").write_text("one\ntwo\n")
    (tmp_path / "json").write_text('{"a": [1]}')
    (tmp_path / "bytes").write_bytes(b"\xff")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("a=b", ("a", "=", "b")),
        ("a=", ("a", "=", "")),
        ("a==b", ("a", "==", "b")),
        ("a===b", ("a", "==", "=b")),
        ("a:=1", ("a", ":=", "1")),
        ("a:b", ("a", ":", "b")),
        ("a:", ("a", ":", "")),
        ("a;", ("a", ";", "")),
        ("a@b", ("a", "@", "b")),
        ("a=@b", ("a", "=@", "b")),
        ("a:=@b", ("a", ":=@", "b")),
        ("a==@b", ("a", "==@", "b")),
        ("a:@b", ("a", ":@", "b")),
        (r"a[\[b]=1", (r"a[\[b]", "=", "1")),
        ("a=b:c@d==e", ("a", "=", "b:c@d==e")),
        ("Referer:http://a/?b=c", ("Referer", ":", "http://a/?b=c")),
        ("mail=ann@example.org", ("mail", "=", "ann@example.org")),
        (r"a\=b=c", ("a=b", "=", "c")),
        (r"a\:b=c", ("a:b", "=", "c")),
        (r"a\@b:c", ("a@b", ":", "c")),
        (r"a\\=b", ("a\\", "=", "b")),
        (r"a\b=c\=d", (r"a\b", "=", r"c\=d")),
        (r"a\==b", ("a=", "=", "b")),
        ("a;b=c", ("a;b", "=", "c")),
        ("é=ü", ("é", "=", "ü")),
    ],
)
def test_the_first_and_longest_separator_parts_a_word(word: str, parts: tuple[str, str, str]):
    assert split(word) == parts


@given(st.text(), st.sampled_from([":=@", "==@", ":@", ":=", "==", "=@", "=", ":", "@"]), st.text())
def test_anything_can_be_written_with_backslashes(name: str, separator: str, value: str):
    escaped = "".join("\\" + char if char in "=:@;\\" else char for char in name)
    # In the value, only what would lengthen the separator needs one, and what looks like that.
    written = "\\" + value if re.match(r"\\*[=@]", value) else value
    assert split(escaped + separator + written) == (name, separator, value)


def test_each_item_goes_to_its_place():
    items = parse(["a=1", "b:=[2, null]", "c==3", "c==4", "X-A: b ", "X-B;", "Accept:", "a=5"])
    assert items == Items(
        params=[("c", "3"), ("c", "4")],
        headers=[("X-A", "b"), ("X-B", "")],
        absent=["Accept"],
        fields=[("a", "1"), ("b", "[2, null]"), ("a", "5")],
        values=[("a", "1"), ("b", [2, None]), ("a", "5")],
        files=[],
        content=None,
    )


def test_values_come_from_files(folder: Path):
    items = parse(["a=@text", "b:=@json"])
    assert items.values == [("a", "one\n"), ("b", {"a": [1]})]


def test_files_of_forms_have_name_content_and_type(folder: Path):
    items = parse(["up@text", f"raw@{folder / 'bytes'};type=image/png"])
    seen = [(name, entry[0], entry[1].read(), entry[2:]) for name, entry in items.files]
    assert seen == [("up", "text", b"one\n", ()), ("raw", "bytes", b"\xff", ("image/png",))]
    for _, entry in items.files:
        entry[1].close()


def test_headers_and_queries_come_from_files_without_the_last_line_break(folder: Path):
    items = parse(["X-Token:@text", "q==@text"])
    assert items.headers == [("X-Token", "one")]
    assert items.params == [("q", "one")]


@pytest.mark.parametrize(
    ("word", "name", "kind"),
    [
        ("up@text;filename=b.txt", "b.txt", ()),
        ("up@text;type=text/x;filename=b c.txt", "b c.txt", ("text/x",)),
        ("up@text;filename=b.txt;type=text/x", "b.txt", ("text/x",)),
    ],
)
def test_a_file_may_have_another_name(folder: Path, word: str, name: str, kind: tuple[str, ...]):
    ((_, entry),) = parse([word]).files
    entry[1].close()
    assert (entry[0], entry[2:]) == (name, kind)


@pytest.mark.parametrize(("word", "content"), [("@-", "-"), ("@a=b", "a=b"), ("@/x/y", "/x/y")])
def test_a_word_that_begins_with_at_is_the_body(word: str, content: str):
    assert parse([word]).content == content


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "'a' is not an item"),
        (["a;b"], "'a;b' is not an item"),
        ([""], "'' is not an item"),
        (["=a"], "no name before '='"),
        ([":a"], "no name before ':'"),
        (["@"], "must be followed by a path"),
        (["@a", "@b"], "more than one body"),
        (["a:=x"], "the value of 'a' is not valid JSON"),
        (["a=@bytes"], "'bytes' is not UTF-8 text"),
        (["a:@lines"], "the file 'lines' for 'a' must have one line"),
        (["a:=@text"], "the value of 'a' is not valid JSON"),
    ],
)
def test_what_is_no_item_is_refused(folder: Path, words: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        parse(words)


@pytest.mark.parametrize("word", ["a@nothing", "a=@nothing", "a:=@nothing"])
def test_a_file_that_is_missing_is_an_error_of_the_system(folder: Path, word: str):
    with pytest.raises(FileNotFoundError):
        parse([word])


def test_a_file_of_a_form_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch):
    class Input:
        buffer = io.BytesIO(b"text")

    monkeypatch.setattr(sys, "stdin", Input())
    ((name, entry),) = parse(["f@-;filename=a.txt;type=text/x"]).files
    assert (name, entry[0], entry[1].read(), entry[2]) == ("f", "a.txt", b"text", "text/x")
    monkeypatch.setattr(sys, "stdin", None)
    assert parse(["f@-"]).files[0][1][1].read() == b""
