"""aiohttp: asyncio only, HTTP/1.1 only."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, Callable, ClassVar

import aiohttp

from peers.base import AsyncWorker, NotOffered, Peer, Target


class Aiohttp(Peer):
    """One `ClientSession` for all tasks."""

    notes: ClassVar[dict[str, str]] = {"one-off": "async with ClientSession(), in a running loop"}
    needs_loop = True

    def session(self, target: Target) -> aiohttp.ClientSession:
        """A session that keeps as many connections as there are workers."""
        if target.http2:
            raise NotOffered("no HTTP/2")
        context: Any = ssl.create_default_context(cafile=target.ca) if target.tls else True
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=target.workers, ssl=context))

    @contextlib.asynccontextmanager
    async def async_workers(self, target: Target) -> AsyncIterator[Callable[[], AsyncWorker]]:
        async with self.session(target) as session:

            async def get() -> None:
                async with session.get(target.url) as response:
                    target.check(response.status, len(await response.read()))

            yield lambda: get

    def async_one_off(self, target: Target) -> AsyncWorker:
        async def get() -> None:
            async with aiohttp.ClientSession() as session, session.get(target.url) as response:
                target.check(response.status, len(await response.read()))

        return get

    @contextlib.asynccontextmanager
    async def async_downloads(self, target: Target) -> AsyncIterator[AsyncWorker]:
        async with self.session(target) as session:

            async def download() -> None:
                length = 0
                async with session.get(target.url) as response:
                    async for chunk in response.content.iter_any():
                        length += len(chunk)
                    target.check(response.status, length)

            yield download

    def construct(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    def dispose(self, client: aiohttp.ClientSession) -> Any:
        return client.close()
