"""
To and from the command lines of curl.

    to_curl(request)                      curl -X PUT --json '{"a":1}' http://localhost:8000/
    from_curl("curl -H 'X-A: b' ...")     ["-h", "X-A", "b", ...], arguments of ours

Both know the options that people paste: those of a request, of authentication, redirects, TLS, proxy, output. An option
that is not known is an error with its name, because without it something else could happen than what was asked for.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

MASK = "***"
_SECRET = frozenset(("authorization", "proxy-authorization", "cookie"))
# What curl computes itself, or says by default.
_COMPUTED = frozenset(("host", "content-length", "connection", "transfer-encoding"))


def to_curl(request: httpx.Request, *, mask: bool = True, options: dict[str, Any] | None = None) -> str:
    """
    A command for a shell of POSIX that sends the same request.

    Args:
        request: as it would be sent, with its body read.
        mask: put "***" in place of credentials and cookies.
        options: what the parser made of our arguments, for those about the connection.
    """
    url = request.url
    if mask and url.password:
        url = url.copy_with(password=MASK)
    words = ["curl", *_method(request), *_connection(options or {}, mask)]
    for name, value in _fields(request):
        if mask and name.lower() in _SECRET:
            scheme, space, _ = value.partition(" ")
            value = f"{scheme} {MASK}" if space and name.lower() != "cookie" else MASK
        # A field without a value is written with ";".
        words += ["-H", f"{name}: {value}" if value else f"{name};"]
    words += _body(request)
    return _fed(request) + " ".join(map(shlex.quote, [*words, str(url)]))


def _method(request: httpx.Request) -> list[str]:
    if request.method == "HEAD":
        return ["-I"]
    usual = "POST" if request.content else "GET"
    return [] if request.method == usual else ["-X", request.method]


def _fields(request: httpx.Request) -> list[tuple[str, str]]:
    """The fields that curl would not send by itself; what it would send and the request has not is taken away."""
    fields = []
    for raw_name, raw_value in request.headers.raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name.lower() == "accept-encoding" or name.lower() in _COMPUTED:
            continue  # `--compressed` asks for what curl can decode
        if name.lower() == "accept" and value == "*/*":
            continue
        if name.lower() == "user-agent" and value.startswith("python-httpx/"):
            continue
        fields.append((name, value))
    return fields


def _body(request: httpx.Request) -> list[str]:
    content = request.content
    if not content:
        return []
    quiet = [] if "content-type" in request.headers else ["-H", "Content-Type:"]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    return [*quiet, *(["--data-binary", "@-"] if "\0" in text else ["--data-raw", text])]


def _fed(request: httpx.Request) -> str:
    """What goes before the command, for a body that no argument can hold."""
    if "@-" not in _body(request)[-1:]:
        return ""
    return f"printf %s {base64.b64encode(request.content).decode()} | base64 -d | "


def _connection(options: dict[str, Any], mask: bool) -> list[str]:
    words: list[str] = []
    if options.get("follow_redirects") or options.get("max_redirects") is not None:
        words += ["-L"]
    if options.get("max_redirects") is not None:
        words += ["--max-redirs", str(options["max_redirects"])]
    if options.get("no_verify"):
        words += ["-k"]
    if options.get("http2") or options.get("http_version") == "2":
        words += ["--http2"]
    elif options.get("http_version"):
        words += [{"1.1": "--http1.1"}.get(options["http_version"], "--http2-prior-knowledge")]
    for key, flag in (("ipv4", "-4"), ("ipv6", "-6")):
        words += [flag] if options.get(key) else []
    if options.get("proxy"):
        words += ["-x", re.sub(r"://[^/@]*@", f"://{MASK}@", options["proxy"]) if mask else options["proxy"]]
    for key, flag in (
        *(("max_time", "-m"), ("ca", "--cacert"), ("cert", "--cert"), ("cert_key", "--key")),
        *(("unix_socket", "--unix-socket"), ("output", "-o"), ("write_out", "-w")),
    ):
        if options.get(key) is not None:
            value = options[key]
            words += [flag, f"{value:g}" if isinstance(value, float) else value]
    for value in options.get("resolve", ()):
        words += ["--resolve", value]
    return words


class _Reader:
    """Reads the words of a command of curl, and writes ours."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.urls: list[str] = []
        self.method: str | None = None
        self.data: list[bytes] = []
        self.form: list[str] = []
        self.kind: str | None = None
        self.as_query = False
        self.user: str | None = None
        self.digest = False
        self.headers: list[tuple[str, str]] = []
        self.absent: list[str] = []

    # Each takes the value of an option.

    def header(self, value: str) -> None:
        if value.startswith("@"):
            raise ValueError("a file of headers, -H @file, cannot be taken over")
        name, colon, text = value.partition(":")
        if colon and text.strip():
            self.headers.append((name.strip(), text.strip()))
        elif colon:
            self.absent.append(name.strip())
        elif name.endswith(";"):
            self.headers.append((name[:-1].strip(), ""))

    def body(self, value: str, at_means_file: bool = True, strips: bool = True) -> None:
        self.kind = self.kind or "application/x-www-form-urlencoded"
        if at_means_file and value.startswith("@"):
            content = _file(value[1:])
            self.data.append(re.sub(rb"[\r\n\0]", b"", content) if strips else content)
        else:
            self.data.append(value.encode("utf-8", "surrogateescape"))

    def json(self, value: str) -> None:
        self.kind = "application/json"
        self.body(value, strips=False)
        self.headers.append(("Accept", "application/json"))

    def urlencoded(self, value: str) -> None:
        from urllib.parse import quote_plus

        self.kind = self.kind or "application/x-www-form-urlencoded"
        name, equals, text = value.partition("=")
        if equals:
            encoded = quote_plus(text)
        elif "@" in value:
            name, _, path = value.partition("@")
            encoded = quote_plus(_file(path))
        else:
            name, encoded = "", quote_plus(value)
        self.data.append((f"{name}={encoded}" if name else encoded).encode())

    def multipart(self, value: str, literal: bool = False) -> None:
        name, equals, text = value.partition("=")
        if not equals:
            raise ValueError(f"-F takes NAME=VALUE, not {value[:40]!r}")
        if literal:
            self.form.append(f"{_escaped(name)}={text}")
        elif text.startswith("<"):
            self.form.append(f"{_escaped(name)}=@{text[1:]}")
        elif text.startswith("@"):
            self.form.append(f"{_escaped(name)}@{text[1:]}")
        else:
            self.form.append(f"{_escaped(name)}={text}")

    def cookie(self, value: str) -> None:
        if "=" not in value:
            raise ValueError("a file of cookies, -b file, cannot be taken over: see --session")
        self.headers.append(("Cookie", value))

    def result(self) -> list[str]:
        """Our arguments."""
        if len(self.urls) != 1:
            raise ValueError(
                "the command of curl should have one URL" + (f", not {len(self.urls)}" if self.urls else "")
            )
        url = self.urls[0]
        out = [*self.out]
        body = b"&".join(self.data)
        if self.as_query:
            url = f"{url}{'&' if '?' in url else '?'}{body.decode('utf-8', 'surrogateescape')}" if body else url
        elif self.data:
            out += ["-c", body.decode("utf-8", "surrogateescape")]
            if self.kind and "content-type" not in {name.lower() for name, _ in self.headers} | set(
                map(str.lower, self.absent)
            ):
                self.headers.append(("Content-Type", self.kind))
        for name, value in self.headers:
            out += ["-h", name, value]
        if self.user is not None:
            name, _, password = self.user.partition(":")
            out += ["--auth", name, password if ":" in self.user else "-", *(["--digest"] if self.digest else [])]
        if self.form:
            out += ["--form"]
        if self.method:
            out += ["-m", self.method]
        items = [*self.form, *(f"{_escaped(name)}:" for name in self.absent)]
        # curl's own guess for a URL without a scheme is http.
        return [*out, url if "://" in url else f"http://{url}", *items]


def _escaped(name: str) -> str:
    return re.sub(r"([=:@;\\])", r"\\\1", name)


def _file(path: str) -> bytes:
    if path == "-":
        raise ValueError("a body from standard input, @-, cannot be taken over: add the item @- to the command")
    with open(os.path.expanduser(path), "rb") as file:
        return file.read()


Take = Callable[[_Reader, str], None]


def _passes(*ours: str) -> Take:
    """The value goes behind an option of ours."""
    return lambda reader, value: reader.out.extend([*ours, value])


def _sets(name: str, constant: Any = None) -> Take:
    return lambda reader, value: setattr(reader, name, value if constant is None else constant)


def _cert(reader: _Reader, value: str) -> None:
    reader.out += ["--cert", value.partition(":")[0]]


# Options with a value -> what is done with it. The short ones may have it without a space.
_WITH_VALUE: dict[str, Take] = {
    "-X": _sets("method"),
    "-H": _Reader.header,
    "-d": _Reader.body,
    "--data-raw": lambda reader, value: reader.body(value, at_means_file=False),
    "--data-binary": lambda reader, value: reader.body(value, strips=False),
    "--data-urlencode": _Reader.urlencoded,
    "--json": _Reader.json,
    "-F": _Reader.multipart,
    "--form-string": lambda reader, value: reader.form.append(
        f"{_escaped(value.partition('=')[0])}={value.partition('=')[2]}"
    ),
    "-u": _sets("user"),
    "--oauth2-bearer": _passes("--bearer"),
    "-b": _Reader.cookie,
    "-A": lambda reader, value: reader.headers.append(("User-Agent", value)),
    "-e": lambda reader, value: reader.headers.append(("Referer", value)),
    "-o": _passes("-o"),
    "-w": _passes("-w"),
    "-x": _passes("--proxy"),
    "-m": _passes("--max-time"),
    "--connect-timeout": _passes("--timeout"),
    "--max-redirs": _passes("--max-redirects"),
    "--retry": _passes("--retry"),
    "--resolve": _passes("--resolve"),
    "--cacert": _passes("--ca"),
    "--capath": _passes("--ca"),
    "-E": _cert,
    "--key": _passes("--cert-key"),
    "--unix-socket": _passes("--unix-socket"),
    "--url": lambda reader, value: reader.urls.append(value),
}

# Options without one -> what they do; None is nothing, because we do it anyway or it only concerns what curl shows.
_FLAGS: dict[str, Take | None] = {
    "-L": lambda reader, _: reader.out.append("--follow-redirects"),
    "-k": lambda reader, _: reader.out.append("--no-verify"),
    "-I": _sets("method", "HEAD"),
    "-G": _sets("as_query", True),
    "-v": lambda reader, _: reader.out.append("-v"),
    "-O": lambda reader, _: reader.out.extend(["--download", "."]),
    "-4": lambda reader, _: reader.out.append("-4"),
    "-6": lambda reader, _: reader.out.append("-6"),
    "-N": lambda reader, _: reader.out.append("--stream"),
    "--digest": _sets("digest", True),
    "--http1.1": lambda reader, _: reader.out.extend(["--http-version", "1.1"]),
    "--http2": lambda reader, _: reader.out.append("--http2"),
    "--http2-prior-knowledge": lambda reader, _: reader.out.extend(["--http-version", "2-prior-knowledge"]),
    **dict.fromkeys(
        ("-s", "-S", "-i", "-f", "-g", "--basic", "--compressed", "--fail-with-body", "-#", "--no-progress-meter")
    ),
}

_LONG = {
    "--request": "-X",
    "--header": "-H",
    "--data": "-d",
    "--data-ascii": "-d",
    "--form": "-F",
    "--user": "-u",
    "--cookie": "-b",
    "--user-agent": "-A",
    "--referer": "-e",
    "--output": "-o",
    "--write-out": "-w",
    "--proxy": "-x",
    "--max-time": "-m",
    "--cert": "-E",
    "--location": "-L",
    "--insecure": "-k",
    "--head": "-I",
    "--get": "-G",
    "--verbose": "-v",
    "--remote-name": "-O",
    "--ipv4": "-4",
    "--ipv6": "-6",
    "--no-buffer": "-N",
    "--silent": "-s",
    "--show-error": "-S",
    "--include": "-i",
    "--show-headers": "-i",
    "--fail": "-f",
    "--globoff": "-g",
    "--progress-bar": "-#",
}


def from_curl(text: str) -> list[str]:
    """
    Our arguments for what a command of curl does.

    Args:
        text: as it was typed or copied from a browser: quotes, `$'...'` and backslashes at the ends of lines included.

    Raises:
        ValueError: a quote is open, an option is not known or lacks its value, or there is not one URL.
        OSError: a file for the body cannot be read.
    """
    words = _words(text)
    if words and os.path.basename(words[0]) in ("curl", "curl.exe"):
        del words[0]
    reader = _Reader()
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            reader.urls.append(word)
        elif word.startswith("--"):
            _option(reader, _LONG.get(word, word), words)
        else:
            _cluster(reader, word, words)
    return reader.result()


def _option(reader: _Reader, name: str, words: list[str]) -> None:
    if name in _WITH_VALUE:
        if not words:
            raise ValueError(f"curl's {name} lacks its value")
        _WITH_VALUE[name](reader, words.pop(0))
    elif name in _FLAGS:
        take = _FLAGS[name]
        if take is not None:
            take(reader, "")
    else:
        raise ValueError(f"curl's option {name} cannot be taken over")


def _cluster(reader: _Reader, word: str, words: list[str]) -> None:
    """Short options in one word: `-sSL`, `-XPOST`, `-sXPOST`."""
    rest = word[1:]
    while rest:
        name, rest = "-" + rest[0], rest[1:]
        if name in _WITH_VALUE and rest:
            words.insert(0, rest)
            rest = ""
        _option(reader, name, words)


def _words(text: str) -> list[str]:
    # `$'...'` is what browsers write for bodies with escapes; shlex does not know it.
    def ansi(match: re.Match[str]) -> str:
        return shlex.quote(re.sub(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", _unescaped, match[1], flags=re.S))

    text = re.sub(r"\\\r?\n", " ", text)
    return shlex.split(re.sub(r"(?<![\w'\"])\$'((?:[^'\\]|\\.)*)'", ansi, text, flags=re.S))


def _unescaped(match: re.Match[str]) -> str:
    escape = match[1]
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    return {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}.get(escape, escape)
