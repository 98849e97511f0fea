"""
What does a request cost when more of them are under way at once?

    .venv-bench/bin/python benchmarks/micro/at_once.py      ours; .venv-peers/bin/python for httpx 0.28.1
    ... at_once.py --profile                                and which functions the time of 50 at once is spent in

CPU time per request on asyncio, against a small server in a process of its own.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import subprocess
import sys
import time

import httpx

SERVER = r"""
import asyncio
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n" + b"x" * 46
class Peer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(RESPONSE * data.count(b"\r\n\r\n"))
async def main():
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def cost(client: httpx.AsyncClient, url: str, at_once: int, seconds: float) -> float:
    """Return the CPU time of a request in microseconds."""
    count, end, start = 0, time.perf_counter() + seconds, time.process_time()

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await client.get(url)
            count += 1

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return (time.process_time() - start) / count * 1e6


async def main(url: str, profile: bool) -> None:
    print(f"httpx {httpx.__version__}")
    for at_once in (50,) if profile else (1, 10, 50, 100):
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        async with httpx.AsyncClient(limits=limits) as client:
            await cost(client, url, at_once, 0.5)
            if profile:
                with cProfile.Profile() as profiler:
                    await cost(client, url, at_once, 2)
                pstats.Stats(profiler).sort_stats("cumulative").print_stats("site-packages", 20)
            else:
                print(f"{at_once:4} at once: {await cost(client, url, at_once, 1.5):6.0f} us")


if __name__ == "__main__":
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        asyncio.run(main(f"http://127.0.0.1:{int(server.stdout.readline())}/", "--profile" in sys.argv))
        server.kill()
