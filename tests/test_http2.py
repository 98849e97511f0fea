"""
The HTTP/2 machine by itself: a connection and its streams, with a server that is made of frames.

What hostile peers try is in `adversarial/test_http2_hostile.py`; what a whole server (h2) makes of our bytes in
`conformance/test_http2_differential.py`. Nothing here has a socket or a clock.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any, Optional, Union

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._protocol import frames, request_block
from httpx._protocol.exchange import BODY, INPUT, NOTHING, PAUSE, HeadLimits
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
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from httpx._protocol.http2 import (
    CONNECTION_WINDOW,
    MAX_LENT,
    MAX_QUEUED,
    MAX_STREAM_WINDOW,
    STREAM_WINDOW,
    HTTP2Connection,
)
from httpx._protocol.stream2 import HTTP2Stream
from support.counting import frames as counted_frames
from support.frame_reader import Frame, split
from support.interrupts import Interrupted, interrupt
from support.wires import cuts

Fields = list[tuple[bytes, bytes]]

HOST = (b"Host", b"example.org")
POST5 = [(b"Content-Length", b"5")]
CHUNKED = [(b"Transfer-Encoding", b"chunked")]


class Server:
    """The other side of a connection: frames as a test wants them, and those that we sent, read."""

    def __init__(self, values: Optional[dict[int, int]] = None, limits: Optional[HeadLimits] = None) -> None:
        self.connection = HTTP2Connection() if limits is None else HTTP2Connection(limits)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 2**24
        assert self.connection.take().startswith(frames.PREFACE)
        self.say(frames.settings(values or {}))
        assert self.heard() == [(SETTINGS, ACK, 0, b"")]

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.receive(piece)

    def heard(self) -> list[Frame]:
        """The frames that we send now, all of them."""
        out = b""
        while self.connection.output:
            out += self.connection.take()
        found, rest = split(out, frames.LARGEST_FRAME_SIZE)
        assert rest == b""
        return found

    def fields(self, block: bytes) -> Fields:
        return [(bytes(name), bytes(value)) for name, value in self.decoder.decode(block, raw=True)]

    def request(self) -> tuple[Fields, int]:
        """The fields of the one request that we send now, and the flags of its HEADERS."""
        ((kind, flags, _, block),) = self.heard()
        assert kind == HEADERS
        return self.fields(block), flags

    def head(self, stream: HTTP2Stream, status: int = 200, fields: Optional[Fields] = None, ends: bool = False) -> None:
        self.say(self.block(stream.identifier, [(b":status", b"%d" % status), *(fields or [])], ends))

    def block(self, identifier: int, fields: Fields, ends: bool = False) -> bytes:
        block = self.encoder.encode(fields)
        return frames.frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), identifier, block)

    def body(self, stream: HTTP2Stream, data: bytes, ends: bool = False) -> None:
        self.say(frames.frame(DATA, END_STREAM if ends else 0, stream.identifier, data))


def get(server: Server, method: bytes = b"GET", target: bytes = b"/", fields: Optional[Fields] = None) -> HTTP2Stream:
    """A request without a body, sent."""
    stream = server.connection.open(b"https", method, target, [HOST, *(fields or [])])
    server.request()
    return stream


def post(server: Server, fields: Fields, **kwargs: Any) -> HTTP2Stream:
    return server.connection.open(b"https", b"POST", b"/", [HOST, *fields], **kwargs)


def data_of(sent: list[Frame], identifier: int) -> bytes:
    return b"".join(payload for kind, _, stream, payload in sent if (kind, stream) == (DATA, identifier))


def error_of(stream: HTTP2Stream) -> str:
    assert type(stream.error) is httpx.RemoteProtocolError
    assert stream.need == NOTHING
    assert not stream.finished
    assert not stream.reusable
    return str(stream.error)


def lost(server: Server, code: int = frames.PROTOCOL_ERROR) -> str:
    """The message with which the connection ended; the peer was told the code, and everything else is over."""
    connection = server.connection
    assert type(connection.error) is httpx.RemoteProtocolError
    kind, _, _, payload = server.heard()[-1]
    assert kind == GOAWAY
    assert frames.number(payload[4:]) == code
    assert not connection.streams
    assert connection.capacity == 0
    connection.receive(b"whatever")
    assert not connection.output
    return str(connection.error)


# -- the beginning


def test_a_connection_begins_with_the_preface_settings_and_a_large_window() -> None:
    connection = HTTP2Connection()
    out = connection.take()
    assert out.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    (first, second), rest = split(out[24:], 16_384)
    assert first[:3] == (SETTINGS, 0, 0)
    assert dict(frames.parsed_settings(first[3])) == {2: 0, 4: STREAM_WINDOW, 6: 262_144}
    assert second == (WINDOW_UPDATE, 0, 0, (CONNECTION_WINDOW - 65_535).to_bytes(4, "big"))
    assert rest == b""
    assert not connection.output
    assert connection.take() == b""


@pytest.mark.parametrize("trailers", [False, True])
def test_a_response_is_whole_before_it_is_finished_at_every_moment(trailers: bool) -> None:
    """
    A signal handler raised while one thread received for all: another thread's body ended with parts of it missing.

    They had arrived, and were still to be joined.
    """
    machine = (str(Path(httpx.__file__).parent / "_protocol"),)
    pieces = [bytes([number]) * 4096 for number in range(5)]
    finished, whole = 0, False
    for number in itertools.count(0, 5):  # the first time it is not interrupted, and what is made once is there
        server = Server()
        stream = get(server)
        end = 0 if trailers else END_STREAM
        arrived = server.block(1, [(b":status", b"200")])
        arrived += b"".join(frames.frame(DATA, 0, 1, piece) for piece in pieces[:-1])
        arrived += frames.frame(DATA, end, 1, pieces[-1])
        if trailers:
            arrived += server.block(1, [(b"x-sum", b"1")], True)
        try:
            interrupt(functools.partial(server.connection.receive, arrived), machine, number)
        except Interrupted:
            finished += stream.finished
            assert not stream.finished or b"".join(stream.chunks) == b"".join(pieces), number
        else:
            whole = stream.finished
            if number:
                break
    assert whole
    assert finished > 10


def test_requests_may_begin_before_the_peer_has_said_anything() -> None:
    connection = HTTP2Connection()
    assert connection.capacity == 100
    connection.open(b"https", b"GET", b"/", [HOST])
    assert connection.capacity == 99


def test_a_server_that_begins_with_something_else_does_not_speak_http2() -> None:
    connection = HTTP2Connection()
    stream = connection.open(b"http", b"GET", b"/", [HOST])
    connection.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert "does not speak HTTP/2" in error_of(stream)
    connection = HTTP2Connection()
    connection.receive(frames.frame(PING, 0, 0, b"12345678"))
    assert "does not speak HTTP/2" in str(connection.error)


def test_settings_are_acknowledged_and_what_is_unknown_in_them_is_ignored() -> None:
    server = Server({200: 5, frames.MAX_HEADER_LIST_SIZE: 100, frames.ENABLE_PUSH: 0})
    server.say(frames.settings({}))
    assert server.heard() == [(SETTINGS, ACK, 0, b"")]
    server.say(frames.frame(SETTINGS, ACK, 0))
    assert server.heard() == []


# -- requests


def test_a_request_is_one_header_block() -> None:
    server = Server()
    stream = server.connection.open(b"https", b"GET", b"/a?b=c", [HOST, (b"Accept", b"*/*"), (b"X-A", b" b\t")])
    fields, flags = server.request()
    assert fields == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"example.org"),
        (b":path", b"/a?b=c"),
        (b"accept", b"*/*"),
        (b"x-a", b"b"),
    ]
    assert flags == END_HEADERS | END_STREAM
    assert (stream.identifier, stream.need) == (1, INPUT)
    assert get(server).identifier == 3


def test_fields_of_the_connection_are_dropped_and_trailers_are_announced() -> None:
    server = Server()
    hop = [
        (b"Connection", b"keep-alive"),
        (b"Keep-Alive", b"5"),
        (b"Proxy-Connection", b"keep-alive"),
        (b"Upgrade", b"h2c"),
        (b"TE", b"gzip"),
        (b"te", b" trailers"),
        *CHUNKED,
    ]
    server.connection.open(b"https", b"GET", b"/", [HOST, *hop])
    assert server.request()[0][4:] == [(b"te", b"trailers")]


def test_requests_pass_the_gate_of_http1() -> None:
    server = Server()
    for fields in (
        [],
        [HOST, HOST],
        [HOST, (b"X-A", b"b\r\nX-C: d")],
        [HOST, (b"X A", b"b")],
        [HOST, (b":path", b"/other")],
        [HOST, *POST5, *CHUNKED],
    ):
        with pytest.raises(httpx.LocalProtocolError):
            server.connection.open(b"https", b"GET", b"/", fields)
    for target in (b"", b"/a b", b"/\r\n", b"/\xff"):
        with pytest.raises(httpx.LocalProtocolError, match="target"):
            server.connection.open(b"https", b"GET", target, [HOST])
    for host in (b"", b" ", b"user@example.org", b"a b", b"a\xff"):
        with pytest.raises(httpx.LocalProtocolError, match="must be a host"):
            server.connection.open(b"https", b"GET", b"/", [(b"Host", host)])
    for method in (b"", b"GE T", b"GET\n"):
        with pytest.raises(httpx.LocalProtocolError, match="method"):
            server.connection.open(b"https", method, b"/", [HOST])
    with pytest.raises(httpx.LocalProtocolError, match="needs Content-Length"):
        post(server, [], body=b"x")
    for body, streaming in ((b"four", False), (b"longer", False), (b"longer", True)):
        with pytest.raises(httpx.LocalProtocolError, match="Content-Length says 5"):
            post(server, POST5, body=body, streaming=streaming)
    assert not server.connection.output
    assert not server.connection.streams
    assert get(server).identifier == 1


@pytest.mark.parametrize("method", [b"M-SEARCH", b"VERSION-CONTROL", b"PROPFIND", b"get"])
def test_every_method_of_http1_can_be_used(method: bytes) -> None:
    """A method with a hyphen was refused."""
    server = Server()
    server.connection.open(b"https", method, b"/", [HOST])
    assert server.request()[0][0] == (b":method", method)


def test_the_fields_of_the_last_request_are_remembered_and_not_those_of_another() -> None:
    server = Server()
    fields = [HOST, (b"Accept", b"a")]
    for value in (b"a", b"a", b"b"):
        fields[1] = (b"Accept", value)
        server.connection.open(b"https", b"GET", b"/", fields)
        assert server.request()[0][-1] == (b"accept", value)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([0, 100, 4096]),
            st.tuples(
                st.sampled_from([b"GET", b"HEAD", b"M-SEARCH"]),
                st.sampled_from([b"/", b"/a", b"/index.html", b"/" + b"b" * 300]),
                st.lists(
                    st.tuples(st.sampled_from([b"Accept", b"X-Id", b"Cookie"]), st.sampled_from([b"a", b"b", b"c"])),
                    max_size=3,
                ),
            ),
        ),
        max_size=20,
    )
)
def test_what_is_remembered_of_requests_is_never_that_of_another(
    steps: list[Union[int, tuple[bytes, bytes, Fields]]],
) -> None:
    server = Server()
    for step in steps:
        if isinstance(step, int):
            server.say(frames.settings({frames.HEADER_TABLE_SIZE: step}))
            server.heard()
            continue
        method, target, fields = step
        stream = server.connection.open(b"https", method, target, [HOST, *fields])
        expected = [(b":method", method), (b":scheme", b"https"), (b":authority", b"example.org"), (b":path", target)]
        assert server.request()[0] == expected + [(name.lower(), value) for name, value in fields]
        stream.reset(frames.CANCEL)
        server.heard()


def test_names_of_sent_fields_are_remembered_within_bounds() -> None:
    names = request_block._SentNames()
    for number in range(3000):
        assert names[b"X-%d" % number] == b"x-%d" % number
    assert len(names) <= 1024
    assert names[b"Connection"] == b""
    assert names[b"X" * 65] == b"x" * 65
    assert b"X" * 65 not in names


def test_few_targets_are_remembered_and_no_long_ones() -> None:
    server = Server()
    for number in range(600):
        for target in (b"/%d" % number, b"/long" * 100):
            get(server, target=target).reset(frames.CANCEL)
            server.heard()
    assert 0 < len(server.connection._paths) <= 256
    assert max(map(len, server.connection._paths)) <= 256


def test_a_target_that_was_sent_is_checked_again_with_another_method() -> None:
    server = Server()
    for _ in range(3):
        get(server)
    with pytest.raises(httpx.LocalProtocolError, match="method"):
        get(server, b"GE T")


def test_a_large_header_block_goes_on_in_continuations() -> None:
    server = Server()
    cookie = (b"cookie", b"~" * 40_000)
    server.connection.open(b"https", b"GET", b"/", [HOST, cookie])
    sent = server.heard()
    assert [(kind, flags) for kind, flags, _, _ in sent] == [
        (HEADERS, END_STREAM),
        (CONTINUATION, 0),
        (CONTINUATION, END_HEADERS),
    ]
    assert server.fields(b"".join(payload for *_, payload in sent))[-1] == cookie


def test_a_small_body_leaves_with_its_head_and_ends_the_stream() -> None:
    server = Server()
    stream = post(server, POST5, body=b"hello")
    head, data = server.heard()
    assert head[:2] == (HEADERS, END_HEADERS)
    assert data == (DATA, END_STREAM, 1, b"hello")
    assert stream.need == INPUT


def test_a_body_comes_in_pieces_and_its_end_is_said_once() -> None:
    server = Server()
    stream = post(server, CHUNKED, streaming=True)
    assert stream.need == BODY
    stream.feed(b"one")
    stream.feed(b"")
    assert stream.need == BODY
    stream.feed(None)
    assert stream.need == INPUT
    stream.feed(b"too late")
    stream.feed(None)
    assert server.heard()[1:] == [(DATA, 0, 1, b"one"), (DATA, END_STREAM, 1, b"")]


def test_a_body_without_bytes_ends_its_stream() -> None:
    server = Server()
    post(server, [(b"Content-Length", b"0")])
    assert [(kind, flags) for kind, flags, *_ in server.heard()] == [(HEADERS, END_HEADERS | END_STREAM)]


def test_a_body_must_have_the_length_that_was_announced() -> None:
    server = Server()
    stream = post(server, POST5, body=b"abc", streaming=True)
    with pytest.raises(httpx.LocalProtocolError, match="longer than its Content-Length"):
        stream.feed(b"def")
    with pytest.raises(httpx.LocalProtocolError, match="2 bytes shorter"):
        stream.feed(None)
    stream.feed(b"de")
    stream.feed(None)
    assert data_of(server.heard(), 1) == b"abcde"


# -- tunnels


def connect(server: Server, protocol: bytes = b"", fields: Optional[Fields] = None) -> HTTP2Stream:
    target = b"/chat" if protocol else b"other.example:443"
    every = [HOST, *(fields or [])]
    return server.connection.open(b"https", b"CONNECT", target, every, streaming=True, protocol=protocol)


def test_a_connect_names_where_it_leads_to_and_nothing_else() -> None:
    server = Server()
    stream = connect(server, fields=[(b"Proxy-Authorization", b"Basic x")])
    fields, flags = server.request()
    assert fields == [
        (b":method", b"CONNECT"),
        (b":authority", b"other.example:443"),
        (b"proxy-authorization", b"Basic x"),
    ]
    assert flags == END_HEADERS
    server.head(stream, 200, [(b"content-length", b"2")])  # means nothing here (RFC 9110 9.3.6)
    stream.feed(b"question")
    server.body(stream, b"answer", ends=True)
    assert stream.chunks == [b"answer"]
    assert stream.finished
    stream.feed(b"more")  # the other end may have said everything, and still listen
    stream.feed(None)
    assert data_of(server.heard(), 1) == b"questionmore"
    assert not server.connection.streams
    assert stream.error is None


def test_a_connect_that_is_refused_has_an_answer_like_any_other() -> None:
    server = Server()
    stream = connect(server)
    server.request()
    server.head(stream, 407, [(b"content-length", b"2")])
    assert stream.abandoned
    server.body(stream, b"no", ends=True)
    assert stream.finished
    assert server.heard() == [(RST_STREAM, 0, 1, bytes(4))]


def test_a_protocol_is_opened_where_the_peer_takes_it() -> None:
    """RFC 8441: a WebSocket on a stream."""
    server = Server()
    with pytest.raises(httpx.LocalProtocolError, match="does not take the protocol b'websocket'"):
        connect(server, b"websocket")
    server.say(frames.settings({frames.ENABLE_CONNECT_PROTOCOL: 1}))
    server.heard()
    assert server.connection.allows_protocols
    connect(server, b"websocket")
    assert server.request()[0] == [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        (b":authority", b"example.org"),
        (b":path", b"/chat"),
    ]
    with pytest.raises(httpx.LocalProtocolError, match="must be a token, and the method CONNECT"):
        connect(server, b"web socket")
    with pytest.raises(httpx.LocalProtocolError, match="must be a token, and the method CONNECT"):
        server.connection.open(b"https", b"GET", b"/", [HOST], streaming=True, protocol=b"websocket")


def test_a_connect_has_no_body_of_a_length() -> None:
    server = Server()
    for fields in (POST5, CHUNKED):
        with pytest.raises(httpx.LocalProtocolError, match="must be streamed, without a length"):
            connect(server, fields=fields)
    with pytest.raises(httpx.LocalProtocolError, match="must be streamed, without a length"):
        server.connection.open(b"https", b"CONNECT", b"a:1", [HOST])
    assert not server.connection.output


# -- windows, sending


def test_a_body_stops_at_the_streams_window_and_goes_on_when_it_opens() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 3})
    stream = post(server, POST5, body=b"hello")
    assert data_of(server.heard(), 1) == b"hel"
    assert stream.need == INPUT
    server.connection.progressed.clear()
    server.say(frames.window_update(1, 1))
    assert server.connection.progressed == [stream]
    assert server.heard() == [(DATA, 0, 1, b"l")]
    server.say(frames.window_update(1, 100))
    assert server.heard() == [(DATA, END_STREAM, 1, b"o")]


def test_the_end_of_a_body_that_waits_is_sent_with_its_last_byte() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    stream = post(server, CHUNKED, body=b"ab", streaming=True)
    assert stream.need == INPUT
    stream.feed(None)
    server.say(frames.window_update(1, 1))
    assert server.heard()[1:] == [(DATA, 0, 1, b"a"), (DATA, END_STREAM, 1, b"b")]


def test_more_of_a_body_is_wanted_when_what_waited_has_left() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    stream = post(server, CHUNKED, body=b"ab", streaming=True)
    assert stream.need == INPUT
    server.say(frames.window_update(1, 1))
    assert stream.need == BODY


def test_all_streams_share_the_connections_window() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 2**31 - 1})
    first = post(server, CHUNKED, body=b"a" * 60_000)
    second = post(server, CHUNKED, body=b"b" * 60_000)
    sent = server.heard()
    assert len(data_of(sent, 1)) == 60_000
    assert len(data_of(sent, 3)) == 5_535
    server.connection.progressed.clear()
    server.say(frames.window_update(0, 100_000))
    assert server.connection.progressed == [second]
    assert len(data_of(server.heard(), 3)) == 60_000 - 5_535
    assert not server.connection._blocked
    assert first.need == second.need == INPUT


def test_streams_that_wait_for_the_connections_window_take_turns() -> None:
    """The first upload took every update for itself, and the others stood still until it was done."""
    server = Server({frames.INITIAL_WINDOW_SIZE: 2**31 - 1})
    post(server, CHUNKED, body=b"x" * 65_535)
    for _ in range(3):
        post(server, CHUNKED, body=b"x" * 100_000)
    server.heard()
    shares = dict.fromkeys((3, 5, 7), 0)
    for _ in range(9):
        server.say(frames.window_update(0, 20_000))
        for kind, _, identifier, payload in server.heard():
            assert kind == DATA
            shares[identifier] += len(payload)
    assert sum(shares.values()) == 180_000
    assert max(shares.values()) - min(shares.values()) <= 32_768


def test_a_new_initial_window_changes_the_streams_that_live() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 10})
    stream = post(server, CHUNKED, body=b"x" * 40)
    assert len(data_of(server.heard(), 1)) == 10
    server.say(frames.settings({frames.INITIAL_WINDOW_SIZE: 15}))
    acknowledged, data = server.heard()
    assert acknowledged[:2] == (SETTINGS, ACK)  # and only then what it lets out: h2 counts from there
    assert data == (DATA, 0, 1, b"x" * 5)
    server.say(frames.settings({frames.INITIAL_WINDOW_SIZE: 5}))
    assert stream.window == -10
    assert server.heard()[1:] == []
    server.say(frames.window_update(1, 10))
    assert server.heard() == []
    server.say(frames.window_update(1, 1))
    assert server.heard() == [(DATA, 0, 1, b"x")]
    server.say(frames.settings({frames.INITIAL_WINDOW_SIZE: 100}))
    assert server.heard()[1:] == [(DATA, END_STREAM, 1, b"x" * 24)]


def test_a_body_may_end_while_its_window_is_negative() -> None:
    """A frame without bytes needs no window (RFC 9113 6.9.1), and waiting for one would be waiting for ever."""
    server = Server()
    stream = post(server, CHUNKED, body=b"x" * 20, streaming=True)
    server.say(frames.settings({frames.INITIAL_WINDOW_SIZE: 5}))
    assert (stream.window, data_of(server.heard(), 1)) == (-15, b"x" * 20)
    stream.feed(None)
    assert server.heard() == [(DATA, END_STREAM, 1, b"")]


def test_only_the_last_of_several_initial_windows_counts() -> None:
    """Each of 2,730 values in one frame went through all streams: 100 ms of work for 16 KiB."""
    server = Server()
    stream = post(server, CHUNKED, streaming=True)
    item = frames.settings({frames.INITIAL_WINDOW_SIZE: frames.MAX_WINDOW})[9:]
    last = frames.settings({frames.INITIAL_WINDOW_SIZE: 7})[9:]
    server.say(frames.frame(SETTINGS, 0, 0, item + last))
    assert stream.window == server.connection.initial_window == 7


def test_a_window_of_a_stream_that_has_ended_may_still_open() -> None:
    server = Server()
    stream = get(server)
    server.head(stream, ends=True)
    server.say(frames.window_update(1, 5))
    assert server.connection.error is None
    assert server.heard() == []


def test_a_larger_frame_size_is_used_up_to_what_we_queue() -> None:
    server = Server({frames.MAX_FRAME_SIZE: 20_000, frames.INITIAL_WINDOW_SIZE: 100_000})
    post(server, CHUNKED, body=b"x" * 50_000)
    assert [len(payload) for kind, _, _, payload in server.heard() if kind == DATA] == [20_000, 20_000, 10_000]
    server.say(frames.settings({frames.MAX_FRAME_SIZE: frames.LARGEST_FRAME_SIZE}))
    assert server.connection.max_frame_size == MAX_QUEUED


class Sliced(bytes):
    """Bytes that count how many of them were copied."""

    copied = 0

    def __getitem__(self, index: Any) -> Any:
        piece = bytes.__getitem__(self, index)
        Sliced.copied += len(piece) if isinstance(index, slice) else 0
        return Sliced(piece) if isinstance(index, slice) else piece


def test_a_large_chunk_is_copied_once_and_not_once_for_each_frame() -> None:
    """100 MB in one chunk were copied 3,000 times over: the rest was cut off anew for every 16 KiB."""
    server = Server({frames.INITIAL_WINDOW_SIZE: 2**31 - 1})
    server.say(frames.window_update(0, 2**30))
    Sliced.copied = 0
    body = Sliced(bytes(10_000_000))
    post(server, CHUNKED, body=body)
    sent = server.heard()
    assert data_of(sent, 1) == body
    assert sent[-1][:2] == (DATA, END_STREAM)
    assert Sliced.copied <= len(body)


class Windows:
    """What the server allows, counted by itself; every frame of ours is held against it."""

    def __init__(self, sizes: list[int]) -> None:
        self.server = Server({frames.INITIAL_WINDOW_SIZE: 100, frames.MAX_CONCURRENT_STREAMS: 1000})
        self.initial, self.whole, self.streams = 100, 65_535, [100] * len(sizes)
        self.left = sizes.copy()
        for size in sizes:
            post(self.server, [(b"Content-Length", b"%d" % size)], body=bytes(size))
        self.hear()

    def hear(self) -> None:
        for kind, flags, identifier, payload in self.server.heard():
            if kind == DATA:
                index = identifier // 2
                if payload:
                    self.whole -= len(payload)
                    self.streams[index] -= len(payload)
                    assert self.whole >= 0
                    assert self.streams[index] >= 0
                self.left[index] -= len(payload)
                assert bool(flags & END_STREAM) == (self.left[index] == 0)

    def settings(self, window: int) -> None:
        difference, self.initial = window - self.initial, window
        self.streams = [one + difference for one in self.streams]
        self.server.say(frames.settings({frames.INITIAL_WINDOW_SIZE: window}))
        self.hear()

    def update(self, index: int, increment: int) -> None:
        """Of a stream, or of the connection if there is none of that number."""
        if index < len(self.streams):
            self.streams[index] += increment
            self.server.say(frames.window_update(2 * index + 1, increment))
        else:
            self.whole += increment
            self.server.say(frames.window_update(0, increment))
        self.hear()


@given(
    st.lists(st.sampled_from([1, 99, 100, 101, 20_000, 70_000]), min_size=1, max_size=4),
    st.lists(
        st.one_of(
            st.sampled_from([0, 1, 50, 100, 5000, 100_000]),
            st.tuples(st.integers(0, 4), st.sampled_from([1, 10, 1000, 70_000])),
        ),
        max_size=12,
    ),
)
def test_windows_are_kept_to_and_no_upload_is_forgotten(sizes: list[int], steps: list[Any]) -> None:
    """Windows that shrink below nothing, and grow again in any order: never a byte too many, and never a deadlock."""
    windows = Windows(sizes)
    for step in steps:
        if isinstance(step, int):
            windows.settings(step)
        else:
            windows.update(*step)
        assert not windows.server.connection.output
    # Now each gets exactly what it needs, in an order in which all of them wait for something until the last.
    for index, left in enumerate(windows.left):
        if left and windows.streams[index] < left:
            windows.update(index, left - windows.streams[index])
    if sum(windows.left) > windows.whole:
        windows.update(len(sizes), sum(windows.left) - windows.whole)
    assert windows.left == [0] * len(sizes)
    assert windows.server.connection.error is None
    assert not windows.server.connection._blocked


def test_a_large_window_does_not_put_the_whole_body_into_the_output() -> None:
    """An early answer could no longer end the upload, and other requests would wait behind 100 MB."""
    server = Server({frames.INITIAL_WINDOW_SIZE: 2**31 - 1})
    server.say(frames.window_update(0, 2**30))
    first = post(server, CHUNKED, body=bytes(2_000_000), streaming=True)
    second = post(server, CHUNKED, body=bytes(2_000_000))
    assert first.need == INPUT
    rounds = []
    while server.connection.output:
        out = server.connection.take()
        assert len(out) < MAX_QUEUED + 20_000
        rounds.append({stream for kind, _, stream, _ in split(out, 2**24)[0] if kind == DATA})
    assert rounds[0] == {1}
    assert all(both == {1, 3} for both in rounds[1:-1])
    assert first.need == BODY
    assert second.need == INPUT
    assert first in server.connection.progressed


# -- windows, receiving


def test_what_the_reader_takes_opens_the_streams_window_again() -> None:
    server = Server()
    stream = get(server)
    server.head(stream)
    for _ in range(STREAM_WINDOW // 16_384):
        server.body(stream, b"x" * 16_384)
    assert stream.ahead == STREAM_WINDOW
    updates = server.heard()
    assert all(frame[::2] == (WINDOW_UPDATE, 0) for frame in updates)  # none for the stream: nobody has read
    stream.took(STREAM_WINDOW // 2 - 1)
    assert server.heard() == []
    stream.took(1)
    assert server.heard() == [(WINDOW_UPDATE, 0, 1, (STREAM_WINDOW // 2).to_bytes(4, "big"))]
    server.body(stream, b"x" * 16_384, ends=True)
    assert stream.finished
    stream.took(STREAM_WINDOW // 2)
    assert server.heard() == []  # nobody sends on it any more


def test_a_reader_who_keeps_up_gets_a_larger_window() -> None:
    """2 MiB for each round trip are 20 MB/s at 100 ms, whatever the line could carry."""
    server = Server()
    stream = get(server)
    server.head(stream)
    given = STREAM_WINDOW
    for _ in range(3000):
        server.body(stream, b"x" * 16_384)
        stream.took(16_384)
        stream.chunks.clear()
        given += sum(frames.number(payload) for _, _, identifier, payload in server.heard() if identifier)
    assert stream.receive_window == MAX_STREAM_WINDOW
    assert given == stream.receive_window + 3000 * 16_384 - stream.unread
    for _ in range(MAX_STREAM_WINDOW // 16_384):
        server.body(stream, b"x" * 16_384)
    server.body(stream, b"x" * 16_384)
    assert "more data than the window" in error_of(stream)


def test_all_windows_together_do_not_grow_without_end() -> None:
    server = Server()
    streams = [get(server) for _ in range(20)]
    for stream in streams:
        server.head(stream)
        for _ in range(1000):
            server.body(stream, b"x" * 16_384)
            stream.took(16_384)
            stream.chunks.clear()
            server.heard()
    grown = sum(stream.receive_window - STREAM_WINDOW for stream in streams)
    assert grown == MAX_LENT
    streams[0].reset(frames.CANCEL)
    server.body(streams[1], b"", ends=True)
    assert server.connection._lent == grown - 2 * (MAX_STREAM_WINDOW - STREAM_WINDOW)


def test_the_connections_window_opens_on_receipt_so_that_a_slow_reader_stops_nobody() -> None:
    server = Server()
    streams = [get(server) for _ in range(20)]
    returned = received = 0
    for stream in streams:
        server.head(stream)
        for _ in range(STREAM_WINDOW // 16_384):
            server.body(stream, b"x" * 16_384)
            received += 16_384
            returned += sum(frames.number(payload) for _, _, _, payload in server.heard())
            assert received - returned < CONNECTION_WINDOW // 2
    assert server.connection.error is None
    assert received > 2 * CONNECTION_WINDOW


@pytest.mark.parametrize("too_many", [False, True])
def test_more_data_in_one_piece_than_the_connections_window_allows_ends_the_connection(too_many: bool) -> None:
    """Only in one piece can it be more: what a piece took of the window is given back when it was looked at."""
    server = Server()
    streams = [get(server) for _ in range(CONNECTION_WINDOW // STREAM_WINDOW + too_many)]
    for stream in streams:
        server.head(stream)
    server.heard()
    run = STREAM_WINDOW // 16_384
    server.say(b"".join([frames.frame(DATA, 0, stream.identifier, bytes(16_384)) * run for stream in streams]))
    ((kind, _, _, payload),) = server.heard()
    if too_many:
        assert "connection's window" in str(server.connection.error)
        assert (kind, payload[4:8]) == (GOAWAY, frames.FLOW_CONTROL_ERROR.to_bytes(4, "big"))
    else:
        assert server.connection.error is None
        assert (kind, payload) == (WINDOW_UPDATE, CONNECTION_WINDOW.to_bytes(4, "big"))


def test_the_peers_settings_are_known_by_name() -> None:
    server = Server({frames.MAX_CONCURRENT_STREAMS: 7, 0x99: 1, frames.INITIAL_WINDOW_SIZE: 5})
    assert server.connection.settings == {"MAX_CONCURRENT_STREAMS": 7, "INITIAL_WINDOW_SIZE": 5}
    server.say(frames.settings({frames.MAX_CONCURRENT_STREAMS: 8}))
    server.say(frames.frame(SETTINGS, ACK, 0))
    assert server.connection.settings == {"MAX_CONCURRENT_STREAMS": 8, "INITIAL_WINDOW_SIZE": 5}
    assert server.connection.settings_frames == 2


def test_data_for_a_stream_that_was_reset_is_returned_to_the_connections_window() -> None:
    """A few cancelled downloads would otherwise stop all the others for good."""
    server = Server()
    streams = [get(server), get(server)]
    for stream in streams:
        server.head(stream)
        stream.reset(frames.CANCEL)
    server.heard()
    for stream in streams:
        for _ in range(STREAM_WINDOW // 16_384):
            server.body(stream, b"x" * 16_384)
    assert server.heard() == [(WINDOW_UPDATE, 0, 0, (CONNECTION_WINDOW // 4).to_bytes(4, "big"))]
    assert not any(stream.chunks for stream in streams)


def test_padding_is_no_part_of_the_body_and_opens_the_window_again() -> None:
    server = Server()
    stream = get(server)
    server.head(stream, fields=[(b"content-length", b"2")])
    server.say(frames.frame(DATA, PADDED, 1, b"\x05ab" + bytes(5)))
    assert stream.chunks == [b"ab"]
    assert (stream.ahead, stream.unread) == (8, 6)
    server.say(frames.frame(DATA, PADDED | END_STREAM, 1, b"\x00"))
    assert stream.finished


# -- bodies, receiving


def test_the_bytes_of_a_frame_are_handed_on_as_they_arrive() -> None:
    server = Server()
    stream = get(server)
    server.head(stream)
    frame = frames.frame(DATA, END_STREAM, 1, b"a" * 10_000)
    server.say(frame[:9])
    assert stream.chunks == []
    server.say(frame[9:5000])
    assert stream.chunks == [b"a" * 4991]
    assert stream in server.connection.progressed
    assert not stream.finished
    server.connection.progressed.clear()
    server.say(frame[5000:])
    assert stream.chunks == [b"a" * 4991, b"a" * 5009]
    assert stream.finished
    assert server.connection.progressed == [stream]


def test_a_frame_may_not_be_too_long_for_its_stream_even_before_it_is_there() -> None:
    server = Server()
    stream = get(server)
    server.head(stream, fields=[(b"content-length", b"5")])
    frame = frames.frame(DATA, 0, 1, b"longer")
    server.say(frame[:10])
    assert "longer than its Content-Length" in error_of(stream)
    server.say(frame[10:])
    assert stream.chunks == []
    assert server.connection.error is None


def test_what_arrives_of_a_frame_after_its_stream_was_reset_is_dropped() -> None:
    server = Server()
    stream, other = get(server), get(server)
    server.head(stream)
    frame = frames.frame(DATA, END_STREAM, 1, b"a" * 300)
    server.say(frame[:100])
    stream.reset(frames.CANCEL)
    server.connection.progressed.clear()
    server.say(frame[100:])
    assert len(b"".join(stream.chunks)) == 91
    assert not stream.finished
    assert server.connection.progressed == []
    server.head(other, ends=True)
    assert other.finished


def test_what_arrives_in_a_row_for_a_stream_is_one_chunk() -> None:
    server = Server()
    first, second = get(server), get(server)
    server.head(first)
    server.head(second)
    pieces = [b"%d" % number * 3000 for number in range(6)]
    data = [frames.frame(DATA, 0, 1, piece) for piece in pieces]
    padded = frames.frame(DATA, PADDED, 1, b"\x05padded" + bytes(5))
    other = frames.frame(DATA, 0, 3, b"x" * 3000)
    server.say(b"".join([data[0], data[1], padded, frames.frame(PING, 0, 0, bytes(8)), data[2], other, data[3]]))
    assert first.chunks == [b"".join([pieces[0], pieces[1], b"padded", pieces[2]]), pieces[3]]
    assert second.chunks == [b"x" * 3000]
    server.say(data[4] + frames.reset(1, frames.CANCEL))
    assert first.chunks[-1] == pieces[4]  # what came before the end is there, as it would be if it had come alone
    server.say(other + frames.frame(PING, 0, 0, b"short"))
    assert second.chunks == [b"x" * 3000] * 2


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1, 300, 2047, 2048, 5000]), st.integers(-1, 9)),
        max_size=20,
    )
)
def test_pieces_keep_their_order_however_frames_and_streams_are_mixed(parts: list[tuple[int, int, int]]) -> None:
    """A padded frame between others came out of the wrong buffer."""
    expected = [b"", b""]
    message = b""
    for number, (index, size, padding) in enumerate(parts):
        piece = (b"%d." % number * size)[:size]
        expected[index] += piece
        if padding < 0:
            message += frames.frame(DATA, 0, 2 * index + 1, piece)
        else:
            message += frames.frame(DATA, PADDED, 2 * index + 1, bytes([padding]) + piece + bytes(padding))
    for pieces in cuts(message, rounds=3):
        server = Server()
        streams = get(server), get(server)
        for stream in streams:
            server.head(stream)
        server.say(*pieces)
        assert server.connection.error is None
        assert [b"".join(stream.chunks) for stream in streams] == expected


# -- answers


def test_an_answer_is_head_body_and_end() -> None:
    server = Server()
    stream = get(server)
    assert stream.untouched
    server.head(stream, fields=[(b"content-length", b"5"), (b"x-a", b"b")])
    assert not stream.untouched
    assert stream.head == (200, b"", [(b"content-length", b"5"), (b"x-a", b"b")], b"HTTP/2")
    stream = get(server)
    server.head(stream, fields=[(b"content-length", b"600")])
    server.body(stream, b"a" * 300)
    assert stream.need == INPUT
    server.body(stream, b"b" * 300, ends=True)
    assert stream.chunks == [b"a" * 300, b"b" * 300]
    assert (stream.finished, stream.reusable, stream.need) == (True, True, NOTHING)
    assert stream.error is None
    assert stream.trailers is None
    assert list(server.connection.streams) == [1]


def test_small_pieces_of_a_body_are_put_together() -> None:
    """A window full of single bytes would be two million objects."""
    server = Server()
    stream = get(server)
    server.head(stream)
    for _ in range(10_000):
        server.body(stream, b"ab")
    server.body(stream, b"x" * 300)
    assert b"".join(stream.chunks) == b"ab" * 10_000 + b"x" * 300
    assert len(stream.chunks) <= 7


@pytest.mark.parametrize("name", [b"set-cookie", b"location", b"content-encoding"])
def test_fields_on_which_a_client_acts_are_noticed(name: bytes) -> None:
    server = Server()
    stream = get(server)
    server.head(stream, fields=[(b"x-a", b"b")])
    assert not stream.remarkable
    stream = get(server)
    server.head(stream, fields=[(name, b"b")])
    assert stream.remarkable


def test_answers_come_in_any_order_and_interleaved() -> None:
    server = Server()
    first, second, third = (get(server) for _ in range(3))
    server.head(third, 201)
    server.head(first, 202)
    server.body(third, b"3" * 300)
    server.body(first, b"1" * 300)
    server.head(second, 203, ends=True)
    server.body(first, b"1" * 300, ends=True)
    server.body(third, b"", ends=True)
    assert [(stream.head or (0,))[0] for stream in (first, second, third)] == [202, 203, 201]
    assert [len(b"".join(stream.chunks)) for stream in (first, second, third)] == [600, 0, 300]
    assert first.finished
    assert second.finished
    assert third.finished
    assert server.connection.capacity == 100


def test_a_header_block_may_come_in_many_pieces_with_padding_and_priority() -> None:
    server = Server()
    stream = get(server)
    block = server.encoder.encode([(b":status", b"200"), (b"x-a", b"b" * 50)])
    first = b"\x03" + b"\x80\x00\x00\x03\x10" + block[:10] + bytes(3)
    server.say(
        frames.frame(HEADERS, PADDED | frames.PRIORITY_FLAG | END_STREAM, 1, first),
        frames.frame(CONTINUATION, 0, 1, block[10:20]),
        frames.frame(CONTINUATION, 0, 1, b""),
        frames.frame(CONTINUATION, END_HEADERS, 1, block[20:]),
    )
    assert stream.finished
    assert stream.head is not None
    assert stream.head[2] == [(b"x-a", b"b" * 50)]


def test_trailers_are_kept() -> None:
    server = Server()
    stream = get(server)
    server.head(stream)
    server.body(stream, b"x")
    server.say(server.block(1, [(b"grpc-status", b"0")], ends=True))
    assert stream.trailers == [(b"grpc-status", b"0")]
    assert stream.finished


def test_interim_answers_are_kept_and_do_not_count_as_the_answer() -> None:
    server = Server()
    stream = get(server)
    server.head(stream, 103, [(b"link", b"</a.css>")])
    server.head(stream, 102)
    assert stream.only_informational
    assert stream.head is None
    assert stream.informational == [(103, [(b"link", b"</a.css>")]), (102, [])]
    server.head(stream, 200, ends=True)
    assert not stream.only_informational
    assert stream.finished


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_an_answer_without_a_body_may_say_how_long_it_would_be(method: bytes, status: int) -> None:
    server = Server()
    stream = get(server, method)
    server.head(stream, status, [(b"content-length", b"1000")], ends=True)
    assert stream.finished
    stream = get(server, method)
    server.head(stream, status)
    server.body(stream, b"", ends=True)
    assert stream.finished
    stream = get(server, method)
    server.head(stream, status)
    server.body(stream, b"x")
    assert "longer" in error_of(stream)


def test_a_body_is_checked_against_its_content_length() -> None:
    server = Server()
    for data, word in ((b"four", "1 bytes shorter"), (b"longer", "longer")):
        stream = get(server)
        server.head(stream, fields=[(b"content-length", b"5"), (b"content-length", b"5")])
        server.body(stream, data, ends=True)
        assert word in error_of(stream)
        # A stream that the peer has ended is closed; one that goes on is told.
        assert [kind for kind, *_ in server.heard()] == [RST_STREAM]
    stream = get(server)
    server.head(stream, fields=[(b"content-length", b"5")], ends=True)
    assert "5 bytes shorter" in error_of(stream)


# -- 100-continue and early answers


def test_a_body_waits_for_consent() -> None:
    server = Server()
    stream = post(server, [*POST5, (b"Expect", b"100-continue")], body=b"hello")
    assert stream.need == PAUSE
    fields, flags = server.request()
    assert (b"expect", b"100-continue") in fields
    assert flags == END_HEADERS
    server.head(stream, 103)
    assert stream.need == PAUSE
    server.head(stream, 100)
    assert stream.need == INPUT
    assert server.heard() == [(DATA, END_STREAM, 1, b"hello")]


def test_a_streamed_body_is_asked_for_once_the_peer_consents() -> None:
    server = Server()
    stream = post(server, [*POST5, (b"Expect", b"100-continue")], streaming=True)
    assert stream.need == PAUSE
    server.head(stream, 100)
    assert stream.need == BODY
    server.head(stream, 100)  # once more is no harm
    stream.feed(b"hello")
    stream.feed(None)
    assert data_of(server.heard(), 1) == b"hello"


def test_a_body_does_not_wait_forever() -> None:
    server = Server()
    stream = post(server, [*POST5, (b"Expect", b"100-continue")], body=b"hello")
    stream.proceed()
    stream.proceed()
    assert data_of(server.heard(), 1) == b"hello"
    stream = post(server, [*POST5, (b"Expect", b"100-continue")], streaming=True)
    stream.feed(b"hello")  # to give more means the same
    assert data_of(server.heard(), 3) == b"hello"


def test_a_request_without_a_body_waits_for_nothing() -> None:
    server = Server()
    assert get(server, fields=[(b"Expect", b"100-continue")]).need == INPUT


@pytest.mark.parametrize("status", [200, 417])
def test_a_final_answer_instead_of_consent_ends_the_upload(status: int) -> None:
    server = Server()
    stream = post(server, [*POST5, (b"Expect", b"100-continue")], body=b"hello")
    server.heard()
    server.head(stream, status)
    assert stream.abandoned
    assert stream.need == INPUT
    stream.proceed()
    server.body(stream, b"answer", ends=True)
    assert stream.finished
    assert server.heard() == [(RST_STREAM, 0, 1, b"\x00\x00\x00\x00")]


def test_a_complete_answer_ends_an_upload_that_waits_for_a_window() -> None:
    """It would otherwise wait for a window that nobody opens."""
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    stream = post(server, CHUNKED, body=b"hello")
    server.heard()
    server.head(stream, 200)
    assert not stream.abandoned
    server.body(stream, b"enough", ends=True)
    assert (stream.finished, stream.abandoned, stream.need, stream.error) == (True, True, NOTHING, None)
    assert server.heard() == [(RST_STREAM, 0, 1, b"\x00\x00\x00\x00")]
    assert not server.connection._blocked
    server.say(frames.reset(1, frames.NO_ERROR), frames.window_update(1, 100))
    assert stream.error is None
    assert server.heard() == []


def test_an_error_ends_the_upload_and_its_body_is_read() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    stream = post(server, POST5, body=b"he", streaming=True)
    server.heard()
    server.head(stream, 413)
    assert stream.abandoned
    stream.feed(b"llo")
    stream.feed(None)
    server.say(frames.window_update(1, 100))
    assert server.heard() == []  # and no END_STREAM either: the request would pass for a whole one
    server.body(stream, b"too large", ends=True)
    assert stream.finished
    assert server.heard() == [(RST_STREAM, 0, 1, b"\x00\x00\x00\x00")]


def test_an_error_after_the_whole_upload_abandons_nothing() -> None:
    server = Server()
    stream = post(server, POST5, body=b"hello")
    server.heard()
    server.head(stream, 404, ends=True)
    assert stream.finished
    assert not stream.abandoned
    assert server.heard() == []


def test_an_answer_during_the_upload_lets_it_go_on() -> None:
    server = Server()
    stream = post(server, POST5, streaming=True)
    server.head(stream, 200)
    assert stream.need == BODY
    stream.feed(b"hello")
    stream.feed(None)
    assert data_of(server.heard(), 1) == b"hello"
    server.body(stream, b"", ends=True)
    assert stream.finished
    assert server.heard() == []


def test_an_upload_that_is_cut_short_still_gets_its_answer() -> None:
    """The shells call it when an early answer stopped them; the stream was reset, and the answer lost."""
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    stream = post(server, CHUNKED, body=b"hello", streaming=True)
    server.heard()
    stream.cut_short()
    assert stream.need == INPUT
    server.head(stream, 200)
    server.body(stream, b"fine", ends=True)
    stream.cut_short()
    assert stream.finished
    assert server.heard() == [(RST_STREAM, 0, 1, b"\x00\x00\x00\x00")]


# -- streams that end early


def test_a_stream_that_is_reset_by_us_resets_only_itself() -> None:
    server = Server()
    first, second = get(server), get(server)
    first.reset(frames.CANCEL)
    first.reset(frames.CANCEL)
    assert server.heard() == [(RST_STREAM, 0, 1, b"\x00\x00\x00\x08")]
    server.head(first, 200)
    server.body(first, b"late", ends=True)
    server.say(frames.reset(1, 0))
    server.head(second, 200, ends=True)
    assert second.finished
    assert first.head is None
    assert server.connection.capacity == 100


def test_a_block_for_a_stream_that_was_reset_is_decoded_all_the_same() -> None:
    """The table changes with it: the next answer would have another's fields."""
    server = Server()
    first, second = get(server), get(server)
    first.reset(frames.CANCEL)
    server.head(first, 200, [(b"x-a", b"first"), (b"x-b", b"second")])
    server.head(second, 200, [(b"x-b", b"second"), (b"x-a", b"first")], ends=True)
    assert second.head is not None
    assert second.head[2] == [(b"x-b", b"second"), (b"x-a", b"first")]


def test_a_stream_that_is_reset_by_the_peer_fails_alone() -> None:
    server = Server()
    first, second = get(server), get(server)
    server.head(first, 200)
    assert first.code is None
    server.say(frames.reset(1, frames.INTERNAL_ERROR), frames.reset(1, 99))
    assert first.code == frames.INTERNAL_ERROR
    assert error_of(first) == "the peer reset the stream: INTERNAL_ERROR"
    assert not first.refused
    server.head(second, 200, ends=True)
    assert second.finished
    assert server.heard() == []


def test_a_stream_that_the_peer_refused_may_be_sent_again() -> None:
    server = Server()
    first, second = get(server), get(server)
    server.say(frames.reset(1, frames.REFUSED_STREAM))
    assert "REFUSED_STREAM" in error_of(first)
    assert first.refused
    server.head(second, 200)
    server.say(frames.reset(3, frames.REFUSED_STREAM))
    assert error_of(second)
    assert not second.refused


def test_a_reset_drops_what_waits_for_a_window() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    stream = post(server, CHUNKED, body=b"hello")
    server.heard()
    server.say(frames.reset(1, frames.CANCEL))
    server.say(frames.window_update(0, 100), frames.settings({frames.INITIAL_WINDOW_SIZE: 100}))
    stream.feed(b"more")
    assert data_of(server.heard(), 1) == b""


def test_many_refused_streams_are_no_flood() -> None:
    server = Server({frames.MAX_CONCURRENT_STREAMS: 20_000})
    streams = [get(server) for _ in range(12_000)]
    for stream in streams:
        server.say(frames.reset(stream.identifier, frames.REFUSED_STREAM))
    assert server.connection.error is None
    assert all(stream.refused for stream in streams)


# -- capacity


def test_the_peer_says_how_many_streams_there_may_be() -> None:
    server = Server({frames.MAX_CONCURRENT_STREAMS: 2})
    assert server.connection.capacity == 2
    first, _ = get(server), get(server)
    assert server.connection.capacity == 0
    with pytest.raises(httpx.LocalProtocolError, match="no more than 2 streams"):
        get(server)
    server.say(frames.settings({frames.MAX_CONCURRENT_STREAMS: 1}))
    assert server.connection.capacity == 0
    server.head(first, ends=True)
    assert server.connection.capacity == 0
    server.say(frames.settings({frames.MAX_CONCURRENT_STREAMS: 3}))
    assert server.connection.capacity == 2
    server.say(frames.settings({frames.MAX_CONCURRENT_STREAMS: 0}))
    assert server.connection.capacity == 0


def test_a_connection_ends_with_its_numbers() -> None:
    server = Server()
    server.connection._next_id = 2**31 - 1
    assert get(server).identifier == 2**31 - 1
    assert server.connection.capacity == 0


# -- the connection


def test_a_ping_is_answered_and_an_answer_is_counted() -> None:
    server = Server()
    server.say(frames.frame(PING, 0, 0, b"12345678"))
    assert server.heard() == [(PING, ACK, 0, b"12345678")]
    server.connection.ping()
    ((kind, flags, stream, payload),) = server.heard()
    assert (kind, flags, stream, len(payload)) == (PING, 0, 0, 8)
    server.say(frames.frame(PING, ACK, 0, payload))
    assert server.heard() == []
    assert (server.connection.pings, server.connection.pongs) == (1, 1)
    server.say(frames.frame(PING, ACK, 0, payload))  # nobody asked
    assert server.connection.pongs == 1
    server.connection.ping()
    assert server.heard() == [(PING, 0, 0, payload)]
    assert (server.connection.pings, server.connection.pongs) == (2, 1)  # unanswered: for how long, the shell knows


def test_pings_on_a_silent_stream_for_a_day_are_no_flood() -> None:
    server = Server()
    stream = get(server)
    for _ in range(8_640):
        server.say(frames.frame(PING, 0, 0, b"12345678"))
        server.heard()
    server.head(stream, ends=True)
    assert stream.finished


def test_updates_for_a_long_upload_that_never_waits_are_no_flood() -> None:
    """Servers send one for the stream and one for the connection with each frame: an upload failed after 500."""
    server = Server({frames.INITIAL_WINDOW_SIZE: 2**30})
    server.say(frames.window_update(0, 2**30))
    stream = post(server, CHUNKED, streaming=True)
    for _ in range(10_000):
        stream.feed(b"x" * 100)
        server.say(frames.window_update(0, 100), frames.window_update(1, 100))
        server.connection.take()
    assert server.connection.error is None
    assert stream.need == BODY


def test_a_graceful_goaway_lets_running_streams_finish_and_refuses_the_others() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    first = get(server)
    second = post(server, CHUNKED, body=b"hello")
    server.heard()
    server.say(frames.goaway(2**31 - 1, frames.NO_ERROR))
    assert server.connection.capacity == 0
    assert server.connection.error is None
    assert server.connection.code == frames.NO_ERROR
    server.say(frames.goaway(1, frames.NO_ERROR, b"bye"))
    assert "the peer goes away: NO_ERROR" in error_of(second)
    assert second.refused
    assert not first.refused
    assert second in server.connection.progressed
    with pytest.raises(httpx.LocalProtocolError):
        get(server)
    server.head(first, 200)
    server.body(first, b"fine", ends=True)
    assert first.finished
    assert not server.connection._blocked


def test_the_end_of_the_peers_side_ends_every_stream() -> None:
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    asked = get(server)
    uploading = post(server, CHUNKED, body=b"hello")
    held = post(server, [*POST5, (b"Expect", b"100-continue")], body=b"hello")
    answered = get_sent(server)
    server.head(answered, 200)
    done = get_sent(server)
    server.head(done, 200, ends=True)
    server.connection.progressed.clear()
    server.say(b"")
    for stream in (asked, uploading, held, answered):
        assert error_of(stream) == "the peer closed the connection"
        assert not stream.refused
    assert done.error is None
    assert server.connection.progressed == [asked, uploading, held, answered]
    assert [stream.untouched for stream in (asked, answered)] == [True, False]
    assert server.connection.capacity == 0
    server.say(b"", frames.frame(PING, 0, 0, b"12345678"))


def test_a_peer_that_said_why_it_goes_is_quoted_when_it_is_gone() -> None:
    server = Server()
    stream = get(server)
    server.say(frames.goaway(1, frames.ENHANCE_YOUR_CALM), b"")
    assert error_of(stream) == "the peer closed the connection after GOAWAY: ENHANCE_YOUR_CALM"


def get_sent(server: Server) -> HTTP2Stream:
    """A request while others' frames are in the output."""
    stream = server.connection.open(b"https", b"GET", b"/", [HOST])
    server.heard()
    return stream


def test_the_end_within_a_frame_is_the_end() -> None:
    server = Server()
    stream = get(server)
    server.head(stream)
    server.say(frames.frame(DATA, END_STREAM, 1, b"hello")[:-1], b"")
    assert error_of(stream) == "the peer closed the connection"
    assert stream.chunks == [b"hell"]
    other = Server()
    stream = get(other)
    other.say(other.block(1, [(b":status", b"200")], ends=True)[:-1], b"")
    assert error_of(stream) == "the peer closed the connection"
    assert stream.head is None


def test_a_connection_that_is_closed_says_so_once_it_is_not_lost() -> None:
    server = Server()
    assert split(server.connection.close(), 100)[0] == [(GOAWAY, 0, 0, bytes(8))]
    server.say(b"")
    assert server.connection.close() == b""


def test_priorities_and_unknown_frames_are_ignored() -> None:
    server = Server()
    stream = get(server)
    server.say(
        frames.frame(PRIORITY, 0, 1, b"\x80\x00\x00\x03\x10"),
        frames.frame(PRIORITY, 0, 2**31 - 1, b"\x80\x00\x00\x03\x10"),
        frames.frame(200, 255, 1, b"what"),
        frames.frame(10, 0, 0, b""),
    )
    server.head(stream, ends=True)
    assert stream.finished
    assert server.heard() == []


def test_a_push_is_refused() -> None:
    server = Server()
    stream = get(server)
    server.say(frames.frame(PUSH_PROMISE, END_HEADERS, 1, b"\x00\x00\x00\x02\x82"))
    assert "PUSH_PROMISE" in error_of(stream)
    assert "PUSH_PROMISE" in lost(server)


def test_a_smaller_table_is_used_and_told() -> None:
    server = Server()
    fields = [(b"X-A", b"b")]
    get(server, fields=fields)
    server.decoder.max_allowed_table_size = 0
    server.say(frames.settings({frames.HEADER_TABLE_SIZE: 0}))
    server.heard()
    for _ in range(3):
        get(server, fields=fields)
    assert not server.connection._encoder._entries


def test_what_an_answer_may_hold_is_a_setting() -> None:
    server = Server(limits=HeadLimits(max_fields=2, max_bytes=500))
    stream = get(server)
    server.head(stream, fields=[(b"a", b"b")] * 2, ends=True)
    assert stream.finished
    stream = get(server)
    server.head(stream, fields=[(b"a", b"b")] * 3)
    assert error_of(stream) == "the response has more than 2 header fields"
    assert server.heard()[0][0] == RST_STREAM
    stream = get(server)
    server.head(stream, 103, [(b"a", b"b" * 150)])
    server.head(stream, 200, [(b"a", b"b" * 150)])
    assert stream.error is None
    server.say(server.block(stream.identifier, [(b"a", b"b" * 150)], ends=True))
    assert error_of(stream) == "the header blocks of the response have more than 500 bytes"
    server.heard()
    stream = get(server)
    server.head(stream, 200, [(b"a", b"b" * 600)])
    assert "more than 500 bytes" in error_of(stream)
    assert "more than 500 bytes" in lost(server, frames.COMPRESSION_ERROR)


# -- what a peer may not do; with its harm and cut in every way in `adversarial/test_http2_hostile.py`


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (b"\xff" * 9, frames.FRAME_SIZE_ERROR),
        (frames.frame(PING, 0, 0, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.frame(PING, 0, 1, bytes(8)), frames.PROTOCOL_ERROR),
        (frames.frame(SETTINGS, 0, 1), frames.PROTOCOL_ERROR),
        (frames.frame(SETTINGS, 0, 0, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.frame(SETTINGS, ACK, 0, b"x"), frames.FRAME_SIZE_ERROR),
        (frames.settings({frames.ENABLE_PUSH: 1, frames.MAX_FRAME_SIZE: 1}), frames.PROTOCOL_ERROR),
        (frames.settings({frames.MAX_FRAME_SIZE: 1}), frames.PROTOCOL_ERROR),
        (frames.settings({frames.ENABLE_CONNECT_PROTOCOL: 2}), frames.PROTOCOL_ERROR),
        (
            frames.settings({frames.ENABLE_CONNECT_PROTOCOL: 1}) + frames.settings({frames.ENABLE_CONNECT_PROTOCOL: 0}),
            frames.PROTOCOL_ERROR,
        ),
        (frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}), frames.FLOW_CONTROL_ERROR),
        (
            frames.window_update(1, 2**31 - 65_536) + frames.settings({frames.INITIAL_WINDOW_SIZE: 70_000}),
            frames.FLOW_CONTROL_ERROR,
        ),
        (frames.window_update(0, 0), frames.PROTOCOL_ERROR),
        (frames.window_update(0, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
        (frames.frame(WINDOW_UPDATE, 0, 1, b"x"), frames.FRAME_SIZE_ERROR),
        (frames.frame(RST_STREAM, 0, 1, b"x"), frames.FRAME_SIZE_ERROR),
        (frames.reset(9, 0), frames.PROTOCOL_ERROR),
        (frames.window_update(9, 1), frames.PROTOCOL_ERROR),
        (frames.frame(GOAWAY, 0, 0, b"x"), frames.FRAME_SIZE_ERROR),
        (frames.frame(GOAWAY, 0, 1, bytes(8)), frames.PROTOCOL_ERROR),
        (frames.frame(PRIORITY, 0, 0, bytes(5)), frames.PROTOCOL_ERROR),
        (frames.frame(PRIORITY, 0, 1, bytes(4)), frames.FRAME_SIZE_ERROR),
        (frames.frame(DATA, 0, 9, b"x"), frames.PROTOCOL_ERROR),
        (frames.frame(DATA, PADDED, 1, b"\x01"), frames.PROTOCOL_ERROR),
        (frames.frame(HEADERS, PADDED, 1, b"\x01"), frames.PROTOCOL_ERROR),
        (frames.frame(HEADERS, frames.PRIORITY_FLAG, 1, b"1234"), frames.PROTOCOL_ERROR),
        (frames.frame(HEADERS, END_HEADERS, 9, b"\x88"), frames.PROTOCOL_ERROR),
        (frames.frame(HEADERS, END_HEADERS, 1, b"\x80"), frames.COMPRESSION_ERROR),
        (frames.frame(CONTINUATION, 0, 1, b"\x88"), frames.PROTOCOL_ERROR),
        (frames.frame(HEADERS, 0, 1) + frames.frame(PING, 0, 0, bytes(8)), frames.PROTOCOL_ERROR),
        (frames.frame(HEADERS, 0, 1) + frames.frame(CONTINUATION, 0, 1) * 10_001, frames.ENHANCE_YOUR_CALM),
        (frames.frame(HEADERS, 0, 1) + frames.frame(CONTINUATION, 0, 1, bytes(16_384)) * 17, frames.ENHANCE_YOUR_CALM),
        (frames.frame(PING, 0, 0, bytes(8)) * 10_001, frames.ENHANCE_YOUR_CALM),
        (frames.settings({}) * 10_001, frames.ENHANCE_YOUR_CALM),
        (
            frames.frame(HEADERS, END_HEADERS, 1, b"\x88")
            + (frames.frame(DATA, 0, 1, b"x") + frames.frame(PING, 0, 0, bytes(8)) * 5000) * 3,
            frames.ENHANCE_YOUR_CALM,
        ),
    ],
)
def test_what_breaks_the_rules_of_the_connection_ends_it(attack: bytes, code: int) -> None:
    server = Server()
    stream = get(server)
    server.say(attack)
    assert error_of(stream) == lost(server, code)


def test_a_peer_that_acknowledges_before_it_begins_is_refused() -> None:
    connection = HTTP2Connection()
    connection.receive(frames.frame(SETTINGS, ACK, 0))
    assert "before it sent its own" in str(connection.error)


@pytest.mark.parametrize("increment", [0, 2**31 - 1])
def test_a_bad_update_of_a_streams_window_ends_that_stream(increment: int) -> None:
    server = Server()
    first, second = get(server), get(server)
    server.say(frames.window_update(1, increment))
    assert "window" in error_of(first)
    server.head(second, ends=True)
    assert second.finished


def test_more_data_than_the_window_allows_ends_that_stream() -> None:
    server = Server()
    server.connection.stream_window = 10
    stream = get(server)
    server.head(stream)
    server.body(stream, b"x" * 11)
    assert "window" in error_of(stream)


def test_empty_data_frames_and_data_before_the_head_are_not_progress() -> None:
    server = Server()
    stream = get(server)
    server.head(stream)
    server.body(stream, b"")
    assert server.connection._useless_frames == 1
    server.body(stream, b"x")
    assert server.connection._useless_frames == 0
    early = get(server)
    server.body(early, b"x", ends=True)
    assert "before its head" in error_of(early)


# -- what it costs


def answers(first: int, count: int) -> bytes:
    """The answers to so many requests, as nginx writes them."""
    block = b'\x88\x76\x05nginx\x5c\x0246\x00\x04etag\x05"1-2"'
    message = b""
    for identifier in range(first, first + 2 * count, 2):
        message += frames.frame(HEADERS, END_HEADERS, identifier, block)
        message += frames.frame(DATA, END_STREAM, identifier, b"x" * 46)
    return message


def exchange(connection: HTTP2Connection, message: bytes, count: int) -> None:
    """So many requests at once, and their answers in the same bytes."""
    fields = [HOST, (b"Accept", b"*/*")]
    streams = [connection.open(b"https", b"GET", b"/", fields) for _ in range(count)]
    connection.take()
    connection.receive(message)
    assert all(stream.finished for stream in streams)
    assert connection.progressed == streams  # each is looked at once by the shell
    connection.progressed.clear()


@pytest.mark.parametrize("count", [1, 50, 1000])
def test_a_warm_request_enters_few_functions_however_many_there_are_at_once(count: int) -> None:
    connection = Server({frames.MAX_CONCURRENT_STREAMS: 1000}).connection
    for number in (1, 3):
        exchange(connection, answers(number, 1), 1)
    message = answers(5, count)
    with counted_frames() as entered:
        exchange(connection, message, count)
    # For each request and its answer, for many the evictions, and once for all of them: taking and receiving.
    assert len([name for name in entered if name.startswith("httpx.")]) <= 13 * count + count // 100 + 3


def test_a_download_enters_few_functions_for_a_frame() -> None:
    server = Server()
    stream = get(server)
    server.head(stream)
    message = frames.frame(DATA, 0, 1, bytes(8192)) * 32
    with counted_frames() as entered:
        server.connection.receive(message)
        stream.took(32 * 8192)
    assert len([name for name in entered if name.startswith("httpx.")]) <= 12
    assert list(map(len, stream.chunks)) == [32 * 8192]


# -- what a session asks


def test_whether_a_stream_may_begin_is_asked_of_the_connection() -> None:
    """A session that keeps a limit of its own believes an old one, and its request fails as LocalProtocolError."""
    connection = HTTP2Connection()
    assert (connection.capacity, connection.settings_frames, connection.retired) == (100, 0, False)
    connection.receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 0}))
    assert (connection.capacity, connection.settings_frames, connection.retired) == (0, 1, False)
    connection.receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 1}))
    assert connection.capacity == 1
    stream = connection.open(b"https", b"GET", b"/", [HOST])
    assert connection.capacity == 0
    connection.receive(frames.reset(stream.identifier, frames.CANCEL))
    assert connection.capacity == 1
    connection.receive(frames.settings({}))
    assert connection.max_streams == 1  # a frame that does not name the limit does not change it
    connection.receive(frames.goaway(1, frames.NO_ERROR))
    assert (connection.capacity, connection.max_streams, connection.retired) == (0, 0, True)


def test_after_the_last_stream_number_a_connection_is_retired_before_a_request_fails() -> None:
    """The request after the last number was an error instead of going to a new connection."""
    server = Server()
    server.connection._next_id = 2**31 - 3
    get(server)
    assert (server.connection.capacity > 0, server.connection.retired) == (True, False)
    last = get(server)
    assert last.identifier == 2**31 - 1
    assert (server.connection.capacity, server.connection.retired) == (0, True)
    server.say(frames.settings({frames.MAX_CONCURRENT_STREAMS: 100}))
    assert (server.connection.capacity, server.connection.max_streams) == (0, 0)
    server.head(last, ends=True)
    assert last.finished
    assert server.connection.capacity == 0


@pytest.mark.parametrize("end", [b"", frames.frame(PING, 0, 1, bytes(8))])
def test_each_stream_of_a_lost_connection_has_an_error_of_its_own(end: bytes) -> None:
    """One exception was raised in every request; its `request` was that of the last one."""
    server = Server()
    streams = [get(server) for _ in range(3)]
    server.say(end)
    errors = [server.connection.error, *(stream.error for stream in streams)]
    assert len({id(error) for error in errors}) == 4
    assert {str(error) for error in errors} == {str(server.connection.error)}
    assert {type(error) for error in errors} == {httpx.RemoteProtocolError}
    assert server.connection.retired


def test_streams_that_goaway_refuses_have_errors_of_their_own() -> None:
    """As above."""
    server = Server()
    streams = [get(server) for _ in range(3)]
    server.say(frames.goaway(1, frames.NO_ERROR))
    assert streams[0].error is None
    assert streams[1].error is not None
    assert streams[1].error is not streams[2].error
    assert streams[1].refused
    assert streams[2].refused


# -- responses without a body


@pytest.mark.parametrize("length", [[b"5"], [b"5", b"6"], [b"none"], [b""], [b"-1"], [b"5", b"5, 6"]])
@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"HEAD", 404), (b"GET", 204), (b"GET", 304)])
def test_a_response_without_a_body_may_have_any_content_length(method: bytes, status: int, length: list[bytes]) -> None:
    """A HEAD failed for a length that nothing depends on: there is no body to frame."""
    server = Server()
    fields = [(b"content-length", value) for value in length]
    for ends_with_head in (True, False):
        stream = get(server, method)
        server.head(stream, status, fields, ends=ends_with_head)
        if not ends_with_head:
            server.body(stream, b"", ends=True)
        assert stream.error is None
        assert stream.finished
    # The same block is remembered, and judged for a stream with a body all the same.
    if method == b"HEAD":
        stream = get(server)
        server.head(stream, status, fields, ends=True)
        assert stream.error is not None


@pytest.mark.parametrize("length", [[b"5"], [b"5", b"6"], [b"none"]])
def test_a_tunnel_may_have_any_content_length(length: list[bytes]) -> None:
    """In a 2xx response to CONNECT it means nothing (RFC 9110 9.3.6)."""
    server = Server()
    stream = connect(server)
    server.heard()
    server.head(stream, 200, [(b"content-length", value) for value in length])
    server.body(stream, b"more than five bytes", ends=True)
    assert stream.finished
    assert stream.error is None


# -- a response that begins before the upload ends


def test_an_echo_goes_on_in_both_directions_with_no_more_in_memory_than_the_windows() -> None:
    """30 MB to an echo server ended in a timeout, or filled the memory with what was not read."""
    size, piece = 30_000_000, 100_000
    server = Server({frames.INITIAL_WINDOW_SIZE: 65_535})
    stream = post(server, CHUNKED, streaming=True)
    server.heard()
    server.head(stream)
    owed, given, read, ended = 0, 0, 0, False
    allowed = STREAM_WINDOW  # what the server may send, by the frames that it has got
    for _ in range(20_000):
        if stream.need == BODY:
            stream.feed(bytes(piece) if given < size else None)
            given += piece
        for kind, flags, identifier, payload in server.heard():
            if kind == DATA:
                owed += len(payload)
                ended = ended or bool(flags & END_STREAM)
                if payload:
                    server.say(frames.window_update(1, len(payload)), frames.window_update(0, len(payload)))
            elif (kind, identifier) == (WINDOW_UPDATE, 1):
                allowed += frames.number(payload)
        while owed and allowed:
            part = min(owed, allowed, 16_384)
            server.body(stream, bytes(part))
            owed -= part
            allowed -= part
        waiting = sum(map(len, stream.chunks))
        assert waiting <= stream.receive_window
        assert sum(map(len, stream.unsent or ())) <= piece
        # The reader is slow at first, until the window is full.
        if waiting >= STREAM_WINDOW or read or given > size:
            read += waiting
            stream.chunks.clear()
            stream.took(waiting)
        if ended and not owed:
            server.body(stream, b"", ends=True)
            break
    assert read + sum(map(len, stream.chunks)) == size
    assert stream.finished
    assert stream.error is None
    assert not server.connection.streams


def test_a_peer_that_sends_during_an_upload_and_is_not_read_must_stop_at_the_window() -> None:
    """What it sends without end would fill the memory while we wait for its window."""
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    stream = post(server, CHUNKED, body=b"hello", streaming=True)
    server.heard()
    server.head(stream)
    for _ in range(STREAM_WINDOW // 16_384):
        server.body(stream, bytes(16_384))
    assert stream.error is None
    assert [frame for frame in server.heard() if frame[2] == stream.identifier] == []
    server.body(stream, b"x")
    assert "more data than the window" in error_of(stream)


@pytest.mark.parametrize("pieces", [1, 2, 3, 30])
def test_a_reset_without_error_after_a_complete_response_ends_the_upload_only(pieces: int) -> None:
    """RFC 9113 8.1: the server has read enough. The response must not be lost to it."""
    server = Server({frames.INITIAL_WINDOW_SIZE: 1})
    stream = post(server, CHUNKED, body=b"hello", streaming=True)
    server.heard()
    message = server.block(1, [(b":status", b"200")])
    message += frames.frame(DATA, END_STREAM, 1, b"enough") + frames.reset(1, frames.NO_ERROR)
    cut = len(message) // pieces + 1
    server.say(*(message[start : start + cut] for start in range(0, len(message), cut)))
    assert (stream.finished, stream.abandoned, stream.error, stream.refused) == (True, True, None, False)
    assert stream.chunks == [b"enough"]
    stream.feed(b"more")
    stream.feed(None)
    assert data_of(server.heard(), 1) == b""
    assert server.connection.error is None


def test_a_reset_without_error_before_the_response_is_complete_is_an_error() -> None:
    """Half a response would pass for a whole one."""
    server = Server()
    stream = post(server, CHUNKED, streaming=True)
    server.head(stream, 200)
    server.body(stream, b"half")
    server.say(frames.reset(1, frames.NO_ERROR))
    assert "NO_ERROR" in error_of(stream)


@pytest.mark.parametrize("code", [frames.NO_ERROR, frames.CANCEL])
def test_a_tunnel_that_the_peer_has_finished_and_resets_has_ended_its_upload(code: int) -> None:
    """Everything had arrived, and its reader got an error for it."""
    server = Server()
    stream = connect(server)
    server.head(stream, 200)
    server.body(stream, b"all", ends=True)
    assert (stream.finished, stream.uploading) == (True, True)
    server.heard()
    server.say(frames.reset(1, code))
    assert stream.finished
    assert not stream.uploading
    assert (stream.error is None) == (code == frames.NO_ERROR)
    assert stream.abandoned == (code == frames.NO_ERROR)
    stream.feed(b"more")
    assert server.heard() == []
    assert not server.connection.streams
