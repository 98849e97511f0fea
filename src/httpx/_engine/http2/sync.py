"""
HTTP/2 for threads: whoever waits and finds nobody receiving does it for all streams, and passes that turn on when it
goes. There is no thread in the background.

    SyncMultiplexer   the requests on one connection; `handle` carries one of them out, in any number of threads
    SyncLane          what a body that has not arrived whole sees of it

One lock guards the machine, TLS and the bookkeeping. It is held while bytes are moved, which never waits, and let go
while a thread waits: for the socket, if it has the turn, else for whoever has it. It may be held when the engine's lock
is taken, and never the other way round.

Not here: what bytes mean (`_protocol.http2`), sockets (`sync`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any, Callable

from ..._exceptions import WriteError
from ..._forks import FORKS
from ..._models import Response
from ..._pool import Ticket
from ..._protocol.exchange import BODY, INPUT, PATIENCE, PAUSE, Exchange
from ..._protocol.stream2 import LOCAL_DONE, HTTP2Stream
from ..._sharing import SharingPool
from ..job import Job
from ..sockets import wait_for
from ..sync import SyncBody, SyncEngine
from ..sync_connection import SyncConnection
from .session import TurnTaking

# Seconds after which a thread that waits for the socket looks again. Another one may have left something unsent when it
# gave up, or may have taken just what this one waits for, and no thread can wake one that waits for a socket.
LOOK_UP = 0.25


class SyncMultiplexer(TurnTaking):
    """The requests on one connection of `engine`."""

    connection: SyncConnection
    # Locks that are held until something happens to the stream: the cheapest thing that a thread can wait for.
    waiting: dict[HTTP2Stream, threading.Lock]

    def __init__(self, engine: SyncEngine, connection: SyncConnection) -> None:
        self._engine = engine
        assert isinstance(engine.pool, SharingPool)
        self._pool = engine.pool
        self._lock = threading.Lock()
        FORKS.renew(self, "_lock", threading.Lock)
        self._reads = False  # somebody waits for input on behalf of all
        self._writes = False  # somebody waits for room in the socket
        super().__init__(connection, engine.settings, monotonic)
        self.flush()

    def enter_pool(self, ticket: Ticket[SyncConnection]) -> None:
        """The dial that the ticket asked for is done. The engine's lock is held."""
        self._pool.dialled(ticket, self.connection, monotonic(), self.capacity)

    def tell_pool(self) -> None:
        capacity = self.new_capacity()
        if capacity is not None:
            with self._engine.lock:
                self._pool.resize(self.connection, capacity, monotonic())

    def wake(self, streams: Iterable[HTTP2Stream]) -> None:
        for stream in streams:
            waiter = self.waiting.get(stream)
            if waiter is not None and waiter.locked():
                waiter.release()

    def catch_up(self) -> None:
        if not self._reads and self.error is None and self.wire.poll(0):
            self.take_input()

    def say_goodbye(self) -> None:
        with self._lock:
            super().say_goodbye()

    # Waiting.

    def receive(self, stream: HTTP2Stream, job: Job) -> None:
        """
        Wait until the stream has got something, or was rid of something.

        Raises:
            ReadTimeout, WriteTimeout, ReadError, WriteError.
        """
        until = self.limit(stream, job, monotonic())
        while True:
            happened = self._wait(stream, until)
            # Where something always arrives no wait is long enough to be ended.
            if not happened or (job.deadline is not None and monotonic() >= job.deadline):
                raise self.timed_out(stream, job, monotonic())
            if self.is_progress(stream):
                return

    def _wait(self, stream: HTTP2Stream, until: float | None) -> bool:
        """
        Until something happened to the stream: True; or until time is up: False.

        Raises:
            ReadError, WriteError: the connection broke or was closed.
        """
        news = self.news
        with self._lock:
            try:
                while stream not in news:
                    if self.error is not None:
                        raise self.write_error or self.error
                    if self._reads and (self._writes or not self.unsent):
                        self._wait_for_others(stream, until)
                    else:
                        self._take_turn(until)
                    if stream not in news and until is not None and monotonic() >= until:
                        return False
                news.discard(stream)
            finally:
                if self.waiting and (not self._reads or (self.unsent and not self._writes)):
                    self.wake([next(iter(self.waiting))])  # the turn is free: somebody must take it
        if self._pool.has_chores:
            self._engine.do_chores()
        return True

    def _take_turn(self, until: float | None) -> None:
        """Wait for the socket, without the lock, and move what can be moved then."""
        again = None if self.ping_interval is None else self.look_after()
        if self.error is not None:
            return
        if again is not None:
            self.flush()
            until = again if until is None else min(again, until)
        look_up = monotonic() + LOOK_UP
        until = look_up if until is None else min(look_up, until)
        reads, writes = not self._reads, bool(self.unsent) and not self._writes
        self._reads |= reads
        self._writes |= writes
        readable: Any = False
        self._lock.release()
        try:
            if writes:
                # For input, too: who receives may be another thread, and what it gets may be what we wait for.
                wait_for([self.wire.sock], [self.wire.sock], until)
                readable = reads and self.wire.poll(0)
            else:
                readable = self.wire.poll(None if until is None else max(0.0, until - monotonic()) * 1000.0)
        finally:
            try:
                self._lock_again()
            finally:
                if reads:
                    self._reads = False
                if writes:
                    self._writes = False
        if writes:
            self.flush()
        if readable:
            self.take_input()
        if self._pool.has_chores:
            self._do_chores()

    def _do_chores(self) -> None:
        """Wake whoever has got a place now. Without the lock, which closing a connection takes."""
        self._lock.release()
        try:
            self._engine.do_chores()
        finally:
            self._lock_again()

    def _wait_for_others(self, stream: HTTP2Stream, until: float | None) -> None:
        """Wait, without the lock, until another thread has something for the stream or leaves the turn to it."""
        waiter = self.waiting[stream] = threading.Lock()
        waiter.acquire()
        self._lock.release()
        try:
            waiter.acquire(timeout=-1 if until is None else max(0.0, until - monotonic()))
        finally:
            try:
                self._lock_again()
            finally:
                del self.waiting[stream]

    def _lock_again(self) -> None:
        """Take the lock, also if Ctrl-C comes meanwhile: whoever catches that is going to release it."""
        interrupt: BaseException | None = None
        taken: list[bool] = []
        while not taken:
            try:
                # In one step with taking note of it: Ctrl-C may come as soon as `acquire` has returned, and to take the
                # lock a second time would be to wait for oneself.
                taken.extend(map(self._lock.acquire, (True,)))
            except BaseException as exc:
                interrupt = exc
        if interrupt is not None:
            raise interrupt

    # One request.

    def handle(self, job: Job) -> Response | None:
        """
        Send a request on a connection that the pool gave for it, and return the response as soon as its head is there.

        None means that it did not happen, and may be tried again on what the pool gives then.

        Raises:
            TransportError: of the class that says what failed.
        """
        reused = self.has_served
        stream: HTTP2Stream | None = None
        self.wire.users.append(job)  # until `_give_back`
        try:
            with self._lock:
                stream = self.begin(job)
                self.flush()
            if self._pool.has_chores:
                self._engine.do_chores()
            if stream is None:
                self._give_back(job)
                return None
            if job.narrator is not None:
                self.begin_story(job, stream)
                self._engine.tell(job, "turn", stream)
            elif (
                stream.state == LOCAL_DONE
                and job.deadline is None
                # The first turn of `_pump`, and for nearly all the only one, without its frame.
                and not self._wait(stream, None if job.read is None else monotonic() + job.read)
            ):
                raise self.timed_out(stream, job, monotonic())
            if stream.head is None or stream.need == BODY:
                self._pump(stream, job)
        except BaseException as exc:
            if stream is None and not isinstance(exc, Exception):
                with self._lock:  # there may be a stream, and nobody knows which
                    self.lose(WriteError(f"sending was interrupted: {type(exc).__name__}"))
            self.leave(stream, job)
            self._engine.tell(job, "failed", exc)
            if stream is not None and not self.connection.interrupted and job.may_replay(stream, exc, reused):
                return None
            raise
        if not stream.finished:
            lane = SyncLane(self, stream)
            body = SyncBody(lane, lane, stream, job)
            response = self.answer(stream, job, body)
            body.extensions = response.extensions
            return response
        chunks = stream.chunks
        response = self.answer(stream, job, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        self.leave(stream, job)
        if job.narrator is not None:
            self._engine.tell(job, "body")
            self._engine.tell(job, "closed")
        return response

    def _pump(self, stream: HTTP2Stream, job: Job) -> None:
        """Hand over the request's body, and wait until the head of the answer is there."""
        pieces: Iterator[bytes] | None = None
        try:
            if job.narrator is not None:
                self._engine.tell(job, "turn", stream)  # what was sent at once
            while stream.head is None or stream.need == BODY:
                need = stream.need
                if need == INPUT:
                    self.receive(stream, job)
                elif need == BODY:
                    if pieces is None:
                        pieces = job.sync_pieces()
                    piece = next(pieces, None)
                    with self._lock:
                        self.feed(stream, piece, job)
                elif need == PAUSE:
                    patience = monotonic() + PATIENCE
                    if not self._wait(stream, patience if job.deadline is None else min(patience, job.deadline)):
                        with self._lock:
                            self.proceed(stream)
                else:
                    break
                if job.narrator is not None:
                    self._engine.tell(job, "turn", stream, self.new_settings())
        finally:
            # A generator that is not used up would stay suspended, with whatever it holds open.
            if pieces is not None and hasattr(pieces, "close"):
                pieces.close()
        # An answer that broke off behind its head is a response still, and raises when it is read.
        if stream.error is not None and stream.head is None:
            raise self.write_error or stream.error

    def read(self, stream: HTTP2Stream) -> list[bytes]:
        """The pieces of the body that have arrived; the peer may send as many more."""
        with self._lock:
            return self.take_chunks(stream)

    def leave(self, stream: HTTP2Stream | None, job: Job) -> None:
        """A request is over, or given up: its place is free."""
        try:
            with self._lock:
                self.settle_with(stream)
            self._give_back(job)
        except BaseException as exc:
            self._engine.recover(job, exc)
            raise

    def _give_back(self, job: Job) -> None:
        with self._engine.lock:  # `is_usable` without its frame
            self._pool.release(self.connection, not self.is_broken and self.machine.max_streams > 0, monotonic(), job)
        if self._pool.has_chores:
            self._engine.do_chores()
        wire = self.wire
        if job in wire.users:  # it may have been given back before, as the pool knows, too
            wire.users.remove(job)
        if wire.released and not wire.users:
            wire.sock.close()


class SyncLane:
    """One stream of a multiplexer, in the place of the engine and the connection of a `SyncBody`."""

    def __init__(self, multiplexer: SyncMultiplexer, stream: HTTP2Stream) -> None:
        self._multiplexer = multiplexer
        self._stream = stream
        self.wire = multiplexer.wire

    @property
    def closed(self) -> bool:
        """Was the connection closed?"""
        return self._multiplexer.connection.closed

    def take_chunks(self, exchange: Exchange) -> list[bytes]:
        """The pieces of the body that have arrived; the peer may send as many more."""
        return self._multiplexer.read(self._stream)

    def receive(self, connection: Any, exchange: Exchange, job: Job) -> None:
        """Wait until more has arrived."""
        self._multiplexer.receive(self._stream, job)

    def release(self, connection: Any, reusable: bool, job: Job) -> None:
        """The body was read, or nobody wants it."""
        self._multiplexer.leave(self._stream, job)

    def tell(self, job: Job, what: str, *args: Any, **info: Any) -> None:
        """As `SyncEngine.tell`."""
        self._multiplexer._engine.tell(job, what, *args, **info)

    def now(self) -> float:
        """Return the time on the shell's clock."""
        return monotonic()

    def later(self, function: Callable[[], None]) -> None:
        """As `SyncEngine.later`."""
        self._multiplexer._engine.later(function)
