"""
HTTP/2 on asyncio: the connection's reader callback receives for all its streams and wakes those that got something.

    AsyncioMultiplexer   the requests on one connection

Requests that begin in the same turn of the loop leave in one send, at the turn's end. One timer serves all streams: it
is set for the nearest deadline and looks at all of them when it fires, so a request usually finds it running.

Not here: what a request goes through (`async_common`), the socket and its callback (`asyncio`).
"""

from __future__ import annotations

import asyncio

from ..._exceptions import ReadError, TransportError, WriteError
from ..._protocol.frames import CANCEL
from ..._protocol.stream2 import CLOSED, HTTP2Stream
from ..._sharing import SharingPool
from ..asyncio import AsyncioEngine
from ..asyncio_connection import AsyncioConnection
from ..job import Job
from .async_common import AsyncMultiplexer


class AsyncioMultiplexer(AsyncMultiplexer):
    """The requests on one connection of `engine`."""

    connection: AsyncioConnection
    listens = True

    def __init__(self, engine: AsyncioEngine, connection: AsyncioConnection) -> None:
        super().__init__(connection, engine.settings, engine.now)
        self.engine = engine
        assert isinstance(engine.pool, SharingPool)
        self.pool = engine.pool
        self._loop = engine.loop
        self._expiry = engine.settings.limits.keepalive_expiry
        self.waiting: dict[HTTP2Stream, tuple[asyncio.Future[bool], float | None]] = {}
        self._flush_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._idle_until: float | None = None
        early = connection.take_early()
        connection.multiplexer = self
        if early:
            self.on_received(early)
        self.flush()

    # What the connection calls.

    def on_received(self, data: bytes) -> None:
        """The peer sent something; b"" is its end."""
        self.received(data)
        if self.machine.output:
            self._flush_soon()
        self.tell_pool()

    @property
    def failure(self) -> TransportError | None:
        return self.connection.error or self.connection.write_error

    @property
    def write_failure(self) -> TransportError | None:
        return self.connection.write_error

    def lose(self, error: TransportError) -> None:
        self.connection.on_broken(error)

    def catch_up(self) -> None:
        # What an idle connection's peer said is not known yet where the loop was busy: maybe that it closed.
        connection = self.connection
        if self.has_served and not connection.closed and connection.wire.poll(0):
            connection.on_readable()

    def feed(self, stream: HTTP2Stream, piece: bytes | None, job: Job) -> None:
        super().feed(stream, piece, job)
        if not self._flush_is_due:
            self._flush_soon()
        if self.is_broken:
            stream.cut_short()  # a server that closes while we send has often answered before

    def on_event(self) -> None:
        """The socket took what was unsent, or it failed, or it was closed."""
        connection = self.connection
        if connection.closed or connection.error is not None or connection.write_error is not None:
            self.is_broken = True
            self.tell_pool()
            self._wake_all()
        else:
            self.flush()

    def note_progress(self) -> None:
        machine = self.machine
        if machine.progressed:
            take = self.waiting.pop
            for stream in machine.progressed:
                entry = take(stream, None)
                if entry is not None and not entry[0].done():
                    entry[0].set_result(True)
            machine.progressed.clear()

    def _wake_all(self) -> None:
        for waiter, _ in self.waiting.values():
            if not waiter.done():
                waiter.set_result(True)
        self.waiting.clear()

    # Sending.

    def proceed(self, stream: HTTP2Stream) -> None:
        super().proceed(stream)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what there is, as long as the socket takes it at once; the rest follows when it takes more."""
        self._flush_is_due = False
        connection, machine = self.connection, self.machine
        while machine.output and not connection.unsent and not connection.closed:
            # One step, with nothing between its parts that could fail half-way: the peer's header tables follow ours.
            data = machine.take()
            try:
                connection.send(data)
            except WriteError as exc:
                connection.write_error = exc
                self.on_event()
                return
            self.note_progress()

    def say_goodbye(self) -> None:
        """The connection is about to be closed: tell the peer, if that needs no waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.connection.unsent:
            try:
                self.connection.send(self.machine.close())
            except WriteError:
                pass

    # Waiting.

    def wait(self, stream: HTTP2Stream, until: float | None) -> asyncio.Future[bool]:
        connection, machine = self.connection, self.machine
        if connection.error is not None:
            raise connection.error
        if connection.closed:
            raise connection.write_error or ReadError("the connection was closed while its answer was awaited")
        if machine.output and not self._flush_is_due:
            if len(machine.streams) == 1:
                self.flush()  # nobody else could begin in this turn but newcomers
            else:
                self._flush_soon()
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self.waiting[stream] = waiter, until
        if self.ping_interval is not None and (
            self._timer is None or self._timer_at > self.clock() + self.ping_interval
        ):
            self._set_timer(self.clock() + self.ping_interval)
        if until is not None and (self._timer is None or self._timer_at > until):
            self._set_timer(until)
        return waiter

    def leave(self, stream: HTTP2Stream | None, job: Job) -> None:
        if stream is not None:
            if stream.finished:
                self.has_served = True
            if stream.state != CLOSED:
                self.waiting.pop(stream, None)  # whoever waited was cancelled
                stream.reset(CANCEL)
                if not self._loop.is_closed():
                    self._flush_soon()  # with what others begin in this turn
        connection, now = self.connection, self.clock()
        if not self.machine.streams and self._expiry is not None:
            self._idle_until = now + self._expiry
        self.pool.release(connection, not connection.closed and connection.error is None, now, job)
        if self.pool.has_chores:
            self.engine.settle()

    # Time.

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._on_time)

    def _on_time(self) -> None:
        """The timer fired: for a deadline of now, or for one that was met."""
        self._timer = None
        if self.connection.closed:
            return
        # A loop may fire a timer early, by the resolution of its clock.
        late = self.clock() + 0.001
        nearest = self._idle_until if not self.machine.streams else None
        if nearest is not None and nearest <= late:
            self.engine.lost(self.connection)  # idle for too long
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
        again = self.look_after() if self.waiting else None
        if again is not None:
            self._flush_soon()
            nearest = again if nearest is None else min(again, nearest)
        if nearest is not None:
            self._set_timer(nearest)
