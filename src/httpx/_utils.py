"""Small parts that several modules share. Only what at least two modules need."""

from __future__ import annotations

import re
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, AnyStr, cast

if TYPE_CHECKING:
    from ._types import PrimitiveData


# A token, such as the name of a field, a method or an auth scheme (RFC 9110 5.6.2), as part of a pattern.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"


class _LowerNames(dict[bytes, bytes]):
    """
    A dictionary of field names in lower case, filled on use.

    Peers use few names, so `LOWER[name]` is one dictionary look-up (0.03 µs, where `name.lower()` makes a new object
    in 0.09 µs). Bounded: names after the first 1,024 are not stored.
    """

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        if len(self) < 1024 and len(name) <= 64:
            self[name] = lower
        return lower


LOWER = _LowerNames()


class _LazyPattern:
    """A regular expression that is compiled when one of its methods is first used."""

    def __init__(self, pattern: Any, flags: int) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(re.compile(*self._given), name)
        self.__dict__[name] = method  # later uses are as fast as with a compiled pattern
        return method


def lazy_pattern(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return a pattern that is compiled on first use: to compile all of the package takes 8 ms, and few are used."""
    return cast("re.Pattern[AnyStr]", _LazyPattern(pattern, flags))


def percent_decoded(text: str, encoding: str = "utf-8") -> str:
    """Return `urllib.parse.unquote(...)`, which is imported only for a text with an escape."""
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text, encoding)


def primitive_to_str(value: PrimitiveData) -> str:
    """Return a query or form value as text: `True` is "true", `False` is "false", `None` is the empty string."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return ""
    return str(value)


# The modules in which names of 0.28.1 are looked up; see `_old_names`. `_transports.asgi`, which is loaded when it is
# used, does it itself.
_WITH_OLD_NAMES = (
    *("_api", "_auth", "_client", "_content", "_decoders", "_main", "_models", "_multipart", "_status_codes"),
    *("_transports", "_transports.default", "_transports.wsgi", "_urlparse", "_urls", "_utils"),
)


def install_old_names(*names: str) -> None:
    """
    Give modules of the package, by default all, a `__getattr__` for the names that they had in 0.28.1 (PEP 562).

    Done here and not in each module, because type checkers accept any name of a module that defines `__getattr__`.
    """
    for name in names or _WITH_OLD_NAMES:
        module = f"{__package__}.{name}"
        setattr(sys.modules[module], "__getattr__", partial(_old_name, module))  # noqa: B010 - see above


def level_of_caller() -> int:
    """
    Return the `stacklevel` with which a warning of the calling function names a line of the program, not of httpx.

    A fixed number would be wrong if other functions are in between, such as the constructor of a subclass.
    """
    own = f"{__package__}."
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(own):
        frame, level = frame.f_back, level + 1
    return level


def old_decoder(decoders: list[Any]) -> Any:
    """Return the decoder of a response, or none, with the interface of 0.28.1."""
    return import_module(f"{__package__}._old_parts").WholeDecoder(decoders)


def _old_name(module: str, name: str) -> Any:
    if not name.startswith("__"):  # such as `__path__`, which the import system asks for
        # By name at run time: the module is far above this one, and loaded only when a name is asked for.
        return import_module(f"{__package__}._old_names").find(module, name)
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
