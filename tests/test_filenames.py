"""Names of files that others choose."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._filenames import MAX_NAME, fit_name, name_in, place_of, query_of, server_name


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("a b.txt", "a b.txt"),
        ("naïve.txt", "naïve.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\autoexec.bat", "autoexec.bat"),
        ("/", ""),
        ("..", ""),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        (" .- ~x", "x"),
        ("a.", "a"),
        ("a:b?", "a_b_"),
        ("a\x00b\x1b\n\x9b", "a_b___"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("a\u2066b\u2069\u200b\ufeff", "a_b___"),
        ("\ud800.txt", "_.txt"),
        ("nul", "_nul"),
        ("COM1.txt", "_COM1.txt"),
        ("com\xb9", "_com\xb9"),
        ("aux .c", "_aux .c"),
        ("CONIN$", "_CONIN$"),
        ("console.log", "console.log"),
        ("a.part", "a.part_"),
        ("a.Part.JSON", "a.Part.JSON_"),
        ("a.part.json.new. ", "a.part.json.new_"),
        ("part.json", "part.json"),
        ("a.part.txt", "a.part.txt"),
    ],
)
def test_a_name_is_one_of_a_new_file_that_is_seen_as_it_is(name: str, fit: str):
    assert fit_name(name) == fit


def test_long_names_keep_their_extension_and_fit_into_a_file_system():
    assert len(fit_name("ü" * 300 + ".tar").encode()) <= MAX_NAME
    assert fit_name("ü" * 300 + ".tar").endswith("ü.tar")
    assert len(fit_name("x." + "y" * 400).encode()) <= MAX_NAME
    assert len(fit_name("x" * 100_000).encode()) <= MAX_NAME


@given(st.text() | st.text(alphabet="./\\-~ :a\u202e\x00\ud800nul", max_size=20))
def test_any_name_is_safe(name: str):
    fit = fit_name(name)
    assert len(os.fsencode(fit)) <= 255
    assert not set(fit) & set('/\\:*?"<>|')
    assert not fit.startswith((".", "-", "~", " "))
    assert not fit.endswith((".", " "))
    assert not fit.lower().endswith((".part", ".part.json", ".part.json.new"))
    assert not any(unicodedata.category(c) in ("Cc", "Cs") or unicodedata.bidirectional(c) in _TURNING for c in fit)
    assert fit_name(fit) == fit


_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a/x%20y.txt?z=/q", "x y.txt"),
        ("a/x.txt#y", "x.txt"),
        ("http://a/", ""),
        ("http://a", ""),
        ("http://a?b/c", ""),
        ("http://a/%2e%2e%2fx", "../x"),
    ],
)
def test_the_end_of_the_path_is_a_name(url: str, name: str):
    assert name_in(url) == name


def test_the_server_chooses_then_the_url_then_the_type():
    headers = httpx.Headers({"Content-Disposition": "attachment; filename=plain.txt", "Content-Type": "text/html"})
    assert server_name(headers, "http://a/b") == "plain.txt"
    headers["Content-Disposition"] = "inline; filename=.."
    assert server_name(headers, "http://a/b") == "b"
    assert server_name(headers, "http://a/") == "index.html"
    assert server_name(httpx.Headers(), "http://a/") == "index"


def test_a_place_has_no_secrets():
    assert place_of("https://ann:pw@a.invalid/x?key=1#part") == "https://a.invalid/x"
    assert query_of("https://a.invalid/x?key=1#part?") == "key=1"
    assert query_of("https://a.invalid/x#a?b") is None
    assert query_of("https://a.invalid/x?") is None
