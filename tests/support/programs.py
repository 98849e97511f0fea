"""Python programs that a test runs by themselves."""

from __future__ import annotations

import os


def unmeasured() -> dict[str, str]:
    """Return the environment for a program whose imports and memory are looked at: coverage would add its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
