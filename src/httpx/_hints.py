"""
Hints about names of other libraries, and of earlier versions of this one.

    Response.ok               AttributeError: ... has no attribute 'ok'; did you mean `is_success`?
    Client(retries=3)         TypeError: ... unexpected keyword argument 'retries'; did you mean ...?

These names stay errors: the exception is the one that Python raises, with a hint.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable, NoReturn, TypeVar

F = TypeVar("F", bound=Callable[..., None])


class NoSuchAttribute:
    """A descriptor for an attribute that instances do not have; the error says what to use instead."""

    def __init__(self, instead: str) -> None:
        self._instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(
            f"{owner.__name__!r} object has no attribute {self._name!r}; did you mean `{self._instead}`?"
        )


def no_such_argument(**hints: str) -> Callable[[F], F]:
    """Return a decorator of `__init__` that says what to use instead of unknown arguments."""

    def decorate(function: F) -> F:
        @wraps(function)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            for name in kwargs:
                if name in hints:
                    raise TypeError(
                        f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}; "
                        f"did you mean {hints[name]}?"
                    )
            function(self, *args, **kwargs)

        return init  # type: ignore[return-value]  # called like the function, with any arguments

    return decorate
