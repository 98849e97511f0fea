"""
Where a redirect leads is the peer's choice, often a hostile one: what the client sends then, and what it does not.

Asserted on the bytes that real servers received, on every engine. Secrets on the way are in test_secrets.py. At the
end, the rule that only documented exceptions leave the library, whatever a peer or a user gives it.
"""

from __future__ import annotations

import gzip
import io
import threading
import time
import warnings
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import httpx
from support import certs
from support.drivers import Driver, SyncResponse
from support.servers import ScriptedServer, answer, close, expect_head, repeat, reset, send

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def moved(location: str, status: bytes = b"302 Found", *fields: bytes, body: bytes = b"") -> Any:
    return answer(body, b"Location: " + location.encode("latin-1"), *fields, status=status)


def received(server: ScriptedServer) -> bytes:
    return b"".join(server.received)


def heads_of(data: bytes) -> list[bytes]:
    """The heads of requests without bodies."""
    return data.split(b"\r\n\r\n")[:-1]


async def follow(client: Any, url: str, method: str = "GET", **options: Any) -> Any:
    return await client.request(method, url, follow_redirects=True, **options)


# Methods and bodies.

BODY = {
    "content": b"the-body",
    "headers": {
        "Content-Type": "text/plain",
        "Content-Encoding": "x-own",
        "Content-Language": "en",
        "Content-Location": "/here",
        "X-Kept": "1",
    },
}
OF_THE_BODY = (b"the-body", b"content-", b"transfer-encoding")


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (b"301 Moved", "POST", "GET"),
        (b"301 Moved", "PUT", "PUT"),
        (b"301 Moved", "DELETE", "DELETE"),
        (b"302 Found", "POST", "GET"),
        (b"302 Found", "PUT", "GET"),
        (b"303 Other", "POST", "GET"),
        (b"303 Other", "PATCH", "GET"),
        (b"307 Again", "POST", "POST"),
        (b"308 Ever", "PATCH", "PATCH"),
    ],
)
def test_the_body_goes_with_the_method_or_not_at_all(driver: Driver, status: bytes, method: str, becomes: str):
    """Harm: a GET with the fields of a body that is not there; or a form, sent to where it was not meant to go."""
    with ScriptedServer([moved("/there", status), answer()]) as server:

        async def scenario(client: Any) -> None:
            assert (await follow(client, server.url, method, **BODY)).status_code == 200

        driver.run(scenario)
        first, last = received(server).split(f"{becomes} /there HTTP/1.1\r\n".encode())
        assert b"the-body" in first
        assert b"X-Kept: 1\r\n" in last
        for part in OF_THE_BODY:
            assert (part in last.lower()) == (becomes == method and part != b"transfer-encoding"), part


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 Other", b"307 Again", b"308 Ever"])
def test_head_stays_head(driver: Driver, status: bytes):
    """Harm: a check for existence that downloads the file."""

    def handler(conn: Any, recorded: Any) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 " + status + b"\r\nLocation: /there\r\nContent-Length: 99\r\n\r\n")
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")

    with ScriptedServer(handler) as server:
        response = driver.run(follow, server.url, "HEAD")
        assert (response.status_code, response.content) == (200, b"")
        assert received(server).count(b"HEAD /") == 2


@pytest.mark.parametrize("status", [b"307 Again", b"308 Ever"])
def test_a_body_that_can_be_sent_once_is_not_sent_again_as_an_empty_one(driver: Driver, status: bytes):
    """Harm: an upload that ends as an empty file, with status 200."""

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises(httpx.StreamConsumed):
            await follow(client, url, "PUT", content=driver.body([b"the-", b"body"]))
        assert (await client.get(f"{url}/after")).status_code == 200

    with ScriptedServer([moved("/there", status), answer()]) as server:
        driver.run(scenario, server.url)
        assert received(server).count(b"PUT ") == 1


class Unseekable(io.RawIOBase):
    """A file such as a pipe."""

    def __init__(self) -> None:
        self._left = [b"content"]

    def read(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""


ONCE: dict[str, Any] = {
    "pieces": lambda driver: {"content": driver.body([b"the-", b"body"])},
    "generator": lambda driver: {"content": (piece for piece in [b"the-", b"body"])},
    "file": lambda driver: {"content": Unseekable()},
    "multipart": lambda driver: {"files": {"f": Unseekable()}},
}


@pytest.mark.parametrize("body", ONCE)
@pytest.mark.parametrize("status", [b"307 Again", b"308 Ever", b"401 Who"])
def test_nothing_is_sent_of_a_request_whose_body_cannot_be_sent_again(driver: Driver, body: str, status: bytes):
    """
    The harm: the head of the second request was sent, and then the connection was closed. The server may have acted on
    the head, or have logged an attack.
    """

    async def scenario(client: Any, url: str) -> None:
        auth = None if status.startswith(b"3") else httpx.DigestAuth("user", "password")
        with pytest.raises(httpx.StreamConsumed):
            await follow(client, url, "PUT", auth=auth, **ONCE[body](driver))
        assert (await client.get(f"{url}/after")).status_code == 200

    digest = b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
    with ScriptedServer([moved("/there", status, digest), answer()], [answer()]) as server:
        driver.run(scenario, server.url)
        assert received(server).count(b"PUT ") == 1
        assert received(server).count(b"GET /after ") == 1


def test_files_are_sent_again_from_where_they_stood(driver: Driver):
    """Harm: the second upload would begin where the first one had ended."""

    async def scenario(client: Any, url: str) -> None:
        file = io.BytesIO(b"skipped|content")
        file.seek(8)
        await follow(client, url, "PUT", content=file)
        await follow(client, url, "POST", files={"f": io.BytesIO(b"content")})

    script = [moved("/there", b"307 Again"), answer()]
    with ScriptedServer([*script, *script]) as server:
        driver.run(scenario, server.url)
        sent = received(server)
        assert sent.count(b"\r\nContent-Length: 7\r\n") == 2
        assert sent.count(b"\r\n\r\ncontent") == 4
        assert sent.count(b"\r\n\r\ncontent\r\n--") == 2
        assert b"skipped" not in sent


# Where it leads.


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/there", b"/there"),
        ("there", b"/a/there"),
        ("../there", b"/there"),
        ("?q=1", b"/a/b?q=1"),
        ("#part", b"/a/b"),
        ("http:there", b"/a/there"),
        ("http:/there", b"/there"),
        ("/100%", b"/100%"),
        ("/%u4E2D", b"/%u4E2D"),
        ("/sp ace/\xe9", b"/sp%20ace/%C3%A9"),
        ("/a%20b?c=d%26e", b"/a%20b?c=d%26e"),
        ("//{authority}/there", b"/there"),
        ("HTTP://{authority}", b"/"),
    ],
)
def test_locations_are_resolved_against_the_url(driver: Driver, location: str, target: bytes):
    with _redirecting_to(location) as server:
        response = driver.run(follow, f"{server.url}/a/b")
        assert response.status_code == 200
        assert heads_of(received(server))[1].startswith(b"GET " + target + b" HTTP/1.1\r\n")


def _redirecting_to(location: str) -> ScriptedServer:
    def handler(conn: Any, recorded: Any) -> None:
        conn.read_head()
        authority = f"127.0.0.1:{conn.getsockname()[1]}"
        moved(location.format(authority=authority))(_Answered(conn))
        conn.read_head()
        conn.sendall(OK)

    return ScriptedServer(handler)


class _Answered:
    """A connection whose request was read already."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn

    def read_request(self) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        self.conn.sendall(data)


def test_the_fragment_of_the_first_url_is_kept(driver: Driver):
    with ScriptedServer([moved("/there"), moved("/other#own"), answer()]) as server:
        response = driver.run(follow, f"{server.url}/#part")
        assert [each.url.fragment for each in [*response.history, response]] == ["part", "part", "own"]
        assert b"#" not in received(server)


def test_host_is_that_of_the_new_url(driver: Driver):
    """Harm: the second server would be asked for the first one's site, or for what the caller chose for the first."""

    async def scenario(client: Any, url: str, **options: Any) -> None:
        await follow(client, url, headers={"Host": "chosen.example"})

    with ScriptedServer([answer()]) as last, ScriptedServer([moved(last.url)]) as first:
        driver.run(scenario, first.url)
        assert received(first).startswith(b"GET / HTTP/1.1\r\nHost: chosen.example\r\n")
        assert received(last).startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % last.port)
        assert received(last).lower().count(b"\r\nhost:") == 1


def test_what_was_said_about_one_url_is_not_said_about_another(driver: Driver):
    """Harm: `target` would send the second server the path of the first; `sni_hostname` would check the wrong name."""

    async def scenario(client: Any, url: str) -> None:
        response = await follow(client, url, extensions={"target": b"/secret-target", "sni_hostname": "a.example"})
        assert "target" not in response.request.extensions
        assert "sni_hostname" not in response.request.extensions
        assert "timeout" in response.request.extensions

    with ScriptedServer([answer()]) as last, ScriptedServer([moved(f"{last.url}/there")]) as first:
        driver.run(scenario, first.url)
        assert received(first).startswith(b"GET /secret-target HTTP/1.1\r\n")
        assert received(last).startswith(b"GET /there HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://127.0.0.1:25/_MAIL",
        "data://text/plain,x",
        "javascript://alert(1)",
        "unix://var/run/docker.sock",
    ],
)
def test_only_http_is_followed(driver: Driver, location: str):
    """Harm: a server reads local files, or speaks to services inside, through its client."""

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises(httpx.UnsupportedProtocol) as caught:
            await follow(client, url)
        assert caught.value.request.url.scheme == location.split(":")[0]

    with ScriptedServer([moved(location)]) as server:
        driver.run(scenario, server.url)


def check(error: Any) -> None:
    """What holds for every error of a request."""
    assert error.request.url


@pytest.mark.parametrize(
    "location",
    [
        "http://[bad/",
        "http://a:99999/",
        "http://a:port/",
        "http://a\\@b/",
        "\x01",
        "http://xn--\xff/",
        "mailto:jo@example.org",
        "javascript:alert(1)",
        "http://" + "a" * 40_000,
        "/" + "a" * 60_000,
    ],
)
def test_a_location_that_leads_nowhere_is_the_peers_error(driver: Driver, location: str):
    """Harm: an exception that the caller's `except httpx.HTTPError` does not know ends the program."""

    async def scenario(client: Any, url: str) -> None:
        try:
            response = await follow(client, url)
        except httpx.RequestError as exc:
            check(exc)
        else:
            assert response.status_code == 200
        assert (await client.get(f"{url}/after")).status_code == 200

    with ScriptedServer([moved(location), repeat(answer())], [repeat(answer())]) as server:
        driver.run(scenario, server.url)


def test_a_redirect_without_a_location_is_an_answer(driver: Driver):
    with ScriptedServer([answer(b"choose", status=b"300 Many"), answer(b"moved", status=b"302 Found")]) as server:

        async def scenario(client: Any) -> None:
            for text in ("choose", "moved"):
                response = await follow(client, server.url)
                assert (response.text, response.history, response.next_request) == (text, [], None)

        driver.run(scenario)


@pytest.mark.parametrize("status", [b"300 Many", b"304 Same", b"305 Proxy", b"306 Old", b"399 Own"])
def test_other_statuses_are_not_followed(driver: Driver, status: bytes):
    """Harm: 305 names a proxy, which nobody should let a server choose (RFC 9110, 15.4.6)."""
    with ScriptedServer([moved("http://127.0.0.1:1/", status)]) as server:
        response = driver.run(follow, server.url)
        assert response.status_code == int(status[:3])
        assert response.next_request is None


def test_a_circle_ends(driver: Driver):
    """Harm: a client that goes round for ever."""

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises(httpx.TooManyRedirects, match="more than 20 redirects"):
            await follow(client, url)

    with ScriptedServer([repeat(moved("/"))]) as server:
        driver.run(scenario, server.url)
        assert received(server).count(b"GET / HTTP/1.1\r\n") == 21
        assert server.connections == 1


def test_nothing_is_followed_unless_it_is_asked_for(driver: Driver):
    """Harm: a check of the first URL is worth nothing when the second one is asked without asking."""

    async def scenario(client: Any, url: str) -> None:
        response = await client.get(url)
        assert (response.status_code, str(response.next_request.url)) == (302, f"{url}/there")

    with ScriptedServer([moved("/there")]) as server:
        driver.run(scenario, server.url)
        assert server.connections == 1
        assert b"/there" not in received(server)


def test_cookies_that_come_with_a_redirect_are_sent_on(driver: Driver):
    """Harm: logins answer with a cookie and a redirect."""
    with ScriptedServer([moved("/there", b"302 Found", b"Set-Cookie: a=1; Path=/"), answer()]) as server:
        driver.run(follow, server.url)
        assert b"\r\nCookie: a=1" in heads_of(received(server))[1]


# The bodies of redirects.


def test_the_connection_is_used_again(driver: Driver):
    """Harm: a handshake for each step."""
    with ScriptedServer([moved("/1", body=b"a body"), moved("/2", body=b"x" * 100_000), answer()]) as server:
        response = driver.run(follow, server.url)
        assert response.status_code == 200
        assert server.connections == 1
        assert [each.content for each in response.history] == [b"a body", b"x" * 100_000]


def test_a_body_that_nobody_asked_for_is_not_decoded(driver: Driver):
    """Harm: 100 KB of redirect become 100 MB of memory before the caller sees anything (CVE-2025-66471)."""
    bomb = gzip.compress(bytes(20_000_000))
    fields = (b"Content-Encoding: gzip",)
    with ScriptedServer([moved("/1", b"302 Found", *fields, body=bomb), answer()]) as server:
        response = driver.run(follow, server.url)
        assert response.status_code == 200
        assert "_content" not in vars(_inner(response.history[0]))
    with ScriptedServer([moved("/1", b"302 Found", *fields, body=b"no gzip"), answer()]) as server:
        assert driver.run(follow, server.url).status_code == 200


def _inner(response: Any) -> httpx.Response:
    return response.inner if isinstance(response, SyncResponse) else response


def test_a_body_that_has_no_end_is_given_up(driver: Driver):
    """Harm: a redirect whose body never ends keeps the client busy for ever."""
    stop = threading.Event()

    def endless(conn: Any, recorded: Any) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not stop.is_set():
            conn.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    with ScriptedServer(endless, [answer()]) as server:
        response = driver.run(follow, server.url)
        assert response.status_code == 200
        assert server.connections == 2
        stop.set()


def test_a_body_that_breaks_off_is_an_error(driver: Driver):
    """Harm: a redirect that was cut may have been cut in its fields, too."""

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await follow(client, url)

    cut = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 9\r\n\r\nx"
    with ScriptedServer([expect_head(), send(cut), close()], [answer()]) as server:
        driver.run(scenario, server.url)
        assert server.connections == 1


def test_an_answer_behind_a_redirect_is_not_the_next_ones(driver: Driver):
    """Harm: a second answer in the same segment becomes that of another request (CVE-2026-6733)."""
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer([expect_head(), send(redirect + smuggled)], [answer(b"right")]) as server:
        assert driver.run(follow, server.url).text == "right"


# Only documented exceptions leave the library.

DOCUMENTED = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)

CHARSETS = (b"\xff", b"hex", b"idna", b"punycode", b"unicode_escape", b"undefined", b"mbcs", b"utf-16", b"utf-7")
HOSTILE = [
    b"",
    b"\r\n\r\n",
    b"garbage\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"HTTP/1.1 \xff\xfe OK\r\n\r\n",
    b"HTTP/1.1 99 Low\r\n\r\n",
    b"HTTP/1.1 1000 High\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1 200 \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\xff: x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"F" * 500 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\xb2\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: \xff=\xfe; Domain=\xff; Expires=\xff; Max-Age=" + b"9" * 99 + b"\r\n"
    b"Content-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Expires=Thu, 99 Foo 99999999 99:99:99 GMT\r\nContent-Length: 0\r\n\r\n",
    *(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=%b\r\nContent-Length: 4\r\n\r\n\\x\xffz" % charset
        for charset in CHARSETS
    ),
    *(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: 4\r\n\r\nabcd" % coding
        for coding in (b"gzip", b"deflate", b"br", b"zstd", b"gzip, br, zstd, deflate, gzip, gzip", b"\xff")
    ),
    b"HTTP/1.1 302 OK\r\nLocation: http://[\xff/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 OK\r\nLocation: http://127.0.0.1:99999999999/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 OK\r\nLocation: http://%00.example/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 OK\r\nLocation: http://a..b/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 OK\r\nLocation: http://" + b"a" * 64 + b".example/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 401 No\r\nWWW-Authenticate: Digest \xff=\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="\xff", nonce="\xff", qop="auth"\r\nContent-Length: 0\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nLink: <\xff>; rel=\xff\r\nContent-Length: 0\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_whatever_a_peer_sends_is_an_answer_or_a_documented_error(driver: Driver, number: int):
    """Harm: an exception that nobody documented is one that nobody catches, and an ExceptionGroup even less so."""

    async def scenario(client: Any, url: str) -> None:
        try:
            response = await follow(client, url, auth=httpx.DigestAuth("jo", "secret"))
            for attribute in ("text", "content", "encoding", "links", "cookies", "headers", "reason_phrase", "elapsed"):
                getattr(response, attribute)
            repr(_inner(response))
            response.raise_for_status()
        except httpx.HTTPError as exc:
            check(exc)

    with ScriptedServer([expect_head(), send(HOSTILE[number]), close()]) as server:
        driver.run(scenario, server.url, timeout=5, max_redirects=3)


@pytest.mark.parametrize("script", [[reset()], [expect_head(), reset()], [expect_head(), send(OK[:30]), reset()]])
def test_a_connection_that_is_torn_down_is_a_network_error(driver: Driver, script: Any):
    """Harm: as above; an OSError is no answer of an HTTP library."""
    # uvloop (0.23) does not tell of a reset that comes together with data, so there the read timeout may be first.
    kinds = (httpx.NetworkError, httpx.RemoteProtocolError, *((httpx.ReadTimeout,) if driver.name == "uvloop" else ()))

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises(kinds) as caught:
            await client.get(url)
        assert caught.value.request.url == url

    with ScriptedServer(script) as server:
        driver.run(scenario, server.url, timeout=httpx.Timeout(5, read=0.5))


@pytest.mark.parametrize("kind", ["stranger", "expired", "early", "other-name"])
def test_a_certificate_that_is_not_right_is_a_connect_error(driver: Driver, kind: str):
    """Harm: as above; `ssl.SSLError` is an OSError, and its classes differ between Python's versions."""

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get(url)
        assert caught.value.request.url == url

    with ScriptedServer([repeat(answer())], tls=certs.server_context(kind)) as server:
        driver.run(scenario, server.url, verify=certs.client_context())
        assert received(server) == b""


def test_a_server_that_does_not_speak_tls_is_a_connect_error(driver: Driver):
    """Harm: as above."""

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)

    with ScriptedServer([send(b"HTTP/1.1 400 Bad\r\n\r\n"), close()]) as server:
        driver.run(scenario, f"https://127.0.0.1:{server.port}/")


STRANGE: list[dict[str, Any]] = [
    {"timeout": 1e300},
    {"timeout": float("inf")},
    {"timeout": 1e-300},
    {"timeout": httpx.Timeout(5, total=1e300)},
    {"headers": {"A": "\ud800"}},
    {"headers": {"é": "x"}},
    {"headers": {"a b": "x"}},
    {"headers": {"": "x"}},
    {"headers": {b"A": b"\xff"}},
    {"headers": {"Content-Length": "x"}},
    {"headers": {"Content-Length": "9" * 5000}},
    {"headers": {"Transfer-Encoding": "gzip"}},
    {"headers": [("Host", "a"), ("Host", "b")]},
    {"params": {"a": "\ud800"}},
    {"extensions": {"target": b"/x y"}},
    {"extensions": {"target": b"/x\r\nA: b"}},
    {"extensions": {"target": "/\xe9"}},
    {"auth": ("é:", "\n")},
    {"content": "\ud800"},
    {"data": {"a": "\ud800"}},
]


@pytest.mark.parametrize("number", range(len(STRANGE)))
def test_whatever_a_caller_gives_is_sent_or_a_documented_error(driver: Driver, number: int):
    """Harm: what comes from a form of one's own users ends one's own program."""

    async def scenario(client: Any, url: str) -> None:
        try:
            await client.request("POST", url, **STRANGE[number])
        except DOCUMENTED:
            pass

    with ScriptedServer([repeat(answer())]) as server:
        driver.run(scenario, server.url)


@given(st.text(max_size=60) | st.text(st.sampled_from("htp:/@[]%.\\?#x0é☃\ud800\0 "), max_size=30))
@example("http://jo:s@a..b:80/")
@example("http://" + "a" * 64 + ".example/")
@example("http://[fe80::1%25eth0]/")
@settings(max_examples=100)
def test_whatever_text_is_given_as_a_url_is_sent_or_a_documented_error(url: str):
    """Harm: as above. `UnicodeError` and `idna.IDNAError` are ValueErrors of other people."""
    answering = httpx.MockTransport(lambda request: httpx.Response(200))
    for base in ("", "http://a.example/b"):
        client = httpx.Client(transport=answering, base_url=base)
        try:
            client.get(url)
        except DOCUMENTED:
            pass


def test_abandoning_a_redirect_leaves_no_warning(driver: Driver, no_leaks: None):
    """Harm: warnings in other people's test suites, where they are errors."""

    async def scenario(client: Any, url: str) -> None:
        async with client.stream("GET", url, follow_redirects=True) as response:
            async for _ in response.aiter_text():
                break

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ScriptedServer([moved("/there", body=b"x" * 70_000), answer(b"x" * 300_000)]) as server:
            driver.run(scenario, server.url)


# Bodies that nobody asked for.

GO_ON = [b"302 Found", b"401 Who"]
DIGEST = b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=MD5'


def with_body(status: bytes, framing: bytes, body: bytes, ending: str) -> Any:
    """A handler: a response whose body does not end, or ends as it says; on the next connection all is well."""

    def handler(conn: Any, recorded: Any) -> None:
        conn.read_head()
        lines = [b"HTTP/1.1 " + status, b"Location: /there", DIGEST, framing]
        conn.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        conn.sendall(body)
        if ending == "stays":
            conn.read_to_end()

    return handler


async def go_on(client: Any, url: str, **options: Any) -> Any:
    return await follow(client, url, auth=httpx.DigestAuth("user", "password"), **options)


@pytest.mark.parametrize("status", GO_ON)
@pytest.mark.parametrize(
    ("framing", "body", "ending"),
    [
        (b"Connection: close", b"moved", "stays"),
        (b"Connection: close", b"", "stays"),
        (b"Content-Length: 50", b"moved", "stays"),
        (b"Transfer-Encoding: chunked", b"5\r\nmoved\r\n", "stays"),
        (b"Content-Length: 5000000", bytes(5_000_000), "stays"),
    ],
)
def test_a_body_that_nobody_asked_for_and_that_does_not_end_is_not_waited_for(
    driver: Driver, status: bytes, framing: bytes, body: bytes, ending: str, tls: bool
):
    """
    The harm: where it goes on was known, and the request waited for the read timeout, and failed with it.
    """

    async def scenario(client: Any, url: str) -> None:
        framed = framing != b"Connection: close"
        response = await go_on(client, url, timeout=httpx.Timeout(5, read=0.2) if framed else 5)
        assert response.status_code == 200
        with pytest.raises(httpx.StreamError):
            _ = response.history[0].text

    started = time.monotonic()
    with ScriptedServer(
        with_body(status, framing, body, ending), [answer()], tls=certs.server_context() if tls else None
    ) as server:
        driver.run(scenario, server.url, verify=certs.client_context())
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("status", GO_ON)
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Connection: close", b"moved"),
        (b"Content-Length: 5", b"moved"),
        (b"Transfer-Encoding: chunked", b"5\r\nmoved\r\n0\r\n\r\n"),
    ],
)
def test_a_body_that_nobody_asked_for_can_be_read_if_it_came_whole(
    driver: Driver, status: bytes, framing: bytes, body: bytes
):
    async def scenario(client: Any, url: str) -> None:
        response = await go_on(client, url)
        assert response.status_code == 200
        assert [(each.text, each.content, each.is_closed) for each in response.history] == [("moved", b"moved", True)]

    with ScriptedServer(with_body(status, framing, body, "closes"), [answer()]) as server:
        driver.run(scenario, server.url)
