"""
Requests without a client.

Where httpx 0.28.1 does something else, the test's docstring says why; all the rest was compared with it as it runs.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import httpx
from httpx._request import Request
from support.bodies import (
    CHUNKED,
    HOST,
    JSON,
    LENGTH,
    URL,
    Stream,
    async_pieces,
    pieces,
)
from support.drivers import Driver, run_without_loop

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an async function on a real event loop."""
    return Driver(request.param).run_bare


# Requests: method and URL.


@pytest.mark.parametrize(
    ("method", "kept"),
    [("GET", "GET"), ("get", "GET"), ("Post", "POST"), ("M-SEARCH", "M-SEARCH"), ("x!", "X!"), (b"put", "PUT")],
)
def test_a_method_is_turned_into_upper_case(method: Any, kept: str):
    assert Request(method, URL).method == kept


@pytest.mark.parametrize(
    "method", ["", "G T", "GET\r\nX: y", "GET\0", "GÉT", "GE\u017fT", "GET /", b"G\xc9T", "\x7f", "A:"]
)
def test_a_method_that_is_no_token_is_refused_where_it_is_given(method: Any):
    """Harm: a method with a line break in it puts a second request on the connection, whatever the transport."""
    with pytest.raises(httpx.LocalProtocolError, match="is not a token") as caught:
        Request(method, URL)
    assert "\r" not in str(caught.value)


@pytest.mark.parametrize("method", [None, 1, object()])
def test_a_method_that_is_no_text_is_a_type_error(method: Any):
    with pytest.raises(TypeError, match=r"method is \w+, expected str"):
        Request(method, URL)


@pytest.mark.parametrize("url", [URL, httpx.URL(URL)])
def test_a_url_is_text_or_a_url(url: Any):
    assert Request("GET", url).url == httpx.URL(URL)
    with pytest.raises(TypeError):
        Request("GET", 1)  # type: ignore[arg-type]
    with pytest.raises(httpx.InvalidURL):
        Request("GET", "http://example.org:port/")


@pytest.mark.parametrize(
    ("params", "query"),
    [
        (None, b"x=1"),
        ({}, b""),
        ("", b""),
        ({"a": 1, "b": None, "c": True}, b"a=1&b=&c=true"),
        ("a=1&b=2", b"a=1&b=2"),
        (b"a=1", b"a=1"),
        ([("a", "1"), ("a", "2")], b"a=1&a=2"),
        ({"a": ["1", "2"]}, b"a=1&a=2"),
        (httpx.QueryParams("z=9"), b"z=9"),
    ],
)
def test_params_replace_the_query_of_the_url(params: Any, query: bytes):
    assert Request("GET", URL, params=params).url.query == query


# Requests: headers.


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.org", b"example.org"),
        ("http://example.org:80/", b"example.org"),
        ("https://example.org:443/", b"example.org"),
        ("http://EXAMPLE.org:8080/", b"example.org:8080"),
        ("http://user:password@example.org/", b"example.org"),
        ("http://[::1]:81/", b"[::1]:81"),
        ("http://bücher.example/", b"xn--bcher-kva.example"),
    ],
)
def test_the_host_comes_from_the_url(url: str, host: bytes):
    assert Request("GET", url).headers.raw == [(b"Host", host)]


@pytest.mark.parametrize("url", ["/path", "", "mailto:jo@example.org"])
def test_a_url_without_a_host_gives_no_host_header(url: str):
    assert Request("GET", url).headers.raw == []
    assert Request("POST", url).headers.raw == [(b"Content-Length", b"0")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_callers_own_host_stands_first_too(method: str):
    """In 0.28.1 it is in the caller's place here, and moved to the front only on the wire."""
    headers = {"A": "1", "hOST": "other.example"}
    length = [(b"Content-Length", b"0")] if method == "POST" else []
    assert Request(method, URL, headers=headers).headers.raw == [(b"hOST", b"other.example"), *length, (b"A", b"1")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "post"])
@pytest.mark.parametrize("body", [{}, {"content": b""}, {"content": ""}, {"data": {}}, {"files": {}}, {"data": None}])
def test_a_method_with_a_body_says_so_when_there_is_none(method: str, body: dict[str, Any]):
    assert Request(method, URL, **body).headers.raw == [HOST, (b"Content-Length", b"0")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "QUERY"])
@pytest.mark.parametrize("body", [{}, {"content": b""}, {"data": {}}])
def test_other_methods_say_nothing_about_a_body_that_is_not_there(method: str, body: dict[str, Any]):
    assert Request(method, URL, **body).headers.raw == [HOST]


FORM = (b"Content-Type", b"application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("body", "fields", "content"),
    [
        ({"content": b"abc"}, [LENGTH], b"abc"),
        ({"content": "äb"}, [LENGTH], "äb".encode()),
        ({"content": bytearray(b"abc")}, [LENGTH], b"abc"),
        ({"content": [b"a", b"bc"]}, [CHUNKED], b"abc"),
        ({"json": [1]}, [LENGTH, JSON], b"[1]"),
        ({"json": ""}, [(b"Content-Length", b"2"), JSON], b'""'),
        ({"data": {"a": 1}}, [LENGTH, FORM], b"a=1"),
        ({"data": [("a", 1)]}, [LENGTH, FORM], b"a=1"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_brings_its_headers(method: str, body: dict[str, Any], fields: Any, content: bytes):
    request = Request(method, URL, headers={"A": "1"}, **body)
    assert request.headers.raw == [HOST, (b"A", b"1"), *fields]
    assert request.read() == content


def test_a_file_is_sent_from_where_it_stands():
    """Harm: 0.28.1 announced the length of the whole file, and the request never ended."""
    file = io.BytesIO(b"0123abc")
    file.seek(4)
    request = Request("POST", URL, content=file)
    assert request.headers.raw == [HOST, LENGTH]
    assert request.read() == b"abc"


def test_files_make_a_multipart_body_with_the_boundary_that_was_asked_for():
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    request = Request("POST", URL, headers=headers, data={"a": "1"}, files={"f": b"content"})
    body = request.read()
    assert request.headers.raw[1:] == [
        (b"Content-Type", b"multipart/form-data; boundary=xyz"),
        (b"Content-Length", str(len(body)).encode()),
    ]
    assert body.startswith(b"--xyz\r\n")
    assert body.endswith(b"--xyz--\r\n")
    assert Request("POST", URL, files={"f": b""}).headers["content-type"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize(
    ("headers", "body", "fields"),
    [
        # Their word against ours: what the caller says about the body stands.
        ({"Content-Type": "x/y"}, {"json": 1}, [(b"Content-Type", b"x/y"), (b"Content-Length", b"1")]),
        ({"content-length": "3"}, {"content": [b"abc"]}, [(b"content-length", b"3")]),
        ({"Content-Length": "5"}, {"content": b"abc"}, [(b"Content-Length", b"5")]),
        ({"Content-Length": "5"}, {}, [(b"Content-Length", b"5")]),
        ({"Transfer-Encoding": "chunked"}, {}, [CHUNKED]),
        ({"Transfer-Encoding": "chunked"}, {"content": [b"abc"]}, [CHUNKED]),
    ],
)
def test_headers_of_the_caller_are_not_overridden(headers: Any, body: dict[str, Any], fields: Any):
    assert Request("POST", URL, headers=headers, **body).headers.raw == [HOST, *fields]


@pytest.mark.parametrize("body", [{"content": b"abc"}, {"json": 1}, {"data": {"a": "1"}}])
def test_a_body_that_is_to_be_sent_in_chunks_gets_no_length_as_well(body: dict[str, Any]):
    """Harm: with both fields two parties can disagree about the request's end. 0.28.1 sent both."""
    headers = Request("POST", URL, headers={"Transfer-Encoding": "chunked"}, **body).headers
    assert "content-length" not in headers
    assert headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize(
    "headers",
    [{"A": "1", "B": "2"}, [("A", "1"), ("B", "2")], {b"A": b"1", b"B": b"2"}, httpx.Headers({"A": "1", "B": "2"})],
)
def test_headers_are_given_in_many_forms_and_kept_apart_from_what_was_given(headers: Any):
    request = Request("GET", URL, headers=headers)
    assert request.headers.raw == [HOST, (b"A", b"1"), (b"B", b"2")]
    request.headers["C"] = "3"
    assert len(headers) == 2


def test_an_encoding_of_the_headers_is_kept():
    request = Request("GET", URL, headers=httpx.Headers({"A": "é"}, encoding="iso-8859-1"))
    assert request.headers.encoding == "iso-8859-1"
    assert request.headers["a"] == "é"


@pytest.mark.parametrize("bad", [{"A": "1\r\nB: 2"}, {"A": "1\0"}, [("A", "1\n")], {b"A": b"1\r"}])
def test_a_header_with_a_line_break_is_refused_where_it_is_given(bad: Any):
    """Harm: whoever controls the value adds header fields, or a whole request."""
    with pytest.raises(httpx.LocalProtocolError, match=r"header b?'A'"):
        Request("GET", URL, headers=bad)


@pytest.mark.parametrize("cookies", [{"a": "b"}, [("a", "b")], httpx.Cookies({"a": "b"})])
def test_cookies_become_a_header(cookies: Any):
    assert Request("GET", URL, headers={"A": "1"}, cookies=cookies).headers.raw == [
        HOST,
        (b"A", b"1"),
        (b"Cookie", b"a=b"),
    ]


def test_no_cookies_make_no_header():
    assert "cookie" not in Request("GET", URL, cookies={}).headers


# Requests: body.


@pytest.mark.parametrize(
    "bodies",
    [
        {"content": b"a", "json": 1},
        {"content": b"a", "data": {"a": "1"}},
        {"data": {"a": "1"}, "json": 1},
        {"files": {"a": b"1"}, "json": 1},
        {"files": {"a": b"1"}, "content": b"a"},
    ],
)
def test_more_than_one_body_is_a_type_error(bodies: dict[str, Any]):
    """Harm: 0.28.1 sent one of them and forgot the other without a word."""
    with pytest.raises(TypeError, match="are both given, but a request has one body"):
        Request("POST", URL, **bodies)


@pytest.mark.parametrize("content", [5, {"a": 1}, object(), io.StringIO("text")])
def test_content_of_a_wrong_type_is_a_type_error(content: Any):
    with pytest.raises(TypeError):
        Request("POST", URL, content=content)


@pytest.mark.parametrize("given", ["multipart/form-data", "Multipart/Form-Data", "multipart/form-data; charset=utf-8;"])
def test_a_multipart_type_without_a_boundary_is_completed(given: str):
    """Harm: no server can read a body whose boundary is not said; 0.28.1 sent the header as it was given."""
    request = Request("POST", URL, headers={"Content-Type": given}, files={"a": b"abc"})
    value = request.headers["Content-Type"]
    assert value.startswith(given.rstrip(";"))
    assert ";;" not in value
    boundary = value.partition("boundary=")[2]
    assert request.read().startswith(f"--{boundary}\r\n".encode())
    assert len(request.headers.get_list("Content-Type")) == 1


def test_another_type_and_a_boundary_of_the_callers_stay():
    for given in ("multipart/related", "multipart/form-data; boundary=abc"):
        request = Request("POST", URL, headers={"Content-Type": given}, files={"a": b"abc"})
        assert request.headers["Content-Type"] == given
    assert Request("POST", URL, headers={"Content-Type": "multipart/form-data"}, content=b"a").content == b"a"


def test_a_stream_is_taken_as_it_is_and_nothing_is_added_for_it():
    stream = Stream(b"abc")
    request = Request("POST", URL, headers={"A": "1"}, stream=stream)
    assert request.stream is stream
    assert request.headers.raw == [(b"A", b"1")]
    with pytest.raises(httpx.RequestNotRead):
        _ = request.content
    assert request.read() == b"abc"


def test_a_streaming_body_is_read_once_and_can_be_sent_again_then():
    request = Request("POST", URL, content=pieces())
    with pytest.raises(httpx.RequestNotRead):
        _ = request.content
    assert request.read() == request.read() == request.content == b"Hello, world!"
    assert [b"".join(request.stream) for _ in range(2)] == [b"Hello, world!"] * 2  # type: ignore[arg-type]


def test_a_body_in_memory_is_there_at_once_and_keeps_its_stream(run: Run):
    request = Request("POST", URL, content=b"abc")
    stream = request.stream
    assert request.content == request.read() == run(request.aread) == b"abc"
    assert request.stream is stream


def test_an_async_body_is_read_in_async_code(run: Run):
    async def main() -> None:
        request = Request("POST", URL, content=async_pieces())
        with pytest.raises(RuntimeError, match="async stream"):
            request.read()
        assert await request.aread() == await request.aread() == request.content == b"Hello, world!"
        for _ in range(2):
            assert b"".join([piece async for piece in request.stream]) == request.content  # type: ignore[union-attr]

    run(main)


def test_a_sync_body_can_be_read_in_async_code(run: Run):
    """0.28.1 raised here: a generator was no body for its async client."""
    assert run(Request("POST", URL, content=pieces()).aread) == b"Hello, world!"


@pytest.mark.parametrize("read", ["read", "aread"])
def test_a_stream_with_its_whole_body_keeps_its_place(read: str):
    stream = httpx.ByteStream(b"abc")
    request = Request("POST", URL, stream=stream)
    result = request.read() if read == "read" else run_without_loop(request.aread())
    assert result == b"abc"
    assert request.stream is stream


def test_extensions_are_copied():
    extensions = {"target": b"/"}
    request = Request("GET", URL, extensions=extensions)
    assert request.extensions == extensions
    assert request.extensions is not extensions
    assert Request("GET", URL).extensions == {}


def test_everything_can_be_set_later():
    request = Request("GET", URL)
    request.method = "PUT"
    request.url = httpx.URL("http://example.com/")
    request.headers = httpx.Headers({"A": "1"})
    request.extensions = {"a": 1}
    request.stream = Stream(b"x")
    assert repr(request) == "<Request('PUT', 'http://example.com/')>"


# Requests: repr and pickles.


def test_a_request_shows_method_and_url_but_no_secret():
    """Harm: tracebacks and logs show reprs, and keep them."""
    assert repr(Request("GET", URL)) == f"<Request('GET', '{URL}')>"
    shown = repr(Request("GET", "http://jo:hunter2@example.org/?q=1&api_key=k3y&token=t0k"))
    assert "hunter2" not in shown
    assert "k3y" not in shown
    assert "t0k" not in shown
    assert "q=1" in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_request_comes_out_of_a_pickle_ready_to_be_sent(protocol: int):
    request = Request("POST", URL, headers={"A": "1"}, json={"b": 2}, extensions={"trace": print})
    copied = pickle.loads(pickle.dumps(request, protocol))
    assert (copied.method, copied.url, copied.headers) == (request.method, request.url, request.headers)
    assert copied.headers.raw == request.headers.raw
    assert copied.content == b"".join(copied.stream) == b'{"b":2}'
    assert copied.extensions == {}


def test_a_body_that_was_not_read_does_not_go_into_a_pickle():
    copied = pickle.loads(pickle.dumps(Request("POST", URL, content=pieces())))
    with pytest.raises(httpx.RequestNotRead):
        _ = copied.content
    with pytest.raises(httpx.StreamClosed):
        copied.read()


def test_a_body_that_was_read_goes_into_a_pickle(run: Run):
    request = Request("POST", URL, content=pieces())
    request.read()
    copied = pickle.loads(pickle.dumps(request))
    assert copied.read() == run(copied.aread) == b"Hello, world!"


# What a client makes of a request without a body is what the constructor makes of it.


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"A": "1", "B": "2"},
        {"A": "1", "host": "other.example"},
        {"Host": "other.example", "A": "1"},
        {"Content-Length": "0"},
        {"Transfer-Encoding": "chunked", "A": "1"},
    ],
)
@pytest.mark.parametrize("url", [URL, "/path", "http://[::1]:80/"])
def test_the_short_way_to_a_request_leads_to_the_same_place(method: str, headers: dict[str, str], url: str):
    given = httpx.Headers(headers)
    short = Request._without_body(method, httpx.URL(url), given, {"a": 1})
    long = Request(method, url, headers=headers, extensions={"a": 1})
    assert short.headers.raw == long.headers.raw
    assert (short.method, short.url, short.extensions) == (long.method, long.url, long.extensions)
    assert short.content == long.content == short.read() == b""
    assert given.raw == httpx.Headers(headers).raw
    short.headers["C"] = "3"
    assert "c" not in given
