"""Fixtures and profiles that all tests share; what they are made of is in `support/`."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from support.depth import QUICK, depth

if TYPE_CHECKING:
    import ssl

    from httpx._cli.echo_server import EchoServer
    from support.drivers import Driver
    from support.servers import NginxServer

# No deadline: a slow machine is no bug. In CI the examples are the same in every run, so that a failure is about the
# change; elsewhere they are new each time, and find more.
settings.register_profile("local", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
settings.register_profile("quick", deadline=None, max_examples=10, derandomize=True)
settings.load_profile("quick" if QUICK else "ci" if os.environ.get("CI") else "local")

# What the machine is set to must not change what the tests see: a proxy would get their requests.
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.lower(), None)
for _name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "NETRC"):
    os.environ.pop(_name, None)
# Nor how it was started: in a shell's background Ctrl-C is ignored, by the programs that tests start, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> None:
    """
    Keep what is there before a module's tests begin out of the garbage collector's sight, for good.

    Thousands of tests are millions of objects, and many a test looks for what it left behind: each look took a second.
    """
    gc.collect()
    if hasattr(gc, "freeze"):  # not on PyPy
        gc.freeze()


DRIVERS = depth(("sync", "asyncio", "asyncio-fallback", "uvloop", "trio"), ("sync", "asyncio", "trio"))
CUTS = depth(("whole", "bytes", "random-1", "random-2", "random-3"), ("whole", "random-1"))


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each engine in turn; see `support.drivers`."""
    from support import drivers

    reason = drivers.missing(request.param)
    if reason is not None:
        pytest.skip(reason)
    return drivers.Driver(request.param)


@pytest.fixture(params=CUTS)
def cut(request: pytest.FixtureRequest) -> Any:
    """A function from bytes to the list of their pieces: whole, byte by byte, and cut at random."""
    from support import wires

    return lambda data: wires.cut(data, request.param)


@pytest.fixture(scope="session")
def echo_server() -> Iterator[EchoServer]:
    """The project's own server, over http."""
    from httpx._cli.echo_server import EchoServer

    with EchoServer() as server:
        yield server


@pytest.fixture(scope="session")
def tls_echo_server() -> Iterator[EchoServer]:
    """The project's own server, over https with a certificate of `ca`."""
    from httpx._cli.echo_server import EchoServer
    from support import certs

    with EchoServer(host="localhost", ssl_context=certs.server_context()) as server:
        yield server


@pytest.fixture(scope="session")
def ca() -> Any:
    """The module `support.certs`: contexts and files of an authority that exists for the tests only."""
    from support import certs

    return certs


@pytest.fixture
def trusting(ca: Any) -> ssl.SSLContext:
    """A client's TLS context that trusts `ca`."""
    context: ssl.SSLContext = ca.client_context()
    return context


@pytest.fixture(scope="session")
def nginx() -> Iterator[NginxServer]:
    """A running nginx. Without one installed the test is skipped, or fails if HTTPX_REQUIRE_SERVERS=1."""
    from support.running import started
    from support.servers import NginxServer

    with started(NginxServer) as server:
        yield server


@pytest.fixture
def without_httpx2() -> Iterator[None]:
    """Hide an httpx2 that is imported, and take back what `alias_httpx2` does."""
    from httpx._alias import given_classes

    def names() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in ("httpx2", "httpcore2")]

    classes = {kind: kind.__module__ for kind in given_classes()}
    finders, modules = sys.meta_path.copy(), {name: sys.modules.pop(name) for name in names()}
    yield
    for kind, module in classes.items():
        kind.__module__ = module
    for name in names():
        del sys.modules[name]
    sys.modules.update(modules)
    sys.meta_path[:] = finders


def open_sockets() -> set[str]:
    """Inodes of this process's sockets; empty where there is no /proc."""
    found = set()
    folder = "/proc/self/fd"
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            target = os.readlink(f"{folder}/{name}")
        except OSError:  # closed since the folder was listed
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """
    Fails a test after which more sockets are open than before (on Linux).

    A server in this process may need a moment to see that its client is gone, so there is one second for that.
    """
    gc.collect()
    before = open_sockets()
    yield
    deadline = time.monotonic() + 1
    gc.collect()
    while open_sockets() - before and time.monotonic() < deadline:
        time.sleep(0.005)
    left = open_sockets() - before
    assert not left, f"sockets left open: {sorted(left)}"
