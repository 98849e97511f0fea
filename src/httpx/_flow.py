"""
The journey of one request, as a generator without I/O.

`journey` yields the next step and is sent its outcome; a driver (`Client`, `AsyncClient`) carries the step out:

    step          value               outcome
    SEND          request             its response; its body need not have arrived
    AUTH_BEGIN    (auth, request)     the request to send first
    AUTH_NEXT     response            another request that the auth flow wants sent, or None
    HOOK_REQUEST  request             -
    HOOK_INTERIM  response            -        (a 1xx response)
    HOOK_RESPONSE response            -
    DRAIN         response            -        (its body is not wanted: read and drop it)
    CLOSE         response            -

    cookies ─► auth ─► hooks ─► SEND ─► cookies ─► hooks ─► redirect? ─► auth again? ─► done

When a redirect leads to another origin, the auth flow ends and stays ended, even if a later redirect comes back.

Not here: I/O; the request that follows a redirect (`_redirects`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Callable

from ._auth import Auth
from ._cookies import Cookies
from ._exceptions import RemoteProtocolError, TooManyRedirects
from ._redirects import location_of, may_keep_secrets
from ._request import Request
from ._response import Response

SEND, AUTH_BEGIN, AUTH_NEXT, HOOK_REQUEST, HOOK_INTERIM, HOOK_RESPONSE, DRAIN, CLOSE = range(8)

Step = tuple[int, Any]


class Policy:
    """
    A client's settings for the journeys of its requests.

    Args:
        cookies: the client's, sent and updated at every step.
        max_redirects: more redirects than this are an error.
        redirect: builds the request that follows a redirect; raises RemoteProtocolError if that is not possible.
        hooked: whether there are event hooks.
    """

    __slots__ = ("cookies", "hooked", "max_redirects", "redirect")

    def __init__(
        self,
        cookies: Cookies,
        max_redirects: int,
        redirect: Callable[[Request, Response], Request],
        hooked: bool,
    ) -> None:
        self.cookies = cookies
        self.max_redirects = max_redirects
        self.redirect = redirect
        self.hooked = hooked


def journey(
    request: Request, auth: Auth | None, follow_redirects: bool, policy: Policy, first: Response | None = None
) -> Generator[Step, Any, Response]:
    """
    Yield the steps of one request, up to its last response, which is the generator's return value.

    `first` is the response to `request`, if that was sent already.

    Raises (from the generator):
        TooManyRedirects, RemoteProtocolError: a redirect that cannot be followed.
        Any exception of a step; the current response is closed first.
    """
    history: list[Response] = []
    response: Response | None = None
    home = request.url
    caller = request
    if auth is not None:
        request = yield AUTH_BEGIN, (auth, request)
        if request is not caller:
            request._home = home
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
                yield HOOK_RESPONSE, response
            if history:
                response.history = history.copy()
            following: Request | None = None
            if 300 <= response.status_code <= 399 and response.has_redirect_location:
                if not follow_redirects:
                    response.next_request = _next_request(request, response, policy)
                elif location_of(response) is not None:
                    following = policy.redirect(request, response)
                    if asked is caller and not may_keep_secrets(request.url, following.url):
                        # A chain that the auth flow began itself (for a token) is not checked here: without the
                        # response it would never send the caller's request.
                        auth = None
            if following is None and auth is not None:
                following = asked = yield AUTH_NEXT, response
                if asked is not None and asked is not caller:
                    asked._home = home
            if following is None:
                return response
            yield DRAIN, response
            history.append(response)
            is_signed_anew = auth is not None and auth._signs_target and asked is caller and following is not asked
            request, response = following, None
            if is_signed_anew:
                # A redirect on the same origin: a signature for the first target is not valid for this one.
                caller = following
                request = asked = yield AUTH_BEGIN, (auth, following)
    except GeneratorExit:
        raise  # the driver has stopped, and would not carry out a step
    except BaseException:
        if response is not None:
            yield CLOSE, response
        raise


def _interim(response: Response, request: Request) -> list[Response]:
    """Return the 1xx responses that came before `response`."""
    interim = response.extensions.get("informational", ())
    return [Response(status, headers=fields, request=request) for status, fields in interim]


def _next_request(request: Request, response: Response, policy: Policy) -> Request | None:
    """Return the request that follows a redirect, or None: an invalid redirect that is not followed is not an error."""
    try:
        return None if location_of(response) is None else policy.redirect(request, response)
    except RemoteProtocolError:
        return None
