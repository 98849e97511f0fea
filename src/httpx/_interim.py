"""
The "1xx" hooks of a client, called by the transport when an interim response arrives.

A transport knows one function, the extension "informational" of a request. `Listener` is that function while a client
with hooks sends the request: it calls the hooks, then the caller's own function, if the request has one.

Not here: when an interim response is told (`_engine`); hooks for transports that tell only at the end (`_flow`).
"""

from __future__ import annotations

from typing import Any, Callable

from ._request import Request
from ._response import Response


class Listener:
    """
    A context manager: within it, the extension "informational" of a request calls the hooks.

    Args:
        request: about to be sent.
        call_hooks: called with "1xx" and the response; in an async client its result is awaited.
    """

    __slots__ = ("_call_hooks", "_own", "_request", "_told")

    def __init__(self, request: Request, call_hooks: Callable[[str, Response], Any]) -> None:
        self._request = request
        self._call_hooks = call_hooks
        self._told = False
        self._own: Any = None

    def __enter__(self) -> None:
        extensions = self._request.extensions
        self._own = extensions.get("informational")
        extensions["informational"] = self

    def __exit__(self, *exc_info: object) -> None:
        extensions = self._request.extensions
        if self._own is None:
            extensions.pop("informational", None)
        else:
            extensions["informational"] = self._own
        self._request._told_interim = self._told

    def __call__(self, response: Response) -> Any:
        """Call the functions, or return an awaitable that does."""
        self._told = True
        result = self._call_hooks("1xx", response)
        if result is not None:
            return self._call_both(result, response)
        return None if self._own is None else self._own(response)

    async def _call_both(self, result: Any, response: Response) -> None:
        await result
        result = None if self._own is None else self._own(response)
        if result is not None:
            await result
