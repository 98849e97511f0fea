"""The two interfaces for bodies: byte streams that are iterated in sync or in async code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator


class SyncByteStream:
    """
    A body that is iterated in sync code.

    Subclass it to give a request or a response your own body: `__iter__` yields pieces of any size, and `close`
    frees their source. `close` is called when the body is read or abandoned.
    """

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces of the body."""
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def close(self) -> None:
        """Free the source of the body. Does nothing by default."""


class AsyncByteStream:
    """A body that is iterated in async code; like `SyncByteStream`, with `__aiter__` and `aclose`."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the body."""
        raise NotImplementedError(f"{type(self).__name__} must define __aiter__")
        yield b""  # an unreachable yield makes this a generator, so that subclasses are typed as generators

    async def aclose(self) -> None:
        """Free the source of the body. Does nothing by default."""
