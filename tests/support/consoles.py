"""
Run the commands that a page shows, and compare what appears with what the page shows.

A block of a page that begins with "```console" is what a reader has on a terminal:

    $ httpx :8000/get page==1 --body        a command; lines that begin with "> " continue it
    {                                       what appears: standard output and standard error, as they come
      ...                                   any number of lines, also none
      "url": "http://...:8000/get?page=1"   any part of a line

    $ httpx :8000/status/404 --body  # exit code 4

A command ends with the exit code 0 if none is stated. A command that shows nothing must print nothing. The commands of
one section run in order, in a folder of their own and with a home of their own, so that a reader may begin anywhere.

Not here: the servers that the commands talk to (the test has them), Windows, which has no such terminals.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .commands import environment, on_a_terminal

PASSWORD = b"secret\n"
"""What is typed where a command asks for a password."""

ANY = "..."
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"  # exit code (\d+)$")
# Whatever moves the cursor or erases: a line that was written again and again shows its last state.
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Command(NamedTuple):
    """
    One command of a page.

    Attributes:
        line: where it is in the page.
        text: for the shell.
        shown: the lines that the page shows after it.
        code: the exit code that the page states.
    """

    line: int
    text: str
    shown: list[str]
    code: int


class Section(NamedTuple):
    """A heading with the commands below it, up to the next heading."""

    title: str
    commands: list[Command]


def sections(page: str) -> list[Section]:
    """Return the sections of a page that have commands."""
    found: list[Section] = []
    title, line, text = "", 1, ""
    blocks = {page.count("\n", 0, match.start()) + 2: match[1] for match in _BLOCK.finditer(page)}
    is_code = False
    for line, text in enumerate(page.split("\n"), 1):
        if text.startswith("```"):
            is_code = not is_code
        elif text.startswith("#") and not is_code:
            title = text.lstrip("# ")
        if line in blocks:
            if not found or found[-1].title != title:
                found.append(Section(title, []))
            found[-1].commands.extend(commands(blocks[line], line))
    return found


def commands(block: str, first: int = 1) -> list[Command]:
    """
    Return the commands of a block.

    Raises:
        ValueError: the block does not begin with one.
    """
    found: list[Command] = []
    for line, text in enumerate(block.removesuffix("\n").split("\n"), first):
        if text.startswith("$ "):
            code = _CODE.search(text)
            found.append(Command(line, _CODE.sub("", text[2:]), [], int(code[1]) if code else 0))
        elif not found:
            raise ValueError(f"line {line}: a block of a console begins with a command, after '$ '")
        elif (text == ">" or text.startswith("> ")) and not found[-1].shown:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{text[2:]}")
        else:
            found[-1].shown.append(text)
    return found


def is_shown(shown: list[str], appeared: list[str]) -> bool:
    """Return whether lines are what a page shows, where "..." is any part of a line, and alone any lines."""
    pattern = ""
    for text in shown:
        if text.strip() == ANY:
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += "[^\n]*?".join(map(re.escape, text.split(ANY))) + "\n"
    return re.fullmatch(pattern, "".join(f"{text}\n" for text in appeared)) is not None


def appearing(command: str, folder: Path, ports: Mapping[int, int], typed: bytes = b"") -> tuple[int, list[str]]:
    """
    Run a command with a shell on a terminal; return its exit code and the lines that appear.

    Args:
        folder: the current folder, which is the home, too.
        ports: for each port in the page, the one that is used instead; what appears has those of the page.
        typed: where the command asks for a password.
    """
    for port, used in ports.items():
        command = re.sub(rf"(?<=:){port}\b", str(used), command)
    commands = folder / ".bin"
    commands.mkdir(exist_ok=True)
    script = commands / "httpx"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m httpx "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    code, text = on_a_terminal(
        "-c",
        command,
        command=["sh"],
        cwd=folder,
        typed=typed,
        HOME=str(folder),
        XDG_CONFIG_HOME=str(folder / ".config"),
        PATH=f"{commands}{os.pathsep}{environment()['PATH']}",
        NO_COLOR="1",
        COVERAGE_PROCESS_CONFIG="",  # measuring would double the time of each start
    )
    for port, used in ports.items():
        text = re.sub(rf"(?<=[: ]){used}\b", str(port), text)
    lines = _MOVES.sub("", text).split("\n")
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return code, lines


def run_section(section: Section, folder: Path, ports: Mapping[int, int]) -> None:
    """
    Run the commands of a section, in order.

    Raises:
        AssertionError: something else appears than the page shows, or a command ends with another code.
    """
    for line, text, shown, code in section.commands:
        asks = any("Password" in each for each in shown)
        found, appeared = appearing(text, folder, ports, PASSWORD if asks else b"")
        wanted = list(shown)
        while wanted and not wanted[-1]:
            wanted.pop()
        output = "\n".join(appeared)
        assert found == code, f"line {line}: $ {text}\nthe page states exit code {code}, it is {found}:\n{output}"
        if not is_shown(wanted, appeared):
            page = "\n".join(wanted)
            raise AssertionError(f"line {line}: $ {text}\nthe page shows:\n{page}\nwhat appears:\n{output}")
