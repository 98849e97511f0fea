"""
httpx 0.28.1, httpx2 and ours: the same code with another module, which is the point of a drop-in replacement.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

from peers.base import AsyncWorker, Peer, Target, Worker


class Httpx(Peer):
    """Whatever `import httpx` finds in the environment: ours or 0.28.1."""

    module = "httpx"

    def __init__(self) -> None:
        self.httpx: Any = importlib.import_module(self.module)

    def options(self, target: Target) -> dict[str, Any]:
        """The arguments of both clients: as many connections as workers, our authority, HTTP/2 where asked."""
        # Not at the top: whoever imports ssl late pays for it in `client-first`, and must not find it paid for.
        import ssl

        limits = self.httpx.Limits(max_connections=target.workers, max_keepalive_connections=target.workers)
        # A plain client keeps the default `verify`, as it would in a program.
        verify = {"verify": ssl.create_default_context(cafile=target.ca)} if target.tls else {}
        return {"limits": limits, "http2": target.http2, **verify}

    @contextlib.contextmanager
    def sync_workers(self, target: Target) -> Iterator[Callable[[], Worker]]:
        with self.httpx.Client(**self.options(target)) as client:

            def get() -> None:
                response = client.get(target.url)
                target.check(response.status_code, len(response.content))

            yield lambda: get

    @contextlib.asynccontextmanager
    async def async_workers(self, target: Target) -> AsyncIterator[Callable[[], AsyncWorker]]:
        async with self.httpx.AsyncClient(**self.options(target)) as client:

            async def get() -> None:
                response = await client.get(target.url)
                target.check(response.status_code, len(response.content))

            yield lambda: get

    def one_off(self, target: Target) -> Worker:
        def get() -> None:
            response = self.httpx.get(target.url)
            target.check(response.status_code, len(response.content))

        return get

    @contextlib.contextmanager
    def downloads(self, target: Target) -> Iterator[Worker]:
        with self.httpx.Client(**self.options(target)) as client:

            def download() -> None:
                length = 0
                with client.stream("GET", target.url) as response:
                    for chunk in response.iter_bytes():
                        length += len(chunk)
                target.check(response.status_code, length)

            yield download

    @contextlib.asynccontextmanager
    async def async_downloads(self, target: Target) -> AsyncIterator[AsyncWorker]:
        async with self.httpx.AsyncClient(**self.options(target)) as client:

            async def download() -> None:
                length = 0
                async with client.stream("GET", target.url) as response:
                    async for chunk in response.aiter_bytes():
                        length += len(chunk)
                target.check(response.status_code, length)

            yield download

    def construct(self) -> Any:
        return self.httpx.Client()


class Httpx2(Httpx):
    """The successor under another name."""

    module = "httpx2"
