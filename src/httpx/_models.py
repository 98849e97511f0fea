"""
Request and Response in the module where 0.28.1 had them; packages import them from here.

Not here: anything else (`_request`, `_response`, `_reading`).
"""

from __future__ import annotations

from ._cookies import Cookies
from ._headers import Headers
from ._request import Request
from ._response import Response

__all__ = ["Cookies", "Headers", "Request", "Response"]
