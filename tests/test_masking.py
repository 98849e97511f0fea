"""`_protocol/masking.py`: payloads XOR keys."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._protocol.masking import keys, masked
from support.linear import linear


def plainly_masked(payload: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


@pytest.mark.parametrize(
    "size", [*range(20), 123, 124, 125, 126, 127, 511, 512, 513, 514, 515, 516, 517, 1000, 1024, 1025, 4099]
)
def test_a_payload_of_any_size_is_masked_as_the_rfc_says(size: int):
    payload, key = bytes(range(256)) * 17, b"\x00\xff\x5a\x81"
    assert masked(payload[:size], key) == plainly_masked(payload[:size], key)
    assert masked(bytearray(payload[:size]), key) == plainly_masked(payload[:size], key)
    assert masked(payload[:size], key, b"head") == b"head" + plainly_masked(payload[:size], key)


@given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
def test_masking_twice_gives_the_payload(payload: bytes, key: bytes):
    assert masked(payload, key) == plainly_masked(payload, key)
    assert masked(masked(payload, key), key) == payload


def test_the_example_of_the_rfc():
    assert masked(b"Hello", b"\x37\xfa\x21\x3d") == b"\x7f\x9f\x4d\x51\x58"


def test_masking_takes_linear_time():
    def prepare(size: int):
        payload, key = os.urandom(size), os.urandom(4)
        return lambda: [masked(payload, key) for _ in range(20)]

    linear(prepare)


def test_a_batch_of_keys_is_what_the_source_returned():
    asked = []

    def random(size: int) -> bytes:
        asked.append(size)
        return bytes(range(size))

    batch = keys(random)
    assert asked == [128]
    assert next(batch) == (b"\0\1\2\3",)
    assert len(list(batch)) == 31
