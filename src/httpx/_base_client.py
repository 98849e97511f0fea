"""
What `Client` and `AsyncClient` have in common: configuration, and how a request is made of it.

Not here: sending (`_client`).
"""

from __future__ import annotations

import enum
import logging
import warnings
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import unquote

from .__version__ import __version__
from ._auth import Auth, BasicAuth, FunctionAuth
from ._config import DEFAULT_MAX_REDIRECTS, DEFAULT_TIMEOUT_CONFIG, Timeout
from ._cookies import Cookies
from ._decoders import accept_encoding
from ._exceptions import ReadTimeout
from ._flow import Policy
from ._headers import Headers
from ._models import Request, Response
from ._patterns import URLPattern
from ._urls import URL, QueryParams, url_of

if TYPE_CHECKING:
    from ._types import (
        AuthTypes,
        CookieTypes,
        HeaderTypes,
        ProxyTypes,
        QueryParamTypes,
        RequestContent,
        RequestData,
        RequestExtensions,
        RequestFiles,
        TimeoutTypes,
        URLTypes,
    )

EventHook = Callable[..., Any]

USER_AGENT = f"python-httpx/{__version__}"
# Headers that are as private as Authorization when a redirect leads to another origin.
DEFAULT_SENSITIVE_HEADERS = ("X-Api-Key", "X-Auth-Token")
_HOOKS = ("request", "response", "1xx")

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


class BaseClient:
    """The configuration of a client; see `Client` for the arguments."""

    def __init__(
        self,
        *,
        auth: AuthTypes | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
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
        self._base_url = _with_slash(URL(base_url))
        self._auth = self._build_auth(auth)
        self._params = QueryParams(params)
        self.headers = Headers(headers)
        self._cookies = Cookies(cookies)
        self._timeout = Timeout(timeout)
        self.follow_redirects = follow_redirects
        self.max_redirects = max_redirects
        self._event_hooks = _hooks(event_hooks)
        self._trust_env = trust_env
        self._default_encoding = default_encoding
        self._sensitive = frozenset(name.lower().encode("ascii") for name in sensitive_headers)
        self._max_response_size = max_response_size
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
        self._base_url = _with_slash(URL(url))

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
    def cookies(self, cookies: CookieTypes) -> None:
        self._cookies = Cookies(cookies)

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
        merged_url = self._merge_url(url)
        all_headers = self._merge_headers(headers)
        all_extensions: dict[str, Any] = {} if extensions is None else dict(extensions)
        if "timeout" not in all_extensions:
            chosen = self._timeout if isinstance(timeout, UseClientDefault) else Timeout(timeout)
            all_extensions["timeout"] = chosen.as_dict()
        if (
            content is None and data is None and files is None and json is None
            and params is None and cookies is None and not self._params and self._cookies._is_empty()
        ):  # fmt: skip
            return Request._without_body(method.upper(), merged_url, all_headers, all_extensions)
        return Request(
            method,
            merged_url,
            content=content,
            data=data,
            files=files,
            json=json,
            params=self._merge_queryparams(params),
            headers=all_headers,
            cookies=self._merge_cookies(cookies),
            extensions=all_extensions,
        )

    def _merge_url(self, url: URL | str) -> URL:
        """The URL, appended to `base_url` if it is relative: "/x" does not replace the base's path."""
        merged = url_of(url)
        base = self._base_url
        if (merged.is_relative_url and base._target != b"/") or (not merged.is_absolute_url and base.host):
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

    # What both drivers need.

    @staticmethod
    def _build_auth(auth: Any) -> Auth | None:
        if auth is None:
            return None
        if isinstance(auth, tuple):
            return BasicAuth(username=auth[0], password=auth[1])
        if isinstance(auth, Auth):
            return auth
        if callable(auth):
            return FunctionAuth(func=auth)
        raise TypeError(
            f"`auth` is {type(auth).__name__}, not a (username, password) pair, a function or an httpx.Auth"
        )

    def _build_request_auth(self, request: Request, auth: AuthTypes | UseClientDefault | None) -> Auth | None:
        """What was given for this request, else for the client, else in the URL."""
        chosen = self._auth if isinstance(auth, UseClientDefault) else self._build_auth(auth)
        if chosen is None and request.url.userinfo:
            return BasicAuth(username=unquote(request.url.username), password=unquote(request.url.password))
        return chosen

    def _policy(self) -> Policy:
        hooks = self._event_hooks
        hooked = bool(hooks["request"] or hooks["response"] or hooks["1xx"])
        return Policy(self._cookies, self.max_redirects, self._sensitive, hooked)

    def _prepare(self, response: Response, request: Request, started: float) -> None:
        """What every response gets, whatever transport it comes from."""
        response._request = request
        response._start_clock(started)
        if self._default_encoding != "utf-8":
            response.default_encoding = self._default_encoding
        if self._max_response_size is not None:
            response._max_size = self._max_response_size
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                'HTTP Request: %s %s "%s %d %s"',
                request.method,
                request.url._redacted(),
                response.http_version,
                response.status_code,
                response.reason_phrase,
            )

    @staticmethod
    def _deadline(request: Request) -> float | None:
        """When the total timeout of a request that begins now is over."""
        timeout = request.extensions.get("timeout")
        total = None if timeout is None else timeout.get("total")
        return None if total is None else monotonic() + total

    @staticmethod
    def _leave(request: Request, deadline: float) -> None:
        """Give a later request of the same journey what is left of the total timeout."""
        left = deadline - monotonic()
        if left <= 0:
            raise ReadTimeout("the total timeout is over", request=request)
        request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "total": left}


def _with_slash(url: URL) -> URL:
    return url if url.raw_path.endswith(b"/") else url.copy_with(raw_path=url.raw_path + b"/")


def _hooks(hooks: Mapping[str, list[EventHook]] | None) -> dict[str, list[EventHook]]:
    hooks = {} if hooks is None else hooks
    return {name: list(hooks.get(name, [])) for name in _HOOKS}


def proxies_as_mounts(proxies: Any) -> dict[str, ProxyTypes | None]:
    """The old `proxies=` argument as {pattern: proxy}; keys may lack "://"."""
    warnings.warn(
        "`proxies` is deprecated: use `proxy=`, or `mounts=` for several of them", DeprecationWarning, stacklevel=4
    )
    if not isinstance(proxies, Mapping):
        return {"all://": proxies}
    return {key if "://" in key else f"{key}://": proxy for key, proxy in proxies.items()}


def ordered_mounts(mounts: Mapping[str, Any]) -> dict[URLPattern, Any]:
    """Transports by pattern, those first that say the most."""
    return dict(sorted(((URLPattern(key), transport) for key, transport in mounts.items()), key=lambda item: item[0]))


def transport_for(mounts: dict[URLPattern, Any], url: URLTypes, default: Any) -> Any:
    """The first mounted transport whose pattern fits, else the default; None mounted means the default, too."""
    for pattern, transport in mounts.items():
        if pattern.matches(url):
            return default if transport is None else transport
    return default
