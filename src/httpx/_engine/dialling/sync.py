"""
The operations of a dial in a thread: each blocks until it is done or its time is up.

A wait ends by its own timeout and not by the clock, which a test may have frozen.

Not here: which operations there are (`operations`), what they are for (`connecting`).
"""

from __future__ import annotations

import socket
from time import monotonic, sleep
from typing import Any, TypeVar

from ..._exceptions import ReadError, WriteError
from ..job import Job
from ..names import Address
from ..operations import Connect, Operation, Receive, Resolve, Send, Sleep, Steps, Tell
from ..race import Race
from ..settings import Settings
from ..sockets import is_in_progress, new_socket, wait_for
from ..wire import SMALL_READ

T = TypeVar("T")


class SyncDialling:
    """
    Carries out the operations of one dial in the calling thread.

    Args:
        settings: of the transport.
        job: the request that wants the connection.
    """

    def __init__(self, settings: Settings, job: Job) -> None:
        self._settings = settings
        self._job = job
        self._sock: socket.socket | None = None

    def run(self, steps: Steps[T]) -> T:
        """Return the result of `steps`. Raises what they raise."""
        try:
            operation = steps.send(None)
            while True:
                try:
                    result = self._carry_out(operation)
                except BaseException as exc:
                    operation = steps.throw(exc)
                else:
                    operation = steps.send(result)
        except StopIteration as stop:
            connection: T = stop.value
            return connection
        except BaseException:
            # `steps` has closed it, unless a signal handler raised between two operations.
            if self._sock is not None:
                self._sock.close()
            raise
        finally:
            steps.close()

    def _carry_out(self, operation: Operation) -> Any:
        if isinstance(operation, Receive):
            return self._receive(operation.until)
        if isinstance(operation, Send):
            return self._send(operation.data, operation.until)
        if isinstance(operation, Connect):
            self._sock = self._connect(operation.race, operation.until)
            return self._sock
        if isinstance(operation, Resolve):
            return self._resolve(operation.host, operation.port, operation.until)
        if isinstance(operation, Sleep):
            return sleep(max(0.0, operation.until - monotonic()))
        return self._tell(operation)

    def _tell(self, operation: Tell) -> None:
        narrator = self._job.narrator
        if narrator is not None and narrator.callback is not None:
            for event in operation.events:
                narrator.callback(*event)

    def _resolve(self, host: str, port: int, until: float | None) -> list[Address] | None:
        while True:
            look_up = self._settings.names.look_up(host, port, wait=until is None)
            if not look_up.wait(None if until is None else max(0.0, until - monotonic())):
                return None
            addresses = look_up.addresses()
            if addresses is not None:
                return addresses

    def _send(self, data: bytes, until: float | None) -> bool:
        sock = self._sock
        assert sock is not None
        rest = memoryview(data)
        while True:
            try:
                rest = rest[sock.send(rest) :]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as exc:
                raise WriteError(f"sending failed: {exc.strerror or exc}") from exc
            if not rest:
                return True
            if not wait_for([], [sock], until):
                return False

    def _receive(self, until: float | None) -> bytes | None:
        sock = self._sock
        assert sock is not None
        while True:
            # Where something always arrives no wait is long enough to be ended.
            if until is not None and monotonic() >= until:
                return None
            if not wait_for([sock], [], until):
                return None
            try:
                return sock.recv(SMALL_READ)
            except (BlockingIOError, InterruptedError):  # pragma: no cover - a readiness that was none
                continue
            except OSError as exc:
                raise ReadError(f"receiving failed: {exc.strerror or exc}") from exc

    def _connect(self, race: Race, until: float | None) -> socket.socket | None:
        """Happy Eyeballs in one thread: attempts on non-blocking sockets, and one wait for all of them."""
        attempts: dict[socket.socket, Address] = {}
        winner: socket.socket | None = None
        now = monotonic()
        try:
            while True:
                winner = self._begin_attempts(race, attempts, now)
                if winner is not None or race.lost or (until is not None and now >= until):
                    return winner
                due = until if race.due is None else race.due if until is None else min(race.due, until)
                ready = wait_for([], list(attempts), due)
                now = monotonic()
                if not ready and due is not None:
                    now = max(now, due)  # a wait that ended by itself tells the time, too
                for sock in ready:
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code == 0:
                        winner = sock
                        return winner
                    race.failed(attempts.pop(sock), OSError(code, ""), now)
                    sock.close()
        finally:
            for sock in attempts:
                if sock is not winner:
                    sock.close()

    def _begin_attempts(self, race: Race, attempts: dict[socket.socket, Address], now: float) -> socket.socket | None:
        """Begin what is due; return the socket, if one connects at once."""
        while (address := race.next(now)) is not None:
            try:
                sock = new_socket(address, self._settings)
            except OSError as exc:
                race.failed(address, exc, now)
                continue
            attempts[sock] = address
            code = sock.connect_ex(address[4])
            if code == 0:
                return sock
            if not is_in_progress(code):
                race.failed(attempts.pop(sock), OSError(code, ""), now)
                sock.close()
        return None
