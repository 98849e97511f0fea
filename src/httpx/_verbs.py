"""
The verbs of the two clients: `request`, a method for each HTTP method, which passes its arguments to it, and `map`.

Not here: sending (`_client`), building requests (`_base_client`), many requests at a time (`_bulk`), transfers
(`_transfer_arguments`).
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Callable, Literal, overload

from ._base_client import NOTHING, USE_CLIENT_DEFAULT, BaseClient, UseClientDefault, newer
from ._response import Response
from ._urls import URL

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Iterable
    from concurrent.futures import Executor
    from pathlib import Path

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
    from ._upload import Message


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

    def query(
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
        """Send a QUERY request: a safe one with a body, such as a search; arguments as for `request`."""
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
        return self.request(
            "QUERY",
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

    def download(
        self,
        url: URL | str,
        path: str | os.PathLike[str] = "",
        *,
        resume: bool = True,
        parts: int = 1,
        digest: str | None = None,
        max_size: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = True,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Path:
        """
        Download a file, whole or not at all, and return its path.

            client.download("https://example.org/model.bin", "models/", digest="sha256:9f86...")

        The file is written as `<path>.part`, which replaces it when it is complete. A body that breaks is requested
        from there on, if the server has a strong validator; a later call does the same after an error, a signal or a
        crash (RFC 9110 sections 13.1.5 and 14.2). A file that was changed meanwhile is downloaded anew. `Repr-Digest`
        and `Content-Digest` of the server are checked (RFC 9530).

        Args:
            path: the file, or a folder ("" for the current one): then the name is the server's, made safe, with a
                number if there is such a file.
            resume: continue what an earlier call has left, keep what this one leaves, give the file the server's time
                of change, and return at once if by length and time it is complete.
            parts: how many ranges of at least 8 MiB to request at once, at most 64.
            digest: that the file must have, such as "sha256:" and 64 hexadecimal digits; any hash of `hashlib`.
            max_size: bytes; a larger file raises `ResponseTooLarge`.
            progress: a plain function of the bytes that are there and the length, or None if that is not known.
            params, headers, cookies, auth, follow_redirects, timeout, extensions: as for `request`; redirects are
                followed. A total timeout is for all of it.

        How often it is tried in a row: as the client's `Retry` says, or 3 times.

        Raises:
            HTTPStatusError: the status is not 2xx.
            ContentMismatch: the file has another digest.
            ResponseTooLarge: it is larger than `max_size`.
            RequestError: a request failed; the class says how.
            OSError: the file cannot be written.
            ValueError, TypeError: an argument is not what it should be.
        """
        from ._transfer_arguments import begin_download
        from ._transports.carrying import carry_out

        build, steps = begin_download(
            self,
            url,
            path,
            {"resume": resume, "parts": parts, "digest": digest, "max_size": max_size, "progress": progress},
            cookies=cookies,
            extensions=extensions,
            headers=headers,
            params=params,
            timeout=timeout,
        )

        def send(fields: dict[str, str]) -> Response:
            return self.send(build(fields), auth=auth, follow_redirects=follow_redirects, stream=True)

        return carry_out(steps, send)  # type: ignore[no-any-return]  # the steps return the path

    def upload(
        self,
        url: URL | str,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        method: str = "POST",
        start: int | None = None,
        end: int | None = None,
        resumable: Literal["tus", "ietf"] | None = None,
        chunk: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """
        Upload a file, or a slice of one, and return the last response.

            client.upload("https://up.example.org/files", "video.mp4", resumable="tus")

        The file is read while it is sent. A resumable upload goes on after a broken connection from where the server
        says, as often as `download`.

        Args:
            source: a path, or a binary file that can seek, from its position on.
            method: of the request that uploads the file, or creates the upload.
            start, end: send only the bytes from `start` up to but not including `end`.
            resumable: the protocol of the server: "tus" is tus 1.0.0, "ietf" is version 12 of
                draft-ietf-httpbis-resumable-upload, provisional as that is. None sends the file in one request.
            chunk: bytes of each request of a resumable upload; None for as many as the server allows.
            progress: a plain function of the bytes that are sent and their number; an AsyncClient may call it in
                a thread. It may go back when a part is sent again.
            params, headers, cookies, auth, follow_redirects, timeout, extensions: as for `request`. A total timeout is
                for all of it.

        Raises:
            HTTPStatusError: a status is not 2xx.
            RemoteProtocolError: the server does not speak the protocol, takes nothing more, or names an upload on
                another origin.
            RequestError: a request failed; the class says how.
            OSError: the file cannot be read.
            ValueError, TypeError: an argument is not what it should be.
        """
        from ._transfer_arguments import begin_upload
        from ._transports.carrying import carry_out

        build, steps = begin_upload(
            self,
            url,
            source,
            {
                "method": method,
                "start": start,
                "end": end,
                "resumable": resumable,
                "chunk": chunk,
                "progress": progress,
            },
            cookies=cookies,
            extensions=extensions,
            headers=headers,
            params=params,
            timeout=timeout,
        )

        def send(message: Message) -> Response:
            return self.send(build(message), auth=auth, follow_redirects=follow_redirects)

        return carry_out(steps, send)  # type: ignore[no-any-return]  # the steps return a response


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

    async def query(
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
        """Send a QUERY request: a safe one with a body, such as a search; arguments as for `request`."""
        more = NOTHING if trailers is None and compress is USE_CLIENT_DEFAULT else newer(trailers, compress)
        return await self.request(
            "QUERY",
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

    async def download(
        self,
        url: URL | str,
        path: str | os.PathLike[str] = "",
        *,
        resume: bool = True,
        parts: int = 1,
        digest: str | None = None,
        max_size: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = True,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Path:
        """Download a file like `Client.download`; files are written in threads, so that the event loop goes on."""
        from ._transfer_arguments import begin_download
        from ._transports.carrying import acarry_out

        build, steps = begin_download(
            self,
            url,
            path,
            {"resume": resume, "parts": parts, "digest": digest, "max_size": max_size, "progress": progress},
            cookies=cookies,
            extensions=extensions,
            headers=headers,
            params=params,
            timeout=timeout,
        )

        async def send(fields: dict[str, str]) -> Response:
            return await self.send(build(fields), auth=auth, follow_redirects=follow_redirects, stream=True)

        return await acarry_out(steps, send)  # type: ignore[no-any-return]  # the steps return the path

    async def upload(
        self,
        url: URL | str,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        method: str = "POST",
        start: int | None = None,
        end: int | None = None,
        resumable: Literal["tus", "ietf"] | None = None,
        chunk: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> Response:
        """Upload a file like `Client.upload`; one that is slow to read is read in threads."""
        from ._transfer_arguments import begin_upload
        from ._transports.carrying import acarry_out

        build, steps = begin_upload(
            self,
            url,
            source,
            {
                "method": method,
                "start": start,
                "end": end,
                "resumable": resumable,
                "chunk": chunk,
                "progress": progress,
            },
            cookies=cookies,
            extensions=extensions,
            headers=headers,
            params=params,
            timeout=timeout,
        )

        async def send(message: Message) -> Response:
            return await self.send(build(message), auth=auth, follow_redirects=follow_redirects)

        return await acarry_out(steps, send)  # type: ignore[no-any-return]  # the steps return a response
