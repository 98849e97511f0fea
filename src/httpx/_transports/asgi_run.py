"""
One call of an ASGI app: for a request, or for its startup and shutdown.

    Run         one call of the app: `Exchange` for a request, `Lifespan` for its startup and shutdown
    Inline      the same for a response that is not streamed
    Server      the live runs of the async or the sync side of a transport

Not here: the start and end of tasks (`hosts`); the bodies that read from a run, and the transport (`asgi`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, MutableMapping
from contextvars import Context, copy_context
from typing import Any, Callable, TypeVar

from .._content import ByteStream
from .._exceptions import ReadError, RemoteProtocolError
from .._headers import Headers
from .._response import Response
from .._types import AsyncByteStream, SyncByteStream
from .default import _running
from .hosts import host_here

R = TypeVar("R", bound="Run")

Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[Message]]
_Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]

# How far the app may be ahead of its reader, in bytes: about the size of a server's socket buffer.
HIGH_WATER = 65_536
# The least number of bytes that a piece counts as, so that an app that sends single bytes cannot fill the memory.
_LEAST = 64
# How many turns of the event loop an app gets to notice that its reader has closed the response...
_TURNS = 10
# ... and how many seconds it may then clean up, if `receive` has told it.
_GRACE = 1.0


class Run:
    """
    One call of the app, in a task.

    Every wait goes through `until`, and `changed` is called after every change.
    """

    def __init__(self, app: ASGIApp, scope: Message) -> None:
        self.host = host_here()
        self.over = False
        self.error: BaseException | None = None
        self.left = False  # whether the app must end, because its reader has closed the response
        self.told = False  # whether it was told that no more will be read
        self.alive: set[Run] = set()  # the runs from which this is removed at its end
        self.task: Any = None  # the host's handle to cancel it
        self._app = app
        self._scope = scope
        self._waiting: list[Any] = []
        self._before = copy_context()
        self._after: Context | None = None

    async def run(self) -> None:
        """Run the app; the function of the task. It raises nothing: an exception would end the whole trio run."""
        try:
            await self._app(self._scope, self.receive, self.send)
        except BaseException as exc:
            self.error = exc
        finally:
            self._after = copy_context()
            self.finish()

    def finish(self) -> None:
        """Note that the task has ended, maybe before it began."""
        self.over = True
        self.alive.discard(self)
        self.changed()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition is true."""
        while not condition():
            event = self.host.new_event()
            self._waiting.append(event)
            await event.wait()

    def changed(self) -> None:
        """Wake all waiters, so that they check their conditions again."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    async def leave(self) -> None:
        """Tell the app to end, and cancel it if it does not."""
        if not self.over:
            self.left = True
            self.changed()
            try:
                for _ in range(_TURNS):
                    await self.host.checkpoint()
                    if self.over:
                        return
                if self.told:
                    await self.host.wait(self, _GRACE)
            finally:
                await self.end()

    async def end(self) -> None:
        """Cancel the app unless it has returned, and wait until it has, even if the caller is cancelled, too."""
        if not self.over:
            self.left = True
            await self.host.end(self)

    def adopt_context(self) -> None:
        """Copy the context variables that the app has set to the caller, as in 0.28.1, where the app ran inline."""
        after, self._after = self._after, None
        for var, value in () if after is None else after.items():
            if self._before.get(var, self) is not value:
                var.set(value)

    async def receive(self) -> Message:
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        raise NotImplementedError


class Exchange(Run):
    """A request and its response, between the app and its reader."""

    def __init__(self, app: ASGIApp, scope: Message, stream: AsyncByteStream | SyncByteStream) -> None:
        super().__init__(app, scope)
        self.status: int | None = None
        self.headers = Headers()
        self._is_head = scope["method"] == "HEAD"
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self._trails = False  # whether the app has announced trailers, which it sends after the body
        self._has_body = False  # whether the app has sent all of the body
        self._complete = False  # whether the app has sent all of its response
        self._pieces: deque[bytes] = deque()
        self._untaken = 0
        self._messages: list[Message] = []  # for the app, the next one is last
        self._wanted = False  # whether the app waits for a piece of the request's body
        # A body in memory needs no reader to fetch it.
        self._uploaded = False
        if type(stream) is ByteStream:
            self._uploaded = True
            self._messages += [_request_message(None), _request_message(stream.body)]

    # The app's side.

    async def receive(self) -> Message:
        while not (self.left or self._complete):
            if self._messages:
                return self._messages.pop()
            if not self._uploaded:
                self._wanted = True
                self.changed()
            await self.until(self._may_receive)
        self.told = True
        return {"type": "http.disconnect"}

    def _may_receive(self) -> bool:
        # If two tasks receive at once, one takes the message, and the other must wait for the next.
        asks_again = not self._wanted and not self._uploaded
        return bool(self._messages) or asks_again or self.left or self._complete

    async def send(self, message: Message) -> None:
        """
        Take a message from the app. Messages of other kinds are ignored, and so is every message after the reader has
        closed the response, as ASGI requires.

        Raises (in the app):
            RuntimeError: the messages are in the wrong order.
            TypeError: the body is not bytes.
            ValueError: the status is not a number from 100 to 999.
        """
        if not self.left:
            self._take(message)
        # Always a checkpoint: an app that sends without pause would keep other tasks from running.
        await self.host.checkpoint()
        await self.until(lambda: self._untaken < HIGH_WATER or self.left)

    def _take(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._begin(message)
        elif kind == "http.response.body":
            self._add(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.trailers":
            self._trail(message)
        self.changed()

    def _begin(self, message: Message) -> None:
        if self.status is not None:
            raise RuntimeError("the app sent http.response.start a second time")
        status = int(message["status"])
        if not 100 <= status <= 999:
            raise ValueError(f"the app sent status {message['status']!r}, expected a number from 100 to 999")
        self.headers = Headers([(name, value) for name, value in message.get("headers", ())])
        self._trails = bool(message.get("trailers", False))
        self.status = status

    def _add(self, piece: bytes, more: bool) -> None:
        if self.status is None:
            raise RuntimeError("the app sent http.response.body before http.response.start")
        if self._complete or self._has_body:
            raise RuntimeError("the app sent http.response.body after the end of the body")
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise TypeError(f"the app sent {type(piece).__name__} as a body, expected bytes")
        if piece and not self._is_head:
            self._pieces.append(bytes(piece))
            self._untaken += max(len(piece), _LEAST)
        self._has_body = not more
        if not self._trails:
            self._end(not more)

    def _trail(self, message: Message) -> None:
        if not self._trails or self._complete:
            return  # not announced, or more than were announced: what servers do not send
        if not self._has_body:
            raise RuntimeError("the app sent http.response.trailers before the end of the body")
        fields = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        self.trailers = [*(self.trailers or ()), *fields]
        self._end(not message.get("more_trailers", False))

    def _end(self, is_over: bool) -> None:
        # After its response an app may have work to do; it gets the same time for it as after `http.disconnect`.
        self._complete = self.told = is_over

    # The reader's side.

    def asks(self) -> bool:
        """Return whether, after `respond`, the app waits for a piece of the request's body before it responds."""
        return self.status is None and not self.over

    async def respond(self) -> None:
        """Wait for the head, the end of the app, or its wish for a piece of the request's body."""
        await self.until(lambda: self.status is not None or self.over or self._wanted)

    async def next_piece(self) -> bytes | None:
        """Return the next piece of the response's body; b"" at the app's end; None if it waits for input."""
        await self.until(lambda: self._pieces or self.over or (self._wanted and not self._complete))
        if self._pieces:
            piece = self._pieces.popleft()
            self._untaken -= max(len(piece), _LEAST)
            self.changed()
            return piece
        return b"" if self.over else None

    async def feed(self, piece: bytes | None) -> None:
        """Give the app the next piece of the request's body; None is its end."""
        self._wanted = False
        self._uploaded = piece is None
        self._messages.append(_request_message(piece))
        self.changed()

    def response(self, body: Any, raising: bool) -> Response:
        """
        Return the response of the app: 500 if it failed before it sent one and `raising` is false.

        Args:
            body: its stream. Its attribute `extensions` becomes those of the response, where it puts the trailers; not
                the response itself, because the two would be a cycle.
            raising: raise an exception of the app.
        """
        if self.status is not None:
            response = Response(self.status, headers=self.headers, stream=body)
            body.extensions = response.extensions
            return response
        try:
            self.check(raising)
        except RemoteProtocolError:
            if raising:
                raise
        return Response(500, stream=ByteStream(b""))

    def check(self, raising: bool) -> None:
        """
        Check how the app has ended.

        Raises:
            ReadError: it was closed before its end.
            RemoteProtocolError: its response was not complete.
            Its exception, if `raising`; if that is not an `Exception`, always.
        """
        error, self.error = self.error, None
        try:
            if self.left:
                raise ReadError("the response was closed before its body was read")
            if error is not None and (raising or not isinstance(error, Exception)):
                raise error
            if not self._complete:
                raise RemoteProtocolError("the ASGI app ended before its response was complete") from error
        finally:
            del error  # a traceback that holds its own frame lives until the next garbage collection

    def annotate(self, extensions: dict[str, Any]) -> None:
        """Put the trailers into the extensions of the response, when its body has been read."""
        if self.trailers:
            extensions["trailers"] = self.trailers

    def check_exit(self) -> None:
        """Raise an exception that is meant for the whole program, if it has just interrupted the app."""
        error, self.error = self.error, None
        try:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise error
        finally:
            del error


class Inline(Exchange):
    """A request and its response, where the app runs in its reader's task and to its end."""

    async def send(self, message: Message) -> None:
        if not self.left:
            self._take(message)
        # No checkpoint before that: if the app causes its own cancellation, a response that it then sends without
        # waiting still arrives. An endless one can be cancelled.
        if self._untaken >= HIGH_WATER:
            self._untaken = 0
            await self.host.checkpoint()

    async def leave(self) -> None:
        """Tell the app to end, unless it has; it runs in its caller's task."""
        if not self.over:
            self.left = True
            self.changed()
            for _ in range(_TURNS):
                await self.host.checkpoint()

    async def end(self) -> None:
        """Do nothing; see `leave`."""


def _request_message(piece: bytes | None) -> Message:
    """Return the message for a piece of the request's body, or for its end: without a piece, as in 0.28.1."""
    return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}


class Lifespan(Run):
    """The app's startup and shutdown."""

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        super().__init__(app, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state})
        self._asked = False
        self._done: list[str] = []
        self._failure: str | None = None

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self.until(lambda: self.left and not self.told)
        self.told = True
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        _, phase, outcome = message["type"].split(".")
        self._done.append(phase)
        if outcome == "failed":
            self._failure = message.get("message", "")
        self.changed()
        await self.host.checkpoint()

    async def start(self) -> None:
        """Wait until the app has started, or has failed to."""
        try:
            await self.until(lambda: "startup" in self._done or self.over)
        except BaseException:
            await self.end()
            raise
        if self._failure is not None:
            await self.leave()

    async def stop(self) -> None:
        """Ask the app to shut down, and wait for that without a limit."""
        self.left = True
        self.changed()
        try:
            await self.until(lambda: "shutdown" in self._done or self.over)
            await self.leave()
        finally:
            await self.end()

    def check(self, phase: str) -> None:
        """
        Check that the app has done what was asked. An app that returns at once without a message has no lifespan.

        Raises:
            RuntimeError: it reported a failure.
            Any exception of the app.
        """
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
            if self._failure is not None:
                raise RuntimeError(f"the {phase} of the ASGI app failed: {self._failure}")
        finally:
            del error


# The runs of a transport.


class Server:
    """The live runs of an app. Each is only touched on its own event loop."""

    def __init__(self) -> None:
        self.lifespan: Lifespan | None = None
        # The event loop keeps no reference to a waiting task, so this does.
        self._alive: set[Run] = set()

    async def begin(self, app: ASGIApp, scope: Message, stream: AsyncByteStream | SyncByteStream) -> Exchange:
        """Start a run for a request whose body is `stream`, and wait as `respond` does."""
        exchange = Exchange(app, scope, stream)
        # No await between here and the `try`: a cancellation in between would leave the app running.
        self.spawn(exchange)
        try:
            await exchange.respond()
        except BaseException:
            await exchange.end()
            raise
        return exchange

    def spawn(self, run: Run) -> None:
        """Start the task of a run."""
        self.enter(run).host.spawn(run)

    def enter(self, run: R) -> R:
        """Add a run to those that are alive."""
        run.alive = self._alive
        self._alive.add(run)
        return run

    async def start_lifespan(self, app: ASGIApp) -> Lifespan:
        """Start the app, unless it was started: two clients may share a transport."""
        run = self.lifespan
        if run is None or run.over or run.host.home is not _running():
            run = Lifespan(app)
            self.spawn(run)
            await run.start()
            self.lifespan = run
        return run

    async def aclose(self) -> Lifespan | None:
        """End the runs of this event loop, and return that of the lifespan. Others end with their loops."""
        home = _running()
        lifespan = self.lifespan
        if lifespan is not None and lifespan.host.home is not home:
            lifespan = None
        runs = [run for run in self._alive if run is not lifespan and run.host.home is home]
        try:
            for run in runs:
                await run.leave()
        finally:
            # If this was cancelled, some may be left.
            for run in runs:
                await run.end()
            if lifespan is not None:
                self.lifespan = None
                await lifespan.stop()
        return lifespan
