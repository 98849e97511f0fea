"""
Runs a program that imports httpx2 on this package: the command `python -m httpx.alias`.

    python -m httpx.alias app.py --port 8080        a file, or a folder or zip file with a `__main__.py`
    python -m httpx.alias -m package.module         a module, as `python -m` runs it
    python -m httpx.alias mcp run server.py         a command that a package installs

`main` calls `alias_httpx2` and then the program, in the same process.

Not here: the alias itself (`_alias`).
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._alias import alias_httpx2

__all__ = ["main"]

_USAGE = """\
usage: python -m httpx.alias PROGRAM [ARGUMENT ...]
       python -m httpx.alias -m MODULE [ARGUMENT ...]

Run a program with `import httpx2` giving httpx. PROGRAM is a file, a folder or zip
file with a __main__.py, or the name of a command that a package installs.
"""


def main() -> None:
    """
    Run the program that the arguments of the process name, after `httpx.alias_httpx2()`.

    Raises:
        SystemExit: of the program; 2 if the arguments name none.
    """
    given = sys.argv[1:]
    if not given or given[0] in ("-h", "--help"):
        (sys.stdout if given else sys.stderr).write(_USAGE)
        raise SystemExit(0 if given else 2)
    alias_httpx2()
    if given[0] == "-m":
        if len(given) == 1:
            raise _usage_error("-m needs the name of a module")
        sys.argv = given[1:]
        runpy.run_module(given[1], run_name="__main__", alter_sys=True)
    elif given[0].startswith("-"):
        raise _usage_error(f"unknown option {given[0]!r}; options of the program follow its name")
    else:
        sys.argv = given
        _run_program(given[0])


def _run_program(name: str) -> None:
    path = Path(name)
    if path.exists():
        _replace_first_path([str(path.resolve().parent)] if path.is_file() else [])
        runpy.run_path(name, run_name="__main__")
        return
    for command in _commands(name):
        _replace_first_path([])
        raise SystemExit(command.load()())
    raise _usage_error(f"{name!r} is neither a file nor a command that an installed package has")


def _replace_first_path(entries: list[str]) -> None:
    """Put `entries` in the place of the current folder, where Python looks first when it runs a module."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path[:1] = entries


def _commands(name: str) -> Iterator[Any]:
    from importlib.metadata import distributions

    for distribution in distributions():
        for entry in distribution.entry_points:
            if entry.group == "console_scripts" and entry.name == name:
                yield entry


def _usage_error(message: str) -> SystemExit:
    sys.stderr.write(f"httpx.alias: {message}\n")
    return SystemExit(2)


if __name__ == "__main__":
    main()
