"""The module where 0.28.1 had requests and responses."""

from __future__ import annotations

import httpx
from httpx import _models
from httpx._models import Request, Response


def test_classes_are_where_other_packages_look_for_them():
    assert Request.__module__ == Response.__module__ == "httpx"
    assert _models.Headers is httpx.Headers
    assert _models.Cookies is httpx.Cookies
