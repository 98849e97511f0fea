"""
A WebSocket for tasks of trio: the one that waits takes the input, and one system task for all channels does it while
none waits.

Not here: what needs no waiting (`common`), the stream's bytes (`trio_stream`).
"""

from __future__ import annotations

import math
import weakref
from typing import Any, Callable, Protocol

import trio

from ..._exceptions import LocalProtocolError, ReadTimeout, TransportError, WriteTimeout
from ..._protocol.websocket import Message, WebSocketMachine
from ..._websocket_exceptions import WebSocketTimeout
from ..raw import moment
from .common import LINGER, READ_SIZE, AsyncPong, Channel, Timing, until_of

now = trio.current_time

# Seconds after which a task looks again that waits for a pong while messages that nothing takes are in the way.
LOOK_UP = 0.05


class Stream(Protocol):
    """What a channel needs of the bytes below it; see `TrioStream`."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes: ...
    def write_now(self, data: Any = b"") -> int: ...
    async def wait_for_either(self, until: float | None, reads: bool) -> bool: ...
    def close_now(self) -> None: ...


class TrioChannel(Channel):
    """
    A WebSocket on a stream, for tasks of trio.

    Args:
        stream: carries the bytes.
    """

    __slots__ = ("_changed", "_reads", "_receives", "_senders", "_sends", "_stream")

    def __init__(self, stream: Stream, machine: WebSocketMachine, timing: Timing) -> None:
        super().__init__(machine, timing, now)
        self._stream = stream
        self._receives = False  # a task waits for a message
        self._reads = False  # a task takes input
        self._changed: trio.Event | None = None  # for tasks that wait while another one takes the input
        self._sends = False  # a task is sending
        self._senders: list[trio.Event] = []  # tasks that wait for their turn to send
        keeper_here().add(self)

    # Sending.

    async def send(self, message: Any) -> None:
        """
        Send a message; returns when the system has taken all of it.

        Raises:
            WebSocketDisconnect, WebSocketNetworkError: the WebSocket has ended.
            LocalProtocolError, TypeError: the message cannot be sent.
        """
        await self._say(self.machine.send, message)

    async def ping(self, payload: bytes) -> AsyncPong:
        """Send a ping and return its pong. Raises as `send`."""
        return await self._say(self.begin_ping, payload, AsyncPong)  # type: ignore[no-any-return]  # what it returns

    async def _say(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function that queues a frame, and send what there is."""
        machine = self.machine
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._sends:
            await self._await_turn()
        self._sends = True
        try:
            if machine.closing or self.failure is not None:
                raise self.outcome()
            result = function(*args)
            try:
                left = self._stream.write_now(machine.take())
                if left:
                    await self._send_rest(left)
            except TransportError as exc:
                self.fail(exc)
            if self.failure is not None:
                raise self.outcome()
        finally:
            self._pass_turn()
        if machine.output or machine.pongs:
            self._flush()
        return result

    async def _await_turn(self) -> None:
        turn = trio.Event()
        self._senders.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # it came together with the cancellation
                self._pass_turn()
            else:
                self._senders.remove(turn)
            raise

    def _pass_turn(self) -> None:
        self._sends = False
        if self._senders:
            self._sends = True
            self._senders.pop(0).set()

    async def _send_rest(self, left: int) -> None:
        """
        Wait until the peer has taken what is left. Input is taken meanwhile: both may be sending.

        Raises:
            WriteTimeout: it took nothing for too long.
        """
        seconds = self._timing.write
        until = until_of(seconds, now())
        while left:
            reads = not self.machine.full and not self._reads
            await self._stream.wait_for_either(until, reads)
            if reads and not self._reads:
                await self._read(0.0)
            before, left = left, self._stream.write_now()
            if left < before:
                until = until_of(seconds, now())
            elif until is not None and now() >= until:
                raise WriteTimeout(f"the peer took nothing of a message within the write timeout of {seconds or 0:g} s")

    def _flush(self) -> None:
        """Send what the machine has, as far as that needs no waiting, unless another task is sending."""
        machine = self.machine
        if self._sends or self.failure is not None:
            return
        try:
            if (
                not self._stream.write_now()
            ):  # else the peer takes nothing: pongs stay in the machine, which bounds them
                self._stream.write_now(machine.take())
        except TransportError as exc:
            self.fail(exc)

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
        if self._receives:
            raise RuntimeError("another task is receiving from this WebSocket")
        messages, machine = self.messages, self.machine
        until = None if timeout is None else moment(timeout, now())
        self._receives = True
        try:
            while not messages:
                if machine.full:
                    self._resume()
                elif self.is_over:
                    raise self.outcome()
                elif not await self._take_turns(until):
                    raise WebSocketTimeout(f"no message arrived within {timeout or 0:g} s")
        finally:
            self._receives = False
        return messages.popleft()

    async def _take_turns(self, until: float | None) -> bool:
        """Take input, or wait for the task that does; False if time is up."""
        if not self._reads:
            return await self._read(None if until is None else max(0.0, until - now()))
        changed = self._changed
        if changed is None:
            changed = self._changed = trio.Event()
        with trio.CancelScope(deadline=math.inf if until is None else until):
            await changed.wait()
        return changed.is_set()

    async def _read(self, seconds: float | None) -> bool:
        """Take input; False if time is up. What breaks the connection is noted."""
        self._reads = True
        try:
            self.take_in(await self._stream.read(READ_SIZE, seconds))
        except ReadTimeout:
            return False
        except TransportError as exc:
            self.fail(exc)
        finally:
            self._reads = False
            changed, self._changed = self._changed, None
            if changed is not None:
                changed.set()
        if self.machine.output or self.machine.pongs:
            self._flush()
        return True

    def _resume(self) -> None:
        """Go on with what waited until all messages were taken."""
        self.go_on()
        self._flush()

    async def wait_for_pong(self, pong: AsyncPong, timeout: float | None) -> None:
        """Wait until a ping is answered, or time is up; see `AsyncPong.wait`."""
        until = None if timeout is None else moment(timeout, now())
        while not pong.is_set():
            if self.machine.full and not self.messages:
                self._resume()
            if self.is_over:
                raise self.outcome()
            if self.machine.full:  # only another task can make room
                if until is not None and now() >= until:
                    return
                await trio.sleep(LOOK_UP)
            elif not await self._take_turns(until):
                return

    # Ending.

    async def close(self, code: int, reason: str | None) -> None:
        """
        Close the WebSocket: send a Close, wait for the peer's, and for the end of the connection.

        Never raises for what the peer does.

        Raises:
            LocalProtocolError: code or reason are not legal.
        """
        machine = self.machine
        until = until_of(self._timing.close, now())
        self.begin_close(code, reason)
        lingers = False
        try:
            with trio.CancelScope(deadline=math.inf if until is None else until):
                await self._send_close()
            while not machine.finished and self.failure is None:
                if machine.closed and not lingers:
                    lingers = True
                    linger = now() + LINGER
                    until = linger if until is None else min(linger, until)
                if not await self._take_turns(until) or (until is not None and now() >= until):
                    break
        except TransportError as exc:
            self.fail(exc)
        finally:
            self.abort()

    async def _send_close(self) -> None:
        """Send our Close after what other tasks are sending."""
        if self._sends:
            await self._await_turn()
        self._sends = True
        try:
            left = self._stream.write_now(self.machine.take())
            while left:
                await self._stream.wait_for_either(None, False)
                left = self._stream.write_now()
        finally:
            self._pass_turn()

    def give_up(self, code: int) -> None:
        """Send a Close if that needs no waiting, and end the connection."""
        try:
            self.begin_close(code, "")
            self._flush()
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection. What waits for it ends."""
        keeper_here().remove(self)
        if not self.is_over:
            self.fail(LocalProtocolError("the WebSocket was closed by this side"))
        self._stream.close_now()

    async def attend(self) -> None:
        """Do what is due while no task may be receiving: take input, answer it, ping. Called by the keeper."""
        machine = self.machine
        if machine.full and not self.messages:
            self._resume()
        reads = not machine.full
        while not (machine.full or machine.closing or self._reads or self.is_over) and await self._read(0.0):
            pass
        try:
            self.due(reads)
        except TransportError:
            self._stream.close_now()  # wakes the tasks that wait
        self._flush()


class Keeper:
    """The task that attends to the channels of one run of trio. They are not kept alive by being known."""

    def __init__(self) -> None:
        self._channels: weakref.WeakSet[Any] = weakref.WeakSet()
        self._hurry: trio.Event | None = None  # while the task waits
        self._is_running = False

    def add(self, channel: Any) -> None:
        """Attend to a channel from now on."""
        self._channels.add(channel)
        if not self._is_running:
            self._is_running = True
            trio.lowlevel.spawn_system_task(self._live, name="httpx.websockets")
        elif self._hurry is not None:
            self._hurry.set()

    def remove(self, channel: Any) -> None:
        """Do not attend to a channel any more."""
        self._channels.discard(channel)

    async def _live(self) -> None:
        """Attend to the channels until there are none; the task's function."""
        try:
            while self._channels:
                seconds = min(channel.tick for channel in self._channels)
                self._hurry = trio.Event()
                with trio.move_on_after(seconds):
                    await self._hurry.wait()
                if not self._hurry.is_set():
                    await self._attend()
        finally:
            self._is_running = False
            self._hurry = None

    async def _attend(self) -> None:
        for channel in list(self._channels):
            await channel.attend()


_KEEPER: trio.lowlevel.RunVar[Keeper] = trio.lowlevel.RunVar("httpx.websockets")


def keeper_here() -> Keeper:
    """Return the keeper of this run of trio."""
    try:
        return _KEEPER.get()
    except LookupError:
        keeper = Keeper()
        _KEEPER.set(keeper)
        return keeper
