"""pyreqwest: reqwest (Rust) behind builders, sync and async."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Callable, ClassVar

from pyreqwest.client import ClientBuilder, SyncClientBuilder
from pyreqwest.simple.sync_request import pyreqwest_get

from peers.base import AsyncWorker, Peer, Target, Worker

# A larger buffer than its default was the quickest for the large body (16 instead of 21 ms).
BUFFER = 262144


class Pyreqwest(Peer):
    """Its single-threaded runtime, which is its default."""

    notes: ClassVar[dict[str, str]] = {"one-off": "pyreqwest_get()"}

    def configured(self, builder: Any, target: Target) -> Any:
        builder = builder.pool_max_idle_per_host(target.workers).http2(target.http2)
        return builder.add_root_certificate_pem(Path(target.ca).read_bytes()) if target.tls else builder

    @contextlib.contextmanager
    def sync_workers(self, target: Target) -> Iterator[Callable[[], Worker]]:
        with self.configured(SyncClientBuilder(), target).build() as client:

            def get() -> None:
                response = client.get(target.url).build().send()
                target.check(response.status, len(response.bytes()))

            yield lambda: get

    @contextlib.asynccontextmanager
    async def async_workers(self, target: Target) -> AsyncIterator[Callable[[], AsyncWorker]]:
        async with self.configured(ClientBuilder(), target).build() as client:

            async def get() -> None:
                response = await client.get(target.url).build().send()
                target.check(response.status, len(await response.bytes()))

            yield lambda: get

    def one_off(self, target: Target) -> Worker:
        def get() -> None:
            response = pyreqwest_get(target.url).send()
            target.check(response.status, len(response.bytes()))

        return get

    @contextlib.contextmanager
    def downloads(self, target: Target) -> Iterator[Worker]:
        with self.configured(SyncClientBuilder(), target).build() as client:

            def download() -> None:
                length = 0
                with client.get(target.url).streamed_read_buffer_limit(BUFFER).build_streamed() as response:
                    while (chunk := response.body_reader.read_chunk()) is not None:
                        length += len(chunk)
                    target.check(response.status, length)

            yield download

    @contextlib.asynccontextmanager
    async def async_downloads(self, target: Target) -> AsyncIterator[AsyncWorker]:
        async with self.configured(ClientBuilder(), target).build() as client:

            async def download() -> None:
                length = 0
                async with client.get(target.url).streamed_read_buffer_limit(BUFFER).build_streamed() as response:
                    while (chunk := await response.body_reader.read_chunk()) is not None:
                        length += len(chunk)
                    target.check(response.status, length)

            yield download

    def construct(self) -> Any:
        return SyncClientBuilder().build()
