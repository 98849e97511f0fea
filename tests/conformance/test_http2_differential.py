"""
The HTTP/2 machine in conversation with h2 in the server's role: what each side meant is what the other one saw.

Conversations are generated: several requests with bodies, answers with interim heads, padding and trailers, windows of
many sizes that change on the way, streams that are reset, all interleaved, and the bytes of both directions cut whole,
byte by byte and at random. h2 is as strict as it can be set, so a frame that we may not send fails the test.
"""

from __future__ import annotations

import random
from typing import NamedTuple, Optional

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import httpx
from httpx._protocol.exchange import BODY, NOTHING, PAUSE
from httpx._protocol.http2 import HTTP2Connection
from httpx._protocol.stream2 import HTTP2Stream
from support.wires import cut_at

Fields = list[tuple[bytes, bytes]]
Codes = h2.settings.SettingCodes

NAMES = st.from_regex(rb"x-[a-z0-9]{1,10}", fullmatch=True)
VALUES = st.from_regex(rb"([!-~]([ -~]{0,30}[!-~])?)?", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
# Sizes around frames and windows; the content is made, so that examples stay small.
SIZES = st.sampled_from([0, 1, 2, 100, 255, 256, 16_383, 16_384, 16_385, 40_000, 70_000])


class Request(NamedTuple):
    method: bytes
    target: bytes
    fields: Fields
    pieces: list[int]  # of the body
    announced: bool  # Content-Length or chunked
    continues: bool  # Expect: 100-continue
    # The answer.
    interim: list[int]
    status: int
    answer_fields: Fields
    answer_pieces: list[int]
    padding: Optional[int]
    trailers: Optional[Fields]
    fate: str  # "answered", "reset by us", "reset by the peer", "refused"


REQUESTS = st.builds(
    Request,
    method=st.sampled_from([b"GET", b"POST", b"PUT", b"M-SEARCH"]),
    target=st.from_regex(rb"/[!-~]{0,12}", fullmatch=True),
    fields=FIELDS,
    pieces=st.lists(SIZES, max_size=3),
    announced=st.booleans(),
    continues=st.booleans(),
    interim=st.lists(st.sampled_from([102, 103]), max_size=2),
    status=st.sampled_from([200, 201, 299, 302, 404, 500, 999]),
    answer_fields=FIELDS,
    answer_pieces=st.lists(SIZES, max_size=3),
    padding=st.one_of(st.none(), st.integers(0, 255)),
    trailers=st.one_of(st.none(), st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=2)),
    fate=st.sampled_from(["answered"] * 6 + ["reset by us", "reset by the peer", "refused"]),
)


def made(size: int, seed: int) -> bytes:
    return (b"%07d " % seed * (size // 8 + 1))[:size]


def body_of(pieces: list[int]) -> bytes:
    return b"".join(made(size, index) for index, size in enumerate(pieces))


class Conversation:
    """Both machines, the bytes under way between them, and what each said."""

    def __init__(self, requests: list[Request], values: dict[Codes, int], seed: int, cuts: str) -> None:
        self.requests = requests
        self.dice = random.Random(seed)
        self.cuts = cuts
        self.client = HTTP2Connection()
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.server = h2.connection.H2Connection(config)
        self.server.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.server.max_inbound_frame_size = values.get(Codes.MAX_FRAME_SIZE, 16_384)
        self.server.incoming_buffer.max_frame_size = self.server.max_inbound_frame_size
        self.server.initiate_connection()
        self.streams: dict[int, HTTP2Stream] = {}  # by the index of the request
        self.to_feed: dict[int, list[bytes]] = {}
        self.bodies: dict[int, bytes] = {}  # of answers, as the reader took them
        self.seen: dict[int, Fields] = {}  # by the stream's number, what the server saw
        self.seen_bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.to_say: dict[int, list[tuple[str, object]]] = {}
        self.unacknowledged: list[tuple[int, int]] = []
        self.window = values.get(Codes.INITIAL_WINDOW_SIZE, 65_535)
        self.changing = True  # are SETTINGS of the server under way?

    # The client.

    def open(self) -> None:
        index = len(self.streams)
        if index == len(self.requests) or not self.client.capacity:
            return
        request = self.requests[index]
        body = body_of(request.pieces)
        fields = [(b"Host", b"example.org"), *request.fields]
        if request.announced:
            fields.append((b"Content-Length", b"%d" % len(body)))
        elif request.pieces:
            fields.append((b"Transfer-Encoding", b"chunked"))
        if request.continues and request.pieces:
            fields.append((b"Expect", b"100-continue"))
        stream = self.client.open(b"https", request.method, request.target, fields, b"", bool(request.pieces))
        self.streams[index] = stream
        self.bodies[index] = b""
        self.to_feed[index] = [made(size, number) for number, size in enumerate(request.pieces)]

    def feed(self) -> None:
        for index, stream in self.streams.items():
            if stream.need == PAUSE and self.dice.random() < 0.2:
                stream.proceed()
            if stream.need == BODY:
                stream.feed(self.to_feed[index].pop(0) if self.to_feed[index] else None)

    def read(self) -> None:
        for index, stream in self.streams.items():
            data = b"".join(stream.chunks)
            stream.chunks.clear()
            self.bodies[index] += data
            stream.took(len(data))

    def cancel(self) -> None:
        for index, stream in self.streams.items():
            if self.requests[index].fate == "reset by us" and stream.need != NOTHING:
                stream.reset(8)

    # The server.

    def answer(self) -> None:
        for number in list(self.to_say):
            steps = self.to_say[number]
            if steps and self.dice.random() < 0.7:
                try:
                    self._say(number, steps)
                except (h2.exceptions.StreamClosedError, h2.exceptions.ProtocolError):
                    assert self.streams[(number - 1) // 2].state == 4  # we reset it: h2 must not say more
                    steps.clear()

    def _say(self, number: int, steps: list[tuple[str, object]]) -> None:
        kind, what = steps[0]
        last = len(steps) == 1
        if kind == "reset":
            self.server.reset_stream(number, what)  # type: ignore[arg-type]  # an int here
        elif kind == "heads" or kind == "trailers":
            self.server.send_headers(number, what, end_stream=last)  # type: ignore[arg-type]  # fields here
        elif kind == "data":
            assert isinstance(what, bytes)
            padding = self.requests[(number - 1) // 2].padding
            overhead = 0 if padding is None else padding + 1
            room = min(self.server.local_flow_control_window(number), self.server.max_outbound_frame_size) - overhead
            if room <= 0 < len(what):
                return
            piece, rest = what[:room], what[room:]
            if overhead > self.server.local_flow_control_window(number):
                return
            self.server.send_data(number, piece, end_stream=last and not rest, pad_length=padding)
            if rest:
                steps[0] = ("data", rest)
                return
        steps.pop(0)

    def plan(self, number: int) -> None:
        request = self.requests[(number - 1) // 2]
        steps: list[tuple[str, object]] = []
        if request.fate == "refused":
            self.to_say[number] = [("reset", 7)]
            return
        for status in ([100] if request.continues and request.pieces else []) + request.interim:
            steps.append(("heads", [(b":status", b"%d" % status), (b"x-interim", b"yes")]))
        steps.append(("heads", [(b":status", b"%d" % request.status), *request.answer_fields]))
        if request.fate == "reset by the peer":
            steps.append(("reset", 2))
        else:
            steps += [("data", made(size, index)) for index, size in enumerate(request.answer_pieces)]
            if request.trailers is not None:
                steps.append(("trailers", request.trailers))
            if steps[-1][0] == "heads":
                steps.append(("data", b""))
        self.to_say[number] = steps

    def settle(self) -> None:
        """Change the windows and the table while streams live, and ask for a sign of life."""
        # One change at a time: h2 takes an acknowledgement of one SETTINGS for that of others that are under way.
        if not self.changing and self.dice.random() < 0.6:
            # Only up: an empty DATA frame may end a stream whose window is negative (RFC 9113 6.9.1), and h2
            # refuses it. Windows that shrink are in `test_http2.py`.
            self.window = window = max(self.window, self.dice.choice([0, 1, 1000, 65_535, 200_000]))
            table = self.dice.choice([0, 100, 4096])
            both = {Codes.INITIAL_WINDOW_SIZE: window, Codes.HEADER_TABLE_SIZE: table}
            name = self.dice.choice(list(both))
            self.server.update_settings({name: both[name]})
            self.changing = True
        if self.dice.random() < 0.3:
            self.server.ping(b"12345678")

    def acknowledge(self) -> None:
        for number, size in self.unacknowledged:
            try:
                self.server.acknowledge_received_data(size, number)
            except h2.exceptions.StreamClosedError:
                self.server.acknowledge_received_data(size, number)
        self.unacknowledged.clear()
        for number in self.seen:
            # h2 gives a window back by halves; one that settings made small would never open again.
            if number not in self.ended:
                try:
                    if self.server.remote_flow_control_window(number) < 1000:
                        self.server.increment_flow_control_window(1000, number)
                except (h2.exceptions.StreamClosedError, h2.exceptions.ProtocolError):
                    self.ended.add(number)

    # The network.

    def cut(self, data: bytes) -> list[bytes]:
        if self.cuts == "bytes" and len(data) < 3000:
            return [data[index : index + 1] for index in range(len(data))]
        if self.cuts == "whole" or len(data) < 2:
            return [data] if data else []
        count = min(len(data) - 1, self.dice.randint(1, 6))
        return cut_at(data, sorted(self.dice.sample(range(1, len(data)), count)))

    def to_server(self) -> None:
        for piece in self.cut(self.client.take()):
            for event in self.server.receive_data(piece):
                self.note(event)

    def note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.seen[event.stream_id] = [(bytes(name), bytes(value)) for name, value in event.headers]
            self.seen_bodies[event.stream_id] = b""
            self.plan(event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            self.seen_bodies[event.stream_id] += event.data
            self.unacknowledged.append((event.stream_id, event.flow_controlled_length))
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self.changing = False
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            self.ended.add(event.stream_id)
        else:
            assert not isinstance(event, h2.events.ConnectionTerminated), event

    def to_client(self) -> None:
        for piece in self.cut(self.server.data_to_send()):
            self.client.receive(piece)
        assert self.client.error is None

    def run(self) -> None:
        actions = [self.open, self.feed, self.read, self.answer, self.acknowledge, self.to_server, self.to_client]
        for _ in range(60):
            self.dice.choice(actions)()
            if self.dice.random() < 0.1:
                self.settle()
            if self.dice.random() < 0.1:
                self.cancel()
        for _ in range(1000):
            for action in actions:
                action()
            if len(self.streams) == len(self.requests) and not self.client.streams and not self.client.output:
                break
        self.read()

    def check(self) -> None:
        assert len(self.streams) == len(self.requests)
        for index, request in enumerate(self.requests):
            self.check_request(index, request)
            if request.fate != "reset by us":
                self.check_answer(self.streams[index], self.bodies[index], request)
        assert self.client.capacity > 0
        assert not self.client._blocked

    def check_request(self, index: int, request: Request) -> None:
        number = 2 * index + 1
        fields = self.seen[number]
        assert fields[:4] == [
            (b":method", request.method),
            (b":scheme", b"https"),
            (b":authority", b"example.org"),
            (b":path", request.target),
        ]
        assert [field for field in fields if field[0].startswith(b"x-")] == request.fields
        body = body_of(request.pieces)
        whole = request.fate == "answered" and self.streams[index].state == 4 and not self.streams[index].abandoned
        assert self.seen_bodies[number] == body if whole else body.startswith(self.seen_bodies[number])

    def check_answer(self, stream: HTTP2Stream, body: bytes, request: Request) -> None:
        if request.fate != "answered":
            assert type(stream.error) is httpx.RemoteProtocolError
            assert stream.refused == (request.fate == "refused")
            return
        assert stream.error is None
        assert stream.finished
        assert stream.head == (request.status, b"", request.answer_fields, b"HTTP/2")
        expected = ([100] if request.continues and request.pieces else []) + request.interim
        assert [status for status, _ in stream.informational] == expected
        assert body == body_of(request.answer_pieces)
        assert stream.trailers == request.trailers


@pytest.mark.parametrize("cuts", ["whole", "bytes", "random"])
@settings(max_examples=40)
@given(
    requests=st.lists(REQUESTS, min_size=1, max_size=5),
    window=st.sampled_from([0, 1, 100, 65_535, 1_000_000]),
    max_streams=st.sampled_from([1, 2, 100]),
    frame_size=st.sampled_from([16_384, 20_000]),
    seed=st.integers(0, 2**32),
)
def test_h2_sees_what_we_meant_and_we_see_what_h2_meant(
    cuts: str, requests: list[Request], window: int, max_streams: int, frame_size: int, seed: int
) -> None:
    values = {
        Codes.INITIAL_WINDOW_SIZE: window,
        Codes.MAX_CONCURRENT_STREAMS: max_streams,
        Codes.MAX_FRAME_SIZE: frame_size,
    }
    conversation = Conversation(requests, values, seed, cuts)
    conversation.to_client()
    conversation.run()
    conversation.check()


def test_a_hundred_streams_at_once_with_bodies_both_ways() -> None:
    request = Request(
        b"POST", b"/x", [], [70_000], True, False, [103], 200, [(b"x-a", b"b")], [70_000], 3, None, "answered"
    )
    conversation = Conversation([request] * 100, {Codes.MAX_CONCURRENT_STREAMS: 100}, 1, "random")
    conversation.to_client()
    while len(conversation.streams) < 100:
        conversation.open()
    conversation.run()
    conversation.check()
    assert conversation.client.capacity == 100


def test_a_goaway_of_h2_lets_what_runs_finish() -> None:
    request = Request(b"GET", b"/", [], [], False, False, [], 200, [], [100], None, None, "answered")
    conversation = Conversation([request], {}, 1, "bytes")
    conversation.to_client()
    conversation.open()
    conversation.to_server()
    conversation.server.close_connection(last_stream_id=2**31 - 1)
    goaway = conversation.server.data_to_send()
    conversation.client.receive(goaway)
    assert conversation.client.going_away
    assert conversation.client.capacity == 0
    assert conversation.streams[0].error is None


def test_what_h2_sends_before_it_learns_of_a_reset_is_taken_and_its_window_returned_once() -> None:
    """11,000 small frames of cancelled downloads ended the connection for the request that went on."""
    request = Request(b"GET", b"/", [], [], False, False, [], 200, [], [], None, None, "answered")
    conversation = Conversation([request] * 12, {}, 1, "whole")
    conversation.to_client()
    for _ in range(12):
        conversation.open()
    client, server = conversation.client, conversation.server
    server.receive_data(client.take())
    granted = server.outbound_flow_control_window
    for stream in conversation.streams.values():
        server.send_headers(stream.identifier, [(b":status", b"200")])
    client.receive(server.data_to_send())
    *cancelled, last = conversation.streams.values()
    for _ in range(1000):
        for stream in cancelled:
            server.send_data(stream.identifier, b"x" * 400)
    for stream in cancelled:
        stream.reset(8)
    client.receive(server.data_to_send())
    assert client.error is None
    server.receive_data(client.take())
    assert server.outbound_flow_control_window == granted
    server.send_data(last.identifier, b"mine", end_stream=True)
    client.receive(server.data_to_send())
    assert (last.chunks, last.finished) == ([b"mine"], True)
