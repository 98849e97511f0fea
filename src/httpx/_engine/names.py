"""
Which addresses a host has: what a transport was told, what it remembers, and whom it asks.

    names.known(host, port)      -> addresses without asking anybody: overrides, literals, what was learned lately
    names.look_up(host, port)    -> LookUp, for a resolver that blocks, which then has a thread of its own
    names.learn(host, port, ...) -> addresses from the answer of a resolver that is awaited
    names.distrust(host, port)      nobody answered there: the next one asks anew

The system's resolver cannot be interrupted. So whoever waits for it with a time limit waits for a thread that asks,
and leaves it alone when time is up: the thread is a daemon, which neither the end of a loop nor that of the process
waits for, as they would for the threads of asyncio's executor. All who want to know the same at the same time share
one look-up. A thread costs 60 us, and only a new connection to a name asks at all.

What was learned is kept for `DNS_CACHE_TTL` seconds by default: shorter than the shortest life that records are given
in practice (5 s, by databases that fail over), because the system does not tell how long an answer holds. That is
enough for what it is for: many connections at once, or one after another. Failures are not kept, nor are addresses
where nobody answered.

Not here: the order of attempts (`race.Race`), waiting (the shells), SOCKS proxies that resolve (`_protocol.socks`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Callable

from .._config import _seconds
from .._exceptions import ConnectError, InvalidURL
from .._forks import FORKS
from .._types import ResolverTypes, ResolveTypes
from .._urls import URL

# (family, type, protocol, canonical name, socket address), as `socket.getaddrinfo` gives it.
Address = tuple[int, int, int, str, Any]

# Seconds; the module says why so few.
DNS_CACHE_TTL = 2.0
# Names; when there are more, the ones that were learned first go.
_MAX_REMEMBERED = 256
# Seconds after which nobody joins a look-up any more: a resolver that never comes back must not block its name.
_JOINABLE = 15.0

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def literal_addresses(host: str, port: int) -> list[Address] | None:
    """The address of a host that is an IP literal, without asking anybody; None for a name."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)  # type: ignore[return-value]  # its tuples are looser typed
    except (OSError, UnicodeError):
        return None


def resolve_error(host: str, exc: BaseException) -> ConnectError:
    """The error for a name that has no address."""
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return ConnectError(f"the name {host!r} could not be resolved: {reason or type(exc).__name__}")


def texts(addresses: Sequence[Address]) -> list[str]:
    """The addresses as people write them, without ports."""
    return [str(address[4][0]) for address in addresses]


class Names:
    """
    What one transport knows about names; threads and event loops may share it.

    Args: as those of `httpx.HTTPTransport`.
        clock: seconds, monotonic.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """

    def __init__(
        self,
        *,
        resolver: ResolverTypes | None = None,
        resolve: ResolveTypes | None = None,
        dns_cache_ttl: float | None = None,
        address_family: int | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if resolver is not None and not callable(resolver):
            raise TypeError(f"resolver must be a function of host and port, not {type(resolver).__name__}")
        if address_family not in (None, 4, 6) or isinstance(address_family, bool):
            raise ValueError(f"address_family is {address_family!r}, expected 4, 6 or None for both")
        self.resolver = resolver
        self.is_awaited = _is_async(resolver)
        self._overrides = {} if resolve is None else _read_overrides(resolve)
        self._ttl = _seconds("dns_cache_ttl", DNS_CACHE_TTL if dns_cache_ttl is None else dns_cache_ttl)
        self._version = address_family
        self._clock = clock
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Know nothing of earlier questions: at first, and in a forked child, where their threads are not."""
        self._lock = threading.Lock()
        self._learned: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._running: dict[tuple[str, int], LookUp] = {}

    def known(self, host: str, port: int) -> list[Address] | None:
        """
        What needs no question: None if there is one.

        Raises:
            ConnectError: it is known, and of a family that is not wanted.
        """
        addresses: list[Address] | None = None
        if self._overrides:
            name = host[:-1] if host.endswith(".") else host
            given = self._overrides.get((name, port)) or self._overrides.get((name, None))
            addresses = (
                None if given is None else [one for text in given for one in literal_addresses(text, port) or ()]
            )
        if addresses is None:
            addresses = literal_addresses(host, port)
        if addresses is not None:
            return self._wanted(host, addresses)
        remembered = self._learned.get((host, port))
        return remembered[1] if remembered is not None and remembered[0] > self._clock() else None

    def look_up(self, host: str, port: int, wait: bool = False) -> LookUp:
        """
        A question to a resolver that blocks: the one that is being asked already, or a new one.

        Args:
            host, port: that `known` knows nothing about.
            wait: ask in this thread: the caller has no time limit.
        """
        key = host, port
        now = self._clock()
        with self._lock:
            running = self._running.get(key)
            if running is not None and now - running.began < _JOINABLE:
                return running
            look_up = self._running[key] = LookUp(self, host, port, now)
        if not wait:
            thread = threading.Thread(target=look_up.run, name=f"httpx resolves {host[:50]}", daemon=True)
            try:
                thread.start()
                return look_up
            except RuntimeError:
                pass  # no thread can be had, or not any more at the end of the process: better late than not at all
        look_up.run()
        return look_up

    def ask(self, host: str, port: int) -> Any:
        """The answer of the resolver, which may block."""
        if self.resolver is not None:
            import inspect  # few have one

            answer = self.resolver(host, port)
            if inspect.isawaitable(answer):
                if inspect.iscoroutine(answer):
                    answer.close()  # without a warning that it was never awaited
                raise TypeError("the resolver gave something to await: it should be an `async def`, in an async client")
            return answer
        if self._version is None:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.getaddrinfo(host, port, family=_FAMILIES[self._version], type=socket.SOCK_STREAM)

    def learn(self, host: str, port: int, answer: Any) -> list[Address]:
        """
        The addresses in the answer of a resolver, which are remembered.

        Raises:
            ConnectError: there is none, or none of the wanted family.
            TypeError, ValueError: it is no answer.
        """
        if isinstance(answer, (str, bytes)):
            raise TypeError(f"the resolver gave {type(answer).__name__}, expected a list of addresses")
        # The system's own answer needs no second look.
        addresses = [*answer] if self.resolver is None else [one for each in answer for one in _read(each, port)]
        addresses = self._wanted(host, addresses)
        if self._ttl is None or self._ttl > 0:
            until = float("inf") if self._ttl is None else self._clock() + self._ttl
            with self._lock:
                self._learned.pop((host, port), None)
                while len(self._learned) >= _MAX_REMEMBERED:
                    del self._learned[next(iter(self._learned))]
                self._learned[host, port] = until, addresses
        return addresses

    def distrust(self, host: str, port: int) -> None:
        """Forget the addresses of a name: nobody answered there."""
        with self._lock:
            self._learned.pop((host, port), None)

    def _wanted(self, host: str, addresses: list[Address]) -> list[Address]:
        if self._version is not None:
            family = _FAMILIES[self._version]
            addresses = [address for address in addresses if address[0] == family]
        if not addresses:
            what = "" if self._version is None else f"IPv{self._version} "
            raise ConnectError(f"no {what}address is known for {host!r}")
        return addresses

    def _ended(self, look_up: LookUp) -> None:
        key = look_up.host, look_up.port
        if self._running.get(key) is look_up:
            del self._running[key]


class LookUp:
    """
    One question to a resolver that blocks; any number may wait for its end.

    Attributes:
        began: when, on the clock of the names.
    """

    def __init__(self, names: Names, host: str, port: int, began: float) -> None:
        self.host = host
        self.port = port
        self.began = began
        self._names = names
        self._lock = names._lock
        self._over = threading.Event()
        self._waiting: list[Callable[[], None]] = []
        self._addresses: list[Address] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """Ask. Never raises; once."""
        names = self._names
        try:
            self._addresses = names.learn(self.host, self.port, names.ask(self.host, self.port))
        except BaseException as exc:  # whatever it is, it belongs to those who wait, and not to this thread
            self._error = exc
        with self._lock:
            names._ended(self)
            self._over.set()
        for wake in self._waiting:
            wake()
        self._waiting.clear()

    def when_over(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there is an answer: from another thread, or now. It must not raise."""
        with self._lock:
            if not self._over.is_set():
                self._waiting.append(wake)
                return
        wake()

    def wait(self, seconds: float | None) -> bool:
        """In a thread: is there an answer within so many seconds?"""
        return self._over.wait(seconds)

    def addresses(self) -> list[Address]:
        """
        The answer, once it is over.

        Raises:
            ConnectError: there is none; a new one each time, because each belongs to a request.
        """
        if self._error is None:
            return self._addresses
        if type(self._error) is ConnectError:
            raise ConnectError(str(self._error))
        raise resolve_error(self.host, self._error) from self._error


def _is_async(resolver: Any) -> bool:
    """Is it an `async def`, or an object that has one as its `__call__`?"""
    if resolver is None:
        return False
    import inspect  # few have one

    return inspect.iscoroutinefunction(resolver) or inspect.iscoroutinefunction(getattr(resolver, "__call__", None))  # noqa: B004  # the method itself is asked about


def _read(address: Any, port: int) -> list[Address]:
    """One address of a resolver's answer: a text (or one of `ipaddress`), or a tuple as of `getaddrinfo`."""
    if isinstance(address, tuple) and len(address) == 5 and address[0] in (socket.AF_INET, socket.AF_INET6):
        family, _, _, name, where = address
        # Streams are wanted, whatever was asked for; and the URL's port where the resolver has none.
        return [(family, socket.SOCK_STREAM, 0, name, (where[0], where[1] or port, *where[2:]))]
    found = None if isinstance(address, (tuple, bytes, int)) else literal_addresses(str(address), port)
    if found is None:
        raise ValueError(f"the resolver gave {str(address)[:50]!r}, which is no IP address")
    return found


def _read_overrides(resolve: Any) -> dict[tuple[str, int | None], list[str]]:
    """{(host, port or None): addresses}. Raises TypeError, ValueError."""
    if not isinstance(resolve, Mapping):
        raise TypeError(f"resolve must be a mapping of hosts to addresses, not {type(resolve).__name__}")
    overrides: dict[tuple[str, int | None], list[str]] = {}
    for key, value in resolve.items():
        given = [value] if isinstance(value, str) else [*value]
        plain = [text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text for text in given]
        wrong = [text for text in plain if literal_addresses(text, 0) is None]
        if wrong or not plain:
            found = f"has {wrong[0][:50]!r}" if wrong else "is empty"
            raise ValueError(f"resolve[{key!r}] {found}, expected IP addresses")
        overrides[_read_key(key)] = plain
    return overrides


def _read_key(key: str) -> tuple[str, int | None]:
    """ "host" or "host:port", as hosts of URLs are written: names in their IDNA form, IPv6 without brackets."""
    try:
        bare = key.count(":") > 1 and not key.startswith("[")
        url = URL(f"http://[{key}]" if bare else f"//{key}")
        host = url._origin[1]
    except InvalidURL as exc:
        raise ValueError(f"the key {key!r} of resolve is no host: {exc}") from None
    if not host or url.userinfo or url.raw_path not in (b"", b"/"):
        raise ValueError(f"the key {key!r} of resolve is no host, expected 'host' or 'host:port'")
    return _plain(host, literal_addresses(host, 0)), url.port


def _plain(host: str, literal: list[Address] | None) -> str:
    """The one form of a host that overrides are found by: addresses as the system writes them, names without a dot."""
    if literal is not None:
        return texts(literal)[0]
    return host[:-1] if host.endswith(".") else host
