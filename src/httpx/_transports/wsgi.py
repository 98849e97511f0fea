"""
A transport that calls a WSGI application instead of the network.

    request ─► environ ─► app(environ, start_response) ─► first piece of the body ─► Response
                                                          └─ the rest follows while it is read

Everything runs in the thread that sends the request, so the app does not run between two reads, and it sees the
caller's context variables. A function cannot be interrupted, so the total timeout is checked between the pieces of
the body (`deadlines`).

Not here: checks that the app follows PEP 3333; `wsgiref.validate` does them.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, TextIO, Union

from .._content import ByteStream
from .._exceptions import ReadError, RemoteProtocolError
from .._headers import Headers
from .._request import Request
from .._response import Response
from .._types import SyncByteStream
from .base import BaseTransport

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ExcInfo = Union[
    tuple[type[BaseException], BaseException, TracebackType],
    tuple[None, None, None],
]

_PORTS = {"http": 80, "https": 443}


class WSGITransport(BaseTransport):
    """
    A transport that calls a WSGI application, for tests and for mounting an app beside the network.

        with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://testserver") as client:
            response = client.get("/")

    The body is streamed both ways: the app's iterable is advanced as the response is read, and its `close` is called
    once, when the body was read or the response is closed. As PEP 3333 requires, the response is returned when the app
    has made the first bytes of its body.

    Args:
        app: the application.
        raise_app_exceptions: raise the app's exceptions, including those it passes to `start_response`. If False, one
            becomes a response with status 500, and its traceback goes to `wsgi_errors`; after the first piece of the
            body it is too late for that, and the reader gets RemoteProtocolError.
        script_name: where the app is mounted, for SCRIPT_NAME. It is not removed from the path.
        remote_addr: the client's address, for REMOTE_ADDR.
        wsgi_errors: the stream for `wsgi.errors`; None for `sys.stderr`.

    PEP 3333.
    """

    def __init__(
        self,
        app: WSGIApplication,
        raise_app_exceptions: bool = True,
        script_name: str = "",
        remote_addr: str = "127.0.0.1",
        wsgi_errors: TextIO | None = None,
    ) -> None:
        self.app = app
        self.raise_app_exceptions = raise_app_exceptions
        self.script_name = script_name
        self.remote_addr = remote_addr
        self.wsgi_errors = wsgi_errors

    def handle_request(self, request: Request) -> Response:
        """
        Call the app and return its response as soon as its head is final.

        Raises:
            RemoteProtocolError: the app did not call `start_response`.
            RuntimeError: the request's body is an async stream.
            Any exception of the app, if `raise_app_exceptions` is true.
        """
        upload = _Upload(request)
        environ = self._environ(request, upload)
        app_response = _AppResponse(request.method == "HEAD", upload)
        try:
            app_response.begin(self.app(environ, app_response.start_response))
            status = app_response.hand_over(self.raise_app_exceptions)
        except BaseException as exc:
            app_response.close()
            if self.raise_app_exceptions or not isinstance(exc, Exception):
                raise
            traceback.print_exc(file=environ["wsgi.errors"])
            return Response(500, stream=ByteStream(b""))
        return Response(status, headers=app_response.headers, stream=_Body(app_response, self.raise_app_exceptions))

    def _environ(self, request: Request, upload: _Upload) -> dict[str, Any]:
        """Return the environ of a request: all text in it is bytes decoded as Latin-1 (PEP 3333, "Unicode Issues")."""
        from urllib.parse import unquote_to_bytes

        url = request.url
        path, _, query = url.raw_path.partition(b"?")
        port = _PORTS.get(url.scheme, 80) if url.port is None else url.port
        environ = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": url.scheme,
            "wsgi.input": upload.file(),
            # The input has an end of its own. Without this, Werkzeug takes a body of unknown length as empty.
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr if self.wsgi_errors is None else self.wsgi_errors,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": self.script_name,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": url.raw_host.decode("ascii"),
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.remote_addr,
        }
        for raw_name, raw_value in request.headers.raw:
            if b"_" in raw_name:
                # Servers drop it: `X_User` would become the same key as the `X-User` that a reverse proxy has set.
                continue
            name = raw_name.decode("latin-1").upper().replace("-", "_")
            value = raw_value.decode("latin-1")
            if name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                environ[name] = value
                continue
            name = f"HTTP_{name}"
            if name in environ:
                value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ', '}{value}"
            environ[name] = value
        return environ


class _Upload:
    """The body of a request as the file object of `wsgi.input`."""

    def __init__(self, request: Request) -> None:
        if not isinstance(request.stream, SyncByteStream):
            raise RuntimeError("the body of this request is an async stream, which a WSGI app cannot read")
        self._stream = request.stream
        self._pieces: _Pieces | None = None

    def file(self) -> io.BytesIO | io.BufferedReader:
        """Return a new file of the whole body, or one that fetches the pieces of a stream as the app reads them."""
        if isinstance(self._stream, ByteStream):
            return io.BytesIO(self._stream.body)
        self._pieces = _Pieces(self._stream)
        return io.BufferedReader(self._pieces)

    def close(self) -> None:
        """Close a generator that the app did not read to its end."""
        if self._pieces is not None:
            self._pieces.finish()


class _Pieces(io.RawIOBase):
    """A stream as a raw file, for `io.BufferedReader`, which adds the other methods to read."""

    def __init__(self, stream: SyncByteStream) -> None:
        self._stream = stream
        self._pieces: Iterator[bytes] | None = None
        self._rest = b""
        self._read = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._pieces is None:
            self._pieces = iter(self._stream)
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                self._read = True
                return 0
            self._rest = piece
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)

    def finish(self) -> None:
        """Close the iterator if it was begun and not read to its end."""
        if self._pieces is not None and not self._read:
            if hasattr(self._pieces, "close"):
                self._pieces.close()
            self._stream.close()


class _AppResponse:
    """
    The response of an app: from `start_response`, `write`, and the iterable that it returns.

    The head is final, and can be returned, when there are bytes of the body or the body is empty; until then
    `start_response` may replace it with an `exc_info` (PEP 3333, "The start_response() Callable").
    """

    def __init__(self, is_head: bool, upload: _Upload) -> None:
        self.headers = Headers()
        self._status: int | None = None
        self._exc_info: ExcInfo | None = None
        self.closed = False
        self._handed_over = False
        self._is_head = is_head
        self._upload = upload
        self._result: Any = None
        self._items: Iterator[bytes] = iter(())
        self._pieces: list[bytes] = []  # made by the app, not yet read

    def start_response(
        self, status: str, response_headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """
        Take the head from the app; return the legacy `write` function.

        Raises (in the app):
            RuntimeError: a second call without `exc_info`.
            ValueError: `status` does not begin with a number.
            The exception of `exc_info`, if the head was already returned.
        """
        try:
            if exc_info is not None and exc_info[1] is not None:
                if self._handed_over:
                    raise exc_info[1].with_traceback(exc_info[2])
                self._exc_info = exc_info
            elif self._status is not None:
                raise RuntimeError("start_response was called a second time without exc_info")
            number = status.partition(" ")[0]
            if not (number.isascii() and number.isdigit() and 100 <= int(number[:4]) <= 999):
                raise ValueError(f"status {status[:20]!r} of start_response must be like '200 OK'")
            self.headers = Headers(
                [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response_headers]
            )
            self._status = int(number)
            return self._write
        finally:
            exc_info = None  # a traceback that holds its own frame lives until the next garbage collection

    def _write(self, data: bytes) -> None:
        self._pieces += [data] if _checked(data) else []

    def begin(self, result: Any) -> None:
        """Take the app's iterable, and advance it to the first bytes of the body."""
        self._result = result
        self._items = iter(result)
        while not self._pieces and self._advance():
            pass

    def hand_over(self, raising: bool) -> int:
        """
        Return the status of the head, which is final from now on.

        Raises:
            RemoteProtocolError: the app did not call `start_response`.
            The exception that the app reported, if `raising`.
        """
        exc_info, self._exc_info = self._exc_info, None
        try:
            if raising and exc_info is not None and exc_info[1] is not None:
                raise exc_info[1]
            if self._status is None:
                raise RemoteProtocolError("the WSGI app returned without calling start_response")
            self._handed_over = True
            return self._status
        finally:
            exc_info = None

    def pieces(self) -> Iterator[bytes]:
        """Return the body. A response to HEAD has none, even if the app makes one."""
        while not self._is_head:
            pieces, self._pieces = self._pieces, []
            yield from pieces
            if not self._pieces and not self._advance():
                break

    def _advance(self) -> bool:
        """Get one more item from the app; return False if there is none."""
        for item in self._items:
            self._write(item)
            return True
        return bool(self._pieces)  # a generator may have called `write` and then ended

    def close(self) -> None:
        """Close the app's iterable, once, and the request's body."""
        result, self._result = self._result, None
        self.closed = True
        try:
            if hasattr(result, "close"):
                result.close()
        finally:
            self._upload.close()


def _checked(data: Any) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"the WSGI app made {type(data).__name__} for its body, expected an iterable of bytes")
    return data


class _Body(SyncByteStream):
    """The body of a response, made by the app while it is iterated."""

    def __init__(self, app_response: _AppResponse, raising: bool) -> None:
        self._app_response = app_response
        self._raising = raising

    def __iter__(self) -> Iterator[bytes]:
        pieces = self._app_response.pieces()
        while True:
            try:
                piece = next(pieces, None)
            except Exception as exc:
                if self._raising:
                    raise
                raise RemoteProtocolError("the WSGI app failed before its response was complete") from exc
            if piece is None:
                return
            yield piece
            if self._app_response.closed:
                raise ReadError("the response was closed while its body was read")

    def close(self) -> None:
        self._app_response.close()
