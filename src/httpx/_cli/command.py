"""
One run of the command line client: arguments in, output and exit code out.

    run(["https://www.example.org/", "-v"]) -> 0

    options ──► request (`_body`, `_address`, ...) ──► exchange ──► screen, file ──► exit code (`exits`)

Everything that can go wrong ends in one line on standard error and a code; a traceback is a bug.
Not here: options (`options`), what --verbose tells (`wiretap`), saving (`download`), looks (`screen`).
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import click

import httpx

from . import exits
from .options import COMMAND, with_pairs_split
from .screen import Screen
from .wiretap import Wiretap, head_of

_METHOD = re.compile(r"[A-Za-z]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOCAL = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?:[:/?#]|$)", re.I)


def run(argv: list[str]) -> int:
    """Do what the arguments (without the program's name) say; returns the exit code."""
    if sys.stdout is None:  # closed by whoever started us
        _complain("standard output is closed")
        return exits.FAILED
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.UsageError as exc:
        _complain(f"{exc.format_message()}\nTry 'httpx --help'.")
        return exits.USAGE
    # click turns Ctrl-C into an `Abort` of its own while it asks for a password.
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return exits.BROKEN_PIPE
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        _complain(f"{type(exc).__name__}: {exc}")
        return exits.of_error(exc)
    except (OSError, httpx.StreamError) as exc:
        _complain(str(exc))
        _forget_output()  # if it was standard output that failed, its buffer would fail again at the end
        return exits.FAILED


def _run(argv: list[str]) -> int:
    with COMMAND.make_context("httpx", with_pairs_split(argv)) as context:
        options = context.params
        method, url = _method_and_url(options)
        # A body on standard output leaves no room for anything else there.
        screen = Screen(sys.stderr if options["download"] == "-" else sys.stdout)
        tap = Wiretap(screen) if options["verbose"] else None
        with _client(options, tap) as client:
            request = _request(client, method, url, options, tap)
            response = _send(client, request, tap)
            try:
                return _receive(response, screen, options["download"], tap)
            finally:
                response.close()


def _client(options: dict[str, Any], tap: Wiretap | None) -> httpx.Client:
    try:
        return httpx.Client(
            auth=_auth(options),
            proxy=options["proxy"],
            timeout=httpx.Timeout(options["timeout"], total=options["max_time"]),
            follow_redirects=options["follow_redirects"],
            verify=options["verify"],
            http2=options["http2"],
            event_hooks={} if tap is None else {"response": [tap.response]},
        )
    except ValueError as exc:  # of the proxy's URL
        raise click.UsageError(str(exc)) from None


def _request(
    client: httpx.Client, method: str, url: str, options: dict[str, Any], tap: Wiretap | None
) -> httpx.Request:
    try:
        return client.build_request(
            method,
            url,
            params=options["params"] or None,
            headers=_headers(options),
            cookies=dict(options["cookies"]),
            extensions={} if tap is None else {"trace": tap.event},
            **_body(options),
        )
    except (TypeError, ValueError) as exc:  # two bodies, a header that cannot be encoded
        raise click.UsageError(str(exc)) from None


def _method_and_url(options: dict[str, Any]) -> tuple[str, str]:
    words: tuple[str, ...] = options["words"]
    if not words:
        raise click.UsageError("there is no URL")
    *before, url = words
    if len(before) > 1 or (before and not _METHOD.fullmatch(before[0])):
        raise click.UsageError(f"too many arguments: {' '.join(words)!r} should be a URL, or a method and a URL")
    if before and options["method"]:
        raise click.UsageError("the method is given twice, before the URL and with --method")
    has_body = any(options[name] not in (None, ()) for name in ("content", "data", "files", "json"))
    method = before[0] if before else options["method"] or ("POST" if has_body else "GET")
    return method, _address(url)


def _address(url: str) -> str:
    """A URL with its scheme: what is no machine of ours gets https, because a guess must not give secrets away."""
    if _SCHEME.match(url):
        return url
    if url.startswith(":"):
        return "http://localhost" + url
    url = url.removeprefix("//")
    return ("http://" if _LOCAL.match(url) else "https://") + url


def _body(options: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if options["content"] is not None:
        body["content"] = options["content"].encode("utf-8", "surrogateescape")
    if options["data"]:
        body["data"] = list(options["data"])
    if options["files"]:
        body["files"] = [(name, (os.path.basename(file.name), file)) for name, file in options["files"]]
    if options["json"] == (None,) and not body:
        body["content"] = b"null"  # `json=None` is no body to the library
    elif options["json"] is not None:
        (body["json"],) = options["json"]
        if body["json"] is None:
            raise click.UsageError("more than one body is given")
    return body


def _headers(options: dict[str, Any]) -> list[tuple[str, str]]:
    headers = list(options["headers"])
    names = {name.lower() for name, _ in headers}
    if options["json"] == (None,) and "content-type" not in names:
        headers.append(("Content-Type", "application/json"))
    return headers


def _auth(options: dict[str, Any]) -> Any:
    if options["auth"] and options["bearer"]:
        raise click.UsageError("--auth and --bearer exclude each other")
    if options["bearer"]:
        return httpx.BearerAuth(options["bearer"])
    if not options["auth"]:
        return None
    user, password = options["auth"]
    return user, click.prompt("Password", hide_input=True, err=True) if password == "-" else password


def _send(client: httpx.Client, request: httpx.Request, tap: Wiretap | None) -> httpx.Response:
    try:
        return client.send(request, stream=True)
    finally:
        if tap is not None:
            tap.flush()


def _receive(response: httpx.Response, screen: Screen, target: str | None, tap: Wiretap | None) -> int:
    if tap is None:
        screen.response(*head_of(response))
    if target is None:
        screen.body(response)
    else:
        from .download import save

        save(response, target)
    if tap is not None and response.extensions.get("trailers"):
        screen.trailers(response.extensions["trailers"])
    return exits.of_status(response.status_code)


def _complain(message: str) -> None:
    if sys.stderr is not None:
        Screen(sys.stderr).write(f"httpx: {message}\n")


def _forget_output() -> None:
    """Nobody listens: what is still in buffers would fail again when the interpreter flushes them at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
