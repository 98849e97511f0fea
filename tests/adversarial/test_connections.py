"""
Connecting: addresses that do not answer, sockets as they were asked for, and who gets which connection.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from httpx._engine import race as race_module
from support.engines import ALL_NAMES, EngineDriver
from support.leaks import counts_of, engines_of, no_lost_exceptions, settled, trusting_context, wait_for
from support.peer import Peer, blackhole, is_gone
from support.servers import Conn, ScriptedServer, answer, repeat
from support.steps import until
from support.together import together

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def run(engine: EngineDriver, scenario: Any, **options: Any) -> Any:
    async def main() -> Any:
        with no_lost_exceptions():
            options.setdefault("timeout", 3)
            async with engine.client(verify=trusting_context(), trust_env=False, **options) as client:
                outcome = await scenario(client)
                await settled(client)
            return outcome

    return engine.run_bare(main)


def closed_port() -> tuple[str, int]:
    """An address that refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address: tuple[str, int] = sock.getsockname()
        return address


# Happy Eyeballs.


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, int]]]:
    """What names resolve to, on every engine, whatever the port is that was asked for."""
    known: dict[str, list[tuple[str, int]]] = {}
    real = socket.getaddrinfo

    def found(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in known:
            return real(host, *args, **kwargs)
        flags = args[4] if len(args) > 4 else kwargs.get("flags", 0)
        if flags & socket.AI_NUMERICHOST or not known[name]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in known[name]]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return known


def test_an_address_that_refuses_is_followed_by_the_next_at_once(any_engine: EngineDriver, names: dict[str, Any]):
    async def scenario(client: Any) -> None:
        names["two.example"] = [closed_port(), (peer.host, peer.port)]
        response = await client.get("http://two.example/echo", headers={"X-Id": "second"})
        assert response.text == "second"

    with Peer() as peer:
        run(any_engine, scenario)


def test_an_address_that_does_not_answer_is_overtaken_by_the_next(
    any_engine: EngineDriver, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(race_module, "ATTEMPT_DELAY", 0.02)

    async def scenario(client: Any) -> None:
        with blackhole() as hole:
            names["two.example"] = [hole, hole, (peer.host, peer.port)]  # the same twice is tried once
            response = await client.get("http://two.example/echo", headers={"X-Id": "second"})
            assert response.text == "second"

    with Peer() as peer:
        run(any_engine, scenario)


def test_an_address_that_refuses_late_does_not_stop_the_one_that_is_under_way(
    any_engine: EngineDriver, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(race_module, "ATTEMPT_DELAY", 0.01)

    async def scenario(client: Any) -> None:
        with blackhole() as hole:
            names["all.example"] = [hole, closed_port(), closed_port(), (peer.host, peer.port)]
            response = await client.get("http://all.example/echo", headers={"X-Id": "last"})
            assert response.text == "last"

    with Peer() as peer:
        run(any_engine, scenario)


def test_an_error_names_every_address(any_engine: EngineDriver, names: dict[str, Any]):
    async def scenario(client: Any) -> None:
        names["none.example"] = [closed_port(), ("127.0.0.2", closed_port()[1])]
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get("http://none.example:81/")
        message = str(caught.value)
        assert "none.example:81" in message
        assert "127.0.0.1: Connection refused" in message
        assert "127.0.0.2: Connection refused" in message
        assert caught.value.request.url == "http://none.example:81/"
        assert counts_of(client) == (0, 0, 0, 0)

    run(any_engine, scenario)


def test_a_timeout_says_how_many_addresses_were_tried(any_engine: EngineDriver, names: dict[str, Any]):
    async def scenario(client: Any) -> None:
        with blackhole() as hole, blackhole() as other:
            names["holes.example"] = [hole, other]
            with pytest.raises(httpx.ConnectTimeout, match="1 of 2 addresses tried"):
                await client.get("http://holes.example/", timeout=0.03)

    run(any_engine, scenario)


def test_a_name_without_an_address_is_an_error(any_engine: EngineDriver, names: dict[str, Any]):
    async def scenario(client: Any) -> None:
        names["nobody.example"] = []
        with pytest.raises(httpx.ConnectError, match=r"'nobody\.example' could not be resolved: Name or service"):
            await client.get("http://nobody.example/")

    run(any_engine, scenario)


@pytest.mark.parametrize("name", ALL_NAMES)
def test_a_resolver_that_hangs_is_given_up(name: str, monkeypatch: pytest.MonkeyPatch):
    from support.engines import driver_named

    release = threading.Event()
    real = socket.getaddrinfo

    def hang(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("slow.example", b"slow.example"):
            return real(host, *args, **kwargs)
        flags = args[4] if len(args) > 4 else kwargs.get("flags", 0)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        release.wait(5)
        return real("127.0.0.1", 9)

    async def scenario(client: Any) -> None:
        try:
            with pytest.raises(httpx.ConnectTimeout, match=r"'slow\.example' was not resolved"):
                await client.get("http://slow.example/", timeout=0.02)
        finally:
            release.set()

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    run(driver_named(name), scenario)


# Retries.


def test_connecting_is_tried_again_with_pauses(any_engine: EngineDriver, no_pause: list[int]):
    host, port = closed_port()

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{host}:{port}/")
        assert no_pause == [0, 1, 2]
        assert counts_of(client) == (0, 0, 0, 0)

    run(any_engine, scenario, transport=any_engine.transport(retries=3))


def test_a_try_that_succeeds_ends_the_trying(any_engine: EngineDriver, no_pause: list[int]):
    host, port = closed_port()

    async def scenario(client: Any) -> None:
        events = []

        def trace(event: str, info: dict[str, Any]) -> None:
            events.append(event)
            if event == "connection.retry.started":
                listener = socket.socket()
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host, port))
                listener.listen()
                listeners.append(listener)

        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://{host}:{port}/", timeout=httpx.Timeout(3, read=0.02), extensions={"trace": trace})
        assert events.count("connection.retry.started") == events.count("connection.retry.complete") == 1
        assert "connection.connect_tcp.failed" in events

    listeners: list[socket.socket] = []
    run(any_engine, scenario, transport=any_engine.transport(retries=3))
    assert no_pause == [0]
    for listener in listeners:
        listener.close()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pauses between retries, by number, each of no time."""
    from httpx._engine import connecting

    seen: list[int] = []

    def backoff(attempt: int) -> float:
        seen.append(attempt)
        return 0.0

    monkeypatch.setattr(connecting, "backoff", backoff)
    return seen


# Sockets as they were asked for.


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as path:
        yield path


def test_a_unix_socket_is_connected_to_whatever_the_host_is(any_engine: EngineDriver, folder: str):
    path = os.path.join(folder, "socket")

    async def scenario(client: Any) -> None:
        for host in ("a.example", "b.example"):
            assert (await client.get(f"http://{host}/")).text == "ok"

    with ScriptedServer([repeat(answer())], uds=path) as server:
        run(any_engine, scenario, transport=any_engine.transport(uds=path))
        assert b"Host: a.example" in server.received[0]
        assert b"Host: b.example" in server.received[1]


def test_a_unix_socket_that_is_not_there_is_an_error_with_its_path(any_engine: EngineDriver, folder: str):
    path = os.path.join(folder, "nothing")

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError, match="nothing"):
            await client.get("http://localhost/")

    run(any_engine, scenario, transport=any_engine.transport(uds=path))


def test_connections_come_from_the_local_address(any_engine: EngineDriver):
    seen: list[Any] = []

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        seen.append(conn.getpeername()[0])
        answer()(conn)

    async def scenario(client: Any) -> None:
        await client.get(server.url)
        assert seen == ["127.0.0.9"]

    with ScriptedServer(serve) as server:
        run(any_engine, scenario, transport=any_engine.transport(local_address="127.0.0.9"))


def test_a_local_address_that_is_not_ours_is_an_error(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://127.0.0.1:9/")

    run(any_engine, scenario, transport=any_engine.transport(local_address="192.0.2.1"))


def test_socket_options_are_set(any_engine: EngineDriver):
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)]

    async def scenario(client: Any) -> None:
        async with client.stream("GET", f"{peer.url}/stall") as response:
            sock = response.extensions["network_stream"].get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    with Peer() as peer:
        run(any_engine, scenario, transport=any_engine.transport(socket_options=options))


def test_small_requests_are_sent_without_delay(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", f"{peer.url}/stall") as response:
            sock = response.extensions["network_stream"].get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    with Peer() as peer:
        run(any_engine, scenario)


@pytest.mark.parametrize("option", [("no number", 1, 1), (socket.SOL_SOCKET, 10**9, 1)])
def test_a_socket_option_that_cannot_be_set_is_one_plain_error(any_engine: EngineDriver, option: Any):
    """The harm: on trio it came out as an ExceptionGroup."""

    async def scenario(client: Any) -> None:
        kind = TypeError if isinstance(option[0], str) else httpx.ConnectError
        with pytest.raises(kind):
            await client.get("http://127.0.0.1:9/")
        assert counts_of(client) == (0, 0, 0, 0)

    run(any_engine, scenario, transport=any_engine.transport(socket_options=[option]))


# TLS.


def test_a_certificate_that_does_not_fit_is_an_error(any_engine: EngineDriver):
    from support import certs

    async def scenario(client: Any) -> None:
        for kind, reason in (("stranger", "verify failed"), ("other-name", "verify failed"), ("expired", "expired")):
            server = ScriptedServer([repeat(answer())], tls=certs.server_context(kind))
            with server, pytest.raises(httpx.ConnectError, match=reason):
                await client.get(server.url)
        assert counts_of(client) == (0, 0, 0, 0)

    run(any_engine, scenario)


def test_a_plain_server_at_the_other_end_of_tls_is_an_error(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        server = ScriptedServer(lambda conn, recorded: conn.sendall(b"HTTP/1.1 400 No\r\n\r\n"))
        with server, pytest.raises(httpx.ConnectError):
            await client.get(server.url.replace("http:", "https:"))

    run(any_engine, scenario)


def test_the_server_name_can_be_another_one(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        async with client.stream(
            "GET", f"{peer.url}/stall", extensions={"sni_hostname": "www.example.com"}
        ) as response:
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("ssl_object").server_hostname == "www.example.com"

    with Peer(tls=True) as peer:
        run(any_engine, scenario)


# Who gets which connection.


def test_a_request_takes_the_connection_that_is_free_first(engine: EngineDriver):
    """Late binding: the second request dials, the first one's connection is released, and the dial serves the third."""

    async def scenario(client: Any) -> None:
        own: Any = None
        answers: dict[str, str] = {}
        gate = Gate(engine)

        async def first() -> None:
            async with client.stream("GET", f"{peer.url}/pieces") as response:
                nonlocal own
                own = engines_of(client)[0]
                gate.hold(own)
                await until(lambda: own.pool.counts()[2] == 1)  # the second request dials
                for _ in range(4):
                    peer.more()
                await response.aread()

        async def second() -> None:
            await until(lambda: own is not None and gate.held)
            response = await client.get(f"{peer.url}/echo", headers={"X-Id": "second"})
            answers["second"] = response.text
            # Its own dial is still under way.
            assert own.pool.counts() == (1, 1, 1, 0)

        await together([first, second])
        assert answers == {"second": "second"}
        await gate.open()
        await until(lambda: own.pool.counts() == (2, 2, 0, 0))
        assert (await client.get(f"{peer.url}/echo", headers={"X-Id": "third"})).text == "third"
        assert peer.connections == 2

    with Peer() as peer:
        run(engine, scenario)


def test_a_dial_that_nobody_needed_serves_the_next_one_that_waits(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        gate = Gate(engine)
        async with client.stream("GET", f"{peer.url}/stall") as held:
            own = engines_of(client)[0]
            gate.hold(own)
            answers: list[str] = []

            async def request(name: str) -> None:
                response = await client.get(f"{peer.url}/echo", headers={"X-Id": name})
                answers.append(response.text)

            async def direct() -> None:
                await until(lambda: own.pool.counts()[2:] == (1, 2))
                await gate.open()

            # Two slots: one is held, one dial is under way; the second request waits in the queue.
            await together([lambda: request("one"), lambda: request("two"), direct])
            assert sorted(answers) == ["one", "two"]
            assert held.status_code == 200

    with Peer() as peer:
        run(engine, scenario, limits=httpx.Limits(max_connections=2))
        assert peer.connections == 2


class Gate:
    """Holds the dials of an engine back until it is opened."""

    def __init__(self, engine: EngineDriver) -> None:
        self.held = False
        self._opened = False

    def hold(self, own: Any) -> None:
        """From now on no dial ends."""
        connect = own._connect

        async def held(job: Any) -> Any:
            await until(lambda: self._opened)
            return await connect(job)

        own._connect = held
        self.held = True

    async def open(self) -> None:
        """Let them go on."""
        self._opened = True


def test_many_waiters_get_the_one_connection_in_order(engine: EngineDriver, tls: bool):
    async def scenario(client: Any) -> None:
        order: list[int] = []

        async def request(number: int) -> None:
            response = await client.get(f"{peer.url}/echo", headers={"X-Id": f"n{number}"})
            assert response.text == f"n{number}"
            order.append(number)

        async def queue(number: int) -> None:
            await until(lambda: counts_of(client)[3] == number)
            await request(number)

        async def hold() -> None:
            async with client.stream("GET", f"{peer.url}/pieces") as response:
                await until(lambda: counts_of(client)[3] == 30)
                for _ in range(4):
                    peer.more()
                await response.aread()

        async def after_hold(number: int) -> None:
            await until(lambda: counts_of(client)[0] == 1)
            await queue(number)

        await together([hold, *(lambda number=number: after_hold(number) for number in range(30))])
        assert order == sorted(order)

    with Peer(tls=tls) as peer:
        run(engine, scenario, limits=httpx.Limits(max_connections=1))
        assert peer.connections == 1


def test_an_idle_connection_is_not_used_after_its_time(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        for _ in range(2):
            await client.get(f"{peer.url}/echo")
            assert counts_of(client) == (0, 0, 0, 0)

    with Peer() as peer:
        run(any_engine, scenario, limits=httpx.Limits(keepalive_expiry=0))
        assert peer.connections == 2

    async def later(client: Any) -> None:
        await client.get(f"{peer.url}/echo")
        own = engines_of(client)[0]
        pool = own.pool
        # Its time is over, without waiting for that.
        acquire = pool.acquire
        pool.acquire = lambda key, now, holder: acquire(key, now + 10, holder)
        await client.get(f"{peer.url}/echo")
        pool.acquire = acquire

    with Peer() as peer:
        run(any_engine, later, limits=httpx.Limits(keepalive_expiry=5))
        assert peer.connections == 2


def test_no_more_connections_stay_idle_than_allowed(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        async def request() -> None:
            async with client.stream("GET", f"{peer.url}/echo") as response:
                await until(lambda: counts_of(client)[0] == 4 or released)
                released.append(True)
                await response.aread()

        released: list[bool] = []
        await together([request] * 4)
        assert counts_of(client)[:2] == (2, 2)

    with Peer() as peer:
        run(engine, scenario, limits=httpx.Limits(max_keepalive_connections=2))


@pytest.mark.parametrize("name", ["asyncio", "asyncio-fallback", "uvloop"])
def test_a_server_that_closes_an_idle_connection_frees_it_at_once(name: str, tls: bool):
    from support.engines import driver_named

    async def scenario(client: Any) -> None:
        await client.get(f"{peer.url}/end")
        await until(lambda: counts_of(client) == (0, 0, 0, 0))

    with Peer(tls=tls) as peer:
        run(driver_named(name), scenario)


@pytest.mark.parametrize("name", ["asyncio", "asyncio-fallback", "uvloop"])
def test_an_idle_connection_may_be_closed_when_its_time_is_over(name: str):
    """By the timer that is running anyway; none is set for this alone."""
    from support.engines import driver_named

    async def scenario(client: Any) -> None:
        await client.get(f"{peer.url}/echo", timeout=0.05)
        await until(lambda: counts_of(client) == (0, 0, 0, 0))

    with Peer() as peer:
        run(driver_named(name), scenario, limits=httpx.Limits(keepalive_expiry=0.02))


def test_a_connection_of_another_origin_makes_room(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        for peer in (one, two, one):
            assert (await client.get(f"{peer.url}/echo", headers={"X-Id": "x"})).text == "x"
            assert counts_of(client) == (1, 1, 0, 0)

    with Peer() as one, Peer() as two:
        run(any_engine, scenario, limits=httpx.Limits(max_connections=1))


def test_connections_of_one_host_are_bounded(engine: EngineDriver):
    async def scenario(client: Any) -> None:
        async def request(number: int) -> None:
            response = await client.get(f"{peer.url}/echo", headers={"X-Id": f"n{number}"})
            assert response.text == f"n{number}"
            assert counts_of(client)[0] <= 2

        await together([lambda number=number: request(number) for number in range(12)])

    with Peer() as peer:
        run(engine, scenario, limits=httpx.Limits(max_connections_per_host=2))
        assert peer.connections <= 2


def test_a_dial_that_nobody_needed_may_go_stale_like_any_idle_connection(engine: EngineDriver):
    """The harm: on trio such a connection was taken for a fresh one, and used without looking whether it lives."""

    async def scenario(client: Any) -> None:
        gate = Gate(engine)
        dialling: list[Any] = []

        async def first() -> None:
            async with client.stream("GET", f"{peer.url}/pieces") as response:
                dialling.append(engines_of(client)[0])
                gate.hold(dialling[0])
                await until(lambda: counts_of(client)[2] == 1)
                for _ in range(4):
                    peer.more()
                await response.aread()

        async def second() -> None:
            await until(lambda: gate.held)
            await client.get(f"{peer.url}/end")  # on the first one's connection, which is over then

        await together([first, second])
        await gate.open()
        await until(lambda: counts_of(client) == (1, 1, 0, 0) or counts_of(client) == (2, 2, 0, 0))
        end.set()
        for connection in engines_of(client)[0].pool.connections:
            sock = connection.wire.sock
            wait_for(lambda sock=sock: sock.fileno() < 0 or is_gone(sock))
        assert (await client.get(f"{peer.url}/echo", headers={"X-Id": "own"})).text == "own"

    end = threading.Event()

    class Ending(Peer):
        def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
            if self.connections == 2:  # says nothing, and ends
                assert end.wait(5)
                return
            super()._serve(conn, recorded)

    with Ending() as peer:
        run(engine, scenario)
