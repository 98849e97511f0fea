"""
One request on its way through an engine: what is the same whether a thread, asyncio or trio waits for it.

Not here: anything that waits.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .._content import ByteStream, in_async
from .._exceptions import (
    ConnectError,
    NetworkError,
    PoolTimeout,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    StreamConsumed,
    TimeoutException,
    TransportError,
    UnsupportedProtocol,
    WriteError,
    with_host,
)
from .._files import as_bytes
from .._headers import Headers
from .._loggers import DEBUG
from .._models import Request, Response
from .._protocol.exchange import Exchange, Fields
from .._types import SyncByteStream
from .._urlparse import WEBSOCKET_SCHEMES
from .limits import FOREVER, NO_TIMEOUT, TIMER_SLACK, Limits
from .story import CONNECTION_LOGGER, HTTP11_LOGGER, Narrator
from .wire import Wire

if TYPE_CHECKING:
    from .._timings import Dialled, Stamps

Arguments = tuple[bytes, bytes, Fields, bytes, bool]
E = TypeVar("E", bound=TimeoutException)
T = TypeVar("T", bound=Exception)

# Sending one of these twice does what sending it once does (RFC 9110 9.2.2).
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"))
_SCHEMES = frozenset(("http", "https", "ws", "wss"))

# A response with one of these statuses does not say that the WebSocket is not wanted, but that it is not over HTTP/2.
REFUSALS = frozenset((405, 421, 501))
# Seconds for which an origin is remembered that refused.
_REMEMBERED = 300.0
_MAX_REMEMBERED = 1000

# Under a name of this module: Python takes the attributes of what is imported for a module's, and is slower.
_LOGGER = HTTP11_LOGGER

NO_RESPONSE = "the response did not arrive"
# What a request is told whose connection was closed by this side. The end that this makes is not the peer's.
CLOSED_HERE = "the client or the response was closed before the response was received"

# The end of an iterator that may yield None by mistake.
END = object()

# After so many pieces of a body an async shell lets others run: a sync iterator and a socket with room never wait.
BREATH = 8

# How often a request may be sent again by itself: some servers refuse for ever.
_MAX_REPLAYS = 3
# How often if others made progress on each of the connections: a server that closes after every 20 requests refuses
# most of 400 that come at once, again and again. It ends anyway, because there are fewer others each time.
_MAX_REFUSALS = 1000


class Job(Limits):
    """
    A request, where it goes, and how long it may take.

    Args:
        request: complete; its extension "timeout" has seconds for connect, read, write, pool and total.
        now: the shell's clock, from which the total timeout counts.

    Attributes:
        pieces: the iterator of the request's body; None before it began and after it ended.
        begun: how many pieces were asked for, in an async client; set while there are `pieces`.
        awaits_piece: a piece was asked for and is not there yet. The iterator cannot be ended then.
        lends: whether its body comes in views of a buffer that is filled again, in a sync client.
        began: when it came to the engine, on the shell's clock.
        stamps: what it notes of its time; None as long as it did not have to wait before it was sent.

    Raises:
        UnsupportedProtocol: the URL's scheme is not one that goes over a connection, or it has no host.
        StreamConsumed: the body was sent before and cannot be sent again; known before anything is sent.
    """

    __slots__ = (
        *("arguments", "awaits_piece", "began", "begun", "has_begun_body", "key", "lends", "narrator", "pieces"),
        *("refusals", "replays", "request", "stamps"),
    )

    def __init__(self, request: Request, now: float) -> None:
        self.request = request
        self.began = now
        self.stamps: Stamps | None = None
        self.has_begun_body = False  # some of the body may be consumed, so it cannot be sent again
        self.awaits_piece = self.lends = False
        self.replays = self.refusals = 0
        self.pieces: Any = None
        extensions, url = request.extensions, request.url
        # What `Limits.__init__` does, inlined: a frame of every request.
        given: Mapping[str, float | None] | None = extensions.get("timeout")
        asks_more = not given or len(extensions) > 1  # than for its timeout, which is all that nearly every one has
        self.timeout = timeout = given or NO_TIMEOUT
        read, total = timeout.get("read"), timeout.get("total")
        self.read = read if read is None or read < FOREVER else None
        self.deadline = None if total is None or total >= FOREVER else now + total
        key: tuple[Any, ...] = url._origin
        if key[0] not in _SCHEMES or not key[1]:
            raise _unsupported(key[0])
        target, traces = url._target, False
        if asks_more:
            if "websocket" in extensions and key[0] in WEBSOCKET_SCHEMES:
                key = (WEBSOCKET_SCHEMES[key[0]], *key[1:])  # a connection that is not shared
            if extensions.get("sni_hostname"):  # None is the same as nothing
                key = (*key, extensions["sni_hostname"])
            if "target" in extensions:
                target = _bytes_of(extensions["target"])
            traces = "trace" in extensions
        self.key = key
        # What the machine for this request is made of: method, target, fields, body, whether more of it follows.
        stream = request.stream
        whole = type(stream) is ByteStream and request.trailers is None
        if not whole and not getattr(stream, "_can_begin", _always)():
            raise StreamConsumed()
        self.arguments: Arguments = (
            # In UTF-8, so that the machine's gate is what refuses a method or target beyond ASCII.
            request.method.encode(),
            target,
            request.headers._raw,
            stream.body if whole else b"",  # type: ignore[union-attr]  # a ByteStream, or not asked
            not whole,
        )
        # `isEnabledFor` is a cached look-up; the events are made only when they are listened to.
        if traces or _LOGGER.isEnabledFor(DEBUG):
            self.narrator: Narrator | None = Narrator(request, extensions.get("trace"))
        else:
            self.narrator = None

    def forward(self, fields: Fields) -> None:
        """
        Address the request to an HTTP proxy: the whole URL as its target, and `fields` for the proxy alone.

        What the request has itself is not sent a second time: a field twice may be read as one list, or be refused.
        Within a tunnel there is no proxy to read a Proxy-Authorization, and the origin must not.
        """
        method, target, own, body, streaming = self.arguments
        if self.key[0] != "http":
            kept = [field for field in own if field[0].lower() != b"proxy-authorization"]
            if len(kept) < len(own):  # else the list stays the one whose text is remembered
                self.arguments = (method, target, kept, body, streaming)
            return
        if target.startswith(b"/"):
            target = b"http://" + self.request.url._host_field[1] + target
        if fields:
            given = {name.lower() for name, _ in own}
            own = [*own, *(field for field in fields if field[0].lower() not in given)]
        self.arguments = (method, target, own, body, streaming)

    # The body of the request, in pieces.

    def should_rest(self) -> bool:
        """Return whether an async shell should let others run before it asks for the next piece."""
        return self.pieces is not None and not self.begun % BREATH

    def sync_pieces(self) -> Iterator[bytes]:
        """Return the iterator of the body of a request in a sync client."""
        stream = self.request.stream
        if not isinstance(stream, SyncByteStream):
            raise RuntimeError("the body of this request is an async stream, which a sync client cannot send")
        self.has_begun_body = True
        return iter(stream)

    def async_pieces(self) -> AsyncIterator[bytes]:
        """Return the iterator of the body of a request in an async client, whose body may be a sync one."""
        self.has_begun_body = True
        return in_async(self.request.stream).__aiter__()

    def next_piece(self) -> bytes | None:
        """
        Return the next piece of the body, or None at its end.

        Raises:
            TypeError: the piece is not bytes.
            WriteError: another thread has ended the iteration.
        """
        self.awaits_piece = True  # first: `end_pieces` in another thread sees it, or has set `pieces` before
        pieces = self.pieces
        try:
            if pieces is None:
                if self.has_begun_body:
                    raise WriteError(CLOSED_HERE)
                pieces = self.pieces = self.sync_pieces()
            piece = next(pieces, END)
        finally:
            self.awaits_piece = False
            if self.pieces is not pieces and hasattr(pieces, "close"):
                pieces.close()  # `end_pieces` has left it to us
        if piece is END:
            self.pieces = None
            return None
        return piece if type(piece) is bytes else as_bytes(piece)

    async def anext_piece(self) -> bytes | None:
        """
        Return the next piece of the body, or None at its end.

        Raises:
            TypeError: the piece is not bytes.
            WriteError: another task has ended the iteration.
        """
        pieces = self.pieces
        if pieces is None:
            if self.has_begun_body:
                raise WriteError(CLOSED_HERE)
            pieces = self.pieces = self.async_pieces()
            self.begun = 0
        self.begun += 1
        self.awaits_piece = True
        try:
            piece = await next_piece(pieces)
        finally:
            self.awaits_piece = False
            if self.pieces is not pieces:
                await end_pieces(pieces, self)  # `aend_pieces` has left it to us
        if piece is None:
            self.pieces = None
        return piece

    def trailers(self) -> Fields:
        """Return the trailers of the request, whose body has been iterated. It has some, maybe none by now."""
        return Headers(self.request.trailers).raw

    def end_pieces(self) -> None:
        """
        End the iteration of the body early: a generator would stay suspended, with all that it holds open.

        If another thread is waiting for a piece, that thread ends it.
        """
        pieces, self.pieces = self.pieces, None
        if not self.awaits_piece and hasattr(pieces, "close"):
            pieces.close()

    async def aend_pieces(self) -> None:
        """Do what `end_pieces` does, in an async client."""
        pieces, self.pieces = self.pieces, None
        if not self.awaits_piece:
            await end_pieces(pieces, self)

    # Time.

    def noted(self) -> Stamps:
        """Return the stamps of the request, made when there is something to note."""
        stamps = self.stamps
        if stamps is None:
            from .._timings import Stamps  # not earlier: programs that only import httpx do not need it

            stamps = self.stamps = Stamps(self.began)
        return stamps

    def note_wait(self) -> None:
        """Note that there is no idle connection."""
        stamps = self.noted()
        stamps.acquired = stamps.sent = stamps.dial = None

    def note_dial(self) -> Dialled:
        """Return the record of a connection that begins to be made for this request."""
        from .._timings import Dialled

        dial = self.noted().dial = Dialled()
        return dial

    def note_acquired(self, now: float) -> float:
        """Note that the request has a connection, or begins anew; return the moment."""
        stamps = self.noted()
        stamps.acquired, stamps.sent = now, None
        return now

    def note_sent(self, now: float) -> None:
        """Note that as much as is known of the request has been sent."""
        self.noted().sent = now

    def note_failure(self, connection: Any, exc: BaseException) -> None:
        """Note which connection the request failed on."""
        if isinstance(exc, RequestError) and connection is not None:
            self.noted().failed_on = connection.wire.dial

    def leave_stamps(self, exc: BaseException) -> None:
        """Leave the stamps with the exception that the request ends with, for `RequestError.timings`."""
        if isinstance(exc, RequestError):
            exc._stamps = self.noted()

    def timed_out(self, kind: type[E], phase: str, now: float, what: str) -> E:
        """Return the exception for a phase that took too long; it names the timeout and the request's host."""
        if self.deadline is not None and now >= self.deadline - TIMER_SLACK:
            phase = "total"
        elif phase == "read" and "idle" in self.timeout:
            phase = "idle"
        text = f"{what} within the {phase} timeout of {self.seconds(phase):g} s"
        return kind(with_host(text, self.request), request=self.request)

    def queue_timed_out(self, now: float) -> PoolTimeout:
        """Return the exception for a request that waited too long for a connection."""
        return self.timed_out(PoolTimeout, "pool", now, "no connection of the pool became free")

    def consent_limit(self, now: float) -> float | None:
        """Return until when the body waits for 100 (Continue), from now on; None for ever."""
        return self.patience(now, self.request.extensions)

    def check_patience(self, now: float) -> None:
        """Raise ReadTimeout if the body must not be sent although no 100 (Continue) came in time."""
        if self.insists(self.request.extensions):
            raise self.timed_out(ReadTimeout, "read", now, "neither 100 (Continue) nor a response arrived")

    def may_replay(
        self, exchange: Exchange, error: BaseException, reused: bool = True, others_progress: bool = False
    ) -> bool:
        """
        Return whether a request that failed may be sent again on another connection.

        Only if it did nothing, as far as can be known. Either the peer said so (HTTP/2: `refused`); or it failed on a
        connection that had served others before, and no byte of a response arrived. In that case a POST is not sent
        again: the server may have acted on it before it closed (RFC 9110 9.2.2).

        Args:
            exchange: where it failed.
            error: how.
            reused: the connection had served others before.
            others_progress: it was refused because of the other requests on the connection, which made progress.
        """
        if not isinstance(error, (NetworkError, RemoteProtocolError)):
            return False
        # A body of which no piece was asked for can be sent later, if the peer said that it did nothing.
        if type(self.request.stream) is ByteStream:
            self.has_begun_body = False  # one in memory begins anew, also if it was iterated for the sake of trailers
        elif self.has_begun_body or not exchange.refused:
            return False
        if others_progress and self.refusals < _MAX_REFUSALS:
            self.refusals += 1
            return True
        if not exchange.refused and not (reused and exchange.untouched and self.request.method in IDEMPOTENT):
            return False
        return self.may_try_again()

    def may_try_again(self) -> bool:
        """Count a try that the peer did nothing with; return False if there were too many."""
        self.replays += 1
        return self.replays <= _MAX_REPLAYS

    def begin_dial(self) -> None:
        """Note that a connection has to be made: a logger that listens to that alone is told from here on."""
        if self.narrator is None and CONNECTION_LOGGER.isEnabledFor(DEBUG):
            self.narrator = Narrator(self.request, None)

    def server_name(self) -> str:
        """The name for SNI and for the check of the certificate."""
        name: str = self.key[3] if len(self.key) > 3 else self.key[1]
        return name

    def next_interim(self, exchange: Exchange) -> Response | None:
        """
        Return the next 1xx response that the request's function was not told of, or None.

        Not 100, which is about the request, nor 101, which is final.
        """
        informational = exchange.informational
        while exchange.told < len(informational):
            status, fields = informational[exchange.told]
            exchange.told += 1
            if status != 100 and self.request.extensions.get("informational") is not None:
                return Response(status, headers=fields, request=self.request)
        return None

    def annotate(self, response: Response, exchange: Exchange) -> None:
        """Put what came around the response into its extensions: 1xx responses before it, trailers after it; stamps."""
        if self.stamps is not None:
            response._stamps = self.stamps
        if exchange.informational:
            response.extensions["informational"] = exchange.informational
        if exchange.trailers is not None:
            response.extensions["trailers"] = exchange.trailers


def refuse_awaitable(result: Any) -> None:
    """
    Check what the function for 1xx responses of a sync client returned.

    Raises:
        TypeError: it is awaitable, so the function has not run.
    """
    if hasattr(result, "__await__"):
        close = getattr(result, "close", None)  # or Python warns that it was never awaited
        if close is not None:
            close()
        raise TypeError("a sync client cannot await the function for 1xx responses, the extension 'informational'")


class Refusals:
    """Origins whose servers refused a WebSocket over HTTP/2, for five minutes each."""

    def __init__(self) -> None:
        self._until: dict[Any, float] = {}

    def add(self, key: Any, now: float) -> None:
        """Remember an origin."""
        if len(self._until) >= _MAX_REMEMBERED:
            self._until.clear()
        self._until[key] = now + _REMEMBERED

    def has(self, key: Any, now: float) -> bool:
        """Return whether an origin has refused lately."""
        return self._until.get(key, now) > now


def again(error: T) -> T:
    """
    Return a new exception that says the same.

    An exception that was raised refers to the frames that it came through, and they to what they worked with. Where a
    connection or an exchange remembers why it failed, raising that very object would make a circle of them.
    """
    new = type(error)(*error.args)
    new.__cause__ = error.__cause__
    if isinstance(new, RequestError) and isinstance(error, RequestError):
        new._request = error._request
        new._is_final = error._is_final
    return new


class Carrier(Protocol):
    """What is asked here of a connection of HTTP/1.1 in threads and on trio."""

    closed: bool
    write_error: WriteError | None

    @property
    def wire(self) -> Wire: ...


def listen(connection: Carrier, exchange: Exchange) -> bool:
    """
    Take what has arrived during an upload; False if nothing is meant for us, as may be under TLS.

    Raises:
        ReadError, WriteError, ConnectError: the connection broke.
    """
    try:
        data = connection.wire.receive_now()
    except TransportError as exc:
        raise why(connection, exc) from None
    if data is None:
        return False
    exchange.receive(data) if data else connection.wire.deliver_end(exchange)
    return True


def hear_early(connection: Carrier, exchange: Exchange) -> None:
    """Take what came together with the end of the dial: the response to the first request, if anything."""
    early = connection.wire.take_early()
    if early:
        exchange.receive(early)


def stop_sending(connection: Carrier, exchange: Exchange, error: WriteError) -> None:
    """Note that sending failed. A server that closes while we send has often responded before."""
    connection.write_error = again(error)
    connection.wire.unsent = b""
    exchange.cut_short()


def why(connection: Carrier, error: Exception) -> Exception:
    """Return what to raise for an error of receiving: it may be the consequence of one of sending, or of closing."""
    if connection.closed:
        return ReadError(CLOSED_HERE)
    # If the TLS handshake was refused, nothing could be sent either.
    return again(error if isinstance(error, ConnectError) else connection.write_error or error)


async def end_pieces(pieces: AsyncIterator[bytes], job: Job) -> None:
    """End the iteration of a request's body early: a generator would stay suspended, with all that it holds open."""
    if hasattr(pieces, "aclose"):
        await pieces.aclose()
    await in_async(job.request.stream).aclose()


async def next_piece(pieces: AsyncIterator[bytes]) -> bytes | None:
    """Return the next piece of a request's body, or None at its end. Raises TypeError if it is not bytes."""
    try:
        piece = await pieces.__anext__()
    except StopAsyncIteration:
        return None
    return piece if type(piece) is bytes else as_bytes(piece)


def shown(connection: Any) -> Any:
    """An upgraded connection as the extension `network_stream`: one of httpcore's streams, too, if that is imported."""
    if "httpcore" not in sys.modules:
        return connection
    from .._transports.compat import network_stream

    return network_stream(connection)


def _always() -> bool:
    return True


def _bytes_of(target: str | bytes) -> bytes:
    return target.encode() if isinstance(target, str) else target


def _unsupported(scheme: str) -> UnsupportedProtocol:
    if not scheme:
        return UnsupportedProtocol("the request's URL has no scheme: it should begin with 'http://' or 'https://'")
    if scheme in _SCHEMES:
        return UnsupportedProtocol(f"the request's URL has no host: it should begin with '{scheme}://' and a host")
    return UnsupportedProtocol(
        f"the scheme {scheme!r} of the request's URL is not supported: it should be 'http' or 'https'"
    )
