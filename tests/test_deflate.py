"""`_protocol/deflate.py`: permessage-deflate, its negotiation and its bounds."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._protocol.deflate import BadAgreement, BadCompression, Codec, Deflate, agreed, offers
from support.linear import linear
from support.wires import cuts

TAIL = b"\0\0\xff\xff"


def codec(parameters: Any = (), **wanted: Any) -> Codec:
    return agreed(Deflate(**wanted), parameters)


class Server:
    """The other side: zlib with the windows that were agreed."""

    def __init__(self, bits: int = 15, peer_bits: int = 15, takeover: bool = True, peer_takeover: bool = True) -> None:
        self.bits, self.peer_bits, self.takeover, self.peer_takeover = bits, peer_bits, takeover, peer_takeover
        self.compressor: Any = None
        self.expander: Any = None

    def compress(self, message: bytes) -> bytes:
        if self.compressor is None or not self.takeover:
            self.compressor = zlib.compressobj(wbits=-self.bits)
        payload: bytes = self.compressor.compress(message) + self.compressor.flush(zlib.Z_SYNC_FLUSH)
        assert payload.endswith(TAIL) or not payload
        return payload[:-4] or b"\0"

    def expand(self, payload: bytes) -> bytes:
        if self.expander is None or not self.peer_takeover:
            self.expander = zlib.decompressobj(-self.peer_bits)
        out: bytes = self.expander.decompress(payload + TAIL)
        return out


# What is offered.


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (
            {},
            b"permessage-deflate; server_max_window_bits=12; client_max_window_bits, "
            b"permessage-deflate; client_max_window_bits",
        ),
        ({"peer_window_bits": 15}, b"permessage-deflate; client_max_window_bits"),
        (
            {"peer_window_bits": 15, "context_takeover": False, "peer_context_takeover": False},
            b"permessage-deflate; client_max_window_bits; client_no_context_takeover; server_no_context_takeover",
        ),
    ],
)
def test_what_is_offered(wanted: dict[str, Any], expected: bytes):
    assert offers(Deflate(**wanted)) == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"window_bits": 8}, "window_bits must be from 9 to 15, got 8"),
        ({"window_bits": 16}, "window_bits must be from 9 to 15, got 16"),
        ({"peer_window_bits": 7}, "peer_window_bits must be from 8 to 15, got 7"),
        ({"level": 10}, "level must be from -1 to 9, got 10"),
        ({"mem_level": 0}, "mem_level must be from 1 to 9, got 0"),
        ({"min_size": -1}, "min_size must be a number of bytes, got -1"),
    ],
)
def test_a_number_out_of_its_range_is_refused(wanted: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Deflate(**wanted)


def test_settings_are_a_value():
    assert Deflate() == Deflate(level=6)
    assert hash(Deflate()) == hash(Deflate())
    assert Deflate() != Deflate(level=1)
    assert Deflate() != 5
    assert eval(repr(Deflate(level=1)), {"Deflate": Deflate}) == Deflate(level=1)


# What the response may choose.


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([], (12, 15, True, True)),
        ([(b"server_max_window_bits", b"12")], (12, 12, True, True)),
        ([(b"server_max_window_bits", b"8")], (12, 8, True, True)),
        ([(b"server_max_window_bits", b"15")], (12, 15, True, True)),  # the second offer
        ([(b"client_max_window_bits", b"10")], (10, 15, True, True)),
        ([(b"client_max_window_bits", b"15")], (12, 15, True, True)),
        ([(b"client_no_context_takeover", None)], (12, 15, False, True)),
        ([(b"server_no_context_takeover", None)], (12, 15, True, False)),
    ],
)
def test_what_the_response_chose_is_used(parameters: Any, expected: Any):
    found = codec(parameters)
    assert (found.window_bits, found.peer_window_bits, found.context_takeover, found.peer_context_takeover) == expected


@pytest.mark.parametrize("name", [b"server_max_window_bits", b"client_max_window_bits"])
@pytest.mark.parametrize("value", [None, b"", b"0", b"7", b"16", b"08", b"1000000000000", b"-9", b"9.0", b"x" * 50])
def test_window_bits_outside_8_to_15_are_refused(name: bytes, value: Optional[bytes]):
    """CVE-2026-2229: zlib was given what the peer had written, and the process ended."""
    with pytest.raises(BadAgreement, match="must be from 8 to 15, got") as caught:
        codec([(name, value)])
    assert len(str(caught.value)) < 140


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([(b"server_no_context_takeover", b"1")], "must not have a value"),
        ([(b"client_no_context_takeover", b"")], "must not have a value"),
        ([(b"server_no_context_takeover", None)] * 2, "comes twice"),
        ([(b"client_max_window_bits", b"10"), (b"client_max_window_bits", b"11")], "comes twice"),
        ([(b"window", b"10")], "unknown parameter b'window'"),
    ],
)
def test_parameters_that_say_something_else_are_refused(parameters: Any, message: str):
    with pytest.raises(BadAgreement, match=message):
        codec(parameters)


def test_a_condition_of_every_offer_must_be_met():
    with pytest.raises(BadAgreement, match="server_no_context_takeover"):
        codec([], peer_context_takeover=False)
    assert not codec([(b"server_no_context_takeover", None)], peer_context_takeover=False).peer_context_takeover
    assert not codec([], context_takeover=False).context_takeover  # a hint alone: RFC 7692 7.1.1.2


# Messages.


@pytest.mark.parametrize("bits", [8, 9, 12, 15])
@pytest.mark.parametrize("takeover", [True, False])
def test_messages_of_the_peer_are_expanded_in_every_window(bits: int, takeover: bool):
    parameters = [
        (b"server_max_window_bits", b"%d" % bits),
        *([] if takeover else [(b"server_no_context_takeover", None)]),
    ]
    found, server = codec(parameters), Server(bits=max(bits, 9), takeover=takeover)
    for message in (b"", b"a", b"Hello" * 5, b"Hello" * 5, b"", bytes(range(256)) * 300, b"b" * 100_000):
        payload = server.compress(message)
        assert found.finish(payload, None) == message
        payload = server.compress(message)
        pieces = list(cuts(payload))[2]
        assert b"".join([*[found.expand(piece, None) for piece in pieces], found.finish(b"", None)]) == message


@pytest.mark.parametrize("bits", [9, 12, 15])
@pytest.mark.parametrize("takeover", [True, False])
def test_our_messages_are_expanded_by_the_peer(bits: int, takeover: bool):
    found = codec([] if takeover else [(b"client_no_context_takeover", None)], window_bits=bits)
    server = Server(peer_bits=bits, peer_takeover=takeover)
    sizes = []
    for message in (b"a", b"b", b"c", bytearray(b"Hello, and hello again"), b"Hello, and hello again", b"z" * 100_000):
        payload = found.compress(message)
        assert payload is not None
        assert server.expand(payload) == message
        sizes.append(len(payload))
    assert (sizes[4] < sizes[3]) is takeover


def test_an_empty_message_goes_as_it_is():
    assert codec().compress(b"") is None


def test_a_window_of_8_bits_cannot_be_made_so_messages_go_as_they_are():
    assert codec([(b"client_max_window_bits", b"8")]).compress(b"x" * 1000) is None


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (bytes.fromhex("f248cdc9c90700"), b"Hello"),
        (bytes.fromhex("000500faff48656c6c6f00"), b"Hello"),  # a block without compression
        (bytes.fromhex("f348cdc9c9070000"), b"Hello"),  # a final block
        (bytes.fromhex("f24805000000ffffcac9c90700"), b"Hello"),  # two blocks
    ],
)
def test_the_examples_of_the_rfc(payload: bytes, message: bytes):
    found = codec()
    for pieces in cuts(payload):
        out = b"".join([found.expand(piece, 5) for piece in pieces[:-1]] + [found.finish(pieces[-1], 5)])
        assert out == message
    assert found.finish(bytes.fromhex("f248cdc9c90700"), 5) == message


def test_a_message_in_the_window_of_the_one_before():
    """The second example of RFC 7692 7.2.3.2."""
    found = codec()
    assert found.finish(bytes.fromhex("f248cdc9c90700"), None) == b"Hello"
    assert found.finish(bytes.fromhex("f200110000"), None) == b"Hello"


def test_final_blocks_within_a_message_are_expanded_up_to_a_number():
    """Each final block costs an object and a copy of what follows: a payload of them took quadratic time."""
    final = b"\xf3\x48\xcd\xc9\xc9\x07\x00"
    assert codec().finish(final * 16 + b"\0", None) == b"Hello" * 16
    with pytest.raises(BadCompression, match="more than 16 final DEFLATE blocks"):
        codec().finish(final * 17 + b"\0", None)
    found = codec()
    assert b"".join(found.expand(final, None) for _ in range(16)) == b"Hello" * 16
    with pytest.raises(BadCompression, match="more than 16"):
        found.expand(final, None)
    found = codec()
    for _ in range(100):
        assert found.finish(final + b"\0", 5) == b"Hello"


def test_many_final_blocks_take_linear_time():
    def prepare(size: int):
        payload = b"\x03\x00" * (size // 2)

        def work():
            with pytest.raises(BadCompression):
                codec().finish(payload, None)

        return work

    linear(prepare, 1 << 19, 1 << 21)


def test_without_takeover_no_window_is_kept_between_messages():
    parameters = [(b"client_no_context_takeover", None), (b"server_no_context_takeover", None)]
    with_windows, without = codec(), codec(parameters)
    payload = Server().compress(bytes(range(256)) * 100)
    sizes = []
    tracemalloc.start()
    try:
        for each in (with_windows, without):
            before = tracemalloc.get_traced_memory()[0]
            each.finish(payload, None)
            each.compress(b"x" * 1000)
            sizes.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    assert sizes[0] > 30_000
    assert sizes[1] < 1_000


# Bounds.


@pytest.mark.parametrize("room", [0, 1, 49, 100, 5000])
def test_no_more_than_the_room_and_one_byte_comes_out(room: int):
    payload = Server().compress(b"x" * 10_000)
    assert codec().finish(payload, room) == b"x" * (room + 1)
    assert codec().expand(payload, room) == b"x" * (room + 1)
    assert codec().finish(payload, 10_000) == b"x" * 10_000
    final = zlib.compressobj(wbits=-15)
    payload = final.compress(b"x" * 50) + final.flush()
    assert len(codec().finish(payload * 10, room)) == min(room + 1, 500)


def test_a_bomb_does_not_fill_the_memory():
    """CVE-2018-1000518: a message of a megabyte became a gigabyte before its size was looked at."""
    bomb = Server().compress(b"\0" * 20_000_000)
    tracemalloc.start()
    try:
        assert len(codec().finish(bomb, 100_000)) == 100_001
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("payload", [b"\xff", b"\x07", b"\x01\x05\x00\x00\x00"])
def test_what_is_not_deflate_data_is_refused(payload: bytes):
    with pytest.raises(BadCompression, match="not valid DEFLATE"):
        codec().finish(payload, None)
    with pytest.raises(BadCompression, match="not valid DEFLATE"):
        codec().finish(b"\xf3\x48\xcd\xc9\xc9\x07\x00" + payload, None)


@given(st.lists(st.binary(max_size=300), max_size=5), st.booleans(), st.integers(9, 15), st.integers(0, 1000))
def test_what_is_compressed_expands_to_itself(messages: list[bytes], takeover: bool, bits: int, seed: int):
    parameters: Any = [] if takeover else [(b"client_no_context_takeover", None), (b"server_no_context_takeover", None)]
    ours, theirs = codec(parameters, window_bits=bits), codec(parameters, window_bits=15)
    for message in messages:
        payload = ours.compress(message)
        assert (payload is None) is (message == b"")
        if payload is None:
            continue
        *pieces, last = next(iter(list(cuts(payload, seed=seed))[2:]))
        assert b"".join([*[theirs.expand(piece, 300) for piece in pieces], theirs.finish(last, 300)]) == message
