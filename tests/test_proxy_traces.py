"""What whoever traces a request sees of its way through a proxy: the steps `proxy.*` and `socks.*`, as in 0.28.1."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import httpx
from support import certs
from support.drivers import Driver
from support.proxies import ScriptedProxy, ScriptedSocksProxy
from support.servers import ScriptedServer, answer, repeat


def steps_of(driver: Driver, proxy: str, **options: Any) -> list[str]:
    """The steps of one https request through a proxy, up to the request itself; each as it ended."""
    events: list[str] = []

    async def scenario(client: Any) -> None:
        await client.get("https://example.org/", extensions={"trace": note})

    def note(name: str, info: dict[str, Any]) -> Any:
        events.append(name)
        return driver.pause(0) if driver.is_async else None

    driver.run(scenario, proxy=proxy, verify=certs.client_context(), trust_env=False, **options)
    begun = [name for name in events if not name.startswith("http")]
    assert begun[::2] == [name.replace(".complete", ".started") for name in begun[1::2]]
    return begun[1::2]


@pytest.fixture
def origin() -> Any:
    with ScriptedServer([repeat(answer())], tls=certs.server_context()) as server:
        yield server


def test_a_tunnel_through_an_http_proxy(driver: Driver, origin: ScriptedServer):
    with ScriptedProxy({"example.org:443": origin.port}) as proxy:
        assert steps_of(driver, proxy.url) == [
            "connection.connect_tcp.complete",
            "proxy.connect_tunnel.complete",
            "proxy.start_tls.complete",
        ]


@pytest.mark.parametrize(("scheme", "step"), [("socks5", "socks5"), ("socks5h", "socks5"), ("socks4a", "socks4")])
def test_a_tunnel_through_a_socks_proxy(driver: Driver, origin: ScriptedServer, scheme: str, step: str):
    with ScriptedSocksProxy({"example.org:443": origin.port}) as proxy:
        assert steps_of(driver, proxy.url.replace("socks5", scheme)) == [
            "connection.connect_tcp.complete",
            f"socks.setup_{step}_connection.complete",
            "socks.start_tls.complete",
        ]


def test_a_trace_is_told_of_each_connection_what_0_28_1_told(driver: Driver, origin: ScriptedServer):
    """A program asks the connection in a trace for its addresses or its certificate, and got None to ask."""
    told: dict[str, Any] = {}
    kept: list[Any] = []

    async def scenario(client: Any) -> None:
        await client.get(origin.url.replace("127.0.0.1", "localhost"), extensions={"trace": note})

    def note(name: str, info: dict[str, Any]) -> Any:
        if name.startswith("connection.") and name.endswith(".started"):
            told[name] = list(info)
        elif name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            stream = info["return_value"]
            told[name] = stream.get_extra_info("server_addr")[1], stream.get_extra_info("ssl_object") is not None
            assert str(origin.port) in repr(stream)
            kept.append(stream)
        return driver.pause(0) if driver.is_async else None

    resolve = {"localhost": "127.0.0.1"}
    driver.run(scenario, verify=certs.client_context(), trust_env=False, resolve=resolve)
    assert told == {
        "connection.connect_tcp.started": ["host", "port", "local_address", "timeout", "socket_options"],
        "connection.connect_tcp.complete": (origin.port, False),
        "connection.start_tls.started": ["ssl_context", "server_hostname", "timeout"],
        "connection.start_tls.complete": (origin.port, True),
    }
    assert [stream.get_extra_info("server_addr") for stream in kept] == [None, None]


def test_a_tunnel_that_is_refused(driver: Driver):
    events: list[str] = []

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ProxyError):
            await client.get("https://example.org/", extensions={"trace": note})

    def note(name: str, info: dict[str, Any]) -> Any:
        events.append(name)
        return driver.pause(0) if driver.is_async else None

    with ScriptedSocksProxy({}, refuse=1) as proxy:
        driver.run(scenario, proxy=proxy.url, trust_env=False)
    assert events[-2:] == ["socks.setup_socks5_connection.started", "socks.setup_socks5_connection.failed"]


def test_the_steps_are_logged_by_their_families(driver: Driver, origin: ScriptedServer, caplog: Any):
    caplog.set_level(logging.DEBUG, "httpcore")
    with ScriptedProxy({"example.org:443": origin.port}) as proxy:
        steps_of(driver, proxy.url)
    said = {(record.name, record.getMessage().split()[0]) for record in caplog.records}
    assert {("httpcore.proxy", "connect_tunnel.complete"), ("httpcore.proxy", "start_tls.complete")} <= said
