"""
One run of the command line client: arguments in, output and exit code out.

    run(["https://www.example.org/", "-v"]) -> 0

    options ──► plan (`building`) ──► client (`clients`) ──► exchange ──► screen, file ──► exit code (`exits`)

Everything that can go wrong ends in one line on standard error and a code; a traceback is a bug, or comes from the
application of --app. What only some runs need is imported where they need it: starting is most of what a run takes.
Not here: options (`options`), what --verbose tells (`wiretap`), saving (`download`), looks (`screen`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from . import exits
from .exits import Failure
from .screen import Screen


def run(argv: list[str]) -> int:
    """Do what the arguments (without the program's name) say; returns the exit code."""
    if sys.stdout is None:  # closed by whoever started us
        _complain("standard output is closed")
        return exits.FAILED
    try:
        code = _help() if argv == ["--help"] else _parsed(argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return exits.BROKEN_PIPE
    except OSError as exc:
        _complain(str(exc))
        _forget_output()  # if it was standard output that failed, its buffer would fail again at the end
        return exits.FAILED


def _help(options: dict[str, Any] | None = None) -> int:
    """The help comes without the parser, which takes longer to import than to print the page."""
    from .manual import print_manual

    print_manual(Screen(sys.stdout))
    return exits.OK


def _parsed(argv: list[str]) -> int:
    import click

    import httpx

    try:
        return _run(argv)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.UsageError as exc:
        _complain(f"{exc.format_message()}\nTry 'httpx --help'.")
        return exits.USAGE
    except click.Abort:  # what click makes of Ctrl-C while it asks for a password
        return exits.INTERRUPTED
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        _complain(f"{type(exc).__name__}: {exc}")
        return exits.of_error(exc)
    except httpx.StreamError as exc:
        _complain(str(exc))
        return exits.FAILED
    except Failure as exc:
        _complain(str(exc))
        return exc.code


def _run(argv: list[str]) -> int:
    from .parser import parse

    with parse(argv, expand=_from_curl) as context:
        options = context.params
        for name, mode in _MODES.items():
            if options[name]:
                return mode(options)
        from .exchange import perform

        return perform(options)


def _from_curl(text: str) -> list[str]:
    import click

    from .curl import from_curl

    try:
        return from_curl(text)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def _version(options: dict[str, Any]) -> int:
    import ssl

    import httpx

    Screen(sys.stdout).write(f"httpx {httpx.__version__}, Python {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}\n")
    return exits.OK


def _completion(options: dict[str, Any]) -> int:
    from .completion import script

    Screen(sys.stdout).write(script(options["completion"]))
    return exits.OK


def _manual(options: dict[str, Any]) -> int:
    """On a terminal the page is shown as `man` does; else its source comes out, to be installed."""
    import httpx

    from .completion import man_page

    page = man_page(httpx.__version__)
    if sys.stdout.isatty():
        import shutil
        import subprocess
        import tempfile

        man = shutil.which("man")
        if man is None:
            return _help()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "httpx.1")
            with open(path, "w", encoding="utf-8") as file:
                file.write(page)
            done = subprocess.run([man, path], check=False)
        return _help() if done.returncode else exits.OK
    Screen(sys.stdout).write(page)
    return exits.OK


def _serve(options: dict[str, Any]) -> int:
    from .echo_server import main

    host, _, port = options["serve"].rpartition(":")
    return main(["--port", port, *(["--host", host.strip("[]")] if host else [])])


# What --version and the like do in place of a request: by their key, in the order in which they win.
_MODES: dict[str, Callable[[dict[str, Any]], int]] = {
    "help": _help,
    "version": _version,
    "completion": _completion,
    "manual": _manual,
    "serve": _serve,
}


def _complain(message: str) -> None:
    if sys.stderr is not None:
        Screen(sys.stderr).write(f"httpx: {message}\n")


def _forget_output() -> None:
    """Nobody listens: what is still in buffers would fail again when the interpreter flushes them at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
