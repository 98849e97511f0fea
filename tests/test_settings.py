"""What a transport was told about connections."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from httpx._config import Limits, Proxy
from httpx._engine import security
from httpx._engine.names import Address
from httpx._engine.route import Route
from httpx._engine.settings import Settings
from httpx._exceptions import ConnectError
from httpx._tls_context import create_ssl_context, default_ssl_context
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
