"""
Requests and responses without a client.

Where httpx 0.28.1 does something else, the test's docstring says why; all the rest was compared with it as it runs.
"""

from __future__ import annotations

import asyncio
import copy
import datetime
import gc
import gzip
import io
import json
import pickle
import warnings
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import httpx
from httpx import _models
from httpx._models import MAX_DRAIN, Request, Response
from support.drivers import Driver, run_without_loop

URL = "http://example.org/path?x=1"
HOST = (b"Host", b"example.org")

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an async function on a real event loop."""
    return Driver(request.param).run_bare


def pieces() -> Iterator[bytes]:
    yield b"Hello, "
    yield b"world!"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"Hello, "
    yield b"world!"


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body both ways, that knows whether it was closed."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


class OnlySync(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        return pieces()


class OnlyAsync(httpx.AsyncByteStream):
    def __aiter__(self) -> AsyncIterator[bytes]:
        return async_pieces()


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


LENGTH = (b"Content-Length", b"3")
JSON = (b"Content-Type", b"application/json")
FORM = (b"Content-Type", b"application/x-www-form-urlencoded")
CHUNKED = (b"Transfer-Encoding", b"chunked")


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


# Responses: making.


@pytest.mark.parametrize(
    ("body", "content", "fields"),
    [
        ({}, b"", []),
        ({"content": b"abc"}, b"abc", [LENGTH]),
        ({"content": "ä"}, "ä".encode(), [(b"Content-Length", b"2")]),
        ({"content": b""}, b"", []),
        ({"text": "äb"}, "äb".encode(), [LENGTH, (b"Content-Type", b"text/plain; charset=utf-8")]),
        ({"html": "<p>"}, b"<p>", [LENGTH, (b"Content-Type", b"text/html; charset=utf-8")]),
        ({"json": [1]}, b"[1]", [LENGTH, JSON]),
        ({"json": 0}, b"0", [(b"Content-Length", b"1"), JSON]),
        ({"json": None}, b"", []),
        ({"content": b"abc", "text": "no", "json": 1}, b"abc", [LENGTH]),
        ({"text": "abc", "html": "no"}, b"abc", [LENGTH, (b"Content-Type", b"text/plain; charset=utf-8")]),
    ],
)
def test_a_response_is_made_with_a_body_that_is_read_at_once(body: dict[str, Any], content: bytes, fields: Any):
    response = Response(200, headers={"A": "1"}, **body)
    assert response.headers.raw == [(b"A", b"1"), *fields]
    assert response.content == response.read() == content
    assert response.is_closed
    assert response.is_stream_consumed
    assert response.num_bytes_downloaded == 0


@pytest.mark.parametrize("content", [pieces, async_pieces, lambda: [b"a"], lambda: io.BytesIO(b"a")])
def test_a_body_that_streams_is_not_read(content: Callable[[], Any]):
    response = Response(200, content=content())
    assert not response.is_closed
    assert not response.is_stream_consumed
    with pytest.raises(httpx.ResponseNotRead):
        _ = response.content
    with pytest.raises(httpx.ResponseNotRead):
        _ = response.text
    with pytest.raises(httpx.ResponseNotRead):
        response.json()
    assert not hasattr(response, "_content")


def test_the_framing_of_a_response_is_not_contradicted():
    assert Response(200, content=pieces()).headers.raw == [CHUNKED]
    assert Response(200, headers={"Content-Length": "13"}, content=pieces()).headers.raw == [
        (b"Content-Length", b"13"),
    ]
    assert Response(200, headers={"Content-Type": "a/b"}, json=1).headers["content-type"] == "a/b"


def test_a_stream_of_a_response_is_taken_as_it_is():
    stream = Stream(b"a")
    response = Response(200, stream=stream)
    assert response.stream is stream
    assert response.headers.raw == []


def test_a_response_has_what_it_was_given():
    request = Request("GET", URL)
    history, extensions = [Response(302)], {"http_version": b"HTTP/2"}
    response = Response(200, request=request, history=history, extensions=extensions, default_encoding="latin-1")
    assert response.request is request
    assert response.url == URL
    assert response.history == history
    assert response.history is not history
    assert response.extensions == extensions
    assert response.extensions is not extensions
    assert response.default_encoding == "latin-1"
    assert response.next_request is None
    bare = Response(200)
    assert (bare.history, bare.extensions, bare.default_encoding) == ([], {}, "utf-8")


@pytest.mark.parametrize("attribute", ["request", "url"])
def test_a_response_without_a_request_says_so(attribute: str):
    response = Response(200)
    assert response._request is None
    with pytest.raises(RuntimeError, match="no request is attached"):
        getattr(response, attribute)
    response.request = Request("GET", URL)
    assert response.url == URL


@pytest.mark.parametrize("status", [200, "200", httpx.codes.OK])
def test_a_status_is_a_number(status: Any):
    """A str was a TypeError in 0.28.1, but only once somebody compared the status."""
    response = Response(status)
    assert response.status_code == 200
    assert type(response.status_code) is int
    assert repr(response) == "<Response [200 OK]>"


@pytest.mark.parametrize("status", ["", "two hundred", None, float("inf"), float("nan"), [], b"\xff"])
def test_a_status_that_is_no_number_is_a_type_error(status: Any):
    with pytest.raises(TypeError):
        Response(status)


@pytest.mark.parametrize("target", [b"/\r\nX-Two: 2", "/\nX-Two: 2", b"/\0"])
def test_a_target_with_a_line_break_is_refused_where_it_is_given(target: Any):
    """Not only where it would be sent: a transport of somebody's own may put it into a request line, too."""
    with pytest.raises(httpx.LocalProtocolError, match="the extension 'target' holds"):
        Request("GET", URL, extensions={"target": target})
    client = httpx.Client(transport=httpx.MockTransport(lambda request: Response(200)))
    with pytest.raises(httpx.LocalProtocolError, match="the extension 'target' holds"):
        client.get(URL, extensions={"target": target})
    with pytest.raises(TypeError, match="'target' must be bytes or str, not int"):
        Request("GET", URL, extensions={"target": 1})


@pytest.mark.parametrize("extensions", ["timeout", [("timeout", 1)], 1])
def test_extensions_are_a_mapping(extensions: Any):
    with pytest.raises(TypeError, match="extensions must be a mapping"):
        Request("GET", URL, extensions=extensions)
    with pytest.raises(TypeError, match="extensions must be a mapping"):
        Response(200, extensions=extensions)


KINDS = ("is_informational", "is_success", "is_redirect", "is_client_error", "is_server_error", "is_error")


@pytest.mark.parametrize(
    ("status", "true"),
    [
        (99, ()),
        (100, ("is_informational",)),
        (199, ("is_informational",)),
        (200, ("is_success",)),
        (299, ("is_success",)),
        (300, ("is_redirect",)),
        (399, ("is_redirect",)),
        (400, ("is_client_error", "is_error")),
        (499, ("is_client_error", "is_error")),
        (500, ("is_server_error", "is_error")),
        (599, ("is_server_error", "is_error")),
        (600, ()),
    ],
)
def test_kinds_of_status(status: int, true: tuple[str, ...]):
    response = Response(status)
    assert tuple(kind for kind in KINDS if getattr(response, kind)) == true


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 200, 201])
def test_a_redirect_has_somewhere_to_go(status: int):
    assert not Response(status).has_redirect_location
    with_location = Response(status, headers={"Location": "/"})
    assert with_location.has_redirect_location is (status in (301, 302, 303, 307, 308))


def test_version_and_reason_come_from_the_transport():
    assert Response(404).http_version == "HTTP/1.1"
    assert Response(404).reason_phrase == "Not Found"
    assert Response(299).reason_phrase == ""
    response = Response(404, extensions={"http_version": b"HTTP/2", "reason_phrase": b"N\xffope"})
    assert response.http_version == "HTTP/2"
    assert response.reason_phrase == "Nope"
    assert repr(response) == "<Response [404 Nope]>"


# Responses: raise_for_status.


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (101, "Informational response '101 Switching Protocols'"),
        (301, "Redirect response '301 Moved Permanently'"),
        (304, "Redirect response '304 Not Modified'"),
        (404, "Client error '404 Not Found'"),
        (503, "Server error '503 Service Unavailable'"),
        (600, "Invalid status code '600 '"),
        (99, "Invalid status code '99 '"),
    ],
)
def test_every_status_but_2xx_is_an_error_whose_message_people_match(status: int, words: str):
    """The words are 0.28.1's: they are in test suites and in alerting rules."""
    response = Response(status, request=Request("GET", URL))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    assert str(caught.value) == (
        f"{words} for url '{URL}'\nFor more information check: "
        f"https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/{status}"
    )
    assert caught.value.request is response.request
    assert caught.value.response is response


def test_a_redirect_says_where_to_but_no_secret():
    """Harm: a signed URL in an exception ends in the error tracker."""
    response = Response(302, headers={"Location": "/login?token=s3cret"}, request=Request("GET", URL))
    with pytest.raises(httpx.HTTPStatusError, match=r"\nRedirect location: '/login\?token=\[secure\]'\n") as caught:
        response.raise_for_status()
    assert "s3cret" not in str(caught.value)
    broken = Response(302, headers={"Location": "http://[/?token=s3cret"}, request=Request("GET", URL))
    with pytest.raises(httpx.HTTPStatusError, match=r"\nRedirect location: 'http://\[/'\n"):
        broken.raise_for_status()


def test_the_url_of_an_error_hides_its_password():
    response = Response(500, request=Request("GET", "http://jo:hunter2@example.org/?key=k3y"))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    assert "hunter2" not in str(caught.value)
    assert "k3y" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success_returns_the_response_itself(status: int):
    response = Response(status, request=Request("GET", URL))
    assert response.raise_for_status() is response


@pytest.mark.parametrize("header", ["If-None-Match", "If-Modified-Since"])
def test_a_304_that_was_asked_for_is_no_error(header: str):
    """0.28.1 raised for the very answer that the caller had asked for."""
    response = Response(304, request=Request("GET", URL, headers={header: "x"}))
    assert response.raise_for_status() is response
    with pytest.raises(httpx.HTTPStatusError):
        Response(404, request=response.request).raise_for_status()


def test_raise_for_status_needs_a_request():
    with pytest.raises(RuntimeError, match="needs the request"):
        Response(200).raise_for_status()


# Responses: cookies and links.


def test_cookies_are_taken_from_the_headers_once():
    headers = [("Set-Cookie", "a=b; Path=/"), ("Set-Cookie", "c=d")]
    response = Response(200, headers=headers, request=Request("GET", URL))
    assert dict(response.cookies) == {"a": "b", "c": "d"}
    assert response.cookies is response.cookies
    assert dict(pickle.loads(pickle.dumps(response)).cookies) == {"a": "b", "c": "d"}


def test_no_cookies_need_no_request():
    assert not Response(200).cookies
    with pytest.raises(RuntimeError):
        _ = Response(200, headers={"Set-Cookie": "a=b"}).cookies


NEXT = {"url": "http://a/", "rel": "next"}
NEXT_A = {"url": "a", "rel": "next"}


@pytest.mark.parametrize(
    ("header", "links"),
    [
        ("<http://a/>; rel=next", {"next": NEXT}),
        ('<http://a/>; rel="next"', {"next": NEXT}),
        ("<http://a/>; rel='next'", {"next": NEXT}),
        ("<http://a/>;rel=next;rel=prev", {"next": NEXT}),  # RFC 8288 3.3: later ones are ignored
        (' < http://a/ > ; rel = "next" , <b>;rel=prev', {"next": NEXT, "prev": {"url": "b", "rel": "prev"}}),
        ("<http://a/>", {"http://a/": {"url": "http://a/"}}),
        ('<http://a/>; rel=""', {"http://a/": {"url": "http://a/", "rel": ""}}),
        (
            '<http://a,b/>; rel="x"; title="a, b; c"',
            {"x": {"url": "http://a,b/", "rel": "x", "title": "a, b; c"}},
        ),
        ('<a>; rel=x; title="say \\"hi\\""', {"x": {"url": "a", "rel": "x", "title": 'say "hi"'}}),
        ("<a>; rel=next; flag, <b>; rel=last", {"next": NEXT_A, "last": {"url": "b", "rel": "last"}}),
        ("<a>; rel=next, <b>; rel=next", {"next": {"url": "b", "rel": "next"}}),
        ("", {}),
        ("garbage", {}),
        ("<unfinished", {}),
    ],
)  # fmt: skip
def test_links(header: str, links: Any):
    assert Response(200, headers={"Link": header}).links == links


def test_a_link_with_several_relations_is_found_under_each():
    """0.28.1 filed it under "next prev", where nobody looks."""
    links = Response(200, headers={"Link": '<http://a/>; rel="next prev"'}).links
    assert links == {"next": {"url": "http://a/", "rel": "next prev"}, "prev": {"url": "http://a/", "rel": "next prev"}}


def test_links_of_several_headers_and_of_none():
    assert set(Response(200, headers=[("Link", "<a>; rel=next"), ("Link", "<b>; rel=prev")]).links) == {"next", "prev"}
    assert Response(200).links == {}


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]) | st.sampled_from('<>;,="\\ rel'), max_size=60))
def test_no_link_header_is_too_strange(header: str):
    for name, link in Response(200, headers={"Link": header}).links.items():
        assert isinstance(name, str)
        assert "url" in link


@settings(max_examples=20)
@given(st.sampled_from(['<a>;"', "<", ';x="\\', "<a>; a=", ",", "<a>;;;;", "'"]), st.integers(1000, 3000))
def test_long_link_headers_take_no_time_to_speak_of(part: str, count: int):
    """Harm: a header of some kilobytes that keeps a core busy for minutes."""
    assert Response(200, headers={"Link": part * count}).links is not None


# Responses: text.


@pytest.mark.parametrize(
    ("content_type", "charset", "encoding"),
    [
        (None, None, "utf-8"),
        ("text/plain", None, "utf-8"),
        ("text/plain; charset=utf-8", "utf-8", "utf-8"),
        ("text/plain;charset=UTF-8", "utf-8", "utf-8"),
        ('text/plain; charset="Latin-1"', "latin-1", "latin-1"),
        ("text/plain; charset='latin-1'", "latin-1", "latin-1"),
        ("text/plain; CHARSET = iso-8859-1 ; x=y", "iso-8859-1", "iso-8859-1"),
        ("charset=latin-1", "latin-1", "latin-1"),
        ("text/plain; xcharset=latin-1", None, "utf-8"),
        ("text/plain; charset=", None, "utf-8"),
        ('text/plain; charset=""', None, "utf-8"),
        # A label that is no text encoding falls back, never raises (0.28.1 raised for `hex`).
        ("text/plain; charset=nope", "nope", "utf-8"),
        ("text/plain; charset=hex", "hex", "utf-8"),
        ("text/plain; charset=zlib", "zlib", "utf-8"),
        ("text/plain; charset=rot13", "rot13", "utf-8"),
        ("text/plain; charset=a\tb", "a", "utf-8"),
    ],
)
def test_the_encoding_comes_from_the_content_type(content_type: str | None, charset: str | None, encoding: str):
    headers = {} if content_type is None else {"Content-Type": content_type}
    content = "é".encode("latin-1" if encoding in ("latin-1", "iso-8859-1") else "utf-8")
    response = Response(200, headers=headers, content=content)
    assert response.charset_encoding == charset
    assert response.encoding == encoding
    assert response.text == "é"
    streamed = Response(200, headers=headers, content=[content[:1], content[1:]])
    assert "".join(streamed.iter_text()) == "é"


def test_what_cannot_be_decoded_is_replaced():
    assert Response(200, content=b"a\xffb").text == "a\ufffdb"
    assert "".join(Response(200, content=[b"a\xff", b"b"]).iter_text()) == "a\ufffdb"
    assert Response(200, content=b"\xff\xfeab\x00", headers={"Content-Type": "a/b; charset=utf-16"}).text


def test_text_is_empty_where_there_is_no_body():
    assert Response(200).text == ""
    assert list(Response(200).iter_text()) == []
    assert list(Response(200).iter_lines()) == []


def test_text_is_decoded_once():
    response = Response(200, text="abc")
    assert response.text is response.text


def test_the_encoding_can_be_set_until_the_text_is_used():
    response = Response(200, content=b"\xe9")
    response.encoding = "latin-1"
    assert response.encoding == "latin-1"
    assert response.text == "é"
    with pytest.raises(ValueError, match="cannot be set any more"):
        response.encoding = "utf-8"


def test_an_encoding_that_is_not_known_falls_back():
    """0.28.1 raised LookupError, also for what a detector guessed from a peer's bytes."""
    response = Response(200, content=b"a\xe9")
    response.encoding = "nope"
    assert response.text == "a\ufffd"
    assert Response(200, content=b"a", default_encoding="nope").text == "a"


def test_the_default_encoding_may_be_a_function_of_the_body():
    seen = []

    def guess(content: bytes) -> str:
        seen.append(content)
        return "latin-1"

    response = Response(200, content=b"\xe9", default_encoding=guess)
    assert response.text == "é"
    assert response.encoding == "latin-1"
    assert seen == [b"\xe9"]
    labelled = Response(
        200, headers={"Content-Type": "a/b; charset=utf-8"}, content="é".encode(), default_encoding=guess
    )
    assert labelled.text == "é"
    assert len(seen) == 1


def test_a_body_that_streams_is_not_there_to_be_guessed_from():
    response = Response(200, content=[b"\xe9"], default_encoding=lambda content: "latin-1")
    assert response.encoding == "utf-8"
    assert "".join(response.iter_text()) == "\ufffd"
    read = Response(200, content=[b"\xe9"], default_encoding=lambda content: "latin-1")
    read.read()
    assert read.text == "é"


def test_a_function_that_finds_no_encoding_means_utf_8():
    response = Response(200, content="é".encode(), default_encoding=lambda content: None)  # type: ignore[arg-type, return-value]
    assert response.encoding == "utf-8"
    assert response.text == "é"


def test_without_any_encoding_text_is_utf_8():
    response = Response(200, content="é".encode(), default_encoding="")
    assert response.text == "é"
    streamed = Response(200, content=["é".encode()], default_encoding="")
    assert "".join(streamed.iter_text()) == "é"


# Responses: JSON.


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
def test_json_is_read_in_each_of_its_encodings(encoding: str):
    assert Response(200, content='{"a": "é"}'.encode(encoding)).json() == {"a": "é"}


def test_options_go_to_the_json_parser():
    assert Response(200, content=b"[1.5]").json(parse_float=str) == ["1.5"]


@pytest.mark.parametrize("content", [b"", b"{", b"nope", b"{} {}"])
def test_what_is_no_json_is_a_value_error(content: bytes):
    with pytest.raises(json.JSONDecodeError):
        Response(200, content=content).json()


def test_json_that_is_no_text_is_a_value_error():
    with pytest.raises(UnicodeDecodeError):
        Response(200, content=b'"\xff"').json()


# Responses: reading and streaming, sync and async alike.


def reader(response: Response, is_async: bool) -> Any:
    """`read`, whichever way."""
    return response.aread if is_async else response.read


async def collect(response: Response, is_async: bool, method: str, *args: Any) -> list[Any]:
    """What one of the iterators yields, whichever way."""
    if is_async:
        return [item async for item in getattr(response, "a" + method)(*args)]
    return list(getattr(response, method)(*args))


async def read(response: Response, is_async: bool) -> bytes:
    return await response.aread() if is_async else response.read()


async def close(response: Response, is_async: bool) -> None:
    if is_async:
        await response.aclose()
    else:
        response.close()


TEXT = b"Hello, world!\nsecond line\r\nthird"
GZIPPED = gzip.compress(TEXT)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def bodies() -> dict[str, Response]:
    """The same text in many forms."""
    coded = {"Content-Encoding": "gzip"}
    already = Response(200, stream=Stream(*cut(TEXT, 4)))
    already.read()
    return {
        "in memory": Response(200, content=TEXT),
        "in memory, gzip": Response(200, content=GZIPPED, headers=coded),
        "already read": already,
        "one piece": Response(200, stream=Stream(TEXT)),
        "many pieces": Response(200, stream=Stream(*cut(TEXT, 3))),
        "empty pieces": Response(200, stream=Stream(b"", TEXT, b"")),
        "gzip": Response(200, stream=Stream(GZIPPED), headers=coded),
        "gzip, byte by byte": Response(200, stream=Stream(*cut(GZIPPED, 1)), headers=coded),
        "unknown coding": Response(200, stream=Stream(TEXT), headers={"Content-Encoding": "x-unknown"}),
        "stacked": Response(
            200,
            stream=Stream(*cut(gzip.compress(zlib.compress(TEXT)), 5)),
            headers={"Content-Encoding": "deflate, gzip"},
        ),
        "from the wire": from_wire(TEXT),
        "gzip from the wire": from_wire(GZIPPED, (b"Content-Encoding", b"gzip")),
    }


def from_wire(body: Any, *fields: tuple[bytes, bytes]) -> Response:
    """As the engines make it."""
    return Response._from_wire((200, b"OK", list(fields), b"HTTP/1.1"), bool(fields), body, None)


KNOWN = tuple(bodies())


@pytest.mark.parametrize("body", KNOWN)
def test_reading_gives_the_body(driver: Driver, body: str):
    async def main() -> None:
        response = bodies()[body]
        assert await read(response, driver.is_async) == TEXT
        assert await read(response, driver.is_async) is response.content
        assert response.text == TEXT.decode()
        assert response.is_closed
        assert response.is_stream_consumed

    driver.run_bare(main)


@pytest.mark.parametrize("body", KNOWN)
@pytest.mark.parametrize("size", [(), (None,), (1,), (5,), (1000,)])
def test_iterating_gives_the_body_in_pieces(body: str, size: tuple[Any, ...]):
    for is_async in (False, True):
        response = bodies()[body]
        got = run_without_loop(collect(response, is_async, "iter_bytes", *size))
        assert b"".join(got) == TEXT
        assert all(got)
        if size and size[0] is not None:
            assert [len(piece) for piece in got[:-1]] == [size[0]] * (len(got) - 1)
        assert response.is_closed
        response = bodies()[body]
        texts = run_without_loop(collect(response, is_async, "iter_text", *size))
        assert "".join(texts) == TEXT.decode()
        if size and size[0] is not None:
            assert [len(piece) for piece in texts[:-1]] == [size[0]] * (len(texts) - 1)
        response = bodies()[body]
        lines = run_without_loop(collect(response, is_async, "iter_lines"))
        assert lines == ["Hello, world!", "second line", "third"]


def test_empty_lines_are_lines_and_empty_pieces_are_none():
    """Harm: an empty line ends an event of a server-sent stream."""
    for is_async in (False, True):
        streamed = Response(200, stream=Stream(b"a\n", b"", b"\nb\r\n\r\n"))
        for response in (Response(200, content=b"a\n\nb\r\n\r\n"), streamed):
            assert run_without_loop(collect(response, is_async, "iter_lines")) == ["a", "", "b", ""]
        response = Response(200, stream=Stream(b"", b"a", b""))
        assert run_without_loop(collect(response, is_async, "iter_raw")) == [b"a"]


@pytest.mark.parametrize("body", KNOWN)
def test_raw_bytes_are_those_of_the_wire_and_can_be_had_once(body: str):
    for is_async in (False, True):
        response = bodies()[body]
        if response.is_closed:
            with pytest.raises(httpx.StreamConsumed):
                run_without_loop(collect(response, is_async, "iter_raw"))
            continue
        expected = GZIPPED if "gzip" in body else None
        got = b"".join(run_without_loop(collect(response, is_async, "iter_raw", 4)))
        assert got == (expected or got)
        assert response.num_bytes_downloaded == len(got)
        for again in ("iter_raw", "iter_bytes", "iter_text", "iter_lines"):
            with pytest.raises(httpx.StreamConsumed):
                run_without_loop(collect(response, is_async, again))
        with pytest.raises(httpx.StreamConsumed):
            run_without_loop(read(response, is_async))
        with pytest.raises(httpx.ResponseNotRead):
            _ = response.content


def test_bytes_are_counted_as_they_arrive_and_before_decoding():
    for is_async in (False, True):
        response = bodies()["gzip, byte by byte"]
        assert response.num_bytes_downloaded == 0
        run_without_loop(read(response, is_async))
        assert response.num_bytes_downloaded == len(GZIPPED)


def test_progress_can_be_seen_while_streaming():
    response = Response(200, stream=Stream(b"ab", b"cde"))
    assert [response.num_bytes_downloaded for _ in response.iter_bytes()] == [2, 5]


@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize("method", ["iter_raw", "iter_bytes", "iter_text"])
def test_a_size_that_makes_no_sense_is_refused(method: str, size: int):
    """Harm: 0.28.1 yielded empty pieces, or lost all but the first."""
    for is_async in (False, True):
        with pytest.raises(ValueError):
            run_without_loop(collect(Response(200, content=b"abc"), is_async, method, size))


@pytest.mark.parametrize("method", ["iter_bytes", "iter_text", "iter_lines"])
def test_a_body_that_was_read_can_be_iterated_again_and_again(method: str):
    for is_async in (False, True):
        response = Response(200, content=TEXT)
        first = run_without_loop(collect(response, is_async, method))
        assert run_without_loop(collect(response, is_async, method)) == first


@pytest.mark.parametrize("method", ["iter_raw", "iter_bytes", "iter_text", "iter_lines"])
def test_a_response_that_was_closed_has_no_body(method: str):
    for is_async in (False, True):
        response = Response(200, stream=Stream(b"a"))
        run_without_loop(close(response, is_async))
        with pytest.raises(httpx.StreamClosed):
            run_without_loop(collect(response, is_async, method))
        with pytest.raises(httpx.StreamClosed):
            run_without_loop(read(response, is_async))


def test_closing_closes_the_stream_once():
    for is_async in (False, True):
        stream = Stream(b"a")
        response = Response(200, stream=stream)
        for _ in range(2):
            run_without_loop(close(response, is_async))
        assert stream.closed == 1
        assert response.is_closed
        assert not response.is_stream_consumed


@pytest.mark.parametrize("method", ["iter_raw", "iter_bytes", "iter_text", "iter_lines"])
def test_iterating_on_over_a_response_that_was_closed_is_an_error(method: str):
    """Harm otherwise: half a body passes for a whole one."""
    response = Response(200, stream=Stream(b"a\n", b"b\n"))
    pieces = getattr(response, method)()
    next(pieces)
    response.close()
    with pytest.raises(httpx.StreamClosed):
        list(pieces)

    async def in_async_code() -> None:
        response = Response(200, stream=Stream(b"a\n", b"b\n"))
        pieces = getattr(response, f"a{method}")()
        await pieces.__anext__()
        await response.aclose()
        with pytest.raises(httpx.StreamClosed):
            async for _ in pieces:
                pass

    run_without_loop(in_async_code())


def test_a_body_that_came_whole_was_not_cut_by_closing():
    for is_async in (False, True):
        response = Response._from_wire((200, b"OK", [], b"HTTP/1.1"), False, b"all", None)

        async def scenario(response: Response = response, is_async: bool = is_async) -> None:
            if is_async:
                pieces = response.aiter_raw()
                assert await pieces.__anext__() == b"all"
                await response.aclose()
                assert [piece async for piece in pieces] == []
            else:
                rest = response.iter_raw()
                assert next(rest) == b"all"
                response.close()
                assert list(rest) == []

        run_without_loop(scenario())


def test_a_body_read_to_its_end_closes_the_stream_and_one_given_up_does_not():
    for is_async in (False, True):
        stream = Stream(b"a", b"b")
        response = Response(200, stream=stream)
        run_without_loop(collect(response, is_async, "iter_raw"))
        assert (stream.closed, response.is_closed) == (1, True)
    stream = Stream(b"a", b"b")
    response = Response(200, stream=stream)
    assert next(response.iter_raw()) == b"a"
    assert (stream.closed, response.is_closed) == (0, False)
    response.close()
    assert stream.closed == 1


def test_a_sync_body_in_async_code_is_refused_and_the_other_way_round():
    sync, asynchronous = Response(200, stream=OnlySync()), Response(200, stream=OnlyAsync())
    for method in ("iter_raw", "iter_bytes", "iter_text", "iter_lines"):
        with pytest.raises(RuntimeError, match="is a sync stream"):
            run_without_loop(collect(sync, True, method))
        with pytest.raises(RuntimeError, match="is an async stream"):
            run_without_loop(collect(asynchronous, False, method))
    with pytest.raises(RuntimeError):
        run_without_loop(sync.aread())
    with pytest.raises(RuntimeError):
        asynchronous.read()
    with pytest.raises(RuntimeError, match="belongs to a sync client"):
        run_without_loop(sync.aclose())
    with pytest.raises(RuntimeError, match="belongs to an async client"):
        asynchronous.close()
    # None of it has touched the bodies.
    assert sync.read() == run_without_loop(asynchronous.aread()) == b"Hello, world!"


def test_what_was_used_up_is_consumed_whichever_way_it_is_asked_for_again():
    response = Response(200, stream=OnlySync())
    response.read()
    with pytest.raises(httpx.StreamConsumed):
        run_without_loop(collect(response, True, "iter_raw"))


# Responses: errors in the body.


@pytest.mark.parametrize("method", ["iter_bytes", "iter_text", "iter_lines"])
def test_a_decoding_error_knows_its_request(method: str):
    for is_async in (False, True):
        for stream in (Stream(b"no gzip at all"), Stream(GZIPPED[:-3])):
            request = Request("GET", URL)
            response = Response(200, headers={"Content-Encoding": "gzip"}, stream=stream, request=request)
            with pytest.raises(httpx.DecodingError) as caught:
                run_without_loop(collect(response, is_async, method))
            assert caught.value.request is request


def test_too_many_codings_are_a_decoding_error_that_knows_its_request():
    for is_async in (False, True):
        request = Request("GET", URL)
        headers = {"Content-Encoding": ", ".join(["gzip"] * 6)}
        response = Response(200, headers=headers, stream=Stream(b""), request=request)
        with pytest.raises(httpx.DecodingError) as caught:
            run_without_loop(read(response, is_async))
        assert caught.value.request is request


def test_a_decoding_error_without_a_request_is_still_one():
    for is_async in (False, True):
        response = Response(200, headers={"Content-Encoding": "gzip"}, stream=Stream(b"no gzip"))
        with pytest.raises(httpx.DecodingError):
            run_without_loop(read(response, is_async))


def test_a_body_in_memory_that_does_not_decode_is_an_error_at_once():
    with pytest.raises(httpx.DecodingError):
        Response(200, headers={"Content-Encoding": "gzip"}, content=b"no gzip")


class Failing(Stream):
    """Fails in the middle, and again when it is closed."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"
        raise httpx.ReadError("gone")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"
        raise httpx.ReadError("gone")

    def close(self) -> None:
        raise httpx.CloseError("stuck")

    async def aclose(self) -> None:
        raise httpx.CloseError("stuck")


def test_errors_of_a_stream_know_the_request():
    for is_async in (False, True):
        request = Request("GET", URL)
        response = Response(200, stream=Failing(), request=request)
        with pytest.raises(httpx.ReadError) as caught:
            run_without_loop(read(response, is_async))
        assert caught.value.request is request
        assert not response.is_closed
        with pytest.raises(httpx.CloseError) as stuck:
            run_without_loop(close(response, is_async))
        assert stuck.value.request is request


# Responses: iterators that are abandoned.


@pytest.mark.parametrize("make", [lambda: Stream(b"a", b"b"), OnlyAsync])
def test_an_iterator_can_be_abandoned_without_a_warning(run: Run, make: Callable[[], Any]):
    """Harm: trio warns of async generators that it has to finish, asyncio finishes them in a task of its own."""

    async def main() -> None:
        response = Response(200, stream=make())
        async for _ in response.aiter_text():
            break
        await response.aclose()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main)
        gc.collect()


def test_a_generator_that_is_given_up_runs_its_finally_before_the_stream_is_closed(run: Run):
    order: list[str] = []

    class Careful(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                yield b"a"
                yield b"b"
            finally:
                order.append("generator")

        async def aclose(self) -> None:
            order.append("stream")

    async def main() -> None:
        response = Response(200, stream=Careful())
        async for _ in response.aiter_raw():
            break
        assert order == []
        await response.aclose()

    run(main)
    assert order == ["generator", "stream"]


def test_a_response_can_be_closed_while_another_task_reads_it():
    """Harm: an async generator that is running cannot be closed; that must not keep the stream from being."""
    closed = []

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            closed.append(True)

    async def main() -> None:
        response = Response(200, stream=Slow())
        task = asyncio.ensure_future(response.aread())
        for _ in range(3):
            await asyncio.sleep(0)
        await response.aclose()
        assert closed == [True]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_an_iterator_can_be_closed_before_and_while_it_is_used():
    async def main() -> None:
        response = Response(200, stream=Stream(b"a", b"b"))
        unused = response.aiter_bytes()
        await unused.aclose()  # type: ignore[attr-defined]
        assert [piece async for piece in unused] == []
        used = response.aiter_bytes()
        assert await used.__anext__() == b"a"
        await used.aclose()  # type: ignore[attr-defined]
        assert [piece async for piece in used] == []
        await response.aclose()

    run_without_loop(main())


def test_an_iterator_that_is_at_its_end_stays_there():
    async def main() -> None:
        iterator = Response(200, content=b"a").aiter_bytes()
        assert [piece async for piece in iterator] == [b"a"]
        assert [piece async for piece in iterator] == []

    run_without_loop(main())


# Responses: limits.


@pytest.mark.parametrize(
    "body", [name for name in KNOWN if name not in ("in memory", "in memory, gzip", "already read")]
)
def test_a_body_that_is_too_large_is_not_kept(body: str):
    for is_async in (False, True):
        response = bodies()[body]
        response.request = Request("GET", URL)
        response._max_size = len(TEXT) - 1
        with pytest.raises(httpx.ReadError, match="larger than max_response_size, 31 bytes") as caught:
            run_without_loop(read(response, is_async))
        assert caught.value.request.url == URL
        assert not hasattr(response, "_content")
        response = bodies()[body]
        response._max_size = len(TEXT)
        assert run_without_loop(read(response, is_async)) == TEXT


# Responses: what is not asked for (redirects).


async def drain(response: Response, is_async: bool) -> None:
    if is_async:
        await response._adrain()
    else:
        response._drain()


@pytest.mark.parametrize("body", KNOWN)
def test_a_drained_response_is_off_the_wire_and_readable_all_the_same(body: str):
    for is_async in (False, True):
        for how in ("content", "read", "aread", "iter_bytes", "aiter_text", "pickle", "text"):
            response = bodies()[body]
            run_without_loop(drain(response, is_async))
            run_without_loop(drain(response, is_async))
            assert response.is_closed
            assert response.is_stream_consumed
            if how in ("read", "aread"):
                assert run_without_loop(read(response, how == "aread")) == TEXT
            elif how == "iter_bytes":
                assert b"".join(response.iter_bytes()) == b"".join(response.iter_bytes()) == TEXT
            elif how == "aiter_text":
                assert "".join(run_without_loop(collect(response, True, "iter_text"))) == TEXT.decode()
            elif how == "pickle":
                response = pickle.loads(pickle.dumps(response))
            elif how == "text":
                assert response.text == TEXT.decode()
            assert response.content == TEXT
            with pytest.raises(httpx.StreamConsumed):
                list(response.iter_raw())


def test_a_body_that_nobody_asked_for_is_not_decoded():
    """Harm: a redirect with a decompression bomb for a body (CVE-2025-66471) costs nothing until somebody looks."""
    for is_async in (False, True):
        response = Response(
            302, headers={"Content-Encoding": "gzip"}, stream=Stream(b"no gzip"), request=Request("GET", URL)
        )
        run_without_loop(drain(response, is_async))
        for ask in ("content", "text", "read", "json", "iter_bytes"):
            with pytest.raises(httpx.DecodingError) as caught:
                ask_for(response, ask)
            assert caught.value.request.url == URL


def ask_for(response: Response, name: str) -> Any:
    value = getattr(response, name)
    return list(value() if callable(value) else value)


def test_the_limit_holds_for_a_drained_body_too():
    response = bodies()["gzip"]
    response._drain()
    response._max_size = 5
    with pytest.raises(httpx.ReadError, match="max_response_size"):
        _ = response.content


@pytest.mark.parametrize("is_async", [False, True])
def test_a_large_body_that_nobody_asked_for_is_given_up(is_async: bool):
    """Harm: a redirect with an endless body would be read for ever. A new connection is cheaper."""
    part = b"x" * (MAX_DRAIN // 4)
    for count, is_kept in ((4, True), (5, False)):
        stream = Stream(*[part] * count)
        response = Response(302, stream=stream)
        run_without_loop(drain(response, is_async))
        assert response.is_closed
        assert stream.closed == 1
        if is_kept:
            assert response.content == part * count
        else:
            with pytest.raises(httpx.ResponseNotRead):
                _ = response.content
            with pytest.raises(httpx.StreamConsumed):
                response.read()


def test_a_response_that_was_closed_is_not_drained():
    response = Response(302, stream=Stream(b"a"))
    response.close()
    response._drain()
    run_without_loop(response._adrain())
    with pytest.raises(httpx.ResponseNotRead):
        _ = response.content


# Responses: from the wire.


def test_a_whole_body_from_the_wire_has_a_stream_when_somebody_asks():
    response = from_wire(b"abc")
    assert response.status_code == 200
    assert response.extensions == {"http_version": b"HTTP/1.1", "reason_phrase": b"OK", "network_stream": None}
    assert isinstance(response.stream, httpx.ByteStream)
    assert response.stream is response.stream
    assert list(response.iter_raw()) == [b"abc"]
    read = from_wire(b"abc")
    read.read()
    assert b"".join(read.stream) == b"abc"  # type: ignore[arg-type]
    assert isinstance(Response.stream, _models._StreamOfWhole)


def test_a_stream_from_the_wire_is_the_stream():
    stream = Stream(b"a")
    response = from_wire(stream)
    assert response.stream is stream
    assert response.read() == b"a"


def test_a_whole_body_that_was_thrown_away_does_not_come_back_as_an_empty_one():
    """Harm: a cache that makes a response readable again would store nothing as if it were the body."""
    response = from_wire(b"abc")
    response.read()
    del response._content
    response.is_closed = response.is_stream_consumed = False
    with pytest.raises(httpx.StreamClosed):
        response.read()


def test_content_that_a_hook_has_put_in_place_of_the_body_stays():
    for is_async in (False, True):
        response = from_wire(b"abc")
        response._content = b"other"
        assert run_without_loop(read(response, is_async)) == b"other"


# Responses: time.


def test_the_time_is_known_only_of_what_a_client_received():
    response = Response(200)
    with pytest.raises(RuntimeError, match="`elapsed` is known only"):
        _ = response.elapsed
    response.elapsed = datetime.timedelta(seconds=3)
    assert response.elapsed == pickle.loads(pickle.dumps(response)).elapsed == datetime.timedelta(seconds=3)


@pytest.mark.parametrize("body", ["one piece", "from the wire", "gzip"])
@pytest.mark.parametrize("how", ["read", "aread", "close", "aclose"])
def test_the_time_goes_on_until_the_body_is_closed(monkeypatch: pytest.MonkeyPatch, body: str, how: str):
    response = bodies()[body]
    response._started, response._seconds = 1.0, 2.0
    assert response.elapsed.total_seconds() == 2.0
    monkeypatch.setattr(_models, "perf_counter", lambda: 6.0)
    if how.endswith("read"):
        run_without_loop(read(response, how == "aread"))
    else:
        run_without_loop(close(response, how == "aclose"))
    assert response.elapsed.total_seconds() == 5.0


def test_a_time_that_was_set_stays(monkeypatch: pytest.MonkeyPatch):
    response = bodies()["one piece"]
    response._started, response._seconds = 1.0, 2.0
    response.elapsed = datetime.timedelta(seconds=7)
    response.read()
    assert response.elapsed.total_seconds() == 7.0


# Responses: what other packages do to them.


def test_a_response_can_be_made_readable_again():
    """pytest_httpx and httpx-cache do this."""
    for is_async in (False, True):
        response = Response(200, content=b"abc")
        assert hasattr(response, "_content")
        del response._content
        response.is_closed = response.is_stream_consumed = False
        assert not hasattr(response, "_content")
        assert run_without_loop(collect(response, is_async, "iter_bytes")) == [b"abc"]
        assert response.num_bytes_downloaded == 3
        assert response.is_closed


def test_content_that_is_replaced_is_what_json_and_text_see():
    """huggingface_hub's tests do this."""
    response = Response(200, content=b"abc")
    response._content = b'{"a": 1}'
    assert response.json() == {"a": 1}
    assert response.text == '{"a": 1}'
    assert response.content == response.read() == b'{"a": 1}'


def test_what_other_packages_set_can_be_set():
    response, request = Response(200, content=b"abc"), Request("GET", URL)
    response.is_closed = False
    response.is_stream_consumed = False
    response.stream = stream = Stream(b"new")
    response.request = request
    response.status_code = 404
    response.headers = httpx.Headers({"A": "1"})
    response.extensions = {"a": 1}
    response.history = [Response(302)]
    response.next_request = request
    del response._content
    assert response.stream is stream
    assert response.read() == b"new"
    assert response._request is request
    assert response.is_client_error


def test_a_response_is_true_whatever_its_status():
    assert Response(404)


# Responses: pickles.


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("body", KNOWN)
def test_a_response_that_was_read_comes_out_of_a_pickle_whole(body: str, protocol: int):
    response = bodies()[body]
    response.request = Request("POST", URL, content=b"sent")
    response.history = [Response(302, text="moved")]
    response.read()
    copied = pickle.loads(pickle.dumps(response, protocol))
    assert copied.content == copied.read() == TEXT
    assert copied.text == TEXT.decode()
    assert (copied.status_code, copied.headers.raw) == (200, response.headers.raw)
    assert (copied.is_closed, copied.is_stream_consumed, copied.next_request) == (True, True, None)
    assert (copied.request.content, copied.url) == (b"sent", URL)
    assert copied.history[0].text == "moved"
    assert list(copied.iter_bytes()) == [TEXT]
    copied.close()
    run_without_loop(copied.aclose())


def test_a_pickle_keeps_of_the_extensions_what_is_not_a_connection():
    """0.28.1 dropped them all, and an HTTP/2 answer came out as HTTP/1.1."""
    kept = {"http_version": b"HTTP/2", "reason_phrase": b"Fine", "trailers": [(b"A", b"1")]}
    response = Response(200, extensions={**kept, "network_stream": object(), "trace": print})
    assert pickle.loads(pickle.dumps(response)).extensions == kept


@pytest.mark.parametrize("make", [lambda: Response(200, content=pieces()), lambda: from_wire(b"abc")])
def test_a_body_that_was_not_read_is_gone_from_a_pickle(make: Callable[[], Response]):
    copied = pickle.loads(pickle.dumps(make()))
    assert copied.is_closed
    with pytest.raises(httpx.ResponseNotRead):
        _ = copied.content
    for is_async in (False, True):
        with pytest.raises(httpx.StreamClosed):
            run_without_loop(read(copied, is_async))


def test_a_pickle_is_made_in_the_middle_of_a_stream(run: Run):
    async def main() -> None:
        response = Response(200, stream=Stream(b"a", b"b"))
        async for _ in response.aiter_raw():
            copied = pickle.loads(pickle.dumps(response))
            break
        assert copied.is_stream_consumed
        await response.aclose()

    run(main)


def test_a_response_can_be_copied():
    assert copy.copy(Response(200, text="abc")).text == "abc"


def test_classes_are_where_other_packages_look_for_them():
    assert Request.__module__ == Response.__module__ == "httpx"
    assert _models.Headers is httpx.Headers
    assert _models.Cookies is httpx.Cookies
