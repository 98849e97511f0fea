"""
The verbs of the two clients: `request`, and a method for each HTTP method, which passes its arguments to it.

Not here: sending (`_client`), building requests (`_base_client`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base_client import USE_CLIENT_DEFAULT, BaseClient, UseClientDefault
from ._response import Response
from ._urls import URL

if TYPE_CHECKING:
    from ._request import Request
    from ._types import (
        AuthTypes,
        CookieTypes,
        HeaderTypes,
        QueryParamTypes,
        RequestContent,
        RequestData,
        RequestExtensions,
        RequestFiles,
        TimeoutTypes,
    )


class Verbs(BaseClient):
    """The verbs of `Client`."""

    if TYPE_CHECKING:

        def send(
            self,
            request: Request,
            *,
            stream: bool = False,
            auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
            follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        ) -> Response: ...

    def request(
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
    ) -> Response:
        """
        Build a request, send it, and return its response, body included.

        Args:
            method, url, content, data, files, json, params, headers, cookies, extensions: as for `httpx.Request`,
                merged with the client's settings.
            auth, follow_redirects, timeout: instead of the client's.

        Raises:
            InvalidURL, TypeError: the arguments do not make a valid request.
            RequestError: the request failed; the class says how.
        """
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
        )
        return self.send(request, auth=auth, follow_redirects=follow_redirects)

    def get(
        self,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Send a GET request; arguments as for `request`."""
        return self.request(
            "GET",
            url,
            auth=auth,
            cookies=cookies,
            extensions=extensions,
            follow_redirects=follow_redirects,
            headers=headers,
            params=params,
            timeout=timeout,
        )

    def options(
        self,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Send an OPTIONS request; arguments as for `request`."""
        return self.request(
            "OPTIONS",
            url,
            auth=auth,
            cookies=cookies,
            extensions=extensions,
            follow_redirects=follow_redirects,
            headers=headers,
            params=params,
            timeout=timeout,
        )

    def head(
        self,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Send a HEAD request: the response has no body; arguments as for `request`."""
        return self.request(
            "HEAD",
            url,
            auth=auth,
            cookies=cookies,
            extensions=extensions,
            follow_redirects=follow_redirects,
            headers=headers,
            params=params,
            timeout=timeout,
        )

    def post(
        self,
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
    ) -> Response:
        """Send a POST request; arguments as for `request`."""
        return self.request(
            "POST",
            url,
            auth=auth,
            content=content,
            cookies=cookies,
            data=data,
            extensions=extensions,
            files=files,
            follow_redirects=follow_redirects,
            headers=headers,
            json=json,
            params=params,
            timeout=timeout,
        )

    def put(
        self,
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
    ) -> Response:
        """Send a PUT request; arguments as for `request`."""
        return self.request(
            "PUT",
            url,
            auth=auth,
            content=content,
            cookies=cookies,
            data=data,
            extensions=extensions,
            files=files,
            follow_redirects=follow_redirects,
            headers=headers,
            json=json,
            params=params,
            timeout=timeout,
        )

    def patch(
        self,
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
    ) -> Response:
        """Send a PATCH request; arguments as for `request`."""
        return self.request(
            "PATCH",
            url,
            auth=auth,
            content=content,
            cookies=cookies,
            data=data,
            extensions=extensions,
            files=files,
            follow_redirects=follow_redirects,
            headers=headers,
            json=json,
            params=params,
            timeout=timeout,
        )

    def delete(
        self,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Send a DELETE request; arguments as for `request`."""
        return self.request(
            "DELETE",
            url,
            auth=auth,
            cookies=cookies,
            extensions=extensions,
            follow_redirects=follow_redirects,
            headers=headers,
            params=params,
            timeout=timeout,
        )


class AsyncVerbs(BaseClient):
    """The verbs of `AsyncClient`."""

    if TYPE_CHECKING:

        async def send(
            self,
            request: Request,
            *,
            stream: bool = False,
            auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
            follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        ) -> Response: ...

    async def request(
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
    ) -> Response:
        """
        Build a request, send it, and return its response, body included.

        Args:
            method, url, content, data, files, json, params, headers, cookies, extensions: as for `httpx.Request`,
                merged with the client's settings.
            auth, follow_redirects, timeout: instead of the client's.

        Raises:
            InvalidURL, TypeError: the arguments do not make a valid request.
            RequestError: the request failed; the class says how.
        """
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
        )
        return await self.send(request, auth=auth, follow_redirects=follow_redirects)

    async def get(
        self,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Send a GET request; arguments as for `request`."""
        return await self.request(
            "GET",
            url,
            auth=auth,
            cookies=cookies,
            extensions=extensions,
            follow_redirects=follow_redirects,
            headers=headers,
            params=params,
            timeout=timeout,
        )

    async def options(
        self,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Send an OPTIONS request; arguments as for `request`."""
        return await self.request(
            "OPTIONS",
            url,
            auth=auth,
            cookies=cookies,
            extensions=extensions,
            follow_redirects=follow_redirects,
            headers=headers,
            params=params,
            timeout=timeout,
        )

    async def head(
        self,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Send a HEAD request: the response has no body; arguments as for `request`."""
        return await self.request(
            "HEAD",
            url,
            auth=auth,
            cookies=cookies,
            extensions=extensions,
            follow_redirects=follow_redirects,
            headers=headers,
            params=params,
            timeout=timeout,
        )

    async def post(
        self,
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
    ) -> Response:
        """Send a POST request; arguments as for `request`."""
        return await self.request(
            "POST",
            url,
            auth=auth,
            content=content,
            cookies=cookies,
            data=data,
            extensions=extensions,
            files=files,
            follow_redirects=follow_redirects,
            headers=headers,
            json=json,
            params=params,
            timeout=timeout,
        )

    async def put(
        self,
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
    ) -> Response:
        """Send a PUT request; arguments as for `request`."""
        return await self.request(
            "PUT",
            url,
            auth=auth,
            content=content,
            cookies=cookies,
            data=data,
            extensions=extensions,
            files=files,
            follow_redirects=follow_redirects,
            headers=headers,
            json=json,
            params=params,
            timeout=timeout,
        )

    async def patch(
        self,
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
    ) -> Response:
        """Send a PATCH request; arguments as for `request`."""
        return await self.request(
            "PATCH",
            url,
            auth=auth,
            content=content,
            cookies=cookies,
            data=data,
            extensions=extensions,
            files=files,
            follow_redirects=follow_redirects,
            headers=headers,
            json=json,
            params=params,
            timeout=timeout,
        )

    async def delete(
        self,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Send a DELETE request; arguments as for `request`."""
        return await self.request(
            "DELETE",
            url,
            auth=auth,
            cookies=cookies,
            extensions=extensions,
            follow_redirects=follow_redirects,
            headers=headers,
            params=params,
            timeout=timeout,
        )
