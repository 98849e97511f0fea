"""
One HTTP/2 connection and the requests on it, without sockets and without waiting; the same for every shell.

    begin(job)           -> the stream of a request, with its head in the output; None: not on this connection
    received(data)          feed what arrived to the machine
    news                    streams for which something changed since their owner last looked
    is_sending(stream)   -> whether the write timeout holds for its next wait, or the read timeout
    is_progress(...)     -> whether a change brought what the owner of a stream waits for
    timed_out(...)       -> the exception for a wait that took too long; a silent peer becomes suspect
    take_limit()         -> what the pool should be told: how many requests may be here at once
    fail(error)             the connection broke

A shell (`http2.sync`, `http2.asyncio`, `http2.trio`) owns a `Session`, moves its bytes and waits for it.

Liveness: a connection from which nothing arrived during a wait that timed out is suspect. It gets a PING and takes no
new request until something arrives. The streams that still wait on it keep their own deadlines.

Not here: what bytes mean (`_protocol.http2`), who gets a place on which connection (`_sharing`).
"""

from __future__ import annotations

from typing import Callable

from ..._exceptions import (
    ConnectError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TimeoutException,
    TransportError,
    WriteTimeout,
)
from ..._protocol.exchange import BODY, NOTHING
from ..._protocol.frames import CANCEL
from ..._protocol.http2 import HTTP2Connection
from ..._protocol.stream2 import CLOSED, LOCAL_DONE, HTTP2Stream
from ..._sharing import UNKNOWN
from ..job import NO_RESPONSE, Job, again
from ..limits import TIMER_SLACK
from ..settings import Settings

# `Session.told` when the pool should be told of the limit in any case; no limit is equal to it.
_STALE = -2

# Bytes of a body that a socket takes at once unless it is stalled already, so that it need not be looked after.
SMALL_BODY = 16_384

# What `mark` returns for a wait with nothing to be sent.
NOT_SENDING = (-1, -1)


class Session:
    """
    The requests on one connection.

    Args:
        settings: of the transport.
        clock: the shell's, in seconds.

    Attributes:
        machine: the connection's.
        error: why nothing more can be received, or None.
        write_error: why nothing more can be sent, or None. What the peer sent before is received all the same: a
            server that closes while we send has often responded before.
        has_begun: the connection was given a request, or was idle: what fails later may be for its age, and a new
            connection may help.
        has_served: a whole response has arrived here, so what fails later fails on a connection that was good.
        is_broken: there is an `error` or a `write_error`.
        is_suspect: nothing arrived during a wait that timed out, and nothing has arrived since.
        heard: how many times bytes have arrived.
        news: streams for which something changed since their owner last looked.
        sending: streams with bytes that the socket may not have taken yet -> the last batch with some of them; 0 while
            that is not known.
        batches: how many times the shell has taken output from the machine; the next batch follows when the socket has
            taken the last one.
        stalls: the socket did not take all of the last batch.
        moved: how many times the socket has taken bytes that it did not take at once.
        told: the `machine.max_streams` that the pool knows; anything else while it should be told.
        ping_interval: seconds of silence, while requests wait, after which the peer gets a PING; None for never.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.machine = HTTP2Connection(settings.head_limits)
        self.clock = clock
        self.error: TransportError | None = None
        self.write_error: TransportError | None = None
        self.has_begun = False
        self.has_served = False
        self.is_broken = False
        self.is_suspect = False
        self.heard = 0
        self.news: set[HTTP2Stream] = set()
        self.sending: dict[HTTP2Stream, int] = {}
        self.batches = 0
        self.stalls = False
        self.moved = 0
        self.told = _STALE
        self.ping_interval = settings.limits.ping_interval
        self._silent_since = 0.0  # only kept up to date if there is a `ping_interval`
        self._has_pinged = False  # since then
        self._told_settings = 0  # SETTINGS frames that `new_settings` has told of

    # Requests.

    def begin(self, job: Job) -> HTTP2Stream | None:
        """
        Return the stream of a request, with its head in the output; None if it should go to another connection.

        Raises:
            LocalProtocolError: the request is not legal HTTP.
            TransportError: a new connection takes no request at all, so another one would not help.
        """
        machine = self.machine
        if len(machine.streams) >= machine.max_streams or self.is_broken or self.is_suspect:
            if self.has_begun or self.is_suspect or not (self.is_broken or machine.max_streams == 0):
                return None
            if machine.going_away and job.may_try_again():
                return None  # as if the request had been sent a moment before
            error = self.error or self.write_error or machine.error
            raise (
                RemoteProtocolError("the peer takes no requests on a new connection") if error is None else again(error)
            )
        if self.ping_interval is not None and not machine.streams:
            self._note_sign_of_life()  # nothing was expected of an idle connection
        method, target, fields, body, streaming = job.arguments
        self.has_begun = True
        if "websocket" in job.request.extensions:
            return self._begin_tunnel(job)
        stream = machine.open(b"http" if job.key[0] == "http" else b"https", method, target, fields, body, streaming)
        if self.stalls or stream.state != LOCAL_DONE or len(body) > SMALL_BODY:
            self.sending[stream] = 0
        return stream

    def _begin_tunnel(self, job: Job) -> HTTP2Stream:
        """Return the stream of a WebSocket."""
        from .tunnel import tunnel_arguments

        arguments = tunnel_arguments(job.arguments, job.request.extensions["websocket"])
        scheme = b"http" if job.key[0] == "ws" else b"https"
        return self.machine.open(scheme, *arguments, protocol=b"websocket")

    def begin_story(self, job: Job, stream: HTTP2Stream) -> None:
        """Tell the trace of a request which stream it has."""
        assert job.narrator is not None
        job.narrator.over_http2(stream.identifier)
        if self.has_served:
            self.new_settings()  # what came before does not belong to this request

    def end(self, stream: HTTP2Stream) -> None:
        """
        End the stream of a request that is over or given up: reset it if the peer may still send on it.

        Its response may be left to another thread or task, which waits for the body: that one is to be woken.
        """
        if stream.finished:
            self.has_served = True
        if stream.state != CLOSED:
            stream.reset(CANCEL)
            if not stream.finished:
                stream.lose(ReadError("the response was closed while its body was read"), processed=True)
            progressed = self.machine.progressed
            while stream in progressed:
                progressed.remove(stream)
        self.news.discard(stream)
        if self.sending:
            self.sending.pop(stream, None)

    @property
    def is_usable(self) -> bool:
        """Return whether the connection takes another request, as far as is known. A suspect one is asked later."""
        return not self.is_broken and self.machine.max_streams > 0

    def was_processing(self, stream: HTTP2Stream) -> bool:
        """
        Return whether the peer refused a stream because of the others on the connection, and not everything.

        Such a refusal says nothing against sending the request again: others made progress meanwhile.
        """
        machine = self.machine
        others = len(machine.streams) - (stream.identifier in machine.streams)
        return stream.refused and (others > 0 or (machine.going_away and self.has_served))

    def failure_of(self, stream: HTTP2Stream) -> Exception:
        """Return the exception for a stream that failed before its head was there."""
        assert stream.error is not None
        return again(self.write_error or stream.error)

    # What arrives.

    def received(self, data: bytes) -> None:
        """Take what the peer sent; b"" is its end."""
        self.heard += 1
        if self.is_suspect:
            self.is_suspect = False
            self.told = _STALE
        if self.ping_interval is not None:
            self._note_sign_of_life()
        self.machine.receive(data)

    def fail(self, error: TransportError, *, sending: bool = False) -> None:
        """Note that the connection broke: nothing more is received, or with `sending` nothing more is sent."""
        # A copy: what was raised has the frames that work with this session.
        kept = again(error)
        if kept.__cause__ is not None:
            kept.__cause__.__traceback__ = None
        if sending:
            self.write_error = self.write_error or kept
        else:
            self.error = self.error or kept
            self.news.update(self.machine.streams.values())
        self.is_broken = True
        self.told = _STALE

    def close(self) -> None:
        """Fail the requests that are still on the connection, which is closed."""
        self.fail(ReadError("the connection was closed while a response was awaited"))

    def failure(self) -> TransportError | None:
        """Return a new exception for a request that waits for something to arrive; None if it may still wait."""
        if self.error is None:
            return None
        # A handshake that the peer refused is why nothing could be sent.
        return again(self.error if isinstance(self.error, ConnectError) else self.write_error or self.error)

    # What the pool and traces should know.

    def take_limit(self) -> int:
        """Return how many requests may be here at once, for the pool: `UNKNOWN` before the peer has said it."""
        machine = self.machine
        if self.is_broken or machine.error is not None:
            self.told = machine.max_streams
            return 0
        if self.is_suspect and len(machine.streams) > 1:
            # With one request it is not the pool's business: the next one sees what has arrived by then.
            self.told = machine.max_streams
            return 0
        if not machine.settings_frames:
            return UNKNOWN
        self.told = machine.max_streams
        return machine.max_streams

    def new_settings(self) -> dict[str, int] | None:
        """Return the peer's settings if some have arrived since the last call; for traces."""
        if self.machine.settings_frames == self._told_settings:
            return None
        self._told_settings = self.machine.settings_frames
        return self.machine.settings.copy()

    # Waiting.

    def is_sending(self, stream: HTTP2Stream) -> bool:
        """Return whether the write timeout holds: the socket has not taken all of the request yet."""
        if stream.uploading and not stream.is_tunnel:
            return True
        last = self.sending.get(stream)
        if last is None:
            return False
        if last == 0:
            last = self.sending[stream] = self.batches + bool(self.machine.output)
        if last > self.batches or (last == self.batches and self.stalls):
            return True
        del self.sending[stream]
        return False

    def note_moved(self) -> None:
        """Note that the socket took bytes that it did not take at once: the requests among them look again."""
        self.moved += 1
        self.news.update(self.sending)

    def mark(self, stream: HTTP2Stream, sends: bool) -> tuple[int, int]:
        """Return what `is_progress` compares with, when a wait begins; `sends`: what `is_sending` said."""
        return (self.moved, unsent_of(stream)) if sends else NOT_SENDING

    def is_progress(self, stream: HTTP2Stream, wants_head: bool, before: tuple[int, int]) -> bool:
        """
        Return whether there is what the owner of a stream waits for, or some of its body has left.

        Interim responses, empty DATA, SETTINGS and other frames do not end a wait, so its deadline stays.

        Args:
            stream: for which something changed.
            wants_head: its owner waits for the head of the response.
            before: `mark(stream)` when the wait began.
        """
        if stream.chunks or stream.need in (BODY, NOTHING) or (wants_head and stream.head is not None):
            return True
        if before is NOT_SENDING:
            return False
        return self.moved != before[0] or unsent_of(stream) < before[1]

    def timed_out(self, stream: HTTP2Stream, job: Job, heard: int, uploading: bool) -> TimeoutException:
        """
        Return the exception for a wait that took too long; a peer that was silent meanwhile becomes suspect.

        Args:
            stream: of the request.
            job: the request.
            heard: the session's, when the wait began.
            uploading: the wait was for the peer to take the request.
        """
        if heard == self.heard and not self.is_suspect and not self.is_broken and self.machine.error is None:
            self.is_suspect = True
            self.told = _STALE
            self.machine.ping()
        if uploading:
            return job.timed_out(WriteTimeout, "write", self.clock(), "the peer did not take the request")
        return job.timed_out(ReadTimeout, "read", self.clock(), NO_RESPONSE)

    def look_after(self) -> float | None:
        """
        While requests wait: send a PING to a peer that was silent for `ping_interval`, or give it up if it had one.

        Returns when to do that again, on the shell's clock; None for never.
        """
        if self.ping_interval is None:
            return None
        now = self.clock()
        if now >= self._silent_since + self.ping_interval - TIMER_SLACK:
            if self._has_pinged:
                self.fail(
                    ReadError(f"the peer was silent for {self.ping_interval:g} s, and as long again after a PING")
                )
                return None
            self._silent_since = now
            self._has_pinged = True
            self.machine.ping()
        return self._silent_since + self.ping_interval

    def _note_sign_of_life(self) -> None:
        self._silent_since = self.clock()
        self._has_pinged = False


def unsent_of(stream: HTTP2Stream) -> int:
    """Return how many bytes of a request's body wait for a window or for room, plus one while more may follow."""
    if not stream.uploading:
        return 0
    unsent = stream.unsent
    return 1 + (sum(map(len, unsent)) - stream._offset if unsent else 0)


def take_chunk(stream: HTTP2Stream) -> bytes:
    """
    Remove and return the body that has arrived; the peer may send as much more.

    In one piece: servers send frames of 8 KiB, and each piece costs the reader more than copying it.
    """
    chunks, stream.chunks = stream.chunks, []
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    stream.took(len(body))
    return body
