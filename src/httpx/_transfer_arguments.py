"""
What `download` and `upload` of both clients share: checks of their arguments, and the requests.

Not here: the steps (`_transfer`, `_upload`), files (`_transports.drafts`, `.slices`), what carries the steps out
(`_transports.carrying`).
"""

from __future__ import annotations

import inspect
import os
from typing import Any, Callable

from ._base_client import BaseClient
from ._headers import Headers
from ._request import Request
from ._transfer import Order, Steps, download, parse_digest
from ._transports.drafts import Target
from ._transports.slices import Source
from ._upload import PROTOCOLS, Message, upload
from ._upload import Order as UploadOrder
from ._urls import URL

Build = Callable[[dict[str, str]], Request]

# The transfer's own; the user's of others win.
_OWN = ("range", "if-range")


def begin_download(
    client: BaseClient, url: URL | str, path: str | os.PathLike[str], how: dict[str, Any], **request: Any
) -> tuple[Build, Steps]:
    """
    Return what builds a request with header fields, and the steps of a download.

    Args:
        how: the arguments of `download` that are not for the request.
        request: for `build_request`.

    Raises:
        ValueError, TypeError: an argument is not what it should be.
    """
    digest = how["digest"]
    how = {
        "resume": bool(how["resume"]),
        "parts": count("parts", how["parts"], 1),
        "digest": None if digest is None else parse_digest(digest),
        "max_size": None if how["max_size"] is None else count("max_size", how["max_size"], 0),
        "progress": plain("progress", how["progress"]),
    }
    refuse_own(request["headers"], "download")
    build, first, deadline = builder(client, "GET", url, request)
    address = str(first.url)
    order = Order(address, **how, **retry_settings(client), deadline=deadline)
    return build, download(Target(path, address, resume=order.resume, keep=order.resume), order)


def begin_upload(
    client: BaseClient, url: URL | str, source: Any, how: dict[str, Any], **request: Any
) -> tuple[Callable[[Message], Request], Steps]:
    """
    Return what builds a request of a message, and the steps of an upload.

    Args:
        how: the arguments of `upload` that are not for the request.
        request: for `build_request`.

    Raises:
        ValueError, TypeError: an argument is not what it should be.
    """
    tell = plain("progress", how["progress"])
    if how["resumable"] not in (None, *PROTOCOLS):
        raise ValueError(f'resumable must be None, "tus" or "ietf", got {how["resumable"]!r}')
    protocol = None if how["resumable"] is None else PROTOCOLS[how["resumable"]]
    chunk = None if how["chunk"] is None else count("chunk", how["chunk"], 1)
    if chunk is not None and protocol is None:
        raise ValueError("chunk is for resumable uploads only")
    given = Source(source, how["start"], how["end"])
    first = client.build_request(how["method"], url, **request)
    deadline = client._deadline(first.extensions["timeout"])

    def build(message: Message) -> Request:
        arguments = request if message.url is first.url else {**request, "params": None}
        size = message.end - message.start
        # `first.url` has the params already.
        content = given.body(message.start, message.end, tell) if size else b""
        made = client.build_request(
            message.method,
            url if message.url is first.url else message.url,
            content=None if message.method == "HEAD" else content,
            **arguments,
        )
        if size:
            made.headers.pop("Transfer-Encoding", None)
            made.headers["Content-Length"] = str(size)
        made.headers.update(message.fields)
        if deadline is not None:
            client._share(made, deadline, first.extensions["timeout"])
        return made

    order = UploadOrder(
        how["method"].upper(), first.url, given.name, chunk, **retry_settings(client), deadline=deadline
    )
    return build, upload(given, order, protocol)


def builder(
    client: BaseClient, method: str, url: URL | str, arguments: dict[str, Any]
) -> tuple[Build, Request, float | None]:
    """Return a function that builds requests with other header fields, one as it is, and the deadline of them all."""
    given = Headers(arguments["headers"])
    first = client.build_request(method, url, **arguments)
    deadline = client._deadline(first.extensions["timeout"])

    def build(fields: dict[str, str]) -> Request:
        request = client.build_request(method, url, **arguments)
        for name, value in fields.items():
            if name not in given:
                request.headers[name] = value
        if deadline is not None:
            client._share(request, deadline, first.extensions["timeout"])
        return request

    return build, first, deadline


def refuse_own(headers: Any, name: str) -> None:
    """Raise ValueError for header fields that a transfer sets itself."""
    for field in _OWN:
        if field in Headers(headers):
            raise ValueError(f"{name} sets the header field {field!r} itself; leave it out of headers")


def retry_settings(client: BaseClient) -> dict[str, Any]:
    """Return how often, and with which pauses, the client's `Retry` repeats; {} without one."""
    if client._layers:
        from ._middleware import ORDER, BuiltIn

        for layer in client._layers:
            if isinstance(layer, BuiltIn) and layer.rank == ORDER.index("Retry"):
                known: dict[str, Any] = getattr(layer, "_arguments", {})
                return {
                    name: known[name] for name in ("attempts", "backoff", "max_backoff", "max_wait") if name in known
                }
    return {}


def count(name: str, value: Any, least: int) -> int:
    """Return a whole number. Raises TypeError or ValueError for anything else, and for less than `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def plain(name: str, function: Any) -> Any:
    """Return a function, or None. Raises TypeError for anything else, and for an async function."""
    if function is not None and (not callable(function) or inspect.iscoroutinefunction(function)):
        kind = "an async function" if callable(function) else type(function).__name__
        raise TypeError(f"{name} must be a plain function, got {kind}")
    return function
