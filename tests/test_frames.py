"""
Frames as bytes: against the `hyperframe` package in both directions, every split, sizes and padding.
"""

from __future__ import annotations

import pytest
from hyperframe import frame as theirs
from hypothesis import given
from hypothesis import strategies as st

from httpx._protocol import frames
from support.frame_reader import Frame, FrameTooLarge, split
from support.wires import cut_at

STREAMS = st.integers(1, frames.MAX_WINDOW)
NUMBERS = st.integers(0, 2**32 - 1)


def parsed(data: bytes) -> theirs.Frame:
    """One frame as the oracle reads it."""
    made, size = theirs.Frame.parse_frame_header(memoryview(data[:9]))
    assert len(data) == 9 + size
    made.parse_body(memoryview(data[9:]))
    return made


def test_the_names_and_numbers_are_those_of_the_oracle() -> None:
    assert {kind: theirs.FRAMES[kind].__name__ for kind in range(10)} == {
        frames.DATA: "DataFrame",
        frames.HEADERS: "HeadersFrame",
        frames.PRIORITY: "PriorityFrame",
        frames.RST_STREAM: "RstStreamFrame",
        frames.SETTINGS: "SettingsFrame",
        frames.PUSH_PROMISE: "PushPromiseFrame",
        frames.PING: "PingFrame",
        frames.GOAWAY: "GoAwayFrame",
        frames.WINDOW_UPDATE: "WindowUpdateFrame",
        frames.CONTINUATION: "ContinuationFrame",
    }
    settings = theirs.SettingsFrame
    assert settings.HEADER_TABLE_SIZE == frames.HEADER_TABLE_SIZE
    assert settings.ENABLE_PUSH == frames.ENABLE_PUSH
    assert settings.MAX_CONCURRENT_STREAMS == frames.MAX_CONCURRENT_STREAMS
    assert settings.INITIAL_WINDOW_SIZE == frames.INITIAL_WINDOW_SIZE
    assert settings.MAX_FRAME_SIZE == frames.MAX_FRAME_SIZE
    assert settings.MAX_HEADER_LIST_SIZE == frames.MAX_HEADER_LIST_SIZE


# -- what we write, the oracle reads


@given(STREAMS, st.binary(max_size=100), st.booleans())
def test_data_is_read_by_the_oracle(stream: int, payload: bytes, ends: bool) -> None:
    made = parsed(frames.frame(frames.DATA, frames.END_STREAM if ends else 0, stream, payload))
    assert isinstance(made, theirs.DataFrame)
    assert (made.stream_id, bytes(made.data), "END_STREAM" in made.flags) == (stream, payload, ends)


@given(STREAMS, st.binary(max_size=100), st.booleans(), st.integers(1, 40))
def test_a_header_block_is_read_by_the_oracle_whatever_the_size_of_frames(
    stream: int, block: bytes, ends: bool, max_size: int
) -> None:
    whole, rest = split(frames.header_block(stream, block, ends, max_size), max_size)
    made = [parsed(frames.frame(*one)) for one in whole]
    assert rest == b""
    assert isinstance(made[0], theirs.HeadersFrame)
    assert all(isinstance(one, theirs.ContinuationFrame) for one in made[1:])
    assert ["END_HEADERS" in one.flags for one in made] == [False] * (len(made) - 1) + [True]
    assert ["END_STREAM" in one.flags for one in made] == [ends] + [False] * (len(made) - 1)
    assert {one.stream_id for one in made} == {stream}
    assert b"".join(bytes(one.data) for one in made) == block
    assert all(len(one.data) <= max_size for one in made)


@given(st.dictionaries(st.integers(1, 6), NUMBERS))
def test_settings_are_read_by_the_oracle_and_by_us(values: dict[int, int]) -> None:
    data = frames.settings(values)
    made = parsed(data)
    assert isinstance(made, theirs.SettingsFrame)
    assert made.settings == values
    assert frames.parsed_settings(data[9:]) == list(values.items())


@given(st.integers(0, frames.MAX_WINDOW), st.integers(1, frames.MAX_WINDOW), NUMBERS, st.binary(max_size=20))
def test_the_small_frames_are_read_by_the_oracle(stream: int, increment: int, error: int, debug: bytes) -> None:
    update = parsed(frames.window_update(stream, increment))
    assert (update.stream_id, update.window_increment) == (stream, increment)
    reset = parsed(frames.reset(stream or 1, error))
    assert (reset.stream_id, reset.error_code) == (stream or 1, error)
    goaway = parsed(frames.goaway(stream, error, debug))
    assert (goaway.stream_id, goaway.last_stream_id, goaway.error_code) == (0, stream, error)
    assert goaway.additional_data == debug
    ping = parsed(frames.frame(frames.PING, frames.ACK, 0, b"12345678"))
    assert (ping.opaque_data, ping.flags) == (b"12345678", {"ACK"})


# -- what the oracle writes, we read


@given(STREAMS, st.binary(max_size=50), st.integers(0, 255), st.booleans())
def test_data_of_the_oracle_loses_its_padding(stream: int, payload: bytes, padding: int, ends: bool) -> None:
    made = theirs.DataFrame(stream, payload, pad_length=padding, flags=["PADDED"] + ["END_STREAM"] * ends)
    ((kind, flags, identifier, body),), rest = split(made.serialize(), 16_384)
    assert (kind, identifier, rest) == (frames.DATA, stream, b"")
    assert bool(flags & frames.END_STREAM) == ends
    assert frames.unpadded(flags, body) == payload


def test_what_has_no_padding_is_not_touched() -> None:
    assert frames.unpadded(0, b"\x01ab") == b"\x01ab"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", None),
        (b"\x00", b""),
        (b"\x01", None),
        (b"\x01\x00", b""),
        (b"\x02a", None),
        (b"\x02a\x00", b""),
        (b"\xff" * 255, None),
    ],
)
def test_padding_larger_than_its_frame_is_none(payload: bytes, expected: bytes | None) -> None:
    assert frames.unpadded(frames.PADDED, payload) == expected


MADE = [
    theirs.SettingsFrame(0, settings={1: 4096, 3: 100}),
    theirs.HeadersFrame(1, b"block", flags=["END_HEADERS", "PRIORITY"], depends_on=3, stream_weight=4),
    theirs.DataFrame(1, b"x" * 300, flags=["END_STREAM"]),
    theirs.PingFrame(0, b"8 bytes."),
    theirs.WindowUpdateFrame(0, window_increment=5),
    theirs.GoAwayFrame(0, last_stream_id=7, error_code=2, additional_data=b"why"),
    theirs.RstStreamFrame(1, error_code=8),
    theirs.ContinuationFrame(1, b""),
]
STREAM = b"".join(one.serialize() for one in MADE) + frames.frame(200, 255, 1, b"unknown")


@given(st.sets(st.integers(1, len(STREAM) - 1), max_size=12))
def test_frames_are_the_same_however_the_bytes_are_cut(positions: set[int]) -> None:
    check(cut_at(STREAM, sorted(positions)))


def test_frames_are_the_same_byte_by_byte_and_at_every_single_cut() -> None:
    check([STREAM[index : index + 1] for index in range(len(STREAM))])
    for position in range(1, len(STREAM)):
        check(cut_at(STREAM, [position]))


def check(pieces: list[bytes]) -> None:
    got: list[Frame] = []
    rest = b""
    for piece in pieces:
        more, rest = split(rest + piece, 16_384)
        got += more
    assert rest == b""
    assert b"".join(frames.frame(*one) for one in got) == STREAM
    assert [kind for kind, *_ in got] == [4, 1, 0, 6, 8, 7, 3, 9, 200]


def test_the_reserved_bit_of_a_stream_is_ignored() -> None:
    assert split(b"\x00\x00\x00\x00\x00\x80\x00\x00\x05", 16_384)[0] == [(0, 0, 5, b"")]


def test_a_frame_of_the_largest_size_is_taken_and_a_larger_one_refused_by_its_head_alone() -> None:
    good = frames.frame(frames.DATA, 0, 1, b"x" * 100)
    assert split(good, 100) == ([(0, 0, 1, b"x" * 100)], b"")
    with pytest.raises(FrameTooLarge, match="a frame of 100 bytes, more than the 99"):
        split(good[:9], 99)
    assert split(good[:8], 99) == ([], good[:8])


def test_the_frames_before_one_that_is_too_large_are_not_lost() -> None:
    """An answer that is complete would come or not, depending on where the network cut what follows it."""
    with pytest.raises(FrameTooLarge) as caught:
        split(frames.frame(frames.DATA, 0, 1, b"x") + b"\xff" * 9, 16_384)
    assert caught.value.whole == [(0, 0, 1, b"x")]


def test_sizes_of_more_than_16_bits_survive() -> None:
    data = frames.frame(frames.DATA, 0, 1, b"x" * 70_000)
    assert parsed(data).body_len == 70_000
    assert split(data, frames.LARGEST_FRAME_SIZE) == ([(0, 0, 1, b"x" * 70_000)], b"")


def test_errors_have_names() -> None:
    assert frames.error_name(frames.REFUSED_STREAM) == "REFUSED_STREAM"
    assert frames.error_name(frames.HTTP_1_1_REQUIRED) == "HTTP_1_1_REQUIRED"
    assert frames.error_name(14) == "error 14"
    assert frames.number(b"\x00\x00\x01\x00more") == 256
