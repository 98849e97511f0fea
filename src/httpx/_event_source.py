"""
Event streams for callers: the events of a response, and of a subscription that is opened again when it is lost.

    client.sse(url) ─► EventStream (a context manager) ─► EventSource ─► Events, for `for`
                       AsyncEventStream                                  AsyncEvents, for `async for`

`EventSource` has the state, so that iterating may stop and go on. `Events` and `AsyncEvents` carry out the steps of
`_subscription`; they are twins, and so are the two context managers: tests compare them. A piece of the body is decoded
when the caller asks for more, so nothing is read ahead.

Not here: what bytes mean (`_events`), what ends a subscription (`_subscription`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _clock
from ._base_client import BaseClient, UseClientDefault
from ._config import _seconds, whole_number
from ._content import ByteStream
from ._engine.sleeping import AsyncSleeper, Sleeper
from ._events import MAX_ID_SIZE, EventDecoder, ServerSentEvent
from ._headers import Headers
from ._origins import OF_THE_BODY, without
from ._reading import merge_chunks
from ._request import Request
from ._response import Response
from ._subscription import CLOSE, END, READ, WAIT, Progress, Reconnect, reading, subscription

if TYPE_CHECKING:
    from ._types import AuthTypes, HeaderTypes

_NOTHING: Iterator[ServerSentEvent] = iter(())


class EventSource:
    """
    The server-sent events of a response: an iterator with `for`, or with `async for` in async code.

        with client.stream("GET", url) as response:
            for event in httpx.EventSource(response):
                ...

    From `client.sse()`, which closes it, it may also be a subscription over several connections. Iteration goes on
    where it was left, and ends when the stream does, or when the source is closed.

    Args:
        response: unread, of a sync or an async client.
        max_event_size: bytes of one event, comments included; None for no limit.

    Attributes:
        response: the one of the present connection.

    Iterating raises `SSEError` if the Content-Type is not text/event-stream or an event is too large, and other
    `RequestError` if the stream is cut.

    Raises:
        TypeError, ValueError: `max_event_size` is not a positive int or None.
    """

    response: Response

    def __init__(self, response: Response, max_event_size: int | None = 1_048_576) -> None:
        self.response = response
        self._max_event_size = _checked_size(max_event_size)
        self._progress = Progress()
        self._decoder = EventDecoder(max_event_size)
        self._steps = reading(response)
        self._opener: Opener | None = None
        self._sleeper: Sleeper | AsyncSleeper | None = None
        self._pending = _NOTHING  # events that were decoded and not taken
        self._pieces: Any = None  # the iterator of the body; None before a stream is begun
        self._due: tuple[int, Any] | None = None  # a step that is not carried out yet, or that was interrupted
        self._wakes_at: float | None = None  # by `_clock`: when the wait ends that is due
        self._is_closed = self._is_over = False

    def _subscribe(self, opener: Opener, sleeper: Sleeper | AsyncSleeper, deadline: float | None) -> EventSource:
        """Make this source, which is new, one that is opened again if that is wanted; return it."""
        self._opener, self._sleeper = opener, sleeper
        _attach(self.response, opener.request)
        self._progress.last_event_id = opener.last_event_id
        self._decoder = EventDecoder(self._max_event_size, opener.last_event_id)
        if opener.policy is not None:
            self._steps = subscription(
                self._progress, opener.policy, self.response, deadline, _clock.monotonic, _clock.jitter
            )
        return self

    @property
    def last_event_id(self) -> str:
        """Return the id of the last event that was taken, or of one before it; "" if there was none."""
        return self._progress.last_event_id

    @property
    def reconnection_time(self) -> float:
        """Return the seconds to wait after a lost connection: the server's `retry`, else `Reconnect.delay`."""
        retry = self._progress.retry
        if retry is not None:
            return retry / 1000
        policy = None if self._opener is None else self._opener.policy
        return (Reconnect() if policy is None else policy).delay

    @property
    def failures(self) -> int:
        """Return how many connections in a row have failed, or ended without an event."""
        return self._progress.failures

    def __iter__(self) -> Events:
        return Events(self)

    def __aiter__(self) -> AsyncEvents:
        return AsyncEvents(self)

    def iter_sse(self) -> Iterator[ServerSentEvent]:
        """Return an iterator over the events: another name of `iter(source)`, which httpx-sse has."""
        return Events(self)

    def aiter_sse(self) -> AsyncIterator[ServerSentEvent]:
        """Return an async iterator over the events: another name of `aiter(source)`, which httpx-sse has."""
        return AsyncEvents(self)

    def close(self) -> None:
        """
        Close the response, and end the iteration, also one that waits in another thread.

        A request that another thread is just sending is not interrupted; its response is closed.
        """
        self._mark_closed()
        self.response.close()

    async def aclose(self) -> None:
        """Close the source of an async client, like `close`; another task may be iterating."""
        self._mark_closed()
        await self.response.aclose()

    def _mark_closed(self) -> None:
        self._is_closed = True
        self._pending = _NOTHING
        if self._sleeper is not None:
            self._sleeper.wake()

    # For both iterators.

    def _decoded(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Return the events that end in a piece of the body."""
        decoder, progress = self._decoder, self._progress
        events = decoder.decode(piece)
        if events:
            progress.note_events()
        if decoder.retry is not None:
            progress.retry = decoder.retry
        return iter(events)

    def _check_decoder(self) -> None:
        """
        Note what the events before this did not say, which the caller has taken.

        Raises:
            SSEError: after them comes one that is too large.
        """
        decoder = self._decoder
        if decoder.error is not None:
            self._is_over = True
            raise decoder.new_error(self.response._request)
        self._progress.last_event_id = decoder.last_event_id

    def _left_of(self, seconds: float) -> float:
        """Return what is left of a wait, which may have been interrupted before."""
        if self._wakes_at is None:
            self._wakes_at = _clock.monotonic() + seconds
            return seconds
        return max(0.0, self._wakes_at - _clock.monotonic())

    def _end_step(self) -> None:
        self._due = self._wakes_at = None

    def _interrupted(self) -> None:
        """Go on with the step that was interrupted when the next event is asked for, unless its place is lost."""
        steps: Any = self._steps  # whose frame a plain `Generator` does not have
        self._is_over = self._due is None or steps.gi_frame is None

    def _is_final(self) -> bool:
        """Return whether no other connection can follow, as the client was closed."""
        return self._opener is not None and self._opener.client.is_closed

    def _opened(self, response: Response, request: Request) -> None:
        """Take the response to another request."""
        _attach(response, request)
        self._decoder = EventDecoder(self._max_event_size, self._progress.last_event_id)
        # Before a look at `_is_closed`: `close` sets that first, so one of the two sees the other.
        self.response = response


def _attach(response: Response, request: Request) -> None:
    """Give a response its request, which it lacks if the program has replaced the client's `send` by its own."""
    if response._request is None:
        response._request = request


class Events:
    """The events of a source in sync code; made by iterating over it."""

    __slots__ = ("_source",)

    def __init__(self, source: EventSource) -> None:
        self._source = source

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> ServerSentEvent:
        source = self._source
        while True:
            for event in source._pending:
                source._progress.last_event_id = event.id
                return event
            source._pending = self._receive()

    def _receive(self) -> Iterator[ServerSentEvent]:
        """Return the events in the next piece of the body, none if another stream begins. Raises StopIteration."""
        source = self._source
        if source._is_over or source._is_closed:
            raise StopIteration
        source._check_decoder()
        failure: Exception | None = None
        if source._pieces is not None:
            try:
                piece = source._pieces.__next__()
            except StopIteration:
                pass
            except Exception as exc:
                failure = exc  # handled below: what is raised there has nothing to do with it
            else:
                return source._decoded(piece)
        try:
            self._go_on(failure)
        finally:
            del failure  # a traceback that refers to its own frame lives until the next garbage collection
        return _NOTHING

    def _go_on(self, failure: Exception | None) -> None:
        """Carry out the steps until there is a stream to read. Raises StopIteration, or what the steps raise."""
        source = self._source
        steps = source._steps
        source._pieces = None
        try:
            if source._is_closed:
                raise StopIteration
            if failure is not None and source._is_final():
                raise failure
            if source._due is not None:
                step, value = source._due
            else:
                step, value = steps.send(None) if failure is None else steps.throw(failure)
            while step != READ:
                if step == END:
                    raise StopIteration
                source._due = step, value
                try:
                    reply = self._carry_out(step, value)
                except Exception as exc:
                    source._end_step()
                    step, value = steps.throw(exc)
                else:
                    source._end_step()
                    step, value = steps.send(reply)
            merge_chunks(value)
            source._pieces = value.iter_bytes()
        except Exception:
            source._is_over = True
            raise
        except BaseException:
            source._interrupted()
            raise
        finally:
            del failure  # as in `_receive`

    def _carry_out(self, step: int, value: Any) -> Any:
        """Carry out one step, and return its outcome."""
        source = self._source
        opener: Any = source._opener  # as the sleeper, of a subscription
        sleeper: Any = source._sleeper
        if step == CLOSE:
            return value.close()
        if step == WAIT:
            return sleeper.sleep(source._left_of(value))
        request = opener.following(value)
        if request is None:
            return None
        response = opener.client.send(request, stream=True, auth=opener.auth, follow_redirects=opener.follow_redirects)
        source._opened(response, request)
        if source._is_closed:
            response.close()
            return None
        return response

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class AsyncEvents:
    """The events of a source in async code; made by iterating over it."""

    __slots__ = ("_source",)

    def __init__(self, source: EventSource) -> None:
        self._source = source

    def __aiter__(self) -> AsyncEvents:
        return self

    async def __anext__(self) -> ServerSentEvent:
        source = self._source
        while True:
            for event in source._pending:
                source._progress.last_event_id = event.id
                return event
            source._pending = await self._receive()

    async def _receive(self) -> Iterator[ServerSentEvent]:
        """Return the events in the next piece of the body, none if another stream begins. Raises StopAsyncIteration."""
        source = self._source
        if source._is_over or source._is_closed:
            raise StopAsyncIteration
        source._check_decoder()
        failure: Exception | None = None
        if source._pieces is not None:
            try:
                piece = await source._pieces.__anext__()
            except StopAsyncIteration:
                pass
            except Exception as exc:
                failure = exc  # handled below: what is raised there has nothing to do with it
            else:
                return source._decoded(piece)
        try:
            await self._go_on(failure)
        finally:
            del failure  # a traceback that refers to its own frame lives until the next garbage collection
        return _NOTHING

    async def _go_on(self, failure: Exception | None) -> None:
        """Carry out the steps until there is a stream to read. Raises StopAsyncIteration, or what the steps raise."""
        source = self._source
        steps = source._steps
        source._pieces = None
        try:
            if source._is_closed:
                raise StopAsyncIteration
            if failure is not None and source._is_final():
                raise failure
            if source._due is not None:
                step, value = source._due
            else:
                step, value = steps.send(None) if failure is None else steps.throw(failure)
            while step != READ:
                if step == END:
                    raise StopAsyncIteration
                source._due = step, value
                try:
                    reply = await self._carry_out(step, value)
                except Exception as exc:
                    source._end_step()
                    step, value = steps.throw(exc)
                else:
                    source._end_step()
                    step, value = steps.send(reply)
            merge_chunks(value)
            source._pieces = value.aiter_bytes()
        except Exception:
            source._is_over = True
            raise
        except BaseException:
            source._interrupted()
            raise
        finally:
            del failure  # as in `_receive`

    async def _carry_out(self, step: int, value: Any) -> Any:
        """Carry out one step, and return its outcome."""
        source = self._source
        opener: Any = source._opener  # as the sleeper, of a subscription
        sleeper: Any = source._sleeper
        if step == CLOSE:
            return await value.aclose()
        if step == WAIT:
            return await sleeper.sleep(source._left_of(value))
        request = opener.following(value)
        if request is None:
            return None
        response = await opener.client.send(
            request, stream=True, auth=opener.auth, follow_redirects=opener.follow_redirects
        )
        source._opened(response, request)
        if source._is_closed:
            await response.aclose()
            return None
        return response

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()


class Opener:
    """
    The requests of a subscription: the first one, and for each other connection another one.

    Each is built by the client, so it has the cookies and headers that the client has then, and goes to the URL that
    the caller gave, not to the one of a redirect. Its body is that of the first.

    Args:
        client: builds and sends.
        method, url: of the request.
        arguments: the other ones of `build_request`.
        auth, follow_redirects: for `send`.
        policy: how the stream is opened again; None for not at all.
        last_event_id: sent with the first request; "" for none.
        idle_timeout: seconds between two pieces of a body, if there is no timeout of the request's own.
        max_event_size: for the sources.

    Attributes:
        deadline: of the total timeout, after `begin`.

    Raises:
        ValueError, TypeError: arguments out of range, or a body that cannot be sent again.
    """

    def __init__(
        self,
        client: BaseClient,
        method: str,
        url: Any,
        arguments: dict[str, Any],
        *,
        auth: AuthTypes | UseClientDefault | None,
        follow_redirects: bool | UseClientDefault,
        policy: bool | Reconnect,
        last_event_id: str,
        idle_timeout: float | None,
        max_event_size: int | None,
    ) -> None:
        if not isinstance(policy, (bool, Reconnect)):
            raise TypeError(f"reconnect must be a bool or an httpx.Reconnect, got {policy!r:.40}")
        self.client: Any = client
        self.auth, self.follow_redirects = auth, follow_redirects
        self.policy = (Reconnect() if policy else None) if isinstance(policy, bool) else policy
        headers = _with_defaults(arguments["headers"])
        own = headers.pop("Last-Event-ID", "")  # there it would be sent for ever
        self.last_event_id = last_event_id or own
        self.max_event_size = _checked_size(max_event_size)
        self.deadline: float | None = None
        self._method, self._url = method, url
        extensions = arguments["extensions"] or {}
        idle_timeout = _checked_idle(idle_timeout)
        if isinstance(arguments["timeout"], UseClientDefault) and "timeout" not in extensions:
            extensions = {"idle_timeout": idle_timeout, **extensions}
        self._arguments = {**arguments, "extensions": extensions, "headers": headers}
        self.request = self._built(self.last_event_id)
        if self.policy is not None:
            self._keep_body(self.policy)

    def _keep_body(self, policy: Reconnect) -> None:
        """Give later requests the body of the first. Raises ValueError if it can be sent only once."""
        request, arguments = self.request, self._arguments
        if all(arguments[name] is None for name in _BODIES):
            return
        if type(request.stream) is ByteStream:
            content: bytes | None = request.stream.body
        elif policy.prepare is not None:
            content = None  # it is for `prepare` to say what is sent in its place
        else:
            raise ValueError("reconnect needs a body that can be sent again: content as bytes or str, data or json")
        headers = arguments["headers"].copy()
        for name in ("Content-Type", "Content-Encoding"):  # of a client that compresses
            if content is not None and name in request.headers:
                headers[name] = request.headers[name]
        self._arguments = {**arguments, **dict.fromkeys(_BODIES), "content": content, "headers": headers}

    def begin(self) -> float | None:
        """Let the total timeout begin, and return when it ends, by `_clock.monotonic`; None if there is none."""
        self.deadline = self.client._deadline(self.request.extensions["timeout"])
        return self.deadline

    def following(self, last_event_id: str) -> Request | None:
        """Return the request for another connection, or None if there is to be none. Raises ReadTimeout."""
        built = request = self._built(last_event_id)
        prepare = None if self.policy is None else self.policy.prepare
        if prepare is not None:
            prepared = prepare(request)
            if prepared is None:
                return None
            if not isinstance(prepared, Request):
                raise TypeError(f"prepare must return a request or None, got {type(prepared).__name__}")
            request = prepared
            if request.method in ("GET", "HEAD") and type(request.stream) is ByteStream and not request.stream.body:
                # What `headers=request.headers` takes along from a POST to a GET.
                without(request.headers, OF_THE_BODY)
            for name in ("timeout", "idle_timeout"):
                if name in built.extensions:
                    request.extensions.setdefault(name, built.extensions[name])
        if self.deadline is not None:
            self.client._share(request, self.deadline, self.request.extensions["timeout"])
        return request

    def _built(self, last_event_id: str) -> Request:
        request: Request = self.client.build_request(self._method, self._url, **self._arguments)
        sent = _sent_id(last_event_id)
        if sent:
            request.headers.update([(b"Last-Event-ID", sent)])
        return request


_BODIES = ("content", "data", "files", "json")


def _with_defaults(given: HeaderTypes | None) -> Headers:
    headers = Headers(given)
    headers.setdefault("Accept", "text/event-stream")
    headers.setdefault("Cache-Control", "no-store")
    return headers


def _sent_id(last_event_id: Any) -> bytes:
    """
    Return an id as it is sent: in UTF-8, without blanks at its ends, which no field has (RFC 9110, section 5.5).

    Raises:
        TypeError: not a str.
        ValueError: it cannot be in a header field. An id from a server can.
    """
    if not isinstance(last_event_id, str):
        raise TypeError(f"last_event_id must be a str, got {type(last_event_id).__name__}")
    try:
        sent = last_event_id.strip(" \t").encode()
    except UnicodeEncodeError as exc:
        raise ValueError(f"last_event_id cannot be encoded at position {exc.start}") from None
    if len(sent) > MAX_ID_SIZE or any(character in last_event_id for character in "\r\n\0"):
        raise ValueError(f"last_event_id must have at most {MAX_ID_SIZE} bytes, and neither line ends nor NUL")
    return sent


def _checked_idle(idle_timeout: Any) -> float | None:
    seconds = _seconds("idle_timeout", idle_timeout)
    if seconds == 0:
        raise ValueError(f"idle_timeout must be a positive number of seconds or None, got {idle_timeout!r}")
    return seconds


def _checked_size(size: Any) -> int | None:
    return None if size is None else whole_number("max_event_size", size, 1)


class EventStream:
    """
    A context manager that opens an event stream and gives its `EventSource`, in sync code.

    Args:
        opener: of the stream.
    """

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._source: Any = None

    def __enter__(self) -> EventSource:
        opener = self._opener
        deadline = opener.begin()
        response = opener.client.send(
            opener.request, stream=True, auth=opener.auth, follow_redirects=opener.follow_redirects
        )
        source = self._source = EventSource(response, opener.max_event_size)
        return source._subscribe(opener, Sleeper(), deadline)

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._source.close()


class AsyncEventStream:
    """A context manager like `EventStream`, in async code."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._source: Any = None

    async def __aenter__(self) -> EventSource:
        opener = self._opener
        deadline = opener.begin()
        response = await opener.client.send(
            opener.request, stream=True, auth=opener.auth, follow_redirects=opener.follow_redirects
        )
        source = self._source = EventSource(response, opener.max_event_size)
        return source._subscribe(opener, AsyncSleeper(), deadline)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._source.aclose()


EventSource.__module__ = "httpx"  # as `httpx` does for modules that it loads at once
