"""`_events.py`: Server-Sent Events, cut anywhere."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any, Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx import TransportError
from httpx._events import EventDecoder, ServerSentEvent, SSEError
from support.counting import frames
from support.linear import linear
from support.wires import cuts

Cut = Callable[[bytes], "list[bytes]"]


def decoded(pieces: list[bytes], decoder: Optional[EventDecoder] = None) -> list[ServerSentEvent]:
    decoder = decoder or EventDecoder()
    events = [event for piece in pieces for event in decoder.decode(piece)]
    assert decoder.error is None
    return events


def plainly_decoded(stream: bytes) -> list[ServerSentEvent]:
    """The standard's algorithm, line by line over the whole stream, with blocks without data as events."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events = []
    event, data, last_id, retry, has_id = "", "", "", None, False
    for line in text.split("\n")[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data or event or has_id or retry is not None:
                events.append(ServerSentEvent(event or "message", data.removesuffix("\n"), last_id, retry))
            event, data, retry, has_id = "", "", None, False
        elif name == "event":
            event = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            last_id, has_id = value, bool(value)
        elif name == "retry" and value and set(value) <= set("0123456789"):
            retry = int(value)
    return events


# What goes in, and (event, data, id) of what comes out; the first ones are those of the Web Platform Tests
# (eventsource/format-*), under their names.
FORMATS = {
    "bom": (b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n", [("message", "1", ""), ("message", "3", "")]),
    "bom-2": (b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n", [("message", "2", ""), ("message", "3", "")]),
    "comments": (
        b"data:1\r:\0\n:\r\ndata:2\n:" + b"x" * 2048 + b"\rdata:3\n:data:fail\r:" + b"x" * 2048 + b"\ndata:4\n\n",
        [("message", "1\n2\n3\n4", "")],
    ),
    "data-before-final-empty-line": (b"retry:1000\ndata:test1\n\nid:test\ndata:test2", [("message", "test1", "")]),
    "field-data": (
        b"data:\n\ndata\ndata\n\ndata:test\n\n",
        [("message", "", ""), ("message", "\n", ""), ("message", "test", "")],
    ),
    "field-event": (b"event:test\ndata:x\n\ndata:x\n\n", [("test", "x", ""), ("message", "x", "")]),
    "field-event-empty": (b"event: \ndata:data\n\n", [("message", "data", "")]),
    "field-id": ("id: …\ndata: hello\n\n".encode(), [("message", "hello", "…")]),
    "field-id-3 persists": (b"id: 1\ndata: 1\n\ndata: 2\n\n", [("message", "1", "1"), ("message", "2", "1")]),
    "field-id-3 changes": (
        b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\ndata: 3\n\n",
        [("message", "1", "1"), ("message", "2", "2"), ("message", "3", "2")],
    ),
    "field-id-3 resets": (
        b"id: 1\ndata: 1\n\nid:\ndata: 2\n\ndata: 3\n\n",
        [("message", "1", "1"), ("message", "2", ""), ("message", "3", "")],
    ),
    # The standard ignores an id with NUL.
    "field-id-null": (b"id:1\ndata:a\n\nid:2\0\ndata:b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
    "null-character": (b"data:\0\n\n\n\n", [("message", "\0", "")]),
    "utf-8": ("data:ok…\n\n".encode(), [("message", "ok…", "")]),
    # Ours.
    "odd fields": (
        b"data:\0\n data:2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
        [("message", "\0\n1\n3\n\n4", "")],
    ),
    "leading blanks": (b"data:\ttest\rdata: \ndata:  test\n\n", [("message", "\ttest\n\n test", "")]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_web_platform_tests_of_the_format(name: str, cut: Cut):
    stream, expected = FORMATS[name]
    assert [(event.event, event.data, event.id) for event in decoded(cut(stream))] == expected


@pytest.mark.parametrize(
    "separator", ["\u2028", "\u2029", "\u0085", "\v", "\f", "\x1c", "\x1d", "\x1e"], ids=lambda text: f"{ord(text):x}"
)
def test_only_cr_and_lf_end_lines(separator: str, cut: Cut):
    """Clients that used `str.splitlines` broke JSON with U+2028 in it into two lines."""
    assert decoded(cut(f"data: a{separator}data: b\n\n".encode())) == [("message", f"a{separator}data: b", "", None)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_may_end_in_three_ways_and_be_cut_in_its_end(end: bytes, cut: Cut):
    """A CR LF that was cut between two pieces made a blank line, and so half an event."""
    stream = end.join([b"event: a", b"data: 1", b"data: 2", b"", b"", b"data: 3", b"", b""])
    assert decoded(cut(stream)) == [("a", "1\n2", "", None), ("message", "3", "", None)]


def test_an_event_that_ends_with_cr_is_there_at_once():
    decoder = EventDecoder()
    assert decoder.decode(b"data: 1\r\r") == [("message", "1", "", None)]
    assert decoder.decode(b"\n") == []
    assert decoder.decode(b"") == []
    assert decoder.decode(b"\n") == []
    assert decoder.decode(b"data: 2\r\n\r") == [("message", "2", "", None)]
    assert decoder.decode(b"\ndata: 3\n\n") == [("message", "3", "", None)]


def test_bytes_that_are_not_utf_8_are_replaced(cut: Cut):
    assert decoded(cut(b"data: \xff\xe2\x82\ndata: \xe2\x82\xac\n\n")) == [("message", "\ufffd\ufffd\n€", "", None)]


def test_an_event_without_its_blank_line_is_not_one(cut: Cut):
    """Half an event at the end of a stream that broke was taken for a whole one."""
    assert decoded(cut(b"data: 1\n\ndata: 2\nid: 2\n")) == [("message", "1", "", None)]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"event: done\n\n", [("done", "", "7", None)]),
        (b"id: 8\n\n", [("message", "", "8", None)]),
        (b"id\n\n", []),
        (b"event:\n\n", []),
        (b"retry: 5\n\n", [("message", "", "7", 5)]),
        (b"retry: x\n\n", []),
        (b"id: \0\n\n", []),
        (b": comment\n\n", []),
        (b"unknown: 1\n\n", []),
        (b"\n\n\n", []),
    ],
)
def test_a_block_without_data_is_an_event_if_it_says_something(block: bytes, expected: Any, cut: Cut):
    assert decoded(cut(b"id: 7\ndata: x\n\n" + block))[1:] == expected


def test_the_last_id_is_that_of_complete_events():
    decoder = EventDecoder(last_event_id="start")
    assert decoded([b"data: a\n\n"], decoder) == [("message", "a", "start", None)]
    decoded([b"id: 1\ndata: a\n"], decoder)
    assert decoder.last_event_id == "start"
    decoded([b"\n"], decoder)
    assert decoder.last_event_id == "1"
    decoded([b"data: b\n\n", b"id\ndata: c\n\n"], decoder)
    assert decoder.last_event_id == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", 0),
        (b"3000", 3000),
        (b"00000000000000000000012", 12),
        (b"999999999999999", 999_999_999_999_999),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1.5", None),
        (b"1 ", None),
        ("٣".encode(), None),
        ("²".encode(), None),
        (b"1" * 16, None),
        (b"9" * 100_000, None),
    ],
)
def test_retry_is_ascii_digits_alone(value: bytes, expected: Optional[int]):
    decoder = EventDecoder()
    (event,) = decoded([b"retry: " + value + b"\ndata: x\n\n"], decoder)
    assert (event.retry, decoder.retry) == (expected, expected)
    (event,) = decoded([b"data: x\n\n"], decoder)
    assert (event.retry, decoder.retry) == (None, expected)


def test_data_can_be_read_as_json():
    event = ServerSentEvent(data='{"a": 1.5}')
    assert event.json() == {"a": 1.5}
    assert event.json(parse_float=str) == {"a": "1.5"}
    assert ServerSentEvent() == ("message", "", "", None)
    with pytest.raises(ValueError):
        ServerSentEvent(data="[DONE]").json()


# Bounds.


@pytest.mark.parametrize(
    "unit",
    [b"data: 123456\n", b": comment 12\n", b"unknown: 123\n", b"event: 12345\n", b"x" * 9 + b"\rx\n", b"x"],
)
def test_an_event_may_have_as_many_bytes_as_the_limit_and_not_one_more(unit: bytes):
    """Comments, unknown fields and a line without an end took memory, or time, without a bound."""
    block = b"data: a\n" + unit * 20
    block = block if unit[-1:] in b"\r\n" else block + b"\n"
    stream = b"data: before\n\n" + block + b"\ndata: after\n\n"
    for pieces in cuts(stream):
        decoder = EventDecoder(max_event_size=len(block) + 1)
        events = decoded(pieces, decoder)
        assert [event.data for event in events][::2] == ["before", "after"]
        decoder = EventDecoder(max_event_size=len(block))
        events = [event for piece in pieces for event in decoder.decode(piece)]
        assert [event.data for event in events] == ["before"]
        assert isinstance(decoder.error, SSEError)
        assert isinstance(decoder.error, TransportError)
        assert str(decoder.error) == f"an event of the stream has more than {len(block)} bytes"
        assert decoder.decode(b"data: more\n\n") == []


def test_a_line_without_an_end_is_not_kept():
    decoder = EventDecoder(max_event_size=1000)
    tracemalloc.start()
    try:
        for _ in range(1000):
            decoder.decode(b"x" * 10_000)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert decoder.error is not None


def test_without_a_limit_an_event_may_be_large():
    (event,) = decoded([b"data: "] + [b"x" * 100_000] * 30 + [b"\n\n"], EventDecoder(max_event_size=None))
    assert len(event.data) == 3_000_000


def test_an_id_that_no_header_could_carry_back_is_refused():
    for text in ("x" * 8_192, "é" * 4_096):
        assert decoded([f"id: {text}\ndata: a\n\n".encode()])[0].id == text
        decoder = EventDecoder()
        events = decoder.decode(f"data: before\n\nid: {text}x\ndata: a\n\ndata: after\n\n".encode())
        assert [event.data for event in events] == ["before"]
        assert str(decoder.error) == "an id of the stream has more than 8192 bytes"


def test_an_event_in_tiny_pieces_takes_little_memory():
    """A peer that sent two bytes at a time made an event take thirty times its size."""
    decoder = EventDecoder()
    tracemalloc.start()
    try:
        for number in range(1 << 16):
            decoder.decode(b"%02x" % (number & 0xFF))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 18


@pytest.mark.parametrize("unit", [b"x", b"data: x\n", b"data\r\n", b"\r", b":\n"])
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_work_is_linear_however_the_stream_is_cut(unit: bytes, piece: int):
    """CVE-2026-84378: a long line took quadratic time, as each piece was added to it anew."""

    def prepare(size: int):
        size = size // 4 if piece == 1 else size * 4
        stream = unit * (size // len(unit)) + b"\n\n"
        pieces = [stream[at : at + piece] for at in range(0, len(stream), piece)]
        return lambda: decoded(pieces, EventDecoder(max_event_size=None))

    linear(prepare)


@pytest.mark.parametrize("limit", [100, 1_000_000_000])
def test_many_events_in_one_piece_take_linear_time_near_the_limit(limit: int):
    def prepare(size: int):
        stream = b"data: x\n\n" * size
        return lambda: decoded([stream], EventDecoder(max_event_size=limit))

    linear(prepare, 1 << 13, 1 << 15)


def test_an_event_costs_no_frame_of_its_own():
    stream = b"event: delta\ndata: {}\n\n" * 1000
    decoder = EventDecoder()
    with frames() as entered:
        events = decoder.decode(stream)
    assert len(events) == 1000
    assert len(entered) < 10


# Every cut, and the standard's algorithm.

UNITS = st.sampled_from(
    [
        *(b"data: a", b"data:b", b"data", b"event: e", b"event:", b"event", b"id: 1", b"id", b"id: \0", b"retry: 7"),
        *(b"retry: x", b": c", b":", b"x", b" ", "é€😀".encode(), b"\xff", b"\xe2\x82", b"\xef\xbb\xbf", b"\0"),
        *([b"\n"] * 8 + [b"\r"] * 4 + [b"\r\n"] * 4),
    ]
)


@given(st.lists(UNITS, max_size=30).map(b"".join), st.integers(0, 1000))
def test_any_cut_of_any_stream_gives_what_the_standard_says(stream: bytes, seed: int):
    for pieces in cuts(stream, rounds=3, seed=seed):
        assert decoded(pieces) == plainly_decoded(stream)


@given(st.lists(UNITS, max_size=30).map(b"".join), st.integers(0, 1000), st.integers(1, 30))
def test_the_limit_does_not_depend_on_the_cut(stream: bytes, seed: int, limit: int):
    outcomes = []
    for pieces in cuts(stream, rounds=3, seed=seed):
        decoder = EventDecoder(max_event_size=limit)
        outcomes.append(([event for piece in pieces for event in decoder.decode(piece)], str(decoder.error)))
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_errors_and_events_survive_pickling():
    decoder = EventDecoder(max_event_size=1)
    decoder.decode(b"xx")
    error = pickle.loads(pickle.dumps(decoder.error))
    assert (type(error), str(error)) == (SSEError, str(decoder.error))
    event = ServerSentEvent("a", "b", "c", 1)
    assert pickle.loads(pickle.dumps(event)) == event
