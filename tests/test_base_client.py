"""
What both clients have in common: configuration, and how a request is made of it. No request is sent here but to a
function.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import warnings
from typing import Any
from unittest import mock

import pytest

import httpx
from httpx import _clock
from httpx._base_client import (
    BaseClient,
    ClientState,
    UseClientDefault,
    afinished,
    finished,
    ordered_mounts,
    transport_for,
)
from httpx._engine.limits import total_of
from httpx._proxies import Bypass, BypassPattern
from support.drivers import Driver, run_without_loop

URL = "http://example.org/path"


@pytest.fixture(params=[httpx.Client, httpx.AsyncClient])
def kind(request: pytest.FixtureRequest) -> Any:
    """Each of the two classes."""
    return request.param


def answering(status: int = 200, **options: Any) -> httpx.Client:
    """A client that gets one answer to everything."""
    return httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(status)), **options)


# Configuration.


def test_defaults_are_those_of_0_28_1(kind: Any):
    client = kind()
    assert list(client.headers.raw) == [
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", client.headers["accept-encoding"].encode()),
        (b"Connection", b"keep-alive"),
        (b"User-Agent", f"python-httpx/{httpx.__version__}".encode()),
    ]
    assert client.headers["accept-encoding"].startswith("gzip, deflate")
    assert client.params == httpx.QueryParams()
    assert dict(client.cookies) == {}
    assert client.timeout == httpx.Timeout(5.0)
    assert client.auth is None
    assert client.base_url == ""
    assert client.trust_env is True
    assert client.follow_redirects is False
    assert client.max_redirects == 20
    assert client.is_closed is False
    assert client.event_hooks == {"request": [], "response": []}
    assert isinstance(client, BaseClient)


def test_each_setting_is_taken_and_can_be_changed(kind: Any):
    client = kind(
        headers={"A": "1"}, params={"b": "2"}, cookies={"c": "3"}, timeout=7, auth=("jo", "secret"), trust_env=False
    )
    assert client.headers["a"] == "1"
    assert client.params == httpx.QueryParams("b=2")
    assert dict(client.cookies) == {"c": "3"}
    assert client.timeout == httpx.Timeout(7)
    assert isinstance(client.auth, httpx.BasicAuth)
    assert client.trust_env is False
    client.headers = {"A": "4"}
    client.params = {"b": "5"}
    client.cookies = {"c": "6"}
    client.timeout = (1, 2, 3, 4)
    client.auth = None
    request = client.build_request("GET", URL)
    assert request.headers["a"] == "4"
    assert request.headers["user-agent"].startswith("python-httpx/")
    assert request.url.query == b"b=5"
    assert request.headers["cookie"] == "c=6"
    assert client.timeout == httpx.Timeout((1, 2, 3, 4))
    assert client.auth is None


@pytest.mark.parametrize("setting", ["trust_env", "is_closed"])
def test_what_is_decided_when_the_client_is_made_cannot_be_set(setting: str):
    with pytest.raises(AttributeError):
        setattr(httpx.Client(), setting, True)


def test_a_client_takes_keywords_only(kind: Any):
    with pytest.raises(TypeError):
        kind(URL)
    with pytest.raises(TypeError):
        kind(unknown=1)


def test_settings_are_copies_of_what_was_given():
    headers, cookies, hooks = httpx.Headers({"A": "1"}), httpx.Cookies({"c": "1"}), {"request": [print]}
    client = httpx.Client(headers=headers, cookies=cookies, event_hooks=hooks)
    client.headers["B"] = "2"
    client.cookies.set("d", "2")
    client.event_hooks["request"].append(repr)
    assert "b" not in headers
    assert "d" not in cookies
    assert hooks == {"request": [print]}


def test_the_default_for_arguments_shows_what_it_is():
    default = httpx.USE_CLIENT_DEFAULT
    assert repr(default) == "USE_CLIENT_DEFAULT"
    assert isinstance(default, UseClientDefault)
    assert pickle.loads(pickle.dumps(default)) is copy.deepcopy(default) is default


def test_a_client_can_be_copied_as_it_was_configured():
    client = httpx.Client(headers={"A": "1"}, base_url="http://example.org/api", params={"b": "2"})
    client.build_request("GET", "/x")
    client.close()
    for other in (pickle.loads(pickle.dumps(client)), copy.deepcopy(client)):
        assert not other.is_closed
        request = other.build_request("GET", "/x")
        assert request.url == "http://example.org/api/x?b=2"
        assert request.headers["a"] == "1"
        other.close()


# Event hooks.


@pytest.mark.parametrize(
    "setting",
    [
        {"event_hooks": "request"},
        {"event_hooks": [print]},
        {"sensitive_headers": "X-Api-Key"},  # a string is an iterable of strings: its letters would be protected
        {"sensitive_headers": b"X-Api-Key"},
        {"sensitive_headers": [b"X-Api-Key"]},
        {"auth": ()},
        {"auth": ("jo",)},
        {"auth": ("jo", "secret", "more")},
        {"headers": "Accept: text/html"},
        {"limits": 10},
        {"limits": None},
        {"proxy": b"http://127.0.0.1:1"},
        {"proxy": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_a_setting_of_the_wrong_type_is_a_type_error_at_once(kind: Any, setting: Any):
    with pytest.raises(TypeError):
        kind(**setting)


class Later:
    """Something to be awaited that is no coroutine."""

    def __await__(self) -> Any:
        return iter(())


def test_what_a_hook_returned_is_taken_by_the_kind_of_client_that_it_is_for():
    async def hook() -> None:
        pass

    finished(None)
    for returned in (hook(), Later()):
        with pytest.raises(TypeError, match="Client hooks must not be async"):
            finished(returned)
    run_without_loop(afinished(hook()))
    run_without_loop(afinished(Later()))
    with pytest.raises(TypeError, match="AsyncClient hooks must be async functions"):
        run_without_loop(afinished(None))


def test_hooks_are_named_by_their_event():
    client = httpx.Client(event_hooks={"request": [print]})
    assert client.event_hooks == {"request": [print], "response": []}
    client.event_hooks = {"response": [repr], "1xx": [str]}
    assert client.event_hooks == {"request": [], "response": [repr], "1xx": [str]}


def test_hooks_for_interim_answers_are_there_once_somebody_asks():
    """0.28.1 has two kinds, and code compares the dictionary; the third must not be in its way."""
    client = httpx.Client()
    assert "1xx" not in client.event_hooks
    client.event_hooks["1xx"].append(print)
    assert client.event_hooks == {"request": [], "response": [], "1xx": [print]}
    with pytest.raises(KeyError):
        client.event_hooks["unknown"]


@pytest.mark.parametrize(
    ("hooks", "hooked"),
    [({}, False), ({"request": []}, False), *[({name: [print]}, True) for name in ("request", "response", "1xx")]],
)
def test_a_journey_knows_whether_there_are_hooks(hooks: Any, hooked: bool):
    assert httpx.Client(event_hooks=hooks)._policy().hooked is hooked


# URLs.

ASKED = ("", "/", "x", "/x", "x/y?q=1", "?q=2", "../up", "/a%20b/ c", "/x//y", "http://b.example", "HTTP://B.example/")
# Base -> what 0.28.1 makes of each of these with it.
MERGED = {
    "": ["/", "/", "/x", "/x", "/x/y?q=1", "/?q=2", "/../up", "/a%20b/%20c", "/x//y"],
    "/prefix": [
        *("/prefix/", "/prefix/", "/prefix/x", "/prefix/x", "/prefix/x/y?q=1", "/prefix/?q=2", "/prefix/../up"),
        *("/prefix/a%20b/%20c", "/prefix/x//y"),
    ],
    "http://a.example": [
        *("http://a.example/", "http://a.example/", "http://a.example/x", "http://a.example/x"),
        *("http://a.example/x/y?q=1", "http://a.example/?q=2", "http://a.example/up", "http://a.example/a%20b/%20c"),
        "http://a.example/x//y",
    ],
    "http://a.example/api/": [
        *("http://a.example/api/", "http://a.example/api/", "http://a.example/api/x", "http://a.example/api/x"),
        *("http://a.example/api/x/y?q=1", "http://a.example/api/?q=2", "http://a.example/up"),
        *("http://a.example/api/a%20b/%20c", "http://a.example/api/x//y"),
    ],
    "http://a.example/api?k=v": [
        *("http://a.example/api?k=v/", "http://a.example/api?k=v/", "http://a.example/api?k=v/x"),
        *("http://a.example/api?k=v/x", "http://a.example/api?k=v/x/y?q=1", "http://a.example/api?k=v/?q=2"),
        *("http://a.example/api?k=v/../up", "http://a.example/api?k=v/a%20b/%20c", "http://a.example/api?k=v/x//y"),
    ],
    "https://u:p@[::1]:443/b#frag": [
        *("https://u:p@[::1]/b/#frag", "https://u:p@[::1]/b/#frag", "https://u:p@[::1]/b/x#frag"),
        *("https://u:p@[::1]/b/x#frag", "https://u:p@[::1]/b/x/y?q=1#frag", "https://u:p@[::1]/b/?q=2#frag"),
        *("https://u:p@[::1]/up#frag", "https://u:p@[::1]/b/a%20b/%20c#frag", "https://u:p@[::1]/b/x//y#frag"),
    ],
}
ABSOLUTE = ["http://b.example", "http://b.example/"]


@pytest.mark.parametrize("base", MERGED)
@pytest.mark.parametrize("index", range(len(ASKED)))
def test_relative_urls_are_appended_to_the_base(kind: Any, base: str, index: int):
    client = kind(base_url=base)
    expected = (MERGED[base] + ABSOLUTE)[index]
    for url in (ASKED[index], ASKED[index], httpx.URL(ASKED[index])):
        assert str(client.build_request("GET", url).url) == expected
    assert str(client._merge_url(ASKED[index])) == expected


@pytest.mark.parametrize(
    ("url", "merged"),
    [
        # What names no scheme or no host is relative, and only its path and query count, as in 0.28.1.
        ("//other.example/z", "http://a.example/z"),
        ("#fragment", "http://a.example/"),
        ("x#fragment", "http://a.example/x"),
        ("http:", "http://a.example/"),
        ("mailto:jo@b.example", "http://a.example/jo@b.example"),
    ],
)
def test_strange_relative_urls(url: str, merged: str):
    assert str(httpx.Client(base_url="http://a.example").build_request("GET", url).url) == merged


def test_a_base_can_be_changed_and_always_ends_in_a_slash():
    """Harm: a URL that was merged before would go on to the old host."""
    client = httpx.Client(base_url="http://a.example/api")
    assert client.base_url == "http://a.example/api/"
    assert str(client.build_request("GET", "/x").url) == "http://a.example/api/x"
    client.base_url = httpx.URL("http://b.example")
    assert client.base_url == "http://b.example"
    assert str(client.build_request("GET", "/x").url) == "http://b.example/x"


@pytest.mark.parametrize("base", [None, 5, b"http://a.example"])
def test_a_base_that_is_no_url_is_a_type_error(base: Any):
    with pytest.raises(TypeError):
        httpx.Client(base_url=base)


def test_merged_urls_are_remembered_but_not_without_end():
    client = httpx.Client(base_url="http://a.example")
    for number in range(1000):
        assert client.build_request("GET", f"/{number}").url == f"http://a.example/{number}"
    assert len(client._merged_urls) <= 256
    assert client.build_request("GET", "/999").url is client.build_request("GET", "/999").url
    long = "/" + "x" * 5000
    client.build_request("GET", long)
    assert long not in client._merged_urls


# Merging.


@pytest.mark.parametrize("body", [{}, {"content": b"x"}])
@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (None, [(b"X-A", b"1"), (b"X-B", b"2")]),
        ({}, [(b"X-A", b"1"), (b"X-B", b"2")]),
        ({"x-a": "3"}, [(b"X-B", b"2"), (b"x-a", b"3")]),
        ([("x-a", "3"), ("x-a", "4")], [(b"X-B", b"2"), (b"x-a", b"3"), (b"x-a", b"4")]),
        ({b"X-C": b"5"}, [(b"X-A", b"1"), (b"X-B", b"2"), (b"X-C", b"5")]),
        (httpx.Headers({"X-C": "5"}), [(b"X-A", b"1"), (b"X-B", b"2"), (b"X-C", b"5")]),
    ],
)
def test_headers_of_the_request_replace_those_of_the_client(kind: Any, given: Any, fields: Any, body: dict[str, Any]):
    client = kind(headers={"X-A": "1", "X-B": "2"})
    raw = client.build_request("GET", URL, headers=given, **body).headers.raw
    length = [(b"Content-Length", b"1")] if body else []
    assert raw == [
        (b"Host", b"example.org"),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", client.headers["accept-encoding"].encode()),
        (b"Connection", b"keep-alive"),
        (b"User-Agent", client.headers["user-agent"].encode()),
        *fields,
        *length,
    ]


def test_a_default_header_is_replaced_in_the_callers_casing():
    client = httpx.Client(headers={"user-AGENT": "me"})
    assert client.build_request("GET", URL, headers={"ACCEPT": "x/y"}).headers.raw == [
        (b"Host", b"example.org"),
        (b"Accept-Encoding", client.headers["accept-encoding"].encode()),
        (b"Connection", b"keep-alive"),
        (b"user-AGENT", b"me"),
        (b"ACCEPT", b"x/y"),
    ]


def test_merging_nothing_gives_a_copy():
    client = httpx.Client(headers={"A": "1"})
    merged = client._merge_headers()
    assert merged == client.headers
    assert merged is not client.headers


@pytest.mark.parametrize(
    ("mine", "given", "url", "query"),
    [
        (None, None, URL + "?x=1", b"x=1"),
        (None, {}, URL + "?x=1", b""),
        (None, "", URL + "?x=1", b""),
        (None, {"b": "2"}, URL + "?x=1", b"b=2"),
        ({"a": "1"}, None, URL, b"a=1"),
        ({"a": "1"}, None, URL + "?x=1", b"a=1"),
        ({"a": "1"}, {}, URL + "?x=1", b"a=1"),
        ({"a": "1"}, {"b": "2"}, URL + "?x=1", b"a=1&b=2"),
        ({"a": "1"}, [("a", "2"), ("a", "3")], URL, b"a=2&a=3"),
        ("a=1&a=2", "b=3", URL, b"a=1&a=2&b=3"),
    ],
)
def test_params_are_merged_and_replace_the_query(kind: Any, mine: Any, given: Any, url: str, query: bytes):
    assert kind(params=mine).build_request("GET", url, params=given).url.query == query


@pytest.mark.parametrize(
    ("mine", "given", "field"),
    [
        (None, None, None),
        (None, {"b": "2"}, "b=2"),
        ({"a": "1"}, None, "a=1"),
        ({"a": "1"}, {"b": "2"}, "a=1; b=2"),
        ({"a": "1"}, {"a": "2"}, "a=2"),
        ({"a": "1"}, [("b", "2")], "a=1; b=2"),
        (httpx.Cookies({"a": "1"}), httpx.Cookies({"b": "2"}), "a=1; b=2"),
    ],
)
def test_cookies_are_merged_for_the_request_only(kind: Any, mine: Any, given: Any, field: str | None):
    client = kind(cookies=mine)
    assert client.build_request("GET", URL, cookies=given).headers.get("cookie") == field
    assert dict(client.cookies) == dict(mine or {})


@pytest.mark.parametrize("timeout", [None, 7, (1, 2, 3, 4), httpx.Timeout(3, connect=1), httpx.Timeout(3, total=9)])
def test_the_timeout_is_the_requests_or_the_clients(kind: Any, timeout: Any):
    expected = httpx.Timeout(timeout).as_dict()
    assert kind(timeout=timeout).build_request("GET", URL).extensions == {"timeout": expected}
    assert kind(timeout=99).build_request("GET", URL, timeout=timeout).extensions == {"timeout": expected}
    client = kind()
    client.timeout = timeout
    assert client.build_request("GET", URL, timeout=httpx.USE_CLIENT_DEFAULT).extensions == {"timeout": expected}


def test_extensions_are_the_requests_own_and_may_hold_the_timeout():
    given = {"trace": print}
    client = httpx.Client()
    first = client.build_request("GET", URL, extensions=given)
    second = client.build_request("GET", URL)
    assert first.extensions == {"trace": print, "timeout": client.timeout.as_dict()}
    assert given == {"trace": print}
    first.extensions["timeout"]["read"] = 99
    assert second.extensions["timeout"]["read"] == client.timeout.read == 5.0
    own = {"timeout": {"read": 1}}
    assert client.build_request("GET", URL, timeout=9, extensions=own).extensions == own


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ({}, b""),
        ({"content": b"abc"}, b"abc"),
        ({"data": {"a": "1"}}, b"a=1"),
        ({"json": 1}, b"1"),
        ({"files": {}}, b""),
    ],
)
@pytest.mark.parametrize("method", ["POST", "post", b"POST"])
def test_a_body_goes_into_the_request(kind: Any, body: dict[str, Any], content: bytes, method: Any):
    request = kind().build_request(method, URL, **body)
    assert request.method == "POST"
    assert request.read() == content
    assert request.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("method", ["G ET", "GET\r\nX: y", ""])
def test_a_method_that_is_no_token_is_refused(kind: Any, method: str):
    """Harm: a method with a line break in it puts a second request on the connection."""
    with pytest.raises(httpx.LocalProtocolError):
        kind().build_request(method, URL)


# Authentication.


@pytest.mark.parametrize(
    ("auth", "cls"),
    [
        (("jo", "secret"), httpx.BasicAuth),
        ((b"jo", b"secret"), httpx.BasicAuth),
        (lambda request: request, httpx.FunctionAuth),
        (httpx.DigestAuth("jo", "secret"), httpx.DigestAuth),
        (None, type(None)),
    ],
)
def test_kinds_of_auth(kind: Any, auth: Any, cls: type):
    assert type(kind(auth=auth).auth) is cls
    client = kind()
    client.auth = auth
    assert type(client.auth) is cls


@pytest.mark.parametrize("auth", ["jo:secret", 5, ["jo", "secret"], {"jo": "secret"}, b"x"])
def test_what_cannot_be_auth_is_a_type_error_that_does_not_show_it(kind: Any, auth: Any):
    for use in (lambda: kind(auth=auth), lambda: setattr(kind(), "auth", auth)):
        with pytest.raises(TypeError, match=r"`auth` is \w+, not a ") as caught:
            use()
        assert "secret" not in str(caught.value)
    with pytest.raises(TypeError):
        answering().get(URL, auth=auth)


BASIC = "Basic am86c2VjcmV0"


@pytest.mark.parametrize(
    ("mine", "options", "url", "sent"),
    [
        (None, {}, "http://example.org/", None),
        (("jo", "secret"), {}, "http://example.org/", BASIC),
        (None, {"auth": ("jo", "secret")}, "http://example.org/", BASIC),
        (("other", "one"), {"auth": ("jo", "secret")}, "http://example.org/", BASIC),
        (("other", "one"), {"auth": None}, "http://example.org/", None),
        (None, {}, "http://jo:secret@example.org/", BASIC),
        (None, {"auth": None}, "http://jo:secret@example.org/", BASIC),
        (("other", "one"), {"auth": None}, "http://jo:secret@example.org/", BASIC),
        (("jo", "secret"), {}, "http://other:one@example.org/", BASIC),
        (None, {"auth": ("jo", "secret")}, "http://other:one@example.org/", BASIC),
        (("jo", "secret"), {"auth": httpx.USE_CLIENT_DEFAULT}, "http://example.org/", BASIC),
        (("jo", "secret"), {"headers": {"Authorization": "mine"}}, "http://example.org/", BASIC),
        (None, {"headers": {"Authorization": "mine"}}, "http://example.org/", "mine"),
        # What is in a URL is percent-decoded once, as text.
        (None, {}, "http://j%6F:secret@example.org/", BASIC),
        (None, {}, "http://jo:%2520@example.org/", "Basic am86JTIw"),
        (None, {}, "http://%C3%A9@example.org/", "Basic w6k6"),
        (None, {}, "http://:x@example.org/", "Basic Ong="),
        (None, {}, "http://:@example.org/", None),
        (None, {}, "http://@example.org/", None),
    ],
)
def test_which_credentials_are_sent(mine: Any, options: dict[str, Any], url: str, sent: str | None):
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200)

    with httpx.Client(auth=mine, transport=httpx.MockTransport(answer)) as client:
        client.get(url, **options)
    assert seen == [sent]


# Mounts.


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("all://", "abcdef"),
        ("", "abcdef"),
        ("http://", "acdef"),
        ("https://", "b"),
        ("all://a.example", "abe"),
        ("all://*.a.example", "c"),
        ("all://*a.example", "abce"),
        ("all://*:8080", "e"),
        ("http://a.example:8080", "e"),
        ("all://[::1]", "f"),
        ("https://b.example", ""),
    ],
)
def test_a_mounted_transport_gets_the_urls_of_its_pattern(pattern: str, fits: str):
    urls = {
        "a": "http://a.example/",
        "b": "https://a.example/",
        "c": "http://www.a.example/",
        "d": "http://ba.example/",
        "e": "http://a.example:8080/",
        "f": "http://[::1]/",
    }
    mounted, default = object(), object()
    mounts = ordered_mounts({pattern: mounted})
    assert (
        "".join(name for name, url in urls.items() if transport_for(mounts, httpx.URL(url), default) is mounted) == fits
    )


def test_the_pattern_that_says_most_is_asked_first():
    patterns = [
        "all://",
        "http://",
        "all://*.a.example",
        "all://a.example",
        "https://a.example",
        "http://a.example:8080",
    ]
    ordered = ordered_mounts(dict.fromkeys(patterns))
    assert [pattern.pattern for pattern in ordered] == [
        "http://a.example:8080",
        "all://*.a.example",
        "https://a.example",
        "all://a.example",
        "http://",
        "all://",
    ]


def test_nothing_mounted_means_the_clients_own_transport():
    default = object()
    assert transport_for(ordered_mounts({"all://": None}), httpx.URL(URL), default) is default
    assert transport_for({}, httpx.URL(URL), default) is default


def test_no_proxy_alone_leaves_nothing_to_ask_for_each_request():
    assert ordered_mounts({BypassPattern(Bypass("a.org")): None}) == {}
    assert len(ordered_mounts({BypassPattern(Bypass("a.org")): None, "all://": "mine"})) == 2


class Recording(httpx.Client):
    """A client whose proxies are not there, only remembered."""

    def _init_proxy_transport(self, proxy: Any, **network: Any) -> httpx.BaseTransport:
        transport = httpx.BaseTransport()
        transport.proxy = proxy  # type: ignore[attr-defined]
        return transport


@pytest.mark.parametrize(
    ("proxies", "by_url"),
    [
        ({"http": "http://one"}, {"http://a.example": "http://one", "https://a.example": None}),
        ({"http://": "http://one"}, {"http://a.example": "http://one", "https://a.example": None}),
        ({"https": "http://one", "all://": "http://two"}, {"http://a.example": "http://two", "https://a.example": "http://one"}),
        ({"all://": "http://one", "all://a.example": None}, {"http://a.example": None, "http://b.example": "http://one"}),
        ("http://one", {"http://a.example": "http://one", "https://b.example": "http://one"}),
    ],
)  # fmt: skip
def test_the_old_way_to_name_proxies(proxies: Any, by_url: dict[str, str | None]):
    """0.28.1 refused `proxies=`; the manuals still show it, with keys of both kinds."""
    with pytest.warns(DeprecationWarning, match="`proxies` is deprecated") as caught:
        client = Recording(proxies=proxies)
    assert [each.filename for each in caught] == [__file__]
    for url, proxy in by_url.items():
        assert getattr(client._transport_for_url(httpx.URL(url)), "proxy", None) == proxy


def test_the_warning_about_proxies_points_at_the_caller_in_both_clients(kind: Any):
    with pytest.warns(DeprecationWarning, match="`proxies`") as caught:
        client = kind(proxies={"http": None})
    assert [each.filename for each in caught] == [__file__]
    assert client._transport_for_url(httpx.URL(URL)) is client._transport
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(proxies=None)


# What is done to every response.


def test_each_answer_is_logged_in_one_line(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "httpx"):
        answering(200).get(URL)
        answering(404).get(URL + "?x=1")
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("httpx", "INFO", f'HTTP Request: GET {URL} "HTTP/1.1 200 OK"'),
        ("httpx", "INFO", f'HTTP Request: GET {URL}?x=1 "HTTP/1.1 404 Not Found"'),
    ]


def test_the_log_says_what_the_peer_said(caplog: pytest.LogCaptureFixture):
    extensions = {"http_version": b"HTTP/2", "reason_phrase": b"Fine"}
    answer = httpx.MockTransport(lambda request: httpx.Response(201, extensions=extensions))
    with caplog.at_level(logging.INFO, "httpx"):
        httpx.Client(transport=answer).post(URL)
    assert caplog.messages == [f'HTTP Request: POST {URL} "HTTP/2 201 Fine"']


def test_nothing_is_logged_or_formatted_above_that_level(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "httpx"):
        answering().get(URL)
    assert caplog.records == []


def test_the_clients_encoding_is_for_responses_that_name_none():
    def answer(request: httpx.Request) -> httpx.Response:
        charset = "; charset=utf-8" if request.url.path == "/labelled" else ""
        text = "é".encode("utf-8" if charset else "latin-1")
        return httpx.Response(200, content=text, headers={"Content-Type": f"text/plain{charset}"})

    for encoding in ("latin-1", lambda content: "latin-1"):
        client = httpx.Client(transport=httpx.MockTransport(answer), default_encoding=encoding)
        assert client.get("http://example.org/").text == "é"
        assert client.get("http://example.org/labelled").text == "é"


def test_an_encoding_that_a_transport_has_set_stays_where_the_client_names_none():
    answer = httpx.MockTransport(lambda request: httpx.Response(200, content=b"\xe9", default_encoding="latin-1"))
    assert httpx.Client(transport=answer).get(URL).text == "é"


def test_the_largest_response_that_is_kept_is_a_setting(kind: Any):
    assert kind(max_response_size=5)._max_response_size == 5
    answer = httpx.MockTransport(lambda request: httpx.Response(200, content=iter([b"abc", b"def"])))
    with httpx.Client(transport=answer, max_response_size=5) as client:
        with pytest.raises(httpx.ResponseTooLarge, match="larger than max_response_size, 5 bytes") as caught:
            client.get(URL)
        assert caught.value.request.url == URL
    with httpx.Client(transport=answer, max_response_size=6) as client:
        assert client.get(URL).content == b"abcdef"


@pytest.mark.parametrize("size", ["10", 1.5, True, b"1"])
def test_a_largest_response_that_is_not_a_number_is_refused_when_it_is_given(kind: Any, size: Any):
    with pytest.raises(TypeError, match="max_response_size must be an int, a number of bytes"):
        kind(max_response_size=size)


def test_a_negative_largest_response_is_refused_when_it_is_given(kind: Any):
    """Harm: -1 was taken, for "no limit" in the user's mind, and refused every response."""
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        kind(max_response_size=-1)
    assert kind(max_response_size=0)._max_response_size == 0


# The total timeout.


def test_a_journey_ends_with_the_total_timeout(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(_clock, "monotonic", lambda: now)
    client = httpx.Client()
    assert client._deadline({"read": 5.0}) is None
    assert client._deadline({"total": None}) is None
    deadline = client._deadline({"read": 5.0, "total": 3.0})
    assert deadline == 103.0
    request = httpx.Request("GET", URL, extensions={"timeout": {"read": 5.0, "total": 3.0}})
    given = request.extensions["timeout"]
    client._leave(request, deadline, given)
    assert request.extensions["timeout"] is given
    now = 102.0
    client._leave(request, deadline, given)
    assert request.extensions["timeout"] == {"read": 5.0, "total": 1.0}
    assert given == {"read": 5.0, "total": 3.0}
    later = httpx.Request("POST", URL, extensions={"timeout": {"read": 5.0}})
    client._leave(later, deadline, given)
    assert later.extensions["timeout"] == {"read": 5.0, "total": 1.0}
    assert (total_of(request.extensions["timeout"]), total_of(later.extensions["timeout"])) == (3.0, 3.0)
    now = 103.0
    with pytest.raises(httpx.ReadTimeout, match=r"total timeout of 3 s is over \(a request to") as caught:
        client._leave(request, deadline, given)
    assert caught.value.request is request


def test_a_part_of_something_longer_has_what_is_left_of_it(monkeypatch: pytest.MonkeyPatch):
    """The harm: each attempt of a download had all of the time again."""
    now = 102.0
    monkeypatch.setattr(_clock, "monotonic", lambda: now)
    client = httpx.Client()
    given = {"read": 5.0, "total": 3.0}
    part = httpx.Request("GET", URL, extensions={"timeout": dict(given)})
    client._share(part, 103.0, given)
    assert part.extensions["timeout"] == {"read": 5.0, "total": 1.0}
    assert client._deadline(part.extensions["timeout"]) == 103.0
    client._share(part, 104.0, given)  # it asks for less by itself
    assert part.extensions["timeout"] == {"read": 5.0, "total": 1.0}
    now = 104.0
    with pytest.raises(httpx.ReadTimeout, match="total timeout of 3 s is over"):
        client._share(part, 104.0, given)


# States.


def test_a_client_is_opened_once_and_closed_once():
    client = httpx.Client()
    assert client._state is ClientState.UNOPENED
    client._mark_opened()
    assert client._state is ClientState.OPENED
    client.close()
    assert client._state is ClientState.CLOSED
    assert client.is_closed
    with pytest.raises(RuntimeError, match="cannot send a request: the client is closed"):
        client._mark_opened()


def test_a_closed_client_can_still_build_requests():
    client = httpx.Client(base_url="http://example.org")
    client.close()
    assert client.build_request("GET", "/x").url == "http://example.org/x"


# Methods that subclasses override.


class Hops:
    """Answers with redirects to these URLs, then with 200; records the requests."""

    def __init__(self, *urls: str) -> None:
        self._urls = list(urls)
        self.sent: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return httpx.Response(307, headers={"Location": self._urls.pop(0)}) if self._urls else httpx.Response(200)


def followed(client_class: type[httpx.Client], *urls: str, **options: Any) -> list[httpx.Request]:
    hops = Hops(*urls)
    with client_class(transport=httpx.MockTransport(hops), follow_redirects=True, **options) as client:
        client.post("https://example.org/a", content=b"body", headers={"X-Token": "t"})
    return hops.sent


def test_an_overridden_way_to_redirect_is_called():
    """Public code strips its token in `_redirect_headers`; the method was never called, and the token leaked."""

    class Client(httpx.Client):
        def _redirect_headers(self, request: httpx.Request, url: httpx.URL, method: str) -> httpx.Headers:
            headers = super()._redirect_headers(request, url, method)
            headers.pop("X-Token", None)
            return headers

        def _redirect_url(self, request: httpx.Request, response: httpx.Response) -> httpx.URL:
            return super()._redirect_url(request, response).copy_add_param("seen", "1")

        def _redirect_method(self, request: httpx.Request, response: httpx.Response) -> str:
            return "PUT"

        def _redirect_stream(self, request: httpx.Request, method: str) -> Any:
            return httpx.ByteStream(b"changed")

    first, second = followed(Client, "/b")
    assert first.headers["X-Token"] == "t"
    assert "X-Token" not in second.headers
    assert (second.method, str(second.url), second.read()) == ("PUT", "https://example.org/b?seen=1", b"changed")


def test_an_overridden_redirect_request_is_sent():
    class Client(httpx.Client):
        def _build_redirect_request(self, request: httpx.Request, response: httpx.Response) -> httpx.Request:
            assert response.status_code == 307
            return httpx.Request("GET", "https://example.org/mine")

    assert [str(request.url) for request in followed(Client, "/b")][1] == "https://example.org/mine"


def test_an_overridden_redirect_of_an_async_client_is_called():
    class Client(httpx.AsyncClient):
        def _redirect_method(self, request: httpx.Request, response: httpx.Response) -> str:
            return "DELETE"

    hops = Hops("/b")

    async def run() -> None:
        async with Client(transport=httpx.MockTransport(hops), follow_redirects=True) as client:
            await client.post("https://example.org/a")

    asyncio.run(run())
    assert [request.method for request in hops.sent] == ["POST", "DELETE"]


def test_an_overridden_merge_of_urls_is_called_each_time():
    class Client(httpx.Client):
        calls = 0

        def _merge_url(self, url: Any) -> httpx.URL:
            self.calls += 1
            return super()._merge_url(url).copy_add_param("n", str(self.calls))

    client = Client(base_url="https://example.org/api")
    urls = [str(client.build_request("GET", "/x").url) for _ in range(3)]
    assert urls == [f"https://example.org/api/x?n={number}" for number in (1, 2, 3)]


def test_an_overridden_trailing_slash_is_enforced():
    class Client(httpx.Client):
        def _enforce_trailing_slash(self, url: httpx.URL) -> httpx.URL:
            return url.copy_with(path="/mine/")

    client = Client(base_url="https://example.org/")
    assert client.base_url == "https://example.org/mine/"
    client.base_url = httpx.URL("https://example.com")
    assert client.base_url == "https://example.com/mine/"


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_a_single_request_can_be_patched(kind: str):
    target = f"httpx._client.{kind}._send_single_request"
    response = httpx.Response(200, text="patched")
    if kind == "Client":
        with mock.patch(target, return_value=response):
            assert httpx.Client().get("https://example.org/").text == "patched"
        return

    async def run() -> str:
        with mock.patch(target, return_value=response):
            return (await httpx.AsyncClient().get("https://example.org/")).text

    assert asyncio.run(run()) == "patched"


@pytest.mark.parametrize("base", [httpx.Client, httpx.AsyncClient])
@pytest.mark.parametrize("name", ["_send_handling_auth", "_send_handling_redirects"])
def test_a_method_that_nothing_would_call_cannot_be_defined(base: Any, name: str):
    """A subclass that relied on it would have been wrong silently."""
    with pytest.raises(TypeError, match=f"Mine defines {name}, which httpx no longer calls: override `send`"):
        type("Mine", (base,), {name: lambda self: None})


@pytest.mark.parametrize("url", ["mailto:jo@example.org", "file:///etc/passwd", "http:///x"])
def test_a_url_with_a_scheme_and_no_host_keeps_its_scheme(url: str):
    """The error said that it had none."""
    assert httpx.Client().build_request("GET", url).url.scheme == url.partition(":")[0]


# What is configured is checked where it is given.


async def async_hook(value: object) -> None: ...


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_redirects": "5"}, TypeError, "max_redirects must be an int, got '5'"),
        ({"max_redirects": -1}, ValueError, "max_redirects must be at least 0, got -1"),
        ({"max_redirects": None}, TypeError, "max_redirects must be an int, got None"),
        (
            {"event_hooks": {"requests": [print]}},
            ValueError,
            "event_hooks has no event 'requests', expected 'request', ",
        ),
        ({"event_hooks": {"request": [1]}}, TypeError, r"event_hooks\['request'\] must hold functions, got int"),
        ({"event_hooks": {"request": None}}, TypeError, r"event_hooks\['request'\] must be a list .*, got NoneType"),
        (
            {"event_hooks": {"response": print}},
            TypeError,
            r"must be a list of functions, such as \[print\], got builtin",
        ),
        ({"event_hooks": {"1xx": "print"}}, TypeError, r"event_hooks\['1xx'\] must be a list of functions, got str"),
        (
            {"event_hooks": [print]},
            TypeError,
            "event_hooks must be a mapping of events to lists of functions, got list",
        ),
        ({"default_encoding": "utf9"}, ValueError, "default_encoding must be the name of a text encoding, got 'utf9'"),
        ({"default_encoding": "hex"}, ValueError, "default_encoding must be the name of a text encoding, got 'hex'"),
        ({"default_encoding": None}, TypeError, "default_encoding must be a str or a function, got NoneType"),
        ({"timeout": "5"}, TypeError, "timeout must be a number of seconds or None, got str"),
        ({"timeout": [3, 10]}, TypeError, r"got list; for several, use httpx\.Timeout\(10, connect=3\)"),
        ({"timeout": (3,)}, ValueError, r"got 1 items; did you mean httpx\.Timeout\(10, connect=3\)\?"),
        ({"timeout": float("nan")}, ValueError, "timeout must not be negative or NaN, got nan"),
        ({"credentials_for": "origins"}, ValueError, "credentials_for must be 'any' or 'origin', got 'origins'"),
        (
            {"credentials_for": "origin"},
            ValueError,
            "credentials_for='origin' needs a base_url with a scheme and a host",
        ),
        ({"credentials_for": "origin", "base_url": "/v1"}, ValueError, "credentials_for='origin' needs a base_url"),
    ],
)
def test_a_wrong_setting_is_refused_where_it_is_given(
    kind: Any, options: dict[str, Any], error: type[Exception], message: str
):
    """Harm: misspelt hooks were never called, and a wrong number raised in the middle of the first redirect."""
    with pytest.raises(error, match=message):
        kind(**options)


def test_a_wrong_setting_is_refused_when_it_is_changed(kind: Any):
    client = kind()
    with pytest.raises(TypeError, match="max_redirects must be an int"):
        client.max_redirects = "5"
    with pytest.raises(ValueError, match="event_hooks has no event 'requests'"):
        client.event_hooks = {"requests": [print]}
    with pytest.raises(ValueError, match="event_hooks has no event 'answer'"):
        client.event_hooks["answer"] = [print]
    with pytest.raises(TypeError, match="must be a list of functions"):
        client.event_hooks["request"] = print
    client.event_hooks["request"] = hooks = [print]
    assert client.event_hooks["request"] is hooks
    assert client.max_redirects == 20


@pytest.mark.parametrize("kind", [httpx.HTTPTransport, httpx.AsyncHTTPTransport])
@pytest.mark.parametrize(
    ("retries", "error", "message"),
    [
        (-1, ValueError, "retries must be at least 0, got -1"),
        ("3", TypeError, "retries must be an int, got '3'"),
        (True, TypeError, "retries must be an int, got True"),
        (None, TypeError, "retries must be an int, got None"),
    ],
)
def test_a_wrong_number_of_retries_is_refused(kind: Any, retries: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=f"^{message}$"):
        kind(retries=retries)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
@pytest.mark.parametrize("nothing", ["", b"", (), [], {}, None])
@pytest.mark.parametrize("name", ["headers", "params", "cookies", "data", "files"])
def test_what_is_empty_is_nothing(kind: Any, name: str, nothing: Any):
    """Harm: `headers=""` was a TypeError, and packages pass what they have, such as an empty text."""
    url = "http://example.org/"
    plain = httpx.Request("POST", url)
    assert httpx.Request("POST", url, **{name: nothing}).headers == plain.headers
    client = kind(headers={"a": "b"}, cookies={"c": "d"})
    expected = client.build_request("POST", url)
    request = client.build_request("POST", url, **{name: nothing})
    assert request.headers == expected.headers
    assert (request.url, request.content) == (expected.url, b"")
    if name in ("headers", "params", "cookies"):
        assert getattr(kind(**{name: nothing}), name) == getattr(kind(), name)
    if name == "headers":
        assert httpx.Response(200, headers=nothing).headers == {}
        assert httpx.Headers(nothing) == httpx.Headers()


# Options that nothing uses.


def transport_of(kind: Any) -> Any:
    return httpx.HTTPTransport() if kind is httpx.Client else httpx.AsyncHTTPTransport()


UNUSED: dict[str, Any] = {
    "verify": False,
    "cert": "client.pem",
    "http1": False,
    "http2": True,
    "limits": httpx.Limits(max_connections=3),
    "proxy": "http://127.0.0.1:3128",
    "pins": "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "resolver": print,
    "resolve": {"a": "127.0.0.1"},
    "dns_cache_ttl": 1.0,
    "address_family": 4,
}


@pytest.mark.parametrize("name", UNUSED)
@pytest.mark.parametrize("source", ["transport", "mounts"])
def test_an_option_that_a_transport_of_the_callers_does_not_use_is_named(
    kind: Any, name: str, source: str, monkeypatch: pytest.MonkeyPatch
):
    """Harm: `Client(verify=context, transport=HTTPTransport(retries=3))` did not verify by that context."""
    monkeypatch.setattr(httpx.HTTPTransport, "__init__", lambda self, **options: None)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "__init__", lambda self, **options: None)
    given = transport_of(kind) if source == "transport" else {"all://": transport_of(kind)}
    with pytest.warns(UserWarning, match=f"^{name} not used because {source}= was given; set ") as caught:
        kind(**{source: given, name: UNUSED[name]})
    assert [warning.filename for warning in caught] == [__file__]


def test_a_warning_shows_the_line_of_the_program_also_in_a_subclass(kind: Any):
    class Mine(kind):  # type: ignore[misc]  # one of two classes
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)

    with pytest.warns(UserWarning, match="^verify not used ") as caught:
        Mine(transport=transport_of(kind), verify=False)
    with pytest.warns(DeprecationWarning, match="`proxies` is deprecated") as more:
        kind(proxies={})
    assert {warning.filename for warning in [*caught, *more]} == {__file__}


def test_limits_that_a_subclass_always_gives_are_not_warned_of(kind: Any):
    """The clients of openai and anthropic give limits of theirs, whatever transport their user gives."""

    class Mine(kind):  # type: ignore[misc]  # one of two classes
        def __init__(self, **options: Any) -> None:
            super().__init__(limits=httpx.Limits(max_connections=1000), **options)

    Mine(transport=transport_of(kind))
    with pytest.warns(UserWarning, match="^http2 not used"):
        Mine(transport=transport_of(kind), http2=True)


def test_a_subclass_may_set_its_base_url_before_it_calls_the_constructor(kind: Any):
    """Harm: litestar's test clients do, and failed."""

    class Mine(kind):  # type: ignore[misc]  # one of two classes
        def __init__(self) -> None:
            self._base_url = self._enforce_trailing_slash(httpx.URL("http://first"))
            self.base_url = "http://example.org"
            super().__init__(base_url="http://example.com")

    assert Mine().base_url == "http://example.com"


def test_all_options_that_are_not_used_are_in_one_warning(kind: Any):
    with pytest.warns(UserWarning, match=r"^verify, http2, limits not used .*HTTPTransport\(verify=...\)$") as caught:
        kind(transport=transport_of(kind), verify=False, http2=True, limits=httpx.Limits(max_connections=1))
    assert len(caught) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"verify": True, "cert": None, "http1": True, "http2": False, "proxy": None, "trust_env": False},
        {"limits": httpx.Limits(max_connections=100, max_keepalive_connections=20)},
        {"timeout": 3, "follow_redirects": True},
    ],
)
def test_options_that_are_the_defaults_or_are_used_are_not_warned_of(kind: Any, options: dict[str, Any]):
    kind(transport=transport_of(kind), **options)
    kind(mounts={"all://": transport_of(kind)}, **options)


def test_options_for_requests_that_are_not_mounted_are_used(kind: Any):
    for pattern in ("http://", "all://example.org", "https://example.org"):
        kind(mounts={pattern: transport_of(kind)}, verify=False, limits=httpx.Limits())
    kind(mounts={"all://": None}, verify=False)
    kind(mounts={"https://": transport_of(kind)}, limits=httpx.Limits())
    with pytest.warns(UserWarning, match="^verify not used because mounts= was given"):
        kind(mounts={"https://*": transport_of(kind)}, verify=False)
    with pytest.warns(UserWarning, match="^limits not used because mounts= was given"):
        kind(mounts={"https://": transport_of(kind), "http://": transport_of(kind)}, limits=httpx.Limits())


def test_a_subclass_that_makes_transports_of_its_own_may_use_every_option(kind: Any):
    class Mine(kind):  # type: ignore[misc]  # one of two classes
        def _init_transport(self, **options: Any) -> Any:
            return options["transport"]

    Mine(transport=transport_of(kind), verify=False)


# Whom credentials are for.


class Recorder:
    """Keeps what was sent; redirects from `/to/<number>` to the URL of that number."""

    def __init__(self, *targets: str) -> None:
        self.targets = targets
        self.sent: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if request.url.path.startswith("/to/"):
            target = self.targets[int(request.url.path.rpartition("/")[2])]
            return httpx.Response(302, headers={"Location": target})
        return httpx.Response(200)

    @property
    def secrets(self) -> list[dict[str, str]]:
        names = ("authorization", "proxy-authorization", "cookie", "x-api-key")
        return [{name: r.headers[name] for name in names if name in r.headers} for r in self.sent]


HOME = "https://api.example.org"
AWAY = "https://elsewhere.example.com"
BASIC = "Basic am86c2VjcmV0"
ALL = {"authorization": BASIC, "proxy-authorization": "p", "cookie": "c=1", "x-api-key": "k"}


def guarded(driver: Driver, recorder: Recorder, **options: Any) -> dict[str, Any]:
    return {
        "transport": httpx.MockTransport(recorder),
        "auth": ("jo", "secret"),
        "headers": {"Proxy-Authorization": "p", "X-Api-Key": "k", "X-Team": "blue"},
        "cookies": {"c": "1"},
        "base_url": f"{HOME}/v1",
        "credentials_for": "origin",
        "follow_redirects": True,
        **options,
    }


@pytest.fixture(name="recorder")
def recorder_of_requests() -> Recorder:
    return Recorder(f"{AWAY}/x", f"{HOME}/y", f"{AWAY}/to/1", f"{HOME}/to/0")


def test_credentials_are_sent_to_the_origin_of_the_base_url_only(driver: Driver, recorder: Recorder):
    """Harm: a `next` link of a server could name another host, which then got the password."""

    async def scenario(client: Any) -> None:
        for url in ("users", f"{HOME}/v2", f"{HOME}:443/", f"{AWAY}/users", "http://api.example.org/", f"{HOME}:444/"):
            await client.get(url)
        async with client.stream("GET", AWAY):
            pass
        await client.send(client.build_request("GET", AWAY))

    driver.run(scenario, **guarded(driver, recorder))
    assert recorder.secrets == [ALL, ALL, ALL, {}, {}, {}, {}, {}]
    assert {request.headers["x-team"] for request in recorder.sent} == {"blue"}


def test_without_it_credentials_are_sent_anywhere_as_in_0_28_1(driver: Driver, recorder: Recorder):
    async def scenario(client: Any) -> None:
        await client.get(AWAY)

    driver.run(scenario, **guarded(driver, recorder, credentials_for="any"))
    assert recorder.secrets == [ALL]


def test_what_is_given_with_a_request_is_sent_wherever_it_goes(driver: Driver, recorder: Recorder):
    async def scenario(client: Any) -> None:
        await client.get(AWAY, auth=("jo", "secret"))
        await client.get(AWAY, headers={"authorization": "mine", "X-API-KEY": "mine"}, cookies={"c": "2", "d": "3"})
        await client.get(AWAY, headers={"cookie": "e=4"})
        await client.get("https://jo:secret@elsewhere.example.com")

    driver.run(scenario, **guarded(driver, recorder))
    assert recorder.secrets == [
        {"authorization": BASIC},
        {"authorization": "mine", "x-api-key": "mine", "cookie": "c=2; d=3"},
        {"cookie": "e=4"},
        {"authorization": BASIC},
    ]


def test_default_headers_that_are_private_stay_at_home(driver: Driver, recorder: Recorder):
    async def scenario(client: Any) -> None:
        await client.get("/")
        await client.get(AWAY)

    headers = {"Authorization": "Bearer t", "Cookie": "a=b", "X-Mine": "m"}
    driver.run(
        scenario, **guarded(driver, recorder, auth=None, cookies=None, headers=headers, sensitive_headers=["x-mine"])
    )
    assert recorder.secrets == [{"authorization": "Bearer t", "cookie": "a=b"}, {}]
    assert ["x-mine" in request.headers for request in recorder.sent] == [True, False]


def test_a_redirect_from_home_leaves_the_credentials_there(driver: Driver, recorder: Recorder):
    async def scenario(client: Any) -> None:
        await client.get(f"{HOME}/to/1")
        await client.get(f"{HOME}/to/0")

    driver.run(scenario, **guarded(driver, recorder))
    assert recorder.secrets == [ALL, ALL, ALL, {}]


def test_a_redirect_of_a_request_to_another_host_brings_no_credentials(driver: Driver, recorder: Recorder):
    """Neither on that host, nor to a third one, nor back home."""

    async def scenario(client: Any) -> None:
        await client.get(f"{AWAY}/to/0")
        await client.get("https://third.example.net/to/0")
        response = await client.get(f"{AWAY}/to/1")
        assert response.url.host == "api.example.org"

    driver.run(scenario, **guarded(driver, recorder))
    assert recorder.secrets == [{}] * 6


def test_a_cookie_with_a_domain_goes_where_it_belongs(driver: Driver, recorder: Recorder):
    async def scenario(client: Any) -> None:
        client.cookies.set("there", "1", domain="elsewhere.example.com")
        await client.get(AWAY)
        await client.get(f"{AWAY}/to/0", cookies={"own": "2"})

    driver.run(scenario, **guarded(driver, recorder))
    assert recorder.secrets == [{"cookie": "there=1"}, {"cookie": "there=1; own=2"}, {"cookie": "there=1; own=2"}]


def test_cookies_that_a_subclass_merges_are_held_to_it_too(recorder: Recorder):
    class Client(httpx.Client):
        def _merge_cookies(self, cookies: Any = None) -> Any:
            return super()._merge_cookies(cookies)

    transport = httpx.MockTransport(recorder)
    client = Client(transport=transport, base_url=HOME, cookies={"c": "1"}, credentials_for="origin")
    client.get("/")
    client.get(AWAY)
    client.get(AWAY, cookies={"d": "2"})
    assert recorder.secrets == [{"cookie": "c=1"}, {}, {"cookie": "d=2"}]


def test_another_base_url_is_another_origin(kind: Any):
    client = kind(base_url=HOME, headers={"Authorization": "t"}, credentials_for="origin")
    client.base_url = AWAY
    assert "authorization" in client.build_request("GET", "/").headers
    assert "authorization" not in client.build_request("GET", HOME).headers
    with pytest.raises(ValueError, match="needs a base_url"):
        client.base_url = ""
    assert client.base_url == AWAY
    again = pickle.loads(pickle.dumps(client))
    assert "authorization" not in again.build_request("GET", HOME).headers


def test_building_a_request_for_another_host_changes_nothing_of_the_client(kind: Any):
    client = kind(base_url=HOME, headers={"Authorization": "t"}, credentials_for="origin")
    client.build_request("GET", AWAY)
    client.build_request("GET", AWAY, headers={"a": "b"})
    assert client.headers["authorization"] == "t"
