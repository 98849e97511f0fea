"""
What hostile peers try on HTTP/2, and what it must never lead to: one rule, one test, its harm.

Each attack ends in a `RemoteProtocolError` on the stream or on the connection, or is ignored where RFC 9113 says so; in
bounded memory and output. Attacks are cut in several ways, and end in the same way in each.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from typing import Any, Callable, Optional

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._protocol import frames, http2, huffman
from httpx._protocol.exchange import NOTHING, HeadLimits
from httpx._protocol.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from httpx._protocol.http2 import MAX_LENT, MAX_USELESS_FRAMES, STREAM_WINDOW, HTTP2Connection
from httpx._protocol.stream2 import HTTP2Stream
from support.frame_reader import split
from support.wires import cuts

Fields = list[tuple[bytes, bytes]]

HOST = (b"Host", b"victim.example")
OK = b"\x88"  # :status 200
HEAD = frame(HEADERS, END_HEADERS, 1, OK)
CALM = frames.ENHANCE_YOUR_CALM
# More frames than are put up with; some floods count half of theirs.
FLOOD = MAX_USELESS_FRAMES + 1


def literal(name: bytes, value: bytes) -> bytes:
    """A field of a block, without table and Huffman code; names and values below 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def asked(streams: int = 1, fields: Optional[Fields] = None, **kwargs: Any) -> HTTP2Connection:
    """A connection whose peer has said its SETTINGS, with requests under way; nothing is in its output."""
    connection = HTTP2Connection()
    connection.receive(frames.settings({}))
    for _ in range(streams):
        connection.open(b"https", b"GET", b"/", [HOST, *(fields or [])], **kwargs)
    while connection.output:
        connection.take()
    return connection


def told(connection: HTTP2Connection, kind: int) -> list[int]:
    """The error codes of the frames of this kind that we send now."""
    found, rest = split(connection.take(), 2**24)
    assert rest == b""
    return [frames.number(payload[4 if kind == GOAWAY else 0 :]) for got, _, _, payload in found if got == kind]


def loses(*attack: bytes, code: int = frames.PROTOCOL_ERROR, rounds: int = 2, whole: bool = False) -> str:
    """The error with which the connection ends, and both streams with it; the same however the bytes are cut."""
    message = b"".join(attack)
    text = ""
    for pieces in [[message]] if whole else cuts(message, rounds=rounds):
        connection = asked(2)
        streams = list(connection.streams.values())
        for piece in pieces:
            connection.receive(piece)
        assert type(connection.error) is httpx.RemoteProtocolError
        assert told(connection, GOAWAY) == [code]
        for stream in streams:
            assert stream.finished or type(stream.error) is httpx.RemoteProtocolError
            assert stream.need == NOTHING
            assert not stream.refused
        assert connection.capacity == 0
        assert not text or text == str(connection.error)
        text = str(connection.error)
        assert len(text) < 200
    return text


def fails(*attack: bytes, code: int = frames.PROTOCOL_ERROR, **kwargs: Any) -> str:
    """The error with which stream 1 ends, and nothing else does: stream 3 is answered afterwards."""
    text = ""
    for pieces in cuts(b"".join(attack), rounds=2):
        connection = asked(2, **kwargs)
        first, second = connection.streams.values()
        for piece in pieces:
            connection.receive(piece)
        assert connection.error is None
        assert type(first.error) is httpx.RemoteProtocolError
        assert first.need == NOTHING
        assert not first.finished
        assert not first.reusable
        assert told(connection, RST_STREAM) == [code]
        connection.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3, OK))
        assert second.finished
        text = str(first.error)
        assert len(text) < 200
    return text


def ignored(*attack: bytes) -> HTTP2Connection:
    """The connection after bytes that change nothing."""
    connection = asked(2)
    connection.receive(b"".join(attack))
    assert connection.error is None
    connection.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3, OK))
    return connection


# -- sizes


def test_a_frame_larger_than_we_allow_is_refused_by_its_head() -> None:
    """We would keep 16 MB of it before we saw what it is."""
    assert "a frame has 16385 bytes" in loses(frame(DATA, 0, 1, bytes(16_385))[:9], code=frames.FRAME_SIZE_ERROR)
    loses(b"\xff" * 9, code=frames.FRAME_SIZE_ERROR)


def test_what_came_before_a_frame_that_is_too_large_still_counts() -> None:
    """Whether an answer is there would depend on where the network cuts."""
    good = frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)
    loses(good + b"\xff" * 9, code=frames.FRAME_SIZE_ERROR)
    connection = asked(1)
    stream = connection.streams[1]
    connection.receive(good + b"\xff" * 9)
    assert stream.finished
    assert stream.error is None


@pytest.mark.parametrize(
    "attack",
    [
        frame(PING, 0, 0, b"1234567"),
        frame(PING, ACK, 0, b"123456789"),
        frame(SETTINGS, 0, 0, b"12345"),
        frame(SETTINGS, ACK, 0, b"123456"),
        frame(RST_STREAM, 0, 1, b"123"),
        frame(RST_STREAM, 0, 1, b"12345"),
        frame(WINDOW_UPDATE, 0, 1, b"123"),
        frame(WINDOW_UPDATE, 0, 0, b"12345"),
        frame(PRIORITY, 0, 1, b"1234"),
        frame(GOAWAY, 0, 0, b"1234567"),
    ],
)
def test_frames_of_the_wrong_size_end_the_connection(attack: bytes) -> None:
    """What stands behind their end would be read as another frame, or not at all: both sides would disagree."""
    loses(attack, code=frames.FRAME_SIZE_ERROR)


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\xff" + bytes(200)])
@pytest.mark.parametrize("kind", [DATA, HEADERS])
def test_padding_larger_than_its_frame_ends_the_connection(kind: int, payload: bytes) -> None:
    """Lengths that do not add up must not become negative ones."""
    assert "padding" in loses(frame(kind, PADDED | END_HEADERS, 1, payload))


def test_a_priority_larger_than_its_frame_ends_the_connection() -> None:
    """As above."""
    assert "priority" in loses(frame(HEADERS, PRIORITY_FLAG | END_HEADERS, 1, b"1234"))
    assert "priority" in loses(frame(HEADERS, PRIORITY_FLAG | PADDED | END_HEADERS, 1, b"\x02123456"))


# -- stream numbers


@pytest.mark.parametrize("identifier", [0, 2, 5, 2**31 - 1])
@pytest.mark.parametrize(
    ("kind", "payload"), [(DATA, b"x"), (HEADERS, OK), (RST_STREAM, bytes(4)), (WINDOW_UPDATE, b"\0\0\0\1")]
)
def test_frames_for_streams_that_were_never_opened_end_the_connection(
    kind: int, payload: bytes, identifier: int
) -> None:
    """An answer to a question that nobody asked yet would go to the next request."""
    if (kind, identifier) != (WINDOW_UPDATE, 0):
        assert "never opened" in loses(frame(kind, END_HEADERS if kind == HEADERS else 0, identifier, payload))
        # Nor is the end of a header block waited for.
        assert kind != HEADERS or "never opened" in loses(frame(kind, 0, identifier, payload))


@pytest.mark.parametrize(("kind", "size"), [(SETTINGS, 0), (PING, 8), (GOAWAY, 8)])
def test_frames_of_the_connection_on_a_stream_end_it(kind: int, size: int) -> None:
    """Such a peer means something else than we do."""
    loses(frame(kind, 0, 1, bytes(size)))


def test_a_priority_on_no_stream_ends_the_connection() -> None:
    """RFC 9113 6.3."""
    loses(frame(PRIORITY, 0, 0, bytes(5)))


def test_a_push_ends_the_connection() -> None:
    """Answers that nobody asked for could stand in for those that somebody asks for later."""
    assert "PUSH_PROMISE" in loses(frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82"))


# -- the order of frames


def test_a_peer_that_does_not_begin_with_settings_is_refused() -> None:
    """It speaks another protocol, or another client's bytes came first."""
    for first in (HEAD, frame(PING, 0, 0, bytes(8)), frame(SETTINGS, ACK, 0), frame(99, 0, 0)):
        connection = HTTP2Connection()
        stream = connection.open(b"https", b"GET", b"/", [HOST])
        connection.receive(first)
        assert type(stream.error) is httpx.RemoteProtocolError
        assert stream.head is None


@pytest.mark.parametrize(
    "between",
    [
        frame(DATA, 0, 1, b"x"),
        frame(PING, 0, 0, bytes(8)),
        frame(99, 0, 0),
        frame(HEADERS, END_HEADERS, 3, OK),
        frame(CONTINUATION, END_HEADERS, 3, b""),
    ],
)
def test_a_header_block_that_is_interrupted_ends_the_connection(between: bytes) -> None:
    """Blocks would be decoded in another order than they were encoded in: one answer's fields in another's."""
    assert "interrupted" in loses(frame(HEADERS, 0, 1, OK), between)


def test_a_continuation_of_nothing_ends_the_connection() -> None:
    """As above."""
    assert "without a header block" in loses(frame(CONTINUATION, END_HEADERS, 1, OK))
    assert "without a header block" in loses(HEAD, frame(CONTINUATION, END_HEADERS, 1, OK))


def test_data_before_the_head_ends_the_stream() -> None:
    """A body without a status could be taken for that of the next answer."""
    assert "before its head" in fails(frame(DATA, 0, 1, b"x"))
    assert "before its head" in fails(frame(HEADERS, END_HEADERS, 1, b"\x08\x03103"), frame(DATA, END_STREAM, 1, b"x"))


def test_what_comes_after_the_end_of_a_stream_changes_no_answer() -> None:
    """A second answer on the stream must never be seen; it cannot reach another request, which has another number."""
    connection = asked(1)
    stream = connection.streams[1]
    connection.receive(HEAD + frame(DATA, END_STREAM, 1, b"first"))
    connection.receive(frame(DATA, END_STREAM, 1, b"second") + frame(HEADERS, END_HEADERS, 1, OK + literal(b"x", b"y")))
    assert stream.chunks == [b"first"]
    assert stream.head == (200, b"", [], b"HTTP/2")
    assert stream.error is None
    flood = frame(DATA, 0, 1, b"second") * FLOOD
    connection.receive(flood)
    assert "floods" in str(connection.error)


def test_large_data_after_the_end_or_a_fault_in_the_same_bytes_changes_no_answer() -> None:
    """A row of large frames is taken in one go: what came behind the last one was added to the finished body."""
    large = b"x" * 5000
    for first in (
        HEAD + frame(DATA, END_STREAM, 1, large),
        HEAD + frame(DATA, 0, 1, large) + frame(DATA, END_STREAM, 1, large),
        HEAD + frame(DATA, 0, 1, large) + frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b"x-a", b"b")),
        HEAD + frame(DATA, 0, 1, large) + frames.reset(1, frames.CANCEL),
        HEAD + frame(DATA, 0, 1, large) + frame(DATA, 0, 1, bytes(16_384)) * (STREAM_WINDOW // 16_384),
    ):
        outcomes = []
        for pieces in [first], [first + frame(DATA, 0, 1, large) * 3], [first, frame(DATA, 0, 1, large) * 3]:
            connection = asked(2)
            stream, other = connection.streams.values()
            for piece in pieces:
                connection.receive(piece)
            assert connection.error is None
            assert stream.finished or stream.error is not None
            assert connection._useless_frames >= 3 or pieces == [first]
            outcomes.append((b"".join(stream.chunks), stream.finished, str(stream.error)))
            # And nobody else's, either.
            connection.receive(frame(HEADERS, END_HEADERS, 3, OK) + frame(DATA, END_STREAM, 3, b"mine"))
            assert other.chunks == [b"mine"]
        assert outcomes[0] == outcomes[1] == outcomes[2]


# -- header compression


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xbe",
        OK + b"\x20",
        b"\x3f\xe2\x1f",
        b"\x3f" + b"\xff" * 10,
        OK + b"\xff" * 10,
        OK + b"\x00\x05ab",
        OK + b"\x00\x84\xff\xff\xff\xff\x00",
        OK + b"\x40",
    ],
)
def test_a_block_that_cannot_be_decoded_ends_the_connection(block: bytes) -> None:
    """From there on the tables differ: every later answer would have fields that nobody sent."""
    assert "cannot be decoded" in loses(frame(HEADERS, END_HEADERS, 1, block), code=frames.COMPRESSION_ERROR)


def test_a_block_for_a_stream_that_is_over_is_checked_as_well() -> None:
    """As above."""
    done = frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)
    loses(done, frame(HEADERS, END_HEADERS, 1, b"\x80"), code=frames.COMPRESSION_ERROR)


def test_a_small_block_cannot_become_a_large_list() -> None:
    """The HPACK bomb: 16 KB on the wire, 64 MB in memory (CVE-2016-1544 and its kin)."""
    value = b"v" * 4000
    bomb = OK + b"\x40\x01a\x7f" + bytes([0xA1, 0x1E]) + value + b"\xbe" * 12_000
    tracemalloc.start()
    try:
        loses(frame(HEADERS, END_HEADERS, 1, bomb), code=frames.COMPRESSION_ERROR, whole=True)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_many_small_blocks_of_interim_answers_cannot_become_a_large_list() -> None:
    """Endless 1xx, each below the limit: one budget holds for all heads of an answer."""
    interim = frame(HEADERS, END_HEADERS, 1, b"\x08\x03103" + literal(b"link", b"x" * 100))
    assert "more than 262144 bytes" in fails(interim * 1600, code=CALM)


def test_fields_are_counted() -> None:
    """A head of many small fields costs more than its bytes."""
    block = OK + literal(b"a", b"b") * 5001
    many = frame(HEADERS, 0, 1, block[:16_000]) + frame(CONTINUATION, END_HEADERS, 1, block[16_000:])
    assert "more than 5000 header fields" in fails(many, code=CALM)


def test_a_table_may_change_its_size_as_often_as_a_block_has_room_for() -> None:
    """Emptied and filled in turn: work that grows with the block, and no further."""
    block = b"\x20\x3f\xe1\x1f" * 4000 + OK
    connection = asked(1)
    stream = connection.streams[1]
    connection.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    assert stream.finished


def test_settings_cannot_make_our_table_large() -> None:
    """A peer that offers 4 GB for our fields would have us keep them."""
    connection = asked(0)
    connection.receive(frames.settings({frames.HEADER_TABLE_SIZE: 2**32 - 1}))
    for number in range(300):
        stream = connection.open(b"https", b"GET", b"/", [HOST, (b"x-%d" % number, b"v" * 100)])
        stream.reset(frames.CANCEL)
    assert connection._encoder._size <= 4096


# -- header fields


@pytest.mark.parametrize(
    "block",
    [
        b"",
        literal(b"x-a", b"b"),
        literal(b"x-a", b"b") + OK,
        OK + OK,
        OK + literal(b":path", b"/"),
        literal(b":path", b"/") + OK,
        OK + literal(b":unknown", b"x"),
        OK + literal(b"x-a", b"b") + literal(b":status", b"200"),
        literal(b":Status", b"200"),
        literal(b":status", b""),
        literal(b":status", b"20"),
        literal(b":status", b"2000"),
        literal(b":status", b"2x0"),
        literal(b":status", b" 20"),
        literal(b":status", b"-20"),
        literal(b":status", b"099"),
        literal(b":status", b"101"),
    ],
)
def test_a_head_without_exactly_one_good_status_in_front_ends_the_stream(block: bytes) -> None:
    """Two parties that read it would see two different answers."""
    fails(frame(HEADERS, END_HEADERS, 1, block))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Upper", b"a"),
        (b"x-uppeR", b"a"),
        (b"", b"a"),
        (b"a b", b"a"),
        (b"a:", b"a"),
        (b"a\r\nb", b"a"),
        (b"a\0", b"a"),
        (b"\xc3\xa9", b"a"),
        (b"connection", b"close"),
        (b"keep-alive", b"1"),
        (b"proxy-connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
        (b"x-a", b"a\r\nset-cookie: b=c"),
        (b"x-a", b"a\nb"),
        (b"x-a", b"a\rb"),
        (b"x-a", b"a\0b"),
        (b"x-a", b" a"),
        (b"x-a", b"a\t"),
    ],
)
def test_fields_that_are_not_legal_end_the_stream(name: bytes, value: bytes) -> None:
    """Written into HTTP/1.1 by a proxy behind us, or logged, they would be other fields (RFC 9113 8.2)."""
    fails(frame(HEADERS, END_HEADERS, 1, OK + literal(name, value)))
    fails(HEAD, frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(name, value)))
    fails(frame(HEADERS, END_HEADERS, 1, b"\x08\x03103" + literal(name, value)))


def test_trailers_with_a_status_or_without_an_end_end_the_stream() -> None:
    """A second head in the middle of a body is a second answer."""
    fails(HEAD, frame(HEADERS, END_HEADERS | END_STREAM, 1, OK))
    fails(HEAD, frame(HEADERS, END_HEADERS, 1, literal(b"x-a", b"b")))
    fails(HEAD, HEAD)


def test_an_interim_answer_that_ends_the_stream_is_refused() -> None:
    """An empty success that nobody sent."""
    fails(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x08\x03103"))


# -- content-length


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1, 1", b"1_0", b"0x1", b"9" * 40, b"\xc2\xb2"])
def test_a_content_length_that_is_no_number_ends_the_stream(value: bytes) -> None:
    """Everybody reads such a value in another way (CVE-2021-21419 and its kin); 40 digits overflow counters."""
    fails(frame(HEADERS, END_HEADERS, 1, OK + literal(b"content-length", value)))


def test_content_lengths_that_differ_end_the_stream() -> None:
    """As above."""
    two = literal(b"content-length", b"1") + literal(b"content-length", b"2")
    fails(frame(HEADERS, END_HEADERS, 1, OK + two))


def test_data_past_the_content_length_ends_the_stream() -> None:
    """A proxy that wrote it as HTTP/1.1 would take the rest for a second answer."""
    head = frame(HEADERS, END_HEADERS, 1, OK + literal(b"content-length", b"5"))
    assert "longer" in fails(head, frame(DATA, 0, 1, b"123"), frame(DATA, END_STREAM, 1, b"456"))


@pytest.mark.parametrize("end", [frame(DATA, END_STREAM, 1, b"1234"), frame(HEADERS, END_HEADERS | END_STREAM, 1, b"")])
def test_a_body_that_is_too_short_never_passes_for_a_whole_one(end: bytes) -> None:
    """A download that was cut off would be a success."""
    assert "shorter" in fails(frame(HEADERS, END_HEADERS, 1, OK + literal(b"content-length", b"5")), end)


def test_a_stream_that_was_answered_is_not_called_unprocessed_afterwards() -> None:
    """A GOAWAY that takes back what the peer has done would have a POST done twice."""
    connection = asked(2)
    first, second = connection.streams.values()
    connection.receive(HEAD + frames.goaway(0, frames.NO_ERROR))
    assert first.error is not None
    assert second.error is not None
    assert not first.refused
    assert second.refused
    connection = asked(1)
    stream = connection.streams[1]
    connection.receive(HEAD + frames.reset(1, frames.REFUSED_STREAM))
    assert not stream.refused


def test_a_body_that_ends_with_the_connection_never_passes_for_a_whole_one() -> None:
    """As above; HTTP/2 has no body that lasts until the end of the connection."""
    for goodbye in (b"", frames.goaway(1, frames.NO_ERROR), frames.reset(1, frames.NO_ERROR)):
        connection = asked(1)
        stream = connection.streams[1]
        connection.receive(HEAD + frame(DATA, 0, 1, b"half") + goodbye)
        connection.receive(b"")
        assert type(stream.error) is httpx.RemoteProtocolError
        assert not stream.finished


def test_data_where_there_is_no_body_ends_the_stream() -> None:
    """After 204 and 304 some readers look for none."""
    for block in (b"\x89", b"\x8b"):
        fails(frame(HEADERS, END_HEADERS, 1, block), frame(DATA, END_STREAM, 1, b"x"))


# -- windows


def test_more_data_than_the_window_allows_ends_the_stream() -> None:
    """A peer that ignores our window would fill our memory while the reader is slow."""
    connection = asked(2)
    first, second = connection.streams.values()
    connection.receive(HEAD)
    for _ in range(STREAM_WINDOW // 16_384 + 1):
        connection.receive(frame(DATA, 0, 1, bytes(16_384)))
    assert "more data than the window" in str(first.error)
    assert told(connection, RST_STREAM) == [frames.FLOW_CONTROL_ERROR]
    assert sum(map(len, first.chunks)) <= STREAM_WINDOW
    connection.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3, OK))
    assert second.finished


def test_single_bytes_cost_no_more_memory_than_the_window() -> None:
    """A window full of pieces of two bytes was a million objects, 25 times its size."""
    connection = asked(1)
    stream = connection.streams[1]
    connection.receive(HEAD)
    tracemalloc.start()
    try:
        for _ in range(100):
            connection.receive(frame(DATA, 0, 1, b"ab") * 1000)
            connection.progressed.clear()
        assert tracemalloc.get_traced_memory()[0] < 400_000
    finally:
        tracemalloc.stop()
    assert sum(map(len, stream.chunks)) == 200_000


def test_windows_that_overflow_are_refused() -> None:
    """A counter past 2^31-1 is negative elsewhere, and here a window without end (RFC 9113 6.9.1)."""
    huge = (2**31 - 1).to_bytes(4, "big")
    loses(frame(WINDOW_UPDATE, 0, 0, huge), code=frames.FLOW_CONTROL_ERROR)
    fails(frame(WINDOW_UPDATE, 0, 1, huge), code=frames.FLOW_CONTROL_ERROR)
    loses(frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}), code=frames.FLOW_CONTROL_ERROR)
    grown = frame(WINDOW_UPDATE, 0, 1, (2**31 - 1 - 65_535).to_bytes(4, "big"))
    loses(grown, frames.settings({frames.INITIAL_WINDOW_SIZE: 65_536}), code=frames.FLOW_CONTROL_ERROR)


def test_windows_that_are_opened_by_nothing_are_refused() -> None:
    """A way to keep us busy for nothing (RFC 9113 6.9)."""
    loses(frame(WINDOW_UPDATE, 0, 0, bytes(4)))
    loses(frame(WINDOW_UPDATE, 0, 0, b"\x80\0\0\0"))
    fails(frame(WINDOW_UPDATE, 0, 1, bytes(4)))


# -- settings


@pytest.mark.parametrize(
    "values",
    [{frames.ENABLE_PUSH: 1}, {frames.ENABLE_PUSH: 2}, {frames.MAX_FRAME_SIZE: 16_383}, {frames.MAX_FRAME_SIZE: 2**24}],
)
def test_settings_out_of_their_range_end_the_connection(values: dict[int, int]) -> None:
    """A frame size of 0 would be a loop without end."""
    loses(frames.settings(values))


def test_settings_of_no_window_and_no_streams_only_wait() -> None:
    """Legal, and no reason for a loop or an error: the timeouts decide how long."""
    connection = asked(0)
    connection.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 0, frames.MAX_CONCURRENT_STREAMS: 1}))
    stream = connection.open(b"https", b"POST", b"/", [HOST, (b"Content-Length", b"1")], b"x")
    assert connection.capacity == 0
    connection.take()
    assert not connection.output
    assert stream.error is None


# -- floods


@pytest.mark.parametrize(
    "one",
    [
        frame(PING, 0, 0, bytes(8)),
        frame(PING, ACK, 0, bytes(8)),
        frames.settings({}),
        frame(SETTINGS, ACK, 0),
        frame(DATA, 0, 1),
        frame(DATA, PADDED, 1, b"\x03\0\0\0"),
        frame(DATA, 0, 7, b"x"),
        frame(DATA, 0, 5),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
        frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"),
        frame(RST_STREAM, 0, 5, bytes(4)),
        frame(HEADERS, END_HEADERS, 5, OK),
        frame(200, 0, 1, b"unknown"),
        frames.goaway(2**31 - 1, 0),
    ],
    ids=[
        "PING",
        "PONG",
        "SETTINGS",
        "ACK",
        "empty-DATA",
        "padding",
        "late-DATA",
        "late-empty-DATA",
        "PRIORITY",
        "WINDOW",
        "stream-WINDOW",
        "RST",
        "late-HEADERS",
        "unknown",
        "GOAWAY",
    ],
)
def test_a_flood_of_frames_that_bring_nothing_ends_the_connection(one: bytes) -> None:
    """Each costs the peer little and us work or an answer (CVE-2019-9511 to 9518, CVE-2023-44487), without end."""
    connection = asked(4)
    connection.streams[5].reset(frames.CANCEL)
    connection.take()
    connection.receive(frame(HEADERS, END_HEADERS | END_STREAM, 7, OK) + HEAD)
    for _ in range(FLOOD // 100 + 1):
        connection.receive(one * 100)
        connection.take()
    assert "floods the connection" in str(connection.error)
    assert not connection.streams


def test_a_flood_of_continuations_ends_the_connection() -> None:
    """A block without end, in frames with and without bytes (CVE-2024-27316 and its kin)."""
    begun = frame(HEADERS, 0, 1, OK)
    assert "floods" in loses(begun, frame(CONTINUATION, 0, 1) * FLOOD, code=CALM, whole=True)
    assert "longer than 262144" in loses(begun, frame(CONTINUATION, 0, 1, bytes(16_384)) * 17, code=CALM, whole=True)
    assert "longer than 262144" in loses(begun, frame(CONTINUATION, 0, 1, b"\0" * 33) * 9000, code=CALM, whole=True)
    # The frame with which the flood is noticed ends nothing but the connection.
    last = frame(CONTINUATION, 0, 1) * MAX_USELESS_FRAMES + frame(CONTINUATION, END_HEADERS, 1)
    assert "floods" in loses(begun, last, code=CALM, whole=True)


def test_a_flood_of_interim_answers_ends_the_stream() -> None:
    """Each is a sign of life, so that a read timeout never comes."""
    assert "more than 262144" in fails(frame(HEADERS, END_HEADERS, 1, b"\x08\x03103") * 6400, code=CALM)


def test_pings_between_pieces_of_a_body_do_not_fill_the_output() -> None:
    """A peer that sends, and does not read, made the output grow for as long as it liked."""
    connection = asked(1)
    connection.receive(HEAD)
    burst = frame(DATA, 0, 1, b"x") + frame(PING, 0, 0, bytes(8)) * 900
    for _ in range(100):
        connection.receive(burst)
    assert "does not read them" in str(connection.error)
    assert len(connection.take()) < 20 * MAX_USELESS_FRAMES
    patient = asked(1)
    patient.receive(HEAD)
    for _ in range(100):
        patient.receive(burst)
        patient.take()
    assert patient.error is None


def test_settings_between_pieces_of_a_body_do_not_fill_the_output() -> None:
    """As above."""
    connection = asked(1)
    connection.receive(HEAD)
    for _ in range(20):
        connection.receive(frame(DATA, 0, 1, b"x") + frames.settings({3: 100}) * 900)
    assert "does not read them" in str(connection.error)
    assert len(connection.take()) < 20 * MAX_USELESS_FRAMES


def test_large_settings_count_for_more() -> None:
    """2,730 values in a frame are the work of many frames: 10,000 such frames took a minute."""
    payload = frames.settings({frames.INITIAL_WINDOW_SIZE: 100})[9:] * 2730
    connection = asked(50)
    count = 0
    while connection.error is None:
        connection.receive(frame(SETTINGS, 0, 0, payload))
        count += 1
    assert count < 50


def uploads(count: int, size: int = 100_000) -> HTTP2Connection:
    """A connection with uploads that wait for their own windows, which are empty."""
    connection = HTTP2Connection()
    connection.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 0, frames.MAX_CONCURRENT_STREAMS: count}))
    for _ in range(count):
        connection.open(b"https", b"POST", b"/", [HOST, (b"Content-Length", b"%d" % size)], bytes(size))
    connection.take()
    return connection


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[HTTP2Stream]:
    """Every stream that was asked to send something, in order."""
    asked: list[HTTP2Stream] = []
    flush = HTTP2Stream.flush

    def noted(stream: HTTP2Stream, *args: Any, **kwargs: Any) -> None:
        asked.append(stream)
        flush(stream, *args, **kwargs)

    monkeypatch.setattr(HTTP2Stream, "flush", noted)
    return asked


def test_updates_of_the_connections_window_ask_no_stream_that_waits_for_its_own(flushes: list[HTTP2Stream]) -> None:
    """13 bytes were a look at each of 1,000 uploads: 64 KiB kept us busy for five seconds."""
    connection = uploads(1000)
    flushes.clear()
    connection.receive(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 5000)
    assert connection.error is None
    assert flushes == []
    connection.receive(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
    assert flushes == [connection.streams[1]]


def test_windows_that_change_for_many_streams_count_for_more(flushes: list[HTTP2Stream]) -> None:
    """15 bytes change every stream: 10,000 such frames were ten million changes."""
    connection = uploads(1000)
    flushes.clear()
    for number in range(FLOOD):
        connection.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 0 if number % 2 else 1}))
        connection.take()
        if connection.error is not None:
            break
    assert "floods" in str(connection.error)
    assert len(flushes) < 10 * MAX_USELESS_FRAMES


def test_settings_that_change_nothing_report_nothing() -> None:
    """Each noted all streams for the shell: 64 KiB of them became seven million notes."""
    connection = uploads(1000)
    connection.progressed.clear()
    connection.receive(frames.settings({frames.MAX_FRAME_SIZE: 20_000}) * 1000)
    assert connection.progressed == []


def test_large_blocks_for_streams_that_are_over_count_for_more() -> None:
    """A reset stream keeps its peer free to send heads, and each costs us as much as its list is long."""
    connection = asked(1)
    connection.streams[1].reset(frames.CANCEL)
    many = frame(HEADERS, END_HEADERS, 1, OK * 1500)
    count = 0
    while connection.error is None:
        connection.receive(many)
        count += 1
    assert count < MAX_USELESS_FRAMES // 40


def test_what_is_remembered_of_a_peers_blocks_is_bounded() -> None:
    """A peer that never says the same twice would fill our memory with what it said."""
    connection = asked(1)
    stream = connection.streams[1]
    tracemalloc.start()
    try:
        for number in range(200):
            # As many fields as fit into what is remembered, each of them another one.
            block = b"".join(literal(b"%d" % index, b"%d" % number) for index in range(100))
            connection._decoder.decode(block)
            connection._decoder.decode(OK + literal(b"a", b"%07d" % number * 18))
        assert tracemalloc.get_traced_memory()[0] < 4_000_000
    finally:
        tracemalloc.stop()
    assert stream.error is None


def test_windows_are_lent_within_bounds_to_readers_who_then_stop() -> None:
    """Many streams that were fast for a while could each leave 8 MiB in our memory."""
    connection = asked(0)
    connection.receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 100}))
    streams = [connection.open(b"https", b"GET", b"/", [HOST]) for _ in range(100)]
    for stream in streams:
        connection.receive(frame(HEADERS, END_HEADERS, stream.identifier, OK))
        for _ in range(200):
            connection.receive(frame(DATA, 0, stream.identifier, bytes(16_384)))
            stream.took(16_384)
            stream.chunks.clear()
        connection.take()
    assert connection.error is None
    assert sum(stream.receive_window for stream in streams) <= 100 * STREAM_WINDOW + MAX_LENT


def test_resets_of_our_own_streams_are_no_flood_and_leave_nothing() -> None:
    """The peer can reset only what we opened; what is kept for it is nothing."""
    connection = asked(0)
    for _ in range(2 * FLOOD):
        stream = connection.open(b"https", b"GET", b"/", [HOST])
        connection.receive(frames.reset(stream.identifier, frames.CANCEL))
        assert stream.error is not None
        connection.take()
        connection.progressed.clear()
    assert connection.error is None
    assert not connection.streams
    assert not connection._blocked


# -- the work for a header block is linear, in time and memory, up to the largest that is allowed

LARGE = HeadLimits(5000, 262_144)


def integer(value: int, prefix: int, flags: int) -> bytes:
    """An integer of a block (RFC 7541 5.1)."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([flags | value])
    out = [flags | limit]
    value -= limit
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes([*out, value])


def coded(text: bytes) -> bytes:
    code = huffman.encode(text)
    return OK + b"\x00\x01a" + integer(len(code), 7, 0x80) + code


BLOCKS_OF_SIZE: dict[str, Callable[[int], bytes]] = {
    "one literal": lambda size: OK + b"\x00\x01a" + integer(size, 7, 0) + b"v" * size,
    "short codes": lambda size: coded(b"e" * size),
    "codes of all lengths": lambda size: coded(bytes(range(32, 127)) * (size // 95)),
    "long codes": lambda size: coded(bytes(range(128, 256)) * (size // 512)),
    "small literals": lambda size: OK + b"\x00\x01a\x00" * (size // 35),
    "entry and reference": lambda size: OK + b"\x40\x01a\x01b\xbe" * (size // 80),
    "entries and references to the oldest": lambda size: (
        OK + b"\x40\x01a\x01b" * 120 + b"".join(b"\x40\x01a\x02%02d\xee" % (n % 100) for n in range(size // 80 - 120))
    ),
    "entries that push all others out": lambda size: (
        OK + (b"\x40\x01a" + integer(4000, 7, 0) + b"v" * 4000) * (size // 4100)
    ),
    "a large entry again and again": lambda size: (
        OK + b"\x40\x01a" + integer(4000, 7, 0) + b"v" * 4000 + b"\xbe" * (size // 4100)
    ),
    "sizes of the table": lambda size: b"\x20\x3f\xe1\x1f" * (size // 4) + OK,
}


def in_frames(block: bytes, size: int) -> bytes:
    """A header block as HEADERS and CONTINUATION frames of this size."""
    pieces = [block[start : start + size] for start in range(0, len(block), size)]
    out = [frame(CONTINUATION, 0, 1, piece) for piece in pieces]
    out[0] = frame(HEADERS, END_STREAM, 1, pieces[0])
    return b"".join(out) + frame(CONTINUATION, END_HEADERS, 1)


def take_block(message: bytes) -> tuple[float, HTTP2Connection]:
    """Seconds of CPU for these bytes, and the connection afterwards."""
    connection = HTTP2Connection(LARGE)
    connection.receive(frames.settings({}))
    connection.open(b"https", b"GET", b"/", [HOST])
    begun = time.process_time()
    connection.receive(message)
    return time.process_time() - begun, connection


@pytest.mark.parametrize(("name", "size"), [*((name, 16_384) for name in BLOCKS_OF_SIZE), ("short codes", 2)])
def test_the_largest_block_is_linear_work(name: str, size: int) -> None:
    """A block within the limits that kept us busy for seconds, or took a hundred times its size, stops everything."""
    small, large = (in_frames(BLOCKS_OF_SIZE[name](length), size) for length in (65_000, 260_000))
    for attempt in (1, 2, 3):  # more than once only on a busy machine
        short, _ = take_block(small)
        long, connection = take_block(large)
        assert connection.error is None
        assert not connection.streams  # it was taken, or was too much for its stream
        if long < 4 * 2 * short + 0.02 * attempt:
            break
    else:
        pytest.fail(f"{long:.3f} s for 260,000 bytes, {short:.3f} s for 65,000")
    tracemalloc.start()
    try:
        take_block(large)
        assert tracemalloc.get_traced_memory()[1] < 10 * LARGE.max_bytes
    finally:
        tracemalloc.stop()


def test_interim_responses_are_linear_work() -> None:
    """Each made a new list of all before it."""
    interim = frame(HEADERS, END_HEADERS, 1, b"\x08\x03103")
    seconds = []
    for count in (1500, 6000):
        connection = HTTP2Connection(LARGE)
        connection.receive(frames.settings({}))
        stream = connection.open(b"https", b"GET", b"/", [HOST])
        informational: set[int] = set()
        begun = time.process_time()
        for _ in range(count):
            connection.receive(interim)
            informational.add(id(stream.informational))
        seconds.append(time.process_time() - begun)
        assert stream.error is None
        assert len(stream.informational) == count
        assert len(informational) == 1
    assert seconds[1] < 4 * 3 * seconds[0] + 0.05


def test_frames_that_arrive_byte_by_byte_are_linear_work() -> None:
    """What has arrived of a frame was copied for each byte; a frame is small, so that this must not add up."""
    head = in_frames(BLOCKS_OF_SIZE["one literal"](60_000), 16_384)
    body = frame(DATA, 0, 3, bytes(16_384))
    connection = asked(2)
    begun = time.process_time()
    connection.receive(frame(HEADERS, END_HEADERS, 3, OK))
    for message in (head, body * 4):
        for index in range(len(message)):
            connection.receive(message[index : index + 1])
    assert connection.error is None
    assert time.process_time() - begun < 2.0  # 0.1


# -- anything at all


BLOCKS = st.one_of(
    st.sampled_from([OK, b"\x08\x03100", b"\x89", b"\x20" + OK]),
    st.binary(max_size=20),
    st.lists(st.tuples(st.sampled_from([b":status", b"x-a", b"content-length"]), st.sampled_from([b"200", b"5"]))).map(
        lambda fields: hpack.Encoder().encode(fields)
    ),
)
FRAMES = st.one_of(
    st.builds(frame, st.integers(0, 11), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=20)),
    st.builds(
        frame,
        st.sampled_from([HEADERS, CONTINUATION]),
        st.sampled_from([0, END_HEADERS, END_HEADERS | END_STREAM]),
        st.sampled_from([1, 3]),
        BLOCKS,
    ),
    st.builds(frame, st.just(DATA), st.sampled_from([0, END_STREAM]), st.sampled_from([1, 3]), st.binary(max_size=20)),
    st.builds(
        lambda setting, value: frames.settings({setting: value}), st.integers(0, 7), st.sampled_from([0, 1, 16_384])
    ),
    st.binary(max_size=12),
)


# Answers whose bodies come in rows, and what may stand between and behind.
ROWS = st.builds(
    lambda number, rows: frame(HEADERS, END_HEADERS, number, OK) + b"".join(rows).replace(b"\xee", bytes([number])),
    st.sampled_from([1, 3]),
    st.lists(
        st.one_of(
            st.builds(
                lambda flags, size: frame(DATA, flags, 0xEE, bytes(size)),
                st.sampled_from([0, 0, 0, END_STREAM, PADDED]),
                st.integers(0, 12),
            ),
            st.builds(frame, st.just(PING), st.just(0), st.just(0), st.just(bytes(8))),
        ),
        max_size=6,
    ),
)


def outcome(connection: HTTP2Connection, streams: list[HTTP2Stream]) -> list[Any]:
    seen: list[Any] = [str(connection.error), sorted(connection.streams)]
    for stream in streams:
        error = type(stream.error), str(stream.error)
        seen.append((stream.head, stream.informational, b"".join(stream.chunks), stream.trailers, error))
    return seen


@pytest.fixture(scope="module")
def small_rows() -> Iterator[None]:
    """Rows of DATA are taken in one go from 4 bytes on, so that small examples have some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http2, "JOINED", 4)
        yield


@pytest.mark.usefixtures("small_rows")
@given(st.lists(st.one_of(FRAMES, ROWS), max_size=15), st.booleans())
def test_nothing_else_leaves_the_machine_whatever_arrives_and_however_it_is_cut(parts: list[bytes], ends: bool) -> None:
    """Every error is a RemoteProtocolError, and the outcome does not depend on where the network cuts."""
    message = b"".join(parts)
    outcomes = []
    for pieces in cuts(message, rounds=1):
        connection = asked(1)
        connection.open(b"https", b"POST", b"/", [HOST, (b"Content-Length", b"100000")], bytes(100_000))
        streams = list(connection.streams.values())
        for piece in [*pieces, b""] if ends else pieces:
            connection.receive(piece)
            connection.take()
        for stream in streams:
            assert stream.error is None or type(stream.error) is httpx.RemoteProtocolError
            assert (stream.need == NOTHING) == (stream.finished or stream.error is not None)
        outcomes.append(outcome(connection, streams))
    assert all(one == outcomes[0] for one in outcomes)
