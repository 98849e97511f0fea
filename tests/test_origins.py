"""What a request to another origin, or with another body, leaves out."""

from __future__ import annotations

import copy
import pickle

import pytest

import httpx
from httpx import URL, Headers
from httpx._origins import (
    OF_THE_BODY,
    OF_THE_BYTES,
    Origin,
    may_keep_secrets,
    moved_extensions,
    moved_headers,
    moved_trailers,
    without,
)

HERE = URL("https://www.example.org/a")
FIELDS = {
    "Host": "www.example.org",
    "Authorization": "Basic x",
    "Cookie": "a=1",
    "Proxy-Authorization": "Basic y",
    "X-Api-Key": "k",
    "X-Other": "o",
}


@pytest.mark.parametrize(
    ("here", "there", "may"),
    [
        ("https://a/", "https://a/b", True),
        ("https://a/", "https://a:443/", True),
        ("http://a/", "https://a/", True),
        ("https://a/", "http://a/", False),
        ("http://a:8080/", "https://a:8443/", False),
        ("http://a:80/", "https://a:8443/", False),
        ("https://a/", "https://b/", False),
        ("https://a/", "https://a.b/", False),
        ("https://a/", "https://a:444/", False),
        ("http://a/", "https://b/", False),
    ],
)
def test_secrets_stay_with_their_origin_or_become_safer(here: str, there: str, may: bool):
    assert may_keep_secrets(URL(here), URL(there)) is may


def test_fields_for_the_same_origin_stay():
    moved = moved_headers(Headers(FIELDS), HERE, URL("https://www.example.org/b"), [b"x-api-key"])
    assert dict(moved) == {name.lower(): value for name, value in FIELDS.items()}


def test_fields_for_another_origin_lose_secrets_and_get_its_host_first():
    headers = Headers({**FIELDS, "Host": "custom"})
    moved = moved_headers(headers, HERE, URL("https://other.example:8443/"), [b"x-api-key"])
    assert moved.raw == [(b"Host", b"other.example:8443"), (b"X-Other", b"o")]
    assert headers["Host"] == "custom"


def test_secrets_may_be_kept_and_the_host_is_the_new_one():
    moved = moved_headers(Headers(FIELDS), HERE, URL("https://other.example/"), [b"x-api-key"], keep_secrets=True)
    assert dict(moved) == {name.lower(): value for name, value in {**FIELDS, "Host": "other.example"}.items()}


def test_extensions_that_were_meant_for_one_place_do_not_go_to_another():
    extensions = {"target": b"*", "sni_hostname": "a", "timeout": {}}
    assert moved_extensions(extensions, same_origin=True) == {"sni_hostname": "a", "timeout": {}}
    assert moved_extensions(extensions, same_origin=False) == {"timeout": {}}


def test_fields_of_the_bytes_are_some_of_those_of_the_body():
    assert set(OF_THE_BYTES) < set(OF_THE_BODY)
    assert b"content-type" not in OF_THE_BYTES
    headers = Headers({"Content-Type": "a/b", "Content-Length": "3", "X": "1"})
    without(headers, OF_THE_BODY)
    assert headers.raw == [(b"X", b"1")]


def test_private_trailers_do_not_go_to_another_origin():
    """The harm: a redirect took a key along that was sent after the body, but not one in the head."""
    here, there = URL("https://a.example/"), URL("https://b.example/")
    given = {"X-Sum": "1", "X-Mine": "s3cret", "Cookie": "a=b"}
    assert moved_trailers(None, here, there, [b"x-mine"]) is None
    assert moved_trailers(given, here, here.join("/b"), [b"x-mine"]) is given
    assert moved_trailers(given, here, there, [b"x-mine"], keep_secrets=True) is given
    moved = moved_trailers(given, here, there, [b"x-mine"])
    assert Headers(moved) == Headers({"X-Sum": "1"})
    assert len(moved) == 1
    given["X-More"] = "2"
    assert Headers(moved) == Headers({"X-Sum": "1", "X-More": "2"}), "a body adds to them while it is sent"


@pytest.mark.parametrize("by_copy", [False, True])
def test_private_trailers_stay_with_their_origin_in_redirects_and_copies(by_copy: bool):
    sent: list[tuple[str, list[str]]] = []

    class Recorder(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            sent.append((request.url.host, list(Headers(request.trailers))))
            is_first = request.url.host == "a.example"
            return httpx.Response(307, headers={"Location": "https://b.example/"}) if is_first else httpx.Response(200)

    with httpx.Client(transport=Recorder(), follow_redirects=True, sensitive_headers=["X-Mine"]) as client:
        trailers = {"X-Mine": "s3cret", "X-Sum": "1"}
        request = client.build_request("PUT", "https://a.example/", content=[b"x"], trailers=trailers)
        client.send(request.copy_with(url="https://b.example/") if by_copy else request)
    assert sent[-1] == ("b.example", ["x-sum"])


# `Origin`, which is public.


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "text"),
    [
        ("https://www.example.org/a?b#c", "https", "www.example.org", 443, "https://www.example.org"),
        ("HTTP://ada:s3cret@Example.org:8080", "http", "example.org", 8080, "http://example.org:8080"),
        ("http://[::1]:80/", "http", "::1", 80, "http://[::1]"),
        ("http://müller.example/", "http", "müller.example", 80, "http://xn--mller-kva.example"),
        ("ws://example.org", "ws", "example.org", 80, "ws://example.org"),
        ("other://example.org", "other", "example.org", None, "other://example.org"),
        ("other://example.org:7/", "other", "example.org", 7, "other://example.org:7"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, scheme: str, host: str, port: int | None, text: str):
    origin = URL(url).origin
    assert (origin.scheme, origin.host, origin.port) == (scheme, host, port)
    assert str(origin) == text
    assert repr(origin) == f"Origin(scheme={scheme!r}, host={host!r}, port={port})"
    assert origin == Origin(url) == Origin(text)
    assert hash(origin) == hash(Origin(text))


def test_origins_differ_by_each_of_the_three():
    different = ["http://a", "https://a", "http://b", "http://a:81", "ws://a"]
    assert len({Origin(url) for url in different}) == len(different)
    assert Origin("http://a") != "http://a"


@pytest.mark.parametrize("url", ["", "/a", "//example.org/", "mailto:ada@example.org", "https:/a"])
def test_a_relative_url_has_no_origin(url: str):
    with pytest.raises(ValueError, match="has no origin"):
        URL(url).origin  # noqa: B018  # the look is what is tested


def test_an_origin_does_not_change():
    origin = Origin("http://a")
    with pytest.raises(AttributeError, match="cannot set 'port' of an Origin, which is immutable"):
        origin.port = 81
    with pytest.raises(AttributeError, match="cannot delete 'port' of an Origin, which is immutable"):
        del origin.port
    with pytest.raises(TypeError):
        Origin(3)


def test_an_origin_can_be_copied_and_pickled():
    origin = Origin("https://[fe80::1]:81")
    for same in (copy.copy(origin), copy.deepcopy(origin), pickle.loads(pickle.dumps(origin))):
        assert same == origin
        assert (same.scheme, same.host, same.port) == (origin.scheme, origin.host, origin.port)
