"""
The journey of one request, as a generator without I/O.

`journey` yields the next step and is sent its outcome; a driver (`Client`, `AsyncClient`) carries the step out:

    step          value               outcome
    SEND          request             its response; its body need not have arrived
    AUTH_BEGIN    (auth, request)     the request to send first
    AUTH_NEXT     response            another request that the auth flow wants sent, or None
    HOOK_REQUEST  request             -
    HOOK_INTERIM  response            -        (a 1xx response of a transport that does not tell when it arrives)
    HOOK_RESPONSE response            -
    DRAIN         response            -        (its body is not wanted: read and drop it)
    CLOSE         response            -
    PAUSE         seconds             -
    READ          response            its body, read whole
    CALL          (function, arguments, whether it blocks)   the function's result
    WAIT          (latch, seconds)    whether the latch is set

    cookies ─► auth ─► hooks ─► middleware ─► SEND ─► cookies ─► hooks ─► redirect? ─► auth again? ─► done

A 417 to a request with Expect: 100-continue, after the hooks, has the request repeated without Expect.

When a redirect leads to another origin, the auth flow ends and stays ended, even if a later redirect comes back.

`through` is the middleware's part of it: a generator for each layer, whose steps are yielded on to the driver. It
sees every request that is sent, those of redirects and of auth flows too, and never the call as a whole. The last four
kinds of steps are those of `_steps`.

Not here: I/O; the request that follows a redirect (`_redirects`); what may be a middleware (`_middleware`).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from itertools import count
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._auth import Auth
from ._cookies import Cookies
from ._exceptions import HTTPError, RemoteProtocolError, RequestError, StreamError, TooManyRedirects
from ._origins import may_keep_secrets
from ._redirects import location_of
from ._request import Request, without_expectation
from ._response import Response
from ._steps import Step

if TYPE_CHECKING:
    from ._middleware import Layer

SEND, AUTH_BEGIN, AUTH_NEXT, HOOK_REQUEST, HOOK_INTERIM, HOOK_RESPONSE, DRAIN, CLOSE = range(8)

Order = tuple[int, Any]

# Numbers of calls: see `Layers.enlist`.
_calls = count(1)


class Layers:
    """
    The middleware that the requests of one call pass, and what these requests share.

    Args:
        middleware: checked, outermost first.
        timeout: of the call; for requests that have none.
        deadline: of the call, on the clock of `_clock`; None if there is no total timeout.
        sensitive: lower-case names of the client's private header fields.
        adapt: applies the client's settings to a response that a middleware made; None if there are none.
        is_read: whether the client reads the last response for its caller.
    """

    __slots__ = ("adapt", "deadline", "is_read", "middleware", "number", "sensitive", "timeout")

    def __init__(
        self,
        middleware: tuple[Layer, ...],
        timeout: Optional[Mapping[str, Any]] = None,
        deadline: Optional[float] = None,
        sensitive: frozenset[bytes] = frozenset(),
        adapt: Optional[Callable[[Response], None]] = None,
        is_read: bool = False,
    ) -> None:
        self.middleware = middleware
        self.is_read = is_read
        self.timeout = timeout
        self.deadline = deadline
        self.sensitive = sensitive
        self.adapt = adapt
        self.number = next(_calls)

    def enlist(self, request: Request) -> None:
        """Give a request, which may be a middleware's own, what all of this call have."""
        request._call = self.number
        request._is_read = self.is_read
        request._sensitive = self.sensitive
        extensions = request.extensions
        if self.timeout is not None and "timeout" not in extensions:
            extensions["timeout"] = self.timeout
        if self.deadline is not None:
            extensions["deadline"] = self.deadline

    def adopted(self, response: Response, request: Request) -> Response:
        """
        Return a response that a middleware returned as one to `request`; as it is if it was received in this call.

        One that was kept from another call has that call's request, with its credentials: no redirect must go on from
        there. Unless its body is still to come it may be kept for others, so it is a copy that gets the request, and it
        has nothing of the other call: no redirects, no attempts.
        """
        if response._request is not None and response._request._call == self.number:
            return response
        if response.is_closed or hasattr(response, "_content"):
            kept, response = response, object.__new__(type(response))
            response.__dict__.update(kept.__dict__)
            response.history = []
            response.next_request, response.attempts = None, ()
        response._request = request
        if response._seconds is None:
            response._seconds = 0.0
        if self.adapt is not None:
            self.adapt(response)
        return response


class Policy:
    """
    A client's settings for the journeys of its requests.

    Args:
        cookies: the client's, sent and updated at every step.
        max_redirects: more redirects than this are an error.
        redirect: builds the request that follows a redirect; raises RemoteProtocolError if that is not possible.
        hooked: whether there are event hooks.
        layers: the middleware, if there is any.
    """

    __slots__ = ("cookies", "hooked", "layers", "max_redirects", "redirect")

    def __init__(
        self,
        cookies: Cookies,
        max_redirects: int,
        redirect: Callable[[Request, Response], Request],
        hooked: bool,
        layers: Optional[Layers] = None,
    ) -> None:
        self.layers = layers
        self.cookies = cookies
        self.max_redirects = max_redirects
        self.redirect = redirect
        self.hooked = hooked


def journey(
    request: Request, auth: Auth | None, follow_redirects: bool, policy: Policy, first: Response | None = None
) -> Generator[Order, Any, Response]:
    """
    Yield the steps of one request, up to its last response, which is the generator's return value.

    `first` is the response to `request`, if that was sent already.

    Raises (from the generator):
        TooManyRedirects, RemoteProtocolError: a redirect that cannot be followed.
        Any exception of a step; the current response is closed first.

    Long because the order of what happens to a request is to be seen in one place.
    """
    history: list[Response] = []
    response: Response | None = None
    following: Request | None = None
    home = request.url
    caller = request
    if auth is not None:
        request._client_cookies = policy.cookies
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
                if policy.layers is None:
                    response = yield SEND, request
                else:
                    policy.layers.enlist(request)
                    response = yield from through(policy.layers, request)
                    sent = response._request
                    if sent is not None and sent is not request:  # a middleware's own
                        if asked is caller and not (sent._keeps_secrets or may_keep_secrets(request.url, sent.url)):
                            auth = None
                        request = sent
            policy.cookies.extract_cookies(response)
            if policy.hooked:
                for interim in _interim(response, request):
                    yield HOOK_INTERIM, interim
                yield HOOK_RESPONSE, response
            if response.status_code == 417:
                following = without_expectation(request)
                if following is not None:
                    yield DRAIN, response
                    request, response = following, None
                    continue
            if history:
                response.history = history.copy()
            following = None
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
                caller._client_cookies = policy.cookies
                request = asked = yield AUTH_BEGIN, (auth, following)
    except GeneratorExit:
        raise  # the driver has stopped, and would not carry out a step
    except BaseException:
        if response is not None:
            yield CLOSE, response
        raise


def through(layers: Layers, request: Request, depth: int = 0) -> Generator[Order, Any, Response]:
    """
    Yield the steps of a request's way through the middleware from `depth` on, and return the response.

    The request is enlisted. A response that a middleware does not return is drained before the next request is sent, or
    when the middleware returns; it is closed if the middleware raises.

    Raises (from the generator):
        TypeError: a middleware yielded or returned something else than it may.
        RuntimeError: a middleware yielded after an exception that is not an `Exception`.
        Any exception of a middleware or of a step.
    """
    layer = layers.middleware[depth]
    depth += 1
    is_last = depth == len(layers.middleware)
    response: Optional[Response] = None
    try:
        steps: Any = layer(request)
        if type(steps) is not GeneratorType and not isinstance(steps, Generator):
            raise _messages().not_a_generator(layer, steps)
        asked = next(steps)
        while True:
            try:
                if isinstance(asked, Request):
                    if response is not None:
                        dropped, response = response, None
                        yield from _discarded(dropped)
                    if asked is not request:
                        layers.enlist(asked)
                    outcome: Any = (yield SEND, asked) if is_last else (yield from through(layers, asked, depth))
                    response = outcome
                elif isinstance(asked, Step):
                    outcome = yield asked._kind, asked._value
                else:
                    raise _messages().not_a_step(layer, asked)
            except Exception as exc:
                asked = steps.throw(exc)
            except BaseException as exc:
                _wind_up(layer, steps, exc)
                raise
            else:
                asked = steps.send(outcome)
    except StopIteration as stop:
        returned = stop.value
    except GeneratorExit:
        raise  # the driver has stopped, and would not carry out a step
    except BaseException as exc:
        if isinstance(exc, HTTPError) and exc._request is None:
            exc.request = request
        if response is not None:
            yield CLOSE, response
        raise
    if response is not None and returned is response:
        return response
    if response is not None:
        yield from _discarded(response)
    if not isinstance(returned, Response):
        raise _messages().not_a_response(layer, returned)
    return layers.adopted(returned, request)


def _discarded(response: Response) -> Generator[Order, Any, None]:
    """Yield the steps for a response that is not wanted. That its body is broken is no error then."""
    try:
        yield DRAIN, response
    except GeneratorExit:
        raise
    except BaseException as exc:
        yield CLOSE, response
        if not isinstance(exc, (RequestError, StreamError)):
            raise


def _wind_up(layer: Layer, steps: Any, exc: BaseException) -> None:
    """
    Let a middleware clean up after a cancellation or an interruption, which is raised again after this.

    Raises:
        RuntimeError: it wants to go on.
        Any other exception of the middleware.
    """
    try:
        try:
            steps.throw(exc)
        except StopIteration:
            return
        steps.close()
        raise _messages().not_over(layer, exc) from exc
    finally:
        del exc  # its traceback holds this frame


def _messages() -> Any:
    """Return the module that knows what to say: loaded by then, because a client was given middleware."""
    from . import _middleware

    return _middleware


def _interim(response: Response, request: Request) -> list[Response]:
    """Return the 1xx responses that came before `response`, unless the hooks were called when they arrived."""
    if request._told_interim:
        return []
    interim = response.extensions.get("informational", ())
    return [
        Response(status, headers=fields, request=request)
        for status, fields in interim
        if status not in (100, 101)  # they are part of the protocol, and are not told
    ]


def _next_request(request: Request, response: Response, policy: Policy) -> Request | None:
    """Return the request that follows a redirect, or None: an invalid redirect that is not followed is not an error."""
    try:
        return None if location_of(response) is None else policy.redirect(request, response)
    except RemoteProtocolError:
        return None
