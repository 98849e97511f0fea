"""
Channels on what other packages give: streams of bytes, as a `MockTransport` or another transport has them as
`network_stream`, and objects that pass messages, as the extension "websocket".

A foreign stream has `read(max_bytes, timeout=)`, `write(buffer, timeout=)` and `close` (`aclose` for async clients), as
those of httpcore. It waits in each call, so nothing is received while it writes. In async clients nothing is received
while the caller does not receive, either: no ping is sent, and pings are answered late.

Not here: the streams of our own engines.
"""

from __future__ import annotations

from typing import Any, Callable

from ..._exceptions import LocalProtocolError, ReadError, ReadTimeout, TransportError, WriteError, WriteTimeout
from ..._protocol.websocket import Message, WebSocketMachine
from ..._websocket_exceptions import WebSocketTimeout
from ..loops import Signals, now
from .common import LINGER, READ_SIZE, AsyncPong, Channel, Timing, until_of

# Seconds after which a task looks again that waits for a pong while messages that nothing takes are in the way.
LOOK_UP = 0.05


class ForeignStream:
    """
    A sync stream of another package, as `SyncChannel` needs it.

    Args:
        stream: the other package's.
        write_timeout: seconds for each write.
    """

    def __init__(self, stream: Any, write_timeout: float | None) -> None:
        self._stream = stream
        self._write_timeout = write_timeout

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what arrives. Raises ReadTimeout, ReadError."""
        try:
            data: bytes = self._stream.read(max_bytes, timeout=timeout)
        except Exception as exc:
            raise translated(exc, ReadTimeout, ReadError) from exc
        return data

    def write_now(self, data: Any = b"") -> int:
        """Write everything, and return that nothing is left. Raises WriteTimeout, WriteError."""
        if data:
            try:
                self._stream.write(bytes(data), timeout=self._write_timeout)
            except Exception as exc:
                raise translated(exc, WriteTimeout, WriteError) from exc
        return 0

    def wait_for_either(self, until: float | None, reads: bool) -> bool:  # pragma: no cover - nothing is ever left
        """Return at once: nothing is ever left to be written."""
        return True

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def translated(exc: Exception, late: type[TransportError], broken: type[TransportError]) -> TransportError:
    """Return our error for one of a foreign stream."""
    if isinstance(exc, TransportError):
        return exc
    # httpcore's timeouts, and those of others that are named alike, are not TimeoutErrors.
    is_late = isinstance(exc, TimeoutError) or any(kind.__name__.endswith("Timeout") for kind in type(exc).__mro__)
    return (late if is_late else broken)(str(exc) or type(exc).__name__)


class ForeignChannel(Channel):
    """
    A WebSocket on an async stream of another package.

    Args:
        stream: the other package's.
    """

    __slots__ = ("_changed", "_is_closed", "_reads", "_receives", "_sends", "_stream")

    # Seconds that the peer has to end the stream after both have sent a Close.
    linger = LINGER
    # Whether the stream has all of what it was given, and sends it even if the task that waits for this is cancelled.
    keeps_rest = False

    def __init__(self, stream: Any, machine: WebSocketMachine, timing: Timing) -> None:
        super().__init__(machine, timing, now)
        self._stream = stream
        self._changed = Signals()
        self._receives = self._reads = self._sends = self._is_closed = False

    async def send(self, message: Any) -> None:
        """Send a message; see `AsyncioChannel.send`."""
        await self._say(self.machine.send, message)

    async def ping(self, payload: bytes) -> AsyncPong:
        """Send a ping and return its pong. Raises as `send`."""
        return await self._say(self.begin_ping, payload, AsyncPong)  # type: ignore[no-any-return]  # what it returns

    async def _say(self, function: Callable[..., Any], *args: Any) -> Any:
        while self._sends:
            await self._changed.wait()
        if self.machine.closing or self.failure is not None:
            raise self.outcome()
        result = function(*args)
        await self._flush()
        if self.failure is not None:
            raise self.outcome()
        return result

    async def _flush(self) -> None:
        """Write what the machine has, unless another task is writing, which then goes on. Notes what breaks."""
        machine = self.machine
        while (machine.output or machine.pongs) and not self._sends and self.failure is None:
            self._sends = True
            try:
                await self._stream.write(bytes(machine.take()), timeout=self._timing.write)
            except Exception as exc:
                self.fail(translated(exc, WriteTimeout, WriteError))
            except BaseException as exc:
                if not self.keeps_rest or isinstance(exc, KeyboardInterrupt):
                    # How much of the frame was written is not known.
                    self.fail(WriteError("sending was cancelled in the middle of a frame"))
                raise
            finally:
                self._sends = False
                self._changed.wake()

    async def _answer(self) -> None:
        """Send what the machine has after input, such as pongs."""
        await self._flush()

    async def receive(self, timeout: float | None = None) -> Message:
        """Return the next message; see `AsyncioChannel.receive`."""
        if self._receives:
            raise RuntimeError("another task is receiving from this WebSocket")
        until = until_of(timeout, now())
        self._receives = True
        try:
            while not self.messages:
                if self.machine.full:
                    self.go_on()
                    await self._answer()
                elif self.is_over:
                    raise self.outcome()
                elif not await self._take_turns(until):
                    raise WebSocketTimeout(f"no message arrived within {timeout or 0:g} s")
        finally:
            self._receives = False
        return self.messages.popleft()

    async def _take_turns(self, until: float | None) -> bool:
        """Take input, or wait for the task that does; False if time is up."""
        if self._reads:
            return await self._changed.wait(until)
        self._reads = True
        try:
            data = await self._stream.read(READ_SIZE, timeout=None if until is None else max(0.0, until - now()))
            self.take_in(data)
        except Exception as exc:
            error = translated(exc, ReadTimeout, ReadError)
            if isinstance(error, ReadTimeout):
                return False
            self.fail(error)
        finally:
            self._reads = False
            self._changed.wake()
        await self._answer()
        return True

    async def wait_for_pong(self, pong: AsyncPong, timeout: float | None) -> None:
        """Wait until a ping is answered, or time is up."""
        until = until_of(timeout, now())
        while not pong.is_set():
            if self.machine.full and not self.messages:
                self.go_on()
                await self._answer()
            elif self.is_over:
                raise self.outcome()
            elif self.machine.full:  # only another task can make room
                if until is not None and now() >= until:
                    return
                await self._changed.wait(now() + LOOK_UP)
            elif not await self._take_turns(until):
                return

    async def close(self, code: int, reason: str | None) -> None:
        """Close the WebSocket; see `AsyncioChannel.close`."""
        until = until_of(self._timing.close, now())
        self.begin_close(code, reason)
        lingers = False
        try:
            await self._flush()
            while not self.machine.finished and self.failure is None:
                if self.machine.closed and not lingers:
                    lingers = True
                    linger = now() + self.linger
                    until = linger if until is None else min(linger, until)
                if not await self._take_turns(until) or (until is not None and now() >= until):
                    break
        finally:
            self._end()
            await self._stream.aclose()

    def give_up(self, code: int) -> None:
        """End the WebSocket; its response closes the stream."""
        self._end()

    def _end(self) -> None:
        if not self.is_over:
            self.fail(LocalProtocolError("the WebSocket was closed by this side"))
        self._changed.wake()


class MessageChannel:
    """
    A channel on an object that passes messages: `send(message)`, `receive(timeout)` and `close(code, reason)`.

    Args:
        carrier: the object, which raises WebSocketDisconnect from `receive` when it was closed. Its methods are async
            for async clients.
    """

    messages: tuple[Message, ...] = ()

    def __init__(self, carrier: Any) -> None:
        self._carrier = carrier
        self.is_over = False
        self.close_code: int | None = None
        self.close_reason = ""
        self.send = carrier.send

    def receive(self, timeout: float | None) -> Any:
        """Return the next message."""
        return self._carrier.receive(timeout)

    def ping(self, payload: bytes) -> Any:
        """Send a ping, if the object can."""
        return self._carrier.ping(payload)

    def close(self, code: int, reason: str | None) -> Any:
        """Close the WebSocket."""
        self.is_over, self.close_code, self.close_reason = True, code, reason or ""
        return self._carrier.close(code, reason)

    def give_up(self, code: int) -> None:
        """End the WebSocket without waiting."""
        self.is_over, self.close_code = True, code
