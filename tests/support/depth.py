"""
How much is tested: everything; or, with HTTPX_QUICK=1, what may differ from one Python to the next.

CI runs everything on one Python. On the others each scenario runs on the three engines but not on every kind of asyncio
loop, bytes are cut in fewer ways, and properties are tried with fewer examples: what depends on those does not depend
on the Python as well.
"""

from __future__ import annotations

import os

QUICK = os.environ.get("HTTPX_QUICK") == "1"


def depth(everything: tuple[str, ...], few: tuple[str, ...]) -> tuple[str, ...]:
    """Which of the names are tested."""
    return few if QUICK else everything
