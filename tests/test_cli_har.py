"""HAR 1.2: what is written is valid, holds no secrets, and can be read again."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._cli.har import (
    Received,
    entries_of,
    entry_of,
    log_of,
    replayed,
    secrets_in,
    timings_of,
    title_of,
    without,
)

STARTED = "2026-01-02T03:04:05.678+00:00"
NEW = httpx.Timings(0.001, 0.002, 0.004, 0.008, 0.002, 0.016, 0.032, 0.065, False, ("192.0.2.1", 80), "HTTP/1.1")
WARM = httpx.Timings(0.0, None, None, None, 0.002, 0.016, 0.032, 0.05, True, ("2001:db8::1", 80), "HTTP/1.1")

# The required members of each object of HAR 1.2 and their types, as in its specification.
_PAIR = {"name": str, "value": str}
_REQUIRED: dict[str, dict[str, Any]] = {
    "log": {"version": str, "creator": dict, "entries": list},
    "creator": {"name": str, "version": str},
    "entry": {
        "startedDateTime": str,
        "time": (int, float),
        "request": dict,
        "response": dict,
        "cache": dict,
        "timings": dict,
    },
    "request": {
        "method": str,
        "url": str,
        "httpVersion": str,
        "cookies": list,
        "headers": list,
        "queryString": list,
        "headersSize": int,
        "bodySize": int,
    },
    "response": {
        "status": int,
        "statusText": str,
        "httpVersion": str,
        "cookies": list,
        "headers": list,
        "content": dict,
        "redirectURL": str,
        "headersSize": int,
        "bodySize": int,
    },
    "content": {"size": int, "mimeType": str},
    "postData": {"mimeType": str},
    "timings": {"send": (int, float), "wait": (int, float), "receive": (int, float)},
    "pair": _PAIR,
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+[+-]\d\d:\d\d")


def check(kind: str, value: dict[str, Any]) -> None:
    for name, type_ in _REQUIRED[kind].items():
        assert isinstance(value.get(name), type_), f"{name!r} of {kind} is {value.get(name)!r}"


def check_har(value: Any) -> None:
    """Raise AssertionError unless the object is valid HAR 1.2."""
    check("log", value["log"])
    check("creator", value["log"]["creator"])
    assert value["log"]["version"] == "1.2"
    for entry in value["log"]["entries"]:
        check("entry", entry)
        assert _TIME.fullmatch(entry["startedDateTime"])
        assert entry["time"] >= 0
        for side in ("request", "response"):
            check(side, entry[side])
            for pair in (*entry[side]["headers"], *entry[side]["cookies"]):
                check("pair", pair)
        for pair in entry["request"]["queryString"]:
            check("pair", pair)
        assert "://" in entry["request"]["url"]
        check("content", entry["response"]["content"])
        check("timings", entry["timings"])
        assert all(phase >= 0 for name, phase in entry["timings"].items() if name in ("send", "wait", "receive"))
        assert all(phase >= -1 for phase in entry["timings"].values())
        phases = {**entry["timings"], "ssl": -1}  # which is part of `connect`
        assert entry["time"] == pytest.approx(sum(phase for phase in phases.values() if phase > 0))
        if "postData" in entry["request"]:
            check("postData", entry["request"]["postData"])
    json.dumps(value, allow_nan=False)


def made(
    request: httpx.Request,
    response: Optional[httpx.Response] = None,
    body: Optional[bytes] = b"",
    timings: Optional[httpx.Timings] = NEW,
    **more: Any,
) -> Any:
    received = None if response is None else Received(response, body, 5 if body is None else len(body), "why")
    entry = entry_of(request, received, STARTED, timings, **more)
    check_har(log_of([entry], "1"))
    return entry


GET = httpx.Request("GET", "http://a/x?b=%C3%A9+1&c", headers={"Cookie": "d=e; f=g; "})


def test_an_entry_has_request_response_and_times():
    headers = [("Set-Cookie", "s=t; Path=/; Domain=a; HttpOnly; Secure; Max-Age=5"), ("Content-Type", "text/plain")]
    entry = made(GET, httpx.Response(200, headers=headers), b"body", secrets=True)
    assert entry["startedDateTime"] == STARTED
    assert entry["request"]["queryString"] == [{"name": "b", "value": "é 1"}, {"name": "c", "value": ""}]
    assert entry["request"]["cookies"] == [{"name": "d", "value": "e"}, {"name": "f", "value": "g"}]
    response = entry["response"]
    assert (response["status"], response["statusText"], response["bodySize"]) == (200, "OK", 4)
    assert response["content"] == {"size": 4, "mimeType": "text/plain", "text": "body"}
    assert response["cookies"] == [
        {"name": "s", "value": "t", "path": "/", "domain": "a", "httpOnly": True, "secure": True}
    ]
    assert entry["serverIPAddress"] == "192.0.2.1"


def test_times_are_milliseconds_and_tls_is_part_of_connect():
    assert timings_of(NEW) == {
        "blocked": 1.0,
        "dns": 2.0,
        "connect": 12.0,
        "ssl": 8.0,
        "send": 2.0,
        "wait": 16.0,
        "receive": 32.0,
    }
    assert timings_of(WARM) == {
        "blocked": 0.0,
        "dns": -1.0,
        "connect": -1.0,
        "ssl": -1.0,
        "send": 2.0,
        "wait": 16.0,
        "receive": 32.0,
    }
    assert made(GET)["time"] == 65.0
    assert made(GET, timings=WARM)["serverIPAddress"] == "2001:db8::1"
    for remote in (None, "/run/socket", ("a.example", 80), ("fe80::1%eth0", 80)):
        assert "serverIPAddress" not in made(GET, timings=WARM._replace(remote=remote))


def test_without_a_response_the_status_is_0():
    entry = made(GET, timings=None, error="ConnectError")
    assert (entry["response"]["status"], entry["_error"], entry["time"]) == (0, "ConnectError", 0)


def test_bodies_are_text_or_base64():
    text = made(httpx.Request("POST", "http://a/", content="é"), httpx.Response(200), "é".encode())
    assert (text["request"]["postData"]["text"], text["response"]["content"]["text"]) == ("é", "é")
    binary = made(httpx.Request("POST", "http://a/", content=b"\xff"), httpx.Response(200), b"\xff")
    assert binary["request"]["postData"] == {"mimeType": "", "params": [], "text": "/w==", "_encoding": "base64"}
    assert binary["response"]["content"] == {"size": 1, "mimeType": "x-unknown", "text": "/w==", "encoding": "base64"}
    latin = made(GET, httpx.Response(200, headers={"Content-Type": "text/plain; charset=latin-1"}), b"\xe9")
    assert latin["response"]["content"]["text"] == "é"
    unknown = made(GET, httpx.Response(200, headers={"Content-Type": "text/plain; charset=made-up"}), b"\xe9")
    assert unknown["response"]["content"]["text"] in ("6Q==", "é")


def test_an_empty_body_has_no_text():
    entry = made(GET, httpx.Response(204), b"")
    assert entry["response"]["content"] == {"size": 0, "mimeType": "x-unknown"}
    assert entries_of(log_of([entry], "1")) == [entry]


def test_a_body_that_is_not_kept_has_a_reason():
    content = made(GET, httpx.Response(200), None)["response"]["content"]
    assert content == {"size": 5, "mimeType": "x-unknown", "comment": "why"}
    streamed = made(httpx.Request("POST", "http://a/", content=iter([b"x"])))["request"]
    assert (streamed["bodySize"], "postData" in streamed) == (-1, False)
    sized = httpx.Request("POST", "http://a/", content=iter([b"x"]), headers={"Content-Length": "1"})
    assert made(sized)["request"]["bodySize"] == 1


SECRET = "s3cret"


def secrets_of_all_kinds() -> list[Any]:
    json_type = {"Content-Type": "application/json"}
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"a={SECRET}", "X-Api-Key": SECRET}
    return [
        made(
            httpx.Request(
                "POST", f"http://ann:{SECRET}@a/?token={SECRET}&a=1", headers=headers, json={"password": SECRET}
            ),
            httpx.Response(
                302, headers={**json_type, "Location": f"/?token={SECRET}", "Set-Cookie": f"a={SECRET}; Path=/"}
            ),
            json.dumps({"access_token": SECRET}).encode(),
        ),
        made(httpx.Request("POST", "http://a/", data={"password": SECRET, "a": "1"})),
        made(httpx.Request("POST", "http://a/", data={"password": SECRET}, files={"a": b"1"})),
    ]


def test_secrets_are_masked():
    entries = secrets_of_all_kinds()
    assert SECRET not in json.dumps(entries)
    first = entries[0]
    assert first["request"]["url"] == "http://ann:***@a/?token=***&a=1"
    assert first["request"]["queryString"] == [{"name": "token", "value": "***"}, {"name": "a", "value": "1"}]
    assert first["request"]["postData"]["text"] == '{"password":"***"}'
    assert first["response"]["redirectURL"] == "/?token=***"
    assert entries[1]["request"]["postData"]["params"] == [
        {"name": "password", "value": "***"},
        {"name": "a", "value": "1"},
    ]


def test_a_secret_is_masked_wherever_it_is_repeated():
    long, short = "tok-0123456789", "0123456789"
    request = httpx.Request(
        "POST", f"http://ann:pass-word@a/?sig={short}&q=x", headers={"Authorization": f"Bearer {long}"}
    )
    request.headers.update({"Cookie": "a=cookie-1; b", "X-Api-Key": "key-123"})
    body = json.dumps({"list": [{"client_secret": "json-secret", "n": 1}, "x"], "token": "t"}).encode()
    headers = [("Content-Type", "application/json"), ("Set-Cookie", "c=cookie-2; Path=/cookie")]
    received = Received(httpx.Response(200, headers=headers), body, len(body))
    found = secrets_in(request, received)
    assert found - {f"Bearer {long}"} == {long, short, "pass-word", "cookie-1", "cookie-2", "key-123", "json-secret"}
    text = f"{long} {short} json-secret other"
    other = made(httpx.Request("POST", "http://a/", content=text), httpx.Response(200), text.encode())
    hidden = without(other, found)
    assert hidden["request"]["postData"]["text"] == hidden["response"]["content"]["text"] == "*** *** *** other"
    check_har(log_of([hidden], "1"))


def test_secrets_of_bodies_that_cannot_be_searched_are_not_known():
    kind = {"Content-Type": "application/json"}
    for body in (b"{", b"[" * 100_000, b'{"token": "long-secret", "x": "' + b"x" * (1 << 20) + b'"}'):
        assert secrets_in(httpx.Request("POST", "http://a/", content=body, headers=kind), None) == set()
    assert secrets_in(httpx.Request("POST", "http://a/", content=iter([b"x"])), None) == set()
    assert secrets_in(GET, Received(httpx.Response(200, headers=kind), None, 5)) == set()


# Sending again.


def test_an_entry_is_sent_again_as_it_was():
    request = httpx.Request(
        "PUT",
        "http://a/x?y=1",
        headers={"X-A": "b", "Authorization": "Bearer c", "Content-Type": "text/x"},
        content=b"\xff\0",
    )
    found = replayed(made(request, secrets=True))
    assert (found.method, found.url, found.body, found.masked) == ("PUT", "http://a/x?y=1", b"\xff\0", [])
    assert [(name.lower(), value) for name, value in found.headers] == [
        ("x-a", "b"),
        ("authorization", "Bearer c"),
        ("content-type", "text/x"),
    ]


def test_masked_fields_are_left_out_and_named():
    request = httpx.Request("GET", "http://a/", headers={"Authorization": "Bearer c", "Cookie": "a=b", "X-A": "b"})
    found = replayed(made(request))
    assert found.masked == ["Authorization", "Cookie"]
    assert [name for name, _ in found.headers] == ["X-A"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (httpx.Request("GET", "http://a/?token=b"), "the URL has masked values"),
        (httpx.Request("POST", "http://a/", json={"token": "b"}), "the body has masked values"),
    ],
)
def test_what_is_masked_elsewhere_is_refused(request_: httpx.Request, message: str):
    with pytest.raises(ValueError, match=message):
        replayed(made(request_))


def entry(**request: Any) -> dict[str, Any]:
    return {"request": {"method": "POST", "url": "http://a/", **request}}


def test_the_entry_of_a_browser_is_sent_without_what_belongs_to_its_connection():
    names = (":authority", ":method", "Host", "Content-Length", "Connection", "Accept-Encoding", "Upgrade", "", "X-A")
    found = replayed(entry(headers=[*({"name": name, "value": "v"} for name in names), "x", {}]))
    assert found.headers == [("X-A", "v")]


@pytest.mark.parametrize(
    ("post", "body"),
    [
        (None, b""),
        ({}, b""),
        ({"mimeType": "text/x", "text": "é"}, "é".encode()),
        ({"text": base64.b64encode(b"\xff").decode(), "encoding": "base64"}, b"\xff"),
        (
            {"mimeType": "application/x-www-form-urlencoded; charset=utf-8", "params": [{"name": "a b", "value": "é"}]},
            b"a+b=%C3%A9",
        ),
    ],
)
def test_bodies_of_others_are_read(post: Any, body: bytes):
    assert replayed(entry(postData=post)).body == body


def test_the_type_of_the_body_is_that_of_its_data_if_no_field_has_it():
    post = {"mimeType": "text/x", "text": "a"}
    assert replayed(entry(postData=post)).headers == [("Content-Type", "text/x")]
    fields = [{"name": "content-type", "value": "text/y"}]
    assert replayed(entry(postData=post, headers=fields)).headers == [("content-type", "text/y")]


@pytest.mark.parametrize(
    ("post", "message"),
    [
        ({"text": "*", "encoding": "base64"}, "is not valid base64"),
        ({"mimeType": "multipart/form-data", "params": [{"name": "a"}]}, "is not in the file, only its fields"),
    ],
)
def test_a_body_that_cannot_be_known_is_refused(post: Any, message: str):
    with pytest.raises(ValueError, match=message):
        replayed(entry(postData=post))


@pytest.mark.parametrize(
    "value", [None, [], {}, {"log": []}, {"log": {}}, {"log": {"entries": {}}}, {"log": {"entries": [1]}}]
)
def test_another_file_is_refused(value: Any):
    with pytest.raises(ValueError, match="not a HAR file"):
        entries_of(value)


def test_titles_have_no_secrets():
    assert title_of(entry(url="http://a:b@c/?token=d")) == ("POST", "http://a:***@c/?token=***", 0)
    assert title_of({**entry(url="http://[/s3cret"), "response": {"status": 200}}) == ("POST", "***", 200)
    assert title_of({**entry(), "response": {"status": "x"}})[2] == 0
    for wrong in ({}, {"request": []}, {"request": {"method": "GET"}}):
        with pytest.raises(ValueError, match="the entry has no request"):
            title_of(wrong)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ("request", "method", "url", "headers", "name", "value", "postData", "text", "params", "mimeType")
            ),
            inner,
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(("request", "response")), _JSON))
def test_any_entry_is_read_or_refused(value: dict[str, Any]):
    for read in (title_of, replayed):
        try:
            read(value)
        except ValueError:
            pass


@given(st.binary(max_size=20), st.lists(st.tuples(st.text("abc", min_size=1), st.text("xyz=, ")), max_size=3))
def test_what_is_recorded_is_sent_again(body: bytes, headers: list[tuple[str, str]]):
    named = [(f"X-{name}", value.strip()) for name, value in headers]
    request = httpx.Request("PUT", "http://a/", headers=named, content=body)
    found = replayed(json.loads(json.dumps(made(request, secrets=True))))
    assert found.body == body
    assert [(name.lower(), value) for name, value in found.headers] == [(name.lower(), value) for name, value in named]
