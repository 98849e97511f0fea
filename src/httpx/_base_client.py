"""
What `Client` and `AsyncClient` have in common: configuration, and how a request is made of it.

Not here: sending (`_client`).
"""

from __future__ import annotations

import enum
import logging
import math
import warnings
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable, Literal

from .__version__ import __version__
from ._auth import Auth, BasicAuth, FunctionAuth
from ._auth.basic import basic
from ._config import DEFAULT_MAX_REDIRECTS, DEFAULT_TIMEOUT_CONFIG, Timeout
from ._cookies import Cookies
from ._decoders import accept_encoding
from ._exceptions import ReadTimeout
from ._flow import Policy
from ._headers import Headers
from ._patterns import URLPattern
from ._proxies import BypassPattern, EnvironmentProxies
from ._redirects import may_keep_secrets, redirect_headers, redirect_method, redirect_stream, redirect_url, redirected
from ._request import Request, own_extensions
from ._response import Response, shown_reason
from ._secrets import CUSTOM_CREDENTIALS, printable, shortened
from ._urls import URL, QueryParams, url_of

if TYPE_CHECKING:
    from ._types import (
        AsyncByteStream,
        AuthTypes,
        CookieTypes,
        HeaderTypes,
        ProxyChoiceTypes,
        QueryParamTypes,
        RequestContent,
        RequestData,
        RequestExtensions,
        RequestFiles,
        SyncByteStream,
        TimeoutTypes,
        URLTypes,
    )

EventHook = Callable[..., Any]

USER_AGENT = f"python-httpx/{__version__}"
# Headers that are as private as Authorization when a redirect leads to another origin.
DEFAULT_SENSITIVE_HEADERS = CUSTOM_CREDENTIALS
# Methods that need no look at whether they are tokens.
_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))

logger = logging.getLogger("httpx")


class UseClientDefault:
    """The type of `USE_CLIENT_DEFAULT`."""

    def __repr__(self) -> str:
        return "USE_CLIENT_DEFAULT"

    def __reduce__(self) -> str:
        return "USE_CLIENT_DEFAULT"


# "Take what the client was told": the default of arguments for which None means something else.
USE_CLIENT_DEFAULT = UseClientDefault()


class ClientState(enum.Enum):
    """Clients are opened once, by `with` or by the first request, and closed once."""

    UNOPENED = 1
    OPENED = 2
    CLOSED = 3


# Methods of 0.28.1's clients that nothing calls here: a subclass that defines one would wait for a call in vain.
_GONE = ("_send_handling_auth", "_send_handling_redirects")


class BaseClient:
    """The configuration of a client; see `Client` for the arguments."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in _GONE:
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__} defines {name}, which httpx does not call any more: "
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
    ) -> None:
        self._merged_urls: dict[str, URL] = {}
        self._base_url = self._enforce_trailing_slash(URL(base_url))
        self._auth = self._build_auth(auth)
        self._params = QueryParams(params)
        self.headers = Headers(headers)
        self._cookies = Cookies._of_client(cookies)
        self._timeout = Timeout(timeout)
        self.follow_redirects = follow_redirects
        self.max_redirects = max_redirects
        self._event_hooks = _hooks(event_hooks)
        self._trust_env = trust_env
        self._default_encoding = default_encoding
        self._sensitive = _header_names(sensitive_headers)
        self._max_response_size = _checked_size(max_response_size)
        self._adapts = default_encoding != "utf-8" or max_response_size is not None
        self._state = ClientState.UNOPENED

    # Configuration, which may be changed at any time.

    @property
    def is_closed(self) -> bool:
        """Was the client closed? It cannot send any more then."""
        return self._state is ClientState.CLOSED

    @property
    def trust_env(self) -> bool:
        """Does the environment decide about proxies and certificates?"""
        return self._trust_env

    @property
    def timeout(self) -> Timeout:
        """The timeouts of requests that are given none."""
        return self._timeout

    @timeout.setter
    def timeout(self, timeout: TimeoutTypes) -> None:
        self._timeout = Timeout(timeout)

    @property
    def event_hooks(self) -> dict[str, list[EventHook]]:
        """Functions that are called with each request ("request"), response ("response") and interim answer ("1xx")."""
        return self._event_hooks

    @event_hooks.setter
    def event_hooks(self, event_hooks: Mapping[str, list[EventHook]]) -> None:
        self._event_hooks = _hooks(event_hooks)

    @property
    def auth(self) -> Auth | None:
        """The authentication of requests that are given none."""
        return self._auth

    @auth.setter
    def auth(self, auth: AuthTypes) -> None:
        self._auth = self._build_auth(auth)

    @property
    def base_url(self) -> URL:
        """What relative URLs are appended to; its path ends in a slash."""
        return self._base_url

    @base_url.setter
    def base_url(self, url: URL | str) -> None:
        self._base_url = self._enforce_trailing_slash(URL(url))
        self._merged_urls = {}

    @property
    def headers(self) -> Headers:
        """Sent with every request."""
        return self._headers

    @headers.setter
    def headers(self, headers: HeaderTypes) -> None:
        merged = Headers(
            [
                (b"Accept", b"*/*"),
                (b"Accept-Encoding", accept_encoding().encode("ascii")),
                (b"Connection", b"keep-alive"),
                (b"User-Agent", USER_AGENT.encode("ascii")),
            ]
        )
        merged.update(headers)
        self._headers = merged

    @property
    def cookies(self) -> Cookies:
        """Sent where they belong, and extended by what responses set."""
        return self._cookies

    @cookies.setter
    def cookies(self, cookies: CookieTypes | Literal[False] | None) -> None:
        self._cookies = Cookies._of_client(cookies)

    @property
    def params(self) -> QueryParams:
        """Added to the query of every request."""
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
    ) -> Request:
        """
        A request as `request()` would send it: the client's URL, params, headers and cookies and these merged.

        The arguments are those of `httpx.Request`; `timeout` becomes its extension "timeout".
        """
        merged_url = None
        if type(url) is str and type(self)._merge_url is BaseClient._merge_url:
            merged_url = self._merged_urls.get(url)
        if merged_url is None:
            merged_url = self._remembered_url(url)
        merged_headers = self._headers if headers is None else self._merge_headers(headers)
        all_extensions: dict[str, Any] = {} if extensions is None else own_extensions(extensions)
        if "timeout" not in all_extensions:
            chosen = self._timeout if isinstance(timeout, UseClientDefault) else Timeout(timeout)
            seconds = chosen.__dict__.copy()  # `as_dict` without its frame, if there is nothing but the four
            all_extensions["timeout"] = seconds if len(seconds) == 4 else chosen.as_dict()
        if (
            content is None and data is None and files is None and json is None and params is None and cookies is None
            and method in _METHODS and not self._params._dict and self._cookies._jar is None
        ):  # fmt: skip
            return Request._without_body(method, merged_url, merged_headers, all_extensions)
        own = None if not cookies else Cookies(cookies)
        if (own is not None or self._cookies._jar is not None) and not merged_headers._has(b"cookie"):
            merged_headers = self._with_cookies(merged_headers, merged_url, own)
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
        )
        if own is not None:
            request._own_cookies = own
        return request

    def _with_cookies(self, headers: Headers, url: URL, own: Cookies | None) -> Headers:
        """A copy of the headers with a Cookie field, if any cookie of the client or of the request belongs there."""
        if type(self)._merge_cookies is BaseClient._merge_cookies:
            line = self._cookies._line_for(url, own)
        else:  # a subclass decides
            line = Cookies(self._merge_cookies(own))._line_for(url)
        if line is None:
            return headers
        headers = headers.copy()
        headers["Cookie"] = line
        return headers

    def _remembered_url(self, url: URL | str) -> URL:
        """`_merge_url`, done once for each string while there are not too many."""
        known = self._merged_urls  # before the base is looked at: another thread may set a new one, and clear this
        merged = self._merge_url(url)
        if type(url) is str and len(url) <= 2048:
            if len(known) >= 256:
                known.clear()
            known[url] = merged
        return merged

    def _enforce_trailing_slash(self, url: URL) -> URL:
        return url if url.raw_path.endswith(b"/") else url.copy_with(raw_path=url.raw_path + b"/")

    def _merge_url(self, url: URL | str) -> URL:
        """The URL, appended to `base_url` if it is relative: "/x" does not replace the base's path."""
        merged = url_of(url)
        base = self._base_url
        # Without a base, a URL that has a scheme and no host stays as it is: the transport says what is wrong with it.
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
        # The configuration. The copy was never opened, and its transports (see theirs) make connections of their own.
        return {**self.__dict__, "_merged_urls": {}, "_state": ClientState.UNOPENED}

    # What both drivers need.

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
        """Return the auth of this request, else the client's, else the URL's if no Authorization header is given."""
        chosen = self._auth if isinstance(auth, UseClientDefault) else self._build_auth(auth)
        url = request.url
        if chosen is None and (url.username or url.password) and not request.headers._has(b"authorization"):
            return BasicAuth(url.username, url.password)
        return chosen

    def _policy(self) -> Policy:
        return Policy(self._cookies, self.max_redirects, self._build_redirect_request, any(self._event_hooks.values()))

    # Redirects, in methods that subclasses may override one by one; names and arguments are those of 0.28.1.

    def _build_redirect_request(self, request: Request, response: Response) -> Request:
        method = self._redirect_method(request, response)
        url = self._redirect_url(request, response)
        headers = self._redirect_headers(request, url, method)
        stream = self._redirect_stream(request, method)
        return redirected(request, url, method, headers, stream, self._cookies)

    def _redirect_method(self, request: Request, response: Response) -> str:
        return redirect_method(request, response)

    def _redirect_url(self, request: Request, response: Response) -> URL:
        return redirect_url(request, response)

    def _redirect_headers(self, request: Request, url: URL, method: str) -> Headers:
        headers = redirect_headers(request, url, method, self._sensitive)
        if url._userinfo and may_keep_secrets(request.url, url):
            # The server gave credentials for itself. For another origin they would log the client in as somebody else.
            headers["Authorization"] = basic(url.username, url.password)
        return headers

    def _redirect_stream(self, request: Request, method: str) -> SyncByteStream | AsyncByteStream | None:
        return redirect_stream(request, method)

    def _mark_opened(self) -> None:
        """The client is used."""
        if self._state is ClientState.CLOSED:
            raise RuntimeError("the client is closed, so it cannot send a request")
        self._state = ClientState.OPENED

    def _adapt(self, response: Response) -> None:
        """Give a response what the client was told about responses."""
        response.default_encoding = self._default_encoding
        response._max_size = self._max_response_size

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
        """When the total timeout of a request that begins now is over."""
        total = timeout.get("total")
        return None if total is None else monotonic() + total

    @staticmethod
    def _leave(request: Request, deadline: float) -> None:
        """Give a later request of the same journey what is left of the total timeout."""
        left = deadline - monotonic()
        if left <= 0:
            raise ReadTimeout("the total timeout is over", request=request)
        timeout = request.extensions["timeout"]
        # Not for a millisecond: the transport's error names the number, which should be the caller's where it can.
        if left < (timeout.get("total") or math.inf) - 0.001:
            request.extensions["timeout"] = {**timeout, "total": left}


class _Hooks(dict[str, list[EventHook]]):
    """Hooks by event. Those for "1xx" are there once they are asked for, so that the others look as they always did."""

    def __missing__(self, name: str) -> list[EventHook]:
        if name != "1xx":
            raise KeyError(name)
        hooks: list[EventHook] = []
        self[name] = hooks
        return hooks


def _checked_size(size: Any) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"max_response_size must be a number of bytes, which is an int, or None, got {size!r}")
    if size < 0:
        raise ValueError(f"max_response_size must not be negative, got {size!r}")
    return size


def _header_names(names: Iterable[str]) -> frozenset[bytes]:
    # A lone string is an iterable of strings as well: its letters would be protected, and the header would not.
    if isinstance(names, (str, bytes)) or not all(isinstance(name, str) for name in names):
        raise TypeError("`sensitive_headers` must be a list or tuple of names of headers, which are str")
    return frozenset(name.lower().encode("utf-8", "replace") for name in names)


def finished(result: object) -> None:
    """
    Take what a hook of a sync client returned.

    Raises:
        TypeError: it is a coroutine. Harm otherwise: a hook that checks statuses never runs, and nobody notices.
    """
    if hasattr(result, "__await__"):
        close = getattr(result, "close", None)  # or Python warns that it was never awaited
        if close is not None:
            close()
        raise TypeError("an async function is a hook of an AsyncClient only; those of a Client are not async")


async def afinished(result: object) -> None:
    """
    Take what a hook of an async client returned.

    Raises:
        TypeError: nothing that could be awaited.
    """
    if not hasattr(result, "__await__"):
        raise TypeError("a hook of an AsyncClient is an async function")
    await result


def no_request_of(auth: Auth) -> str:
    """The message for an auth flow that ended before its first request."""
    return f"the auth flow of {type(auth).__name__} did not yield a request: it must yield at least the one it is given"


def _hooks(hooks: Mapping[str, list[EventHook]] | None) -> dict[str, list[EventHook]]:
    given = {} if hooks is None else hooks
    if not isinstance(given, Mapping):
        raise TypeError(f"`event_hooks` must be a mapping of events to lists of functions, not {type(given).__name__}")
    return _Hooks(
        {name: list(given.get(name, [])) for name in ("request", "response", "1xx") if name in given or name != "1xx"}
    )


def given(**options: Any) -> dict[str, Any]:
    """Those of the options that are not None: whoever overrides `_init_transport` need not know what is newer."""
    return {name: value for name, value in options.items() if value is not None}


def raise_first(failures: list[BaseException]) -> None:
    """Raise the first of several exceptions, if there are any."""
    try:
        if failures:
            raise failures[0]
    finally:
        failures.clear()  # a traceback that holds its own frame lives until the next garbage collection


def named_proxies(proxies: Any, from_environment: bool) -> list[tuple[URLPattern, ProxyChoiceTypes | None]]:
    """The proxies of the environment, if it may say, and those of the old argument `proxies=`: pattern and proxy."""
    found: list[tuple[URLPattern, ProxyChoiceTypes | None]] = []
    if proxies is not None:
        warnings.warn(
            "`proxies` is deprecated: use `proxy=`, or `mounts=` for several of them", DeprecationWarning, stacklevel=4
        )
        given = proxies if isinstance(proxies, Mapping) else {"all://": proxies}
        # Keys may lack "://", as with other clients.
        found += [(URLPattern(key if "://" in key else f"{key}://"), proxy) for key, proxy in given.items()]
    elif from_environment:
        found += EnvironmentProxies.read().mounts()
    return found


def ordered_mounts(mounts: Mapping[Any, Any]) -> dict[URLPattern, Any]:
    """
    Transports by pattern, those first that say the most; of two for the same pattern, the later one.

    NO_PROXY alone is none, for it would change nothing.
    """
    patterns = [(URLPattern(key) if isinstance(key, str) else key, transport) for key, transport in mounts.items()]
    if len(patterns) == 1 and isinstance(patterns[0][0], BypassPattern):
        return {}
    return dict(sorted(patterns, key=lambda item: item[0]))


def transport_for(mounts: dict[URLPattern, Any], url: URLTypes, default: Any) -> Any:
    """The first mounted transport whose pattern fits, else the default; None mounted means the default, too."""
    for pattern, transport in mounts.items():
        if pattern.matches(url):
            return default if transport is None else transport
    return default
