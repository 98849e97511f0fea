"""What may be shown, and what is hidden or cut."""

from __future__ import annotations

import pytest

import httpx
from httpx import _secrets
from httpx._secrets import (
    HIDDEN,
    hide_in_address,
    hide_parameters,
    is_secret_field,
    looks_secret,
    printable,
    shortened,
)


@pytest.mark.parametrize(
    "name", ["key", "API-Key", "x_api_key", "access_token", "X-Amz-Signature", "client%5Fsecret", "PASSWORD", "sid"]
)
def test_names_that_look_secret(name: str):
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["q", "page", "monkey", "keyboard", "tokens", "author", ""])
def test_names_that_do_not(name: str):
    assert not looks_secret(name)


@pytest.mark.parametrize(
    "name", ["Authorization", "cookie", "Set-Cookie", "Set-Cookie2", "Proxy-Authorization", "X-Amz-Security-Token"]
)
def test_header_fields_that_are_secret(name: str):
    assert is_secret_field(name)


@pytest.mark.parametrize("name", ["Accept", "WWW-Authenticate", "Sec-WebSocket-Key", "Idempotency-Key", "ETag"])
def test_header_fields_that_are_not(name: str):
    assert not is_secret_field(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("a=1&b=2", "a=1&b=2"),
        ("a=1&token=abc&b=2", f"a=1&token={HIDDEN}&b=2"),
        ("token", "token"),
        ("a=1;token=abc;b=2", f"a=1;token={HIDDEN}"),
        ("a;b=1;sig=x=y", f"a;b=1;sig={HIDDEN}"),
    ],
)
def test_secret_parameters_are_hidden(text: str, shown: str):
    assert hide_parameters(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://[/", "http://[/"),
        ("http://ann:pw@example.org:99999/", f"http://{HIDDEN}@example.org:99999/"),
        ("http://ann:p/w@example.org:x/", f"http://{HIDDEN}@example.org:x/"),
        ("http://ann:p?w@example.org:x/", f"http://{HIDDEN}@example.org:x/"),
        ("//ann:pw@[", f"//{HIDDEN}@["),
        ("ann:pw@[", f"ann:{HIDDEN}@["),
        ("ann pw@[", f"{HIDDEN}@["),
        ("http://[/?a=1&token=abc#x", f"http://[/?a=1&token={HIDDEN}"),
        ("http://[/#access_token=abc", f"http://[/#access_token={HIDDEN}"),
    ],
)
def test_text_that_is_not_a_url_shows_no_secret(text: str, shown: str):
    assert hide_in_address(text) == shown


def test_controls_are_written_as_escapes():
    assert printable("Not Found") == "Not Found"
    assert printable("OK\x1b]0;x\x07\r\n\x85\u202e") == r"OK\x1b]0;x\x07\r\n\x85\u202e"
    assert printable("é") == "é"
    assert printable("a" * 21) == "a" * 20 + "..."
    assert printable("a" * 21, 30) == "a" * 21


def test_urls_are_cut():
    assert shortened("a" * 200) == "a" * 200
    assert shortened("a" * 201) == "a" * 197 + "..."


def test_the_names_of_a_peer_are_not_kept_without_bound():
    for number in range(3000):
        is_secret_field(f"x-{number}")
    assert _secrets._is_secret_field.cache_info().currsize <= 1024


def test_the_repr_of_headers_and_proxies_hides_what_is_secret():
    """Harm: test runners print reprs in tracebacks, and these are pasted into tickets."""
    fields = {
        "Cookie": "session=s3cret",
        "Set-Cookie": "session=s3cret",
        "X-Amz-Security-Token": "s3cret",
        "X-Auth-Token": "s3cret",
        "Location": "http://ann:s3cret@[/?token=s3cret",
        "Referer": "http://ann:s3cret@example.org/?token=s3cret&page=2",
        "Accept": "text/html",
    }
    shown = repr(httpx.Headers(fields))
    assert "s3cret" not in shown
    assert "text/html" in shown
    assert "page=2" in shown
    assert "s3cret" not in repr(httpx.Proxy("http://localhost", headers=fields))
    assert "s3cret" not in repr(httpx.Request("GET", "http://ann:s3cret@example.org/", headers=fields))
    assert "s3cret" not in repr(httpx.Response(302, headers=fields))
