"""`_jsonl.py`: JSON Lines, cut anywhere."""

from __future__ import annotations

import functools
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx import DecodingError
from httpx._jsonl import JSONLinesDecoder
from support.counting import frames
from support.drivers import Driver, run_without_loop
from support.event_server import Answer, EventServer
from support.linear import linear
from support.wires import cuts

Cut = Callable[[bytes], "list[bytes]"]


def outcome(pieces: list[bytes], decoder: Optional[JSONLinesDecoder] = None) -> tuple[list[Any], Optional[str]]:
    """The values, and the text of the error."""
    decoder = decoder or JSONLinesDecoder()
    values = [value for piece in pieces for value in decoder.decode(piece)] + decoder.flush()
    assert decoder.flush() == []
    if decoder.error is None:
        return values, None
    assert isinstance(decoder.error, DecodingError)
    assert decoder.decode(b"1\n") == []
    return values, str(decoder.error)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_each_line_is_a_value(end: bytes, cut: Cut):
    body = end.join([b'{"a": 1}', b"[2, 3]", b'"x"', b"null", b"4.5", b""])
    assert outcome(cut(body)) == ([{"a": 1}, [2, 3], "x", None, 4.5], None)


def test_the_last_line_may_lack_its_end(cut: Cut):
    assert outcome(cut(b"1\n2")) == ([1, 2], None)
    assert outcome(cut(b"1\r\n2\r")) == ([1, 2], None)
    assert outcome([]) == ([], None)


def test_blank_lines_are_skipped(cut: Cut):
    assert outcome(cut(b"\n1\n\n\r\n \t\r\n2\n  3  \n\n \t")) == ([1, 2, 3], None)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
def test_only_lf_ends_a_line(separator: str, cut: Cut):
    """`iter_lines` splits where `str.splitlines` does, so JSON with U+2028 in it came in two halves."""
    assert outcome(cut(f'"a{separator}b"\n"c"\n'.encode())) == ([f"a{separator}b", "c"], None)


def test_cr_alone_is_a_blank_between_tokens(cut: Cut):
    assert outcome(cut(b"[1,\r2]\n")) == ([[1, 2]], None)


def test_a_byte_order_mark_at_the_beginning_is_dropped(cut: Cut):
    assert outcome(cut(b"\xef\xbb\xbf1\n2\n")) == ([1, 2], None)
    assert outcome(cut(b"\xef\xbb\xbf1"), JSONLinesDecoder(max_line_size=1)) == ([1], None)
    values, error = outcome(cut(b"1\n\xef\xbb\xbf2\n"))
    assert values == [1]
    assert error == r"line 2 is not JSON: b'\xef\xbb\xbf2'"


def test_record_separators_of_a_sequence_are_dropped(cut: Cut):
    body = b'\x1e{"a": 1}\n\x1e\x1e[2]\n\x1e\n\x1e 3\n4\n'
    assert outcome(cut(body), JSONLinesDecoder(is_sequence=True)) == ([{"a": 1}, [2], 3, 4], None)
    assert outcome(cut(body))[1] == r"""line 1 is not JSON: b'\x1e{"a": 1}'"""


def test_text_is_made_into_values_by_any_function(cut: Cut):
    assert outcome(cut(b" a \nb\r\n"), JSONLinesDecoder(loads=str.upper)) == (["A", "B"], None)


# Faults.


@pytest.mark.parametrize("bad", [b"{", b"1,2", b"[3", b"4]", b"x" * 100, b"nul", b"'a'"])
def test_a_line_that_is_not_json_is_an_error_after_the_values_before_it(bad: bytes, cut: Cut):
    for body in (b"1\n\n2\n" + bad + b"\n5\n", b"1\n\n2\n" + bad):
        assert outcome(cut(body)) == ([1, 2], f"line 4 is not JSON: {bad[:20]!r}")


def test_a_line_that_is_not_utf_8_is_an_error_after_the_values_before_it(cut: Cut):
    assert outcome(cut(b'1\n"\xff"\n2\n')) == ([1], r"""line 2 is not UTF-8 at byte 1: b'"\xff"'""")
    assert outcome(cut("1\n2\n".encode("utf-16-le")))[1] is not None
    assert outcome(cut(b'x\n"\xff"\n2\n')) == ([], "line 1 is not JSON: b'x'")


def test_the_cause_of_an_error_is_attached():
    decoder = JSONLinesDecoder()
    decoder.decode(b"{\n")
    assert isinstance(decoder.error, DecodingError)
    assert isinstance(decoder.error.__cause__, json.JSONDecodeError)
    decoder = JSONLinesDecoder()
    decoder.decode(b"\xff\n")
    assert isinstance(decoder.error, DecodingError)
    assert isinstance(decoder.error.__cause__, UnicodeDecodeError)


def test_deep_nesting_is_an_error_and_not_the_end_of_the_program():
    """A line of brackets made a RecursionError, which callers who catch httpx's errors did not expect."""
    values, error = outcome([b"1\n" + b"[" * 200_000 + b"]" * 200_000 + b"\n"])
    assert (values, error) == ([1], f"line 2 is not JSON: {b'[' * 20!r}")


def test_what_the_function_raises_besides_is_not_hidden():
    def loads(text: str) -> Any:
        raise KeyError(text)

    with pytest.raises(KeyError):
        JSONLinesDecoder(loads=loads).decode(b"a\n")


# Bounds.


def test_a_line_may_have_as_many_bytes_as_the_limit_and_not_one_more(cut: Cut):
    body = b'1\n"123456"\n2\n'
    assert outcome(cut(body), JSONLinesDecoder(max_line_size=8)) == ([1, "123456", 2], None)
    assert outcome(cut(body), JSONLinesDecoder(max_line_size=7)) == ([1], "line 2 has more than 7 bytes")
    assert outcome(cut(body[:10]), JSONLinesDecoder(max_line_size=7)) == ([1], "line 2 has more than 7 bytes")


def test_a_line_without_an_end_is_not_kept():
    decoder = JSONLinesDecoder(max_line_size=1000)
    tracemalloc.start()
    try:
        for _ in range(1000):
            decoder.decode(b"x" * 10_000)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert decoder.error is not None


@pytest.mark.parametrize("unit", [b"x", b"1\r\n", b"\n"])
@pytest.mark.parametrize("piece", [1, 1 << 20])
@pytest.mark.parametrize("limit", [None, 100])
def test_work_is_linear_however_the_body_is_cut(unit: bytes, piece: int, limit: Optional[int]):
    """A long line took quadratic time, as each piece was added to it anew."""

    def prepare(size: int):
        size = size // 4 if piece == 1 else size * 2
        body = unit * (size // len(unit))
        pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
        return lambda: outcome(pieces, JSONLinesDecoder(max_line_size=limit, loads=len))

    linear(prepare)


def test_a_line_in_tiny_pieces_takes_little_memory():
    """A peer that sent two bytes at a time made a line take thirty times its size."""
    decoder = JSONLinesDecoder()
    tracemalloc.start()
    try:
        for number in range(1 << 16):
            decoder.decode(b"%02x" % (number & 0xFF))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 18


def test_a_line_costs_no_frame_of_its_own():
    decoder = JSONLinesDecoder(loads=len)
    with frames() as entered:
        assert len(decoder.decode(b"{}\n" * 1000)) == 1000
    assert len(entered) < 10


# Every cut.

UNITS = st.sampled_from(
    [
        *(
            b"1",
            b'{"a": [2]}',
            b'"x"',
            b"{",
            b"\xff",
            b"\xc3\xa9",
            b"\xe2\x80\xa8",
            b" ",
            b"\t",
            b"\x1e",
            b"\xef\xbb\xbf",
        ),
        *([b"\n"] * 6 + [b"\r\n"] * 3 + [b"\r"]),
    ]
)


@given(
    st.lists(UNITS, max_size=20).map(b"".join),
    st.integers(0, 1000),
    st.sampled_from([None, 1, 5, 20]),
    st.booleans(),
)
def test_the_outcome_does_not_depend_on_the_cut(body: bytes, seed: int, limit: Optional[int], is_sequence: bool):
    first, *others = [
        outcome(pieces, JSONLinesDecoder(max_line_size=limit, is_sequence=is_sequence))
        for pieces in cuts(body, rounds=3, seed=seed)
    ]
    assert all(other == first for other in others)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.lists(each, max_size=3))


@given(st.lists(JSON, max_size=8), st.integers(0, 1000), st.booleans())
def test_what_was_written_comes_back(values: list[Any], seed: int, is_ascii: bool):
    body = b"".join(json.dumps(value, ensure_ascii=is_ascii).encode() + b"\n" for value in values)
    for pieces in cuts(body, rounds=2, seed=seed):
        assert outcome(pieces) == (values, None)


# Of a response, on all engines.


def response_of(pieces: list[bytes], is_async: bool, **fields: str) -> httpx.Response:
    class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter(pieces)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return httpx.Response(200, stream=Body(), headers=headers, request=httpx.Request("GET", "https://example.org/"))


async def values_of(response: httpx.Response, is_async: bool, **options: Any) -> list[Any]:
    if is_async:
        return [value async for value in response.aiter_jsonl(**options)]
    return list(response.iter_jsonl(**options))


both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both
def test_a_response_gives_every_kind_of_value(is_async: bool, cut: Cut):
    """Also those that are false, which no iteration may take for nothing."""
    body = '0\n""\r\nfalse\nnull\n[]\n{}\n\n"\u2028\x85"\n7'.encode()
    response = response_of(cut(body), is_async)
    assert run_without_loop(values_of(response, is_async)) == [0, "", False, None, [], {}, "\u2028\x85", 7]
    assert response.is_closed


@both
def test_a_response_that_was_read_gives_them_too_and_again(is_async: bool):
    response = httpx.Response(200, content=b"1\n2\n")
    for _ in range(2):
        assert run_without_loop(values_of(response, is_async)) == [1, 2]


@both
def test_a_text_sequence_and_a_charset_and_a_coding(is_async: bool):
    body = b"\x1e1\n\x1e2\n"
    for kind in ("application/json-seq", "Application/JSON-seq; charset=utf-16"):
        response = response_of([gzip.compress(body)], is_async, content_type=kind, content_encoding="gzip")
        assert run_without_loop(values_of(response, is_async)) == [1, 2]
    with pytest.raises(DecodingError, match="line 1 is not JSON"):
        run_without_loop(values_of(response_of([body], is_async), is_async))


@both
def test_a_bad_line_is_an_error_with_its_request_after_the_good_ones(is_async: bool):
    async def scenario() -> None:
        response = response_of([b"1\n2\nx\n3\n"], is_async)
        values: Any = response.aiter_jsonl() if is_async else response.iter_jsonl()
        got = []
        for _ in range(2):
            got.append(await values.__anext__() if is_async else next(values))
        assert got == [1, 2]
        with pytest.raises(DecodingError, match=r"^line 3 is not JSON: b'x'$") as caught:
            await values.__anext__() if is_async else next(values)
        assert caught.value.request is response.request
        assert isinstance(caught.value.__cause__, ValueError)

    run_without_loop(scenario())


@both
@pytest.mark.parametrize("pieces", [[b"1\n[23456789]\n"], [b"1\n[234", b"56789]"]])
def test_a_long_line_is_an_error(is_async: bool, pieces: list[bytes]):
    assert run_without_loop(values_of(response_of(pieces, is_async), is_async, max_line_size=10))[0] == 1
    with pytest.raises(DecodingError, match="line 2 has more than 9 bytes"):
        run_without_loop(values_of(response_of(pieces, is_async), is_async, max_line_size=9))


@both
def test_another_parser_may_be_used(is_async: bool):
    loads = functools.partial(json.loads, parse_float=str)
    assert run_without_loop(values_of(response_of([b"1.50\n"], is_async), is_async, loads=loads)) == ["1.50"]


@both
def test_a_limit_is_checked_when_it_is_given(is_async: bool):
    response = httpx.Response(200)
    method: Any = response.aiter_jsonl if is_async else response.iter_jsonl
    for value, kind in ((0, ValueError), ("1", TypeError)):
        with pytest.raises(kind):
            method(max_line_size=value)
    method(max_line_size=None)


def test_leaving_an_async_iteration_closes_it():
    async def scenario() -> None:
        values = response_of([b"1\n", b"2\n"], True).aiter_jsonl()
        assert await values.__anext__() == 1
        await values.aclose()
        with pytest.raises(StopAsyncIteration):
            await values.__anext__()
        await values.aclose()

    run_without_loop(scenario())


def test_lines_come_over_the_network_as_they_arrive(driver: Driver):
    with EventServer(Answer(b'{"a": 1}\n{"a": 2}\n{"a": ', end="stay")) as server:

        async def scenario(client: Any) -> None:
            async with client.stream("GET", server.url) as response:
                values = response.aiter_jsonl()
                assert [(await values.__anext__())["a"] for _ in range(2)] == [1, 2]

        driver.run(scenario)
