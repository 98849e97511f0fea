"""
The base of authentication: `Auth`, and plain functions as auth.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from .._request import Request
    from .._response import Response


class Auth:
    """
    A base of all authentication schemes. Subclass it and write `auth_flow`, for sync and async clients alike:

        class TokenAuth(httpx.Auth):
            def __init__(self, token):
                self.token = token

            def auth_flow(self, request):
                response = yield request
                if response.status_code == 401:
                    token_response = yield httpx.Request("POST", "https://id.example.org/token")
                    self.token = token_response.json()["token"]
                    request.headers["Authorization"] = f"Bearer {self.token}"
                    yield request

    A flow that does its own I/O overrides `sync_auth_flow`, `async_auth_flow` or both instead.

    One object serves all requests of a client, from all its threads and tasks; each request has its own flow.
    """

    requires_request_body = False
    """Set it to read the whole body of the request before the flow starts, so that `request.content` is available."""

    requires_response_body = False
    """
    Set it to read each response before the flow gets it, so that `response.content` is available.

    The response to the flow's own request, such as one for a token, is always read. A copy of the caller's
    request, with the same method and URL, is not one.
    """

    _signs_target = False
    """Whether the added headers are valid for one request target only. Then the flow starts again after a redirect."""

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """
        Yield requests to send; each `yield` gives the response. By default the request is sent unchanged.

        An unread response occupies its connection: read it before the flow waits for something else.

        Args:
            request: the caller's. It may be changed, and yielded several times.
        """
        yield request

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Run `auth_flow`, reading bodies as it needs them. Override it for a flow that does its own blocking I/O."""
        if self._needs_body(request, None):
            request.read()
        flow = self.auth_flow(request)
        outgoing = _advance(flow, None)
        while outgoing is not None:
            response = yield outgoing
            if self.requires_response_body or _is_of_the_flow(outgoing, request):
                response.read()
            if self._needs_body(request, response):
                request.read()
            outgoing = _advance(flow, response)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Run `auth_flow`, reading bodies as it needs them. Override it for a flow that awaits something itself."""
        if self._needs_body(request, None):
            await request.aread()
        flow = self.auth_flow(request)
        outgoing = _advance(flow, None)
        while outgoing is not None:
            response = yield outgoing
            if self.requires_response_body or _is_of_the_flow(outgoing, request):
                await response.aread()
            if self._needs_body(request, response):
                await request.aread()
            outgoing = _advance(flow, response)

    def _needs_body(self, request: Request, response: Optional[Response]) -> bool:
        """Return whether the flow uses `request.content` in its next step, to which `response` is sent."""
        return self.requires_request_body


def _is_of_the_flow(outgoing: Request, request: Request) -> bool:
    """
    Return whether the flow made this request for itself, and not as a copy of the caller's.

    The response to a copy is the caller's, which may be streamed.
    """
    return outgoing is not request and (outgoing.method, outgoing.url) != (request.method, request.url)


def _advance(flow: Generator[Request, Response, None], response: Optional[Response]) -> Optional[Request]:
    """Return the next request of `flow`, or `None` when it has ended. `None` starts a flow, as for generators."""
    try:
        return flow.send(response)  # type: ignore[arg-type]  # the type cannot express that the first value is None
    except StopIteration:
        return None


class FunctionAuth(Auth):
    """
    A function that changes a request before it is sent; used for `auth=function`.

    Args:
        func: called with each request, returns it or another.
    """

    def __init__(self, func: Callable[[Request], Request]) -> None:
        self._func = func

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """
        Yield the function's return value.

        Raises:
            TypeError: it returns `None`, usually because a `return` is missing, or is an async function.
        """
        outgoing = self._func(request)
        refuse_awaitable(outgoing, "the function given as auth is async: derive from httpx.Auth instead")
        if outgoing is None:
            raise TypeError("the function given as auth returned None, expected the request to send")
        yield outgoing

    # No driver: the response is not used, so it may be streamed, also for a request that the function made.

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the same as `auth_flow`."""
        yield from self.auth_flow(request)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Yield the same as `auth_flow`."""
        for outgoing in self.auth_flow(request):
            yield outgoing


def refuse_awaitable(value: object, message: str) -> None:
    """Raise TypeError for the return value of an async function, without the warning that it was never awaited."""
    if hasattr(value, "__await__"):
        close = getattr(value, "close", None)  # a coroutine's; other awaitables have none
        if close is not None:
            close()
        raise TypeError(message)
