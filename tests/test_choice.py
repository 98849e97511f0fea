"""
By which proxy a request travels: the extension "proxy", a function as `proxy=`, and who keeps which connections.

That what belongs to one proxy reaches nobody else is looked up in the bytes that proxies and origins received.

Not here: what is said to a proxy (`conformance/test_real_proxies.py`), those of the environment (`test_proxies.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import re
from base64 import b64encode
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Optional

import pytest

import httpx
from httpx._transports import choice
from httpx._transports.choice import Choice, as_proxy
from support import certs
from support.drivers import Driver
from support.engines import warm_uvloop
from support.leaks import no_lost_exceptions, nothing_left, trusting_context
from support.proxies import ScriptedProxy, ScriptedSocksProxy
from support.servers import ScriptedServer, answer, repeat, silence
from support.together import in_threads

LARGE = 4_000_000  # bytes: more than any engine takes before somebody reads
NAMES = ("a.example.com", "b.example.com")


def engines_of(client: Any) -> list[Any]:
    """All engines of a client's transports, those of chosen proxies too."""
    transports = [client._transport, *(transport for transport in client._mounts.values() if transport is not None)]
    found: list[Any] = []
    for transport in transports:
        found += transport._engines.values() if hasattr(transport, "_engines") else [transport._engine]
        found += [entry.engine for entry in transport._choice._entries.values()]
    return found


def open_connections(client: Any) -> int:
    counts = [engine.pool.counts() for engine in engines_of(client)]
    assert all(opened == idle and not dials and not waiting for opened, idle, dials, waiting in counts)
    return sum(opened for opened, _, _, _ in counts)


def run(driver: Driver, scenario: Any, **options: Any) -> Any:
    """The scenario's result; afterwards no descriptor is left."""
    options.setdefault("trust_env", False)

    async def main() -> Any:
        with no_lost_exceptions():
            async with driver.client(verify=trusting_context(), timeout=3, **options) as client:
                outcome = await scenario(client)
                open_connections(client)  # none is in use
            return outcome

    warm_uvloop()
    with nothing_left():
        return driver.run_bare(main)


def serve(name: str, scheme: str) -> Any:
    """An origin that answers with its name, and to "/to/<host>/<path>" with a redirect there; /large is that."""

    def step(conn: Any) -> None:
        target = conn.read_request()[0].split(b" ")[1].decode("ascii")
        if target.startswith("/to/"):
            location = f"{scheme}://{target[4:]}".encode()
            conn.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location)
        else:
            body = bytes(LARGE) if target == "/large" else name.encode()
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    return step


class Net:
    """
    Two origins and two proxies that know both, each with a login of its own.

    Attributes:
        urls: of the proxies, with their logins.
        logins: these as in a field.
    """

    def __init__(self, tls: bool = False) -> None:
        context = certs.server_context() if tls else None
        self.scheme = "https" if tls else "http"
        self.origins = [ScriptedServer([repeat(serve(name, self.scheme))], tls=context) for name in NAMES]
        port = 443 if tls else 80
        routes = {f"{name}:{port}": server.port for name, server in zip(NAMES, self.origins)}
        self.logins = [b64encode(f"user{number}:secret{number}".encode()).decode() for number in (1, 2)]
        self.proxies = [ScriptedProxy(routes, login=login) for login in self.logins]
        self.urls = [
            proxy.url.replace("//", f"//user{number}:secret{number}@") for number, proxy in enumerate(self.proxies, 1)
        ]

    def hosts(self) -> list[list[str]]:
        """Which origins each proxy was asked for, one name for each request."""
        return [
            [next(name for name in NAMES if re.match(rb"\S+ (http://)?" + name.encode(), head)) for head in proxy.heads]
            for proxy in self.proxies
        ]

    def check_secrets(self) -> None:
        """Each proxy knows its own login only, the origins know none."""
        for number, proxy in enumerate(self.proxies):
            received = b"".join(proxy.received)
            assert self.logins[1 - number].encode() not in received
            assert f"secret{2 - number}".encode() not in received
        for origin in self.origins:
            received = b"".join(origin.received)
            assert b"proxy-authorization" not in received.lower()
            assert not any(login.encode() in received for login in self.logins)


@pytest.fixture(params=[False, True], ids=["http", "https"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@contextlib.contextmanager
def started(net: Net) -> Iterator[Net]:
    with contextlib.ExitStack() as stack:
        for server in (*net.origins, *net.proxies):
            stack.enter_context(server)
        yield net


@pytest.fixture
def net(tls: bool) -> Iterator[Net]:
    with started(Net(tls)) as net:
        yield net


@pytest.fixture
def plain_net() -> Iterator[Net]:
    with started(Net()) as net:
        yield net


def by_host(net: Net) -> Any:
    """A function that takes the first proxy for a.example.com, the second one for b.example.com."""
    return lambda request: net.urls[request.url.host == NAMES[1]]


# What is chosen.


@pytest.mark.parametrize("kind", [str, httpx.URL, httpx.Proxy])
def test_a_request_may_name_its_proxy(driver: Driver, net: Net, tls: bool, kind: Any):
    async def scenario(client: Any) -> None:
        for number in (0, 1, 0):
            url = f"http{'s' if tls else ''}://a.example.com/"
            response = await client.get(url, extensions={"proxy": kind(net.urls[number])})
            assert response.text == "a.example.com"
        assert open_connections(client) == 2

    run(driver, scenario)
    assert [len(set(hosts)) for hosts in net.hosts()] == [1, 1]
    assert [proxy.connections for proxy in net.proxies] == [1, 1]
    net.check_secrets()


def test_a_function_chooses_for_each_request(driver: Driver, net: Net, tls: bool):
    seen: list[httpx.Request] = []

    def choose(request: httpx.Request) -> Optional[str]:
        seen.append(request)
        return by_host(net)(request) if request.url.host in NAMES else None

    async def scenario(client: Any) -> None:
        scheme = "https" if tls else "http"
        for name in (*NAMES, *NAMES):
            assert (await client.get(f"{scheme}://{name}/")).text == name
        host = "localhost" if tls else "127.0.0.1"
        assert (await client.get(f"{scheme}://{host}:{net.origins[0].port}/")).text == "a.example.com"

    run(driver, scenario, proxy=choose)
    assert [request.url.host for request in seen[:4]] == [*NAMES, *NAMES]
    assert [set(hosts) for hosts in net.hosts()] == [{NAMES[0]}, {NAMES[1]}]
    net.check_secrets()


def test_the_request_comes_before_the_function_and_both_before_the_client(driver: Driver, plain_net: Net):
    first, second = plain_net.urls

    async def scenario(client: Any) -> None:
        for extensions in ({}, {"proxy": second}):
            assert (await client.get("http://a.example.com/", extensions=extensions)).text == "a.example.com"
        assert (await client.get(direct, extensions={"proxy": None})).text == "direct"

    with ScriptedServer([repeat(answer(b"direct"))]) as server:
        direct = server.url
        for proxy in (first, httpx.Proxy(first), lambda request: first):
            run(driver, scenario, proxy=proxy)
    assert plain_net.hosts() == [[NAMES[0]] * 3, [NAMES[0]] * 3]
    assert len(server.received) == 3


def test_a_request_that_names_the_transports_own_proxy_uses_its_connections(driver: Driver):
    async def scenario(client: Any) -> None:
        for extensions in ({}, {"proxy": url}, {"proxy": httpx.Proxy(proxy.url, auth=("u", "p"))}):
            assert (await client.get("http://a.example.com/", extensions=extensions)).text == "ok"
        assert len(engines_of(client)) == 1

    with ScriptedServer([repeat(answer())]) as server, ScriptedProxy({"a.example.com:80": server.port}) as proxy:
        url = proxy.url.replace("//", "//u:p@")
        run(driver, scenario, proxy=url)
        assert proxy.connections == 1


def test_the_environment_and_mounts_give_way_to_the_request(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    async def scenario(client: Any) -> None:
        assert (await client.get("http://a.example.com/")).text == "ok"
        assert (await client.get("http://a.example.com/", extensions={"proxy": other.url})).text == "ok"
        assert (await client.get(server.url, extensions={"proxy": None})).text == "ok"

    server = ScriptedServer([repeat(answer())])
    proxy, other = (ScriptedProxy({"a.example.com:80": server.port}) for _ in range(2))
    with server, proxy, other:
        run(driver, scenario, mounts={"http://": driver.transport(proxy=proxy.url)})
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        run(driver, scenario, trust_env=True)
        assert [len(proxy.heads), len(other.heads)] == [2, 2]
        assert len([received for received in server.received if b"GET / HTTP/1.1\r\nHost: 127" in received]) == 2


def test_other_transports_do_not_know_the_extension():
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(204))) as client:
        assert client.get("http://a.example.com/", extensions={"proxy": "http://127.0.0.1:1"}).status_code == 204


def test_the_top_level_functions_take_a_function():
    with ScriptedServer([repeat(answer())]) as server, ScriptedProxy({"a.example.com:80": server.port}) as proxy:
        assert httpx.get("http://a.example.com/", proxy=lambda request: proxy.url, trust_env=False).text == "ok"
        with httpx.stream("GET", "http://a.example.com/", proxy=lambda request: proxy.url, trust_env=False) as response:
            assert response.read() == b"ok"
        assert len(proxy.heads) == 2


def test_socks_may_be_chosen(driver: Driver):
    async def scenario(client: Any) -> None:
        url = f"socks5h://{proxy.netloc}"
        assert (await client.get("http://a.example.com/", extensions={"proxy": url})).text == "ok"

    with ScriptedServer([repeat(answer())]) as server, ScriptedSocksProxy({"a.example.com:80": server.port}) as proxy:
        run(driver, scenario)
        assert [asked.host for asked in proxy.asked] == ["a.example.com"]


def test_what_else_the_transport_was_told_holds_for_chosen_proxies_too(driver: Driver):
    """Its resolver, timeouts and retries; and each Proxy brings its own TLS context."""

    async def scenario(client: Any) -> None:
        proxy = httpx.Proxy(f"https://proxy.example:{server.port}", ssl_context=trusting_context())
        with pytest.raises(httpx.ConnectError, match=r"proxy\.example"):  # the certificate is for localhost
            await client.get("https://a.example.com/", extensions={"proxy": proxy})
        short = httpx.Timeout(3, connect=0.05)
        silent = f"http://proxy.example:{mute.port}"
        with pytest.raises(httpx.ConnectTimeout, match=r"connect timeout of 0\.05 s"):
            await client.get("https://a.example.com/", extensions={"proxy": silent}, timeout=short)

    with ScriptedServer([repeat(silence())]) as mute, ScriptedProxy(tls=certs.server_context()) as server:
        run(driver, scenario, resolve={"proxy.example": "127.0.0.1"})
        assert server.heads == []


# What is no proxy.


@pytest.mark.parametrize(
    ("proxy", "kind", "words"),
    [
        (5, TypeError, "a proxy must be a URL, an httpx.Proxy or None, got int"),
        ("ftp://a", ValueError, "unknown scheme 'ftp'"),
        ("http://[", httpx.InvalidURL, "IPv6|bracket|host"),
    ],
)
def test_what_is_no_proxy_is_said_where_it_is_given(driver: Driver, proxy: Any, kind: type[Exception], words: str):
    async def scenario(client: Any) -> None:
        with pytest.raises(kind, match=words):
            await client.get("http://a.example.com/", extensions={"proxy": proxy})

    run(driver, scenario)
    with pytest.raises(kind, match=words):
        run(driver, scenario, proxy=proxy)


def test_what_the_function_raises_is_raised(driver: Driver):
    def choose(request: httpx.Request) -> str:
        raise LookupError("none left")

    async def scenario(client: Any) -> None:
        with pytest.raises(LookupError, match="none left"):
            await client.get("http://a.example.com/")

    run(driver, scenario, proxy=choose)


def test_as_proxy():
    proxy = httpx.Proxy("http://a")
    assert as_proxy(None) is None
    assert as_proxy(proxy) is proxy
    assert str(as_proxy(httpx.URL("http://u:p@a")).url) == "http://a"  # type: ignore[union-attr]  # it is one


# Redirects.


def test_each_step_of_a_redirect_goes_through_its_own_proxy(driver: Driver, net: Net):
    async def scenario(client: Any) -> None:
        url = f"{net.scheme}://a.example.com/to/b.example.com/to/a.example.com/"
        response = await client.get(url, follow_redirects=True, headers={"Authorization": "mine"})
        assert (response.text, len(response.history)) == ("a.example.com", 2)

    run(driver, scenario, proxy=by_host(net))
    assert [set(hosts) for hosts in net.hosts()] == [{NAMES[0]}, {NAMES[1]}]
    net.check_secrets()
    assert b"mine" in b"".join(net.origins[0].received)
    assert b"mine" not in b"".join(net.origins[1].received)


def test_the_extension_holds_for_all_steps_of_a_redirect(driver: Driver, net: Net):
    async def scenario(client: Any) -> None:
        url = f"{net.scheme}://a.example.com/to/b.example.com/"
        response = await client.get(url, follow_redirects=True, extensions={"proxy": net.urls[1]})
        assert response.text == "b.example.com"

    run(driver, scenario, proxy=net.urls[0])
    assert [set(hosts) for hosts in net.hosts()] == [set(), set(NAMES)]
    net.check_secrets()


def test_a_field_for_a_proxy_among_the_requests_own_goes_to_no_origin(driver: Driver):
    """The harm: within a tunnel it is the origin that reads it (as with CVE-2023-32681)."""

    async def scenario(client: Any) -> None:
        headers = {"Proxy-Authorization": "Basic bWluZQ=="}
        assert (await client.get("http://a.example.com/", headers=headers)).text == "ok"
        assert (await client.get("https://a.example.com/", headers=headers)).text == "ok"

    with (
        ScriptedServer([repeat(answer())]) as plain,
        ScriptedServer([repeat(answer())], tls=certs.server_context()) as server,
    ):
        with ScriptedProxy({"a.example.com:80": plain.port, "a.example.com:443": server.port}) as proxy:
            run(driver, scenario, proxy=proxy.url)
            assert [b"Basic bWluZQ==" in head for head in proxy.heads] == [True, False]
        assert b"proxy-authorization" not in b"".join([*server.received, *plain.received]).lower()


# Who keeps what.


def test_connections_are_kept_by_what_a_proxy_is_told(driver: Driver):
    proxies: list[Any] = []

    async def scenario(client: Any) -> None:
        for chosen in [*proxies, *proxies]:
            assert (await client.get("http://a.example.com/", extensions={"proxy": chosen})).text == "ok"
        assert open_connections(client) == len(proxies)

    with ScriptedServer([repeat(answer())]) as server, ScriptedProxy({"a.example.com:80": server.port}) as proxy:
        proxies += [
            proxy.url,
            proxy.url.replace("//", "//u:p@"),
            proxy.url.replace("//", "//u:q@"),
            httpx.Proxy(proxy.url, headers={"X-Team": "blue"}),
            httpx.Proxy(proxy.url, headers={"X-Team": "red"}),
        ]
        run(driver, scenario)
        assert proxy.connections == len(proxies)
        own = [received for received in proxy.received if b"X-Team: red" in received]
        assert len(own) == 1
        assert b"blue" not in own[0]


def test_a_proxy_that_is_changed_later_does_not_change_its_connections(driver: Driver):
    async def scenario(client: Any) -> None:
        chosen = httpx.Proxy(proxy.url, headers={"X-Team": "blue"})
        for team in ("blue", "red", "blue"):
            chosen.headers["X-Team"] = team
            assert (await client.get("http://a.example.com/", extensions={"proxy": chosen})).text == "ok"

    with ScriptedServer([repeat(answer())]) as server, ScriptedProxy({"a.example.com:80": server.port}) as proxy:
        run(driver, scenario)
        assert sorted(received.count(b"X-Team: red") for received in proxy.received) == [0, 1]


def test_no_more_engines_are_kept_than_there_may_be_and_none_in_use_is_closed(driver: Driver):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "http://a.example.com/large", extensions={"proxy": with_login(0)}) as held:
            for number in range(1, choice.MAX_ENGINES + 5):
                response = await client.get("http://a.example.com/", extensions={"proxy": with_login(number)})
                assert response.text == "a.example.com"
            assert len(engines_of(client)) <= choice.MAX_ENGINES + 1
            assert len(await held.aread()) == LARGE
        await driver.pause(0.01)
        # The one that was held is there still, and so is the last.
        for number in (0, choice.MAX_ENGINES + 4):
            await client.get("http://a.example.com/", extensions={"proxy": with_login(number)})

    def with_login(number: int) -> str:
        return proxy.url.replace("//", f"//user{number}:p@")

    server = ScriptedServer([repeat(serve("a.example.com", "http"))])
    with server, ScriptedProxy({"a.example.com:80": server.port}) as proxy:
        run(driver, scenario)
        assert proxy.connections == choice.MAX_ENGINES + 5


def test_engines_that_are_all_in_use_are_all_kept():
    def make(settings: Any) -> Any:
        made.append(SimpleNamespace(pool=SimpleNamespace(counts=lambda: (1, 0, 0, 0)), settings=settings))
        return made[-1]

    made: list[Any] = []
    closed: list[Any] = []
    own = httpx.HTTPTransport()._settings
    chosen = Choice(own, None, make, closed.append)
    requests = [
        httpx.Request("GET", "http://a", extensions={"proxy": f"http://u{n}:p@127.0.0.1"})
        for n in range(choice.MAX_ENGINES + 3)
    ]
    uses = [chosen.use(request) for request in requests]
    assert all(use is not None for use in uses)
    assert len(made) == choice.MAX_ENGINES + 3
    for engine in made:
        engine.pool.counts = lambda: (1, 1, 0, 0)
    chosen.use(httpx.Request("GET", "http://a", extensions={"proxy": "http://last"}))
    assert closed == [], "their requests are still in `handle`"
    for use in uses[:5]:
        assert use is not None
        with use:
            pass
    chosen.use(httpx.Request("GET", "http://a", extensions={"proxy": "http://very-last"}))
    assert closed == made[:5]
    assert [engine for _, engine in chosen.take_all()] == made[5:]


def test_engines_of_loops_that_have_ended_are_not_in_use():
    ended = SimpleNamespace(pool=SimpleNamespace(counts=lambda: (1, 0, 0, 0)), has_ended=lambda: True)
    closed: list[Any] = []
    chosen = Choice(httpx.HTTPTransport()._settings, None, lambda settings: ended, closed.append)
    for number in range(choice.MAX_ENGINES + 2):
        chosen.use(httpx.Request("GET", "http://a", extensions={"proxy": f"http://proxy{number}"}))
    assert closed == [ended] * 2


def test_texts_of_proxies_are_remembered_up_to_a_number():
    chosen = Choice(httpx.HTTPTransport()._settings, None, lambda settings: None, lambda engine: None)
    request = httpx.Request("GET", "http://a")
    for number in range(200):
        request.extensions["proxy"] = f"http://proxy{number}"
        assert chosen._chosen(request) is chosen._chosen(request)
        assert len(chosen._texts) <= 64


def test_each_loop_has_engines_of_its_own_and_closing_closes_them_all():
    async def ask(client: httpx.AsyncClient) -> None:
        assert (await client.get("http://a.example.com/", extensions={"proxy": proxy.url})).text == "ok"

    async def ask_and_close(client: httpx.AsyncClient) -> None:
        await ask(client)
        await client.aclose()

    server = ScriptedServer([repeat(answer())])
    with nothing_left(), server, ScriptedProxy({"a.example.com:80": server.port}) as proxy:
        client = httpx.AsyncClient(trust_env=False)
        other = asyncio.new_event_loop()
        other.run_until_complete(ask(client))
        third = asyncio.new_event_loop()
        third.run_until_complete(ask(client))
        assert len(engines_of(client)) == 2
        third.close()  # without a word to the client
        asyncio.run(ask(client))
        assert len(engines_of(client)) == 2 + 1
        other.run_until_complete(ask_and_close(client))
        assert engines_of(client) == []
        other.close()
        assert proxy.connections == 3


def test_threads_share_the_engines():
    server = ScriptedServer([repeat(answer())])
    with server, ScriptedProxy({"a.example.com:80": server.port}) as proxy:
        client = httpx.Client(trust_env=False, proxy=lambda request: proxy.url)
        assert in_threads([lambda: client.get("http://a.example.com/").text for _ in range(8)]) == ["ok"] * 8
        assert len(engines_of(client)) == 2
        assert open_connections(client) <= 8
        assert len(proxy.heads) == 8
        client.close()


def through_nobody(request: httpx.Request) -> None:
    return None


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_a_client_comes_back_with_its_function(kind: Any):
    copied = pickle.loads(pickle.dumps(kind(proxy=through_nobody, resolve={"a.example.com": "127.0.0.1"})))
    assert copied._transport._choice.function is through_nobody
    assert copied._transport._chooses
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(kind(proxy=lambda request: None))
