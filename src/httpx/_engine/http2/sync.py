"""
HTTP/2 for threads. A thread that waits and finds no other one receiving does it for all streams, and passes that turn
on when it goes. No thread runs in the background.

    SyncMultiplexer   the requests on one connection; any number of threads may call `handle`
    SyncStreamBody    the body of a response that has not arrived whole

One lock guards the session, TLS and the bookkeeping. It is held while bytes are moved, which never waits, and released
while a thread waits: for the socket, if it has the turn, else for the thread that has it. The engine's lock may be
taken while it is held, and never the other way round.

The lock is not taken by `with`. An exception that comes while a thread has it, such as one out of a signal handler,
leaves it locked until that thread gets to `recover`. So no other thread finds what is half changed, and `recover` knows
whether something may be: only then is the connection given up. An exception that comes during a wait ends only the
request that waited.

Not here: what bytes mean (`_protocol.http2`), what needs no waiting (`session`, `carrier`), sockets (`sync`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from time import monotonic
from typing import Any

from ..._exceptions import ReadError, TransportError
from ..._forks import FORKS, is_owned, unlock
from ..._models import Response
from ..._pool import Ticket
from ..._protocol.exchange import BODY, INPUT, NOTHING, PAUSE
from ..._protocol.stream2 import LOCAL_DONE, HTTP2Stream
from ..._sharing import SharingPool
from ..._types import SyncByteStream
from ..job import Job, again
from ..sockets import wait_for
from ..sync import SyncEngine
from ..sync_connection import SyncConnection
from .carrier import Carrier
from .session import Session, take_chunk
from .tunnel import SyncTunnel

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
        self._lock = threading.RLock()
        FORKS.renew(self, "_lock", threading.RLock)
        self._reader: HTTP2Stream | None = None  # its owner waits for input on behalf of all
        self._writer: HTTP2Stream | None = None  # its owner waits for room in the socket
        self.connection: SyncConnection | None = connection
        self.waiting: dict[HTTP2Stream, threading.Lock] = {}
        self.session = Session(engine.settings, monotonic)
        self.carrier = Carrier(connection.wire, self.session, self.waiting, self._on_change)
        connection.multiplexer = self
        self.carrier.begin()

    @property
    def allows_protocols(self) -> bool:
        """Return whether the peer takes a WebSocket on a stream (RFC 8441)."""
        return self.session.machine.allows_protocols and not self.session.is_broken

    def make_tunnel(self, response: Response) -> None:
        """Put the bytes of the tunnel that a response has opened into its extensions."""
        response.extensions["network_stream"] = SyncTunnel(self, response.stream)

    def enter_pool(self, ticket: Ticket[Any]) -> None:
        """Give the connection to the pool: the ticket's dial is done. The engine's lock is held."""
        self._pool.dialled(ticket, self.connection, monotonic(), self.session.take_limit())

    def say_goodbye(self) -> None:
        """Tell the peer that the connection is about to be closed, if that needs no waiting."""
        try:
            with self._lock:
                # The pool has forgotten it. This way round, so that what is left is not a cycle.
                self.connection = None
                self.carrier.say_goodbye()
        except BaseException:
            with self._lock:
                self.session.close()
                self._wake_all()
            unlock(self._lock)
            raise

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

    def _wake_all(self) -> None:
        """Let each thread that waits for another one look again."""
        for waiter in self.waiting.values():
            if waiter.locked():
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
        self._lock.acquire()
        sends = session.is_sending(stream)
        before = session.mark(stream, sends)
        self._lock.release()
        heard = session.heard
        if until is None or sends:
            until = job.limit("write" if sends else "read", monotonic())
        while True:
            happened = self._wait(stream, until)
            # Where something always arrives, no wait lasts long enough to time out.
            if not happened or (job.deadline is not None and monotonic() >= job.deadline):
                raise self._timed_out(stream, job, heard, sends)
            if wants_head and stream.informational:
                self.engine.hear(stream, job)
            self._lock.acquire()
            is_progress = session.is_progress(stream, wants_head, before)
            self._lock.release()
            if is_progress:
                if sends and wants_head and stream.head is None:
                    job.note_sent(monotonic())
                return

    def _timed_out(self, stream: HTTP2Stream, job: Job, heard: int, sends: bool) -> Exception:
        self._lock.acquire()
        if self._reader is None:
            self.carrier.catch_up()
        error = self.session.timed_out(stream, job, heard, sends)
        self.carrier.flush()
        self._on_change()
        self._lock.release()
        return error

    def _wait(self, stream: HTTP2Stream, until: float | None) -> bool:
        """
        Wait until something happened to the stream: True; or until time is up: False.

        Raises:
            ReadError, WriteError: the connection broke or was closed.
        """
        session, carrier = self.session, self.carrier
        news = session.news
        self._lock.acquire()
        while stream not in news and stream.error is None:
            if session.error is not None:
                raise session.failure()  # type: ignore[misc]  # there is one
            if self._reader is not None and (self._writer is not None or not carrier.unsent):
                self._wait_for_others(stream, until)
            else:
                self._take_turn(stream, until)
            if stream not in news and until is not None and monotonic() >= until and stream.error is None:
                happened = False
                break
        else:
            news.discard(stream)
            happened = True
        if self.waiting and (self._reader is None or (carrier.unsent and self._writer is None)):
            waiter = next(iter(self.waiting.values()))
            if waiter.locked():
                waiter.release()  # the turn is free: another thread must take it
        self._lock.release()
        if happened and self._pool.has_chores:
            self.engine.do_chores()
        return happened

    def _take_turn(self, stream: HTTP2Stream, until: float | None) -> None:
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
        reads, writes = self._reader is None, bool(carrier.unsent) and self._writer is None
        if reads:
            self._reader = stream
        if writes:
            self._writer = stream
        self._lock.release()
        readable: Any = False
        if writes:
            # For input, too: another thread may be the one that receives, and take what this one waits for.
            wait_for([wire.sock], [wire.sock], until)
            readable = reads and wire.poll(0)
        else:
            readable = wire.poll(max(0.0, until - monotonic()) * 1000.0)
        self._lock.acquire()
        if reads:
            self._reader = None
        if writes:
            self._writer = None
            carrier.flush()
        if readable and session.error is None:  # another thread may have given the connection up
            carrier.take_input()
        if self._pool.has_chores:
            # Wake the threads that have got a place now. Without the lock, which closing a connection takes.
            self._lock.release()
            self.engine.do_chores()
            self._lock.acquire()

    def _wait_for_others(self, stream: HTTP2Stream, until: float | None) -> None:
        """Wait, without the lock, until another thread has something for the stream or leaves the turn to it."""
        waiter = threading.Lock()
        waiter.acquire()
        self.waiting[stream] = waiter
        self._lock.release()
        waiter.acquire(timeout=-1 if until is None else max(0.0, until - monotonic()))
        self._lock.acquire()
        del self.waiting[stream]

    # One request.

    def handle(self, job: Job, moment: float) -> Response | None:
        """
        Send a request on a connection that the pool gave for it, and return the response as soon as its head is there.

        None means that it was not sent, and may be tried again on what the pool gives then.

        Args:
            moment: now, on the shell's clock.

        Raises:
            TransportError: of the class that says what failed.

        Long because its parts, as functions, would be frames of a warm request.
        """
        session, carrier, connection = self.session, self.carrier, self.connection
        was_used = session.has_served
        stream: HTTP2Stream | None = None
        until: float | None = None
        is_recovered = False
        try:
            try:
                carrier.wire.users.append(job)  # until `_give_back`
                self._lock.acquire()
                if self._reader is None:
                    carrier.catch_up()
                stream = session.begin(job)
                carrier.flush()
                if session.stalls and stream is not None:
                    session.sending.setdefault(stream, 0)
                self._lock.release()
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
                    until = None if job.read is None else moment + job.read
                    if not self._wait(stream, until):
                        raise self._timed_out(stream, job, heard, False)
                if stream.head is None:
                    self._pump(stream, job, until)
                elif stream.informational:
                    self.engine.hear(stream, job)
                assert stream.head is not None
                is_whole = stream.finished and not stream.is_tunnel
                if is_whole:
                    chunks = stream.chunks
                    body: Any = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                else:
                    body = SyncStreamBody(self, connection, stream, job)
                response = Response._from_wire(stream.head, stream.remarkable, body, connection, stream.identifier)
                if is_whole:
                    self.leave(stream, job)
                else:
                    body.extensions = response.extensions
            except BaseException as exc:
                not_for_itself = stream is not None and session.was_processing(stream)
                job.note_failure(carrier, exc)
                self.recover(stream, job, exc)
                is_recovered = True
                if isinstance(exc, Exception):
                    self.engine.tell(job, "failed", exc)
                if (
                    stream is not None
                    and not (connection is None or connection.interrupted)
                    and job.may_replay(stream, exc, was_used, not_for_itself)
                ):
                    return None
                raise
        except BaseException as exc:
            if not is_recovered:  # what failed was interrupted when it gave back
                self.recover(stream, job, exc)
            raise
        if stream.informational or (is_whole and stream.trailers is not None) or job.stamps is not None:
            job.annotate(response, stream)
        if is_whole and job.narrator is not None:
            self.engine.tell(job, "body")
            self.engine.tell(job, "closed")
        return response

    def _pump(self, stream: HTTP2Stream, job: Job, until: float | None) -> None:
        """Hand over the request's body, and wait until the head of the response is there."""
        patience: float | None = None
        is_patient = False
        if job.narrator is not None:
            self.engine.tell(job, "turn", stream)  # what was sent at once
        if stream.informational:
            self.engine.hear(stream, job)
        while stream.head is None:
            need = stream.need
            if need == INPUT:
                self._receive(stream, job, True, until)
                until = None
            elif need == BODY:
                self._feed(stream, job)
            elif need == PAUSE:
                if not is_patient:
                    is_patient, patience = True, job.consent_limit(monotonic())
                if not self._wait(stream, patience) or (patience is not None and monotonic() >= patience):
                    job.check_patience(monotonic())
                    self._lock.acquire()
                    stream.proceed()
                    self.carrier.flush()
                    self._lock.release()
            else:
                break
            if job.narrator is not None:
                self.engine.tell(job, "turn", stream, self.session.new_settings())
            if stream.informational:
                self.engine.hear(stream, job)
        # A response that broke off after its head is a response still, and raises when it is read.
        if stream.error is not None and stream.head is None:
            raise self.session.failure_of(stream)

    def _feed(self, stream: HTTP2Stream, job: Job) -> None:
        """Hand over the next piece of the request's body."""
        piece = job.next_piece()
        if stream.head is None:
            job.note_sent(monotonic())
        if job.deadline is not None and monotonic() >= job.deadline:
            raise self._timed_out(stream, job, -1, True)
        self._lock.acquire()
        if not self.session.is_broken:
            if piece is None and job.request.trailers is not None:
                stream.feed(None, job.trailers())
            else:
                stream.feed(piece)
            self.carrier.flush()
            if self._reader is None:
                self.carrier.catch_up()  # maybe a response that makes the rest pointless
        if self.session.is_broken:
            stream.cut_short()  # a server that closes while we send has often responded before
        self._lock.release()

    def read(self, stream: HTTP2Stream, job: Job) -> bytes | None:
        """
        Return what has arrived of the body, or wait for it; None at its end. What is left of the request is sent.

        Raises:
            TransportError: the body broke off.
        """
        while True:
            # In one step: what arrives in between, and ends the body, would be lost.
            self._lock.acquire()
            if stream.chunks:
                chunk = take_chunk(stream)
                if self.session.machine.output:
                    self.carrier.flush()
                self._lock.release()
                return chunk
            need = stream.need
            self._lock.release()
            if need == NOTHING:
                if stream.error is not None:
                    raise again(stream.error)
                return None
            if need == BODY:
                self._feed(stream, job)
            else:
                self._receive(stream, job, False)

    def leave(self, stream: HTTP2Stream, job: Job) -> None:
        """Free the place of a request that is over or given up. Does nothing the second time."""
        try:
            self._lock.acquire()
            self.session.end(stream)
            waiter = self.waiting.get(stream)
            if waiter is not None and waiter.locked():
                waiter.release()  # another thread reads what this one closes
            if self.session.machine.output:
                self.carrier.flush()
            self._lock.release()
            self._give_back(job)
        except BaseException as exc:
            self.recover(stream, job, exc)
            raise
        if job.pieces is not None:
            job.end_pieces()

    def recover(self, stream: HTTP2Stream | None, job: Job, exc: BaseException) -> None:
        """
        Take back all that a request has here, after `exc` at an unknown point; the locks of this thread are released.

        If it came while this thread changed something, the connection cannot be used any more: new requests get another
        one, and those that are on it fail, or are sent again where that is safe.
        """
        unlock(self.engine.lock)  # first: no thread may wait for `_lock` while it has that one
        # Our own errors are raised with the lock, too, and never in the middle of a change.
        is_half_changed = is_owned(self._lock) and not isinstance(exc, TransportError)
        try:
            self._lock.acquire()
            if stream is not None:
                if self._reader is stream:
                    self._reader = None
                if self._writer is stream:
                    self._writer = None
                self.waiting.pop(stream, None)
            if is_half_changed:
                name = type(exc).__name__
                self.carrier.lose(ReadError(f"the connection was interrupted, by {name} in another request"))
            elif stream is not None:
                self.session.end(stream)
                self.carrier.flush()
            self._wake_all()  # maybe the turn is free, or something was not told
        finally:
            unlock(self._lock)
        self._give_back(job)
        self.engine.recover(job, exc)
        if job.pieces is not None:
            job.end_pieces()

    def _give_back(self, job: Job, reusable: bool = True) -> None:
        connection, wire = self.connection, self.carrier.wire
        reusable = reusable and self.session.is_usable
        with self.engine.lock:
            if connection is not None:
                self._pool.release(connection, reusable, monotonic(), job)
            elif self._pool.claim_of(job) is not None:
                self._pool.give_up(job)  # the pool has forgotten the connection, and not who had it
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
        # Not earlier: a middleware may set it when it has seen the head.
        if "idle_timeout" in job.request.extensions:
            job.idle(job.request.extensions["idle_timeout"])
        try:
            while True:
                chunk = multiplexer.read(stream, job)
                if chunk is None:
                    break
                yield chunk
        except GeneratorExit:
            multiplexer.engine.later(self.close)  # it may be the garbage collector that ends the iteration
            raise
        except BaseException as exc:
            try:
                multiplexer.recover(stream, job, exc)
            finally:
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
            self._multiplexer.leave(self._stream, self._job)
            self._over = True
            if self._job.narrator is not None:
                self._multiplexer.engine.tell(self._job, "closed")

    def __del__(self) -> None:
        if not getattr(self, "_over", True):  # absent: an interruption left the constructor
            self._multiplexer.engine.later(partial(self._multiplexer.leave, self._stream, self._job))
