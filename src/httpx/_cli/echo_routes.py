"""
What the test server responds: a function for each path.

    respond(Received("GET", "/get?a=1", fields))        Reply(b'{"args": {"a": "1"}, ...}', 200, ...)

Routes are plain functions without sockets; `ROUTES` lists them all, and `GET /` prints that list. Paths and JSON keys
follow httpbin's conventions, because people know them.

It uses only the standard library, as `echo_server` does.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import hmac
import json
import random
import re
import secrets
import uuid
import zlib
from collections.abc import Iterable, Iterator
from email.message import Message
from typing import Any, Callable, Optional, Union
from urllib.parse import parse_qsl, quote, unquote

Fields = list[tuple[str, str]]
Pairs = list[tuple[str, str]]

MAX_BYTES = 100 * 1024 * 1024  # bytes of a response that a path may request
MAX_DELAY = 10.0  # seconds
MAX_LINES = 100

REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_BODY = frozenset({204, 304})
ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
READING = ("GET", "HEAD")


class BadRequest(Exception):
    """The request is invalid; becomes a response with status 400, or `status`."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Received:
    """
    A request as the routes see it.

    Attributes:
        method: as it was sent.
        path: percent-decoded, without the query.
        query: pairs in order, decoded.
        fields: header fields in order, names in the case that was sent.
        body: framing removed; `b""` when there was none.
        base: "http://host:port", from the Host field.
        target: as it was sent.
        origin: the client's address.
        pause: waits a number of seconds, or less if the server is closed.
    """

    def __init__(
        self,
        method: str,
        target: str,
        fields: Fields,
        body: bytes = b"",
        *,
        base: str = "http://127.0.0.1",
        origin: str = "127.0.0.1",
        pause: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        # A target is a path with a query, or a whole URL as sent to a proxy (RFC 9112, section 3.2).
        path, _, query = re.sub(r"^https?://[^/?]*", "", target).partition("?")
        self.method = method
        self.target = target
        self.path = unquote(path) or "/"
        self.query: Pairs = parse_qsl(query, keep_blank_values=True)
        self.fields = fields
        self.body = body
        self.base = base
        self.origin = origin
        self.pause = pause

    @property
    def url(self) -> str:
        """Return the URL of the request, made from Host and target."""
        return self.base + self.target if self.target.startswith("/") else self.target

    def field(self, name: str, default: str = "") -> str:
        """Return the value of a header field, several joined with a comma; the name's case does not matter."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        return ", ".join(values) if values else default

    def arg(self, name: str, default: str) -> str:
        """Return the first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def cookies(self) -> dict[str, str]:
        """Return name and value of each cookie that was sent."""
        pairs = (piece.partition("=") for piece in self.field("cookie").replace(",", ";").split(";") if "=" in piece)
        return {name.strip(): value.strip() for name, _, value in pairs}


class Reply:
    """
    A response.

    Args:
        body: bytes go out with a Content-Length, an iterable goes out chunked (or up to the end of the connection, for
            a client of HTTP/1.0), unless `fields` has a Content-Length.
        status: 200 to 599.
        fields: header fields besides those that the server adds (Date, Content-Length, Transfer-Encoding).
    """

    def __init__(
        self, body: Union[bytes, Iterable[bytes]] = b"", status: int = 200, fields: Optional[Fields] = None
    ) -> None:
        self.body = body
        self.status = status
        self.fields: Fields = fields if fields is not None else []


Route = Callable[..., Reply]
ROUTES: list[tuple[re.Pattern[str], str, tuple[str, ...], Route]] = []


def route(template: str, methods: tuple[str, ...] = READING) -> Callable[[Route], Route]:
    """Add a function to the table: `<name>` in the template is one segment, `<*>` the rest of the path."""
    pattern = re.escape(template).replace(re.escape("<*>"), "(.*)")
    pattern = re.sub(r"<\w+>", "([^/]*)", pattern)

    def enter(function: Route) -> Route:
        ROUTES.append((re.compile(pattern), template, methods, function))
        return function

    return enter


def respond(received: Received) -> Reply:
    """
    Return the response to a request; it does not raise for any request.

    404 for a path that is not in the table, 405 with Allow for a method that the path does not allow, 400 with the
    reason for invalid parameters.
    """
    allowed: set[str] = set()
    for pattern, _, methods, function in ROUTES:
        match = pattern.fullmatch(received.path)
        if match is None:
            continue
        if received.method in methods:
            try:
                return checked(function(received, *match.groups()))
            except BadRequest as exc:
                return as_json({"error": str(exc)}, exc.status)
        allowed.update(methods)
    if not allowed:
        return as_json({"error": f"no such path: {received.path!r}"}, 404)
    fields = [("Allow", ", ".join(sorted(allowed | {"OPTIONS"})))]
    if received.method == "OPTIONS":
        return Reply(b"", 200, fields)
    return as_json({"error": f"{received.method} is not allowed here"}, 405, fields)


def checked(reply: Reply) -> Reply:
    """
    Return the same reply, if its header fields are valid.

    All fields are checked here: paths such as /response-headers fill them with text of the client, and a line break
    there would begin a second response.
    """
    for name, value in reply.fields:
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name):
            raise BadRequest(f"not a field name: {name!r}")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value) or not value.isascii():
            raise BadRequest(f"not a field value: {value!r}")
    return reply


def as_json(value: object, status: int = 200, fields: Optional[Fields] = None) -> Reply:
    """Return a JSON response, indented for people."""
    body = json.dumps(value, indent=2).encode() + b"\n"
    return Reply(body, status, [("Content-Type", "application/json"), *(fields or [])])


def number(text: str, most: float, what: str) -> int:
    """Return a text as a whole number from 0 to `most`."""
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) > most:
        raise BadRequest(f"{what} must be a whole number from 0 to {most:g}")
    return int(text)


def seconds(text: str, what: str) -> float:
    """Return a text as seconds from 0 to `MAX_DELAY`; decimals are allowed."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) > MAX_DELAY:
        raise BadRequest(f"{what} must be seconds from 0 to {MAX_DELAY:g}")
    return float(text)


# Requests as JSON.


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, Union[str, list[str]]]:
    """Return pairs as a dictionary; a repeated name has a list."""
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}


def as_text(content: bytes) -> str:
    """Return the content as text if it is UTF-8, else as a data URL."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return "data:application/octet-stream;base64," + base64.b64encode(content).decode("ascii")


def as_typed(value: str) -> str:
    """Return a field's value, which the standard library reads as Latin-1, as UTF-8 if it is that."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


class Part:
    """One part of a multipart body."""

    def __init__(self, head: bytes, content: bytes) -> None:
        fields = Message()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                fields[name.strip()] = value.strip()
        self.name = str(fields.get_param("name", "", "content-disposition"))
        self.filename = fields.get_filename()
        self.content_type = fields.get("content-type", "")
        self.content = content


def parts_of(received: Received) -> list[Part]:
    """Return the parts of a multipart/form-data body, in order (RFC 7578)."""
    content_type = Message()
    content_type["content-type"] = received.field("content-type")
    boundary = content_type.get_param("boundary")
    if content_type.get_content_type() != "multipart/form-data" or not boundary:
        return []
    # The body starts with the delimiter's second half, so a CRLF in front makes all delimiters alike.
    pieces = (b"\r\n" + received.body).split(b"\r\n--" + str(boundary).encode("latin-1", "replace"))
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise BadRequest("the multipart body does not end with its boundary")
    parts = []
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        parts.append(Part(head, content))
    return parts


def shown(received: Received, *keys: str) -> dict[str, Any]:
    """Return facts about a request by key: args, headers, origin, url, method, data, form, files, json."""
    facts: dict[str, Any] = {
        "args": grouped(received.query),
        "headers": {name: received.field(name) for name, _ in received.fields},
        "origin": received.origin,
        "url": received.url,
        "method": received.method,
    }
    if "data" in keys:
        facts.update(shown_body(received))
    return {key: facts[key] for key in keys}


def shown_body(received: Received) -> dict[str, Any]:
    """Return the facts of the body: `form` and `files` of a form; else `data`, and `json` if it can be parsed."""
    facts: dict[str, Any] = {"data": "", "form": {}, "files": {}, "json": None}
    content_type = received.field("content-type").partition(";")[0].strip().lower()
    if content_type == "application/x-www-form-urlencoded":
        facts["form"] = grouped(parse_qsl(received.body.decode("utf-8", "replace"), keep_blank_values=True))
    elif content_type == "multipart/form-data":
        parts = parts_of(received)
        facts["form"] = grouped((part.name, as_text(part.content)) for part in parts if part.filename is None)
        facts["files"] = grouped((part.name, as_text(part.content)) for part in parts if part.filename is not None)
    else:
        facts["data"] = as_text(received.body)
        try:
            facts["json"] = json.loads(received.body)
        except ValueError:  # not JSON, or not even text
            pass
    return facts


BRIEF = ("args", "headers", "origin", "url")
FULL = ("args", "data", "files", "form", "headers", "json", "method", "origin", "url")


# The routes: the request.


@route("/")
def show_routes(received: Received) -> Reply:
    """Return all paths, one on a line."""
    lines = [f"{', '.join(methods):30} {template}" if methods != ANY_METHOD else f"{'any method':30} {template}"
             for _, template, methods, _ in ROUTES]  # fmt: skip
    return Reply(("\n".join(lines) + "\n").encode(), 200, [("Content-Type", "text/plain; charset=utf-8")])


@route("/get")
def show_get(received: Received) -> Reply:
    """Return the request without its body."""
    return as_json(shown(received, *BRIEF))


@route("/post", ("POST",))
@route("/put", ("PUT",))
@route("/patch", ("PATCH",))
@route("/delete", ("DELETE",))
@route("/anything", ANY_METHOD)
@route("/anything/<*>", ANY_METHOD)
def show_all(received: Received, rest: str = "") -> Reply:
    """Return the request with its body."""
    return as_json(shown(received, *FULL))


@route("/headers")
def show_headers(received: Received) -> Reply:
    """Return the header fields; with `?raw=1` as a list of pairs, in order, as received."""
    if received.arg("raw", ""):
        return as_json({"headers": received.fields})
    return as_json(shown(received, "headers"))


@route("/ip")
def show_origin(received: Received) -> Reply:
    """Return the client's address."""
    return as_json(shown(received, "origin"))


@route("/user-agent")
def show_user_agent(received: Received) -> Reply:
    """Return the User-Agent."""
    return as_json({"user-agent": received.field("user-agent")})


@route("/upload", ("POST", "PUT"))
def show_upload(received: Received) -> Reply:
    """Return size and SHA-256 of the body and of each file in it, without the content."""
    files = [
        {
            "name": part.name,
            "filename": part.filename,
            "content_type": part.content_type,
            "size": len(part.content),
            "sha256": hashlib.sha256(part.content).hexdigest(),
        }
        for part in parts_of(received)
    ]
    return as_json(
        {
            "size": len(received.body),
            "sha256": hashlib.sha256(received.body).hexdigest(),
            "content_length": received.field("content-length") or None,
            "chunked": "chunked" in received.field("transfer-encoding").lower(),
            "parts": files,
        }
    )


# The routes: statuses, redirects, fields.


@route("/status/<code>", ANY_METHOD)
def give_status(received: Received, code: str) -> Reply:
    """Return an empty response with this status; 401 has a challenge and redirects have a Location."""
    status = number(code, 599, "a status")
    if status < 200:
        raise BadRequest("a final status must be from 200 to 599")
    fields: Fields = []
    if status in REDIRECTS:
        fields.append(("Location", "/get"))
    elif status == 401:
        fields.append(("WWW-Authenticate", 'Basic realm="echo"'))
    return Reply(b"", status, fields)


@route("/redirect/<count>", ANY_METHOD)
def redirect(received: Received, count: str) -> Reply:
    """Return a redirect to an absolute URL, `count` times (`?status=307` and so on are allowed), then /get."""
    return redirected(received, received.base + next_hop("/redirect", count, received))


@route("/relative-redirect/<count>", ANY_METHOD)
def redirect_relative(received: Received, count: str) -> Reply:
    """Return a redirect to a path, `count` times, then /get."""
    return redirected(received, next_hop("/relative-redirect", count, received))


@route("/redirect-to", ANY_METHOD)
def redirect_to(received: Received) -> Reply:
    """Return a redirect to `?url=`, with `&status=` if given."""
    return redirected(received, quote(received.arg("url", "/get"), safe=":/?#[]@!$&'()*+,;=%~"))


def next_hop(path: str, count: str, received: Received) -> str:
    """Return the path that redirect number `count` leads to."""
    left = number(count, MAX_LINES, "the number of redirects") - 1
    end = "/get" if received.method in READING or status_of(received) in (301, 302, 303) else "/anything"
    query = f"?status={status_of(received)}" if received.arg("status", "") else ""
    return f"{path}/{left}{query}" if left > 0 else end


def status_of(received: Received) -> int:
    """Return the `status` parameter of a path that redirects; 302 by default."""
    status = number(received.arg("status", "302"), 599, "a status")
    if status not in REDIRECTS:
        raise BadRequest("the status of a redirect must be 301, 302, 303, 307 or 308")
    return status


def redirected(received: Received, location: str) -> Reply:
    """Return the redirect."""
    return Reply(b"", status_of(received), [("Location", location)])


@route("/response-headers", ("GET", "HEAD", "POST"))
def give_fields(received: Received) -> Reply:
    """Return a response that has the query's pairs as header fields and in its body."""
    extra = [pair for pair in received.query if pair[0].lower() not in ("content-length", "transfer-encoding")]
    return as_json(grouped(extra), 200, extra)


@route("/cookies")
def show_cookies(received: Received) -> Reply:
    """Return the cookies that were sent."""
    return as_json({"cookies": received.cookies()})


@route("/cookies/set")
def set_cookies(received: Received) -> Reply:
    """Set the query's pairs as cookies and redirect to /cookies."""
    fields = [("Location", "/cookies")]
    fields += [("Set-Cookie", f"{name}={quote(value)}; Path=/") for name, value in received.query]
    return Reply(b"", 302, fields)


@route("/cookies/delete")
def delete_cookies(received: Received) -> Reply:
    """Delete the cookies named in the query and redirect to /cookies."""
    fields = [("Location", "/cookies")]
    fields += [("Set-Cookie", f"{name}=; Path=/; Max-Age=0") for name, _ in received.query]
    return Reply(b"", 302, fields)


# The routes: authentication.


def welcome(user: str) -> Reply:
    """Return the response to the right credentials."""
    return as_json({"authenticated": True, "user": user})


def challenge(value: str) -> Reply:
    """Return the response to missing or wrong credentials."""
    return as_json({"authenticated": False}, 401, [("WWW-Authenticate", value)])


@route("/basic-auth/<user>/<password>")
def basic_auth(received: Received, user: str, password: str) -> Reply:
    """Return 200 for these Basic credentials, else 401 (RFC 7617)."""
    scheme, _, token = received.field("authorization").partition(" ")
    try:
        given = base64.b64decode(token, validate=True)
    except binascii.Error:
        given = b""
    if scheme.lower() == "basic" and hmac.compare_digest(given, f"{user}:{password}".encode()):
        return welcome(user)
    return challenge('Basic realm="echo"')


@route("/bearer")
def bearer(received: Received) -> Reply:
    """Return 200 for any bearer token, and the token; else 401 (RFC 6750)."""
    scheme, _, token = received.field("authorization").partition(" ")
    if scheme.lower() == "bearer" and token:
        return as_json({"authenticated": True, "token": token})
    return challenge('Bearer realm="echo"')


DIGESTS = {"MD5": "md5", "SHA-256": "sha256", "SHA-512": "sha512", "SHA-512-256": "sha512_256"}
NONCE_KEY = secrets.token_bytes(16)


def nonce_for(salt: str) -> str:
    """Return a nonce that the server can recognize as its own without a list of all nonces."""
    return salt + hmac.new(NONCE_KEY, salt.encode("latin-1", "replace"), "sha256").hexdigest()[:16]


def digest_params(text: str) -> dict[str, str]:
    """Return the parameters after `Digest`, names in lower case, quotes removed."""
    found = re.findall(r'([a-zA-Z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', text)
    return {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in found}


@route("/digest-auth/<qop>/<user>/<password>")
@route("/digest-auth/<qop>/<user>/<password>/<algorithm>")
def digest_auth(received: Received, qop: str, user: str, password: str, algorithm: str = "MD5") -> Reply:
    """
    Return 200 for these Digest credentials, else 401 (RFC 7616).

    Args:
        qop: auth, auth-int, or none for the older form without `qop`.
        algorithm: MD5 (default), SHA-256, SHA-512-256 or SHA-512, each also with -sess.
    """
    name = algorithm[: -len("-sess")] if algorithm.endswith("-sess") else algorithm
    if name not in DIGESTS or qop not in ("auth", "auth-int", "none"):
        raise BadRequest("qop must be auth, auth-int or none, the algorithm one of " + ", ".join(DIGESTS))
    scheme, _, rest = received.field("authorization").partition(" ")
    given = digest_params(rest) if scheme.lower() == "digest" else {}
    nonce = given.get("nonce", "")
    if given.get("username") == user and nonce == nonce_for(nonce[:16]) and given.get("uri") == received.target:
        expected = digest_response(received, given, qop, password, algorithm)
        if hmac.compare_digest(given.get("response", "").encode(), expected.encode()):
            return welcome(user)
    value = f'Digest realm="echo", nonce="{nonce_for(secrets.token_hex(8))}", opaque="echo", algorithm={algorithm}'
    return challenge(value if qop == "none" else f'{value}, qop="{qop}"')


def digest_response(received: Received, given: dict[str, str], qop: str, password: str, algorithm: str) -> str:
    """Return the expected `response` parameter (RFC 7616, section 3.4.1)."""

    def digest(*pieces: str) -> str:
        return hashlib.new(DIGESTS[algorithm.replace("-sess", "")], ":".join(pieces).encode()).hexdigest()

    nonce, cnonce, count = given.get("nonce", ""), given.get("cnonce", ""), given.get("nc", "")
    secret = digest(given["username"], "echo", password)
    if algorithm.endswith("-sess"):
        secret = digest(secret, nonce, cnonce)
    action = [received.method, received.target]
    if qop == "auth-int":
        action.append(hashlib.new(DIGESTS[algorithm.replace("-sess", "")], received.body).hexdigest())
    if qop == "none":
        return digest(secret, nonce, digest(*action))
    return digest(secret, nonce, count, cnonce, qop, digest(*action))


# The routes: bodies.


def random_bytes(received: Received, count: str) -> bytes:
    """Return a number of random bytes; the same for the same `?seed=`."""
    size = number(count, MAX_BYTES, "the number of bytes")
    return random.Random(received.arg("seed", "") or None).randbytes(size)


@route("/bytes/<count>")
def give_bytes(received: Received, count: str) -> Reply:
    """Return a number of random bytes with a Content-Length."""
    return Reply(random_bytes(received, count), 200, [("Content-Type", "application/octet-stream")])


@route("/stream-bytes/<count>")
def stream_bytes(received: Received, count: str) -> Reply:
    """Return a number of random bytes, chunked, `?chunk_size=` at a time (10,240 by default)."""
    content = random_bytes(received, count)
    size = max(1, number(received.arg("chunk_size", "10240"), MAX_BYTES, "chunk_size"))
    pieces = (content[start : start + size] for start in range(0, len(content), size))
    return Reply(pieces, 200, [("Content-Type", "application/octet-stream")])


@route("/stream/<count>")
def stream_lines(received: Received, count: str) -> Reply:
    """Return a number of JSON lines, each a chunk."""
    facts = shown(received, *BRIEF)
    lines = (
        json.dumps({"id": index, **facts}).encode() + b"\n" for index in range(number(count, MAX_LINES, "the lines"))
    )
    return Reply(lines, 200, [("Content-Type", "application/x-ndjson")])


@route("/delay/<time>", ANY_METHOD)
def delay(received: Received, time: str) -> Reply:
    """Return the request, after a number of seconds."""
    received.pause(seconds(time, "the delay"))
    return as_json(shown(received, *FULL))


@route("/drip")
def drip(received: Received) -> Reply:
    """Return `?numbytes=` bytes (10) over `?duration=` seconds (2) after `?delay=` (0), with status `?code=` (200)."""
    count = number(received.arg("numbytes", "10"), 10_000, "numbytes")
    pause = seconds(received.arg("duration", "2"), "duration") / max(1, count)
    status = number(received.arg("code", "200"), 599, "code")
    if status < 200 or status in NO_BODY:
        raise BadRequest("code must be a status with a body")
    received.pause(seconds(received.arg("delay", "0"), "delay"))

    def drops() -> Iterator[bytes]:
        for _ in range(count):
            received.pause(pause)
            yield b"*"

    return Reply(drops(), status, [("Content-Type", "application/octet-stream"), ("Content-Length", str(count))])


@route("/events", (*READING, "POST"))
def give_events(received: Received) -> Reply:
    """
    Return `?count=` server-sent events (3), `?interval=` seconds (0) apart, the last one named "end".

    At most `?each=` in one response, which goes on after the Last-Event-ID; 204 when nothing is left.
    """
    count = number(received.arg("count", "3"), MAX_LINES, "count")
    each = number(received.arg("each", str(count)), MAX_LINES, "each")
    interval = seconds(received.arg("interval", "0"), "interval")
    last = received.field("last-event-id")
    first = number(last, MAX_LINES, "Last-Event-ID") + 1 if last else 0
    if last and first >= count:
        return Reply(b"", 204)
    end = min(first + each, count)

    def events() -> Iterator[bytes]:
        for index in range(first, end):
            received.pause(interval if index > first else 0)
            yield b'id: %d\nevent: tick\ndata: {"index": %d}\n\n' % (index, index)
        if end == count:
            yield b"event: end\ndata: \n\n"

    return Reply(events(), 200, [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])


@route("/websocket")
def refuse_plain(received: Received) -> Reply:
    """Open a WebSocket that sends back each message; 426 for a request that does not ask for one."""
    return Reply(b"this path is a WebSocket\n", 426, [("Upgrade", "websocket"), ("Content-Type", "text/plain")])


@route("/gzip")
def give_gzip(received: Received) -> Reply:
    """Return the request as JSON, compressed with gzip."""
    body = json.dumps({"gzipped": True, **shown(received, "headers", "method", "origin")}).encode()
    return Reply(gzip.compress(body), 200, [("Content-Type", "application/json"), ("Content-Encoding", "gzip")])


@route("/deflate")
def give_deflate(received: Received) -> Reply:
    """Return the request as JSON, compressed with deflate: zlib's format, or raw deflate data with `?raw=1`."""
    body = json.dumps({"deflated": True, **shown(received, "headers", "method", "origin")}).encode()
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS if received.arg("raw", "") else zlib.MAX_WBITS)
    content = compressor.compress(body) + compressor.flush()
    return Reply(content, 200, [("Content-Type", "application/json"), ("Content-Encoding", "deflate")])


@route("/encoding/utf8")
def give_utf8(received: Received) -> Reply:
    """Return text in several scripts."""
    # The noqa: the text has letters that look like Latin ones on purpose.
    text = "English: peace\nΕλληνικά: ειρήνη\nРусский: мир\nעברית: שלום\n日本語: 平和\nEmoji: 🕊️\n"  # noqa: RUF001
    return Reply(text.encode(), 200, [("Content-Type", "text/plain; charset=utf-8")])


@route("/html")
def give_html(received: Received) -> Reply:
    """Return a small page."""
    page = "<!DOCTYPE html>\n<html><head><title>Echo</title></head>\n<body><h1>It works</h1></body></html>\n"
    return Reply(page.encode(), 200, [("Content-Type", "text/html; charset=utf-8")])


@route("/json")
def give_json(received: Received) -> Reply:
    """Return a fixed JSON document."""
    return as_json({"title": "Echo", "numbers": [1, 2.5, -3], "nothing": None, "yes": True, "text": "naïve ☕"})


@route("/uuid")
def give_uuid(received: Received) -> Reply:
    """Return a random UUID."""
    return as_json({"uuid": str(uuid.uuid4())})


@route("/etag/<etag>")
def give_etag(received: Received, etag: str) -> Reply:
    """Return the request, with this entity tag: 304 if If-None-Match has it, 412 if If-Match lacks it."""
    tag = f'"{etag}"'
    fields = [("ETag", tag)]
    if received.field("if-none-match") and matches(received.field("if-none-match"), tag):
        return Reply(b"", 304, fields)
    if received.field("if-match") and not matches(received.field("if-match"), tag):
        return Reply(b"", 412, fields)
    return as_json(shown(received, *BRIEF), 200, fields)


def matches(value: str, tag: str) -> bool:
    """Return whether a list of entity tags has this one; `*` has all, and weak tags count."""
    return value.strip() == "*" or tag in (piece.strip().replace("W/", "", 1) for piece in value.split(","))


@route("/range/<count>")
def give_range(received: Received, count: str) -> Reply:
    """
    Return a number of bytes of a repeated alphabet, or one range of them (RFC 9110, section 14).

    With `?breaks=`, the connection breaks before the byte of this number; a range that begins there or later arrives.
    """
    size = number(count, MAX_BYTES, "the number of bytes")
    alphabet = b"abcdefghijklmnopqrstuvwxyz"
    content = (alphabet * (size // 26 + 1))[:size]
    fields = [("Accept-Ranges", "bytes"), ("ETag", f'"range{size}"'), ("Content-Type", "application/octet-stream")]
    # Only the tag, because nothing here has a date (RFC 9110, 13.1.5).
    current = received.field("if-range") in ("", f'"range{size}"')
    match = re.fullmatch(r"bytes=(\d{0,12})-(\d{0,12})", received.field("range") if current else "")
    if match is None or match.group(0) == "bytes=-":  # an invalid Range is ignored
        return broken(Reply(content, 200, fields), received, 0)
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        return Reply(b"", 416, [*fields, ("Content-Range", f"bytes */{size}")])
    reply = Reply(content[start : end + 1], 206, [*fields, ("Content-Range", f"bytes {start}-{end}/{size}")])
    return broken(reply, received, start)


def broken(reply: Reply, received: Received, start: int) -> Reply:
    """Return a response whose body begins at `start`, cut off where `?breaks=` says."""
    at = number(received.arg("breaks", str(MAX_BYTES)), MAX_BYTES, "breaks") - start
    assert isinstance(reply.body, bytes)
    if not 0 < at < len(reply.body):
        return reply
    return Reply([reply.body[:at]], reply.status, [*reply.fields, ("Content-Length", str(len(reply.body)))])
