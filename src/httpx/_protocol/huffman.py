"""
The Huffman code of HPACK (RFC 7541, appendix B).

    encode(data), decode(data), encoded_size(data)

The code is canonical: the codes follow from their lengths, shortest first and in the order of the symbols. This module
contains the lengths only, and builds both directions from them when they are first used.

Decoding goes byte by byte through a state machine whose states are the inner nodes of the code tree. Its 65,536
transitions are computed one by one when an input first needs them: real headers use a few hundred, and all of them take
about 10 MB once per process.

Not here: strings with their lengths (`hpack`).
"""

from __future__ import annotations

END = 256  # the symbol that ends a string; only the beginning of its code is sent, as padding
# Bytes of code from which on symbols are added to a buffer. Joining a list is a tenth faster, and takes 90 bytes of
# memory for each byte of code.
_LONG = 4096


def _lengths() -> list[int]:
    """Return the number of bits in the code of each symbol, 256 bytes and END."""
    lengths = [0] * 257
    for length, symbols in {
        5: b"012aceiost",
        6: b" %-./3456789=A_bdfghlmnpru",
        7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
        8: b"&*,;XZ",
        10: b'!"()?',
        11: b"'+|",
        12: b"#>",
        13: b"\0$@[]~",
        14: b"^}",
        15: b"<`{",
        19: b"\\\xc3\xd0",
        20: b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
        21: b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
        22: b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
        23: b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e"
        b"\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef",
        24: b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
        25: b"\xc7\xcf\xea\xeb",
        26: b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
        27: b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
        28: b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15"
        b"\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9",
        30: b"\n\r\x16",
    }.items():
        for symbol in symbols:
            lengths[symbol] = length
    lengths[END] = 30
    return lengths


def _codes(lengths: list[int]) -> list[int]:
    """Return the code of each symbol as a number of `lengths[symbol]` bits."""
    codes = [0] * 257
    code = previous = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths)):
        code <<= length - previous
        codes[symbol] = code
        code += 1
        previous = length
    return codes


_LENGTHS = _lengths()
_CODES = _codes(_LENGTHS)
_BITS = [format(code, f"0{length}b") for code, length in zip(_CODES, _LENGTHS)]


class _Decoder:
    """
    The state machine of decoding.

    Attributes:
        steps: state + byte -> (next state, symbols). A state is 256 times the number of an inner node of the code tree.
        may_end: the states in which a string may end.
    """

    def __init__(self) -> None:
        # A node is [node or symbol for 0, the same for 1]. A symbol is stored as its complement, which is negative.
        self._tree: list[list[int]] = [[0, 0]]
        for symbol, (code, length) in enumerate(zip(_CODES, _LENGTHS)):
            self._plant(symbol, code, length)
        self.may_end = self._ends()
        self.steps: dict[int, tuple[int, bytes]] = {}

    def _plant(self, symbol: int, code: int, length: int) -> None:
        node = 0
        for position in range(length - 1, 0, -1):
            bit = code >> position & 1
            if not self._tree[node][bit]:
                self._tree.append([0, 0])
                self._tree[node][bit] = len(self._tree) - 1
            node = self._tree[node][bit]
        self._tree[node][code & 1] = ~symbol

    def _ends(self) -> set[int]:
        """Return the states after padding: the root, and what up to seven ones lead to (RFC 7541 5.2)."""
        ends, node = {0}, 0
        for _ in range(7):
            node = self._tree[node][1]
            ends.add(node << 8)
        return ends

    def _step(self, key: int) -> tuple[int, bytes]:
        symbols = bytearray()
        node = key >> 8
        for position in range(7, -1, -1):
            node = self._tree[node][key >> position & 1]
            if node < 0:
                if ~node == END:
                    raise ValueError("the string contains the end symbol")
                symbols.append(~node)
                node = 0
        return node << 8, bytes(symbols)

    def learn(self, data: bytes) -> None:
        """Compute the steps that decoding `data` takes."""
        state = 0
        for byte in data:
            key = state + byte
            if key not in self.steps:
                self.steps[key] = self._step(key)
            state = self.steps[key][0]


_decoder: _Decoder | None = None


def decode(data: bytes) -> bytes:
    """
    Return the string that `data` encodes.

    Raises:
        ValueError: `data` contains the end symbol, or its padding is not the beginning of the code of that.
    """
    global _decoder
    if _decoder is None:
        _decoder = _Decoder()
    try:
        return _decode(data, _decoder)
    except KeyError:
        _decoder.learn(data)
    return _decode(data, _decoder)


def _decode(data: bytes, decoder: _Decoder) -> bytes:
    # Loops without a condition: a quarter faster than looking whether each step is known.
    steps = decoder.steps
    state = 0
    if len(data) < _LONG:
        pieces = []
        for byte in data:
            state, symbols = steps[state + byte]
            pieces.append(symbols)
        text = b"".join(pieces)
    else:
        buffer = bytearray()
        for byte in data:
            state, symbols = steps[state + byte]
            buffer += symbols
        text = bytes(buffer)
    if state not in decoder.may_end:
        raise ValueError("the string ends within a symbol")
    return text


def encode(data: bytes) -> bytes:
    """Return the code of `data`, padded with ones."""
    # A string of digits, because a growing number is copied for each symbol: a token of 64 KiB took 0.3 s.
    bits = "".join([_BITS[byte] for byte in data])
    bits += "1" * (-len(bits) % 8)
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def encoded_size(data: bytes) -> int:
    """Return how many bytes `encode` returns."""
    return (sum([_LENGTHS[byte] for byte in data]) + 7) // 8
