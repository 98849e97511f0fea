"""
What the engines ask of the multiplexer of an HTTP/2 connection.

The multiplexers (`http2.sync`, `http2.asyncio`, `http2.trio`) import the engines, and the engines load them when the
first connection of HTTP/2 is made. So the engines and their connections know them by these protocols only.
"""

from __future__ import annotations

from typing import Any, Protocol

from .._models import Response
from .._pool import Ticket
from .job import Job


class Multiplexing(Protocol):
    """The part that is the same for every shell."""

    @property
    def allows_protocols(self) -> bool:
        """Return whether the peer takes a WebSocket on a stream (RFC 8441)."""
        ...

    def make_tunnel(self, response: Response) -> None:
        """Put the bytes of the tunnel that a response has opened into its extensions, as "network_stream"."""
        ...

    def enter_pool(self, ticket: Ticket[Any]) -> None:
        """The dial of `ticket` is done: give the connection to the pool."""
        ...

    def say_goodbye(self) -> None:
        """Tell the peer that the connection is about to be closed, if that needs no waiting."""
        ...


class SyncMultiplexing(Multiplexing, Protocol):
    """For threads."""

    def handle(self, job: Job, moment: float) -> Response | None:
        """Send a request and return its response; None: it was not sent, and another connection should be tried."""
        ...


class AsyncMultiplexing(Multiplexing, Protocol):
    """For trio."""

    def was_left(self) -> None:
        """Note that the request that the connection was made for has another one: it may be idle for a while."""
        ...

    async def handle(self, job: Job, moment: float) -> Response | None:
        """Send a request and return its response; None: it was not sent, and another connection should be tried."""
        ...


class AsyncioMultiplexing(AsyncMultiplexing, Protocol):
    """For asyncio, where the connection's callbacks report here."""

    def on_received(self, data: bytes) -> None:
        """Take what the peer sent; b"" is its end."""
        ...

    def on_event(self) -> None:
        """Look at what changed below: the socket took what was unsent, or failed, or was closed."""
        ...
