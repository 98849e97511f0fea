"""
Loggers, which in the command are made when the program may listen to them.

    logger = logger_of("httpx")
    if logger.isEnabledFor(INFO): logger.info(...)

Importing `logging` takes a twentieth of the start of the command, and without it there are no listeners. In
other programs a logger is there from the import of httpx on: `logging.config` disables those that are there already.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Callable, Union

from ._quiet import IS_COMMAND

if TYPE_CHECKING:
    import logging

# Those of `logging`.
DEBUG, INFO = 10, 20


def logger_of(name: str) -> Union[logging.Logger, LazyLogger]:
    """Return the logger of a name."""
    if IS_COMMAND and "logging" not in sys.modules:
        return LazyLogger(name)
    import logging

    return logging.getLogger(name)


class LazyLogger:
    """
    Stands for a `logging.Logger` that is not made before there can be a listener.

    Args:
        name: of the logger.

    Attributes:
        isEnabledFor: as in `logging`, and from the first time on the method of the logger itself.
    """

    __slots__ = ("_name", "isEnabledFor")

    isEnabledFor: Callable[[int], bool]

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "isEnabledFor", self._may_be_enabled)

    def _may_be_enabled(self, level: int) -> bool:
        return "logging" in sys.modules and bool(self._logger().isEnabledFor(level))

    def _logger(self) -> Any:
        import logging

        logger = logging.getLogger(self._name)
        object.__setattr__(self, "isEnabledFor", logger.isEnabledFor)
        return logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._logger(), name, value)
