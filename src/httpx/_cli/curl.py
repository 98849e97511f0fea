"""
Convert requests to and from command lines of curl.

    to_curl(request)                      curl -X PUT --json '{"a":1}' http://localhost:8000/
    from_curl("curl -H 'X-A: b' ...")     ["-h", "X-A", "b", ...], arguments of ours

Both know the common options: those of a request, of authentication, redirects, TLS, proxy, output. An unknown option is
an error with its name, because without it the command could do something else.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import masking
from .shell_words import words as _words

if TYPE_CHECKING:
    import httpx

# Header fields that curl computes or sends by default.
_COMPUTED = frozenset(("host", "content-length", "connection", "transfer-encoding"))


def to_curl(request: httpx.Request, *, mask: bool = True, options: dict[str, Any] | None = None) -> str:
    """
    Return a command for a POSIX shell that sends the same request.

    Args:
        request: as it would be sent, with its body read.
        mask: replace credentials and cookies with "***".
        options: our parsed arguments, for those about the connection.
    """
    options = {} if options is None else options
    url = masking.address(request.url) if mask else str(request.url)
    words = ["curl", *_method(request), *_connection(options, mask)]
    form = _form(request, options)
    for name, value in _fields(request):
        if form is not None and name.lower() == "content-type":
            continue  # curl makes its own boundary
        shown = masking.field(name, value) if mask else value
        # A field without a value is written with ";".
        words += ["-H", f"{name}: {shown}" if shown else f"{name};"]
    if options:
        # The client sends these by default, so they were removed.
        words += [
            word for name in ("Accept", "User-Agent") if name not in request.headers for word in ("-H", f"{name}:")
        ]
    words += _body(request) if form is None else form
    if re.search(r"[\[\]{}]", url):  # curl would read them as ranges
        words.append("-g")
    return ("" if form is not None else _fed(request)) + " ".join(map(shlex.quote, [*words, url]))


def _method(request: httpx.Request) -> list[str]:
    if request.method == "HEAD" and not request.content:
        return ["-I"]
    usual = "POST" if request.content else "GET"
    return [] if request.method == usual else ["-X", request.method]


def _fields(request: httpx.Request) -> list[tuple[str, str]]:
    """Return the header fields that curl must be given: not those that it computes, or that httpx sends by default."""
    fields = []
    for raw_name, raw_value in request.headers.raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name.lower() == "accept-encoding" or name.lower() in _COMPUTED:
            continue  # `--compressed` sends the encodings that curl can decode
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


_PART_NAME = re.compile(rb'; name="([^"%=]+)"(?:; filename="([^"%]+)")?(?:\r\n|$)')


def _form(request: httpx.Request, options: dict[str, Any]) -> list[str] | None:
    """Return the parts of a multipart body as options; None if it is not one, or if curl cannot make the same body."""
    kind = re.fullmatch(r"multipart/form-data; *boundary=([^;\s\"]+)", request.headers.get("content-type", ""), re.I)
    if kind is None:
        return None
    paths = _paths(options)
    words: list[str] = []
    *parts, end = request.content.split(b"--" + kind[1].encode("ascii", "replace"))
    for part in parts[1:]:
        head, _, content = part.removesuffix(b"\r\n").partition(b"\r\n\r\n")
        try:
            word = _part(head.decode(), content, paths)
        except UnicodeDecodeError:
            return None
        if word is None:
            return None
        words += word
    return words if end.strip() == b"--" else None


def _part(head: str, content: bytes, paths: dict[tuple[str, str], str]) -> list[str] | None:
    match, kind = _PART_NAME.search(head.encode()), re.search(r"^content-type: *(.+?)\r?$", head, re.M | re.I)
    if match is None or head.count("\n") > 2:
        return None
    name = match[1].decode()
    if match[2] is None:
        text = content.decode()
        return None if kind is not None or "\0" in text else ["--form-string", f"{name}={text}"]
    filename = match[2].decode()
    path = paths.get((name, filename))
    if path is None or (kind is not None and re.search(r'[;,"\s]', kind[1])):
        return None
    word = f"{name}=@{_quoted(path)}" + (f";type={kind[1]}" if kind else "")
    return ["-F", word if os.path.basename(path) == filename else f"{word};filename={_quoted(filename)}"]


def _quoted(path: str) -> str:
    """Return a path for the value of -F, where `,` and `;` have a meaning."""
    if not re.search(r'[,;"\\]', path):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _paths(options: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return paths from the arguments, by field name and file name as they are sent."""
    from .items import path_and_options, split

    found = {(name, os.path.basename(file.name)): str(file.name) for name, file in options.get("files", ())}
    for word in options.get("words", ()):
        try:
            name, separator, value = split(word)
        except ValueError:  # the URL
            continue
        if separator == "@":
            path, more = path_and_options(value)
            path = os.path.expanduser(path)
            found[name, more.get("filename", os.path.basename(path))] = path
    return found


def _fed(request: httpx.Request) -> str:
    """Return the command to put before curl, for a body that cannot be an argument."""
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
        proxy = options["proxy"]
        words += ["-x", re.sub(r"://[^/@]*@", f"://{masking.MASK}@", proxy) if mask else proxy]
    if options.get("digest") and options.get("auth"):  # the header is sent only after the server's challenge
        user, password = options["auth"]
        words += ["--digest", "-u", f"{user}:{masking.MASK if mask else password}"]
    if options.get("retry"):
        words += ["--retry", str(options["retry"])]
    if options.get("download") is not None:
        words += ["-o", options["download"]] if options["download"] else ["-O", "-J"]
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
    """A reader of the words of a curl command, which writes our arguments."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.urls: list[str] = []
        self.method: str | None = None
        self.data: list[bytes] = []
        self.form: list[str] = []
        self.kind: str | None = None
        self.as_query = False
        self.is_json = False
        self.cookies: list[str] = []
        self.user: str | None = None
        self.digest = False
        self.headers: list[tuple[str, str]] = []
        self.absent: list[str] = []

    # Each takes the value of an option.

    def header(self, value: str) -> None:
        if value.startswith("@"):
            raise ValueError("a file of headers, -H @file, cannot be converted")
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
        before = self.data.pop() if self.data else b""  # several are joined without "&"
        self.body(value, strips=False)
        self.data[-1] = before + self.data[-1]
        self.is_json = True

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
            raise ValueError(f"-F must be NAME=VALUE, got {value[:40]!r}")
        if not literal and text.startswith("<"):
            self.form.append(f"{_escaped(name)}=@{text[1:]}")
        elif not literal and text.startswith("@"):
            self.form.append(f"{_escaped(name)}@{text[1:]}")
        elif not literal and re.search(r";\s*(?:type|headers|encoder)=", text):
            raise ValueError(f"-F {value[:40]!r}: the type of a text cannot be converted")
        else:
            # A value with "@" is text here, and would name a file in our arguments.
            self.form.append(f"{_escaped(name)}=" + re.sub(r"^(\\*[=@])", r"\\\1", text))

    def cookie(self, value: str) -> None:
        if "=" not in value:
            raise ValueError("a file of cookies, -b file, cannot be converted: see --session")
        self.cookies.append(value.strip("; "))

    def result(self) -> list[str]:
        """Return our arguments."""
        if len(self.urls) != 1:
            raise ValueError("the curl command must have one URL" + (f", got {len(self.urls)}" if self.urls else ""))
        url = self.urls[0]
        out = [*self.out]
        given = {name.lower() for name, _ in self.headers} | {name.lower() for name in self.absent}
        if self.cookies:
            self.headers.append(("Cookie", "; ".join(self.cookies)))
        if self.is_json and "accept" not in given:
            self.headers.append(("Accept", "application/json"))
        body = b"&".join(self.data)
        if self.as_query:
            url = f"{url}{'&' if '?' in url else '?'}{body.decode('utf-8', 'surrogateescape')}" if body else url
        elif self.data:
            out += ["-c", body.decode("utf-8", "surrogateescape")]
            if self.kind and "content-type" not in given:
                self.headers.append(("Content-Type", self.kind))
        for name, value in self.headers:
            out += ["-h", name, value]
        if self.user is not None:
            name, _, password = self.user.partition(":")
            out += ["--auth", name, password if ":" in self.user else "-", *(["--digest"] if self.digest else [])]
        if self.form:
            out += ["--multipart"]
        if self.method:
            out += ["-m", self.method]
        items = [*self.form, *(f"{_escaped(name)}:" for name in self.absent)]
        # curl uses http for a URL without a scheme.
        return [*out, url if "://" in url else f"http://{url}", *items]


def _escaped(name: str) -> str:
    return re.sub(r"([=:@;\\])", r"\\\1", name)


def _file(path: str) -> bytes:
    if path == "-":
        raise ValueError("a body from standard input, @-, cannot be converted: add the item @- to the command")
    with open(os.path.expanduser(path), "rb") as file:
        return file.read()


Take = Callable[[_Reader, str], None]


def _passes(*ours: str) -> Take:
    """Return a function that passes the value to an option of ours."""
    return lambda reader, value: reader.out.extend([*ours, value])


def _sets(name: str, constant: Any = None) -> Take:
    return lambda reader, value: setattr(reader, name, value if constant is None else constant)


def _cert(reader: _Reader, value: str) -> None:
    # After a colon comes the key's password; after a single letter it belongs to a Windows drive.
    path = re.match(r"(?:[A-Za-z]:[\\/])?[^:]*", value)
    reader.out += ["--cert", value if path is None else path[0]]


# Options with a value -> the function for it. Short ones may have it without a space.
_WITH_VALUE: dict[str, Take] = {
    "-X": _sets("method"),
    "-H": _Reader.header,
    "-d": _Reader.body,
    "--data-raw": lambda reader, value: reader.body(value, at_means_file=False),
    "--data-binary": lambda reader, value: reader.body(value, strips=False),
    "--data-urlencode": _Reader.urlencoded,
    "--json": _Reader.json,
    "-F": _Reader.multipart,
    "--form-string": lambda reader, value: reader.multipart(value, literal=True),
    "-u": _sets("user"),
    "--oauth2-bearer": _passes("--bearer"),
    "-b": _Reader.cookie,
    "-A": lambda reader, value: reader.headers.append(("User-Agent", value)),
    "-e": lambda reader, value: reader.headers.append(("Referer", value)),
    "-r": lambda reader, value: reader.headers.append(("Range", f"bytes={value}")),
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

# Options without a value -> their function; None if we do it anyway or it only concerns curl's output.
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
    **dict.fromkeys(("-s", "-S", "-i", "-f", "-g", "-J", "-#", "--basic", "--compressed", "--fail-with-body")),
    **dict.fromkeys(("--no-progress-meter", "--tlsv1.2", "--http0.9", "--no-keepalive", "--tcp-nodelay")),
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
    "--range": "-r",
    "--remote-header-name": "-J",
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
    Return our arguments for a curl command.

    Args:
        text: as typed or copied from a browser: quotes, `$'...'` and backslashes at the ends of lines included.

    Raises:
        ValueError: a quote is open, an option is unknown or lacks its value, or there is not exactly one URL.
        OSError: a file for the body cannot be read.
    """
    words = _words(text)
    if words and words[0] in ("$", "%", ">"):  # a shell prompt, copied with the command
        del words[0]
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
        raise ValueError(f"curl's option {name} cannot be converted")


def _cluster(reader: _Reader, word: str, words: list[str]) -> None:
    """Read short options in one word: `-sSL`, `-XPOST`, `-sXPOST`."""
    rest = word[1:]
    while rest:
        name, rest = "-" + rest[0], rest[1:]
        if name in _WITH_VALUE and rest:
            words.insert(0, rest)
            rest = ""
        _option(reader, name, words)
