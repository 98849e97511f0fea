"""The table of options: in itself, with the parser, and with the page that describes it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from httpx._cli.exits import MEANINGS
from httpx._cli.options import COUNT, FLAG, GROUPS, OPTIONS

PAGE = (Path(__file__).parent.parent / "docs" / "command-line.md").read_text(encoding="utf-8")

# 0.28.1's, with their short forms: scripts and habits rest on them.
KNOWN = (
    *("-m --method", "-p --params", "-c --content", "-d --data", "-f --files", "-j --json", "-h --headers"),
    *(
        "--cookies",
        "--auth",
        "--proxy",
        "--timeout",
        "--follow-redirects",
        "--no-verify",
        "--http2",
        "--download",
        "-v --verbose",
    ),
    "--help",
)


def test_no_name_and_no_key_is_given_twice():
    names = [name for option in OPTIONS for name in option.opts]
    keys = [option.dest for option in OPTIONS]
    assert len(names) == len(set(names))
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("names", KNOWN)
def test_what_0_28_1_has_keeps_its_names(names: str):
    assert names.split() in [list(option.names) for option in OPTIONS]


def test_every_option_has_what_the_help_and_the_parser_want():
    for option in OPTIONS:
        assert option.names[-1].startswith("--")
        assert all(re.fullmatch(r"-[A-Za-z0-9]", name) for name in option.names[:-1])
        assert option.help.endswith((".", "]", "..."))
        assert (option.kind in (FLAG, COUNT)) == (option.metavar == "") == option.is_flag
        assert option.opts == [*option.names, *option.aliases]
    assert sum(map(len, GROUPS.values())) == len(OPTIONS)


@pytest.mark.parametrize("name", [option.names[-1] for option in OPTIONS])
def test_the_page_describes_every_option(name: str):
    assert re.search(rf"{name}\b(?!-)", PAGE)


def test_the_page_names_every_exit_code():
    table = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(MEANINGS)


def test_the_table_needs_no_parser():
    code = "import sys, httpx._cli.manual; print('click' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.split() == [b"False", b"False"]
