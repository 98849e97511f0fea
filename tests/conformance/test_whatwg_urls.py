"""
URLs as browsers see them: the cases of the WHATWG URL standard, from web-platform-tests.

Each case is an input, perhaps with a base, and the URL that a browser makes of it, or null where it makes none. Ours
is the same, or the case says for which of the reasons in `docs/urls.md` it is not, and what ours is instead: a
difference that comes or goes unnoticed is a failure. The table of RFC 3986, section 5.4 is in `tests/test_urlparse.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import httpx

TESTS = Path(__file__).parent.parent
CASES = json.loads((TESTS / "data" / "whatwg-urls.json").read_text("utf-8"))["cases"]
SAME = [case for case in CASES if len(case) == 3]
DIFFERENT = [case for case in CASES if len(case) == 5]
REASONS = {case[3] for case in DIFFERENT}

_WITHOUT_PATH = re.compile(r"((?:https?|wss?|ftp)://[^/?#]*)((?:[?#].*)?)", re.DOTALL)


def with_path(url: str) -> str:
    """The empty path of a URL is "/" in a request; the standard writes it, and we write what was given."""
    return _WITHOUT_PATH.sub(r"\1/\2", url) if _WITHOUT_PATH.fullmatch(url) else url


def ours(text: str, base: str | None) -> str | None:
    """What we make of a URL, or None if it is refused or relative."""
    try:
        url = httpx.URL(text) if base is None else httpx.URL(base).join(text)
    except httpx.InvalidURL:
        return None
    return str(url) if url.scheme else None


def shown(value: Any) -> str:
    return ascii(value)[:60]


@pytest.mark.parametrize(("text", "base", "expected"), SAME, ids=shown)
def test_a_url_is_what_it_is_for_a_browser(text: str, base: str | None, expected: str | None):
    found = ours(text, base)
    assert (found and with_path(found)) == expected
    if found is not None:
        assert str(httpx.URL(found)) == found


@pytest.mark.parametrize(("text", "base", "expected", "reason", "instead"), DIFFERENT, ids=shown)
def test_a_url_differs_for_a_reason(
    text: str, base: str | None, expected: str | None, reason: str, instead: str | None
):
    assert ours(text, base) == instead
    assert (instead and with_path(instead)) != expected
    if instead is not None:
        assert str(httpx.URL(instead)) == instead


def test_the_reasons_are_those_that_the_documentation_explains():
    page = (TESTS.parent / "docs" / "urls.md").read_text("utf-8")
    explained = re.findall(r"^\| ([^|`]+) \|.*\|.*\|.*\|$", page, re.MULTILINE)
    assert {reason.strip() for reason in explained} - {"reason", "---"} == REASONS


def test_there_are_as_many_cases_as_there_were():
    """A test that lost its data would pass."""
    assert (len(SAME), len(DIFFERENT)) == (375, 224)


@pytest.mark.parametrize("case", [case for case in DIFFERENT if case[3] == "no host"], ids=shown)
def test_a_url_without_a_host_is_not_sent(case: Any):
    with httpx.Client() as client, pytest.raises((httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        client.get(case[4])
