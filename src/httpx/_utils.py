"""What several modules share and none of them owns. Small on purpose: at most what two modules really need."""

from __future__ import annotations

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


def __getattr__(name: str) -> Any:
    # 0.28.1 had it here, and packages take it from here. By name at run time, because the module that has it is far
    # above this one, and nothing that imports this one should load it.
    if name == "get_environment_proxies":
        return import_module(f"{__package__}._proxies").environment_proxies
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
