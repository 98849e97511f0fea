"""
The two clients: drivers that carry out the steps of a request's journey (`_flow`), one with calls, one with awaits.

`Client` and `AsyncClient` are twins, written by hand: a test strips `async` and `await` from one, maps the few names
that differ, and compares the rest. What needs no I/O is in `_base_client`, `request` and the verbs are in `_verbs`.

    verb ─► request ─► build_request, send ─► _travel (steps of `journey`) ─► _send_single_request ─► transport

Other packages reach into this: `send` is replaced on the class (sentry-sdk), so is `_transport_for_url` (respx);
`_transport` and `_mounts` are wrapped on instances (opentelemetry), `_merge_url` and `request` are overridden
(starlette).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Literal, TypeVar

from ._auth import Auth
from ._base_client import (
    DEFAULT_SENSITIVE_HEADERS,
    NO_HOOKS,
    NOTHING,
    USE_CLIENT_DEFAULT,
    BaseClient,
    ClientState,
    CredentialsFor,
    EventHook,
    UseClientDefault,
    afinished,
    attach,
    check_guarded,
    finished,
    given,
    logger,
    named_proxies,
    newer,
    no_request_of,
    ordered_mounts,
    raise_first,
    transport_for,
    warn_of_unused,
)
from ._bytestreams import AsyncByteStream, SyncByteStream
from ._config import DEFAULT_LIMITS, DEFAULT_MAX_REDIRECTS, DEFAULT_TIMEOUT_CONFIG, Limits
from ._content import in_async, in_sync
from ._exceptions import RequestError
from ._flow import (
    AUTH_BEGIN,
    AUTH_NEXT,
    CLOSE,
    DRAIN,
    HOOK_INTERIM,
    HOOK_REQUEST,
    HOOK_RESPONSE,
    SEND,
    journey,
)
from ._hints import no_such_argument
from ._loggers import INFO
from ._request import Request
from ._response import Response
from ._steps import CALL, PAUSE, READ, WAIT
from ._transports import threads as _threads  # noqa: F401  # tells `_files` how to read beside the event loop
from ._transports.base import AsyncBaseTransport, BaseTransport
from ._transports.deadlines import AsyncBound, Bound, TimeLeft, bounds_itself
from ._transports.default import AsyncHTTPTransport, HTTPTransport
from ._transports.latches import await_for, wait_for
from ._transports.pauses import acall, apause, call, pause
from ._types import (
    AuthTypes,
    CertTypes,
    CookieTypes,
    GuardTypes,
    HeaderTypes,
    MiddlewareTypes,
    PinTypes,
    ProxyChoiceTypes,
    QueryParamTypes,
    RequestContent,
    RequestData,
    RequestExtensions,
    RequestFiles,
    ResolverTypes,
    ResolveTypes,
    TimeoutTypes,
    VerifyTypes,
)
from ._urls import URL
from ._verbs import AsyncVerbs, Verbs

if TYPE_CHECKING:
    from ._event_source import EventSource
    from ._protocol.deflate import Deflate
    from ._subscription import Reconnect
    from ._websockets import AsyncWebSocketConnector, WebSocketConnector

__all__ = ["USE_CLIENT_DEFAULT", "AsyncClient", "BaseClient", "Client", "UseClientDefault"]

T = TypeVar("T", bound="Client")
U = TypeVar("U", bound="AsyncClient")

# Under a name of this module: Python takes the attributes of what is imported for a module's, and is slower.
_logger = logger

# The names that other libraries, and 0.27, have for arguments of a client.
_HINTS = {
    "app": "`transport=httpx.ASGITransport(app=...)` or `transport=httpx.WSGITransport(app=...)`",
    "retries": "`middleware=[httpx.Retry(...)]`, or for connecting only the `retries=` of a transport",
    "max_retries": "`middleware=[httpx.Retry(...)]`, or for connecting only the `retries=` of a transport",
    "allow_redirects": "`follow_redirects=`",
    "pool_limits": "`limits=httpx.Limits(...)`",
    "ssl": "`verify=`",
}
_OPENED = ClientState.OPENED  # the look-up in an Enum costs ten times that in a module
_HOOK_NAMES = {HOOK_REQUEST: "request", HOOK_RESPONSE: "response", HOOK_INTERIM: "1xx"}


class Client(Verbs):
    """
    A client that keeps connections and cookies between requests; safe under threads.

        with httpx.Client(base_url="https://api.example.org") as client:
            response = client.get("/users")

    Args:
        auth: (username, password), a function of the request, or an `httpx.Auth`.
        params, headers, cookies: sent with every request. `cookies=False` stores no cookie that a server sets.
        verify, cert, trust_env, http1, http2, limits: as for `httpx.HTTPTransport`.
        proxy: send all requests through this proxy, or through the one that this function returns for a request. The
            extension "proxy" of a request takes precedence.
        mounts: transports for URLs that match a pattern, such as {"https://": ..., "all://*.example.org": ...}.
        timeout: seconds for each of connect, read, write and pool, or an `httpx.Timeout`; None for no limit.
        follow_redirects, max_redirects: whether redirects are followed, and how many.
        event_hooks: {"request": [function, ...], "response": [...], "1xx": [...]}.
        base_url: the URL that relative URLs are appended to.
        credentials_for: "any" sends the client's credentials with every request. "origin" sends its `auth`, its
            private headers (Authorization, Proxy-Authorization, Cookie, `sensitive_headers`) and its cookies without a
            domain only to the origin of `base_url`, also if a request is given another URL.
        transport: used in place of the network.
        default_encoding: for text without a charset in its Content-Type: its name, or a function of the body's bytes.
        sensitive_headers: names of headers that, like Authorization, no redirect carries to another origin.
        max_response_size: maximum bytes of a body, read or streamed; a larger one raises `ResponseTooLarge`. None for
            no limit.
        proxies: deprecated; use `proxy` or `mounts`.
        pins: which certificates hosts may have, as for `httpx.HTTPTransport`.
        resolver, resolve, dns_cache_ttl, address_family: how host names are resolved; as for
            `httpx.HTTPTransport`.
        guard: which addresses may be connected to, such as `httpx.public_only`; as for `httpx.HTTPTransport`. Not with
            `transport`, nor with proxies, those of the environment included. Transports in `mounts` need their own.
        middleware: generator functions of a request, outermost first, which every request passes: also those that
            follow redirects, and those of an `auth`. They yield requests and `httpx.Step`, and return a response.
        compress: "gzip", "deflate", "br" or "zstd": compress the bodies of requests, as for `build_request`.
    """

    @no_such_argument(**_HINTS)
    def __init__(
        self,
        *,
        auth: AuthTypes | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | Literal[False] | None = None,
        verify: VerifyTypes = True,
        cert: CertTypes | None = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        proxy: ProxyChoiceTypes | None = None,
        mounts: Mapping[str, BaseTransport | None] | None = None,
        timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
        follow_redirects: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        max_redirects: int = DEFAULT_MAX_REDIRECTS,
        event_hooks: Mapping[str, list[EventHook]] | None = None,
        base_url: URL | str = "",
        transport: BaseTransport | None = None,
        default_encoding: str | Callable[[bytes], str] = "utf-8",
        sensitive_headers: tuple[str, ...] | list[str] = DEFAULT_SENSITIVE_HEADERS,
        max_response_size: int | None = None,
        proxies: Any = None,
        pins: PinTypes | None = None,
        resolver: ResolverTypes | None = None,
        resolve: ResolveTypes | None = None,
        dns_cache_ttl: float | None = None,
        address_family: int | None = None,
        credentials_for: CredentialsFor = "any",
        guard: GuardTypes | None = None,
        middleware: MiddlewareTypes | None = None,
        compress: str | None = None,
    ) -> None:
        """Long because there are many arguments, which are passed on one by one."""
        super().__init__(
            auth=auth,
            base_url=base_url,
            compress=compress,
            cookies=cookies,
            credentials_for=credentials_for,
            default_encoding=default_encoding,
            event_hooks=event_hooks,
            follow_redirects=follow_redirects,
            headers=headers,
            max_redirects=max_redirects,
            max_response_size=max_response_size,
            middleware=middleware,
            params=params,
            sensitive_headers=sensitive_headers,
            timeout=timeout,
            trust_env=trust_env,
        )
        network: dict[str, Any] = {
            "verify": verify,
            "cert": cert,
            "trust_env": trust_env,
            "http1": http1,
            "http2": http2,
            "limits": limits,
            **given(pins=pins, resolver=resolver, resolve=resolve),
            **given(dns_cache_ttl=dns_cache_ttl, address_family=address_family, guard=guard),
        }
        self._transport = self._init_transport(transport=transport, proxy=proxy, **network)
        from_environment = trust_env and transport is None and proxy is None
        proxied = named_proxies(proxies, from_environment, guard)
        mounted: dict[Any, Any] = {
            pattern: None if one is None else self._init_proxy_transport(one, **network) for pattern, one in proxied
        }
        mounted.update({} if mounts is None else mounts)
        self._mounts: dict[Any, BaseTransport | None] = ordered_mounts(mounted)
        if guard is not None:
            check_guarded(guard, transport, self._transport, self._mounts)
        if (transport is not None or mounts) and type(self)._init_transport is Client._init_transport:
            warn_of_unused(transport, mounts, type(self) is not Client, proxy=proxy, **network)

    def _init_transport(
        self, *, transport: BaseTransport | None = None, proxy: ProxyChoiceTypes | None = None, **network: Any
    ) -> BaseTransport:
        if transport is not None:
            return transport
        return HTTPTransport(**network) if proxy is None else self._init_proxy_transport(proxy, **network)

    def _init_proxy_transport(self, proxy: ProxyChoiceTypes, **network: Any) -> BaseTransport:
        return HTTPTransport(proxy=proxy, **network)

    def _transport_for_url(self, url: URL) -> BaseTransport:
        """Return the transport for a URL; every request asks here."""
        if not self._mounts:
            return self._transport
        return transport_for(self._mounts, url, self._transport)  # type: ignore[no-any-return]  # mounts hold any

    @contextmanager
    def stream(
        self,
        method: str,
        url: URL | str,
        *,
        content: RequestContent | None = None,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: Any | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Iterator[Response]:
        """
        Return a context manager like `request` whose response is not read yet: iterate over its body, or leave it.

            with client.stream("GET", url) as response:
                for piece in response.iter_bytes():
                    ...
        """
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
        request = self.build_request(
            method,
            url,
            content=content,
            cookies=cookies,
            data=data,
            extensions=extensions,
            files=files,
            headers=headers,
            json=json,
            params=params,
            timeout=timeout,
            **more,
        )
        response = self.send(request, auth=auth, follow_redirects=follow_redirects, stream=True)
        try:
            yield response
        finally:
            response.close()

    def sse(
        self,
        url: URL | str,
        *,
        method: str = "GET",
        content: RequestContent | None = None,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: Any | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
        max_event_size: int | None = 1_048_576,
        reconnect: bool | Reconnect = False,
        last_event_id: str = "",
        idle_timeout: float | None = 300.0,
    ) -> AbstractContextManager[EventSource]:
        """
        Return a context manager that opens an event stream and gives its `EventSource`.

            with client.sse(url) as source:
                for event in source:
                    ...

        Args:
            method, content, data, files, json, params, headers, cookies: as for `request`.
            auth, follow_redirects, timeout, extensions: the same.
            max_event_size: bytes of one event, comments included; a larger one raises `SSEError`. None for no limit.
            reconnect: whether a stream that is lost is opened again, and how. The first request is never repeated.
            last_event_id: of the event to go on after; sent as Last-Event-ID.
            idle_timeout: seconds in which something must arrive once the stream is open, in place of the client's
                read timeout; None for no limit. Not used if `timeout` is given. A total timeout bounds the whole
                subscription, with all its connections.

        Raises:
            InvalidURL, TypeError, ValueError: arguments that make no request, or, to reconnect, a body that can be sent
                only once.

        HTML Living Standard, section 9.2.
        """
        from ._event_source import EventStream, Opener

        request = {"content": content, "data": data, "files": files, "json": json, "params": params}
        opener = Opener(
            self,
            method,
            url,
            {**request, "headers": headers, "cookies": cookies, "timeout": timeout, "extensions": extensions},
            auth=auth,
            follow_redirects=follow_redirects,
            policy=reconnect,
            last_event_id=last_event_id,
            idle_timeout=idle_timeout,
            max_event_size=max_event_size,
        )
        return EventStream(opener)

    def websocket(
        self,
        url: URL | str,
        *,
        subprotocols: Sequence[str] | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
        max_message_size_bytes: int | None = 16_777_216,
        queue_size: int = 512,
        keepalive_ping_interval_seconds: float | None = 20.0,
        keepalive_ping_timeout_seconds: float | None = 20.0,
        compression: bool | Deflate = False,
        close_timeout: float | None = 10.0,
        reconnect: Reconnect | None = None,
    ) -> WebSocketConnector:
        """
        Return a context manager that opens a WebSocket.

            with client.websocket("wss://example.org/chat") as ws:
                ws.send_text("hello")
                print(ws.receive(timeout=5))

        Or one session after the other, as an iterator: `for ws in client.websocket(url): ...`.

        A session holds a connection of its own until it is closed.

        Args:
            url: with the scheme ws, wss, http or https, or relative to `base_url`.
            subprotocols: offered to the server, the preferred one first.
            params, headers, cookies, auth, follow_redirects, timeout, extensions: of the opening handshake, a GET that
                goes the way of every request. Of the timeouts, "write" also bounds each wait of a `send`.
            max_message_size_bytes: of a message of the peer, after decompression; None for no limit.
            queue_size: number of messages that may wait to be received. Then, or with 1 MiB of them, nothing is taken
                from the connection until all were received.
            keepalive_ping_interval_seconds: of silence, after which the peer gets a ping; None for never.
            keepalive_ping_timeout_seconds: of silence after that, which end the WebSocket; None for no limit.
            compression: offer permessage-deflate (RFC 7692): True, or an `httpx.websockets.Deflate`.
            close_timeout: seconds for the closing handshake; None for no limit.
            reconnect: how an iteration over this opens one session after the other; None for the default
                `httpx.Reconnect`.

        RFC 6455.
        """
        from ._websockets import WebSocketConnector, WebSocketOptions

        options = WebSocketOptions(
            subprotocols=subprotocols,
            max_message_size_bytes=max_message_size_bytes,
            queue_size=queue_size,
            keepalive_ping_interval_seconds=keepalive_ping_interval_seconds,
            keepalive_ping_timeout_seconds=keepalive_ping_timeout_seconds,
            compression=compression,
            close_timeout=close_timeout,
            reconnect=reconnect,
        )
        request = {
            "cookies": cookies,
            "extensions": extensions,
            "headers": headers,
            "params": params,
            "timeout": timeout,
        }
        return WebSocketConnector(self, url, options, request, auth, follow_redirects)

    def send(
        self,
        request: Request,
        *,
        stream: bool = False,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
    ) -> Response:
        """
        Send a request as it is; only a timeout is added if it has none.

        Args:
            request: from `build_request`, or made by hand with an absolute URL.
            stream: do not read the body; the response must be closed then.
            auth, follow_redirects: instead of the client's.

        Raises:
            RequestError: the request failed; the class says how.
            RuntimeError: the client is closed.
        """
        if self._state is not _OPENED:
            self._mark_opened()
        if "timeout" not in request.extensions:
            request.extensions = {**request.extensions, "timeout": self._timeout.as_dict()}
        request._whole = not (stream or self._adapts)
        if self._names_secrets:
            request._sensitive = self._sensitive
        if (
            (self._auth if auth is USE_CLIENT_DEFAULT else auth) is None
            and not request.url._userinfo
            and not any(self._event_hooks.values())
            and not self._layers
            and "total" not in request.extensions["timeout"]
        ):
            # This one request needs no other step: it becomes a journey only if the response requires more.
            response = self._send_single_request(request)
            if response._remarkable:
                response = self._travel(request, auth, follow_redirects, response)
        else:
            if self._layers:
                request._is_read = not stream
            response = self._travel(request, auth, follow_redirects)
        if not stream and not response._take_whole():
            try:
                response.read()
            except BaseException:
                response.close()
                raise
        return response

    def _travel(
        self,
        request: Request,
        auth: AuthTypes | UseClientDefault | None,
        follow_redirects: bool | UseClientDefault,
        response: Response | None = None,
    ) -> Response:
        """
        Carry out the steps of a journey, and send it each outcome; `response` is its first, if it was sent.

        Long because each kind of step has its lines here.
        """
        follow = self.follow_redirects if isinstance(follow_redirects, UseClientDefault) else follow_redirects
        timeout = request.extensions["timeout"]
        if isinstance(timeout, TimeLeft):  # of another call with this request, or the one before it
            timeout = timeout.whole
        deadline = self._deadline(timeout)
        policy = self._policy(timeout, deadline, request._is_read)
        steps = journey(request, self._build_request_auth(request, auth), follow, policy, response)
        flow: Generator[Request, Response, None] | None = None
        try:
            step, value = next(steps)
            while True:
                try:
                    if step == SEND:
                        if self._state is not _OPENED:
                            self._mark_opened()  # it may have been closed during a pause or a hook
                        value.extensions.setdefault("timeout", timeout)  # a request that an auth flow made has none
                        value._whole = request._whole
                        with self._hearing(value) if self._event_hooks.get("1xx") else NO_HOOKS:
                            if deadline is None:
                                reply: Any = self._send_single_request(value)
                            else:
                                reply = self._send_until(value, deadline, timeout)
                    elif step == AUTH_BEGIN:
                        if flow is not None:
                            flow.close()
                        flow = value[0].sync_auth_flow(value[1])
                        reply = self._begun(flow, value[0])
                    elif step == AUTH_NEXT:
                        reply = self._authenticated(flow, value)
                    elif step == DRAIN:
                        reply = value._drain()
                    elif step == CLOSE:
                        reply = value.close()
                    elif step == PAUSE:
                        self._check_pause(value, request, deadline, timeout)
                        reply = pause(value)  # type: ignore[func-returns-value]  # None is the outcome
                    elif step == READ:
                        reply = value.read()
                    elif step == CALL:
                        reply = call(*value)
                    elif step == WAIT:
                        reply = wait_for(*value)
                    else:
                        self._call_hooks(_HOOK_NAMES[step], value)
                        reply = None
                except BaseException as exc:
                    step, value = steps.throw(exc)
                else:
                    step, value = steps.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # the generator's return value
        finally:
            if deadline is not None:
                self._end_deadline(request, timeout)
            if flow is not None:
                flow.close()

    def _begun(self, flow: Generator[Request, Response, None], auth: Auth) -> Request:
        """Return the first request of an auth flow. Raises RuntimeError if there is none."""
        try:
            return flow.__next__()
        except StopIteration:
            raise RuntimeError(no_request_of(auth)) from None

    def _authenticated(self, flow: Any, response: Response) -> Request | None:
        """Return the request that the auth flow wants sent after this response, or None if the flow is over."""
        try:
            return flow.send(response)  # type: ignore[no-any-return]  # a user's flow
        except StopIteration:
            return None

    def _call_hooks(self, name: str, value: Request | Response) -> None:
        for hook in self._event_hooks.get(name, ()):
            finished(hook(value))

    def _fit_body(self, request: Request) -> None:
        request.stream = in_sync(request.stream)

    def _send_until(self, request: Request, deadline: float, timeout: Mapping[str, Any]) -> Response:
        """Send like `_send_single_request`, with a total timeout for transports that do not bound themselves."""
        self._leave(request, deadline, timeout)
        if bounds_itself(self._transport_for_url(request.url)):
            return self._send_single_request(request)
        bound = Bound(request, deadline, timeout)
        return bound.over(bound.run(self._send_single_request, request))

    def _send_single_request(self, request: Request) -> Response:
        """Send one request through its transport, without redirects, authentication or reading the body."""
        transport = self._transport_for_url(request.url)
        if not isinstance(request.stream, SyncByteStream):
            self._fit_body(request)
        started = perf_counter()
        try:
            response = transport.handle_request(request)
        except RequestError as exc:
            attach(exc, request, started)
            raise
        response._request = request
        response._started = started
        response._headed = perf_counter()
        if self._adapts:
            self._adapt(response)
        if _logger.isEnabledFor(INFO):
            self._log(request, response)
        return response

    def close(self) -> None:
        """
        Close the client and all its transports. It cannot be used afterwards.

        Raises:
            The first exception that a transport raises, after all were closed.
        """
        if self._state is not ClientState.CLOSED:
            self._state = ClientState.CLOSED
            failures: list[BaseException] = []
            for transport in self._all_transports():
                try:
                    transport.close()
                except BaseException as exc:
                    failures.append(exc)
            raise_first(failures)

    def _all_transports(self) -> list[BaseTransport]:
        """Return the client's own transport and the mounted ones."""
        return [self._transport, *(transport for transport in self._mounts.values() if transport is not None)]

    def __enter__(self: T) -> T:
        if self._state is not ClientState.UNOPENED:
            closed = self._state is ClientState.CLOSED
            raise RuntimeError("a client cannot be opened " + ("again after it was closed" if closed else "twice"))
        self._state = ClientState.OPENED
        opened: list[BaseTransport] = []
        try:
            for transport in self._all_transports():
                transport.__enter__()
                opened.append(transport)
        except BaseException as exc:
            # `__exit__` is not called then.
            self._leave_transports(opened, type(exc), exc, exc.__traceback__)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        raise_first(self._leave_transports(self._all_transports(), exc_type, exc_value, traceback))

    def _leave_transports(
        self,
        transports: list[BaseTransport],
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> list[BaseException]:
        """Call `__exit__` of each, even if one fails, and return what they raised."""
        self._state = ClientState.CLOSED
        failures: list[BaseException] = []
        for transport in transports:
            try:
                transport.__exit__(exc_type, exc_value, traceback)
            except BaseException as exc:
                failures.append(exc)
        return failures


class AsyncClient(AsyncVerbs):
    """
    A client like `Client`, for asyncio and trio; it may be used from several event loops.

        async with httpx.AsyncClient(base_url="https://api.example.org") as client:
            response = await client.get("/users")

    Args:
        auth: (username, password), a function of the request, or an `httpx.Auth`.
        params, headers, cookies: sent with every request. `cookies=False` stores no cookie that a server sets.
        verify, cert, trust_env, http1, http2, limits: as for `httpx.AsyncHTTPTransport`.
        proxy: send all requests through this proxy, or through the one that this function returns for a request. The
            extension "proxy" of a request takes precedence.
        mounts: transports for URLs that match a pattern, such as {"https://": ..., "all://*.example.org": ...}.
        timeout: seconds for each of connect, read, write and pool, or an `httpx.Timeout`; None for no limit.
        follow_redirects, max_redirects: whether redirects are followed, and how many.
        event_hooks: {"request": [function, ...], "response": [...], "1xx": [...]}.
        base_url: the URL that relative URLs are appended to.
        credentials_for: "any" sends the client's credentials with every request. "origin" sends its `auth`, its
            private headers (Authorization, Proxy-Authorization, Cookie, `sensitive_headers`) and its cookies without a
            domain only to the origin of `base_url`, also if a request is given another URL.
        transport: used in place of the network.
        default_encoding: for text without a charset in its Content-Type: its name, or a function of the body's bytes.
        sensitive_headers: names of headers that, like Authorization, no redirect carries to another origin.
        max_response_size: maximum bytes of a body, read or streamed; a larger one raises `ResponseTooLarge`. None for
            no limit.
        proxies: deprecated; use `proxy` or `mounts`.
        pins: which certificates hosts may have, as for `httpx.HTTPTransport`.
        resolver, resolve, dns_cache_ttl, address_family: how host names are resolved; as for
            `httpx.HTTPTransport`.
        guard: which addresses may be connected to, such as `httpx.public_only`; as for `httpx.HTTPTransport`. Not with
            `transport`, nor with proxies, those of the environment included. Transports in `mounts` need their own.
        middleware: generator functions of a request, outermost first, which every request passes: also those that
            follow redirects, and those of an `auth`. They yield requests and `httpx.Step`, and return a response.
        compress: "gzip", "deflate", "br" or "zstd": compress the bodies of requests, as for `build_request`.
    """

    @no_such_argument(**_HINTS)
    def __init__(
        self,
        *,
        auth: AuthTypes | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | Literal[False] | None = None,
        verify: VerifyTypes = True,
        cert: CertTypes | None = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        proxy: ProxyChoiceTypes | None = None,
        mounts: Mapping[str, AsyncBaseTransport | None] | None = None,
        timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
        follow_redirects: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        max_redirects: int = DEFAULT_MAX_REDIRECTS,
        event_hooks: Mapping[str, list[EventHook]] | None = None,
        base_url: URL | str = "",
        transport: AsyncBaseTransport | None = None,
        default_encoding: str | Callable[[bytes], str] = "utf-8",
        sensitive_headers: tuple[str, ...] | list[str] = DEFAULT_SENSITIVE_HEADERS,
        max_response_size: int | None = None,
        proxies: Any = None,
        pins: PinTypes | None = None,
        resolver: ResolverTypes | None = None,
        resolve: ResolveTypes | None = None,
        dns_cache_ttl: float | None = None,
        address_family: int | None = None,
        credentials_for: CredentialsFor = "any",
        guard: GuardTypes | None = None,
        middleware: MiddlewareTypes | None = None,
        compress: str | None = None,
    ) -> None:
        """Long because there are many arguments, which are passed on one by one."""
        super().__init__(
            auth=auth,
            base_url=base_url,
            compress=compress,
            cookies=cookies,
            credentials_for=credentials_for,
            default_encoding=default_encoding,
            event_hooks=event_hooks,
            follow_redirects=follow_redirects,
            headers=headers,
            max_redirects=max_redirects,
            max_response_size=max_response_size,
            middleware=middleware,
            params=params,
            sensitive_headers=sensitive_headers,
            timeout=timeout,
            trust_env=trust_env,
        )
        network: dict[str, Any] = {
            "verify": verify,
            "cert": cert,
            "trust_env": trust_env,
            "http1": http1,
            "http2": http2,
            "limits": limits,
            **given(pins=pins, resolver=resolver, resolve=resolve),
            **given(dns_cache_ttl=dns_cache_ttl, address_family=address_family, guard=guard),
        }
        self._transport = self._init_transport(transport=transport, proxy=proxy, **network)
        from_environment = trust_env and transport is None and proxy is None
        proxied = named_proxies(proxies, from_environment, guard)
        mounted: dict[Any, Any] = {
            pattern: None if one is None else self._init_proxy_transport(one, **network) for pattern, one in proxied
        }
        mounted.update({} if mounts is None else mounts)
        self._mounts: dict[Any, AsyncBaseTransport | None] = ordered_mounts(mounted)
        if guard is not None:
            check_guarded(guard, transport, self._transport, self._mounts)
        if (transport is not None or mounts) and type(self)._init_transport is AsyncClient._init_transport:
            warn_of_unused(transport, mounts, type(self) is not AsyncClient, proxy=proxy, **network)

    def _init_transport(
        self, *, transport: AsyncBaseTransport | None = None, proxy: ProxyChoiceTypes | None = None, **network: Any
    ) -> AsyncBaseTransport:
        if transport is not None:
            return transport
        return AsyncHTTPTransport(**network) if proxy is None else self._init_proxy_transport(proxy, **network)

    def _init_proxy_transport(self, proxy: ProxyChoiceTypes, **network: Any) -> AsyncBaseTransport:
        return AsyncHTTPTransport(proxy=proxy, **network)

    def _transport_for_url(self, url: URL) -> AsyncBaseTransport:
        """Return the transport for a URL; every request asks here."""
        if not self._mounts:
            return self._transport
        return transport_for(self._mounts, url, self._transport)  # type: ignore[no-any-return]  # mounts hold any

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: URL | str,
        *,
        content: RequestContent | None = None,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: Any | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> AsyncIterator[Response]:
        """
        Return a context manager like `request` whose response is not read yet: iterate over its body, or leave it.

            async with client.stream("GET", url) as response:
                async for piece in response.aiter_bytes():
                    ...
        """
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
        request = self.build_request(
            method,
            url,
            content=content,
            cookies=cookies,
            data=data,
            extensions=extensions,
            files=files,
            headers=headers,
            json=json,
            params=params,
            timeout=timeout,
            **more,
        )
        response = await self.send(request, auth=auth, follow_redirects=follow_redirects, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    def sse(
        self,
        url: URL | str,
        *,
        method: str = "GET",
        content: RequestContent | None = None,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: Any | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
        max_event_size: int | None = 1_048_576,
        reconnect: bool | Reconnect = False,
        last_event_id: str = "",
        idle_timeout: float | None = 300.0,
    ) -> AbstractAsyncContextManager[EventSource]:
        """
        Return a context manager that opens an event stream and gives its `EventSource`.

            async with client.sse(url) as source:
                async for event in source:
                    ...

        Args:
            method, content, data, files, json, params, headers, cookies: as for `request`.
            auth, follow_redirects, timeout, extensions: the same.
            max_event_size: bytes of one event, comments included; a larger one raises `SSEError`. None for no limit.
            reconnect: whether a stream that is lost is opened again, and how. The first request is never repeated.
            last_event_id: of the event to go on after; sent as Last-Event-ID.
            idle_timeout: seconds in which something must arrive once the stream is open, in place of the client's
                read timeout; None for no limit. Not used if `timeout` is given. A total timeout bounds the whole
                subscription, with all its connections.

        Raises:
            InvalidURL, TypeError, ValueError: arguments that make no request, or, to reconnect, a body that can be sent
                only once.

        HTML Living Standard, section 9.2.
        """
        from ._event_source import AsyncEventStream, Opener

        request = {"content": content, "data": data, "files": files, "json": json, "params": params}
        opener = Opener(
            self,
            method,
            url,
            {**request, "headers": headers, "cookies": cookies, "timeout": timeout, "extensions": extensions},
            auth=auth,
            follow_redirects=follow_redirects,
            policy=reconnect,
            last_event_id=last_event_id,
            idle_timeout=idle_timeout,
            max_event_size=max_event_size,
        )
        return AsyncEventStream(opener)

    def websocket(
        self,
        url: URL | str,
        *,
        subprotocols: Sequence[str] | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
        max_message_size_bytes: int | None = 16_777_216,
        queue_size: int = 512,
        keepalive_ping_interval_seconds: float | None = 20.0,
        keepalive_ping_timeout_seconds: float | None = 20.0,
        compression: bool | Deflate = False,
        close_timeout: float | None = 10.0,
        reconnect: Reconnect | None = None,
    ) -> AsyncWebSocketConnector:
        """
        Return a context manager that opens a WebSocket.

            async with client.websocket("wss://example.org/chat") as ws:
                await ws.send_text("hello")
                print(await ws.receive(timeout=5))

        Or one session after the other, as an iterator: `async for ws in client.websocket(url): ...`.

        A session holds a connection of its own until it is closed.

        Args:
            url: with the scheme ws, wss, http or https, or relative to `base_url`.
            subprotocols: offered to the server, the preferred one first.
            params, headers, cookies, auth, follow_redirects, timeout, extensions: of the opening handshake, a GET that
                goes the way of every request. Of the timeouts, "write" also bounds each wait of a `send`.
            max_message_size_bytes: of a message of the peer, after decompression; None for no limit.
            queue_size: number of messages that may wait to be received. Then, or with 1 MiB of them, nothing is taken
                from the connection until all were received.
            keepalive_ping_interval_seconds: of silence, after which the peer gets a ping; None for never.
            keepalive_ping_timeout_seconds: of silence after that, which end the WebSocket; None for no limit.
            compression: offer permessage-deflate (RFC 7692): True, or an `httpx.websockets.Deflate`.
            close_timeout: seconds for the closing handshake; None for no limit.
            reconnect: how an iteration over this opens one session after the other; None for the default
                `httpx.Reconnect`.

        RFC 6455.
        """
        from ._websockets import AsyncWebSocketConnector, WebSocketOptions

        options = WebSocketOptions(
            subprotocols=subprotocols,
            max_message_size_bytes=max_message_size_bytes,
            queue_size=queue_size,
            keepalive_ping_interval_seconds=keepalive_ping_interval_seconds,
            keepalive_ping_timeout_seconds=keepalive_ping_timeout_seconds,
            compression=compression,
            close_timeout=close_timeout,
            reconnect=reconnect,
        )
        request = {
            "cookies": cookies,
            "extensions": extensions,
            "headers": headers,
            "params": params,
            "timeout": timeout,
        }
        return AsyncWebSocketConnector(self, url, options, request, auth, follow_redirects)

    async def send(
        self,
        request: Request,
        *,
        stream: bool = False,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
    ) -> Response:
        """
        Send a request as it is; only a timeout is added if it has none.

        Args:
            request: from `build_request`, or made by hand with an absolute URL.
            stream: do not read the body; the response must be closed then.
            auth, follow_redirects: instead of the client's.

        Raises:
            RequestError: the request failed; the class says how.
            RuntimeError: the client is closed.
        """
        if self._state is not _OPENED:
            self._mark_opened()
        if "timeout" not in request.extensions:
            request.extensions = {**request.extensions, "timeout": self._timeout.as_dict()}
        request._whole = not (stream or self._adapts)
        if self._names_secrets:
            request._sensitive = self._sensitive
        if (
            (self._auth if auth is USE_CLIENT_DEFAULT else auth) is None
            and not request.url._userinfo
            and not any(self._event_hooks.values())
            and not self._layers
            and "total" not in request.extensions["timeout"]
        ):
            # This one request needs no other step: it becomes a journey only if the response requires more.
            response = await self._send_single_request(request)
            if response._remarkable:
                response = await self._travel(request, auth, follow_redirects, response)
        else:
            if self._layers:
                request._is_read = not stream
            response = await self._travel(request, auth, follow_redirects)
        if not stream and not response._take_whole():
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response

    async def _travel(
        self,
        request: Request,
        auth: AuthTypes | UseClientDefault | None,
        follow_redirects: bool | UseClientDefault,
        response: Response | None = None,
    ) -> Response:
        """
        Carry out the steps of a journey, and send it each outcome; `response` is its first, if it was sent.

        Long because each kind of step has its lines here.
        """
        follow = self.follow_redirects if isinstance(follow_redirects, UseClientDefault) else follow_redirects
        timeout = request.extensions["timeout"]
        if isinstance(timeout, TimeLeft):  # of another call with this request, or the one before it
            timeout = timeout.whole
        deadline = self._deadline(timeout)
        policy = self._policy(timeout, deadline, request._is_read)
        steps = journey(request, self._build_request_auth(request, auth), follow, policy, response)
        flow: AsyncGenerator[Request, Response] | None = None
        try:
            step, value = next(steps)
            while True:
                try:
                    if step == SEND:
                        if self._state is not _OPENED:
                            self._mark_opened()  # it may have been closed during a pause or a hook
                        value.extensions.setdefault("timeout", timeout)  # a request that an auth flow made has none
                        value._whole = request._whole
                        with self._hearing(value) if self._event_hooks.get("1xx") else NO_HOOKS:
                            if deadline is None:
                                reply: Any = await self._send_single_request(value)
                            else:
                                reply = await self._send_until(value, deadline, timeout)
                    elif step == AUTH_BEGIN:
                        if flow is not None:
                            await flow.aclose()
                        flow = value[0].async_auth_flow(value[1])
                        reply = await self._begun(flow, value[0])
                    elif step == AUTH_NEXT:
                        reply = await self._authenticated(flow, value)
                    elif step == DRAIN:
                        reply = await value._adrain()
                    elif step == CLOSE:
                        reply = await value.aclose()
                    elif step == PAUSE:
                        self._check_pause(value, request, deadline, timeout)
                        reply = await apause(value)  # type: ignore[func-returns-value]  # None is the outcome
                    elif step == READ:
                        reply = await value.aread()
                    elif step == CALL:
                        reply = await acall(*value)
                    elif step == WAIT:
                        reply = await await_for(*value)
                    else:
                        await self._call_hooks(_HOOK_NAMES[step], value)
                        reply = None
                except BaseException as exc:
                    step, value = steps.throw(exc)
                else:
                    step, value = steps.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # the generator's return value
        finally:
            if deadline is not None:
                self._end_deadline(request, timeout)
            if flow is not None:
                await flow.aclose()

    async def _begun(self, flow: AsyncGenerator[Request, Response], auth: Auth) -> Request:
        """Return the first request of an auth flow. Raises RuntimeError if there is none."""
        try:
            return await flow.__anext__()
        except StopAsyncIteration:
            raise RuntimeError(no_request_of(auth)) from None

    async def _authenticated(self, flow: Any, response: Response) -> Request | None:
        """Return the request that the auth flow wants sent after this response, or None if the flow is over."""
        try:
            return await flow.asend(response)  # type: ignore[no-any-return]  # a user's flow
        except StopAsyncIteration:
            return None

    async def _call_hooks(self, name: str, value: Request | Response) -> None:
        for hook in self._event_hooks.get(name, ()):
            await afinished(hook(value))

    def _fit_body(self, request: Request) -> None:
        request.stream = in_async(request.stream)

    async def _send_until(self, request: Request, deadline: float, timeout: Mapping[str, Any]) -> Response:
        """Send like `_send_single_request`, with a total timeout for transports that do not bound themselves."""
        self._leave(request, deadline, timeout)
        if bounds_itself(self._transport_for_url(request.url)):
            return await self._send_single_request(request)
        bound = AsyncBound(request, deadline, timeout)
        return bound.over(await bound.run(self._send_single_request, request))

    async def _send_single_request(self, request: Request) -> Response:
        """Send one request through its transport, without redirects, authentication or reading the body."""
        transport = self._transport_for_url(request.url)
        if not isinstance(request.stream, AsyncByteStream):
            self._fit_body(request)
        started = perf_counter()
        try:
            response = await transport.handle_async_request(request)
        except RequestError as exc:
            attach(exc, request, started)
            raise
        response._request = request
        response._started = started
        response._headed = perf_counter()
        if self._adapts:
            self._adapt(response)
        if _logger.isEnabledFor(INFO):
            self._log(request, response)
        return response

    async def aclose(self) -> None:
        """
        Close the client and all its transports. It cannot be used afterwards.

        Raises:
            The first exception that a transport raises, after all were closed.
        """
        if self._state is not ClientState.CLOSED:
            self._state = ClientState.CLOSED
            failures: list[BaseException] = []
            for transport in self._all_transports():
                try:
                    await transport.aclose()
                except BaseException as exc:
                    failures.append(exc)
            raise_first(failures)

    def _all_transports(self) -> list[AsyncBaseTransport]:
        """Return the client's own transport and the mounted ones."""
        return [self._transport, *(transport for transport in self._mounts.values() if transport is not None)]

    async def __aenter__(self: U) -> U:
        if self._state is not ClientState.UNOPENED:
            closed = self._state is ClientState.CLOSED
            raise RuntimeError("a client cannot be opened " + ("again after it was closed" if closed else "twice"))
        self._state = ClientState.OPENED
        opened: list[AsyncBaseTransport] = []
        try:
            for transport in self._all_transports():
                await transport.__aenter__()
                opened.append(transport)
        except BaseException as exc:
            # `__aexit__` is not called then.
            await self._leave_transports(opened, type(exc), exc, exc.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        raise_first(await self._leave_transports(self._all_transports(), exc_type, exc_value, traceback))

    async def _leave_transports(
        self,
        transports: list[AsyncBaseTransport],
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> list[BaseException]:
        """Call `__aexit__` of each, even if one fails, and return what they raised."""
        self._state = ClientState.CLOSED
        failures: list[BaseException] = []
        for transport in transports:
            try:
                await transport.__aexit__(exc_type, exc_value, traceback)
            except BaseException as exc:
                failures.append(exc)
        return failures
