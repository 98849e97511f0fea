"""
Whatever somebody gives to a public constructor or method is taken, or refused with an error that is documented there.

Programs pass on what they are given: names of files, headers from other answers, text of users. An `AttributeError`,
`UnicodeEncodeError` or `OverflowError` from the depths is none that they can be ready for. Bytes of peers are the
subject of the other files here.
"""

from __future__ import annotations

import pickle
import warnings
from typing import Any, Callable

import pytest

import httpx

TEXTS = [
    *(
        "",
        "\x00",
        "\r\n",
        "é",
        "\udc80",
        "😀",
        "a" * 70_000,
        ";",
        ",",
        "=",
        '"',
        "\\",
        "%",
        "%zz",
        "[",
        "]",
        "://",
        "@",
    ),
    *(":", " ", "\t", "--", "<>", "\u2028", "\x85", "xn--", "utf-16", "idna", "hex", "undefined", "punycode", "zlib"),
]


def nasty() -> list[Any]:
    """Made anew for each test: iterators are used up. The first ones are fine in some places."""
    return [
        *("a", "http://127.0.0.1:1", httpx.Limits()),
        *TEXTS,
        *(b"", b"\x00", b"\xff", b"\r\n", bytearray(b"a"), memoryview(b"a")),
        *(0, -1, 10**400, 1.5, float("nan"), float("inf"), None, True, object(), range(3)),
        *([], [None], [1], [[1]], (), (1,), ("a", "b"), [("a", "b")], [("a",)], [("a", "b", "c")], [(b"a", b"\xff")]),
        *({}, {"a": None}, {None: None}, {1: 2}, {b"a": b"b"}, {"a": [1, None]}, {"é": "é"}, {"a": "\udc80"}),
        *({"\udc80": "a"}, {"a": {"b": 1}}, {"a": object()}, {"a": b"\xff\r\n"}, set(), frozenset({1}), iter([b"a"])),
    ]


URL = "http://example.org/a?b#c"
HTTPX = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
TYPE, VALUE, LOOKUP, KEY = (TypeError,), (TypeError, ValueError), (TypeError, LookupError), (TypeError, KeyError)


def used(headers: httpx.Headers) -> None:
    repr(headers), headers.items(), headers.multi_items(), headers.encoding, pickle.dumps(headers)


def asked(params: httpx.QueryParams) -> None:
    repr(params), hash(params), params.multi_items(), str(params)


def looked_at(response: httpx.Response) -> None:
    response.text, response.encoding, response.links, response.reason_phrase, response.http_version, repr(response)


def with_encoding(encoding: Any) -> None:
    headers = httpx.Headers({"a": b"\xff"})
    headers.encoding = encoding
    headers["a"]


def request(name: str) -> Callable[[Any], Any]:
    return lambda value: httpx.Request("POST", URL, **{name: value}).read()


def response(name: str) -> Callable[[Any], Any]:
    return lambda value: looked_at(httpx.Response(200, **{name: value}))


def url(name: str) -> Callable[[Any], Any]:
    return lambda value: (httpx.URL(URL, **{name: value}), httpx.URL(URL).copy_with(**{name: value}))


def keyword(kind: Any, name: str) -> Callable[[Any], Any]:
    return lambda value: kind(**{name: value})


USES: list[tuple[str, Callable[[Any], Any], tuple[type[Exception], ...]]] = [
    ("Headers", lambda value: used(httpx.Headers(value)), TYPE),
    ("Headers value", lambda value: used(httpx.Headers({"a": value})), TYPE),
    ("Headers name", lambda value: used(httpx.Headers([(value, "a")])), TYPE),
    ("Headers(encoding=)", lambda value: used(httpx.Headers({"a": b"\xff"}, encoding=value)), LOOKUP),
    ("Headers.encoding", with_encoding, LOOKUP),
    ("Headers[]", lambda value: httpx.Headers({"a": "b"})[value], KEY),
    ("Headers.get", lambda value: httpx.Headers({"a": "b"}).get(value), TYPE),
    ("Headers ==", lambda value: httpx.Headers({"a": "b"}) == value, ()),
    ("QueryParams", lambda value: asked(httpx.QueryParams(value)), TYPE),
    ("QueryParams.set", lambda value: asked(httpx.QueryParams("a=1").set("a", value)), TYPE),
    ("QueryParams.add", lambda value: asked(httpx.QueryParams("a=1").add(value, value)), TYPE),
    ("QueryParams.merge", lambda value: asked(httpx.QueryParams("a=1").merge(value)), TYPE),
    ("URL", lambda value: str(httpx.URL(value)), TYPE),
    ("URL.join", lambda value: httpx.URL(URL).join(value), TYPE),
    ("URL ==", lambda value: httpx.URL(URL) == value, ()),
    *[
        (f"URL({name}=)", url(name), TYPE)
        for name in ("scheme", "username", "password", "userinfo", "host", "port", "netloc", "path", "query")
    ],
    *[(f"URL({name}=)", url(name), TYPE) for name in ("raw_path", "fragment", "params")],
    ("Cookies", lambda value: repr(httpx.Cookies(value)), VALUE),
    ("Cookies.set name", lambda value: httpx.Cookies().set(value, "a"), VALUE),
    ("Cookies.set value", lambda value: httpx.Cookies().set("a", value), VALUE),
    ("Cookies.set domain", lambda value: httpx.Cookies().set("a", "b", domain=value), VALUE),
    ("Cookies.set path", lambda value: httpx.Cookies().set("a", "b", path=value), VALUE),
    ("Cookies.get", lambda value: httpx.Cookies({"a": "b"}).get(value, None, value, value), TYPE),
    ("Request method", lambda value: httpx.Request(value, URL), TYPE),
    ("Request url", lambda value: httpx.Request("GET", value), TYPE),
    *[(f"Request({name}=)", request(name), TYPE) for name in ("params", "headers", "content", "data", "files")],
    *[(f"Request({name}=)", request(name), VALUE) for name in ("cookies", "json")],
    ("Request(extensions=)", lambda value: httpx.Request("GET", URL, extensions=value), TYPE),
    ("Response status", lambda value: looked_at(httpx.Response(value or 200)), VALUE),
    *[(f"Response({name}=)", response(name), TYPE) for name in ("headers", "text", "html", "extensions", "history")],
    ("Response(json=)", response("json"), VALUE),
    ("Response(content=)", lambda value: httpx.Response(200, content=value), TYPE),
    ("Response(default_encoding=)", response("default_encoding"), TYPE),
    ("Response.iter_bytes", lambda value: list(httpx.Response(200, content=b"ab").iter_bytes(value)), VALUE),
    ("Response.iter_text", lambda value: list(httpx.Response(200, content=b"ab").iter_text(value)), VALUE),
    ("Timeout", httpx.Timeout, VALUE),
    *[(f"Timeout({name}=)", keyword(httpx.Timeout, name), VALUE) for name in ("connect", "read", "pool", "total")],
    *[
        (f"Limits({name}=)", keyword(httpx.Limits, name), VALUE)
        for name in ("max_connections", "max_keepalive_connections", "keepalive_expiry", "max_connections_per_host")
    ],
    ("Proxy", httpx.Proxy, VALUE),
    ("BasicAuth", lambda value: httpx.BasicAuth(value, "secret"), VALUE),
    ("DigestAuth", lambda value: httpx.DigestAuth("jo", value), VALUE),
    ("BearerAuth", httpx.BearerAuth, VALUE),
    ("ByteStream", httpx.ByteStream, TYPE),
    *[
        (f"{kind.__name__}({name}=)", keyword(kind, name), VALUE)
        for kind in (httpx.Client, httpx.AsyncClient)
        for name in ("auth", "params", "headers", "cookies", "proxy", "timeout", "limits", "event_hooks", "base_url")
    ],
    *[(f"Client({name}=)", keyword(httpx.Client, name), VALUE) for name in ("sensitive_headers", "mounts")],
]


@pytest.mark.parametrize(("use", "documented"), [pytest.param(use, errors, id=name) for name, use, errors in USES])
def test_whatever_is_given_is_taken_or_refused_with_a_documented_error(
    use: Callable[[Any], Any], documented: tuple[type[Exception], ...]
):
    taken, wrong = 0, []
    for value in nasty():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # `data=b"..."`, which is still taken
                use(value)
        except HTTPX:
            pass
        except documented as exc:
            if isinstance(exc, (UnicodeError, OverflowError)):
                wrong.append(repr(exc)[:200])
        else:
            taken += 1
    assert wrong == []
    assert taken, "nothing at all is taken, so this tests nothing"
