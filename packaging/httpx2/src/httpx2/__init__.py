"""The name httpx2 for httpx: the first import of this module puts the package httpx in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx import *  # noqa: F403
else:
    import httpx

    __stands_for_httpx__ = True  # so that `alias_httpx2` replaces it
    httpx.alias_httpx2()
