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
from httpx._content import in_async
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


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "QUERY", "post"])
@pytest.mark.parametrize("body", [{}, {"content": b""}, {"content": ""}, {"data": {}}, {"files": {}}, {"data": None}])
def test_a_method_with_a_body_says_so_when_there_is_none(method: str, body: dict[str, Any]):
    assert Request(method, URL, **body).headers.raw == [HOST, (b"Content-Length", b"0")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
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


# Copies.


def posted(**options: Any) -> Request:
    return Request("POST", URL, **{"headers": {"X-One": "1", "Authorization": "secret"}, "json": {"a": 1}, **options})


def test_a_copy_is_the_same_and_its_own():
    request = posted(extensions={"target": b"*", "sni_hostname": "a", "mark": 1})
    copied = request.copy_with()
    assert (copied.method, copied.url, copied.content) == ("POST", request.url, request.content)
    assert copied.headers.raw == request.headers.raw
    assert copied.extensions == request.extensions
    copied.headers["X-Two"] = "2"
    copied.extensions["more"] = True
    assert "x-two" not in request.headers
    assert "more" not in request.extensions


def test_a_copy_has_the_fields_that_are_added():
    copied = posted().copy_with(headers={"x-one": "2", "X-Two": "2", "Host": "virtual.example"})
    assert (copied.headers["x-one"], copied.headers["x-two"], copied.headers["host"]) == ("2", "2", "virtual.example")
    assert copied.headers["authorization"] == "secret"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://other.example/x", "https://other.example/x"),
        (httpx.URL("https://other.example/x"), "https://other.example/x"),
        ("/deep", "https://www.example.org/deep"),
        ("?q=1", "https://www.example.org/path?q=1"),
    ],
)
def test_the_url_of_a_copy_may_be_relative(url: Any, expected: str):
    assert str(Request("GET", "https://www.example.org/path").copy_with(url=url).url) == expected


SECRETS = {"Authorization": "a", "Cookie": "b=1", "Proxy-Authorization": "c", "X-Api-Key": "d", "X-Auth-Token": "e"}


def test_a_copy_for_another_origin_has_its_host_and_no_secrets():
    request = Request("GET", "https://www.example.org/", headers={"X-One": "1", **SECRETS})
    copied = request.copy_with(url="https://eu.example.org:8443/")
    assert copied.headers.raw == [(b"Host", b"eu.example.org:8443"), (b"X-One", b"1")]


def test_a_copy_for_another_origin_may_be_given_secrets():
    copied = posted().copy_with(url="https://eu.example.org/", headers={"Authorization": "other"})
    assert copied.headers["authorization"] == "other"


def test_a_copy_for_a_trusted_origin_keeps_all():
    request = Request("GET", "https://www.example.org/", headers=SECRETS)
    copied = request.copy_with(url="https://eu.example.org/", keep_secrets=True)
    assert dict(copied.headers) == {"host": "eu.example.org", **{name.lower(): SECRETS[name] for name in SECRETS}}


def test_trust_ends_with_the_next_origin():
    first = Request("GET", "https://www.example.org/", headers=SECRETS)
    trusted = first.copy_with(url="https://eu.example.org/", keep_secrets=True)
    assert trusted.copy_with(url="/other")._keeps_secrets
    stranger = trusted.copy_with(url="https://stranger.example/")
    assert not stranger._keeps_secrets
    assert dict(stranger.headers) == {"host": "stranger.example"}


def test_a_copy_on_the_same_origin_or_over_tls_keeps_secrets():
    plain = Request("GET", "http://www.example.org/", headers=SECRETS)
    for url in ("http://www.example.org/other", "https://www.example.org/"):
        assert plain.copy_with(url=url).headers["authorization"] == "a"
    assert "authorization" not in plain.copy_with(url="http://www.example.org:81/").headers


def test_extensions_that_were_meant_for_a_url_are_not_copied_to_another():
    request = Request("GET", "https://a/", extensions={"target": b"*", "sni_hostname": "a", "mark": 1})
    assert request.copy_with(url="/b").extensions == {"sni_hostname": "a", "mark": 1}
    assert request.copy_with(url="https://b/").extensions == {"mark": 1}


@pytest.mark.parametrize("method", ["GET", "HEAD", "TRACE"])
def test_a_method_without_a_body_leaves_it_out(method: str):
    copied = posted().copy_with(method=method)
    assert (copied.method, copied.content) == (method, b"")
    assert {"content-type", "content-length"}.isdisjoint(copied.headers)


def test_a_method_with_a_body_keeps_it():
    copied = posted().copy_with(method="put")
    assert (copied.method, copied.content, copied.headers["content-length"]) == ("PUT", b'{"a":1}', "7")
    assert Request("GET", URL).copy_with(method="POST").headers["content-length"] == "0"
    with pytest.raises(httpx.LocalProtocolError, match="is not a token"):
        posted().copy_with(method="P T")


def test_a_copy_with_another_body_says_how_long_that_is():
    headers = {"Content-Encoding": "gzip", "Content-MD5": "x", "Content-Digest": "y", "Content-Language": "de"}
    copied = posted(headers={"X-One": "1", **headers}).copy_with(content=b"four", headers={"X-Two": "2"})
    assert copied.content == b"four"
    assert dict(copied.headers) == {
        "host": "example.org",
        "x-one": "1",
        "content-type": "application/json",
        "content-language": "de",
        "content-length": "4",
        "x-two": "2",
    }


def test_a_copy_with_another_body_may_be_encoded():
    copied = posted().copy_with(content=b"zip", headers={"Content-Encoding": "gzip"})
    assert (copied.headers["content-encoding"], copied.headers["content-length"]) == ("gzip", "3")


def test_a_copy_may_have_a_streamed_body_or_none():
    streamed = posted().copy_with(content=pieces())
    assert streamed.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in streamed.headers
    assert streamed.read() == b"Hello, world!"
    assert streamed.copy_with(content=b"a").headers["content-length"] == "1"
    none = posted().copy_with(content=None)
    assert (none.content, none.headers["content-length"], "content-type" in none.headers) == (b"", "0", False)


def test_a_copy_shares_a_streamed_body():
    request = Request("POST", URL, content=[b"a", b"b"])
    copied = request.copy_with(headers={"X": "1"})
    assert copied.stream is request.stream
    assert copied.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in copied.headers
    with pytest.raises(httpx.RequestNotRead):
        copied.content  # noqa: B018  # raises


def test_cookies_of_a_request_alone_go_with_a_copy_on_the_same_origin():
    with httpx.Client() as client:
        request = client.build_request("GET", "https://a/", cookies={"own": "1"})
    assert request.copy_with(url="/b")._own_cookies is request._own_cookies
    assert request.copy_with(url="https://b/")._own_cookies is None
    assert request.copy_with(url="https://b/", keep_secrets=True)._own_cookies is request._own_cookies
    assert request.copy_with(url="https://b/")._home == request.url
    assert request.copy_with(url="https://b/", keep_secrets=True)._home == "https://b/"


def test_a_copy_can_be_pickled_and_belongs_to_no_call_then():
    copied = posted().copy_with(url="https://b/", keep_secrets=True)
    copied._call = 3
    again = pickle.loads(pickle.dumps(copied))
    assert (again._call, again._keeps_secrets) == (0, True)


# Bodies that can be sent again.


class Pipe(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return b""

    def seekable(self) -> bool:
        return False


class OldFile:
    """A file from before `seekable`."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def read(self, size: int = -1) -> bytes:
        return b""

    def tell(self) -> int:
        return 0

    def seek(self, position: int, whence: int = 0) -> None:
        if self.fails:
            raise OSError


class AsyncFile:
    def __init__(self, wrapped: Any) -> None:
        if wrapped is not None:
            self.wrapped = wrapped

    async def read(self, size: int = -1) -> bytes:
        return b""

    async def seek(self, position: int) -> None:
        pass


class BothWays:
    def __iter__(self) -> Any:
        yield b"a"

    async def __aiter__(self) -> Any:
        yield b"a"


@pytest.mark.parametrize(
    ("options", "replayable"),
    [
        ({}, True),
        ({"content": b"a"}, True),
        ({"content": "a"}, True),
        ({"json": {}}, True),
        ({"data": {"a": "1"}}, True),
        ({"content": [b"a"]}, True),
        ({"content": io.BytesIO(b"a")}, True),
        ({"content": OldFile()}, True),
        ({"content": BothWays()}, True),
        ({"content": AsyncFile(io.BytesIO(b"a"))}, True),
        ({"content": AsyncFile(None)}, True),
        ({"files": {"a": b"a", "b": io.BytesIO(b"b")}}, True),
        ({"content": pieces()}, False),
        ({"content": async_pieces()}, False),
        ({"content": Pipe()}, False),
        ({"content": OldFile(fails=True)}, False),
        ({"content": AsyncFile(Pipe())}, False),
        ({"content": iter([b"a"])}, False),
        ({"files": {"a": Pipe()}}, False),
        ({"stream": Stream()}, False),
    ],
)
def test_whether_a_body_can_be_sent_again_is_known(options: dict[str, Any], replayable: bool):
    assert Request("POST", URL, **options).is_replayable is replayable


def test_whether_a_body_can_be_sent_again_is_known_after_it_was_sent_too():
    file = Request("POST", URL, content=io.BytesIO(b"abc"))
    assert b"".join(file.stream) == b"abc"  # type: ignore[arg-type]  # a sync body
    assert file.is_replayable
    pipe = Request("POST", URL, content=Pipe())
    assert b"".join(pipe.stream) == b""  # type: ignore[arg-type]  # a sync body
    assert not pipe.is_replayable


def test_a_closed_file_cannot_be_sent_again():
    file = io.BytesIO(b"abc")
    request = Request("POST", URL, content=file)
    file.close()
    assert not request.is_replayable


def test_a_body_that_was_read_can_be_sent_again():
    request = Request("POST", URL, content=pieces())
    request.read()
    assert request.is_replayable


def test_a_body_that_an_async_client_has_wrapped_is_what_it_was():
    for content, replayable in (([b"a"], True), (pieces(), False)):
        request = Request("POST", URL, content=content)
        request.stream = in_async(request.stream)
        assert request.is_replayable is replayable


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
