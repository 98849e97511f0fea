"""
Real peers for tests: a server that follows a script, and nginx.

`ScriptedServer` is for everything that a well-behaved server never does: answers cut at the worst byte, resets in the
middle, silence, a second answer that nobody asked for. It plays one script per connection on a real socket.

    with ScriptedServer([expect_head(), send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")]) as server:
        assert httpx.get(server.url).text == "ok"
    assert server.received[0].startswith(b"GET / HTTP/1.1\\r\\n")

Every wait is bounded (`timeout`, 5 s), threads are joined when the `with` block ends, and what failed in them is
raised there. `NginxServer` is the other extreme: software that others wrote, as deployed.

Not here: pytest. `ServerMissing` says why a server cannot be had; `conftest.py` decides whether that is a skip.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional, Union

from . import certs

TIMEOUT = 5.0  # seconds that a script waits for one thing


class Conn:
    """
    The server's end of one connection: a socket that records what it receives, with a few ways to read.

    Whatever is not defined here is the socket's (`sendall`, `shutdown`, `close`, `getpeername`, ...).
    """

    def __init__(self, sock: socket.socket, recorded: list[bytes]) -> None:
        self.sock = sock
        self.recorded = recorded
        self._unread = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def recv(self, size: int = 65536) -> bytes:
        """Bytes that arrived, at most `size`; `b""` at the end."""
        if self._unread:
            taken, self._unread = self._unread[:size], self._unread[size:]
            return taken
        data = self.sock.recv(size)
        if data:
            self.recorded.append(data)
        return data

    def read_exactly(self, size: int) -> bytes:
        """So many bytes; AssertionError if the connection ends before."""
        data = b""
        while len(data) < size:
            piece = self.recv(size - len(data))
            assert piece, f"the connection ended after {data[-200:]!r}, {size} bytes were expected"
            data += piece
        return data

    def read_until(self, end: bytes) -> bytes:
        """All bytes up to and with `end`; what came behind it stays for the next read."""
        data = b""
        while end not in data:
            piece = self.recv()
            assert piece, f"the connection ended after {data[-200:]!r}, {end!r} was expected"
            data += piece
        position = data.index(end) + len(end)
        self._unread = data[position:] + self._unread
        return data[:position]

    def read_head(self) -> bytes:
        """A request's head, with the empty line."""
        return self.read_until(b"\r\n\r\n")

    def read_request(self) -> tuple[bytes, bytes]:
        """Head and body of a request, the body's chunks put together."""
        head = self.read_head()
        length = re.search(rb"\r\ncontent-length:[ \t]*(\d+)", head, re.IGNORECASE)
        if length:
            return head, self.read_exactly(int(length.group(1)))
        if not re.search(rb"\r\ntransfer-encoding:[ \t]*chunked", head, re.IGNORECASE):
            return head, b""
        body = b""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            chunk = self.read_exactly(size + 2) if size else self.read_until(b"\r\n")
            if not size:
                return head, body
            body += chunk[:-2]

    def read_to_end(self) -> bytes:
        """Everything up to the end of the connection; a reset is an end too."""
        data = b""
        try:
            while True:
                piece = self.recv()
                if not piece:
                    return data
                data += piece
        except ConnectionError:
            return data

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close_notify(self) -> None:
        """Say over TLS that nothing more comes, without waiting for the client to say the same."""
        assert isinstance(self.sock, ssl.SSLSocket)
        self.sock.settimeout(0)
        try:
            self.sock.unwrap()
        except (OSError, ValueError):  # wants to read the client's close_notify, or the client is gone
            pass


# Steps: each makes a function that is called with the connection. A script is a list of them.

Step = Callable[[Conn], object]
Handler = Callable[[Conn, "list[bytes]"], object]
Script = Union[Handler, Sequence[Step]]


def expect(data: bytes) -> Step:
    """The client's next bytes are these."""

    def step(conn: Conn) -> None:
        received = conn.read_exactly(len(data))
        assert received == data, f"received {received!r}, {data!r} was expected"

    return step


def expect_head(*needles: bytes) -> Step:
    """The client sends a head (up to the empty line) that contains each of `needles`."""

    def step(conn: Conn) -> None:
        head = conn.read_head()
        for needle in needles:
            assert needle in head, f"{needle!r} is not in {head!r}"

    return step


def expect_request(body: Optional[bytes] = None) -> Step:
    """The client sends a whole request, with that body if one is given."""

    def step(conn: Conn) -> None:
        received = conn.read_request()[1]
        assert body is None or received == body, f"the body is {received!r}, {body!r} was expected"

    return step


def expect_end() -> Step:
    """The client closes its side without sending anything more."""

    def step(conn: Conn) -> None:
        rest = conn.read_to_end()
        assert not rest, f"received {rest!r}, the end was expected"

    return step


def send(*pieces: bytes) -> Step:
    """Send the pieces, one after the other (Nagle's algorithm is off, so each is likely a segment of its own)."""

    def step(conn: Conn) -> None:
        for piece in pieces:
            conn.sendall(piece)

    return step


def answer(body: bytes = b"ok", *fields: bytes, status: bytes = b"200 OK") -> Step:
    """Read a request and send a plain answer with a Content-Length."""

    def step(conn: Conn) -> None:
        conn.read_request()
        lines = [b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", body]
        conn.sendall(b"\r\n".join(lines))

    return step


def drip(data: bytes, interval: float) -> Step:
    """Send `data` one byte at a time, `interval` seconds apart, until the client goes away."""

    def step(conn: Conn) -> None:
        for index in range(len(data)):
            conn.sendall(data[index : index + 1])
            time.sleep(interval)

    return step


def wait(event: threading.Event, timeout: float = TIMEOUT) -> Step:
    """Wait until the test sets the event."""

    def step(conn: Conn) -> None:
        assert event.wait(timeout), f"the test did not set its event within {timeout:g} s"

    return step


def signal(event: threading.Event) -> Step:
    """Tell the test that the script came to this point."""
    return lambda conn: event.set()


def silence() -> Step:
    """Say nothing until the client goes away."""
    return lambda conn: conn.read_to_end()


def shut() -> Step:
    """Close the sending side only."""
    return lambda conn: conn.shutdown(socket.SHUT_WR)


def close() -> Step:
    """Close the connection; over TLS without close_notify."""
    return lambda conn: conn.close()


def close_notify() -> Step:
    """Over TLS: send close_notify, as a server does that ends a connection properly."""
    return lambda conn: conn.close_notify()


def reset() -> Step:
    """End the connection with RST."""
    return lambda conn: conn.reset()


def repeat(*steps: Step) -> Step:
    """Play the steps again and again until the client closes the connection before the first of them."""

    def step(conn: Conn) -> None:
        while True:
            first = conn.recv(1)
            if not first:
                return
            conn._unread = first + conn._unread
            for each in steps:
                each(conn)

    return step


class ScriptedServer:
    """
    A server that plays a script on each connection.

    Args:
        scripts: the first connection plays the first, and so on; the last one serves all connections after it. Each is
            a list of steps, or a function `handler(conn, recorded)`. The connection is closed at a script's end.
        tls: a server context (`certs.server_context()`); `None` means plain TCP.
        uds: path of a Unix socket to listen on instead of TCP.
        timeout: seconds that one read, write or handshake may take.
        backlog: of the listening socket.

    Attributes:
        received: what arrived on each connection so far, in the order of the connections.
        refused: TLS handshakes that failed, as exceptions; that is for the test to judge.
        gone: how many scripts ended because the client went away while they were sending.
    """

    def __init__(
        self,
        *scripts: Script,
        tls: Optional[ssl.SSLContext] = None,
        uds: Optional[str] = None,
        host: str = "127.0.0.1",
        timeout: float = TIMEOUT,
        backlog: int = 128,
    ) -> None:
        assert scripts, "a scripted server needs a script"
        self.scripts = scripts
        self.tls = tls
        self.uds = uds
        self.host = host
        self.timeout = timeout
        self.refused: list[Exception] = []
        self.gone = 0
        self._recorded: list[list[bytes]] = []
        self._open: dict[threading.Thread, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._stopping = False
        self._listener = self._listen(backlog)
        self.port = 0 if uds else int(self._listener.getsockname()[1])
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()  # here: in the thread it would open while tests count descriptors
        self._acceptor = threading.Thread(target=self._accept, name="scripted server", daemon=True)
        self._acceptor.start()

    def _listen(self, backlog: int) -> socket.socket:
        if self.uds is not None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.uds)
        else:
            listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, 0))
        listener.listen(backlog)
        listener.setblocking(False)
        return listener

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.tls else "http"
        return f"{scheme}://localhost" if self.uds else f"{scheme}://{host}:{self.port}"

    @property
    def received(self) -> list[bytes]:
        """What arrived on each connection so far."""
        with self._lock:
            return [b"".join(pieces) for pieces in self._recorded]

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return len(self._recorded)

    @property
    def open_connections(self) -> int:
        """How many connections have a script that is still running."""
        return len(self._open)

    def wait_until_idle(self, connections: int = 1, timeout: float = TIMEOUT) -> None:
        """
        Wait until so many connections were accepted and every script has ended; AssertionError if that takes too long.

        A client can connect, send and close before the server has noticed any of it.
        """
        deadline = time.monotonic() + timeout
        while len(self._threads) < connections and time.monotonic() < deadline:
            time.sleep(0.001)
        with self._lock:
            threads = list(self._threads)
        assert len(threads) >= connections, f"only {len(threads)} of {connections} clients connected"
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"a script still runs after {timeout:g} s"

    def _accept(self) -> None:
        with self._selector as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopping:
                selector.select()
                try:
                    sock, _ = self._listener.accept()
                except OSError:  # woken, or the client changed its mind
                    continue
                self._start(sock)

    def _start(self, sock: socket.socket) -> None:
        sock.settimeout(self.timeout)
        if self.uds is None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            script = self.scripts[min(len(self._recorded), len(self.scripts) - 1)]
            recorded: list[bytes] = []
            self._recorded.append(recorded)
            thread = threading.Thread(target=self._play, args=(sock, script, recorded), daemon=True)
            self._threads.append(thread)
            self._open[thread] = sock
            thread.start()  # under the lock, so that nobody who waits for all threads sees one that cannot be joined

    def _play(self, sock: socket.socket, script: Script, recorded: list[bytes]) -> None:
        me = threading.current_thread()
        try:
            secured = self._encrypted(sock)
            if secured is None:
                return
            sock = secured
            with self._lock:
                self._open[me] = sock
            self._run(Conn(sock, recorded), script)
        except BaseException as exc:  # to be raised in the test's own thread
            if not self._stopping:  # what fails because the server is being closed is no failure
                self._errors.append(exc)
        finally:
            sock.close()
            with self._lock:
                del self._open[me]

    def _encrypted(self, sock: socket.socket) -> Optional[socket.socket]:
        if self.tls is None:
            return sock
        secured = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            secured.do_handshake()
        except OSError as exc:
            self.refused.append(exc)
            secured.close()
            return None
        return secured

    def _run(self, conn: Conn, script: Script) -> None:
        try:
            if callable(script):
                script(conn, conn.recorded)
            else:
                for step in script:
                    step(conn)
        except (ConnectionError, ssl.SSLError):
            self.gone += 1

    def close(self) -> None:
        """
        Stop listening, end all connections, join all threads.

        Raises:
            Whatever failed first in a script.
        """
        if self._stopping:
            return
        self._stopping = True
        self._wake.close()
        self._acceptor.join()
        self._listener.close()
        self._woken.close()
        with self._lock:
            running = list(self._open.values())
        for sock in running:
            try:
                # Not SSLSocket.shutdown, which takes the TLS state away under the thread that uses it.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass
        self.wait_until_idle(0, self.timeout + 1)
        if self.uds is not None:
            os.unlink(self.uds)
        if self._errors:
            raise self._errors[0]

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]] = None,
        exc_value: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
    ) -> None:
        try:
            self.close()
        except Exception:
            # The client's error says more than the script's, which is often its consequence.
            if exc_value is None or isinstance(exc_value, OSError):
                raise


class ServerMissing(Exception):
    """A server program that a test needs is not installed; the message says what to install."""


def find_program(name: str) -> Optional[str]:
    """Path of a server program, also in the directories that only administrators have on their PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin:/opt/homebrew/bin")


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


NGINX_CONF = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log warn;
{user}
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 64m;
    keepalive_requests 100000;
    default_type application/octet-stream;
    types {{ text/plain txt; application/json json; }}
    gzip_types text/plain application/json;
    gzip_min_length 1;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        listen unix:{folder}/socket;
        server_name localhost;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        root {folder}/files;
        location = / {{ return 200 "hello from nginx\\n"; }}
        location = /small {{ default_type text/plain; return 200 "{small}"; }}
        location = /echo {{
            default_type application/json;
            return 200 '{{"method": "$request_method", "uri": "$request_uri", "args": "$args", "host": "$http_host",
                "agent": "$http_user_agent", "id": "$http_x_request_id", "scheme": "$scheme",
                "connection": "$connection", "requests": "$connection_requests"}}';
        }}
        location = /upload {{
            proxy_pass http://127.0.0.1:{port}/small;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
        location = /close {{ keepalive_timeout 0; return 200 "closed"; }}
        location = /empty {{ return 204; }}
        location = /moved {{ return 302 /small; }}
        location = /elsewhere {{ return 307 http://localhost:{port}/echo; }}
        location = /missing {{ return 404 "missing"; }}
        location = /broken {{ return 503 "broken"; }}
        location /gzip/ {{ alias {folder}/files/; gzip on; }}
        location /slow/ {{ alias {folder}/files/; limit_rate 64k; }}
    }}
    {sites}
}}
"""

SMALL = "forty-six bytes of text make a small answer..."
assert len(SMALL) == 46


class NginxServer:
    """
    nginx, started for one test session: http, https and a Unix socket on free ports, from a folder of its own.

    Paths: `/` and `/small` (46 bytes), `/echo` (method, URI, Host, X-Request-Id and the connection's number as JSON),
    `/upload` (takes a body), `/close`, `/empty` (204), `/moved` (302), `/elsewhere` (307 to another origin), `/missing`
    (404), `/broken` (503), `/files.txt` style files from `files` (with ranges and entity tags), the same compressed
    and chunked under `/gzip/`, and at 64 KB/s under `/slow/`.

    Args:
        files: name -> content, besides `text.txt` (100 lines) and `large.bin` (1 MiB).
        sites: name -> directives of one more `server` block, in which PORT is a port of its own and FOLDER the path of
            the server's folder.

    Attributes:
        ports: the ports of `sites`, by name.

    Raises:
        ServerMissing: nginx is not installed.
    """

    def __init__(self, files: Iterable[tuple[str, bytes]] = (), sites: Optional[Mapping[str, str]] = None) -> None:
        program = find_program("nginx")
        if program is None:
            raise ServerMissing("nginx is not installed (Debian: apt-get install nginx-light)")
        self.folder = Path(tempfile.mkdtemp(prefix="httpx-nginx-"))
        self._sites = {} if sites is None else sites
        try:
            self._write_files(files)
            self._process = self._start(program)
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def _write_files(self, files: Iterable[tuple[str, bytes]]) -> None:
        folder = self.folder / "files"
        folder.mkdir()
        text = b"".join(b"line %d of a file that nginx serves\n" % number for number in range(100))
        for name, content in [("text.txt", text), ("large.bin", bytes(range(256)) * 4096), *files]:
            (folder / name).write_bytes(content)

    def _start(self, program: str) -> subprocess.Popen[bytes]:
        chain, key = certs.leaf_files()
        log = ""
        for _ in range(3):  # a port may be taken between finding and using it
            self.port, self.tls_port, *others = free_ports(2 + len(self._sites))
            self.ports = dict(zip(self._sites, others))
            (self.folder / "conf").write_text(
                NGINX_CONF.format(
                    folder=self.folder,
                    # As root nginx gives its workers to another user, who could not read the folder.
                    user="user root;" if os.geteuid() == 0 else "",
                    port=self.port,
                    tls_port=self.tls_port,
                    chain=chain,
                    key=key,
                    small=SMALL,
                    sites="".join(self._site(name) for name in self._sites),
                )
            )
            command = [program, "-p", str(self.folder), "-c", str(self.folder / "conf"), "-e", str(self.folder / "log")]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            own = [self.ports[name] for name, directives in self._sites.items() if "PORT" in directives]
            if all(wait_for_port(port, process) for port in (self.port, self.tls_port, *own)):
                return process
            process.kill()
            log = process.communicate()[1].decode("utf-8", "replace")
        raise RuntimeError(f"nginx does not start: {log}")

    def _site(self, name: str) -> str:
        directives = self._sites[name].replace("PORT", str(self.ports[name])).replace("FOLDER", str(self.folder))
        return f"server {{ {directives} }}\n"

    @property
    def url(self) -> str:
        """Where it answers http."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """Where it answers https, with a certificate of `certs.authority()`."""
        return f"https://localhost:{self.tls_port}"

    @property
    def uds(self) -> str:
        """Path of its Unix socket, which speaks http."""
        return str(self.folder / "socket")

    def close(self) -> None:
        """Stop the process that was started, and remove its folder."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> NginxServer:
        return self

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]] = None,
        exc_value: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
    ) -> None:
        self.close()


def wait_for_port(port: int, process: Optional[subprocess.Popen[bytes]] = None, timeout: float = TIMEOUT) -> bool:
    """Whether something accepts connections on that port of 127.0.0.1 before the time is over or the process ends."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.01)
    return False
