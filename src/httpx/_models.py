"""
Request and Response under the name of the module that had them in 0.28.1; packages import them from here.

Not here: anything else (`_request`, `_response`, `_reading`).
"""

from __future__ import annotations

from ._cookies import Cookies
from ._headers import Headers
from ._request import Request
from ._response import Response, parsed_links
from ._response import charset_of as _parse_content_type_charset
from ._text import is_text_encoding as _is_known_encoding

__all__ = ["Cookies", "Headers", "Request", "Response", "_is_known_encoding", "_parse_content_type_charset"]


def _parse_header_links(value: str) -> list[dict[str, str]]:
    """Return the links of a Link header; a private name of 0.28.1 that programs import."""
    return list(parsed_links(value))
