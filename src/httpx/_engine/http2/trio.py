"""
HTTP/2 on trio. A task that waits and finds no other one receiving does it for all streams, and passes that turn on when
it goes.

    TrioMultiplexer   the requests on one connection

No task runs in the background: a connection that no task waits on is not read, and is looked at when it is used next.

Not here: what a request goes through (`async_common`), the bytes (`carrier`), sockets (`trio`).
"""

from __future__ import annotations

import math

import trio

from ..._protocol.stream2 import HTTP2Stream
from ..job import Job
from ..trio import TrioEngine
from ..trio_connection import TrioConnection
from .async_common import AsyncMultiplexer
from .carrier import Carrier
from .session import Session

now = trio.current_time


class TrioMultiplexer(AsyncMultiplexer):
    """
    The requests on one connection of `engine`.

    Args:
        engine: whose pool the connection belongs to.
        connection: established, and agreed to speak HTTP/2.

    Attributes:
        waiting: streams whose owner waits for another task -> how it is woken.
    """

    lags = False  # tasks read the socket themselves

    def __init__(self, engine: TrioEngine, connection: TrioConnection) -> None:
        super().__init__(engine, engine.pool, connection, Session(engine.settings, now))
        self._turn: trio.CancelScope | None = None  # of the task that waits for the socket on behalf of all
        self.waiting: dict[HTTP2Stream, trio.Event] = {}
        self.carrier = Carrier(connection.wire, self.session, self.waiting, self._on_change)
        connection.multiplexer = self
        self.carrier.begin()

    def say_goodbye(self) -> None:
        """Tell the peer that the connection is about to be closed, if that needs no waiting."""
        # The pool has forgotten it. This way round, so that what is left is not a cycle.
        self.connection = None
        self.carrier.say_goodbye()

    def _on_change(self) -> None:
        """Tell the pool of a new limit, if there is one, and wake the tasks whose streams have got something."""
        if self.session.told != self.session.machine.max_streams:
            self.tell_pool()
        for stream in self.session.news:
            event = self.waiting.get(stream)
            if event is not None:
                event.set()

    def flush(self) -> None:
        self.carrier.flush()
        if self.carrier.unsent and self._turn is not None:
            self._turn.cancel()  # it waits for input only, and should look again

    flush_soon = flush

    def catch_up(self) -> None:
        if self._turn is None:
            self.carrier.catch_up()

    # Waiting.

    async def wait(self, stream: HTTP2Stream, until: float | None) -> bool:
        session = self.session
        if session.machine.output:
            self.flush()
        if stream in session.news:
            await trio.lowlevel.checkpoint()  # a request that never has to wait must let others run, too
        try:
            while stream not in session.news and stream.error is None:
                if session.error is not None:
                    raise session.failure()  # type: ignore[misc]  # there is one
                if until is not None and now() >= until:
                    await trio.lowlevel.checkpoint()
                    return False
                if self._turn is None:
                    await self._take_turn(until)
                else:
                    await self._wait_for_others(stream, until)
            session.news.discard(stream)
            return True
        finally:
            if self._turn is None and self.waiting:
                next(iter(self.waiting.values())).set()  # the turn is free: another task must take it

    async def _take_turn(self, until: float | None) -> None:
        """Receive for all streams, once; wait for it if nothing is there."""
        # Before anything is taken: a peer that always sends more must not keep us from being cancelled.
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.carrier.take_input():
            await trio.lowlevel.cancel_shielded_checkpoint()  # fair to other tasks during a fast download
            return
        again_at = self.session.look_after()
        if self.session.error is not None:
            self._on_change()
            return
        if again_at is not None:
            self.flush()
            until = again_at if until is None else min(again_at, until)
        with trio.CancelScope(deadline=math.inf if until is None else until) as self._turn:
            try:
                if self.carrier.unsent and self.connection is not None:
                    await self.connection.wait_for_either(until)
                else:
                    await trio.lowlevel.wait_readable(self.carrier.wire.sock)
            except trio.ClosedResourceError:
                pass  # `wait` says so
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

    async def rest(self) -> None:
        await trio.lowlevel.checkpoint()

    def _wake_reader(self, stream: HTTP2Stream) -> None:
        """Let a task look again that reads the body of a response which another task has closed."""
        event = self.waiting.get(stream)
        if event is not None:
            event.set()
        elif self._turn is not None:
            self._turn.cancel()  # it may be the one that has the turn

    def leave(self, stream: HTTP2Stream | None, job: Job) -> None:
        if stream is not None:
            self.session.end(stream)
            if not stream.finished:
                self._wake_reader(stream)
            if self.session.machine.output:
                self.flush()
        if self.connection is None:
            self.forget(job)
        else:
            self.pool.release(self.connection, self.session.is_usable, now(), job)
        if self.pool.has_chores:
            self.engine.settle()
