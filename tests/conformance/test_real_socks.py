"""
SOCKS as others speak it: OpenSSH's `ssh -D` (4, 4a and 5), dante (4 and 5), microsocks (5 with user and password).

Not here: what goes wrong on the way, and what each side is told (`test_real_proxies.py`, with proxies that say it).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

import httpx
from support import certs
from support.drivers import Driver
from support.leaks import settled, trusting_context
from support.proxies import PASSWORD, USER, Dante, Microsocks, OpenSSH
from support.running import started
from support.servers import ScriptedServer, answer, repeat


@pytest.fixture(scope="module")
def openssh() -> Iterator[OpenSSH]:
    """A running `ssh -D`, or a skip; see `conftest.nginx`."""
    with started(OpenSSH) as server:
        yield server


@pytest.fixture(scope="module")
def dante() -> Iterator[Dante]:
    """A running dante, or a skip."""
    with started(Dante) as server:
        yield server


@pytest.fixture(scope="module")
def microsocks() -> Iterator[Microsocks]:
    """A running microsocks, or a skip."""
    with started(Microsocks) as server:
        yield server


def origin(tls: bool, host: str) -> ScriptedServer:
    """A server that answers everything with 100 kB; a skip where this machine has no IPv6."""
    try:
        context = certs.server_context() if tls else None
        return ScriptedServer([repeat(answer(b"ok" * 50_000))], tls=context, host=host)
    except OSError:
        pytest.skip("no IPv6")


def check(driver: Driver, scheme: str, netloc: str, tls: bool, host: str) -> None:
    """Requests through the proxy arrive, on one connection, as if there were no proxy."""

    async def scenario(client: Any) -> None:
        for _ in range(3):
            response = await client.post(url, content=b"x" * 100_000)
            assert (response.status_code, response.content) == (200, b"ok" * 50_000)
        await settled(client)

    with origin(tls, "::1" if ":" in host else "127.0.0.1") as server:
        url = f"http{'s' if tls else ''}://{host}:{server.port}/x"
        driver.run(scenario, proxy=f"{scheme}://{netloc}", verify=trusting_context(), trust_env=False)
        assert server.connections == 1
        received = b"".join(server.received)
    assert received.count(b"POST /x HTTP/1.1\r\n") == 3
    assert PASSWORD.encode() not in received


# What each version can be told: SOCKS 4a and 5 names, all of them IPv4, only 5 IPv6.
WAYS = [
    (scheme, host)
    for scheme in ("socks4", "socks4a", "socks5", "socks5h")
    for host in ("localhost", "127.0.0.1", "[::1]")
    if scheme[5] == "5" or host != "[::1]"
]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(("scheme", "host"), WAYS)
def test_openssh(driver: Driver, openssh: OpenSSH, scheme: str, host: str, tls: bool):
    check(driver, scheme, f"127.0.0.1:{openssh.port}", tls, host)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(("scheme", "host"), [way for way in WAYS if way != ("socks4a", "localhost")])
def test_dante(driver: Driver, dante: Dante, scheme: str, host: str, tls: bool):
    check(driver, scheme, f"127.0.0.1:{dante.port}", tls, host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_microsocks_knows_who_asks(driver: Driver, microsocks: Microsocks, host: str):
    login = f"{USER}:{quote(PASSWORD, safe='')}"
    check(driver, "socks5", f"{login}@127.0.0.1:{microsocks.port}", True, host)


def test_microsocks_refuses_whom_it_does_not_know(driver: Driver, microsocks: Microsocks):
    async def scenario(client: Any) -> str:
        with pytest.raises(httpx.ProxyError) as caught:
            await client.get("http://127.0.0.1/")
        return str(caught.value)

    for login, words in ((f"{USER}:geheim@", "refused user name and password"), ("", "requires authentication")):
        message = driver.run(scenario, proxy=f"socks5h://{login}127.0.0.1:{microsocks.port}", trust_env=False)
        assert words in message
        assert "geheim" not in message


def test_a_refused_connection_is_said_in_words(driver: Driver, openssh: OpenSSH, dante: Dante):
    async def scenario(client: Any) -> str:
        with pytest.raises(httpx.ProxyError) as caught:
            await client.get("http://127.0.0.1:1/")
        return str(caught.value)

    for program in (openssh, dante):
        message = driver.run(scenario, proxy=f"socks5://127.0.0.1:{program.port}", trust_env=False)
        assert message.startswith("socks5 proxy made no tunnel to '127.0.0.1', port 1, while connecting: ")
