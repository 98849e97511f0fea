"""
A guard is asked about exactly the addresses that are connected to, and nothing gets around it.

`connected` has every address for which an engine makes a socket; a refused request makes none.
"""

from __future__ import annotations

import errno
import functools
import importlib
import inspect
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._engine import guarding
from httpx._engine.guarding import allowed, check, check_route
from httpx._engine.names import Address
from support.depth import depth
from support.drivers import Driver
from support.engines import driver_named
from support.http2 import StreamServer
from support.servers import Conn, ScriptedServer, answer, close, repeat
from support.together import in_threads, together

Question = tuple[str, str, int]
INET, INET6, STREAM = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM


def yes(host: str, address: str, port: int) -> bool:
    return True


class Asking:
    """A guard that notes what it is asked, and gives what `answer` says: a value, an exception, or a function."""

    def __init__(self, answer: Any = True, proxies: Any = False) -> None:
        self.answer = answer
        self.proxies = proxies
        self.asked: list[Question] = []

    def __call__(self, host: str, address: str, port: int) -> Any:
        self.asked.append((host, address, port))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(host, address, port) if callable(self.answer) else self.answer


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The socket addresses that the engines connect to; those of another machine are not reached."""
    found: list[Any] = []
    for name in ("sync", "asyncio", "trio"):
        module = importlib.import_module(f"httpx._engine.dialling.{name}")
        new_socket = module.new_socket  # type: ignore[attr-defined]

        def noting(address: Address, settings: Any, made: Any = new_socket) -> socket.socket:
            found.append(address[4])
            if not str(address[4][0]).startswith("127."):
                raise OSError(errno.ENETUNREACH, "not in a test")
            return made(address, settings)  # type: ignore[no-any-return]  # a socket

        monkeypatch.setattr(module, "new_socket", noting)
    return found


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([repeat(answer(b"ok"))]) as server:
        yield server


async def outcome(client: Any, url: str, **options: Any) -> Union[int, Exception]:
    """The status of a GET, or its exception."""
    try:
        return int((await client.get(url, **options)).status_code)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return exc


async def refused(client: Any, url: str, **options: Any) -> httpx.DestinationRefused:
    """The exception of a request that is refused."""
    found = await outcome(client, url, **options)
    assert type(found) is httpx.DestinationRefused, f"{url}: {found!r}"
    assert found.request.url == url
    return found


# The argument.


def test_what_can_be_a_guard():
    class Guard:
        def __call__(self, host: str, address: str, port: int) -> bool:
            return True

        def method(self, host: str, address: str, port: int) -> bool:
            return True

    for guard in (httpx.public_only, yes, Guard(), Guard().method, functools.partial(yes)):
        check(guard)
        assert httpx.HTTPTransport(guard=guard)._settings.guard is guard


async def _later(host: str, address: str, port: int) -> bool:
    return True


class _Later:
    async def __call__(self, host: str, address: str, port: int) -> bool:
        return True


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient, httpx.HTTPTransport, httpx.AsyncHTTPTransport])
@pytest.mark.parametrize(
    ("guard", "words"),
    [
        (True, "guard must be a function of host, address and port, got bool"),
        ("public_only", "got str"),
        (_Later, "got type"),
        (_later, "guard must not be an async function"),
        (_Later(), "guard must not be an async function"),
        (functools.partial(_later), "guard must not be an async function"),
    ],
)
def test_what_cannot_be_one_is_refused_where_it_is_given(kind: Any, guard: Any, words: str):
    """A coroutine is true, and a class is, too: such a guard would allow everything."""
    with pytest.raises(TypeError, match=words):
        kind(guard=guard)


# What it gives.


def ask(guard: Any, *addresses: Any, host: str = "a.example") -> list[Address]:
    return allowed(guard, host, addresses)


def ipv4(text: Any, port: Any = 80) -> Any:
    return (INET, STREAM, 6, "", (text, port))


def ipv6(text: Any, *rest: Any) -> Any:
    return (INET6, STREAM, 6, "", (text, 80, *rest))


def test_an_address_is_connected_to_as_the_guard_was_told():
    guard = Asking()
    given = [
        (INET, STREAM, 6, "canonical.example", ("192.0.2.1", 80)),
        ipv6("2001:DB8:0::0001", 0, 0),
        ipv6("2001:db8::1"),
        ipv6("fe80::1", 7, 2),
        ipv6("::ffff:7f00:1", 0, 0),
    ]
    assert ask(guard, *given) == [
        ipv4("192.0.2.1"),
        ipv6("2001:db8::1", 0, 0),
        ipv6("2001:db8::1", 0, 0),
        ipv6("fe80::1", 7, 2),
        ipv6("::ffff:127.0.0.1", 0, 0),
    ]
    texts = ["192.0.2.1", "2001:db8::1", "2001:db8::1", "fe80::1%2", "::ffff:127.0.0.1"]
    assert guard.asked == [("a.example", text, 80) for text in texts]


class _Pretending(str):
    """A text that says to each reader what that reader wants to hear."""

    def __str__(self) -> str:
        return "8.8.8.8"

    __repr__ = __str__


def test_a_text_that_only_looks_like_another_is_what_it_is():
    guard = Asking()
    (address,) = ask(guard, ipv4(_Pretending("127.0.0.1")))
    assert guard.asked == [("a.example", "127.0.0.1", 80)]
    assert type(address[4][0]) is str


@pytest.mark.parametrize(
    "address",
    [
        ipv4("localhost"),
        ipv4("127.1"),
        ipv4("0x7f.0.0.1"),
        ipv4("::1"),
        ipv4(b"127.0.0.1"),
        ipv4(2130706433),
        ipv4("8.8.8.8", "80"),
        ipv4("8.8.8.8", None),
        ipv4("<broadcast>"),
        ipv4(""),
        ipv6("fe80::1%lo", 0, 0),
        ipv6("fe80::1%1"),
        ipv6("localhost", 0, 0),
        ipv6("127.0.0.1", 0, 0),
        ipv6("::1", 0),
        ipv6("::1", 0, "lo"),
        (getattr(socket, "AF_UNIX", -1), STREAM, 0, "", "/run/docker.sock"),
        (INET, STREAM, 6, "", None),
        (INET, STREAM, 6, "", ()),
    ],
    ids=lambda address: repr(address[4]),
)
def test_what_another_reader_could_take_for_another_address_is_refused(address: Any):
    """`connect` resolves names and reads other notations, so the guard would be asked about something else."""
    guard = Asking()
    with pytest.raises(httpx.DestinationRefused, match=r"^the guard cannot judge .* for 'a.example': not a numeric IP"):
        ask(guard, address)
    assert guard.asked == []


class Likeness:
    """Something that is true, and equal to True."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize("answer", [None, 0, 1, "", "no", (), [True], Likeness(), object()])
def test_everything_but_true_refuses(answer: Any):
    guard = Asking(answer)
    with pytest.raises(httpx.DestinationRefused) as caught:
        ask(guard, ipv4("8.8.8.8"))
    kind = type(answer).__name__
    assert str(caught.value) == f"the guard gave {kind} for 'a.example' at 8.8.8.8:80, expected True or False"


def test_a_coroutine_refuses_and_does_not_warn():
    """A function that returns one cannot be told before it is called."""
    with pytest.raises(httpx.DestinationRefused, match="the guard gave coroutine"):
        ask(lambda *question: _later(*question), ipv4("8.8.8.8"))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (ipv4("8.8.8.8", 22), "the guard refused 'a.example' at 8.8.8.8:22"),
        (ipv4("127.0.0.1"), "the guard refused 'a.example' at 127.0.0.1:80 (loopback, RFC 1122)"),
        (ipv6("fe80::1", 0, 3), "the guard refused 'a.example' at [fe80::1%3]:80 (an address with a scope, RFC 4007)"),
        (ipv6("::1", 0, 0), "the guard refused 'a.example' at [::1]:80 (loopback, RFC 4291)"),
    ],
    ids=["port", "IPv4", "scope", "IPv6"],
)
def test_a_refusal_says_which_address_and_what_is_special_about_it(address: Any, words: str):
    with pytest.raises(httpx.DestinationRefused) as caught:
        ask(Asking(False), address)
    assert str(caught.value) == words
    assert isinstance(caught.value, httpx.ConnectError)


@pytest.mark.parametrize(
    "error", [ValueError("no"), StopIteration(), httpx.ConnectTimeout("no"), MemoryError(), AssertionError()], ids=repr
)
def test_what_a_guard_raises_refuses_and_is_the_cause(error: Exception):
    with pytest.raises(httpx.DestinationRefused) as caught:
        ask(Asking(error), ipv4("8.8.8.8"))
    assert str(caught.value) == f"the guard failed with {type(error).__name__} for 'a.example' at 8.8.8.8:80"
    assert caught.value.__cause__ is error


def test_a_guard_may_refuse_in_its_own_words():
    with pytest.raises(httpx.DestinationRefused, match=r"^not on a Sunday$"):
        ask(Asking(httpx.DestinationRefused("not on a Sunday")), ipv4("8.8.8.8"))


def test_an_interrupt_in_a_guard_passes_through():
    def guard(*question: Any) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(guard, ipv4("8.8.8.8"))


@given(
    st.lists(st.ip_addresses(v=4) | st.ip_addresses(v=6), max_size=8),
    st.integers(0, 8),
)
def test_one_refused_address_among_several_refuses_all(addresses: list[Any], number: int):
    """Which one would be connected to is decided by who responds first."""
    given = [ipv4(str(one)) if one.version == 4 else ipv6(str(one), 0, 0) for one in addresses]
    bad = str(addresses[number]) if number < len(addresses) else None
    guard = Asking(lambda host, address, port: bad is None or ip_address(address) != ip_address(bad))
    if bad is None:
        assert [ip_address(address[4][0]) for address in ask(guard, *given)] == addresses
    else:
        with pytest.raises(httpx.DestinationRefused, match="the guard refused"):
            ask(guard, *given)


def test_a_route_that_a_guard_cannot_see_is_refused():
    check_route(yes, None, None)
    check_route(Asking(proxies=True), "proxy.example", None)  # type: ignore[arg-type]  # it gives any
    with pytest.raises(
        httpx.DestinationRefused, match=r"cannot judge what is reached through the proxy 'proxy\.example'"
    ):
        check_route(yes, "proxy.example", None)
    with pytest.raises(httpx.DestinationRefused, match="cannot judge a Unix socket"):
        check_route(Asking(proxies=True), None, "/run/app.sock")  # type: ignore[arg-type]  # it gives any


@pytest.mark.parametrize("proxies", [1, "yes", None, [True]], ids=repr)
def test_only_true_makes_a_guard_one_for_proxies(proxies: Any):
    with pytest.raises(ValueError, match="guard= cannot be used with proxy="):
        httpx.HTTPTransport(guard=Asking(proxies=proxies), proxy="http://127.0.0.1:3128")


# 140 spellings. What is after the host is what the guard must have been asked about; nothing is where it says the same.

LITERALS = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::0001]",
    "[0::1]",
    "[::0.0.0.1]",
    "[::2]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::8.8.8.8]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[0000:0000:0000:0000:0000:ffff:7f00:0001]",
    "[::ffff:10.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:0.0.0.0]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:FF9B:0:0:0:0:169.254.169.254]",
    "[64:ff9b:1::10.0.0.1]",
    "[64:ff9b:1:7f00:0:100::]",
    "[64:ff9b:1::8.8.8.8]",
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[2002:a9fe:a9fe::a9fe:a9fe]",
    "[2002:808:808::1]",
    "[2001::7f00:1]",
    "[2001:0:7f00:1::]",
    "[2001:0:808:808:0:0:80ff:fffe]",
    "[2606:4700::5efe:127.0.0.1]",
    "[2606:4700::200:5efe:10.0.0.1]",
    "[fe80::5efe:10.0.0.1]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[ff02::1]",
    "[ff0e::1]",
    "[2001:db8::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[100::1]",
    "[4000::1]",
    "[2620:4f:8000::1]",
]
# Other letters, which are mapped to these (UTS 46), and what stands beside a host.
WRITTEN = {
    "１２７.０.０.１": "127.0.0.1",  # noqa: RUF001  # the letters are what is tested
    "127。0。0。1": "127.0.0.1",
    "127．0．0．1": "127.0.0.1",  # noqa: RUF001  # the letters are what is tested
    "127｡0｡0｡1": "127.0.0.1",
    "①②⑦.⓪.⓪.①": "127.0.0.1",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏": "127.0.0.1",  # noqa: RUF001  # the letters are what is tested
    "user@127.0.0.1": "127.0.0.1",
    "8.8.8.8@127.0.0.1": "127.0.0.1",
    "8.8.8.8:80@127.0.0.1": "127.0.0.1",
    "127.0.0.1:443": "127.0.0.1",
    "[fe80::1%251]": "fe80::1%1",
    "[fe80::1%1]": "fe80::1%1",
    "[::1%251]": "::1%1",
    "[2606:4700::1%251]": "2606:4700::1%1",
    "[::ffff:8.8.8.8%251]": "::ffff:8.8.8.8%1",
}
# Names to us, and addresses to the system's resolver, which does not ask the network about them.
NUMERIC = {
    **dict.fromkeys(["127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.0.0.1", "0x7f.1"], "127.0.0.1"),
    **dict.fromkeys(["0x7f.0x0.0x0.0x1", "017700000001", "0177.1", "0177.0.1", "00000000177.1"], "127.0.0.1"),
    **dict.fromkeys(["127.0x0.0.01", "127.0x1", "0x7f.0.01"], "127.0.0.1"),
    **dict.fromkeys(["0", "00", "0x0", "0x0.0"], "0.0.0.0"),
    **dict.fromkeys(["4294967295", "0xffffffff", "037777777777"], "255.255.255.255"),
    **dict.fromkeys(["0xA9FEA9FE", "2852039166", "025177524776", "169.254.43518"], "169.254.169.254"),
    **dict.fromkeys(["169.16689662", "0xa9.0xfe.0xa9.0xfe"], "169.254.169.254"),
    **dict.fromkeys(["10.1", "0xa.1", "167772161", "012.1"], "10.0.0.1"),
    **dict.fromkeys(["192.168.257", "3232235777", "0xc0a80101", "0300.0250.0x101"], "192.168.1.1"),
}
# Names, with what a resolver says about them. The guard is asked until it refuses.
NAMED: dict[str, tuple[Any, list[str]]] = {
    "localhost": (["127.0.0.1"], ["127.0.0.1"]),
    "LOCALHOST": (["127.0.0.1"], ["127.0.0.1"]),
    "ｌｏｃａｌｈｏｓｔ": (["127.0.0.1"], ["127.0.0.1"]),  # noqa: RUF001  # the letters are what is tested
    "127.0.0.1.": (["127.0.0.1"], ["127.0.0.1"]),
    "127.1.": (["127.0.0.1"], ["127.0.0.1"]),
    "%31%32%37.0.0.1": (["127.0.0.1"], ["127.0.0.1"]),
    "127.0.0.1.example.org": (["127.0.0.1"], ["127.0.0.1"]),
    "8.8.8.8.example.org": (["10.0.0.1"], ["10.0.0.1"]),
    "first.example": (["10.0.0.1", "8.8.8.8"], ["10.0.0.1"]),
    "last.example": (["8.8.8.8", "1.1.1.1", "10.0.0.1"], ["8.8.8.8", "1.1.1.1", "10.0.0.1"]),
    "families.example": (["8.8.8.8", "::1"], ["8.8.8.8", "::1"]),
    "mapped.example": (["2606:4700::1", "::ffff:10.0.0.1"], ["2606:4700::1", "::ffff:10.0.0.1"]),
    "scoped.example": (["fe80::1%1"], ["fe80::1%1"]),
    "tuples.example": ([ipv4("8.8.8.8"), ipv6("::1", 0, 0)], ["8.8.8.8", "::1"]),
    "scopes.example": ([ipv6("2606:4700::1", 0, 2)], ["2606:4700::1%2"]),
    "objects.example": ([ip_address("10.0.0.1")], ["10.0.0.1"]),
    "names.example": ([ipv4("localhost", 80)], []),
    "short.example": ([ipv4("127.1", 80)], []),
    "bytes.example": ([ipv4(b"127.0.0.1", 80)], []),
    "any.example": ([ipv4("", 80)], []),
}
INVALID = [
    *("0177.0.0.1", "127.000.000.001", "0251.0376.0251.0376", "127.0.0.1%00", "127.0.0.1%2f.example.org", "256.1.1.1"),
    *("[127.0.0.1]", "[::1", "127.0.0.1\\@8.8.8.8", "127.0.0.1\t", "127.0.0.1\n"),
]


def resolver(host: str, port: int) -> Any:
    """Knows `NAMED`, and asks the system about numbers alone."""
    named = {name.lower(): found for name, (found, _) in NAMED.items()} | {"localhost": ["127.0.0.1"]}
    return named[host] if host in named else [str(socket.getaddrinfo(host, port, 0, STREAM)[0][4][0])]


def expected(host: str) -> list[str]:
    """The addresses that the guard must be asked about."""
    if host in NAMED:
        return NAMED[host][1]
    return [WRITTEN.get(host) or NUMERIC.get(host) or host.strip("[]")]


SPELLINGS = [*LITERALS, *WRITTEN, *NUMERIC, *NAMED]


def same(asked: list[str], wanted: list[str]) -> bool:
    """How `inet_ntop` writes some of them is the system's business."""

    def key(text: str) -> Any:
        address, _, scope = text.partition("%")
        return ip_address(address), scope

    return [*map(key, asked)] == [*map(key, wanted)]


def test_there_are_enough_spellings():
    assert len(set(SPELLINGS)) == len(SPELLINGS) >= 120


def test_every_spelling_is_refused_by_every_engine(driver: Driver, connected: list[Any]):
    guard = Asking(httpx.public_only)

    async def scenario(client: Any) -> None:
        for host in SPELLINGS:
            guard.asked.clear()
            found = await outcome(client, f"http://{host}/")
            assert type(found) is httpx.DestinationRefused, f"{host}: {found!r}"
            assert same([address for _, address, _ in guard.asked], expected(host)), f"{host}: {guard.asked}"
        for host in INVALID:
            assert isinstance(await outcome(client, f"http://{host}/"), httpx.InvalidURL), host

    driver.run(scenario, guard=guard, resolver=resolver, timeout=None)
    assert connected == []


@pytest.mark.parametrize("address_family", [4, 6])
def test_every_spelling_is_refused_with_one_family(address_family: int, connected: list[Any]):
    """Addresses of the other family are not connected to, so nothing is asked about them."""
    for name in depth(("sync", "asyncio", "trio"), ("sync",)):
        guard = Asking(httpx.public_only)

        async def scenario(client: Any) -> None:
            for host in SPELLINGS:
                found = await outcome(client, f"http://{host}/")
                assert isinstance(found, httpx.ConnectError), f"{host}: {found!r}"

        Driver(name).run(scenario, guard=guard, resolver=resolver, address_family=address_family, timeout=None)
        versions = {ip_address(address.partition("%")[0]).version for _, address, _ in guard.asked}
        assert versions == {address_family}
    # What is left of two names is public.
    assert {where[0] for where in connected} == ({"8.8.8.8"} if address_family == 4 else set())


def test_the_systems_own_resolver_reads_numbers_and_is_not_believed(driver: Driver, connected: list[Any]):
    guard = Asking(httpx.public_only)

    async def scenario(client: Any) -> None:
        for host in NUMERIC:
            await refused(client, f"http://{host}/")

    driver.run(scenario, guard=guard, timeout=5)
    assert [address for _, address, _ in guard.asked] == list(NUMERIC.values())
    assert connected == []


def moves(hosts: list[str]) -> Any:
    """A script that redirects `/3` to the host of that number."""

    def handler(conn: Conn, recorded: list[bytes]) -> None:
        while True:
            first = conn.recv(1)
            if not first:
                return
            conn._unread = first + conn._unread
            path = conn.read_head().split(b" ")[1]
            location = f"http://{hosts[int(path[1:])]}/".encode()
            conn.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location)

    return handler


def test_every_spelling_is_refused_where_a_redirect_leads(driver: Driver, connected: list[Any]):
    with ScriptedServer(moves(SPELLINGS)) as server:
        guard = Asking(lambda host, address, port: port == server.port or httpx.public_only(host, address, port))

        async def scenario(client: Any) -> None:
            for number, host in enumerate(SPELLINGS):
                found = await outcome(client, f"{server.url}/{number}")
                assert type(found) is httpx.DestinationRefused, f"{host}: {found!r}"
                assert found.request.url != f"{server.url}/{number}"

        driver.run(scenario, guard=guard, resolver=resolver, timeout=None, follow_redirects=True)
        assert connected == [("127.0.0.1", server.port)]


@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="fc00::/7") | st.ip_addresses(network="::/96"))
def test_any_address_of_a_special_network_is_refused(address: Any):
    host = str(address) if address.version == 4 else f"[{address}]"
    with httpx.Client(guard=httpx.public_only, trust_env=False) as client, pytest.raises(httpx.DestinationRefused):
        client.get(f"http://{host}/")


# When it is asked.


def test_a_guard_is_asked_once_a_connection_and_not_once_a_request(
    driver: Driver, server: ScriptedServer, connected: list[Any]
):
    guard = Asking()

    async def scenario(client: Any) -> None:
        for _ in range(3):
            assert (await client.get(server.url)).text == "ok"

    driver.run(scenario, guard=guard)
    assert guard.asked == [("127.0.0.1", "127.0.0.1", server.port)]
    assert connected == [("127.0.0.1", server.port)]


def test_a_name_that_changes_between_two_looks_is_looked_up_once(
    driver: Driver, server: ScriptedServer, connected: list[Any]
):
    """Harm: a check beside the client asks the name server, which says something else to the client (rebinding)."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.3"]])
    guard = Asking(lambda host, address, port: address != "127.0.0.2")

    async def scenario(client: Any) -> list[Any]:
        url = f"http://changing.example:{server.port}/"
        found = [await outcome(client, url, headers={"Connection": "close"}) for _ in range(2)]
        return [*found, len(guard.asked)]

    status, error, asked = driver.run(scenario, guard=guard, resolver=lambda *_: next(answers), dns_cache_ttl=0)
    assert (status, type(error), asked) == (200, httpx.DestinationRefused, 2)
    assert connected == [("127.0.0.1", server.port)]


def test_what_is_remembered_about_a_name_is_asked_about_again(
    driver: Driver, server: ScriptedServer, connected: list[Any]
):
    answers = iter([True, False, True])
    guard = Asking(lambda *question: next(answers))

    async def scenario(client: Any) -> list[Any]:
        url = f"http://a.example:{server.port}/"
        return [await outcome(client, url, headers={"Connection": "close"}) for _ in range(3)]

    found = driver.run(scenario, guard=guard, resolver=lambda *_: ["127.0.0.1"], dns_cache_ttl=float("inf"))
    assert [found[0], type(found[1]), found[2]] == [200, httpx.DestinationRefused, 200]
    assert len(connected) == 2


def test_overrides_are_asked_about(driver: Driver, server: ScriptedServer, connected: list[Any]):
    guard = Asking(lambda host, address, port: host == "good.example")

    async def scenario(client: Any) -> None:
        assert await outcome(client, f"http://good.example:{server.port}/") == 200
        await refused(client, f"http://bad.example:{server.port}/")
        await refused(client, f"http://mixed.example:{server.port}/")

    resolve = {"good.example": "127.0.0.1", "bad.example": "127.0.0.1", "mixed.example": ["8.8.8.8", "::1"]}
    driver.run(scenario, guard=guard, resolve=resolve)
    assert connected == [("127.0.0.1", server.port)]


def test_a_port_of_the_resolvers_own_is_the_one_that_is_asked_about(
    driver: Driver, server: ScriptedServer, connected: list[Any]
):
    """Harm: a guard that allows port 443 would have let a resolver's port 22 through."""
    guard = Asking()

    async def scenario(client: Any) -> None:
        assert await outcome(client, "http://a.example/") == 200

    driver.run(scenario, guard=guard, resolver=lambda *_: [ipv4("127.0.0.1", server.port)])
    assert guard.asked == [("a.example", "127.0.0.1", server.port)]
    assert connected == [("127.0.0.1", server.port)]


def test_a_connection_that_is_kept_serves_only_its_own_origin(
    driver: Driver, server: ScriptedServer, connected: list[Any]
):
    """Another name, port or scheme at the same address has a connection of its own, and is asked about."""
    guard = Asking(lambda host, address, port: host == "good.example")

    async def scenario(client: Any) -> None:
        assert await outcome(client, f"http://good.example:{server.port}/") == 200
        headers, extensions = {"Host": "good.example"}, {"sni_hostname": "good.example"}
        await refused(client, f"http://bad.example:{server.port}/")
        await refused(client, f"http://127.0.0.1:{server.port}/", headers=headers)
        await refused(client, f"http://bad.example:{server.port}/", headers=headers, extensions=extensions)
        assert await outcome(client, f"http://good.example:{server.port}/") == 200

    driver.run(scenario, guard=guard, resolver=lambda *_: ["127.0.0.1"])
    assert connected == [("127.0.0.1", server.port)]


def test_hosts_with_one_certificate_share_no_connection_of_http2(driver: Driver, connected: list[Any], trusting: Any):
    """RFC 9113 9.1.1 allows it: then the second host would not be asked about."""
    guard = Asking(lambda host, address, port: host == "localhost")
    with StreamServer(tls=True) as server:
        here, there = f"https://localhost:{server.port}/id", f"https://127.0.0.1:{server.port}/id"

        async def scenario(client: Any) -> None:
            for _ in range(2):
                response = await client.get(here)
                assert (response.status_code, response.http_version) == (200, "HTTP/2")
                await refused(client, there)
            guard.answer = True
            assert (await client.get(there)).status_code == 200

        driver.run(scenario, guard=guard, resolver=lambda *_: ["127.0.0.1"], http2=True, verify=trusting)
        assert [host for host, _, _ in guard.asked] == ["localhost", "127.0.0.1", "127.0.0.1", "127.0.0.1"]
        assert connected == [("127.0.0.1", server.port)] * 2


def test_a_refusal_is_not_retried(driver: Driver, connected: list[Any]):
    guard = Asking(False)

    async def scenario(client: Any) -> None:
        await refused(client, "http://127.0.0.1:9/")

    driver.run(scenario, transport=driver.transport(guard=guard, retries=5))
    assert len(guard.asked) == 1
    assert connected == []


def test_each_retry_of_a_dial_asks_anew(driver: Driver, connected: list[Any]):
    """The name is looked up anew as well."""
    with ScriptedServer([close()]) as server:
        port = server.port
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    guard = Asking(lambda host, address, port: address == "127.0.0.1")

    async def scenario(client: Any) -> None:
        await refused(client, f"http://a.example:{port}/")

    transport = driver.transport(guard=guard, retries=1, resolver=lambda *_: next(answers))
    driver.run(scenario, transport=transport)
    assert [address for _, address, _ in guard.asked] == ["127.0.0.1", "127.0.0.2"]
    assert connected == [("127.0.0.1", port)]


def test_what_a_guard_raises_is_the_cause_of_the_requests_error(driver: Driver, connected: list[Any]):
    guard = Asking(ValueError("a bug"))

    async def scenario(client: Any) -> httpx.DestinationRefused:
        return await refused(client, "http://127.0.0.1:9/")

    error = driver.run(scenario, guard=guard)
    assert repr(error.__cause__) == "ValueError('a bug')"
    assert connected == []


def test_the_trace_of_a_refused_request_has_no_connection(driver: Driver):
    steps: list[str] = []

    def trace(name: str, info: Any) -> None:
        steps.append(name)

    async def atrace(name: str, info: Any) -> None:
        steps.append(name)

    async def scenario(client: Any) -> None:
        await refused(client, "http://a.example/", extensions={"trace": atrace if driver.is_async else trace})

    driver.run(scenario, guard=Asking(False), resolver=lambda *_: ["127.0.0.1"])
    assert not any("connect" in step for step in steps if "resolve" not in step), steps


# Proxies.

PROXIED = [
    {"proxy": "http://127.0.0.1:3128"},
    {"proxy": "https://127.0.0.1:3128"},
    {"proxy": "socks5://127.0.0.1:1080"},
    {"proxy": httpx.Proxy("http://127.0.0.1:3128")},
    {"proxy": httpx.URL("http://127.0.0.1:3128")},
    {"proxy": lambda request: None},
]


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient, httpx.HTTPTransport, httpx.AsyncHTTPTransport])
@pytest.mark.parametrize("options", PROXIED)
def test_a_guard_with_a_proxy_is_an_error_of_the_program(kind: Any, options: Any):
    with pytest.raises(ValueError, match="guard= cannot be used with proxy=: the proxy chooses the address"):
        kind(guard=httpx.public_only, **options)
    kind(guard=Asking(proxies=True), **options)


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
@pytest.mark.parametrize("proxies", ["http://127.0.0.1:3128", {"https": "http://127.0.0.1:3128"}])
def test_a_guard_with_the_old_proxies_is_one_too(kind: Any, proxies: Any):
    with (
        pytest.warns(DeprecationWarning, match="proxies"),
        pytest.raises(ValueError, match="guard= cannot be used with proxy="),
    ):
        kind(guard=httpx.public_only, proxies=proxies)


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("value", ["http://127.0.0.1:3128", "socks5://127.0.0.1:1080", "not a proxy"])
def test_a_guard_with_a_proxy_of_the_environment_is_one_too(
    kind: Any, name: str, value: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "localhost")
    with pytest.raises(ValueError, match=r"guard= cannot be used with a proxy of the environment.*trust_env=False"):
        kind(guard=httpx.public_only)
    kind(guard=httpx.public_only, trust_env=False)
    kind(guard=Asking(proxies=True))


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_an_environment_that_names_no_proxy_is_none(kind: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "localhost")
    kind(guard=httpx.public_only)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    kind(guard=httpx.public_only)


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:1", "https://127.0.0.1:1", "socks4://127.0.0.1:1", "socks5h://a:1"]
)
def test_a_proxy_of_a_request_is_refused_before_anything_is_looked_up(driver: Driver, proxy: str, connected: list[Any]):
    guard = Asking()
    looked_up: list[str] = []

    async def scenario(client: Any) -> httpx.DestinationRefused:
        return await refused(client, "http://a.example/", extensions={"proxy": proxy})

    error = driver.run(scenario, guard=guard, resolver=lambda host, port: looked_up.append(host))
    assert "cannot judge what is reached through the proxy" in str(error)
    assert (guard.asked, looked_up, connected) == ([], [], [])


def test_no_proxy_for_a_request_asks_about_its_host(driver: Driver, server: ScriptedServer):
    guard = Asking(proxies=True)

    async def scenario(client: Any) -> None:
        assert await outcome(client, server.url, extensions={"proxy": None}) == 200

    driver.run(scenario, guard=guard, proxy="http://127.0.0.1:1")
    assert guard.asked == [("127.0.0.1", "127.0.0.1", server.port)]


@pytest.mark.parametrize("how", ["proxy", "function", "extension", "environment"])
def test_a_guard_for_proxies_is_asked_about_the_proxy(driver: Driver, how: str, monkeypatch: pytest.MonkeyPatch):
    with ScriptedServer([repeat(answer(b"by proxy"))]) as proxy:
        guard = Asking(proxies=True)
        options: dict[str, Any] = {}
        extensions = {"proxy": proxy.url} if how == "extension" else {}
        if how in ("proxy", "function"):
            options["proxy"] = proxy.url if how == "proxy" else lambda request: proxy.url
        if how == "environment":
            monkeypatch.setenv("HTTP_PROXY", proxy.url)

        async def scenario(client: Any) -> None:
            assert (await client.get("http://a.example/", extensions=extensions)).text == "by proxy"
            guard.answer = False
            error = await refused(client, "http://b.example/", extensions=extensions, headers={"a": "b"})
            assert str(error).startswith("the guard refused '127.0.0.1'")

        driver.run(scenario, guard=guard, **options)
        assert guard.asked == [("127.0.0.1", "127.0.0.1", proxy.port)] * 2


# Other ways to a host.


@pytest.mark.parametrize("kind", [httpx.HTTPTransport, httpx.AsyncHTTPTransport])
@pytest.mark.parametrize("guard", [httpx.public_only, Asking(proxies=True)])
def test_a_guard_with_a_unix_socket_is_an_error_of_the_program(kind: Any, guard: Any):
    with pytest.raises(ValueError, match="guard= cannot be used with uds="):
        kind(guard=guard, uds="/run/app.sock")


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_a_guard_with_a_transport_is_an_error_of_the_program(kind: Any):
    with pytest.raises(ValueError, match="guard= cannot be used with transport="):
        kind(guard=httpx.public_only, transport=httpx.MockTransport(lambda request: httpx.Response(200)))


@pytest.mark.parametrize("is_async", [False, True])
def test_a_mounted_transport_of_the_network_needs_its_own_guard(is_async: bool):
    kind: Any = httpx.AsyncClient if is_async else httpx.Client
    network: Any = httpx.AsyncHTTPTransport if is_async else httpx.HTTPTransport
    with pytest.raises(ValueError, match=r"needs a guard of its own .* mounted at 'http://a.example'"):
        kind(guard=httpx.public_only, mounts={"http://a.example": network()})
    mock = httpx.MockTransport(lambda request: httpx.Response(200))
    kind(
        guard=httpx.public_only,
        mounts={"all://a.example": network(guard=yes), "all://b.example": mock, "all://c": None},
    )


def test_a_mounted_transport_asks_its_own_guard(driver: Driver, server: ScriptedServer):
    own, mounted = Asking(), Asking(False)

    async def scenario(client: Any) -> None:
        assert await outcome(client, f"http://a.example:{server.port}/") == 200
        await refused(client, f"http://b.example:{server.port}/")

    resolve = {"a.example": "127.0.0.1", "b.example": "127.0.0.1"}
    mounts = {"all://b.example": driver.transport(guard=mounted, resolve=resolve)}
    driver.run(scenario, guard=own, mounts=mounts, resolve=resolve)
    assert [host for host, _, _ in own.asked] == ["a.example"]
    assert [host for host, _, _ in mounted.asked] == ["b.example"]


def test_a_class_that_makes_a_transport_without_the_guard_is_an_error_of_the_program():
    """Harm: the guard was given, and nothing would ask it."""

    class Own(httpx.Client):
        def _init_transport(self, **options: Any) -> Any:
            return httpx.HTTPTransport()

    class Passing(httpx.Client):
        def _init_transport(self, **options: Any) -> Any:
            return super()._init_transport(**options)

    with pytest.raises(ValueError, match="guard= cannot be used: HTTPTransport, made by the client's class"):
        Own(guard=httpx.public_only)
    Own()
    Passing(guard=httpx.public_only)


def test_there_is_one_place_where_sockets_of_a_dial_are_made():
    """Where another one appears, it has to ask the guard: races come from `Dial._race`, and sockets from races."""
    source = Path(guarding.__file__).parent
    texts = {path.relative_to(source).as_posix(): path.read_text(encoding="utf-8") for path in source.rglob("*.py")}
    found: dict[str, set[str]] = {"Race(": set(), "new_socket(": set(), "connect_ex(": set(), "sock_connect(": set()}
    for name, text in texts.items():
        for call, where in found.items():
            if any(call in line and not line.lstrip().startswith(("class ", "def ")) for line in text.splitlines()):
                where.add(name)
    shells = {f"dialling/{name}.py" for name in ("sync", "asyncio", "trio")}
    assert found == {
        "Race(": {"connecting.py"},
        "new_socket(": shells,
        "connect_ex(": shells,
        "sock_connect(": {"dialling/asyncio.py"},
    }
    dial = importlib.import_module("httpx._engine.connecting").Dial
    assert inspect.getsource(dial).count("self._race(") == 1


# Together.


def good(host: str, address: str, port: int) -> bool:
    return host.startswith("good")


def mixed(server: ScriptedServer) -> tuple[list[str], list[Any]]:
    """URLs of eight hosts of each kind, and what must become of them."""
    hosts = [f"{kind}-{number}.example" for number in range(8) for kind in ("good", "bad")]
    return [f"http://{host}:{server.port}/" for host in hosts], [200, httpx.DestinationRefused] * 8


OFTEN = {"guard": good, "resolver": lambda *_: ["127.0.0.1"], "limits": httpx.Limits(max_connections=2)}


def test_of_many_threads_none_takes_the_answer_of_another(server: ScriptedServer, connected: list[Any]):
    urls, wanted = mixed(server)

    def get(url: str) -> Any:
        try:
            return client.get(url).status_code
        except httpx.HTTPError as exc:
            return type(exc)

    with httpx.Client(**OFTEN) as client:
        assert in_threads([functools.partial(get, url) for url in urls]) == wanted
    assert len(connected) == 8


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_of_many_tasks_none_takes_the_answer_of_another(
    name: str, http2: bool, server: ScriptedServer, connected: list[Any]
):
    """On a loop a dial is a task of its own, and may serve another request than the one that began it."""
    urls, wanted = mixed(server)

    async def scenario(client: Any) -> list[Any]:
        found = await together([functools.partial(outcome, client, url) for url in urls])
        return [type(each) if isinstance(each, Exception) else each for each in found]

    assert driver_named(name).run(scenario, http2=http2, **OFTEN) == wanted
    assert len(connected) == 8


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_all_who_wait_for_one_dial_are_refused(name: str, scheme: str, connected: list[Any]):
    """Over HTTP/2 the others wait for the first dial of their origin, and dial themselves when it has failed."""
    guard = Asking(False)

    async def scenario(client: Any) -> None:
        found = await together([functools.partial(outcome, client, f"{scheme}://127.0.0.1:9/{n}") for n in range(5)])
        assert [type(each) for each in found] == [httpx.DestinationRefused] * 5
        assert len({id(each) for each in found}) == 5

    driver_named(name).run(scenario, guard=guard, http2=True)
    assert len(guard.asked) == 5
    assert connected == []


@pytest.mark.parametrize(
    "address",
    [(getattr(socket, "AF_UNIX", -1), STREAM, 0, "", "/run/docker.sock"), ipv4("localhost", 80), ipv4("127.0.0.1", 80)],
    ids=["unix", "name", "loopback"],
)
def test_a_resolver_of_trio_is_not_believed_either(address: Any, connected: list[Any]):
    """Its result is not checked by anybody else."""
    trio = pytest.importorskip("trio")

    class Resolver(trio.abc.HostnameResolver):  # type: ignore[misc]  # trio is not always there
        async def getaddrinfo(self, *args: Any, **options: Any) -> Any:
            return [address]

        async def getnameinfo(self, *args: Any) -> Any:
            raise NotImplementedError

    async def main() -> None:
        trio.socket.set_custom_hostname_resolver(Resolver())
        async with httpx.AsyncClient(guard=httpx.public_only) as client:
            await refused(client, "http://a.example/")

    trio.run(main)
    assert connected == []
