"""
One stream by itself: every state with every event, and every public method in every state.

The connection is a fake that notes what it is asked to do. How streams and a connection work together is in
`test_http2.py`.
"""

from __future__ import annotations

import itertools
from typing import Callable, Optional

import pytest

import httpx
from httpx._protocol import frames, stream2
from httpx._protocol.exchange import BODY, INPUT, NOTHING, PAUSE, HeadLimits
from httpx._protocol.stream2 import (
    CLOSED,
    IDLE,
    LOCAL_DONE,
    MAX_RESET_STREAMS,
    MOVES,
    OPEN,
    RECEIVE_DATA,
    RECEIVE_END,
    RECEIVE_HEADERS,
    RECEIVE_RESET,
    REMOTE_DONE,
    SEND_END,
    SEND_HEADERS,
    SEND_RESET,
    HTTP2Stream,
    ReceivedHead,
    ResetStreams,
)
from support.frame_reader import Frame, split

STATES = {IDLE: "idle", OPEN: "open", LOCAL_DONE: "local done", REMOTE_DONE: "remote done", CLOSED: "closed"}
EVENTS = {
    SEND_HEADERS: "send headers",
    SEND_END: "send end",
    SEND_RESET: "send reset",
    RECEIVE_HEADERS: "receive headers",
    RECEIVE_DATA: "receive data",
    RECEIVE_END: "receive end",
    RECEIVE_RESET: "receive reset",
}
Fields = list[tuple[bytes, bytes]]

OK = [(b":status", b"200")]


class FakeConnection:
    """What a stream asks of its connection."""

    def __init__(self, window: int = 65_535) -> None:
        self.limits = HeadLimits()
        self.max_frame_size = 16_384
        self.initial_window = 65_535
        self.stream_window = 1000
        self.room = window
        self.written: list[Frame] = []
        self.blocked = False
        self.forgotten = 0
        self.growth = 0
        self.reset_streams = ResetStreams()
        self.joining: HTTP2Stream | None = None  # pieces of DATA are handed over one by one

    def write(self, frame: bytes) -> None:
        self.written += split(frame, 2**24)[0]

    def write_data(self, identifier: int, data: bytes, ends: bool) -> None:
        self.room -= len(data)
        self.write(frames.frame(frames.DATA, int(ends), identifier, data))

    def mark_blocked(self, stream: HTTP2Stream, blocked: bool) -> None:
        self.blocked = blocked

    def forget(self, stream: HTTP2Stream) -> None:
        self.forgotten += 1

    def lend(self, stream: HTTP2Stream) -> int:
        return self.growth


def make(
    *events: int, window: int = 65_535, length: Optional[int] = None, is_head: bool = False
) -> tuple[HTTP2Stream, FakeConnection]:
    """A stream after some events."""
    connection = FakeConnection(window)
    stream = HTTP2Stream(connection, 1, is_head, length)  # type: ignore[arg-type]  # a fake
    for event in events:
        assert stream.move(event)
    return stream, connection


def headers(stream: HTTP2Stream, fields: Fields, ends: bool) -> None:
    """A header block, as the connection hands it on."""
    if stream.head is None:
        stream.receive_head(ReceivedHead(fields), ends)
    else:
        stream.receive_trailers(fields, ends)


def body(stream: HTTP2Stream, data: bytes) -> None:
    """A DATA frame, as the connection hands it on."""
    if stream.expect_data(len(data), 0) and data:
        stream.receive_data(data)


WAYS = {
    IDLE: (),
    OPEN: (SEND_HEADERS,),
    LOCAL_DONE: (SEND_HEADERS, SEND_END),
    REMOTE_DONE: (SEND_HEADERS, RECEIVE_END),
    CLOSED: (SEND_HEADERS, SEND_END, RECEIVE_END),
}


# -- the table

# RFC 9113 5.1, written down once more and by rows: what may happen, and where it leads.
EXPECTED = {
    "idle": {"send headers": "open"},
    "open": {
        "send end": "local done",
        "send reset": "closed",
        "receive headers": "open",
        "receive data": "open",
        "receive end": "remote done",
        "receive reset": "closed",
    },
    "local done": {
        "send reset": "closed",
        "receive headers": "local done",
        "receive data": "local done",
        "receive end": "closed",
        "receive reset": "closed",
    },
    "remote done": {"send end": "closed", "send reset": "closed", "receive reset": "closed"},
    "closed": {},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, EVENTS)))
def test_every_state_with_every_event(state: int, event: int) -> None:
    stream, _ = make(*WAYS[state])
    assert stream.state == state
    following = EXPECTED[STATES[state]].get(EVENTS[event])
    assert stream.move(event) == (following is not None)
    assert STATES[stream.state] == (following or STATES[state])


def test_the_table_names_no_other_state_and_no_other_event() -> None:
    assert {state for state, _ in MOVES} | set(MOVES.values()) == set(STATES)
    assert {event for _, event in MOVES} == set(EVENTS)
    assert all(state != CLOSED for state, _ in MOVES)


# -- the methods, in every state

Call = Callable[[HTTP2Stream], object]
METHODS: dict[str, tuple[Call, dict[int, int]]] = {
    # The state that a call leads to; the same state where none is given.
    "feed(bytes)": (lambda stream: stream.feed(b"x"), {}),
    "feed(nothing)": (lambda stream: stream.feed(b""), {}),
    "feed(None)": (lambda stream: stream.feed(None), {OPEN: LOCAL_DONE, REMOTE_DONE: CLOSED}),
    "queue": (lambda stream: stream.queue(b"x"), {}),
    "hold": (lambda stream: stream.hold(), {}),
    "proceed": (lambda stream: stream.proceed(), {}),
    "flush": (lambda stream: stream.flush(), {}),
    "cut_short": (lambda stream: stream.cut_short(), {}),
    "took": (lambda stream: stream.took(600), {}),
    "reset": (
        lambda stream: stream.reset(frames.CANCEL),
        {OPEN: CLOSED, LOCAL_DONE: CLOSED, REMOTE_DONE: CLOSED},
    ),
    "fail": (lambda stream: stream.fail("bad"), {OPEN: CLOSED, LOCAL_DONE: CLOSED, REMOTE_DONE: CLOSED}),
    "lose": (
        lambda stream: stream.lose(httpx.RemoteProtocolError("gone"), processed=True),
        {OPEN: CLOSED, LOCAL_DONE: CLOSED, REMOTE_DONE: CLOSED},
    ),
    "receive_head": (lambda stream: headers(stream, OK, False), {REMOTE_DONE: CLOSED}),
    "receive_head(end)": (
        lambda stream: headers(stream, OK, True),
        {OPEN: CLOSED, LOCAL_DONE: CLOSED, REMOTE_DONE: CLOSED},
    ),
    "receive_trailers": (
        lambda stream: stream.receive_trailers([], True),
        {OPEN: CLOSED, LOCAL_DONE: CLOSED, REMOTE_DONE: CLOSED},
    ),
    "receive_end": (lambda stream: stream.receive_end(), {OPEN: CLOSED, LOCAL_DONE: CLOSED, REMOTE_DONE: CLOSED}),
    "expect_data": (
        lambda stream: stream.expect_data(1, 0),  # there was no head
        {OPEN: CLOSED, LOCAL_DONE: CLOSED, REMOTE_DONE: CLOSED},
    ),
    "receive_reset": (
        lambda stream: stream.receive_reset(frames.CANCEL),
        {OPEN: CLOSED, LOCAL_DONE: CLOSED, REMOTE_DONE: CLOSED},
    ),
}


@pytest.mark.parametrize(("state", "method"), list(itertools.product(STATES, METHODS)))
def test_every_method_in_every_state(state: int, method: str) -> None:
    """Nothing is raised, the state is one of the picture, and what is written is legal in it."""
    call, leads_to = METHODS[method]
    stream, connection = make(*WAYS[state])
    call(stream)
    assert stream.state == leads_to.get(state, state)
    if stream.error is not None:
        assert type(stream.error) is httpx.RemoteProtocolError
        assert stream.need == NOTHING
        assert not stream.finished
    for kind, *_ in connection.written:
        assert (kind, state) in {
            (frames.DATA, OPEN),
            (frames.DATA, REMOTE_DONE),
            (frames.RST_STREAM, OPEN),
            (frames.RST_STREAM, LOCAL_DONE),
            (frames.RST_STREAM, REMOTE_DONE),
            (frames.WINDOW_UPDATE, OPEN),
            (frames.WINDOW_UPDATE, LOCAL_DONE),
        }
    if state == CLOSED:
        assert connection.written == []


@pytest.mark.parametrize("state", [IDLE, REMOTE_DONE, CLOSED])
def test_headers_and_data_are_refused_where_none_may_come(state: int) -> None:
    stream, connection = make(*WAYS[state])
    headers(stream, OK, False)
    assert str(stream.error) == "a header block arrived after the end of the stream"
    stream, connection = make(*WAYS[state])
    stream.head = (200, b"", [], b"HTTP/2")
    body(stream, b"x")
    assert str(stream.error) == "data arrived after the end of the stream"
    told = [frames.number(payload) for *_, payload in connection.written]
    assert told == ([frames.STREAM_CLOSED] if state == REMOTE_DONE else [])
    assert stream.chunks == []


# -- sending


def test_flush_may_be_limited_to_a_frame() -> None:
    stream, connection = make(SEND_HEADERS, window=0)
    stream.feed(b"ab")
    stream.feed(b"cd")
    assert connection.blocked
    connection.room = 100
    stream.flush(max_frames=1)
    assert connection.written == [(frames.DATA, 0, 1, b"ab")]
    assert connection.blocked
    stream.flush()
    assert connection.written[1:] == [(frames.DATA, 0, 1, b"cd")]
    assert not connection.blocked
    assert stream.need == BODY


def test_a_body_of_which_the_last_byte_waits_keeps_its_end() -> None:
    stream, connection = make(SEND_HEADERS, window=1, length=2)
    stream.feed(b"ab")
    stream.feed(None)
    assert stream.state == OPEN
    stream.feed(b"more")  # the body has ended: this is ignored and no fault
    connection.room = 5
    stream.flush()
    assert connection.written == [(frames.DATA, 0, 1, b"a"), (frames.DATA, frames.END_STREAM, 1, b"b")]
    assert stream.state == LOCAL_DONE


def test_the_end_of_the_upload_closes_a_stream_whose_answer_was_complete() -> None:
    stream, connection = make(SEND_HEADERS, RECEIVE_END)
    stream.feed(None)
    assert stream.state == CLOSED
    assert connection.forgotten == 1


def test_a_held_body_that_is_cut_short_is_not_sent_on_consent() -> None:
    stream, connection = make(SEND_HEADERS)
    stream.queue(b"ab")
    stream.hold()
    assert stream.need == PAUSE
    stream.cut_short()
    assert stream.need == INPUT
    headers(stream, [(b":status", b"100")], False)
    stream.proceed()
    stream.flush()
    assert connection.written == []


# -- receiving


@pytest.mark.parametrize("status", [b"", b"20", b"2000", b"099", b"abc", b"+20", b"2\xb20", b"200 ", b"-10"])
def test_a_status_that_is_no_number_of_three_digits_is_refused(status: bytes) -> None:
    stream, connection = make(*WAYS[LOCAL_DONE])
    headers(stream, [(b":status", status)], False)
    assert "expected :status with three digits" in str(stream.error)
    assert connection.written == [(frames.RST_STREAM, 0, 1, b"\x00\x00\x00\x01")]


@pytest.mark.parametrize(
    "field",
    [
        (b"X-A", b"b"),
        (b"", b"b"),
        (b"x a", b"b"),
        (b"x-a:", b"b"),
        (b"x-\xff", b"b"),
        (b"x" * 100 + b"\n", b"b"),
        (b":status", b"200"),
        (b":path", b"/"),
        (b"connection", b"close"),
        (b"keep-alive", b"5"),
        (b"proxy-connection", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"x"),
        (b"te", b"gzip"),
    ],
)
def test_a_field_that_may_not_be_there_is_refused_in_heads_and_trailers(field: tuple[bytes, bytes]) -> None:
    for before in ([], [OK]):
        stream, _ = make(*WAYS[LOCAL_DONE])
        for fields in before:
            headers(stream, fields, False)
        headers(stream, [*([] if before else OK), (b"x-fine", b""), field], True)
        assert "is not allowed in a response" in str(stream.error)
        assert not stream.finished
        assert stream.trailers is None


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"\n", b"a\0b", b" a", b"a\t", b"\ta", b"a "])
def test_a_value_that_could_be_read_as_more_than_one_is_refused(value: bytes) -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    headers(stream, [*OK, (b"x-a", value)], False)
    assert "has a character that is not allowed" in str(stream.error)


@pytest.mark.parametrize("value", [b"", b"+5", b"-1", b"5, 5", b"0x5", b"1" * 19, b"\xb2", b"5 6"])
def test_a_content_length_that_is_no_number_is_refused(value: bytes) -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    headers(stream, [*OK, (b"content-length", value)], False)
    assert "is not a number of bytes" in str(stream.error)


def test_content_lengths_that_agree_are_shown_as_one() -> None:
    """A program that makes a number of the header would fail at "5, 5"."""
    stream, _ = make(SEND_HEADERS, SEND_END)
    headers(stream, [*OK, (b"content-length", b"5"), (b"vary", b"a"), (b"content-length", b"5")], False)
    assert stream.head is not None
    assert stream.head[2] == [(b"content-length", b"5"), (b"vary", b"a")]


def test_two_content_lengths_must_agree() -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    headers(stream, [*OK, (b"content-length", b"5"), (b"content-length", b"6")], False)
    assert str(stream.error) == "Content-Length b'6' differs from another one, 5"


def test_fields_of_interim_answers_and_trailers_say_nothing_about_the_body() -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    headers(stream, [(b":status", b"103"), (b"content-length", b"5"), (b"te", b"trailers")], False)
    headers(stream, OK, False)
    body(stream, b"1234567")
    body(stream, b"")
    headers(stream, [(b"content-length", b"5")], True)
    assert stream.finished
    assert stream.chunks == [b"1234567"]


@pytest.mark.parametrize(("status", "ends"), [(b"100", True), (b"103", True), (b"101", False)])
def test_an_interim_answer_cannot_be_an_end_or_an_upgrade(status: bytes, ends: bool) -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    headers(stream, [(b":status", status)], ends)
    assert "the interim response" in str(stream.error)


def test_an_interim_answer_with_a_bad_field_is_no_interim_answer() -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    headers(stream, [(b":status", b"103"), (b"X", b"")], False)
    assert stream.error is not None
    assert stream.informational == ()


def test_trailers_must_end_the_stream() -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    headers(stream, OK, False)
    headers(stream, [(b"x-a", b"b")], False)
    assert str(stream.error) == "the trailers do not end their stream"


def test_a_head_may_be_empty_but_for_its_status_and_not_empty() -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    headers(stream, [], False)
    assert ":status" in str(stream.error)
    stream, _ = make(*WAYS[LOCAL_DONE], is_head=True)
    headers(stream, [*OK, (b"content-length", b"5")], True)
    assert stream.finished
    assert stream.need == NOTHING


def test_the_first_error_is_kept() -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    stream.fail("first")
    stream.fail("second")
    assert str(stream.error) == "first"


def test_names_are_remembered_within_bounds_and_no_peer_can_fill_them_for_good() -> None:
    kinds = stream2._ReceivedKinds()
    for number in range(3000):
        assert kinds[b"x-%d" % number] == 0
        assert kinds[b"X-%d" % number] == -1
    assert len(kinds) <= 1024
    assert kinds[b"content-length"] == stream2._CONTENT_LENGTH
    assert b"content-length" in kinds
    assert kinds[b"x" * 65] == 0
    assert b"x" * 65 not in kinds


def test_a_body_must_have_the_length_that_was_announced_in_both_directions() -> None:
    stream, _ = make(SEND_HEADERS, length=2)
    with pytest.raises(httpx.LocalProtocolError, match="longer"):
        stream.feed(b"abc")
    with pytest.raises(httpx.LocalProtocolError, match="2 bytes shorter"):
        stream.feed(None)
    for data, word in ((b"abc", "longer"), (b"a", "1 bytes shorter")):
        stream, _ = make(*WAYS[LOCAL_DONE])
        headers(stream, [*OK, (b"content-length", b"2"), (b"location", b"/")], False)
        assert stream.remarkable
        body(stream, data)
        if stream.error is None:
            stream.receive_end()
        assert word in str(stream.error)


def test_an_error_abandons_the_upload_and_small_pieces_are_put_together() -> None:
    stream, connection = make(SEND_HEADERS, window=1)
    stream.feed(b"abc")
    assert stream.need == INPUT
    headers(stream, [(b":status", b"413")], False)
    assert stream.abandoned
    assert not connection.blocked
    body(stream, b"a")
    body(stream, b"b")
    assert stream.chunks == [b"ab"]
    stream.receive_end()
    assert connection.written[-1] == (frames.RST_STREAM, 0, 1, bytes(4))


def test_what_the_reader_took_is_returned_by_halves_of_the_window() -> None:
    stream, connection = make(*WAYS[LOCAL_DONE])
    stream.ahead = 600
    stream.took(499)
    assert connection.written == []
    stream.took(1)
    assert connection.written == [(frames.WINDOW_UPDATE, 0, 1, (500).to_bytes(4, "big"))]
    assert (stream.ahead, stream.unread) == (100, 0)


def test_a_reader_who_keeps_up_is_lent_more_and_who_does_not_is_not() -> None:
    stream, connection = make(*WAYS[LOCAL_DONE])
    connection.growth = 1000
    stream.ahead = 1000
    stream.took(500)
    assert connection.written == [(frames.WINDOW_UPDATE, 0, 1, (500).to_bytes(4, "big"))]
    stream.took(500)
    assert connection.written[1:] == [(frames.WINDOW_UPDATE, 0, 1, (1500).to_bytes(4, "big"))]
    assert (stream.receive_window, stream.ahead, stream.unread) == (2000, 0, 0)


def test_a_stream_is_uploading_until_its_body_is_sent_or_dropped() -> None:
    stream, _ = make(SEND_HEADERS)
    assert stream.uploading
    stream.feed(None)
    assert not stream.uploading
    stream, _ = make(SEND_HEADERS)
    stream.cut_short()
    assert not stream.uploading


def test_there_is_room_for_as_much_as_window_and_length_allow() -> None:
    stream, _ = make(*WAYS[LOCAL_DONE])
    assert stream.room == 1000
    headers(stream, [*OK, (b"content-length", b"700")], False)
    assert stream.room == 700
    stream.got(400)
    assert (stream.room, stream.ahead) == (300, 400)
    stream.ahead = 900
    assert stream.room == 100


# -- streams that were reset


def reset_streams(window: int = 100, has_head: bool = False) -> ResetStreams:
    """What is known after stream 1 was reset."""
    stream, connection = make(*WAYS[LOCAL_DONE])
    stream.receive_window = window
    if has_head:
        headers(stream, OK, False)
    stream.reset(frames.CANCEL)
    assert len(connection.reset_streams) == 1
    return connection.reset_streams


def test_a_reset_stream_may_use_the_rest_of_its_window() -> None:
    late = reset_streams()
    assert late.data(1, 60, False) == 40
    assert late.data(1, 40, False) == 0
    assert late.data(1, 1, False) == -1
    assert late.data(3, 1, False) is None
    assert late.data(3, 0, True) is None


def test_a_reset_stream_may_finish_its_response() -> None:
    late = reset_streams()
    assert [late.block(1, False) for _ in range(3)] == [True, True, False]
    late = reset_streams(has_head=True)
    assert [late.block(1, False) for _ in range(2)] == [True, False]
    assert not late.block(3, True)


@pytest.mark.parametrize("last", ["data", "block", "reset"])
def test_after_its_end_nothing_more_is_expected_of_a_reset_stream(last: str) -> None:
    late = reset_streams()
    if last == "data":
        assert late.data(1, 60, True) == 40
    else:
        assert late.block(1, True) if last == "block" else late.reset(1)
    assert len(late) == 0
    assert late.data(1, 1, False) is None
    assert not late.block(1, False)
    assert not late.reset(1)


@pytest.mark.parametrize("state", [IDLE, REMOTE_DONE, CLOSED])
def test_where_the_peer_could_not_send_nothing_is_expected(state: int) -> None:
    stream, connection = make(*WAYS[state])
    stream.reset(frames.CANCEL)
    assert len(connection.reset_streams) == 0


def test_a_stream_whose_window_was_exceeded_may_send_nothing_more() -> None:
    stream, connection = make(*WAYS[LOCAL_DONE])
    headers(stream, OK, False)
    body(stream, bytes(1001))
    assert "more data than the window" in str(stream.error)
    assert len(connection.reset_streams) == 0


def test_of_the_streams_that_were_reset_first_the_sums_are_kept() -> None:
    """Memory stays bounded, and still nothing that was allowed is a flood."""
    late = ResetStreams()
    for number in range(MAX_RESET_STREAMS + 1):
        stream, _ = make(*WAYS[LOCAL_DONE])
        stream.identifier = 2 * number + 1
        stream.receive_window = 10
        late.add(stream)
    assert len(late) == 1
    assert late.data(1, 10 * MAX_RESET_STREAMS - 1, False) == 1
    assert late.data(1, 2, False) is None
    assert late.data(3, 1, True) == 0
    assert late.data(3, 1, True) == 0  # its end alone: one of the frames that are left
    frames_left = 0
    while late.block(5, True):
        frames_left += 1
    assert frames_left == 3 * MAX_RESET_STREAMS - 1
    assert not late.reset(5)
