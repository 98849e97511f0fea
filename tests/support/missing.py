"""
Marks for tests of parts that are not there yet: each stops to mean anything when its part is there, and can go then.
"""

from __future__ import annotations

import importlib.util

import pytest

import httpx


def _has_proxies() -> bool:
    try:
        httpx.HTTPTransport(proxy="http://127.0.0.1")
    except NotImplementedError:
        return False
    return True


def _reads_proxies_of_the_environment() -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_PROXY", "http://127.0.0.1")
        try:
            with httpx.Client() as client:
                return bool(client._mounts)
        except NotImplementedError:
            return False


NEEDS_PROXIES = pytest.mark.xfail(not _has_proxies(), reason="issue 3: proxies", strict=False)
NEEDS_SOCKS = pytest.mark.xfail(
    importlib.util.find_spec("httpx._protocol.socks") is None, reason="issue 3: SOCKS", strict=False
)
NEEDS_ENVIRONMENT = pytest.mark.xfail(
    not _reads_proxies_of_the_environment(), reason="issue 3: proxies of the environment", strict=False
)
NEEDS_ASGI = pytest.mark.xfail(not hasattr(httpx, "ASGITransport"), reason="issue 3: ASGITransport", strict=False)
NEEDS_WSGI = pytest.mark.xfail(not hasattr(httpx, "WSGITransport"), reason="issue 3: WSGITransport", strict=False)
NEEDS_MAIN = pytest.mark.xfail(not hasattr(httpx, "main"), reason="issue 3: the command line client", strict=False)
