"""
How a connection is made, written once for every shell: generators that yield the operations of `operations`.

    Dial(job, ...).connect()   one dial: retries, look-up, race, proxies, TLS, and what HTTP begins with
    shake_hands(tls, until)    the TLS handshake on a connection that exists

A dial that fails closes its socket on every path: an exception, an operation that was cancelled (the shell closes the
generator), a callback that raises.

Not here: carrying out the operations (`dialling`), the order of addresses (`race`), which hops there are (`route`).
"""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from typing import Any, Callable, Generic, Protocol, TypeVar

from .._exceptions import ConnectError, ConnectTimeout, DestinationRefused, ProxyError, ReadError, WriteError
from .._protocol.tls import TLSFilter
from . import guarding
from .job import Job
from .names import Address, texts
from .operations import Connect, Receive, Resolve, Send, Sleep, Steps, Tell
from .race import Race, backoff
from .route import Handshake, Route
from .security import TLSHop
from .settings import Settings
from .sockets import unix_address
from .story import Event
from .wire import Wire

# Seconds between two attempts at a Unix socket whose backlog is full: the kernel does not tell when there is room.
FULL_BACKLOG_PAUSE = 0.02


class Connection(Protocol):
    """What a dial results in."""

    @property
    def wire(self) -> Wire: ...

    def close(self) -> None:
        """Close it, at once and without waiting."""
        ...


class Connected:
    """
    What a trace gets of a connection that is being made: `get_extra_info`, as of a network stream.

    Args:
        sock: connected.
        tls: on it, if there is any yet.
    """

    __slots__ = ("_sock", "_tls")

    def __init__(self, sock: socket.socket, tls: TLSFilter | None = None) -> None:
        self._sock = sock
        self._tls = tls

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection: see `Wire.extra_info`. None after it was closed."""
        if self._sock.fileno() < 0:
            return None
        wire = Wire(self._sock)
        wire.tls = self._tls
        return wire.extra_info(info)

    def __repr__(self) -> str:
        return f"<connection to {self.get_extra_info('server_addr')!r}>"


C = TypeVar("C", bound=Connection)

# Makes the shell's connection: (socket, TLS on it, plain bytes that arrived already, is it HTTP/2?). If it raises, it
# has let go of the socket.
Build = Callable[[socket.socket, "TLSFilter | None", bytes, bool], C]


class Dial(Generic[C]):
    """
    One dial.

    Args:
        job: the request that wants the connection.
        settings: of the transport.
        now: the shell's clock.
        build: makes the shell's connection, in the end.
        close: closes a socket. On an event loop, which may watch it, that takes more than the socket's own method.
    """

    def __init__(
        self,
        job: Job,
        settings: Settings,
        now: Callable[[], float],
        build: Build[C],
        close: Callable[[socket.socket], None] | None = None,
    ) -> None:
        self._job = job
        self._settings = settings
        self._now = now
        self._build = build
        self._close = _close if close is None else close

    def connect(self) -> Steps[C]:
        """
        Return a new connection, tried again as often as the transport was told to.

        Raises:
            ConnectError, ConnectTimeout, ProxyError.
            DestinationRefused: the guard refused an address; without another attempt, which would ask the same.
        """
        job = self._job
        job.begin_dial()
        dial = self._dial = job.note_dial()
        attempt = 0
        try:
            while True:
                try:
                    connection = yield from self._connect_once()
                    break
                except DestinationRefused:
                    raise
                except (ConnectError, ConnectTimeout):
                    if attempt >= self._settings.retries or (job.deadline is not None and self._now() >= job.deadline):
                        raise
                yield from self._start("connection.retry")
                dial.enter("connect", self._now())  # the pause counts
                next_try = self._now() + backoff(attempt)
                yield Sleep(next_try if job.deadline is None else min(next_try, job.deadline))
                yield from self._complete()
                attempt += 1
        except BaseException as exc:
            if not isinstance(exc, GeneratorExit):  # whose shell may have no clock any more
                dial.enter(None, self._now())
            raise
        dial.enter(None, self._now())
        connection.wire.dial = dial
        return connection

    def _connect_once(self) -> Steps[C]:
        job = self._job
        until = job.limit("connect", self._now())
        settings = self._settings
        route = Route(job.key, job.server_name(), settings)
        if settings.guard is not None and (settings.proxy is not None or settings.uds is not None):
            guarding.check_route(settings.guard, None if settings.proxy is None else route.host, settings.uds)
        if route.unresolved is not None:
            addresses = yield from self._resolve(*route.unresolved, until)
            route.resolved(addresses)
        sock = yield from self._open(route, until)
        try:
            tls = yield from self._take_hops(route, sock, until)
        except BaseException as exc:
            self._close(sock)
            yield from self._failed(exc)
            raise
        try:
            early = route.early if tls is None else tls.leftover()
            is_http2 = self._settings.speaks_http2(job.key, None if tls is None else tls.alpn)
            self._dial.protocol = "HTTP/2" if is_http2 else "HTTP/1.1"
            if not is_http2:
                return self._build(sock, tls, early, False)
            yield from self._start("http2.send_connection_init", request=job.request)
            connection = self._build(sock, tls, early, True)
        except ReadError as exc:
            self._close(sock)
            raise ConnectError(f"the connection broke at the end of the TLS handshake: {exc}") from exc
        except BaseException:
            self._close(sock)
            raise
        try:
            yield from self._complete()
        except BaseException:
            connection.close()
            raise
        return connection

    # The socket.

    def _open(self, route: Route, until: float | None) -> Steps[socket.socket]:
        """
        Return a socket that is connected to the first host of the route.

        What `_race` gets of a guarded transport is what the guard has allowed, and there is no other way to a socket.

        Raises:
            ConnectError, ConnectTimeout, DestinationRefused.
        """
        host, port = route.host, route.port
        uds = self._settings.uds
        told = {"timeout": self._job.timeout.get("connect"), "socket_options": self._settings.socket_options or None}
        addresses: Sequence[Address] = ()
        if uds is None:
            addresses = yield from self._resolve(host, port, until)
        if self._settings.guard is not None:
            addresses = guarding.allowed(self._settings.guard, host, addresses)
        try:
            if uds is not None:
                yield from self._start("connection.connect_unix_socket", path=uds, **told)
                addresses = [unix_address(uds)]
            else:
                local = self._settings.local_address
                yield from self._start("connection.connect_tcp", host=host, port=port, local_address=local, **told)
            self._dial.enter("connect", self._now())
            sock = yield from self._race(uds or host, port, addresses, until)
            self._dial.remote = uds or remote_of(sock)
        except BaseException as exc:
            if isinstance(exc, Exception):
                self._settings.names.distrust(host, port)
            yield from self._failed(exc)
            raise
        try:
            yield from self._connected(sock)
        except BaseException:
            self._close(sock)
            raise
        return sock

    def _resolve(self, host: str, port: int, until: float | None) -> Steps[Sequence[Address]]:
        """Return the addresses of a host. Raises ConnectError, ConnectTimeout."""
        known = self._settings.names.known(host, port)
        if known is not None:
            return known
        yield from self._start("connection.resolve_host", host=host, port=port)
        self._dial.enter("resolve", self._now())
        try:
            addresses: list[Address] | None = yield Resolve(host, port, until)
            if addresses is None:
                raise self._timed_out(f"the name {host!r} was not resolved")
        except BaseException as exc:
            yield from self._failed(exc)
            raise
        yield from self._complete(texts(addresses))
        return addresses

    def _race(self, name: str, port: int, addresses: Sequence[Address], until: float | None) -> Steps[socket.socket]:
        """Return the socket that is connected first. Raises ConnectError, ConnectTimeout."""
        full: Race | None = None
        moment = -math.inf
        while True:
            race = Race(name, port, addresses)
            sock: socket.socket | None = yield Connect(race, until)
            if sock is not None:
                return sock
            if not race.lost:
                raise self._race_timed_out(full or race, until)
            if not race.found_full_backlog:
                raise race.error()
            full = race
            # The moments count, and not the clock alone: a test may have frozen it.
            moment = max(moment, self._now()) + FULL_BACKLOG_PAUSE
            yield Sleep(moment if until is None else min(moment, until))
            if until is not None and moment >= until:
                raise self._race_timed_out(full, until)

    def _race_timed_out(self, race: Race, until: float | None) -> ConnectTimeout:
        total = until == self._job.deadline
        return race.timeout(self._job.seconds("total" if total else "connect"), total)

    # The hops.

    def _take_hops(self, route: Route, sock: socket.socket, until: float | None) -> Steps[TLSFilter | None]:
        """Take every hop of the route on this socket, and return the innermost TLS, if there is any."""
        tls: TLSFilter | None = None
        for hop in route.hops():
            if isinstance(hop, TLSHop):
                tls = yield from self._start_tls(hop, tls, until)
                yield from self._connected(sock, tls)
            else:
                yield from self._start(hop.step)
                self._dial.enter("connect", self._now())
                yield from self._open_tunnel(hop, tls, until)
                yield from self._complete()
        return tls

    def _start_tls(self, hop: TLSHop, over: TLSFilter | None, until: float | None) -> Steps[TLSFilter]:
        timeout = self._job.timeout.get("connect")
        yield from self._start(hop.step, ssl_context=hop.context, server_hostname=hop.server_name, timeout=timeout)
        self._dial.enter("tls", self._now())
        tls = hop.begin(over)
        done = yield from shake_hands(tls, until)
        if not done:
            raise self._timed_out(f"no TLS session with {hop.peer}")
        return tls

    def _open_tunnel(self, handshake: Handshake, tls: TLSFilter | None, until: float | None) -> Steps[None]:
        """Speak with a proxy until there is a tunnel. Raises ProxyError, ConnectTimeout."""
        try:
            # A proxy under TLS may have spoken first, in one piece with the end of that handshake.
            received: bytes | None = None if tls is None else tls.leftover() or None
            while not handshake.done:
                data = handshake.take()
                is_late = False
                if data:
                    is_late = not (yield Send(data if tls is None else tls.encrypt(data), until))
                if received is None and not is_late:
                    received = yield from receive(tls, until)
                if received is None or is_late:
                    raise self._timed_out("no tunnel through the proxy")
                handshake.receive(received)
                received = None
                if handshake.error is not None:
                    raise ProxyError(str(handshake.error))  # a new one: this frame holds the one of the handshake
        except (ReadError, WriteError) as exc:
            raise ProxyError(f"the proxy broke the connection: {exc}") from exc

    # The story.

    def _timed_out(self, what: str) -> ConnectTimeout:
        return self._job.timed_out(ConnectTimeout, "connect", self._now(), what)

    def _start(self, step: str, **info: Any) -> Steps[None]:
        narrator = self._job.narrator
        if narrator is not None:
            yield from self._tell(narrator.start(step, **info))

    def _complete(self, value: object = None) -> Steps[None]:
        narrator = self._job.narrator
        if narrator is not None:
            yield from self._tell(narrator.complete(value))

    def _connected(self, sock: socket.socket, tls: TLSFilter | None = None) -> Steps[None]:
        narrator = self._job.narrator
        if narrator is not None:
            yield from self._tell(narrator.complete(Connected(sock, tls)))

    def _failed(self, exc: BaseException) -> Steps[None]:
        narrator = self._job.narrator
        # A generator that is closed has a shell that carries out nothing more.
        if narrator is not None and not isinstance(exc, GeneratorExit):
            yield from self._tell(narrator.failed(exc))

    def _tell(self, events: list[Event]) -> Steps[None]:
        narrator = self._job.narrator
        if events and narrator is not None and narrator.callback is not None:
            yield Tell(events)


def shake_hands(tls: TLSFilter, until: float | None) -> Steps[bool]:
    """
    Do the TLS handshake; return False if `until` has passed.

    Afterwards `tls.leftover()` has what the peer sent in one piece with the end of the handshake, and the caller puts
    the filter in place.

    Raises:
        ConnectError: the handshake or the connection failed.
    """
    try:
        data = tls.handshake()
        while True:
            if data and not (yield Send(data, until)):
                return False
            if tls.established:
                return True
            received: bytes | None = yield Receive(until)
            if received is None:
                return False
            data = tls.handshake(received)
    except (ReadError, WriteError) as exc:
        raise ConnectError(f"TLS handshake with {tls.peer} failed: {exc}") from exc


def receive(tls: TLSFilter | None, until: float | None) -> Steps[bytes | None]:
    """
    Return what the peer sent next, above `tls`: b"" at its end, None if `until` has passed.

    Raises:
        ReadError, WriteError: the connection broke.
        ConnectError: the peer refused the TLS handshake.
    """
    while True:
        data: bytes | None = yield Receive(until)
        if data is None or tls is None:
            return data
        data = tls.receive(data)
        if tls.due and not (yield Send(tls.pending(), until)):
            return None
        if data or tls.ended:
            return data


def remote_of(sock: socket.socket) -> tuple[str, int] | None:
    """Return the address and the port that a socket is connected to; None if that has ended already."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return None
    return host, port


def _close(sock: socket.socket) -> None:
    sock.close()
