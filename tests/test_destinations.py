"""
Which addresses are public. The oracle is `ipaddress`; where it says something else, `DIFFERENCES` says why.
"""

from __future__ import annotations

import ipaddress
import pickle
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx import _destinations
from httpx._destinations import special

Address = Union[IPv4Address, IPv6Address]
Network = Union[IPv4Network, IPv6Network]

# Where `ipaddress`, in any of the versions of Python that we run on, says "public" and we do not: network -> why.
DIFFERENCES = {
    "168.63.129.16/32": "in no registry, and the host of a virtual machine of Azure all the same",
    "192.0.0.0/24": "protocol assignments: 3.13 has exceptions for anycast to the nearest gateway, others knew a part",
    "192.31.196.0/24": "globally reachable anycast, to which the nearest network responds",
    "192.52.193.0/24": "globally reachable anycast",
    "192.88.99.0/24": "relays of 6to4, withdrawn by RFC 7526",
    "192.175.48.0/24": "globally reachable anycast",
    "64:ff9b::/96": "NAT64: judged by its IPv4 address",
    "64:ff9b:1::/48": "NAT64 with a local prefix: versions differ",
    "2001::/23": "protocol assignments: versions differ, and 3.13 has exceptions",
    "2002::/16": "6to4: versions differ",
    "2620:4f:8000::/48": "globally reachable anycast",
    "3fff::/20": "documentation since 2024, RFC 9637; no version before 3.13 knows it",
    "5f00::/16": "segment routing since 2024, RFC 9602",
    "::/3": "what is not global unicast is reserved, and only some versions say so",
    "4000::/2": "not global unicast",
    "8000::/1": "not global unicast",
}
DIFFERENT = [ip_network(text) for text in DIFFERENCES]

# Each block with one of its addresses and one word of its reason; the registries of IANA, read by hand.
SPECIAL = [
    ("0.0.0.0", "this network"),
    ("0.255.255.255", "this network"),
    ("10.0.0.0", "1918"),
    ("10.255.255.255", "1918"),
    ("100.64.0.0", "6598"),
    ("100.100.100.200", "6598"),  # metadata at Alibaba
    ("100.127.255.255", "6598"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "Azure"),
    ("169.254.169.254", "link-local"),
    ("172.16.0.0", "1918"),
    ("172.31.255.255", "1918"),
    ("192.0.0.1", "6890"),
    ("192.0.0.9", "6890"),
    ("192.0.0.192", "6890"),  # metadata at Oracle
    ("192.0.2.1", "5737"),
    ("192.31.196.1", "AS112"),
    ("192.52.193.1", "7450"),
    ("192.88.99.1", "6to4"),
    ("192.168.0.0", "1918"),
    ("192.168.255.255", "1918"),
    ("192.175.48.1", "AS112"),
    ("198.18.0.0", "2544"),
    ("198.19.255.255", "2544"),
    ("198.51.100.7", "5737"),
    ("203.0.113.7", "5737"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.0", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "not global unicast"),
    ("::8.8.8.8", "not global unicast"),  # IPv4-compatible
    ("::ffff:0:8.8.8.8", "not global unicast"),  # IPv4-translated
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.1.2.3", "1918"),
    ("64:ff9b::127.0.0.1", "loopback"),
    ("64:ff9b::a9fe:a9fe", "link-local"),
    ("64:ff9b:1::8.8.8.8", "NAT64"),
    ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "NAT64"),
    ("64:ff9b:2::1", "not global unicast"),
    ("100::1", "discarded"),
    ("100:0:0:1::1", "dummy"),
    ("2001::1", "Teredo"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:1::1", "2928"),
    ("2001:2::1", "2928"),
    ("2001:10::1", "2928"),
    ("2001:20::1", "2928"),
    ("2001:1ff:ffff::1", "2928"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:808:808::", "6to4"),
    ("2620:4f:8000::1", "AS112"),
    ("3fff:fff::1", "documentation"),
    ("4000::1", "not global unicast"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "unique local"),
    ("fd00:ec2::254", "unique local"),  # metadata at Amazon
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("2606:4700::5efe:10.0.0.1", "1918"),  # ISATAP
    ("2606:4700::200:5efe:127.0.0.1", "loopback"),
    ("fe80::1%1", "scope"),
    ("2606:4700::1%1", "scope"),
]
PUBLIC = [
    *(
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
    ),
    *("168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0"),
    *("192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.114.0", "223.255.255.255"),
    *(
        "2000::",
        "2001:200::",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "3ffe:ffff::1",
    ),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2606:4700::5efe:8.8.8.8", "2606:4700::200:5efe:8.8.8.8"),
]
NO_ADDRESSES: list[Any] = [
    *("", " ", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1 ", " 8.8.8.8", "8.8.8.8\n", "8.8.8.8\0"),
    *(
        "localhost",
        "example.org",
        "8.8.8.8.",
        "8.8.8",
        "8.8.8.256",
        "8.8.8.8.8",
        "[2606:4700::1]",
        "2606:4700::1::",
        ":",
    ),
    *(
        "\uff12.2.2.2",
        "/run/app.sock",
        "8.8.8.8/32",
        "8.8.8.8:80",
        "\ud800",
        b"8.8.8.8",
        134744072,
        None,
        ("8.8.8.8", 80),
    ),
]


@pytest.mark.parametrize(("address", "word"), SPECIAL)
def test_a_special_address_is_not_public_and_says_why(address: str, word: str):
    assert word in (special(address) or "")
    assert httpx.public_only("a.example", address, 443) is False


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public_at_every_port(address: str):
    assert special(address) is None
    assert httpx.public_only("a.example", address, 443) is True
    assert httpx.public_only("localhost", address, 22) is True


@pytest.mark.parametrize("address", NO_ADDRESSES, ids=repr)
def test_what_is_not_a_numeric_address_is_not_public(address: Any):
    assert special(address) == "not a numeric IP address"
    assert httpx.public_only("a.example", address, 443) is False


def blocks() -> list[Network]:
    """All blocks of the module's tables."""
    tables = _destinations._IPV4_BLOCKS + _destinations._IPV6_BLOCKS
    return [ip_network(text) for text, _ in tables]


def test_the_tables_are_in_order_and_no_block_overlaps_another():
    """The search for a block looks at one only."""
    for version in (4, 6):
        found = [block for block in blocks() if block.version == version]
        for before, after in zip(found, found[1:]):
            assert before.broadcast_address < after.network_address, (before, after)  # type: ignore[operator]  # of one version


def test_every_special_block_that_python_knows_is_in_the_tables():
    """New blocks come with new versions of Python, too: then this test says which one is missing here."""
    constants = [getattr(ipaddress, f"_IPv{version}Constants") for version in (4, 6)]
    known = [network for each in constants for network in each._private_networks]
    for network in known:
        for address in (network.network_address, network.broadcast_address):
            assert special(str(address)) is not None, f"{address} of {network}"


# Where something changes: the first and the last address of each block, and their neighbours outside.
EDGES = sorted(
    {
        (block.version, int(address) + step)
        for block in [*blocks(), *DIFFERENT, ip_network("2000::/3"), ip_network("::ffff:0:0/96")]
        for address in (block.network_address, block.broadcast_address)
        for step in (-1, 0, 1)
        if 0 <= int(address) + step < 1 << block.max_prefixlen
    }
)


def made(version: int, number: int) -> Address:
    return IPv4Address(number) if version == 4 else IPv6Address(number)


IPV4 = st.integers(0, 2**32 - 1) | st.sampled_from([number for version, number in EDGES if version == 4])
# Most random numbers of 128 bits are in no interesting place.
IPV6 = st.one_of(
    st.sampled_from([number for version, number in EDGES if version == 6]),
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**125 - 1).map(lambda number: number | 1 << 125),
    IPV4.map(lambda number: 0xFFFF << 32 | number),
    IPV4.map(lambda number: 0x64FF9B << 96 | number),
    st.builds(lambda high, low: 0x2001 << 112 | high << 64 | low, st.integers(0, 2**48 - 1), st.integers(0, 2**64 - 1)),
)
ADDRESSES = st.one_of(
    IPV4.map(IPv4Address), IPV6.map(IPv6Address), st.sampled_from(EDGES).map(lambda edge: made(*edge))
)


def unwrapped(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address


def is_public(address: Address) -> bool:
    """What `ipaddress` says."""
    address = unwrapped(address)
    return address.is_global and not address.is_multicast and not address.is_reserved


@given(ADDRESSES)
def test_ipaddress_agrees_but_for_the_listed_differences(address: Address):
    ours = httpx.public_only("", str(address), 80)
    if ours != is_public(address):
        inner = unwrapped(address)
        assert any(inner in network for network in DIFFERENT), f"{address}: {special(str(address))}"
        if ours:
            assert inner in ip_network("64:ff9b::/96"), f"{address} is public to us alone"


@pytest.mark.parametrize("network", DIFFERENT, ids=str)
def test_in_a_listed_difference_nothing_is_public(network: Network):
    """But for what NAT64 translates."""
    first, last = network.network_address, network.broadcast_address
    if str(network) != "64:ff9b::/96":
        assert not httpx.public_only("", str(first), 80)
        assert not httpx.public_only("", str(last), 80)


# Spellings of IPv4 in IPv6, for the bytes of an IPv4 address as a number.
WRAPPED = {
    "mapped": lambda ipv4: 0xFFFF << 32 | ipv4,
    "compatible": lambda ipv4: ipv4,
    "translated": lambda ipv4: 0xFFFF << 48 | ipv4,
    "NAT64": lambda ipv4: 0x64FF9B << 96 | ipv4,
    "NAT64, local prefix of 48 bits": lambda ipv4: 0x64FF9B0001 << 80 | ipv4 >> 16 << 64 | (ipv4 & 0xFFFF) << 40,
    "NAT64, local prefix of 64 bits": lambda ipv4: 0x64FF9B0001 << 80 | ipv4 << 24,
    "NAT64, local prefix of 96 bits": lambda ipv4: 0x64FF9B0001 << 80 | ipv4,
    "6to4": lambda ipv4: 0x2002 << 112 | ipv4 << 80 | 1,
    "Teredo, its server": lambda ipv4: 0x20010000 << 96 | ipv4 << 64,
    "Teredo, its client": lambda ipv4: 0x20010000 << 96 | ipv4 ^ 0xFFFF_FFFF,
    "ISATAP": lambda ipv4: 0x2606_4700 << 96 | 0x5EFE << 32 | ipv4,
    "ISATAP of a global address": lambda ipv4: 0x2606_4700 << 96 | 0x0200_5EFE << 32 | ipv4,
}
SPECIAL_IPV4 = st.one_of(
    [st.integers(int(block.network_address), int(block.broadcast_address)) for block in blocks() if block.version == 4]
)


def groups_of(address: IPv6Address) -> list[str]:
    digits = address.packed.hex()
    return [digits[at : at + 4] for at in range(0, 32, 4)]


SPELLINGS_IPV6 = [
    lambda address: str(address),
    lambda address: address.exploded,
    lambda address: str(address).upper(),
    lambda address: f"{':'.join(groups_of(address)[:6])}:{IPv4Address(int(address) & 0xFFFF_FFFF)}",
    lambda address: ":".join(f"{int(group, 16):x}" for group in groups_of(address)),
    lambda address: socket.inet_ntop(socket.AF_INET6, address.packed),
]


@given(SPECIAL_IPV4, st.sampled_from(sorted(WRAPPED)), st.sampled_from(SPELLINGS_IPV6))
def test_a_special_ipv4_address_is_special_in_every_ipv6_address_and_spelling(ipv4: int, way: str, spelled: Any):
    address = IPv6Address(WRAPPED[way](ipv4))
    text = spelled(address)
    assert IPv6Address(text) == address
    assert special(str(IPv4Address(ipv4))) is not None
    assert special(text) is not None, f"{way}: {text}"


@given(IPV4, st.sampled_from(["mapped", "NAT64"]))
def test_what_only_translates_is_judged_by_its_ipv4_address(ipv4: int, way: str):
    assert special(str(IPv6Address(WRAPPED[way](ipv4)))) == special(str(IPv4Address(ipv4)))


@given(IPV6.map(IPv6Address), st.text(max_size=5))
def test_an_address_with_a_scope_is_never_public(address: IPv6Address, scope: str):
    assert not httpx.public_only("", f"{address}%{scope}", 80)


@given(st.text(max_size=50))
def test_no_other_text_is_public(text: str):
    try:
        ip_address(text)
    except ValueError:
        assert special(text) is not None


def test_it_is_known_by_its_public_name():
    """A client that was pickled by one version is read by another, whose modules may be called something else."""
    assert httpx.public_only.__module__ == "httpx"
    assert pickle.loads(pickle.dumps(httpx.public_only)) is httpx.public_only
    assert b"_destinations" not in pickle.dumps(httpx.public_only)
