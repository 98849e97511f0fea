"""
Request: built by a caller, sent by any transport.

A request is complete when it is built: its headers are those on the wire, its stream yields the body.

Not here: sending (`_client`), the headers' and the URL's own rules (`_headers`, `_urls`), body encoding (`_content`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ._config import UNSET, UnsetType
from ._content import ByteStream, UnattachedStream, encode_request, in_async, is_repeatable
from ._cookies import Cookies
from ._exceptions import LocalProtocolError, RequestNotRead
from ._fields import media_type_of
from ._headers import Headers
from ._multipart import get_multipart_boundary_from_content_type
from ._origins import (
    OF_THE_BODY,
    OF_THE_BYTES,
    may_keep_secrets,
    moved_extensions,
    moved_headers,
    moved_trailers,
    without,
)
from ._secrets import CUSTOM_CREDENTIALS
from ._types import (
    AsyncByteStream,
    CookieTypes,
    HeaderTypes,
    QueryParamTypes,
    RequestContent,
    RequestData,
    RequestExtensions,
    RequestFiles,
    SyncByteStream,
)
from ._urls import URL, url_of
from ._utils import LOWER, TOKEN

_NO_BODY = ByteStream(b"")
_new_headers = Headers.__new__
_BODY_METHODS = frozenset(("POST", "PUT", "PATCH", "QUERY"))
# Methods that a body has no meaning for (RFC 9110 9.3).
_BODILESS_METHODS = frozenset(("GET", "HEAD", "TRACE"))
_LINE_END = re.compile("[\r\n\0]")
_TOKEN = re.compile(TOKEN)


class Request:
    """
    An HTTP request, complete and ready to be sent.

    Args:
        method: such as "GET"; converted to upper case.
        url: absolute, unless the transport accepts other URLs.
        params: replaces the query of `url`.
        headers: sent in their order, after Host.
        cookies: sent as a Cookie header.
        content: the body: bytes, str, a file, or an iterable (sync or async) of bytes.
        data: form fields, sent urlencoded, or as parts of a multipart body when `files` are given.
        files: parts of a multipart body.
        json: any value that `json.dumps` accepts.
        stream: the body, unchanged; no header is added for it.
        extensions: for the transport: "timeout", "trace", "sni_hostname", "target", "informational",
            "expect_timeout".
        trailers: fields that are sent after the body, which is sent in chunks then. They are read when all of the body
            has been sent, so a generator that is the body may fill them. ASGI and WSGI apps do not get them.

    Raises:
        InvalidURL: `url` cannot be parsed.
        LocalProtocolError: the method or a header contains characters that cannot be sent; `trailers` together with a
            Content-Length.
        TypeError: arguments of the wrong type, or more than one kind of body; `trailers` without a body.
    """

    method: str
    url: URL
    headers: Headers
    extensions: dict[str, Any]
    stream: SyncByteStream | AsyncByteStream
    _content: bytes

    # What is sent after the body; as it was given, because it may be filled meanwhile.
    trailers: HeaderTypes | None = None
    # Cookies that the caller gave for this request alone; a redirect on the same origin keeps them.
    _own_cookies: Cookies | None = None
    # For an auth flow: the client's cookies, which know of each that a response has set whether it may be sent.
    _client_cookies: Cookies | None = None
    # The URL of the caller's request, if this one was made by a redirect or by an auth flow.
    _home: URL | None = None
    # What a copy must know: the client's private header fields, in lower case; whether the copy may have them although
    # it goes to another origin; for middleware the number of the call that it belongs to (`_flow.Layers`).
    _sensitive: frozenset[bytes] = frozenset(name.lower().encode() for name in CUSTOM_CREDENTIALS)
    _keeps_secrets: bool = False
    _call: int = 0
    # Whether the client reads the response for its caller, who did not ask for a stream; known to middleware.
    _is_read: bool = False
    # The client's hooks were called with the 1xx responses when these arrived.
    _told_interim: bool = False

    # Whether the whole response is read before the caller gets it; for transports without a network.
    _whole: bool

    def __init__(
        self,
        method: str,
        url: URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        content: RequestContent | None = None,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: Any | None = None,
        stream: SyncByteStream | AsyncByteStream | None = None,
        extensions: RequestExtensions | None = None,
        trailers: HeaderTypes | None = None,
    ) -> None:
        self._whole = False
        self.method = _checked_method(method)
        self.url = url_of(url) if params is None else URL(url, params=params)
        self.headers = Headers(headers)
        self.extensions = {} if extensions is None else own_extensions(extensions)
        if cookies:
            Cookies(cookies).set_cookie_header(self)
        if stream is not None:
            # The stream of another request (a redirect), whose headers describe it.
            self.stream = stream
            self.trailers = trailers
        elif content is None and data is None and files is None and json is None:
            if trailers is not None:
                raise TypeError("trailers need a body that they follow, such as content=")
            self._complete_headers({})
            self.stream = _NO_BODY
            self._content = b""
        else:
            boundary = get_multipart_boundary_from_content_type(self.headers._get(b"content-type"))
            body_headers, self.stream = encode_request(content, data, files, json, boundary)
            if files and boundary is None:
                self._complete_boundary(body_headers)
            if trailers is not None:
                self._announce(trailers, body_headers)
            self._complete_headers(body_headers)
            if isinstance(self.stream, ByteStream):
                self._content = self.stream.body

    @classmethod
    def _without_body(cls, method: str, url: URL, headers: Headers, extensions: dict[str, Any]) -> Request:
        """
        Return a request without a body, as the constructor builds it, for clients: in one frame, 1 us instead of 4.

        Args:
            method: upper case, a token.
            headers: copied, with Host and Content-Length: 0 added if needed.
            extensions: the request's own.
        """
        request = cls.__new__(cls)
        request.method = method
        request.url = url
        request.extensions = extensions
        request.stream = _NO_BODY
        request._content = b""
        request._whole = False
        index = headers._index or headers._make_index()
        host = url._host_field
        if b"host" in index:
            raw = _host_first(headers._raw)
        else:
            raw = [host, *headers._raw] if host[1] else headers._raw.copy()
        if method in _BODY_METHODS and b"content-length" not in index and b"transfer-encoding" not in index:
            raw.insert(1 if host[1] or b"host" in index else 0, (b"Content-Length", b"0"))
        if b"expect" in index:
            raw = [field for field in raw if not _is_expectation(field)]
        request.headers = own = _new_headers(Headers)
        own._raw = raw
        own._index = None
        own._encoding = headers._encoding
        return request

    def _complete_boundary(self, body_headers: Mapping[str, str]) -> None:
        """Add the boundary to the caller's Content-Type if it is multipart/form-data without parameters."""
        given = self.headers.get("content-type", "")
        if media_type_of(given) == "multipart/form-data":
            _, _, parameters = body_headers["Content-Type"].partition(";")
            self.headers["Content-Type"] = f"{given.rstrip('; ')};{parameters}"

    def _announce(self, trailers: HeaderTypes, body_headers: dict[str, str]) -> None:
        """
        Note the trailers, and let the body be sent in chunks: over HTTP/1.1, only those have an end for trailers.

        The names that are known by now are announced (RFC 9110 6.6.2).
        """
        if self.headers._has(b"content-length"):
            raise LocalProtocolError("trailers cannot follow a body with a Content-Length: they need it in chunks")
        body_headers.pop("Content-Length", None)
        body_headers["Transfer-Encoding"] = "chunked"
        names = list(Headers(trailers))
        if names:
            self.headers.setdefault("Trailer", ", ".join(names))
        self.trailers = trailers

    def _complete_headers(self, body_headers: Mapping[str, str] | None) -> None:
        """Add Host first, then Content-Length: 0 for an expected but absent body, then the fields of the body."""
        headers = self.headers
        if (not body_headers or body_headers.get("Content-Length") == "0") and headers._has(b"expect"):
            headers._raw = [field for field in headers._raw if not _is_expectation(field)]
            headers._index = None
        if body_headers:
            # A caller who sets one of the two framing fields has chosen the framing: both together are illegal.
            framed = headers._has(b"content-length") or headers._has(b"transfer-encoding")
            for name, value in body_headers.items():
                if not (framed and name in ("Content-Length", "Transfer-Encoding")):
                    headers.setdefault(name, value)
        raw = headers._raw
        hosted = headers._has(b"host") or bool(self.url.host)
        if headers._has(b"host"):
            raw = _host_first(raw)
        elif hosted:
            raw = [self.url._host_field, *raw]
        if (
            self.method in _BODY_METHODS
            and not headers._has(b"content-length")
            and not headers._has(b"transfer-encoding")
        ):
            raw = [*raw[:hosted], (b"Content-Length", b"0"), *raw[hosted:]]
        self.headers = Headers._from_raw(raw, headers._encoding)

    def copy_with(
        self,
        *,
        method: str | None = None,
        url: URL | str | None = None,
        headers: HeaderTypes | None = None,
        content: RequestContent | UnsetType | None = UNSET,
        keep_secrets: bool = False,
    ) -> Request:
        """
        Return a new request that differs in what is given; for middleware.

        To another origin it does not take along what a redirect would not (RFC 9110 15.4): Authorization, Cookie,
        Proxy-Authorization and the client's `sensitive_headers`. Host is that of the new URL. A user name and password
        in the new URL are not sent: give an Authorization header.

        Args:
            method: GET, HEAD and TRACE leave the body out, unless `content` is given.
            url: a relative one is joined to the request's.
            headers: added, in place of those with the same names; also private ones, to any origin.
            content: another body, with the same Content-Type; None for no body, which removes all fields about it.
            keep_secrets: the new URL's origin is trusted like the first: private headers and cookies are sent to it,
                and the client's authentication goes on there.

        Raises:
            InvalidURL, LocalProtocolError, TypeError: as for the constructor.
        """
        there = self.url if url is None else self.url.join(url)
        method = self.method if method is None else _checked_method(method)
        if content is UNSET and method != self.method and method in _BODILESS_METHODS:
            content = None
        same_origin = self.url._origin == there._origin
        kept = moved_headers(self.headers, self.url, there, self._sensitive, keep_secrets)
        if content is not UNSET:
            without(kept, OF_THE_BODY if content is None else OF_THE_BYTES)
        kept.update(headers)
        extensions = dict(self.extensions) if url is None else moved_extensions(self.extensions, same_origin)
        stream = self.stream if content is UNSET else None
        body: Any = None if content is UNSET else content
        copied = Request(method, there, headers=kept, content=body, stream=stream, extensions=extensions)
        if stream is not None and "_content" in self.__dict__:
            copied._content = self._content
            if not self._content:
                copied._complete_headers(None)
        if content is UNSET:
            copied.trailers = moved_trailers(self.trailers, self.url, there, self._sensitive, keep_secrets)
        copied._whole, copied._call, copied._sensitive = self._whole, self._call, self._sensitive
        copied._keeps_secrets = keep_secrets or (self._keeps_secrets and may_keep_secrets(self.url, there))
        # Where cookies without a domain may be sent by a redirect from there.
        copied._home = there if keep_secrets and not same_origin else self._home or self.url
        if self._own_cookies is not None and (same_origin or keep_secrets):
            copied._own_cookies = self._own_cookies
        return copied

    @property
    def is_replayable(self) -> bool:
        """
        Return whether the body can be sent any number of times.

        True for no body, bytes, text, JSON, forms, a list, files that can seek, and multipart bodies of these. False
        for generators, pipes and streams of a class of your own.
        """
        return is_repeatable(self.stream)

    @property
    def content(self) -> bytes:
        """
        Return the whole body.

        Raises:
            RequestNotRead: it is an unread stream; call `read()` or `await aread()`.
        """
        try:
            return self._content
        except AttributeError:
            raise RequestNotRead() from None

    def read(self) -> bytes:
        """Read the body into memory and return it; it can then be sent any number of times."""
        if hasattr(self, "_content"):
            return self._content
        if not isinstance(self.stream, Iterable):
            raise RuntimeError("the body of this request is an async stream: use `await request.aread()`")
        return self._keep(b"".join(self.stream))

    async def aread(self) -> bytes:
        """Read an async or sync body into memory and return it, like `read`."""
        if hasattr(self, "_content"):
            return self._content
        return self._keep(b"".join([piece async for piece in in_async(self.stream)]))

    def _keep(self, body: bytes) -> bytes:
        self._content = body
        if not isinstance(self.stream, ByteStream):
            self.stream = ByteStream(body)
        return body

    def to_curl(self, *, mask: bool = True) -> str:
        """
        Return a command of curl that sends this request, for a POSIX shell.

        What curl sends is the same, but for the place of Content-Length and for spaces around the values of fields. The
        command is safe to paste: every byte is quoted, and those that are not printable are written as `$'\\101'`.

        Args:
            mask: write "***" for credentials, cookies, the `sensitive_headers` of the client that built the request,
                and what else has the name of a secret in the URL, in header fields, and in a body that is a form or
                JSON.

        Raises:
            RequestNotRead: the body is an unread stream; call `read()` or `await aread()`.
            ValueError: the URL is not absolute.
        """
        from ._curl import to_curl

        return to_curl(self, mask=mask)

    @classmethod
    def from_curl(cls, command: str, *, files: bool = False) -> Request:
        """
        Return the request that a command of curl sends.

        Its header fields are those of the command, and what curl adds: `Accept: */*`, and the User-Agent of this
        library in place of curl's. The extensions "timeout", "proxy" and "target" come from -m, --connect-timeout, -x
        and --request-target. Options about the response, redirects or trust (-o, -L, -k, ...) are a client's, and left
        out.

        Args:
            command: as typed or copied from a browser or from Postman; for bash, or for cmd of Windows. No shell runs,
                so a variable or a pipe is an error.
            files: read the files that the command names (`-d @FILE`, -F, -T, `-b FILE`, -K, -n). By default no file is
                read, so that a command from elsewhere cannot send one.

        Raises:
            ValueError: an option is unknown, or says what a request cannot (--unix-socket, --resolve, --cert,
                --digest, ...); a file would have to be read; curl would make several requests of it.
            InvalidURL, LocalProtocolError: the URL or a header field is invalid.
            OSError: a file cannot be read.
        """
        from ._curl import from_curl

        return from_curl(command, files=files)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.method!r}, {self.url._redacted()!r})>"

    def __getstate__(self) -> dict[str, Any]:
        left = ("extensions", "stream", "_call", "_client_cookies")
        return {name: value for name, value in self.__dict__.items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.extensions = {}
        self.stream = ByteStream(self._content) if "_content" in state else UnattachedStream()


def _checked_method(method: str | bytes) -> str:
    if isinstance(method, bytes):
        method = method.decode("ascii", "replace")
    if not isinstance(method, str):
        raise TypeError(f"method is {type(method).__name__}, expected str")
    if _TOKEN.fullmatch(method) is None:
        raise LocalProtocolError(f"method {method[:20]!r} is not a token (letters, digits and !#$%&'*+-.^_`|~)")
    return method.upper()


def _host_first(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the same fields, with the caller's Host first, where servers look for it (RFC 9110 7.2)."""
    return sorted(fields, key=_is_not_host)


def _is_not_host(field: tuple[bytes, bytes]) -> bool:
    return LOWER[field[0]] != b"host"


def _is_expectation(field: tuple[bytes, bytes]) -> bool:
    """Return whether a field is Expect: 100-continue, which a request without content must not have (9110 10.1.1)."""
    return LOWER[field[0]] == b"expect" and field[1].lower() == b"100-continue"


def without_expectation(request: Request) -> Request | None:
    """
    Return a copy of a request without Expect: 100-continue, for a server that refused that (RFC 9110 10.1.1).

    None if the request has no such field, or if its body was sent and cannot be sent again.
    """
    kept = [field for field in request.headers._raw if not _is_expectation(field)]
    can_begin = getattr(request.stream, "_can_begin", None)
    if len(kept) == len(request.headers._raw) or not (can_begin is None or can_begin()):
        return None
    copied = request.copy_with()
    copied.headers = Headers._from_raw(kept, request.headers._encoding)
    return copied


def own_extensions(extensions: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a copy of the extensions that were given with a request.

    A "target" is checked here and not only where it is sent, so that every transport can rely on it.

    Raises:
        TypeError: not a mapping, a target that is neither str nor bytes, or an "expect_timeout" that is not a number.
        ValueError: a negative "expect_timeout".
        LocalProtocolError: a target that would end the request line.
    """
    copied = copied_extensions(extensions)
    target = copied.get("target", b"")
    if not isinstance(target, (bytes, str)):
        raise TypeError(f"the extension 'target' must be bytes or str, got {type(target).__name__}")
    found = _LINE_END.search(target if isinstance(target, str) else target.decode("latin-1"))
    if found is not None:
        raise LocalProtocolError(f"the extension 'target' holds {found[0]!r} at position {found.start()}")
    seconds = copied.get("expect_timeout")
    if seconds is not None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"the extension 'expect_timeout' must be seconds or None, got {type(seconds).__name__}")
        if not seconds >= 0:
            raise ValueError(f"the extension 'expect_timeout' must not be negative, got {seconds!r}")
    return copied


def copied_extensions(extensions: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(extensions, Mapping):
        raise TypeError(f"extensions must be a mapping, got {type(extensions).__name__}")
    return dict(extensions)
