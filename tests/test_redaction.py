"""Secrets and their names."""

from __future__ import annotations

import json

import pytest

import httpx
from httpx import _redaction as redaction


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer abc", "Bearer ***"),
        ("authorization", "abc", "***"),
        ("Proxy-Authorization", "Basic abc", "Basic ***"),
        ("Cookie", "a=b; c=d", "***"),
        ("Set-Cookie", "a=b", "***"),
        ("X-API-Key", "abc", "***"),
        ("X-Auth-Token", "abc", "***"),
        ("Accept", "a/b", "a/b"),
        ("Location", "/x?token=abc&a=b", "/x?token=***&a=b"),
        ("Referer", "http://ann:abc@a/", "http://ann:***@a/"),
        ("Location", "http://a:abc/", "***"),
    ],
)
def test_a_field_is_hidden_by_its_name(name: str, value: str, shown: str):
    assert redaction.field(name, value) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a/?b=c", "http://a/?b=c"),
        ("http://ann@a/", "http://ann@a/"),
        ("http://ann:abc@a/?b=c&api_key=abc", "http://ann:***@a/?b=c&api_key=***"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str):
    assert redaction.address(httpx.URL(url)) == shown


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        ("application/json", '{"a": {"api_key" : "x\\"y", "b": "token"}}', '{"a": {"api_key" : "***", "b": "token"}}'),
        ("application/json; charset=utf-8", '{"pin":-1.5e3,"n":1,"token":null}', '{"pin":"***","n":1,"token":null}'),
        ("application/problem+json", '["token", "x", {"token": "y"}]', '["token", "x", {"token": "***"}]'),
        ("application/json", r'{"tok\u0065n": "x"}', r'{"tok\u0065n": "***"}'),
        ("application/json", '{"token": "x', '{"token": "***"'),
        ("application/json", '{"a": "b\\', '{"a": "b\\'),
        (
            "application/json",
            '{"tokens": 1, "token": ["x", {"a": "]"}], "b": [1]}',
            '{"tokens": 1, "token": "***", "b": [1]}',
        ),
        ("application/json", '{"credentials":{"user":"x","b":{"c":"d"}},"e":"f"}', '{"credentials":"***","e":"f"}'),
        ("application/json", '{"password": {"a": ["x"', '{"password": "***"'),
        ("application/json", '{"password": {"token": "x"}, "token": "y"}', '{"password": "***", "token": "***"}'),
        ("application/json", '{"password": {"token": "x}", "token": "y"}', '{"password": "***"'),
        ("application/jsonl", '{"token": "x"}\n{"token": "y"}\n', '{"token": "***"}\n{"token": "***"}\n'),
        ("", ' {"token": "x"}', ' {"token": "***"}'),
        ("", 'a {"token": "x"}', 'a {"token": "x"}'),
        ("application/json", '"a" "token', '"a" "token'),
        ("application/x-www-form-urlencoded", "a=b&password=x%20y&c", "a=b&password=***&c"),
        (
            'multipart/form-data; boundary="x"',
            '--x\r\nContent-Disposition: form-data; name="token"\r\n\r\nsecret\r\n'
            '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
            '--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n***\r\n'
            '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
        ),
        ("multipart/form-data", "token=x", "token=x"),
        ("text/plain", '{"token": "x"}', '{"token": "x"}'),
        ("", "token=x", "token=x"),
    ],
)
def test_a_body_is_shown_without_its_secrets(kind: str, body: str, shown: str):
    assert redaction.body(kind, body.encode()) == shown.encode()


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("kind", ["application/json", ""])
def test_json_in_any_encoding_is_shown_without_its_secrets(encoding: str, kind: str):
    """In UTF-16 a token was shown as it was."""
    content = json.dumps({"a": "é\ud800", "token": "abc"}, ensure_ascii=False).encode(encoding, "surrogatepass")
    shown = redaction.body(kind, content)
    assert json.loads(shown.decode(encoding, "surrogatepass")) == {"a": "é\ud800", "token": "***"}
    assert redaction.body("application/json", content[:-1]) in (b"***", shown[:-1])


def test_json_that_cannot_be_decoded_is_hidden():
    assert redaction.body("application/json", b"\0{\0\0\0") == b"***"
