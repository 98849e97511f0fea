"""Secrets and their names."""

from __future__ import annotations

import pytest

import httpx
from httpx._cli import masking


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
    assert masking.field(name, value) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a/?b=c", "http://a/?b=c"),
        ("http://ann@a/", "http://ann@a/"),
        ("http://ann:abc@a/?b=c&api_key=abc", "http://ann:***@a/?b=c&api_key=***"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str):
    assert masking.address(httpx.URL(url)) == shown
