"""
The verbs of the two clients: `request`, a method for each HTTP method, which passes its arguments to it, and `map`.

Not here: sending (`_client`), building requests (`_base_client`), many requests at a time (`_bulk`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ._base_client import NOTHING, USE_CLIENT_DEFAULT, BaseClient, UseClientDefault, newer
from ._response import Response
from ._urls import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from concurrent.futures import Executor

    from ._bulk import AsyncBulk, Bulk
    from ._bulk.calls import BulkItem
    from ._exceptions import HTTPError
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
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Response:
        """
        Build a request, send it, and return its response, body included.

        Args:
            method, url, content, data, files, json, params, headers, cookies, extensions, trailers: as for
                `httpx.Request`, merged with the client's settings.
            auth, follow_redirects, timeout, compress: instead of the client's.

        Raises:
            InvalidURL, TypeError: the arguments do not make a valid request.
            RequestError: the request failed; the class says how.
        """
        if trailers is None and compress is USE_CLIENT_DEFAULT:
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
        else:
            request = self.build_request(
                method,
                url,
                compress=compress,
                content=content,
                cookies=cookies,
                data=data,
                extensions=extensions,
                files=files,
                headers=headers,
                json=json,
                params=params,
                timeout=timeout,
                trailers=trailers,
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
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Response:
        """Send a POST request; arguments as for `request`."""
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
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
            **more,
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
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Response:
        """Send a PUT request; arguments as for `request`."""
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
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
            **more,
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
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Response:
        """Send a PATCH request; arguments as for `request`."""
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
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
            **more,
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

    @overload
    def map(
        self,
        requests: Iterable[BulkItem],
        *,
        concurrency: int = 10,
        ordered: bool = True,
        errors: Literal["raise"] = "raise",
        executor: Executor | None = None,
        chunk: int = 100,
    ) -> Bulk[Response]: ...
    @overload
    def map(
        self,
        requests: Iterable[BulkItem],
        *,
        concurrency: int = 10,
        ordered: bool = True,
        errors: Literal["yield"],
        executor: Executor | None = None,
        chunk: int = 100,
    ) -> Bulk[Response | HTTPError]: ...
    def map(
        self,
        requests: Iterable[BulkItem],
        *,
        concurrency: int = 10,
        ordered: bool = True,
        errors: Literal["raise", "yield"] = "raise",
        executor: Executor | None = None,
        chunk: int = 100,
    ) -> Bulk[Any]:
        """
        Return an iterator over the responses to many requests, bodies included, a few of which are sent at once.

            for response in client.map((f"/items/{n}" for n in range(1_000_000)), concurrency=50):
                ...

        The input is read while the iterator is asked for the next response, in the same thread; at most
        `2 * concurrency` requests are read and not yet returned. Leaving the loop ends it: no request begins any more.
        `close()`, or the end of a `with` block, also waits for those that are under way.

        Args:
            requests: of each request an `httpx.Request`, the URL of a GET, or a mapping with arguments of `request`,
                such as {"method": "POST", "url": "/items", "json": {}}.
            concurrency: how many requests are under way at the same time, each in a thread; with an executor, how many
                of a chunk.
            ordered: return responses in the order of the requests; else as they complete.
            errors: "raise" ends the iteration with the first error. No other request begins, and those under way are
                waited for. "yield" returns each `HTTPError` in the place of its response. Both have `.request`. Other
                errors are raised in either case, those of the input when what was read before it has been returned.
            executor: worker processes that send, such as a `ProcessPoolExecutor` or Dask's `client.get_executor()`. The
                client must be picklable; each process keeps its copy, with its connections, for later chunks.
            chunk: how many requests are sent to a worker process at once.

        Raises:
            TypeError, ValueError: an argument is wrong, or the client cannot be pickled.
        """
        if executor is None:
            from ._bulk import bulk  # most programs use none

            return bulk(self, requests, concurrency, ordered, errors)
        from ._bulk.processes import pooled_bulk

        return pooled_bulk(self, requests, concurrency, ordered, errors, executor, chunk)


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
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Response:
        """
        Build a request, send it, and return its response, body included.

        Args:
            method, url, content, data, files, json, params, headers, cookies, extensions, trailers: as for
                `httpx.Request`, merged with the client's settings.
            auth, follow_redirects, timeout, compress: instead of the client's.

        Raises:
            InvalidURL, TypeError: the arguments do not make a valid request.
            RequestError: the request failed; the class says how.
        """
        if trailers is None and compress is USE_CLIENT_DEFAULT:
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
        else:
            request = self.build_request(
                method,
                url,
                compress=compress,
                content=content,
                cookies=cookies,
                data=data,
                extensions=extensions,
                files=files,
                headers=headers,
                json=json,
                params=params,
                timeout=timeout,
                trailers=trailers,
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
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Response:
        """Send a POST request; arguments as for `request`."""
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
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
            **more,
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
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Response:
        """Send a PUT request; arguments as for `request`."""
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
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
            **more,
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
        trailers: HeaderTypes | None = None,
        compress: str | UseClientDefault | None = USE_CLIENT_DEFAULT,
    ) -> Response:
        """Send a PATCH request; arguments as for `request`."""
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
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
            **more,
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

    @overload
    def map(
        self,
        requests: Iterable[BulkItem] | AsyncIterable[BulkItem],
        *,
        concurrency: int = 10,
        ordered: bool = True,
        errors: Literal["raise"] = "raise",
    ) -> AsyncBulk[Response]: ...
    @overload
    def map(
        self,
        requests: Iterable[BulkItem] | AsyncIterable[BulkItem],
        *,
        concurrency: int = 10,
        ordered: bool = True,
        errors: Literal["yield"],
    ) -> AsyncBulk[Response | HTTPError]: ...
    def map(
        self,
        requests: Iterable[BulkItem] | AsyncIterable[BulkItem],
        *,
        concurrency: int = 10,
        ordered: bool = True,
        errors: Literal["raise", "yield"] = "raise",
    ) -> AsyncBulk[Any]:
        """
        Return an async iterator over the responses to many requests, bodies included, a few of which are sent at once.

            async for response in client.map((f"/items/{n}" for n in range(1_000_000)), concurrency=50):
                ...

        The input is read while the iterator is asked for the next response, in the same task; at most
        `2 * concurrency` requests are read and not yet returned. Leaving the loop ends it: what is under way is
        cancelled. `await aclose()`, or the end of an `async with` block, also waits until that has happened.

        Args:
            requests: an iterable or async iterable; of each request an `httpx.Request`, the URL of a GET, or a mapping
                with arguments of `request`, such as {"method": "POST", "url": "/items", "json": {}}.
            concurrency: how many requests are under way at the same time.
            ordered: return responses in the order of the requests; else as they complete.
            errors: "raise" ends the iteration with the first error. No other request begins, and those under way are
                cancelled. "yield" returns each `HTTPError` in the place of its response. Both have `.request`. Other
                errors are raised in either case, those of the input when what was read before it has been returned.

        Raises:
            TypeError, ValueError: an argument is wrong.
        """
        from ._bulk import async_bulk  # most programs use none

        return async_bulk(self, requests, concurrency, ordered, errors)
