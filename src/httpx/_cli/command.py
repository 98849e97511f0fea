"""
One run of the command line client: arguments in, output and exit code out.

    run(["https://www.example.org/", "-v"]) -> 0

    options ──► plan (`building`) ──► client (`clients`) ──► exchange ──► screen, file ──► exit code (`exits`)

Every error ends in one line on standard error and an exit code; a traceback is a bug, or comes from the application of
--app. Modules that only some runs need are imported there, because most of a run's time is its start.
Not here: options (`options`), the output of --verbose (`wiretap`), saving (`download`), formatting (`screen`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from . import exits
from .exits import Failure
from .notes import be_quiet, complain
from .screen import Screen


def run(argv: list[str]) -> int:
    """Run the client with the arguments (without the program's name); return the exit code."""
    be_quiet(0)
    if sys.stdout is None:  # closed by the parent process
        complain("standard output is closed")
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
    except Exception as exc:
        if any(word.partition("=")[0] == "--app" for word in argv):
            from .apps import show_traceback

            if show_traceback(exc):
                return exits.FAILED
        if not isinstance(exc, OSError):
            raise
        complain(str(exc))
        try:
            sys.stdout.flush()
        except OSError:
            _forget_output()  # its buffer would fail again at the end
        return exits.FAILED


def _help(options: dict[str, Any] | None = None) -> int:
    """Show the help, without the parser, which takes longer to import than the page to print."""
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
        from .hints import hint_for

        message, hint = exc.format_message(), hint_for(exc)
        complain(f"{message.removesuffix('.') if hint else message}{hint}\nTry 'httpx --help'.")
        return exits.USAGE
    except click.Abort:  # Ctrl-C while click prompts for a password
        return exits.INTERRUPTED
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        from .hints import explained

        complain(f"{type(exc).__name__}: {explained(exc)}")
        return exits.of_error(exc)
    except httpx.StreamError as exc:
        complain(str(exc))
        return exits.FAILED
    except Failure as exc:
        complain(str(exc))
        return exc.code


def _run(argv: list[str]) -> int:
    from .parser import parse

    # In capitals it is a method, and alone a host.
    runs_file = argv[:1] == ["run"] and len(argv) > 1
    defaults = _defaults_of_all if runs_file else _defaults
    with parse(argv[runs_file:], expand=_from_curl, defaults=defaults) as context:
        options = context.params
        be_quiet(options["quiet"])
        if runs_file and not options["help"]:
            from .run_file import run_file

            return run_file(options)
        for name, mode in _MODES.items():
            if options[name]:
                return mode(options)
        if options["ws"] or _names_websocket(options["words"]):
            from .talk import talk

            return talk(options)
        from .exchange import perform

        return perform(options)


def _names_websocket(words: tuple[str, ...]) -> bool:
    """Return whether the words say `ws URL`, or a URL that is one of a WebSocket."""
    return words[:1] == ("ws",) or any(word.lower().startswith(("ws://", "wss://")) for word in words[:2])


def _defaults(options: dict[str, Any]) -> list[str]:
    """Return the options of the configuration file; with several URLs, those for all hosts."""
    if options["no_config"] or not (options["words"] or options["urls"]):
        return []
    from .building import configured, is_for_many

    if is_for_many(options):
        words = _defaults_of_all(options)
        if options["globoff"] or {"-g", "--globoff"}.isdisjoint(words) or is_for_many({**options, "globoff": True}):
            return words
    found = configured(options)
    return [] if found is None else found.words


def _defaults_of_all(options: dict[str, Any]) -> list[str]:
    """Return the options of the configuration file for all hosts."""
    if options["no_config"] or not (options["words"] or options["urls"]):
        return []
    from .config import load

    found = load(None)
    return [] if found is None else found.words


def _from_curl(text: str) -> list[str]:
    """Return our arguments for a command of curl; "-" is the one on standard input."""
    import click

    from .curl import from_curl

    if text == "-":
        text = "" if sys.stdin is None else sys.stdin.read()
    try:
        return from_curl(text)
    except (ValueError, OSError) as exc:  # an OSError is one of a file that it names
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
    """Show the page with `man` on a terminal; else write its source, to be installed."""
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


def _from_har(options: dict[str, Any]) -> int:
    from .recording import replay

    return replay(options)


def _serve(options: dict[str, Any]) -> int:
    from .echo_server import main

    host, _, port = options["serve"].rpartition(":")
    return main(["--port", port, *(["--host", host.strip("[]")] if host else [])])


# Options that do something else than a request, by key; the first that is given wins.
_MODES: dict[str, Callable[[dict[str, Any]], int]] = {
    "help": _help,
    "version": _version,
    "completion": _completion,
    "manual": _manual,
    "serve": _serve,
    "from_har": _from_har,
}


def _forget_output() -> None:
    """Drop unwritten output, which would fail again when the interpreter flushes it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
