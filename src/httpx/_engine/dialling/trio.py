"""
The operations of a dial on trio: try at once, else wait for readiness under a cancel scope.

Not here: which operations there are (`operations`), what they are for (`connecting`).
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable
from functools import partial
from typing import Any, Callable, TypeVar

import trio

from ..._exceptions import ConnectError, ReadError, WriteError
from ..job import Job
from ..names import Address, resolve_error
from ..operations import Connect, Operation, Receive, Resolve, Send, Sleep, Steps, Tell
from ..race import Race
from ..settings import Settings
from ..sockets import is_in_progress, new_socket
from ..wire import SMALL_READ

T = TypeVar("T")


class TrioDialling:
    """
    Carries out the operations of one dial in the task that runs it.

    Args:
        settings: of the transport.
        job: the request that wants the connection.
    """

    def __init__(self, settings: Settings, job: Job) -> None:
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
            return await trio.sleep_until(operation.until)
        return await self._tell(operation)

    async def _tell(self, operation: Tell) -> None:
        narrator = self._job.narrator
        if narrator is not None and narrator.callback is not None:
            for event in operation.events:
                result = narrator.callback(*event)
                if result is not None:
                    await result

    async def _send(self, data: bytes, until: float | None) -> bool:
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
            if not await _ready(trio.lowlevel.wait_writable, sock, until):
                return False

    async def _receive(self, until: float | None) -> bytes | None:
        sock = self._sock
        assert sock is not None
        while True:
            # Where something always arrives no wait is long enough to be ended, neither by time nor by a cancellation.
            if until is not None and trio.current_time() >= until:
                return None
            await trio.lowlevel.checkpoint_if_cancelled()
            try:
                data = sock.recv(SMALL_READ)
            except (BlockingIOError, InterruptedError):
                if not await _ready(trio.lowlevel.wait_readable, sock, until):
                    return None
            except OSError as exc:
                raise ReadError(f"receiving failed: {exc.strerror or exc}") from exc
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()  # fair to other tasks
                return data

    async def _resolve(self, host: str, port: int, until: float | None) -> list[Address] | None:
        names = self._settings.names
        with _scope(until):
            try:
                if names.is_awaited:
                    return names.learn(host, port, await names.resolver(host, port))  # type: ignore[misc]  # there is one
                if names.resolver is None and _has_custom_resolver():
                    # It decides about names everywhere in this trio run: that is what tests set it for.
                    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                    return names.learn(host, port, found)
            except ConnectError:
                raise
            except Exception as exc:
                raise resolve_error(host, exc) from exc
            while True:
                # Not `trio.to_thread`: its threads are few, and a look-up that hangs would keep one from all others.
                look_up, over = names.look_up(host, port), trio.Event()
                look_up.when_over(partial(_from_a_thread, trio.lowlevel.current_trio_token(), over))
                await over.wait()
                addresses = look_up.addresses()
                if addresses is not None:
                    return addresses
        return None

    async def _connect(self, race: Race, until: float | None) -> socket.socket | None:
        """Happy Eyeballs: overlapping attempts, each a task, until one succeeds, all have failed, or time is up."""
        attempts = _Attempts(self._settings, race)
        try:
            async with trio.open_nursery() as nursery:
                nursery.cancel_scope.deadline = math.inf if until is None else until
                nursery.start_soon(attempts.begin, nursery)
        except BaseException:
            if attempts.winner is not None:
                attempts.winner.close()  # cancelled after it had won
            raise
        if attempts.broken is not None:
            broken, attempts.broken = attempts.broken, None
            try:
                raise broken
            finally:
                del broken  # it holds this frame
        return attempts.winner


class _Attempts:
    """
    The attempts of one race, each a task.

    The tasks are protected from Ctrl-C, as that which dials is: what is below a system task of trio and raises
    KeyboardInterrupt is an internal error of trio.

    Attributes:
        winner: the first socket that was connected.
        broken: what no attempt can get over; out of a task it would come as a group of exceptions.
    """

    def __init__(self, settings: Settings, race: Race) -> None:
        self._settings = settings
        self._race = race
        self._changed = trio.Event()
        self.winner: socket.socket | None = None
        self.broken: Exception | None = None

    @trio.lowlevel.enable_ki_protection
    async def begin(self, nursery: trio.Nursery) -> None:
        """Begin every attempt that is due, and sleep until the next one is, or until one has failed."""
        race = self._race
        while True:
            while (address := race.next(trio.current_time())) is not None:
                nursery.start_soon(self._attempt, address, nursery)
            if race.due is None:
                return
            self._changed = trio.Event()
            with _scope(race.due):
                await self._changed.wait()

    @trio.lowlevel.enable_ki_protection
    async def _attempt(self, address: Address, nursery: trio.Nursery) -> None:
        sock: socket.socket | None = None
        try:
            sock = new_socket(address, self._settings)
            code = sock.connect_ex(address[4])
            if is_in_progress(code):
                await trio.lowlevel.wait_writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._failed(address, OSError(code, ""))
            elif self.winner is None:
                self.winner, sock = sock, None
                nursery.cancel_scope.cancel()
        except OSError as exc:
            self._failed(address, exc)
        except Exception as exc:  # such as a socket option of the wrong type
            self.broken = exc.with_traceback(None)
            nursery.cancel_scope.cancel()
        finally:
            if sock is not None:
                sock.close()

    def _failed(self, address: Address, error: OSError) -> None:
        self._race.failed(address, error, trio.current_time())
        self._changed.set()


def _scope(until: float | None) -> trio.CancelScope:
    return trio.CancelScope(deadline=math.inf if until is None else until)


async def _ready(wait: Callable[[socket.socket], Awaitable[None]], sock: socket.socket, until: float | None) -> bool:
    with _scope(until) as scope:
        await wait(sock)
    return not scope.cancelled_caught


def _from_a_thread(token: trio.lowlevel.TrioToken, event: trio.Event) -> None:
    """Wake the task that waits for the event, if the run has not ended meanwhile."""
    try:
        token.run_sync_soon(event.set)
    except trio.RunFinishedError:
        pass  # nothing waits any more


def _has_custom_resolver() -> bool:
    """Was `trio.socket.set_custom_hostname_resolver` called? Only calling it again tells."""
    custom = trio.socket.set_custom_hostname_resolver(None)
    trio.socket.set_custom_hostname_resolver(custom)
    return custom is not None
