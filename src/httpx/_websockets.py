"""
WebSockets as callers see them.

    WebSocketConnector    what `client.websocket()` returns: `with` opens one session, `for` one after the other
    WebSocketSession      one open WebSocket
    pair                  two sessions that are connected with each other, for tests

`AsyncWebSocketConnector` and `AsyncWebSocketSession` are twins of them, written by hand: a test strips `async` and
`await` and compares.

    client.websocket(url) ─► connector ─► request ─► client.send (the whole journey) ─► accept ─► channel ─► session

A session adds to its channel (`_engine.websocket`, or what a transport gives as the extension "websocket") only what
needs no waiting: kinds of messages, JSON, iteration.

Not here: frames (`_protocol.websocket`), what the handshake says (`_protocol.opening`), waiting (`_engine.websocket`).
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from random import random
from time import monotonic, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Literal, Optional, Union

from ._config import whole_number
from ._engine.loops import sleep as asleep
from ._engine.websocket import async_channel, sync_channel
from ._engine.websocket.common import Timing
from ._engine.websocket.foreign import MessageChannel
from ._engine.websocket.pairs import async_ends, sync_ends
from ._exceptions import LocalProtocolError, TransportError
from ._headers import Headers
from ._protocol.deflate import Deflate
from ._protocol.opening import NONCE_SIZE, OWN_NAMES, Agreement, BadOpening, Opening
from ._protocol.websocket import GOING_AWAY, NO_CODE, NORMAL, WebSocketMachine
from ._reconnect import Attempts
from ._subscription import Reconnect
from ._urlparse import PAGE_SCHEMES, WEBSOCKET_SCHEMES
from ._urls import URL, url_of
from ._websocket_exceptions import (
    WebSocketDisconnect,
    WebSocketInvalidTypeReceived,
    WebSocketUpgradeError,
)

if TYPE_CHECKING:
    from ._client import AsyncClient, Client
    from ._request import Request
    from ._response import Response

Message = Union[str, bytes]
Sendable = Union[str, bytes, bytearray, memoryview]
JSONMode = Literal["text", "binary"]

Prepare = Callable[["Request"], Optional["Request"]]

DEFAULT_MAX_MESSAGE_SIZE = 16_777_216
DEFAULT_QUEUE_SIZE = 512
DEFAULT_PING_INTERVAL = 20.0
DEFAULT_PING_TIMEOUT = 20.0
DEFAULT_CLOSE_TIMEOUT = 10.0

_SENDABLE = (str, bytes, bytearray, memoryview)

# Bytes of a refusal's body that are read for the exception.
_MAX_REFUSAL = 65_536

# Codes of a Close after which an iteration over messages just ends. One without a code is what browsers send.
_NORMAL_CODES = frozenset((NORMAL, GOING_AWAY, NO_CODE))


# One for all sessions: thousands of them may be open.
_USUALLY = Reconnect()


class WebSocketOptions:
    """The options of a session, checked; see `Client.websocket`."""

    __slots__ = (
        *("close_timeout", "deflate", "max_message_size", "ping_interval", "ping_timeout", "queue_size"),
        *("reconnect", "subprotocols"),
    )

    def __init__(
        self,
        *,
        subprotocols: Sequence[str] | None = None,
        max_message_size_bytes: int | None = DEFAULT_MAX_MESSAGE_SIZE,
        queue_size: int = DEFAULT_QUEUE_SIZE,
        keepalive_ping_interval_seconds: float | None = DEFAULT_PING_INTERVAL,
        keepalive_ping_timeout_seconds: float | None = DEFAULT_PING_TIMEOUT,
        compression: bool | Deflate = False,
        close_timeout: float | None = DEFAULT_CLOSE_TIMEOUT,
        reconnect: Reconnect | None = None,
    ) -> None:
        if isinstance(subprotocols, str):
            raise TypeError("subprotocols must be a list of str, got str")
        self.subprotocols = tuple(name.encode() for name in subprotocols or ())
        if max_message_size_bytes is not None:
            whole_number("max_message_size_bytes", max_message_size_bytes, 0)
        self.max_message_size = max_message_size_bytes
        self.queue_size = whole_number("queue_size", queue_size, 1)
        self.deflate = compression if isinstance(compression, Deflate) else Deflate() if compression else None
        self.ping_interval = _seconds("keepalive_ping_interval_seconds", keepalive_ping_interval_seconds)
        self.ping_timeout = _seconds("keepalive_ping_timeout_seconds", keepalive_ping_timeout_seconds)
        self.close_timeout = _seconds("close_timeout", close_timeout)
        if reconnect is not None and not isinstance(reconnect, Reconnect):
            raise TypeError(f"reconnect must be a Reconnect, got {type(reconnect).__name__}")
        self.reconnect = _USUALLY if reconnect is None else reconnect

    def opening(self) -> Opening:
        """Return a new opening handshake. Raises LocalProtocolError for a subprotocol that is not a token."""
        return Opening(os.urandom(NONCE_SIZE), self.subprotocols, self.deflate)

    def machine(self, agreement: Agreement) -> WebSocketMachine:
        """Return the machine for a WebSocket that was agreed on."""
        return WebSocketMachine(agreement.codec, max_message_size=self.max_message_size, max_messages=self.queue_size)

    def timing(self, request: Request) -> Timing:
        """Return the time limits of the session that a request has opened."""
        timeout = request.extensions.get("timeout") or {}
        return Timing(timeout.get("write"), self.close_timeout, self.ping_interval, self.ping_timeout)


def _seconds(name: str, value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
        raise ValueError(f"{name} must be a positive number of seconds or None, got {value!r:.40}")
    seconds: float | None = value
    return seconds


# Opening.


def opening_request(client: Any, url: URL | str, opening: Opening, options: Mapping[str, Any]) -> Request:
    """
    Return the request of an opening handshake, for `client.send`.

    Args:
        client: merges its own settings.
        url: with the scheme ws, wss, http or https, or relative to the client's `base_url`.
        options: as for `build_request`.

    Raises:
        TypeError: `headers` has a field that belongs to the handshake.
    """
    headers = Headers(options.get("headers"))
    own = [name for name, _ in headers.raw if name.lower() in OWN_NAMES]
    if own:
        raise TypeError(f"header {own[0].decode('ascii', 'replace')!r:.40} belongs to the opening handshake")
    headers = Headers([*headers.raw, *opening.fields])  # of other names, all of them
    extensions = {**(options.get("extensions") or {}), "websocket": opening}
    request: Request = client.build_request(
        "GET", _with_scheme(url_of(url), PAGE_SCHEMES), **{**options, "headers": headers, "extensions": extensions}
    )
    if client._mounts:
        # The scheme of HTTP, so that proxies, mounts, cookies and credentials are those of the origin; but a transport
        # that was mounted for WebSockets comes first.
        target = _with_scheme(request.url, WEBSOCKET_SCHEMES)
        schemes = PAGE_SCHEMES.keys()
        if any(getattr(pattern, "scheme", "") in schemes and pattern.matches(target) for pattern in client._mounts):
            request.url = target
            return request
    request.url = _with_scheme(request.url, PAGE_SCHEMES)
    return request


def _with_scheme(url: URL, schemes: Mapping[str, str]) -> URL:
    scheme = schemes.get(url.scheme)
    return url if scheme is None else url.copy_with(scheme=scheme)


def agreement_of(response: Response, opening: Opening) -> Agreement:
    """
    Return what the response to an opening handshake agrees to.

    Raises:
        BadOpening: it does not open a WebSocket.
    """
    fields = response.headers.raw
    if "stream_id" in response.extensions:
        agreement = opening.accept_tunnel(response.status_code, fields)
    elif "websocket" in response.extensions:  # a transport that passes messages: there was no handshake of bytes
        return opening.accept_messages(response.status_code, fields)
    else:
        agreement = opening.accept(response.status_code, fields)
    if "network_stream" not in response.extensions:
        raise BadOpening("the transport gives no access to the connection (no extension 'network_stream')")
    return agreement


def given_channel(response: Response) -> Any:
    """Return the channel that a transport has given instead of bytes: a session of `pair`, or an object of its own."""
    given = response.extensions.get("websocket")
    if given is None or hasattr(given, "give_up"):  # a channel of ours
        return given
    return given._channel if isinstance(given, BaseSession) else MessageChannel(given)


# Sessions.


class BaseSession:
    """
    What sync and async sessions have in common.

    Args:
        channel: carries the messages.
        response: opened the WebSocket; None for one of `pair`.
        agreement: what both sides agreed on.
    """

    # A third of what a dictionary takes; programs have thousands of sessions.
    __slots__ = ("__weakref__", "_agreement", "_channel", "_is_closed", "_messages", "_response")

    def __init__(self, channel: Any, response: Response | None, agreement: Any) -> None:
        self._channel = channel
        self._messages = channel.messages
        self._response = response
        self._agreement = agreement
        self._is_closed = False

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed with {self.close_code}"
        return f"<{type(self).__name__} [{state}]>"

    @property
    def response(self) -> Response:
        """Return the response that opened the WebSocket. Raises RuntimeError for a session of `pair`."""
        if self._response is None:
            raise RuntimeError("this session was made by httpx.websockets.pair(): there was no response")
        return self._response

    @property
    def subprotocol(self) -> str | None:
        """Return the subprotocol that the server chose, None if it chose none."""
        chosen = self._agreement.subprotocol
        return None if chosen is None else chosen.decode()

    @property
    def compression(self) -> bool:
        """Return whether messages may be compressed (permessage-deflate)."""
        return self._agreement.codec is not None

    @property
    def http_version(self) -> str:
        """Return the version of HTTP below, such as "HTTP/1.1"."""
        return self.response.http_version

    @property
    def closed(self) -> bool:
        """Return whether the WebSocket has ended. Messages that arrived before can still be received."""
        return self._is_closed or bool(self._channel.is_over)

    @property
    def close_code(self) -> int | None:
        """Return the code of the peer's Close, 1005 if it had none, 1006 if it did not come; None while open."""
        code: int | None = self._channel.close_code
        return code

    @property
    def close_reason(self) -> str | None:
        """Return the reason of the peer's Close; None while the WebSocket is open."""
        return None if self.close_code is None else self._channel.close_reason


def as_text(message: Message) -> str:
    """Return a message that must be text. Raises WebSocketInvalidTypeReceived."""
    if not isinstance(message, str):
        raise WebSocketInvalidTypeReceived(message)
    return message


def as_binary(message: Message) -> bytes:
    """Return a message that must be bytes. Raises WebSocketInvalidTypeReceived."""
    if isinstance(message, str):
        raise WebSocketInvalidTypeReceived(message)
    return message


def json_message(data: Any, mode: JSONMode) -> Message:
    """Return a value as a message of JSON."""
    _check_mode(mode)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text if mode == "text" else text.encode()


def json_value(message: Message, mode: JSONMode) -> Any:
    """Return the value of a message of JSON. Raises WebSocketInvalidTypeReceived, ValueError."""
    _check_mode(mode)
    return json.loads(as_text(message) if mode == "text" else as_binary(message))


def _check_mode(mode: str) -> None:
    if mode not in ("text", "binary"):
        raise ValueError(f"mode must be 'text' or 'binary', got {mode!r:.40}")


def meaning_of(event: Any) -> tuple[str, Any]:
    """Return "message", "ping" or "close" for an event of wsproto, and what is in it. Raises TypeError for others."""
    name = type(event).__name__ if type(event).__module__.partition(".")[0] == "wsproto" else ""
    if name in ("TextMessage", "BytesMessage", "Message"):
        return "message", event.data if isinstance(event.data, str) else bytes(event.data)
    if name == "Ping":
        return "ping", bytes(event.payload)
    if name == "CloseConnection":
        return "close", (event.code, event.reason)
    raise TypeError(f"a message must be str, bytes, bytearray or memoryview, got {type(event).__name__}")


def is_end(error: WebSocketDisconnect) -> bool:
    """Return whether an iteration over messages ends with this, and does not raise it."""
    return error.code in _NORMAL_CODES or not error.by_peer


class WebSocketSession(BaseSession):
    """
    One open WebSocket, for threads: some may send while others receive.

        with client.websocket("wss://example.org/chat") as ws:
            ws.send_text("hello")
            for message in ws:
                print(message)

    Not made by hand: `Client.websocket` opens one.
    """

    __slots__ = ()

    def __enter__(self) -> WebSocketSession:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the WebSocket: with 1000, or 1001 after an exception; at once if that is not an `Exception`."""
        if exc_type is None or issubclass(exc_type, Exception):
            self.close(NORMAL if exc_type is None else GOING_AWAY)
        else:
            self._give_up()

    def send(self, message: Sendable) -> None:
        """
        Send a message: text for str, else binary. Returns when the system has taken all of it.

        Messages of several threads never mix.

        Raises:
            WebSocketDisconnect: the WebSocket is closed.
            WebSocketNetworkError: it ended in another way, or the peer took nothing within the write timeout.
            TypeError: the message is something else.
            LocalProtocolError: the text has a surrogate, which UTF-8 cannot express.
        """
        if isinstance(message, _SENDABLE):
            self._channel.send(message)
        else:
            self._send_event(message)

    def _send_event(self, event: Any) -> None:
        """Send an event of wsproto, as httpx-ws does. Raises TypeError for anything else."""
        kind, value = meaning_of(event)
        if kind == "message":
            self._channel.send(value)
        elif kind == "ping":
            self.ping(value)
        else:
            self.close(*value)

    def send_text(self, data: str) -> None:
        """Send text. Raises as `send`."""
        if not isinstance(data, str):
            raise TypeError(f"send_text takes a str, got {type(data).__name__}")
        self._channel.send(data)

    def send_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """Send a binary message. Raises as `send`."""
        if isinstance(data, str):
            raise TypeError("send_bytes takes bytes, got str")
        self._channel.send(data)

    def send_json(self, data: Any, mode: JSONMode = "text") -> None:
        """Send a value as JSON, as text or as a binary message. Raises as `send`, and as `json.dumps`."""
        self._channel.send(json_message(data, mode))

    def receive(self, timeout: float | None = None) -> Message:
        """
        Return the next message: str for text, else bytes.

        Args:
            timeout: seconds for this call; None waits for as long as the WebSocket is open. The read timeout of the
                client does not count: a WebSocket may be quiet for hours.

        Raises:
            WebSocketTimeout: nothing came in time. The WebSocket stays open, and nothing is lost.
            WebSocketDisconnect: the WebSocket was closed, and all messages were received.
            WebSocketNetworkError: it ended in another way.
        """
        if self._messages:
            try:
                return self._messages.popleft()  # type: ignore[no-any-return]  # a deque of messages
            except IndexError:
                pass  # another receiver was first
        return self._channel.receive(timeout)  # type: ignore[no-any-return]  # a channel's

    def receive_text(self, timeout: float | None = None) -> str:
        """Return the next message, which must be text. Raises as `receive`, and WebSocketInvalidTypeReceived."""
        return as_text(self.receive(timeout))

    def receive_bytes(self, timeout: float | None = None) -> bytes:
        """Return the next message, which must be binary. Raises as `receive`, and WebSocketInvalidTypeReceived."""
        return as_binary(self.receive(timeout))

    def receive_json(self, timeout: float | None = None, mode: JSONMode = "text") -> Any:
        """
        Return the value of the next message, which must be JSON, as text or as a binary message.

        Raises as `receive`, and:
            WebSocketInvalidTypeReceived: it is of the other kind.
            ValueError: it is not JSON.
        """
        return json_value(self.receive(timeout), mode)

    def ping(self, payload: bytes = b"") -> Any:
        """
        Send a ping and return its pong, with `wait(timeout=None)`, `is_set()` and `latency` (seconds).

        Args:
            payload: at most 125 bytes; by default something that no other ping has.

        Raises:
            LocalProtocolError: it is too long.
            As `send`.
        """
        return self._channel.ping(payload)

    def close(self, code: int = NORMAL, reason: str | None = None) -> None:
        """
        Close the WebSocket, and wait until the peer has closed it, too, for `close_timeout` at most.

        What arrives meanwhile is dropped; what arrived before can still be received. Does nothing the second time, and
        never raises because of the peer.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: at most 123 bytes as UTF-8.

        Raises:
            LocalProtocolError: code or reason are not legal.
        """
        if self._is_closed:
            return
        try:
            self._channel.close(code, reason)
        except LocalProtocolError:
            raise
        except BaseException:  # a cancellation, or an exception out of a signal handler
            self._give_up()
            raise
        self._is_closed = True
        if self._response is not None:
            self._response.close()

    def _give_up(self) -> None:
        """End the WebSocket without waiting."""
        if not self._is_closed:
            self._is_closed = True
            try:
                self._channel.give_up(GOING_AWAY)
            finally:
                if self._response is not None:
                    self._response.close()

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        """Return the next message; the iteration ends with a Close of 1000 or 1001, or without a code."""
        if self._messages:
            try:
                return self._messages.popleft()  # type: ignore[no-any-return]  # a deque of messages
            except IndexError:
                pass  # another receiver was first
        try:
            return self._channel.receive(None)  # type: ignore[no-any-return]  # a channel's
        except WebSocketDisconnect as exc:
            if not is_end(exc):
                raise
        raise StopIteration


class AsyncWebSocketSession(BaseSession):
    """
    One open WebSocket, for tasks: some may send while one receives.

        async with client.websocket("wss://example.org/chat") as ws:
            await ws.send_text("hello")
            async for message in ws:
                print(message)

    Not made by hand: `AsyncClient.websocket` opens one.
    """

    __slots__ = ()

    async def __aenter__(self) -> AsyncWebSocketSession:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the WebSocket: with 1000, or 1001 after an exception; at once if that is not an `Exception`."""
        if exc_type is None or issubclass(exc_type, Exception):
            await self.close(NORMAL if exc_type is None else GOING_AWAY)
        else:
            await self._give_up()

    async def send(self, message: Sendable) -> None:
        """
        Send a message: text for str, else binary. Returns when the system has taken all of it.

        Messages of several tasks never mix. A message whose sending is cancelled may be sent all the same.

        Raises:
            WebSocketDisconnect: the WebSocket is closed.
            WebSocketNetworkError: it ended in another way, or the peer took nothing within the write timeout.
            TypeError: the message is something else.
            LocalProtocolError: the text has a surrogate, which UTF-8 cannot express.
        """
        if isinstance(message, _SENDABLE):
            await self._channel.send(message)
        else:
            await self._send_event(message)

    async def _send_event(self, event: Any) -> None:
        """Send an event of wsproto, as httpx-ws does. Raises TypeError for anything else."""
        kind, value = meaning_of(event)
        if kind == "message":
            await self._channel.send(value)
        elif kind == "ping":
            await self.ping(value)
        else:
            await self.close(*value)

    async def send_text(self, data: str) -> None:
        """Send text. Raises as `send`."""
        if not isinstance(data, str):
            raise TypeError(f"send_text takes a str, got {type(data).__name__}")
        await self._channel.send(data)

    async def send_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """Send a binary message. Raises as `send`."""
        if isinstance(data, str):
            raise TypeError("send_bytes takes bytes, got str")
        await self._channel.send(data)

    async def send_json(self, data: Any, mode: JSONMode = "text") -> None:
        """Send a value as JSON, as text or as a binary message. Raises as `send`, and as `json.dumps`."""
        await self._channel.send(json_message(data, mode))

    async def receive(self, timeout: float | None = None) -> Message:
        """
        Return the next message: str for text, else bytes.

        Args:
            timeout: seconds for this call; None waits for as long as the WebSocket is open. The read timeout of the
                client does not count: a WebSocket may be quiet for hours.

        Raises:
            WebSocketTimeout: nothing came in time. The WebSocket stays open, and nothing is lost.
            WebSocketDisconnect: the WebSocket was closed, and all messages were received.
            WebSocketNetworkError: it ended in another way.
            RuntimeError: another task is receiving.
        """
        if self._messages:
            try:
                return self._messages.popleft()  # type: ignore[no-any-return]  # a deque of messages
            except IndexError:
                pass  # another receiver was first
        return await self._channel.receive(timeout)  # type: ignore[no-any-return]  # a channel's

    async def receive_text(self, timeout: float | None = None) -> str:
        """Return the next message, which must be text. Raises as `receive`, and WebSocketInvalidTypeReceived."""
        return as_text(await self.receive(timeout))

    async def receive_bytes(self, timeout: float | None = None) -> bytes:
        """Return the next message, which must be binary. Raises as `receive`, and WebSocketInvalidTypeReceived."""
        return as_binary(await self.receive(timeout))

    async def receive_json(self, timeout: float | None = None, mode: JSONMode = "text") -> Any:
        """
        Return the value of the next message, which must be JSON, as text or as a binary message.

        Raises as `receive`, and:
            WebSocketInvalidTypeReceived: it is of the other kind.
            ValueError: it is not JSON.
        """
        return json_value(await self.receive(timeout), mode)

    async def ping(self, payload: bytes = b"") -> Any:
        """
        Send a ping and return its pong, with `await wait(timeout=None)`, `is_set()` and `latency` (seconds).

        Args:
            payload: at most 125 bytes; by default something that no other ping has.

        Raises:
            LocalProtocolError: it is too long.
            As `send`.
        """
        return await self._channel.ping(payload)

    async def close(self, code: int = NORMAL, reason: str | None = None) -> None:
        """
        Close the WebSocket, and wait until the peer has closed it, too, for `close_timeout` at most.

        What arrives meanwhile is dropped; what arrived before can still be received. Does nothing the second time, and
        never raises because of the peer.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: at most 123 bytes as UTF-8.

        Raises:
            LocalProtocolError: code or reason are not legal.
        """
        if self._is_closed:
            return
        try:
            await self._channel.close(code, reason)
        except LocalProtocolError:
            raise
        except BaseException:  # a cancellation, or an exception out of a signal handler
            await self._give_up()
            raise
        self._is_closed = True
        if self._response is not None:
            await self._response.aclose()

    async def _give_up(self) -> None:
        """End the WebSocket without waiting."""
        if not self._is_closed:
            self._is_closed = True
            try:
                self._channel.give_up(GOING_AWAY)
            finally:
                if self._response is not None:
                    await self._response.aclose()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        """Return the next message; the iteration ends with a Close of 1000 or 1001, or without a code."""
        if self._messages:
            try:
                return self._messages.popleft()  # type: ignore[no-any-return]  # a deque of messages
            except IndexError:
                pass  # another receiver was first
        try:
            return await self._channel.receive(None)  # type: ignore[no-any-return]  # a channel's
        except WebSocketDisconnect as exc:
            if not is_end(exc):
                raise
        raise StopAsyncIteration


def pair() -> tuple[WebSocketSession, WebSocketSession]:
    """
    Return two sessions that are connected with each other, without a network.

    For tests: the handler of a `MockTransport` keeps one, and returns the other one in the response's extensions.

        here, there = httpx.websockets.pair()
        transport = httpx.MockTransport(lambda request: httpx.Response(101, extensions={"websocket": there}))
    """
    here, there = sync_ends()
    agreement = Agreement(None, None)
    return WebSocketSession(here, None, agreement), WebSocketSession(there, None, agreement)


def async_pair() -> tuple[AsyncWebSocketSession, AsyncWebSocketSession]:
    """Return two sessions like `pair`, for async clients."""
    here, there = async_ends()
    agreement = Agreement(None, None)
    return AsyncWebSocketSession(here, None, agreement), AsyncWebSocketSession(there, None, agreement)


# Connectors.


class WebSocketConnector:
    """
    What `Client.websocket` returns: `with` opens one session, and closes it at the end of the block.

    Args:
        client: sends the opening handshake.
        url: with the scheme ws, wss, http or https, or relative to the client's `base_url`.
        options: of the session.
        request: arguments for `build_request`.
        auth, follow_redirects: for `send`.
    """

    __slots__ = (
        *("_attempts", "_auth", "_client", "_follow_redirects", "_options", "_request", "_session", "_since", "_url"),
    )

    def __init__(
        self,
        client: Client,
        url: URL | str,
        options: Any,
        request: dict[str, Any],
        auth: Any,
        follow_redirects: Any,
    ) -> None:
        self._client = client
        self._url = url
        self._options = options
        self._request = request
        self._auth = auth
        self._follow_redirects = follow_redirects
        self._session: WebSocketSession | None = None
        self._since = 0.0  # when it was opened, in an iteration
        self._attempts: Attempts | None = None

    def __enter__(self) -> WebSocketSession:
        """
        Open a session.

        Raises:
            WebSocketUpgradeError: the server does not open a WebSocket.
            RequestError: the handshake failed; the class says how.
        """
        if self._session is not None:
            raise RuntimeError("this WebSocket is open: call `client.websocket()` again for another one")
        session = self._open()
        assert session is not None
        self._session = session
        return session

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(exc_type, exc_value, traceback)

    def __iter__(self) -> Iterator[WebSocketSession]:
        return self

    def __next__(self) -> WebSocketSession:
        """
        Close the session before, wait, and open the next one; a failure that may pass is waited for.

        Raises:
            WebSocketUpgradeError: the server does not open a WebSocket, and its status is not one that passes.
            RequestError: the handshake failed in a way that would not be different the next time.
        """
        if self._attempts is None:
            self._attempts = Attempts(self._options.reconnect)
        attempts, session = self._attempts, self._session
        if session is not None:
            self._session = None
            session.close()
            attempts.ended(monotonic() - self._since)
            del session
        while True:
            again = not attempts.is_first
            sleep(attempts.wait(random()))
            try:
                opened = self._open(attempts.policy.prepare if again else None)
            except TransportError as exc:
                if not attempts.may_retry(exc):
                    raise
                continue
            if opened is None:
                raise StopIteration
            self._session, self._since = opened, monotonic()
            return opened

    def _open(self, prepare: Prepare | None = None) -> WebSocketSession | None:
        """Open a session; None if `prepare` gave no request."""
        opening = self._options.opening()
        request = opening_request(self._client, self._url, opening, self._request)
        if prepare is not None:
            prepared = prepare(request)
            if prepared is None:
                return None
            request = prepared
        auth, follow = self._auth, self._follow_redirects
        response = self._client.send(request, stream=True, auth=auth, follow_redirects=follow)
        try:
            agreement = agreement_of(response, opening)
            response.request.extensions.pop("websocket", None)  # the handshake is over, and half a KiB
            channel = given_channel(response)
            if channel is None:
                stream = response.extensions["network_stream"]
                machine = self._options.machine(agreement)
                channel = sync_channel(stream, machine, self._options.timing(response.request))
            return WebSocketSession(channel, response, agreement)
        except BadOpening as exc:
            self._read_refusal(response)
            raise WebSocketUpgradeError(response, str(exc)) from None
        except BaseException:
            response.close()
            raise

    @staticmethod
    def _read_refusal(response: Response) -> None:
        """Read at most 64 KiB of a response that opens nothing, and close it."""
        pieces: list[bytes] = []
        size = 0
        try:
            if response.status_code != 101:
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    size += len(piece)
                    if size >= _MAX_REFUSAL:
                        break
        except TransportError:
            pass  # what there is has to do
        finally:
            response.close()
        response._content = b"".join(pieces)[:_MAX_REFUSAL]


class AsyncWebSocketConnector:
    """
    What `AsyncClient.websocket` returns: `async with` opens one session, and closes it at the end of the block.

    Args:
        client: sends the opening handshake.
        url: with the scheme ws, wss, http or https, or relative to the client's `base_url`.
        options: of the session.
        request: arguments for `build_request`.
        auth, follow_redirects: for `send`.
    """

    __slots__ = (
        *("_attempts", "_auth", "_client", "_follow_redirects", "_options", "_request", "_session", "_since", "_url"),
    )

    def __init__(
        self,
        client: AsyncClient,
        url: URL | str,
        options: Any,
        request: dict[str, Any],
        auth: Any,
        follow_redirects: Any,
    ) -> None:
        self._client = client
        self._url = url
        self._options = options
        self._request = request
        self._auth = auth
        self._follow_redirects = follow_redirects
        self._session: AsyncWebSocketSession | None = None
        self._since = 0.0  # when it was opened, in an iteration
        self._attempts: Attempts | None = None

    async def __aenter__(self) -> AsyncWebSocketSession:
        """
        Open a session.

        Raises:
            WebSocketUpgradeError: the server does not open a WebSocket.
            RequestError: the handshake failed; the class says how.
        """
        if self._session is not None:
            raise RuntimeError("this WebSocket is open: call `client.websocket()` again for another one")
        session = await self._open()
        assert session is not None
        self._session = session
        return session

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.__aexit__(exc_type, exc_value, traceback)

    def __aiter__(self) -> AsyncIterator[AsyncWebSocketSession]:
        return self

    async def __anext__(self) -> AsyncWebSocketSession:
        """
        Close the session before, wait, and open the next one; a failure that may pass is waited for.

        Raises:
            WebSocketUpgradeError: the server does not open a WebSocket, and its status is not one that passes.
            RequestError: the handshake failed in a way that would not be different the next time.
        """
        if self._attempts is None:
            self._attempts = Attempts(self._options.reconnect)
        attempts, session = self._attempts, self._session
        if session is not None:
            self._session = None
            await session.close()
            attempts.ended(monotonic() - self._since)
            del session
        while True:
            again = not attempts.is_first
            await asleep(attempts.wait(random()))
            try:
                opened = await self._open(attempts.policy.prepare if again else None)
            except TransportError as exc:
                if not attempts.may_retry(exc):
                    raise
                continue
            if opened is None:
                raise StopAsyncIteration
            self._session, self._since = opened, monotonic()
            return opened

    async def _open(self, prepare: Prepare | None = None) -> AsyncWebSocketSession | None:
        """Open a session; None if `prepare` gave no request."""
        opening = self._options.opening()
        request = opening_request(self._client, self._url, opening, self._request)
        if prepare is not None:
            prepared = prepare(request)
            if prepared is None:
                return None
            request = prepared
        auth, follow = self._auth, self._follow_redirects
        response = await self._client.send(request, stream=True, auth=auth, follow_redirects=follow)
        try:
            agreement = agreement_of(response, opening)
            response.request.extensions.pop("websocket", None)  # the handshake is over, and half a KiB
            channel = given_channel(response)
            if channel is None:
                stream = response.extensions["network_stream"]
                machine = self._options.machine(agreement)
                channel = async_channel(stream, machine, self._options.timing(response.request))
            return AsyncWebSocketSession(channel, response, agreement)
        except BadOpening as exc:
            await self._read_refusal(response)
            raise WebSocketUpgradeError(response, str(exc)) from None
        except BaseException:
            await response.aclose()
            raise

    @staticmethod
    async def _read_refusal(response: Response) -> None:
        """Read at most 64 KiB of a response that opens nothing, and close it."""
        pieces: list[bytes] = []
        size = 0
        try:
            if response.status_code != 101:
                async for piece in response.aiter_bytes():
                    pieces.append(piece)
                    size += len(piece)
                    if size >= _MAX_REFUSAL:
                        break
        except TransportError:
            pass  # what there is has to do
        finally:
            await response.aclose()
        response._content = b"".join(pieces)[:_MAX_REFUSAL]
