"""
The Huffman code of HPACK: against the `hpack` package on any bytes, and what is refused.

The example strings are those of RFC 7541, appendix C.
"""

from __future__ import annotations

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given
from hypothesis import strategies as st

from httpx._protocol import huffman

ORACLE = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def test_the_lengths_of_all_codes_fill_the_tree_exactly() -> None:
    assert sum(2.0**-length for length in huffman._LENGTHS) == 1.0


def test_the_codes_are_those_of_the_oracle() -> None:
    assert list(REQUEST_CODES) == huffman._CODES
    assert list(REQUEST_CODES_LENGTH) == huffman._LENGTHS


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        (b"no-cache", "a8eb10649cbf"),
        (b"custom-value", "25a849e95bb8e8b4bf"),
        (b"302", "6402"),
        (b"Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
        (b"", ""),
    ],
)
def test_the_examples_of_the_rfc(text: bytes, code: str) -> None:
    assert huffman.encode(text).hex() == code
    assert huffman.decode(bytes.fromhex(code)) == text


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_survives_alone_and_between_others(byte: int) -> None:
    for text in (bytes([byte]), b"a%bz" % bytes([byte]), bytes([byte]) * 9):
        assert huffman.encode(text) == ORACLE.encode(text)
        assert huffman.decode(huffman.encode(text)) == text


@given(st.binary(max_size=300))
def test_both_directions_agree_with_the_oracle(text: bytes) -> None:
    code = huffman.encode(text)
    assert code == (ORACLE.encode(text) if text else b"")
    assert len(code) == huffman.encoded_size(text)
    assert huffman.decode(code) == text


@given(st.binary(max_size=40))
def test_what_the_oracle_refuses_is_refused_and_nothing_else(code: bytes) -> None:
    try:
        expected = decode_huffman(code)
    except HPACKDecodingError:
        expected = None
    try:
        text = huffman.decode(code)
    except ValueError:
        text = None
    assert text == expected


@pytest.mark.parametrize("padding", range(1, 8))
def test_up_to_seven_ones_at_the_end_are_padding(padding: int) -> None:
    for sample in (b"0" * count + b" " * blanks for count in range(8) for blanks in range(8)):
        bits = 5 * sample.count(b"0") + 6 * sample.count(b" ")
        if -bits % 8 == padding:
            assert huffman.decode(huffman.encode(sample)) == sample
            break
    else:
        pytest.fail(f"no sample for {padding} bits")


@pytest.mark.parametrize("code", [b"\xff", b"\x07\xff", huffman.encode(b"www") + b"\xff", b"\xff\xff", b"\xff\xff\xff"])
def test_eight_and_more_ones_at_the_end_are_refused(code: bytes) -> None:
    """Padding without end would be a way to send one text in many disguises (RFC 7541 5.2)."""
    with pytest.raises(ValueError, match="ends within a symbol"):
        huffman.decode(code)


@pytest.mark.parametrize("code", [b"\x00", b"\x06", b"\x18"])
def test_padding_of_anything_but_ones_is_refused(code: bytes) -> None:
    with pytest.raises(ValueError, match="ends within a symbol"):
        huffman.decode(code)


@pytest.mark.parametrize("code", [b"\xff\xff\xff\xff", b"\xff\xff\xff\xfc", b"\x07\xff\xff\xff\xff", b"\xff" * 40])
def test_the_end_symbol_is_refused(code: bytes) -> None:
    with pytest.raises(ValueError, match="the end symbol"):
        huffman.decode(code)
    with pytest.raises(ValueError, match="the end symbol"):
        huffman.decode(code)  # also when the way there is known


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_code_that_is_cut_off_gives_a_beginning_of_the_text_or_an_error(text: bytes, data: st.DataObject) -> None:
    code = huffman.encode(text)
    cut = code[: data.draw(st.integers(0, len(code) - 1))]
    try:
        beginning = huffman.decode(cut)
    except ValueError:
        return
    assert text.startswith(beginning)


def test_a_long_text_is_encoded_in_linear_time() -> None:
    """A growing number was copied for every symbol: a header of 1 MiB took a minute."""
    text = bytes(range(256)) * 4096
    assert huffman.decode(huffman.encode(text)) == text
