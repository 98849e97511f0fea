"""
What does a middleware cost a request: the first one, each further one, one that reads the body, `Retry` and
`RateLimit`?

Over a transport in memory. The rounds of the cases are interleaved, and the best of each counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any

import httpx

REQUESTS = 300  # in a round
ROUNDS = 120


class Memory(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Responds with 46 bytes."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"x" * 46)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"x" * 46)


def layer(request: httpx.Request) -> Generator[Any, Any, httpx.Response]:
    response = yield request
    return response  # type: ignore[no-any-return]  # what is sent to a generator is Any


def reading(request: httpx.Request) -> Generator[Any, Any, httpx.Response]:
    response = yield request
    yield httpx.Step.read(response)
    return response  # type: ignore[no-any-return]  # what is sent to a generator is Any


CASES: dict[str, list[Any]] = {
    "none": [],
    "one": [layer],
    "two": [layer] * 2,
    "five": [layer] * 5,
    "one that reads": [reading],
    "retry": [httpx.Retry()],
    "retry with keys": [httpx.Retry(idempotency_key=True)],
    "learning": [httpx.RateLimit()],
    "rate": [httpx.RateLimit(1e6, burst=1_000_000)],
    "one and rate": [layer, httpx.RateLimit(1e6, burst=1_000_000)],
    "places": [httpx.RateLimit(concurrency=8)],
}


def in_threads() -> dict[str, float]:
    clients = {name: httpx.Client(transport=Memory(), middleware=layers) for name, layers in CASES.items()}
    best = dict.fromkeys(CASES, 1e9)
    for _ in range(ROUNDS):
        for name, client in clients.items():
            began = time.perf_counter()
            for _ in range(REQUESTS):
                client.get("http://example.org/")
            best[name] = min(best[name], time.perf_counter() - began)
    return best


async def on_asyncio() -> dict[str, float]:
    clients = {name: httpx.AsyncClient(transport=Memory(), middleware=layers) for name, layers in CASES.items()}
    best = dict.fromkeys(CASES, 1e9)
    for _ in range(ROUNDS):
        for name, client in clients.items():
            began = time.perf_counter()
            for _ in range(REQUESTS):
                await client.get("http://example.org/")
            best[name] = min(best[name], time.perf_counter() - began)
    return best


if __name__ == "__main__":
    for title, best in (("sync", in_threads()), ("asyncio", asyncio.run(on_asyncio()))):
        for name, seconds in best.items():
            cost = seconds / REQUESTS * 1e6
            more = (seconds - best["none"]) / REQUESTS * 1e6
            print(f"{title:8} {name:15} {cost:8.2f} µs {more:+8.2f}")
