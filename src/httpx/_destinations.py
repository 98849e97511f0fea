"""
Which IP addresses are public: a guard for clients that are given URLs by others.

    public_only(host, address, port) -> bool     a guard, `Client(guard=httpx.public_only)`
    special(address) -> str | None               why an address is not public; None if it is

An address is public if none of IANA's special-purpose registries mentions it. The registries are in `_BLOCKS`, of
November 2026, and not taken from `ipaddress`, whose answers differ between the versions of Python. Blocks that are
special and globally reachable (anycast services such as AS112) are not public here: the nearest network responds, which
may be one's own, and it is no server that a URL is meant for.

An IPv6 address can contain an IPv4 address in many ways. Two of them are judged by the IPv4 address, because they reach
it and nothing else: IPv4-mapped addresses, and those of NAT64 with the well-known prefix, by which IPv6-only networks
reach all of IPv4. The others (IPv4-compatible, 6to4, Teredo, NAT64 with a local prefix, IPv4-translated) are never
public: they are obsolete, or it is not known where they lead. ISATAP is known by the interface identifier alone and may
have any prefix; such an address is special if its IPv4 address is.

Not here: when a guard is asked (`_engine.guarding`), and names: a guard is asked about addresses.
"""

from __future__ import annotations

from bisect import bisect
from socket import AF_INET, AF_INET6, inet_pton

# https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast and reserved addresses.
_IPV4_BLOCKS = (
    ("0.0.0.0/8", "this network, RFC 791"),
    ("10.0.0.0/8", "private, RFC 1918"),
    ("100.64.0.0/10", "shared by a provider's customers, RFC 6598"),
    ("127.0.0.0/8", "loopback, RFC 1122"),
    # In no registry, and Microsoft's: on a virtual machine of Azure it is the host, which hands out certificates.
    ("168.63.129.16/32", "the host of a virtual machine of Azure"),
    ("169.254.0.0/16", "link-local, RFC 3927"),
    ("172.16.0.0/12", "private, RFC 1918"),
    ("192.0.0.0/24", "protocol assignments, RFC 6890"),
    ("192.0.2.0/24", "documentation, RFC 5737"),
    ("192.31.196.0/24", "AS112, RFC 7535"),
    ("192.52.193.0/24", "multicast relays, RFC 7450"),
    ("192.88.99.0/24", "6to4 relays, RFC 7526"),
    ("192.168.0.0/16", "private, RFC 1918"),
    ("192.175.48.0/24", "AS112, RFC 7534"),
    ("198.18.0.0/15", "benchmarks, RFC 2544"),
    ("198.51.100.0/24", "documentation, RFC 5737"),
    ("203.0.113.0/24", "documentation, RFC 5737"),
    ("224.0.0.0/4", "multicast, RFC 5771"),
    ("240.0.0.0/4", "reserved, RFC 1112"),
)

# https://www.iana.org/assignments/iana-ipv6-special-registry, and what is not global unicast at all (RFC 4291).
_IPV6_BLOCKS = (
    ("::/128", "unspecified, RFC 4291"),
    ("::1/128", "loopback, RFC 4291"),
    ("64:ff9b:1::/48", "NAT64 with a local prefix, RFC 8215"),
    ("100::/64", "discarded, RFC 6666"),
    ("100:0:0:1::/64", "a dummy prefix, RFC 9780"),
    ("2001::/23", "protocol assignments such as Teredo, RFC 2928"),
    ("2001:db8::/32", "documentation, RFC 3849"),
    ("2002::/16", "6to4, RFC 3056"),
    ("2620:4f:8000::/48", "AS112, RFC 7534"),
    ("3fff::/20", "documentation, RFC 9637"),
    ("5f00::/16", "segment routing, RFC 9602"),
    ("fc00::/7", "unique local, RFC 4193"),
    ("fe80::/10", "link-local, RFC 4291"),
    ("fec0::/10", "site-local, RFC 3879"),
    ("ff00::/8", "multicast, RFC 4291"),
)

_MAPPED = 0xFFFF  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2
_NAT64 = 0x64FF9B << 64  # 64:ff9b::/96, RFC 6052
_GLOBAL_UNICAST = 1  # 2000::/3, all that IANA has to give away (RFC 4291 section 2.4)
# The upper half of an interface identifier of ISATAP, of a local and of a global IPv4 address (RFC 5214 section 6.1).
_ISATAP = frozenset((0x00005EFE, 0x02005EFE))


class _Blocks:
    """
    Blocks of addresses, none of which overlaps another.

    Args:
        family: of the addresses.
        blocks: (network, what it is), in ascending order.

    Attributes:
        starts, ends: of the blocks, as numbers; an end is the first address after it.
    """

    def __init__(self, family: int, blocks: tuple[tuple[str, str], ...]) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.reasons: list[str] = []
        for network, reason in blocks:
            text, _, length = network.partition("/")
            packed = inet_pton(family, text)
            start = int.from_bytes(packed, "big")
            self.starts.append(start)
            self.ends.append(start + (1 << (len(packed) * 8 - int(length))))
            self.reasons.append(reason)

    def find(self, address: int) -> str | None:
        """Return what the block of an address is; None if it is in none."""
        index = bisect(self.starts, address) - 1
        return self.reasons[index] if index >= 0 and address < self.ends[index] else None


_IPV4 = _Blocks(AF_INET, _IPV4_BLOCKS)
_IPV6 = _Blocks(AF_INET6, _IPV6_BLOCKS)


def public_only(host: str, address: str, port: int) -> bool:
    """
    Return whether an address is public: the guard for URLs that others give.

        client = httpx.Client(guard=httpx.public_only)

    False for private, loopback, link-local, shared, documentation, multicast and reserved addresses, for all others of
    IANA's special-purpose registries (RFC 6890), for IPv6 addresses that contain such an IPv4 address or have a scope,
    and for a text that is not a numeric IP address. Every port is allowed; a guard of your own can allow fewer.

        def guard(host, address, port):
            return port in (80, 443) and httpx.public_only(host, address, port)

    Args:
        host: of the URL; not looked at.
        address: IPv4 in four decimal numbers, or IPv6.
        port: not looked at.
    """
    try:
        if ":" not in address:  # `special`, inlined: a frame costs as much as all the rest
            number = int.from_bytes(inet_pton(AF_INET, address), "big")
            return number >= _IPV4.ends[bisect(_IPV4.starts, number) - 1]  # the first block begins at 0
    except (OSError, TypeError, ValueError):
        return False
    return special(address) is None


def special(address: str) -> str | None:
    """Return in a few words why an address is not public; None if it is public."""
    try:
        if ":" not in address:
            return _IPV4.find(int.from_bytes(inet_pton(AF_INET, address), "big"))
        if "%" in address:
            return "an address with a scope, RFC 4007"
        return _special_ipv6(int.from_bytes(inet_pton(AF_INET6, address), "big"))
    except (OSError, TypeError, ValueError):
        return "not a numeric IP address"


def _special_ipv6(address: int) -> str | None:
    prefix, last = address >> 32, address & 0xFFFF_FFFF
    if prefix in (_MAPPED, _NAT64):
        return _IPV4.find(last)
    reason = _IPV6.find(address)
    if reason is not None:
        return reason
    if address >> 125 != _GLOBAL_UNICAST:
        return "not global unicast, RFC 4291"
    return _IPV4.find(last) if prefix & 0xFFFF_FFFF in _ISATAP else None


# Where it is public: in pickles of clients and transports that have it as their guard.
public_only.__module__ = "httpx"
