"""primp: a Rust client that can look like a browser; here it does not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable, ClassVar

import primp

from peers.base import AsyncWorker, Peer, Target, Worker


class Primp(Peer):
    """No impersonation, its own defaults otherwise. HTTP/2 by ALPN, the pool has no limit to set."""

    notes: ClassVar[dict[str, str]] = {
        "async": "its pool cannot be enlarged and opens new connections meanwhile",
        "one-off": "primp.get()",
    }

    def options(self, target: Target) -> dict[str, Any]:
        return {"ca_cert_file": target.ca} if target.tls else {}

    @contextlib.contextmanager
    def sync_workers(self, target: Target) -> Iterator[Callable[[], Worker]]:
        client = primp.Client(**self.options(target))

        def get() -> None:
            response = client.get(target.url)
            target.check(response.status_code, len(response.content))

        yield lambda: get

    @contextlib.asynccontextmanager
    async def async_workers(self, target: Target) -> AsyncIterator[Callable[[], AsyncWorker]]:
        async with primp.AsyncClient(**self.options(target)) as client:

            async def get() -> None:
                response = await client.get(target.url)
                target.check(response.status_code, len(response.content))

            yield lambda: get

    def one_off(self, target: Target) -> Worker:
        def get() -> None:
            response = primp.get(target.url)
            target.check(response.status_code, len(response.content))

        return get

    @contextlib.contextmanager
    def downloads(self, target: Target) -> Iterator[Worker]:
        client = primp.Client(**self.options(target))

        def download() -> None:
            length = 0
            with client.get(target.url, stream=True) as response:
                # Quicker than `iter_bytes`, whatever its chunk size: 21 ms, not 24-50 (`anext`: 48, not 64-780).
                while (chunk := response.next()) is not None:
                    length += len(chunk)
                target.check(response.status_code, length)

        yield download

    @contextlib.asynccontextmanager
    async def async_downloads(self, target: Target) -> AsyncIterator[AsyncWorker]:
        async with primp.AsyncClient(**self.options(target)) as client:

            async def download() -> None:
                length = 0
                response = await client.get(target.url, stream=True)
                while (chunk := await response.anext()) is not None:
                    length += len(chunk)
                target.check(response.status_code, length)
                await response.aclose()

            yield download

    def construct(self) -> Any:
        return primp.Client()

    def dispose(self, client: Any) -> None:
        client.__exit__(None, None, None)
