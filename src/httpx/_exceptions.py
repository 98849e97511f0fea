"""
The exceptions that the library raises.

    Exception
    ├── HTTPError                       has `.request`
    │   ├── RequestError                an error while a request was sent or its response read
    │   │   ├── TransportError
    │   │   │   ├── TimeoutException
    │   │   │   │   ├── ConnectTimeout  name lookup, TCP, TLS or proxy handshake took too long
    │   │   │   │   ├── ReadTimeout     the peer sent nothing for too long
    │   │   │   │   ├── WriteTimeout    the peer took nothing for too long
    │   │   │   │   └── PoolTimeout     no connection became free in time
    │   │   │   │       └── RateLimitTimeout    a rate limit allows the request too late
    │   │   │   ├── NetworkError
    │   │   │   │   ├── ConnectError
    │   │   │   │   │   └── DestinationRefused  the guard refused the address
    │   │   │   │   ├── ReadError
    │   │   │   │   ├── WriteError
    │   │   │   │   └── CloseError
    │   │   │   ├── ProtocolError
    │   │   │   │   ├── LocalProtocolError      the request cannot be sent as it is
    │   │   │   │   └── RemoteProtocolError     the peer violated the protocol
    │   │   │   ├── ProxyError
    │   │   │   ├── SSEError            in `_events`: the response is not an event stream, or an event is too large
    │   │   │   └── UnsupportedProtocol
    │   │   ├── DecodingError           the body does not fit its Content-Encoding, or a line is not JSON
    │   │   ├── ResponseTooLarge        the body, or a line of it, is larger than the limit that was given
    │   │   ├── ContentMismatch         a downloaded file does not have its digest
    │   │   └── TooManyRedirects
    │   └── HTTPStatusError             from `raise_for_status()`; also has `.response`
    ├── InvalidURL
    ├── CookieConflict
    └── RuntimeError
        └── StreamError                 a body was used in a way that cannot work
            ├── StreamConsumed
            ├── StreamClosed
            ├── ResponseNotRead
            └── RequestNotRead

A total timeout (`Timeout(total=...)`) raises the class of the phase that it interrupts.

All of them can be pickled, with their request and response. The wire and the machines raise without knowing the
request; the client attaches it late (`request_context`, or by setting `.request`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._middleware.retry import Attempt
    from ._request import Request
    from ._response import Response
    from ._timings import Stamps, Timings


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """Return an exception made without its constructor, because pickle cannot pass required keyword arguments."""
    exc = cls.__new__(cls, *args)
    exc.args = args
    exc.__dict__.update(state)
    return exc


class _Picklable(Exception):
    """A base class of exceptions that can be pickled."""

    def __reduce__(self) -> tuple[Callable[..., BaseException], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class HTTPError(_Picklable):
    """
    The base class of `RequestError` and `HTTPStatusError`: catch it around a request and its `raise_for_status()`.

        try:
            httpx.get("https://www.example.com/").raise_for_status()
        except httpx.HTTPError as exc:
            print(f"{exc.request.url} failed: {exc}")

    Attributes:
        attempts: those that `httpx.Retry` made, as `Response.attempts`; `()` if there was only one.
    """

    attempts: tuple[Attempt, ...] = ()
    # What an engine knows of the request's time, until a client takes it; and what the client made of it.
    _stamps: Stamps | None
    _timings: Timings | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._request: Request | None = None

    @property
    def request(self) -> Request:
        """
        Return the request that failed.

        Raises:
            RuntimeError: no request was attached.
        """
        if self._request is None:
            raise RuntimeError("no request is attached to this exception")
        return self._request

    @request.setter
    def request(self, request: Request) -> None:
        self._request = request

    @property
    def timings(self) -> Timings | None:
        """
        Return how long the phases of the request took, up to its failure: see `httpx.Timings`.

        None if no request of a client failed by this, as with `TooManyRedirects`.
        """
        return self._timings


class RequestError(HTTPError):
    """The base class of errors while a request is sent and its response is read."""

    # Whether the same request would fail again, although other errors of the class pass: a certificate that does not
    # verify, a name that does not exist. `Retry` looks here. Classes of such errors set it for all of them.
    _is_final = False

    def __init__(self, message: str, *, request: Request | None = None) -> None:
        super().__init__(message)
        self._request = request


class TransportError(RequestError):
    """The base class of errors of the transport: timeouts, network, framing, proxies."""


class TimeoutException(TransportError):
    """The base class of the four timeouts."""


class ConnectTimeout(TimeoutException):
    """No connection was made within the connect timeout."""


class ReadTimeout(TimeoutException):
    """Nothing arrived within the read timeout."""


class WriteTimeout(TimeoutException):
    """The peer accepted nothing within the write timeout."""


class PoolTimeout(TimeoutException):
    """No connection of the pool became free within the pool timeout."""


class RateLimitTimeout(PoolTimeout):
    """
    A `RateLimit` would let the request wait longer than its `max_wait`, or than the total timeout; it was not sent.

    Attributes:
        wait: seconds until it could have been sent, when this was raised; None if that depends on other requests.
    """

    _is_final = True

    def __init__(self, message: str, *, wait: float | None = None, request: Request | None = None) -> None:
        super().__init__(message, request=request)
        self.wait = wait


class NetworkError(TransportError):
    """The base class of network errors that the operating system reports."""


class ConnectError(NetworkError):
    """The connection could not be made: name lookup, TCP or TLS."""


class DestinationRefused(ConnectError):
    """
    The `guard=` of the client refused the address, so no connection was made; or it failed, which counts as refusing.

    The message has the host, its address and the reason, which are not for the person who gave the URL. The connection
    is not tried again.
    """

    _is_final = True


class ReadError(NetworkError):
    """Receiving failed, for example because the peer reset the connection."""


class WriteError(NetworkError):
    """Sending failed."""


class CloseError(NetworkError):
    """Closing a connection failed."""


class ProtocolError(TransportError):
    """The base class of violations of the HTTP protocol."""


class LocalProtocolError(ProtocolError):
    """The request is not valid HTTP; nothing of it was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent invalid HTTP, or closed the connection too early."""


class ProxyError(TransportError):
    """A proxy refused to make the connection."""


class UnsupportedProtocol(TransportError):
    """The URL's scheme is missing, or the transport does not speak it."""


class DecodingError(RequestError):
    """The body is not valid data of its Content-Encoding, or a line of JSON Lines is not JSON."""


class ResponseTooLarge(RequestError):
    """
    The body is larger than `max_response_size`, or a line of it is longer than `max_line_length`.

    Not a `TransportError`: sending the request again would bring the same body.
    """


class ContentMismatch(RequestError):
    """
    A downloaded file does not have the digest that was given, or that the server sent; it was removed.

    Raised by `download`. Not a `TransportError`: the bytes arrived as they were sent.
    """


class TooManyRedirects(RequestError):
    """A request was redirected more than `max_redirects` times."""


class HTTPStatusError(HTTPError):
    """The status is not 2xx; raised by `Response.raise_for_status()`."""

    def __init__(self, message: str, *, request: Request, response: Response) -> None:
        super().__init__(message)
        self.request = request
        self.response = response
        self.attempts: tuple[Attempt, ...] = getattr(response, "attempts", ())

    @property
    def timings(self) -> Timings | None:
        """Return `timings` of the response; None if it was not received through a client."""
        response = self.response
        return None if response._started is None and response._timings is None else response.timings


class InvalidURL(_Picklable):
    """A URL that cannot be parsed; the message names position and reason."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class CookieConflict(_Picklable):
    """Several cookies have the requested name; pass `domain` or `path` to select one."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class StreamError(RuntimeError, _Picklable):
    """The base class of wrong uses of a body stream: a bug in the calling code."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class StreamConsumed(StreamError):
    """The body was streamed once already and cannot be streamed again."""

    def __init__(self) -> None:
        super().__init__(
            "the body was already streamed; to use it more than once call `.read()` first, and for a request that is "
            "sent again (redirect, authentication) give `content` as bytes or as an object that can be iterated twice"
        )


class StreamClosed(StreamError):
    """The response was closed before its body was read."""

    def __init__(self) -> None:
        super().__init__("the response was closed before its body was read, so there is nothing left to read")


class ResponseNotRead(StreamError):
    """`.content`, `.text` or `.json()` of a streaming response was used before `.read()`."""

    def __init__(self) -> None:
        super().__init__("the body of a streaming response is not there yet: call `.read()` or `await .aread()` first")


class RequestNotRead(StreamError):
    """`.content` of a streaming request was used before `.read()`."""

    def __init__(self) -> None:
        super().__init__("the body of a streaming request is not there yet: call `.read()` or `await .aread()` first")


E = TypeVar("E", bound=RequestError)


def final(error: E, is_final: bool = True) -> E:
    """Return the error, marked as one that the same request would meet again (or not)."""
    error._is_final = is_final
    return error


def with_host(text: str, request: Request) -> str:
    """Return the text of a timeout with the host of its request, if it is not in there yet."""
    url = request.url
    # A host without a dot may be a word of the text, such as "proxy" or "db".
    is_there = "." in url.host and url.host in text
    return text if is_there or not url.host else f"{text} (a request to {url.netloc.decode('ascii')})"


@contextmanager
def request_context(request: Request | None = None) -> Iterator[None]:
    """
    Attach `request` to each `RequestError` that is raised in the `with` block.

    For code that raises errors without knowing the request (vcrpy uses it, too). Not used on the hot path.
    """
    try:
        yield
    except RequestError as exc:
        if request is not None:
            exc.request = request
        raise
