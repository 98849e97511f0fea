"""
Carry out the steps of transfers (`_transfer`, `_upload`): in threads, on asyncio and on trio.

    carry_out(steps, send), await acarry_out(steps, send)     -> what the steps return

`carry_out` and `acarry_out` are twins, compared by a test. What blocks, because it uses files, is called in a thread
where there is an event loop: one thread for all steps, so they happen in their order. While it writes a batch of a
body, the next one arrives, and one more; then the download waits for it.

Not here: which request is sent (`send` is given), and what for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextvars import copy_context
from threading import Thread, get_ident
from typing import Any, Callable

from .._reading import lend_pieces, merge_chunks
from .._transfer import COPY, FILE, PARTS, REFUSE, SEND, Copy
from .default import _running
from .pauses import apause, pause
from .threads import Worker

Steps = Generator["tuple[int, Any]", Any, Any]
Sender = Callable[[Any], Any]  # or an async function

# Bytes that are worth waking a thread for, which takes 15 us. Not more: two to four batches are in memory, and what
# does not fit into the processor's cache is read from memory to be written (1.5 MiB: 4 to 7 % more). Without a loop
# there is no reason to wait for more than one piece.
_BATCH = 1 << 19
_PIECE = 0
# Seconds that the threads of other parts get to end, after one part has failed. They cannot write any more.
_LAST_WORDS = 1.0

# Until glibc has seen a large block freed, it may return the memory of each batch to the system and ask for it again:
# 5,000 page faults for 100 MB, a quarter of the time. This is allocated and freed, and only its first page is touched.
bytes(1 << 21).isspace()


class InPlace:
    """What a `Worker` is, where every function may block: it calls them here."""

    is_free = True

    def begin(self, function: Callable[[], Any]) -> None:
        function()

    def call(self, function: Callable[[], Any]) -> Any:
        return function()

    def end(self) -> None:
        pass


def carry_out(steps: Steps, send: Sender, begun: tuple[int, Any] | None = None) -> Any:
    """
    Return the result of steps.

    Args:
        send: sends a request that has these header fields; returns the response, unread.
        begun: the step at which they are; None if they are not begun.
    """
    response: Any = None
    worker = InPlace()
    try:
        step, value = begun or next(steps)
        while True:
            try:
                if step == SEND:
                    if response is not None:
                        response.close()
                    reply = response = send(value)
                elif step == COPY:
                    response = value.response
                    reply = copy(value, worker)  # type: ignore[func-returns-value]  # None is the outcome
                elif step == FILE:
                    reply = worker.call(value)
                elif step == REFUSE:
                    reply = value._drain()
                elif step == PARTS:
                    reply = at_once(value[0], value[1], value[2], send)  # type: ignore[func-returns-value]  # the same
                else:
                    reply = pause(value)  # type: ignore[func-returns-value]  # the same
            except BaseException as exc:
                step, value = steps.throw(exc)
            else:
                step, value = steps.send(reply)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()
        worker.end()
        if response is not None:
            response.close()


async def acarry_out(steps: Steps, send: Sender, begun: tuple[int, Any] | None = None) -> Any:
    """Return the result of steps, like `carry_out`."""
    response: Any = None
    worker = Worker()
    try:
        step, value = begun or next(steps)
        while True:
            try:
                if step == SEND:
                    if response is not None:
                        await response.aclose()
                    reply = response = await send(value)
                elif step == COPY:
                    response = value.response
                    reply = await acopy(value, worker)  # type: ignore[func-returns-value]  # None is the outcome
                elif step == FILE:
                    reply = await worker.call(value)
                elif step == REFUSE:
                    reply = await value._adrain()
                elif step == PARTS:
                    reply = await at_once_in_tasks(value[0], value[1], value[2], send)  # type: ignore[func-returns-value]  # the same
                else:
                    reply = await apause(value)  # type: ignore[func-returns-value]  # the same
            except BaseException as exc:
                step, value = steps.throw(exc)
            else:
                step, value = steps.send(reply)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()
        worker.end()
        if response is not None:
            await response.aclose()


def copy(one: Copy, worker: InPlace) -> None:
    """Let a body go to its file, as it arrives."""
    for piece in pieces_of(one):
        if one.take(piece, _PIECE) and (worker.is_free or one.waiting >= 2 * _PIECE):
            worker.begin(one.batch())
        if one.is_over:
            break
    worker.call(one.write)


async def acopy(one: Copy, worker: Worker) -> None:
    """Let a body go to its file in batches, each of which is written while the next one arrives."""
    async for piece in apieces_of(one):
        if one.take(piece, _BATCH) and (worker.is_free or one.waiting >= 2 * _BATCH):
            await worker.begin(one.batch())
        if one.is_over:
            break
    await worker.call(one.write)


def pieces_of(one: Copy) -> Iterator[bytes]:
    """Return the pieces of a body, each of which is written before the next one is asked for."""
    response = one.response
    merge_chunks(response)
    lend_pieces(response)
    return response.iter_bytes() if one.is_decoded else response.iter_raw()


def apieces_of(one: Copy) -> AsyncIterator[bytes]:
    """Return the pieces of a body, which are kept until there are enough of them."""
    response = one.response
    merge_chunks(response)  # also for memory: a batch of tiny ones would take 28 times as much
    return response.aiter_bytes() if one.is_decoded else response.aiter_raw()


class _Ended(Exception):
    """Another part has failed, so this one need not go on."""


def at_once(runs: list[Steps], width: int, first: Any, send: Callable[[Any], Any]) -> None:
    """
    Carry out several generators, so many at once, in this thread and others.

    Raises:
        The first exception of one; the others are ended.
    """
    waiting = runs[::-1]
    failures: list[BaseException] = []
    opened: dict[int, Any] = {0: first}  # thread -> its response

    def sending(fields: Any) -> Any:
        if failures:
            raise _Ended
        response = send(fields)
        opened[get_ident()] = response
        if failures:
            raise _Ended
        return response

    def work(run: Steps | None = None) -> None:
        while not failures:
            try:
                run = run or waiting.pop()
            except IndexError:  # nothing is left
                return
            try:
                carry_out(run, sending)
            except BaseException as exc:
                failures.append(exc)
                for response in list(opened.values()):  # which wakes the threads that wait for them
                    if response is not None:
                        response.close()
            run = None

    mine = waiting.pop()  # the first, before the others begin
    threads = []
    try:
        for _ in range(min(width, len(runs)) - 1):
            thread = Thread(target=copy_context().run, args=(work,), name="httpx.part", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # this one does their work
                break
            threads.append(thread)
        work(mine)
    except BaseException as exc:
        failures.append(exc)
    for thread in threads:
        while thread.is_alive() and not failures:
            thread.join(0.1)
        thread.join(_LAST_WORDS)
    if failures:
        try:
            raise failures[0]
        finally:
            failures.clear()  # a traceback that holds its own frame lives until the next garbage collection


async def at_once_in_tasks(runs: list[Steps], width: int, first: Any, send: Sender) -> None:
    """Carry out several generators like `at_once`, in tasks."""
    waiting = runs[::-1]

    async def work() -> None:
        while waiting:
            await acarry_out(waiting.pop(), send)

    count = min(width, len(runs))
    await (_in_nursery if type(_running()).__module__.startswith("trio.") else _in_tasks)(work, count)


async def _in_tasks(work: Callable[[], Any], count: int) -> None:
    import asyncio

    tasks = [asyncio.ensure_future(work()) for _ in range(count)]
    task = None
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.clear()
        task = None  # its error has a traceback that holds this frame


async def _in_nursery(work: Callable[[], Any], count: int) -> None:
    import trio

    failures: list[Exception] = []

    async def noted() -> None:
        try:
            await work()
        except Exception as exc:  # without the nursery's group around it
            failures.append(exc)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(noted)
    if failures:
        try:
            raise failures[0]
        finally:
            failures.clear()
