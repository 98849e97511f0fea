"""
What `client.download` costs beside `stream` and a loop that writes: 100 MB to a file in memory, CPU and wall time.

    python benchmarks/downloads.py                  # 9 rounds, on threads, asyncio and trio; needs nginx
    python benchmarks/downloads.py --rounds 21 asyncio
    python benchmarks/downloads.py --folder /var/tmp asyncio

The interpreter that runs this is measured, with the package of this checkout. In each round of a process both ways
take turns, and what is printed is the median of the rounds, and of the ratios within rounds. The server has a core of
its own.

    loop        `stream`, `iter_raw`, and `write` of an unbuffered file: on asyncio and trio it blocks the loop
    download    `client.download`, which writes in a thread there, with a draft, its record and digests if there are any

Goal: `download` at most 1.05 times the CPU of `loop`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from origin import BIG_SIZE, Origin

SOURCE = Path(__file__).resolve().parent.parent / "src"
KINDS = ("threads", "asyncio", "trio")


# Each way brings the file to `path`.


def loop(client: Any, url: str, path: str) -> None:
    with client.stream("GET", url) as response, open(path, "wb", buffering=0) as file:
        for piece in response.iter_raw():
            file.write(piece)


def download(client: Any, url: str, path: str) -> None:
    client.download(url, path)


async def loop_async(client: Any, url: str, path: str) -> None:
    async with client.stream("GET", url) as response:
        with open(path, "wb", buffering=0) as file:  # noqa: ASYNC230 - what blocks the loop is compared with
            async for piece in response.aiter_raw():
                file.write(piece)


async def download_async(client: Any, url: str, path: str) -> None:
    await client.download(url, path)


class Samples:
    """CPU and wall milliseconds of the two ways."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "file")
        self.all: list[list[float]] = []

    def begin(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def end(self) -> None:
        cpu, wall = time.process_time() - self.began[1], time.perf_counter() - self.began[0]
        assert os.path.getsize(self.path) == BIG_SIZE
        os.unlink(self.path)
        self.all.append([cpu * 1e3, wall * 1e3])


def measure(kind: str, url: str, folder: str, rounds: int) -> list[list[float]]:
    """Return samples of `loop` and `download` in turns, after a round that does not count."""
    import httpx

    samples = Samples(folder)
    if kind == "threads":
        with httpx.Client() as client:
            for _ in range(rounds + 1):
                for way in (loop, download):
                    samples.begin()
                    way(client, url, samples.path)
                    samples.end()
        return samples.all[2:]

    async def main() -> None:
        async with httpx.AsyncClient() as client:
            for _ in range(rounds + 1):
                for way in (loop_async, download_async):
                    samples.begin()
                    await way(client, url, samples.path)
                    samples.end()

    run: Callable[..., Any] = asyncio.run
    if kind == "trio":
        import trio

        trio.run(main)
    else:
        run(main())
    return samples.all[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], default=[])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", default="/dev/shm" if os.path.isdir("/dev/shm") else None, help="of the file")
    parser.add_argument("--server", default="http", choices=("http", "https", "h2"))
    parser.add_argument("--source", default=str(SOURCE), help="the package to measure, such as ../before/src")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with Origin(cpus={cores[0]} if len(cores) > 1 else None) as origin:
        print(f"{'':10} {'CPU ms':>16}  download/loop (quartiles)   {'wall ms':>14}  download/loop")
        for kind in given.kinds or KINDS:
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                arguments = [kind, origin.url(given.server, "/big"), folder, str(given.rounds)]
                environment = {**os.environ, "PYTHONPATH": given.source, "SSL_CERT_FILE": origin.ca}
                command = [sys.executable, __file__, "--measure", *arguments]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            samples = json.loads(done.stdout)
            texts = [f"{kind:10}"]
            for index in (0, 1):
                ours = [sample[index] for sample in samples[1::2]]
                theirs = [sample[index] for sample in samples[0::2]]
                ratios = [one / other for one, other in zip(ours, theirs)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                texts.append(f"{statistics.median(theirs):7.1f} {statistics.median(ours):7.1f}  ")
                texts.append(f"{middle:.2f} ({low:.2f} to {high:.2f})      ")
            print(" ".join(texts), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
            os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[1]})
        print(json.dumps(measure(*sys.argv[2:5], int(sys.argv[5]))))
    else:
        main()
