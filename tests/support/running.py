"""Servers that a test needs, where they are installed."""

from __future__ import annotations

import os
from typing import Callable, TypeVar

from .servers import ServerMissing

S = TypeVar("S")


def started(make: Callable[[], S]) -> S:
    """
    What `make` makes: a server. Without its program the test is skipped, or fails if HTTPX_REQUIRE_SERVERS=1.
    """
    import pytest

    try:
        return make()
    except ServerMissing as exc:
        if os.environ.get("HTTPX_REQUIRE_SERVERS") == "1":
            raise
        pytest.skip(str(exc))
