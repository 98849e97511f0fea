"""
A program: one async client, many tasks, WebSockets and requests, and cancellation at any moment.

    cd tests && python -m support.stress_tasks asyncio|trio [--seconds 15] [--seed N]

The tasks share a client over HTTP/1.1, HTTP/1.1 over TLS and HTTP/2, against the servers of `support.stress`. A third
of what they do is cancelled after a random time. The client lives for a round of a second or two, which ends in one of
three ways: the tasks finish; all are cancelled at once; Ctrl-C.

After each round no connection may be in use and no task may be left, and the client has to be as good as new; after its
end no connection, no thread and no descriptor may be left. Each message is checked, see `stress_websockets`.

It prints JSON: the seed, what was done, and what failed how often. Its status is 1 if anything failed.

Not here: pytest (`tests/adversarial/test_stress.py`), threads (`stress`).
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from typing import Any, Callable

import httpx

from .leaks import counts_of, descriptors, left_over, settled
from .steps import turns
from .stress_websockets import PATIENCE, AsyncioHands, Sessions, TrioHands

TASKS = 24
CONNECTIONS = 20  # fewer than tasks, so that some wait
ROUND = 1.5  # seconds
ENOUGH = 20  # failures after which nothing more is to be learnt
ENDS = ("finished", "cancelled", "interrupted")


class Crowd:
    """
    Args:
        library: "asyncio" or "trio".
        urls: of the servers.
        context: trusts them.
        seed: of what is done.
        until: when to stop, on the monotonic clock.

    Attributes:
        done: how often each kind of thing was done.
        failures: what failed, and how often.
    """

    def __init__(self, library: str, urls: dict[str, str], context: Any, seed: int, until: float) -> None:
        self.hands: Any = AsyncioHands() if library == "asyncio" else TrioHands()
        self.library = library
        self.urls = urls
        self.context = context
        self.seed = seed
        self.until = until
        self.done: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._ends = 0.0  # when the round does, without what ends it
        self._is_interrupted = False

    def failed(self, what: str) -> None:
        """Keep what failed."""
        self.failures[what] += 1

    def run(self) -> None:
        """Run rounds until the time is up."""
        dice = random.Random(self.seed)
        number = 0
        before = descriptors()
        while time.monotonic() < self.until and sum(self.failures.values()) < ENOUGH:
            # asyncio before Python 3.11 raises KeyboardInterrupt within any callback of any library.
            ends = ENDS if self.library == "trio" or sys.version_info >= (3, 11) else ENDS[:2]
            end = ends[number % len(ends)]
            self._ends = min(self.until, time.monotonic() + ROUND * dice.uniform(0.2, 1))
            self._is_interrupted = False
            try:
                self._run_round(number, end)
            except BaseException as exc:
                if end != "interrupted" or "KeyboardInterrupt" not in repr(exc):
                    self.failed(f"round {end}: {traceback.format_exc()}")
            self.done[f"round {end}"] += 1
            number += 1
            gc.collect()
            for left in left_over(before):
                self.failed(f"left after a round that was {end}: {left}")

    def _run_round(self, number: int, end: str) -> None:
        main: Callable[[], Any] = lambda: self._round(number, end)  # noqa: E731  # trio.run takes a function
        ctrl_c = threading.Timer(max(0.0, self._ends - time.monotonic()), self._press_ctrl_c)
        if end == "interrupted":
            ctrl_c.start()
        try:
            if self.library == "trio":
                import trio

                trio.run(main)
            else:
                asyncio.run(main())
        finally:
            ctrl_c.cancel()
            if ctrl_c.ident is not None:
                ctrl_c.join()

    def _press_ctrl_c(self) -> None:
        self._is_interrupted = True
        self._ends = time.monotonic() + PATIENCE  # should Ctrl-C be lost
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    async def _round(self, number: int, end: str) -> None:
        tasks = self._tasks()
        limits = httpx.Limits(max_connections=CONNECTIONS)
        async with httpx.AsyncClient(
            verify=self.context, http2=True, trust_env=False, timeout=PATIENCE, limits=limits
        ) as client:
            sessions = Sessions(client, self.urls, self.hands)
            crowd = [lambda who=each: self._work(client, sessions, f"{number}-{who}") for each in range(TASKS)]
            if end == "cancelled":
                await self.hands.within(max(0.0, self._ends - time.monotonic()), lambda: self._all(crowd))
            else:
                if end == "interrupted":
                    self._ends = float("inf")
                await self._all(crowd)
                if end == "interrupted":
                    self.failed("Ctrl-C was lost")
            await settled(client, 200)
            await self._check(client, number)
        self.done.update(sessions.done)
        if counts_of(client) != (0, 0, 0, 0):
            self.failed(f"after its end the pool has {counts_of(client)}")
        await self._expect_tasks(tasks)

    async def _all(self, crowd: list[Any]) -> None:
        await self.hands.together(*crowd)

    async def _check(self, client: httpx.AsyncClient, number: int) -> None:
        """Check that the client is as good as new."""
        for name, url in self.urls.items():
            response = await client.get(f"{url}/echo/100/{number}-{name}")
            assert response.headers["x-id"] == f"{number}-{name}"
            async with client.websocket(f"{url}/ws/echo/0/{number}-{name}") as ws:
                await ws.send(f"{number}-{name}/a/0 ")
                assert await ws.receive(timeout=PATIENCE) == f"{number}-{name}/a/0 "

    async def _work(self, client: httpx.AsyncClient, sessions: Sessions, who: str) -> None:
        dice = random.Random(f"{self.seed}-{who}")
        count = 0
        while time.monotonic() < self._ends and sum(self.failures.values()) < ENOUGH:
            count += 1
            name = f"{who}-{count}"
            try:
                if dice.random() < 0.3:
                    seconds = dice.random() * dice.choice((0.001, 0.01, 0.1))
                    if (
                        await self.hands.within(seconds, lambda name=name: self._one(client, sessions, dice, name))
                        is None
                    ):
                        self.done["cancelled"] += 1
                else:
                    await self._one(client, sessions, dice, name)
            except Exception:
                if self._is_interrupted:
                    raise
                self.failed(traceback.format_exc(limit=-4))

    async def _one(self, client: httpx.AsyncClient, sessions: Sessions, dice: random.Random, name: str) -> None:
        if dice.random() < 0.7:
            await sessions.one(dice, name)
            return
        url = self.urls[dice.choice(("http1", "tls", "http2"))]
        async with client.stream("GET", f"{url}/echo/{dice.choice((0, 1000, 100_000))}/{name}") as response:
            assert response.headers["x-id"] == name
            if dice.random() < 0.7:
                await response.aread()
                assert response.content.startswith(f"/echo/{response.url.path.split('/')[2]}/{name} {name}".encode())
        self.done["request"] += 1

    def _tasks(self) -> int:
        if self.library == "asyncio":
            return len(asyncio.all_tasks())
        import trio

        return _tasks_below(trio.lowlevel.current_root_task())

    async def _expect_tasks(self, number: int) -> None:
        """Check that the tasks are as many as before, in a few turns."""
        deadline = time.monotonic() + 5
        while self._tasks() != number and time.monotonic() < deadline:
            await turns()
        if self._tasks() != number:
            self.failed(f"{self._tasks()} tasks, and there were {number}")


def _tasks_below(task: Any) -> int:
    """Count a task of trio and those below it, but the keeper of WebSockets, which may wait for the next session."""
    below = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return 1 + sum(_tasks_below(child) for child in below if child.name != "httpx.websockets")


def stress(library: str, seconds: float, seed: int) -> dict[str, Any]:
    """Return what was done and what failed."""
    command = [sys.executable, "-m", "support.stress", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        context = ssl.create_default_context(cadata=told["authority"])
        run = Crowd(library, told["urls"], context, seed, time.monotonic() + seconds)
        sys.unraisablehook = lambda told: run.failed(f"unraisable: {told.exc_value!r} in {told.object!r}")
        run.run()
        server.stdin.close()
        for fault in json.loads(server.stdout.readline()):
            # Ctrl-C between two steps of sending leaves a connection of HTTP/2 in an unknown state.
            if not (run.done["round interrupted"] and "ProtocolError" in fault):
                run.failed(f"the server found: {fault}")
    return {"seed": seed, "done": dict(run.done), "failures": dict(run.failures)}


def main() -> int:
    """Run the program; returns its status."""
    parser = argparse.ArgumentParser(prog="stress_tasks", description="One async client, many tasks, cancellation.")
    parser.add_argument("library", choices=("asyncio", "trio"))
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("HTTPX_STRESS_SECONDS", "3")))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let what is in the background ignore it
    faulthandler.dump_traceback_later(options.seconds + 5 * PATIENCE, exit=True)
    outcome = stress(options.library, options.seconds, options.seed)
    print(json.dumps(outcome, indent=1))
    return int(bool(outcome["failures"]))


if __name__ == "__main__":
    sys.exit(main())
