"""
What `support.stress` and `support.stress_tasks` do with WebSockets, written once for threads, asyncio and trio.

`Sessions.one` opens a WebSocket to a `websocket_side.Side`, over HTTP/1.1, TLS or HTTP/2, and checks each message: it
must be of this session, and the next one of its sender. `Hands` is what a library gives for doing two things at once.

Not here: the crowd, cancellation of whole sessions, what must be true afterwards (`stress`, `stress_tasks`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Awaitable
from typing import Any, Callable, Optional

import httpx
from httpx.websockets import WebSocketDisconnect, WebSocketException, WebSocketTimeout

from .drivers import run_without_loop
from .websocket_side import FAREWELL, text

PATIENCE = 20.0  # seconds that a wait may take on a busy machine
# The keepers wake several times in a second, and ping now and then.
OPTIONS: dict[str, Any] = {
    "close_timeout": PATIENCE,
    "keepalive_ping_interval_seconds": 1.0,
    "keepalive_ping_timeout_seconds": PATIENCE,
}
Function = Callable[[], Awaitable[Any]]


class BrokenByInterruption(Exception):
    """The session shared a connection of HTTP/2 that an exception in another thread has left in an unknown state."""


class Left(Exception):
    """Ends a session from within."""


class ThreadHands:
    """
    Threads.

    Args:
        has_threads: else one thing is done after the other.
    """

    def __init__(self, has_threads: bool) -> None:
        self._has_threads = has_threads

    async def together(self, *functions: Function) -> None:
        """Do these at once, the last one in this thread; raise what the first one to fail has raised."""
        if not self._has_threads:
            for function in functions:
                await function()
            return
        errors: list[BaseException] = []

        def run(function: Function) -> None:
            try:
                run_without_loop(function())  # type: ignore[arg-type]  # an async function's
            except BaseException as exc:
                errors.append(exc)

        threads = [threading.Thread(target=run, args=(function,)) for function in functions[:-1]]
        for thread in threads:
            thread.start()
        try:
            await functions[-1]()
        finally:
            for thread in threads:
                thread.join(2 * PATIENCE)
        if errors:
            raise errors[0]

    async def within(self, seconds: float, function: Function) -> Optional[list[Any]]:
        """Threads cannot be cancelled."""
        return [await function()]


class AsyncioHands:
    """Tasks of asyncio."""

    async def together(self, *functions: Function) -> None:
        """Do these at once; cancel the others if one fails, and raise that."""
        tasks = [asyncio.ensure_future(function()) for function in functions]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        errors = [task.exception() for task in tasks if not task.cancelled()]
        for error in errors:
            if error is not None:
                raise error

    async def within(self, seconds: float, function: Function) -> Optional[list[Any]]:
        """Return the result in a list, or None if it was cancelled after these seconds."""
        task = asyncio.ensure_future(function())
        handle = asyncio.get_running_loop().call_later(seconds, task.cancel)
        try:
            await asyncio.wait([task])
        finally:
            handle.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        return None if task.cancelled() else [task.result()]


class TrioHands:
    """Tasks of trio."""

    async def together(self, *functions: Function) -> None:
        """Do these at once; cancel the others if one fails, and raise that."""
        import trio

        errors: list[Exception] = []

        async def run(function: Function) -> None:
            try:
                await function()
            except Exception as exc:
                errors.append(exc)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(run, function)
        if errors:
            raise errors[0]

    async def within(self, seconds: float, function: Function) -> Optional[list[Any]]:
        """Return the result in a list, or None if it was cancelled after these seconds."""
        import trio

        with trio.move_on_after(seconds):
            return [await function()]
        return None


class Sessions:
    """
    Args:
        client: an AsyncClient, or a `SyncAdapter`.
        urls: of the servers: `http1`, `tls`, `http2`, and `lossy`, whose connections may end at any byte.
        hands: of the library.

    Attributes:
        done: how often each kind of thing was done, and over which version of HTTP.
    """

    def __init__(self, client: Any, urls: dict[str, str], hands: Any) -> None:
        self.client = client
        self.urls = urls
        self.hands = hands
        self.done: Counter[str] = Counter()

    async def one(self, dice: random.Random, name: str) -> None:
        """Open a WebSocket, do something with it, and check what came of it."""
        kinds = (self.echo, self.flood, self.bye, self.torn, self.cut, self.ruin)
        kind = dice.choices(kinds, (10, 4, 4, 3, 5, 2))[0]
        await kind(dice, name)
        self.done[f"WebSocket: {kind.__name__}"] += 1

    def _open(self, dice: random.Random, kind: str, number: int, name: str) -> Any:
        url = self.urls[dice.choice(("http1", "tls", "http2", "http2"))]
        return self.client.websocket(f"{url}/ws/{kind}/{number}/{name}", **OPTIONS)

    async def echo(self, dice: random.Random, name: str) -> None:
        """Send and receive, in turns, one after the other or at once; close; nothing is missing on either side."""
        count, size = dice.choice(((1, 1), (10, 100), (5, 30_000), (100, 10)))
        senders = dice.choice((("a",), ("a", "b")))
        async with self._open(dice, "echo", 0, name) as ws:
            self.done[f"WebSocket over {ws.http_version}"] += 1
            with _excused(ws):
                exchange = Exchange(ws, name, size, dice, self.hands)
                if dice.random() < 0.3:
                    for _ in range(count):
                        await exchange.send("a", 1)
                        await exchange.receive(1)
                    senders = ("a",)
                else:
                    sending = [lambda sender=each: exchange.send(sender, count) for each in senders]
                    await self.hands.together(*sending, lambda: exchange.receive(count * len(senders)))
                if dice.random() < 0.3:
                    pong = await ws.ping()
                    assert await pong.wait(PATIENCE), f"{name}: no pong"
        _agree_on_the_end(ws, 1000, str(count * len(senders)))

    async def flood(self, dice: random.Random, name: str) -> None:
        """Receive many messages, all or some."""
        count = dice.choice((5, 300, 2000))
        taken = count if dice.random() < 0.7 else dice.randrange(count)
        async with self._open(dice, "flood", count, name) as ws:
            with _excused(ws):
                exchange = Exchange(ws, name, 1, dice, self.hands)
                await exchange.receive(taken)
                if taken == count:
                    await exchange.receive_end(1000, str(count))

    async def bye(self, dice: random.Random, name: str) -> None:
        """The peer closes, with a code and a reason, after its last message."""
        count = dice.choice((1, 5, 50))
        async with self._open(dice, "bye", count, name) as ws:
            with _excused(ws):
                exchange = Exchange(ws, name, 10, dice, self.hands)
                await self.hands.together(lambda: exchange.send("a", count), lambda: exchange.receive(count))
                await exchange.receive_end(FAREWELL, str(count))

    async def torn(self, dice: random.Random, name: str) -> None:
        """An exception ends the block while messages are under way."""
        with contextlib.suppress(Left):
            async with self._open(dice, "echo", 0, name) as ws:
                with _excused(ws):
                    exchange = Exchange(ws, name, 1000, dice, self.hands)
                    await exchange.send("a", 20)
                    await exchange.receive(dice.randrange(20))
                raise Left

    async def cut(self, dice: random.Random, name: str) -> None:
        """The peer ends the stream at any byte, within the handshake or after it."""
        # 129 bytes of a handshake, and then messages; an odd number is an orderly end.
        manager = self._open(dice, "cut", dice.randrange(3000), name)
        await self._until_it_breaks(manager, dice, name)

    async def ruin(self, dice: random.Random, name: str) -> None:
        """The peer ends the connection of HTTP/2 at any byte, under all its streams."""
        with contextlib.suppress(httpx.TransportError):
            await self.client.get(f"{self.urls['lossy']}/echo/0/{name}")
        manager = self.client.websocket(f"{self.urls['lossy']}/ws/ruin/{dice.randrange(3000)}/{name}", **OPTIONS)
        await self._until_it_breaks(manager, dice, name)

    async def _until_it_breaks(self, manager: Any, dice: random.Random, name: str) -> None:
        with contextlib.suppress(httpx.TransportError):
            async with manager as ws:
                exchange = Exchange(ws, name, 10, dice, self.hands)
                with contextlib.suppress(WebSocketException):
                    for _ in range(1000):
                        await exchange.send("a", 1)
                        await exchange.receive(1)
                    raise AssertionError(f"{name}: 1,000 messages, and it was to end after 3,000 bytes")
                # What arrived before the end can still be received, and the end stays.
                with contextlib.suppress(WebSocketException):
                    await exchange.receive(1)
                assert ws.closed, f"{name}: open after its end"
                self.done[f"WebSocket broken over {ws.http_version}"] += 1


class Exchange:
    """
    The messages of a session.

    Args:
        ws: the session.
        size: of its messages, about.
    """

    def __init__(self, ws: Any, name: str, size: int, dice: random.Random, hands: Any) -> None:
        self._ws = ws
        self._name = name
        self._size = size
        self._dice = dice
        self._hands = hands
        self._sent: Counter[str] = Counter()
        self._received: Counter[str] = Counter()

    async def send(self, sender: str, count: int) -> None:
        """Send the next messages of a sender."""
        for _ in range(count):
            number = self._sent[sender]
            self._sent[sender] += 1
            await self._ws.send(text(self._name, sender, number, self._size))

    async def receive(self, count: int) -> None:
        """Receive so many messages, and check them."""
        for _ in range(count):
            message = await self._next()
            sender = message.partition("/")[2].partition("/")[0]
            number = self._received[sender]
            self._received[sender] += 1
            expected = text(self._name, sender, number, self._size)
            assert message == expected, f"{self._name}: {message[:60]!r} of {len(message)}, not {expected[:60]!r}"

    async def receive_end(self, code: int, reason: str) -> None:
        """Receive the peer's Close."""
        found: Any = None
        try:
            found = await self._next()
        except WebSocketDisconnect as exc:
            found = exc.code, exc.reason
        assert found == (code, reason), f"{self._name}: {found!r:.60}, not the end with {code} {reason}"

    async def _next(self) -> Any:
        """Return the next message; waits for it are given up now and then."""
        while self._dice.random() < 0.1:
            seconds = self._dice.random() * self._dice.choice((0.0001, 0.005))
            with contextlib.suppress(WebSocketTimeout):
                return await self._ws.receive(timeout=seconds)
            taken = await self._hands.within(seconds, lambda: self._ws.receive(timeout=PATIENCE))
            if taken is not None:
                return taken[0]
        return await self._ws.receive(timeout=PATIENCE)


@contextlib.contextmanager
def _excused(ws: Any) -> Any:
    try:
        yield
    except WebSocketException as exc:
        if ws.http_version == "HTTP/2" and "interrupted" in str(exc):
            raise BrokenByInterruption from exc
        raise


def _agree_on_the_end(ws: Any, code: int, reason: str) -> None:
    failure = str(ws._channel.failure)
    if ws.close_code == 1006 and ws.http_version == "HTTP/2" and "interrupted" in failure:
        raise BrokenByInterruption(failure)
    found = (ws.close_code, ws.close_reason)
    assert found == (code, reason), f"{ws!r} over {ws.http_version}: {found}, not {(code, reason)}; {failure}"
