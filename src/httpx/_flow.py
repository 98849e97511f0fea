"""
The journey of one request, as a generator without I/O.

`journey` says what is to be done next, and is sent the outcome; a driver (`Client`, `AsyncClient`) does it:

    step          value               outcome
    SEND          request             its response; its body need not have arrived
    AUTH_BEGIN    (auth, request)     the request to send first
    AUTH_NEXT     response            another request that the auth flow wants sent, or None
    HOOK_REQUEST  request             -
    HOOK_INTERIM  response            -        (a 1xx answer)
    HOOK_ANSWER   response            -
    DRAIN         response            -        (nobody asked for its body: take it off the wire)
    CLOSE         response            -

    cookies ─► auth ─► hooks ─► SEND ─► cookies ─► hooks ─► redirect? ─► auth again? ─► done

Where a redirect leads to another origin, what the caller meant for the first one ends: Authorization, Cookie,
Proxy-Authorization, the headers that the client calls sensitive, and the auth flow; also if a later redirect comes
back.

Not here: doing any of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from ._auth import Auth
from ._content import ByteStream
from ._cookies import Cookies
from ._exceptions import InvalidURL, RemoteProtocolError, TooManyRedirects
from ._headers import Headers
from ._request import Request
from ._response import Response
from ._secrets import CREDENTIALS
from ._urls import URL, url_of

SEND, AUTH_BEGIN, AUTH_NEXT, HOOK_REQUEST, HOOK_INTERIM, HOOK_ANSWER, DRAIN, CLOSE = range(8)

Step = tuple[int, Any]

# Describe a body, and go with it (Fetch, 4.4 step 12).
_OF_THE_BODY = (
    b"content-length",
    b"transfer-encoding",
    b"content-type",
    b"content-encoding",
    b"content-language",
    b"content-location",
)
# Extensions that were meant for one URL.
_OF_THE_URL = ("target", "sni_hostname")


class Policy:
    """
    What a client was told about the journeys of its requests.

    Args:
        cookies: the client's, sent and extended at every step.
        max_redirects: more than so many responses on the way are an error.
        sensitive: lower-case names of headers that are as private as Authorization.
        hooked: are there event hooks?
    """

    __slots__ = ("cookies", "hooked", "max_redirects", "sensitive")

    def __init__(self, cookies: Cookies, max_redirects: int, sensitive: frozenset[bytes], hooked: bool) -> None:
        self.cookies = cookies
        self.max_redirects = max_redirects
        self.sensitive = sensitive
        self.hooked = hooked


def journey(
    request: Request, auth: Auth | None, follow_redirects: bool, policy: Policy, first: Response | None = None
) -> Generator[Step, Any, Response]:
    """
    The steps of one request, up to its last response, which is the generator's value.

    `first` is the response to `request`, if that was sent already.

    Raises (from the generator):
        TooManyRedirects, RemoteProtocolError: a redirect that cannot be followed.
        Whatever a step raised; the response that was at hand is closed before.
    """
    history: list[Response] = []
    response: Response | None = None
    home = request.url
    caller = request
    if auth is not None:
        request = yield AUTH_BEGIN, (auth, request)
    asked = request  # where this chain of redirects began
    try:
        while True:
            if len(history) > policy.max_redirects:
                raise TooManyRedirects(f"more than {policy.max_redirects} redirects", request=request)
            if first is not None:
                response, first = first, None
            else:
                if policy.hooked:
                    yield HOOK_REQUEST, request
                response = yield SEND, request
            policy.cookies.extract_cookies(response)
            if policy.hooked:
                for interim in _interim(response, request):
                    yield HOOK_INTERIM, interim
                yield HOOK_ANSWER, response
            if history:
                response.history = history.copy()
            following: Request | None = None
            if 300 <= response.status_code <= 399 and response.has_redirect_location:
                if not follow_redirects:
                    response.next_request = _next_request(request, response, policy, home)
                else:
                    following = redirected(request, response, policy, home)
                    if asked is caller and not _may_keep_secrets(request.url, following.url):
                        # A chain that the auth flow began itself (for a token) is its own business: without the answer
                        # it would never send the caller's request.
                        auth = None
            if following is None and auth is not None:
                following = asked = yield AUTH_NEXT, response
            if following is None:
                return response
            yield DRAIN, response
            history.append(response)
            is_signed_anew = auth is not None and auth._signs_target and asked is caller and following is not asked
            request, response = following, None
            if is_signed_anew:
                # A redirect on the same origin: what was signed for the first target is not valid for this one.
                caller = following
                request = asked = yield AUTH_BEGIN, (auth, following)
    except GeneratorExit:
        raise  # the driver is gone, and nobody would carry out a step
    except BaseException:
        if response is not None:
            yield CLOSE, response
        raise


def _interim(response: Response, request: Request) -> list[Response]:
    """The 1xx answers that came before `response`."""
    answers = response.extensions.get("informational", ())
    return [Response(status, headers=fields, request=request) for status, fields in answers]


def _next_request(request: Request, response: Response, policy: Policy, origin: URL) -> Request | None:
    """The request that a redirect asks for; None if it leads nowhere, which harms nobody who does not follow it."""
    try:
        return redirected(request, response, policy, origin)
    except RemoteProtocolError:
        return None


def redirected(request: Request, response: Response, policy: Policy, origin: URL) -> Request:
    """
    The request that a redirect asks for.

    Args:
        request: the one that `response` belongs to.
        origin: the URL of the caller's request; cookies that the caller gave without a domain stay with its origin.

    Its body is the same stream; where that cannot be sent again, sending it raises `StreamConsumed`.

    Raises:
        RemoteProtocolError: the Location is no URL.

    RFC 9110 15.4.
    """
    method = _redirect_method(request.method, response.status_code)
    url = _redirect_url(request, response)
    headers = request.headers.copy()
    same_origin = request.url._origin == url._origin
    if not _may_keep_secrets(request.url, url):
        # Never sent to another origin than the one that they were given for (RFC 9110 15.4, CVE-2024-45336).
        _remove(headers, [*CREDENTIALS, *policy.sensitive])
    if not same_origin:
        _remove(headers, [b"host"])
        headers = Headers._from_raw([url._host_field, *headers._raw], headers._encoding)
    # The cookies may have changed with this very answer: the jar says which belong to the new URL.
    _remove(headers, [b"cookie"])
    stream = request.stream
    if method != request.method:
        _remove(headers, _OF_THE_BODY)
        stream = ByteStream(b"")
    extensions = {
        name: value
        for name, value in request.extensions.items()
        if name not in _OF_THE_URL or (same_origin and name != "target")
    }
    following = Request(method, url, headers=headers, stream=stream, extensions=extensions)
    if type(stream) is ByteStream:
        following._content = stream.body
    is_home = _may_keep_secrets(origin, url)
    own = request._own_cookies if is_home and same_origin else None
    if own is not None:
        following._own_cookies = own
    if own is not None or policy.cookies._jar is not None:
        line = policy.cookies._line_for(url, own, everywhere=is_home)
        if line is not None:
            following.headers["Cookie"] = line
    return following


def _redirect_method(method: str, status: int) -> str:
    """What browsers do: a 303 becomes a GET, so does a 302, and a 301 that answers a POST."""
    if method == "HEAD" or method == "GET":
        return method
    if status in (302, 303) or (status == 301 and method == "POST"):
        return "GET"
    return method


def _redirect_url(request: Request, response: Response) -> URL:
    location = response.headers["location"]
    try:
        url = url_of(location)
        if url.scheme and not url.host:
            # Some servers write "https:/path"; the host they mean is their own.
            url = url.copy_with(host=request.url.host)
        if url.is_relative_url:
            url = request.url.join(url)
    except InvalidURL as exc:
        raise RemoteProtocolError(f"the redirect's Location is no URL: {exc}", request=request) from None
    if request.url.fragment and not url.fragment:
        url = url.copy_with(fragment=request.url.fragment)
    return url


def _may_keep_secrets(here: URL, there: URL) -> bool:
    """The same origin, or the step up from http to https on the same host and the default ports."""
    if here._origin == there._origin:
        return True
    return (
        here._origin[1] == there._origin[1]
        and here._origin[::2] == ("http", 80)
        and there._origin[::2] == ("https", 443)
    )


def _remove(headers: Headers, names: Iterable[bytes]) -> None:
    for name in names:
        if headers._has(name):
            del headers[name.decode("ascii")]
