"""Patterns of URLs: each form, their order, and a table of what they match in httpx 0.28.1."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx import URL
from httpx._exceptions import InvalidURL
from httpx._patterns import URLPattern


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("", ["http://example.org", "ftp://a:1", "//example.org", "/path"], []),
        ("all://", ["http://example.org", "ftp://a:1", "//example.org", "/path"], []),
        ("https://", ["https://example.org", "https://a.b:8443/c"], ["http://example.org", "wss://example.org"]),
        (
            "all://example.org",
            ["http://example.org/a", "https://EXAMPLE.org:1"],
            ["http://www.example.org", "http://org"],
        ),
        (
            "all://*.example.org",
            ["http://a.example.org", "ws://a.b.example.org"],
            ["http://example.org", "http://aexample.org"],
        ),
        ("all://*example.org", ["http://example.org", "http://a.b.example.org"], ["http://aexample.org"]),
        ("all://*", ["http://example.org", "/path"], []),
        ("http://*", ["http://example.org"], ["https://example.org"]),
        ("http://localhost:1234", ["http://localhost:1234/a"], ["http://localhost", "https://localhost:1234"]),
        ("all://*:1234", ["http://localhost:1234", "https://a.b:1234"], ["http://localhost", "http://a:12345"]),
        ("all://[::1]:8080", ["http://[::1]:8080"], ["http://[::1]", "http://[::2]:8080"]),
        (
            "all://*.bücher.example",
            ["http://a.bücher.example", "http://a.xn--bcher-kva.example"],
            ["http://bücher.example"],
        ),
    ],
)
def test_what_a_pattern_is_for(pattern, matching, others):
    for url in matching:
        assert URLPattern(pattern).matches(url), url
        assert URLPattern(pattern).matches(URL(url)), url
    for url in others:
        assert not URLPattern(pattern).matches(url), url


def test_a_dot_in_a_pattern_is_a_dot():
    assert not URLPattern("all://example.org").matches("http://example-org")
    assert not URLPattern("all://*.example.org").matches("http://a.example-org")
    assert not URLPattern("all://*example.org").matches("http://a.example-org")


def test_a_wildcard_is_one_at_the_beginning_only():
    """Elsewhere it was left out, so that "exam*ple.org" took the requests of example.org through its transport."""
    for pattern in ("all://exam*ple.org", "all://example.*", "all://*.*"):
        assert not URLPattern(pattern).matches("http://example.org")


@pytest.mark.parametrize(
    ("url", "other"), [("https://example.org/", "http://example.org/"), ("wss://example.org/", "ws://example.org/")]
)
def test_a_port_may_be_the_schemes_own(url, other):
    """In 0.28.1 this pattern matched nothing: URLs drop the port that is their scheme's default."""
    assert URLPattern("all://example.org:443").matches(url)
    assert not URLPattern("all://example.org:443").matches(other)
    assert not URLPattern("all://example.org:80").matches(url)
    assert URLPattern("all://example.org:80").matches(other)


@pytest.mark.parametrize("pattern", ["example.org", "all", "*", "*.example.org", "localhost", "*://h", "://"])
def test_a_pattern_without_a_scheme_is_refused(pattern):
    with pytest.raises(ValueError, match=r"invalid URL pattern .*, expected the form"):
        URLPattern(pattern)


@pytest.mark.parametrize("url", ["http://example.org/", "https://example.org/", "ws://example.org/"])
def test_an_empty_scheme_fits_every_scheme(url):
    """As in 0.28.1; it was refused."""
    assert URLPattern("://example.org").matches(url)
    assert not URLPattern("://example.org").matches("http://example.com/")
    assert URLPattern("://*.example.org:8080").matches("https://a.example.org:8080/")


def test_a_pattern_that_is_no_url_is_refused():
    with pytest.raises(InvalidURL):
        URLPattern("all://example.org:99999")


def test_a_pattern_is_what_it_was_written_as():
    pattern = URLPattern("all://*.example.org")
    assert pattern.pattern == "all://*.example.org"
    assert repr(pattern) == "URLPattern('all://*.example.org')"
    assert pattern == URLPattern("all://*.example.org")
    assert pattern != URLPattern("all://example.org")
    assert pattern != "all://*.example.org"
    assert len({pattern, URLPattern("all://*.example.org")}) == 1


# Their order.

ORDERED = [
    "all://longer.example.org:8080",
    "http://example.org:8080",
    "all://example.org:8080",
    "all://*:8080",
    "all://longer.example.org",
    "https://example.org",
    "http://example.org",
    "all://example.org",
    "https://",
    "http://",
    "all://",
]


def test_a_pattern_that_says_more_comes_first():
    for seed in range(5):
        patterns = [URLPattern(pattern) for pattern in ORDERED]
        random.Random(seed).shuffle(patterns)
        assert [pattern.pattern for pattern in sorted(patterns)] == ORDERED


def test_patterns_that_say_as_much_stay_in_their_order():
    for order in itertools.permutations(["all://", "", "all://*"]):
        assert [pattern.pattern for pattern in sorted(map(URLPattern, order))] == list(order)


# What 0.28.1 does, as its URLPattern said when it was asked: X is a match.

URLS = [
    "http://example.org/",
    "https://example.org/",
    "https://www.example.org/x?y",
    "http://a.b.example.org",
    "http://notexample.org",
    "http://example.org.evil.test",
    "http://localhost:1234/",
    "http://localhost/",
    "https://other.test:1234",
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://[::1]:8080/",
    "https://example.org:443",
    "https://example.org:8080/",
    "http://example.org:8080/",
    "http://www.example.org:8080",
    "ws://example.org",
    "wss://example.org/",
    "http://bücher.example/",
    "https://www.bücher.example/",
    "http://EXAMPLE.ORG",
    "ftp://example.org",
    "//example.org/",
    "/path",
    "http://example.com",
    "http://com/",
    "https://any-subdomain.example.org",
    "all://example.org",
]

TABLE = {
    "": "XXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    "all://": "XXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    "http://": "X..XXXXX.XXX..XX..X.X...XX..",
    "https://": ".XX.....X...XX.....X......X.",
    "all://example.org": "XX..........XXX.XX..XXX....X",
    "https://example.org": ".X..........XX..............",
    "all://*.example.org": "..XX...........X..........X.",
    "all://*example.org": "XXXX........XXXXXX..XXX...XX",
    "all://*": "XXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    "http://*": "X..XXXXX.XXX..XX..X.X...XX..",
    "https://*.example.org": "..X.......................X.",
    "http://localhost:1234": "......X.....................",
    "all://*:1234": "......X.X...................",
    "all://example.org:443": "............................",
    "all://example.org:8080": ".............XX.............",
    "http://example.org:80": "X.............X.....X.......",
    "https://example.org:443": ".X..........XX..............",
    "all://127.0.0.1": ".........X..................",
    "all://[::1]": "..........XX................",
    "all://[::1]:8080": "...........X................",
    "https://*": ".XX.....X...XX.....X......X.",
    "all://bücher.example": "..................X.........",
    "all://EXAMPLE.org": "XX..........XXX.XX..XXX....X",
    "ws://": "................X...........",
    "wss://example.org": ".................X..........",
    "socks5://x": "............................",
    "all://*.example.org:8080": "...............X............",
    "all://*example.org:8080": ".............XXX............",
    "https://*example.org": ".XX.........XX............X.",
    "all://a.b.example.org": "...X........................",
    "http:": "X..XXXXX.XXX..XX..X.X...XX..",
    "all://example.org/path": "XX..........XXX.XX..XXX....X",
    "all://exam*ple.org": "............................",
    "http://user@example.org": "X.............X.....X.......",
    "all://*.*": "............................",
    "all://*.com": "........................X...",
    "all://*com": "........................XX..",
}

# Sorted by 0.28.1; "all://*.bücher.example" is an InvalidURL there.
SORTED = [
    "all://*.example.org:8080",
    "all://*example.org:8080",
    "all://example.org:443",
    "all://example.org:8080",
    "http://localhost:1234",
    "all://[::1]:8080",
    "all://*:1234",
    "all://a.b.example.org",
    "all://bücher.example",
    "https://*.example.org",
    "all://*.example.org",
    "https://*example.org",
    "all://*example.org",
    "all://exam*ple.org",
    "https://example.org",
    "https://example.org:443",
    "http://example.org:80",
    "http://user@example.org",
    "wss://example.org",
    "all://example.org",
    "all://EXAMPLE.org",
    "all://example.org/path",
    "all://127.0.0.1",
    "all://*.com",
    "all://*com",
    "all://[::1]",
    "all://*.*",
    "socks5://x",
    "https://",
    "https://*",
    "http://",
    "http://*",
    "http:",
    "ws://",
    "",
    "all://",
    "all://*",
]


@pytest.mark.parametrize("pattern", TABLE)
def test_a_pattern_matches_what_it_matched_in_0_28_1(pattern):
    row = "".join("X" if URLPattern(pattern).matches(url) else "." for url in URLS)
    if pattern == "all://example.org:443":
        # The one difference: see `test_a_port_may_be_the_schemes_own`.
        assert TABLE[pattern] == "." * len(URLS)
        assert [url for url, mark in zip(URLS, row) if mark == "X"] == [
            "https://example.org/",
            "https://example.org:443",
            "wss://example.org/",
        ]
    else:
        assert row == TABLE[pattern]


def test_patterns_are_in_the_order_of_0_28_1():
    assert [pattern.pattern for pattern in sorted(map(URLPattern, TABLE))] == SORTED


HOSTS = st.lists(st.sampled_from(["a", "b", "example", "org"]), min_size=1, max_size=4).map(".".join)


@given(host=HOSTS, suffix=HOSTS, scheme=st.sampled_from(["http", "https"]), port=st.sampled_from([None, 80, 443, 8080]))
def test_wildcards_agree_with_their_definition(host, suffix, scheme, port):
    url = URL(scheme=scheme, host=host, port=port, path="/")
    assert URLPattern(f"all://{suffix}").matches(url) == (host == suffix)
    assert URLPattern(f"all://*.{suffix}").matches(url) == host.endswith("." + suffix)
    assert URLPattern(f"all://*{suffix}").matches(url) == (host == suffix or host.endswith("." + suffix))
    assert URLPattern(f"{scheme}://").matches(url)
