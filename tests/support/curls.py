"""
Commands of curl, as a shell and curl itself take them: `words_of` asks bash, `sent_by_curl` asks curl what it sends.

One bash and one curl serve any number of commands, because starting either takes longer than a request.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import httpx
from httpx._engine.job import Job
from httpx._protocol.exchange import OUTPUT
from httpx._protocol.http1 import HTTP1Exchange
from support.servers import Conn, ScriptedServer

needs_curl = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="there is no curl or bash")

_NONE = b"\1end\1"  # ends the words of a command
# Prints the words that curl would get; what it would read from standard input goes to a file.
_SCRIPT = """
number=0
curl() {
    before=
    for word; do
        if [ "$before$word" = --data-binary@- ]; then cat >"$folder/$number.body"; word="@$folder/$number.body"; fi
        printf '%s\\0' "$word"
        before=$word
    done
    printf '\\1end\\1\\0'
}
"""


class Sent(NamedTuple):
    """A request as it came over the wire, apart from what does not matter: see `parsed`."""

    line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes


def parsed(data: bytes) -> Sent:
    """
    A request's bytes, taken apart.

    Content-Length comes last and the name of Host is in one case, since curl does both by itself; the spaces around
    values are no part of them (RFC 9110 5.5). The body is without its chunks.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    fields = []
    for name, _, value in (field.partition(b":") for field in lines):
        fields.append((b"Host" if name.lower() == b"host" else name, value.strip(b" \t")))
    fields.sort(key=lambda field: field[0].lower() == b"content-length")
    if any(name.lower() == b"transfer-encoding" for name, _ in fields):
        body = _unchunked(body)
    return Sent(line, fields, body)


def _unchunked(data: bytes) -> bytes:
    out = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            return out
        out, data = out + data[: int(size, 16)], data[int(size, 16) + 2 :]


def sent_by_us(request: httpx.Request) -> Sent:
    """What the library sends for a request, over HTTP/1.1."""
    exchange, out = HTTP1Exchange(*Job(request, 0.0).arguments), b""
    while exchange.need == OUTPUT:
        out += exchange.take()
    return parsed(out)


def words_of(commands: Sequence[str], folder: Path) -> list[list[bytes]]:
    """The words after `curl` of each command, as bash has them."""
    lines = [f"number={number}\n{command}" for number, command in enumerate(commands)]
    script = "\n".join([f"folder={folder}", _SCRIPT, *lines]).encode("utf-8", "surrogateescape")
    path = folder / "script"
    path.write_bytes(script)
    done = subprocess.run(["bash", str(path)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    assert done.stderr == b""
    found: list[list[bytes]] = [[]]
    for word in done.stdout.split(b"\0")[:-1]:
        if word == _NONE:
            found.append([])
        else:
            found[-1].append(word)
    return found[:-1]


class Recorder(ScriptedServer):
    """A server that takes requests and responds with 204; `sent` has their bytes, in order."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self._writing = threading.Lock()
        super().__init__(self._record)

    def _record(self, conn: Conn, recorded: list[bytes]) -> None:
        left = b""
        while True:
            while b"\r\n\r\n" not in left:
                data = conn.recv()
                if not data:
                    return
                left += data
            head, _, left = left.partition(b"\r\n\r\n")
            lower = head.lower()
            size = next((int(line[15:]) for line in lower.split(b"\r\n") if line.startswith(b"content-length:")), 0)
            is_chunked = b"\r\ntransfer-encoding:" in lower
            while not left.endswith(b"0\r\n\r\n") if is_chunked else len(left) < size:
                left += conn.recv(1 << 20)
            body, left = (left, b"") if is_chunked else (left[:size], left[size:])
            with self._writing:
                self.sent.append(head + b"\r\n\r\n" + body)
            conn.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            if b"\r\nconnection: close" in lower:
                return


def sent_by_curl(commands: Sequence[Sequence[bytes]], server: Recorder) -> list[Sent]:
    """What curl sends, as the server gets it, when it is given these words."""
    argv: list[bytes] = [b"curl", b"-q"]
    for number, words in enumerate(commands):
        argv += [b"--next"] * (number > 0) + [b"-sS", b"-m", b"20", b"-o", b"/dev/null", *words]
    before = len(server.sent)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return [parsed(data) for data in server.sent[before:]]
