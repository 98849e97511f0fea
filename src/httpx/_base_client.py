"""
What `Client` and `AsyncClient` have in common: configuration, and how requests are built from it.

Not here: sending (`_client`).
"""

from __future__ import annotations

import enum
import math
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any, Callable, Literal, TypeVar

from . import _clock
from .__version__ import __version__
from ._auth import Auth, BasicAuth, FunctionAuth
from ._auth.basic import basic
from ._config import DEFAULT_LIMITS, DEFAULT_MAX_REDIRECTS, DEFAULT_TIMEOUT_CONFIG, Timeout, whole_number
from ._cookies import Cookies
from ._decoders import accept_encoding
from ._engine.guarding import wants_proxies
from ._engine.limits import total_of
from ._exceptions import ReadTimeout, RequestError, with_host
from ._flow import Layers, Policy
from ._headers import Headers
from ._loggers import logger_of
from ._origins import may_keep_secrets
from ._patterns import URLPattern
from ._proxies import BypassPattern, EnvironmentProxies, environment_proxies
from ._redirects import (
    redirect_headers,
    redirect_method,
    redirect_stream,
    redirect_url,
    redirected,
)
from ._request import Request, own_extensions
from ._response import Response, shown_reason
from ._secrets import CREDENTIALS, CUSTOM_CREDENTIALS, printable, shortened
from ._text import is_text_encoding
from ._transports.deadlines import Rest, TimeLeft
from ._transports.default import guard_of
from ._urls import URL, QueryParams, url_of
from ._utils import level_of_caller

if TYPE_CHECKING:
    from ._bytestreams import AsyncByteStream, SyncByteStream
    from ._types import (
        AuthTypes,
        CookieTypes,
        GuardTypes,
        HeaderTypes,
        MiddlewareTypes,
        ProxyChoiceTypes,
        QueryParamTypes,
        RequestContent,
        RequestData,
        RequestExtensions,
        RequestFiles,
        TimeoutTypes,
        URLTypes,
    )

T = TypeVar("T")
EventHook = Callable[..., Any]
# Where the client's credentials may be sent; see `Client`.
CredentialsFor = Literal["any", "origin"]

USER_AGENT = f"python-httpx/{__version__}"
# Headers that are as private as Authorization when a redirect leads to another origin.
DEFAULT_SENSITIVE_HEADERS = CUSTOM_CREDENTIALS
# Methods that are known to be tokens, so that they are not checked.
_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))

logger = logger_of("httpx")


class UseClientDefault:
    """The type of `USE_CLIENT_DEFAULT`."""

    def __repr__(self) -> str:
        return "USE_CLIENT_DEFAULT"

    def __reduce__(self) -> str:
        return "USE_CLIENT_DEFAULT"


# "Use the client's setting": the default of arguments for which None means something else.
USE_CLIENT_DEFAULT = UseClientDefault()


class ClientState(enum.Enum):
    """The state of a client, which is opened once, by `with` or by the first request, and closed once."""

    UNOPENED = 1
    OPENED = 2
    CLOSED = 3


# Methods of 0.28.1's clients that are never called here: a subclass that overrides one would have no effect.
_GONE = ("_send_handling_auth", "_send_handling_redirects")


class BaseClient:
    """The configuration of a client; see `Client` for the arguments."""

    if TYPE_CHECKING:

        def _call_hooks(self, name: str, value: Any) -> Any: ...

    # Here for subclasses that set `base_url` before they call the constructor, as litestar's do.
    _is_guarded = False
    # Whether `sensitive_headers` differ from those that each request knows.
    _names_secrets = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in _GONE:
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__} defines {name}, which httpx no longer calls: "
                    "override `send` or `_send_single_request`, or write an httpx.Auth or a transport"
                )

    def __init__(
        self,
        *,
        auth: AuthTypes | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | Literal[False] | None = None,
        timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
        follow_redirects: bool = False,
        max_redirects: int = DEFAULT_MAX_REDIRECTS,
        event_hooks: Mapping[str, list[EventHook]] | None = None,
        base_url: URL | str = "",
        trust_env: bool = True,
        default_encoding: str | Callable[[bytes], str] = "utf-8",
        sensitive_headers: tuple[str, ...] | list[str] = DEFAULT_SENSITIVE_HEADERS,
        max_response_size: int | None = None,
        credentials_for: CredentialsFor = "any",
        middleware: MiddlewareTypes | None = None,
        compress: str | None = None,
    ) -> None:
        self._merged_urls: dict[str, URL] = {}
        if credentials_for not in ("any", "origin"):
            raise ValueError(f"credentials_for must be 'any' or 'origin', got {credentials_for!r:.40}")
        self._is_guarded = credentials_for == "origin"
        self._base_url = self._as_base(base_url)
        self._auth = self._build_auth(auth)
        self._params = QueryParams(params)
        self.headers = Headers(headers)
        self._cookies = Cookies._of_client(cookies)
        self._timeout = Timeout(timeout)
        self.follow_redirects = follow_redirects
        self.max_redirects = max_redirects
        self._event_hooks = _hooks(event_hooks)
        self._trust_env = trust_env
        self._default_encoding = _encoding(default_encoding)
        self._sensitive = _header_names(sensitive_headers)
        self._names_secrets = self._sensitive != Request._sensitive
        self._max_response_size = _checked_size(max_response_size)
        self._adapts = default_encoding != "utf-8" or max_response_size is not None
        self._layers = () if middleware is None else _layers(middleware)
        self._compress = None if compress is None else _coding(compress)
        self._state = ClientState.UNOPENED

    # Configuration, which may be changed at any time.

    @property
    def is_closed(self) -> bool:
        """Return whether the client was closed. A closed client cannot send."""
        return self._state is ClientState.CLOSED

    @property
    def trust_env(self) -> bool:
        """Return whether the environment decides about proxies and certificates."""
        return self._trust_env

    @property
    def timeout(self) -> Timeout:
        """Return the timeouts of requests without their own."""
        return self._timeout

    @timeout.setter
    def timeout(self, timeout: TimeoutTypes) -> None:
        self._timeout = Timeout(timeout)

    @property
    def max_redirects(self) -> int:
        """Return the maximum number of redirects that are followed for one request."""
        return self._max_redirects

    @max_redirects.setter
    def max_redirects(self, max_redirects: int) -> None:
        self._max_redirects = whole_number("max_redirects", max_redirects, 0)

    @property
    def event_hooks(self) -> dict[str, list[EventHook]]:
        """Return the functions called with each request ("request"), response ("response") or 1xx response ("1xx")."""
        return self._event_hooks

    @event_hooks.setter
    def event_hooks(self, event_hooks: Mapping[str, list[EventHook]]) -> None:
        self._event_hooks = _hooks(event_hooks)

    @property
    def auth(self) -> Auth | None:
        """Return the authentication of requests without their own."""
        return self._auth

    @auth.setter
    def auth(self, auth: AuthTypes | None) -> None:
        self._auth = self._build_auth(auth)

    @property
    def base_url(self) -> URL:
        """Return the URL that relative URLs are appended to; its path ends in a slash."""
        return self._base_url

    @base_url.setter
    def base_url(self, url: URL | str) -> None:
        self._base_url = self._as_base(url)
        self._merged_urls = {}

    def _as_base(self, url: URL | str) -> URL:
        base = self._enforce_trailing_slash(URL(url))
        if self._is_guarded and not base.is_absolute_url:
            raise ValueError("credentials_for='origin' needs a base_url with a scheme and a host: it names the origin")
        return base

    @property
    def headers(self) -> Headers:
        """Return the headers that are sent with every request."""
        return self._headers

    @headers.setter
    def headers(self, headers: HeaderTypes) -> None:
        merged = Headers(
            [
                (b"Accept", b"*/*"),
                (b"Accept-Encoding", patched("ACCEPT_ENCODING", accept_encoding()).encode("ascii")),
                (b"Connection", b"keep-alive"),
                (b"User-Agent", patched("USER_AGENT", USER_AGENT).encode("ascii")),
            ]
        )
        merged.update(headers)
        self._headers = merged

    @property
    def cookies(self) -> Cookies:
        """Return the cookies: sent to the hosts they belong to, and updated from responses."""
        return self._cookies

    @cookies.setter
    def cookies(self, cookies: CookieTypes | Literal[False] | None) -> None:
        self._cookies = Cookies._of_client(cookies)

    @property
    def params(self) -> QueryParams:
        """Return the parameters that are added to the query of every request."""
        return self._params

    @params.setter
    def params(self, params: QueryParamTypes) -> None:
        self._params = QueryParams(params)

    # Requests.

    def build_request(
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
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Request:
        """
        Return a request as `request()` sends it: the arguments merged with those of the client.

        The arguments are those of `httpx.Request`; `timeout` becomes its extension "timeout".

        Args:
            compress: "gzip", "deflate", "br" or "zstd" in place of the client's, or None. A body in memory of at least
                1,024 bytes is compressed now, if it becomes smaller; a stream is compressed while it is sent, in
                chunks. Where a request has a Content-Encoding of its own, the client's `compress` is not used.

        Raises:
            InvalidURL, LocalProtocolError: as for `httpx.Request`.
            TypeError: so, too; or `compress` together with a Content-Encoding.
            ValueError: `compress` is not one of these codings.
            ImportError: its library is not installed.
        """
        merged_url = None
        if type(url) is str and type(self)._merge_url is BaseClient._merge_url:
            merged_url = self._merged_urls.get(url)
        if merged_url is None:
            merged_url = self._remembered_url(url)
        merged_headers = self._headers if headers is None else self._merge_headers(headers)
        is_away = False
        if self._is_guarded and merged_url._origin != self._base_url._origin:
            is_away = True
            merged_headers = self._without_credentials(merged_headers, headers)
        all_extensions: dict[str, Any] = {} if extensions is None else own_extensions(extensions)
        if "timeout" not in all_extensions:
            chosen = self._timeout if isinstance(timeout, UseClientDefault) else Timeout(timeout)
            seconds = chosen.__dict__.copy()  # `as_dict`, inlined, if there are only the four
            all_extensions["timeout"] = seconds if len(seconds) == 4 else chosen.as_dict()
        if (
            content is None and data is None and files is None and json is None and params is None and cookies is None
            and method in _METHODS and not self._params._dict and self._cookies._jar is None and trailers is None
        ):  # fmt: skip
            request = Request._without_body(method, merged_url, merged_headers, all_extensions)
            return self._marked(request) if self._names_secrets else request
        own = None if not cookies else Cookies(cookies)
        if (own is not None or self._cookies._jar is not None) and not merged_headers._has(b"cookie"):
            merged_headers = self._with_cookies(merged_headers, merged_url, own, not is_away)
        request = Request(
            method,
            merged_url,
            content=content,
            data=data,
            files=files,
            json=json,
            params=self._merge_queryparams(params),
            headers=merged_headers,
            extensions=all_extensions,
            trailers=trailers,
        )
        if own is not None:
            request._own_cookies = own
        if compress is not USE_CLIENT_DEFAULT or self._compress is not None:
            self._apply_coding(request, compress)
        return self._marked(request) if self._names_secrets else request

    def _marked(self, request: Request) -> Request:
        """Return the request, which knows now which of its header fields are private."""
        request._sensitive = self._sensitive
        return request

    def _apply_coding(self, request: Request, compress: str | UseClientDefault | None) -> None:
        """Compress the body of a request as it says, or else as the client does."""
        own = request.headers._has(b"content-encoding")  # the body may be compressed already
        if isinstance(compress, UseClientDefault):
            coding = None if own else self._compress
        else:
            coding = None if compress is None else _coding(compress)
            if own and coding is not None:
                raise TypeError("compress= and a Content-Encoding header are both given: which coding has the body?")
        if coding is not None:
            from ._encoders import compress_body

            compress_body(request, coding)

    def _with_cookies(self, headers: Headers, url: URL, own: Cookies | None, everywhere: bool = True) -> Headers:
        """
        Return a copy of the headers with a Cookie field, if any cookie of the client or of the request belongs there.

        `everywhere`: whether the client's cookies without a domain are sent to this URL, too.
        """
        if type(self)._merge_cookies is BaseClient._merge_cookies:
            line = self._cookies._line_for(url, own, everywhere)
        else:  # a subclass decides
            line = Cookies(self._merge_cookies(own))._line_for(url, own, everywhere)
        if line is None:
            return headers
        headers = headers.copy()
        headers["Cookie"] = line
        return headers

    def _without_credentials(self, headers: Headers, given: HeaderTypes | None) -> Headers:
        """Return a copy of the merged headers without the client's private ones; those `given` for a request stay."""
        own = Headers(given)
        headers = headers.copy()
        for name in (*CREDENTIALS, *self._sensitive):
            if headers._has(name) and not own._has(name):
                del headers[name.decode("ascii")]
        return headers

    def _remembered_url(self, url: URL | str) -> URL:
        """Return the result of `_merge_url`, from a bounded cache."""
        known = self._merged_urls  # read before the base: another thread may set a new base, and clear this
        merged = self._merge_url(url)
        if type(url) is str and len(url) <= 2048:
            if len(known) >= 256:
                known.clear()
            known[url] = merged
        return merged

    def _enforce_trailing_slash(self, url: URL) -> URL:
        return url if url.raw_path.endswith(b"/") else url.copy_with(raw_path=url.raw_path + b"/")

    def _merge_url(self, url: URL | str) -> URL:
        """Return the URL, appended to `base_url` if it is relative: "/x" does not replace the base's path."""
        merged = url_of(url)
        base = self._base_url
        # Without a base, a URL with a scheme and no host stays as it is: the transport reports what is wrong with it.
        if merged.is_relative_url and not (merged.scheme and base.is_relative_url):
            return base.copy_with(raw_path=base.raw_path + merged.raw_path.lstrip(b"/"))
        return merged

    def _merge_headers(self, headers: HeaderTypes | None = None) -> Headers:
        merged = self._headers.copy()
        if headers is not None:
            merged.update(headers)
        return merged

    def _merge_queryparams(self, params: QueryParamTypes | None = None) -> QueryParamTypes | None:
        if params or self._params:
            return self._params.merge(params)
        return params

    def _merge_cookies(self, cookies: CookieTypes | None = None) -> CookieTypes | None:
        if cookies or self._cookies:
            merged = Cookies(self._cookies)
            merged.update(cookies)
            return merged
        return cookies

    def __getstate__(self) -> dict[str, Any]:
        # The configuration. The copy is unopened, and its transports open their own connections.
        return {**self.__dict__, "_merged_urls": {}, "_state": ClientState.UNOPENED}

    # For both drivers.

    @staticmethod
    def _build_auth(auth: Any) -> Auth | None:
        if auth is None:
            return None
        if isinstance(auth, tuple) and len(auth) == 2:
            return BasicAuth(username=auth[0], password=auth[1])
        if isinstance(auth, Auth):
            return auth
        if callable(auth):
            return FunctionAuth(func=auth)
        raise TypeError(
            f"`auth` is {type(auth).__name__}, not a (username, password) pair, a function or an httpx.Auth"
        )

    def _build_request_auth(self, request: Request, auth: AuthTypes | UseClientDefault | None) -> Auth | None:
        """
        Return the auth of this request, else the client's, else the URL's if no Authorization header is given.

        With `credentials_for="origin"` the client's auth is not used for other origins.
        """
        url = request.url
        if not isinstance(auth, UseClientDefault):
            chosen = self._build_auth(auth)
        else:
            chosen = None if self._is_guarded and url._origin != self._base_url._origin else self._auth
        if (
            chosen is None
            and url._userinfo
            and (url.username or url.password)
            and not request.headers._has(b"authorization")
        ):
            return BasicAuth(url.username, url.password)
        return chosen

    def _policy(
        self, timeout: Mapping[str, Any] | None = None, deadline: float | None = None, is_read: bool = False
    ) -> Policy:
        layers = None
        if self._layers:
            adapt = self._adapt if self._adapts else None
            layers = Layers(self._layers, timeout, deadline, self._sensitive, adapt, is_read)
        hooked = any(self._event_hooks.values())
        return Policy(self._cookies, self.max_redirects, self._build_redirect_request, hooked, layers)

    # Redirects, in methods that subclasses may override individually; names and arguments are those of 0.28.1.

    def _build_redirect_request(self, request: Request, response: Response) -> Request:
        method = self._redirect_method(request, response)
        url = self._redirect_url(request, response)
        headers = self._redirect_headers(request, url, method)
        stream = self._redirect_stream(request, method)
        base = self._base_url if self._is_guarded else None
        following = redirected(request, url, method, headers, stream, self._cookies, base)
        following._sensitive = self._sensitive
        return following

    def _redirect_method(self, request: Request, response: Response) -> str:
        return redirect_method(request, response)

    def _redirect_url(self, request: Request, response: Response) -> URL:
        return redirect_url(request, response)

    def _redirect_headers(self, request: Request, url: URL, method: str) -> Headers:
        headers = redirect_headers(request, url, method, self._sensitive)
        given = url._userinfo if url._userinfo != request.url._userinfo else ""  # not by a relative Location
        if given and may_keep_secrets(request.url, url):
            # The server gave credentials for itself. For another origin they would log the client in as another user.
            headers["Authorization"] = basic(url.username, url.password)
        return headers

    def _redirect_stream(self, request: Request, method: str) -> SyncByteStream | AsyncByteStream | None:
        return redirect_stream(request, method)

    def _mark_opened(self) -> None:
        """Mark the client as opened. Raises RuntimeError if it is closed."""
        if self._state is ClientState.CLOSED:
            raise RuntimeError("cannot send a request: the client is closed")
        self._state = ClientState.OPENED

    def _adapt(self, response: Response) -> None:
        """Apply the client's settings for responses to a response."""
        response.default_encoding = self._default_encoding
        response._max_size = self._max_response_size

    def _hearing(self, request: Request) -> AbstractContextManager[None]:
        """Return a context in which the transport calls the "1xx" hooks when an interim response arrives."""
        from ._interim import Listener

        return Listener(request, self._call_hooks)

    @staticmethod
    def _log(request: Request, response: Response) -> None:
        logger.info(
            'HTTP Request: %s %s "%s %d %s"',
            request.method,
            shortened(request.url._redacted()),
            printable(response.http_version),
            response.status_code,
            shown_reason(response),
        )

    @staticmethod
    def _deadline(timeout: Mapping[str, float | None]) -> float | None:
        """Return the time at which the total timeout of a request that begins now is over."""
        total = timeout.get("total")
        return None if total is None else _clock.monotonic() + total

    @staticmethod
    def _check_pause(
        seconds: float, request: Request, deadline: float | None, timeout: Mapping[str, float | None]
    ) -> None:
        """Raise ReadTimeout for a pause of a middleware that would end after the deadline."""
        if deadline is not None and _clock.monotonic() + seconds > deadline:
            text = f"the total timeout of {total_of(timeout):g} s would be over within a pause of {seconds:g} s"
            raise ReadTimeout(with_host(text, request), request=request)

    def _end_deadline(self, request: Request, timeout: dict[str, Any]) -> None:
        """Give the request all of its time again, in case the caller repeats it."""
        request.extensions["timeout"] = timeout
        if self._layers:
            request.extensions.pop("deadline", None)

    @staticmethod
    def _leave(request: Request, deadline: float, given: Mapping[str, float | None]) -> None:
        """
        Give a later request of the same call the rest of the total timeout.

        Args:
            given: the timeouts of the call, whose total one errors name.
        """
        left = deadline - _clock.monotonic()
        if left <= 0:
            raise _is_over(request, given)
        timeout = request.extensions["timeout"]
        if isinstance(timeout, TimeLeft):  # of another hop, or of another call with the same request
            request.extensions["timeout"] = timeout = timeout.whole
        # Not for a difference of a millisecond: most calls have one request, which is sent at once.
        if left < (timeout.get("total") or math.inf) - 0.001:
            request.extensions["timeout"] = TimeLeft(timeout, left, given)

    @staticmethod
    def _share(request: Request, deadline: float, given: Mapping[str, float | None]) -> None:
        """Give a request that is a call of its own the rest of the total timeout of what it is a part of."""
        left = deadline - _clock.monotonic()
        if left <= 0:
            raise _is_over(request, given)
        timeout = request.extensions["timeout"]
        if left < (timeout.get("total") or math.inf):
            request.extensions["timeout"] = Rest(timeout, left, given)


def _is_over(request: Request, given: Mapping[str, float | None]) -> ReadTimeout:
    """Return the exception for a total timeout that is over before a request is sent."""
    text = f"the total timeout of {total_of(given):g} s is over"
    return ReadTimeout(with_host(text, request), request=request)


_EVENTS = ("request", "response", "1xx")
NO_HOOKS = nullcontext()  # what `_hearing` would return without hooks: a call would be a frame


class _Hooks(dict[str, list[EventHook]]):
    """Hooks by event. "1xx" is added on first access, so that the dictionary otherwise looks as in 0.28.1."""

    def __missing__(self, name: str) -> list[EventHook]:
        if name != "1xx":
            raise KeyError(name)
        hooks: list[EventHook] = []
        self[name] = hooks
        return hooks

    def __setitem__(self, name: str, hooks: list[EventHook]) -> None:
        super().__setitem__(name, _checked_hooks(name, hooks))


def _checked_hooks(name: str, hooks: Any) -> list[EventHook]:
    """Return the hooks as a list. Raises ValueError for an unknown event, TypeError for a wrong type."""
    if name not in _EVENTS:
        raise ValueError(f"event_hooks has no event {name!r:.40}, expected 'request', 'response' or '1xx'")
    if callable(hooks) or isinstance(hooks, (str, bytes)) or not isinstance(hooks, Iterable):
        hint = f", such as [{getattr(hooks, '__name__', 'hook')}]" if callable(hooks) else ""
        raise TypeError(f"event_hooks[{name!r}] must be a list of functions{hint}, got {type(hooks).__name__}")
    listed = hooks if isinstance(hooks, list) else list(hooks)
    for hook in listed:
        if not callable(hook):
            raise TypeError(f"event_hooks[{name!r}] must hold functions, got {type(hook).__name__}")
    return listed


def _layers(middleware: MiddlewareTypes) -> tuple[Any, ...]:
    from ._middleware import layers_of

    return layers_of(middleware)


def _coding(compress: Any) -> str:
    from ._encoders import check_coding

    check_coding(compress)
    return compress  # type: ignore[no-any-return]  # a str, by the check above


def _encoding(encoding: Any) -> str | Callable[[bytes], str]:
    if callable(encoding):
        return encoding  # type: ignore[no-any-return]  # the user's function
    if not isinstance(encoding, str):
        raise TypeError(f"default_encoding must be a str or a function, got {type(encoding).__name__}")
    if not is_text_encoding(encoding):
        raise ValueError(f"default_encoding must be the name of a text encoding, got {encoding!r:.40}")
    return encoding


def _checked_size(size: Any) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"max_response_size must be an int, a number of bytes, or None, got {size!r}")
    if size < 0:
        raise ValueError(f"max_response_size must not be negative, got {size!r}")
    return size


def _header_names(names: Iterable[str]) -> frozenset[bytes]:
    # A str is an iterable of strings as well: its letters would be protected, and the header would not.
    if isinstance(names, (str, bytes)) or not all(isinstance(name, str) for name in names):
        raise TypeError("sensitive_headers must be a list or tuple of header names (str)")
    return frozenset(name.lower().encode("utf-8", "replace") for name in names)


def attach(exc: RequestError, request: Request, started: float) -> None:
    """Attach the request, which began at `started` of `perf_counter`, and its timings to the error that ended it."""
    from ._timings import of_failure

    exc.request = request
    exc._timings = of_failure(exc, perf_counter() - started)


def finished(result: object) -> None:
    """
    Check the return value of a hook of a sync client.

    Raises:
        TypeError: it is a coroutine. Otherwise an async hook that checks statuses would silently never run.
    """
    if hasattr(result, "__await__"):
        close = getattr(result, "close", None)  # or Python warns that it was never awaited
        if close is not None:
            close()
        raise TypeError("Client hooks must not be async functions; AsyncClient hooks must")


async def afinished(result: object) -> None:
    """
    Return the return value of a hook of an async client, which must be awaitable.

    Raises:
        TypeError: it is not awaitable.
    """
    if not hasattr(result, "__await__"):
        raise TypeError("AsyncClient hooks must be async functions")
    await result


def no_request_of(auth: Auth) -> str:
    """Return the message for an auth flow that ended before its first request."""
    return f"the auth flow of {type(auth).__name__} did not yield a request: it must yield at least the one it is given"


def _hooks(hooks: Mapping[str, list[EventHook]] | None) -> dict[str, list[EventHook]]:
    if hooks is not None and not isinstance(hooks, Mapping):
        raise TypeError(f"event_hooks must be a mapping of events to lists of functions, got {type(hooks).__name__}")
    checked = _Hooks(request=[], response=[])
    for name, listed in (hooks or {}).items():
        checked[name] = list(_checked_hooks(name, listed))
    return checked


def warn_of_unused(transport: Any, mounts: Mapping[Any, Any] | None, is_subclass: bool, **options: Any) -> None:
    """
    Warn if network options were given that are not used, because the caller's transport has its own.

    Otherwise `Client(verify=context, transport=HTTPTransport(retries=3))` would silently not verify with that context.

    Not for `limits` in a subclass: SDKs (openai, anthropic) always give theirs, and their users cannot change that.
    """
    ignored = ("trust_env", "limits") if is_subclass else ("trust_env",)
    schemes = _schemes_of(dict(mounts or {})) if transport is None else _SCHEMES
    if not schemes:
        return
    unused = [
        name
        for name, value in options.items()
        # Only https verifies and negotiates; the other options apply to the URLs left to the client's own transport.
        if name not in ignored
        and (schemes == _SCHEMES or (name in _FOR_TLS and "https" in schemes))
        and value is not None
        and value is not _PLAIN.get(name)
        and value != _PLAIN.get(name)
    ]
    if unused:
        source = "mounts" if transport is None else "transport"
        names = ", ".join(unused)
        warnings.warn(
            f"{names} not used because {source}= was given; set options on the transport, such as "
            f"httpx.HTTPTransport({unused[0]}=...)",
            UserWarning,
            stacklevel=level_of_caller(),
        )


_SCHEMES = frozenset(("http", "https"))
_FOR_TLS = frozenset(("verify", "cert", "http1", "http2", "pins"))
_PLAIN = {"verify": True, "http1": True, "http2": False, "limits": DEFAULT_LIMITS}


def _schemes_of(mounts: Mapping[Any, Any]) -> frozenset[str]:
    """Return the schemes for which every request goes to a mounted transport."""
    found: set[str] = set()
    for pattern, transport in mounts.items():
        text = pattern if isinstance(pattern, str) else str(getattr(pattern, "pattern", ""))
        scheme, _, host = text.partition("://")
        if transport is not None and host in ("", "*"):
            found.update(_SCHEMES if scheme in ("", "all") else _SCHEMES & {scheme})
    return frozenset(found)


# What `newer` returns if neither is given: a call of it would be a frame of every request with a body.
NOTHING: dict[str, Any] = {}


def newer(trailers: Any, compress: Any) -> dict[str, Any]:
    """Return the arguments that 0.28.1 does not have. Subclasses that override `request` need not take them."""
    return {"trailers": trailers, "compress": compress}


def given(**options: Any) -> dict[str, Any]:
    """Return the options that are not None: a subclass that overrides `_init_transport` need not know newer options."""
    return {name: value for name, value in options.items() if value is not None}


def raise_first(failures: list[BaseException]) -> None:
    """Raise the first of several exceptions, if there are any."""
    try:
        if failures:
            raise failures[0]
    finally:
        failures.clear()  # a traceback that refers to its own frame lives until the next garbage collection


def named_proxies(
    proxies: Any, from_environment: bool, guard: GuardTypes | None
) -> list[tuple[URLPattern, ProxyChoiceTypes | None]]:
    """
    Return pattern and proxy of the environment's proxies, if trusted, and of the old argument `proxies=`.

    Raises:
        ValueError: there is a guard, which would not see what is reached through a proxy of the environment.
    """
    found: list[tuple[URLPattern, ProxyChoiceTypes | None]] = []
    if proxies is not None:
        warnings.warn(
            "`proxies` is deprecated: use `proxy=`, or `mounts=` for several proxies",
            DeprecationWarning,
            stacklevel=level_of_caller(),
        )
        given = proxies if isinstance(proxies, Mapping) else {"all://": proxies}
        # Keys may lack "://", as with other clients.
        found += [(URLPattern(key if "://" in key else f"{key}://"), proxy) for key, proxy in given.items()]
    elif from_environment:
        read = patched("get_environment_proxies", environment_proxies)
        if read is environment_proxies:
            found += EnvironmentProxies.read().proxies()
        else:
            found += [(URLPattern(key), proxy) for key, proxy in read().items()]
        if guard is not None and not wants_proxies(guard) and any(proxy is not None for _, proxy in found):
            raise ValueError(
                "guard= cannot be used with a proxy of the environment, such as HTTPS_PROXY: the proxy chooses the "
                "address that is connected to; give trust_env=False to ignore the environment"
            )
    return found


def check_guarded(guard: GuardTypes, transport: Any, made: Any, mounts: Mapping[Any, Any]) -> None:
    """
    Check that no transport of a client with a guard connects without asking one.

    Args:
        guard: of the client.
        transport: the argument.
        made: the client's own transport; a subclass may have made another one, without the guard.
        mounts: transports by pattern. Those of the network need a guard of their own; of others it is not known what
            they do.

    Raises:
        ValueError: one of them is not guarded.
    """
    if transport is not None:
        raise ValueError("guard= cannot be used with transport=: give it to the transport, if that is of the network")
    if guard_of(made) is not guard:
        raise ValueError(f"guard= cannot be used: {type(made).__name__}, made by the client's class, does not have it")
    for pattern, mounted in mounts.items():
        if guard_of(mounted) is None:
            raise ValueError(
                f"guard= needs a guard of its own for the transport that is mounted at {pattern.pattern!r}"
            )


def patched(name: str, value: T) -> T:
    """Return the value that a program put into `httpx._client` under this name, as for 0.28.1; else `value`."""
    module = sys.modules.get(f"{__package__}._client")
    return value if module is None else vars(module).get(name, value)


def ordered_mounts(mounts: Mapping[Any, Any]) -> dict[URLPattern, Any]:
    """
    Return the transports by pattern, the most specific first; of two for the same pattern, the later one.

    NO_PROXY alone gives an empty result, because it would change nothing.
    """
    patterns = [(URLPattern(key) if isinstance(key, str) else key, transport) for key, transport in mounts.items()]
    if len(patterns) == 1 and isinstance(patterns[0][0], BypassPattern):
        return {}
    return dict(sorted(patterns, key=lambda item: item[0]))


def transport_for(mounts: dict[URLPattern, Any], url: URLTypes, default: Any) -> Any:
    """Return the first mounted transport whose pattern matches, else the default; a mounted None means the default."""
    for pattern, transport in mounts.items():
        if pattern.matches(url):
            return default if transport is None else transport
    return default
