"""The name httpcore2: the first import of this module puts one with the exceptions of httpx in its place."""

from __future__ import annotations

import sys
from importlib import import_module

import httpx

httpx.alias_httpx2()
del sys.modules[__name__]
sys.modules[__name__] = import_module(__name__)
