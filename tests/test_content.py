"""Bodies: which header fields describe them, how they are iterated, how often, and what is closed."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import json
import os
import pickle
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable
from urllib.parse import parse_qsl

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx._content import (
    AsyncIteratorByteStream,
    ByteStream,
    IteratorByteStream,
    UnattachedStream,
    encode_content,
    encode_html,
    encode_json,
    encode_multipart_data,
    encode_request,
    encode_response,
    encode_text,
    encode_urlencoded_data,
    in_async,
)
from httpx._exceptions import LocalProtocolError, StreamClosed, StreamConsumed
from httpx._files import FILE_PIECE, FileSource, is_async_file, measure
from httpx._types import AsyncByteStream, SyncByteStream

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Run an async function with either library. What it leaves suspended makes a warning, and so an error."""

    def runner(function: Callable[..., Any], *args: Any) -> Any:
        result = trio.run(function, *args) if request.param == "trio" else asyncio.run(function(*args))
        gc.collect()
        return result

    return runner


async def collect(stream: Any) -> list[bytes]:
    return [piece async for piece in stream]


class AsyncFile:
    """An async file, as anyio's and trio's are: `wrapped` is the sync one."""

    def __init__(self, file: Any) -> None:
        self.wrapped = file

    async def read(self, size: int = -1) -> Any:
        return self.wrapped.read(size)

    async def seek(self, position: int, whence: int = 0) -> int:
        return int(self.wrapped.seek(position, whence))

    async def tell(self) -> int:
        return int(self.wrapped.tell())


class AsyncStreamReader:
    """An async file that can do nothing but read, under either name."""

    def __init__(self, content: bytes, name: str = "read") -> None:
        self._file = io.BytesIO(content)
        if name == "aread":
            self.aread = self.read
            self.read = None  # type: ignore[method-assign, assignment]  # hides the method

    async def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class OnlyRead:
    """A thing that has `read` and nothing else, such as many progress bars."""

    def __init__(self, content: Any, opened: Any = io.BytesIO) -> None:
        self.read = opened(content).read


# Raw content


@pytest.mark.parametrize(
    ("content", "body"),
    [
        (b"abc", b"abc"),
        ("é", b"\xc3\xa9"),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (ByteStream(b"abc"), b"abc"),
    ],
)
def test_content_in_memory_has_a_length_and_can_be_iterated_again(content: Any, body: bytes, run: Any) -> None:
    headers, stream = encode_content(content)
    assert headers == {"Content-Length": str(len(body))}
    assert isinstance(stream, ByteStream)
    assert stream.body == body
    assert [*stream, *stream] == [body, body]
    assert run(collect, stream) + run(collect, stream) == [body, body]


@pytest.mark.parametrize("content", [b"", ""])
def test_empty_content_leaves_the_length_to_the_method(content: Any) -> None:
    headers, stream = encode_content(content)
    assert headers == {}
    assert list(stream) == [b""]  # type: ignore[arg-type]  # a ByteStream


@pytest.mark.parametrize("content", [1, None, {}, {"a": 1}, object(), os.environ])
def test_content_of_another_type_is_refused(content: Any) -> None:
    with pytest.raises(TypeError, match=f"content is {type(content).__name__}, expected"):
        encode_content(content)


@pytest.mark.parametrize("encode", [encode_content, encode_text, encode_html])
def test_half_a_surrogate_pair_is_no_text(encode: Any) -> None:
    with pytest.raises(LocalProtocolError, match="a lone surrogate at position 2"):
        encode("ab\ud800")


def test_a_list_is_chunked_and_can_be_iterated_again(run: Any) -> None:
    source: list[Any] = [b"a", bytearray(b"b"), memoryview(b"c"), b""]
    headers, stream = encode_content(source)
    assert headers == {"Transfer-Encoding": "chunked"}
    assert isinstance(stream, IteratorByteStream)
    assert list(stream) == list(stream) == [b"a", b"b", b"c", b""]
    assert [type(piece) for piece in stream] == [bytes] * 4
    assert run(collect, in_async(stream)) == [b"a", b"b", b"c", b""]


@pytest.mark.parametrize("piece", ["text", 1, None])
def test_pieces_that_are_no_bytes_are_refused(piece: Any, run: Any) -> None:
    with pytest.raises(TypeError, match="a body yields"):
        list(IteratorByteStream([b"a", piece]))

    async def pieces() -> AsyncIterator[Any]:
        yield b"a"
        yield piece

    async def consume() -> None:
        stream = AsyncIteratorByteStream(pieces())
        try:
            await collect(stream)
        finally:
            await stream.aclose()

    with pytest.raises(TypeError, match="a body yields"):
        run(consume)


@pytest.mark.parametrize(
    "make", [lambda: (b"%d" % n for n in range(2)), lambda: iter([b"0", b"1"]), lambda: map(bytes, [b"0", b"1"])]
)
def test_what_can_be_iterated_only_once_says_so_the_second_time(make: Any) -> None:
    """0.28.1 knew generators only: of another iterator, a redirect would have sent nothing."""
    stream = IteratorByteStream(make())
    assert list(stream) == [b"0", b"1"]
    with pytest.raises(StreamConsumed):
        list(stream)


def test_an_iterator_of_ones_own_may_begin_anew() -> None:
    class Again:
        def __iter__(self) -> Iterator[bytes]:
            self.left = [b"b", b"a"]
            return self

        def __next__(self) -> bytes:
            if not self.left:
                raise StopIteration
            return self.left.pop()

    stream = IteratorByteStream(Again())
    assert list(stream) == list(stream) == [b"a", b"b"]


def test_a_stream_of_the_callers_own_is_used_as_it_is() -> None:
    class Own(AsyncByteStream):
        pass

    own = Own()
    assert encode_content(own) == ({"Transfer-Encoding": "chunked"}, own)


def test_an_object_that_iterates_both_ways_does() -> None:
    class Both:
        def __iter__(self) -> Iterator[bytes]:
            yield b"sync"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"async"

    _, stream = encode_content(Both())
    assert isinstance(stream, SyncByteStream)
    assert isinstance(stream, AsyncByteStream)
    assert in_async(stream) is stream
    assert list(stream) == [b"sync"]
    assert asyncio.run(collect(stream)) == [b"async"]


def test_the_two_iterator_streams_can_be_combined_in_one_class() -> None:
    """pytest-httpx does, at import."""

    class Combined(AsyncIteratorByteStream, IteratorByteStream):
        def __init__(self) -> None:
            async def pieces() -> AsyncIterator[bytes]:
                yield b"async"

            AsyncIteratorByteStream.__init__(self, stream=pieces())
            IteratorByteStream.__init__(self, stream=iter([b"sync"]))

    stream = Combined()
    assert list(stream) == [b"sync"]
    assert asyncio.run(collect(stream)) == [b"async"]
    with pytest.raises(StreamConsumed):
        list(stream)


def test_sync_and_async_streams_are_told_apart_by_their_classes() -> None:
    sync, asynchronous = IteratorByteStream([]), AsyncIteratorByteStream(AsyncStreamReader(b""))  # type: ignore[arg-type]
    assert isinstance(sync, SyncByteStream)
    assert not isinstance(sync, AsyncByteStream)
    assert isinstance(asynchronous, AsyncByteStream)
    assert not isinstance(asynchronous, SyncByteStream)


# Being left early


def test_a_generator_that_is_left_early_is_closed() -> None:
    events = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            events.append("closed")

    source = pieces()
    iterator = iter(IteratorByteStream(source))
    assert next(iterator) == b"a"
    iterator.close()  # type: ignore[attr-defined]  # it is a generator
    assert events == ["closed"]

    source = pieces()
    stream = IteratorByteStream(source)
    stream.close()  # not begun: nothing to end
    assert next(iter(stream)) == b"a"
    stream.close()
    stream.close()
    assert events == ["closed"] * 2


def test_what_is_not_a_generator_is_not_closed() -> None:
    class Connection:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            return b"a"

        def close(self) -> None:
            self.closed = True

    source = Connection()
    stream = IteratorByteStream(source)
    assert next(iter(stream)) == b"a"
    stream.close()
    assert not source.closed
    file = io.BytesIO(b"abc")
    stream = IteratorByteStream(file)
    assert next(iter(stream)) == b"abc"
    stream.close()
    assert not file.closed


def test_an_async_upload_that_is_left_early_leaves_no_generator_behind(run: Any) -> None:
    """trio warns about async generators that are found by the garbage collector; a timed-out upload made three."""
    events = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            events.append("closed")

    async def upload(stream: Any) -> None:
        async for piece in stream:
            assert piece == b"a"
            break
        gc.collect()
        await stream.aclose()
        await stream.aclose()
        if isinstance(stream, AsyncIteratorByteStream):
            assert events == expected  # by now, not when the loop ends

    expected = ["closed"]
    _, stream = encode_content(pieces())
    run(upload, stream)
    run(upload, ByteStream(b"a"))
    run(upload, in_async(IteratorByteStream(iter([b"a", b"b"]))))
    run(upload, AsyncIteratorByteStream(AsyncFile(io.BytesIO(b"a"))))  # type: ignore[arg-type]  # a file


def test_a_view_for_async_code_closes_the_sync_stream(run: Any) -> None:
    def pieces() -> Iterator[bytes]:
        try:
            yield b"a"
        finally:
            events.append("closed")

    async def upload(view: AsyncByteStream) -> None:
        async for _ in view:
            break
        await view.aclose()

    for close in (lambda view: run(upload, view), lambda view: (next(iter(view)), view.close())):
        events: list[str] = []
        view = in_async(IteratorByteStream(pieces()))
        assert isinstance(view, SyncByteStream)
        close(view)
        assert events == ["closed"]


# Async content


def test_an_async_generator_is_chunked_and_can_be_iterated_once(run: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield b""
        yield bytearray(b"b")  # type: ignore[misc]  # is taken, too

    headers, stream = encode_content(pieces())
    assert headers == {"Transfer-Encoding": "chunked"}
    assert run(collect, stream) == [b"a", b"", b"b"]
    with pytest.raises(StreamConsumed):
        run(collect, stream)


def test_an_async_iterable_can_be_iterated_again(run: Any) -> None:
    class Again:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"a"

    class OwnIterator:
        def __aiter__(self) -> AsyncIterator[bytes]:
            self.left = [b"a"]
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    for source in (Again(), OwnIterator()):
        _, stream = encode_content(source)
        assert not isinstance(stream, SyncByteStream)
        assert run(collect, stream) == run(collect, stream) == [b"a"]


# Files


@pytest.mark.parametrize("position", [0, 2, 6, 9])
def test_a_file_is_sent_from_where_it_stands(position: int, run: Any) -> None:
    """0.28.1 gave the length of all of it, and then sent less."""
    left = b"abcdef"[position:]
    files: list[Any] = [io.BytesIO(b"abcdef"), AsyncFile(io.BytesIO(b"abcdef"))]
    for file in files:
        getattr(file, "wrapped", file).seek(position)
        headers, stream = encode_content(file)
        assert headers == {"Content-Length": str(len(left))}
        for _ in range(2):  # rewound to where it stood
            pieces = run(collect, in_async(stream))
            assert b"".join(pieces) == left
        if not isinstance(file, AsyncFile):
            assert b"".join(stream) == left  # type: ignore[arg-type]  # sync


@pytest.mark.parametrize("opened", [tempfile.TemporaryFile, tempfile.SpooledTemporaryFile, tempfile.NamedTemporaryFile])
def test_files_on_disk_are_read_in_pieces(opened: Any) -> None:
    with opened() as file:
        file.write(b"x" * (FILE_PIECE * 2 + 5))
        file.seek(5)
        headers, stream = encode_content(file)
        assert headers == {"Content-Length": str(FILE_PIECE * 2)}
        assert isinstance(stream, IteratorByteStream)
        assert [len(piece) for piece in stream] == [FILE_PIECE, FILE_PIECE]


def test_a_compressed_file_has_the_length_of_what_it_reads() -> None:
    """`fileno` of a gzip file is that of the compressed one, and 0.28.1 announced that length."""
    with tempfile.TemporaryFile() as raw:
        with gzip.open(raw, "wb") as packed:
            packed.write(b"x" * 10_000)
        raw.seek(0)
        with gzip.open(raw) as file:
            headers, stream = encode_content(file)
            assert headers == {"Content-Length": "10000"}
            assert b"".join(stream) == b"x" * 10_000  # type: ignore[arg-type]  # sync


@pytest.mark.parametrize("opened", [Pipe, OnlyRead])
def test_a_file_that_cannot_seek_is_chunked_and_read_once(opened: Any) -> None:
    headers, stream = encode_content(opened(b"abc"))
    assert headers == {"Transfer-Encoding": "chunked"}
    assert list(stream) == [b"abc"]  # type: ignore[arg-type]  # sync
    with pytest.raises(StreamConsumed):
        list(stream)  # type: ignore[arg-type]  # sync


@pytest.mark.parametrize("name", ["read", "aread"])
def test_an_async_file_that_cannot_seek_is_chunked_and_read_once(name: str, run: Any) -> None:
    headers, stream = encode_content(AsyncStreamReader(b"abc", name))  # type: ignore[arg-type]  # has no __aiter__
    assert headers == {"Transfer-Encoding": "chunked"}
    assert run(collect, stream) == [b"abc"]
    with pytest.raises(StreamConsumed):
        run(collect, stream)


def test_a_file_that_tells_but_cannot_seek_is_read_once(run: Any) -> None:
    class Download(OnlyRead):
        def tell(self) -> int:
            return 0

    class AsyncDownload(AsyncStreamReader):
        async def tell(self) -> int:
            return 0

    stream = IteratorByteStream(Download(b"abc"))  # type: ignore[arg-type]  # has no __iter__
    assert list(stream) == [b"abc"]
    with pytest.raises(StreamConsumed):
        list(stream)
    _, async_stream = encode_content(AsyncDownload(b"abc"))  # type: ignore[arg-type]  # has no __aiter__
    assert run(collect, async_stream) == [b"abc"]
    with pytest.raises(StreamConsumed):
        run(collect, async_stream)


def test_trios_files_are_async_files_of_known_length(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")

    async def main() -> None:
        async with await trio.open_file(path, "rb") as file:
            await file.seek(1)
            headers, stream = encode_content(file)
            assert headers == {"Content-Length": "5"}
            assert isinstance(stream, AsyncIteratorByteStream)
            assert await collect(stream) == await collect(stream) == [b"bcdef"]

    trio.run(main)


@pytest.mark.parametrize("file", [io.StringIO("x"), AsyncFile(io.StringIO("x"))])
def test_a_file_in_text_mode_is_refused(file: Any) -> None:
    with pytest.raises(TypeError, match="content is a file opened in text mode"):
        encode_content(file)


def test_text_of_what_only_looks_like_a_file_is_encoded() -> None:
    assert list(IteratorByteStream(OnlyRead("é", io.StringIO))) == ["é".encode()]  # type: ignore[arg-type]


def test_an_async_file_in_a_sync_client_is_an_error() -> None:
    source = FileSource(AsyncStreamReader(b"abc"))
    with pytest.raises(RuntimeError, match="cannot send an async file with a sync client"):
        list(source.pieces())


def test_a_sync_file_is_read_in_async_code(run: Any) -> None:
    async def read() -> list[bytes]:
        next_piece = await FileSource(io.BytesIO(b"abc")).open()
        pieces = [await next_piece()]
        with pytest.raises(StopAsyncIteration):
            await next_piece()
        return pieces

    assert run(read) == [b"abc"]


def test_async_iterators_are_iterable_themselves() -> None:
    for stream in (ByteStream(b""), AsyncIteratorByteStream(AsyncFile(io.BytesIO()))):  # type: ignore[arg-type]  # a file
        iterator = stream.__aiter__()
        assert iterator.__aiter__() is iterator


def test_what_is_an_async_file() -> None:
    assert is_async_file(AsyncStreamReader(b""))
    assert not is_async_file(io.BytesIO())
    assert not is_async_file([])
    assert measure(AsyncStreamReader(b"")) is None
    assert measure(AsyncFile(io.BytesIO(b"abc"))) == (0, 3)


# Forms


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ({"a": "1"}, b"a=1"),
        ({"a": ["1", 2, None, True, False, 1.5], "b": ("x",)}, b"a=1&a=2&a=&a=true&a=false&a=1.5&b=x"),
        ([("a", "1"), ("b", "2"), ("a", "3")], b"a=1&b=2&a=3"),
        ((("a", ["1", "2"]), ["b", "3"]), b"a=1&a=2&b=3"),
        ({"a b": "é &+~*"}, b"a+b=%C3%A9+%26%2B~%2A"),
        ({"a": b"\xff b"}, b"a=%FF+b"),
        ({1: 2}, b"1=2"),
        ({"a": []}, b""),
    ],
)
def test_forms_are_encoded_as_browsers_do(data: Any, body: bytes) -> None:
    headers, stream = encode_urlencoded_data(data)
    assert headers == {"Content-Length": str(len(body)), "Content-Type": FORM}
    assert stream.body == body


@settings(max_examples=100)
@given(pairs=st.lists(st.tuples(st.text(), st.text())))
def test_forms_come_out_as_they_went_in(pairs: list[tuple[str, str]]) -> None:
    try:
        _, stream = encode_urlencoded_data(pairs)
    except LocalProtocolError:
        return  # text that is none
    assert parse_qsl(stream.body.decode(), keep_blank_values=True) == pairs


@pytest.mark.parametrize("value", [{"x": 1}, [{"x": 1}], [["x"]], {"x"}])
def test_nested_form_values_are_refused_by_name(value: Any) -> None:
    """0.28.1 sent `str(value)`: Python's notation, which no server reads."""
    with pytest.raises(TypeError, match=r"data\['user'\] holds a (dict|list|set), expected"):
        encode_urlencoded_data({"user": value})


def test_a_form_with_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="surrogate"):
        encode_urlencoded_data({"a": "\ud800"})


# JSON, text, HTML


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"a": "é", "b": [1, 2.5, None]}, '{"a":"é","b":[1,2.5,null]}'),
        ("", '""'),
        (0, "0"),
        (False, "false"),
        ({}, "{}"),
    ],
)
def test_json_is_compact_utf_8(value: Any, body: str) -> None:
    headers, stream = encode_json(value)
    assert headers == {"Content-Length": str(len(body.encode())), "Content-Type": "application/json"}
    assert stream.body == body.encode()


def test_json_that_has_no_utf_8_form_is_escaped() -> None:
    _, stream = encode_json(["é", "\ud800"])
    assert stream.body == b'["\\u00e9","\\ud800"]'
    assert json.loads(stream.body) == ["é", "\ud800"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_refused(value: float) -> None:
    with pytest.raises(ValueError):
        encode_json(value)


def test_types_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(TypeError):
        encode_json(object())


# Requests and responses


def test_nothing_given_is_no_body() -> None:
    cases: list[dict[str, Any]] = [{}, {"data": {}}, {"data": []}, {"files": {}}, {"data": {}, "files": []}]
    for arguments in cases:
        headers, stream = encode_request(**arguments)
        assert headers == {}
        assert isinstance(stream, ByteStream)
        assert stream.body == b""


@pytest.mark.parametrize(
    ("arguments", "content_type", "body"),
    [
        ({"content": b"x"}, None, b"x"),
        ({"data": {"a": "b"}}, FORM, b"a=b"),
        ({"data": {"a": "b"}, "files": {}}, FORM, b"a=b"),
        ({"data": [("a", "b"), ("a", "c")]}, FORM, b"a=b&a=c"),
        ({"json": 0, "data": {}}, "application/json", b"0"),
    ],
)
def test_a_request_body_is_what_was_given(arguments: Any, content_type: Any, body: bytes) -> None:
    headers, stream = encode_request(**arguments)
    assert headers.get("Content-Type") == content_type
    assert headers["Content-Length"] == str(len(body))
    assert b"".join(stream) == body  # type: ignore[arg-type]  # sync


def test_data_with_files_is_multipart() -> None:
    headers, stream = encode_request(data=[("a", "b")], files={"f": b"x"}, boundary=b"B")
    assert headers["Content-Type"] == "multipart/form-data; boundary=B"
    body = b"".join(stream)  # type: ignore[arg-type]  # sync
    assert headers["Content-Length"] == str(len(body))
    assert b'name="a"' in body
    assert b'name="f"' in body
    assert encode_multipart_data({}, {"f": b"x"}, b"B")[0]["Content-Type"] == headers["Content-Type"]


def test_files_that_are_empty_but_true_make_a_multipart_body() -> None:
    """The clients of Stainless force multipart so, for operations whose files are optional."""

    class ForceMultipart(dict):  # type: ignore[type-arg]  # is empty
        def __bool__(self) -> bool:
            return True

    headers, stream = encode_request(data={"a": "b"}, files=ForceMultipart(), boundary=b"B")
    assert headers["Content-Type"] == "multipart/form-data; boundary=B"
    assert b'name="a"' in b"".join(stream)  # type: ignore[arg-type]  # sync


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        ({"content": b"", "json": {}}, "content", "json"),
        ({"content": b"x", "data": {"a": "b"}}, "content", "data"),
        ({"content": b"x", "files": {"f": b""}}, "content", "files"),
        ({"data": {"a": "b"}, "json": 1}, "data", "json"),
        ({"files": {"f": b""}, "json": 1}, "files", "json"),
        ({"data": {"a": "b"}, "files": {"f": b""}, "json": 1}, "data", "json"),
        ({"data": b"x", "files": {"f": b""}}, "data", "files"),
        ({"data": "x", "json": {}}, "data", "json"),
    ],
)
def test_two_bodies_are_refused(arguments: Any, first: str, second: str) -> None:
    """0.28.1 sent one of them and dropped the others without a word."""
    with pytest.raises(TypeError, match=f"{first} and {second} are both given"):
        encode_request(**arguments)


@pytest.mark.parametrize(
    ("data", "headers", "body"),
    [
        (b"raw", {"Content-Length": "3"}, b"raw"),
        ("str", {"Content-Length": "3"}, b"str"),
        (b"", {}, b""),
        ([b"a", b"b"], {"Transfer-Encoding": "chunked"}, b"ab"),
        (iter([b"a"]), {"Transfer-Encoding": "chunked"}, b"a"),
    ],
)
def test_raw_data_is_content_with_a_warning(data: Any, headers: Any, body: bytes) -> None:
    with pytest.warns(DeprecationWarning, match="Use 'content=<...>' to upload raw bytes/text content"):
        given_headers, stream = encode_request(data=data)
    assert given_headers == headers
    assert b"".join(stream) == body  # type: ignore[arg-type]  # sync


@pytest.mark.parametrize("arguments", [{"content": b'"x"'}, {"json": "x"}, {"files": {"f": b'"x"'}}])
def test_empty_raw_data_is_as_good_as_none(arguments: Any) -> None:
    _, stream = encode_request(data=b"", **arguments)  # type: ignore[arg-type]  # of old
    assert b'"x"' in b"".join(stream)  # type: ignore[arg-type]  # sync


@pytest.mark.parametrize(
    ("arguments", "headers", "body"),
    [
        ({}, {}, b""),
        ({"content": b""}, {}, b""),
        ({"content": b"a", "text": "b"}, {"Content-Length": "1"}, b"a"),
        ({"text": "é"}, {"Content-Length": "2", "Content-Type": "text/plain; charset=utf-8"}, "é".encode()),
        ({"text": ""}, {"Content-Length": "0", "Content-Type": "text/plain; charset=utf-8"}, b""),
        ({"html": "<p>"}, {"Content-Length": "3", "Content-Type": "text/html; charset=utf-8"}, b"<p>"),
        ({"json": []}, {"Content-Length": "2", "Content-Type": "application/json"}, b"[]"),
        ({"json": None}, {}, b""),
    ],
)
def test_a_response_body_is_the_first_that_was_given(arguments: Any, headers: Any, body: bytes) -> None:
    given_headers, stream = encode_response(**arguments)
    assert given_headers == headers
    assert list(given_headers) == list(headers)  # length first, on the wire too
    assert list(stream) == [body]  # type: ignore[arg-type]  # sync


@pytest.mark.parametrize("text", [b"bytes", 5, ["lines"]])
def test_text_of_a_response_is_text(text: Any) -> None:
    with pytest.raises(TypeError, match="text of a body must be a str"):
        encode_response(text=text)
    with pytest.raises(TypeError, match="HTML must be a str"):
        encode_response(html=text)


def test_an_unattached_stream_is_closed(run: Any) -> None:
    stream = pickle.loads(pickle.dumps(UnattachedStream()))
    with pytest.raises(StreamClosed):
        list(stream)
    with pytest.raises(StreamClosed):
        run(collect, stream)
