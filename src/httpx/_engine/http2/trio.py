"""
HTTP/2 on trio: whoever waits and finds nobody receiving does it for all streams, and passes that turn on when it goes.

    TrioMultiplexer   the requests on one connection

No task runs in the background: a connection that nobody waits on is not read, and is looked at when it is used next.

Not here: what a request goes through (`async_common`), sockets (`trio`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import trio

from ..._protocol.stream2 import HTTP2Stream
from ..._sharing import SharingPool
from ..job import Job
from ..trio import TrioEngine
from ..trio_connection import TrioConnection
from .async_common import AsyncMultiplexer
from .session import TurnTaking

now = trio.current_time


class TrioMultiplexer(AsyncMultiplexer, TurnTaking):
    """The requests on one connection of `engine`."""

    connection: TrioConnection
    waiting: dict[HTTP2Stream, trio.Event]

    def __init__(self, engine: TrioEngine, connection: TrioConnection) -> None:
        self.engine = engine
        assert isinstance(engine.pool, SharingPool)
        self.pool = engine.pool
        self._turn: trio.CancelScope | None = None  # of the task that waits for the socket on behalf of all
        super().__init__(connection, engine.settings, now)
        self.flush()

    def wake(self, streams: Iterable[HTTP2Stream]) -> None:
        for stream in streams:
            event = self.waiting.get(stream)
            if event is not None:
                event.set()

    def flush(self) -> None:
        super().flush()
        if self.unsent and self._turn is not None:
            self._turn.cancel()  # it waits for input only, and should look again

    def catch_up(self) -> None:
        if self._turn is None and self.error is None and self.wire.poll(0):
            self.take_input()

    # Waiting.

    async def wait(self, stream: HTTP2Stream, until: float | None) -> bool:
        if self.machine.output:
            self.flush()
        try:
            while stream not in self.news:
                if self.error is not None:
                    raise self.write_error or self.error
                if until is not None and now() >= until:
                    await trio.lowlevel.checkpoint()
                    return False
                if self._turn is None:
                    await self._take_turn(until)
                else:
                    await self._wait_for_others(stream, until)
            self.news.discard(stream)
            return True
        finally:
            if self._turn is None and self.waiting:
                next(iter(self.waiting.values())).set()  # the turn is free: somebody must take it

    async def _take_turn(self, until: float | None) -> None:
        """Receive for everybody, once; wait for it if nothing is there."""
        # Before anything is taken: a peer that always has something to say must not keep us from being cancelled.
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.take_input():
            await trio.lowlevel.cancel_shielded_checkpoint()  # fair to other tasks during a fast download
            return
        again = self.look_after()
        if self.error is not None:
            return
        if again is not None:
            self.flush()
            until = again if until is None else min(again, until)
        with trio.CancelScope(deadline=math.inf if until is None else until) as self._turn:
            try:
                if self.unsent:
                    await self.connection.wait_for_either(until)
                else:
                    await trio.lowlevel.wait_readable(self.connection.wire.sock)
            except trio.ClosedResourceError:
                pass  # `_wait` says so
            finally:
                self._turn = None
        self.flush()

    async def _wait_for_others(self, stream: HTTP2Stream, until: float | None) -> None:
        event = self.waiting[stream] = trio.Event()
        try:
            with trio.CancelScope(deadline=math.inf if until is None else until):
                await event.wait()
        finally:
            del self.waiting[stream]

    def leave(self, stream: HTTP2Stream | None, job: Job) -> None:
        self.settle_with(stream)
        self.pool.release(self.connection, self.is_usable, now(), job)
        if self.pool.has_chores:
            self.engine.settle()
