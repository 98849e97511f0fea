"""
A WebSocket on a connection, as far as it needs no waiting; the same for every shell.

    Timing    the time limits of a session
    Pong      what `ping` returns, without waiting
    Channel   a machine, what has been heard of the peer, and how it ended

What every channel promises:

- A message that arrived stays until it is taken: no timeout and no cancellation loses one.
- A frame leaves whole. What a send that failed has left goes before everything else, or the channel is over.
- Input is taken until `max_messages` or `max_waiting` of the machine are reached, and goes on when all were taken.
- While the peer does not take our output, pings are answered by the machine's bounded list of pongs.
- `close` ends every wait.

Not here: waiting (`sync`, `asyncio`, `trio`).
"""

from __future__ import annotations

import weakref
from typing import Any, Callable, NamedTuple

from ..._exceptions import RemoteProtocolError
from ..._protocol.heartbeat import GONE, Heartbeat
from ..._protocol.heartbeat import PING as PING_IS_DUE
from ..._protocol.websocket import ABNORMAL, WebSocketMachine
from ..._websocket_exceptions import WebSocketDisconnect, WebSocketException, WebSocketNetworkError
from ..limits import FOREVER

# Bytes asked for at once.
READ_SIZE = 65_536

# Seconds that the peer has to end the connection after both have sent a Close: it should do so first (RFC 6455 7.1.1).
LINGER = 1.0

CLOSED_HERE = "the connection was closed by this side"


class Timing(NamedTuple):
    """
    The time limits of a session, in seconds; None for none.

    Args:
        write: without progress in sending.
        close: for the closing handshake.
        ping_interval: of silence, after which to ping.
        ping_timeout: of further silence, after which the peer is gone.
    """

    write: float | None = 5.0
    close: float | None = 10.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0


class PongState:
    """
    The answer to a ping, as far as that needs no waiting.

    Attributes:
        latency: seconds from the ping to its answer, None before it.
    """

    __slots__ = ("__weakref__", "_channel", "_number", "_sent", "latency")

    def __init__(self, channel: Any, number: int, now: float) -> None:
        self._channel = channel
        self._number = number
        self._sent = now
        self.latency: float | None = None

    def is_set(self) -> bool:
        """Return whether the peer has answered this ping, or a later one."""
        return self.latency is not None

    def answered(self, now: float) -> None:
        """Note the answer."""
        self.latency = max(0.0, now - self._sent)


class AsyncPong(PongState):
    """The answer to a ping, for tasks: of asyncio, of trio, and on the streams of other packages."""

    __slots__ = ()

    async def wait(self, timeout: float | None = None) -> bool:
        """
        Wait until the peer has answered; return whether it has.

        Args:
            timeout: seconds; None for as long as the WebSocket is open.

        Raises:
            WebSocketDisconnect, WebSocketNetworkError: the WebSocket ended before.
        """
        await self._channel.wait_for_pong(self, timeout)
        return self.is_set()


class Channel:
    """
    A WebSocket on a connection.

    Args:
        machine: whose opening handshake is over.
        timing: its time limits.
        now: the shell's clock.

    Attributes:
        messages: those that have arrived, oldest first. Any may be taken.
        failure: why nothing more can be sent and received, if that is not for the machine to say.
    """

    __slots__ = (
        *("__weakref__", "_answered", "_code", "_ended", "_heard", "_heartbeat", "_now", "_pongs", "_timing"),
        *("failure", "machine", "messages"),
    )

    def __init__(self, machine: WebSocketMachine, timing: Timing, now: Callable[[], float]) -> None:
        self.machine = machine
        self.messages = machine.messages
        self.failure: WebSocketException | None = None
        self._timing = timing
        self._now = now
        self._heartbeat = Heartbeat(timing.ping_interval, timing.ping_timeout, now())
        self._heard = 0
        self._ended = False  # the end of the stream was told to the machine
        self._answered = 0  # what `machine.pings_answered` was when the pongs were told
        # Those that are not answered yet, and that the caller still has: each refers to this channel.
        self._pongs: tuple[weakref.ref[Any], ...] = ()
        self._code: int | None = None  # of our Close, if it came first

    # State, for the session.

    @property
    def close_code(self) -> int | None:
        """Return the code of the peer's Close, 1006 if it did not come; None while the WebSocket is open."""
        code = self.machine.close_code
        return ABNORMAL if code is None and self.is_over else code

    @property
    def close_reason(self) -> str:
        """Return the reason of the peer's Close."""
        return self.machine.close_reason

    @property
    def is_over(self) -> bool:
        """Return whether nothing can be sent any more, and nothing more will arrive."""
        return self.failure is not None or self.machine.closed or self.machine.finished

    def outcome(self) -> WebSocketException:
        """Return a new exception that says how the WebSocket ended, or that it is being closed by this side."""
        machine, failure = self.machine, self.failure
        if machine.closed:
            assert machine.close_code is not None
            return WebSocketDisconnect(machine.close_code, machine.close_reason, by_peer=machine.closed_by_peer)
        if self._code is not None:
            return WebSocketDisconnect(ABNORMAL, "", by_peer=False)
        if failure is not None:
            return again(failure)
        error = machine.error
        new = WebSocketNetworkError(str(error or CLOSED_HERE))
        new.__cause__ = None if error is None else RemoteProtocolError(str(error))
        return new

    def fail(self, cause: BaseException) -> WebSocketException:
        """Note that the connection cannot be used any more, and return what to raise."""
        if self.machine.closed:
            self.take_in(b"")  # no Close and no message was lost: this is the end of the connection, too
        elif self.failure is None:
            failure = WebSocketNetworkError(str(cause) or type(cause).__name__)
            # Not `cause` itself, which was raised and refers to the frames that it came through.
            failure.__cause__ = copy_of(cause)
            self.failure = failure
        return self.outcome()

    # For the shells.

    def take_in(self, data: bytes) -> None:
        """Give the machine what has arrived; b"" is the peer's end."""
        self._heard += 1
        machine = self.machine
        if data:
            machine.receive(data)
            if machine.pings_answered != self._answered:
                self._tell_pongs()
        elif not self._ended:
            self._ended = True
            machine.receive(b"")

    def go_on(self) -> None:
        """Let the machine go on with what waited until all messages were taken."""
        self.machine.resume()
        if self.machine.pings_answered != self._answered:
            self._tell_pongs()

    def begin_close(self, code: int, reason: str | None) -> None:
        """Queue our Close, unless one was sent. Raises LocalProtocolError for a code or a reason that is not legal."""
        was_closing = self.machine.closing
        self.machine.close(code, reason or "")
        if not was_closing and not self.machine.closed_by_peer:
            self._code = code

    def begin_ping(self, payload: bytes, pong: Callable[[Any, int, float], Any]) -> Any:
        """Queue a ping and return its pong. Raises LocalProtocolError for a long payload."""
        made = pong(self, self.machine.ping(payload or None), self._now())
        self._pongs = (*(kept for kept in self._pongs if kept() is not None), weakref.ref(made))
        return made

    def due(self, is_reading: bool) -> bool:
        """
        Look at the time; return whether a ping was queued.

        Raises:
            WebSocketException: the peer is gone.
        """
        machine = self.machine
        if machine.closing:
            return False
        action = self._heartbeat.look(self._now(), self._heard, is_reading)
        if action == GONE:
            raise self.fail(TimeoutError(self._heartbeat.problem()))
        if action == PING_IS_DUE:
            machine.ping()
        return action == PING_IS_DUE

    @property
    def tick(self) -> float:
        """Return the seconds between two calls of `due`."""
        return self._heartbeat.tick

    def _tell_pongs(self) -> None:
        self._answered = number = self.machine.pings_answered
        now = self._now()
        waiting = []
        for kept in self._pongs:
            pong = kept()
            if pong is not None and pong._number <= number:
                pong.answered(now)
            elif pong is not None:
                waiting.append(kept)
        self._pongs = tuple(waiting)


def again(failure: WebSocketException) -> WebSocketException:
    """Return a new exception that says the same; see `job.again`."""
    new = type(failure)(*failure.args)
    new.__cause__ = failure.__cause__
    return new


def copy_of(cause: BaseException) -> BaseException:
    """Return an exception like `cause` without its traceback; itself if it cannot be made again."""
    try:
        new = type(cause)(*cause.args)
    except Exception:
        new = cause
    return new.with_traceback(None)


def until_of(seconds: float | None, now: float) -> float | None:
    """Return when a wait that begins now ends, None for never."""
    return None if seconds is None or seconds >= FOREVER else now + seconds
