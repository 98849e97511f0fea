"""The bar of a download, on wide and narrow terminals."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("click")

# After the line above, because it imports click.
from httpx._cli.bar import Table, bar, parts, shortened
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


class Recorded:
    """A progress of rich that does nothing."""

    def __init__(self) -> None:
        self.tasks: dict[int, dict[str, object]] = {}
        self.events: list[str] = []

    def add_task(self, description: str, total: object) -> int:
        self.tasks[len(self.events)] = {"description": description}
        self.events.append("add")
        return len(self.events) - 1

    def update(self, task: int, **values: object) -> None:
        self.tasks[task].update(values)

    def remove_task(self, task: int) -> None:
        del self.tasks[task]

    def stop(self) -> None:
        self.events.append("stop")

    def start(self) -> None:
        self.events.append("start")


def test_a_table_has_a_row_for_each_and_one_for_all():
    progress = Recorded()
    rows = Table(progress, {}, 100)
    with rows.row("a") as a, rows.row("b") as b:
        a(10, 100)
        b(5, None)
        a(20, 100)
        total, first, second = progress.tasks.values()
        assert (first["description"], first["completed"], first["total"]) == ("a", 20, 100)
        assert (second["description"], second["completed"]) == ("b", 5)
        assert total["completed"] == 25
    assert [each["description"] for each in progress.tasks.values()] == ["total, 2 done"]


def test_the_table_is_away_while_something_is_written():
    class Screen(io.BytesIO):
        def isatty(self) -> bool:
            return True

    progress, pipe, screen = Recorded(), io.BytesIO(), Screen()
    rows = Table(progress, {1: pipe, 2: screen}, 100)
    rows.write(1, b"body")
    assert progress.events == ["add"]
    rows.write(2, b"line\n")
    assert progress.events == ["add", "stop", "start"]
    assert (pipe.getvalue(), screen.getvalue()) == (b"body", b"line\n")
