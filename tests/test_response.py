"""
Responses without a client: their making, head, text, time and pickles.

Where httpx 0.28.1 does something else, the test's docstring says why; all the rest was compared with it as it runs.
"""

from __future__ import annotations

import copy
import datetime
import io
import json
import pickle
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import httpx
from httpx import _response
from httpx._request import Request
from httpx._response import Response
from support.bodies import (
    CHUNKED,
    JSON,
    KNOWN,
    LENGTH,
    TEXT,
    URL,
    Stream,
    async_pieces,
    bodies,
    close,
    collect,
    from_wire,
    pieces,
    read,
)
from support.drivers import Driver, run_without_loop

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an async function on a real event loop."""
    return Driver(request.param).run_bare


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


@pytest.mark.parametrize("status", [99999, 1000, 99, 0, -200, "99999", 200.7, 10**400])
def test_a_status_that_no_response_has_is_a_value_error(status: Any):
    """Harm: a typing error in a test's response went unnoticed, and the test passed for the wrong reason."""
    with pytest.raises(ValueError, match="status_code must be a whole number from 100 to 999, got"):
        Response(status)
    assert Response(100).status_code == 100
    assert Response(999).status_code == 999
    assert Response(200.0).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [b"/\r\nX-Two: 2", "/\nX-Two: 2", b"/\0"])
def test_a_target_with_a_line_break_is_refused_where_it_is_given(target: Any):
    """Not only where it would be sent: a transport of somebody's own may put it into a request line, too."""
    with pytest.raises(httpx.LocalProtocolError, match="the extension 'target' holds"):
        Request("GET", URL, extensions={"target": target})
    client = httpx.Client(transport=httpx.MockTransport(lambda request: Response(200)))
    with pytest.raises(httpx.LocalProtocolError, match="the extension 'target' holds"):
        client.get(URL, extensions={"target": target})
    with pytest.raises(TypeError, match="'target' must be bytes or str, got int"):
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
        (600, ()),
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
    with pytest.raises(httpx.HTTPStatusError, match=r"\nRedirect location: 'http://\[/\?token=\[secure\]'\n"):
        broken.raise_for_status()


@pytest.mark.parametrize(
    "location", ["http://jo:hunter2@example.org:99999/", "http://jo:hun/hunter2@[/", "//jo:hunter2@["]
)
def test_a_location_that_is_not_a_url_does_not_show_its_password(location: str):
    """Harm: the password of a URL with a typing error in it was shown in the exception, and went to error trackers."""
    response = Response(302, headers={"Location": location}, request=Request("GET", URL))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    assert "hunter2" not in str(caught.value)


def test_a_peers_part_of_a_message_is_short_and_printable():
    """Harm: an exception of 60,000 characters fills logs; an escape sequence in it takes over the terminal."""
    response = Response(
        302,
        headers={"Location": "/" + "a\x1b]0;" * 10_000},
        extensions={"reason_phrase": b"Found\x1b]0;title\x07" + b"a" * 60_000},
        request=Request("GET", URL + "a" * 10_000),
    )
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    message = str(caught.value)
    assert len(message) < 700
    assert message.replace("\n", "").isprintable()
    unusual = Response(404, extensions={"reason_phrase": b"NOT FOUND"}, request=Request("GET", URL))
    with pytest.raises(httpx.HTTPStatusError, match="'404 NOT FOUND'"):
        unusual.raise_for_status()
    long = Response(511, request=Request("GET", URL))
    with pytest.raises(httpx.HTTPStatusError, match="'511 Network Authentication Required'"):
        long.raise_for_status()


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
    with pytest.raises(RuntimeError, match="cannot call `raise_for_status`"):
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


@pytest.mark.parametrize(
    ("header", "links"),
    [
        ('<a>; REL="next"', {"next": {"url": "a", "rel": "next"}}),
        ("<a>; rel=next; Rel=prev", {"next": {"url": "a", "rel": "next"}}),
        (
            '<a>; title=",<b>"; rel=x, <c>; rel=y',
            {"x": {"url": "a", "title": ",<b>", "rel": "x"}, "y": {"url": "c", "rel": "y"}},
        ),
        ('<a>; rel=x; title="open, <b>; rel=y', {"x": {"url": "a", "rel": "x"}, "y": {"url": "b", "rel": "y"}}),
        ("<a<b>; rel=x", {"x": {"url": "a<b", "rel": "x"}}),
        ("<a", {}),
    ],
)
def test_links_with_strange_parts(header: str, links: Any):
    assert Response(200, headers={"Link": header}).links == links


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
    with pytest.raises(ValueError, match="cannot set `encoding` after"):
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
    assert isinstance(Response.stream, _response._StreamOfWhole)


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
    with pytest.raises(RuntimeError, match="`elapsed` is only set"):
        _ = response.elapsed
    response.elapsed = datetime.timedelta(seconds=3)
    assert response.elapsed == pickle.loads(pickle.dumps(response)).elapsed == datetime.timedelta(seconds=3)


@pytest.mark.parametrize("body", ["one piece", "from the wire", "gzip"])
@pytest.mark.parametrize("how", ["read", "aread", "close", "aclose"])
def test_the_time_goes_on_until_the_body_is_closed(monkeypatch: pytest.MonkeyPatch, body: str, how: str):
    response = bodies()[body]
    response._started, response._seconds = 1.0, 2.0
    assert response.elapsed.total_seconds() == 2.0
    monkeypatch.setattr(_response, "perf_counter", lambda: 6.0)
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


def test_the_repr_shows_little_of_a_reason_phrase():
    response = Response(200, extensions={"reason_phrase": b"\x1b]0;x\x07" + b"a" * 60_000})
    assert repr(response) == r"<Response [200 \x1b]0;x\x07" + "a" * 14 + "...]>"
    assert repr(Response(511)) == "<Response [511 Network Authentication Required]>"
