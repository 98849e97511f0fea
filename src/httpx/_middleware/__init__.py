"""
The middleware of a client: what may be given, in which order, and the messages for what may not.

    layers_of(middleware)      -> the checked tuple, outermost first
    BuiltIn                    the base class of the package's own, which have a rank
    is_to_be_read(...)         may a body be read by a middleware?

Users' own middleware may stand anywhere. The package's own have one order that works, which is their rank: a cache that
stands inside a retry would store what is repeated, and a rate limit outside of it would not count the attempts.

Loaded by the first client that is given middleware. Not here: running it (`_flow.through`).
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, ClassVar

from .._steps import Step, name_of

if TYPE_CHECKING:
    from .._request import Request
    from .._response import Response

Layer = Callable[["Request"], "Generator[Request | Step, Any, Response]"]

# The names of the package's own, outermost first; the position is the rank.
ORDER = ("Cache", "Retry", "RateLimit", "Har", "Telemetry")
# For messages.
_EXAMPLE = "def {name}(request): response = yield request; return response"


class BuiltIn:
    """
    A middleware of the package.

    Attributes:
        rank: its place among the package's own; lower is further out. `ORDER.index` of its public name.
    """

    rank: ClassVar[int]

    def __call__(self, request: Request) -> Generator[Request | Step, Any, Response]:
        """Send the request on, as often as it takes, and return the response."""
        raise NotImplementedError


def is_to_be_read(request: Request, response: Response) -> bool:
    """
    Return whether the client would read the body for its caller, so that it may be read now.

    Not those that it drains: of a redirect, and of a 401, which an authentication may respond to.
    """
    return (
        request._is_read
        and not hasattr(response, "_content")
        and response.status_code not in (101, 401)
        and not response.has_redirect_location
    )


def layers_of(middleware: Iterable[Layer]) -> tuple[Layer, ...]:
    """
    Return the middleware as a tuple.

    Raises:
        TypeError: not a list, or an element is not a generator function of a request, as far as can be seen.
        ValueError: two of the package's own are in the wrong order.
    """
    if callable(middleware) or isinstance(middleware, (str, bytes)) or not isinstance(middleware, Iterable):
        hint = f", such as [{name_of(middleware)}]" if callable(middleware) else ""
        raise TypeError(f"middleware must be a list of generator functions{hint}, got {type(middleware).__name__}")
    layers = tuple(middleware)
    for layer in layers:
        _check(layer)
    ranked = [layer for layer in layers if isinstance(layer, BuiltIn)]
    for outer, inner in zip(ranked, ranked[1:]):
        if outer.rank > inner.rank:
            first, second = type(inner).__name__, type(outer).__name__
            raise ValueError(
                f"{first} must stand before {second} in middleware=; the order is {', '.join(ORDER)}, outermost first"
            )
    return layers


def _check(layer: Any) -> None:
    """Raise TypeError for what cannot be a middleware."""
    name = name_of(layer)
    if inspect.isclass(layer):
        raise TypeError(f"middleware must hold instances, got the class {name}: write {name}()")
    if not callable(layer):
        raise TypeError(f"middleware must hold generator functions, got {name}")
    function = layer
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    if is_async:
        raise TypeError(
            f"middleware {name} is an async function: write it without async and await, for both clients, as "
            f"{_EXAMPLE.format(name=name)}; what must be awaited goes through Step.call"
        )
    required = _required(layer)
    if required is not None and required != ["request"] and len(required) != 1:
        raise TypeError(
            f"middleware {name} must take one argument, the request, got ({', '.join(required)}): it yields the "
            f"request to send it on, as {_EXAMPLE.format(name=name)}"
        )


def _required(layer: Any) -> list[str] | None:
    """Return the names of the parameters that a call must give; None if that is not known."""
    try:
        parameters = inspect.signature(layer).parameters.values()
    except (TypeError, ValueError):  # a callable written in C
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    required = [one.name for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    # An argument with a default takes the request as well.
    return required or [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY][:1]


def not_a_generator(layer: Layer, steps: Any) -> TypeError:
    """Return the error for a middleware that did not return a generator."""
    name = name_of(layer)
    close = getattr(steps, "close", None)
    if hasattr(steps, "__await__") and close is not None:
        close()  # or Python warns that it was never awaited
    hint = ": it is an async function" if hasattr(steps, "__await__") or hasattr(steps, "__anext__") else ""
    return TypeError(
        f"middleware {name} must be a generator function, got {type(steps).__name__} from it{hint}; write "
        f"{_EXAMPLE.format(name=name)}"
    )


def not_a_step(layer: Layer, asked: Any) -> TypeError:
    """Return the error for a middleware that yielded something else than a request or a step."""
    hint = "; to respond, return it" if type(asked).__name__ == "Response" else ""
    if hasattr(asked, "__await__") or inspect.isfunction(asked):
        hint = "; to call or await something, yield httpx.Step.call(function)"
    close = getattr(asked, "close", None) if inspect.iscoroutine(asked) else None
    if close is not None:
        close()
    return TypeError(
        f"middleware {name_of(layer)} must yield a request or an httpx.Step, got {type(asked).__name__}{hint}"
    )


def not_a_response(layer: Layer, returned: Any) -> TypeError:
    """Return the error for a middleware that returned something else than a response."""
    hint = "; write `return (yield request)`" if returned is None else ""
    return TypeError(f"middleware {name_of(layer)} must return a response, got {type(returned).__name__}{hint}")


def not_over(layer: Layer, exc: BaseException) -> RuntimeError:
    """Return the error for a middleware that yielded after a cancellation or an interruption."""
    return RuntimeError(
        f"middleware {name_of(layer)} yielded after {type(exc).__name__}: it may clean up, and must raise or return"
    )
