"""pytest-httpx 0.36: replaces `handle_request` of the transports, and looks into pools, streams and headers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import httpx


def test_responses_are_matched_by_url_and_method(httpx_mock: Any):
    httpx_mock.add_response(url="https://x/a", method="POST", json={"a": 1}, headers={"X-A": "1"}, status_code=201)
    httpx_mock.add_response(url=httpx.URL("https://x/b", params={"q": "1"}), text="b")
    with httpx.Client() as client:
        response = client.post("https://x/a")
        assert (response.status_code, response.json(), response.headers["X-A"]) == (201, {"a": 1}, "1")
        assert client.get("https://x/b?q=1").text == "b"
    assert [str(request.url) for request in httpx_mock.get_requests()] == ["https://x/a", "https://x/b?q=1"]


def test_bodies_are_matched(httpx_mock: Any):
    httpx_mock.add_response(match_content=b"abc", text="content")
    httpx_mock.add_response(match_json={"a": [1]}, text="json")
    httpx_mock.add_response(match_files={"f": ("n.txt", b"x")}, match_data={"k": "v"}, text="files")
    with httpx.Client() as client:
        assert client.post("https://x/", content=b"abc").text == "content"
        assert client.post("https://x/", json={"a": [1]}).text == "json"
        assert client.post("https://x/", files={"f": ("n.txt", b"x")}, data={"k": "v"}).text == "files"


@pytest.mark.httpx_mock(can_send_already_matched_responses=True)
def test_a_response_can_be_given_out_again(httpx_mock: Any):
    httpx_mock.add_response(stream=httpx._content.IteratorByteStream([b"a", b"b"]), url="https://x/stream")
    httpx_mock.add_response(html="<b>", url="https://x/html")
    with httpx.Client() as client:
        for _ in range(2):
            assert client.get("https://x/html").text == "<b>"
            with client.stream("GET", "https://x/html") as response:
                assert list(response.iter_raw()) == [b"<b>"]
        with client.stream("GET", "https://x/stream") as response:
            assert list(response.iter_bytes()) == [b"a", b"b"]


def test_async_clients_streams_and_callbacks(httpx_mock: Any):
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"url": str(request.url)})

    httpx_mock.add_callback(answer, url="https://x/callback")
    httpx_mock.add_response(content=b"1\n2", url="https://x/lines")

    async def main() -> tuple[Any, list[str]]:
        async with httpx.AsyncClient() as client:
            called = (await client.get("https://x/callback")).json()
            async with client.stream("GET", "https://x/lines") as response:
                return called, [line async for line in response.aiter_lines()]

    assert asyncio.run(main()) == ({"url": "https://x/callback"}, ["1", "2"])


def test_exceptions_are_raised(httpx_mock: Any):
    httpx_mock.add_exception(httpx.ReadTimeout("too slow"))
    with pytest.raises(httpx.ReadTimeout, match="too slow"):
        httpx.get("https://x/")


@pytest.mark.httpx_mock(assert_all_requests_were_expected=False)
def test_what_is_not_expected_times_out(httpx_mock: Any):
    with pytest.raises(httpx.TimeoutException, match="No response can be found for GET request on https://x/"):
        httpx.get("https://x/")


def test_proxies_and_headers_are_matched(httpx_mock: Any):
    httpx_mock.add_response(proxy_url="http://user:pwd@my_other_proxy/", match_headers={"X-A": "1"})
    with httpx.Client(proxy="http://user:pwd@my_other_proxy") as client:
        assert client.get("https://x/", headers={"X-A": "1"}).status_code == 200


@pytest.mark.httpx_mock(should_mock=lambda request: request.url.host != "127.0.0.1")
def test_some_hosts_are_left_alone(httpx_mock: Any, echo_server: Any):
    httpx_mock.add_response(text="mocked")
    with httpx.Client() as client:
        assert client.get("https://x/").text == "mocked"
        assert client.get(echo_server.url + "/get").status_code == 200
