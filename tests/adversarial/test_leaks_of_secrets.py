"""
What must not get out: credentials to hosts that they were not given for, and secrets into logs, reprs and messages.

Asserted on the bytes that real servers received, and on every log record, repr and exception text.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import pickle
import traceback
from collections.abc import Generator, Iterator
from typing import Any

import pytest

import httpx
from support import certs
from support.drivers import Driver
from support.servers import ScriptedServer, answer, close, expect_head, repeat, send, silence

PASSWORD = "hunter2-of-the-user"
TOKEN = "t0k3n-of-the-query"
QUERY = f"q=visible&access_token={TOKEN}"
SECRETS = (PASSWORD, TOKEN)

PRIVATE = {
    "Authorization": "Bearer s3cret",
    "Cookie": "session=s3cret",
    "Proxy-Authorization": "Basic s3cret",
    "X-Api-Key": "s3cret",
    "x-auth-token": "s3cret",
}


def moved(location: str, status: bytes = b"302 Found", *fields: bytes) -> Any:
    """Answers every request with a redirect."""
    return [repeat(answer(b"", b"Location: " + location.encode(), *fields, status=status))]


def fine() -> Any:
    return [repeat(answer())]


def received(server: ScriptedServer) -> bytes:
    return b"".join(server.received)


@contextlib.contextmanager
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture, *secrets: str) -> Iterator[None]:
    """All loggers, all levels."""
    with caplog.at_level(logging.DEBUG):
        yield
    for record in caplog.records:
        for secret in secrets:
            assert secret not in record.getMessage()


def texts_of(error: BaseException) -> str:
    """Everything that an error tracker would keep of an exception and of those behind it."""
    texts = ["".join(traceback.format_exception_only(type(error), error)), repr(error), str(error.args)]
    for other in (error.__cause__, error.__context__):
        if other is not None:
            texts.append(texts_of(other))
    return "\n".join(texts)


# Logs, reprs and messages.


def test_logs_show_no_secret_of_a_url(driver: Driver, caplog: pytest.LogCaptureFixture):
    """Harm: logs are kept for years and read by many; a password or token in them is out."""

    async def scenario(client: Any, url: str) -> None:
        response = await client.get(url, follow_redirects=True)
        assert response.status_code == 200

    with ScriptedServer(fine()) as last, ScriptedServer(moved(f"{last.url}/?{QUERY}")) as first:
        url = f"http://jo:{PASSWORD}@127.0.0.1:{first.port}/?{QUERY}"
        with nothing_secret_is_logged(caplog, *SECRETS):
            driver.run(scenario, url)
        lines = [record.getMessage() for record in caplog.records if record.name == "httpx"]
        hidden = "?q=visible&access_token=[secure]"
        assert lines == [
            f'HTTP Request: GET http://jo:[secure]@127.0.0.1:{first.port}/{hidden} "HTTP/1.1 302 Found"',
            f'HTTP Request: GET http://127.0.0.1:{last.port}/{hidden} "HTTP/1.1 200 OK"',
        ]
        # It is hidden from the reader, not from the server.
        assert QUERY.encode() in received(first)
        assert QUERY.encode() in received(last)


FAILURES: list[tuple[type[Exception], Any]] = [
    (httpx.RemoteProtocolError, [expect_head(), send(b"garbage\r\n\r\n")]),
    (httpx.RemoteProtocolError, [expect_head(), close()]),
    (httpx.RemoteProtocolError, [expect_head(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), close()]),
    (httpx.ReadTimeout, [silence()]),
    (httpx.HTTPStatusError, [answer(b"", status=b"404 Not Found")]),
    (httpx.HTTPStatusError, [answer(b"", b"Location: /?" + QUERY.encode(), status=b"302 Found")]),
    (httpx.TooManyRedirects, [repeat(answer(b"", b"Location: /?" + QUERY.encode(), status=b"301 Moved"))]),
    (
        httpx.RemoteProtocolError,
        [repeat(answer(b"", b"Location: http://[bad?" + QUERY.encode(), status=b"307 Moved"))],
    ),
    (
        httpx.UnsupportedProtocol,
        [repeat(answer(b"", f"Location: ftp://jo:{PASSWORD}@example.org/?{QUERY}".encode(), status=b"307 Moved"))],
    ),
    (httpx.DecodingError, [answer(b"no gzip", b"Content-Encoding: gzip")]),
    (httpx.ResponseTooLarge, [answer(b"x" * 5000)]),
]


@pytest.mark.parametrize("number", range(len(FAILURES)))
def test_no_exception_shows_a_secret_of_the_url(driver: Driver, caplog: pytest.LogCaptureFixture, number: int):
    """Harm: exception texts go to error trackers, tickets and chat."""
    kind, script = FAILURES[number]

    async def scenario(client: Any, url: str) -> None:
        follow = kind is not httpx.HTTPStatusError
        with pytest.raises(kind) as caught:
            (await client.get(url, follow_redirects=follow)).raise_for_status()
        texts = texts_of(caught.value) + repr(caught.value.request) + repr(caught.value.request.url)
        texts += texts_of(pickle.loads(pickle.dumps(caught.value)))
        for secret in SECRETS:
            assert secret not in texts

    with nothing_secret_is_logged(caplog, *SECRETS), ScriptedServer(script) as server:
        url = f"http://jo:{PASSWORD}@127.0.0.1:{server.port}/?{QUERY}"
        driver.run(scenario, url, timeout=0.1, max_redirects=2, max_response_size=1000)


@pytest.mark.parametrize(
    "url",
    [
        f"http://jo:{PASSWORD}@exa[mple.org/",
        f"http://jo:{PASSWORD}@example.org:port/",
        f"http://jo:{PASSWORD}@example.org\\@evil.example/",
        f"http://jo:{PASSWORD}\n@example.org/",
        f"http://jo:{PASSWORD}@\ud800/",
        f"http://jo:{PASSWORD}@\u0378.example/",
        f"http://example.org:port/?access_token={TOKEN}",
        f"http://jo:{PASSWORD}@{'a' * 70000}/",
    ],
)
def test_a_url_that_is_refused_is_not_repeated_in_the_message(url: str):
    """Harm: a typing error in a connection string prints its password."""
    with pytest.raises(httpx.InvalidURL) as caught:
        httpx.get(url)
    for secret in SECRETS:
        assert secret not in texts_of(caught.value)


@pytest.mark.parametrize("url", [f"ftp://jo:{PASSWORD}@example.org/?{QUERY}", f"//jo:{PASSWORD}@example.org/?{QUERY}"])
def test_a_url_that_leads_nowhere_is_not_repeated_in_the_message(driver: Driver, url: str):
    """Harm: as above."""

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.UnsupportedProtocol) as caught:
            await client.get(url)
        for secret in SECRETS:
            assert secret not in texts_of(caught.value) + repr(caught.value.request)

    driver.run(scenario)


@pytest.mark.parametrize(
    "value",
    [
        httpx.URL(f"http://jo:{PASSWORD}@example.org/?{QUERY}#access_token={TOKEN}"),
        httpx.Request("GET", f"http://jo:{PASSWORD}@example.org/?{QUERY}"),
        httpx.Headers({"Authorization": PASSWORD, "Proxy-Authorization": PASSWORD, "X-Api-Key": TOKEN}),
        httpx.BasicAuth("jo", PASSWORD),
        httpx.DigestAuth("jo", PASSWORD),
        httpx.BearerAuth(TOKEN),
        httpx.Proxy(f"http://jo:{PASSWORD}@example.org/"),
        httpx.Client(
            auth=("jo", PASSWORD), headers={"Authorization": TOKEN}, base_url=f"http://jo:{PASSWORD}@a.example"
        ),
        httpx.Response(200, request=httpx.Request("GET", f"http://jo:{PASSWORD}@example.org/")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_repr_shows_a_secret(value: object):
    """Harm: reprs are in tracebacks with locals, in debuggers and in logs of whole objects."""
    for secret in SECRETS:
        assert secret not in repr(value)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"{PASSWORD}\r\nX: y"}},
        {"headers": {"Authorization": f"{PASSWORD}\ud800"}},
        {"cookies": {"session": f"{PASSWORD}\r\n"}},
        {"auth": f"jo:{PASSWORD}"},
        {"extensions": {"target": f"/?token={'x' * 30}{PASSWORD} ".encode()}},
    ],
)
def test_what_is_refused_before_it_is_sent_is_not_repeated(driver: Driver, options: dict[str, Any]):
    """Harm: a token that was read with its line end from a file would be printed when it is refused."""

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises((httpx.LocalProtocolError, TypeError, ValueError)) as caught:
            await client.get(url, **options)
        assert PASSWORD not in "".join(traceback.format_exception_only(type(caught.value), caught.value))

    with ScriptedServer(fine()) as server:
        driver.run(scenario, server.url)
        assert received(server) == b""


def test_the_password_of_a_url_goes_into_one_field_only(driver: Driver):
    """Harm: in the request line or in Host it would be in the server's and every proxy's access log."""

    async def scenario(client: Any, url: str) -> None:
        await client.get(url)

    with ScriptedServer(fine()) as server:
        driver.run(scenario, f"http://jo:{PASSWORD}@127.0.0.1:{server.port}/path")
        sent = received(server)
    assert sent.startswith(b"GET /path HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)
    assert sent.count(b"Authorization: Basic ") == 1
    assert PASSWORD.encode() not in sent


# Redirects to another origin.


async def get_with_secrets(client: Any, url: str) -> None:
    response = await client.get(url, headers={**PRIVATE, "X-Public": "p"}, follow_redirects=True)
    assert response.status_code == 200


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See Other", b"307 Again", b"308 For Ever"])
def test_another_port_is_another_origin_and_gets_no_secrets(driver: Driver, status: bytes):
    """Harm: whoever controls a redirect collects the credentials (CVE-2018-18074 and many like it)."""
    with ScriptedServer(fine()) as last, ScriptedServer(moved(last.url, status)) as first:
        driver.run(get_with_secrets, first.url)
        assert received(first).count(b"s3cret") == len(PRIVATE)
        assert b"s3cret" not in received(last)
        assert b"X-Public: p\r\n" in received(last)


def test_another_host_is_another_origin_and_gets_no_secrets(driver: Driver):
    """Harm: as above; the same address and port under another name may be another tenant."""

    def handler(conn: Any, recorded: Any) -> None:
        while True:
            head = conn.read_head()
            if b"Host: 127" in head:
                location = b"Location: http://localhost:%d/\r\n" % conn.getsockname()[1]
                conn.sendall(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
                return
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return

    with ScriptedServer(handler) as server:
        driver.run(get_with_secrets, server.url)
        first, last = server.received
        assert first.count(b"s3cret") == len(PRIVATE)
        assert b"Host: localhost:%d\r\n" % server.port in last
        assert b"s3cret" not in last


def test_the_same_origin_keeps_all_but_cookies(driver: Driver):
    """Within one origin nothing leaks. A Cookie header of the caller's is rebuilt from the jar, as in 0.28.1."""

    def handler(conn: Any, recorded: Any) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 302 Found\r\nLocation: /2\r\nContent-Length: 0\r\n\r\n")
        head = conn.read_head()
        for name, value in PRIVATE.items():
            assert (f"{name}: {value}\r\n".encode() in head) == (name != "Cookie"), name
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with ScriptedServer(handler) as server:
        driver.run(get_with_secrets, server.url)


def test_secrets_do_not_return_with_a_redirect_back(driver: Driver):
    """
    Harm: a server in the middle sends the chain back to a path of its choice, with credentials (CVE-2024-45336).
    """
    with ScriptedServer([answer(), answer()]) as middle:
        heads: list[bytes] = []

        def first(conn: Any, recorded: Any) -> None:
            heads.append(conn.read_head())
            to = middle.url if len(heads) == 1 else ""
            status = b"302 Found" if to else b"200 OK"
            conn.sendall(b"HTTP/1.1 %b\r\nLocation: %b/\r\nContent-Length: 0\r\n\r\n" % (status, to.encode()))

        with ScriptedServer([repeat(first_answer(first))]) as home:
            middle.scripts = (moved(f"{home.url}/stolen"),)
            driver.run(get_with_secrets, home.url)
        assert len(heads) == 2
        assert heads[0].count(b"s3cret") == len(PRIVATE)
        assert heads[1].startswith(b"GET /stolen ")
        assert b"s3cret" not in heads[1]
        assert b"s3cret" not in received(middle)


def first_answer(handler: Any) -> Any:
    """A handler as a step."""
    return lambda conn: handler(conn, conn.recorded)


class Signing(httpx.Auth):
    """Signs each request, and would answer challenges for ever."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        while True:
            request.headers["Authorization"] = "Signed s3cret"
            response = yield request
            if response.status_code != 401:
                return


@pytest.mark.parametrize("auth", [("jo", "s3cret"), Signing(), httpx.BearerAuth("s3cret")])
def test_authentication_ends_where_the_origin_ends(driver: Driver, auth: Any):
    """Harm: a foreign server answers 401, and the flow signs a request for it."""

    async def scenario(client: Any, url: str) -> None:
        response = await client.get(url, auth=auth, follow_redirects=True)
        assert response.status_code == 401

    challenge = [repeat(answer(b"", b'WWW-Authenticate: Basic realm="x"', status=b"401 Unauthorized"))]
    with ScriptedServer(challenge) as last, ScriptedServer(moved(last.url)) as first:
        driver.run(scenario, first.url)
        assert b"\r\nAuthorization: " in received(first)
        assert b"Authorization" not in received(last)
        assert received(last).count(b"GET /") == 1


def test_a_digest_is_not_computed_for_another_origin(driver: Driver):
    """Harm: a response to a chosen nonce lets the password be guessed offline."""

    async def scenario(client: Any, url: str) -> None:
        response = await client.get(url, auth=httpx.DigestAuth("jo", PASSWORD), follow_redirects=True)
        assert response.status_code == 401

    challenge = b'WWW-Authenticate: Digest realm="x", nonce="abc", qop="auth"'
    with ScriptedServer([repeat(answer(b"", challenge, status=b"401 Unauthorized"))]) as last:
        with ScriptedServer(moved(last.url)) as first:
            driver.run(scenario, first.url)
        assert received(last).count(b"GET /") == 1
        assert b"Authorization" not in received(last)


def test_credentials_of_the_clients_url_stay_with_its_origin(driver: Driver):
    """Harm: as above, for those who write user and password into the URL."""

    async def scenario(client: Any, url: str) -> None:
        await client.get(url, follow_redirects=True)

    with ScriptedServer(fine()) as last, ScriptedServer(moved(last.url)) as first:
        driver.run(scenario, f"http://jo:{PASSWORD}@127.0.0.1:{first.port}/")
        assert b"Authorization: Basic" in received(first)
        assert b"Authorization" not in received(last)


def test_the_client_may_name_more_headers_that_are_private(driver: Driver):
    """Harm: tokens in headers of one's own would leave with the first redirect."""

    async def scenario(client: Any, url: str) -> None:
        headers = {"x-MY-token": "s3cret", "X-Api-Key": "k3y", "Authorization": "s3cret"}
        await client.get(url, headers=headers, follow_redirects=True)

    with ScriptedServer(fine()) as last, ScriptedServer(moved(last.url)) as first:
        driver.run(scenario, first.url, sensitive_headers=["X-My-Token"])
        assert received(first).count(b"s3cret") == 2
        assert b"s3cret" not in received(last)
        # Who names headers names all of them.
        assert b"k3y" in received(last)


def test_headers_of_the_client_are_as_private_as_those_of_the_request(driver: Driver):
    """Harm: a token set once for all requests is sent to wherever a redirect leads."""

    async def scenario(client: Any, url: str) -> None:
        await client.get(url, follow_redirects=True)

    with ScriptedServer(fine()) as last, ScriptedServer(moved(last.url)) as first:
        driver.run(scenario, first.url, headers=PRIVATE)
        assert received(first).count(b"s3cret") == len(PRIVATE)
        assert b"s3cret" not in received(last)


def test_cookies_of_the_jar_go_where_they_belong(driver: Driver):
    """Harm: a session cookie for one host, sent to another; and the other way round, one that is lost."""

    async def scenario(client: Any, url: str) -> None:
        client.cookies.set("session", "s3cret", domain="127.0.0.1")
        client.cookies.set("other", "0ther", domain="localhost.local")
        await client.get(url, follow_redirects=True)

    def handler(conn: Any, recorded: Any) -> None:
        head = conn.read_head()
        location = b"Location: http://localhost:%d/\r\n" % conn.getsockname()[1] if b"Host: 127" in head else b""
        status = b"302 Found" if location else b"200 OK"
        conn.sendall(b"HTTP/1.1 " + status + b"\r\n" + location + b"Content-Length: 0\r\nConnection: close\r\n\r\n")

    with ScriptedServer(handler) as server:
        driver.run(scenario, server.url)
        first, last = server.received
        assert b"session=s3cret" in first
        assert b"s3cret" not in last


def test_https_to_http_drops_all_secrets(driver: Driver):
    """Harm: what was meant for an encrypted connection is readable for everybody on the way."""

    async def scenario(client: Any, url: str) -> None:
        await get_with_secrets(client, url)

    with ScriptedServer(fine(), host="127.0.0.1") as last:
        plain = f"http://localhost:{last.port}/"
        with ScriptedServer(moved(plain), tls=certs.server_context()) as first:
            driver.run(scenario, f"https://localhost:{first.port}/", verify=certs.client_context())
            assert received(first).count(b"s3cret") == len(PRIVATE)
        assert b"s3cret" not in received(last)
        assert b"X-Public: p\r\n" in received(last)


@pytest.mark.parametrize(
    ("start", "location", "kept"),
    [
        ("http://a.example/", "https://a.example/", True),
        ("http://a.example:80/", "https://a.example:443/", True),
        ("http://A.example/", "https://a.EXAMPLE/", True),
        ("http://a.example/", "http://a.example:80/", True),
        ("http://a.example/", "//a.example/", True),
        ("https://a.example/", "http://a.example/", False),
        ("http://a.example/", "https://a.example:8443/", False),
        ("http://a.example:8080/", "https://a.example/", False),
        ("http://a.example/", "https://www.a.example/", False),
        ("http://www.a.example/", "https://a.example/", False),
        ("http://a.example/", "http://a.example./", False),
        ("http://a.example/", "http://a.example:81/", False),
        ("http://a.example/", "http://a.example@b.example/", False),
        ("http://a.example/", "http://b.example/a.example", False),
        ("http://[::1]/", "http://[::2]/", False),
        ("http://[::1]/", "http://[::1]:80/", True),
    ],
)
def test_what_is_the_same_origin(start: str, location: str, kept: bool):
    """Harm: a comparison of hosts that is too generous gives secrets away, one too strict breaks logins."""
    last: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        last.append(request)
        return httpx.Response(302, headers={"Location": location}) if len(last) == 1 else httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(handler), follow_redirects=True) as client:
        client.get(start, headers={**PRIVATE, "X-Public": "p"})
        assert len(last) == 2
        found = {name for name in PRIVATE if name in last[1].headers}
        assert found == (set(PRIVATE) - {"Cookie"} if kept else set())
        assert last[1].headers["x-public"] == "p"


def test_credentials_in_a_location_are_not_taken_over(driver: Driver):
    """Harm: a server logs the client in as somebody else, at a place of its choice."""

    async def scenario(client: Any, url: str) -> None:
        await client.get(url, follow_redirects=True)

    with ScriptedServer(fine()) as last:
        location = f"http://mallory:{PASSWORD}@127.0.0.1:{last.port}/"
        with ScriptedServer(moved(location)) as first:
            driver.run(scenario, first.url)
        assert b"Authorization" not in received(last)


def test_no_referer_is_sent(driver: Driver):
    """Harm: the first URL, with its token, would be told to the second server."""

    async def scenario(client: Any, url: str) -> None:
        await client.get(url, follow_redirects=True)

    with ScriptedServer(fine()) as last, ScriptedServer(moved(last.url)) as first:
        driver.run(scenario, f"{first.url}/?{QUERY}")
        assert TOKEN.encode() not in received(last)
        assert b"referer" not in received(last).lower()


def test_a_compressed_answer_shows_nothing_of_itself_when_it_is_broken(driver: Driver):
    """Harm: bodies hold personal data; of what a peer sends at most 20 bytes may be in a message."""
    body = gzip.compress(b"personal data " * 10)[:-6]

    async def scenario(client: Any, url: str) -> None:
        with pytest.raises(httpx.DecodingError) as caught:
            await client.get(url)
        assert "personal" not in texts_of(caught.value)

    with ScriptedServer([answer(body, b"Content-Encoding: gzip")]) as server:
        driver.run(scenario, server.url)
