"""
Several requests at once over HTTP/2, on any engine, and what they do.

Not here: one request after the other (`drivers`), functions at once (`together`).
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import httpx

from .drivers import Driver, SyncAdapter, run_without_loop
from .http2 import prior
from .leaks import counts_of, settled, wait_for
from .servers import ScriptedServer
from .steps import in_trio, until
from .together import in_threads, together


def options(server: ScriptedServer, **more: Any) -> dict[str, Any]:
    """Options of a client for a server."""
    return prior(server.url, **more)


class Together:
    """Several requests at once on any engine: tasks for one client, or threads."""

    def __init__(self, driver: Driver, **options: Any) -> None:
        self.driver = driver
        self.options = options

    def run(self, *requests: Callable[[Any], Any], after: Callable[[Any], Any] | None = None) -> list[Any]:
        """What each async function made of the client, or the exception that it raised."""
        if not self.driver.is_async:
            return self._in_threads(requests, after)

        async def scenario(client: Any) -> list[Any]:
            results = await together([lambda request=request: self._outcome(request, client) for request in requests])
            if after is not None:
                await after(client)
            # A dial that was overtaken goes on for those that come later, until it has a connection or its timeout.
            await until(lambda: not counts_of(client)[2])
            await settled(client)
            return results

        return self.driver.run(scenario, **self.options)

    @staticmethod
    async def _outcome(request: Callable[[Any], Any], client: Any) -> Any:
        try:
            return await request(client)
        except httpx.HTTPError as exc:
            return exc

    def _in_threads(self, requests: Any, after: Any) -> list[Any]:
        with httpx.Client(**self.options) as inner:
            client = SyncAdapter(inner)
            results = in_threads(
                [lambda request=request: run_without_loop(self._outcome(request, client)) for request in requests]
            )
            if after is not None:
                run_without_loop(after(client))
            run_without_loop(settled(inner))
        return results


def get(path: str = "/", **given: Any) -> Callable[[Any], Any]:
    """A GET."""

    async def request(client: Any) -> Any:
        return await client.get(path, **given)

    return request


def post(path: str = "/", content: Any = b"body", **given: Any) -> Callable[[Any], Any]:
    """A POST."""

    async def request(client: Any) -> Any:
        return await client.post(path, content=content, **given)

    return request


async def until_true(condition: Callable[[], bool]) -> None:
    """Until the condition holds; the way of threads where nothing else could run."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if not in_trio():
            wait_for(condition)
            return
    await until(condition)
