"""
`httpx --help`: show the options as a table that fits the terminal.

The texts are those of `options`; this is only the layout. It uses no library for tables, because importing one takes
longer than the whole page.
"""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TextIO

from .exits import MEANINGS
from .options import GROUPS, Option
from .screen import CYAN, GREY, YELLOW, Screen

USAGE = "httpx [METHOD] URL [URL ...] [ITEM ...] [OPTIONS]"
USAGE_OF_FILES = "httpx run FILE.http [NAME ...] [OPTIONS]"

EXAMPLES = (
    ("httpx www.example.org", "get a page"),
    ("httpx :8000/users name=Ann age:=31", "post JSON to port 8000 of this machine"),
    ("httpx PUT :8000/me X-Id:7 lang==en -v", "method, header, query; see what goes over the wire"),
    ("httpx :8000/ -f photo me.png", "upload"),
    ("httpx 'www.example.org/[1-9].jpg' -o '#1.jpg'", "save nine files, see Many URLs"),
    ("httpx run api.http login", "send the request with this name from a file"),
    ("httpx --download www.example.org/a.zip", "save a file under the name that the server gives"),
)

ITEMS = (
    ("name=value", "text of a JSON object, or of a form with --form"),
    ("name:=json", "number, list, true, ... of a JSON object"),
    ("name[a][0]=value", "the same, deeper in the object; name[]=value appends to a list"),
    ("name==value", "query parameter"),
    ("Name:value", "header; 'Name:' leaves it out, 'Name;' sends it empty"),
    ("name@path", "file of a form; name@- is standard input"),
    ("name=@path", "text from a file; likewise name:=@path, name==@path, Name:@path"),
    ("@path", "the body is that file; @- is standard input"),
)

ENVIRONMENT = (
    ("NO_COLOR", "no colours, unless --pretty asks for them"),
    ("COLORTERM", "truecolor or 24bit: a --style has true colours, and not 256"),
    ("HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY", "proxies, and hosts without a proxy"),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "certificate authorities instead of the default ones"),
    ("XDG_CONFIG_HOME, APPDATA", "where httpx/config.toml and httpx/sessions are"),
)

ADDRESSES = "A URL without a scheme is https, or http on this machine; :8000/path is on this machine."

_BOLD = "1"
_INDENT = 2
_GAP = 2
# The text of a wider left column is below it.
_MAX_LEFT = 31
# Longer lines are hard to read.
_MAX_WIDTH = 110


def print_manual(screen: Screen) -> None:
    """Write the help, without colours if it is not a terminal or NO_COLOR is set."""
    width = min(columns(sys.stdout), _MAX_WIDTH)
    screen.painted("1;36", "httpx")
    screen.write("  an HTTP client for the terminal\n\n")
    screen.painted(_BOLD, "Usage: ")
    for number, usage in enumerate((USAGE, USAGE_OF_FILES)):
        text = textwrap.fill(usage, width, initial_indent=" " * 7, subsequent_indent=" " * 13)
        screen.write((text if number else text[7:]) + "\n")
    _rows(screen, "Examples", [(command, "", what) for command, what in EXAMPLES], width)
    _rows(screen, "Items", [(item, "", what) for item, what in ITEMS], width)
    tables = {
        title: [(names(option), option.metavar, described(option)) for option in options]
        for title, options in GROUPS.items()
    }
    # One width for all, so that the columns are aligned.
    widest = min(max(_width(row) for rows in tables.values() for row in rows), _MAX_LEFT)
    for title, rows in tables.items():
        _rows(screen, title, rows, width, widest)
    _rows(screen, "Exit codes", [(str(code), "", what) for code, what in MEANINGS.items()], width)
    _rows(screen, "Environment", [(name, "", what) for name, what in ENVIRONMENT], width)
    screen.write("\n" + textwrap.fill(ADDRESSES, width) + "\n")


def columns(stream: TextIO) -> int:
    """Return the width of the terminal: COLUMNS, or the system's value, or 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def names(option: Option) -> str:
    """Return the names of an option, with the long names aligned."""
    return ", ".join(option.names) if len(option.names) > 1 or len(option.names[0]) == 2 else "    " + option.names[0]


def described(option: Option) -> str:
    """Return the text of an option, with its other names before the default."""
    if not option.aliases:
        return option.help
    text, bracket, default = option.help.partition(" [default")
    return f"{text} Also {', '.join(option.aliases)}.{bracket}{default}"


def _rows(screen: Screen, title: str, rows: list[tuple[str, str, str]], width: int, widest: int = 0) -> None:
    screen.painted(_BOLD, f"\n{title}\n")
    widest = widest or min(max(_width(row) for row in rows), _MAX_LEFT)
    margin = _INDENT + widest + _GAP
    for row in rows:
        left, metavar, what = row
        screen.write(" " * _INDENT)
        for line in textwrap.wrap(left, max(width - _INDENT, 20), break_on_hyphens=False)[:-1]:
            screen.painted(CYAN, f"{line}\n")
            screen.write(" " * _INDENT)
            left = left[len(line) :].lstrip()
        screen.painted(CYAN, left)
        if metavar:
            screen.painted(YELLOW, f" {metavar}")
        # In a narrow terminal the text goes below, nearly as wide as the terminal.
        below = _width(row) > widest or width - margin < 30
        column = margin if width - margin >= 30 else _INDENT + 4
        lines = textwrap.wrap(what, max(width - column, 20), break_on_hyphens=False)
        screen.write("\n" + " " * column if below else " " * (margin - _INDENT - _width(row)))
        for number, line in enumerate(lines):
            screen.write(" " * column if number else "")
            _described(screen, line)


def _described(screen: Screen, line: str) -> None:
    """Return a line of a description, with the default in grey."""
    text, bracket, rest = line.partition("[default: ")
    screen.write(text)
    if bracket:
        screen.painted(GREY, bracket + rest)
    screen.write("\n")


def _width(row: tuple[str, str, str]) -> int:
    left, metavar, _ = row
    return len(left) + (len(metavar) + 1 if metavar else 0)
