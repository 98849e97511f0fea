"""`_urlparse`: the grammar, the encode sets, hosts, and the two roads held against each other."""

from __future__ import annotations

import sys
from typing import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx._exceptions import InvalidURL
from httpx._urlparse import (
    MAX_LENGTH,
    ParseResult,
    _parse,
    decode_name,
    encode_credential,
    encode_form,
    remove_dot_segments,
    replace,
    resolve,
    urlparse,
)


def normal(text: str) -> str:
    return str(urlparse(text))


PARTS = [
    ("", ("", "", "", None, "", None, None)),
    ("http://h", ("http", "", "h", None, "", None, None)),
    ("http://h/", ("http", "", "h", None, "/", None, None)),
    ("http://u:p@h:8080/a?b#c", ("http", "u:p", "h", 8080, "/a", "b", "c")),
    ("http://h?a", ("http", "", "h", None, "", "a", None)),
    ("http://h#a", ("http", "", "h", None, "", None, "a")),
    ("http://h/?#", ("http", "", "h", None, "/", "", "")),
    ("http://h/a?b?c#d#e", ("http", "", "h", None, "/a", "b?c", "d#e")),
    ("HTTP://EXAMPLE.Com/A", ("http", "", "example.com", None, "/A", None, None)),
    ("a+b-c.1://h", ("a+b-c.1", "", "h", None, "", None, None)),
    ("//h:80/a", ("", "", "h", 80, "/a", None, None)),
    ("/a/../b", ("", "", "", None, "/a/../b", None, None)),
    ("../b", ("", "", "", None, "../b", None, None)),
    ("mailto:jo@example.com", ("mailto", "", "", None, "jo@example.com", None, None)),
    ("mailto:a/../b", ("mailto", "", "", None, "a/../b", None, None)),
    ("urn:a:b", ("urn", "", "", None, "a:b", None, None)),
    ("file:///a/b", ("file", "", "", None, "/a/b", None, None)),
    ("http:", ("http", "", "", None, "", None, None)),
    ("http://", ("http", "", "", None, "", None, None)),
    ("http://:8080/", ("http", "", "", 8080, "/", None, None)),
    ("http://u@/", ("http", "u", "", None, "/", None, None)),
    ("http://@h/", ("http", "", "h", None, "/", None, None)),
    ("http://:@h/", ("http", ":", "h", None, "/", None, None)),
    ("http:////a", ("http", "", "", None, "//a", None, None)),
    ("http:\\\\h/", ("http", "", "", None, "\\\\h/", None, None)),
    ("///a", ("", "", "", None, "/a", None, None)),
    # No scheme starts like these, so they are relative paths.
    (":a", ("", "", "", None, ":a", None, None)),
    ("1a:b", ("", "", "", None, "1a:b", None, None)),
    ("a_b:c", ("", "", "", None, "a_b:c", None, None)),
    ("://h/a", ("", "", "h", None, "/a", None, None)),
    (":h/a", ("", "", "", None, ":h/a", None, None)),
]


@pytest.mark.parametrize(("text", "parts"), PARTS)
def test_a_string_has_these_parts(text: str, parts: tuple[object, ...]) -> None:
    assert tuple(urlparse(text)) == parts


def test_parts_know_the_host_field_and_the_request_target() -> None:
    parts = urlparse("http://u:p@[::1]:81?q")
    assert (parts.netloc, parts.authority, parts.target) == ("[::1]:81", "u:p@[::1]:81", "/?q")
    parts = urlparse("a")
    assert (parts.netloc, parts.authority, parts.target) == ("", "", "a")


ENCODED = [
    # each printable ASCII character that is no delimiter there, and what it becomes
    ("http://h/ !\"$&'()*+,-./:;<=>@[\\]^_`{|}~a", "http://h/%20!%22$&'()*+,-./:;%3C=%3E@[\\]^_%60%7B|%7D~a"),
    ("http://h/? !\"$&'()*+,-./:;<=>?@[\\]^_`{|}~", "http://h/?%20!%22$&'()*+,-./:;%3C=%3E?@[\\]^_`{|}~"),
    ("http://h/# !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~", "http://h/#%20!%22#$&'()*+,-./:;%3C=%3E?@[\\]^_%60{|}~"),
    ("http:// !\"$&'()*+,-.:;<=>@[]^_`{|}~@h", "http://%20!%22$&'()*+,-.:%3B%3C%3D%3E%40%5B%5D%5E_%60%7B%7C%7D~@h"),
    ("http:// !\"$&'()*+,-.;<=>^_`{|}~", "http://%20!\"$&'()*+,-.;%3c=%3e%5e_`{|}~"),
    # what is encoded stays, in its case
    ("http://h/%41%c3%A9%2F?%41%2f#%41", "http://h/%41%c3%A9%2F?%41%2f#%41"),
    ("http://%41:%40@h", "http://%41:%40@h"),
    ("http://%65xample.com", "http://%65xample.com"),
    # a percent sign that does not start an escape stays, but for the host
    ("http://h/%zz%4%", "http://h/%zz%4%"),
    ("http://h/%zz?%zz=%4#%", "http://h/%zz?%zz=%4#%"),
    ("http://h/100%", "http://h/100%"),
    ("http://h/%u4E2D é", "http://h/%u4E2D%20%C3%A9"),
    ("http://h/%zz%41", "http://h/%zz%41"),
    ("http://100%:a@h%b", "http://100%:a@h%25b"),
    # whatever is not ASCII, as UTF-8
    ("http://é:é@h/é?é#é", "http://%C3%A9:%C3%A9@h/%C3%A9?%C3%A9#%C3%A9"),
    ("http://h/\x80\u2028\U0001f600", "http://h/%C2%80%E2%80%A8%F0%9F%98%80"),
]


@pytest.mark.parametrize(("text", "expected"), ENCODED)
def test_each_part_encodes_its_own_set(text: str, expected: str) -> None:
    assert normal(text) == expected
    assert normal(expected) == expected


DOTS = [
    ("", ""),
    ("/", "/"),
    ("/a/b/c/./../../g", "/a/g"),
    ("mid/content=5/../6", "mid/6"),
    ("/.", "/"),
    ("/..", "/"),
    ("/./", "/"),
    ("/../", "/"),
    ("/../../a", "/a"),
    ("/a/.", "/a/"),
    ("/a/..", "/"),
    ("/a/b/..", "/a/"),
    ("/a//../b", "/a/b"),
    ("/a/...", "/a/..."),
    ("/.a/..b/c..", "/.a/..b/c.."),
    ("/%2e%2e/a", "/%2e%2e/a"),
    (".", ""),
    ("..", ""),
    ("a/..", ""),
    ("a/../../c", "c"),
    ("./a", "a"),
]


@pytest.mark.parametrize(("path", "expected"), DOTS)
def test_dot_segments_are_removed(path: str, expected: str) -> None:
    assert remove_dot_segments(path) == expected
    if path.startswith("/"):
        assert normal(f"http://h{path}") == f"http://h{expected}"
        assert normal(f"http://H{path}") == f"http://h{expected}"


PORTS = [
    ("http://h:80/", None),
    ("http://h:080/", None),
    ("https://h:443/", None),
    ("ws://h:80/", None),
    ("wss://h:443/", None),
    ("ftp://h:21/", None),
    ("HTTP://h:80/", None),
    ("http://h:/", None),
    ("http://h:443/", 443),
    ("https://h:80/", 80),
    ("foo://h:80/", 80),
    ("http://h:0/", 0),
    ("http://h:65535/", 65535),
    ("http://h:00000000000000000000081/", 81),
    ("http://[::1]:81/", 81),
    ("http://[::1]:/", None),
    ("http://user:81@h/", None),
]


@pytest.mark.parametrize(("text", "port"), PORTS)
def test_the_default_port_is_dropped_and_others_are_numbers(text: str, port: int | None) -> None:
    assert urlparse(text).port == port


@pytest.mark.parametrize(
    "port", ["65536", "99999", "9" * 5000, "-80", "+80", " 80", "80 ", "1_0", "\u0663", "0x50", "b:80", "80:", ":"]
)
def test_a_port_that_is_no_number_up_to_65535_is_refused(port: str) -> None:
    with pytest.raises(InvalidURL, match="invalid port at position 9"):
        urlparse(f"http://h:{port}/")


def test_a_password_with_a_slash_is_not_quoted_where_the_port_is_expected() -> None:
    """A leak of 0.28.1: its message quoted what it took for a port."""
    with pytest.raises(InvalidURL) as info:
        urlparse("http://user:hunter2/x@h/")
    assert "hunter2" not in str(info.value)


HOSTS = [
    ("h", "h"),
    ("EXAMPLE.com", "example.com"),
    ("example.com.", "example.com."),
    ("a_b-c.d", "a_b-c.d"),
    ("a..b", "a..b"),
    ("a b", "a%20b"),
    ("a%20b", "a%20b"),
    ("127.0.0.1", "127.0.0.1"),
    ("255.255.255.255", "255.255.255.255"),
    # not of the shape of an address, so they are names
    ("1.2.3", "1.2.3"),
    ("1.2.3.4.5", "1.2.3.4.5"),
    ("1.2.3.4.", "1.2.3.4."),
    ("0x7f.1", "0x7f.1"),
    # IPv6, as it is written
    ("[::1]", "::1"),
    ("[::]", "::"),
    ("[2001:DB8::1]", "2001:DB8::1"),
    ("[0:0:0:0:0:0:0:1]", "0:0:0:0:0:0:0:1"),
    ("[::ffff:1.2.3.4]", "::ffff:1.2.3.4"),
    ("[fe80::1%25eth0]", "fe80::1%25eth0"),
    ("[fe80::1%eth0]", "fe80::1%eth0"),
    # IDNA 2008
    ("exämple.com", "xn--exmple-cua.com"),
    ("EXÄMPLE.com", "xn--exmple-cua.com"),
    ("straße.de", "xn--strae-oqa.de"),
    ("σς.gr", "xn--3xab.gr"),
    ("中国.icom.museum", "xn--fiqs8s.icom.museum"),
    ("é.", "xn--9ca."),
    ("a\u3002com", "a.com"),
    ("XN--exmple-cua.com", "xn--exmple-cua.com"),
    ("xn--a", "xn--a"),
    # UTS 46, where IDNA 2008 refuses
    ("☃.com", "xn--n3h.com"),
    ("\U0001f600.", "xn--e28h."),
    ("\uff21\uff22.com", "ab.com"),
    ("a_é.com", "xn--a_-cja.com"),
    ("a\u00adb", "ab"),
    ("☃.xn--n3h", "xn--n3h.xn--n3h"),
    ("\uff11.\uff12.3.4", "1.2.3.4"),
]


@pytest.mark.parametrize(("host", "expected"), HOSTS)
def test_a_host_is_normalised(host: str, expected: str) -> None:
    text = normal(f"http://{host}/")
    assert urlparse(text).host == urlparse(f"http://{host}/").host == expected
    assert text == normal(text)


BAD_HOSTS = [
    "256.1.1.1",
    "1.2.3.04",
    "1.2.3.999",
    "\uff11.2.3.256",  # an address only after mapping
    "[]",
    "[::1",
    "::1]",
    "[::1]a",
    "[::1]:80a",
    "a[::1]",
    "::1",
    "[v1.a]",
    "[1::2::3]",
    "[::1.2.3.256]",
    "[12345::]",
    "[::1%]",
    "[::1%25]",
    "[::1%a b]",
    "a]b",
    "a[b",
    "h\\b",
    "h:80\\b",
    "u\\v@h",
    "\\h",
    "a\x80b",
    "a\u200db",
    "a\u200db☃",
    "a..é",
    ".é",
    "é..",
    "\u3002com",
    "\uff41\uff0fb",  # maps to a slash
    "\u2100.com",  # maps to "a/c"
    "\uff0541",  # maps to a percent sign
    "☃:80.com",
    "é\uff05",
    "xn--é",
    "\u0660a",  # against the Bidi rule
    "\u0301é",  # begins with a combining mark
    "é" * 64,
    "☃" * 60 + ".com",
    "é" * 254,
    ".".join(["é☃"] * 30),
    "\ufdd0",
]


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_that_cannot_be_one_is_refused_with_its_position(host: str) -> None:
    with pytest.raises(InvalidURL, match=r"at position \d+"):
        urlparse(f"http://{host}/")


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss", "ftp"])
@pytest.mark.parametrize(
    "escape", ["%00", "%0a", "%0D", "%1f", "%7F", "%2f", "%5C", "%3F", "%23", "%40", "%3a", "%5b", "%5D"]
)
def test_an_escaped_delimiter_in_a_host_is_refused(scheme: str, escape: str) -> None:
    """Harm: a proxy that decodes `allowed%2f.evil.example` would ask another host than the one that was checked."""
    with pytest.raises(InvalidURL, match="escaped control character or delimiter"):
        urlparse(f"{scheme}://allowed.example{escape}.evil.example/")
    with pytest.raises(InvalidURL):
        replace(urlparse(f"{scheme}://h/"), {"host": f"a{escape}b"})
    with pytest.raises(InvalidURL):
        resolve(urlparse(f"{scheme}://h/"), urlparse(f"//a{escape}b/"))


def test_the_path_of_a_socket_may_be_the_host_of_another_scheme() -> None:
    assert urlparse("http+unix://%2Frun%2Fdocker.sock/info").host == "%2frun%2fdocker.sock"


@pytest.mark.parametrize("char", [chr(code) for code in (*range(0x20), 0x7F)])
def test_control_characters_are_refused_everywhere(char: str) -> None:
    for text in (f"http://h/{char}", f"http://h{char}", f"{char}http://h", f"http://h/#{char}"):
        with pytest.raises(InvalidURL, match=f"non-printable ASCII character.* at position {text.index(char)}"):
            urlparse(text)


def test_a_lone_surrogate_is_refused_with_its_position() -> None:
    with pytest.raises(InvalidURL, match=r"lone surrogate, '.udc80', at position 9"):
        urlparse("http://h/\udc80")


def test_a_url_has_at_most_65536_characters() -> None:
    assert len(normal("http://h/" + "a" * (MAX_LENGTH - 9))) == 65_536
    with pytest.raises(InvalidURL, match="65537 characters long"):
        urlparse("http://h/" + "a" * (MAX_LENGTH - 8))


def test_a_relative_path_with_two_slashes_is_refused() -> None:
    with pytest.raises(InvalidURL, match="'//'"):
        urlparse("////a")


BASE = "http://a/b/c/d;p?q"
RFC_3986_5_4 = [
    # 5.4.1, normal examples
    ("g:h", "g:h"),
    ("g", "http://a/b/c/g"),
    ("./g", "http://a/b/c/g"),
    ("g/", "http://a/b/c/g/"),
    ("/g", "http://a/g"),
    ("//g", "http://g"),
    ("?y", "http://a/b/c/d;p?y"),
    ("g?y", "http://a/b/c/g?y"),
    ("#s", "http://a/b/c/d;p?q#s"),
    ("g#s", "http://a/b/c/g#s"),
    ("g?y#s", "http://a/b/c/g?y#s"),
    (";x", "http://a/b/c/;x"),
    ("g;x", "http://a/b/c/g;x"),
    ("g;x?y#s", "http://a/b/c/g;x?y#s"),
    ("", "http://a/b/c/d;p?q"),
    (".", "http://a/b/c/"),
    ("./", "http://a/b/c/"),
    ("..", "http://a/b/"),
    ("../", "http://a/b/"),
    ("../g", "http://a/b/g"),
    ("../..", "http://a/"),
    ("../../", "http://a/"),
    ("../../g", "http://a/g"),
    # 5.4.2, abnormal examples
    ("../../../g", "http://a/g"),
    ("../../../../g", "http://a/g"),
    ("/./g", "http://a/g"),
    ("/../g", "http://a/g"),
    ("g.", "http://a/b/c/g."),
    (".g", "http://a/b/c/.g"),
    ("g..", "http://a/b/c/g.."),
    ("..g", "http://a/b/c/..g"),
    ("./../g", "http://a/b/g"),
    ("./g/.", "http://a/b/c/g/"),
    ("g/./h", "http://a/b/c/g/h"),
    ("g/../h", "http://a/b/c/h"),
    ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
    ("g;x=1/../y", "http://a/b/c/y"),
    ("g?y/./x", "http://a/b/c/g?y/./x"),
    ("g?y/../x", "http://a/b/c/g?y/../x"),
    ("g#s/./x", "http://a/b/c/g#s/./x"),
    ("g#s/../x", "http://a/b/c/g#s/../x"),
    ("http:g", "http://a/b/c/g"),  # "for backward compatibility"
]


@pytest.mark.parametrize(("reference", "expected"), RFC_3986_5_4)
def test_references_resolve_as_rfc_3986_section_5_4_says(reference: str, expected: str) -> None:
    assert str(resolve(urlparse(BASE), urlparse(reference))) == expected


RESOLVED = [
    ("http://h", "a", "http://h/a"),
    ("http://h", "", "http://h"),
    ("http://h/a?b#c", "", "http://h/a?b"),
    ("http://h/a?b#c", "?", "http://h/a?"),
    ("http://h/a?b#c", "#", "http://h/a?b#"),
    ("http://h/a/b/c", "http:../d", "http://h/a/d"),
    ("http://h/a", "http:/d", "http://h/d"),
    ("http://h/a", "https:/d", "https:/d"),
    ("http://u:p@h/a", "b", "http://u:p@h/b"),
    ("http://u:p@h/a", "//i/b", "http://i/b"),
    ("http://h", "//i:80/", "http://i/"),
    ("http://h/a%2Fb/c", "d", "http://h/a%2Fb/d"),
    ("http://h/a", "/.//b", "http://h//b"),
    ("foo://h/a/b", "../c", "foo://h/c"),
    ("mailto:a", "b", "mailto:b"),
    ("foo:a/b", "../c", "foo:c"),
    ("/a/b", "c", "/a/c"),
    ("/a/b", "//h/c", "//h/c"),
    ("", "c", "c"),
    ("a/b", "../../c", "c"),
    ("a/b", "../c:d", "./c:d"),  # or it would be read as a scheme
]


@pytest.mark.parametrize(("base", "reference", "expected"), RESOLVED)
def test_references_resolve_where_the_rfc_has_no_row(base: str, reference: str, expected: str) -> None:
    result = resolve(urlparse(base), urlparse(reference))
    assert str(result) == expected
    assert urlparse(expected) == result


def test_a_relative_outcome_with_two_slashes_is_refused() -> None:
    with pytest.raises(InvalidURL, match="'//'"):
        resolve(urlparse("/a"), urlparse("/.//b"))


def test_replace_exchanges_components_and_normalises_again() -> None:
    parts = urlparse("http://u:p@h:443/a?b#c")
    assert str(replace(parts, {"scheme": "HTTPS"})) == "https://u:p@h/a?b#c"
    assert str(replace(parts, {"host": "É.de", "port": None})) == "http://u:p@xn--9ca.de/a?b#c"
    assert str(replace(parts, {"host": "::1"})) == "http://u:p@[::1]:443/a?b#c"
    assert str(replace(parts, {"host": "[::1]"})) == "http://u:p@[::1]:443/a?b#c"
    assert str(replace(parts, {"netloc": "[::1]:81"})) == "http://u:p@[::1]:81/a?b#c"
    assert str(replace(parts, {"port": 7, "netloc": "i"})) == "http://u:p@i/a?b#c"
    assert str(replace(parts, {"path": "/x y/../é"})) == "http://u:p@h:443/%C3%A9?b#c"
    assert str(replace(parts, {"query": "d e", "fragment": "f g"})) == "http://u:p@h:443/a?d%20e#f%20g"
    assert str(replace(parts, {"userinfo": "a b/"})) == "http://a%20b%2F@h:443/a?b#c"
    nothing = dict.fromkeys(("scheme", "userinfo", "netloc", "path", "query", "fragment"))
    assert replace(parts, nothing) == urlparse("")
    assert replace(parts, {"host": None, "port": None, "userinfo": None}).authority == ""


def test_a_relative_path_cannot_turn_into_a_scheme() -> None:
    assert str(replace(urlparse(""), {"path": "a:b"})) == "./a:b"


BAD_COMPONENTS = [
    ("scheme", "1", "letter"),
    ("scheme", "a b", "letter"),
    ("scheme", "a\n", "at position 1"),
    ("host", "a/b", "'/' at position 1"),
    ("host", "a?b", "'?' at position 1"),
    ("host", "a@b", "'@' at position 1"),
    ("host", "a\\b", "at position 1"),
    ("host", "a:80", "IPv6"),
    ("host", "[a]", "IPv6"),
    ("host", "a\0", "at position 1"),
    ("port", -1, "-1"),
    ("port", 65536, "65536"),
    ("port", True, "True"),
    ("netloc", "u:p@h", "invalid port at position 2"),
    ("netloc", "u@h", "'@' at position 1"),
    ("netloc", "h/a", "'/' at position 1"),
    ("netloc", "h:65536", "invalid port"),
    ("userinfo", "a@b", "'@'"),
    ("userinfo", "a\0", "at position 1"),
    ("path", "a", "begin with '/'"),
    ("path", "/a?b", "'\\?'"),
    ("path", "/a#b", "'#'"),
    ("path", "/a\ud800", "at position 2"),
    ("path", "/" * (MAX_LENGTH + 1), "path is 65537 characters long"),
    ("query", "a#b", "'#'"),
    ("query", "\x7f", "at position 0"),
    ("fragment", "\t", "at position 0"),
]


@pytest.mark.parametrize(
    ("name", "value", "reason"), BAD_COMPONENTS, ids=[f"{name}-{reason}" for name, _, reason in BAD_COMPONENTS]
)
def test_a_component_that_cannot_be_one_is_refused(name: str, value: object, reason: str) -> None:
    with pytest.raises(InvalidURL, match=reason):
        replace(urlparse("http://h"), {name: value})


def test_a_port_of_thousands_of_digits_is_refused_like_any_other() -> None:
    """`repr` of such a number is a ValueError."""
    with pytest.raises(InvalidURL, match="port is too large"):
        replace(urlparse("http://h"), {"port": 10**5000})


@pytest.mark.parametrize("path", ["//a", ":a"])
def test_a_relative_path_that_would_be_read_as_something_else_is_refused(path: str) -> None:
    with pytest.raises(InvalidURL, match="relative"):
        replace(urlparse(""), {"path": path})


def test_a_path_with_two_slashes_stays_a_path_without_a_host() -> None:
    """0.28.1 wrote `http://a`, in which the path had become the host."""
    parts = replace(urlparse("http://h//a/b"), {"host": None})
    assert str(parts) == "http:////a/b"
    assert urlparse(str(parts)) == parts


def test_credentials_are_encoded_with_every_delimiter() -> None:
    assert encode_credential("a:b/@?#[]\n é%41%zz", "password") == "a%3Ab%2F%40%3F%23%5B%5D%0A%20%C3%A9%2541%25zz"
    with pytest.raises(InvalidURL, match="password holds a lone surrogate at position 1"):
        encode_credential("a\ud800", "password")
    with pytest.raises(InvalidURL, match="password is 65537 characters long"):
        encode_credential("a" * 65537, "password")


def test_form_encoding_is_what_browsers_send() -> None:
    assert encode_form("aZ0-_.~") == "aZ0-_.~"
    assert encode_form("a b+c%20&=é*") == "a+b%2Bc%2520%26%3D%C3%A9%2A"
    with pytest.raises(InvalidURL, match="lone surrogate at position 2"):
        encode_form("a \udc80")


DECODED = [
    ("example.com", "example.com"),
    ("xn--exmple-cua.com", "exämple.com"),
    ("www.xn--exmple-cua.com", "www.exämple.com"),
    ("xn--n3h.xn--9ca", "☃.é"),
    ("xn--a", "xn--a"),  # decodes to a control character
    ("xn--abc-", "xn--abc-"),  # decodes to ASCII
    ("xn--a/b-", "xn--a/b-"),
    ("xn--zzzzzzzzz99999", "xn--zzzzzzzzz99999"),
    ("xn--99999999999", "xn--99999999999"),
    ("xn--" + "a" * 60_000, "xn--" + "a" * 60_000),
    ("xn--", "xn--"),
    ("axn--b", "axn--b"),
    ("xn--n3h.a%41", "xn--n3h.a%41"),  # no name as a whole
]


@pytest.mark.parametrize(("host", "expected"), DECODED, ids=[host[:20] for host, _ in DECODED])
def test_names_are_decoded_only_if_encoding_gives_them_back(host: str, expected: str) -> None:
    assert decode_name(host) == expected


def test_a_plain_host_needs_no_idna(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading its tables takes longer than the whole request."""
    monkeypatch.setitem(sys.modules, "idna", None)
    assert urlparse("http://user@EXAMPLE.com:81/é").host == "example.com"
    with pytest.raises(ImportError):
        urlparse("http://é/")


TOKENS = [
    *("http:", "HTTPS:", "foo:", "mailto:", "//", "/", "/.", "/..", ".", "?", "#", "@", ":", "[", "]", "[::1]", "\\"),
    *(
        "a",
        "B",
        "é",
        "☃",
        "\uff11",
        "\u2100",
        "\u200d",
        "\ud800",
        "\n",
        " ",
        "%",
        "%zz",
        "%41",
        "xn--",
        "xn--n3h",
        "80",
        "65536",
    ),
    *("127.0.0.1", "1.2.3.256", "localhost", "example.com", "\u3002", ";", "'", '"', "|", "{", "^", "&", "=", "+"),
]
anything = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(TOKENS), max_size=10).map("".join))


@settings(max_examples=100, deadline=None)
@given(anything)
def test_parsing_raises_nothing_but_invalid_url_and_its_outcome_is_a_fixed_point(text: str) -> None:
    try:
        parts = urlparse(text)
    except InvalidURL:
        return
    assert str(parts).isascii()
    assert urlparse(str(parts)) == parts
    assert decode_name(parts.host) is not None


PLAIN_TOKENS = [
    "a",
    "b.c",
    "-",
    "/",
    "/.",
    "/..",
    "?",
    "#",
    "%41",
    "%4",
    ":80",
    ":0",
    "=",
    "&",
    "1",
    ".",
    "é",
    "A",
    "@",
]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        ["http://h", "https://a.b:443", "ftp://1.2.3.4", "ws://h:99999", "http://1.2.3.4.5:8080", "http://"]
    ),
    st.lists(st.sampled_from(PLAIN_TOKENS), max_size=8).map("".join),
)
def test_the_short_road_leads_where_the_long_one_does(start: str, rest: str) -> None:
    def outcome(parse: Callable[[str], ParseResult]) -> ParseResult | str:
        try:
            return parse(start + rest)
        except InvalidURL as exc:
            return str(exc)

    assert outcome(urlparse) == outcome(_parse)


@settings(max_examples=50, deadline=None)
@given(anything, anything)
def test_resolving_raises_nothing_but_invalid_url_and_its_outcome_is_a_fixed_point(base: str, reference: str) -> None:
    try:
        parts = resolve(urlparse(base), urlparse(reference))
    except InvalidURL:
        return
    assert urlparse(str(parts)) == parts


@pytest.mark.parametrize(
    "text", ["http://h/" + "%" * 65_000, "http://h/" + "/.." * 20_000, "http://" + "a@" * 30_000], ids=["%", "..", "@"]
)
def test_long_hostile_urls_take_linear_time(text: str) -> None:
    """A quadratic parser would need minutes for these."""
    try:
        urlparse(text)
    except InvalidURL:
        pass


LONG_LABEL = "a" * 64
LONG_NAME = ".".join(["a" * 49] * 5 + ["abcd"])


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss", "HTTP"])
@pytest.mark.parametrize("host", [LONG_LABEL, f"a.{LONG_LABEL}.b", LONG_NAME, ".".join(["a"] * 30_000)])
def test_a_host_that_no_name_service_can_hold_is_refused(scheme: str, host: str) -> None:
    """A redirect to a host of 30,000 labels cost 1.7 GB in the cookie jar."""
    with pytest.raises(InvalidURL, match=r"characters (long|are allowed), at most (63|253)") as caught:
        urlparse(f"{scheme}://{host}/")
    assert len(str(caught.value)) < 200
    with pytest.raises(InvalidURL):
        replace(urlparse("http://h"), {"host": host})


@pytest.mark.parametrize("host", ["a" * 63, LONG_NAME[1:], LONG_NAME[1:] + ".", "127.0.0.1"])
def test_the_longest_names_are_accepted(host: str) -> None:
    assert urlparse(f"http://{host}/").host == host
    assert urlparse(f"HTTP://{host}/").host == host


def test_hosts_of_other_schemes_may_be_longer() -> None:
    """Such as the path of a Unix socket."""
    host = "%2f".join(["run", "user", "a" * 70])
    assert urlparse(f"http+unix://{host}/").host == host
