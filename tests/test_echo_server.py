"""The echo server: the routes without sockets, then the wire with the standard library's client and bare sockets."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import runpy
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any, Optional

import pytest

from httpx._cli import echo_server as module
from httpx._cli.echo_server import EchoServer, Received, Reply, main, respond
from support import certs


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


# The wire.


@pytest.fixture
def connection(echo_server: EchoServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", echo_server.port, timeout=5)
    yield connection
    connection.close()


def test_a_connection_is_used_again(connection: http.client.HTTPConnection):
    connection.request("GET", "/get")
    first = connection.getresponse()
    assert json.loads(first.read())["url"] == f"http://127.0.0.1:{connection.port}/get"
    before = connection.sock
    connection.request("POST", "/post", body=b"abc")
    assert json.loads(connection.getresponse().read())["data"] == "abc"
    connection.request("POST", "/upload", body=iter([b"abc", b"", b"def"]), encode_chunked=True)
    assert json.loads(connection.getresponse().read())["size"] == 6
    assert connection.sock is before


def test_head_and_204_have_no_body(connection: http.client.HTTPConnection):
    connection.request("HEAD", "/bytes/10")
    answer = connection.getresponse()
    assert (answer.headers["content-length"], answer.read()) == ("10", b"")
    connection.request("HEAD", "/stream/1")
    answer = connection.getresponse()
    assert (answer.headers["transfer-encoding"], answer.read()) == ("chunked", b"")
    connection.request("GET", "/status/204")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["content-length"], answer.read()) == (204, None, b"")


def test_iterables_go_out_in_chunks(connection: http.client.HTTPConnection):
    connection.request("GET", "/stream/5")
    answer = connection.getresponse()
    assert answer.headers["transfer-encoding"] == "chunked"
    assert len(answer.read().splitlines()) == 5
    connection.request("GET", "/drip?duration=0")
    assert connection.getresponse().read() == b"*" * 10


def test_an_empty_piece_is_no_last_chunk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "respond", lambda received: Reply([b"a", b"", b"b"]))
    with EchoServer() as server:
        answer = talk(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


def talk(server: EchoServer, data: bytes) -> bytes:
    """Everything that the server answers to `data`, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_status_without_a_name(echo_server: EchoServer):
    answer = talk(echo_server, b"GET /status/299 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 299 \r\n")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_client_of_http_1_0_gets_the_body_up_to_the_end(echo_server: EchoServer):
    answer = talk(echo_server, b"GET /stream-bytes/3?seed=1 HTTP/1.0\r\nHost: h\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert len(body) == 3
    assert b"chunked" not in head


def test_a_request_without_host_gets_the_address(echo_server: EchoServer):
    answer = talk(echo_server, b"GET /get HTTP/1.0\r\n\r\n")
    assert f'"url": "http://127.0.0.1:{echo_server.port}/get"'.encode() in answer


def test_a_client_that_expects_100_gets_it(echo_server: EchoServer):
    head = b"POST /upload HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", echo_server.port), timeout=5) as sock:
        sock.sendall(head)
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"either"),
        (b"Transfer-Encoding: gzip\r\n\r\n", b"either"),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", b"conflicting"),
        (b"Content-Length: +3\r\n\r\nabc", b"whole number"),
        (b"Content-Length: 3\r\n\r\nab", b"after 2 of 3"),
        (b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", b"not a chunk size"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", b"does not end"),
        (b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", b"too large"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"not a chunk size"),
    ],
)
def test_a_body_whose_end_is_unclear_ends_the_connection(echo_server: EchoServer, rest: bytes, message: bytes):
    """Otherwise what follows could be read as another request."""
    answer = talk(echo_server, b"POST /post HTTP/1.1\r\nHost: h\r\n" + rest)
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"\r\nConnection: close\r\n" in answer
    assert message in answer


def test_trailers_are_read_and_dropped(echo_server: EchoServer):
    request = b"POST /post HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    answer = talk(echo_server, request + b"GET /status/299 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b'"data": "abc"' in answer
    assert b"HTTP/1.1 299" in answer


@pytest.mark.parametrize("request_line", [b"GET /" + b"a" * 70000 + b" HTTP/1.1", b"GET / HTTP/9.9", b"nonsense"])
def test_a_request_line_that_makes_no_sense_ends_the_connection(echo_server: EchoServer, request_line: bytes):
    with socket.create_connection(("127.0.0.1", echo_server.port), timeout=5) as sock:
        sock.sendall(request_line + b"\r\n\r\n")
        try:
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        except ConnectionResetError:  # closed with unread bytes
            answer = b""
    assert b" 200 " not in answer


def test_https(tls_echo_server: EchoServer, trusting: ssl.SSLContext):
    connection = http.client.HTTPSConnection("localhost", tls_echo_server.port, context=trusting, timeout=5)
    connection.request("GET", "/get")
    assert json.loads(connection.getresponse().read())["url"] == tls_echo_server.url + "/get"
    connection.close()


def test_a_client_that_does_not_trust_the_server_disturbs_nobody(tls_echo_server: EchoServer, trusting: ssl.SSLContext):
    for context in (ssl.create_default_context(), trusting):
        with socket.create_connection(("127.0.0.1", tls_echo_server.port), timeout=5) as sock:
            if context is trusting:
                with context.wrap_socket(sock, server_hostname="localhost") as secured:
                    assert secured.version()
            else:
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(sock, server_hostname="localhost")


def test_a_body_that_is_cut_off_ends_the_connection(connection: http.client.HTTPConnection):
    """The next response would be taken for the rest of this body."""
    connection.request("GET", "/range/10?breaks=4")
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    assert caught.value.partial == b"abcd"


def test_closing_ends_connections_in_every_state(no_leaks: None):
    """A server that waits for its clients to go could keep a test run from ending."""
    server = EchoServer(ssl_context=None)
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(3)]
    clients[1].sendall(b"GET /delay/10 HTTP/1.1\r\nHost: h\r\n\r\n")
    clients[2].sendall(b"GET /events?count=100&interval=10 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert clients[2].recv(10)
    started = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - started < 3
    rest = b"".join(iter(lambda: clients[2].recv(65536), b""))
    assert b"event: end" not in rest
    assert not rest.endswith(b"0\r\n\r\n"), "a body that was cut off must not look complete"
    for client in clients:
        client.close()


def test_closing_ends_a_handshake_that_never_comes(no_leaks: None):
    server = EchoServer(ssl_context=certs.server_context())
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        while not any(isinstance(each, ssl.SSLSocket) for each in list(server._listener.open.values())):
            time.sleep(0.001)
        server.close()
        try:
            assert client.recv(10) == b""
        except ConnectionResetError:
            pass


def test_a_handshake_that_begins_while_the_server_closes_is_given_up():
    with EchoServer(ssl_context=certs.server_context()) as server:
        ours, theirs = socket.socketpair()
        server._listener.stopping.set()
        server._listener.open[threading.current_thread()] = theirs
        with pytest.raises(ConnectionAbortedError):
            server._listener.encrypted(theirs)
        server._listener.open.clear()
        ours.close()


def test_closing_survives_a_connection_that_is_gone_already():
    server = EchoServer()
    thread = threading.Thread(target=bool)
    thread.start()
    gone = socket.socket()
    gone.close()
    server._listener.open[thread] = gone
    server.close()


def test_ipv6():
    try:
        server = EchoServer(host="::1")
    except OSError as exc:
        pytest.skip(f"no IPv6 here: {exc}")
    with server:
        assert server.url == f"http://[::1]:{server.port}"
        with socket.create_connection(("::1", server.port), timeout=5) as sock:
            sock.sendall(b"GET /ip HTTP/1.0\r\n\r\n")
            assert b'"origin": "::1"' in b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_mistake_in_a_route_ends_the_connection_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken(received: Received) -> Reply:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(module, "respond", broken)
    with EchoServer() as server:
        assert talk(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") == b""
    assert "a mistake" in capsys.readouterr().err


def test_the_log_has_a_line_for_each_answer_and_no_control_characters():
    lines: list[str] = []
    with EchoServer(log=lines.append) as server:
        talk(server, b"GET /get?\x1b[2J HTTP/1.1\r\nHost: h\r\n\r\n")
    assert lines == ['"GET /get?\\x1b[2J HTTP/1.1" 200 -']


# The command line.


class Stop:
    """Stands in for the listening thread: Ctrl-C comes at once."""

    def join(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is pressed as soon as `main` waits, after one request was answered."""

    class Server(EchoServer):
        def __enter__(self) -> EchoServer:
            if self._listener.scheme == "http":
                talk(self, b"GET /ip HTTP/1.0\r\n\r\n")
            self._real, self._thread = self._thread, Stop()  # type: ignore[assignment]
            return self

        def close(self) -> None:
            self._thread = self._real
            super().close()

    monkeypatch.setattr(module, "EchoServer", Server)


def test_main_says_where_it_listens_and_ends_with_ctrl_c(interrupted: None, capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+ .*\n", out)
    assert '"GET /ip HTTP/1.0" 200' in err


def test_main_can_be_quiet_and_speak_https(interrupted: None, capsys: pytest.CaptureFixture[str], tmp_path: Any):
    pem = tmp_path / "server.pem"
    pem.write_bytes(certs.leaf().private_key_and_cert_chain_pem.bytes())
    assert main(["--quiet", "--cert", str(pem)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("listening on https://")
    assert err == ""


def test_it_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["echo_server", "--help"])
    monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(module.__name__, run_name="__main__")
    assert stop.value.code == 0
    assert "usage: echo_server" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["65536", "-1", "8x", "", "٣", "999999999"])
def test_a_port_that_is_none_is_told(port: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([f"--port={port}"])
    assert ended.value.code == 2
    assert "a port must be a number from 0 to 65535" in capsys.readouterr().err
