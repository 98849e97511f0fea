"""respx 0.23: patches httpcore's pools by default, and `Client._transport_for_url` with `using="httpx"`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import respx

import httpx

BOTH = pytest.mark.parametrize("using", ["httpcore", "httpx"])


@respx.mock
def test_the_decorator_mocks_top_level_functions():
    route = respx.get("https://foo.bar/").respond(204)
    assert httpx.get("https://foo.bar/").status_code == 204
    assert route.called
    assert route.calls.last.request.url == "https://foo.bar/"


@respx.mock
def test_the_decorator_mocks_async_functions_of_a_test():
    @respx.mock(base_url="https://foo.bar")
    async def inner(respx_mock: Any) -> int:
        respx_mock.get("/inner").respond(206)
        async with httpx.AsyncClient() as client:
            return (await client.get("https://foo.bar/inner")).status_code

    assert asyncio.run(inner()) == 206


def test_the_fixture_mocks_clients(respx_mock: Any):
    respx_mock.post("https://foo.bar/baz", json={"a": 1}).mock(httpx.Response(201, json={"b": 2}))
    with httpx.Client(base_url="https://foo.bar") as client:
        response = client.post("/baz", json={"a": 1})
    assert (response.status_code, response.json()) == (201, {"b": 2})


@pytest.mark.respx(base_url="https://api.example", assert_all_called=False)
def test_the_marker_configures_the_fixture(respx_mock: Any):
    respx_mock.get("/users/", params={"page": "1"}).respond(json=[1, 2])
    respx_mock.get("/never").respond(500)
    assert httpx.get("https://api.example/users/?page=1").json() == [1, 2]


@BOTH
def test_clients_that_were_made_before_are_mocked(using: str):
    with httpx.Client() as client, respx.mock(using=using) as router:
        router.route(host="foo.bar").respond(text="mocked")
        assert client.get("http://foo.bar/any?x=1").text == "mocked"


@BOTH
def test_async_clients_are_mocked(using: str):
    async def main() -> tuple[bytes, list[str]]:
        async with httpx.AsyncClient() as client, respx.mock(using=using) as router:
            router.put("https://foo.bar/").mock(
                side_effect=lambda request: httpx.Response(200, content=request.content)
            )
            content = (await client.put("https://foo.bar/", content=b"abc")).content
            async with client.stream("PUT", "https://foo.bar/", content=b"a\nb\n") as streamed:
                return content, [line async for line in streamed.aiter_lines()]

    assert asyncio.run(main()) == (b"abc", ["a", "b"])


@BOTH
def test_async_side_effects_work(using: str):
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return httpx.Response(200, text=request.method)

    async def main() -> str:
        async with respx.mock(using=using) as router, httpx.AsyncClient() as client:
            router.delete("https://foo.bar/").mock(side_effect=answer)
            return (await client.delete("https://foo.bar/")).text

    assert asyncio.run(main()) == "DELETE"


@BOTH
@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout("slow"), ValueError])
def test_errors_are_raised(using: str, error: Any):
    kind = error if isinstance(error, type) else type(error)
    with respx.mock(using=using) as router:
        router.get("https://foo.bar/").mock(side_effect=error)
        with pytest.raises(kind) as caught:
            httpx.get("https://foo.bar/")
    if issubclass(kind, httpx.HTTPError):
        assert caught.value.request.url == "https://foo.bar/"


@BOTH
def test_a_sequence_of_responses_is_given_in_turn(using: str):
    with respx.mock(using=using) as router, httpx.Client() as client:
        route = router.get("https://foo.bar/").mock(side_effect=[httpx.Response(404), httpx.Response(200)])
        assert [client.get("https://foo.bar/").status_code for _ in range(2)] == [404, 200]
        assert route.call_count == 2
        assert [call.response.status_code for call in route.calls] == [404, 200]


def test_what_is_not_mocked_is_an_error():
    with respx.mock, pytest.raises(respx.models.AllMockedAssertionError):
        httpx.get("https://foo.bar/")
    with pytest.raises(AssertionError), respx.mock() as router:
        router.get("https://foo.bar/")


@BOTH
def test_a_request_can_pass_through(using: str, echo_server: Any):
    with respx.mock(using=using) as router, httpx.Client() as client:
        route = router.route(host="127.0.0.1").pass_through()
        assert client.get(echo_server.url + "/get?a=1").json()["args"] == {"a": "1"}
        assert client.post(echo_server.url + "/post", content=iter([b"a", b"b"])).json()["data"] == "ab"
        assert len(client.get(echo_server.url + "/stream-bytes/100000").content) == 100_000
        assert route.call_count >= 3


@BOTH
def test_an_async_request_can_pass_through(using: str, echo_server: Any):
    async def main() -> Any:
        async with respx.mock(using=using) as router, httpx.AsyncClient() as client:
            router.route(host="127.0.0.1").pass_through()
            return (await client.post(echo_server.url + "/post", content=b"abc")).json()["data"]

    assert asyncio.run(main()) == "abc"


@respx.mock
def test_redirects_and_cookies_are_followed():
    respx.get("https://foo.bar/a").respond(302, headers={"Location": "/b", "Set-Cookie": "k=v"})
    landed = respx.get("https://foo.bar/b", cookies={"k": "v"}).respond(text="here")
    response = httpx.Client(follow_redirects=True).get("https://foo.bar/a")
    assert (response.text, [each.status_code for each in response.history]) == ("here", [302])
    assert landed.called


@respx.mock
def test_patterns_see_what_was_sent():
    respx.route(method="POST", path__regex=r"^/users/(?P<user>\w+)/$", headers={"X-A": "1"}, content=b"body").mock(
        side_effect=lambda request, user: httpx.Response(200, text=user)
    )
    respx.post("https://foo.bar/form", data={"a": "1"}, files={"f": b"x"}).respond(201)
    assert httpx.post("https://foo.bar/users/lundberg/", headers={"X-A": "1"}, content=b"body").text == "lundberg"
    assert httpx.post("https://foo.bar/form", data={"a": "1"}, files={"f": b"x"}).status_code == 201


@respx.mock
def test_proxied_clients_are_mocked():
    respx.get("http://foo.bar/").respond(202)
    with httpx.Client(proxy="http://proxy.invalid:3128") as client:
        assert client.get("http://foo.bar/").status_code == 202


@respx.mock
def test_a_mounted_mock_transport_works():
    router = respx.MockRouter(assert_all_called=False)
    router.get("https://foo.bar/").respond(203)
    with httpx.Client(transport=httpx.MockTransport(router.handler)) as client:
        assert client.get("https://foo.bar/").status_code == 203
