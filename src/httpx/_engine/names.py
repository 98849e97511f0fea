"""
Which addresses a host has: what a transport was told, what it remembers, and what its resolver says.

    names.known(host, port)      -> addresses without a look-up: overrides, literals, recent results
    names.look_up(host, port)    -> LookUp, for a resolver that blocks, which has a thread of its own
    names.learn(host, port, ...) -> addresses from the result of a resolver that is awaited
    names.distrust(host, port)      forget the addresses: connecting to them failed

The system's resolver cannot be interrupted. So a request with a time limit waits for a thread that asks, and leaves it
alone when time is up: the thread is a daemon, which neither the end of a loop nor that of the process waits for, as
they would for the threads of asyncio's executor. Where no such thread may be started (an isolated subinterpreter, the
end of the process) the caller's own thread asks. All who want to know the same at the same time share one look-up. A
thread costs 60 us, and only a new connection to a name asks at all.

Results are kept for `DNS_CACHE_TTL` seconds by default: shorter than the shortest time to live in practice (5 s, by
databases that fail over), because the system does not tell how long a result holds. That is enough for many connections
at once, or one after another. Failures are not kept, nor are addresses to which connecting failed.

Not here: the order of attempts (`race.Race`), waiting (`dialling`), SOCKS proxies that resolve (`_protocol.socks`).
"""

from __future__ import annotations

import copy
import socket
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Callable

from .._config import _seconds
from .._exceptions import ConnectError, InvalidURL, final
from .._forks import FORKS, unlock
from .._types import ResolverTypes, ResolveTypes
from .._urls import URL

# (family, type, protocol, canonical name, socket address), as `socket.getaddrinfo` gives it.
Address = tuple[int, int, int, str, Any]

# Seconds; the module says why so few.
DNS_CACHE_TTL = 2.0
# Names; when there are more, the ones that were learned first go.
_MAX_REMEMBERED = 256
# Seconds after which a look-up is not joined any more, but begun anew: a resolver that never comes back must not block
# its name.
_JOINABLE = 15.0
# Look-ups of one name at a time, each with a thread; when there are so many that hang, the latest is joined.
_MAX_RUNNING = 4

# What the system says of a name that does not exist, or that has no address. `EAI_AGAIN` and others may pass.
_UNKNOWN = frozenset(getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name))

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def literal_addresses(host: str, port: int) -> list[Address] | None:
    """
    Return the address of a host that is an IP literal, without a look-up; None for a name.

    Only what `ipaddress` accepts is a literal. The system also reads `127.1`, `0x7f000001` and `2130706433` as
    addresses; to us these are names, so a resolver of the user's is asked about them and can refuse them.
    """
    if ":" not in host and not host[-1:].isdigit():
        return None
    if not _is_ipv4(host):
        import ipaddress  # for hosts that look like an address

        try:
            ipaddress.ip_address(host)
        except ValueError:
            return None
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)  # type: ignore[return-value]  # its tuples are looser typed
    except (OSError, UnicodeError):
        return None


def _is_ipv4(host: str) -> bool:
    """Return whether the system takes a host for an address of four numbers, as `ipaddress` does."""
    try:
        return len(socket.inet_pton(socket.AF_INET, host)) == 4
    except (OSError, ValueError):
        return False


def resolve_error(host: str, exc: BaseException) -> ConnectError:
    """Return the error for a name that could not be resolved."""
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    is_final = isinstance(exc, socket.gaierror) and exc.errno in _UNKNOWN
    return final(ConnectError(f"the name {host!r} could not be resolved: {reason or type(exc).__name__}"), is_final)


def texts(addresses: Sequence[Address]) -> list[str]:
    """Return the addresses as text, without ports."""
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
        self.is_awaited = is_async(resolver)
        self._overrides = {} if resolve is None else _read_overrides(resolve)
        self._ttl = _seconds("dns_cache_ttl", DNS_CACHE_TTL if dns_cache_ttl is None else dns_cache_ttl)
        self._version = address_family
        self._clock = clock
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Forget all results and look-ups: at first, and in a forked child, which has none of the threads."""
        self._lock = threading.RLock()
        # (from when, until when, what); the clock may go back, where a test sets it.
        self._learned: dict[tuple[str, int], tuple[float, float, list[Address]]] = {}
        self._running: dict[tuple[str, int], list[LookUp]] = {}  # the latest one last

    def unlock(self) -> None:
        """Release the lock if this thread has it, after an exception at an unknown point."""
        unlock(self._lock)

    def known(self, host: str, port: int) -> list[Address] | None:
        """
        Return the addresses if they are known without a look-up, else None.

        Raises:
            ConnectError: they are known, and of a family that is not wanted.
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
        if remembered is None:
            return None
        since, until, addresses = remembered
        return addresses if since <= self._clock() < until else None

    def look_up(self, host: str, port: int, wait: bool = False) -> LookUp:
        """
        Return a look-up by a resolver that blocks: one that is running already, or a new one.

        What a signal handler raises meanwhile, such as KeyboardInterrupt, passes through unchanged. Requests that have
        joined the look-up begin a new one then.

        Args:
            host, port: without a result in `known`.
            wait: resolve in this thread: the caller has no time limit.
        """
        key = host, port
        now = self._clock()
        look_up = LookUp(self, host, port, now)
        try:
            with self._lock:
                running = self._running.setdefault(key, [])
                if running and (0 <= now - running[-1].began < _JOINABLE or len(running) >= _MAX_RUNNING):
                    return running[-1]
                running.append(look_up)
            if wait or not self._begins_in_thread(look_up):
                look_up.run()
        except BaseException:
            try:
                look_up.abandon()
            finally:
                self.unlock()  # no `with` does, if the exception came between its block and its end
            raise
        return look_up

    @staticmethod
    def _begins_in_thread(look_up: LookUp) -> bool:
        """Try to begin a look-up in a thread of its own; return False where none can be had."""
        name = f"httpx resolves {look_up.host[:50]}"
        try:
            threading.Thread(target=look_up.run_apart, name=name, daemon=True).start()
        except RuntimeError:
            # Too many threads, the end of the process, or a subinterpreter without daemons: late is better than never.
            return False
        return True

    def ask(self, host: str, port: int) -> Any:
        """Return the resolver's result; it may block."""
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
        Return the addresses in a resolver's result, and remember them.

        Raises:
            ConnectError: there is none, or none of the wanted family.
            TypeError, ValueError: the result is not a list of addresses.
        """
        if isinstance(answer, (str, bytes)):
            raise TypeError(f"the resolver gave {type(answer).__name__}, expected a list of addresses")
        # The system's own result needs no check.
        addresses = [*answer] if self.resolver is None else [one for each in answer for one in _read(each, port)]
        addresses = self._wanted(host, addresses)
        if self._ttl is None or self._ttl > 0:
            now = self._clock()
            until = float("inf") if self._ttl is None else now + self._ttl
            with self._lock:
                self._learned.pop((host, port), None)
                while len(self._learned) >= _MAX_REMEMBERED:
                    del self._learned[next(iter(self._learned))]
                self._learned[host, port] = now, until, addresses
        return addresses

    def distrust(self, host: str, port: int) -> None:
        """Forget the addresses of a name: connecting to them failed."""
        with self._lock:
            self._learned.pop((host, port), None)

    def _wanted(self, host: str, addresses: list[Address]) -> list[Address]:
        if self._version is not None:
            family = _FAMILIES[self._version]
            addresses = [address for address in addresses if address[0] == family]
        if not addresses:
            what = "" if self._version is None else f"IPv{self._version} "
            raise final(ConnectError(f"no {what}address is known for {host!r}"))
        return addresses

    def _ended(self, look_up: LookUp) -> None:
        key = look_up.host, look_up.port
        running = self._running.get(key, [])
        if look_up in running:
            running.remove(look_up)
        if not running:
            self._running.pop(key, None)


class LookUp:
    """
    One call of a resolver that blocks; any number of requests may wait for its end.

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
        self._addresses: list[Address] | None = None
        self._error: BaseException | None = None
        self._reason: str | None = None  # why there are no addresses
        self._is_final = False  # and whether another look-up would end the same way

    def run(self) -> None:
        """Resolve in the thread of a caller; once. Raises what is not an `Exception`: it is the caller's."""
        names = self._names
        try:
            self._addresses = names.learn(self.host, self.port, names.ask(self.host, self.port))
        except Exception as exc:
            self._fail(exc)
        self.abandon()

    def run_apart(self) -> None:
        """Resolve in a thread of its own; once. Never raises: every exception belongs to the requests that wait."""
        try:
            self.run()
        except BaseException as exc:
            self._fail(exc)
            self.abandon()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        shown = error if type(error) is ConnectError else resolve_error(self.host, error)
        self._reason = str(shown)
        self._is_final = shown._is_final

    def abandon(self) -> None:
        """End the look-up, with its result if there is one, and wake all that wait for it."""
        with self._lock:
            self._names._ended(self)
            self._over.set()
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def when_over(self, wake: Callable[[], None]) -> None:
        """Call `wake` when the look-up is over: from another thread, or now. It must not raise."""
        with self._lock:
            if not self._over.is_set():
                self._waiting.append(wake)
                return
        wake()

    def wait(self, seconds: float | None) -> bool:
        """Block until the look-up is over, at most for `seconds`; return whether it is."""
        return self._over.wait(seconds)

    def addresses(self) -> list[Address] | None:
        """
        Return the result of a look-up that is over; None if it was abandoned, and a new one is needed.

        Raises:
            ConnectError: it failed; a new exception for each request.
        """
        if self._reason is None:
            return self._addresses
        # The first one to ask takes the cause along, whose frames hold this look-up: kept here it would be a cycle. The
        # next one gets a copy.
        error = self._error
        self._error = _copy_of(error)
        cause = None if type(error) is ConnectError else error
        raise final(ConnectError(self._reason), self._is_final) from cause


def _copy_of(error: BaseException | None) -> BaseException | None:
    """A copy of the error without its frames; None if it cannot be copied."""
    try:
        return copy.copy(error)
    except Exception:
        return None


def is_async(resolver: Any) -> bool:
    """Is it an `async def`, or an object that has one as its `__call__`?"""
    if resolver is None:
        return False
    import inspect  # few have one

    return inspect.iscoroutinefunction(resolver) or inspect.iscoroutinefunction(getattr(resolver, "__call__", None))  # noqa: B004  # the method itself is asked about


def _read(address: Any, port: int) -> list[Address]:
    """One address of a resolver's answer: a text (or one of `ipaddress`), or a tuple as of `getaddrinfo`."""
    if isinstance(address, tuple) and len(address) == 5 and address[0] in (socket.AF_INET, socket.AF_INET6):
        family, _, _, name, where = address
        # Always for streams, and with the URL's port where the resolver gave none.
        return [(family, socket.SOCK_STREAM, 0, name, (where[0], where[1] or port, *where[2:]))]
    found = None if isinstance(address, (tuple, bytes, int)) else literal_addresses(str(address), port)
    if found is None:
        raise ValueError(f"the resolver gave {str(address)[:50]!r}, which is not an IP address")
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
        raise ValueError(f"the key {key!r} of `resolve` is not a host: {exc}") from None
    if not host or url.userinfo or url.raw_path not in (b"", b"/"):
        raise ValueError(f"the key {key!r} of `resolve` is not a host, expected 'host' or 'host:port'")
    return _plain(host, literal_addresses(host, 0)), url.port


def _plain(host: str, literal: list[Address] | None) -> str:
    """The one form of a host that overrides are found by: addresses as the system writes them, names without a dot."""
    if literal is not None:
        return texts(literal)[0]
    return host[:-1] if host.endswith(".") else host
