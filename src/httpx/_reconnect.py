"""
When a WebSocket that was lost is opened again, without I/O.

    Attempts     the connections of one iteration: how long to wait, and which failures are worth another try

What the caller wants is a `Reconnect`, as for event streams. The first wait is a random part of its `delay`; it
doubles with each failure in a row up to `max_delay`. Its `max_failures` counts openings that failed, and sessions that
ended early.

Not here: opening, clocks, waiting (`_websockets`).
"""

from __future__ import annotations

from socket import gaierror

from ._exceptions import NetworkError, ProxyError, RemoteProtocolError, TimeoutException, TransportError
from ._retry_after import retry_after
from ._subscription import Reconnect
from ._websocket_exceptions import WebSocketUpgradeError

# Seconds after which a session was a success, so that the next wait is a short one again. Not the opening: a server
# that accepts and drops would be asked without end.
HEALTHY = 30.0
# Seconds. Never a busy loop.
LEAST_WAIT = 0.1
# Seconds. What a server may ask for, by Retry-After.
LONGEST_ASKED = 300.0
# Doublings of the wait; by then it is as long as it may be.
_MAX_DOUBLINGS = 20

_PASSING = (NetworkError, TimeoutException, RemoteProtocolError, ProxyError)


class Attempts:
    """
    The sessions of one iteration.

    Args:
        policy: what the caller wants.

    Attributes:
        failures: in a row: openings that failed, and sessions that ended early.
    """

    def __init__(self, policy: Reconnect) -> None:
        self.policy = policy
        self.failures = 0
        self._begun = False
        self._asked = 0.0  # seconds that the server wants us to wait

    @property
    def is_first(self) -> bool:
        """Return whether nothing was tried yet."""
        return not self._begun

    def wait(self, chance: float) -> float:
        """
        Return the seconds until the next try: 0 before the first one.

        Args:
            chance: a random number from 0 to 1.
        """
        if not self._begun:
            self._begun = True
            return 0.0
        policy = self.policy
        longest = min(policy.max_delay, policy.delay * 2.0 ** min(max(0, self.failures - 1), _MAX_DOUBLINGS))
        spread = longest * chance if self.failures <= 1 else longest * (0.5 + chance / 2)
        asked, self._asked = self._asked, 0.0
        return max(LEAST_WAIT, spread, min(asked, LONGEST_ASKED))

    def may_retry(self, exc: TransportError) -> bool:
        """
        Count an opening that failed; return whether to try again.

        A name that is not known may be known again: a machine without a network knows none.
        """
        self.failures += 1
        if self.policy.max_failures is not None and self.failures >= self.policy.max_failures:
            return False
        if isinstance(exc, WebSocketUpgradeError):
            self._asked = retry_after(exc.response.headers) or 0.0
            return exc.response.status_code in self.policy.statuses
        return isinstance(exc, _PASSING) and (not exc._is_final or isinstance(exc.__cause__, gaierror))

    def ended(self, seconds: float) -> None:
        """Note that a session has ended, which was open for so long."""
        if seconds >= HEALTHY:
            self.failures = 0
        else:
            self.failures += 1
