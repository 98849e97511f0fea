"""
One connection of HTTP/2 and the requests on it, as far as it needs no waiting; the same for every shell.

    begin(job)   -> the stream of a request, its head in the output
    received(x)     feeds the machine and notes for which streams something changed
    answer(...)  -> the response of a stream whose head is there

Not here: what bytes mean (`_protocol.http2`), who gets a place on which connection (`_sharing`), sending and waiting
(the shells' own multiplexers: `sync`, `asyncio`, `trio`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from ..._exceptions import (
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TimeoutException,
    TransportError,
    WriteError,
    WriteTimeout,
)
from ..._models import Response
from ..._protocol.exchange import INPUT
from ..._protocol.frames import CANCEL
from ..._protocol.http2 import HTTP2Connection
from ..._protocol.stream2 import CLOSED, HTTP2Stream
from ..._types import AsyncByteStream, SyncByteStream
from ..job import Job
from ..limits import TIMER_SLACK
from ..settings import Settings
from ..wire import Data, Wire


class Multiplexer:
    """
    What the multiplexers of all shells have.

    Args:
        connection: the shell's; for the extension `network_stream`.
        settings: of the transport.
        clock: the shell's, in seconds.

    Attributes:
        machine: the connection's.
        is_broken: nothing more can be sent.
        capacity: how many requests the peer takes here at once, as the pool was told last.
        clock: the shell's, in seconds.
        has_served: an answer has arrived here, so what fails from now on fails on a connection that was good.
        listens: while there are streams, what the peer says is taken by itself; for the shell.
    """

    listens = False

    def __init__(self, connection: Any, settings: Settings, clock: Callable[[], float]) -> None:
        self.connection = connection
        self.machine = HTTP2Connection(settings.head_limits)
        self.has_served = False
        self.is_broken = False
        self.ping_interval = settings.limits.ping_interval
        self.clock = clock
        self._silent_since = 0.0  # only where there is a `ping_interval`
        self._has_pinged = False  # since then
        self.capacity = self.machine.max_streams
        self._told_settings = 0  # frames of settings that `new_settings` has told of

    def begin(self, job: Job) -> HTTP2Stream | None:
        """
        The stream of a request, with its head in the output; None if the peer takes no more here, after all.

        Raises:
            LocalProtocolError: the request is not legal HTTP.
            TransportError: the peer never took any here, so it would not help to try again.
        """
        machine = self.machine
        if not (machine.streams and self.listens):
            self.catch_up()
        if len(machine.streams) >= self.capacity or self.is_broken:
            if self.has_served or not (self.is_broken or self.capacity == 0):
                return None
            raise self.failure or machine.error or RemoteProtocolError("the peer takes no requests on a new connection")
        if self.ping_interval is not None and not machine.streams:
            self._note_sign_of_life()  # of an idle connection nothing was expected
        method, target, fields, body, streaming = job.arguments
        return machine.open(b"http" if job.key[0] == "http" else b"https", method, target, fields, body, streaming)

    def catch_up(self) -> None:
        """Take what the peer has said since somebody listened last; for the shell."""
        raise NotImplementedError

    @property
    def failure(self) -> TransportError | None:
        """Why the connection is broken; for the shell."""
        raise NotImplementedError

    @property
    def write_failure(self) -> TransportError | None:
        """Why nothing more can be sent; for the shell."""
        raise NotImplementedError

    @property
    def is_usable(self) -> bool:
        """Does the connection take another request, as far as is known?"""
        return not self.is_broken and self.machine.max_streams > 0

    def received(self, data: bytes) -> None:
        """Take what the peer sent; b"" is its end."""
        if self.ping_interval is not None:
            self._note_sign_of_life()
        self.machine.receive(data)
        self.note_progress()

    def _note_sign_of_life(self) -> None:
        self._silent_since = self.clock()
        self._has_pinged = False

    def look_after(self) -> float | None:
        """
        While requests wait: ask a peer that has been silent for a sign of life, or give it up if it was asked before.

        Returns when to do that again, on the shell's clock; None for never.
        """
        if self.ping_interval is None:
            return None
        now = self.clock()
        if now >= self._silent_since + self.ping_interval - TIMER_SLACK:
            if self._has_pinged:
                self.lose(
                    ReadError(f"the peer was silent for {self.ping_interval:g} s, and as long again after a PING")
                )
                return None
            self._silent_since = now
            self._has_pinged = True
            self.machine.ping()
        return self._silent_since + self.ping_interval

    def lose(self, error: TransportError) -> None:
        """The connection failed: nothing more is received or sent, and everybody is told; for the shell."""
        raise NotImplementedError

    def tell_pool(self) -> None:
        """Tell the pool of a new capacity, if there is one; for the shell."""
        raise NotImplementedError

    def note_progress(self) -> None:
        """Take note of the streams for which the machine changed something; for the shell."""
        raise NotImplementedError

    def feed(self, stream: HTTP2Stream, piece: bytes | None, job: Job) -> None:
        """
        Hand over a piece of the request's body, None at its end.

        Raises:
            WriteTimeout: the whole request takes too long.
        """
        if job.deadline is not None and self.clock() >= job.deadline:
            raise self.timed_out(stream, job, self.clock())
        stream.feed(piece)

    def proceed(self, stream: HTTP2Stream) -> None:
        """The peer does not say whether it wants the body: send it."""
        stream.proceed()

    def new_capacity(self) -> int | None:
        """How many requests may be here at once from now on, if that is something new to the pool."""
        capacity = 0 if self.is_broken else self.machine.max_streams
        if capacity == self.capacity:
            return None
        self.capacity = capacity
        return capacity

    def new_settings(self) -> dict[str, int] | None:
        """The peer's settings, if it has sent some since this was asked last; for traces."""
        if self.machine.settings_frames == self._told_settings:
            return None
        self._told_settings = self.machine.settings_frames
        return self.machine.settings.copy()

    def begin_story(self, job: Job, stream: HTTP2Stream) -> None:
        """A request that somebody traces has this stream; for shells."""
        assert job.narrator is not None
        job.narrator.over_http2(stream.identifier)
        if self.has_served:
            self.new_settings()  # what came before is no part of this request

    @staticmethod
    def is_progress(stream: HTTP2Stream) -> bool:
        """Did what happened last bring the request on? Interim answers do not: the time to wait goes on."""
        return stream.uploading or not stream.only_informational or stream.need != INPUT

    def take_chunks(self, stream: HTTP2Stream) -> list[bytes]:
        """The pieces of the body that have arrived; the peer may send as many more."""
        chunks, stream.chunks = stream.chunks, []
        # In one piece: servers send frames of 8 KiB, and each piece costs the reader more than copying it.
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        stream.took(len(body))
        return [body]

    def answer(self, stream: HTTP2Stream, job: Job, body: bytes | SyncByteStream | AsyncByteStream) -> Response:
        """The response of a stream whose head is there."""
        assert stream.head is not None
        response = Response._from_wire(stream.head, stream.remarkable, body, self.connection, stream.identifier)
        if stream.informational or stream.trailers is not None:
            job.annotate(response, stream)
        return response

    @staticmethod
    def timed_out(stream: HTTP2Stream, job: Job, now: float) -> TimeoutException:
        """The exception for a wait that took too long."""
        if stream.uploading:
            return job.timed_out(WriteTimeout, "write", now, "the peer did not take the request")
        return job.timed_out(ReadTimeout, "read", now, "the answer did not arrive")

    @staticmethod
    def limit(stream: HTTP2Stream, job: Job, now: float) -> float | None:
        """Until when the stream may wait for its peer from now on."""
        return job.limit("write" if stream.uploading else "read", now)


class TurnTaking(Multiplexer):
    """
    For shells without a callback on the socket: whoever waits and finds nobody receiving does it for all streams, and
    passes that turn on when it goes.

    Attributes:
        news: streams for which something changed since their owner last looked.
        waiting: streams whose owner waits for others -> how it is woken.
        unsent: bytes that the socket did not take at once.
        error: why nothing more can be received.
        write_error: why nothing more can be sent. What the peer said before is received all the same: a server that
            closes while we send has often answered before.
    """

    def __init__(self, connection: Any, settings: Settings, clock: Callable[[], float]) -> None:
        super().__init__(connection, settings, clock)
        self.wire: Wire = connection.wire
        self.news: set[HTTP2Stream] = set()
        self.waiting: dict[HTTP2Stream, Any] = {}
        self.unsent: Data = b""
        self.error: TransportError | None = None
        self.write_error: WriteError | None = None
        connection.multiplexer = self
        early = self.wire.take_early()
        if early:
            self.received(early)
        if self.wire.tls is not None and self.wire.tls.ended:
            self.received(b"")  # the end came with it

    def take_chunks(self, stream: HTTP2Stream) -> list[bytes]:
        chunks = super().take_chunks(stream)
        if self.machine.output:
            self.flush()
        return chunks

    def wake(self, streams: Iterable[HTTP2Stream]) -> None:
        """Wake those who wait for one of `streams`; for the shell."""
        raise NotImplementedError

    def feed(self, stream: HTTP2Stream, piece: bytes | None, job: Job) -> None:
        super().feed(stream, piece, job)
        self.flush()
        self.catch_up()  # maybe an answer that makes the rest pointless
        if self.is_broken:
            stream.cut_short()  # a server that closes while we send has often answered before

    def proceed(self, stream: HTTP2Stream) -> None:
        super().proceed(stream)
        self.flush()

    @property
    def failure(self) -> TransportError | None:
        return self.error or self.write_error

    @property
    def write_failure(self) -> TransportError | None:
        return self.write_error

    def note_progress(self) -> None:
        machine = self.machine
        if machine.progressed:
            self.news.update(machine.progressed)
            machine.progressed.clear()

    def flush(self) -> None:
        """Send what there is, as far as the socket takes it at once; the rest stays in `unsent`."""
        machine, wire = self.machine, self.wire
        if self.is_broken:
            return
        try:
            while self.unsent or machine.output:
                data = self.unsent
                if not data:
                    taken = machine.take()
                    data = taken if wire.tls is None else wire.tls.encrypt(taken)
                    if machine.progressed:  # there is room for the bodies of others, who do not know
                        self.note_progress()
                        self.wake(self.news)
                self.unsent = wire.send(data)
                if self.unsent:
                    break
        except WriteError as exc:
            self.write_error = exc
            self.is_broken = True
            self.unsent = b""
            self.tell_pool()
        except BaseException as exc:
            # An interrupt in between: bytes are lost, and with them the peer's header tables.
            self.lose(WriteError(f"sending was interrupted: {type(exc).__name__}"))
            raise

    def take_input(self) -> bool:
        """Receive what is there, for everybody and without waiting; False if nothing is there."""
        tls = self.wire.tls
        try:
            data = self.wire.receive_raw()
            if data is None:
                return False
            ended = not data
            if tls is not None:
                data = tls.receive(data)
                ended = tls.ended
                if tls.due:
                    self.unsent = b"".join((self.unsent, tls.pending()))
            if data:
                self.received(data)
            if ended:
                self.received(b"")
        except TransportError as exc:
            self.lose(exc)
            return True
        except BaseException as exc:
            # An interrupt in between: bytes are lost, and what follows would be taken for something else.
            self.lose(ReadError(f"receiving was interrupted: {type(exc).__name__}"))
            raise
        if self.unsent or self.machine.output:
            self.flush()
        if self.machine.max_streams != self.capacity:
            self.tell_pool()
        if self.waiting:
            self.wake(self.news)
        return True

    def lose(self, error: TransportError) -> None:
        if self.error is None:
            self.error = error
        self.is_broken = True
        self.unsent = b""
        self.tell_pool()
        self.wake(self.machine.streams.values())

    def settle_with(self, stream: HTTP2Stream | None) -> None:
        """A request is over, or given up: what the peer must know of that is sent."""
        if stream is not None:
            if stream.finished:
                self.has_served = True
            if stream.state != CLOSED:
                stream.reset(CANCEL)
                self.flush()
                self.note_progress()
            self.news.discard(stream)

    def say_goodbye(self) -> None:
        """The connection is about to be closed: tell the peer, if that needs no waiting."""
        if not self.is_broken and not self.unsent:
            data, tls = self.machine.close(), self.wire.tls
            try:
                self.wire.send(data if tls is None else tls.encrypt(data))
            except WriteError:
                pass
        self.lose(ReadError("the connection was closed while its answer was awaited"))
