"""A transport that calls a function instead of the network, for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Callable, Union

from .._request import Request
from .._response import Response
from .base import AsyncBaseTransport, BaseTransport

Handler = Callable[[Request], Union[Response, Awaitable[Response]]]


class MockTransport(AsyncBaseTransport, BaseTransport):
    """
    A transport that calls a function with each request and returns its response.

        client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200)))

    Args:
        handler: takes a request, whose body was read, and returns a response; for async clients it may be `async def`.
    """

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def handle_request(self, request: Request) -> Response:
        """
        Return the response of the handler.

        Raises:
            TypeError: it is `async def`, which a sync client cannot wait for, or did not return a response.
        """
        request.read()
        response = self.handler(request)
        if isinstance(response, Coroutine):
            response.close()
            raise TypeError("the handler of this MockTransport is `async def`: use it with an AsyncClient")
        return _checked(response)

    async def handle_async_request(self, request: Request) -> Response:
        """
        Return the response of the handler, which is awaited if it is `async def` or returned an awaitable.

        Raises:
            TypeError: it did not return a response.
        """
        await request.aread()
        response = self.handler(request)
        if isinstance(response, Awaitable):
            response = await response
        return _checked(response)


def _checked(response: Any) -> Response:
    if not isinstance(response, Response):
        raise TypeError(
            f"the handler of this MockTransport returned {type(response).__name__}, expected an httpx.Response"
        )
    return response
