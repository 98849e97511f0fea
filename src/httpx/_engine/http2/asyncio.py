"""
HTTP/2 on asyncio: the connection's reader callback receives for all its streams and wakes those that got something.

    AsyncioMultiplexer   the requests on one connection

Requests that begin in the same turn of the loop leave in one send, at the turn's end. One timer serves all streams: it
is set for the nearest deadline and looks at all of them when it fires, so a request usually finds it running.

Not here: what a request goes through (`async_common`), the socket and its callback (`asyncio_connection`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from ..._exceptions import WriteError
from ..._protocol.stream2 import CLOSED, HTTP2Stream
from ..asyncio import AsyncioEngine
from ..asyncio_connection import AsyncioConnection
from ..job import Job, again
from .async_common import AsyncMultiplexer
from .session import Session

# How many times `catch_up` receives at most; see `carrier`.
_MAX_LOOKS = 16


class AsyncioMultiplexer(AsyncMultiplexer):
    """
    The requests on one connection of `engine`.

    Args:
        engine: whose pool the connection belongs to.
        connection: established, and agreed to speak HTTP/2; what it has received is taken from it.

    Attributes:
        connection: None when it is closed.
        waiting: streams whose owner waits -> the future that wakes it, and when its time is up.
    """

    connection: AsyncioConnection | None
    listens = True

    def __init__(self, engine: AsyncioEngine, connection: AsyncioConnection) -> None:
        super().__init__(engine, engine.pool, connection, Session(engine.settings, engine.loop.time))
        self._loop = engine.loop
        self.lags = not engine.io.may_look
        self._expiry = engine.settings.limits.keepalive_expiry
        self.waiting: dict[HTTP2Stream, tuple[asyncio.Future[bool], float | None]] = {}
        self._flush_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._idle_until: float | None = None
        self._unsent_size = 0  # bytes that the socket had not taken when it was looked at last
        early = connection.wire.take_early()
        connection.multiplexer = self
        if early:
            self.session.received(early)
        if connection.wire.tls is not None and connection.wire.tls.ended:
            self.session.received(b"")  # the end came with it
        self.flush()

    # What the connection calls.

    def on_received(self, data: bytes) -> None:
        """Take what the peer sent; b"" is its end."""
        session = self.session
        machine = session.machine
        session.received(data)
        if machine.progressed:
            self._wake_progressed()
        if machine.output and not self._flush_is_due:
            self.flush_soon()
        if session.told != machine.max_streams:
            self.tell_pool()

    def on_event(self) -> None:
        """Look at what changed below: the socket took what was unsent, or it failed."""
        connection, session = self.connection, self.session
        if connection is None:
            return
        if connection.error is not None:
            session.fail(connection.error)
        elif connection.write_error is not None:
            session.fail(connection.write_error, sending=True)
        else:
            size = len(connection.unsent)
            if size < self._unsent_size:
                session.note_moved()
            self._unsent_size = size
            if not size:
                session.stalls = False
                self.flush()
        if session.told != session.machine.max_streams:
            self.tell_pool()
        if session.news:
            self._wake_news()

    def say_goodbye(self) -> None:
        """Tell the peer that the connection is about to be closed, if that needs no waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        connection, self.connection = self.connection, None
        if connection is not None and not connection.unsent and not self.session.is_broken:
            try:
                connection.send(self.session.machine.close())
            except WriteError:
                pass
        self.session.close()
        self._wake_news()

    def _wake_progressed(self) -> None:
        """Wake the owners of the streams for which the machine changed something, or keep the news for later."""
        progressed, take, news = self.session.machine.progressed, self.waiting.pop, self.session.news
        for stream in progressed:
            entry = take(stream, None)
            if entry is None:
                news.add(stream)
            elif not entry[0].done():
                entry[0].set_result(True)
        progressed.clear()

    def _wake_news(self) -> None:
        news = self.session.news
        for stream in self.waiting.keys() & news:
            waiter, _ = self.waiting.pop(stream)
            news.discard(stream)
            if not waiter.done():
                waiter.set_result(True)

    async def let_loop_deliver(self) -> None:
        # One turn in which the socket is readable, one for the task that receives, and one to spare.
        for _ in range(3):
            await asyncio.sleep(0)

    def catch_up(self) -> None:
        # What the peer of an idle connection sent is not known yet where the loop was busy: it may have closed.
        connection = self.connection
        if connection is None or self.lags:
            return
        looks, machine = 0, self.session.machine
        while looks < _MAX_LOOKS and machine.error is None and not connection.closed and connection.wire.poll(0):
            looks += 1
            connection.on_readable()

    # Sending.

    def flush_soon(self) -> None:
        if not self._flush_is_due and not self._loop.is_closed():
            self._flush_is_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._flush_is_due = False
        connection, session = self.connection, self.session
        if connection is None:
            return
        machine = session.machine
        while machine.output and not connection.unsent and not session.is_broken:
            # One step, with nothing between its parts that could fail half-way: the peer's header tables follow ours.
            data = machine.take()
            session.batches += 1
            try:
                connection.send(data)
            except WriteError as exc:
                connection.write_error = again(exc)
                self.on_event()
                return
            if connection.unsent:
                session.stalls = True
                self._unsent_size = len(connection.unsent)
            if machine.progressed:
                self._wake_progressed()

    # Waiting.

    def wait(self, stream: HTTP2Stream, until: float | None) -> asyncio.Future[bool]:
        session = self.session
        machine = session.machine
        if session.error is not None:
            raise session.failure()  # type: ignore[misc]  # there is one
        if machine.output and not self._flush_is_due:
            if len(machine.streams) == 1:
                self.flush()  # only newcomers could begin in this turn
            else:
                self.flush_soon()
        waiter: asyncio.Future[bool] = self._loop.create_future()
        if session.news and stream in session.news:
            session.news.discard(stream)
            waiter.set_result(True)
            return waiter
        self.waiting[stream] = waiter, until
        if session.ping_interval is not None and (
            self._timer is None or self._timer_at > session.clock() + session.ping_interval
        ):
            self._set_timer(session.clock() + session.ping_interval)
        if until is not None and (self._timer is None or self._timer_at > until):
            self._set_timer(until)
        return waiter

    def rest(self) -> Awaitable[None]:
        return asyncio.sleep(0)

    def leave(self, stream: HTTP2Stream | None, job: Job) -> None:
        session, connection = self.session, self.connection
        machine = session.machine
        if stream is not None:
            if stream.finished and stream.state == CLOSED and not session.news and not session.sending:
                # What `end` does for nearly all, inlined. Who waited was woken by the end of the response.
                session.has_served = True
            else:
                session.end(stream)
                entry = self.waiting.pop(stream, None)  # of a task that was cancelled, or another one that reads
                if entry is not None and not entry[0].done():
                    entry[0].set_result(True)
                if machine.output and not self._flush_is_due:
                    self.flush_soon()  # with what others begin in this turn
        if connection is None:
            self.forget(job)
            return
        now = 0.0  # the time matters only where the connection may become idle
        if not machine.streams:
            now = session.clock()
            if self._expiry is not None:
                self._idle_until = now + self._expiry
        self.pool.release(connection, not session.is_broken and machine.max_streams > 0, now, job)
        if self.pool.has_chores:
            self.engine.settle()

    # Time.

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._on_time)

    def _on_time(self) -> None:
        """Look at all deadlines: the timer fired, for one of now or for one that was met."""
        self._timer = None
        connection, session = self.connection, self.session
        if connection is None:
            return
        # A loop may fire a timer early, by the resolution of its clock.
        late = session.clock() + 0.001
        nearest = self._idle_until if not session.machine.streams else None
        if nearest is not None and nearest <= late:
            self._idle_until = nearest = None
            # Only the pool knows whether it is idle: a request may have it, and not have begun.
            if self.pool.remove(connection):
                self.engine.settle()
                return
        for stream, (waiter, until) in list(self.waiting.items()):
            if until is None:
                continue
            if until <= late:
                del self.waiting[stream]
                if not waiter.done():
                    waiter.set_result(False)
            elif nearest is None or until < nearest:
                nearest = until
        again_at = session.look_after() if self.waiting else None
        if session.error is not None:
            connection.on_broken(session.error)
            return
        if again_at is not None:
            self.flush_soon()
            nearest = again_at if nearest is None else min(again_at, nearest)
        if nearest is not None:
            self._set_timer(nearest)
