"""httpx-retries, vcrpy, hishel, sentry-sdk and opentelemetry: what stands before transports, or patches them."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import hishel
import hishel.httpx
import httpx_retries
import opentelemetry.instrumentation.httpx as otel
import pytest
import sentry_sdk
import vcr
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.integrations.httpx import HttpxIntegration

import httpx

# httpx-retries.


class Flaky:
    """Fails twice, then answers."""

    def __init__(self, *failures: Any) -> None:
        self.failures = list(failures)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, int):
                return httpx.Response(failure)
            raise failure
        return httpx.Response(200, content=request.content)


FAILURES = (503, httpx.ConnectError("no"))
RETRY = httpx_retries.Retry(total=3, backoff_factor=0)


def test_httpx_retries_tries_again_on_the_network(echo_server: Any):
    with httpx.Client(transport=httpx_retries.RetryTransport(retry=RETRY)) as client:
        assert client.get(echo_server.url + "/get").status_code == 200
        assert client.get(echo_server.url + "/status/503").status_code == 503
        with pytest.raises(httpx.ConnectError):
            client.get("http://127.0.0.1:1/")


def test_httpx_retries_tries_again():
    transport = httpx_retries.RetryTransport(httpx.MockTransport(Flaky(*FAILURES)), RETRY)
    with httpx.Client(transport=transport) as client:
        assert client.put("https://x/", content=b"abc").content == b"abc"


def test_httpx_retries_tries_again_in_async_code(echo_server: Any):
    async def main() -> tuple[int, int]:
        transport = httpx_retries.RetryTransport(httpx.MockTransport(Flaky(*FAILURES)), RETRY)
        async with httpx.AsyncClient(transport=transport) as client:
            first = (await client.get("https://x/")).status_code
        async with httpx.AsyncClient(transport=httpx_retries.RetryTransport(retry=RETRY)) as client:
            return first, (await client.get(echo_server.url + "/status/503")).status_code

    assert asyncio.run(main()) == (200, 503)


# vcrpy.


def test_vcrpy_records_and_plays(tmp_path: Any, echo_server: Any):
    cassette = str(tmp_path / "cassette.yaml")
    with vcr.use_cassette(cassette), httpx.Client() as client:
        first = client.post(echo_server.url + "/post", json={"a": 1})
        zipped = client.get(echo_server.url + "/gzip").json()
    with vcr.use_cassette(cassette, record_mode="none") as played, httpx.Client() as client:
        again = client.post(echo_server.url + "/post", json={"a": 1})
        assert client.get(echo_server.url + "/gzip").json() == zipped
        assert played.play_count == 2
    assert again.json() == first.json()
    assert again.elapsed.total_seconds() >= 0
    assert zipped["gzipped"] is True


def test_vcrpy_records_and_plays_in_async_code(tmp_path: Any, echo_server: Any):
    async def main(mode: str) -> tuple[Any, int]:
        with vcr.use_cassette(str(tmp_path / "async.yaml"), record_mode=mode) as cassette:
            async with httpx.AsyncClient(follow_redirects=True) as client:
                response = await client.get(echo_server.url + "/redirect/1")
            return response.json(), cassette.play_count

    recorded, _ = asyncio.run(main("once"))
    assert asyncio.run(main("none")) == (recorded, 2)


# hishel.


def storage() -> Any:
    return hishel.SqliteStorage(connection=sqlite3.connect(":memory:", check_same_thread=False))


def test_hishel_answers_from_its_cache(echo_server: Any):
    transport = hishel.httpx.CacheTransport(httpx.HTTPTransport(), storage=storage())
    with httpx.Client(transport=transport) as client:
        first, second = [client.get(echo_server.url + "/uuid").json() for _ in range(2)]
        other = client.get(echo_server.url + "/uuid?other").json()
        with client.stream("GET", echo_server.url + "/uuid") as streamed:
            assert b"".join(streamed.iter_bytes())
    assert first == second != other


def test_hishel_follows_the_rules_of_http_caches():
    calls = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.headers.get("If-None-Match"))
        if calls[-1]:
            return httpx.Response(304, headers={"ETag": '"1"'})
        return httpx.Response(200, headers={"ETag": '"1"', "Cache-Control": "no-cache"}, content=b"body")

    transport = hishel.httpx.CacheTransport(httpx.MockTransport(answer), storage=storage(), rfc=True)
    with httpx.Client(transport=transport) as client:
        assert [client.get("https://x/").content for _ in range(2)] == [b"body"] * 2
    assert calls == [None, '"1"']


def test_hishel_answers_from_its_cache_in_async_code(tmp_path: Any, echo_server: Any):
    async def main() -> list[str]:
        storage = hishel.AsyncSqliteStorage(database_path=tmp_path / "cache.db")
        async with hishel.httpx.AsyncCacheClient(storage=storage) as client:
            responses = [await client.get(echo_server.url + "/uuid") for _ in range(2)]
            await client.post(echo_server.url + "/post", content=b"abc")
            return [response.text for response in responses]

    first, second = asyncio.run(main())
    assert first == second


# sentry-sdk.


@pytest.fixture
def sentry() -> Any:
    sent: list[Any] = []
    sentry_sdk.init(
        "http://key@127.0.0.1:1/1",
        before_send_transaction=lambda event, hint: sent.append(event),
        traces_sample_rate=1.0,
        integrations=[HttpxIntegration()],
        default_integrations=False,
    )
    yield sent
    sentry_sdk.init()


def test_sentry_traces_requests(sentry: Any, echo_server: Any):
    with sentry_sdk.start_transaction(name="t"), httpx.Client() as client:
        sync = client.get(echo_server.url + "/get").json()

    async def main() -> Any:
        with sentry_sdk.start_transaction(name="t"):
            async with httpx.AsyncClient() as client, client.stream("GET", echo_server.url + "/get") as response:
                await response.aread()
                return response.json()

    for shown in (sync, asyncio.run(main())):
        assert "sentry-trace" in {name.lower() for name in shown["headers"]}
    spans = [span for event in sentry for span in event["spans"]]
    assert [span["op"] for span in spans] == ["http.client"] * 2
    assert spans[0]["data"]["http.response.status_code"] == 200


# opentelemetry.


@pytest.fixture
def spans() -> Any:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    exporter.provider = provider
    return exporter


def names_of(spans: Any) -> list[tuple[str, Any]]:
    return [(span.name, span.attributes["http.status_code"]) for span in spans.get_finished_spans()]


def test_opentelemetry_instruments_everything(spans: Any, echo_server: Any):
    instrumentor = otel.HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    try:
        with httpx.Client() as client:
            shown = client.get(echo_server.url + "/get").json()
        assert "traceparent" in {name.lower() for name in shown["headers"]}

        async def main() -> None:
            async with httpx.AsyncClient() as client:
                await client.put(echo_server.url + "/status/404")

        asyncio.run(main())
        assert names_of(spans) == [("GET", 200), ("PUT", 404)]
    finally:
        instrumentor.uninstrument()
    httpx.get(echo_server.url + "/get")
    assert len(spans.get_finished_spans()) == 2


def test_opentelemetry_instruments_one_client(spans: Any):
    with httpx.Client(transport=httpx.MockTransport(Flaky())) as client:
        otel.HTTPXClientInstrumentor.instrument_client(client, tracer_provider=spans.provider)
        client.get("https://x/")
        otel.HTTPXClientInstrumentor.uninstrument_client(client)
        client.get("https://x/")
    assert names_of(spans) == [("GET", 200)]


def test_opentelemetry_instruments_one_async_client(spans: Any, echo_server: Any):
    async def main() -> None:
        async with httpx.AsyncClient(mounts={"all://other.example": httpx.MockTransport(Flaky(404))}) as client:
            otel.HTTPXClientInstrumentor.instrument_client(client, tracer_provider=spans.provider)
            await client.get(echo_server.url + "/get")
            await client.get("https://other.example/")
            otel.HTTPXClientInstrumentor.uninstrument_client(client)
            await client.get(echo_server.url + "/get")

    asyncio.run(main())
    assert names_of(spans) == [("GET", 200), ("GET", 404)]


def test_opentelemetry_offers_an_async_transport(spans: Any):
    async def main() -> None:
        transport = otel.AsyncOpenTelemetryTransport(httpx.MockTransport(Flaky(500)), tracer_provider=spans.provider)
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get("https://x/")

    asyncio.run(main())
    assert names_of(spans) == [("GET", 500)]


def test_opentelemetry_offers_a_transport(spans: Any):
    transport = otel.SyncOpenTelemetryTransport(httpx.MockTransport(Flaky(500)), tracer_provider=spans.provider)
    with httpx.Client(transport=transport) as client:
        client.get("https://x/")
    assert names_of(spans) == [("GET", 500)]
