"""
Other packages, running on this one in the place of httpx 0.28.1.

`scripts/test-ecosystem` makes an environment with all of them and runs these tests there. In the ordinary run none is
collected: most of the packages are not installed, and those that are bring plugins and warnings of their own.
"""

from __future__ import annotations

import os

from services import service  # noqa: F401  # a fixture, for all of them

collect_ignore_glob = [] if os.environ.get("HTTPX_ECOSYSTEM") == "1" else ["test_*.py"]
