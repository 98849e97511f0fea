"""
A small HTTP/1.1 server that describes each request in its response.

It is the server of `scripts/demo`, of many tests, and of `httpx --serve`: a real server for a machine without a
network.

    with EchoServer() as server:
        httpx.get(server.url + "/get?a=1").json()["args"]       # {'a': '1'}

A request becomes a `Received`, a function of `echo_routes` returns a `Reply`, and the connection's thread writes it.

It uses only the standard library and no part of the client, so that it cannot share a bug with what it tests.

Not here: HTTP/2, proxying, protection against a hostile network. It binds to 127.0.0.1 unless told otherwise.
"""

from __future__ import annotations

import argparse
import re
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Callable, Optional

from .echo_routes import NO_BODY, BadRequest, Fields, Received, Reply, as_json, as_typed, number, respond

MAX_BODY = 64 * 1024 * 1024  # bytes of a request body: it is kept in memory
IDLE_TIMEOUT = 60.0  # seconds that a connection may stay silent before the server closes it


class _Handler(BaseHTTPRequestHandler):
    """A connection: it reads requests and writes the responses."""

    protocol_version = "HTTP/1.1"
    server_version = "echo"
    sys_version = ""
    timeout = IDLE_TIMEOUT
    disable_nagle_algorithm = True
    server: _Listener

    def handle_one_request(self) -> None:
        """Handle one request; the inherited method allows only HTTP methods that have a `do_` method."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or len(self.raw_requestline) > 65536 or not self.parse_request():
            self.close_connection = True
            return
        self.respond()

    def respond(self) -> None:
        fields = [(name, as_typed(str(value))) for name, value in self.headers.items()]
        try:
            body = self.read_body()
        except BadRequest as exc:
            # It is unknown how much of the body is left, so no further request can be read.
            self.close_connection = True
            self.write(as_json({"error": str(exc)}, exc.status))
            return
        host, port = self.server.server_address[:2]
        received = Received(
            self.command,
            self.path,
            fields,
            body,
            base=f"{self.server.scheme}://" + (self.headers.get("host") or f"{host!s}:{port}"),
            origin=str(self.client_address[0]),
            pause=self.server.stopping.wait,
        )
        if received.path == "/websocket" and received.field("upgrade").lower() == "websocket":
            self.speak_websocket(received.field("sec-websocket-key"))
        else:
            self.write(respond(received))

    def speak_websocket(self, key: str) -> None:
        """Accept the opening, and send back each message until the client closes."""
        from . import echo_websocket

        self.close_connection = True
        accept = echo_websocket.accept_of(key)
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
        self.wfile.write(self.head(101, fields))
        self.log_request(101)
        echo_websocket.echo(self.rfile.read, self.wfile.write)

    def read_body(self) -> bytes:
        """Return the body of the request, framing removed (RFC 9112, section 6.3)."""
        length = self.headers.get_all("content-length") or []
        coding = self.headers.get("transfer-encoding")
        if coding is not None:
            if length or coding.strip().lower() != "chunked":
                raise BadRequest("a request must have either a Content-Length or `Transfer-Encoding: chunked`")
            return self.read_chunks()
        if not length:
            return b""
        if len(set(length)) > 1:
            raise BadRequest("conflicting values of Content-Length")
        return self.read_exactly(number(length[0].strip(), MAX_BODY, "Content-Length"))

    def read_exactly(self, size: int) -> bytes:
        content = self.rfile.read(size)
        if len(content) < size:
            raise BadRequest(f"the body ended after {len(content)} of {size} bytes")
        return content

    def read_chunks(self) -> bytes:
        """Return the body from its chunks; the trailers are read and dropped."""
        pieces = []
        total = 0
        while True:
            line = self.rfile.readline(4097)
            match = re.fullmatch(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n", line)
            if match is None:
                raise BadRequest(f"not a chunk size: {line[:20]!r}")
            size = int(match.group(1), 16)
            if size == 0:
                break
            total += size
            if total > MAX_BODY:
                raise BadRequest("the body is too large", 413)
            pieces.append(self.read_exactly(size))
            if self.read_exactly(2) != b"\r\n":
                raise BadRequest("a chunk does not end where its size says")
        while self.rfile.readline(65537) not in (b"\r\n", b""):
            pass
        return b"".join(pieces)

    def write(self, reply: Reply) -> None:
        """Send head and body, in one call if the body is short."""
        has_body = reply.status not in NO_BODY and self.command != "HEAD"
        names = {name.lower() for name, _ in reply.fields}
        chunked = not isinstance(reply.body, bytes) and "content-length" not in names
        fields = [("Date", self.date_time_string()), ("Server", "echo"), *reply.fields]
        if isinstance(reply.body, bytes) and reply.status not in NO_BODY:
            fields.append(("Content-Length", str(len(reply.body))))
        elif chunked and self.request_version == "HTTP/1.1":
            fields.append(("Transfer-Encoding", "chunked"))
        elif chunked:  # HTTP/1.0 has no chunks: the end of the connection is the end of the body
            chunked = False
            self.close_connection = True
        if self.close_connection:
            fields.append(("Connection", "close"))
        head = self.head(reply.status, fields)
        if not has_body:
            self.wfile.write(head)
        elif isinstance(reply.body, bytes):
            self.wfile.write(head + reply.body)
        else:
            self.wfile.write(head)
            written = self.write_pieces(reply.body, chunked)
            if any(name.lower() == "content-length" and written < int(value) for name, value in reply.fields):
                self.close_connection = True  # the client must see that the body is cut off
        self.log_request(reply.status)

    def head(self, status: int, fields: Fields) -> bytes:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:  # a status without a name
            phrase = ""
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def write_pieces(self, pieces: Iterable[bytes], chunked: bool) -> int:
        """Send a body; return the number of its bytes."""
        written = 0
        for piece in pieces:
            if self.server.stopping.is_set():
                self.close_connection = True  # in the middle of a body: the client must see that it is cut off
                return written
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                written += len(piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        return written

    def log_message(self, format: str, *args: Any) -> None:
        if self.server.log is not None:
            self.server.log((format % args).encode("unicode_escape").decode())  # no control characters on a terminal


class _Listener(socketserver.TCPServer):
    """A listening socket, and one thread for each connection."""

    allow_reuse_address = True
    request_queue_size = 512

    def __init__(
        self, address: tuple[str, int], context: Optional[ssl.SSLContext], log: Optional[Callable[[str], None]]
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.context = context
        self.scheme = "http" if context is None else "https"
        self.log = log
        self.stopping = threading.Event()
        # Invariant: a socket is in here exactly while its thread runs; both are changed under the lock.
        self.open: dict[threading.Thread, socket.socket] = {}
        self.lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self.serve, args=(request, client_address), name="echo connection")
        thread.daemon = True  # a program that does not close the server can still end
        with self.lock:
            self.open[thread] = request
        thread.start()

    def serve(self, connection: socket.socket, client_address: Any) -> None:
        try:
            connection = self.encrypted(connection)
            _Handler(connection, client_address, self)
        except OSError:  # the client went away, was silent for too long, or (ssl.SSLError) rejects our certificate
            pass
        except Exception:
            self.handle_error(connection, client_address)
        finally:
            with self.lock:
                del self.open[threading.current_thread()]
            self.shutdown_request(connection)

    def encrypted(self, connection: socket.socket) -> socket.socket:
        if self.context is None:
            return connection
        connection.settimeout(IDLE_TIMEOUT)
        # The handshake is a separate step because `wrap_socket` does not close the socket when it fails.
        secured = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        try:
            with self.lock:
                self.open[threading.current_thread()] = secured
            if self.stopping.is_set():  # `stop` may have seen the socket that was wrapped, and could not end it
                raise ConnectionAbortedError("the server is being closed")
            secured.do_handshake()
        except OSError:
            secured.close()
            raise
        return secured

    def stop(self) -> None:
        """End all connections and their threads."""
        self.stopping.set()
        with self.lock:
            running = dict(self.open)
        for connection in running.values():
            try:
                # Not the method of SSLSocket, which would take the TLS state away under the thread that reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:  # already closed
                pass
        for thread in running:
            thread.join()


class EchoServer:
    """
    A server that runs in its own thread.

    It listens when the constructor returns. Use it as a context manager, or call `close()`.

    Args:
        host: address to bind to; 127.0.0.1 by default, which other machines cannot reach.
        port: 0, the default, takes a free one; see `.port`.
        ssl_context: makes it an https server; a context with `PROTOCOL_TLS_SERVER` and a certificate chain.
        log: called with one line for each response; `None` logs nothing.

    Raises:
        OSError: the address is in use, or does not belong to this machine.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        log: Optional[Callable[[str], None]] = None,
    ) -> None:
        self._listener = _Listener((host, port), ssl_context, log)
        self.host = host
        self.port = int(self._listener.server_address[1])
        # `close` waits at most for the poll interval.
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), name="echo server")
        self._thread.daemon = True
        self._thread.start()

    @property
    def url(self) -> str:
        """Return scheme, host and port, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._listener.scheme}://{host}:{self.port}"

    def close(self) -> None:
        """Stop listening, end all connections and wait for their threads. May be called again."""
        self._listener.shutdown()
        self._thread.join()
        self._listener.stop()
        self._listener.server_close()

    def __enter__(self) -> EchoServer:
        return self

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]] = None,
        exc_value: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
    ) -> None:
        self.close()


def main(argv: Optional[Sequence[str]] = None) -> int:
    """
    Run the server until Ctrl-C; return the exit status.

    Args:
        argv: the arguments after the program's name; `None` takes them from the command line.
    """
    parser = argparse.ArgumentParser(
        prog="echo_server", description="An HTTP server that describes each request in its response."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind to (default: %(default)s)")
    parser.add_argument("--port", type=port_number, default=0, help="port (default: a free one)")
    parser.add_argument("--cert", help="PEM file with certificate chain and key: serve https")
    parser.add_argument("--quiet", action="store_true", help="do not print a line for each request")
    options = parser.parse_args(argv)
    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert)
    log = None if options.quiet else lambda line: say(line, sys.stderr)
    with EchoServer(options.host, options.port, ssl_context=context, log=log) as server:
        try:
            # Inside the `try`: the reader of the line may send the signal at once.
            say(f"listening on {server.url} (Ctrl-C ends it)", sys.stdout)
            server._thread.join()
        except KeyboardInterrupt:
            pass
    return 0


def port_number(text: str) -> int:
    """Return a port as a number, for `argparse`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port must be a number from 0 to 65535, got {text[:20]!r}")
    return int(text)


def say(line: str, stream: Any) -> None:
    """Print a line and flush it."""
    stream.write(line + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
