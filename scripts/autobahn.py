"""
Autobahn's fuzzing server against the WebSockets of httpx: each shell plays its cases and must be OK in all of them.

    scripts/autobahn                        247 cases and 15 of compression, on all three shells: about a minute
    scripts/autobahn --long sync            also the 54 cases of size and speed (9.*), and all 216 of compression: long

A case is passed if the server calls it OK, or INFORMATIONAL where nothing is judged, and saw the right close code.
NON-STRICT is not enough.

autobahntestsuite 25.10.1 needs Python 2.7. It is installed once, by pip, into a folder beside the system's temporary
files; `--python2` or AUTOBAHN_PYTHON says which interpreter to use, else python2.7 of the PATH or of pyenv.

Not here: what a server of the field does (`tests/conformance`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from httpx.websockets import WebSocketDisconnect, WebSocketNetworkError

SUITE = "autobahntestsuite==25.10.1"
SHELLS = ("sync", "asyncio", "trio")
# Those of 12.* and 13.* that CI runs: the server takes 10 s for each.
SHORT_COMPRESSION = [
    *("12.1.1", "12.1.5", "12.2.1", "12.3.1", "12.4.1", "12.5.1"),
    *(f"13.{number}.1" for number in range(1, 8)),
]
LIMIT = 64 * 1024 * 1024


def python2(given: str | None) -> str | None:
    """Return an interpreter of Python 2.7."""
    pyenv = sorted(Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))
    for candidate in (given, os.environ.get("AUTOBAHN_PYTHON"), shutil.which("python2.7"), *map(str, pyenv)):
        # One of pyenv's shims may be there and do nothing.
        if candidate and not subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode:
            return candidate
    return None


def installed(python: str) -> dict[str, str]:
    """Return the environment in which `python` can import the suite, which is installed if it is not there."""
    folder = Path(tempfile.gettempdir()) / "httpx-autobahn"
    if not (folder / "autobahntestsuite").exists():
        subprocess.run([python, "-m", "pip", "install", "-q", "--target", str(folder), SUITE], check=True)
        (folder / "zope" / "__init__.py").touch()  # pip leaves a namespace package that only site-packages can have
    return {**os.environ, "PYTHONPATH": str(folder)}


class Server:
    """The fuzzing server, with a folder for its report."""

    def __init__(self, python: str, cases: list[str], excluded: list[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="autobahn-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}"
        spec = {
            "url": self.url,
            "outdir": str(self.folder),
            "cases": cases,
            "exclude-cases": excluded,
            "exclude-agent-cases": {},
        }
        (self.folder / "spec.json").write_text(json.dumps(spec))
        start = "from autobahntestsuite import wstest; wstest.run()"
        arguments = ["-m", "fuzzingserver", "-s", str(self.folder / "spec.json"), "-u", "0"]
        self._process = subprocess.Popen(
            [python, "-c", start, *arguments],
            env=installed(python),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise SystemExit("autobahn: the server did not start") from None
                time.sleep(0.1)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder)


OPTIONS: dict[str, Any] = {"max_message_size_bytes": LIMIT, "compression": True}


def play_sync(url: str) -> None:
    """Play all cases with threads' client."""
    with httpx.Client(timeout=60) as client:
        with client.websocket(f"{url}/getCaseCount") as ws:
            count = int(ws.receive())
        for number in range(1, count + 1):
            try:
                with client.websocket(f"{url}/runCase?case={number}&agent=sync", **OPTIONS) as ws:
                    for message in ws:
                        ws.send(message)
            except (WebSocketDisconnect, WebSocketNetworkError):
                pass
        with client.websocket(f"{url}/updateReports?agent=sync"):
            pass


async def play(url: str, agent: str) -> None:
    """Play all cases with the client of tasks."""
    async with httpx.AsyncClient(timeout=60) as client:
        async with client.websocket(f"{url}/getCaseCount") as ws:
            count = int(await ws.receive())
        for number in range(1, count + 1):
            try:
                async with client.websocket(f"{url}/runCase?case={number}&agent={agent}", **OPTIONS) as ws:
                    async for message in ws:
                        await ws.send(message)
            except (WebSocketDisconnect, WebSocketNetworkError):
                pass
        async with client.websocket(f"{url}/updateReports?agent={agent}"):
            pass


def play_on(shell: str, url: str) -> None:
    """Play all cases on a shell."""
    if shell == "sync":
        play_sync(url)
    elif shell == "asyncio":
        asyncio.run(play(url, shell))
    else:
        import trio

        trio.run(play, url, shell)


def judged(folder: Path, agent: str) -> list[str]:
    """Return what was not OK, a line for each."""
    results = json.loads((folder / "index.json").read_text())[agent]
    bad = [
        f"{agent} {case}: {found['behavior']}, close {found['behaviorClose']} (code {found['remoteCloseCode']})"
        for case, found in results.items()
        if found["behavior"] not in ("OK", "INFORMATIONAL") or found["behaviorClose"] not in ("OK", "INFORMATIONAL")
    ]
    informational = sum(found["behavior"] == "INFORMATIONAL" for found in results.values())
    print(f"{agent}: {len(results)} cases, {len(results) - len(bad)} passed ({informational} of them informational)")
    return bad


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/autobahn")
    parser.add_argument("shells", nargs="*", choices=[*SHELLS, []], default=[])
    parser.add_argument("--python2", help="an interpreter of Python 2.7")
    parser.add_argument("--long", action="store_true", help="also 9.*, 12.* and 13.*")
    parser.add_argument("--compression", action="store_true", help="only the short list of 12.* and 13.*")
    given = parser.parse_args()
    python = python2(given.python2)
    if python is None:
        print("autobahn: there is no Python 2.7 here, which the suite needs: nothing was run")
        return 0
    bad: list[str] = []
    for cases, excluded in (
        ([] if given.compression else ["*"], [] if given.long else ["9.*", "12.*", "13.*"]),
        ([] if given.long else SHORT_COMPRESSION, []),
    ):
        if not cases:
            continue
        server = Server(python, cases, excluded)
        try:
            for shell in given.shells or SHELLS:
                begun = time.monotonic()
                play_on(shell, server.url)
                bad += judged(server.folder, shell)
                print(f"  in {time.monotonic() - begun:.0f} s")
        finally:
            server.close()
    print("\n".join(bad) or "all OK")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
