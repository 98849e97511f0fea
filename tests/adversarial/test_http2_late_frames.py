"""
What is still under way for a stream when we reset it: the peer did nothing wrong.

Each scenario has a second stream that must survive it.
"""

from __future__ import annotations

from typing import Optional

import pytest

from httpx._protocol import frames
from httpx._protocol.frames import ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, WINDOW_UPDATE
from httpx._protocol.http2 import CONNECTION_WINDOW, MAX_USELESS_FRAMES, STREAM_WINDOW, HTTP2Connection
from httpx._protocol.stream2 import MAX_RESET_STREAMS, HTTP2Stream
from support.frame_reader import split

HOST = (b"Host", b"example.org")
OK = b"\x88"  # :status 200
TRAILERS = b"\x00\x01a\x01b"


def head(stream: HTTP2Stream, block: bytes = OK, flags: int = END_HEADERS) -> bytes:
    return frames.frame(HEADERS, flags, stream.identifier, block)


def data(stream: HTTP2Stream, body: bytes, flags: int = 0) -> bytes:
    return frames.frame(DATA, flags, stream.identifier, body)


def started(count: int = 2, limit: Optional[int] = None) -> tuple[HTTP2Connection, list[HTTP2Stream]]:
    """A connection with requests under way and nothing in its output."""
    connection = HTTP2Connection()
    connection.receive(frames.settings({} if limit is None else {frames.MAX_CONCURRENT_STREAMS: limit}))
    streams = [connection.open(b"https", b"GET", b"/", [HOST]) for _ in range(count)]
    connection.take()
    return connection, streams


def cancelled(has_head: bool = True) -> tuple[HTTP2Connection, HTTP2Stream, HTTP2Stream]:
    """A connection, a stream that we reset, and one that goes on."""
    connection, (stream, other) = started()
    if has_head:
        connection.receive(head(stream))
    stream.reset(frames.CANCEL)
    connection.take()
    return connection, stream, other


def finishes(connection: HTTP2Connection, stream: HTTP2Stream) -> None:
    assert connection.error is None
    connection.receive(head(stream, flags=END_HEADERS | END_STREAM))
    assert stream.finished


def loss(connection: HTTP2Connection) -> int:
    """The error code with which we ended the connection."""
    assert connection.error is not None
    kind, _, _, payload = split(connection.take(), 2**24)[0][-1]
    assert kind == GOAWAY
    return frames.number(payload[4:])


def returned(connection: HTTP2Connection) -> int:
    """Bytes that the connection's window is opened by now."""
    return sum(
        frames.number(payload)
        for kind, _, identifier, payload in split(connection.take(), 2**24)[0]
        if (kind, identifier) == (WINDOW_UPDATE, 0)
    )


@pytest.mark.parametrize("size", [1, 100])
def test_data_within_the_window_of_a_cancelled_stream_is_not_a_flood(size: int) -> None:
    """
    A cancelled download ended the connection for all others after 10,000 frames.

    They were under way when the peer learned of the reset, and it was allowed to send them.
    """
    connection, stream, other = cancelled()
    for _ in range(20):
        connection.receive(data(stream, bytes(size)) * 1000)
    finishes(connection, other)


def test_small_data_within_the_window_of_a_live_stream_is_not_a_flood() -> None:
    """The same frames on a stream that is read."""
    connection, (stream, other) = started()
    connection.receive(head(stream))
    for _ in range(30):
        connection.receive(data(stream, b"x") * 1000)
    assert sum(map(len, stream.chunks)) == 30_000
    finishes(connection, other)


def test_data_beyond_the_window_of_a_cancelled_stream_ends_the_connection() -> None:
    """What we never gave credit for cannot have been under way."""
    connection, stream, other = cancelled()
    for _ in range(STREAM_WINDOW // 16_384):
        connection.receive(data(stream, bytes(16_384)))
    assert connection.error is None
    connection.take()
    connection.receive(data(stream, b"x"))
    assert loss(connection) == frames.FLOW_CONTROL_ERROR
    assert "more data than the window" in str(connection.error)
    assert other.error is not None


def test_what_arrived_before_the_reset_is_no_longer_part_of_the_window() -> None:
    """Bytes that the reader did not take were not returned, bytes that it took were."""
    connection, (stream, _) = started()
    connection.receive(head(stream))
    connection.receive(data(stream, bytes(16_384)) * 100)
    stream.took(50 * 16_384)  # less than half of the window: not returned yet
    stream.reset(frames.CANCEL)
    connection.receive(data(stream, bytes(16_384)) * 28)
    assert connection.error is None
    connection.receive(data(stream, b"x"))
    assert loss(connection) == frames.FLOW_CONTROL_ERROR

    connection, (stream, _) = started()
    connection.receive(head(stream))
    connection.receive(data(stream, bytes(16_384)) * 100)
    stream.took(100 * 16_384)  # all of it is returned, and the window may have grown
    window = stream.receive_window
    stream.reset(frames.CANCEL)
    connection.receive(data(stream, bytes(16_384)) * (window // 16_384))
    assert connection.error is None
    connection.receive(data(stream, b"x"))
    assert loss(connection) == frames.FLOW_CONTROL_ERROR


def test_a_frame_that_is_half_there_when_its_stream_is_reset_counts_once() -> None:
    connection, (stream, other) = started()
    connection.receive(head(stream))
    frame = data(stream, bytes(16_384))
    connection.receive(frame[:1000])
    stream.reset(frames.CANCEL)
    connection.receive(frame[1000:])
    for _ in range(STREAM_WINDOW // 16_384 - 1):
        connection.receive(frame)
    assert connection.error is None
    connection.receive(data(stream, b"x")[:9])  # judged by the head of the frame
    assert loss(connection) == frames.FLOW_CONTROL_ERROR
    assert other.error is not None


@pytest.mark.parametrize("cut", [5, 9, 1000, 16_393])
def test_the_connections_window_is_returned_once_for_data_that_is_discarded(cut: int) -> None:
    """Returned never, cancelled downloads stop all others; returned twice, the peer may send what we cannot take."""
    connection, stream, _ = cancelled()
    frame = data(stream, bytes(16_384))
    total = 0
    for _ in range(STREAM_WINDOW // 16_384):
        connection.receive(frame[:cut])
        if frame[cut:]:
            connection.receive(frame[cut:])
        total += returned(connection)
    for number in range(7):
        again = connection.open(b"https", b"GET", b"/", [HOST])
        connection.receive(head(again))
        if number % 2:
            again.reset(frames.CANCEL)
        padded = frames.frame(DATA, PADDED, again.identifier, b"\x0f" + bytes(16_383))
        for _ in range(STREAM_WINDOW // 16_384):
            connection.receive(padded[:cut])
            if padded[cut:]:
                connection.receive(padded[cut:])
            total += returned(connection)
    assert connection.error is None
    assert total == 8 * STREAM_WINDOW == CONNECTION_WINDOW


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x03\0\0\0"])
def test_data_without_a_body_on_a_cancelled_stream_stays_a_flood(body: bytes) -> None:
    """Such a frame takes nothing, or next to nothing, of a window (CVE-2019-9518)."""
    connection, stream, _ = cancelled()
    frame = data(stream, body, PADDED if body else 0)
    for _ in range(MAX_USELESS_FRAMES // 100 + 1):
        connection.receive(frame * 100)
    assert "flood" in str(connection.error)


def test_data_of_cancelled_streams_does_not_excuse_other_frames() -> None:
    """It is not counted, and it is not progress: else it would let a flood of PING go on."""
    connection, stream, _ = cancelled()
    for _ in range(102):
        connection.receive(data(stream, b"x") + frames.frame(PING, ACK, 0, bytes(8)) * 99)
    assert "flood" in str(connection.error)


@pytest.mark.parametrize("has_head", [False, True])
def test_the_heads_of_many_cancelled_streams_are_not_a_flood(has_head: bool) -> None:
    """A client that gives up 12,000 requests at once lost all others when their heads or trailers arrived."""
    connection, streams = started(12_001, limit=20_000)
    other = streams.pop()
    if has_head:
        for stream in streams:
            connection.receive(head(stream))
    for stream in streams:
        stream.reset(frames.CANCEL)
    connection.take()
    for stream in streams:
        if not has_head:
            connection.receive(head(stream))
        connection.receive(data(stream, b"x") + head(stream, TRAILERS, END_HEADERS | END_STREAM))
    finishes(connection, other)


def test_more_heads_than_a_response_has_are_counted() -> None:
    """Endless header blocks on a cancelled stream are work for nothing."""
    connection, stream, _ = cancelled(has_head=False)
    for _ in range(MAX_USELESS_FRAMES // 100 + 1):
        connection.receive(head(stream) * 100)
    assert "flood" in str(connection.error)


def test_resets_that_cross_ours_are_not_a_flood() -> None:
    """Each side gave up the stream before it heard of the other's decision."""
    connection, streams = started(12_001, limit=20_000)
    other = streams.pop()
    for stream in streams:
        stream.reset(frames.CANCEL)
    for stream in streams:
        connection.receive(frames.reset(stream.identifier, frames.CANCEL))
    finishes(connection, other)


def test_after_the_peers_end_or_reset_nothing_more_is_under_way() -> None:
    """What follows is counted as on any closed stream."""
    for last in ("end", "trailers", "reset"):
        connection, stream, _ = cancelled()
        connection.receive(
            {
                "end": data(stream, b"x", END_STREAM),
                "trailers": head(stream, TRAILERS, END_HEADERS | END_STREAM),
                "reset": frames.reset(stream.identifier, frames.NO_ERROR),
            }[last]
        )
        connection.receive(data(stream, b"x") * (MAX_USELESS_FRAMES + 1))
        assert "flood" in str(connection.error), last


def test_updates_for_cancelled_uploads_are_not_a_flood() -> None:
    """What was sent comes back as WINDOW_UPDATE, also when its stream is over by then."""
    connection, (other,) = started(1, limit=200)
    connection.receive(
        frames.settings({frames.INITIAL_WINDOW_SIZE: 2**30, frames.MAX_CONCURRENT_STREAMS: 200})
        + frames.window_update(0, 2**30)
    )
    streams = []
    for _ in range(100):
        stream = connection.open(b"https", b"POST", b"/", [HOST, (b"Transfer-Encoding", b"chunked")], streaming=True)
        for _ in range(110):
            stream.feed(b"x" * 10)
        connection.take()
        streams.append(stream)
    for stream in streams:
        stream.reset(frames.CANCEL)
    for stream in streams:
        for _ in range(110):
            connection.receive(frames.window_update(stream.identifier, 10) + frames.window_update(0, 10))
    finishes(connection, other)


def test_a_push_on_a_cancelled_stream_ends_the_connection() -> None:
    """Push was never allowed, whatever was under way (RFC 9113 6.6)."""
    connection, stream, _ = cancelled()
    connection.receive(frames.frame(frames.PUSH_PROMISE, END_HEADERS, stream.identifier, b"\0\0\0\2\x82"))
    assert loss(connection) == frames.PROTOCOL_ERROR


def test_a_block_for_a_cancelled_stream_still_changes_the_table() -> None:
    """The next response would have fields that were never sent."""
    connection, stream, other = cancelled(has_head=False)
    connection.receive(head(stream, OK + b"\x40\x03x-a\x01b"))
    connection.receive(head(other, OK + b"\xbe", END_HEADERS | END_STREAM))
    assert other.head == (200, b"", [(b"x-a", b"b")], b"HTTP/2")


def test_streams_that_the_peer_broke_have_no_credit_left() -> None:
    """A peer that ignores one window is not given another: its frames count as a flood."""
    connection, (stream, other) = started()
    connection.receive(head(stream))
    connection.receive(data(stream, bytes(16_384)) * (STREAM_WINDOW // 16_384 + 1))
    assert "window" in str(stream.error)
    connection.receive(data(stream, b"x") * 5000)
    assert connection.error is None
    connection.receive(data(stream, b"x") * 5001)
    assert "flood" in str(connection.error)
    assert other.error is not None


def test_a_million_cancelled_streams_leave_bounded_memory() -> None:
    """One entry for each stream ever would grow with the life of a connection; here 100,000 stand for them."""
    connection, (other,) = started(1)
    last = None
    for _ in range(100_000):
        last = connection.open(b"https", b"GET", b"/", [HOST])
        last.reset(frames.CANCEL)
        connection.output.clear()
        connection.progressed.clear()
        assert len(connection.reset_streams) <= MAX_RESET_STREAMS
    assert last is not None
    assert list(connection.streams) == [other.identifier]
    # Frames for the first of them may be under way as well: they are not a flood.
    for identifier in range(3, 30_003, 2):
        connection.receive(frames.frame(HEADERS, END_HEADERS, identifier, OK))
        connection.receive(frames.frame(DATA, END_STREAM, identifier, b"x"))
    finishes(connection, other)
