"""
Authentication as a conversation: `Auth`, and plain functions as auth.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from .._request import Request
    from .._response import Response


class Auth:
    """
    Base of all authentication schemes. Subclass it and write `auth_flow`, for sync and async clients alike:

        class TokenAuth(httpx.Auth):
            def __init__(self, token):
                self.token = token

            def auth_flow(self, request):
                response = yield request
                if response.status_code == 401:
                    answer = yield httpx.Request("POST", "https://id.example.org/token")
                    self.token = answer.json()["token"]
                    request.headers["Authorization"] = f"Bearer {self.token}"
                    yield request

    A flow that must do I/O of its own overrides `sync_auth_flow`, `async_auth_flow` or both instead.

    One object serves all requests of a client, from all its threads and tasks; each request has a flow of its own.
    """

    requires_request_body = False
    """Set it to have the whole body of the request read before the flow starts, so that `request.content` is there."""

    requires_response_body = False
    """
    Set it to have each response read before the flow gets it, so that `response.content` is there.

    The response to a request of the flow's own, such as one for a token, is always read. A copy of the caller's
    request, with the same method and URL, does not count as one.
    """

    _signs_target = False
    """Does what the flow adds hold for one request target only? Then the flow begins anew after a redirect."""

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """
        Yield requests to send; each `yield` gives the response. By default the request goes out as it is.

        A response that was not read holds its connection: read it before the flow waits for something else.

        Args:
            request: the caller's. It may be changed, and yielded several times.
        """
        yield request

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """`auth_flow`, with bodies read as it needs them. Override it for a flow that does blocking I/O of its own."""
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
        """`auth_flow`, with bodies read as it needs them. Override it for a flow that awaits something of its own."""
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
        """Return whether the flow will look at `request.content` in its next step, to which it is sent `response`."""
        return self.requires_request_body


def _is_of_the_flow(outgoing: Request, request: Request) -> bool:
    """
    Did the flow make this request for itself, and not as a copy of the caller's?

    The response to a copy is the caller's, who may want to stream it.
    """
    return outgoing is not request and (outgoing.method, outgoing.url) != (request.method, request.url)


def _advance(flow: Generator[Request, Response, None], response: Optional[Response]) -> Optional[Request]:
    """Return the next request of `flow`, or `None` when it has ended. A flow is started with `None`, as generators are."""
    try:
        return flow.send(response)  # type: ignore[arg-type]  # the type cannot say that the first value is None
    except StopIteration:
        return None


class FunctionAuth(Auth):
    """
    A function that changes a request before it is sent; what `auth=function` becomes.

    Args:
        func: called with each request, returns it or another.
    """

    def __init__(self, func: Callable[[Request], Request]) -> None:
        self._func = func

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """
        Yield what the function returns.

        Raises:
            TypeError: it returns `None`, usually for want of a `return`, or is an async function.
        """
        outgoing = self._func(request)
        refuse_awaitable(outgoing, "the function given as auth is an async one: derive from httpx.Auth instead")
        if outgoing is None:
            raise TypeError("the function given as auth returned None, expected the request to send")
        yield outgoing

    # No driver: nobody looks at the response, so a request that the function made does not cost its response's stream.

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the same as `auth_flow`."""
        yield from self.auth_flow(request)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Yield the same as `auth_flow`."""
        for outgoing in self.auth_flow(request):
            yield outgoing


def refuse_awaitable(value: object, message: str) -> None:
    """Raise TypeError for what an async function returned, without the warning that nobody awaited it."""
    if hasattr(value, "__await__"):
        close = getattr(value, "close", None)  # of a coroutine; other awaitables have none
        if close is not None:
            close()
        raise TypeError(message)
