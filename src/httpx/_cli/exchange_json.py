"""
`--output-json`: the whole exchange as one JSON object, for scripts.

    {"request":   {"method", "url", "http_version", "headers": [[name, value], ...], "body"},
     "response":  {"status", "reason", "http_version", "url", "headers": [...], "body"},
     "redirects": [response without body, ...],
     "timings":   {"total", "queue", "dns", "connect", ...},     seconds; the phases are those of the last hop
     "hops":      [{"title", "status", "start", "total", "phases": {"queue": {"start", "seconds"}, ...}}, ...],
     "tls":       {"version", "cipher", "alpn",
                   "certificate": {"subject", "issuer", "not_before", "not_after", "names"}},
     "error":     {"type", "message"}}

A body is text, or {"base64": ...} if it is binary; `null` without a body. `response` is null if none arrived,
`error` if there was none, `tls` if the last connection had no TLS, `certificate` if it was not checked.
Secret values of header fields and of URLs are "***" unless --with-secrets is given; a body is shown as it is.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import httpx

from .. import _redaction as redaction
from .screen import text_of

if TYPE_CHECKING:
    from .timings import Hops


def exchange(
    request: httpx.Request,
    response: httpx.Response | None,
    timings: Hops,
    error: Exception | None = None,
    with_secrets: bool = False,
) -> dict[str, Any]:
    """
    Return the exchange as an object for `json.dumps`.

    Args:
        request: the first request; replaced by that of the response, which may come from a redirect.
        response: with its body read.
        timings: finished.
        error: the exception that ended it.
        with_secrets: show credentials and cookies.
    """
    asked = request if response is None else response.request
    return {
        "request": {
            "method": asked.method,
            "url": _address(asked.url, with_secrets),
            "http_version": None if response is None else response.http_version,
            "headers": _fields(asked.headers, with_secrets),
            "body": _sent(asked),
        },
        "response": None if response is None else {**_head(response, with_secrets), "body": _body(response)},
        "redirects": [_head(one, with_secrets) for one in (() if response is None else response.history)],
        "timings": _timings(timings),
        "hops": timings.as_list(),
        "tls": None if response is None else _tls(response.extensions.get("network_stream")),
        "error": None if error is None else {"type": type(error).__name__, "message": str(error)},
    }


def _head(response: httpx.Response, with_secrets: bool) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "reason": response.reason_phrase,
        "http_version": response.http_version,
        "url": _address(response.request.url, with_secrets),
        "headers": _fields(response.headers, with_secrets),
    }


def _fields(headers: httpx.Headers, with_secrets: bool) -> list[list[str]]:
    pairs = [(name.decode("latin-1"), text_of(value)) for name, value in headers.raw]
    return [[name, value if with_secrets else redaction.field(name, value)] for name, value in pairs]


def _address(url: httpx.URL, with_secrets: bool) -> str:
    return str(url) if with_secrets else redaction.address(url)


def _sent(request: httpx.Request) -> Any:
    try:
        content = request.content
    except httpx.RequestNotRead:  # it is read from files
        return None
    return _text_or_base64(content, "utf-8") if content else None


def _body(response: httpx.Response) -> Any:
    try:
        content = response.content
    except httpx.ResponseNotRead:  # it is incomplete
        return None
    return _text_or_base64(content, response.encoding) if content else None


def _text_or_base64(content: bytes, charset: str | None) -> Any:
    try:
        return content.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return {"base64": base64.b64encode(content).decode("ascii")}


def _tls(stream: Any) -> dict[str, Any] | None:
    connection = None if stream is None else stream.get_extra_info("ssl_object")
    if connection is None:
        return None
    return {
        "version": connection.version(),
        "cipher": (connection.cipher() or (None,))[0],
        "alpn": connection.selected_alpn_protocol(),
        "certificate": certificate(connection.getpeercert()),
    }


def certificate(parts: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the dictionary of `SSLObject.getpeercert`, flattened, with OpenSSL's times; None without a certificate."""
    if not parts:
        return None
    return {
        "subject": {key: value for names in parts.get("subject", ()) for key, value in names},
        "issuer": {key: value for names in parts.get("issuer", ()) for key, value in names},
        "not_before": parts.get("notBefore"),
        "not_after": parts.get("notAfter"),
        "names": [value for _, value in parts.get("subjectAltName", ())],
    }


def _timings(timings: Hops) -> dict[str, float]:
    last = timings.hops[-1].spans if timings.hops else {}
    return {"total": timings.total, **{phase.lower(): span.seconds for phase, span in last.items()}}
