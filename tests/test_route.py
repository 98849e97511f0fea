"""Which host is dialled, and which hops follow."""

from __future__ import annotations

import socket
from typing import Any, Optional

import pytest

import httpx
from httpx._config import Limits
from httpx._engine import route as route_module
from httpx._engine import security
from httpx._engine.names import Address
from httpx._engine.settings import Settings
from httpx._exceptions import ConnectError, ProxyError
from httpx._protocol.tunnel import ConnectHandshake
from support import certs

PROXY_CONTEXT = certs.client_context()

HAS_UNIX = hasattr(socket, "AF_UNIX")


def v4(last: int) -> Address:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{last}", 80))


def v6(last: int) -> Address:
    return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2001:db8::{last}", 80, 0, 0))


def settings(**changes: Any) -> Settings:
    options: dict[str, Any] = {
        "verify": True,
        "cert": None,
        "trust_env": True,
        "http1": True,
        "http2": False,
        "limits": Limits(),
        "uds": None,
        "local_address": None,
        "retries": 0,
        "socket_options": None,
    }
    return Settings(**{**options, **changes})


# The order of addresses.


def route(url: str, proxy: Any = None, server_name: Optional[str] = None, **changes: Any) -> route_module.Route:
    """The way to an origin."""
    key = httpx.URL(url)._origin
    if isinstance(proxy, str):
        proxy = httpx.Proxy(proxy)
    return route_module.Route(
        key, server_name or key[1], settings(proxy=proxy, verify=certs.client_context(), **changes)
    )


def shown(hop: Any) -> Any:
    """A hop as a word: the name that TLS is for, or the kind of handshake."""
    return hop.server_name if isinstance(hop, security.TLSHop) else type(hop).__name__


@pytest.mark.parametrize(
    ("proxy", "url", "hops"),
    [
        (None, "http://a.test", []),
        (None, "https://a.test", ["a.test"]),
        (None, "wss://a.test", ["a.test"]),
        ("http://p.test", "http://a.test", []),
        ("http://p.test", "https://a.test", ["ConnectHandshake", "a.test"]),
        ("http://p.test", "ws://a.test", ["ConnectHandshake"]),
        ("http://p.test", "wss://a.test", ["ConnectHandshake", "a.test"]),
        ("https://p.test", "http://a.test", ["p.test"]),
        ("https://p.test", "https://a.test", ["p.test", "ConnectHandshake", "a.test"]),
        ("socks5://p.test", "http://a.test", ["SocksHandshake"]),
        ("socks5h://p.test", "https://a.test", ["SocksHandshake", "a.test"]),
        ("socks4a://p.test", "ws://a.test", ["SocksHandshake"]),
    ],
)
def test_the_hops_of_a_route(proxy: Optional[str], url: str, hops: list[str]):
    way = route(url, proxy and httpx.Proxy(proxy, ssl_context=PROXY_CONTEXT))
    assert [shown(hop) for hop in way.hops()] == hops
    assert way.host == ("a.test" if proxy is None else "p.test")
    assert way.unresolved is None


@pytest.mark.parametrize(
    ("proxy", "port"),
    [
        (None, 443),
        ("http://p.test", 80),
        ("https://p.test", 443),
        ("http://p.test:3128", 3128),
        ("socks5://p.test", 1080),
        ("socks4://p.test:9050", 9050),
    ],
)
def test_the_port_to_dial(proxy: Optional[str], port: int):
    assert route("https://a.test", proxy).port == port


def test_each_tls_hop_has_its_own_context_and_name():
    way = route("https://a.test", httpx.Proxy("https://p.test", ssl_context=PROXY_CONTEXT), server_name="sni.test")
    first, _, last = way.hops()
    assert isinstance(first, security.TLSHop)
    assert isinstance(last, security.TLSHop)
    assert (first.context, first.server_name, first.offered) == (PROXY_CONTEXT, "p.test", ("http/1.1",))
    assert (last.context is PROXY_CONTEXT, last.server_name) == (False, "sni.test")


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://a.test", b"a.test:443"),
        ("https://a.test:8443", b"a.test:8443"),
        ("wss://a.test", b"a.test:443"),
        ("ws://a.test", b"a.test:80"),
        ("https://[2001:db8::1]", b"[2001:db8::1]:443"),
        ("https://192.0.2.1", b"192.0.2.1:443"),
        ("https://b\u00fccher.example", b"xn--bcher-kva.example:443"),
    ],
)
def test_the_authority_of_a_tunnel(url: str, authority: bytes):
    handshake = next(iter(route(url, "http://u:p@p.test").hops()))
    assert isinstance(handshake, ConnectHandshake)
    assert handshake.take() == (
        b"CONNECT %b HTTP/1.1\r\nHost: %b\r\nAccept: */*\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        % (authority, authority)
    )


@pytest.mark.parametrize(
    ("proxy", "url", "answer"),
    [
        ("http://p.test", "https://a.test", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("socks4a://p.test", "https://a.test", b"\0\x5a" + bytes(6)),
        ("socks4a://p.test", "http://a.test", b"\0\x5a" + bytes(6)),
    ],
)
@pytest.mark.parametrize("surplus", [b"", b"x"])
def test_a_proxy_that_says_more_than_its_answer_is_not_used(proxy: str, url: str, answer: bytes, surplus: bytes):
    """What it says would have been taken for the origin's answer."""
    hops = route(url, proxy).hops()
    handshake = next(hops)
    assert not isinstance(handshake, security.TLSHop)
    handshake.take()
    handshake.receive(answer + surplus)
    assert handshake.done
    if surplus:
        with pytest.raises(ProxyError, match="more than its response"):
            next(hops)
    else:
        assert [shown(hop) for hop in hops] == (["a.test"] if url.startswith("https") else [])


def test_socks_is_told_who_asks():
    handshake = next(iter(route("http://a.test", "socks4a://joe@p.test").hops()))
    assert not isinstance(handshake, security.TLSHop)
    assert handshake.take() == b"\4\1\0\x50\0\0\0\1joe\0a.test\0"
    handshake = next(iter(route("http://a.test", "socks5://p.test").hops()))
    assert not isinstance(handshake, security.TLSHop)
    assert handshake.take() == b"\5\1\0"


def test_socks4_has_the_name_resolved_here():
    way = route("http://a.test", "socks4://p.test")
    assert way.unresolved == ("a.test", 80)
    way.resolved([v6(1), v4(7), v4(8)])
    handshake = next(iter(way.hops()))
    assert not isinstance(handshake, security.TLSHop)
    assert handshake.take() == b"\4\1\0\x50" + bytes((192, 0, 2, 7)) + b"\0"
    for addresses in ([], [v6(1)]):
        with pytest.raises(ConnectError, match=r"'a\.test' has no IPv4 address"):
            route("http://a.test", "socks4://p.test").resolved(addresses)


def test_a_resolved_origin_keeps_its_name_for_tls():
    way = route("https://a.test", "socks4://p.test")
    way.resolved([v4(7)])
    assert [shown(hop) for hop in way.hops()] == ["SocksHandshake", "a.test"]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, []),
        ({"headers": {"X-Team": "blue"}}, [(b"X-Team", b"blue")]),
        ({"auth": ("user", "pass")}, [(b"Proxy-Authorization", b"Basic dXNlcjpwYXNz")]),
        ({"auth": ("user", "")}, [(b"Proxy-Authorization", b"Basic dXNlcjo=")]),
        ({"auth": ("j\u00fc", "\u00e4")}, [(b"Proxy-Authorization", b"Basic asO8OsOk")]),
        (
            {"auth": ("user", "pass"), "headers": {"PROXY-authorization": "Bearer x"}},
            [(b"PROXY-authorization", b"Bearer x")],
        ),
    ],
)
def test_the_fields_for_a_proxy(options: Any, fields: Any):
    assert route_module.proxy_fields(httpx.Proxy("http://p.test", **options)) == fields


def test_only_http_proxies_have_requests_forwarded():
    proxies = ["http://p.test", "https://p.test", "socks5://p.test", "socks4://p.test"]
    assert [settings(proxy=httpx.Proxy(proxy)).forwards for proxy in proxies] == [True, True, False, False]
    assert not settings().forwards
