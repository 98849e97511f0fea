"""
The bytes of a session on a wire, for shells without a callback on the socket (threads, trio).

One thread or task at a time receives for all streams, and passes that turn on when it goes. Here is what it does with
the socket, which never waits.

Not here: whose turn it is, and waiting (`http2.sync`, `http2.trio`).
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Callable

from ..._exceptions import ReadError, TransportError, WriteError
from ..wire import Data, Wire
from .session import Session

# How many times `catch_up` receives at most, so that a peer that never stops sending cannot keep a request from being
# sent. A connection that was idle has one or two of these to take.
_MAX_LOOKS = 16


class Carrier:
    """
    A session and its wire.

    Args:
        wire: the connection's.
        session: the requests on it.
        waiting: the streams whose owner waits for another one; while it is empty, `on_change` need not wake any.
        on_change: called when the pool should be told something, or a stream of `waiting` may have news.

    Attributes:
        unsent: bytes that the socket did not take at once.
    """

    __slots__ = ("_on_change", "_waiting", "session", "unsent", "wire")

    def __init__(self, wire: Wire, session: Session, waiting: Sized, on_change: Callable[[], None]) -> None:
        self.wire = wire
        self.session = session
        self.unsent: Data = b""
        self._waiting = waiting
        self._on_change = on_change

    def begin(self) -> None:
        """Take what the peer has sent together with the end of the handshakes, and send our preface."""
        early, session, tls = self.wire.take_early(), self.session, self.wire.tls
        if early:
            session.received(early)
        if tls is not None and tls.ended:
            session.received(b"")
        self.flush()

    def flush(self) -> None:
        """Send what there is, as far as the socket takes it at once; the rest stays in `unsent`."""
        session, wire = self.session, self.wire
        machine = session.machine
        if session.is_broken:
            return
        try:
            while self.unsent or machine.output:
                data = self.unsent
                stalled = len(data)
                if not stalled:
                    taken = machine.take()
                    session.batches += 1
                    data = taken if wire.tls is None else wire.tls.encrypt(taken)
                    if machine.progressed:  # there is room for the bodies of others, who do not know
                        session.news.update(machine.progressed)
                        machine.progressed.clear()
                self.unsent = wire.send(data)
                if stalled and len(self.unsent) < stalled:
                    session.note_moved()
                if self.unsent:
                    session.stalls = True
                    break
                session.stalls = False
        except WriteError as exc:
            self.unsent = b""
            session.fail(exc, sending=True)
            self._on_change()
        except BaseException as exc:
            # An interrupt in between: bytes are lost, and with them the peer's header tables.
            self.lose(WriteError(f"sending was interrupted: {type(exc).__name__}"))
            raise
        if self._waiting and session.news:
            self._on_change()

    def take_input(self) -> bool:
        """Receive what is there, for all streams and without waiting; False if nothing is there."""
        session, tls = self.session, self.wire.tls
        machine = session.machine
        try:
            data = self.wire.receive_raw()
            if data is None:
                return False
            ended = not data
            if tls is not None:
                data = tls.receive(data)
                ended = tls.ended
                if tls.due:
                    self.unsent = b"".join((self.unsent, tls.pending()))
            if data:
                session.received(data)
            if ended:
                session.received(b"")
            if machine.progressed:
                session.news.update(machine.progressed)
                machine.progressed.clear()
        except TransportError as exc:
            self.lose(exc)
            return True
        except BaseException as exc:
            # An interrupt in between: bytes are lost, and what follows would be taken for something else.
            self.lose(ReadError(f"receiving was interrupted: {type(exc).__name__}"))
            raise
        if self.unsent or machine.output:
            self.flush()
        if machine.max_streams != session.told or (self._waiting and session.news):
            self._on_change()
        return True

    def catch_up(self) -> None:
        """Take all that the peer has sent since the last look, up to its end: it may have said that it goes away."""
        poll, session = self.wire.poll, self.session
        looks = 0
        while session.error is None and looks < _MAX_LOOKS and poll(0):
            looks += 1
            self.take_input()
            if session.machine.error is not None:
                return

    def lose(self, error: TransportError) -> None:
        """Note that the connection failed: nothing more is received or sent."""
        self.unsent = b""
        self.session.fail(error)
        self._on_change()

    def say_goodbye(self) -> None:
        """Tell the peer that the connection is closed, if that needs no waiting, and fail the requests on it."""
        if not self.session.is_broken and not self.unsent:
            data, tls = self.session.machine.close(), self.wire.tls
            try:
                self.unsent = self.wire.send(data if tls is None else tls.encrypt(data))
            except WriteError:
                pass
        self.wire.unsent = self.unsent  # it may end within a record, and then close_notify must not follow
        self.session.close()
        self._on_change()
        self._on_change = _nothing  # else what is left of the two would be a cycle


def _nothing() -> None:
    """For a connection that is closed."""
