"""
User names and passwords from a netrc file.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Optional

from .base import Auth
from .basic import basic

if TYPE_CHECKING:
    import netrc

    from .._request import Request
    from .._response import Response


class NetRCAuth(Auth):
    """
    A netrc file's user names and passwords, looked up by the host of each request and sent as Basic credentials.

    Args:
        file: its path. Default: `.netrc` in the home directory; the variable NETRC is not used.

    Hosts that are not in the file get the `default` entry, or else no Authorization header. The file is read once.

    Raises:
        OSError: the file cannot be read (`FileNotFoundError` if it is missing).
        netrc.NetrcParseError: it is not a netrc file, or it is the default one and readable by others.
    """

    def __init__(self, file: Optional[str] = None) -> None:
        import netrc

        try:
            self._netrc_info: netrc.netrc = netrc.netrc(file)
        except netrc.NetrcParseError as exc:
            # Most messages quote the word that the parser refused, which may be a password. Those
            # about the file's permissions begin with its name.
            reason = exc.msg if exc.msg.startswith("~/.netrc") else "not a netrc file"
            raise netrc.NetrcParseError(reason, exc.filename, exc.lineno) from None
        except UnicodeDecodeError:  # which would contain the whole file
            raise netrc.NetrcParseError("not a netrc file, it is not text", file) from None

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request, with an Authorization header if the file has one for its host."""
        found = self._netrc_info.authenticators(request.url.host)
        if found is not None and found[2]:
            request.headers["Authorization"] = basic(found[0], found[2])
        yield request
