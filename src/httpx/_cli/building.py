"""
Build the request: method, URL, header fields and body, from the options and the words after `httpx`.

    plan(options)      Plan(method="POST", url="http://localhost:8000/", body={"json": {"a": 1}}, ...)

    sorted_words(...)  method, URLs and items, for a command with several URLs

Nothing is sent here; only files of the body and standard input are opened.
Not here: how words become items (`items`), which URLs there are (`addresses`), and the client (`clients`).
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
import threading
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, NamedTuple, Union

import click

import httpx

from .._utils import lazy_pattern
from .items import Items, parse

if TYPE_CHECKING:
    from .config import Config

_LETTERS = lazy_pattern(r"[A-Za-z]+")
_METHODS = frozenset(
    [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "QUERY",
        "PROPFIND",
        "REPORT",
        "SEARCH",
        "PURGE",
    ]
)
# Written before the URL, these methods take their body from standard input if it is not given otherwise.
_METHODS_WITH_BODY = frozenset(["POST", "PUT", "PATCH", "QUERY"])
_SCHEME = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WEBSOCKET = lazy_pattern(r"wss?://", re.I)
# Schemes that people try -> what to do instead.
_OTHER_SCHEMES = {
    "file": "the URL must be http or https; to send a file, add the item @PATH",
    "ftp": "the URL must be http or https",
}
# Without brackets it could be an address or an address with a port.
_BARE_IPV6 = lazy_pattern(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,5}){2,}(?:[/?#]|$)")
_LOCAL = lazy_pattern(r"(?:(?:[A-Za-z0-9_-]+\.)*localhost\.?|127(?:\.\d{1,3}){3}|\[::1\])(?:[:/?#]|$)", re.I)
# A word is an item, and not the URL after a method, if it has a separator before any part of a URL.
_ITEM = lazy_pattern(r"[^/=@:;]*(?:==|:=|=|@|:(?![/\d])|;$)")

# A header whose value begins with a digit: no host name has a capital letter or a hyphen before the colon by habit.
_HEADER = lazy_pattern(r"[A-Z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*:[^/]")
# Options whose values are secret, or are URLs or hosts of other things.
_NO_URL = frozenset(["auth", "user", "bearer", "cookies", "proxy", "resolve", "timeout", "max_time"])
# A word after the first URL that is another one: with a scheme, a port alone, or a host that could not be a header's
# name. `id:7` is a header, and `a/b=1` a field, as they were when there was one URL only.
_CERTAIN_URL = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.-]*://|//|:\d|:/|:\[\d|\[[\w.]*:[\w:.]*\](?:[:/?#]|$)")
_HOST_FIRST = lazy_pattern(
    r"(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|(?:[^\s/?#=@:;.]+\.)+(?:[^\W\d_]|[\[{])[^\s/?#=@:;.]*\.?)"
    r"(?::[\d\[{][^/?#]*)?(?:[/?#]|$)",
    re.I,
)
# What an option may have taken for its value although it is the URL.
_LIKE_URL = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.-]*://|:\d|:/|localhost\b|(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?:[:/?]|$)")

# Seconds for the first byte of standard input. It is not a terminal, so the byte comes at once or never.
PATIENCE = 5.0
# Bytes. Larger bodies are read while they are sent, and neither shown nor parsed.
MAX_IN_MEMORY = 4 * 1024 * 1024

Content = Union[bytes, BinaryIO, Iterator[bytes]]
Settings = Callable[["dict[str, Any]"], "Config | None"]


class Plan(NamedTuple):
    """
    The parts of a request.

    Attributes:
        method, url, params, headers, cookies: as for `Client.build_request`.
        absent: names of header fields that the request must not have.
        body: more arguments of `Client.build_request`.
        may_miss_input: whether a user of other clients may expect standard input to be the body.
        config: the settings of the host if they have credentials.
    """

    method: str
    url: str
    params: list[tuple[str, Any]]
    headers: list[tuple[str, str]]
    absent: list[str]
    cookies: dict[str, str]
    body: dict[str, Any]
    may_miss_input: bool = False
    config: Config | None = None

    def close(self) -> None:
        """Close the files of the body."""
        content = self.body.get("content")
        if isinstance(content, io.BufferedIOBase) and content is not getattr(sys.stdin, "buffer", None):
            content.close()
        for _, entry in self.body.get("files", ()):
            if entry[0] is not None:
                entry[1].close()


class Input:
    """Standard input as the body of one request, which reads it once."""

    def piped(self) -> Content | None:
        """Return what is piped or redirected; see `from_stdin`."""
        return from_stdin()

    def awaited(self) -> Content:
        """Return what comes, however late that is."""
        return _stdin_that_is_awaited()


def plan(options: dict[str, Any], source: Input | None = None, settings: Settings | None = None) -> Plan:
    """
    Return the request that the options describe.

    Args:
        source: of a body from standard input.
        settings: returns the settings of the configuration file for options; by default `configured`.

    Raises:
        click.UsageError: they contradict each other, a file cannot be read, or standard input sends nothing.
    """
    try:
        return _planned(options, source or Input(), settings or configured)
    except OSError as exc:  # a file of an item
        raise click.UsageError(str(exc)) from None


def _planned(options: dict[str, Any], source: Input, settings: Settings) -> Plan:
    given = options["words"]
    is_missing = not given or (len(given) == 1 and is_method(given[0]))
    before, url, words = method_and_url(given, options["method"], _misplaced(options) if is_missing else "")
    url = address(url, in_process=is_in_process(options))
    if not options["ws"]:
        refuse_websocket(url)
    items = _items(words)
    body, content_type = _body(options, items, source)
    config = settings(options)
    if not body and before in _METHODS_WITH_BODY and not options["ignore_stdin"]:
        content = source.piped()
        if content:
            body, content_type = _body_of(content)
    lines = _items([_header_item(line) for line in options["header_lines"]])
    headers = [*items.headers, *options["headers"], *lines.headers]
    absent = [*items.absent, *lines.absent]
    given = {name.lower() for name in (*(name for name, _ in headers), *absent)}
    headers += [] if config is None else [pair for pair in config.headers if pair[0].lower() not in given]
    if content_type and "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(("Content-Type", content_type))
    return Plan(
        before or options["method"] or ("POST" if body else "GET"),
        url,
        [*items.params, *options["params"]],
        headers,
        absent,
        dict(options["cookies"]),
        body,
        not body and before is None and options["method"] is None and not options["ignore_stdin"],
        None if config is None or config.auth is None else config,
    )


def is_method(word: str) -> bool:
    """Return whether a word is a known method in capitals, and not a host."""
    return word in _METHODS


def is_item(word: str) -> bool:
    """Return whether a word can only be an item, or looks like one and not like a URL."""
    if "?" in re.split("[=:@]", word, maxsplit=1)[0]:  # `localhost?q=1`
        return False
    return bool(_ITEM.match(word)) or bool(_HEADER.match(word))


def configured(options: dict[str, Any]) -> Config | None:
    """Return the settings of the configuration file for the host of the URL; None without one, or with --no-config."""
    if options["no_config"]:
        return None
    from .config import load

    words = options["words"]
    try:
        _, url, _ = method_and_url(opening_words(words) if is_websocket(options) else words, None)
        host = httpx.URL(address(url, in_process=is_in_process(options))).netloc.decode("ascii")
    except (click.UsageError, httpx.InvalidURL):  # the request itself will say so
        host = None
    return load(host)


def is_in_process(options: dict[str, Any]) -> bool:
    """Return whether requests stay on this machine, so that a URL may be a path alone."""
    return bool(options["app"] or options["unix_socket"])


def is_for_many(options: dict[str, Any]) -> bool:
    """Return whether the options ask for more than one URL: several words, a file of URLs, or a pattern."""
    if options["urls"] is not None:
        return True
    try:
        _, urls, _ = sorted_words(options["words"], None)
    except click.UsageError:  # the request itself will say so
        return False
    if len(urls) == 1 and (options["globoff"] or not re.search(r"[\[{].*[\]}]", urls[0])):
        return False
    if len(urls) > 1:
        return True
    from .patterns import parse

    try:
        return bool(parse(urls[0]).choices)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def is_websocket(options: dict[str, Any]) -> bool:
    """Return whether a WebSocket is to be opened: --ws, "ws" as the first word, or the scheme of the URL."""
    words = options["words"]
    return bool(options["ws"]) or words[:1] == ("ws",) or any(map(_WEBSOCKET.match, words[:2]))


def refuse_websocket(url: str) -> None:
    """Raise UsageError for a URL of a WebSocket among several URLs, or in a file of requests."""
    if _WEBSOCKET.match(url):
        raise click.UsageError("a WebSocket is opened alone: httpx ws URL")


def opening_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of the request that opens a WebSocket."""
    return words[1:] if words[:1] == ("ws",) else words


def method_and_url(words: tuple[str, ...], given: str | None, hint: str = "") -> tuple[str | None, str, list[str]]:
    """
    Return the method before the URL in capitals or None, the only URL, and the items after it.

    Args:
        hint: where the URL may be, for the message if it is missing.

    Raises:
        click.UsageError: there is no URL, or more than one.
    """
    method, urls, items = sorted_words(words, given, hint)
    if len(urls) > 1:
        raise click.UsageError(f"too many arguments: {urls[1]!r} is a second URL")
    return method, urls[0], items


def sorted_words(
    words: tuple[str, ...], given: str | None, hint: str = "", may_lack_url: bool = False
) -> tuple[str | None, list[str], list[str]]:
    """
    Return the method before the URLs in capitals or None, the URLs, and the items, which may be between the URLs.

    The first word is a method if it has only letters and a URL follows; `localhost a=b` is without a method.

    Args:
        given: the method of the options.
        hint: where the URL may be, for the message if it is missing.
        may_lack_url: the URLs are elsewhere: the first word may be an item.

    Raises:
        click.UsageError: there is no URL, or two methods.
    """
    rest = list(words)
    method = None
    if may_lack_url:
        is_first_method = bool(rest) and is_method(rest[0].upper())
    else:
        if not rest or (len(rest) == 1 and is_method(rest[0])):
            raise click.UsageError("the URL is missing" + hint)
        is_first_method = len(rest) > 1 and _is_method_before(rest[0], rest[1])
    if is_first_method:
        method = rest.pop(0).upper()
        if given:
            raise click.UsageError("the method is given twice, before the URL and with --method")
    urls = [] if may_lack_url else [rest.pop(0)]
    items: list[str] = []
    for word in rest:
        (urls if is_other_url(word) else items).append(word)
    if len(urls) > 1 and is_method(urls[0]):
        raise click.UsageError(f"the URL is missing: {urls[0]!r} is a method")
    return method, urls, items


def _is_method_before(word: str, following: str) -> bool:
    if not _LETTERS.fullmatch(word) or word.lower() == "localhost":
        return False
    return is_method(word.upper()) or not _ITEM.match(following)


def is_other_url(word: str) -> bool:
    """
    Return whether a word after the first URL is another one.

    It has a scheme, a dot in its host, or is on this machine: `x-id:7` and `a/b=1` are items.
    """
    if _CERTAIN_URL.match(word):
        return True
    return not is_item(word) and _HOST_FIRST.match(word) is not None


def address(url: str, in_process: bool = False) -> str:
    """Return a URL with a scheme: https except for this machine, because a guess must not reveal secrets."""
    if _SCHEME.match(url):
        scheme = url.partition(":")[0].lower()
        if scheme in _OTHER_SCHEMES:
            raise click.UsageError(f"{scheme}:// is not supported: {_OTHER_SCHEMES[scheme]}")
        return url
    if _BARE_IPV6.match(url):
        raise click.UsageError("an IPv6 address in a URL must be in brackets, such as [::1]:8000")
    if url.startswith(":"):
        return "http://localhost" + (url if url[1:2].isdigit() else url[1:])
    if in_process:  # no network, no name to look up
        return "http://localhost" + url if url.startswith("/") else f"http://{url}"
    url = url[2:] if url.startswith("//") else url
    return ("http://" if _LOCAL.match(url) else "https://") + url


def has_unread_input() -> bool:
    """
    Return whether standard input is a pipe with unread bytes, or a file from its beginning.

    In `while read url; do httpx $url; done < urls` it is a file that is read already. On Windows always False,
    because it cannot be known.
    """
    try:
        descriptor = sys.stdin.fileno()
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return status.st_size > 0 and os.lseek(descriptor, 0, os.SEEK_CUR) == 0
        if not stat.S_ISFIFO(status.st_mode):
            return False
        return _waiting(descriptor) > 0
    except (AttributeError, OSError, ValueError):
        return False


def _waiting(descriptor: int) -> int:
    """Return the number of bytes in a pipe. `select` was rejected: the end of the input looks like input to it."""
    if sys.platform == "win32":
        return 0
    import fcntl
    import struct
    import termios

    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0])


def from_stdin(patience: float = PATIENCE) -> Content | None:
    """
    Return standard input if it is piped or redirected; None if it is a terminal, closed or an empty file.

    More than `MAX_IN_MEMORY` bytes are a file that can be read again, or an iterator over the pieces.

    Args:
        patience: seconds for the first byte.

    Raises:
        click.UsageError: it sends nothing and is not closed. An empty body would then depend on timing.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return None
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return _in_memory_if_small(sys.stdin.buffer) or None
    pieces: list[bytes] = []

    def first() -> None:
        # Not through `sys.stdin`: the interpreter cannot end while a thread holds the lock of its buffer.
        try:
            pieces.append(os.read(descriptor, 65536))
        except OSError:
            pieces.append(b"")

    try:
        reader = threading.Thread(target=first, daemon=True)
        reader.start()
    except RuntimeError:  # a subinterpreter without daemons, or too many threads: wait without a limit
        first()
    else:
        reader.join(patience)
    if not pieces:
        raise click.UsageError(
            f"standard input is open, but nothing came from it in {patience:g} s: "
            "'@-' waits for it, and --ignore-stdin sends no body"
        )
    return _in_memory_if_short(pieces[0], lambda: os.read(descriptor, 1 << 20))


def _in_memory_if_small(file: BinaryIO) -> bytes | BinaryIO:
    """Return the rest of a file that can seek, or the file if it has more than `MAX_IN_MEMORY` bytes."""
    position = file.tell()
    content = file.read(MAX_IN_MEMORY + 1)
    if len(content) <= MAX_IN_MEMORY:
        return content
    file.seek(position)
    return file


def _in_memory_if_short(first: bytes, read: Callable[[], bytes]) -> bytes | Iterator[bytes]:
    """Return all that can be read, or an iterator over its pieces if it is more than `MAX_IN_MEMORY` bytes."""
    pieces = [first]
    size = len(first)
    while pieces[-1]:
        if size > MAX_IN_MEMORY:
            return chain(pieces, iter(read, b""))
        pieces.append(read())
        size += len(pieces[-1])
    return b"".join(pieces)


def _misplaced(options: dict[str, Any]) -> str:
    """Return which option took a value that looks like the URL; "" if none did, or if the value may be secret."""
    from .options import OPTIONS

    for option in OPTIONS:
        value = options.get(option.dest)
        if option.is_flag or not value or option.dest in _NO_URL:
            continue
        texts = [value] if isinstance(value, str) else value if option.multiple else ()
        for text in texts:
            last = text if isinstance(text, str) else text[-1]
            if isinstance(last, str) and _LIKE_URL.match(last):
                return f": {option.names[-1]} took {last[:60]!r} as its value"
    return ""


def _header_item(line: str) -> str:
    """Return a line such as 'Name: value' as an item; the name has no characters with a meaning in items."""
    name, colon, value = line.partition(":")
    if not colon and not line.endswith(";"):
        raise click.UsageError("--header must be 'Name: value', 'Name:' or 'Name;'")
    return f"{name.strip()}:{_plain(value.strip())}" if colon else line


def _plain(value: str) -> str:
    """Return the value of an item that is not the name of a file, although it may begin with "@" or "="."""
    return f"\\{value}" if re.match(r"\\*[@=]", value) else value


def _items(words: list[str]) -> Items:
    try:
        return parse(words)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def _body(options: dict[str, Any], items: Items, source: Input) -> tuple[dict[str, Any], str | None]:
    """Return the arguments of the body, and its Content-Type if the library does not set it."""
    bodies: list[tuple[dict[str, Any], str | None]] = []
    as_form = options["form"] or options["multipart"] or bool(items.files or options["data"] or options["files"])
    form = _form(options, items if as_form else None)
    if form:
        bodies.append((form, None))
    if items.values and not as_form:
        bodies.append(_json(_nested(items)))
    if options["content"] is not None:
        bodies.append(({"content": options["content"].encode("utf-8", "surrogateescape")}, None))
    if options["raw"] is not None:
        raw = options["raw"].encode("utf-8", "surrogateescape")
        bodies.append(({"content": raw}, _type_of(raw)))
    if items.content is not None:
        bodies.append(_from_file(items.content, source))
    if options["json"] is not None:
        bodies.append(_json(*options["json"]))
    if len(bodies) > 1:
        raise click.UsageError("more than one body is given")
    return bodies[0] if bodies else ({}, None)


def _nested(items: Items) -> Any:
    from .nested import nested

    try:
        return nested(items.values)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def _from_file(path: str, source: Input) -> tuple[dict[str, Any], str | None]:
    if path == "-":
        return _body_of(source.awaited())
    import mimetypes

    file = open(os.path.expanduser(path), "rb")  # noqa: SIM115  # closed with the plan
    content: Content = file
    try:
        if file.seekable():
            content = _in_memory_if_small(file)
    finally:
        if content is not file:
            file.close()
    return {"content": content}, mimetypes.guess_type(path)[0]


def _stdin_that_is_awaited() -> Content:
    if sys.stdin is None:
        return b""
    stream: Any = sys.stdin.buffer
    if stream.seekable():
        return _in_memory_if_small(stream)
    return _in_memory_if_short(stream.read1(1 << 16), lambda: stream.read1(1 << 20))


def _body_of(content: Content) -> tuple[dict[str, Any], str | None]:
    """Return the argument of a body, and its type. What is too large to be parsed is judged by its first character."""
    if isinstance(content, bytes):
        return {"content": content}, _type_of(content)
    if isinstance(content, io.BufferedIOBase):
        position = content.tell()
        first = content.read(1 << 10)
        content.seek(position)
        return {"content": content}, _guessed(first)
    first = next(content, b"")
    return {"content": chain([first], content)}, _guessed(first)


def _guessed(first: bytes) -> str | None:
    return "application/json" if first.lstrip()[:1] in (b"{", b"[") else None


def _json(value: Any) -> tuple[dict[str, Any], str | None]:
    # For the library, `json=None` means no body.
    return ({"content": b"null"}, "application/json") if value is None else ({"json": value}, None)


def _form(options: dict[str, Any], items: Items | None) -> dict[str, Any]:
    form: dict[str, Any] = {}
    fields = [*(items.fields if items else ()), *options["data"]]
    files = [*(items.files if items else ())]
    # The name of standard input may be a number.
    files += [(name, (os.path.basename(str(file.name)), file)) for name, file in options["files"]]
    if fields and options["multipart"]:
        files[:0] = [(name, (None, value)) for name, value in fields]
    elif fields:
        form["data"] = fields
    if files:
        form["files"] = files
    return form


def _type_of(content: bytes) -> str | None:
    """Return the type of a body without a given one: JSON if it is a JSON object or list."""
    if _guessed(content) is None:
        return None
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return None
    return "application/json"
