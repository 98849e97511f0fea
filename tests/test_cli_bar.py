"""The bar of a download, on wide and narrow terminals."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytest.importorskip("click")

# After the line above, because it imports click.
from httpx._cli.bar import bar, parts, shortened
from httpx._cli.echo_server import EchoServer
from support.commands import POSIX, on_a_terminal


@pytest.mark.parametrize(
    ("name", "short"), [("a.zip", "a.zip"), ("abcdefghij", "abcdefghij"), ("abcdefghijk", "abcd...ijk")]
)
def test_a_long_name_is_cut_in_its_middle(name: str, short: str):
    assert shortened(name, 10) == short


@pytest.mark.parametrize(("width", "count"), [(100, 5), (70, 4), (55, 3), (40, 2)])
def test_a_narrow_terminal_has_less_in_its_line(width: int, count: int):
    assert len(parts(width)) == count


def test_without_a_terminal_there_is_no_bar(capfd: pytest.CaptureFixture[str]):
    with bar("a") as tell:
        tell(1, None)
    assert capfd.readouterr() == ("", "")


@POSIX
@pytest.mark.parametrize("width", ["40", "100"])
def test_the_bar_fits_the_terminal(width: str, echo_server: EchoServer, tmp_path: Path):
    """It was broken into several lines at each step."""
    name = "a-rather-long-name-of-a-file-that-nobody-would-type-" * 2 + ".tar.gz"
    code, shown = on_a_terminal(f"{echo_server.url}/bytes/3000", "-o", str(tmp_path / name), COLUMNS=width)
    assert code == 0
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= int(width)
    assert any("3.0/3.0 kB" in line and ".gz" in line for line in lines)
    assert os.listdir(tmp_path) == [name]
