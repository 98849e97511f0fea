"""
Threads on one connection of HTTP/2: whoever waits receives for all, and passes that turn on, whatever becomes of it.

Every wait is bounded: a turn that nobody takes would be a test that hangs.
"""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import httpx
from httpx._engine import sockets
from httpx._engine.dialling import sync as sync_dialling
from httpx._engine.http2 import sync as http2_sync
from httpx._engine.http2.carrier import Carrier
from httpx._engine.sync_connection import SyncConnection
from httpx._protocol import frames
from httpx._protocol.frames import CANCEL
from support.counting import CountingSelect, CountingSocket, Counts
from support.counting import frames as entered_frames
from support.http2 import FramePeer, StreamServer, frames_of, prior
from support.interrupts import is_locked
from support.leaks import nothing_left, settled, wait_for
from support.servers import ScriptedServer
from support.together import in_threads

pytestmark = pytest.mark.usefixtures("no_leaks")


def client_of(server: ScriptedServer, **options: Any) -> httpx.Client:
    return httpx.Client(**prior(server.url, **{"timeout": 10, **options}))


def connection_of(client: httpx.Client) -> SyncConnection:
    (connection,) = client._transport._engine.pool.connections  # type: ignore[attr-defined]
    return connection  # type: ignore[no-any-return]


def multiplexer_of(client: httpx.Client) -> http2_sync.SyncMultiplexer:
    multiplexer = connection_of(client).multiplexer
    assert multiplexer is not None
    return multiplexer


def check_quiet(client: httpx.Client) -> None:
    """Nothing is in use, nobody has the turn, and nobody holds the lock."""
    from support.drivers import run_without_loop

    run_without_loop(settled(client))
    for connection in client._transport._engine.pool.connections:  # type: ignore[attr-defined]
        multiplexer = connection.multiplexer
        assert not multiplexer.session.machine.streams
        assert not multiplexer.waiting
        assert not multiplexer.session.news
        assert multiplexer._reader is None
        assert multiplexer._writer is None
        assert not is_locked(multiplexer._lock)


def started(*functions: Callable[[], Any]) -> Callable[[], list[Any]]:
    """Runs the functions in threads; the result waits for them, and has what each returned or raised."""
    results: dict[int, Any] = {}

    def keep(number: int, function: Callable[[], Any]) -> None:
        try:
            results[number] = function()
        except BaseException as exc:
            results[number] = exc

    threads = [threading.Thread(target=keep, args=each, daemon=True) for each in enumerate(functions)]
    for thread in threads:
        thread.start()

    def join() -> list[Any]:
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive(), "a thread hangs"
        return [results[number] for number in range(len(threads))]

    return join


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def server(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    with StreamServer(tls=request.param, timeout=10) as server:
        yield server


# Many at once.


def test_sixteen_threads_get_each_its_own_answers_over_one_connection(server: StreamServer):
    def work(worker: int) -> list[str]:
        dice = random.Random(worker)
        wrong = []
        for number in range(20):
            mark = f"{worker}-{number}"
            what = dice.choice(["get", "post", "stream", "bytes", "leave", "give up"])
            if what == "get":
                text = client.get("/id", headers={"X-Id": mark}).text
            elif what == "post":
                body = bytes(dice.randrange(100_000))
                text = client.post("/digest", content=body).text.split()[0]
                mark = str(len(body))
            elif what == "stream":
                with client.stream("POST", "/id", headers={"X-Id": mark}, content=iter([b"!"])) as response:
                    text = response.read().decode().rstrip("!")
            elif what == "bytes":
                mark = str(dice.randrange(1, 300_000))
                text = str(len(client.get(f"/bytes/{mark}").content))
            elif what == "leave":
                with client.stream("GET", "/bytes/3000000") as response:
                    text = mark if next(response.iter_raw())[:3] == b"\0\1\2" else "not the beginning"
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.get("/silent", timeout=httpx.Timeout(10, read=0.01))
                text = mark
            if text != mark:
                wrong.append(f"{what}: {text!r} and not {mark!r}")
        return wrong

    with client_of(server, timeout=30) as client:
        assert in_threads([lambda worker=worker: work(worker) for worker in range(16)]) == [[]] * 16
        check_quiet(client)
        # Where one gave up after a silence, others may have got a new connection before the PING was answered.
        assert server.connections <= 4


def test_threads_that_wait_for_a_place_get_it(server: StreamServer):
    server.max_streams = 3
    with client_of(server, limits=httpx.Limits(max_connections=1)) as client:
        client.get("/id")
        marks = [f"n{number}" for number in range(60)]
        texts = in_threads([lambda mark=mark: client.get("/id", headers={"X-Id": mark}).text for mark in marks])
        assert texts == marks
        check_quiet(client)
    assert server.connections == 1
    assert server.most <= 3
    assert server.too_many == 0


def test_uploads_of_several_threads_share_the_output(server: StreamServer):
    """One thread's sending made room for another one's body, and did not tell: both peers waited for each other."""
    server.window = 50_000_000
    piece = bytes(100_000)
    with client_of(server) as client:
        client.get("/id")
        texts = in_threads([lambda: client.post("/digest", content=iter([piece] * 40)).text for _ in range(4)])
        assert [text.split()[0] for text in texts] == ["4000000"] * 4
        check_quiet(client)
    assert server.connections == 1


# The turn.


def test_a_thread_that_times_out_in_the_turn_passes_it_on(server: StreamServer):
    """The first one receives for both; when it gives up, the second one must notice that nobody does."""
    with client_of(server) as client:
        client.get("/id")
        multiplexer = multiplexer_of(client)
        first = started(lambda: client.get("/silent", timeout=httpx.Timeout(10, read=0.2)))
        wait_for(lambda: multiplexer._reader is not None)
        second = started(lambda: client.get("/held", timeout=10).text)
        wait_for(lambda: bool(multiplexer.waiting))
        assert isinstance(first()[0], httpx.ReadTimeout)
        server.let_go()
        assert second() == ["-"]
        check_quiet(client)
    assert server.connections == 1


def test_threads_that_time_out_one_after_the_other_pass_it_on_each_time(server: StreamServer):
    with client_of(server) as client:
        client.get("/id")
        impatient = [
            lambda seconds=seconds: client.get("/silent", timeout=httpx.Timeout(10, read=seconds))
            for seconds in (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09)
        ]
        others = started(*impatient)
        patient = started(lambda: client.get("/held").text)
        assert all(isinstance(each, httpx.ReadTimeout) for each in others())
        server.let_go()
        assert patient() == ["-"]
        check_quiet(client)
    assert sorted(code for _, code in server.resets) == [CANCEL] * 8


def test_a_thread_that_gets_its_answer_in_the_turn_passes_it_on(server: StreamServer):
    with client_of(server) as client:
        client.get("/id")
        multiplexer = multiplexer_of(client)
        first = started(lambda: client.get("/bytes/100000").content)
        second = started(lambda: client.get("/held").text)
        first()
        wait_for(lambda: multiplexer._reader is not None)
        server.let_go()
        assert second() == ["-"]
        check_quiet(client)


def test_a_thread_that_reads_nothing_leaves_the_turn_to_others(server: StreamServer):
    """Between two pieces of a body its reader is not there."""
    with client_of(server) as client, client.stream("GET", "/bytes/5000000") as response:
        pieces = response.iter_raw()
        next(pieces)
        assert in_threads([lambda: len(client.get("/bytes/100000").content)] * 4) == [100_000] * 4
        assert sum(map(len, pieces)) + response.num_bytes_downloaded >= 5_000_000
    assert server.connections == 1


def test_a_thread_that_is_interrupted_in_the_turn_passes_it_on(server: StreamServer, monkeypatch: pytest.MonkeyPatch):
    with client_of(server) as client:
        client.get("/id")
        multiplexer = multiplexer_of(client)
        victim = threading.get_ident()
        poll = multiplexer.carrier.wire.poll
        waits = threading.Event()

        def interrupted(milliseconds: Any) -> Any:
            if threading.get_ident() == victim and milliseconds:
                wait_for(lambda: bool(multiplexer.waiting))
                raise KeyboardInterrupt
            waits.set()
            return poll(milliseconds)

        monkeypatch.setattr(multiplexer.carrier.wire, "poll", interrupted)
        other = started(lambda: (wait_for(lambda: multiplexer._reader is not None), client.get("/held").text)[1])
        with pytest.raises(KeyboardInterrupt):
            client.get("/silent")
        server.let_go()
        assert other() == ["-"]
        check_quiet(client)
    assert server.connections == 1


def test_an_interrupt_while_a_thread_waits_for_others_leaves_nothing(
    server: StreamServer, monkeypatch: pytest.MonkeyPatch
):
    with client_of(server) as client:
        client.get("/id")
        multiplexer = multiplexer_of(client)
        other = started(lambda: client.get("/held").text)
        wait_for(lambda: multiplexer._reader is not None)
        wait = multiplexer._wait_for_others

        def interrupted(stream: Any, until: Any) -> None:
            wait(stream, 0)
            raise KeyboardInterrupt

        monkeypatch.setattr(multiplexer, "_wait_for_others", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.get("/silent")
        monkeypatch.undo()
        server.let_go()
        assert other() == ["-"]
        check_quiet(client)


@pytest.mark.parametrize("where", ["send", "recv"])
def test_an_interrupt_while_bytes_are_moved_ends_the_connection_for_all(server: StreamServer, where: str):
    """Nobody can know how far it came: what follows would be taken for something else."""
    with client_of(server) as client:
        client.get("/id")
        multiplexer = multiplexer_of(client)
        other = started(lambda: client.post("/silent"))
        wait_for(lambda: multiplexer._reader is not None)

        class Broken:
            def __init__(self, sock: Any) -> None:
                self.sock = sock

            def __getattr__(self, name: str) -> Any:
                if name == where and threading.get_ident() == here:
                    raise KeyboardInterrupt
                return getattr(self.sock, name)

        here = threading.get_ident()
        multiplexer.carrier.wire.sock = Broken(multiplexer.carrier.wire.sock)  # type: ignore[assignment]
        if where == "recv":
            with multiplexer._lock, pytest.raises(KeyboardInterrupt):
                multiplexer.carrier.take_input()
        else:
            with pytest.raises(KeyboardInterrupt):
                client.post("/silent")
        (result,) = other()
        assert isinstance(result, (httpx.ReadError, httpx.WriteError)), result
        assert "interrupted" in str(result)
        assert client.get("/id").text == "-"
        check_quiet(client)
    assert server.connections == 2


# What one leaves to others.


def test_what_a_thread_leaves_unsent_when_it_gives_up_is_sent_by_others():
    """Its own waiter for room had gone, and the one who received waited for nothing but input."""
    read_on = threading.Event()

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        peer.send(frames.window_update(0, 100_000_000), frames.settings({frames.INITIAL_WINDOW_SIZE: 100_000_000}))
        waiting = peer.request()
        assert read_on.wait(10)
        while True:
            kind, flags, stream, block = peer.frame()
            if kind == frames.HEADERS:
                peer._decoder.decode(block)
                if flags & frames.END_STREAM:
                    peer.answer(stream, b"sent")
                    peer.answer(waiting.stream, b"held")
                    break
        peer.rest()

    with ScriptedServer(frames_of(script), timeout=10) as server, client_of(server) as client:
        client.get("/")
        multiplexer = multiplexer_of(client)
        receiver = started(lambda: client.get("/first").text)
        wait_for(lambda: multiplexer._reader is not None)
        stalled = started(lambda: client.post("/", content=bytes(20_000_000), timeout=httpx.Timeout(10, write=0.3)))
        wait_for(lambda: bool(multiplexer.carrier.unsent))
        behind = started(lambda: client.get("/behind").text)
        assert isinstance(stalled()[0], httpx.WriteTimeout)
        read_on.set()
        assert behind() == ["sent"]
        assert receiver() == ["held"]
        check_quiet(client)


def test_room_in_the_output_wakes_the_uploads_that_wait_for_it():
    """One receives, one sends, and the third one whose body had moved on was not told to hand over the next piece."""
    read_on = threading.Event()

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        peer.send(frames.window_update(0, 100_000_000), frames.settings({frames.INITIAL_WINDOW_SIZE: 100_000_000}))
        waiting = peer.request()
        assert read_on.wait(10)
        ended = []
        while len(ended) < 2:
            kind, flags, stream, block = peer.frame()
            if kind == frames.HEADERS:
                peer._decoder.decode(block)
            if kind == frames.DATA and flags & frames.END_STREAM:
                ended.append(stream)
        for stream in [*ended, waiting.stream]:
            peer.answer(stream, b"done")
        peer.rest()

    def upload() -> str:
        return client.post("/", content=iter([bytes(200_000)] * 40)).text

    with ScriptedServer(frames_of(script), timeout=10) as server, client_of(server, timeout=5) as client:
        client.get("/")
        multiplexer = multiplexer_of(client)
        receiver = started(lambda: client.get("/first").text)
        wait_for(lambda: multiplexer._reader is not None)
        first = started(upload)
        wait_for(lambda: multiplexer._writer is not None)
        second = started(upload)
        wait_for(lambda: bool(multiplexer.waiting))
        read_on.set()
        assert [*first(), *second(), *receiver()] == ["done"] * 3
        check_quiet(client)


def test_a_limit_that_rises_wakes_a_thread_while_the_one_who_receives_waits_on():
    """Whoever has got a place was told only when the one who received had its own answer."""
    raised = frames.settings({frames.MAX_CONCURRENT_STREAMS: 2})
    go = threading.Event()

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"warm")
        first = peer.request()
        assert go.wait(5)
        peer.send(raised)
        peer.answer(peer.request().stream, b"second")
        peer.answer(first.stream, b"first")
        peer.rest()

    limit = {frames.MAX_CONCURRENT_STREAMS: 1}
    limits = httpx.Limits(max_connections=1)
    with ScriptedServer(frames_of(script, limit)) as server, client_of(server, limits=limits) as client:
        client.get("/")
        first = started(lambda: client.get("/").text)
        wait_for(lambda: multiplexer_of(client)._reader is not None)
        second = started(lambda: client.get("/").text)
        wait_for(lambda: client._transport._engine.pool.counts()[3] == 1)  # type: ignore[attr-defined]
        go.set()
        assert second() == ["second"]
        assert first() == ["first"]
        check_quiet(client)


def test_a_limit_that_rises_is_told_by_whoever_catches_up():
    """Between two requests nobody listens: the next one learns of it, and has others to tell before it waits."""
    with StreamServer() as server, client_of(server) as client:
        client.get("/id")
        multiplexer = multiplexer_of(client)
        told = []
        engine = multiplexer.engine
        do_chores = engine.do_chores

        def note() -> None:
            told.append(is_locked(multiplexer._lock))
            do_chores()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "do_chores", note)
            patch.setattr(Carrier, "catch_up", lambda self: setattr(engine.pool, "has_chores", True))
            client.get("/id")
        assert told[:1] == [False], "before it waits, and without the lock"


def test_a_client_that_is_closed_by_another_thread_ends_the_requests_of_all(server: StreamServer):
    with nothing_left():
        client = client_of(server)
        client.get("/id")
        others = started(*[lambda: client.get("/silent", timeout=None)] * 5)
        wait_for(lambda: sum(path == "/silent" for _, _, path, _ in server.asked) == 5)
        client.close()
        for result in others():
            assert isinstance(result, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)), result


def test_a_response_that_is_read_after_its_client_was_closed_says_so(server: StreamServer):
    client = client_of(server)
    with client.stream("GET", "/bytes/5000000") as response:
        pieces = response.iter_raw()
        next(pieces)
        client.close()
        with pytest.raises(httpx.ReadError, match="closed"):
            for _ in pieces:
                pass


def test_a_socket_that_another_thread_has_closed_is_ready():
    """Its descriptor may be somebody else's by now: whoever uses the socket next is told."""
    import socket

    left, right = socket.socketpair()
    right.close()
    left.close()
    assert sockets.wait_for([left], [left], None) == {left}


# What it costs.


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts[str]:
    from httpx._engine import wire

    counts: Counts[str] = Counter()
    new_socket = sync_dialling.new_socket  # type: ignore[attr-defined]
    monkeypatch.setattr(sync_dialling, "new_socket", lambda *args: CountingSocket(new_socket(*args), counts))
    monkeypatch.setattr(wire, "select", CountingSelect(counts))
    monkeypatch.setattr(sockets, "select", CountingSelect(counts))
    return counts


def answering(peer: FramePeer) -> None:
    peer.serve(b"forty-six bytes of text make a small answer...")


def test_a_warm_get_sends_once_and_receives_once(counts: Counts[str]):
    with ScriptedServer(frames_of(answering)) as server, client_of(server) as client:
        for _ in range(3):
            client.get("/")
        counts.clear()
        client.get("/")
        assert counts["send"] == 1
        assert counts["receive"] == 1
        assert counts["poll"] <= 1
        assert counts["wait"] <= 1


def test_a_warm_get_enters_few_frames(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.delitem(sys.modules, "trio", raising=False)
    with ScriptedServer(frames_of(answering)) as server, client_of(server) as client:
        for _ in range(3):
            client.get("/")
        with entered_frames() as entered:
            client.get("/")
    ours = [frame for frame in entered if frame.startswith("httpx")]
    assert 10 < len(ours) <= FRAMES, f"{len(ours)} frames:\n" + "\n".join(ours)


FRAMES = 49 + (sys.version_info < (3, 12))  # before 3.12 a list comprehension is a frame, too
