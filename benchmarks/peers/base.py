"""
What a client is asked to do, and the check that nobody may skip.

Every method is optional: a client that cannot do a thing inherits the method here, which says so.
A worker is a function without arguments that does one request (or download), reads the body to its end and checks
status and length. `sync_workers` and `async_workers` share one client among all workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any, Callable, ClassVar

Worker = Callable[[], None]
AsyncWorker = Callable[[], Awaitable[None]]


class NotOffered(Exception):
    """The client has no such feature; the message says which."""


class WrongAnswer(Exception):
    """The response was not what the server sends."""


@dataclass(frozen=True)
class Target:
    """Where to ask, what to trust, what to expect."""

    url: str
    ca: str
    size: int
    http2: bool
    workers: int
    tls: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tls", self.url.startswith("https:"))

    def check(self, status: int, length: int) -> None:
        """Raises `WrongAnswer` unless this is the whole body of a 200."""
        if status != 200 or length != self.size:
            raise WrongAnswer(f"status {status} with {length} bytes, expected 200 with {self.size}")


class Peer:
    """The base of all clients. `notes` (kind of case -> remark) are printed beside the result."""

    notes: ClassVar[dict[str, str]] = {}
    # True: `construct` works in a running loop only, and `async_one_off` stands in for `one_off`.
    needs_loop: ClassVar[bool] = False

    @contextlib.contextmanager
    def sync_workers(self, target: Target) -> Iterator[Callable[[], Worker]]:
        """Gives a function that makes workers, for one thread each."""
        raise NotOffered("no sync client")
        yield

    @contextlib.asynccontextmanager
    async def async_workers(self, target: Target) -> AsyncIterator[Callable[[], AsyncWorker]]:
        """Gives a function that makes workers, for one task each."""
        raise NotOffered("no asyncio client")
        yield

    def one_off(self, target: Target) -> Worker:
        """A worker that makes a client, asks once, and throws it away."""
        raise NotOffered("no sync client")

    def async_one_off(self, target: Target) -> AsyncWorker:
        """The same for clients that only exist in a running loop."""
        raise NotOffered("no sync client")

    @contextlib.contextmanager
    def downloads(self, target: Target) -> Iterator[Worker]:
        """Gives a worker that reads a large body chunk by chunk, keeping none."""
        raise NotOffered("no sync client")
        yield

    @contextlib.asynccontextmanager
    async def async_downloads(self, target: Target) -> AsyncIterator[AsyncWorker]:
        """The same in asyncio."""
        raise NotOffered("no asyncio client")
        yield

    def construct(self) -> Any:
        """A new client with the defaults of the library, verifying TLS."""
        raise NotOffered("nothing to construct")

    def dispose(self, client: Any) -> Any:
        """Close what `construct` made; the result is awaited if it can be."""
        client.close()
