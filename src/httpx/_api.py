"""
Requests without a client: each function makes a client, sends one request, and closes the client.

To send more than one request to a server, use a `Client`, which keeps its connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from ._base_client import USE_CLIENT_DEFAULT
from ._client import Client
from ._config import DEFAULT_TIMEOUT_CONFIG

if TYPE_CHECKING:
    from ._base_client import UseClientDefault
    from ._event_source import EventSource
    from ._protocol.deflate import Deflate
    from ._response import Response
    from ._subscription import Reconnect
    from ._types import (
        AuthTypes,
        CookieTypes,
        HeaderTypes,
        ProxyChoiceTypes,
        QueryParamTypes,
        RequestContent,
        RequestData,
        RequestFiles,
        TimeoutTypes,
        VerifyTypes,
    )
    from ._urls import URL
    from ._websockets import WebSocketSession


def request(
    method: str,
    url: URL | str,
    *,
    params: QueryParamTypes | None = None,
    content: RequestContent | None = None,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: Any | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """
    Send one request and return its response, body included.

    Args:
        method, url, params, content, data, files, json, headers, cookies: as for `httpx.Request`.
        auth, proxy, timeout, follow_redirects, verify, trust_env, http2: as for `httpx.Client`.

    Raises:
        InvalidURL, TypeError: the arguments do not make a valid request.
        RequestError: the request failed; the class says how.
    """
    with Client(
        cookies=cookies,
        follow_redirects=follow_redirects,
        http2=http2,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    ) as client:
        return client.request(
            method,
            url,
            auth=auth,
            content=content,
            data=data,
            files=files,
            headers=headers,
            json=json,
            params=params,
        )


@contextmanager
def stream(
    method: str,
    url: URL | str,
    *,
    params: QueryParamTypes | None = None,
    content: RequestContent | None = None,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: Any | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    trust_env: bool = True,
    http2: bool = False,
) -> Iterator[Response]:
    """
    Return a context manager like `request` whose response is not read yet.

        with httpx.stream("GET", url) as response:
            for piece in response.iter_bytes():
                ...
    """
    with (
        Client(
            cookies=cookies,
            follow_redirects=follow_redirects,
            http2=http2,
            proxy=proxy,
            timeout=timeout,
            trust_env=trust_env,
            verify=verify,
        ) as client,
        client.stream(
            method,
            url,
            auth=auth,
            content=content,
            data=data,
            files=files,
            headers=headers,
            json=json,
            params=params,
        ) as response,
    ):
        yield response


def sse(
    url: URL | str,
    *,
    method: str = "GET",
    params: QueryParamTypes | None = None,
    content: RequestContent | None = None,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: Any | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    trust_env: bool = True,
    http2: bool = False,
    max_event_size: int | None = 1_048_576,
    reconnect: bool | Reconnect = False,
    last_event_id: str = "",
    idle_timeout: float | None = 300.0,
) -> AbstractContextManager[EventSource]:
    """
    Return a context manager that opens an event stream and gives its `EventSource`; arguments as for `Client.sse`.

        with httpx.sse("https://www.example.org/feed", reconnect=True) as source:
            for event in source:
                ...
    """
    return _subscribed(
        Client(
            cookies=cookies,
            follow_redirects=follow_redirects,
            http2=http2,
            proxy=proxy,
            trust_env=trust_env,
            verify=verify,
        ),
        url,
        method=method,
        auth=auth,
        content=content,
        data=data,
        files=files,
        headers=headers,
        idle_timeout=idle_timeout,
        json=json,
        last_event_id=last_event_id,
        max_event_size=max_event_size,
        params=params,
        reconnect=reconnect,
        timeout=timeout,
    )


@contextmanager
def _subscribed(client: Client, url: URL | str, **options: Any) -> Iterator[EventSource]:
    with client, client.sse(url, **options) as source:
        yield source


@contextmanager
def websocket(
    url: URL | str,
    *,
    subprotocols: Sequence[str] | None = None,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    max_message_size_bytes: int | None = 16_777_216,
    queue_size: int = 512,
    keepalive_ping_interval_seconds: float | None = 20.0,
    keepalive_ping_timeout_seconds: float | None = 20.0,
    compression: bool | Deflate = False,
    close_timeout: float | None = 10.0,
) -> Iterator[WebSocketSession]:
    """
    Return a context manager that opens a WebSocket; arguments as for `Client` and `Client.websocket`.

        with httpx.websocket("wss://example.org/chat") as ws:
            ws.send_text("hello")
    """
    with (
        Client(
            cookies=cookies,
            follow_redirects=follow_redirects,
            proxy=proxy,
            timeout=timeout,
            trust_env=trust_env,
            verify=verify,
        ) as client,
        client.websocket(
            url,
            auth=auth,
            close_timeout=close_timeout,
            compression=compression,
            headers=headers,
            keepalive_ping_interval_seconds=keepalive_ping_interval_seconds,
            keepalive_ping_timeout_seconds=keepalive_ping_timeout_seconds,
            max_message_size_bytes=max_message_size_bytes,
            params=params,
            queue_size=queue_size,
            subprotocols=subprotocols,
        ) as session,
    ):
        yield session


def get(
    url: URL | str,
    *,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """Send a GET request; arguments as for `request`."""
    return request(
        "GET",
        url,
        auth=auth,
        cookies=cookies,
        follow_redirects=follow_redirects,
        headers=headers,
        http2=http2,
        params=params,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    )


def options(
    url: URL | str,
    *,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """Send an OPTIONS request; arguments as for `request`."""
    return request(
        "OPTIONS",
        url,
        auth=auth,
        cookies=cookies,
        follow_redirects=follow_redirects,
        headers=headers,
        http2=http2,
        params=params,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    )


def head(
    url: URL | str,
    *,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """Send a HEAD request; arguments as for `request`."""
    return request(
        "HEAD",
        url,
        auth=auth,
        cookies=cookies,
        follow_redirects=follow_redirects,
        headers=headers,
        http2=http2,
        params=params,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    )


def post(
    url: URL | str,
    *,
    content: RequestContent | None = None,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: Any | None = None,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """Send a POST request; arguments as for `request`."""
    return request(
        "POST",
        url,
        auth=auth,
        content=content,
        cookies=cookies,
        data=data,
        files=files,
        follow_redirects=follow_redirects,
        headers=headers,
        http2=http2,
        json=json,
        params=params,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    )


def put(
    url: URL | str,
    *,
    content: RequestContent | None = None,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: Any | None = None,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """Send a PUT request; arguments as for `request`."""
    return request(
        "PUT",
        url,
        auth=auth,
        content=content,
        cookies=cookies,
        data=data,
        files=files,
        follow_redirects=follow_redirects,
        headers=headers,
        http2=http2,
        json=json,
        params=params,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    )


def patch(
    url: URL | str,
    *,
    content: RequestContent | None = None,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: Any | None = None,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """Send a PATCH request; arguments as for `request`."""
    return request(
        "PATCH",
        url,
        auth=auth,
        content=content,
        cookies=cookies,
        data=data,
        files=files,
        follow_redirects=follow_redirects,
        headers=headers,
        http2=http2,
        json=json,
        params=params,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    )


def query(
    url: URL | str,
    *,
    content: RequestContent | None = None,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: Any | None = None,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """Send a QUERY request: a safe one with a body, such as a search; arguments as for `request`."""
    return request(
        "QUERY",
        url,
        auth=auth,
        content=content,
        cookies=cookies,
        data=data,
        files=files,
        follow_redirects=follow_redirects,
        headers=headers,
        http2=http2,
        json=json,
        params=params,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    )


def delete(
    url: URL | str,
    *,
    params: QueryParamTypes | None = None,
    headers: HeaderTypes | None = None,
    cookies: CookieTypes | None = None,
    auth: AuthTypes | None = None,
    proxy: ProxyChoiceTypes | None = None,
    follow_redirects: bool = False,
    verify: VerifyTypes = True,
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_CONFIG,
    trust_env: bool = True,
    http2: bool = False,
) -> Response:
    """Send a DELETE request; arguments as for `request`."""
    return request(
        "DELETE",
        url,
        auth=auth,
        cookies=cookies,
        follow_redirects=follow_redirects,
        headers=headers,
        http2=http2,
        params=params,
        proxy=proxy,
        timeout=timeout,
        trust_env=trust_env,
        verify=verify,
    )
