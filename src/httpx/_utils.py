"""What several modules share and none of them owns. Small on purpose: at most what two modules really need."""

from __future__ import annotations

import re
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, AnyStr, cast

if TYPE_CHECKING:
    from ._types import PrimitiveData


class _LowerNames(dict[bytes, bytes]):
    """
    Field name -> the same in lower case.

    Peers use few names, so `LOWER[name]` is one dictionary look-up (0.03 µs, where `name.lower()` makes a new object
    in 0.09 µs). Bounded: names after the first 1,024 are lowered each time.
    """

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        if len(self) < 1024 and len(name) <= 64:
            self[name] = lower
        return lower


LOWER = _LowerNames()


class _LazyPattern:
    """A regular expression that is compiled when one of its methods is first asked for, and set there."""

    def __init__(self, pattern: Any, flags: int) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(re.compile(*self._given), name)
        self.__dict__[name] = method  # the next use finds it there, as fast as that of a compiled pattern
        return method


def lazy_pattern(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return what `re.compile` does, compiled on first use: all patterns of the package take 8 ms, few are used."""
    return cast("re.Pattern[AnyStr]", _LazyPattern(pattern, flags))


def percent_decoded(text: str) -> str:
    """Return what `urllib.parse.unquote` does, which is loaded by texts that have an escape."""
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def primitive_to_str(value: PrimitiveData) -> str:
    """Text of a query or form value: `True` is "true", `False` is "false", `None` is the empty string."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return ""
    return str(value)


# The modules that 0.28.1's names are looked for in; see `_old_names`. `_transports.asgi`, which is loaded when it is
# used, does it itself.
_WITH_OLD_NAMES = (
    *("_api", "_auth", "_client", "_content", "_decoders", "_main", "_models", "_multipart", "_status_codes"),
    *("_transports", "_transports.default", "_transports.wsgi", "_urlparse", "_urls", "_utils"),
)


def install_old_names(*names: str) -> None:
    """
    Give modules of the package, by default all, a `__getattr__` for the names that they had in 0.28.1 (PEP 562).

    From outside and not in each module: type checkers would take any name of a module that defines one.
    """
    for name in names or _WITH_OLD_NAMES:
        module = f"{__package__}.{name}"
        setattr(sys.modules[module], "__getattr__", partial(_old_name, module))  # noqa: B010 - see above


def level_of_caller() -> int:
    """
    Return the `stacklevel` for a warning of the function that calls this: the line of the program, not of the package.

    A number would change with every function in between, such as the constructor of a subclass.
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
