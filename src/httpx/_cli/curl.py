"""
Convert our command lines to and from those of curl.

    to_curl(request, options=...)         curl -X PUT -k --data-raw '{"a":1}' http://localhost:8000/
    from_curl("curl -H 'X-A: b' ...")     ["-h", "X-A", "b", ...], arguments of ours

The options about the connection are taken along. Those of curl that only concern its output have no meaning here; any
other is an error with its name.

Not here: what a command of curl says (`_curl_command`), how a request is written as one (`_curl`).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from .. import _redaction as redaction
from .._curl import address, body_words, command, field_words, fields_of, is_excepted, masked_body, netrc_user
from .._curl_command import HARMLESS, Command, Part, read
from .._secrets import looks_secret
from .._urls import URL

if TYPE_CHECKING:
    import httpx

# Header fields that curl computes, or that it and we send by default.
_COMPUTED = frozenset(("host", "content-length", "connection", "transfer-encoding", "accept-encoding"))
_PART_NAME = re.compile(rb'; name="([^"%=]+)"(?:; filename="([^"%]+)")?(?:\r\n|$)')


def to_curl(request: httpx.Request, *, mask: bool = True, options: dict[str, Any] | None = None) -> str:
    """
    Return a command for a POSIX shell that sends the same request, but for what each client sends by default.

    Args:
        request: as it would be sent, with its body read.
        mask: replace credentials, cookies and other secrets with "***".
        options: our parsed arguments, for those about the connection.
    """
    options = {} if options is None else options
    words = ["curl", *_method(request), *_connection(options, mask)]
    form = _form(request, options, mask)
    content, is_decoded = masked_body(request) if mask else (request.content, False)
    for name, value in _fields(request, mask):
        if is_decoded and name.lower() == "content-encoding":
            continue
        if form is None or name.lower() != "content-type":  # curl makes its own boundary
            words += field_words(name, value)
    if options:
        # The client sends these by default, so they were removed.
        words += [
            word for name in ("Accept", "User-Agent") if name not in request.headers for word in ("-H", f"{name}:")
        ]
    if form is None and content:
        quiet = [] if "content-type" in request.headers else ["-H", "Content-Type:"]
        form = [*quiet, *body_words(content)]
    words += form or []
    return command(words, address(request.url, mask), content if words[-2:] == ["--data-binary", "@-"] else None)


def _method(request: httpx.Request) -> list[str]:
    if request.method == "HEAD" and not request.content:
        return ["-I"]
    usual = "POST" if request.content else "GET"
    return [] if request.method == usual else ["-X", request.method]


def _fields(request: httpx.Request, mask: bool) -> list[tuple[str, str]]:
    """Return the header fields that curl must be given."""
    host = request.url.netloc.decode("ascii")
    return [
        (name, value)
        for name, value in fields_of(request, mask)
        if not (
            (name.lower() in _COMPUTED and (name.lower() != "host" or value == host))
            or (name.lower() == "accept" and value == "*/*")
            or (name.lower() == "user-agent" and value.startswith("python-httpx/"))
        )
    ]


def _form(request: httpx.Request, options: dict[str, Any], mask: bool) -> list[str] | None:
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
            word = _part(head.decode(), content, paths, mask)
        except UnicodeDecodeError:
            return None
        if word is None:
            return None
        words += word
    return words if end.strip() == b"--" else None


def _part(head: str, content: bytes, paths: dict[tuple[str, str], str], mask: bool) -> list[str] | None:
    match, kind = _PART_NAME.search(head.encode()), re.search(r"^content-type: *(.+?)\r?$", head, re.M | re.I)
    if match is None or head.count("\n") > 2:
        return None
    name = match[1].decode()
    if match[2] is None:
        text = redaction.MASK if mask and looks_secret(name) else content.decode()
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
        words += ["-x", re.sub(r"://[^/@]*@", f"://{redaction.MASK}@", proxy) if mask else proxy]
    if options.get("digest") and options.get("auth"):  # the header is sent only after the server's challenge
        user, password = options["auth"]
        words += ["--digest", "-u", f"{user}:{redaction.MASK if mask else password}"]
    if options.get("retry"):
        words += ["--retry", str(options["retry"])]
    if (options.get("output") or options.get("download")) is not None and not options.get("no_fail"):
        words.append("-f")
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


# From curl's options to ours.

_WITH_VALUE = {
    "-o": "-o",
    "-w": "-w",
    "-x": "--proxy",
    "-m": "--max-time",
    "--connect-timeout": "--timeout",
    "--max-redirs": "--max-redirects",
    "--retry": "--retry",
    "--resolve": "--resolve",
    "--cacert": "--ca",
    "--capath": "--ca",
    "--key": "--cert-key",
    "--unix-socket": "--unix-socket",
}
_FLAGS = {
    "-L": ["--follow-redirects"],
    "--location-trusted": ["--follow-redirects"],  # with less trust: credentials stay at their origin
    "-k": ["--no-verify"],
    "-v": ["-v"],
    "-i": ["-i"],
    "-O": ["--download", "."],
    "-4": ["-4"],
    "-6": ["-6"],
    "-N": ["--stream"],
    "--http1.1": ["--http-version", "1.1"],
    "--http2": ["--http2"],
    "--http2-prior-knowledge": ["--http-version", "2-prior-knowledge"],
}


def from_curl(text: str) -> list[str]:
    """
    Return our arguments for a curl command.

    Args:
        text: as typed or copied from a browser: quotes, `$'...'` and backslashes at the ends of lines included.

    Raises:
        ValueError: a quote is open, an option is unknown or lacks its value, there is not exactly one URL, or curl
            would expand more of it than we do.
        OSError: a file for the body cannot be read.
    """
    from .patterns import without_patterns

    found = read(text, files=True, without_patterns=without_patterns)
    if found.cookie_files:
        raise ValueError("a file of cookies, -b file, cannot be converted: see --session")
    if found.target is not None or found.dotted_target is not None:
        option = "--path-as-is" if found.target is None else "--request-target"
        raise ValueError(f"curl's {option} cannot be converted: the path of a URL has no '.' and '..'")
    url, options = _expanded(found)
    host = URL(url).host
    is_direct = any(is_excepted(host, value) for name, value in found.others if name == "--noproxy")
    out = [
        word
        for name, value in found.others
        if name != "--noproxy" and not (name == "-x" and is_direct)
        for word in _ours(name, value)
    ]
    out += options
    names = {name for name, _ in found.others}
    if names & {"-o", "-O"} and "-f" not in names:
        out.append("--no-fail")  # curl saves the page of an error, too
    if found.bearer is not None:
        out += ["--bearer", found.bearer]
    body = found.body
    if body is not None:
        out += ["-c", body.decode("utf-8", "surrogateescape")]
        if found.kind and not found.has_field("content-type"):
            found.headers.append(("Content-Type", found.kind))
    for name, value in found.headers:
        out += ["-h", name, value]
    out += _auth(found, host)
    if found.parts:
        out += ["--multipart"]
    if found.given_method is not None or found.method in ("HEAD", "PUT"):
        out += ["-m", found.method]
    items = [*map(_item, found.parts), *(f"{_escaped(name)}:" for name in found.absent)]
    return [*out, found.url, *items]


def _expanded(found: Command) -> tuple[str, list[str]]:
    """Return the first of the URLs that the one of a command stands for, and our option if it stands for itself."""
    from .patterns import parse, without_patterns

    pattern = None if "-g" in found.flags else parse(found.urls[0])
    if pattern is None or not pattern.choices:
        return found.url, ["--globoff"] if without_patterns(found.url) != found.url else []
    if re.search(r"[\[{]", "".join(found.queries)):
        raise ValueError("curl finds patterns in the URL only, and what -G or --url-query adds to it would be one")
    pattern = parse(found.url)
    return pattern.url(pattern.values(0)), []


def _ours(name: str, value: str) -> list[str]:
    """Return our arguments for one option of curl."""
    if name in _WITH_VALUE:
        return [_WITH_VALUE[name], value]
    if name in _FLAGS:
        return _FLAGS[name]
    if name == "-E":
        # After a colon comes the key's password; after a single letter it belongs to a Windows drive.
        path = re.match(r"(?:[A-Za-z]:[\\/])?[^:]*", value)
        return ["--cert", value if path is None else path[0]]
    if name not in HARMLESS:
        raise ValueError(f"curl's option {name} cannot be converted")
    return []


def _auth(found: Command, host: str) -> list[str]:
    user = found.user
    if user is None and found.netrc is not None and found.bearer is None:
        user = netrc_user(found, host)
    if user is None:
        return []
    name, colon, password = user.partition(":")
    return ["--auth", name, password if colon else "-", *(["--digest"] if found.digest else [])]


def _item(part: Part) -> str:
    """Return a part of a form as an item of ours."""
    name = _escaped(part.name)
    if part.headers or (not part.as_file and (part.kind is not None or part.filename is not None)):
        raise ValueError(f"-F {part.name[:40]!r}: type, name and fields of a text cannot be converted")
    if part.path is None:
        # A value with "@" is text here, and would name a file in our arguments.
        return f"{name}=" + re.sub(r"^(\\*[=@])", r"\\\1", part.text or "")
    if not part.as_file:
        return f"{name}=@{part.path}"
    kind = "" if part.kind is None else f";type={part.kind}"
    return f"{name}@{part.path}{kind}" + ("" if part.filename is None else f";filename={part.filename}")


def _escaped(name: str) -> str:
    return re.sub(r"([=:@;\\])", r"\\\1", name)
