"""
What `map` is given: items of its input, the calls of `send` that are made of them, and the order of their outcomes.

    checked_items(requests, is_async)  -> the input, or a TypeError for what is not an iterable of requests
    call_of(number, client, item)      -> the call of an item
    Call                                  a call of `send`, and what came of it
    Crew                                  the calls that were begun: how many there may be, and which is next

Not here: who sends (`threads`, `tasks`, `processes`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Callable, Union

from .._exceptions import HTTPError
from .._request import Request
from .._urls import URL

# What can be requested: a request, the URL of a GET, or arguments of `request()`.
BulkItem = Union[Request, URL, str, Mapping[str, Any]]

_EXPECTED = "expected a Request, a URL, a str, or a mapping with arguments of request()"
_SEND_OPTIONS = ("auth", "follow_redirects")


class Call:
    """
    A call of `send`, and what came of it.

    Attributes:
        number: its place in the input, from 0.
        request, options: the arguments of `send`.
        outcome: the response, if there was no `error`.
        is_done: whether there is an outcome or an error.
    """

    __slots__ = ("error", "is_done", "number", "options", "outcome", "request")

    def __init__(self, number: int, request: Any, options: dict[str, Any] | None = None) -> None:
        self.number = number
        self.request = request
        self.options = options
        self.outcome: Any = None
        self.error: BaseException | None = None
        self.is_done = False

    def fail(self, error: BaseException) -> None:
        """Keep an error, with its request, and without the frame that caught it: that one refers to this call."""
        if isinstance(error, HTTPError) and error._request is None:
            error._request = self.request
        error = without_own_frame(error)
        if isinstance(error, (StopIteration, StopAsyncIteration)):
            # Out of a transport. It would end the iteration as if all requests had been sent.
            cause, error = error, RuntimeError(f"a request raised {type(error).__name__}")
            error.__cause__ = cause
        self.error = error


class Crew:
    """
    The calls that were begun and not taken; subclasses send them.

    Args:
        send: the client's.
        concurrency: how many calls are under way at the same time.
        ordered: hand out the calls in the order of their beginning, else in that of their ends.
        is_fatal: whether an error ends the iteration.

    Attributes:
        outstanding: how many were begun and not taken.
        most: how many that may be; 0 after an error.
    """

    def __init__(
        self,
        send: Callable[..., Any],
        concurrency: int,
        ordered: bool,
        is_fatal: Callable[[BaseException], bool],
    ) -> None:
        self.outstanding = 0
        self.most = 2 * concurrency
        self._send = send
        self._concurrency = concurrency
        self._ordered = ordered
        self._is_fatal = is_fatal
        self._is_stopped = False
        # What can be taken: all calls that were begun, in their order, or those that have ended.
        self._queue: deque[Call] = deque()
        # The ids of the requests of outstanding calls, which keep them alive.
        self._under_way: set[int] = set()

    def enlist(self, call: Call) -> None:
        """
        Count a call that begins.

        A request that is under way already is sent as a copy: what belongs to one call, such as what is left of its
        total timeout or its idempotency key, would reach the other call by the request.
        """
        if call.request is not None:  # a chunk
            if id(call.request) in self._under_way:
                call.request = call.request.copy_with()
            self._under_way.add(id(call.request))
        self.outstanding += 1
        if self._ordered:
            self._queue.append(call)

    def is_ready(self) -> bool:
        """Return whether there is something to take."""
        return bool(self._queue) and self._queue[0].is_done

    def take(self) -> Any:
        """
        Return the next outcome: a response, or an error that is not fatal.

        Raises:
            The error of the call, if it is fatal.
        """
        call = self._queue.popleft()
        self.outstanding -= 1
        self._under_way.discard(id(call.request))
        error = call.error
        try:
            if error is None:
                return call.outcome
            if self._is_fatal(error):
                raise error
            return error
        finally:
            del call, error  # a traceback that holds its own frame lives until the next garbage collection

    def _discard(self) -> None:
        """Have no more calls begun, and none taken."""
        self._is_stopped = True
        self.most = 0
        self.outstanding = 0
        self._queue.clear()


def without_own_frame(error: BaseException) -> BaseException:
    """Return the error with the traceback below the frame that caught it."""
    traceback = error.__traceback__
    return error if traceback is None else error.with_traceback(traceback.tb_next)


def is_always_fatal(error: BaseException) -> bool:
    """Return True: with `errors="raise"` every error ends the iteration."""
    return True


def is_not_of_http(error: BaseException) -> bool:
    """Return whether an error ends the iteration with `errors="yield"`: those without a request do."""
    return not isinstance(error, HTTPError)


def fatality(errors: str) -> Callable[[BaseException], bool]:
    """
    Return the function that says whether an error ends the iteration.

    Raises:
        ValueError: `errors` is neither "raise" nor "yield".
    """
    if errors not in ("raise", "yield"):
        raise ValueError(f"errors must be 'raise' or 'yield', got {errors!r:.40}")
    return is_always_fatal if errors == "raise" else is_not_of_http


def checked_items(requests: Any, is_async: bool) -> Any:
    """
    Return the input of `map`.

    Raises:
        TypeError: it is not an iterable, or it is one request: a str and a mapping are iterables, too.
    """
    if isinstance(requests, (str, bytes, URL, Request, Mapping)):
        raise TypeError(f"requests must be an iterable of requests, such as a list, got one {type(requests).__name__}")
    if hasattr(requests, "__iter__") or (is_async and hasattr(requests, "__aiter__")):
        return requests
    hint = ": only AsyncClient.map reads async iterables" if hasattr(requests, "__aiter__") else ""
    raise TypeError(f"requests must be an iterable of requests, got {type(requests).__name__}{hint}")


def checked_item(item: Any) -> Any:
    """Return an item. Raises TypeError for what is not one, and for a mapping without a URL."""
    if not isinstance(item, (Request, URL, str, Mapping)):
        raise TypeError(f"{_EXPECTED}, got {type(item).__name__}")
    if isinstance(item, Mapping) and "url" not in item:
        raise TypeError(f"the mapping has no 'url': {_EXPECTED}")
    return item


def call_of(number: int, client: Any, item: Any) -> Call:
    """
    Return the call of an item.

    Raises:
        TypeError, InvalidURL, LocalProtocolError: the item does not make a request.
    """
    if isinstance(item, (str, URL)):
        return Call(number, client.build_request("GET", item))
    if isinstance(item, Request):
        return Call(number, item)
    arguments = {"method": "GET", **checked_item(item)}
    options = {name: arguments.pop(name) for name in _SEND_OPTIONS if name in arguments}
    return Call(number, client.build_request(**arguments), options)
