"""
Basic authentication (RFC 7617).
"""

from __future__ import annotations

import binascii
from collections.abc import Generator
from typing import TYPE_CHECKING, Union

from .base import Auth

if TYPE_CHECKING:
    from .._request import Request
    from .._response import Response


def to_bytes(name: str, text: Union[str, bytes]) -> bytes:
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError as exc:
            # Not `from exc`, which contains the whole text.
            raise ValueError(f"{name} has a lone surrogate at position {exc.start}, so it is not UTF-8") from None
    if isinstance(text, bytes):
        return text
    raise TypeError(f"{name} must be str or bytes, got {type(text).__name__}")


def basic(username: Union[str, bytes], password: Union[str, bytes]) -> str:
    credentials = to_bytes("username", username) + b":" + to_bytes("password", password)
    return "Basic " + binascii.b2a_base64(credentials, newline=False).decode()


class BasicAuth(Auth):
    """
    A user name and password, sent with each request, effectively in clear text: for https only.

    Args:
        username: text is encoded as UTF-8. Must not contain ":", which ends it for the server.
        password: text is encoded as UTF-8.

    Raises:
        TypeError: one of them is neither str nor bytes.
        ValueError: one of them is text that UTF-8 cannot encode.

    RFC 7617.
    """

    def __init__(self, username: Union[str, bytes], password: Union[str, bytes]) -> None:
        self._auth_header = basic(username, password)

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with an Authorization header."""
        request.headers["Authorization"] = self._auth_header
        yield request
