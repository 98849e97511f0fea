from __future__ import annotations

import copy
import http.cookiejar
import pickle
import subprocess
import sys
import threading
import time
import tracemalloc
import types
import urllib.request
from datetime import datetime, timezone
from typing import Any, Optional
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import httpx
from httpx._cookies import Cookies, eviction, mapping, rules, storage, suffixes, urllib_views
from httpx._cookies.rules import parse
from httpx._exceptions import CookieConflict, LocalProtocolError
from httpx._headers import Headers

HTTPS = "https://example.org/"


class FakeURL:
    """What of `httpx.URL` the cookies read."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self.scheme = parts.scheme
        self.raw_host = (
            (parts.hostname or "").encode("idna") if ":" not in parts.netloc else (parts.hostname or "").encode()
        )
        self.host = self.raw_host.decode("idna") if b"xn--" in self.raw_host else self.raw_host.decode()
        self.raw_path = ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode()

    def __str__(self) -> str:
        return self._url


def request_to(url: str, **headers: str) -> Any:
    return types.SimpleNamespace(url=FakeURL(url), headers=Headers(headers))


def receive(cookies: Cookies, url: str, *lines: str | bytes) -> Cookies:
    """Let `url` answer with these Set-Cookie fields."""
    headers = Headers._from_raw([(b"Set-Cookie", line.encode() if isinstance(line, str) else line) for line in lines])
    response: Any = types.SimpleNamespace(headers=headers, request=request_to(url))
    cookies.extract_cookies(response)
    return cookies


def sent(cookies: Cookies, url: str, **headers: str) -> Optional[str]:
    """The Cookie field of a request to `url`."""
    request = request_to(url, **headers)
    cookies.set_cookie_header(request)
    value: Optional[str] = request.headers.get("cookie")
    return value


def only(cookies: Cookies) -> http.cookiejar.Cookie:
    (cookie,) = cookies.jar
    return cookie


@pytest.fixture(autouse=True)
def built_in_suffixes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same list on every machine, whatever is installed."""
    for package in ("publicsuffixlist", "publicsuffix2"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(suffixes, "_suffix_of", None)


# -- the mapping


@pytest.mark.parametrize(
    "source",
    [
        {"a": "1", "b": "2"},
        [("a", "1"), ("b", "2")],
        (("a", "1"), ("b", "2")),
        iter([("a", "1"), ("b", "2")]),
        Cookies({"a": "1", "b": "2"}),
        Cookies({"a": "1", "b": "2"}).jar,
    ],
)
def test_cookies_are_made_from_mappings_pairs_cookies_and_jars(source: Any) -> None:
    cookies = Cookies(source)
    assert dict(cookies) == {"a": "1", "b": "2"}
    assert list(cookies) == ["a", "b"]
    assert len(cookies) == 2
    assert cookies
    assert sent(cookies, HTTPS) == "a=1; b=2"


def test_a_mapping_of_another_kind_will_do() -> None:
    assert dict(Cookies(types.MappingProxyType({"a": "1"}))) == {"a": "1"}


@pytest.mark.parametrize("source", ["a=1", b"a=1", 5])
def test_what_is_no_collection_of_cookies_is_a_type_error(source: Any) -> None:
    with pytest.raises(TypeError):
        Cookies(source)


def test_a_jar_is_used_itself_but_cookies_are_copied() -> None:
    jar = http.cookiejar.CookieJar()
    cookies = Cookies(jar)
    assert cookies.jar is jar
    cookies["a"] = "1"
    assert [cookie.name for cookie in jar] == ["a"]
    other = Cookies(cookies)
    other["b"] = "2"
    assert list(cookies) == ["a"]
    cookies.jar = other.jar
    assert list(cookies) == ["a", "b"]


def test_the_jar_is_made_when_it_is_asked_for() -> None:
    cookies = Cookies()
    assert cookies._jar is None
    assert not cookies
    assert cookies._is_empty()
    assert len(cookies) == 0
    assert list(cookies) == []
    assert cookies.get("a") is None
    cookies.clear()
    cookies.delete("a")
    cookies.update()
    cookies.update({})
    cookies.update(Cookies())
    assert sent(cookies, HTTPS) is None
    receive(cookies, HTTPS)
    assert cookies._jar is None
    assert type(cookies.jar) is http.cookiejar.CookieJar
    assert cookies._is_empty()
    cookies["a"] = "1"
    assert not cookies._is_empty()


def test_two_threads_that_need_the_jar_at_once_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cookies = Cookies()

    class OtherThreadWasFaster:
        def __enter__(self) -> None:
            cookies.jar = jar

        def __exit__(self, *exc: object) -> None:
            pass

    jar = http.cookiejar.CookieJar()
    monkeypatch.setattr(mapping, "_CREATING", OtherThreadWasFaster())
    assert cookies.jar is jar


def test_cookies_cost_no_import_until_one_is_stored() -> None:
    script = (
        "import sys\n"
        "from httpx._cookies import Cookies\n"
        "assert not Cookies()\n"
        "assert 'http.cookiejar' not in sys.modules\n"
        "assert Cookies({'a': '1'})\n"
        "assert 'http.cookiejar' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_missing_cookie_is_a_key_error_or_the_default_but_may_be_deleted() -> None:
    cookies = Cookies({"a": "1"})
    with pytest.raises(KeyError, match="b"):
        cookies["b"]
    assert cookies.get("b") is None
    assert cookies.get("b", "d") == "d"
    del cookies["b"]
    cookies.delete("b")
    cookies.delete("a", domain="example.org")
    assert "a" in cookies
    assert "b" not in cookies
    assert cookies.pop("a") == "1"
    assert cookies.setdefault("c", "2") == "2"
    assert cookies == {"c": "2"}


def test_several_cookies_of_one_name_need_a_domain_or_path() -> None:
    cookies = Cookies({"a": "1"})
    cookies.set("a", "2", domain="example.org")
    cookies.set("a", "3", domain="example.org", path="/p")
    with pytest.raises(CookieConflict, match=r"3 cookies are called 'a'.*example.org/p"):
        cookies["a"]
    with pytest.raises(CookieConflict):
        cookies.get("a", domain="example.org")
    assert "a" in cookies
    assert cookies.get("a", domain="example.org", path="/p") == "3"
    assert cookies.get("a", domain="EXAMPLE.org", path="/") == "2"
    assert cookies.get("a", domain="") == "1"
    assert list(cookies) == ["a", "a", "a"]
    cookies.delete("a", path="/p")
    cookies.delete("a", domain="")
    assert cookies["a"] == "2"


def test_clearing_takes_a_domain_and_a_path() -> None:
    cookies = Cookies({"a": "1"})
    cookies.set("b", "2", domain="example.org")
    cookies.set("c", "3", domain="example.org", path="/p")
    cookies.clear(domain="nowhere.org")
    assert len(cookies) == 3
    cookies.clear(domain="example.org", path="/p")
    assert list(cookies) == ["a", "b"]
    cookies.clear(path="/p")
    cookies.clear(domain="example.org")
    assert list(cookies) == ["a"]
    cookies.clear()
    assert list(cookies) == []


def test_a_cookie_of_a_request_stands_where_that_of_the_client_stood() -> None:
    """0.28.1's order: some servers read the first cookies only."""
    seen: list[str] = []
    transport = httpx.MockTransport(lambda request: seen.append(request.headers["cookie"]) or httpx.Response(200))  # type: ignore[func-returns-value]  # None is false
    with httpx.Client(transport=transport, cookies={"a": "1", "b": "2"}) as client:
        client.get("http://x.com/", cookies={"a": "3", "c": "4"})
    assert seen == ["a=3; b=2; c=4"]


def test_the_repr_shows_the_name_of_each_cookie_and_no_value() -> None:
    """Sessions stood in logs and tracebacks."""
    cookies = Cookies({"a": "s3cret"})
    cookies.set("b", "s3cret", domain="x.com")
    assert repr(cookies) == "<Cookies[<Cookie a for  />, <Cookie b for x.com />]>"
    assert repr(Cookies()) == "<Cookies[]>"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("attributes", ["", "; Domain=example.org", "; Path=/%d"])
def test_many_cookies_of_one_response_are_stored_in_linear_time(
    monkeypatch: pytest.MonkeyPatch, scheme: str, attributes: str
) -> None:
    """A response of 256 KiB with nothing but cookies kept the event loop busy for eleven seconds."""
    looked_at = 0

    def stored(jar: Any, domains: Any) -> Any:
        nonlocal looked_at
        found = storage.stored(jar, domains)
        looked_at += len(found)
        return found

    monkeypatch.setattr(rules, "stored", stored)
    cookies = Cookies()
    for number in range(500):
        cookies.set("other", "1", domain=f"h{number}.example.net")
    lines = [f"n{number}=1{attributes.replace('%d', str(number))}" for number in range(3_000)]
    fields = [("Set-Cookie", line) for line in lines]
    request = httpx.Request("GET", f"{scheme}://www.example.org/")
    cookies.extract_cookies(httpx.Response(200, headers=fields, request=request))
    assert len(cookies) == 500 + 180
    assert looked_at < 4_000
    names = {cookie.name for cookie in cookies.jar if cookie.name != "other"}
    assert names == {f"n{number}" for number in range(rules.MAX_FIELDS - 180, rules.MAX_FIELDS)}


def test_a_foreign_jar_stores_a_cookie_in_the_place_of_the_old_one() -> None:
    class Listed(http.cookiejar.CookieJar):
        def __iter__(self) -> Any:
            return iter([cookie for cookie in super().__iter__() if cookie.name != "hidden"])

    cookies = Cookies(Listed())
    request = httpx.Request("GET", "http://www.example.org/")
    for fields in ([("Set-Cookie", "a=1"), ("Set-Cookie", "b=1")], [("Set-Cookie", "a=2")]):
        cookies.extract_cookies(httpx.Response(200, headers=fields, request=request))
    cookies.set_cookie_header(request)
    assert request.headers["cookie"] == "a=2; b=1"


def test_a_repr_has_no_control_character_of_a_server():
    """A repr is printed, and the control characters of C1 mean something to a terminal, too."""
    cookies = Cookies()
    fields = [(b"Set-Cookie", "a\x9b2J\u202e=1; Path=/".encode())]
    cookies.extract_cookies(httpx.Response(200, headers=fields, request=httpx.Request("GET", "http://x.com/")))
    assert len(cookies) == 1
    assert repr(cookies) == "<Cookies[<Cookie a\\x9b2J\\u202e for x.com />]>"


@pytest.mark.parametrize("name", ["a;b", "a\n", "\x00"])
def test_a_name_that_would_become_another_cookie_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"the name of cookie .* contains .* at position"):
        Cookies({name: "1"})


@pytest.mark.parametrize("value", ["x;y", "hunter2; admin=1", "a\r\nSet", "\x00", "\x7f"])
def test_a_value_that_would_become_another_cookie_is_refused_without_showing_it(value: str) -> None:
    """A program that stores what a user typed would otherwise let them add cookies of their choice."""
    for put in (lambda: Cookies({"id": value}), lambda: Cookies().set("id", value), lambda: Cookies([("id", value)])):
        with pytest.raises(ValueError, match=r"the value of cookie 'id' contains .* at position") as caught:
            put()
        assert "hunter2" not in str(caught.value)


def test_a_value_must_be_text() -> None:
    value: Any = 1
    with pytest.raises(TypeError, match="the value of cookie 'a' must be a str, got int"):
        Cookies({"a": value})


@pytest.mark.parametrize("place", [{"name": None}, {"name": 1}, {"domain": 1}, {"domain": None}, {"path": b"/"}])
def test_name_domain_and_path_must_be_text(place: Any) -> None:
    with pytest.raises(TypeError, match=f"the {next(iter(place))} of a cookie must be a str"):
        Cookies().set(**{"name": "a", "value": "b", **place})
    with pytest.raises(TypeError):
        Cookies({None: "b"})  # type: ignore[dict-item]  # what is tested
    with pytest.raises(TypeError):
        Cookies({"a": "b"}).get("a", domain=1)  # type: ignore[call-overload]  # what is tested


def test_other_odd_values_are_sent_as_they_are() -> None:
    nothing: Any = None
    assert sent(Cookies({"a": 'x y, "q"=', "b": "", "c": nothing}), HTTPS) == 'a=x y, "q"=; b=; c'


def test_a_value_beyond_ascii_is_sent_as_utf_8() -> None:
    request = request_to(HTTPS)
    Cookies({"a": "日", "b": "\ud800"}).set_cookie_header(request)
    assert request.headers.raw == [(b"Cookie", "a=日; b=?".encode())]


# -- copies


@pytest.mark.parametrize("duplicate", [Cookies, copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_changes_apart_from_its_original(duplicate: Any) -> None:
    cookies = receive(Cookies({"a": "1"}), HTTPS, b"b=\xff")
    other = duplicate(cookies)
    assert other == cookies
    other["c"] = "3"
    other.delete("a")
    assert list(cookies) == ["a", "b"]
    request = request_to(HTTPS)
    other.set_cookie_header(request)
    assert request.headers.raw == [(b"Cookie", b"b=\xff; c=3")]


def test_empty_cookies_pickle() -> None:
    assert pickle.loads(pickle.dumps(Cookies()))._jar is None


def test_the_policy_of_a_jar_is_pickled_with_it() -> None:
    jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(blocked_domains=["example.org"]))
    cookies = pickle.loads(pickle.dumps(Cookies(jar)))
    assert not receive(cookies, HTTPS, "a=1")


class PicklableJar(http.cookiejar.CookieJar):
    def __reduce__(self) -> Any:
        return PicklableJar, ()


def test_a_jar_of_another_class_pickles_itself() -> None:
    assert type(pickle.loads(pickle.dumps(Cookies(PicklableJar()))).jar) is PicklableJar


# -- reading Set-Cookie


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"a=1", "a", "1"),
        (b" a\t= 1 ; Path=/", "a", "1"),
        (b'a="x y"', "a", '"x y"'),
        (b'a="x;y"', "a", '"x'),
        (b"a=1=2", "a", "1=2"),
        (b"a=", "a", ""),
        (b"a", "a", None),
        (b"a=x\ty", "a", "x\ty"),
        (b"a=1, b=2", "a", "1, b=2"),
        ("a=é日".encode(), "a", "é日"),
        (b"a=\xe9", "a", "é"),
    ],
)
def test_name_and_value_are_what_stands_around_the_first_equals_sign(
    line: bytes, name: str, value: Optional[str]
) -> None:
    parsed = parse(line)
    assert parsed is not None
    assert (parsed.name, parsed.value) == (name, value)
    cookies = receive(Cookies(), HTTPS, line)
    assert cookies[name] == value


@pytest.mark.parametrize(
    "line", [b"", b";", b"=1", b" =1", b"; Path=/", b"a=\x00", b"a=1\x7f", b"a=1; Path=/\n", b"\r"]
)
def test_a_cookie_without_name_or_with_control_bytes_is_ignored(line: bytes) -> None:
    assert parse(line) is None
    assert not receive(Cookies(), HTTPS, line)


def test_octets_go_back_as_they_came() -> None:
    request = request_to(HTTPS)
    receive(Cookies(), HTTPS, b"a=\xff\xfe", "b=é".encode(), b"c").set_cookie_header(request)
    assert request.headers.raw == [(b"Cookie", b"a=\xff\xfe; b=\xc3\xa9; c")]


def test_a_cookie_of_more_than_4_kib_is_ignored() -> None:
    assert receive(Cookies(), HTTPS, "a=" + "x" * 4095)
    assert not receive(Cookies(), HTTPS, "a=" + "x" * 4096)
    assert not receive(Cookies(), HTTPS, "a=" + "é" * 2048)


def test_long_and_numerous_attributes_are_ignored() -> None:
    cookies = receive(Cookies(), HTTPS, "a=1; Path=/" + "x" * 1024 + "; Domain" * 40 + "; Path=/b")
    assert only(cookies).path == "/"
    assert not only(receive(Cookies(), HTTPS, "a=1" + "; " * 40 + "Secure")).secure


def test_the_cookie_object_says_what_the_field_said() -> None:
    line = "k=v; domain=.Example.org; PATH=/p; Max-Age=100; httponly; samesite=Lax; Secure=1; Foo=bar"
    cookie = only(receive(Cookies(), "https://www.example.org/", line))
    assert (cookie.name, cookie.value, cookie.version) == ("k", "v", 0)
    assert (cookie.domain, cookie.domain_specified, cookie.domain_initial_dot) == (".example.org", True, True)
    assert (cookie.path, cookie.path_specified) == ("/p", True)
    assert cookie.secure is True
    assert cookie.expires is not None
    assert 98 <= cookie.expires - time.time() <= 100
    assert not cookie.discard
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"
    assert cookie.get_nonstandard_attr("Foo") == "bar"
    plain = only(receive(Cookies(), "https://example.org/a/b", "k=v"))
    assert (plain.domain, plain.domain_specified) == ("example.org", False)
    assert (plain.path, plain.path_specified) == ("/a", False)
    assert (plain.secure, plain.expires, plain.discard) == (False, None, True)


def test_of_repeated_attributes_the_last_counts() -> None:
    cookie = only(receive(Cookies(), HTTPS, "a=1; Path=/x; Domain=example.org; Path=/y; Domain="))
    assert (cookie.path, cookie.domain) == ("/y", "example.org")


def test_several_fields_are_several_cookies_and_other_headers_will_do() -> None:
    cookies = receive(Cookies(), HTTPS, "a=1; Path=/", "b=2; Path=/", "a=3; Path=/")
    assert dict(cookies) == {"a": "3", "b": "2"}
    response: Any = types.SimpleNamespace(headers={"Set-Cookie": "c=4"}, request=request_to(HTTPS))
    cookies.extract_cookies(response)
    assert cookies["c"] == "4"


def test_an_answer_without_cookies_needs_no_request() -> None:
    response: Any = types.SimpleNamespace(headers=Headers({"a": "1"}))
    cookies = Cookies()
    cookies.extract_cookies(response)
    assert cookies._jar is None


# -- domains


def test_a_cookie_without_domain_goes_back_to_its_host_alone() -> None:
    cookies = receive(Cookies(), HTTPS, "a=1")
    assert sent(cookies, HTTPS) == "a=1"
    assert sent(cookies, "https://EXAMPLE.org:8443/") == "a=1"
    assert sent(cookies, "https://www.example.org/") is None
    assert sent(cookies, "https://example.com/") is None


@pytest.mark.parametrize("domain", ["example.org", ".example.org", "EXAMPLE.ORG"])
def test_a_cookie_with_domain_goes_to_everything_below_it(domain: str) -> None:
    cookies = receive(Cookies(), "https://www.example.org/", f"a=1; Domain={domain}")
    for host in ("example.org", "www.example.org", "a.b.example.org"):
        assert sent(cookies, f"https://{host}/") == "a=1"
    for host in ("badexample.org", "org", "example.com", "example.org.evil.com"):
        assert sent(cookies, f"https://{host}/") is None


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.org", "www.example.org"),
        ("example.org", "other.org"),
        ("badexample.org", "example.org"),
        ("example.org", "..example.org"),
        ("example.org", "éxample.org"),
        ("example.org", "org"),
        ("example.org", "example.org:443"),
        ("www.bbc.co.uk", "co.uk"),
        ("www.bbc.co.uk", "co.uk."),
        ("me.github.io", "github.io"),
        ("127.0.0.1", "0.0.1"),
        ("127.0.0.1", "1"),
        ("10.1.2.3", "1.2.3"),
    ],
)
def test_a_domain_that_is_not_the_senders_is_refused(host: str, domain: str) -> None:
    """Whoever may set cookies for co.uk sets them for every shop in the country (session fixation)."""
    assert not receive(Cookies(), f"https://{host}/", f"a=1; Domain={domain}")


@pytest.mark.parametrize("host", ["github.io", "co.uk", "127.0.0.1", "localhost"])
def test_a_public_suffix_or_address_may_name_itself_and_gets_a_cookie_for_itself(host: str) -> None:
    cookies = receive(Cookies(), f"https://{host}/", f"a=1; Domain={host}")
    assert sent(cookies, f"https://{host}/") == "a=1"
    assert sent(cookies, f"https://x.{host}/") is None
    assert not only(cookies).domain_specified


def test_addresses_match_only_themselves() -> None:
    cookies = receive(Cookies(), "http://127.0.0.1/", "a=1")
    assert sent(cookies, "http://127.0.0.1:8000/") == "a=1"
    assert sent(cookies, "http://27.0.0.1/") is None
    cookies = receive(Cookies(), "http://[::1]:80/", "a=1")
    assert sent(cookies, "http://[::1]/") == "a=1"
    assert sent(cookies, "http://[::2]/") is None
    assert only(cookies).domain == "[::1].local"  # as the standard library has it


def test_a_host_without_a_dot_is_kept_as_the_standard_library_keeps_it_and_found_under_both_names() -> None:
    cookies = receive(Cookies(), "http://testserver/", "a=1")
    assert only(cookies).domain == "testserver.local"
    assert cookies.get("a", domain="testserver") == cookies.get("a", domain="testserver.local") == "1"
    assert sent(cookies, "http://testserver/") == "a=1"
    # The name is the same in the jar, the host is not.
    assert sent(cookies, "http://testserver.local/") is None
    cookies.delete("a", domain="testserver")
    assert not cookies


@pytest.mark.parametrize("host", ["testserver", "localhost"])
def test_a_host_without_a_dot_sets_no_cookie_for_the_host_whose_name_its_own_has_in_a_jar(host: str) -> None:
    """Harm: `http://printer/` could set the cookies of `http://printer.local/`, another machine."""
    cookies = receive(Cookies(), f"http://{host}/", f"a=1; Domain={host}.local")
    assert not cookies


@pytest.mark.parametrize("domain", ["testserver", "testserver.local", ".testserver.local"])
def test_a_user_may_name_a_host_without_a_dot_in_either_way(domain: str) -> None:
    cookies = Cookies()
    cookies.set("a", "1", domain=domain)
    assert sent(cookies, "http://testserver/") == "a=1"
    assert sent(cookies, "http://other/") is None


@pytest.mark.parametrize("domain", ["x.com", ".x.com", "X.com"])
def test_a_cookie_that_a_user_sets_for_a_domain_goes_to_everything_below_it(domain: str) -> None:
    cookies = Cookies()
    cookies.set("a", "1", domain=domain)
    assert sent(cookies, "http://x.com/") == sent(cookies, "http://y.x.com/") == "a=1"
    assert sent(cookies, "http://y.com/") is None


def test_a_cookie_that_a_user_sets_without_domain_goes_to_every_host() -> None:
    cookies = Cookies({"a": "1"})
    for url in ("http://x.com/", "https://localhost/p", "http://127.0.0.1/", "http://[::1]/"):
        assert sent(cookies, url) == "a=1"


def test_international_names_match_in_both_forms() -> None:
    url = "https://www.münchen.de/"
    cookies = receive(Cookies(), url, "a=1", "b=2; Domain=xn--mnchen-3ya.de")
    cookies.set("c", "3", domain="münchen.de")
    assert sent(cookies, url) == "a=1; b=2; c=3"
    assert sent(cookies, "https://xn--mnchen-3ya.de/") == "b=2; c=3"


# -- paths


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/", "/"),
        ("/a", "/"),
        ("/a/", "/a"),
        ("/a/b", "/a"),
        ("/a/b?c=/d/e", "/a"),
        ("/a%20b/c", "/a%20b"),
        ("", "/"),
    ],
)
@pytest.mark.parametrize("attribute", ["", "; Path=", "; Path=foo", "; Path"])
def test_the_default_path_is_that_of_the_request_up_to_its_last_slash(url: str, path: str, attribute: str) -> None:
    assert only(receive(Cookies(), "https://example.org" + url, "a=1" + attribute)).path == path


@pytest.mark.parametrize(
    ("path", "asked", "matches"),
    [
        ("/", "/anything", True),
        ("/p", "/p", True),
        ("/p", "/p/q", True),
        ("/p/", "/p/q", True),
        ("/p", "/p?q", True),
        ("/p", "/pq", False),
        ("/p/", "/p", False),
        ("/p", "/", False),
        ("/p", "/P", False),
    ],
)
def test_a_cookie_goes_to_its_path_and_below(path: str, asked: str, matches: bool) -> None:
    received = receive(Cookies(), HTTPS, f"a=1; Path={path}")
    given = Cookies()
    given.set("a", "1", path=path)
    for cookies in (received, given):
        assert sent(cookies, "https://example.org" + asked) == ("a=1" if matches else None)


def test_an_empty_path_is_every_path_and_an_asterisk_is_the_root() -> None:
    cookies = Cookies()
    cookies.set("a", "1", path="")
    assert sent(cookies, "https://example.org/p") == "a=1"
    request = request_to(HTTPS)
    request.url.raw_path = b"*"
    cookies.set_cookie_header(request)
    assert request.headers["cookie"] == "a=1"


def test_longer_paths_come_first_and_then_older_cookies() -> None:
    url = "https://www.example.org/a/b/c"
    cookies = receive(
        Cookies(), url, "r=1; Path=/", "a=1; Path=/a; Domain=example.org", "b=1; Path=/a/b", "s=1; Path=/"
    )
    cookies["u"] = "1"
    assert sent(cookies, url) == "b=1; a=1; r=1; s=1; u=1"
    receive(cookies, url, "r=2; Path=/")  # an update keeps the age
    cookies.set("v", "1", domain="www.example.org")
    assert sent(cookies, url) == "b=1; a=1; r=2; s=1; u=1; v=1"


# -- secure, prefixes


def test_secure_cookies_go_over_https_only() -> None:
    cookies = receive(Cookies(), HTTPS, "a=1; Secure", "b=2")
    assert sent(cookies, HTTPS) == "a=1; b=2"
    assert sent(cookies, "wss://example.org/") == "a=1; b=2"
    assert sent(cookies, "http://example.org/") == "b=2"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "app.localhost", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:80"]
)
def test_secure_cookies_work_on_this_machine_without_tls(host: str) -> None:
    cookies = receive(Cookies(), f"http://{host}/", "__Host-a=1; Secure; Path=/")
    assert sent(cookies, f"http://{host}/") == "__Host-a=1"


@pytest.mark.parametrize("host", ["127.0.0.1.evil.com", "localhost.evil.com", "evillocalhost", "128.0.0.1"])
def test_hosts_that_only_look_like_this_machine_are_others(host: str) -> None:
    assert not receive(Cookies(), f"http://{host}/", "a=1; Secure")


@pytest.mark.parametrize("attributes", ["Secure", "secure; Domain=example.org", "Path=/; SECURE; Max-Age=60"])
def test_a_secure_cookie_that_came_over_http_is_never_stored(attributes: str) -> None:
    """Who answers for http://example.org could plant a cookie that went out over https later."""
    cookies = receive(Cookies(), "http://example.org/", f"a=planted; {attributes}")
    assert sent(cookies, HTTPS) is None
    assert not cookies


def test_a_response_shows_a_secure_cookie_that_it_set_over_http() -> None:
    """Test suites of applications look at `response.cookies`, and their server speaks http."""
    request = httpx.Request("GET", "http://testserver/")
    response = httpx.Response(200, headers={"Set-Cookie": "session=1; Secure; HttpOnly"}, request=request)
    assert response.cookies["session"] == "1"


@pytest.mark.parametrize(
    "line",
    [
        "__Host-a=1; Secure; Path=/; Domain=example.org",
        "__Host-a=1; Secure; Path=/p",
        "__Host-a=1; Secure",
        "__Host-a=1; Path=/",
        "__host-a=1; Path=/",
        "__Host-a; Path=/",
        "__Secure-a=1; Path=/",
        "__SECURE-a=1",
    ],
)
def test_a_prefix_that_promises_too_much_is_refused(line: str) -> None:
    assert not receive(Cookies(), HTTPS, line)


def test_a_prefix_that_holds_is_accepted_over_https_only() -> None:
    lines = ("__Host-a=1; Secure; Path=/", "__Secure-b=2; Secure; Domain=example.org; Path=/")
    assert len(receive(Cookies(), HTTPS, *lines)) == 2
    assert not receive(Cookies(), "http://example.org/", *lines)


@pytest.mark.parametrize(
    ("secure_at", "line", "plain_at", "attack"),
    [
        ("https://example.org/", "id=1; Secure", "http://example.org/", "id=evil"),
        ("https://example.org/", "id=1; Secure", "http://example.org/", "id=evil; Secure"),
        ("https://example.org/", "id=1; Secure", "http://example.org/", "id=; Max-Age=0"),
        ("https://example.org/", "id=1; Secure; Domain=example.org", "http://www.example.org/", "id=evil"),
        ("https://www.example.org/", "id=1; Secure; Path=/", "http://example.org/", "id=evil; Domain=example.org"),
        ("https://example.org/", "id=1; Secure; Path=/", "http://example.org/", "id=evil; Path=/login"),
    ],
)
def test_a_plain_answer_cannot_stand_in_front_of_a_secure_cookie(
    secure_at: str, line: str, plain_at: str, attack: str
) -> None:
    """Somebody on the network answers for http://example.org and would swap the session of https://example.org."""
    cookies = receive(Cookies(), secure_at, line)
    receive(cookies, plain_at, attack)
    assert [cookie.value for cookie in cookies.jar] == ["1"]


def test_a_plain_answer_may_set_what_no_secure_cookie_covers() -> None:
    cookies = receive(Cookies(), "https://example.org/", "id=1; Secure; Path=/login", "x=1")
    receive(cookies, "http://example.org/", "id=2; Path=/", "x=2")
    receive(cookies, "http://sub.example.org/", "y=1; Domain=example.org")
    assert sorted(str(cookie.value) for cookie in cookies.jar) == ["1", "1", "2", "2"]
    # An unrelated host's cookie of the same name is nobody's business.
    cookies = receive(Cookies(), "https://a.example.org/", "id=1; Secure")
    assert len(receive(cookies, "http://b.example.org/", "id=2; Domain=b.example.org")) == 2


# -- time


@pytest.mark.parametrize("line", ["Max-Age=0", "Max-Age=-5", "Max-Age=000", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_an_expired_cookie_removes_the_one_it_names(line: str) -> None:
    cookies = receive(Cookies(), HTTPS, "a=1", "b=2")
    receive(cookies, HTTPS, f"a=; {line}", f"c=; {line}")
    assert list(cookies) == ["b"]
    receive(cookies, HTTPS, f"b=; Path=/other; {line}")
    assert list(cookies) == ["b"]


def test_max_age_wins_over_expires() -> None:
    past, future = "Expires=Wed, 09 Jun 2010 10:18:14 GMT", "Expires=Wed, 09 Jun 2090 10:18:14 GMT"
    assert receive(Cookies(), HTTPS, f"a=1; Max-Age=60; {past}")
    assert not receive(Cookies(), HTTPS, f"a=1; Max-Age=0; {future}")
    assert not receive(Cookies(), HTTPS, f"a=1; Max-Age=soon; {past}")


@pytest.mark.parametrize(
    "line", ["Max-Age=", "Max-Age", 'Max-Age="5"', "Max-Age=1.5", "Max-Age=٣", "Expires=soon", "Expires"]
)
def test_a_lifetime_that_is_none_leaves_a_cookie_of_the_session(line: str) -> None:
    assert only(receive(Cookies(), HTTPS, f"a=1; {line}")).discard


@pytest.mark.parametrize("digits", ["9" * 11, "9" * 12, "9" * 1000, "0" * 900 + "1"])
def test_a_huge_lifetime_is_cut_and_never_overflows(digits: str) -> None:
    expires = only(receive(Cookies(), HTTPS, f"a=1; Max-Age={digits}")).expires
    assert expires is not None
    datetime.fromtimestamp(expires, timezone.utc)
    assert expires > time.time() - 5
    assert expires <= time.time() + 400 * 86_400


def test_a_server_cannot_have_a_cookie_kept_for_longer_than_400_days() -> None:
    latest = time.time() + 400 * 86_400
    for line in ("Max-Age=99999999", "Expires=Wed, 09 Jun 2290 10:18:14 GMT"):
        expires = only(receive(Cookies(), HTTPS, f"a=1; {line}")).expires
        assert expires is not None
        assert latest - 5 <= expires <= latest + 5


@pytest.mark.parametrize("invalid", ["soon", "", "1.5", '"60"'])
def test_an_invalid_lifetime_does_not_void_a_valid_one_before_it(invalid: str) -> None:
    """A cookie that a server ended with Max-Age=0 lived on if an invalid Max-Age followed."""
    assert not receive(Cookies(), HTTPS, f"a=1; Max-Age=0; Max-Age={invalid}")
    past = "Wed, 09 Jun 2010 10:18:14 GMT"
    assert not receive(Cookies(), HTTPS, f"a=1; Expires={past}; Expires={invalid}")
    assert only(receive(Cookies(), HTTPS, f"a=1; Max-Age={invalid}; Max-Age=60")).expires is not None
    assert not receive(Cookies(), HTTPS, f"a=1; Max-Age=60; Max-Age={invalid}; Max-Age=0")


def test_cookies_that_have_expired_since_are_removed_and_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    cookies = receive(Cookies(), HTTPS, "a=1; Max-Age=60", "b=2")
    later = int(time.time()) + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert sent(cookies, HTTPS) == "b=2"
    assert list(cookies) == ["b"]


# -- limits


def test_at_most_180_cookies_are_kept_for_a_domain_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    cookies = receive(Cookies({"mine": "1"}), "https://other.org/", "a=1")
    receive(cookies, HTTPS, "s=1; Secure", *[f"c{number}=1" for number in range(200)])
    assert len(cookies) == 182
    assert cookies.get("s") == "1"  # Secure ones go last
    assert cookies.get("c20") is None
    assert cookies.get("c21") == "1"
    receive(cookies, HTTPS, "c100=2")
    assert len(cookies) == 182
    receive(cookies, HTTPS, "c150=1; Max-Age=10", "new=1")
    later = int(time.time()) + 11
    monkeypatch.setattr(time, "time", lambda: later)
    receive(cookies, HTTPS, "newer=1")
    assert cookies.get("c150") is None  # expired ones go first
    assert cookies.get("c23") == "1"


def test_a_full_jar_is_reduced_and_one_site_cannot_displace_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls many hosts with one client kept every cookie that any of them ever sent."""
    monkeypatch.setattr(eviction, "MAX_TOTAL", 400)
    monkeypatch.setattr(eviction, "_KEPT", 300)
    cookies = receive(Cookies({"mine": "1"}), "https://bank.example/", "session=1", "s=1; Secure")
    for number in range(40):
        receive(cookies, f"https://h{number}.evil.org/", *[f"c{index}=1" for index in range(50)])
        assert len(cookies) <= 401
    assert (cookies["mine"], cookies["session"], cookies["s"]) == ("1", "1", "1")
    # What is left of the site is its newest.
    assert cookies.get("c49", domain="h39.evil.org") == "1"
    assert cookies.get("c49", domain="h0.evil.org") is None
    for number in range(1000):
        receive(cookies, f"https://{number}.example.net/", "a=1")
        assert len(cookies) <= 402
    assert len(cookies) > 290
    assert (cookies["mine"], cookies.get("a", domain="999.example.net"), cookies["s"]) == ("1", "1", "1")
    assert cookies.get("a", domain="0.example.net") is None
    for number in range(1000):  # each a site of its own
        receive(cookies, f"https://{number}.net/", "a=1")
        assert len(cookies) <= 402
    assert len(cookies) > 290
    assert (cookies["mine"], cookies.get("a", domain="999.net"), cookies["s"]) == ("1", "1", "1")
    assert cookies.get("session") is None


@pytest.mark.parametrize(
    ("sizes", "total", "share"), [([], 9, 0), ([3, 3], 9, 3), ([9, 1], 5, 4), ([9, 9, 1], 9, 4), ([1, 1, 1, 1], 2, 0)]
)
def test_a_share_is_what_the_smaller_leave(sizes: list[int], total: int, share: int) -> None:
    assert eviction._share(sizes, total) == share


def test_a_jar_that_takes_no_attributes_is_left_to_its_owner() -> None:
    class Jar(http.cookiejar.CookieJar):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "_httpx_stored":
                raise AttributeError(name)
            super().__setattr__(name, value)

    assert len(receive(Cookies(Jar()), HTTPS, "a=1", "b=2")) == 2


def test_the_cookies_of_a_response_are_stored_in_one_look_at_the_jar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cookie of a response over http was compared with all of the jar: 10 ms each when there were 8,000."""
    looks: list[str] = []
    monkeypatch.setattr(rules, "domains_below", lambda jar, suffix: looks.append(suffix) or [])
    receive(Cookies(), "http://www.example.org/", *[f"c{index}=1; Domain=example.org" for index in range(100)])
    receive(Cookies(), "http://www.example.org/", *[f"c{index}=1" for index in range(100)])
    assert looks == ["example.org"]


# -- the request


def test_the_cookie_field_of_the_caller_wins() -> None:
    assert sent(Cookies({"a": "1"}), HTTPS, Cookie="z=9") == "z=9"


def test_the_field_is_added_at_the_end() -> None:
    request = request_to(HTTPS, Accept="*/*")
    Cookies({"a": "1"}).set_cookie_header(request)
    assert request.headers.raw == [(b"Accept", b"*/*"), (b"Cookie", b"a=1")]


def test_a_bad_cookie_that_somebody_put_into_the_jar_is_not_sent() -> None:
    cookies = Cookies({"a": "1"})
    only(cookies).value = "1; admin=1"
    with pytest.raises(LocalProtocolError, match="the value of cookie 'a' contains ';' at position 1"):
        sent(cookies, HTTPS)


# -- jars and policies of the user's own


def foreign_cookie(name: str, value: str, domain: str = "", **fields: Any) -> http.cookiejar.Cookie:
    """A cookie as other libraries make it."""
    arguments: dict[str, Any] = {
        "version": 0, "port": None, "port_specified": False, "domain_specified": bool(domain),
        "domain_initial_dot": domain.startswith("."), "path": "/", "path_specified": True, "secure": False,
        "expires": None, "discard": True, "comment": None, "comment_url": None, "rest": {},
    }  # fmt: skip
    return http.cookiejar.Cookie(name=name, value=value, domain=domain, **{**arguments, **fields})


def test_cookies_from_elsewhere_are_sent_and_count_as_the_oldest() -> None:
    jar = http.cookiejar.CookieJar()
    cookies = Cookies(jar)
    receive(cookies, HTTPS, "ours=1")
    jar.set_cookie(foreign_cookie("theirs", "1", ".example.org"))
    jar.set_cookie(foreign_cookie("host", "1", "example.org", domain_specified=False))
    assert sent(cookies, HTTPS) == "host=1; theirs=1; ours=1"
    assert sent(cookies, "https://www.example.org/") == "theirs=1"


def test_the_standard_library_sends_the_cookies_that_we_stored() -> None:
    for url in (HTTPS, "https://localhost/", "https://127.0.0.1/"):
        cookies = receive(Cookies(), url, "a=1; Secure")
        request = urllib.request.Request(url)
        cookies.jar.add_cookie_header(request)
        assert request.get_header("Cookie") == "a=1"


class Hops:
    """A handler that redirects along `urls`, and records the Cookie field of each request."""

    def __init__(self, *urls: str, status: int = 302) -> None:
        self._urls = list(urls)
        self._status = status
        self.fields: list[Optional[str]] = []
        self.set_cookie: Optional[str] = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.fields.append(request.headers.get("cookie"))
        headers = {} if self.set_cookie is None else {"Set-Cookie": self.set_cookie}
        if not self._urls:
            return httpx.Response(200, headers=headers)
        return httpx.Response(self._status, headers={"Location": self._urls.pop(0), **headers})


HOME = "https://home.example/"


@pytest.mark.parametrize(
    ("urls", "fields"),
    [
        (["/next"], ["session=1", "session=1"]),
        (["https://evil.example/"], ["session=1", None]),
        (["https://sub.home.example/"], ["session=1", None]),
        (["https://home.example:8443/"], ["session=1", None]),
        (["http://home.example/"], ["session=1", None]),
        (["https://evil.example/", HOME], ["session=1", None, "session=1"]),
    ],
)
@pytest.mark.parametrize("given", ["client", "request"])
def test_a_cookie_without_a_domain_stays_with_the_first_origin_of_the_request(
    given: str, urls: list[str], fields: list[Optional[str]]
) -> None:
    """A redirect took `Client(cookies={"session": ...})` to any host, and down to http."""
    hops = Hops(*urls)
    cookies: Any = {"session": "1"}
    with httpx.Client(
        transport=httpx.MockTransport(hops), follow_redirects=True, cookies=cookies if given == "client" else None
    ) as client:
        if given == "client":
            client.get(HOME)
        else:
            client.get(HOME, cookies=cookies)
    # What was given with the request alone does not come back once it was left behind.
    expected = fields if given == "client" or len(fields) < 3 else [*fields[:2], None]
    assert hops.fields == expected


def test_the_step_up_to_https_keeps_cookies_without_a_domain() -> None:
    hops = Hops(HOME)
    with httpx.Client(transport=httpx.MockTransport(hops), follow_redirects=True, cookies={"a": "1"}) as client:
        client.get("http://home.example/")
    assert hops.fields == ["a=1", "a=1"]


def test_the_next_request_has_the_same_cookies_as_the_redirect() -> None:
    hops = Hops("https://evil.example/")
    with httpx.Client(transport=httpx.MockTransport(hops), cookies={"a": "1"}) as client:
        response = client.get(HOME)
    assert response.next_request is not None
    assert "cookie" not in response.next_request.headers


def test_a_cookie_of_the_request_replaces_the_clients_of_the_same_name() -> None:
    hops = Hops()
    hops.set_cookie = "theirs=3"
    with httpx.Client(transport=httpx.MockTransport(hops), cookies={"a": "1", "b": "1"}) as client:
        client.get(HOME, cookies={"a": "2"})
        client.get(HOME)
        client.get(HOME, cookies={"theirs": "4"})
    assert hops.fields == ["a=2; b=1", "a=1; b=1; theirs=3", "a=1; b=1; theirs=3; theirs=4"]


def test_a_client_with_cookies_switched_off_keeps_none() -> None:
    hops = Hops("/next")
    hops.set_cookie = "id=1"
    with httpx.Client(transport=httpx.MockTransport(hops), follow_redirects=True, cookies=False) as client:
        response = client.get(HOME)
        assert response.cookies["id"] == "1"
        assert not client.cookies
        client.get(HOME, cookies={"own": "2"})
        copied = pickle.loads(pickle.dumps(client.cookies))
        client.cookies = {"a": "1"}
        client.get(HOME)
        client.cookies = False
        assert not client.cookies
    copied.extract_cookies(response)
    assert not copied
    assert hops.fields == [None, None, "own=2", "a=1"]


class FirstPartyOnly(http.cookiejar.DefaultCookiePolicy):
    """Sends no cookie called "secret", and records what it was asked."""

    asked: list[str]

    def return_ok(self, cookie: Any, request: Any) -> bool:
        self.asked.append(cookie.name)
        return bool(cookie.name != "secret")


def test_the_users_policy_is_asked_on_every_hop() -> None:
    """It was asked on redirects only: the first request sent what the policy forbids."""
    policy = FirstPartyOnly()
    policy.asked = []
    jar = http.cookiejar.CookieJar(policy)
    hops = Hops("/next")
    with httpx.Client(transport=httpx.MockTransport(hops), follow_redirects=True, cookies=jar) as client:
        client.cookies.set("secret", "1", domain="home.example")
        client.cookies.set("open", "2", domain="home.example")
        client.get(HOME)
    assert hops.fields == ["open=2", "open=2"]
    assert policy.asked == ["secret", "open"] * 2


def test_a_jar_with_a_method_of_its_own_decides_on_every_hop() -> None:
    class Jar(http.cookiejar.CookieJar):
        def add_cookie_header(self, request: Any) -> None:
            request.add_unredirected_header("Cookie", "mine=1")

    hops = Hops("/next")
    with httpx.Client(transport=httpx.MockTransport(hops), follow_redirects=True, cookies=Jar()) as client:
        client.get(HOME)
        client.get(HOME, cookies={"own": "2"})
    assert hops.fields == ["mine=1", "mine=1", "mine=1; own=2"]


def test_an_overridden_merge_of_cookies_is_called() -> None:
    class Client(httpx.Client):
        def _merge_cookies(self, cookies: Any = None) -> Any:
            return {"merged": "1"}

    hops = Hops()
    with Client(transport=httpx.MockTransport(hops), cookies={"a": "1"}) as client:
        client.get(HOME)
    assert hops.fields == ["merged=1"]


def test_the_cookie_field_stands_where_it_did() -> None:
    with httpx.Client(cookies={"a": "1"}) as client:
        request = client.build_request("POST", HOME, json={})
    names = [name.lower() for name, _ in request.headers.raw]
    assert names == [
        *(b"host", b"accept", b"accept-encoding", b"connection", b"user-agent", b"cookie"),
        *(b"content-length", b"content-type"),
    ]


def test_foreign_cookies_cost_a_request_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jar was copied twice for each request: 1 ms with 100 cookies of other hosts."""
    with httpx.Client() as client:
        for number in range(100):
            client.cookies.set(f"c{number}", "1", domain=f"h{number}.example")
        made = []
        monkeypatch.setattr(storage, "new_cookie", lambda *args, **options: made.append(args))
        monkeypatch.setattr(mapping, "new_cookie", lambda *args, **options: made.append(args))
        monkeypatch.setattr(http.cookiejar.CookieJar, "set_cookie", lambda jar, cookie: made.append(cookie))
        assert "cookie" not in client.build_request("GET", HOME).headers
        assert client.build_request("GET", "https://h7.example/").headers["cookie"] == "c7=1"
    assert made == []


def test_a_host_of_many_labels_costs_memory_in_proportion_to_its_length() -> None:
    """A redirect to a host of 30,000 labels and a Set-Cookie took 1.7 GB."""
    host = ".".join(["a"] * 30_000)
    tracemalloc.start()
    try:
        cookies = Cookies({"own": "1"})
        receive(cookies, f"http://{host}/", "a=1; Domain=a.a", "b=2")
        sent(cookies, f"http://{host}/")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_policy_of_the_users_is_asked_what_to_store() -> None:
    policy = http.cookiejar.DefaultCookiePolicy(allowed_domains=["example.org"])
    cookies = Cookies(http.cookiejar.CookieJar(policy))
    assert receive(cookies, HTTPS, "a=1")
    assert list(receive(cookies, "https://other.org/", "b=1")) == ["a"]


def test_a_policy_of_the_users_is_asked_what_to_send() -> None:
    class Policy(http.cookiejar.DefaultCookiePolicy):
        def return_ok(self, cookie: http.cookiejar.Cookie, request: urllib.request.Request) -> bool:
            return cookie.name != "private" and super().return_ok(cookie, request)

    jar = http.cookiejar.CookieJar()
    cookies = receive(Cookies(jar), "http://localhost/", "a=1; Secure", "private=1")
    assert sent(cookies, "http://localhost/") == "a=1; private=1"
    jar.set_policy(Policy())
    assert sent(cookies, "http://localhost/") == "a=1"
    jar.set_policy(http.cookiejar.DefaultCookiePolicy(blocked_domains=["localhost.local"]))
    assert sent(cookies, "http://localhost/") is None


def test_a_default_policy_that_was_used_before_is_still_the_default() -> None:
    jar = http.cookiejar.CookieJar()
    jar.add_cookie_header(urllib.request.Request(HTTPS))
    assert urllib_views.users_policy(jar) is None


class NullJar(http.cookiejar.CookieJar):
    """What people use to switch cookies off."""

    def set_cookie(self, cookie: http.cookiejar.Cookie) -> None:
        pass


def test_a_jar_that_stores_nothing_is_respected() -> None:
    cookies = receive(Cookies(NullJar()), HTTPS, "a=1")
    cookies["b"] = "2"
    assert not cookies


class OwnMethods(http.cookiejar.CookieJar):
    def extract_cookies(self, response: Any, request: urllib.request.Request) -> None:
        for line in response.info().get_all("Set-Cookie"):
            self.set_cookie(foreign_cookie("got", line, request.host))

    def add_cookie_header(self, request: urllib.request.Request) -> None:
        if self:
            request.add_unredirected_header("Cookie", "sent=" + request.type)


def test_methods_that_a_user_overrode_are_called() -> None:
    cookies = Cookies(OwnMethods())
    assert sent(cookies, HTTPS) is None
    receive(cookies, HTTPS, "a=1", b"b=\xff")
    assert only(cookies).value == "b=ÿ"
    assert only(cookies).domain == "example.org"
    assert sent(cookies, HTTPS) == "sent=https"


class DuckJar:
    """The least that can be called a jar."""

    def __init__(self) -> None:
        self.cookies: list[http.cookiejar.Cookie] = []

    def __iter__(self) -> Any:
        return iter(self.cookies)

    def set_cookie(self, cookie: http.cookiejar.Cookie) -> None:
        self.clear(cookie.domain, cookie.path, cookie.name)
        self.cookies.append(cookie)

    def clear(self, domain: str, path: str, name: str) -> None:
        self.cookies = [old for old in self.cookies if (old.domain, old.path, old.name) != (domain, path, name)]


def test_a_jar_of_ones_own_needs_three_methods() -> None:
    cookies = Cookies(DuckJar())
    receive(cookies, HTTPS, "a=1", "b=2; Domain=example.org", "c=3")
    receive(cookies, HTTPS, "a=4", "c=; Max-Age=0")
    assert sent(cookies, HTTPS) == "a=4; b=2"
    assert sent(cookies, "https://www.example.org/") == "b=2"


def test_a_cookie_that_somebody_else_removed_meanwhile_is_no_error() -> None:
    cookies = receive(Cookies(), HTTPS, "a=1")
    gone = only(cookies)
    cookies.clear()
    cookies._remove([gone])


# -- public suffixes


class FakeList:
    """The interface of both packages, with one suffix that is not among ours."""

    def publicsuffix(self, domain: str) -> Optional[str]:
        if domain.startswith("xn--"):
            raise UnicodeError("no such name")
        return "suffix.example" if domain.endswith("suffix.example") else domain.rpartition(".")[2]

    get_tld = publicsuffix


@pytest.mark.parametrize("package", ["publicsuffixlist", "publicsuffix2"])
def test_an_installed_list_of_public_suffixes_is_used(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, types.SimpleNamespace(PublicSuffixList=FakeList))
    assert not receive(Cookies(), "https://a.suffix.example/", "a=1; Domain=suffix.example")
    assert receive(Cookies(), "https://b.a.suffix.example/", "a=1; Domain=a.suffix.example")
    assert not receive(Cookies(), "https://a.xn--mnchen-3ya.example/", "a=1; Domain=xn--mnchen-3ya.example")
    assert suffixes.is_public_suffix("com")
    assert not suffixes.is_public_suffix("co.uk")  # the list decides, not ours


def test_the_whole_list_of_public_suffixes_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package, which has exceptions and wildcards that ours does not: `*.kawasaki.jp`, `!city.kawasaki.jp`."""
    monkeypatch.delitem(sys.modules, "publicsuffixlist")
    pytest.importorskip("publicsuffixlist")
    for suffix in ("co.uk", "github.io", "foo.kawasaki.jp", "xn--p1ai"):
        assert not receive(Cookies(), f"https://www.{suffix}/", f"a=1; Domain={suffix}"), suffix
    for domain in ("example.co.uk", "ada.github.io", "city.kawasaki.jp", "example.com"):
        assert receive(Cookies(), f"https://www.{domain}/", f"a=1; Domain={domain}"), domain


@pytest.mark.parametrize(
    "suffix", ["com", "co.uk", "com.au", "co.jp", "com.br", "github.io", "herokuapp.com", "localhost"]
)
def test_common_public_suffixes_are_known_without_a_list(suffix: str) -> None:
    assert suffixes.is_public_suffix(suffix)
    assert suffixes.is_public_suffix(suffix + ".")
    if suffix != "localhost":
        assert not suffixes.is_public_suffix("example." + suffix)


# -- threads


def test_threads_may_share_cookies() -> None:
    """Going over a jar while another thread stores into it is a RuntimeError in the standard library."""
    cookies = Cookies()
    failures: list[BaseException] = []
    start = threading.Barrier(8)

    def work(worker: int) -> None:
        try:
            start.wait()
            for turn in range(60):
                receive(cookies, f"https://h{turn}.example.org/", f"w{worker}={turn}; Domain=example.org; Path=/")
                cookies.set(f"own{worker}", str(turn), domain=f"d{turn}.org")
                sent(cookies, HTTPS)
                list(cookies)
                repr(cookies)
                assert cookies
                cookies.clear(domain=f"d{turn}.org")
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(cookies) == [f"w{worker}" for worker in range(8)]


# -- properties


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text('=;, aPathDominExprsM-ge19/."é', max_size=60).map(str.encode))
def test_any_bytes_in_a_field_are_stored_or_ignored_and_can_be_sent_back(line: bytes) -> None:
    cookies = receive(Cookies(), HTTPS, line)
    request = request_to(HTTPS)
    cookies.set_cookie_header(request)
    for value in request.headers._get_all(b"cookie"):
        name_and_value = [part.strip(b" \t") for part in line.partition(b";")[0].split(b"=", 1)]
        assert value == b"=".join(name_and_value)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text("abcXYZ_-", min_size=1, max_size=5),
        st.text(st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters=";"), max_size=10),
        max_size=5,
    )
)
def test_what_is_put_in_comes_out_and_goes_out(values: dict[str, str]) -> None:
    cookies = Cookies(values)
    assert dict(cookies) == values
    line = sent(cookies, HTTPS)
    assert (dict(part.split("=", 1) for part in line.split("; ")) if line else {}) == values
