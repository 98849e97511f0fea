"""wreq: a Rust client with browser emulation, on BoringSSL; here without the emulation."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Callable, ClassVar

import wreq
import wreq.blocking

from peers.base import AsyncWorker, Peer, Target, Worker


class Wreq(Peer):
    """Its shared default runtime; HTTP/2 by ALPN."""

    notes: ClassVar[dict[str, str]] = {"one-off": "with wreq.blocking.Client()"}

    def options(self, target: Target) -> dict[str, Any]:
        verify = {"tls_verify": Path(target.ca)} if target.tls else {}
        return {"pool_max_idle_per_host": target.workers, **verify}

    @contextlib.contextmanager
    def sync_workers(self, target: Target) -> Iterator[Callable[[], Worker]]:
        with wreq.blocking.Client(**self.options(target)) as client:

            def get() -> None:
                response = client.get(target.url)
                target.check(response.status.as_int(), len(response.bytes()))

            yield lambda: get

    @contextlib.asynccontextmanager
    async def async_workers(self, target: Target) -> AsyncIterator[Callable[[], AsyncWorker]]:
        async with wreq.Client(**self.options(target)) as client:

            async def get() -> None:
                response = await client.get(target.url)
                target.check(response.status.as_int(), len(await response.bytes()))

            yield lambda: get

    def one_off(self, target: Target) -> Worker:
        def get() -> None:
            with wreq.blocking.Client() as client:
                response = client.get(target.url)
                target.check(response.status.as_int(), len(response.bytes()))

        return get

    @contextlib.contextmanager
    def downloads(self, target: Target) -> Iterator[Worker]:
        with wreq.blocking.Client(**self.options(target)) as client:

            def download() -> None:
                length = 0
                with client.get(target.url) as response, response.stream() as chunks:
                    for chunk in chunks:
                        length += len(chunk)
                    target.check(response.status.as_int(), length)

            yield download

    @contextlib.asynccontextmanager
    async def async_downloads(self, target: Target) -> AsyncIterator[AsyncWorker]:
        async with wreq.Client(**self.options(target)) as client:

            async def download() -> None:
                length = 0
                async with await client.get(target.url) as response, response.stream() as chunks:
                    async for chunk in chunks:
                        length += len(chunk)
                    target.check(response.status.as_int(), length)

            yield download

    def construct(self) -> Any:
        return wreq.blocking.Client()
