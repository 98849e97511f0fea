"""The thread of the sync side of ASGITransport: how a program ends that has not closed its client."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

LIMIT = 5.0  # seconds that the end of a program may take; it takes one on an idle machine

BEGIN = """
import asyncio, atexit, sys, threading, time
import httpx

async def respond(send, body=b"ok", more=False):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": more})

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

def client(app, **options):
    return httpx.Client(transport=httpx.ASGITransport(app=app, **options), base_url="http://testserver")
"""

PROGRAMS = {
    "nothing special": """
        async def app(scope, receive, send):
            await respond(send)
        c = client(app)
        assert c.get("/").text == "ok"
        """,
    "a task that swallows cancellation": """
        kept = []
        async def app(scope, receive, send):
            kept.append(asyncio.ensure_future(stubborn()))
            await respond(send)
        c = client(app)
        assert c.get("/").text == "ok"
        """,
    "an app that swallows cancellation": """
        async def app(scope, receive, send):
            await respond(send, more=True)
            await stubborn()
        c = client(app)
        r = c.send(c.build_request("GET", "/"), stream=True)
        assert next(r.iter_bytes()) == b"ok"
        """,
    "a blocked loop": """
        blocked = threading.Event()
        async def app(scope, receive, send):
            await respond(send, more=True)
            blocked.set()
            time.sleep(3600)
        c = client(app)
        r = c.send(c.build_request("GET", "/"), stream=True)
        blocked.wait(5)
        """,
    "a loop that is busy": """
        blocked = threading.Event()
        async def app(scope, receive, send):
            await respond(send, more=True)
            blocked.set()
            while True:
                pass
        c = client(app)
        r = c.send(c.build_request("GET", "/"), stream=True)
        blocked.wait(5)
        """,
    "an open lifespan": """
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await stubborn()
            await respond(send)
        c = client(app, lifespan=True)
        c.__enter__()
        assert c.get("/").text == "ok"
        """,
    "an open stream": """
        async def app(scope, receive, send):
            await respond(send, more=True)
            while (await receive())["type"] != "http.disconnect":
                pass
        c = client(app)
        r = c.send(c.build_request("GET", "/"), stream=True)
        i = r.iter_bytes()
        assert next(i) == b"ok"
        """,
    "a generator in the middle of a stream": """
        async def app(scope, receive, send):
            await respond(send, more=True)
            await stubborn()
        c = client(app)
        def pieces():
            with c.stream("GET", "/") as r:
                yield from r.iter_bytes()
        i = pieces()
        assert next(i) == b"ok"
        """,
    "several clients": """
        async def app(scope, receive, send):
            await respond(send, more=True)
            await stubborn()
        clients = [client(app) for _ in range(5)]
        responses = [c.send(c.build_request("GET", "/"), stream=True) for c in clients]
        """,
    "a client that is collected": """
        kept = []
        async def app(scope, receive, send):
            kept.append(asyncio.ensure_future(stubborn()))
            await respond(send)
        def use():
            c = client(app)
            assert c.get("/").text == "ok"
        use()
        import gc
        gc.collect()
        """,
    "a close that hangs in another thread": """
        kept = []
        async def app(scope, receive, send):
            kept.append(asyncio.ensure_future(stubborn()))
            await respond(send)
        c = client(app)
        assert c.get("/").text == "ok"
        threading.Thread(target=c.close, daemon=True).start()
        """,
}
# How the program ends, with its exit code and the last line that it writes.
ENDS = {
    "the end": ("", 0, ""),
    "sys.exit": ("sys.exit(7)", 7, ""),
    "an exception": ("raise ValueError('of the program')", 1, "ValueError: of the program"),
}
# Each program with sys.exit, and two of them with every end.
CASES = [(name, "sys.exit") for name in PROGRAMS]
CASES += [(name, end) for name in ("nothing special", "an open stream") for end in ENDS if end != "sys.exit"]

Outcome = tuple[int, str, float]


def run(program: str) -> Outcome:
    """The exit code, what was written to stderr, and how long it took from the last line of the program on."""
    # With all warnings: what is left open is reported on stderr while the interpreter ends.
    command = [sys.executable, "-X", "dev", "-c", BEGIN + textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stderr, time.time() - float(done.stdout)


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, str], Outcome]:
    """Of all cases, some of them at a time: most of what they do is to wait."""
    programs = [
        textwrap.dedent(PROGRAMS[name]) + "\nprint(time.time(), flush=True)\n" + ENDS[end][0] for name, end in CASES
    ]
    with ThreadPoolExecutor(4) as executor:
        return dict(zip(CASES, executor.map(run, programs)))


@pytest.mark.parametrize(("name", "end"), CASES)
def test_a_program_ends_although_its_client_was_not_closed(
    outcomes: dict[tuple[str, str], Outcome], name: str, end: str
):
    """Harm: the interpreter waited for ever for the thread that runs the app, so a script or a test run never ended."""
    _, exit_code, words = ENDS[end]
    returned, errors, seconds = outcomes[name, end]
    assert returned == exit_code, errors
    assert errors.strip().split("\n")[-1] == words
    assert (errors == "") == (words == "")
    assert seconds < LIMIT


def test_close_in_an_exit_handler_still_closes_all():
    """A handler that is registered after the first request runs before ours, and finds the app alive."""
    program = """
        kept = []
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                kept.append("shut down")
                await send({"type": "lifespan.shutdown.complete"})
                return
            await respond(send)
        c = client(app, lifespan=True)
        c.__enter__()
        assert c.get("/").text == "ok"
        def end():
            c.close()
            print(time.time(), flush=True)
            assert kept == ["shut down"]
        atexit.register(end)
        """
    returned, errors, seconds = run(program)
    assert (returned, errors) == (0, "")
    assert seconds < LIMIT
