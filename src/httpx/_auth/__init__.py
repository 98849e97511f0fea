"""
Authentication: an exchange of requests and responses.

An `Auth` is a generator over one request's journey, `auth_flow`: it yields requests to send and is sent their
responses; the caller gets the response to the last request. Sync and async share it, and its two small drivers
read bodies where a scheme needs them.

    request ──► auth_flow ──yield request──►  client sends
                    ▲                             │
                    └───────── response ──────────┘        until the flow returns

Schemes: Basic (RFC 7617), Bearer (RFC 6750), Digest (RFC 7616, and 2617 and 2069 for old servers), netrc files, and
plain functions. No secret is ever in the `repr` of an object here or in an error message.

    base.py        Auth, the two drivers of a flow, and functions as auth
    basic.py       Basic
    bearer.py      Bearer
    netrc.py       Basic by host, from a netrc file
    challenges.py  the challenges of a WWW-Authenticate field
    digest.py      Digest

Not here: removing credentials from a request that is redirected elsewhere (`_redirects`), proxies (`_transports`).
"""

from __future__ import annotations

from .base import Auth, FunctionAuth
from .basic import BasicAuth
from .bearer import BearerAuth
from .digest import DigestAuth
from .netrc import NetRCAuth

__all__ = ["Auth", "BasicAuth", "BearerAuth", "DigestAuth", "FunctionAuth", "NetRCAuth"]
