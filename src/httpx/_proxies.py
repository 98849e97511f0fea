"""
The proxies of the environment, and the hosts that are reached without a proxy.

    EnvironmentProxies.read()            the current environment; a client reads it once, when it is made
        .mounts()   -> [(pattern, text)]     the keys of `client._mounts`: NO_PROXY is one pattern, however long
        .proxies()  -> [(pattern, proxy)]    the same with proxies built from the texts, for clients
        .patterns() -> {text: text}          the shape that `httpx._utils.get_environment_proxies` had in 0.28.1
    Bypass(text).matches(host, port)     NO_PROXY alone

HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name the proxy for http, for https, and for both; one without a scheme is an http
proxy. A variable in lower case wins, even if it is empty. HTTP_PROXY is ignored while REQUEST_METHOD is set: under
CGI a client's `Proxy:` header arrives in that variable (CVE-2016-5385). If no variable is set, the settings of macOS
and Windows are used, through the standard library, with their exceptions, which are looked up for each host.

A text that is not a proxy URL is not an error when a client is made: the program may never send a request that
needs it. Such a request fails with a `ProxyError` that names the variable and the text, without credentials.

NO_PROXY is a list, separated by commas or blanks:

    *                           every host, so no proxy is used
    example.org                 this host and its subdomains; `*example.org` is the same
    .example.org  *.example.org its subdomains only
    localhost  10.1.2.3  ::1    this host only; an IPv6 address may be in brackets
    10.0.0.0/8  fe80::/10       every address of a network; names are not looked up for that
    example.org:8080  [::1]:80  only at this port; `:8080` is any host at it
    https://example.org         only this scheme, and this host without subdomains

Case and a final dot are ignored, and non-ASCII names are compared in their IDNA form. Any other entry is ignored,
with a log line that has its position and not its text, which may be a secret.

Not here: talking to proxies (`_engine`, `_protocol.socks`), the value of a proxy (`_config.Proxy`).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from ._config import Proxy
from ._exceptions import InvalidURL, ProxyError
from ._loggers import logger_of
from ._patterns import URLPattern
from ._urls import URL, url_of
from ._utils import lazy_pattern

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from ._request import Request
    from ._types import URLTypes

logger = logger_of("httpx")

_KINDS = ("http", "https", "all")

# Operating systems with their own settings, which the standard library can read. On others its function
# reads only the environment, which does not justify the 20 ms of importing `urllib.request`.
_SYSTEMS = ("darwin", "win32")

_SEPARATOR = lazy_pattern(r"[,\s]+")
_PLAIN_NAME = lazy_pattern(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_IPV4_SHAPE = lazy_pattern(r"[0-9]+(?:\.[0-9]+){3}")
_SCHEME = lazy_pattern(r"[a-z][a-z0-9+.-]*")
_MAX_HOSTS = 256  # for which the operating system's result is cached
_MAX_SHOWN = 200  # characters of a value in a message
_MAX_NAME = 255  # characters; the longest name of the DNS has 253


# The variables.


def _from_variables() -> dict[str, tuple[str, str]]:
    """Return {"http", "https", "all" or "no": (value, variable)}, for the variables that are set and not blank."""
    found: dict[str, tuple[str, str]] = {}
    # In any case, as in 0.28.1; lower case comes last and takes precedence.
    for name in sorted([name for name in os.environ if name[-6:].lower() == "_proxy"], key=str.islower):
        kind, is_lower = name[:-6].lower(), name.islower()
        if kind == "http" and not is_lower and "REQUEST_METHOD" in os.environ:
            continue
        value = os.environ.get(name, "").strip()
        if value or is_lower:
            found[kind] = value, name
    return {kind: given for kind, given in found.items() if given[0] and kind in (*_KINDS, "no")}


def _from_system() -> dict[str, str]:
    """Return the same from the settings of macOS or Windows; empty elsewhere."""
    if sys.platform not in _SYSTEMS:
        return {}
    from urllib.request import getproxies

    return {kind: value for kind, value in getproxies().items() if value and kind in (*_KINDS, "no")}


def environment_proxies() -> dict[str, str | None]:
    """
    Return the environment's proxies as URL patterns; see `EnvironmentProxies.patterns`.

        {"https://": "http://proxy.example.org:3128", "all://*example.com": None}
    """
    return EnvironmentProxies.read().patterns()


class EnvironmentProxies:
    """
    The proxies of the environment, and the hosts that are reached without a proxy.

    Args:
        proxies: URL of a proxy by "http", "https" or "all"; without a scheme it is an http proxy.
        no_proxy: the list described above.
        by_system: they are the operating system's, which has its own exceptions.
        sources: the variable of each, by "http", "https" or "all", for messages.

    Attributes:
        bypass: the hosts of `no_proxy`.
    """

    __slots__ = ("_proxies", "_sources", "bypass")

    def __init__(
        self,
        proxies: dict[str, str],
        no_proxy: str = "",
        by_system: bool = False,
        sources: Optional[dict[str, str]] = None,
    ) -> None:
        self.bypass = SystemBypass(no_proxy) if by_system else Bypass(no_proxy)
        self._proxies = {
            f"{kind}://": proxies[kind] if "://" in proxies[kind] else f"http://{proxies[kind]}"
            for kind in _KINDS
            if proxies.get(kind) and not self.bypass.everything
        }
        self._sources = {f"{kind}://": name for kind, name in (sources or {}).items()}

    @classmethod
    def read(cls) -> EnvironmentProxies:
        """Return the proxies of the environment, or else of the operating system. Never raises."""
        variables = _from_variables()
        if variables:
            values = {kind: value for kind, (value, _) in variables.items()}
            return cls(values, values.get("no", ""), sources={kind: name for kind, (_, name) in variables.items()})
        found = _from_system()
        return cls(found, found.get("no", ""), by_system=bool(found))

    def mounts(self) -> list[tuple[URLPattern, str | None]]:
        """
        Return the patterns as the keys of `client._mounts`, in their order, each with the URL of its proxy or None.

        All of NO_PROXY is one pattern, so that a request matches it once and not each entry. It exists without a proxy,
        too: it also exempts hosts from a user's mount for a scheme, such as a transport with a proxy.
        """
        if self.bypass.everything:
            return []
        mounts: list[tuple[URLPattern, str | None]] = [(URLPattern(key), url) for key, url in self._proxies.items()]
        if self.bypass:
            mounts.append((BypassPattern(self.bypass), None))
        return sorted(mounts, key=lambda mount: mount[0])

    def proxies(self) -> list[tuple[URLPattern, Proxy | InvalidProxy | None]]:
        """Return the same as `mounts`, with proxies built from the texts. Never raises."""
        return [
            (pattern, None if text is None else self._made(pattern.pattern, text)) for pattern, text in self.mounts()
        ]

    def _made(self, pattern: str, text: str) -> Proxy | InvalidProxy:
        try:
            return Proxy(text)
        except (InvalidURL, ValueError) as exc:
            source = self._sources.get(pattern, f"the system's proxy for {pattern}")
            return InvalidProxy(f"invalid proxy URL in {source}: {_without_credentials(text)!r} ({exc})")

    def patterns(self) -> dict[str, str | None]:
        """
        Return the texts of URL patterns, each with the URL of its proxy or None, as in 0.28.1.

        Patterns cannot express networks: an IPv4 network becomes its first address, as in 0.28.1, and IPv6 networks are
        omitted, because 0.28.1 gave a pattern that no client accepts. `mounts` has both.
        """
        if self.bypass.everything:
            return {}
        return {**self._proxies, **dict.fromkeys(self.bypass.patterns())}


class InvalidProxy:
    """
    A `proxy=` function in place of an invalid proxy of the environment: it raises the error.

    A class and not a function, so that the client can be pickled.
    """

    def __init__(self, message: str) -> None:
        self.message = message

    def __call__(self, request: Request) -> Proxy | None:
        """Raise ProxyError."""
        raise ProxyError(self.message, request=request)


def _without_credentials(text: str) -> str:
    """Return the text without possible credentials, shortened for a message."""
    scheme, separator, rest = text.rpartition("://") if "@" not in text else text.partition("://")
    before, at, host = (rest if separator else text).rpartition("@")
    shown = f"{scheme}{separator}[secure]@{host}" if before or at else text
    return shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + "..."


# NO_PROXY.


class _Entry(NamedTuple):
    """One entry of NO_PROXY."""

    hosts: tuple[str, ...]  # keys of the index: "example.org" for the host, ".example.org" for its subdomains, "*"
    port: Optional[int]
    scheme: str  # "" for any
    pattern: str  # for 0.28.1's shape; "" where there is none
    network: Optional[Union[IPv4Network, IPv6Network]] = None


class Bypass:
    """
    The hosts that are reached without a proxy.

    Args:
        text: the value of NO_PROXY; the module describes it. Any text is accepted: invalid entries are ignored,
        with a warning on the logger `httpx`.

    Attributes:
        everything: the list has a `*`.

    A look-up takes one step for each label of the host and one for each network.
    """

    __slots__ = ("_entries", "_networks", "_rules", "everything")

    def __init__(self, text: str) -> None:
        texts = [entry for entry in _SEPARATOR.split(text) if entry]
        self.everything = "*" in texts
        self._entries = [] if self.everything else _readable(texts)
        self._networks = [entry for entry in self._entries if entry.network is not None]
        self._rules: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            for host in entry.hosts:
                self._rules.setdefault(host, []).append(entry)

    def __bool__(self) -> bool:
        """Return whether there is an entry, so that a host could match."""
        return self.everything or bool(self._entries)

    def matches(self, host: str, port: int | None = None, scheme: str = "") -> bool:
        """
        Return whether this host is reached without a proxy. Never raises: an invalid host does not match.

        Args:
            host: a name or an address, with or without brackets, in any case.
            port: the one to connect to; None if it is not known, which does not match entries with a port.
            scheme: likewise, "" if it is not known.
        """
        if self.everything:
            return True
        if not self._entries:
            return False
        try:
            keys, addresses = _keys_of(host)
        except ValueError:
            return False
        found = [entry for key in keys for entry in self._rules.get(key, ())]
        if addresses and self._networks:
            found += self._networks_with(addresses)
        return any(entry.port in (None, port) and entry.scheme in ("", scheme) for entry in found)

    def _networks_with(self, addresses: list[str]) -> list[_Entry]:
        from ipaddress import ip_address

        parsed = [ip_address(text) for text in addresses]
        return [entry for entry in self._networks if any(one in entry.network for one in parsed)]  # type: ignore[operator]  # all have one

    def matches_url(self, url: URL) -> bool:
        """Return whether the host of this URL, at its port, is reached without a proxy."""
        scheme, host, port = url._origin
        return self.matches(host, port, scheme)

    def patterns(self) -> list[str]:
        """Return the entries as texts of URL patterns, as far as patterns can express them."""
        return [entry.pattern for entry in self._entries if entry.pattern]


class SystemBypass(Bypass):
    """
    The exceptions of macOS or Windows, as `urllib.request.proxy_bypass` knows them, together with a list like NO_PROXY.

    Results are cached, because the system's settings are read at each call.
    """

    __slots__ = ("_known",)

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        """Return True: only the system knows its exceptions."""
        return True

    def matches(self, host: str, port: int | None = None, scheme: str = "") -> bool:
        """Return the same as `Bypass.matches`."""
        if super().matches(host, port, scheme):
            return True
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _MAX_HOSTS:
                self._known.clear()
            known = self._known[host] = self._ask(host)
        return known

    @staticmethod
    def _ask(host: str) -> bool:
        from urllib.request import proxy_bypass

        try:
            return bool(proxy_bypass(f"[{host}]" if ":" in host and host[0] != "[" else host))
        except (OSError, ValueError):  # exceptions that cannot be read
            return False


class BypassPattern(URLPattern):
    """A complete NO_PROXY as one key of `client._mounts`: after the hosts that a user mounted, before bare schemes."""

    def __init__(self, bypass: Bypass) -> None:
        super().__init__("all://")
        self.pattern = "no-proxy://"  # not a scheme of any URL, so that a user's pattern does not equal it by accident
        self._bypass = bypass

    def matches(self, url: URLTypes) -> bool:
        """Return whether the URL's host is reached without a proxy."""
        return self._bypass.matches_url(url_of(url))

    @property
    def priority(self) -> tuple[int, int, int]:
        """Return the sort key: before all patterns without host and port, after all others."""
        return (1, 0, -sys.maxsize)


# Reading an entry. These functions raise ValueError with a reason that does not quote the text.


def _readable(texts: list[str]) -> list[_Entry]:
    """Return the valid entries; log a warning for each of the others."""
    entries = []
    for number, text in enumerate(texts, 1):
        try:
            entries.append(_read_entry(text))
        except ValueError as exc:
            logger.warning("NO_PROXY: entry %d of %d is ignored: %s", number, len(texts), exc)
    return entries


def _read_entry(text: str) -> _Entry:
    scheme, has_scheme, rest = text.rpartition("://")
    if not has_scheme and "/" in text:
        return _Entry((), None, "", *_read_network(text))
    scheme = scheme.lower() or "all"
    if not _SCHEME.fullmatch(scheme):
        raise ValueError("'://' must follow a scheme")
    host, port = _split_port(rest.partition("/")[0])
    if not host and port is None and not has_scheme:
        raise ValueError("it has no host")
    hosts, written = _read_host(host, bool(has_scheme))
    where = written if port is None else f"{written or '*'}:{port}"
    return _Entry(hosts, port, "" if scheme == "all" else scheme, f"{scheme}://{where}")


def _split_port(text: str) -> tuple[str, int | None]:
    """Return the host and port; the host of an IPv6 address without brackets, which then has no port."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and rest[0] != ":") or ":" not in host:
            raise ValueError("brackets are for IPv6 addresses, and only a port may follow them")
        return host, _read_port(rest[1:])
    if text.count(":") > 1:
        return text, None
    host, _, port = text.partition(":")
    return host, _read_port(port)


def _read_port(text: str) -> int | None:
    if not text:
        return None  # as in a URL
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError("its port is not a number from 0 to 65535")
    return int(text)


def _read_host(host: str, only: bool) -> tuple[tuple[str, ...], str]:
    """Return the keys of a host, and how a URL pattern writes it; `only` leaves a plain name's subdomains out."""
    if host in ("", "*"):
        return ("*",), ""
    if ":" in host:
        plain, zone = _read_ipv6(host)
        return (plain + zone,), f"[{plain}{zone.replace('%', '%25')}]"
    if host.startswith((".", "*.")):
        name = _read_name(host.partition(".")[2])
        return (f".{name}",), f"*.{name}"
    name = _read_name(host[1:] if host.startswith("*") else host)
    if not host.startswith("*") and (only or name == "localhost" or _is_ipv4(name)):
        return (name,), name
    return (name, f".{name}"), f"*{name}"


def _read_network(text: str) -> tuple[str, IPv4Network | IPv6Network]:
    """Return a network and its pattern; bits after the prefix may be set, as in 10.1.2.3/8."""
    from ipaddress import ip_network

    address, _, prefix = text.replace("[", "", 1).replace("]", "", 1).partition("/")
    if not (prefix.isascii() and prefix.isdigit()):  # the standard library would accept a mask, and its inverse
        raise ValueError("'/' must be followed by a prefix length, such as /8")
    try:
        network = ip_network(f"{address}/{prefix}", strict=False)
    except ValueError:
        raise ValueError("invalid network, expected one such as 10.0.0.0/8") from None
    return (f"all://{text}" if network.version == 4 else ""), network


def _read_name(text: str) -> str:
    """Return a name or an IPv4 address in the form for comparison: lower case, IDNA, without the final dot."""
    name = text.lower()
    if not name.isascii():
        try:
            name = URL(scheme="http", host=name)._origin[1]
        except InvalidURL:
            raise ValueError("invalid host name (IDNA)") from None
    name = name[:-1] if name.endswith(".") else name
    if len(name) > _MAX_NAME or not _PLAIN_NAME.fullmatch(name):
        raise ValueError("it is neither a host nor an address")
    if _IPV4_SHAPE.fullmatch(name) and not _is_ipv4(name):
        raise ValueError("invalid IPv4 address")
    return name


def _is_ipv4(name: str) -> bool:
    # Without `ipaddress`, which most programs need not load.
    numbers = name.split(".")
    return len(numbers) == 4 and all(
        number.isdigit() and len(number) <= 3 and str(int(number)) == number and int(number) < 256 for number in numbers
    )


def _read_ipv6(text: str) -> tuple[str, str]:
    """Return the address in its shortest form, and its zone with a leading `%`, or ""; a URL has `%25` for `%`."""
    from ipaddress import IPv6Address

    address, percent, zone = text.partition("%")
    zone = zone[2:] if zone.startswith("25") and len(zone) > 2 else zone
    try:
        plain = str(IPv6Address(address))
    except ValueError:
        raise ValueError("invalid IPv6 address") from None
    if percent and not zone:
        raise ValueError("the zone of its IPv6 address is empty")
    return plain, percent + zone


def _keys_of(host: str) -> tuple[list[str], list[str]]:
    """Return the keys of entries for this host, and its addresses, which a network may contain; none for a name."""
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in host:
        return _keys_of_ipv6(host)
    name = _read_name(host)
    if _is_ipv4(name):
        return [name, "*"], [name]  # 127.0.0.1 is not a subdomain of 0.0.1
    return [name, *[name[index:] for index, char in enumerate(name) if char == "."], "*"], []


def _keys_of_ipv6(host: str) -> tuple[list[str], list[str]]:
    from ipaddress import IPv6Address

    plain, zone = _read_ipv6(host)
    # A connection to ::ffff:10.1.2.3 goes to 10.1.2.3.
    mapped = IPv6Address(plain).ipv4_mapped
    addresses = [plain] if mapped is None else [plain, str(mapped)]
    return [*dict.fromkeys([plain + zone, *addresses]), "*"], addresses
