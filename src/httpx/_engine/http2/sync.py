"""
HTTP/2 for threads. A thread that waits and finds no other one receiving does it for all streams, and passes that turn
on when it goes. No thread runs in the background.

    SyncMultiplexer   the requests on one connection; any number of threads may call `handle`
    SyncStreamBody    the body of a response that has not arrived whole

One lock guards the session, TLS and the bookkeeping. It is held while bytes are moved, which never waits, and released
while a thread waits: for the socket, if it has the turn, else for the thread that has it. The engine's lock may be
taken while it is held, and never the other way round.

Not here: what bytes mean (`_protocol.http2`), what needs no waiting (`session`, `carrier`), sockets (`sync`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from time import monotonic
from typing import Any

from ..._exceptions import WriteError
from ..._forks import FORKS
from ..._models import Response
from ..._pool import Ticket
from ..._protocol.exchange import BODY, INPUT, NOTHING, PATIENCE, PAUSE
from ..._protocol.stream2 import LOCAL_DONE, HTTP2Stream
from ..._sharing import SharingPool
from ..._types import SyncByteStream
from ..job import Job, again
from ..sockets import wait_for
from ..sync import SyncEngine
from ..sync_connection import SyncConnection
from .carrier import Carrier
from .session import Session, take_chunk

# Seconds after which a thread that waits for the socket looks again. Another one may have left something unsent when it
# gave up, or may have taken just what this one waits for, and no thread can wake one that waits for a socket.
LOOK_UP = 0.25


class SyncMultiplexer:
    """
    The requests on one connection of `engine`.

    Args:
        engine: whose pool the connection belongs to.
        connection: established, and agreed to speak HTTP/2.

    Attributes:
        connection: None when it is closed.
        waiting: streams whose owner waits for another thread -> a lock that is held until something happens to the
            stream: the cheapest thing that a thread can wait for.
    """

    def __init__(self, engine: SyncEngine, connection: SyncConnection) -> None:
        self.engine = engine
        assert isinstance(engine.pool, SharingPool)
        self._pool = engine.pool
        self._lock = threading.Lock()
        FORKS.renew(self, "_lock", threading.Lock)
        self._reads = False  # a thread waits for input on behalf of all
        self._writes = False  # a thread waits for room in the socket
        self.connection: SyncConnection | None = connection
        self.waiting: dict[HTTP2Stream, threading.Lock] = {}
        self.session = Session(engine.settings, monotonic)
        self.carrier = Carrier(connection.wire, self.session, self.waiting, self._on_change)
        connection.multiplexer = self
        self.carrier.begin()

    def enter_pool(self, ticket: Ticket[Any]) -> None:
        """Give the connection to the pool: the ticket's dial is done. The engine's lock is held."""
        self._pool.dialled(ticket, self.connection, monotonic(), self.session.take_limit())

    def say_goodbye(self) -> None:
        """Tell the peer that the connection is about to be closed, if that needs no waiting."""
        with self._lock:
            # The pool has forgotten it. This way round, so that what is left is not a cycle.
            self.connection = None
            self.carrier.say_goodbye()

    def _on_change(self) -> None:
        """Tell the pool of a new limit, if there is one, and wake the threads whose streams have got something."""
        session = self.session
        if session.told != session.machine.max_streams:
            limit = session.take_limit()
            with self.engine.lock:
                if self.connection is not None:
                    self._pool.resize(self.connection, limit, monotonic())
        for stream in session.news:
            waiter = self.waiting.get(stream)
            if waiter is not None and waiter.locked():
                waiter.release()

    # Waiting.

    def _receive(self, stream: HTTP2Stream, job: Job, wants_head: bool, until: float | None = None) -> None:
        """
        Wait until there is something new for the owner of a stream, or the peer has taken more of its request.

        Args:
            stream: of the request.
            job: the request.
            wants_head: its owner waits for the head of the response.
            until: when a wait that goes on ends; None for one that begins.

        Raises:
            ReadTimeout, WriteTimeout, ReadError, WriteError.
        """
        session = self.session
        with self._lock:
            sends = session.is_sending(stream)
            before = session.mark(stream, sends)
        heard = session.heard
        if until is None or sends:
            until = job.limit("write" if sends else "read", monotonic())
        while True:
            happened = self._wait(stream, until)
            # Where something always arrives, no wait lasts long enough to time out.
            if not happened or (job.deadline is not None and monotonic() >= job.deadline):
                raise self._timed_out(stream, job, heard, sends)
            with self._lock:
                if session.is_progress(stream, wants_head, before):
                    return

    def _timed_out(self, stream: HTTP2Stream, job: Job, heard: int, sends: bool) -> Exception:
        with self._lock:
            if not self._reads:
                self.carrier.catch_up()
            error = self.session.timed_out(stream, job, heard, sends)
            self.carrier.flush()
            self._on_change()
        return error

    def _wait(self, stream: HTTP2Stream, until: float | None) -> bool:
        """
        Wait until something happened to the stream: True; or until time is up: False.

        Raises:
            ReadError, WriteError: the connection broke or was closed.
        """
        session, carrier = self.session, self.carrier
        news = session.news
        with self._lock:
            try:
                while stream not in news and stream.error is None:
                    if session.error is not None:
                        raise session.failure()  # type: ignore[misc]  # there is one
                    if self._reads and (self._writes or not carrier.unsent):
                        self._wait_for_others(stream, until)
                    else:
                        self._take_turn(until)
                    if stream not in news and until is not None and monotonic() >= until and stream.error is None:
                        return False
                news.discard(stream)
            finally:
                if self.waiting and (not self._reads or (carrier.unsent and not self._writes)):
                    waiter = next(iter(self.waiting.values()))
                    if waiter.locked():
                        waiter.release()  # the turn is free: another thread must take it
        if self._pool.has_chores:
            self.engine.do_chores()
        return True

    def _take_turn(self, until: float | None) -> None:
        """Wait for the socket, without the lock, and move what can be moved then."""
        session, carrier = self.session, self.carrier
        wire = carrier.wire
        again_at = None if session.ping_interval is None else session.look_after()
        if session.error is not None:
            self._on_change()
            return
        if again_at is not None:
            carrier.flush()
            until = again_at if until is None else min(again_at, until)
        look_up = monotonic() + LOOK_UP
        until = look_up if until is None else min(look_up, until)
        reads, writes = not self._reads, bool(carrier.unsent) and not self._writes
        self._reads |= reads
        self._writes |= writes
        readable: Any = False
        self._lock.release()
        try:
            if writes:
                # For input, too: another thread may be the one that receives, and take what this one waits for.
                wait_for([wire.sock], [wire.sock], until)
                readable = reads and wire.poll(0)
            else:
                readable = wire.poll(max(0.0, until - monotonic()) * 1000.0)
        finally:
            try:
                self._lock_again()
            finally:
                if reads:
                    self._reads = False
                if writes:
                    self._writes = False
        if writes:
            carrier.flush()
        if readable:
            carrier.take_input()
        if self._pool.has_chores:
            self._do_chores()

    def _do_chores(self) -> None:
        """Wake the threads that have got a place now. Without the lock, which closing a connection takes."""
        self._lock.release()
        try:
            self.engine.do_chores()
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
        """Take the lock, also if Ctrl-C comes meanwhile: a `with` further up is going to release it."""
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

        None means that it was not sent, and may be tried again on what the pool gives then.

        Raises:
            TransportError: of the class that says what failed.

        Long because its parts, as functions, would be frames of a warm request.
        """
        session, carrier, connection = self.session, self.carrier, self.connection
        was_used = session.has_served
        stream: HTTP2Stream | None = None
        until: float | None = None
        self.carrier.wire.users.append(job)  # until `_give_back`
        try:
            with self._lock:
                if not self._reads:
                    carrier.catch_up()
                stream = session.begin(job)
                carrier.flush()
                if session.stalls and stream is not None:
                    session.sending.setdefault(stream, 0)
            if self._pool.has_chores:
                self.engine.do_chores()
            if stream is None:
                # The next request should not see a suspect connection; one that only is full, it may.
                self._give_back(job, not session.is_suspect)
                return None
            if job.narrator is not None:
                session.begin_story(job, stream)
                self.engine.tell(job, "turn", stream)
            elif stream.state == LOCAL_DONE and job.deadline is None and not session.sending:
                # The first turn of `_pump`, and nearly always the only one.
                heard = session.heard
                until = None if job.read is None else monotonic() + job.read
                if not self._wait(stream, until):
                    raise self._timed_out(stream, job, heard, False)
            if stream.head is None:
                self._pump(stream, job, until)
        except BaseException as exc:
            if stream is None and not isinstance(exc, Exception):
                with self._lock:  # there may be a stream that is not known
                    carrier.lose(WriteError(f"sending was interrupted: {type(exc).__name__}"))
            not_for_itself = stream is not None and session.was_processing(stream)
            self.leave(stream, job)
            self.engine.tell(job, "failed", exc)
            if (
                stream is not None
                and not (connection is None or connection.interrupted)
                and job.may_replay(stream, exc, was_used, not_for_itself)
            ):
                return None
            raise
        assert stream.head is not None
        if not stream.finished:
            body = SyncStreamBody(self, connection, stream, job)
            response = Response._from_wire(stream.head, stream.remarkable, body, connection, stream.identifier)
            body.extensions = response.extensions
            if stream.informational:
                job.annotate(response, stream)
            return response
        chunks = stream.chunks
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        response = Response._from_wire(stream.head, stream.remarkable, content, connection, stream.identifier)
        if stream.informational or stream.trailers is not None:
            job.annotate(response, stream)
        self.leave(stream, job)
        if job.narrator is not None:
            self.engine.tell(job, "body")
            self.engine.tell(job, "closed")
        return response

    def _pump(self, stream: HTTP2Stream, job: Job, until: float | None) -> None:
        """Hand over the request's body, and wait until the head of the response is there."""
        patience: float | None = None
        if job.narrator is not None:
            self.engine.tell(job, "turn", stream)  # what was sent at once
        while stream.head is None:
            need = stream.need
            if need == INPUT:
                self._receive(stream, job, True, until)
                until = None
            elif need == BODY:
                self._feed(stream, job)
            elif need == PAUSE:
                if patience is None:
                    patience = monotonic() + PATIENCE
                if not self._wait(stream, patience if job.deadline is None else min(patience, job.deadline)):
                    with self._lock:
                        stream.proceed()
                        self.carrier.flush()
            else:
                break
            if job.narrator is not None:
                self.engine.tell(job, "turn", stream, self.session.new_settings())
        # A response that broke off after its head is a response still, and raises when it is read.
        if stream.error is not None and stream.head is None:
            raise self.session.failure_of(stream)

    def _feed(self, stream: HTTP2Stream, job: Job) -> None:
        """Hand over the next piece of the request's body."""
        piece = job.next_piece()
        if job.deadline is not None and monotonic() >= job.deadline:
            raise self._timed_out(stream, job, -1, True)
        with self._lock:
            stream.feed(piece)
            self.carrier.flush()
            if not self._reads:
                self.carrier.catch_up()  # maybe a response that makes the rest pointless
            if self.session.is_broken:
                stream.cut_short()  # a server that closes while we send has often responded before

    def read(self, stream: HTTP2Stream, job: Job) -> bytes | None:
        """
        Return what has arrived of the body, or wait for it; None at its end. What is left of the request is sent.

        Raises:
            TransportError: the body broke off.
        """
        while True:
            # In one step: what arrives in between, and ends the body, would be lost.
            with self._lock:
                if stream.chunks:
                    chunk = take_chunk(stream)
                    if self.session.machine.output:
                        self.carrier.flush()
                    return chunk
                need = stream.need
            if need == NOTHING:
                if stream.error is not None:
                    raise again(stream.error)
                return None
            if need == BODY:
                self._feed(stream, job)
            else:
                self._receive(stream, job, False)

    def leave(self, stream: HTTP2Stream | None, job: Job) -> None:
        """Free the place of a request that is over or given up."""
        try:
            if stream is not None:
                with self._lock:
                    self.session.end(stream)
                    waiter = self.waiting.get(stream)
                    if waiter is not None and waiter.locked():
                        waiter.release()  # another thread reads what this one closes
                    if self.session.machine.output:
                        self.carrier.flush()
            self._give_back(job)
        except BaseException as exc:
            self.engine.recover(job, exc)
            raise
        if job.pieces is not None:
            job.end_pieces()

    def _give_back(self, job: Job, reusable: bool = True) -> None:
        connection = self.connection
        reusable = reusable and self.session.is_usable
        with self.engine.lock:
            if connection is not None:
                self._pool.release(connection, reusable, monotonic(), job)
            elif self._pool.claim_of(job) is not None:
                self._pool.give_up(job)  # the pool has forgotten the connection, and not who had it
        wire = self.carrier.wire
        # Before the chores: closing the connection ends TLS properly only where no other request is using it.
        if job in wire.users:  # it may have been given back before, as the pool knows, too
            wire.users.remove(job)
        if self._pool.has_chores:
            self.engine.do_chores()
        if wire.released and not wire.users:
            wire.sock.close()


class SyncStreamBody(SyncByteStream):
    """
    The rest of a response's body, received while it is iterated.

    Attributes:
        extensions: of the response, which get the trailers. Not the response: the two would be a cycle.
    """

    def __init__(
        self, multiplexer: SyncMultiplexer, connection: SyncConnection | None, stream: HTTP2Stream, job: Job
    ) -> None:
        self._multiplexer = multiplexer
        self._connection = connection
        self._stream = stream
        self._job = job
        self._over = False
        self.extensions: dict[str, Any] = {}

    def __iter__(self) -> Iterator[bytes]:
        if self._job.narrator is not None:
            self._multiplexer.engine.tell(self._job, "body")
        multiplexer, stream, job = self._multiplexer, self._stream, self._job
        try:
            while True:
                chunk = multiplexer.read(stream, job)
                if chunk is None:
                    break
                yield chunk
        except GeneratorExit:
            multiplexer.engine.later(self.close)  # it may be the garbage collector that ends the iteration
            raise
        except BaseException:
            self.close()
            raise
        if stream.trailers is not None:
            self.extensions["trailers"] = stream.trailers
        self.close()

    def hurry(self, ends_by_itself: bool) -> None:
        """Let the rest of the body end soon, or fail: it was not asked for. See `Limits.hurry`."""
        self._job.hurry(monotonic(), ends_by_itself)

    def close(self) -> None:
        """Free the place on the connection; a response that has not arrived whole is given up."""
        if not self._over:
            self._over = True
            self._multiplexer.leave(self._stream, self._job)
            if self._job.narrator is not None:
                self._multiplexer.engine.tell(self._job, "closed")

    def __del__(self) -> None:
        if not self._over:
            self._multiplexer.engine.later(partial(self._multiplexer.leave, self._stream, self._job))
