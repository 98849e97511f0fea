"""The two interfaces of transports, sync and async, for ours and those of users."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

from .._request import Request
from .._response import Response

T = TypeVar("T", bound="BaseTransport")
A = TypeVar("A", bound="AsyncBaseTransport")


class BaseTransport:
    """
    The interface of sync transports: subclass it and define `handle_request`.

    A client enters its transports when it is entered itself, and closes them when it is closed.
    """

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def handle_request(self, request: Request) -> Response:
        """
        Send one request and return its response, whose `stream` is a `SyncByteStream` that may be still unread.

        Args:
            request: complete, with absolute URL and all its headers. `request.extensions["timeout"]` has the seconds
            for
                "connect", "read", "write" and "pool" (None for no limit), and "total" if there is one.

        Raises:
            TransportError: the subclass says what failed.
        """
        raise NotImplementedError(f"{type(self).__name__} must define handle_request")

    def close(self) -> None:
        """Close the transport and release what it holds. Does nothing by default."""


class AsyncBaseTransport:
    """The interface of async transports: like `BaseTransport`, with `handle_async_request` and `aclose`."""

    async def __aenter__(self: A) -> A:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def handle_async_request(self, request: Request) -> Response:
        """Send one request and return its response, whose `stream` is an `AsyncByteStream`."""
        raise NotImplementedError(f"{type(self).__name__} must define handle_async_request")

    async def aclose(self) -> None:
        """Close the transport and release what it holds. Does nothing by default."""
