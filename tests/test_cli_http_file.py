"""The format of `.http` files: what each line means, and that no text takes long or breaks the parser."""

from __future__ import annotations

import re
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._cli.http_file import File, Header, HttpFile, HttpFileError, Note, Request, Text, Variable, parse
from support.linear import linear


def only(text: str) -> Request:
    content = parse(text, "a.http")
    assert len(content.requests) == 1
    return content.requests[0]


def texts(request: Request) -> list[str]:
    return [part.text if isinstance(part, Text) else part.path for part in request.body]


def test_a_line_is_enough():
    request = only("http://a/")
    assert (request.method, request.url, request.version, request.name, request.line) == ("GET", "http://a/", "", "", 1)
    assert (request.headers, request.body, request.directives) == ((), (), ())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET http://a/ HTTP/1.1", ("GET", "http://a/", "1.1")),
        ("post http://a/ HTTP/2", ("POST", "http://a/", "2")),
        ("POST http://a/ HTTP/2 (Prior Knowledge)", ("POST", "http://a/", "2 (Prior Knowledge)")),
        ("GET {{host}}/{{$randomInt 1 5}}", ("GET", "{{host}}/{{$randomInt 1 5}}", "")),
        ("  GET   http://a/b c  ", ("GET", "http://a/b c", "")),
        ("localhost:8000/x", ("GET", "localhost:8000/x", "")),
        ("localhost", ("GET", "localhost", "")),
        ("GET http://a/ HTTP/x", ("GET", "http://a/ HTTP/x", "")),
    ],
)
def test_the_request_line_has_method_url_and_version(line: str, expected: tuple[str, str, str]):
    request = only(line)
    assert (request.method, request.url, request.version) == expected


def test_the_url_goes_on_in_further_lines():
    assert only("GET http://a/b\n    /c\n\t?x=1\n&y=2\nX-A: b").url == "http://a/b/c?x=1&y=2"


def test_requests_are_separated_and_named():
    content = parse(
        "### first one\nGET a/1\n###\nGET a/2\n####\n# @name third\nGET a/3\n### title\n// @name=b\nGET a/4", "f"
    )
    assert [(each.name, each.url, each.start, each.line, each.end) for each in content.requests] == [
        ("first one", "a/1", 1, 2, 2),
        ("", "a/2", 3, 4, 4),
        ("third", "a/3", 5, 7, 7),
        ("b", "a/4", 8, 10, 10),
    ]


def test_comments_are_left_out_before_and_in_the_head_and_are_text_in_the_body():
    request = only("# a\n// b\n\nPOST a/\n# c\nX-A: b\n// d\n\n# e\n// f\n")
    assert request.headers == (Header("X-A", "b", 6),)
    assert request.body == (Text("# e\n// f", 9),)


def test_variables_are_those_of_the_file():
    content = parse("@a = 1\n@b={{a}} x \nGET a/\n\n@c = in the body\n###\n@d=\n", "f")
    assert content.variables == (Variable("a", "1", 1), Variable("b", "{{a}} x", 2), Variable("d", "", 7))
    assert texts(content.requests[0]) == ["@c = in the body"]


def test_a_body_is_text_and_files():
    text = "POST a/\n\none\n\n< ./two.txt\n<@ three.txt\n<@latin1 four five.txt\n<six/>\n<seven >\n\n\n"
    assert only(text).body == (
        Text("one\n", 3),
        File("./two.txt", "", 5),
        File("three.txt", "utf-8", 6),
        File("four five.txt", "latin1", 7),
        Text("<six/>\n<seven >", 8),
    )


def test_empty_lines_around_a_body_are_not_part_of_it():
    assert only("POST a/\n\n\n\n< f\n\n").body == (File("f", "", 5),)
    assert only("POST a/\n\n\n\n").body == ()


def test_expectations_may_follow_the_body():
    request = only('POST a/\n# @timeout 5\n\n{"a": 1}\n\n# @expect status 200\n# @name x\n//@expect time < 1 s')
    assert [each[:2] for each in request.directives] == [
        ("timeout", "5"),
        ("expect", "status 200"),
        ("expect", "time < 1 s"),
    ]
    assert texts(request) == ['{"a": 1}\n\n# @name x']


def test_scripts_are_left_out_and_noted():
    text = (
        "< {%\n  x\n%}\nGET a/\n\nbody\n> {% one line %}\n> {%\nclient.test()\n\n%}\n"
        "> check.js\n>> out.json\n>>! out.json\n"
        "<> 2020.json\n###\n< before.js\nGET a/\n# @prompt x\n# @no-log\n"
    )
    content = parse(text, "f")
    assert texts(content.requests[0]) == ["body"]
    assert [note.line for note in content.notes] == [1, 7, 8, 12, 13, 14, 17, 19]
    assert content.notes[0] == Note("JavaScript is not run: write '# @expect ...' to check the response", 1)
    assert "'@prompt'" in content.notes[-1].text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("GET a/\nno header", "f:2: expected a header field such as 'Name: value', or an empty line"),
        ("\n@a b", "f:2: a variable must be written as '@name = value'"),
        ("@a b = c", "f:1: a variable must be written as '@name = value'"),
        ("GET", "f:1: the URL is missing after the method GET"),
        ("GRAPHQL http://a/", "f:1: GRAPHQL is not supported, only requests of HTTP"),
        ("curl http://a/", "f:1: CURL is not supported, only requests of HTTP"),
        ("GET a/\n\n> {%\nx", "f:3: the script has no end: '%}' is missing"),
        ("# @name a b\nGET a/", "f:1: '@name' must be followed by a name without spaces"),
        ("### a\nGET a/\n###\n# @name a\nGET a/", "f:4: the name 'a' is taken by the request in line 2"),
    ],
)
def test_an_error_has_file_and_line(text: str, message: str):
    with pytest.raises(HttpFileError, match=re.escape(message)):
        parse(text, "f")


_LINES = st.sampled_from(
    (
        *(
            "",
            "###",
            "### b",
            "GET a/",
            "POST a/ HTTP/1.1",
            "X-A: b",
            "  ?a=1",
            "&b",
            "# c",
            "// c",
            "@a = 1",
            "@",
            "{}",
        ),
        *("< f", "<@ f", "> {%", "%}", "> {% %}", "# @name x", "# @expect status 200", "> f.js", "{{a}}", "\t", "<> f"),
    )
)


@given(st.lists(st.one_of(_LINES, st.text(max_size=20)), max_size=20).map("\n".join))
def test_any_text_is_parsed_or_refused_with_its_line(text: str):
    try:
        content = parse(text, "f")
    except HttpFileError as exc:
        match = re.match(r"f:(\d+): ", str(exc))
        assert match is not None
        assert 1 <= int(match[1]) <= text.count("\n") + 1
        return
    at = 0
    for request in content.requests:
        assert at < request.start <= request.line <= request.end
        at = request.end
    # Windows' line ends mean the same.
    if "\r" not in text:
        assert parse(text.replace("\n", "\r\n"), "f") == content


_WORD = st.text("abcXYZ019", min_size=1, max_size=8)
_REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(("GET", "POST", "PATCH")),
        _WORD.map("http://a/".__add__),
        st.lists(st.tuples(_WORD, _WORD), max_size=3),
        st.lists(st.one_of(_WORD, st.just("")), max_size=3).map("\n".join).map(str.rstrip),
    ),
    max_size=4,
)


@given(_REQUESTS, st.booleans())
def test_what_is_written_is_read(requests: list[tuple[str, str, list[tuple[str, str]], str]], has_comments: bool):
    note = "# a comment\n" if has_comments else ""
    text = ""
    for number, (method, url, headers, body) in enumerate(requests):
        fields = "".join(f"{name}: {value}\n" for name, value in headers)
        text += f"### r{number}\n{note}{method} {url}\n{note}{fields}\n{body}\n"
    content = parse(text, "f")
    assert [
        (each.name, each.method, each.url, [field[:2] for field in each.headers], "\n".join(texts(each)))
        for each in content.requests
    ] == [(f"r{number}", *request) for number, request in enumerate(requests)]
    assert content.notes == ()


@pytest.mark.parametrize(
    "line",
    [
        "### a\n",
        "###\nGET a/\n",
        "GET a/\n\n< f\n",
        "@a = 1\n",
        "   ",
        "> {% ",
        "# @name ",
        "{{",
        "&a\n",
        "< ",
        "\n",
        "> a.js",
    ],
)
def test_work_is_linear(line: str):
    def prepare(size: int) -> Callable[[], object]:
        text = "GET a/\n" + line * (size // len(line))

        def work() -> HttpFile | None:
            try:
                return parse(text, "f")
            except HttpFileError:
                return None

        return work

    linear(prepare, 1 << 14, 1 << 16)
