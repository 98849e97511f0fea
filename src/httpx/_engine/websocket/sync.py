"""
A WebSocket for threads: one of them may receive while others send, or close it.

Three locks:

    _read_turn     one thread takes input from the stream
    _write_turn    one thread puts frames on the stream; held until its frame has left
    _lock          the machine, which both use; never held while anything waits, and taken last

A thread that has one of the turns only tries the other one, without waiting. Each of the three knows which thread has
it, so that an exception out of a signal handler leaves none locked (`_interrupted`). Such an exception ends the session
if it came in the middle of sending or receiving: what had left, and what had arrived, is not known.

What the machine has to send after input (pongs, the response to a Close) is sent by the thread that took the input, or
by the one that has the turn to write: that one looks again after it has given the turn back.

Not here: what needs no waiting (`common`), the stream's bytes (`sync_stream`), input that nothing waits for (`keeper`).
"""

from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import Any, Callable, Protocol

from ..._exceptions import LocalProtocolError, ReadError, ReadTimeout, TransportError, WriteTimeout
from ..._forks import FORKS, unlock
from ..._protocol.websocket import Message, WebSocketMachine
from ..._websocket_exceptions import WebSocketTimeout
from ..raw import moment
from .common import LINGER, READ_SIZE, Channel, PongState, Timing, until_of
from .keeper import KEEPER

# Seconds after which a thread looks again that waits for a pong while messages that nothing takes are in the way.
LOOK_UP = 0.05


class Stream(Protocol):
    """What a channel needs of the bytes below it; see `SyncStream`."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes: ...
    def write_now(self, data: Any = b"") -> int: ...
    def wait_for_either(self, until: float | None, reads: bool) -> bool: ...
    def close(self) -> None: ...


class SyncPong(PongState):
    """The answer to a ping."""

    __slots__ = ()

    def wait(self, timeout: float | None = None) -> bool:
        """
        Wait until the peer has answered; return whether it has.

        Args:
            timeout: seconds; None for as long as the WebSocket is open.

        Raises:
            WebSocketDisconnect, WebSocketNetworkError: the WebSocket ended before.
        """
        self._channel.wait_for_pong(self, timeout)
        return self.is_set()


class SyncChannel(Channel):
    """
    A WebSocket on a stream, for threads.

    Args:
        stream: carries the bytes.
    """

    __slots__ = ("_lock", "_read_turn", "_stream", "_write_turn")

    def __init__(self, stream: Stream, machine: WebSocketMachine, timing: Timing) -> None:
        super().__init__(machine, timing, monotonic)
        self._stream = stream
        self._make_locks()
        KEEPER.add(self)
        FORKS.leave(stream)

    def _make_locks(self) -> None:
        self._lock = threading.RLock()
        self._read_turn = threading.RLock()
        self._write_turn = threading.RLock()

    def forget(self) -> None:
        """In a forked child: the session is the parent's, and another thread may have had the locks."""
        self._make_locks()
        forget = getattr(self._stream, "forget", None)
        if forget is not None:
            forget()
        self.machine.forget_keys()  # which the parent uses
        self.fail(LocalProtocolError("the WebSocket belongs to the process that this one was forked from"))

    # Sending.

    def send(self, message: Any) -> None:
        """
        Send a message; returns when the system has taken all of it.

        Raises:
            WebSocketDisconnect, WebSocketNetworkError: the WebSocket has ended.
            LocalProtocolError, TypeError: the message cannot be sent.
        """
        # What `_say` does, inlined: two frames of every message.
        machine = self.machine
        try:
            self._write_turn.acquire()
            with self._lock:
                if machine.closing or self.failure is not None:
                    raise self.outcome()
                machine.send(message)
                data = machine.take()
            try:
                left = self._stream.write_now(data)
                if left:
                    self._send_rest(left)
            except TransportError as exc:
                self.fail(exc)
            if self.failure is not None:
                raise self.outcome()
            self._write_turn.release()
        except BaseException as exc:
            self._interrupted(exc)
            raise
        if machine.output or machine.pongs:
            self._flush()

    def ping(self, payload: bytes) -> SyncPong:
        """Send a ping and return its pong. Raises as `send`."""
        return self._say(self.begin_ping, payload, SyncPong)  # type: ignore[no-any-return]  # what it returns

    def _say(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function that queues a frame, and send what there is."""
        machine = self.machine
        try:
            self._write_turn.acquire()
            with self._lock:
                if machine.closing or self.failure is not None:
                    raise self.outcome()
                result = function(*args)
                data = machine.take()
            try:
                left = self._stream.write_now(data)
                if left:
                    self._send_rest(left)
            except TransportError as exc:
                self.fail(exc)
            if self.failure is not None:
                raise self.outcome()
            self._write_turn.release()
        except BaseException as exc:
            self._interrupted(exc)
            raise
        if machine.output or machine.pongs:
            self._flush()
        return result

    def _send_rest(self, left: int) -> None:
        """
        Wait until the peer has taken what is left.

        Raises:
            WriteTimeout: it took nothing for too long.
        """
        seconds = self._timing.write
        until = until_of(seconds, monotonic())
        while left:
            self._wait_to_write(until)
            before, left = left, self._stream.write_now()
            if left < before:
                until = until_of(seconds, monotonic())
            elif until is not None and monotonic() >= until:
                raise WriteTimeout(f"the peer took nothing of a message within the write timeout of {seconds or 0:g} s")

    def _wait_to_write(self, until: float | None) -> None:
        """Wait a moment for room. Input is taken meanwhile: both may be sending, and on HTTP/2 it opens the window."""
        reads = not self.machine.full and self._read_turn.acquire(False)
        try:
            self._stream.wait_for_either(until, reads)
            if reads:
                self._take_what_is_there()
        finally:
            if reads:
                self._read_turn.release()

    def _flush(self) -> None:
        """Send what the machine has, as far as that needs no waiting, unless another thread is sending."""
        machine = self.machine
        try:
            while (machine.output or machine.pongs) and self._write_turn.acquire(False):
                try:
                    if self._stream.write_now():
                        return  # the peer takes nothing: pongs stay in the machine, which bounds them
                    with self._lock:
                        data = machine.take()
                    self._stream.write_now(data)
                except TransportError as exc:
                    self.fail(exc)
                    return
                finally:
                    unlock(self._write_turn)
        except BaseException as exc:
            self._interrupted(exc)
            raise

    def _interrupted(self, exc: BaseException) -> None:
        """Release what this thread has locked. An exception that is not ours came at an unknown point: the end."""
        for lock in (self._lock, self._write_turn, self._read_turn):
            unlock(lock)
        if self.failure is None and not isinstance(exc, (TransportError, TypeError, ValueError)):
            self.fail(ReadError(f"the WebSocket was interrupted, by {type(exc).__name__}"))

    # Receiving.

    def receive(self, timeout: float | None = None) -> Message:
        """
        Return the next message.

        Args:
            timeout: seconds; None for as long as the WebSocket is open.

        Raises:
            WebSocketTimeout: none arrived in time.
            WebSocketDisconnect, WebSocketNetworkError: the WebSocket has ended, and all messages were taken.
        """
        messages = self.messages
        until = None if timeout is None else moment(timeout, monotonic())
        while True:
            if self.machine.full and not messages:
                self._resume()
            if not messages and not self._read(until, messages):
                raise WebSocketTimeout(f"no message arrived within {timeout or 0:g} s")
            try:
                return messages.popleft()
            except IndexError:
                pass  # something else arrived, or another thread was first
            # In this order: what arrived before the end is there when the end is noted.
            if self.is_over and not messages and not self.machine.full:
                raise self.outcome()

    def _read(self, until: float | None, messages: Any = ()) -> bool:
        """
        Take input; False if time is up. What breaks the connection is noted.

        Args:
            messages: if another thread has filled this meanwhile, nothing is taken.
        """
        seconds = None if until is None else max(0.0, until - monotonic())
        turn = self._read_turn
        try:
            if not turn.acquire(False) and not turn.acquire(timeout=-1 if seconds is None else seconds):
                return False
            try:
                if not messages and not self.is_over:
                    data = self._stream.read(READ_SIZE, seconds)
                    with self._lock:
                        self.take_in(data)
            except ReadTimeout:
                turn.release()
                return False
            except TransportError as exc:
                self.fail(exc)
            turn.release()
        except BaseException as exc:
            self._interrupted(exc)
            raise
        if self.machine.output or self.machine.pongs:
            self._flush()
        return True

    def _take_what_is_there(self) -> None:
        """Take the input that has arrived; the caller has the turn. Sends nothing."""
        try:
            data = self._stream.read(READ_SIZE, 0)
        except ReadTimeout:
            return
        with self._lock:
            self.take_in(data)

    def _resume(self) -> None:
        """Go on with what waited until all messages were taken."""
        try:
            with self._lock:
                self.go_on()
        except BaseException as exc:
            self._interrupted(exc)
            raise
        self._flush()

    def wait_for_pong(self, pong: SyncPong, timeout: float | None) -> None:
        """Wait until a ping is answered, or time is up; see `SyncPong.wait`."""
        until = None if timeout is None else moment(timeout, monotonic())
        while not pong.is_set():
            if self.machine.full and not self.messages:
                self._resume()
            if self.is_over:
                raise self.outcome()
            if self.machine.full:  # only another thread can make room
                if until is not None and monotonic() >= until:
                    return
                sleep(LOOK_UP)
            elif not self._read(until):
                return

    # Ending.

    def close(self, code: int, reason: str | None) -> None:
        """
        Close the WebSocket: send a Close, wait for the peer's, and for the end of the connection.

        Never raises for what the peer does.

        Raises:
            LocalProtocolError: code or reason are not legal.
        """
        until = until_of(self._timing.close, monotonic())
        linger: float | None = None
        machine = self.machine
        try:
            with self._lock:
                self.begin_close(code, reason)
        except BaseException as exc:
            self._interrupted(exc)
            raise
        try:
            self._send_close(until)
            while not machine.finished and self.failure is None:
                if machine.closed and linger is None:
                    linger = monotonic() + getattr(self._stream, "linger", LINGER)
                    until = linger if until is None else min(linger, until)
                if not self._read_for_close(until):
                    break
        except TransportError as exc:
            self.fail(exc)
        except BaseException as exc:
            self._interrupted(exc)
            raise
        finally:
            self.abort()

    def _send_close(self, until: float | None) -> None:
        """Send our Close after what other threads are sending."""
        seconds = -1 if until is None else max(0.0, until - monotonic())
        if not self._write_turn.acquire(timeout=seconds):
            return
        try:
            with self._lock:
                data = self.machine.take()
            left = self._stream.write_now(data)
            while left and self.failure is None and (until is None or monotonic() < until):
                self._wait_to_write(until)
                left = self._stream.write_now()
        finally:
            self._write_turn.release()

    def _read_for_close(self, until: float | None) -> bool:
        """Take input until the end of the connection; messages are dropped by the machine. False if time is up."""
        seconds = None if until is None else max(0.0, until - monotonic())
        turn = self._read_turn
        if not turn.acquire(timeout=-1 if seconds is None else seconds):
            return False
        try:
            if not self.machine.finished:
                data = self._stream.read(READ_SIZE, seconds)
                with self._lock:
                    self.take_in(data)
            return until is None or monotonic() < until
        except ReadTimeout:
            return False
        finally:
            turn.release()

    def give_up(self, code: int) -> None:
        """Send a Close if that needs no waiting, and end the connection."""
        try:
            with self._lock:
                self.begin_close(code, "")
            self._flush()
        except BaseException as exc:
            self._interrupted(exc)
            raise
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection. What waits for it ends."""
        KEEPER.remove(self)
        if not self.is_over:
            self.fail(LocalProtocolError("the WebSocket was closed by this side"))
        self._stream.close()

    def attend(self) -> None:
        """Do what is due while no thread may be receiving: take input, answer it, ping. Called by the keeper."""
        machine = self.machine
        if machine.full and not self.messages:
            self._resume()
        reads = not machine.full
        try:
            if reads and not machine.closing and self._read_turn.acquire(False):
                try:
                    while not machine.full and not self.is_over:
                        data = self._stream.read(READ_SIZE, 0)
                        with self._lock:
                            self.take_in(data)
                except ReadTimeout:
                    pass
                finally:
                    self._read_turn.release()
            with self._lock:
                self.due(reads)
        except TransportError as exc:
            if self.failure is None:
                self.fail(exc)
            self._stream.close()  # wakes the threads that wait
        self._flush()
