"""
Which addresses of a host are tried, in which order and when: RFC 8305 (Happy Eyeballs) as bookkeeping.

The shells make the attempts that `Race` asks for (`dialling`).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from .._exceptions import ConnectError, ConnectTimeout
from .names import Address

# RFC 8305 section 5: how long an attempt may be alone before the next address is tried too.
ATTEMPT_DELAY = 0.25


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Return the addresses without duplicates, in order, the families taking turns (RFC 8305 section 4)."""
    families: dict[int, list[Address]] = {}
    seen = set()
    for address in addresses:
        if (address[0], address[4]) not in seen:
            seen.add((address[0], address[4]))
            families.setdefault(address[0], []).append(address)
    queues = list(families.values())
    return [queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)]


class Race:
    """
    Attempts to connect to the addresses of one host, overlapping in time; the first that succeeds wins.

        while (address := race.next(now)) is not None: begin an attempt
        wait until an attempt ends, at most until race.due
        race.failed(address, error, now), or the winner is found: drop the others

    Args:
        host, port: for error messages.
        addresses: in the resolver's order.

    Attributes:
        found_full_backlog: the last attempt found a Unix socket whose backlog is full, and may be made again.
    """

    def __init__(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        self._name = f"{host}:{port}"
        self._waiting = interleaved(addresses)[::-1]
        self._total = len(self._waiting)
        self._running = 0
        self._errors: list[str] = []
        self._last_error: OSError | None = None
        # When the next attempt should begin, on the shell's clock; None once there is none.
        self.due: float | None = float("-inf") if self._waiting else None
        self.found_full_backlog = False

    def next(self, now: float) -> Address | None:
        """Return the address that should be tried now, or None."""
        if self.due is None or now < self.due:
            return None
        address = self._waiting.pop()
        self._running += 1
        self.due = now + ATTEMPT_DELAY if self._waiting else None
        return address

    def failed(self, address: Address, error: OSError, now: float) -> None:
        """Note that an attempt failed: the next one, if there is any, is due at once."""
        self._running -= 1
        text = error.strerror or (os.strerror(error.errno) if error.errno else str(error) or type(error).__name__)
        self._errors.append(f"{_readable(address)}: {text}")
        # Without the frames that it was raised in: they hold the race, and only the collector would end that.
        self._last_error = error.with_traceback(None)
        is_unix = address[0] == getattr(socket, "AF_UNIX", None)
        self.found_full_backlog = is_unix and error.errno in (errno.EAGAIN, errno.EWOULDBLOCK)
        if self._waiting:
            self.due = now

    @property
    def lost(self) -> bool:
        """Whether every address was tried and has failed."""
        return not self._running and not self._waiting

    def error(self) -> ConnectError:
        """Return the exception for a lost race: every address with its reason."""
        if not self._errors:
            return ConnectError(f"no address is known for {self._name}")
        lost = ConnectError(f"no connection to {self._name}: {'; '.join(self._errors)}")
        lost.__cause__ = self._last_error  # for callers that look for an errno
        return lost

    def timeout(self, seconds: float, total: bool = False) -> ConnectTimeout:
        """Return the exception for time that is up: how many addresses were tried, and why some had failed before."""
        tried = self._total - len(self._waiting)
        what = "total timeout" if total else "timeout"
        failed = "".join(f"; {error}" for error in self._errors)
        return ConnectTimeout(
            f"no connection to {self._name} within the {what} of {seconds:g} s "
            f"({tried} of {self._total} addresses tried{failed})"
        )


def _readable(address: Address) -> str:
    where = address[4]
    return str(where[0]) if isinstance(where, tuple) else str(where)


def backoff(attempt: int) -> float:
    """Return the seconds to wait before retry number `attempt` (0, 1, 2, ...): none, then 0.5, 1, 2, ..."""
    return 0.0 if attempt == 0 else 0.5 * 2 ** (attempt - 1)
