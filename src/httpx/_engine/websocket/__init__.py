"""
WebSockets on connections, and on anything else that carries bytes both ways.

    common     a channel without waiting: its machine, its pings, how it ended
    sync       a channel for threads
    asyncio    a channel for tasks of asyncio, which the connection's callback feeds
    trio       a channel for tasks of trio
    keeper     attends to the channels of threads while nothing is received from them
    tunnel     a channel for tasks on a stream of HTTP/2
    foreign    byte streams of other packages
    pairs      two ends of a WebSocket without bytes, for tests

    sync_channel(stream, machine, timing)     the channel on the `network_stream` of a response
    async_channel(stream, machine, timing)

Not here: the opening handshake and the sessions that a caller sees (`_websockets`), frames (`_protocol.websocket`).
"""

from __future__ import annotations

import sys
from typing import Any

from ..._protocol.websocket import WebSocketMachine
from .common import Timing


def sync_channel(stream: Any, machine: WebSocketMachine, timing: Timing) -> Any:
    """Return the channel for threads on the `network_stream` of a response that opened a WebSocket."""
    from ..sync_stream import SyncStream
    from .foreign import ForeignStream
    from .sync import SyncChannel

    own = stream if hasattr(stream, "write_now") else _own(stream, SyncStream)
    return SyncChannel(ForeignStream(stream, timing.write) if own is None else own, machine, timing)


def async_channel(stream: Any, machine: WebSocketMachine, timing: Timing) -> Any:
    """Return the channel for tasks, of the library that is running, on the `network_stream` of a response."""
    for name, make in (("asyncio", _asyncio_channel), ("trio", _trio_channel)):
        module = sys.modules.get(f"{__package__.rpartition('.')[0]}.{name}_stream")
        own = None if module is None else _own(stream, getattr(module, f"{name.capitalize()}Stream"))
        if own is not None:
            return make(own, machine, timing)
    if hasattr(stream, "take_now"):
        from .tunnel import TunnelChannel

        return TunnelChannel(stream, machine, timing)
    from .foreign import ForeignChannel

    return ForeignChannel(stream, machine, timing)


def _asyncio_channel(stream: Any, machine: WebSocketMachine, timing: Timing) -> Any:
    from .asyncio import AsyncioChannel

    return AsyncioChannel(stream, machine, timing)


def _trio_channel(stream: Any, machine: WebSocketMachine, timing: Timing) -> Any:
    from .trio import TrioChannel

    return TrioChannel(stream, machine, timing)


def _own(stream: Any, kind: type) -> Any:
    """Return the stream of an engine, below a view that is also one of httpcore's streams; None if it is another."""
    for candidate in (stream, getattr(stream, "_connection", None)):
        if isinstance(candidate, kind):
            return candidate
    return None
