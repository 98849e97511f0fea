"""
Header compression: against the `hpack` package in both roles, through changes of the table, and what is refused.

Whatever a block holds, nothing but `HPACKError` leaves the decoder.
"""

from __future__ import annotations

import copy

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._protocol import huffman
from httpx._protocol.hpack import (
    DEFAULT_TABLE_SIZE,
    MAX_OVERDUE,
    OVERHEAD,
    Decoder,
    Encoder,
    HPACKError,
    _integer,
    path_field,
)

Fields = list[tuple[bytes, bytes]]

GET: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"www.example.com"),
    (b":path", b"/"),
    (b"accept", b"*/*"),
    (b"user-agent", b"python-httpx/1"),
]

NAMES = st.one_of(
    st.sampled_from([b":path", b":status", b"cookie", b"authorization", b"x-a", b"x-b", b"etag", b"accept", b"date"]),
    st.from_regex(rb"[a-z0-9-]{1,12}", fullmatch=True),
)
VALUES = st.one_of(st.sampled_from([b"", b"200", b"/", b"gzip, deflate", b"a" * 70]), st.binary(max_size=40))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def their_decoder() -> hpack.Decoder:
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = DEFAULT_TABLE_SIZE
    return decoder


def theirs(decoder: hpack.Decoder, block: bytes) -> Fields:
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


def read(decoder: Decoder, block: bytes) -> Fields:
    """What our decoder says, a copy."""
    return decoder.decode(block).fields.copy()


def table(decoder: Decoder) -> Fields:
    """The entries of our decoder, newest first, without those that are evicted when somebody looks."""
    decoder._evict()
    return [field for field, _ in reversed(decoder._entries)]


def same_tables(encoder: Encoder, decoder: hpack.Decoder) -> bool:
    """Have both sides the same entries?"""
    return list(encoder._entries) == [
        (bytes(name), bytes(value)) for name, value in decoder.header_table.dynamic_entries
    ]


# -- our encoder, their decoder


@given(st.lists(st.one_of(FIELDS, st.integers(0, 5000), st.just(GET)), max_size=12))
def test_what_we_encode_the_oracle_decodes_through_changes_of_the_table(steps: list[Fields | int]) -> None:
    encoder, decoder, ours = Encoder(), their_decoder(), Decoder()
    for step in steps:
        if isinstance(step, int):
            encoder.set_max_size(step)
            decoder.max_allowed_table_size = max(decoder.max_allowed_table_size, min(step, DEFAULT_TABLE_SIZE))
        else:
            block = encoder.encode(step)
            assert theirs(decoder, block) == step
            assert read(ours, block) == step
            assert same_tables(encoder, decoder)


def test_a_request_that_was_sent_before_is_a_few_bytes() -> None:
    encoder, decoder = Encoder(), their_decoder()
    sizes = []
    for _ in range(4):
        block = encoder.encode(GET)
        sizes.append(len(block))
        assert theirs(decoder, block) == GET
    assert sizes[0] > 20
    assert sizes[1:] == [6, 6, 6]


@given(st.lists(st.one_of(FIELDS, st.integers(0, 5000), st.just(GET)), max_size=12))
def test_a_block_may_be_sent_again_while_the_version_is_the_same(steps: list[Fields | int]) -> None:
    """Else the numbers in it would mean other fields: one request would go out with another's."""
    encoder, decoder = Encoder(), their_decoder()
    remembered: dict[tuple[tuple[bytes, bytes], ...], tuple[int, bytes]] = {}
    for step in [*steps, *steps]:
        if isinstance(step, int):
            encoder.set_max_size(step)
            continue
        version = encoder.version
        known = remembered.get(tuple(step))
        block = known[1] if known is not None and known[0] == version else encoder.encode(step)
        if encoder.version == version:
            remembered[tuple(step)] = (version, block)
        assert theirs(decoder, block) == step
        assert same_tables(encoder, decoder)


def test_the_version_is_the_same_only_if_nothing_was_added_evicted_or_told() -> None:
    encoder = Encoder()
    encoder.encode(GET)
    version = encoder.version
    for _ in range(3):
        encoder.encode(GET)
    assert encoder.version == version
    encoder.encode([(b"x-a", b"b")])
    assert encoder.version > version
    version = encoder.version
    encoder.set_max_size(100)
    assert encoder.version > version
    version = encoder.version
    encoder.encode([(b":method", b"GET")])  # tells the size: sent again after another it would be wrong
    assert encoder.version > version


def test_a_field_that_is_another_one_each_time_is_not_added() -> None:
    """A request's number in a header pushed everything else out, and voided what was remembered of each request."""
    encoder, decoder = Encoder(), their_decoder()
    for number in range(100):
        fields = [*GET, (b"x-request-id", b"%d" % number)]
        assert theirs(decoder, encoder.encode(fields)) == fields
    assert [value for name, value in encoder._entries if name == b"x-request-id"] == [b"0"]
    version = encoder.version
    encoder.encode([*GET, (b"x-request-id", b"another")])
    assert encoder.version == version
    for number in range(1000):
        encoder.encode([(b"x-%d" % number, b"a")])
    assert len(encoder._values) <= 256
    assert len(encoder._heads) <= 256


@pytest.mark.parametrize("target", [b"/", b"/index.html", b"/x?y=z", b"/" + b"a" * 126, b"/" + b"a" * 70_000])
def test_a_path_is_a_field_that_may_stand_in_any_block(target: bytes) -> None:
    decoder = their_decoder()
    decoder.max_header_list_size = 2**20
    for _ in range(2):
        block = b"\x82" + path_field(target) + b"\x87"
        assert theirs(decoder, block) == [(b":method", b"GET"), (b":path", target), (b":scheme", b"https")]
    assert not decoder.header_table.dynamic_entries


def test_the_lowest_of_several_sizes_is_told_before_the_last() -> None:
    encoder = Encoder()
    encoder.encode(GET)
    for size in (2000, 100, 3000):
        encoder.set_max_size(size)
    assert encoder.encode([(b":method", b"GET")]) == _integer(100, 5, 0x20) + _integer(3000, 5, 0x20) + b"\x82"
    encoder.set_max_size(3000)
    assert encoder.encode([(b":method", b"GET")]) == b"\x82"
    encoder.set_max_size(50)
    assert encoder.encode([(b":method", b"GET")]) == _integer(50, 5, 0x20) + b"\x82"


def test_no_table_larger_than_the_default_is_used() -> None:
    encoder = Encoder()
    encoder.set_max_size(2**32 - 1)
    assert encoder.encode([(b":method", b"GET")]) == b"\x82"
    for number in range(500):
        encoder.encode([(b"x-%d" % number, b"value")])
    assert encoder._size <= DEFAULT_TABLE_SIZE
    assert len(encoder._when) == len(encoder._entries)


@pytest.mark.parametrize(
    "name",
    [
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"set-cookie",
        b"x-api-key",
        b"x-auth-token",
        b"x-csrf-token",
        b"x-amz-security-token",
        b"x-goog-api-key",
        b"ocp-apim-subscription-key",
        b"x-session-id",
        b"x-client-secret",
        b"x-password",
        b"x-hub-signature-256",
    ],
)
def test_secrets_are_never_indexed(name: bytes) -> None:
    """Neither we nor a proxy may keep them in a table, where others' requests could guess them (RFC 7541 7.1)."""
    encoder = Encoder()
    for _ in range(2):
        block = encoder.encode([(name, b"secret")])
        assert block[0] & 0xF0 == 0x10
        (field,) = hpack.Decoder().decode(block, raw=True)
        assert type(field) is hpack.NeverIndexedHeaderTuple
        assert field == (name, b"secret")
    assert not encoder._entries


@pytest.mark.parametrize("name", [b":authority", b"accept", b"user-agent", b"content-type", b"x-a", b"keep-alive"])
def test_what_is_no_secret_is_indexed(name: bytes) -> None:
    encoder = Encoder()
    assert encoder.encode([(name, b"value")])[0] & 0xC0 == 0x40
    assert len(encoder.encode([(name, b"value")])) == 1


def test_what_differs_each_time_or_is_large_pushes_nothing_out() -> None:
    encoder = Encoder()
    for fields in ([(b":path", b"/a")], [(b"content-length", b"5")], [(b"x-large", b"v" * 4000)]):
        assert encoder.encode(fields)[0] & 0xF0 == 0
    assert not encoder._entries


# -- their encoder, our decoder


@given(st.lists(st.one_of(FIELDS, st.integers(0, 4096)), max_size=12), st.booleans())
def test_what_the_oracle_encodes_we_decode_through_changes_of_the_table(steps: list[Fields | int], coded: bool) -> None:
    encoder, decoder = hpack.Encoder(), Decoder()
    for step in steps:
        if isinstance(step, int):
            if step != encoder.header_table_size:  # the oracle tells nothing if it is set to the same once more
                encoder.header_table_size = step
        else:
            sensitive = [hpack.NeverIndexedHeaderTuple(*field) if b"cookie" in field else field for field in step]
            assert read(decoder, encoder.encode(sensitive, huffman=coded)) == step
            assert table(decoder) == [(bytes(n), bytes(v)) for n, v in encoder.header_table.dynamic_entries]


def test_the_responses_of_the_rfc_with_eviction() -> None:
    """RFC 7541 C.6: a table of 256 bytes, Huffman code."""
    decoder = Decoder(max_table_size=256)
    common = [(b"cache-control", b"private"), (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT")]
    location = (b"location", b"https://www.example.com")
    first = bytes.fromhex(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    )
    assert read(decoder, first) == [(b":status", b"302"), *common, location]
    assert decoder._size == 222
    assert read(decoder, bytes.fromhex("4883640effc1c0bf")) == [(b":status", b"307"), *common, location]
    third = bytes.fromhex(
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960"
        "d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
    )
    assert read(decoder, third) == [
        (b":status", b"200"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:22 GMT"),
        location,
        (b"content-encoding", b"gzip"),
        (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ]
    assert len(table(decoder)) == 3
    assert decoder._size == 215


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = Decoder(max_table_size=64)
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder._size == 34
    assert read(decoder, b"\x40\x01c\x28" + b"d" * 40) == [(b"c", b"d" * 40)]
    assert table(decoder) == []
    assert decoder._size == 0
    with pytest.raises(HPACKError, match="not have an entry 62"):
        decoder.decode(b"\xbe")


@given(st.lists(FIELDS, min_size=1, max_size=6), st.integers(0, 3), st.booleans())
def test_what_is_remembered_is_what_would_be_decoded(steps: list[Fields], repeats: int, coded: bool) -> None:
    """A block that is known says the same as one that is not, and leaves the same table."""
    encoder, decoder = hpack.Encoder(), Decoder()
    blocks = [encoder.encode(step, huffman=coded) for step in steps]
    for block in [*blocks, *blocks * repeats]:
        fresh = Decoder()
        table(decoder)
        fresh._entries, fresh._size = decoder._entries.copy(), decoder._size
        outcomes = []
        for one in (decoder, fresh):
            try:
                outcomes.append((read(one, block), table(one), one._size))
            except HPACKError as exc:  # an entry that the first round had and a later one has not
                outcomes.append((str(exc), table(one), one._size))
        assert outcomes[0] == outcomes[1]


def test_a_block_that_refers_to_the_table_is_known_while_the_table_is_the_same() -> None:
    """Its numbers mean other fields later: one answer would come with another's."""
    encoder, decoder = hpack.Encoder(), Decoder()
    fields = [(b":status", b"200"), (b"x-a", b"b")]
    read(decoder, encoder.encode(fields))
    block = encoder.encode(fields)
    assert decoder.decode(block) is decoder.decode(block)
    other = [(b"x-c", b"d")]
    read(decoder, encoder.encode(other))
    assert read(decoder, block) == [(b":status", b"200"), (b"x-c", b"d")]
    assert decoder.decode(block) is decoder.decode(block)
    read(decoder, b"\x20")
    with pytest.raises(HPACKError, match="not have an entry 62"):
        decoder.decode(block)


def test_a_block_of_literals_is_known_whatever_is_in_the_table() -> None:
    """As nginx writes them: each answer adds the same entries once more, and nobody ever refers to them."""
    decoder = Decoder()
    block = b"\x88\x76\x89\xaa\x63\x55\xe5\x80\xae\x21\x2e\x1f\x5c\x0246\x00\x03x-a\x01b"
    first = decoder.decode(block)
    assert first.fields == [
        (b":status", b"200"),
        (b"server", b"nginx/1.22.1"),
        (b"content-length", b"46"),
        (b"x-a", b"b"),
    ]
    assert first.size == sum(len(name) + len(value) + 32 for name, value in first.fields)
    for _ in range(1000):
        assert decoder.decode(block) is first
        assert len(decoder._entries) < MAX_OVERDUE // 48 + 2
    assert table(decoder) == first.fields[2:0:-1] * (4096 // 98) + [first.fields[2]] * (4096 % 98 >= 48)
    assert decoder._size <= 4096


def test_what_comes_again_is_remembered_within_bounds() -> None:
    decoder = Decoder()
    most = [0, 0, 0]
    for number in range(1000):
        text = huffman.encode(b"value %d" % number)
        coded = bytes([0x80 | len(text)]) + text
        # Two fields, one that is added to the table and one that is not; and each time one that is too long for that.
        block = b"\x40\x01a" + coded + b"\x00\x01b" + coded + b"\x00\x01c\x7f\x01" + b"v" * 128
        value = b"value %d" % number
        assert read(decoder, block) == [(b"a", value), (b"b", value), (b"c", b"v" * 128)]
        most = list(map(max, most, map(len, (decoder._strings, decoder._literals, decoder._blocks))))
    assert most == [256, 256, 128]
    assert max(map(len, decoder._strings)) <= 64
    assert max(map(len, decoder._literals)) <= 96
    read(decoder, b"\x00\x01a\x7f\x81\x7f" + b"v" * 16_384)
    assert max(block.size for block in decoder._blocks.values()) <= 4096


def test_entries_that_are_over_the_limit_are_let_go_of_in_the_end_though_nobody_looks() -> None:
    decoder = Decoder()
    for number in range(5000):
        read(decoder, b"\x40\x01a\x06%06d" % number)
        assert decoder._size <= MAX_OVERDUE + 39
        assert len(decoder._entries) <= MAX_OVERDUE // 39 + 1
    assert table(decoder) == [(b"a", b"%06d" % number) for number in range(4999, 4999 - 4096 // 39, -1)]


def test_an_entry_that_fits_exactly_stays() -> None:
    for size in (39, 78, 100):
        decoder = Decoder(max_table_size=size)
        for number in range(20):
            read(decoder, b"\x40\x01a\x06%06d" % number)
        assert table(decoder) == [(b"a", b"%06d" % number) for number in range(19, 19 - size // 39, -1)]


# -- what is refused


def refused(block: bytes, **limits: int) -> str:
    with pytest.raises(HPACKError) as caught:
        Decoder(**limits).decode(block)
    return str(caught.value)


@pytest.mark.parametrize("block", [b"\x80", b"\xbe", b"\xff\x00", b"\xff\x80\x01", b"\x7e\x01a", b"\x0f\x80\x01\x00"])
def test_an_entry_that_is_not_there_is_refused(block: bytes) -> None:
    assert "the table does not have an entry" in refused(block)


@pytest.mark.parametrize(
    "block",
    [
        b"\xff" + b"\xff" * 5 + b"\x01",
        b"\xff" + b"\x80" * 5 + b"\x00",
        b"\xff" + b"\xff" * 5000,
        b"\x00\x7f" + b"\xff" * 9 + b"\x01",
        b"\x3f" + b"\xff" * 10,
        b"\x7f" + b"\xff" * 10,
        b"\x0f" + b"\x80" * 100,
    ],
)
def test_an_integer_without_end_is_refused(block: bytes) -> None:
    """An integer of any size would be memory and time without end (RFC 7541 5.1, 7.4)."""
    assert refused(block) == "an integer is too large"


@pytest.mark.parametrize("value", [0, 1, 30, 31, 32, 126, 127, 128, 254, 255, 1337, 65_535, 2**31, 2**34])
@pytest.mark.parametrize("prefix", [4, 5, 6, 7])
def test_integers_survive(value: int, prefix: int) -> None:
    coded = _integer(value, prefix, 0)
    assert Decoder._integer(coded, 0, prefix) == (value, len(coded))


def test_a_string_longer_than_its_block_is_refused_before_anything_is_copied() -> None:
    assert refused(b"\x00\x05abcd") == "a string is longer than its block"
    assert refused(b"\x00\x7f\xff\xff\xff\xff\x0fa") == "a string is longer than its block"


def test_bad_huffman_code_is_refused() -> None:
    assert "end symbol" in refused(b"\x00\x84\xff\xff\xff\xff\x00")
    assert "within a symbol" in refused(b"\x00\x81\x00\x00")


def test_a_block_that_is_cut_off_gives_its_first_fields_or_an_error() -> None:
    """Every proper beginning of a block: never another exception, and never a field that was not there."""
    encoder = hpack.Encoder()
    fields = [(b":status", b"200"), (b"x-long", b"v" * 300), (b"set-cookie", b"a=b"), *GET]
    for block in (encoder.encode(fields), encoder.encode(fields), encoder.encode(fields, huffman=False)):
        whole = hpack.Decoder()
        ours = Decoder()
        first = hpack.Encoder().encode(fields)
        theirs(whole, first)
        ours.decode(first)
        for end in range(len(block)):
            decoder = copy.deepcopy(ours)
            try:
                got = read(decoder, block[:end])
            except HPACKError:
                continue
            assert got == fields[: len(got)]


def test_a_size_above_the_limit_is_refused() -> None:
    """The peer would make us keep a table that we never offered."""
    assert "more than the 4096" in refused(_integer(4097, 5, 0x20))
    assert "more than the 100" in refused(_integer(101, 5, 0x20), max_table_size=100)
    assert read(Decoder(), _integer(4096, 5, 0x20)) == []


def test_a_size_after_a_field_is_refused() -> None:
    assert "follows a field" in refused(b"\x82\x20")
    assert read(Decoder(), b"\x20\x3f\xe1\x1f\x82") == [(b":method", b"GET")]


def test_a_small_block_with_a_huge_list_is_refused_while_it_is_decoded() -> None:
    """The bomb: 4 KB in the table, and then one byte for each time that it is meant: 60 KB would become 240 MB."""
    entry = b"\x40\x01a" + _integer(4000, 7, 0) + b"v" * 4000
    block = entry + b"\xbe" * 60_000
    decoder = Decoder(max_list_size=65_536)
    with pytest.raises(HPACKError, match="more than 65536 bytes"):
        decoder.decode(block)
    assert not decoder._blocks
    exact = Decoder(max_list_size=3 * (4001 + OVERHEAD))
    decoded = exact.decode(entry + b"\xbe\xbe")
    assert len(decoded.fields) == 3
    assert decoded.size == 3 * (4001 + OVERHEAD)
    with pytest.raises(HPACKError):
        exact.decode(b"\xbe\xbe\xbe\x82")


def test_fields_without_a_byte_count_as_well() -> None:
    assert "more than 320 bytes" in refused(b"\x00\x00\x00" * 11, max_list_size=320)
    assert len(read(Decoder(max_list_size=320), b"\x00\x00\x00" * 10)) == 10


@given(st.binary(max_size=60))
def test_any_bytes_give_what_the_oracle_gives_or_an_error(block: bytes) -> None:
    ours, decoder = Decoder(max_list_size=1000), hpack.Decoder(max_header_list_size=1000)
    try:
        expected = theirs(decoder, block)
    except hpack.HPACKError:
        expected = None
    except (TypeError, ValueError, IndexError, UnicodeError):  # the oracle's own slips are no verdict
        return
    fault = ""
    try:
        fields = read(ours, block)
    except HPACKError as exc:
        fault = str(exc)
    # Ours refuses integers of more than five bytes, where the oracle goes on.
    assert fault == "an integer is too large" or (None if fault else fields) == expected
