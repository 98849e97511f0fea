"""The tests' own tools: a peer that does not do what its script says would make every test that uses it worthless."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import certs, drivers, servers, wires
from .depth import depth
from .servers import ScriptedServer, answer, expect, expect_end, expect_head, expect_request, repeat, send


def connect(server: ScriptedServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=5)


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


# Cuts.


@given(st.binary(max_size=200), st.integers(0, 5))
def test_every_cut_joins_to_the_whole_and_has_no_empty_piece(data: bytes, seed: int):
    ways = list(wires.cuts(data, seed=seed))
    assert len(ways) == 7
    assert all(b"".join(pieces) == data and all(pieces) for pieces in ways)
    assert len(ways[0]) == min(1, len(data))
    assert len(ways[1]) == len(data)
    assert ways == list(wires.cuts(data, seed=seed))


def test_a_cut_has_the_name_that_the_fixture_asks_for(cut: Callable[[bytes], list[bytes]]):
    assert b"".join(cut(b"some bytes")) == b"some bytes"


def test_names_of_cuts_and_of_drivers_agree_with_the_fixtures(pytestconfig: pytest.Config):
    # By its path: there is more than one conftest.
    conftest = pytestconfig.pluginmanager.get_plugin(str(Path(__file__).parents[1] / "conftest.py"))
    assert depth(wires.CUT_NAMES, ("whole", "random-1")) == conftest.CUTS
    assert depth(drivers.NAMES, ("sync", "asyncio", "trio")) == conftest.DRIVERS


def test_a_fake_wire_gives_what_it_was_given_and_keeps_what_was_sent():
    wire = wires.FakeWire([b"a", OSError("gone")])
    wire.send(b"x")
    assert wire.receive() == b"a"
    with pytest.raises(OSError, match="gone"):
        wire.receive()
    assert wire.receive() == b""
    wire.close()
    assert (wire.sent, wire.closed) == ([b"x"], True)
    with pytest.raises(AssertionError):
        wire.send(b"y")
    with pytest.raises(AssertionError):
        wire.receive()


# Scripts.


def test_each_connection_gets_its_script_and_the_last_one_all_others(no_leaks: None):
    with ScriptedServer([send(b"one")], [send(b"two")]) as server:
        answers = []
        for _ in range(3):
            with connect(server) as sock:
                answers.append(read_all(sock))
        assert server.connections == 3
    assert answers == [b"one", b"two", b"two"]


def test_what_arrives_is_recorded_and_requests_are_read_whole():
    script = [expect(b"he"), expect_head(b"llo"), expect_request(b"abc"), expect_request(b"abcd"), expect_end()]
    with ScriptedServer(script) as server:
        data = b"hello\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
        data += b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n"
        with connect(server) as sock:
            sock.sendall(data)
        server.wait_until_idle()
        assert server.received == [data]


@pytest.mark.parametrize(
    ("script", "sent"),
    [
        ([expect(b"abc")], b"abx"),
        ([expect(b"abc")], b"ab"),
        ([expect_head(b"needle")], b"GET / HTTP/1.1\r\n\r\n"),
        ([expect_head()], b"GET / HTTP/1.1\r\n"),
        ([expect_request(b"x")], b"GET / HTTP/1.1\r\n\r\n"),
        ([expect_end()], b"more"),
    ],
)
def test_a_client_that_does_not_follow_the_script_fails_the_test(script: list[servers.Step], sent: bytes):
    server = ScriptedServer(script)
    with connect(server) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)
    server.wait_until_idle()
    with pytest.raises(AssertionError):
        server.close()
    server.close()


def test_an_error_of_the_test_is_not_replaced_by_one_of_the_script():
    def handler(conn: servers.Conn, recorded: list[bytes]) -> None:
        raise ZeroDivisionError("in the script")

    def run(error: Exception | None) -> None:
        with ScriptedServer(handler) as server:
            with connect(server) as sock:
                read_all(sock)
            server.wait_until_idle()
            if error is not None:
                raise error

    with pytest.raises(KeyError):
        run(KeyError("in the test"))
    with pytest.raises(ZeroDivisionError):
        run(None)


def test_a_script_can_be_a_function_that_reads_and_writes_as_on_a_socket():
    def handler(conn: servers.Conn, recorded: list[bytes]) -> None:
        assert conn.getpeername()
        assert conn.recv(2) == b"ab"
        conn.sendall(b"ok")
        assert b"".join(recorded).startswith(b"ab")

    with ScriptedServer(handler) as server, connect(server) as sock:
        sock.sendall(b"abc")
        assert sock.recv(2) == b"ok"


def test_steps_that_answer_again_and_again():
    with ScriptedServer([repeat(answer(b"hi", b"X-A: 1"))]) as server:
        client = http.client.HTTPConnection(server.host, server.port, timeout=5)
        for _ in range(3):
            client.request("GET", "/")
            response = client.getresponse()
            assert (response.read(), response.headers["x-a"]) == (b"hi", "1")
        client.close()
        assert server.connections == 1


def test_a_reset_is_a_reset_and_a_half_close_is_an_end():
    with ScriptedServer([expect(b"x"), servers.reset()], [servers.shut(), servers.silence()]) as server:
        with connect(server) as sock:
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(10)
        with connect(server) as sock:
            assert sock.recv(10) == b""
            sock.sendall(b"still open the other way")


def test_the_test_and_the_script_can_wait_for_each_other():
    here, there = threading.Event(), threading.Event()
    with ScriptedServer([servers.signal(here), servers.wait(there), send(b"x")]) as server, connect(server) as sock:
        assert here.wait(5)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        there.set()
        sock.settimeout(5)
        assert sock.recv(1) == b"x"


def test_an_event_that_is_never_set_fails_the_test():
    server = ScriptedServer([servers.wait(threading.Event(), timeout=0.01)])
    with connect(server) as sock:
        read_all(sock)
    server.wait_until_idle()
    with pytest.raises(AssertionError, match=r"0\.01 s"):
        server.close()


def test_a_client_that_goes_away_ends_a_drip():
    with ScriptedServer([servers.drip(b"a" * 10_000, 0.001)]) as server:
        with connect(server) as sock:
            assert sock.recv(1) == b"a"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        server.wait_until_idle()
        assert server.gone == 1
        assert server.open_connections == 0


def test_closing_ends_scripts_that_still_wait(no_leaks: None):
    server = ScriptedServer([expect(b"never sent")])
    with connect(server) as sock:
        while not server.open_connections:
            pass
        server.close()
        assert sock.recv(1) == b""


def test_a_unix_socket(tmp_path: Any):
    path = str(tmp_path / "socket")
    with ScriptedServer([send(b"hi")], uds=path) as server, socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        assert read_all(sock) == b"hi"
        assert server.url == "http://localhost"


# TLS.


def handshake(server: ScriptedServer, context: ssl.SSLContext, name: str = "localhost") -> bytes:
    with (
        connect(server) as sock,
        context.wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False) as secured,
    ):
        return read_all(secured)


def test_tls_with_and_without_a_proper_end():
    scripts = [[send(b"x"), servers.close_notify()], [send(b"x"), servers.close()]]
    with ScriptedServer(*scripts, tls=certs.server_context()) as server:
        assert server.url.startswith("https://")
        assert handshake(server, certs.client_context(), "example.org") == b"x"
        if sys.version_info >= (3, 10):  # 3.9 tells OpenSSL 3 to pass a missing close_notify off as a proper end
            with pytest.raises(ssl.SSLEOFError):
                handshake(server, certs.client_context())


@pytest.mark.parametrize("kind", ["expired", "early", "other-name", "stranger"])
def test_certificates_that_must_not_be_accepted(kind: str):
    with ScriptedServer([send(b"x")], tls=certs.server_context(kind)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server, certs.client_context())
        server.wait_until_idle()


def test_client_certificates():
    with ScriptedServer(
        [send(b"x"), servers.close_notify()], tls=certs.server_context(client_cert=True, alpn=())
    ) as server:
        assert handshake(server, certs.client_context(client_cert=True, alpn=("h2",))) == b"x"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(server, certs.client_context())
        server.wait_until_idle()
        assert len(server.refused) == 1


def test_certificates_as_files(ca: Any, trusting: ssl.SSLContext):
    context = ssl.create_default_context(cafile=str(ca.authority_file()))
    assert context.get_ca_certs() == trusting.get_ca_certs()
    chain, key = ca.leaf_files("client")
    context.load_cert_chain(chain, key)


# nginx.


def test_nginx_serves_over_tcp_tls_and_a_unix_socket(nginx: servers.NginxServer, trusting: ssl.SSLContext):
    plain = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=5)
    plain.request("GET", "/echo?a=1", headers={"X-Request-Id": "7"})
    facts = json.loads(plain.getresponse().read())
    assert (facts["uri"], facts["id"]) == ("/echo?a=1", "7")
    plain.request("POST", "/upload", body=b"x" * 100_000)
    assert plain.getresponse().read().decode() == servers.SMALL
    plain.request("GET", "/gzip/text.txt", headers={"Accept-Encoding": "gzip"})
    response = plain.getresponse()
    response.read()
    assert (response.headers["content-encoding"], response.headers["transfer-encoding"]) == ("gzip", "chunked")
    plain.close()
    secured = http.client.HTTPSConnection("localhost", nginx.tls_port, context=trusting, timeout=5)
    secured.request("GET", "/small")
    assert secured.getresponse().read().decode() == servers.SMALL
    secured.close()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(nginx.uds)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert read_all(sock).endswith(b"hello from nginx\n")


def test_a_server_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(servers, "find_program", lambda name: None)
    with pytest.raises(servers.ServerMissing, match="apt-get install"):
        servers.NginxServer()


# Drivers.


async def nothing_suspends() -> int:
    return 5


async def something_suspends() -> None:
    await asyncio.sleep(0)


def test_a_coroutine_that_never_suspends_needs_no_loop():
    assert drivers.run_without_loop(nothing_suspends()) == 5
    with pytest.raises(AssertionError, match="suspended"):
        drivers.run_without_loop(something_suspends())


def test_a_driver_runs_a_function(driver: drivers.Driver):
    assert driver.run_bare(nothing_suspends) == 5
    driver.run_bare(driver.pause)
    assert driver.name in repr(driver)


async def tour(client: Any, driver: drivers.Driver) -> list[str]:
    seen: list[str] = []
    client.event_hooks = {"request": [driver.hook(lambda request: seen.append(request.method))]}
    response = await client.post("/upload", content=driver.body([b"abc", b"def"]))
    assert response.json()["size"] == 6
    async with client.stream("GET", "/stream/3") as streamed:
        assert len([line async for line in streamed.aiter_lines()]) == 3
    request = client.build_request("GET", "/bytes/10")
    streamed = await client.send(request, stream=True)
    assert len(await streamed.aread()) == 10
    await streamed.aclose()
    return seen


def test_one_scenario_runs_on_every_engine(driver: drivers.Driver, echo_server: Any, no_leaks: None):
    transport = driver.transport()
    assert driver.run(tour, driver, base_url=echo_server.url, transport=transport) == ["POST", "GET", "GET"]


def test_a_task_left_behind_fails_the_test():
    async def careless() -> None:
        careless.task = asyncio.ensure_future(asyncio.sleep(100))  # type: ignore[attr-defined]

    with pytest.raises(AssertionError, match="left behind"):
        drivers.run_on_loop(asyncio.SelectorEventLoop(), careless())


def test_a_loop_without_readers_has_none_and_can_still_receive():
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            for method in (loop.add_reader, loop.add_writer):
                with pytest.raises(NotImplementedError):
                    method(ours, print)
            loop.call_soon(theirs.send, b"x")
            return await loop.sock_recv(ours, 1)

    assert drivers.run_on_loop(drivers.LoopWithoutReaders(), main()) == b"x"


class Plain:
    """A stand-in for the sync client and its response, without a network."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.timeout = 1

    def __enter__(self) -> Plain:
        self.calls.append("enter")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.calls.append("exit")

    def get(self, url: str) -> Plain:
        self.calls.append(url)
        return self

    def stream(self, method: str, url: str) -> Plain:
        return self

    def read(self) -> bytes:
        return b"content"

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"a"
        yield b"b"

    iter_raw = iter_text = iter_bytes

    def iter_lines(self) -> Iterator[str]:
        yield "line"

    def raise_for_status(self) -> Plain:
        return self

    def close(self) -> None:
        self.calls.append("close")


def test_the_sync_client_has_the_async_names_in_a_scenario():
    async def scenario() -> None:
        async with drivers.SyncAdapter(plain) as client:
            client.timeout = 2
            response = await client.get("/a")
            assert await response.aread() == b"content"
            async with client.stream("GET", "/b") as streamed:
                assert [piece async for piece in streamed.aiter_bytes()] == [b"a", b"b"]
                assert [piece async for piece in streamed.aiter_raw()] == [b"a", b"b"]
                assert [piece async for piece in streamed.aiter_text()] == [b"a", b"b"]
                assert [line async for line in streamed.aiter_lines()] == ["line"]
                abandoned = streamed.aiter_bytes()
                assert await abandoned.__anext__() == b"a"
                await abandoned.aclose()
                with pytest.raises(StopAsyncIteration):
                    await abandoned.__anext__()
            assert streamed.raise_for_status() is streamed
            await streamed.aclose()
            await client.aclose()

    plain = Plain()
    drivers.run_without_loop(scenario())
    assert plain.timeout == 2
    assert plain.calls == ["enter", "/a", "enter", "exit", "close", "close", "exit"]
