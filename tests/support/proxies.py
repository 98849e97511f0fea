"""
Proxies for tests: one that does what the test says, one for SOCKS, and those that others wrote (squid, tinyproxy; for
SOCKS dante, microsocks and OpenSSH).

    with ScriptedProxy(routes={"example.org:443": origin.port}) as proxy:
        httpx.get("https://example.org/", proxy=proxy.url)
    assert proxy.heads[0].startswith(b"CONNECT example.org:443 ")

`routes` says where names lead, so that nothing is ever looked up: every route ends at 127.0.0.1 or ::1 of this machine.
All of them record what reached them: `heads` and `asked` are what the proxy was told, `received` all bytes of a
connection.

Not here: pytest. Where a program is not installed, `ServerMissing` says so.
"""

from __future__ import annotations

import getpass
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, TypeVar

from . import certs
from .servers import TIMEOUT, Conn, ScriptedServer, ServerMissing, Step, find_program, free_ports, wait_for_port

USER, PASSWORD, TINY_PASSWORD = "squid-user", "pass:word %", "tiny"
# The same for squid: `openssl passwd -apr1 'pass:word %'`.
_USERS = "squid-user:$apr1$Dx4Vjpt8$dGKjlOY4mYkFW06OiplPu.\n"

P = TypeVar("P", bound="_Proxy")

REFUSED = b"HTTP/1.1 %b\r\nContent-Length: 7\r\n\r\nrefused"
NEEDS_LOGIN = REFUSED % b"407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x"


class _Proxy(ScriptedServer):
    """What the scripted proxies share: where names lead, and the relay behind a handshake."""

    scheme = "http"

    def __init__(self, routes: Optional[Mapping[str, int]] = None, tls: Any = None, host: str = "127.0.0.1") -> None:
        self.routes = dict(routes or {})
        super().__init__(self._serve, tls=tls, host=host)

    def __enter__(self: P) -> P:
        return self

    @property
    def netloc(self) -> str:
        """Host and port; over TLS as a name of the certificate."""
        return f"{'localhost' if self.tls else self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The proxy's URL."""
        return f"{self.scheme}://{self.netloc}"

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        raise NotImplementedError

    def _connect(self, host: str, port: int) -> socket.socket:
        """A connection to where the route leads; without one the address has to be this machine's."""
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if name in self.routes:
            host, port = "127.0.0.1", self.routes[name]
        assert host in ("127.0.0.1", "::1", "localhost"), f"no route to {name}"
        return socket.create_connection((host, port), timeout=self.timeout)


def relay(conn: Conn, origin: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    ends: list[Any] = [conn, origin]
    while True:
        readable = [end for end in ends if _pending(end)] or select.select([conn.sock, origin], [], [], TIMEOUT)[0]
        for end in ends:
            if end not in readable and getattr(end, "sock", None) not in readable:
                continue
            data = end.recv(65536)
            if not data:
                return
            (origin if end is conn else conn).sendall(data)
        if not readable:
            return


def _pending(end: Any) -> bool:
    """Is there something that `select` does not know of?"""
    if not isinstance(end, Conn):
        return False
    return bool(end._unread) or (isinstance(end.sock, ssl.SSLSocket) and bool(end.sock.pending()))


class ScriptedProxy(_Proxy):
    """
    An HTTP proxy: forwards requests with a whole URL, and makes tunnels for CONNECT.

    Args:
        routes: "host:port" -> port on this machine.
        tls: a server context, to be reached over TLS.
        login: "user:password" in base64, without which everything is answered with 407.
        script: steps to play after each head instead of all this; the connection ends with it.

    Attributes:
        heads: of all requests to the proxy, in their order.
    """

    def __init__(
        self,
        routes: Optional[Mapping[str, int]] = None,
        *,
        tls: Optional[ssl.SSLContext] = None,
        login: Optional[str] = None,
        script: Iterable[Step] = (),
        host: str = "127.0.0.1",
    ) -> None:
        self.scheme = "https" if tls else "http"
        self.login = login
        self.script = list(script)
        self.heads: list[bytes] = []
        super().__init__(routes, tls, host)

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        while True:
            first = conn.recv(1)
            if not first:
                return
            conn._unread = first + conn._unread
            head = conn.read_head()
            self.heads.append(head)
            if self.script:
                for step in self.script:
                    step(conn)
                return
            if self.login is not None and f"\r\nProxy-Authorization: Basic {self.login}\r\n".encode() not in head:
                conn.sendall(NEEDS_LOGIN)
            elif head.startswith(b"CONNECT "):
                self._tunnel(conn, head.split(b" ")[1].decode("ascii"))
                return
            else:
                self._forward(conn, head)

    def _tunnel(self, conn: Conn, authority: str) -> None:
        host, _, port = authority.rpartition(":")
        with self._connect(host.strip("[]"), int(port)) as origin:
            # A length that must be ignored (RFC 9110 9.3.6).
            conn.sendall(b"HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n")
            relay(conn, origin)

    def _forward(self, conn: Conn, head: bytes) -> None:
        conn._unread = head + conn._unread
        head, body = conn.read_request()
        match = re.match(rb"(\S+) http://(\[[^\]]+\]|[^/:]+)(?::(\d+))?(/\S*) ", head)
        assert match, f"not a whole URL: {head[:200]!r}"
        method, host, port, path = match.groups()
        lines = [b"%b %b HTTP/1.1" % (method, path), *head.split(b"\r\n")[1:-2]]
        lines = [line for line in lines if not line.lower().startswith((b"proxy-", b"transfer-encoding"))]
        if body and b"\r\ncontent-length:" not in head.lower():
            lines.append(b"Content-Length: %d" % len(body))
        with self._connect(host.decode("ascii").strip("[]"), int(port or 80)) as origin:
            origin.sendall(b"\r\n".join([*lines, b"", body]))
            conn.sendall(b"".join(Conn(origin, []).read_request()))  # an answer is framed like a request


class Asked(NamedTuple):
    """What a SOCKS proxy was asked for; `kind` is "name", "ipv4" or "ipv6"."""

    version: int
    kind: str
    host: str
    port: int
    user: bytes = b""
    password: bytes = b""


class ScriptedSocksProxy(_Proxy):
    """
    A SOCKS proxy for the versions 4, 4a and 5.

    Args:
        routes: "host:port" -> port on this machine.
        login: (user, password) that version 5 must give.
        refuse: the code to answer with instead of making a tunnel.
        behind: bytes to send in one piece with the last answer.
        step: what to do instead of the first answer.

    Attributes:
        asked: every request, in their order.
    """

    scheme = "socks5"

    def __init__(
        self,
        routes: Optional[Mapping[str, int]] = None,
        *,
        login: Optional[tuple[bytes, bytes]] = None,
        refuse: Optional[int] = None,
        behind: bytes = b"",
        step: Optional[Step] = None,
    ) -> None:
        self.login = login
        self.refuse = refuse
        self.behind = behind
        self.step = step
        self.asked: list[Asked] = []
        super().__init__(routes)

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        first = conn.recv(1)
        if not first:
            return
        if self.step is not None:
            self.step(conn)
            return
        assert first in (b"\4", b"\5"), f"not SOCKS: {first!r}"
        try:
            asked = self._read_4(conn) if first == b"\4" else self._read_5(conn)
        except AssertionError:  # a client may end in the middle
            if conn.recv():
                raise
            return
        if asked is None:
            return
        self.asked.append(asked)
        granted, refused = (0x5A, 0x5B) if asked.version == 4 else (0, 5)
        code = granted if self.refuse is None else self.refuse or refused
        answer = bytes((0, code) if asked.version == 4 else (5, code, 0, 1)) + bytes(6)
        conn.sendall(answer + self.behind)
        if code == granted:
            with self._connect(asked.host, asked.port) as origin:
                relay(conn, origin)

    def _read_4(self, conn: Conn) -> Asked:
        command, port, address = conn.read_exactly(1), conn.read_exactly(2), conn.read_exactly(4)
        assert command == b"\1"
        user = conn.read_until(b"\0")[:-1]
        number = int.from_bytes(port, "big")
        if address[:3] == bytes(3) and address[3]:
            return Asked(4, "name", conn.read_until(b"\0")[:-1].decode("ascii"), number, user)
        return Asked(4, "ipv4", socket.inet_ntoa(address), number, user)

    def _read_5(self, conn: Conn) -> Optional[Asked]:
        methods = conn.read_exactly(conn.read_exactly(1)[0])
        user = password = b""
        if self.login is None:
            conn.sendall(b"\5\0" if 0 in methods else b"\5\xff")
        elif 2 not in methods:
            conn.sendall(b"\5\xff")
        else:
            conn.sendall(b"\5\2")
            assert conn.read_exactly(1) == b"\1"
            user = conn.read_exactly(conn.read_exactly(1)[0])
            password = conn.read_exactly(conn.read_exactly(1)[0])
            right = (user, password) == self.login
            conn.sendall(b"\1\0" if right else b"\1\1")
            if not right:
                return None
        if conn.recv(1) != b"\5":  # the client has given up
            return None
        command, _, kind = conn.read_exactly(3)
        assert command == 1
        if kind == 3:
            name, host = "name", conn.read_exactly(conn.read_exactly(1)[0]).decode("ascii")
        elif kind == 1:
            name, host = "ipv4", socket.inet_ntoa(conn.read_exactly(4))
        else:
            name, host = "ipv6", socket.inet_ntop(socket.AF_INET6, conn.read_exactly(16))
        return Asked(5, name, host, int.from_bytes(conn.read_exactly(2), "big"), user, password)


# Programs.

SQUID_CONF = """
http_port 127.0.0.1:{port} name=open
http_port 127.0.0.1:{auth_port} name=locked
https_port 127.0.0.1:{tls_port} name=secure tls-cert={chain} tls-key={key}
auth_param basic program {helper} {folder}/users
auth_param basic children 1 startup=1
acl locked myportname locked
acl known proxy_auth REQUIRED
acl forbidden url_regex -i /forbidden forbidden.example
http_access deny forbidden
http_access allow locked known
http_access deny locked
http_access allow all
cache deny all
server_persistent_connections off
cache_log {folder}/log
access_log stdio:{folder}/access
pid_filename {folder}/pid
coredump_dir {folder}
visible_hostname proxy.example
shutdown_lifetime 0 seconds
forwarded_for on
connect_timeout 2 seconds
netdb_filename none
hosts_file {folder}/hosts
"""

TINYPROXY_CONF = """
Port {port}
Listen 127.0.0.1
Timeout 5
MaxClients 50
LogFile "{folder}/log"
PidFile "{folder}/pid"
BasicAuth {user} {password}
"""

# Whoever reaches it may connect anywhere, and is asked nothing.
DANTE_CONF = """
logoutput: {folder}/log
errorlog: {folder}/log
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: none
user.privileged: {user}
user.unprivileged: nobody
client pass {{
  from: 0/0 to: 0/0
}}
socks pass {{
  from: 0/0 to: 0/0
  command: connect
  protocol: tcp
}}
"""

SSHD_CONF = """
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
UsePAM no
PidFile none
"""


class _Program:
    """A program that is started in the foreground, in a folder of its own, and stopped by its process."""

    program = ""
    package = ""
    port = 0

    def __init__(self) -> None:
        found = find_program(self.program)
        if found is None:
            raise ServerMissing(f"{self.program} is not installed (Debian: apt-get install {self.package})")
        self.folder = Path(tempfile.mkdtemp(prefix=f"httpx-{self.program}-"))
        os.chmod(self.folder, 0o777)  # started as root it goes on as another user
        try:
            self._process = self._start(found)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _command(self, found: str) -> list[str]:
        raise NotImplementedError

    def _start(self, found: str) -> subprocess.Popen[bytes]:
        for _ in range(3):  # a port may be taken between finding and using it
            command = self._command(found)
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if wait_for_port(self.port, process):
                return process
            process.kill()
            process.wait()
        log = self.folder / "log"
        raise RuntimeError(f"{self.program} does not start: {log.read_text()[-2000:] if log.exists() else 'no log'}")

    @property
    def url(self) -> str:
        """Where it takes requests."""
        return f"http://127.0.0.1:{self.port}"

    def _stop(self) -> None:
        self._process.kill()  # asked to end, squid thinks for two seconds; there is nothing that it should keep

    def close(self) -> None:
        """Stop the process that was started, and remove its folder."""
        self._stop()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Squid(_Program):
    """
    squid, with three ports: one for everybody, one for `USER` with `PASSWORD`, one for everybody over TLS.

    It answers 403 for everything with "/forbidden" or "forbidden.example" in its URL. "origin.example" is this machine.

    Raises:
        ServerMissing: it is not installed.
    """

    program = package = "squid"

    def _command(self, found: str) -> list[str]:
        self.port, self.auth_port, self.tls_port = free_ports(3)
        chain, key = (shutil.copy(path, self.folder) for path in certs.leaf_files())
        for path in (chain, key):
            os.chmod(path, 0o644)
        (self.folder / "users").write_text(_USERS)
        (self.folder / "hosts").write_text("127.0.0.1 origin.example localhost\n::1 six.example\n")
        helpers = [Path(folder, "basic_ncsa_auth") for folder in ("/usr/lib/squid", "/usr/lib64/squid")]
        helper = next((path for path in helpers if path.exists()), helpers[0])
        conf = self.folder / "conf"
        conf.write_text(
            SQUID_CONF.format(
                folder=self.folder,
                port=self.port,
                auth_port=self.auth_port,
                tls_port=self.tls_port,
                chain=chain,
                key=key,
                helper=helper,
            )
        )
        return [found, "-N", "-f", str(conf)]

    @property
    def auth_url(self) -> str:
        """Where it wants to know who asks."""
        return f"http://127.0.0.1:{self.auth_port}"

    @property
    def tls_url(self) -> str:
        """Where it is reached over TLS, with a certificate of `certs.authority`."""
        return f"https://localhost:{self.tls_port}"


class Tinyproxy(_Program):
    """
    tinyproxy, for `USER` with `TINY_PASSWORD`.

    Raises:
        ServerMissing: it is not installed.
    """

    program = package = "tinyproxy"

    def _command(self, found: str) -> list[str]:
        (self.port,) = free_ports(1)
        conf = self.folder / "conf"
        # Without a line "ConnectPort" tunnels may go to any port.
        conf.write_text(TINYPROXY_CONF.format(port=self.port, folder=self.folder, user=USER, password=TINY_PASSWORD))
        return [found, "-d", "-c", str(conf)]


class Dante(_Program):
    """
    dante, for SOCKS 4 and 5, open to everybody. (Debian's takes the addresses of SOCKS 4a literally.)

    Raises:
        ServerMissing: it is not installed.
    """

    program, package = "danted", "dante-server"

    def _command(self, found: str) -> list[str]:
        (self.port,) = free_ports(1)
        conf = self.folder / "conf"
        conf.write_text(DANTE_CONF.format(port=self.port, folder=self.folder, user=getpass.getuser()))
        return [found, "-f", str(conf)]

    def _stop(self) -> None:
        self._process.terminate()  # it has children, which it ends


class Microsocks(_Program):
    """
    microsocks, for SOCKS 5 with `USER` and `PASSWORD`.

    Raises:
        ServerMissing: it is not installed.
    """

    program = package = "microsocks"

    def _command(self, found: str) -> list[str]:
        (self.port,) = free_ports(1)
        return [found, "-i", "127.0.0.1", "-p", str(self.port), "-u", USER, "-P", PASSWORD]


class OpenSSH(_Program):
    """
    `ssh -D`, for SOCKS 4, 4a and 5: a tunnel to an sshd of its own, to which it speaks through a pipe.

    Raises:
        ServerMissing: ssh or sshd is not installed, or sshd has not got the folder that it wants.
    """

    program, package = "ssh", "openssh-client openssh-server"

    def _command(self, found: str) -> list[str]:
        sshd, keygen = find_program("sshd"), find_program("ssh-keygen")
        if sshd is None or keygen is None or (getpass.getuser() == "root" and not os.path.isdir("/run/sshd")):
            raise ServerMissing("sshd is not installed, or /run/sshd is not there (Debian: openssh-server)")
        (self.port,) = free_ports(1)
        for name in ("host", "user"):
            if not (self.folder / name).exists():
                subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True)
        conf = self.folder / "conf"
        conf.write_text(SSHD_CONF.format(folder=self.folder))
        options = {
            "ProxyCommand": f"{sshd} -i -f {conf}",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "ExitOnForwardFailure": "yes",
        }
        given = [f"-o{name}={value}" for name, value in options.items()]
        key = str(self.folder / "user")
        where = f"127.0.0.1:{self.port}"
        return [found, "-F", "none", "-N", "-D", where, "-i", key, *given, f"{getpass.getuser()}@localhost"]
