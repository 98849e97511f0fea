from __future__ import annotations

import copy
import pickle
import ssl
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx import Headers, Limits, Proxy, Timeout
from httpx._config import (
    DEFAULT_LIMITS,
    DEFAULT_MAX_REDIRECTS,
    DEFAULT_TIMEOUT_CONFIG,
    UNSET,
)

INF = float("inf")

AnyTimeout: Any = Timeout  # for arguments that its signature does not promise to take


def phases(timeout: Timeout) -> tuple[Any, ...]:
    return timeout.connect, timeout.read, timeout.write, timeout.pool


# -- Timeout


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (Timeout(), (5.0, 5.0, 5.0, 5.0)),
        (Timeout(10), (10, 10, 10, 10)),
        (Timeout(0), (0, 0, 0, 0)),
        (Timeout(None), (None, None, None, None)),
        (Timeout(10, connect=60), (60, 10, 10, 10)),
        (Timeout(10, read=None), (10, None, 10, 10)),
        (Timeout(None, pool=3), (None, None, None, 3)),
        (Timeout(connect=5, read=30), (5, 30, 5.0, 5.0)),
        (Timeout(connect=1, read=2, write=3, pool=4), (1, 2, 3, 4)),
        (Timeout((1, 2, 3, 4)), (1, 2, 3, 4)),
        (Timeout((1, None, 3, None)), (1, None, 3, None)),
        (AnyTimeout((1, 2, 3)), (1, 2, 3, None)),
        (AnyTimeout((1, 2)), (1, 2, None, None)),
        (Timeout((1, 2, 3, 4), write=9), (1, 2, 9, 4)),
        (Timeout(Timeout(3, read=1)), (3, 1, 3, 3)),
        (Timeout(Timeout(3), read=4), (3, 4, 3, 3)),
        (Timeout(INF, read=INF), (None, None, None, None)),
        (AnyTimeout(Decimal("1.5")), (1.5, 1.5, 1.5, 1.5)),
    ],
)
def test_what_is_not_given_to_a_timeout_is_its_default(timeout: Timeout, expected: tuple[Any, ...]) -> None:
    assert phases(timeout) == expected
    assert timeout.total is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Timeout(-1), ValueError, "timeout must not be negative or NaN, got -1"),
        (lambda: Timeout(read=float("nan")), ValueError, "read timeout must not be negative or NaN, got nan"),
        (lambda: Timeout(-INF), ValueError, "timeout must not be negative or NaN, got -inf"),
        (lambda: Timeout(total=-0.1), ValueError, "total timeout must not be negative or NaN, got -0.1"),
        (lambda: Timeout((1, 2, -3, 4)), ValueError, "write timeout must not be negative or NaN, got -3"),
        (lambda: AnyTimeout("5"), TypeError, "timeout must be a number of seconds or None, got str"),
        (
            lambda: AnyTimeout([1, 2, 3, 4]),
            TypeError,
            "timeout must be a number of seconds or None, got list; for several, use .*",
        ),
        (lambda: Timeout(True), TypeError, "timeout must be a number of seconds or None, got bool"),
        (lambda: Timeout(pool=False), TypeError, "pool timeout must be a number of seconds or None, got bool"),
        (lambda: AnyTimeout((1, "2")), TypeError, "read timeout must be a number of seconds or None, got str"),
        (lambda: AnyTimeout((1,)), ValueError, "a timeout tuple is .*, got 1 items.*"),
        (lambda: AnyTimeout((1, 2, 3, 4, 5)), ValueError, "a timeout tuple is .*, got 5 items.*"),
    ],
)
def test_what_is_no_time_is_refused_with_the_name_of_the_phase(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        make()


def test_a_total_is_of_its_own_and_is_inherited() -> None:
    assert phases(Timeout(total=60)) == (5.0, 5.0, 5.0, 5.0)
    assert Timeout(total=60).total == 60
    assert Timeout(Timeout(3, total=60)).total == 60
    assert Timeout(Timeout(3, total=60), total=1).total == 1
    assert Timeout(total=INF).total is None


def test_the_dictionary_has_a_total_only_when_one_is_set() -> None:
    assert Timeout(1, read=2).as_dict() == {"connect": 1, "read": 2, "write": 1, "pool": 1}
    assert Timeout(1, total=9).as_dict() == {"connect": 1, "read": 1, "write": 1, "pool": 1, "total": 9}


def test_changing_the_dictionary_changes_nothing_else() -> None:
    """A request whose extensions are edited must not change the timeout of its client."""
    timeout = Timeout(1)
    timeout.as_dict()["read"] = 99
    assert timeout.as_dict()["read"] == 1


def test_a_timeout_whose_attribute_is_set_says_so_in_its_dictionary() -> None:
    """`client.timeout.read = 30` worked in 0.28.1."""
    timeout = Timeout(1)
    timeout.read = 30
    assert timeout.as_dict()["read"] == 30


def test_timeouts_are_equal_by_value() -> None:
    assert Timeout(5) == Timeout(5.0) == Timeout((5, 5, 5, 5))
    assert Timeout(5) != Timeout(5, read=1)
    assert Timeout(5) != Timeout(5, total=5)
    assert Timeout(5) != 5
    with pytest.raises(TypeError, match="unhashable"):
        hash(Timeout(5))


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (Timeout(timeout=5.0), "Timeout(timeout=5.0)"),
        (Timeout(None), "Timeout(timeout=None)"),
        (Timeout(5, read=None), "Timeout(connect=5, read=None, write=5, pool=5)"),
        (Timeout(5, total=60), "Timeout(timeout=5, total=60)"),
        (Timeout(5, pool=1, total=60), "Timeout(connect=5, read=5, write=5, pool=1, total=60)"),
    ],
)
def test_a_timeout_shows_one_number_where_one_is_enough(timeout: Timeout, expected: str) -> None:
    assert repr(timeout) == expected
    assert eval(expected) == timeout


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_timeouts_and_limits_pickle(protocol: int) -> None:
    timeout, limits = Timeout(1, read=2, total=3), Limits(max_connections=3)
    assert pickle.loads(pickle.dumps(timeout, protocol)) == timeout == copy.deepcopy(timeout)
    assert pickle.loads(pickle.dumps(limits, protocol)) == limits == copy.deepcopy(limits)


def test_unset_is_one_object() -> None:
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET
    assert copy.deepcopy(UNSET) is UNSET
    assert repr(UNSET) == "UNSET"


SECONDS = st.one_of(st.none(), st.integers(0, 10**400), st.floats(min_value=0, allow_nan=False))


@given(default=SECONDS, read=st.one_of(st.just(UNSET), SECONDS), total=SECONDS)
def test_any_time_gives_a_timeout_that_no_clock_overflows_on(default: Any, read: Any, total: Any) -> None:
    timeout = Timeout(default, read=read, total=total)
    assert all(seconds is None or 0 <= seconds < INF for seconds in timeout.as_dict().values())
    assert Timeout(timeout) == timeout


# -- Limits


def test_limits_show_the_bound_per_host_only_when_there_is_one() -> None:
    assert repr(Limits()) == "Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=5.0)"
    shown = "max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0"
    assert repr(Limits(max_connections_per_host=4)) == f"Limits({shown}, max_connections_per_host=4)"


@pytest.mark.parametrize(
    "added",
    [{"max_connections_per_host": 10}, {"ping_interval": 30}, {"max_header_fields": 9}, {"max_header_bytes": 9}],
)
def test_a_new_limit_alone_leaves_the_others_as_they_are_in_a_client(added: dict[str, Any]) -> None:
    """Harm: `Limits(max_connections_per_host=10)` lifted the total of 100 connections, and kept all of them idle."""
    limits = Limits(**added)
    assert (limits.max_connections, limits.max_keepalive_connections, limits.keepalive_expiry) == (100, 20, 5.0)
    assert vars(limits) == {**vars(DEFAULT_LIMITS), **added}
    some = Limits(max_connections=None, **added)
    assert (some.max_connections, some.max_keepalive_connections) == (None, 20)
    some = Limits(max_connections=3, max_keepalive_connections=None, **added)
    assert (some.max_connections, some.max_keepalive_connections) == (3, None)


def test_limits_of_0_28_1_mean_what_they_did() -> None:
    assert vars(Limits(max_connections=3))["max_keepalive_connections"] is None
    assert vars(Limits(max_keepalive_connections=0))["max_connections"] is None
    assert Limits() == Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=5.0)
    assert Limits(max_connections=INF) == Limits()
    assert Limits(keepalive_expiry=INF) == Limits(keepalive_expiry=None)


AnyLimits: Any = Limits


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"max_connections": 0}, ValueError, "max_connections must be at least 1, got 0"),
        ({"max_connections": -1}, ValueError, "max_connections must be at least 1, got -1"),
        ({"max_connections": "10"}, TypeError, "max_connections must be an int, got '10'"),
        ({"max_connections": True}, TypeError, "max_connections must be an int, got True"),
        ({"max_connections": 1.5}, TypeError, "max_connections must be an int, got 1.5"),
        ({"max_keepalive_connections": -1}, ValueError, "max_keepalive_connections must be at least 0, got -1"),
        ({"max_keepalive_connections": "0"}, TypeError, "max_keepalive_connections must be an int, got '0'"),
        ({"keepalive_expiry": -1}, ValueError, "keepalive_expiry must not be negative or NaN, got -1"),
        ({"keepalive_expiry": "5"}, TypeError, "keepalive_expiry must be a number of seconds or None, got str"),
        ({"max_connections_per_host": 0}, ValueError, "max_connections_per_host must be at least 1, got 0"),
        ({"max_connections_per_host": False}, TypeError, "max_connections_per_host must be an int, got False"),
        ({"max_header_fields": 0}, ValueError, "max_header_fields must be at least 1, got 0"),
        ({"max_header_fields": None}, TypeError, "max_header_fields must be an int, got None"),
        ({"max_header_bytes": "1" * 100}, TypeError, "max_header_bytes must be an int, got '1{39}"),
        ({"ping_interval": 0}, ValueError, "ping_interval must be a positive number of seconds or None, got 0"),
        ({"ping_interval": float("nan")}, ValueError, "ping_interval must not be negative or NaN, got nan"),
        ({"ping_interval": True}, TypeError, "ping_interval must be a number of seconds or None, got bool"),
    ],
)
def test_limits_are_checked_when_they_are_made(given: dict[str, Any], error: type[Exception], message: str) -> None:
    """Harm: with 0 or -1 every request failed with a PoolTimeout, with "10" with a TypeError out of the pool."""
    with pytest.raises(error, match=f"^{message}$"):
        AnyLimits(**given)


def test_limits_are_equal_by_value() -> None:
    assert Limits(max_connections=3) == Limits(max_connections=3)
    assert Limits() != Limits(max_connections_per_host=3)
    assert Limits() != Limits(keepalive_expiry=None)
    assert Limits() != object()
    with pytest.raises(TypeError, match="unhashable"):
        hash(Limits())


def test_the_defaults_are_those_of_0_28_1() -> None:
    assert Timeout(5.0) == DEFAULT_TIMEOUT_CONFIG
    assert Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0) == DEFAULT_LIMITS
    assert DEFAULT_MAX_REDIRECTS == 20


def test_the_limits_of_heads_are_a_setting_that_is_shown_when_it_was_set() -> None:
    assert (Limits().max_header_fields, Limits().max_header_bytes) == (5_000, 262_144)
    limits = Limits(max_header_fields=10, max_header_bytes=1000)
    assert repr(limits).endswith("max_header_fields=10, max_header_bytes=1000)")
    assert limits != Limits()


# -- Proxy


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks4a", "socks5", "socks5h"])
def test_a_proxy_takes_the_schemes_that_we_speak(scheme: str) -> None:
    proxy = Proxy(f"{scheme}://proxy.example.org:1234")
    assert str(proxy.url) == f"{scheme}://proxy.example.org:1234"
    assert proxy.auth is None
    assert proxy.raw_auth is None
    assert proxy.ssl_context is None
    assert proxy.headers == Headers()


@pytest.mark.parametrize(
    "url", ["ftp://user:hunter2@proxy.example.org", "proxy.example.org", "//user:hunter2@host", ""]
)
def test_another_scheme_is_refused_without_showing_the_password(url: str) -> None:
    scheme = "ftp" if url.startswith("ftp") else ""
    with pytest.raises(ValueError, match=f"^unknown scheme '{scheme}' in a proxy URL, expected one of http, ") as info:
        Proxy(url)
    assert "hunter2" not in str(info.value)


def test_a_proxy_url_must_be_text_or_a_url() -> None:
    with pytest.raises(TypeError):
        Proxy(5)  # type: ignore[arg-type]  # the subject


@pytest.mark.parametrize(
    ("url", "auth"),
    [
        ("http://user:p%40ss%3A@proxy:80", ("user", "p@ss:")),
        ("http://user@proxy", ("user", "")),
        ("http://user:@proxy", ("user", "")),
        ("http://:secret@proxy", ("", "secret")),
        ("socks5://%C3%BC:%20x@proxy", ("ü", " x")),
    ],
)
def test_credentials_move_from_the_url_to_auth(url: str, auth: tuple[str, str]) -> None:
    proxy = Proxy(url)
    assert proxy.auth == auth
    assert proxy.raw_auth == (auth[0].encode(), auth[1].encode())
    assert "@" not in str(proxy.url)
    assert proxy.url.host == "proxy"


def test_credentials_in_the_url_come_before_the_argument() -> None:
    """As in 0.28.1."""
    assert Proxy("http://user:secret@proxy", auth=("a", "b")).auth == ("user", "secret")
    assert Proxy("http://proxy", auth=("a", "b")).auth == ("a", "b")


def test_a_proxy_shows_no_secret() -> None:
    proxy = Proxy(
        "http://user:hunter2@proxy/path", headers={"X-Team": "blue", "Proxy-Authorization": "Basic aHVudGVyMg"}
    )
    shown = repr(proxy)
    assert "hunter2" not in shown
    assert "aHVudGVyMg" not in shown
    assert shown == (
        "Proxy('http://proxy/path', auth=('user', '********'), "
        "headers={'x-team': 'blue', 'proxy-authorization': '[secure]'})"
    )
    assert repr(Proxy("socks5://proxy")) == "Proxy('socks5://proxy')"


def test_a_proxy_keeps_its_own_tls_context_and_headers() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    proxy = Proxy("https://proxy", ssl_context=context, headers=[("A", "1"), ("A", "2")])
    assert proxy.ssl_context is context
    assert proxy.headers.raw == [(b"A", b"1"), (b"A", b"2")]
