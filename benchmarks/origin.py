"""
The server that every client is measured against: one nginx process on loopback.

`Origin` writes a configuration into a temporary directory, starts nginx on four free ports and ends it again:

    http    HTTP/1.1
    https   HTTP/1.1 over TLS
    h2      HTTP/2 over TLS; a request that did not negotiate HTTP/2 gets 505, so a client that silently
            fell back to HTTP/1.1 fails its status check instead of looking quick

Each serves /small (46 bytes) and /big (100 MB). The certificate is valid for 127.0.0.1 and localhost, and signed by an
authority made for this run, whose file (`ca`) is what clients get to verify it with.

Not here: measuring anything (`measure`), choosing cores (`run`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

SMALL = b'{"id": 1, "name": "a benchmark", "ok": true}\r\n'
BIG_SIZE = 100_000_000

MISSING = "nginx is not installed (Debian, Ubuntu: apt-get install nginx-light); or name it with --nginx PATH"

# One process in all: the answers of the only worker do not depend on how nginx spreads connections, the user needs no
# right to switch users, and there is exactly one process to end.
CONFIGURATION = """
daemon off;
master_process off;
pid {root}/nginx.pid;
error_log {root}/error.log warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
    uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
    default_type text/plain;
    sendfile on; tcp_nopush on; tcp_nodelay on;
    open_file_cache max=16; open_file_cache_valid 600s;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    http2_max_concurrent_streams 1024;
    ssl_certificate {root}/server.pem;
    ssl_certificate_key {root}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    # The server's order of ciphers, so that the client's taste does not decide what a stream costs.
    ssl_prefer_server_ciphers on;
    root {root}/www;
    server {{ listen 127.0.0.1:{http} backlog=4096; }}
    server {{ listen 127.0.0.1:{https} ssl backlog=4096; }}
    server {{
        listen 127.0.0.1:{h2} ssl http2 backlog=4096;
        if ($server_protocol != "HTTP/2.0") {{ return 505; }}
    }}
}}
"""

CERTIFICATES = """
[req]
distinguished_name = name
prompt = no
[name]
commonName = httpx benchmark
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1, DNS:localhost
"""


class Unavailable(Exception):
    """The server cannot be started; the message says what to do."""


class Origin:
    """
    A running nginx, as a context manager.

    Args:
        nginx: the executable; by default the one on PATH or in the sbin directories.
        cpus: the cores it may use; None for no pinning.

    Raises:
        Unavailable: nginx is missing, or did not start.
    """

    def __init__(self, nginx: Optional[str] = None, cpus: Optional[set[int]] = None) -> None:
        self.executable = find_nginx(nginx)
        self.cpus = cpus
        self.ports: dict[str, int] = {}

    def __enter__(self) -> Origin:
        self.root = Path(tempfile.mkdtemp(prefix="httpx-bench-"))
        try:
            make_certificates(self.root)
            self._write_files()
            self._start()
        except BaseException:
            shutil.rmtree(self.root, ignore_errors=True)
            raise
        return self

    def __exit__(self, *unused: Any) -> None:
        stop(self.process)
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def ca(self) -> str:
        """The file of the certificate authority to trust."""
        return str(self.root / "ca.pem")

    @property
    def version(self) -> str:
        """What nginx says of itself, such as `nginx/1.22.1`."""
        done = subprocess.run([self.executable, "-v"], capture_output=True, text=True, check=False)
        return done.stderr.strip().rpartition(" ")[2]

    def url(self, kind: str, path: str) -> str:
        """The address of `path` at the server named `kind` (`http`, `https`, `h2`)."""
        scheme = "http" if kind == "http" else "https"
        return f"{scheme}://127.0.0.1:{self.ports[kind]}{path}"

    def _write_files(self) -> None:
        www = self.root / "www"
        www.mkdir()
        (www / "small").write_bytes(SMALL)
        block = os.urandom(1_000_000)
        with open(www / "big", "wb") as file:
            for _ in range(BIG_SIZE // len(block)):
                file.write(block)

    def _start(self) -> None:
        # A free port can be taken between asking for it and nginx binding it: try again with others.
        for _ in range(3):
            self.ports = dict(zip(("http", "https", "h2"), free_ports(3)))
            configuration = self.root / "nginx.conf"
            configuration.write_text(CONFIGURATION.format(root=self.root, **self.ports))
            command = [self.executable, "-p", str(self.root), "-c", str(configuration)]
            with pinned(self.cpus):
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if self._answers():
                return
            stop(self.process)
        log = self.root / "error.log"
        reason = log.read_text()[-500:].strip() if log.exists() else "no error log was written"
        raise Unavailable(f"nginx did not start: {reason}")

    def _answers(self) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.ports["h2"]), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False


def find_nginx(named: Optional[str]) -> str:
    """The path of the nginx executable; raises `Unavailable` where there is none."""
    # Debian's sbin directories are not on the PATH of an ordinary user.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"])
    found = shutil.which(named or "nginx", path=path)
    if found is None:
        raise Unavailable(MISSING)
    return found


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def make_certificates(root: Path) -> None:
    """
    Write ca.pem, server.pem and server.key: by the openssl command, or by trustme where that is missing.

    Two certificates, because several clients refuse an authority's certificate as a server's.
    """
    if shutil.which("openssl") is None:
        return make_certificates_with_trustme(root)
    (root / "openssl.cnf").write_text(CERTIFICATES)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "openssl.cnf"]
    by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "openssl.cnf"]
    for command in (
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3", "-extensions", "authority"],
        ["req", "-new", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"],
        ["x509", "-req", *by, "-extensions", "server", "-in", "server.csr", "-out", "server.pem", "-days", "2"],
    ):
        done = subprocess.run(["openssl", *command], cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"openssl {command[0]} failed: {done.stderr[-300:].strip()}")
    return None


def make_certificates_with_trustme(root: Path) -> None:
    """The same by the trustme package; raises `Unavailable` without it."""
    try:
        import trustme
    except ImportError:
        raise Unavailable("certificates need the openssl command or the trustme package") from None
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(root / "ca.pem"))
    server.private_key_pem.write_to_path(str(root / "server.key"))
    server.cert_chain_pems[0].write_to_path(str(root / "server.pem"))


@contextlib.contextmanager
def pinned(cpus: Optional[set[int]]) -> Any:
    """
    Processes started inside run on `cpus` only; None changes nothing.

    The parent moves and comes back, because a child inherits its cores before its first instruction: moved later, it
    would have counted its cores (as Rust runtimes do at their start) too soon.
    """
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def stop(process: subprocess.Popen[Any]) -> None:
    """End one process that we started, by its id: politely, then not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
