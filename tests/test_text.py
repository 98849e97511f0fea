"""Chunks, text and lines: the same outcome for every split, and linear time."""

from __future__ import annotations

import codecs
import encodings.aliases
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx._exceptions import ResponseTooLarge
from httpx._text import (
    ByteChunker,
    LineDecoder,
    TextChunker,
    TextDecoder,
    is_text_encoding,
)
from support.linear import linear

TEXT = b"The quick brown fox jumps over the lazy dog. " * 20


def cuts(data: bytes, seed: int) -> list[bytes]:
    """`data` cut at random places."""
    generator = random.Random(seed)
    places = sorted(generator.randrange(len(data) + 1) for _ in range(generator.randrange(8)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)])]


# Chunks


@settings(max_examples=100)
@given(pieces=st.lists(st.binary(max_size=20)), size=st.integers(1, 30))
def test_chunks_have_the_size_that_was_asked_for(pieces: list[bytes], size: int) -> None:
    whole = b"".join(pieces)
    chunker = ByteChunker(size)
    given_early = [chunk for piece in pieces for chunk in chunker.decode(piece)]
    assert len(given_early) == len(whole) // size
    assert given_early + chunker.flush() == [whole[at : at + size] for at in range(0, len(whole), size)]
    assert chunker.flush() == []


def test_text_is_chunked_by_characters() -> None:
    chunker = TextChunker(2)
    assert [chunker.decode(text) for text in ("äöü", "", "ß€😀x", "y")] == [["äö"], [], ["üß", "€😀"], ["xy"]]
    assert chunker.flush() == []
    assert chunker.decode("z") == []
    assert chunker.flush() == ["z"]


def test_without_a_size_pieces_pass_as_they_are() -> None:
    chunker = ByteChunker()
    piece = b"abc" * 100
    assert chunker.decode(piece)[0] is piece
    assert chunker.decode(b"") == []
    assert chunker.flush() == []


@pytest.mark.parametrize("size", [0, -1])
def test_a_chunk_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        ByteChunker(size)


class CountingBytes(bytes):
    """Counts how many bytes are joined."""

    joined = 0

    def join(self, parts: Any) -> bytes:
        result = b"".join(parts)
        CountingBytes.joined += len(result)
        return result

    def __getitem__(self, key: Any) -> Any:
        return CountingBytes(super().__getitem__(key))


def test_chunking_tiny_pieces_copies_each_byte_a_few_times_only() -> None:
    """Adding each piece to a buffer makes 10,000 pieces of 10 bytes copy 500 MB."""
    CountingBytes.joined = 0
    chunker = ByteChunker(50_000)
    chunks = [chunk for _ in range(10_000) for chunk in chunker.decode(CountingBytes(b"0123456789"))]
    assert [len(chunk) for chunk in chunks] == [50_000, 50_000]
    assert 0 < CountingBytes.joined <= 2 * 100_000


# Text


@pytest.mark.parametrize(
    "label", ["utf-8", "UTF8", "latin-1", "iso-8859-15", "cp1252", "shift_jis", "utf-16", "gb18030"]
)
def test_text_encodings_are_known(label: str) -> None:
    assert is_text_encoding(label)


@pytest.mark.parametrize(
    "label",
    [
        *("hex", "zlib", "bz2", "base64", "rot13", "quopri", "uu"),  # bytes to bytes, or text to text
        *("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"),  # not for bodies
        *("", "garbage", "utf\0", "é", "\ud800", "../utf_8", "aliases", "x" * 5_000),  # none at all
    ],
)
def test_what_is_no_text_encoding_is_taken_for_utf_8(label: str) -> None:
    """0.28.1 raised AssertionError, TypeError, LookupError or ValueError, as the peer chose."""
    assert not is_text_encoding(label)
    decoder = TextDecoder(label)
    assert decoder.decode("é\\d".encode()) + decoder.flush() == "é\\d"


@pytest.mark.parametrize(
    "label", sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "utf_8_sig"})
)
def test_no_encoding_of_python_raises_on_any_bytes(label: str) -> None:
    data = bytes(range(256)) + random.Random(4).randbytes(500)
    for parts in ([data], [data[at : at + 1] for at in range(len(data))], [b"\xff"], [b"\\"], [b""]):
        decoder = TextDecoder(label)
        text = "".join([decoder.decode(part) for part in parts]) + decoder.flush()
        assert isinstance(text, str)


@settings(max_examples=50)
@given(label=st.text(max_size=20))
def test_no_label_raises(label: str) -> None:
    decoder = TextDecoder(label)
    decoder.decode(b"abc")
    decoder.flush()


@settings(max_examples=50)
@given(
    text=st.text(),
    seed=st.integers(),
    label=st.sampled_from(["utf-8", "utf-7", "utf-16", "utf-32", "utf-16-be", "gb18030"]),
)
def test_text_survives_every_cut(text: str, seed: int, label: str) -> None:
    decoder = TextDecoder(label)
    parts = cuts(text.encode(label, "replace"), seed)
    assert "".join(map(decoder.decode, parts)) + decoder.flush() == text.encode(label, "replace").decode(label)


def test_a_run_of_utf_7_in_tiny_pieces_takes_linear_time() -> None:
    """50 KB of plus signs took six seconds, and a megabyte half an hour: Python reads the run again for each piece."""

    def prepare(size: int) -> Any:
        decoder = TextDecoder("utf-7")
        return lambda: [decoder.decode(b"+") for _ in range(size)]

    linear(prepare, small=1 << 14, large=1 << 16)


def test_a_run_of_utf_7_without_an_end_takes_bounded_memory() -> None:
    """A body that is streamed as text must not be held as a whole."""
    decoder = TextDecoder("utf-7")
    assert decoder.decode(b"+AGEAYg") == ""
    assert decoder.decode(b"-c") == "abc"
    for _ in range(40):
        decoder.decode(b"+" + b"A" * 99_999)
        assert len(decoder._waiting) + decoder._held < 3_000_000
    assert TextDecoder("utf-7").decode(b"+" + b"AGEA" * 600_000).startswith("a")


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_utf_16_and_utf_32_without_a_byte_order_mark_are_little_endian(name: str) -> None:
    data = "héllo".encode(f"{name}-le")
    for parts in ([data], [data[at : at + 1] for at in range(len(data))]):
        decoder = TextDecoder(name)
        assert "".join(map(decoder.decode, parts)) + decoder.flush() == "héllo"
    decoder = TextDecoder(name)
    assert decoder.decode(codecs.BOM_UTF16_BE + b"\0h" if name == "utf-16" else codecs.BOM_UTF32_BE + b"\0\0\0h") == "h"
    decoder = TextDecoder(name)
    assert decoder.decode(b"h") + decoder.flush() == "\ufffd"


def test_broken_text_is_replaced() -> None:
    decoder = TextDecoder()
    assert decoder.decode(b"a\xffb\xc3") + decoder.flush() == "a\ufffdb\ufffd"


# Lines


def lines_of(parts: list[str]) -> list[str]:
    decoder = LineDecoder()
    return [line for part in parts for line in decoder.decode(part)] + decoder.flush()


LINE_TEXT = st.text(alphabet=st.sampled_from("ab\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\t \x1f"), max_size=40)


@settings(max_examples=100)
@given(text=LINE_TEXT, places=st.lists(st.integers(0, 40), max_size=8))
def test_lines_are_those_of_splitlines_at_every_cut(text: str, places: list[int]) -> None:
    places = sorted(min(place, len(text)) for place in places)
    parts = [text[start:end] for start, end in zip([0, *places], [*places, len(text)])]
    assert lines_of(parts) == text.splitlines()
    assert lines_of(list(text)) == text.splitlines()


@settings(max_examples=100)
@given(text=LINE_TEXT, places=st.lists(st.integers(0, 40), max_size=8), limit=st.sampled_from([None, 100]))
def test_lines_of_formats_end_with_cr_and_lf_alone_at_every_cut(text: str, places: list[int], limit: Any) -> None:
    places = sorted(min(place, len(text)) for place in places)
    decoder = LineDecoder(limit, any_end=False)
    parts = [text[start:end] for start, end in zip([0, *places], [*places, len(text)])]
    expected = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = [line for part in parts for line in decoder.decode(part)] + decoder.flush()
    assert found == (expected if expected[-1] else expected[:-1])


def test_a_line_is_given_as_soon_as_it_ends() -> None:
    decoder = LineDecoder()
    assert decoder.decode("a\r") == ["a"]
    assert decoder.decode("") == []
    assert decoder.decode("\nb") == []
    assert decoder.decode("c\r\n\nd") == ["bc", ""]
    assert decoder.flush() == ["d"]
    assert decoder.flush() == []


def test_a_line_without_end_costs_linear_time() -> None:
    """Each piece was searched and copied together with all before it: 15 s for 10 MB (0.28.1)."""
    searched = 0

    class Piece(str):
        __slots__ = ()

        def splitlines(self, keepends: bool = False) -> list[str]:
            nonlocal searched
            searched += len(self)
            return super().splitlines(keepends)

    decoder = LineDecoder()
    for _ in range(10_000):
        assert decoder.decode(Piece("0123456789")) == []
    assert searched == 100_000
    assert decoder._line.tell() == 100_000  # in a buffer that grows, so not copied
    assert decoder.decode("\n") == ["0123456789" * 10_000]
    assert decoder.flush() == []


def test_a_long_line_byte_by_byte_takes_linear_time() -> None:
    """1 MB in pieces of one character: each of them joined to all before it would be 500 GB to copy."""
    decoder = LineDecoder()
    began = time.thread_time()
    for _ in range(1_000_000):
        decoder.decode("a")
    assert decoder.decode("\r") == ["a" * 1_000_000]
    assert decoder.decode("\n") == []
    assert decoder.flush() == []
    assert time.thread_time() - began < 20


@pytest.mark.parametrize("text", ["ab\r\ncd\nefg\rh", "\r\n\r\n", "abc", "a\u2028b", ""])
def test_a_bound_on_lines_that_are_short_enough_changes_nothing_at_any_cut(text: str) -> None:
    for cut in range(len(text) + 1):
        decoder = LineDecoder(3)
        parts = (text[:cut], text[cut:])
        assert [line for part in parts for line in decoder.decode(part)] + decoder.flush() == text.splitlines()


@pytest.mark.parametrize("text", ["abcd", "abcd\n", "ab\nabcd", "ab\nabcd\nab", "ab\r\nabcdefgh"])
def test_a_line_that_is_too_long_is_an_error_at_any_cut_after_the_lines_before_it(text: str) -> None:
    """Harm: a server that never ends its line was held in memory for as long as it sent."""
    for cut in range(len(text) + 1):
        decoder = LineDecoder(3)
        lines: list[str] = []

        def read(cut: int = cut, decoder: LineDecoder = decoder, lines: list[str] = lines) -> None:
            for part in (text[:cut], text[cut:]):
                for line in decoder.decode(part):
                    lines.append(line)  # what came before the error is kept

        with pytest.raises(ResponseTooLarge, match="longer than max_line_length, 3 characters"):
            read()
        assert lines == (["ab"] if text.startswith(("ab\n", "ab\r\n")) else [])


@pytest.mark.parametrize("length", ["3", 1.5, True])
def test_a_bound_on_lines_is_an_int(length: Any) -> None:
    with pytest.raises(TypeError, match="max_line_length must be an int or None"):
        LineDecoder(length)


def test_a_bound_on_lines_is_positive() -> None:
    with pytest.raises(ValueError, match="max_line_length must be at least 1, got 0"):
        LineDecoder(0)


def test_the_charsets_that_a_peer_makes_up_are_not_kept():
    """Harm: Python's registry keeps each name that it was asked for in vain, so a peer could fill the memory."""
    before = set(encodings._cache)  # type: ignore[attr-defined]  # CPython's, and PyPy's
    for number in range(200):
        assert not is_text_encoding(f"X-Made Up.{number}/a")
        assert not is_text_encoding(f"--a{number}..b__ c--")
        assert not is_text_encoding(f"a{number}\xe9")
        assert not is_text_encoding("x" * 1_000 + str(number))
    assert set(encodings._cache) == before  # type: ignore[attr-defined]  # the same
