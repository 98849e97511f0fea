"""
Transports that call an ASGI application instead of the network, for async and sync clients.

    handle_async_request ─┐                       ┌─ send     the app, in a task of its own
    iterating the body   ─┼─ Exchange (a state) ──┤
    closing it           ─┘                       └─ receive

The app runs as it would under a server: at the same time as the reader of its response, at most 64 KiB ahead. One
difference helps tests: the body ends when the app has returned, so that its work after the response is done, and its
exceptions are raised, before `client.get` returns.

If an async client reads the whole response, and the request's body is in memory, the app runs in the caller's task, as
in 0.28.1: a cancellation reaches it directly, with its scopes and shields.

The reader also fetches the pieces of a streamed request body when the app asks for them: a generator runs in the task
or thread that it came from, and its exceptions never pass through the app. While the response's body is not read, the
app gets no more of the request.

No task is left running: it ends before the call that closes it returns. On trio the app runs in a system task, because
a response outlives the call that made it, and a nursery does not.

Only the total timeout has a meaning without a network: the client bounds async calls and cancels them (`deadlines`);
sync calls, whose app runs in another thread, are bounded here.

Not here: the start and end of tasks (`hosts`); WebSockets (`asgi_websocket`, which is loaded when one is opened).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from .._content import ByteStream, in_async
from .._engine.job import next_piece
from .._exceptions import ReadError, ReadTimeout
from .._request import Request
from .._response import Response
from .._types import AsyncByteStream, SyncByteStream
from .._utils import LOWER, install_old_names
from .asgi_portal import PATIENCE, Portal
from .asgi_run import ASGIApp, Exchange, Inline, Lifespan, Server
from .base import AsyncBaseTransport, BaseTransport

S = TypeVar("S", bound="ASGITransport")


class ASGITransport(AsyncBaseTransport, BaseTransport):
    """
    A transport that calls an ASGI application, for tests and for mounting an app beside the network.

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client:
            response = await client.get("/")

    It works on asyncio and trio, and in the sync `Client`. There the app runs on an asyncio loop in the transport's own
    thread, which ends when the transport is closed; for a test suite of sync code only, Starlette's TestClient is a
    better choice.

    The body is streamed both ways, with `client.stream` and with the sync client. Reading it to its end waits until the
    app has returned: background tasks are done then, and an exception of the app is raised to the reader. Closing a
    response early makes `receive` return `http.disconnect`; an app that does not return is cancelled, after ten turns
    of the event loop, or after one second if it has received the message. Its exceptions are then dropped. So an
    endless response can be read for a while and closed.

    The app may send trailers (`http.response.trailers`), which `response.trailers` has when the body is read.

    The app sees the caller's context variables, and the async caller sees the app's when the body is read.

    Args:
        app: the application (ASGI 3: one callable with scope, receive, send).
        raise_app_exceptions: raise the app's exceptions. If False, one becomes a response with status 500; after the
            head of the response it is too late for that, and the reader gets RemoteProtocolError, unless the response
            was complete.
        root_path: where the app is mounted, for the scope.
        client: address and port of the client, for the scope.
        lifespan: send the startup event when the transport, or its client, is opened with `with`, and the shutdown
            event when it is closed. The app's `state` is then in the scope of every request.

    ASGI 3.0, HTTP 2.0 and lifespan 2.0 message formats.
    """

    # Seconds in which an app must accept a WebSocket, or refuse it.
    initial_receive_timeout: float | None = None

    def __init__(
        self,
        app: ASGIApp,
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
        self._server = Server()
        self._portal = Portal()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_server", "_portal")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._server = Server()
        self._portal = Portal()

    # For async clients.

    async def __aenter__(self: S) -> S:
        """
        Start the app's lifespan, if `lifespan` is true.

        Raises:
            RuntimeError: the app reported that its startup failed.
            Any exception of the app before its startup is complete.
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
            Any exception of the app, if `raise_app_exceptions` is true.
        """
        if "websocket" in request.extensions:
            return await self._converse(request)
        if request._whole and type(request.stream) is ByteStream:
            return await self._call_inline(request)
        exchange = await self._server.begin(self.app, self._scope(request, self._server), request.stream)
        body = _AsyncBody(exchange, request, self.raise_app_exceptions)
        # No await between here and the `try`, either.
        try:
            while exchange.asks():
                await body.upload()
                await exchange.respond()
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
        """Return the response of an app in the caller's task, where both bodies are in memory."""
        exchange = self._server.enter(Inline(self.app, self._scope(request, self._server), request.stream))
        try:
            await self.app(exchange._scope, exchange.receive, exchange.send)
        except Exception as exc:
            if self.raise_app_exceptions:
                raise
            exchange.error = exc
        finally:
            exchange.finish()
        return exchange.response(_AsyncBody(exchange, request, self.raise_app_exceptions), self.raise_app_exceptions)

    async def _converse(self, request: Request) -> Response:
        """Return the response to the opening handshake of a WebSocket."""
        from . import asgi_websocket

        scope = asgi_websocket.websocket_scope(self._scope(request, self._server), request.headers)
        conversation = asgi_websocket.Conversation(self.app, scope, self.raise_app_exceptions)
        await asgi_websocket.begin(self._server, conversation, self.initial_receive_timeout)
        return asgi_websocket.response_of(conversation)

    async def aclose(self) -> None:
        """
        End all runs of the app in this event loop, including its lifespan.

        Raises:
            RuntimeError: the app reported that its shutdown failed.
            Any exception of the app in its shutdown.
        """
        run = await self._server.aclose()
        if run is not None:
            run.check("shutdown")

    # For sync clients.

    def __enter__(self: S) -> S:
        """Start the app's lifespan like `__aenter__`."""
        if self.lifespan:
            self._portal.start()
            try:
                self._portal.run(self._portal.server.start_lifespan, self.app).check("startup")
            except BaseException:
                self._portal.close()  # `__exit__` is not called when this fails
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
        """
        Send a request like `handle_async_request`.

        Raises:
            ReadTimeout: the request's total timeout has passed.
            RuntimeError: it was called on the event loop of the app itself.
        """
        if not isinstance(request.stream, SyncByteStream):
            raise RuntimeError("the body of this request is an async stream, which a sync client cannot send")
        portal = self._portal
        portal.start()
        total = request.extensions.get("timeout", {}).get("total")
        deadline = None if total is None else monotonic() + total
        if "websocket" in request.extensions:
            return self._converse_in(portal, request, deadline)
        exchange = portal.run(
            portal.server.begin, self.app, self._scope(request, portal.server), request.stream, deadline=deadline
        )
        body = _SyncBody(portal, exchange, request.stream, self.raise_app_exceptions, deadline)
        try:
            while exchange.asks():
                body.upload()
                portal.run(exchange.respond, deadline=deadline)
            response = exchange.response(body, self.raise_app_exceptions)
        except BaseException:
            body.close()
            raise
        if exchange.status is None:
            body.close()
        return response

    def _converse_in(self, portal: Portal, request: Request, deadline: float | None) -> Response:
        """Return the response to the opening handshake of a WebSocket; the app runs in the portal's thread."""
        from . import asgi_websocket

        scope = asgi_websocket.websocket_scope(self._scope(request, portal.server), request.headers)

        async def begin() -> asgi_websocket.Conversation:
            conversation = asgi_websocket.Conversation(self.app, scope, self.raise_app_exceptions)
            await asgi_websocket.begin(portal.server, conversation, self.initial_receive_timeout)
            return conversation

        conversation = portal.run(begin, deadline=deadline)
        return asgi_websocket.response_of(conversation, portal)

    def close(self) -> None:
        """End all runs of the app like `aclose`, and end the thread."""
        portal = self._portal
        run: Lifespan | None = None
        try:
            if portal.started:
                run = portal.run(portal.server.aclose)
        finally:
            portal.close()
        if run is not None:
            run.check("shutdown")

    def _scope(self, request: Request, server: Server) -> dict[str, Any]:
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
            "extensions": {"http.response.trailers": {}},
        }
        if self.lifespan:
            if server.lifespan is None:
                raise RuntimeError("the app's lifespan was not started: open the client, or its transport, with `with`")
            scope["state"] = server.lifespan.state.copy()
        return scope


class _AsyncBody(AsyncByteStream):
    """The body of a response, sent by the app while it is read."""

    def __init__(self, exchange: Exchange, request: Request, raising: bool) -> None:
        self._exchange = exchange
        self._request = request
        self._raising = raising
        self.extensions: dict[str, Any] = {}  # of the response, for the trailers
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
        self._exchange.annotate(self.extensions)
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
        """Cancel the app at once, because its reader failed or was cancelled."""
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
        # A generator that is not read to its end would stay suspended, with the resources that it holds.
        upload, self._upload = self._upload, None
        if upload is not None:
            if hasattr(upload, "aclose"):
                await upload.aclose()
            await in_async(self._request.stream).aclose()


class _SyncBody(SyncByteStream):
    """The body of a response, read from outside the app's event loop."""

    def __init__(
        self, portal: Portal, exchange: Exchange, stream: SyncByteStream, raising: bool, deadline: float | None
    ) -> None:
        self._portal = portal
        self._deadline = deadline  # of the total timeout, in the time of `time.monotonic`
        self._exchange = exchange
        self._stream = stream
        self._raising = raising
        self.extensions: dict[str, Any] = {}  # of the response, for the trailers
        self._upload: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            while self._portal.owns(self._exchange):
                piece = self._portal.run(self._exchange.next_piece, deadline=self._deadline)
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
        self._exchange.annotate(self.extensions)
        raise StopIteration

    def upload(self) -> None:
        """Give the app a piece of the request's body, from the caller's thread."""
        if self._upload is None:
            self._upload = iter(self._stream)
        piece = next(self._upload, None)
        if piece is None:
            self._upload = None
        self._portal.run(self._exchange.feed, piece, deadline=self._deadline)

    def close(self) -> None:
        try:
            if not self._exchange.over and self._portal.owns(self._exchange):
                if self._deadline is not None and monotonic() >= self._deadline:
                    # The app may block its event loop, or swallow the cancellation.
                    with suppress(ReadTimeout):
                        self._portal.run(self._exchange.end, deadline=monotonic() + PATIENCE)
                else:
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


ASGITransport.__module__ = "httpx"  # as `httpx` does for modules that it loads at once
install_old_names("_transports.asgi")
