"""
Response: received by a caller from any transport.

A response begins with status and headers; its body is read, or streamed once, through decoders that work piece by
piece.

Not here: how a body goes through its decoders (`_reading`), sending (`_client`), the headers' and the URL's own rules
(`_headers`, `_urls`).
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Any, Callable, Literal

from ._config import whole_number
from ._content import ByteStream, UnattachedStream, encode_response
from ._cookies import Cookies
from ._decoders import get_decoder
from ._exceptions import (
    HTTPStatusError,
    RemoteProtocolError,
    RequestError,
    ResponseNotRead,
    StreamClosed,
    StreamConsumed,
    TimeoutException,
    request_context,
)
from ._fields import charset_of, links_in, media_type_of
from ._files import AsyncOver
from ._headers import Headers
from ._hints import NoSuchAttribute
from ._reading import (
    CODING_SLACK,
    MAX_DRAIN,
    AsyncPieces,
    AsyncValues,
    Gathered,
    Pipeline,
    SizeLimit,
    TextStage,
    chunkers,
    end_generator,
    merge_chunks,
    too_large,
)
from ._request import Request, copied_extensions
from ._secrets import MAX_URL, printable, shortened
from ._status_codes import codes
from ._text import LineDecoder, TextChunker, TextDecoder, is_text_encoding
from ._types import AsyncByteStream, HeaderTypes, ResponseContent, ResponseExtensions, SyncByteStream
from ._urls import URL, redacted_address

if TYPE_CHECKING:
    import datetime

    from ._jsonl import JSONLinesDecoder
    from ._middleware.retry import Attempt
    from ._timings import Stamps, Timings

_new_headers = Headers.__new__


class _StreamOfWhole:
    """
    A descriptor for `Response.stream` of a complete body: made on first use, which is rare.

    Setting the attribute hides the descriptor.
    """

    def __get__(self, response: Response | None, owner: type[Response]) -> Any:
        if response is None:
            return self
        whole = response.__dict__.get("_content") if response._whole is None else response._whole
        # A body that was read and dropped is lost: it must not become an empty one.
        stream: SyncByteStream | AsyncByteStream = UnattachedStream()
        if whole is not None:
            stream = whole if isinstance(whole, ArrivedStream) else ByteStream(whole)
        response.stream = stream
        return stream


class ArrivedStream(ByteStream):
    """
    A body in memory, in the chunks that it arrived in.

    Programs take a chunk for a record, as where a server sends a line of JSON in each: whether these arrived together
    must not matter.

    Attributes:
        merges: whether they are one piece all the same; see `merge_chunks`.
    """

    merges = False

    def __init__(self, whole: bytes, pieces: list[bytes]) -> None:
        super().__init__(whole)
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter((self.body,) if self.merges else self._pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return AsyncOver(iter(self))


class Response:
    """
    The response to a request.

    A client has read its body, unless it was requested with `stream()`. To make one by hand, for tests and
    transports:

    Args:
        status_code: 100 to 999.
        headers: as received.
        content: the body: bytes, str, or an iterable (sync or async) of bytes.
        text, html, json: the body, with its Content-Type.
        stream: the body, unchanged; no header is added for it.
        request: the request of this response.
        extensions: from the transport: "http_version" (bytes), "reason_phrase" (bytes), "network_stream", "trailers".
        history: the preceding redirects, oldest first.
        default_encoding: for text without a charset in its Content-Type: its name, or a function of the body's bytes.

    Attributes:
        attempts: those that `httpx.Retry` made, oldest first; `()` if there was only one. Each has `number` (from 1),
            `status` or None, `error` as text or None, `started` (seconds since 1970), `seconds` it took, seconds
            `waited` before it, and the `reason` why it was repeated, or why it was the last.

    Raises:
        TypeError: an argument of the wrong type.
        LocalProtocolError: a header, `text` or `html` contains characters that cannot be sent.
        ValueError: `json` is not a JSON value.
        DecodingError: `content` is not encoded as its Content-Encoding says.
    """

    status_code: int
    headers: Headers
    is_closed: bool
    is_stream_consumed: bool
    _request: Request | None
    _num_bytes_downloaded: int
    # Of `perf_counter`: when a client began to send the request, and when it had the head.
    _started: float | None
    _headed: float | None
    # Until the body was read, or the response closed; None before that.
    _seconds: float | None
    # The body as received, if it was complete with the head, and its chunks if these were several; None after it was
    # taken.
    _whole: bytes | ArrivedStream | None
    # Whether there may be header fields that a client acts on: Set-Cookie, Location, Content-Encoding.
    _remarkable: bool

    # Attributes that most responses never change are class attributes. Those that a client changes are not: an
    # attribute on both the class and the instance takes the interpreter 40 ns and not 5.
    next_request: Request | None = None
    attempts: tuple[Attempt, ...] = ()
    default_encoding: str | Callable[[bytes], str] = "utf-8"
    _max_size: int | None = None
    _encoding: str | None = None
    # What the request noted of its time in an engine; False: it did not have to wait before it was sent.
    _stamps: Stamps | Literal[False] | None = False
    # Of a copy: what the original knew.
    _timings: Timings | None = None
    # The async iterator of the body, to be ended when the response is closed.
    _source: AsyncIterator[bytes] | None = None
    # The body as received, if it was drained: see `_drain`.
    _drained: bytes | None = None

    if TYPE_CHECKING:
        stream: SyncByteStream | AsyncByteStream
    else:
        stream = _StreamOfWhole()
        ok = NoSuchAttribute("is_success")
        status = NoSuchAttribute("status_code")
        reason = NoSuchAttribute("reason_phrase")
        body = NoSuchAttribute("content")
        iter_content = NoSuchAttribute("iter_bytes")
    extensions: dict[str, Any]
    history: list[Response]
    _content: bytes
    _text: str

    def __init__(
        self,
        status_code: int,
        *,
        headers: HeaderTypes | None = None,
        content: ResponseContent | None = None,
        text: str | None = None,
        html: str | None = None,
        json: Any = None,
        stream: SyncByteStream | AsyncByteStream | None = None,
        request: Request | None = None,
        extensions: ResponseExtensions | None = None,
        history: list[Response] | None = None,
        default_encoding: str | Callable[[bytes], str] = "utf-8",
    ) -> None:
        self.status_code = _status(status_code)
        self.headers = Headers(headers)
        self._request = request
        self._started = self._headed = self._seconds = self._whole = None
        self._stamps = None
        self._remarkable = True
        self._num_bytes_downloaded = 0
        self.is_closed = self.is_stream_consumed = False
        self.extensions = {} if extensions is None else copied_extensions(extensions)
        self.history = [] if history is None else list(history)
        self.default_encoding = default_encoding
        if stream is None:
            body_headers, self.stream = encode_response(content, text, html, json)
            for name, value in body_headers.items():
                if name != "Transfer-Encoding" or not self.headers._has(b"content-length"):
                    self.headers.setdefault(name, value)
            if isinstance(self.stream, ByteStream):
                self.read()
                self._num_bytes_downloaded = 0
        else:
            self.stream = stream

    @classmethod
    def _from_wire(
        cls,
        head: tuple[int, bytes, list[tuple[bytes, bytes]], bytes],
        remarkable: bool,
        body: bytes | SyncByteStream | AsyncByteStream,
        network_stream: object,
        stream_id: int | None = None,
    ) -> Response:
        """
        Return a response from what a connection received: nothing is copied, checked or encoded.

        Args:
            head: status, reason, fields, version.
            remarkable: whether there may be fields that a client acts on.
            body: all of it, or its stream.
            network_stream: the connection, for the extension of this name.
            stream_id: of HTTP/2, for the extension of this name; HTTP/2 has no reason phrase.
        """
        response = cls.__new__(cls)
        response.status_code, reason, fields, version = head
        response.headers = headers = _new_headers(Headers)
        headers._raw = fields
        headers._index = headers._encoding = None
        if stream_id is None:
            response.extensions = {"http_version": version, "reason_phrase": reason, "network_stream": network_stream}
        else:
            response.extensions = {"http_version": version, "network_stream": network_stream, "stream_id": stream_id}
        response.history = []
        response._request = response._started = response._headed = response._seconds = None
        response._remarkable = remarkable
        response._num_bytes_downloaded = 0
        response.is_closed = response.is_stream_consumed = False
        if type(body) is bytes:
            response._whole = body
        else:
            response._whole = None
            response.stream = body  # type: ignore[assignment]  # not bytes, by the check above
        return response

    # Its request.

    @property
    def request(self) -> Request:
        """Return the request. Raises RuntimeError if the response was made without one."""
        if self._request is None:
            raise RuntimeError("no request is attached to this response")
        return self._request

    @request.setter
    def request(self, request: Request) -> None:
        self._request = request

    @property
    def url(self) -> URL:
        """Return the URL of the request: after redirects, the last one."""
        return self.request.url

    @property
    def elapsed(self) -> datetime.timedelta:
        """
        Return the time from the start of sending to the head of the response; after the body is closed, to its end.

        Raises:
            RuntimeError: the response was not received through a client.
        """
        seconds = self._seconds
        if seconds is None and self._started is not None and self._headed is not None:
            seconds = self._headed - self._started
        if seconds is None:
            raise RuntimeError("`elapsed` is only set on responses received through a client")
        import datetime  # 3 ms, and few programs ask

        return datetime.timedelta(seconds=seconds)

    @elapsed.setter
    def elapsed(self, elapsed: datetime.timedelta) -> None:
        self._seconds = elapsed.total_seconds()
        self._started = None

    @property
    def timings(self) -> Timings:
        """
        Return how long the phases of the request took: see `httpx.Timings`.

        Raises:
            RuntimeError: the response was not received through a client.
        """
        if self._timings is not None:
            return self._timings
        if self._started is None or self._headed is None:
            raise RuntimeError("`timings` is only set on responses received through a client")
        from ._timings import of_response

        version = self.extensions.get("http_version")
        waited = self._headed - self._started
        return of_response(
            waited,
            waited if self._seconds is None and self.is_closed else self._seconds,  # it was read when it was made
            self._stamps,
            self.extensions.get("network_stream"),
            None if version is None else self.http_version,
        )

    def _stop_clock(self) -> None:
        if self._started is not None:
            self._seconds = perf_counter() - self._started

    def _fail(self, exc: RequestError) -> None:
        """Attach what the caller may want to know to an error of the body."""
        if self._request is not None:
            exc.request = self._request
        if self._started is not None and self._headed is not None:
            seconds = perf_counter() - self._started
            exc._timings = self.timings._replace(receive=seconds - (self._headed - self._started), total=seconds)

    # Status.

    @property
    def http_version(self) -> str:
        """Return "HTTP/1.1", "HTTP/2" or the transport's version."""
        version: bytes | None = self.extensions.get("http_version")
        return "HTTP/1.1" if version is None else version.decode("ascii", "ignore")

    @property
    def reason_phrase(self) -> str:
        """Return the words after the status code, such as "Not Found"; the standard ones if the peer sent none."""
        reason: bytes | None = self.extensions.get("reason_phrase")
        return codes.get_reason_phrase(self.status_code) if reason is None else reason.decode("ascii", "ignore")

    @property
    def is_informational(self) -> bool:
        """Return whether the status is 1xx."""
        return 100 <= self.status_code <= 199

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status_code <= 299

    @property
    def is_redirect(self) -> bool:
        """Return whether the status is 3xx, with or without a Location: see `has_redirect_location`."""
        return 300 <= self.status_code <= 399

    @property
    def is_client_error(self) -> bool:
        """Return whether the status is 4xx."""
        return 400 <= self.status_code <= 499

    @property
    def is_server_error(self) -> bool:
        """Return whether the status is 5xx."""
        return 500 <= self.status_code <= 599

    @property
    def is_error(self) -> bool:
        """Return whether the status is 4xx or 5xx."""
        return 400 <= self.status_code <= 599

    @property
    def has_redirect_location(self) -> bool:
        """Return whether the status is 301, 302, 303, 307 or 308 and there is a Location."""
        return self.status_code in (301, 302, 303, 307, 308) and self.headers._has(b"location")

    def raise_for_status(self) -> Response:
        """
        Return the response itself if its status is 2xx.

        A 304 is accepted as well if the caller's request was conditional.

        Raises:
            HTTPStatusError: any other status.
            RuntimeError: the response has no request.
        """
        request = self._request
        if request is None:
            raise RuntimeError("cannot call `raise_for_status` on a response without a request")
        if self.is_success or (self.status_code == 304 and _is_conditional(request)):
            return self
        raise HTTPStatusError(self._status_message(request), request=request, response=self)

    def _status_message(self, request: Request) -> str:
        kind = _STATUS_KINDS.get(self.status_code // 100, "Invalid status code")
        message = f"{kind} '{self.status_code} {shown_reason(self)}' for url '{shortened(request.url._redacted())}'"
        if self.has_redirect_location:
            location = printable(redacted_address(self.headers["location"]), MAX_URL)
            message += f"\nRedirect location: '{location}'"
        return (
            f"{message}\nFor more information check: "
            f"https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/{self.status_code}"
        )

    # Parsed headers.

    @property
    def cookies(self) -> Cookies:
        """Return the cookies that this response sets."""
        if not hasattr(self, "_cookies"):
            self._cookies = Cookies()
            self._cookies._extract(self, shown=True)
        return self._cookies

    @property
    def links(self) -> dict[str | None, dict[str, str]]:
        """
        Return the Link header as {relation: {"url": ..., "rel": ..., other parameters}}.

        A link with several relations is stored under each of them, a link without one under its URL. RFC 8288.
        """
        header = self.headers.get("link")
        links: dict[str | None, dict[str, str]] = {}
        for link in links_in(header) if header else []:
            relations = link["rel"].split() if link.get("rel") else [link["url"]]
            for relation in relations:
                links[relation] = link
        return links

    @property
    def trailers(self) -> Headers:
        """
        Return the trailer fields, which came after the body: empty until the body is read, and if there were none.

        They are never merged into `headers`: a trailer is not checked by what has read the head (RFC 9110 6.5).
        """
        if not hasattr(self, "_trailers"):
            is_read = hasattr(self, "_content") or (self.is_stream_consumed and self.is_closed)
            fields = self.extensions.get("trailers") if is_read or self._drained is not None else None
            if fields is None:
                return Headers()
            self._trailers = Headers(fields)
        return self._trailers

    # Text.

    @property
    def charset_encoding(self) -> str | None:
        """Return the charset of the Content-Type, or None."""
        content_type = self.headers.get("content-type")
        return None if content_type is None else charset_of(content_type)

    @property
    def encoding(self) -> str | None:
        """
        Return the encoding of `text`: what was set, else the charset of the Content-Type, else `default_encoding`.

        Setting it after `text` was read raises ValueError.
        """
        if self._encoding is None:
            charset = self.charset_encoding
            if charset is not None and is_text_encoding(charset):
                return charset
            default = self.default_encoding
            if isinstance(default, str):
                return default
            if not hasattr(self, "_content"):
                return "utf-8"  # a function of the body cannot be called while the body streams
            self._encoding = default(self._content) or "utf-8"
        return self._encoding

    @encoding.setter
    def encoding(self, value: str) -> None:
        if hasattr(self, "_text"):
            raise ValueError("cannot set `encoding` after `text` was read")
        self._encoding = value

    @property
    def text(self) -> str:
        """Return the body as text; invalid bytes become U+FFFD. Raises ResponseNotRead while it streams."""
        if not hasattr(self, "_text"):
            content = self.content
            if content:
                encoding = self.encoding or "utf-8"
                decoder = TextDecoder(encoding if is_text_encoding(encoding) else "utf-8")
                self._text = "".join([decoder.decode(content), decoder.flush()])
            else:
                self._text = ""
        return self._text

    def json(self, **kwargs: Any) -> Any:
        """
        Return the body parsed as JSON; `kwargs` go to `json.loads`.

        Raises:
            json.JSONDecodeError: it is not JSON (a ValueError).
            UnicodeDecodeError: its encoding is not one of JSON's (a ValueError, too).
            ResponseNotRead: it streams.
        """
        try:
            return jsonlib.loads(self.content, **kwargs)
        except RecursionError:
            raise jsonlib.JSONDecodeError("nested too deeply", "", 0) from None

    # The body.

    @property
    def content(self) -> bytes:
        """Return the body with its Content-Encoding decoded. Raises ResponseNotRead while it streams."""
        try:
            return self._content
        except AttributeError:
            if self._drained is None:
                raise ResponseNotRead() from None
            return self._decode_drained(self._drained)

    @property
    def num_bytes_downloaded(self) -> int:
        """Return the bytes of the body received so far (before decoding)."""
        return self._num_bytes_downloaded

    def read(self) -> bytes:
        """
        Read the rest of the body, and return the body.

        Raises:
            DecodingError, ReadError, ReadTimeout, RemoteProtocolError: the body did not arrive completely.
            StreamConsumed, StreamClosed: it was already streamed or dropped.
        """
        if self._take_whole() or self._is_read():
            return self._content
        merge_chunks(self)
        body = Gathered()
        for piece in self.iter_bytes():
            body.add(piece)
        self._content = body.whole()
        return self._content

    async def aread(self) -> bytes:
        """Read the body of a response of an async client, like `read`."""
        if self._take_whole() or self._is_read():
            return self._content
        merge_chunks(self)
        body = Gathered()
        async for piece in self.aiter_bytes():
            body.add(piece)
        self._content = body.whole()
        return self._content

    def _take_whole(self) -> bool:
        """Take a complete body that needs no decoding, the common case, without a generator."""
        whole = self._whole
        if whole is None or self.is_stream_consumed or self.is_closed or hasattr(self, "_content"):
            return False
        if self._remarkable and self.headers._has(b"content-encoding"):
            return False
        if isinstance(whole, ArrivedStream):
            whole = whole.body
        self._content = whole
        self._whole = None
        self._num_bytes_downloaded = len(whole)
        self.is_stream_consumed = self.is_closed = True
        if self._started is not None:
            self._seconds = perf_counter() - self._started
        if self._max_size is not None and len(whole) > self._max_size:
            del self._content
            error = too_large(self._max_size)
            self._fail(error)
            raise error
        return True

    def _drain(self) -> None:
        """
        Read an unwanted body, undecoded, so that the connection can be used again.

        `content` decodes it on access. A body that is large or does not end soon is abandoned, and its connection
        closed. A truncated body is an error: the head may be wrong, too.
        """
        if not hasattr(self, "_content") and not self.is_closed and not (self._max_size is None and self._take_whole()):
            has_length = self._hurry()
            merge_chunks(self)
            pieces, size = [], 0
            try:
                for piece in self._iterate(Pipeline([]), raw=True):
                    size += len(piece)
                    if size > MAX_DRAIN:
                        break
                    pieces.append(piece)
            except TimeoutException:
                size = MAX_DRAIN + 1
            except RemoteProtocolError:
                if has_length:
                    raise
                size = MAX_DRAIN + 1  # TLS was truncated, which does not affect the head
            self.close()
            self._keep(pieces if size <= MAX_DRAIN else None)

    async def _adrain(self) -> None:
        """Drain the body of a response of an async client, like `_drain`."""
        if not hasattr(self, "_content") and not self.is_closed and not (self._max_size is None and self._take_whole()):
            has_length = self._hurry()
            merge_chunks(self)
            pieces, size = [], 0
            try:
                async for piece in AsyncPieces(self, Pipeline([]), raw=True):
                    size += len(piece)
                    if size > MAX_DRAIN:
                        break
                    pieces.append(piece)
            except TimeoutException:
                size = MAX_DRAIN + 1
            except RemoteProtocolError:
                if has_length:
                    raise
                size = MAX_DRAIN + 1  # TLS was truncated, which does not affect the head
            await self.aclose()
            self._keep(pieces if size <= MAX_DRAIN else None)

    def _hurry(self) -> bool:
        """
        Wait for the body only a short time: it is not needed.

        Returns whether the body has an explicit end.
        """
        names = (b"content-length", b"transfer-encoding")
        has_length = self.http_version == "HTTP/2" or any(map(self.headers._has, names))
        hurry = getattr(self.stream, "hurry", None)
        if hurry is not None:
            hurry(has_length)
        return has_length

    def _keep(self, pieces: list[bytes] | None) -> None:
        """Remember a drained body."""
        if pieces is not None:
            self._drained = b"".join(pieces)
            self._whole = None
            self.__dict__.pop("stream", None)

    def _decode_drained(self, raw: bytes) -> bytes:
        """Decode a drained body that is read after all."""
        pipeline = Pipeline(self._decoders())
        with request_context(self._request):
            self._content = b"".join(chain(pipeline.feed(raw), pipeline.flush()))
        return self._content

    def _is_read(self) -> bool:
        """Return whether the body is in memory, decoded."""
        if not hasattr(self, "_content"):
            if self._drained is None:
                return False
            self._decode_drained(self._drained)
        return True

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Return the body as received, as it arrives or in pieces of `chunk_size` bytes (the last may be shorter)."""
        return self._iterate(Pipeline([*self._size_limit(), *chunkers(chunk_size)]), raw=True)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Return the body with its Content-Encoding decoded, as it arrives or in pieces of `chunk_size` bytes."""
        return self._iterate(Pipeline([*self._needed_decoders(), *chunkers(chunk_size)]))

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """Return the body as text, as it arrives or in pieces of `chunk_size` characters."""
        return self._iterate(self._text_pipeline(TextChunker(chunk_size)))

    def iter_lines(self, *, max_line_length: int | None = None) -> Iterator[str]:
        """
        Return the lines of the text of the body, without their line ends.

        Args:
            max_line_length: characters; a longer line raises `ResponseTooLarge`. None for no limit: a line without
            an end is then kept in memory for as long as the server sends.
        """
        return self._iterate(self._text_pipeline(LineDecoder(max_line_length)))

    def iter_jsonl(
        self, *, max_line_size: int | None = 16_777_216, loads: Callable[[str], Any] = jsonlib.loads
    ) -> Iterator[Any]:
        """
        Return the values of the lines of JSON Lines, as they arrive; with `application/json-seq`, of its records.

        Lines end with LF or CR LF and with nothing else. Blank ones are skipped, and the last one may lack its end. The
        text is UTF-8; the charset of the response does not count.

        Args:
            max_line_size: bytes of a line; None for no limit.
            loads: makes a value from the text of a line; its ValueError means that the text is not JSON.

        Iterating raises `DecodingError` if a line is not JSON, or too long; the message has its number.

        Raises:
            TypeError, ValueError: `max_line_size` is not a positive int or None.
        """
        return self._iterate_values(self._jsonl_decoder(max_line_size, loads))

    def _iterate_values(self, decoder: JSONLinesDecoder) -> Iterator[Any]:
        for piece in self.iter_bytes():
            yield from decoder.decode(piece)
            if decoder.error is not None:
                break
        else:
            yield from decoder.flush()
        if decoder.error is not None:
            raise decoder.new_error(self._request)

    def _jsonl_decoder(self, max_line_size: int | None, loads: Callable[[str], Any]) -> JSONLinesDecoder:
        from ._jsonl import JSONLinesDecoder

        merge_chunks(self)
        size = None if max_line_size is None else whole_number("max_line_size", max_line_size, 1)
        kind = media_type_of(self.headers.get("content-type", ""))
        return JSONLinesDecoder(size, loads, is_sequence=kind == "application/json-seq")

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncPieces[bytes]:
        """Return an async iterator like that of `iter_raw`, for a response of an async client."""
        return AsyncPieces(self, Pipeline([*self._size_limit(), *chunkers(chunk_size)]), raw=True)

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncPieces[bytes]:
        """Return an async iterator like that of `iter_bytes`, for a response of an async client."""
        return AsyncPieces(self, Pipeline([*self._needed_decoders(), *chunkers(chunk_size)]))

    def aiter_text(self, chunk_size: int | None = None) -> AsyncPieces[str]:
        """Return an async iterator like that of `iter_text`, for a response of an async client."""
        return AsyncPieces(self, self._text_pipeline(TextChunker(chunk_size)))

    def aiter_lines(self, *, max_line_length: int | None = None) -> AsyncPieces[str]:
        """Return an async iterator like that of `iter_lines`, for a response of an async client."""
        return AsyncPieces(self, self._text_pipeline(LineDecoder(max_line_length)))

    def aiter_jsonl(
        self, *, max_line_size: int | None = 16_777_216, loads: Callable[[str], Any] = jsonlib.loads
    ) -> AsyncValues:
        """Return an async iterator like that of `iter_jsonl`, for a response of an async client."""
        return AsyncValues(self, self._jsonl_decoder(max_line_size, loads))

    def close(self) -> None:
        """Close the response, abandoning an unread body: its connection is freed or closed."""
        if not isinstance(self.stream, SyncByteStream):
            raise RuntimeError("this response belongs to an async client: use `await response.aclose()`")
        if not self.is_closed:
            self.is_closed = True
            self._stop_clock()
            with request_context(self._request):
                self.stream.close()

    async def aclose(self) -> None:
        """Close a response of an async client, like `close`."""
        if not isinstance(self.stream, AsyncByteStream):
            raise RuntimeError("this response belongs to a sync client: use `response.close()`")
        if not self.is_closed:
            self.is_closed = True
            self._stop_clock()
            with request_context(self._request):
                try:
                    await end_generator(self._source)
                finally:
                    await self.stream.aclose()

    def _get_content_decoder(self) -> Any:
        """Return the decoder of the Content-Encoding, with 0.28.1's interface: `decode` and `flush` return bytes."""
        from ._utils import old_decoder

        return old_decoder(self._decoders())

    def _decoders(self) -> list[Any]:
        """Return the stages that decode the Content-Encoding and bound the size of the body, if there are any."""
        if not self.headers._has(b"content-encoding"):
            return self._size_limit()
        with request_context(self._request):
            decoder = get_decoder(self.headers.get_list("content-encoding", split_commas=True))
        if decoder is None:
            return self._size_limit()
        return [*self._size_limit(CODING_SLACK), decoder, *self._size_limit()]

    def _size_limit(self, slack: int = 0) -> list[Any]:
        return [] if self._max_size is None else [SizeLimit(self._max_size, slack)]

    def _needed_decoders(self) -> list[Any]:
        """Return the same for an unread body."""
        return [] if self._is_read() else self._decoders()

    def _text_pipeline(self, last: Any) -> Pipeline:
        return Pipeline([*self._needed_decoders(), TextStage(self), last])

    def _begin_streaming(self, kind: type) -> Any:
        """Return the stream, which must be of this kind, and mark it as consumed."""
        if self.is_stream_consumed:
            raise StreamConsumed()
        if self.is_closed:
            raise StreamClosed()
        stream = self.stream
        if not isinstance(stream, kind):
            raise RuntimeError(
                "the body of this response is an async stream: use the `aiter_...` methods or `aread`"
                if kind is SyncByteStream
                else "the body of this response is a sync stream: use the `iter_...` methods or `read`"
            )
        self.is_stream_consumed = True
        self._num_bytes_downloaded = 0
        return stream

    def _iterate(self, pipeline: Pipeline, raw: bool = False) -> Iterator[Any]:
        """Send the body through `pipeline`, and close the response at its end."""
        if not raw and hasattr(self, "_content"):
            yield from pipeline.feed(self._content) if self._content else ()
            yield from pipeline.flush()
            return
        stream = self._begin_streaming(SyncByteStream)
        # Not `request_context`: before Python 3.11, contextlib puts a GeneratorExit into a cycle.
        try:
            for piece in stream:
                self._num_bytes_downloaded += len(piece)
                yield from pipeline.feed(piece)
                if self.is_closed and self._whole is None:
                    raise StreamClosed()  # closed by the caller, in the middle: the body is incomplete
            yield from pipeline.flush()
        except RequestError as exc:
            self._fail(exc)
            raise
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status_code} {shown_reason(self)}]>"

    def __getstate__(self) -> dict[str, Any]:
        # Without the parts of a connection; an unread body is lost in the copy.
        left = ("extensions", "stream", "is_closed", "_started", "_headed", "_stamps", "_whole", "_source")
        state = {name: value for name, value in self.__dict__.items() if name not in left}
        state["extensions"] = {
            name: value
            for name, value in self.extensions.items()
            if name in ("http_version", "reason_phrase", "trailers")
        }
        if self._started is not None and self._headed is not None:
            state["_timings"] = self.timings
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.is_closed = True
        self._started = self._headed = self._whole = None
        self.stream = UnattachedStream()


# The words of `raise_for_status`, by the first digit of the status.
_STATUS_KINDS = {1: "Informational response", 3: "Redirect response", 4: "Client error", 5: "Server error"}


def _status(status: Any) -> int:
    """Return a status as an int; a str is accepted for code that reads it from a file."""
    try:
        number = int(status)
    except (ValueError, OverflowError):
        raise TypeError(f"status_code must be an int, got {str(status)[:20]!r}") from None
    if not 100 <= number <= 999 or (isinstance(status, float) and status != number):
        raise ValueError(f"status_code must be a whole number from 100 to 999, got {str(status)[:20]}")
    return number


def _is_conditional(request: Request) -> bool:
    return request.headers._has(b"if-none-match") or request.headers._has(b"if-modified-since")


def shown_reason(response: Response) -> str:
    """Return the reason phrase for a message or a log; a non-standard one comes from a peer, and is truncated."""
    reason = response.reason_phrase
    return reason if reason == codes.get_reason_phrase(response.status_code) else printable(reason)
