"""
What `client.map` costs beside what people write by hand: 10,000 GETs of 46 bytes, 50 at once, CPU and wall time.

    python benchmarks/bulk.py                       # 5 rounds, about 2 minutes; needs nginx
    python benchmarks/bulk.py --rounds 3 --requests 4000
    python benchmarks/bulk.py memory                # peak memory for 10,000, 100,000 and 1,000,000 inputs, no network

The interpreter that runs this is measured, with the package of this checkout. Every sample is a process of its own, and
the ways take turns. By hand means:

    tasks       50 asyncio tasks that share an iterator
    gather      a task for each request, a semaphore, `asyncio.gather`
    threads     50 threads that share an iterator under a lock, and use each response themselves
    queue       the same threads, which pass the responses to the main thread by a `queue.Queue` of 100
    pool        `ThreadPoolExecutor(50).map(client.get, urls)`

Goals: `map` at most 1.05 times `tasks`, and at most 1.2 times `threads`. Of the three with threads, `queue` does what
`map` does: responses arrive in one thread, and memory is bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from origin import Origin

SOURCE = Path(__file__).resolve().parent.parent / "src"
AT_ONCE = 50


def urls(url: str, count: int) -> Iterator[str]:
    for _ in range(count):
        yield url


def options() -> dict[str, Any]:
    import httpx

    return {"limits": httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)}


def check(response: Any) -> int:
    if response.status_code != 200 or len(response.content) != 46:
        raise AssertionError(response)
    return 1


# Each way returns how many responses it checked.


async def map_async(client: Any, url: str, count: int, ordered: bool = True) -> int:
    done = 0
    async for response in client.map(urls(url, count), concurrency=AT_ONCE, ordered=ordered):
        done += check(response)
    return done


async def map_async_unordered(client: Any, url: str, count: int) -> int:
    return await map_async(client, url, count, ordered=False)


async def tasks(client: Any, url: str, count: int) -> int:
    shared = urls(url, count)

    async def worker() -> int:
        done = 0
        for one in shared:
            done += check(await client.get(one))
        return done

    return sum(await asyncio.gather(*[worker() for _ in range(AT_ONCE)]))


async def gather(client: Any, url: str, count: int) -> int:
    free = asyncio.Semaphore(AT_ONCE)

    async def fetch(one: str) -> Any:
        async with free:
            return await client.get(one)

    return sum(map(check, await asyncio.gather(*[fetch(one) for one in urls(url, count)])))


def map_sync(client: Any, url: str, count: int, ordered: bool = True) -> int:
    return sum(map(check, client.map(urls(url, count), concurrency=AT_ONCE, ordered=ordered)))


def map_sync_unordered(client: Any, url: str, count: int) -> int:
    return map_sync(client, url, count, ordered=False)


def threads(client: Any, url: str, count: int) -> int:
    shared, lock = urls(url, count), threading.Lock()
    results: list[int] = []

    def worker() -> None:
        while True:
            with lock:
                one = next(shared, None)
            if one is None:
                return
            results.append(check(client.get(one)))

    all_threads = [threading.Thread(target=worker) for _ in range(AT_ONCE)]
    for each in all_threads:
        each.start()
    for each in all_threads:
        each.join()
    return sum(results)


def through_queue(client: Any, url: str, count: int) -> int:
    shared, lock = urls(url, count), threading.Lock()
    results: queue.Queue[Any] = queue.Queue(2 * AT_ONCE)

    def worker() -> None:
        while True:
            with lock:
                one = next(shared, None)
            if one is None:
                return
            results.put(client.get(one))

    all_threads = [threading.Thread(target=worker) for _ in range(AT_ONCE)]
    for each in all_threads:
        each.start()
    return sum(check(results.get()) for _ in range(count))


def pool(client: Any, url: str, count: int) -> int:
    with ThreadPoolExecutor(AT_ONCE) as executor:
        return sum(map(check, executor.map(client.get, urls(url, count))))


ASYNC = {"map": map_async, "map, as completed": map_async_unordered, "tasks": tasks, "gather": gather}
SYNC = {
    "map": map_sync,
    "map, as completed": map_sync_unordered,
    "threads": threads,
    "queue": through_queue,
    "pool": pool,
}


def measure(kind: str, name: str, url: str, count: int) -> None:
    """Print CPU and wall time of one way as JSON, after a warm-up that opens all connections."""
    import httpx

    def timed(function: Any) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        assert function() == count
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps([cpu * 1e6 / count, wall * 1e6 / count]))

    if kind == "sync":
        with httpx.Client(**options()) as client:
            SYNC[name](client, url, 500)
            timed(lambda: SYNC[name](client, url, count))
        return

    async def main() -> None:
        async with httpx.AsyncClient(**options()) as client:
            await ASYNC[name](client, url, 500)
            wall, cpu = time.perf_counter(), time.process_time()
            assert await ASYNC[name](client, url, count) == count
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            print(json.dumps([cpu * 1e6 / count, wall * 1e6 / count]))

    asyncio.run(main())


def measure_memory(kind: str, count: int) -> None:
    """Print the peak of the process's memory in KiB after `count` inputs have passed through `map`, and the seconds."""
    import resource  # not on Windows

    import httpx

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"x" * 46))
    began = time.perf_counter()

    async def main() -> int:
        async with httpx.AsyncClient(transport=transport) as client:
            return await map_async(client, "http://localhost/", count)

    if kind == "sync":
        with httpx.Client(transport=transport) as client:
            assert map_sync(client, "http://localhost/", count) == count
    else:
        assert asyncio.run(main()) == count
    print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter() - began]))


def sample(*arguments: str) -> list[float]:
    """What one process of this file prints."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    found: list[float] = json.loads(done.stdout)
    return found


def compare(kind: str, base: str, url: str, rounds: int, count: int) -> None:
    names = list(ASYNC if kind == "async" else SYNC)
    samples: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            samples[name].append(sample("measure", kind, name, url, str(count)))
    print(f"\n{kind:20} CPU µs  x {base:8} least  wall µs  x {base}")
    for name in names:
        cpu, wall = (statistics.median(column) for column in zip(*samples[name]))
        # Within each round, where one ran soon after the other.
        ratios = [
            statistics.median(one[index] / other[index] for one, other in zip(samples[name], samples[base]))
            for index in (0, 1)
        ]
        least = min(cpu for cpu, _ in samples[name])  # what the machine's other work disturbs least
        print(f"{name:20} {cpu:6.1f}  {ratios[0]:<10.2f} {least:5.1f}  {wall:7.1f}  {ratios[1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("speed", "memory"), default="speed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=1_000_000, help="inputs, for memory")
    given = parser.parse_args()
    if given.what == "memory":
        for kind in ("async", "sync"):
            for count in (10_000, 100_000, 1_000_000):
                if count <= given.most:
                    peak, seconds = sample("memory", kind, str(count))
                    print(f"{kind:6} {count:9,} inputs: peak {peak:6.0f} KiB, {seconds:.0f} s")
        return
    with Origin() as origin:
        compare("async", "tasks", origin.url("http", "/small"), given.rounds, given.requests)
        compare("sync", "threads", origin.url("http", "/small"), given.rounds, given.requests)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:5], int(sys.argv[5]))
    elif sys.argv[1:2] == ["memory"] and len(sys.argv) == 4 and sys.argv[2] in ("async", "sync"):
        measure_memory(sys.argv[2], int(sys.argv[3]))
    else:
        main()
