"""The project page's example, and what each line of its changelog promises that is still how the API behaves."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import json
import os
import ssl
import warnings
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import httpx
from support.local import LocalApi, with_json
from support.servers import ScriptedServer, answer, close, expect_request, free_ports, send

# The page.


def test_the_first_example_of_the_page(echo: str):
    r = httpx.get(f"{echo}/html")
    assert repr(r) == "<Response [200 OK]>"
    assert r.status_code == 200
    assert r.headers["content-type"] == "text/html; charset=utf-8"
    assert r.text.startswith("<!DOCTYPE html>\n<html><head><title>Echo</title>")


# 0.22


def test_updating_headers_keeps_repeated_fields():
    headers = httpx.Headers([("a", "1"), ("b", "2")])
    headers.update([("a", "3"), ("a", "4")])
    assert headers.multi_items() == [("b", "2"), ("a", "3"), ("a", "4")]


def test_a_client_that_is_not_closed_does_not_warn_when_it_goes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client: Any = httpx.Client()
        aclient: Any = httpx.AsyncClient()
        del client, aclient
        gc.collect()


# 0.21


def test_bodies_of_both_stream_classes_are_uploaded(echo: str):
    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"one "
            yield b"two"

    class AsyncPieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"one "
            yield b"two"

    async def main() -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.post(f"{echo}/post", content=AsyncPieces())

    for response in (httpx.post(f"{echo}/post", content=Pieces()), asyncio.run(main())):
        assert response.json()["data"] == "one two"
        assert response.json()["headers"]["Transfer-Encoding"] == "chunked"


def test_the_url_of_a_response_is_a_url(echo: str):
    assert isinstance(httpx.get(f"{echo}/get").url, httpx.URL)


# 0.20


@pytest.mark.parametrize("status", [200, 204, 299])
def test_raise_for_status_lets_2xx_pass(status: int):
    response = httpx.Response(status, request=httpx.Request("GET", "https://example.org"))
    assert response.raise_for_status() is response


@pytest.mark.parametrize("status", [101, 301, 304, 400, 404, 500, 599])
def test_raise_for_status_raises_for_everything_else(status: int):
    response = httpx.Response(status, request=httpx.Request("GET", "https://example.org"))
    with pytest.raises(httpx.HTTPStatusError, match=str(status)):
        response.raise_for_status()


def test_a_transport_takes_a_request_and_returns_a_response():
    class Teapot(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(418, json={"path": request.url.path})

    class AsyncTeapot(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(418, json={"path": request.url.path})

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=AsyncTeapot()) as client:
            return await client.get("https://example.org/tea")

    with httpx.Client(transport=Teapot()) as client:
        for response in (client.get("https://example.org/tea"), asyncio.run(main())):
            assert (response.status_code, response.json()) == (418, {"path": "/tea"})


def test_the_timeout_of_a_request_is_an_extension_of_it():
    with httpx.Client() as client:
        request = client.build_request("GET", "https://example.org", timeout=3)
        assert request.extensions["timeout"] == {"connect": 3, "read": 3, "write": 3, "pool": 3}
        with pytest.raises(TypeError):
            client.send(request, timeout=3)  # type: ignore[call-arg]  # what the test is about


@pytest.mark.parametrize(
    ("status", "true"),
    [
        (103, {"is_informational"}),
        (204, {"is_success"}),
        (304, {"is_redirect"}),
        (404, {"is_client_error", "is_error"}),
        (503, {"is_server_error", "is_error"}),
    ],
)
def test_kinds_of_status(status: int, true: set[str]):
    names = ("is_informational", "is_success", "is_redirect", "is_client_error", "is_server_error", "is_error")
    response = httpx.Response(status)
    assert {name for name in names if getattr(response, name)} == true


def test_only_a_redirect_with_a_location_has_somewhere_to_go():
    assert httpx.Response(302, headers={"Location": "/"}).has_redirect_location
    assert not httpx.Response(302).has_redirect_location
    assert not httpx.Response(304, headers={"Location": "/"}).has_redirect_location


def test_iterating_over_no_content_gives_nothing():
    assert list(httpx.Response(200).iter_bytes()) == []
    assert list(httpx.Response(200).iter_bytes(chunk_size=10)) == []
    assert list(httpx.Response(200, content=b"").iter_text()) == []


def test_wsgi_errors_are_text_and_the_iterable_is_closed():
    class Body:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            yield b"body"

        def close(self) -> None:
            self.closed = True

    body, log = Body(), io.StringIO()

    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.errors"].write("noted")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    with httpx.Client(transport=httpx.WSGITransport(app=app, wsgi_errors=log)) as client:
        assert client.get("http://testserver/").text == "body"
    assert log.getvalue() == "noted"
    assert body.closed


# 0.19


def test_hooks_see_the_requests_and_responses_of_redirects_and_authentication(echo: str):
    seen: list[Any] = []
    hooks: Any = {
        "request": [lambda request: seen.append(request.url.path)],
        "response": [lambda response: seen.append(response.status_code)],
    }
    with httpx.Client(event_hooks=hooks, base_url=echo, follow_redirects=True) as client:
        client.get("/redirect/1")
        client.get("/digest-auth/auth/ada/secret", auth=httpx.DigestAuth("ada", "secret"))
    digest = "/digest-auth/auth/ada/secret"
    assert seen == ["/redirect/1", 302, "/get", 200, digest, 401, digest, 200]


def test_files_to_upload_must_be_opened_in_binary_mode(here: Path):
    (here / "note.txt").write_text("note")
    with open("note.txt") as f, pytest.raises(TypeError, match="binary mode"):
        httpx.Request("POST", "https://example.org", files={"note": f})  # type: ignore[dict-item]  # what it is about


def test_a_client_is_opened_once_and_closed_once():
    with httpx.Client() as client:
        pass
    with pytest.raises(RuntimeError):
        client.__enter__()
    client.close()


# 0.18


def test_the_sentinel_for_the_client_default_can_be_passed_on(echo: str):
    with httpx.Client(auth=("ada", "secret"), timeout=3) as client:
        response = client.get(
            f"{echo}/basic-auth/ada/secret", auth=httpx.USE_CLIENT_DEFAULT, timeout=httpx.USE_CLIENT_DEFAULT
        )
    assert response.status_code == 200
    assert response.request.extensions["timeout"]["read"] == 3


def test_http2_with_prior_knowledge():
    with ScriptedServer([send(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), expect_request()]) as server:
        with httpx.Client(http1=False, http2=True, timeout=1) as client, pytest.raises(httpx.TransportError):
            client.get(server.url)
        assert server.received[0].startswith(b"PRI * HTTP/2.0\r\n")


def test_a_file_as_content_has_a_length():
    assert httpx.Request("POST", "https://example.org", content=io.BytesIO(b"12345")).headers["Content-Length"] == "5"


def test_a_request_with_a_stream_gets_no_headers_for_it():
    request = httpx.Request("POST", "https://example.org", stream=httpx.ByteStream(b"body"))
    assert "Content-Length" not in request.headers
    assert "Transfer-Encoding" not in request.headers


def test_top_level_functions_take_a_timeout(echo: str):
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{echo}/delay/5", timeout=0.05)


def test_extensions_have_their_full_name():
    assert httpx.Response(200, extensions={"http_version": b"HTTP/2"}).http_version == "HTTP/2"


def test_bytes_as_data_are_deprecated():
    with pytest.warns(DeprecationWarning, match="content"):
        request = httpx.Request("POST", "https://example.org", data=b"body")  # type: ignore[arg-type]  # on purpose
    assert request.content == b"body"


def test_query_parameters_never_change():
    params = httpx.QueryParams("a=1&b=2")
    assert str(params.set("a", "3")) == "a=3&b=2"
    assert str(params.add("a", "3")) == "a=1&a=3&b=2"
    assert str(params.remove("a")) == "b=2"
    assert str(params.merge({"c": "4"})) == "a=1&b=2&c=4"
    assert str(params) == "a=1&b=2"
    with pytest.raises(RuntimeError):
        params.update({"c": "4"})


def test_the_params_of_a_client_are_merged_by_setting_them():
    with httpx.Client(params={"a": "1"}) as client:
        client.params = client.params.merge({"b": "2"})
        assert str(client.build_request("GET", "https://example.org").url) == "https://example.org?a=1&b=2"


def test_values_in_form_data_may_be_none_numbers_and_booleans():
    request = httpx.Request("POST", "https://example.org", data={"a": None, "b": 1, "c": 1.5, "d": True})
    assert request.content == b"a=&b=1&c=1.5&d=true"
    assert httpx.Request("POST", "https://example.org", data={"a": [None, 1, False]}).content == b"a=&a=1&a=false"


def test_urls_are_made_of_keywords():
    assert httpx.URL(scheme="https", host="www.example.org", path="/") == "https://www.example.org/"
    url = httpx.URL("https://www.example.org", username="jo@email.com", password="123 456")
    assert url == "https://jo%40email.com:123%20456@www.example.org"
    assert (url.username, url.password) == ("jo@email.com", "123 456")


def test_parameters_of_urls():
    url = httpx.URL("https://www.example.org/?a=1")
    assert url.params == httpx.QueryParams({"a": "1"})
    assert url.copy_with(params={"b": "2"}) == "https://www.example.org/?b=2"
    assert url.copy_set_param("a", "2") == "https://www.example.org/?a=2"
    assert url.copy_add_param("a", "2") == "https://www.example.org/?a=1&a=2"
    assert url.copy_remove_param("a") == "https://www.example.org/"
    assert url.copy_merge_params({"b": "2"}) == "https://www.example.org/?a=1&b=2"


@pytest.mark.parametrize(
    ("given", "port"),
    [("http://example.org:80/", None), ("https://example.org:443/", None), ("http://example.org:443/", 443)],
)
def test_default_ports_are_dropped(given: str, port: Any):
    url = httpx.URL(given)
    assert url.port == port
    assert (":443" in str(url)) is (port is not None)


def test_international_hosts_are_text_and_their_wire_form_is_ascii():
    url = httpx.URL("https://münchen.example")
    assert url.host == "münchen.example"
    assert url.raw_host == b"xn--mnchen-3ya.example"


def test_text_as_the_content_of_a_file_counts_as_its_utf8():
    request = httpx.Request("POST", "https://example.org", files={"file": "naïve ☕"})
    assert int(request.headers["Content-Length"]) == len(request.read())


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("https://example.org", "users", "https://example.org/users"),
        ("https://example.org", "/users", "https://example.org/users"),
        ("https://example.org/v1", "users", "https://example.org/v1/users"),
        ("https://example.org/v1", "/users", "https://example.org/v1/users"),
        ("https://example.org/v1/", "/users", "https://example.org/v1/users"),
        ("https://example.org/v1", "../users", "https://example.org/users"),
        ("https://example.org/a%2Fb", "c%2Fd", "https://example.org/a%2Fb/c%2Fd"),
        ("https://example.org/v1", "https://other.org/", "https://other.org/"),
    ],
)
def test_relative_urls_are_appended_to_the_base(base: str, url: str, expected: str):
    with httpx.Client(base_url=base) as client:
        assert str(client.build_request("GET", url).url) == expected


def test_the_content_of_a_request_is_there_unless_it_streams():
    assert httpx.Request("POST", "https://example.org", json={"a": 1}).content == b'{"a":1}'
    streaming = httpx.Request("POST", "https://example.org", content=iter([b"a", b"b"]))
    with pytest.raises(httpx.RequestNotRead):
        streaming.content  # noqa: B018  # raises
    assert streaming.read() == streaming.content == b"ab"


# 0.17


def test_transports_are_mounted_by_pattern():
    def named(name: str) -> httpx.MockTransport:
        return httpx.MockTransport(lambda request: httpx.Response(200, text=name))

    mounts = {
        "http://": named("http"),
        "https://": named("https"),
        "all://example.org": named("host"),
        "all://*.example.org": named("subdomain"),
        "all://localhost:1234": named("port"),
    }
    with httpx.Client(mounts=mounts) as client:
        for url, expected in [
            ("http://a.test", "http"),
            ("https://a.test", "https"),
            ("https://example.org", "host"),
            ("http://a.example.org", "subdomain"),
            ("http://localhost:1234", "port"),
        ]:
            assert client.get(url).text == expected


def test_pieces_have_the_size_that_was_asked_for():
    def response() -> httpx.Response:
        return httpx.Response(200, content=iter([b"abc", b"defgh"]))

    assert list(response().iter_raw(chunk_size=3)) == [b"abc", b"def", b"gh"]
    assert list(response().iter_bytes(chunk_size=4)) == [b"abcd", b"efgh"]
    assert list(response().iter_text(chunk_size=5)) == ["abcde", "fgh"]


def test_connections_that_are_idle_too_long_are_not_used_again(api: LocalApi):
    with httpx.Client(limits=httpx.Limits(keepalive_expiry=0.0)) as client:
        client.get(api.url)
        client.get(api.url)
    assert api.connections == 2


def test_the_repr_of_cookies_shows_them():
    cookies = httpx.Cookies()
    cookies.set("flavour", "oat", domain="example.org")
    # The value is left out on purpose: sessions stood in logs.
    assert "<Cookie flavour for example.org /" in repr(cookies)


def test_params_may_be_a_tuple_of_pairs(echo: str):
    assert httpx.get(f"{echo}/get", params=(("a", "1"), ("a", "2"))).json()["args"] == {"a": ["1", "2"]}


def test_what_an_asgi_application_sees_of_a_path_and_headers():
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
            await client.get("http://testserver/a%20b?q=1", headers={"X-Mixed": "1"})

    asyncio.run(main())
    assert scopes[0]["path"] == "/a b"
    assert scopes[0]["raw_path"] == b"/a%20b"
    assert scopes[0]["query_string"] == b"q=1"
    assert (b"x-mixed", b"1") in scopes[0]["headers"]


def test_what_a_wsgi_application_sees_of_a_path_and_a_port():
    environs = []

    def app(environ: Any, start_response: Any) -> Any:
        environs.append(environ)
        start_response("204 No Content", [])
        yield b""  # a generator, as 0.13 promises

    with httpx.Client(transport=httpx.WSGITransport(app=app)) as client:
        client.get("http://testserver/a%20b")
        client.get("https://testserver/")
    assert environs[0]["PATH_INFO"] == "/a b"
    assert [environ["SERVER_PORT"] for environ in environs] == ["80", "443"]


# 0.16


def test_ipv6_addresses_in_urls():
    url = httpx.URL("http://[::1]:8000/x")
    assert (url.host, url.port, url.netloc) == ("::1", 8000, b"[::1]:8000")
    assert httpx.Request("GET", url).headers["Host"] == "[::1]:8000"


def test_the_case_of_header_names_is_kept_on_the_wire(echo: str):
    pairs = httpx.get(f"{echo}/headers?raw=1", headers={"X-mIxEd": "1"}).json()["headers"]
    assert ["X-mIxEd", "1"] in pairs
    assert pairs[0][0] == "Host"


def test_redirects_one_by_one(echo: str):
    with httpx.Client() as client:
        response = client.get(f"{echo}/redirect/3")
        seen = [response.status_code]
        while response.next_request is not None:
            response = client.send(response.next_request)
            seen.append(response.status_code)
    assert seen == [302, 302, 302, 200]


def test_a_closed_client_cannot_send(echo: str):
    client = httpx.Client()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.get(f"{echo}/get")


# 0.15


def test_headers_compare_with_dictionaries_and_lists():
    response = httpx.Response(200, headers={"Content-Length": "24"})
    assert response.headers == {"content-length": "24"}
    assert response.headers == [("Content-Length", "24")]


def test_a_response_made_of_text_is_read_already():
    assert httpx.Response(200, content="text").content == b"text"


def test_elapsed_is_the_time_of_the_whole_download(echo: str):
    with httpx.stream("GET", f"{echo}/drip?numbytes=2&duration=0.1") as response:
        head = response.elapsed
        response.read()
    assert response.elapsed.total_seconds() >= 0.09
    assert response.elapsed > head


def test_authentication_works_while_streaming(echo: str):
    auth = httpx.DigestAuth("ada", "secret")
    with httpx.stream("GET", f"{echo}/digest-auth/auth/ada/secret", auth=auth) as response:
        assert response.status_code == 200
        assert json.loads(response.read())["authenticated"] is True


def test_an_authentication_flow_may_do_input_and_output_of_its_own(echo: str):
    class Slow(httpx.Auth):
        def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            request.headers["X-Way"] = "sync"
            yield request

        async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
            await asyncio.sleep(0)
            request.headers["X-Way"] = "async"
            yield request

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(auth=Slow()) as client:
            return await client.get(f"{echo}/headers")

    assert httpx.get(f"{echo}/headers", auth=Slow()).json()["headers"]["X-Way"] == "sync"
    assert asyncio.run(main()).json()["headers"]["X-Way"] == "async"


def test_download_progress_counts_bytes_of_the_wire(echo: str):
    counts = []
    with httpx.stream("GET", f"{echo}/stream-bytes/30000?chunk_size=10000") as response:
        for _ in response.iter_bytes():
            counts.append(response.num_bytes_downloaded)
    assert counts == sorted(counts)
    assert counts[-1] == 30_000
    with httpx.stream("GET", f"{echo}/gzip") as response:
        content = response.read()
    assert 0 < response.num_bytes_downloaded < len(content)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"scheme": "http"}, "http://u:p@example.org:8443/path?q=1#end"),
        ({"host": "other.org"}, "https://u:p@other.org:8443/path?q=1#end"),
        ({"port": None}, "https://u:p@example.org/path?q=1#end"),
        ({"path": "/new"}, "https://u:p@example.org:8443/new?q=1#end"),
        ({"query": b"z=9"}, "https://u:p@example.org:8443/path?z=9#end"),
        ({"fragment": "top"}, "https://u:p@example.org:8443/path?q=1#top"),
        ({"username": "x", "password": "y"}, "https://x:y@example.org:8443/path?q=1#end"),
        ({"userinfo": b"x:y"}, "https://x:y@example.org:8443/path?q=1#end"),
        ({"netloc": b"other.org:1"}, "https://u:p@other.org:1/path?q=1#end"),
        ({"raw_path": b"/new?z=9"}, "https://u:p@example.org:8443/new?z=9#end"),
    ],
)
def test_every_component_of_a_url_can_be_replaced(changed: Any, expected: str):
    assert httpx.URL("https://u:p@example.org:8443/path?q=1#end").copy_with(**changed) == expected


def test_responses_are_made_by_hand():
    assert httpx.Response(200, content=b"a").content == b"a"
    assert httpx.Response(200, text="a").headers["Content-Type"] == "text/plain; charset=utf-8"
    assert httpx.Response(200, html="<p>").headers["Content-Type"] == "text/html; charset=utf-8"
    assert httpx.Response(200, json={"a": 1}).json() == {"a": 1}


@pytest.mark.parametrize("url", [None, 1, b"https://example.org"])
def test_what_is_no_url_is_a_type_error(url: Any):
    with pytest.raises(TypeError):
        httpx.get(url)


def test_parts_of_urls_as_text_and_as_bytes():
    url = httpx.URL("https://us%20er:pa%20ss@example.org:8443/a%20b?q=c%20d")
    assert (url.path, url.raw_path) == ("/a b", b"/a%20b?q=c%20d")
    assert (url.userinfo, url.query, url.netloc) == (b"us%20er:pa%20ss", b"q=c%20d", b"example.org:8443")


def test_netrc_is_looked_up_by_host(echo: str, here: Path):
    (here / "netrc").write_text("machine 127.0.0.1 login ada password secret\n")
    auth = httpx.NetRCAuth(str(here / "netrc"))
    assert httpx.get(f"{echo}/basic-auth/ada/secret", auth=auth).status_code == 200


@pytest.mark.parametrize("options", [{"max_keepalive": 1}, {"soft_limit": 1}, {"hard_limit": 1}])
def test_old_names_of_limits_are_gone(options: Any):
    with pytest.raises(TypeError):
        httpx.Limits(**options)


# 0.14


def test_a_response_needs_no_request():
    response = httpx.Response(200)
    with pytest.raises(RuntimeError):
        response.request  # noqa: B018  # raises


def test_newer_status_codes():
    assert (httpx.codes.EARLY_HINTS, httpx.codes.TOO_EARLY) == (103, 425)
    assert (httpx.codes.IM_A_TEAPOT, httpx.codes.UNAVAILABLE_FOR_LEGAL_REASONS) == (418, 451)


def test_digest_among_several_challenges(api: LocalApi):
    def answers(asked: Any) -> Any:
        if asked.headers.get("Authorization", "").startswith("Digest "):
            return {"authenticated": True}
        both = 'Negotiate, Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'
        return with_json({}, 401, WWW_Authenticate=both)

    api.answer = answers
    assert httpx.get(api.url, auth=httpx.DigestAuth("ada", "secret")).status_code == 200


def test_transports_are_entered_and_left_with_their_client():
    steps = []

    class Watched(httpx.BaseTransport):
        def __enter__(self) -> Any:
            steps.append("enter")
            return self

        def __exit__(self, *args: Any) -> None:
            steps.append("exit")

    with httpx.Client(transport=Watched()):
        steps.append("used")
    assert steps == ["enter", "used", "exit"]


def test_authentication_of_a_client_is_set_changed_and_left_out(echo: str):
    with httpx.Client(auth=("ada", "secret"), base_url=echo) as client:
        assert client.get("/basic-auth/ada/secret").status_code == 200
        assert client.get("/basic-auth/ada/secret", auth=None).status_code == 401
        client.auth = ("bob", "other")  # type: ignore[assignment]  # the setter takes more than the getter gives
        assert client.get("/basic-auth/bob/other").status_code == 200


def test_cookies_as_pairs(echo: str):
    with httpx.Client(cookies=[("a", "1"), ("b", "2")]) as client:
        assert client.get(f"{echo}/cookies").json()["cookies"] == {"a": "1", "b": "2"}


def test_headers_that_were_added_by_themselves_can_be_changed():
    with httpx.Client() as client:
        request = client.build_request("POST", "https://example.org", json={})
        request.headers["User-Agent"] = "mine"
        del request.headers["Accept"]
        request.headers["Content-Type"] = "application/vnd.api+json"
    assert request.headers["User-Agent"] == "mine"
    assert "Accept" not in request.headers


def test_a_streaming_request_may_have_a_length_of_its_own(echo: str):
    response = httpx.post(f"{echo}/post", content=iter([b"abc", b"de"]), headers={"Content-Length": "5"})
    assert response.json()["data"] == "abcde"
    assert "Transfer-Encoding" not in response.json()["headers"]


def test_credentials_in_urls_are_unquoted(echo: str):
    url = httpx.URL(f"{echo}/basic-auth/us er/pa:ss").copy_with(username="us er", password="pa:ss")
    assert httpx.get(url).status_code == 200


def test_an_error_while_streaming_is_one_of_ours_with_its_request_and_cause():
    half = send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    with ScriptedServer([expect_request(), half, close()]) as server, httpx.stream("GET", server.url) as response:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            response.read()
        assert caught.value.request.url == server.url


def test_the_error_of_the_system_is_the_cause_of_a_connect_error():
    [port] = free_ports(1)
    with pytest.raises(httpx.ConnectError) as caught:
        httpx.get(f"http://127.0.0.1:{port}")
    cause: Any = caught.value
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    assert isinstance(cause, ConnectionRefusedError)


@pytest.mark.parametrize("url", ["https://[::1", "https://example.org:port", "https://exam\nple.org"])
def test_invalid_urls_raise_invalid_url(url: str):
    with pytest.raises(httpx.InvalidURL):
        httpx.URL(url)


def test_an_invalid_location_is_the_fault_of_the_server():
    moved = answer(b"", b"Location: https://[::1", status=b"302 Found")
    with ScriptedServer([moved]) as server, pytest.raises(httpx.RemoteProtocolError) as caught:
        httpx.get(server.url, follow_redirects=True)
    assert caught.value.request.url == server.url


def test_several_set_cookie_fields(echo: str):
    response = httpx.get(f"{echo}/cookies/set?a=1&b=2")
    assert len(response.headers.get_list("Set-Cookie")) == 2
    assert dict(response.cookies) == {"a": "1", "b": "2"}


def test_a_tls_context_is_made_by_a_function():
    context = httpx.create_ssl_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert httpx.create_ssl_context(verify=False).verify_mode == ssl.CERT_NONE
    assert httpx.create_ssl_context(verify=context) is context


def test_no_parameters_may_be_none():
    assert not httpx.QueryParams(None)
    with httpx.Client(params={"a": "1"}) as client:
        client.params = None  # type: ignore[assignment]  # the setter takes more than the getter gives
        assert not client.params


def test_values_of_repeated_names_are_lists():
    assert httpx.Headers([("a", "1, 2"), ("a", "3")]).get_list("a") == ["1, 2", "3"]
    assert httpx.Headers([("a", "1, 2"), ("a", "3")]).get_list("a", split_commas=True) == ["1", "2", "3"]
    assert httpx.QueryParams("a=1&a=2").get_list("a") == ["1", "2"]


def test_several_multipart_fields_of_one_name(echo: str):
    files = [("file", ("a.txt", b"1")), ("file", ("b.txt", b"2"))]
    parts = httpx.post(f"{echo}/upload", files=files).json()["parts"]
    assert [(part["name"], part["filename"]) for part in parts] == [("file", "a.txt"), ("file", "b.txt")]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\r\nc\rd", ["a", "b", "c", "d"]),
        ("a\n\nb\n", ["a", "", "b"]),
        ("", []),
    ],
)
def test_lines_end_in_any_of_the_usual_ways(text: str, lines: list[str]):
    assert list(httpx.Response(200, text=text).iter_lines()) == lines
    split = httpx.Response(200, content=iter([bytes([byte]) for byte in text.encode()]))
    assert list(split.iter_lines()) == lines


@pytest.mark.parametrize("form", ["http://{}", "{}"])
def test_the_proxy_of_the_environment_may_be_a_bare_host_name(echo: str, monkeypatch: pytest.MonkeyPatch, form: str):
    monkeypatch.setenv("HTTP_PROXY", form.format(echo.partition("://")[2]))
    assert httpx.get("http://example.invalid/get").json()["url"] == "http://example.invalid/get"
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://example.invalid/get", trust_env=False)


def test_a_transport_of_the_user_is_not_replaced_by_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid")
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="mine"))
    with httpx.Client(transport=transport) as client:
        assert client.get("http://example.invalid").text == "mine"


def test_no_proxy_names_hosts_without_one(echo: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert httpx.get(f"{echo}/get").status_code == 200


# 0.13


def test_a_redirect_to_another_scheme_says_what_is_wrong():
    moved = answer(b"", b"Location: ftp://example.org/", status=b"302 Found")
    with ScriptedServer([moved]) as server, pytest.raises(httpx.UnsupportedProtocol, match="ftp"):
        httpx.get(server.url, follow_redirects=True)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_length_of_zero_is_sent_where_a_body_is_expected(method: str):
    assert httpx.Request(method, "https://example.org").headers["Content-Length"] == "0"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_no_length_is_sent_where_no_body_is_expected(method: str):
    assert "Content-Length" not in httpx.Request(method, "https://example.org").headers


def test_multipart_bodies_stream_and_take_bytes(echo: str):
    request = httpx.Request("POST", f"{echo}/upload", files={"file": b"bytes"})
    with pytest.raises(httpx.RequestNotRead):
        request.content  # noqa: B018  # raises
    with httpx.Client() as client:
        [part] = client.send(request).json()["parts"]
    assert part["size"] == 5


# 0.12


def test_an_authentication_flow_can_ask_for_the_body_of_responses(api: LocalApi):
    class Nonce(httpx.Auth):
        requires_response_body = True

        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            response = yield request
            request.headers["X-Nonce"] = response.json()["nonce"]
            yield request

    api.answer = lambda asked: {"nonce": "n1", "seen": asked.headers.get("X-Nonce")}
    assert httpx.get(api.url, auth=Nonce()).json()["seen"] == "n1"


def test_redirects_without_end_end(echo: str):
    with pytest.raises(httpx.TooManyRedirects):
        httpx.get(f"{echo}/redirect/30", follow_redirects=True)


def test_credentials_in_the_url_of_a_proxy(api: LocalApi):
    api.answer = lambda asked: {"proxy": asked.headers.get("Proxy-Authorization")}
    with httpx.Client(proxy=api.url.replace("://", "://ada:secret@")) as client:
        assert client.get("http://example.invalid/").json() == {"proxy": "Basic YWRhOnNlY3JldA=="}


def test_header_values_beyond_ascii_are_sent_in_the_encoding_that_is_named(echo: str):
    headers = httpx.Headers({"X-Text": "☕"}, encoding="utf-8")
    with httpx.Client() as client:
        pairs = client.send(httpx.Request("GET", f"{echo}/headers?raw=1", headers=headers)).json()["headers"]
        assert ["X-Text", "☕"] in pairs


def test_a_client_certificate_without_verification(ca: Any):
    with ScriptedServer([answer(b"ok")], tls=ca.server_context(client_cert=True)) as server:
        cert = tuple(map(str, ca.leaf_files("client")))
        with httpx.Client(verify=False, cert=cert) as client:  # type: ignore[arg-type]  # a pair of str
            assert client.get(server.url).text == "ok"


def test_nested_form_data_is_refused():
    with pytest.raises(TypeError):
        httpx.Request("POST", "https://example.org", data={"a": {"b": "c"}})


# 0.11 and before


@pytest.mark.parametrize("raw", ["", "?raw=1"])
def test_both_styles_of_deflate(echo: str, raw: str):
    assert httpx.get(f"{echo}/deflate{raw}").json()["deflated"] is True


def test_the_body_of_a_redirect_can_be_streamed():
    moved = answer(b"moved away", b"Location: /", status=b"302 Found")
    with ScriptedServer([moved]) as server, httpx.stream("GET", server.url) as response:
        assert response.read() == b"moved away"


def test_a_location_without_its_host_means_the_same_host(echo: str):
    with httpx.Client() as client:
        request = client.build_request("GET", f"{echo}/redirect-to", params={"url": "http:///get"})
        response = client.send(request)
    assert response.next_request is not None
    assert response.next_request.url.host == "127.0.0.1"


@pytest.mark.parametrize("option", ["verify", "cert", "trust_env", "stream"])
def test_settings_of_a_client_are_none_of_a_request(option: str):
    with httpx.Client() as client, pytest.raises(TypeError):
        client.get("https://example.org", **{option: True})  # type: ignore[arg-type]  # what it is about


@pytest.mark.parametrize("option", ["json", "data", "files", "content"])
def test_delete_and_get_take_no_body(option: str):
    for function in (httpx.delete, httpx.get):
        with pytest.raises(TypeError):
            function("https://example.org", **{option: b""})  # type: ignore[operator]  # what it is about


def test_a_port_that_is_the_default_is_not_in_the_host_field():
    assert httpx.Request("GET", "http://example.org:80/").headers["Host"] == "example.org"
    assert httpx.Request("GET", "https://user:pass@example.org:8443/").headers["Host"] == "example.org:8443"


def test_an_explicit_content_type_wins():
    request = httpx.Request("POST", "https://example.org", json={}, headers={"Content-Type": "application/x"})
    assert request.headers["Content-Type"] == "application/x"


def test_a_timeout_of_none_is_no_timeout(echo: str):
    response = httpx.get(f"{echo}/get", timeout=None)
    assert set(response.request.extensions["timeout"].values()) == {None}


def test_a_part_without_filename_has_no_content_type():
    body = httpx.Request("POST", "https://example.org", files={"file": (None, b"x")}).read()
    assert b"Content-Type" not in body
    assert b"filename" not in body


def test_lists_of_values_in_params(echo: str):
    assert httpx.get(f"{echo}/get", params={"a": ["1", "2"]}).json()["args"] == {"a": ["1", "2"]}


def test_certificates_of_the_environment(tls_echo_server: Any, ca: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.authority_file()))
    assert httpx.get(f"{tls_echo_server.url}/get").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{tls_echo_server.url}/get", trust_env=False)


def test_keys_of_tls_sessions_are_logged_where_the_environment_says(
    tls_echo_server: Any, ca: Any, here: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSLKEYLOGFILE", str(here / "keys"))
    assert httpx.get(f"{tls_echo_server.url}/get", verify=str(ca.authority_file())).status_code == 200
    assert "CLIENT_" in (here / "keys").read_text()


def test_a_redirect_to_another_host_has_that_host_and_a_get_has_no_body():
    with httpx.Client() as client:
        request = client.build_request("POST", "http://one.example/", json={"a": 1})
    moved = httpx.Response(303, headers={"Location": "http://two.example/"})

    def handler(request: httpx.Request) -> httpx.Response:
        return moved if request.url.host == "one.example" else httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(handler), follow_redirects=True) as client:
        final = client.send(request).request
    assert (final.method, final.headers["Host"], final.content) == ("GET", "two.example", b"")
    assert "Content-Length" not in final.headers
    assert "Content-Type" not in final.headers


def test_a_missing_header_is_a_key_error():
    with pytest.raises(KeyError):
        httpx.Headers()["missing"]


@pytest.mark.parametrize("coding", ["br", "gzip", "deflate", "zstd"])
def test_an_empty_body_needs_no_decoding(coding: str):
    if coding in ("br", "zstd"):
        pytest.importorskip({"br": "brotli", "zstd": "zstandard"}[coding])
    assert httpx.Response(200, headers={"Content-Encoding": coding}, content=b"").content == b""


def test_cookies_and_headers_are_converted_when_they_are_set(echo: str):
    with httpx.Client() as client:
        client.cookies = {"a": "1"}  # type: ignore[assignment]  # the setter takes more than the getter gives
        client.headers = {"X-One": "1"}  # type: ignore[assignment]  # so does this
        assert isinstance(client.cookies, httpx.Cookies)
        shown = client.get(f"{echo}/headers").json()["headers"]
    assert (shown["Cookie"], shown["X-One"], shown["User-Agent"]) == (
        "a=1",
        "1",
        f"python-httpx/{httpx.__version__}",
    )


def test_links():
    response = httpx.Response(200, headers={"Link": '<https://example.org/?page=2>; rel="next"'})
    assert response.links == {"next": {"rel": "next", "url": "https://example.org/?page=2"}}


def test_a_content_encoding_that_nobody_knows_is_ignored():
    assert httpx.Response(200, headers={"Content-Encoding": "secret"}, content=b"as it is").content == b"as it is"


def test_relative_urls_are_joined_as_rfc_3986_says():
    assert httpx.URL("https://example.org/a/b?q").join("../c") == "https://example.org/c"
    assert httpx.URL("https://example.org/a/b").join("//other.org/x") == "https://other.org/x"


def test_urls_compare_with_text():
    assert httpx.URL("https://example.org/") == "https://example.org/"
    assert httpx.URL("HTTPS://EXAMPLE.org:443/") == "https://example.org/"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_each_of_its_encodings(encoding: str):
    assert httpx.Response(200, content='{"a": "☕"}'.encode(encoding)).json() == {"a": "☕"}


def test_headers_that_are_always_sent(echo: str):
    shown = httpx.get(f"{echo}/headers").json()["headers"]
    assert shown["Connection"] == "keep-alive"
    assert shown["Accept"] == "*/*"
    assert shown["Accept-Encoding"].startswith("gzip, deflate")
    assert shown["Host"] == echo.partition("://")[2]


def test_a_password_for_the_key_of_a_client_certificate(here: Path, ca: Any):
    from cryptography.hazmat.primitives import serialization

    chain, key = ca.leaf_files("client")
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = here / "locked.pem"
    locked.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with ScriptedServer([answer(b"ok")], tls=ca.server_context(client_cert=True)) as server:
        cert = (str(chain), str(locked), "secret")
        with httpx.Client(verify=str(ca.authority_file()), cert=cert) as client:
            assert client.get(server.url.replace("127.0.0.1", "localhost")).text == "ok"


def test_a_compressed_answer_that_is_cut_off_is_an_error():
    whole = gzip.compress(os.urandom(1000))
    with pytest.raises(httpx.DecodingError):
        httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=whole[:500])
    with pytest.raises(httpx.DecodingError):
        httpx.Response(200, headers={"Content-Encoding": "deflate"}, content=zlib.compress(b"x" * 99)[:-6])
