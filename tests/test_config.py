from __future__ import annotations

import copy
import os
import pickle
import ssl
import subprocess
import sys
import tempfile
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any, Union

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx import Headers, Limits, Proxy, Timeout, _config, create_ssl_context
from httpx._config import (
    DEFAULT_LIMITS,
    DEFAULT_MAX_REDIRECTS,
    DEFAULT_TIMEOUT_CONFIG,
    UNSET,
    default_ssl_context,
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


# -- TLS contexts


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_config, "_default_contexts", {})
    return monkeypatch


@pytest.fixture
def leaf() -> tuple[str, str]:
    """Certificate and key of a client, in files."""
    pytest.importorskip("trustme")
    from support import certs

    certificate, key = certs.leaf_files()
    return str(certificate), str(key)


@pytest.fixture
def authority() -> str:
    """A file with one authority in it."""
    pytest.importorskip("trustme")
    from support import certs

    return str(certs.authority_file())


def checks(context: ssl.SSLContext) -> bool:
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    # Python 3.9 sets it: a body that was cut would pass for the whole.
    assert not context.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    assert context.check_hostname == (context.verify_mode == ssl.CERT_REQUIRED)
    return context.check_hostname


@pytest.mark.parametrize("verify", [True, None])
def test_by_default_the_authorities_of_certifi_are_trusted(verify: Any) -> None:
    context = create_ssl_context(verify)
    assert checks(context)
    reference = ssl.create_default_context(cafile=certifi.where())
    assert context.cert_store_stats() == reference.cert_store_stats()
    # Python 3.13 checks more strictly, and so do we there.
    assert context.verify_flags == reference.verify_flags


def test_nothing_is_checked_with_verify_false() -> None:
    context = create_ssl_context(False)
    assert not checks(context)
    assert context.cert_store_stats()["x509"] == 0


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_of_authorities_may_be_given_without_a_warning(authority: str, kind: Any) -> None:
    """0.28.1 gave a DeprecationWarning, which breaks programs that make errors of warnings."""
    context = create_ssl_context(kind(authority))
    assert checks(context)
    assert context.cert_store_stats()["x509_ca"] == 1


def test_a_directory_of_authorities_may_be_given(tmp_path: Path) -> None:
    assert checks(create_ssl_context(str(tmp_path)))


def test_a_context_of_the_users_is_returned_itself() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert create_ssl_context(context) is context


def test_an_object_that_acts_as_a_context_is_returned_itself() -> None:
    class Duck:
        wrap_bio = None

    duck: Any = Duck()
    assert create_ssl_context(duck) is duck


@pytest.mark.parametrize("kind", [str, bytes, bytearray])
def test_authorities_may_be_given_themselves(authority: str, kind: Any) -> None:
    pem = Path(authority).read_text()
    text = f"My authority, in Z\u00fcrich\n{pem}\nand the same again\r\n{pem}"
    context = create_ssl_context(text if kind is str else kind(text.encode()))
    assert checks(context)
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize(
    "pem",
    [
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nA=A\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
    ],
)
def test_pem_without_certificates_is_an_error_that_does_not_show_it(pem: str) -> None:
    with pytest.raises(ssl.SSLError, match="no usable certificates in the PEM given as verify") as info:
        create_ssl_context(pem)
    assert "c2VjcmV0" not in str(info.value)


def test_the_store_of_the_system_is_used_on_request(environment: pytest.MonkeyPatch, authority: str) -> None:
    truststore = pytest.importorskip("truststore")
    context = create_ssl_context("system")
    assert isinstance(context, truststore.SSLContext)
    assert isinstance(context, ssl.SSLContext)
    assert checks(context)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_without_truststore_it_is_said_what_is_missing(environment: pytest.MonkeyPatch) -> None:
    environment.setitem(sys.modules, "truststore", None)
    with pytest.raises(ImportError, match=r"verify='system' needs the package truststore .*httpx\[truststore\]"):
        create_ssl_context("system")


def test_a_file_that_is_called_system_is_given_as_a_path(
    environment: pytest.MonkeyPatch, authority: str, tmp_path: Path
) -> None:
    (tmp_path / "system").write_bytes(Path(authority).read_bytes())
    environment.chdir(tmp_path)
    for verify in ("./system", Path("system")):
        assert create_ssl_context(verify).cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("verify", [5, 0, b"path", ["path"]])
def test_what_says_nothing_about_verification_is_refused(verify: Any) -> None:
    """0.28.1 passed it on, to fail far away."""
    with pytest.raises(TypeError, match=f"^verify must be .*, got {type(verify).__name__}$"):
        create_ssl_context(verify)


def test_a_missing_file_of_authorities_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(FileNotFoundError, match="no usable certificate file: ") as info:
        create_ssl_context(missing)
    assert info.value.filename == missing


def test_an_empty_path_does_not_mean_the_authorities_of_the_system() -> None:
    with pytest.raises(FileNotFoundError, match="no usable certificate file: ''"):
        create_ssl_context("")


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ssl.SSLError, match=r"no usable certificate file: '.*empty.pem' \(NO_") as info:
        create_ssl_context(str(tmp_path / "empty.pem"))
    assert isinstance(info.value, OSError)


def test_the_environment_names_authorities_unless_it_is_not_trusted(
    environment: pytest.MonkeyPatch, authority: str, tmp_path: Path
) -> None:
    environment.setenv("SSL_CERT_DIR", str(tmp_path))
    assert create_ssl_context().cert_store_stats()["x509"] == 0
    environment.setenv("SSL_CERT_FILE", authority)  # wins
    assert create_ssl_context().cert_store_stats()["x509_ca"] == 1
    assert create_ssl_context(trust_env=False).cert_store_stats()["x509_ca"] > 1


def test_an_empty_variable_counts_as_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SSL_CERT_FILE", "")
    environment.setenv("SSL_CERT_DIR", "")
    assert create_ssl_context().cert_store_stats()["x509_ca"] > 1


def test_several_directories_may_be_named_and_some_may_be_missing(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("SSL_CERT_DIR", os.pathsep.join([str(tmp_path / "missing"), str(tmp_path)]))
    assert checks(create_ssl_context())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SSL_CERT_FILE", "no usable certificate file from SSL_CERT_FILE"),
        ("SSL_CERT_DIR", "no such certificate directory from SSL_CERT_DIR"),
    ],
)
def test_a_variable_that_names_nothing_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str, message: str
) -> None:
    """Without it every handshake fails, and nothing says why."""
    environment.setenv(name, str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError, match=message) as info:
        create_ssl_context()
    assert info.value.filename == str(tmp_path / "missing")


@pytest.mark.parametrize("verify", [True, False])
def test_keys_are_logged_where_the_environment_says(
    environment: pytest.MonkeyPatch, tmp_path: Path, verify: bool
) -> None:
    environment.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert create_ssl_context(verify).keylog_filename == str(tmp_path / "keys")
    environment.delenv("SSLKEYLOGFILE")
    assert create_ssl_context(verify).keylog_filename is None


@pytest.mark.parametrize("verify", [True, False])
def test_a_key_log_that_cannot_be_written_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path, verify: bool
) -> None:
    environment.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys"))
    with pytest.raises(FileNotFoundError) as info:
        create_ssl_context(verify)
    assert info.value.filename == str(tmp_path / "missing" / "keys")


def test_a_higher_minimum_of_the_system_is_kept(environment: pytest.MonkeyPatch) -> None:
    def stricter(**kwargs: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    environment.setattr(ssl, "create_default_context", stricter)
    assert create_ssl_context().minimum_version == ssl.TLSVersion.TLSv1_3


# -- client certificates


@pytest.mark.parametrize("verify", [True, False, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)])
def test_a_client_certificate_is_loaded_into_every_kind_of_context(
    leaf: tuple[str, str], tmp_path: Path, verify: Any
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(leaf[0]).read_bytes() + Path(leaf[1]).read_bytes())
    for cert in (str(both), both, (str(both),), leaf, (*leaf, None), (*leaf, "unused")):
        assert isinstance(create_ssl_context(verify, cert), ssl.SSLContext)  # type: ignore[arg-type]  # wider than told


@pytest.mark.parametrize("where", ["in memory", "on disk"])
def test_a_client_certificate_may_be_given_itself(
    environment: pytest.MonkeyPatch, leaf: tuple[str, str], tmp_path: Path, where: str
) -> None:
    """OpenSSL takes files only; a key in one must be seen by nobody else, and must not stay behind."""
    if where == "on disk":
        environment.delattr(os, "memfd_create", raising=False)
    elif not hasattr(os, "memfd_create"):
        pytest.skip("files in memory are Linux's")
    environment.setenv("TMPDIR", str(tmp_path))
    environment.setattr(tempfile, "tempdir", None)
    made: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def watching(self: ssl.SSLContext, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
        found = list(tmp_path.iterdir())
        made.append(len(found))
        if os.name == "posix":
            assert all(path.stat().st_mode & 0o777 == 0o600 for path in found)
        load(self, certfile, keyfile, password)

    environment.setattr(ssl.SSLContext, "load_cert_chain", watching)
    chain, key = (Path(path).read_text() for path in leaf)
    password = encrypted(leaf[1], b"right", tmp_path / "key.pem")
    secret = Path(password).read_bytes()
    os.unlink(password)
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for cert in (chain + key, (chain + key).encode(), (chain, key), (leaf[0], key), (chain, leaf[1])):
        create_ssl_context(False, cert)
    create_ssl_context(False, (chain, secret, "right"))
    assert made == ([0] * 6 if where == "in memory" else [1, 1, 2, 1, 1, 2])
    for wrong in ((chain, secret, "hunter2"), (chain, chain), chain, key):
        with pytest.raises(ssl.SSLError, match="no usable client certificate: PEM in memory") as info:
            create_ssl_context(False, wrong)
        assert "BEGIN" not in str(info.value)
        assert "hunter2" not in str(info.value)
    assert list(tmp_path.iterdir()) == []
    assert not descriptors or len(os.listdir("/proc/self/fd")) == descriptors


def test_a_path_beside_pem_is_named_where_it_is_missing(leaf: tuple[str, str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(FileNotFoundError) as info:
        create_ssl_context(False, (Path(leaf[0]).read_text(), missing))
    assert info.value.filename == missing


@pytest.mark.parametrize("verify", [True, False])
def test_a_certificate_may_be_asked_for_later(leaf: tuple[str, str], verify: bool) -> None:
    """Servers do that where only some paths need one. A context of the user's is not changed."""
    assert create_ssl_context(verify, leaf).post_handshake_auth is True
    assert create_ssl_context(verify).post_handshake_auth is False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert create_ssl_context(context, leaf).post_handshake_auth is False


@pytest.mark.parametrize("cert", [5, (), ("a", "b", "c", "d"), b"path", (b"path", "key"), (None,), (None, "key")])
def test_what_is_no_client_certificate_is_refused(cert: Any) -> None:
    with pytest.raises(TypeError, match=r"^cert must be a path, "):
        create_ssl_context(False, cert)


def test_the_missing_one_of_certificate_and_key_is_named(leaf: tuple[str, str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    cases: list[tuple[Union[str, tuple[str, str]], str]] = [
        (missing, missing),
        ((leaf[0], missing), missing),
        ((missing, leaf[1]), missing),
        ((str(tmp_path), leaf[1]), str(tmp_path)),
    ]
    for cert, named in cases:
        with pytest.raises(OSError, match="no usable client certificate") as info:
            create_ssl_context(False, cert)
        assert named in str(info.value)


def encrypted(key: str, password: bytes, path: Path) -> str:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    encoding, pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(private.private_bytes(encoding, pem, serialization.BestAvailableEncryption(password)))
    return str(path)


def test_a_wrong_password_is_an_error_that_does_not_show_it(leaf: tuple[str, str], tmp_path: Path) -> None:
    key = encrypted(leaf[1], b"right", tmp_path / "key.pem")
    create_ssl_context(False, (leaf[0], key, "right"))
    with pytest.raises(ssl.SSLError, match=r"no usable client certificate: .* with key '.*key.pem'") as info:
        create_ssl_context(False, (leaf[0], key, "hunter2"))
    assert "hunter2" not in str(info.value)


def test_an_error_for_which_openssl_has_no_word_still_says_something() -> None:
    """Which files do that depends on its version, so the error is made here."""
    assert _config._reason(ssl.SSLError(9, "PEM lib")) == "not a certificate, or the wrong password"


# -- the shared context


def test_clients_with_default_settings_share_one_context() -> None:
    context = default_ssl_context()
    assert checks(context)
    assert default_ssl_context() is context


def test_another_environment_has_a_context_of_its_own(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    contexts = [default_ssl_context(), default_ssl_context(trust_env=False)]
    environment.setenv("SSL_CERT_DIR", str(tmp_path))
    contexts += [default_ssl_context(), default_ssl_context(trust_env=False)]
    assert len({id(context) for context in contexts}) == 4
    assert contexts[2].cert_store_stats()["x509"] == 0
    assert contexts[3].cert_store_stats()["x509"] > 0


def test_the_shared_contexts_are_few(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that changes its environment for ever must not fill its memory with certificates."""
    first = default_ssl_context()
    for number in range(1, 20):
        folder = tmp_path / str(number)
        folder.mkdir()
        environment.setenv("SSL_CERT_DIR", str(folder))
        default_ssl_context()
    assert len(_config._default_contexts) == _config._MAX_DEFAULT_CONTEXTS
    environment.delenv("SSL_CERT_DIR")
    assert default_ssl_context() is not first


def test_threads_that_start_together_make_one_context(environment: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    found: list[ssl.SSLContext] = []
    asked: set[int] = set()
    all_asked = threading.Barrier(3)

    class Cache(dict[Any, ssl.SSLContext]):
        """Lets nobody go on until all threads have asked once, in vain."""

        def get(self, key: Any, default: Any = None) -> Any:
            answer = super().get(key, default)
            if threading.get_ident() not in asked:
                asked.add(threading.get_ident())
                all_asked.wait(5)
            return answer

    def create(**kwargs: Any) -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    environment.setattr(_config, "_default_contexts", Cache())
    environment.setattr(_config, "create_ssl_context", create)
    threads = [threading.Thread(target=lambda: found.append(default_ssl_context())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == made * 3


def test_importing_loads_no_certificates() -> None:
    code = "import ssl, sys; ssl.create_default_context = None; import httpx; print('certifi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_limits_of_heads_are_a_setting_that_is_shown_when_it_was_set() -> None:
    assert (Limits().max_header_fields, Limits().max_header_bytes) == (5_000, 262_144)
    limits = Limits(max_header_fields=10, max_header_bytes=1000)
    assert repr(limits).endswith("max_header_fields=10, max_header_bytes=1000)")
    assert limits != Limits()
