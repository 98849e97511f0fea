"""
One client under many threads, several event loops, and a fork: every answer belongs to its own request.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import httpx
from support.engines import ASYNC_NAMES, driver_named
from support.http2 import StreamServer, prior
from support.leaks import counts_of, engines_of, no_lost_exceptions, nothing_left, settled, trusting_context, wait_for
from support.peer import Peer
from support.servers import Conn, ScriptedServer
from support.steps import turns, until

THREADS = 16
REQUESTS = 16  # of each thread


def in_threads(functions: list[Callable[[], Any]], seconds: float = 20.0) -> None:
    """Run them at once, and raise what the first one raised."""
    errors: list[BaseException] = []

    def caught(function: Callable[[], Any]) -> None:
        try:
            function()
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=caught, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def one_request(client: httpx.Client, peer: Peer, chance: random.Random, name: str) -> None:
    """A request of some kind; what comes back must be its own."""
    kind = chance.choice(("get", "get", "post", "stream", "abandon", "late", "close"))
    headers = {"X-Id": name}
    if kind == "get":
        assert client.get(f"{peer.url}/echo", headers=headers).text == name
    elif kind == "close":
        assert client.get(f"{peer.url}/close", headers=headers).text == name
    elif kind == "post":
        body = name.encode() * chance.choice((1, 100, 20_000))
        assert client.post(f"{peer.url}/echo", content=body, headers=headers).content == name.encode() + body
    elif kind == "stream":
        with client.stream("POST", f"{peer.url}/echo", content=iter([b"a", b"b"]), headers=headers) as response:
            assert b"".join(response.iter_bytes()) == name.encode() + b"ab"
    elif kind == "abandon":
        with client.stream("GET", f"{peer.url}/stall", headers=headers) as response:
            assert next(response.iter_bytes()) == b"hello"
    else:
        with pytest.raises(httpx.ReadTimeout) as caught:
            client.get(f"{peer.url}/silent", headers=headers, timeout=httpx.Timeout(10, read=0.01))
        assert caught.value.request.headers["X-Id"] == name


@pytest.mark.parametrize("limit", [None, 4], ids=["unlimited", "four"])
def test_sixteen_threads_on_one_client_each_get_their_own_answers(tls: bool, limit: int | None):
    limits = httpx.Limits(max_connections=limit)

    def worker(client: httpx.Client, peer: Peer, number: int) -> Callable[[], None]:
        def work() -> None:
            chance = random.Random(number)
            for turn in range(REQUESTS):
                one_request(client, peer, chance, f"t{number}r{turn}x")

        return work

    client = httpx.Client(verify=trusting_context(), trust_env=False, limits=limits, timeout=15)
    with nothing_left(), Peer(tls=tls, timeout=10) as peer, client:
        in_threads([worker(client, peer, number) for number in range(THREADS)])
        opened, idle, dials, waiting = counts_of(client)
        assert opened == idle
        assert (dials, waiting) == (0, 0)
        assert limit is None or opened <= limit


def test_threads_wait_in_order_for_the_one_connection():
    order: list[int] = []
    with nothing_left(), Peer() as peer:
        limits = httpx.Limits(max_connections=1)
        with httpx.Client(trust_env=False, limits=limits, timeout=10) as client:

            def waiter(number: int) -> Callable[[], None]:
                def wait() -> None:
                    client.get(f"{peer.url}/echo")
                    order.append(number)

                return wait

            def director() -> None:
                with client.stream("GET", f"{peer.url}/stall"):
                    for number in range(8):
                        thread = threading.Thread(target=waiter(number), daemon=True)
                        threads.append(thread)
                        thread.start()
                        wait_for(lambda: counts_of(client)[3] == number + 1)  # noqa: B023  # called at once

            threads: list[threading.Thread] = []
            director()
            for thread in threads:
                thread.join(5)
    assert order == list(range(8))


@pytest.mark.parametrize("path", ["silent", "stall", "unread"])
def test_a_sync_client_that_is_closed_by_another_thread_ends_the_requests_of_all(path: str, tls: bool):
    """The harm: a thread that waited for ever on a descriptor that was closed, and might be somebody else's by then."""
    outcomes: list[Any] = []

    def request(client: httpx.Client, peer: Peer) -> None:
        content = bytes(8_000_000) if path == "unread" else None
        try:
            client.post(f"{peer.url}/{path}", content=content)
        except httpx.TransportError as exc:
            outcomes.append(exc)

    with nothing_left(), Peer(tls=tls) as peer:
        client = httpx.Client(verify=trusting_context(), trust_env=False, timeout=None)
        thread = threading.Thread(target=request, args=(client, peer), daemon=True)
        thread.start()
        wait_for(lambda: counts_of(client)[0] == 1 and b"HTTP/1.1" in b"".join(peer.received))
        client.close()
        thread.join(5)
        assert not thread.is_alive()
        peer.let_go()
    assert isinstance(outcomes[0], (httpx.NetworkError, httpx.RemoteProtocolError))


def test_a_sync_client_that_is_closed_closes_a_response_that_nobody_reads(tls: bool):
    with nothing_left(), Peer(tls=tls) as peer:
        client = httpx.Client(verify=trusting_context(), trust_env=False)
        request = client.build_request("GET", f"{peer.url}/stall")
        response = client.send(request, stream=True)
        client.close()
        with pytest.raises(httpx.TransportError):
            response.read()
        response.close()


# Event loops.


async def some_requests(client: httpx.AsyncClient, peer: Peer, name: str, number: int = 10) -> None:
    with no_lost_exceptions():
        for turn in range(number):
            response = await client.get(f"{peer.url}/echo", headers={"X-Id": f"{name}x{turn}"})
            assert response.text == f"{name}x{turn}"


@pytest.mark.parametrize("first", ASYNC_NAMES)
@pytest.mark.parametrize("second", ["asyncio", "trio"])
def test_one_client_in_two_event_loops_at_once(first: str, second: str):
    drivers = [driver_named(first), driver_named(second)]
    with nothing_left(), Peer() as peer:
        client = httpx.AsyncClient(trust_env=False)
        both = threading.Barrier(2, timeout=5)

        def work(number: int) -> Callable[[], None]:
            async def main() -> None:
                await some_requests(client, peer, f"loop{number}", 1)
                both.wait()  # both have connections now
                await some_requests(client, peer, f"loop{number}")
                both.wait()
                if number == 0:
                    await client.aclose()  # also what belongs to the other loop
                both.wait()
                await drivers[number].pause()  # there it happens in the next turn

            return lambda: drivers[number].run_bare(main)

        in_threads([work(0), work(1)])
        assert counts_of(client) == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_one_client_in_event_loops_one_after_the_other(name: str):
    """A loop that ended without `aclose` leaves its connections to the next one, which closes them."""
    driver = driver_named(name)
    with nothing_left(), Peer() as peer:
        client = httpx.AsyncClient(trust_env=False)

        def run(number: int) -> None:
            async def main() -> None:
                await some_requests(client, peer, f"run{number}", 2)
                assert len(engines_of(client)) == 1
                # What the driver looks for: the tasks with which a loop without readers waits for input.
                if name == "asyncio-fallback":
                    for task in asyncio.all_tasks() - {asyncio.current_task()}:
                        task.cancel()
                    await asyncio.sleep(0)
                if number == 2:
                    await client.aclose()

            driver.run_bare(main)

        for number in range(3):
            run(number)
        assert peer.connections == 3


@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_a_client_can_be_closed_in_another_loop_than_the_one_it_was_used_in(name: str):
    driver = driver_named(name)
    with nothing_left(), Peer(tls=True) as peer:
        client = httpx.AsyncClient(trust_env=False, verify=trusting_context())

        async def use() -> None:
            await some_requests(client, peer, "used", 1)
            if name == "asyncio-fallback":
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
                await asyncio.sleep(0)

        driver.run_bare(use)
        asyncio.run(client.aclose())


@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_a_client_that_is_closed_from_another_loop_ends_its_dials(name: str):
    from support.peer import blackhole

    driver = driver_named(name)
    errors: list[Any] = []
    with nothing_left(), blackhole() as (host, port):
        client = httpx.AsyncClient(trust_env=False, timeout=None)

        async def main() -> None:
            with no_lost_exceptions():
                try:
                    await client.get(f"http://{host}:{port}/")
                except httpx.ConnectError as exc:
                    errors.append(exc)

        def close() -> None:
            wait_for(lambda: counts_of(client)[2] == 1)
            asyncio.run(client.aclose())

        in_threads([lambda: driver.run_bare(main), close])
    assert "closed" in str(errors[0])


def test_many_requests_at_once_on_one_loop_each_get_their_own_answers(engine: Any, tls: bool):
    async def scenario(client: Any) -> None:
        async def one(number: int) -> None:
            name = f"many{number}"
            response = await client.post(f"{peer.url}/echo", content=name * 50, headers={"X-Id": name})
            assert response.text == name + name * 50

        if engine.name == "trio":
            import trio

            async with trio.open_nursery() as nursery:
                for number in range(60):
                    nursery.start_soon(one, number)
        else:
            await asyncio.gather(*map(one, range(60)))
        # A dial that came too late for its request may still be under way.
        await until(lambda: counts_of(client)[2] == 0)
        await settled(client)
        assert counts_of(client)[0] <= 10

    with nothing_left(), Peer(tls=tls) as peer:
        engine.run(scenario, limits=httpx.Limits(max_connections=10), verify=trusting_context(), trust_env=False)


# Forks.

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@contextlib.contextmanager
def numbering() -> Iterator[ScriptedServer]:
    """Answers with the number of the connection."""
    numbers = iter(range(100))

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        number = next(numbers)
        while True:
            first = conn.recv(1)
            if not first:
                return
            conn._unread = first + conn._unread
            conn.read_request()
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)

    with ScriptedServer(serve) as server:
        yield server


def in_child(function: Callable[[], Any]) -> Any:
    """What the function returns in a forked child, as JSON."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this process has threads, the servers; the child does not use them
        pid = os.fork()
    if not pid:
        try:
            os.write(writing, json.dumps(function()).encode())
        except BaseException as exc:
            os.write(writing, json.dumps(repr(exc)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(answer)


@needs_fork
def test_a_forked_child_does_not_use_the_connections_of_its_parent():
    """The harm: two processes on one connection read each other's answers."""
    with nothing_left(), numbering() as server, httpx.Client(trust_env=False, timeout=5) as client:
        assert client.get(server.url).text == "0"
        with client.stream("GET", server.url) as response:
            # A connection in use is the parent's as well.
            def child() -> list[str]:
                texts = [client.get(server.url).text for _ in range(2)]
                client.close()
                return texts

            assert in_child(child) == ["1", "1"]
            assert response.read() == b"0"
        assert client.get(server.url).text == "0"


@needs_fork
def test_a_forked_child_does_not_share_the_streams_of_its_parent():
    """Over HTTP/2, too: a frame of the child would be taken for one of the parent."""
    with nothing_left(), StreamServer() as server, httpx.Client(**prior(server.url)) as client:
        assert client.get("/id", headers={"X-Id": "before"}).text == "before"
        with client.stream("GET", "/bytes/3000000") as response:

            def child() -> str:
                text = client.get("/id", headers={"X-Id": "child"}).text
                client.close()
                return text

            assert in_child(child) == "child"
            assert len(response.read()) == 3_000_000
        assert client.get("/id", headers={"X-Id": "after"}).text == "after"
        assert [(number, marked) for number, _, path, marked in server.asked if path == "/id"] == [
            (1, "before"),
            (2, "child"),
            (1, "after"),
        ]


@needs_fork
@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_a_forked_child_does_not_use_the_connections_of_a_loop_of_its_parent(name: str):
    driver = driver_named(name)

    async def scenario(client: Any) -> None:
        assert (await client.get(server.url)).text == "0"

        async def main() -> list[str]:
            texts = [(await client.get(server.url)).text for _ in range(2)]
            await client.aclose()
            return texts

        def child() -> list[str]:
            # The loop of the parent cannot run here, and trio and asyncio think that it does.
            outcome: list[Any] = []

            def run() -> None:
                outcome.append(asyncio.run(main()))

            thread = threading.Thread(target=run)
            thread.start()
            thread.join(5)
            return outcome[0]  # type: ignore[no-any-return]

        assert in_child(child) == ["1", "1"]
        assert (await client.get(server.url)).text == "0"

    with nothing_left(), numbering() as server:
        driver.run(scenario, trust_env=False, timeout=5)


# Closing in another thread, and in another loop.


@pytest.mark.parametrize("http", ["http1", "http2"])
def test_a_body_that_is_half_read_when_its_client_is_closed_does_not_wait_for_the_socket_of_a_stranger(http: str):
    """The harm: the body waited for what another part of the program was to receive."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(nothing_left())
        if http == "http2":
            server: Any = stack.enter_context(StreamServer())
            client = httpx.Client(**prior(server.url))
            request = client.build_request("GET", "/bytes/3000000")
        else:
            server = stack.enter_context(Peer())
            client = httpx.Client(trust_env=False, timeout=5)
            request = client.build_request("GET", f"{server.url}/stall")
        response = client.send(request, stream=True)
        pieces = response.iter_raw()
        next(pieces)
        sock = response.extensions["network_stream"].get_extra_info("socket")
        number = sock.fileno()
        client.close()
        assert sock.fileno() == number  # still ours: the body is going to use it
        strangers = socket.socketpair()
        begun = time.monotonic()
        with pytest.raises(httpx.TransportError):
            for _ in pieces:
                pass
        assert time.monotonic() - begun < 2
        assert sock.fileno() == -1
        for stranger in strangers:
            stranger.close()
        response.close()
        client.close()


@pytest.mark.parametrize("how", ["response", "client"])
def test_a_thread_that_reads_a_body_notices_that_another_one_closes_it(how: str, tls: bool):
    """The harm: it waited on until its time was up, on a descriptor that might be somebody else's by then."""
    errors: list[Exception] = []

    def read() -> None:
        try:
            for _ in pieces:
                pass
        except httpx.TransportError as exc:
            errors.append(exc)

    def close() -> None:
        # The reader waits in the kernel; nothing tells when it has got there.
        wait_for(reading.is_set)
        time.sleep(0.02)
        response.close() if how == "response" else client.close()

    with nothing_left(), Peer(tls=tls) as peer:
        client = httpx.Client(verify=trusting_context(), trust_env=False, timeout=5)
        response = client.send(client.build_request("GET", f"{peer.url}/stall"), stream=True)
        pieces = response.iter_raw()
        assert next(pieces) == b"hello"
        sock = response.extensions["network_stream"].get_extra_info("socket")
        reading = threading.Event()
        begun = time.monotonic()
        in_threads([lambda: (reading.set(), read()), close])
        assert time.monotonic() - begun < 2
        assert len(errors) == 1
        assert isinstance(errors[0], httpx.NetworkError)  # under TLS it may have had something to send
        assert sock.fileno() == -1
        assert counts_of(client) == (0, 0, 0, 0)
        response.close()
        client.close()


@pytest.mark.parametrize("turn", range(8))
def test_a_body_may_be_closed_at_any_moment_of_its_reading(turn: int):
    """The connection is given back once, whoever is first."""

    def read() -> None:
        with contextlib.suppress(httpx.TransportError):
            for _ in pieces:
                pass

    def close() -> None:
        time.sleep(0.0005 * turn)
        response.close()

    with nothing_left(), Peer() as peer, httpx.Client(trust_env=False, timeout=5) as client:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            response = client.send(client.build_request("GET", f"{peer.url}/pieces"), stream=True)
            pieces = response.iter_raw()
            in_threads([read, close, lambda: [peer.more() for _ in range(4)]])
        finally:
            sys.setswitchinterval(interval)
        opened, idle, dials, waiting = counts_of(client)
        assert (opened - idle, dials, waiting) == (0, 0, 0)
        assert client.get(f"{peer.url}/echo", headers={"X-Id": "next"}).text == "next"


@pytest.mark.parametrize("what", ["queued", "dialling", "reading", "writing"])
@pytest.mark.parametrize("name", [name for name in ASYNC_NAMES if name != "trio"])
def test_what_was_under_way_when_a_loop_was_closed_does_not_disturb_the_next_one(name: str, what: str):
    """The harm: the first request of the next loop was a RuntimeError, "Event loop is closed"."""
    driver = driver_named(name)

    async def left(client: httpx.AsyncClient, peer: Peer) -> list[Any]:
        path, content = ("unread", bytes(8_000_000)) if what == "writing" else ("stall", None)
        tasks = [asyncio.ensure_future(client.post(f"{peer.url}/{path}", content=content))]
        await until(lambda: counts_of(client)[0] == 1)
        await turns(20)
        if what == "queued":
            tasks += [asyncio.ensure_future(client.get(f"{peer.url}/echo")) for _ in range(2)]
            await until(lambda: counts_of(client)[3] == 2)
        elif what == "dialling":
            tasks.append(asyncio.ensure_future(client.get(f"{peer.url}/echo")))
            await turns()
        return tasks

    limits = httpx.Limits(max_connections=1 if what == "queued" else 3)
    client = httpx.AsyncClient(trust_env=False, limits=limits, timeout=5)
    with Peer() as peer:
        loop = driver._loop()
        # Closed without a word, as a program does that uses `run_until_complete` and gives up its tasks.
        tasks = loop.run_until_complete(left(client, peer))
        loop.close()

        async def ask() -> str:
            return (await client.get(f"{peer.url}/echo", headers={"X-Id": "next"})).text

        async def main() -> None:
            assert await ask() == "next"
            await client.aclose()

        driver.run_bare(main)
        for task in tasks:
            task._log_destroy_pending = False
            task.get_coro().close()  # as the garbage collector does
        del tasks
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the loop itself had at work
            gc.collect()
        peer.let_go()
