"""
respx, pytest-httpx, vcrpy, opentelemetry and sentry-sdk under a client with middleware: they work as without it.

Those that replace or wrap the transport see every attempt. sentry-sdk replaces `send`, and sees the call, as it does
with redirects; its headers are in every attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import opentelemetry.instrumentation.httpx as otel
import pytest
import respx
import sentry_sdk
import vcr
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_httpx import HTTPXMock
from sentry_sdk.integrations.httpx import HttpxIntegration

import httpx

URL = "https://www.example.org/"


def again(request: httpx.Request) -> Generator[Any, Any, Any]:
    """Sends twice if the first response is a 503 or an error."""
    try:
        response = yield request
    except httpx.ConnectError:
        response = None
    if response is None or response.status_code == 503:
        yield httpx.Step.pause(0)
        request.headers["X-Attempt"] = "2"
        response = yield request
    return response


def get(is_async: bool, url: str = URL) -> httpx.Response:
    if not is_async:
        with httpx.Client(middleware=[again]) as client:
            return client.get(url)

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(middleware=[again]) as client:
            return await client.get(url)

    return asyncio.run(main())


BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@BOTH
@pytest.mark.parametrize("first", [httpx.Response(503), httpx.ConnectError], ids=["status", "error"])
def test_respx_sees_every_attempt(is_async: bool, first: Any):
    with respx.mock() as router:
        route = router.get(URL).mock(side_effect=[first, httpx.Response(200, text="well")])
        assert get(is_async).text == "well"
        assert route.call_count == 2
        assert ["x-attempt" in call.request.headers for call in route.calls][1]


@BOTH
def test_pytest_httpx_sees_every_attempt(is_async: bool, httpx_mock: HTTPXMock):
    httpx_mock.add_response(url=URL, status_code=503)
    httpx_mock.add_response(url=URL, text="well", match_headers={"X-Attempt": "2"})
    assert get(is_async).text == "well"
    assert len(httpx_mock.get_requests()) == 2


@BOTH
def test_pytest_httpx_raises_into_the_middleware(is_async: bool, httpx_mock: HTTPXMock):
    httpx_mock.add_exception(httpx.ConnectError("refused"))
    httpx_mock.add_response(text="well")
    assert get(is_async).text == "well"


@BOTH
def test_vcrpy_records_and_plays_every_attempt(is_async: bool, tmp_path: Any, echo_server: Any):
    url = echo_server.url + "/status/503"
    for mode, played in (("once", 0), ("none", 2)):
        options = {"record_mode": mode, "allow_playback_repeats": False}
        with vcr.use_cassette(str(tmp_path / "tape.yaml"), **options) as cassette:
            assert get(is_async, url).status_code == 503
        assert (len(cassette), cassette.play_count) == (2, played)


@BOTH
def test_opentelemetry_makes_a_span_of_every_attempt(is_async: bool, echo_server: Any):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = otel.HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        assert get(is_async, echo_server.url + "/status/503").status_code == 503
    finally:
        instrumentor.uninstrument()
    assert [span.attributes["http.status_code"] for span in exporter.get_finished_spans()] == [503, 503]


@BOTH
def test_sentry_sees_the_call_and_marks_every_attempt(is_async: bool, echo_server: Any):
    sent: list[Any] = []
    seen: list[bool] = []

    def watching(request: httpx.Request) -> Generator[Any, Any, Any]:
        seen.append("sentry-trace" in request.headers)
        return (yield request)

    sentry_sdk.init(
        "http://key@127.0.0.1:1/1",
        before_send_transaction=lambda event, hint: sent.append(event),
        traces_sample_rate=1.0,
        integrations=[HttpxIntegration()],
        default_integrations=False,
    )
    url = echo_server.url + "/status/503"
    try:
        if is_async:

            async def main() -> None:
                with sentry_sdk.start_transaction(name="t"):
                    async with httpx.AsyncClient(middleware=[again, watching]) as client:
                        await client.get(url)

            asyncio.run(main())
        else:
            with sentry_sdk.start_transaction(name="t"), httpx.Client(middleware=[again, watching]) as client:
                client.get(url)
    finally:
        sentry_sdk.init()
    assert seen == [True, True]
    assert [span["data"]["http.response.status_code"] for event in sent for span in event["spans"]] == [503]
