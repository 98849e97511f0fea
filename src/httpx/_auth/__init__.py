"""
Who is asking: authentication as a conversation of requests and responses.

An `Auth` is a generator over one request's journey, `auth_flow`: it yields requests to send and is sent their
responses; the caller gets the response to what it yields last. Sync and async share it, and the two small drivers
beside it read bodies where a scheme wants to see them.

    request ──► auth_flow ──yield request──►  client sends
                    ▲                             │
                    └───────── response ──────────┘        until the flow returns

Schemes: Basic (RFC 7617), Bearer (RFC 6750), Digest (RFC 7616, and 2617 and 2069 for old servers), netrc files, and
plain functions. No secret is ever in the `repr` of an object here or in an error message.

    base.py        Auth, the two drivers of a flow, and functions as auth
    basic.py       Basic
    bearer.py      Bearer
    netrc.py       Basic by host, from a netrc file
    challenges.py  what a WWW-Authenticate field asks for
    digest.py      Digest

Not here: taking credentials off a request that is redirected elsewhere (`_flow`), proxies (`_transports`).
"""

from __future__ import annotations

from .base import Auth, FunctionAuth
from .basic import BasicAuth
from .bearer import BearerAuth
from .digest import DigestAuth
from .netrc import NetRCAuth

__all__ = ["Auth", "BasicAuth", "BearerAuth", "DigestAuth", "FunctionAuth", "NetRCAuth"]
