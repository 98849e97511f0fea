"""
An ASGI application in place of the network, for async clients and for the sync one.

    handle_async_request ─┐                       ┌─ send     the app, in a task of its own
    iterating the body   ─┼─ _Exchange (a state) ─┤
    closing it           ─┘                       └─ receive

The app runs as it would under a server: beside whoever reads its response, at most 64 KiB ahead. What differs
from a server is made for tests: the end of the body is the end of the app, so that work that it does after its response
is done, and what it raises is raised, before `client.get` returns.

Where an async client reads all of the answer anyway, and all of the request is in memory, the app runs in the caller's
task, as in 0.28.1: a cancellation reaches it where it is, with whatever scopes and shields it has.

    _Run        one call of the app: `_Exchange` for a request, `_Lifespan` for its startup and shutdown
    _Inline     the same for an answer that is not streamed
    _Server     the runs that are alive, of the async side of a transport or of the sync one
    _Portal     the thread with an event loop on which the sync side's app runs

The reader also fetches the pieces of a request's body that is a stream, when the app asks for them: a generator is run
by the task, or thread, that it came from, and what it raises never passes through the app. While nobody reads, the app
gets no more of the request.

Nothing is left behind: a task ends before what closes it returns. On trio the app is in a system task, because a
response outlives the call that made it, and a nursery does not.

Not here: how tasks are begun and ended (`hosts`); timeouts, which have no meaning without a network (0.28.1 ignored
them, too); websockets.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, MutableMapping
from concurrent.futures import CancelledError, Future
from contextvars import Context, copy_context
from threading import Lock, Thread, current_thread
from types import TracebackType
from typing import Any, Callable, TypeVar

from .._content import ByteStream, in_async
from .._engine.forks import FORKS
from .._engine.job import next_piece
from .._exceptions import ReadError, RemoteProtocolError
from .._headers import Headers
from .._request import Request
from .._response import Response
from .._types import AsyncByteStream, SyncByteStream
from .._utils import LOWER
from .base import AsyncBaseTransport, BaseTransport
from .default import _running
from .hosts import host_here

T = TypeVar("T")
S = TypeVar("S", bound="ASGITransport")
R = TypeVar("R", bound="_Run")

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_ASGIApp = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]

# How far the app may be ahead of its reader, in bytes: about what a server's socket would take.
_HIGH_WATER = 65_536
# What a piece counts at least, so that an app that sends single bytes does not fill the memory with objects.
_LEAST = 64
# How many turns of the event loop an app gets to notice that its reader has left...
_TURNS = 10
# ... and for how many seconds it may then clean up, if it did: if it was told so by `receive`.
_GRACE = 1.0


class ASGITransport(AsyncBaseTransport, BaseTransport):
    """
    Answers requests by calling an ASGI application, for tests and for mounting an app beside the network.

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client:
            response = await client.get("/")

    It works on asyncio and trio, and in the sync `Client`. There the app runs on an asyncio loop in a thread of the
    transport's own, which ends when the transport is closed; a test suite that is all sync code is better off with
    Starlette's TestClient.

    The body is streamed both ways, with `client.stream` and with the sync client. Reading it to its end waits until the
    app has returned: background tasks are done then, and what the app raises is raised to the reader. Closing a
    response early makes `receive` return `http.disconnect`; an app that does not return is cancelled, after ten turns
    of the event loop, or a second later if it has got the message. What it raises then goes nowhere. An app that sends
    without pause can therefore be read for a while and left.

    The app sees the caller's context variables, and the async caller sees the app's when the body is read.

    Args:
        app: the application (ASGI 3: one callable with scope, receive, send).
        raise_app_exceptions: let what the app raises through. If False, it becomes a response with status 500; behind
            the head of the response it is too late for that, and the reader gets a RemoteProtocolError, unless the
            response was complete.
        root_path: where the app is mounted, for the scope.
        client: address and port of the client, for the scope.
        lifespan: send the app its startup when the transport, or its client, is opened with `with`, and its shutdown
            when it is closed. The app's `state` is then in the scope of every request.

    ASGI 3.0, HTTP 2.0 and lifespan 2.0 message formats.
    """

    def __init__(
        self,
        app: _ASGIApp,
        raise_app_exceptions: bool = True,
        root_path: str = "",
        client: tuple[str, int] = ("127.0.0.1", 123),
        *,
        lifespan: bool = False,
    ) -> None:
        self.app = app
        self.raise_app_exceptions = raise_app_exceptions
        self.root_path = root_path
        self.client = client
        self.lifespan = lifespan
        self._server = _Server()
        self._portal = _Portal()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_server", "_portal")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._server = _Server()
        self._portal = _Portal()

    # For async clients.

    async def __aenter__(self: S) -> S:
        """
        Start the app's lifespan, if that was asked for.

        Raises:
            RuntimeError: the app says that its startup failed.
            Whatever the app raises before its startup is complete.
        """
        if self.lifespan:
            run = await self._server.start_lifespan(self.app)
            run.check("startup")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def handle_async_request(self, request: Request) -> Response:
        """
        Call the app and return its response as soon as it has sent the head.

        Raises:
            RemoteProtocolError: the app returned without a response.
            ReadError: the transport was closed meanwhile.
            Whatever the app raises, if `raise_app_exceptions` is true.
        """
        if request._whole and type(request.stream) is ByteStream:
            return await self._call_inline(request)
        exchange = await self._server.begin(self.app, self._scope(request, self._server), request.stream)
        body = _AsyncBody(exchange, request, self.raise_app_exceptions)
        # No await between here and the `try`, either.
        try:
            while exchange.asks():
                await body.upload()
                await exchange.answer()
            if exchange.over:
                exchange.adopt_context()
            response = exchange.response(body, self.raise_app_exceptions)
        except BaseException as exc:
            await body.abort(exc)
            raise
        if exchange.status is None:
            await body.aclose()
        return response

    async def _call_inline(self, request: Request) -> Response:
        """`handle_async_request` where all is in memory before and after, so that nobody need run beside the app."""
        exchange = self._server.enter(_Inline(self.app, self._scope(request, self._server), request.stream))
        try:
            await self.app(exchange._scope, exchange.receive, exchange.send)
        except Exception as exc:
            if self.raise_app_exceptions:
                raise
            exchange.error = exc
        finally:
            exchange.finish()
        return exchange.response(_AsyncBody(exchange, request, self.raise_app_exceptions), self.raise_app_exceptions)

    async def aclose(self) -> None:
        """
        End every run of the app in this event loop: that of its lifespan, too.

        Raises:
            RuntimeError: the app says that its shutdown failed.
            Whatever the app raises in its shutdown.
        """
        run = await self._server.aclose()
        if run is not None:
            run.check("shutdown")

    # For sync clients.

    def __enter__(self: S) -> S:
        """Like `__aenter__`."""
        if self.lifespan:
            self._portal.start()
            try:
                self._portal.run(self._portal.server.start_lifespan, self.app).check("startup")
            except BaseException:
                self._portal.close()  # nobody calls `__exit__` when this fails
                raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def handle_request(self, request: Request) -> Response:
        """Like `handle_async_request`, which see; RuntimeError if it is called on the event loop of the app itself."""
        if not isinstance(request.stream, SyncByteStream):
            raise RuntimeError("the body of this request is an async stream, which a sync client cannot send")
        portal = self._portal
        portal.start()
        exchange = portal.run(portal.server.begin, self.app, self._scope(request, portal.server), request.stream)
        body = _SyncBody(portal, exchange, request.stream, self.raise_app_exceptions)
        try:
            while exchange.asks():
                body.upload()
                portal.run(exchange.answer)
            response = exchange.response(body, self.raise_app_exceptions)
        except BaseException:
            body.close()
            raise
        if exchange.status is None:
            body.close()
        return response

    def close(self) -> None:
        """Like `aclose`, and end the thread, too."""
        portal = self._portal
        run: _Lifespan | None = None
        try:
            if portal.started:
                run = portal.run(portal.server.aclose)
        finally:
            portal.close()
        if run is not None:
            run.check("shutdown")

    def _scope(self, request: Request, server: _Server) -> dict[str, Any]:
        url = request.url
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(LOWER[name], value) for name, value in request.headers.raw],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "server": (url.host, url.port),
            "client": self.client,
            "root_path": self.root_path,
        }
        if self.lifespan:
            if server.lifespan is None:
                raise RuntimeError("the app's lifespan was not started: open the client, or its transport, with `with`")
            scope["state"] = server.lifespan.state.copy()
        return scope


class _Run:
    """
    One call of the app, in a task.

    All waiting is done with `until`, and after every change `changed` is called.
    """

    def __init__(self, app: _ASGIApp, scope: _Message) -> None:
        self.host = host_here()
        self.over = False
        self.error: BaseException | None = None
        self.left = False  # is the app to end, because nobody reads any more?
        self.told = False  # does it know that there is nothing more to send?
        self.alive: set[_Run] = set()  # where to sign off
        self.task: Any = None  # what the host needs to cancel it
        self._app = app
        self._scope = scope
        self._waiting: list[Any] = []
        self._before = copy_context()
        self._after: Context | None = None

    async def run(self) -> None:
        """What the task does. Nothing is raised: an exception would end the whole of a trio run."""
        try:
            await self._app(self._scope, self.receive, self.send)
        except BaseException as exc:
            self.error = exc
        finally:
            self._after = copy_context()
            self.finish()

    def finish(self) -> None:
        """The task is over; it may not even have begun."""
        self.over = True
        self.alive.discard(self)
        self.changed()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for a condition."""
        while not condition():
            event = self.host.new_event()
            self._waiting.append(event)
            await event.wait()

    def changed(self) -> None:
        """Let all who wait look again at what they wait for."""
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
        """Make the context variables that the app has set the caller's: it ran inline in 0.28.1."""
        after, self._after = self._after, None
        for var, value in () if after is None else after.items():
            if self._before.get(var, self) is not value:
                var.set(value)

    async def receive(self) -> _Message:
        raise NotImplementedError

    async def send(self, message: _Message) -> None:
        raise NotImplementedError


class _Exchange(_Run):
    """A request and its response, between the app and its reader."""

    def __init__(self, app: _ASGIApp, scope: _Message, stream: AsyncByteStream | SyncByteStream) -> None:
        super().__init__(app, scope)
        self.status: int | None = None
        self.headers = Headers()
        self._is_head = scope["method"] == "HEAD"
        self._complete = False  # has the app sent all of its response?
        self._pieces: deque[bytes] = deque()
        self._untaken = 0
        self._messages: list[_Message] = []  # for the app, the next one last
        self._wanted = False  # does the app wait for a piece of the request's body?
        # A body in memory needs no reader who fetches it.
        self._uploaded = False
        if type(stream) is ByteStream:
            self._uploaded = True
            self._messages += [_request_message(None), _request_message(stream.body)]

    # The app's side.

    async def receive(self) -> _Message:
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
        # Of two who receive at once, one takes the message, and the other has to ask for another one.
        asks_again = not self._wanted and not self._uploaded
        return bool(self._messages) or asks_again or self.left or self._complete

    async def send(self, message: _Message) -> None:
        """
        Take a message of the app's. Messages that are not for us are ignored, and so is everything after the reader
        has left, as ASGI says.

        Raises (in the app):
            RuntimeError: the messages are in the wrong order.
            TypeError: the body is not bytes.
        """
        if not self.left:
            self._take(message)
        # Always a checkpoint: an app that sends without pause would keep everybody else from running.
        await self.host.checkpoint()
        await self.until(lambda: self._untaken < _HIGH_WATER or self.left)

    def _take(self, message: _Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._begin(message)
        elif kind == "http.response.body":
            self._add(message.get("body", b""), message.get("more_body", False))
        self.changed()

    def _begin(self, message: _Message) -> None:
        if self.status is not None:
            raise RuntimeError("the app sent http.response.start a second time")
        self.headers = Headers([(name, value) for name, value in message.get("headers", ())])
        self.status = int(message["status"])

    def _add(self, piece: bytes, more: bool) -> None:
        if self.status is None:
            raise RuntimeError("the app sent http.response.body before http.response.start")
        if self._complete:
            raise RuntimeError("the app sent http.response.body after the end of the body")
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise TypeError(f"the app sent {type(piece).__name__} as a body, expected bytes")
        if piece and not self._is_head:
            self._pieces.append(bytes(piece))
            self._untaken += max(len(piece), _LEAST)
        # After its response an app may have work to do; as with `http.disconnect`, it gets a moment for that.
        self._complete = self.told = not more

    # The reader's side.

    def asks(self) -> bool:
        """After `answer`: does the app want a piece of the request's body before it answers?"""
        return self.status is None and not self.over

    async def answer(self) -> None:
        """Wait for the head, for the end of the app, or until it wants a piece of the request's body."""
        await self.until(lambda: self.status is not None or self.over or self._wanted)

    async def next_piece(self) -> bytes | None:
        """The next piece of the response's body, b"" at the app's end; None if it wants a piece of the request's."""
        await self.until(lambda: self._pieces or self.over or (self._wanted and not self._complete))
        if self._pieces:
            piece = self._pieces.popleft()
            self._untaken -= max(len(piece), _LEAST)
            self.changed()
            return piece
        return b"" if self.over else None

    async def feed(self, piece: bytes | None) -> None:
        """Give the app the next piece of the request's body; None ends it."""
        self._wanted = False
        self._uploaded = piece is None
        self._messages.append(_request_message(piece))
        self.changed()

    def response(self, body: AsyncByteStream | SyncByteStream, raising: bool) -> Response:
        """What the app has answered: 500 if it failed before it did, and `raising` does not say to raise that."""
        if self.status is not None:
            return Response(self.status, headers=self.headers, stream=body)
        try:
            self.check(raising)
        except RemoteProtocolError:
            if raising:
                raise
        return Response(500, stream=ByteStream(b""))

    def check(self, raising: bool) -> None:
        """
        The app is over: was everything well?

        Raises:
            ReadError: it was not waited for.
            RemoteProtocolError: its response was not complete.
            Whatever it raised, if `raising`; what is no Exception in any case.
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

    def check_exit(self) -> None:
        """Raise what is meant for the whole program, if the app was just interrupted by that."""
        error, self.error = self.error, None
        try:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise error
        finally:
            del error


class _Inline(_Exchange):
    """A request and its response where the app runs in its reader's task, and to its end."""

    async def send(self, message: _Message) -> None:
        if not self.left:
            self._take(message)
        # Nobody is let in before that: a cancellation that the app itself causes comes too late for a response that it
        # then sends without waiting. An endless one can be cancelled.
        if self._untaken >= _HIGH_WATER:
            self._untaken = 0
            await self.host.checkpoint()

    async def leave(self) -> None:
        """Tell the app to end, unless it has; its task is its caller's."""
        if not self.over:
            self.left = True
            self.changed()
            for _ in range(_TURNS):
                await self.host.checkpoint()

    async def end(self) -> None:
        """Nothing: see `leave`."""


def _request_message(piece: bytes | None) -> _Message:
    """A piece of the request's body, or its end: the message without a piece, as in 0.28.1."""
    return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}


class _Lifespan(_Run):
    """The app's startup and shutdown."""

    def __init__(self, app: _ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        super().__init__(app, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state})
        self._asked = False
        self._done: list[str] = []
        self._failure: str | None = None

    async def receive(self) -> _Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self.until(lambda: self.left and not self.told)
        self.told = True
        return {"type": "lifespan.shutdown"}

    async def send(self, message: _Message) -> None:
        _, phase, outcome = message["type"].split(".")
        self._done.append(phase)
        if outcome == "failed":
            self._failure = message.get("message", "")
        self.changed()
        await self.host.checkpoint()

    async def start(self) -> None:
        """Wait until the app has started, or will not."""
        try:
            await self.until(lambda: "startup" in self._done or self.over)
        except BaseException:
            await self.end()
            raise
        if self._failure is not None:
            await self.leave()

    async def stop(self) -> None:
        """Ask the app to shut down, and wait for that however long it takes."""
        self.left = True
        self.changed()
        try:
            await self.until(lambda: "shutdown" in self._done or self.over)
            await self.leave()
        finally:
            await self.end()

    def check(self, phase: str) -> None:
        """
        Has the app done what it was asked for? One that returns at once, without a word, has no lifespan.

        Raises:
            RuntimeError: it says no.
            Whatever it raised.
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


class _Server:
    """The runs of an app that are alive. All is done on the event loop of the run in question."""

    def __init__(self) -> None:
        self.lifespan: _Lifespan | None = None
        # The event loop keeps no task that waits; whoever began it has to.
        self._alive: set[_Run] = set()

    async def begin(self, app: _ASGIApp, scope: _Message, stream: AsyncByteStream | SyncByteStream) -> _Exchange:
        """Begin to answer a request, whose body is `stream`, and wait as `answer` does."""
        exchange = _Exchange(app, scope, stream)
        # No await between here and the `try`: a cancellation in between would leave the app alone.
        self._spawn(exchange)
        try:
            await exchange.answer()
        except BaseException:
            await exchange.end()
            raise
        return exchange

    def _spawn(self, run: _Run) -> None:
        self.enter(run).host.spawn(run)

    def enter(self, run: R) -> R:
        """Count a run among those that are alive."""
        run.alive = self._alive
        self._alive.add(run)
        return run

    async def start_lifespan(self, app: _ASGIApp) -> _Lifespan:
        """Start the app, unless that was done: two clients may share a transport."""
        run = self.lifespan
        if run is None or run.over or run.host.home is not _running():
            run = _Lifespan(app)
            self._spawn(run)
            await run.start()
            self.lifespan = run
        return run

    async def aclose(self) -> _Lifespan | None:
        """End the runs of this event loop, and return that of the lifespan. Those of other loops end with them."""
        home = _running()
        lifespan = self.lifespan
        if lifespan is not None and lifespan.host.home is not home:
            lifespan = None
        runs = [run for run in self._alive if run is not lifespan and run.host.home is home]
        try:
            for run in runs:
                await run.leave()
        finally:
            # If this was cancelled, not all have been left.
            for run in runs:
                await run.end()
            if lifespan is not None:
                self.lifespan = None
                await lifespan.stop()
        return lifespan


class _AsyncBody(AsyncByteStream):
    """The body of a response, sent by the app while it is read."""

    def __init__(self, exchange: _Exchange, request: Request, raising: bool) -> None:
        self._exchange = exchange
        self._request = request
        self._raising = raising
        self._upload: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            while True:
                piece = await self._exchange.next_piece()
                if piece:
                    return piece
                if piece is not None:
                    break
                await self.upload()
        except BaseException as exc:
            await self.abort(exc)
            raise
        await self._finish_upload()
        self._exchange.adopt_context()
        self._exchange.check(self._raising)
        raise StopAsyncIteration

    async def upload(self) -> None:
        """Give the app a piece of the request's body."""
        if self._upload is None:
            self._upload = in_async(self._request.stream).__aiter__()
        piece = await next_piece(self._upload)
        if piece is None:
            self._upload = None
        await self._exchange.feed(piece)

    async def abort(self, exc: BaseException) -> None:
        """The reader failed, or is cancelled: then the app is, too, without further ado."""
        try:
            await (self._exchange.leave() if isinstance(exc, Exception) else self._exchange.end())
        finally:
            await self._finish_upload()

    async def aclose(self) -> None:
        try:
            await self._exchange.leave()
        finally:
            await self._finish_upload()
        self._exchange.check_exit()

    async def _finish_upload(self) -> None:
        # A generator that is not used up would stay suspended, with whatever it holds open.
        upload, self._upload = self._upload, None
        if upload is not None:
            if hasattr(upload, "aclose"):
                await upload.aclose()
            await in_async(self._request.stream).aclose()


# The sync side.


class _Worker:
    """
    A thread with an asyncio loop.

    A daemon, so that a program may end without closing it.
    """

    def __init__(self) -> None:
        self.ended = False
        self._lock = Lock()
        self._pending: set[Future[Any]] = set()
        ready: Future[tuple[Any, Any]] = Future()
        self._thread = Thread(target=self._live, args=(ready,), name="httpx.ASGITransport", daemon=True)
        self._thread.start()
        self.loop, self._stop = ready.result()

    def _live(self, ready: Future[tuple[Any, Any]]) -> None:
        """What the thread does."""
        import asyncio

        async def main() -> None:
            stop = asyncio.Event()
            ready.set_result((asyncio.get_running_loop(), stop))
            try:
                await stop.wait()
            finally:
                with self._lock:
                    self.ended = True

        try:
            asyncio.run(main())
        except BaseException as exc:
            # A task of the app's own that raises SystemExit ends the loop.
            if not ready.done():
                ready.set_exception(exc)
        for future in list(self._pending):
            # What was begun too late for `asyncio.run` to cancel it.
            if not future.done():
                future.set_exception(CancelledError())

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """
        The result of an async function, in the caller's context.

        Raises:
            RuntimeError: this is the thread itself, which cannot wait for itself.
            ReadError: the loop has ended, or ends.
            Whatever the function raises.
        """
        import asyncio

        if self._thread is current_thread():
            raise RuntimeError("the ASGI app waits for a request to itself on the event loop that it runs on")
        with self._lock:
            if self.ended:
                raise ReadError("the event loop of the ASGI app has ended")
            coroutine = function(*args)
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
            self._pending.add(future)
        try:
            return future.result()
        except CancelledError:
            raise ReadError("the event loop of the ASGI app ended before the app had answered") from None
        except BaseException:
            future.cancel()  # does nothing if the exception is its own
            raise
        finally:
            self._pending.discard(future)

    def end(self) -> None:
        """End the thread, and wait for that."""
        with self._lock:
            if not self.ended:
                self.ended = True
                self.loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not current_thread():  # the garbage collector may call this anywhere
            self._thread.join()


class _Portal:
    """
    A worker, started when it is needed, and ended with the portal at the latest, also when nobody closes that.

    A forked child, which has no such thread, gets another one.
    """

    def __init__(self) -> None:
        self.server = _Server()
        self._lock = Lock()
        self._worker: _Worker | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        FORKS.watch(self)

    @property
    def started(self) -> bool:
        """Is there a worker?"""
        return self._worker is not None and not self._worker.ended

    def start(self) -> None:
        """Begin a worker, unless there is one."""
        with self._lock:
            if not self.started:
                self._worker = _Worker()
                self._finalizer = weakref.finalize(self, self._worker.end)

    def owns(self, run: _Run) -> bool:
        """Is this a run of the worker that there is now?"""
        worker = self._worker
        return worker is not None and not worker.ended and run.host.home is worker.loop

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """See `_Worker.run`."""
        worker = self._worker
        if worker is None:
            raise ReadError("the transport was closed")
        return worker.run(function, *args)

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            finalizer, self._finalizer, self._worker = self._finalizer, None, None
        if finalizer is not None:
            finalizer()

    def forget(self) -> None:
        """In a forked child."""
        if self._worker is not None and self._finalizer is not None:
            self._finalizer.detach()
            _FORGOTTEN.append(self._worker)
        self._worker = self._finalizer = None
        self._lock = Lock()
        self.server = _Server()


# In a forked child: their loops cannot be closed, as they seem to run, and would complain when they are collected.
_FORGOTTEN: list[_Worker] = []


class _SyncBody(SyncByteStream):
    """Like `_AsyncBody`, from outside the app's event loop."""

    def __init__(self, portal: _Portal, exchange: _Exchange, stream: SyncByteStream, raising: bool) -> None:
        self._portal = portal
        self._exchange = exchange
        self._stream = stream
        self._raising = raising
        self._upload: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            while self._portal.owns(self._exchange):
                piece = self._portal.run(self._exchange.next_piece)
                if piece:
                    return piece
                if piece is not None:
                    break
                self.upload()
            else:
                raise ReadError("the event loop that the ASGI app ran on has ended, or belongs to a parent process")
        except BaseException:
            self.close()
            raise
        self._finish_upload()
        self._exchange.check(self._raising)
        raise StopIteration

    def upload(self) -> None:
        """Give the app a piece of the request's body, made in the caller's thread."""
        if self._upload is None:
            self._upload = iter(self._stream)
        piece = next(self._upload, None)
        if piece is None:
            self._upload = None
        self._portal.run(self._exchange.feed, piece)

    def close(self) -> None:
        try:
            if not self._exchange.over and self._portal.owns(self._exchange):
                self._portal.run(self._exchange.leave)
        finally:
            self._finish_upload()
        self._exchange.check_exit()

    def _finish_upload(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            if hasattr(upload, "close"):
                upload.close()
            self._stream.close()
