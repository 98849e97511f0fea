"""Connecting, as far as it needs no waiting: the race of addresses on a clock that is passed in, settings, sockets."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._config import Limits, Proxy, create_ssl_context, default_ssl_context
from httpx._engine import dial, security
from httpx._engine.dial import (
    ATTEMPT_DELAY,
    MAX_UNIX_PATH,
    Address,
    Race,
    Route,
    Settings,
    backoff,
    interleaved,
    is_in_progress,
    new_socket,
    unix_address,
)
from httpx._exceptions import ConnectError, ConnectTimeout, ProxyError
from httpx._protocol.tunnel import ConnectHandshake
from support import certs

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


def test_the_families_take_turns_beginning_with_the_resolvers_first():
    assert interleaved([v6(1), v6(2), v6(3), v4(1), v4(2)]) == [v6(1), v4(1), v6(2), v4(2), v6(3)]
    assert interleaved([v4(1), v4(2), v6(1)]) == [v4(1), v6(1), v4(2)]
    assert interleaved([]) == []


def test_no_address_is_tried_twice():
    assert interleaved([v4(1), v4(1), v6(1), v4(2), v6(1)]) == [v4(1), v6(1), v4(2)]


@given(st.lists(st.one_of(st.integers(0, 9).map(v4), st.integers(0, 9).map(v6))))
def test_every_address_has_its_place_and_each_family_keeps_its_order(addresses):
    order = interleaved(addresses)
    assert len(order) == len(set(order))
    assert set(order) == set(addresses)
    for family in (socket.AF_INET, socket.AF_INET6):
        asked = list(dict.fromkeys(address for address in addresses if address[0] == family))
        assert [address for address in order if address[0] == family] == asked


# The race.


def test_the_first_attempt_begins_at_once_and_each_other_250_ms_later():
    race = Race("example.org", 80, [v6(1), v4(1), v6(2)])
    assert race.next(1000.0) == v6(1)
    assert race.next(1000.0) is None
    assert race.due == 1000.0 + ATTEMPT_DELAY == 1000.25
    assert race.next(1000.2) is None
    assert race.next(1000.25) == v4(1)
    assert race.due == 1000.5
    assert race.next(1001.0) == v6(2)
    assert race.due is None
    assert race.next(2000.0) is None
    assert not race.lost


def test_a_failure_lets_the_next_attempt_begin_at_once():
    race = Race("example.org", 80, [v6(1), v4(1), v6(2)])
    assert race.next(0) == v6(1)
    race.failed(v6(1), OSError(errno.ENETUNREACH, "Network is unreachable"), 0.01)
    assert race.due == 0.01
    assert race.next(0.01) == v4(1)
    assert race.next(0.02) is None
    assert race.due == pytest.approx(0.26)


def test_a_race_is_lost_when_every_attempt_has_failed():
    race = Race("example.org", 80, [v6(1), v4(1)])
    race.next(0)
    race.failed(v6(1), OSError(errno.ECONNREFUSED, ""), 0)
    assert not race.lost
    race.next(0)
    assert not race.lost
    race.failed(v4(1), OSError(errno.EHOSTUNREACH, ""), 0.1)
    assert race.lost
    assert race.due is None
    assert race.next(0.1) is None


def test_a_race_without_addresses_is_lost_from_the_start():
    race = Race("example.org", 80, [])
    assert race.lost
    assert race.due is None
    assert race.next(0) is None
    assert str(race.error()) == "no address is known for example.org:80"


def test_the_error_has_every_address_with_its_reason():
    race = Race("example.org", 443, [v6(1), v4(1), v4(2), v4(3)])
    for address, error in (
        (v6(1), OSError(errno.ENETUNREACH, "Network is unreachable")),
        (v4(1), OSError(errno.ECONNREFUSED, "")),  # as it is made from the number that `connect_ex` returns
        (v4(2), OSError("AF_UNIX path too long")),
        (v4(3), OSError()),
    ):
        assert race.next(0) == address
        race.failed(address, error, 0)
    assert str(race.error()) == (
        "no connection to example.org:443: 2001:db8::1: Network is unreachable; "
        f"192.0.2.1: {os.strerror(errno.ECONNREFUSED)}; 192.0.2.2: AF_UNIX path too long; 192.0.2.3: OSError"
    )
    assert type(race.error()) is ConnectError


def test_a_timeout_says_how_far_the_race_came():
    race = Race("example.org", 80, [v6(1), v4(1), v6(2)])
    race.next(0)
    race.next(0.25)
    error = race.timeout(0.3)
    assert type(error) is ConnectTimeout
    assert str(error) == "no connection to example.org:80 within the timeout of 0.3 s (2 of 3 addresses tried)"
    assert "within the total timeout of 2 s" in str(race.timeout(2, total=True))


def test_a_timeout_has_the_reasons_of_those_that_failed_before():
    race = Race("example.org", 80, [v4(1), v4(2), v4(3)])
    race.failed(race.next(0), OSError(errno.ECONNREFUSED, ""), 0.1)
    race.next(0.1)
    assert str(race.timeout(0.3)).endswith("(2 of 3 addresses tried; 192.0.2.1: Connection refused)")


def test_settings_for_another_proxy_share_everything_else():
    own = settings(proxy=Proxy("http://a"))
    other = own.by_way_of(Proxy("socks5://b", auth=("u", "p")))
    assert (own.forwards, other.forwards, own.by_way_of(None).forwards) == (True, False, False)
    assert str(other.proxy.url) == "socks5://b"
    assert other.proxy.auth == ("u", "p")
    assert own.by_way_of(None).proxy is None
    assert str(own.proxy.url) == "http://a"
    assert other.names is own.names
    assert other.limits is own.limits


@given(outcomes=st.lists(st.sampled_from(["fails", "hangs"]), max_size=6), pause=st.floats(0.01, 0.6))
def test_every_address_is_tried_once_and_none_earlier_than_it_may(outcomes, pause):
    """Whatever fails, and whenever the shell looks."""
    race = Race("example.org", 80, [v4(index) for index in range(len(outcomes))])
    now, earliest, tried = 0.0, 0.0, []
    while len(tried) < len(outcomes):
        address = race.next(now)
        if address is None:
            now += pause
            continue
        assert now >= earliest
        outcome = outcomes[len(tried)]
        tried.append(address)
        earliest = now + ATTEMPT_DELAY
        if outcome == "fails":
            now += 0.001
            race.failed(address, OSError(errno.ECONNREFUSED, ""), now)
            earliest = now
    assert tried == [v4(index) for index in range(len(outcomes))]
    assert race.lost == all(outcome == "fails" for outcome in outcomes)


def test_a_unix_socket_is_named_by_its_path():
    race = Race("/run/app.sock", 80, [(1, 1, 0, "", "/run/app.sock")])
    address = race.next(0)
    assert address is not None
    race.failed(address, FileNotFoundError(errno.ENOENT, "No such file or directory"), 0)
    assert str(race.error()).endswith(": /run/app.sock: No such file or directory")


# Settings.


def test_settings_keep_what_they_were_given():
    kept = settings(
        uds="/run/app.sock",
        local_address="127.0.0.1",
        retries=3,
        socket_options=iter([(1, 2, 3)]),
        limits=Limits(max_header_fields=7, max_header_bytes=99),
    )
    assert (kept.uds, kept.local_address, kept.retries) == ("/run/app.sock", "127.0.0.1", 3)
    assert kept.socket_options == [(1, 2, 3)]
    assert (kept.head_limits.max_fields, kept.head_limits.max_bytes) == (7, 99)
    assert settings().socket_options == []


@pytest.mark.parametrize(
    ("http1", "http2", "scheme", "offered"),
    [
        (True, False, "https", ("http/1.1",)),
        (True, True, "https", ("h2", "http/1.1")),
        (False, True, "https", ("h2",)),
        (True, True, "wss", ("http/1.1",)),
        (False, True, "wss", ("http/1.1",)),
    ],
)
def test_only_what_is_spoken_is_offered(http1, http2, scheme, offered):
    assert settings(http1=http1, http2=http2).offered(scheme) == offered
    (hop,) = Route((scheme, "a.example", 443), "a.example", settings(http1=http1, http2=http2)).hops()
    assert hop.offered == offered


def test_no_version_at_all_is_an_error_where_it_is_given():
    with pytest.raises(ValueError, match="no version of HTTP"):
        settings(http1=False, http2=False)


@pytest.mark.parametrize(
    ("given", "scheme", "agreed", "may_share", "speaks_http2"),
    [
        ({}, "https", None, False, False),
        ({"http2": True}, "https", "h2", True, True),
        ({"http2": True}, "https", "http/1.1", True, False),
        ({"http2": True}, "https", None, True, False),
        ({"http2": True}, "http", None, False, False),
        ({"http2": True}, "wss", "h2", False, False),
        ({"http2": True, "http1": False}, "http", None, True, True),
        ({"http2": True, "http1": False}, "https", None, True, True),
        ({"http2": True, "http1": False}, "ws", None, False, False),
        ({"http2": True, "http1": False, "proxy": Proxy("http://p.example")}, "http", None, False, False),
        ({"http2": True, "http1": False, "proxy": Proxy("socks5://p.example")}, "http", None, True, True),
        ({"http2": True, "proxy": Proxy("http://p.example")}, "https", "h2", True, True),
    ],
)
def test_which_connections_are_of_http2(given, scheme, agreed, may_share, speaks_http2):
    key = (scheme, "a.example", 1)
    assert settings(**given).may_share(key) == may_share
    assert settings(**given).speaks_http2(key, agreed) == speaks_http2


def test_the_shared_context_is_made_on_first_use(monkeypatch):
    """Building a client takes microseconds; this took ten milliseconds of them."""
    made = []

    def make(trust_env: bool) -> ssl.SSLContext:
        made.append(trust_env)
        return certs.client_context()

    monkeypatch.setattr(security, "default_ssl_context", make)
    for trust_env in (True, False):
        one = settings(trust_env=trust_env)
        assert made == []
        assert one.ssl_context is one.ssl_context
        assert made == [trust_env]
        made.clear()


@pytest.mark.parametrize("verify", [True, None])
@pytest.mark.parametrize("trust_env", [True, False])
def test_transports_share_the_default_context(verify, trust_env):
    context = settings(verify=verify, trust_env=trust_env).ssl_context
    assert context is settings(verify=verify, trust_env=trust_env).ssl_context
    assert context is default_ssl_context(trust_env)


def test_a_default_context_that_cannot_be_made_is_a_connect_error(monkeypatch, tmp_path):
    """It is made when a request needs it, and a request raises documented classes only."""
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        (tmp_path / "empty.pem").write_text("")
        with pytest.raises(ConnectError, match=r"TLS cannot begin: .*certificate file"):
            _ = settings().ssl_context


def test_a_context_of_ones_own_is_used_as_it_is():
    context = certs.client_context()
    assert settings(verify=context).ssl_context is context


def test_what_cannot_be_loaded_is_an_error_where_it_is_given(tmp_path):
    with pytest.raises(FileNotFoundError):
        settings(verify=str(tmp_path / "missing.pem"))
    with pytest.raises(FileNotFoundError):
        settings(cert=str(tmp_path / "missing.pem"))
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        settings(cert=str(broken))


def test_a_clients_certificate_gets_a_context_of_its_own():
    chain, key = certs.leaf_files("client")
    context = settings(cert=(str(chain), str(key))).ssl_context
    assert context is not settings().ssl_context
    assert isinstance(context, type(create_ssl_context()))


# Addresses.


def test_a_unix_address_is_its_path(monkeypatch):
    if HAS_UNIX:
        assert unix_address("/run/app.sock") == (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/run/app.sock")
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    with pytest.raises(ConnectError, match="no Unix domain sockets"):
        unix_address("/run/app.sock")


# Sockets.

LOOPBACK: Address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 9))


def test_a_new_socket_does_not_block_and_does_not_delay():
    with new_socket(LOOPBACK, settings()) as sock:
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.family == socket.AF_INET


def test_a_new_socket_has_its_options():
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\7\0\0\0"),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0),
    ]
    with new_socket(LOOPBACK, settings(socket_options=options)) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\7\0\0\0"
        assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # the caller has the last word


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_an_option_may_be_a_null_pointer():
    with pytest.raises(OSError):  # which Linux refuses for this one; what counts is that it was passed on
        new_socket(LOOPBACK, settings(socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, None, 4)]))


def test_a_new_socket_has_its_local_address():
    with new_socket(LOOPBACK, settings(local_address="127.0.0.1")) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockname()[1] != 0


@pytest.mark.parametrize(
    "refused",
    [
        {"local_address": "192.0.2.1"},
        {"local_address": "::1"},
        {"local_address": "not an address"},
        {"socket_options": [(socket.SOL_SOCKET, 12345, 1)]},
    ],
)
def test_what_the_system_refuses_leaves_no_socket_open(refused, no_leaks):
    with pytest.raises(OSError):
        new_socket(LOOPBACK, settings(**refused))


@pytest.mark.skipif(not HAS_UNIX, reason="no Unix domain sockets")
def test_a_unix_socket_has_neither_delay_nor_local_address():
    """Binding one to an address of the network was a TypeError."""
    with new_socket(unix_address("/run/app.sock"), settings(local_address="127.0.0.1")) as sock:
        assert sock.family == socket.AF_UNIX
        assert sock.getsockname() == ""


@pytest.mark.skipif(not HAS_UNIX, reason="no Unix domain sockets")
def test_a_unix_path_that_is_too_long_is_found_before_it_is_used(no_leaks):
    """`connect_ex` raises it where all else is a number, so that it left as a plain OSError."""
    longest = "/" + "x" * (MAX_UNIX_PATH - 2)
    with new_socket(unix_address(longest), settings()) as sock:
        assert sock.connect_ex(longest) == errno.ENOENT
    with pytest.raises(OSError) as caught:
        new_socket(unix_address(longest + "x"), settings())
    assert caught.value.errno == errno.ENAMETOOLONG


def test_an_attempt_under_way_is_told_from_one_that_failed():
    assert is_in_progress(errno.EINPROGRESS)
    assert is_in_progress(errno.EWOULDBLOCK)
    assert not is_in_progress(errno.ECONNREFUSED)
    assert not is_in_progress(0)


def test_retries_wait_longer_and_longer():
    assert [backoff(attempt) for attempt in range(6)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]


# Routes.


def route(url: str, proxy: Any = None, server_name: Optional[str] = None, **changes: Any) -> dial.Route:
    """The way to an origin."""
    key = httpx.URL(url)._origin
    if isinstance(proxy, str):
        proxy = httpx.Proxy(proxy)
    return dial.Route(key, server_name or key[1], settings(proxy=proxy, verify=certs.client_context(), **changes))


def shown(hop: Any) -> Any:
    """A hop as a word: the name that TLS is for, or the kind of handshake."""
    return hop.server_name if isinstance(hop, security.TLSHop) else type(hop).__name__


PROXY_CONTEXT = certs.client_context()


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
        with pytest.raises(ProxyError, match="more than its answer"):
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
    assert dial.proxy_fields(httpx.Proxy("http://p.test", **options)) == fields


def test_only_http_proxies_have_requests_forwarded():
    proxies = ["http://p.test", "https://p.test", "socks5://p.test", "socks4://p.test"]
    assert [settings(proxy=httpx.Proxy(proxy)).forwards for proxy in proxies] == [True, True, False, False]
    assert not settings().forwards
