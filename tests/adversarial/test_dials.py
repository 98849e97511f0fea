"""
Dials that meet trouble: full backlogs, large handshakes, peers that speak early or slowly, interrupts, subinterpreters.

What is asked of every one of them: the right outcome in time, no socket left, and nothing for the garbage collector.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import httpx
from support import certs
from support.backlog import FullBacklog
from support.engines import EngineDriver
from support.leaks import counts_of, no_lost_exceptions, settled, trusting_context
from support.peer import Peer, blackhole
from support.programs import unmeasured
from support.proxies import ScriptedProxy, ScriptedSocksProxy
from support.servers import Conn, ScriptedServer, close, drip, send, silence
from support.steps import turns

pytestmark = pytest.mark.usefixtures("leaves_nothing")

SHORT = 0.3  # seconds within which a dial is given up
FAR_TOO_LONG = 3.0  # seconds


def run(engine: EngineDriver, scenario: Any, **options: Any) -> Any:
    async def main() -> Any:
        with no_lost_exceptions():
            options.setdefault("timeout", 5)
            if "transport" not in options:  # which has a context of its own
                options.setdefault("verify", trusting_context())
            async with engine.client(**{"trust_env": False, **options}) as client:
                outcome = await scenario(client)
                await settled(client)
            return outcome

    return engine.run_bare(main)


def failure(engine: EngineDriver, url: str, kind: type[Exception], **options: Any) -> Exception:
    """The exception of a request, which comes in time and leaves nothing in the pool."""

    async def scenario(client: Any) -> Exception:
        with pytest.raises(kind) as caught:
            await client.get(url)
        assert counts_of(client) == (0, 0, 0, 0)
        return caught.value

    began = time.monotonic()
    error: Exception = run(engine, scenario, **options)
    assert time.monotonic() - began < FAR_TOO_LONG
    return error


# Unix sockets with a full backlog.


@pytest.fixture
def full_backlog() -> Iterator[FullBacklog]:
    if sys.platform != "linux":
        pytest.skip("other systems refuse the connection")
    with tempfile.TemporaryDirectory() as folder, FullBacklog(os.path.join(folder, "socket")) as full:
        yield full


@pytest.mark.parametrize("total", [False, True], ids=["connect", "total"])
def test_a_unix_socket_with_a_full_backlog_is_a_connect_timeout(
    any_engine: EngineDriver, full_backlog: FullBacklog, total: bool
):
    """The harm: it was taken for connected, and the request failed with a WriteError that no retry helped against."""
    timeout = httpx.Timeout(3, total=0.1) if total else httpx.Timeout(3, connect=0.1)
    transport = any_engine.transport(uds=full_backlog.path)
    error = failure(any_engine, "http://localhost/", httpx.ConnectTimeout, transport=transport, timeout=timeout)
    assert "Resource temporarily unavailable" in str(error)
    assert f"{'total timeout' if total else 'timeout'} of 0.1 s" in str(error)


def test_a_unix_socket_is_connected_to_when_its_backlog_has_room(any_engine: EngineDriver, full_backlog: FullBacklog):
    async def scenario(client: Any) -> None:
        timer = threading.Timer(0.05, full_backlog.make_room)
        timer.start()
        assert (await client.get("http://localhost/")).text == "ok"
        timer.join()

    run(any_engine, scenario, transport=any_engine.transport(uds=full_backlog.path))


def test_waiting_for_room_in_a_backlog_can_be_cancelled(engine: EngineDriver, full_backlog: FullBacklog):
    async def scenario(client: Any) -> None:
        async def request() -> None:
            await client.get("http://localhost/", timeout=None)

        await give_up_soon(request)
        await settled(client)
        assert counts_of(client) == (0, 0, 0, 0)

    run(engine, scenario, transport=engine.transport(uds=full_backlog.path))


async def give_up_soon(function: Callable[[], Any]) -> None:
    """Cancel the function after a moment."""
    from support.steps import in_trio

    if in_trio():
        import trio

        with trio.move_on_after(0.05) as scope:
            await function()
        assert scope.cancelled_caught
    else:
        import asyncio

        task = asyncio.ensure_future(function())
        await asyncio.wait([task], timeout=0.05)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


# Handshakes that do not fit into the socket's buffer.


@functools.cache
def large_certificate() -> Any:
    """A client's certificate of about 40 KB."""
    return certs.authority().issue_cert(
        *(f"name-{number:04}.of.a.host.with.a.long.name.example" for number in range(800))
    )


def large_client_context(alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    context = certs.client_context()
    large_certificate().configure_cert(context)
    return context


def slow_reader(context: ssl.SSLContext, respond: Callable[[ssl.SSLObject, Callable[[], bytes]], None]) -> Any:
    """A handler that reads the client's handshake in small pieces with pauses, so that it queues up there."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        def step(function: Callable[[], Any], size: int, pause: float) -> Any:
            while True:
                try:
                    result = function()
                except ssl.SSLWantReadError:
                    conn.sendall(outgoing.read())
                    time.sleep(pause)
                    data = conn.recv(size)
                    incoming.write(data) if data else incoming.write_eof()
                else:
                    conn.sendall(outgoing.read())
                    return result

        step(tls.do_handshake, 4096, 0.003)
        respond(tls, lambda: step(lambda: tls.read(65536), 65536, 0))
        conn.sendall(outgoing.read())
        with contextlib.suppress(OSError):
            conn.read_to_end()

    return serve


def respond_once(tls: ssl.SSLObject, read: Callable[[], bytes]) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += read()
    tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_request_does_not_overtake_a_handshake_that_is_still_being_sent(
    any_engine: EngineDriver, version: ssl.TLSVersion
):
    """The harm: on asyncio the server got the request in the middle of the client's certificate (bad record mac)."""
    context = certs.server_context(client_cert=True)
    context.minimum_version = context.maximum_version = version

    async def scenario(client: Any) -> None:
        assert (await client.get(f"https://localhost:{server.port}/")).text == "ok"

    options = {"socket_options": [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)]}
    with ScriptedServer(slow_reader(context, respond_once)) as server:
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        run(any_engine, scenario, transport=any_engine.transport(verify=large_client_context(), **options))


def respond_over_http2(tls: ssl.SSLObject, read: Callable[[], bytes]) -> None:
    tls.write(frame(4, 0, 0))
    received = b""
    while received.count(b"\0\0\0\x04\x01") < 1 or frame(4, 1, 0) not in received:
        received += read()
    tls.write(frame(4, 1, 0) + frame(1, 5, 1, b"\x88"))


def test_a_request_over_http2_follows_a_large_handshake(any_engine: EngineDriver):
    context = certs.server_context(client_cert=True, alpn=("h2",))

    async def scenario(client: Any) -> None:
        response = await client.get(f"https://localhost:{server.port}/")
        assert (response.status_code, response.http_version) == (200, "HTTP/2")

    options = {"socket_options": [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)], "http2": True}
    with ScriptedServer(slow_reader(context, respond_over_http2)) as server:
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        run(any_engine, scenario, transport=any_engine.transport(verify=large_client_context(), **options))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_through_a_tunnel_follows_a_large_handshake(any_engine: EngineDriver, scheme: str):
    async def scenario(client: Any) -> None:
        assert (await client.get("https://localhost/")).text == "ok"

    context = certs.server_context(client_cert=True)
    secured = scheme == "https"
    with ScriptedServer(slow_reader(context, respond_once)) as server:
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with ScriptedProxy({"localhost:443": server.port}, tls=certs.server_context() if secured else None) as proxy:
            proxy._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            options = {
                "socket_options": [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)],
                "proxy": httpx.Proxy(proxy.url, ssl_context=trusting_context() if secured else None),
            }
            run(any_engine, scenario, transport=any_engine.transport(verify=large_client_context(), **options))


# What the peer sends early.


def early_tls(early: bytes, version: ssl.TLSVersion, alpn: tuple[str, ...], serve: Callable[..., None]) -> Any:
    """A handler that sends `early` in one piece with the end of its side of the handshake."""
    context = certs.server_context(alpn=alpn)
    context.minimum_version = context.maximum_version = version

    def handler(conn: Conn, recorded: list[bytes]) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                conn.sendall(outgoing.read())
                incoming.write(conn.recv())
        tls.write(early)
        conn.sendall(outgoing.read())
        serve(conn, tls, incoming, outgoing)
        with contextlib.suppress(OSError):
            conn.read_to_end()

    return handler


def serve_nothing(*args: Any) -> None:
    """What was sent early was all."""


def test_a_response_in_one_piece_with_the_end_of_the_handshake_is_the_response(any_engine: EngineDriver):
    """The harm: it lay in the TLS filter while the request waited for something to arrive, up to its timeout."""
    early = b"HTTP/1.1 503 Full\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull"

    async def scenario(client: Any) -> None:
        response = await client.get(f"https://localhost:{server.port}/")
        assert (response.status_code, response.text) == (503, "full")

    with ScriptedServer(early_tls(early, ssl.TLSVersion.TLSv1_2, ("http/1.1",), serve_nothing)) as server:
        run(any_engine, scenario, timeout=2)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


MAX_STREAMS_IS_3 = frame(4, 0, 0, b"\0\3\0\0\0\3")


def serve_http2(receive: Callable[[], bytes], send: Callable[[bytes], Any]) -> None:
    """Answer every request of HTTP/2 with an empty 200, once the client has acknowledged the first SETTINGS."""
    buffer = b""
    begun = False
    acknowledged = False
    waiting: list[int] = []
    while data := receive():
        buffer += data
        if not begun and len(buffer) >= 24:
            begun, buffer = True, buffer[24:]
        while begun and len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
            size = int.from_bytes(buffer[:3], "big")
            kind, flags, stream = buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big")
            buffer = buffer[9 + size :]
            if kind == 4 and not flags:
                send(frame(4, 1, 0))
            acknowledged |= kind == 4 and bool(flags)
            if kind == 1:
                waiting.append(stream)
            while acknowledged and waiting:
                send(frame(1, 5, waiting.pop(0), b"\x88"))


def test_settings_in_one_piece_with_the_end_of_the_handshake_are_known_at_once(any_engine: EngineDriver):
    def serve(conn: Conn, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        def receive() -> bytes:
            while True:
                try:
                    return tls.read(65536)
                except ssl.SSLWantReadError:
                    data = conn.recv()
                    if not data:
                        return b""
                    incoming.write(data)

        def send(data: bytes) -> None:
            tls.write(data)
            conn.sendall(outgoing.read())

        serve_http2(receive, send)

    async def scenario(client: Any) -> None:
        response = await client.get(f"https://localhost:{server.port}/")
        assert (response.status_code, response.http_version) == (200, "HTTP/2")

    early = early_tls(MAX_STREAMS_IS_3, ssl.TLSVersion.TLSv1_2, ("h2",), serve)
    with ScriptedServer(early) as server:
        run(any_engine, scenario, http2=True, timeout=2)


@pytest.mark.parametrize("scheme", ["socks5", "socks4a"])
def test_settings_in_one_piece_with_the_reply_of_socks_are_the_origins(any_engine: EngineDriver, scheme: str):
    """The harm: a server of HTTP/2 speaks first, and what it said was a ProxyError if it came with the reply."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        serve_http2(conn.recv, conn.sendall)

    async def scenario(client: Any) -> None:
        for _ in range(2):
            response = await client.get("http://origin.example/")
            assert (response.status_code, response.http_version) == (200, "HTTP/2")

    with ScriptedServer(serve) as origin:
        proxy = ScriptedSocksProxy({"origin.example:80": origin.port}, behind=MAX_STREAMS_IS_3)
        with proxy:
            options = {"http1": False, "http2": True, "proxy": f"{scheme}://{proxy.netloc}"}
            run(any_engine, scenario, **options)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("https://origin.example/", {"http1": False, "http2": True}),
        ("https://origin.example/", {}),
        ("http://origin.example/", {"http2": True}),
        ("http://origin.example/", {}),
    ],
)
def test_bytes_after_the_reply_of_socks_are_nobodys_before_tls_or_http1(
    any_engine: EngineDriver, url: str, options: dict[str, Any]
):
    with ScriptedServer([silence()]) as origin:
        routes = {"origin.example:80": origin.port, "origin.example:443": origin.port}
        with ScriptedSocksProxy(routes, behind=MAX_STREAMS_IS_3) as proxy:
            error = failure(any_engine, url, httpx.ProxyError, proxy=proxy.url, **options)
    assert "more than its response" in str(error)


# Peers that are slow, or never come to an end: one deadline for the whole dial.


def dripping_tls(conn: Conn) -> None:
    """The first flight of a TLS server, byte by byte."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certs.server_context().wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(conn.recv())
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    drip(outgoing.read(), SHORT / 8)(conn)


def socks_reply(conn: Conn) -> None:
    conn.read_exactly(3)
    conn.sendall(b"\5\0")
    conn.recv()
    drip(b"\5\0\0\3\xff" + b"x" * 257, SHORT / 8)(conn)


def endless_interim(conn: Conn) -> None:
    """Interim responses without end and without a pause: no wait is ever long enough to be ended."""
    interim = b"HTTP/1.1 102 Processing\r\n\r\n" * 20
    with contextlib.suppress(OSError):
        while True:
            conn.sendall(interim)


HOPS: dict[str, Any] = {
    "tls": (None, dripping_tls),
    "proxy-tls": ("https", dripping_tls),
    "connect": ("http", drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500, SHORT / 8)),
    "connect-silent": ("http", silence()),
    "tls-after-connect": ("http", lambda conn: (conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), dripping_tls(conn))),
    "socks": ("socks5", socks_reply),
}


@pytest.mark.parametrize("total", [False, True], ids=["connect", "total"])
@pytest.mark.parametrize("hop", HOPS)
def test_no_hop_outlasts_the_one_deadline_of_the_dial(any_engine: EngineDriver, hop: str, total: bool):
    scheme, step = HOPS[hop]

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        if scheme == "http":
            conn.read_head()
        with contextlib.suppress(OSError, AssertionError):
            step(conn)

    timeout = httpx.Timeout(3, total=SHORT) if total else httpx.Timeout(3, connect=SHORT)
    with ScriptedServer(serve) as server:
        url, options = f"https://localhost:{server.port}/", {}
        if scheme is not None:
            proxy = f"{scheme}://localhost:{server.port}"
            url = "https://origin.example/"
            options = {"proxy": httpx.Proxy(proxy, ssl_context=trusting_context() if scheme == "https" else None)}
        error = failure(any_engine, url, httpx.ConnectTimeout, timeout=timeout, **options)
    assert f"{'total' if total else 'connect'} timeout of {SHORT:g} s" in str(error)


def test_a_proxy_that_sends_interim_responses_without_end_is_a_proxy_error(any_engine: EngineDriver):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        endless_interim(conn)

    with ScriptedServer(serve) as server:
        proxy = f"http://localhost:{server.port}"
        failure(any_engine, "https://origin.example/", httpx.ProxyError, proxy=proxy, timeout=None)


# Nothing for the garbage collector.


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _resolver(host: str, port: int) -> list[str]:
    raise OSError("nobody knows")


@contextlib.contextmanager
def _refused() -> Iterator[tuple[str, dict[str, Any]]]:
    yield f"http://127.0.0.1:{closed_port()}/", {}


@contextlib.contextmanager
def _unreachable() -> Iterator[tuple[str, dict[str, Any]]]:
    with blackhole() as (host, port):
        yield f"http://{host}:{port}/", {"timeout": 0.05}


@contextlib.contextmanager
def _unresolved() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "http://nobody.example/", {"resolver": _resolver}


@contextlib.contextmanager
def _untrusted() -> Iterator[tuple[str, dict[str, Any]]]:
    with ScriptedServer([silence()], tls=certs.server_context("stranger")) as server:
        yield f"https://localhost:{server.port}/", {}


@contextlib.contextmanager
def _hangs_up_in_tls() -> Iterator[tuple[str, dict[str, Any]]]:
    with ScriptedServer([close()]) as server:
        yield f"https://localhost:{server.port}/", {}


@contextlib.contextmanager
def _silent_in_tls() -> Iterator[tuple[str, dict[str, Any]]]:
    with ScriptedServer([silence()]) as server:
        yield f"https://localhost:{server.port}/", {"timeout": 0.05}


@contextlib.contextmanager
def _refused_by_proxy() -> Iterator[tuple[str, dict[str, Any]]]:
    with ScriptedProxy(script=[send(b"HTTP/1.1 403 No\r\n\r\n")]) as proxy:
        yield "https://origin.example/", {"proxy": proxy.url}


@contextlib.contextmanager
def _refused_by_socks() -> Iterator[tuple[str, dict[str, Any]]]:
    with ScriptedSocksProxy(refuse=5) as proxy:
        yield "https://origin.example/", {"proxy": proxy.url}


FAILURES = {
    function.__name__[1:]: function
    for function in (
        _refused,
        _unreachable,
        _unresolved,
        _untrusted,
        _hangs_up_in_tls,
        _silent_in_tls,
        _refused_by_proxy,
        _refused_by_socks,
    )
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_dial_that_fails_leaves_nothing_to_the_garbage_collector(any_engine: EngineDriver, name: str):
    """The harm: every refused connection left 60 objects in cycles, and with them whatever the caller's frames held."""

    async def scenario(client: Any) -> list[str]:
        async def fail() -> None:
            try:
                await client.get(url)
            except httpx.TransportError:
                return
            raise AssertionError("it did not fail")

        for _ in range(3):  # what is made once is made
            await fail()
        for _ in range(5):
            await turns_if_async(any_engine)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                await fail()
            await turns_if_async(any_engine)
            gc.collect()
            return sorted(f"{type(found).__module__}.{type(found).__qualname__}" for found in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    with FAILURES[name]() as (url, options):
        found = run(any_engine, scenario, **options)
    assert found == []


async def turns_if_async(engine: EngineDriver) -> None:
    if engine.is_async:
        await turns(5)


# Interrupts.


class Interrupt(BaseException):
    """What a signal handler raises, as Ctrl-C and Celery's time limits do."""


def interrupted(client: httpx.Client, url: str, when: threading.Event, **options: Any) -> None:
    """The request is interrupted by a signal handler that raises, and that is what comes out."""

    def handler(*args: Any) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    main = threading.main_thread().ident
    assert main is not None

    def strike() -> None:
        assert when.wait(5)
        time.sleep(0.03)
        signal.pthread_kill(main, signal.SIGALRM)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        with pytest.raises(Interrupt):
            client.get(url, **options)
    finally:
        thread.join()
        signal.signal(signal.SIGALRM, before)
    assert counts_of(client) == (0, 0, 0, 0)


needs_signals = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to send to a thread")


def now() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@needs_signals
@pytest.mark.parametrize("timeout", [None, 5], ids=["without a limit", "with a limit"])
def test_an_interrupt_during_a_look_up_passes_through_unchanged(timeout: Any):
    """The harm: Ctrl-C became a ConnectError, which programs catch and go on after."""
    asked, over = threading.Event(), threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        if over.is_set():
            return ["127.0.0.1"]
        asked.set()
        deadline = time.monotonic() + 5
        while not over.is_set() and time.monotonic() < deadline:
            time.sleep(0.005)
        return ["127.0.0.1"]

    with Peer() as peer, httpx.Client(resolver=resolver, trust_env=False, timeout=timeout) as client:
        url = f"http://name.example:{peer.port}/echo"
        interrupted(client, url, asked)
        over.set()
        # The name is not blocked by what was interrupted.
        assert client.get(url, headers={"X-Id": "next"}, timeout=5).text == "next"


@needs_signals
def test_those_who_joined_a_look_up_that_was_interrupted_ask_anew():
    """The harm: a request in another thread failed because of a signal that was not for it, or waited for ever."""
    asked = threading.Event()
    answers: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        if not asked.is_set():
            asked.set()
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                time.sleep(0.005)
        return ["127.0.0.1"]

    def other() -> None:
        assert asked.wait(5)
        answers.append(client.get(url, headers={"X-Id": "other"}).text)

    with Peer() as peer, httpx.Client(resolver=resolver, trust_env=False, timeout=None) as client:
        url = f"http://name.example:{peer.port}/echo"
        thread = threading.Thread(target=other)
        thread.start()
        try:
            handler_case(client, url)
        finally:
            thread.join(5)
    assert answers == ["other"]


def handler_case(client: httpx.Client, url: str) -> None:
    """`interrupted`, where another request is under way."""

    def handler(*args: Any) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(Interrupt):
            client.get(url)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@needs_signals
@pytest.mark.parametrize("phase", ["race", "handshake", "socks", "retry", "backlog"])
def test_an_interrupt_during_a_dial_passes_through_and_leaves_no_socket(phase: str, request: pytest.FixtureRequest):
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {}
        url = "http://origin.example/"
        if phase == "race":
            host, port = stack.enter_context(blackhole())
            url = f"http://{host}:{port}/"
        elif phase == "handshake":
            url = f"https://localhost:{stack.enter_context(ScriptedServer([silence()])).port}/"
        elif phase == "socks":
            options = {"proxy": stack.enter_context(ScriptedSocksProxy(step=silence())).url}
        elif phase == "retry":
            url = f"http://127.0.0.1:{closed_port()}/"
            options = {"transport": httpx.HTTPTransport(retries=5)}
        else:
            path = request.getfixturevalue("full_backlog").path
            options = {"transport": httpx.HTTPTransport(uds=path)}
        with httpx.Client(trust_env=False, timeout=None, **options) as client:
            interrupted(client, url, now())


# Subinterpreters.

IN_SUBINTERPRETER = """
import sys
import _interpreters
program = sys.stdin.read()
interpreter = _interpreters.create("isolated")
failed = _interpreters.exec(interpreter, program)
if failed is not None:
    print(failed.errdisplay if hasattr(failed, "errdisplay") else failed, file=sys.stderr)
    sys.exit(1)
_interpreters.destroy(interpreter)
print("destroyed")
"""


def in_subinterpreter(program: str) -> str:
    """What a program prints in an isolated subinterpreter, which must end without a word."""
    # Without coverage, which cannot measure in a subinterpreter and says so.
    environment = unmeasured()
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", IN_SUBINTERPRETER],
        input=textwrap.dedent(program),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


needs_subinterpreters = pytest.mark.skipif(sys.version_info < (3, 13), reason="the module for it is another one there")


@needs_subinterpreters
@pytest.mark.parametrize("timeout", [5, None])
def test_a_request_by_name_works_in_an_isolated_subinterpreter(timeout: Any):
    """The harm: a raw RuntimeError, because no thread there may be a daemon."""
    with Peer() as peer:
        program = f"""
        import httpx
        with httpx.Client(trust_env=False, timeout={timeout}) as client:
            url = "http://localhost:{peer.port}/echo"
            print(client.get(url, headers={{"X-Id": "named"}}).text)
            try:
                client.get("http://no-such-name.invalid/")
            except httpx.ConnectError as exc:
                print("ConnectError" if "could not be resolved" in str(exc) else exc)
        """
        assert in_subinterpreter(program).split() == ["named", "ConnectError", "destroyed"]


@needs_subinterpreters
@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_an_async_request_by_name_works_in_an_isolated_subinterpreter(library: str):
    pytest.importorskip(library)
    with Peer() as peer:
        program = f"""
        import {library}, httpx
        async def main():
            async with httpx.AsyncClient(trust_env=False) as client:
                url = "http://localhost:{peer.port}/echo"
                print((await client.get(url, headers={{"X-Id": "named"}})).text)
        {"asyncio.run(main())" if library == "asyncio" else "trio.run(main)"}
        """
        assert in_subinterpreter(program).split() == ["named", "destroyed"]


@needs_subinterpreters
@pytest.mark.parametrize("end", ["client.close()", "pass"])
def test_an_asgi_app_works_in_an_isolated_subinterpreter_in_sync_code(end: str):
    """The harm: a raw RuntimeError for the thread of its event loop; one that is no daemon must not keep the end."""
    program = f"""
    import httpx
    async def app(scope, receive, send):
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": b"app"}})
    client = httpx.Client(transport=httpx.ASGITransport(app))
    print(client.get("http://app.example/").text)
    {end}
    """
    assert in_subinterpreter(program).split() == ["app", "destroyed"]


@needs_subinterpreters
def test_the_standard_input_of_the_command_is_read_in_an_isolated_subinterpreter():
    program = """
    import os
    from httpx._cli import building
    read, write = os.pipe()
    os.write(write, b"piped")
    os.close(write)
    class Piped:
        isatty = staticmethod(lambda: False)
        fileno = staticmethod(lambda: read)
    building.sys.stdin = Piped
    print(building.from_stdin().decode())
    """
    assert in_subinterpreter(program).split() == ["piped", "destroyed"]
