"""What is made anew in a forked child: sockets and locks."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import httpx
from httpx._forks import FORKS, ForkGuard

SOURCE = Path(httpx.__file__).parent
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


class Engine:
    forgot = 0

    def forget(self) -> None:
        self.forgot += 1


def run(program: str, *args: str) -> str:
    """Run a program in a process of its own, where forking with threads is no warning that is an error."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program), *args],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_forked_child_is_told_to_forget():
    guard, engines = ForkGuard(), [Engine(), Engine()]
    for engine in engines:
        guard.watch(engine)
    guard._in_child()
    assert [engine.forgot for engine in engines] == [1, 1]


def test_an_attribute_is_made_anew_before_its_owner_forgets():
    guard = ForkGuard()

    class Owner:
        lock = threading.Lock()

        def forget(self) -> None:
            assert not self.lock.locked()

    owner = Owner()
    owner.lock.acquire()
    guard.watch(owner)
    guard.renew(owner, "lock", threading.Lock)
    guard._in_child()
    assert not owner.lock.locked()


def test_an_owner_that_cannot_forget_does_not_keep_the_others_from_it():
    guard, engine = ForkGuard(), Engine()

    class Failing:
        def forget(self) -> None:
            raise OSError("broken")

    failing = Failing()
    guard.watch(failing)
    guard.watch(engine)
    with pytest.raises(OSError, match="broken"):
        guard._in_child()
    assert engine.forgot == 1


def test_an_owner_is_not_kept_alive_and_need_not_be_hashable():
    guard = ForkGuard()

    class Owner(Engine):
        __hash__ = None  # type: ignore[assignment]  # as of a class that defines __eq__

        def __eq__(self, other: object) -> bool:
            return True

    guard.watch(Owner())
    guard.renew(Owner(), "lock", threading.Lock)
    gc.collect()
    assert not guard._owners
    guard._in_child()


def test_an_owner_in_the_place_of_another_one_stays_known():
    guard, first, second = ForkGuard(), Engine(), Engine()
    guard.watch(first)
    ((key, (reference, _)),) = guard._owners.items()
    guard._owners.clear()
    guard.watch(second)
    guard._owners[key] = guard._owners.pop((id(second), ""))
    guard._remove(key, reference)
    assert len(guard._owners) == 1


def test_without_fork_there_is_nothing_to_do(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    guard, engine = ForkGuard(), Engine()
    guard.watch(engine)
    assert engine.forgot == 0


@can_fork
def test_a_real_fork_is_noticed_in_the_child_and_only_there():
    program = """
        import os
        from httpx._forks import FORKS

        class Engine:
            forgot = False
            def forget(self):
                self.forgot = True

        engine = Engine()
        FORKS.watch(engine)
        child = os.fork()
        if child == 0:
            os._exit(42 if engine.forgot else 1)
        _, status = os.waitpid(child, 0)
        print(os.WEXITSTATUS(status), engine.forgot)
    """
    assert run(program).split() == ["42", "False"]


def test_one_guard_serves_all_owners():
    assert isinstance(FORKS, ForkGuard)


# Every lock of the package.

# File and the line that makes the lock -> where the program below holds it, or why a child never meets it.
LOCKS = {
    ("_files.py", "self._lock = Lock()"): "(of one upload, and a child begins its own)",
    ("_transfer.py", "self._told = Lock()"): "(of one download, and a child begins its own)",
    ("_transports/drafts.py", "self._lock = Lock()"): "(of one download, and a child begins its own)",
    ("_tls_context.py", "_making_default = threading.RLock()"): "default context",
    ("_bulk/processes.py", "self._lock = threading.RLock()"): "clients of a worker",
    ("_cookies/mapping.py", "_CREATING = threading.RLock()"): "a new jar",
    ("_cookies/storage.py", "_FOR_FOREIGN_JARS = threading.RLock()"): "foreign jars",
    ("_engine/names.py", "self._lock = threading.RLock()"): "names",
    ("_engine/names.py", "self._over = threading.Event()"): "(of one look-up, and a child begins its own)",
    ("_engine/security.py", "self._lock = threading.RLock()"): "TLS sessions",
    ("_engine/security.py", "_offering = threading.RLock()"): "offering",
    ("_engine/sync.py", "self.lock = threading.RLock()"): "engine",
    ("_engine/wire.py", "self.lock = threading.Lock()"): "upgraded",
    ("_engine/sync_stream.py", "self._read_turn = threading.Lock()"): "turn to read",
    ("_engine/sync_stream.py", "self._write_turn = threading.Lock()"): "turn to write",
    ("_engine/websocket/sync.py", "self._lock = threading.RLock()"): "(of a session, which the keeper tells of forks)",
    ("_engine/websocket/sync.py", "self._read_turn = threading.RLock()"): "(the same)",
    ("_engine/websocket/sync.py", "self._write_turn = threading.RLock()"): "(the same)",
    ("_engine/websocket/keeper.py", "self._lock = threading.RLock()"): "keeper",
    ("_engine/websocket/keeper.py", "self._hurry = threading.Event()"): "(of a thread that is not in a child)",
    ("_engine/websocket/pairs.py", "changed = threading.Condition()"): "(of two ends in one test)",
    ("_engine/sync.py", "ticket.signal = threading.Lock()"): "(of a thread that waits, and is not in a child)",
    (
        "_engine/sleeping.py",
        "signal = self._signal = threading.Lock()",
    ): "(of a thread that waits, and is not in a child)",
    ("_engine/http2/sync.py", "self._lock = threading.RLock()"): "HTTP/2",
    ("_engine/http2/sync.py", "waiter = threading.Lock()"): "(of a thread that waits)",
    ("testing.py", "self._lock = Lock()"): "virtual time",
    ("_latch.py", "self._lock = threading.RLock()"): "latch",
    ("_middleware/rate.py", "self._lock = RLock()"): "rate limit",
    ("_transports/latches.py", "over = threading.Lock()"): "(of a thread that waits)",
    ("_middleware/retry.py", "self._lock = RLock()"): "budget",
    ("_transports/choice.py", "self._lock = RLock()"): "choice",
    ("_transports/default.py", "self._lock = RLock()"): "async transport",
    ("_transports/asgi_portal.py", "self._lock = RLock()"): "portal",
}
MAKES = re.compile(r"(?<![\w.])(?:threading\.)?(?:R?Lock|Condition|Event|(?:Bounded)?Semaphore|Barrier|local)\(\)")


def test_every_lock_of_the_source_is_in_the_list():
    """A lock that another thread held at a fork hung the child for ever: a proxy's choice, a cookie jar."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        if path.parent.name == "_cli":  # a command, which does not fork
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            if MAKES.search(line):
                found.add((path.relative_to(SOURCE).as_posix(), line.split("  #")[0].strip()))
    assert found == set(LOCKS)


def test_a_lock_that_is_not_in_the_list_would_be_found():
    for line in ("lock = Lock()", "x = threading.RLock()", "self._c = threading.Condition()", "threading.local()"):
        assert MAKES.search(line)
    for line in ("asyncio.Event()", "trio.Event()", "class Event(NamedTuple):", "self.lock.acquire()"):
        assert not MAKES.search(line)


PROGRAM = r"""
    import asyncio, http.cookiejar, json, os, signal, socket, sys, threading, types

    sys.path.insert(0, sys.argv[1])
    import httpx
    import pickle
    from httpx import _tls_context, testing
    from httpx._latch import Latch
    from httpx._bulk.processes import KEPT
    from httpx._cookies import mapping, storage
    from httpx._engine import names, security, sync_connection
    from httpx._engine.http2.sync import SyncMultiplexer
    from httpx._engine.websocket.keeper import KEEPER

    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    def serve(connection):
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n")

    def accept():
        while True:
            threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()

    class Foreign:
        "A jar that is not derived from CookieJar."
        set_cookie = None
        def __iter__(self):
            return iter(())

    class App:
        async def __call__(self, scope, receive, send):
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    def get(client):
        assert client.get(url).status_code == 204

    def get_async(transport):
        async def main():
            async with httpx.AsyncClient(transport=transport) as client:
                assert (await client.get(url)).status_code == 204
        asyncio.run(main())

    def challenge(auth):
        request = httpx.Request("GET", url)
        flow = auth.auth_flow(request)
        next(flow)
        field = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
        flow.send(httpx.Response(401, headers={"WWW-Authenticate": field}, request=request))

    def begin(keep):
        sessions = security.Sessions() if keep is None else keep
        sessions.begin("peer")
        return sessions

    def begin_another(limit, sent):
        # What the parent sent counts there, not here, and the one under way can be given up.
        assert isinstance(next(limit(httpx.Request("GET", url))), httpx.Request)
        sent.close()

    client = httpx.Client(timeout=5)
    get(client)
    engine = client._transport._engine
    choosing = httpx.Client(timeout=5, proxy=lambda request: None if "path" in request.url.path else url)
    assert choosing.get("http://example.org/").status_code == 204
    chooser = choosing._transport._choice
    jar = http.cookiejar.CookieJar()
    cookies = httpx.Cookies(jar)
    given = httpx.Cookies()
    given.jar = http.cookiejar.CookieJar()
    foreign = httpx.Cookies(Foreign())
    auth = httpx.DigestAuth("user", "password")
    sessions = security.Sessions()
    transport = httpx.AsyncHTTPTransport()
    app = httpx.Client(transport=httpx.ASGITransport(App()))
    get(app)
    portal = next(value for value in vars(app._transport).values() if type(value).__name__ == "Portal")
    known = names.Names()
    budget = httpx.Retry()._budget
    wire = sync_connection.SyncWire(socket.create_connection(listener.getsockname()))
    upgraded = sync_connection.SyncConnection(wire).upgrade(b"")

    def shared():
        from httpx._engine.http2.sync import SyncMultiplexer
        client = httpx.Client(http1=False, http2=True)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        connection = sync_connection.SyncConnection(sync_connection.SyncWire(ours))
        return client, theirs, SyncMultiplexer(client._transport._engine, connection)

    kept = shared()
    virtual = testing.VirtualTime()
    latch = Latch()
    limit = httpx.RateLimit("1/s")
    sent = limit(httpx.Request("GET", url))
    next(sent)

    def borrow():
        with KEPT.borrowed(b"word", pickle.dumps(httpx.Client())) as borrowed:
            get(borrowed)

    def resolve():
        known.learn("name", 80, [])

    CASES = {
        "default context": (lambda: _tls_context._making_default, lambda: (_tls_context._default_contexts.clear(),
            _tls_context.default_ssl_context())),
        "clients of a worker": (lambda: KEPT._lock, borrow),
        "a new jar": (lambda: mapping._CREATING, lambda: httpx.Cookies().set("a", "b")),
        "foreign jars": (lambda: storage._FOR_FOREIGN_JARS, lambda: list(foreign)),
        "jar": (lambda: jar._cookies_lock, lambda: cookies.set("a", "b")),
        "jar that was set": (lambda: given.jar._cookies_lock, lambda: given.set("a", "b")),
        "jar of the client": (lambda: client.cookies.jar._cookies_lock, lambda: get(client)),
        "names": (lambda: known._lock, lambda: known.distrust("name", 80)),
        "TLS sessions": (lambda: sessions._lock, lambda: sessions.begin("peer")),
        "offering": (lambda: security._offering, lambda: security._offering.acquire()),
        "engine": (lambda: engine.lock, lambda: get(client)),
        "turn to write": (lambda: upgraded._write_turn, lambda: upgraded.write(b"x")),
        "turn to read": (lambda: upgraded._read_turn, lambda: upgraded._read_turn.acquire()),
        "upgraded": (lambda: wire.lock, lambda: wire.lock.acquire()),
        "keeper": (lambda: KEEPER._lock, lambda: KEEPER.remove(engine)),
        "HTTP/2": (lambda: kept[2]._lock, lambda: kept[2].say_goodbye()),
        "budget": (lambda: budget._lock, lambda: budget.take(("http", "a", 80), 1.0)),
        "choice": (lambda: chooser._lock, lambda: choosing.get("http://example.org/")),
        "async transport": (lambda: transport._lock, lambda: get_async(transport)),
        "portal": (lambda: portal._lock, lambda: get(app)),
        "virtual time": (lambda: virtual._lock, lambda: virtual.advance(1)),
        "latch": (lambda: latch._lock, lambda: latch.set()),
        "rate limit": (lambda: limit._lock, lambda: begin_another(limit, sent)),
    }

    def held(lock, inside, over):
        with lock:
            inside.set()
            over.wait()

    outcomes = {}
    for name, (find, use) in CASES.items():
        inside, over = threading.Event(), threading.Event()
        thread = threading.Thread(target=held, args=(find(), inside, over))
        thread.start()
        inside.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(5)  # which ends a child that hangs
            try:
                use()
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            os._exit(42)
        _, status = os.waitpid(child, 0)
        over.set()
        thread.join()
        outcomes[name] = os.WEXITSTATUS(status) if os.WIFEXITED(status) else "hangs"
        assert not find().locked() if hasattr(find(), "locked") else True
    print(json.dumps(outcomes))
    sys.stdout.flush()
    os._exit(0)
"""


@can_fork
def test_a_child_can_use_what_another_thread_had_locked_at_the_fork():
    outcomes = json.loads(run(PROGRAM, str(Path(__file__).parent)))
    assert set(outcomes) >= {where for where in LOCKS.values() if not where.startswith("(")}
    assert set(outcomes.values()) == {42}, outcomes


@can_fork
def test_clients_that_were_used_before_a_fork_work_in_the_child_and_in_the_parent():
    """Also if the fork comes from a thread while the main thread is inside a request, and from multiprocessing."""
    program = r"""
        import asyncio, multiprocessing, os, signal, socket, threading
        import httpx

        signal.alarm(40)
        listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        asked, let_go = threading.Event(), threading.Event()

        def serve(connection):
            while data := connection.recv(65536):
                if b"/held" in data:
                    asked.set()
                    let_go.wait()
                name = data.split(b"X-Id: ")[1].split(b"\r\n")[0]
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

        def accept():
            while True:
                threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        client, aclient = httpx.Client(timeout=10), httpx.AsyncClient(timeout=10)

        def use(name):
            assert client.get(url, headers={"X-Id": name}).text == name

            async def main():
                assert (await aclient.get(url, headers={"X-Id": name})).text == name

            asyncio.run(main())

        use("parent")
        child = multiprocessing.get_context("fork").Process(target=use, args=["child"])
        child.start()
        child.join()
        use("parent")
        codes = [child.exitcode]

        def fork():
            asked.wait()
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    signal.alarm(10)
                    use("second")
                    code = 0
                finally:
                    os._exit(code)
            codes.append(os.waitpid(child, 0)[1])
            let_go.set()

        thread = threading.Thread(target=fork)
        thread.start()
        assert client.get(url + "held", headers={"X-Id": "held"}).text == "held"
        thread.join()
        use("parent")
        print(codes)
        os._exit(0) if os.sys.stdout.flush() is None else None
    """
    assert run(program).strip() == "[0, 0]"
