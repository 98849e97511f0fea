"""
A bar for a request's body that is large, while it is sent.

    request.stream = Watched(request.stream, "a.zip", 5_000_000)

The stream is that of the library, and what is sent, how often, and from where stays its business: only what passes is
counted. A body that is sent again, after a failure, a redirect or a challenge, has a bar of its own each time.
Not here: the bar itself (`bar`), and whether there is one at all (`notes`).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx

from .bar import Tell, bar
from .building import MAX_IN_MEMORY

if TYPE_CHECKING:
    from .building import Plan


def watch(request: httpx.Request, intent: Plan) -> None:
    """Give a request a bar for its body, unless that is in memory or known to be small."""
    length = request.headers.get("content-length", "")
    total = int(length) if length.isdigit() else None
    if not hasattr(request, "_content") and (total is None or total > MAX_IN_MEMORY):
        assert isinstance(request.stream, httpx.SyncByteStream)  # of a sync client
        request.stream = Watched(request.stream, name_of(intent), total)


def name_of(intent: Plan) -> str:
    """Return what the body is called: its file, or all of its files, or standard input."""
    named = [entry[0] for _, entry in intent.body.get("files", ()) if entry[0]]
    path = getattr(intent.body.get("content"), "name", None)
    if isinstance(path, str) and path != "<stdin>":
        named = [os.path.basename(path)]
    return ", ".join(named) or "standard input"


class Watched(httpx.SyncByteStream):
    """
    A body with a bar.

    Args:
        stream: the body.
        name: to be shown.
        total: bytes of it; None if that is not known. There is a bar then when it has turned out to be large.
    """

    def __init__(self, stream: httpx.SyncByteStream, name: str, total: int | None) -> None:
        self._stream = stream
        self._name = name
        self._total = total
        self._passing: Generator[bytes, None, None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Return an iterator over the body."""
        self._passing = self._watched()
        return self._passing

    def _watched(self) -> Generator[bytes, None, None]:
        done, total = 0, self._total
        tell: Tell | None = None
        with ExitStack() as stack:
            for piece in self._stream:
                if tell is None and (done if total is None else total) > MAX_IN_MEMORY:
                    tell = stack.enter_context(bar(self._name))
                    tell(done, total)
                yield piece
                done += len(piece)  # it was taken
                if tell is not None:
                    tell(done, total)

    def close(self) -> None:
        """End the bar, and close the stream."""
        if self._passing is not None:
            self._passing.close()
        self._stream.close()

    # What the library asks its own streams, before it sends them once more.

    def _can_begin(self) -> bool:
        return _asked(self._stream, "_can_begin", True)

    def _can_repeat(self) -> bool:
        return _asked(self._stream, "_can_repeat", False)


def _asked(stream: Any, name: str, unknown: bool) -> bool:
    answer = getattr(stream, name, None)
    return unknown if answer is None else bool(answer())
