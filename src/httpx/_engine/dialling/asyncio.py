"""
The operations of a dial on asyncio, each bounded on the loop's own clock.

    AsyncioDialling   carries out the operations of one dial
    LoopSockets       sockets through `add_reader` and `add_writer`
    FallbackSockets   the same through `loop.sock_recv` and its kind, on loops without those (Windows' proactor loop)
    Attempts          the attempts of one race to connect to an address

An operation that was cancelled leaves no callback and no task on its socket, which the generator closes then.

Not here: which operations there are (`operations`), what they are for (`connecting`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from functools import partial
from typing import Any, Callable, TypeVar, Union

from ..._exceptions import ConnectError, ReadError, WriteError
from ..job import Job
from ..names import Address, Names, resolve_error
from ..operations import Connect, Operation, Receive, Resolve, Send, Sleep, Steps, Tell
from ..race import Race
from ..settings import Settings
from ..sockets import is_in_progress, new_socket
from ..wire import SMALL_READ

T = TypeVar("T")

# Called in a later turn of the loop with the outcome of an attempt to connect: None, or why it failed.
Done = Callable[["OSError | None"], None]


class LoopSockets:
    """Sockets of a loop that says when they are ready."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def connect(self, sock: socket.socket, address: Address, done: Done) -> None:
        """Begin to connect; `done` is told the outcome in a later turn of the loop."""
        code = sock.connect_ex(address[4])
        if is_in_progress(code):
            self._loop.add_writer(sock, self._connected, sock, done)
        else:
            self._loop.call_soon(done, OSError(code, "") if code else None)

    def _connected(self, sock: socket.socket, done: Done) -> None:
        self._loop.remove_writer(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        done(OSError(code, "") if code else None)

    def give_up(self, sock: socket.socket) -> None:
        """Close a socket, which the loop may be watching. Does nothing the second time."""
        if sock.fileno() >= 0 and not self._loop.is_closed():
            self._loop.remove_writer(sock)
            self._loop.remove_reader(sock)
        sock.close()

    async def send(self, sock: socket.socket, data: bytes, until: float | None) -> bool:
        """Hand all of `data` to the socket; return False if `until` has passed. Raises OSError."""
        rest = memoryview(data)
        while True:
            try:
                rest = rest[sock.send(rest) :]
            except (BlockingIOError, InterruptedError):
                pass
            if not rest:
                return True
            if not await self._ready(sock, until, self._loop.add_writer, self._loop.remove_writer):
                return False

    async def receive(self, sock: socket.socket, until: float | None) -> bytes | None:
        """Return what the socket has next; None if `until` has passed. Raises OSError."""
        while await self._ready(sock, until, self._loop.add_reader, self._loop.remove_reader):
            try:
                return sock.recv(SMALL_READ)
            except (BlockingIOError, InterruptedError):  # pragma: no cover - a readiness that was none
                pass
        return None

    async def _ready(
        self, sock: socket.socket, until: float | None, add: Callable[..., Any], remove: Callable[..., Any]
    ) -> bool:
        loop = self._loop
        waiter: asyncio.Future[bool] = loop.create_future()
        timer: asyncio.TimerHandle | None = None
        try:
            add(sock, _settle, waiter, True)
            if until is not None:
                timer = loop.call_at(until, _settle, waiter, False)
            return await waiter
        finally:
            remove(sock)
            if timer is not None:
                timer.cancel()


class FallbackSockets:
    """Sockets of a loop that only carries out whole operations."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._connecting: dict[socket.socket, asyncio.Task[None]] = {}

    def connect(self, sock: socket.socket, address: Address, done: Done) -> None:
        """Begin to connect; `done` is told the outcome in a later turn of the loop."""
        if address[0] == getattr(socket, "AF_UNIX", None):
            # Never under way, and `sock_connect` takes a full backlog for an attempt that is.
            code = sock.connect_ex(address[4])
            self._loop.call_soon(done, OSError(code, "") if code else None)
            return

        async def attempt() -> None:
            error: OSError | None = None
            try:
                await self._loop.sock_connect(sock, address[4])
            except OSError as exc:
                exc = exc.with_traceback(None)  # asyncio's frames hold the error
                error = OSError(exc.errno, "") if exc.errno else exc  # asyncio's words repeat the address
            self._connecting.pop(sock, None)
            done(error)

        self._connecting[sock] = self._loop.create_task(attempt())

    def give_up(self, sock: socket.socket) -> None:
        """Close a socket, which an operation of the loop may be using. Does nothing the second time."""
        task = self._connecting.pop(sock, None)
        if task is None or task.done():
            sock.close()
        else:
            # The loop still watches the socket until the task has seen its cancellation.
            task.add_done_callback(lambda _: sock.close())
            task.cancel()

    async def send(self, sock: socket.socket, data: bytes, until: float | None) -> bool:
        """Hand all of `data` to the socket; return False if `until` has passed. Raises OSError."""
        return await self._within(self._loop.sock_sendall(sock, data), until) is not None

    async def receive(self, sock: socket.socket, until: float | None) -> bytes | None:
        """Return what the socket has next; None if `until` has passed. Raises OSError."""
        done = await self._within(self._loop.sock_recv(sock, SMALL_READ), until)
        return None if done is None else done.result()

    async def _within(self, operation: Coroutine[Any, Any, T], until: float | None) -> asyncio.Task[T] | None:
        """
        Return the task that did the operation; None if `until` has passed.

        However it ends, the loop does not watch the socket any more: it may be closed. Raises OSError.
        """
        task = self._loop.create_task(operation)
        try:
            await asyncio.wait([task], timeout=None if until is None else max(0.0, until - self._loop.time()))
        except asyncio.CancelledError:
            await self._end(task)
            raise
        if not task.done():
            cancelled = await self._end(task)
            if cancelled is not None:
                raise cancelled
        if task.cancelled():
            return None
        error = task.exception()
        if error is None:
            return task
        try:
            raise error.with_traceback(None)  # asyncio's frames hold the error
        finally:
            del error, task  # and so would this one

    @staticmethod
    async def _end(task: asyncio.Task[Any]) -> asyncio.CancelledError | None:
        """Cancel the task and wait for its end, also if the waiting task is cancelled; return that cancellation."""
        cancelled: asyncio.CancelledError | None = None
        task.cancel()
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as exc:
                cancelled = exc.with_traceback(None)
        if not task.cancelled():
            task.exception()  # seen
        return cancelled


Sockets = Union[LoopSockets, FallbackSockets]


class AsyncioDialling:
    """
    Carries out the operations of one dial in the task that runs it.

    Args:
        sockets: of the loop.
        loop: the one that runs.
        settings: of the transport.
        job: the request that wants the connection.
    """

    def __init__(self, sockets: Sockets, loop: asyncio.AbstractEventLoop, settings: Settings, job: Job) -> None:
        self._sockets = sockets
        self._loop = loop
        self._settings = settings
        self._job = job
        self._sock: socket.socket | None = None

    async def run(self, steps: Steps[T]) -> T:
        """Return the result of `steps`. Raises what they raise; a cancellation ends them at the operation."""
        try:
            operation = steps.send(None)
            while True:
                try:
                    result = await self._carry_out(operation)
                except Exception as exc:
                    operation = steps.throw(exc)
                else:
                    operation = steps.send(result)
        except StopIteration as stop:
            connection: T = stop.value
            return connection
        except BaseException:
            # `steps` closes it, unless a signal handler raised between two operations.
            if self._sock is not None:
                self._sockets.give_up(self._sock)
            raise
        finally:
            steps.close()

    async def _carry_out(self, operation: Operation) -> Any:
        if isinstance(operation, Receive):
            return await self._receive(operation.until)
        if isinstance(operation, Send):
            return await self._send(operation.data, operation.until)
        if isinstance(operation, Connect):
            self._sock = await self._connect(operation.race, operation.until)
            return self._sock
        if isinstance(operation, Resolve):
            return await self._resolve(operation.host, operation.port, operation.until)
        if isinstance(operation, Sleep):
            return await asyncio.sleep(max(0.0, operation.until - self._loop.time()))
        return await self._tell(operation)

    async def _tell(self, operation: Tell) -> None:
        narrator = self._job.narrator
        if narrator is not None and narrator.callback is not None:
            for event in operation.events:
                result = narrator.callback(*event)
                if result is not None:
                    await result

    async def _send(self, data: bytes, until: float | None) -> bool:
        assert self._sock is not None
        try:
            return await self._sockets.send(self._sock, data, until)
        except OSError as exc:
            raise WriteError(f"sending failed: {exc.strerror or exc}") from exc

    async def _receive(self, until: float | None) -> bytes | None:
        assert self._sock is not None
        # Where something always arrives no wait is long enough to be ended.
        if until is not None and self._loop.time() >= until:
            return None
        try:
            return await self._sockets.receive(self._sock, until)
        except OSError as exc:
            raise ReadError(f"receiving failed: {exc.strerror or exc}") from exc

    async def _resolve(self, host: str, port: int, until: float | None) -> list[Address] | None:
        names = self._settings.names
        if names.is_awaited:
            return await self._await_resolver(names, host, port, until)
        while True:
            # Not `loop.getaddrinfo`: its threads are few and shared, and the end of the loop waits for them.
            answered: asyncio.Future[bool] = self._loop.create_future()
            look_up = names.look_up(host, port)
            look_up.when_over(partial(_from_a_thread, self._loop, answered))
            if not await self._is_over(answered, until):
                return None
            addresses = look_up.addresses()
            if addresses is not None:
                return addresses

    async def _await_resolver(self, names: Names, host: str, port: int, until: float | None) -> list[Address] | None:
        answered = asyncio.ensure_future(names.resolver(host, port))  # type: ignore[misc]  # there is one
        if not await self._is_over(answered, until):
            return None
        try:
            return names.learn(host, port, answered.result())
        except ConnectError:
            raise
        except Exception as exc:
            raise resolve_error(host, exc) from exc

    async def _is_over(self, answered: asyncio.Future[Any], until: float | None) -> bool:
        """Wait for the future; return False if `until` has passed. It is cancelled then."""
        try:
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with the result.
            await asyncio.wait([answered], timeout=None if until is None else max(0.0, until - self._loop.time()))
        finally:
            if not answered.done():
                answered.cancel()
            elif not answered.cancelled():
                answered.exception()  # seen, also if this task is cancelled just now
        return answered.done() and not answered.cancelled()

    async def _connect(self, race: Race, until: float | None) -> socket.socket | None:
        """Happy Eyeballs: overlapping attempts, until one succeeds, all have failed, or time is up."""
        attempts = Attempts(self._sockets, self._loop, self._settings, race)
        winner: socket.socket | None = None
        try:
            while True:
                now = self._loop.time()
                attempts.begin_due(now)
                winner = attempts.winner(now)
                if winner is not None or race.lost or (until is not None and now >= until):
                    return winner
                await attempts.wait(until)
        finally:
            attempts.drop_all_but(winner)


def _from_a_thread(loop: asyncio.AbstractEventLoop, future: asyncio.Future[bool]) -> None:
    """Wake the task that waits for the future, if the loop has not ended meanwhile."""
    try:
        loop.call_soon_threadsafe(_settle, future, True)
    except RuntimeError:
        pass  # nothing waits any more


def _settle(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)


class Attempts:
    """The attempts of one race: they report here, and wake the task that waits for them."""

    def __init__(self, sockets: Sockets, loop: asyncio.AbstractEventLoop, settings: Settings, race: Race) -> None:
        self._race = race
        self._io = sockets
        self._loop = loop
        self._settings = settings
        self._sockets: dict[socket.socket, Address] = {}
        self._ended: list[tuple[socket.socket, OSError | None]] = []
        self._waiter: asyncio.Future[None] | None = None

    def begin_due(self, now: float) -> None:
        """Begin every attempt that is due."""
        while (address := self._race.next(now)) is not None:
            try:
                sock = new_socket(address, self._settings)
            except OSError as exc:
                self._race.failed(address, exc, now)
                continue
            self._sockets[sock] = address
            self._io.connect(sock, address, partial(self._report, sock))

    def _report(self, sock: socket.socket, error: OSError | None) -> None:
        if sock in self._sockets:
            self._ended.append((sock, error))
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def winner(self, now: float) -> socket.socket | None:
        """Return the first socket that is connected; those that failed are told to the race."""
        for sock, error in self._ended:
            if error is None:
                return sock
            self._race.failed(self._sockets.pop(sock), error, now)
            self._io.give_up(sock)
        self._ended.clear()
        return None

    async def wait(self, until: float | None) -> None:
        """Wait until an attempt ends, the next one is due, or time is up."""
        if self._ended:
            return
        times = [when for when in (self._race.due, until) if when is not None]
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(min(times), self._wake) if times else None
        try:
            await self._waiter
        finally:
            if timer is not None:
                timer.cancel()

    def drop_all_but(self, winner: socket.socket | None) -> None:
        """Close the sockets of all other attempts, in every state."""
        for sock in self._sockets:
            if sock is not winner:
                self._io.give_up(sock)
        self._sockets.clear()
