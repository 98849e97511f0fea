"""
The request that follows a redirect (RFC 9110 15.4).

`Client` has these functions as methods of the same names, which subclasses may override:

    location_of(response)                        -> the one Location, or None
    redirect_method(request, response)           -> the method
    redirect_url(request, response)              -> the URL
    redirect_headers(request, url, method, ...)  -> the header fields, without those for the first origin
    redirect_stream(request, method)             -> the body
    redirected(...)                              -> the request built from these, with the cookies for its URL

If a redirect leads to another origin, the fields for the first origin are removed:
Authorization, Cookie, Proxy-Authorization, and the client's `sensitive_headers`.

Not here: when a redirect is followed (`_flow`), what another origin must not get (`_origins`).
"""

from __future__ import annotations

from collections.abc import Iterable

from ._bytestreams import AsyncByteStream, SyncByteStream
from ._content import ByteStream
from ._cookies import Cookies
from ._exceptions import InvalidURL, RemoteProtocolError
from ._headers import Headers
from ._origins import OF_THE_BODY, may_keep_secrets, moved_extensions, moved_headers, moved_trailers, without
from ._request import Request
from ._response import Response
from ._urlparse import DEFAULT_PORTS
from ._urls import URL, url_of


def location_of(response: Response) -> str | None:
    """
    Return the value of the Location field, or None if it is absent or empty. Two equal fields count as one.

    Raises:
        RemoteProtocolError: there are two different fields.
    """
    values = dict.fromkeys(response.headers.get_list("location"))
    if len(values) > 1:
        raise RemoteProtocolError("the response has two different Location headers", request=response._request)
    return next(iter(values), None) or None


def redirect_method(request: Request, response: Response) -> str:
    """
    Return the method that browsers use: GET after a 303 and a 302, and after a 301 that responds to a POST.

    QUERY becomes GET after a 303 only: with a body it is as safe to repeat as a GET is.
    """
    method, status = request.method, response.status_code
    if method in ("HEAD", "GET"):
        return method
    if status == 303 or (status == 302 and method != "QUERY") or (status == 301 and method == "POST"):
        return "GET"
    return method


def redirect_url(request: Request, response: Response) -> URL:
    """
    Return the URL of the Location field.

    A Location without a host (`https:/path`, `http:page`) is relative to the request's URL, as `URL.join` reads it; its
    scheme counts.

    Raises:
        RemoteProtocolError: it is not a valid URL.
    """
    location = location_of(response) or ""
    try:
        url = url_of(location)
        if url.scheme in ("", request.url.scheme):
            url = request.url.join(url)
        elif not url.host and url.scheme in DEFAULT_PORTS:
            url = request.url.copy_with(scheme=url.scheme, port=None).join(url.copy_with(scheme=None))
        elif not url.host and not url.raw_path.startswith(b"/"):
            raise InvalidURL(f"the scheme {url.scheme[:20]!r} cannot be followed")
    except InvalidURL as exc:
        raise RemoteProtocolError(f"invalid URL in Location header: {exc}", request=request) from None
    if request.url.fragment and not url.fragment:
        url = url.copy_with(fragment=request.url.fragment)
    return url


def redirect_headers(request: Request, url: URL, method: str, sensitive: Iterable[bytes] = ()) -> Headers:
    """
    Return the header fields of the next request. Cookie is not included: the cookies may have changed.

    Args:
        sensitive: lower-case names of fields that are as private as Authorization.
    """
    headers = moved_headers(request.headers, request.url, url, sensitive)
    without(headers, [b"cookie"])
    if method != request.method:
        without(headers, OF_THE_BODY)
    return headers


def redirect_stream(request: Request, method: str) -> SyncByteStream | AsyncByteStream | None:
    """Return the body of the next request: the same one, or None if the method became GET."""
    return request.stream if method == request.method else None


def redirected(
    request: Request,
    url: URL,
    method: str,
    headers: Headers,
    stream: SyncByteStream | AsyncByteStream | None,
    cookies: Cookies,
    base: URL | None = None,
) -> Request:
    """
    Return the next request.

    Its body is the same stream; if that cannot be sent again, sending raises `StreamConsumed`.

    Args:
        request: the redirected request; the other arguments belong to the next one.
        cookies: the client's. Those without a domain are sent only to the origin of the caller's request.
        base: and, if given, to the origin of this URL.
    """
    same_origin = request.url._origin == url._origin
    extensions = moved_extensions(request.extensions, same_origin)
    stream = ByteStream(b"") if stream is None else stream
    following = Request(method, url, headers=headers, stream=stream, extensions=extensions)
    if type(stream) is ByteStream:
        following._content = stream.body
    if method == request.method:
        following.trailers = moved_trailers(request.trailers, request.url, url, request._sensitive)
    home = request._home or request.url
    following._home = home
    is_home = may_keep_secrets(home, url)
    own = request._own_cookies if is_home and same_origin else None
    if own is not None:
        following._own_cookies = own
    if (own is not None or cookies._jar is not None) and not following.headers._has(b"cookie"):
        is_allowed = base is None or may_keep_secrets(base, url)
        line = cookies._line_for(url, own, everywhere=is_home and is_allowed)
        if line is not None:
            following.headers["Cookie"] = line
    return following
