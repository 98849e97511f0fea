"""
What a cold path asks its shell to do: the operations that a generator yields.

A cold path (`connecting`, `raw`) is a generator. It yields one of these operations; the shell carries it out, waiting
as only it can, and sends the result back into the generator. If the operation fails, the shell throws the exception
into the generator. A shell that stops early closes the generator.

    Resolve(host, port, until)   -> list of addresses, or None if time is up
    Connect(race, until)         -> connected socket, or None if the race is lost or time is up
    Send(data, until)            -> True when the socket has taken all of it, False if time is up
    Receive(until)               -> bytes, b"" at the end of the peer's side, None if time is up
    Sleep(until)                 -> None
    Tell(events)                 -> None

`until` is a moment on the shell's clock, None for no limit. `Send` and `Receive` are about the socket itself, below any
TLS: the socket that the last `Connect` gave, or the one of the connection that the generator was made for.

These are operations, not readiness, so that event loops without `add_reader` can carry them out.

Not here: carrying them out (`sync`, `asyncio`, `trio`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, Optional, TypeVar, Union

from .race import Race
from .story import Event


class Resolve(NamedTuple):
    """
    Ask which addresses a host has.

    Result: `list[Address]`, not empty; None if `until` has passed.
    Raises: ConnectError.
    """

    host: str
    port: int
    until: Optional[float]


class Connect(NamedTuple):
    """
    Try the addresses of a race, each when it is due, until one is connected.

    Result: the connected `socket.socket`, non-blocking, which the generator has to close if it fails; None if every
    address has failed (`race.lost`) or `until` has passed. All other sockets are closed.
    """

    race: Race
    until: Optional[float]


class Send(NamedTuple):
    """
    Hand all of `data` to the socket, after everything that was handed to it before.

    Result: True when the socket has taken all of it; False if `until` has passed.
    Raises: WriteError.
    """

    data: bytes
    until: Optional[float]


class Receive(NamedTuple):
    """
    Receive what the socket has next.

    Result: the bytes, b"" at the end of the peer's side; None if `until` has passed, also where a peer sends without
    end.
    Raises: ReadError.
    """

    until: Optional[float]


class Sleep(NamedTuple):
    """
    Wait until a moment.

    Result: None.
    """

    until: float


class Tell(NamedTuple):
    """
    Deliver events to the request's trace callback, and wait for it where it is async.

    Result: None.
    Raises: what the callback raises.
    """

    events: list[Event]


Operation = Union[Resolve, Connect, Send, Receive, Sleep, Tell]

T = TypeVar("T")

# A cold path that ends with a T. What it is sent depends on the operation: each says what its result is.
Steps = Generator[Operation, Any, T]
