"""
Parse `.http` files: requests as VS Code's REST client and JetBrains' HTTP client write them.

    parse("### login\nPOST {{host}}/login\nAccept: */*\n\n{}\n", "a.http")      HttpFile(requests=(Request(...),), ...)

    ### a title                      separates requests
    # @name login                    a directive; `//` begins a comment, too
    @host = http://localhost         a variable of the file
    POST {{host}}/login HTTP/1.1     method and version may be left out
        ?page=1                      the URL goes on in lines that are indented, or begin with ? or &
    Content-Type: text/plain         header fields
                                     an empty line
    < ./body.txt                     the body: lines of text, and files; `<@` expands variables in the file
    # @expect status 200             an expectation; the only directive that may stand in the body

Pure: text in, tuples out, each with the number of its line. Variables stay as they are written. The work is linear in
the length of the text. Scripts in JavaScript are not run: `notes` has their lines.

Not here: variables (`http_variables`), expectations (`expectations`), files and sending (`run_file`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

# The directives that mean something here; others are reported.
DIRECTIVES = frozenset(("name", "expect", "no-redirect", "no-cookie-jar", "timeout"))
# Directives of the two editors about their windows and logs.
_OF_EDITORS = frozenset(("no-log", "note"))
_OTHER_PROTOCOLS = frozenset(("GRAPHQL", "GRPC", "WEBSOCKET", "RSOCKET", "CURL"))

_DIRECTIVE = re.compile(r"(?:#|//)\s*@([A-Za-z][A-Za-z0-9-]*)(?:\s*=\s*|\s+|$)")
_HEADER = re.compile(r"([!$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:")
_SCRIPT = re.compile(r"[<>]\s*\{%")
_SCRIPT_FILE = re.compile(r"[<>]\s+\S+\.js$")
_BODY_FILE = re.compile(r"<(@?)([A-Za-z0-9_-]*)[ \t]+(?=\S)")
_SAVED = re.compile(r">>!?\s+\S+$")
_VERSION = re.compile(r"[123](?:\.[01])?(?: \(Prior Knowledge\))?")


class HttpFileError(ValueError):
    """The file is invalid; the message begins with its name and the line."""


class Text(NamedTuple):
    """Lines of a body, separated by line feeds."""

    text: str
    line: int


class File(NamedTuple):
    """
    A file that is a body or a part of one.

    Attributes:
        path: as written, relative to the folder of the `.http` file.
        charset: of a file in which variables are expanded; "" for one that is sent as it is.
        line: its line.
    """

    path: str
    charset: str
    line: int


class Header(NamedTuple):
    """A header field, with variables in its value."""

    name: str
    value: str
    line: int


class Directive(NamedTuple):
    """A comment such as `# @expect status 200`: its name and the rest of its line."""

    name: str
    argument: str
    line: int


class Variable(NamedTuple):
    """A variable of the file, with variables in its value."""

    name: str
    value: str
    line: int


class Note(NamedTuple):
    """What the file has and this client does not do."""

    text: str
    line: int


class Request(NamedTuple):
    """
    A request.

    Attributes:
        name: of `# @name`, else the title after `###`, else "".
        method: in capitals.
        url: with variables.
        version: "" or as after "HTTP/", such as "1.1" or "2 (Prior Knowledge)".
        headers, body, directives: in the order of the file.
        line: of its method and URL.
        start, end: its first line, that of `###`, and its last one.
    """

    name: str
    method: str
    url: str
    version: str
    headers: tuple[Header, ...]
    body: tuple[Text | File, ...]
    directives: tuple[Directive, ...]
    line: int
    start: int
    end: int


class HttpFile(NamedTuple):
    """The content of a file."""

    requests: tuple[Request, ...]
    variables: tuple[Variable, ...]
    notes: tuple[Note, ...]


def parse(text: str, name: str) -> HttpFile:
    """
    Return the requests of a file.

    Args:
        text: its content.
        name: for messages.

    Raises:
        HttpFileError: a line is invalid, or two requests have one name.
    """
    parser = _Parser(name)
    lines = text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        parser.take(line, number)
    return parser.finish(len(lines))


class _Parser:
    """What is known of a file after a number of its lines."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._requests: list[Request] = []
        self._variables: list[Variable] = []
        self._notes: list[Note] = []
        self._names: dict[str, int] = {}
        self._script = 0  # the line where the open script began
        self._begin("", 1)

    def _begin(self, title: str, start: int) -> None:
        self._title = title
        self._start = start
        self._line = 0  # of method and URL; 0 before them
        self._method = self._version = ""
        self._url: list[str] = []
        self._headers: list[Header] = []
        self._directives: list[Directive] = []
        self._body: list[Text | File] = []
        self._text: list[str] = []
        self._text_line = 0
        self._in_body = False

    def take(self, line: str, number: int) -> None:
        """Take the next line, without its end."""
        stripped = line.strip()
        if line.startswith("###"):
            self._end(number - 1)
            self._begin(stripped.strip("#").strip(), number)
        elif self._script:
            if "%}" in line:
                self._script = 0
        elif _SCRIPT.match(stripped):
            self._notes.append(Note("JavaScript is not run: write '# @expect ...' to check the response", number))
            self._script = 0 if "%}" in line else number
        elif self._is_of_others(stripped, number) or self._is_directive(stripped, number):
            pass
        elif self._in_body:
            self._take_body(line, number)
        elif not self._line:
            self._take_before(stripped, number)
        else:
            self._take_head(line, stripped, number)

    def finish(self, last: int) -> HttpFile:
        """Return the file after its last line."""
        self._end(last)
        return HttpFile(tuple(self._requests), tuple(self._variables), tuple(self._notes))

    def _fail(self, message: str, line: int) -> HttpFileError:
        return HttpFileError(f"{self._name}:{line}: {message}")

    def _is_of_others(self, stripped: str, number: int) -> bool:
        """Take a line that only the editors know: scripts in files, and where they save responses."""
        if _SCRIPT_FILE.match(stripped):
            self._notes.append(Note("the script is not run: write '# @expect ...' to check the response", number))
        elif self._line and _SAVED.match(stripped):
            self._notes.append(Note("the response is not saved: use --output FILE", number))
        else:
            return bool(self._line) and stripped.startswith("<> ")
        return True

    def _is_directive(self, stripped: str, number: int) -> bool:
        match = _DIRECTIVE.match(stripped)
        if match is None or (self._in_body and match[1] != "expect"):
            return False
        if match[1] in DIRECTIVES:
            self._directives.append(Directive(match[1], stripped[match.end() :], number))
        elif match[1] not in _OF_EDITORS:
            self._notes.append(Note(f"the directive '@{match[1][:40]}' is unknown, and has no effect", number))
        return True

    def _take_before(self, stripped: str, number: int) -> None:
        if not stripped or stripped.startswith(("#", "//")):
            return
        if stripped.startswith("@"):
            name, equals, value = stripped[1:].partition("=")
            name = name.strip()
            if not equals or not name or len(name.split()) > 1:
                raise self._fail("a variable must be written as '@name = value'", number)
            self._variables.append(Variable(name, value.strip(), number))
            return
        self._take_request_line(stripped, number)

    def _take_request_line(self, stripped: str, number: int) -> None:
        before, space, version = stripped.rpartition(" HTTP/")
        if space and _VERSION.fullmatch(version.strip()):
            stripped, self._version = before.rstrip(), version.strip()
        method, *rest = stripped.split(None, 1)
        if rest and method.isascii() and method.isalpha():
            self._method, url = method.upper(), rest[0]
        else:
            self._method, url = "GET", stripped
        if self._method in _OTHER_PROTOCOLS:
            raise self._fail(f"{self._method} is not supported, only requests of HTTP", number)
        if url.isascii() and url.isalpha() and url.upper() == url:
            raise self._fail(f"the URL is missing after the method {url[:20]}", number)
        self._url, self._line = [url], number

    def _take_head(self, line: str, stripped: str, number: int) -> None:
        if not stripped:
            self._in_body = True
        elif stripped.startswith(("#", "//")):
            pass
        elif not self._headers and (line[0] in " \t" or stripped[0] in "?&"):
            self._url.append(stripped)
        else:
            match = _HEADER.match(stripped)
            if match is None:
                raise self._fail("expected a header field such as 'Name: value', or an empty line", number)
            self._headers.append(Header(match[1], stripped[match.end() :].strip(), number))

    def _take_body(self, line: str, number: int) -> None:
        match = _BODY_FILE.match(line)
        if match is None or (match[2] and not match[1]):
            if not self._text:
                self._text_line = number
            self._text.append(line)
            return
        self._end_text()
        charset = (match[2] or "utf-8") if match[1] else ""
        self._body.append(File(line[match.end() :].rstrip(), charset, number))

    def _end_text(self) -> None:
        if self._text:
            self._body.append(Text("\n".join(self._text), self._text_line))
            self._text = []

    def _end(self, last: int) -> None:
        """End a request, if there is one."""
        if self._script:
            raise self._fail("the script has no end: '%}' is missing", self._script)
        if not self._line:
            return
        while self._text and not self._text[-1].strip():
            self._text.pop()
        self._end_text()
        # An empty line before a file is not part of the body.
        while self._body and not self._body[0][0].strip():
            self._body.pop(0)
        self._requests.append(
            Request(
                self._named(),
                self._method,
                "".join(self._url),
                self._version,
                tuple(self._headers),
                tuple(self._body),
                tuple(self._directives),
                self._line,
                self._start,
                last,
            )
        )

    def _named(self) -> str:
        """Return the name of the request."""
        given = [(each.argument, each.line) for each in self._directives if each.name == "name"]
        name, line = given[-1] if given else (self._title, self._line)
        if given and (not name or len(name.split()) > 1):
            raise self._fail("'@name' must be followed by a name without spaces", line)
        if given and name in self._names:
            raise self._fail(f"the name {name[:40]!r} is taken by the request in line {self._names[name]}", line)
        if name:
            self._names.setdefault(name, self._line)
        return name
