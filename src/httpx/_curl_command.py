"""
Read a command line of curl: what it says about the request, and what else it asks for.

    command = read("curl -H 'X-A: b' --json '{}' http://localhost/", files=False)
    command.method, command.url, command.headers, command.body, ...
    command.others          [("-L", ""), ("-m", "3"), ...], of the connection, the output and so on

An unknown option is an error with its name, because without it the command could do something else. So is a URL that
curl would expand to several. No file is read unless `files` says so.

Not here: the words of a shell (`_shell_words`), what is made of a command (`_curl`, `_cli.curl`).
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple, Optional
from urllib.parse import quote_plus

from ._shell_words import words as words_of

# What curl takes for space, which other white space is not.
_SPACES = " \t\n\v\f\r"
FORM = "application/x-www-form-urlencoded"
# How `_curl` hands over a body that cannot be an argument.
_FED = re.compile(r"\s*printf %s ([A-Za-z0-9+/=]*) \| base64 -d \| (?=curl\b)")
_DOTS = re.compile(r"^[^/]*//[^/?#]*(?:/[^/?#]*)*?/\.\.?(?:[/?#]|$)")
_IPV6 = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?:[^@/?#]*@)?\[[0-9A-Fa-f:.]+(?:%[\w.%-]+)?\]")


class Part(NamedTuple):
    """
    A part of a form.

    Attributes:
        name: of the field.
        text: its value; None for a file.
        path: the file that has its value.
        as_file: the file is sent as one, with its name; else its content is the field's value.
        kind: its Content-Type, if one was given.
        filename: if one was given.
        headers: further fields of the part.
    """

    name: str
    text: Optional[str] = None
    path: Optional[str] = None
    as_file: bool = False
    kind: Optional[str] = None
    filename: Optional[str] = None
    headers: tuple[tuple[str, str], ...] = ()


class Command:
    """
    What a command says. Text may have surrogates for bytes that are not UTF-8 (PEP 383).

    Attributes:
        url: with its scheme and with what -G and --url-query add; as it is written otherwise.
        given_method: of -X; None without.
        headers: name and value; those of -A, -e, -r and -b as well.
        absent: names of header fields that curl is told to leave out.
        chunks: pieces of the body, joined by "&"; None without a body.
        kind: the Content-Type of the body, unless a header gives it.
        parts: of a form.
        user: of -u, "name" or "name:password".
        digest: it is for a challenge.
        cookie_files: of -b.
        netrc: the file of --netrc-file, "" for the usual one; None without.
        target: of --request-target.
        others: further known options with their values, "" without one; short names where there are any.
    """

    def __init__(
        self, files: bool, fed: bytes | None = None, without_patterns: Callable[[str], str] | None = None
    ) -> None:
        self.files = files
        self.without_patterns = without_patterns
        self.fed = fed
        self.urls: list[str] = []
        self.url = ""
        self.given_method: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.absent: list[str] = []
        self.chunks: list[bytearray] | None = None
        self.kind: str | None = None
        self.parts: list[Part] = []
        self.user: str | None = None
        self.digest = False
        self.bearer: str | None = None
        self.cookies: list[str] = []
        self.cookie_files: list[str] = []
        self.netrc: str | None = None
        self.target: str | None = None
        self.others: list[tuple[str, str]] = []
        self.queries: list[str] = []
        self.flags: set[str] = set()
        self.upload: str | None = None
        self.reads_config = False

    @property
    def body(self) -> bytes | None:
        """Return the body; None if there is none, or if it is a form."""
        return None if self.chunks is None else b"&".join(self.chunks)

    @property
    def method(self) -> str:
        """Return the method that curl would use."""
        if self.given_method is not None:
            return self.given_method
        if "-I" in self.flags:
            return "HEAD"
        if self.upload is not None:
            return "PUT"
        return "GET" if self.chunks is None and not self.parts else "POST"

    def has_field(self, name: str) -> bool:
        """Return whether the command gives this header field, or says that there is none; `name` is in lower case."""
        return name in {given.lower() for given, _ in self.headers} or name in map(str.lower, self.absent)

    def content_of(self, option: str, path: str) -> bytes:
        """
        Return the content of a file.

        Raises:
            ValueError: files may not be read, or it is standard input.
            OSError: it cannot be read.
        """
        if path == "-" and self.fed is not None:
            return self.fed
        if path in ("-", "."):
            raise ValueError(f"curl's {option} {path} reads standard input, which cannot be converted")
        if not self.files:
            raise ValueError(f"curl's {option} reads the file {path[:40]!r}: pass `files=True` if it may be read")
        with open(os.path.expanduser(path), "rb") as file:
            return file.read()

    # Each takes the value of an option.

    def header(self, value: str) -> None:
        if value.startswith("@"):
            for line in self.content_of("-H", value[1:]).decode("utf-8", "surrogateescape").splitlines():
                if line.strip(_SPACES):
                    self.header(line.lstrip("@"))
            return
        name, colon, text = value.partition(":")
        name, text = name.strip(_SPACES), text.strip(_SPACES)
        if colon and text:
            self.headers.append((name, text))
        elif colon:
            self.absent.append(name)
        elif name.endswith(";"):
            self.headers.append((name[:-1].strip(_SPACES), ""))

    def replaced(self, name: str, value: str) -> None:
        """Set a field that curl has an option for; an empty value leaves it out."""
        if value:
            self.headers.append((name, value))
        else:
            self.absent.append(name)

    def data(self, option: str, value: str, joins: bool = True) -> None:
        self.kind = self.kind or FORM
        if option != "--data-raw" and value.startswith("@"):
            content = self.content_of(option, value[1:])
            content = re.sub(rb"[\r\n\0]", b"", content) if option == "-d" else content
        else:
            content = _bytes(value)
        if joins or not self.chunks:
            self.chunks = self.chunks or []
            self.chunks.append(bytearray(content))
        else:
            self.chunks[-1] += content

    def json(self, value: str) -> None:
        self.kind = "application/json"
        self.data("--json", value, joins=False)
        self.flags.add("--json")

    def urlencoded(self, value: str) -> None:
        self.data("--data-raw", self.encoded("--data-urlencode", value))

    def query(self, value: str) -> None:
        self.queries.append(value[1:] if value.startswith("+") else self.encoded("--url-query", value))

    def encoded(self, option: str, value: str) -> str:
        """Return `name=value` with the value encoded for a form; the value may come from a file."""
        name, equals, text = value.partition("=")
        if equals:
            encoded = quote_plus(_bytes(text))
        elif "@" in value:
            name, _, path = value.partition("@")
            encoded = quote_plus(self.content_of(option, path))
        else:
            name, encoded = "", quote_plus(_bytes(value))
        return f"{name}={encoded}" if name else encoded

    def cookie(self, value: str) -> None:
        if "=" in value:
            self.cookies.append(value.strip("; "))
        elif value:  # an empty one only has curl keep cookies
            self.cookie_files.append(value)

    def config(self, path: str) -> None:
        if self.reads_config:
            raise ValueError("a file of curl's -K refers to another one, which cannot be converted")
        words = _config_words(self.content_of("-K", path).decode("utf-8", "surrogateescape"))
        self.reads_config = True
        _read_words(self, words)
        self.reads_config = False

    def send_file(self, path: str) -> None:
        if self.upload is not None:
            raise ValueError("curl's -T is there twice: only one request can be converted")
        self.upload = path

    # The end.

    def finish(self) -> None:
        """
        Put together what depends on several options.

        Raises:
            ValueError: there is not exactly one request.
        """
        if len(self.urls) != 1:
            raise ValueError("the curl command must have one URL" + (f", got {len(self.urls)}" if self.urls else ""))
        if "-I" in self.flags and (self.upload is not None or ("-G" not in self.flags and self.method_has_body())):
            raise ValueError("curl's -I cannot have a body: use -X HEAD")
        if self.chunks is not None and self.parts:
            raise ValueError("a curl command cannot have both -d and -F")
        url = self.urls[0]
        url = url if "://" in url else f"http://{url}"  # as curl does
        _refuse_ranges(url, "-g" in self.flags, self.without_patterns)
        if self.upload is not None:
            url = self._uploaded(url)
        if "-G" in self.flags and self.chunks is not None:
            self.queries = [(self.body or b"").decode("utf-8", "surrogateescape")]  # it wins over --url-query
            self.chunks = None
        before, hash_sign, fragment = url.partition("#")
        for query in filter(None, self.queries):
            before += ("" if before.endswith(("?", "&")) else "&" if "?" in before else "?") + query
        self.url = before + hash_sign + fragment
        if self.cookies:
            self.headers.append(("Cookie", "; ".join(self.cookies)))
        if "--json" in self.flags and not self.has_field("accept"):
            self.headers.append(("Accept", "application/json"))

    @property
    def dotted_target(self) -> str | None:
        """Return the request target if its path has `.` or `..` that --path-as-is has curl keep; else None."""
        if "--path-as-is" not in self.flags or _DOTS.match(self.url) is None:
            return None
        return re.sub(r"^[^/]*//[^/?#]*|#.*", "", self.url)

    def method_has_body(self) -> bool:
        """Return whether there is something to send."""
        return self.chunks is not None or bool(self.parts)

    def _uploaded(self, url: str) -> str:
        """Take the file of -T as the body; return the URL, with the file's name if it names a folder."""
        path = self.upload or ""
        if self.method_has_body():
            raise ValueError("curl's -T cannot have another body")
        self.chunks = [bytearray(self.content_of("-T", path))]
        folder = url.partition("?")[0].partition("#")[0]
        is_folder = folder.endswith("/") or "/" not in folder.partition("://")[2]
        if not is_folder or path in ("-", "."):
            return url
        name = quote_plus(os.path.basename(path)).replace("+", "%20")
        return folder + ("" if folder.endswith("/") else "/") + name + url[len(folder) :]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _refuse_ranges(url: str, literal: bool, without_patterns: Callable[[str], str] | None) -> None:
    """Raise ValueError for `[1-3]` and `{a,b}`, of which curl makes several requests, as far as the caller does not."""
    address = _IPV6.match(url)  # nowhere else: a search would take quadratic time in a long URL
    rest = url if address is None else url[address.end() :]
    if without_patterns is not None and "\\" not in rest:
        rest = without_patterns(rest)
    found = None if literal else re.search(r"[\[\]{}]", rest)
    if found is not None:
        shown = rest[found.start() :][:20]
        raise ValueError(f"curl makes several requests of {shown!r} in a URL: write one URL, or -g to send it as it is")


# Forms.


def part_of(value: str, literal: bool = False) -> Part:
    """
    Return the part that `-F value` makes; `literal` for --form-string.

    Raises:
        ValueError: it is invalid, or one that cannot be converted.
    """
    name, equals, text = value.partition("=")
    if not equals:
        raise ValueError(f"-F must be NAME=VALUE, got {value[:40]!r}")
    if literal:
        return Part(name, text)
    if text.startswith("(") or value == "=)":
        raise ValueError(f"-F {value[:40]!r}: a part with parts of its own cannot be converted")
    mark = text[:1] if text[:1] in ("@", "<") else ""
    content, at = _form_word(text, len(mark), "," if mark == "@" else "")
    if text[at : at + 1] == ",":
        raise ValueError(f"-F {value[:40]!r}: several files in one part cannot be converted")
    more = _form_options(text, at, value)
    if not mark:
        return Part(name, content, **more)
    return Part(name, None, content, mark == "@", **more)


def _form_options(text: str, at: int, value: str) -> dict[str, Any]:
    """Return the options that follow `;` in a value of -F; curl skips those that it does not know."""
    more: dict[str, Any] = {}
    kind: list[str] = []  # with its parameters
    while at < len(text):
        at = _after_spaces(text, at + 1)
        name = next((name for name in ("type=", "filename=", "headers=", "encoder=") if text.startswith(name, at)), "")
        word, at = _form_word(text, at + len(name), "", quotes=name != "type=")
        if name == "type=":
            kind = [word]
        elif name == "filename=":
            more["filename"] = word
        elif name == "headers=" and ":" in word and not word.startswith(("@", "<")):
            key, _, text_of_field = word.partition(":")
            more["headers"] = (*more.get("headers", ()), (key.strip(_SPACES), text_of_field.strip(_SPACES)))
        elif name:
            raise ValueError(f"-F {value[:40]!r}: {name} cannot be converted")
        elif kind and word:
            kind.append(word)
    return {**more, "kind": "; ".join(kind)} if kind else more


def _form_word(text: str, at: int, ends: str, quotes: bool = True) -> tuple[str, int]:
    """Return a word of a value of -F, in quotes or up to `;`, and where it ends."""
    at = _after_spaces(text, at)
    match = re.compile(r'"((?:[^"\\]|\\.)*)"[^;,]*' if ends else r'"((?:[^"\\]|\\.)*)"[^;]*', re.S).match(text, at)
    if quotes and match is not None:
        return re.sub(r'\\([\\"])', r"\1", match[1]), match.end()
    match = re.compile(f"[^;{ends}]*").match(text, at)
    assert match is not None  # it matches everywhere
    return match[0].rstrip(_SPACES), match.end()


def _after_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACES:
        at += 1
    return at


# Options.

Take = Callable[[Command, str], None]


def _sets(name: str, constant: Any = None) -> Take:
    return lambda command, value: setattr(command, name, value if constant is None else constant)


def _flag(name: str) -> Take:
    return lambda command, _: command.flags.add(name)


def _referer(command: Command, value: str) -> None:
    value = value[:-5] if value.endswith(";auto") else value
    command.replaced("Referer", value)


def _part(command: Command, value: str) -> None:
    command.parts.append(part_of(value))


def _next(command: Command, _: str) -> None:
    raise ValueError("curl's --next begins another request: only one can be converted")


# Options with a value -> the function for it. Short ones may have it without a space.
_WITH_VALUE: dict[str, Take] = {
    "-X": _sets("given_method"),
    "-H": Command.header,
    "-d": lambda command, value: command.data("-d", value),
    "--data-raw": lambda command, value: command.data("--data-raw", value),
    "--data-binary": lambda command, value: command.data("--data-binary", value),
    "--data-urlencode": Command.urlencoded,
    "--url-query": Command.query,
    "--json": Command.json,
    "-F": _part,
    "--form-string": lambda command, value: command.parts.append(part_of(value, literal=True)),
    "-T": Command.send_file,
    "-u": _sets("user"),
    "--oauth2-bearer": _sets("bearer"),
    "-b": Command.cookie,
    "-A": lambda command, value: command.replaced("User-Agent", value),
    "-e": _referer,
    "-r": lambda command, value: command.headers.append(("Range", f"bytes={value}")),
    "-K": Command.config,
    "--netrc-file": _sets("netrc"),
    "--request-target": _sets("target"),
    "--url": lambda command, value: command.urls.append(value),
}

_FLAGS: dict[str, Take] = {
    "-I": _flag("-I"),
    "-G": _flag("-G"),
    "-g": _flag("-g"),
    "--compressed": _flag("--compressed"),
    "--path-as-is": _flag("--path-as-is"),
    "--digest": _sets("digest", True),
    "-n": _sets("netrc", ""),
    "--netrc-optional": _sets("netrc", ""),
    "--next": _next,
    "-:": _next,
}

# Options that only concern curl's output, or how strict or patient it is.
HARMLESS = frozenset(
    (
        *("-s", "-S", "-i", "-f", "-J", "-#", "-q", "-R", "-Z", "-j", "-1", "-c", "-Y", "-y", "--basic", "--ciphers"),
        *("--create-dirs", "--curves", "--expect100-timeout", "--fail-early", "--fail-with-body"),
        *("--happy-eyeballs-timeout-ms", "--http0.9", "--keepalive-time", "--limit-rate", "--no-alpn", "--no-clobber"),
        *("--no-keepalive", "--no-npn", "--no-progress-meter", "--no-sessionid", "--no-styled-output", "--proto"),
        *("--proto-default", "--proto-redir", "--remove-on-error", "--ssl", "--ssl-allow-beast", "--ssl-no-revoke"),
        *("--ssl-auto-client-cert", "--ssl-reqd", "--ssl-revoke-best-effort", "--stderr", "--styled-output"),
        *("--suppress-connect-headers", "--tcp-fastopen", "--tcp-nodelay", "--tls-max", "--tls13-ciphers"),
        *("--tlsv1.0", "--tlsv1.1", "--tlsv1.2", "--tlsv1.3", "--trace-time"),
    )
)

# All options about something else than the request.
OTHERS_WITH_VALUE = frozenset(
    (
        *("-o", "-w", "-x", "-m", "-c", "-C", "-D", "-E", "-U", "-Y", "-y", "-z", "--abstract-unix-socket", "--cacert"),
        *("--capath", "--cert-type", "--ciphers", "--connect-timeout", "--connect-to", "--curves", "--dns-servers"),
        *("--doh-url", "--expect100-timeout", "--happy-eyeballs-timeout-ms", "--interface", "--keepalive-time"),
        *("--key", "--key-type", "--limit-rate", "--local-port", "--max-filesize", "--max-redirs", "--noproxy"),
        *("--output-dir", "--pass", "--pinnedpubkey", "--preproxy", "--proto", "--proto-default", "--proto-redir"),
        *("--proxy-header", "--resolve", "--retry", "--retry-delay", "--retry-max-time", "--socks4", "--socks4a"),
        *("--socks5", "--socks5-hostname", "--stderr", "--tls-max", "--tls13-ciphers", "--trace", "--trace-ascii"),
        *("--unix-socket", "--aws-sigv4"),
    )
)
OTHER_FLAGS = frozenset(
    (
        *("-L", "-k", "-v", "-O", "-4", "-6", "-N", "-s", "-S", "-i", "-f", "-J", "-#", "-q", "-R", "-Z", "-j", "-p"),
        *("-0", "-1", "--basic", "--anyauth", "--cert-status", "--create-dirs", "--crlf", "--fail-early"),
        *("--fail-with-body", "--http0.9", "--http1.1", "--http2", "--http2-prior-knowledge", "--http3"),
        *("--location-trusted", "--negotiate", "--no-alpn", "--no-clobber", "--no-keepalive", "--no-npn"),
        *("--no-progress-meter", "--no-sessionid", "--ntlm", "--post301", "--post302", "--post303", "--raw"),
        *("--remove-on-error", "--retry-all-errors", "--retry-connrefused", "--ssl", "--ssl-reqd", "--ssl-no-revoke"),
        *("--ssl-allow-beast", "--ssl-auto-client-cert", "--ssl-revoke-best-effort", "--styled-output"),
        *("--no-styled-output", "--suppress-connect-headers", "--tcp-fastopen", "--tcp-nodelay", "--tlsv1.0"),
        *("--tlsv1.1", "--tlsv1.2", "--tlsv1.3", "--trace-time"),
    )
)

_LONG = {
    "--append": "-a",
    "--ascii": "-B",
    "--cert": "-E",
    "--config": "-K",
    "--continue-at": "-C",
    "--cookie": "-b",
    "--cookie-jar": "-c",
    "--data": "-d",
    "--data-ascii": "-d",
    "--disable": "-q",
    "--dump-header": "-D",
    "--fail": "-f",
    "--form": "-F",
    "--get": "-G",
    "--globoff": "-g",
    "--head": "-I",
    "--header": "-H",
    "--http1.0": "-0",
    "--include": "-i",
    "--insecure": "-k",
    "--ipv4": "-4",
    "--ipv6": "-6",
    "--junk-session-cookies": "-j",
    "--location": "-L",
    "--max-time": "-m",
    "--netrc": "-n",
    "--no-buffer": "-N",
    "--output": "-o",
    "--parallel": "-Z",
    "--progress-bar": "-#",
    "--proxy": "-x",
    "--proxy-user": "-U",
    "--proxytunnel": "-p",
    "--range": "-r",
    "--referer": "-e",
    "--remote-header-name": "-J",
    "--remote-name": "-O",
    "--remote-time": "-R",
    "--request": "-X",
    "--show-error": "-S",
    "--show-headers": "-i",
    "--silent": "-s",
    "--speed-limit": "-Y",
    "--speed-time": "-y",
    "--time-cond": "-z",
    "--tlsv1": "-1",
    "--upload-file": "-T",
    "--user": "-u",
    "--user-agent": "-A",
    "--verbose": "-v",
    "--write-out": "-w",
}


def read(text: str, files: bool, without_patterns: Callable[[str], str] | None = None) -> Command:
    """
    Return what a command says.

    Args:
        text: as typed or copied from a browser: quotes, `$'...'` and backslashes at the ends of lines included.
        files: files that the command reads may be read.
        without_patterns: returns a URL without the patterns, such as `[1-3]`, that the caller expands; None if it
            expands none.

    Raises:
        ValueError: a quote is open, an option is unknown or lacks its value, a file would have to be read and may not,
            or there is not exactly one URL.
        OSError: a file cannot be read.
    """
    fed = _FED.match(text)
    words = words_of(text if fed is None else text[fed.end() :])
    if words and words[0] in ("$", "%", ">"):  # a shell prompt, copied with the command
        del words[0]
    if words and re.split(r"[/\\]", words[0])[-1] in ("curl", "curl.exe"):
        del words[0]
    command = Command(files, None if fed is None else base64.b64decode(fed[1]), without_patterns)
    _read_words(command, words)
    command.finish()
    return command


def _read_words(command: Command, words: list[str]) -> None:
    words.reverse()  # the next one is the last
    only_urls = False
    while words:
        word = words.pop()
        if only_urls or not word.startswith("-") or word == "-":
            command.urls.append(word)
        elif word == "--":
            only_urls = True
        elif word.startswith("--"):
            _option(command, _LONG.get(word, word), words)
        else:
            _cluster(command, word, words)


def _option(command: Command, name: str, words: list[str]) -> None:
    if name in _WITH_VALUE or name in OTHERS_WITH_VALUE:
        if not words:
            raise ValueError(f"curl's {name} lacks its value")
        value = words.pop()
        if name in _WITH_VALUE:
            _WITH_VALUE[name](command, value)
        else:
            command.others.append((name, value))
    elif name in _FLAGS:
        _FLAGS[name](command, "")
    elif name in OTHER_FLAGS:
        command.others.append((name, ""))
    else:
        name = name.partition("=")[0]  # curl has no such spelling, and the value may be a secret
        raise ValueError(f"curl's option {name[:40]} cannot be converted")


def _cluster(command: Command, word: str, words: list[str]) -> None:
    """Read short options in one word: `-sSL`, `-XPOST`, `-sXPOST`."""
    rest = word[1:]
    while rest:
        name, rest = "-" + rest[0], rest[1:]
        if rest and (name in _WITH_VALUE or name in OTHERS_WITH_VALUE):
            words.append(rest)
            rest = ""
        _option(command, name, words)


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_CONFIG_LINE = re.compile(r'\s*(-{0,2}[^\s=:]+)[\s=:]*(?:"((?:[^"\\]|\\.)*)"?|(\S*))', re.S)


def _config_words(text: str) -> list[str]:
    """Return the words of a file of options: in each line an option and its value, which may be in quotes."""
    words: list[str] = []
    for line in text.splitlines():
        match = None if line.lstrip().startswith("#") else _CONFIG_LINE.match(line)
        if match is None:
            continue
        name, quoted, plain = match.groups()
        words.append(name if name.startswith("-") else f"--{name}")
        if quoted is not None:
            words.append(re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted))
        elif plain:
            words.append(plain)
    return words
