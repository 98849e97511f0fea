"""
A server of one file, in memory, that knows ranges, and everything that can go wrong with them.

    server = Ranged(content)
    server.plan = [Cut(100), Lie("range"), Status(503), Fine()]      what comes of each request; fine from then on
    httpx.Client(transport=httpx.MockTransport(server))
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Optional

import httpx

TAG = '"v1"'


class Event(NamedTuple):
    """
    What comes of one request.

    Attributes:
        kind: "fine", "cut" (after `size` bytes), "status" (`size`), "connect" (no response), "ignore" (a 200),
            "changed" (another version from now on), or a lie: "total", "start", "end", "tag", "short", "long", "whole"
            (416 that says that the draft is the whole file), "digest", "garbled" (another byte, and nothing says so).
        size: bytes, or the status.
    """

    kind: str
    size: int = 0


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces that may end with an error."""

    def __init__(self, content: bytes, piece: int = 1000, error: str = "") -> None:
        self._content = content
        self._piece = piece
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), self._piece):
            yield self._content[start : start + self._piece]
        if self._error:
            raise httpx.ReadError(self._error)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class Ranged:
    """
    A server.

    Args:
        content: of the file.
        headers: of each response with content.

    Attributes:
        plan: what comes of the next requests.
        asked: the requests.
        versions: all contents that the file had.
    """

    def __init__(self, content: bytes, headers: Optional[dict[str, str]] = None, *, has_length: bool = True) -> None:
        self.content = content
        self.versions = [content]
        self.headers = {"ETag": TAG, "Accept-Ranges": "bytes"} if headers is None else headers
        self.has_length = has_length
        self.piece = 1000
        self.plan: list[Event] = []
        self.asked: list[httpx.Request] = []
        self._lock = threading.Lock()

    @property
    def ranges(self) -> list[Optional[str]]:
        """The Range of each request."""
        return [request.headers.get("range") for request in self.asked]

    def change(self, content: bytes, tag: str) -> None:
        """Replace the file."""
        self.content = content
        self.versions.append(content)
        self.headers = {**self.headers, "ETag": tag}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.asked.append(request)
            event = self.plan.pop(0) if self.plan else Event("fine")
            if event.kind == "changed":
                self.change(self.content[::-1] + b"!", f'"v{len(self.versions) + 1}"')
            return self.respond(request, event)

    def respond(self, request: httpx.Request, event: Event) -> httpx.Response:
        if event.kind == "connect":
            raise httpx.ConnectError("refused")
        if event.kind == "status":
            return httpx.Response(event.size, content=b"an error page")
        size, headers = len(self.content), dict(self.headers)
        given = request.headers.get("range")
        is_range = given is not None and event.kind != "ignore" and self._is_current(request)
        if not is_range:
            if self.has_length:
                headers["Content-Length"] = str(size)
            return self._with_body(200, headers, self.content, event)
        first, _, last = str(given)[len("bytes=") :].partition("-")
        start, end = int(first), int(last) + 1 if last else size
        if event.kind == "whole":
            return httpx.Response(416, headers={"Content-Range": f"bytes */{start}"})
        if start >= size:
            return httpx.Response(416, headers={"Content-Range": f"bytes */{size}"})
        end = min(end, size)
        body = self.content[start:end]
        shown = [start, end - 1, size]
        if event.kind in ("start", "end", "total"):
            shown[("start", "end", "total").index(event.kind)] -= 1
            if event.kind == "start":
                body = self.content[max(0, start - 1) : end]
        if event.kind == "tag":
            headers["ETag"] = '"another"'
        headers["Content-Range"] = f"bytes {shown[0]}-{shown[1]}/{shown[2]}"
        headers["Content-Length"] = str(len(body))
        return self._with_body(206, headers, body, event)

    def _is_current(self, request: httpx.Request) -> bool:
        validator = request.headers.get("if-range")
        return validator in (None, self.headers.get("ETag"), self.headers.get("Last-Modified"))

    def _with_body(self, status: int, headers: dict[str, str], body: bytes, event: Event) -> httpx.Response:
        error = ""
        if event.kind == "cut":
            body, error = body[: event.size], "the connection broke"
        elif event.kind == "short":  # nothing says that it is
            body = body[: max(0, len(body) - 1)]
        elif event.kind == "long":
            body += b"more"
        elif event.kind == "garbled" and body:
            at = event.size % len(body)
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        elif event.kind == "digest":
            headers["Content-Digest"] = "sha-256=:" + "A" * 43 + "=:"
        return httpx.Response(status, headers=headers, stream=Body(body, self.piece, error))


def transport(server: Any) -> Any:
    """A transport, sync and async."""
    return httpx.MockTransport(server)


class RangedServer:
    """
    The same over sockets: a `Ranged` served by threads, to be used in a `with` block.

    Attributes:
        url: of the file.
        stall: bytes after which the next responses stop and wait for `go_on`; None for never.
    """

    def __init__(self, file: Ranged) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request = httpx.Request("GET", outer.url, headers=dict(self.headers.items()))
                response = outer.file(request)
                self.send_response_only(response.status_code)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self._send(response)
                except (httpx.ReadError, OSError):
                    self.close_connection = True

            def _send(self, response: httpx.Response) -> None:
                sent = 0
                for piece in response.iter_raw():
                    if outer.stall is not None and sent >= outer.stall:
                        outer.stalled.set()
                        outer.go_on.wait(10)
                    self.wfile.write(piece)
                    sent += len(piece)

            def log_message(self, format: str, *args: Any) -> None: ...

        self.file = file
        self.stall: Optional[int] = None
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/files/book.bin"

    def __enter__(self) -> RangedServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
