"""
Reading and streaming a response's body, in sync and async code alike.

Where httpx 0.28.1 does something else, the test's docstring says why; all the rest was compared with it as it runs.
"""

from __future__ import annotations

import asyncio
import gc
import pickle
import tracemalloc
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

import httpx
from httpx._reading import MAX_DRAIN, merge_chunks
from httpx._request import Request
from httpx._response import ArrivedStream, Response
from support.bodies import (
    GZIPPED,
    KNOWN,
    TEXT,
    URL,
    OnlyAsync,
    OnlySync,
    Stream,
    bodies,
    close,
    collect,
    from_wire,
    read,
)
from support.drivers import Driver, run_without_loop
from support.servers import ScriptedServer, expect_head, send, silence

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


def test_chunks_that_arrived_together_can_be_one_piece(driver: Driver):
    """For event streams, whose work per piece is large; it does not wait for more."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"3\r\none\r\n3\r\ntwo\r\n"

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url) as response:
            merge_chunks(response.inner if not driver.is_async else response)
            assert await response.aiter_bytes().__anext__() == b"onetwo"
        async with client.stream("GET", server.url) as response:
            assert await response.aiter_bytes().__anext__() == b"one"

    with ScriptedServer([expect_head(), send(head + chunks), silence()]) as server:
        driver.run(scenario)
    merge_chunks(Response(200, content=b"x"))


def test_chunks_that_arrived_together_stay_apart_in_a_whole_body(driver: Driver):
    """A program that takes each chunk for a record must not depend on whether the body came together with the head."""
    records = [b'{"a": 1}\n', b'{"b": 2}\n', b'{"c": 3}\n']
    body = b"".join(b"%x\r\n%b\r\n" % (len(record), record) for record in records)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def scenario(client: Any) -> None:
        for method in ("aiter_raw", "aiter_bytes"):
            async with client.stream("GET", server.url) as response:
                assert [piece async for piece in getattr(response, method)()] == records
        async with client.stream("GET", server.url) as response:
            assert [value async for value in response.aiter_jsonl()] == [{"a": 1}, {"b": 2}, {"c": 3}]
        async with client.stream("GET", server.url) as response:
            assert await response.aread() == b"".join(records)
            assert [piece async for piece in response.aiter_bytes()] == [b"".join(records)]
        response = await client.get(server.url)
        assert response.content == b"".join(records)
        assert response.num_bytes_downloaded == len(response.content)

    with ScriptedServer([expect_head(), send(head + body + b"0\r\n\r\n")]) as server:
        driver.run(scenario)


def test_a_whole_body_in_chunks_is_in_memory_once_when_it_is_read():
    response = from_wire(b"onetwo")
    response._whole = ArrivedStream(b"onetwo", [b"one", b"two"])
    pickle.dumps(response)
    assert response.read() == b"onetwo"
    assert response._whole is None


class TinyPieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces of two bytes, each an object of its own."""

    merges = False

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[bytes]:
        return (bytes((65, 66 + number % 8)) for number in range(self.count))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("how", ["read", "iter_bytes", "iter_text"])
def test_a_body_in_tiny_pieces_takes_no_more_memory_than_its_bytes(how: str, is_async: bool):
    """A server that sent two bytes in each chunk filled 28 times the memory that `max_response_size` allows."""
    count = 50_000

    async def main() -> None:
        response = Response(200, stream=TinyPieces(count))
        if how == "read":
            body = [await read(response, is_async)]
        else:
            body = await collect(response, is_async, how, 1_000_000)
        assert sum(map(len, body)) == 2 * count

    run_without_loop(main())
    tracemalloc.start()
    try:
        run_without_loop(main())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * count


@pytest.mark.parametrize("is_async", [False, True])
def test_chunks_that_arrive_together_are_read_as_one(is_async: bool):
    stream = TinyPieces(1)
    run_without_loop(read(Response(200, stream=stream), is_async))
    assert stream.merges


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an async function on a real event loop."""
    return Driver(request.param).run_bare


@pytest.mark.parametrize("body", KNOWN)
def test_reading_gives_the_body(driver: Driver, body: str):
    async def main() -> None:
        response = bodies()[body]
        assert await read(response, driver.is_async) == TEXT
        assert await read(response, driver.is_async) is response.content
        assert response.text == TEXT.decode()
        assert response.is_closed
        assert response.is_stream_consumed

    driver.run_bare(main)


@pytest.mark.parametrize("body", KNOWN)
@pytest.mark.parametrize("size", [(), (None,), (1,), (5,), (1000,)])
def test_iterating_gives_the_body_in_pieces(body: str, size: tuple[Any, ...]):
    for is_async in (False, True):
        response = bodies()[body]
        got = run_without_loop(collect(response, is_async, "iter_bytes", *size))
        assert b"".join(got) == TEXT
        assert all(got)
        if size and size[0] is not None:
            assert [len(piece) for piece in got[:-1]] == [size[0]] * (len(got) - 1)
        assert response.is_closed
        response = bodies()[body]
        texts = run_without_loop(collect(response, is_async, "iter_text", *size))
        assert "".join(texts) == TEXT.decode()
        if size and size[0] is not None:
            assert [len(piece) for piece in texts[:-1]] == [size[0]] * (len(texts) - 1)
        response = bodies()[body]
        lines = run_without_loop(collect(response, is_async, "iter_lines"))
        assert lines == ["Hello, world!", "second line", "third"]


def test_empty_lines_are_lines_and_empty_pieces_are_none():
    """Harm: an empty line ends an event of a server-sent stream."""
    for is_async in (False, True):
        streamed = Response(200, stream=Stream(b"a\n", b"", b"\nb\r\n\r\n"))
        for response in (Response(200, content=b"a\n\nb\r\n\r\n"), streamed):
            assert run_without_loop(collect(response, is_async, "iter_lines")) == ["a", "", "b", ""]
        response = Response(200, stream=Stream(b"", b"a", b""))
        assert run_without_loop(collect(response, is_async, "iter_raw")) == [b"a"]


@pytest.mark.parametrize("body", KNOWN)
def test_raw_bytes_are_those_of_the_wire_and_can_be_had_once(body: str):
    for is_async in (False, True):
        response = bodies()[body]
        if response.is_closed:
            with pytest.raises(httpx.StreamConsumed):
                run_without_loop(collect(response, is_async, "iter_raw"))
            continue
        expected = GZIPPED if "gzip" in body else None
        got = b"".join(run_without_loop(collect(response, is_async, "iter_raw", 4)))
        assert got == (expected or got)
        assert response.num_bytes_downloaded == len(got)
        for again in ("iter_raw", "iter_bytes", "iter_text", "iter_lines"):
            with pytest.raises(httpx.StreamConsumed):
                run_without_loop(collect(response, is_async, again))
        with pytest.raises(httpx.StreamConsumed):
            run_without_loop(read(response, is_async))
        with pytest.raises(httpx.ResponseNotRead):
            _ = response.content


def test_bytes_are_counted_as_they_arrive_and_before_decoding():
    for is_async in (False, True):
        response = bodies()["gzip, byte by byte"]
        assert response.num_bytes_downloaded == 0
        run_without_loop(read(response, is_async))
        assert response.num_bytes_downloaded == len(GZIPPED)


def test_progress_can_be_seen_while_streaming():
    response = Response(200, stream=Stream(b"ab", b"cde"))
    assert [response.num_bytes_downloaded for _ in response.iter_bytes()] == [2, 5]


@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize("method", ["iter_raw", "iter_bytes", "iter_text"])
def test_a_size_that_makes_no_sense_is_refused(method: str, size: int):
    """Harm: 0.28.1 yielded empty pieces, or lost all but the first."""
    for is_async in (False, True):
        with pytest.raises(ValueError):
            run_without_loop(collect(Response(200, content=b"abc"), is_async, method, size))


@pytest.mark.parametrize("method", ["iter_bytes", "iter_text", "iter_lines"])
def test_a_body_that_was_read_can_be_iterated_again_and_again(method: str):
    for is_async in (False, True):
        response = Response(200, content=TEXT)
        first = run_without_loop(collect(response, is_async, method))
        assert run_without_loop(collect(response, is_async, method)) == first


@pytest.mark.parametrize("method", ["iter_raw", "iter_bytes", "iter_text", "iter_lines"])
def test_a_response_that_was_closed_has_no_body(method: str):
    for is_async in (False, True):
        response = Response(200, stream=Stream(b"a"))
        run_without_loop(close(response, is_async))
        with pytest.raises(httpx.StreamClosed):
            run_without_loop(collect(response, is_async, method))
        with pytest.raises(httpx.StreamClosed):
            run_without_loop(read(response, is_async))


def test_closing_closes_the_stream_once():
    for is_async in (False, True):
        stream = Stream(b"a")
        response = Response(200, stream=stream)
        for _ in range(2):
            run_without_loop(close(response, is_async))
        assert stream.closed == 1
        assert response.is_closed
        assert not response.is_stream_consumed


@pytest.mark.parametrize("method", ["iter_raw", "iter_bytes", "iter_text", "iter_lines"])
def test_iterating_on_over_a_response_that_was_closed_is_an_error(method: str):
    """Harm otherwise: half a body passes for a whole one."""
    response = Response(200, stream=Stream(b"a\n", b"b\n"))
    pieces = getattr(response, method)()
    next(pieces)
    response.close()
    with pytest.raises(httpx.StreamClosed):
        list(pieces)

    async def in_async_code() -> None:
        response = Response(200, stream=Stream(b"a\n", b"b\n"))
        pieces = getattr(response, f"a{method}")()
        await pieces.__anext__()
        await response.aclose()
        with pytest.raises(httpx.StreamClosed):
            async for _ in pieces:
                pass

    run_without_loop(in_async_code())


def test_a_body_that_came_whole_was_not_cut_by_closing():
    for is_async in (False, True):
        response = Response._from_wire((200, b"OK", [], b"HTTP/1.1"), False, b"all", None)

        async def scenario(response: Response = response, is_async: bool = is_async) -> None:
            if is_async:
                pieces = response.aiter_raw()
                assert await pieces.__anext__() == b"all"
                await response.aclose()
                assert [piece async for piece in pieces] == []
            else:
                rest = response.iter_raw()
                assert next(rest) == b"all"
                response.close()
                assert list(rest) == []

        run_without_loop(scenario())


def test_a_body_read_to_its_end_closes_the_stream_and_one_given_up_does_not():
    for is_async in (False, True):
        stream = Stream(b"a", b"b")
        response = Response(200, stream=stream)
        run_without_loop(collect(response, is_async, "iter_raw"))
        assert (stream.closed, response.is_closed) == (1, True)
    stream = Stream(b"a", b"b")
    response = Response(200, stream=stream)
    assert next(response.iter_raw()) == b"a"
    assert (stream.closed, response.is_closed) == (0, False)
    response.close()
    assert stream.closed == 1


def test_a_sync_body_in_async_code_is_refused_and_the_other_way_round():
    sync, asynchronous = Response(200, stream=OnlySync()), Response(200, stream=OnlyAsync())
    for method in ("iter_raw", "iter_bytes", "iter_text", "iter_lines"):
        with pytest.raises(RuntimeError, match="is a sync stream"):
            run_without_loop(collect(sync, True, method))
        with pytest.raises(RuntimeError, match="is an async stream"):
            run_without_loop(collect(asynchronous, False, method))
    with pytest.raises(RuntimeError):
        run_without_loop(sync.aread())
    with pytest.raises(RuntimeError):
        asynchronous.read()
    with pytest.raises(RuntimeError, match="belongs to a sync client"):
        run_without_loop(sync.aclose())
    with pytest.raises(RuntimeError, match="belongs to an async client"):
        asynchronous.close()
    # None of it has touched the bodies.
    assert sync.read() == run_without_loop(asynchronous.aread()) == b"Hello, world!"


def test_what_was_used_up_is_consumed_whichever_way_it_is_asked_for_again():
    response = Response(200, stream=OnlySync())
    response.read()
    with pytest.raises(httpx.StreamConsumed):
        run_without_loop(collect(response, True, "iter_raw"))


# Responses: errors in the body.


@pytest.mark.parametrize("method", ["iter_bytes", "iter_text", "iter_lines"])
def test_a_decoding_error_knows_its_request(method: str):
    for is_async in (False, True):
        for stream in (Stream(b"no gzip at all"), Stream(GZIPPED[:-3])):
            request = Request("GET", URL)
            response = Response(200, headers={"Content-Encoding": "gzip"}, stream=stream, request=request)
            with pytest.raises(httpx.DecodingError) as caught:
                run_without_loop(collect(response, is_async, method))
            assert caught.value.request is request


def test_too_many_codings_are_a_decoding_error_that_knows_its_request():
    for is_async in (False, True):
        request = Request("GET", URL)
        headers = {"Content-Encoding": ", ".join(["gzip"] * 6)}
        response = Response(200, headers=headers, stream=Stream(b""), request=request)
        with pytest.raises(httpx.DecodingError) as caught:
            run_without_loop(read(response, is_async))
        assert caught.value.request is request


def test_a_decoding_error_without_a_request_is_still_one():
    for is_async in (False, True):
        response = Response(200, headers={"Content-Encoding": "gzip"}, stream=Stream(b"no gzip"))
        with pytest.raises(httpx.DecodingError):
            run_without_loop(read(response, is_async))


def test_a_body_in_memory_that_does_not_decode_is_an_error_at_once():
    with pytest.raises(httpx.DecodingError):
        Response(200, headers={"Content-Encoding": "gzip"}, content=b"no gzip")


class Failing(Stream):
    """Fails in the middle, and again when it is closed."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"
        raise httpx.ReadError("gone")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"
        raise httpx.ReadError("gone")

    def close(self) -> None:
        raise httpx.CloseError("stuck")

    async def aclose(self) -> None:
        raise httpx.CloseError("stuck")


def test_errors_of_a_stream_know_the_request():
    for is_async in (False, True):
        request = Request("GET", URL)
        response = Response(200, stream=Failing(), request=request)
        with pytest.raises(httpx.ReadError) as caught:
            run_without_loop(read(response, is_async))
        assert caught.value.request is request
        assert not response.is_closed
        with pytest.raises(httpx.CloseError) as stuck:
            run_without_loop(close(response, is_async))
        assert stuck.value.request is request


# Responses: iterators that are abandoned.


@pytest.mark.parametrize("make", [lambda: Stream(b"a", b"b"), OnlyAsync])
def test_an_iterator_can_be_abandoned_without_a_warning(run: Run, make: Callable[[], Any]):
    """Harm: trio warns of async generators that it has to finish, asyncio finishes them in a task of its own."""

    async def main() -> None:
        response = Response(200, stream=make())
        async for _ in response.aiter_text():
            break
        await response.aclose()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main)
        gc.collect()


def test_a_generator_that_is_given_up_runs_its_finally_before_the_stream_is_closed(run: Run):
    order: list[str] = []

    class Careful(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                yield b"a"
                yield b"b"
            finally:
                order.append("generator")

        async def aclose(self) -> None:
            order.append("stream")

    async def main() -> None:
        response = Response(200, stream=Careful())
        async for _ in response.aiter_raw():
            break
        assert order == []
        await response.aclose()

    run(main)
    assert order == ["generator", "stream"]


def test_a_response_can_be_closed_while_another_task_reads_it():
    """Harm: an async generator that is running cannot be closed; that must not keep the stream from being."""
    closed = []

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            closed.append(True)

    async def main() -> None:
        response = Response(200, stream=Slow())
        task = asyncio.ensure_future(response.aread())
        for _ in range(3):
            await asyncio.sleep(0)
        await response.aclose()
        assert closed == [True]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_an_iterator_can_be_closed_before_and_while_it_is_used():
    async def main() -> None:
        response = Response(200, stream=Stream(b"a", b"b"))
        unused = response.aiter_bytes()
        await unused.aclose()  # type: ignore[attr-defined]
        assert [piece async for piece in unused] == []
        used = response.aiter_bytes()
        assert await used.__anext__() == b"a"
        await used.aclose()  # type: ignore[attr-defined]
        assert [piece async for piece in used] == []
        await response.aclose()

    run_without_loop(main())


def test_an_iterator_that_is_at_its_end_stays_there():
    async def main() -> None:
        iterator = Response(200, content=b"a").aiter_bytes()
        assert [piece async for piece in iterator] == [b"a"]
        assert [piece async for piece in iterator] == []

    run_without_loop(main())


# Responses: limits.


@pytest.mark.parametrize(
    "body", [name for name in KNOWN if name not in ("in memory", "in memory, gzip", "already read")]
)
def test_a_body_that_is_too_large_is_not_kept(body: str):
    for is_async in (False, True):
        response = bodies()[body]
        response.request = Request("GET", URL)
        response._max_size = len(TEXT) - 1
        with pytest.raises(httpx.ResponseTooLarge, match="larger than max_response_size, 31 bytes") as caught:
            run_without_loop(read(response, is_async))
        assert caught.value.request.url == URL
        assert not hasattr(response, "_content")
        response = bodies()[body]
        response._max_size = len(TEXT)
        assert run_without_loop(read(response, is_async)) == TEXT


# Responses: what is not asked for (redirects).


async def drain(response: Response, is_async: bool) -> None:
    if is_async:
        await response._adrain()
    else:
        response._drain()


@pytest.mark.parametrize("body", KNOWN)
def test_a_drained_response_is_off_the_wire_and_readable_all_the_same(body: str):
    for is_async in (False, True):
        for how in ("content", "read", "aread", "iter_bytes", "aiter_text", "pickle", "text"):
            response = bodies()[body]
            run_without_loop(drain(response, is_async))
            run_without_loop(drain(response, is_async))
            assert response.is_closed
            assert response.is_stream_consumed
            if how in ("read", "aread"):
                assert run_without_loop(read(response, how == "aread")) == TEXT
            elif how == "iter_bytes":
                assert b"".join(response.iter_bytes()) == b"".join(response.iter_bytes()) == TEXT
            elif how == "aiter_text":
                assert "".join(run_without_loop(collect(response, True, "iter_text"))) == TEXT.decode()
            elif how == "pickle":
                response = pickle.loads(pickle.dumps(response))
            elif how == "text":
                assert response.text == TEXT.decode()
            assert response.content == TEXT
            with pytest.raises(httpx.StreamConsumed):
                list(response.iter_raw())


def test_a_body_that_nobody_asked_for_is_not_decoded():
    """Harm: a redirect with a decompression bomb for a body (CVE-2025-66471) costs nothing until somebody looks."""
    for is_async in (False, True):
        response = Response(
            302, headers={"Content-Encoding": "gzip"}, stream=Stream(b"no gzip"), request=Request("GET", URL)
        )
        run_without_loop(drain(response, is_async))
        for ask in ("content", "text", "read", "json", "iter_bytes"):
            with pytest.raises(httpx.DecodingError) as caught:
                ask_for(response, ask)
            assert caught.value.request.url == URL


def ask_for(response: Response, name: str) -> Any:
    value = getattr(response, name)
    return list(value() if callable(value) else value)


def test_the_limit_holds_for_a_drained_body_too():
    response = bodies()["gzip"]
    response._drain()
    response._max_size = 5
    with pytest.raises(httpx.ResponseTooLarge, match="max_response_size"):
        _ = response.content


@pytest.mark.parametrize("is_async", [False, True])
def test_a_large_body_that_nobody_asked_for_is_given_up(is_async: bool):
    """Harm: a redirect with an endless body would be read for ever. A new connection is cheaper."""
    part = b"x" * (MAX_DRAIN // 4)
    for count, is_kept in ((4, True), (5, False)):
        stream = Stream(*[part] * count)
        response = Response(302, stream=stream)
        run_without_loop(drain(response, is_async))
        assert response.is_closed
        assert stream.closed == 1
        if is_kept:
            assert response.content == part * count
        else:
            with pytest.raises(httpx.ResponseNotRead):
                _ = response.content
            with pytest.raises(httpx.StreamConsumed):
                response.read()


def test_a_response_that_was_closed_is_not_drained():
    response = Response(302, stream=Stream(b"a"))
    response.close()
    response._drain()
    run_without_loop(response._adrain())
    with pytest.raises(httpx.ResponseNotRead):
        _ = response.content
