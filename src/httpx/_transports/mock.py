"""A function in place of the network, for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Callable, Union

from .._request import Request
from .._response import Response
from .base import AsyncBaseTransport, BaseTransport

Handler = Callable[[Request], Union[Response, Awaitable[Response]]]


class MockTransport(AsyncBaseTransport, BaseTransport):
    """
    Answers every request by calling a function with it.

        client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200)))

    Args:
        handler: takes a request, whose body is read, and returns a response; for async clients it may be `async def`.
    """

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def handle_request(self, request: Request) -> Response:
        """
        Call the handler.

        Raises:
            TypeError: it is `async def`, which a sync client cannot wait for, or returned no response.
        """
        request.read()
        response = self.handler(request)
        if isinstance(response, Coroutine):
            response.close()
            raise TypeError("the handler of this MockTransport is `async def`: use it with an AsyncClient")
        return _checked(response)

    async def handle_async_request(self, request: Request) -> Response:
        """
        Call the handler, and wait for it if it is `async def`, or if what it returns can be awaited.

        Raises:
            TypeError: it returned no response.
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
