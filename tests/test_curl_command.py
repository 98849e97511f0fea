"""What a command line of curl says: `tests/test_curl.py` holds the same against curl itself."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from httpx._curl_command import (
    _FLAGS,
    _LONG,
    _WITH_VALUE,
    FORM,
    HARMLESS,
    OTHER_FLAGS,
    OTHERS_WITH_VALUE,
    Command,
    Part,
    part_of,
    read,
)
from support.linear import linear


def said(text: str, files: bool = False) -> Command:
    return read(f"curl {text}", files)


# Words.


def test_options_are_found_in_every_spelling():
    command = said("-sSXPUT -HA:b -H 'C: d' --header 'E;' --url a.b -L -m3 --max-time 4 -- ")
    assert command.method == "PUT"
    assert command.headers == [("A", "b"), ("C", "d"), ("E", "")]
    assert command.url == "http://a.b"
    assert command.others == [("-s", ""), ("-S", ""), ("-L", ""), ("-m", "3"), ("-m", "4")]
    assert said("-s -- -x").urls == ["-x"]


@pytest.mark.parametrize("first", ["curl", "$ curl", "% /usr/bin/curl", "curl.exe", "C:\\\\bin\\\\curl.exe", ""])
def test_what_stands_before_the_words_does_not_matter(first: str):
    assert read(f"{first} http://a/", files=False).url == "http://a/"


def test_every_long_name_is_one_of_an_option_or_unknown():
    known = {*_WITH_VALUE, *_FLAGS, *OTHERS_WITH_VALUE, *OTHER_FLAGS}
    assert {long for long, short in _LONG.items() if short not in known} == {"--append", "--ascii"}
    assert known >= HARMLESS
    assert not set(OTHERS_WITH_VALUE) & set(OTHER_FLAGS)
    assert not (set(_WITH_VALUE) | set(_FLAGS)) & (OTHERS_WITH_VALUE | OTHER_FLAGS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "one URL$"),
        ("http://a/ http://b/", "one URL, got 2"),
        ("http://a/ --next http://b/", "--next begins another request"),
        ("--nonsense http://a/", "curl's option --nonsense cannot be converted"),
        ("-Q x http://a/", "curl's option -Q cannot be converted"),
        ("--header=Authorization:secret http://a/", "curl's option --header cannot be converted"),
        ("--append http://a/", "-a cannot"),
        ("http://a/ -H", "-H lacks its value"),
        ("http://a/ -o", "-o lacks its value"),
        ("-I -d x http://a/", "-I cannot have a body"),
        ("-I -F a=b http://a/", "-I cannot have a body"),
        ("-d x -F a=b http://a/", "both -d and -F"),
        ("-T x -d y http://a/", "-T cannot have another body"),
        ("-T x -T y http://a/", "-T is there twice"),
        ("-T - http://a/", "-T - reads standard input"),
        ("-d @- http://a/", "-d @?- reads standard input"),
        ("http://a/[1-3]", r"several requests of '\[1-3\]' in a URL"),
        ("'http://a/{b,c}'", "several requests of '{b,c}'"),
        ("'http://a/b]'", "several requests"),
        ("'http://{a,b}/'", "several requests"),
        ("'http://[::1]/[a-c]'", r"several requests of '\[a-c\]'"),
        ("http://a/ | jq .", "only one curl command"),
    ],
)
def test_what_is_not_one_request_is_an_error(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        said(text, files=True)


@pytest.mark.parametrize("text", ["http://[::1]/", "'http://u:p@[fe80::1%25eth0]:80/x'", "'[::1]:80/'", "-g '{a}/[b]'"])
def test_brackets_that_are_no_range(text: str):
    assert said(text).url.endswith(text.strip("-g '"))


def test_http_is_what_a_url_without_a_scheme_has():
    assert said("a.b/c").url == "http://a.b/c"
    assert said("https://a.b").url == "https://a.b"


# Fields.


def test_fields_are_given_and_left_out():
    command = said(
        "-H 'A:  b ' -H C: -H ' D ; ' -H nonsense -A '' -A me -e 'x;auto' -e y -r 1-2 -b a=b -b '' -b 'c=d; ' http://a/"
    )
    assert command.headers == [
        *(("A", "b"), ("D", ""), ("User-Agent", "me"), ("Referer", "x"), ("Referer", "y")),
        *(("Range", "bytes=1-2"), ("Cookie", "a=b; c=d")),
    ]
    assert command.absent == ["C", "User-Agent"]
    assert command.has_field("a")
    assert command.has_field("c")
    assert not command.has_field("nonsense")


def test_only_the_space_of_ascii_is_stripped():
    assert said("-H $'A: \\u00a0b\\u00a0\\t' http://a/").headers == [("A", "\u00a0b\u00a0")]


def test_credentials():
    command = said("-u a:b --digest --oauth2-bearer t -n http://a/")
    assert (command.user, command.digest, command.bearer, command.netrc) == ("a:b", True, "t", "")
    assert said("--netrc-file f http://a/").netrc == "f"
    assert said("-b jar http://a/").cookie_files == ["jar"]


# Bodies.


@pytest.mark.parametrize(
    ("text", "body", "kind", "method"),
    [
        ("", None, None, "GET"),
        ("-d a -d b", b"a&b", FORM, "POST"),
        ("-d ''", b"", FORM, "POST"),
        ("--data-raw @x -X PUT", b"@x", FORM, "PUT"),
        ("--data-binary $'\\xff\\n'", b"\xff\n", FORM, "POST"),
        ("--json 1 --json 2", b"12", "application/json", "POST"),
        ("-d 0 --json 1 -d 2", b"01&2", "application/json", "POST"),
        ("--data-urlencode 'a b' --data-urlencode '=c d' --data-urlencode n=é", b"a+b&c+d&n=%C3%A9", FORM, "POST"),
        ("-F a=b", None, None, "POST"),
        ("-I", None, None, "HEAD"),
        ("-I -G -d x", None, FORM, "HEAD"),
    ],
)
def test_bodies(text: str, body: bytes | None, kind: str | None, method: str):
    command = said(f"{text} http://a/")
    assert (command.body, command.kind, command.method) == (body, kind, method)


def test_json_wants_json_back_unless_something_else_is_wanted():
    assert ("Accept", "application/json") in said("--json 1 http://a/").headers
    assert said("--json 1 -H accept:x http://a/").headers == [("accept", "x")]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("-G -d a=1 -d b http://a/", "http://a/?a=1&b"),
        ("-G -d a 'http://a/?b#c'", "http://a/?b&a#c"),
        ("-G -d a http://a/?", "http://a/?a"),
        ("-G -d '' http://a/", "http://a/"),
        ("--url-query 'a=b c' --url-query +d=%20 http://a/x", "http://a/x?a=b+c&d=%20"),
        ("-G -d a=1 --url-query b=2 http://a/", "http://a/?a=1"),
        ("-d x --url-query b http://a/", "http://a/?b"),
    ],
)
def test_what_is_added_to_the_url(text: str, url: str):
    assert said(text).url == url


def test_files_are_read_as_curl_reads_them(tmp_path: Path):
    path = tmp_path / "bo dy"
    path.write_bytes(b"a\r\n\0b")
    for text, body in (
        (f"-d '@{path}'", b"ab"),
        (f"--data-binary '@{path}'", b"a\r\n\0b"),
        (f"--data-urlencode 'n@{path}'", b"n=a%0D%0A%00b"),
        (f"-T '{path}'", b"a\r\n\0b"),
    ):
        assert said(f"{text} http://a/x", files=True).body == body
        with pytest.raises(ValueError, match="pass `files=True`"):
            said(f"{text} http://a/x")


def test_an_upload_is_named_after_its_file(tmp_path: Path):
    path = tmp_path / "ü p"
    path.write_bytes(b"x")
    for url, named in (
        ("http://a", "http://a/%C3%BC%20p"),
        ("http://a/b/?q#f", "http://a/b/%C3%BC%20p?q#f"),
        ("http://a/b", "http://a/b"),
    ):
        command = said(f"-T '{path}' {url}", files=True)
        assert (command.method, command.url) == ("PUT", named)


def test_a_body_that_is_piped_to_curl_is_read():
    for text in ("--data-binary @-", "-T -"):
        command = read(f"printf %s AP8= | base64 -d | curl {text} http://a/", files=False)
        assert command.body == b"\0\xff"
    with pytest.raises(ValueError, match="only one curl command"):
        read("printf x | curl --data-binary @- http://a/", files=False)


def test_the_dots_of_a_path_can_be_kept():
    assert said("--path-as-is http://a/b/../c?d#e").dotted_target == "/b/../c?d"
    assert said("--path-as-is a/.").dotted_target == "/."
    for text in (
        "http://a/b/../c",
        "--path-as-is http://a/b..c/...",
        "--path-as-is http://a/b?/../c",
        "--path-as-is a",
    ):
        assert said(text).dotted_target is None


# Forms.


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("a=b", Part("a", "b")),
        ("a=", Part("a", "")),
        ("a= b c ", Part("a", "b c")),
        ("a=b;c", Part("a", "b")),
        ('a="b;c"', Part("a", "b;c")),
        ('a="b\\"c\\\\d\\e" x', Part("a", 'b"c\\d\\e')),
        ('a="open', Part("a", '"open')),
        ("a=b=c", Part("a", "b=c")),
        ("a={};type=application/json", Part("a", "{}", kind="application/json")),
        ("a=b;type=text/plain; charset=x;", Part("a", "b", kind="text/plain; charset=x")),
        ("a=@f", Part("a", None, "f", True)),
        ('a=@"f,;g";filename="h;i"', Part("a", None, "f,;g", True, filename="h;i")),
        ("a=@f;type=b/c;filename=d", Part("a", None, "f", True, "b/c", "d")),
        ("a=<f", Part("a", None, "f")),
        ('a=b;headers="X: y";headers=Z:1', Part("a", "b", headers=(("X", "y"), ("Z", "1")))),
    ],
)
def test_a_part_of_a_form(value: str, part: Part):
    assert part_of(value) == part


def test_a_literal_part():
    assert part_of("a=@b;type=c", literal=True) == Part("a", "@b;type=c")
    assert said("--form-string 'a=<b' -F 'c=\"d\"' http://a/").parts == [Part("a", "<b"), Part("c", "d")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a", "NAME=VALUE"),
        ("a=(;type=multipart/mixed", "parts of its own"),
        ("=)", "parts of its own"),
        ("a=@b,c", "several files"),
        ("a=b;encoder=base64", "encoder= cannot"),
        ("a=b;headers=@f", "headers= cannot"),
        ("a=b;headers=nonsense", "headers= cannot"),
    ],
)
def test_a_part_that_cannot_be_converted(value: str, message: str):
    with pytest.raises(ValueError, match=message):
        part_of(value)


# Files of options and fields.


def test_a_file_of_options(tmp_path: Path):
    path = tmp_path / "config"
    lines = [
        "# a comment",
        "",
        'header = "A: \\"b\\"\\t\\\\"',
        "-H C:d",
        "request=PUT",
        '  url "http://a/"',
        "location",
        "--data: x",
    ]
    path.write_text("\n".join(lines))
    command = said(f"-K {path}", files=True)
    assert command.headers == [("A", '"b"\t\\'), ("C", "d")]
    assert (command.method, command.url, command.body) == ("PUT", "http://a/", b"x")
    assert command.others == [("-L", "")]
    with pytest.raises(ValueError, match="files=True"):
        said(f"-K {path}")
    path.write_text(f"config = {path}\n")
    with pytest.raises(ValueError, match="refers to another one"):
        said(f"-K {path} http://a/", files=True)


def test_a_file_of_fields(tmp_path: Path):
    path = tmp_path / "fields"
    path.write_text("A: b\n\n@C: d\n")
    assert said(f"-H @{path} http://a/", files=True).headers == [("A", "b"), ("C", "d")]
    with pytest.raises(ValueError, match="-H reads the file"):
        said(f"-H @{path} http://a/")


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("curl http://a/{}", "b"),
        ("curl -g http://{}", "b"),
        ("curl http://a/ -d $'{}'", "\\u4e2d"),
        ("curl http://a/ {}", " --json 12345678"),
        ("curl http://a/ -F 'a=b;type=c{}'", ";d"),
        ("curl --path-as-is http://a{}", "/b"),
    ],
)
def test_a_long_command_takes_linear_time(text: str, repeated: str):
    """A megabyte of letters in a URL kept a processor busy for an hour, and one of escapes for a minute."""

    def prepare(size: int) -> Callable[[], object]:
        command = text.format(repeated * (size // len(repeated)))
        return lambda: read(command, files=False)

    linear(prepare)
