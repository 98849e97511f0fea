"""
The entry point of the command line client: `httpx` in a shell, and `python -m httpx`.

`main` checks that the extra `cli` is installed (click, rich, pygments) and calls `_cli.command`. It imports neither
before it is called, so that a program which imports httpx does not pay for the command line.

Not here: options (`_cli.options`), what a run does (`_cli.command`), how it looks (`_cli.screen`).
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from ._quiet import collect_rarely

# What the extra `cli` installs. Only looked up here, not imported: rich and pygments are for terminals.
_EXTRA = ("click", "rich", "pygments")
_HINT = "httpx: the command line client is not installed; run: pip install 'httpx[cli]'"


def main() -> None:
    """
    Run the command line client with the arguments of the process, and end the process.

    Raises:
        SystemExit: always, with the exit code that docs/command-line-reference.md lists; 1 without the extra `cli`.
    """
    restore = collect_rarely()
    try:
        if not all(_is_installed(name) for name in _EXTRA):
            sys.stderr.write(_HINT + "\n")
            raise SystemExit(1)
        from ._cli.command import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before or after `run` could catch it
        code = 130
    finally:
        restore()
    raise SystemExit(code)


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # an import hook refuses it, or `sys.modules` has None for it
        return False
