"""
What a message over a WebSocket costs: ours beside websockets and aiohttp, in CPU time of the client's process.

    python benchmarks/messages.py                    # with those that are installed; --rounds 5, --save NAME
    python benchmarks/messages.py echo flood         # some of the cases

    echo     32 bytes there and back, one after the other
    flood    64 bytes, 50,000 times, sent in large pieces
    open     a WebSocket opened and closed
    large    1 MiB there and back, which shows what masks in Python cost

The server is thirty lines in a process and on a core of its own: it unmasks and sends back, and does nothing else.
Clients take turns, each measurement is a process, and what is printed is the median of all rounds with the ratio of
ours to each. `raw sockets` is the control: send, poll and receive, with bytes that are made before. Most of an echo is
that.

Not here: TLS, HTTP/2, compression.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import importlib.util
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CASES = {"echo": (3000, "µs"), "flood": (50_000, "µs"), "open": (200, "ms"), "large": (20, "ms")}
CLIENTS = ("raw sockets", "ours", "websockets", "ours asyncio", "websockets asyncio", "aiohttp")
TEXT, LARGE = "x" * 32, "y" * 1_048_576


# The server.


def serve_one(conn: socket.socket) -> None:
    """Send messages back; "flood N SIZE" asks for N messages."""
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b""
    while b"\r\n\r\n" not in head:
        head += conn.recv(65_536)
    lines = head.split(b"\r\n")
    key = next(line.split(b":", 1)[1].strip() for line in lines if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + accept + b"\r\n\r\n")
    buffer = b""
    while data := conn.recv(1_048_576):
        buffer += data
        while len(buffer) >= 6:
            length, start = buffer[1] & 0x7F, 2
            if length > 125:
                start = 4 if length == 126 else 10
                length = int.from_bytes(buffer[2:start], "big")
            end = start + 4 + length
            if len(buffer) < end:
                break
            mask = int.from_bytes((buffer[start : start + 4] * (length // 4 + 1))[:length], "little")
            payload = (int.from_bytes(buffer[start + 4 : end], "little") ^ mask).to_bytes(length, "little")
            if payload.startswith(b"flood "):
                count, size = map(int, payload.split()[1:])
                conn.sendall((bytes([0x81, size]) + b"x" * size) * count)
            else:
                conn.sendall(buffer[:1] + bytes([buffer[1] & 0x7F]) + buffer[2:start] + payload)
            if buffer[0] & 0x0F == 8:
                conn.close()
                return
            buffer = buffer[end:]


def pin(core: int) -> None:
    """Keep this process on a core of its own, where the system can: what is shared is measured twice."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})


def serve() -> None:
    """Print a port, and serve until the end of the process."""
    pin(0)
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=serve_one, args=[listener.accept()[0]], daemon=True).start()


# The clients. Each returns the CPU seconds of all repetitions.


def cpu(function: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    before = time.process_time()
    function()
    return time.process_time() - before


def talk(case: str, send: Any, receive: Any) -> Callable[[], None]:
    """What a sync client does with its session."""
    number = CASES[case][0]

    def run() -> None:
        if case == "flood":
            send(f"flood {number} 64")
        for _ in range(number):
            if case != "flood":
                send(TEXT if case == "echo" else LARGE)
            receive()

    return run


async def talk_async(case: str, send: Any, receive: Any) -> float:
    """The same for async clients, with its CPU seconds."""
    number = CASES[case][0]
    before = time.process_time()
    if case == "flood":
        await send(f"flood {number} 64")
    for _ in range(number):
        if case != "flood":
            await send(TEXT if case == "echo" else LARGE)
        await receive()
    return time.process_time() - before


def raw(case: str, url: str) -> float:
    from httpx._protocol.websocket import WebSocketMachine

    machine = WebSocketMachine()
    machine.send(TEXT)
    data = bytes(machine.take())
    with socket.create_connection(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: a\r\n\r\n")
        sock.recv(4096)
        sock.setblocking(False)
        poll = select.poll()
        poll.register(sock, select.POLLIN)

        def run() -> None:
            for _ in range(CASES[case][0]):
                sock.send(data)
                poll.poll()
                sock.recv(65_536)

        return cpu(run)


def ours(case: str, url: str) -> float:
    import httpx

    with httpx.Client() as client:
        with client.websocket(url):
            pass  # what is imported at the first one
        if case == "open":

            def openings() -> None:
                for _ in range(CASES[case][0]):
                    with client.websocket(url):
                        pass

            return cpu(openings)
        with client.websocket(url) as ws:
            return cpu(talk(case, ws.send, ws.receive))


def theirs(case: str, url: str) -> float:
    from websockets.sync.client import connect

    if case == "open":

        def openings() -> None:
            for _ in range(CASES[case][0]):
                with connect(url, compression=None):
                    pass

        return cpu(openings)
    with connect(url, compression=None, max_size=None) as ws:
        return cpu(talk(case, ws.send, ws.recv))


async def ours_async(case: str, url: str) -> float:
    import httpx

    async with httpx.AsyncClient() as client:
        async with client.websocket(url):
            pass  # what is imported at the first one
        if case == "open":
            before = time.process_time()
            for _ in range(CASES[case][0]):
                async with client.websocket(url):
                    pass
            return time.process_time() - before
        async with client.websocket(url) as ws:
            return await talk_async(case, ws.send, ws.receive)


async def theirs_async(case: str, url: str) -> float:
    from websockets.asyncio.client import connect

    if case == "open":
        before = time.process_time()
        for _ in range(CASES[case][0]):
            async with connect(url, compression=None):
                pass
        return time.process_time() - before
    async with connect(url, compression=None, max_size=None) as ws:
        return await talk_async(case, ws.send, ws.recv)


async def aiohttp(case: str, url: str) -> float:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        if case == "open":
            before = time.process_time()
            for _ in range(CASES[case][0]):
                async with session.ws_connect(url):
                    pass
            return time.process_time() - before
        async with session.ws_connect(url) as ws:
            return await talk_async(case, ws.send_str, ws.receive)


def measure(client: str, case: str, url: str) -> float:
    """CPU seconds of all repetitions of a case with a client."""
    pin(1)
    if client in ("raw sockets", "ours"):
        return (raw if client == "raw sockets" else ours)(case, url)
    if client == "websockets":
        return theirs(case, url)
    run = {"ours asyncio": ours_async, "websockets asyncio": theirs_async, "aiohttp": aiohttp}[client]
    return asyncio.run(run(case, url))


def installed(client: str) -> bool:
    name = client.split()[0]
    if name == "raw":
        return hasattr(select, "poll")
    return importlib.util.find_spec({"ours": "httpx"}.get(name, name)) is not None


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/messages.py")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", help="keep results/NAME.md")
    given = parser.parse_args()
    here = [sys.executable, __file__]
    server = subprocess.Popen([*here, "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"ws://127.0.0.1:{int(server.stdout.readline())}/"
    clients = [client for client in CLIENTS if installed(client)]
    lines = ["| CPU of the client | " + " | ".join(clients) + " | ratios of ours |", "|---" * (len(clients) + 2) + "|"]
    try:
        for case in given.cases or CASES:
            number, unit = CASES[case]
            samples: dict[str, list[float]] = {client: [] for client in clients}
            for _ in range(given.rounds):
                for client in clients:
                    if client == "raw sockets" and case != "echo":
                        continue
                    done = subprocess.run([*here, "--measure", client, case, url], stdout=subprocess.PIPE, check=True)
                    samples[client].append(json.loads(done.stdout) / number * (1e6 if unit == "µs" else 1e3))
            medians = {client: statistics.median(values) for client, values in samples.items() if values}
            pairs = [
                ("ours", "raw sockets"),
                ("ours", "websockets"),
                ("ours asyncio", "websockets asyncio"),
                ("ours asyncio", "aiohttp"),
            ]
            ratios = [f"{medians[one] / medians[other]:.2f} {other}" for one, other in pairs if other in medians]
            numbers = " | ".join(f"{medians[client]:.2f}" if client in medians else "" for client in clients)
            lines.append(f"| {case}, {unit} | {numbers} | {', '.join(ratios)} |")
            print(lines[-1], flush=True)
    finally:
        server.kill()
        server.wait()
    if given.save:
        page = Path(__file__).parent / "results" / f"{given.save}.md"
        head = f"# WebSockets, {given.save}\n\n`python benchmarks/messages.py`, {given.rounds} rounds, CPython "
        page.write_text(head + f"{sys.version.split()[0]}. Read the ratios.\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve()
    elif sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        main()
