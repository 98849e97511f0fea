"""
Requests through proxies, on every driver: what each side is told, what goes wrong on the way, and that nothing is left.

The scripted proxies record their bytes, so that "for the proxy only" is looked up and not believed; squid and tinyproxy
are what others run. Names end in routes of the proxies: nothing here is resolved, but where a test is about that.

Not here: the handshakes by themselves (`test_tunnel.py`, `test_socks.py`).
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import socket
import tempfile
import threading
import warnings
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

import httpx
from support import certs
from support.drivers import Driver
from support.engines import ASYNC_NAMES, driver_named, warm_uvloop
from support.leaks import counts_of, no_lost_exceptions, nothing_left, settled, trusting_context
from support.proxies import (
    PASSWORD,
    TINY_PASSWORD,
    USER,
    Asked,
    ScriptedProxy,
    ScriptedSocksProxy,
    Squid,
    Tinyproxy,
    relay,
)
from support.running import started
from support.servers import (
    ScriptedServer,
    Step,
    answer,
    close,
    drip,
    repeat,
    reset,
    send,
    silence,
)
from support.steps import Cancelled, Steps

SHORT = 0.1  # seconds: what never ends is given up then
LOGIN = b64encode("jür@gen:pa:ss/wörd%".encode()).decode()
QUOTED = "j%C3%BCr%40gen:pa%3Ass%2Fw%C3%B6rd%25"


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """What is made once stays open: no test has left it."""
    trusting_context()
    warm_uvloop()


def run(driver: Driver, scenario: Any, *args: Any, **options: Any) -> Any:
    """The scenario's result; afterwards no connection is in use, and no descriptor left."""
    options.setdefault("timeout", 3)
    if "transport" not in options and "all://" not in options.get("mounts", {}):  # those have a context of their own
        options["verify"] = trusting_context()

    async def main() -> Any:
        with no_lost_exceptions():
            async with driver.client(trust_env=False, **options) as client:
                outcome = await scenario(client, *args)
                await settled(client)
            return outcome

    with nothing_left():
        return driver.run_bare(main)


async def get(client: Any, *urls: str, **options: Any) -> Any:
    """The answers; the one answer of one URL."""
    responses = [await client.get(url, **options) for url in urls]
    return responses[0] if len(responses) == 1 else responses


def failure(driver: Driver, url: str, kind: type[Exception], /, request: Any = (), **options: Any) -> Any:
    """What a GET raises."""

    async def scenario(client: Any) -> Exception:
        with pytest.raises(kind) as caught:
            await client.get(url, **dict(request))
        return caught.value

    error = run(driver, scenario, **options)
    assert type(error) is kind, repr(error)
    assert str(error.request.url) == url  # type: ignore[attr-defined]  # every exception of a request has it
    return error


def origin(tls: bool = False, host: str = "127.0.0.1", *steps: Step) -> ScriptedServer:
    """A server that says "ok" to everything."""
    return ScriptedServer([repeat(*(steps or [answer()]))], tls=certs.server_context() if tls else None, host=host)


def fields(head: bytes) -> dict[str, str]:
    """The fields of a head; none comes twice."""
    pairs = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:-2]]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def proxied(url: str, **options: Any) -> httpx.Proxy:
    """A proxy whose certificate is trusted, if it has one."""
    return httpx.Proxy(url, ssl_context=trusting_context() if url.startswith("https") else None, **options)


@pytest.fixture(params=[False, True], ids=["plain proxy", "TLS proxy"])
def front(request: pytest.FixtureRequest) -> Any:
    """The server's TLS context of a proxy that is reached over TLS; or None."""
    return certs.server_context() if request.param else None


# Who is told what.


def test_a_plain_request_goes_to_the_proxy_with_its_whole_url(driver: Driver, front: Any):
    with origin() as server, ScriptedProxy({"example.org:80": server.port}, tls=front) as proxy:
        proxy_at = proxied(f"{proxy.scheme}://{QUOTED}@{proxy.netloc}", headers={"X-Team": "blue"})
        response = run(driver, get, "http://example.org/a?b=c#d", proxy=proxy_at, headers={"X-Own": "1"})
        assert response.text == "ok"
    assert proxy.heads[0].startswith(b"GET http://example.org/a?b=c HTTP/1.1\r\n")
    told = fields(proxy.heads[0])
    assert told["Host"] == "example.org"
    assert told["Proxy-Authorization"] == f"Basic {LOGIN}"
    assert told["X-Team"] == "blue"
    assert told["X-Own"] == "1"
    assert server.received[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert b"Proxy-" not in server.received[0]


def test_a_tunnel_is_asked_for_and_nothing_else_is_told(driver: Driver, front: Any):
    """The proxy learns where to, and its own fields; the origin learns nothing of the proxy."""
    with origin(tls=True) as server, ScriptedProxy({"example.org:443": server.port}, tls=front) as proxy:
        proxy_at = proxied(f"{proxy.scheme}://{QUOTED}@{proxy.netloc}", headers={"X-Team": "blue"})
        response = run(
            driver,
            functools.partial(get, headers={"Authorization": "Bearer secret", "X-Own": "1"}, cookies={"a": "b"}),
            "https://example.org/a?b=c",
            proxy=proxy_at,
        )
        assert response.text == "ok"
    assert proxy.heads == [
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nAccept: */*\r\nX-Team: blue\r\n"
        b"Proxy-Authorization: Basic %b\r\n\r\n" % LOGIN.encode()
    ]
    assert proxy.received[0].startswith(proxy.heads[0] + b"\x16\x03")  # and a TLS handshake comes next
    assert server.received[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\n")
    told = fields(server.received[0])
    assert told["Authorization"] == "Bearer secret"
    assert told["X-Own"] == "1"
    assert not {name for name in told if name.lower().startswith(("proxy-", "x-team"))}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_credentials_come_from_the_url_or_the_argument(driver: Driver):
    with origin() as server, ScriptedProxy({"example.org:80": server.port}) as proxy:
        ways = [
            proxy.url.replace("//", "//only-user@"),
            httpx.Proxy(proxy.url, auth=("user", "pässword")),
            httpx.Proxy(proxy.url, headers={"Proxy-Authorization": "Bearer token"}),
            httpx.Proxy(proxy.url, auth=("user", "pw"), headers={"proxy-authorization": "Bearer token"}),
            httpx.URL(proxy.url),
        ]
        for way in ways:
            assert run(driver, get, "http://example.org/", proxy=way).text == "ok"
    told = [{name.lower(): value for name, value in fields(head).items()} for head in proxy.heads]
    assert [each.get("proxy-authorization") for each in told] == [
        "Basic " + b64encode(b"only-user:").decode(),
        "Basic " + b64encode("user:pässword".encode()).decode(),
        "Bearer token",
        "Bearer token",
        None,
    ]


def test_what_the_request_has_itself_is_not_sent_twice(driver: Driver):
    """Two Hosts were refused by our own machine, two User-Agents were one too many; 0.28.1 sends the request's own."""
    own = {"User-Agent": "mine", "Proxy-Authorization": "Bearer mine"}
    with origin() as server, ScriptedProxy({"example.org:80": server.port}) as proxy:
        proxy_at = httpx.Proxy(
            proxy.url, auth=("a", "b"), headers={"Host": "other", "User-Agent": "its", "X-Team": "1"}
        )
        run(driver, functools.partial(get, headers=own), "http://example.org/", proxy=proxy_at)
    told = fields(proxy.heads[0])
    assert (told["Host"], told["User-Agent"], told["X-Team"]) == ("example.org", "mine", "1")
    assert told["Proxy-Authorization"] == "Bearer mine"


def test_a_field_for_the_proxy_replaces_the_usual_one_of_connect(driver: Driver):
    with origin(tls=True) as server, ScriptedProxy({"example.org:443": server.port}) as proxy:
        proxy_at = httpx.Proxy(proxy.url, headers={"host": "other", "Accept": "text/plain"})
        assert run(driver, get, "https://example.org/", proxy=proxy_at).text == "ok"
    assert fields(proxy.heads[0]) == {"host": "other", "Accept": "text/plain"}


def test_a_body_is_forwarded_whole(driver: Driver):
    async def scenario(client: Any) -> Any:
        await client.post("http://example.org/", content=b"x" * 200_000)
        return await client.post("http://example.org/", content=driver.body([b"one", b"two"]))

    with origin() as server, ScriptedProxy({"example.org:80": server.port}) as proxy:
        assert run(driver, scenario, proxy=proxy.url).status_code == 200
    assert server.received[0].endswith(b"\r\n\r\n" + b"x" * 200_000)
    assert server.received[1].endswith(b"onetwo")


def test_ipv6_origins_have_their_brackets(driver: Driver):
    try:
        servers = origin(host="::1"), origin(tls=True, host="::1")
    except OSError:
        pytest.skip("no IPv6")
    with servers[0] as plain, servers[1] as tls, ScriptedProxy() as proxy:
        urls = [f"http://[::1]:{plain.port}/x", f"https://[::1]:{tls.port}/"]
        assert [each.text for each in run(driver, get, *urls, proxy=proxy.url)] == ["ok", "ok"]
    assert proxy.heads[0].startswith(b"GET http://[::1]:%d/x HTTP/1.1\r\nHost: [::1]:%d\r\n" % (plain.port, plain.port))
    assert proxy.heads[1].startswith(b"CONNECT [::1]:%d HTTP/1.1\r\nHost: [::1]:%d\r\n" % (tls.port, tls.port))


def test_a_proxy_may_be_at_an_ipv6_address(driver: Driver):
    try:
        proxy = ScriptedProxy(host="::1")
    except OSError:
        pytest.skip("no IPv6")
    with proxy, origin() as server:
        response = run(driver, get, server.url, proxy=f"http://[::1]:{proxy.port}")
        assert response.text == "ok"


# Ways to name a proxy.


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_mounts_and_the_old_mapping_choose_a_proxy(driver: Driver, scheme: str):
    with origin(tls=scheme == "https") as server, ScriptedProxy() as proxy, ScriptedProxy() as other:
        url = f"{scheme}://localhost:{server.port}/"
        proxied_transport = driver.transport(proxy=proxy.url, verify=trusting_context())
        assert run(driver, get, url, mounts={"all://": proxied_transport}).text == "ok"
        assert len(proxy.heads) == 1
        with pytest.warns(DeprecationWarning, match="proxies"):
            assert old_way(driver, url, {"all": other.url, scheme: proxy.url}).text == "ok"
        assert len(proxy.heads) == 2
        with pytest.warns(DeprecationWarning, match="proxies"):
            assert old_way(driver, url, {"all://": proxy.url, f"{scheme}://localhost": None}).text == "ok"
    assert len(proxy.heads) == 2
    assert not other.heads


def old_way(driver: Driver, url: str, proxies: Any) -> Any:
    async def main() -> Any:
        async with driver.client(proxies=proxies, verify=trusting_context()) as client:
            return await client.get(url)

    return driver.run_bare(main)


def test_the_top_level_functions_take_a_proxy():
    with origin() as server, origin(tls=True) as secure, ScriptedProxy() as proxy, nothing_left():
        assert httpx.get(server.url, proxy=proxy.url).text == "ok"
        assert httpx.post(f"https://localhost:{secure.port}", proxy=proxy.url, verify=trusting_context()).text == "ok"
        with httpx.stream("GET", server.url, proxy=httpx.Proxy(proxy.url)) as response:
            assert response.read() == b"ok"
    assert [head.split(b" ")[0] for head in proxy.heads] == [b"GET", b"CONNECT", b"GET"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix domain sockets")
def test_a_unix_socket_is_still_where_to_connect_to(driver: Driver):
    """With both, the socket is where the proxy listens; without a proxy nothing has changed."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        with ScriptedServer([repeat(answer())], uds=path) as server:
            plain = driver.transport(uds=path)
            through = driver.transport(uds=path, proxy="http://proxy.example")
            assert run(driver, get, "http://example.org/x", transport=plain).text == "ok"
            assert run(driver, get, "http://example.org/x", transport=through).text == "ok"
    assert server.received[0].startswith(b"GET /x HTTP/1.1\r\n")
    assert server.received[1].startswith(b"GET http://example.org/x HTTP/1.1\r\n")


def test_connections_are_made_from_the_local_address_and_with_the_options(driver: Driver):
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]

    async def scenario(client: Any) -> Any:
        async with client.stream("GET", "https://example.org/") as response:
            stream = response.extensions["network_stream"]
            await response.aread()
            sock = stream.get_extra_info("socket")
            return stream.get_extra_info("client_addr")[0], sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    with origin(tls=True) as server, ScriptedProxy({"example.org:443": server.port}) as proxy:
        transport = driver.transport(
            proxy=proxy.url, local_address="127.0.0.1", socket_options=options, verify=trusting_context()
        )
        assert run(driver, scenario, transport=transport) == ("127.0.0.1", 1)


# Connections are kept.


def test_connections_are_kept_by_origin(driver: Driver, front: Any):
    routes = {"a.test:80": 0, "b.test:80": 0, "example.org:443": 0, "localhost:443": 0}
    urls = ["http://a.test/1", "http://b.test/2", "https://example.org/3", "https://localhost/4"]
    with origin() as plain, origin(tls=True) as tls:
        routes = {name: tls.port if name.endswith("443") else plain.port for name in routes}
        with ScriptedProxy(routes, tls=front) as proxy:

            async def scenario(client: Any) -> Any:
                responses = await get(client, *urls, *urls)
                assert counts_of(client)[:2] == (4, 4)
                return responses

            responses = run(driver, scenario, proxy=proxied(proxy.url))
            assert [response.text for response in responses] == ["ok"] * 8
            assert proxy.connections == 4
        assert tls.connections == 2
    assert [head.split(b" ")[0] for head in proxy.heads] == [b"GET", b"GET", b"CONNECT", b"CONNECT", b"GET", b"GET"]


def test_a_tunnel_that_was_closed_is_made_anew(driver: Driver):
    with (
        ScriptedServer([answer(), answer()], tls=certs.server_context()) as server,
        ScriptedProxy({"example.org:443": server.port}) as proxy,
    ):
        responses = run(driver, get, *["https://example.org/"] * 6, proxy=proxy.url)
        assert [response.text for response in responses] == ["ok"] * 6
        assert [head.split(b" ")[0] for head in proxy.heads] == [b"CONNECT"] * 3


def test_a_second_answer_of_the_proxy_is_not_the_next_requests(driver: Driver):
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%b"
    with ScriptedProxy(script=[send(one % b"own" + one % b"bad"), silence()]) as proxy:
        urls = ["http://a.test/1", "http://a.test/2"]
        responses = run(driver, get, *urls, proxy=proxy.url)
        assert [response.text for response in responses] == ["own", "own"]
        assert proxy.connections == 2


def test_one_connection_serves_one_tunnel_after_another(driver: Driver):
    with origin(tls=True) as server, ScriptedProxy({"example.org:443": server.port, "localhost:443": server.port}) as p:
        urls = ["https://example.org/", "https://localhost/", "https://example.org/"]
        limits = httpx.Limits(max_connections=1)
        assert [each.text for each in run(driver, get, *urls, proxy=p.url, limits=limits)] == ["ok"] * 3
        assert len(p.heads) == 3


# Redirects.


def test_redirects_do_not_carry_what_is_the_proxys(driver: Driver):
    """From a forwarded request to tunnels and back, each side is told only what is its own."""
    routes: dict[str, int] = {}
    to = b"Location: https://example.org/tunnelled"
    moved = answer(b"", to, status=b"302 Found")
    with origin(False, "127.0.0.1", moved) as first, ScriptedProxy(routes, login=LOGIN) as proxy:
        back = answer(b"", b"Location: http://b.test/last", status=b"302 Found")
        with ScriptedServer([repeat(back)], tls=certs.server_context()) as second, origin() as third:
            proxy.routes.update({"a.test:80": first.port, "example.org:443": second.port, "b.test:80": third.port})
            url = proxy.url.replace("//", f"//{QUOTED}@")
            response = run(driver, get, "http://a.test/", proxy=url, follow_redirects=True)
            assert (response.text, str(response.url)) == ("ok", "http://b.test/last")
            assert [head.split(b" ")[0] for head in proxy.heads] == [b"GET", b"CONNECT", b"GET"]
            for head in proxy.heads:
                assert fields(head)["Proxy-Authorization"] == f"Basic {LOGIN}"
            for server in (first, second, third):
                assert b"proxy-auth" not in server.received[0].lower()
            assert "Proxy-Authorization" not in response.request.headers


# Refusals.


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"407 Proxy Authentication Required", "407 Proxy Authentication Required"),
        (b"403 Forbidden", "403 Forbidden"),
        (b"502 Bad Gateway", "502 Bad Gateway"),
        (b"301 Moved Permanently", "301 Moved Permanently"),
        (b"400 ", "400"),
        (b"403 R\xc3\xa9fus\xc3\xa9", "403 R\ufffd\ufffdfus\ufffd\ufffd"),
    ],
)
def test_a_refused_tunnel_is_a_proxy_error(driver: Driver, line: bytes, message: str):
    refusal = b"HTTP/1.1 " + line + b"\r\nContent-Length: 7\r\n\r\nrefused"
    with ScriptedProxy(script=[send(refusal), silence()]) as proxy:
        error = failure(driver, "https://example.org/", httpx.ProxyError, proxy=proxy.url)
    assert str(error) == message
    assert proxy.connections == 1


def test_a_refused_tunnel_is_not_tried_again(driver: Driver):
    """It is no failure to connect: the proxy has said no."""
    with ScriptedProxy(login=LOGIN) as proxy:
        transport = driver.transport(proxy=proxy.url, retries=3)
        error = failure(driver, "https://example.org/", httpx.ProxyError, transport=transport)
    assert str(error) == "407 Proxy Authentication Required"
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"])
def test_a_refused_forward_is_an_answer(driver: Driver, front: Any, status: str):
    refusal = b"HTTP/1.1 " + status.encode() + b"\r\nContent-Length: 7\r\n\r\nrefused"
    with ScriptedProxy(script=[send(refusal)], tls=front) as proxy:
        response = run(driver, get, "http://example.org/", proxy=proxied(proxy.url))
    assert f"{response.status_code} {response.reason_phrase}" == status
    assert response.text == "refused"


def test_a_login_that_the_proxy_wants_is_what_it_gets(driver: Driver):
    with origin(tls=True) as server, ScriptedProxy({"example.org:443": server.port}, login=LOGIN) as proxy:
        url = proxy.url.replace("//", f"//{QUOTED}@")
        assert run(driver, get, "https://example.org/", proxy=url).text == "ok"
        wrong = url.replace("wörd", "x").replace("%25@", "@")
        error = failure(driver, "https://example.org/", httpx.ProxyError, proxy=wrong)
    assert str(error).startswith("407")
    assert "pa" not in str(error)


# What goes wrong on the way.

BAD_ANSWERS: dict[str, tuple[list[Step], str]] = {
    "closes": ([close()], "closed the connection"),
    "resets": ([reset()], "broke the connection|closed the connection"),
    "closes in the head": ([send(b"HTTP/1.1 200 OK\r\nX-"), close()], "closed the connection"),
    "garbage": ([send(b"SSH-2.0-OpenSSH\r\n\r\n"), silence()], "status line"),
    "binary garbage": ([send(bytes(range(256)) * 4), silence()], "response to CONNECT"),
    "bad field": ([send(b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n"), silence()], "response to CONNECT"),
    "endless head": ([send(b"HTTP/1.1 200 OK\r\n" + b"X-Field: value\r\n" * 20_000), silence()], "response to CONNECT"),
    "endless interim": ([send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000), silence()], "response to CONNECT"),
    "switches": ([send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), silence()], "101"),
    "surplus": ([send(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil"), silence()], "more than its response"),
    "large surplus": ([send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000), silence()], "more than its response"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_proxy_that_answers_badly_is_a_proxy_error(driver: Driver, front: Any, name: str):
    script, message = BAD_ANSWERS[name]
    with ScriptedProxy(script=script, tls=front) as proxy:
        error = failure(driver, "https://example.org/", httpx.ProxyError, proxy=proxied(proxy.url))
    assert re.search(message, str(error)), str(error)
    assert len(str(error)) < 200


@pytest.mark.parametrize("pieces", ["in one piece", "byte by byte"])
def test_interim_answers_before_the_tunnel_do_not_matter(driver: Driver, pieces: str):
    head = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 299 \r\nTransfer-Encoding: chunked\r\n\r\n"
    with origin(tls=True) as server:

        def tunnel(conn: Any) -> None:
            for index in range(len(head)) if pieces == "byte by byte" else ():
                conn.sendall(head[index : index + 1])
            if pieces != "byte by byte":
                conn.sendall(head)
            with socket.create_connection(("127.0.0.1", server.port)) as target:
                relay(conn, target)

        with ScriptedProxy(script=[tunnel]) as proxy:
            assert run(driver, get, "https://example.org/", proxy=proxy.url).text == "ok"


@pytest.mark.parametrize("total", [False, True], ids=["connect", "total"])
@pytest.mark.parametrize("what", ["silence", "drip", "TLS, then silence", "silence in the tunnel"])
def test_no_step_outlasts_its_timeout(driver: Driver, what: str, total: bool):
    """Each byte of a dripping answer used to start its time anew in other clients."""
    script: list[Step] = [silence()]
    front = None
    if what == "drip":
        script = [drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, SHORT / 10)]
    elif what == "TLS, then silence":
        front = certs.server_context()
    elif what == "silence in the tunnel":
        script = [send(b"HTTP/1.1 200 OK\r\n\r\n"), silence()]
    timeout = httpx.Timeout(3, total=SHORT) if total else httpx.Timeout(3, connect=SHORT)
    with ScriptedProxy(script=script, tls=front) as proxy:
        error = failure(driver, "https://example.org/", httpx.ConnectTimeout, proxy=proxied(proxy.url), timeout=timeout)
    assert f"{'total' if total else 'connect'} timeout of {SHORT:g} s" in str(error)


def test_a_proxy_that_takes_nothing_is_bounded_too(driver: Driver):
    """Fields for the proxy that do not fit into the buffers of the sockets."""
    headers = {f"X-{number}": "y" * 60_000 for number in range(160)}
    go = threading.Event()

    def ignore(conn: Any, recorded: list[bytes]) -> None:
        go.wait(3)

    with ScriptedServer(ignore) as server:
        proxy = httpx.Proxy(server.url, headers=headers)
        timeout = httpx.Timeout(3, connect=SHORT)

        async def scenario(client: Any) -> Any:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get("https://example.org/")
            go.set()

        run(driver, scenario, proxy=proxy, timeout=timeout)


def test_fields_for_the_proxy_are_written_whole(driver: Driver):
    with origin(tls=True) as server, ScriptedProxy({"example.org:443": server.port}) as proxy:
        headers = {f"X-{number}": "y" * 60_000 for number in range(40)}
        proxy_at = httpx.Proxy(proxy.url, headers=headers)
        assert run(driver, get, "https://example.org/", proxy=proxy_at).text == "ok"
    assert len(proxy.heads[0]) > 2_400_000


@pytest.mark.parametrize("url", ["http://example.org/", "https://example.org/"])
def test_fields_for_the_proxy_pass_the_same_gate(driver: Driver, url: str):
    with ScriptedProxy() as proxy:
        for headers in ({"X Team": "blue"}, {"Content-Length": "1"}):
            proxy_at = httpx.Proxy(proxy.url, headers=headers)
            error = failure(driver, url, httpx.LocalProtocolError, proxy=proxy_at)
            assert "token" in str(error) or "Content-Length" in str(error)
    assert not proxy.heads


def test_a_proxy_that_is_not_there_is_a_connect_error(driver: Driver):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    for url in ("http://example.org/", "https://example.org/"):
        for scheme in ("http", "https", "socks5", "socks4a"):
            error = failure(driver, url, httpx.ConnectError, proxy=f"{scheme}://user:secret@127.0.0.1:{port}")
            assert f"127.0.0.1:{port}" in str(error)
            assert "secret" not in str(error)


def test_attempts_to_reach_the_proxy_are_tried_again(driver: Driver):
    """A handshake that fails is one of them, as without a proxy."""
    with origin(tls=True) as server, ScriptedProxy({"example.org:443": server.port}, tls=certs.server_context()) as p:
        real, times = p._encrypted, []

        def refuse_once(sock: socket.socket) -> Optional[socket.socket]:
            times.append(1)
            if len(times) == 1:
                sock.close()
                return None
            return real(sock)

        p._encrypted = refuse_once  # type: ignore[method-assign]
        transport = driver.transport(proxy=proxied(p.url), retries=1, verify=trusting_context())
        assert run(driver, get, "https://example.org/", transport=transport).text == "ok"
        assert p.connections == 2


# TLS, twice.


def test_the_certificates_of_proxy_and_origin_are_checked_separately(driver: Driver):
    """What makes one of them trusted does not make the other."""
    good, other = certs.server_context(), certs.server_context("stranger")
    with origin(tls=True) as server, ScriptedProxy({"example.org:443": server.port}, tls=good) as proxy:
        # `verify` of the client is about origins: the proxy has a context of its own, or the default.
        error = failure(driver, "https://example.org/", httpx.ConnectError, proxy=proxy.url)
        assert "'localhost'" in str(error)
        assert "certificate verify failed" in str(error)
        assert not proxy.heads
    with ScriptedProxy(tls=other) as proxy:
        error = failure(driver, "http://example.org/", httpx.ConnectError, proxy=proxied(proxy.url))
        assert "certificate verify failed" in str(error)
    with ScriptedServer([repeat(answer())], tls=other) as server:
        with ScriptedProxy({"example.org:443": server.port}, tls=good) as proxy:
            error = failure(driver, "https://example.org/", httpx.ConnectError, proxy=proxied(proxy.url))
            assert "'example.org'" in str(error)
            assert len(proxy.heads) == 1
        assert not server.received[0]


def test_names_for_sni_are_each_ones_own(driver: Driver):
    names: list[Any] = []
    front, back = certs.server_context(), certs.server_context()
    front.sni_callback = lambda sock, name, context: names.append(("proxy", name))
    back.sni_callback = lambda sock, name, context: names.append(("origin", name))
    with (
        ScriptedServer([repeat(answer())], tls=back) as server,
        ScriptedProxy({"example.org:443": server.port}, tls=front) as proxy,
    ):
        request = functools.partial(get, extensions={"sni_hostname": "www.example.com"})
        assert run(driver, request, "https://example.org/", proxy=proxied(proxy.url)).text == "ok"
    assert names == [("proxy", "localhost"), ("origin", "www.example.com")]


def test_the_default_context_for_the_proxy_is_the_environments(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certs.authority_file()))

    async def main(trust_env: bool) -> Any:
        async with driver.client(proxy=proxy.url, trust_env=trust_env, verify=trusting_context()) as client:
            return await client.get(f"https://localhost:{server.port}/")

    with origin(tls=True) as server, ScriptedProxy(tls=certs.server_context()) as proxy:
        assert driver.run_bare(lambda: main(True)).text == "ok"
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            driver.run_bare(lambda: main(False))
        # It left as a plain FileNotFoundError, which no caller expects.
        monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
        with pytest.raises(httpx.ConnectError, match=r"TLS cannot begin: .*certificate file"):
            driver.run_bare(lambda: main(True))


def test_large_bodies_pass_through_tls_in_tls(driver: Driver):
    body = os.urandom(1_500_000)

    async def scenario(client: Any) -> Any:
        return await client.post("https://example.org/", content=body)

    with (
        origin(True, "127.0.0.1", answer(body)) as server,
        ScriptedProxy({"example.org:443": server.port}, tls=certs.server_context()) as proxy,
    ):
        assert run(driver, scenario, proxy=proxied(proxy.url)).content == body
    assert server.received[0].endswith(body)


# Given up in the middle.


def through_tunnel(front: bool) -> Callable[[int], Any]:
    def make(port: int) -> Any:
        return ScriptedProxy({"example.org:443": port}, tls=certs.server_context() if front else None)

    return make


def through_socks(port: int) -> Any:
    return ScriptedSocksProxy({"example.org:443": port}, login=(b"user", b"pw"))


WAYS = {"tunnel": through_tunnel(False), "TLS in TLS": through_tunnel(True), "socks5": through_socks}


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("name", [name for name in ASYNC_NAMES if name != "uvloop"])
@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_is_cancelled_on_its_way_leaves_nothing_behind(name: str, way: str, late: bool):
    driver = driver_named(name)

    async def main(steps: Steps, url: str) -> Any:
        with steps.watching(), no_lost_exceptions():
            client = httpx.AsyncClient(proxy=proxied(url), verify=trusting_context(), trust_env=False)
            outcome = await steps.run(lambda: client.get("https://example.org/"))
            await settled(client)
            assert (await client.get("https://example.org/")).text == "ok"
            await settled(client)
            await client.aclose()
            return outcome

    with origin(tls=True) as server, WAYS[way](server.port) as proxy:
        url = f"{proxy.scheme}://user:pw@{proxy.netloc}"
        for number in range(1, 100):
            steps = Steps(number, late)
            with nothing_left():
                outcome = driver.run_bare(functools.partial(main, steps, url))
            if not steps.reached:
                break
            assert isinstance(outcome, (Cancelled, httpx.Response)), repr(outcome)
        assert number > 5
        assert outcome.text == "ok"


def test_a_client_that_is_closed_in_the_handshake_ends_it(driver: Driver):
    """From another thread for the sync client: its wait ends when the client is told to close, or with its timeout."""
    if not driver.is_async:
        pytest.skip("a sync dial is not overtaken: it ends with its timeout")

    async def main() -> None:
        client = driver.client(proxy=proxy.url, timeout=3)
        asked = asyncio_or_trio(driver)
        await asked(client, proxy)

    with nothing_left(), ScriptedProxy(script=[silence()]) as proxy:
        driver.run_bare(main)
        proxy.wait_until_idle()


def asyncio_or_trio(driver: Driver) -> Any:
    """A function that begins a request, closes the client when the proxy was asked, and wants a ConnectError."""

    async def until_asked(proxy: ScriptedProxy) -> None:
        for _ in range(5000):
            if proxy.heads:
                return
            await driver.pause(0.001)
        raise AssertionError("the proxy was not asked")

    async def request(client: Any) -> None:
        with pytest.raises(httpx.ConnectError, match="closed"):
            await client.get("https://example.org/")

    async def in_asyncio(client: Any, proxy: ScriptedProxy) -> None:
        task = asyncio.ensure_future(request(client))
        await until_asked(proxy)
        await client.aclose()
        await task

    async def in_trio(client: Any, proxy: ScriptedProxy) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            nursery.start_soon(request, client)
            await until_asked(proxy)
            await client.aclose()

    return in_trio if driver.name == "trio" else in_asyncio


# SOCKS.


@pytest.fixture(params=["socks5", "socks5h", "socks4", "socks4a"])
def socks(request: pytest.FixtureRequest) -> str:
    """Each scheme of a SOCKS proxy."""
    return str(request.param)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_requests_pass_through_socks(driver: Driver, socks: str, tls: bool):
    """As if there were no proxy: the origin is told nothing, and the target is a path."""
    with origin(tls=tls) as server:
        name = "localhost" if socks == "socks4" else "example.org"
        port = server.port if socks == "socks4" else 443 if tls else 80
        with ScriptedSocksProxy({f"{name}:{port}": server.port}) as proxy:
            url = f"http{'s' if tls else ''}://{name}:{port}/x"
            responses = run(driver, get, url, url, proxy=f"{socks}://{proxy.netloc}")
            assert [response.text for response in responses] == ["ok", "ok"]
            if socks == "socks4":
                assert proxy.asked == [Asked(4, "ipv4", "127.0.0.1", port)]
            else:
                assert proxy.asked == [Asked(int(socks[5]), "name", name, port)]
        assert server.connections == 1
    assert server.received[0].startswith(b"GET /x HTTP/1.1\r\n")


def test_addresses_are_passed_to_socks_as_addresses(driver: Driver, socks: str):
    with origin() as server, ScriptedSocksProxy() as proxy:
        url = f"http://127.0.0.1:{server.port}/"
        assert run(driver, get, url, proxy=f"{socks}://{proxy.netloc}").text == "ok"
        assert proxy.asked == [Asked(int(socks[5]), "ipv4", "127.0.0.1", server.port)]


def test_ipv6_through_socks(driver: Driver, socks: str):
    try:
        server = origin(host="::1")
    except OSError:
        pytest.skip("no IPv6")
    with server, ScriptedSocksProxy() as proxy:
        url = f"http://[::1]:{server.port}/"
        if socks.startswith("socks5"):
            assert run(driver, get, url, proxy=f"{socks}://{proxy.netloc}").text == "ok"
            assert proxy.asked == [Asked(5, "ipv6", "::1", server.port)]
        elif socks == "socks4":
            error = failure(driver, url, httpx.ConnectError, proxy=f"{socks}://{proxy.netloc}")
            assert "no IPv4 address" in str(error)
        else:
            error = failure(driver, url, httpx.LocalProtocolError, proxy=f"{socks}://{proxy.netloc}")
            assert "IPv6" in str(error)


def test_a_name_that_socks4_cannot_have_resolved_is_a_connect_error(driver: Driver):
    with ScriptedSocksProxy() as proxy:
        error = failure(driver, "http://no-such-name.invalid/", httpx.ConnectError, proxy=f"socks4://{proxy.netloc}")
        assert "could not be resolved" in str(error)
    assert not proxy.received


def test_user_and_password_for_socks(driver: Driver):
    user, password = "jür@gen".encode(), "pa:ss/wörd%".encode()
    with origin() as server, ScriptedSocksProxy({"example.org:80": server.port}, login=(user, password)) as proxy:
        ways: list[Any] = [
            f"socks5://{QUOTED}@{proxy.netloc}",
            httpx.Proxy(proxy.url, auth=("jür@gen", "pa:ss/wörd%")),
        ]
        for way in ways:
            assert run(driver, get, "http://example.org/", proxy=way).text == "ok"
        assert proxy.asked == [Asked(5, "name", "example.org", 80, user, password)] * 2
        for wrong in ("socks5://jemand:geheim@", "socks5://"):
            error = failure(driver, "http://example.org/", httpx.ProxyError, proxy=f"{wrong}{proxy.netloc}")
            assert "geheim" not in str(error)
    with origin() as server, ScriptedSocksProxy({"example.org:80": server.port}) as proxy:
        assert run(driver, get, "http://example.org/", proxy=f"socks4a://joe@{proxy.netloc}").text == "ok"
        assert proxy.asked == [Asked(4, "name", "example.org", 80, b"joe")]
    assert not any(b"joe" in received for received in server.received)


@pytest.mark.parametrize(
    ("scheme", "code", "words"),
    [
        ("socks5", 1, "general failure"),
        ("socks5", 2, "not allowed"),
        ("socks5h", 4, "host unreachable"),
        ("socks5", 5, "refused"),
        ("socks5", 99, "reply 99"),
        ("socks4a", 91, "rejected or failed"),
        ("socks4a", 7, "reply 7"),
    ],
)
def test_a_refusal_by_socks_is_a_proxy_error(driver: Driver, scheme: str, code: int, words: str):
    with ScriptedSocksProxy(refuse=code) as proxy:
        for url in ("http://example.org/", "https://example.org/"):
            error = failure(driver, url, httpx.ProxyError, proxy=f"{scheme}://{proxy.netloc}")
            assert words in str(error)


BAD_SOCKS: dict[str, Step] = {
    "closes": close(),
    "resets": reset(),
    "speaks HTTP": send(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "closes in the middle": send(b"\5"),
    "wrong version": send(b"\4\0"),
}


@pytest.mark.parametrize("name", BAD_SOCKS)
def test_a_socks_proxy_that_answers_badly_is_a_proxy_error(driver: Driver, name: str):
    with ScriptedSocksProxy(step=BAD_SOCKS[name]) as proxy:
        failure(driver, "http://example.org/", httpx.ProxyError, proxy=proxy.url)


@pytest.mark.parametrize("size", [9, 300_000])
def test_what_comes_behind_the_answer_of_socks_is_nobodys_answer(driver: Driver, size: int):
    """It would have been taken for the origin's: an answer that the proxy, or whoever is before it, made up."""
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" + b"x" * size
    with origin() as server:
        for url in ("http://example.org/", "https://example.org/"):
            with ScriptedSocksProxy({"example.org:80": server.port, "example.org:443": server.port}, behind=evil) as p:
                error = failure(driver, url, httpx.ProxyError, proxy=p.url)
            assert "more than its response" in str(error)


def drip_reply(conn: Any) -> None:
    """Agree to the method at once, and send the reply so slowly that it takes seconds."""
    conn.read_exactly(2)
    conn.sendall(b"\5\0")
    conn.recv()
    drip(b"\5\0\0\3\xff" + b"x" * 257, SHORT / 10)(conn)


@pytest.mark.parametrize("total", [False, True], ids=["connect", "total"])
@pytest.mark.parametrize("step", [silence(), drip_reply], ids=["silent", "drips"])
def test_no_step_of_socks_outlasts_its_timeout(driver: Driver, step: Step, total: bool):
    timeout = httpx.Timeout(3, total=SHORT) if total else httpx.Timeout(3, connect=SHORT)
    with ScriptedSocksProxy(step=step) as proxy:
        error = failure(driver, "http://example.org/", httpx.ConnectTimeout, proxy=proxy.url, timeout=timeout)
    assert f"{'total' if total else 'connect'} timeout of {SHORT:g} s" in str(error)


# What others run.


@pytest.fixture(scope="module")
def squid() -> Iterator[Squid]:
    """A running squid, or a skip; see `conftest.nginx`."""
    with started(Squid) as server:
        yield server


@pytest.fixture(scope="module")
def tinyproxy() -> Iterator[Tinyproxy]:
    """A running tinyproxy, or a skip."""
    with started(Tinyproxy) as server:
        yield server


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("entry", ["open", "locked", "secure"])
def test_squid(driver: Driver, squid: Squid, entry: str, tls: bool):
    proxy = {
        "open": httpx.Proxy(squid.url),
        "locked": httpx.Proxy(squid.auth_url, auth=(USER, PASSWORD)),
        "secure": proxied(squid.tls_url),
    }[entry]

    async def scenario(client: Any) -> Any:
        first = await client.get(url, headers={"X-Id": "1"})
        second = await client.post(url, content=b"x" * 100_000)
        async with client.stream("GET", url) as third:
            assert await third.aread() == b"ok" * 50_000
        return first, second

    with origin(tls, "127.0.0.1", answer(b"ok" * 50_000)) as server:
        url = f"http{'s' if tls else ''}://localhost:{server.port}/x"
        for response in run(driver, scenario, proxy=proxy):
            assert (response.status_code, response.content) == (200, b"ok" * 50_000)
        received = b"".join(server.received)
    assert received.count(b" /x HTTP/1.1\r\n") == 3
    assert b"proxy-authorization" not in received.lower()
    assert (b"Via: 1.1 proxy.example" in received) is not tls


def test_squid_refuses(driver: Driver, squid: Squid):
    auth_url = squid.auth_url
    response = run(driver, get, "http://localhost/x", proxy=auth_url)
    assert (response.status_code, response.reason_phrase) == (407, "Proxy Authentication Required")
    wrong = auth_url.replace("//", f"//{USER}:wrong@")
    for url in (auth_url, wrong):
        error = failure(driver, "https://localhost/x", httpx.ProxyError, proxy=url)
        assert str(error) == "407 Proxy Authentication Required"
    assert run(driver, get, "http://localhost/forbidden", proxy=squid.url).status_code == 403
    error = failure(driver, "https://forbidden.example/", httpx.ProxyError, proxy=squid.url)
    assert str(error) == "403 Forbidden"
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    assert run(driver, get, f"http://127.0.0.1:{port}/", proxy=squid.url).status_code == 503
    error = failure(driver, f"https://127.0.0.1:{port}/", httpx.ProxyError, proxy=squid.url)
    assert str(error) == "503 Service Unavailable"


def test_squid_keeps_connections(driver: Driver, squid: Squid):
    async def scenario(client: Any) -> Any:
        for _ in range(5):
            assert (await client.get(f"https://localhost:{tls.port}/")).text == "ok"
            assert (await client.get(f"http://localhost:{plain.port}/")).text == "ok"
        return counts_of(client)[:2]

    with origin() as plain, origin(tls=True) as tls:
        assert run(driver, scenario, proxy=squid.url) == (2, 2)
        assert tls.connections == 1


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_tinyproxy(driver: Driver, tinyproxy: Tinyproxy, tls: bool):
    with origin(tls=tls) as server:
        url = f"http{'s' if tls else ''}://localhost:{server.port}/x"
        proxy = tinyproxy.url.replace("//", f"//{USER}:{TINY_PASSWORD}@")
        assert [each.text for each in run(driver, get, url, url, proxy=proxy)] == ["ok", "ok"]
        if tls:
            error = failure(driver, url, httpx.ProxyError, proxy=tinyproxy.url)
            assert str(error) == "407 Proxy Authentication Required"
        else:
            assert run(driver, get, url, proxy=tinyproxy.url).status_code == 407
    assert b"proxy-authorization" not in b"".join(server.received).lower()


def test_no_warning_is_given_for_a_proxy():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        httpx.Client(proxy="socks5://localhost").close()
