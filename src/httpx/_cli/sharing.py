"""
What the requests of one run share: connections, cookies, the recorder, the rate, and the sessions of their hosts.

    with Shared(options) as shared:
        run = shared.run(options, intent)       for each request, in any thread
        code = shared.go(run)

Requests whose options about the network are the same have one pool. Cookies go with every request that they are for.
Sessions are read once for each host and written at the end. Used by `httpx run` and for several URLs.

Not here: the order of the requests (`many`, `run_file`), one request (`exchange`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from threading import Event, Lock, current_thread, main_thread
from time import sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable

import click

import httpx

from .._cookies.rules import Place
from . import exits
from .building import Plan, is_in_process
from .clients import client_for
from .exchange import Run, local_names, recorder_of, session_for
from .notes import complain

if TYPE_CHECKING:
    from .sessions import Session

# What a request fails with, without ending the others.
FAILURES = (click.UsageError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, exits.Failure)
# Options that a pool of connections depends on.
_OF_A_POOL = (
    *("app", "ca", "cert", "cert_key", "http2", "http_version", "ipv4", "ipv6", "no_verify", "proxy"),
    *("resolve", "unix_socket"),
)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)/([smh])")
_UNITS = {"s": "s", "m": "min", "h": "h"}
# Seconds that a request waits for its turn at most: 30 years.
_MAX_WAIT = 1e9


def outcome_of(exc: Exception) -> tuple[int, str]:
    """Return the exit code and the message of a failure."""
    if isinstance(exc, click.UsageError):
        return exits.USAGE, exc.format_message()
    if isinstance(exc, exits.Failure):
        return exc.code, str(exc)
    if isinstance(exc, (httpx.HTTPError, httpx.InvalidURL)):
        from .hints import explained

        return exits.of_error(exc), f"{type(exc).__name__}: {explained(exc)}"
    return exits.FAILED, str(exc)


class Shared:
    """
    The shared parts of a run.

    Args:
        options: the parsed arguments.
        most: requests at the same time.
        keeps_sessions: read a session once and write it at the end.

    Raises:
        click.UsageError: an option is invalid.
    """

    def __init__(self, options: dict[str, Any], most: int = 1, keeps_sessions: bool = False) -> None:
        self._jar = httpx.Cookies().jar
        self._most = most
        self._lock = Lock()
        self._stack = ExitStack()
        self._clients: dict[str, httpx.Client] = {}
        self._sessions: Sessions | None = Sessions(httpx.Cookies(self._jar)) if keeps_sessions else None
        self._rate = None if options["rate"] is None else Rate(options["rate"])
        self._recorder = recorder_of(options)

    def __enter__(self) -> Shared:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._stack.close()
        finally:
            try:
                if self._sessions is not None:
                    self._sessions.save()
            finally:
                if self._recorder is not None:
                    self._recorder.save()

    def interrupt(self) -> None:
        """End the requests that are under way: other threads see their connections closed."""
        with self._lock:
            clients = list(self._clients.values())
        for client in clients:
            client.close()
        if self._rate is not None:
            self._rate.stop()

    def transport(self, options: dict[str, Any], url: str) -> httpx.BaseTransport:
        """Return the transport of all requests with these options about the network."""
        is_local = bool(local_names(url, options)) and not is_in_process(options)
        key = repr([is_local, *(options[name] for name in _OF_A_POOL)])
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                limits = httpx.Limits(max_connections=100, max_keepalive_connections=max(self._most, 20))
                more = {"resolver": _of_this_machine} if is_local else {}
                client = self._clients[key] = self._stack.enter_context(client_for(options, limits=limits, **more))
        return Lent(client)

    def run(
        self,
        options: dict[str, Any],
        intent: Plan,
        layers: Sequence[Any] = (),
        has_cookies: bool = True,
        **more: Any,
    ) -> Run:
        """
        Return the run of one request.

        Args:
            options: of this request, which may be changed.
            layers: innermost middleware.
            has_cookies: send and keep cookies.
            more: for `Run`.
        """
        client: dict[str, Any] = {"cookies": self._jar} if has_cookies else {}
        transport = self.transport(options, intent.url)
        made = {**options, "har": None}  # one recorder for all
        return Run(made, intent, layers, sessions=self._sessions, transport=transport, **client, **more)

    def go(self, run: Run, redirect: Callable[[], Any] | None = None) -> int:
        """
        Send a request when it is its turn, and return the exit code.

        Args:
            redirect: makes the context in which an application of --app may print; it must not be mixed with responses.
        """
        recording = None if self._recorder is None else self._recorder.part()
        if recording is not None:
            run.add_layer(recording.watch)
        if self._rate is not None and not run.is_there():
            run.add_layer(self._rate.turn())
        try:
            with nullcontext() if redirect is None else redirect():
                return run.go()
        finally:
            if recording is not None:
                recording.settle()


def _of_this_machine(host: str, port: int) -> Any:
    """Return the addresses of a host: one pool is for all names such as `app.localhost` (RFC 6761, 6.3)."""
    if host.rstrip(".").endswith(".localhost"):
        return ["127.0.0.1", "::1"]
    import socket

    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Lent(httpx.BaseTransport):
    """The transports of an open client, as one that others use and do not close."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request through the transport of its URL."""
        return self._client._transport_for_url(request.url).handle_request(request)


class Rate:
    """
    The rate of a run (--rate): all hosts, redirects and retries together, and evenly: there is no burst.

    Args:
        text: such as "10/s", "0.5/s", "100/m", "1000/h".

    Raises:
        click.UsageError: it does not have this form.
    """

    def __init__(self, text: str) -> None:
        match = _RATE.fullmatch(text.strip())
        if match is None or not float(match[1]):
            raise click.UsageError(f"--rate must be a number and a time, such as 10/s, 100/m or 1000/h, got {text!r}")
        self._over = Event()
        self._limit = httpx.RateLimit(
            f"{match[1]}/{_UNITS[match[2]]}", burst=1, learn=False, key=lambda request: None, max_wait=_MAX_WAIT
        )

    def stop(self) -> None:
        """End the waiting in other threads."""
        self._over.set()

    def _pause(self, seconds: float) -> None:
        # Ctrl-C ends a sleep, on Windows as well, and reaches only the main thread.
        if current_thread() is main_thread():
            sleep(seconds)
        elif self._over.wait(seconds):
            raise exits.Failure("interrupted")

    def turn(self) -> Callable[[httpx.Request], Generator[Any, Any, httpx.Response]]:
        """
        Wait for a turn in this thread; return middleware for the request, whose redirects and retries wait for others.

        The wait is before the request, so it does not count for --max-time. A 429 delays the requests after it.
        """
        steps = self._limit(httpx.Request("GET", "http://turn.invalid/"))
        step: Any = next(steps)
        while isinstance(step, httpx.Step):  # pauses only: there are no places to wait for
            self._pause(step._value)
            step = steps.send(None)
        waited: list[Any] = [steps]

        def watch(request: httpx.Request) -> Generator[Any, Any, httpx.Response]:
            if not waited:
                return (yield from self._limit(request))
            steps = waited.pop()
            response: httpx.Response = yield request
            try:
                steps.send(response)
            except StopIteration:
                pass
            return response

        return watch


class Sessions:
    """
    The sessions of a run's hosts.

    Args:
        cookies: of the run.
    """

    def __init__(self, cookies: httpx.Cookies) -> None:
        self._cookies = cookies
        self._lock = Lock()
        # Host and port -> the host's names in a jar, and its session.
        self._known: dict[str, tuple[tuple[str, ...], Session]] = {}
        self._used: set[str] = set()

    def of(self, options: dict[str, Any], url: str) -> Session | None:
        """
        Return the session for a URL, whose cookies are in the jar from its first use on; None without --session.

        Raises:
            click.UsageError: it is broken, or its file is that of another host.
        """
        parsed = httpx.URL(url)
        host = parsed.netloc.decode("ascii")
        with self._lock:
            if host in self._known:
                return self._known[host][1]
            session = session_for(options, url)
            if session is None:
                return None
            if any(other.path == session.path for _, other in self._known.values()):
                raise click.UsageError(f"the session's file {session.path!r} belongs to another host of this run")
            session.restore(self._cookies)
            self._known[host] = Place.of(parsed).hosts, session
            return session

    def used(self, session: Session) -> None:
        """Note that a response came."""
        with self._lock:
            self._used.add(session.path)

    def save(self) -> None:
        """
        Write the sessions that got a response, each with the cookies that are not another host's of this run.

        Raises:
            OSError: one cannot be written.
        """
        hosts = {name for names, _ in self._known.values() for name in names}
        for names, session in self._known.values():
            if session.path not in self._used:
                continue
            others = hosts.difference(names)
            own = httpx.Cookies()
            for cookie in self._cookies.jar:
                if cookie.domain.lstrip(".") not in others:
                    own.jar.set_cookie(cookie)
            session.keep(own)
            session.save()


def counted(number: int) -> str:
    """Return how many requests there were, in words."""
    return "1 request" if number == 1 else f"{number} requests"


def tell(text: str, how: Callable[[str], None] = complain) -> None:
    """Say something between the outputs of two requests, by a function of `notes`."""
    sys.stdout.flush()
    how(text)


@contextmanager
def printing_to_stderr() -> Generator[None, None, None]:
    """Let what an application prints go to standard error."""
    with redirect_stdout(sys.stderr):
        yield
