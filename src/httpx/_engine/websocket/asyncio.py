"""
A WebSocket for tasks of asyncio. The connection's callback feeds the machine, so input is taken, pings are answered and
messages are complete without a task and without a future.

The channel stands where the multiplexer of HTTP/2 stands on other connections: the connection gives it all bytes and
events. One timer for each channel looks at the time.

The connection refers to the channel, and the loop to the connection. So a channel refers to nothing that refers to the
response: a session that is dropped takes its response along, which closes the connection.

Not here: what needs no waiting (`common`), the socket (`asyncio_connection`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Callable

from ..._exceptions import LocalProtocolError, ReadError, WriteError, WriteTimeout
from ..._protocol.websocket import Message, WebSocketMachine
from ..._websocket_exceptions import WebSocketException, WebSocketTimeout
from ..asyncio_connection import AsyncioConnection, LoopIO
from ..asyncio_stream import AsyncioStream, settle
from ..raw import moment
from ..wire import LARGE_READ, SMALL_READ
from .common import CLOSED_HERE, LINGER, AsyncPong, Channel, Timing, until_of


class AsyncioChannel(Channel):
    """
    A WebSocket on a connection, for tasks of asyncio.

    Args:
        stream: the connection's, from which its bytes are taken over.
    """

    __slots__ = ("_connection", "_receiver", "_senders", "_sends", "_timer", "_watchers")

    def __init__(self, stream: AsyncioStream, machine: WebSocketMachine, timing: Timing) -> None:
        connection: Any = stream._connection
        assert isinstance(connection, AsyncioConnection)
        super().__init__(machine, timing, connection.now)
        self._connection = connection
        self._receiver: asyncio.Future[bool] | None = None
        self._watchers: Sequence[asyncio.Future[bool]] = ()  # tasks that wait for something else than a message
        self._sends = False  # a task is sending
        self._senders: Sequence[asyncio.Future[bool]] = ()  # tasks that wait for their turn to send
        self._timer: asyncio.TimerHandle | None = None
        early = connection.take_incoming()
        connection.incoming = None
        connection.deadline = None  # that of the handshake
        connection.multiplexer = self  # type: ignore[assignment]  # it has what the connection asks for
        if early:  # without a pause, which is for the callback
            self.take_in(early)
            if machine.output or machine.pongs:
                self._flush()
        if connection.has_ended:
            self.take_in(b"")
        if connection.error is not None:
            self.on_event()
        if connection.wire.tls is None and isinstance(connection._io, LoopIO) and not connection._reread:
            connection.on_readable = self._on_readable  # type: ignore[method-assign]  # for this one
            if not (connection.has_ended or connection.closed):
                connection._io.start_reading(connection)
        self._set_timer()

    # What the connection calls.

    def _on_readable(self) -> None:
        """Take input without TLS: what three functions of the connection come to, for two frames less."""
        connection = self._connection
        wire = connection.wire
        try:
            data = wire.sock.recv(wire.size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            connection.on_broken(ReadError(f"receiving failed: {exc.strerror or exc}"))
            return
        if not data:
            connection.on_received(data)
            return
        if len(data) == SMALL_READ:
            wire.size = LARGE_READ
        self.on_received(data)

    def on_received(self, data: bytes) -> None:
        """Take input, b"" at its end."""
        machine = self.machine
        if data:
            self._heard += 1
            machine.receive(data)
            if machine.pings_answered != self._answered:
                self._tell_pongs()
        else:
            self.take_in(data)
        if machine.output or machine.pongs:
            self._flush()
        if machine.full:
            self._connection._pause()
        receiver = self._receiver
        if receiver is not None and (machine.messages or self.is_over) and not receiver.done():
            receiver.set_result(True)
        if self._watchers:
            self._wake(self._watchers)

    def on_event(self) -> None:
        """Something happened to the connection: it broke, was closed, or the socket took more."""
        connection = self._connection
        error = connection.write_error or connection.error
        if connection.closed and error is None:
            error = ReadError(CLOSED_HERE)
        if error is not None and self.failure is None and not self.machine.finished:
            self.fail(error)
        if (self.machine.output or self.machine.pongs) and not connection.closed:
            self._flush()
        if self.is_over and self._receiver is not None:
            settle(self._receiver, True)
        self._wake(self._watchers)
        if connection.closed:  # or the two would be a cycle
            connection.multiplexer = None
            connection.__dict__.pop("on_readable", None)

    def say_goodbye(self) -> None:
        """The connection is about to be closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def was_left(self) -> None:  # pragma: no cover - a connection that was upgraded is never left
        """Do nothing."""

    @staticmethod
    def _wake(watchers: Sequence[asyncio.Future[bool]]) -> None:
        for watcher in watchers:
            settle(watcher, True)

    def _flush(self) -> None:
        """Send what the machine has, unless the socket has to take something first: the machine bounds its pongs."""
        connection, machine = self._connection, self.machine
        if not (machine.output or machine.pongs) or connection.unsent or connection.closed or self.failure is not None:
            return
        try:
            connection.send(machine.take())  # type: ignore[arg-type]  # or a bytearray, which is not used again
        except WriteError as exc:
            self.fail(exc)

    def _set_timer(self) -> None:
        self._timer = self._connection.loop.call_later(self._heartbeat.tick, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        machine = self.machine
        if machine.full and not self.messages:
            self._resume()
        try:
            if self.due(not machine.full):
                self._flush()
        except WebSocketException:
            self._connection.close()  # which wakes all that wait
        if not self.is_over and not machine.closing:
            self._set_timer()

    # Sending.

    async def send(self, message: Any) -> None:
        """
        Send a message; returns when the system has taken all of it.

        Raises:
            WebSocketDisconnect, WebSocketNetworkError: the WebSocket has ended.
            LocalProtocolError, TypeError: the message cannot be sent.
        """
        connection, machine = self._connection, self.machine
        if self._sends or connection.unsent or machine.closing or self.failure is not None:
            await self._send_in_turn(machine.send, message)
            return
        machine.send(message)
        wire = connection.wire
        try:
            # What `connection.send` does, inlined: two frames of every message.
            data: Any = machine.take()
            rest = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
            if rest:
                connection.queue(rest)
        except WriteError as exc:
            self.fail(exc)
        if self.failure is not None:
            raise self.outcome()
        if connection.unsent:
            self._sends = True
            try:
                await self._drain()
            finally:
                self._pass_turn()

    async def ping(self, payload: bytes) -> AsyncPong:
        """Send a ping and return its pong. Raises as `send`."""
        return await self._send_in_turn(self.begin_ping, payload, AsyncPong)  # type: ignore[no-any-return]  # what it returns

    async def _send_in_turn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function that queues a frame when the tasks before this one have sent theirs, and send it."""
        if self._sends:
            await self._await_turn()
        self._sends = True
        try:
            await self._drain()
            if self.machine.closing or self.failure is not None:
                raise self.outcome()
            result = function(*args)
            self._flush()
            await self._drain()
            return result
        finally:
            self._pass_turn()

    async def _await_turn(self) -> None:
        turn: asyncio.Future[bool] = self._connection.loop.create_future()
        self._senders = [*self._senders, turn]
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came together with the cancellation
                self._pass_turn()
            raise

    def _pass_turn(self) -> None:
        self._sends = False
        if self._connection.loop.is_closed():
            return  # the tasks that waited have ended with it
        while self._senders:
            turn, *self._senders = self._senders
            if not turn.done():
                self._sends = True
                turn.set_result(True)
                return

    async def _drain(self) -> None:
        """
        Wait until the socket has taken what is unsent. It follows by itself, also if this is cancelled.

        Raises:
            WebSocketNetworkError: the peer took nothing for too long, or the connection broke.
        """
        connection, seconds = self._connection, self._timing.write
        left = len(connection.unsent)
        until = until_of(seconds, self._now())
        while connection.unsent and self.failure is None:
            await connection.wait_for_room(until)
            now, before, left = self._now(), left, len(connection.unsent)
            if left < before:
                until = until_of(seconds, now)
            elif until is not None and now >= until:
                late = WriteTimeout(
                    f"the peer took nothing of a message within the write timeout of {seconds or 0:g} s"
                )
                raise self.fail(late)
        if self.failure is not None:
            raise self.outcome()

    # Receiving.

    async def receive(self, timeout: float | None = None) -> Message:
        """
        Return the next message.

        Args:
            timeout: seconds; None for as long as the WebSocket is open.

        Raises:
            WebSocketTimeout: none arrived in time.
            WebSocketDisconnect, WebSocketNetworkError: the WebSocket has ended, and all messages were taken.
            RuntimeError: another task is receiving.
        """
        if self._receiver is not None:
            raise RuntimeError("another task is receiving from this WebSocket")
        messages, machine = self.messages, self.machine
        until = None if timeout is None else moment(timeout, self._now())
        while not messages:
            if machine.full:
                self._resume()
            elif self.failure is not None or machine.closed or machine.finished:
                raise self.outcome()
            else:
                # Not in a coroutine of its own, which would be the dearest frame of all.
                loop = self._connection.loop
                receiver: asyncio.Future[bool] = loop.create_future()
                self._receiver = receiver
                timer = None if until is None else loop.call_at(until, settle, receiver, False)
                try:
                    if not await receiver:
                        raise WebSocketTimeout(f"no message arrived within {timeout or 0:g} s")
                finally:
                    self._receiver = None
                    if timer is not None:
                        timer.cancel()
        return messages.popleft()

    def _resume(self) -> None:
        """Go on with what waited until all messages were taken."""
        machine, connection = self.machine, self._connection
        self.go_on()
        if machine.output or machine.pongs:
            self._flush()
        if not machine.full and connection._paused:
            connection._resume()
        self._wake(self._watchers)  # a pong may have been among it

    async def wait_for_pong(self, pong: AsyncPong, timeout: float | None) -> None:
        """Wait until a ping is answered, or time is up; see `AsyncPong.wait`."""
        until = None if timeout is None else moment(timeout, self._now())
        while not pong.is_set():
            if self.machine.full and not self.messages:
                self._resume()
            if self.is_over:
                raise self.outcome()
            if not await self._watch(until):
                return

    async def _watch(self, until: float | None) -> bool:
        """Wait until something happened; False if time is up."""
        loop = self._connection.loop
        watcher: asyncio.Future[bool] = loop.create_future()
        self._watchers = [*self._watchers, watcher]
        timer = None if until is None else loop.call_at(until, settle, watcher, False)
        try:
            return await watcher
        finally:
            self._watchers = [each for each in self._watchers if each is not watcher]
            if timer is not None:
                timer.cancel()

    # Ending.

    async def close(self, code: int, reason: str | None) -> None:
        """
        Close the WebSocket: send a Close, wait for the peer's, and for the end of the connection.

        Never raises for what the peer does.

        Raises:
            LocalProtocolError: code or reason are not legal.
        """
        machine = self.machine
        until = until_of(self._timing.close, self._now())
        self.begin_close(code, reason)
        lingers = False
        try:
            self._flush()
            while not machine.finished and self.failure is None:
                if machine.full:
                    self._resume()
                if self._connection._paused:
                    self._connection._resume()
                if machine.closed and not lingers:
                    lingers = True
                    linger = self._now() + LINGER
                    until = linger if until is None else min(linger, until)
                if not machine.finished and not await self._watch(until):
                    break
        finally:
            self.abort()

    def give_up(self, code: int) -> None:
        """Send a Close if that needs no waiting, and end the connection."""
        try:
            self.begin_close(code, "")
            self._flush()
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection. What waits for it ends."""
        if not self.is_over:
            self.fail(LocalProtocolError("the WebSocket was closed by this side"))
        self._connection.close()
