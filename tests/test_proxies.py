"""Proxies of the environment: the variables, every form of an entry in NO_PROXY, and how both become mounts."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import urllib.request
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
import httpx._utils
from httpx._base_client import transport_for
from httpx._patterns import URLPattern
from httpx._proxies import Bypass, BypassPattern, EnvironmentProxies, environment_proxies
from support.drivers import Driver

P, Q = "http://proxy.example:3128", "http://other.example:8080"


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set exactly these variables that have to do with proxies."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def set_only(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_only


def chosen(proxies: EnvironmentProxies, url: str) -> Optional[str]:
    """The text of the proxy for a URL, found as a client finds its transport."""
    found: Optional[str] = transport_for(dict(proxies.mounts()), httpx.URL(url), None)
    return found


# The variables.


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {}),
        ({"HTTP_PROXY": P}, {"http://": P}),
        ({"HTTPS_PROXY": P}, {"https://": P}),
        ({"ALL_PROXY": P}, {"all://": P}),
        ({"http_proxy": P, "https_proxy": Q, "all_proxy": P}, {"http://": P, "https://": Q, "all://": P}),
        ({"Http_Proxy": P}, {"http://": P}),
        ({"FTP_PROXY": P}, {}),
        ({"HTTP_PROXY": "proxy.example:3128"}, {"http://": P}),
        ({"HTTP_PROXY": "user:pass@proxy.example:3128"}, {"http://": "http://user:pass@proxy.example:3128"}),
        ({"ALL_PROXY": "socks5h://proxy.example:1080"}, {"all://": "socks5h://proxy.example:1080"}),
        ({"HTTP_PROXY": f"  {P}\n"}, {"http://": P}),
        ({"HTTP_PROXY": "  "}, {}),
        ({"HTTP_PROXY": P, "http_proxy": Q}, {"http://": Q}),
        ({"HTTP_PROXY": P, "http_proxy": ""}, {}),
        ({"HTTP_PROXY": "", "http_proxy": Q}, {"http://": Q}),
        # Under CGI.
        ({"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, {}),
        ({"Http_Proxy": P, "REQUEST_METHOD": "GET"}, {}),
        ({"HTTP_PROXY": P, "http_proxy": Q, "REQUEST_METHOD": "GET"}, {"http://": Q}),
        ({"HTTPS_PROXY": P, "ALL_PROXY": Q, "REQUEST_METHOD": ""}, {"https://": P, "all://": Q}),
        # With NO_PROXY.
        ({"HTTP_PROXY": P, "NO_PROXY": "*"}, {}),
        ({"HTTP_PROXY": P, "NO_PROXY": "a.org, *"}, {}),
        ({"HTTP_PROXY": P, "NO_PROXY": "*", "no_proxy": "b.org"}, {"http://": P, "all://*b.org": None}),
        ({"HTTP_PROXY": P, "NO_PROXY": "a.org", "no_proxy": ""}, {"http://": P}),
        ({"NO_PROXY": "a.org"}, {"all://*a.org": None}),
        (
            {"HTTP_PROXY": P, "NO_PROXY": "a.org, .b.org,*.c.org ,127.0.0.1,::1,localhost,d.org:80,http://e.org"},
            {
                "http://": P,
                "all://*a.org": None,
                "all://*.b.org": None,
                "all://*.c.org": None,
                "all://127.0.0.1": None,
                "all://[::1]": None,
                "all://localhost": None,
                "all://*d.org:80": None,
                "http://e.org": None,
            },
        ),
        (
            {"NO_PROXY": "[::2]:80 [::3] :81 *:82 https://f.org:4 10.0.0.0/8 fe80::/10 fe80::1%eth0"},
            {
                "all://[::2]:80": None,
                "all://[::3]": None,
                "all://*:81": None,
                "all://*:82": None,
                "https://f.org:4": None,
                "all://10.0.0.0/8": None,
                "all://[fe80::1%25eth0]": None,
            },
        ),
        ({"HTTP_PROXY": P, "NO_PROXY": "http://"}, {"http://": None}),
        ({"NO_PROXY": ":0"}, {"all://*:0": None}),
    ],
)
def test_the_environment_in_the_shape_of_0_28_1(env, variables: dict[str, str], expected: dict[str, Optional[str]]):
    env(**variables)
    assert environment_proxies() == expected
    assert [*map(URLPattern, expected)] or not expected


def test_the_function_is_where_packages_look_for_it(env):
    env(HTTPS_PROXY=P)
    assert httpx._utils.get_environment_proxies() == {"https://": P}
    from httpx._utils import get_environment_proxies

    assert get_environment_proxies is environment_proxies
    with pytest.raises(AttributeError, match="no attribute 'get_environment'"):
        _ = httpx._utils.get_environment


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_where_no_variable_is_set_the_operating_system_is_asked(env, monkeypatch, platform: str):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(
        urllib.request, "getproxies", lambda: {"https": "mac.example:8", "ftp": P, "http": "", "no": "b"}
    )
    assert environment_proxies() == {"https://": "http://mac.example:8", "all://*b": None}
    env(HTTP_PROXY=P)
    assert environment_proxies() == {"http://": P}


@pytest.fixture(params=["darwin", "win32"])
def asked(request: pytest.FixtureRequest, env: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that the operating system is asked about; it knows a proxy, and has its exceptions."""
    asked: list[str] = []

    def proxy_bypass(host: str) -> int:
        asked.append(host)
        if host == "bad.example":
            raise OSError("the registry is gone")
        return int(host in ("intranet", "10.0.0.1", "[::1]"))

    monkeypatch.setattr(sys, "platform", request.param)
    monkeypatch.setattr(
        urllib.request, "getproxies", lambda: {"http": "http://mac.example:8", "https": "mac.example:8"}
    )
    monkeypatch.setattr(urllib.request, "proxy_bypass", proxy_bypass, raising=False)
    env()
    return asked


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://example.org/", "http://mac.example:8"),
        ("https://example.org:8443/", "http://mac.example:8"),
        ("http://intranet/", None),
        ("https://10.0.0.1/", None),
        ("http://[::1]/", None),
        ("http://[::2]/", "http://mac.example:8"),
        ("http://bad.example/", "http://mac.example:8"),
    ],
)
def test_the_operating_system_has_exceptions_of_its_own(asked: list[str], url: str, proxy: Optional[str]):
    proxies = EnvironmentProxies.read()
    assert [chosen(proxies, url) for _ in range(3)] == [proxy] * 3
    assert len(asked) == 1, "it is asked once for each host"
    with httpx.Client() as client:
        mounted = client._transport_for_url(httpx.URL(url))
        assert (mounted is client._transport) is (proxy is None)


def test_the_exceptions_of_the_operating_system_are_not_asked_for_where_variables_say_it(asked: list[str], env: Any):
    env(HTTP_PROXY=P)
    assert chosen(EnvironmentProxies.read(), "http://intranet/") == P
    assert asked == []


def test_a_list_like_no_proxy_may_come_from_the_operating_system_too(asked: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"http": P, "no": "example.org"})
    proxies = EnvironmentProxies.read()
    assert chosen(proxies, "http://www.example.org/") is None
    assert asked == []
    assert chosen(proxies, "http://example.com/") == P


def test_answers_of_the_operating_system_are_remembered_up_to_a_number(asked: list[str]):
    bypass = EnvironmentProxies.read().bypass
    for number in range(600):
        bypass.matches(f"n{number}.example")
        assert len(bypass._known) <= 256
    assert len(asked) == 600


def test_a_client_with_settings_of_the_operating_system_comes_back(asked: list[str]):
    client = pickle.loads(pickle.dumps(httpx.Client()))
    assert client._transport_for_url(httpx.URL("http://intranet/")) is client._transport
    assert client._transport_for_url(httpx.URL("http://example.org/")) is not client._transport


def test_nothing_heavy_is_loaded_where_the_operating_system_has_no_settings():
    code = (
        "import sys; from httpx._proxies import *; EnvironmentProxies({'all': 'p'}, 'a.org,127.0.0.1').proxies()\n"
        "print([name for name in ('urllib.request', 'ipaddress', 'idna') if name in sys.modules])"
    )
    if sys.platform in ("darwin", "win32"):
        pytest.skip("it has")
    source = str(__import__("pathlib").Path(httpx.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": source}, check=True, timeout=60
    )
    assert "urllib.request" not in done.stdout
    assert "idna" not in done.stdout


# NO_PROXY.

# Text, host, port (None: not known), is there no proxy?
TABLE = [
    # Nothing and everything.
    ("", "a.org", 80, False),
    (" , ,\t,", "a.org", 80, False),
    ("*", "a.org", 80, True),
    ("*", "", None, True),
    ("b.org , * ", "10.1.2.3", 80, True),
    ("a.org", "", 80, False),
    # Names, and those below them.
    ("a.org", "a.org", 80, True),
    ("a.org", "a.org", None, True),
    ("a.org", "x.a.org", 81, True),
    ("a.org", "y.x.a.org", 80, True),
    ("a.org", "xa.org", 80, False),
    ("a.org", "org", 80, False),
    ("a.org", "a.org.example", 80, False),
    ("org", "a.org", 80, True),
    ("*a.org", "a.org", 80, True),
    ("*a.org", "x.a.org", 80, True),
    ("*a.org", "xa.org", 80, False),
    ("my_host", "my_host", 80, True),
    # Only below.
    (".a.org", "a.org", 80, False),
    (".a.org", "x.a.org", 80, True),
    (".a.org", "xa.org", 80, False),
    ("*.a.org", "a.org", 80, False),
    ("*.a.org", "x.a.org", 80, True),
    ("*.a.org", "y.x.a.org", 80, True),
    # Case, dots at the end, blanks, several.
    ("A.Org", "a.oRG", 80, True),
    ("a.org.", "a.org", 80, True),
    ("a.org", "a.org.", 80, True),
    ("a.org", "x.a.org.", 80, True),
    ("a.org", "a.org..", 80, False),
    ("  b.org ,, a.org ", "a.org", 80, True),
    ("b.org a.org", "a.org", 80, True),
    ("b.org\ta.org\n", "b.org", 80, True),
    # IDNA.
    ("bücher.example", "bücher.example", 80, True),
    ("bücher.example", "xn--bcher-kva.example", 80, True),
    ("xn--bcher-kva.example", "BÜCHER.example", 80, True),
    (".bücher.example", "x.bücher.example", 80, True),
    # localhost is one host.
    ("localhost", "localhost", 8000, True),
    ("LOCALHOST", "Localhost", 8000, True),
    ("localhost", "x.localhost", 80, False),
    ("localhost", "127.0.0.1", 80, False),
    (".localhost", "x.localhost", 80, True),
    # IPv4.
    ("127.0.0.1", "127.0.0.1", 80, True),
    ("127.0.0.1", "127.0.0.2", 80, False),
    ("127.0.0.1", "x.127.0.0.1", 80, False),
    ("127.0.0.1", "127.0.0.1.", 80, True),
    ("0.0.1", "127.0.0.1", 80, False),
    (".0.0.1", "127.0.0.1", 80, False),
    ("127.0.0.1", "127.0.0.01", 80, False),
    ("127.0.0.1", "::ffff:127.0.0.1", 80, True),
    # IPv6.
    ("::1", "::1", 80, True),
    ("::1", "[::1]", 80, True),
    ("[::1]", "::1", 80, True),
    ("[::1]", "0:0:0:0:0:0:0:1", 80, True),
    ("0:0::0:1", "::1", 80, True),
    ("FE80::A", "fe80::a", 80, True),
    ("::1", "::2", 80, False),
    ("fe80::1", "fe80::1%eth0", 80, True),
    ("fe80::1%eth0", "fe80::1%25eth0", 80, True),
    ("fe80::1%25eth0", "fe80::1%eth0", 80, True),
    ("fe80::1%eth0", "fe80::1%eth1", 80, False),
    ("fe80::1%eth0", "fe80::1", 80, False),
    ("::1", "fe80::1%", 80, False),
    ("::1", ":::1", 80, False),
    # Networks.
    ("10.0.0.0/8", "10.1.2.3", 80, True),
    ("10.0.0.0/8", "11.1.2.3", 80, False),
    ("10.9.9.9/8", "10.1.2.3", 80, True),
    ("10.0.0.0/8", "10.example", 80, False),
    ("10.0.0.0/8", "fe80::1", 80, False),
    ("10.0.0.0/8", "::ffff:10.1.2.3", 80, True),
    ("192.168.1.4/32", "192.168.1.4", 80, True),
    ("192.168.1.4/32", "192.168.1.5", 80, False),
    ("0.0.0.0/0", "8.8.8.8", 443, True),
    ("0.0.0.0/0", "a.org", 443, False),
    ("fe80::/10", "fe80::1", 80, True),
    ("fe80::/10", "[fe80::1%eth0]", 80, True),
    ("fe80::/10", "::1", 80, False),
    ("fe80::/10", "10.1.2.3", 80, False),
    ("[fe80::]/10", "fe80::1", 80, True),
    ("[fe80::/10]", "fe80::1", 80, True),
    ("::ffff:0:0/96", "::ffff:10.1.2.3", 80, True),
    ("a.org,172.16.0.0/12,10.0.0.0/8", "10.0.0.1", 80, True),
    # Ports.
    ("a.org:8080", "a.org", 8080, True),
    ("a.org:8080", "x.a.org", 8080, True),
    ("a.org:8080", "a.org", 80, False),
    ("a.org:8080", "a.org", None, False),
    ("a.org:", "a.org", 8080, True),
    (".a.org:8080", "x.a.org", 8080, True),
    (".a.org:8080", "x.a.org", 8081, False),
    ("a.org:80,a.org:81", "a.org", 81, True),
    ("127.0.0.1:80", "127.0.0.1", 80, True),
    ("127.0.0.1:80", "127.0.0.1", 81, False),
    ("[::1]:8080", "::1", 8080, True),
    ("[::1]:8080", "::1", 80, False),
    ("::1:8080", "::1", 8080, False),
    ("::1:8080", "::1:8080", 80, True),
    ("localhost:80", "localhost", 80, True),
    (":8080", "a.org", 8080, True),
    ("*:8080", "10.1.2.3", 8080, True),
    ("*:8080", "::1", 80, False),
    # Schemes: nothing is known about them here.
    ("http://a.org", "a.org", 80, False),
    ("all://a.org", "a.org", 80, True),
    ("all://a.org", "x.a.org", 80, False),
    # Good ones behind bad ones.
    ("..,a..b,[x],a.org:x,10.0.0.0/99,a.org", "a.org", 80, True),
    # Hosts that are none.
    ("a.org", "a.org/", 80, False),
    ("a.org", "a b", 80, False),
    ("a.org", "a" * 300 + ".a.org", 80, False),
    ("a.org", "\udcff.a.org", 80, False),
]


@pytest.mark.parametrize(("text", "host", "port", "expected"), TABLE)
def test_no_proxy(text: str, host: str, port: Optional[int], expected: bool):
    assert Bypass(text).matches(host, port) is expected


def test_the_table_is_long_enough():
    assert len(TABLE) >= 60
    assert len({row[:3] for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("text", "scheme", "expected"),
    [
        ("http://a.org", "http", True),
        ("HTTP://a.org", "http", True),
        ("http://a.org", "https", False),
        ("http://a.org", "", False),
        ("http://a.org/path", "http", True),
        ("http://", "http", True),
        ("http://*", "http", True),
        ("http://", "https", False),
        ("https://a.org:80", "https", True),
        ("https://*.org", "https", True),
        ("a.org", "https", True),
    ],
)
def test_an_entry_may_be_for_one_scheme(text: str, scheme: str, expected: bool):
    assert Bypass(text).matches("a.org", 80, scheme) is expected


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (".", "neither a host nor an address"),
        ("*.", "neither a host nor an address"),
        ("..a", "neither a host nor an address"),
        ("a..b", "neither a host nor an address"),
        ("**", "neither a host nor an address"),
        ("a.*", "neither a host nor an address"),
        ("a;b", "neither a host nor an address"),
        ("a" * 256, "neither a host nor an address"),
        (":", "no host"),
        ("a:x", "port"),
        ("a:65536", "port"),
        ("a:\u0661", "port"),
        ("a:-1", "port"),
        ("[::1", "brackets"),
        ("[::1]x", "brackets"),
        ("[a]", "brackets"),
        ("[:a]", "invalid IPv6 address"),
        ("1::2::3", "invalid IPv6 address"),
        ("::1%", "zone"),
        ("256.0.0.1", "invalid IPv4 address"),
        ("1.2.3.04", "invalid IPv4 address"),
        ("10.0.0.0/33", "invalid network"),
        ("a.org/8", "invalid network"),
        ("10.0.0.0/8:80", "followed by a prefix length"),
        ("10.0.0.0/255.0.0.0", "followed by a prefix length"),
        ("10.0.0.0/", "followed by a prefix length"),
        ("1://a", "scheme"),
        ("\u2100.de", "IDNA"),
        ("http://user:hunter2@a.org", "port"),
        ("user@hunter2", "neither a host nor an address"),
    ],
)
def test_an_entry_that_means_nothing_is_left_out_with_a_warning_that_does_not_quote_it(caplog, entry: str, reason: str):
    bypass = Bypass(f"{entry},hunter.example")
    (record,) = caplog.records
    assert record.name == "httpx"
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("NO_PROXY: entry 1 of 2 is ignored: ")
    assert reason in record.getMessage()
    assert "hunter" not in caplog.text
    assert bypass.patterns() == ["all://*hunter.example"]


@given(
    st.text(alphabet=st.sampled_from("aA1.*:/[]%, @é\udcff\u2100-_") | st.characters(), max_size=40),
    st.text(alphabet=st.sampled_from("aA1.:[]%é"), max_size=20) | st.text(max_size=20),
)
def test_no_text_and_no_host_makes_it_crash(text: str, host: str):
    bypass = Bypass(text)
    assert bypass.matches(host, 80) in (True, False)
    assert bypass.matches(host) <= bypass.matches(host, 80) or not text
    for pattern in bypass.patterns():
        URLPattern(pattern)


NAMES = st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,3}", fullmatch=True)


@given(
    st.lists(st.tuples(st.sampled_from(["", ".", "*.", "*"]), NAMES), max_size=5), NAMES, st.lists(NAMES, max_size=2)
)
def test_names_match_as_a_plain_comparison_of_strings_says(entries: list[tuple[str, str]], host: str, above: list[str]):
    host = ".".join([*above, entries[0][1]]) if entries and above else host
    expected = any(
        host.endswith(f".{name}") or (host == name and prefix in ("", "*")) for prefix, name in entries if name != ""
    )
    assert Bypass(",".join(map("".join, entries))).matches(host) is expected


@given(st.ip_addresses(), st.integers(0, 128), st.ip_addresses())
def test_networks_match_as_the_standard_library_says(base: Any, length: int, address: Any):
    import ipaddress

    network = ipaddress.ip_network(f"{base}/{min(length, base.max_prefixlen)}", strict=False)
    mapped = getattr(address, "ipv4_mapped", None)
    expected = address in network or (mapped is not None and mapped in network)
    assert Bypass(str(network)).matches(str(address)) is expected
    inside = network[0]
    if getattr(inside, "ipv4_mapped", None) is None:
        assert Bypass(str(network)).matches(str(inside), 80) is True


# What a client makes of it.


def test_a_url_gets_the_proxy_of_its_scheme_unless_its_host_has_none():
    proxies = EnvironmentProxies({"https": P, "all": Q}, "a.org,10.0.0.0/8,b.org:443")
    assert chosen(proxies, "https://c.org") == P
    assert chosen(proxies, "http://c.org") == Q
    assert chosen(proxies, httpx.URL("http://x.a.org")) is None
    assert chosen(proxies, "https://10.2.3.4/") is None
    assert chosen(proxies, "https://b.org") is None
    assert chosen(proxies, "http://b.org") == Q
    assert chosen(EnvironmentProxies({"https": P}), "http://c.org") is None
    assert chosen(EnvironmentProxies({"all": P}, "*"), "http://c.org") is None


def test_mounts_are_patterns_in_their_order_with_all_of_no_proxy_in_one():
    proxies = EnvironmentProxies({"http": P, "https": Q, "all": "socks5://s"}, "a.org,10.0.0.0/8,fe80::/10")
    (bypass, nothing), *rest = proxies.mounts()
    assert isinstance(bypass, BypassPattern)
    assert nothing is None
    assert [(pattern.pattern, url) for pattern, url in rest] == [
        ("https://", Q),
        ("http://", P),
        ("all://", "socks5://s"),
    ]


def test_one_proxy_is_one_mount_as_packages_expect():
    ((pattern, url),) = EnvironmentProxies({"https": "https://proxy.example"}).mounts()
    assert (pattern.pattern, url) == ("https://", "https://proxy.example")


@pytest.mark.parametrize(("proxies", "no_proxy"), [({}, ""), ({}, "*"), ({"all": P}, "*")])
def test_without_a_proxy_and_exceptions_there_are_no_mounts(proxies: dict[str, str], no_proxy: str):
    assert EnvironmentProxies(proxies, no_proxy).mounts() == []


def test_exceptions_are_mounted_without_a_proxy_too():
    """They count for what a user mounts."""
    ((bypass, nothing),) = EnvironmentProxies({}, "a.org").mounts()
    assert bypass.matches("http://a.org")
    assert nothing is None


def test_what_a_user_mounted_for_a_host_comes_before_no_proxy_and_that_before_schemes():
    mounts = dict(EnvironmentProxies({"all": P}, "a.org,[::1]:80,10.0.0.0/8").mounts())
    mounts[URLPattern("all://api.a.org")] = "mine"
    mounts[URLPattern("all://*:81")] = "mine, too"
    ordered = dict(sorted(mounts.items(), key=lambda item: item[0]))
    found = {
        url: transport_for(ordered, url, "default")
        for url in (
            "http://a.org",
            "http://api.a.org",
            "http://a.org:81",
            "http://[::1]",
            "https://[::1]",
            "http://10.2",
        )
    }
    assert found == {
        "http://a.org": "default",
        "http://api.a.org": "mine",
        "http://a.org:81": "mine, too",
        "http://[::1]": "default",
        "https://[::1]": P,
        "http://10.2": P,
    }
    assert len({URLPattern("all://"), BypassPattern(Bypass("a"))}) == 2


URLS = st.builds("{}://{}{}".format, st.sampled_from(["http", "https"]), NAMES, st.sampled_from(["", ":80", ":81"]))


@given(
    st.lists(st.builds("{}{}{}".format, st.sampled_from(["", ".", "*."]), NAMES, st.sampled_from(["", ":80"]))), URLS
)
def test_mounts_and_patterns_agree(entries: list[str], url: str):
    proxies = EnvironmentProxies({"http": P, "all": Q}, ",".join(entries))
    expected = chosen(proxies, url)
    patterns = {URLPattern(text): proxy for text, proxy in proxies.patterns().items()}
    assert transport_for(dict(sorted(patterns.items(), key=lambda item: item[0])), httpx.URL(url), None) == expected


def test_a_bypass_is_true_if_it_can_match():
    assert [bool(Bypass(text)) for text in ("", "*", "a", "10.0.0.0/8", "..")] == [False, True, True, True, False]


# What is not the URL of a proxy.

CLOSED = "127.0.0.1:1"
WRONG = [
    ("http://h:99999", "'http://h:99999' (invalid port at position 9, expected a number from 0 to 65535)"),
    ("socks://x", "'socks://x' (unknown scheme 'socks' in a proxy URL, expected one of http, https, socks4, socks4a, "),
    ('"http://h:1"', "'\"http://h:1\"' (unknown scheme '' in a proxy URL, expected one of "),
    ("http://ann:p@ss w@rd@h:1:2", "'http://[secure]@h:1:2' ("),
    ("ann:secret@h:port", "'http://[secure]@h:port' ("),
    ("socks://ann:secret@h", "'socks://[secure]@h' ("),
    ("http://h\\x:1", "'http://h\\\\x:1' (url has a backslash in its authority at position 8"),
    ("http://h:1 " + "x" * 5000, "'http://h:1 " + "x" * 189 + "...' ("),
]


@pytest.mark.parametrize(("value", "shown"), WRONG)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_wrong_variable_is_named_by_the_request_that_needs_it(
    driver: Driver, env: Any, name: str, value: str, shown: str
):
    """Harm: programs did not start where a variable that they never needed was wrong, and did not learn which one."""
    env(**{name: value}, NO_PROXY="127.0.0.1")

    async def scenario(client: Any) -> httpx.ProxyError:
        with pytest.raises(httpx.ProxyError) as caught:
            await client.get("https://example.org/")
        with pytest.raises(httpx.ConnectError):
            await client.get(f"https://{CLOSED}/")  # which has no proxy
        return caught.value

    error = driver.run(scenario)
    assert str(error).startswith(f"invalid proxy URL in {name}: {shown}")
    assert "secret" not in str(error)
    assert "ss w" not in str(error)
    assert len(str(error)) < 400
    assert error.request.url == "https://example.org/"


def test_a_wrong_variable_does_not_keep_a_request_from_its_own_proxy(driver: Driver, env: Any):
    env(HTTPS_PROXY="socks://x")

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"https://{CLOSED}/", extensions={"proxy": None})

    driver.run(scenario)


def test_a_wrong_setting_of_the_system_is_named(asked: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"http": "socks://x"})
    with (
        httpx.Client() as client,
        pytest.raises(httpx.ProxyError, match="in the system's proxy for http://: 'socks://x'"),
    ):
        client.get("http://example.org/")


def test_a_client_with_a_wrong_variable_can_be_pickled(env: Any):
    env(ALL_PROXY="socks://x")
    client = pickle.loads(pickle.dumps(httpx.Client()))
    with pytest.raises(httpx.ProxyError, match="invalid proxy URL in ALL_PROXY"):
        client.get("http://example.org/")


def test_a_proxy_that_is_given_is_checked_at_once(env: Any):
    with pytest.raises(httpx.InvalidURL):
        httpx.Client(proxy="http://h:99999")
    with pytest.raises(ValueError, match="unknown scheme"):
        httpx.Client(proxy="socks://h")


@pytest.mark.parametrize(
    "text",
    ["http://CORP\\ann:p\\w@proxy.example:3128", "CORP\\ann:p\\w@proxy.example:3128", "socks5://CORP\\ann:p\\w@h"],
)
def test_a_user_name_may_have_a_domain_in_front(env: Any, text: str):
    """Harm: proxies of Windows networks want `DOMAIN\\user`, and the backslash was refused."""
    env(HTTP_PROXY=text)
    ((_, proxy),) = EnvironmentProxies.read().proxies()
    assert isinstance(proxy, httpx.Proxy)
    assert proxy.auth == ("CORP\\ann", "p\\w")
    assert proxy.raw_auth == (b"CORP\\ann", b"p\\w")
    if "://" in text:
        assert httpx.Proxy(text).auth == proxy.auth
    assert "ann" not in str(proxy.url)


@pytest.mark.parametrize("url", ["http://h\\x:1", "http://a\\b@h\\x:1", "http:\\\\h:1", "\\"])
def test_other_backslashes_are_refused(url: str):
    with pytest.raises((httpx.InvalidURL, ValueError)):
        httpx.Proxy(url)
    assert str(httpx.Proxy("http://h/a\\b").url) == str(httpx.URL("http://h/a\\b"))
