"""
One request of HTTP/2 on asyncio or trio: what is the same on both.

    AsyncMultiplexer   `handle` carries a request out; the shells say how it is sent and waited for
    AsyncStreamBody    the body of a response that has not arrived whole

Not here: the socket, turns and timers (`http2.asyncio`, `http2.trio`), what needs no waiting (`session`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Any, Callable, Protocol

from ..._models import Response
from ..._pool import Ticket
from ..._protocol.exchange import BODY, INPUT, NOTHING, PAUSE, Exchange
from ..._protocol.stream2 import LOCAL_DONE, HTTP2Stream
from ..._sharing import SharingPool
from ..._types import AsyncByteStream
from ..job import Job, again
from .session import Session, take_chunk
from .tunnel import AsyncTunnel


class Engine(Protocol):
    """What a multiplexer asks of `AsyncioEngine` or `TrioEngine`."""

    def settle(self) -> None:
        """Do what the pool asks for."""
        ...

    def later(self, function: Callable[[], None]) -> None:
        """Call `function` soon. May be called from anywhere, also by the garbage collector and in other threads."""
        ...

    async def hear(self, exchange: Exchange, job: Job) -> None:
        """Call the function for 1xx responses of a request."""
        ...

    async def tell(self, job: Job, what: str, *args: Any) -> None:
        """Deliver the events of a step to the trace of a request."""
        ...


class AsyncMultiplexer(ABC):
    """
    The requests on one connection of an engine.

    Args:
        engine: whose pool the connection belongs to.
        pool: the engine's.
        connection: established, and agreed to speak HTTP/2.
        session: the requests on it.

    Attributes:
        connection: None when it is closed.
        listens: while there are requests, what the peer sends is taken by itself; for the shell.
        lags: the loop may have received bytes that it has not delivered yet, which `catch_up` must not overtake.
    """

    listens = False
    lags: bool

    def __init__(self, engine: Engine, pool: Any, connection: Any, session: Session) -> None:
        assert isinstance(pool, SharingPool)
        self.engine = engine
        self.pool: SharingPool[Any] = pool
        self.connection: Any = connection
        self.session = session

    # How each shell does it. None of these waits, but what `wait` and `rest` return.

    @abstractmethod
    def wait(self, stream: HTTP2Stream, until: float | None) -> Awaitable[bool]:
        """
        Wait until something happened to the stream: True; or until time is up: False.

        Raises, now or when it is awaited:
            ReadError, WriteError, ConnectError: the connection broke or was closed.
        """

    @abstractmethod
    def flush(self) -> None:
        """Send what there is, as far as the socket takes it at once; the rest follows when it takes more."""

    @abstractmethod
    def flush_soon(self) -> None:
        """Send as `flush` does, maybe together with what others begin in this turn."""

    @abstractmethod
    def catch_up(self) -> None:
        """Take what the peer has sent, if nothing else does so by itself."""

    @abstractmethod
    def rest(self) -> Awaitable[None]:
        """Let other tasks run."""

    @abstractmethod
    def leave(self, stream: HTTP2Stream | None, job: Job) -> None:
        """Free the place of a request that is over or given up."""

    # What they share.

    @property
    def allows_protocols(self) -> bool:
        """Return whether the peer takes a WebSocket on a stream (RFC 8441)."""
        return self.session.machine.allows_protocols and not self.session.is_broken

    def make_tunnel(self, response: Response) -> None:
        """Put the bytes of the tunnel that a response has opened into its extensions."""
        response.extensions["network_stream"] = AsyncTunnel(self, response.stream)

    def enter_pool(self, ticket: Ticket[Any]) -> None:
        """Give the connection to the pool: the dial that the ticket asked for is done."""
        self.pool.dialled(ticket, self.connection, self.session.clock(), self.session.take_limit())

    def was_left(self) -> None:
        """Note that the request that the connection was made for has another one."""
        self.session.has_begun = True

    def tell_pool(self) -> None:
        """Tell the pool how many requests may be here from now on."""
        session = self.session
        limit = session.take_limit()
        if self.connection is not None:
            self.pool.resize(self.connection, limit, session.clock())
            self.engine.settle()

    async def let_loop_deliver(self) -> None:
        """Where the loop `lags`: let it deliver what it has received of an idle connection, such as its end."""
        raise NotImplementedError

    async def handle(self, job: Job, moment: float) -> Response | None:
        """
        Send a request on a connection that the pool gave for it, and return the response as soon as its head is there.

        None means that it was not sent, and may be tried again on what the pool gives then.

        Args:
            moment: now, on the shell's clock.

        Raises:
            TransportError: of the class that says what failed.

        Long because its parts, as functions, would be frames of a warm request.
        """
        session, connection = self.session, self.connection
        was_used = session.has_served
        stream: HTTP2Stream | None = None
        until: float | None = None
        # No await before the `try`: a cancellation there would leak the connection.
        try:
            if not (self.listens and session.machine.streams):
                if self.lags:
                    await self.let_loop_deliver()
                self.catch_up()
            stream = session.begin(job)
            if stream is None:
                self._give_back(job)
                return None
            if job.narrator is not None:
                session.begin_story(job, stream)
                await self.engine.tell(job, "turn", stream)
            elif stream.state == LOCAL_DONE and job.deadline is None and not session.sending:
                # The first turn of `_pump`, and nearly always the only one.
                heard = session.heard
                until = None if job.read is None else moment + job.read
                if not await self.wait(stream, until):
                    raise self._timed_out(stream, job, heard, False)
            if stream.head is None:
                await self._pump(stream, job, until)
            elif stream.informational:
                await self.engine.hear(stream, job)
        except BaseException as exc:
            not_for_itself = stream is not None and session.was_processing(stream)
            job.note_failure(connection, exc)
            self.leave(stream, job)
            if job.pieces is not None:
                await job.aend_pieces()
            if job.narrator is not None and isinstance(exc, Exception):
                await self.engine.tell(job, "failed", exc)
            if stream is not None and job.may_replay(stream, exc, was_used, not_for_itself):
                return None
            raise
        assert stream.head is not None
        if not stream.finished or stream.is_tunnel:
            body = AsyncStreamBody(self, connection, stream, job)
            response = Response._from_wire(stream.head, stream.remarkable, body, connection, stream.identifier)
            body.extensions = response.extensions
            if stream.informational or job.stamps is not None:
                job.annotate(response, stream)
            return response
        chunks = stream.chunks
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        response = Response._from_wire(stream.head, stream.remarkable, content, connection, stream.identifier)
        if stream.informational or stream.trailers is not None or job.stamps is not None:
            job.annotate(response, stream)
        self.leave(stream, job)
        if job.pieces is not None:
            await job.aend_pieces()
        if job.narrator is not None:
            await self.engine.tell(job, "body")
            await self.engine.tell(job, "closed")
        return response

    async def _pump(self, stream: HTTP2Stream, job: Job, until: float | None) -> None:
        """Hand over the request's body, and wait until the head of the response is there."""
        patience: float | None = None
        is_patient = False
        clock = self.session.clock
        if job.narrator is not None:
            await self.engine.tell(job, "turn", stream)  # what was sent at once
        if stream.informational:
            await self.engine.hear(stream, job)
        while stream.head is None:
            need = stream.need
            if need == INPUT:
                await self._receive(stream, job, True, until)
                until = None
            elif need == BODY:
                await self._feed(stream, job)
            elif need == PAUSE:
                if not is_patient:
                    is_patient, patience = True, job.consent_limit(clock())
                if not await self.wait(stream, patience) or (patience is not None and clock() >= patience):
                    job.check_patience(clock())
                    stream.proceed()
                    self.flush_soon()
            else:
                break
            if job.narrator is not None:
                await self.engine.tell(job, "turn", stream, self.session.new_settings())
            if stream.informational:
                await self.engine.hear(stream, job)
        # A response that broke off after its head is a response still, and raises when it is read.
        if stream.error is not None and stream.head is None:
            raise self.session.failure_of(stream)

    async def _receive(self, stream: HTTP2Stream, job: Job, wants_head: bool, until: float | None = None) -> None:
        """
        Wait until there is something new for the owner of a stream, or the peer has taken more of its request.

        Args:
            stream: of the request.
            job: the request.
            wants_head: its owner waits for the head of the response.
            until: when a wait that goes on ends; None for one that begins.

        Raises:
            ReadTimeout, WriteTimeout, ReadError, WriteError, ConnectError.
        """
        session = self.session
        if session.machine.output:
            self.flush()  # first, because which limit holds depends on what the socket takes
        sends = session.is_sending(stream)
        before = session.mark(stream, sends)
        heard = session.heard
        if until is None or sends:
            until = job.limit("write" if sends else "read", session.clock())
        while True:
            happened = await self.wait(stream, until)
            # Where something always arrives, no wait lasts long enough to time out.
            if not happened or (job.deadline is not None and session.clock() >= job.deadline):
                raise self._timed_out(stream, job, heard, sends)
            if wants_head and stream.informational:
                await self.engine.hear(stream, job)
            if session.is_progress(stream, wants_head, before):
                if sends and wants_head and stream.head is None:
                    job.note_sent(session.clock())
                return

    def _timed_out(self, stream: HTTP2Stream, job: Job, heard: int, sends: bool) -> Exception:
        if not self.listens:
            self.catch_up()
        error = self.session.timed_out(stream, job, heard, sends)
        if self.session.told != self.session.machine.max_streams:
            self.tell_pool()
        self.flush_soon()
        return error

    async def _feed(self, stream: HTTP2Stream, job: Job) -> None:
        """Hand over the next piece of the request's body."""
        if job.should_rest():
            await self.rest()  # else nothing else could run while there are pieces and room
            if stream.need != BODY:
                return
        piece = await job.anext_piece()
        if job.deadline is not None and self.session.clock() >= job.deadline:
            raise self._timed_out(stream, job, -1, True)
        if piece is None and job.request.trailers is not None:
            stream.feed(None, job.trailers())
        else:
            stream.feed(piece)
        if stream.head is None:
            job.note_sent(self.session.clock())
        self.flush_soon()
        if not self.listens:
            self.catch_up()  # maybe a response that makes the rest pointless
        if self.session.is_broken:
            stream.cut_short()  # a server that closes while we send has often responded before
        elif stream in self.session.news:
            await self.wait(stream, None)  # which does not wait, but is a checkpoint on trio

    async def read(self, stream: HTTP2Stream, job: Job) -> bytes | None:
        """
        Return what has arrived of the body, or wait for it; None at its end. What is left of the request is sent.

        Raises:
            TransportError: the body broke off.
        """
        while True:
            if stream.chunks:
                chunk = take_chunk(stream)
                if self.session.machine.output:
                    self.flush()
                return chunk
            need = stream.need
            if need == NOTHING:
                if stream.error is not None:
                    raise again(stream.error)
                return None
            if need == BODY:
                await self._feed(stream, job)
            else:
                await self._receive(stream, job, False)

    def _give_back(self, job: Job) -> None:
        """Give back what the pool gave."""
        session = self.session
        if self.connection is None:
            self.forget(job)
        else:
            self.pool.release(self.connection, session.is_usable and not session.is_suspect, session.clock(), job)
        self.engine.settle()

    def forget(self, job: Job) -> None:
        """Let the pool forget who had the connection, which it has forgotten."""
        if self.pool.claim_of(job) is not None:
            self.pool.give_up(job)


class AsyncStreamBody(AsyncByteStream):
    """
    The rest of a response's body, received while it is iterated.

    Attributes:
        extensions: of the response, which get the trailers. Not the response: the two would be a cycle.
    """

    def __init__(self, multiplexer: AsyncMultiplexer, connection: Any, stream: HTTP2Stream, job: Job) -> None:
        self._multiplexer = multiplexer
        self._connection = connection
        self._stream = stream
        self._job = job
        self._over = False
        self._begun = False
        self.extensions: dict[str, Any] = {}

    def __aiter__(self) -> AsyncIterator[bytes]:
        # Not earlier: a middleware may set it when it has seen the head.
        if "idle_timeout" in self._job.request.extensions:
            self._job.idle(self._job.request.extensions["idle_timeout"])
        return self

    async def __anext__(self) -> bytes:
        job = self._job
        if job.narrator is not None and not self._begun:
            self._begun = True
            await self._multiplexer.engine.tell(job, "body")
        try:
            chunk = await self._multiplexer.read(self._stream, job)
        except Exception:
            await self.aclose()
            raise
        except BaseException:
            self._release()
            if job.pieces is not None:
                await job.aend_pieces()
            raise
        if chunk is not None:
            return chunk
        if self._stream.trailers is not None:
            self.extensions["trailers"] = self._stream.trailers
        await self.aclose()
        raise StopAsyncIteration

    def hurry(self, ends_by_itself: bool) -> None:
        """Let the rest of the body end soon, or fail: it was not asked for. See `Limits.hurry`."""
        self._job.hurry(self._multiplexer.session.clock(), ends_by_itself)

    async def aclose(self) -> None:
        """Free the place on the connection; a response that has not arrived whole is given up."""
        if not self._release():
            return
        job = self._job
        if job.pieces is not None:
            await job.aend_pieces()
        if job.narrator is not None:
            await self._multiplexer.engine.tell(job, "closed")

    def _release(self) -> bool:
        if self._over:
            return False
        self._over = True
        self._multiplexer.leave(self._stream, self._job)
        return True

    def left(self) -> None:
        """Free the place soon: the iteration was dropped. May be called from anywhere, as by a destructor."""
        if not self._over:
            self._multiplexer.engine.later(self._drop)

    def _drop(self) -> None:
        self._release()

    def __del__(self) -> None:
        if not getattr(self, "_over", True):  # absent: an interruption left the constructor
            self._multiplexer.engine.later(partial(self._multiplexer.leave, self._stream, self._job))
