"""The routes of the echo server, without sockets."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from typing import Any, Optional

import pytest

from httpx._cli import echo_routes as module
from httpx._cli.echo_routes import Received, Reply, respond


def ask(target: str, method: str = "GET", body: bytes = b"", **fields: str) -> Reply:
    """What the server would answer; underscores in the names of fields are hyphens."""
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return respond(Received(method, target, pairs, body, base="http://example.org"))


def parsed(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)


def whole(reply: Reply) -> bytes:
    return reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)


def field(reply: Reply, name: str) -> Optional[str]:
    return next((value for key, value in reply.fields if key == name), None)


def multipart(*parts: bytes) -> bytes:
    return b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"


# What was asked.


def test_get_shows_arguments_headers_and_url():
    facts = parsed(ask("/get?a=1&b=2&a=3&empty=", Host="example.org", X_One="1"))
    assert facts == {
        "args": {"a": ["1", "3"], "b": "2", "empty": ""},
        "headers": {"Host": "example.org", "X-One": "1"},
        "origin": "127.0.0.1",
        "url": "http://example.org/get?a=1&b=2&a=3&empty=",
    }


def test_a_target_in_absolute_form_is_taken_apart():
    received = Received("GET", "http://other.example:8080/get?u=http://x/", [])
    assert received.path == "/get"
    assert received.query == [("u", "http://x/")]
    assert received.url == "http://other.example:8080/get?u=http://x/"
    assert Received("GET", "https://other.example", []).path == "/"


def test_a_body_that_is_json_is_shown_as_data_and_parsed():
    facts = parsed(ask("/anything/at/all", "PUT", b'{"a": [1]}', Content_Type="application/json"))
    assert facts["method"] == "PUT"
    assert facts["data"] == '{"a": [1]}'
    assert facts["json"] == {"a": [1]}
    assert facts["form"] == facts["files"] == {}


def test_a_body_that_is_no_text_is_shown_as_a_data_url():
    facts = parsed(ask("/post", "POST", b"\xff\x00"))
    assert facts["data"] == "data:application/octet-stream;base64," + base64.b64encode(b"\xff\x00").decode()
    assert facts["json"] is None


def test_a_form_is_shown_by_name():
    facts = parsed(ask("/post", "POST", b"a=1&a=2&b=x+y", Content_Type="application/x-www-form-urlencoded; charset=x"))
    assert facts["form"] == {"a": ["1", "2"], "b": "x y"}
    assert facts["data"] == ""


def test_a_multipart_body_is_shown_as_fields_and_files():
    body = multipart(
        b'Content-Disposition: form-data; name="a"\r\n\r\none',
        b'Content-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\ntext',
    )
    facts = parsed(ask("/post", "POST", body, Content_Type="multipart/form-data; boundary=edge"))
    assert facts["form"] == {"a": "one"}
    assert facts["files"] == {"f": "text"}


@pytest.mark.parametrize("body", [b"", b"--edge\r\n", b"--edge\r\n\r\nx\r\n--edge\r\n"])
def test_a_multipart_body_without_its_end_is_refused(body: bytes):
    reply = ask("/post", "POST", body, Content_Type="multipart/form-data; boundary=edge")
    assert reply.status == 400
    assert "boundary" in parsed(reply)["error"]


def test_upload_describes_files_without_repeating_them():
    head = b'Content-Disposition: form-data; name="f"; filename="a.bin"\r\nContent-Type: image/png\r\nnonsense\r\n\r\n'
    body = multipart(head + b"\x00\r\n\xff")
    facts = parsed(ask("/upload", "POST", body, Content_Type="multipart/form-data; boundary=edge", Content_Length="9"))
    assert facts["size"] == len(body)
    assert facts["content_length"] == "9"
    assert facts["chunked"] is False
    assert facts["parts"] == [
        {
            "name": "f",
            "filename": "a.bin",
            "content_type": "image/png",
            "size": 4,
            "sha256": hashlib.sha256(b"\x00\r\n\xff").hexdigest(),
        }
    ]


def test_upload_of_bytes_has_no_parts():
    facts = parsed(ask("/upload", "PUT", b"abc", Transfer_Encoding="chunked"))
    assert facts["sha256"] == hashlib.sha256(b"abc").hexdigest()
    assert (facts["chunked"], facts["parts"]) == (True, [])


def test_headers_are_shown_joined_or_raw():
    fields = [("X-A", "1"), ("x-a", "2")]
    assert parsed(respond(Received("GET", "/headers", fields)))["headers"]["X-A"] == "1, 2"
    assert parsed(respond(Received("GET", "/headers?raw=1", fields)))["headers"] == [["X-A", "1"], ["x-a", "2"]]


def test_small_facts():
    assert parsed(ask("/ip")) == {"origin": "127.0.0.1"}
    assert parsed(ask("/user-agent", User_Agent="me")) == {"user-agent": "me"}
    assert re.fullmatch(r"[0-9a-f-]{36}", parsed(ask("/uuid"))["uuid"])
    assert parsed(ask("/json"))["yes"] is True
    assert b"<h1>" in whole(ask("/html"))
    assert "ειρήνη" in whole(ask("/encoding/utf8")).decode("utf-8")


def test_the_root_lists_every_path():
    text = whole(ask("/")).decode()
    assert len(text.splitlines()) == len(module.ROUTES)
    assert "/basic-auth/<user>/<password>" in text


# Statuses and redirects.


def test_a_status_is_given_with_what_belongs_to_it():
    assert ask("/status/204", "DELETE").status == 204
    assert field(ask("/status/307"), "Location") == "/get"
    assert field(ask("/status/401"), "WWW-Authenticate") == 'Basic realm="echo"'


@pytest.mark.parametrize("target", ["/status/100", "/status/600", "/status/abc", "/status/", "/status/-1"])
def test_a_status_that_cannot_be_given_is_refused(target: str):
    assert ask(target).status == 400


def test_an_unknown_path_is_404_and_a_wrong_method_405_with_the_right_ones():
    assert ask("/nowhere").status == 404
    reply = ask("/post")
    assert reply.status == 405
    assert field(reply, "Allow") == "OPTIONS, POST"


def test_options_lists_the_methods_of_a_path():
    reply = ask("/get", "OPTIONS")
    assert (reply.status, field(reply, "Allow")) == (200, "GET, HEAD, OPTIONS")


def test_redirects_count_down():
    assert field(ask("/redirect/3"), "Location") == "http://example.org/redirect/2"
    assert field(ask("/relative-redirect/2"), "Location") == "/relative-redirect/1"
    assert field(ask("/relative-redirect/1"), "Location") == "/get"
    assert ask("/relative-redirect/1").status == 302


def test_a_redirect_that_keeps_the_method_ends_where_every_method_is_taken():
    reply = ask("/relative-redirect/2?status=307", "POST")
    assert (reply.status, field(reply, "Location")) == (307, "/relative-redirect/1?status=307")
    assert field(ask("/relative-redirect/1?status=308", "POST"), "Location") == "/anything"
    assert field(ask("/relative-redirect/1", "POST"), "Location") == "/get"


def test_a_redirect_to_a_given_url():
    reply = ask("/redirect-to?url=http%3A%2F%2Fx%2Fa%20b&status=301")
    assert (reply.status, field(reply, "Location")) == (301, "http://x/a%20b")
    assert ask("/redirect-to?status=200").status == 400


def test_response_headers_are_those_of_the_query():
    reply = ask("/response-headers?X-A=1&X-A=2&Content-Length=5")
    assert reply.fields[1:] == [("X-A", "1"), ("X-A", "2")]
    assert parsed(reply) == {"X-A": ["1", "2"]}


@pytest.mark.parametrize("query", ["X-A=1%0d%0aX-B:2", "X-A=%00", "X%0aA=1", "X-A=%C3%A9", "=1"])
def test_a_line_break_does_not_get_into_a_field(query: str):
    """Otherwise anyone who chooses a URL could write a second answer onto the connection."""
    assert ask("/response-headers?" + query).status == 400


def test_cookies_are_set_shown_and_deleted():
    reply = ask("/cookies/set?a=1&b=x%20y")
    assert reply.fields == [("Location", "/cookies"), ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=x%20y; Path=/")]
    assert parsed(ask("/cookies", Cookie="a=1; b=x=y; junk")) == {"cookies": {"a": "1", "b": "x=y"}}
    assert field(ask("/cookies/delete?a"), "Set-Cookie") == "a=; Path=/; Max-Age=0"


# Who are you.


def test_basic_credentials():
    token = base64.b64encode("ü:pass:word".encode()).decode()
    assert parsed(ask("/basic-auth/%C3%BC/pass:word", Authorization=f"Basic {token}")) == {
        "authenticated": True,
        "user": "ü",
    }
    for wrong in ("", "Basic", "Basic ???", "Basic YQ==", f"Bearer {token}"):
        reply = ask("/basic-auth/u/p", Authorization=wrong)
        assert (reply.status, field(reply, "WWW-Authenticate")) == (401, 'Basic realm="echo"')


def test_bearer_tokens():
    assert parsed(ask("/bearer", Authorization="bearer abc"))["token"] == "abc"
    assert ask("/bearer").status == 401
    assert ask("/bearer", Authorization="Bearer ").status == 401


def solve(value: str, target: str, qop: str, hasher: str, *, sess: bool = False, body: bytes = b"") -> str:
    """The Authorization field that answers a Digest challenge: written from the RFC, apart from the server's code."""
    facts = dict(re.findall(r'(\w+)="?([^",]+)', value.partition(" ")[2]))

    def h(text: str) -> str:
        return hashlib.new(hasher, text.encode()).hexdigest()

    a1 = h("user:echo:secret")
    if sess:
        a1 = h(f"{a1}:{facts['nonce']}:cafe")
    a2 = h(f"GET:{target}")
    if qop == "auth-int":
        a2 = h(f"GET:{target}:{hashlib.new(hasher, body).hexdigest()}")
    middle = facts["nonce"] if qop == "none" else f"{facts['nonce']}:00000001:cafe:{qop}"
    response = h(f"{a1}:{middle}:{a2}")
    return (
        f'Digest username="user", realm="echo", nonce="{facts["nonce"]}", uri="{target}", response="{response}", '
        f'nc=00000001, cnonce="cafe", qop={qop}'
    )


@pytest.mark.parametrize("qop", ["auth", "auth-int", "none"])
@pytest.mark.parametrize(
    ("algorithm", "hasher"),
    [("", "md5"), ("/MD5-sess", "md5"), ("/SHA-256", "sha256"), ("/SHA-512-256-sess", "sha512_256")],
)
def test_digest_credentials(qop: str, algorithm: str, hasher: str):
    target = f"/digest-auth/{qop}/user/secret{algorithm}"
    challenge = field(ask(target), "WWW-Authenticate")
    assert challenge is not None
    assert ("qop=" in challenge) is (qop != "none")
    right = solve(challenge, target, qop, hasher, sess=algorithm.endswith("-sess"))
    assert ask(target, Authorization=right).status == 200
    for old, new in [('"user"', '"eve"'), ("cafe", "beef"), ('response="', 'response="0'), ("Digest ", "Basic ")]:
        wrong = right.replace(old, new, 1)
        # The form without `qop` does not use the client's own nonce, unless it is a session's.
        unused = old == "cafe" and qop == "none" and not algorithm.endswith("-sess")
        assert ask(target, Authorization=wrong).status == (200 if unused else 401)


def test_a_nonce_that_the_server_did_not_give_is_refused():
    target = "/digest-auth/auth/user/secret"
    forged = solve('Digest nonce="00112233445566778899aabbccddeeff"', target, "auth", "md5")
    assert ask(target, Authorization=forged).status == 401


@pytest.mark.parametrize("target", ["/digest-auth/never/u/p", "/digest-auth/auth/u/p/CRC"])
def test_an_unknown_kind_of_digest_is_refused(target: str):
    assert ask(target).status == 400


# Bodies of many kinds.


def test_random_bytes_are_the_same_for_the_same_seed():
    first = whole(ask("/bytes/1000?seed=7"))
    assert len(first) == 1000
    assert whole(ask("/stream-bytes/1000?seed=7&chunk_size=300")) == first
    assert whole(ask("/bytes/1000?seed=8")) != first
    assert len(list(ask("/stream-bytes/1000?chunk_size=300").body)) == 4
    assert ask("/bytes/999999999999").status == 400


def test_a_stream_of_lines():
    lines = [json.loads(line) for line in whole(ask("/stream/3?a=1")).splitlines()]
    assert [line["id"] for line in lines] == [0, 1, 2]
    assert lines[0]["args"] == {"a": "1"}


def test_a_delay_is_waited_for_and_bounded():
    waited: list[float] = []
    assert respond(Received("POST", "/delay/1.5", [], pause=waited.append)).status == 200
    assert waited == [1.5]
    assert ask("/delay/0").status == 200
    assert ask("/delay/10.1").status == 400
    assert ask("/delay/-1").status == 400


def test_a_drip_has_its_length_and_its_pauses():
    waited: list[float] = []
    reply = respond(Received("GET", "/drip?numbytes=4&duration=2&delay=1&code=201", [], pause=waited.append))
    assert whole(reply) == b"****"
    assert (reply.status, field(reply, "Content-Length")) == (201, "4")
    assert waited == [1.0, 0.5, 0.5, 0.5, 0.5]
    assert whole(ask("/drip?numbytes=0")) == b""
    for code in ("199", "204", "304"):
        assert ask(f"/drip?code={code}").status == 400


def test_events_are_server_sent_events():
    waited: list[float] = []
    reply = respond(Received("GET", "/events?count=2&interval=1", [], pause=waited.append))
    assert field(reply, "Content-Type") == "text/event-stream"
    events = whole(reply).split(b"\n\n")
    assert events[:2] == [b'id: 0\nevent: tick\ndata: {"index": 0}', b'id: 1\nevent: tick\ndata: {"index": 1}']
    assert events[2] == b"event: end\ndata: "
    assert waited == [0, 1.0]


def test_events_go_on_after_the_last_one_that_the_client_had():
    def ids(last: str) -> list[bytes]:
        fields = [("Last-Event-ID", last)] if last else []
        reply = respond(Received("POST", "/events?count=5&each=2", fields))
        return [line for line in whole(reply).split(b"\n") if line.startswith((b"id", b"event: end"))]

    assert ids("") == [b"id: 0", b"id: 1"]
    assert ids("1") == [b"id: 2", b"id: 3"]
    assert ids("3") == [b"id: 4", b"event: end"]
    reply = respond(Received("GET", "/events?count=5", [("last-event-id", "4")]))
    assert (reply.status, whole(reply)) == (204, b"")
    assert respond(Received("GET", "/events", [("last-event-id", "x")])).status == 400


def test_compressed_bodies():
    assert json.loads(gzip.decompress(whole(ask("/gzip"))))["gzipped"] is True
    assert json.loads(zlib.decompress(whole(ask("/deflate"))))["deflated"] is True
    assert json.loads(zlib.decompress(whole(ask("/deflate?raw=1")), -15))["deflated"] is True


def test_an_entity_tag_and_its_conditions():
    assert field(ask("/etag/abc"), "ETag") == '"abc"'
    for condition in ('"abc"', 'W/"abc"', '"x", "abc"', "*"):
        assert ask("/etag/abc", If_None_Match=condition).status == 304
        assert ask("/etag/abc", If_Match=condition).status == 200
    assert ask("/etag/abc", If_None_Match='"x"').status == 200
    assert ask("/etag/abc", If_Match='"x"').status == 412


@pytest.mark.parametrize(
    ("value", "status", "body", "content_range"),
    [
        ("", 200, b"abcdefghij", None),
        ("bytes=2-4", 206, b"cde", "bytes 2-4/10"),
        ("bytes=7-", 206, b"hij", "bytes 7-9/10"),
        ("bytes=7-99", 206, b"hij", "bytes 7-9/10"),
        ("bytes=-2", 206, b"ij", "bytes 8-9/10"),
        ("bytes=-99", 206, b"abcdefghij", "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=5-4", 416, b"", "bytes */10"),
        ("bytes=-", 200, b"abcdefghij", None),
        ("lines=1-2", 200, b"abcdefghij", None),
    ],
)
def test_a_range_of_bytes(value: str, status: int, body: bytes, content_range: Optional[str]):
    reply = ask("/range/10", Range=value)
    assert (reply.status, whole(reply), field(reply, "Content-Range")) == (status, body, content_range)


def test_a_range_that_breaks_and_goes_on_after_it():
    first = ask("/range/10?breaks=4")
    assert (first.status, whole(first), field(first, "Content-Length")) == (200, b"abcd", "10")
    assert whole(ask("/range/10?breaks=4", Range="bytes=2-")) == b"cd"
    assert whole(ask("/range/10?breaks=4", Range="bytes=4-")) == b"efghij"
    assert whole(ask("/range/10?breaks=4", Range="bytes=1-3")) == b"bcd"
