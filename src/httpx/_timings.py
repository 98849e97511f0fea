"""
How long the phases of one request took.

    response.timings, error.timings -> Timings       what a caller gets, worked out when it is asked for

A connection keeps how it was made (`Dialled`). A request keeps what the client's own clock readings do not say
(`Stamps`): when it had its connection, if it had to wait for it, and when it was sent, if its first send did not take
all of it. A request that finds an idle connection and is sent at once keeps neither, and reads no clock for this.

All stamps of a request are differences on its engine's clock, so that they can be used beside another clock.

Not here: taking the stamps, which the engines and the clients do.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Optional, Union

from ._exceptions import RequestError, WriteError, WriteTimeout

Remote = Union[tuple[str, int], str, None]


class Timings(NamedTuple):
    """
    How long the phases of one request took, in seconds; None for a phase that did not happen or is not known.

    Redirects, authentication and retries send several requests: `response.timings` is about the last of them, and
    `response.history` has the others. The phases follow one another, and together are `total`.

    Attributes:
        queue: until the request had a connection, without the time that making it took. 0.0 if one was idle.
        resolve: looking up the host name. None for an address, or if the name was known.
        connect: TCP connections, attempts that failed and pauses between them included, and tunnels of proxies.
        tls: TLS handshakes, with a proxy and with the server.
        send: until the request was sent. 0.0 if the first send took all of it: its microseconds are part of `wait`.
        wait: until the head of the response.
        receive: until the body was read, or the response closed. None before that.
        total: all of them; with the head alone, until the head.
        reused: the connection was made for another request; None if there was none.
        remote: the address and port, or the path of the Unix socket, that the connection leads to: with a proxy, the
            proxy's.
        protocol: "HTTP/1.1" or "HTTP/2", as the response says; None if it is not known.

    Only `wait`, `receive` and `total` are known of a transport that is not the network, such as `MockTransport`.
    """

    queue: Optional[float]
    resolve: Optional[float]
    connect: Optional[float]
    tls: Optional[float]
    send: Optional[float]
    wait: Optional[float]
    receive: Optional[float]
    total: float
    reused: Optional[bool]
    remote: Remote
    protocol: Optional[str]


Timings.__module__ = "httpx"


class Dialled:
    """
    How a connection was made.

    Attributes:
        seconds: phase ("resolve", "connect", "tls") -> how long it took, all its parts together.
        remote: where the connection leads, once there is one.
        protocol: what is spoken on it, once it is made.
    """

    __slots__ = ("_phase", "_since", "protocol", "remote", "seconds")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.remote: Remote = None
        self.protocol: str | None = None
        self._phase: str | None = None
        self._since = 0.0

    def enter(self, phase: str | None, now: float) -> None:
        """Begin or continue a phase; the one before ends. None: no phase follows."""
        if self._phase is not None:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + max(0.0, now - self._since)
        self._phase, self._since = phase, now


class Stamps:
    """
    What a request notes of its time, on its engine's clock.

    Attributes:
        began: when it came to the engine.
        acquired: when it had its connection; None while it waits for it.
        sent: when it was sent, as far as the head of the response did not come before; None if that was at once.
        dial: of the connection that was made for it, if one was.
        failed_on: how the connection was made that it failed on.
    """

    __slots__ = ("acquired", "began", "dial", "failed_on", "sent")

    def __init__(self, began: float) -> None:
        self.began = began
        self.acquired: float | None = began
        self.sent: float | None = None
        self.dial: Dialled | None = None
        self.failed_on: Dialled | None = None


def of_response(
    waited: float, total: float | None, stamps: Stamps | Literal[False] | None, network_stream: Any, version: str | None
) -> Timings:
    """
    Return the timings of a response.

    Args:
        waited: seconds from the beginning to its head.
        total: seconds to its end; None if that has not come.
        stamps: of its request; False if there was nothing to note, None if they are not known.
        network_stream: the extension of this name.
        version: of the protocol.
    """
    used = dialled_of(network_stream)
    receive = None if total is None else max(0.0, total - waited)
    total = waited if total is None else total
    if used is None or stamps is None:  # from a transport of another kind, or copied by one
        return Timings(None, None, None, None, None, waited, receive, total, None, _remote_of(used), version)
    if not stamps:
        return Timings(0.0, None, None, None, 0.0, waited, receive, total, True, used.remote, version)
    queue, dial, send = _before_sending(stamps, used)
    wait = max(0.0, waited - queue - sum(dial.values()) - send)
    phases = (dial.get("resolve"), dial.get("connect"), dial.get("tls"))
    return Timings(queue, *phases, send, wait, receive, total, used is not stamps.dial, used.remote, version)


def of_failure(exc: RequestError, total: float) -> Timings:
    """
    Return the timings of a request without a response, up to its failure.

    Args:
        exc: has the stamps of the request, if it came to an engine.
        total: seconds until it failed. What no earlier phase took is of the one that failed.
    """
    stamps: Stamps | None = exc.__dict__.pop("_stamps", None)
    if stamps is None:
        return Timings(None, None, None, None, None, total, None, total, None, None, None)
    used = stamps.dial if stamps.acquired is None else stamps.failed_on
    remote, protocol = _remote_of(used), None if used is None else used.protocol
    if stamps.acquired is None:
        dial = {} if stamps.dial is None else stamps.dial.seconds
        queue = max(0.0, total - sum(dial.values()))
        phases = (dial.get("resolve"), dial.get("connect"), dial.get("tls"))
        return Timings(queue, *phases, None, None, None, total, None, remote, None)
    queue, dial, send = _before_sending(stamps, used)
    left = max(0.0, total - queue - sum(dial.values()))
    is_sending = isinstance(exc, (WriteError, WriteTimeout))
    sending, wait = (left, None) if is_sending else (min(send, left), max(0.0, left - send))
    phases = (dial.get("resolve"), dial.get("connect"), dial.get("tls"))
    reused = None if used is None else used is not stamps.dial
    return Timings(queue, *phases, sending, wait, None, total, reused, remote, protocol)


def _before_sending(stamps: Stamps, used: Dialled | None) -> tuple[float, dict[str, float], float]:
    """Return the times of the queue, of the dial if it was the request's own, and of sending."""
    began, acquired = stamps.began, stamps.began if stamps.acquired is None else stamps.acquired
    dial = used.seconds if used is not None and used is stamps.dial else {}
    queue = max(0.0, acquired - began - sum(dial.values()))
    return queue, dial, 0.0 if stamps.sent is None else max(0.0, stamps.sent - acquired)


def dialled_of(network_stream: Any) -> Dialled | None:
    """Return how the connection of a response was made, if it is one of ours."""
    ask = getattr(network_stream, "get_extra_info", None)
    if ask is None:
        return None
    try:
        found = ask("dial")
    except Exception:  # a stream of another transport, which does not know the name
        return None
    return found if isinstance(found, Dialled) else None


def _remote_of(used: Dialled | None) -> Remote:
    return None if used is None else used.remote
