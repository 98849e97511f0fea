"""
Packages that moved to httpx2, running on this one.

`scripts/test-ecosystem` makes an environment with them, this checkout and packaging/httpx2, and runs these tests there.
The alias is made here, before any of them is imported, so they run on `alias_httpx2`. `test_distribution.py` imports
the installed httpx2 in processes of its own.
"""

from __future__ import annotations

import os

import httpx

collect_ignore_glob = ["test_*.py"]
if os.environ.get("HTTPX_ECOSYSTEM") == "moved":
    collect_ignore_glob = []
    httpx.alias_httpx2()
