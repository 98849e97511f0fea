"""A plugin for `scripts/suites.py`: packages that import httpx2 get this checkout."""

import httpx

httpx.alias_httpx2()
