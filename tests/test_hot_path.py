"""
What a warm GET of 46 bytes may cost, in counts: the budget of docs/design.md.

A request is warm when the client has sent others before it, on the connection that it takes. Counts do not depend on
the machine, so a change that makes every request dearer fails here, and not in a benchmark that somebody reads later.

Not here: times (`benchmarks/`).
"""

from __future__ import annotations

import gc
import logging
import sys
import tracemalloc
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx import _base_client
from httpx._engine import sockets, wire
from httpx._engine.dialling import asyncio as asyncio_dialling
from httpx._engine.dialling import sync as sync_dialling
from httpx._protocol import frames as frames_of_http2
from httpx._protocol import hpack
from httpx._protocol.http1 import HTTP1Exchange
from httpx._protocol.http2 import HTTP2Connection
from httpx._utils import LOWER
from support.counting import CountingLoop, CountingSelect, CountingSocket, Counts, frames
from support.drivers import run_on_loop
from support.servers import SMALL, ScriptedServer, expect_head, repeat, send

FRAMES = 25 + (sys.version_info < (3, 12))  # before 3.12 a list comprehension is a frame, too
FIRST_LAYER, FURTHER_LAYER = 14 + (sys.version_info < (3, 12)), 2  # frames more
LEAK = (
    10_000  # bytes in a thousand requests: some look-ups are cached, and one object a request would be five times that
)
PACKAGE = Path(httpx.__file__).parent

# As nginx answers. A field that is not a common one would cost a frame: it is not remembered from answer to answer.
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 46\r\nConnection: keep-alive\r\n\r\n" + SMALL.encode("ascii")
)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([repeat(expect_head(), send(ANSWER))]) as server:
        yield server


@pytest.fixture(autouse=True)
def _without_garbage() -> Iterator[None]:
    """What earlier tests have left would be collected in the middle of a count, and its frames counted."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def _without_names_of_others() -> None:
    """Where earlier tests have filled the table of field names, each name that is not in it costs a frame."""
    LOWER.clear()


@pytest.fixture(autouse=True)
def _without_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where trio is imported, which loop runs is a longer question, and other tests may have imported it."""
    monkeypatch.delitem(sys.modules, "trio", raising=False)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts[str]:
    """Counts what goes through the sockets that are made from now on."""
    counts: Counts[str] = Counter()

    for engine in (sync_dialling, asyncio_dialling):
        new_socket = engine.new_socket  # type: ignore[attr-defined]

        def counting_socket(*args: Any, made: Any = new_socket) -> CountingSocket:
            return CountingSocket(made(*args), counts)

        monkeypatch.setattr(engine, "new_socket", counting_socket)
    monkeypatch.setattr(wire, "select", CountingSelect(counts))
    monkeypatch.setattr(sockets, "select", CountingSelect(counts))
    return counts


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """The log records that are made, whoever may drop them later."""
    made = []
    factory = logging.getLogRecordFactory()

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made.append(factory(*args, **kwargs))
        return made[-1]

    logging.setLogRecordFactory(make)
    yield made
    logging.setLogRecordFactory(factory)


def ours(entered: list[str]) -> list[str]:
    """Those of the frames that are the budget's business."""
    return [frame for frame in entered if frame.split(":")[0].split(".")[0] in ("httpx", "logging")]


def listed(entered: list[str]) -> str:
    return f"{len(entered)} frames:\n  " + "\n  ".join(entered)


def check(response: httpx.Response) -> None:
    assert (response.status_code, response.text) == (200, SMALL)


def warm_sync_get(url: str, counts: Counts[str], **options: Any) -> list[str]:
    """The frames of a warm GET in sync code; `counts` are of that one, too."""
    with httpx.Client(**options) as client:
        for _ in range(3):
            check(client.get(url))
        counts.clear()
        with frames() as entered:
            response = client.get(url)
        done = counts.copy()
        check(response)
    counts.clear()
    counts.update(done)
    return entered


def warm_asyncio_get(url: str, counts: Counts[str], **options: Any) -> list[str]:
    """The same on asyncio; what the loop enters to come to us is in the list."""

    async def main() -> list[str]:
        async with httpx.AsyncClient(**options) as client:
            for _ in range(3):
                check(await client.get(url))
            counts.clear()
            with frames() as entered:
                response = await client.get(url)
            done = counts.copy()
            check(response)
        counts.clear()
        counts.update(done)
        return entered

    return run_on_loop(CountingLoop(counts), main())


def test_a_warm_get_in_sync_code_enters_few_frames(server: ScriptedServer, counts: Counts[str]):
    entered = ours(warm_sync_get(server.url, counts))
    assert entered, "nothing was counted"
    assert len(entered) <= FRAMES, listed(entered)


def test_a_warm_get_on_asyncio_enters_few_frames(server: ScriptedServer, counts: Counts[str]):
    entered = ours(warm_asyncio_get(server.url, counts))
    assert entered, "nothing was counted"
    assert len(entered) <= FRAMES, listed(entered)


@pytest.mark.parametrize("warm_get", [warm_sync_get, warm_asyncio_get])
def test_a_guard_costs_a_warm_get_nothing(warm_get: Any, server: ScriptedServer, counts: Counts[str]):
    """It is asked when a connection is made."""
    without = ours(warm_get(server.url, counts))
    assert ours(warm_get(server.url, counts, guard=lambda host, address, port: True)) == without


def layer(request: httpx.Request) -> Generator[Any, Any, Any]:
    return (yield request)


@pytest.mark.parametrize("get", [warm_sync_get, warm_asyncio_get])
def test_an_empty_list_of_middleware_costs_no_frame(server: ScriptedServer, counts: Counts[str], get: Any):
    assert get(server.url, counts, middleware=[]) == get(server.url, counts)


@pytest.mark.parametrize("get", [warm_sync_get, warm_asyncio_get])
def test_a_client_without_middleware_makes_nothing_for_it(
    server: ScriptedServer, counts: Counts[str], get: Any, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*args: Any) -> None:
        raise AssertionError("it was made")

    monkeypatch.setattr(_base_client, "Policy", refuse)
    monkeypatch.setattr(_base_client, "Layers", refuse)
    get(server.url, counts)


@pytest.mark.parametrize("get", [warm_sync_get, warm_asyncio_get])
def test_a_middleware_enters_few_frames(server: ScriptedServer, counts: Counts[str], get: Any):
    """The first takes a request through its journey; each further one is two generators."""
    none, one, two = (len(ours(get(server.url, counts, middleware=[layer] * number))) for number in range(3))
    assert one - none <= FIRST_LAYER
    assert two - one <= FURTHER_LAYER


def test_a_warm_get_in_sync_code_sends_once_and_receives_once(server: ScriptedServer, counts: Counts[str]):
    warm_sync_get(server.url, counts)
    assert counts["send"] == 1
    assert counts["receive"] == 1
    assert counts["poll"] <= 1  # is the connection still quiet?
    assert counts["wait"] <= 1  # for the answer
    assert server.connections == 1


def test_a_warm_get_on_asyncio_sends_once_and_receives_once(server: ScriptedServer, counts: Counts[str]):
    warm_asyncio_get(server.url, counts)
    assert counts["send"] == 1
    assert counts["receive"] == 1
    assert counts["poll"] <= 1
    assert counts["wait"] == 0  # that is the loop's
    assert server.connections == 1


def test_a_warm_get_reads_the_clock_as_often_as_its_limits_and_elapsed_need(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    """`Response.timings` is made of these readings, and costs none of its own."""
    counts: Counts[str] = Counter()

    def counting(name: str, clock: Any) -> Any:
        def read() -> float:
            counts[name] += 1
            time: float = clock()
            return time

        return read

    from httpx import _client, _response
    from httpx._engine import sync, sync_connection

    for module, name in (
        *((_client, "perf_counter"), (_response, "perf_counter")),
        *((sync, "monotonic"), (sync_connection, "monotonic")),
    ):
        monkeypatch.setattr(module, name, counting(name, getattr(module, name)))
    with httpx.Client() as client:
        client.get(server.url)
        counts.clear()
        response = client.get(server.url)
        assert counts == {"perf_counter": 3, "monotonic": 3}
        assert response._stamps is False
        assert response.timings.reused


def test_a_warm_get_on_asyncio_sets_one_timer_at_most(server: ScriptedServer, counts: Counts[str]):
    warm_asyncio_get(server.url, counts)
    assert counts["timer"] <= 1
    assert counts["future"] == 1  # what it waits for the answer with


def test_a_warm_get_on_asyncio_takes_no_lock(server: ScriptedServer, counts: Counts[str]):
    """An uncontended `asyncio.Lock` costs as much as a fifth of the request."""
    entered = warm_asyncio_get(server.url, counts)
    assert not [frame for frame in entered if frame.startswith(("asyncio.locks", "threading", "contextlib"))]


def test_a_warm_get_makes_no_log_record_when_logging_is_off(
    server: ScriptedServer, counts: Counts[str], records: list[logging.LogRecord]
):
    warm_sync_get(server.url, counts)
    warm_asyncio_get(server.url, counts)
    assert not records


def test_the_record_that_is_asked_for_is_made(
    server: ScriptedServer, counts: Counts[str], records: list[logging.LogRecord], caplog: pytest.LogCaptureFixture
):
    """The counter above counts."""
    with caplog.at_level(logging.INFO, logger="httpx"):
        warm_sync_get(server.url, counts)
    assert len(records) == 4


def of_both(thing: object) -> list[str]:
    """The attributes that an object has, and its class as well."""
    return [name for name in vars(thing) if hasattr(type(thing), name)]


def test_nothing_that_a_warm_get_sets_is_an_attribute_of_its_class_too(server: ScriptedServer):
    """The interpreter reaches such an attribute the long way, 40 ns and not 5; sixty were a tenth of the GET."""
    with httpx.Client() as client:
        for _ in range(2):
            response = client.get(server.url)
        check(response)
        assert of_both(response) == []
        assert of_both(response.request) == []


def test_nothing_that_an_exchange_sets_is_an_attribute_of_its_class_too():
    exchange = HTTP1Exchange(b"GET", b"/", [(b"Host", b"a")])
    exchange.take()
    exchange.receive(ANSWER)
    assert exchange.finished
    assert of_both(exchange) == []

    connection = HTTP2Connection()
    stream = connection.open(b"http", b"GET", b"/", [(b"Host", b"a")])
    fields = hpack.Encoder().encode([(b":status", b"200"), (b"content-length", b"2")])
    connection.receive(
        frames_of_http2.settings({})
        + frames_of_http2.header_block(1, fields, False, 16_384)
        + frames_of_http2.frame(frames_of_http2.DATA, frames_of_http2.END_STREAM, 1, b"ok")
    )
    assert (stream.finished, stream.chunks) == (True, [b"ok"])
    assert of_both(stream) == []


def grown() -> int:
    """Bytes that httpx has allocated and that are still in use."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot()
    kept = snapshot.filter_traces([tracemalloc.Filter(True, str(PACKAGE / "*"))])
    return sum(trace.size for trace in kept.traces)


@pytest.fixture
def _traced_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


# Requests before memory is looked at: Python 3.10 allocates caches for code that has run 1,024 times.
WARM = 1_100


@pytest.mark.usefixtures("_traced_memory")
def test_a_thousand_warm_gets_in_sync_code_leave_nothing_in_memory(server: ScriptedServer):
    with httpx.Client() as client:
        for _ in range(WARM):
            check(client.get(server.url))
        before = grown()
        for _ in range(1_000):
            client.get(server.url)
        assert grown() - before < LEAK


@pytest.mark.usefixtures("_traced_memory")
def test_a_thousand_warm_gets_on_asyncio_leave_nothing_in_memory(server: ScriptedServer):
    async def main() -> int:
        async with httpx.AsyncClient() as client:
            for _ in range(WARM):
                check(await client.get(server.url))
            before = grown()
            for _ in range(1_000):
                await client.get(server.url)
            return grown() - before

    assert run_on_loop(CountingLoop(Counter()), main()) < LEAK
