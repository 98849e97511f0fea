"""
WebSockets of ASGI applications: messages instead of bytes, so there are no frames, no masks and no pings.

    Conversation       one call of an app for a WebSocket: a `Run`
    AsyncConversation  the channel of an async session
    SyncConversation   the channel of a sync session, which asks the app's event loop
    begin              start the call, and wait until the app has accepted or refused

The app is told what a server would tell it: websocket.connect, then the messages, then websocket.disconnect. It may be
512 messages or 1 MiB ahead of its reader.

Not here: the calls of apps in general (`asgi_run`), the transport (`asgi`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from .._engine.loops import Signals, now
from .._engine.websocket.common import until_of
from .._engine.websocket.pairs import AsyncAnsweredPong, SyncAnsweredPong, checked_close, checked_message
from .._exceptions import ReadTimeout
from .._headers import Headers
from .._protocol.websocket import ABNORMAL, NO_CODE, NORMAL
from .._response import Response
from .._types import AsyncByteStream, SyncByteStream
from .._urlparse import WEBSOCKET_SCHEMES
from .._websocket_exceptions import WebSocketDisconnect, WebSocketException, WebSocketNetworkError, WebSocketTimeout
from .asgi import ASGITransport
from .asgi_portal import Portal
from .asgi_run import ASGIApp, Message, Run, Server

MAX_MESSAGES = 512
MAX_WAITING = 1_048_576
# Bytes of a refusal's body that are kept.
MAX_REFUSAL = 65_536


def websocket_scope(scope: dict[str, Any], headers: Headers) -> dict[str, Any]:
    """Return the scope of a WebSocket, made of that of its request."""
    del scope["method"]
    offered = headers.get("sec-websocket-protocol", "")
    return {
        **scope,
        "type": "websocket",
        "scheme": WEBSOCKET_SCHEMES.get(scope["scheme"], scope["scheme"]),
        "subprotocols": [name.strip() for name in offered.split(",") if name.strip()],
        "extensions": {"websocket.http.response": {}},
    }


class Conversation(Run):
    """
    One call of an app for a WebSocket, and the channel of its session; without waiting for threads.

    Args:
        raising: raise the app's exceptions from `receive`.

    Attributes:
        messages: of the app, not received yet.
        accepted: the app's websocket.accept; None before it.
        refusal: status, headers and body of a response instead of a WebSocket; None without one.
    """

    def __init__(self, app: ASGIApp, scope: Message, raising: bool) -> None:
        super().__init__(app, scope)
        self.messages: deque[str | bytes] = deque()
        self.accepted: Message | None = None
        self.refusal: tuple[int, Headers, bytes] | None = None
        self.close_code: int | None = None
        self.close_reason = ""
        self._raising = raising
        self._by_peer = False
        self._said: deque[Message] = deque([{"type": "websocket.connect"}])  # for the app
        self._waiting_bytes = 0
        self._denial: tuple[int, Headers, list[bytes]] | None = None  # not complete
        self._receives = False
        self._signals = Signals()

    def changed(self) -> None:
        """Wake all waiters, those with a time limit, too."""
        super().changed()
        self._signals.wake()

    # The app's side.

    async def receive(self) -> Message:
        await self.until(lambda: self._said or self.left)
        if self._said:
            message = self._said.popleft()
            self.changed()  # the session may wait until it is taken
        else:
            message = {"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""}
        self.told = self.told or message["type"] == "websocket.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """
        Take a message from the app. After the session was closed they are ignored.

        Raises (in the app):
            RuntimeError: it is not the turn of this message.
        """
        kind = message["type"]
        if self.close_code is None and not self.left:
            if kind == "websocket.accept" and self.accepted is None and self._denial is None:
                self.accepted = message
            elif kind == "websocket.close":
                self._close(message)
            elif kind == "websocket.send" and self.accepted is not None:
                self._add(message)
            elif kind.startswith("websocket.http.response.") and self.accepted is None:
                self._deny(message)
            else:
                raise RuntimeError(f"the app sent {kind} {'before' if self.accepted is None else 'after'} its accept")
            self.changed()
        # Always a checkpoint: an app that sends without pause would keep other tasks from running.
        await self.host.checkpoint()
        await self.until(lambda: not self._is_full() or self.left or self.close_code is not None)

    def _is_full(self) -> bool:
        if not self.messages:
            self._waiting_bytes = 0
        return len(self.messages) >= MAX_MESSAGES or self._waiting_bytes >= MAX_WAITING

    def _add(self, message: Message) -> None:
        text, data = message.get("text"), message.get("bytes")
        found = data if text is None else text
        if found is None:
            raise RuntimeError("the app sent websocket.send without text and without bytes")
        self._waiting_bytes += len(found)
        self.messages.append(found)

    def _close(self, message: Message) -> None:
        if self.accepted is None:
            self.refusal = 403, Headers(), b""
        else:
            code = message.get("code")
            self.close_code, self._by_peer = NORMAL if code is None else code, True
            self.close_reason = message.get("reason") or ""
            self._said.append({"type": "websocket.disconnect", "code": self.close_code, "reason": self.close_reason})

    def _deny(self, message: Message) -> None:
        if message["type"] == "websocket.http.response.start":
            headers = Headers([(name, value) for name, value in message.get("headers", ())])
            self._denial = message["status"], headers, []
        elif self._denial is None:
            raise RuntimeError("the app sent websocket.http.response.body before websocket.http.response.start")
        else:
            status, headers, pieces = self._denial
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                self.refusal = status, headers, b"".join(pieces)[:MAX_REFUSAL]

    # The session's side: a channel.

    @property
    def is_over(self) -> bool:
        """Return whether the WebSocket has ended."""
        return self.close_code is not None or self.over

    def outcome(self) -> BaseException:
        """Return what to raise when all messages were received: the app's own exception, if it failed."""
        error, self.error = self.error, None
        try:
            if self.close_code is not None:
                return WebSocketDisconnect(self.close_code, self.close_reason, by_peer=self._by_peer)
            if error is not None and (self._raising or not isinstance(error, Exception)):
                return error
            problem = "returned" if error is None else f"failed with {type(error).__name__}"
            return WebSocketNetworkError(f"the ASGI app {problem} without a websocket.close")
        finally:
            del error  # a traceback that holds its own frame lives until the next garbage collection

    async def opened(self, timeout: float | None) -> None:
        """
        Wait until the app has accepted or refused.

        Raises:
            ReadTimeout: it did neither in time.
            WebSocketNetworkError: it returned.
            Its exception.
        """
        until = until_of(timeout, now())
        while self.accepted is None and self.refusal is None:
            if self.over:
                raise self.outcome()
            if not await self._signals.wait(until):
                raise ReadTimeout(f"the ASGI app did not accept the WebSocket within {timeout or 0:g} s")

    async def say(self, message: Any) -> None:
        """Give the app a message. Raises WebSocketException, TypeError, LocalProtocolError."""
        if self.is_over:
            raise self.outcome()
        message = checked_message(message)
        kind = "text" if isinstance(message, str) else "bytes"
        self._said.append({"type": "websocket.receive", kind: message})
        self.changed()
        await self.host.checkpoint()
        await self.until(lambda: len(self._said) < MAX_MESSAGES or self.is_over)

    async def hear(self, timeout: float | None) -> str | bytes:
        """Return the app's next message; see `AsyncioChannel.receive`."""
        if self._receives:
            raise RuntimeError("another task is receiving from this WebSocket")
        until = until_of(timeout, now())
        self._receives = True
        try:
            self.changed()  # the app may wait until all messages were taken
            while not self.messages:
                if self.is_over:
                    raise self.outcome()
                if not await self._signals.wait(until):
                    raise WebSocketTimeout(f"no message arrived within {timeout or 0:g} s")
        finally:
            self._receives = False
        return self.messages.popleft()

    async def bye(self, code: int, reason: str | None) -> None:
        """Tell the app that the session is closed, and wait until it has ended; it is cancelled if it does not."""
        checked_close(code, reason)
        self.give_up(code, reason or "")
        await self.leave()

    def give_up(self, code: int, reason: str = "") -> None:
        """Tell the app that the session is closed."""
        if not self.is_over:
            self.close_code, self.close_reason = code, reason
            self._said.append({"type": "websocket.disconnect", "code": code or NO_CODE, "reason": reason})
        self.changed()

    async def leave(self) -> None:
        """Let the app read what it was told, and end it if it does not return."""
        for _ in range(len(self._said)):
            if not self.over:
                await self.host.checkpoint()
        await super().leave()


class ConversationChannel:
    """What the channels of async and sync sessions with an app have in common."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.messages = conversation.messages

    @property
    def is_over(self) -> bool:
        """Return whether the WebSocket has ended."""
        return self.conversation.is_over

    @property
    def close_code(self) -> int | None:
        """Return the code that the WebSocket was closed with, None while it is open."""
        code = self.conversation.close_code
        return ABNORMAL if code is None and self.is_over else code

    @property
    def close_reason(self) -> str:
        """Return the reason that the WebSocket was closed with."""
        return self.conversation.close_reason

    def check(self) -> None:
        """Raise if the WebSocket has ended."""
        if self.is_over:
            raise self.conversation.outcome()


class AsyncConversation(ConversationChannel):
    """The channel of an async session with an app, in the event loop of both."""

    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation)
        self.send = conversation.say
        self.receive = conversation.hear
        self.close = conversation.bye
        self.give_up = conversation.give_up

    async def ping(self, payload: bytes) -> AsyncAnsweredPong:
        """Return a pong. Raises WebSocketException."""
        self.check()
        return AsyncAnsweredPong()


class SyncConversation(ConversationChannel):
    """The channel of a sync session with an app, whose event loop runs in another thread."""

    def __init__(self, conversation: Conversation, portal: Portal) -> None:
        super().__init__(conversation)
        self._portal = portal

    def send(self, message: Any) -> None:
        """Give the app a message."""
        self._portal.run(self.conversation.say, message)

    def receive(self, timeout: float | None) -> str | bytes:
        """Return the app's next message."""
        return self._portal.run(self.conversation.hear, timeout)

    def close(self, code: int, reason: str | None) -> None:
        """Tell the app that the session is closed, and wait until it has ended."""
        self._portal.run(self.conversation.bye, code, reason)

    def give_up(self, code: int) -> None:
        """Tell the app that the session is closed."""

        async def give_up() -> None:
            self.conversation.give_up(code)

        self._portal.run(give_up)

    def ping(self, payload: bytes) -> SyncAnsweredPong:
        """Return a pong. Raises WebSocketException."""
        self.check()
        return SyncAnsweredPong()


class Ending(AsyncByteStream, SyncByteStream):
    """The body of the response that opened a WebSocket: empty, and its end is that of the app."""

    def __init__(self, conversation: Conversation, portal: Portal | None) -> None:
        self._conversation = conversation
        self._portal = portal

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    def close(self) -> None:
        if self._portal is not None and self._portal.owns(self._conversation):
            self._portal.run(self._conversation.leave)

    async def aclose(self) -> None:
        await self._conversation.leave()


async def begin(server: Server, conversation: Conversation, timeout: float | None) -> None:
    """
    Start the call of an app and wait until it has accepted or refused.

    Raises:
        ReadTimeout: it did neither in time.
        WebSocketException: it returned.
        Its exception.
    """
    server.spawn(conversation)
    # No await between here and the `try`: a cancellation in between would leave the app running.
    try:
        await conversation.opened(timeout)
        if conversation.accepted is None:
            await conversation.leave()
    except BaseException as exc:
        await (conversation.leave() if isinstance(exc, WebSocketException) else conversation.end())
        raise


def response_of(conversation: Conversation, portal: Portal | None = None) -> Response:
    """Return the response that opens or refuses a WebSocket, of an app in the portal's thread if there is one."""
    if conversation.refusal is not None:
        status, headers, body = conversation.refusal
        return Response(status, headers=headers, content=body)
    accepted = conversation.accepted
    assert accepted is not None
    headers = Headers([(name, value) for name, value in accepted.get("headers") or ()])
    if accepted.get("subprotocol"):
        headers["Sec-WebSocket-Protocol"] = accepted["subprotocol"]
    channel = AsyncConversation(conversation) if portal is None else SyncConversation(conversation, portal)
    return Response(101, headers=headers, stream=Ending(conversation, portal), extensions={"websocket": channel})


class ASGIWebSocketTransport(ASGITransport):
    """
    An `ASGITransport` that does not wait for ever for an app to accept a WebSocket; httpx-ws's name.

    Args:
        initial_receive_timeout: seconds in which the app must accept or refuse; None for no limit.
        app, raise_app_exceptions, root_path, client, lifespan: as for `ASGITransport`.
    """

    def __init__(
        self,
        app: ASGIApp,
        raise_app_exceptions: bool = True,
        root_path: str = "",
        client: tuple[str, int] = ("127.0.0.1", 123),
        initial_receive_timeout: float | None = 1.0,
        *,
        lifespan: bool = False,
    ) -> None:
        super().__init__(app, raise_app_exceptions, root_path, client, lifespan=lifespan)
        self.initial_receive_timeout = initial_receive_timeout
