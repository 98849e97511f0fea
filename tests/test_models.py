"""The module where 0.28.1 had requests and responses."""

from __future__ import annotations

import httpx
from httpx import _models
from httpx._models import Request, Response


def test_classes_are_where_other_packages_look_for_them():
    assert Request.__module__ == Response.__module__ == "httpx"
    assert _models.Headers is httpx.Headers
    assert _models.Cookies is httpx.Cookies


def test_private_names_that_programs_import_do_what_they_did():
    assert _models._parse_header_links('<http://a/>; rel="next"') == [{"url": "http://a/", "rel": "next"}]
    assert _models._parse_content_type_charset("text/html; charset=UTF-8") == "utf-8"
    assert _models._parse_content_type_charset("text/html") is None
    assert _models._is_known_encoding("utf-8")
    assert not _models._is_known_encoding("nonsense")
