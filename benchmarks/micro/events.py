"""
What does an event cost in the client, from the socket to the caller, beside httpx2 and httpx-sse?

    python benchmarks/micro/events.py                       ours, and httpx2 if it is installed
    python benchmarks/micro/events.py --peers PYTHON        peers in the environment of that interpreter: httpx2, and
                                                            httpx-sse on httpx 0.28.1

A server in a process of its own sends events of 130 bytes over HTTP/1.1 as fast as they are taken, one or 20 in a
chunk. Each client is a process, and they take turns. The number is user and system time of the client per event, the
median of the rounds; read the ratios. JSON Lines are measured in the same way: `iter_jsonl` beside `iter_lines` with
`json.loads`, both ours.

CPython 3.13, two cores of a shared machine, us of CPU per event (per line of 60 bytes):

    sync, an event a chunk            ours   2.15  x1.00      httpx2  10.47  x0.21   httpx-sse   8.77  x0.24
    sync, 20 events a chunk           ours   0.87  x1.00      httpx2   3.75  x0.23   httpx-sse   2.74  x0.32
    asyncio, an event a chunk         ours   2.30  x1.00      httpx2  12.69  x0.18   httpx-sse  11.97  x0.19
    asyncio, 20 events a chunk        ours   1.12  x1.00      httpx2   4.35  x0.26   httpx-sse   4.16  x0.27
    sync, JSON Lines            iter_jsonl   0.88  x1.00  iter_lines   1.59  x0.55
    asyncio, JSON Lines         iter_jsonl   0.96  x1.00  iter_lines   1.71  x0.56

Without merging chunks that have arrived together, an event a chunk took 3.28 in sync code and 3.73 on asyncio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import Any, Callable

EVENTS = 20_000
_DATA = json.dumps({"id": 123, "delta": {"text": "word " * 12}, "usage": None, "index": 0})
EVENT = f"event: delta\nid: 12345\ndata: {_DATA}\n\n".encode()
LINE = b'{"id": 1, "name": "a name of some letters", "value": 1.25}\n'
PATHS = {"/1": (EVENT, 1), "/20": (EVENT, 20), "/lines": (LINE, 70)}


def serve(listener: socket.socket) -> None:
    """Send what the path says, over and over, in chunks."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path = connection.recv(65536).split(b" ")[1].decode()
        piece, number = PATHS[path]
        chunk = b"%x\r\n%b\r\n" % (len(piece) * number, piece * number)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(EVENTS // number):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        connection.recv(1)


def sync_events(module: Any, url: str) -> int:
    with module.Client() as client, client.sse(url) as source:
        return sum(1 for _ in source)


def sync_httpx_sse(module: Any, url: str) -> int:
    import httpx_sse

    with module.Client() as client, httpx_sse.connect_sse(client, "GET", url) as source:
        return sum(1 for _ in source.iter_sse())


async def async_events(module: Any, url: str) -> int:
    count = 0
    async with module.AsyncClient() as client, client.sse(url) as source:
        async for _ in source:
            count += 1
    return count


async def async_httpx_sse(module: Any, url: str) -> int:
    import httpx_sse

    count = 0
    async with module.AsyncClient() as client, httpx_sse.aconnect_sse(client, "GET", url) as source:
        async for _ in source.aiter_sse():
            count += 1
    return count


def sync_jsonl(module: Any, url: str) -> int:
    with module.Client() as client, client.stream("GET", url) as response:
        return sum(1 for _ in response.iter_jsonl())


def sync_lines(module: Any, url: str) -> int:
    with module.Client() as client, client.stream("GET", url) as response:
        return sum(1 for _ in map(json.loads, response.iter_lines()))


async def async_jsonl(module: Any, url: str) -> int:
    count = 0
    async with module.AsyncClient() as client, client.stream("GET", url) as response:
        async for _ in response.aiter_jsonl():
            count += 1
    return count


async def async_lines(module: Any, url: str) -> int:
    count = 0
    async with module.AsyncClient() as client, client.stream("GET", url) as response:
        async for line in response.aiter_lines():
            json.loads(line)
            count += 1
    return count


# Client -> its module, and what it does in sync code and in async code.
CLIENTS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "ours": ("httpx", sync_events, async_events),
    "httpx2": ("httpx2", sync_events, async_events),
    "httpx-sse": ("httpx", sync_httpx_sse, async_httpx_sse),
    "iter_jsonl": ("httpx", sync_jsonl, async_jsonl),
    "iter_lines": ("httpx", sync_lines, async_lines),
}


def measure(client: str, kind: str, url: str) -> None:
    """Print the CPU time of one event, in us, of a second run: the first one warms up."""
    name, sync, asynchronous = CLIENTS[client]
    module = __import__(name)
    run: Callable[[], int] = (
        (lambda: sync(module, url)) if kind == "sync" else (lambda: asyncio.run(asynchronous(module, url)))
    )
    run()
    began = time.process_time_ns()
    count = run()
    print((time.process_time_ns() - began) / 1000 / count)


def compare(title: str, clients: dict[str, str], kind: str, url: str, rounds: int) -> None:
    """Print one row: each client, and its cost in relation to the first."""
    samples: dict[str, list[float]] = {client: [] for client in clients}
    for _ in range(rounds):
        for client, python in clients.items():
            done = subprocess.run(
                [python, __file__, "--measure", client, kind, url], stdout=subprocess.PIPE, check=True, text=True
            )
            samples[client].append(float(done.stdout))
    medians = {client: statistics.median(values) for client, values in samples.items()}
    first = next(iter(medians.values()))
    row = "".join(f"{client:>12} {value:6.2f}  x{first / value:4.2f}" for client, value in medians.items())
    print(f"    {title:26}{row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has httpx 0.28.1, httpx2 and httpx-sse")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(*options.measure)
    if options.serve:
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        return serve(listener)
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        clients = {"ours": sys.executable, "httpx2": options.peers or sys.executable}
        if options.peers:
            clients["httpx-sse"] = options.peers
        for kind in ("sync", "asyncio"):
            compare(f"{kind}, an event a chunk", clients, kind, f"{url}/1", options.rounds)
            compare(f"{kind}, 20 events a chunk", clients, kind, f"{url}/20", options.rounds)
        lines = {"iter_jsonl": sys.executable, "iter_lines": sys.executable}
        for kind in ("sync", "asyncio"):
            compare(f"{kind}, JSON Lines", lines, kind, f"{url}/lines", options.rounds)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
