"""
Write and read HAR 1.2, the format in which browsers save what they sent and received.

    entry_of(sent, ...)          an object for `log.entries`
    log_of(entries, version)     the whole file
    replayed(entry)              method, URL, header fields and body of an entry, to send it again

Values that look secret are "***" unless asked otherwise: of header fields, cookies, parameters, forms and JSON, in
requests and responses; and the same values wherever they are repeated. An entry with masked values can be sent again
without its masked header fields only.

Pure: no files, no clock. Not here: watching a client (`recording`).
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from .. import _redaction as redaction
from .._fields import media_type_of
from .._redaction import MASK
from .._secrets import is_secret_field, looks_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# An address, and not the name that a proxy was given; a zone is not allowed here.
_ADDRESS = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
# Phases of `httpx.Timings` in the order of an exchange, and their names in HAR.
_PHASES = (("queue", "blocked"), ("resolve", "dns"), ("send", "send"), ("wait", "wait"), ("receive", "receive"))
# Characters of a secret that is looked for elsewhere: a shorter one would be found everywhere.
_SHORTEST = 6
# Bytes of a body that is searched for secrets by their names.
_MAX_SEARCHED = 1 << 20
# Of a head: its bytes on the wire are not known, and are others in HTTP/2.
_UNKNOWN = -1
# Fields that the client computes anew, or that belong to the connection (RFC 9110, 7.6.1).
_COMPUTED = frozenset(
    (
        *("host", "content-length", "connection", "transfer-encoding", "accept-encoding", "keep-alive"),
        *("proxy-connection", "te", "trailer", "upgrade", "http2-settings"),
    )
)


class Received(NamedTuple):
    """
    A response.

    Attributes:
        response: whose head is used.
        body: decoded; None if it is not kept.
        size: of the body as received, in bytes.
        comment: why the body is not kept, or "".
    """

    response: httpx.Response
    body: bytes | None
    size: int
    comment: str = ""


class Replayed(NamedTuple):
    """
    A request of an entry.

    Attributes:
        method, url, headers: of the request; `url` has its query.
        body: b"" without one.
        masked: names of the header fields that were left out, because the file has "***" for their values.
    """

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    masked: list[str]


def log_of(entries: Iterable[dict[str, Any]], version: str) -> dict[str, Any]:
    """Return the content of a file, for `json.dumps`."""
    return {"log": {"version": "1.2", "creator": {"name": "httpx", "version": version}, "entries": list(entries)}}


def entry_of(
    request: httpx.Request,
    received: Received | None,
    started: str,
    timings: httpx.Timings | None,
    *,
    error: str = "",
    secrets: bool = False,
) -> dict[str, Any]:
    """
    Return the entry of one request.

    Args:
        request: as it was sent.
        received: None without a response: the status is 0, as browsers write it.
        started: date and time in ISO 8601, with its zone.
        timings: of the response or the failure; None if they are not known.
        error: what failed, for `_error`.
        secrets: keep them.
    """
    phases = timings_of(timings)
    entry: dict[str, Any] = {
        "startedDateTime": started,
        # `ssl` is part of `connect`.
        "time": round(sum(value for name, value in phases.items() if value > 0 and name != "ssl"), 3),
        "request": _request(request, received, secrets),
        "response": _no_response() if received is None else _response(received, secrets),
        "cache": {},
        "timings": phases,
    }
    if timings is not None and isinstance(timings.remote, tuple) and _ADDRESS.fullmatch(timings.remote[0]):
        entry["serverIPAddress"] = timings.remote[0]
    if error:
        entry["_error"] = error
    return entry


def timings_of(timings: httpx.Timings | None) -> dict[str, float]:
    """Return the phases in milliseconds; -1 for what did not happen, and 0 for phases that HAR demands."""
    out = dict.fromkeys(("blocked", "dns", "connect", "ssl"), -1.0)
    out.update(send=0.0, wait=0.0, receive=0.0)
    if timings is None:
        return out
    for phase, name in _PHASES:
        seconds = getattr(timings, phase)
        if seconds is not None:
            out[name] = round(seconds * 1000, 3)
    if timings.connect is not None or timings.tls is not None:
        out["connect"] = round(((timings.connect or 0.0) + (timings.tls or 0.0)) * 1000, 3)
    if timings.tls is not None:
        out["ssl"] = round(timings.tls * 1000, 3)
    return out


def secrets_in(request: httpx.Request, received: Received | None) -> set[str]:
    """
    Return the values that are masked by their names, which may be elsewhere under other names, too.

    A server may repeat the token that it was sent, or return one that a later request has in its URL.
    """
    found = set()
    for headers in (request.headers, httpx.Headers() if received is None else received.response.headers):
        for name, value in headers.multi_items():
            if name in ("cookie", "set-cookie"):
                parts = value.split(";") if name == "cookie" else value.split(";", 1)[:1]
                found |= {part.partition("=")[2].strip() for part in parts}
            elif is_secret_field(name):
                found |= {value, value.partition(" ")[2]}
    found.add(request.url.password)
    found |= {value for name, value in request.url.params.multi_items() if looks_secret(name)}
    bodies = [] if received is None or received.body is None else [(received.response.headers, received.body)]
    try:
        bodies.append((request.headers, request.content))
    except httpx.RequestNotRead:
        pass
    for headers, body in bodies:
        if media_type_of(headers.get("content-type", "")).endswith("json") and len(body) <= _MAX_SEARCHED:
            try:
                found |= set(_secrets_of(json.loads(body)))
            except (ValueError, RecursionError):
                continue
    return {value for value in found if len(value) >= _SHORTEST}


def _secrets_of(value: Any) -> Iterator[str]:
    """Return the texts under names that look secret, of a value of JSON."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            yield from (text for name, text in each.items() if isinstance(text, str) and looks_secret(name))
            left += each.values()
        elif isinstance(each, list):
            left += each


def without(entry: dict[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """Return an entry with "***" for these values, wherever they are in its request and response."""
    # A longer one first: another may be a part of it.
    ordered = sorted(secrets, key=len, reverse=True)

    def hide(value: Any) -> Any:
        if isinstance(value, str):
            for secret in ordered:
                value = value.replace(secret, MASK)
            return value
        if isinstance(value, dict):
            return {name: hide(each) for name, each in value.items()}
        return [hide(each) for each in value] if isinstance(value, list) else value

    return {**entry, "request": hide(entry["request"]), "response": hide(entry["response"])}


def _request(request: httpx.Request, received: Received | None, secrets: bool) -> dict[str, Any]:
    version = "HTTP/1.1" if received is None else received.response.http_version
    out: dict[str, Any] = {
        "method": request.method,
        "url": str(request.url) if secrets else redaction.address(request.url),
        "httpVersion": version,
        "cookies": _sent_cookies(request, secrets),
        "headers": _fields(request.headers, secrets),
        "queryString": _pairs(request.url.query.decode("ascii"), secrets),
        "headersSize": _UNKNOWN,
        "bodySize": 0,
    }
    try:
        content = request.content
    except httpx.RequestNotRead:
        length = request.headers.get("content-length", "")
        out["bodySize"] = int(length) if length.isdigit() else -1
        out["comment"] = "the body was sent from a file or a stream, and is not recorded"
        return out
    if content:
        out["bodySize"] = len(content)
        out["postData"] = _post(content, request.headers.get("content-type", ""), secrets)
    return out


def _post(content: bytes, kind: str, secrets: bool) -> dict[str, Any]:
    """Return the body of a request; `_encoding` is an addition for binary ones."""
    content = content if secrets else redaction.body(kind, content)
    out: dict[str, Any] = {"mimeType": kind, "params": []}
    try:
        out["text"] = content.decode("utf-8")
    except UnicodeDecodeError:
        out.update(text=base64.b64encode(content).decode("ascii"), _encoding="base64")
    else:
        if media_type_of(kind) == "application/x-www-form-urlencoded":
            out["params"] = _pairs(out["text"], secrets)
    return out


def _no_response() -> dict[str, Any]:
    return {
        "status": 0,
        "statusText": "",
        "httpVersion": "",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": "x-unknown"},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
    }


def _response(received: Received, secrets: bool) -> dict[str, Any]:
    response = received.response
    location = response.headers.get("location", "")
    return {
        "status": response.status_code,
        "statusText": response.reason_phrase,
        "httpVersion": response.http_version,
        "cookies": _set_cookies(response, secrets),
        "headers": _fields(response.headers, secrets),
        "content": _content(received, secrets),
        "redirectURL": location if secrets or not location else redaction.field("location", location),
        "headersSize": _UNKNOWN,
        "bodySize": received.size,
    }


def _content(received: Received, secrets: bool) -> dict[str, Any]:
    kind = received.response.headers.get("content-type", "")
    body = received.body
    out: dict[str, Any] = {"size": received.size if body is None else len(body), "mimeType": kind or "x-unknown"}
    if body is None:
        out["comment"] = received.comment
    elif body:
        body = body if secrets else redaction.body(kind, body)
        try:
            out["text"] = body.decode(received.response.charset_encoding or "utf-8")
        except (LookupError, UnicodeDecodeError):
            out.update(text=base64.b64encode(body).decode("ascii"), encoding="base64")
    return out


def _fields(headers: httpx.Headers, secrets: bool) -> list[dict[str, str]]:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.raw]
    return [{"name": name, "value": value if secrets else redaction.field(name, value)} for name, value in pairs]


def _pairs(query: str, secrets: bool) -> list[dict[str, str]]:
    from urllib.parse import unquote_plus

    out = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        hidden = not secrets and looks_secret(name)
        out.append({"name": unquote_plus(name), "value": MASK if hidden else unquote_plus(value)})
    return out


def _sent_cookies(request: httpx.Request, secrets: bool) -> list[dict[str, str]]:
    out = []
    for line in request.headers.get_list("cookie"):
        for part in line.split(";"):
            name, _, value = part.strip().partition("=")
            if name:
                out.append({"name": name, "value": value if secrets else MASK})
    return out


def _set_cookies(response: httpx.Response, secrets: bool) -> list[dict[str, Any]]:
    out = []
    for line in response.headers.get_list("set-cookie"):
        pair, *attributes = (part.strip() for part in line.split(";"))
        name, _, value = pair.partition("=")
        cookie: dict[str, Any] = {"name": name, "value": value if secrets else MASK}
        for attribute in attributes:
            key, _, text = attribute.partition("=")
            if key.lower() in ("path", "domain"):
                cookie[key.lower()] = text
            elif key.lower() in ("httponly", "secure"):
                cookie["httpOnly" if key.lower() == "httponly" else "secure"] = True
        out.append(cookie)
    return out


def entries_of(content: Any) -> list[dict[str, Any]]:
    """
    Return the entries of a file.

    Raises:
        ValueError: it is not a HAR file.
    """
    log = content.get("log") if isinstance(content, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("not a HAR file: 'log.entries' must be a list of objects")
    return entries


def title_of(entry: dict[str, Any]) -> tuple[str, str, int]:
    """
    Return method, URL (without secrets), and status of an entry.

    Raises:
        ValueError: the entry has no request.
    """
    method, url = _method_and_url(entry)
    response = entry.get("response")
    status = response.get("status") if isinstance(response, dict) else 0
    try:
        shown = redaction.address(httpx.URL(url))
    except httpx.InvalidURL:
        shown = MASK
    return method, shown, status if isinstance(status, int) else 0


def replayed(entry: dict[str, Any]) -> Replayed:
    """
    Return what is to be sent again.

    Raises:
        ValueError: the entry is invalid, or its URL or body has masked values.
    """
    method, url = _method_and_url(entry)
    request = entry["request"]
    headers: list[tuple[str, str]] = []
    masked: list[str] = []
    for field in _objects(request, "headers"):
        name, value = str(field.get("name", "")), str(field.get("value", ""))
        if not name or name.startswith(":") or name.lower() in _COMPUTED:
            continue
        if _is_masked(value):
            masked.append(name)
        else:
            headers.append((name, value))
    body, kind = _body(request)
    if kind and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", kind))
    if MASK in url:
        raise ValueError("the URL has masked values (***): record it with --with-secrets, or write the URL")
    if MASK.encode() in body:
        raise ValueError("the body has masked values (***): record it with --with-secrets")
    return Replayed(method, url, headers, body, masked)


def _is_masked(value: str) -> bool:
    return value == MASK or value.endswith(" " + MASK) or f"={MASK}" in value or f":{MASK}@" in value


def _method_and_url(entry: dict[str, Any]) -> tuple[str, str]:
    request = entry.get("request")
    if not isinstance(request, dict) or not all(isinstance(request.get(name), str) for name in ("method", "url")):
        raise ValueError("the entry has no request with a method and a URL")
    return request["method"], request["url"]


def _objects(parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = parent.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _body(request: dict[str, Any]) -> tuple[bytes, str]:
    """Return the body of a request, and its type."""
    post = request.get("postData")
    if not isinstance(post, dict):
        return b"", ""
    kind, text = str(post.get("mimeType") or ""), post.get("text")
    if isinstance(text, str) and text:
        encoding = post.get("_encoding", post.get("encoding"))
        try:
            content = base64.b64decode(text, validate=True) if encoding == "base64" else None
        except ValueError:
            raise ValueError("the body of the request is not valid base64") from None
        return text.encode("utf-8", "surrogatepass") if content is None else content, kind
    params = _objects(post, "params")
    if params and media_type_of(kind) == "application/x-www-form-urlencoded":
        from urllib.parse import urlencode

        return urlencode([(str(each.get("name", "")), str(each.get("value", ""))) for each in params]).encode(), kind
    if params:
        raise ValueError(f"the body of the request is not in the file, only its fields: {json.dumps(kind[:60])}")
    return b"", ""
