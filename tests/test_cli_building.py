"""What the words and options become, before anything is sent; and standard input, never waited for in vain."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import httpx

click = pytest.importorskip("click")

# Behind the line above, because they import click.
from httpx._cli import building  # noqa: E402
from httpx._cli.building import address, from_stdin, has_unread_input, method_and_url, plan  # noqa: E402
from httpx._cli.parser import normalised, parse  # noqa: E402


def planned(*argv: str) -> building.Plan:
    with parse(list(argv)) as context:
        return plan(context.params)


@contextmanager
def piped(monkeypatch: pytest.MonkeyPatch, content: bytes, close: bool = True) -> Iterator[None]:
    """Standard input is a pipe that holds `content`, and whose writer has gone if `close` says so."""
    reader, writer = os.pipe()
    os.write(writer, content)
    if close:
        os.close(writer)
    with os.fdopen(reader) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield
        monkeypatch.undo()
    if not close:
        os.close(writer)


@pytest.mark.parametrize(
    "word",
    [
        *("http://b/", "HTTPS://b", "//b", ":8000", ":/b", ":[8000-8001]/", "localhost", "localhost:8000/x"),
        *("127.0.0.1", "127.0.0.1:80/a", "[::1]", "[::1]:80/x", "example.org", "example.org:8000", "example.org./a=b"),
        *("example.org?q=1", "example.org#x", "b\u00fccher.example", "{a,b}.example.org", "host.[a-c]x:80/"),
        "a.example.org/[1-3].json",
    ],
)
def test_a_word_after_the_url_may_be_another_url(word: str):
    assert building.is_other_url(word)
    assert building.sorted_words(("put", "http://a/", "b=c", word, "d=e"), None) == (
        *("PUT", ["http://a/", word]),
        ["b=c", "d=e"],
    )


@pytest.mark.parametrize(
    "word",
    [
        *("a=b", "a==b", "a:=1", "A:b", "A;", "a@b", "@b", "a=@b", "a=http://b/", "a==http://b/", "X-Url:http://b/"),
        *("id:7", "x-id:7", "a/b=1", "c.d=1", "v1.json==2", "user.name@photo.png", "foo", "foo/bar", "v1.2", "1.5"),
        *("", "a b.c d", "x?y.z=1", "@example.org", "[a]=1", "tags[]=1"),
    ],
)
def test_an_item_is_not_taken_for_another_url(word: str):
    """A header such as `id:7` would be sent to a host of this name."""
    assert not building.is_other_url(word)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), (None, [], [])),
        (("a=1",), (None, [], ["a=1"])),
        (("delete",), ("DELETE", [], [])),
        (("POST", "http://a/", "b=1"), ("POST", ["http://a/"], ["b=1"])),
    ],
)
def test_the_urls_may_be_elsewhere(words: tuple[str, ...], expected: Any):
    assert building.sorted_words(words, None, may_lack_url=True) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["http://a/"], (None, "http://a/", [])),
        (["get", "a"], ("GET", "a", [])),
        (["localhost", "b=c"], (None, "localhost", ["b=c"])),
        (["localhost", "X-A:b"], (None, "localhost", ["X-A:b"])),
        (["localhost", "b:=1"], (None, "localhost", ["b:=1"])),
        (["localhost", "b@c"], (None, "localhost", ["b@c"])),
        (["delete", "a=b"], ("DELETE", "a=b", [])),
        (["SPAM", "example.org/x"], ("SPAM", "example.org/x", [])),
        (["SPAM", "example.org:80/x"], ("SPAM", "example.org:80/x", [])),
        (["SPAM", ":8000/x", "b=c"], ("SPAM", ":8000/x", ["b=c"])),
        (["SPAM", "http://a/?b=c"], ("SPAM", "http://a/?b=c", [])),
        ([":8000/x", "b=http://c/"], (None, ":8000/x", ["b=http://c/"])),
    ],
)
def test_a_method_is_letters_with_a_url_behind_them(words: list[str], expected: Any):
    assert method_and_url(tuple(words), None) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *(("a=b", True), ("a==b", True), ("a:=1", True), ("a@b", True), ("X-A:1", True), ("X-A:b", True), ("a;", True)),
        *(("example.org", False), ("example.org:80/x", False), ("localhost:80", False), ("localhost?q=1", False)),
        *((":80/x", False), ("http://a/?q=1", False), ("/x?q=1", False)),
    ],
)
def test_an_item_is_told_from_a_url(word: str, expected: bool):
    assert building.is_item(word) == expected


@pytest.mark.parametrize(
    ("words", "given"), [([], None), (["PUT", "http://a/"], "GET"), (["http://a/", "http://b/"], None)]
)
def test_words_that_make_no_request_are_refused(words: list[str], given: str | None):
    with pytest.raises(click.UsageError):
        method_and_url(tuple(words), given)


def test_a_path_is_a_whole_url_for_an_application():
    assert address("/x", in_process=True) == "http://localhost/x"
    assert address("example.org/x", in_process=True) == "http://example.org/x"
    assert address("https://example.org/x", in_process=True) == "https://example.org/x"
    assert address(":/x") == "http://localhost/x"


@pytest.mark.parametrize(
    ("argv", "content", "content_type"),
    [
        (["--raw", '{"a": 1}'], b'{"a": 1}', "application/json"),
        (["--raw", " [1]"], b" [1]", "application/json"),
        (["--raw", "{not json"], b"{not json", None),
        (["--raw", "text"], b"text", None),
        (["-c", '{"a": 1}'], b'{"a": 1}', None),
    ],
)
def test_a_raw_body_that_is_json_says_so(argv: list[str], content: bytes, content_type: str | None):
    made = planned("http://a/", *argv)
    assert made.method == "POST"
    assert made.body == {"content": content}
    assert dict(made.headers).get("Content-Type") == content_type


def test_a_content_type_that_is_given_stays():
    made = planned("http://a/", "--raw", "{}", "-h", "content-type", "text/x")
    assert made.headers == [("content-type", "text/x")]


@pytest.mark.parametrize("method", ["POST", "put", "PATCH", "QUERY"])
def test_standard_input_is_the_body_behind_a_method_that_has_one(monkeypatch: pytest.MonkeyPatch, method: str):
    with piped(monkeypatch, b'{"a": 1}\n'):
        made = planned(method, "http://a/")
    assert made.body == {"content": b'{"a": 1}\n'}
    assert made.headers == [("Content-Type", "application/json")]


@pytest.mark.parametrize(
    "argv",
    [
        ["http://a/"],
        ["GET", "http://a/"],
        ["DELETE", "http://a/"],
        ["-m", "POST", "http://a/"],
        ["POST", "http://a/", "--ignore-stdin"],
        ["POST", "http://a/", "-c", "x"],
    ],
)
def test_standard_input_is_left_alone_otherwise(monkeypatch: pytest.MonkeyPatch, argv: list[str]):
    """In `while read url; do httpx $url; done < urls` it would take the other lines, and send them to a stranger."""
    with piped(monkeypatch, b"urls", close=False):
        assert planned(*argv).body.get("content") in (None, b"x")
        assert os.read(sys.stdin.fileno(), 10) == b"urls"


def test_input_that_is_piped_and_not_sent_is_noticed(monkeypatch: pytest.MonkeyPatch):
    for argv, may_miss in ((["http://a/"], True), (["-m", "GET", "http://a/"], False), (["GET", "http://a/"], False)):
        assert planned(*argv, "a==1").may_miss_input == may_miss
    assert not planned("http://a/", "--ignore-stdin").may_miss_input
    with piped(monkeypatch, b"text", close=False):
        assert has_unread_input() == (sys.platform != "win32")
    for close in (False, True):
        with piped(monkeypatch, b"", close=close):
            assert not has_unread_input()
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert not has_unread_input()
    with open(__file__, "rb", buffering=0) as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert has_unread_input()
        file.read(1)  # as the shell's `read` does
        assert not has_unread_input()
    monkeypatch.setattr(sys, "stdin", None)
    assert not has_unread_input()


def test_standard_input_that_is_empty_or_no_input_is_no_body(monkeypatch: pytest.MonkeyPatch):
    with piped(monkeypatch, b""):
        assert planned("POST", "http://a/").body == {}
    monkeypatch.setattr(sys, "stdin", None)
    assert from_stdin() is None
    monkeypatch.setattr(sys, "stdin", io.StringIO("in memory"))  # it has no descriptor
    assert from_stdin() is None


def test_silent_standard_input_is_told_and_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    with (
        piped(monkeypatch, b"", close=False),
        pytest.raises(click.UsageError, match=r"nothing came from it in 0\.05 s"),
    ):
        from_stdin(0.05)


@pytest.mark.parametrize("limit", [0, 10, 64])
@pytest.mark.parametrize("argv", [["POST", "http://a/"], ["http://a/", "@-"]])
def test_large_input_is_sent_as_it_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, limit: int, argv: list[str]):
    """A body of 300 MB took 630 MB of memory."""
    monkeypatch.setattr(building, "MAX_IN_MEMORY", limit)
    content = b'{"a": "' + b"x" * 40 + b'"}'
    with piped(monkeypatch, content):
        made = planned(*argv)
        body = made.body["content"]
        assert (body if limit == 64 else b"".join(body)) == content
    (tmp_path / "body").write_bytes(content)
    monkeypatch.setattr(building, "MAX_IN_MEMORY", limit)
    with open(tmp_path / "body") as file:
        monkeypatch.setattr(sys, "stdin", file)
        again = planned(*argv)
        body = again.body["content"]
        again.close()
        assert (body if limit == 64 else body.read()) == content
        monkeypatch.undo()
    assert made.headers == again.headers == [("Content-Type", "application/json")]


@pytest.mark.parametrize("limit", [0, 10])
def test_a_large_file_is_sent_as_it_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, limit: int):
    monkeypatch.setattr(building, "MAX_IN_MEMORY", limit)
    (tmp_path / "a.bin").write_bytes(b"x" * 10)
    made = planned("http://a/", f"@{tmp_path / 'a.bin'}")
    if limit:
        assert made.body == {"content": b"x" * 10}
        return
    request = httpx.Request("POST", "http://a/", content=made.body["content"])
    assert request.headers["Content-Length"] == "10"
    assert request.read() == b"x" * 10
    made.close()
    assert made.body["content"].closed


def test_an_empty_file_as_standard_input_is_no_body(monkeypatch: pytest.MonkeyPatch):
    with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as empty:
        for stream in (nothing, empty):
            monkeypatch.setattr(sys, "stdin", stream)
            assert planned("POST", "http://a/").body == {}
        monkeypatch.undo()


def test_text_that_is_large_has_no_type(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(building, "MAX_IN_MEMORY", 3)
    with piped(monkeypatch, b"text"):
        assert planned("http://a/", "@-").headers == []
    monkeypatch.setattr(sys, "stdin", None)
    assert planned("http://a/", "@-").body == {"content": b""}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["--download", "http://a/x"], ["--download", "", "http://a/x"]),
        (["--download", ":8000/x"], ["--download", "", ":8000/x"]),
        (["http://a/x", "--download"], ["http://a/x", "--download", ""]),
        (["http://a/x", "--download", "--continue"], ["http://a/x", "--download", "", "--continue"]),
        (["http://a/x", "--download", "--timeout=3"], ["http://a/x", "--download", "", "--timeout=3"]),
        (["http://a/x", "--download", "file"], ["http://a/x", "--download", "file"]),
        (["--download", "file", "http://a/x"], ["--download", "file", "http://a/x"]),
        (["--serve"], ["--serve", "8000"]),
        (["--serve", "9000"], ["--serve", "9000"]),
        (["--", "--download"], ["--", "--download"]),
        (["-c", "--download", "x"], ["-c", "--download", "x"]),
    ],
)
def test_a_value_that_may_be_left_out_is_filled_in(given: list[str], made: list[str]):
    assert normalised(given) == made


@pytest.mark.parametrize("argv", [["--from-curl", "curl x", "-v"], ["--from-curl=curl x", "-v"]])
def test_a_command_of_curl_is_expanded_in_place(argv: list[str]):
    assert normalised(argv, lambda text: [f"<{text}>"]) == ["<curl x>", "-v"]


@pytest.mark.parametrize(
    ("argv", "method", "body"),
    [
        (["a=1", "b:=2"], "POST", {"json": {"a": "1", "b": 2}}),
        (["--form", "a=1", "b:=[2]", "a=3"], "POST", {"data": [("a", "1"), ("b", "[2]"), ("a", "3")]}),
        (["a=1", "-d", "b", "2"], "POST", {"data": [("a", "1"), ("b", "2")]}),
        (["--form"], "GET", {}),
        (["a==1", "X-A:b"], "GET", {}),
    ],
)
def test_items_make_the_body(argv: list[str], method: str, body: Any):
    made = planned("http://x/", *argv)
    assert (made.method, made.body) == (method, body)


def test_items_and_options_go_together():
    made = planned("http://x/", "a==1", "-p", "b", "2", "X-A:c", "-h", "X-B", "d", "Accept:", "X-C;")
    assert made.params == [("a", "1"), ("b", "2")]
    assert made.headers == [("X-A", "c"), ("X-C", ""), ("X-B", "d")]
    assert made.absent == ["Accept"]


def test_a_file_can_be_the_body(tmp_path: Any):
    (tmp_path / "a.json").write_text("[1]")
    made = planned("http://x/", f"@{tmp_path / 'a.json'}")
    assert (made.method, made.body, made.headers) == (
        "POST",
        {"content": b"[1]"},
        [("Content-Type", "application/json")],
    )


def test_standard_input_can_be_asked_for(monkeypatch: pytest.MonkeyPatch):
    with piped(monkeypatch, b"text"):
        assert planned("http://x/", "@-").body == {"content": b"text"}


def test_a_file_among_the_items_makes_a_form(tmp_path: Any):
    (tmp_path / "a.txt").write_text("one")
    made = planned("http://x/", f"up@{tmp_path / 'a.txt'}", "n=v")
    assert made.body["data"] == [("n", "v")]
    ((name, (file_name, file)),) = made.body["files"]
    assert (name, file_name, file.read()) == ("up", "a.txt", b"one")
    made.close()
    assert file.closed


@pytest.mark.parametrize("argv", [["a=1", "-j", "1"], ["a=1", "@x"], ["@x", "--raw", "y"], ["nothing"], ["a:=x"]])
def test_items_that_make_no_sense_are_refused(argv: list[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("x")
    with pytest.raises(click.UsageError):
        planned("http://x/", *argv)
