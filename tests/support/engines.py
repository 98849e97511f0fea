"""
The drivers of `support.drivers`, ready for tests that look at what is left behind.

Two differences: the loop of "asyncio-fallback" can stop watching a socket (the standard library's own `sock_recv` does
that through the public method, which Windows' proactor does not need), and uvloop has run once before anybody counts
descriptors, because its first loop opens two that stay.
"""

from __future__ import annotations

import asyncio
import functools

from .depth import depth
from .drivers import Driver, LoopWithoutReaders, missing

ASYNC_NAMES = depth(("asyncio", "asyncio-fallback", "uvloop", "trio"), ("asyncio", "trio"))
ALL_NAMES = ("sync", *ASYNC_NAMES)


class LoopThatForgets(LoopWithoutReaders):
    """A loop without `add_reader` and `add_writer`, whose `sock_recv` and `sock_connect` clean up after themselves."""

    remove_reader = asyncio.SelectorEventLoop.remove_reader
    remove_writer = asyncio.SelectorEventLoop.remove_writer


class EngineDriver(Driver):
    """A driver; see the module."""

    def _loop(self) -> asyncio.AbstractEventLoop:
        if self.name == "uvloop":
            warm_uvloop()
        return LoopThatForgets() if self.name == "asyncio-fallback" else super()._loop()


@functools.cache
def warm_uvloop() -> None:
    """Let uvloop open what stays open, if it is there."""
    if missing("uvloop") is not None:
        return
    import uvloop

    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def driver_named(name: str) -> EngineDriver:
    """The driver; skips the test if it cannot run here."""
    import pytest

    reason = missing(name)
    if reason is not None:
        pytest.skip(reason)
    return EngineDriver(name)
