"""Slices of files as bodies."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from httpx._transports.slices import Source

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    return path


def test_a_body_is_read_in_pieces_and_again(path: Path):
    source = Source(path, 10)
    assert source.measure() == len(CONTENT) - 10
    told: list[tuple[int, int | None]] = []
    body = source.body(5, 100_000, lambda *what: told.append(what))
    for _ in range(2):
        pieces = list(body)
        assert b"".join(pieces) == CONTENT[15:100_010]
        assert max(map(len, pieces)) <= 65_536
    assert told == [(65_541, len(CONTENT) - 10), (100_000, len(CONTENT) - 10)] * 2


def test_a_file_that_is_read_by_others_meanwhile_is_sent_as_it_is(path: Path):
    with open(path, "rb") as file:
        source = Source(file)
        source.measure()
        pieces = iter(source.body(0, len(CONTENT), None))
        first = next(pieces)
        file.seek(7)
        assert first + b"".join(pieces) == CONTENT
        assert not file.closed


def test_a_path_is_closed_when_the_body_is_left(path: Path):
    source = Source(path)
    source.measure()
    pieces = source._pieces(0, 100_000, None)
    next(pieces)
    pieces.close()


def test_a_file_that_became_shorter_ends_early(path: Path):
    source = Source(path)
    size = source.measure()
    os.truncate(path, 100)
    assert b"".join(source.body(0, size, None)) == CONTENT[:100]


def test_names_have_no_folders(path: Path):
    assert Source(path).name == "a.bin"
    assert Source(str(path)).name == "a.bin"
    with open(path, "rb") as file:
        assert Source(file).name == "a.bin"
    assert Source(io.BytesIO(b"")).name is None
    with open(os.open(path, os.O_RDONLY), "rb") as file:  # whose name is a number
        assert Source(file).name is None


def test_a_position_past_the_end_is_nothing(path: Path):
    file = io.BytesIO(b"abc")
    file.seek(9)
    assert Source(file).measure() == 0
    with pytest.raises(ValueError, match="3 bytes"):
        Source(io.BytesIO(b"abc"), end=4).measure()
