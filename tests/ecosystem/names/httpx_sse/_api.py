"""So that tests of private functions can be collected; these functions do not exist here, and the tests fail."""

from __future__ import annotations

from typing import Any


def _iter_sse_lines(response: Any) -> Any:
    raise NotImplementedError


_aiter_sse_lines = _iter_sse_lines
