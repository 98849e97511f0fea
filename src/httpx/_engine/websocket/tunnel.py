"""
A WebSocket on a stream of HTTP/2, for tasks: a `ForeignChannel` that is attended to while nothing is received from it.

On asyncio a timer does that, on trio the keeper of all channels.

Not here: the bytes (`http2.tunnel`), what threads have, which is a `SyncChannel`.
"""

from __future__ import annotations

import weakref
from typing import Any

from ..._exceptions import TransportError
from ..._protocol.websocket import WebSocketMachine
from ..loops import is_trio
from .common import Timing
from .foreign import ForeignChannel


class TunnelChannel(ForeignChannel):
    """
    A WebSocket on a tunnel.

    Args:
        stream: an `AsyncTunnel`.
    """

    __slots__ = ("_timer",)

    linger = 0.0  # see `SyncTunnel`
    keeps_rest = True

    def __init__(self, stream: Any, machine: WebSocketMachine, timing: Timing) -> None:
        super().__init__(stream, machine, timing)
        self._timer: Any = None
        if is_trio():
            from .trio import keeper_here

            keeper_here().add(self)
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        import asyncio

        # Weakly, or the timer of a session that was dropped would keep its place on the connection.
        self._timer = asyncio.get_running_loop().call_later(self.tick, _on_time, weakref.ref(self))

    async def attend(self) -> None:
        """Do what is due; called by trio's keeper."""
        self.look()

    def look(self) -> None:
        """Take input while no task does, answer it, and ping."""
        machine, stream = self.machine, self._stream
        if machine.full and not self.messages:
            self.go_on()
        reads = not machine.full
        try:
            while not (self._reads or machine.full or self.is_over):
                data = stream.take_now()
                if not data:
                    break
                self.take_in(data)
            self.due(reads)
            self._answer_now()
        except TransportError as exc:
            self.fail(exc)
            stream.close_now()  # which wakes the task that waits
        self._changed.wake()

    async def _answer(self) -> None:
        try:
            self._answer_now()
        except TransportError as exc:
            self.fail(exc)

    def _answer_now(self) -> None:
        """Send what the machine has as far as the windows allow, so that a task that receives need not wait for it."""
        machine, stream = self.machine, self._stream
        if (machine.output or machine.pongs) and not self._sends and not stream.write_now():
            stream.write_now(bytes(machine.take()))

    def _end(self) -> None:
        super()._end()
        if self._timer is not None:
            self._timer.cancel()


def _on_time(reference: weakref.ref[TunnelChannel]) -> None:
    channel = reference()
    if channel is not None and not channel.is_over:
        channel._set_timer()
        channel.look()
