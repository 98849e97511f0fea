"""
The names of httpx-sse, as those of httpx: for the tests of that package (`scripts/test-ecosystem --suites`).

What a program has to change that moves from the one to the other is what these two functions do.
"""

from __future__ import annotations

from typing import Any

from httpx import EventSource, ServerSentEvent, SSEError

__all__ = ["EventSource", "SSEError", "ServerSentEvent", "aconnect_sse", "connect_sse"]


def connect_sse(client: Any, method: str, url: str, **options: Any) -> Any:
    return client.sse(url, method=method, **options)


aconnect_sse = connect_sse
