"""
64 KB of hostile text for every reader of a peer's text that is in values, policy and the command line.

Each reader is held to linear time (64 KB may take eight times what 16 KB take, and not sixteen) and to memory in
proportion to its text. `test_every_header_that_is_read_has_a_reader_here` finds the headers in the source.

Not here: the readers of bytes off the wire (`_protocol`), which have budgets of their own.
"""

from __future__ import annotations

import ast
import contextlib
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx import _redaction as redaction
from httpx import _secrets, _subscription, _transfer, _upload
from httpx._auth.challenges import parse_challenges
from httpx._cli import event_stream, exchange_json, screen, write_out
from httpx._cookies.rules import parse as parse_cookie
from httpx._cookies.suffixes import is_public_suffix
from httpx._decoders import get_decoder
from httpx._fields import parse_date
from httpx._filenames import fit_name, server_name
from httpx._middleware import rate_fields
from httpx._retry_after import retry_after
from httpx._structured import parse_dictionary, parse_item, parse_list
from httpx._text import LineDecoder, TextDecoder
from httpx._transfer import dictionary
from support.drivers import Driver
from support.servers import ScriptedServer, answer, repeat

SMALL, LARGE = 16_384, 65_536
QUICK = 0.05  # seconds of CPU that are not worth a comparison: what is quadratic and this quick does no harm
MOST = 150  # bytes of memory for each byte of text: lists of short strings

SOURCE = Path(httpx.__file__).parent
URL = "http://www.example.org/path"
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"

# What is repeated. Each makes some grammar begin again and again, or look for an end that never comes.
UNITS = (
    *("a", " ", "\t", ",", ";", "=", '"', "'", "\\", "<", ">", "(", "%", "@", "/", ":", ".", "-", "0", "9"),
    *("[", "{", "é", "\xff"),
    *("a,", "a, ", ";a", ";a=", ";a=b", ';a="', '"\\', '<>"', '<>\\"', "<a>;rel=a,"),
    *("<a>;", "a b ", "a=", 'a="', ' a="\\'),
    *("Digest ", 'Digest a="', "Digest a=b,", "Basic a", "charset=", ";charset="),
    *(';charset="', ";  charset  ", "; charset=''"),
    *("gzip,", "br ,", "filename=", ';filename="', "filename*=", "UTF-8''%"),
    *("%41", "%e9", "//", "../", "/./", "a.", "xn--"),
    *("Mon, ", "01 Jan ", "1:", "00:00:00 ", "2020", "-1", "1e9", "a@"),
    *("http://", "http:", "?a=", "&token=", "#", "\x1b[", "\u2028"),
    *("(a) ", "a, (", ":a", '%"', "%c3", "@1, ", "?1;"),
)  # fmt: skip
BREAKS = (
    "\n",
    "\r",
    "\r\n",
    "a\n",
    "a\r",
    "data:\n",
    "data: a\n",
    "\n\n",
    ":\n",
    "id: a\r",
    "retry: 1\n",
    "[",
    '{"a":',
    '"\\u',
    "1",
)


def response(field: str, text: bytes, status: int = 200, **more: Any) -> httpx.Response:
    request = httpx.Request("GET", URL)
    raw = [(b"Date", b"Mon, 01 Jan 2024 00:00:00 GMT"), (field.encode(), text)]
    return httpx.Response(status, headers=raw, request=request, **more)


def in_header(field: str, *reads: Callable[[httpx.Response], Any], status: int = 200) -> Callable[[bytes], None]:
    def read(text: bytes) -> None:
        for one in reads:
            one(response(field, text, status))

    return read


def in_body(*reads: Callable[[httpx.Response], Any], **headers: str) -> Callable[[bytes], None]:
    def read(text: bytes) -> None:
        for one in reads:
            made = httpx.Response(200, headers={name.replace("_", "-"): value for name, value in headers.items()})
            made._content = text
            one(made)

    return read


def tolerant(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a reader refuses is refused; it must be quick about it."""

    def read(*args: Any) -> Any:
        with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError):
            return function(*args)

    return read


def digest(answered: httpx.Response) -> None:
    flow = httpx.DigestAuth("ann", "pw").sync_auth_flow(httpx.Request("GET", URL))
    next(flow)
    with contextlib.suppress(StopIteration, httpx.ProtocolError):
        flow.send(answered)


def digest_info(answered: httpx.Response) -> None:
    auth = httpx.DigestAuth("ann", "pw")
    flow = auth.sync_auth_flow(httpx.Request("GET", URL))
    next(flow)
    flow.send(response("WWW-Authenticate", b'Digest realm="a", nonce="b", qop="auth"', 401))
    with contextlib.suppress(StopIteration):
        flow.send(answered)


def redirect(answered: httpx.Response) -> None:
    httpx.Client()._build_redirect_request(answered.request, answered)


def kind(answered: httpx.Response) -> None:
    with contextlib.suppress(httpx.SSEError):
        _subscription.check_type(answered)


def jar(answered: httpx.Response) -> None:
    cookies = httpx.Cookies()
    cookies.extract_cookies(answered)
    cookies.set_cookie_header(httpx.Request("GET", URL))


def cookie(attribute: bytes, answered: httpx.Response) -> httpx.Response:
    return response("Set-Cookie", b"a=b; " + attribute + answered.headers.raw[1][1])


def query(url: httpx.URL) -> None:
    _ = url.params, repr(url), repr(url.params)


def many_fields(text: bytes) -> None:
    """A field of each few bytes, all of one name."""
    raw = [(b"A", text[at : at + 8]) for at in range(0, len(text), 50)]
    headers = httpx.Headers(raw)
    _ = headers["a"], headers.get_list("a", split_commas=True), dict(headers), headers.encoding, repr(headers)
    _ = list(headers.values()), list(headers.keys()), headers == headers.copy()
    headers["a"] = "b"


def many_names(text: bytes) -> None:
    headers = httpx.Headers([(b"A" + text[at : at + 4], b"b") for at in range(0, len(text), 50)])
    _ = dict(headers), headers.encoding, repr(headers), headers == headers.copy()


def any_header(answered: httpx.Response) -> None:
    headers = answered.headers
    _ = headers["x"], headers.get_list("x", split_commas=True), headers.multi_items(), headers.encoding, repr(headers)


def limits(answered: httpx.Response, *more: tuple[bytes, bytes]) -> None:
    headers = httpx.Headers([*answered.headers.raw, *more])
    rate_fields.read_limits(headers, 0.0)
    retry_after(headers)


def status_error(answered: httpx.Response) -> None:
    with contextlib.suppress(httpx.HTTPStatusError):
        answered.raise_for_status()
    _ = repr(answered), answered.reason_phrase


def reason(text: bytes) -> None:
    request = httpx.Request("GET", URL)
    status_error(httpx.Response(404, extensions={"reason_phrase": text, "http_version": text}, request=request))


def text_in(encoding: str) -> Callable[[bytes], None]:
    def read(text: bytes) -> None:
        decoder = TextDecoder(encoding)
        for at in range(0, len(text), 7):
            decoder.decode(text[at : at + 7])
        decoder.flush()

    return read


def lines(size: int) -> Callable[[bytes], None]:
    def read(text: bytes) -> None:
        whole = text.decode("utf-8", "replace")
        for limit in (None, LARGE):
            decoder = LineDecoder(limit)
            for at in range(0, len(whole), size):
                list(decoder.decode(whole[at : at + size]))
            decoder.flush()

    return read


def events(text: bytes) -> None:
    pieces = [text[at : at + 10] for at in range(0, len(text), 10)]
    list(event_stream.lines(pieces))
    list(event_stream.events(pieces))


class Screen:
    def __init__(self) -> None:
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.written.append(name)


# Header -> a function that gives it to all its readers.
HEADERS: dict[str, Callable[[bytes], Any]] = {
    "link": in_header("Link", lambda r: r.links),
    "content-type": in_header(
        "Content-Type",
        lambda r: (r.charset_encoding, r.encoding, r.text),
        lambda r: server_name(r.headers, URL),
        kind,
        lambda r: exchange_json._body(r),
    ),
    "content-encoding": in_header("Content-Encoding", lambda r: get_decoder(r.headers.get_list("content-encoding"))),
    "set-cookie": in_header("Set-Cookie", lambda r: r.cookies, jar),
    "location": in_header("Location", redirect, status_error, status=302),
    "www-authenticate": in_header("WWW-Authenticate", digest, status=401),
    "authentication-info": in_header("Authentication-Info", digest_info),
    "ratelimit": in_header("RateLimit", limits),
    "ratelimit-policy": in_header("RateLimit-Policy", limits),
    "retry-after": in_header("Retry-After", lambda r: retry_after(r.headers), status=503),
    "date": in_header("Date", lambda r: retry_after(httpx.Headers([*r.headers.items(), ("Retry-After", DATE)]))),
    "content-disposition": in_header("Content-Disposition", lambda r: server_name(r.headers, URL)),
    "content-range": in_header("Content-Range", _transfer._total, status=206),
    "content-length": in_header("Content-Length", lambda r: r.headers["content-length"].isdigit()),
    "etag": in_header("ETag", _transfer.validator_of),
    "last-modified": in_header("Last-Modified", _transfer.validator_of),
    "accept-ranges": in_header("Accept-Ranges", _transfer.validator_of),
    "upload-complete": in_header("Upload-Complete", _upload._complete),
    "upload-limit": in_header("Upload-Limit", lambda r: dictionary(r.headers["upload-limit"])),
    "upload-offset": in_header("Upload-Offset", lambda r: _upload._NUMBER.fullmatch(r.headers["upload-offset"])),
}
READERS: dict[str, Callable[[bytes], Any]] = {
    **HEADERS,
    "any header": in_header("X", any_header),
    "many fields of a name": many_fields,
    "many names": many_names,
    "reason phrase": reason,
    "challenges": lambda text: parse_challenges(text.decode("latin-1")),
    "a cookie": parse_cookie,
    "the domain of a cookie": lambda text: is_public_suffix(text.decode("latin-1")),
    "a date": lambda text: parse_date(text.decode("latin-1")),
    "an expiry": in_header("Set-Cookie", lambda r: jar(cookie(b"Expires=", r))),
    "a path of a cookie": in_header("Set-Cookie", lambda r: jar(cookie(b"Path=/", r))),
    "a URL": lambda text: httpx.URL("http://" + text.decode("latin-1")),
    "a host": lambda text: httpx.URL("http://" + text.decode("latin-1").replace("/", "") + "/"),
    "a path": lambda text: httpx.URL(URL).join("/" + text.decode("latin-1")),
    "a query": lambda text: query(httpx.URL("/?" + text.decode("latin-1"))),
    "text that is not a URL": lambda text: _secrets.hide_in_address("http://[" + text.decode("latin-1")),
    "secret parameters": lambda text: _secrets.hide_parameters(text.decode("latin-1")),
    "names of secrets": lambda text: _secrets.looks_secret(text.decode("latin-1")),
    "the rest of a limit": in_header("X-RateLimit-Remaining", limits),
    "a limit in three fields": in_header("RateLimit-Limit", lambda r: limits(r, (b"RateLimit-Remaining", b"1"))),
    "the end of a limit": in_header("X-RateLimit-Reset", lambda r: limits(r, (b"X-RateLimit-Remaining", b"1"))),
    "an item": lambda text: parse_item(text.decode("latin-1")),
    "a list of items": lambda text: parse_list(text.decode("latin-1")),
    "a dictionary of items": lambda text: parse_dictionary(text.decode("latin-1")),
    "JSON that is masked": lambda text: redaction.body("application/json", text),
    "a form that is masked": lambda text: redaction.body("application/x-www-form-urlencoded", text),
    "parts that are masked": lambda text: redaction.body("multipart/form-data; boundary=-", text),
    "a field that is masked": lambda text: redaction.field("Location", text.decode("latin-1")),
    "JSON": in_body(lambda r: r.json()),
    "JSON that is shown": in_body(lambda r: exchange_json._body(r), Content_Type="application/json"),
    "text as UTF-8": in_body(lambda r: r.text),
    "text that guesses": in_body(lambda r: r.text, Content_Type="text/html; charset=utf-16"),
    "text in pieces": text_in("utf-8"),
    "text in pieces of UTF-16": text_in("utf-16"),
    "text in pieces of UTF-7": text_in("utf-7"),
    "text in pieces of ISO-2022": text_in("iso2022_jp_2"),
    "lines, byte by byte": lines(1),
    "lines, in pieces": lines(1000),
    "lines, at once": lines(LARGE * 4),
    "events": events,
    "a format of figures": lambda text: write_out._grouped([("a", text.decode("latin-1"))] * 9),
    "a name of a file": lambda text: fit_name(text.decode("latin-1")),
}  # fmt: skip


# Readers of bodies, whose grammar is that of lines, text and JSON.
OF_BODIES = ("JSON", "text", "lines", "events")


def units_for(name: str) -> tuple[str, ...]:
    """What a reader is given: what may mean something to it."""
    if "pieces" in name or "byte" in name:
        return (*BREAKS[:5], "a", "\u2028")
    return (*BREAKS, "a", "é", "\xff", "\u2028") if name.startswith(OF_BODIES) else UNITS


def texts(unit: str) -> tuple[bytes, bytes]:
    one = unit.encode("latin-1", "replace") if unit != "\u2028" else unit.encode()
    return (one * SMALL)[:SMALL], (one * LARGE)[:LARGE]


def cpu_of(read: Callable[[bytes], Any], text: bytes) -> float:
    began = time.thread_time()
    read(text)
    return time.thread_time() - began


def is_linear(read: Callable[[bytes], Any], small: bytes, large: bytes) -> bool:
    """Does the larger text take less than eight times the smaller one? Measured again before it is denied."""
    for _ in range(4):
        long = cpu_of(read, large)
        if long < QUICK:
            return True
        short = min(cpu_of(read, small) for _ in range(3))
        if min(long, cpu_of(read, large)) < 8 * short:
            return True
    return False


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_linear_time(name: str):
    """
    Harm: one response with a header of 64 KB kept a core busy for 25 s (Link), or took 1,748 MB (a host's labels).
    """
    read = tolerant(READERS[name])
    read(b"a")  # what is loaded at the first use is not measured
    for unit in units_for(name):
        small, large = texts(unit)
        assert is_linear(read, small, large), f"{unit!r} takes more than linear time"


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_memory_in_proportion_to_its_text(name: str):
    read = tolerant(READERS[name])
    read(b"a")
    tracemalloc.start()
    try:
        for unit in units_for(name)[::4]:  # this is slow, and what is quadratic in memory is so in time
            _, large = texts(unit)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            read(large)
            assert tracemalloc.get_traced_memory()[1] - before < MOST * LARGE, f"{unit!r} takes too much memory"
    finally:
        tracemalloc.stop()


def test_the_measure_finds_what_is_quadratic():
    """The test of the test."""
    quadratic = re.compile(rb"<([^>]*)>")
    assert not is_linear(lambda text: quadratic.findall(text), b"<" * 1500, b"<" * 6000)
    assert is_linear(lambda text: text.count(b"<"), *texts("<"))


def test_a_hostile_response_is_read_by_a_client_in_a_moment(driver: Driver):
    """All of it at once, as a user meets it."""
    size = 15_000
    fields = [
        b"Link: " + b"<" * size,
        b"Set-Cookie: a=b; Expires=" + b"1:" * (size // 2),
        b"Content-Type: text/html" + b';charset="' * (size // 10),
        b"WWW-Authenticate: " + b'Digest a="' * (size // 10),
    ]

    async def scenario(client: Any, url: str) -> None:
        began = time.thread_time()
        result = await client.get(url, auth=httpx.BasicAuth("ann", "pw"))
        _ = result.links, result.cookies, result.text, repr(result.headers), result.encoding
        assert time.thread_time() - began < 1

    with ScriptedServer([repeat(answer(b"{" * 60_000, *fields, status=b"401 No"))]) as server:
        driver.run(scenario, server.url)


@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"a":' * 100_000])
def test_json_that_is_nested_too_deeply_is_a_value_error(text: bytes):
    """Harm: a RecursionError is not what a program expects of a body that is not JSON."""
    with pytest.raises(ValueError, match="nested"):
        httpx.Response(200, content=text).json()


# The list of readers, compared with the source.

# Headers that are looked up and are not a peer's: of requests, which the user makes.
OF_REQUESTS = {
    *("host", "cookie", "authorization", "transfer-encoding", "if-none-match", "if-modified-since", "referer"),
    *("accept-encoding", "expect", "sec-websocket-protocol"),
}
LOOKUPS = {"_get", "_get_all", "_has", "get", "get_list"}


def headers_read_in(tree: ast.AST) -> Iterator[str]:
    """Names of headers that some code looks up: `headers._get(b"x")`, `headers.get("x")`, `headers["x"]`."""
    for node in ast.walk(tree):
        key: ast.expr | None = None
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOOKUPS
            and node.args
        ):
            key, where = node.args[0], node.func.value
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            key, where = node.slice, node.value
        if isinstance(key, ast.Constant) and "headers" in ast.unparse(where):
            name = key.value.decode() if isinstance(key.value, bytes) else key.value
            if isinstance(name, str):
                yield name.lower()


def test_every_header_that_is_read_has_a_reader_here():
    skipped = ("_engine", "_protocol", "echo_server")
    paths = [path for path in SOURCE.rglob("*.py") if not any(part in str(path) for part in skipped)]
    found = {name for path in paths for name in headers_read_in(ast.parse(path.read_text(encoding="utf-8")))}
    assert found - OF_REQUESTS - set(HEADERS) <= set(), "give it to a reader above, or say that it is a request's"
    assert set(HEADERS) - found <= {"authentication-info", "content-length"} | found
    assert screen is not None
