"""The generators that make a connection, driven in memory: no socket, no clock, no loop."""

from __future__ import annotations

import errno
import socket
import ssl
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from httpx._config import Limits, Proxy
from httpx._engine.connecting import FULL_BACKLOG_PAUSE, Dial, shake_hands
from httpx._engine.job import Job
from httpx._engine.names import Names
from httpx._engine.operations import Connect, Operation, Receive, Resolve, Send, Sleep, Steps, Tell
from httpx._engine.settings import Settings
from httpx._exceptions import ConnectError, ConnectTimeout, DestinationRefused, ProxyError, ReadError, WriteError
from httpx._models import Request
from httpx._protocol.tls import TLSFilter
from support import certs


class TLSServer:
    """The server's side of TLS, in memory."""

    def __init__(self) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = certs.server_context().wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.early = b""  # sent in one piece with the end of the handshake

    def talk(self, data: bytes) -> bytes:
        """Take bytes of the client, and return what the server sends."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read()
        if self.early:
            self._tls.write(self.early)
        return self._outgoing.read()


def run(steps: Steps[Any], results: list[Any]) -> tuple[Any, list[Operation]]:
    """Drive a generator with the results of its operations, exceptions among them; its result and its operations."""
    operations = []
    try:
        operation = next(steps)
        while True:
            operations.append(operation)
            result = results.pop(0)
            operation = steps.throw(result) if isinstance(result, BaseException) else steps.send(result)
    except StopIteration as stop:
        return stop.value, operations


def client() -> TLSFilter:
    return TLSFilter(certs.client_context(), "localhost")


def shake(tls: TLSFilter, server: TLSServer, size: Optional[int] = None) -> bool:
    """Do the handshake with a server, whose bytes arrive in pieces of `size`."""
    steps, arrived = shake_hands(tls, 5.0), b""
    result: Any = None
    try:
        while True:
            operation = steps.send(result)
            assert operation[-1] == 5.0  # one deadline for all of it
            if isinstance(operation, Send):
                arrived += server.talk(operation.data)
                result = True
            else:
                assert isinstance(operation, Receive)
                result, arrived = arrived[:size], b"" if size is None else arrived[size:]
    except StopIteration as stop:
        return bool(stop.value)


@pytest.mark.parametrize("size", [None, 1, 100])
def test_a_handshake_succeeds_however_its_bytes_are_cut(size):
    tls = client()
    assert shake(tls, TLSServer(), size) is True
    assert tls.established
    assert tls.leftover() == b""


def test_bytes_in_one_piece_with_the_end_of_the_handshake_are_left_in_the_filter():
    server, tls = TLSServer(), client()
    server.early = b"SETTINGS"
    context = certs.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the server speaks last
    server._tls = context.wrap_bio(server._incoming, server._outgoing, server_side=True)
    assert shake(tls, server) is True
    assert tls.leftover() == b"SETTINGS"


def test_a_handshake_ends_when_time_is_up():
    result, operations = run(shake_hands(client(), 3.0), [False])
    assert result is False
    assert [type(operation) for operation in operations] == [Send]
    result, operations = run(shake_hands(client(), 3.0), [True, None])
    assert result is False
    assert operations[1:] == [Receive(3.0)]


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([WriteError("sending failed: Broken pipe")], "sending failed: Broken pipe"),
        ([True, ReadError("receiving failed: reset")], "receiving failed: reset"),
    ],
)
def test_a_connection_that_breaks_in_a_handshake_is_a_connect_error(results, reason):
    with pytest.raises(ConnectError, match=f"^TLS handshake with 'localhost' failed: {reason}$"):
        run(shake_hands(client(), None), results)


def test_a_peer_that_ends_the_connection_in_a_handshake_is_a_connect_error():
    with pytest.raises(ConnectError, match="TLS handshake with 'localhost' failed"):
        run(shake_hands(client(), None), [True, b""])


# A whole dial.


class FakeSocket:
    """What an operation gives instead of a connected socket."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def getpeername(self) -> Any:
        return ("192.0.2.1", 80)


class Built(FakeSocket):
    """What the shell makes of it."""

    def __init__(self, sock: Any, tls: Any, early: bytes, is_http2: bool) -> None:
        super().__init__()
        self.sock, self.tls, self.early, self.is_http2 = sock, tls, early, is_http2
        self.wire: Any = SimpleNamespace(dial=None)

    def close(self) -> None:
        super().close()
        self.sock.close()


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


ADDRESS = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))
SOCKS_REPLIES = [b"\5\0", b"\5\0\0\1" + bytes(6)]


class Dialling:
    """
    Drives a dial without a socket.

    Args:
        url: of the request.
        options: of the transport; `timeout` is the request's, `traced` whether it has a trace callback.
        replies: what arrives, piece by piece; an exception is raised.
    """

    def __init__(self, url: str, replies: Any = (), traced: bool = False, timeout: Any = None, **options: Any) -> None:
        self.clock = Clock()
        extensions: dict[str, Any] = {"timeout": timeout or {}}
        if traced:
            extensions["trace"] = lambda name, info: None
        self.job = Job(Request("GET", url, extensions=extensions), self.clock())
        given: dict[str, Any] = {
            "verify": True,
            "cert": None,
            "trust_env": False,
            "http1": True,
            "http2": False,
            "limits": Limits(),
            "uds": None,
            "local_address": None,
            "retries": 0,
            "socket_options": None,
            "names": Names(clock=self.clock),
        }
        self.settings = Settings(**{**given, **options})
        self.replies = list(replies)
        self.address: Any = ADDRESS  # what each name resolves to
        self.sockets: list[FakeSocket] = []
        self.operations: list[Operation] = []
        self.steps = Dial(self.job, self.settings, self.clock, self.build).connect()

    def build(self, sock: Any, tls: Any, early: bytes, is_http2: bool) -> Built:
        return Built(sock, tls, early, is_http2)

    def carry_out(self, operation: Operation) -> Any:
        """The result of an operation, all of which succeed."""
        if isinstance(operation, Resolve):
            return [self.address]
        if isinstance(operation, Connect):
            self.sockets.append(FakeSocket())
            return self.sockets[-1]
        if isinstance(operation, Send):
            return True
        if isinstance(operation, Receive):
            return self.replies.pop(0)
        if isinstance(operation, Sleep):
            self.clock.now = max(self.clock.now, operation.until)
        return None

    def run(self, stop: int = 10**6, what: Any = None) -> Any:
        """The connection. At operation number `stop`, from 1, do `what` instead: raise it in there, or close."""
        result = None
        try:
            operation = next(self.steps)
            while True:
                self.operations.append(operation)
                if len(self.operations) == stop:
                    if what is GeneratorExit:
                        self.steps.close()
                        return None
                    operation = self.steps.throw(what)
                else:
                    result = self.carry_out(operation)
                    operation = self.steps.throw(result) if isinstance(result, Exception) else self.steps.send(result)
        except StopIteration as ended:
            return ended.value

    @property
    def kinds(self) -> list[str]:
        return [type(operation).__name__ for operation in self.operations]


def test_a_dial_of_a_name_looks_it_up_and_connects():
    dial = Dialling("http://origin.example/")
    connection = dial.run()
    assert dial.kinds == ["Resolve", "Connect"]
    assert connection.sock is dial.sockets[0]
    assert (connection.tls, connection.early, connection.is_http2) == (None, b"", False)
    assert not connection.sock.closed


def test_one_deadline_holds_for_all_operations_of_an_attempt():
    dial = Dialling("http://o.example/", SOCKS_REPLIES, timeout={"connect": 3.0}, proxy=Proxy("socks5://p.example"))
    dial.run()
    assert dial.kinds == ["Resolve", "Connect", "Send", "Receive", "Send", "Receive"]
    assert {operation.until for operation in dial.operations if not isinstance(operation, Tell)} == {103.0}


WAYS: dict[str, Any] = {
    "plain": ("http://origin.example/", (), {}),
    "socks": ("http://origin.example/", SOCKS_REPLIES, {"proxy": Proxy("socks5://proxy.example")}),
    "http2": ("http://origin.example/", (), {"http1": False, "http2": True}),
    "tls": ("https://origin.example/", [ReadError("gone")], {"retries": 1}),
    "unix": ("http://origin.example/", (), {"uds": "/run/socket"}),
}


class Interrupt(BaseException):
    """What a signal handler may raise."""


def is_over(dial: Dialling, number: int, what: Any) -> bool:
    """Do `what` at operation `number`; did the dial end before it came there?"""
    caught: Any = None
    try:
        dial.run(number, what)
    except (Interrupt, RuntimeError, ConnectError) as exc:
        caught = exc
    if len(dial.operations) < number:
        return True
    if what is not GeneratorExit:
        assert caught is what
    return False


@pytest.mark.parametrize("what", [GeneratorExit, Interrupt(), RuntimeError()], ids=["close", "interrupt", "error"])
@pytest.mark.parametrize("way", WAYS)
def test_a_dial_that_ends_at_any_operation_has_closed_its_sockets(way: str, what: Any):
    url, replies, options = WAYS[way]
    for number in range(1, 100):
        dial = Dialling(url, [*replies, *replies], traced=True, **options)
        if is_over(dial, number, what):
            break
        assert all(sock.closed for sock in dial.sockets), dial.kinds
    assert 3 < number < 99


def test_a_shell_that_cannot_build_its_connection_leaves_no_socket():
    dial = Dialling("http://origin.example/", http1=False, http2=True)

    def build(*args: Any) -> Any:
        raise RuntimeError

    dial.steps = Dial(dial.job, dial.settings, dial.clock, build).connect()
    with pytest.raises(RuntimeError):
        dial.run()
    assert dial.sockets[0].closed


def test_retries_pause_for_longer_and_longer_and_end_with_the_total_timeout():
    dial = Dialling("http://origin.example/", retries=10, timeout={"total": 4.0})
    refused: list[float] = []

    def refuse(operation: Operation) -> Any:
        if isinstance(operation, Connect):
            refused.append(dial.clock.now)
            address = operation.race.next(dial.clock.now)
            assert address is not None
            operation.race.failed(address, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), 0.0)
            return None
        return Dialling.carry_out(dial, operation)

    dial.carry_out = refuse  # type: ignore[method-assign]
    with pytest.raises(ConnectError, match="Connection refused"):
        dial.run()
    assert refused == [100.0, 100.0, 100.5, 101.5, 103.5, 104.0]


@pytest.mark.parametrize("timeout", [{"connect": 0.1}, {"total": 0.1}])
def test_a_full_backlog_is_tried_again_until_time_is_up_also_if_the_clock_stands_still(timeout: dict[str, float]):
    dial = Dialling("http://origin.example/", uds="/run/socket", timeout=timeout)

    def refuse(operation: Operation) -> Any:
        if isinstance(operation, Connect):
            address = operation.race.next(100.0)
            assert address is not None
            operation.race.failed(address, BlockingIOError(errno.EAGAIN, ""), 100.0)
        return None  # a `Sleep` does not move the clock

    dial.carry_out = refuse  # type: ignore[method-assign]
    with pytest.raises(ConnectTimeout, match=r"within the (total )?timeout of 0.1 s .*Resource temporarily"):
        dial.run()
    assert dial.kinds.count("Connect") == pytest.approx(0.1 / FULL_BACKLOG_PAUSE, abs=1)


def test_what_a_server_of_http2_says_with_the_reply_of_socks_is_handed_over():
    replies = [SOCKS_REPLIES[0], SOCKS_REPLIES[1] + b"SETTINGS"]
    proxy = Proxy("socks5://proxy.example")
    connection = Dialling("http://origin.example/", replies, http1=False, http2=True, proxy=proxy).run()
    assert (connection.early, connection.is_http2) == (b"SETTINGS", True)
    for options in ({}, {"http2": True}):
        dial = Dialling("http://origin.example/", replies, proxy=proxy, **options)
        with pytest.raises(ProxyError, match="more than its response"):
            dial.run()
        assert dial.sockets[0].closed


def test_bytes_in_front_of_tls_are_an_error_whatever_follows():
    """A proxy, or an attacker before it, could put them where they pass for the origin's (CVE-2011-0411)."""
    for options in ({}, {"http1": False, "http2": True}):
        replies = [b"HTTP/1.1 200 OK\r\n\r\nearly"]
        dial = Dialling("https://origin.example/", replies, proxy=Proxy("http://proxy.example"), **options)
        with pytest.raises(ProxyError, match="more than its response"):
            dial.run()
        assert dial.sockets[0].closed


def guarded(url: str, answer: Any = True, asked: Any = None, **options: Any) -> Dialling:
    """A dial whose guard gives an answer, and notes what it is asked."""

    def guard(*question: Any) -> Any:
        if asked is not None:
            asked.append(question)
        return answer

    if "proxy" in options:
        guard.proxies = True  # type: ignore[attr-defined]  # as the documentation has it
    return Dialling(url, guard=guard, **options)


def test_a_guard_is_asked_between_the_look_up_and_the_race():
    asked: list[Any] = []
    dial = guarded("http://origin.example/", asked=asked)
    dial.run(stop=1, what=GeneratorExit)
    assert asked == []
    dial = guarded("http://origin.example/", asked=asked)
    dial.run()
    assert dial.kinds == ["Resolve", "Connect"]
    assert asked == [("origin.example", "192.0.2.1", 80)]


def test_a_refused_dial_connects_to_nothing_and_is_not_tried_again():
    asked: list[Any] = []
    dial = guarded("http://origin.example/", False, asked, retries=3)
    with pytest.raises(DestinationRefused, match=r"'origin\.example' at 192\.0\.2\.1:80 \(documentation, RFC 5737\)"):
        dial.run()
    assert dial.kinds == ["Resolve"]
    assert len(asked) == 1


def test_a_race_gets_what_the_guard_was_told():
    """Harm: a resolver's text may be read by `connect` in another way than by the guard."""
    asked: list[Any] = []
    dial = guarded("http://origin.example/", asked=asked)
    dial.address = (socket.AF_INET6, socket.SOCK_STREAM, 6, "x", ("::FFFF:7F00:0001", 80, 0, 0))
    dial.run()
    operation = dial.operations[-1]
    assert isinstance(operation, Connect)
    assert operation.race.next(0) == (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:127.0.0.1", 80, 0, 0))
    assert asked == [("origin.example", "::ffff:127.0.0.1", 80)]


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_the_guard_of_a_proxy_is_asked_about_that_alone(scheme: str):
    asked: list[Any] = []
    dial = guarded("http://origin.example/", False, asked, proxy=Proxy(f"{scheme}://proxy.example:1080"))
    with pytest.raises(DestinationRefused):
        dial.run()
    assert asked == [("proxy.example", "192.0.2.1", 80)]  # the port is the fake resolver's


@pytest.mark.parametrize("options", [{"proxy": Proxy("socks4://proxy.example")}, {"uds": "/run/app.sock"}])
def test_a_route_that_the_guard_does_not_see_ends_before_its_first_step(options: Any):
    """Transports do not let these two meet; the dial does not rely on that."""
    dial = Dialling("http://origin.example/", guard=lambda *question: True, **options)
    with pytest.raises(DestinationRefused, match="the guard cannot judge"):
        dial.run()
    assert dial.operations == []


def test_an_interrupt_says_nothing_about_an_address():
    dial = Dialling("http://origin.example/")
    dial.settings.names.learn("origin.example", 80, [ADDRESS])
    with pytest.raises(Interrupt):
        dial.run(1, Interrupt())
    assert dial.settings.names.known("origin.example", 80) == [ADDRESS]
