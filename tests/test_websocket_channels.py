"""
`_engine/websocket/`: what several threads or tasks do with one session at once, cancellation, the keepers, and costs.

What a session does for one caller is in `test_websockets.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import httpx
from httpx._engine.websocket import keeper as keeper_module
from httpx._engine.websocket.common import AsyncPong, Channel, Timing
from httpx._engine.websocket.foreign import ForeignStream, translated
from httpx._engine.websocket.keeper import KEEPER, Keeper
from httpx._engine.websocket.sync import SyncChannel
from httpx._protocol.websocket import WebSocketMachine
from httpx.websockets import WebSocketDisconnect, WebSocketNetworkError, WebSocketTimeout
from support.cancelling import at_every_step, bounded, in_background, make_client, no_task_left
from support.counting import CountingLoop, Counts, frames
from support.drivers import Driver, run_on_loop
from support.interrupts import is_locked
from support.servers import Conn, ScriptedServer, expect_end, send, silence
from support.steps import Steps, in_trio, turns
from support.websocket import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    accept_of,
    close_frame,
    echo,
    expect_close,
    expect_frame,
    frame,
    opened,
    read_frame,
    sent_frames,
)
from test_hot_path import counts, listed, ours  # noqa: F401  # the fixture

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=("asyncio", "trio"))
def driver(request: pytest.FixtureRequest) -> Driver:
    """The libraries with tasks."""
    return Driver(request.param)


@contextlib.contextmanager
def thread(function: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run a function in a thread beside the block; its result or exception is in the list afterwards."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as exc:
            outcome.append(exc)

    beside = threading.Thread(target=run)
    beside.start()
    try:
        yield outcome
    finally:
        beside.join(5)
    assert not beside.is_alive()


def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def all_of(*functions: Callable[[], Any]) -> list[Any]:
    """The results of async functions that run at once; exceptions are results."""
    results: list[Any] = [None] * len(functions)

    async def one(number: int) -> None:
        try:
            results[number] = await functions[number]()
        except Exception as exc:
            results[number] = exc

    if in_trio():
        import trio

        async with trio.open_nursery() as nursery:
            for number in range(len(functions)):
                nursery.start_soon(one, number)
    else:
        await asyncio.gather(*(one(number) for number in range(len(functions))))
    return results


# Threads.


def test_messages_of_several_threads_never_mix():
    """httpx-ws#29: frames of two threads interleaved, and the server saw garbage."""
    sizes = [1, 200, 70_000, 300_000]
    received: list[bytes] = []

    def handler(conn: Conn) -> None:
        while True:
            found = read_frame(conn)
            if found.opcode == CLOSE:
                conn.sendall(close_frame(1000))
                return
            received.append(found.payload)

    with (
        ScriptedServer([opened(), handler]) as server,
        httpx.Client() as client,
        client.websocket(server.url) as ws,
        contextlib.ExitStack() as stack,
    ):
        for number in range(4):

            def work(letter: bytes = b"%d" % number) -> None:
                for size in sizes * 3:
                    ws.send(letter * size)

            stack.enter_context(thread(work))
    assert Counter((each[:1], len(each)) for each in received) == {
        (b"%d" % number, size): 3 for number in range(4) for size in sizes
    }
    assert all(each == each[:1] * len(each) for each in received)


def test_several_threads_receive_each_message_once():
    with (
        ScriptedServer(
            [opened(), expect_frame(TEXT), send(frame(TEXT, b"x") * 300 + close_frame(1000)), expect_frame(CLOSE)]
        ) as server,
        httpx.Client() as client,
        client.websocket(server.url) as ws,
        contextlib.ExitStack() as stack,
    ):
        outcomes = [stack.enter_context(thread(lambda: len(list(ws)))) for _ in range(3)]
        ws.send("go")
        stack.close()
    assert sum(outcome[0] for outcome in outcomes) == 300


def test_closing_wakes_a_thread_that_receives():
    """httpx-ws#111: it waited for ever."""
    with (
        ScriptedServer([opened(), expect_close()]) as server,
        httpx.Client() as client,
        client.websocket(server.url) as ws,
        thread(ws.receive) as outcome,
    ):
        until(lambda: is_locked(ws._channel._read_turn))
        ws.close()
    assert isinstance(outcome[0], WebSocketDisconnect)


def test_a_thread_that_receives_is_woken_if_the_peer_never_closes():
    with (
        ScriptedServer([opened(), silence()]) as server,
        httpx.Client() as client,
        client.websocket(server.url, close_timeout=0.05) as ws,
        thread(ws.receive) as outcome,
    ):
        until(lambda: is_locked(ws._channel._read_turn))
        ws.close()
    assert isinstance(outcome[0], WebSocketDisconnect)
    assert not outcome[0].by_peer


def test_a_thread_waits_for_its_turn_to_receive_no_longer_than_its_timeout():
    with (
        ScriptedServer([opened(), expect_close()]) as server,
        httpx.Client() as client,
        client.websocket(server.url) as ws,
        thread(ws.receive),
    ):
        until(lambda: is_locked(ws._channel._read_turn))
        with pytest.raises(WebSocketTimeout):
            ws.receive(timeout=0.02)
        ws.close()


def test_a_close_waits_for_a_send_and_gives_up_in_time():
    over = threading.Event()
    with (
        ScriptedServer([opened(), lambda conn: over.wait(5)]) as server,
        httpx.Client() as client,
        client.websocket(server.url, close_timeout=0.1) as ws,
        thread(lambda: ws.send(b"x" * 20_000_000)) as outcome,
    ):
        until(lambda: is_locked(ws._channel._write_turn))
        ws.close()
        over.set()
    assert isinstance(outcome[0], (WebSocketDisconnect, WebSocketNetworkError))


def test_a_pong_is_waited_for_while_unread_messages_are_in_the_way():
    def handler(conn: Conn) -> None:
        found = read_frame(conn)
        conn.sendall(frame(TEXT, b"x") * 3 + frame(10, found.payload))
        echo(conn)

    with (
        ScriptedServer([opened(), handler]) as server,
        httpx.Client() as client,
        client.websocket(server.url, queue_size=2) as ws,
    ):
        pong = ws.ping()
        assert not pong.wait(timeout=0.1)
        with thread(lambda: [ws.receive() for _ in range(3)]):
            assert pong.wait(timeout=5)


def test_a_message_that_comes_just_before_the_end_is_received(monkeypatch: pytest.MonkeyPatch):
    """Harm: a thread that saw no message, and then the end that another one had taken in, dropped the last message."""

    class Late(SyncChannel):
        """One whose last message and end come when it is asked whether it is over."""

        __slots__ = ()

        @property
        def is_over(self) -> bool:
            if not self.machine.closed:
                self.take_in(frame(TEXT, b"last") + close_frame(1000))
            return super().is_over

    kept, stream = channel(monkeypatch)
    stream.arriving = [frame(PING)]
    late = Late(stream, WebSocketMachine(), Timing())
    assert late.receive(1) == "last"
    with pytest.raises(WebSocketDisconnect):
        late.receive(1)
    kept.abort()


def test_there_is_no_thread_for_each_session():
    with ScriptedServer([opened(), echo]) as server, httpx.Client() as client, contextlib.ExitStack() as stack:
        before = threading.active_count()
        for _ in range(10):
            stack.enter_context(client.websocket(server.url))
        names = [each.name for each in threading.enumerate()]
        assert names.count("httpx.websockets") == 1
        # The rest are the server's.
        assert threading.active_count() - before <= 11


# The keeper.


class FakeStream:
    """A stream that a test fills."""

    def __init__(self) -> None:
        self.arriving: list[Any] = []
        self.sent: list[bytes] = []
        self.closed = False
        self.left = 0  # what the socket does not take
        self.broken: Any = None

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        if not self.arriving:
            raise httpx.ReadTimeout("nothing")
        data = self.arriving.pop(0)
        if isinstance(data, Exception):
            raise data
        return data

    def write_now(self, data: bytes = b"") -> int:
        if self.broken is not None:
            raise self.broken
        self.sent.append(bytes(data))
        return self.left

    def close(self) -> None:
        self.closed = True


def channel(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[SyncChannel, FakeStream]:
    """A channel that the keeper does not know, on a fake stream."""
    monkeypatch.setattr("httpx._engine.websocket.sync.KEEPER", Keeper())
    monkeypatch.setattr(Keeper, "_start", lambda self: None)
    stream: Any = FakeStream()
    return SyncChannel(stream, WebSocketMachine(max_messages=2), Timing(**options)), stream


def test_the_keeper_takes_input_until_the_queue_is_full(monkeypatch: pytest.MonkeyPatch):
    """A peer that sends without end must not fill the memory of a program that does not receive."""
    kept, stream = channel(monkeypatch)
    stream.arriving = [frame(PING, b"1"), frame(TEXT, b"x") * 2, frame(TEXT, b"y"), b""]
    kept.attend()
    assert (list(kept.messages), len(stream.arriving)) == (["x", "x"], 2)
    assert [found.payload for found in sent_frames(b"".join(stream.sent))] == [b"1"]
    kept.messages.clear()
    kept.attend()
    assert list(kept.messages) == ["y"]
    assert kept.is_over


def test_the_keeper_leaves_a_channel_alone_that_a_thread_reads(monkeypatch: pytest.MonkeyPatch):
    kept, stream = channel(monkeypatch)
    stream.arriving = [frame(TEXT, b"x")]
    with kept._read_turn, thread(kept.attend) as outcome:
        pass
    assert outcome == [None]
    assert not kept.messages


def test_the_keeper_ends_a_channel_that_broke(monkeypatch: pytest.MonkeyPatch):
    kept, stream = channel(monkeypatch)
    stream.arriving = [httpx.ReadError("reset")]
    kept.attend()
    assert stream.closed
    with pytest.raises(WebSocketNetworkError, match="reset"):
        kept.receive()


def test_pongs_stay_in_the_machine_while_the_peer_takes_nothing(monkeypatch: pytest.MonkeyPatch):
    kept, stream = channel(monkeypatch)
    stream.left = 10
    stream.arriving = [frame(PING, b"1")] * 3
    kept.attend()
    assert len(kept.machine.pongs) == 3
    stream.left, stream.sent = 0, []
    kept.attend()
    assert [found.payload for found in sent_frames(b"".join(stream.sent))] == [b"1"] * 3


@pytest.mark.parametrize("how", ["send", "ping", "pong"])
def test_what_breaks_while_something_is_sent_is_noted(monkeypatch: pytest.MonkeyPatch, how: str):
    kept, stream = channel(monkeypatch)
    stream.broken = httpx.WriteError("broken pipe")
    if how == "pong":
        stream.arriving = [frame(PING, b"1")]
        kept.attend()
    else:
        with pytest.raises(WebSocketNetworkError, match="broken pipe"):
            kept.send("x") if how == "send" else kept.ping(b"")
    with pytest.raises(WebSocketNetworkError, match="broken pipe") as caught:
        kept.receive(timeout=0)
    assert isinstance(caught.value.__cause__, httpx.WriteError)
    assert (kept.close_code, kept.close_reason) == (1006, "")


def test_the_keeper_ends_with_its_last_channel():
    keeper = Keeper()

    class Short:
        tick = 0.01
        attended = threading.Event()

        def attend(self) -> None:
            self.attended.set()

    class Long(Short):
        tick = 100.0

    long, short = Long(), Short()
    keeper.add(long)
    first = keeper._thread
    assert first is not None
    keeper.add(short)
    assert short.attended.wait(5)
    assert keeper._thread is first
    keeper.remove(long)
    keeper.remove(short)
    first.join(5)
    assert keeper._thread is None
    keeper.remove(short)


def test_the_keeper_does_not_keep_what_it_attends_to():
    keeper = Keeper()

    class Attended:
        tick = 0.01

        def attend(self) -> None:
            pass

    each = Attended()
    keeper.add(each)
    beside = keeper._thread
    assert beside is not None
    del each
    beside.join(5)
    assert not beside.is_alive()


def test_sessions_work_where_no_thread_may_be_started(monkeypatch: pytest.MonkeyPatch):
    """In an isolated subinterpreter, and at the end of a program."""

    def no_thread(**options: Any) -> Any:
        raise RuntimeError("daemon threads are disabled in this (sub)interpreter")

    monkeypatch.setattr("httpx._engine.websocket.sync.KEEPER", Keeper())
    monkeypatch.setattr(keeper_module.threading, "Thread", no_thread)
    kept = SyncChannel(FakeStream(), WebSocketMachine(), Timing())  # type: ignore[arg-type]
    kept.send("x")
    kept.abort()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_attends_to_nothing():
    with ScriptedServer([opened(), echo]) as server, httpx.Client() as client, client.websocket(server.url) as ws:
        read, write = os.pipe()
        ws._channel._write_turn.acquire()  # as another thread might have done
        child = os.fork()
        if not child:
            ok = not list(KEEPER._channels) and KEEPER._thread is None and not is_locked(ws._channel._write_turn)
            try:
                ws.send("x")
            except WebSocketNetworkError as exc:
                ok = ok and "belongs to the process" in str(exc)
            os.write(write, b"%d" % ok)
            os._exit(0)
        ws._channel._write_turn.release()
        os.waitpid(child, 0)
        assert os.read(read, 1) == b"1"
        os.close(read)
        os.close(write)
        ws.send("x")
        assert ws.receive(timeout=5) == "x"


# Tasks.


def test_messages_of_several_tasks_never_mix(driver: Any):
    received: list[bytes] = []

    def handler(conn: Conn) -> None:
        while True:
            found = read_frame(conn)
            if found.opcode == CLOSE:
                conn.sendall(close_frame(1000))
                return
            received.append(found.payload)

    async def scenario(client: Any, url: str) -> None:
        async with client.websocket(url) as ws:

            def sender(letter: bytes) -> Callable[[], Any]:
                async def work() -> None:
                    for size in (1, 500_000, 200, 300_000):
                        await ws.send(letter * size)

                return work

            assert await all_of(*(sender(b"%d" % number) for number in range(5))) == [None] * 5

    with ScriptedServer([opened(), handler]) as server:
        driver.run(scenario, server.url)
    assert len(received) == 20
    assert all(each == each[:1] * len(each) for each in received)
    for letter in (b"0", b"1", b"2", b"3", b"4"):
        assert [len(each) for each in received if each[:1] == letter] == [1, 500_000, 200, 300_000]


def test_one_task_receives_at_a_time(driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url) as ws:

            async def second() -> None:
                await turns()
                try:
                    with pytest.raises(RuntimeError, match="another task is receiving"):
                        await ws.receive()
                finally:
                    await ws.send("x")

            return await all_of(ws.receive, second)

    with ScriptedServer([opened(), echo]) as server:
        assert driver.run(scenario, server.url) == ["x", None]


def test_closing_wakes_a_task_that_receives_or_waits_for_a_pong(driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url, close_timeout=0.1) as ws:
            pong = await ws.ping()

            async def closing() -> None:
                await turns()
                await ws.close()

            return await all_of(ws.receive, pong.wait, closing)

    for steps in ([expect_frame(PING), expect_close()], [expect_frame(PING), expect_frame(CLOSE), silence()]):
        with ScriptedServer([opened(), *steps]) as server:
            first, second, third = driver.run(scenario, server.url)
            assert isinstance(first, WebSocketDisconnect)
            assert isinstance(second, WebSocketDisconnect)
            assert third is None


def test_pings_that_are_never_answered_take_no_memory():
    """Each was kept for the life of a session whose peer sends messages and no pong; so was a dropped channel."""
    channel = Channel(WebSocketMachine(), Timing(), time.monotonic)
    for _ in range(1_000):
        channel.begin_ping(b"", AsyncPong)
    kept = [channel.begin_ping(b"", AsyncPong) for _ in range(2)]
    assert len(channel._pongs) <= 3
    channel.take_in(frame(PONG, (1_001).to_bytes(8, "big")))
    assert [pong.is_set() for pong in kept] == [True, False]
    channel.take_in(frame(PONG, (1_002).to_bytes(8, "big")))
    assert kept[1].is_set()
    assert channel._pongs == ()
    channel.begin_ping(b"", AsyncPong)
    reference = weakref.ref(channel)
    gc.disable()
    try:
        del channel, kept
        assert reference() is None
    finally:
        gc.enable()


def test_a_pong_is_waited_for_beside_a_task_that_receives(driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url) as ws:

            async def other() -> Any:
                await turns()
                pong = await ws.ping()
                found = await pong.wait(timeout=5)
                await ws.send("x")
                return found

            return await all_of(ws.receive, other)

    with ScriptedServer([opened(), echo]) as server:
        assert driver.run(scenario, server.url) == ["x", True]


def test_tasks_that_wait_to_send_learn_that_the_session_is_over(driver: Any):
    over = threading.Event()

    async def scenario(client: Any, url: str) -> Any:
        timeout = httpx.Timeout(5, write=0.1)
        async with client.websocket(url, timeout=timeout, close_timeout=0.05) as ws:
            return await all_of(*[lambda: ws.send(b"x" * 10_000_000)] * 3)

    with ScriptedServer([opened(), lambda conn: over.wait(5)]) as server:
        outcomes = driver.run(scenario, server.url)
        over.set()
    assert [type(each) for each in outcomes] == [WebSocketNetworkError] * 3


def test_a_receive_that_is_cancelled_loses_nothing(driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url) as ws:
            for late in (False, True):
                steps = Steps(1, late)
                with steps.watching():
                    await steps.run(ws.receive)
                assert steps.reached
                await ws.send("go")
            return [await ws.receive(timeout=5) for _ in range(3)]

    first = frame(TEXT, b"1" * 100)
    rest = send(first[50:] + frame(TEXT, b"2") * 2)
    script = [opened(then=first[:50]), expect_frame(TEXT), rest, expect_frame(TEXT), echo]
    with ScriptedServer(script) as server:
        assert driver.run(scenario, server.url) == ["1" * 100, "2", "2"]


def test_a_send_that_is_cancelled_leaves_a_whole_frame(driver: Any):
    """Half a frame would make the rest of the stream garbage."""
    size = 10_000_000
    go_on = threading.Event()

    def handler(conn: Conn) -> None:
        assert go_on.wait(5)
        conn.sendall(frame(TEXT, b"%d" % len(read_frame(conn).payload)))
        echo(conn)

    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url) as ws:
            steps = Steps(1, False)
            with steps.watching():
                await steps.run(lambda: ws.send(b"x" * size))
            assert steps.reached
            go_on.set()
            await ws.send("next")
            return await ws.receive(), await ws.receive()

    with ScriptedServer([opened(), handler]) as server:
        assert driver.run(scenario, server.url) == (str(size), "next")


@pytest.mark.parametrize(("late", "tls"), [(False, False), (True, False), (False, True)], ids=["early", "late", "tls"])
def test_cancelled_at_any_step_nothing_is_left(driver: Any, ca: Any, late: bool, tls: bool):
    def handler(conn: Conn, recorded: Any) -> None:
        with contextlib.suppress(AssertionError):  # the client may be gone at any time
            opened()(conn)
            echo(conn)

    options: Any = {"tls": ca.server_context(), "host": "localhost"} if tls else {}
    with ScriptedServer(handler, **options) as server:

        async def use(client: httpx.AsyncClient) -> Any:
            async with client.websocket(server.url, close_timeout=5) as ws:
                await ws.send("x" * 150_000)
                pong = await ws.ping()
                message = await ws.receive(timeout=5)
                await pong.wait(timeout=5)
                return len(message)

        def run(steps: Steps) -> Any:
            async def main() -> Any:
                before = set() if in_trio() else asyncio.all_tasks()
                async with make_client(limits=httpx.Limits(max_connections=1)) as client:
                    with steps.watching():
                        outcome = await bounded(steps.run(lambda: use(client)))
                    assert await bounded(use(client)) == 150_000  # the pool has its place back
                await no_task_left(steps, before) if not in_trio() else None
                return outcome

            return driver.run_bare(main)

        assert at_every_step(late, run) == 150_000


def test_leaving_a_block_by_cancellation_sends_a_close_and_does_not_wait(driver: Any):
    async def scenario(client: Any, url: str) -> None:
        async def use() -> None:
            async with client.websocket(url) as ws:
                await ws.receive()

        steps = Steps(1, False, act=lambda: None)

        async with in_background(use):
            for _ in range(200):
                await turns()
                if server.received and b"\r\n\r\n" in server.received[0]:
                    break
            await Driver(driver.name).pause(0.05)
        assert not steps.reached

    with ScriptedServer([opened(), expect_frame(CLOSE, b"\x03\xe9"), expect_end()]) as server:
        driver.run(scenario, server.url)
        server.wait_until_idle()


# A peer that floods.


def test_pongs_to_a_peer_that_does_not_read_are_bounded(driver: Any):
    """Each ping asks for a pong; kept without a bound they would fill the memory."""
    pings = frame(PING, b"p" * 125) * 1000

    def handler(conn: Conn) -> None:
        conn.sendall(pings * 100)  # 12 MB
        conn.sendall(frame(TEXT, b"done"))
        conn.read_to_end()

    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url, close_timeout=0.01) as ws:
            message = await ws.receive(timeout=10)
            machine = ws._channel.machine
            return message, len(machine.pongs) <= 64, sum(map(len, machine.output)) < 100_000

    with ScriptedServer([opened(), handler]) as server:
        assert driver.run(scenario, server.url) == ("done", True, True)


# Streams of others.


class Pipe:
    """A foreign stream whose peer echoes."""

    def __init__(self, request: httpx.Request) -> None:
        self.arrived = b""
        self.closed = False
        self.fail: Any = None

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        if self.fail is not None:
            raise self.fail
        for found in sent_frames(buffer):
            self.arrived += frame(10 if found.opcode == PING else found.opcode, found.payload)

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        if self.fail is not None:
            raise self.fail
        if not self.arrived:
            raise TimeoutError
        data, self.arrived = self.arrived[:max_bytes], self.arrived[max_bytes:]
        return data

    def close(self) -> None:
        self.closed = True


class AsyncPipe(Pipe):
    async def write(self, buffer: bytes, timeout: Any = None) -> None:  # type: ignore[override]
        super().write(buffer)

    async def read(self, max_bytes: int, timeout: Any = None) -> bytes:  # type: ignore[override]
        await turns()
        return super().read(max_bytes)

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
def test_a_foreign_stream_carries_a_websocket(name: str):
    driver = Driver(name)
    pipes: list[Pipe] = []

    def handler(request: httpx.Request) -> httpx.Response:
        pipes.append((AsyncPipe if driver.is_async else Pipe)(request))
        key = b"\r\nsec-websocket-key: " + request.headers["sec-websocket-key"].encode()
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_of(key).decode()}
        return httpx.Response(101, headers=fields, extensions={"network_stream": pipes[-1]})

    async def scenario(client: Any) -> Any:
        async with client.websocket("ws://test/", queue_size=1) as ws:
            await ws.send("x")
            await ws.send("y")
            found = [await ws.receive(), await ws.receive()]
            with pytest.raises(WebSocketTimeout):
                await ws.receive(timeout=0.01)
            pong = await ws.ping()
            found.append(await pong.wait())
            pong = await ws.ping()
            pipes[-1].arrived = b""
            assert not await pong.wait(timeout=0.01)
        assert (ws.close_code, pipes[-1].closed) == (1000, True)
        for broken in (OSError("gone"), httpx.ReadError("gone")):
            async with client.websocket("ws://test/") as ws:
                pipes[-1].fail = broken
                with pytest.raises(WebSocketNetworkError, match="gone"):
                    await ws.send("x")
                with pytest.raises(WebSocketNetworkError, match="gone"):
                    await ws.receive()
            async with client.websocket("ws://test/") as ws:
                pipes[-1].fail = broken
                with pytest.raises(WebSocketNetworkError, match="gone"):
                    await ws.receive()
        with pytest.raises(KeyboardInterrupt):
            async with client.websocket("ws://test/"):
                raise KeyboardInterrupt
        return found

    assert driver.run(scenario, transport=httpx.MockTransport(handler)) == ["x", "y", True]


def test_tasks_take_turns_on_a_foreign_stream(driver: Any):
    def handler(request: httpx.Request) -> httpx.Response:
        key = b"\r\nsec-websocket-key: " + request.headers["sec-websocket-key"].encode()
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_of(key).decode()}
        return httpx.Response(101, headers=fields, extensions={"network_stream": SlowPipe(request)})

    class SlowPipe(AsyncPipe):
        async def write(self, buffer: bytes, timeout: Any = None) -> None:
            await turns()
            await super().write(buffer)

        async def read(self, max_bytes: int, timeout: Any = None) -> bytes:
            for _ in range(500):
                if not self.arrived:
                    await turns()
            return await super().read(max_bytes)

    async def scenario(client: Any) -> Any:
        async with client.websocket("ws://test/") as ws:

            async def second() -> None:
                await turns()
                with pytest.raises(RuntimeError, match="another task"):
                    await ws.receive()
                pong = await ws.ping()
                assert await pong.wait()
                await all_of(*[lambda: ws.send("x")] * 3)

            return await all_of(ws.receive, second)

    assert driver.run(scenario, transport=httpx.MockTransport(handler)) == ["x", None]


def test_a_pong_on_a_foreign_stream_does_not_fill_the_memory(driver: Any):
    """While nothing takes the messages, waiting for a pong must not go on reading."""
    reads: list[int] = []

    class Endless(AsyncPipe):
        async def read(self, max_bytes: int, timeout: Any = None) -> bytes:
            reads.append(max_bytes)
            await turns()
            return frame(TEXT, b"x") * 10

    async def main() -> Any:
        from httpx._engine.websocket.foreign import ForeignChannel

        machine = WebSocketMachine(max_messages=5)
        endless = ForeignChannel(Endless(httpx.Request("GET", "ws://test/")), machine, Timing())
        pong = await endless.ping(b"")
        assert not await pong.wait(timeout=0.1)
        taken = [endless.messages.popleft() for _ in range(5)]
        assert not await pong.wait(timeout=0.1)
        return taken, len(reads)

    assert driver.run_bare(main) == (["x"] * 5, 1)


def test_a_write_to_a_foreign_stream_that_is_cancelled_ends_the_session():
    """How much of the frame was written is not known."""

    class Stuck(AsyncPipe):
        async def write(self, buffer: bytes, timeout: Any = None) -> None:
            await asyncio.sleep(10)

    from httpx._engine.websocket.foreign import ForeignChannel

    async def main() -> None:
        stuck = ForeignChannel(Stuck(httpx.Request("GET", "ws://test/")), WebSocketMachine(), Timing())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stuck.send("x"), 0.01)
        with pytest.raises(WebSocketNetworkError, match="cancelled in the middle"):
            await stuck.send("y")

    run_on_loop(asyncio.SelectorEventLoop(), main())


def test_errors_of_others_are_translated():
    class PoolTimeout(Exception):
        pass

    late, broken = httpx.ReadTimeout, httpx.ReadError
    assert type(translated(PoolTimeout(), late, broken)) is late
    assert type(translated(TimeoutError("late"), late, broken)) is late
    assert str(translated(ValueError(), late, broken)) == "ValueError"
    kept = httpx.WriteError("x")
    assert translated(kept, late, broken) is kept
    assert ForeignStream(None, None).wait_for_either(None, True)


# What it costs.


@pytest.fixture
def floods() -> Iterator[ScriptedServer]:
    """A server that echoes, and sends a hundred messages in one piece when it is asked to."""

    def handler(conn: Conn) -> None:
        while True:
            found = read_frame(conn)
            if found.opcode == CLOSE:
                conn.sendall(close_frame(1000))
                return
            conn.sendall(frame(TEXT, b"x" * 64) * (100 if found.payload == b"flood" else 1))

    with ScriptedServer([opened(), handler]) as server:
        yield server


def test_an_echo_in_sync_code_sends_polls_and_receives_once(floods: ScriptedServer, counts: Counts[str]):  # noqa: F811
    with httpx.Client() as client, client.websocket(floods.url) as ws:
        for _ in range(3):
            ws.send("x")
            ws.receive()
        counts.clear()
        ws.send("x")
        ws.receive()
        assert counts == {"send": 1, "wait": 1, "receive": 1}


def test_an_echo_on_asyncio_sends_and_receives_once(floods: ScriptedServer, counts: Counts[str]):  # noqa: F811
    async def main() -> Counts[str]:
        async with httpx.AsyncClient() as client, client.websocket(floods.url) as ws:
            for _ in range(3):
                await ws.send("x")
                await ws.receive()
            counts.clear()
            await ws.send("x")
            await ws.receive()
            return counts.copy()

    assert run_on_loop(CountingLoop(counts), main()) == {"send": 1, "receive": 1, "future": 1}


def test_a_message_of_a_batch_enters_one_frame(floods: ScriptedServer):
    def settled(messages: Any) -> None:
        deadline = time.monotonic() + 5
        while len(messages) < 90:
            assert time.monotonic() < deadline

    with httpx.Client() as client, client.websocket(floods.url) as ws:
        ws.send("flood")
        ws.receive()
        if len(ws._messages) > 50:
            number = len(ws._messages)
            with frames() as entered:
                for _ in range(number):
                    next(ws)
            assert len(ours(entered)) <= number, listed(ours(entered))

    async def main() -> None:
        async with httpx.AsyncClient() as client, client.websocket(floods.url) as ws:
            await ws.send("flood")
            for _ in range(50):
                await ws.receive()
            number = len(ws._messages)
            with frames() as entered:
                for _ in range(number):
                    await ws.receive()
            assert len(ours(entered)) <= number, listed(ours(entered))

    run_on_loop(asyncio.SelectorEventLoop(), main())


def kept() -> int:
    """Bytes that the package keeps, of what was traced."""
    gc.collect()
    found = tracemalloc.take_snapshot().statistics("filename")
    return sum(each.size for each in found if f"{os.sep}src{os.sep}httpx{os.sep}" in each.traceback[0].filename)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="sizes are those of CPython")
@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
def test_an_idle_session_takes_at_most_8_kib(name: str):
    """With its connection, request and response; without compression. Programs have thousands of them."""

    async def scenario(client: Any, url: str) -> float:
        async with contextlib.AsyncExitStack() as stack:

            async def open_some(number: int) -> None:
                for _ in range(number):
                    ws = await stack.enter_async_context(client.websocket(url))
                    await ws.send("x")
                    await ws.receive()

            await open_some(5)
            tracemalloc.start()
            try:
                await open_some(5)
                before = kept()
                await open_some(20)
                return (kept() - before) / 20
            finally:
                tracemalloc.stop()

    # Coverage and older Pythons keep more for each object.
    most = 8192 if sys.gettrace() is None and sys.version_info >= (3, 13) else 12_288
    with ScriptedServer([opened(), echo]) as server:
        assert Driver(name).run(scenario, server.url) <= most


# Turns.


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
def test_a_sender_that_is_cancelled_while_it_waits_for_its_turn_passes_it_on(driver: Any, late: bool):
    """A turn that nobody has any more would stop all later sends."""
    go_on = threading.Event()
    received: list[bytes] = []

    def handler(conn: Conn) -> None:
        assert go_on.wait(5)
        while True:
            found = read_frame(conn)
            if found.opcode == CLOSE:
                conn.sendall(close_frame(1000))
                return
            received.append(found.payload[:1])

    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url) as ws:
            steps = Steps(1, late)

            async def second() -> Any:
                await turns()
                with steps.watching():
                    if late:
                        go_on.set()
                    return await steps.run(lambda: ws.send(b"2"))

            async def third() -> None:
                for _ in range(3):
                    await turns()
                go_on.set()
                await ws.send(b"3")

            await all_of(lambda: ws.send(b"1" * 10_000_000), second, third)
            assert steps.reached
            await ws.send(b"4")

    with ScriptedServer([opened(), handler]) as server:
        driver.run(scenario, server.url)
    assert [each for each in received if each != b"2"] == [b"1", b"3", b"4"]


def test_an_interrupt_during_the_closing_handshake_frees_the_connection(monkeypatch: pytest.MonkeyPatch):
    with (
        ScriptedServer([opened(), silence()], [opened(), echo]) as server,
        httpx.Client(limits=httpx.Limits(max_connections=1)) as client,
    ):
        ws = client.websocket(server.url).__enter__()

        def interrupted(*args: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(SyncChannel, "_read_for_close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ws.close()
        monkeypatch.undo()
        assert ws.closed
        with client.websocket(server.url, timeout=httpx.Timeout(5, pool=0.1)) as after:
            after.send("x")
            assert after.receive() == "x"


def test_a_pong_is_waited_for_while_a_task_makes_room(driver: Any):
    def handler(conn: Conn) -> None:
        found = read_frame(conn)
        conn.sendall(frame(TEXT, b"x") * 3 + frame(10, found.payload))
        echo(conn)

    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url, queue_size=2) as ws:
            pong = await ws.ping()
            assert not await pong.wait(timeout=0.1)

            async def taking() -> Any:
                return [await ws.receive() for _ in range(3)]

            return await all_of(lambda: pong.wait(timeout=5), taking)

    with ScriptedServer([opened(), handler]) as server:
        assert driver.run(scenario, server.url) == [True, ["x", "x", "x"]]


# Pairs.


def test_an_end_waits_for_the_other_one_in_another_thread():
    from httpx.websockets import pair

    here, there = pair()
    with thread(here.receive) as outcome:
        there.send("x")
    assert outcome == ["x"]
    with thread(lambda: list(here)) as outcome:
        with pytest.raises(httpx.LocalProtocolError):
            there.close(999)
        there.close()
    assert outcome == [[]]
    with pytest.raises(KeyboardInterrupt), pair()[0] as dropped:
        raise KeyboardInterrupt
    assert dropped.close_code == 1001


def test_an_end_waits_for_the_other_one_in_another_task(driver: Any):
    from httpx.websockets import async_pair

    async def main() -> Any:
        here, there = async_pair()

        async def second() -> None:
            await turns()
            with pytest.raises(RuntimeError, match="another task"):
                await here.receive()
            with pytest.raises(httpx.LocalProtocolError):
                await there.close(999)
            await there.send("x")

        return await all_of(here.receive, second)

    assert driver.run_bare(main) == ["x", None]


def test_a_cause_that_cannot_be_made_again_is_kept():
    from httpx._engine.websocket.common import copy_of

    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(one)

    odd = Odd(1, 2)
    assert copy_of(odd) is odd
    again = copy_of(ValueError("x"))
    assert (type(again), str(again)) == (ValueError, "x")
