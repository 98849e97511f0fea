"""
A program: one sync client, sixteen threads, signals, and every response checked against its request.

    cd tests && python -m support.stress [--seconds 60] [--seed N] [--without dropped,signals]

The threads and the main thread share one client over HTTP/1.1, HTTP/1.1 over TLS and HTTP/2, against servers in another
process. They read bodies whole and in pieces, close some early, drop some, upload, and echo bytes over upgraded
connections, which one thread reads while another writes. They talk over WebSockets, on connections of their own and on
streams of HTTP/2, some of which the server cuts at any byte (`stress_websockets`). The interpreter switches threads
every microsecond. In the main thread a signal handler raises an exception at a random moment of many requests.

Each request has an id of its own in its path, a header and its body, and the response has to repeat them all. At the
end no connection may be in use, and no thread and no descriptor may be left.

It prints JSON: the seed, what was done, and what failed how often. Its status is 1 if anything failed. The seed gives
the same requests; when threads and signals come between is chance.

An exception between two steps of sending or receiving leaves a connection of HTTP/2 in an unknown state. All its
streams have to be given up then, and a request or a WebSocket of another thread may fail; but its error has to say
"interrupted".

Not here: tasks and cancellation (`stress_tasks`), pytest (`tests/adversarial/test_stress.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable

import httpx

from . import certs
from .drivers import SyncAdapter, run_without_loop
from .http2 import StreamServer, _StreamConnection, h2_context
from .leaks import counts_of, descriptors, left_over
from .servers import Conn, ScriptedServer
from .stress_websockets import BrokenByInterruption, Sessions, ThreadHands
from .websocket import accept_of
from .websocket_side import Side

THREADS = 16
CONNECTIONS = 10  # fewer than threads, so that some wait
PATIENCE = 20.0  # seconds that a wait may take on a busy machine, where every thread is switched all the time
ENOUGH = 20  # failures after which nothing more is to be learnt


def response_body(path: bytes, name: bytes, body: bytes) -> bytes:
    """Return what the server says to a request for /echo/SIZE/ID."""
    size = int(path.split(b"/")[2])
    return b"%b %b %b " % (path, name, body) + (name * (size // len(name) + 1))[:size]


# The servers, in a process of their own.


# What clients of WebSockets did against the rules.
_FAULTS: list[str] = []


class _Forgetful(list[bytes]):
    """A record of what arrived that keeps nothing: a minute of it would fill the memory."""

    def append(self, item: bytes) -> None:
        """Drop it."""


def _serve(conn: Conn, recorded: list[bytes]) -> None:
    conn.recorded = _Forgetful()
    while True:
        first = conn.recv(1)
        if not first:
            return
        conn._unread = first + conn._unread
        head, body = conn.read_request()
        path = head.split(b" ", 2)[1]
        name = path.rpartition(b"/")[2]
        if path.startswith(b"/ws/"):
            _serve_websocket(conn, head)
            return
        if path.startswith(b"/upgrade/"):
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n" + name)
            while received := conn.recv():
                conn.sendall(received)
            return
        content = response_body(path, name, body)
        lines = [b"HTTP/1.1 200 OK", b"X-Id: " + name]
        if len(content) % 3:
            lines += [b"Content-Length: %d" % len(content), b"", content]
            conn.sendall(b"\r\n".join(lines))
            continue
        conn.sendall(b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]))
        middle = len(content) // 2
        for piece in (content[:middle], content[middle:]):
            conn.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        conn.sendall(b"0\r\n\r\n")


def _serve_websocket(conn: Conn, head: bytes) -> None:
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    lines += [b"Sec-WebSocket-Accept: " + accept_of(head), b"", b""]
    side = Side(head.split(b" ", 2)[1].decode(), b"\r\n".join(lines))
    while True:
        conn.sendall(side.take(len(side.output)))
        _FAULTS.extend(side.faults)
        if side.end == "reset":
            conn.reset()
        if side.end is not None:
            return
        side.faults = []
        received = conn.recv()
        if not received:
            return
        side.receive(received)


class EchoStreams(StreamServer):
    def __init__(self) -> None:
        super().__init__(tls=True, timeout=600, websockets=True)
        self.tls = h2_context()  # a WebSocket that is the first to come here comes over HTTP/1.1

    def _serve(self, conn: Conn, recorded: list[bytes]) -> None:
        conn.recorded = _Forgetful()
        if conn.selected_alpn_protocol() != "h2":
            _serve(conn, recorded)
            return
        try:
            _EchoConnection(self, conn, self.connections).serve()
        except AssertionError:  # the connection ended within a frame
            pass


class _EchoConnection(_StreamConnection):
    def answer(self, stream: int) -> None:
        path = self.heads[stream][":path"].encode()
        name = path.rpartition(b"/")[2]
        self.h2.send_headers(stream, [(":status", "200"), ("x-id", name.decode())])
        self.sending[stream] = memoryview(response_body(path, name, bytes(self.bodies[stream]))), None
        self.server.asked.clear()


def serve() -> None:
    """Serve until standard input ends; then print what the client did against the rules."""
    tls = certs.server_context()
    servers = [
        ScriptedServer(_serve, timeout=600),
        ScriptedServer(_serve, tls=tls, timeout=600),
        EchoStreams(),
        EchoStreams(),
    ]
    names = ("http1", "tls", "http2", "lossy")
    urls = {name: server.url for name, server in zip(names, servers)}
    print(json.dumps({"urls": urls, "authority": certs.authority_pem().decode()}), flush=True)
    sys.stdin.read()
    # Connections that the client cut within a request are no fault: exceptions from signals do that.
    errors = [error for server in servers for error in server._errors]
    faults = [repr(error) for error in errors if not isinstance(error, (OSError, AssertionError))]
    faults += [fault for server in servers[2:] for fault in server.faults]
    print(json.dumps(faults + _FAULTS), flush=True)
    os._exit(0)


# The client.


class Alarm(Exception):
    """Raised by the signal handler, as a task queue's soft time limit does."""


class Interrupt(BaseException):
    """The same, as Ctrl-C does."""


class Stress:
    """
    Args:
        urls: of the servers: `http1`, `tls`, `http2`.
        client: which all threads share.
        seed: of the requests.
        without: names of the kinds of things that are not done; "signals" is one, too.
        until: when to stop, on the monotonic clock.

    Attributes:
        done: how often each kind of thing was done.
        failures: what failed, and how often.
    """

    def __init__(
        self, urls: dict[str, str], client: httpx.Client, seed: int, until: float, without: frozenset[str]
    ) -> None:
        self.kinds = [kind for kind in KINDS if kind.__name__ not in without]
        self.with_signals = "signals" not in without
        self.urls = urls
        self.client = client
        self.seed = seed
        self.until = until
        self.done: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._armed = False
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        """Whether the time is up, or enough has failed."""
        return time.monotonic() >= self.until or sum(self.failures.values()) >= ENOUGH

    def failed(self, what: str) -> None:
        """Keep what failed."""
        with self._lock:
            self.failures[what] += 1

    def run(self) -> None:
        """Run the threads and the main thread's requests until the time is up."""
        threads = [threading.Thread(target=self._work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        self._be_interrupted()
        for thread in threads:
            thread.join(3 * PATIENCE)
            if thread.is_alive():
                self.failed(f"{thread.name} does not end")

    def _work(self, number: int) -> None:
        dice = random.Random(f"{self.seed}-{number}")
        count = 0
        while not self.is_over:
            count += 1
            kind = self._choose(dice)
            done = kind.__name__
            try:
                kind(self, dice, f"{number}-{count}")
            except BrokenByInterruption:
                done = "broken by an interruption"
            except httpx.TransportError as exc:
                if "interrupted" in str(exc) and str(exc.request.url).startswith(self.urls["http2"]):
                    done = "broken by an interruption"
                else:
                    self.failed(_story(kind))
            except BaseException:
                self.failed(_story(kind))
            with self._lock:
                self.done[done] += 1

    def _choose(self, dice: random.Random) -> Any:
        return dice.choices(self.kinds, [WEIGHTS[kind.__name__] for kind in self.kinds])[0]

    # In the main thread, which alone gets signals.

    def _be_interrupted(self) -> None:
        dice = random.Random(f"{self.seed}-main")
        before = signal.signal(signal.SIGALRM, self._on_alarm)
        count = 0
        while not self.is_over:
            count += 1
            kind = self._choose(dice)
            if kind is Stress.upgraded:  # starts a thread, and there are enough
                continue
            self._error: Any = dice.choice((Alarm, Interrupt))
            try:
                self._interruptible(kind, dice, f"main-{count}")
            except (Alarm, Interrupt):
                self.done["interrupted"] += 1
            except BaseException:
                self.failed("in the main thread: " + _story(kind))
            self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    def _interruptible(self, kind: Callable[..., None], dice: random.Random, name: str) -> None:
        self._armed = self.with_signals
        signal.setitimer(signal.ITIMER_REAL, dice.choice((0.0005, 0.005, 0.05)) * dice.random() + 1e-6)
        kind(self, dice, name)
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_alarm(self, number: int, frame: Any) -> None:
        if self._armed:
            self._armed = False
            raise self._error

    # What is done.

    def whole(self, dice: random.Random, name: str) -> None:
        """A GET whose body is read at once."""
        url, path = self._address(dice, name, (0, 10, 100_000))
        self._check(self.client.get(url, headers={"X-Id": name}), path, name)

    def upload(self, dice: random.Random, name: str) -> None:
        """A POST, whole or in pieces."""
        url, path = self._address(dice, name, (0, 1000, 100_000))
        body = f"{name},".encode() * dice.choice((1, 100, 20_000))
        content = _pieces(body) if dice.random() < 0.5 else body
        self._check(self.client.post(url, headers={"X-Id": name}, content=content), path, name, body)

    def streamed(self, dice: random.Random, name: str) -> None:
        """A GET whose body is read in pieces."""
        url, path = self._address(dice, name, (0, 1000, 500_000))
        with self.client.stream("GET", url, headers={"X-Id": name}) as response:
            pieces = response.iter_raw() if dice.random() < 0.5 else response.iter_bytes(10_000)
            self._check(response, path, name, content=b"".join(pieces))

    def left(self, dice: random.Random, name: str) -> None:
        """A GET whose body is not read to its end."""
        url, path = self._address(dice, name, (100, 500_000))
        expected = response_body(path, name.encode(), b"")
        with self.client.stream("GET", url, headers={"X-Id": name}) as response:
            for piece in response.iter_raw():
                _agree(expected[: len(piece)], piece, name)
                break

    def dropped(self, dice: random.Random, name: str) -> None:
        """A GET whose response is dropped without being closed."""
        url, _ = self._address(dice, name, (100, 500_000))
        request = self.client.build_request("GET", url, headers={"X-Id": name})
        response = self.client.send(request, stream=True)
        _agree(name, response.headers["x-id"], name)

    def upgraded(self, dice: random.Random, name: str) -> None:
        """An upgraded connection, which one thread reads while another one writes."""
        url = f"{self.urls[dice.choice(('http1', 'tls'))]}/upgrade/{name}"
        sent = [f"{name}/{number} ".encode() * dice.choice((1, 1000, 10_000)) for number in range(10)]
        with self.client.stream("GET", url, headers={"Upgrade": "echo", "Connection": "Upgrade"}) as response:
            stream = response.extensions["network_stream"]
            errors: list[BaseException] = []

            def write() -> None:
                try:
                    for piece in sent:
                        stream.write(piece, PATIENCE)
                except BaseException as exc:
                    errors.append(exc)
                    stream.close()

            writer = threading.Thread(target=write)
            writer.start()
            try:
                received = bytearray()
                expected = name.encode() + b"".join(sent)
                while len(received) < len(expected) and (data := stream.read(65_536, PATIENCE)):
                    received += data
            finally:
                writer.join(2 * PATIENCE)
            if errors:
                raise errors[0]
            _agree(expected, bytes(received), name)

    def websocket(self, dice: random.Random, name: str) -> None:
        """A WebSocket; see `Sessions`."""
        hands = ThreadHands(has_threads=threading.current_thread() is not threading.main_thread())
        sessions = Sessions(SyncAdapter(self.client), self.urls, hands)
        try:
            run_without_loop(sessions.one(dice, name))
        finally:
            with self._lock:
                self.done.update(sessions.done)

    def _address(self, dice: random.Random, name: str, sizes: tuple[int, ...]) -> tuple[str, bytes]:
        path = f"/echo/{dice.choice(sizes) + dice.randrange(3)}/{name}"
        return self.urls[dice.choice(("http1", "tls", "http2"))] + path, path.encode()

    def _check(self, response: httpx.Response, path: bytes, name: str, body: bytes = b"", content: Any = None) -> None:
        _agree(name, response.headers["x-id"], name)
        got = response.content if content is None else content
        _agree(response_body(path, name.encode(), body), got, f"{name} over {response.http_version}")


KINDS: tuple[Any, ...] = (
    Stress.whole, Stress.upload, Stress.streamed, Stress.left, Stress.dropped, Stress.upgraded,
    Stress.websocket,
)  # fmt: skip
WEIGHTS = {"whole": 50, "upload": 20, "streamed": 20, "left": 8, "dropped": 2, "upgraded": 4, "websocket": 20}


def _story(kind: Any) -> str:
    """Return what was done, the exception that is handled, and where it came from."""
    return f"{kind.__name__}: {traceback.format_exc(limit=-4)}"


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


def _agree(expected: Any, got: Any, name: str) -> None:
    if expected != got:
        raise AssertionError(
            f"request {name}: {len(got)} for {len(expected)} bytes, {got[:60]!r} for {expected[:60]!r}, "
            f"{got[-30:]!r} for {expected[-30:]!r} at the end"
        )


def stress(seconds: float, seed: int, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return what was done and what failed."""
    command = [sys.executable, "-m", "support.stress", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        before = descriptors()
        client = httpx.Client(
            verify=_context(told["authority"]),
            http2=True,
            trust_env=False,
            timeout=PATIENCE,
            limits=httpx.Limits(max_connections=CONNECTIONS),
        )
        run = Stress(told["urls"], client, seed, time.monotonic() + seconds, without)
        threading.excepthook = lambda args: run.failed(f"in a thread: {args.exc_value!r}")
        sys.unraisablehook = lambda told: _on_unraisable(run, told)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            run.run()
        finally:
            sys.setswitchinterval(interval)
        broken, interrupted = run.done["broken by an interruption"], run.done["interrupted"]
        if broken > 20 + interrupted // 2:  # an interrupted wait breaks nothing; measured: 11 to 16 for each hundred
            run.failed(f"{interrupted} interruptions broke {broken} requests of others")
        opened, idle, dials, waiting = counts_of(client)
        if (opened, dials, waiting) != (idle, 0, 0):
            run.failed(f"the pool has {opened} connections, {idle} of them idle, {dials} dials, {waiting} waiting")
        client.close()
        if counts_of(client) != (0, 0, 0, 0):
            run.failed(f"after its end the pool has {counts_of(client)}")
        for left in left_over(before):
            run.failed(f"left: {left}")
        server.stdin.close()
        for fault in json.loads(server.stdout.readline()):
            run.failed(f"the server found: {fault}")
    return {"seed": seed, "done": dict(run.done), "failures": dict(run.failures)}


def _on_unraisable(run: Stress, told: Any) -> None:
    # An exception of a signal handler within a finalizer goes nowhere else.
    if not isinstance(told.exc_value, (Alarm, Interrupt)):
        run.failed(f"unraisable: {told.exc_value!r} in {told.object!r}")


def _context(authority: str) -> Any:
    import ssl

    return ssl.create_default_context(cadata=authority)


def main() -> int:
    """Run the program; returns its status."""
    parser = argparse.ArgumentParser(prog="stress", description="One sync client, sixteen threads, and signals.")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("HTTPX_STRESS_SECONDS", "3")))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--without", default="", help="kinds of things not to do: " + ", ".join([*WEIGHTS, "signals"]))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with contextlib.suppress(KeyboardInterrupt):
            serve()
        return 0
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    faulthandler.dump_traceback_later(options.seconds + 5 * PATIENCE, exit=True)
    outcome = stress(options.seconds, options.seed, frozenset(options.without.split(",")))
    print(json.dumps(outcome, indent=1))
    return int(bool(outcome["failures"]))


if __name__ == "__main__":
    sys.exit(main())
