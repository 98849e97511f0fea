"""
Uploads to a real server of tus, @tus/server, through a relay that breaks connections; run by `scripts/test-tus`.

Usage: test_tus.py FOLDER, in which @tus/server and @tus/file-store are installed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import httpx

SERVER = """
import { Server } from "@tus/server";
import { FileStore } from "@tus/file-store";
const server = new Server({ path: "/files", datastore: new FileStore({ directory: process.argv[2] }) });
const listening = server.listen({ host: "127.0.0.1", port: 0 }, () => console.log(listening.address().port));
"""
SIZE = 5_000_000


class Relay:
    """Passes bytes between a client and the server, and breaks the first connections after so many from the client."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self.port = port
        self.cuts = cuts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/files"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            most = self.cuts.pop(0) if self.cuts else None
            threading.Thread(target=self.pass_on, args=(client, server, most), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(server, client, None), daemon=True).start()

    def pass_on(self, source: socket.socket, target: socket.socket, most: int | None) -> None:
        passed = 0
        try:
            while piece := source.recv(65_536):
                passed += len(piece)
                if most is not None and passed > most:
                    break
                target.sendall(piece)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def main(folder: str) -> None:
    with tempfile.TemporaryDirectory() as stored:
        program = Path(folder) / "server.mjs"
        program.write_text(SERVER)
        node = subprocess.Popen(["node", str(program), stored], stdout=subprocess.PIPE, text=True, cwd=folder)
        try:
            assert node.stdout is not None
            run(int(node.stdout.readline()), Path(stored))
        finally:
            node.terminate()
            node.wait()


def run(port: int, stored: Path) -> None:
    content = os.urandom(SIZE)
    source = stored.parent / f"{stored.name}.source"
    source.write_bytes(content)
    chance = random.Random(1)
    try:
        for number in range(12):
            cuts = [chance.randrange(300, SIZE) for _ in range(chance.randrange(4))]
            cuts = cuts if number else []
            cuts = [2_000, *cuts] if number % 3 == 2 else cuts
            relay = Relay(port, list(cuts))
            chunk = chance.choice((None, 1_000_000))
            before = set(stored.iterdir())
            try:
                asked = upload(relay.url, source, chunk, in_async=bool(number % 2))
            except httpx.HTTPError as exc:  # the creation was cut, or the attempts ended
                print(f"{number}: {cuts}, chunk {chunk}: {exc!r}")
                continue
            finally:
                relay.listener.close()
            found = [path for path in set(stored.iterdir()) - before if path.suffix != ".json"]
            digests = {hashlib.sha256(path.read_bytes()).digest() for path in found}
            assert hashlib.sha256(content).digest() in digests, "another file arrived"
            print(f"{number}: {cuts}, chunk {chunk}: {' '.join(asked)}")
    finally:
        source.unlink()


def upload(url: str, source: Path, chunk: int | None, *, in_async: bool) -> list[str]:
    asked: list[str] = []
    if not in_async:
        hooks = {"request": [lambda request: asked.append(request.method)]}
        with httpx.Client(event_hooks=hooks) as client:
            client.upload(url, source, resumable="tus", chunk=chunk)
        return asked

    async def note(request: httpx.Request) -> None:
        asked.append(request.method)

    async def send() -> None:
        async with httpx.AsyncClient(event_hooks={"request": [note]}) as client:
            await client.upload(url, source, resumable="tus", chunk=chunk)

    asyncio.run(send())
    return asked


if __name__ == "__main__":
    main(sys.argv[1])
