"""
`--output-json`: the whole exchange as one JSON object, for scripts.

    {"request":   {"method", "url", "http_version", "headers": [[name, value], ...], "body"},
     "response":  {"status", "reason", "http_version", "url", "headers": [...], "body"},
     "redirects": [response without body, ...],
     "timings":   {"total", "queue", "dns", "connect", ...},     seconds; the phases are those of the last hop
     "error":     {"type", "message"}}

A body is text, or {"base64": ...} where it is none; `null` if there is none. `response` is null where none came,
`error` where nothing went wrong. Values of header fields that are secrets are "***" unless asked for.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from .timings import Timings

_SECRET = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))
MASK = "***"


def exchange(
    request: httpx.Request,
    response: httpx.Response | None,
    timings: Timings,
    error: Exception | None = None,
    with_secrets: bool = False,
) -> dict[str, Any]:
    """
    What `json.dumps` gets.

    Args:
        request: what was asked for at first; replaced by that of the answer, which may come from a redirect.
        response: with its body read.
        timings: finished.
        error: what ended it.
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
    return [
        [
            name.decode("latin-1"),
            value.decode("latin-1") if with_secrets or name.lower().decode() not in _SECRET else MASK,
        ]
        for name, value in headers.raw
    ]


def _address(url: httpx.URL, with_secrets: bool) -> str:
    return str(url if with_secrets or not url.userinfo else url.copy_with(username=url.username, password=MASK))


def _sent(request: httpx.Request) -> Any:
    try:
        content = request.content
    except httpx.RequestNotRead:  # it came from files
        return None
    return _text_or_base64(content, "utf-8") if content else None


def _body(response: httpx.Response) -> Any:
    try:
        content = response.content
    except httpx.ResponseNotRead:  # it broke off
        return None
    return _text_or_base64(content, response.encoding) if content else None


def _text_or_base64(content: bytes, charset: str | None) -> Any:
    try:
        return content.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return {"base64": base64.b64encode(content).decode("ascii")}


def _timings(timings: Timings) -> dict[str, float]:
    last = timings.hops[-1].spans if timings.hops else {}
    return {"total": timings.total, **{phase.lower(): span.seconds for phase, span in last.items()}}
