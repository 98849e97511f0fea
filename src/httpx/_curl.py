"""
Requests as command lines of curl, in both directions: `Request.to_curl` and `Request.from_curl`.

    to_curl(request)      curl -H 'Content-Type: application/json' --data-raw '{"a":1}' http://localhost:8000/

The command is for a POSIX shell, and safe to paste: every byte that is not printable is written as `$'\\101'`, which
bash, zsh, ksh and POSIX since 2024 know; a word without such bytes needs no more than an old shell.

Not here: what a command says (`_curl_command`), what is secret (`_redaction`).
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from . import _redaction as redaction
from .__version__ import __version__
from ._curl_command import Command, Part, read
from ._exceptions import DecodingError
from ._request import Request
from ._response import Response
from ._urls import URL

# Bytes of a body that can be an argument: Linux allows 128 KiB for one.
_LONGEST_ARGUMENT = 100_000
# From this size on curl asks for 100 (Continue) first, unless it is told not to.
_EXPECTS_FROM = 1_000_000
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.I)


def to_curl(request: Request, *, mask: bool = True) -> str:
    """
    Return a command that sends the same request: see `Request.to_curl`.

    What it sends differs only where the Content-Length stands, and in spaces around the values of fields.
    """
    if not request.url.host:
        raise ValueError(f"the URL of a curl command must be absolute, got {str(request.url)[:20]!r}")
    content, is_decoded = masked_body(request) if mask else (request.content, False)
    headers = request.headers
    frames = headers._has(b"content-length") or headers._has(b"transfer-encoding")
    body = body_words(content) if content or frames else []
    words: list[str] = ["curl", *_method(request, bool(body))]
    target = request.extensions.get("target")
    if target is not None:
        text = _text(target if isinstance(target, bytes) else target.encode())
        words += ["--request-target", redaction.target(text) if mask else text]
    for name, value in fields_of(request, mask):
        is_left_out = is_decoded and name.lower() == "content-encoding"
        if not is_left_out and not _is_implied(request, name, value, content, bool(body)):
            words += field_words(name, value)
    words += _left_out(request, content, bool(body))
    if headers._has(b"accept-encoding"):
        words.append("--compressed")  # the field above is sent; this is for the response
    if _DOTS.search(request.url.path):
        words.append("--path-as-is")
    return command([*words, *body], address(request.url, mask), content if body[:1] == ["--data-binary"] else None)


def command(words: Sequence[str], url: str, fed: bytes | None = None) -> str:
    """Return a command line; `fed` is what it gets as standard input."""
    globs = ["-g"] if re.search(r"[\[\]{}\\]", url) else []  # curl would read them as ranges
    before = "" if fed is None else f"printf %s {base64.b64encode(fed).decode()} | base64 -d | "
    return before + " ".join(map(quoted, [*words, *globs, url]))


def quoted(word: str) -> str:
    """Return a word for a POSIX shell; surrogates stand for bytes (PEP 383)."""
    if all(char.isprintable() or char == "\n" for char in word):
        return f"'{word}'" if word.startswith("=") and "'" not in word else shlex.quote(word)  # zsh expands =name
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(char: str) -> str:
    # A quote as a number: a shell's history knows nothing of `\'`, and would look for "!" after it.
    if char.isprintable() and char not in "\\'!":
        return char
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


def address(url: URL, mask: bool) -> str:
    """Return a URL as it is requested: in ASCII, and without its fragment."""
    if mask:
        return redaction.address(url.copy_with(fragment=None))
    user = url.userinfo.decode("ascii")
    return f"{url.scheme}://{user}{'@' if user else ''}{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"


def fields_of(request: Request, mask: bool) -> list[tuple[str, str]]:
    """Return the header fields, in text whose surrogates stand for bytes."""
    fields = [(_text(name), _text(value.strip(b" \t"))) for name, value in request.headers.raw]
    return [(name, _masked(request, name, value) if mask else value) for name, value in fields]


def _masked(request: Request, name: str, value: str) -> str:
    """Return the value of a field without what is secret: by its name, or as the client that built the request says."""
    is_private = name.lower().encode("utf-8", "surrogateescape") in request._sensitive
    return redaction.MASK if is_private else redaction.field(name, value)


def field_words(name: str, value: str) -> list[str]:
    """Return the option that sends a field; one without a value is written with ";"."""
    return ["-H", f"{name}: {value}" if value else f"{name};"]


def body_words(content: bytes) -> list[str]:
    """Return the option that sends a body: one that cannot be an argument is read from standard input."""
    text = _text(content)
    if "\0" in text or len(content) > _LONGEST_ARGUMENT or any("\ud800" <= char <= "\udfff" for char in text):
        return ["--data-binary", "@-"]
    return ["--data-raw", text]


def masked_body(request: Request) -> tuple[bytes, bool]:
    """
    Return a body without its secrets, and whether it was decoded for this: then Content-Encoding is not true of it.

    One that cannot be decoded is hidden, because its content is unknown.
    """
    kind, content = request.headers.get("content-type", ""), request.content
    coding = request.headers.get("content-encoding")
    if coding is None:
        return redaction.body(kind, content), False
    try:
        decoded = Response(200, headers={"Content-Encoding": coding}, content=content).content
    except DecodingError:
        return redaction.MASK.encode(), True
    masked = redaction.body(kind, decoded)
    return (content, False) if masked == decoded else (masked, True)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _method(request: Request, has_body: bool) -> list[str]:
    if request.method == "HEAD" and not has_body:
        return ["-I"]  # with -X curl would wait for a body
    return [] if request.method == ("POST" if has_body else "GET") else ["-X", request.method]


def _is_implied(request: Request, name: str, value: str, content: bytes, has_body: bool) -> bool:
    """Return whether curl sends this field by itself."""
    lower = name.lower()
    if lower == "host":
        return value == _text(request.url._host_field[1])
    if lower == "content-length":
        # The length of what was there before it was masked.
        return has_body and value == str(len(request.content)) and not request.headers._has(b"transfer-encoding")
    return False


def _left_out(request: Request, content: bytes, has_body: bool) -> list[str]:
    """Return the options that keep curl from sending fields that the request does not have."""
    names = ["Host", "Accept", "User-Agent"]
    if has_body:
        names.append("Content-Type")
        if len(content) >= _EXPECTS_FROM:
            names.append("Expect")
    return [word for name in names if not request.headers._has(name.lower().encode()) for word in ("-H", f"{name}:")]


# From a command to a request.

# Options that say where the request goes or who sends it, which a request cannot say. What to use instead.
_FOR_A_CLIENT = {
    "-C": "",
    "-E": "`cert=`",
    "-z": "",
    "--abstract-unix-socket": "`transport=httpx.HTTPTransport(uds=...)`",
    "--anyauth": "`auth=`",
    "--aws-sigv4": "`auth=`",
    "--connect-to": "`resolve=`",
    "--crlf": "",
    "--digest": "`auth=httpx.DigestAuth(...)`",
    "--interface": "`transport=httpx.HTTPTransport(local_address=...)`",
    "--negotiate": "`auth=`",
    "--ntlm": "`auth=`",
    "--preproxy": "",
    "--resolve": "`resolve=`",
    "--unix-socket": "`transport=httpx.HTTPTransport(uds=...)`",
}
_PROXIES = {
    "-x": "http",
    "--socks4": "socks4",
    "--socks4a": "socks4a",
    "--socks5": "socks5",
    "--socks5-hostname": "socks5h",
}


def from_curl(text: str, *, files: bool = False) -> Request:
    """Return the request of a command: see `Request.from_curl`."""
    found = read(text, files)
    for name, _ in [*found.others, *([("--digest", "")] if found.digest else [])]:
        if name in _FOR_A_CLIENT:
            instead = _FOR_A_CLIENT[name]
            raise ValueError(
                f"curl's {name} is not a part of a request" + (f": give a client {instead}" if instead else "")
            )
    url = URL(found.url)
    absent = {name.lower() for name in found.absent}
    headers = [*_own_fields(found, url), *found.headers]
    form: Any = [_file_of(found, part) for part in found.parts] or None
    body = found.body
    given = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers]
    if found.kind is not None and body is not None and not found.has_field("content-type"):
        given.append((b"Content-Type", found.kind.encode()))
    request = Request(found.method, url, headers=given, content=body, files=form, extensions=_extensions(found, url))
    if body is None and form is None and not found.has_field("content-length"):
        request.headers.pop("content-length", None)  # curl sends none for a POST without a body
    for name in absent - {name.lower() for name, _ in headers}:
        request.headers.pop(name, None)
    for path in found.cookie_files:
        _add_cookies(found, path, request)
    return request


def _own_fields(found: Command, url: URL) -> list[tuple[str, str]]:
    """Return the fields that curl sends by itself, with our name as the User-Agent."""
    fields = []
    credentials = _credentials(found, url)
    if credentials is not None and not found.has_field("authorization"):
        fields.append(("Authorization", credentials))
    if not found.has_field("user-agent"):
        fields.append(("User-Agent", f"python-httpx/{__version__}"))
    if not found.has_field("accept"):
        fields.append(("Accept", "*/*"))
    if "--compressed" in found.flags and not found.has_field("accept-encoding"):
        from ._decoders import accept_encoding

        fields.append(("Accept-Encoding", accept_encoding()))
    return fields


def _credentials(found: Command, url: URL) -> str | None:
    if found.bearer is not None:
        return f"Bearer {found.bearer}"
    user = found.user
    if user is None and found.netrc is not None:
        user = netrc_user(found, url.host)
    if user is None:
        return None
    if ":" not in user:
        raise ValueError("curl would ask for the password of -u: write `name:password`, or `name:` without one")
    return "Basic " + base64.b64encode(user.encode("utf-8", "surrogateescape")).decode("ascii")


def netrc_user(found: Command, host: str) -> str | None:
    """
    Return "name:password" of a netrc file, or None if it has none for the host.

    Raises:
        ValueError: files may not be read, or it is not a netrc file.
        OSError: it cannot be read.
    """
    import netrc
    import os

    if not found.files:
        raise ValueError("curl's -n reads a netrc file: pass `files=True` if it may be read")
    path = os.path.expanduser(found.netrc or "~/.netrc")
    try:
        entry = netrc.netrc(path).authenticators(host)
    except (netrc.NetrcParseError, UnicodeDecodeError):
        raise ValueError(f"{path!r} is not a netrc file") from None  # the message may quote a password
    return None if entry is None else f"{entry[0]}:{entry[2] or ''}"


def _file_of(found: Command, part: Part) -> tuple[str, tuple[Any, ...]]:
    """Return a part as an element of `files`: a text has no name of a file."""
    from mimetypes import guess_type  # reads the system's tables when first used

    name, kind = part.filename, part.kind
    if part.path is None:
        content = (part.text or "").encode("utf-8", "surrogateescape")
    else:
        content = found.content_of("-F", part.path)
        if part.as_file:
            own = re.split(r"[/\\]", part.path)[-1]
            kind = kind or guess_type(name or "")[0] or guess_type(own)[0]
            name = own if name is None else name
    return part.name, (name, content, kind, dict(part.headers))


def _extensions(found: Command, url: URL) -> dict[str, Any]:
    extensions: dict[str, Any] = {}
    target = found.dotted_target if found.target is None else found.target
    if target is not None:
        extensions["target"] = target.encode("utf-8", "surrogateescape")
    limits = {name: value for name, value in found.others if name in ("-m", "--connect-timeout")}
    if limits:  # curl has no others
        timeout: dict[str, float | None] = dict.fromkeys(("connect", "read", "write", "pool"))
        if "--connect-timeout" in limits:
            timeout["connect"] = _seconds("--connect-timeout", limits["--connect-timeout"])
        if "-m" in limits:
            timeout["total"] = _seconds("-m", limits["-m"])
        extensions["timeout"] = timeout
    given = dict(found.others)
    proxies = [(name, value) for name, value in found.others if name in _PROXIES]
    if "--noproxy" in given and is_excepted(url.host, given["--noproxy"]):
        extensions["proxy"] = None
    elif proxies:
        extensions["proxy"] = _proxy(*proxies[-1], given.get("-U"))
    return extensions


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"curl's {name} must be a number of seconds, got {value[:20]!r}")
    return seconds


def _proxy(name: str, value: str, user: str | None) -> str:
    url = value if "://" in value else f"{_PROXIES[name]}://{value}"
    if user is not None and "@" not in url:
        scheme, _, rest = url.partition("://")
        userinfo = ":".join(quote(unquote_to_bytes(part), safe="") for part in user.split(":", 1))
        url = f"{scheme}://{userinfo}@{rest}"
    return url


def is_excepted(host: str, hosts: str) -> bool:
    """Return whether the value of --noproxy says that a host is asked directly."""
    names = [name.strip().lstrip(".").lower() for name in hosts.split(",")]
    return any(name == "*" or (name and (host == name or host.endswith(f".{name}"))) for name in names)


def _add_cookies(found: Command, path: str, request: Request) -> None:
    """Add the cookies of a file in Netscape's format that are for the request."""
    from http.cookiejar import CookieJar

    from ._cookies import Cookies
    from ._cookies.storage import new_cookie

    jar = CookieJar()
    lines = found.content_of("-b", path).decode("utf-8", "replace").splitlines()
    for line in lines:
        fields = line[len("#HttpOnly_") if line.startswith("#HttpOnly_") else 0 :].split("\t")
        if line.startswith("# ") or len(fields) != 7 or not fields[4].isdigit():
            continue
        domain, with_subdomains, folder, secure, expires, name, value = fields
        domain = f".{domain.lstrip('.')}" if with_subdomains == "TRUE" else domain
        until = int(expires) or None  # 0 is for the session
        jar.set_cookie(
            new_cookie(
                name, value, domain, folder, domain_specified=True, secure=secure == "TRUE", expires=until, rest={}
            )
        )
    if lines and not len(jar):
        raise ValueError(f"{path[:40]!r} has no cookies in Netscape's format")
    Cookies(jar).set_cookie_header(request)
