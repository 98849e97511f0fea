"""A plugin for `scripts/suites.py`: what imports httpx gets httpx2. anthropic's tests have one that does the same."""

import httpx2

httpx2.alias_httpx()
