"""
Call a function in its own thread while the event loop goes on.

For sync sources of request bodies that are read in async code. `_files` does not know of event loops; it gets this
function when the package is imported.

Rejected: asyncio's executor, because its few threads are shared with the program, and `asyncio.run` waits for them at
the end, so that a silent pipe would keep a program from ending; `trio.to_thread` counts such threads, too. A thread
costs 60 us, and only reads that take far longer get one.

Not here: the decision which calls get a thread (`_files.Pace`).
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import Any, Callable

from .. import _files
from .default import _running


async def in_thread(function: Callable[[], Any]) -> Any:
    """
    Return the result of a function that runs in a thread, or in the caller's if no thread can be started.

    A cancellation does not wait for the function: the thread ends by itself, and its outcome is dropped.
    """
    wait = _in_trio if type(_running()).__module__.startswith("trio.") else _in_asyncio
    return await wait(function)


def _start(function: Callable[[], Any], finish: Callable[[Any, BaseException | None], None]) -> bool:
    """Start a thread that passes its outcome to `finish`; return False if it cannot be started."""

    def work() -> None:
        try:
            result, error = function(), None
        except BaseException as exc:
            result, error = None, exc
        with suppress(RuntimeError):  # the loop has ended
            finish(result, error)
        del result, error  # the error's traceback holds this frame

    try:
        # At the end of a process, in some subinterpreters and on some platforms no thread can be started.
        Thread(target=work, name="httpx.body", daemon=True).start()
    except RuntimeError:
        return False
    return True


async def _in_asyncio(function: Callable[[], Any]) -> Any:
    import asyncio

    loop = asyncio.get_running_loop()
    waiting = [loop.create_future()]

    def settle(result: Any, error: BaseException | None) -> None:
        if not waiting or waiting[0].done():  # cancelled
            return
        if error is None:
            waiting[0].set_result(result)
        else:
            waiting[0].set_exception(error)

    def finish(result: Any, error: BaseException | None) -> None:
        loop.call_soon_threadsafe(settle, result, error)

    if not _start(function, finish):
        return function()
    try:
        return await waiting[0]
    finally:
        waiting.clear()  # it holds an error whose traceback holds this frame


async def _in_trio(function: Callable[[], Any]) -> Any:
    import trio

    token = trio.lowlevel.current_trio_token()
    done = trio.Event()
    outcome: list[Any] = []

    def finish(result: Any, error: BaseException | None) -> None:
        outcome.extend((result, error))
        token.run_sync_soon(done.set)

    if not _start(function, finish):
        return function()
    await done.wait()
    result, error = outcome
    outcome.clear()
    try:
        if error is not None:
            raise error
        return result
    finally:
        del error  # a traceback that holds its own frame lives until the next garbage collection


_files.use_threads(in_thread)
