"""
`httpx --help`: the options as a table, fitted to the width of the terminal.

The words are those of `options`; here is only what they look like.
"""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .exits import MEANINGS
from .options import OPTIONS

_EXAMPLES = (
    ("httpx www.example.org", "get a page"),
    ("httpx :8000/users -j '{\"a\": 1}'", "post JSON to port 8000 of this machine"),
    ("httpx :8000/ -f photo me.png -v", "upload, and see what goes over the wire"),
)


def print_manual() -> None:
    """Write the help to standard output, without colours where it is no terminal or NO_COLOR is set."""
    console = Console(highlight=False)
    console.print(Text("httpx", "bold cyan") + Text("  an HTTP client for the terminal\n", "default"))
    console.print(Text("Usage: ", "bold") + Text("httpx [METHOD] URL [OPTIONS]\n", "default"))
    console.print(_table([(_names(option), option.metavar or "", option.help or "") for option in OPTIONS]))
    console.print(Text("\nExamples", "bold"))
    console.print(_table([(command, "", what) for command, what in _EXAMPLES]))
    console.print(Text("\nExit codes", "bold"))
    console.print(_table([(str(code), "", what) for code, what in MEANINGS.items()]))
    console.print(Text("\nA URL without a scheme is https, or http on this machine; :8000/path is on this machine."))


def _names(option: click.Option) -> str:
    short, long = [name for name in option.opts if len(name) == 2], [name for name in option.opts if len(name) > 2]
    return (short[0] + ", " if short else "    ") + long[0]


def _table(rows: list[tuple[str, str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(style="yellow", no_wrap=True)
    table.add_column(overflow="fold")
    for names, metavar, what in rows:
        # As objects of rich, so that no bracket is taken for markup.
        table.add_row(Text("  " + names), Text(metavar), Text(what))
    return table
