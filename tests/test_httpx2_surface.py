"""
What httpx2 has in public is here, or is listed here and in docs/compatibility.md with the reason.

`data/public-api-httpx2-2.16.json` holds what httpx2 offers, as `support.surface` reads it off the package.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import httpx
from support.surface import differences, surface_of

DATA = Path(__file__).parent / "data" / "public-api-httpx2-2.16.json"
SURFACE = json.loads(DATA.read_text("utf-8"))
PAGE = (Path(__file__).parent.parent / "docs" / "compatibility.md").read_text("utf-8")

# What is missing, as `differences` says it -> a part of the sentence of docs/compatibility.md that gives the reason.
_CONSTRUCTOR = "Sessions are made by clients"
MISSING: dict[str, str] = {
    "websockets.JSONMode": "a type for annotations",
    "websockets.WebSocketInvalidTypeReceived(event)": "objects of wsproto",
    **dict.fromkeys(
        (
            f"websockets.{kind}({parameter})"
            for kind in ("WebSocketSession", "AsyncWebSocketSession")
            for parameter in (
                *("stream", "max_message_size_bytes", "queue_size"),
                *("keepalive_ping_interval_seconds", "keepalive_ping_timeout_seconds"),
            )
        ),
        _CONSTRUCTOR,
    ),
    "websockets.WebSocketSession.send(event)": "objects of wsproto",
    "websockets.AsyncWebSocketSession.send(event)": "objects of wsproto",
}

SUBMODULES = tuple(module for module in SURFACE if module)


def test_all_of_httpx2_is_here_or_listed():
    missing = differences(SURFACE, surface_of("httpx", SUBMODULES))
    assert sorted(missing) == sorted(MISSING)


@pytest.mark.parametrize("name", MISSING)
def test_what_is_not_here_is_explained(name: str):
    assert MISSING[name] in " ".join(PAGE.split())


def test_the_list_is_that_of_the_httpx2_that_is_installed():
    httpx2 = pytest.importorskip("httpx2")
    if httpx2 is httpx or not httpx2.__version__.startswith("2.16."):
        pytest.skip("the httpx2 here is not the one of the list")
    pytest.importorskip("wsproto")  # which httpx2.websockets imports
    assert surface_of("httpx2", SUBMODULES) == SURFACE


# How strict all this is.

_HAS = {"": {"f": {"parameters": ["a"]}, "C": {"parameters": [], "members": {"m": ["b"], "x": None}}}, "sub": {"g": {}}}


@pytest.mark.parametrize(
    ("ours", "missing"),
    [
        ({}, ["f", "C", "sub.g"]),
        ({**_HAS, "": {**_HAS[""], "f": {"parameters": []}}}, ["f(a)"]),
        ({**_HAS, "": {**_HAS[""], "C": {"parameters": [], "members": {"m": []}}}}, ["C.x", "C.m(b)"]),
        ({**_HAS, "": {**_HAS[""], "f": {"parameters": ["**"]}}}, []),
        ({**_HAS, "more": {}}, []),
    ],
)
def test_every_kind_of_difference_is_noticed(ours: dict, missing: list[str]):
    assert differences(_HAS, ours) == missing


def test_the_names_of_rfc_9110_are_those_of_httpx2():
    for name in ("CONTENT_TOO_LARGE", "URI_TOO_LONG", "RANGE_NOT_SATISFIABLE", "UNPROCESSABLE_CONTENT"):
        assert name in SURFACE[""]["codes"]["members"]
        assert name in httpx.codes.__members__
