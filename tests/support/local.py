"""
Small servers for tests that need particular answers, as an API, a token endpoint or a proxy gives them.

    LocalApi        an HTTP/1.1 server whose answers the test decides, request by request
    SocksServer     a SOCKS5 proxy that answers the request itself, and remembers what it was asked for
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional, Union
from urllib.parse import parse_qsl, urlsplit

from .servers import Conn, ScriptedServer

Answer = tuple[int, Mapping[str, str], bytes]


class Asked:
    """A request as the server got it."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        parts = urlsplit(target)
        self.method = method
        self.path = parts.path
        self.query = dict(parse_qsl(parts.query))
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))

    def bearer(self) -> str:
        """The token that was sent, or ""."""
        return self.headers.get("Authorization", "").partition("Bearer ")[2]


def with_json(value: Any, status: int = 200, **fields: str) -> Answer:
    """An answer; underscores in the names of fields are hyphens."""
    named = {name.replace("_", "-"): text for name, text in fields.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(value).encode()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 refuses clients that connect fifty times at once.
    request_queue_size = 128


class LocalApi:
    """
    A server whose answers a test decides.

    Attributes:
        answer: called with each request, on the thread of its connection.
        asked: all requests so far, in the order in which they came.
        connections: how many there were so far.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Asked], Union[Answer, Any]] = lambda asked: {"path": asked.path}
        self.asked: list[Asked] = []
        self.connections = 0
        self._server = _Listener(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            timeout = 10

            def setup(self) -> None:
                super().setup()
                api.connections += 1

            def handle_one_request(self) -> None:
                try:
                    self.raw_requestline = self.rfile.readline(65537)
                    if not self.raw_requestline or not self.parse_request():
                        self.close_connection = True
                        return
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    asked = Asked(self.command, self.path, self.headers, body)
                    api.asked.append(asked)
                    answer = api.answer(asked)
                    self.write(answer if isinstance(answer, tuple) else with_json(answer))
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def write(self, answer: Answer) -> None:
                status, fields, body = answer
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class SocksServer(ScriptedServer):
    """
    A SOCKS5 proxy that connects to nobody: it answers the first request itself, with 200 and its target (RFC 1928).

    Args:
        credentials: what it asks for (RFC 1929); `None` asks for none.

    Attributes:
        asked: host and port of each connection that was asked for.
    """

    def __init__(self, credentials: Optional[tuple[str, str]] = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self._credentials = credentials
        super().__init__(self._serve)

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        version, count = conn.read_exactly(2)
        wanted = 2 if self._credentials else 0
        assert (version, wanted in conn.read_exactly(count)) == (5, True)
        conn.sendall(bytes((5, wanted)))
        if self._credentials:
            conn.read_exactly(1)
            given = self._text(conn), self._text(conn)
            conn.sendall(b"\x01\x00" if given == self._credentials else b"\x01\x01")
        kind = conn.read_exactly(4)[3]
        host = ".".join(map(str, conn.read_exactly(4))) if kind == 1 else self._text(conn)
        self.asked.append((host, int.from_bytes(conn.read_exactly(2), "big")))
        conn.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        target = conn.read_request()[0].split()[1]
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))

    @staticmethod
    def _text(conn: Conn) -> str:
        return conn.read_exactly(conn.read_exactly(1)[0]).decode("ascii")
