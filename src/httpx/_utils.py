"""What several modules share and none of them owns. Small on purpose: at most what two modules really need."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def primitive_to_str(value: PrimitiveData) -> str:
    """Text of a query or form value: `True` is "true", `False` is "false", `None` is the empty string."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return ""
    return str(value)


# The modules that 0.28.1's names are looked for in, as far as they are loaded with the package; see `_old_names`.
_WITH_OLD_NAMES = (
    *("_api", "_auth", "_client", "_content", "_decoders", "_main", "_models", "_multipart", "_status_codes"),
    *("_transports", "_transports.asgi", "_transports.default", "_transports.wsgi", "_urlparse", "_urls", "_utils"),
)


def install_old_names() -> None:
    """
    Give the modules of the package a `__getattr__` for the names that they had in 0.28.1 (PEP 562).

    From outside and not in each module: type checkers would take any name of a module that defines one.
    """
    for name in _WITH_OLD_NAMES:
        module = f"{__package__}.{name}"
        setattr(sys.modules[module], "__getattr__", partial(_old_name, module))  # noqa: B010 - see above


def _old_name(module: str, name: str) -> Any:
    if not name.startswith("__"):  # such as `__path__`, which the import system asks for
        # By name at run time: the module is far above this one, and loaded only if somebody asks.
        return import_module(f"{__package__}._old_names").find(module, name)
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
