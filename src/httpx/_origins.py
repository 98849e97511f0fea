"""
Origins, and what a request leaves out when it is sent to another one or with another body: by a redirect, or by a copy.

    Origin(url)                              scheme, host and port, for code that uses httpx
    may_keep_secrets(here, there)            may what was meant for one URL be sent to the other?
    moved_headers(headers, here, there, ...) -> the fields for another URL: its Host, and no secrets of another origin
    moved_extensions(extensions, ...)        -> the extensions for another URL
    moved_trailers(trailers, ...)            -> the trailers for another URL
    without(headers, names)                  removes fields

Not here: when a redirect is followed (`_flow`), which request follows it (`_redirects`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._headers import Headers
from ._secrets import CREDENTIALS
from ._urlparse import DEFAULT_PORTS
from ._urls import URL

if TYPE_CHECKING:
    from ._types import HeaderTypes

# Fields that depend on the bytes of a body.
OF_THE_BYTES = (
    *(b"content-length", b"transfer-encoding", b"content-encoding", b"content-digest", b"repr-digest"),
    *(b"digest", b"content-md5", b"trailer"),
)
# Fields that describe a body or its transfer, and are removed with it (Fetch, 4.4 step 12).
OF_THE_BODY = (*OF_THE_BYTES, b"content-type", b"content-language", b"content-location", b"expect")


class Origin:
    """
    An origin: the scheme, host and port of a URL. Immutable, hashable, equal to each other origin with the same three.

        origin = httpx.URL("https://www.example.org/a?b").origin

        origin.scheme   "https"
        origin.host     "www.example.org"           as `URL.host`
        origin.port     443                         None if absent, and the scheme has no default
        str(origin)     "https://www.example.org"   the value of an Origin field, without a default port

    Args:
        url: absolute; what follows the port is left out, and so is the user information.

    Raises:
        ValueError: the URL has no scheme or no host.
        InvalidURL, TypeError: as for `URL`.

    RFC 6454.
    """

    __module__ = "httpx"
    __slots__ = ("_text", "host", "port", "scheme")

    scheme: str
    host: str
    port: int | None
    _text: str

    def __init__(self, url: URL | str) -> None:
        url = URL(url)
        if not url.is_absolute_url:
            raise ValueError("a URL without a scheme or a host has no origin")
        port = url.port
        give = super().__setattr__
        give("scheme", url.scheme)
        give("host", url.host)
        give("port", DEFAULT_PORTS.get(url.scheme) if port is None else port)
        give("_text", f"{url.scheme}://{url.netloc.decode('ascii')}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name!r} of an Origin, which is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete {name!r} of an Origin, which is immutable")

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Origin) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Origin(scheme={self.scheme!r}, host={self.host!r}, port={self.port})"

    def __reduce__(self) -> tuple[type[Origin], tuple[str]]:
        return type(self), (self._text,)


def may_keep_secrets(here: URL, there: URL) -> bool:
    """Return whether both have the same origin, or the change is from http to https on one host and default ports."""
    if here._origin == there._origin:
        return True
    return (
        here._origin[1] == there._origin[1]
        and here._origin[::2] == ("http", 80)
        and there._origin[::2] == ("https", 443)
    )


def moved_headers(
    headers: Headers, here: URL, there: URL, sensitive: Iterable[bytes] = (), keep_secrets: bool = False
) -> Headers:
    """
    Return a copy of the fields of a request to `here`, for a request to `there`.

    Args:
        sensitive: lower-case names of fields that are as private as Authorization.
        keep_secrets: keep the private fields for any origin.
    """
    headers = headers.copy()
    if not (keep_secrets or may_keep_secrets(here, there)):
        without(headers, [*CREDENTIALS, *sensitive])
    if here._origin != there._origin:
        without(headers, [b"host"])
        headers = Headers._from_raw([there._host_field, *headers._raw], headers._encoding)
    return headers


def moved_extensions(extensions: Mapping[str, Any], same_origin: bool) -> dict[str, Any]:
    """Return the extensions for another URL: "target" was meant for one URL, and "sni_hostname" for one origin."""
    return {
        name: value
        for name, value in extensions.items()
        if name != "target" and (same_origin or name != "sni_hostname")
    }


def moved_trailers(
    trailers: HeaderTypes | None, here: URL, there: URL, sensitive: Iterable[bytes], keep_secrets: bool = False
) -> HeaderTypes | None:
    """Return the trailers of a request to `here`, for a request to `there`: no private ones for another origin."""
    if trailers is None or keep_secrets or may_keep_secrets(here, there):
        return trailers
    return _OpenTrailers(trailers, (*CREDENTIALS, *sensitive))


class _OpenTrailers(Mapping[str, str]):
    """
    Trailers without the private ones. They are looked at when they are sent: a body may add to them.

    Args:
        trailers: as the caller gave them.
        private: names in lower case.
    """

    def __init__(self, trailers: HeaderTypes, private: Iterable[bytes]) -> None:
        self._trailers = trailers
        self._private = private

    def _shown(self) -> Headers:
        shown = Headers(self._trailers)
        without(shown, self._private)
        return shown

    def __getitem__(self, name: str) -> str:
        return self._shown()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown())

    def __len__(self) -> int:
        return len(self._shown())


def without(headers: Headers, names: Iterable[bytes]) -> None:
    """Remove the fields with these names, in lower case."""
    for name in names:
        if headers._has(name):
            del headers[name.decode("ascii")]
