"""
What a forked child must forget.
"""

from __future__ import annotations

import os
import weakref
from typing import Any


class ForkGuard:
    """
    Makes engines forget their connections in a forked child: two processes on one connection would mix up answers.
    """

    def __init__(self) -> None:
        self._engines: weakref.WeakSet[Any] = weakref.WeakSet()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def watch(self, engine: Any) -> None:
        """Call `engine.forget()` in every child that is forked from now on."""
        self._engines.add(engine)

    def _in_child(self) -> None:
        for engine in list(self._engines):
            engine.forget()


FORKS = ForkGuard()
