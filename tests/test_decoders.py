"""Decoders: any split gives the same, nothing cut short passes, nothing grows without bound, time is linear."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tracemalloc
import zlib
from types import ModuleType
from typing import Any, Callable

import brotli  # type: ignore[import-untyped]  # has no stubs
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx import _decoders
from httpx._decoders import (
    MAX_PIECE,
    BrotliDecoder,
    ContentDecoder,
    DeflateDecoder,
    GZipDecoder,
    IdentityDecoder,
    MultiDecoder,
    ZStandardDecoder,
    accept_encoding,
    get_decoder,
)
from httpx._exceptions import DecodingError

TEXT = b"The quick brown fox jumps over the lazy dog. " * 20


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def zstd_with_checksum(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def zstd_stream(data: bytes) -> bytes:
    """As a server streams it: size unknown, blocks flushed in between."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    middle = len(data) // 2
    first = compressor.compress(data[:middle]) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return first + compressor.compress(data[middle:]) + compressor.flush()


CODINGS: dict[str, tuple[type[ContentDecoder], Callable[[bytes], bytes]]] = {
    "gzip": (GZipDecoder, gzip.compress),
    "deflate": (DeflateDecoder, zlib.compress),
    "raw deflate": (DeflateDecoder, raw_deflate),
    "br": (BrotliDecoder, brotli.compress),
    "zstd": (ZStandardDecoder, zstandard.compress),
    "zstd with checksum": (ZStandardDecoder, zstd_with_checksum),
    "zstd stream": (ZStandardDecoder, zstd_stream),
}


def cuts(data: bytes, seed: int) -> list[bytes]:
    """`data` cut at random places."""
    generator = random.Random(seed)
    places = sorted(generator.randrange(len(data) + 1) for _ in range(generator.randrange(8)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)])]


def pieces_of(decoder: ContentDecoder, parts: list[bytes]) -> list[bytes]:
    pieces = [piece for part in parts for piece in decoder.decode(part)]
    return [*pieces, *decoder.flush()]


def decoded(decoder: ContentDecoder, *parts: bytes) -> bytes:
    return b"".join(pieces_of(decoder, list(parts)))


@pytest.fixture(params=list(CODINGS))
def coding(request: Any) -> tuple[type[ContentDecoder], Callable[[bytes], bytes]]:
    return CODINGS[request.param]


@pytest.fixture
def fresh_lookups() -> Any:
    """Look for libraries again, before and after."""
    for cached in (_decoders._library, accept_encoding):
        cached.cache_clear()
    yield
    for cached in (_decoders._library, accept_encoding):
        cached.cache_clear()


# Content codings


@pytest.mark.parametrize("data", [b"", b"x", TEXT, random.Random(1).randbytes(300_000), b"\0" * 500_000])
def test_every_split_gives_what_was_compressed(coding: Any, data: bytes) -> None:
    decoder, compress = coding
    body = compress(data)
    splits = [[body], *(cuts(body, seed) for seed in range(5))]
    if len(body) < 5_000:
        splits.append([body[at : at + 1] for at in range(len(body))])
    for parts in splits:
        pieces = pieces_of(decoder(), parts)
        assert b"".join(pieces) == data
        assert all(0 < len(piece) <= MAX_PIECE for piece in pieces)


@settings(max_examples=40, deadline=None)
@given(
    data=st.binary(max_size=3_000), repeat=st.integers(1, 200), seed=st.integers(), name=st.sampled_from(list(CODINGS))
)
def test_round_trip(data: bytes, repeat: int, seed: int, name: str) -> None:
    decoder, compress = CODINGS[name]
    assert decoded(decoder(), *cuts(compress(data * repeat), seed)) == data * repeat


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), name=st.sampled_from(list(CODINGS)), valid=st.booleans(), at=st.integers(0, 100))
def test_garbage_raises_nothing_but_a_decoding_error(data: bytes, name: str, valid: bool, at: int) -> None:
    decoder, compress = CODINGS[name]
    body = data
    if valid:  # a good body with one byte changed
        body = compress(data)
        at %= len(body)
        body = body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :]
    try:
        decoded(decoder(), body)
    except DecodingError:
        pass


def test_a_body_cut_at_any_byte_raises(coding: Any) -> None:
    decoder, compress = coding
    body = compress(TEXT)
    for end in range(1, len(body)):
        with pytest.raises(DecodingError, match="ended before"):
            decoded(decoder(), body[:end])


def test_no_body_at_all_is_not_an_error(coding: Any) -> None:
    decoder, _ = coding
    assert decoded(decoder()) == b""
    assert decoded(decoder(), b"", b"") == b""


def test_what_is_no_compressed_data_raises(coding: Any) -> None:
    with pytest.raises(DecodingError, match="data in the body"):
        decoded(coding[0](), b"<html>an error page that says it is compressed</html>")


def test_what_was_decoded_before_an_error_has_been_given(coding: Any) -> None:
    """Streams of events are read as they come, so what is there must not wait for the end."""
    decoder_class, compress = coding
    data = random.Random(2).randbytes(400_000)
    decoder = decoder_class()
    pieces = list(decoder.decode(compress(data)[:300_000]))
    assert len(b"".join(pieces)) > 150_000
    with pytest.raises(DecodingError):
        decoder.flush()


@pytest.mark.parametrize(
    ("decoder", "compressor"),
    [
        (GZipDecoder, zlib.compressobj(wbits=31)),
        (DeflateDecoder, zlib.compressobj()),
        (ZStandardDecoder, zstandard.ZstdCompressor().compressobj()),
    ],
)
def test_what_a_server_flushes_is_given_at_once(decoder: Any, compressor: Any) -> None:
    flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK if decoder is ZStandardDecoder else zlib.Z_SYNC_FLUSH
    stream = decoder()
    for number in range(5):
        event = b"data: %d\n\n" % number
        assert b"".join(stream.decode(compressor.compress(event) + compressor.flush(flush))) == event


def bomb(name: str, size: int) -> bytes:
    if name == "zstd":
        # Run-length blocks: four bytes for 128 KiB each, which no compressor of good will makes.
        block = (0x20000 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
        last = (0 << 3 | 1).to_bytes(3, "little")
        return b"\x28\xb5\x2f\xfd\x00\x58" + block * (size // 0x20000) + last
    if name == "br":
        body: bytes = brotli.compress(b"\0" * size, quality=1)
        return body
    compressor = zlib.compressobj(9, wbits=31 if name == "gzip" else 15)
    return b"".join(compressor.compress(b"\0" * 1_000_000) for _ in range(size // 1_000_000)) + compressor.flush()


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_streams_in_constant_memory(name: str) -> None:
    """100 MB from 64 KiB, decoded in one step, filled the memory (CVE-2025-66471)."""
    body = bomb(name, 50_000_000)
    decoder = CODINGS[name][0]()
    total = 0
    tracemalloc.start()
    try:
        for piece in decoder.decode(body):
            assert len(piece) <= MAX_PIECE
            total += len(piece)
        decoder.flush()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 49_000_000 < total < 51_000_000
    assert peak < len(body) + 6 * MAX_PIECE


def test_a_bomb_that_is_not_read_is_not_decoded() -> None:
    decoder = GZipDecoder()
    pieces = decoder.decode(bomb("gzip", 50_000_000))
    assert len(next(pieces)) == MAX_PIECE
    with pytest.raises(DecodingError):
        decoder.flush()  # most of it is still inside


@pytest.mark.parametrize(("decoder_class", "wbits"), [(DeflateDecoder, 15), (GZipDecoder, 31)])
def test_a_large_body_in_one_step_is_not_copied_for_each_piece(decoder_class: Any, wbits: int) -> None:
    """zlib hands back what it has not taken. Of 3 MB in one step that would be 3 MB for each piece of 256 KiB."""
    sizes = []

    class Recorder:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def decompress(self, data: bytes, limit: int) -> bytes:
            sizes.append(len(data))
            result: bytes = self.stream.decompress(data, limit)
            return result

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

    data = random.Random(3).randbytes(3_000_000)
    decoder = decoder_class()
    compressor = zlib.compressobj(0, wbits=wbits)
    body = compressor.compress(data) + compressor.flush()
    start = b"".join(decoder.decode(body[:2]))
    decoder._stream = Recorder(decoder._stream)
    assert start + decoded(decoder, body[2:]) == data
    assert sum(sizes) < 2 * len(body)


def test_what_a_library_still_holds_when_its_input_is_taken_is_given() -> None:
    """zlib may have taken all input and stop in the middle of a match because its output is full."""
    for size in range(MAX_PIECE - 2, MAX_PIECE + 600):
        assert len(decoded(DeflateDecoder(), raw_deflate(b"\0" * size))) == size


def test_several_gzip_members_are_one_body() -> None:
    """0.28.1 gave the first member and dropped the rest without a word."""
    body = gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"three")
    for parts in ([body], [body[at : at + 1] for at in range(len(body))], cuts(body, 1), cuts(body, 2)):
        assert decoded(GZipDecoder(), *parts) == b"onethree"


@pytest.mark.parametrize(
    "trail", [b"\0" * 100, b"trailing garbage", b"\x1fgarbage", b"\0\0garbage", b"\0" * 70_000 + b"x"]
)
def test_padding_and_garbage_after_gzip_are_ignored(trail: bytes) -> None:
    body = gzip.compress(TEXT) + trail
    assert decoded(GZipDecoder(), body) == TEXT
    assert decoded(GZipDecoder(), *(body[at : at + 1] for at in range(len(body)))) == TEXT


def test_a_gzip_member_after_padding_is_decoded() -> None:
    assert decoded(GZipDecoder(), gzip.compress(b"one") + b"\0" * 512 + gzip.compress(b"two")) == b"onetwo"


def test_a_later_gzip_member_that_is_cut_raises() -> None:
    first, second = gzip.compress(b"one"), gzip.compress(b"two")
    for end in range(1, len(second)):
        with pytest.raises(DecodingError, match="ended before"):
            decoded(GZipDecoder(), first + second[:end])


def test_a_wrong_gzip_checksum_raises() -> None:
    body = bytearray(gzip.compress(TEXT))
    body[-5] ^= 1
    with pytest.raises(DecodingError, match="invalid gzip data"):
        decoded(GZipDecoder(), bytes(body))


@pytest.mark.parametrize("compress", [zlib.compress, raw_deflate])
def test_garbage_after_deflate_is_ignored(compress: Any) -> None:
    assert decoded(DeflateDecoder(), compress(TEXT) + b"garbage", b"more") == TEXT


def test_garbage_after_br_raises() -> None:
    for parts in ([brotli.compress(TEXT) + b"garbage"], [brotli.compress(TEXT), b"garbage"]):
        with pytest.raises(DecodingError, match="invalid br data"):
            decoded(BrotliDecoder(), *parts)


def test_several_zstd_frames_and_skippable_frames_are_one_body() -> None:
    skippable = b"\x5a\x2a\x4d\x18" + (70_000).to_bytes(4, "little") + b"s" * 70_000
    empty = b"\x50\x2a\x4d\x18" + bytes(4)
    body = skippable + zstandard.compress(b"one") + empty + zstd_with_checksum(b"") + zstd_stream(b"three") + skippable
    assert decoded(ZStandardDecoder(), body) == b"onethree"
    for seed in range(5):
        assert decoded(ZStandardDecoder(), *cuts(body, seed)) == b"onethree"
    with pytest.raises(DecodingError, match="ended before"):
        decoded(ZStandardDecoder(), body[:-1])


def test_a_skippable_zstd_frame_is_not_held() -> None:
    """It may announce 4 GiB."""
    decoder = ZStandardDecoder()
    assert list(decoder.decode(b"\x50\x2a\x4d\x18" + b"\xff" * 4)) == []
    tracemalloc.start()
    try:
        piece = bytes(60_000)
        for _ in range(50):
            assert list(decoder.decode(piece)) == []
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("trail", [b"\0" * 4, b"garbage", b"\x28\xb5\x2f\xfe"])
def test_garbage_after_zstd_raises(trail: bytes) -> None:
    with pytest.raises(DecodingError, match="a frame begins with"):
        decoded(ZStandardDecoder(), zstandard.compress(TEXT) + trail)


def test_a_wrong_zstd_checksum_raises() -> None:
    body = bytearray(zstd_with_checksum(TEXT))
    body[-1] ^= 1
    with pytest.raises(DecodingError, match="invalid zstd data"):
        decoded(ZStandardDecoder(), bytes(body))


def zstd_frame(descriptor: int, header: bytes, *blocks: bytes) -> bytes:
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + header + b"".join(blocks)


LAST_RAW_BLOCK = (2 << 3 | 1).to_bytes(3, "little") + b"ab"


@pytest.mark.parametrize(
    ("descriptor", "header"),
    [
        (0x00, b"\x00"),  # the smallest window
        (0x00, b"\x68"),  # 8 MiB, the largest
        (0x20, b"\x02"),  # one segment, size in 1, 2, 4, 8 bytes
        (0x80, b"\x00\x02\x00\x00\x00"),
        (0xA0, b"\x02\x00\x00\x00"),
        (0xE0, b"\x02" + bytes(7)),
        (0x01, b"\x00\x00"),  # a dictionary whose number is 0, which is none
    ],
)
def test_every_form_of_a_zstd_frame_header_is_understood(descriptor: int, header: bytes) -> None:
    assert decoded(ZStandardDecoder(), zstd_frame(descriptor, header, LAST_RAW_BLOCK)) == b"ab"


@pytest.mark.parametrize(
    ("descriptor", "header"),
    [
        (0x00, b"\x69"),  # 9 MiB
        (0x00, b"\xff"),
        (0xA0, (8_388_609).to_bytes(4, "little")),
        (0xE0, (2**40).to_bytes(8, "little")),
    ],
)
def test_a_zstd_window_of_more_than_8_mib_is_refused(descriptor: int, header: bytes) -> None:
    """RFC 9659: the format allows windows of terabytes, this content coding does not."""
    with pytest.raises(DecodingError, match="needs a window of"):
        decoded(ZStandardDecoder(), zstd_frame(descriptor, header, LAST_RAW_BLOCK))


def test_a_zstd_frame_of_256_bytes_to_64_kib_in_one_segment_counts_from_256() -> None:
    block = (300 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"z"
    assert decoded(ZStandardDecoder(), zstd_frame(0x60, (44).to_bytes(2, "little"), block)) == b"z" * 300


@pytest.mark.parametrize("block", [(1 << 3 | 3 << 1 | 1), (131_073 << 3 | 1), (200_000 << 3 | 1 << 1)])
def test_a_zstd_block_of_unknown_type_or_too_large_is_refused(block: int) -> None:
    with pytest.raises(DecodingError, match="a block of type"):
        decoded(ZStandardDecoder(), zstd_frame(0x00, b"\x58", block.to_bytes(3, "little") + b"x"))


def test_a_zstd_library_that_sees_the_end_elsewhere_is_not_trusted() -> None:
    decoder = ZStandardDecoder()

    class NeverDone:
        eof = False

        def decompress(self, data: bytes) -> bytes:
            return b"ab"

    decoder._new_frame = NeverDone
    with pytest.raises(DecodingError, match="ends too early"):
        decoded(decoder, zstd_frame(0x00, b"\x00", LAST_RAW_BLOCK))


class StandardLibraryZstd(ModuleType):
    """`compression.zstd` of Python 3.14, as far as it is used."""

    class DecompressionParameter:
        window_log_max = 100

    class ZstdError(Exception):
        pass

    class ZstdDecompressor:
        def __init__(self, zstd_dict: Any = None, options: Any = None) -> None:
            assert options == {100: 23}
            self._stream = zstandard.ZstdDecompressor().decompressobj()

        def decompress(self, data: bytes, max_length: int = -1) -> bytes:
            try:
                return self._stream.decompress(data)
            except zstandard.ZstdError as exc:
                raise StandardLibraryZstd.ZstdError(str(exc)) from exc

        @property
        def eof(self) -> bool:
            return bool(self._stream.eof)


def test_zstd_of_the_standard_library_is_used_where_the_package_is_not(
    monkeypatch: pytest.MonkeyPatch, fresh_lookups: None
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "_zstd", ModuleType("_zstd"))
    monkeypatch.setitem(sys.modules, "compression", ModuleType("compression"))
    monkeypatch.setitem(sys.modules, "compression.zstd", StandardLibraryZstd("compression.zstd"))
    assert "zstd" in accept_encoding()
    decoder = get_decoder(["zstd"])
    assert decoder is not None
    body = zstd_with_checksum(TEXT)
    assert decoded(decoder, body, body) == TEXT * 2
    with pytest.raises(DecodingError, match="invalid zstd data"):
        decoded(ZStandardDecoder(), zstd_frame(0x00, b"\x58", (2 << 3 | 2 << 1 | 1).to_bytes(3, "little") + b"xx"))


class OldBrotli(ModuleType):
    """A brotli without output limit: of before 1.2, or brotlipy, whose method has another name."""

    error = brotli.error
    method = "process"

    class Decompressor:
        def __init__(self) -> None:
            self._stream = brotli.Decompressor()
            setattr(self, OldBrotli.method, self._stream.process)

        def is_finished(self) -> bool:
            return bool(self._stream.is_finished())


@pytest.mark.parametrize("method", ["process", "decompress"])
def test_an_old_brotli_is_given_its_input_in_small_steps(
    monkeypatch: pytest.MonkeyPatch, fresh_lookups: None, method: str
) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    monkeypatch.setattr(OldBrotli, "method", method)
    monkeypatch.setitem(sys.modules, "brotlicffi", OldBrotli("brotlicffi"))
    body = brotli.compress(TEXT + b"\0" * 5_000_000)
    pieces = pieces_of(BrotliDecoder(), [b"", body])
    assert b"".join(pieces) == TEXT + b"\0" * 5_000_000
    assert max(map(len, pieces)) <= MAX_PIECE
    with pytest.raises(DecodingError, match="ended before"):
        decoded(BrotliDecoder(), body[:-1])


def test_only_codings_whose_library_is_there_are_offered(monkeypatch: pytest.MonkeyPatch, fresh_lookups: None) -> None:
    assert accept_encoding() == "gzip, deflate, br, zstd"
    _decoders._library.cache_clear()
    accept_encoding.cache_clear()
    for name in ("brotli", "brotlicffi", "zstandard", "compression", "_zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    assert accept_encoding() == "gzip, deflate"
    assert get_decoder(["br"]) is None


def test_libraries_are_looked_for_without_importing_them(monkeypatch: pytest.MonkeyPatch, fresh_lookups: None) -> None:
    for name in ("brotli", "brotlicffi", "zstandard"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert accept_encoding() == "gzip, deflate, br, zstd"
    assert not {"brotli", "zstandard"} & set(sys.modules)


def test_a_library_that_does_not_import_is_reported(monkeypatch: pytest.MonkeyPatch, fresh_lookups: None) -> None:
    assert accept_encoding() == "gzip, deflate, br, zstd"
    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(DecodingError, match="brotli cannot be imported"):
        get_decoder(["br"])


def test_no_library_is_imported_before_a_body_needs_it() -> None:
    code = (
        "import sys; import httpx._decoders as d; d.accept_encoding(); d.get_decoder(['gzip']);"
        "assert not {'brotli', 'brotlicffi', 'zstandard'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


# Which coding


@pytest.mark.parametrize(
    "values", [[], [""], ["identity"], ["unknown"], ["compress, identity"], ["gzip;q=1"], ["brotli"]]
)
def test_nothing_to_decode_is_none(values: list[str]) -> None:
    assert get_decoder(values) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["gzip"], GZipDecoder),
        (["x-gzip"], GZipDecoder),
        ([" GZip "], GZipDecoder),
        (["deflate"], DeflateDecoder),
        (["br"], BrotliDecoder),
        (["zstd"], ZStandardDecoder),
        (["identity, gzip", "unknown"], GZipDecoder),
        (["gzip, br"], MultiDecoder),
        (["gzip", "br"], MultiDecoder),
    ],
)
def test_codings_are_found_by_name(values: list[str], expected: type) -> None:
    assert type(get_decoder(values)) is expected


@pytest.mark.parametrize("values", [["deflate, gzip, br"], ["deflate", "gzip, br"]])
def test_stacked_codings_are_undone_from_the_last(values: list[str]) -> None:
    body = brotli.compress(gzip.compress(zlib.compress(TEXT)))
    for seed in range(5):
        decoder = get_decoder(values)
        assert decoder is not None
        assert decoded(decoder, *cuts(body, seed)) == TEXT


@pytest.mark.parametrize("cut", ["outer", "inner"])
def test_stacked_codings_that_are_cut_raise(cut: str) -> None:
    inner = zlib.compress(TEXT)
    body = gzip.compress(inner[:-1] if cut == "inner" else inner)
    with pytest.raises(DecodingError, match="ended before its deflate" if cut == "inner" else "ended before its gzip"):
        decoded(MultiDecoder([DeflateDecoder(), GZipDecoder()]), body if cut == "inner" else body[:-1])


EMPTY: dict[str, tuple[type[ContentDecoder], bytes]] = {
    "gzip": (GZipDecoder, gzip.compress(b"")),
    "deflate": (DeflateDecoder, b"\0\0\0\xff\xff"),
    "zstd": (ZStandardDecoder, b"\x50\x2a\x4d\x18\0\0\0\0"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_inner_coding_without_content_is_refused_before_it_takes_hours(name: str) -> None:
    """A body of 500 bytes could be gigabytes of empty gzip members within: no piece, no timeout, no end of it."""
    decoder_class, empty = EMPTY[name]
    taken = 0

    class Counting(decoder_class):  # type: ignore[misc, valid-type]  # a class is chosen by the test
        def decode(self, data: bytes) -> Any:
            nonlocal taken
            taken += len(data)
            return super().decode(data)

    outer = zlib.compress(empty * (16_777_216 // len(empty)))
    decoder = MultiDecoder([Counting(), DeflateDecoder()])
    with pytest.raises(DecodingError, match=f"1048576 bytes of {name} data with next to no content"):
        decoded(decoder, outer)
    assert taken < 2_000_000


def test_an_inner_coding_that_gives_a_byte_now_and_then_is_refused_too() -> None:
    """One byte for each mebibyte would be an endless body all the same."""
    inner = (gzip.compress(b"") * 50_000 + gzip.compress(b"x")) * 8
    with pytest.raises(DecodingError, match="next to no content"):
        decoded(MultiDecoder([GZipDecoder(), GZipDecoder()]), gzip.compress(inner))


@pytest.mark.parametrize("inner", CODINGS)
def test_an_inner_coding_of_what_cannot_be_compressed_is_decoded(inner: str) -> None:
    data = random.Random(1).randbytes(1_500_000)
    decoder_class, compress = CODINGS[inner]
    assert decoded(MultiDecoder([decoder_class(), GZipDecoder()]), gzip.compress(compress(data), 1)) == data


def test_a_program_s_own_inner_decoder_may_give_all_at_the_end() -> None:
    class AtTheEnd:
        def __init__(self) -> None:
            self.held = b""

        def decode(self, data: bytes) -> bytes:
            self.held += data
            return b""

        def flush(self) -> bytes:
            return self.held

    own: Any = AtTheEnd()
    data = bytes(3_000_000)
    assert decoded(MultiDecoder([_decoders._adapted(own), GZipDecoder()]), gzip.compress(data)) == data


def test_at_most_five_codings_are_undone() -> None:
    body = TEXT
    for _ in range(5):
        body = gzip.compress(body)
    decoder = get_decoder(["gzip, gzip", "gzip, identity, gzip, gzip"])
    assert decoder is not None
    assert decoded(decoder, body) == TEXT
    with pytest.raises(DecodingError, match="6 content codings"):
        get_decoder(["gzip"] * 6)


def test_identity_gives_what_it_gets() -> None:
    assert pieces_of(IdentityDecoder(), [b"a", b"", b"b"]) == [b"a", b"b"]
