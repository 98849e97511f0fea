"""
Bearer tokens (RFC 6750).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import TYPE_CHECKING, Callable, Union

from .._exceptions import LocalProtocolError
from .._utils import lazy_pattern
from .base import Auth, refuse_awaitable

if TYPE_CHECKING:
    from .._request import Request
    from .._response import Response


# The characters of a token. The RFC allows fewer; these keep it within one field.
_TOKEN = lazy_pattern(r"[\x21-\x7e]+")
_NOT_IN_TOKEN = lazy_pattern(r"[^\x21-\x7e]")


class BearerAuth(Auth):
    """
    A token, sent with each request.

        BearerAuth("t0k3n")
        BearerAuth(lambda: vault.read("token"))

    Args:
        token: the token, or a function that is called before each request and returns it, so that it may change. The
        function may be called from several threads at once. In an async client it may be async, and must
            not block.

    Raises:
        TypeError: it is neither str nor callable; when the request is sent, the function is async and the
        client is not.
        ValueError: it is empty, or contains a space, a newline or another character that a token cannot have. When
            the function returns such a token, the request fails with `LocalProtocolError`.

    RFC 6750, section 2.1.
    """

    def __init__(self, token: Union[str, Callable[[], Union[str, Awaitable[str]]]]) -> None:
        if not callable(token):
            problem = _token_problem(token)
            if problem:
                raise ValueError(problem)
        self._token = token

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with an Authorization header."""
        token = self._token() if callable(self._token) else self._token
        refuse_awaitable(token, "the token's function is async, which only an async client can await")
        yield self._authorized(request, token)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Yield the request with an Authorization header; the function of the token may be async."""
        token = self._token() if callable(self._token) else self._token
        yield self._authorized(request, await token if isinstance(token, Awaitable) else token)

    @staticmethod
    def _authorized(request: Request, token: object) -> Request:
        problem = _token_problem(token)
        if problem:
            raise LocalProtocolError(problem, request=request)
        request.headers["Authorization"] = f"Bearer {token}"
        return request


def _token_problem(token: object) -> str:
    """
    Return the error in the characters of a token, without quoting it; empty if there is none.

    Raises:
        TypeError: it is not a str.
    """
    if not isinstance(token, str):
        raise TypeError(f"a bearer token must be str, got {type(token).__name__}")
    if _TOKEN.fullmatch(token):
        return ""
    found = _NOT_IN_TOKEN.search(token)
    if found is None:
        return "a bearer token must not be empty"
    # A token from a file often ends in a newline; the forbidden character is not a secret.
    return f"a bearer token must not contain {found.group()!r} (position {found.start()} of {len(token)})"
