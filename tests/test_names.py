"""
Names: what needs no question, questions in threads, and what every engine does with the answers.

Nothing here asks the network: resolvers are functions of the test, and `socket.getaddrinfo` is replaced where the
system's own is meant.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any, Optional

import pytest

import httpx
from httpx._engine import names as names_module
from httpx._engine.names import Address, Names, literal_addresses, resolve_error
from support.drivers import Driver
from support.engines import ASYNC_NAMES, driver_named, warm_uvloop
from support.interrupts import Interrupted, interrupt, is_locked
from support.leaks import no_lost_exceptions, nothing_left, settled
from support.peer import Peer
from support.servers import ScriptedServer, answer, repeat
from support.together import in_threads, together

SHORT = 0.05  # seconds: what hangs is given up then


def only(addresses: Optional[list[Address]]) -> Address:
    assert addresses is not None
    assert len(addresses) == 1
    return addresses[0]


def texts(addresses: Optional[list[Address]]) -> list[str]:
    assert addresses is not None
    assert all(address[1] == socket.SOCK_STREAM for address in addresses)
    return [address[4][0] for address in addresses]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names the system's resolver knows; "asked" has the names of all questions."""
    known: dict[str, list[str]] = {"asked": []}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, family, type, proto, flags)
        name = host.decode() if isinstance(host, bytes) else host
        known["asked"].append(name)
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = [real(text, port, 0, type, proto, socket.AI_NUMERICHOST)[0] for text in known[name]]
        return [one for one in found if family in (0, one[0])]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


class Hanging:
    """A resolver that answers when the test lets it; `asked` counts its questions."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0
        self.go = threading.Event()

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        assert self.go.wait(10)
        return self.addresses


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """A resolver that hangs until the test says `go`, or is over."""
    resolver = Hanging("127.0.0.1")
    yield resolver
    resolver.go.set()
    wait_for_threads()


def wait_for_threads() -> None:
    """Until no look-up runs any more."""
    for thread in threading.enumerate():
        if thread.name.startswith("httpx resolves"):
            thread.join(5)
            assert not thread.is_alive()


# What the system reads as an IPv4 address although `ipaddress` does not: some begin where a guard would never look.
NUMERIC_NAMES = (
    *("127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7F.0.0.1", "0177.1", "017700000001"),
    *("0", "0x0", "00", "127.0.0.1.", "3232235521", "0xa9fea9fe"),
)

# Without asking.


def test_the_address_of_a_literal_is_known_without_asking():
    assert only(literal_addresses("127.0.0.1", 80))[4] == ("127.0.0.1", 80)
    address = only(literal_addresses("::1", 443))
    assert address[0] == socket.AF_INET6
    assert address[1] == socket.SOCK_STREAM
    assert address[4][:2] == ("::1", 443)


def test_a_scope_is_part_of_an_address():
    names = [name for _, name in socket.if_nameindex()]
    if not names:
        pytest.skip("no network interface")
    address = only(literal_addresses(f"fe80::1%{names[0]}", 80))
    assert address[4][3] == socket.if_nametoindex(names[0])
    assert literal_addresses("fe80::1%no-such-interface", 80) is None


@pytest.mark.parametrize(
    "host", ["localhost", "example.org", "", "a" * 70, "a..b", "ü.example", "1.2.3.4.5", "[::1]", *NUMERIC_NAMES]
)
def test_a_name_is_not_a_literal(host: str):
    assert literal_addresses(host, 80) is None
    assert Names().known(host, 80) is None


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("example.org", 80, ["127.0.0.1"]),
        ("example.org.", 80, ["127.0.0.1"]),
        ("example.org", 443, ["127.0.0.2", "::1"]),
        ("www.example.org", 80, None),
        ("xn--bcher-kva.example", 80, ["127.0.0.3"]),
        ("::1", 80, ["127.0.0.4"]),
        ("::2", 80, ["::2"]),
        ("10.0.0.1", 80, ["127.0.0.5"]),
        ("10.0.0.2", 80, ["10.0.0.2"]),
        ("::3", 8080, ["127.0.0.6"]),
        ("::3", 80, ["::3"]),
    ],
)
def test_what_was_given_comes_before_everything(host: str, port: int, expected: Any):
    names = Names(
        resolve={
            "Example.ORG": "127.0.0.1",
            "example.org:443": ["127.0.0.2", "[::1]"],
            "bücher.example.": ("127.0.0.3",),
            "[::1]": "127.0.0.4",
            "10.0.0.1": "127.0.0.5",
            "[::3]:8080": "127.0.0.6",
        }
    )
    known = names.known(host, port)
    assert (None if known is None else texts(known)) == expected
    assert all(address[4][1] == port for address in known or ())


def test_an_ipv6_address_is_a_key_without_brackets_too():
    assert texts(Names(resolve={"2001:DB8::0:1": "::1"}).known("2001:db8::1", 80)) == ["::1"]


@pytest.mark.parametrize(
    ("resolve", "kind", "words"),
    [
        ({"a": "b.example"}, ValueError, r"resolve\['a'\] has 'b.example', expected IP addresses"),
        ({"a": ["127.0.0.1", "x"]}, ValueError, "has 'x'"),
        ({"a": []}, ValueError, r"resolve\['a'\] is empty"),
        ({"http://a": "::1"}, ValueError, "not a host"),
        ({"a/b": "::1"}, ValueError, "not a host"),
        ({"u@a": "::1"}, ValueError, "not a host"),
        ({"": "::1"}, ValueError, "not a host"),
        ({"a:99999": "::1"}, ValueError, "not a host"),
        ({"a:b:c": "::1"}, ValueError, "not a host"),
        ([("a", "::1")], TypeError, "must be a mapping"),
    ],
)
def test_overrides_that_mean_nothing_are_refused_where_they_are_given(resolve: Any, kind: Any, words: str):
    with pytest.raises(kind, match=words):
        httpx.HTTPTransport(resolve=resolve)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"resolver": "8.8.8.8"}, TypeError, "resolver must be a function of host and port, not str"),
        ({"address_family": 5}, ValueError, "address_family is 5, expected 4, 6 or None"),
        ({"address_family": "4"}, ValueError, "address_family is '4'"),
        ({"address_family": True}, ValueError, "address_family is True"),
        ({"dns_cache_ttl": -1}, ValueError, "dns_cache_ttl must not be negative"),
        ({"dns_cache_ttl": "1"}, TypeError, "dns_cache_ttl must be a number"),
    ],
)
@pytest.mark.parametrize("kind_of_client", [httpx.Client, httpx.AsyncClient, httpx.HTTPTransport])
def test_options_that_mean_nothing_are_refused_where_they_are_given(
    kind_of_client: Any, options: Any, kind: Any, words: str
):
    with pytest.raises(kind, match=words):
        kind_of_client(**options)


def test_a_family_that_is_not_wanted_is_not_used():
    assert texts(Names(address_family=4).known("127.0.0.1", 80)) == ["127.0.0.1"]
    names = Names(address_family=6, resolve={"a": ["127.0.0.1", "::1"], "b": "127.0.0.1"})
    assert texts(names.known("a", 80)) == ["::1"]
    for host in ("127.0.0.1", "b"):
        with pytest.raises(httpx.ConnectError, match=f"no IPv6 address is known for '{host}'"):
            names.known(host, 80)


# Questions.


def asked(names: Names, host: str = "a.example", port: int = 80) -> list[str]:
    """The answer to a question."""
    return texts(names.look_up(host, port, wait=True).addresses())


def test_the_system_is_asked_for_streams_of_the_wanted_family(system: dict[str, list[str]]):
    system["a.example"] = ["::1", "127.0.0.1"]
    assert asked(Names()) == ["::1", "127.0.0.1"]
    assert asked(Names(address_family=4)) == ["127.0.0.1"]
    system["a.example"] = ["::1"]
    with pytest.raises(httpx.ConnectError, match=r"no IPv4 address is known for 'a\.example'"):
        asked(Names(address_family=4))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (["127.0.0.1", "::1"], ["127.0.0.1", "::1"]),
        (("127.0.0.1",), ["127.0.0.1"]),
        (iter(["127.0.0.1"]), ["127.0.0.1"]),
        ([IPv6Address("::1")], ["::1"]),
        ([(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 0))], ["127.0.0.1"]),
        ([(socket.AF_INET6, 0, 0, "", ("::1", 80, 0, 0)), "127.0.0.1"], ["::1", "127.0.0.1"]),
    ],
)
def test_what_a_resolver_may_answer(answer: Any, expected: list[str]):
    questions = []
    names = Names(resolver=lambda *question: questions.append(question) or answer)
    addresses = names.look_up("a.example", 80, wait=True).addresses()
    assert texts(addresses) == expected
    assert {address[4][1] for address in addresses} == {80}
    assert questions == [("a.example", 80)]


def test_a_resolver_may_know_of_another_port():
    names = Names(resolver=lambda host, port: [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 8080))])
    assert only(names.look_up("a.example", 80, wait=True).addresses())[4] == ("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "no address is known for 'a.example'"),
        ("127.0.0.1", "the resolver gave str, expected a list of addresses"),
        (None, "'NoneType' object is not iterable"),
        (["b.example"], "the resolver gave 'b.example', which is not an IP address"),
        ([b"127.0.0.1"], "which is not an IP address"),
        ([1], "the resolver gave '1', which is not an IP address"),
        ([("127.0.0.1", 80)], "which is not an IP address"),
        ([(socket.AF_INET, 1, 6, "", ())], "tuple index out of range"),
    ],
)
def test_an_answer_that_is_none_is_a_connect_error(answer: Any, words: str):
    with pytest.raises(httpx.ConnectError) as caught:
        asked(Names(resolver=lambda host, port: answer))
    assert words in str(caught.value)


def test_what_a_resolver_raises_is_the_cause_of_a_connect_error():
    class NoAnswer(Exception):
        pass

    def resolver(host: str, port: int) -> list[str]:
        raise NoAnswer

    look_up = Names(resolver=resolver).look_up("a.example", 80, wait=True)
    raised = []
    for _ in range(2):
        with pytest.raises(httpx.ConnectError) as caught:
            look_up.addresses()
        assert str(caught.value) == "the name 'a.example' could not be resolved: NoAnswer"
        assert type(caught.value.__cause__) is NoAnswer
        raised.append(caught.value)
    assert raised[0] is not raised[1], "each belongs to a request"


def test_a_name_without_an_address_is_a_connect_error_with_the_resolvers_words():
    error = resolve_error("no.example", socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert type(error) is httpx.ConnectError
    assert str(error) == "the name 'no.example' could not be resolved: Name or service not known"
    assert str(resolve_error("a..b", UnicodeError("label empty"))).endswith(": label empty")


def test_a_resolver_that_gives_a_coroutine_by_surprise_is_told_how_to_be_one():
    async def answer() -> list[str]:
        return []

    class Later:
        def __await__(self) -> Any:
            raise AssertionError("awaited")

    for make in (answer, Later):
        names = Names(resolver=lambda host, port, make=make: make())
        with nothing_left(), pytest.raises(httpx.ConnectError, match="it should be an `async def`"):
            asked(names)


def test_a_sync_transport_cannot_have_an_async_resolver():
    async def resolver(host: str, port: int) -> list[str]:
        return []

    class Resolver:
        async def __call__(self, host: str, port: int) -> list[str]:
            return []

    for one in (resolver, functools.partial(resolver), Resolver(), Resolver().__call__):
        with pytest.raises(TypeError, match="only an async transport can await"):
            httpx.Client(resolver=one)
        httpx.AsyncClient(resolver=one)


# What is remembered.


class Clock:
    """Seconds, as the test says."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def counting() -> Any:
    """A resolver that answers with a new address each time."""
    number = iter(range(1, 1000))
    return lambda host, port: [f"127.0.0.{next(number) % 256}"]


def test_an_answer_is_remembered_for_two_seconds(clock: Clock):
    names = Names(resolver=counting(), clock=clock)
    assert asked(names) == ["127.0.0.1"]
    clock.now += 1.99
    assert texts(names.known("a.example", 80)) == ["127.0.0.1"]
    assert names.known("a.example", 81) is None
    clock.now += 0.02
    assert names.known("a.example", 80) is None
    assert asked(names) == ["127.0.0.2"]


def test_how_long_can_be_said(clock: Clock):
    names = Names(resolver=counting(), clock=clock, dns_cache_ttl=float("inf"))
    asked(names)
    clock.now += 1e9
    assert texts(names.known("a.example", 80)) == ["127.0.0.1"]
    names = Names(resolver=counting(), clock=clock, dns_cache_ttl=0)
    asked(names)
    assert names.known("a.example", 80) is None


def test_addresses_where_nobody_answered_are_forgotten(clock: Clock):
    names = Names(resolver=counting(), clock=clock)
    asked(names)
    names.distrust("a.example", 80)
    names.distrust("never.asked", 80)
    assert names.known("a.example", 80) is None


def test_failures_are_not_remembered(clock: Clock):
    answers = iter([[], ["127.0.0.1"]])
    names = Names(resolver=lambda host, port: next(answers), clock=clock)
    with pytest.raises(httpx.ConnectError):
        asked(names)
    assert asked(names) == ["127.0.0.1"]


def test_no_more_is_remembered_than_256_names(clock: Clock):
    names = Names(resolver=counting(), clock=clock)
    for number in range(257):
        asked(names, f"n{number}.example")
    asked(names, "n1.example")  # asked again, it is not the oldest any more
    asked(names, "n257.example")
    assert len(names._learned) == 256
    assert [names.known(f"n{number}.example", 80) is None for number in (0, 1, 2, 3, 257)] == [
        True, False, True, False, False,
    ]  # fmt: skip


# Threads.


def test_all_who_ask_for_the_same_at_the_same_time_share_a_question(hanging: Hanging, clock: Clock):
    names = Names(resolver=hanging, clock=clock)
    look_ups = [names.look_up("a.example", 80) for _ in range(5)]
    assert len(set(look_ups)) == 1
    assert names.look_up("a.example", 81) is not look_ups[0]
    assert not look_ups[0].wait(0.001)
    hanging.go.set()
    assert look_ups[0].wait(5)
    assert texts(look_ups[0].addresses()) == ["127.0.0.1"]
    assert hanging.asked == 2
    assert names.look_up("a.example", 80) is not look_ups[0]


def test_a_question_that_hangs_for_long_is_not_joined_any_more(hanging: Hanging, clock: Clock):
    names = Names(resolver=hanging, clock=clock)
    first = names.look_up("a.example", 80)
    clock.now += 16
    second = names.look_up("a.example", 80)
    assert second is not first
    hanging.go.set()
    assert first.wait(5)
    assert second.wait(5)
    assert not names._running


def test_no_more_than_four_threads_ask_for_a_name_that_hangs(hanging: Hanging, clock: Clock):
    """The harm: a name whose resolver never comes back had one more thread every 15 s, without end."""
    names = Names(resolver=hanging, clock=clock)
    look_ups = []
    for _ in range(8):
        look_ups.append(names.look_up("a.example", 80))
        clock.now += 16
    assert len(set(look_ups)) == 4
    assert look_ups[4:] == [look_ups[3]] * 4
    hanging.go.set()
    assert all(look_up.wait(5) for look_up in look_ups)
    assert hanging.asked == 4
    assert not names._running


def test_a_clock_that_goes_back_ends_what_was_known_before(hanging: Hanging, clock: Clock):
    """The harm: what was learned under a test's frozen time, in a year far away, was taken for known for years."""
    names = Names(resolver=lambda host, port: ["192.0.2.1"], clock=clock)
    clock.now += 1e9
    assert names.look_up("a.example", 80, wait=True).addresses()
    clock.now -= 1e9
    assert names.known("a.example", 80) is None
    names = Names(resolver=hanging, clock=clock)
    clock.now += 1e9
    first = names.look_up("a.example", 80)
    clock.now -= 1e9
    assert names.look_up("a.example", 80) is not first
    hanging.go.set()


class Interrupt(BaseException):
    """What a signal handler may raise."""


@pytest.mark.parametrize("wait", [True, False])
def test_an_interrupt_passes_through_a_look_up_and_leaves_none_behind(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch, wait: bool
):
    def interrupted(*args: Any) -> None:
        raise Interrupt

    names = Names(resolver=hanging)
    with monkeypatch.context() as patch:
        patch.setattr(names_module.LookUp, "run", interrupted)
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(Interrupt):
            names.look_up("a.example", 80, wait=wait)
    assert not names._running


def test_those_who_wait_for_a_look_up_that_is_abandoned_are_woken_and_told_to_ask_anew(hanging: Hanging):
    look_up = Names(resolver=hanging).look_up("a.example", 80)
    woken = threading.Event()
    look_up.when_over(woken.set)
    look_up.abandon()
    assert woken.is_set()
    assert look_up.wait(0)
    assert look_up.addresses() is None
    hanging.go.set()


def test_a_look_up_that_is_interrupted_anywhere_is_joined_by_none(monkeypatch: pytest.MonkeyPatch):
    """The lock stayed locked: look-ups in other threads waited for it, and requests for those until time was up."""
    files = (names_module.__file__,)
    started: list[Any] = []

    class Thread:
        """Begins when the test says so, so that no look-up ends by itself."""

        def __init__(self, target: Any, name: str, daemon: bool) -> None:
            self.target = target

        def start(self) -> None:
            started.append(self.target.__self__)

    monkeypatch.setattr(threading, "Thread", Thread)
    for number in itertools.count(1):
        names = Names(resolver=lambda host, port: ["127.0.0.1"])
        started.clear()
        try:
            interrupt(functools.partial(names.look_up, "a.example", 80), files, number)
        except Interrupted:
            assert not is_locked(names._lock), number
            left = [look_up for group in names._running.values() for look_up in group]
            assert all(look_up in started for look_up in left), number
        else:
            break
    assert number > 20


def test_each_request_gets_an_error_and_a_cause_of_its_own():
    def resolver(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "nobody knows")

    look_up = Names(resolver=resolver).look_up("a.example", 80, wait=True)
    causes = []
    for _ in range(3):
        with pytest.raises(httpx.ConnectError) as caught:
            look_up.addresses()
        causes.append(caught.value.__cause__)
    assert [getattr(cause, "errno", None) for cause in causes] == [socket.EAI_NONAME] * 3
    assert len({id(cause) for cause in causes}) == 3


def test_who_waits_is_woken_once_also_if_it_is_over(hanging: Hanging):
    look_up = Names(resolver=hanging).look_up("a.example", 80)
    woken = threading.Semaphore(0)
    look_up.when_over(woken.release)
    hanging.go.set()
    assert woken.acquire(timeout=5)
    look_up.when_over(woken.release)
    assert woken.acquire(timeout=0)
    assert not woken.acquire(timeout=0)


def test_where_no_thread_can_be_had_the_question_is_asked_at_once(monkeypatch: pytest.MonkeyPatch):
    """At the end of a process there are none: the last report of a program should still be sent."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    names = Names(resolver=lambda host, port: ["127.0.0.1"])
    monkeypatch.setattr(threading.Thread, "start", start)
    assert texts(names.look_up("a.example", 80).addresses()) == ["127.0.0.1"]


def test_without_a_time_limit_no_thread_is_needed():
    threads = []

    def resolver(host: str, port: int) -> list[str]:
        threads.append(threading.current_thread())
        return ["127.0.0.1"]

    with ScriptedServer([repeat(answer())]) as server:
        with httpx.Client(resolver=resolver, timeout=None, trust_env=False, dns_cache_ttl=0) as client:
            assert client.get(f"http://a.example:{server.port}/").text == "ok"
        with httpx.Client(resolver=resolver, timeout=5, trust_env=False) as client:
            assert client.get(f"http://a.example:{server.port}/").text == "ok"
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()
    assert threads[1].daemon


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parents(hanging: Hanging):
    names = Names(resolver=hanging)
    names.look_up("a.example", 80)
    child = os.fork()
    if not child:  # pragma: no cover - in the child
        hanging.go.set()
        os._exit(0 if names.look_up("a.example", 80).wait(5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("way", ["sync", "asyncio", "trio"])
def test_a_resolver_that_never_answers_keeps_no_process_from_its_end(way: str):
    """The harm: `asyncio.run` waits for the threads of the loop, and a process for those of its executors."""
    if way == "trio":
        pytest.importorskip("trio")
    run = {"sync": "ask()", "asyncio": "asyncio.run(aask())", "trio": "trio.run(aask)"}[way]
    code = f"""
import asyncio, socket, time, warnings
import httpx
warnings.simplefilter("error")
real = socket.getaddrinfo
def hang(host, *args, **options):
    if options.get("flags"):
        return real(host, *args, **options)
    time.sleep(60)
socket.getaddrinfo = hang
def ask():
    try:
        httpx.get("http://slow.example/", timeout={SHORT}, trust_env=False)
    except httpx.ConnectTimeout as exc:
        print(exc)
async def aask():
    try:
        async with httpx.AsyncClient(timeout={SHORT}, trust_env=False) as client:
            await client.get("http://slow.example/")
    except httpx.ConnectTimeout as exc:
        print(exc)
{"import trio" if way == "trio" else ""}
{run}
"""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30,
        env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(httpx.__file__))},
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout == f"the name 'slow.example' was not resolved within the connect timeout of {SHORT:g} s\n"
    assert time.monotonic() - started < 20


# On every engine.


def run(driver: Driver, scenario: Any, *args: Any, **options: Any) -> Any:
    """The scenario's result; afterwards no connection is in use, and no descriptor left."""
    options.setdefault("timeout", 3)

    async def main() -> Any:
        with no_lost_exceptions():
            async with driver.client(trust_env=False, **options) as client:
                outcome = await scenario(client, *args)
                await settled(client)
            return outcome

    warm_uvloop()
    with nothing_left():
        return driver.run_bare(main)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([repeat(answer())]) as server:
        yield server


async def fetch(client: Any, url: str) -> str:
    text: str = (await client.get(url)).text
    return text


def failure(driver: Driver, url: str, kind: type[Exception], **options: Any) -> Any:
    """What a GET raises."""

    async def scenario(client: Any) -> Exception:
        with pytest.raises(kind) as caught:
            await client.get(url)
        return caught.value

    error = run(driver, scenario, **options)
    assert type(error) is kind, repr(error)
    assert str(error.request.url) == url  # type: ignore[attr-defined]  # every exception of a request has it
    return error


def test_overrides_say_whom_to_connect_to_and_change_nothing_else(driver: Driver, server: ScriptedServer):
    for resolve in ({"example.org": "127.0.0.1"}, {f"example.org:{server.port}": ["127.0.0.1"], "example.org": "::2"}):
        assert run(driver, fetch, f"http://example.org:{server.port}/", resolve=resolve) == "ok"
    assert len(server.received) == 2
    for received in server.received:
        assert f"\r\nHost: example.org:{server.port}\r\n".encode() in received


def test_overrides_hold_for_the_name_of_a_proxy_too(driver: Driver, server: ScriptedServer):
    resolve = {"proxy.example": "127.0.0.1"}
    proxy = f"http://proxy.example:{server.port}"
    assert run(driver, fetch, "http://example.org/x", resolve=resolve, proxy=proxy) == "ok"
    assert server.received[0].startswith(b"GET http://example.org/x HTTP/1.1\r\n")


def test_a_resolver_is_asked_for_each_name_and_not_for_addresses(driver: Driver, server: ScriptedServer):
    questions = []

    def resolver(host: str, port: int) -> list[str]:
        questions.append((host, port))
        return ["127.0.0.1"]

    async def scenario(client: Any) -> None:
        for host in ("a.example", "b.example", "a.example", "127.0.0.1", "bücher.example"):
            response = await client.get(f"http://{host}:{server.port}/", headers={"Connection": "close"})
            assert response.text == "ok"

    run(driver, scenario, resolver=resolver)
    assert questions == [(f"{name}.example", server.port) for name in ("a", "b", "xn--bcher-kva")]


@pytest.mark.parametrize("host", NUMERIC_NAMES)
def test_a_resolver_is_asked_about_every_host_that_only_the_system_reads_as_an_address(driver: Driver, host: str):
    """They went straight to loopback: every guard that is built on a resolver could be walked around."""
    asked: list[str] = []

    def refuse(name: str, port: int) -> list[str]:
        asked.append(name)
        raise PermissionError("refused by the guard")

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError, match="refused by the guard"):
            await client.get(f"http://{host}:1/")

    driver.run(scenario, resolver=refuse)
    assert asked == [httpx.URL(f"http://{host}/").host]


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1"])
def test_without_a_resolver_the_system_is_asked_as_before(driver: Driver, server: ScriptedServer, host: str):
    async def scenario(client: Any) -> int:
        return (await client.get(f"http://{host}:{server.port}/")).status_code

    assert driver.run(scenario) == 200


@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_a_resolver_may_be_awaited(name: str, server: ScriptedServer):
    driver = driver_named(name)
    questions = []

    async def resolver(host: str, port: int) -> list[str]:
        await driver.pause(0.001)
        questions.append((host, port))
        if host == "bad.example":
            raise LookupError("bad")
        return [] if host == "none.example" else ["127.0.0.1"]

    async def scenario(client: Any) -> None:
        for _ in range(2):
            response = await client.get(f"http://a.example:{server.port}/", headers={"Connection": "close"})
            assert response.text == "ok"
        with pytest.raises(httpx.ConnectError, match=r"no address is known for 'none\.example'"):
            await client.get("http://none.example/")
        with pytest.raises(httpx.ConnectError, match="could not be resolved: bad") as caught:
            await client.get("http://bad.example/")
        assert isinstance(caught.value.__cause__, LookupError)

    run(driver, scenario, resolver=resolver)
    assert questions == [("a.example", server.port), ("none.example", 80), ("bad.example", 80)]


@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_an_awaited_resolver_is_cancelled_when_time_is_up(name: str):
    driver = driver_named(name)
    ended = []

    async def resolver(host: str, port: int) -> list[str]:
        try:
            await driver.pause(30)
        finally:
            ended.append(host)
        return []

    error = failure(driver, "http://slow.example/", httpx.ConnectTimeout, resolver=resolver, timeout=SHORT)
    assert str(error) == f"the name 'slow.example' was not resolved within the connect timeout of {SHORT:g} s"
    assert ended == ["slow.example"]


@pytest.mark.parametrize("awaited", [False, True], ids=["in a thread", "awaited"])
@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_a_request_that_is_cancelled_while_a_name_is_looked_up_leaves_nothing(name: str, awaited: bool):
    driver = driver_named(name)
    hanging = Hanging("127.0.0.1")
    began = threading.Event()

    def blocking(host: str, port: int) -> list[str]:
        began.set()
        return hanging(host, port)

    async def never(host: str, port: int) -> list[str]:
        began.set()
        await driver.pause(30)
        raise AssertionError("it was not cancelled")

    async def ask(client: Any) -> None:
        await client.get("http://slow.example/")

    async def until_begun() -> None:
        for _ in range(3000):
            if began.is_set():
                return
            await driver.pause(0.001)
        raise AssertionError("nobody was asked")

    async def in_asyncio(client: Any) -> None:
        task = asyncio.ensure_future(ask(client))
        await until_begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def in_trio(client: Any) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, client)
            await until_begun()
            nursery.cancel_scope.cancel()

    try:
        run(driver, in_trio if name == "trio" else in_asyncio, resolver=never if awaited else blocking)
    finally:
        hanging.go.set()
        wait_for_threads()


@pytest.mark.parametrize("phase", ["connect", "total"])
def test_no_question_outlasts_its_timeout(driver: Driver, hanging: Hanging, phase: str):
    timeout = httpx.Timeout(3, **{phase: SHORT})
    started = time.monotonic()
    error = failure(driver, "http://slow.example/", httpx.ConnectTimeout, resolver=hanging, timeout=timeout)
    assert time.monotonic() - started < 2
    assert str(error) == f"the name 'slow.example' was not resolved within the {phase} timeout of {SHORT:g} s"


def test_the_systems_resolver_is_bounded_and_shared(
    driver: Driver, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    go = threading.Event()
    real = socket.getaddrinfo
    questions = []

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if options.get("flags"):
            return real(host, *args, **options)
        questions.append(host)
        assert go.wait(10)
        return real("127.0.0.1", *args, **options)

    async def scenario(client: Any) -> None:
        for _ in range(2):
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(f"http://slow.example:{server.port}/", timeout=SHORT)
        go.set()
        assert (await client.get(f"http://slow.example:{server.port}/")).text == "ok"

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    run(driver, scenario)
    assert questions == ["slow.example"], "who comes later waits for the question that is being asked"


def test_a_name_for_socks4_is_resolved_under_the_same_rules(driver: Driver, hanging: Hanging):
    options: dict[str, Any] = {"proxy": "socks4://127.0.0.1:9", "resolver": hanging}
    error = failure(driver, "http://slow.example/", httpx.ConnectTimeout, timeout=SHORT, **options)
    assert "'slow.example' was not resolved" in str(error)


def test_addresses_are_tried_in_turn_and_an_error_lists_them(driver: Driver, server: ScriptedServer):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        closed = sock.getsockname()[1]
    where = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", closed)), (socket.AF_INET, 1, 6, "", ("127.0.0.2", closed))]
    good = (socket.AF_INET, 1, 6, "", ("127.0.0.1", server.port))
    assert run(driver, fetch, "http://three.example/", resolver=lambda host, port: [*where, good]) == "ok"
    error = failure(driver, "http://two.example/", httpx.ConnectError, resolver=lambda host, port: where)
    assert str(error) == (
        "no connection to two.example:80: 127.0.0.1: Connection refused; 127.0.0.2: Connection refused"
    )


def test_an_address_that_refused_is_asked_for_anew(driver: Driver, server: ScriptedServer):
    """A retry must not be told the same again: names move when a host fails."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        closed = sock.getsockname()[1]
    ports = iter([closed, server.port])

    def resolver(host: str, port: int) -> Any:
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", next(ports)))]

    transport = driver.transport(resolver=resolver, retries=1)
    assert run(driver, fetch, "http://moved.example/", transport=transport) == "ok"


@pytest.mark.parametrize("family", [4, 6])
def test_one_version_of_ip_only(driver: Driver, family: int, system: dict[str, list[str]]):
    wanted, other = ("127.0.0.1", "::1") if family == 4 else ("::1", "127.0.0.1")
    try:
        server = ScriptedServer([repeat(answer())], host=wanted)
    except OSError:
        pytest.skip("no IPv6")
    system["both.example"], system["other.example"] = [other, wanted], [other]
    with server:
        assert run(driver, fetch, f"http://both.example:{server.port}/", address_family=family) == "ok"
    for host in ("other.example", "127.0.0.1" if family == 6 else "[::1]"):
        error = failure(driver, f"http://{host}/", httpx.ConnectError, address_family=family)
        assert f"no IPv{family} address is known for" in str(error)


def test_a_unix_socket_needs_no_name(driver: Driver, tmp_path: Any):
    def resolver(host: str, port: int) -> list[str]:
        raise AssertionError("asked")

    transport = driver.transport(uds=str(tmp_path / "none"), resolver=resolver)
    error = failure(driver, "http://any.example/", httpx.ConnectError, transport=transport)
    assert "No such file" in str(error)


def test_a_look_up_is_told_to_whoever_traces(driver: Driver, server: ScriptedServer):
    events: list[Any] = []

    def trace(name: str, info: dict[str, Any]) -> None:
        events.append((name.partition(".")[2], info))

    async def atrace(name: str, info: dict[str, Any]) -> None:
        trace(name, info)

    extensions = {"trace": atrace if driver.is_async else trace}

    async def scenario(client: Any) -> None:
        await client.get(f"http://a.example:{server.port}/", extensions=extensions)
        with pytest.raises(httpx.ConnectError):
            await client.get("http://none.example/", extensions=extensions)

    run(driver, scenario, resolver=lambda host, port: ["127.0.0.1"] if host == "a.example" else [])
    assert events[:2] == [
        ("resolve_host.started", {"host": "a.example", "port": server.port}),
        ("resolve_host.complete", {"return_value": ["127.0.0.1"]}),
    ]
    assert events[2][0] == "connect_tcp.started"
    assert [name for name, _ in events[-2:]] == ["resolve_host.started", "resolve_host.failed"]
    assert isinstance(events[-1][1]["exception"], httpx.ConnectError)


def test_many_at_once_ask_once(driver: Driver, hanging: Hanging):
    async def scenario(client: Any) -> list[str]:
        async def one() -> str:
            return await fetch(client, f"http://a.example:{peer.port}/echo")

        if not driver.is_async:
            url = f"http://a.example:{peer.port}/echo"
            release()
            return in_threads([lambda: client.inner.get(url).text for _ in range(10)])
        release()
        return await together([one] * 10)

    def release() -> None:
        timer = threading.Timer(0.1, hanging.go.set)
        timer.daemon = True
        timer.start()

    with Peer() as peer:
        assert run(driver, scenario, resolver=hanging) == ["-"] * 10
    assert hanging.asked == 1


def test_a_resolver_that_trio_was_told_of_is_the_systems(server: ScriptedServer):
    trio = pytest.importorskip("trio")

    class Resolver(trio.abc.HostnameResolver):
        async def getaddrinfo(self, host: Any, port: Any, *args: Any) -> Any:
            if host != b"trio.example":
                raise socket.gaierror(socket.EAI_NONAME, "unknown to trio")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        async def getnameinfo(self, *args: Any) -> Any:
            raise NotImplementedError

    async def main() -> None:
        trio.socket.set_custom_hostname_resolver(Resolver())
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://trio.example:{server.port}/")).text == "ok"
            with pytest.raises(httpx.ConnectError, match="unknown to trio"):
                await client.get("http://other.example/")

    trio.run(main)


def test_an_answer_that_comes_after_the_loop_has_ended_disturbs_nobody(driver: Driver, hanging: Hanging):
    failure(driver, "http://slow.example/", httpx.ConnectTimeout, resolver=hanging, timeout=SHORT)
    hanging.go.set()
    wait_for_threads()  # what fails in a thread is an error: pytest makes a warning of it


def test_the_numbers_are_what_the_documentation_says():
    assert (names_module.DNS_CACHE_TTL, names_module._MAX_REMEMBERED) == (2.0, 256)
