"""
The network stream of an upgraded connection: every shell, without and with TLS.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

import pytest

import httpx
from httpx._engine.wire import Wire
from support import certs
from support.drivers import Driver
from support.engines import warm_uvloop
from support.leaks import counts_of, descriptors, no_lost_exceptions, nothing_left, trusting_context, wait_for
from support.servers import Conn, ScriptedServer
from support.steps import turns, until
from support.together import in_threads, together

UPGRADE = {"Connection": "Upgrade", "Upgrade": "raw"}
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"
LARGE = 8_000_000
# More than all buffers between two sockets. The kernel's grow up to 32 MiB unless their size is set.
TOO_MUCH = 64_000_000

ASYNC = pytest.mark.parametrize("name", ["asyncio", "asyncio-fallback", "trio"])


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    """Without and with TLS."""
    return bool(request.param)


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    trusting_context()
    warm_uvloop()
    with nothing_left():
        yield


def serving(handler: Callable[[Conn], object], tls: bool = False, **options: Any) -> ScriptedServer:
    """A server that upgrades its connections, and then calls the handler."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED)
        recorded.clear()
        handler(conn)

    return ScriptedServer(serve, tls=certs.server_context() if tls else None, **options)


def echo(conn: Conn) -> None:
    while data := conn.recv():
        conn.sendall(data)


def silence(conn: Conn) -> None:
    conn.read_to_end()


async def call(stream: Any, name: str, *args: Any, **options: Any) -> Any:
    """The result of a stream's method, which is sync or async as the shell is."""
    result = getattr(stream, name)(*args, **options)
    return await result if hasattr(result, "__await__") else result


async def close(stream: Any) -> None:
    await call(stream, "aclose" if hasattr(stream, "aclose") else "close")


@contextlib.asynccontextmanager
async def upgraded(client: Any, url: str) -> AsyncIterator[Any]:
    async with client.stream("GET", url, headers=UPGRADE) as response:
        assert response.status_code == 101
        yield response.extensions["network_stream"]


def run(driver: Driver, scenario: Callable[[Any], Any], server: ScriptedServer, **transport: Any) -> Any:
    """The result of a scenario that is given a stream."""

    async def main(client: Any) -> Any:
        with no_lost_exceptions():
            async with upgraded(client, server.url) as stream:
                result = await scenario(stream)
            assert counts_of(client) == (0, 0, 0, 0)
            return result

    options = {"transport": driver.transport(verify=trusting_context(), trust_env=False, **transport)}
    return driver.run(main, **options, trust_env=False, timeout=5)


async def read_exactly(stream: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = await call(stream, "read", 65_536, timeout=5)
        assert piece, f"the stream ended after {len(data)} bytes"
        data += piece
    return bytes(data)


# Time limits.


@pytest.mark.parametrize("seconds", [2_500_000, 1e12, float("inf")])
def test_a_huge_time_limit_is_a_limit_like_any_other(driver: Driver, tls: bool, seconds: float):
    """Harm: a read with a time limit of 29 days was an OverflowError."""

    def late(conn: Conn) -> None:
        assert conn.recv() == b"x"
        time.sleep(0.02)  # so that the reader waits
        conn.sendall(b"y")

    async def scenario(stream: Any) -> None:
        await call(stream, "write", b"x", timeout=seconds)
        assert await call(stream, "read", 100, timeout=seconds) == b"y"

    with serving(late, tls) as server:
        run(driver, scenario, server)


@pytest.mark.parametrize("seconds", [0, -1, float("-inf"), 0.01])
def test_a_small_time_limit_ends_at_once(driver: Driver, tls: bool, seconds: float):
    """Harm: in threads a negative limit was for ever, because `poll` takes it so."""

    async def scenario(stream: Any) -> None:
        begun = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            await call(stream, "read", 100, timeout=seconds)
        await call(stream, "write", b"there is room for this", timeout=seconds)
        with pytest.raises(httpx.WriteTimeout):
            await call(stream, "write", bytes(TOO_MUCH), timeout=seconds)
        assert time.monotonic() - begun < 4
        await close(stream)

    with serving(lambda conn: done.wait(5), tls) as server:
        done = threading.Event()
        run(driver, scenario, server)
        done.set()


def test_a_time_limit_that_is_not_a_number_is_refused(driver: Driver):
    async def scenario(stream: Any) -> None:
        nan = float("nan")
        for name, argument in (("read", 10), ("write", b"x"), ("start_tls", trusting_context())):
            with pytest.raises(ValueError, match="timeout must be a number of seconds or None, got nan"):
                await call(stream, name, argument, timeout=nan)

    with serving(silence) as server:
        run(driver, scenario, server)


class TLSEnd:
    """The server's end of a TLS session on memory buffers, for what `ssl.SSLSocket` cannot do."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = certs.server_context().wrap_bio(self.incoming, self.outgoing, server_side=True)

    def step(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of a function that may want to receive."""
        while True:
            try:
                return function(*args)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.conn.recv()
                assert data
                self.incoming.write(data)

    def flush(self) -> None:
        self.conn.sendall(self.outgoing.read())

    def upgrade(self) -> None:
        """Do the handshake, read the head of a request and send the response."""
        self.step(self.tls.do_handshake)
        while b"\r\n\r\n" not in self.step(self.tls.read, 10_000):
            pass
        self.tls.write(SWITCHED)
        self.flush()


def run_over_tls(driver: Driver, handler: Callable[[TLSEnd], object], scenario: Callable[[Any], Any]) -> None:
    """Run a scenario that is given a stream of a server which does TLS by itself."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        end = TLSEnd(conn)
        end.upgrade()
        handler(end)

    async def main(client: Any) -> None:
        async with upgraded(client, f"https://localhost:{server.port}") as stream:
            await scenario(stream)

    with ScriptedServer(serve) as server:
        driver.run(main, verify=trusting_context(), trust_env=False, timeout=5)


def test_parts_of_a_tls_record_do_not_move_the_deadline_of_a_read(driver: Driver):
    """Harm: a peer that sent a byte of a record from time to time put the time limit off for ever."""

    def drip(end: TLSEnd) -> None:
        end.tls.write(b"late" * 25)
        record = end.outgoing.read()
        for position in range(len(record) - 1):
            end.conn.sendall(record[position : position + 1])
            if over.wait(0.02):
                break
        end.conn.sendall(record[position + 1 :])
        end.conn.read_to_end()

    async def scenario(stream: Any) -> None:
        begun = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            await call(stream, "read", 1000, timeout=0.3)
        assert time.monotonic() - begun < 1.5
        over.set()
        assert await read_exactly(stream, 100) == b"late" * 25

    over = threading.Event()
    run_over_tls(driver, drip, scenario)


# Memory.


@pytest.mark.parametrize("how", ["101", "CONNECT"])
def test_what_is_not_read_stops_the_peer(driver: Driver, tls: bool, how: str):
    """Harm: on asyncio a peer filled the memory of a client that was busy with something else."""
    sent = [0]
    blocked, go_on = threading.Event(), threading.Event()

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        conn.sendall(SWITCHED if how == "101" else b"HTTP/1.1 200 Connected\r\n\r\n")
        piece = bytes(100_000)
        view = memoryview(b"")
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        conn.settimeout(0.3)
        while sent[0] < 3 * LARGE:
            view = view or memoryview(piece)
            try:
                count = conn.send(view)
            except (TimeoutError, socket.timeout):
                break
            sent[0] += count
            view = view[count:]
        blocked.set()
        assert go_on.wait(5)
        if view and tls:
            conn.settimeout(5)
            conn.sendall(view)
            sent[0] += len(view)

    async def main(client: Any) -> None:
        options: Any = {"headers": UPGRADE} if how == "101" else {"extensions": {"target": b"example.org:443"}}
        async with client.stream("GET" if how == "101" else "CONNECT", server.url, **options) as response:
            stream = response.extensions["network_stream"]
            assert await call(stream, "read", 10, timeout=5) == bytes(10)
            await happened(stream, blocked)
            assert sent[0] < LARGE
            go_on.set()
            read = 10
            while data := await call(stream, "read", 1_000_000, timeout=5):
                read += len(data)
            assert read == sent[0]

    options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)]
    transport = driver.transport(verify=trusting_context(), trust_env=False, socket_options=options)
    with ScriptedServer(serve, tls=certs.server_context() if tls else None, timeout=10) as server:
        driver.run(main, transport=transport, trust_env=False, timeout=5)


def test_a_large_write_is_not_copied(driver: Driver, tls: bool):
    """Harm: the rest was copied for each piece that the socket took: 64 MiB cost seconds of CPU."""
    data = b"0123456789abcdef" * (2 * LARGE // 16)

    async def scenario(stream: Any) -> None:
        await call(stream, "write", b"first", timeout=5)
        tracemalloc.start()
        try:
            await call(stream, "write", data, timeout=20)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4_000_000
        await call(stream, "read", 10, timeout=20)

    def take(conn: Conn) -> None:
        assert conn.read_exactly(5) == b"first"
        buffer, received = bytearray(100_000), 0
        while received < len(data):
            received += conn.recv_into(buffer)
        conn.sendall(b"thanks")

    with serving(take, tls) as server:
        run(driver, scenario, server, socket_options=[(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)])


def test_small_reads_of_much_input_take_linear_time(driver: Driver):
    """Harm: a read of a few bytes copied all the others that had arrived."""

    async def scenario(stream: Any) -> None:
        received = 0
        while received < 100_000:
            data = await call(stream, "read", 2, timeout=5)
            assert 1 <= len(data) <= 2
            received += len(data)

    with serving(lambda conn: (conn.sendall(bytes(100_000)), silence(conn))) as server:
        run(driver, scenario, server)


# What is written.


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_can_be_written(driver: Driver, tls: bool, kind: Callable[[bytes], Any]):
    async def scenario(stream: Any) -> None:
        large = bytes(range(256)) * 2000
        for data in (b"small", b"", large):
            given = kind(data)
            await call(stream, "write", given, timeout=5)
            if kind is bytearray:
                given[:] = b"it may be changed now"
            assert await read_exactly(stream, len(data)) == data

    with serving(echo, tls) as server:
        run(driver, scenario, server)


def test_a_view_of_wider_items_is_written_as_bytes(driver: Driver):
    async def scenario(stream: Any) -> None:
        await call(stream, "write", memoryview(bytes(8)).cast("I"), timeout=5)
        assert await read_exactly(stream, 8) == bytes(8)

    with serving(echo) as server:
        run(driver, scenario, server)


def test_what_a_write_could_not_send_in_time_goes_before_the_next(driver: Driver, tls: bool):
    """Harm: with the end of its time a write left half a message, and under TLS half a record: all was lost after."""
    data = bytearray(b"0123456789abcdef" * (LARGE // 16))
    go_on = threading.Event()
    whole = bytes(data) + b"next"

    def late(conn: Conn) -> None:
        assert go_on.wait(5)
        assert conn.read_exactly(len(whole)) == whole
        conn.sendall(b"thanks")

    async def scenario(stream: Any) -> None:
        with pytest.raises(httpx.WriteTimeout, match=r"within 0\.05 s"):
            await call(stream, "write", data, timeout=0.05)
        data[:] = b"it may be changed now"
        go_on.set()
        await call(stream, "write", b"next", timeout=5)
        assert await call(stream, "read", 100, timeout=5) == b"thanks"

    with serving(late, tls) as server:
        run(driver, scenario, server, socket_options=[(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)])


@ASYNC
def test_what_a_write_could_not_send_before_it_was_cancelled_goes_before_the_next(name: str, tls: bool):
    data = b"0123456789abcdef" * (LARGE // 16)
    go_on = threading.Event()
    whole = data + b"next"

    def late(conn: Conn) -> None:
        assert go_on.wait(5)
        assert conn.read_exactly(len(whole)) == whole
        conn.sendall(b"thanks")

    async def scenario(stream: Any) -> None:
        if name == "trio":
            import trio

            with trio.move_on_after(0.05) as scope:
                await stream.write(data)
            assert scope.cancelled_caught
        else:
            import asyncio

            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(stream.write(data), 0.05)
        go_on.set()
        await stream.write(b"next", timeout=5)
        assert await stream.read(100, timeout=5) == b"thanks"

    with serving(late, tls) as server:
        run(Driver(name), scenario, server)


# Ends.


async def write_after_the_end(stream: Any, seen: threading.Event) -> None:
    assert await read_exactly(stream, 10) == b"last words"
    for _ in range(2):
        assert await call(stream, "read", 100, timeout=5) == b""
    await call(stream, "write", bytes(LARGE // 2), timeout=5)
    assert await call(stream, "read", 100, timeout=5) == b""
    await call(stream, "write", bytes(LARGE // 2), timeout=5)
    await happened(stream, seen)


async def happened(stream: Any, event: threading.Event) -> None:
    """Wait for something that a thread of the test sets."""
    if hasattr(stream, "aclose"):
        await until(event.is_set, 10)
    else:
        assert event.wait(10)


@pytest.mark.parametrize("together", [False, True])
def test_a_peer_that_ends_its_side_can_be_written_to(driver: Driver, together: bool):
    """The end of one direction is not the end of the other: in a tunnel a request may end so."""

    def half(conn: Conn, recorded: list[bytes]) -> None:
        conn.read_head()
        if together:
            conn.sendall(SWITCHED + b"last words")
        else:
            conn.sendall(SWITCHED)
            conn.sendall(b"last words")
        conn.shutdown(socket.SHUT_WR)
        recorded.clear()
        conn.read_exactly(LARGE)
        seen.set()

    seen = threading.Event()
    with ScriptedServer(half) as server:
        run(driver, lambda stream: write_after_the_end(stream, seen), server)


def test_a_peer_that_ends_its_side_of_tls_can_be_written_to(driver: Driver):
    def half(end: TLSEnd) -> None:
        end.tls.write(b"last words")
        with contextlib.suppress(ssl.SSLWantReadError):
            end.tls.unwrap()
        end.flush()
        received = 0
        while received < LARGE:
            received += len(end.step(end.tls.read, 100_000))
        seen.set()

    seen = threading.Event()
    run_over_tls(driver, half, lambda stream: write_after_the_end(stream, seen))


@pytest.mark.parametrize("name", ["asyncio", "asyncio-fallback"])
def test_the_end_of_tls_may_come_in_one_piece_with_the_head(name: str):
    """Harm: on asyncio the end belonged to HTTP then, and the stream waited for ever."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        end = TLSEnd(conn)
        end.step(end.tls.do_handshake)
        while b"\r\n\r\n" not in end.step(end.tls.read, 10_000):
            pass
        end.tls.write(SWITCHED + b"last words")
        with contextlib.suppress(ssl.SSLWantReadError):
            end.tls.unwrap()
        end.flush()
        conn.read_to_end()

    async def main(client: Any) -> None:
        async with upgraded(client, f"https://localhost:{server.port}") as stream:
            assert await read_exactly(stream, 10) == b"last words"
            assert await stream.read(100, timeout=5) == b""

    with ScriptedServer(serve) as server:
        Driver(name).run(main, verify=trusting_context(), trust_env=False, timeout=5)


def test_closing_wakes_a_reader_and_a_writer(driver: Driver, tls: bool):
    """Harm: a reader or writer of a connection that was closed waited for ever, or on somebody else's descriptor."""
    done = threading.Event()
    outcomes: list[type[BaseException]] = []

    async def scenario(stream: Any) -> None:
        sock = stream.get_extra_info("socket")

        async def read() -> None:
            try:
                await call(stream, "read", 100)
            except Exception as exc:
                outcomes.append(type(exc))

        async def write() -> None:
            try:
                await call(stream, "write", bytes(TOO_MUCH))
            except Exception as exc:
                outcomes.append(type(exc))

        async def end() -> None:
            if driver.is_async:
                await turns(20)
            else:
                wait_for(lambda: len(stream.wire.users) == 2)
            await close(stream)

        if driver.is_async:
            await together([read, write, end])
        else:
            in_threads([(lambda each=each: run_now(each())) for each in (read, write, end)])  # type: ignore[misc]
            assert sock.fileno() == -1
        assert sorted(kind.__name__ for kind in outcomes) == ["ReadError", "WriteError"]
        with pytest.raises(httpx.ReadError, match="closed"):
            await call(stream, "read", 100)
        with pytest.raises(httpx.WriteError, match="closed"):
            await call(stream, "write", b"x")
        await close(stream)

    with serving(lambda conn: done.wait(5), tls) as server:
        run(driver, scenario, server)
        done.set()


def test_the_end_that_closing_makes_is_not_taken_for_the_peers(monkeypatch: pytest.MonkeyPatch):
    """The harm: a thread that closed the stream just before another one received made a whole message of a half."""
    done = threading.Event()

    async def scenario(stream: Any) -> None:
        receive_raw = Wire.receive_raw

        def close_and_receive(wire: Wire) -> Any:
            stream.close()
            return receive_raw(wire)

        monkeypatch.setattr(Wire, "receive_raw", close_and_receive)
        stream.wire.poll = lambda milliseconds: True
        with pytest.raises(httpx.ReadError, match="closed"):
            stream.read(100)

    with serving(lambda conn: done.wait(5), False) as server:
        run(Driver("sync"), scenario, server)
        done.set()


def run_now(coroutine: Any) -> Any:
    """The result of a coroutine that does not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it suspended")


# Several users.


@ASYNC
def test_tasks_that_write_at_once_all_finish_and_each_write_is_whole(name: str, tls: bool):
    """Harm: on asyncio the first of two tasks that wrote was never woken."""
    letters = b"abcdef"
    size = 3_000_000

    def take(conn: Conn) -> None:
        time.sleep(0.05)  # so that all of them wait
        received = conn.read_exactly(size * len(letters))
        assert received == b"".join(bytes([letter]) * size for letter in letters)
        conn.sendall(b"thanks")

    async def scenario(stream: Any) -> None:
        async def write(letter: int) -> None:
            await turns(letter - letters[0] + 1)  # in order
            await stream.write(bytes([letter]) * size, timeout=20)

        await together([lambda letter=letter: write(letter) for letter in letters])  # type: ignore[misc]
        assert await stream.read(100, timeout=5) == b"thanks"

    with serving(take, tls) as server:
        run(Driver(name), scenario, server)


@ASYNC
def test_a_write_that_gives_up_before_its_turn_sends_nothing(name: str):
    go_on = threading.Event()
    size = TOO_MUCH // 4

    def late(conn: Conn) -> None:
        assert go_on.wait(5)
        assert conn.read_exactly(size + 3) == bytes(size) + b"end"
        conn.sendall(b"thanks")

    async def scenario(stream: Any) -> None:
        async def hurried() -> None:
            await turns(2)
            with pytest.raises(httpx.WriteTimeout):
                await stream.write(b"never sent", timeout=0.05)
            go_on.set()

        async def patient() -> None:
            await turns(4)
            await stream.write(b"end", timeout=5)

        await together([lambda: stream.write(bytes(size), timeout=5), hurried, patient])
        assert await stream.read(100, timeout=5) == b"thanks"

    with serving(late) as server:
        run(Driver(name), scenario, server)


@ASYNC
def test_a_second_task_that_reads_is_refused(name: str, tls: bool):
    async def scenario(stream: Any) -> None:
        async def first() -> None:
            assert await stream.read(100, timeout=5) == b"x"

        async def second() -> None:
            await turns(3)
            with pytest.raises(RuntimeError, match="already being read"):
                await stream.read(100, timeout=5)
            await stream.write(b"x")

        await together([first, second])

    with serving(echo, tls) as server:
        run(Driver(name), scenario, server)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_tasks_that_read_and_write_at_once_do_not_disturb_each_other(name: str, tls: bool):
    async def scenario(stream: Any) -> None:
        await together([lambda: exchange_in(stream), lambda: exchange_out(stream)])

    async def exchange_in(stream: Any) -> None:
        assert await read_exactly(stream, LARGE) == pattern * (LARGE // len(pattern))

    async def exchange_out(stream: Any) -> None:
        for _ in range(LARGE // len(pattern)):
            await stream.write(pattern, timeout=5)

    pattern = bytes(range(250)) * 100
    with serving(both_ways, tls) as server:
        run(Driver(name), scenario, server)


def both_ways(conn: Conn) -> None:
    """Send everything back, without ever waiting for one direction alone."""
    import select

    conn.sock.setblocking(False)
    unsent = bytearray()
    wants = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
    while True:
        with contextlib.suppress(*wants):
            while len(unsent) < 4_000_000:
                data = conn.sock.recv(65_536)
                if not data:
                    return
                unsent += data
        with contextlib.suppress(*wants):
            while unsent:
                del unsent[: conn.sock.send(bytes(unsent[:65_536]))]
        select.select([conn.sock], [conn.sock] if unsent else [], [], 1)


@contextlib.contextmanager
def switching_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


@contextlib.contextmanager
def thread_stream(server: ScriptedServer, **options: Any) -> Iterator[Any]:
    with (
        httpx.Client(verify=trusting_context(), trust_env=False, timeout=5, **options) as client,
        client.stream("GET", server.url, headers=UPGRADE) as response,
    ):
        yield response.extensions["network_stream"]


def test_threads_that_read_and_write_at_once_do_not_disturb_each_other(tls: bool):
    """Harm: two threads on one TLS session broke it in 5 of 11 runs ("bad record mac"); httpx-ws works that way."""
    pattern = bytes(range(250)) * 100
    size = 2 * LARGE

    def read() -> None:
        received = 0
        while received < size:
            data = stream.read(65_536, timeout=5)
            offset = received % len(pattern)
            assert data == (pattern[offset:] + pattern * (len(data) // len(pattern) + 1))[: len(data)]
            received += len(data)

    def write() -> None:
        for _ in range(size // len(pattern)):
            stream.write(pattern, timeout=5)

    with serving(both_ways, tls) as server, switching_often(), thread_stream(server) as stream:
        in_threads([read, write])


def test_threads_that_write_at_once_each_write_the_whole(tls: bool):
    """Harm: pieces of one message stood within another one."""
    size, times = 300_000, 4

    def take(conn: Conn) -> None:
        for _ in range(4 * times):
            received = conn.read_exactly(size)
            assert received == received[:1] * size
        conn.sendall(b"thanks")

    def writer(letter: bytes) -> Callable[[], None]:
        return lambda: [stream.write(letter * size, timeout=10) for _ in range(times)] and None

    with serving(take, tls) as server, switching_often(), thread_stream(server) as stream:
        in_threads([writer(letter) for letter in (b"a", b"b", b"c", b"d")])
        assert stream.read(100, timeout=5) == b"thanks"


def test_a_second_thread_that_reads_is_refused():
    with serving(echo) as server, thread_stream(server) as stream:
        reading = threading.Event()
        wire = stream.wire
        poll = wire.poll
        wire.poll = lambda milliseconds: reading.set() or poll(milliseconds)

        def second() -> None:
            assert reading.wait(5)
            with pytest.raises(RuntimeError, match="already being read"):
                stream.read(100, timeout=5)
            stream.write(b"x")

        assert in_threads([lambda: stream.read(100, timeout=5), second])[0] == b"x"


@pytest.mark.parametrize("turn", range(3))
def test_a_thread_that_closes_under_a_reader_and_a_writer_leaves_their_descriptor_until_they_are_gone(
    tls: bool, turn: int
):
    """Harm: both went on with the descriptor of a socket that another part of the program had opened meanwhile."""
    outcomes: list[BaseException] = []

    def until_error(function: Callable[[], Any]) -> None:
        try:
            while function() != b"":
                pass
        except httpx.NetworkError as exc:
            outcomes.append(exc)

    with serving(both_ways, tls) as server, switching_often(), thread_stream(server) as stream:
        sock = stream.get_extra_info("socket")
        progress = threading.Event()

        def read() -> Any:
            progress.set()
            return stream.read(1000)

        def end() -> None:
            assert progress.wait(5)
            time.sleep(0.01 * turn)
            stream.close()

        in_threads([lambda: until_error(read), lambda: until_error(lambda: stream.write(bytes(50_000))), end])
        assert sock.fileno() == -1
        assert [type(exc) for exc in outcomes if not isinstance(exc, (httpx.ReadError, httpx.WriteError))] == []


def test_tls_cannot_begin_over_bytes_that_are_there(driver: Driver):
    """Bytes from before TLS would pass for the peer's."""

    async def scenario(stream: Any) -> None:
        assert await call(stream, "read", 3, timeout=5) == b"ear"
        with pytest.raises(httpx.ConnectError, match="peer has sent bytes"):
            await call(stream, "start_tls", trusting_context(), "localhost", timeout=5)
        assert await call(stream, "read", 100, timeout=5) == b"ly"

    with serving(lambda conn: (conn.sendall(b"early"), silence(conn))) as server:
        run(driver, scenario, server)


def test_a_stream_whose_connection_was_not_upgraded_gives_no_bytes(driver: Driver, echo_server: Any):
    async def scenario(client: Any) -> None:
        response = await client.get("/get")
        stream = response.extensions["network_stream"]
        assert stream.get_extra_info("server_addr")[1] == echo_server.port
        for name, argument in (("read", 10), ("write", b"x"), ("start_tls", trusting_context())):
            with pytest.raises(httpx.CloseError, match="not upgraded"):
                await call(stream, name, argument)

    driver.run(scenario, base_url=echo_server.url, trust_env=False)


def test_closing_a_stream_leaves_no_descriptor(driver: Driver, tls: bool):
    async def scenario(stream: Any) -> None:
        number = stream.get_extra_info("socket").fileno()
        await close(stream)
        await driver.pause()
        if driver.name != "asyncio-fallback":
            assert number not in {fd for fd, _ in descriptors() if fd == number and is_ours(fd, stream)}

    def is_ours(fd: int, stream: Any) -> bool:
        return bool(stream.get_extra_info("socket").fileno() == fd)

    with serving(silence, tls) as server:
        run(driver, scenario, server)
