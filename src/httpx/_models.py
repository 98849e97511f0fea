"""
Request and Response under the name of the module that had them in 0.28.1; packages import them from here.

Not here: anything else (`_request`, `_response`, `_reading`).
"""

from __future__ import annotations

from ._cookies import Cookies
from ._headers import Headers
from ._request import Request
from ._response import Response

__all__ = ["Cookies", "Headers", "Request", "Response"]
