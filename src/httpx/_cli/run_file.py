"""
`httpx run FILE.http [NAME ...]`: send the requests of a file.

    file ──► requests (`http_file`) ──► variables (`http_variables`) ──► `exchange.Run` ──► expectations ──► exit code

All requests, or those with the given names or numbers, in the order given. They share connections and cookies. A
request that another one takes a value from is sent before it, once, and shown only if it is asked for. What fails does
not stop the others; the exit code is the highest.

Messages have the line of the file, and variables as they are written there: no value of a variable is printed.
Not here: the output of a request, and everything about the connection (`exchange`, `clients`).
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import quote

import click

import httpx

from .._fields import media_type_of
from . import exits, expectations
from .building import address, plan
from .exchange import show_unsent
from .expectations import Expectation
from .http_file import File, HttpFile, HttpFileError, Request, parse
from .http_variables import Exchange, Scope, World, dotenv, environment_of, referenced
from .notes import note
from .parser import nothing
from .screen import Screen
from .sharing import FAILURES, Shared, counted, outcome_of, printing_to_stderr, tell

# Bytes of a file with requests, and of a file with variables.
MAX_FILE = 64 << 20
# Bytes of a body that later requests or expectations look at.
MAX_BODY = 64 << 20

_ENVIRONMENTS = ("http-client.env.json", "http-client.private.env.json")
_TIMEOUT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|m)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_FORM = "application/x-www-form-urlencoded"
# Actions and options that make no sense for requests of a file, or not for several of them.
_EXCLUDED = ("from_har", "content", "raw", "data", "files", "json", "form", "multipart", "method", "urls")
_FOR_ONE = ("output", "download")


def run_file(options: dict[str, Any]) -> int:
    """
    Run parsed arguments, whose first word is the file; return the exit code.

    Raises:
        click.UsageError: the file or an option is invalid, or there is no request with a given name.
    """
    for name in _EXCLUDED:
        if name in options["from_config"]:
            options[name] = nothing(name)  # it is for other commands
        elif options[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} cannot be used with a file of requests")
    if (options["parallel"] or 1) > 1 and "parallel" not in options["from_config"]:
        raise click.UsageError("--parallel cannot be used with a file of requests: they are sent in order")
    if not options["words"]:
        raise click.UsageError("the file is missing: httpx run FILE.http [NAME ...]")
    path, *names = options["words"]
    try:
        content = parse(_text_of(path), path)
        runner = Runner(options, path, content)
        if options["list"]:
            return _list(content)
        chosen = [_chosen(content, name, path) for name in names] or list(content.requests)
        if not chosen:
            raise click.UsageError(f"{path!r} has no requests")
        return runner.run(chosen)
    except HttpFileError as exc:
        raise click.UsageError(str(exc)) from None


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise click.UsageError(f"{path!r} has more than {MAX_FILE >> 20} MiB")
        return content.decode("utf-8-sig")
    except OSError as exc:
        raise click.UsageError(str(exc)) from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{path!r} is not UTF-8 text") from None


def _list(content: HttpFile) -> int:
    screen = Screen(sys.stdout)
    names = [request.name or "-" for request in content.requests]
    width = min(max(map(len, names), default=0), 30)
    for number, (name, request) in enumerate(zip(names, content.requests), 1):
        screen.write(f"{number:>3}  {name:<{width}}  {request.method} {request.url}\n")
    return exits.OK


def _chosen(content: HttpFile, name: str, path: str) -> Request:
    """Return the request with a name, else the one with a number."""
    for request in content.requests:
        if request.name == name:
            return request
    if name.isdigit() and 0 < int(name[:9]) <= len(content.requests):
        return content.requests[int(name) - 1]
    raise click.UsageError(f"{path!r} has no request {name[:40]!r}: 'httpx run {path} --list' shows their names")


class Runner:
    """
    The requests of a file that are sent in one run.

    Args:
        options: the parsed arguments.
        path: of the file.
        content: of the file.

    Raises:
        click.UsageError: an environment or a variable of the options is invalid.
    """

    def __init__(self, options: dict[str, Any], path: str, content: HttpFile) -> None:
        self._options = options
        self._path = path
        self._content = content
        self._folder = os.path.dirname(os.path.abspath(path))
        self._scope = self._scoped()
        self._exchanges: dict[str, Exchange] = {}
        self._codes: dict[Request, int] = {}
        self._open: list[Request] = []  # those that are being sent: one may wait for another
        self._needed = _names_in(content)
        self._shared = Shared(options)
        self._says_which = False

    def run(self, chosen: list[Request]) -> int:
        """Send requests, and return the highest exit code."""
        self._says_which = len(chosen) > 1
        for name in _FOR_ONE:
            if self._says_which and self._options[name] is not None:
                raise click.UsageError(f"--{name} takes the body of one request: name one")
        worst = exits.OK
        with self._shared:
            for request in chosen:
                worst = max(worst, self._send(request))
                if worst and self._options["fail_early"]:
                    break
        if worst and self._options["fail_early"] and request is not chosen[-1]:
            tell("stopped after the first failure", note)
        if self._says_which:
            failed = sum(code != exits.OK for code in self._codes.values())
            tell(f"{counted(len(self._codes))}, {failed} failed", note)
        return worst

    # Variables.

    def _scoped(self) -> Scope:
        given = {}
        for word in self._options["var"]:
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise click.UsageError(f"--var must be NAME=VALUE, got {name[:40]!r}")
            given[name] = value
        files = [self._json_of(name) for name in _ENVIRONMENTS]
        environment: dict[str, str] = {}
        hint = ""
        if self._options["env"] is not None:
            try:
                environment = environment_of(self._options["env"], *files)
            except (LookupError, ValueError) as exc:
                raise click.UsageError(f"--env: {exc.args[0]}") from None
        elif any(files):
            hint = "; --env NAME uses an environment"
        world = World(
            time.time,
            lambda seconds: float(time.localtime(seconds).tm_gmtoff),
            random.SystemRandom(),
            os.environ,
            self._dotenv,
            self._exchange,
        )
        return Scope(self._path, self._content.variables, given, environment, world, hint)

    def _json_of(self, name: str) -> Mapping[str, Any]:
        path = os.path.join(self._folder, name)
        if not os.path.exists(path):
            return {}
        try:
            content = json.loads(_text_of(path))
        except (ValueError, RecursionError) as exc:
            # The position only: the text may be secret.
            where = f" in line {exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
            raise click.UsageError(f"{path!r} is not valid JSON{where}") from None
        if not isinstance(content, dict):
            raise click.UsageError(f"{path!r} must be an object of environments")
        return content

    def _dotenv(self) -> Mapping[str, str]:
        path = os.path.join(self._folder, ".env")
        return dotenv(_text_of(path)) if os.path.exists(path) else {}

    def _exchange(self, name: str) -> Exchange:
        """Return what a request sent and received, which is sent now if it was not yet."""
        request = next((each for each in self._content.requests if each.name == name), None)
        if request is None:
            raise LookupError(f"there is no request {name[:40]!r}")
        if self._options["offline"] or self._options["curl"]:
            raise LookupError(f"the request {name[:40]!r} is not sent with --offline and --curl")
        if request in self._open:
            raise LookupError(f"the request {name[:40]!r} waits for itself")
        if request not in self._codes:
            self._send(request, quiet=True)
        if name not in self._exchanges:
            raise LookupError(f"the request {name[:40]!r} has no response")
        return self._exchanges[name]

    # Sending.

    def _send(self, request: Request, quiet: bool = False) -> int:
        """Send a request, check its response, and return the exit code; failures are told."""
        expected = [each for each in request.directives if each.name == "expect"]
        if self._says_which and not quiet:
            name = request.name or f"line {request.line}"
            tell(f"{name}: {request.method} {request.url}", partial(note, mark="###"))
        for ignored in self._content.notes:
            if request.start <= ignored.line <= request.end and request not in self._codes:
                tell(f"{self._path}:{ignored.line}: {ignored.text}", note)
        self._open.append(request)
        line = request.line
        try:
            checks = [self._expectation(each.argument, each.line, request.end) for each in expected]
            code = self._exchanged(request, checks, quiet)
        except FAILURES as exc:
            code, message = outcome_of(exc)
        except HttpFileError as exc:
            code, message, line = exits.USAGE, str(exc), 0
        else:
            message = ""
        finally:
            self._open.pop()
        if message:
            tell(message if not line else f"{self._path}:{line}: {message}")
        self._codes[request] = code
        return code

    def _exchanged(self, request: Request, checks: list[tuple[int, Expectation]], quiet: bool) -> int:
        options = self._options_of(request, quiet)
        intent = plan(options)
        if options["offline"] or options["curl"]:
            with closing(intent):
                return show_unsent(options, intent)
        keeps = bool(checks) or request.name in self._needed
        keeper = Keeper()
        client = {"max_response_size": MAX_BODY} if keeps else {}
        has_cookies = not any(each.name == "no-cookie-jar" for each in request.directives)
        try:
            is_expected = partial(expectations.expects_status, [check for _, check in checks])
            more = {"is_expected": is_expected, **client}
            made = self._shared.run(options, intent, [keeper.watch] if keeps else [], has_cookies, **more)
            code = self._shared.go(made, printing_to_stderr if options["app"] else None)
        finally:
            intent.close()
        if keeper.exchange is None:
            return code
        if request.name:
            self._exchanges[request.name] = keeper.exchange
        return self._checked(checks, keeper, code)

    def _checked(self, checks: list[tuple[int, Expectation]], keeper: Keeper, code: int) -> int:
        """Tell of the expectations that are not met; one about the status decides in place of the status."""
        exchange = keeper.exchange
        assert exchange is not None  # it was kept, because there are expectations
        received = expectations.Received(exchange.status, dict(exchange.headers), exchange.body, keeper.seconds)
        failures = 0
        for line, check in checks:
            failure = expectations.failure_of(check, received)
            if failure is not None:
                failures += 1
                tell(f"{self._path}:{line}: {failure}")
        if failures:
            return exits.UNEXPECTED
        return exits.OK if any(check.subject == "status" for _, check in checks) else code

    def _expectation(self, text: str, line: int, end: int) -> tuple[int, Expectation]:
        try:
            return line, expectations.parse(self._scope.expand(text, line, end), text)
        except HttpFileError:
            raise
        except ValueError as exc:
            raise HttpFileError(f"{self._path}:{line}: invalid '@expect': {exc}") from None

    # The request.

    def _options_of(self, request: Request, quiet: bool) -> dict[str, Any]:
        """Return the options that send a request of the file."""
        expand = partial(self._scope.expand, end=request.end)
        options = dict(self._options)
        if quiet:
            options.update(print="", output_json=False, write_out=None, timings=False, verbose=False)
            options.update(output=None, download=None, resume=False, check_digest=None, skip_existing=False)
        self._direct(request, options)
        url = expand(request.url, request.line).strip()
        given = {name.lower() for name, _ in options["headers"]}
        headers = []
        for name, value, line in request.headers:
            value = expand(value, line)
            if name.lower() == "host" and url.startswith("/"):
                url = value + url
            elif name.lower() == "authorization" and len(value.split()) in (2, 3):
                headers += _authorization(value, options)
            elif name.lower() == "x-request-type" and value.lower() == "graphql":
                raise HttpFileError(f"{self._path}:{line}: GraphQL is not supported: write its JSON as the body")
            elif name.lower() not in given:
                headers.append((name, value))
        in_process = bool(options["app"] or options["unix_socket"])
        words = [address(url, in_process)]
        body = self._body(request, _value_of(headers, "content-type"))
        if isinstance(body, str):
            words.append(f"@{body}")
        elif body:
            options["content"] = body.decode("utf-8", "surrogateescape")
        options.update(words=tuple(words), method=request.method, headers=(*headers, *options["headers"]))
        return options

    def _direct(self, request: Request, options: dict[str, Any]) -> None:
        """Set the options that directives and the version of HTTP ask for."""
        # Both editors follow redirects unless told otherwise.
        options["follow_redirects"] = not any(each.name == "no-redirect" for each in request.directives)
        if not options["follow_redirects"]:
            options["max_redirects"] = None
        if request.version.startswith("2"):
            options["http_version"] = "2-prior-knowledge" if "Prior" in request.version else "2"
        for each in request.directives:
            if each.name == "timeout":
                match = _TIMEOUT.fullmatch(each.argument.strip())
                if match is None or not float(match[1]):
                    raise HttpFileError(f"{self._path}:{each.line}: '@timeout' must be a time such as 10 s or 500 ms")
                options["timeout"] = float(match[1]) * _SECONDS[match[2]]

    def _body(self, request: Request, kind: str) -> bytes | str:
        """Return the body, or the path of the file that is all of it."""
        if len(request.body) == 1 and isinstance(request.body[0], File) and not request.body[0].charset:
            return self._path_of(request.body[0], request.end)
        media_type = media_type_of(kind)
        pieces = []
        for part in request.body:
            if isinstance(part, File):
                pieces.append(self._part_of(part, request.end))
            else:
                text = self._scope.expand(part.text, part.line, request.end)
                pieces.append(_encoded(_lines(text, media_type)))
        if media_type.startswith("multipart/") and pieces:
            return b"\r\n".join([*pieces, b""])
        return b"\n".join(pieces)

    def _path_of(self, file: File, end: int) -> str:
        path = os.path.expanduser(self._scope.expand(file.path, file.line, end))
        path = os.path.join(self._folder, path)
        if not os.path.isfile(path):
            raise HttpFileError(f"{self._path}:{file.line}: there is no file {path!r}")
        return path

    def _part_of(self, file: File, end: int) -> bytes:
        """Return the content of a file in a body, with its variables expanded if that is asked for."""
        path = self._path_of(file, end)
        try:
            with open(path, "rb") as opened:
                content = opened.read()
            if not file.charset:
                return content
            return _encoded(self._scope.expand(content.decode(file.charset), file.line, end))
        except OSError as exc:
            raise HttpFileError(f"{self._path}:{file.line}: {exc}") from None
        except (LookupError, UnicodeDecodeError):
            raise HttpFileError(f"{self._path}:{file.line}: {path!r} is not {file.charset} text") from None


class Keeper:
    """
    What a request sent and received.

    Attributes:
        exchange: of the last response; None before it.
        seconds: from the first request to the end of the last response.
    """

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.seconds = 0.0
        self._began: float | None = None
        self._sent: tuple[dict[str, str], str] | None = None

    def watch(self, request: httpx.Request) -> Generator[Any, Any, httpx.Response]:
        """Read each response. A middleware."""
        if self._began is None:
            self._began = time.perf_counter()
        if self._sent is None:
            self._sent = _joined(request.headers), _content_of(request)
        response: httpx.Response = yield request
        yield httpx.Step.read(response)
        self.seconds = time.perf_counter() - self._began
        self.exchange = Exchange(response.status_code, _joined(response.headers), response.text, *self._sent)
        return response


def _names_in(content: HttpFile) -> frozenset[str]:
    """Return the names of the requests whose responses other parts of the file, or its files, may need."""
    texts = [variable.value for variable in content.variables]
    for request in content.requests:
        texts += [request.url, *(header.value for header in request.headers)]
        texts += [directive.argument for directive in request.directives]
        if any(isinstance(part, File) and part.charset for part in request.body):
            return frozenset(each.name for each in content.requests)
        texts += [part[0] for part in request.body]
    return frozenset(name for text in texts for name in referenced(text))


def _authorization(value: str, options: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the header field for `Basic user password`, `Basic user:password` and what is complete already."""
    scheme, *rest = value.split()
    user, colon, password = rest[0].partition(":")
    if len(rest) == 2:
        user, password = rest
    elif not colon:
        return [("Authorization", value)]
    if scheme.lower() == "digest" and "=" not in user and not value.endswith(","):
        options.update(auth=(user, password), digest=True)
        return []
    if scheme.lower() != "basic":
        return [("Authorization", value)]
    return [("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii"))]


def _lines(text: str, media_type: str) -> str:
    """Return text with the line breaks that its type needs: none in a form, CRLF in multipart."""
    if media_type == _FORM:
        lines = [line.strip().strip("&") for line in text.split("\n")]
        # What cannot be in a form is encoded; percent signs are taken for encoded already.
        text = "&".join(filter(None, lines)).replace(" ", "+")
        return quote(_encoded(text), safe="!$%&'()*+,-./:;=?@_~[]{}|^`\"<>\\#")
    return text.replace("\n", "\r\n") if media_type.startswith("multipart/") else text


def _encoded(text: str) -> bytes:
    """Return text in UTF-8; words of the command line have any bytes, and JSON of a peer has surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _value_of(headers: list[tuple[str, str]], name: str) -> str:
    return next((value for each, value in headers if each.lower() == name), "")


def _joined(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): headers[name] for name in headers}


def _content_of(request: httpx.Request) -> str:
    try:
        return request.content.decode("utf-8", "replace")
    except httpx.RequestNotRead:  # of a file
        return ""
